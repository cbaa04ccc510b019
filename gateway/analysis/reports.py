"""Delivery reports (bounces) in every shape the world sends them: RFC 3464, header fields, JSON, prose.

What a report says is advisory: it is shown, and acts only when it reached a bounce address of ours (security.md 9).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.address import domain_of, fold_address
from gateway.analysis import charset
from gateway.analysis.delivery_status import (
    ADDRESS,
    MAX_RECIPIENTS,
    choose_status,
    has_delivery_status,
    kind_of,
    read_delivery_status,
)
from gateway.analysis.fields import decode_value, split_fields
from gateway.analysis.html import html_to_text
from gateway.analysis.mailboxes import read_mailboxes
from gateway.analysis.report_prose import cut_returned, find_recipients, read_prose
from gateway.model import DeliveryReport, Message

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status", "message/disposition-notification")
RETURNED_TYPES = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
_ID_LINE = re.compile(
    r"^(?:original-)?message-id[ \t]*:[ \t]*(?:\n[ \t]+)?(<[^<>\s]{3,996}>)", re.IGNORECASE | re.MULTILINE
)
_MAX_JSON = 256 * 1024


def read_reports(raw: bytes, message: Message) -> tuple[DeliveryReport, ...]:
    """One report per recipient named in the mail; empty when it names none.

    Ask only about mail whose origin is a delivery report: read as one, any text with addresses in it says something.
    """
    try:
        found = _read(raw, message)
    except Exception:  # noqa: BLE001 - a stranger's prose must not cost the mail; it is shown unread
        return ()
    if not found:
        return ()
    returned_id = _returned_id(message)
    original_id = returned_id or _original_id(raw, message)
    return tuple(
        replace(report, original_message_id=report.original_message_id or original_id, returned_id=returned_id)
        for report in found[:MAX_RECIPIENTS]
    )


def _read(raw: bytes, message: Message) -> list[DeliveryReport]:
    for attachment in message.attachments:
        if attachment.type in _STATUS_TYPES:
            found = read_delivery_status(_text_of(attachment.content))
            if found:
                return found
    inner = _wrapped_report(message)
    if inner:
        return inner
    by_json = _read_json(message.text)
    if by_json:
        return by_json
    text = message.text or _other_text(message)
    if has_delivery_status(text):
        found = read_delivery_status(text)
        if found:
            return found
    return _read_words(raw, message, text)


def _wrapped_report(message: Message) -> list[DeliveryReport]:
    """A report that a gateway wrapped into a mail of its own, a disclaimer on top."""
    for attachment in message.attachments[:3]:
        if attachment.type != "message/rfc822":
            continue
        head = attachment.content[:4096].lower()
        at = attachment.content[: 512 * 1024].lower().find(b"message/delivery-status")
        if b"report-type=delivery-status" in head.replace(b'"', b"") and at >= 0:
            return read_delivery_status(_text_of(attachment.content[at : at + 64 * 1024]))
    return []


def _read_words(raw: bytes, message: Message, text: str) -> list[DeliveryReport]:
    report = cut_returned(text)
    named = _named_by_header(message)
    own = _own_addresses(message)
    domain = domain_of(message.author.address) if message.author else ""
    recipients = named or find_recipients(report, own, domain)
    if not recipients and text is message.text and (other := _other_text(message)):
        report = cut_returned(other)
        recipients = find_recipients(report, own)
    if not recipients:
        recipients = _addressees_of_returned(message, text)
    if not recipients and not message.attachments:
        body = charset.decode(raw[raw.find(b"\n\n") + 1 :][:_MAX_JSON], "")[0].replace("\r\n", "\n")
        recipients = find_recipients(cut_returned(body), own)
    return read_prose(report, recipients, message.subject, text)


def _named_by_header(message: Message) -> list[str]:
    values = message.fields.get("x-failed-recipients", ())
    found = [match[0] for value in values for match in ADDRESS.finditer(value[:20_000])]
    return list(dict.fromkeys(found))[:MAX_RECIPIENTS]


def _own_addresses(message: Message) -> frozenset[str]:
    """Who sends this report and who gets it: neither is the address that failed."""
    boxes = [*message.to, *message.cc, *message.reply_to]
    if message.author is not None:
        boxes.append(message.author)
    addresses = {box.address.lower() for box in boxes} | {fold_address(box.address) for box in boxes}
    for name in ("delivered-to", "x-original-to", "return-path", "envelope-to"):
        for value in message.fields.get(name, ()):
            addresses.update(match[0].lower() for match in ADDRESS.finditer(value[:1000]))
    return frozenset(addresses)


def _text_of(content: bytes) -> str:
    text = charset.decode(content[:_MAX_JSON], "")[0].replace("\r\n", "\n").replace("\r", "\n")
    return html_to_text(text) if text.lstrip()[:1] == "<" and "</" in text else text


def _other_text(message: Message) -> str:
    """Text that stands in attached parts only."""
    for attachment in message.attachments:
        if attachment.type.startswith("text/") and attachment.type not in RETURNED_TYPES:
            text = _text_of(attachment.content)
            if text.strip():
                return text
    return ""


# ------------------------------------------------------------------ the returned mail


def _returned_headers(message: Message) -> Iterator[bytes]:
    for attachment in message.attachments:
        if attachment.type in RETURNED_TYPES:
            yield attachment.content


def _returned_id(message: Message) -> str:
    """Message-ID in the header of the returned mail; "" where none is returned."""
    for content in _returned_headers(message):
        header = split_fields(content, 0, min(len(content), 256 * 1024), 1000)
        value = header.first("message-id").decode("utf-8", "replace")
        found = re.search(r"<[^<>\s]{3,996}>", value)
        if found:
            return found[0]
    return ""


def _original_id(raw: bytes, message: Message) -> str:
    """Message-ID of the mail that is reported on where none is returned: from the text, else In-Reply-To."""
    for text in (message.text, charset.decode(raw[: 1024 * 1024], "")[0].replace("\r\n", "\n")):
        ids = [match[1] for match in _ID_LINE.finditer(text)]
        ids = [id_ for id_ in ids if id_ != message.message_id]
        if ids:
            return ids[0]
    known = (*message.in_reply_to, *reversed(message.references))
    return known[0] if known else ""


def _addressees_of_returned(message: Message, text: str) -> list[str]:
    """The one addressee of the returned mail, when it has only one: then nobody else can have failed."""
    for content in _returned_headers(message):
        header = split_fields(content, 0, min(len(content), 256 * 1024), 1000)
        # Whom the reporting system had it for, as it noted itself: "To" may be a list, which forwarded it there.
        last = re.search(rb"\sfor\s+<([^<>\s]{3,254}@[^<>\s]{1,253})>\s*;", header.first("received"))
        if last:
            return [last[1].decode("utf-8", "replace")]
        for name in ("x-original-to", "to"):
            boxes, _ = read_mailboxes(decode_value(header.first(name)))
            addresses = {box.address for box in boxes if "@" in box.address}
            if len(addresses) == 1:
                return list(addresses)
    for found in re.finditer(r"^To[ \t]*:[ \t]*(\S[^\n]{2,300})$", text, re.MULTILINE):
        addresses = {match[0] for match in ADDRESS.finditer(found[1])}
        if len(addresses) == 1:
            return list(addresses)
    return []


# ------------------------------------------------------------------ JSON notices

NOTICE_KINDS = {
    "bounce": "failed",
    "bounced": "failed",
    "failed": "failed",
    "dropped": "failed",
    "deferred": "delayed",
    "deliverydelay": "delayed",
    "delivery": "delivered",
    "delivered": "delivered",
}


def read_notices(text: str) -> list[dict[str, Any]]:
    """The JSON objects a provider's notice consists of: of Amazon (SNS wrapping undone), of Mailgun ("event-data"), of
    SendGrid (a list). Empty when the text is none, or says more than that: people paste such things."""
    start = text[:200].lstrip()
    if not start.startswith(("{", "[")) or len(text) > _MAX_JSON:
        return []
    try:
        value, end = json.JSONDecoder().raw_decode(text.lstrip())
        rest = text.lstrip()[end:].strip()
        inner = value.get("Message") if isinstance(value, dict) else None
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            value = json.loads(inner)
    except (ValueError, RecursionError):
        return []
    if rest and not rest.startswith("--"):
        return []
    listed = value if isinstance(value, list) else [value]
    found = (one.get("event-data", one) if isinstance(one, dict) else one for one in listed[:MAX_RECIPIENTS])
    return [one for one in found if isinstance(one, dict)]


def notice_kind(notice: dict[str, Any]) -> str:
    """What a provider's notice calls its event, lower case; "" when it is no notice."""
    named = notice.get("notificationType") or notice.get("eventType")
    addressed = "@" in str(notice.get("recipient") or notice.get("email") or "")  # other programs have events as well
    return str(named or (notice.get("event") if addressed else "") or "").lower()


def _read_json(text: str) -> list[DeliveryReport]:
    return [report for notice in read_notices(text) for report in _read_notice(notice)]


def _read_notice(notice: dict[str, Any]) -> list[DeliveryReport]:
    kind = notice_kind(notice)
    action = NOTICE_KINDS.get(kind)
    if action is None:
        return []
    details = notice.get("bounce") or notice.get("delivery") or notice.get("deliveryDelay") or notice
    if not isinstance(details, dict):
        return []
    listed = details.get("bouncedRecipients") or details.get("delayedRecipients") or details.get("recipients")
    mail = notice.get("mail") if isinstance(notice.get("mail"), dict) else {}
    headers = mail.get("commonHeaders") if isinstance(mail, dict) else {}
    original = str(headers.get("messageId") or "") if isinstance(headers, dict) else ""
    severity = str(details.get("bounceType") or details.get("severity") or "permanent").lower()
    permanent = severity not in ("transient", "temporary")
    reports = []
    for entry in listed if isinstance(listed, list) and listed else [details]:
        fields = entry if isinstance(entry, dict) else {"emailAddress": entry}
        address = str(fields.get("emailAddress") or fields.get("email") or fields.get("recipient") or "")
        found = ADDRESS.search(address[:1000])
        if not found:
            continue
        diagnostic = " ".join(
            str(fields.get("diagnosticCode") or _smtp_answer(fields) or fields.get("reason") or "").split()
        )[:1000]
        diagnostic = re.sub(r"^[\w\-]{1,20};\s*", "", diagnostic)
        status = choose_status(str(fields.get("status") or ""), diagnostic, action)
        if status in ("5.0.0", "4.0.0") and action == "failed":
            status = "5.0.0" if permanent else "4.0.0"
        reports.append(
            DeliveryReport(
                recipient=found[0],
                action=action,
                status=status,
                diagnostic=diagnostic,
                kind=kind_of(action, status),
                original_message_id=original if original.startswith("<") else "",
            )
        )
    return reports


def _smtp_answer(fields: dict[str, Any]) -> str:
    """What the other server said, in Mailgun's words: {"delivery-status": {"code": 550, "message": "…"}}."""
    answer = fields.get("delivery-status")
    if not isinstance(answer, dict):
        return ""
    return f"{answer.get('code') or ''} {answer.get('message') or answer.get('description') or ''}".strip()
