"""An agent writes to a customer first: ``#new jane@customer.test Subject`` opens the ticket, or nothing is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.model import OutboundMail, Plan, Proof, State
from gateway.settings import Security, Send
from gateway.store.database import Database
from tests.rules.test_properties_conversation import everything_in
from tests.store.test_direct import SUPPORT, Signed
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, TOM, Desk, to
from tests.support.spine import address_of, header_of, make_mail, text_of

TEXT = f"#new {JANE} Your order 4711\n\nHello Jane,\n\nyour pump is ready.\n\nAlice"
OLGA = "olga@corp.test"


class Beginning(Desk):
    def __init__(self, database: Database, settings: object = DESK) -> None:
        self.road = Signed(database, settings)  # type: ignore[arg-type]

    def begin(
        self,
        text: str = TEXT,
        *,
        who: str = ALICE,
        proof: Proof = Proof.DKIM,
        recipient: str = SUPPORT,
        inbox: str = "support",
        **options: str,
    ) -> list[OutboundMail]:
        """A new mail of an agent to the inbox."""
        raw = make_mail(who, text, **{"to": recipient, "subject": "Pump", "message_id": "<a1@corp.test>"} | options)
        self.plan: Plan = self.road.arrive(raw, recipient=recipient, proof=proof, inbox=inbox)
        return self.road.outbox()

    def tickets(self) -> list[int]:
        found = []
        for number in range(1, 5):
            try:
                found.append(self.road.ticket(number).number)
            except AssertionError:
                break
        return found


@pytest.fixture
def desk(database: Database) -> Beginning:
    return Beginning(database)


def refused(desk: Beginning, sent: list[OutboundMail], words: str) -> str:
    """Nothing left the house, nothing was opened, and the author alone was told why, with the text."""
    assert [m.recipient for m in sent] == [ALICE]
    text = text_of(sent[0])
    assert words in " ".join(text.split())
    assert "Nothing was sent, and no ticket was opened." in text
    assert desk.tickets() == []
    return text


# ------------------------------------------------------------------ what the customer gets


def test_the_customer_gets_the_words_and_nothing_of_the_desk(desk: Beginning) -> None:
    mail = to(desk.begin(), JANE)
    assert "your pump is ready" in text_of(mail)
    assert header_of(mail, "Subject") == "Your order 4711"
    assert header_of(mail, "From") == '"Alice Ahmed (Desk)" <support@desk.test>'
    assert address_of(mail).startswith("support+t-") or address_of(mail).startswith("support+")
    for hidden in (ALICE, "#new", "<a1@corp.test>", "In-Reply-To", "Auto-Submitted", "X-Ticket:"):
        assert hidden not in everything_in(mail)


def test_the_ticket_is_the_agents_and_waits_and_the_agent_gets_its_number(desk: Beginning) -> None:
    sent = desk.begin()
    assert [m.recipient for m in sent] == [JANE, ALICE]
    assert text_of(sent[1]).splitlines()[0] == f"#1 yours - sent to {JANE}; waiting for the answer"
    assert header_of(sent[1], "In-Reply-To") == "<a1@corp.test>"
    ticket = desk.ticket()
    assert ticket.customer and ticket.owner
    assert (ticket.state, ticket.owner.address, ticket.customer.address) == (State.WAITING, ALICE, JANE)
    assert [p.address for p in ticket.participants] == [JANE]
    assert not desk.timers() & {"unclaimed-1", "unanswered-1", "offer"}


def test_the_answer_of_the_customer_comes_to_the_agent_and_goes_on_as_ever(desk: Beginning) -> None:
    first = to(desk.begin(), JANE)
    told = desk.reply(JANE, first, "I shall fetch it on Friday.")
    assert [m.recipient for m in told] == [ALICE] and desk.plan.ticket == 1
    assert desk.ticket().state is State.OPEN
    answer = to(desk.reply(ALICE, told[0], "See you then."), JANE)
    assert header_of(answer, "Subject") == "Re: Your order 4711"
    assert first.message_id in header_of(answer, "References")


def test_a_customer_who_answers_without_the_reply_address_is_known_by_the_message_id(desk: Beginning) -> None:
    first = to(desk.begin(), JANE)
    desk.write(JANE, "Thank you!", answers=first.message_id, subject="Re: Your order 4711")
    assert desk.tickets() == [1]


def test_the_agent_writes_again_by_answering_the_line(desk: Beginning) -> None:
    line = to(desk.begin(), ALICE)
    again = to(desk.reply(ALICE, line, "Please bring the old one."), JANE)
    assert header_of(again, "Subject") == "Re: Your order 4711"
    assert "Please bring the old one." in text_of(again)


def test_without_words_behind_the_address_the_subject_of_the_mail_is_taken(desk: Beginning) -> None:
    assert header_of(to(desk.begin(f"#new {JANE}\nHello!"), JANE), "Subject") == "Pump"


def test_what_outlook_writes_behind_an_address_does_not_become_the_subject(desk: Beginning) -> None:
    sent = desk.begin(f"#new {JANE} <mailto:{JANE}> Your order\nHello!")
    assert header_of(to(sent, JANE), "Subject") == "Your order"


def test_others_are_added_and_the_ticket_is_marked_in_the_same_mail(desk: Beginning) -> None:
    sent = desk.begin(f"#new {JANE} Order\n#cc {TOM}\n#tag vip\n#prio high\n\nHello!")
    assert {m.recipient for m in sent} == {JANE, TOM, ALICE}
    ticket = desk.ticket()
    assert {p.address for p in ticket.participants} == {JANE, TOM}
    assert (ticket.tags, ticket.state) == (("vip",), State.WAITING)


def test_files_go_along(desk: Beginning) -> None:
    raw = (
        f"From: {ALICE}\r\nTo: {SUPPORT}\r\nSubject: Offer\r\nMessage-ID: <a2@corp.test>\r\n"
        "Date: Mon, 23 Nov 2026 09:58:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
        f"#new {JANE}\r\n\r\nHere is the offer.\r\n"
        "--b\r\nContent-Type: application/pdf\r\n"
        'Content-Disposition: attachment; filename="offer.pdf"\r\n\r\n%PDF-1.4 offer\r\n--b--\r\n'
    ).encode()
    desk.road.arrive(raw)
    assert b"offer.pdf" in to(desk.road.outbox(), JANE).content


def test_while_it_waits_to_be_sent_the_mail_can_be_called_back(database: Database) -> None:
    desk = Beginning(database, replace(DESK, send=Send(hold_seconds=120)))
    line = to(desk.begin(), ALICE)
    desk.reply(ALICE, line, "#undo")
    desk.road.now += timedelta(minutes=5)
    assert JANE not in {m.recipient for m in desk.road.outbox()}
    assert desk.ticket().state is State.CLOSED
    assert not desk.timers() & {"unclaimed-1", "offer"}


def test_another_open_ticket_of_the_customer_is_said_and_can_be_merged(desk: Beginning) -> None:
    desk.write(JANE, "The pump is loud.", message_id="<1@customer.test>")
    line = to(desk.begin(), ALICE)
    said = " ".join(text_of(line).split())
    assert f"{JANE} has another open ticket: #1 Invoice 2231 is wrong. The same matter?" in said
    desk.reply(ALICE, line, "#merge 1")
    assert desk.ticket(2).merged_into == 1


def test_a_ticket_in_an_inbox_of_others_is_not_told(desk: Beginning) -> None:
    raw = make_mail(JANE, "Wrong sum.", to="billing@desk.test", message_id="<1@customer.test>")
    desk.road.arrive(raw, recipient="billing@desk.test", inbox="billing")
    desk.road.outbox()
    assert "another open ticket" not in text_of(to(desk.begin(), ALICE))


# ------------------------------------------------------------------ mistakes: nothing is sent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"#new {JANE} Order", "There are no words for jane@customer.test"),
        (f"#new {JANE} Order\n\n-- \nAlice Ahmed", "There are no words for jane@customer.test"),
        ("#new jane Order\n\nHello!", '"jane Order" is no mail address'),
        ("#new\n\nHello!", "To whom? Write the address behind it"),
        (f"#new {SUPPORT} Order\n\nHello!", "support@desk.test is an address of this desk"),
        (f"#new {BOB} Order\n\nHello!", "bob@corp.test is an address of Bob Smith, a colleague"),
        (f"#new {JANE} A\n#new {TOM} B\n\nHello!", "One #new at a time"),
        (f"#new {JANE} Order\n#note rude\n\nHello!", "#new and #note do not go together"),
        (f"#new {JANE} Order\n#assign bob\n\nHello!", "#new and #assign do not go together"),
        (f"#new {JANE} Order\n#cc bob@corp.test\n\nHello!", "bob@corp.test is an address of Bob Smith"),
        (f"#new {JANE} Order\n#tgag vip\n\nHello!", 'I do not know "#tgag vip"'),
        (f"#new {JANE} Order\n#followup yesterday\n\nHello!", "I do not know"),
    ],
)
def test_a_mistake_sends_nothing_opens_nothing_and_says_what_it_was(desk: Beginning, text: str, words: str) -> None:
    said = refused(desk, desk.begin(text), words)
    assert text.splitlines()[0] in said


def test_a_refused_mail_is_put_right_by_answering_the_refusal(desk: Beginning) -> None:
    refusal = to(desk.begin("#new jane Order\n\nHello!"), ALICE)
    sent = desk.reply(ALICE, refusal, f"#new {JANE} Order\n\nHello!")
    assert [m.recipient for m in sent] == [JANE, ALICE]
    assert "Hello!" in text_of(sent[0]) and "#new" not in everything_in(sent[0])


def test_the_subject_of_an_answered_mail_is_not_taken(desk: Beginning) -> None:
    refused(
        desk,
        desk.begin(f"#new {JANE}\nHello!", subject="Re: Who fetches it?", answers="<x@corp.test>"),
        "There is no subject for jane@customer.test",
    )


def test_in_the_subject_line_it_is_not_carried_out(desk: Beginning) -> None:
    refused(desk, desk.begin("Hello!", subject=f"#new {JANE} Order"), "#new has to be the first line of the text")


def test_below_the_text_it_is_no_command_and_the_mail_is_an_own_matter(desk: Beginning) -> None:
    sent = desk.begin(f"How do I write to a customer? Like this:\n\n#new {JANE} Order\n\nThanks")
    assert JANE not in {m.recipient for m in sent}
    assert desk.ticket().customer.address == ALICE


def test_only_formatted_it_is_not_carried_out(desk: Beginning) -> None:
    raw = make_mail(ALICE, f"<p>#new {JANE} Order</p><p>Hello!</p>", message_id="<a3@corp.test>", subject="Order")
    desk.road.arrive(raw.replace(b"text/plain", b"text/html"))
    refused(desk, desk.road.outbox(), "only in the formatted part")


def test_so_many_customers_an_hour_are_written_to_first_and_no_more(database: Database) -> None:
    limited = replace(DESK, security=replace(DESK.security, begin_limit="2/1h"))
    desk = Beginning(database, limited)
    for number in (1, 2):
        assert to(
            desk.begin(f"#new c{number}@customer.test Order\n\nHello!", message_id=f"<n{number}@corp.test>"), ALICE
        )
    sent = desk.begin(f"#new {JANE} Order\n\nHello Jane!", message_id="<n3@corp.test>")
    assert [m.recipient for m in sent] == [ALICE]
    said = " ".join(text_of(sent[0]).split())
    assert "You wrote to 2 customers with #new within the hour, as many as one may: try again in an hour." in said
    assert "Hello Jane!" in said and desk.tickets() == [1, 2]
    assert desk.begin(f"#new {TOM} Order\n\nHello!", who=BOB, message_id="<n4@corp.test>")[0].recipient == TOM
    desk.road.now += timedelta(hours=1)
    again = desk.begin(f"#new {JANE} Order\n\nHello Jane!", message_id="<n5@corp.test>")
    assert JANE in {m.recipient for m in again}


def test_a_blocked_address_is_not_written_to(database: Database) -> None:
    desk = Beginning(database, replace(DESK, security=Security(sender_block=("*@customer.test",))))
    refused(desk, desk.begin(), "Mail of jane@customer.test is blocked here")


def test_an_address_that_a_lead_blocked_is_not_written_to(desk: Beginning) -> None:
    line = to(desk.begin(f"#new {TOM} Order\n\nHello!", who=CAROL, message_id="<c1@corp.test>"), CAROL)
    raw = make_mail(TOM, "Buy now!", answers=line.message_id, message_id="<1@shop.test>")
    desk.road.arrive(raw)
    desk.road.outbox()
    desk.reply(CAROL, line, "#block")
    sent = desk.begin(f"#new {TOM} Again\n\nHello!")
    assert [m.recipient for m in sent] == [ALICE] and f"Mail of {TOM} is blocked here" in text_of(sent[0])


def test_a_mail_to_two_inboxes_is_asked_about(desk: Beginning) -> None:
    raw = make_mail(BOB, TEXT, to=f"{SUPPORT}, billing@desk.test", message_id="<b1@corp.test>")
    for recipient, inbox in ((SUPPORT, "support"), ("billing@desk.test", "billing")):
        desk.road.arrive(raw, recipient=recipient, inbox=inbox)
    sent = desk.road.outbox()
    assert {m.recipient for m in sent} == {BOB} and "more than one inbox" in text_of(sent[0])
    assert desk.tickets() == []


def test_an_agent_begins_nothing_in_an_inbox_of_others(desk: Beginning) -> None:
    refused(desk, desk.begin(recipient="billing@desk.test", inbox="billing"), "You do not work for Billing")


def test_a_mail_that_went_to_somebody_else_outside_is_asked_about(desk: Beginning) -> None:
    refused(desk, desk.begin(extra=f"Cc: {TOM}"), f"That mail went to {TOM} as well")


def test_a_mail_that_the_customer_has_from_the_agent_is_recorded_and_not_sent_again(desk: Beginning) -> None:
    sent = desk.begin(to=JANE, extra=f"Cc: {SUPPORT}")
    assert [m.recipient for m in sent] == [ALICE]
    assert desk.ticket().customer.address == JANE


def test_in_answer_to_a_ticket_it_is_held_and_sends_nothing(desk: Beginning) -> None:
    offer = to(desk.write(TOM, "Hello", message_id="<1@shop.test>"), ALICE)
    sent = desk.reply(ALICE, offer, TEXT)
    assert [m.recipient for m in sent] == [ALICE]
    assert "NOT SENT" in text_of(sent[0]) and "#new begins a new ticket" in text_of(sent[0])
    assert desk.tickets() == [1]


def test_an_observer_writes_to_nobody(desk: Beginning) -> None:
    sent = desk.begin(who=OLGA)
    assert [m.recipient for m in sent] == [OLGA] and "not allowed" in text_of(sent[0])
    assert desk.tickets() == []


# ------------------------------------------------------------------ attackers


@pytest.mark.parametrize("proof", [Proof.NONE, Proof.SPF])
def test_without_an_agents_proof_nobody_is_written_to(desk: Beginning, proof: Proof) -> None:
    assert desk.begin(proof=proof) == []
    assert desk.tickets() == []


@pytest.mark.parametrize("missing", ["to", "subject"])
def test_a_signature_that_leaves_the_addressee_or_the_subject_open_is_not_enough(desk: Beginning, missing: str) -> None:
    desk.road.covers = tuple(name for name in Signed.covers if name != missing)  # type: ignore[attr-defined]
    refused(desk, desk.begin(), "#new needs a mail that is proven yours")


def test_a_signed_mail_of_an_agent_to_somebody_else_that_is_sent_on_to_us_writes_to_nobody(desk: Beginning) -> None:
    refused(desk, desk.begin(to="list@elsewhere.test"), "#new needs a mail that is proven yours")


def test_the_same_signed_mail_acts_once(desk: Beginning) -> None:
    assert len(desk.begin()) == 2
    assert desk.begin(extra="X-Sent-Again: yes") == []
    assert (desk.plan.outcome, desk.tickets()) == ("repeat", [1])


def test_a_token_alone_is_not_enough(database: Database) -> None:
    agents = {**DESK.agents, "alice": replace(DESK.agents["alice"], authentication="token")}
    desk = Beginning(database, replace(DESK, agents=agents))
    refusal = to(desk.begin("#new jane Order\n\nHello!"), ALICE)
    sent = desk.reply(ALICE, refusal, f"#new {JANE} Order\n\nHello!", proof=Proof.NONE)
    assert JANE not in {m.recipient for m in sent} and desk.tickets() == []


def test_a_customer_who_writes_it_opens_an_ordinary_ticket(desk: Beginning) -> None:
    sent = desk.begin(f"#new {TOM} Order\n\nHello!", who=JANE)
    assert TOM not in {m.recipient for m in sent}
    ticket = desk.ticket()
    assert ticket.state is State.NEW and ticket.customer and ticket.customer.address == JANE


def test_quoted_it_is_no_command(desk: Beginning) -> None:
    sent = desk.begin(f"Can you do this?\n\nOn Mon, 23 Nov 2026 at 10:00, Eve wrote:\n> #new {JANE} Order\n> Pay here")
    assert JANE not in {m.recipient for m in sent}


def test_in_a_forward_it_is_not_carried_out(desk: Beginning) -> None:
    forward = (
        f"#new {TOM} Order\n\nsee below\n\n---------- Forwarded message ---------\nFrom: Jane <{JANE}>\n"
        f"Date: Mon, 23 Nov 2026 at 09:00\nSubject: Order\nTo: <{ALICE}>\n\nWhere is it?\n"
    )
    refused(desk, desk.begin(forward, subject="Fwd: Order"), "#new sends what you write")


def test_nobody_finds_out_by_many_mails_what_is_dropped(desk: Beginning) -> None:
    for number in range(8):
        sent = desk.begin(f"#new {JANE} Order {number}\n\nHello {number}!", message_id=f"<n{number}@corp.test>")
        assert {m.recipient for m in sent} == {JANE, ALICE}
