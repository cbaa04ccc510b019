"""A header block that the author pasted as evidence, with a question of the author's own below it.

By its looks it is the header of a quoted mail, and all below it history: then the question is lost. What tells them
apart is what stands below: a mail has a body, a piece of evidence has a few words of the author's. In doubt it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.analysis.header_block import read_block, read_field
from gateway.analysis.mail_words import REPLY_PREFIX
from gateway.analysis.quoted_lines import Lines
from gateway.analysis.sign_off_words import CLOSING
from gateway.model import Mailbox, Message

_MOST_LINES = 8
_MOST_TEXT = 600  # characters
_QUESTION = ("?", "？", "؟", ";")  # the Greek mark looks like a semicolon


def is_pasted(lines: Lines, start: int, end: int, message: Message) -> bool:
    """Whether the header in the lines ``start`` to ``end`` is evidence and what follows the author's own text.

    It is when the author's name stands below and the block is somebody else's; or when the mail answers nothing, is
    about something else than the block's mail, and asks below without a greeting.
    """
    at, below = lines.following[end - 1], []
    while at < len(lines):
        below.append(lines.bare[at].strip())
        if len(below) > _MOST_LINES or len(below[-1]) > _MOST_TEXT or lines.quoted[at] or read_field(below[-1]):
            return False
        at = lines.following[at]
    if not below or sum(map(len, below)) > _MOST_TEXT or start in lines.soft:
        return False
    block = read_block(lines.bare, start)
    if block is None:
        return False
    author = message.author
    if author and _is_name(below[-1], author) and not _names(author, block.author):
        return True
    asks = any(text.rstrip(" )\"'").endswith(_QUESTION) for text in below)
    greeted = author is not None and _names(author, below[0])
    signed = len(below) > 1 and bool(block.author) and _shares_word(below[-1], block.author)
    signed = signed or _is_signed_by_another(below, author)
    return asks and not greeted and not signed and _begins_matter(message, block.fields.get("subject", ""))


def _begins_matter(message: Message, quoted: str) -> bool:
    """The mail answers nothing by its header, and its subject is not that of the quoted mail."""
    if message.in_reply_to or message.references or REPLY_PREFIX.match(message.subject):
        return False
    subject, other = message.subject.strip().casefold(), quoted.strip().casefold()
    return not subject or not other or (subject not in other and other not in subject)


def _is_signed_by_another(below: Sequence[str], author: Mailbox | None) -> bool:
    """A closing with a name below it of which no word is the author's: the end of a quoted mail."""
    name = _words(below[-1])
    if len(below) < 3 or not 1 <= len(name) <= 3:
        return False
    own = f"{author.name} {author.address}".casefold() if author else ""
    closing = CLOSING.match(below[-2])
    closed = closing is not None and not below[-2][closing.end() :].strip(" ,.!")
    return closed and not any(word in own for word in name)


def _is_name(line: str, author: Mailbox) -> bool:
    """The author's name, or the first word of it, alone in a line: "- Mara"."""
    said = _words(line)
    name = _words(author.name)
    return bool(said) and (said == name or said == name[:1]) and len(said[0]) > 1


def _names(author: Mailbox, text: str) -> bool:
    found = author.address.casefold() in text.casefold() if author.address else False
    return found or any(word in _words(text) for word in _words(author.name) if len(word) > 1)


def _shares_word(line: str, name: str) -> bool:
    return len(line) <= 60 and any(word in _words(name) for word in _words(line) if len(word) > 1)


def _words(text: str) -> Sequence[str]:
    return "".join(c if c.isalnum() else " " for c in text[:400].casefold()).split()
