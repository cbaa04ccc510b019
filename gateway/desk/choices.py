"""What agents set for themselves by mail overlays agents.toml: further addresses, zone, quiet hours, absence.

The store keeps words (handle -> name -> value), so that nobody's file is rewritten by mail (mail.md 14).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta

from gateway.desk.moments import find_zone, read_quiet
from gateway.model import Absence, OutboundMail, Person
from gateway.settings import Agent, Settings

Choices = Mapping[str, Mapping[str, str]]

_AT_ONCE = frozenset({"escalation", "command", "held", "help", "list", "welcome"})
"""Mail that quiet hours do not delay: escalations, and answers to what the agent just sent."""


def with_choices(settings: Settings, choices: Choices) -> Settings:
    """The settings as every agent wants them now; the same object when nobody chose anything."""
    if not any(handle in settings.agents for handle in choices):
        return settings
    agents = {handle: _overlaid(agent, choices.get(handle, {})) for handle, agent in settings.agents.items()}
    return replace(settings, agents=agents)


def _overlaid(agent: Agent, chosen: Mapping[str, str]) -> Agent:
    further = tuple(address for address in chosen.get("also", "").split() if address not in agent.also)
    return replace(
        agent,
        also=(*agent.also, *further),
        timezone=chosen.get("timezone") or agent.timezone,
        quiet=chosen.get("quiet", agent.quiet),
    )


def zone_of(agent: Agent | None, settings: Settings) -> str:
    """The IANA zone in which an agent's words about time are meant."""
    return (agent.timezone if agent else "") or settings.ticketgate.timezone


# ------------------------------------------------------------------ absence


def write_absence(absence: Absence) -> str:
    """The stored form: an ISO time or "-", then the handle of the stand-in."""
    return f"{absence.until.isoformat() if absence.until else '-'} {absence.to}".strip()


def find_absences(choices: Choices, settings: Settings, now: datetime) -> dict[str, Absence]:
    """Who is away now. A stand-in who is no agent any more stands in for nobody."""
    absences = {}
    for handle, chosen in choices.items():
        until, _, to = chosen.get("away", "").partition(" ")
        if not until or handle not in settings.agents:
            continue
        absence = Absence(None if until == "-" else datetime.fromisoformat(until), to)
        if absence.until is not None and absence.until <= now:
            continue
        stand_in = settings.agents.get(to)
        absences[handle] = absence if stand_in and stand_in.enabled else replace(absence, to="")
    return absences


# ------------------------------------------------------------------ quiet hours


def delayed_until(kind: str, agent: Agent | None, settings: Settings, now: datetime) -> datetime | None:
    """When mail of this kind may reach an agent who is in quiet hours; None: at once."""
    hours = read_quiet(agent.quiet) if agent and agent.quiet and kind not in _AT_ONCE else None
    zone = find_zone(zone_of(agent, settings))
    if hours is None or zone is None:
        return None
    start, end = hours
    local = now.astimezone(zone)
    if not _within(local.time(), start, end):
        return None
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, zone).astimezone(now.tzinfo)


def delay_mails(
    mails: Iterable[OutboundMail], agents: Mapping[str, Person], settings: Settings, now: datetime
) -> tuple[OutboundMail, ...]:
    """The mails, those to agents in quiet hours due when these end."""
    by_party = {person.party: settings.agents.get(handle) for handle, person in agents.items()}
    quiet = ((mail, delayed_until(mail.kind, by_party.get(mail.party), settings, now)) for mail in mails)
    return tuple(
        replace(mail, not_before=max(until, mail.not_before or until)) if until else mail for mail, until in quiet
    )


def _within(at: time, start: time, end: time) -> bool:
    return start <= at < end if start < end else at >= start or at < end
