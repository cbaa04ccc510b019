"""Verbs about people: participants, the customer, watchers (mail.md 9.3, 14).

A participant gets what is sent from now on, never the history. These verbs act before the text of the same mail is
sent: ``#from`` with an answer below it must not write to the wrong customer once more.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.address import fold_address, is_address
from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.deed import Deed, Problem, trouble
from gateway.model import Command, Person, TicketChange, TicketFacts

FIRST = frozenset({"cc", "uncc", "from"})
"""Verbs that change who gets the text of the same mail."""


def check_cc(case: Case, command: Command) -> Problem | None:
    """As for :func:`check_address`; whoever was asked beside the customer must not see the customer's mail."""
    problem = check_address(case, command)
    if problem is not None or case.ticket is None:
        return problem
    third = find_person(case.ticket.thirds, command.argument)
    return trouble("is-third", command) if third is not None else None


def check_address(case: Case, command: Command) -> Problem | None:
    """An address somebody outside can have: not ours, no colleague's."""
    address = command.argument.strip()
    if not is_address(address):
        return trouble("address", command)
    agent = case.settings.find_agent(address)
    if agent is not None:
        return trouble("agent-address", command, names=agent.name)
    return trouble("own-address", command) if case.settings.is_own_address(address) else None


def cc(deed: Deed) -> str:
    """One more participant, whom the customer sees."""
    person = deed.case.facts.named[fold_address(deed.argument)]
    if person.party not in {p.party for p in deed.draft.participants()}:
        deed.draft.add_event("cc", party=deed.person.party, reason=person.address, data={"party": str(person.party)})
        deed.draft.change(TicketChange(add_participants=(person.party,)))
    deed.draft.explain(f"{person.address} takes part")
    return f"cc {person.address}"


def check_uncc(case: Case, command: Command) -> Problem | None:
    person = _present(case, command.argument)
    if person is None:
        return trouble("not-participant", command)
    customer = case.ticket.customer if case.ticket else None
    return trouble("is-customer", command) if customer and customer.party == person.party else None


def uncc(deed: Deed) -> str:
    """A participant or a third party less; the tokens and Message-IDs that person has count for nothing from now on."""
    person = _present(deed.case, deed.argument)
    assert person is not None
    deed.draft.add_event("uncc", party=deed.person.party, reason=person.address, data={"party": str(person.party)})
    deed.draft.change(TicketChange(remove_participants=(person.party,)))
    deed.draft.explain(f"{person.address} takes part no longer")
    return f"uncc {person.address}"


def check_from(case: Case, command: Command) -> Problem | None:
    """As for ``#cc``; once something was sent to the present customer, the agent is asked whether it is meant."""
    found = check_cc(case, command)
    if found is not None or case.ticket is None:
        return found
    customer = case.ticket.customer
    same = customer is not None and fold_address(customer.address) == fold_address(command.argument)
    if customer is None or same or case.sure or not was_written_to(case.ticket):
        return None
    return trouble("from-asks", command, names=customer.address)


def set_customer(deed: Deed) -> str:
    """Correct who the customer is: the new one gets what is sent from now on, the former one nothing more."""
    person, former = deed.case.facts.named[fold_address(deed.argument)], deed.ticket.customer
    if former is None or former.party != person.party:
        deed.draft.add_event("from", party=deed.person.party, reason=person.address, data={"party": str(person.party)})
        gone = (former.party,) if former else ()
        change = TicketChange(customer=person.party, add_participants=(person.party,), remove_participants=gone)
        deed.draft.change(change)
    deed.draft.explain(f"the customer is {person.address}")
    return f"from {person.address}"


def was_written_to(ticket: TicketFacts) -> bool:
    """Whether any mail of ours went to participants of this ticket."""
    return any(event.public and event.kind in ("ack", "relayed", "answer") for event in ticket.events)


def _present(case: Case, address: str) -> Person | None:
    """A participant, or somebody who was written to beside the customer."""
    ticket = case.ticket
    return find_person((*ticket.participants, *ticket.thirds), address) if ticket else None


def find_person(people: Iterable[Person], address: str) -> Person | None:
    """Whoever has this address."""
    folded = fold_address(address)
    return next((p for p in people if fold_address(p.address) == folded), None)


# ------------------------------------------------------------------ who is told


def watch(deed: Deed) -> str:
    """Copies without owning."""
    me, ticket = deed.person.party, deed.ticket
    if me not in ticket.watchers:
        deed.draft.add_event("watch", party=me)
        muted = tuple(p for p in ticket.muted if p != me)
        deed.draft.change(TicketChange(watchers=(*ticket.watchers, me), muted=muted))
    deed.draft.explain(f"{deed.person.agent} watches")
    return "watch"


def check_mute(case: Case, command: Command) -> Problem | None:
    """The owner cannot look away: nobody would see what the customer writes."""
    owner = assignment.owner_of(case, case.ticket) if case.ticket else None
    me = case.agent_person
    return trouble("mute-owner", command) if owner and me and owner.party == me.party else None


def mute(deed: Deed) -> str:
    """Nothing more of this ticket."""
    me, ticket = deed.person.party, deed.ticket
    if me not in ticket.muted:
        deed.draft.add_event("mute", party=me)
        watchers = tuple(p for p in ticket.watchers if p != me)
        deed.draft.change(TicketChange(watchers=watchers, muted=(*ticket.muted, me)))
    deed.draft.explain(f"{deed.person.agent} gets no more of it")
    return "mute"
