"""What the large providers want, so that an operator names the provider and not its habits (ops.md 10.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.settings import Imap, Settings

_IMAP_HOSTS = {
    "gmail": "imap.gmail.com",
    "microsoft365": "outlook.office365.com",
    "yahoo": "imap.mail.yahoo.com",
}
_SUBMISSION_HOSTS = {
    # host                    mails a minute
    "smtp.gmail.com": 20,
    "smtp.office365.com": 25,
    "smtp.mail.yahoo.com": 10,
}
_CHANGE_BODIES = ("microsoft365",)
"""Presets of servers that hand out other bytes than arrived: a signature cannot be checked again behind them."""


def with_mailboxes(settings: Settings) -> Settings:
    """The mailboxes with their names, inboxes and the host of their preset; what the operator wrote stays."""
    imap = {name: _preset(replace(m, handle=name, inbox=m.inbox or name)) for name, m in settings.receive.imap.items()}
    return replace(settings, receive=replace(settings.receive, imap=imap))


def _preset(mailbox: Imap) -> Imap:
    return replace(mailbox, host=mailbox.host or _IMAP_HOSTS.get(mailbox.preset, ""))


def with_provider_habits(settings: Settings, written: Mapping[str, Any]) -> Settings:
    """Rate and reverse-path a provider's submission accepts, and no local signature checks behind a server that changes
    bodies; where the operator wrote (``written``, the TOML tables) something else, that holds."""
    send, results = settings.send, settings.authentication_results
    rate = _SUBMISSION_HOSTS.get(send.host.lower())
    if rate is not None:
        # Providers override or refuse a reverse-path other than the login (ops.md 10.2).
        envelope = "plain" if send.envelope == "auto" else send.envelope
        slow = send.max_per_minute if _is_written(written, "send", "max_per_minute") else rate
        send = replace(send, envelope=envelope, max_per_minute=slow)
    changed = any(m.enabled and m.preset in _CHANGE_BODIES for m in settings.receive.imap.values())
    if changed and not _is_written(written, "authentication_results", "verify_locally"):
        results = replace(results, verify_locally=False)
    return replace(settings, send=send, authentication_results=results)


def _is_written(written: Mapping[str, Any], table: str, key: str) -> bool:
    found = written.get(table)
    return isinstance(found, dict) and key in found
