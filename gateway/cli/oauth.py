"""ticketgate oauth: access to mailboxes of Microsoft 365, Gmail and others that give tokens."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from gateway.cli.exits import FAILURES, NOUSER, OK
from gateway.cli.opening import add_config, read_settings
from gateway.errors import TemporaryError
from gateway.ingest.imap_client import ImapError, open_mailbox
from gateway.oauth import Grant, TokenSource, provider_of
from gateway.outbound.transport import Transport
from gateway.safekeeping.tokens import make_source, token_file
from gateway.settings import Imap, Settings


def run(command: str, arguments: Sequence[str]) -> int:
    """Give consent once (login), or say whether tokens can be had (status)."""
    parser = argparse.ArgumentParser(prog="ticketgate oauth", description=__doc__)
    add_config(parser)
    parser.add_argument("deed", choices=["login", "status"])
    parser.add_argument("source", nargs="?", default="", help="a mailbox, NAME of [receive.imap.NAME]; status: all")
    options = parser.parse_args(arguments)
    settings = read_settings(options, secrets=False)
    known = {name: m for name, m in settings.receive.imap.items() if m.auth.startswith("oauth2")}
    if options.source and options.source not in known:
        print(f"ticketgate: no mailbox {options.source} with OAuth2; there are: {', '.join(known)}", file=sys.stderr)
        return NOUSER
    if options.deed == "status":
        chosen = [known[options.source]] if options.source else list(known.values())
        return max((_status(settings, mailbox) for mailbox in chosen), default=OK)
    if not options.source:
        parser.error("ticketgate oauth login SOURCE")
    return _login(settings, known[options.source])


def _status(settings: Settings, mailbox: Imap) -> int:
    place, provider = token_file(settings, mailbox), provider_of(mailbox)
    print(f"{mailbox.handle}  {mailbox.user}  {mailbox.auth}")
    print(f"  from      {provider.token_url}")
    print(f"  client    {mailbox.oauth2.client_id}")
    if mailbox.auth == "oauth2-refresh" and place.exists():
        days = (time.time() - place.stat().st_mtime) / 86400
        print(f"  refresh   {place}, {days:.0f} days old")
    try:
        grant = make_source(settings, mailbox).fetch()
    except TemporaryError as error:
        print(f"  FAILED    {error}")
        return FAILURES
    print(f"  access    ok, for {grant.seconds / 60:.0f} minutes")
    print(f"  scope     {grant.scope or provider.scope}")
    return OK


def _login(settings: Settings, mailbox: Imap) -> int:
    source = make_source(settings, mailbox)
    try:
        grant = source.fetch() if mailbox.auth == "oauth2-client" else _ask_person(source, mailbox)
    except TemporaryError as error:
        print(f"FAILED    {error}")
        return FAILURES
    if mailbox.auth == "oauth2-refresh":
        print(f"stored    {token_file(settings, mailbox)}")
    print(f"token     ok, for {grant.seconds / 60:.0f} minutes")
    return max([asyncio.run(_try_imap(mailbox, grant)), asyncio.run(_try_smtp(settings, mailbox, grant))])


def _ask_person(source: TokenSource, mailbox: Imap) -> Grant:
    address, state, verifier = source.begin_login()
    print(f"1. Open this address in a browser and log in as {mailbox.user}:\n\n{address}\n")
    print("2. The browser ends up at a page of http://localhost that cannot be shown. Copy its whole address here:")
    sys.stdout.flush()
    return source.finish_login(sys.stdin.readline(), state, verifier)


async def _try_imap(mailbox: Imap, grant: Grant) -> int:
    try:
        session = await open_mailbox(mailbox, grant.access_token, patience=20.0)
        await session.close()
    except ImapError as error:
        print(f"IMAP      FAILED: {error}")
        return FAILURES
    print(f"IMAP      ok, {mailbox.host}")
    return OK


async def _try_smtp(settings: Settings, mailbox: Imap, grant: Grant) -> int:
    send = settings.send
    if settings.oauth_mailbox(send.user) != mailbox or not send.auth.startswith("oauth2"):
        return OK

    async def token(_refused: bool) -> str:
        return grant.access_token

    transport = Transport(replace(send, max_connections=1), access_token=token)
    why = await transport.try_login()
    await transport.close()
    print(f"SMTP      FAILED: {why}" if why else f"SMTP      ok, {send.host}")
    return FAILURES if why else OK
