"""Text that is already in the conversation: exact, language-free evidence that a passage is history.

Words are compared in runs of five, so that another client's line breaks do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_RUN = 5
_MAX_WORDS = 60_000
_WORD = re.compile(r"[^\W_]+")
_MIN_WORDS = 8


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(_RUN)), strict=False)


class KnownText:
    """Runs of words of all known texts, and the lines of ours that stand alone."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.runs: set[tuple[str, ...]] = set()
        self.lines: set[str] = set()
        budget = _MAX_WORDS
        for text in texts:
            words = _WORD.findall(text[:400_000].casefold())[:budget]
            budget -= len(words)
            self.runs.update(_runs(words))
            self.lines.update(line.strip() for line in text.split("\n", 3)[:3] if line.startswith("#"))

    def is_line(self, text: str) -> bool:
        """One of our status lines, word for word."""
        return text in self.lines

    def find_repetition(self, lines: Sequence[str]) -> int:
        """First line of the passage that repeats known text down to the end; ``len(lines)`` when none does."""
        if not self.runs:
            return len(lines)
        words: list[str] = []
        owner: list[int] = []
        for number, line in enumerate(lines):
            for word in _WORD.findall(line.casefold()):
                words.append(word)
                owner.append(number)
        if len(words) < _MIN_WORDS:
            return len(lines)
        repeated = [False] * len(words)
        for at, run in enumerate(_runs(words)):
            if run in self.runs:
                repeated[at : at + _RUN] = [True] * _RUN
        return self._suffix(lines, owner, repeated)

    def _suffix(self, lines: Sequence[str], owner: list[int], repeated: list[bool]) -> int:
        """The tail in which every line repeats known text. One line of the author's own ends it, however short."""
        best, same, at = len(lines), 0, len(owner) - 1
        while at >= 0:
            line = owner[at]
            count = hits = 0
            while at >= 0 and owner[at] == line:
                count += 1
                hits += repeated[at]
                at -= 1
            if hits < count and hits * 5 < count * 4:
                break
            same += hits
            if same >= _MIN_WORDS:
                best = line
        return best
