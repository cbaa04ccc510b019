"""Days, times and values after a verb in German mean what they mean in the agent's zone."""

from __future__ import annotations

from datetime import datetime

import pytest

from gateway.desk.commands import read_commands
from gateway.desk.moments import read_away, read_when
from gateway.model import Command
from gateway.settings import Commands

RULES = Commands(aliases={"wiedervorlage": "followup", "erledigt": "close", "weg": "away"})
NOW = datetime.fromisoformat("2026-11-23T10:00:00+01:00")  # a Monday


def order(text: str) -> Command:
    orders = read_commands(text, "ticket", RULES)
    assert not orders.held and len(orders.commands) == 1, (text, orders)
    return orders.commands[0]


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("mo 9 uhr", "2026-11-30T09:00:00+01:00"),
        ("Montag 9:00", "2026-11-30T09:00:00+01:00"),
        ("nächsten Montag", "2026-11-30T09:00:00+01:00"),
        ("nächste Woche", "2026-11-30T09:00:00+01:00"),
        ("morgen", "2026-11-24T09:00:00+01:00"),
        ("morgen um 14.30 Uhr", "2026-11-24T14:30:00+01:00"),
        ("morgen um 8", "2026-11-24T08:00:00+01:00"),
        ("bis Freitag", "2026-11-27T09:00:00+01:00"),
        ("in 3 Tagen", "2026-11-26T10:00:00+01:00"),
        ("2 Stunden", "2026-11-23T12:00:00+01:00"),
        ("12. Dezember", "2026-12-12T09:00:00+01:00"),
        ("12.12.", "2026-12-12T09:00:00+01:00"),
        ("12.12.2026 14 Uhr", "2026-12-12T14:00:00+01:00"),
        ("am 3. März", "2027-03-03T09:00:00+01:00"),
    ],
)
def test_a_time_in_german_is_the_time_it_names(words: str, means: str) -> None:
    for verb in ("#wiedervorlage", "#snooze"):
        found = read_when(order(f"{verb} {words}").argument, NOW, "Europe/Berlin")
        assert found == datetime.fromisoformat(means), words


def test_an_absence_in_german_names_its_end_and_who_stands_in() -> None:
    when, who = read_away(order("#weg bis 24.12. an bob").argument)
    assert (read_when(when, NOW, "Europe/Berlin"), who) == (datetime.fromisoformat("2026-12-24T09:00:00+01:00"), "bob")
    assert read_away(order("#weg an bob").argument) == ("", "bob")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("#prio hoch", Command("prio", "high")),
        ("#status erledigt", Command("status", "closed")),
        ("#assign an bob", Command("assign", "bob")),
        ("#assign to bob", Command("assign", "bob")),
        ("#list meine", Command("list", "mine")),
        ("#quiet aus", Command("quiet", "off")),
        ("snooze morgen", Command("snooze", "tomorrow")),
    ],
)
def test_a_value_in_german_is_the_value_it_names(text: str, means: Command) -> None:
    assert order(text) == means


@pytest.mark.parametrize("text", ["#snooze 12.13.", "#snooze bald", "#wiedervorlage mo wieder anrufen", "#prio egal"])
def test_what_is_not_understood_in_german_is_asked_about_in_its_own_words(text: str) -> None:
    orders = read_commands(text, "ticket", RULES)
    assert orders.held and orders.bad_line == text


@pytest.mark.parametrize("text", ["Hallo,\n#wiedervorlage so bald es geht", "Hallo,\n#snooze do not forget"])
def test_further_down_german_words_are_no_reason_to_take_a_sentence_for_a_command(text: str) -> None:
    assert read_commands(text, "ticket", RULES).text == text
