"""Which parts of a mail are the text a person reads, and which are attachments (after RFC 8621 section 4.1.4).

Works from the last part to the first, so that every container meets finished children: no recursion.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.analysis.structure import Part

TEXTS = frozenset(("text/plain", "text/html", "text/calendar", "text/enriched", "text/richtext"))
_NEVER_SHOWN = frozenset(
    (
        "text/rfc822-headers",
        "text/vcard",
        "text/x-vcard",
        "text/directory",
        "text/css",
        "text/csv",
        "text/xml",
        "text/javascript",
        "text/x-amp-html",
        "text/x-watch-html",
        "text/rtf",
        "text/tab-separated-values",
        "text/calendar",
    )
)


@dataclass(slots=True)
class View:
    """Leaves by index: ``plain`` and ``html`` are the two ways to read the same text, ``rest`` is attached."""

    plain: list[int] = field(default_factory=list)
    html: list[int] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)


def choose_views(parts: list[Part], blank: set[int]) -> View:
    """The view of the whole mail. ``blank``: indexes of text/plain leaves without a visible character."""
    views: list[View] = [View() for _ in parts]
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if not part.is_container:
            views[index] = _view_of_leaf(parts, index)
        elif part.type == "multipart/alternative":
            views[index] = _choose_alternative(parts, views, part.children, blank)
        else:
            view = views[index]
            for child in part.children:
                view.plain += views[child].plain
                view.html += views[child].html
                view.rest += views[child].rest
    return views[0] if views else View()


def _view_of_leaf(parts: list[Part], index: int) -> View:
    return View([index], [index], []) if _is_shown(parts, index) else View([], [], [index])


def _is_shown(parts: list[Part], index: int) -> bool:
    part = parts[index]
    if part.main != "text" or part.disposition == "attachment":
        return False
    parent = parts[part.parent] if part.parent >= 0 else None
    alone = parent is None or (len(parent.children) == 1 and parent.parent < 0)
    if part.type not in TEXTS:
        return part.type not in _NEVER_SHOWN and not part.filename()
    if part.type == "text/calendar":
        return alone or (parent is not None and parent.type == "multipart/alternative")
    if parent is None or parent.type == "multipart/alternative":
        return True
    if parent.type == "multipart/related":
        return part.rank == 0 or part.content_id() == _start(parent)
    return part.rank == 0 or not part.filename()


def _start(parent: Part) -> str:
    return parent.parameters.get("start", "").strip("<> ") or "\0"


def _choose_alternative(parts: list[Part], views: list[View], children: list[int], blank: set[int]) -> View:
    """Plain: the first child that has real plain text; HTML: the last that has HTML (RFC 2046 section 5.1.4)."""
    chosen = View()
    readable = [child for child in children if views[child].plain or views[child].html]
    for child in readable:
        own = [i for i in views[child].plain if parts[i].type not in ("text/html", "text/calendar")]
        if any(i not in blank for i in own) and any(parts[i].type == "text/plain" for i in own):
            chosen.plain = views[child].plain
            break
    for child in reversed(readable):
        if any(parts[i].type == "text/html" for i in views[child].html):
            chosen.html = views[child].html
            break
    if not chosen.plain:
        fallback = [c for c in readable if any(parts[i].type != "text/calendar" for i in views[c].plain)] or readable
        chosen.plain = chosen.html or (views[fallback[-1]].plain if fallback else [])
    if not chosen.html:
        chosen.html = chosen.plain
    # A variant nobody will read is still listed, unless it is the same text once more.
    taken = {*chosen.plain, *chosen.html}
    for child in children:
        view = views[child]
        chosen.rest += view.rest
        for i in dict.fromkeys((*view.plain, *view.html)):
            if i not in taken and parts[i].type not in ("text/plain", "text/html"):
                chosen.rest.append(i)
    return chosen
