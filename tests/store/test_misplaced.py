"""Commands about a ticket in a new mail, and orders alone that cannot be done: answered clearly, once, and over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.desk.misplaced import read_misplaced
from gateway.model import OutboundMail, Proof, State
from gateway.store.database import Database
from tests.store.test_confirmations import GERMAN
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, Desk, first, to
from tests.support.spine import make_mail, text_of


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def desk(database: Database, language: str) -> Desk:
    return Desk(database, GERMAN if language == "de" else DESK)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    return to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"), ALICE)


def say(language: str, english: str, german: str) -> str:
    return german if language == "de" else english


@pytest.mark.parametrize(
    ("line", "number", "order"),
    [
        ("#close 12", 12, "close"),
        ("#close #12.", 12, "close"),
        ("!Close 12!", 12, "close"),
        ("#solved 12", 12, "close"),
        ("#snooze 12 3d", 12, "snooze 3d"),
        ("#assign bob 12", 12, "assign bob"),
        ("#prio #12, high", 12, "prio high"),
        ("#snooze 12", 0, ""),
        ("#close soon", 0, ""),
        ("#close 12 please", 0, ""),
        ("#show 12", 0, ""),
        ("#note 12 she called", 0, ""),
        ("#clsoe 12", 0, ""),
        ("#close 123456789", 0, ""),
        ("close 12", 0, ""),
    ],
)
def test_the_ticket_and_the_order_of_a_line(line: str, number: int, order: str) -> None:
    assert read_misplaced(line, {}) == (number, order)


@pytest.mark.parametrize("options", [{"subject": "#close 1", "text": ""}, {"subject": "x", "text": "#close 1"}])
def test_a_command_that_names_its_ticket_is_answered_there_with_the_way_to_do_it(
    desk: Desk, offer: OutboundMail, language: str, options: dict[str, str]
) -> None:
    out = desk.write(ALICE, message_id="<c@corp.test>", **options)
    said = text_of(to(out, ALICE))
    assert len(out) == 1
    assert first(out) == say(
        language,
        "#1 NOT DONE YET - #close came in a new mail",
        "#1 NOCH NICHT ERLEDIGT - #close kam in einer neuen Mail",
    )
    assert "> #close 1" in said
    assert desk.ticket().state is State.NEW, "a new mail has no token"
    desk.tap(ALICE, to(out, ALICE), "close")
    assert desk.ticket().state is State.CLOSED


def test_its_answer_can_be_answered_with_the_command_and_words(desk: Desk, offer: OutboundMail) -> None:
    said = to(desk.write(ALICE, "#close 1\nHi Jane, done.", subject="x", message_id="<c@corp.test>"), ALICE)
    assert "> Hi Jane, done." in text_of(said) and "mailto:" not in text_of(said), "a link cannot say the words"
    answer = to(desk.reply(ALICE, said, "#close\nHi Jane, done."), JANE)
    assert text_of(answer).startswith("Hi Jane, done.")
    assert desk.ticket().state is State.CLOSED


def test_a_ticket_of_another_inbox_is_not_told_from_one_that_does_not_exist(desk: Desk, language: str) -> None:
    raw = make_mail(JANE, "Hello", to="billing@desk.test", message_id="<b@customer.test>")
    desk.road.arrive(raw, recipient="billing@desk.test", inbox="billing")
    desk.road.outbox()
    answers = [
        text_of(to(desk.write(ALICE, "", subject=f"#close {n}", message_id=f"<c{n}@corp.test>"), ALICE))
        for n in (1, 99)
    ]
    assert answers[0].replace("icket 1", "icket 99") == answers[1]
    assert say(language, "There is no ticket 99", "Es gibt kein Ticket 99") in answers[1]


def test_whoever_is_not_proven_learns_nothing(desk: Desk, offer: OutboundMail) -> None:
    desk.road.arrive(make_mail(ALICE, "", subject="#close 1", message_id="<c@corp.test>"), proof=Proof.NONE)
    assert not any("NOT DONE" in text_of(mail) or "x-ticket" in text_of(mail) for mail in desk.road.outbox())


def test_a_command_about_no_ticket_says_how_to_name_one(desk: Desk, language: str) -> None:
    said = first(desk.write(ALICE, "#close", subject="x", message_id="<c@corp.test>"))
    assert "#close 12" in said and say(language, "Reply with it to a mail of that ticket", "Antworte damit") in said


@pytest.mark.parametrize("line", ["#clsoe", "#noet she is rude", "# close the door"])
def test_a_new_mail_that_begins_with_a_mistake_opens_nothing_and_goes_back_whole(
    desk: Desk, line: str, language: str
) -> None:
    out = desk.write(ALICE, f"{line}\nPlease look at it.", subject="Question", message_id="<c@corp.test>")
    assert [m.recipient for m in out] == [ALICE], "no colleague is offered it"
    assert f"{line}\nPlease look at it." in text_of(out[0])
    assert say(language, "no ticket was opened", "kein Ticket eröffnet") in text_of(out[0])


def test_commands_in_a_mail_that_does_open_a_ticket_are_all_said_to_be_not_done(desk: Desk, language: str) -> None:
    out = desk.write(ALICE, "We have a new printer.\n#prio high\n#note it is red", message_id="<c@corp.test>")
    said = text_of(next(m for m in out if m.recipient == ALICE))
    assert say(language, "Not done: #prio high, #note.", "Nicht ausgeführt: #prio high, #note.") in said


# ------------------------------------------------------------------ a reply with orders alone


@pytest.mark.parametrize("order", ["#assign dora", "#clsoe", "#snooze never", "#prio huge", "#claim\n#release"])
def test_orders_alone_that_cannot_be_done_are_answered_once(
    desk: Desk, offer: OutboundMail, order: str, language: str
) -> None:
    said = to(desk.reply(ALICE, offer, order), ALICE)
    assert first([said]).startswith(say(language, "#1 NOT DONE - ", "#1 NICHT ERLEDIGT - "))
    assert say(language, "not asked again", "nicht noch einmal gefragt") in " ".join(text_of(said).split())
    later = [m for _ in range(4) for m in desk.pass_time(timedelta(days=2))]
    assert [m.kind for m in later if m.kind in ("held-reminder", "expired")] == []
    assert all(held.resolution for held in desk.ticket().held)


def test_the_corrected_order_in_answer_to_it_is_done(desk: Desk, offer: OutboundMail) -> None:
    said = to(desk.reply(ALICE, offer, "#assign dora"), ALICE)
    desk.reply(ALICE, said, "#assign bob")
    assert desk.ticket().owner.address == BOB


@pytest.mark.parametrize("text", ["#assign dora\nHi Jane.", "#noet she is difficult"])
def test_words_that_wait_are_asked_about_again(desk: Desk, offer: OutboundMail, text: str) -> None:
    desk.reply(ALICE, offer, text)
    later = [m for _ in range(4) for m in desk.pass_time(timedelta(days=2))]
    assert [m.kind for m in later if m.recipient == ALICE and m.kind in ("held-reminder", "expired")] == [
        "held-reminder",
        "expired",
    ]


def test_a_command_without_a_reply_address_is_asked_about_as_what_it_is(
    desk: Desk, offer: OutboundMail, language: str
) -> None:
    said = to(desk.write(ALICE, "#close", subject="Re: [#1] Invoice", message_id="<c@corp.test>"), ALICE)
    assert first([said]).startswith(say(language, "#1 NOT DONE - ", "#1 NICHT ERLEDIGT - "))
    assert "Jane" not in text_of(said) and JANE not in text_of(said)
    desk.tap(ALICE, said, "send")
    assert desk.ticket().state is State.CLOSED
