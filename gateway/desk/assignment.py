"""Who is told, who is offered, who owns (mail.md 15)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.desk.case import Case
from gateway.model import Person, TicketFacts
from gateway.settings import Agent


def persons_of(case: Case, agents: Iterable[Agent]) -> tuple[Person, ...]:
    """The parties of some agents, in order; an agent the store does not know yet is left out."""
    found = (case.facts.agents.get(agent.handle) for agent in agents)
    return tuple(person for person in found if person)


def pool(case: Case) -> tuple[Person, ...]:
    """Everybody who may take a ticket of this inbox: its enabled agents and leads, observers left out."""
    agents = case.settings.agents_of(case.ticket_inbox)
    return persons_of(case, (a for a in agents if a.role != "observer"))


def leads(case: Case) -> tuple[Person, ...]:
    """The leads of the inbox; the pool when it has none, so that nothing goes to nobody."""
    return persons_of(case, case.settings.leads_of(case.ticket_inbox)) or pool(case)


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


def offered(case: Case) -> tuple[Person, ...]:
    """Who gets the offer of a new ticket under the inbox's ``offer.mode``."""
    if case.ticket_inbox.offer.mode in ("digest", "none"):
        return ()
    return pool(case)


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
