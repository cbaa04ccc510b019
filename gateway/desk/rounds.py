"""Digests, weekly reports, lists on return: rows with a due time, which set their successors (mail.md 17).

Due times are clock times of the agent's zone, so a day of 23 or 25 hours moves nothing. A desk that was down for a week
sends one digest when it is back, not seven: the successor is counted from now. Whether a mail is wanted is decided when
the row is due, so that switching on and off is only a word kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo

from gateway.desk.case import Case
from gateway.desk.choices import zone_of
from gateway.desk.draft import Draft
from gateway.desk.lines import served_by
from gateway.desk.moments import find_zone
from gateway.desk.reporting import ask_digest, ask_weekly, send_digest, send_weekly, works_on
from gateway.desk.returning import ask_return, away_since, send_return
from gateway.model import (
    Absence,
    Clues,
    Envelope,
    Facts,
    Findings,
    InboundMail,
    Match,
    Person,
    Plan,
    Timer,
    TimerSet,
    Verdict,
)
from gateway.questions import Question
from gateway.settings import Settings

_REPORT = time(7)
"""The weekly report goes out on Monday at seven."""
_SEARCHED = 400  # days; a calendar may be closed for ever


def round_of(
    handle: str,
    agents: Mapping[str, Person],
    settings: Settings,
    now: datetime,
    choices: Mapping[str, Mapping[str, str]],
    away: Mapping[str, Absence] | None = None,
) -> Case | None:
    """A case without mail and ticket: this agent's turn. None when the agent serves no inbox, or is none any more."""
    inboxes = served_by(settings.agents.get(handle), settings)
    if handle not in agents or not inboxes:
        return None
    nothing = Envelope(reverse_path="", recipient="", inbox=inboxes[0], source="clock", received_at=now)
    return Case(
        mail=InboundMail(id=0, envelope=nothing, sha256="", raw=b""),
        findings=Findings(),
        clues=Clues(),
        facts=Facts(author_agent=handle, agents=agents, choices=choices, away=away or {}),
        match=Match(ground="clock"),
        settings=settings,
        now=now,
        verdict=Verdict(outcome="clock", role="agent"),
    )


def first_rounds(
    agents: Mapping[str, Person], choices: Mapping[str, Mapping[str, str]], settings: Settings, now: datetime
) -> tuple[TimerSet, ...]:
    """The rows every agent should have; those that are there already stay as they are."""
    cases = (round_of(handle, agents, settings, now, choices) for handle in agents)
    return tuple(timer for case in cases if case is not None for timer in _successors(case))


def ask_round(case: Case, timer: Timer) -> tuple[Question, ...]:
    """What has to be read for it."""
    if timer.kind == "back":
        return ask_return(case) if _has_returned(case) else ()
    if not _wanted(case, timer.kind):
        return ()
    return ask_digest(case) if timer.kind == "digest" else ask_weekly(case)


def plan_round(case: Case, timer: Timer) -> Plan:
    """The mail, if it is wanted, and the next row."""
    draft, person = Draft(case, reason=timer.kind), case.agent_person
    assert person is not None
    if timer.kind == "back":
        _welcome_back(draft, case, person)
        return draft.plan("clock")
    if not _wanted(case, timer.kind):
        draft.explain(f"{timer.kind} of {person.agent} is off")
    elif timer.kind == "digest":
        send_digest(draft, case, person, always=chosen_digest(case) != "hourly")
    else:
        send_weekly(draft, case, person)
    for following in _successors(case):
        if following.kind == timer.kind:
            draft.set_round(following)
    return draft.plan("clock")


def _has_returned(case: Case) -> bool:
    """Whether the absence is over and its end was not told; it may have been prolonged, or ended by word."""
    return away_since(case) is not None and case.facts.author_agent not in case.facts.away


def _welcome_back(draft: Draft, case: Case, person: Person) -> None:
    if _has_returned(case):
        send_return(draft, case, person)
    else:
        draft.explain(f"{person.agent} was told before, or is away for longer")


def next_digest(case: Case) -> TimerSet | None:
    """The row of the next digest; None when there is nobody to write to."""
    return next((timer for timer in _successors(case) if timer.kind == "digest"), None)


def chosen_digest(case: Case) -> str:
    """off, daily or hourly, as this agent said."""
    return case.facts.choices.get(case.facts.author_agent, {}).get("digest") or "daily"


def _wanted(case: Case, kind: str) -> bool:
    chosen = case.facts.choices.get(case.facts.author_agent, {})
    if kind == "report":
        return chosen.get("report") != "off"
    return chosen_digest(case) != "off" and _digest_time(case.settings) is not None


def _successors(case: Case) -> tuple[TimerSet, ...]:
    agent, person = case.agent, case.agent_person
    if agent is None or person is None:
        return ()
    found = [TimerSet(kind="digest", due_at=_next_digest_at(case), party=person.party)]
    if agent.role == "lead":
        found.append(TimerSet(kind="report", due_at=_next_report_at(case), party=person.party))
    return tuple(found)


def _next_digest_at(case: Case) -> datetime:
    """The next full hour, or the time set on the next day somebody works."""
    here = _zone(case)
    local = case.now.astimezone(here)
    if chosen_digest(case) == "hourly":
        utc = case.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        candidates = (utc + timedelta(hours=n) for n in range(1, 24 * _SEARCHED))
        following = (at for at in candidates if works_on(case, at.astimezone(here).date()))
        return next(following, case.now + timedelta(days=1))
    at = _digest_time(case.settings) or time(8, 30)
    for ahead in range(_SEARCHED):
        day = local.date() + timedelta(days=ahead)
        due = datetime.combine(day, at, here).astimezone(UTC)
        if due > case.now and works_on(case, day):
            return due
    return case.now + timedelta(days=1)


def _next_report_at(case: Case) -> datetime:
    here = _zone(case)
    today = case.now.astimezone(here).date()
    monday = today - timedelta(days=today.weekday())
    due = (datetime.combine(monday + timedelta(weeks=n), _REPORT, here).astimezone(UTC) for n in (0, 1))
    return next(at for at in due if at > case.now)


def _digest_time(settings: Settings) -> time | None:
    """``[agent_mail].digest``; None for "off" and for what is no time of day."""
    hour, colon, minute = settings.agent_mail.digest.partition(":")
    try:
        return time(int(hour), int(minute)) if colon else None
    except ValueError:
        return None


def _zone(case: Case) -> tzinfo:
    return find_zone(zone_of(case.agent, case.settings)) or UTC
