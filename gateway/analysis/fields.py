"""Header fields for display: split, unfold, decode (RFC 5322, 2047, 2231), tolerant and linear.

Nothing here decides who wrote a mail: that is the strict tokeniser's (security.md 3). This reading forgives what
programs get wrong, because a person wants to read the subject all the same.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway.analysis import charset

MAX_PARAMETERS = 4096
"""Bytes of a Content-Type or Content-Disposition that are read; a longer one is not believed (libraries.md E3)."""
MAX_SECTIONS = 100
"""RFC 2231 sections of one parameter."""

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_LINE = re.compile(rb"[^\n]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of one entity in their order: lower-case name and raw value; where its body begins."""

    fields: tuple[tuple[str, bytes], ...]
    body_start: int
    defects: tuple[str, ...] = ()

    def first(self, name: str) -> bytes:
        """The value of the first field of this name, unfolded and stripped; b"" without one."""
        for found, value in self.fields:
            if found == name:
                return unfold(value)
        return b""


def unfold(value: bytes) -> bytes:
    """The value on one line (RFC 5322 section 2.2.3), without white space around it."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"\n").replace(b"\n", b"")
    return value.strip()


def split_fields(data: bytes, start: int, end: int, limit: int = 1000) -> Header:
    """The header block that begins at ``start``: at most ``limit`` fields are kept, lines that are none are skipped.

    A line that cannot be a field ends the header when no field follows it: then it is the first line of the body.
    """
    fields: list[tuple[str, bytes]] = []
    defects: list[str] = []
    position = start
    while position < end:
        found = _FIELD.match(data, position, end)
        if found:
            if len(fields) < limit:
                fields.append((found[1].decode("ascii").lower(), found[2]))
            position = found.end()
            continue
        line_end = _LINE.match(data, position, end)
        after = line_end.end() if line_end else end
        line = data[position:after]
        if not line.strip(b"\r\n"):
            return Header(tuple(fields), after, tuple(defects))
        if _belongs_to_header(data, position, after, end, bool(fields)):
            defects.append("a line in the header is no field")
            position = max(after, position + 1)
            if len(defects) > 50:
                break
            continue
        defects.append("no empty line between header and body")
        break
    return Header(tuple(fields), min(position, end), tuple(dict.fromkeys(defects)))


def _belongs_to_header(data: bytes, position: int, after: int, end: int, begun: bool) -> bool:
    if data.startswith((b"From ", b">From "), position):
        return True
    if data.startswith(b"--", position):  # a delimiter line directly below the fields
        return False
    following = data[after : min(end, after + 200)]
    if not begun and data[position : position + 1] in b" \t":
        return bool(_FIELD.match(following))
    # Another field directly below: this line only strayed into the header.
    return bool(_FIELD.match(following)) and not following.startswith(b"--")


# ------------------------------------------------------------------ encoded words

# Few question marks inside a word are forgiven; more, and a flood of unfinished words would be read again and again.
_WORD = re.compile(r"=\?([^?\s=]{1,60})\?([bBqQ])\?([^?]*(?:\?(?!=)[^?]*){0,20})\?=")
_GAP = re.compile(r"(\?=)[ \t\r\n]+(?==\?[^?\s=]{1,60}\?[bBqQ]\?)")


def decode_value(raw: bytes, hint: str = "") -> str:
    """A raw value as text: unfolded, 8-bit bytes read as UTF-8, as ``hint`` (a charset) or by detection, encoded words
    decoded.

    Line breaks smuggled in by encoded words become blanks.
    """
    text = decode_bytes(unfold(raw), hint)
    if "=?" in text:
        text = decode_words(text)
    if "\n" in text or "\r" in text:
        text = re.sub(r"[\r\n]+", " ", text)
    return text


def decode_bytes(value: bytes, hint: str = "") -> str:
    """Header bytes as text: ASCII, else whatever they most likely are (RFC 6532 says UTF-8, the world says other)."""
    if value.isascii() and b"\x1b" not in value:
        text = value.decode("ascii")
        return text.replace("\0", "\ufffd") if "\0" in text else text
    if hint and charset.detect(value) != "utf-8":
        return charset.decode(value, hint)[0]
    return charset.decode(value)[0]


def decode_words(text: str) -> str:
    """Text with its encoded words (RFC 2047) decoded, also inside quotes and in the middle of a word.

    Adjacent words of one charset are joined before they are decoded: senders cut characters in half.
    """
    text = _GAP.sub(r"\1", text)
    pieces: list[str] = []
    pending = b""
    label = ""
    position = 0
    for found in _WORD.finditer(text):
        between = text[position : found.start()]
        data = _word_bytes(found[2], found[3])
        position = found.end()
        if between or found[1].lower() != label:
            if pending:
                pieces.append(charset.decode(pending, label)[0])
            pieces.append(between)
            pending, label = b"", found[1].lower()
        pending += data
    if pending:
        pieces.append(charset.decode(pending, label)[0])
    pieces.append(text[position:])
    return "".join(pieces)


_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")


def _word_bytes(encoding: str, payload: str) -> bytes:
    data = payload.encode("utf-8", "replace")
    if encoding in "qQ":
        return _HEX.sub(lambda m: bytes((int(m[1], 16),)), data.replace(b"_", b" "))
    return decode_base64(data)


_PURE_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def decode_base64(data: bytes) -> bytes:
    """Base64 with everything that does not belong dropped, whatever is missing at the end forgiven."""
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        pass
    if b"=" in data.rstrip(b"=\r\n\t ") and data.count(b"=") <= 4000:
        # Several padded pieces in a row: decode each, or all after the first would be lost …
        pieces = re.split(rb"=+", data)
        # … unless it is no base64 at all, but a footer that list software put below.
        more = [piece for piece in pieces[1:] if _PURE_BASE64.fullmatch(piece)]
        return b"".join(_base64_run(piece) for piece in (pieces[0], *more))
    return _base64_run(data)


def _base64_run(data: bytes) -> bytes:
    clean = _NOT_BASE64.sub(b"", data)
    if len(clean) % 4 == 1:  # six bits are no byte
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


# ------------------------------------------------------------------ parameters

_PARAMETER = re.compile(
    r';\s*([^\s=;"]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))',
)


def read_parameters(raw: bytes) -> tuple[str, Mapping[str, str], str]:
    """Lower-case value, decoded parameters, and a defect ("" without one) of a Content-Type or Content-Disposition.

    RFC 2231 sections are joined and decoded, encoded words inside quotes as well. Over 4 KiB the field is not believed:
    the value is "" and there are no parameters.
    """
    if len(raw) > MAX_PARAMETERS:
        return "", {}, "an overlong Content field was not read"
    text = decode_bytes(unfold(raw))
    value, semicolon, _ = text.partition(";")
    parameters: dict[str, str] = {}
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    if semicolon:
        for found in _PARAMETER.finditer(text, len(value)):
            name = found[1].lower()
            content = found[3].strip() if found[2] is None else re.sub(r"\\(.)", _unescape, found[2])
            base, star, rest = name.partition("*")
            if star:
                number = rest.rstrip("*")
                # filename*0=, filename*0*=, filename*=
                index = int(number) if number.isdecimal() and len(number) < 6 else 0
                run = sections.setdefault(base, [])
                if len(run) < MAX_SECTIONS:
                    run.append((index, name.endswith("*"), content))
            else:
                parameters.setdefault(name, content)
    for name, content in parameters.items():
        if "=?" in content:
            parameters[name] = decode_words(content)
    for name, run in sections.items():
        joined = _join_sections(sorted(run, key=lambda section: section[0]))
        if joined:
            parameters[name] = joined
    return value.strip().lower(), parameters, ""


def _unescape(found: re.Match[str]) -> str:
    # Windows programs write filename="C:\temp\x.doc" and escape nothing.
    return found[1] if found[1] in '"\\' else found[0]


def _join_sections(run: list[tuple[int, bool, str]]) -> str:
    label = ""
    data = b""
    for position, (_, encoded, content) in enumerate(run):
        piece = content
        if position == 0 and encoded and piece.count("'") >= 2:
            label, _, rest = piece.partition("'")
            piece = rest.partition("'")[2]
        bytes_ = piece.encode("utf-8", "replace")
        data += unquote_to_bytes(bytes_) if encoded else bytes_
    text = charset.decode(data, label)[0]
    return decode_words(text) if "=?" in text else text
