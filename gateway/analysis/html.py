"""HTML to the text a person reads: blocks become lines, links show where they lead, hidden text stays text.

A page that a tree builder would choke on is read by ``rough_html`` instead.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from gateway.analysis.rough_html import is_tame, strip_tags, tidy_gaps

_MAX_LINK = 200

_PARAGRAPHS = frozenset(
    (
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "pre",
        "ul",
        "ol",
        "dl",
        "table",
        "hr",
    )
)
_BLOCKS = _PARAGRAPHS | frozenset(
    (
        "div",
        "address",
        "article",
        "aside",
        "section",
        "header",
        "footer",
        "nav",
        "main",
        "figure",
        "figcaption",
        "fieldset",
        "form",
        "legend",
        "li",
        "dt",
        "dd",
        "tr",
        "caption",
        "center",
        "body",
        "html",
        "tbody",
        "thead",
        "tfoot",
        "details",
        "summary",
        "dir",
        "menu",
        "option",
        "optgroup",
        "title",
    )
)
_SILENT = frozenset(
    (
        "head",
        "script",
        "style",
        "template",
        "meta",
        "link",
        "base",
        "object",
        "embed",
        "applet",
        "iframe",
        "frameset",
    )
)
_SPACE = re.compile(r"[ \t\r\n\f]+")


def html_to_text(html: str) -> str:
    """The text of an HTML mail, LF line ends, at most one empty line in a row. Never raises."""
    if not is_tame(html):
        return strip_tags(html)
    try:
        root = LexborHTMLParser(html).root
    except Exception:  # noqa: BLE001 - whatever the C parser dislikes must not cost the text
        return strip_tags(html)
    if root is None:
        return ""
    writer = _Writer()
    _walk(root, writer)
    return writer.text()


class _Writer:
    """Collects words into lines. ``gap`` is what must stand before the next word: 1 a new line, 2 an empty line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.gap = 0
        self.space = False
        self.prefix = ""
        self.line_prefix = ""
        self.mark = ""

    def words(self, text: str) -> None:
        text = _SPACE.sub(" ", text.replace("\xa0", "\x01"))
        if text == " ":
            self.space = True
            return
        if not text:
            return
        if text[0] == " ":
            self.space = True
        body = text.strip(" ")
        if not body:
            return
        self.settle()
        if self.space and self.line:
            self.line.append(" ")
        self.line.append(body.replace("\x01", " "))
        self.space = text[-1] == " "

    def verbatim(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")
        for number, line in enumerate(text.split("\n")):
            if number:
                self.feed()
            if line:
                self.settle()
                if self.space and self.line:
                    self.line.append(" ")
                self.space = False
                self.line.append(line)

    def settle(self) -> None:
        """Make good what is owed before a word: line breaks, the mark of a list item."""
        if self.gap:
            if self.line:
                self.feed()
            if self.gap == 2 and self.lines and self.lines[-1].strip("> "):
                self.lines.append(self.prefix.rstrip())
            self.gap = 0
            self.space = False
        if not self.line:
            self.space = False
            self.line_prefix = self.prefix
        if self.mark:
            self.line.append(self.mark)
            self.mark = ""

    def feed(self) -> None:
        text = "".join(self.line).rstrip()
        self.lines.append((self.line_prefix if self.line else self.prefix) + text if text else self.prefix.rstrip())
        self.line = []
        self.space = False

    def block(self, gap: int) -> None:
        self.gap = max(self.gap, gap)

    def begin_quote(self) -> None:
        """One level deeper; the empty line before it belongs to the level outside."""
        if self.line:
            self.feed()
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append(self.prefix.rstrip())
        self.gap = 0
        self.prefix += "> "

    def newline(self) -> None:
        if self.gap and self.line:
            self.feed()
        self.gap = 0
        self.feed()

    def text(self) -> str:
        if self.line:
            self.feed()
        return tidy_gaps("\n".join(line.rstrip() for line in self.lines))


def _walk(root: LexborNode, writer: _Writer) -> None:
    """Depth first with a stack of its own: opening a node, then closing it."""
    stack: list[tuple[LexborNode, bool, str]] = [(root, False, "")]
    verbatim = 0
    numbers: list[int] = []
    while stack:
        node, closing, note = stack.pop()
        if closing:
            tag = node.tag or ""
            if note == "pre":
                verbatim -= 1
            elif note == "quote":
                if writer.line:
                    writer.feed()
                writer.prefix = writer.prefix[2:]
            elif note.startswith("link:"):
                _write_link(writer, note[5:])
            if tag in ("ol", "ul") and numbers:
                numbers.pop()
            if tag in _BLOCKS:
                writer.block(_gap_of(node, tag))
            continue
        tag = node.tag or ""
        if tag == "-text":
            text = node.text_content or ""
            if verbatim:
                writer.verbatim(text)
            else:
                writer.words(text)
            continue
        if tag in _SILENT or tag in ("-comment", "_comment", "!doctype", "-doctype"):
            continue
        if tag == "br":
            writer.newline()
            continue
        if tag == "img":
            alt = (node.attributes.get("alt") or "").strip()
            if alt:
                writer.words(f"[{alt}]")
            continue
        if tag == "hr":
            writer.block(2)
            continue
        note = _enter(node, tag, writer, numbers)
        if note == "pre":
            verbatim += 1
        stack.append((node, True, note))
        child = node.last_child
        while child is not None:
            stack.append((child, False, ""))
            child = child.prev


def _enter(node: LexborNode, tag: str, writer: _Writer, numbers: list[int]) -> str:
    """What opening this element means; the note says what closing it will have to undo."""
    if tag in _BLOCKS:
        writer.block(_gap_of(node, tag))
    if tag in ("td", "th"):
        writer.space = True
    elif tag in ("ol", "ul"):
        numbers.append(0 if tag == "ol" else -1)
    elif tag == "li":
        if numbers and numbers[-1] >= 0:
            numbers[-1] += 1
            writer.mark = f"{numbers[-1]}. "
        else:
            writer.mark = "- "
    elif tag == "blockquote":
        attributes = node.attributes
        kind = f"{attributes.get('type') or ''} {attributes.get('class') or ''}".lower()
        style = (attributes.get("style") or "").replace(" ", "").lower()
        # A blockquote without a mark of its maker is how people indent their own words; Gmail marks those too.
        if ("cite" in kind or "quote" in kind) and "border:none" not in style:
            writer.begin_quote()
            return "quote"
    elif tag == "a":
        return f"link:{node.attributes.get('href') or ''}\n{node.text(strip=True)[:300]}"
    if tag in ("pre", "textarea", "xmp", "listing"):
        return "pre"
    look = node.attributes.get("style") if tag in ("div", "span", "p", "td", "font") else None
    return "pre" if look and "white-space:pre" in look.replace(" ", "").lower() else ""


def _gap_of(node: LexborNode, tag: str) -> int:
    if tag not in _PARAGRAPHS:
        return 1
    if tag == "table":
        return 1
    if tag == "p":
        # Word sets a paragraph per line, without a margin.
        kind = node.attributes.get("class") or ""
        style = (node.attributes.get("style") or "").replace(" ", "").lower()
        if kind.startswith(("Mso", "xMso", "x_Mso")) or "margin:0" in style:
            return 1
    if tag in ("ul", "ol"):
        parent = node.parent
        return 1 if parent is not None and parent.tag in ("li", "ul", "ol") else 2
    return 2


def _write_link(writer: _Writer, note: str) -> None:
    target, _, shown = note.partition("\n")
    target = "".join(target.split())
    if not target.lower().startswith(("http://", "https://", "mailto:", "ftp://")):
        return
    bare = re.sub(r"^(?:https?://|mailto:|ftp://)(?:www\.)?", "", target, flags=re.IGNORECASE).rstrip("/")
    if not bare or bare.lower() in re.sub(r"\s+", "", shown).lower() or not shown:
        return
    if target.lower().startswith("mailto:") and bare.partition("?")[0].lower() in shown.lower():
        return
    if len(target) > _MAX_LINK:
        # The host is what matters to a reader (FreeScout#4788); the rest of a tracking link is noise.
        target = "/".join(target.split("/")[:3]) + "/…"
    writer.words(f" <{target}>")
