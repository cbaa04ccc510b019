"""The HTML part of agents' mail, made from our own finished text and never from a sender's HTML (mail.md 3.5, 6).

Layout only: it says what the text says. No colours and no background, greys by opacity, real headings; everything is
escaped. Only the links we made ourselves become links: a customer who writes ``mailto:`` or a footer of his own gets
text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from html import escape

LARGEST = 60_000
"""Characters of HTML in a mail to an agent; Gmail clips at about 102 kB."""

_BODY_STYLE = "font:15px/1.45 -apple-system,Segoe UI,Roboto,sans-serif;margin:0;padding:8px"
_BREAK_STYLE = "overflow-wrap:anywhere;word-break:break-word"  # an address of 80 characters is wider than a phone
_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
</head>
<body style="{style}">
{content}
</body>
</html>
"""
QUOTE_STYLE = "margin:0 0 12px 8px;padding-left:8px;border-left:2px solid #999"
"""A quotation; the grey is read on light and on dark, and six clients know no colour with an alpha."""
TAP_STYLE = (
    "display:inline-block;padding:12px 14px;margin:0 8px 8px 0;border:1px solid #999;border-radius:6px;"
    "font-size:15px;line-height:20px;text-decoration:none"
)
"""A link to be tapped: 44 px high and 8 px from the next (WCAG 2.5.5); Outlook leaves a plain link of it."""
_BLOCK_STYLE = "margin:0 0 12px"
_TAPS_STYLE = "margin:4px 0"
_FIXED_STYLE = "font:13px/1.45 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;margin:0 0 12px"
_FOOTER_STYLE = "font-size:13px;opacity:.8"
_STEP = 6  # pixels for a blank at the beginning of a line
_DEEPEST = 10  # blanks that are shown: a phone has no room for more
_RULE = '<hr style="border:0;border-top:1px solid #999;margin:16px 0">'
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
_COMMAND = re.compile(r"^(#[a-z]+(?: [^&<]{1,40})?)(?=&emsp;)")
_COLUMN = re.compile(r"(?<! ) {3,}(?=#[a-z])")  # only where the blanks begin: a stranger may send 160,000 of them
_WRAPPED_AT = 72
"""A line that the next word would have carried beyond this column was broken for its width."""
_LONGEST_LINE = 80
_MARKED = re.compile(r" *\^+(?: |\Z)")  # the marks below a word nobody understood
_ORDER = re.compile(r" {0,8}#[a-z]")
_TITLE = re.compile(r"\w[\w -]{0,40}\Z")
_PROSE = re.compile(r"[\w(\"'\u201e\u201c\u00ab]")
_HEADING = re.compile(r"--- \S.* ---")
_LINK = re.compile(r"^(?P<before>.*?)(?P<href>mailto:\S+)(?P<after>.*)$")


def page(title: str, content: str, language: str) -> str:
    """A whole document around ``content`` (already HTML)."""
    return _PAGE.format(language=escape(language), title=escape(title), style=_BODY_STYLE, content=content)


def breaking(pieces: Iterable[str]) -> str:
    """Pieces of HTML, in which a word that is wider than the window is broken."""
    return f'<div style="{_BREAK_STYLE}">' + "\n".join(pieces) + "</div>"


def tap(words: str, href: str) -> str:
    """A link that is large enough for a thumb."""
    return f'<a href="{escape(href)}" style="{TAP_STYLE}">{escape(words)}</a>'


def _linked(line: str, hrefs: Collection[str]) -> str | None:
    """A line that ends in a link of ours, the words before it as the link's text; None for any other line."""
    found = _LINK.match(line)
    if not found or found["href"] not in hrefs:
        return None
    words = found["before"].strip().removeprefix("- ").rstrip(": ")
    return f"{tap(words, found['href'])}{escape(found['after'])}"


def _continues(line: str, following: str) -> bool:
    """Whether a sentence was broken here only because the line was full; columns, lists and commands never were."""
    if len(line) > _LONGEST_LINE or line.endswith(":") or _GAP.search(line) or not _PROSE.match(following):
        return False
    return bool(_PROSE.match(line)) and len(line) + 1 + len(following.split(" ", 1)[0]) > _WRAPPED_AT


def _reflowed(block: list[str]) -> list[str]:
    """A paragraph as the window breaks it: a phone is narrower than our lines, which it would break twice."""
    joined: list[str] = []
    before = ""
    for line in block:
        if joined and _continues(before, line):
            joined[-1] += f" {line}"
        else:
            joined.append(line)
        before = line
    return joined


def _in_columns(block: list[str]) -> bool:
    """Whether the lines mean something only below each other: a table made of blanks, or marks below a word."""
    if any(_MARKED.match(line) for line in block):
        return True
    # Where a column begins in three lines that follow each other, somebody aligned them.
    rows = [line for line in block if not _ORDER.match(line)]  # commands flow: what they do is a sentence
    starts = [{found.end() for found in _GAP.finditer(line[:_LONGEST_LINE])} for line in rows]
    return any(a & b & c for a, b, c in zip(starts, starts[1:], starts[2:], strict=False))


def _lines(block: list[str]) -> str:
    """The lines of a paragraph. Blanks at the beginning become a margin, so that what does not fit stays below it."""
    # Two columns of commands fit no phone: one below the other.
    rows = [f"{'  ' * (n > 0)}{part}" for line in _reflowed(block) for n, part in enumerate(_COLUMN.split(line))]
    heads = len(rows) > 1 and bool(_TITLE.match(rows[0])) and rows[1].startswith("  #")
    made = ""
    for n, line in enumerate(rows):
        body = line.lstrip(" ")
        # Columns stand two blanks or more apart in the text; HTML would run them together.
        shown = _COMMAND.sub(r"<b>\1</b>", _GAP.sub("&emsp;", escape(body)))
        shown = f"<b>{shown}</b>" if heads and n == 0 else shown
        depth = min(len(line) - len(body), _DEEPEST) * _STEP
        if depth:
            made += f'<div style="margin-left:{depth}px">{shown}</div>\n'
        else:
            made += ("<br>\n" if made and not made.endswith("</div>\n") else "") + shown
    return made.rstrip("\n")


def _paragraph(block: list[str]) -> str:
    if _in_columns(block):
        return f'<pre style="{_FIXED_STYLE}">{escape(chr(10).join(block))}</pre>'
    # The reader's own direction for whoever writes Hebrew or Arabic; a div, because a paragraph cannot hold one.
    return f'<div dir="auto" style="{_BLOCK_STYLE}">{_lines(block)}</div>'


def _quoted(lines: list[str]) -> str:
    """What stands in a quotation, its paragraphs apart as they were."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return "\n".join(_paragraph(block) for block in blocks if block)


def _earlier(heading: str, block: list[str]) -> str:
    """The messages before this one: a real heading, and each in one piece, where the text breaks lines and indents."""
    messages: list[str] = []
    for line in block:
        if line.startswith("  ") and messages:
            messages[-1] += " " + line.strip()
        else:
            messages.append(line)
    title = f'<h2 style="font-size:13px;margin:16px 0 4px;opacity:.7">{escape(heading.strip("- "))}</h2>'
    return title + f'\n<div style="opacity:.85">{_lines(messages)}</div>'


def _blocks(text: str, hrefs: Collection[str]) -> list[str]:
    made: list[str] = []
    block: list[str] = []
    links: list[str] = []

    def flush() -> None:
        if links:
            made.append(f'<div style="{_TAPS_STYLE}">' + " \n".join(links) + "</div>")
            links.clear()
        if block and all(line.startswith(">") for line in block):
            inner = _quoted([line[1:].removeprefix(" ") for line in block])
            made.append(f'<blockquote style="{QUOTE_STYLE}">{inner}</blockquote>')
        elif block and (heading := _HEADING.fullmatch(block[0])):
            made.append(_earlier(heading[0], block[1:]))
        elif block:
            made.append(_paragraph(block))
        block.clear()

    for line in text.split("\n"):
        link = _linked(line, hrefs)
        quoted = line.startswith(">")
        if link is not None:
            if block:
                flush()
            links.append(link)
            continue
        if not line.strip() or links or (block and quoted != block[-1].startswith(">")):
            flush()
        if line.strip():
            block.append(line.rstrip())
    flush()
    return made


def _status(line: str) -> str:
    """The status line: what it is about in bold, up to the dash."""
    head, dash, rest = line.partition(" - ")
    if not dash:
        head, dash, rest = line.partition(" ")
    return f'<p style="{_BLOCK_STYLE}"><b>{escape(head)}</b>{escape(dash + rest)}</p>'


def _footer(text: str, hrefs: Collection[str]) -> str:
    """Below the rule: small and grey, but for the links, which have to be hit and read."""
    # Fields stand two blanks apart in the text; HTML would run them together. Sentences end by themselves.
    spaced = re.sub(r"(?<=[.:]) {2,}(?=\S)(?!mailto:)", " ", text)
    spaced = re.sub(r"(?<=\S) {2,}(?=\S)(?!mailto:)", " \u00b7 ", spaced)
    blocks = _blocks(spaced, hrefs)
    return "\n".join(b if "<a " in b else f'<div style="{_FOOTER_STYLE}">{b}</div>' for b in blocks)


def agent_page(
    text: str, *, ticket: int, title: str, language: str, hrefs: Collection[str], instead: tuple[str, str] = ("", "")
) -> str:
    """The HTML of a mail about a ticket: status line, text, footer, all inside ``<div id="tg-N">`` (the cut mark).

    ``instead`` is a part of the text and the HTML that says the same better. Returns "" when it would be larger than a
    client shows: the text part is complete by itself.
    """
    status, _, rest = text.partition("\n") if ticket else ("", "", text)
    body, dashes, footer = rest.rpartition("\n-- \n")
    if not dashes:
        body, footer = rest, ""
    pieces = [_status(status)] if status else []
    before, found, after = body.partition(instead[0]) if instead[0] else (body, "", "")
    pieces += [*_blocks(before, hrefs), instead[1], *_blocks(after, hrefs)] if found else _blocks(body, hrefs)
    if footer:
        pieces += [_RULE, _footer(footer, hrefs)]
    content = breaking(pieces)
    made = page(title, f'<div id="tg-{ticket}">{content}</div>' if ticket else content, language)
    return made if len(made) <= LARGEST else ""
