"""Attribution lines: "On … Bob <b@x> wrote:" in many languages, on one line or wrapped over several.

What makes an attribution: somebody (name or address), and a date or a verb of writing, and nothing else; at the end a
colon. "On Friday Bob wrote that he agrees:" is prose. Where the quoted text below carries quote marks, less is needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.analysis.header_block import ADDRESS
from gateway.analysis.mail_words import WROTE

MAX_LINES = 4
MAX_LENGTH = 320

_ENDS = (":", "：", "wrote", "-", ">", "…", "écrit", ">:*", "wrote:*", "*")
_BRACKETED = re.compile(
    r"[<(\[]\s*(?:mailto:[^<>\n]{0,80}<)?[^\s<>()\[\]@]{1,64}@[^\s<>()\[\]@]{1,100}\s*[>)\]]"
    r"|&lt;\S{1,64}@\S{1,100}&gt;"
)
_CLOCK = r"(?:\d{1,2}[:.h]\d\d(?![\d.])|\d{1,2}時|下午|上午|오전|오후)"
_DAY = re.compile(
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,4}[./-][^\W\d_]{3,10}\.?[./-]\d{2,4}|年\s?\d|년\s?\d|(?:19|20)\d\d\b"
    r"|\d{1,2}\.?\s(?:de\s|tháng\s)?[^\W\d_]{3,12}|[^\W\d_]{3,12}\.?\s\d{1,2}\b|" + _CLOCK
)
_CLOCK_AT_END = re.compile(r"\d[:.]\d\d(?: ?[AaPp]\.?[Mm]\.?)?\)? ?[:：]$")
_GMAIL = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?: \d{1,2}:\d\d)?(?: GMT[+-]\d\d?:\d\d)? \S")
_REPORTED = re.compile(r"[^\W\d_] (?:mentioned|replied|responded|answered|asked|typed|quoth|spake|opined|stated)[:：]$")
_BLANKS = " \t\xa0\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # and marks of direction
_HINT = re.compile(r"[\d@]")
_FIRST_DIGIT = re.compile(r"\d")
_PROSE = re.compile(
    r"(?<!\w)(?:and|the|that|which|i|we|he|she|they|it|und|der|die|das|dass|ich|wir|er|sie|es|le|les|je|il|elle|nous|et|que"
    r"|los|las|yo|y|het|een|ik|hij|wij|e|o|io|jeg|vi|han|hun|hon|jag|i)(?!\w)",
    re.IGNORECASE,
)
_CONJUNCTIONS = frozenset(
    ("as", "like", "when", "what", "since", "because", "if", "wie", "als", "wenn", "comme", "quand", "como", "come")
)
# Behind the verb nothing but a day and a time of day
_WHEN = re.compile(r"\s(?:on|at|le|il|el|em|op|am)\s(?=.*\d[:.h]\d\d)[\w\s,./:()+-]{6,48}[:：]", re.IGNORECASE)
_PARTICLE = re.compile(r"(?<!\w)(?:v[ao]n der|v[ao]n het|de les|o/η|je oseba|[Kk]l\.?|[A-Z]\.)(?!\w)")
_WORDS = re.compile(r"[^\W\d_]+")
_DASHES = re.compile(r"^[-\s*>_]{2,}|[-\s*_]{2,}$")
_FINAL_ONLY = (
    "wrote",
    "a écrit",
    "a ecrit",
    "écrivait",
    "ha scritto",
    "ha escrito",
    "scrisse",
    "said",
    "says",
    "sent",
    "writes",
    "scrive",
    "pisze",
    "пишет",
)  # verbs that never stand before the name
_SAID_AFTER = re.compile(
    r"^[\s,]*(?:the following|following|le message suivant|következőt?|följande|dit|:)?[\s:：*_-]*$", re.IGNORECASE
)


def find_attribution(lines: Sequence[str], end: int, quoted_below: bool) -> tuple[int, str] | None:
    """(first line, what spoke for it) of the attribution that ends in ``lines[end]``; None when there is none.

    ``quoted_below``: the next line with words carries a quote mark. Costs at most MAX_LINES joined lines per call.
    """
    last = lines[end].strip(_BLANKS)
    if not last or len(last) > MAX_LENGTH or not (last.endswith(_ENDS) or (last[0].isdigit() and " GMT" in last)):
        return None
    near = "".join(lines[max(0, end - MAX_LINES - 1) : end + 1])
    if len(near) <= 2 * MAX_LENGTH and not (_HINT.search(near) or WROTE.search(near) or _REPORTED.search(last)):
        return None
    partial: tuple[int, str] | None = None
    joined, used, at = "", 0, end
    while at >= 0 and used < MAX_LINES + 2:
        line = lines[at].strip(_BLANKS)
        if not line:
            # Polymail and others break "<address>" off with an empty line on both sides.
            if at == end or not joined.startswith(("<", "mailto:", ">")):
                break
            at -= 1
            continue
        joined = f"{line} {joined}" if joined else line
        used += 1
        if len(joined) > MAX_LENGTH:
            break
        ground = _judge(_undress(joined))
        if ground == "full":
            return at, ground
        if ground and partial is None and used <= 2:
            partial = at, ground
        at -= 1
    if partial is None:
        return None
    if partial[1] == "address" or quoted_below:
        return partial
    return None


def _undress(text: str) -> str:
    """Dashes around it off; dashes behind it ("---- Bob wrote ----") do what a colon does."""
    if text[0] in "-*_" or text[-1] in "-*_":
        dashed = text[-1] in "-_" and text[0] in "-_"
        text = _DASHES.sub("", text).strip()
        if dashed and text and text[-1] not in ":：":
            text += ":"
    return text


def _judge(text: str) -> str:
    """ "full" (who, when, verb or colon), "address" (address and verb), "loose" (enough above quote marks), ""."""
    if not text:
        return ""
    colon = text[-1] in ":："
    verb = next(reversed(list(WROTE.finditer(text))), None)
    address = _BRACKETED.search(text) or (verb and ADDRESS.search(text))
    day = _DAY.search(text)
    if verb:
        return _judge_verb(text, verb, address is not None, day, colon)
    if day and _GMAIL.match(text) and (address or "GMT" in text) and (colon or text[-1] == ">" or "GMT" in text):
        return "full" if len(text) < 200 else ""
    if address and colon and day and (_opens_with_date(text, day) or _CLOCK_AT_END.search(text)) and len(text) < 200:
        return "full"
    if colon and len(text) < 80 and _REPORTED.search(text):
        return "loose"
    if colon and (address or (day and _opens_with_date(text, day))) and len(text) < 160:
        return "loose"
    return ""


def _judge_verb(text: str, verb: re.Match[str], address: bool, day: re.Match[str] | None, colon: bool) -> str:
    after, before = text[verb.end() :], text[: verb.start()]
    final = _SAID_AFTER.match(after) is not None
    if not final and colon and _WHEN.fullmatch(after) and _is_lone_name(before):
        return "full"  # "Jane Doe wrote on Mon, 23 Nov 2026, 09:58:", as we write it ourselves
    if not final and (not colon or verb[0].casefold() in _FINAL_ONLY):
        return ""
    if final:
        if day and (address or (_opens_with_date(text, day) and _names_somebody(before, day))):
            return "full"
        if address and len(before) < 160:
            return "address"
        return "loose" if len(before) < 80 and (colon or (before[:1].isupper() and len(before.split()) <= 4)) else ""
    # "Am 3.2.2016 schrieb Bob <b@x>:", "Bob <b@x> schrieb am Fr., 28. Apr. 2017 um 11:53 Uhr:"
    if day and (address or (_opens_with_date(text, day) and _is_name_or_date(before, after))):
        return "full"
    return "loose" if day or address else ""


def _is_lone_name(before: str) -> bool:
    """One to five words, the first with a capital, and no conjunction: "Jane Doe", not "As Jane"."""
    words = _WORDS.findall(before)
    return 1 <= len(words) <= 5 and not _PROSE.search(before) and words[0].casefold() not in _CONJUNCTIONS


def _is_name_or_date(before: str, after: str) -> bool:
    """Behind the verb stands a name, or a date when the name stands before it; not "schrieb ich Ihnen dies"."""
    rest = after.strip(" ,:：\"'“„«»")
    if not rest or len(rest.split()) > 8 or _PROSE.search(rest):
        return False
    first = rest[0]
    return (
        first.isupper()
        or first in "(<"
        or not first.isascii()
        or (_FIRST_DIGIT.search(rest) is not None and before[:1].isupper())
    )


def _opens_with_date(text: str, day: re.Match[str]) -> bool:
    first = _FIRST_DIGIT.search(text, 0, 48)
    return first is not None and len(text[: first.start()].split()) <= 4 and day.start() < 40


def _names_somebody(before: str, day: re.Match[str]) -> bool:
    """Between the date and the verb stands a name, not a clause."""
    tail = before[day.end() :]
    if "," in tail:
        tail = tail.rsplit(",", 1)[1]
    words = _WORDS.findall(tail)
    return len(words) <= 9 and not _PROSE.search(_PARTICLE.sub(" ", tail))
