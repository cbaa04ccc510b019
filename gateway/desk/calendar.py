"""Business hours, holidays, quiet hours, and how a time span is said (mail.md 15, ops.md 15).

A span in business time counts whole days as business days ("after 1 business day": the same clock time on the next day
that is open) and the rest as open time ("after 4 business hours"). All results are aware and in UTC; every step is done
in the zone's own clock, so a day that is 23 or 25 hours long is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from gateway.desk.moments import find_zone, read_quiet
from gateway.settings import Hours

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_WORD = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*(?:-(mon|tue|wed|thu|fri|sat|sun)[a-z]*)?")
_RANGE_WORD = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?-([0-9]{1,2})(?::([0-9]{2}))?")
_MIDNIGHT = 24 * 60
_LONGEST_HOLIDAY = 400  # days of one range
_FARTHEST = timedelta(days=1500)  # a search for open hours ends here: a calendar may be closed for ever


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """Hours, read: seven days of (first, last) minute of the day, Monday first; days off by date and by every year."""

    week: tuple[tuple[tuple[int, int], ...], ...]
    holidays: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    @property
    def always(self) -> bool:
        """Whether nothing is ever closed."""
        return not self.holidays and not self.yearly and all(day == ((0, _MIDNIGHT),) for day in self.week)

    def open_on(self, day: date) -> tuple[tuple[int, int], ...]:
        """The open minutes of a date."""
        closed = day in self.holidays or (day.month, day.day) in self.yearly
        return () if closed else self.week[day.weekday()]


@lru_cache(maxsize=64)
def read_hours(hours: Hours) -> BusinessHours:
    """The settings, read. Raises ValueError with a sentence for the operator when they make no sense.

    ``weekdays``: "mon-fri 09:00-17:30", "mon-thu 9-12 13-17, fri 9-12", "mon, wed 10:00-14:00", "mon-sun 22:00-06:00";
    empty means always open. ``holidays``: "2026-12-25", "2026-12-24..2026-12-26", "12-25" (every year); words with
    "file:" stand for a file that configure.py has to replace by :func:`read_holiday_file`, and count for nothing here.
    """
    holidays: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    for word in hours.holidays:
        if word.startswith("file:"):
            continue
        if re.fullmatch(r"[0-9]{2}-[0-9]{2}", word):
            leap = _read_date(f"2024-{word}", word)
            yearly.add((leap.month, leap.day))
        else:
            holidays.update(_read_range(word))
    return BusinessHours(_read_week(hours.weekdays), frozenset(holidays), frozenset(yearly))


def _read_week(text: str) -> tuple[tuple[tuple[int, int], ...], ...]:
    words = re.sub(r"\s*-\s*", "-", text.lower()).replace(",", " ").replace(";", " ").split()
    if not words:
        return (((0, _MIDNIGHT),),) * 7
    week: list[list[tuple[int, int]]] = [[] for _ in _DAYS]
    days: list[int] = []
    timed = False  # the days collected so far already have their hours
    for word in words:
        named = _DAY_WORD.fullmatch(word)
        if named:
            if timed:
                days, timed = [], False
            first = _DAYS.index(named[1])
            last = _DAYS.index(named[2] or named[1])
            days += [(first + n) % 7 for n in range((last - first) % 7 + 1)]
            continue
        start, end = _read_minutes(word)
        if not days:
            raise ValueError(f"business hours: {word!r} has no day before it")
        for day in days:
            if start < end:
                week[day].append((start, end))
            else:  # over midnight
                week[day].append((start, _MIDNIGHT))
                week[(day + 1) % 7].append((0, end))
        timed = True
    if not timed:
        for day in days:
            week[day].append((0, _MIDNIGHT))
    return tuple(_merge(ranges) for ranges in week)


def _read_minutes(word: str) -> tuple[int, int]:
    found = _RANGE_WORD.fullmatch(word)
    if not found:
        raise ValueError(f"business hours: {word!r} is neither a day (mon, mon-fri) nor hours (09:00-17:30)")
    start = int(found[1]) * 60 + int(found[2] or 0)
    end = int(found[3]) * 60 + int(found[4] or 0)
    if start >= _MIDNIGHT or end > _MIDNIGHT or int(found[2] or 0) > 59 or int(found[4] or 0) > 59 or start == end:
        raise ValueError(f"business hours: {word!r} is no range of hours")
    return start, end


def _merge(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if start == end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _read_date(text: str, word: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"holidays: {word!r} is neither a date (2026-12-25) nor a range of dates") from None


def _read_range(word: str) -> Iterator[date]:
    first, dots, last = word.partition("..")
    start = _read_date(first, word)
    end = _read_date(last, word) if dots else start
    if not 0 <= (end - start).days <= _LONGEST_HOLIDAY:
        raise ValueError(f"holidays: {word!r} ends before it begins or is longer than {_LONGEST_HOLIDAY} days")
    return (start + timedelta(days=n) for n in range((end - start).days + 1))


def read_holiday_file(ics: str) -> tuple[str, ...]:
    """The whole-day events of an iCalendar text (RFC 5545) as words for ``Hours.holidays``.

    Read are DTSTART and DTEND without a time, and RRULE:FREQ=YEARLY on the same date; other repetitions count once.
    Cancelled events and events with a time are no holidays. Broken lines are passed over.
    """
    words: list[str] = []
    for event in re.split(r"(?mi)^BEGIN:VEVENT\s*$", re.sub(r"\r?\n[ \t]", "", ics))[1:]:
        fields: dict[str, str] = {}
        for line in re.split(r"\r?\n", event):
            name, colon, value = line.partition(":")
            if name.upper().startswith("END"):
                break
            if colon:
                fields.setdefault(name.split(";")[0].upper(), value.strip())
        words += _read_event(fields)
    return tuple(dict.fromkeys(words))


def _read_event(fields: dict[str, str]) -> list[str]:
    first = _compact_date(fields.get("DTSTART", ""))
    if first is None or fields.get("STATUS", "").upper() == "CANCELLED":
        return []
    after = _compact_date(fields.get("DTEND", "")) or first + timedelta(days=1)  # DTEND is the day after (3.6.1)
    days = [first + timedelta(days=n) for n in range(max(1, min((after - first).days, _LONGEST_HOLIDAY)))]
    rule = fields.get("RRULE", "").upper()
    if "FREQ=YEARLY" in rule and "BYDAY" not in rule:
        return [f"{day:%m-%d}" for day in days]
    return [first.isoformat() if len(days) == 1 else f"{first.isoformat()}..{days[-1].isoformat()}"]


def _compact_date(value: str) -> date | None:
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:])) if re.fullmatch(r"[0-9]{8}", value) else None
    except ValueError:
        return None


# ------------------------------------------------------------------ arithmetic


def is_open(hours: Hours, zone: str, at: datetime) -> bool:
    """Whether the desk is open at this moment."""
    local = at.astimezone(_zone(zone))
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in read_hours(hours).open_on(local.date()))


def next_open(hours: Hours, zone: str, at: datetime) -> datetime:
    """The first moment from ``at`` on at which the desk is open; ``at`` itself when it never opens."""
    at = at.astimezone(UTC)
    for start, end in _open_periods(read_hours(hours), _zone(zone), at):
        if end > at:
            return max(start, at)
    return at


def add_business(hours: Hours, zone: str, start: datetime, span: timedelta) -> datetime:
    """The moment ``span`` of business time after ``start``: whole days are business days, the rest is open time.

    A calendar that never opens again counts as always open: a reminder must not wait for ever.
    """
    read, here = read_hours(hours), _zone(zone)
    # Aware datetimes of one zone subtract by the wall clock: all arithmetic is in UTC.
    start = start.astimezone(UTC)
    if read.always or span <= timedelta(0):
        return start + max(span, timedelta(0))
    at = next_open(hours, zone, start)
    if not is_open(hours, zone, at):
        return start + span
    for _ in range(min(span.days, _FARTHEST.days)):
        at = _next_business_day(hours, zone, at)
    left = timedelta(seconds=span.seconds, microseconds=span.microseconds)
    for opens, closes in _open_periods(read, here, at):
        begin = max(opens, at)
        if closes <= begin:
            continue
        if begin + left <= closes:
            return begin + left
        left -= closes - begin
    return start + span


def business_between(hours: Hours, zone: str, start: datetime, end: datetime) -> timedelta:
    """How long the desk was open between two moments; zero when ``end`` is not after ``start``."""
    total = timedelta(0)
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end <= start:
        return total
    read = read_hours(hours)
    if read.always:
        return end - start
    for opens, closes in _open_periods(read, _zone(zone), start, end):
        if opens >= end:
            break
        total += max(min(closes, end) - max(opens, start), timedelta(0))
    return total


def _next_business_day(hours: Hours, zone: str, at: datetime) -> datetime:
    """The same clock time on the next date with open hours, or the next opening after it."""
    local = at.astimezone(_zone(zone))
    read = read_hours(hours)
    for ahead in range(1, _FARTHEST.days):
        day = local.date() + timedelta(days=ahead)
        if read.open_on(day):
            return next_open(hours, zone, datetime.combine(day, local.timetz()).astimezone(UTC))
    return at + timedelta(days=1)


def _open_periods(
    hours: BusinessHours, here: tzinfo, start: datetime, end: datetime | None = None
) -> Iterator[tuple[datetime, datetime]]:
    """Open periods as pairs in UTC, from the local day of ``start``; bounded."""
    day = start.astimezone(here).date()
    last = end.astimezone(here).date() if end else day + _FARTHEST
    while day <= last:
        for first, past in hours.open_on(day):
            yield _moment(day, first, here), _moment(day, past, here)
        day += timedelta(days=1)


def _moment(day: date, minute: int, here: tzinfo) -> datetime:
    if minute == _MIDNIGHT:
        day, minute = day + timedelta(days=1), 0
    return datetime.combine(day, time(minute // 60, minute % 60), here).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    # configure refuses an unknown zone; one that vanished from the system's tables must not stop the desk
    return find_zone(name or "UTC") or UTC


# ------------------------------------------------------------------ quiet hours, words


def next_allowed(quiet: str, zone: str, at: datetime) -> datetime:
    """``at``, or the end of the quiet hours ("18:00-08:00", "18-8") it falls into. "" and "off" are none."""
    ends = read_quiet(quiet)
    if ends is None:
        return at.astimezone(UTC)
    start, end = ends
    at = at.astimezone(UTC)
    local = at.astimezone(_zone(zone))
    now = local.time()
    inside = start <= now < end if start < end else now >= start or now < end
    if not inside:
        return at
    day = local.date() if now < end else local.date() + timedelta(days=1)
    return max(datetime.combine(day, end, local.tzinfo).astimezone(UTC), at)


def say_span(span: timedelta, business: bool = False) -> str:
    """A span in at most two units: "15 min", "2 h", "1 d 2 h"; in business time "4 business hours", "1 business day".

    Rounded down to minutes; below one minute it is in seconds. A negative span is said like its opposite.
    """
    seconds = int(abs(span).total_seconds())
    if seconds < 60:
        return f"{seconds} business seconds" if business else f"{seconds} s"
    days, rest = divmod(seconds, 86400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if not business:
        parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
        return " ".join(parts[:2] if not days else [p for p in parts if "min" not in p])
    said = [
        f"{number} {'business ' if first else ''}{unit}{'' if number == 1 else 's'}"
        for number, unit, first in (
            (days, "day", True),
            (hours, "hour", not days),
            (0 if days else minutes, "minute", not hours),
        )
        if number
    ]
    return " ".join(said)
