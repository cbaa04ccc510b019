"""Points in time as agents write them: ``3d``, ``mon 9am``, ``12 dec``, ``until fri to bob`` (mail.md 13, *When*).

Relative hours and minutes are exact; days, weeks and months keep the clock time, across summer time too. Days without a
time mean 09:00. Everything is in the agent's zone and must lie in the future. A local time that summer time skips is
read as that much later, one that happens twice is the first of the two.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

LONGEST = timedelta(days=3660)
"""Farther away is a slip of the keyboard (a ticket number in place of a date)."""

_LONGEST_TEXT = 60
_MORNING = time(9)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_LEAD = re.compile(r"\A(?:in|until|till|on|at) ")
_RELATIVE = re.compile(r"([0-9]{1,6})\s*(m|min|minutes?|h|hours?|d|days?|w|weeks?|months?)")
_CLOCK = re.compile(r"(?:^|,?\s+)(?:at\s+)?(?:([0-9]{1,2})(?::([0-9]{2}))?\s?(am|pm)|([0-9]{1,2}):([0-9]{2}))$")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DAY_MONTH = re.compile(r"([0-9]{1,2})\.?\s?([a-z]{3,9})(?:\s([0-9]{4}))?")
_AWAY = re.compile(r"(.*?)(?:(?:^|\s)to\s+([\w.@+-]+))?", re.DOTALL)
_QUIET = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?\s?-\s?([0-9]{1,2})(?::([0-9]{2}))?")


def find_zone(name: str) -> tzinfo | None:
    """The IANA zone of this name in any case, None when there is none ("#timezone europe/berlin" is common)."""
    for spelling in (name, "/".join(_title(part) for part in name.split("/")), name.upper()):
        try:
            return ZoneInfo(spelling)
        except (ValueError, OSError, KeyError):  # unknown, or no zone name at all (a path, too long)
            continue
    return None


def _title(part: str) -> str:
    return "_".join(word[:1].upper() + word[1:].lower() for word in part.split("_"))


def read_when(text: str, now: datetime, zone: str) -> datetime | None:
    """The moment a time argument means, in UTC; None when it is no time, does not exist, or is not in the future.

    ``now`` is aware; ``zone`` is the agent's IANA zone.
    """
    here = find_zone(zone)
    if here is None or len(text) > _LONGEST_TEXT:
        return None
    plain = _LEAD.sub("", " ".join(text.lower().split()))
    local = now.astimezone(here)
    try:
        for moment in _moments(plain, local):
            found = moment.astimezone(UTC)
            if found > now:
                return found if found - now <= LONGEST else None
    except (ValueError, OverflowError):  # 31 feb, 25:00, the year 10000
        return None
    return None


def _moments(plain: str, local: datetime) -> Iterator[datetime]:
    """What the words can mean, best first; the first one in the future counts."""
    relative = _RELATIVE.fullmatch(plain)
    if relative:
        yield _later(local, int(relative[1]), relative[2])
        return
    clock = _CLOCK.search(plain)
    at = _read_clock(clock) if clock else _MORNING
    for day in _days(plain[: clock.start()] if clock else plain, local.date()):
        yield datetime.combine(day, at, local.tzinfo)


def _later(local: datetime, number: int, unit: str) -> datetime:
    if unit.startswith("h"):
        return local.astimezone(UTC) + timedelta(hours=number)
    if unit.startswith("month"):
        years, month = divmod(local.month - 1 + number, 12)
        year = local.year + years
        last = calendar.monthrange(year, month + 1)[1]
        return local.replace(year=year, month=month + 1, day=min(local.day, last))
    if unit.startswith("m"):
        return local.astimezone(UTC) + timedelta(minutes=number)
    # Arithmetic on an aware datetime keeps the clock time, which is what "1d" means (mail.md 13).
    return local + timedelta(days=number if unit.startswith("d") else 7 * number)


def _read_clock(found: re.Match[str]) -> time:
    if found[3] is None:
        return time(int(found[4]), int(found[5]))
    hour = int(found[1])
    if not 1 <= hour <= 12:
        raise ValueError("no such hour")
    return time(hour % 12 + (12 if found[3] == "pm" else 0), int(found[2] or 0))


def _days(plain: str, today: date) -> Iterator[date]:
    monday = today - timedelta(days=today.weekday())
    iso, day_month = _ISO.fullmatch(plain), _DAY_MONTH.fullmatch(plain)
    following, _, name = plain.rpartition(" ")
    weekday = next((n for n, full in enumerate(_WEEKDAYS) if name in (full, full[:3])), -1)
    if plain in ("today", "tomorrow"):
        yield today + timedelta(days=plain == "tomorrow")
    elif plain == "next week":
        yield monday + timedelta(days=7)
    elif plain == "next month":
        yield (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    elif iso:
        yield date(int(iso[1]), int(iso[2]), int(iso[3]))
    elif day_month:
        yield from _calendar_days(day_month, today)
    elif weekday >= 0 and not following:  # "mon" said on a Monday means the next one
        yield today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
    elif weekday >= 0 and following == "next":  # of the week after this one
        yield monday + timedelta(days=7 + weekday)


def _calendar_days(found: re.Match[str], today: date) -> Iterator[date]:
    word = "sep" if found[2] == "sept" else found[2]
    month = next((n for n, name in enumerate(_MONTHS, 1) if name.startswith(word)), 0)
    years = (int(found[3]),) if found[3] else (today.year, today.year + 1)
    for year in years:
        # "29 feb" said in a year that has none may still mean next year's
        if month and (found[3] or int(found[1]) <= calendar.monthrange(year, month)[1]):
            yield date(year, month, int(found[1]))


def read_away(argument: str) -> tuple[str, str]:
    """The parts of ``#away [until WHEN] [to WHO]``: WHEN for :func:`read_when` and WHO, "" for a missing one."""
    found = _AWAY.fullmatch(argument.strip())
    if found is None:
        return argument.strip(), ""
    return found[1].strip(), found[2] or ""


def read_quiet(argument: str) -> tuple[time, time] | None:
    """The two ends of quiet hours, "18-8" or "18:00-08:00"; None for "off", nothing, or no such hours."""
    found = _QUIET.fullmatch(argument.strip())
    if found is None:
        return None
    try:
        start, end = (
            time(int(hour) % 24 if int(hour) <= 24 else 24, int(minute or 0))
            for hour, minute in (found.group(1, 2), found.group(3, 4))
        )
    except ValueError:
        return None
    return None if start == end else (start, end)
