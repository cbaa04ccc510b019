"""Merge, split, undo and people who come and go: what one side wrote stays with that side, and notes stay inside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import OutboundMail
from gateway.store.database import Database
from tests.rules.test_properties_conversation import everything_in
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, TOM, Desk, to
from tests.support.spine import text_of

NOTE, JANES, TOMS = "she never pays her bills", "My account number is 4711", "The red one leaks"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


class Two:
    """Jane's ticket 1 with a note in it, Tom's ticket 2."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.janes = desk.write(JANE, JANES, message_id="<1@customer.test>")
        self.toms = desk.write(TOM, TOMS, subject="Pump", message_id="<1@shop.test>")
        self.noted = to(desk.reply(ALICE, to(self.janes, ALICE), f"#note @bob {NOTE}"), BOB)

    def merge(self) -> OutboundMail:
        """Jane's into Tom's, though another customer's; returns the confirmation."""
        asked = to(self.desk.reply(ALICE, to(self.janes, ALICE), "#merge 2"), ALICE)
        return next(m for m in self.desk.reply(ALICE, asked, "#send") if m.recipient == ALICE)


@pytest.fixture
def two(desk: Desk) -> Two:
    return Two(desk)


def outside(mails: list[OutboundMail]) -> dict[str, str]:
    return {m.recipient: everything_in(m) for m in mails if m.recipient in (JANE, TOM)}


def test_after_a_merge_neither_customer_is_quoted_to_the_other_and_the_note_stays_inside(desk: Desk, two: Two) -> None:
    two.merge()
    shown = outside(desk.reply(ALICE, to(two.toms, ALICE), "We come on Friday."))
    assert set(shown) == {JANE, TOM}
    assert "4711" not in shown[TOM] and "red one" not in shown[JANE]
    assert "4711" in shown[JANE]  # her own words
    assert all("never pays" not in text for text in shown.values())
    assert "<1@customer.test>" not in shown[TOM]


def test_a_note_of_a_merged_ticket_is_answered_with_a_note_and_its_words_are_kept_from_answers(
    desk: Desk, two: Two
) -> None:
    two.merge()
    assert outside(desk.reply(BOB, two.noted, "Really?")) == {}
    held = desk.reply(ALICE, to(two.toms, ALICE), f"As I said, {NOTE} and so on.")
    assert outside(held) == {} and "NOT SENT" in text_of(to(held, ALICE))


def test_a_mail_that_came_while_two_were_one_is_not_quoted_to_the_other_once_they_are_two(desk: Desk, two: Two) -> None:
    merged = two.merge()
    desk.write(JANE, "And my PIN is 0815.", answers="<1@customer.test>", message_id="<2@customer.test>")
    desk.tap(ALICE, merged, "undo")
    assert [p.address for p in desk.ticket(2).participants] == [TOM]
    shown = outside(desk.reply(ALICE, to(two.toms, ALICE), "We come on Friday."))
    assert set(shown) == {TOM} and "0815" not in shown[TOM] and "never pays" not in shown[TOM]
    shown = outside(desk.reply(BOB, to(two.janes, BOB), "And to you on Monday."))
    assert set(shown) == {JANE} and "red one" not in shown[JANE]


def test_tokens_of_a_merge_that_was_undone_lead_back(desk: Desk, two: Two) -> None:
    merged = two.merge()
    answer = next(m for m in desk.reply(ALICE, to(two.toms, ALICE), "Soon.") if m.recipient == JANE)
    desk.tap(ALICE, merged, "undo")
    told = desk.reply(JANE, answer, "When?")  # her address in Tom's ticket counts for nothing any more
    assert outside(told) == {} and desk.plan.outcome == "hold"
    assert [p.address for p in desk.ticket(2).participants] == [TOM]


def test_a_split_takes_the_mail_along_and_no_note(desk: Desk, two: Two) -> None:
    again = desk.write(JANE, "Also: the lamp.", answers="<1@customer.test>", message_id="<2@customer.test>")
    split = desk.reply(BOB, to(again, BOB), "#split Lamp")
    assert [e.kind for e in desk.ticket(3).events if e.text] == ["mail"]
    mine = next(m for m in split if m.ticket == 3)
    shown = outside(desk.reply(BOB, mine, "Which lamp?"))
    assert set(shown) == {JANE} and "never pays" not in shown[JANE]


def test_who_was_removed_is_quoted_to_nobody_and_who_was_added_reads_nothing_older(desk: Desk) -> None:
    offer = to(desk.write(JANE, JANES, message_id="<1@customer.test>"), ALICE)
    added = next(m for m in desk.reply(ALICE, offer, f"#cc {TOM}\nSee you both") if m.recipient == TOM)
    assert "4711" not in everything_in(added)
    desk.reply(TOM, added, "The price is 99.")
    desk.reply(ALICE, offer, f"#uncc {TOM}")
    shown = outside(desk.reply(ALICE, offer, "Now only you."))
    assert set(shown) == {JANE} and "99" not in shown[JANE]


@pytest.mark.parametrize("kind", ["plus", "none"])
def test_a_reply_to_a_note_is_a_note_also_where_addresses_carry_no_tokens(database: Database, kind: str) -> None:
    support = replace(DESK.inbox["support"], reply_token=kind)
    desk = Desk(database, replace(DESK, inbox={**DESK.inbox, "support": support}))
    offer = to(desk.write(JANE, JANES), ALICE)
    note = to(desk.reply(ALICE, offer, f"#note @bob {NOTE}"), BOB)
    assert outside(desk.reply(BOB, note, "Let her wait.")) == {}
    assert [e.text for e in desk.ticket().events if e.kind == "note"][-1].startswith("Let her wait")
    assert set(outside(desk.reply(BOB, note, "#send\nHello Jane"))) == {JANE}


def test_who_is_given_a_ticket_with_a_note_reads_the_note(desk: Desk) -> None:
    offer = to(desk.write(JANE, JANES), ALICE)
    given = to(desk.reply(ALICE, offer, f"#assign bob\n#note {NOTE}"), BOB)
    assert NOTE in text_of(given) and "4711" in text_of(given)
    assert "never pays" not in outside(desk.reply(BOB, given, "Hello Jane"))[JANE]
