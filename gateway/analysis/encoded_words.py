"""Encoded words of RFC 2047, decoded without ever raising and without non-text codecs (libraries.md E1, E2)."""

from __future__ import annotations

import base64
import binascii
import re

from gateway.analysis.charset import decode as decode_bytes
from gateway.analysis.charset import find_codec

_WORD = re.compile(r"=\?([!-)+-;>@-~]{1,64}?)(?:\*[A-Za-z0-9-]{0,32})?\?([BbQq])\?([!->@-~]{0,4096})\?=")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_TEXT = frozenset(("utf-7", "utf7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7"))  # never in a header (RFC 1642)


def decode_words(text: str) -> str:
    """Text with its encoded words decoded; what cannot be decoded stays as it is. Linear in the length of ``text``.

    ``text`` may hold surrogates for 8-bit bytes (``surrogateescape``); they come out as what they most likely are.
    Adjacent words of one charset are decoded together: mailers cut characters in two (RFC 2047 5, rule 3, forbids it).
    """
    out: list[str] = []
    pending = b""
    charset = ""
    end = 0
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        end = word.end()
        data = _decode_word(word[2], word[3])
        if data is None:
            out += [_to_text(pending, charset), between, word[0]]
            pending, charset = b"", ""
            continue
        if charset == word[1].lower() and not between.strip(" \t\r\n"):
            pending += data
            continue
        out.append(_to_text(pending, charset))
        if between.strip(" \t\r\n") or not charset:
            out.append(between)
        pending, charset = data, word[1].lower()
    out += [_to_text(pending, charset), text[end:]]
    joined = "".join(out)
    return decode_bytes(joined.encode("utf-8", "surrogateescape"))[0] if _has_surrogates(joined) else joined


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any(0xD800 <= ord(char) < 0xE000 for char in text)


def _decode_word(encoding: str, text: str) -> bytes | None:
    data = text.encode("ascii")
    if encoding in "Qq":
        return _HEX.sub(lambda found: bytes((int(found[1], 16),)), data.replace(b"_", b" "))
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4))
    except (binascii.Error, ValueError):
        return None


def _to_text(data: bytes, charset: str) -> str:
    """Bytes in a charset by name, as in every other part of a mail; an unknown charset is read as UTF-8."""
    if not data:
        return ""
    if charset in _NOT_TEXT or find_codec(charset) is None:
        return data.decode("utf-8", "replace")
    return decode_bytes(data, charset)[0]
