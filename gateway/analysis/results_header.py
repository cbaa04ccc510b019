"""Authentication-Results of servers we trust (RFC 8601, security.md 4.5). A tolerant reader of our own.

authres raises SyntaxError on Microsoft's form and RecursionError on nested comments; this reader takes linear time,
never raises, and reads nothing but the id, methods, results and properties.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from gateway.address import fold_address, fold_domain
from gateway.analysis.header import Header

MAX_FIELDS = 10
MAX_VALUE = 16 * 1024


@dataclass(frozen=True, slots=True)
class MethodResult:
    """``dkim=pass header.d=example.com``: everything in lower case but the values of properties."""

    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)
    server: str = ""  # authserv-id of the field it stood in

    def domain(self, *names: str) -> str:
        """The folded domain in the first of these properties that is there; an address counts by its domain."""
        for name in names:
            if value := self.properties.get(name, "").strip("<>"):
                return fold_domain(value.rpartition("@")[2])
        return ""


@dataclass(frozen=True, slots=True)
class ReadResults:
    """One field: its authserv-id (lower case, "" when it has none) and results."""

    server: str
    results: tuple[MethodResult, ...]


def read_results(value: str) -> ReadResults:
    """One Authentication-Results value. What cannot be read is left out; never raises."""
    segments = [_join_equals(words) for words in _split(value[:MAX_VALUE])]
    first = segments[0] if segments else []
    server = first[0].lower() if first and "=" not in first[0] else ""
    results = []
    for words in segments if first and not server else segments[1:]:
        if not words or "=" not in words[0]:
            continue
        method, _, result = words[0].partition("=")
        if not method:
            continue
        properties: dict[str, str] = {}
        for word in words[1:]:
            name, equals, text = word.partition("=")
            if equals:
                properties.setdefault(name.lower(), text)
        results.append(MethodResult(method.partition("/")[0].lower(), result.lower(), properties, server))
    return ReadResults(server, tuple(results))


def _split(text: str) -> list[list[str]]:
    """Words of each ";" segment, comments left out, quoted strings taken in without their marks."""
    segments: list[list[str]] = [[]]
    word: list[str] = []
    depth, quoted, at = 0, False, 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\" and (depth or quoted):
            if quoted:
                word.append(text[at : at + 1])
            at += 1
        elif depth:
            depth += (char == "(") - (char == ")")
        elif char == '"':
            quoted = not quoted
        elif quoted:
            word.append(char)
        elif char in " \t\r\n(;":
            depth = int(char == "(")
            if word:
                segments[-1].append("".join(word))
                word = []
            if char == ";":
                segments.append([])
        else:
            word.append(char)
    if word:
        segments[-1].append("".join(word))
    return segments


def _join_equals(words: list[str]) -> list[str]:
    """``dkim = pass`` as one word: comments and blanks may stand around "=" (RFC 8601 2.2)."""
    joined: list[str] = []
    for word in words:
        if joined and (word.startswith("=") or (joined[-1].endswith("=") and joined[-1].count("=") == 1)):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def find_trusted(header: Header, servers: Collection[str]) -> tuple[MethodResult, ...]:
    """All results of trusted servers in the topmost block, top first; further down anybody may have written them.

    The block ends at the first Received that is not a local LMTP hop: in our own mailbox store the delivery agent
    writes one above (Dovecot), while the Received a border server writes says SMTP, and above that one no sender can
    put anything. Ids are compared without case, folding and comments.
    """
    trusted = {server.lower().rstrip(".") for server in servers}
    found: list[MethodResult] = []
    count = 0
    for field_ in header.fields:
        if field_.key == b"received":
            if not _is_local_delivery(field_.value.decode("latin-1")):
                break
        elif field_.key == b"authentication-results":
            count += 1
            if count > MAX_FIELDS:
                break
            read = read_results(field_.value.replace(b"\r\n", b"").decode("utf-8", "replace"))
            if read.server.rstrip(".") in trusted:
                found += read.results
    return tuple(found)


def _is_local_delivery(value: str) -> bool:
    """``from A by B with LMTP …``: exactly one "by", the protocol right behind it, whatever the HELO word says."""
    words = [word.lower() for segment in _split(value[:MAX_VALUE])[:1] for word in segment]
    if words.count("by") != 1 or words.count("with") != 1 or words[:1] not in (["from"], ["by"]):
        return False
    by = words.index("by")
    return by in (0, 2) and bool(re.fullmatch(r"lmtps?a?", "".join(words[by + 3 : by + 4]))) and words[by + 2] == "with"


def proves_submission(results: Collection[MethodResult], address: str) -> bool:
    """``auth=pass smtp.auth=`` of an account that is the author's own address (rule 4)."""
    return any(
        one.method == "auth"
        and one.result == "pass"
        and "@" in (account := one.properties.get("smtp.auth", one.properties.get("smtp.auth_user", "")))
        and fold_address(account) == fold_address(address)
        for one in results
    )
