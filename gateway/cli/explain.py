"""ticketgate explain: why a mail went where it went. Changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gateway import pipeline, unpacking
from gateway.analysis.cage import Cage
from gateway.analysis.reading_rules import Rules, rules_of
from gateway.cli.exits import NOUSER, OK
from gateway.cli.opening import add_config, read_settings
from gateway.cli.table import harmless, when
from gateway.maillog import show
from gateway.model import Envelope, Findings, InboundMail
from gateway.resolver import Resolver
from gateway.settings import Cage as CageSettings
from gateway.settings import Settings
from gateway.store import journal
from gateway.store.database import Database
from gateway.store.journal import JournalRow

_MOST_DEFECTS = 5


def run(command: str, arguments: Sequence[str]) -> int:
    """Tell the story of a stored mail, or what would become of a file if it arrived now."""
    parser = argparse.ArgumentParser(prog="ticketgate explain", description=__doc__)
    add_config(parser)
    parser.add_argument("mail", metavar="FILE|-|MESSAGE-ID|TICKET.EVENT|TICKET|row:N")
    parser.add_argument("--inbox", help="a file: which inbox it would arrive at; default: the first")
    options = parser.parse_args(arguments)
    settings = read_settings(options)
    database = Database(settings.storage.url)
    database.check()
    try:
        if options.mail == "-" or Path(options.mail).is_file():
            return asyncio.run(_dry_run(options, settings, database))
        with database.begin() as tx:
            return _stored(tx, options.mail)
    finally:
        database.close()


# ------------------------------------------------------------------ a stored mail


def _stored(tx: Connection, name: str) -> int:
    rows = _find(tx, name)
    if not rows:
        print(f"ticketgate: no stored mail matches {name}", file=sys.stderr)
        return NOUSER
    for row in rows:
        _tell(row)
    return OK


def _find(tx: Connection, name: str) -> list[JournalRow]:
    numbers = re.fullmatch(r"#?(\d+)(?:\.(\d+))?", name)
    if name.startswith("row:"):
        return journal.find(tx, row_id=int(name.removeprefix("row:")))
    if numbers:
        return journal.find(tx, ticket=int(numbers[1]), event=int(numbers[2] or 0))
    return journal.find(tx, message_id=name if name.startswith("<") else f"<{name}>")


def _line(title: str, text: object) -> None:
    print(harmless(f"{title:<13} {text}"))


def _tell_defects(defects: Sequence[str]) -> None:
    """The first few: a hostile mail has dozens, and the answer is to fit on a screen."""
    for defect in defects[:_MOST_DEFECTS]:
        _line("defect", defect)
    if len(defects) > _MOST_DEFECTS:
        _line("", f"and {len(defects) - _MOST_DEFECTS} more defects")


def _tell(row: JournalRow) -> None:
    envelope, story = row.envelope, row.story
    _line("mail", f"row {row.id}, {row.message_id or 'without Message-ID'}, raw {row.sha256[:16]}…")
    _line(
        "arrived",
        f"{when(envelope.received_at)} by {envelope.source} for {show(envelope.recipient)}" + _client(envelope),
    )
    if not story:
        why = "its content was erased" if row.state == "applied" else "not processed yet"
        _line("state", f"{row.state}: {why}" + (f" ({row.reason})" if row.reason else ""))
        print()
        return
    authentication: dict[str, Any] = story.get("authentication") or {}
    _line("received as", story.get("origin", ""))
    _line("author", f"{row.author or 'nobody'}; {authentication.get('why', '')}")
    _line("checks", _checks(authentication))
    _line("text", f"new text found by {story.get('quotes') or 'none'}{_beside(**(story.get('compared') or {}))}")
    _tell_defects(story.get("defects", ()))
    _line("decision", f"{row.outcome or row.state}: {row.reason}" + (f", ticket {row.ticket}" if row.ticket else ""))
    for step in story.get("explanation", ()):
        _line("", step)
    for earlier in story.get("earlier", ()):
        _line("before that", f"{earlier.get('decision', '')}  {earlier.get('decided_at', '')}")
        for step in earlier.get("explanation", ()):
            _line("", step)
    print()


def _beside(ticket: int = 0, events: Sequence[int] = ()) -> str:
    """With what of its ticket the text was compared; the same events give the same answer later."""
    listed = ", ".join(f"{ticket}.{number}" for number in sorted(events))
    return f", beside what {listed} said" if listed else ""


def _compared(findings: Findings) -> tuple[int, Sequence[int]]:
    return (findings.comparison.ticket, findings.comparison.events) if findings.comparison else (0, ())


def _client(envelope: Envelope) -> str:
    return f", from {envelope.helo or '?'} [{envelope.client_address}]" if envelope.client_address else ""


def _checks(authentication: dict[str, Any]) -> str:
    dkim = ", ".join(
        f"{d.get('result')} ({d.get('domain')}/{d.get('selector')}{': ' + d['reason'] if d.get('reason') else ''})"
        for d in authentication.get("dkim", ())
    )
    dmarc = authentication.get("dmarc", {})
    return (
        f"spf={authentication.get('spf', {}).get('result', 'none')} dkim={dkim or 'none'} "
        f"dmarc={dmarc.get('result', 'none')} {dmarc.get('policy', '')}".rstrip()
    )


# ------------------------------------------------------------------ a file, as if it arrived now


class _NotRecorded(Exception):
    """Ends the transaction of a dry run."""


async def _dry_run(options: argparse.Namespace, settings: Settings, database: Database) -> int:
    raw = sys.stdin.buffer.read() if options.mail == "-" else Path(options.mail).read_bytes()
    inbox = settings.inbox[options.inbox] if options.inbox else next(iter(settings.inbox.values()))
    now = datetime.now(UTC)
    envelope = Envelope(
        reverse_path="", recipient=inbox.address, inbox=inbox.handle, source="explain", received_at=now, trusted=True
    )
    rules = Rules(
        authentication=rules_of(settings),
        own_addresses=frozenset(a for i in settings.inbox.values() for a in i.addresses()),
        id_domain=settings.id_domain,
    )
    cage = Cage(CageSettings(children=1), rules)
    await cage.start()
    try:
        row = InboundMail(id=0, envelope=envelope, sha256=hashlib.sha256(raw).hexdigest(), raw=raw)
        findings = await pipeline.read(row, cage, Resolver(settings.authentication.resolver))
        findings = await pipeline.compare(row, findings, cage, database, settings)
        findings = await unpacking.unpack(row, findings, cage, database, settings)
    finally:
        await cage.close()
    decision = _decide(database, settings, row, findings, now)
    plan, findings = decision.plan, decision.case.findings
    authentication = findings.authentication
    _line("received as", str(findings.origin))
    _line("author", f"{authentication.author.address if authentication.author else 'nobody'}; {authentication.why}")
    _line(
        "text",
        f"new text found by {findings.body.source}: {len(findings.body.new.splitlines())} lines new, "
        f"{len(findings.body.quoted.splitlines())} quoted{_beside(*_compared(findings))}",
    )
    _tell_defects(findings.message.defects)
    _line("would", f"{plan.outcome}: {plan.reason}")
    for step in plan.explanation:
        _line("", step)
    for notice in plan.notices:
        _line("would send", f"{notice.kind} to " + ", ".join(p.address for p in notice.recipients))
    print("nothing was changed")
    return OK


def _decide(
    database: Database, settings: Settings, row: InboundMail, findings: Findings, now: datetime
) -> pipeline.Decision:
    """The very pipeline, in a transaction that is thrown away."""
    found: list[pipeline.Decision] = []
    try:
        with database.begin() as tx:
            found.append(pipeline.decide(tx, row, findings, settings, now))
            raise _NotRecorded
    except _NotRecorded:
        return found[0]
    raise AssertionError("a dry run never commits")
