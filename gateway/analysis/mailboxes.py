"""Address lists for display (RFC 5322 section 3.4), read by hand in one pass; mail-parser is asked in doubt.

Address parsers of the standard library recurse and are quadratic (libraries.md L14); this one is a scan. Who the author
*is* is decided elsewhere, by a reader that refuses what this one forgives.
"""

from __future__ import annotations

import re

from gateway.analysis.fields import decode_words
from gateway.model import Mailbox

MAX_ADDRESSES = 100
"""Addresses used of one list (security.md 11.1); the rest stays in the raw mail."""

_SIMPLE = re.compile(r'\s*(?:"([^"\\<>]*)"|([^",:;<>()@\\\[\]]*))\s*<\s*([^\s<>,;:"()\\]+@[^\s<>,;:"()\\@]+)\s*>\s*\Z')
_BARE = re.compile(r"[^\s<>,;:\"()\\@]+@[^\s<>,;:\"()\\@]+")
_LONG = 1000  # of one name or address; the patterns below are quadratic at worst
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|<[^>]*(?:>|\Z)|[(),;:]|[^"<(),;:]+')


def read_mailboxes(value: str, limit: int = MAX_ADDRESSES) -> tuple[tuple[Mailbox, ...], bool]:
    """The mailboxes of one unfolded, not yet word-decoded value, and whether any of it was odd. Groups are opened."""
    value = value.strip()
    simple = _SIMPLE.match(value) if len(value) <= _LONG else None
    if simple:
        name = simple[1] if simple[1] is not None else simple[2]
        return (Mailbox(_name(name), simple[3]),), False
    if _BARE.fullmatch(value):
        return (Mailbox("", value),), False
    found: list[Mailbox] = []
    odd = False
    words: list[str] = []
    angles: list[str] = []
    comments: list[str] = []
    depth = 0
    in_group = False

    def finish() -> None:
        nonlocal words, angles, comments, odd
        mailbox, strange = _make_mailbox(words, angles, comments)
        odd = odd or strange
        if mailbox is not None:
            if angles and found and not found[-1].address and "@" not in found[-1].name:
                # Müller, Jörg <j@example.org>: a comma that should have been quoted.
                mailbox = Mailbox(f"{found.pop().name}, {mailbox.name}".rstrip(", "), mailbox.address)
            found.append(mailbox)
        words, angles, comments = [], [], []

    for token in _TOKEN.finditer(value):
        text = token[0]
        if depth:  # comments nest (RFC 5322 section 3.2.2): counted, never recursed into
            depth += (text == "(") - (text == ")")
            if depth and len(comments) < 20:
                comments.append(text)
            continue
        if text == "(":
            depth = 1
        elif text in (",", ";"):
            if text == ";" and in_group:
                in_group = False
            finish()
            if len(found) >= limit:
                return tuple(found[:limit]), True
        elif text == ":":
            words, angles, comments = [], [], []
            in_group = True
        elif text.startswith("<"):
            odd = odd or "<" in text[1:]
            angles.append(text.strip("<> \t"))
        elif text == ")":
            odd = True
        else:
            words.append(text)
    finish()
    return tuple(found[:limit]), odd or depth > 0


def _make_mailbox(words: list[str], angles: list[str], comments: list[str]) -> tuple[Mailbox | None, bool]:
    text = " ".join(word.strip() if not word.startswith('"') else word for word in words).strip()
    text = text[:_LONG]
    if angles:
        # <@route:user@host> (RFC 5322 section 4.4): the route is not the address.
        address = angles[0].rpartition(":")[2] if angles[0].startswith("@") else angles[0]
        if "(" in address:  # <pete(his account)@silly.test(his host)> (RFC 5322 appendix A.5)
            address = re.sub(r"\([^()]{0,200}\)", "", address)
        address = re.sub(r"\s*([@.])\s*", r"\1", address) if len(address) < _LONG else address
        address = address.removeprefix("mailto:").strip("'\" ") if "@" in address else address
        name = _name(text) or _name("".join(comments))
        odd = len(angles) > 1 or "@" not in address or "@" in text
        return Mailbox(name, address), odd
    if not text:
        return None, bool(comments)
    quoted = text.startswith('"') and text.endswith('"')
    # A quoted local part keeps its quotes: "john smith"@example.org is one address.
    compact = re.fullmatch(r'("(?:[^"\\]|\\.)*")\s*(@[^\s@]+)', text)
    if compact:
        return Mailbox(_name("".join(comments)), compact[1] + compact[2]), False
    bare = _BARE.search(text)
    if bare and not quoted:
        left = (text[: bare.start()] + " " + text[bare.end() :]).strip()
        return Mailbox(_name("".join(comments)) or _name(left), bare[0]), bool(left)
    inside = _BARE.search(text)
    if inside:
        return Mailbox("", inside[0].strip("'")), True
    return Mailbox(_name(text), ""), True


def _name(text: str) -> str:
    """A display name: quotes and escapes undone, encoded words decoded wherever they stand, white space folded."""
    text = text.strip()
    if '"' in text:
        text = re.sub(r'"((?:[^"\\]|\\.)*)("|\Z)', lambda m: re.sub(r"\\(.)", r"\1", m[1]), text)
    if "=?" in text:
        text = decode_words(text)
    text = " ".join(text.split())
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1].strip()
    return text
