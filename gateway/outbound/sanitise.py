"""HTML that may be shown or sent on: an allow-list and nothing else (security.md 12.1) [nh3]."""

from __future__ import annotations

import re

import nh3

_LARGEST = 512 * 1024
_DEEPEST = 200  # nh3 is quadratic in nesting depth: 10,000 open elements cost 0.6 s
_TAGS = {
    "a", "b", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "s",
    "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
_DROPPED_WITH_CONTENT = {"script", "style", "head", "title", "noscript", "template", "iframe", "object", "svg", "math"}
_VOID = re.compile(r"<(?:br|hr|img|meta|link|input|wbr|col|area|base|embed|source|track)\b", re.IGNORECASE)


def too_deep(html: str) -> bool:
    """Whether markup could nest deeper than we are willing to read: a cheap upper bound, no parser involved."""
    depth = deepest = 0
    for found in re.finditer(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)", html):
        if _VOID.match(f"<{found[2]}"):
            continue
        depth = max(0, depth - 1) if found[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def clean_html(html: str) -> str:
    """Sanitised HTML: no scripts, styles, forms, images, remote loads, ids, classes; "" if it is not worth the risk.

    Links keep http, https, mailto and tel only and are marked ``noopener noreferrer``. Pure.
    """
    if len(html) > _LARGEST or too_deep(html):
        return ""
    printable = html.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
    return nh3.clean(
        printable,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes={"a": {"href"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan", "scope"}},
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer",
        strip_comments=True,
    ).strip()
