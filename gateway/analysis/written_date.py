"""When a forwarded mail was written, as the forward's header block says it, in the languages of return_words.py.

For showing only. A wrong time is worse than none: without a year, a day and a clock, or where nothing tells the day
from the month (03/04/2026), there is none. Linear time: a line of at most 120 characters is looked at.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

from gateway.analysis.return_words import fold, months_of

_MOST = 120
_YEAR = r"(?P<year>20\d\d)"
_CLOCK = re.compile(r"(?<![\d:.])(?P<hour>\d{1,2})[:h](?P<minute>\d\d)(?::\d\d)?(?!\d)\s*(?P<half>[ap]\.?\s?m\b)?")
_RFC = re.compile(r"[A-Za-z]{3}, \d{1,2} [A-Za-z]{3} 20\d\d \d\d:\d\d(?::\d\d)? (?:[+-]\d{4}|GMT|UTC)(?: \(.*\))?")
_OTHER_HALF = re.compile(
    "[\u1100-\u11ff\uac00-\ud7af\u4e00-\u9fff](?<![年月日号號星期周週一二三四五六火水木金土])"  # morning, afternoon
    "|[\u0370-\u03ff]\\.?[\u0370-\u03ff]\\.?\\Z|[\u0600-\u06ff]|(?:sa|ch)\\Z"
)
"""What halves a day in other languages than English: then nobody can tell ten from twenty-two here."""
_ZONE = re.compile(r"\b(?:gmt|utc|z)?(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})\b")
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!\d){_YEAR}\s?[-/.年]\s?(?P<month>\d{{1,2}})\s?[-/.月]\s?(?P<day>\d{{1,2}})(?!\d)",
        rf"(?<!\d)(?P<day>\d{{1,2}})\.\s?(?P<month>\d{{1,2}})\.\s?{_YEAR}(?!\d)",
        rf"(?<!\d)(?P<one>\d{{1,2}})[/-](?P<other>\d{{1,2}})[/-]{_YEAR}(?!\d)",
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|o|a)?\.?[\s-]\s?(?:de\s+|of\s+)?(?P<name>[^\s\d.,/-]{{3,14}})\.?,?[\s-]\s?"
        rf"(?:de\s+|del\s+)?{_YEAR}(?!\d)",
        rf"(?<!\w)(?P<name>[^\s\d.,/-]{{3,14}})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+{_YEAR}(?!\d)",
    )
)


def read_written(text: str) -> datetime | None:
    """The time; without a zone when the text names none. None in any doubt; never raises."""
    line = " ".join(text.split())[:_MOST]
    strict = parsedate_tz(line)
    if strict is not None and _RFC.fullmatch(line):
        return _make(*strict[:5], strict[9])
    folded = fold(line)
    clock, months = _CLOCK.search(folded), months_of(folded)
    if clock is None or _OTHER_HALF.search(folded):
        return None
    hour, half = int(clock["hour"]), (clock["half"] or "")[:1]
    if half and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + (12 if half == "p" else 0) if half else hour
    rest = folded[: clock.start()] + " " + folded[clock.end() :]
    found = (_read_day(match, months) for pattern in _DATES if (match := pattern.search(rest)))
    day = next((one for one in found if one is not None), None)
    zone = _ZONE.search(folded[clock.end() :])
    offset = (
        (int(zone["hours"]) * 60 + int(zone["minutes"])) * 60 * (-1 if zone["sign"] == "-" else 1) if zone else None
    )
    return _make(*day, hour, int(clock["minute"]), offset) if day else None


def _read_day(found: re.Match[str], months: dict[str, int]) -> tuple[int, int, int] | None:
    """Year, month, day; None when the name is no month or two small numbers are either."""
    parts = found.groupdict()
    year = int(parts["year"])
    if "one" in parts:
        one, other = int(parts["one"]), int(parts["other"])
        if one <= 12 and other <= 12 and one != other:
            return None
        return (year, one, other) if one <= 12 else (year, other, one)
    month = int(parts["month"]) if "month" in parts else months.get(parts["name"], 0)
    return (year, month, int(parts["day"]))


def _make(year: int, month: int, day: int, hour: int, minute: int, offset: int | None) -> datetime | None:
    try:
        at = datetime(year, month, day, hour, minute)
        return at if offset is None else at.replace(tzinfo=timezone(timedelta(seconds=offset))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
