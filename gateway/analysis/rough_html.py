"""HTML without a tree: whether a tree may be built at all, and the text when it may not.

lexbor is quadratic in depth, in attributes of one tag and in open formatting elements (100 000 nested ``div``: 20 s).
Everything here is one pass over the characters.
"""

from __future__ import annotations

import html as entities
import re

MAX_HTML = 2 * 1024 * 1024
_MAX_TAGS = 25_000
_MAX_DEPTH = 400
_MAX_TAG = 8192

_FORMATTING = frozenset(
    (
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    )
)
_VOID = frozenset(
    (
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "source",
        "track",
        "wbr",
        "p",
        "li",
        "dt",
        "dd",
        "tr",
        "td",
        "th",
        "option",
        "o:p",
        "v:shape",
    )
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]{0,30})")
_DATA_URL = re.compile(r"data:[^\"'\s>]+", re.IGNORECASE)
_OPEN_QUOTE = re.compile(r"=\s{0,10}(?:\"[^\"]*|'[^']*)\Z")


def is_tame(html: str) -> bool:
    """Whether a tree of this page costs what its size suggests."""
    if len(html) > MAX_HTML or html.count("<") > _MAX_TAGS:
        return False
    depth = formatting = 0
    for found in _TAG.finditer(html):
        name = found[2].lower()
        if name in _FORMATTING:
            formatting += -1 if found[1] else 1
            if formatting > _MAX_DEPTH:
                return False
        if name in _VOID:
            continue
        depth = max(depth + (-1 if found[1] else 1), 0)
        if depth > _MAX_DEPTH:
            return False
    return not _has_long_tag(html)


def _has_long_tag(html: str) -> bool:
    """Whether a tag may be long enough for thousands of attributes; quotes that hide ``<`` or ``>`` are counted in."""
    run = 0
    for piece in html.split("<")[1:]:
        if piece[:1] in ("!", "/", "?"):
            continue
        tag, end, _ = piece.partition(">")
        unclosed = not end or bool(_OPEN_QUOTE.search(tag[-2000:]))
        run += len(_DATA_URL.sub("", piece if unclosed else tag))
        if run > _MAX_TAG:
            return True
        if not unclosed:
            run = 0
    return False


_BREAK = re.compile(r"</?(?:p|div|br|tr|li|h[1-6]|table|blockquote|pre|ul|ol|hr)\b[^<>]*>", re.IGNORECASE)
_ANY = re.compile(r"<[/!?a-zA-Z][^<>]*>")
_UNSHOWN = tuple(
    (re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (
        (r"<!--", r"-->"),
        (r"<head\b", r"</head\s{0,9}>"),
        (r"<script\b", r"</script\s{0,9}>"),
        (r"<style\b", r"</style\s{0,9}>"),
    )
)


def _drop(html: str, begin: re.Pattern[str], end: re.Pattern[str]) -> str:
    """Without what stands between the two; one pass, and it stops at a beginning without an end."""
    kept: list[str] = []
    position = 0
    while (opening := begin.search(html, position)) and (closing := end.search(html, opening.end())):
        kept.append(html[position : opening.start()])
        position = closing.end()
    kept.append(html[position:])
    return " ".join(kept)


def strip_tags(html: str) -> str:
    """The text of any page: tags, comments, scripts and styles cut out, blocks as lines."""
    html = html[: 4 * MAX_HTML]
    for begin, end in _UNSHOWN:
        html = _drop(html, begin, end)
    text = _ANY.sub("", _BREAK.sub("\n", html))
    text = entities.unescape(text).replace("\xa0", " ").replace("\0", "")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return tidy_gaps("\n".join(lines))


def tidy_gaps(text: str) -> str:
    """At most one empty line in a row, none at the ends."""
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")
