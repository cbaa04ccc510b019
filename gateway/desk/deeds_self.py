"""Verbs about the agent's own settings: ``#quiet``, ``#timezone``, ``#away``, ``#back``, ``#also``, ``#digest``.

They need no ticket. What they set is stored and overlays agents.toml (choices.py).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.address import first_name, fold_address, is_address
from gateway.desk import assignment, reporting, returning, rounds
from gateway.desk.case import Case
from gateway.desk.choices import write_absence, zone_of
from gateway.desk.deed import Deed, Problem, add_apart, apart, called, held_behind, trouble
from gateway.desk.moments import find_zone, read_away, read_quiet, read_when
from gateway.model import Absence, Command, HeldFact, TimerSet
from gateway.questions import Question
from gateway.settings import Agent

_MOST_ADDRESSES = 10


def check_quiet(case: Case, command: Command) -> Problem | None:
    word = command.argument.strip().lower()
    return None if word in ("", "off") or read_quiet(word) else trouble("quiet", command)


def quiet(deed: Deed) -> str:
    """No mail in these hours, except escalations and answers to one's own mail; nothing said: what is set."""
    agent = _agent(deed)
    hours = read_quiet(deed.argument)
    if not deed.argument:
        hours = read_quiet(agent.quiet) if agent.quiet else None
    value = f"{hours[0]:%H:%M}-{hours[1]:%H:%M}" if hours else "off"
    if deed.argument:
        deed.draft.choose(agent.handle, "quiet", "" if value == "off" else value)
    deed.draft.explain(f"quiet hours of {agent.handle}: {value}")
    return f"quiet {value}"


def check_timezone(case: Case, command: Command) -> Problem | None:
    return None if find_zone(command.argument.strip()) else trouble("zone", command)


def timezone(deed: Deed) -> str:
    """The zone in which this agent's words about time are meant, and times are said to them."""
    zone = str(find_zone(deed.argument))
    deed.draft.choose(_agent(deed).handle, "timezone", zone)
    deed.draft.explain(f"time zone of {_agent(deed).handle}: {zone}")
    return f"timezone {zone}"


def check_away(case: Case, command: Command) -> Problem | None:
    """A time ahead, and one colleague who can stand in."""
    when, who = read_away(command.argument)
    if when and read_when(when, case.now, zone_of(case.agent, case.settings)) is None:
        return trouble("when", command, value=when)
    if not who:
        return None
    found = assignment.find_agents(case, who)
    if len(found) != 1:
        names = ", ".join(a.handle for a in found or case.settings.agents.values())
        return trouble("who", command, value=who, names=names)
    if found[0].role == "observer":
        return trouble("observer", command, value=found[0].handle)
    return trouble("away-self", command) if case.agent and found[0].handle == case.agent.handle else None


def away(deed: Deed) -> str:
    """New customer mail of one's tickets goes to the pool, or to the colleague named."""
    when, who = read_away(deed.argument)
    agent = _agent(deed)
    until = read_when(when, deed.case.now, zone_of(agent, deed.case.settings)) if when else None
    found = assignment.find_agents(deed.case, who) if who else ()
    absence = Absence(until, found[0].handle if found else "")
    deed.draft.choose(agent.handle, "away", write_absence(absence))
    if agent.handle not in deed.case.facts.away:
        deed.draft.choose(agent.handle, "away-since", deed.case.now.isoformat())
    if until is not None:
        deed.draft.set_round(TimerSet(kind="back", due_at=until, party=deed.person.party))
    deed.draft.explain(f"{agent.handle} is away: {write_absence(absence)}")
    gone = f"away {until.isoformat()}" if until else "away-open"
    return "\n".join((gone, *(f"stand-in {first_name(colleague.name) or colleague.handle}" for colleague in found)))


def back(deed: Deed) -> str:
    """The end of away; answered with a list of what happened meanwhile."""
    deed.draft.choose(_agent(deed).handle, "away", "")
    deed.draft.explain(f"{_agent(deed).handle} is back")
    if returning.away_since(deed.case) is None:
        return "back"
    draft = apart(deed)
    returning.send_return(draft, deed.case, deed.person)
    add_apart(deed, draft)
    return ""


def ask_back(case: Case, command: Command) -> tuple[Question, ...]:
    """What became of one's tickets meanwhile."""
    return returning.ask_return(case)


def ask_digest(case: Case, command: Command) -> tuple[Question, ...]:
    """What a digest needs, when one is wanted now."""
    return reporting.ask_digest(case) if command.argument.strip().lower() == "now" else ()


def digest(deed: Deed) -> str:
    """How often the digest comes; nothing said: what is set; ``now``: one at once."""
    agent = _agent(deed)
    word = deed.argument.lower()
    if word == "now":
        draft = apart(deed)
        reporting.send_digest(draft, deed.case, deed.person)
        add_apart(deed, draft)
        return ""
    if word:
        deed.draft.choose(agent.handle, "digest", word)
        facts = replace(deed.case.facts, choices={**deed.case.facts.choices, agent.handle: {"digest": word}})
        following = rounds.next_digest(replace(deed.case, facts=facts))
        if following is not None:
            deed.draft.set_round(following)
    word = word or deed.case.facts.choices.get(agent.handle, {}).get("digest", "daily")
    deed.draft.explain(f"digest of {agent.handle}: {word}")
    return f"digest {word}"


# ------------------------------------------------------------------ one more address


def check_also(case: Case, command: Command) -> Problem | None:
    """Only from the registered address, or whoever got hold of one further address could add the next."""
    agent, address = case.agent, command.argument.strip()
    if agent is None or case.author is None or fold_address(case.author.address) != fold_address(agent.address):
        return trouble("also-registered", command, value=agent.address if agent else "")
    if not is_address(address):
        return trouble("address", command)
    other = case.settings.find_agent(address)
    if other is not None and other.handle != agent.handle:
        return trouble("agent-address", command, names=other.name)
    if other is None and case.settings.is_own_address(address):
        return trouble("own-address", command)
    chosen = case.facts.choices.get(agent.handle, {}).get("also", "").split()
    return trouble("also-many", command) if len(chosen) >= _MOST_ADDRESSES else None


def also(deed: Deed) -> str:
    """One more own sending address. In answer to a mail held because of that address, the mail is taken up again."""
    agent, address = _agent(deed), fold_address(deed.argument)
    chosen = deed.case.facts.choices.get(agent.handle, {}).get("also", "").split()
    if address not in {fold_address(a) for a in (agent.address, *agent.also, *chosen)}:
        deed.draft.choose(agent.handle, "also", " ".join([*chosen, address]))
    held = held_from(deed.case, address)
    if held is not None:
        # Judged anew as this agent's mail: with all that is asked of one, proof and token.
        deed.draft.resolve(held.event, "admitted")
        deed.draft.release(held.journal, None)
        deed.draft.explain(f"held event {held.event} is taken up again")
    deed.draft.explain(f"{address} is {called(deed.person)}'s from now on")
    return f"also {address}"


def held_from(case: Case, address: str) -> HeldFact | None:
    """The held mail behind the answered notice, if it came from this address."""
    held, ticket = held_behind(case), case.ticket
    if held is None or ticket is None:
        return None
    event = next((e for e in ticket.events if e.number == held.event), None)
    return held if event and fold_address(event.data.get("address", "")) == fold_address(address) else None


def _agent(deed: Deed) -> Agent:
    agent = deed.case.settings.agents.get(deed.person.agent)
    assert agent is not None
    return agent
