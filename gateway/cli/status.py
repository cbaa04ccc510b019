"""ticketgate status: whether all is well, what is not, and what to type."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from gateway.cli.exits import FAILURES, OK
from gateway.cli.opening import add_config, opened, read_settings
from gateway.cli.table import to_json
from gateway.health import Check, check_intake, check_outbox, check_relay
from gateway.membership import is_gone
from gateway.settings import Settings
from gateway.store.gate import held_since
from gateway.store.gauges import Gauges, InboxGauges, measure, measure_inboxes
from gateway.store.presence import find_living


def run(command: str, arguments: Sequence[str]) -> int:
    """Print the standing of the desk and of the gateway; 1 when something needs a person now."""
    parser = argparse.ArgumentParser(
        prog="ticketgate status",
        description="Whether all is well, what is not, and what to type. Exit code 1: not well.",
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="one object a line")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    now = datetime.now(UTC)
    with opened(settings) as tx:
        gauges = measure(tx, now)
        inboxes = measure_inboxes(tx, settings.inbox)
        checks = [_gateways(tx, now), check_intake(gauges), _outbox(tx, gauges, settings)]
        checks += [check_relay(gauges, settings), _database(tx, gauges)]
    for handle, inbox in inboxes.items():
        _print(handle, True, _desk(inbox, now), as_json=options.json)
    for check in [*checks, _undelivered(gauges), _held(gauges)]:
        _print(check.name, check.well, check.words, as_json=options.json)
    return OK if all(check.well for check in checks) else FAILURES


def _print(name: str, well: bool, words: str, *, as_json: bool) -> None:
    if as_json:
        print(to_json({"name": name, "well": well, "words": words}))
    else:
        print(f"{name:<12}{'' if well else 'FAILED  '}{words}")


def _gateways(tx: Connection, now: datetime) -> Check:
    living = find_living(tx, is_gone)
    if not living:
        return Check("gateway", False, "none is running: mail is neither taken in nor sent; systemctl start ticketgate")
    said = ", ".join(f"{name.rpartition(':')[0]} for {span(now - since)}" for name, since in living)
    return Check("gateway", True, f"running: {said}")


def _outbox(tx: Connection, gauges: Gauges, settings: Settings) -> Check:
    since = held_since(tx)
    check = check_outbox(gauges, settings, since)
    return check if check.well or since is not None else Check("outbox", False, f"{check.words}; why: ticketgate queue")


def _database(tx: Connection, gauges: Gauges) -> Check:
    return Check("database", True, f"{tx.dialect.name}, {gauges.size / 1e6:.1f} MB")


def _undelivered(gauges: Gauges) -> Check:
    lost = gauges.undelivered
    words = f"{lost} of the last 7 days did not arrive; which, and why: ticketgate queue failed"
    return Check("undelivered", True, words if lost else "none in the last 7 days")


def _held(gauges: Gauges) -> Check:
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(gauges.held.items()))
    return Check("held", True, f"{reasons}; ticketgate held" if reasons else "nothing waits for a person")


def _desk(inbox: InboxGauges, now: datetime) -> str:
    last_in, last_out = (f"{span(now - at)} ago" if at else "not lately" for at in (inbox.last_in, inbox.last_out))
    return f"{inbox.open} open, {inbox.unowned} of them nobody's; last mail in {last_in}, out {last_out}"


def span(time: timedelta) -> str:
    """A span in its largest unit."""
    seconds = max(0, int(time.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
