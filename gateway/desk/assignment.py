"""Who is told, who is offered, who owns (mail.md 15)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.desk.case import Case
from gateway.model import Person, TicketFacts
from gateway.settings import Agent, Inbox


def persons_of(case: Case, agents: Iterable[Agent]) -> tuple[Person, ...]:
    """The parties of some agents, in order; an agent the store does not know yet is left out."""
    found = (case.facts.agents.get(agent.handle) for agent in agents)
    return tuple(person for person in found if person)


def pool(case: Case, inbox: Inbox | None = None) -> tuple[Person, ...]:
    """Everybody who may take a ticket of this inbox: its enabled agents and leads, observers left out.

    Who is away or muted the ticket is left out too, unless that leaves nobody.
    """
    agents = [a for a in case.settings.agents_of(inbox or case.ticket_inbox) if a.role != "observer"]
    muted = case.ticket.muted if case.ticket else ()
    present = persons_of(case, (a for a in agents if a.handle not in case.facts.away))
    return tuple(p for p in present if p.party not in muted) or present or persons_of(case, agents)


def leads(case: Case) -> tuple[Person, ...]:
    """The leads of the inbox who are there, else all; the pool when it has none, so that nothing goes to nobody."""
    leads = case.settings.leads_of(case.ticket_inbox)
    present = persons_of(case, (a for a in leads if a.handle not in case.facts.away))
    return present or persons_of(case, leads) or pool(case)


def owner_of(case: Case, ticket: TicketFacts) -> Person | None:
    """The owner, if that person is still an enabled agent."""
    owner = ticket.owner
    if owner is None:
        return None
    for handle, person in case.facts.agents.items():
        agent = case.settings.agents.get(handle)
        if person.party == owner.party and agent and agent.enabled:
            return person
    return None


def owner_or_pool(case: Case) -> tuple[Person, ...]:
    """Who must see what happens on this ticket: its owner, else everybody who could take it."""
    owner = owner_of(case, case.ticket) if case.ticket else None
    return (owner,) if owner else pool(case)


def asked_now(case: Case) -> Person | None:
    """The one agent who is offered the ticket at the moment (``rotate``), while the answer is waited for."""
    lines = [e for e in (case.ticket.events if case.ticket else ()) if e.kind in ("offered", "passed")]
    if (
        not lines
        or lines[-1].kind == "passed"
        or lines[-1].reason == "lead"
        or case.ticket_inbox.offer.mode != "rotate"
    ):
        return None
    return next((p for p in pool(case) if p.party == lines[-1].party), None)


def stand_in(case: Case, owner: Person | None) -> Person | None:
    """Who has an owner's tickets now: the owner; when away, the colleague named (if not away too), else nobody."""
    absence = case.facts.away.get(owner.agent) if owner else None
    if absence is None:
        return owner
    return case.facts.agents.get(absence.to) if absence.to and absence.to not in case.facts.away else None


def watchers(case: Case, *but: Person | None) -> tuple[Person, ...]:
    """The agents who want copies of what happens on this ticket, less some."""
    ticket = case.ticket
    wanted = set(ticket.watchers if ticket else ()) - {p.party for p in but if p}
    agents = (a for a in case.settings.agents.values() if a.enabled)
    return tuple(p for p in persons_of(case, agents) if p.party in wanted)


def offered(case: Case) -> tuple[Person, ...]:
    """Who gets the offer of a new ticket under the inbox's ``offer.mode``."""
    if case.ticket_inbox.offer.mode in ("digest", "none"):
        return ()
    return pool(case)


def rivals(case: Case, person: Person) -> tuple[Person, ...]:
    """Who hears that somebody took a free ticket: the others who could have (``announce_claims``)."""
    ticket = case.ticket
    if ticket is None or ticket.owner is not None or not case.ticket_inbox.offer.announce_claims:
        return ()
    return tuple(p for p in pool(case) if p.party != person.party)


def find_agents(case: Case, who: str) -> tuple[Agent, ...]:
    """Agents meant by a handle, first name, address or unique beginning; several when it is ambiguous."""
    word = who.strip().lower()
    agents = [a for a in case.settings.agents.values() if a.enabled]
    ways: tuple[Callable[[Agent], bool], ...] = (
        lambda a: word == a.handle.lower(),
        lambda a: word in (a.address.lower(), *(x.lower() for x in a.also)),
        lambda a: word in a.name.lower().split(),
        lambda a: a.handle.lower().startswith(word) or any(w.startswith(word) for w in a.name.lower().split()),
    )
    for fits in ways:
        found = tuple(a for a in agents if fits(a))
        if found:
            return found
    return ()
