"""Numbers of a period, computed from the event log and from nothing else (mail.md 17).

What is counted:

- *new*: tickets opened in the period.
- *closed*: tickets whose last closing (``close`` or ``spam``) lies in the period, on the day of that closing. A ticket
  closed twice is closed once.
- *reopened*: those of the closed ones that were open again before the end of the period, for a while or still.
- *first answer*: from the opening of a ticket that was opened in the period to its first answer to the customer, in
  hours of the clock; tickets without an answer count for nothing here.
- *until closed*: from the opening to the last closing, of the closed ones.
- by agent: answers sent in the period; tickets closed by that agent after somebody answered; tickets open now. Closed
  without any answer are nobody's.

With an agent, only tickets count whose first answer was that agent's (new, times) or that the agent closed (closed).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from gateway.desk.moments import find_zone
from gateway.desk.periods import Period
from gateway.questions import EventLog, LogLine, TicketLine

_CLOSES = frozenset({"close", "spam"})
_OPENS = frozenset({"open", "notspam"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """One ticket closed in the period."""

    ticket: int
    at: datetime
    party: int  # who closed it; 0 nobody
    answered: bool
    reopened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A period in numbers."""

    period: Period
    days: tuple[tuple[str, int, int], ...]  # label, new, closed
    new: int
    closed: int
    reopened: int
    first_answer: timedelta | None  # median
    first_answer_slow: timedelta | None  # nine of ten were faster or as fast
    until_closed: timedelta | None  # median
    unsolved: int  # now
    oldest: TicketLine | None
    agents: tuple[tuple[int, int, int, int], ...]  # party (0 nobody), answered, closed, open now


@dataclass(frozen=True, slots=True)
class _History:
    """One ticket's events, read."""

    number: int
    opened: datetime
    first_answer: LogLine | None
    answers: tuple[LogLine, ...]
    closing: Closing | None


def compute(log: EventLog, period: Period, party: int = 0) -> Figures:
    """The figures of a period; ``party``: of one agent, 0 of everybody. Pure, in one pass over the log."""
    since, until = period.since, period.until
    histories = [_read(number, lines, log, until) for number, lines in _by_ticket(log).items()]
    new = [h for h in histories if since <= h.opened < until]
    closings = [h.closing for h in histories if h.closing and since <= h.closing.at]
    if party:
        new = [h for h in new if h.first_answer and h.first_answer.party == party]
        closings = [c for c in closings if c.party == party]
    answered_after = sorted(h.first_answer.at - h.opened for h in new if h.first_answer)
    opened = {h.number: h.opened for h in histories}
    closed_after = [c.at - opened[c.ticket] for c in closings]
    open_now = [line for line in log.unsolved if not party or (line.owner and line.owner.party == party)]
    return Figures(
        period=period,
        days=_days(period, [h.opened for h in new], [c.at for c in closings]),
        new=len(new),
        closed=len(closings),
        reopened=sum(c.reopened for c in closings),
        first_answer=_median(answered_after),
        first_answer_slow=answered_after[-(-len(answered_after) * 9 // 10) - 1] if answered_after else None,
        until_closed=_median(closed_after),
        unsolved=len(open_now),
        oldest=min(open_now, key=lambda line: line.created_at, default=None),
        agents=_agents(histories, closings, open_now, since, party),
    )


def _median(spans: Sequence[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(span.total_seconds() for span in spans)) if spans else None


def _by_ticket(log: EventLog) -> dict[int, list[LogLine]]:
    found: dict[int, list[LogLine]] = defaultdict(list)
    for line in log.lines:
        found[line.ticket].append(line)
    return {number: lines for number, lines in found.items() if number in log.tickets}


def _read(number: int, lines: Sequence[LogLine], log: EventLog, until: datetime) -> _History:
    past = [line for line in lines if line.at < until]
    withdrawn = {line.answers for line in past if line.kind == "withdraw"}
    answers = tuple(a for a in past if a.kind == "answer" and a.public and a.number not in withdrawn)
    closing: LogLine | None = None
    last: LogLine | None = None  # the last closing, whether it lasted or not
    reopened = False
    for line in past:
        if line.kind in _CLOSES:
            reopened = reopened or (last is not None and closing is None)
            closing = last = line
        elif closing is not None and (line.kind in _OPENS or (line.kind == "mail" and line.public)):
            closing, reopened = None, True
    first = next((line for line in answers), None)
    return _History(
        number=number,
        opened=log.tickets[number],
        first_answer=first,
        answers=answers,
        closing=Closing(ticket=number, at=last.at, party=last.party, answered=first is not None, reopened=reopened)
        if last
        else None,
    )


def _days(period: Period, new: Sequence[datetime], closed: Sequence[datetime]) -> tuple[tuple[str, int, int], ...]:
    """A line a day (or month); days at the end of a week when nothing happened are left out."""
    slots = period.slots()
    starts = [day for day, _ in slots]

    def slot(at: datetime) -> date:
        day = at.astimezone(find_zone(period.zone)).date()
        return max(start for start in starts if start <= day)

    opened, ended = Counter(map(slot, new)), Counter(map(slot, closed))
    lines = [(day, label, opened[day], ended[day]) for day, label in slots]
    week = len(slots) == 7
    return tuple((label, n, c) for day, label, n, c in lines if n or c or not week or day.weekday() < 5)


def _agents(
    histories: Sequence[_History],
    closings: Sequence[Closing],
    open_now: Sequence[TicketLine],
    since: datetime,
    party: int,
) -> tuple[tuple[int, int, int, int], ...]:
    answered = Counter(line.party for h in histories for line in h.answers if line.at >= since)
    closed = Counter(c.party if c.answered else 0 for c in closings)
    owned = Counter(line.owner.party if line.owner else 0 for line in open_now)
    parties = {*answered, *closed, *owned}
    if party:
        parties = {party}
    rows = [(who, answered[who] if who else 0, closed[who], owned[who]) for who in parties]
    return tuple(sorted(rows, key=lambda row: (row[0] == 0, -row[1], -row[2], row[0])))
