"""The one canonical header tokeniser: it feeds DKIM, DMARC and identity, and works on bytes (security.md 3).

Four parsers read four authors out of the same bytes (libraries.md L1, L15). This one reads either the only possible
author or nobody: a header block that two programs could read differently is *ambiguous*, and an ambiguous mail is
unproven by definition. Everything here takes time linear in the size of the header.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from gateway.address import clean_text, fold_domain, is_address, split_address
from gateway.analysis.encoded_words import decode_words
from gateway.model import Mailbox

MAX_HEADER = 256 * 1024
MAX_FIELDS = 1000
MAX_FIELD = 100 * 1024
MAX_FROM = 32 * 1024
"""Limits of security.md 11.1, in bytes (fields: a number). A From longer than MAX_FROM names nobody."""

ONCE = frozenset(
    b"from sender reply-to to cc bcc subject date message-id in-reply-to references mime-version content-type "
    b"content-transfer-encoding content-disposition".split()
)
"""Fields that may stand once: verifiers check the bottom one, readers show the top one."""

_NAME = re.compile(rb"[\x21-\x39\x3b-\x7e]+")
_WORD = re.compile("[A-Za-z0-9!#$%&'*+\\-/=?^_`{|}~.@\u0080-\U0010ffff]+")
_DOT_ATOM = re.compile("[A-Za-z0-9!#$%&'*+\\-/=?^_`{|}~\u0080-\U0010ffff]+")
# An encoded word that stands alone is one word of a name, also with ":" and "@" in it: RFC 2047 5 (3) forbids them
# and senders write them. What could be taken for an address of its own (brackets, commas) is not let through.
_ENCODED_WORD = re.compile(r"=\?[A-Za-z0-9_*-]{1,60}\?[QqBb]\?[!#-'*+./0-:=@-Z^-~-]*\?=(?=[ \t<(]|\Z)")
_COMMENT_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: name and value as written (value without the final CRLF), and all its bytes."""

    name: bytes
    value: bytes
    raw: bytes

    @property
    def key(self) -> bytes:
        """The name in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Header:
    """The header block of one mail. ``ambiguous`` says why nobody can be named; then ``author`` is None.

    ``fields`` is what could be read before the trouble; it is empty for a block over the limits.
    """

    fields: tuple[Field, ...]
    body_start: int
    ambiguous: str
    author: Mailbox | None

    def find_all(self, key: bytes) -> list[Field]:
        """The fields of this lower-case name, top first."""
        return [field for field in self.fields if field.key == key]

    def find(self, key: bytes) -> Field | None:
        """The topmost field of this lower-case name."""
        return next((field for field in self.fields if field.key == key), None)


class _AmbiguousError(Exception):
    """Why the block can be read in two ways."""


def read_header(raw: bytes) -> Header:
    """The header fields, where the body starts, and the author or the reason why there is none. Never raises.

    The block ends at the first CRLF CRLF; without one the whole message is header (security.md 3). Limits of 11.1
    are checked first.
    """
    if raw.startswith(b"\r\n"):
        return Header((), 2, "the mail has no header", None)
    end = raw.find(b"\r\n\r\n")
    body_start = len(raw) if end < 0 else end + 4
    block = len(raw) if end < 0 else end + 2
    if block > MAX_HEADER:
        return Header((), body_start, f"the header is larger than {MAX_HEADER // 1024} KiB", None)
    fields, ambiguous = _split_fields(raw[:block])
    author = None
    if not ambiguous:
        try:
            author = _find_author(fields)
        except _AmbiguousError as why:
            ambiguous = str(why)
    return Header(tuple(fields), body_start, ambiguous, author)


def _split_fields(block: bytes) -> tuple[list[Field], str]:
    """All fields, and the first reason why the block is ambiguous; "" when there is none."""
    fields: list[Field] = []
    if (why := _find_stray_bytes(block)) != "":
        return fields, why
    ambiguous = ""
    start = 0
    while start < len(block):
        end = start
        while True:  # to the end of the last continuation line
            line_end = block.find(b"\r\n", end)
            end = len(block) if line_end < 0 else line_end + 2
            if end >= len(block) or block[end] not in b" \t":
                break
        raw = block[start:end]
        start = end
        if len(fields) >= MAX_FIELDS:
            return [], f"more than {MAX_FIELDS} header fields"
        if len(raw) > MAX_FIELD:
            return [], f"a header field is larger than {MAX_FIELD // 1024} KiB"
        name, colon, value = raw.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            ambiguous = ambiguous or _why_no_field(raw, name, bool(colon), first=not fields)
            continue
        fields.append(Field(name, value.removesuffix(b"\r\n"), raw))
    return fields, ambiguous or _find_repeated(fields)


def _find_stray_bytes(block: bytes) -> str:
    """Bytes at which parsers split in different places (libraries.md L1)."""
    if b"\0" in block:
        return "NUL in the header"
    pairs = block.count(b"\r\n")
    if block.count(b"\r") != pairs:
        return "a bare CR in the header"
    if block.count(b"\n") != pairs:
        return "a bare LF in the header"
    return ""


def _why_no_field(raw: bytes, name: bytes, colon: bool, first: bool) -> str:
    if raw[:1] in (b" ", b"\t"):
        return "the header starts with a continuation line" if first else "a line that is no header field"
    if raw.startswith(b"From ") and name.rstrip(b" \t").lower() != b"from":
        return 'an mbox "From " line in the header'
    if not colon:
        return "a line that is no header field"
    if _NAME.fullmatch(name.rstrip(b" \t")):
        return "a space before the colon of a header field"
    if not name.isascii():
        return "an 8-bit byte in a field name"
    return "a line that is no header field"


def _find_repeated(fields: list[Field]) -> str:
    seen: set[bytes] = set()
    for field in fields:
        if field.key in ONCE and field.key in seen:
            return f"more than one {field.name.decode('ascii')} field"
        seen.add(field.key)
    return ""


# ------------------------------------------------------------------ the author


def _find_author(fields: list[Field]) -> Mailbox:
    field = next((f for f in fields if f.key == b"from"), None)
    if field is None:
        raise _AmbiguousError("no From field")
    return read_mailbox(field.value)


def read_mailbox(value: bytes) -> Mailbox:
    """The one mailbox of a From value: ``addr-spec`` or ``[name] <addr-spec>`` (RFC 5322 3.4, no obsolete syntax).

    Tolerated beyond the grammar, because no parser reads them differently: a dot in an unquoted name, 8-bit bytes in
    a name. Raises ValueError-like ambiguity as :class:`_AmbiguousError`; used by :func:`read_header`.
    """
    if len(value) > MAX_FROM:
        raise _AmbiguousError("From is too long")
    text = value.replace(b"\r\n", b"").decode("utf-8", "surrogateescape")
    tokens = _tokenise(text)
    spoken = [token for token in tokens if token[0] not in ("comment", "gap")]
    if not spoken:
        raise _AmbiguousError("From is empty")
    kinds = [kind for kind, _ in spoken]
    if "angle" not in kinds:
        return Mailbox(_comment_name(tokens), _read_bare(tokens, spoken))
    if kinds.count("angle") > 1:
        raise _AmbiguousError("From has more than one <address>")
    if kinds[-1] != "angle":
        raise _AmbiguousError("From has text after its address")
    _check_phrase(tokens)
    address = _read_address(spoken[-1][1])
    words = [text for _, text in spoken[:-1]]
    return Mailbox(_decode_name(words) if words else _comment_name(tokens), address)


def _tokenise(text: str) -> list[tuple[str, str]]:
    """(kind, text) with kind word, encoded, quoted, angle, comment or gap; anything else names nobody."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t":
            kind, inner, at = "gap", " ", at + 1
        elif char == '"':
            kind, (inner, at) = "quoted", _read_quoted(text, at + 1)
        elif char == "(":
            kind, (inner, at) = "comment", _read_comment(text, at + 1)
        elif char == "<":
            close = text.find(">", at)
            if close < 0:
                raise _AmbiguousError("From has an unclosed <address")
            kind, inner, at = "angle", text[at + 1 : close], close + 1
        elif encoded := _ENCODED_WORD.match(text, at):
            kind, inner, at = "encoded", encoded[0], encoded.end()
        elif word := _WORD.match(text, at):
            kind, inner, at = "word", word[0], word.end()
        else:
            raise _AmbiguousError(_why_not(char))
        tokens.append((kind, inner))
    return tokens


def _why_not(char: str) -> str:
    if char == ",":
        return "From has more than one mailbox"
    if char in ":;":
        return "From is a group or a source route"
    if ord(char) < 32 or ord(char) == 127:
        return "a control character in From"
    return f'an unquoted "{char}" in From'


def _read_quoted(text: str, at: int) -> tuple[str, int]:
    out: list[str] = []
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(out), at + 1
        if char == "\\":
            at += 1
            char = text[at : at + 1]
        if char and ((ord(char) < 32 and char != "\t") or ord(char) == 127):
            raise _AmbiguousError("a control character in From")
        out.append(char)
        at += 1
    raise _AmbiguousError("From has an unclosed quotation mark")


def _read_comment(text: str, at: int) -> tuple[str, int]:
    out: list[str] = []
    depth = 1
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
            char = text[at : at + 1]
        elif char == "(":
            depth += 1
            if depth > _COMMENT_DEPTH:
                raise _AmbiguousError("From has deeply nested comments")
        elif char == ")":
            depth -= 1
            if not depth:
                return "".join(out), at + 1
        if char in ("@", "<", ">"):  # an address for those parsers that do not know comments
            raise _AmbiguousError(f'a "{char}" inside a comment of From')
        out.append(char)
        at += 1
    raise _AmbiguousError("From has an unclosed comment")


def _check_phrase(tokens: list[tuple[str, str]]) -> None:
    """Words of a name: no "@" outside quotation marks, and none glued to a quoted string (``a"b" <x@y>``)."""
    before = "gap"
    for kind, text in tokens:
        if kind == "angle":
            return
        if kind == "word" and "@" in text:
            raise _AmbiguousError('an unquoted "@" in the name of From')
        if "quoted" in (kind, before) and "gap" not in (kind, before) and "comment" not in (kind, before):
            raise _AmbiguousError("a half-quoted name in From")
        before = kind


def _read_bare(tokens: list[tuple[str, str]], spoken: list[tuple[str, str]]) -> str:
    """The address of a From without angle brackets: exactly one word, comments around it allowed."""
    if len(spoken) == 1 and spoken[0][0] == "word":
        return _read_address(spoken[0][1])
    if "quoted" in (kind for kind, _ in tokens):
        raise _AmbiguousError("a quoted local part in From")
    raise _AmbiguousError("From has more than an address, without angle brackets")


def _read_address(text: str) -> str:
    """The addr-spec with its domain folded to an A-label; the local part exactly as written."""
    local, domain = split_address(text)
    if not local or not domain:
        raise _AmbiguousError("From has no complete address")
    if '"' in local:
        raise _AmbiguousError("a quoted local part in From")
    if "@" in local:
        raise _AmbiguousError('more than one "@" in the address of From')
    if "=?" in text:
        raise _AmbiguousError("an encoded word inside the address of From")
    if domain.startswith("["):
        raise _AmbiguousError("a domain literal in From")
    if domain[-1] in ".\u3002\uff0e\uff61":
        raise _AmbiguousError("a trailing dot after the domain of From")
    if len(text) > 320 or not all(_DOT_ATOM.fullmatch(atom) for atom in local.split(".")):
        raise _AmbiguousError("the address of From is no plain address")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp") for char in text):
        raise _AmbiguousError("an invisible or undecodable character in the address of From")
    address = f"{local}@{fold_domain(domain)}"
    if not is_address(address):
        raise _AmbiguousError("the domain of From is no domain name")
    return address


def _decode_name(words: list[str]) -> str:
    return clean_text(decode_words(" ".join(words)))


def _comment_name(tokens: list[tuple[str, str]]) -> str:
    """``ann@customer.test (Ann Lee)``, as people wrote before there were display names."""
    return _decode_name([text for kind, text in tokens if kind == "comment"][:1])
