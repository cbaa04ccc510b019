"""Tables that fit the terminal, and one object a line for --json."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def width(text: str) -> int:
    """Columns a text takes on a terminal: wide characters take two, combining ones none."""
    wide = sum(1 for c in text if unicodedata.east_asian_width(c) in "WF")
    return len(text) + wide - sum(1 for c in text if unicodedata.combining(c))


def cut(text: str, columns: int) -> str:
    """At most ``columns`` wide, with an ellipsis when something is missing; no control characters."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if width(text) <= columns:
        return text + " " * (columns - width(text))
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…" + " " * (columns - 1 - width(text))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, stretch: str, as_json: bool) -> None:
    """Print rows; the ``stretch`` column takes what the others leave of the terminal's width."""
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False, default=str))
        return
    texts = [{name: str("" if row[name] is None else row[name]) for name in columns} for row in rows]
    widths = {name: max([len(name), *(width(text[name]) for text in texts)]) for name in columns}
    others = sum(widths[name] + 2 for name in columns if name != stretch)
    room = max(12, shutil.get_terminal_size((100, 24)).columns - others)
    widths[stretch] = min(widths[stretch], room)
    print("  ".join(cut(name.upper(), widths[name]) for name in columns).rstrip())
    for text in texts:
        print("  ".join(cut(text[name], widths[name]) for name in columns).rstrip())


def when(moment: datetime | None) -> str:
    """A time as operators read it: absolute, with zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if moment else ""
