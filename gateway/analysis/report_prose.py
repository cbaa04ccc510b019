"""Delivery reports written as prose: qmail, Exim, sendmail, Exchange, Notes and everybody's own gateway.

No table of programs. What they all do: say that something was not delivered, name the address at the beginning of a
line or behind a word like "to" or "recipient", give the reason near it, and append the mail itself. So the appended
mail is cut off first, every address left is weighed by where it stands, and the reason is what stands between it and
the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.analysis.delivery_status import ADDRESS, MAX_RECIPIENTS, kind_of, status_in
from gateway.model import DeliveryReport

_MAX_TEXT = 64 * 1024
_MAX_LINE = 2000

_RETURNED = re.compile(
    # A sentence that announces the returned mail …
    r"^[ \t>*|#=_\-]*(?:this is a copy of|here is (?:a copy|the header)|(?:included|enclosed|attached|"
    r"below) is a copy|"
    r"below this line|the headers? of the original|(?:the )?(?:first|top) \d+ lines of|the headers? and (?:top|"
    r"first) \d+|"
    r"a copy of (?:the|your) (?:original )?(?:message|mail)|the following is the (?:header|original)|"
    r"text of (?:the )?(?:original|your) message|附件中的内容|原メール|元のメール|original mail info)[^\n]{0,120}$"
    # … or a line that is its title.
    r"|^[ \t>*|#=_\-]*(?:(?:the )?(?:unsent|returned|original|undelivered|forwarded|rejected|old|your original)"
    r" (?:message|mail|text)(?: (?:header|text|body|info|is|was|follow|attached|below|contents?|"
    r"details?)[^\n]{0,40})?|"
    r"message (?:headers?|text|body|content|source)(?: follows?)?|start of returned message|"
    r"non-?delivered (?:message|"
    r"information)|headers? (?:of|from) (?:the |your )?(?:original|returned|message)[^\n]{0,30})"
    r"[ \t:.*|#=_\-]{0,100}(?:\([^\n]{0,40}\)[ \t:.*|#=_\-]{0,100})?$",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER_BLOCK = re.compile(
    r"^(?:Received|Return-Path|DKIM-Signature|X-Received|Delivered-To)[ \t]*:[^\n]+\n(?:[ \t][^\n]*\n)*"
    r"(?:[A-Za-z][A-Za-z0-9\-]{1,40}[ \t]*:[^\n]*(?:\n|\Z)(?:[ \t][^\n]*\n)*){2}",
    re.IGNORECASE | re.MULTILINE,
)
_ABOUT_SENDER = re.compile(
    r"(?:\bfrom|mail from|sender|contact|assistance|help ?desk|support|question|administrator|postmaster|reply[- ]to|"
    r"message-id|return-path|sent by|originator|abuse|envelope-from|write to|e-?mail to|mailto|forward(?:ed)? to|"
    r"send (?:mail|email|e-mail|a message|your)|please (?:send|email|mail|try)|new address|instead|subject|on behalf|"
    r"you \(|by using)\W{0,4}(?:[\w.\-/]{1,24}[^\w.\-/]{1,3}){0,2}\Z",
    re.IGNORECASE,
)
_ABOUT_RECIPIENT = re.compile(
    r"(?:recipients?|rcpt to|delivered to|deliver(?:y)? (?:message |mail |of (?:message|mail|email) |failed )?to|"
    r"undeliverable +to|(?:send|sent) (?:it |message |mail |this message |your message )?to|addressed to|addressee|"
    r"address(?:es|\(es\))?|user(?:id| name|name|s)?|mailbox(?:es)?|account|user unknown|unknown user|no such user|"
    r"attempts|mail for|message for|message to|delivery to|destination|failed|for|to|box|reach|contacting|alias|"
    r"email|e-mail|subscriber|smtp)[\s:;=<\[('\"*\-.,]{0,20}(?:e?smtp:|rfc822;|address|is|user|"
    r"recipient)?[\s:;=<\[('\"*\-.]{0,20}\Z",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^[\s*>|•\-\u2022]*(?:(?:to|recipients?|address(?:es)?|failed|user|final-recipient|rcpt to|rfc822|smtp|"
    r"e?mail|failed recipient)"
    r"\s*[:;]\s*)*[\[(]?(?:[45][0-9]{2}[ \-])?(?:\s*[45]\.\d\.\d+\s+)?[\s<\"'\[(]*(?:smtp:|e?mail:)?[<\"']*\Z",
    re.IGNORECASE,
)
_BEHIND_REASON = re.compile(
    r"[\s>\"'\])]*(?:[<:.…,;-]|\.\.\.|\(|on \w{3},|is (?:not|un|over|full|dis|inv)|was not|does ?n|has|invalid|error|"
    r"\[|not|no |unknown|user|mailbox|\Z|[45]\d\d)",
    re.IGNORECASE,
)
_SMTP_NEAR = re.compile(r"(?:^|\s|[<>:])(?:rcpt to:|[45]\d\d[ \-]|<<<|>>>|#[45]\.\d)", re.IGNORECASE)
_DELAY = re.compile(
    r"(?:has|have) not yet been delivered|not yet (?:been )?deliver|delivery (?:is |has been |was )?(?:temporarily )?"
    r"(?:delayed|deferred)|(?:message|mail|delivery) (?:is |has been |was )?(?:delayed|still being retried)|"
    r"will (?:be|continue(?: to| being)?"
    r"|keep) (?:retr|try|attempt)|been postponed|this is a warning|warning message only|warning only|"
    r"do not need to resend|"
    r"delivery attempts will continue|could not be delivered (?:for|within) (?:more than )?(?:the last )?\d|"
    r"still being retried|\(delay\)|in coda|noch nicht zugestellt|wird weiter versucht|pas encore",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"permanent (?:fatal )?(?:error|failure|delivery)|given up|giving up|will not (?:be retried|retry|try)|"
    r"not going to try|"
    r"no further|returned to sender|undeliverable|final(?:ly)? failed",
    re.IGNORECASE,
)
_SYSTEM_LOCALS = re.compile(
    r"(?:mailer-?daemon|postmaster|abuse|noc|support|helpdesk|webmaster|hostmaster|no-?reply|mail-?admin|admin|"
    r"root)@",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(
    r"(?:following|these|this|one or more of (?:its|the|your)?|to the|intended|failed|affected|undeliverable|"
    r"the)\s+(?:e-?mail |"
    r"mail )?(?:recipients?|address(?:es)?|users?|destinations?|people|persons?|mailbox(?:es)?|distribution lists?)"
    r"(?:\(s\)|\(es\))?(?: or distribution lists?)?(?!\w)[^.\n]{0,60}[:.\-]?\s*-*\s*$|failed recipients|"
    r"failed address|not deliver"
    r"[^\n]{0,30}:\s*$|メールアドレスへの|addresses had[^\n]{0,60}$|next address|following address|following recip",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^(?:smtp|rfc-?822|mailto|to|addr|address|recipient|rcpt|user|email)=", re.IGNORECASE)
_FILE_LIKE = re.compile(r"\.(?:html?|php|png|gif|jpe?g|txt|eml)\Z", re.IGNORECASE)


@dataclass(slots=True)
class _Candidate:
    address: str
    score: int = 0
    first: int = 0


def cut_returned(text: str) -> str:
    """The report without the mail it returns."""
    text = text[:_MAX_TEXT]
    ends = [len(text)]
    for found in _RETURNED.finditer(text):
        # A report can begin with such words ("Returned mail: …"): only what stands behind some text is a border.
        if text[: found.start()].strip():
            ends.append(found.start())
            break
    block = _HEADER_BLOCK.search(text)
    if block and text[: block.start()].strip():
        ends.append(block.start())
    return text[: min(ends)]


def is_delay(subject: str, text: str) -> bool:
    """Whether a report only says that the mail is late."""
    head = text[:3000]
    late = bool(re.search(r"delay|still being retried", subject[:200], re.IGNORECASE)) or bool(_DELAY.search(head))
    return late and not _GIVEN_UP.search(head)


def find_recipients(text: str, own: frozenset[str], domain: str = "") -> list[str]:
    """The failed addresses a report names, in order.

    ``own``: folded addresses of the report's sender and reader. ``domain``: of a system that names its own people by
    their local part.
    """
    candidates = _weigh(text, own)
    if not any(c.score > 0 for c in candidates):
        return _bare_names(text, domain)
    for least in (5, 3, 2, 1):
        best = [c for c in candidates if c.score >= least]
        if best:
            return [c.address for c in sorted(best, key=lambda c: c.first)][:MAX_RECIPIENTS]
    return []


def _bare_names(text: str, domain: str) -> list[str]:
    """Local parts on lines of their own below a line that announces recipients."""
    names: list[str] = []
    announced = False
    for line in text.split("\n")[:200]:
        if announced and (bare := re.fullmatch(r"[ \t]+<?([A-Za-z0-9][A-Za-z0-9._\-]{1,63})>?:?", line)):
            names.append(f"{bare[1]}@{domain}")
        elif line.strip():
            announced = bool(re.search(r"recipients?\b|address(?:es)?\b", line, re.IGNORECASE))
    return names[:20] if domain else []


def read_prose(text: str, recipients: list[str], subject: str, whole: str = "") -> list[DeliveryReport]:
    """One report per recipient, with the reason that stands near it; in ``whole`` when nothing stands near."""
    delayed = is_delay(subject, text)
    action = "delayed" if delayed else "failed"
    lines = [line[:_MAX_LINE] for line in text.split("\n")]
    asked = {recipient.lower() for recipient in recipients}
    places: dict[str, list[int]] = {recipient: [] for recipient in asked}
    named: dict[int, set[str]] = {}  # line -> recipients it names
    for number, line in enumerate(lines):
        for key in asked & {_tidy(match[0]).lower() for match in ADDRESS.finditer(line)}:
            places[key].append(number)
            named.setdefault(number, set()).add(key)
    general = status_in(text) or status_in(whole[:_MAX_TEXT]) or status_in(subject)
    general = general or ("4.0.0" if delayed else "5.0.0")
    reports = []
    for recipient in recipients:
        diagnostic = _reason(lines, recipient.lower(), places[recipient.lower()], named)
        status = status_in(diagnostic) or general
        reports.append(
            DeliveryReport(
                recipient=recipient,
                action=action,
                status=status,
                diagnostic=diagnostic[:1000],
                kind=kind_of(action, status),
            )
        )
    return reports


def _reason(lines: list[str], recipient: str, own: list[int], named: dict[int, set[str]]) -> str:
    """Text from the first line that names the recipient to the next recipient or a border, the richest place wins."""
    best = ""
    for start in own[:5]:
        taken: list[str] = []
        for number in range(start, min(start + 12, len(lines))):
            other = number in named and recipient not in named[number]
            if number > start and (other or re.match(r"\s{0,20}[-=*]{4,}", lines[number])):
                break
            if number > start + 1 and not lines[number].strip() and status_in(" ".join(taken)):
                break
            taken.append(lines[number].strip())
        found = " ".join(" ".join(taken).split())
        if not best or (status_in(found) and not status_in(best)):
            best = found
    return best


def _tidy(address: str) -> str:
    """An address as found in prose, without the marks around it and the SMTP= of X.400 gateways in front."""
    return _PREFIX.sub("", address.strip(".'-*_="))


def _weigh(text: str, own: frozenset[str]) -> list[_Candidate]:
    found: dict[str, _Candidate] = {}
    position = 0
    announced = 0
    for line in text.split("\n"):
        shown = " ".join(line[:_MAX_LINE].split())
        # Below such a line stand the addresses the report is about; what stood above it was the mail's own header.
        announced = 2 if _INTRODUCTION.search(shown[-300:]) else announced
        count = 0
        for match in ADDRESS.finditer(shown):
            count += 1
            address = _tidy(match[0])
            named = address != match[0].strip(".'-*_=")  # SMTP=a@b.example, as X.400 gateways write
            if count > 20 or len(found) > 2 * MAX_RECIPIENTS:
                break
            if "." not in address.rpartition("@")[2] and not shown[: match.start()].endswith("<"):
                continue
            if _FILE_LIKE.search(address):
                continue
            key = address.lower()
            score = max(_score(shown, match.start(), match.end(), key, own), 3 if named else -9)
            score += announced if score >= 2 or (key in own and score >= 0) else 0
            candidate = found.setdefault(key, _Candidate(address, score, position))
            candidate.score = max(candidate.score, score)
        position += 1
    return list(found.values())


def _score(line: str, start: int, end: int, key: str, own: frozenset[str]) -> int:
    before, behind = line[max(0, start - 120) : start], line[end : end + 60]
    score = 1
    if start <= 80 and _LEAD.match(line[:start]) and _BEHIND_REASON.match(behind):
        score = 4
    elif _ABOUT_RECIPIENT.search(before):
        score = 3
    elif _SMTP_NEAR.search(before):
        score = 2
    if re.search(r"generated from\W*\Z", before, re.IGNORECASE):
        score = 1
    elif score < 4 and _ABOUT_SENDER.search(before) and not re.search(r"rcpt to\W*\Z", before, re.IGNORECASE):
        score = 0
    if re.search(
        r"(?:message-?id|mail from|\bfrom|return-path|references|in-reply-to)\s*[:=]\s*[<\"']*\Z", before, re.I
    ):
        score = -5
    if key in own:
        score -= 4
    elif _SYSTEM_LOCALS.match(key):
        score -= 2
    return score
