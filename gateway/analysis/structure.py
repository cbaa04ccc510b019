"""The parts of a mail (RFC 2045, 2046): one pass over the bytes, no recursion, bounded in number and depth.

The standard library's parser recurses per level and takes seconds for ten thousand parts (libraries.md L14). This one
looks for the delimiter lines of all open multiparts at once; what it costs depends on the size of the mail only.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.analysis.fields import Header, decode_base64, read_parameters, split_fields

MAX_PARTS = 1000
MAX_DEPTH = 30
MAX_BOUNDARY = 200
_MAX_FALSE_DELIMITERS = 20_000
_MAX_UU_LINES = 700_000  # 30 MB of well-formed lines

_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]+/[a-z0-9!#$&^_.+\-]+\Z")


@dataclass(slots=True)
class Part:
    """One entity: where its body lies in ``data``, what its header says. ``parent`` is -1 for the root."""

    data: bytes = field(repr=False)
    header: Header = field(repr=False)
    start: int
    end: int
    parent: int
    depth: int
    rank: int  # position among the children of its parent
    type: str = "text/plain"
    parameters: Mapping[str, str] = field(default_factory=dict)
    disposition: str = ""
    disposition_parameters: Mapping[str, str] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)
    is_container: bool = False
    epilogue: tuple[int, int] = (0, 0)

    @property
    def main(self) -> str:
        return self.type.partition("/")[0]

    def content_id(self) -> str:
        """Content-ID without angle brackets."""
        return self.header.first("content-id").decode("utf-8", "replace").strip().strip("<>")[:250]

    def encoding(self) -> str:
        """Content-Transfer-Encoding, lower case, comments and quotes dropped."""
        value = self.header.first("content-transfer-encoding")[:100].decode("latin-1").lower()
        return re.sub(r"\(.*?\)", "", value).partition(";")[0].strip(" \t\"'")

    def content(self) -> bytes:
        """The body, decoded from its transfer encoding and nothing else."""
        return decode_transfer(self.data[self.start : self.end], self.encoding())

    def filename(self) -> str:
        """The name as the sender wrote it, not yet cleaned; "" without one. The disposition's name wins (RFC 2183)."""
        for found in (self.disposition_parameters.get("filename"), self.parameters.get("name")):
            if found and found.strip():
                return found
        return self.disposition_parameters.get("name", "") or self.parameters.get("filename", "")


@dataclass(slots=True)
class Structure:
    """All parts in document order (a parent stands before its children) and what was wrong with them."""

    parts: list[Part] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    truncated: str = ""


def decode_transfer(body: bytes, encoding: str) -> bytes:
    """Undo base64, quoted-printable or uuencode; anything else is taken as it is."""
    if encoding in ("base64", "b64", "base-64"):
        return body if _was_never_encoded(body) else decode_base64(body)
    if encoding in ("quoted-printable", "quotedprintable", "qp", "quoted-print"):
        return binascii.a2b_qp(body)
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        return _decode_uu(body)
    return body


_READABLE = re.compile(rb"[\t\r\n\x20-\x7e\x80-\xff]+")
_ENCODED_LINE = re.compile(rb"^[A-Za-z0-9+/]{40}", re.MULTILINE)
_FIRST_WORDS = re.compile(rb"\s*[^\s=]+[ \t]+[^\s=]+[ \t]+[^\s=]")


def _was_never_encoded(body: bytes) -> bool:
    """Some programs announce base64 and send the words as they are. Decoded, nothing of them would be left.

    Words then: the body begins with three of them, no line near the top is base64, and decoding gives no text.
    """
    top = body[:4096]
    if not _FIRST_WORDS.match(top) or not _READABLE.fullmatch(top) or _ENCODED_LINE.search(top):
        return False
    return re.search(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]", decode_base64(top)) is not None


def _decode_uu(body: bytes) -> bytes:
    begin = re.search(rb"^begin [0-7]{3,4} [^\n]*\n", body, re.MULTILINE)
    if begin is None:
        return body
    pieces = []
    for line in body[begin.end() :].split(b"\n", _MAX_UU_LINES)[:_MAX_UU_LINES]:
        if line.strip() in (b"end", b"`", b""):
            if line.strip() == b"end":
                break
            continue
        try:
            pieces.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Encoders that write trailing garbage: the first byte tells how much of the line counts.
            length = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                pieces.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                continue
    return b"".join(pieces)


@dataclass(slots=True)
class _Open:
    index: int
    delimiter: bytes
    found: int  # start of the next line that begins with the delimiter; -1 none


class _Splitter:
    def __init__(self, data: bytes, into: Structure) -> None:
        self.data = data
        self.into = into
        self.stack: list[_Open] = []
        self.false = 0

    def push(self, index: int, boundary: str, position: int) -> None:
        delimiter = b"--" + boundary.encode("utf-8", "surrogateescape")
        self.stack.append(_Open(index, delimiter, self.seek(delimiter, position)))

    def seek(self, delimiter: bytes, position: int) -> int:
        """The first line at or after ``position`` that is this delimiter, open or closing; -1 without one."""
        data = self.data
        while True:
            if data.startswith(delimiter, position) and (position == 0 or data[position - 1 : position] == b"\n"):
                start = position
            else:
                newline = data.find(b"\n" + delimiter, max(position - 1, 0))
                if newline < 0:
                    return -1
                start = newline + 1
            rest = self.rest_of_line(start, delimiter)
            if rest in (b"", b"--"):
                return start
            self.false += 1
            if self.false > _MAX_FALSE_DELIMITERS:
                self.into.truncated = "too many lines that look like the border between two parts"
                return -1
            position = start + len(delimiter)

    def rest_of_line(self, start: int, delimiter: bytes) -> bytes:
        begin = start + len(delimiter)
        newline = self.data.find(b"\n", begin, begin + 200)
        if newline < 0:
            newline = begin + 200 if len(self.data) > begin + 200 else len(self.data)
        return self.data[begin:newline].strip(b" \t\r")

    def next_delimiter(self, position: int) -> tuple[int, int]:
        """Start of the next delimiter line of any open multipart, and its level in the stack; (-1, -1) at the end."""
        best, level = -1, -1
        for at, open_ in enumerate(self.stack):
            if 0 <= open_.found < position:
                open_.found = self.seek(open_.delimiter, position)
            # ">=" lets the innermost win when an inner multipart repeats the boundary of an outer one.
            if open_.found >= 0 and (best < 0 or open_.found <= best):
                best, level = open_.found, at
        return best, level


def split_parts(data: bytes, header: Header, into: Structure, parent: int = -1, depth: int = 0) -> int:
    """Append the entity with this header, and all entities inside, to ``into``; returns its index.

    ``data`` ends where the entity ends. Called again for entities that come out of a decoded one (S/MIME).
    """
    splitter = _Splitter(data, into)
    root = _open_part(splitter, header, parent, depth, header.body_start, len(data))
    parts = into.parts
    current = root if not parts[root].is_container else -1
    after_close = -1
    position = header.body_start
    while splitter.stack:
        start, level = splitter.next_delimiter(position)
        edge = len(data) if start < 0 else _before_newline(data, start)
        if current >= 0:
            parts[current].end = max(parts[current].start, edge)
        if after_close >= 0:
            parts[after_close].epilogue = (position, max(position, edge))
        current = after_close = -1
        if start < 0:
            into.defects.append("the last part has no end")
            for open_ in splitter.stack:
                parts[open_.index].end = len(data)
            break
        for open_ in splitter.stack[level + 1 :]:
            into.defects.append("a part ended before its end was marked")
            parts[open_.index].end = max(parts[open_.index].start, edge)
        del splitter.stack[level + 1 :]
        owner = splitter.stack[level]
        closing = splitter.rest_of_line(start, owner.delimiter) == b"--"
        line_end = data.find(b"\n", start)
        position = len(data) if line_end < 0 else line_end + 1
        if closing:
            parts[owner.index].end = position
            after_close = owner.index
            splitter.stack.pop()
            if not splitter.stack:
                parts[owner.index].epilogue = (position, len(data))
            continue
        if len(parts) >= MAX_PARTS:
            into.truncated = f"more than {MAX_PARTS} parts"
            break
        border, _ = splitter.next_delimiter(position)
        bound = len(data) if border < 0 else border
        inner = split_fields(data, position, bound, 200)
        current = _open_part(splitter, inner, owner.index, parts[owner.index].depth + 1, inner.body_start, bound)
        position = inner.body_start
        if parts[current].is_container:
            current = -1
    return root


def _before_newline(data: bytes, start: int) -> int:
    """The end of the body above a delimiter line: the line break belongs to the delimiter (RFC 2046 section 5.1.1)."""
    if start > 0 and data[start - 1] == 0x0A:
        start -= 1
        if start > 0 and data[start - 1] == 0x0D:
            start -= 1
    return start


def _open_part(splitter: _Splitter, header: Header, parent: int, depth: int, start: int, end: int) -> int:
    into = splitter.into
    parts = into.parts
    index = len(parts)
    default = "text/plain"
    rank = 0
    if parent >= 0:
        rank = len(parts[parent].children)
        parts[parent].children.append(index)
        if parts[parent].type == "multipart/digest":
            default = "message/rfc822"
    part = Part(splitter.data, header, start, end, parent, depth, rank, type=default)
    parts.append(part)
    into.defects.extend(header.defects)
    _read_content_fields(part, into)
    if part.main != "multipart":
        return index
    boundary = part.parameters.get("boundary", "").rstrip()
    if not boundary or len(boundary) > MAX_BOUNDARY:
        boundary = _guess_boundary(splitter.data, start, end)
        into.defects.append("a multipart names no usable boundary")
    if depth >= MAX_DEPTH:
        into.truncated = f"parts nested more than {MAX_DEPTH} deep"
        part.type = "application/octet-stream"
    elif not boundary:
        part.type = "text/plain"
    else:
        part.is_container = True
        splitter.push(index, boundary, start)
        if splitter.stack[-1].found < 0 or splitter.stack[-1].found > end:
            # The boundary never occurs: what is there is text, or people would see nothing at all.
            splitter.stack.pop()
            part.is_container = False
            part.type = "text/plain"
            into.defects.append("the boundary of a multipart does not occur in it")
    return index


def _read_content_fields(part: Part, into: Structure) -> None:
    raw = part.header.first("content-type")
    if raw:
        value, parameters, defect = read_parameters(raw)
        part.parameters = parameters
        if defect:
            into.defects.append(defect)
            part.type = "application/octet-stream"
        elif _TYPE.match(value):
            part.type = value
        elif (plain := re.match(r"([a-z0-9.+\-]+/[a-z0-9.+\-]+)", value)) is not None:
            part.type = plain[1]
        elif value.startswith("multipart/"):  # multipart/* and the like
            part.type = "multipart/mixed"
        elif value.strip("/") in ("multipart", "image", "audio", "video", "application"):
            part.type = "multipart/mixed" if value.startswith("multipart") else "application/octet-stream"
    raw = part.header.first("content-disposition")
    if raw:
        value, parameters, defect = read_parameters(raw)
        part.disposition_parameters = parameters
        # RFC 2183 section 2.8: an unknown disposition is an attachment.
        word = value.split()[0] if value.split() else ""
        part.disposition = "inline" if word == "inline" else ("attachment" if word or defect else "")
        if defect:
            into.defects.append(defect)


def _guess_boundary(data: bytes, start: int, end: int) -> str:
    """The boundary a multipart forgot to name: its first line that begins with ``--`` and occurs again."""
    found = re.search(rb"(?:\A|\n)--([!-~][ -~]{0,69})\r?\n", data[start : min(end, start + 4096)])
    if found is None:
        return ""
    boundary = found[1].rstrip()
    again = data.find(b"\n--" + boundary, start + found.end() - 1, end)
    return boundary.decode("ascii") if again >= 0 else ""
