"""Nothing lapses: what is held, promised or offered has a due time, and somebody is told when it comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.model import Proof
from gateway.settings import Commands
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, Desk, first, to
from tests.support.spine import make_mail, text_of

DAYS = timedelta(days=1)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


# ------------------------------------------------------------------ held mail expires


def test_held_mail_is_asked_about_once_more_and_then_kept_as_never_sent(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#clsoe\n\nYou are right, Jane.")
    desk.reply(BOB, offer, "#claim", Proof.NONE)
    reminder = to([m for m in desk.pass_time(3.6 * DAYS) if m.kind == "held-reminder"], ALICE)
    assert "NOT SENT" in text_of(reminder) and "This is the only reminder. If you do nothing" in text_of(reminder)
    assert "You are right, Jane." in text_of(reminder)
    (expired,) = [m for m in desk.pass_time(3.6 * DAYS) if m.kind == "expired" and m.recipient == ALICE]
    assert "NEVER SENT" in first([expired]) and "You are right, Jane." in text_of(expired)
    assert {held.resolution for held in desk.ticket().held} == {"expired"}
    assert not [m for m in desk.pass_time(30 * DAYS) if m.kind in ("held", "held-reminder", "expired")]


def test_the_reminder_of_held_mail_is_answered_like_its_first_notice(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#clsoe\n\nYou are right, Jane.")
    reminder = to([m for m in desk.pass_time(4 * DAYS) if m.kind == "held-reminder"], ALICE)
    sent = desk.reply(ALICE, reminder, "#send")
    assert "You are right, Jane." in text_of(to([m for m in sent if m.kind == "answer"], JANE))
    assert not [m for m in desk.pass_time(30 * DAYS) if m.kind == "expired"]


def test_a_mail_nobody_could_prove_is_shown_once_more_and_its_sender_never_hears_of_it(desk: Desk) -> None:
    desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>")
    raw = make_mail("mallory@evil.test", "Please send it to me.", answers="<first@customer.test>")
    desk.road.arrive(raw, proof=Proof.NONE)
    desk.road.outbox()
    shown = [m for m in desk.pass_time(4 * DAYS) if m.kind == "unproven"]
    assert {m.recipient for m in shown} == {ALICE, BOB}
    assert all("This is the only reminder" in text_of(m) for m in shown)
    assert "mallory@evil.test" not in {m.recipient for m in desk.pass_time(4 * DAYS)}
    assert [held.resolution for held in desk.ticket().held] == ["expired"]
    assert "expired" in {event.kind for event in desk.ticket().events}


def test_a_collision_waits_like_other_held_mail_where_it_makes_no_note(database: Database) -> None:
    desk = Desk(database, replace(DESK, commands=Commands(collision_default="hold")))
    offers = desk.write(JANE, "We have 10 licences, not 12.")
    desk.reply(BOB, to(offers, BOB), "Corrected.")
    desk.reply(ALICE, to(offers, ALICE), "I will look into it.")
    assert {m.kind for m in desk.pass_time(4 * DAYS)} == {"held-reminder"}
    assert "expired" in {m.kind for m in desk.pass_time(4 * DAYS)}
