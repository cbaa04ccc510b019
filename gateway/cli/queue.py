"""ticketgate queue: outgoing mail."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway.cli.exits import NOUSER, OK
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import print_table, when
from gateway.clockwork import start_rounds
from gateway.safekeeping.outside import read_sent, state_folder
from gateway.settings import Settings
from gateway.store import deliveries
from gateway.store.gate import held_since
from gateway.store.recovery import release_outbox


def run(command: str, arguments: Sequence[str]) -> int:
    """List what is not delivered yet, show one mail as frozen, hold, release, try now, or drop with a reason."""
    parser = argparse.ArgumentParser(prog="ticketgate queue", description=__doc__)
    add_config(parser)
    parser.add_argument("deed", nargs="?", default="list", choices=["list", "show", "retry", "hold", "release", "drop"])
    parser.add_argument(
        "number", nargs="?", type=int, help="first column of the list; left out: all (retry, hold, release)"
    )
    parser.add_argument("--reason", default="", help="drop: why, for the history")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.deed == "drop" and (options.number is None or not options.reason):
        parser.error("ticketgate queue drop NUMBER --reason WHY")
    settings = read_settings(options, secrets=False)
    now = datetime.now(UTC)
    with opened(settings) as tx:
        if options.deed == "list":
            _list(tx, as_json=options.json)
            since = held_since(tx)
            if since is not None:
                print(
                    f"held as a whole: the database was put back to {when(since)}. Nothing leaves until you say\n"
                    "  ticketgate queue release",
                    file=sys.stderr,
                )
            return OK
        if options.deed == "show":
            entry = deliveries.find(tx, options.number or 0)
            if entry is None:
                print(f"ticketgate: there is no mail {options.number} in the outbox", file=sys.stderr)
                return NOUSER
            sys.stdout.buffer.write(entry.delivery.mail.content)
            return OK
        if options.deed == "drop":
            count = int(deliveries.drop(tx, options.number, options.reason, now))
        elif options.deed == "hold":
            count = deliveries.hold(tx, options.number)
        elif options.deed == "release":
            if options.number is None:
                _open_gate(tx, settings, now)
            count = deliveries.release(tx, now, options.number)
        else:
            count = deliveries.flush(tx, now, options.number)
    print(f"{count} mail{'' if count == 1 else 's'}")
    return OK if count or options.number is None else NOUSER


def _open_gate(tx: Connection, settings: Settings, now: datetime) -> None:
    """After a restore: let mail leave again, but not what is known to have left before."""
    released = release_outbox(tx, read_sent(state_folder(settings)), now)
    if released is None:
        return
    start_rounds(tx, settings, now)
    print("the outbox is open again")
    if released.sent_before:
        print(f"{released.sent_before} waiting mails had left before the restore and are not sent again")
    if released.moved:
        print(f"{released.moved} reminders that fell due meanwhile come later, by the time that is missing")
    if released.rounds:
        print(f"{released.rounds} digests and reports that were due are left out")


def _list(tx: Connection, *, as_json: bool) -> None:
    rows = [
        {
            "mail": entry.delivery.id,
            "state": str(entry.state),
            "to": entry.delivery.mail.recipient,
            "kind": entry.delivery.mail.kind,
            "ticket": entry.delivery.mail.ticket,
            "due": when(entry.due_at),
            "reply": entry.reply,
        }
        for entry in deliveries.list_outbox(tx)
    ]
    print_table(rows, ["mail", "state", "to", "kind", "ticket", "due", "reply"], stretch="reply", as_json=as_json)
