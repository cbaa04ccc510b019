"""Whoever was away gets a list of what happened meanwhile, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.model import OutboundMail
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, JANE, TOM, Desk, to
from tests.support.spine import text_of


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    """Two tickets of Alice's, one of Tom's that nobody has; Alice is about to go."""
    offer = to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<1@customer.test>"), ALICE)
    other = to(desk.write(JANE, "A second matter.", subject="Printer", message_id="<2@customer.test>"), ALICE)
    desk.write(TOM, "A matter of mine.", subject="Chair", message_id="<3@shop.test>")
    desk.reply(ALICE, offer, "We look into it.")
    desk.reply(ALICE, other, "We look into that.")
    return offer


def meanwhile(desk: Desk) -> None:
    """Jane writes to one of Alice's tickets; Bob takes and answers it."""
    out = desk.write(JANE, "Any news?", message_id="<4@customer.test>", answers="<1@customer.test>")
    desk.reply(BOB, to(out, BOB), "It is 10 now.")


def test_back_is_answered_with_what_changed_meanwhile(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#away")
    meanwhile(desk)
    text = text_of(to(desk.reply(ALICE, offer, "#back"), ALICE))
    assert text.startswith("Welcome back.\n1 ticket of yours changed while you were away\n")
    assert "  #1     Invoice 2231 is wrong\n         bob, jane@customer.test, " in text
    assert "Printer" not in text and "Chair" not in text


def test_what_was_closed_meanwhile_is_said_to_be_once(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#away")
    out = desk.write(JANE, "Any news?", message_id="<4@customer.test>", answers="<1@customer.test>")
    desk.reply(BOB, to(out, BOB), "#close")
    said = to(desk.reply(ALICE, offer, "#back"), ALICE)
    assert "         closed, jane@customer.test\n" in text_of(said)
    assert said.content.count(b"closed") == 2, "once in the text and once in the HTML"


def test_the_list_comes_by_itself_when_the_time_is_over_and_once(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#away until tomorrow")
    meanwhile(desk)
    assert [m for m in desk.pass_time(timedelta(hours=12)) if m.kind == "list"] == []
    (said,) = [m for m in desk.pass_time(timedelta(hours=12)) if m.kind == "list"]
    assert (said.recipient, "Invoice 2231" in text_of(said)) == (ALICE, True)
    assert text_of(to(desk.write(ALICE, "", subject="#back"), ALICE)) == "Welcome back.\n"


def test_who_stays_away_for_longer_gets_the_list_then(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#away until tomorrow")
    meanwhile(desk)
    desk.reply(ALICE, offer, "#away until 2026-11-27")
    assert [m for m in desk.pass_time(timedelta(days=2)) if m.kind == "list"] == []
    (said,) = [m for m in desk.pass_time(timedelta(days=3)) if m.kind == "list"]
    assert "Invoice 2231" in text_of(said)


def test_who_comes_back_early_gets_no_second_list(desk: Desk, offer: OutboundMail) -> None:
    desk.write(ALICE, "", subject="#away until tomorrow")
    assert "0 tickets of yours" in text_of(to(desk.write(ALICE, "", subject="#back"), ALICE))
    assert [m for m in desk.pass_time(timedelta(days=2)) if m.kind == "list"] == []
