"""Carrying out an agent's commands on a ticket: each verb one function (mail.md 14).

The grammar (commands.py) says what was written; here stands what it does. A verb that is not available yet is refused
with a clear answer, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.address import first_name
from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.model import Command, EventFact, HeldFact, Instruction, Person, State, TicketChange


@dataclass(frozen=True, slots=True)
class Problem:
    """Why orders cannot be carried out: the reason of the hold and facts for the words."""

    reason: str
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deed:
    """One command being carried out."""

    draft: Draft
    case: Case
    person: Person
    command: Command


_TEXT_VERBS = frozenset({"note", "send"})
"""What these do happens to the text (answering.py)."""

_STATES = {
    "solved": "close",
    "closed": "close",
    "resolved": "close",
    "done": "close",
    "pending": "wait",
    "waiting": "wait",
    "open": "open",
    "reopen": "open",
    "new": "open",
}


def check_orders(case: Case) -> Problem | None:
    """The first command that cannot be carried out, before anything is done; None when all can."""
    for command in case.orders.commands:
        if command.verb not in DEEDS and command.verb not in _TEXT_VERBS:
            return Problem("not-available", {"verb": command.verb})
        agent = case.agent
        if agent is not None and agent.role == "observer" and command.verb not in ("note", "help"):
            return Problem("not-allowed", {"verb": command.verb, "value": "agent"})
        if command.verb == "assign":
            found = assignment.find_agents(case, command.argument)
            if len(found) != 1:
                names = ", ".join(a.handle for a in found or case.settings.agents.values())
                return Problem("who", {"verb": "assign", "value": command.argument, "names": names})
    return None


def carry_out(draft: Draft, case: Case, person: Person, *, quiet: bool) -> None:
    """Do every command in order; unless ``quiet``, confirm them in one short mail to the agent."""
    results = []
    for command in case.orders.commands:
        deed = DEEDS.get(command.verb)
        if deed is not None:
            results.append(deed(Deed(draft, case, person, command)))
    done = [words for words in results if words]
    if quiet or not done:
        return
    draft.notify(
        "command",
        [person],
        in_reply_to=case.findings.message.message_id,
        about=case.match.event,
        data={"verb": case.orders.commands[0].verb, "done": "\n".join(done)},
    )


# ------------------------------------------------------------------ the verbs


def _claim(deed: Deed) -> str:
    _own(deed, deed.person, "claim")
    return f"claim {_first(deed.person)}"


def _release(deed: Deed) -> str:
    deed.draft.add_event("release", party=deed.person.party)
    deed.draft.change(TicketChange(owner=0))
    return "release"


def _assign(deed: Deed) -> str:
    (agent,) = assignment.find_agents(deed.case, deed.command.argument)
    person = deed.case.facts.agents[agent.handle]
    _own(deed, person, "assign")
    ticket = deed.case.ticket
    assert ticket is not None
    last = next((e for e in reversed(ticket.events) if e.kind in ("mail", "note", "answer")), None)
    if person.party != deed.person.party:
        deed.draft.notify("assigned", [person], about=last.number if last else 0, author=deed.person)
    return f"assign {_first(person)}"


def _own(deed: Deed, person: Person, kind: str) -> None:
    ticket = deed.case.ticket
    assert ticket is not None
    former = assignment.owner_of(deed.case, ticket)
    number = deed.draft.add_event(kind, party=deed.person.party, data={"owner": str(person.party)})
    deed.draft.change(TicketChange(owner=person.party))
    if deed.draft.changed.state is None and ticket.state is State.NEW:
        deed.draft.change(TicketChange(state=State.OPEN))
    if former is not None and former.party not in (person.party, deed.person.party):
        deed.draft.notify("answered", [former], about=number, author=deed.person, reason=kind)
    deed.draft.clear_timers("unclaimed")
    deed.draft.explain(f"{kind}: {person.agent} owns the ticket")


def _close(deed: Deed) -> str:
    ticket = deed.case.ticket
    assert ticket is not None
    if ticket.state is not State.CLOSED:
        deed.draft.add_event("close", party=deed.person.party)
        owner = deed.person.party if ticket.owner is None and deed.draft.changed.owner is None else None
        deed.draft.change(TicketChange(state=State.CLOSED, owner=owner))
        deed.draft.clear_timers("unclaimed", "unanswered", "waiting", "snooze", "followup")
        deed.draft.explain("closed")
    return "close"


def _open(deed: Deed) -> str:
    held = _held_behind(deed.case)
    if held is not None:
        deed.draft.resolve(held.event, "admitted")
        deed.draft.release(
            held.journal, Instruction(act="admit", by=deed.person.party, ticket=held.ticket, event=held.event)
        )
        deed.draft.explain(f"held event {held.event} admitted by {deed.person.agent}")
        return "admit"
    deed.draft.add_event("open", party=deed.person.party)
    deed.draft.change(TicketChange(state=State.OPEN))
    return "open"


def _discard(deed: Deed) -> str:
    held = _held_behind(deed.case)
    if held is None:
        return "nothing"
    deed.draft.resolve(held.event, "discarded")
    deed.draft.explain(f"held event {held.event} discarded by {deed.person.agent}")
    return "discard"


def _wait(deed: Deed) -> str:
    deed.draft.add_event("wait", party=deed.person.party)
    deed.draft.change(TicketChange(state=State.WAITING))
    return "wait"


def _status(deed: Deed) -> str:
    verb = _STATES[deed.command.argument.strip().lower()]
    return DEEDS[verb](deed)


def _ack(deed: Deed) -> str:
    deed.draft.add_event("ack-reminder", party=deed.person.party)
    deed.draft.clear_timers("unanswered", "unclaimed")
    return "ack"


def _help(deed: Deed) -> str:
    deed.draft.notify(
        "help",
        [deed.person],
        about=deed.case.match.event,
        in_reply_to=deed.case.findings.message.message_id,
        data={"topic": deed.command.argument.lower(), "subject": deed.case.findings.message.subject},
    )
    return ""


def _first(person: Person) -> str:
    return first_name(person.name) or person.agent or person.address


def _held_behind(case: Case) -> HeldFact | None:
    """The undecided held mail that the answered notice was about."""
    ticket = case.ticket
    if ticket is None:
        return None
    notice: EventFact | None = next((e for e in ticket.events if e.number == case.match.event), None)
    wanted = {case.match.event, notice.answers if notice else 0}
    return next((h for h in ticket.held if h.event in wanted and not h.resolution), None)


DEEDS: dict[str, Callable[[Deed], str]] = {
    "claim": _claim,
    "release": _release,
    "assign": _assign,
    "close": _close,
    "open": _open,
    "wait": _wait,
    "status": _status,
    "ack": _ack,
    "discard": _discard,
    "help": _help,
}
"""Verb -> what it does; returns "word value" for the confirmation, "" when it said all itself."""
