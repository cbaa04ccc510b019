"""What carrying out one command works with, and why it may be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.address import first_name
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.model import Command, HeldFact, Person, TicketFacts


@dataclass(frozen=True, slots=True)
class Problem:
    """Why orders cannot be carried out: the reason of the hold and facts for the words (``held_REASON``)."""

    reason: str
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deed:
    """One command being carried out."""

    draft: Draft
    case: Case
    person: Person
    command: Command

    @property
    def ticket(self) -> TicketFacts:
        assert self.case.ticket is not None
        return self.case.ticket

    @property
    def argument(self) -> str:
        return self.command.argument.strip()


Check = Callable[[Case, Command], "Problem | None"]
"""Says before anything is done why a command cannot be; None when it can."""

Act = Callable[[Deed], str]
"""Does a command; returns "word value" for the confirmation (``done_WORD``), "" when it said all itself."""


def trouble(reason: str, command: Command, value: str = "", names: str = "") -> Problem:
    """A problem with a command: its verb, what was written, what there is instead."""
    return Problem(reason, {"verb": command.verb, "value": value or command.argument.strip(), "names": names})


def apart(deed: Deed) -> Draft:
    """The draft for a mail about no ticket: a list must not look like mail of the ticket whose thread asked for it.

    An answer to it would else reach that ticket's customer where addresses carry no tokens. Close it with
    :func:`add_apart`.
    """
    case = deed.case
    if case.ticket is None:
        return deed.draft
    place = next((n for n, command in enumerate(case.orders.commands) if command is deed.command), 0)
    return Draft(replace(case, ticket=None, list_number=case.list_number + place), reason=deed.command.verb)


def add_apart(deed: Deed, draft: Draft) -> None:
    """Add what :func:`apart` gave to the plan."""
    if draft is not deed.draft:
        deed.draft.beside(draft.plan("command"))


def called(person: Person) -> str:
    """How a colleague is named in one word."""
    return first_name(person.name) or person.agent or person.address


def held_behind(case: Case) -> HeldFact | None:
    """The undecided held mail that the answered notice was about."""
    ticket = case.ticket
    if ticket is None or not case.match.event:
        return None
    notice = next((e for e in ticket.events if e.number == case.match.event), None)
    wanted = {case.match.event, notice.answers if notice else 0}
    return next((h for h in ticket.held if h.event in wanted and not h.resolution), None)
