"""The words of IMAP (RFC 3501): names and strings as we send them, responses as servers send them. No I/O.

The reader cuts a byte stream into responses exactly where RFC 3501 section 9 does: a response ends at the CRLF that is
not announced as the beginning of a literal. Counting parentheses instead, as libraries do, is fooled by a quoted ")".
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_LITERAL = re.compile(rb"\{(\d{1,20})\}\Z")
_STATUS = re.compile(rb"\S+ (?:OK|NO|BAD|BYE|PREAUTH)(?: |\Z)", re.IGNORECASE)
_FETCH = re.compile(rb"\* (\d{1,10}) FETCH \(", re.IGNORECASE)
_PLAIN = re.compile(r"[\x20-\x25\x27-\x7e]+")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE_FORMAT = "%d-%b-%Y %H:%M:%S %z"


class SyntaxViolation(Exception):
    """The server broke the protocol: nothing that follows on this connection can be trusted."""


class LiteralTooLarge(SyntaxViolation):
    """A literal was announced that is larger than what we are willing to read now."""


# ------------------------------------------------------------------ what we send


def check_name(name: str) -> str:
    """The mailbox or user name itself; ValueError when it can never be one (empty, or with a control character).

    CR, LF and NUL would end the command line on the wire; the rest of the name would be a command of its own.
    """
    if not name or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise ValueError(f"not a usable IMAP name: {name!r}")
    return name


def encode_name(name: str) -> str:
    """A mailbox name in modified UTF-7 (RFC 3501 section 5.1.3), not yet quoted: "Büro" becomes "B&APw-ro"."""
    check_name(name)
    parts: list[str] = []
    position = 0
    while position < len(name):
        plain = _PLAIN.match(name, position)
        if plain:
            parts.append(plain.group())
            position = plain.end()
        elif name[position] == "&":
            parts.append("&-")
            position += 1
        else:
            end = position
            while end < len(name) and not 0x20 <= ord(name[end]) <= 0x7E:
                end += 1
            shifted = b64encode(name[position:end].encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
            parts.append(f"&{shifted.decode('ascii')}-")
            position = end
    return "".join(parts)


def decode_name(wire: str) -> str:
    """The name behind a mailbox name in modified UTF-7; what is none stays as it is."""

    def shifted(run: re.Match[str]) -> str:
        if not run.group(1):
            return "&"
        padded = run.group(1).replace(",", "/") + "=" * (-len(run.group(1)) % 4)
        return b64decode(padded).decode("utf-16-be")

    try:
        return re.sub(r"&([A-Za-z0-9+,]*)-", shifted, wire)
    except ValueError:
        return wire


def write_date(moment: datetime) -> str:
    """A day as SEARCH takes it (RFC 3501 section 9, date): "24-Nov-2026"; its names of months are nobody's locale."""
    return f"{moment.day}-{_MONTHS[moment.month - 1]}-{moment.year:04d}"


def write_date_time(moment: datetime) -> str:
    """An aware moment as APPEND takes it (date-time), without its quotes: "24-Nov-2026 08:05:00 +0000"."""
    utc = moment.astimezone(UTC)
    return f"{write_date(utc):>11} {utc:%H:%M:%S} +0000"


def quote(text: str) -> str:
    """A quoted string (RFC 3501 section 9); the caller has refused CR, LF and NUL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# ------------------------------------------------------------------ what servers send


@dataclass(frozen=True, slots=True)
class Response:
    """One response: its lines without the final CRLF, literals taken out ("{n}" stays where each one stood)."""

    text: bytes
    literals: tuple[bytes, ...] = ()


class ResponseReader:
    """Cuts what arrives into responses. A loop: a thousand lines in one segment cost no stack."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # no CRLF begins before this offset of the buffer
        self._text = bytearray()  # lines of the response that is not complete yet
        self._literals: list[bytes] = []
        self._missing: int | None = None  # bytes of the current literal that have not arrived; None: in a line

    @property
    def idle(self) -> bool:
        """Whether nothing has arrived beyond the last complete response."""
        return not self._buffer and not self._text and self._missing is None

    def feed(self, data: bytes, room: int) -> Iterator[Response]:
        """Take ``data``, yield each response that is complete now.

        ``room``: bytes that may still come. A literal announced larger raises LiteralTooLarge before it is read.
        """
        self._buffer += data
        while True:
            if self._missing is not None:
                if len(self._buffer) < self._missing:
                    return
                self._literals.append(bytes(memoryview(self._buffer)[: self._missing]))
                del self._buffer[: self._missing]
                self._missing, self._scanned = None, 0
            end = self._buffer.find(b"\r\n", self._scanned)
            if end < 0:
                self._scanned = max(0, len(self._buffer) - 1)
                return
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._text += line
            self._scanned = 0
            # The free text of a status response may end in "{5}" and announces nothing.
            announced = None if _STATUS.match(self._text) else _LITERAL.search(line)
            if announced:
                self._missing = int(announced.group(1))
                if self._missing > room + len(self._buffer):
                    raise LiteralTooLarge(f"literal of {self._missing} bytes announced")
                continue
            response = Response(bytes(self._text), tuple(self._literals))
            self._text.clear()
            self._literals.clear()
            yield response


def read_fetch(response: Response) -> Mapping[str, bytes | None]:
    """The items of a FETCH response by upper-case name; values without quotes, lists with parentheses, NIL as None.

    SyntaxViolation when anything does not fit: after a literal shorter or longer than announced nothing does.
    """
    begin = _FETCH.match(response.text)
    if not begin:
        raise SyntaxViolation("not a FETCH response")
    text, literals = response.text, list(response.literals)
    items: dict[str, bytes | None] = {}
    position = begin.end()
    while text[position : position + 1] != b")":
        name = re.compile(rb" ?([A-Za-z0-9.]+(?:\[[^\]]*\](?:<\d+>)?)?) ").match(text, position)
        if not name:
            raise SyntaxViolation("FETCH response without an item name")
        value, position = _read_value(text, name.end(), literals)
        items[name.group(1).decode("ascii").upper()] = value
    if position != len(text) - 1 or literals:
        raise SyntaxViolation("bytes after the end of a FETCH response")
    return items


def read_list(response: Response) -> tuple[str, frozenset[str]] | None:
    """Name and lower-case attributes of a LIST response (RFC 3501 section 7.2.2, RFC 6154); None when it is none."""
    line = re.match(rb'\* LIST \(([^)]*)\) (?:"(?:[^"\\]|\\.)*"|NIL) (.+)\Z', response.text, re.IGNORECASE | re.DOTALL)
    if not line:
        return None
    try:
        name, _ = _read_value(line.group(2), 0, list(response.literals))
    except SyntaxViolation:
        return None
    attributes = line.group(1).decode("ascii", "replace").lower().split()
    return decode_name((name or b"").decode("utf-8", "replace")), frozenset(attributes)


def _read_value(text: bytes, position: int, literals: list[bytes]) -> tuple[bytes | None, int]:
    """One value and where the next item begins."""
    first = text[position : position + 1]
    if first == b"{":
        end = text.find(b"}", position)
        if end < 0 or not literals:
            raise SyntaxViolation("FETCH response without its literal")
        return literals.pop(0), end + 1
    if first == b'"':
        quoted = re.compile(rb'"((?:[^"\\]|\\.)*)"').match(text, position)
        if not quoted:
            raise SyntaxViolation("quoted string without end")
        return re.sub(rb"\\(.)", rb"\1", quoted.group(1)), quoted.end()
    if first == b"(":
        return _read_list(text, position)
    atom = re.compile(rb"[^\s(){\"]+").match(text, position)
    if not atom:
        raise SyntaxViolation("FETCH item without a value")
    return (None if atom.group().upper() == b"NIL" else atom.group()), atom.end()


def _read_list(text: bytes, position: int) -> tuple[bytes, int]:
    """A parenthesised list as it stands, without looking inside: only FLAGS comes as one, and flags decide nothing."""
    depth = 0
    for token in re.compile(rb'"(?:[^"\\]|\\.)*"|[()]|[^()"]+').finditer(text, position):
        depth += {b"(": 1, b")": -1}.get(token.group(), 0)
        if depth == 0:
            return text[position : token.end()], token.end()
    raise SyntaxViolation("list without end")


def read_code(text: bytes, name: str) -> str | None:
    """The argument of a response code such as ``[UIDVALIDITY 7]`` in a status response; None when it is not there."""
    found = re.search(rb"\[" + name.encode("ascii") + rb"(?: ([^\]]*))?\]", text, re.IGNORECASE)
    return (found.group(1) or b"").decode("ascii", "replace") if found else None


def read_date(value: bytes | None) -> datetime | None:
    """INTERNALDATE as an aware datetime; None when the server sends something else."""
    try:
        return datetime.strptime((value or b"").decode("ascii").strip(), _DATE_FORMAT)
    except ValueError:
        return None


def uid_set(uids: tuple[int, ...]) -> str:
    """A sequence-set, runs joined: (1, 2, 3, 7) becomes "1:3,7"."""
    runs: list[list[int]] = []
    for uid in sorted(set(uids)):
        if runs and uid == runs[-1][1] + 1:
            runs[-1][1] = uid
        else:
            runs.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in runs)
