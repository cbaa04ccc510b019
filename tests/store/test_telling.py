"""What a colleague does to somebody's ticket is told to its owner, once, and never to who did it (mail.md 15)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import OutboundMail, State
from gateway.store.database import Database
from tests.store.test_confirmations import GERMAN
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, Desk, both, first, offer_of, to
from tests.support.spine import text_of


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def desk(database: Database, language: str) -> Desk:
    return Desk(database, GERMAN if language == "de" else DESK)


@pytest.fixture
def alices(desk: Desk) -> OutboundMail:
    """Jane's ticket is Bob's; Alice has her offer of it still."""
    offers = desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>")
    desk.reply(BOB, to(offers, BOB), "#claim")
    return to(offers, ALICE)


def say(language: str, english: str, german: str) -> str:
    return german if language == "de" else english


def test_the_owner_is_told_that_a_colleague_closed_it(desk: Desk, alices: OutboundMail, language: str) -> None:
    out = desk.reply(ALICE, alices, "#close")
    assert [m.recipient for m in out] == [BOB, ALICE]
    told = to(out, BOB)
    assert first([told]) == say(
        language, "#1 closed by Alice - it is still yours", "#1 von Alice geschlossen - es ist weiter deins"
    )
    assert desk.ticket().owner.address == BOB
    assert say(language, "opens again on any reply of Jane", "Jede Antwort von Jane") in text_of(told).replace(
        "jane@customer.test", "Jane"
    )
    (asked,) = desk.reply(BOB, told, "#open")
    assert desk.ticket().state is State.OPEN, "an answer to it reaches the ticket"
    assert asked.recipient == BOB


def test_who_closes_an_own_ticket_tells_nobody(desk: Desk, alices: OutboundMail) -> None:
    desk.reply(ALICE, alices, "#claim")
    assert [m.recipient for m in desk.reply(ALICE, alices, "#close")] == [ALICE]
    assert [m.recipient for m in desk.reply(ALICE, alices, "#close")] == [ALICE], "and closed twice is closed once"


def test_the_owner_is_told_of_spam_and_of_its_undo(desk: Desk, alices: OutboundMail, language: str) -> None:
    out = desk.reply(ALICE, alices, "#spam")
    told = first([to(out, BOB)])
    assert told == say(
        language,
        "#1 closed as spam by Alice - it is still yours",
        "#1 von Alice als Spam geschlossen - es ist weiter deins",
    )
    back = desk.tap(ALICE, to(out, ALICE), "undo")
    assert first([to(back, BOB)]) == say(
        language, "#1 open again - it is still yours", "#1 wieder offen - es ist weiter deins"
    )


@pytest.mark.parametrize("orders", ["#close\n#claim", "#assign alice\n#close", "#close\n\nHi Jane, it is 12."])
def test_who_loses_the_ticket_by_the_same_mail_is_told_that_and_nothing_else(
    desk: Desk, alices: OutboundMail, orders: str
) -> None:
    out = desk.reply(CAROL if "assign" in orders else ALICE, carols(desk) if "assign" in orders else alices, orders)
    assert "was yours" in text_of(to(out, BOB)) or "war deins" in text_of(to(out, BOB))


def carols(desk: Desk) -> OutboundMail:
    return to(desk.reply(BOB, offer_of(desk, 1, BOB), "#note @carol please close it"), CAROL)


@pytest.mark.parametrize("verb", ["close", "spam"])
def test_a_note_with_it_says_it_too_and_the_owner_gets_one_mail(
    desk: Desk, alices: OutboundMail, language: str, verb: str
) -> None:
    told = text_of(to(desk.reply(ALICE, alices, f"#{verb}\n#note Solved by phone."), BOB))
    assert "Solved by phone." in told
    spam = say(language, " as spam", "als Spam ") if verb == "spam" else ""
    assert say(language, f"Alice closed the ticket{spam}.", f"Alice hat das Ticket {spam}geschlossen.") in told
    later = text_of(to(desk.reply(ALICE, alices, "#note And again."), BOB))
    assert say(language, "closed the ticket", "geschlossen") not in later, "only the note that came with it"


def test_the_owner_of_both_tickets_hears_of_a_merge_once(desk: Desk, language: str) -> None:
    _, two = both(desk)
    desk.reply(BOB, offer_of(desk, 1, BOB), "#claim")
    desk.reply(BOB, offer_of(desk, 2, BOB), "#claim")
    told = to(desk.reply(ALICE, two, "#merge 1"), BOB)
    assert first([told]) == say(
        language, "#2 is part of #1 now - that is yours", "#2 gehört jetzt zu #1 - das ist deins"
    )
    assert "#watch" not in text_of(told).partition("-- ")[0], "what comes in it is still told"


def test_the_owner_learns_what_was_merged_into_the_ticket(desk: Desk, language: str) -> None:
    _, two = both(desk)
    desk.reply(BOB, offer_of(desk, 1, BOB), "#claim")
    desk.reply(ALICE, two, "#close")
    told = to(desk.reply(ALICE, two, "#merge 1"), BOB)
    assert first([told]) == say(
        language, "#1 took in #2 - it is still yours", "#1 enthält jetzt #2 - es ist weiter deins"
    )


def test_what_waits_in_a_merged_ticket_is_shown_to_the_owner_and_nothing_else_is_told(desk: Desk) -> None:
    _, two = both(desk)
    desk.reply(BOB, offer_of(desk, 1, BOB), "#claim")
    out = desk.reply(ALICE, two, "#merge 1")
    assert [m.kind for m in out if m.recipient == BOB] == ["customer-reply"]


def test_an_owner_who_left_is_not_told(database: Database) -> None:
    desk = Desk(database)
    offers = desk.write(JANE, "We have 10 licences, not 12.")
    desk.reply(BOB, to(offers, BOB), "#claim")
    gone = {**DESK.agents, "bob": replace(DESK.agents["bob"], enabled=False)}
    desk.road.settings = replace(DESK, agents=gone)
    assert [m.recipient for m in desk.reply(ALICE, to(offers, ALICE), "#close")] == [ALICE]
