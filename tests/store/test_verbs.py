"""What the commands of agents do, answer and refuse, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway import clockwork, deliver, pipeline
from gateway.desk.deeds import DEEDS
from gateway.desk.verbs import VERBS
from gateway.model import Delivery, OutboundMail, Plan, Proof, State
from gateway.outbound.transport import Attempt
from gateway.settings import Agent, Hours, Inbox, Offer, Send
from gateway.store import deliveries, journal, tickets, timers
from gateway.store.database import Database
from tests.support.spine import SETTINGS, Road, address_of, header_of, make_mail, text_of

JANE, TOM, ALICE, BOB, CAROL = (
    "jane@customer.test",
    "tom@shop.test",
    "alice@corp.test",
    "bob@corp.test",
    "carol@corp.test",
)

DESK = replace(
    SETTINGS,
    inbox={
        "support": replace(SETTINGS.inbox["support"], agents=("alice", "bob"), lead=("carol",)),
        "billing": Inbox(
            name="Billing",
            address="billing@desk.test",
            handle="billing",
            agents=("bob",),
            hours=Hours(weekdays=""),
        ),
    },
    agents={
        **SETTINGS.agents,
        "carol": Agent(handle="carol", name="Carol Chen", address=CAROL, role="lead"),
        "olga": Agent(handle="olga", name="Olga Orlova", address="olga@corp.test", role="observer"),
    },
)


class Desk:
    """A road with people on it: each call is one mail."""

    def __init__(self, database: Database, settings: object = DESK) -> None:
        self.road = Road(database, settings)  # type: ignore[arg-type]

    def write(self, who: str, text: str, **options: object) -> list[OutboundMail]:
        """A new mail from outside; the mails it causes."""
        self.road.arrive(make_mail(who, text, **options))  # type: ignore[arg-type]
        return self.road.outbox()

    def reply(self, who: str, to_mail: OutboundMail, text: str, proof: Proof = Proof.DKIM) -> list[OutboundMail]:
        """A reply as a mail program makes it; the mails it causes, also those of mail it releases."""
        self.plan = self.send_reply(who, to_mail, text, proof)
        self.road.process()
        return self.road.outbox()

    def send_reply(self, who: str, to_mail: OutboundMail, text: str, proof: Proof = Proof.DKIM) -> Plan:
        quoted = "\n".join("> " + line for line in text_of(to_mail).splitlines())
        raw = make_mail(
            who,
            f"{text}\n\nOn Mon, 23 Nov 2026 at 10:00, Desk wrote:\n{quoted}",
            subject="Re: " + header_of(to_mail, "Subject"),
            to=address_of(to_mail),
            answers=to_mail.message_id,
            message_id=f"<{self.road.now.timestamp()}.{len(text)}@{who.partition('@')[2]}>",
        )
        return self.road.arrive(raw, recipient=address_of(to_mail), proof=proof)

    def tap(self, who: str, mail: OutboundMail, order: str) -> list[OutboundMail]:
        """Press a one-tap link of a mail."""
        text = text_of(mail).replace("%20", " ")
        line = next(part for part in text.split("subject=")[1:] if part.startswith(order))
        again = f"<{self.road.now.timestamp()}@{who.partition('@')[2]}>"
        subject, _, rest = line.partition("&body=")
        raw = make_mail(who, rest.partition(".")[0] + ".", subject=subject, message_id=again)
        self.plan = self.road.arrive(raw)
        self.road.process()
        return self.road.outbox()

    def pass_time(self, span: timedelta) -> list[OutboundMail]:
        """Let time go by and do what falls due."""
        self.road.now += span
        while True:
            with self.road.database.begin() as tx:
                due = timers.claim_due(tx, 10, "test", self.road.now, timedelta(minutes=5))
            if not due:
                return self.road.outbox()
            for timer in due:
                with self.road.database.begin() as tx:
                    clockwork.remind(tx, timer, self.road.settings, self.road.now)

    def ticket(self, number: int = 1):  # type: ignore[no-untyped-def]
        return self.road.ticket(number)

    def timers(self, number: int = 1) -> set[str]:
        with self.road.database.begin() as tx:
            return {timer.kind for timer in timers.list_timers(tx, number)}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def to(mails: list[OutboundMail], recipient: str) -> OutboundMail:
    found = [mail for mail in mails if mail.recipient == recipient]
    assert len(found) == 1, [(m.kind, m.recipient) for m in mails]
    return found[0]


def first(mails: list[OutboundMail]) -> str:
    """The first line of the only mail."""
    assert len(mails) == 1, [(m.kind, m.recipient) for m in mails]
    return text_of(mails[0]).partition("\n")[0]


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    """Alice's offer of Jane's new ticket 1."""
    return to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"), ALICE)


def test_who_is_given_a_ticket_reads_the_customers_last_mail_and_no_note_in_its_place(
    desk: Desk, offer: OutboundMail
) -> None:
    desk.reply(ALICE, offer, "#note She is on the old price list.")
    told = to(desk.reply(ALICE, offer, "#assign bob\n#note Please take it."), BOB)
    assert "We have 10 licences, not 12." in text_of(told) and "Please take it." in text_of(told)
    assert "old price list" not in text_of(told)


# ------------------------------------------------------------------ snooze, followup, ack


def test_a_snoozed_ticket_is_hidden_and_comes_back_at_its_time(desk: Desk, offer: OutboundMail) -> None:
    said = first(desk.reply(ALICE, offer, "#snooze 1d"))
    assert said.startswith("#1 is hidden until ")
    assert "Tue" in said
    assert desk.ticket().state is State.SNOOZED
    assert desk.timers() == {"snooze"}
    assert desk.pass_time(timedelta(hours=23)) == []
    woken = desk.pass_time(timedelta(hours=2))
    assert {mail.recipient for mail in woken} == {ALICE, BOB}
    assert desk.ticket().state is State.NEW


def test_a_snoozed_ticket_wakes_when_the_customer_writes(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "#snooze 2d\n\nI will look into it.")
    assert answer.recipient == JANE
    assert desk.ticket().state is State.SNOOZED
    assert to(desk.reply(JANE, answer, "Any news?"), ALICE).kind == "customer-reply"
    assert desk.ticket().state is State.OPEN
    assert "snooze" not in desk.timers()


@pytest.mark.parametrize("when", ["2020-01-01", "31 feb", "today 00:01"])
@pytest.mark.parametrize("verb", ["snooze", "followup"])
def test_a_time_that_is_past_or_does_not_exist_is_refused(
    desk: Desk, offer: OutboundMail, verb: str, when: str
) -> None:
    asked = desk.reply(ALICE, offer, f"#{verb} {when}")
    assert when in first(asked)
    assert "no time in the future" in first(asked)
    assert desk.ticket().state is State.NEW


def test_a_follow_up_reminds_the_agent_who_asked_if_the_customer_stays_silent(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#followup 3d\n\nPlease send the contract.")
    assert desk.ticket().state is State.WAITING
    (reminder,) = desk.pass_time(timedelta(days=4))
    assert (reminder.kind, reminder.recipient) == ("reminder", ALICE)
    assert "you wanted to be reminded" in text_of(reminder)


def test_the_customers_answer_cancels_a_follow_up(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "#followup 3d\n\nPlease send the contract.")
    desk.reply(JANE, answer, "Here it is.")
    assert "followup" not in desk.timers()


def test_a_bare_follow_up_is_answered_with_the_absolute_time(desk: Desk, offer: OutboundMail) -> None:
    assert "you are reminded on" in first(desk.reply(ALICE, offer, "#followup 12 dec"))


def test_acknowledging_a_reminder_starts_its_clock_again(desk: Desk, offer: OutboundMail) -> None:
    desk.road.now += timedelta(minutes=20)
    assert "the reminder starts again" in first(desk.reply(ALICE, offer, "#ack"))
    assert desk.pass_time(timedelta(minutes=20)) == []
    assert {m.kind for m in desk.pass_time(timedelta(minutes=15))} == {"reminder"}


# ------------------------------------------------------------------ priority, tags, title, inbox


@pytest.mark.parametrize(("word", "value"), [("high", "high"), ("1", "urgent"), ("LOW", "low")])
def test_priority_is_a_word_or_a_number(desk: Desk, offer: OutboundMail, word: str, value: str) -> None:
    assert first(desk.reply(ALICE, offer, f"#prio {word}")) == f"#1 priority {value}."
    assert desk.ticket().priority == value


def test_tags_are_added_and_removed(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#tag VIP, billing")
    desk.reply(ALICE, offer, "#untag billing")
    assert desk.ticket().tags == ("vip",)
    assert first(desk.reply(ALICE, offer, "#tag +new")) == "#1 tags: vip new."


def test_a_tag_in_an_answer_is_silent(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "#tag vip\n\nFixed.")
    assert answer.recipient == JANE
    assert "vip" not in text_of(answer)
    assert desk.ticket().tags == ("vip",)


def test_a_new_title_does_not_change_the_subject_of_mails(desk: Desk, offer: OutboundMail) -> None:
    assert '"Licence count"' in first(desk.reply(ALICE, offer, "#subject Licence count"))
    assert (desk.ticket().title, desk.ticket().subject) == ("Licence count", "Invoice 2231 is wrong")
    (answer,) = desk.reply(ALICE, offer, "It should be 10.")
    assert header_of(answer, "Subject") == "Re: Invoice 2231 is wrong"


def test_a_ticket_moves_to_another_inbox_and_its_old_addresses_keep_working(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "Let me see.")
    desk.reply(JANE, answer, "Thanks.")
    out = desk.reply(ALICE, offer, "#move bill")
    assert to(out, BOB).kind == "offer"
    assert "moved to billing" in text_of(to(out, ALICE))
    assert (desk.ticket().inbox, desk.ticket().owner) == ("billing", None)
    desk.reply(JANE, answer, "And one more.")
    assert [e.kind for e in desk.ticket().events].count("mail") == 3


def test_an_inbox_that_does_not_exist_is_refused_with_the_list(desk: Desk, offer: OutboundMail) -> None:
    asked = desk.reply(ALICE, offer, "#move sales\n\nHi Jane")
    assert "support, billing" in first(asked)
    assert desk.ticket().inbox == "support"


# ------------------------------------------------------------------ participants


def test_a_new_participant_sees_what_is_sent_from_now_on_and_never_the_history(desk: Desk, offer: OutboundMail) -> None:
    out = desk.reply(ALICE, offer, f"#cc {TOM}\n\nTom will send you the form.")
    assert {mail.recipient for mail in out} == {JANE, TOM}
    assert "10 licences" in text_of(to(out, JANE))
    assert "10 licences" not in text_of(to(out, TOM))
    assert desk.reply(TOM, to(out, TOM), "Here is the form.")[0].kind == "customer-reply"
    assert {mail.recipient for mail in desk.reply(ALICE, offer, "Thanks, Tom.")} == {JANE, TOM}


def test_adding_a_participant_is_confirmed_and_twice_is_once(desk: Desk, offer: OutboundMail) -> None:
    for _ in range(2):
        assert TOM in first(desk.reply(ALICE, offer, f"#cc {TOM}"))
    assert [p.address for p in desk.ticket().participants] == [JANE, TOM]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("support@desk.test", "an address of this desk"),
        ("support+x@desk.test", "an address of this desk"),
        (BOB, "Bob Smith, a colleague"),
        ("not@an@address", "no mail address"),
    ],
)
@pytest.mark.parametrize("verb", ["cc", "from"])
def test_our_own_addresses_and_colleagues_cannot_take_part(
    desk: Desk, offer: OutboundMail, verb: str, address: str, why: str
) -> None:
    asked = desk.reply(ALICE, offer, f"#{verb} {address}\n\nHello")
    assert [mail.recipient for mail in asked] == [ALICE]
    if why != "no mail address":
        assert why in first(asked)
    assert len(desk.ticket().participants) == 1


def test_a_participant_who_was_removed_is_a_stranger_again(desk: Desk, offer: OutboundMail) -> None:
    out = desk.reply(ALICE, offer, f"#cc {TOM}\n\nTom will send you the form.")
    assert TOM in first(desk.reply(ALICE, offer, f"#uncc {TOM}"))
    desk.reply(TOM, to(out, TOM), "Here is the form.")
    assert desk.plan.outcome != "file"
    assert [m.recipient for m in desk.reply(ALICE, offer, "Still there, Jane?")] == [JANE]


@pytest.mark.parametrize(("address", "why"), [(TOM, "no part of this"), (JANE, "is the customer")])
def test_only_a_participant_who_is_not_the_customer_can_be_removed(
    desk: Desk, offer: OutboundMail, address: str, why: str
) -> None:
    assert why in first(desk.reply(ALICE, offer, f"#uncc {address}"))


def test_the_customer_of_a_forward_is_corrected_before_anything_is_sent(desk: Desk) -> None:
    mails = desk.write(ALICE, "Somebody called about the printer.", subject="Printer")
    forward = to(mails, ALICE)
    (answer,) = desk.reply(ALICE, forward, f"#from {TOM}\n\nHi Tom, we fix the printer.")
    assert answer.recipient == TOM
    assert "Somebody called" not in text_of(answer)
    customer = desk.ticket().customer
    assert customer.address == TOM
    assert [p.address for p in desk.ticket().participants] == [TOM]


def test_correcting_the_customer_after_mail_was_sent_asks_first(desk: Desk, offer: OutboundMail) -> None:
    asked = desk.reply(ALICE, offer, f"#from {TOM}\n\nHi Tom.")
    assert [m.recipient for m in asked] == [ALICE]
    assert JANE in first(asked)
    assert desk.ticket().customer.address == JANE
    out = desk.reply(ALICE, asked[0], "#send")
    assert {m.recipient for m in out} == {ALICE, TOM}
    assert desk.ticket().customer.address == TOM


def test_correcting_the_customer_can_be_left_alone(desk: Desk, offer: OutboundMail) -> None:
    asked = desk.reply(ALICE, offer, f"#from {TOM}")
    desk.reply(ALICE, asked[0], "#discard")
    assert desk.ticket().customer.address == JANE
    with desk.road.database.begin() as tx:
        assert journal.list_held(tx) == []


# ------------------------------------------------------------------ watch, mute


def test_a_watcher_gets_copies_without_owning(desk: Desk, offer: OutboundMail) -> None:
    mails = desk.write(TOM, "Another matter.")
    assert first(desk.reply(BOB, to(mails, BOB), "#watch")) == "#2 you get copies."
    out = desk.reply(ALICE, to(mails, ALICE), "On it.")
    assert {(m.kind, m.recipient) for m in out} == {("answer", TOM), ("answered", BOB)}
    out = desk.reply(TOM, to(out, TOM), "Thanks!")
    assert {m.recipient for m in out} == {ALICE, BOB}
    assert desk.ticket(2).owner.agent == "alice"


def test_whoever_muted_a_ticket_gets_no_more_of_it(desk: Desk) -> None:
    mails = desk.write(TOM, "Another matter.")
    assert "no more mail" in first(desk.reply(BOB, to(mails, BOB), "mute"))
    out = desk.write(TOM, "And more.", answers=to(mails, TOM).message_id)
    assert [m.recipient for m in out] == [ALICE]


def test_the_owner_cannot_mute_the_ticket(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#claim")
    assert "#release it first" in first(desk.reply(ALICE, offer, "#mute"))


# ------------------------------------------------------------------ spam, block


def test_spam_closes_keeps_the_words_inside_and_can_be_taken_back(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#spam\nseen this one before")
    assert desk.ticket().state is State.SPAM
    assert [e.text for e in desk.ticket().events if e.kind == "note"] == ["seen this one before"]
    assert desk.write(JANE, "Buy more!", answers="<first@customer.test>") == []
    assert desk.timers() == set()
    assert "no spam" in first(desk.reply(ALICE, offer, "#notspam"))
    assert desk.ticket().state is State.NEW


def test_what_is_no_spam_cannot_be_unmarked(desk: Desk, offer: OutboundMail) -> None:
    assert "not marked as spam" in first(desk.reply(ALICE, offer, "#notspam"))


def test_spam_in_answer_to_a_strangers_mail_rejects_that_mail_only(desk: Desk, offer: OutboundMail) -> None:
    notice = to(desk.write("x@evil.test", "Add me.", answers="<first@customer.test>"), ALICE)
    desk.reply(ALICE, notice, "#spam")
    assert desk.ticket().state is State.NEW
    assert desk.ticket().held[0].resolution == "discarded"


def test_a_lead_blocks_a_sender_and_undoes_it(desk: Desk) -> None:
    mails = desk.write("x@evil.test", "Buy!")
    bob = to(mails, BOB)
    assert "only a lead" in first(desk.reply(BOB, bob, "#block"))
    desk.reply(BOB, bob, "#assign carol")
    told = to(desk.reply(BOB, bob, "#note see this @carol"), CAROL)
    out = desk.reply(CAROL, told, "#block")
    assert "x@evil.test goes to quarantine" in text_of(to(out, CAROL))
    assert desk.write("x@evil.test", "Buy more!", subject="Again") == []
    desk.tap(CAROL, to(out, CAROL), "undo")
    assert desk.write("x@evil.test", "Sorry.", subject="Third")


def test_a_lead_lets_a_blocked_sender_in_again_with_notspam(desk: Desk) -> None:
    bob = to(desk.write("x@evil.test", "Buy!"), BOB)
    told = to(desk.reply(BOB, bob, "#note see this @carol"), CAROL)
    desk.reply(CAROL, told, "#spam\n#block")
    assert desk.ticket().state is State.SPAM
    desk.reply(BOB, bob, "#notspam")
    assert desk.write("x@evil.test", "Buy more!", subject="Again") == []
    desk.reply(CAROL, told, "#notspam")
    assert desk.write("x@evil.test", "Sorry.", subject="Third")


def test_a_lead_unblocks_a_sender_of_an_open_ticket_and_is_told_so(desk: Desk) -> None:
    told = to(desk.reply(BOB, to(desk.write("x@evil.test", "Buy!"), BOB), "#note see this @carol"), CAROL)
    desk.reply(CAROL, told, "#block")
    assert "mail from x@evil.test comes in again" in first(desk.reply(CAROL, told, "#unblock"))
    assert desk.write("x@evil.test", "Sorry.", subject="Third")


def test_an_order_that_comes_late_takes_no_ticket_from_whoever_has_it_now(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(BOB, to(desk.write(JANE, "Second", subject="Two"), BOB), "#release")
    desk.reply(ALICE, offer, "#claim")
    bob = to(desk.reply(ALICE, offer, "#note look @bob"), BOB)
    assert "Alice has this ticket" in first(desk.reply(BOB, bob, "#release"))
    assert desk.ticket().owner.address == ALICE
    desk.reply(CAROL, desk.write(CAROL, "", subject="#show 1")[0], "#release")
    assert desk.ticket().owner is None


def test_who_is_given_a_ticket_sees_who_wrote_the_last_words(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "Dear Jane, I look into it.")
    given = to(desk.reply(ALICE, offer, "#assign bob"), BOB)
    assert "Alice Ahmed:\nDear Jane, I look into it." in text_of(given)
    assert header_of(given, "From").startswith("Alice Ahmed via Desk")


# ------------------------------------------------------------------ merge


def both(desk: Desk, second: str = JANE) -> tuple[OutboundMail, OutboundMail]:
    """Alice's offers of two tickets."""
    one = to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"), ALICE)
    two = to(desk.write(second, "The PDF is broken too.", subject="PDF", message_id="<second@customer.test>"), ALICE)
    return one, two


def test_a_merged_ticket_lives_on_in_the_other_with_its_history(desk: Desk) -> None:
    _, two = both(desk)
    said = desk.reply(ALICE, two, "#merge 1")
    assert first(said) == "#2 is part of 1 now."
    merged, target = desk.ticket(2), desk.ticket(1)
    assert (merged.state, merged.merged_into) == (State.CLOSED, 1)
    assert [e.text.strip() for e in target.events if e.kind == "mail"] == [
        "We have 10 licences, not 12.",
        "The PDF is broken too.",
    ]


def test_old_tokens_and_message_ids_of_a_merged_ticket_lead_to_the_other(desk: Desk) -> None:
    _, two = both(desk)
    (earlier,) = desk.reply(ALICE, two, "Which PDF?")
    desk.reply(ALICE, two, "#merge 1")
    desk.reply(JANE, earlier, "The one of Monday.")
    assert desk.ticket(1).events[-2].text.strip() == "The one of Monday."
    (answer,) = desk.reply(ALICE, two, "I see, thanks.")
    assert (answer.ticket, answer.recipient) == (1, JANE)
    desk.write(JANE, "PS", subject="Re: PDF", answers="<second@customer.test>")
    assert "PS" in [e.text.strip() for e in desk.ticket(1).events]
    assert len(desk.ticket(2).events) < len(desk.ticket(1).events)


def test_a_late_answer_to_a_merged_ticket_still_collides(desk: Desk) -> None:
    one, two = both(desk)
    desk.reply(ALICE, two, "#merge 1")
    desk.reply(ALICE, one, "All of it is fixed.")
    bobs = to_bob_of(desk, 2)
    (held,) = desk.reply(BOB, bobs, "I am looking at the PDF.")
    assert (held.kind, held.recipient) == ("held", BOB)


def to_bob_of(desk: Desk, number: int) -> OutboundMail:
    """Bob's offer of a ticket, as it was sent."""
    return offer_of(desk, number, BOB)


def offer_of(desk: Desk, number: int, recipient: str) -> OutboundMail:
    offered = next(e for e in desk.ticket(number).events if e.kind == "offer")
    with desk.road.database.begin() as tx:
        sent = deliveries.find_of_event(tx, number, offered.number)
    return next(entry.delivery.mail for entry in sent if entry.delivery.mail.recipient == recipient)


@pytest.mark.parametrize(("first_word", "done"), [("#send", True), ("#merge 1", True), ("#discard", False)])
def test_merging_another_customers_ticket_asks_first(desk: Desk, first_word: str, done: bool) -> None:
    _, two = both(desk, second=TOM)
    asked = desk.reply(ALICE, two, "#merge 1")
    assert TOM in first(asked)
    assert desk.ticket(2).merged_into == 0
    desk.reply(ALICE, asked[0], first_word)
    assert desk.ticket(2).merged_into == (1 if done else 0)
    if done:
        assert {p.address for p in desk.ticket(1).participants} == {JANE, TOM}


def test_merging_into_a_closed_ticket_asks_first(desk: Desk) -> None:
    one, two = both(desk)
    desk.reply(ALICE, one, "#close")
    asked = desk.reply(ALICE, two, "#merge 1")
    assert "1 is closed" in first(asked)
    desk.reply(ALICE, asked[0], "#merge 1")
    assert desk.ticket(1).state is State.NEW or desk.ticket(1).state is State.OPEN


@pytest.mark.parametrize(
    ("argument", "why"), [("99", "no ticket 99"), ("2", "2 is this ticket"), ("1 99", "no ticket 99")]
)
def test_a_ticket_that_cannot_be_merged_is_refused(desk: Desk, argument: str, why: str) -> None:
    _, two = both(desk)
    assert why in first(desk.reply(ALICE, two, f"#merge {argument}"))
    assert desk.ticket(2).merged_into == 0


def test_a_ticket_of_an_inbox_one_does_not_work_for_is_refused(desk: Desk) -> None:
    one, two = both(desk)
    desk.reply(ALICE, one, "#move billing")
    assert "do not work for" in first(desk.reply(ALICE, two, "#merge 1"))


def test_merging_beside_an_answer_is_refused_and_loses_nothing(desk: Desk) -> None:
    _, two = both(desk)
    asked = desk.reply(ALICE, two, "#merge 1\n\nBoth are fixed.")
    assert "has to stand alone" in first(asked)
    assert [m.recipient for m in desk.reply(ALICE, asked[0], "#send")] == [ALICE, JANE]


def test_several_tickets_are_merged_at_once_and_a_chain_is_followed(desk: Desk) -> None:
    _, two = both(desk)
    three = to(desk.write(JANE, "Third.", subject="Third", message_id="<third@customer.test>"), ALICE)
    four = to(desk.write(JANE, "Fourth.", subject="Fourth"), ALICE)
    desk.reply(ALICE, three, "#merge 2 1")
    assert (desk.ticket(3).merged_into, desk.ticket(1).merged_into) == (2, 2)
    desk.reply(ALICE, two, "#merge 4")
    (answer,) = desk.reply(ALICE, three, "All four are fixed.")
    assert answer.ticket == 4
    assert four.ticket == 4


def test_a_confirmed_question_does_not_wait_in_the_other_ticket(desk: Desk) -> None:
    _, two = both(desk, second=TOM)
    asked = desk.reply(ALICE, two, "#note same office\n#merge 1")
    desk.reply(ALICE, asked[0], "#send")
    assert [h for h in desk.ticket(1).held if not h.resolution] == []
    assert "same office" in [e.text for e in desk.ticket(1).events if e.kind == "note"]
    with desk.road.database.begin() as tx:
        assert journal.list_held(tx) == []


def test_owners_are_told_of_a_merge_that_touches_their_ticket(desk: Desk) -> None:
    both(desk)
    bobs_one, bobs_two = to_bob_of(desk, 1), to_bob_of(desk, 2)
    alices = desk.reply(ALICE, offer_of(desk, 2, ALICE), "#prio high")[0]
    desk.reply(BOB, bobs_two, "#claim")
    out = desk.reply(ALICE, alices, "#merge 1")
    assert "#2 is part of #1 now - that is yours" in text_of(to(out, BOB))
    desk.write(JANE, "And a third.", subject="Third")
    desk.reply(BOB, bobs_one, "Fixed.")
    out = desk.reply(ALICE, offer_of(desk, 3, ALICE), "#merge 1")
    assert (to(out, BOB).kind, to(out, BOB).ticket) == ("customer-reply", 1)
    assert desk.ticket(1).state is State.OPEN


def test_a_merged_number_means_the_ticket_it_went_into(desk: Desk) -> None:
    one, two = both(desk)
    three = to(desk.write(JANE, "Third.", subject="Third"), ALICE)
    desk.reply(ALICE, two, "#merge 1")
    assert "2 is this ticket" in first(desk.reply(ALICE, one, "#merge 2"))
    assert first(desk.reply(ALICE, three, "#merge 2")) == "#3 is part of 1 now."


def test_a_bounce_of_a_merged_tickets_answer_reopens_the_other(desk: Desk) -> None:
    _, two = both(desk)
    (answer,) = desk.reply(ALICE, two, "Fixed.")
    desk.reply(ALICE, two, "#merge 1")
    desk.reply(ALICE, two, "#close")
    with desk.road.database.begin() as tx:
        attempt = Attempt("failed", "550 5.1.1 no such user")
        delivery = Delivery(id=0, mail=answer, attempt=1, queued_at=desk.road.now)
        deliver._tell_author(tx, delivery, attempt.reply, desk.road.settings, desk.road.now, final=True)
    told = to(desk.road.outbox(), ALICE)
    assert (told.kind, told.ticket) == ("undelivered", 1)
    assert desk.ticket(1).state is State.OPEN


def test_a_report_about_mail_of_a_merged_ticket_fails_exactly_that_delivery(desk: Desk) -> None:
    _, two = both(desk)
    (answer,) = desk.reply(ALICE, two, "Fixed.")
    desk.reply(ALICE, two, "#merge 1")
    report = make_mail(
        "mailer-daemon@customer.test",
        "Undelivered: 550 5.1.1 no such user",
        subject="Undelivered Mail Returned to Sender",
        to=answer.reverse_path,
        extra=f"X-Failed-Recipients: {JANE}\r\nAuto-Submitted: auto-replied",
    )
    plan = desk.road.arrive(report, recipient=answer.reverse_path, reverse_path="", proof=Proof.NONE)
    assert (plan.outcome, plan.ticket) == ("report", 1)
    assert to(desk.road.outbox(), ALICE).kind == "undelivered"
    with desk.road.database.begin() as tx:
        (entry,) = deliveries.find_of_event(tx, 2, answer.event)
    assert entry.state is deliveries.DeliveryState.FAILED


def test_a_merge_is_undone_with_one_tap(desk: Desk) -> None:
    _, two = both(desk, second=TOM)
    asked = desk.reply(ALICE, two, "#merge 1")
    (said,) = desk.reply(ALICE, asked[0], "#send")
    assert "#2 is on its own again" in first(desk.tap(ALICE, said, "undo"))
    assert (desk.ticket(2).merged_into, desk.ticket(2).state) == (0, State.NEW)
    assert [p.address for p in desk.ticket(1).participants] == [JANE]
    assert [e.text.strip() for e in desk.ticket(1).events if e.kind == "mail"] == ["We have 10 licences, not 12."]
    (answer,) = desk.reply(ALICE, two, "Hi Tom.")
    assert (answer.ticket, answer.recipient) == (2, TOM)
    assert "undone before" in first(desk.tap(ALICE, said, "undo"))


def test_a_merge_cannot_be_undone_after_30_days(desk: Desk) -> None:
    one, two = both(desk)
    desk.reply(ALICE, two, "#merge 1")
    desk.road.now += timedelta(days=31)
    assert "no command of yours" in first(desk.reply(ALICE, one, "#undo"))


def test_a_held_answer_follows_its_ticket_into_the_other(desk: Desk) -> None:
    _, two = both(desk)
    desk.reply(ALICE, two, "Fixed.")
    (held,) = desk.reply(BOB, to_bob_of(desk, 2), "I will look into it tomorrow.")
    desk.reply(ALICE, two, "#merge 1")
    out = desk.reply(BOB, held, "#send")
    assert [(m.recipient, m.ticket) for m in out if m.kind == "answer"] == [(JANE, 1)]


# ------------------------------------------------------------------ split


def test_a_mail_is_split_off_into_a_ticket_of_its_own_and_back(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "Fixed.")
    news = to(desk.reply(JANE, answer, "Another thing: our address changed."), ALICE)
    out = desk.reply(ALICE, news, "#split Address change")
    assert {m.kind for m in out} == {"command", "assigned"}
    fresh = desk.ticket(2)
    assert (fresh.subject, fresh.customer.address, fresh.owner.agent) == ("Address change", JANE, "alice")
    assert [e.text.strip() for e in fresh.events if e.kind == "mail"] == ["Another thing: our address changed."]
    own = next(m for m in out if m.kind == "assigned")
    assert header_of(own, "Subject") == "[#2] Address change"
    (reply,) = desk.reply(ALICE, own, "Noted.")
    assert (reply.ticket, header_of(reply, "Subject")) == (2, "Re: Address change")
    desk.reply(ALICE, news, "#undo")
    assert desk.ticket(2).merged_into == 1
    assert "Noted." in [e.text.strip() for e in desk.ticket(1).events]


def test_the_first_mail_cannot_be_split_off_and_no_number_is_lost(desk: Desk, offer: OutboundMail) -> None:
    assert "nothing would be left" in first(desk.reply(ALICE, offer, "#split"))
    assert to(desk.write(TOM, "Next."), ALICE).ticket == 2


# ------------------------------------------------------------------ undo


def test_the_last_command_is_undone_and_then_the_one_before(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#prio high")
    desk.reply(ALICE, offer, "#claim")
    assert first(desk.reply(ALICE, offer, "#undo")) == "#1 undone: taking it. It is free for anyone again."
    assert (desk.ticket().owner, desk.ticket().state, desk.ticket().priority) == (None, State.NEW, "high")
    desk.reply(ALICE, offer, "#undo")
    assert desk.ticket().priority == "normal"
    assert "no command of yours" in first(desk.reply(ALICE, offer, "#undo"))


def test_pressing_the_undo_link_twice_undoes_once(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#prio high")
    (said,) = desk.reply(ALICE, offer, "claim")
    desk.tap(ALICE, said, "undo")
    desk.tap(ALICE, said, "undo")
    assert (desk.ticket().owner, desk.ticket().priority) == (None, "high")


def test_what_a_colleague_changed_since_is_not_undone(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#prio high")
    desk.reply(BOB, to_bob_of(desk, 1), "#prio low")
    assert "changed again since" in first(desk.reply(ALICE, offer, "#undo"))
    assert desk.ticket().priority == "low"


def test_an_answer_inside_hold_seconds_is_called_back(database: Database) -> None:
    desk = Desk(database, replace(DESK, send=Send(hold_seconds=120)))
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    assert desk.reply(ALICE, offer, "It is 12.") == []
    said = desk.reply(ALICE, offer, "#undo")
    assert "the answer was not sent" in first(said)
    desk.road.now += timedelta(minutes=5)
    assert desk.road.outbox() == []
    assert (desk.ticket().state, desk.ticket().owner) == (State.NEW, None)
    assert [e.kind for e in desk.ticket().events if e.public] == ["mail", "ack"]


def test_an_answer_that_was_sent_cannot_be_called_back(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "It is 12.")
    assert "has been sent" in first(desk.reply(ALICE, offer, "#undo"))
    assert desk.ticket().state is State.WAITING


def test_a_move_and_a_snooze_are_undone(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#claim")
    desk.reply(ALICE, offer, "#move billing")
    desk.reply(ALICE, offer, "#undo")
    assert (desk.ticket().inbox, desk.ticket().owner.agent) == ("support", "alice")
    desk.reply(ALICE, offer, "#snooze 1d")
    desk.reply(ALICE, offer, "#undo")
    assert desk.ticket().state is State.OPEN
    assert desk.timers() == {"unanswered-1", "unanswered-2"}


def test_an_own_setting_is_undone(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#quiet 18-8")
    desk.reply(ALICE, offer, "#undo")
    assert "off" in first(desk.reply(ALICE, offer, "#quiet"))


# ------------------------------------------------------------------ own settings


def test_quiet_hours_delay_mail_but_not_the_answer_to_a_command(desk: Desk, offer: OutboundMail) -> None:
    assert "18:00-08:00" in first(desk.reply(ALICE, offer, "#quiet 18-8"))
    desk.road.now = datetime(2026, 11, 23, 19, 0, tzinfo=UTC)
    assert ALICE not in {m.recipient for m in desk.write(TOM, "Late.", subject="Late")}
    assert "18:00-08:00" in first(desk.reply(ALICE, offer, "#quiet"))
    desk.road.now = datetime(2026, 11, 24, 8, 1, tzinfo=UTC)
    assert ALICE in {m.recipient for m in desk.road.outbox()}
    assert "off" in first(desk.reply(ALICE, offer, "#quiet off"))


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("#quiet 25-99", "are no hours"),
        ("#timezone Mars/Olympus", "do not know the time zone"),
        ("#away until 2020-01-01", "no time in the future"),
        ("#away to zoe", "do not know who"),
        ("#away to alice", "stand in for yourself"),
        ("#away to olga", "only reads"),
        ("#also support@desk.test", "an address of this desk"),
        (f"#also {BOB}", "a colleague"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(desk: Desk, offer: OutboundMail, order: str, why: str) -> None:
    assert why in first(desk.reply(ALICE, offer, order))


def test_times_are_meant_and_said_in_the_agents_own_zone(desk: Desk, offer: OutboundMail) -> None:
    assert "Asia/Tokyo" in first(desk.reply(ALICE, offer, "#timezone asia/tokyo"))
    said = first(desk.reply(ALICE, offer, "#snooze tomorrow"))
    assert "09:00" in said
    assert desk.ticket().snoozed_until == datetime(2026, 11, 24, 0, 0, tzinfo=UTC)


def test_an_absent_owners_ticket_goes_to_the_pool_on_the_next_customer_mail(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "Fixed.")
    assert "until you say #back" in first(desk.reply(ALICE, offer, "#away"))
    assert desk.ticket().owner is not None
    assert [m.recipient for m in desk.reply(JANE, answer, "Not yet.")] == [BOB]
    assert (desk.ticket().owner, desk.ticket().state) == (None, State.NEW)


def test_an_absent_owners_ticket_goes_to_the_stand_in(desk: Desk, offer: OutboundMail) -> None:
    (answer,) = desk.reply(ALICE, offer, "Fixed.")
    desk.reply(ALICE, offer, "#away until fri to bob")
    assert [m.recipient for m in desk.reply(JANE, answer, "Not yet.")] == [BOB]
    assert desk.ticket().owner.agent == "bob"


def test_whoever_is_back_gets_mail_again_by_word_or_by_time(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#away until tomorrow")
    assert ALICE not in {m.recipient for m in desk.write(TOM, "One", subject="One")}
    desk.road.now += timedelta(days=1)
    assert ALICE in {m.recipient for m in desk.write(TOM, "Two", subject="Two")}
    desk.reply(ALICE, offer, "#away")
    assert "Welcome back" in first(desk.reply(ALICE, offer, "#back"))
    assert ALICE in {m.recipient for m in desk.write(TOM, "Three", subject="Three")}


def test_a_further_address_may_write_from_then_on(desk: Desk, offer: OutboundMail) -> None:
    (asked,) = desk.reply("alice@phone.test", offer, "It is 10, sorry.")
    assert asked.recipient == ALICE
    out = desk.reply(ALICE, asked, "#also alice@phone.test")
    assert {m.recipient for m in out} == {ALICE, JANE}
    assert "It is 10" in text_of(to(out, JANE))
    assert desk.ticket().held[0].resolution == "admitted"
    (answer,) = desk.reply("alice@phone.test", offer, "And thanks.")
    assert answer.recipient == JANE


def test_leads_are_told_when_it_was_not_the_agent(desk: Desk, offer: OutboundMail) -> None:
    (asked,) = desk.reply("mallory@evil.test", offer, "Send it to my account.")
    told = to(desk.reply(ALICE, asked, "#discard"), CAROL)
    assert "mallory@evil.test" in text_of(told)
    assert "Send it to my account." in text_of(told)
    note = desk.reply(CAROL, told, "Thanks, I am on it.")
    assert JANE not in {m.recipient for m in note}


def test_own_settings_need_no_ticket(desk: Desk) -> None:
    (said,) = desk.write(ALICE, "", subject="#away until fri to bob")
    assert (said.recipient, said.ticket) == (ALICE, 0)
    assert "You are away until Fri" in text_of(said)
    assert ALICE not in {m.recipient for m in desk.write(JANE, "Hello")}
    (said,) = desk.write(ALICE, "", subject="#timezone Mars/Olympus")
    assert "do not know the time zone" in text_of(said)


def test_a_further_address_does_not_help_mail_without_proof(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#also alice@phone.test")
    out = desk.reply("alice@phone.test", offer, "#close", proof=Proof.NONE)
    assert [m.recipient for m in out] == [ALICE]
    assert desk.ticket().state is State.NEW


def test_a_further_address_cannot_add_another(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#also alice@phone.test")
    out = desk.reply("alice@phone.test", offer, "#also mallory@evil.test")
    assert "only from your registered address" in first(out)


# ------------------------------------------------------------------ mail that nobody can prove


def test_answering_the_notice_of_an_unproven_mail_accepts_it(desk: Desk, offer: OutboundMail) -> None:
    desk.road.arrive(make_mail(JANE, "From my other system.", answers="<first@customer.test>"), proof=Proof.NONE)
    notice = to(desk.road.outbox(), ALICE)
    out = desk.reply(ALICE, notice, "Thanks, that helps.")
    assert [(m.kind, m.recipient) for m in out] == [("answer", JANE)]
    assert desk.ticket().held[0].resolution == "admitted"
    assert [e.text.strip() for e in desk.ticket().events if e.kind == "mail"][-1] == "From my other system."
    assert (desk.ticket().state, desk.timers()) == (State.WAITING, {"waiting"})


def test_a_note_on_the_notice_of_an_unproven_mail_leaves_it_held(desk: Desk, offer: OutboundMail) -> None:
    desk.road.arrive(make_mail(JANE, "From my other system.", answers="<first@customer.test>"), proof=Proof.NONE)
    notice = to(desk.road.outbox(), ALICE)
    desk.reply(ALICE, notice, "#note is that her?")
    assert desk.ticket().held[0].resolution == ""


# ------------------------------------------------------------------ who may, and what goes together


@pytest.mark.parametrize("order", ["#close", "#snooze 1d", "#cc x@y.test", "#merge 1", "#block", "#from x@y.test"])
def test_an_observer_changes_nothing(desk: Desk, offer: OutboundMail, order: str) -> None:
    note = to(desk.reply(ALICE, offer, "#note for your eyes @olga"), "olga@corp.test")
    said = first(desk.reply("olga@corp.test", note, order))
    assert "not allowed for you: only a" in said and "a agent" not in said
    assert desk.ticket().state is State.NEW


def test_an_observer_who_watches_writes_to_nobody_outside(desk: Desk, offer: OutboundMail) -> None:
    note = to(desk.reply(ALICE, offer, "#note for your eyes @olga"), "olga@corp.test")
    desk.reply("olga@corp.test", note, "#watch")
    copy = to(desk.reply(ALICE, offer, "Fixed."), "olga@corp.test")
    asked = desk.reply("olga@corp.test", copy, "I would not say so.")
    assert [m.recipient for m in asked] == ["olga@corp.test"]
    assert "you only read here" in first(asked)
    out = desk.reply("olga@corp.test", asked[0], "#send")
    assert JANE not in {m.recipient for m in out}
    out = desk.reply("olga@corp.test", asked[0], "#note")
    assert JANE not in {m.recipient for m in out}
    assert "I would not say so." in [e.text for e in desk.ticket().events if e.kind == "note"]


@pytest.mark.parametrize("text", ["Hello Jane.", "#close", "#noet hm\n\nHello Jane."])
def test_an_observer_who_was_refused_can_leave_it_and_is_offered_no_sending(desk: Desk, text: str) -> None:
    desk.write(JANE, "Help, please.")
    desk.road.settings = replace(
        DESK, inbox={**DESK.inbox, "support": replace(DESK.inbox["support"], agents=("alice", "bob", "olga"))}
    )
    (shown,) = desk.write("olga@corp.test", "", subject="#show 1")
    (notice,) = desk.reply("olga@corp.test", shown, text)
    assert "#send" not in text_of(notice) and "subject=send" not in text_of(notice)
    if text == "#close":
        assert "or leave it" in text_of(notice)
        return
    assert "thrown away" in first(desk.tap("olga@corp.test", notice, "discard"))
    assert [held.resolution for held in desk.ticket().held] == ["discarded"]


def test_an_observer_may_watch(desk: Desk, offer: OutboundMail) -> None:
    note = to(desk.reply(ALICE, offer, "#note for your eyes @olga"), "olga@corp.test")
    assert "you get copies" in first(desk.reply("olga@corp.test", note, "#watch"))


def test_only_a_lead_gives_a_colleagues_ticket_away(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#claim")
    assert "only a lead" in first(desk.reply(BOB, to_bob_of(desk, 1), "#assign carol"))
    assert "only reads" in first(desk.reply(ALICE, offer, "#assign olga"))


@pytest.mark.parametrize("orders", ["#close\n#snooze 1d", "#spam\n#followup 1d", "#claim\n#assign bob", "#away\n#back"])
def test_commands_that_contradict_each_other_do_nothing(desk: Desk, offer: OutboundMail, orders: str) -> None:
    assert "do not go together" in first(desk.reply(ALICE, offer, orders))
    assert (desk.ticket().state, desk.ticket().owner) == (State.NEW, None)


def test_people_added_below_a_held_answer_get_it_too(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "It is 10.")
    (held,) = desk.reply(BOB, to_bob_of(desk, 1), "It is 12.")
    out = desk.reply(BOB, held, f"#cc {TOM}\n#send")
    assert {m.recipient for m in out if m.kind == "answer"} == {JANE, TOM}


def test_a_colleague_may_be_named_by_address(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, f"#assign {BOB}")
    assert desk.ticket().owner.agent == "bob"


def test_the_same_command_twice_is_as_good_as_once(desk: Desk, offer: OutboundMail) -> None:
    for order in ("#claim", "#prio high", "#tag vip", "#watch", "#spam", "#move support"):
        assert first(desk.reply(ALICE, offer, order)) == first(desk.reply(ALICE, offer, order))


def test_every_verb_of_the_grammar_is_carried_out() -> None:
    assert {verb.name for verb in VERBS} - set(DEEDS) <= {"note", "send", "report", "ask", "new"}


# ------------------------------------------------------------------ at the shell


def at_the_shell(desk: Desk, text: str, handle: str = "alice", sure: bool = False) -> pipeline.Decision:
    with desk.road.database.begin() as tx:
        decision = pipeline.decide_command(tx, 1, text, handle, desk.road.settings, desk.road.now, sure=sure)
        if decision.plan.outcome != "hold":
            pipeline.carry_out(tx, decision, None, desk.road.now)
    return decision


def test_an_operator_does_what_an_agent_would_and_only_others_are_mailed(desk: Desk, offer: OutboundMail) -> None:
    at_the_shell(desk, "#assign bob")
    assert [(m.kind, m.recipient) for m in desk.road.outbox()] == [("assigned", BOB)]
    assert desk.ticket().owner.agent == "bob"
    at_the_shell(desk, "#undo")
    assert desk.ticket().owner is None


@pytest.mark.parametrize("text", ["#assign zoe", "#clsoe", "#block", "#merge 7", "#snooze 2020-01-01"])
def test_what_is_refused_by_mail_is_refused_at_the_shell_and_leaves_nothing(
    desk: Desk, offer: OutboundMail, text: str
) -> None:
    before = desk.ticket()
    assert at_the_shell(desk, text).plan.outcome == "hold"
    assert desk.ticket() == before
    assert desk.road.outbox() == []


def test_nobody_acts_for_an_agent_who_is_none(desk: Desk, offer: OutboundMail) -> None:
    with pytest.raises(LookupError):
        at_the_shell(desk, "#close", "zoe")


def test_a_refused_command_is_corrected_by_reply(desk: Desk, offer: OutboundMail) -> None:
    asked = desk.reply(ALICE, offer, "#assign zoe")
    desk.reply(ALICE, asked[0], "#assign bob")
    assert desk.ticket().owner.agent == "bob"
    with desk.road.database.begin() as tx:
        assert journal.list_held(tx) == []


def test_sending_a_held_command_without_text_sends_nothing(desk: Desk, offer: OutboundMail) -> None:
    asked = desk.reply(ALICE, offer, "#assign zoe")
    out = desk.reply(ALICE, asked[0], "#send")
    assert JANE not in {m.recipient for m in out}


def test_a_removed_agents_command_does_nothing(desk: Desk, offer: OutboundMail) -> None:
    gone = {**DESK.agents, "alice": replace(DESK.agents["alice"], enabled=False)}
    desk.road.settings = replace(DESK, agents=gone)
    with desk.road.database.begin() as tx:
        tickets.ensure_agents(tx, desk.road.settings)
    desk.reply(ALICE, offer, "#close")
    assert desk.ticket().state is State.NEW


def test_a_held_answer_is_sent_with_one_tap_once(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "It is 10.")
    (held,) = desk.reply(BOB, to_bob_of(desk, 1), "It is 12.")
    sent = [desk.tap(BOB, held, "send") for _ in range(2)]
    assert [JANE in {m.recipient for m in mails} for mails in sent] == [True, False]


def test_an_answer_that_closes_a_closed_ticket_is_its_closing(desk: Desk, offer: OutboundMail) -> None:
    bobs = to_bob_of(desk, 1)
    desk.reply(ALICE, offer, "#close")
    desk.reply(BOB, bobs, "#close\n\nIt is 10.")
    kinds = [event.kind for event in desk.ticket().events if event.kind in ("answer", "close")]
    assert (desk.ticket().state, kinds) == (State.CLOSED, ["close", "answer", "close"])


# ------------------------------------------------------------------ help with one verb; a follow-up and the silence


def test_help_with_one_verb_explains_it(desk: Desk, offer: OutboundMail) -> None:
    (said,) = desk.reply(ALICE, offer, "#help hide")
    text = text_of(said)
    assert "#snooze WHEN\nout of everybody's lists until then" in text
    assert "  #snooze mon 9am\n" in text
    assert "Also: #hide" in text and "Agents and leads." in text
    assert "#claim" not in text, "the one verb, not all of them"
    assert "Leads only." in text_of(to(desk.write(ALICE, "", subject="#help block"), ALICE))


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_is_explained(desk: Desk, verb: str) -> None:
    text = text_of(to(desk.write(ALICE, "", subject=f"#help {verb}"), ALICE))
    assert text.startswith(f"#{verb}")
    assert f"  #{verb}" in text


def test_who_asks_for_a_follow_up_is_not_asked_about_the_silence_before(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "Please send the contract.")
    assert "waiting" in desk.timers()
    desk.reply(ALICE, offer, "#followup 12d")
    assert desk.timers() == {"followup"}
    assert desk.pass_time(timedelta(days=11)) == []
    (said,) = desk.pass_time(timedelta(days=2))
    assert (said.kind, said.recipient) == ("reminder", ALICE)
    assert "waiting" in desk.timers(), "the silence goes on being watched"


# ------------------------------------------------------------------ moving by the rules of the other inbox


def rotating(database: Database, mode: str = "rotate") -> Desk:
    billing = replace(DESK.inbox["billing"], agents=("bob", "carol"), offer=Offer(mode=mode))
    return Desk(database, replace(DESK, inbox={**DESK.inbox, "billing": billing}))


def test_a_moved_ticket_is_offered_as_its_new_inbox_offers(database: Database) -> None:
    desk = rotating(database)
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    out = desk.reply(ALICE, offer, "#move billing")
    assert [(m.kind, m.recipient) for m in out if m.kind == "offer"] == [("offer", BOB)]
    later = desk.pass_time(timedelta(minutes=16))
    assert [m.recipient for m in later if m.kind == "offer"] == [CAROL]


def test_an_inbox_that_offers_nothing_is_not_offered_what_moves_there(database: Database) -> None:
    desk = rotating(database, mode="none")
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    assert [m.kind for m in desk.reply(ALICE, offer, "#move billing")] == ["command"]
    assert "unclaimed-1" in desk.timers()


def test_an_owner_who_does_not_work_there_is_told(database: Database) -> None:
    desk = rotating(database)
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#claim")
    (shown,) = desk.write(BOB, "", subject="#show 1")
    out = desk.reply(BOB, shown, "#move billing")
    assert "Bob moved it to Billing. You get no more mail about it" in text_of(to(out, ALICE))


@pytest.mark.parametrize("text", ["#claim", "It is 10 now."])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_others_hear_who_took_a_ticket_where_that_is_wanted(database: Database, text: str, wanted: bool) -> None:
    support = replace(DESK.inbox["support"], offer=Offer(announce_claims=wanted))
    desk = Desk(database, replace(DESK, inbox={**DESK.inbox, "support": support}))
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    heard = [text_of(m) for m in desk.reply(ALICE, offer, text) if m.recipient == BOB]
    assert [said.partition("\n")[0] for said in heard] == (["#1 Alice has it now"] if wanted else [])
    assert [m.recipient for m in desk.reply(ALICE, offer, text) if m.recipient == BOB] == [], "once"
