"""Customers whose mail program quotes without any mark: the ticket itself says what is history, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import pipeline
from gateway.model import Body, Comparison, Envelope, OutboundMail, Proof
from gateway.store import journal
from gateway.store.database import Database
from tests.support.spine import Road, address_of, header_of, make_mail, text_of

JANE, TOM, ALICE = "jane@customer.test", "tom@other.test", "alice@corp.test"
FIRST = "Hello,\n\nthe lamp on the north pier is dark again, and nobody can read the box below it."
ANSWER = (
    "Dear Jane,\n\nwe have replaced the lamp this morning, its socket had a loose contact.\n\n"
    "Could you have a look tonight whether it burns?\n\nBest regards\nAlice"
)


@pytest.fixture
def road(database: Database) -> Road:
    return Road(database)


def answered(road: Road, who: str = JANE, answer: str = ANSWER) -> OutboundMail:
    """The answer a customer got to a first mail."""
    road.arrive(make_mail(who, FIRST, message_id=f"<first.{who}>"))
    offer = next(mail for mail in road.outbox() if mail.recipient == ALICE)
    road.arrive(
        make_mail(ALICE, answer, subject="Re: x", to=address_of(offer), answers=offer.message_id),
        recipient=address_of(offer),
    )
    (mail,) = [mail for mail in road.outbox() if mail.recipient == who]
    return mail


def reply(road: Road, who: str, to_mail: OutboundMail, text: str) -> None:
    raw = make_mail(
        who, text, subject="Re: " + header_of(to_mail, "Subject"), to=address_of(to_mail), answers=to_mail.message_id
    )
    road.arrive(raw, recipient=address_of(to_mail))


def filed(road: Road, number: int = 1) -> str:
    return [event.text for event in road.ticket(number).events if event.kind == "mail"][-1]


def unmarked(mail: OutboundMail) -> str:
    """What a mail says, as a client that knows no quote marks pastes it."""
    return "\n".join(line.removeprefix("> ").removeprefix(">") for line in text_of(mail).splitlines())


def test_our_answer_below_without_any_mark_is_not_shown_again(road: Road) -> None:
    answer = answered(road)
    reply(road, JANE, answer, f"It burns, thank you.\n\n{unmarked(answer)}")
    assert filed(road) == "It burns, thank you."
    notices = [text_of(mail) for mail in road.outbox() if mail.recipient == ALICE]
    assert notices
    assert all(text.count("It burns") == 1 and text.count("loose contact") <= 1 for text in notices)  # in "Earlier"


def test_our_answer_above_without_any_mark_is_not_shown_again(road: Road) -> None:
    answer = answered(road)
    reply(road, JANE, answer, f"{ANSWER}\n\nIt burns, thank you.")
    assert filed(road) == "It burns, thank you."


def test_answers_between_our_lines_keep_them_with_a_mark(road: Road) -> None:
    answer = answered(road)
    reply(road, JANE, answer, ANSWER.replace("it burns?", "it burns?\nIt does, all night."))
    assert "> Could you have a look tonight whether it burns?\nIt does, all night." in filed(road)


def test_what_another_ticket_contains_says_nothing_about_this_one(road: Road) -> None:
    answered(road, TOM)
    other = answered(road, JANE, "Dear Jane,\n\nwe have written it down and shall send somebody on Thursday morning.")
    text = f"A neighbour got this from you.\n\n{ANSWER}"
    reply(road, JANE, other, text)
    assert filed(road, 2) == text


def test_a_comparison_counts_for_the_ticket_it_was_made_with_and_for_no_other(road: Road) -> None:
    """Between comparing and deciding a mail may turn out to mean another ticket, or none."""
    answered(road, TOM)
    raw = make_mail(JANE, f"Look what a neighbour got.\n\n{ANSWER}", message_id="<other@customer.test>")
    envelope = Envelope(
        reverse_path=JANE, recipient="support@desk.test", inbox="support", source="lmtp", received_at=road.now
    )
    with road.database.begin() as tx:
        journal.append(tx, envelope, raw)
        (mail,) = journal.claim(tx, 1, "test", road.now, timedelta(minutes=5))
    stolen = Comparison(ticket=1, events=(1, 4), body=Body(new="Look what a neighbour got.", quoted=ANSWER))
    findings = replace(road.read(mail, Proof.DKIM), comparison=stolen)
    with road.database.begin() as tx:
        plan = pipeline.process(tx, mail, findings, road.settings, road.now)
    assert plan.ticket == 2
    assert "loose contact" in filed(road, 2)


def test_an_agents_repetition_of_an_earlier_answer_is_sent_in_full(road: Road) -> None:
    answer = answered(road)
    reply(road, JANE, answer, "What did you write?")
    notice = next(mail for mail in road.outbox() if mail.recipient == ALICE)
    reply(road, ALICE, notice, f"As I said on Monday.\n\n{ANSWER}")
    (again,) = [mail for mail in road.outbox() if mail.recipient == JANE]
    assert "loose contact" in text_of(again)


def test_what_was_said_after_the_mail_arrived_is_no_evidence(road: Road) -> None:
    """A mail that waited in the journal, or is processed again, meets the conversation as it was when it came."""
    answer = answered(road)
    reply(road, JANE, answer, "Any news?")
    notice = next(mail for mail in road.outbox() if mail.recipient == ALICE)
    arrived, later = road.now, ANSWER.replace("lamp", "cable").replace("socket", "clamp")
    reply(road, ALICE, notice, later)
    road.now = arrived - timedelta(seconds=90)
    reply(road, JANE, answer, f"On the telephone you said this.\n\n{later}")
    assert "cable" in filed(road)
