"""Where the author's text ends and the sign-off begins: "-- ", closings with a name, phone adverts, disclaimers.

Works on the lines of one stretch of new text and answers with an index: lines from there on are signature. In doubt
the answer is "none": a name too much is harmless, a lost sentence is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.analysis.sign_off_words import ADVERTS, CLOSING, DISCLAIMER, FOREIGN, MY_PLACE, NO_NAMES, PLACE
from gateway.model import Mailbox

_MAX_TAIL = 14  # lines looked at from the end for closings, names, contact data
_MAX_MARKED = 40  # lines a signature below "-- " may have
_MAX_BARE_MARK = 20  # the same below "--", which also is a comment in SQL
_MAX_FOOTERS = 4  # a list's, a sponsor's, a free mailer's, and then the author's signature

_TAIL_OF_CLOSING = re.compile(r"[\s,،.!;:)~–—-]*$")
_INLINE_NAME = re.compile(r"[,.!–—-]+\s+(?:[^\W\d_][\w'’.-]{0,20}\s?){1,3}\.?\s*$")
_NAME_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’.-])*$")
_SLASHED = re.compile(r"\s{0,4}(?:[-–—~/]|//|- |/ )\s?[^\W\d_][\w .'’-]{0,40}$")
_PHONE = re.compile(
    r"(?:^|[\s:(#*+.x-])[+(]?\d[\d\s()./-]{5,}\d\b|^[x*#]?-?\d[\d-]{3,}$|^(?:ext|x)[. -]{0,2}\d{3,}", re.IGNORECASE
)
_CONTACT = re.compile(
    r"@[\w-]+\.\w|https?://|www\.|^(?:tel|fax|mobil|mobile|cell|phone|skype|t|f|m|e|w|p|o|d)\b\s?[.:]", re.IGNORECASE
)
_LIST_PAGE = re.compile(r"<?https?://\S{1,150}/(?:listinfo|groups?|lists)/[\w.+-]{1,80}/?>?", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?:;,…]$|\.\s+[^\W\d_]")


def find_sign_off(lines: Sequence[str], author: Mailbox | None, whole: bool) -> int:
    """Index of the first line of the signature in a stretch of new text; ``len(lines)`` when there is none.

    ``whole``: the stretch is all the new text there is, so something of it must stay.
    """
    end = _drop_marked(lines, _trim(lines, len(lines)), whole)
    end = _drop_footers(lines, _trim(lines, end))
    closing = _find_closing(lines, end, author)
    if closing < end and (any(line.strip() for line in lines[:closing]) or not whole):
        end = _drop_footers(lines, _trim(lines, closing))
    end = _drop_ornaments(lines, end)
    return end if any(line.strip() for line in lines[end:]) else len(lines)


def _trim(lines: Sequence[str], end: int) -> int:
    while end > 0 and not lines[end - 1].strip():
        end -= 1
    return end


def _drop_marked(lines: Sequence[str], end: int, whole: bool) -> int:
    """Without the author's signature below a mark, and without what lists and free mailers put below that."""
    for _ in range(_MAX_FOOTERS):
        end = _drop_list_address(lines, _trim(lines, end))
        marked = _find_mark(lines, end)
        if marked == end or (marked and whole and not any(line.strip() for line in lines[:marked])):
            return end
        foreign = any(FOREIGN.search(line[:200]) for line in lines[marked:end])
        end = marked
        if not foreign:
            return end
    return end


def _drop_list_address(lines: Sequence[str], end: int) -> int:
    """Some lists add nothing but the address of their page, as a paragraph of its own."""
    above = _trim(lines, end - 1) if end > 1 and not lines[end - 2].strip() else 0
    if above and _LIST_PAGE.fullmatch(lines[end - 1].strip()) and not lines[above - 1].rstrip().endswith((":", "：")):
        return above
    return end


def _find_mark(lines: Sequence[str], end: int) -> int:
    """The last "-- " that may begin a signature, or a row of dashes above contact data or a list's footer."""
    for at in range(end - 1, max(-1, end - _MAX_MARKED - 1), -1):
        line = lines[at]
        bare = line.strip(" \xa0")
        if bare in ("--", "—", "––") and line[:1] in "-—–":
            if _ends_patch(lines, at):
                continue
            limit = _MAX_MARKED if line.startswith("-- ") else _MAX_BARE_MARK
            if end - at <= limit:
                return at
        elif (len(bare) >= 5 and not bare.strip("_")) or (len(bare) >= 10 and not bare.strip("-")):
            rest = [text for text in lines[at + 1 : end] if text.strip()]
            glued = at > 0 and lines[at - 1].strip() != ""  # then it rather underlines a heading
            if not rest or len(rest) > 12 or (glued and not is_advert(rest[0]) and bare[0] != "_"):
                continue
            if _is_card(rest) or (bare[0] == "_" and len(rest) <= 6 and all(map(_is_titled, rest))):
                return at
    return end


_GIT_VERSION = re.compile(r"\d+\.\d+(?:\.[\w.-]+)?")


def _ends_patch(lines: Sequence[str], at: int) -> bool:
    """The mark git writes below a patch: a line of the patch above it, git's version below. No signature of anybody."""
    return (
        0 < at < len(lines) - 1
        and lines[at - 1][:1] in (" ", "+", "-", "\\")
        and _GIT_VERSION.fullmatch(lines[at + 1].strip()) is not None
    )


def _is_titled(text: str) -> bool:
    """A short line that may stand on a visiting card: it begins with a capital and is no sentence."""
    words = text.strip()
    return len(words) <= 60 and not words[:1].islower() and not _SENTENCE.search(words)


def _is_card(rest: Sequence[str]) -> bool:
    """Short lines with contact data in at least one of them: a visiting card, a list's footer."""
    if any(len(text) > 100 for text in rest):
        return False
    return any(_CONTACT.search(text.strip()) or _PHONE.search(text.strip()) or ADVERTS.match(text) for text in rest)


def is_advert(line: str) -> bool:
    """ "Sent from my iPhone" and its kin; never a sentence ("Sent from my desk, it is easier than a phone")."""
    if len(line) > 140:
        return False
    found = ADVERTS.match(line)
    if not found:
        return False
    rest = found["rest"] or found["rest2"]
    if rest is None:
        return True
    if re.match(r"(?:my|a|an|the)\s", rest):
        return MY_PLACE.match(rest) is not None
    return PLACE.match(rest) is not None


def _drop_footers(lines: Sequence[str], end: int) -> int:
    """Adverts of phones and mail programs, and disclaimers, taken off the end."""
    for _ in range(40):
        end = _trim(lines, end)
        if end == 0:
            return 0
        if is_advert(lines[end - 1]):
            end -= 1
            continue
        start = end
        while start > 0 and lines[start - 1].strip() and end - start < 12:
            start -= 1
        text = " ".join(lines[start:end])
        if len(text) > 90 and start > 0 and _is_disclaimer(text[:3000].casefold()):
            end = start
            continue
        return end
    return end


def _is_disclaimer(text: str) -> bool:
    return sum(word in text for word in DISCLAIMER) >= 3


def _drop_ornaments(lines: Sequence[str], end: int) -> int:
    """Rows of dashes and stars at the very end say nothing; a closing code fence does."""
    while end > 0:
        bare = lines[end - 1].strip(" \t\xa0ᐧ")
        if bare and (bare.strip("-_=*~+#—–") or len(bare) < 2):
            break
        end -= 1
    return end


def _find_closing(lines: Sequence[str], end: int, author: Mailbox | None) -> int:
    """First line of "Thanks,\\nBob\\n555-1234" at the end of the text; ``end`` when the text ends otherwise."""
    floor = max(0, end - _MAX_TAIL)
    words = _author_words(author)
    for at in range(end - 1, floor - 1, -1):
        line = lines[at].strip()
        if not line:
            continue
        closing = CLOSING.match(line) if len(line) <= 80 else None
        if closing:
            rest = line[closing.end() :]
            below = [text.strip() for text in lines[at + 1 : end] if text.strip()]
            if _TAIL_OF_CLOSING.match(rest) and below and _is_names(below):
                return at
            if rest and line[closing.end() :] and _INLINE_NAME.match(rest) and _is_contact(below) and len(below) <= 4:
                return at
        if len(line) > 60 or (_SENTENCE.search(line) and not _is_contact([line])):
            break
    found = _find_name(lines, end, words)
    above = _trim(lines, found)
    if found < end and above > 0 and _PHONE.search(lines[above - 1].strip()) and _PHONE.search(lines[end - 1].strip()):
        return _find_name(lines, above, words) if _find_name(lines, above, words) < above else found
    return found


def _is_names(below: Sequence[str]) -> bool:
    """What stands below a closing: a name first, then titles, numbers, addresses; no sentences."""
    if len(below) > 10 or any(len(text) > 78 for text in below):
        return False
    if len(below[0].split()) > 5 or below[0][-1] in "?!:":
        return False
    return all(_is_label(text) or _CONTACT.search(text) or _PHONE.search(text) for text in below)


def _is_label(text: str) -> bool:
    """A name, a title, a company: few words, and most of many begin with a capital."""
    words = text.split()
    return len(words) <= 4 or (len(words) <= 9 and 2 * sum(word[:1].isupper() for word in words) >= len(words))


def _is_contact(below: Sequence[str]) -> bool:
    return all(_CONTACT.search(text) or _PHONE.search(text) for text in below)


def _author_words(author: Mailbox | None) -> frozenset[str]:
    if author is None:
        return frozenset()
    local = author.address.partition("@")[0]
    return frozenset(word for word in re.split(r"[\W_\d]+", f"{author.name} {local}".casefold()) if len(word) > 1)


def _find_name(lines: Sequence[str], end: int, author: frozenset[str]) -> int:
    """A name, alone or with titles and numbers below it, as the last paragraph."""
    start = end
    while start > 0 and lines[start - 1].strip() and end - start <= 7:
        start -= 1
    block = [line.strip() for line in lines[start:end]]
    if not block or start == 0:
        return _find_glued_name(lines, start, end, author)
    above = lines[_trim(lines, start) - 1] if _trim(lines, start) else ""
    if above.rstrip().endswith((":", "：")):
        return end  # "Please invite:" and then names
    if len(author) >= 2 and not _names_author(block[0], author):
        return end  # somebody else's name and number, when the author's is known
    if len(block) == 1 and _SLASHED.match(block[0]) and _is_name(block[0].lstrip("-–—~/ "), author, strict=False):
        return start
    if len(block) <= 6 and all(len(text) <= 60 for text in block):
        first = _is_name(block[0], author, strict=True)
        rest = block[1:]
        if first and (not rest or _is_contact(rest[-1:]) or (len(rest) <= 3 and all(_is_title(text) for text in rest))):
            return start
        if (
            len(block) <= 3
            and _is_contact(block)
            and any("@" in text for text in block)
            and any(_PHONE.search(t) for t in block)
        ):
            return start
        if len(block) == 2 and _is_title(block[0]) and _PHONE.fullmatch(block[1]):
            return start
    return _find_glued_name(lines, start, end, author)


def _find_glued_name(lines: Sequence[str], start: int, end: int, author: frozenset[str]) -> int:
    """A name in the line right below the last sentence: "Give us a call sometime.\\nBryn"."""
    if end - 2 < start or end < 2:
        return end
    last, above = lines[end - 1].strip(), lines[end - 2].rstrip()
    if len(last.split()) == 1 and (above.endswith((".", "!", "?")) or author) and _is_name(last, author, strict=True):
        return end - 1
    return end


def _is_title(text: str) -> bool:
    """ "Vice President, Enron North America", "Realtime", "via mobile": few words, no sentence."""
    return len(text.split()) <= 7 and text[-1:] not in ".!?:;" and (text[:1].isupper() or text.startswith("via "))


def _names_author(text: str, author: frozenset[str]) -> bool:
    """Does it name the author: a word of the name or of the address, their beginning, or initials?"""
    words = [word for word in re.split(r"[\W_\d]+", text.casefold()) if word]
    if any(word in author or any(len(word) > 2 and known.startswith(word[:3]) for known in author) for word in words):
        return True
    return len(words) == 1 and len(words[0]) <= 3


def _is_name(text: str, author: frozenset[str], strict: bool) -> bool:
    """One to three words that begin with a capital and are no ordinary word; the author's own name is always one."""
    words = text.strip(" ,*_").split()
    if not 1 <= len(words) <= 4 or not all(_NAME_WORD.match(word) for word in words):
        return False
    folded = [word.casefold().strip(".") for word in words]
    if author and any(word in author for word in folded):
        return True
    if (text.endswith(".") and len(words[-1]) > 3) or CLOSING.fullmatch(text.strip(" ,.!")):
        return False
    if any(word in NO_NAMES for word in folded) or len(text) > 40:
        return False
    if strict and not words[0][:1].isupper():
        return False
    capital = sum(word[:1].isupper() for word in words)
    return capital == len(words) or (len(words) >= 3 and words[1] in ("and", "und", "&", "et", "y") and capital >= 2)
