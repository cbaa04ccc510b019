"""The rules every mail of ours keeps, as one function (the list a test checks on each file, mail.md 18)."""

from __future__ import annotations

import base64
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from urllib.parse import unquote

from gateway.model import OutboundMail, TicketFacts
from gateway.outbound.notices import OUTSIDE
from gateway.settings import Settings

_TOKEN = re.compile(r"[anhsdtb][a-z2-7]-[0-9]+-[0-9]+-[0-9]+-[a-z2-7]{16}")
_OWN_ID = re.compile(r"<[0-9.]+\.[a-z2-7]{17}@[^>]+>")
_MAILTO = re.compile(r"mailto:[^\s\"'<>]+")


def read(raw: bytes) -> EmailMessage:
    parsed = message_from_bytes(raw, policy=policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def texts(mail: EmailMessage) -> tuple[str, str]:
    """The text and the HTML of a mail; "" where there is none."""
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return plain.get_content() if plain else "", html.get_content() if html else ""


def check(mail: OutboundMail, settings: Settings, ticket: TicketFacts | None) -> None:
    """Assert every rule on one mail."""
    parsed = read(mail.content)
    for part in parsed.walk():
        assert not part.defects, part.defects
        assert all(not value.defects for value in part.values() if hasattr(value, "defects"))
    _check_bytes(mail.content)
    inbox = next(iter(settings.inbox.values()))
    assert [a for _, a in getaddresses([parsed["From"]])] == [inbox.address]
    assert "@" not in getaddresses([parsed["From"]])[0][0]
    for name in ("Sender", "Bcc", "Disposition-Notification-To", "Precedence", "Return-Path"):
        assert parsed[name] is None
    assert parsed["X-Loop"] == settings.id_domain
    _check_addresses(mail, parsed, settings)
    _check_ids(mail, parsed, settings, ticket)
    suppress = parsed["X-Auto-Response-Suppress"]
    assert "All" not in re.split(r"\W+", suppress)
    assert ("OOF" in suppress) == (parsed["Auto-Submitted"] is not None)
    if mail.kind in OUTSIDE:
        _check_customer(mail, parsed, settings)
    else:
        _check_agent(mail, parsed, settings, ticket)


def _check_bytes(raw: bytes) -> None:
    assert b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"")
    assert raw.isascii() and b"\0" not in raw
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def _check_addresses(mail: OutboundMail, parsed: EmailMessage, settings: Settings) -> None:
    for address in (mail.reverse_path, *(a for _, a in getaddresses([parsed["Reply-To"] or ""]) if a)):
        local = address.partition("@")[0]
        assert len(local) <= 64 and local == local.lower() and local.count("+") <= 1
        if "+" in local:
            token = settings.keys.read_tag(local.partition("+")[2])
            assert token is not None and token.party == mail.party
            assert token.ticket == (0 if token.kind == "d" else mail.ticket)


def _check_ids(mail: OutboundMail, parsed: EmailMessage, settings: Settings, ticket: TicketFacts | None) -> None:
    own = settings.keys.read_message_id(parsed["Message-ID"], settings.id_domain)
    assert own is not None and (own.ticket, own.event, own.party) == (mail.ticket, mail.event, mail.party)
    references = (parsed["References"] or "").split()
    assert len(references) <= 11 and len(set(references)) == len(references)
    for message_id in [*(parsed["In-Reply-To"] or "").split(), *references]:
        if message_id.endswith(f"@{settings.id_domain}>"):
            token = settings.keys.read_message_id(message_id, settings.id_domain)
            assert token is not None and token.party in (0, mail.party)
            assert token.party == mail.party or mail.kind not in OUTSIDE, "a root in customer mail"
    if parsed["Auto-Submitted"] == "auto-generated" and parsed["X-Ticket"]:
        assert parsed["In-Reply-To"] == references[0]
        assert ticket is None or len(ticket.events) > 90 or references[0] == ticket.root


def _check_customer(mail: OutboundMail, parsed: EmailMessage, settings: Settings) -> None:
    assert not [name for name in parsed if name.lower().startswith(("x-ticket", "list-", "thread-"))]
    plain, html = texts(parsed)
    everything = "\n".join([plain, html, *map(str, parsed.values())])
    for found in _TOKEN.findall(everything):
        token = settings.keys.read_tag(found)
        assert token is None or (token.party == mail.party and token.kind in "tb")
    assert "mailto:" not in everything.replace('href="mailto:', "") or "subject=" not in everything
    for agent in settings.agents.values():
        for address in (agent.address, *agent.also):
            assert address not in everything.lower() or address == mail.recipient
    assert not re.search(r"^#\d+ ", plain, re.M) and "tg-" not in html


def _check_agent(mail: OutboundMail, parsed: EmailMessage, settings: Settings, ticket: TicketFacts | None) -> None:
    plain, html = texts(parsed)
    assert [a for _, a in getaddresses([parsed["To"]])] == [mail.recipient] and parsed["Cc"] is None
    shown = " ".join(str(parsed[name] or "") for name in ("From", "To", "Cc", "Reply-To"))
    for person in ticket.participants if ticket else ():
        assert person.agent or person.address not in shown
    if parsed["X-Ticket"]:
        assert re.match(rf"#{mail.ticket}\b", plain), plain[:60]
        assert parsed["List-Unsubscribe"] is None and parsed["List-Id"] is not None
        assert len(base64.b64decode(parsed["Thread-Index"])) == 27
        assert parsed["Thread-Topic"] == parsed["Subject"]
        assert not str(parsed["Subject"]).startswith("Re:")
    for href in _MAILTO.findall(plain) + [h.replace("&amp;", "&") for h in _MAILTO.findall(html)]:
        if "subject=" in href:
            _check_link(href, mail, settings)
    if html:
        _check_html(html, mail)


def _check_link(href: str, mail: OutboundMail, settings: Settings) -> None:
    address, _, query = href.removeprefix("mailto:").partition("?")
    assert len(href) <= 200 and "+" not in href and address in {i.address for i in settings.inbox.values()}
    values = [pair.partition("=")[2] for pair in query.split("&")]
    assert all(re.fullmatch(r"(?:[A-Za-z0-9.]|%20)*", value) for value in values), href
    words = unquote(values[0]).split(" ")
    found = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", words[-2])
    ticket, event = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    assert settings.keys.read_action(words[-1], ticket, event, [mail.party]), href


def _check_html(html: str, mail: OutboundMail) -> None:
    assert len(html) <= 60_000 and "<html lang=" in html
    assert '<meta name="color-scheme" content="light dark">' in html
    lowered = html.lower()
    for word in ("background", "<svg", "data:", "<script", "<style", "<link", "http-equiv", "javascript:", "onload"):
        assert word not in re.sub(r">[^<]*<", "><", lowered), word
    assert not re.search(r"[^-]color:", lowered)
    assert all("scope=" in th for th in re.findall(r"<th\b[^>]*>", lowered))
    assert all("alt=" in img and 'src="cid:' in img for img in re.findall(r"<img\b[^>]*>", lowered))
    if mail.ticket:
        assert html.count(f'<div id="tg-{mail.ticket}">') == 1
