"""Where quoted history stands in a text: one pass over the lines, by evidence (mail.md 12.1, security.md 12.1).

Two kinds of finding. A *cut* is a line from which everything below is history: a header block, an attribution without
quote marks below it, a separator, our own status line, a repetition of known text. A *block* is a run of lines with
quote marks; whether it is history or part of an answer depends on what stands around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from gateway.analysis.attribution import find_attribution
from gateway.analysis.header_block import (
    ADDRESS,
    HeaderBlock,
    is_date,
    read_block,
    read_field,
    read_lotus,
    read_separator,
)
from gateway.analysis.quoted_lines import GROUPWISE, SUPERCITE, Lines

_OTHER_MARKS = re.compile(r"(?:[ \t]{0,3}|[ \t]{0,8}(?=[A-Za-z]))(--\]|(?:[|)#:%}&!\]]|[A-Za-z]{1,10}>)(?= |$|[>|]))")
_LASTING = re.compile(r"[|)]|--\]|[A-Za-z]{1,10}>")  # marks that are hardly anything else further down the same mail
_PIPED = re.compile(r"[ \t]{0,3}\|(?: |$)")
_CITED = re.compile(r"[ \t]*(?:[A-Za-z]{1,10}> |>)")
_REPLY_ABOVE = re.compile(r"(?:reply|respond|response|write|type)\b.{0,20} above this line", re.IGNORECASE)
_END_MARK = re.compile(
    r"-{2,} ?end (?:of )?(?:forwarded|original|included|quoted|inserted)(?: message| mail| text)?", re.IGNORECASE
)
_STATUS = re.compile(
    r"#(\d{1,9}) (?:(?:new(?: [-–] |, )|yours [-–] |NOT SENT [-–] |NOT DELIVERED|INTERNAL NOTE |HELD [-–] |UNPROVEN "
    r"|UNKNOWN SENDER |NO CLEAR AUTHOR |AUTHENTICATION FAILED |made from the mail you forwarded)|(?P<other>\S))"
)
_FOOTER = re.compile(r"#(\d{1,9})(?:  | ·|\t)")  # below "-- ": "#4827  Example Support  Jane Doe"


@dataclass(slots=True)
class Block:
    """A run of lines with quote marks, ``start`` up to before ``end``. ``attributed``: something says whose words."""

    start: int
    end: int
    attributed: bool = False
    marked: bool = False  # by the DOM, not by ">" alone
    answered: bool = False


@dataclass(slots=True)
class History:
    """``cut``: first line of what is history down to the end; ``introductions``: attribution lines above blocks."""

    cut: int
    rule: str
    blocks: list[Block] = field(default_factory=list)
    introductions: set[int] = field(default_factory=set)
    declined: int = 0  # up to this line a header block was looked at and not believed
    weak: int = -1  # a line that looks like a boundary, with too little evidence


def find_history(
    lines: Lines,
    find_repetition: Callable[[Sequence[str], Set[int]], int],
    is_notice: Callable[[str], bool],
    confirm: Callable[[int], bool] | None = None,
    answers: bool = False,
    is_pasted: Callable[[int, int], bool] = lambda start, end: False,
) -> History:
    """Cut and blocks of a text.

    ``find_repetition``: from which line on do these lines repeat known text (with the lines that are attributions).
    ``is_notice``: is a line one of our status lines. ``confirm``: a second opinion on a weak boundary. ``answers``: the
    subject says that the mail answers. ``is_pasted``: are these lines a header block of the author's own.
    """
    history = History(len(lines), "none")
    _mark_pipes(lines)
    _find_cut(lines, history, is_notice, answers, is_pasted)
    if history.cut == len(lines) and history.weak >= 0 and confirm is not None and confirm(history.weak):
        history.cut, history.rule = history.weak, "agreed"
    repeated = find_repetition(lines.bare[: history.cut], history.introductions)
    if repeated < history.cut and any(text.strip() for text in lines.bare[:repeated]):
        history.cut, history.rule = with_attribution(lines, repeated), "known"
    _mark_cited(lines)
    history.blocks = _find_blocks(lines, history)
    return history


def _find_cut(
    lines: Lines,
    history: History,
    is_notice: Callable[[str], bool],
    answers: bool,
    is_pasted: Callable[[int, int], bool],
) -> None:
    written = False  # a line with words above
    at = 0
    while at < len(lines):
        line = lines.bare[at]
        text = line.strip()
        if not text or lines.quoted[at] or at in lines.fenced:
            written = written or bool(text)
            at += 1
            continue
        if text[0] == "#" and written and _is_status_line(lines, at, text, is_notice):
            history.cut, history.rule = with_attribution(lines, at), "status line"
            return
        rule, start, end = _boundary(lines, at, text, history)
        if rule == "header" and not _is_rule(text) and is_pasted(start, end):
            at = end
        elif rule:
            at = _follow(lines, history, rule, start, max(end, at + 1), answers)
            if at < 0:
                return
        else:
            at += 1
        written = True


def is_furniture(line: str) -> bool:
    """A status line or a footer of our own notices."""
    text = line.strip()
    if not text.startswith("#"):
        return False
    found = _STATUS.match(text)
    return _FOOTER.match(text) is not None or (found is not None and found["other"] is None)


def _is_status_line(lines: Lines, at: int, text: str, is_notice: Callable[[str], bool]) -> bool:
    """The first line of our own notices; any other line that begins with a number needs our footer below it."""
    found = _STATUS.match(text) if len(text) <= 200 else None
    if found is None:
        return False
    if found["other"] is None or is_notice(text):
        return True
    if lines.footers is None:
        lines.footers = {}
        for number, line in enumerate(lines.bare):
            footer = _FOOTER.match(line.lstrip()) if "#" in line[:8] else None
            if footer:
                lines.footers[footer[1]] = number
    return lines.footers.get(found[1], -1) > at


def _follow(lines: Lines, history: History, rule: str, start: int, end: int, answers: bool) -> int:
    """What a boundary in the lines ``start`` to ``end`` means: the cut (-1), or the line where new text may go on."""
    below = end if end < len(lines) and not lines.blank(end) else lines.following[end - 1]
    if start in lines.soft:
        below = start
    at_top = not any(text.strip() for text in lines.bare[:start])
    header_end = _header_end(lines, start, below) if rule != "attribution" else -1
    if below < len(lines) and header_end < 0 and _is_quoted(lines, below):
        # Quote marks below say themselves how far the history goes. Below an unmarked header they say nothing: the
        # quoted mail may have been an interleaved answer itself.
        _quote_run(lines, below)
    elif at_top and (rule == "attribution" or answers or (header_end < 0 and _is_original(lines, start))):
        # All of the mail would be history. Somebody who answers below a quote without marks writes this too; a header
        # at the top of a mail that does not answer is a forward, and all of it is the original. A separator alone
        # says not even whose words follow: better shown than hidden.
        end = max(end, header_end)
    else:
        closed = _end_mark(lines, end) if lines.bare[start].lstrip().startswith("-") else -1
        if closed < 0:
            history.cut, history.rule = start, rule
            return -1
        end = closed + 1
    history.introductions.update(range(start, end))
    if history.rule == "none":
        history.rule = rule
    return end


def _is_rule(text: str) -> bool:
    """A separator above the fields: only mail programs write it."""
    return read_separator(text) != ""


def _is_original(lines: Lines, at: int) -> bool:
    return read_separator(lines.bare[at].strip()) == "original"


def _header_end(lines: Lines, start: int, below: int) -> int:
    """The line after the unmarked header block in ``start`` or just below it; -1 when there is none."""
    for at in (start, below):
        if at < len(lines) and not lines.quoted[at] and _is_field(lines, at):
            block = read_block(lines.bare, at)
            if block is not None:
                return block.end
    return -1


def _end_mark(lines: Lines, at: int) -> int:
    """The line "----- End forwarded message -----" that mutt and Gnus write below what they quote; -1 when none."""
    depth, last = 1, -1
    for number in range(at, len(lines)):
        line = lines.bare[number]
        if not line.startswith("--"):
            continue
        if _END_MARK.match(line):
            depth, last = depth - 1, number
            if depth == 0:
                break
        elif read_separator(line) == "forwarded":
            depth += 1
    return last


def with_attribution(lines: Lines, at: int) -> int:
    """The first line of the attribution right above ``at``, or ``at``."""
    above = at - 1
    while above >= 0 and lines.blank(above):
        above -= 1
    if above >= 0 and not lines.quoted[above]:
        first = lines.attribution(above, True)
        if first >= 0:
            return first
        text = lines.bare[above].strip()
        if text.endswith((":", "：")) and len(text) <= 160 and is_date(text):
            return above  # right above our own words anything with a date and a colon is the client's
    return at


def _boundary(lines: Lines, at: int, text: str, history: History) -> tuple[str, int, int]:
    """(rule, first line, line after) when a boundary stands in line ``at``; ("", 0, 0) when none does."""
    below = lines.following[at]
    if text[0] in "-‐‑‒_=*—–─━~" or text[-1] in ":：\u202c":
        separator = read_separator(text)
        if separator in ("original", "forwarded"):
            return "separator", at, at + 1
        if separator and below < len(lines) and _is_field(lines, below):
            block = read_block(lines.bare, below)
            if block is not None and len(block.fields) >= 2:
                return "header", at, block.end
    if at >= history.declined and _is_field(lines, at):
        block = read_block(lines.bare, at)
        if block is not None:
            history.declined = block.end
            free = _stands_free(lines, block)
            if block.certain and free:
                return "header", at, block.end
            told = ADDRESS.search(block.author[:400]) is not None and len(block.fields) > 1 and at > 0
            if free and told and history.weak < 0 and not block.fields.get("subject", "").startswith("[PATCH"):
                history.weak = at
        elif (lotus := read_lotus(lines.bare, at)) is not None:
            return "header", lotus.start, lotus.end
    if GROUPWISE.match(text) or ('" == ' in text[:100] and SUPERCITE.match(text)):
        return "attribution", at, at + 1
    if len(text) <= 120 and "this line" in text and _REPLY_ABOVE.search(text):
        return "reply line", at, at + 1
    quoted_below = below < len(lines) and _is_quoted(lines, below)
    first = lines.attribution(at, quoted_below)
    if first >= 0 and not any(lines.quoted[first : at + 1]) and not _CITED.match(lines.bare[first]):
        return "attribution", first, at + 1
    return "", 0, 0


def _is_field(lines: Lines, at: int) -> bool:
    line = lines.bare[at]
    head = line[:40]
    return (":" in head or "：" in head) and not line.startswith("    ") and read_field(line) is not None


def _stands_free(lines: Lines, block: HeaderBlock) -> bool:
    """Not introduced like a pasted thing ("here is the log:"), and an empty line or nothing below the fields."""
    above = block.start - 1
    while above >= 0 and lines.blank(above):
        above -= 1
    if above >= 0 and lines.bare[above].rstrip().endswith((":", "：")):
        return False
    return len(block.fields) >= 4 or block.end == block.start + 1 or block.end >= len(lines) or lines.blank(block.end)


def _is_quoted(lines: Lines, at: int) -> bool:
    return lines.quoted[at] or at in lines.soft or _other_mark(lines, at) != ""


def _other_mark(lines: Lines, at: int) -> str:
    """What stands in front of the lines from ``at`` on instead of ">": "|", ")", "Bob>"; "" when nothing does."""
    mark = _OTHER_MARKS.match(lines.bare[at])
    below = lines.following[at]
    if mark is None or (mark[1][-1] != ">" and below < len(lines) and not _has_mark(lines.bare[below], mark[1])):
        return ""
    return mark[1]


def _has_mark(line: str, mark: str) -> bool:
    return line.lstrip(" \t").startswith(mark)


def _quote_run(lines: Lines, at: int) -> None:
    """Below an attribution "|" and "Bob>" are quote marks too."""
    if at in lines.soft:
        while at < len(lines) and (at in lines.soft or (lines.blank(at) and at + 1 in lines.soft)):
            lines.quoted[at] = True
            at += 1
        return
    mark = "" if lines.quoted[at] else _other_mark(lines, at)
    while mark and at < len(lines) and (lines.blank(at) or _has_mark(lines.bare[at], mark)):
        if not lines.blank(at):
            lines.quoted[at] = True
        at += 1
    if mark and _LASTING.fullmatch(mark):
        lines.cited.setdefault(mark, at)


def _mark_cited(lines: Lines) -> None:
    """A mark that stood below an attribution is a quote mark in the rest of the mail: answers stand between."""
    if not lines.cited:
        return
    for at in range(min(lines.cited.values()), len(lines)):
        mark = None if lines.quoted[at] or at in lines.fenced else _OTHER_MARKS.match(lines.bare[at])
        if mark and at >= lines.cited.get(mark[1], len(lines)) and not lines.bare[at].rstrip().endswith(" |"):
            lines.quoted[at] = True


def _mark_pipes(lines: Lines) -> None:
    """ "| On … Bob wrote:" or "| From: Bob" above further "|" lines: quote marks; a table or a tree is none."""
    at = 0
    while at < len(lines):
        if not lines.bare[at].lstrip(" \t").startswith("|"):
            at += 1
            continue
        end = at
        while end < len(lines) and _PIPED.match(lines.bare[end]) and not lines.bare[end].rstrip().endswith(" |"):
            end += 1
        if end - at >= 2 and lines.budget > 0:
            lines.budget -= 4
            words = [lines.bare[number].lstrip(" \t|") for number in range(at, min(end, at + 4))]
            field = read_field(words[0])
            if (field is not None and field[0] in ("from", "date")) or any(
                find_attribution(words, number, True) for number in range(len(words))
            ):
                lines.quoted[at:end] = [True] * (end - at)
        at = max(end, at + 1)


def _find_blocks(lines: Lines, history: History) -> list[Block]:
    blocks: list[Block] = []
    current: Block | None = None
    for at in range(history.cut):
        if lines.quoted[at]:
            if current is None:
                current = Block(at, at + 1)
                blocks.append(current)
            current.end = at + 1
            current.marked = current.marked or at in lines.marked
        elif not lines.blank(at):
            if current is not None and _is_broken_wrap(lines, at, history.cut):
                current.end = at + 1
                continue
            current = None
    for block in blocks:
        block.attributed = block.marked or _is_introduced(lines, history, block)
    return blocks


def _is_introduced(lines: Lines, history: History, block: Block) -> bool:
    above = block.start - 1
    while above >= 0 and lines.blank(above):
        above -= 1
    if above in history.introductions:
        return True
    # "> On … Bob wrote:" or "> From: Bob" as the first words of the block itself (Zimbra, Apple Mail, Open-Xchange)
    first = next((at for at in range(block.start, block.end) if not lines.blank(at)), block.end)
    if first == block.end:
        return False
    if read_separator(lines.bare[first]) in ("original", "forwarded"):
        return True
    second = lines.following[first] if lines.bare[first].rstrip().endswith((":", "：")) else first
    for at in {first, second}:
        if at < block.end and _is_field(lines, at):
            header = read_block(lines.bare, at)
            if header is not None and header.certain:
                return True
    if lines.budget <= 0:
        return False
    lines.budget -= 1
    words = lines.bare[first : min(first + 4, block.end)]
    ends = (find_attribution(words, at, False) for at in range(len(words)))
    return any(found is not None and found[0] == 0 for found in ends)


def _is_broken_wrap(lines: Lines, at: int, cut: int) -> bool:
    """A rest of a quoted line that the client wrapped without a new quote mark: no empty line around, and the line
    above it has an open bracket or is long while this one begins in the middle of a sentence."""
    if at + 1 >= cut or not lines.quoted[at + 1] or not lines.quoted[at - 1]:
        return False
    above, line = lines.bare[at - 1].rstrip(), lines.bare[at]
    if above.rfind("(") > above.rfind(")") or above.rfind("<") > above.rfind(">"):
        return True
    if line[:2] in (" (", " <") and line.rstrip().endswith(">"):
        return True
    return len(above) >= 60 and len(line) <= 40 and line[:1].islower() and above[-1:].isalnum()
