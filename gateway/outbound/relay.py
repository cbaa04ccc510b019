"""From an agent's mail to what the customer may read (mail.md 12.1, security.md 12). Pure.

Quotes are cut for display elsewhere and nothing is lost there; here the text leaves the house, so the rule is the other
way round: what may be internal does not go out. Where that cannot be told from the agent's own words, the mail is held
and its author sees exactly what would be sent (``cut-line``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from gateway.address import fold_address, split_address
from gateway.model import Body, TicketFacts
from gateway.outbound.addressing import hide_private
from gateway.outbound.formatting import cut_html, matching_html, uses_formatting
from gateway.reference import looks_like_token, strip_tokens
from gateway.settings import Inbox, Settings

_RUN = 5
"""Words in a row that make a text recognisable as a quotation of another."""

_QUOTED = re.compile(r"^\s{0,3}(?:[>|]\s?)+")
_MAILTO = re.compile(r"mailto:[^\s<>\"]+\?subject=\S*", re.IGNORECASE)
_DIVIDER = re.compile(
    r"^\s*_{8,}\s*$|^\s*-{2,}\s*(?:original message|ursprüngliche nachricht|message d'origine)\s*-{2,}\s*$", re.I
)
_EARLIER = re.compile(r"^\s*--- [^\W\d]+ ---\s*$")
_HEADER_LINE = re.compile(r"^\s*\*?(?:from|von|de|sent|gesendet|date|datum|to|an|cc|subject|betreff)\*?\s*:", re.I)
_BEGINS = re.compile(r"^\W*(?:on|am|le|el|il|op|den|em|på|dnia|w dniu|\d{4}|\w{2,3}[.,])(?!\w)[^!?]{0,24}?\d", re.I)
"""How a client begins an attribution: "On Mon, 23 Nov …", "Am 23.11.2026 …", "2026-11-23 …"."""
_FORWARDED = ("made from the mail you forwarded", "aus der weitergeleiteten Mail")
"""The one status line without a dash, as the templates of each language begin it."""
_WORDS = re.compile(r"\w+")
_CLOSING_LINES = 4
_ORDER = re.compile(r"\s{0,3}[#\uff03][^\W\d_]")
_CONTACT = re.compile(r"@|https?:|www\.|(?:\d[\d\s()/.-]*){6}|\b(?:sent from|gesendet von|envoyé d|sent via)\b", re.I)
"""A line of contact data or of a telephone's pride: the mail program's words, not the author's."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """What may go out. ``held_reason`` is "" or "cut-line": ask the author before sending it."""

    text: str
    html: str = ""
    held_reason: str = ""


def relay_text(body: Body, html: str, ticket: TicketFacts | None, settings: Settings, reader: int = 0) -> Relayed:
    """The agent's own words without anything of ours: status lines, footers, tokens, notes, private addresses.

    Command lines are still in the text (desk/commands.py reads them next); compose.py fits the HTML to what remains.
    ``ticket`` is None for a mail that belongs to none yet: then only tokens and furniture are looked for. ``reader`` 0
    is the customer; else the third party who alone gets the text and has read nothing but the side conversation.
    """
    inbox = settings.inbox.get(ticket.inbox) if ticket else None
    inbox = inbox or next(iter(settings.inbox.values()), None)
    lines = _own_words(body).replace("\r\n", "\n").split("\n")
    lines, ours_quoted = _cut_status(lines, ticket.number if ticket else 0, inbox, settings)
    ours_quoted = ours_quoted or body.ours_kept
    theirs, internal = _known_texts(ticket, reader)
    lines = [line for line in lines if _may_stay(line, theirs, internal, settings, strict=ours_quoted)]
    lines = _without_bare_marks(_one_bare_mark(lines))
    unclear = any(_is_furniture(line, ticket.number if ticket else 0, settings) for line in lines) or any(
        _shares_run(line, internal) for line in _paragraphs(lines)
    )
    text = strip_tokens(_MAILTO.sub("", "\n".join(lines))).strip("\n")
    text = re.sub(r"\n{4,}", "\n\n\n", text)
    if inbox:
        text = "\n".join(_without_private(line, inbox, settings) for line in text.split("\n"))
    formatted = cut_html(html, settings.customer.html) if html and not unclear else ""
    if formatted and not (uses_formatting(formatted) and matching_html(formatted, text)):
        formatted = ""
    return Relayed(text, formatted, "cut-line" if unclear else "")


def _without_private(line: str, inbox: Inbox, settings: Settings) -> str:
    """The line without an agent's own address, unless it may be a command: "#assign bob@example.com" means Bob.

    Command lines never leave; a line that turns out to be text is cleaned again when the answer is written.
    """
    command = line.lstrip()[:1] in tuple(settings.commands.prefixes)
    return line if command else hide_private(line, inbox, settings)


def _own_words(body: Body) -> str:
    """The new text with the closing typed below it ("Alice"); what a mail program adds below "-- " stays away.

    People write "#close" as the last thing of all, below their name: such lines stay, whatever stands before them.
    """
    closing: list[str] = []
    typed = takewhile(lambda line: not line.startswith("--"), body.signature.strip("\n").split("\n"))
    ended = False
    for line in typed:
        ended = ended or not line.strip() or bool(_CONTACT.search(line)) or len(closing) == _CLOSING_LINES
        if not ended or _ORDER.match(line):
            closing.append(line)
    return body.new.rstrip("\n") + "\n\n" + "\n".join(closing) if closing else body.new


# ---------------------------------------------------------------------------------------------- our status line


def _status_line(number: int) -> re.Pattern[str]:
    which = str(number) if number else r"[1-9][0-9]{0,7}"
    # Ours reads "#4827 words - words"; an agent's own "#4827 is a duplicate" has no dash. Quoted, any number is ours.
    return re.compile(
        rf"^[\s*_]*#{which}\s+(?:\S.*?\s[-\u2013\u2014](?:\s|$)|(?:{'|'.join(_FORWARDED)}))"
        r"|^\s*(?:[>|]\s*)+[*_]*#[1-9][0-9]{0,7}\s"
    )


def _cut_status(lines: list[str], number: int, inbox: Inbox | None, settings: Settings) -> tuple[list[str], bool]:
    """Cut at our status line with everything below and the attribution above.

    Where answers stand between quoted lines below it, only the line and the attribution go, and True says so: then of
    the quotation nothing may stay but the customer's own words.
    """
    pattern = _status_line(number)
    plain = re.compile(rf"^#{number}\s") if number else pattern
    at = next(
        (
            n
            for n, line in enumerate(lines)
            if "#" in line
            and (
                pattern.match(line)
                # Answers to commands have no dash; below a client's attribution it is our mail all the same.
                or (plain.match(line) and _attribution_start(lines, n, inbox) < _trim(lines, n))
            )
        ),
        None,
    )
    if at is None:
        return _cut_without_status(lines[: _header_block(lines, inbox)], inbox)
    while at > 0 and _QUOTED.match(lines[at]) and _QUOTED.match(lines[at - 1]):
        at -= 1  # the quotation begins above its status line: a list that names a ticket in a row
    below = lines[at + 1 :]
    inline = lines[at].lstrip().startswith((">", "|")) and any(
        line.strip() and not _QUOTED.match(line) and not _is_furniture(line, number, settings) for line in below
    )
    start = _attribution_start(lines, at, inbox)
    return ([*lines[:start], "", *below], True) if inline else (lines[:start], False)


def _cut_without_status(lines: list[str], inbox: Inbox | None) -> tuple[list[str], bool]:
    """Where a client's attribution names our inbox, the quotation below is our mail though no status line is in it."""
    quote = next((n for n, line in enumerate(lines) if _QUOTED.match(line)), None)
    if quote is None or inbox is None:
        return lines, False
    start = _attribution_start(lines, quote, inbox)
    attribution = " ".join(lines[start:quote]).lower()
    if inbox.name.lower() not in attribution and inbox.address.lower() not in attribution:
        return lines, False
    return [*lines[:start], "", *lines[quote:]], True


def _header_block(lines: list[str], inbox: Inbox | None) -> int:
    """Where Outlook's "From: … Sent: … Subject: …" that names our inbox begins; the number of lines without one.

    Below it stands a mail of ours in full and unquoted, also one without status line (digest, list, search result).
    """
    if inbox is None:
        return len(lines)
    base = split_address(inbox.address)[0].lower()
    for n in range(len(lines) - 2):
        if ":" not in lines[n] or not _HEADER_LINE.match(lines[n]):
            continue
        if sum(bool(_HEADER_LINE.match(line)) for line in lines[n : n + 4]) < 3:
            continue
        named = " ".join(lines[n : n + 5]).lower()
        if inbox.address.lower() in named or f"{base}{inbox.plus_separator}" in named:
            above = n > 0 and (_DIVIDER.match(lines[n - 1]) or not lines[n - 1].strip(" _-*"))
            return _trim(lines, n - 1 if above else n)
    return len(lines)


def _attribution_start(lines: list[str], at: int, inbox: Inbox | None) -> int:
    """Where "On … Example Support wrote:" or an Outlook header block above the quotation begins."""
    n = at
    while n > 0 and (not lines[n - 1].strip() or lines[n - 1].strip() in (">", "|")):
        n -= 1
    if n == 0:
        return 0
    block = n
    while block > 0 and lines[block - 1].strip() and n - block < 8:
        block -= 1
    candidate = lines[block:n]
    if any(_DIVIDER.match(line) for line in candidate) or sum(bool(_HEADER_LINE.match(x)) for x in candidate) >= 2:
        first = next((i for i, x in enumerate(candidate) if _HEADER_LINE.match(x) or _DIVIDER.match(x)), 0)
        return _trim(lines, block + first)
    # One to three lines that end in a colon and name a day, a time or us; the longest that begins like one.
    for length in (3, 2, 1):
        if n - length < block:
            continue
        joined = " ".join(line.strip(" >|") for line in lines[n - length : n])
        ours = inbox is not None and (inbox.address.lower() in joined.lower() or inbox.name.lower() in joined.lower())
        dated = bool(re.search(r"\d{1,2}[:.]\d{2}|\b\d{4}\b", joined))
        if joined.endswith(":") and (ours or dated) and (_BEGINS.match(joined) or (length == 1 and ours)):
            return _trim(lines, n - length)
    return _trim(lines, n)


def _trim(lines: list[str], start: int) -> int:
    while start > 0 and not lines[start - 1].strip():
        start -= 1
    return start


# ---------------------------------------------------------------------------------------------- quotes and furniture


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORDS.findall(text)]


def _runs(words: list[str], length: int = _RUN) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


@dataclass(frozen=True, slots=True)
class _Known:
    """Texts already in the conversation, as runs of words and as a whole."""

    runs: frozenset[tuple[str, ...]]
    short: frozenset[tuple[str, ...]]  # of three words
    flat: str
    alone: frozenset[str]  # words that were a line by themselves: "Hello,"


def _known(texts: Iterable[str]) -> _Known:
    texts = tuple(texts)
    listed = [_words(text) for text in texts]
    alone = {words[0] for text in texts for line in text.split("\n") if len(words := _words(line)) == 1}
    runs = {run for words in listed for run in _runs(words)}
    short = {run for words in listed for run in _runs(words, 3)}
    return _Known(frozenset(runs), frozenset(short), " \n ".join(" ".join(words) for words in listed), frozenset(alone))


def _known_texts(ticket: TicketFacts | None, reader: int = 0) -> tuple[_Known, _Known]:
    """What the reader's side wrote, and what it must not see: notes, and what others wrote beside it.

    An agent's own words to somebody else are no secret of that one; only quoted they stay away (``_may_stay``).
    """
    events = ticket.events if ticket else ()
    theirs: list[str] = []
    internal: list[str] = []
    for event in events:
        side = int(event.data.get("side") or 0) if event.kind == "third" else 0
        if event.kind == "third" or (event.kind == "mail" and event.public):
            (theirs if side == reader else internal).append(event.text)
        elif event.kind == "note" and not event.public:
            internal.append(event.text)
    return _known(theirs), _known(internal)


def _shares_run(text: str, known: _Known) -> bool:
    return bool(known.runs) and not known.runs.isdisjoint(_runs(_words(text)))


def _may_stay(line: str, theirs: _Known, internal: _Known, settings: Settings, *, strict: bool) -> bool:
    """Whether a line may go out: own words may, of quotations only those of the customer's words and harmless ones."""
    found = _QUOTED.match(line)
    if not found:
        return True
    quoted = line[found.end() :]
    words = _words(quoted)
    if not words:
        return not quoted.strip() or not strict
    flat = " ".join(words)
    if flat in theirs.flat:
        return len(words) > 1 or flat in theirs.alone or not strict
    # Clients wrap again when they quote, so a line is compared by its words; a short piece of a note counts too.
    if flat in internal.flat or not internal.short.isdisjoint(_runs(words, 3)):
        return False
    return not strict and not _is_furniture(quoted, 0, settings)


def _one_bare_mark(lines: list[str]) -> list[str]:
    """One empty quoted line where several stand together, because what stood between them was ours."""

    def bare(line: str) -> bool:
        mark = _QUOTED.match(line)
        return mark is not None and not line[mark.end() :].strip()

    return [line for at, line in enumerate(lines) if not (at and bare(line) and bare(lines[at - 1]))]


def _without_bare_marks(lines: list[str]) -> list[str]:
    """Without the empty quoted lines that a quotation begins or ends with: what stood there was ours, or nothing."""
    marks = [_QUOTED.match(line) for line in lines]
    quoted = [mark is not None for mark in marks]
    bare = [mark is not None and not line[mark.end() :].strip() for mark, line in zip(marks, lines, strict=True)]
    dropped: set[int] = set()
    for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
        inside = False
        for at in order:
            if bare[at] and not inside:
                dropped.add(at)
            elif quoted[at] or lines[at].strip():
                inside = quoted[at]
    return [line for at, line in enumerate(lines) if at not in dropped]


def _paragraphs(lines: list[str]) -> list[str]:
    """Unquoted text as paragraphs: a note that was wrapped anew is still recognised."""
    own = ["" if _QUOTED.match(line) else line for line in lines]
    return "\n".join(own).split("\n\n")


def _is_furniture(line: str, number: int, settings: Settings) -> bool:
    """Whether a line is unmistakably part of our own mail to agents."""
    if not any(mark in line for mark in ("#", "@", "---")):
        return False  # nearly every line
    if _status_line(number).match(line) or _EARLIER.match(line):
        return True
    lowered = line.lower()
    for inbox in settings.inbox.values():
        if f"mailto:{inbox.address.lower()}?subject=" in lowered:
            return True
        local, domain = split_address(fold_address(inbox.address))
        for found in re.finditer(
            rf"{re.escape(local + inbox.plus_separator)}([a-z0-9-]+)@{re.escape(domain)}", lowered
        ):
            if looks_like_token(found[1]):
                return True
    return False
