"""Quotes and signatures that mail clients mark in HTML, found in the DOM and told as line numbers of the text.

The marks are set as private characters into the DOM and the page is turned into text a second time: the characters
say where each marked element begins and ends among the very lines the reader sees. If the two texts do not agree line
by line, the marks are dropped and the text alone decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from gateway.analysis.html import html_to_text

MAX_HTML = 512 * 1024
_MAX_ELEMENTS = 12_000
_MAX_MARKED = 400

_OPEN, _CLOSE, _REST, _SIGN, _SIGNED, _SOFT, _SOFT_END = (
    "\ue0f0",
    "\ue0f1",
    "\ue0f2",
    "\ue0f3",
    "\ue0f4",
    "\ue0f5",
    "\ue0f6",
)
_ANY = re.compile("[\ue0f0-\ue0f6]")

# What each client puts around mail it quotes. Elements whose class people give their own words too (Gmail marks
# an indented paragraph as blockquote.gmail_quote) are not here.
_QUOTES = (
    "div.gmail_quote, div.gmail_quote_container, blockquote[type=cite], blockquote[cite], div.yahoo_quoted, "
    "div.protonmail_quote, blockquote.protonmail_quote, div.zmail_extra, div.tutanota_quote, "
    "blockquote.tutanota_quote, "
    "#OLK_SRC_BODY_SECTION, div[name=quote], #isReplyContent, blockquote.iosymail, div.moz-cite-prefix, "
    "div.moz-forward-container, #mail-editor-reference-message-container, .ms-outlook-mobile-reference-message, "
    "div.gmail_attr, blockquote.spark_quote, div.hey_quote, div.front-blockquote, div.ydp-quoted, #replyIntro, "
    "div.aolReplacedBody, #qt, .freebirdQuote, div.sh-quoted-content, div[data-marker=__QUOTED_TEXT__], .WM_QUOTE, "
    "div.bloop_original_html, blockquote.clean_bq, "
    "div.airmail_ext_on, div.acompli_quote, div.cafe-quote, #ms-outlook-quote"
)
_RESTS = (
    "#divRplyFwdMsg, #appendonsend, #x_divRplyFwdMsg, #x_appendonsend, #stopSpelling, #zwchr, hr#zwchr, #replySplit"
)
_SIGNATURES = (
    "div.gmail_signature, #Signature, #signature, div.moz-signature, pre.moz-signature, "
    "div.protonmail_signature_block, "
    "#ms-outlook-mobile-signature, #ymail_android_signature, #AppleMailSignature, #lineBreakAtBeginningOfSignature, "
    "div.tutanota_signature, #composer_signature, div.ydp-signature, div[name=signature]"
)
_OURS = re.compile(r"(?:^|[^A-Za-z])tg-\d{1,9}$")
_WORTH = re.compile(
    r"blockquote|quote|cite|divRplyFwdMsg|appendonsend|stopSpelling|zwchr|OLK_SRC|signature|tg-\d|isReplyContent|"
    r"reference-message|yahoo|zmail|moz-|replySplit|#qt",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Marks:
    """Line numbers of the text: ``quoted`` for certain, ``soft`` where an attribution above must confirm."""

    quoted: set[int] = field(default_factory=set)
    signature: set[int] = field(default_factory=set)
    soft: set[int] = field(default_factory=set)
    rest: int = -1  # from here on everything is history; -1: no such mark
    ours: bool = False  # ``rest`` is our own element


def may_mark(html: str) -> bool:
    """Is it worth looking, and small enough?"""
    small = len(html) <= MAX_HTML and html.count("<") <= _MAX_ELEMENTS
    return small and _WORTH.search(html) is not None and not _ANY.search(html)


def find_marks(html: str, lines: Sequence[str]) -> Marks | None:
    """The marked lines of a text made by ``html_to_text(html)``; None when nothing is marked or cannot be told."""
    if not may_mark(html):
        return None
    try:
        tree = LexborHTMLParser(html)
        ours = _set_marks(tree)
        if ours is None:
            return None
        marked = tree.html
    except Exception:  # noqa: BLE001 - whatever the C parser dislikes must not cost the text
        return None
    return _align(html_to_text(marked or ""), lines, ours)


def _set_marks(tree: LexborHTMLParser) -> bool | None:
    """Write the private characters; None when nothing was marked, else whether our own element is there."""
    count, ours = 0, False
    for selectors, opening, closing in (
        (_QUOTES, _OPEN, _CLOSE),
        (_SIGNATURES, _SIGN, _SIGNED),
        ("blockquote", _SOFT, _SOFT_END),
        (_RESTS, _REST, ""),
    ):
        for node in tree.css(selectors):
            count += 1
            if count > _MAX_MARKED:
                return None
            _wrap(node, opening, closing)
    for node in tree.css("[id*=tg-]"):
        if _OURS.search(node.attributes.get("id") or ""):
            _wrap(node, _REST, "")
            count, ours = count + 1, True
    return ours if count else None


def _wrap(node: LexborNode, opening: str, closing: str) -> None:
    node.insert_before(opening)
    if closing:
        node.insert_after(closing)


def _align(marked: str, lines: Sequence[str], ours: bool) -> Marks | None:
    marks = Marks(ours=ours)
    quote = sign = soft = 0
    at = 0
    for line in marked.split("\n"):
        plain = _ANY.sub("", line)
        words = False
        inside = [0, 0, 0]
        for char in line:
            if char == _OPEN:
                quote += 1
            elif char == _CLOSE:
                quote = max(0, quote - 1)
            elif char == _SIGN:
                sign += 1
            elif char == _SIGNED:
                sign = max(0, sign - 1)
            elif char == _SOFT:
                soft += 1
            elif char == _SOFT_END:
                soft = max(0, soft - 1)
            elif char == _REST:
                if marks.rest < 0:
                    marks.rest = _next_line(lines, at) + bool(words)
            elif char not in "> \t\xa0" and not words:
                # Where a line's first word stands decides for the line.
                words = True
                inside = [quote, sign, soft]
        if not words:
            continue
        at = _next_line(lines, at)
        if at >= len(lines) or lines[at].split() != plain.split():
            return None
        for level, numbers in zip(inside, (marks.quoted, marks.signature, marks.soft), strict=True):
            if level:
                numbers.add(at)
        at += 1
    return marks


def _next_line(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip("> \t\xa0"):
        at += 1
    return at
