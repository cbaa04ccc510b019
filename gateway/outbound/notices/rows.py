"""Lines of lists, digests and reports in the reader's language: whose a ticket is, what it waits for, since when.

The desk tells values (desk/lines.py); here they become words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from html import escape
from typing import Any

from gateway.address import clean_text
from gateway.outbound import markup
from gateway.outbound.notices.scene import Scene, readable
from gateway.outbound.onetap import Link, make_link
from gateway.outbound.words import Words

_NUMBER = "display:inline-block;padding:12px 12px 12px 0;line-height:20px;white-space:nowrap"  # 44 px: hit with a thumb


def cell(value: object, limit: int = 60) -> str:
    """Somebody's text in a line of ours."""
    return readable(clean_text(str(value), limit))


def subject_of(row: Mapping[str, Any], words: Words) -> str:
    """The subject, or the words for none."""
    return cell(row.get("subject", "")) or words.say("no_subject")


def row_lines(label: str, subject: str, details: Sequence[str], below: str = "") -> str:
    """A ticket in two lines: a phone breaks one with five columns in four places, and few clients align columns."""
    lines = [f"  {label:<6} {subject}", f"         {', '.join(filter(None, details))}"]
    return "\n".join(line.rstrip() for line in [*lines, f"         {below}"] if line.strip())


def row_table(scene: Scene, rows: Sequence[tuple[int, str, Sequence[str]]], *, closes: bool = False) -> str:
    """The same in HTML. The number shows the ticket; with ``closes`` a second link closes it."""
    made = []
    for number, subject, details in rows:
        link = make_link(
            scene.settings.keys, scene.inbox, scene.recipient, "show", number, 0, scene.words.say("press_send")
        )
        # A number stays with its unit, so that a phone breaks the line elsewhere.
        said = re.sub(r"(?<=[0-9]) (?=\w)", "\u00a0", " \u00b7 ".join(filter(None, details)))
        cells = (
            f'<th scope="row" align="left" valign="top">'
            f'<a href="{escape(link.href)}" style="{_NUMBER}">#{number}</a></th>'
            f'<td valign="top" style="padding:12px 0 10px;line-height:20px"><div><bdi>{escape(subject)}</bdi></div>\n'
            f'<div style="font-size:13px;opacity:.8">{escape(said)}</div></td>'
        )
        if closes:
            button = markup.tap(scene.words.say("tap_close"), close_link(scene, number).href)
            cells += f'<td valign="top" style="padding-left:12px">{button}</td>'
        made.append(f"<tr>{cells}</tr>")
    body = "\n".join(made)
    return f'<table style="border-collapse:collapse;margin:0 0 12px"><tbody>\n{body}\n</tbody></table>'


def close_link(scene: Scene, number: int) -> Link:
    """Closes what is open again only because somebody said thanks; the next mail opens it as before."""
    words = scene.words
    link = make_link(scene.settings.keys, scene.inbox, scene.recipient, "close", number, 0, words.say("press_send"))
    return Link(f"{words.say('tap_close')} {number}", link.href)


def say_state(row: Mapping[str, Any], words: Words) -> str:
    """``yours``, ``free``, a colleague's handle, or the ticket's own state."""
    state = str(row.get("state", ""))
    if state == "taken" and row.get("owner"):
        return cell(row["owner"])
    key = f"state_{state}"
    return words.say(key) if words.knows(key) else cell(state)


def say_wait(row: Mapping[str, Any], words: Words, now: datetime) -> str:
    """``waits 19 h``, ``new, 2 h``, ``snoozed to today 09:00``."""
    kind, until = str(row.get("wait", "")), str(row.get("until") or "")
    if until:
        return words.say("wait_snoozed", until=say_day(datetime.fromisoformat(until), words, now, clock=True))
    if row.get("span"):
        return words.say(f"wait_{kind}", span=words.age(timedelta(seconds=float(row["span"]))))
    key = "wait_customer" if kind == "waiting" else f"state_{kind}"
    return words.say(key) if words.knows(key) else cell(kind)


def say_age(row: Mapping[str, Any], words: Words, now: datetime) -> str:
    """The last column of a list: the day it last changed where that is told, else what it waits for."""
    if row.get("changed"):
        return say_day(datetime.fromisoformat(str(row["changed"])), words, now)
    late = words.say("wait_late") + ", " if row.get("late") else ""
    return late + say_wait(row, words, now)


def say_day(at: datetime, words: Words, now: datetime, *, clock: bool = False) -> str:
    """``today``, ``Thu`` within a week ahead, ``2 Apr``, ``11 Jan 2025``; with ``clock`` also ``today 09:00``."""
    there, today = words.local(at), words.local(now)
    if there.date() == today.date():
        day = words.say("today")
    elif 0 < (there.date() - today.date()).days < 7:
        day = words.weekday(at)
    else:
        day = words.day_of(there.date(), year=there.year != today.year)
    return f"{day} {there:%H:%M}" if clock else day


def say_absences(scene: Scene, told: list[list[str]]) -> str:
    """``Bob is away until Thu. Carol is away.``"""
    said = []
    for name, until in told:
        day = say_day(datetime.fromisoformat(until), scene.words, scene.now) if until else ""
        said.append(scene.words.say("away_until" if day else "away", name=cell(name), day=day))
    return " ".join(f"{line.rstrip('.')}." for line in said)


def say_period(name: str, first: str, words: Words, *, short: bool = False) -> str:
    """``Week 47 (16-22 Nov 2026)``, short ``week 47``; ``October 2026``, ``Mon 23 Nov 2026``, ``2026``."""
    year, _, rest = name.partition("-")
    if not rest:
        return year
    day = date.fromisoformat(first)
    if rest.startswith("w"):
        if short:
            return words.say("period_week_short", number=int(rest[1:]))
        return words.say("period_week", number=int(rest[1:]), days=words.dates(day, day + timedelta(days=6)))
    if len(rest) == 2:
        return f"{words.several('months_long')[day.month - 1]} {day.year}"
    return words.named_day(day)


def say_slot(day: str, step: str, words: Words) -> str:
    """The label of one line of a report's table: a weekday, a day or a month; what is no date is shown as it is."""
    try:
        at = date.fromisoformat(day)
    except ValueError:
        return cell(day)
    if step == "weekday":
        return words.several("weekdays")[at.weekday()]
    if step == "month":
        return f"{words.several('months')[at.month - 1]} {at.year}"
    return words.day_of(at, year=False)
