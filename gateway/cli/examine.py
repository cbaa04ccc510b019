"""ticketgate examine: what mails say, with no database and no daemon. One JSON object a line with --json."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.address import split_tag
from gateway.analysis.cage import Cage, Resolver
from gateway.analysis.reading_rules import AuthenticationRules, Rules, rules_of
from gateway.cli.exits import NOINPUT, OK
from gateway.cli.table import harmless, to_json
from gateway.configure import load
from gateway.model import AuthenticationResults, Envelope, Findings, Mailbox, Proof
from gateway.reference import looks_like_token
from gateway.resolver import Resolver as DnsResolver
from gateway.resolver import ZoneResolver
from gateway.settings import Cage as CageSettings
from gateway.settings import Settings
from gateway.threading.subjects import find_ticket_tag

_AT_A_TIME = 32


def run(command: str, arguments: Sequence[str]) -> int:
    """Print what each file says, in the order given; exit 66 when a file cannot be read (the others are printed)."""
    options = _options(arguments)
    settings = load(Path(options.config), secrets=False) if options.config else Settings()
    return asyncio.run(_examine_all(options, settings))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ticketgate examine", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a mail as it arrived; - for standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--zone", metavar="FILE", help="answer DNS questions from this JSON file and nothing else")
    parser.add_argument("--client-ip", default="", metavar="IP", help="address the mail came from (for SPF)")
    parser.add_argument("--helo", default="", metavar="NAME")
    parser.add_argument("--mail-from", default="", metavar="ADDR", help="reverse-path (for SPF)")
    parser.add_argument("--received", default="", metavar="TIME", help="time of reception, ISO 8601; default: now")
    parser.add_argument(
        "-c", "--config", default="", metavar="FILE", help="know our own addresses from a configuration"
    )
    return parser.parse_args(arguments)


async def _examine_all(options: argparse.Namespace, settings: Settings) -> int:
    authentication = rules_of(settings) if options.config else AuthenticationRules()
    rules = Rules(
        authentication=replace(authentication, tell_chains=True),
        own_addresses=frozenset(a for inbox in settings.inbox.values() for a in inbox.addresses()),
        id_domain=settings.id_domain if options.config else "",
    )
    resolver: Resolver
    if options.zone:
        resolver = ZoneResolver(json.loads(Path(options.zone).read_text(encoding="utf-8")))
    else:
        resolver = DnsResolver(settings.authentication.resolver)
    cage = Cage(CageSettings(children=1) if len(options.files) < 8 else settings.cage, rules)
    await cage.start()
    code = OK
    try:
        async for name, raw, findings in _in_order(options, cage, resolver):
            if findings is None:
                print(f"ticketgate examine: {name}: cannot be read", file=sys.stderr)
                code = NOINPUT
                continue
            found = describe(name, raw, findings)
            print(to_json(found) if options.json else harmless(_for_people(found)), flush=True)
    finally:
        await cage.close()
    return code


async def _in_order(
    options: argparse.Namespace, cage: Cage, resolver: Resolver
) -> AsyncIterator[tuple[str, bytes, Findings | None]]:
    """Several mails are read at a time, but told in order and never all held in memory."""
    envelope = Envelope(
        reverse_path=options.mail_from,
        recipient="",
        inbox="",
        source="examine",
        received_at=datetime.fromisoformat(options.received) if options.received else datetime.now(UTC),
        client_address=options.client_ip,
        helo=options.helo,
    )
    waiting: list[tuple[str, bytes, asyncio.Task[Findings] | None]] = []
    for name in options.files:
        try:
            raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            waiting.append((name, raw, asyncio.create_task(cage.examine(raw, envelope, resolver))))
        except OSError:
            waiting.append((name, b"", None))
        if len(waiting) >= _AT_A_TIME:
            name_, raw_, task = waiting.pop(0)
            yield name_, raw_, await task if task else None
    for name_, raw_, task in waiting:
        yield name_, raw_, await task if task else None


def describe(name: str, raw: bytes, findings: Findings) -> dict[str, Any]:
    """The promised keys (README, examine); null or empty where absent."""
    message, body, forwarded = findings.message, findings.body, findings.forwarded
    return {
        "file": name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "size": len(raw),
        "message_id": message.message_id or None,
        "date": message.date.isoformat() if message.date else None,
        "subject": message.subject,
        "from": _mailbox(message.author),
        "to": [_mailbox(m) for m in message.to],
        "cc": [_mailbox(m) for m in message.cc],
        "reply_to": [_mailbox(m) for m in message.reply_to],
        "origin": str(findings.origin),
        "text": {
            "new": body.new,
            "quoted": body.quoted,
            "signature": body.signature,
            "interleaved": body.interleaved,
            "source": message.text_source,
            "rule": body.source,
        },
        "attachments": [
            {"name": a.name, "type": a.type, "size": a.size, "sha256": a.sha256, "inline": a.inline}
            for a in message.attachments
        ],
        "authentication": _authentication(findings.authentication),
        "reports": [
            {
                "recipient": r.recipient,
                "action": r.action,
                "status": r.status,
                "diagnostic": r.diagnostic,
                "kind": r.kind,
            }
            for r in findings.reports
        ],
        "away_until": findings.away_until.isoformat() if findings.away_until else None,
        "forwarded": forwarded
        and {
            "from": _mailbox(forwarded.author),
            "date": forwarded.date,
            "subject": forwarded.subject,
            "text": forwarded.text,
        },
        "clues": {
            "in_reply_to": list(message.in_reply_to),
            "references": list(message.references),
            "tokens": [tag for a in message.recipients if looks_like_token(tag := split_tag(a)[1])],
            "subject_reference": find_ticket_tag(message.subject) or None,
            "thread_index": next(iter(message.fields.get("thread-index", ())), None),
        },
        "unreadable": message.unreadable or None,
        "defects": list(message.defects),
        "elapsed_ms": findings.elapsed_ms,
    }


def _mailbox(mailbox: Mailbox | None) -> dict[str, str] | None:
    return {"name": mailbox.name, "address": mailbox.address} if mailbox else None


def _authentication(results: AuthenticationResults) -> dict[str, Any]:
    return {
        "spf": results.spf.result,
        "dkim": [
            {"domain": d.domain, "selector": d.selector, "result": d.result, "reason": d.reason} for d in results.dkim
        ],
        "dmarc": {
            "result": results.dmarc.result,
            "policy": results.dmarc.policy or None,
            "domain": results.dmarc.domain or None,
        },
        "arc": results.arc.result,
        "author": _mailbox(results.author),
        "author_proven": results.proof is not Proof.NONE,
        "why": results.why,
    }


def _for_people(found: dict[str, Any]) -> str:
    author = found["from"] or {"name": "", "address": "nobody"}
    authentication = found["authentication"]
    lines = [
        f"{found['file']}  {found['size']} bytes  {found['origin']}",
        f"  from        {author['name']} <{author['address']}>",
        f"  subject     {found['subject']}",
        f"  date        {found['date'] or 'none'}",
        f"  proven      {'yes' if authentication['author_proven'] else 'no'}: {authentication['why']}",
        f"  checks      spf={authentication['spf']} dkim="
        + (",".join(f"{d['result']}({d['domain']})" for d in authentication["dkim"]) or "none")
        + f" dmarc={authentication['dmarc']['result']} arc={authentication['arc']}",
    ]
    for title, text in (("new text", found["text"]["new"]), ("signature", found["text"]["signature"])):
        if text.strip():
            lines.append(f"  {title}")
            lines += [f"    | {line}" for line in text.strip("\n").split("\n")]
    quoted = found["text"]["quoted"].strip()
    if quoted:
        lines.append(f"  quoted      {quoted.count(chr(10)) + 1} lines, cut by {found['text']['rule']}")
    lines += [f"  attachment  {a['name']}  {a['type']}  {a['size']} bytes" for a in found["attachments"]]
    lines += [f"  report      {r['recipient']}  {r['action']} {r['status']} {r['kind']}" for r in found["reports"]]
    lines += [f"  away        until {found['away_until']}"] if found["away_until"] else []
    if found["forwarded"]:
        original = found["forwarded"]["from"] or {"name": "", "address": "not certain"}
        lines.append(f"  forwarded   from {original['name']} <{original['address']}>: {found['forwarded']['subject']}")
    lines += [f"  unreadable  {found['unreadable']}"] if found["unreadable"] else []
    lines += [f"  defect      {d}" for d in found["defects"]]
    return "\n".join(lines) + "\n"
