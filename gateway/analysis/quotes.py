"""New text, quoted history, signature: Message -> Body. Loses nothing (mail.md 12.1, libraries.md 6, security.md 12.1).

Every line of the text lands in exactly one of ``new``, ``quoted`` and ``signature``, in the order of the text. (A line
in which a phone glued the attribution to the answer counts as two, see ``_separate``.) What is not proven to be history
stays ``new``. The cost is linear in the text; lines over 2000 characters and text beyond 256 KiB are passed over, not
cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from gateway.analysis.history import Block, History, find_history, is_furniture, with_attribution
from gateway.analysis.html import html_to_text
from gateway.analysis.html_quotes import find_marks, may_mark
from gateway.analysis.known_text import KnownText, Passage
from gateway.analysis.mail_words import REPLY_PREFIX
from gateway.analysis.pasted import is_pasted
from gateway.analysis.quoted_lines import Lines
from gateway.analysis.repeated import find_end, find_repeated_end, judge
from gateway.analysis.sign_off import find_sign_off
from gateway.analysis.talon_voice import ask_talon
from gateway.model import Body, Mailbox, Message, Said

MAX_TEXT = 256 * 1024
MAX_LINES = 20_000

_NEW, _QUOTED, _SIGNATURE = 0, 1, 2
_LIST_FIELDS = ("list-subscribe", "list-unsubscribe", "list-archive", "list-help")  # RFC 2369

_SHARED = re.compile(
    r"(?P<own>\w.*[^\s>-]) ?(?P<intro>(?:-{2,3} ?| )On (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? .{6,160} wrote:\s*)"
)


def split_body(message: Message, known: Sequence[Said] = ()) -> Body:
    """The author's own words, what was quoted, and the signature. Pure; never raises on any text.

    ``known``: texts already in the conversation and our own notices; text that repeats them is history even without
    marks. Where answers stand between such text, ``new`` keeps it and a mark "> " says whose words they are not.
    ``Body.source`` names the rule that found the boundary.
    """
    html = message.text_source == "html"
    lines = _separate(message.text.split("\n"))
    examined = lines[: _examined(lines)]
    marks = find_marks(message.html, examined) if html and message.html else None
    reader = Lines(examined, marks.quoted, marks.soft) if marks else Lines(examined)
    memory = KnownText(known)
    repetition = _Repetition(memory, message, reader)
    history = find_history(
        reader,
        repetition.find,
        memory.is_line,
        lambda at: ask_talon(examined, at),
        answers=REPLY_PREFIX.match(message.subject) is not None,
        is_pasted=lambda start, end: is_pasted(reader, start, end, message),
    )
    if marks and 0 <= marks.rest < history.cut and any(text.strip() for text in reader.bare[: marks.rest]):
        history.cut = with_attribution(reader, marks.rest)
        history.rule = "tg element" if marks.ours else "html"
    kinds = [_NEW] * len(lines)
    for at in range(history.cut, len(lines)):
        if history.rule != "none" or at < len(examined):
            kinds[at] = _QUOTED
    for at in history.introductions:
        kinds[at] = _QUOTED
    interleaved, ours_kept = _judge_blocks(reader, history, kinds, message.author, html)
    if repetition.passages:
        interleaved = _judge_passages(reader, examined, history, kinds, repetition.passages, message) or interleaved
    if history.cut == len(examined) < len(lines):
        kinds[len(examined) :] = [_NEW] * (len(lines) - len(examined))
    elif marks:
        for at in marks.signature:
            if kinds[at] == _NEW:
                kinds[at] = _SIGNATURE
    listed = _find_list_line(examined, kinds, message)
    _find_signatures(examined[:listed], kinds, message.author, interleaved)
    lines[: len(examined)] = examined
    new, quoted, signature = (_collect(lines, kinds, kind) for kind in (_NEW, _QUOTED, _SIGNATURE))
    source = history.rule if quoted else "none"
    command_text = new if message.text_source == "plain" else None
    return Body(
        new=new,
        quoted=quoted,
        signature=signature,
        interleaved=interleaved,
        ours_kept=ours_kept,
        source=source,
        command_text=command_text,
    )


@dataclass(slots=True)
class _Repetition:
    """What of the text repeats known text, or what the mail's own HTML part marks as quoted."""

    memory: KnownText
    message: Message
    reader: Lines
    passages: list[Passage] = field(default_factory=list)

    def find(self, bare: Sequence[str], introductions: Set[int]) -> int:
        """From which line on all is repetition; ``len(bare)`` when the text does not end in one."""
        reader = self.reader
        self.passages = self.memory.find_passages(bare, lambda at: reader.quoted[at] or at in introductions)
        return find_end(reader, bare, self.passages) if self.passages else self._find_silent(bare)

    def _find_silent(self, bare: Sequence[str]) -> int:
        """Some clients mark the quote in HTML and leave the text part without any sign of it."""
        message, reader = self.message, self.reader
        silent = len(bare) == len(reader) and message.text_source == "plain" and not any(reader.quoted)
        if silent and message.html:
            lines = html_to_text(message.html).split("\n") if may_mark(message.html) else []
            marks = find_marks(message.html, lines) if lines else None
            if marks is not None:
                rest = marks.rest if marks.rest >= 0 else len(lines)
                quoted = "\n".join(line for at, line in enumerate(lines) if at in marks.quoted or at >= rest)
                return find_repeated_end(bare, quoted)
        return len(bare)


def _separate(lines: list[str]) -> list[str]:
    """Some phones glue the attribution to the last word of the answer; then one line becomes two."""
    for at in range(len(lines) - 2, -1, -1):
        if lines[at + 1][:1] == ">" and "wrote:" in lines[at][-9:] and len(lines[at]) <= 300:
            shared = _SHARED.fullmatch(lines[at])
            if shared:
                lines[at : at + 1] = [shared["own"], shared["intro"]]
    return lines


def _examined(lines: Sequence[str]) -> int:
    """How many lines lie within the limit of what is examined."""
    total = 0
    for number, line in enumerate(lines):
        total += len(line) + 1
        if total > MAX_TEXT or number >= MAX_LINES:
            return number
    return len(lines)


def _judge_blocks(
    lines: Lines, history: History, kinds: list[int], author: Mailbox | None, html: bool
) -> tuple[bool, bool]:
    """Mark as quoted the blocks that are history; whether answers stand between quotes that are kept, and whether those
    are of mail of ours.
    """
    blocks = history.blocks
    for number, block in enumerate(blocks):
        end = blocks[number + 1].start if number + 1 < len(blocks) else history.cut
        between = [lines.bare[at] for at in range(block.end, end) if kinds[at] == _NEW]
        block.answered = any(text.strip() for text in between) and find_sign_off(between, author, whole=False) > 0
    interleaved = ours = False
    for number, block in enumerate(blocks):
        if _is_history(lines, blocks, number, kinds, html):
            for at in range(block.start, block.end):
                kinds[at] = _QUOTED
            if history.rule == "none":
                history.rule = "quote marks"
        elif block.answered:
            interleaved = True
            for at in range(block.start, block.end):
                if is_furniture(lines.bare[at]):
                    ours = True
                    kinds[at] = _QUOTED  # answers may keep what the customer wrote, not what we wrote around it
    return interleaved, ours


def _is_history(lines: Lines, blocks: Sequence[Block], number: int, kinds: Sequence[int], html: bool) -> bool:
    block = blocks[number]
    if len(blocks) == 1 and block.attributed:
        return True
    if block.answered:
        return False
    if block.attributed:
        return True
    if html:
        return False  # a blockquote of the author's own (dependencies.md 5)
    return any(not lines.blank(at) and kinds[at] == _NEW for at in range(block.start))


def _judge_passages(
    reader: Lines,
    examined: list[str],
    history: History,
    kinds: list[int],
    passages: Sequence[Passage],
    message: Message,
) -> bool:
    """Passages that repeat the conversation: to the history, or marked in ``examined``; True when answered between."""
    new = [kind == _NEW for kind in kinds[: len(examined)]]
    repeated, marked, answered = judge(reader, passages, history.cut, new, message.author)
    for at in repeated:
        kinds[at] = _QUOTED
    if repeated and history.rule == "none":
        history.rule = "known"
    for at in marked:
        examined[at] = "> " + examined[at]
    return answered


def _find_signatures(lines: Sequence[str], kinds: list[int], author: Mailbox | None, interleaved: bool) -> None:
    """Sign-offs at the end of the first and of the last stretch of new text."""
    if interleaved:
        _drop_lone_marks(lines, kinds)
    stretches: list[tuple[int, int]] = []
    start = -1
    for at in range(len(lines) + 1):
        inside = at < len(lines) and kinds[at] == _NEW
        if inside and start < 0:
            start = at
        elif not inside and start >= 0:
            if any(line.strip() for line in lines[start:at]):
                stretches.append((start, at))
            start = -1
    if not stretches:
        return
    chosen = stretches[-1:] if interleaved or len(stretches) == 1 else [stretches[-1], stretches[0]]
    kept = sum(1 for _ in stretches)
    for first, after in chosen:
        part = lines[first:after]
        found = find_sign_off(part, author, whole=kept == 1)
        if found == 0:
            kept -= 1
        for at in range(first + found, after):
            kinds[at] = _SIGNATURE


def _find_list_line(lines: Sequence[str], kinds: list[int], message: Message) -> int:
    """Some lists put nothing below a mail but the address of their page, glued to its last line. It is the list's
    where the mail's own header names it, and becomes signature.
    Returns its line, or the number of lines when there is none.
    """
    last = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].strip()), 0)
    page = lines[last].strip().strip("<>") if last else ""
    if kinds[last : last + 1] != [_NEW] or not page.startswith(("http://", "https://")) or " " in page:
        return len(lines)
    named = (value for name in _LIST_FIELDS for value in message.fields.get(name, ()))
    if not any(f"<{page}>" in value for value in named):
        return len(lines)
    if not any(kind == _NEW and line.strip() for line, kind in zip(lines[:last], kinds[:last], strict=True)):
        return len(lines)
    kinds[last] = _SIGNATURE
    return last


def _drop_lone_marks(lines: Sequence[str], kinds: list[int]) -> None:
    """A mark "-- " with a quote right below it separates nothing of the author's."""
    quoted_below = False
    for at in range(len(lines) - 1, -1, -1):
        if not lines[at].strip():
            continue
        if lines[at].rstrip(" \xa0") == "--" and quoted_below and kinds[at] == _NEW:
            kinds[at] = _SIGNATURE
        quoted_below = lines[at].startswith(">")


def _collect(lines: Sequence[str], kinds: Sequence[int], kind: int) -> str:
    """The lines of one kind; where others were taken out between them, one empty line marks the gap."""
    out: list[str] = []
    gap = False
    for line, its in zip(lines, kinds, strict=True):
        if its != kind:
            gap = bool(out)
            continue
        if gap:
            if not line.strip():
                continue
            while out and not out[-1].strip():
                out.pop()
            out.append("")
            gap = False
        out.append(line)
    return "\n".join(out).strip("\n")
