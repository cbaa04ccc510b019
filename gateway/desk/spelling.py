"""How people and phones spell commands: what is forgiven, and what they may have meant (mail.md 13, R1 and R5)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from gateway.desk.verbs import BY_NAME, VERBS

SHORTEST_BEGINNING = 3
"""Letters a beginning of a verb needs."""

_LONGEST_WORD = 40  # a longer word is no mistyped verb; it also bounds the distance table

_SAME_WIDTH = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\uff02"), '"'),
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032"), "'"),
    **dict.fromkeys(map(ord, "\uff03\ufe5f"), "#"),
    **dict.fromkeys(map(ord, "\u00a0\u2007\u202f\u3000\u2028\u2029\u0085\t\x0b\x0c\x1c\x1d\x1e\x1f"), " "),
}
_INVISIBLE = frozenset("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u061c\u180e\u202a\u202b\u202c\u202d\u202e")
_SEEN_BEFORE = re.compile("[" + "".join(sorted(_INVISIBLE)) + "]")


def normalise(line: str) -> str:
    """The line with plain blanks, hyphens, quotes and ``#``, without invisible characters (R5)."""
    return _SEEN_BEFORE.sub("", line).translate(_SAME_WIDTH)


def original_tail(line: str, start: int) -> str:
    """What of ``line`` follows position ``start`` of its normalised form: free text keeps the author's characters."""
    visible = 0
    for position, character in enumerate(line):
        if character in _INVISIBLE:
            continue
        if visible == start:
            return line[position:]
        visible += 1
    return ""


def fold_word(word: str) -> str:
    """The form in which verbs and aliases of any language are compared."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())


def vocabulary(aliases: Mapping[str, str]) -> dict[str, str]:
    """Folded name -> canonical verb: our own names, then the site's aliases. An alias never hides a name of ours."""
    names = {name: verb.name for name, verb in BY_NAME.items()}
    for word, target in aliases.items():
        verb = names.get(fold_word(target.lstrip("#")))
        if verb is not None:
            names.setdefault(fold_word(word.lstrip("#")), verb)
    return names


def find_verb(word: str, names: Mapping[str, str], beginnings: bool = True) -> str:
    """The canonical verb of a typed word, also by a beginning that only one verb has; "" when there is none."""
    folded = fold_word(word)
    if folded in names:
        return names[folded]
    if beginnings and len(folded) >= SHORTEST_BEGINNING:
        found = {verb for name, verb in names.items() if name.startswith(folded)}
        if len(found) == 1:
            return found.pop()
    return ""


def did_you_mean(word: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """At most two canonical verbs the word may be a slip or a beginning of, nearest first.

    A slip is at most two edits (a swap of neighbours is one) and fewer than half the letters typed.
    """
    folded = fold_word(word)
    if len(folded) > _LONGEST_WORD:
        return ()
    order = {verb.name: number for number, verb in enumerate(VERBS)}
    nearest: dict[str, int] = {}
    for name, verb in names.items():
        begins = len(folded) >= SHORTEST_BEGINNING and name.startswith(folded)
        if not begins and abs(len(name) - len(folded)) > 2:
            continue
        edits = distance(folded, name)
        if begins or (edits <= 2 and 2 * edits < len(folded)):
            nearest[verb] = min(edits, nearest.get(verb, edits))
    return tuple(sorted(nearest, key=lambda verb: (nearest[verb], order[verb])))[:2]


def distance(left: str, right: str) -> int:
    """Edits that turn one word into the other: insert, delete, replace, swap of neighbours."""
    before: list[int] = []
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            best = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, above = above, row
    return above[-1]
