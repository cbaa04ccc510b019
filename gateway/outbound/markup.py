"""The HTML part of agents' mail, made from our own finished text and never from a sender's HTML (mail.md 3.5, 6).

Layout only: it says what the text says. No colours and no background, greys by opacity, real headings; everything is
escaped. Only the links we made ourselves become links: a customer who writes ``mailto:`` or a footer of his own gets
text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape

LARGEST = 60_000
"""Characters of HTML in a mail to an agent; Gmail clips at about 102 kB."""

_BODY_STYLE = "font:15px/1.45 -apple-system,Segoe UI,Roboto,sans-serif;margin:0;padding:8px"
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
_QUOTE_STYLE = "margin:0 0 0 8px;padding-left:8px;border-left:2px solid #8886"
_LINKS_STYLE = "font-size:15px;line-height:2"  # far enough apart for a thumb
_RULE = '<hr style="border:0;border-top:1px solid #8886;margin:16px 0">'
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
_COMMAND = re.compile(r"^(#[a-z]+(?: [^&<]{1,40})?)(?=&emsp;)")
_COLUMN = re.compile(r"(?<! ) {3,}(?=#[a-z])")  # only where the blanks begin: a stranger may send 160,000 of them
_WRAPPED_AT = 72
"""A line that the next word would have carried beyond this column was broken for its width."""
_LONGEST_LINE = 80
_PROSE = re.compile(r"[\w(\"'\u201e\u201c\u00ab]")
_HEADING = re.compile(r"--- \S.* ---")
_LINK = re.compile(r"^(?P<before>.*?)(?P<href>mailto:\S+)(?P<after>.*)$")


def page(title: str, content: str, language: str) -> str:
    """A whole document around ``content`` (already HTML)."""
    return _PAGE.format(language=escape(language), title=escape(title), style=_BODY_STYLE, content=content)


def _linked(line: str, hrefs: Collection[str]) -> str | None:
    """A line that ends in a link of ours, the words before it as the link's text; None for any other line."""
    found = _LINK.match(line)
    if not found or found["href"] not in hrefs:
        return None
    words = found["before"].strip().removeprefix("- ").rstrip(": ")
    return f'<a href="{escape(found["href"])}">{escape(words)}</a>{escape(found["after"])}'


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


def _lines(block: list[str]) -> str:
    shown = []
    # Two columns of commands fit no phone: one below the other.
    rows = [f"{'  ' * (n > 0)}{part}" for line in _reflowed(block) for n, part in enumerate(_COLUMN.split(line))]
    for line in rows:
        body = line.lstrip(" ")
        # Columns stand two blanks or more apart in the text; HTML would run them together.
        gaps = _GAP.sub("&emsp;", escape(body))
        shown.append("&nbsp;" * (len(line) - len(body)) + _COMMAND.sub(r"<b>\1</b>", gaps))
    return "<br>\n".join(shown)


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
            made.append(f'<p style="{_LINKS_STYLE}">' + "\n&middot; ".join(links) + "</p>")
            links.clear()
        if block and all(line.startswith(">") for line in block):
            inner = _lines([line[1:].removeprefix(" ") for line in block])
            made.append(f'<blockquote style="{_QUOTE_STYLE}">{inner}</blockquote>')
        elif block and (heading := _HEADING.fullmatch(block[0])):
            made.append(_earlier(heading[0], block[1:]))
        elif block:
            made.append(f"<p>{_lines(block)}</p>")
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


def agent_page(text: str, *, ticket: int, title: str, language: str, hrefs: Collection[str]) -> str:
    """The HTML of a mail about a ticket: status line, text, footer, all inside ``<div id="tg-N">`` (the cut mark).

    Returns "" when it would be larger than a client shows: the text part is complete by itself.
    """
    status, _, rest = text.partition("\n")
    body, dashes, footer = rest.rpartition("\n-- \n")
    if not dashes:
        body, footer = rest, ""
    pieces = [f'<p style="opacity:.7;margin:0 0 12px">{escape(status)}</p>', *_blocks(body, hrefs)]
    if footer:
        # Fields stand two blanks apart in the text; HTML would run them together. Sentences end by themselves.
        spaced = re.sub(r"(?<=[.:]) {2,}(?=\S)(?!mailto:)", " ", footer)
        spaced = re.sub(r"(?<=\S) {2,}(?=\S)(?!mailto:)", " \u00b7 ", spaced)
        pieces += [_RULE, '<div style="font-size:13px;opacity:.8">', *_blocks(spaced, hrefs), "</div>"]
    content = "\n".join(pieces)
    made = page(title, f'<div id="tg-{ticket}">{content}</div>' if ticket else f"<div>{content}</div>", language)
    return made if len(made) <= LARGEST else ""
