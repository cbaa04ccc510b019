"""Who or what made a mail (RFC 3834, mail.md 7.3): first rule that fits.

The rules lean one way: a machine taken for a person costs one needless acknowledgement, a person taken for a machine
gets no answer. So every rule that looks at words wants a second sign, unless the words are those only a program writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.address import fold_address, split_tag
from gateway.analysis.away import is_away_answer, is_away_subject, is_away_text, is_away_topic
from gateway.analysis.delivery_status import ADDRESS
from gateway.analysis.reports import NOTICE_KINDS, RETURNED_TYPES, notice_kind, read_notices
from gateway.model import Envelope, Message, Origin

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
    r"undeliver|un-?deliverable|non[- ]?deliver|not (?:be )?deliver|"
    r"deliver(?:y|ed|able)?\b.{0,40}\b(?:fail|delay|status|notif|problem|error|report|unsuccess|incomplete|"
    r"suspend|warning)|(?:fail|delay|problem|error|unable|warning|could not|"
    r"cannot|couldn't)\w*\b.{0,40}\b(?:deliver|mail\b|message|send)|return(?:ed|ing)? (?:mail|message|to sender)|"
    r"failure notice|mail failure|bounce|unzustellbar|nicht zugestellt|zustellung|non remis|non distribu|échec|"
    r"no se puede entregar|no entregad|mancata consegna|niet (?:be)?zorg|onbestelbaar|nie dostarczon|недоставлен|"
    r"не доставлен|配信|不達|送信エラー|メールエラー|エラー通知|退信|无法送达|无法投递|배달|returned|rejected|reject",
    re.IGNORECASE,
)
_DMARC = re.compile(r"\s*report domain: ?\S{1,253} submitter: ?\S", re.IGNORECASE)  # RFC 7489 section 7.2.1.1
_INTRODUCED = re.compile(
    r"(?:following|undeliverable|failed|intended|affected)\s+(?:e-?mail |mail )?(?:recipient|address|user|destination)",
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
        if named and named[1] == "tlsrpt":  # RFC 8460: about connections, not about mail
            return Origin.MACHINE
        if named and named[1] in _REPORTS and not _is_rejection(message, named[1]):
            return _REPORTS[named[1]]
    for kind, origin in _REPORTS.items():
        if f"message/{kind}" in types and not _is_rejection(message, kind):
            return origin
    if content_type.startswith("multipart/report"):
        return Origin.DELIVERY_REPORT
    if _has(message, "x-failed-recipients", "x-ms-exchange-message-is-ndr"):
        return Origin.DELIVERY_REPORT
    if _is_complaint(message):
        return Origin.FEEDBACK_REPORT
    notice = _notice_kind(message)
    if notice is not None:
        return notice
    return Origin.DELIVERY_REPORT if _reads_like_report(message, envelope) else None


_COMPLAINT = re.compile(
    r"complaint about message from\s|email (?:feedback|abuse) report for ip|abuse report for", re.IGNORECASE
)


def _is_complaint(message: Message) -> bool:
    """Complaints of providers that do not use ARF (RFC 5965): marked fields, or their standing subject."""
    if _has(message, "x-hmxmroriginalrecipient", "x-feedback-type", "feedback-type"):
        return True
    returned = any(attachment.type == "message/rfc822" for attachment in message.attachments)
    return returned and bool(_COMPLAINT.match(message.subject[:200]))


def _notice_kind(message: Message) -> Origin | None:
    """A provider's JSON: bounces and deliveries are reports, complaints are feedback."""
    if not message.text[:200].lstrip().startswith(("{", "[")):
        return None
    kind = next(map(notice_kind, read_notices(message.text)), "")
    if kind in ("complaint", "complained", "spamreport", "spam_report"):
        return Origin.FEEDBACK_REPORT
    return Origin.DELIVERY_REPORT if kind in NOTICE_KINDS else None


_STRONG = re.compile(
    # What the programs that return mail say, and people do not.
    r"(?:could not|can ?not|couldn't|was not|has not yet been|not been|not be|unable to|wasn't able to|"
    r"were not able to|"
    r"failed to)"
    r"(?: be)?\s+(?:deliver(?:ed)?)\b|deliver(?:y|ies) (?:of|to) [^.\n]{0,60}(?:fail|postponed|delayed|not possible)|"
    r"did not reach the following|undeliverable (?:to|address|mail|message)|failed recipients?|non-?delivery report|"
    r"not delivered to the following|had (?:permanent|delivery|transient|fatal|non-?fatal)[^\n]{0,30}(?:errors?|"
    r"problems)|"
    r"automatically (?:rejected|generated by (?:the )?mail)|created automatically by (?:the )?(?:mail|smtp)|"
    r"has been returned because|has been postponed|was blocked by (?:our|the) |no such user here|returned to sender|"
    r"delivery (?:has )?failed|rcpt to:|"
    r"n'a pas pu (?:être|etre) (?:d[ée]livr|remis)|konnte nicht zugestellt|nicht zugestellt werden|"
    r"送信できませんでした|配信できませんでした|送信に失敗|无法(?:发送|送达|投递)|"
    r"не может быть доставлен|не было доставлено|"
    r"no se (?:ha )?pud?o entregar|non è stato (?:possibile )?(?:recapit|consegn)",
    re.IGNORECASE,
)
_TITLE = re.compile(
    # How a report's subject begins; the words behind are the subject of the returned mail.
    r"\s*(?:\[[^\]]{0,30}\]\s*|\*+\s*)?(?:undeliver(?:able|ed)|non-?deliver(?:y|able)|mail delivery|"
    r"delivery (?:status|fail\w*|"
    r"delay\w*|error|problem)|returned mail|failure (?:notice|delivery)|mail (?:system )?error|"
    r"message (?:status|delivery|"
    r"undeliverable)|unzustellbar|zustellung|nicht zugestellt|non remis|échec|message non distribu|"
    r"no se puede entregar|"
    r"no entregad|non recapitabile|mancata consegna|onbestelbaar|não é possível entregar|não entregue|"
    r"kan ikke leveres|"
    r"kan inte levereras|ei voi(?:da)? toimittaa|nie można dostarczyć|niedostarcz|nedoručiteln|kézbesíthetetlen|"
    r"nelivrabil|"
    r"teslim edilemeyen|недоставлен|не доставлен|не удалось доставить|"
    r"配信不能|配信できません|無法傳遞|无法传递|退信|系统退信|"
    r"배달되지|전송 실패)",
    re.IGNORECASE,
)
_MACHINE_LOCAL = re.compile(
    r"\"?(?:[^@]*[._\-+])?(?:mail-?er|smtp|gateways?|anti-?virus|no-?reply|do-?not-?reply|ndr|dsn|mta|imss|"
    r"mdaemon|mail-?system|"
    r"mail-?service|mail-?scan\w*|mail-?filter|mail-?marshal|system.?administrator|postmaster.*|notifications?|"
    r"exchange|"
    r"domino|amavis\w*|barracuda|ironport|admin(?:istrator)?)\"?(?:[._\-+][^@]*)?@",
    re.IGNORECASE,
)


_RETURN_PATH = re.compile(r"(?:[^@]*[-+=.])?bounces?(?:[-+=][^@]*)?@", re.IGNORECASE)
"""Mail is returned to such an address, and people do not write to it: ``list-bounces@``, ``bounce+ann=a.test@``."""


def _reads_like_report(message: Message, envelope: Envelope) -> bool:
    """Rule 5, for systems that mark nothing: who writes, from where, and what it says."""
    author = message.author.address if message.author else ""
    if author.lower().startswith(("mailer-daemon@", "mail-daemon@")) or author.lower() == "mailer-daemon":
        return True  # RFC 5321: nobody but a mail system has this name
    subject = message.subject[:300]
    if is_away_subject(subject):
        return False
    failure = bool(_FAILURE.search(subject))
    null = null_reverse_path(message, envelope)
    if is_daemon(message):
        # A postmaster is a person, too: one who asks us something names nobody who was not reached.
        titled = bool(_TITLE.match(subject)) and not any(mark in message.text[:2000] for mark in _MARKS)
        return null or titled or ((failure or _is_strong(message)) and _names_somebody(message))
    if null:
        return bool(_TITLE.match(subject)) or _is_strong(message)
    if message.in_reply_to or message.references or re.match(r"\s*(?:fwd?|wg|tr|rv|i)\s*:", subject, re.IGNORECASE):
        return False
    machine = bool(_MACHINE_LOCAL.match(author)) or any(_RETURN_PATH.match(box.address) for box in message.to)
    return failure and machine and _is_strong(message) and _names_somebody(message)


def _names_somebody(message: Message) -> bool:
    """A report says who was not reached, or returns the mail. A postmaster who complains about us does neither."""
    if any(attachment.type in RETURNED_TYPES for attachment in message.attachments):
        return True
    boxes = (*message.to, *message.cc, *([message.author] if message.author else ()))
    known = {box.address.lower() for box in boxes}
    shown = message.text[:20_000] or message.html[:100_000]
    return any(found[0].lower() not in known for found in ADDRESS.finditer(shown)) or bool(_INTRODUCED.search(shown))


def _is_strong(message: Message) -> bool:
    return bool(_STRONG.search(message.text[:3000]))


def _is_rejection(message: Message, kind: str) -> bool:
    """Sieve's reject (RFC 5429) answers with a disposition notification: a failure all the same."""
    return kind == "disposition-notification" and bool(
        re.search(r"automatically rejected|was rejected|has been rejected", message.text[:1000], re.IGNORECASE)
    )


def is_daemon(message: Message) -> bool:
    """Whether the author is a mail system by its address or, without a usable one, by its name."""
    if message.author is None:
        return False
    return bool(_DAEMONS.match(message.author.address) or _DAEMON_NAMES.search(message.author.name[:100]))


def _automatic_kind(message: Message, envelope: Envelope) -> Origin | None:
    submitted = _word(message, "auto-submitted")
    if submitted and submitted != "no":
        # Exchange calls its away notices auto-generated.
        answers = submitted == "auto-replied" or _has(message, "x-ms-exchange-inbox-rules-loop")
        return Origin.AUTO_REPLY if answers or is_away_subject(message.subject) else Origin.MACHINE
    if _has(message, "x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from", "x-mail-autoreply"):
        return Origin.AUTO_REPLY
    if _has(message, "x-autogenerated", "x-auto-generated", "x-list-administrivia") or _DMARC.match(message.subject):
        return Origin.MACHINE
    if _has(message, "x-ms-exchange-inbox-rules-loop") or "vacation" in _first(message, "x-apple-action").lower():
        return Origin.AUTO_REPLY
    if "auto_reply" in (_word(message, "precedence"), _word(message, "x-precedence")):
        return Origin.AUTO_REPLY
    null = null_reverse_path(message, envelope)
    suppressed = _has(message, "x-auto-response-suppress")
    answers = bool(message.in_reply_to or message.references)
    if is_away_subject(message.subject) and (answers or suppressed or null or not _asks(message)):
        return Origin.AUTO_REPLY
    # A person on holiday also writes "I am away"; but answers with "Re:", and from an address. One who answers an old
    # mail with "Absence of invoices" is no machine: then the text has to speak of being away, or the subject of both.
    if (suppressed or null) and is_away_topic(message.subject):
        return Origin.AUTO_REPLY
    if answers and (is_away_answer(message.subject) or (is_away_topic(message.subject) and is_away_text(message.text))):
        return Origin.AUTO_REPLY
    if (suppressed or null) and is_away_text(message.text):
        return Origin.AUTO_REPLY
    return Origin.MACHINE if null else None


def _asks(message: Message) -> bool:
    """A question in the subject and in the text, and nobody away: "Automatic reply: how do I turn it off?"."""
    subject = message.subject[:300].rstrip()
    return (
        subject.endswith(_MARKS)
        and any(mark in message.text[:2000] for mark in _MARKS)
        and not is_away_text(message.text)
    )


_MARKS = ("?", "？", "؟")


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
