"""ticketgate queue: outgoing mail."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway.cli.exits import FAILURES, NOUSER, OK
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import print_table, when
from gateway.cli.undelivered import list_failed, point_out, retry
from gateway.clockwork import start_rounds
from gateway.safekeeping.outside import gateway_name, read_mark, read_sent, state_folder, write_mark
from gateway.settings import Settings
from gateway.store import deliveries
from gateway.store.gate import held_since
from gateway.store.recovery import count_open, find_unheard, forget_gateways, read_standing, release_outbox
from gateway.store.sent_copies import OpenCopy, list_open
from gateway.store.suppression import lift, list_suppressed

_WORDS = {
    "hold": ("held", "no mail waits"),
    "release": ("released", "no mail is held"),
    "retry": ("tried now", "no mail waits to be tried"),
    "drop": ("dropped", ""),
}
"""Deed -> what is said of the mails it was done to, and when there was none."""
_DEEDS = ["list", "failed", "show", "retry", "hold", "release", "drop", "dead", "lift"]


def run(command: str, arguments: Sequence[str]) -> int:
    """List what is not delivered yet, show one mail as frozen, hold, release, try now, or drop with a reason.

    failed: what did not arrive in the last 7 days, and why; retry NUMBER sends one of them again, as it was.
    dead: the addresses that automatic mail is not sent to any more, and why; lift: send it there again.
    """
    parser = argparse.ArgumentParser(prog="ticketgate queue", description=__doc__)
    add_config(parser)
    parser.add_argument("deed", nargs="?", default="list", choices=_DEEDS)
    parser.add_argument(
        "number",
        nargs="?",
        metavar="NUMBER|ADDRESS",
        help="first column of the list; left out: all (retry, hold, release). lift: the address",
    )
    parser.add_argument(
        "--anyway", action="store_true", help="release: do not wait for gateways that are gone for good"
    )
    parser.add_argument("--reason", default="", help="drop: why, for the history")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.deed == "drop" and (options.number is None or not options.reason):
        parser.error("ticketgate queue drop NUMBER --reason WHY")
    if options.deed == "lift" and not options.number:
        parser.error("ticketgate queue lift ADDRESS")
    if options.deed == "lift":
        return _lift(options.number, read_settings(options, secrets=False))
    if options.number is not None and not options.number.isdecimal():
        parser.error(f"{options.number} is no number of the list")
    options.number = int(options.number) if options.number else None
    settings = read_settings(options, secrets=False)
    now = datetime.now(UTC)
    with opened(settings) as tx:
        if options.deed == "list":
            _list(tx, as_json=options.json)
            if not options.json and list_suppressed(tx):
                print("\nAutomatic mail is not sent to these any more; ticketgate queue lift ADDRESS sends it again:")
                _list_dead(tx, as_json=False)
            if not options.json and (copies := list_open(tx)):
                print("\nSent, but not copied to the Sent folder of the mailbox (sent_copy):")
                _list_copies(copies)
            if not options.json:
                point_out(tx, settings, now)
            since = held_since(tx)
            if since is not None:
                print(
                    f"held as a whole: the database was put back to {when(since)}. Nothing leaves until you say\n"
                    "  ticketgate queue release",
                    file=sys.stderr,
                )
            return OK
        if options.deed == "failed":
            list_failed(tx, now, as_json=options.json)
            return OK
        if options.deed == "dead":
            _list_dead(tx, as_json=options.json)
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
            if options.number is None and not _all_heard(tx, settings, anyway=options.anyway):
                return FAILURES
            count = deliveries.release(tx, now, options.number)
            if options.number is None:
                _accept_cut(tx, settings, now)
                if _open_gate(tx, settings, now):
                    return OK
        else:
            count = retry(tx, now, options.number)
        gate = "" if held_since(tx) is None else "; nothing leaves before: ticketgate queue release"
    done, nothing = _WORDS[options.deed]
    if count or options.number is None:
        print(f"{_mails(count)} {done}{gate}" if count else nothing)
        return OK
    print(
        f"ticketgate: mail {options.number} is not {'held' if options.deed == 'release' else 'waiting'}",
        file=sys.stderr,
    )
    return NOUSER


def _lift(address: str, settings: Settings) -> int:
    with opened(settings) as tx:
        lifted = lift(tx, address)
    print(f"automatic mail goes to {address} again" if lifted else f"nothing was counted against {address}")
    return OK if lifted else NOUSER


def _list_dead(tx: Connection, *, as_json: bool) -> None:
    rows = [{"address": one.address, "since": when(one.since), "reason": one.reason} for one in list_suppressed(tx)]
    print_table(rows, ["address", "since", "reason"], stretch="reason", as_json=as_json)


def _list_copies(copies: Sequence[OpenCopy]) -> None:
    rows = [
        {
            "ticket": f"{copy.ticket}.{copy.event}",
            "mailbox": copy.account,
            "next try": when(copy.due_at) or "given up",
            "reply": copy.reply,
        }
        for copy in copies
    ]
    print_table(rows, ["ticket", "mailbox", "next try", "reply"], stretch="reply", as_json=False)


def _all_heard(tx: Connection, settings: Settings, *, anyway: bool) -> bool:
    """After a restore: whether every gateway has said what it had sent, or nobody waits for it any more."""
    unheard = find_unheard(tx, gateway_name(settings)) if held_since(tx) is not None else []
    if not unheard:
        return True
    if anyway:
        forget_gateways(tx, unheard)
        return True
    print("ticketgate: not released: these gateways have not said what they sent since the backup:", file=sys.stderr)
    for name in unheard:
        print(f"  {name}", file=sys.stderr)
    print(
        "Start them: they say it within half a minute, and send nothing. Of one that cannot start copy sent.log from\n"
        f"there to {state_folder(settings)}/sent.log.NAME, then: ticketgate queue release --anyway",
        file=sys.stderr,
    )
    return False


def _accept_cut(tx: Connection, settings: Settings, now: datetime) -> None:
    """The record begins anew where the store is: what the start mark of this host knew beyond it is given up."""
    folder = state_folder(settings)
    mark = read_mark(folder)
    if mark is not None and mark.cut is not None:
        write_mark(folder, read_standing(tx), now)
        print(f"accepted: the record ends before seal {mark.cut[0]}:{mark.cut[1][:32]}, which verify missed")


def _open_gate(tx: Connection, settings: Settings, now: datetime) -> bool:
    """After a restore: let mail leave again, but not what is known to have left before; False when it may already."""
    released = release_outbox(tx, read_sent(state_folder(settings)), now)
    if released is None:
        return False
    start_rounds(tx, settings, now)
    _, waiting = count_open(tx)
    print(f"the outbox is open again; {_mails(waiting)} to be sent")
    _tell(
        released.sent_before,
        "mail had left before the restore and is not sent again",
        "mails had left before the restore and are not sent again",
    )
    _tell(
        released.moved,
        "reminder that fell due meanwhile comes later, by the time that is missing",
        "reminders that fell due meanwhile come later, by the time that is missing",
    )
    _tell(
        released.rounds, "digest or report that was due is left out", "digests and reports that were due are left out"
    )
    return True


def _tell(count: int, one: str, several: str) -> None:
    if count:
        print(f"{count} {one if count == 1 else several}")


def _mails(count: int) -> str:
    return "1 mail" if count == 1 else f"{count} mails"


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
