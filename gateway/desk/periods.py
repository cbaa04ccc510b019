"""The period of a report as people write it: ``week 46``, ``october``, ``alice last month`` (mail.md 17).

A week is an ISO week, Monday to Sunday; a day is one of the agent's zone, with 23 or 25 hours where clocks change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from gateway.desk.moments import find_zone

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_FIRST_YEAR = 1970
_WEEK = re.compile(r"(?:week\s*|w)([0-9]{1,2})(?:\s+([0-9]{4}))?|([0-9]{4})[ -]?w([0-9]{1,2})")
_ISO_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})")
_NAMED_MONTH = re.compile(r"([a-z]{3,9})(?:\s+([0-9]{4}))?")
_LONGEST_DAILY = 62  # days; longer periods are counted by month


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days [first, last) of a zone, and how they are called."""

    first: date
    last: date
    zone: str
    title: str  # "Week 47 (16-22 Nov 2026)"
    short: str  # "week 47"
    name: str  # for files and Content-IDs: "2026-w47"

    @property
    def since(self) -> datetime:
        return _midnight(self.first, self.zone)

    @property
    def until(self) -> datetime:
        return _midnight(self.last, self.zone)

    @property
    def daily(self) -> bool:
        return (self.last - self.first).days <= _LONGEST_DAILY

    @property
    def step(self) -> str:
        """What a line of the table is: a weekday, a day or a month."""
        if not self.daily:
            return "month"
        return "weekday" if (self.last - self.first).days <= 7 else "day"

    def slots(self) -> tuple[date, ...]:
        """The first day of each line of the table."""
        days = (self.first + timedelta(days=n) for n in range((self.last - self.first).days))
        return tuple(day for day in days if self.daily or day.day == 1 or day == self.first)

    def label(self, day: date) -> str:
        """How a line of the table is called."""
        if self.step == "weekday":
            return f"{day:%a}"
        return f"{day.day} {_short(day)}" if self.step == "day" else f"{_short(day)} {day.year}"


def week_of(day: date, zone: str) -> Period:
    """The ISO week a day is in."""
    first = day - timedelta(days=day.weekday())
    last = first + timedelta(days=6)
    year, number, _ = first.isocalendar()
    start = f"{first.day}" if first.month == last.month else f"{first.day} {_short(first)}"
    return Period(
        first=first,
        last=first + timedelta(days=7),
        zone=zone,
        title=f"Week {number} ({start}-{last.day} {_short(last)} {last.year})",
        short=f"week {number}",
        name=f"{year}-w{number:02}",
    )


def month_of(day: date, zone: str) -> Period:
    """The month a day is in."""
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    title = f"{_MONTHS[first.month - 1].capitalize()} {first.year}"
    return Period(first=first, last=following, zone=zone, title=title, short=title, name=f"{first:%Y-%m}")


def before(period: Period) -> Period:
    """The period of the same kind before this one."""
    day = period.first - timedelta(days=1)
    if "-w" in period.name:
        return week_of(day, period.zone)
    if (period.last - period.first).days <= 1:
        return _day(day, period.zone)
    return month_of(day, period.zone) if period.daily else _year(day.year, period.zone)


def read_period(text: str, now: datetime, zone: str) -> Period | None:
    """The period the words mean; "" is the last full week. None: they mean none, or one that has not begun."""
    today = now.astimezone(_find(zone)).date()
    try:
        found = _read(" ".join(text.lower().split()), today, zone)
    except (ValueError, OverflowError):
        return None
    # Nobody has tickets from before there was mail, and the first days of the calendar have no UTC.
    return found if found is not None and found.first.year >= _FIRST_YEAR and found.first <= today else None


def split_words(argument: str, names: Iterable[str]) -> tuple[str, str]:
    """(period, agent) of ``alice week 46``: the first word that is one of the names is the agent."""
    words, known = argument.split(), {name.lower() for name in names}
    who = next((word for word in words if word.lower() in known), "")
    return " ".join(word for word in words if word != who), who


def _read(word: str, today: date, zone: str) -> Period | None:
    named = {
        "": lambda: week_of(today - timedelta(days=7), zone),
        "last week": lambda: week_of(today - timedelta(days=7), zone),
        "week": lambda: week_of(today, zone),
        "this week": lambda: week_of(today, zone),
        "month": lambda: month_of(today, zone),
        "this month": lambda: month_of(today, zone),
        "last month": lambda: month_of(today.replace(day=1) - timedelta(days=1), zone),
        "today": lambda: _day(today, zone),
        "yesterday": lambda: _day(today - timedelta(days=1), zone),
        "year": lambda: _year(today.year, zone),
        "last year": lambda: _year(today.year - 1, zone),
    }
    if word in named:
        return named[word]()
    week = _WEEK.fullmatch(word)
    if week:
        number, year = int(week[1] or week[4]), week[2] or week[3]
        years = (int(year),) if year else (today.isocalendar()[0], today.isocalendar()[0] - 1)
        weeks = (date.fromisocalendar(y, number, 1) for y in years)
        return next((week_of(first, zone) for first in weeks if first <= today), None)
    if re.fullmatch(r"[0-9]{4}", word):
        return _year(int(word), zone)
    iso = _ISO_MONTH.fullmatch(word)
    if iso:
        return month_of(date(int(iso[1]), int(iso[2]), 1), zone)
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", word):
        return _day(date.fromisoformat(word), zone)
    month = _NAMED_MONTH.fullmatch(word)
    number = next((n for n, name in enumerate(_MONTHS, 1) if month and name.startswith(month[1])), 0)
    if month is None or not number:
        return None
    years = (int(month[2]),) if month[2] else (today.year, today.year - 1)
    return next((month_of(date(y, number, 1), zone) for y in years if date(y, number, 1) <= today), None)


def _day(day: date, zone: str) -> Period:
    title = f"{day:%a} {day.day} {_short(day)} {day.year}"
    return Period(first=day, last=day + timedelta(days=1), zone=zone, title=title, short=title, name=day.isoformat())


def _year(year: int, zone: str) -> Period:
    return Period(
        first=date(year, 1, 1), last=date(year + 1, 1, 1), zone=zone, title=f"{year}", short=f"{year}", name=f"{year}"
    )


def _short(day: date) -> str:
    return _MONTHS[day.month - 1][:3].capitalize()


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), _find(zone)).astimezone(UTC)


def _find(zone: str) -> tzinfo:
    return find_zone(zone or "UTC") or ZoneInfo("UTC")
