"""What strangers wrote, on an operator's terminal: tables that fit, lines, and one object a line for --json.

A terminal obeys escape sequences, and some obey C1 controls too; a subject must not clear a screen, hide a line or type
for the operator. Only mail printed exactly as it came (``--raw``) is untouched.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_LAST_CONTROL = 0x9F


def width(text: str) -> int:
    """Columns a text takes on a terminal: wide characters take two, combining ones none."""
    wide = sum(1 for c in text if unicodedata.east_asian_width(c) in "WF")
    return len(text) + wide - sum(1 for c in text if unicodedata.combining(c))


def harmless(text: str) -> str:
    """The text without anything a terminal would obey: controls, also C1 and bidirectional ones, become a blank.

    Line feeds and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def to_json(value: Any) -> str:
    """One line of JSON; the value is unchanged, but controls stand in it as escapes only (DEL and C1 too)."""
    line = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(c if c.isprintable() or ord(c) > _LAST_CONTROL else f"\\u{ord(c):04x}" for c in line)


def cut(text: str, columns: int) -> str:
    """At most ``columns`` wide, with an ellipsis when something is missing; no control characters."""
    text = harmless(text).replace("\n", " ").replace("\t", " ")
    if width(text) <= columns:
        return text + " " * (columns - width(text))
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…" + " " * (columns - 1 - width(text))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, stretch: str, as_json: bool) -> None:
    """Print rows; the ``stretch`` column takes what the others leave of the terminal's width."""
    if as_json:
        for row in rows:
            print(to_json(row))
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
