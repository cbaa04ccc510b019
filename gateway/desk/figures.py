"""Numbers of a period, computed from the event log and from nothing else (mail.md 17).

What is counted:

- *new*: tickets opened in the period.
- *closed*: tickets whose last closing (``close`` or ``spam``) lies in the period, on the day of that closing. A ticket
  closed twice is closed once.
- *reopened*: those of the closed ones that were open again before the end of the period, for a while or still. A
  closing that was undone is none, and so is its reopening.
- *first answer*: from the opening of a ticket that was opened in the period to its first answer to the customer, in
  business time of the ticket's inbox; tickets without an answer count for nothing here.
- *until closed*: from the opening to the last closing, of the closed ones, in hours of the clock.
- *taken*: tickets nobody had, which were offered, and which this agent was the first to claim, answer or close, in the
  period.
- *passed*: offers to this agent alone that ended in the period without being taken (``passed``). An offer to everybody
  is passed by nobody. What somebody took or let pass before a merge was taken or passed all the same.
- *unsolved*, *waiting*, *oldest*: now, at the time of asking: not closed; of those, where a customer waits for an
  answer; the one opened first.
- by agent: answers sent in the period; tickets closed by that agent after somebody answered; tickets open now; offers
  taken and passed. Closed without any answer are nobody's.
- by tag, as the tickets are tagged now: new, closed, unsolved, first answer. A ticket with two tags is in two lines.

States are read from the log, where the line that changed one says what it became. Of the lines a merge copied here
those count that tell what a person did: answers, and what was taken and passed, as it was in the ticket they come from.
None does once the merge was undone: then that ticket has them again.

With an agent, only tickets count whose first answer was that agent's (new, times) or that the agent closed (closed).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from gateway.desk.calendar import business_between
from gateway.desk.moments import find_zone
from gateway.desk.periods import Period
from gateway.model import State
from gateway.questions import EventLog, LogLine, TicketLine
from gateway.settings import Settings

_CLOSED = frozenset({State.CLOSED.value, State.SPAM.value})
_UNDOES = frozenset({"undo", "withdraw"})
_OFFERS = frozenset({"offer", "offered"})
_TAKES = frozenset({"claim", "answer", "close"})

Worked = Callable[[str, datetime, datetime], timedelta]
"""Business time of an inbox between two moments."""


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
    days: tuple[tuple[date, int, int], ...]  # first day of the line (periods.slots), new, closed
    new: int
    closed: int
    reopened: int
    first_answer: timedelta | None  # median
    first_answer_slow: timedelta | None  # nine of ten were faster or as fast
    until_closed: timedelta | None  # median
    unsolved: int  # now
    waiting: int  # of those, where a customer waits for an answer
    oldest: TicketLine | None
    agents: tuple[AgentFigures, ...]
    tags: tuple[TagFigures, ...]


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """One agent's line; party 0 is nobody's."""

    party: int
    answered: int = 0
    closed: int = 0
    unsolved: int = 0  # now
    taken: int = 0
    passed: int = 0


@dataclass(frozen=True, slots=True)
class TagFigures:
    """One tag's line."""

    tag: str
    new: int
    closed: int
    unsolved: int  # now
    first_answer: timedelta | None  # median


@dataclass(frozen=True, slots=True)
class _History:
    """One ticket's events, read."""

    number: int
    opened: datetime
    first_answer: LogLine | None
    answers: tuple[LogLine, ...]
    closing: Closing | None
    taken: tuple[LogLine, ...]  # what took it while it was on offer
    passed: tuple[LogLine, ...]
    until_answer: timedelta | None  # business time from the opening to the first answer


def worked_in(settings: Settings) -> Worked:
    """Business time as the inboxes' hours and holidays say; an inbox that is gone has all hours."""

    def worked(inbox: str, start: datetime, end: datetime) -> timedelta:
        found = settings.inbox.get(inbox)
        if found is None:
            return end - start
        return business_between(found.hours, settings.ticketgate.timezone, start, end)

    return worked


def compute(log: EventLog, period: Period, worked: Worked, party: int = 0) -> Figures:
    """The figures of a period; ``party``: of one agent, 0 of everybody. Pure, in one pass over the log."""
    since, until = period.since, period.until
    histories = [_read(number, lines, log, until, worked) for number, lines in _by_ticket(log).items()]
    new = [h for h in histories if since <= h.opened < until]
    closings = [h.closing for h in histories if h.closing and since <= h.closing.at]
    if party:
        new = [h for h in new if h.first_answer and h.first_answer.party == party]
        closings = [c for c in closings if c.party == party]
    answered_after = sorted(h.until_answer for h in new if h.until_answer is not None)
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
        waiting=sum(waits(line) for line in open_now),
        oldest=min(open_now, key=lambda line: (line.created_at, line.number), default=None),
        agents=_agents(histories, closings, open_now, since, party),
        tags=_tags(log, new, closings, open_now),
    )


def waits(line: TicketLine) -> bool:
    """Whether a customer waits for an answer."""
    return line.state in (State.NEW, State.OPEN) and line.waits_since is not None


def _median(spans: Sequence[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(span.total_seconds() for span in spans)) if spans else None


def _by_ticket(log: EventLog) -> dict[int, list[LogLine]]:
    found: dict[int, list[LogLine]] = defaultdict(list)
    for line in log.lines:
        found[line.ticket].append(line)
    return {number: lines for number, lines in found.items() if number in log.tickets}


def _read(number: int, lines: Sequence[LogLine], log: EventLog, until: datetime, worked: Worked) -> _History:
    parted = {line.source: line.number for line in lines if line.kind == "unmerge" and line.at < until}
    past = [line for line in lines if line.at < until and line.number >= parted.get(line.source, 0)]
    own = [line for line in past if not line.source]
    withdrawn = {line.answers for line in past if line.kind == "withdraw"}
    answers = tuple(a for a in past if a.kind == "answer" and a.public and a.number not in withdrawn)
    opened = log.tickets[number]
    first = min((a for a in answers if a.at >= opened), key=lambda line: (line.at, line.number), default=None)
    return _History(
        number=number,
        opened=opened,
        first_answer=first,
        answers=answers,
        closing=_closing(own, first is not None),
        taken=tuple(line for lines in _apart(past) for line in _taken(lines)),
        passed=tuple(line for line in past if line.kind == "passed"),
        until_answer=worked(log.inboxes.get(number, ""), opened, first.at) if first else None,
    )


def _closing(lines: Sequence[LogLine], answered: bool) -> Closing | None:
    """The last closing, whether it lasted or not."""
    closings: list[LogLine] = []
    shut = reopened = again = False
    for line in lines:
        if line.state in _CLOSED:
            if line.kind not in _UNDOES and not shut:
                closings.append(line)
                reopened = again
            shut = True
        elif line.state and shut:
            shut = False
            if line.kind in _UNDOES:
                closings = closings[:-1]
            else:
                again = True
    if not closings:
        return None
    last = closings[-1]
    return Closing(
        ticket=last.ticket, at=last.at, party=last.party, answered=answered, reopened=reopened or (again and not shut)
    )


def _apart(lines: Sequence[LogLine]) -> tuple[tuple[LogLine, ...], ...]:
    """The ticket's own lines, and those of each ticket that was merged into it."""
    sources = dict.fromkeys(line.source for line in lines)
    return tuple(tuple(line for line in lines if line.source == source) for source in sources)


def _taken(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    """What took the ticket while it was on offer: the first claim or answer after an offer."""
    taken: list[LogLine] = []
    offered = False
    for line in lines:
        if line.kind in _OFFERS:
            offered = True
        elif line.kind in _TAKES or line.kind == "assign":
            if offered and line.kind in _TAKES:
                taken.append(line)
            offered = False
    return tuple(taken)


def _days(period: Period, new: Sequence[datetime], closed: Sequence[datetime]) -> tuple[tuple[date, int, int], ...]:
    """A line a day (or month); days at the end of a week when nothing happened are left out."""
    starts = period.slots()

    def slot(at: datetime) -> date:
        day = at.astimezone(find_zone(period.zone)).date()
        return max(start for start in starts if start <= day)

    opened, ended = Counter(map(slot, new)), Counter(map(slot, closed))
    lines = [(day, opened[day], ended[day]) for day in starts]
    week = len(starts) == 7
    return tuple((day, n, c) for day, n, c in lines if n or c or not week or day.weekday() < 5)


def _agents(
    histories: Sequence[_History],
    closings: Sequence[Closing],
    open_now: Sequence[TicketLine],
    since: datetime,
    party: int,
) -> tuple[AgentFigures, ...]:
    answered = Counter(line.party for h in histories for line in h.answers if line.at >= since)
    closed = Counter(c.party if c.answered else 0 for c in closings)
    owned = Counter(line.owner.party if line.owner else 0 for line in open_now)
    taken = Counter(line.party for h in histories for line in h.taken if line.at >= since)
    passed = Counter(line.party for h in histories for line in h.passed if line.at >= since)
    parties = {party} if party else {*answered, *closed, *owned, *taken, *passed}
    rows = [AgentFigures(w, answered[w] if w else 0, closed[w], owned[w], taken[w], passed[w]) for w in parties]
    return tuple(sorted(rows, key=lambda row: (row.party == 0, -row.answered, -row.closed, row.party)))


def _tags(
    log: EventLog, new: Sequence[_History], closings: Sequence[Closing], open_now: Sequence[TicketLine]
) -> tuple[TagFigures, ...]:
    """A line a tag, the busiest first."""
    opened = Counter(tag for h in new for tag in log.tags.get(h.number, ()))
    closed = Counter(tag for c in closings for tag in log.tags.get(c.ticket, ()))
    unsolved = Counter(tag for line in open_now for tag in line.tags)
    spans: dict[str, list[timedelta]] = defaultdict(list)
    for history in new:
        if history.until_answer is not None:
            for tag in log.tags.get(history.number, ()):
                spans[tag].append(history.until_answer)
    rows = [
        TagFigures(tag, opened[tag], closed[tag], unsolved[tag], _median(spans[tag]))
        for tag in {*opened, *closed, *unsolved}
    ]
    return tuple(sorted(rows, key=lambda row: (-row.new - row.closed, -row.unsolved, row.tag)))
