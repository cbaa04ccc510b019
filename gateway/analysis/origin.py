"""Who or what made a mail (RFC 3834, mail.md 7.3): first rule that fits.

The rules lean one way: a machine taken for a person costs one needless acknowledgement, a person taken for a machine gets
no answer. So every rule that looks at words wants a second sign, unless the words are those only a program writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.address import fold_address, split_tag
from gateway.analysis.away import is_away_subject, is_away_text
from gateway.model import Envelope, Message, Origin

MAX_RECEIVED = 25
"""More Received fields than this: the mail goes in circles (mail.md 7.2)."""

_DAEMONS = re.compile(
    r"(?:mailer-?daemon|mail-?daemon|postmaster|mail[-_ ]?delivery([-_ ]?(sub)?system)?|mdaemon|mailadmin|"
    r"mail[-_ ]?admin|bounces?|uucp|double-bounce|mailsrv-daemon|mmdf|mrsp_smtp_out|systemadmin(istrator)?)"
    r"(?:[+=.-][^@]*)?(?:@|\Z)",
    re.IGNORECASE,
)
_DAEMON_NAMES = re.compile(
    r"mail ?(?:er)?[- ]?daemon|mail delivery (?:sub)?system|mail deliver(?:y|er)|post ?master|mail administrator|"
    r"system administrator|delivery (?:subsystem|service)|internet mail delivery|message router",
    re.IGNORECASE,
)
_FAILURE = re.compile(
    r"undeliver|un-?deliverable|non[- ]?deliver|not (?:be )?deliver|deliver(?:y|ed|able)?\b.{0,40}\b(?:fail|delay|status|"
    r"notif|problem|error|report|unsuccess|incomplete|suspend)|(?:fail|delay|problem|error|unable|warning|could not|"
    r"cannot|couldn't)\w*\b.{0,40}\b(?:deliver|mail\b|message|send)|return(?:ed|ing)? (?:mail|message|to sender)|"
    r"failure notice|mail failure|bounce|unzustellbar|nicht zugestellt|zustellung|non remis|non distribu|échec|"
    r"no se puede entregar|no entregad|mancata consegna|niet (?:be)?zorg|onbestelbaar|nie dostarczon|недоставлен|"
    r"не доставлен|配信|不達|送信エラー|退信|无法送达|无法投递|배달|returned|rejected|reject",
    re.IGNORECASE,
)
_REPORTS = {
    "disposition-notification": Origin.DISPOSITION_REPORT,
    "feedback-report": Origin.FEEDBACK_REPORT,
    "delivery-status": Origin.DELIVERY_REPORT,
}


def find_origin(message: Message, envelope: Envelope, own_addresses: frozenset[str], id_domain: str) -> Origin:
    """The class of one mail. ``own_addresses``: folded addresses of all inboxes; ``id_domain``: of our Message-IDs."""
    ours = id_domain.lower()
    if ours and message.message_id.lower().endswith(f"@{ours}>"):
        return Origin.OURSELVES
    report = _report_kind(message, envelope)
    if report is not None:
        return report
    if _is_ours(message, own_addresses, ours):
        return Origin.OURSELVES
    automatic = _automatic_kind(message, envelope)
    if automatic is not None:
        return automatic
    if _has(message, "list-id", "list-unsubscribe", "list-post", "mailing-list", "x-mailing-list") or _word(
        message, "precedence"
    ) in ("bulk", "list", "junk"):
        return Origin.LIST
    return Origin.PERSON


def _is_ours(message: Message, own_addresses: frozenset[str], id_domain: str) -> bool:
    if id_domain and any(id_domain in value.lower().split() for value in message.fields.get("x-loop", ())):
        return True
    if message.author is None or "@" not in message.author.address:
        return False
    address = fold_address(message.author.address)
    return address in own_addresses or any(split_tag(address, mark)[0] in own_addresses for mark in "+-")


def null_reverse_path(message: Message, envelope: Envelope) -> bool:
    """Whether the mail came from ``<>``: the envelope knows over SMTP, Return-Path says it in a mailbox."""
    if envelope.source in ("lmtp", "smtp"):
        return envelope.reverse_path.strip("<> ") == ""
    paths = message.fields.get("return-path", ())
    return bool(paths) and paths[0].strip() in ("<>", "< >", "")


def _report_kind(message: Message, envelope: Envelope) -> Origin | None:
    content_type = _first(message, "content-type").lower()
    types = {attachment.type for attachment in message.attachments}
    if content_type.startswith("multipart/report"):
        named = re.search(r'report-type\s*=\s*"?([a-z\-]+)', content_type)
        if named and named[1] in _REPORTS:
            return _REPORTS[named[1]]
    for kind, origin in _REPORTS.items():
        if f"message/{kind}" in types:
            return origin
    if content_type.startswith("multipart/report"):
        return Origin.DELIVERY_REPORT
    if _has(message, "x-failed-recipients", "x-ms-exchange-message-is-ndr"):
        return Origin.DELIVERY_REPORT
    if is_daemon(message) and (null_reverse_path(message, envelope) or _FAILURE.search(message.subject[:300])):
        return Origin.DELIVERY_REPORT
    return None


def is_daemon(message: Message) -> bool:
    """Whether the author is a mail system by its address or, without a usable one, by its name."""
    if message.author is None:
        return False
    return bool(_DAEMONS.match(message.author.address) or _DAEMON_NAMES.search(message.author.name[:100]))


def _automatic_kind(message: Message, envelope: Envelope) -> Origin | None:
    submitted = _word(message, "auto-submitted")
    if submitted and submitted != "no":
        return Origin.AUTO_REPLY if submitted == "auto-replied" else Origin.MACHINE
    if _has(message, "x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from", "x-mail-autoreply"):
        return Origin.AUTO_REPLY
    if _has(message, "x-autogenerated", "x-auto-generated"):
        return Origin.MACHINE
    if _has(message, "x-ms-exchange-inbox-rules-loop") or "vacation" in _first(message, "x-apple-action").lower():
        return Origin.AUTO_REPLY
    if "auto_reply" in (_word(message, "precedence"), _word(message, "x-precedence")):
        return Origin.AUTO_REPLY
    if is_away_subject(message.subject):
        return Origin.AUTO_REPLY
    signs = bool(message.in_reply_to or message.references or _has(message, "x-auto-response-suppress"))
    null = null_reverse_path(message, envelope)
    if (signs or null) and is_away_text(message.subject, message.text):
        return Origin.AUTO_REPLY
    if null:
        return Origin.MACHINE
    return None


def _first(message: Message, name: str) -> str:
    values = message.fields.get(name)
    return values[0].strip() if values else ""


def _word(message: Message, name: str) -> str:
    """The first word of a field, lower case: ``auto-replied (rejected)`` and ``auto-replied; x=y`` are the same."""
    return re.split(r"[\s;(,]", _first(message, name).lower(), maxsplit=1)[0]


def _has(message: Message, *names: str) -> bool:
    return any(_present(message.fields.get(name, ())) for name in names)


def _present(values: Iterable[str]) -> bool:
    return any(value.strip().lower() not in ("", "no", "0", "false") for value in values)
