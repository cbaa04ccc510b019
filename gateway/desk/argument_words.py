"""What follows a verb, said in another language than English: ``#followup mo 9 uhr`` is ``#followup mon 9:00``.

Verbs have aliases of the site's own (``[commands].aliases``); days, units and values are the same words for everybody
of a language, so they stand here. Only what does not fit as it is written is looked up, and only the whole counts: what
is still not understood is asked about with the author's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_WEEKDAYS = {
    **dict.fromkeys(("mo", "montag", "montags"), "mon"),
    **dict.fromkeys(("di", "dienstag"), "tue"),
    **dict.fromkeys(("mi", "mittwoch"), "wed"),
    **dict.fromkeys(("do", "donnerstag"), "thu"),
    **dict.fromkeys(("fr", "freitag"), "fri"),
    **dict.fromkeys(("sa", "samstag", "sonnabend"), "sat"),
    **dict.fromkeys(("so", "sonntag"), "sun"),
}
_MONTHS = {
    **dict.fromkeys(("januar", "jänner"), "jan"),
    "februar": "feb",
    **dict.fromkeys(("mär", "märz", "maerz", "mrz"), "mar"),
    **dict.fromkeys(("apr", "april"), "apr"),
    "mai": "may",
    **dict.fromkeys(("juni", "jun"), "jun"),
    **dict.fromkeys(("juli", "jul"), "jul"),
    **dict.fromkeys(("aug", "august"), "aug"),
    **dict.fromkeys(("sept", "september"), "sep"),
    **dict.fromkeys(("okt", "oktober"), "oct"),
    **dict.fromkeys(("nov", "november"), "nov"),
    **dict.fromkeys(("dez", "dezember"), "dec"),
}
_TIMES = {
    **_WEEKDAYS,
    **_MONTHS,
    "heute": "today",
    "morgen": "tomorrow",
    "übermorgen": "2 days",
    **dict.fromkeys(("minute", "minuten"), "minutes"),
    **dict.fromkeys(("std", "stunde", "stunden"), "hours"),
    **dict.fromkeys(("tag", "tage", "tagen"), "days"),
    **dict.fromkeys(("woche", "wochen"), "weeks"),
    **dict.fromkeys(("monat", "monate", "monaten"), "months"),
    **dict.fromkeys(("bis", "am", "ab"), ""),
    **dict.fromkeys(("einem", "einer", "eine", "einen"), "1"),
    "um": "at",
}
_NEXT = re.compile(r"\b(?:nächste|nächsten|naechste|naechsten|nächster)\s+(\w+)")
_SPANS = {"weeks": "week", "months": "month"}
_CLOCK = re.compile(r"\b(\d{1,2})(?:[.:](\d\d))?\s?uhr\b")
_AT = re.compile(r"\bum\s+(\d{1,2})(?=$|\s)")
_DATE = re.compile(r"\b(\d{1,2})\.\s?(\d{1,2})(?![\d:])\.?(?:\s?(\d{4}))?")
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WORD = re.compile(r"[^\W\d_]+")
_TO = re.compile(r"(?:to|an)\s+", re.IGNORECASE)
_STAND_IN = re.compile(r"(.*?)(?:(?:^|\s)(?:an|to)\s+([\w.@+-]+))?", re.DOTALL)

_OFF = {"aus": "off"}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "prio": {"niedrig": "low", "hoch": "high", "dringend": "urgent"},
    "state": {
        **dict.fromkeys(("erledigt", "gelöst", "geschlossen", "zu", "fertig"), "closed"),
        **dict.fromkeys(("wartet", "wartend"), "waiting"),
        **dict.fromkeys(("offen", "neu"), "open"),
    },
    "list": {
        **dict.fromkeys(("meine", "mein"), "mine"),
        **dict.fromkeys(("frei", "freie"), "free"),
        **dict.fromkeys(("spät", "überfällig"), "late"),
        **dict.fromkeys(("alle", "alles"), "all"),
        "quarantäne": "quarantine",
    },
    "digest": {**_OFF, "täglich": "daily", "stündlich": "hourly", "jetzt": "now"},
    "quiet": _OFF,
    "report": _OFF,
}
"""Kind of argument -> its words; times and people are read below."""


def in_english(kind: str, argument: str) -> str:
    """The argument of this kind in the words of the grammar; unchanged where nothing in it is known. Pure, linear."""
    said = " ".join(argument.split())
    if kind == "when":
        return _time(said)
    if kind == "away":
        found = _STAND_IN.fullmatch(said)
        when, who = (found[1], found[2]) if found else (said, None)
        return f"{_time(when)} to {who}".strip() if who else _time(when)
    if kind == "who":
        return _TO.sub("", said, count=1) if _TO.match(said) else said
    return _VALUES.get(kind, {}).get(said.lower(), said)


def _time(said: str) -> str:
    lowered = said.lower()
    lowered = _CLOCK.sub(lambda found: f"{found[1]}:{found[2] or '00'}", lowered)
    lowered = _AT.sub(lambda found: f"{found[1]}:00", lowered)
    lowered = _DATE.sub(_name_month, lowered)
    lowered = _NEXT.sub(_name_next, lowered)
    return " ".join(_WORD.sub(lambda found: _TIMES.get(found[0], found[0]), lowered).split())


def _name_month(found: re.Match[str]) -> str:
    month = int(found[2])
    return f"{found[1]} {_NAMES[month - 1]} {found[3] or ''}" if 1 <= month <= len(_NAMES) else found[0]


def _name_next(found: re.Match[str]) -> str:
    word = _TIMES.get(found[1], found[1])
    return f"next {_SPANS.get(word, word)}"
