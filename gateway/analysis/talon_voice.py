"""talon as one voice among several: it may confirm a boundary we already suspect; alone it hides nothing.

libraries.md 6: only ``talon.quotations`` is imported (its signature package would load scikit-learn for seconds and
then fail); lines over 200 characters are not shown to it, nor texts over 900 lines or 64 kB, and no long run of one
character, because its patterns backtrack. It is asked only where our own evidence is ambiguous.
"""

from __future__ import annotations

import logging
import re
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

MAX_LINES = 900
MAX_LINE = 200
MAX_TEXT = 64 * 1024
_MAX_COSTLY_LINES = 40  # lines that begin like a splitter, each of which talon's patterns try against several others

_RUN = re.compile(r"([-_=*>,. ])\1{20,}")
_COSTLY = re.compile(r"\s*(?:-{2,}|On\b|Am\b|Le\b|Op\b|<http)", re.IGNORECASE)


def _load() -> Callable[[str], str] | None:
    """talon's reader of plain text, or None where talon does not work. Called once, at import: 0.3 s, 33 MB."""
    stub = types.ModuleType("talon.signature")
    stub.__path__ = []
    sys.modules.setdefault("talon.signature", stub)
    try:
        from talon import quotations
    except Exception:  # noqa: BLE001 - without talon the other voices decide
        logging.getLogger(__name__).warning("talon cannot be loaded; quotes are read without it")
        return None
    logging.getLogger("talon").setLevel(logging.WARNING)
    extract: Any = quotations.extract_from_plain
    return lambda text: str(extract(text))


# Loaded with the module, because the cage forbids opening files once mail is read.
extract_from_plain = _load()


def ask_talon(lines: Sequence[str], suspected: int) -> bool:
    """Does talon cut exactly where we suspect it, in line ``suspected``? False also when it may not be asked."""
    if len(lines) > MAX_LINES or sum(map(len, lines)) > MAX_TEXT:
        return False
    shown = [_RUN.sub(r"\1", line) for line in lines if len(line) <= MAX_LINE]
    if sum(1 for line in shown if _COSTLY.match(line)) > _MAX_COSTLY_LINES or "\x00" in "".join(shown):
        return False
    if extract_from_plain is None:
        return False
    try:
        kept = extract_from_plain("\n".join(shown))
    except Exception:  # noqa: BLE001 - no answer is no opinion
        return False
    above = [line.strip() for line in lines[:suspected] if len(line) <= MAX_LINE and line.strip()]
    return [line.strip() for line in kept.split("\n") if line.strip()] == [_RUN.sub(r"\1", line) for line in above]
