"""The words of our mails: templates an operator may replace, and how times and spans are said [jinja2].

A text is looked for in the operator's ``templates/`` beside the TOML file, then among the defaults that came with the
program; in the language set, then in English. Templates see values only and run in a sandbox: an operator's mistake can
spoil a text, it cannot run anything.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import BaseLoader, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.errors import TemporaryError
from gateway.outbound.onetap import Link

WIDTH = 78
"""Columns of our own text lines."""
WORDS_FILE = "words.toml"
TEMPLATE_FAILURES = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What rendering a template may raise: the mistakes of whoever wrote it."""

_watched: ContextVar[list[tuple[str, Mapping[str, object]]] | None] = ContextVar("watched", default=None)


class TemplateTrouble(TemporaryError):
    """A template is missing or cannot be rendered: an operator has to look."""


@cache  # asked for each mail of ours
def default_folder() -> Path:
    """Where the templates that came with the program are: the checkout's, else the installed data folder."""
    checkout = Path(__file__).resolve().parents[2] / "config" / "templates"
    if checkout.is_dir():
        return checkout
    # Debian's interpreter names /usr/local as its data path although packages live in /usr.
    places = [
        Path(prefix) / "share" / "ticketgate" / "templates" for prefix in (sysconfig.get_path("data"), sys.prefix)
    ]
    return next((place for place in places if place.is_dir()), places[0])


def quote_lines(text: str) -> str:
    """Text as a quotation: "> " before each line."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip("\n").split("\n"))


def wrap_lines(text: str, width: int = WIDTH, indent: str = "") -> str:
    """One paragraph broken at ``width`` columns, later lines indented; long words are never cut."""
    return textwrap.fill(
        " ".join(text.split()), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def link_lines(links: tuple[Link, ...]) -> str:
    """One line a link, labels in a column."""
    width = max([10, *(len(link.label) + 1 for link in links)])
    return "\n".join(f"  {link.label:<{width}} {link.href}" for link in links)


@contextmanager
def watch_values() -> Iterator[list[tuple[str, Mapping[str, object]]]]:
    """Collect which template is given which values, for checking an operator's own."""
    seen: list[tuple[str, Mapping[str, object]]] = []
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


@lru_cache(maxsize=8)
def environment_for(folders: tuple[Path, ...]) -> ImmutableSandboxedEnvironment:
    loader: BaseLoader = FileSystemLoader(folders)
    # Plain text: nothing is escaped here. The HTML part is built from the finished text, where everything is escaped.
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(quote=quote_lines, wrap=wrap_lines, links=link_lines)
    return environment


@lru_cache(maxsize=8)
def _vocabulary(folders: tuple[Path, ...]) -> Mapping[str, Any]:
    merged: dict[str, Any] = {}
    for folder in reversed(folders):
        path = folder / WORDS_FILE
        if path.is_file():
            merged.update(tomllib.loads(path.read_text("utf-8")))
    if not merged:
        raise TemplateTrouble(f"no words.toml in {', '.join(map(str, folders))}")
    return merged


@lru_cache(maxsize=64)
def find_zone(name: str) -> ZoneInfo:
    """A time zone by name, UTC when it is not known here."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


class Words:
    """The texts and manners of one language as one installation has set them. Cheap to make; files are read once."""

    def __init__(self, folder: Path, language: str, zone: str) -> None:
        default = default_folder()
        own = folder / "templates"
        wanted = (own / language, own, default / language, own / "en", default / "en")
        self.folders = tuple(dict.fromkeys(wanted))
        self._defaults = tuple(dict.fromkeys((default / language, default / "en")))
        self.language = language
        self.zone = find_zone(zone)
        self._words = _vocabulary(self.folders)

    def say(self, key: str, **values: object) -> str:
        """A short phrase of words.toml with values filled in."""
        phrase = self._words.get(key)
        if not isinstance(phrase, str):
            raise TemplateTrouble(f"words.toml lacks {key!r}")
        return phrase.format(**values)

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """A template's text without blank lines at its ends. Raises TemplateTrouble when the default fails too."""
        text = None
        watched = _watched.get()
        if watched is not None:
            watched.append((template, values))
        # An operator's own template that cannot be rendered must not stop the desk's mail: the default's words go out.
        for folders in (self.folders, self._defaults):
            try:
                text = environment_for(folders).get_template(template).render({"w": self, **values})
                break
            except TemplateNotFound as missing:
                trouble = f"template {missing.name} not found"
            except TEMPLATE_FAILURES as error:
                trouble = f"template {template}: {error}"
        if text is None:
            raise TemplateTrouble(trouble)
        lines = (line if line == "-- " else line.rstrip() for line in text.split("\n"))
        # What was left out by a condition leaves no gap; a sender's own double gaps go with it, in agents' mail only.
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"

    def has(self, template: str) -> bool:
        """Whether there is such a template."""
        return any((folder / template).is_file() for folder in self.folders)

    def knows(self, key: str) -> bool:
        """Whether words.toml has this phrase."""
        return isinstance(self._words.get(key), str)

    def knows_list(self, key: str) -> bool:
        """Whether words.toml has this list of words."""
        return isinstance(self._words.get(key), list)

    def several(self, key: str) -> list[str]:
        """A list of words of words.toml, such as the heads of a table."""
        return self._list(key)

    def _list(self, key: str) -> list[str]:
        return [str(word) for word in self._words[key]]

    # -------------------------------------------------------------- times

    def local(self, at: datetime) -> datetime:
        return at.astimezone(self.zone)

    def clock(self, at: datetime) -> str:
        """``11:20``."""
        return f"{self.local(at):%H:%M}"

    def moment(self, at: datetime, now: datetime) -> str:
        """``11:20`` today, ``Fri 20 Nov, 11:20`` on another day."""
        there, here = self.local(at), self.local(now)
        if there.date() == here.date():
            return self.clock(at)
        day = self.day_of(there.date(), year=there.year != here.year)
        return self.say("day_clock", weekday=self.weekday(at), day=day, clock=self.clock(at))

    def when(self, at: datetime, now: datetime, how: str = "when") -> str:
        """``at 11:20`` today, ``on Fri 20 Nov, 11:20`` on another day; ``how`` "of": ``of 11:20``."""
        if self.local(at).date() == self.local(now).date():
            return self.say(f"{how}_clock", clock=self.clock(at))
        return self.say(f"{how}_day", day=self.moment(at, now))

    def full(self, at: datetime) -> str:
        """``Mon, 23 Nov 2026, 09:58``."""
        return f"{self.weekday(at)}, {self.day_of(self.local(at).date())}, {self.clock(at)}"

    def weekday(self, at: datetime) -> str:
        return self._list("weekdays")[self.local(at).weekday()]

    def month(self, at: datetime) -> str:
        return self._list("months")[self.local(at).month - 1]

    def named_day(self, day: date, *, year: bool = True) -> str:
        """``Mon 23 Nov``."""
        return self.say("day_named", weekday=self._list("weekdays")[day.weekday()], day=self.day_of(day, year=year))

    def day_of(self, day: date, *, year: bool = True) -> str:
        """``23 Nov 2026``, without the year ``23 Nov``."""
        said = self.say("day_month", day=day.day, month=self._list("months")[day.month - 1])
        return f"{said} {day.year}" if year else said

    def dates(self, first: date, last: date) -> str:
        """``16-22 Nov 2026``, ``28 Sep-4 Oct 2026``."""
        if first.month == last.month:
            return f"{self.say('day_alone', day=first.day)}-{self.day_of(last)}"
        return f"{self.day_of(first, year=False)}-{self.day_of(last)}"

    # -------------------------------------------------------------- spans

    def age(self, delta: timedelta) -> str:
        """``40 min``, ``19 h``, ``3 d``: one unit, rounded down."""
        minutes = max(0, int(delta.total_seconds() // 60))
        if minutes < 60:
            number, unit = minutes, "minute"
        else:
            number, unit = (minutes // 60, "hour") if minutes < 48 * 60 else (minutes // 1440, "day")
        return self._counted(number, unit)

    def _counted(self, number: int, unit: str, *, long: bool = False) -> str:
        """``3 d``, long or where a language has no short word: ``3 days``."""
        one, many, short = self._list(unit)
        return f"{number} {short if short and not long else one if number == 1 else many}"

    def exact(self, delta: timedelta, *, business: bool = False) -> str:
        """``48 min``, ``1 h 10``, ``1 d 2 h``. Business time stays in hours: a business day has no 24."""
        minutes = max(0, round(delta.total_seconds() / 60))
        days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
        if days and not business:
            return " ".join([self._counted(days, "day"), *([self._counted(hours, "hour")] if hours else [])])
        hours += days * 24
        if not hours:
            return self._counted(rest, "minute")
        return self._counted(hours, "hour") + (f" {rest:02}" if rest else "")

    def span(self, delta: timedelta, *, long: bool = False) -> str:
        """``4 min``, ``2 h``, ``3 d``; long: ``4 minutes``, ``2 hours``, ``3 days``. Rounded to the unit that fits."""
        minutes = max(0, round(delta.total_seconds() / 60))
        if minutes < 90 and minutes != 60:
            number, unit = minutes, "minute"
        elif minutes < 36 * 60:
            number, unit = round(minutes / 60), "hour"
        else:
            number, unit = round(minutes / 1440), "day"
        return self._counted(number, unit, long=long)

    def weekdays_in(self, hours: str) -> str:
        """``mon-fri 09:00-17:30`` as ``Monday to Friday, 9:00 to 17:30``; "" when it is not that simple."""
        days, _, times = hours.strip().partition(" ")
        short = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        first, _, last = days.lower().partition("-")
        start, dash, end = times.partition("-")
        if first not in short or (last and last not in short) or not dash or "," in hours:
            return ""
        names = self._list("weekdays_long")
        a, b = names[short.index(first)], names[short.index(last or first)]
        day = self.say("from_to", start=a, end=b) if last else a
        return f"{day}, {self.say('from_to', start=start.lstrip('0').strip(), end=end.lstrip('0').strip())}"
