"""One mail as header fields, text and parts, made into bytes and read again before anybody may send it.

The builder is our own and small on purpose: it never refolds, so a long msg-id is never broken or turned into an
encoded word, and it cannot be talked into a line break by a value (security.md 12.3, cpython CVE-2024-6923 and
CVE-2026-1299: the cleaner must hold without those fixes). Everything is pure and deterministic: the same letter gives
the same bytes, which is what lets a plan be replayed.
"""

from __future__ import annotations

import base64
import hashlib
import quopri
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from email.utils import quote
from functools import lru_cache

from gateway.address import clean_name, clean_text, is_address, split_address
from gateway.errors import TemporaryError

_FOLD = 76  # columns of a header line; RFC 5322 2.1.1 recommends 78
_ASCII = bytes(range(128))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LINE_LIMIT = 998  # octets, RFC 5321 4.5.3.1.6
_LONGEST_ID = 250  # octets; a longer msg-id is left out rather than folded
_PIECE = re.compile(r"\s*\S+|\s+")
_ATOM_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+\Z")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")
_MSG_ID = re.compile(r"<[\x21-\x3b\x3d\x3f-\x7e]+@[\x21-\x3b\x3d\x3f-\x7e]+>\Z")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\Z")


class LetterError(TemporaryError):
    """The bytes built do not have the header that was meant: the mail is held and reported, never sent."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that goes along. ``plain`` marks text we wrote ourselves, which may travel unencoded."""

    name: str
    type: str
    content: bytes
    plain: bool = False
    inline_id: str = ""  # Content-ID of a picture shown in the HTML part


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """``fields`` are (name, finished value) without Content-* and MIME-Version; see the ``*_value`` functions."""

    fields: tuple[tuple[str, str], ...]
    text: str
    html: str = ""
    parts: tuple[Part, ...] = ()
    seed: str = ""  # makes the boundaries: the Message-ID
    related: tuple[Part, ...] = field(default=())  # pictures of the HTML part


# ---------------------------------------------------------------------------------------------- header values


def _encoded_words(text: str) -> list[str]:
    """RFC 2047 encoded words of at most 75 characters, cut between words, else between characters.

    Some readers show the blank between two encoded words, which section 6.2 tells them not to.
    """
    words, chunk = [], b""
    for piece in _PIECE.findall(text):
        # 42 bytes give 56 base64 characters, 68 with the frame
        whole = len(piece.encode("utf-8", "replace")) <= 42
        for part in [piece] if whole else piece:
            raw = part.encode("utf-8", "replace")
            if len(chunk) + len(raw) > 42:
                words.append(chunk)
                chunk = b""
            chunk += raw
    words.append(chunk)
    return [f"=?utf-8?b?{base64.b64encode(word).decode()}?=" for word in words]


def text_value(text: str, limit: int = 200) -> str:
    """An unstructured value: cleaned, at most ``limit`` characters, encoded words where it is not ASCII."""
    cleaned = clean_text(text, limit)
    # Something that already looks like an encoded word would be decoded by the reader into whatever it hides.
    if cleaned.isascii() and "=?" not in cleaned:
        return cleaned
    return " ".join(_encoded_words(cleaned))


def mailbox_value(name: str, address: str, *, always_quoted: bool = False) -> str:
    """``"Name" <address>``; the bare address without a name. Raises LetterError when the address is none."""
    local, domain = split_address(address)
    if not is_address(address) or any(c in address for c in '<>"(),:;\\ '):
        raise LetterError(f"not an address for a header: {address!r}")
    if not domain.isascii():
        domain = domain.encode("idna").decode("ascii")
    shown = clean_name(name)
    spec = f"{local}@{domain}"
    if not shown:
        return spec
    if not shown.isascii() or "=?" in shown:
        return " ".join([*_encoded_words(shown), f"<{spec}>"])
    if always_quoted or not _ATOM_NAME.match(shown):
        return f'"{quote(shown)}" <{spec}>'
    return f"{shown} <{spec}>"


def is_message_id(text: str) -> bool:
    """Whether a msg-id of somebody else may be copied into a header of ours: well formed, at most 250 octets."""
    return len(text) <= _LONGEST_ID and bool(_MSG_ID.match(text))


def _fold(name: str, value: str) -> str:
    """Fold at the blanks that are there, nowhere else."""
    lines, line = [], f"{name}:"
    for word in value.split(" "):
        # Never before the first word: a first line that is empty but for the name is read as a leading blank.
        if len(line) + 1 + len(word) > _FOLD and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {word}"
    lines.append(line)
    return "\r\n".join(lines)


# ---------------------------------------------------------------------------------------------- bodies


def _fits_7bit(raw: bytes) -> bool:
    return raw.isascii() and b"\0" not in raw and max(map(len, raw.split(b"\n"))) <= _LINE_LIMIT


def _crlf(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _text_entity(subtype: str, text: str, *, force_quoted: bool = False) -> tuple[list[str], bytes]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if not text.endswith("\n"):
        text += "\n"
    raw = text.encode("utf-8", "replace")
    if not force_quoted and _fits_7bit(raw):
        encoding, body = "7bit", _crlf(raw)
    elif len(raw.translate(None, _ASCII)) * 3 > len(raw):  # mostly not Latin: base64 is shorter than quoted-printable
        encoding, body = "base64", _base64(_crlf(raw))
    else:
        encoding, body = "quoted-printable", _crlf(quopri.encodestring(raw, quotetabs=False))
    return [f'Content-Type: text/{subtype}; charset="utf-8"', f"Content-Transfer-Encoding: {encoding}"], body


@lru_cache(maxsize=32)  # a file goes to every agent of an inbox, and encoding is most of the work on it
def _base64(raw: bytes) -> bytes:
    # One call and one cut: base64.encodebytes goes line by line, a second for 10 MB inside everybody's transaction.
    encoded = base64.b64encode(raw)
    lines = [encoded[at : at + 76] for at in range(0, len(encoded), 76)]
    return b"\r\n".join([*lines, b""]) if lines else b"\r\n"


def forget_files() -> None:
    """Let go of the files encoded so far: they are remembered for the mails of one plan only."""
    _base64.cache_clear()


def _file_parameters(name: str) -> str:
    """The file name parameter; RFC 2231 for what ASCII cannot say, in pieces so that no line grows long."""
    shown = clean_text(name, 150).replace("/", "_").replace("\\", "_") or "attachment"
    if shown.isascii() and len(shown) <= 50 and "=?" not in shown:
        return f'filename="{quote(shown)}"'
    pieces, piece = [], "utf-8''"
    for character in shown:
        octets = "".join(
            chr(b) if b < 128 and (chr(b).isalnum() or b in b"-._") else f"%{b:02X}"
            for b in character.encode("utf-8", "replace")
        )
        if len(piece) + len(octets) > 55:  # cut between characters: readers decode each piece by itself
            pieces.append(piece)
            piece = ""
        piece += octets
    pieces.append(piece)
    if len(pieces) == 1:
        return f"filename*={pieces[0]}"
    return ";\r\n ".join(f"filename*{n}*={piece}" for n, piece in enumerate(pieces))


def _file_entity(part: Part) -> tuple[list[str], bytes]:
    kind = part.type.lower()
    # RFC 2046 5.2.1: message/* and multipart/* must not be base64; as a plain file they survive every relay.
    if not _TYPE.match(kind) or kind.startswith(("multipart/", "message/")):
        kind = "application/octet-stream"
    header = [f"Content-Type: {kind}"]
    if part.plain and _fits_7bit(part.content):
        header = [f'Content-Type: {kind}; charset="utf-8"', "Content-Transfer-Encoding: 7bit"]
        body = _crlf(part.content)
    else:
        header.append("Content-Transfer-Encoding: base64")
        body = _base64(part.content)
    how = "inline" if part.inline_id else "attachment"
    parameters = _file_parameters(part.name)
    line = f"Content-Disposition: {how}; {parameters}"
    header.append(line if len(line.partition("\r\n")[0]) <= 78 else f"Content-Disposition: {how};\r\n {parameters}")
    if part.inline_id and is_message_id(f"<{part.inline_id}>"):
        header.append(f"Content-ID: <{part.inline_id}>")
    return header, body


def _multipart(kind: str, entities: list[tuple[list[str], bytes]], boundary: str) -> tuple[list[str], bytes]:
    pieces = []
    for header, body in entities:
        pieces.append(f"--{boundary}\r\n".encode() + "\r\n".join(header).encode() + b"\r\n\r\n" + body)
    body = b"\r\n".join(pieces) + f"\r\n--{boundary}--\r\n".encode()
    return ["MIME-Version: 1.0", f'Content-Type: multipart/{kind}; boundary="{boundary}"'], body


def _boundaries(letter: Letter) -> Iterator[str]:
    digest = hashlib.sha256(letter.seed.encode() + letter.text.encode("utf-8", "replace")).hexdigest()[:20]
    # "=_" can stand neither in quoted-printable nor in base64 (RFC 2045 6.7); the hash cannot be guessed from outside.
    for number in range(1, 10):
        yield f"=_{digest}_{number}"


def _without_version(entity: tuple[list[str], bytes]) -> tuple[list[str], bytes]:
    return [line for line in entity[0] if line != "MIME-Version: 1.0"], entity[1]


def render(letter: Letter) -> bytes:
    """The mail as bytes with CRLF line ends. Raises LetterError if the result does not read back as it was meant."""
    boundaries = _boundaries(letter)
    entity = _text_entity("plain", letter.text)
    single = not letter.html and not letter.parts
    mixed = next(boundaries)
    if letter.html:
        page = _text_entity("html", letter.html, force_quoted=True)
        alternative = next(boundaries) if letter.parts else mixed
        if letter.related:
            pictures = [_file_entity(part) for part in letter.related]
            page = _without_version(_multipart("related", [page, *pictures], next(boundaries)))
        entity = _multipart("alternative", [entity, page], alternative)
    if letter.parts:
        entity = _multipart("mixed", [_without_version(entity), *map(_file_entity, letter.parts)], mixed)
    content_lines, body = entity
    if single:
        content_lines = [*content_lines, "MIME-Version: 1.0"]
    lines = []
    for name, value in letter.fields:
        if not _FIELD_NAME.match(name) or not value.isascii() or _CONTROL.search(value):
            raise LetterError(f"unfit value for {name}")
        lines.append(_fold(name, value))
    raw = "\r\n".join([*lines, *content_lines]).encode("ascii") + b"\r\n\r\n" + body
    _check(letter, content_lines, raw)
    return raw


def _check(letter: Letter, content_lines: list[str], raw: bytes) -> None:
    """Parse the bytes again: the multiset of header names must equal the intended one (security.md 12.3)."""
    meant = Counter(name.lower() for name, _ in letter.fields)
    meant.update(line.partition(":")[0].lower() for line in content_lines)
    head = raw.partition(b"\r\n\r\n")[0]
    # A header that ends earlier than here in the parser's eyes lacks names; the body it would only walk through.
    parsed = BytesParser(policy=policy.compat32).parsebytes(head + b"\r\n\r\n", headersonly=True)
    found = Counter(name.lower() for name in parsed.keys())  # noqa: SIM118 - keys() repeats repeated names
    if found != meant or parsed.defects:
        raise LetterError(f"header differs: meant {sorted(meant - found)}, found {sorted(found - meant)}")
    if any(len(line) > _LINE_LIMIT for line in head.split(b"\r\n")):
        raise LetterError("header line too long")
