"""ticketgate templates: which texts are used, what they look like, and whether an operator's own are right."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage

from gateway.cli.exits import NOUSER, OK, TEMPFAIL, USAGE
from gateway.cli.opening import add_config, read_settings
from gateway.cli.table import print_table
from gateway.configure import read_secret
from gateway.model import OutboundMail
from gateway.outbound.sign import Signer
from gateway.outbound.templates import compose_sample, find_file, used_files
from gateway.outbound.transport import Attempt, Transport
from gateway.settings import Settings

_ABOUT = """Texts of the mails, in the language that is set (ticketgate.language). Your own stand in templates/
beside the configuration, or in templates/LANGUAGE/; each replaces the one of the same name. To change one:

  ticketgate templates show offer > /etc/ticketgate/templates/offer.txt
  ticketgate templates test offer

Short phrases are in words.toml; a file of yours needs only the phrases you change. Wrong templates are refused
at start, with file and line; check-config and every command here say the same."""


def run(command: str, arguments: Sequence[str]) -> int:
    """List the templates, show the text of one, or what one makes of sample data."""
    parser = argparse.ArgumentParser(
        prog="ticketgate templates", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config(parser)
    parser.add_argument("deed", nargs="?", default="list", choices=["list", "show", "test"])
    parser.add_argument("name", nargs="?", help="offer, digest, held-collision, …")
    parser.add_argument("--html", action="store_true", help="test: print the HTML part")
    parser.add_argument("--raw", action="store_true", help="test: print the whole mail as it would be sent")
    parser.add_argument("--send", metavar="AGENT", help="test: send it to this agent, over the configured mail server")
    parser.add_argument("--json", action="store_true", help="list: one object a line")
    options = parser.parse_args(arguments)
    if options.deed != "list" and not options.name:
        parser.error(f"which one? ticketgate templates {options.deed} NAME")
    settings = read_settings(options, secrets=False)
    if options.deed == "list":
        _list(settings, options.json)
        return OK
    name = options.name if "." in options.name else f"{options.name}.txt"
    return _show(settings, name) if options.deed == "show" else _test(settings, name, options)


def _list(settings: Settings, as_json: bool) -> None:
    rows = [
        {
            "template": source.path.name.removesuffix(".txt"),
            "language": source.language or "every",
            "from": str(source.path.relative_to(settings.folder)) if source.own else "ticketgate",
        }
        for source in used_files(settings)
    ]
    print_table(rows, ["template", "language", "from"], stretch="from", as_json=as_json)


def _show(settings: Settings, name: str) -> int:
    source = find_file(settings, name)
    if source is None:
        return _unknown(name)
    print(source.path.read_text("utf-8"), end="")
    print(f"({source.path})", file=sys.stderr)
    return OK


def _test(settings: Settings, name: str, options: argparse.Namespace) -> int:
    if options.send and options.send not in settings.agents:
        print(f"ticketgate: there is no agent {options.send!r}", file=sys.stderr)
        return USAGE
    if find_file(settings, name) is None:
        return _unknown(name)
    mail = compose_sample(settings, name, options.send or "alice")
    if mail is None:
        print(f"ticketgate: {name} is part of other templates; test one that includes it", file=sys.stderr)
        return USAGE
    if options.raw:
        sys.stdout.write(mail.content.decode("ascii").replace("\r\n", "\n"))
    else:
        _print(mail, html=options.html)
    return _send(settings, mail, options.send) if options.send else OK


def _print(mail: OutboundMail, *, html: bool) -> None:
    parsed = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    part = parsed.get_body(("html",) if html else ("plain",))
    if not html:
        print(f"From: {parsed['From']}\nTo: {parsed['To']}\nSubject: {parsed['Subject']}\n")
    print(part.get_content() if part else "(this mail has no HTML part)", end="")


def _send(settings: Settings, mail: OutboundMail, handle: str) -> int:
    """Straight to the mail server: nothing is stored, and nothing in the mail opens a ticket."""
    to = settings.agents[handle].address
    sent = OutboundMail(
        ticket=0,
        event=0,
        party=0,
        kind="sample",
        message_id=mail.message_id,
        reverse_path=mail.reverse_path,
        recipient=to,
        content=mail.content,
        automatic=True,
    )
    attempt = asyncio.run(_attempt(settings, sent))
    print(f"to {to}: {attempt.outcome}: {attempt.reply}", file=sys.stderr)
    return OK if attempt.outcome == "sent" else TEMPFAIL


async def _attempt(settings: Settings, mail: OutboundMail) -> Attempt:
    dkim = settings.send.dkim
    signer = Signer(dkim.domain, dkim.selector, read_secret(dkim.key_secret)) if dkim.enabled else None
    password = read_secret(settings.send.secret) if settings.send.auth != "none" else ""
    transport = Transport(settings.send, password, signer=signer)
    try:
        return await transport.attempt(mail)
    finally:
        await transport.close()


def _unknown(name: str) -> int:
    print(f"ticketgate: there is no template {name!r}; ticketgate templates list shows them all", file=sys.stderr)
    return NOUSER
