"""What an agent is shown of a mail: never less than it says, never nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import Proof
from gateway.store.database import Database
from tests.support.spine import SETTINGS, Road, address_of, make_mail, text_of

MARA, ALICE = "mara@lind.test", "alice@corp.test"
FORWARD = (
    "---------- Forwarded message ---------\nFrom: Ole Dahl <ole@dahl.test>\nDate: Mon, Nov 23, 2026 at 9:01 AM\n"
    "Subject: Crane\nTo: <mara@lind.test>\n\nThe crane is stuck since Monday.\n"
)


@pytest.fixture
def road(database: Database) -> Road:
    return Road(database)


def offered(road: Road, text: str, subject: str = "Crane 4") -> str:
    """What the offer to an agent says about a customer's mail."""
    road.arrive(make_mail(MARA, text, subject=subject))
    (offer,) = [mail for mail in road.outbox() if mail.recipient == ALICE]
    return text_of(offer)


def test_a_customers_forward_is_shown_with_what_it_forwards(road: Road) -> None:
    shown = offered(road, f"Please see below.\n\n{FORWARD}", "Fwd: Crane 4")
    assert "Please see below." in shown
    assert "ole@dahl.test" in shown
    assert "The crane is stuck since Monday." in shown


@pytest.mark.parametrize("above", ["", "-- \nMara Lind\nLind Cranes\n\n"])
def test_a_forward_without_a_word_above_is_shown_whole(road: Road, above: str) -> None:
    shown = offered(road, above + FORWARD, "Fwd: Crane 4")
    assert "The crane is stuck since Monday." in shown


@pytest.mark.parametrize(
    "text",
    [
        "-----Original Message-----\nThe crane is stuck.\n",
        "On Mon, 23 Nov 2026 at 10:00, Ole Dahl <ole@dahl.test> wrote:\n> The crane is stuck.\n",
        "> The crane is stuck.\n",
    ],
)
def test_a_mail_that_is_nothing_but_a_quote_is_shown_as_it_is(road: Road, text: str) -> None:
    assert "The crane is stuck." in offered(road, text)


def test_the_same_author_with_the_same_subject_is_a_hint_and_never_a_merge(road: Road) -> None:
    offered(road, "The crane is stuck.")
    shown = offered(road, "It is still stuck.", "AW: Crane  4")
    assert "perhaps the same matter as #1" in shown
    assert [event.text for event in road.ticket(2).events if event.kind == "mail"] == ["It is still stuck."]
    assert not [event for event in road.ticket(1).events if "still" in event.text]


def test_somebody_elses_or_another_or_an_old_matter_is_no_hint(road: Road) -> None:
    offered(road, "The crane is stuck.")
    assert "perhaps" not in offered(road, "The other one, too.", "Crane 5")
    road.arrive(make_mail("ole@dahl.test", "Mine is stuck.", subject="Crane 4"))
    assert not [mail for mail in road.outbox() if "perhaps" in text_of(mail)]
    road.now += road.settings.tickets.same_subject_window
    assert "perhaps" not in offered(road, "It is stuck again.")


@pytest.mark.parametrize(("language", "said"), [("en", "(automatic reply)"), ("de", "(automatische Antwort)")])
def test_an_away_notice_tells_until_when_and_show_and_history_say_it(
    database: Database, language: str, said: str
) -> None:
    general = replace(SETTINGS.ticketgate, language=language)
    road = Road(database, replace(SETTINGS, ticketgate=general))
    road.arrive(make_mail(MARA, "The crane is stuck."))
    offer = next(mail for mail in road.outbox() if mail.recipient == ALICE)

    def answer_offer(text: str) -> None:
        mail = make_mail(ALICE, text, to=address_of(offer), answers=offer.message_id)
        road.arrive(mail, recipient=address_of(offer))

    answer_offer("We will look.")
    answer = next(mail for mail in road.outbox() if mail.recipient == MARA)
    away = make_mail(
        MARA,
        "I am out of the office until Monday, 7 December 2026.",
        subject="Automatic reply: Crane 4",
        to=address_of(answer),
        answers=answer.message_id,
        extra="Auto-Submitted: auto-replied",
    )
    road.arrive(away, recipient=address_of(answer))
    assert road.outbox() == []
    assert road.ticket(1).events[-1].data == {"away": "2026-12-07"}
    for command in ("#show", "#history"):
        answer_offer(command)
        (told,) = road.outbox()
        assert "7" in text_of(told) and said in text_of(told)


@pytest.mark.parametrize("second", ["support@desk.test", "support+shop@desk.test"])
def test_an_unsigned_mail_that_comes_by_two_ways_is_one_mail(database: Database, second: str) -> None:
    road = Road(database)
    mail = make_mail(MARA, "The crane is stuck.", message_id="<crane@lind.test>")
    road.arrive(mail, proof=Proof.NONE)
    told = len(road.outbox())
    on_top = b"Received: from info by mx.desk.test; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    plan = road.arrive(on_top + mail, recipient=second, proof=Proof.NONE)
    assert (plan.outcome, plan.ticket) == ("sibling", 1) and told and road.outbox() == []
    assert [event.kind for event in road.ticket(1).events if event.journal] == ["mail", "sibling"]
    changed = mail.replace(b"stuck", b"broken")
    assert road.arrive(changed, recipient=second, proof=Proof.NONE).opens_ticket


def test_a_proven_mail_never_joins_an_unproven_copy_that_came_first(database: Database) -> None:
    road = Road(database)
    mail = make_mail(MARA, "The crane is stuck.", message_id="<crane@lind.test>")
    road.arrive(mail, proof=Proof.NONE)
    assert road.arrive(b"Received: from x by y; now\r\n" + mail, proof=Proof.SPF).opens_ticket


def test_an_agents_unsigned_mail_that_comes_twice_is_asked_about(database: Database) -> None:
    road = Road(database)
    mail = make_mail(ALICE, "Call the printer company.", message_id="<printer@corp.test>")
    road.arrive(mail, proof=Proof.SUBMISSION)
    plan = road.arrive(b"Received: from x by y; now\r\n" + mail, proof=Proof.SUBMISSION)
    assert (plan.outcome, plan.reason) == ("hold", "replayed")


def test_a_former_owners_answer_is_never_shown_as_the_customers(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "We have 10 licences."))
    offer = next(m for m in road.outbox() if m.recipient == "alice@corp.test")
    for line, text in enumerate(("We check it.", "#assign bob")):
        raw = make_mail(
            "alice@corp.test", text, answers=offer.message_id, subject="Re: x", message_id=f"<a{line}@c.test>"
        )
        road.arrive(raw, recipient=address_of(offer))
    given = next(m for m in road.outbox() if m.kind == "assigned")
    for order in ("#show", "#history"):
        raw = make_mail("bob@corp.test", order, answers=given.message_id, subject="Re: x")
        road.arrive(raw, recipient=address_of(given))
        (said,) = road.outbox()
        assert "Alice Ahmed" in text_of(said)
        assert "the customer," not in text_of(said)
