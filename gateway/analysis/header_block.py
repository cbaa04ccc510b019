"""Quoted header blocks (From, Sent, To, Subject in any language) and the separator lines above quoted mail.

"Evidence, not shape" (security.md 12.1): people paste logs, raw headers and patches into their mail, and those look
like header blocks too. A block counts when it names an author and says when, in digits, and to whom or about what;
less is enough below a separator line that only mail clients write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.analysis.mail_words import FORWARDED, LABELS, MAX_LABEL, ORIGINAL, RAW_FIELDS, fold

_DATE = re.compile(
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\b\d{1,2}:\d\d|(?:19|20)\d\d\b|\d{1,2}\.?[ -][^\W\d_]{3,}"
    r"|[^\W\d_]{3,}\.?[ -]\d{1,2}\b|\d年|\d일|=E2=80=8E"
)
ADDRESS = re.compile(r"[\w.+=%&'*/~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})*")
_FLAT_LABEL = re.compile(r"(?:^|(?<=\s))(\*{0,2}[^\W\d_][\w-]{0,14}) ?\*{0,2}:(?=\s)")
_UNKNOWN_FIELD = re.compile(r"\*?[^\W\d_][^\W\d_ ]{1,14}(?: [^\W\d_]{1,12})? ?\*?[:：]\s?\S")
_LOTUS_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4},? +\d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M)?\s*$")
_RAW = re.compile(r"[!-9;-~]{2,60}:")
_DECORATION = "-‐‑‒_=*~—–─━<>#|+ \t\xa0"
_MAX_BLOCK_LINES = 40


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """Fields of a quoted header by kind (mail_words.LABELS); it covers the lines ``start`` up to before ``end``."""

    start: int
    end: int
    fields: dict[str, str]
    certain: bool  # evidence enough without a separator line above

    @property
    def author(self) -> str:
        return self.fields.get("from", "")


@lru_cache(maxsize=2 * _MAX_BLOCK_LINES)  # a block may begin at every line of another: each line is asked for 40 times
def read_field(line: str) -> tuple[str, str] | None:
    """(kind, value) when the line is a field a client writes: "From: x", "*De :* x", "寄件者：x"."""
    start = line.lstrip(" \t*_\xa0\ufeff")
    colon = start.find(":", 0, MAX_LABEL + 6)
    wide = start.find("：", 0, MAX_LABEL + 6)
    if wide >= 0 and (colon < 0 or wide < colon):
        colon = wide
    if colon <= 0:
        return None
    kind = LABELS.get(fold(start[:colon].strip(" *_\t\xa0")))
    return (kind, start[colon + 1 :].strip(" *_\t\xa0\u200e\u200f")) if kind else None


def is_date(value: str) -> bool:
    """Does it name a day or a time in digits?"""
    return _DATE.search(value[:120]) is not None


def read_block(lines: Sequence[str], start: int) -> HeaderBlock | None:
    """The header block whose first field is in ``lines[start]``; quote marks must be off. None when it is none."""
    flat = _read_flat(lines[start])
    if flat is not None:
        return HeaderBlock(start, start + 1, flat, True)
    fields: dict[str, str] = {}
    at, limit, last = start, min(len(lines), start + _MAX_BLOCK_LINES), ""
    while at < limit:
        line = lines[at]
        field = read_field(line)
        if field is None:
            following = _continues(lines, at, limit, fields, last)
            if following == 0:
                break
            if line.strip() and last and not _UNKNOWN_FIELD.match(line):
                fields[last] = f"{fields[last]} {line.strip()}".strip()
            at += following
            continue
        kind, value = field
        if kind in fields and kind in ("from", "subject", "date"):
            break
        if kind not in fields:
            fields[kind] = value
        last = kind
        at += 1
    if (at < len(lines) and _is_raw(lines[at])) or (start and _is_raw(lines[start - 1])):
        return None
    _part_date(fields)
    known = [kind for kind in ("from", "date", "to", "subject") if fields.get(kind)]
    if not known or ("from" not in fields and "date" not in fields):
        return None
    return HeaderBlock(start, at, fields, _is_certain(fields))


def _part_date(fields: dict[str, str]) -> None:
    """Lotus Notes writes "From: Al Bo   06/14/2001 11:00 AM"."""
    found = _LOTUS_DATE.search(fields.get("from", "")[:200])
    if found and "date" not in fields and found.start() > 2:
        fields["from"], fields["date"] = fields["from"][: found.start()].strip(), found[0]


def read_lotus(lines: Sequence[str], at: int) -> HeaderBlock | None:
    """Lotus Notes: a name, a date and a time without labels, then "To:", "cc:" and "Subject:" from ``lines[at]`` on."""
    fields: dict[str, str] = {}
    end = at
    while end < min(len(lines), at + 8):
        field = read_field(lines[end])
        if field is None or field[0] not in ("to", "cc", "subject"):
            break
        fields.setdefault(*field)
        end += 1
    if not {"to", "subject"} <= fields.keys():
        return None
    above = [number for number in range(at - 1, max(-1, at - 6), -1) if lines[number].strip()][:2]
    for number in above[:1]:
        found = _LOTUS_DATE.search(lines[number][:200])
        if found is None:
            return None
        fields["date"] = found[0]
        author = lines[number][: found.start()].strip(" \t*")
        start = number
        if not author and len(above) > 1 and len(lines[above[1]]) <= 100:
            author, start = lines[above[1]].strip(), above[1]
        author = re.sub(r"^(?:from|von|de)\s*:\s*|\s+(?:on|am|le)$", "", author, flags=re.IGNORECASE)
        if author and author[-1] not in ".!?:;":
            fields["from"] = author
            return HeaderBlock(start, end, fields, True)
    return None


def _read_flat(line: str) -> dict[str, str] | None:
    """ "From: Bob <b@x> Sent: Monday 3 May 2021 10:00 To: Ann Subject: Hi": a header whose line breaks were lost."""
    if len(line) > 600 or line.count(":") < 2:
        return None
    fields: dict[str, str] = {}
    spans = [found for found in _FLAT_LABEL.finditer(line) if fold(found[1].strip("* ")) in LABELS]
    if len(spans) < 2 or spans[0].start() > 2:
        return None
    for number, found in enumerate(spans):
        end = spans[number + 1].start() if number + 1 < len(spans) else len(line)
        fields.setdefault(LABELS[fold(found[1].strip("* "))], line[found.end() : end].strip(" *"))
    sure = "from" in fields and is_date(fields.get("date", "")) and ADDRESS.search(fields["from"]) is not None
    return fields if sure else None


def _continues(lines: Sequence[str], at: int, limit: int, fields: dict[str, str], last: str) -> int:
    """How many lines from ``at`` belong to the block although no field begins there; 0 when the block is over."""
    line = lines[at]
    if not line.strip():
        # A client may put empty lines between fields; then a field not seen yet must follow, and something be missing.
        for skip in (1, 2):
            if at + skip < limit and lines[at + skip].strip():
                field = read_field(lines[at + skip])
                missing = field is not None and field[0] not in fields and field[0] != "other"
                return skip if missing and not {"from", "date", "subject"} <= fields.keys() else 0
        return 0
    if not last or _is_raw(line):
        return 0
    if {"from", "date"} <= fields.keys() and _UNKNOWN_FIELD.match(line):
        # A label of a language we do not know, among those we know.
        return 1 if at + 1 >= len(lines) or not lines[at + 1].strip() or read_field(lines[at + 1]) else 0
    value = fields[last]
    if line[0] in " \t" or value.endswith((",", ";", "<", "[mailto:")) or not value:
        return 1
    for ahead in range(at + 1, min(at + 4, limit)):
        if not lines[ahead].strip():
            # The last field may wrap too: a long line, then a short rest, then the empty line.
            return 1 if ahead == at + 1 and len(lines[at - 1]) >= 68 and last in ("subject", "to", "cc") else 0
        if read_field(lines[ahead]) is not None:
            return ahead - at
    return 0


def _is_raw(line: str) -> bool:
    found = _RAW.match(line.lstrip(" \t*_|"))
    if not found:
        return False
    name = found[0][:-1].lower()
    return name in RAW_FIELDS or name.startswith("x-")


def _is_certain(fields: dict[str, str]) -> bool:
    author, date = fields.get("from", ""), fields.get("date", "")
    if fields.get("subject", "").startswith("[PATCH"):
        return False
    dated = is_date(date)
    addressed = ADDRESS.search(author[:400]) is not None
    others = ("to" in fields) + ("subject" in fields) + ("cc" in fields)
    if author and dated:
        return addressed or others > 0
    if author and addressed:
        return "to" in fields and "subject" in fields
    return dated and ":" in date and ADDRESS.search(fields.get("to", "")[:400]) is not None


def read_separator(line: str) -> str:
    """ "original", "forwarded", "rule" (dashes only), "titled" (words between dashes), or "" for an ordinary line."""
    text = line.strip()
    if len(text) < 4 or len(text) > 160:
        return ""
    core = text.strip(_DECORATION)
    if not core:
        return "rule" if len(text) >= 5 and text[0] in "-‐‑‒_=*—–─━" else ""
    head = len(text) - len(text.lstrip(_DECORATION))
    tail = len(text) - len(text.rstrip(_DECORATION))
    dashed = head >= 2 and text[0] in "-‐‑‒_=*—–─━"
    words = fold(core.rstrip(":： "))
    if dashed:
        words = words.split(" ---", 1)[0].strip()
        if words in ORIGINAL:
            return "original"
        if words in FORWARDED or words.startswith(("forwarded by ", "weitergeleitet von ", "réacheminé par ")):
            return "forwarded"
        return "titled" if tail >= 4 and head >= 4 else ""
    if core[-1] in ":：" and words in FORWARDED and len(words) > 9:
        return "forwarded"
    return ""
