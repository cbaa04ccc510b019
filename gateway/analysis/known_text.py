"""Text that is already in the conversation: exact, language-free evidence that a passage is history.

Words are compared in runs of five, so that another client's line breaks do not matter. A passage is a stretch of whole
lines that repeat; a sentence of history inside a line of the author's own is none. What the desk wrote counts at any
length, what the participants wrote only where a whole mail of theirs is repeated from its beginning: customers paste
the same log twice, and desks do not write to themselves. Time and memory are linear in the texts, whose words are
bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

from gateway.model import Said

MOST_TEXT = 256 * 1024
"""Characters that are looked at, as in quotes.py."""
_RUN = 5
_MAX_WORDS = 60_000
_WORD = re.compile(r"[^\W_]+")
_ASCII = bytes(ord(chr(n).lower()) if n < 128 and chr(n).isalnum() else 32 for n in range(256))
_TARGET = re.compile(r"[<\[(](?:https?://|mailto:|tel:|ftp://|cid:)[^<>\[\]()\s]{1,2000}[>\])]")
"""Where a link goes: clients add it to a text, or leave it out, when they make text of HTML."""
_MIN_WORDS = 8
_MIN_LINE = 3  # words of a line that counts though no run of five lies in it
_REFERENCE = re.compile(r"(?:^|\s)\d{1,8}-[a-z2-7]{4}$")  # "Example Support  Reference 4827-k3r2", below our answers

Words = tuple[str, ...]
T = TypeVar("T")


def _words(line: str) -> list[str]:
    if ":" in line:
        line = _TARGET.sub(" ", line)
    if line.isascii():  # the same, five times as fast
        return line.encode().translate(_ASCII).decode().split()
    return _WORD.findall(line.casefold())


def _runs(words: Sequence[T]) -> Iterator[tuple[T, ...]]:
    return zip(*(words[start:] for start in range(_RUN)), strict=False)


def _add(table: dict[Words, int], keys: set[Words], bit: int) -> None:
    """Set the bit for each key."""
    shared = {key: table[key] | bit for key in keys & table.keys()}
    table.update(dict.fromkeys(keys, bit))
    table.update(shared)


@dataclass(frozen=True, slots=True)
class Passage:
    """Lines ``start`` up to before ``end``. ``ours``: the desk wrote it.

    ``whole``: nearly all of one known text, from its beginning; ``ended``: to its end.
    """

    start: int
    end: int
    ours: bool
    whole: bool
    ended: bool = False


def repeats(text: str, known: Sequence[Said]) -> bool:
    """Whether a second look at the text beside ``known`` can change anything: cheap, and linear in both."""
    lines = text[:MOST_TEXT].split("\n")
    return bool(KnownText(known).find_passages(lines, lambda at: lines[at].lstrip().startswith(">")))


class KnownText:
    """Runs of words of the known texts, and the lines of ours that stand alone."""

    def __init__(self, known: Sequence[Said]) -> None:
        self.runs: dict[Words, int] = {}  # a bit for each text
        self.lines: set[str] = set()  # status lines
        self.whole_lines: dict[Words, int] = {}
        self.firsts: list[Words] = []
        self.lasts: list[Words] = []
        self.totals: list[int] = []
        self.ours = 0
        budget = _MAX_WORDS
        for said in known:
            by_line = [tuple(_words(line)) for line in said.text[:400_000].split("\n")]
            words = [word for line in by_line for word in line][:budget]
            budget -= len(words)
            bit = 1 << len(self.totals)
            self.ours |= bit if said.ours else 0
            distinct = set(_runs(words))
            _add(self.runs, distinct, bit)
            if budget > 0:
                _add(self.whole_lines, {line for line in by_line if len(line) >= _MIN_LINE}, bit)
            self.firsts.append(tuple(words[:_RUN]))
            self.lasts.append(tuple(words[-_RUN:]))
            self.totals.append(len(distinct))
            self.lines.update(line.strip() for line in said.text.split("\n", 3)[:3] if line.startswith("#"))

    def is_line(self, text: str) -> bool:
        """One of our status lines, word for word."""
        return text in self.lines

    def find_passages(self, lines: Sequence[str], neutral: Callable[[int], bool] = lambda at: False) -> list[Passage]:
        """The passages that are history, in order. Lines that are ``neutral`` (marked as quoted) do not end one."""
        if not self.runs:
            return []
        words, begun, first_word, masks = self._compare(lines, neutral)
        examined = len(first_word) - 1
        passages: list[Passage] = []
        start, end, texts, asked = -1, -1, 0, False
        for at in range(examined + 1):
            if at < examined:
                here, there = first_word[at], first_word[at + 1]
                if here == there:  # no words, or none that count
                    end = at + 1 if start >= 0 and (neutral(at) or _is_reference(lines[at])) else end
                    continue
                mask = self._repeats(words[here:there], masks[here:there]) if here < there else 0
                if mask:
                    start = at if start < 0 else start
                    end, texts, asked = at + 1, texts | mask, lines[at].rstrip().endswith(("?", "？"))
                    continue
            if start >= 0:
                here, there = first_word[start], first_word[end]
                inside = dict(zip(_runs(words[here:there]), begun[here:there], strict=False))
                passages += self._judge(start, end, there - here, inside, texts, asked)
            start, texts = -1, 0
        return passages

    def _compare(
        self, lines: Sequence[str], neutral: Callable[[int], bool]
    ) -> tuple[list[str], list[int], list[int], list[int]]:
        """All words; for each, the texts that have the run which begins with it; the first word of each line (one more
        than lines that were compared: the end); and for each word the texts that have it in a common run."""
        words: list[str] = []
        first_word: list[int] = []
        for number, line in enumerate(lines):
            first_word.append(len(words))
            if len(words) > _MAX_WORDS:
                break
            if not neutral(number) and not _is_reference(line):
                words += _words(line)
        else:
            first_word.append(len(words))
        begun = [*map(self.runs.get, _runs(words), repeat(0))]
        if not any(begun):
            return words, begun, first_word, [0] * len(words)
        edge = [0] * (_RUN - 1)
        return words, begun, first_word, [a | b | c | d | e for a, b, c, d, e in _runs([*edge, *begun, *edge])]

    def _repeats(self, words: Sequence[str], masks: Sequence[int]) -> int:
        """The texts that a line repeats; 0 when it has a word of its own.

        One word is enough: an answer written behind a long question, a "not" put into a sentence.
        """
        found = 0
        if all(masks):
            for mask in set(masks):
                found |= mask
        elif len(words) >= _MIN_LINE:
            found = self.whole_lines.get(tuple(words), 0)
        return found

    def _judge(
        self, start: int, end: int, words: int, inside: dict[Words, int], texts: int, asked: bool
    ) -> Iterator[Passage]:
        ours = bool(texts & self.ours)
        if words < _MIN_WORDS and not (asked and ours and words >= _MIN_LINE):
            return
        counts = [0] * len(self.totals)
        for mask, times in Counter(inside.values()).items():
            for text in range(mask.bit_length()):
                counts[text] += times if mask >> text & 1 else 0
        whole = [
            at
            for at, total in enumerate(self.totals)
            if total and counts[at] * 10 >= total * 7 and self.firsts[at] in inside
        ]
        if ours or whole:
            yield Passage(start, end, ours, bool(whole), any(self.lasts[at] in inside for at in whole))


def _is_reference(line: str) -> bool:
    """Our own last line below an answer."""
    return len(line) <= 120 and line[-5:-4] == "-" and _REFERENCE.search(line) is not None
