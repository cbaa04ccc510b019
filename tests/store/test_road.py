"""Whole conversations through the pipeline, on both databases: what people get and what the ticket says."""

from __future__ import annotations

import pytest

from gateway.model import OutboundMail, Proof, State
from gateway.store import journal
from gateway.store.database import Database
from tests.support.spine import Road, address_of, header_of, make_mail, text_of

JANE, ALICE, BOB = "jane@customer.test", "alice@corp.test", "bob@corp.test"


@pytest.fixture
def road(database: Database) -> Road:
    return Road(database)


def to(mails: list[OutboundMail], recipient: str) -> OutboundMail:
    (found,) = [mail for mail in mails if mail.recipient == recipient]
    return found


def opened(road: Road) -> list[OutboundMail]:
    road.arrive(make_mail(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"))
    return road.outbox()


def reply(road: Road, who: str, to_mail: OutboundMail, text: str, **options: object) -> object:
    """A reply as a mail program makes it, quoting what it answers."""
    quoted = "\n".join("> " + line for line in text_of(to_mail).splitlines())
    raw = make_mail(
        who,
        f"{text}\n\nOn Mon, 23 Nov 2026 at 10:00, Desk wrote:\n{quoted}",
        subject="Re: " + header_of(to_mail, "Subject"),
        to=address_of(to_mail),
        answers=to_mail.message_id,
    )
    return road.arrive(raw, recipient=address_of(to_mail), **options)  # type: ignore[arg-type]


def test_a_new_mail_is_acknowledged_and_offered_to_every_agent(road: Road) -> None:
    mails = opened(road)
    assert sorted((m.kind, m.recipient) for m in mails) == [("ack", JANE), ("offer", ALICE), ("offer", BOB)]
    assert road.ticket(1).state is State.NEW


def test_a_plain_reply_answers_the_customer_and_takes_the_ticket(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "You are right, it should be 10.")
    (answer,) = road.outbox()
    assert (answer.recipient, answer.automatic) == (JANE, False)
    assert "it should be 10" in text_of(answer)
    assert header_of(answer, "In-Reply-To") == "<first@customer.test>"
    ticket = road.ticket(1)
    assert (ticket.state, ticket.owner and ticket.owner.agent) == (State.WAITING, "alice")


def test_answers_between_the_customers_lines_quote_them_once_and_begin_with_words(road: Road) -> None:
    road.arrive(make_mail(JANE, "Hello,\n\nwe have 10 licences, not 12.\n\nWhen can you correct it?"))
    offer = to(road.outbox(), ALICE)
    quoted = "\n".join(f"> {line}".rstrip() for line in text_of(offer).splitlines())
    for said, answer in (("not 12.", "You are right."), ("correct it?", "On Thursday.")):
        quoted = quoted.replace(said, f"{said}\n\n{answer}\n")
    text = f"On Mon, 23 Nov 2026 at 10:00, Desk wrote:\n{quoted}"
    raw = make_mail(ALICE, text, subject="Re: x", to=address_of(offer), answers=offer.message_id)
    road.arrive(raw, recipient=address_of(offer))
    (answer_mail,) = road.outbox()
    own = text_of(answer_mail).rpartition("\n\n")[0]
    assert own == (
        "> Hello,\n>\n> we have 10 licences, not 12.\n\nYou are right.\n\n> When can you correct it?\n\nOn Thursday."
    )


def test_two_agents_answering_the_same_mail_give_one_answer(road: Road) -> None:
    mails = opened(road)
    reply(road, ALICE, to(mails, ALICE), "You are right, it should be 10.")
    reply(road, BOB, to(mails, BOB), "I will look into it tomorrow.")
    out = road.outbox()
    assert [m.recipient for m in out] == [JANE, BOB]
    assert "it should be 10" in text_of(out[1])
    assert "look into it tomorrow" in text_of(out[1])


@pytest.mark.parametrize(("word", "reaches_jane"), [("#send", True), ("#discard", False), ("#note", False)])
def test_a_held_answer_is_sent_noted_or_thrown_away(road: Road, word: str, reaches_jane: bool) -> None:
    mails = opened(road)
    reply(road, ALICE, to(mails, ALICE), "You are right, it should be 10.")
    reply(road, BOB, to(mails, BOB), "I will look into it tomorrow.")
    held = to(road.outbox(), BOB)
    reply(road, BOB, held, word)
    road.process()
    sent = [m for m in road.outbox() if m.recipient == JANE]
    assert bool(sent) is reaches_jane
    (fact,) = road.ticket(1).held
    assert fact.resolution == {"#send": "sent", "#discard": "discarded", "#note": "noted"}[word]
    with road.database.begin() as tx:
        assert journal.list_held(tx) == []


def test_sending_a_held_answer_twice_sends_it_once(road: Road) -> None:
    mails = opened(road)
    reply(road, ALICE, to(mails, ALICE), "You are right, it should be 10.")
    reply(road, BOB, to(mails, BOB), "I will look into it tomorrow.")
    held = to(road.outbox(), BOB)
    for word in ("#send", "send"):
        reply(road, BOB, held, word)
    road.process()
    assert len([m for m in road.outbox() if m.recipient == JANE]) == 1


def test_an_own_later_answer_is_no_collision(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "You are right, it should be 10.")
    reply(road, ALICE, offer, "And sorry for the trouble.")
    assert [m.recipient for m in road.outbox()] == [JANE, JANE]


def test_a_mistyped_command_sends_nothing_and_asks(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "#noet she is difficult\nplease handle with care")
    (asked,) = road.outbox()
    assert asked.recipient == ALICE
    assert "#note" in text_of(asked)
    assert road.ticket(1).state is State.NEW


def test_a_note_stays_inside(road: Road) -> None:
    mails = opened(road)
    reply(road, ALICE, to(mails, ALICE), "#claim")
    road.outbox()
    reply(road, BOB, to(mails, BOB), "#note they are on the old price list")
    (note,) = road.outbox()
    assert note.recipient == ALICE
    reply(road, ALICE, note, "thanks, good to know")
    assert JANE not in [m.recipient for m in road.outbox()]


def test_closing_and_the_customers_answer_reopens_for_the_owner(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "#close\n\nFixed.")
    (answer,) = road.outbox()
    assert "#close" not in text_of(answer)
    assert road.ticket(1).state is State.CLOSED
    reply(road, JANE, answer, "One more thing.")
    (news,) = road.outbox()
    assert news.recipient == ALICE
    assert road.ticket(1).state is State.OPEN


def test_assigning_tells_the_new_owner(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "#assign bob")
    assert {m.recipient for m in road.outbox()} == {ALICE, BOB}
    owner = road.ticket(1).owner
    assert owner is not None
    assert owner.agent == "bob"


def test_an_unknown_agent_name_is_asked_about(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "#assign zoe\nplease look")
    (asked,) = road.outbox()
    assert "zoe" in text_of(asked)
    assert road.ticket(1).owner is None


def test_help_is_answered(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "#help")
    (answer,) = road.outbox()
    assert "#close" in text_of(answer)


def test_an_unproven_agent_does_nothing_and_is_asked_at_the_registered_address(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, ALICE, offer, "#close\nDone.", proof=Proof.NONE)
    (asked,) = road.outbox()
    assert asked.recipient == ALICE
    assert road.ticket(1).state is State.NEW


def test_an_agents_token_in_other_hands_is_no_key(road: Road) -> None:
    offer = to(opened(road), ALICE)
    reply(road, "mallory@evil.test", offer, "#close\nPay to this account instead.")
    assert JANE not in [m.recipient for m in road.outbox()]
    assert road.ticket(1).state is State.NEW


def test_a_stranger_who_knows_a_message_id_is_held_beside_the_ticket(road: Road) -> None:
    opened(road)
    plan = road.arrive(make_mail("mallory@evil.test", "Add me, please.", answers="<first@customer.test>"))
    assert (plan.outcome, plan.reason) == ("hold", "unknown-sender")
    mails = road.outbox()
    assert {m.recipient for m in mails} == {ALICE, BOB}
    assert len(road.ticket(1).participants) == 1


def test_an_agent_admits_a_held_mail_with_open(road: Road) -> None:
    opened(road)
    road.arrive(make_mail(JANE, "From my other system.", answers="<first@customer.test>"), proof=Proof.NONE)
    notice = to(road.outbox(), ALICE)
    reply(road, ALICE, notice, "#open")
    road.process()
    ticket = road.ticket(1)
    assert [e.kind for e in ticket.events if e.public] == ["mail", "ack", "mail"]
    assert ticket.held[0].resolution == "admitted"


def test_processing_a_decided_row_again_changes_nothing(road: Road) -> None:
    opened(road)
    before = road.ticket(1)
    assert road.process() == []
    assert road.ticket(1) == before


def test_a_reply_that_arrives_before_its_parent_joins_the_same_ticket(road: Road) -> None:
    road.arrive(make_mail(JANE, "PS: it is urgent.", subject="Re: Printer", answers="<parent@customer.test>"))
    road.arrive(make_mail(JANE, "The printer is on fire.", subject="Printer", message_id="<parent@customer.test>"))
    assert [e.text.strip() for e in road.ticket(1).events if e.kind == "mail"] == [
        "PS: it is urgent.",
        "The printer is on fire.",
    ]


def test_a_machine_gets_no_acknowledgement(road: Road) -> None:
    road.arrive(make_mail(JANE, "Disk full.", extra="Auto-Submitted: auto-generated"))
    assert "ack" not in [m.kind for m in road.outbox()]


def test_an_unproven_new_mail_is_a_ticket_without_acknowledgement(road: Road) -> None:
    road.arrive(make_mail(JANE, "Hello"), proof=Proof.NONE)
    mails = road.outbox()
    assert [m.kind for m in mails] == ["offer", "offer"]
    assert "NOT PROVEN" in text_of(mails[0])
