"""The language of searches, by mail and at the terminal (mail.md 17).

Words, ``"exact words"``, ``-not``, ``from:`` ``to:`` ``subject:`` ``tag:`` ``owner:me`` ``is:open`` ``is:closed``
``has:attachment`` ``after:2026-10-01`` ``before:2w``. A word finds words that begin with it. What looks like a field
and is none ("re:invoice") is words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from gateway.desk.moments import find_zone
from gateway.model import State
from gateway.questions import Term

MOST_TERMS = 20
_TERM = re.compile(
    r"""(?P<minus>-)?(?:(?P<field>from|to|subject|tag|owner|is|has|after|before):\s?)?"""
    r"""(?:"(?P<exact>[^"]*)"?|(?P<word>[^\s"]+))""",
    re.IGNORECASE,
)
_AGO = re.compile(r"([0-9]{1,4})\s*(h|d|w|m|y)[a-z]*", re.IGNORECASE)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_FILES = ("attachment", "attachments", "file", "files")


class SearchError(ValueError):
    """A query that cannot be read; the message is a part of a sentence for its author."""


def read_search(query: str, agents: Mapping[str, int], me: str, now: datetime, zone: str) -> tuple[Term, ...]:
    """The terms of a query. ``agents``: handle -> party, for ``owner:``; ``me``: handle of who asks, "" nobody's.

    Raises SearchError. ``now`` is aware; dates are days of the IANA ``zone``.
    """
    plain = query.translate(_TYPOGRAPHY)
    terms = []
    for found in _TERM.finditer(plain):
        exact = found["exact"] is not None
        value = (found["exact"] if exact else found["word"]).strip()
        if not value:
            continue
        field = (found["field"] or "").lower()
        value = _read_value(field, value, agents, me, now, zone)
        terms.append(Term(field, value, exact, bool(found["minus"])))
    if not terms:
        raise SearchError("nothing to search for")
    if len(terms) > MOST_TERMS:
        raise SearchError(f"more than {MOST_TERMS} words")
    return tuple(terms)


_TYPOGRAPHY = {
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02"), '"'),
    **dict.fromkeys(map(ord, "\u2013\u2014\u2212"), "-"),
    0xFF1A: ":",
}
"""What phones make of quotation marks, hyphens and colons."""


def _read_value(field: str, value: str, agents: Mapping[str, int], me: str, now: datetime, zone: str) -> str:
    word = value.lower()
    match field:
        case "owner":
            return str(_read_owner(word, agents, me))
        case "is":
            if word not in {state.value for state in State}:
                raise SearchError(f"is:{value}; there is is:open, is:closed, is:new, is:waiting, is:snoozed, is:spam")
            return word
        case "has":
            if word not in _FILES:
                raise SearchError(f"has:{value}; there is has:attachment")
            return "attachment"
        case "after" | "before":
            return _read_time(word, now, zone).isoformat()
        case _:
            return value


def _read_owner(word: str, agents: Mapping[str, int], me: str) -> int:
    if word in ("none", "nobody", "free"):
        return 0
    handle = me if word == "me" else word
    found = [party for name, party in agents.items() if name.lower() == handle.lower()]
    found = found or [party for name, party in agents.items() if handle and name.lower().startswith(handle)]
    if len(found) != 1:
        raise SearchError(f"owner:{word}; there are me, none, {', '.join(sorted(agents))}")
    return found[0]


def _read_time(word: str, now: datetime, zone: str) -> datetime:
    """``2026-10-01``, ``2026-10``, ``today``, ``yesterday``, or how long ago: ``2w``, ``3d``, ``6m``, ``1y``."""
    here: tzinfo = find_zone(zone) or UTC
    today = now.astimezone(here).date()
    ago = _AGO.fullmatch(word)
    try:
        if ago and ago[2] in _UNITS:
            return now - int(ago[1]) * _UNITS[ago[2]]
        if ago:
            return now - int(ago[1]) * timedelta(days=365 if ago[2] == "y" else 30)
        if word in ("today", "yesterday"):
            day = today - timedelta(days=word == "yesterday")
        else:
            day = date.fromisoformat(f"{word}-01" if len(word) == 7 else word)
    except (ValueError, OverflowError) as error:
        raise SearchError(f"{word} is no date; write 2026-10-01 or 2w") from error
    return datetime.combine(day, time(), here).astimezone(UTC)
