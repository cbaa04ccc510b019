"""ticketgate tickets, ticketgate show: what the desk has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from gateway.cli.exits import NOUSER, OK
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import harmless, print_table, to_json, when
from gateway.model import EventFact, Person, TicketFacts
from gateway.store import journal, raw_mail, tickets
from gateway.store.people import find_persons
from gateway.store.undelivered import Undelivered, list_of_ticket


def run(command: str, arguments: Sequence[str]) -> int:
    """List tickets, or show one."""
    return _list(arguments) if command == "tickets" else _show(arguments)


def _list(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ticketgate tickets", description="List tickets, newest last.")
    add_config(parser)
    parser.add_argument("--state", help="new, open, waiting, snoozed, closed, spam; default: all but closed and spam")
    parser.add_argument("--all", action="store_true", help="closed ones and spam too")
    parser.add_argument("--owner", help="handle of an agent, or none")
    parser.add_argument("--inbox")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    with opened(settings) as tx:
        found = tickets.list_tickets(tx, state=options.state, owner=_party(tx, options.owner), inbox=options.inbox)
    rows = [
        {
            "ticket": ticket.number,
            "state": str(ticket.state),
            "owner": (ticket.owner.agent or ticket.owner.address) if ticket.owner else "",
            "customer": ticket.customer.address if ticket.customer else "",
            "subject": ticket.title or ticket.subject or "(no subject)",
            "opened": when(ticket.created_at),
            "inbox": ticket.inbox,
        }
        for ticket in sorted(found, key=lambda ticket: ticket.number)
        if options.all or options.state or str(ticket.state) not in ("closed", "spam")
    ]
    columns = ["ticket", "state", "owner", "customer", "subject", "opened"]
    print_table(rows, columns, stretch="subject", as_json=options.json)
    return OK


def _party(tx: Connection, owner: str | None) -> int | None:
    """The party of an agent's handle, 0 for "none", -1 for a handle nobody has: that lists nothing."""
    if owner is None or owner == "none":
        return None if owner is None else 0
    return next((person.party for person in find_persons(tx, agents=True) if person.agent == owner), -1)


def _show(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ticketgate show", description="Show one ticket, or a mail as it arrived.")
    add_config(parser)
    parser.add_argument("number", type=int, metavar="TICKET")
    parser.add_argument("--raw", type=int, metavar="EVENT", help="the mail of this event, exactly as received")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    with opened(settings) as tx:
        ticket = tickets.load_ticket(tx, options.number)
        parties = {event.party for event in ticket.events} if ticket else set()
        people = {person.party: person for person in find_persons(tx, parties=parties)}
        undelivered = list_of_ticket(tx, options.number)
        if ticket is None:
            print(f"ticketgate: there is no ticket {options.number}", file=sys.stderr)
            return NOUSER
        if options.raw:
            rows = journal.find(tx, ticket=options.number, event=options.raw)
            raw = raw_mail.load(tx, rows[0].sha256) if rows else None
            if raw is None and rows:
                print("ticketgate: the bytes of that mail were removed, by retention or an erasure", file=sys.stderr)
                return NOUSER
            if raw is None:
                print(f"ticketgate: event {options.raw} of ticket {options.number} is not a mail", file=sys.stderr)
                return NOUSER
            sys.stdout.buffer.write(raw)
            return OK
    if options.json:
        print(to_json({**msgspec.to_builtins(ticket), "undelivered": msgspec.to_builtins(undelivered)}))
    else:
        _print(ticket, people, undelivered)
    return OK


def _print(ticket: TicketFacts, people: Mapping[int, Person], undelivered: Sequence[Undelivered]) -> None:
    owner = (ticket.owner.agent or ticket.owner.address) if ticket.owner else "nobody"
    print(harmless(f"#{ticket.number}  {ticket.subject or '(no subject)'}"))
    print(f"state {ticket.state}   owner {owner}   inbox {ticket.inbox}   opened {when(ticket.created_at)}")
    parties = ", ".join(f"{p.name} <{p.address}>" if p.name else p.address for p in ticket.participants)
    print(harmless(f"with  {parties}"))
    for event in ticket.events:
        _print_event(event, people.get(event.party))
        for mail in undelivered:
            if mail.event == event.number:
                _print_undelivered(mail)
    for held in ticket.held:
        if not held.resolution:
            print(f"\nheld  event {held.event} waits for a decision: {held.reason}")


def _absence(event: EventFact) -> str:
    return f"away until {event.data['away']}" if event.data.get("away") else ""


def _print_undelivered(mail: Undelivered) -> None:
    """What stands in the history as a line was meant for somebody who does not have it."""
    became = {"failed": "NOT DELIVERED", "unknown": "PERHAPS NOT DELIVERED"}.get(
        mail.state, f"not sent yet, {mail.state}"
    )
    print(harmless(f"      ! {became}: mail {mail.id} to {mail.recipient}  {' '.join(mail.reply.split())}".rstrip()))


def _print_event(event: EventFact, person: Person | None) -> None:
    who = (person.agent or person.address) if person else (f"party {event.party}" if event.party else "")
    marks = "  ".join(m for m in (who, _absence(event), event.reason, "public" if event.public else "") if m)
    print(harmless(f"\n{event.number:>4}  {when(event.at)}  {event.kind}  {marks}".rstrip()))
    for line in harmless(event.text).rstrip("\n").split("\n") if event.text.strip() else ():
        print(f"      | {line}")
    for name in event.attachments:
        print(harmless(f"      [{name}]"))
