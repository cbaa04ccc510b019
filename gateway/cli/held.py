"""ticketgate held: mail that waits for a person."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway.cli.exits import NOUSER, OK
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import print_table, when
from gateway.desk.holding import released_as
from gateway.maillog import show
from gateway.store import journal, raw_mail, tickets

_QUARANTINE = ("loop", "flood", "blocked", "bad-tokens")


def run(command: str, arguments: Sequence[str]) -> int:
    """List held mail with its reason, show one as it arrived, let it go on, discard it, or block its sender, too."""
    parser = argparse.ArgumentParser(prog="ticketgate held", description=__doc__)
    add_config(parser)
    parser.add_argument("deed", nargs="?", default="list", choices=["list", "show", "release", "discard", "block"])
    parser.add_argument("row", nargs="?", type=int, help="the number in the first column of the list")
    parser.add_argument("--class", dest="kind", choices=["all", "held", "quarantine"], default="all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.deed != "list" and options.row is None:
        parser.error(f"which one? ticketgate held {options.deed} NUMBER")
    settings = read_settings(options, secrets=False)
    with opened(settings) as tx:
        if options.deed == "list":
            _list(tx, options)
            return OK
        rows = [r for r in journal.find(tx, row_id=options.row) if str(r.state) == "held"]
        if not rows:
            print(f"ticketgate: row {options.row} is not held", file=sys.stderr)
            return NOUSER
        row = rows[0]
        if options.deed == "show":
            sys.stdout.buffer.write(raw_mail.load(tx, row.sha256) or b"")
        elif options.deed == "release":
            instruction = released_as(row.reason, row.ticket, row.event, 0)
            journal.release(tx, row.id, datetime.now(UTC), instruction)
            done = "sent" if instruction.act == "send" else "filed"
            print(f"row {row.id} is processed again and {done}; the history says that an operator released it")
        else:
            tickets.drop_row(tx, row.id, "discarded by an operator")
            if options.deed == "block" and row.author:
                tickets.set_blocked(tx, row.author, True, datetime.now(UTC))
                print(f"mail from {show(row.author)} goes to quarantine from now on")
            print(f"row {row.id} is closed without effect; its bytes stay")
    return OK


def _list(tx: Connection, options: argparse.Namespace) -> None:
    rows = [
        {
            "row": row.id,
            "received": when(row.envelope.received_at),
            "reason": row.reason,
            "author": row.author or "nobody",
            "subject": show(row.subject),
            "ticket": row.ticket or "",
            "to": show(row.envelope.recipient),
            "message_id": row.message_id,
        }
        for row in journal.list_held(tx)
        if options.kind == "all" or (row.reason in _QUARANTINE) == (options.kind == "quarantine")
    ]
    print_table(
        rows,
        ["row", "received", "reason", "author", "ticket", "to", "subject"],
        stretch="subject",
        as_json=options.json,
    )
