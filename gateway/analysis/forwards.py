"""The original inside a forwarded mail: attached (exact), or inline below a header block (mail.md 11).

The author comes from the From field of the outermost block and from nowhere else; "the first address in the body" is
how other desks answer the wrong customer. Without exactly one address there the author is None and a person is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gateway.analysis.header_block import ADDRESS, HeaderBlock, read_block, read_field, read_lotus, read_separator
from gateway.analysis.mail_words import REPLY_PREFIX
from gateway.analysis.quoted_lines import Lines
from gateway.analysis.written_date import read_written
from gateway.model import Attachment, Body, Forwarded, Mailbox, Message

_MAX_LINES = 4000
_MAILTO = re.compile(r"[<\[]\s*mailto:\s*([^<>\[\]\s]{1,254})\s*[>\]]", re.IGNORECASE)
_BEHALF = re.compile(
    r"\s(?:on behalf of|im auftrag von|de la part de|en nombre de|em nome de|per conto di|namens)\s", re.IGNORECASE
)
_LABEL = re.compile(r"(?<![^\W\d_])(?=[^\W\d_][\w.\- ]{0,15} ?[:：])")
_INTRODUCED = re.compile(
    r"(?P<date>\d[^<>\"@]{5,60}\d{1,2}:\d{2}[^<>\"@,]{0,20}),\s*(?P<author>(?:\"[^\"]{0,100}\"|[^<>\"@,]{0,100})\s*"
    r"<?[^\s<>,;\"]{1,64}@[^\s<>,;\":]{1,253}>?)\s*:"
)
_ANGLE = re.compile(r"[<(\[]\s*([^\s<>()\[\]]{1,254})\s*[>)\]]")


def find_forward(message: Message, body: Body) -> Forwarded | None:
    """The original inside a forwarded mail; None when the mail forwards nothing. Never guesses an author."""
    attached = [part for part in message.attachments if part.type in ("message/rfc822", "message/global")]
    if attached:
        found = _read_attached(attached)
        if found is not None:
            return found
    inline = None if body.interleaved else _read_inline(message)
    return replace(inline, written=read_written(inline.date)) if inline is not None else None


def _read_attached(parts: Sequence[Attachment]) -> Forwarded | None:
    # Imported here: parse.py reads whole mails and needs nothing of this module.
    from gateway.analysis.parse import parse

    originals = [parse(part.content) for part in parts[:5] if part.content]
    if not originals:
        return None
    first = originals[0]
    authors = {mail.author.address.casefold() for mail in originals if mail.author and mail.author.address}
    date = first.fields.get("date", ("",))[0]
    author = first.author if len(authors) == 1 and first.author and first.author.address else None
    return Forwarded(
        author=author,
        date=date,
        written=first.date,
        subject=first.subject,
        text=first.text.strip(),
        attached=True,
        message_id=first.message_id if author else "",
    )


def _read_inline(message: Message) -> Forwarded | None:
    lines = Lines(message.text.split("\n")[:_MAX_LINES])
    answers = REPLY_PREFIX.match(message.subject) is not None
    for at in range(len(lines)):
        text = lines.bare[at].strip()
        if not text or at in lines.fenced:
            continue
        separator = read_separator(text) if text[0] in "-‐‑‒_=*—–─━~>" or text[-1] in ":：" else ""
        if separator in ("forwarded", "original", "titled", "rule"):
            found = _below_separator(lines, at, separator, answers)
            if found is not None:
                return found
            if separator == "original":
                return None
            continue
        head = lines.bare[at][:40]
        if (":" in head or "：" in head) and read_field(lines.bare[at]) is not None:
            block = read_block(lines.bare, at)
            if block is None or not (block.certain and "from" in block.fields):
                block = read_lotus(lines.bare, at)
            if block is not None:
                return None if answers else _make(lines, block)
        if lines.attribution(at, False) >= 0:
            return None  # the mail answers; what stands further down is older history
    return None


def _below_separator(lines: Lines, at: int, separator: str, answers: bool) -> Forwarded | None:
    below = lines.following[at]
    if below < len(lines) and read_field(lines.bare[below]) is not None:
        block = read_block(lines.bare, below)
        if block is not None and ("from" in block.fields or separator == "forwarded"):
            if answers and separator != "forwarded":
                return None
            return _make(lines, block)
    if separator == "forwarded" and below < len(lines):
        return _read_glued(lines, at) or _read_introduced(lines, below) or Forwarded(text=_text_below(lines, at + 1))
    return None


def _read_glued(lines: Lines, at: int) -> Forwarded | None:
    """A header block in the line of its separator, as Yahoo writes it: "- Forwarded Message ---From: A <a@b>To: c"."""
    rest = re.sub(r"\A.*?[^\s-]\s*-{3,}\s*", "", lines.bare[at].strip()[:2000], count=1)
    begins = [found.start() for found in _LABEL.finditer(rest) if read_field(rest[found.start() :]) is not None]
    if not begins or begins[0]:
        return None
    fields: dict[str, str] = {}
    for begin, end in zip(begins, (*begins[1:], len(rest)), strict=True):
        field = read_field(rest[begin:end])
        if field is not None:
            fields.setdefault(*field)
    if "from" not in fields or "subject" not in fields:
        return None
    author = read_author(fields["from"])
    text = _text_below(lines, at + 1)
    return Forwarded(author=author, date=fields.get("date", ""), subject=fields["subject"].strip(), text=text)


def _read_introduced(lines: Lines, at: int) -> Forwarded | None:
    """An original introduced like a quotation, as Yandex does: '20.11.2026, 10:15, "A" <a@b.example>:'."""
    found = _INTRODUCED.fullmatch(lines.bare[at].strip()[:400])
    author = read_author(found["author"]) if found else None
    if found is None or author is None:
        return None
    text = re.sub(r"\n[ \t]*-{4,}[^\n]{3,60}-{4,}\s*\Z", "", _text_below(lines, at + 1))  # "End of forwarded message"
    return Forwarded(author=author, date=found["date"], text=text)


def _make(lines: Lines, block: HeaderBlock) -> Forwarded:
    return Forwarded(
        author=read_author(block.author),
        date=block.fields.get("date", ""),
        subject=block.fields.get("subject", ""),
        text=_text_below(lines, block.end),
    )


def _text_below(lines: Lines, start: int) -> str:
    """The original's text: with quote marks it ends where they end, else with the mail."""
    end = len(lines)
    first = next((at for at in range(start, end) if not lines.blank(at)), end)
    if first < end and lines.quoted[first]:
        end = next((at for at in range(first, end) if not lines.quoted[at] and not lines.blank(at)), end)
    return "\n".join(line.strip("\ufeff") for line in lines.bare[start:end]).strip()


def read_author(value: str) -> Mailbox | None:
    """The one mailbox in a quoted From field; None when there is none, or more than one address."""
    value = value[:1000]
    value = _MAILTO.sub(r"<\1>", value)
    behalf = _BEHALF.search(value)
    if behalf:
        value = value[: behalf.start()]
    addresses = ADDRESS.findall(value)
    if len({address.casefold() for address in addresses}) != 1:
        return None
    address = addresses[0]
    if "." not in address.partition("@")[2]:
        return None  # "Al Bo/Harbour@LIND" is a name of Lotus Notes
    name = _ANGLE.sub(lambda found: "" if "@" in found[1] else found[0], value)
    name = name.replace(address, " ").replace("<", " ").replace(">", " ")
    name = " ".join(name.split()).strip(" \"'“”,;:*")
    return Mailbox(name, address)
