"""message/delivery-status as data (RFC 3464), and the status codes of RFC 3463 and RFC 5321 found in prose.

Read tolerant: groups without an empty line between them, fields folded by hand, comments behind values, a recipient
that is a bare local part or an X.400 name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.analysis.fields import decode_words
from gateway.model import DeliveryReport

MAX_RECIPIENTS = 500
_MAX_STATUS = 512 * 1024

ADDRESS = re.compile(
    r"(?:\"[^\"\s@]{1,64}\"|[^\s<>()\[\]\",:;@\\`：；，。（）＜＞【】「」《》、]{1,128})@"
    r"(?:\[[0-9A-Fa-f.:]{3,45}\]|[^\W_](?:[\w\-]{0,62}\w)?(?:\.\w(?:[\w\-]{0,62}\w)?){0,8})"
)
ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
REPLY_CODE = re.compile(r"(?<![\d.:#@\-])([45][0-5]\d)(?=[\s\-:,;<]|\Z)")

_GROUP = re.compile(r"^(?:original|final)-recipient\s*:", re.IGNORECASE | re.MULTILINE)
_LINE = re.compile(r"^([A-Za-z][A-Za-z0-9\-]{1,60})[ \t]*:[ \t]*(.*)$")
_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")


@dataclass(slots=True)
class _Group:
    fields: dict[str, str]


def has_delivery_status(text: str) -> bool:
    """Whether a text holds the per-recipient fields of RFC 3464."""
    return bool(_GROUP.search(text)) and bool(re.search(r"^action\s*:", text, re.IGNORECASE | re.MULTILINE))


def read_delivery_status(text: str) -> list[DeliveryReport]:
    """One report per recipient group; the last word on a recipient wins, in the order of first mention."""
    groups = _read_groups(text[:_MAX_STATUS])
    envelope_id = ""
    original_id = ""
    reports: dict[str, DeliveryReport] = {}
    for group in groups:
        fields = group.fields
        envelope_id = _xtext(fields.get("original-envelope-id", "")) or envelope_id
        original_id = fields.get("original-message-id", "") or fields.get("x-original-message-id", "") or original_id
        recipient = choose_recipient(fields)
        if not recipient or len(reports) >= MAX_RECIPIENTS:
            continue
        action = _read_action(fields)
        diagnostic = _diagnostic(fields)
        status = choose_status(fields.get("status", ""), diagnostic, action)
        reports[recipient.lower()] = DeliveryReport(
            recipient=recipient,
            action=action,
            status=status,
            diagnostic=diagnostic[:1000],
            kind=kind_of(action, status, diagnostic),
            original_message_id=original_id,
            envelope_id=envelope_id,
        )
    return list(reports.values())


def _read_groups(text: str) -> list[_Group]:
    groups: list[_Group] = []
    current: dict[str, str] = {}
    last = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            if current:
                groups.append(_Group(current))
            current, last = {}, ""
            continue
        if line[0] in " \t" and last:
            if len(current[last]) < 4000:
                current[last] += " " + line.strip()
            continue
        found = _LINE.match(line.strip())
        if not found:
            # Some systems break a long diagnostic without folding it.
            if last == "diagnostic-code" and len(current[last]) < 4000:
                current[last] += " " + line.strip()
            continue
        name = found[1].lower()
        # A second Final-Recipient, or an Original-Recipient behind a complete group, begins the next recipient.
        again = name == "final-recipient" and name in current
        again = again or (name == "original-recipient" and ("action" in current or name in current))
        if again:
            groups.append(_Group(current))
            current = {}
        if name in current:
            last = ""
            continue
        current[name] = decode_words(found[2].strip()) if "=?" in found[2] else found[2].strip()
        last = name
    if current:
        groups.append(_Group(current))
    return groups


def choose_recipient(fields: dict[str, str]) -> str:
    """The address a group is about: the final one; the original where the final is a name inside that system only."""
    final = _typed_address(fields.get("final-recipient", ""))
    original = _typed_address(fields.get("original-recipient", "")) or _typed_address(
        fields.get("x-actual-recipient", "")
    )
    if "@" in final and ("." in final.rpartition("@")[2] or "@" not in original):
        return final
    if "@" in original:
        return original
    found = ADDRESS.search(fields.get("diagnostic-code", "")) if final or original else None
    return found[0] if found else ""


def _typed_address(value: str) -> str:
    """``rfc822;<a@b>`` without type and brackets; utf-8 addresses (RFC 6533) unescaped; xtext undone for ORCPT."""
    _, semicolon, address = value.partition(";")
    address = (address if semicolon else value).strip()
    if "\\x{" in address:
        address = re.sub(r"\\x\{([0-9A-Fa-f]{1,6})\}", lambda found: _character(found[1]), address)
    x400 = re.search(r"(?:dda:)?SMTP=([^;]+)", address, re.IGNORECASE)
    if x400 and "@" not in address.partition(";")[0]:
        address = x400[1].replace("(a)", "@")
    found = ADDRESS.search(_xtext(address) if "+40" in address else address)
    return found[0] if found else address.strip("<> \t")


def _character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if 31 < number < 0xD800 or 0xDFFF < number < 0x110000 else ""


def _xtext(value: str) -> str:
    """RFC 3461 section 4: ``+40`` is ``@``."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), value.strip())


def _read_action(fields: dict[str, str]) -> str:
    word = re.split(r"[\s;(,]", fields.get("action", "").strip().lower().lstrip("<"), maxsplit=1)[0]
    for action in _ACTIONS:
        if word == action or (word and action.startswith(word[:5])):
            return action
    status = fields.get("status", "")
    if status.startswith("2"):
        return "delivered"
    return "delayed" if status.startswith("4") and "will-retry-until" in fields else "failed"


def _diagnostic(fields: dict[str, str]) -> str:
    for name in ("diagnostic-code", "x-notes", "x-display-name-error", "x-supplementary-info", "remote-mta-reply"):
        value = fields.get(name, "")
        if value:
            kind, semicolon, rest = value.partition(";")
            bare = rest.strip() if semicolon and re.fullmatch(r"[\w\-]{1,20}", kind.strip()) else value
            if bare.strip():
                return " ".join(bare.split())
    return ""


# ------------------------------------------------------------------ codes

_FULL = re.compile(
    r"(?:mailbox|mail ?box|inbox|account|quota|mailfolder|folder|storage|disk)[^.\n]{0,50}(?:full|exceed|"
    r"over[- ]?quota|"
    r"over limit|out of|too large)|over ?quota|quota exceeded|insufficient (?:disk|system)? ?storage|"
    r"(?:exceed|over)[^.\n]{0,40}(?:quota|mailbox|storage)|一杯|容量",
    re.IGNORECASE,
)
_EXPIRED = re.compile(
    r"retry time(?:out)?[^.\n]{0,20}(?:exceed|not reached)|(?:been|was) in the queue too long|"
    r"retries? (?:time)?[^.\n]{0,20}"
    r"exceed|all hosts have been failing|delivery (?:time|attempts?) (?:expired|exceeded)|message expired|"
    r"timed? ?out|"
    r"host not reachable|not reachable|connection refused|could not connect|unable to connect|temporary|"
    r"try again later|deferred|not been collected after|too many (?:connections|hops)",
    re.IGNORECASE,
)
_UNKNOWN_USER = re.compile(
    r"user ?unknown|unknown (?:user|recipient|address|local)|no such (?:user|recipient|mailbox|address|person)|"
    r"(?:user|recipient|mailbox|address|account)[^.\n]{0,40}(?:not (?:found|exist|known|listed|valid)|doesn'?t exist|"
    r"does not exist|unknown|invalid|unavailable|disabled|discontinued|inactive|not recognized|rejected)|"
    r"not a (?:valid|known) (?:user|recipient|mailbox|address)|invalid (?:recipient|user|mailbox|address)|"
    r"no mailbox here|doesn'?t have an? |unrouteable|addressee unknown|no longer (?:valid|exists|here)",
    re.IGNORECASE,
)
_UNKNOWN_HOST = re.compile(
    r"host unknown|unknown (?:host|domain)|(?:host|domain)[^.\n]{0,30}(?:not (?:found|exist)|unknown|does not exist|"
    r"doesn'?t exist)|couldn'?t find (?:any host|a mail exchanger)|no mx record|name (?:or service|service error)|"
    r"unrouteable mail domain|bad destination (?:host|system)",
    re.IGNORECASE,
)


def choose_status(declared: str, diagnostic: str, action: str) -> str:
    """The most telling RFC 3463 code: the declared one, unless it says nothing and the diagnostic says more."""
    found = ENHANCED.search(declared[:200])
    code = found[0] if found else ""
    if code and not re.fullmatch(r"[45]\.0\.0", code):
        return code
    better = status_in(diagnostic)
    if better and (not code or better[0] == code[0]):
        return better
    return code or better or {"failed": "5.0.0", "delayed": "4.0.0"}.get(action, "2.0.0")


def status_in(text: str) -> str:
    """A status code said or meant by a diagnostic text; "" when it gives no sign."""
    text = text[:4000]
    found = ENHANCED.search(text)
    if found and found[1] in "45":
        return found[0]
    reply = REPLY_CODE.search(text)
    digit = reply[1][0] if reply else ""
    if re.search(r"retry time(?:out)? (?:was )?exceeded", text, re.IGNORECASE) and not digit:
        return "4.4.7"
    if _FULL.search(text):
        return f"{digit or '5'}.2.2"
    if _UNKNOWN_HOST.search(text):
        return f"{digit or '5'}.1.2"
    if _UNKNOWN_USER.search(text):
        return f"{digit or '5'}.1.1"
    if digit:
        return f"{digit}.0.0"
    return "4.4.7" if _EXPIRED.search(text) else ""


def kind_of(action: str, status: str, diagnostic: str = "") -> str:
    """hard: trying again is useless; soft: it was given up though it might have worked; delay; delivered."""
    if action in ("delivered", "relayed", "expanded"):
        return "delivered"
    if action == "delayed":
        return "delay"
    return "soft" if status.startswith("4") else "hard"
