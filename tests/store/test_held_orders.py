"""A held mail that is let go does all it ordered, for the people it named, on both databases."""

from __future__ import annotations

import pytest

from gateway.desk.holding import released_as
from gateway.model import OutboundMail, Proof, State
from gateway.store import journal
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, JANE, Desk, to
from tests.support.spine import text_of


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def held_by(desk: Desk, why: str, text: str) -> OutboundMail:
    """Alice's mail to Jane, held for this reason: the notice of it."""
    mails = desk.write(JANE, "Help, please.", message_id="<1@customer.test>")
    if why == "collision":
        desk.reply(BOB, to(mails, BOB), "Solved.")
    if why == "no-token":
        subject = "Re: Invoice 2231 is wrong"
        return to(desk.write(ALICE, text, subject=subject, answers="<1@customer.test>"), ALICE)
    return to(desk.reply(ALICE, to(mails, ALICE), text, Proof.NONE if why == "unproven" else Proof.DKIM), ALICE)


@pytest.mark.parametrize("why", ["collision", "no-token", "unproven", "mistake"])
def test_what_a_held_mail_ordered_is_done_when_its_text_is_sent(desk: Desk, why: str) -> None:
    mistake = "#noet x\n" if why == "mistake" else ""
    notice = held_by(desk, why, f"#cc boss@customer.test\n#tag vip\n#snooze 3d\n{mistake}\nAll is well.")
    assert "#tag vip" in text_of(notice) or why == "collision"
    out = desk.reply(ALICE, notice, "#send")
    assert {m.recipient for m in out if m.kind == "answer"} == {JANE, "boss@customer.test"}
    assert (desk.ticket().state, desk.ticket().tags) == (State.SNOOZED, ("vip",))


@pytest.mark.parametrize("why", ["no-token", "unproven", "mistake"])
def test_a_held_answer_to_another_customer_never_goes_to_the_present_one(desk: Desk, why: str) -> None:
    notice = held_by(desk, why, "#from tom@shop.test\n" + ("#noet x\n" if why == "mistake" else "") + "\nDear Tom.")
    (asked,) = desk.reply(ALICE, notice, "#send")
    assert "Is tom@shop.test the customer from now on" in text_of(asked)
    out = desk.reply(ALICE, asked, "#send")
    assert {m.recipient for m in out if m.kind == "answer"} == {"tom@shop.test"}
    assert {h.resolution for h in desk.ticket().held} == {"asked", "sent"}


@pytest.mark.parametrize("why", ["no-token", "unproven"])
def test_a_held_mail_of_commands_only_is_done_by_one_tap_or_word(desk: Desk, why: str) -> None:
    notice = held_by(desk, why, "#close")
    assert "#1 is closed." in text_of(to(desk.reply(ALICE, notice, "#send"), ALICE))
    assert desk.ticket().state is State.CLOSED


def test_of_orders_that_were_refused_the_others_are_done(desk: Desk) -> None:
    notice = held_by(desk, "", "#tag vip\n#assign nobody\n\nAll is well.")
    to([m for m in desk.reply(ALICE, notice, "#send") if m.kind == "answer"], JANE)
    assert (desk.ticket().tags, desk.ticket().state) == (("vip",), State.WAITING)


def test_of_orders_that_contradict_each_other_none_is_done_when_the_text_is_sent(desk: Desk) -> None:
    notice = held_by(desk, "", "#tag vip\n#close\n#open\n\nAll is well.")
    to([m for m in desk.reply(ALICE, notice, "#send") if m.kind == "answer"], JANE)
    assert (desk.ticket().tags, desk.ticket().state) == (("vip",), State.WAITING)


def test_an_order_in_the_decision_counts_for_more_than_the_held_one(desk: Desk) -> None:
    notice = held_by(desk, "collision", "#close\n#prio low\n\nAll is well.")
    desk.reply(ALICE, notice, "#send\n#prio high\n#wait")
    assert (desk.ticket().priority, desk.ticket().state) == ("high", State.WAITING)


def test_words_kept_as_a_note_close_nothing(desk: Desk) -> None:
    notice = held_by(desk, "collision", "#close\n\nAll is well.")
    desk.reply(ALICE, notice, "#note")
    assert desk.ticket().state is State.WAITING


def test_an_unproven_note_that_closes_is_let_go_as_it_was_meant(desk: Desk) -> None:
    notice = held_by(desk, "unproven", "#note by phone\n#close")
    out = desk.reply(ALICE, notice, "#send")
    assert JANE not in {m.recipient for m in out}
    assert desk.ticket().state is State.CLOSED
    assert [e.text for e in desk.ticket().events if e.kind == "note"] == ["by phone"]


def test_an_operator_lets_no_mail_go_that_says_who_else_is_to_get_it(desk: Desk) -> None:
    held_by(desk, "unproven", "#from tom@shop.test\n\nDear Tom.")
    (held,) = desk.ticket().held
    with desk.road.database.begin() as tx:
        journal.release(tx, held.journal, desk.road.now, released_as(held.reason, 1, held.event, 0))
    (plan,) = desk.road.process()
    assert (plan.outcome, [m for m in desk.road.outbox() if m.recipient == JANE]) == ("hold", [])
    assert [h.resolution for h in desk.ticket().held] == [""]
