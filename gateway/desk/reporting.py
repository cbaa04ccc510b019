"""``#report``, the weekly report and the daily digest: figures and lists as the facts of a notice (mail.md 17)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from gateway.address import first_name
from gateway.desk.assignment import find_agents
from gateway.desk.calendar import read_hours
from gateway.desk.case import Case
from gateway.desk.choices import zone_of
from gateway.desk.deed import Deed, Problem, add_apart, apart, trouble
from gateway.desk.draft import Draft
from gateway.desk.figures import Figures, compute, worked_in
from gateway.desk.lines import is_late, say_who, served_by, tell_wait
from gateway.desk.moments import find_zone
from gateway.desk.periods import Period, before, read_period, split_words
from gateway.model import Command, Person, State
from gateway.questions import (
    Answer,
    EventLog,
    Listing,
    Log,
    Question,
    Stopped,
    StoppedMail,
    TicketLine,
)

_MOST_ROWS = 20
"""Rows of one section of a digest; the subject counts all."""
_SWITCHES = ("off", "on")


# ------------------------------------------------------------------ the report


def check_report(case: Case, command: Command) -> Problem | None:
    """A period that has begun, and at most one agent."""
    if command.argument.strip().lower() in _SWITCHES:
        return None
    period, _ = _read(case, command)
    return None if period is not None else trouble("period", command)


def ask_report(case: Case, command: Command) -> tuple[Question, ...]:
    """The log of the period, and of the one before for comparison."""
    period, _ = _read(case, command)
    return _logs(case, period) if period is not None else ()


def report(deed: Deed) -> str:
    """The numbers of a period; ``off`` and ``on``: the weekly one."""
    word, agent = deed.argument.lower(), deed.case.agent
    if word in _SWITCHES:
        assert agent is not None
        deed.draft.choose(agent.handle, "report", word)
        return f"report {word}"
    period, person = _read(deed.case, deed.command)
    assert period is not None
    draft = apart(deed)
    send_report(draft, deed.case, deed.person, period, person)
    add_apart(deed, draft)
    return ""


def ask_weekly(case: Case) -> tuple[Question, ...]:
    """The log of the last full week, and of the one before."""
    return _logs(case, _last_week(case))


def send_weekly(draft: Draft, case: Case, person: Person) -> None:
    """The report of the last full week."""
    send_report(draft, case, person, _last_week(case), None)


def send_report(draft: Draft, case: Case, to: Person, period: Period, of: Person | None) -> None:
    """One report by mail; ``of``: about one agent only. Figures only: the words are found where mail is written."""
    worked, party = worked_in(case.settings), of.party if of else 0
    now, earlier = (compute(_log(case, q), p, worked, party) for q, p in _both(case, period))
    inbox = case.settings.inbox[case.mail.envelope.inbox]
    draft.notify(
        "report",
        [to],
        data={
            "period": period.name,
            "first": period.first.isoformat(),
            "of": of.name if of else "",
            "name": period.name.replace("-", ""),
            "file": f"{inbox.handle or 'desk'}-{period.name}.csv",
            "new": str(now.new),
            "closed": str(now.closed),
            "reopened": str(now.reopened),
            "unsolved": str(now.unsolved),
            "waiting": str(now.waiting),
            "first_answer": _seconds(now.first_answer),
            "first_answer_slow": _seconds(now.first_answer_slow),
            "until_closed": _seconds(now.until_closed),
            "before": earlier.period.name,
            "before_first": earlier.period.first.isoformat(),
            "before_first_answer": _seconds(earlier.first_answer),
            "oldest": _oldest(case, now),
            "step": period.step,
            "days": json.dumps([(day.isoformat(), new, closed) for day, new, closed in now.days]),
            "agents": json.dumps(_agents(case, now)),
            "tags": json.dumps([(t.tag, t.new, t.closed, t.unsolved, _seconds(t.first_answer)) for t in now.tags]),
        },
    )
    draft.explain(f"report of {period.short} to {to.agent}: {now.new} new, {now.closed} closed")


def _seconds(span: timedelta | None) -> str:
    return f"{span.total_seconds():.0f}" if span is not None else ""


def _oldest(case: Case, figures: Figures) -> str:
    line = figures.oldest
    if line is None:
        return ""
    days = (case.now - line.created_at).days
    return json.dumps([line.number, days, first_name(line.owner.name) or line.owner.agent if line.owner else ""])


def _agents(case: Case, figures: Figures) -> list[tuple[object, ...]]:
    """(name, answered, closed, open now, taken, passed); the name is "" for nobody, "?" for who left."""
    names = {person.party: first_name(person.name) or person.agent for person in case.facts.agents.values()}
    return [
        (names.get(a.party, "?") if a.party else "", a.answered, a.closed, a.unsolved, a.taken, a.passed)
        for a in figures.agents
    ]


def _read(case: Case, command: Command) -> tuple[Period | None, Person | None]:
    """The period and the agent a command names. A word that is neither makes the period None."""
    zone = zone_of(case.agent, case.settings)
    enabled = [a for a in case.settings.agents.values() if a.enabled]
    names = [name for a in enabled for name in (a.handle, *a.name.split()[:1])]
    words, who = split_words(command.argument, names)
    found = find_agents(case, who) if who else ()
    person = case.facts.agents.get(found[0].handle) if len(found) == 1 else None
    if who and person is None:
        return None, None
    return read_period(words, case.now, zone), person


def _last_week(case: Case) -> Period:
    period = read_period("last week", case.now, zone_of(case.agent, case.settings))
    assert period is not None
    return period


def _both(case: Case, period: Period) -> tuple[tuple[Log, Period], tuple[Log, Period]]:
    inboxes, former = served_by(case.agent, case.settings), before(period)
    return (Log(inboxes, period.since, period.until), period), (Log(inboxes, former.since, former.until), former)


def _logs(case: Case, period: Period) -> tuple[Question, ...]:
    return tuple(question for question, _ in _both(case, period))


def _log(case: Case, question: Log) -> EventLog:
    found: Answer = case.answers.get(question, EventLog())
    return found if isinstance(found, EventLog) else EventLog()


# ------------------------------------------------------------------ the digest


def ask_digest(case: Case) -> tuple[Question, ...]:
    """What is open, what happened since the last business day, what was stopped."""
    inboxes, period = served_by(case.agent, case.settings), _since_yesterday(case)
    return (Listing(inboxes), Log(inboxes, period.since, period.until), Stopped(inboxes, period.since))


def send_digest(draft: Draft, case: Case, to: Person, *, always: bool = True) -> None:
    """One digest by mail; unless ``always``, only when something waits."""
    listing, log, stopped = ask_digest(case)
    lines = [line for line in _answers(case, listing) if isinstance(line, TicketLine)]
    sections = _sections(case, lines, to)
    if not always and not any(sections.values()):
        draft.explain(f"no digest for {to.agent}: nothing waits")
        return
    assert isinstance(log, Log)
    figures = compute(_log(case, log), _since_yesterday(case), worked_in(case.settings))
    held = [mail for mail in _answers(case, stopped) if isinstance(mail, StoppedMail)]
    every = [line for found in sections.values() for line in found]
    late = [line for line in every if is_late(line, case.settings, case.now)]
    yours, free = [line for line in every if line.owner], [line for line in every if not line.owner]
    draft.notify(
        "digest",
        [to],
        data={
            "sections": json.dumps([{"title": t, "rows": _rows(case, found)} for t, found in sections.items()]),
            "yours": str(len(yours)),
            "free": str(len(free)),
            "late": str(len(late)),
            "new": str(figures.new),
            "closed": str(figures.closed),
            "first_answer": _seconds(figures.first_answer),
            "away": json.dumps(_away(case)),
            "spam": _number(sum(mail.quarantine for mail in held)),
            "held": _number(sum(not mail.quarantine for mail in held)),
        },
    )
    draft.explain(f"digest to {to.agent}: {len(yours)} yours, {len(free)} free, {len(late)} late")


def _sections(case: Case, lines: Sequence[TicketLine], to: Person) -> dict[str, list[TicketLine]]:
    """Open again, late, yours, free: what this agent can do something about, who waits longest first; nothing twice.

    What was closed and is open again comes first: often it is thanks, and one tap closes it (mail.md 16). What the
    mail means is not guessed.
    """
    mine = [line for line in lines if line.owner and line.owner.party == to.party and _asks_for_work(case, line)]
    free = [line for line in lines if line.owner is None and line.state in (State.NEW, State.OPEN)]
    sections: dict[str, list[TicketLine]] = {"reopened": [], "late": [], "yours": [], "free": []}
    for line in sorted((*mine, *free), key=lambda line: line.waits_since or case.now):
        late = is_late(line, case.settings, case.now)
        sections["reopened" if line.reopened else "late" if late else "yours" if line.owner else "free"].append(line)
    return sections


def _asks_for_work(case: Case, line: TicketLine) -> bool:
    """Open, or snoozed and back within a day; what waits for the customer asks for nothing."""
    soon = line.snoozed_until is not None and line.snoozed_until < case.now + timedelta(days=1)
    return line.state in (State.NEW, State.OPEN) or (line.state is State.SNOOZED and soon)


def _rows(case: Case, lines: Sequence[TicketLine]) -> list[Mapping[str, object]]:
    return [
        {
            "number": line.number,
            "subject": line.subject,
            "who": say_who(line.customer),
            **tell_wait(line, case.now),
        }
        for line in lines[:_MOST_ROWS]
    ]


def _away(case: Case) -> list[tuple[str, str]]:
    """(name, until when or "") of the colleagues who are away."""
    said = []
    for handle, absence in sorted(case.facts.away.items()):
        agent = case.settings.agents.get(handle)
        if agent is None or not set(served_by(agent, case.settings)) & set(served_by(case.agent, case.settings)):
            continue
        said.append((first_name(agent.name) or handle, absence.until.isoformat() if absence.until else ""))
    return said


def _since_yesterday(case: Case) -> Period:
    """From the last business day before today to the end of today."""
    zone = zone_of(case.agent, case.settings)
    today = case.now.astimezone(find_zone(zone)).date()
    days = (today - timedelta(days=n) for n in range(1, 15))
    first = next((day for day in days if works_on(case, day)), today - timedelta(days=1))
    return Period(first=first, last=today + timedelta(days=1), zone=zone, title="", short="", name="since-yesterday")


def works_on(case: Case, day: date) -> bool:
    """Whether any inbox of this agent is open on a date."""
    inboxes = (case.settings.inbox[handle] for handle in served_by(case.agent, case.settings))
    return any(read_hours(inbox.hours).open_on(day) for inbox in inboxes)


def _answers(case: Case, question: Question) -> tuple[object, ...]:
    found = case.answers.get(question, ())
    return found if isinstance(found, tuple) else ()


def _number(count: int) -> str:
    return str(count) if count else ""
