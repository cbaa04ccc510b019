"""A command at the wrong ticket, at the wrong time or from the wrong person has an answer a person understands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import Envelope, OutboundMail, State
from gateway.store import journal
from gateway.store.database import Database
from gateway.store.forgetting import erase_person
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, TOM, Desk, to
from tests.support.spine import address_of, make_mail, text_of


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    return to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<1@customer.test>"), ALICE)


def answered(desk: Desk, who: str, mail: OutboundMail, text: str) -> str:
    """The one mail the author gets; nobody outside gets any."""
    out = desk.reply(who, mail, text)
    assert not [m for m in out if m.recipient in (JANE, TOM)], [(m.kind, m.recipient) for m in out]
    return text_of(to(out, who))


@pytest.mark.parametrize(
    ("before", "order", "said"),
    [
        ("#close", "#close", "#1 is closed."),
        ("#close", "#claim", "#1 is yours."),
        ("#close", "#snooze 1d", "#1 is hidden until"),
        ("#close", "#open", "#1 is open."),
        ("#spam", "#snooze 1d", "#notspam first"),
        ("#spam", "#spam", "#1 closed as spam."),
        ("#claim", "#claim", "#1 is yours."),
        ("#release", "#release", "#1 is free for anyone again."),
        ("#claim", "#notspam", "the ticket is not marked as spam"),
        ("#tag vip", "#tag vip", "#1 tags: vip."),
        ("#watch", "#watch", "#1 you get copies."),
        ("#undo", "#undo", "there is no command of yours to undo"),
        ("#discard", "#discard", "nothing is held here any more"),
        ("#merge 99", "#merge 99", "there is no ticket 99"),
        ("#show 99", "#history 99", "there is no ticket 99 that you may see"),
        ("#away", "#back", "Welcome back."),
        ("#close", "#send", "there was no text of yours"),
    ],
)
def test_an_order_that_comes_late_or_twice_is_answered(
    desk: Desk, offer: OutboundMail, before: str, order: str, said: str
) -> None:
    desk.reply(ALICE, offer, before)
    assert said in answered(desk, ALICE, offer, order)


@pytest.mark.parametrize("order", ["#close", "#claim", "#tag vip", "#snooze 1d", "#note hm"])
def test_an_order_to_a_merged_ticket_is_done_where_it_went(desk: Desk, offer: OutboundMail, order: str) -> None:
    desk.write(JANE, "The same again.", subject="Licences", message_id="<2@customer.test>")
    desk.reply(ALICE, offer, "#merge 2")
    desk.reply(ALICE, offer, order)
    assert desk.plan.ticket == 2
    assert desk.ticket(1).merged_into == 2
    if order == "#close":
        assert desk.ticket(2).state is State.CLOSED


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("#claim", "#1 is yours."),
        ("#assign bob", "#1 belongs to Bob now."),
        ("#close", "#1 is closed."),
        ("#open", "#1 is open."),
        ("#snooze 1d", "#1 is hidden until"),
        ("#tag vip", "#1 tags: vip."),
        ("#send", "there was no text of yours"),
        ("#undo", "there is no command of yours to undo"),
        ("#split", "that mail started this ticket"),
        ("#merge 99", "there is no ticket 99"),
        ("#show", "(erased)"),
        ("#history", "#1 history: (erased)"),
        ("#export", "ticket-1.zip"),
        ("Hello Jane.", "erased"),
        ("#close\n\nHello Jane.", "erased"),
    ],
)
def test_an_order_to_a_ticket_whose_person_was_erased_is_answered(
    desk: Desk, offer: OutboundMail, order: str, said: str
) -> None:
    with desk.road.database.begin() as tx:
        erase_person(tx, JANE, desk.road.now)
    mail = to(desk.reply(ALICE, offer, order), ALICE)
    assert said in text_of(mail), text_of(mail)
    assert JANE.encode() not in mail.content


def test_an_order_to_a_ticket_of_another_inbox_is_answered_as_for_none(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#move billing")
    said = text_of(to(desk.write(ALICE, "", subject="#show 1"), ALICE))
    assert "no ticket 1 that you may see" in said


@pytest.mark.parametrize("text", ["#close", "Hello Jane.", "#note hm"])
def test_a_removed_agents_order_does_nothing_and_reaches_nobody_outside(
    desk: Desk, offer: OutboundMail, text: str
) -> None:
    desk.road.settings = replace(DESK, agents={h: a for h, a in DESK.agents.items() if h != "alice"})
    out = desk.reply(ALICE, offer, text)
    assert JANE not in {m.recipient for m in out}
    assert desk.ticket().state is State.NEW
    assert not [e for e in desk.ticket().events if e.kind in ("answer", "note", "close")]


def test_the_same_mail_delivered_twice_is_one_order(desk: Desk, offer: OutboundMail) -> None:
    raw = make_mail(ALICE, "#tag vip", to=address_of(offer), answers=offer.message_id)
    desk.road.arrive(raw, recipient=address_of(offer))
    where = {"reverse_path": "x@y.test", "recipient": address_of(offer), "inbox": "support", "source": "lmtp"}
    with desk.road.database.begin() as tx:
        journal.append(tx, Envelope(**where, received_at=desk.road.now), raw)
    assert desk.road.process() == []
    assert [e.kind for e in desk.ticket().events].count("tag") == 1


@pytest.mark.parametrize(
    "text",
    [
        "Here is how: \n> #close\nThat is all.",
        "Hi Jane.\n\n-- \nAlice\n#close",
        "Hi Jane.\n\n--\n#note Alice Ahmed, Desk",
        "Write  #close  on the first line.",
        "Hi Jane.\n```\n#close\n```",
        "Hi Jane.\n    #close",
        "Hi Jane.\n##close is a word",
    ],
)
def test_a_verb_in_a_quotation_a_signature_or_an_example_is_no_order(
    desk: Desk, offer: OutboundMail, text: str
) -> None:
    out = desk.reply(ALICE, offer, text)
    assert desk.ticket().state is State.WAITING, [(m.kind, text_of(m)[:80]) for m in out]
    assert to(out, JANE).kind == "answer"


@pytest.mark.parametrize(
    "orders",
    [
        "#note\n#send",
        "#close\n#open",
        "#close\n#status open",
        "#claim\n#release",
        "#spam\n#notspam",
        "#watch\n#mute",
        "#close\n\nHi Jane\n\n#open",
        "#assign bob\n#assign carol",
        "#snooze 1d\n#snooze 2d",
        "#prio high\n#prio low",
        "#status solved\n#status open",
        "#move billing\n#move support",
        "#subject One\n#subject Two",
    ],
)
def test_orders_that_contradict_each_other_do_nothing_and_ask(desk: Desk, offer: OutboundMail, orders: str) -> None:
    out = desk.reply(ALICE, offer, f"{orders}\n\nHi Jane.")
    assert [(m.kind, m.recipient) for m in out] == [("held", ALICE)]
    ticket = desk.ticket()
    assert (ticket.state, ticket.owner, ticket.priority) == (State.NEW, None, "normal")


@pytest.mark.parametrize("subject", ["#close", "#close 1", "close 1 aaaaaaaaaaaaaaaaa", "#note secret", "#assign bob"])
def test_an_order_in_a_new_subject_that_needs_a_ticket_does_nothing(
    desk: Desk, offer: OutboundMail, subject: str
) -> None:
    desk.write(ALICE, "", subject=subject)
    assert desk.ticket().state is State.NEW


def test_the_subject_of_a_reply_orders_nothing(desk: Desk, offer: OutboundMail) -> None:
    raw = make_mail(ALICE, "Hi Jane.", subject="#close", to=address_of(offer), answers=offer.message_id)
    desk.road.arrive(raw, recipient=address_of(offer))
    assert desk.ticket().state is State.WAITING
    assert {m.recipient for m in desk.road.outbox()} == {JANE}


def test_another_agents_links_and_addresses_do_nothing(desk: Desk) -> None:
    mails = desk.write(JANE, "We have 10 licences, not 12.")
    desk.tap(BOB, to(mails, ALICE), "close")
    assert desk.ticket().state is State.NEW
    desk.reply(BOB, to(mails, ALICE), "#close")
    assert desk.ticket().state is State.NEW
    assert CAROL not in {m.recipient for m in mails}


@pytest.mark.parametrize(
    ("text", "said", "sends"),
    [
        ("#claim\n#release\n\nI will see.", "NOT SENT - #claim and #release do not go together", True),
        ("#status solved\n#open", "#close and #open do not go together", False),
        ("#prio huge", "Like this:  #prio high   #prio 1", False),
        ("#hide yesterday\n\nWe look.", "Like this:  #snooze 3d   #snooze mon 9am", True),
        ("#ask bob@corp.test\n\nHave you one?", "bob@corp.test is an address of Bob Smith", False),
        ("#ask jane@customer.test\n\nHave you one?", "jane@customer.test takes part", False),
    ],
)
def test_a_mistake_says_how_it_is_written_and_offers_only_what_works(
    desk: Desk, offer: OutboundMail, text: str, said: str, sends: bool
) -> None:
    (notice,) = desk.reply(ALICE, offer, text)
    shown = text_of(notice)
    assert said in shown
    assert ("#send " in shown, "subject=send%20" in shown) == (sends, sends)
    words = "\n\n" in text
    assert ("subject=discard%20" in shown) == words, (
        "where nothing but orders was written, nothing is to be thrown away"
    )
    assert "without the line above" not in shown or "#hide" in text


def test_an_order_for_a_ticket_in_a_new_subject_says_that_it_needs_one(desk: Desk) -> None:
    (said,) = desk.write(ALICE, "", subject="#close")
    assert "#close is about a ticket, and this mail is about none" in text_of(said)


@pytest.mark.parametrize(
    "text",
    [
        "* #note she is rude",
        "*#note* she is rude",  # what Gmail makes of bold type
        "\u2022 #note she is rude",
        "1. #note she is rude",
        '"#note she is rude"',
        "   - #note she is rude",
        "Hi Jane,\n* #note she is rude",
        "Hi Jane,\n# note she is rude",
        "Hi Jane,\n        #note she is rude",
    ],
)
def test_a_note_behind_a_bullet_or_in_bold_type_never_reaches_the_customer(
    desk: Desk, offer: OutboundMail, text: str
) -> None:
    (notice,) = desk.reply(ALICE, offer, text)
    assert "#note counts only as the very first thing on its line" in text_of(notice)
    desk.reply(ALICE, notice, "#note")
    assert "she is rude" in next(e.text for e in desk.ticket().events if e.kind == "note")


@pytest.mark.parametrize("text", ["- #close", "1. #tag vip\n2. #close\n\nHi Jane.", "(#close)"])
def test_other_commands_behind_a_bullet_at_the_top_are_asked_about(desk: Desk, offer: OutboundMail, text: str) -> None:
    assert "counts only as the very first thing" in answered(desk, ALICE, offer, text)


@pytest.mark.parametrize("text", ["- #4711 is the invoice", "* #teamwork", "Do this:\n- #close\n- go home"])
def test_a_list_of_other_things_is_text(desk: Desk, offer: OutboundMail, text: str) -> None:
    assert text.splitlines()[-1] in text_of(to(desk.reply(ALICE, offer, text), JANE))


@pytest.mark.parametrize(
    "end",
    [
        "Best\nAlice\n\n#close",
        "Kind regards,\nAlice Ahmed\nHead of Desk\n+49 30 1234567\n#close",
        "Mit freundlichen Gr\u00fc\u00dfen\nAlice Ahmed\n\n#close",
        "Sent from my iPhone\n\n#close",
    ],
)
def test_a_command_below_ones_own_name_is_one(desk: Desk, offer: OutboundMail, end: str) -> None:
    out = desk.reply(ALICE, offer, f"Hi Jane,\n\nit is fixed.\n\n{end}")
    assert desk.ticket().state is State.CLOSED
    assert "#close" not in text_of(to(out, JANE)).partition("wrote on")[0]
