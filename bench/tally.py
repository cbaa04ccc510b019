"""What every measurement shares: rows of a corpora folder, text made comparable, counted answers, tables."""

from __future__ import annotations

import collections
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Corpora:
    """A folder with ``jsonl/TASK-SET.jsonl`` and the files that their rows name."""

    folder: Path
    only: str = ""  # part of a set's name, e.g. "reply" or "mime-stalwart"; "" all

    def sets(self, task: str) -> Iterator[tuple[str, list[Row]]]:
        """Every set of a task that is wanted, with its rows."""
        for path in sorted((self.folder / "jsonl").glob(f"{task}-*.jsonl")):
            if self.only in path.stem:
                yield path.stem, [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]

    def read(self, row: Row) -> bytes:
        """The input of a row."""
        path: str = row["path"]
        return (self.folder / path).read_bytes()


class Tally:
    """Right answers by field, as a count or as a sum of values between 0 and 1, and what was missed."""

    def __init__(self) -> None:
        self.right: collections.Counter[str] = collections.Counter()
        self.total: collections.Counter[str] = collections.Counter()
        self.means: set[str] = set()
        self.misses: list[str] = []

    def count(self, name: str, good: bool, case: str = "", got: object = "", wanted: object = "") -> None:
        """One answer. A miss is kept when it has a case to name."""
        self.total[name] += 1
        self.right[name] += good
        if case and not good:
            self.misses.append(f"{case}  {name}\n      got    {got!r:.400}\n      wanted {wanted!r:.400}")

    def add(self, name: str, value: float) -> None:
        """One value of a mean."""
        self.total[name] += 1
        self.right[name] += value  # type: ignore[assignment]
        self.means.add(name)

    def cell(self, name: str) -> str:
        """``98/100 98.0`` (percent), or a mean."""
        total, right = self.total[name], self.right[name]
        if not total:
            return ""
        return f"{right / total:.3f}" if name in self.means else f"{right}/{total} {100 * right / total:.1f}"


@dataclass
class Measured:
    """One set: what every reader got right."""

    title: str
    readers: dict[str, Tally] = field(default_factory=dict)
    note: str = ""

    def show(self, misses: bool) -> None:
        """Print the table, then what ours missed."""
        names = list(dict.fromkeys(name for tally in self.readers.values() for name in tally.total))
        print_table(
            f"{self.title}{'  (' + self.note + ')' if self.note else ''}",
            ("", *names),
            [(reader, *(tally.cell(name) for name in names)) for reader, tally in self.readers.items()],
        )
        for miss in self.readers["ticketgate"].misses if misses else ():
            print(f"    MISS {miss}", flush=True)


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers to the right."""
    cells = [list(heads), *([f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(heads))]
    print(f"\n{title}")
    for first, *rest in cells:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  " + "  ".join((first.ljust(widths[0]), *numbers)), flush=True)


def norm(text: str, mode: str = "ws") -> str:
    """Comparable text: NFC, no invisible characters, blanks as one (mode ``nows``: none; ``md``: no Markdown marks)."""
    text = unicodedata.normalize("NFC", (text or "").replace("\ufeff", ""))
    text = re.sub(r"[\u200b-\u200f\u2060\u202a-\u202e]", "", text).replace("\xa0", " ").replace("\u202f", " ")
    if mode == "md":
        text = re.sub(r"[*_\\#`]", "", text)
    return re.sub(r"\s+", "" if mode == "nows" else " ", text).strip()


def tokens(text: str) -> collections.Counter[str]:
    """Words, and single characters of scripts without blanks."""
    found = re.findall(r"[^\W_]+|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", norm(text).lower())
    return collections.Counter(found)


def token_f1(ours: str, theirs: str) -> float:
    """Harmonic mean of precision and recall of words."""
    a, b = tokens(ours), tokens(theirs)
    if not a and not b:
        return 1.0
    same = (a & b).total()
    return 2 * same / (a.total() + b.total()) if same else 0.0
