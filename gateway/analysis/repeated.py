"""What becomes of the passages of a mail that repeat what its ticket contains (mail.md 12.1, security.md 12.1).

Below the author's words a whole mail once more is history, above them too. Between them it is what is being answered:
it stays, and gets the mark that the author's client left out. In doubt it stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.analysis.header_block import ADDRESS, is_date
from gateway.analysis.history import with_attribution
from gateway.analysis.known_text import KnownText, Passage
from gateway.analysis.quoted_lines import Lines
from gateway.analysis.sign_off import find_sign_off
from gateway.model import Mailbox, Said

_FIELD = re.compile(r"\W{0,3}\w[\w /-]{0,24}\s?[:：]\s")
_MAX_FIELDS = 8


def find_repeated_end(lines: Sequence[str], text: str) -> int:
    """From which line on all is a repetition of ``text``; ``len(lines)`` when the lines do not end in one."""
    passages = KnownText([Said(text=text, ours=True)]).find_passages(lines)
    return passages[-1].start if passages and passages[-1].end == _trim(lines, len(lines)) else len(lines)


def find_end(lines: Lines, bare: Sequence[str], passages: list[Passage]) -> int:
    """The same for passages of the ticket: a whole mail, the client's lines above it included; not one that the author
    introduces ("You wrote this:"), and not where nothing stands above. It is taken out of ``passages``."""
    if not passages:
        return len(bare)
    passages[:] = _join(lines, passages)
    last = passages[-1]
    start = _with_fields(lines, last.start)
    if not last.whole or last.end < _trim(bare, len(bare)) or not _trim(bare, start):
        return len(bare)
    if _is_introduced(lines, last.start):
        return len(bare)
    passages.pop()
    return start


def judge(
    lines: Lines, passages: Sequence[Passage], cut: int, new: Sequence[bool], author: Mailbox | None
) -> tuple[set[int], set[int], bool]:
    """What of the lines above ``cut`` is history, what stays with a mark, and whether answers stand below such lines.

    ``new``: which lines nothing else has found to be history.
    """
    history: set[int] = set()
    marked: set[int] = set()
    answered = False
    own = [at for at in range(cut) if new[at] and not lines.blank(at)]
    foot = passages[-1].end
    rest = [lines.bare[at] if new[at] else "" for at in range(foot, cut)]
    last = own[-1] if own and (own[-1] < foot or find_sign_off(rest, author, whole=False) > 0) else foot - 1
    for passage in passages:
        start = _with_fields(lines, passage.start)
        above, below = bool(own) and own[0] < start, last >= passage.end
        if (
            passage.whole
            and (above > below or (below > above and passage.ended))
            and not _is_introduced(lines, passage.start)
        ):
            history.update(at for at in range(start, passage.end) if new[at])
        elif passage.ours and (above or below):
            marked.update(at for at in range(passage.start, passage.end) if new[at] and not lines.blank(at))
            answered = answered or below
    return history, marked, answered


def _join(lines: Lines, passages: Sequence[Passage]) -> list[Passage]:
    """Mails that a client quoted one below the other, with nothing between but its own lines, are one passage."""
    joined = [passages[0]]
    for passage in passages[1:]:
        last = joined[-1]
        first = next((at for at in range(last.end, passage.start) if not lines.blank(at)), passage.start)
        if _with_fields(lines, passage.start) <= first:
            whole, ours = last.whole or passage.whole, last.ours or passage.ours
            joined[-1] = Passage(last.start, passage.end, ours=ours, whole=whole, ended=passage.ended)
        else:
            joined.append(passage)
    return joined


def _with_fields(lines: Lines, at: int) -> int:
    """The first line of what a client put right above a mail it quotes: an attribution, or fields in any language."""
    start = with_attribution(lines, at)
    if start < at:
        return start
    end = _trim(lines.bare, at)
    start = end
    while start > 0 and end - start < _MAX_FIELDS and _FIELD.match(lines.bare[start - 1][:60]):
        start -= 1
    fields = lines.bare[start:end]
    told = sum(ADDRESS.search(text[:400]) is not None or is_date(text[:160]) for text in fields)
    return start if len(fields) >= 2 and told else at


def _is_introduced(lines: Lines, at: int) -> bool:
    """Whether the author says what follows: then it is part of what the author has to say."""
    end = _trim(lines.bare, at)
    return end > 0 and _with_fields(lines, at) == at and lines.bare[end - 1].rstrip().endswith((":", "："))


def _trim(lines: Sequence[str], end: int) -> int:
    while end > 0 and not lines[end - 1].strip():
        end -= 1
    return end
