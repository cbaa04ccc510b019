"""Side conversations: an agent writes to somebody else about a ticket, beside its customer (decision 0010).

Whom ``#ask`` named is a *third party* of the ticket and never a participant: what that one writes is seen by staff
only, and what the customer and staff wrote never goes there. A reply goes where the mail it answers came from, so
every line of a side conversation carries its party (``data["side"]``), and our mail about it a reply address of kind s.
"""

from __future__ import annotations

import re

from gateway.address import fold_address
from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.deed import Problem, trouble
from gateway.desk.deeds_people import check_address
from gateway.desk.draft import Draft
from gateway.model import Command, EventFact, HeldFact, Person, State, TicketChange, TicketFacts

NOBODY = -1
"""The reader of a text to somebody who has read nothing of the ticket so far."""
_LINKED = re.compile(r"\s*<mailto:[^<>\s]*>", re.IGNORECASE)
"""What Outlook writes behind an address when it turns a formatted text into a plain one."""
_ABOUT = frozenset(
    {"third-notice", "asked-notice", "held-notice", "unproven", "undelivered", "undelivered-session", "expired"}
    | {"relayed"}
)
"""Kinds of lines that are mail about another line: an answer to them is about that one."""


def side_of(ticket: TicketFacts | None, number: int) -> int:
    """The third party in whose side conversation this line of the history stands; 0 for the customer's."""
    lines = {event.number: event for event in ticket.events} if ticket else {}
    for _ in range(6):
        line = lines.get(number)
        if line is None:
            return 0
        if line.data.get("side"):
            return int(line.data["side"])
        if line.kind not in _ABOUT:
            return 0
        number = line.answers
    return 0


def find_third(ticket: TicketFacts | None, party: int) -> Person | None:
    return next((p for p in (ticket.thirds if ticket else ()) if p.party == party), None)


def asked_address(command: Command) -> str:
    """The address in ``#ask parts@supplier.test Pump P-12``."""
    return _LINKED.sub("", command.argument).strip().partition(" ")[0].rstrip(",:;")


def asked_subject(command: Command) -> str:
    """The rest of it; "" when nothing follows the address."""
    return _LINKED.sub("", command.argument).strip().partition(" ")[2].strip()


def find_ask(case: Case) -> Command | None:
    """The ``#ask`` of a mail, understood or held with another mistake."""
    orders = case.orders
    return next((c for c in (*orders.commands, *orders.others) if c.verb == "ask"), None)


def held_ask(held: HeldFact | None) -> Command | None:
    """The ``#ask`` in a held mail."""
    asked = (Command(verb, argument) for verb, argument in (held.commands if held else ()) if verb == "ask")
    return next(asked, None)


def held_at(case: Case) -> HeldFact | None:
    """The held mail that the deciding clue names."""
    return next((h for h in (case.ticket.held if case.ticket else ()) if h.event == case.match.event), None)


def find_asked(case: Case) -> Command | None:
    """What an agent's mail asks somebody outside: itself, or the held mail it is about."""
    told = case.mail.instruction.to if case.mail.instruction is not None else ""
    return Command("ask", told) if told else find_ask(case) or held_ask(held_at(case))


def find_reader(case: Case) -> int:
    """For whom an agent's text is: 0 the customer, a third party, or NOBODY we know yet (mail.md 12.1 for each)."""
    agents = case.verdict.role == "agent" or case.agent is not None or bool(case.token_agent)
    if not agents and case.mail.instruction is None:
        return 0
    asked = find_asked(case)
    if asked is not None:
        address = fold_address(asked_address(asked))
        third = next((p for p in (case.ticket.thirds if case.ticket else ()) if p.address == address), None)
        return third.party if third else NOBODY
    sent = any(c.verb == "send" for c in (*case.orders.commands, *case.orders.others))
    if sent and held_at(case) is None:
        return 0  # "#send": this text goes to the customer (mail.md 14)
    return side_of(case.ticket, case.match.event) or (NOBODY if case.match.kind == "s" else 0)


def find_addressee(case: Case) -> Person | None:
    """The third party that gets the text; None: the customer does, if anybody."""
    asked = find_asked(case)
    if asked is not None:
        return case.facts.named.get(fold_address(asked_address(asked)))
    return find_third(case.ticket, find_reader(case))


def check_reader(case: Case) -> Problem | None:
    """A side conversation that was ended, or that went elsewhere, is answered to nobody: never to the customer."""
    reader = find_reader(case)
    if not reader or find_asked(case) is not None or find_third(case.ticket, reader) is not None:
        return None
    sides = (e.data for e in (case.ticket.events if case.ticket else ()) if e.data.get("side") == str(reader))
    address = next((data["address"] for data in sides if data.get("address")), "")
    return Problem("side-gone", {"verb": "ask", "value": address or "ADDRESS"})


# ------------------------------------------------------------------ #ask


def check_ask(case: Case, command: Command) -> Problem | None:
    """One address outside that has no part in the conversation, and words for it."""
    person = Command(command.verb, asked_address(command))
    problem = check_address(case, person)
    if problem is not None:
        return problem
    address = fold_address(person.argument)
    if any(fold_address(p.address) == address for p in (case.ticket.participants if case.ticket else ())):
        return trouble("ask-participant", person)
    if sum(c.verb == "ask" for c in case.orders.commands) > 1:
        return trouble("ask-one", person)
    written = case.orders.text.strip() and not case.orders.bare
    return None if written or held_at(case) is not None else trouble("ask-text", person)


def ask(draft: Draft, case: Case, text: str, person: Person, third: Person) -> None:
    """The agent's words to a third party. The ticket stays what it is: its customer still waits."""
    ticket, asked = case.ticket, find_asked(case)
    assert ticket is not None
    subject = asked_subject(asked) if asked else ""
    side = str(third.party)
    last = next((e for e in reversed(ticket.events) if e.kind == "third" and e.data.get("side") == side), None)
    number = draft.add_mail(
        "asked",
        party=person.party,
        public=False,
        text=text,
        answers=case.match.event,
        data={"side": side, "address": third.address, **({"subject": subject} if subject else {})},
    )
    draft.notify(
        "ask",
        [third],
        about=number,
        author=person,
        text=text,
        html=case.own.html if case.mail.instruction is None else "",
        attachments=case.outgoing_files,
        quote=last.number if last else 0,
    )
    draft.explain(f"words of {person.agent or person.address} sent to the third party {third.address}")
    _tell_desk(draft, case, number, person)
    draft.clear_timers("unclaimed", "unanswered")  # somebody is on it: the clock starts again, as with #ack


def _tell_desk(draft: Draft, case: Case, number: int, person: Person) -> None:
    ticket = case.ticket
    assert ticket is not None
    owner = assignment.owner_of(case, ticket)
    if owner is None and draft.changed.owner is None:
        state = State.OPEN if ticket.state is State.NEW else None
        draft.change(TicketChange(owner=person.party, state=state))
    told = [p for p in ([owner] if owner else []) if p.party != person.party]
    draft.notify("asked", [*told, *assignment.watchers(case, person, owner)], about=number, author=person)


def find_rival(case: Case, person: Person, third: Person, seen: int) -> EventFact | None:
    """A colleague's words to the same third party that are newer than what this mail answers."""
    events = case.ticket.events if case.ticket else ()
    rivals = (e for e in events if e.kind == "asked" and e.data.get("side") == str(third.party) and e.number > seen)
    return next((e for e in rivals if e.party != person.party), None)
