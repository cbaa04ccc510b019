"""ticketgate person, ticketgate retention: what is known about somebody, and forgetting."""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from gateway.cli.exits import FAILURES, NOUSER, OK
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import harmless, to_json
from gateway.safekeeping.outside import write_file
from gateway.settings import Settings
from gateway.store import deliveries, journal, raw_mail, tickets
from gateway.store.database import Database
from gateway.store.forgetting import (
    Known,
    NotErasableError,
    compact,
    count_retention,
    erase_person,
    find_known,
    run_retention,
)


def run(command: str, arguments: Sequence[str]) -> int:
    """Exit 67 for somebody who is not known here."""
    return _person(arguments) if command == "person" else _retention(arguments)


def _person(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate person",
        description="Say what is known about an address, hand it out, or erase it for good. Counts stay.",
        epilog="Erasing does not reach backups, the log, mailboxes, or mail that people were sent.",
    )
    add_config(parser)
    parser.add_argument("deed", choices=["show", "export", "erase"])
    parser.add_argument("address", metavar="ADDRESS")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.zip", help="export: where to")
    parser.add_argument("--yes", action="store_true", help="erase without asking")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.deed == "export" and options.file is None:
        parser.error("where to? ticketgate person export ADDRESS FILE.zip")
    settings = read_settings(options, secrets=False)
    with opened(settings) as tx:
        known = find_known(tx, options.address)
        if known is None:
            print(f"ticketgate: nothing here names {options.address}", file=sys.stderr)
            return NOUSER
        if options.deed == "export":
            write_file(options.file, _pack(tx, known))
    if options.deed == "show" and options.json:
        print(to_json(msgspec.to_builtins(known)))
        return OK
    if options.deed != "export":
        _show(known)
    if options.deed == "erase":
        return _erase(settings, known, sure=options.yes)
    if options.deed == "export":
        print(f"{options.file}: {len(known.mails)} mails from and {len(known.sent)} to {known.address}")
    return OK


def _show(known: Known) -> None:
    who = f"{known.name} <{known.address}>" if known.name else known.address
    print(harmless(who) + (f", agent {known.agent}" if known.agent else ""))
    for what, numbers in (("customer of", known.customer_of), ("took part in", known.took_part_in)):
        if numbers:
            print(f"  {what} ticket {', '.join(map(str, numbers))}")
    if known.refused:
        print(harmless(f"  automatic mail is not sent there any more (ticketgate queue lift): {known.refused}"))
    print(f"  {len(known.mails)} mails from them, {len(known.sent)} mails to them")


def _pack(tx: Connection, known: Known) -> bytes:
    """Their mails as they came, ours as they left, and what was public in their tickets."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for row_id in known.mails:
            (row,) = journal.find(tx, row_id=row_id)
            content = raw_mail.load(tx, row.sha256)
            if content is not None:
                archive.writestr(f"received/{row_id}.eml", content)
        for number in known.sent:
            entry = deliveries.find(tx, number)
            if entry is not None and entry.delivery.mail.content:
                archive.writestr(f"sent/{number}.eml", entry.delivery.mail.content)
        archive.writestr("person.json", to_json(msgspec.to_builtins(known)))
        for number in known.customer_of:
            ticket = tickets.load_ticket(tx, number)
            if ticket is not None:
                lines = [msgspec.to_builtins(event) for event in ticket.events if event.public]
                told = {"ticket": number, "subject": ticket.subject, "state": ticket.state, "events": lines}
                archive.writestr(f"tickets/{number}.json", to_json(told))
    return packed.getvalue()


def _erase(settings: Settings, known: Known, *, sure: bool) -> int:
    if not sure:
        print(f"Erase {known.address} for good? Type the address: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != known.address:
            print("nothing was erased", file=sys.stderr)
            return FAILURES
    try:
        with opened(settings) as tx:
            counts = erase_person(tx, known.address, datetime.now(UTC))
    except NotErasableError as error:
        print(f"ticketgate: {error}", file=sys.stderr)
        return FAILURES
    _write_anew(settings)
    print(f"erased: {_counted(counts)}")
    print("Not reached: backups made before, the log, mailboxes on servers, and what was sent to people.")
    if settings.storage.url.startswith("postgres"):
        print("PostgreSQL keeps old pages until they are used again, and its own log: VACUUM FULL is up to you.")
    return OK


def _retention(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate retention", description="Erase what [retention] calls old enough, as the gateway does daily."
    )
    add_config(parser)
    parser.add_argument("deed", choices=["run"])
    parser.add_argument("--dry-run", action="store_true", help="only say how much it would be")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    now = datetime.now(UTC)
    if options.dry_run:
        with opened(settings) as tx:
            print(f"would erase: {_counted(count_retention(tx, settings.retention, now))}")
        return OK
    total: dict[str, int] = {}
    while True:
        with opened(settings) as tx:
            portion = run_retention(tx, settings.retention, now)
        if not portion:
            break
        total = {what: total.get(what, 0) + portion.get(what, 0) for what in {*total, *portion}}
    if total:
        _write_anew(settings)
    print(f"erased: {_counted(total)}")
    return OK


def _write_anew(settings: Settings) -> None:
    database = Database(settings.storage.url)
    try:
        compact(database)
    finally:
        database.close()


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if number) or "nothing"
