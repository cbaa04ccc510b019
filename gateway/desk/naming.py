"""What the commands of an agent's mail name: people, tickets. The store looks it up before the plan is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.address import fold_address
from gateway.desk import beginning, sides
from gateway.desk.answering import find_trouble
from gateway.desk.case import Case
from gateway.desk.deeds_merge import mail_to_split, read_numbers
from gateway.desk.deeds_people import check_address, check_cc
from gateway.desk.deeds_ticket import sender_to_block
from gateway.desk.direct import find_begun
from gateway.desk.sides import asked_address
from gateway.desk.undoing import tickets_to_undo
from gateway.model import Command, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What to look up."""

    addresses: tuple[str, ...] = ()  # of people who may become participants: made when new
    tickets: tuple[int, ...] = ()
    blocked: tuple[str, ...] = ()  # addresses that may be on the block list
    unsent: bool = False  # whether answers of this ticket still wait


def find_named(case: Case) -> Named:
    """What the mail's commands name; nothing unless the author may command (mail.md 9.2)."""
    if beginning.begins_ticket(case):
        order = beginning.find_order(case.orders)
        people = (asked_address(order), *beginning.copied(case)) if order else ()
        return Named(blocked=tuple(fold_address(address) for address in people))
    commands = tuple(_commands(case))
    asked = _find_asked(case)
    if not commands:
        return Named(addresses=asked or tuple(mailbox.address for mailbox in find_begun(case)[1:]))
    addresses = (c.argument.strip() for c in commands if c.verb in ("cc", "from") and check_cc(case, c) is None)
    numbers = tuple(n for c in commands if c.verb == "merge" for n in read_numbers(c.argument))
    return Named(
        addresses=(*addresses, *asked),
        tickets=numbers,
        blocked=_blocked(case) if any(c.verb in ("block", "notspam") for c in commands) else (),
        unsent=any(c.verb == "undo" for c in commands),
    )


def _blocked(case: Case) -> tuple[str, ...]:
    sender = sender_to_block(case)
    return (sender,) if sender else ()


def _find_asked(case: Case) -> tuple[str, ...]:
    """Whom the mail's text is for, when that is somebody beside the conversation (#ask), also once it is let go."""
    released = case.mail.instruction is not None and case.mail.instruction.act == "send"
    asked = sides.find_asked(case)
    if asked is None or case.ticket is None or not (released or tuple(_commands(case)) or case.own_token):
        return ()
    address = asked_address(asked)
    return (address,) if check_address(case, Command("ask", address)) is None else ()


def find_undone(case: Case) -> tuple[int, ...]:
    """The other tickets an ``#undo`` touches, once it is known what still waits."""
    return tickets_to_undo(case) if any(c.verb == "undo" for c in _commands(case)) else ()


def find_split(case: Case) -> Person | None:
    """The customer of the ticket that ``#split`` opens; None when it will open none.

    Asked after everything else is known: a number is given out only for a ticket that comes to be.
    """
    if not any(c.verb == "split" for c in case.orders.commands) or not tuple(_commands(case)):
        return None
    mail = mail_to_split(case)
    if mail is None or case.ticket is None or find_trouble(case) is not None:
        return None
    people = (*case.ticket.participants, *((case.ticket.customer,) if case.ticket.customer else ()))
    return next((p for p in people if p.party == mail.party), case.ticket.customer)


def _commands(case: Case) -> Iterator[Command]:
    if case.verdict.role != "agent" or case.ticket is None or not case.own_token:
        return
    yield from case.orders.commands
    held = next((h for h in case.ticket.held if h.event == case.match.event), None)
    if case.match.kind in ("h", "x") and held is not None:
        yield from (Command(verb, argument) for verb, argument in held.commands)


def with_people(case: Case, people: dict[str, Person]) -> Case:
    """The case with the people its commands name."""
    return replace(case, facts=replace(case.facts, named={fold_address(a): p for a, p in people.items()}))
