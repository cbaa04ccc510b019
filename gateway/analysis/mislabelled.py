"""Parts that are something else than their Content-Type says, where the bytes leave no doubt."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.analysis.fields import split_fields
from gateway.analysis.structure import Part, decode_transfer

_PAGE = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_MARKUP = re.compile(rb"<[a-z/!]|&[a-z0-9#]{2,8};", re.IGNORECASE)


def correct_types(parts: Iterable[Part]) -> None:
    """Scripts call a whole page plain text, and plain text a page: people would see tags, or one endless line.

    A page is one from its first to its last word; who shows a piece of HTML writes a word of their own beside it.
    """
    for part in parts:
        if part.disposition == "attachment" or part.is_container:
            continue
        if part.type == "text/plain":
            head = decode_transfer(part.data[part.start : min(part.end, part.start + 400)], part.encoding())
            if _PAGE.match(head) and part.content().rstrip().lower().endswith(b"</html>"):
                part.type = "text/html"
        elif part.type == "text/html" and not _has_markup(part):
            part.type = "text/plain"


def _has_markup(part: Part) -> bool:
    return bool(_MARKUP.search(part.data[part.start : part.end])) or bool(_MARKUP.search(part.content()))


def is_mail_file(part: Part, name: str, content: bytes) -> bool:
    """A mail that was attached as a file: webmailers and gateways do not know what an .eml is."""
    if part.type not in ("application/octet-stream", "application/eml") or not name.lower().endswith(".eml"):
        return False
    header = split_fields(content, 0, min(len(content), 65536), 200)
    return bool(header.first("from") and (header.first("date") or header.first("received") or header.first("subject")))
