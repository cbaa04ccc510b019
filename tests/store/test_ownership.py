"""Nothing lapses: what is held, promised or offered has a due time, and somebody is told when it comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway import clockwork
from gateway.model import OutboundMail, Proof, State
from gateway.settings import Commands, Duration, Offer, Remind
from gateway.store import timers
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, TOM, Desk, first, to
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
    assert "NOT SENT" in text_of(reminder) and "This is the only reminder. If nobody decides" in text_of(reminder)
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


def test_a_link_that_was_pressed_twice_is_answered_once_and_never_asked_about_again(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    (done,) = desk.reply(ALICE, offer, "#claim")
    desk.tap(ALICE, done, "undo")
    assert "undone before" in first(desk.tap(ALICE, done, "undo"))
    later = desk.pass_time(3.6 * DAYS) + desk.pass_time(3.6 * DAYS)
    assert not [m for m in later if m.kind in ("held-reminder", "expired")]
    assert desk.ticket().held == ()


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


# ------------------------------------------------------------------ what mails promise is kept


def due(desk: Desk, number: int = 1) -> dict[str, datetime]:
    with desk.road.database.begin() as tx:
        return {timer.kind: timer.due_at for timer in timers.list_timers(tx, number)}


def test_a_reminder_names_the_moment_its_escalation_really_comes(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.pass_time(timedelta(minutes=20))
    desk.reply(ALICE, offer, "#claim")
    desk.pass_time(timedelta(minutes=20))
    desk.reply(ALICE, offer, "#ack")
    at = due(desk)["unanswered-2"]
    reminder = to([m for m in desk.pass_time(timedelta(hours=4)) if m.kind == "reminder"], ALICE)
    assert f"Carol Chen is told tomorrow at {at:%H:%M} if nothing happens" in text_of(reminder)
    assert not desk.pass_time(at - desk.road.now - timedelta(minutes=1))
    assert "escalation" in {m.kind for m in desk.pass_time(timedelta(minutes=2)) if m.recipient == CAROL}


def test_whoever_claims_is_reminded_like_whoever_was_given_the_ticket(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#claim")
    assert set(due(desk)) == {"unanswered-1", "unanswered-2"}
    assert {(m.kind, m.recipient) for m in desk.pass_time(timedelta(hours=5))} == {("reminder", ALICE)}


def test_a_released_ticket_is_everybodys_to_be_reminded_of(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#claim")
    desk.reply(ALICE, offer, "#release")
    assert set(due(desk)) == {"unclaimed-1", "unclaimed-2"}
    assert {m.recipient for m in desk.pass_time(timedelta(minutes=40))} == {ALICE, BOB}


def test_a_ticket_nobody_takes_comes_back_every_business_day(desk: Desk) -> None:
    desk.write(JANE, "We have 10 licences, not 12.")
    desk.pass_time(timedelta(hours=3))
    for _ in range(3):
        assert {m.recipient for m in desk.pass_time(DAYS)} == {ALICE, BOB, CAROL}


def test_an_agents_own_matter_and_a_forward_are_watched_too(desk: Desk) -> None:
    desk.write(ALICE, "The printer is on fire.", subject="Printer")
    assert set(due(desk)) == {"unclaimed-1", "unclaimed-2"}


def test_a_silent_customer_is_asked_about_once_and_never_written_to(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "Which version?")
    assert [(m.kind, m.recipient) for m in desk.pass_time(7 * DAYS)] == [("reminder", ALICE)]
    assert not desk.pass_time(60 * DAYS)


def test_a_ticket_is_closed_silently_where_that_is_wanted_and_opens_on_a_reply(database: Database) -> None:
    support = replace(DESK.inbox["support"], remind=Remind(auto_close=Duration(days=14)))
    desk = Desk(database, replace(DESK, inbox={**DESK.inbox, "support": support}))
    offer = to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"), ALICE)
    desk.reply(ALICE, offer, "Which version?")
    desk.pass_time(8 * DAYS)
    assert not desk.pass_time(7 * DAYS)
    assert desk.ticket().state is State.CLOSED
    desk.write(JANE, "Version 3.", answers="<first@customer.test>")
    assert (desk.ticket().state, set(due(desk))) == (State.OPEN, {"unanswered-1", "unanswered-2"})


def test_the_reminder_of_an_absent_owner_goes_to_those_who_are_there(desk: Desk) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#claim")
    desk.reply(ALICE, offer, "#away")
    assert {m.recipient for m in desk.pass_time(timedelta(hours=5))} == {BOB}


def test_quiet_hours_delay_reminders_but_no_escalation(database: Database) -> None:
    agents = {handle: replace(agent, quiet="09:00-23:00") for handle, agent in DESK.agents.items()}
    desk = Desk(database, replace(DESK, agents=agents))
    desk.write(JANE, "We have 10 licences, not 12.")
    assert {(m.kind, m.recipient) for m in desk.pass_time(timedelta(hours=3))} == {("escalation", CAROL)}


# ------------------------------------------------------------------ offers


def offering(database: Database, **offer: object) -> Desk:
    support = replace(DESK.inbox["support"], offer=Offer(**offer))  # type: ignore[arg-type]
    return Desk(database, replace(DESK, inbox={**DESK.inbox, "support": support}))


def told(mails: list[OutboundMail]) -> list[tuple[str, str]]:
    return sorted((m.kind, m.recipient) for m in mails if m.kind != "ack")


def turns(desk: Desk, number: int = 1) -> list[tuple[str, int]]:
    return [(e.kind, e.party) for e in desk.ticket(number).events if e.kind in ("offered", "passed")]


def test_who_last_answered_a_customer_is_asked_first_and_then_the_others(desk: Desk) -> None:
    offers = desk.write(JANE, "We have 10 licences, not 12.")
    desk.reply(BOB, to(offers, BOB), "Corrected.")
    assert told(desk.write(JANE, "Another thing.", subject="Printer")) == [("offer", BOB)]
    assert told(desk.write(TOM, "Hello.", subject="Hello")) == [("offer", ALICE), ("offer", BOB)]
    assert told(desk.pass_time(timedelta(minutes=16))) == [("offer", ALICE)]
    desk.pass_time(91 * DAYS)
    assert told(desk.write(JANE, "A third thing.", subject="Stapler")) == [("offer", ALICE), ("offer", BOB)]


def test_an_absent_acquaintance_is_not_waited_for(desk: Desk) -> None:
    offers = desk.write(JANE, "We have 10 licences, not 12.")
    desk.reply(BOB, to(offers, BOB), "Corrected.")
    desk.reply(BOB, to(offers, BOB), "#away")
    assert told(desk.write(JANE, "Another thing.", subject="Printer")) == [("offer", ALICE)]


def test_rotation_asks_one_agent_at_a_time_and_at_last_the_lead(database: Database) -> None:
    desk = offering(database, mode="rotate")
    first_asked = to([m for m in desk.write(JANE, "We have 10 licences, not 12.") if m.kind == "offer"], ALICE)
    assert told(desk.pass_time(timedelta(minutes=16))) == [("offer", BOB)]
    assert told(desk.pass_time(timedelta(minutes=16))) == [("offer", CAROL), ("reminder", BOB)]
    assert [kind for kind, _ in turns(desk)] == ["offered", "passed", "offered", "passed", "offered"]
    desk.reply(ALICE, first_asked, "#claim")  # late is better than never
    assert "offer" not in due(desk)


def test_rotation_asks_the_one_with_the_least_to_do_and_stops_when_the_ticket_is_taken(database: Database) -> None:
    desk = offering(database, mode="rotate")
    offer = to([m for m in desk.write(JANE, "We have 10 licences.") if m.kind == "offer"], ALICE)
    desk.reply(ALICE, offer, "#claim")
    assert told(desk.write(TOM, "Hello.", subject="Hello")) == [("offer", BOB)]
    assert not [m for m in desk.pass_time(timedelta(minutes=20)) if m.kind == "offer" and m.ticket == 1]


def test_who_has_as_many_tickets_as_the_cap_allows_is_not_asked_alone(database: Database) -> None:
    desk = offering(database, mode="rotate", cap=1)
    first = to(desk.write(JANE, "We have 10 licences."), ALICE)
    desk.reply(ALICE, first, "#claim")
    desk.write(TOM, "Hello.", subject="Hello")
    # Bob lets it pass: Alice has one ticket already and is not next, so it goes to the lead.
    assert told(desk.pass_time(timedelta(minutes=16))) == [("offer", CAROL)]
    second = to(desk.write("zoe@customer.test", "And I.", subject="Third"), BOB)
    desk.reply(BOB, second, "#claim")
    # Both are full: nobody is asked alone, and everybody is told.
    assert told(desk.write("max@customer.test", "Me too.", subject="Fourth")) == [("offer", ALICE), ("offer", BOB)]


def test_while_one_agent_is_asked_further_mail_goes_to_that_agent(database: Database) -> None:
    desk = offering(database, mode="rotate")
    desk.write(JANE, "We have 10 licences.", message_id="<first@customer.test>")
    assert told(desk.write(JANE, "Not 12.", answers="<first@customer.test>")) == [("customer-reply", ALICE)]
    assert told(desk.pass_time(timedelta(minutes=16))) == [("offer", BOB)]


@pytest.mark.parametrize("mode", ["digest", "none"])
def test_where_nobody_is_offered_anything_the_reminder_still_comes(database: Database, mode: str) -> None:
    desk = offering(database, mode=mode)
    assert told(desk.write(JANE, "We have 10 licences, not 12.")) == []
    assert told(desk.pass_time(timedelta(minutes=31))) == [("reminder", ALICE), ("reminder", BOB)]


# ------------------------------------------------------------------ agents who leave


def test_the_tickets_of_an_agent_who_left_are_free_and_announced(database: Database) -> None:
    desk = Desk(database)
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.reply(ALICE, offer, "#claim")
    left = {**DESK.agents, "alice": replace(DESK.agents["alice"], enabled=False)}
    desk = Desk(database, replace(DESK, agents=left))
    desk.road.now = due(desk)["unanswered-1"] - timedelta(hours=1)
    with database.begin() as tx:
        clockwork.start_rounds(tx, desk.road.settings, desk.road.now)
    assert told(desk.pass_time(timedelta(0))) == [("reminder", BOB)]
    assert (desk.ticket().owner, desk.ticket().state) == (None, State.NEW)
    assert set(due(desk)) == {"unclaimed-1", "unclaimed-2"}


def test_a_ticket_no_row_watches_is_found_at_the_next_start(desk: Desk) -> None:
    desk.write(JANE, "We have 10 licences, not 12.")
    with desk.road.database.begin() as tx:
        timers.clear(tx, 1)
        clockwork.start_rounds(tx, desk.road.settings, desk.road.now)
    assert told(desk.pass_time(timedelta(0))) == [("reminder", ALICE), ("reminder", BOB)]


def test_an_undo_gives_nothing_back_to_an_agent_who_left(desk: Desk) -> None:
    mails = desk.write(JANE, "We have 10 licences, not 12.")
    desk.reply(BOB, to(mails, BOB), "#claim")
    desk.reply(ALICE, to(mails, ALICE), "#claim")
    agents = desk.road.settings.agents
    left = {**agents, "bob": replace(agents["bob"], enabled=False)}
    desk.road.settings = replace(desk.road.settings, agents=left)
    desk.reply(ALICE, to(mails, ALICE), "#undo")
    assert desk.ticket().owner is None
    assert told(desk.pass_time(timedelta(minutes=31))) == [("reminder", ALICE)]
