"""Rows with a due time."""

import asyncio
from datetime import timedelta

from gateway.model import Plan, Timer, TimerSet
from gateway.store import timers
from gateway.store.database import Database
from tests.store.values import HOUR, LEASE, NOW


def _set(database: Database, *wanted: TimerSet) -> None:
    with database.begin() as tx:
        timers.set_timers(tx, wanted)


def _claim(database: Database, now: object = NOW, limit: int = 10) -> list[Timer]:
    with database.begin() as tx:
        return timers.claim_due(tx, limit, "w", now, LEASE)  # type: ignore[arg-type]


def test_a_timer_is_claimed_when_it_is_due_and_not_before(database: Database) -> None:
    _set(database, TimerSet(kind="unclaimed-1", due_at=NOW, ticket=3, party=2, data={"a": "b"}))
    assert _claim(database, NOW - timedelta(microseconds=1)) == []
    (timer,) = _claim(database)
    assert (timer.kind, timer.due_at, timer.ticket, timer.party, timer.data) == ("unclaimed-1", NOW, 3, 2, {"a": "b"})
    assert _claim(database) == []


def test_setting_a_timer_again_moves_it(database: Database) -> None:
    _set(database, TimerSet(kind="snooze", due_at=NOW, ticket=3))
    _set(database, TimerSet(kind="snooze", due_at=NOW, ticket=3), TimerSet(kind="snooze", due_at=NOW + HOUR, ticket=3))
    assert _claim(database) == []
    assert len(_claim(database, NOW + HOUR)) == 1


def test_a_timer_is_done_once_also_when_its_lease_ended(database: Database) -> None:
    _set(database, TimerSet(kind="snooze", due_at=NOW, ticket=3))
    (lost,) = _claim(database)
    (again,) = _claim(database, NOW + LEASE)
    assert again == lost
    with database.begin() as tx:
        assert timers.finish(tx, again)
        assert not timers.finish(tx, lost)


def test_a_timer_that_was_moved_or_cleared_is_not_finished(database: Database) -> None:
    _set(database, TimerSet(kind="a", due_at=NOW, ticket=3), TimerSet(kind="b", due_at=NOW, ticket=3))
    moved, cleared = _claim(database)
    _set(database, TimerSet(kind="a", due_at=NOW + HOUR, ticket=3))
    with database.begin() as tx:
        assert timers.clear(tx, 3, ["b"]) == 1
        assert not timers.finish(tx, moved)
        assert not timers.finish(tx, cleared)
        assert [t.due_at for t in timers.list_timers(tx, 3)] == [NOW + HOUR]


def test_a_timer_whose_work_failed_is_due_later(database: Database) -> None:
    _set(database, TimerSet(kind="a", due_at=NOW))
    (timer,) = _claim(database)
    with database.begin() as tx:
        timers.postpone(tx, timer, NOW + HOUR)
    assert _claim(database, NOW + LEASE) == []
    assert _claim(database, NOW + HOUR) == [timer]


def test_a_plan_clears_before_it_sets_and_only_on_its_ticket(database: Database) -> None:
    _set(database, *(TimerSet(kind=k, due_at=NOW, ticket=t) for k in ("a", "b") for t in (3, 4)))
    plan = Plan(
        outcome="file", ticket=3, clear_timers=("a", "b"), timers=(TimerSet(kind="a", due_at=NOW + HOUR, ticket=3),)
    )
    with database.begin() as tx:
        timers.record(tx, plan)
        assert [(t.kind, t.due_at) for t in timers.list_timers(tx, 3)] == [("a", NOW + HOUR)]
        assert len(timers.list_timers(tx, 4)) == 2
        assert timers.clear(tx, 4) == 2


async def test_claims_of_timers_are_disjoint_and_earliest_first(database: Database) -> None:
    _set(database, *(TimerSet(kind="t", due_at=NOW - timedelta(minutes=n), ticket=n) for n in range(30)))
    claimed = await asyncio.gather(
        *(database.write(lambda tx: timers.claim_due(tx, 7, "w", NOW, LEASE)) for _ in range(8))
    )
    assert sorted(t.ticket for several in claimed for t in several) == list(range(30))
    for several in claimed:
        assert [t.due_at for t in several] == sorted(t.due_at for t in several)
