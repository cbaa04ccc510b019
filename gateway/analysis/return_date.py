"""Until when the author of an away notice is away, as the notice says it, in the languages of return_words.py.

A wrong day is worse than none: an agent who trusts it waits for nobody. A date counts when a word of coming back or of
"until" stands beside it and the notice speaks of an absence there; two different answers are none, a day in the past
or more than a year ahead is none, and so is 7/12 in English where nothing tells the day from the month. Linear time:
the text that is looked at and the dates in it are bounded, and so is what is looked at around each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.analysis.return_words import (
    AWAY,
    BACK,
    BACK_JOINED,
    ENGLISH_BACK,
    ENGLISH_UNTIL,
    FROM,
    TO,
    UNTIL,
    UNTIL_AFTER,
    UNTIL_JOINED,
    fold,
    months_of,
)

MOST_TEXT = 4000
"""Characters of a notice that are looked at; away notices are short."""
_MOST_DATES = 40
_SUFFIX = r"(?:st|nd|rd|th|er|ers|ro|re|o|a|ta|de|e|-?(?:го|е|то|га|an|en|i|jan|jen|os|as|es|η)(?!\w))?\.?"
_YEAR = r"(?:20|25)\d\d"
_WORD = r"[^\s\d.,;:!?()\"'/-]{3,14}"
_DASH = r"[-–—]"
_DAY_FIRST = re.compile(
    rf"(?<![\w/.-])(?P<iyear>{_YEAR})\s?(?P<imark>[-/.])\s?(?P<imonth>\d{{1,2}})\s?(?P=imark)\s?(?P<iday>\d{{1,2}})(?![\d/-])"
    rf"|(?:(?P<cyear>{_YEAR})\s?[年년]\s?)?(?<!\d)(?P<cmonth>\d{{1,2}})\s?[月월]\s?(?P<cday>\d{{1,2}})\s?(?:[日号號]|일)"
    rf"|(?<![\w:/])(?P<vday>\d{{1,2}})\s+thang\s+(?P<vmonth>\d{{1,2}})(?:\s+nam\s+(?P<vyear>{_YEAR}))?(?!\d)"
    rf"|(?<![A-Za-z\d/:.])(?P<first>\d{{1,2}})(?P<mark>[./]|-(?=\d{{1,2}}-))\s?(?P<second>\d{{1,2}})"
    rf"(?:(?P=mark)\s?(?P<nyear>(?:20)?\d\d)(?!\d))?(?![\d/:]|\.\d|\s?(?:am|pm|a\.m|p\.m|uhr|h\b|%|€|eur|usd|\$))\.?"
    rf"|(?<![A-Za-z\d/:.,])(?P<day>\d{{1,2}}){_SUFFIX}(?:\s*(?:of|de|del|den)\s+|\s*(?:d'|{_DASH})\s*|\s*)(?P<month>{_WORD})"
    rf"(?:[.,]?\s*(?:de\s+|del\s+|of\s+)?(?P<year>{_YEAR}))?"
)
_MONTH_FIRST = re.compile(
    rf"(?:(?<!\d)(?P<before>{_YEAR})(?:\.|\s*m\.|\.?\s*gada)?\s+)?(?<!\w)(?P<month>{_WORD})\.?\s+(?:the\s+)?"
    rf"(?P<day>\d{{1,2}}){_SUFFIX}(?:\s*(?:{_DASH}|to|through|until|till)\s*(?P<last>\d{{1,2}})(?:st|nd|rd|th)?(?![\w/]))?"
    rf"(?![\d:]|\.\d)(?:(?:,\s*|\s+)(?P<year>{_YEAR}))?"
)
_END = re.compile(r"[!?。！？]|(?<![\d.])\.(?=\s|\Z)|(?<=\d\d\d\d)\.(?=\s|\Z)|\n\s*\n|(?<=\d)\.\s*\n")
# Between a word and its date: names of days, articles, "and including", a clock; no other number.
_CLOCK = r"\d{1,2}[:.]\d\d"
_FILL = rf"\s*(?:(?:[^\s\d!?;]{{1,20}}|{_CLOCK}(?:\s?(?:am|pm|uhr|h))?)\s+){{0,8}}[^\s\d!?;]{{0,8}}"
_UNTIL_BEFORE = re.compile(
    rf"(?:(?<![\w'])(?:(?P<english>{ENGLISH_UNTIL})|(?:{UNTIL}))(?=[\s:])|(?:{UNTIL_JOINED})(?:ה|-)*)(?P<between>{_FILL})\Z"
)
_UNTIL_AFTER = re.compile(
    rf"[\s.,)]*(?:\([^()\n]{{1,5}}\))?[\s.]*(?:'?\w{{1,3}}\s+|tarihine\s+|ne\s+)?(?:{UNTIL_AFTER})"
)
_MONTH_FIRST_CUES = ("まで", "까지", "-ig", "vissza", "visszaterek", "ujra", "ismet")
_BACK = re.compile(
    rf"(?<!\w)(?:(?P<english>{ENGLISH_BACK})|(?:{BACK}))(?!\w)|(?P<joined>{BACK_JOINED})",
)
_RANGE_DASH = re.compile(
    rf"(?:\d{{1,2}}(?:st|nd|rd|th|er|\.)?|\d\.?\w{{0,2}}\s+{_WORD}\.?(?:,?\s+{_YEAR})?|{_YEAR}|[日号號일])\s*{_DASH}\s*"
    rf"(?:[^\W\d_]+[.,]?\s*){{0,2}}\Z"
)
_RANGE_WORDS = re.compile(
    rf"(?<!\w)(?:{FROM})[\s(][^!?\n]{{0,40}}?\d[^!?\n]{{0,24}}?[\s,](?:{TO})\s+(?:[^\W\d_]+[.,']?\s*){{0,3}}\Z"
)
_AWAY = re.compile(AWAY)
_NOT_SO = re.compile(
    r"further|weiteres|nouvel|nuevo|nuovo|nader|vidare|videre|odwolan|odvolan|(?<!\w)(?:before|by|within|since|vor|avant|antes|"
    r"prima|voor|depuis|seit|desde|not)(?!\w)"
)
_LATEST, _OLDEST = timedelta(days=366), timedelta(days=1)
_BEHIND = timedelta(days=60)  # a day without a year lies at most so long ago, or else in the year to come


@dataclass(frozen=True, slots=True)
class _Named:
    """A date as it stands in the text; ``other`` where day and month may be the other way round."""

    start: int
    end: int
    day: date
    other: date | None = None
    ranged: bool = False  # the last of two days: "December 1-5"


def find_return(subject: str, text: str, sent: date) -> date | None:
    """The last day away or the first day back, as the notice names it; None when it does not, or not clearly.

    ``sent``: the day the notice was made, which tells the year where none is named. Never raises on any text.
    """
    raw = f"{subject[:300]}\n\n{text[:MOST_TEXT]}"
    folded = fold(raw)[: 2 * MOST_TEXT]
    dates = _find_dates(folded, months_of(raw), sent)
    if not dates:
        return None
    back = {day for day in _find_back(folded, dates, sent) if day is not None}
    until = set(_find_until(folded, dates, sent))
    chosen = back or until
    if len(chosen) != 1:
        return None
    day = chosen.pop()
    if day is None or any(other is not None and other > day for other in until):
        return None
    return day if sent - _OLDEST <= day <= sent + _LATEST else None


# ------------------------------------------------------------------ dates


def _find_dates(text: str, months: dict[str, int], sent: date) -> list[_Named]:
    """All that is a date, by its place; where two readings overlap, the one that begins first, then the longer."""
    readings = [_read_named(found, months, sent) for found in _MONTH_FIRST.finditer(text)]
    readings += [_read_date(found, months, sent) for found in _DAY_FIRST.finditer(text)]
    dates: list[_Named] = []
    for named in sorted((named for named in readings if named), key=lambda named: (named.start, -named.end)):
        if not dates or named.start >= dates[-1].end:
            dates.append(named)
    return dates[:_MOST_DATES]


def _read_named(found: re.Match[str], months: dict[str, int], sent: date) -> _Named | None:
    month = months.get(found["month"], 0)
    said = _make(found["before"] or found["year"], month, int(found["last"] or found["day"]), sent)
    start = found.start("before") if found["before"] else found.start("month")
    return _Named(start, found.end(), said, ranged=found["last"] is not None) if said else None


def _read_date(found: re.Match[str], months: dict[str, int], sent: date) -> _Named | None:
    part = found.groupdict()
    if part["month"]:
        return _named(found, _make(part["year"], months.get(part["month"], 0), int(part["day"]), sent))
    if part["first"] is None:
        month = int(part["imonth"] or part["cmonth"] or part["vmonth"])
        year, day = part["iyear"] or part["cyear"] or part["vyear"], part["iday"] or part["cday"] or part["vday"]
        return _named(found, _make(year, month, int(day), sent))
    if part["mark"] == "-" and not part["nyear"]:
        return None
    first, second = int(part["first"]), int(part["second"])
    straight = _make(part["nyear"], second, first, sent)
    crossed = _make(part["nyear"], first, second, sent) if first != second else None
    if straight is None:
        return _named(found, crossed if part["mark"] == "/" else None)  # 12/24: only one of the two is a month
    return _Named(found.start(), found.end(), straight, crossed)


def _named(found: re.Match[str], day: date | None) -> _Named | None:
    return _Named(found.start(), found.end(), day) if day else None


def _make(year: str | None, month: int, day: int, sent: date) -> date | None:
    """The day; without a year the one that lies ahead, or at most two months behind. None when there is no such day."""
    try:
        if year:
            number = int(year)
            return date(number + 2000 if number < 100 else number - 543 if number >= 2500 else number, month, day)
        for number in (sent.year - 1, sent.year, sent.year + 1):
            said = date(number, month, day)
            if said >= sent - _BEHIND:
                return said
    except ValueError:
        return None
    return None


def _settle(named: _Named, text: str, english: bool, month_first: bool, sent: date) -> date | None:
    """Which of two readings of 7/12 is meant; None when nobody can tell."""
    if named.other is None:
        return named.day
    dotted = "." in text[named.start : named.end].rstrip(".")
    if month_first:
        return named.other
    if dotted or not english:
        return named.day
    possible = [day for day in (named.day, named.other) if sent - _OLDEST <= day <= sent + _LATEST]
    return possible[0] if len(possible) == 1 else None


# ------------------------------------------------------------------ what is said of them


def _find_back(text: str, dates: Sequence[_Named], sent: date) -> Iterator[date | None]:
    """Of each word of coming back the date behind it, or else the one before it, in the same sentence."""
    at = 0
    for cue in _BACK.finditer(text):
        while at < len(dates) and dates[at].start < cue.end():
            at += 1
        behind = dates[at] if at < len(dates) else None
        before = dates[at - 1] if at else None
        english = cue["english"] is not None
        month_first = cue["joined"] is not None or cue[0].endswith(_MONTH_FIRST_CUES)
        for named, between in (
            (behind, text[cue.end() : behind.start] if behind else ""),
            (before, text[before.end : cue.start()] if before else ""),
        ):
            if named is None or len(between) > 60 or not _is_near(between):
                continue
            if named is before and (
                _is_range_start(text, named) or re.match(r"\s*(?:-|–|—)\s*\d", text[named.end :][:8])
            ):
                continue
            yield _settle(named, text, english, month_first, sent)
            break


def _is_near(between: str) -> bool:
    return not _END.search(between) and not _NOT_SO.search(between) and not _has_number(between)


def _has_number(between: str) -> bool:
    """A number that is no time of day: what stands behind it is about something else."""
    return any(c.isdigit() for c in re.sub(_CLOCK, "", between))


def _is_range_start(text: str, named: _Named) -> bool:
    """ "from 1 December, back …": the day the absence begins."""
    return bool(
        re.search(
            r"(?<!\w)(?:from|vom|du|dal|van|fran|fra)\s+(?:[^\W\d_]+[.,']?\s*){0,2}\Z",
            text[max(0, named.start - 30) : named.start],
        )
    )


def _find_until(text: str, dates: Sequence[_Named], sent: date) -> Iterator[date | None]:
    for named in dates:
        before = text[max(0, named.start - 90) : named.start]
        ends = [found.end() for found in _END.finditer(before)]
        clause = before[ends[-1] :] if ends else before
        after = text[named.end : named.end + 30]
        cue = _UNTIL_BEFORE.search(clause[-60:])
        english, month_first = bool(cue and cue["english"]), False
        if cue is not None and (_NOT_SO.search(cue["between"]) or _has_number(cue["between"])):
            cue = None
        found, near = cue is not None or _RANGE_WORDS.search(clause) is not None, 240
        if not found and (named.ranged or _RANGE_DASH.search(clause)):
            found, near = True, len(clause)  # "3-7 August" alone is anything
        if not found and (behind := _UNTIL_AFTER.match(after)):
            found, month_first = True, behind[0].endswith(_MONTH_FIRST_CUES)
        if found and _AWAY.search(text, max(0, named.start - near), named.end + 60):
            yield _settle(named, text, english or cue is None, month_first, sent)
