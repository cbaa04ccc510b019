"""Who is offered a new ticket, and to whom it goes when it is not taken (mail.md 15).

``offer.mode = "all"`` asks everybody, "rotate" one agent at a time, "digest" and "none" nobody. Whoever last answered
the customer is asked first, alone, unless away. Each offer to one agent has a row with a due time, ``offer``; who was
asked and who let it pass are lines of the history, from which the next one is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from gateway.desk import assignment
from gateway.desk.calendar import add_business
from gateway.desk.case import Case
from gateway.desk.choices import delayed_until
from gateway.desk.draft import Draft
from gateway.model import Attachment, Person, Plan, State, Timer

_SILENT = ("digest", "none")


def offer(
    draft: Draft,
    case: Case,
    about: int,
    author: Person | None,
    *,
    attachments: tuple[Attachment, ...] = (),
    data: Mapping[str, str] | None = None,
    but: int = 0,
    text: str = "",
) -> tuple[Person, ...]:
    """Offer a new ticket as its inbox wants it, to everybody but one party; returns who is told.

    ``text`` is an internal note that is shown above the mail.
    """
    told = tuple(p for p in assignment.offered(case) if p.party != but)
    one = _first(case, told)
    if one is not None:
        told = (one,)
    draft.notify("offer", told, about=about, author=author, attachments=attachments, data=data, text=text)
    if one is not None:
        _wait_for(draft, case, one, about)
    draft.explain("offered to " + (", ".join(p.agent for p in told) or "nobody"))
    return told


def plan_offer_over(case: Case, timer: Timer) -> Plan:
    """One agent was asked and did not take it: the next one is, or all the others, or at last the lead."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    if ticket.owner is not None or ticket.merged_into or ticket.state not in (State.NEW, State.OPEN):
        draft.explain("taken before")
        return draft.plan("clock")
    about = next((e.number for e in reversed(ticket.events) if e.kind == "mail" and e.public), 0)
    draft.add_event("passed", party=timer.party, answers=about)
    moved = max((e.number for e in ticket.events if e.kind == "move"), default=0)  # another inbox asks anew
    asked = {e.party for e in ticket.events if e.kind == "offered" and e.number > moved}
    rest = [p for p in assignment.offered(case) if p.party not in asked]
    present = _by_load(case, rest)
    if case.ticket_inbox.offer.mode != "rotate":
        told = list(rest)
    elif present:
        told = [present[0]]
        _wait_for(draft, case, present[0], about)
    else:
        told = list(assignment.leads(case))
        for lead in told:
            draft.add_event("offered", party=lead.party, answers=about, reason="lead")
    draft.notify("offer", told, about=about, author=ticket.customer)
    draft.explain("not taken; offered to " + (", ".join(p.agent for p in told) or "nobody"))
    return draft.plan("clock")


def _first(case: Case, pool: tuple[Person, ...]) -> Person | None:
    """The one agent who is asked before the others; None: all are asked at once."""
    if case.ticket_inbox.offer.mode in _SILENT or len(pool) < 2:
        return None
    present = _by_load(case, pool)
    known = next((p for p in present if p.party == case.facts.answered_by), None)
    if known is not None:
        return known
    return present[0] if present and case.ticket_inbox.offer.mode == "rotate" else None


def _by_load(case: Case, people: list[Person] | tuple[Person, ...]) -> list[Person]:
    """Who is there now, not away, in quiet hours or at ``offer.cap``; who has least to do first, else as configured."""
    cap, loads = case.ticket_inbox.offer.cap, case.facts.loads

    def is_there(person: Person) -> bool:
        agent = case.settings.agents.get(person.agent)
        quiet = delayed_until("offer", agent, case.settings, case.now) is not None
        full = 0 < cap <= loads.get(person.party, 0)
        return person.agent not in case.facts.away and not quiet and not full

    return sorted(filter(is_there, people), key=lambda person: loads.get(person.party, 0))


def _wait_for(draft: Draft, case: Case, person: Person, about: int) -> None:
    draft.add_event("offered", party=person.party, answers=about)
    inbox = case.ticket_inbox
    span = max(inbox.offer.rotate_after, timedelta(minutes=1))
    at = add_business(inbox.hours, case.settings.ticketgate.timezone, case.now, span)
    draft.set_timer("offer", at, party=person.party)
