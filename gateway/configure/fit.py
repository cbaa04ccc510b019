"""What must fit together, beyond the form of each value. Each mistake names the key an operator has to change."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from zoneinfo import ZoneInfo

from gateway.address import fold_address, is_address, split_address
from gateway.configure.tables import TomlFile
from gateway.desk.calendar import read_hours
from gateway.desk.moments import read_quiet
from gateway.settings import Agent, Imap, Inbox, Receive, Send, Settings

_MAX_BASE = 21
"""Octets of the inbox's local part, so that a token fits into 64 (mail.md 4.1)."""
_PER_HOUR = re.compile(r"[1-9]\d{0,5}/1h")
_COLLISION = re.compile(r"hold|note( \d{1,4}h)?")
_LISTEN = re.compile(r"systemd|unix:/.+|inet:(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}")


def check(settings: Settings, site: TomlFile, people: TomlFile) -> None:
    """Add to the files' mistakes whatever is wrong with them together."""
    if settings.schema != 1:
        site.mistake("schema", f"{settings.schema} is not known to this version, which reads schema = 1")
    if not site.mistakes and not settings.inbox:
        site.mistake("inbox", "at least one inbox is needed: [inbox.support] with address, name and agents")
    settings = replace(settings, inbox={n: _with_separator(site, n, inbox) for n, inbox in settings.inbox.items()})
    for name, inbox in settings.inbox.items():
        _check_inbox(settings, site, f"inbox.{name}", inbox)
    _check_addresses(settings, site)
    for handle, agent in settings.agents.items():
        _check_agent(settings, people, handle, agent)
    _check_zone(site, "ticketgate.timezone", settings.ticketgate.timezone)
    for address in settings.ticketgate.admin:
        if not is_address(address):
            site.mistake("ticketgate.admin", f'"{address}" is not an address')
    _check_edges(site, settings.receive)
    for name, mailbox in settings.receive.imap.items():
        _check_mailbox(settings, site, f"receive.imap.{name}", mailbox)
    _check_send(settings, site, settings.send)
    _check_limits(settings, site)


# ------------------------------------------------------------------ people and inboxes


def _with_separator(site: TomlFile, name: str, inbox: Inbox) -> Inbox:
    """The inbox with a separator that addresses can be split at, so that the other checks can go on."""
    if len(inbox.plus_separator) == 1:
        return inbox
    site.mistake(f"inbox.{name}.plus_separator", "must be one character, the mail server's recipient_delimiter")
    return replace(inbox, plus_separator="+")


def _check_inbox(settings: Settings, site: TomlFile, where: str, inbox: Inbox) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", inbox.handle):
        site.mistake(where, "the name of an inbox is made of letters, digits, '-' and '_'")
    for key, addresses in (("address", (inbox.address,)), ("aliases", inbox.aliases)):
        for address in addresses:
            if not is_address(address):
                site.mistake(f"{where}.{key}", f'"{address}" is not an address')
    if inbox.reply_token in ("auto", "plus") and len(split_address(inbox.address)[0].encode()) > _MAX_BASE:
        site.mistake(f"{where}.address", f'the part before "@" may have {_MAX_BASE} octets with reply_token "plus"')
    if inbox.reply_token == "domain" and not inbox.reply_domain:
        site.mistake(f"{where}.reply_domain", 'is required with reply_token = "domain"')
    try:
        read_hours(inbox.hours)
    except ValueError as error:
        site.mistake(f"{where}.hours.{'holidays' if 'holidays' in str(error) else 'weekdays'}", str(error))
    for word in inbox.hours.holidays:
        if word.startswith("file:"):
            site.mistake(f"{where}.hours.holidays", f"{word.removeprefix('file:')} cannot be read")
    if not inbox.agents:
        site.mistake(f"{where}.agents", "at least one agent is needed: nobody would see this inbox's mail")
    for word in inbox.agents:
        if word not in settings.agents and settings.find_agent(word) is None:
            site.mistake(f"{where}.agents", _unknown_agent(settings, word))
    for word in inbox.lead:
        if word not in settings.agents:
            site.mistake(f"{where}.lead", _unknown_agent(settings, word))
        elif settings.agents[word].role != "lead":
            site.mistake(
                f"{where}.lead", f'{word} has the role "{settings.agents[word].role}", not "lead" (agents.toml)'
            )


def _unknown_agent(settings: Settings, word: str) -> str:
    close = difflib.get_close_matches(word, list(settings.agents), 1)
    return f'"{word}" is not a known agent' + (f'; did you mean "{close[0]}"?' if close else " (agents.toml)")


def _check_addresses(settings: Settings, site: TomlFile) -> None:
    """One address, one inbox: else which one gets the mail would be chance."""
    owners: dict[str, str] = {}
    for name, inbox in settings.inbox.items():
        for address in dict.fromkeys(inbox.addresses()):
            if address in owners:
                site.mistake(f"inbox.{name}", f"{address} belongs to the inbox {owners[address]} already")
            owners.setdefault(address, name)


def _check_agent(settings: Settings, people: TomlFile, handle: str, agent: Agent) -> None:
    if not re.fullmatch(r"\w[\w.-]*", handle):
        people.mistake(handle, "the handle of an agent is made of letters, digits, '-', '_' and '.'")
    for key, addresses in (("address", (agent.address,)), ("also", agent.also)):
        for address in addresses:
            owner = settings.find_agent(address)
            if not is_address(address):
                people.mistake(f"{handle}.{key}", f'"{address}" is not an address')
            elif settings.is_own_address(address):
                people.mistake(f"{handle}.{key}", f"{address} is one of our inboxes: mail would run in a circle")
            elif agent.enabled and owner is not None and owner.handle != handle:
                people.mistake(f"{handle}.{key}", f"{fold_address(address)} belongs to {owner.handle} already")
    if agent.timezone:
        _check_zone(people, f"{handle}.timezone", agent.timezone)
    if agent.quiet not in ("", "off") and read_quiet(agent.quiet) is None:
        people.mistake(f"{handle}.quiet", f'"{agent.quiet}" are no hours; write "18:00-08:00"')


def _check_zone(file: TomlFile, key: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        file.mistake(key, f'"{zone}" is not a time zone; write e.g. "Europe/Berlin"')


# ------------------------------------------------------------------ edges


def _check_edges(site: TomlFile, receive: Receive) -> None:
    for name, edge in (("lmtp", receive.lmtp), ("smtp", receive.smtp)):
        for place in edge.listen if edge else ():
            if not _LISTEN.fullmatch(place):
                site.mistake(
                    f"receive.{name}.listen",
                    f'"{place}" is no place to listen; write "systemd", "unix:/path" or "inet:127.0.0.1:8024"',
                )
    smtp = receive.smtp
    if smtp and bool(smtp.tls_certificate) != bool(smtp.tls_key):
        site.mistake("receive.smtp.tls_key", "tls_certificate and tls_key belong together")
    elif smtp and smtp.tls_key and not smtp.tls_key.startswith("file:"):
        site.mistake("receive.smtp.tls_key", "must be a file:/path: it is read by the TLS library")


def _check_mailbox(settings: Settings, site: TomlFile, where: str, mailbox: Imap) -> None:
    from gateway.ingest.imap import check_mailbox  # here: loads the IMAP library, which most sites do not use

    if mailbox.inbox not in settings.inbox:
        site.mistake(where, f"feeds the inbox {mailbox.inbox}, which is not configured")
    if not mailbox.host:
        site.mistake(f"{where}.host", 'is required without preset = "gmail", "microsoft365" or "yahoo"')
    elif mailbox.tls == "none" and not _is_loopback(mailbox.host):
        site.mistake(f"{where}.tls", "plain text is refused unless the host is loopback")
    if not 0 < mailbox.port < 65536:
        site.mistake(f"{where}.port", f"{mailbox.port} is not a port")
    if mailbox.sent_copy and mailbox.sent_copy in (mailbox.folder, mailbox.junk_folder.replace("auto", "")):
        site.mistake(f"{where}.sent_copy", f'"{mailbox.sent_copy}" is read as incoming mail; name the Sent folder')
    used = mailbox.enabled or bool(mailbox.sent_copy)
    if used and mailbox.auth.startswith("oauth2"):
        _check_oauth(site, f"{where}.oauth2", mailbox)
    elif used and not mailbox.secret:
        site.mistake(f"{where}.secret", f'is required with auth = "{mailbox.auth}"')
    try:
        check_mailbox(mailbox)
    except ValueError as error:
        key = next(
            (k for k in ("after", "catch_up", "user", "folder", "sent_copy") if _is_named(mailbox, k, str(error))), ""
        )
        site.mistake(f"{where}.{key}" if key else where, str(error))


def _check_oauth(site: TomlFile, where: str, mailbox: Imap) -> None:
    from gateway.oauth import provider_of  # here: loads HTTP, which most sites do not use

    own, provider = mailbox.oauth2, provider_of(mailbox)
    needed = ["client_id"] + (["client_secret"] if mailbox.auth == "oauth2-client" else [])
    for key in needed:
        if not getattr(own, key):
            site.mistake(f"{where}.{key}", f'is required with auth = "{mailbox.auth}"')
    if mailbox.auth == "oauth2-client" and mailbox.preset == "microsoft365" and not (own.tenant or own.token_url):
        site.mistake(f"{where}.tenant", f'is required with auth = "{mailbox.auth}"')
    for key in ("token_url", "authorize_url"):
        url = getattr(provider, key)
        if not url and key == "token_url":
            site.mistake(f"{where}.{key}", 'is required without preset = "gmail", "microsoft365" or "yahoo"')
        elif url and not re.match(r"https://|http://(localhost|127\.0\.0\.1)[:/]", url):
            site.mistake(f"{where}.{key}", "must be an https:// address")


def _is_named(mailbox: Imap, key: str, complaint: str) -> bool:
    """Whether a complaint of the IMAP room is about this setting: it repeats the value."""
    value = str(getattr(mailbox, key))
    return repr(value) in complaint or repr(value.removeprefix("move:")) in complaint


def _check_send(settings: Settings, site: TomlFile, send: Send) -> None:
    if send.tls == "none" and not _is_loopback(send.host):
        site.mistake("send.tls", "plain text is refused unless the host is loopback")
    if not 0 < send.port < 65536:
        site.mistake("send.port", f"{send.port} is not a port")
    if send.auth.startswith("oauth2"):
        if settings.oauth_mailbox(send.user) is None:
            site.mistake("send.user", f'auth = "{send.auth}" needs [receive.imap.NAME.oauth2] of the same user')
    elif send.auth != "none":
        for key in ("user", "secret"):
            if not getattr(send, key):
                site.mistake(f"send.{key}", f'is required with auth = "{send.auth}"')
    if not send.retry:
        site.mistake("send.retry", 'must name at least one delay, e.g. ["5m"]')
    if send.dkim.enabled:
        for key in ("domain", "selector", "key_secret"):
            if not getattr(send.dkim, key):
                site.mistake(f"send.dkim.{key}", "is required with enabled = true")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


# ------------------------------------------------------------------ small languages inside strings


def _check_limits(settings: Settings, site: TomlFile) -> None:
    security, commands = settings.security, settings.commands
    for key in ("loop_limit", "new_ticket_limit", "begin_limit"):
        value = getattr(security, key)
        if not _PER_HOUR.fullmatch(value):
            site.mistake(f"security.{key}", f'"{value}" is no limit; mails are counted by the hour: write "10/1h"')
    if not _COLLISION.fullmatch(commands.collision_default):
        site.mistake(
            "commands.collision_default", f'"{commands.collision_default}" is unknown; write "note 24h" or "hold"'
        )
    if not commands.prefixes:
        site.mistake("commands.prefixes", 'must have at least one character, e.g. "#"')
    for key, value, off in (
        ("agent_mail.digest", settings.agent_mail.digest, True),
        ("retention.run_at", settings.retention.run_at, False),
    ):
        if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", value) and not (off and value == "off"):
            site.mistake(key, f'"{value}" is no time of day; write "08:30"' + (' or "off"' if off else ""))
    if not settings.storage.url.startswith(("sqlite:/", "postgresql:", "postgres:")):
        site.mistake("storage.url", 'write "sqlite:/path/to/file" or "postgresql:///ticketgate"')
    listen = settings.metrics.listen
    if listen and not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}", listen):
        site.mistake("metrics.listen", f'"{listen}" is no address; write "127.0.0.1:9797"')
    elif listen and not _is_loopback(listen.rpartition(":")[0].strip("[]")):
        site.mistake(
            "metrics.listen", "only on loopback: there is no login; use textfile, or a proxy that asks for one"
        )
