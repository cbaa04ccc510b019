"""The gateway's clock against a wall clock that somebody sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import Jump, SteadyClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEN_YEARS = timedelta(days=3652)


class Machine:
    """A wall clock that can be set, and one that only goes on."""

    def __init__(self) -> None:
        self.ticks = 1000.0
        self.ahead = NOON.timestamp() - self.ticks
        self.clock = SteadyClock(lambda: self.ticks + self.ahead, lambda: self.ticks)

    def passes(self, seconds: float) -> datetime:
        """Time passes, and is looked at every second."""
        for _ in range(int(seconds)):
            self.ticks += 1
            self.clock.now()
        return self.clock.now()


def test_a_clock_that_goes_steadily_is_the_wall_clock() -> None:
    machine = Machine()
    assert machine.passes(3600) == NOON + timedelta(hours=1)
    assert machine.clock.take_jumps() == []


@pytest.mark.parametrize("seconds", [1.0, -1.0, 30.0, -30.0])
def test_a_small_step_is_followed_at_once(seconds: float) -> None:
    """A leap second, NTP (fault-65, fault-66)."""
    machine = Machine()
    machine.ahead += seconds
    assert machine.clock.now() == NOON + timedelta(seconds=seconds)
    assert machine.clock.take_jumps() == []


def test_slow_drift_is_followed_however_far_it_goes() -> None:
    machine = Machine()
    for _ in range(100):
        machine.ahead += 2.0
        machine.passes(10)
    assert machine.clock.now() == NOON + timedelta(seconds=1200)
    assert machine.clock.take_jumps() == []


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-1), TEN_YEARS])
def test_a_jump_is_believed_when_it_has_stood(by: timedelta) -> None:
    machine = Machine()
    machine.ahead += by.total_seconds()
    assert machine.passes(200) == NOON + timedelta(seconds=200)
    assert machine.clock.take_jumps() == [Jump(by, believed=False)]
    assert machine.passes(200) == NOON + timedelta(seconds=400) + by
    assert machine.clock.take_jumps() == [Jump(by, believed=True)]


def test_ten_years_for_a_minute_never_happened() -> None:
    machine = Machine()
    machine.ahead += TEN_YEARS.total_seconds()
    seen = machine.passes(60)
    machine.ahead -= TEN_YEARS.total_seconds()
    assert seen == NOON + timedelta(minutes=1)
    assert machine.passes(600) == NOON + timedelta(minutes=11)
    assert machine.clock.take_jumps() == [Jump(TEN_YEARS, believed=False), Jump(timedelta(), believed=True)]


def test_a_clock_that_goes_on_jumping_is_not_believed() -> None:
    machine = Machine()
    for _ in range(20):
        machine.ahead += 7200
        machine.passes(100)
    assert machine.clock.now() == NOON + timedelta(seconds=2000)
