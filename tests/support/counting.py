"""The figures of a report counted once more from the event log, by other code written from the definitions.

Nothing of gateway.desk is used: rows of the tables in, plain numbers out. States are followed by the kinds of the
lines, where the desk reads what each line says the state became.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

SHUTS = ("close", "spam")
WAKES = ("open", "notspam", "wait", "snooze", "followup", "answer", "mail")


@dataclass(frozen=True)
class OfficeHours:
    """One range a day, Monday to Friday, but for holidays."""

    opens: time
    shuts: time
    zone: str
    holidays: tuple[date, ...] = ()

    def between(self, start: datetime, end: datetime) -> float:
        """Open seconds between two moments."""
        here, total = ZoneInfo(self.zone), 0.0
        day = start.astimezone(here).date()
        while day <= end.astimezone(here).date():
            if day.weekday() < 5 and day not in self.holidays:
                first = max(start, datetime.combine(day, self.opens, here).astimezone(UTC))
                last = min(end, datetime.combine(day, self.shuts, here).astimezone(UTC))
                total += max(0.0, (last - first).total_seconds())
            day += timedelta(days=1)
        return total


@dataclass
class Count:
    """What a report says, in plain numbers; spans in seconds."""

    new: int = 0
    closed: int = 0
    reopened: int = 0
    first_answer: float | None = None
    unsolved: int = 0
    waiting: int = 0
    oldest: int = 0
    days: dict[date, tuple[int, int]] = field(default_factory=dict)
    answered: Counter[int] = field(default_factory=Counter)
    closed_by: Counter[int] = field(default_factory=Counter)
    owned: Counter[int] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)
    passed: Counter[int] = field(default_factory=Counter)
    tags: dict[str, tuple[int, int, int]] = field(default_factory=dict)


@dataclass
class Story:
    """One ticket as its lines tell it."""

    shut_at: list[Any] = field(default_factory=list)  # closings that were not taken back
    shut: bool = False
    shut_as: str = ""
    was_open_again: bool = False
    answers: list[Any] = field(default_factory=list)
    waits: bool = False


def count(connection: sa.Connection, inbox: str, since: datetime, until: datetime, hours: OfficeHours) -> Count:
    """Count a period; what is open now is as of now."""
    from gateway.store.schema import events, tickets  # the tables, not the rules

    rows: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(sa.select(events).order_by(events.c.ticket, events.c.number)):
        rows[row.ticket].append(row)
    counted, spans = Count(), []
    new_by_tag, closed_by_tag, open_by_tag = Counter[str](), Counter[str](), Counter[str]()
    new_days, closed_days = Counter[date](), Counter[date]()
    oldest: tuple[datetime, int] | None = None
    zone = ZoneInfo(hours.zone)
    for ticket in connection.execute(sa.select(tickets).where(tickets.c.inbox == inbox)).all():
        if ticket.merged_into:
            continue
        lines = [line for line in without_what_left(rows[ticket.number]) if line.at < until]
        story = follow(lines)
        if since <= ticket.created_at < until:
            counted.new += 1
            new_days[ticket.created_at.astimezone(zone).date()] += 1
            new_by_tag.update(ticket.tags)
            later = [line.at for line in story.answers if line.at >= ticket.created_at]
            if later:
                spans.append(hours.between(ticket.created_at, min(later)))
        if story.shut_at and story.shut_at[-1].at >= since:
            last = story.shut_at[-1]
            counted.closed += 1
            counted.reopened += story.was_open_again
            closed_days[last.at.astimezone(zone).date()] += 1
            closed_by_tag.update(ticket.tags)
            first = [line for line in story.answers if line.at >= ticket.created_at]
            counted.closed_by[last.party if first else 0] += 1
        counted.answered.update(line.party for line in story.answers if line.at >= since)
        for source in {"", *map(origin, lines)}:  # here, and in each ticket that was merged into this one
            for party, at in takings(line for line in lines if origin(line) == source):
                counted.taken[party] += at >= since
        counted.passed.update(line.party for line in lines if line.kind == "passed" and line.at >= since)
        if ticket.state not in ("closed", "spam"):
            counted.unsolved += 1
            counted.owned[ticket.owner or 0] += 1
            open_by_tag.update(ticket.tags)
            counted.waiting += ticket.state in ("new", "open") and follow(rows[ticket.number]).waits
            oldest = min(oldest or (ticket.created_at, ticket.number), (ticket.created_at, ticket.number))
    counted.first_answer = median(spans) if spans else None
    counted.oldest = oldest[1] if oldest else 0
    counted.days = {day: (new_days[day], closed_days[day]) for day in {*new_days, *closed_days}}
    tags = {*new_by_tag, *closed_by_tag, *open_by_tag}
    counted.tags = {tag: (new_by_tag[tag], closed_by_tag[tag], open_by_tag[tag]) for tag in tags}
    return counted


def without_what_left(lines: Iterable[Any]) -> list[Any]:
    """The lines less what a merge brought and its undoing took away again."""
    lines = list(lines)
    gone: set[int] = set()
    for line in lines:
        if line.kind == "unmerge":
            number = line.data["from"]
            gone |= {e.number for e in lines if e.number < line.number and is_copy(e, number)}
    return [line for line in lines if line.number not in gone]


def is_copy(line: Any, of: str = "") -> bool:
    source = str(line.data.get("from", "")).partition(".")[0]
    return line.kind not in ("merge", "unmerge") and bool(source) and of in ("", source)


def follow(lines: Iterable[Any]) -> Story:
    """Read one history from its beginning."""
    story, lines = Story(), list(lines)
    withdrawn = {line.answers for line in lines if line.kind == "withdraw"}
    for line in lines:
        if line.kind == "answer" and line.public and line.number not in withdrawn:
            story.answers.append(line)
        if line.kind in ("mail", "answer") and line.public:
            story.waits = line.kind == "mail"
        if is_copy(line):
            continue
        undone = _undone(line, lines)
        if line.kind in SHUTS:
            if not story.shut:
                story.shut_at.append(line)
            story.shut, story.shut_as = True, line.kind
        elif undone in ("closed", "spam"):
            story.shut, story.shut_as = True, {"closed": "close"}.get(undone, undone)
        elif undone:
            if story.shut:
                story.shut_at.pop()
            story.shut = False
        elif story.shut and _brings_who_waits(line):
            story.shut, story.was_open_again = False, True
        elif story.shut and line.kind == "mail" and story.shut_as == "spam":
            continue  # a customer's mail opens what was closed, not what was called spam
        elif story.shut and line.kind in WAKES and (line.public or line.kind not in ("answer", "mail")):
            again_at_once = any(e.kind in SHUTS and e.at == line.at and e.number > line.number for e in lines)
            if not again_at_once:
                story.shut, story.was_open_again = False, True
    return story


def _brings_who_waits(line: Any) -> bool:
    """Whether it is a merge of a ticket in which somebody waited for an answer: that opens a closed one."""
    merged = json.loads(line.data["undo"]).get("merge", []) if line.kind == "merge" and "undo" in line.data else []
    return any(one["state"] in ("new", "open") for one in merged)


def _undone(line: Any, lines: list[Any]) -> str:
    """The state an undo went back to, "" when it concerned none."""
    if line.kind not in ("undo", "withdraw"):
        return ""
    was = json.loads(next(e for e in lines if e.number == line.answers).data["undo"])
    before, after = was.get("state", ("", ""))
    # Put back only if nobody changed it since: then the desk left it, and so do we.
    return before if after and _state_before(line, lines) == after else ""


def _state_before(line: Any, lines: list[Any]) -> str:
    said = [e.data["state"] for e in lines if e.number < line.number and "state" in e.data and not is_copy(e)]
    return str(said[-1]) if said else "new"


def origin(line: Any) -> str:
    """The ticket a line was copied from; "" for one of its own."""
    return str(line.data.get("from", "")).partition(".")[0] if is_copy(line) else ""


def takings(lines: Iterable[Any]) -> list[tuple[int, datetime]]:
    """Who took the ticket when it was on offer, and when."""
    on_offer, taken = False, []
    for line in lines:
        if line.kind in ("offer", "offered"):
            on_offer = True
        elif on_offer and line.kind in ("claim", "answer", "close", "assign"):
            on_offer = False
            if line.kind != "assign":
                taken.append((line.party, line.at))
    return taken


# ------------------------------------------------------------------ what a report says


def read_report(text: str) -> dict[str, Any]:
    """The numbers of a report as a person reads them off the mail (English)."""
    tables = text.split("\n\n")
    found: dict[str, Any] = {}
    found["days"] = {w[0]: (int(w[1]), int(w[2])) for w in (line.split() for line in tables[1].split("\n")[1:])}
    times = {line[2:16].strip(): line[17:].strip() for line in tables[2].strip("\n").split("\n")}
    found["first answer"] = _minutes(times["First answer"])
    found["reopened"], found["closed"] = (int(n) for n in times["Reopened"].split(" of "))
    found["unsolved"] = int(times["Still open"].partition(",")[0])
    oldest = re.search(r"oldest #([0-9]+)", times["Still open"])
    found["oldest"] = int(oldest[1]) if oldest else 0
    found["waiting"] = int(times["Waiting"].split()[0])
    rows = [line.split() for line in tables[3].strip("\n").split("\n")[1:] if not line.startswith("  nobody:")]
    found["agents"] = {row[0]: tuple(int(n) if n != "-" else 0 for n in row[1:6]) for row in rows}
    tags = [line.split() for line in tables[4].split("\n")[1:]] if tables[4].startswith("  By tag") else []
    found["tags"] = {row[0]: tuple(int(n) for n in row[1:4]) for row in tags}
    return found


def _minutes(said: str) -> int | None:
    span = re.match(r"median (?:([0-9]+) h ?)?([0-9]+)?", said)
    return int(span[1] or 0) * 60 + int(span[2] or 0) if span else None
