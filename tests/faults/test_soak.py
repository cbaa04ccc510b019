"""Gateways are killed at random while Postfix brings mail: nothing is lost, nothing doubled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.rows import TABLES
from tests.faults.soak import STEPS, Soak, Table, every_reminder_once
from tests.support.databases import SQLITE_AND_POSTGRESQL


def _history(*kinds: str) -> Table:
    """A ticket nobody has taken, and its events."""
    events = [{"ticket": 1, "number": number, "kind": kind} for number, kind in enumerate(kinds, 1)]
    return {table: [] for table in TABLES} | {"tickets": [{"number": 1, "state": "new"}], "events": events}


def test_reminders_are_counted_from_the_last_word_on() -> None:
    whole = ["mail", "ack", "offer", *["reminder"] * len(STEPS)]
    assert every_reminder_once(_history(*whole), restless=False) == []
    assert every_reminder_once(_history(*whole, "answer", *whole), restless=False) == []
    (twice,) = every_reminder_once(_history(*whole, "reminder"), restless=False)
    assert twice == f"I2: a timer of ticket 1 was carried out twice: event {len(whole) + 1}"
    (missing,) = every_reminder_once(_history(*whole[:-1]), restless=False)
    assert missing == "I6: ticket 1 waits and had 1 reminders of 2"
    assert every_reminder_once(_history(*whole[:-1]), restless=True) == []


@pytest.mark.system
@pytest.mark.postfix
@pytest.mark.timeout(500)
@pytest.mark.parametrize("kind", SQLITE_AND_POSTGRESQL)
def test_gateways_that_are_killed_at_random_lose_and_double_nothing(
    kind: str, postfix_folder: Path, request: pytest.FixtureRequest
) -> None:
    storage, count = "", 1
    if kind == "postgresql":  # three gateways, Postfix spreads the mail over them
        storage, count = request.getfixturevalue("postgres_server").create_database(), 3
    soak = Soak(postfix_folder, storage, count, random.randrange(1 << 30))
    played = soak.play(20.0, rate=2.0)
    print(played)
    assert played.kills and len(played.mails) > 5
    assert not played.violations, "\n".join([*played.violations, *(gateway.log(40) for gateway in soak.gateways)])
