"""The lines of a text as the readers of quotes see them: quote marks taken off, and what is known about each line."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from gateway.analysis.attribution import find_attribution

MAX_LINE = 2000
MAX_ATTRIBUTIONS = 300  # lines tried as an attribution; a mail has a dozen, a hostile one hundred thousand

_MARKS = re.compile(r"(?:[ \t]{0,3}>)+ ?")
_BROKEN_TAIL = re.compile(r">\s*(?:[^\W\d_]{2,12}(?:\s[^\W\d_]{2,12})?)?\s*[:：]\s*$|>\s*(?:wrote|écrit)$")
GROUPWISE = re.compile(r">>> ?[^>]{3,100}\d[^>]{0,20}>>>$")  # ">>> Bob Ott 03/03/26 09:14AM >>>"
SUPERCITE = re.compile(r'(?:>{5} ?(?!>))?(?:On [^"]{3,60}, )?"[^"\s]{1,20}" == .{2,160}\b(?:writes|wrote|said):$')
_ATTRIBUTION_ENDS = ":：>-*…eté\u202c\u200e\u200f\u2069"


class Lines:
    """The lines of a text with their quote marks taken off, and what the reader must know about each."""

    def __init__(self, lines: Sequence[str], marked: Set[int] = frozenset(), soft: Set[int] = frozenset()) -> None:
        self.bare: list[str] = []
        self.quoted: list[bool] = []
        self.marked = marked  # quotes by the DOM
        self.budget = MAX_ATTRIBUTIONS
        self.footers: dict[str, int] | None = (
            None  # ticket number -> last line that is our footer; None: not looked yet
        )
        self.cited: dict[str, int] = {}  # "Bob>", ")": marks that stood below an attribution -> the line after them
        self.soft = soft  # blockquotes: quotes when an attribution stands above or opens them
        opened = 0  # how many lines an open "<" may still reach
        for number, line in enumerate(lines):
            mark = _MARKS.match(line) if ">" in line[:4] else None
            if mark and (
                line.startswith(">From ")
                or GROUPWISE.match(line.strip())
                or (not (number and self.quoted[-1]) and SUPERCITE.match(line.strip()[:MAX_LINE]))
                or (opened > 0 and _BROKEN_TAIL.match(line.strip()))
            ):
                mark = None
            bare = line[mark.end() :] if mark else line
            self.bare.append(bare if len(bare) <= MAX_LINE else "…")
            self.quoted.append(mark is not None or number in marked)
            if line.strip():
                opened -= 1
                if len(line) <= MAX_LINE and line.rfind("<") > line.rfind(">"):
                    opened = 2
        self.fenced = self._fences(lines)
        self.following = self._following()

    def __len__(self) -> int:
        return len(self.bare)

    def blank(self, at: int) -> bool:
        return not self.bare[at].strip()

    def attribution(self, end: int, quoted_below: bool) -> int:
        """First line of the attribution that ends in line ``end``; -1 when there is none."""
        if self.budget <= 0 or not self.bare[end].strip():
            return -1
        if self.bare[end].rstrip()[-1] not in _ATTRIBUTION_ENDS and not self.bare[end].lstrip()[:1].isdigit():
            return -1
        self.budget -= 1
        found = find_attribution(self.bare, end, quoted_below)
        return found[0] if found else -1

    def _fences(self, lines: Sequence[str]) -> set[int]:
        """Lines inside closed ``` fences: code somebody pasted, never history."""
        fenced: set[int] = set()
        opening = -1
        for number, line in enumerate(lines):
            if line.startswith("```") and len(line) <= 40:
                if opening >= 0:
                    fenced.update(range(opening, number + 1))
                    opening = -1
                else:
                    opening = number
        return fenced

    def _following(self) -> list[int]:
        """For each line the next line below it that is not empty; ``len`` when there is none."""
        following = [len(self.bare)] * len(self.bare)
        nearest = len(self.bare)
        for at in range(len(self.bare) - 1, -1, -1):
            following[at] = nearest
            if self.bare[at].strip():
                nearest = at
        return following
