"""ticketgate inject: hand one mail to the running gateway over its LMTP socket (pipe delivery, ops.md 9.2)."""

from __future__ import annotations

import argparse
import os
import smtplib
import sys
from collections.abc import Sequence

from gateway.cli.exits import NOUSER, OK, TEMPFAIL
from gateway.cli.opening import add_config, read_settings
from gateway.configure import ConfigurationError


def run(command: str, arguments: Sequence[str]) -> int:
    """Deliver standard input; 75 for every failure of our own, so that the mail server keeps the mail."""
    parser = argparse.ArgumentParser(prog="ticketgate inject", description=__doc__)
    add_config(parser)
    parser.add_argument("--inbox", help="name of the inbox; default: $ORIGINAL_RECIPIENT, else the first")
    parser.add_argument("--socket", help="unix:/path or inet:host:port; default: from the configuration")
    options = parser.parse_args(arguments)
    raw = sys.stdin.buffer.read()
    if raw.startswith(b"From "):  # alias pipes add an mbox line (security.md 3)
        raw = raw.partition(b"\n")[2]
    try:
        settings = read_settings(options, secrets=False)
    except (ConfigurationError, OSError) as error:
        print(f"4.3.0 {error}", file=sys.stderr)
        return TEMPFAIL
    recipient = os.environ.get("ORIGINAL_RECIPIENT", "")
    if options.inbox:
        if options.inbox not in settings.inbox:
            print(f"5.1.1 no inbox {options.inbox}", file=sys.stderr)
            return NOUSER
        recipient = settings.inbox[options.inbox].address
    if not recipient or settings.find_inbox(recipient) is None:
        recipient = next(iter(settings.inbox.values())).address
    listen = settings.receive.lmtp.listen if settings.receive.lmtp else ()
    place = options.socket or next((p for p in listen if p != "systemd"), "unix:/run/ticketgate/lmtp.sock")
    return _deliver(place, recipient, raw)


def _deliver(place: str, recipient: str, raw: bytes) -> int:
    kind, _, rest = place.partition(":")
    host, _, port = rest.rpartition(":")
    try:
        client = smtplib.LMTP(rest, timeout=60) if kind == "unix" else smtplib.LMTP(host, int(port), timeout=60)
        with client:
            client.ehlo_or_helo_if_needed()
            # smtplib turns bare CR and LF into CRLF, which a pipe from a Unix mail server needs anyway.
            client.sendmail(os.environ.get("SENDER", ""), [recipient], raw)
    except smtplib.SMTPRecipientsRefused as refusal:
        code, text = next(iter(refusal.recipients.values()))
        print(f"{code} {text.decode(errors='replace')}", file=sys.stderr)
        return NOUSER if code == 550 else TEMPFAIL
    except (smtplib.SMTPException, OSError) as error:
        print(f"4.3.0 {error}", file=sys.stderr)
        return TEMPFAIL
    return OK
