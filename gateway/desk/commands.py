"""Reading commands out of an agent's own new text, and out of the subject of a new mail (mail.md 13).

Two things must never happen: a mistyped private command that reaches the customer, and a line of text that gets lost.
So in doubt at the top of a mail everything is held, and in doubt further down everything is text. Whether a command may
take effect is decided elsewhere; reading proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.desk.argument_words import in_english
from gateway.desk.spelling import did_you_mean, find_verb, normalise, original_tail, vocabulary
from gateway.desk.verbs import BY_NAME, CONTRADICTIONS, STATUS_VERBS, examples_for, fits
from gateway.model import Command, Orders
from gateway.settings import Commands

_WORD = re.compile(r"[^\W\d_][^\s:=]*")
_BEFORE_ARGUMENT = re.compile(r"\s+=\s+|[:=]\s*|\s+|\Z")
_NUMBER = re.compile(r"#?([0-9]{1,8})[.!]*\Z")
_DRESS = r"(?:[\s*_~`\"'()\[\]<\u2022\u2023\u25e6\u25aa\u25ab\u25cf\u25cb\u00b7-]|[0-9]{1,2}[.)]\s){1,12}"
"""What lists, bold type and quotation marks put before a command: "* #note", "1. #claim", "*#note*"."""
_LETTERS = re.compile(r"\s{0,3}([^\W\d_]+)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_MARKS = ".!,;"
"""What people and phones put behind a word; a question mark asks something, so it is no command."""
_FREE = ("text", "opttext", "asked")
"""Arguments that are somebody's words, marks and all."""
_INDENT = 3  # blanks before a command further down; more is code
_BARE_WORDS = 4
_MISTAKES = 20  # so many lines are looked up in the table of verbs; the mail is held long before
_HELD_WORDS = ("send", "note", "discard")
_ACTION_TOKEN = re.compile(r"[a-z2-7]{17}\Z")
_ACTION_TICKET = re.compile(r"([1-9][0-9]{0,7})(?:\.(0|[1-9][0-9]{0,4}))?\Z")


@dataclass(frozen=True, slots=True)
class Language:
    """The site's own settings of the grammar, made ready."""

    names: Mapping[str, str]
    prefixes: str
    sign: str
    """The prefix that counts everywhere: "#", unless the site took it away."""

    def find_dressed(self, plain: str, least: int = 1) -> str:
        """The verb, by its full name, of a command that begins its line but for a bullet, bold type or quotation marks.

        ``least`` 0: also one with nothing but blanks before or behind the sign.
        """
        before = re.match(_DRESS, plain)
        start = before.end() if before else 0
        if not self.sign or start < least or not plain.startswith(self.sign, start):
            return ""
        word = _LETTERS.match(plain, start + len(self.sign))
        return find_verb(word[1], self.names, beginnings=False) if word else ""

    @classmethod
    def of(cls, rules: Commands) -> Language:
        sign = "#" if "#" in rules.prefixes else rules.prefixes[:1]
        return cls(vocabulary(rules.aliases), rules.prefixes, sign)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line, read: a command, a mistake (``bad``), or text."""

    text: str
    command: Command | None = None
    bad: bool = False
    hint: str | None = None


@dataclass(slots=True)
class _Reading:
    """What was found so far, top to bottom."""

    commands: list[Command] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    bad: list[_Line] = field(default_factory=list)

    def take(self, line: _Line, original: str) -> None:
        if line.bad:
            self.bad.append(_Line(original.strip(), bad=True, hint=line.hint))
        elif line.command is None:
            self.text.append(line.text)
        else:
            self.commands.append(line.command)
            if line.command.verb == "note" and line.text:
                self.notes.append(line.text)


def read_commands(text: str, context: str, rules: Commands) -> Orders:
    """What an agent's own new text asks for (rules R1 to R6, R8, R9).

    ``text`` is free of quotes and signature. ``context`` says what the mail answers: "ticket", "list" (digest, search
    result, report: there is no customer) or "held" (a notice that something was not sent). Never raises; time is
    linear in the text. Every line that is no command, and no mistake at the top, is in ``Orders.text``; command lines
    never are. With ``held`` nothing may be done: ``others`` keeps the commands that were understood.
    """
    language = Language.of(rules)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    filled = [line for line in lines if normalise(line).strip()]
    if len(filled) == 1:
        orders = _read_single(filled[0], context, rules, language)
        if orders is not None:
            return orders
    reading = _Reading()
    rest = _read_top(lines, reading, language)
    _read_below(lines[rest:], reading, language)
    return _judge(reading, context)


def _read_single(line: str, context: str, rules: Commands, language: Language) -> Orders | None:
    """The mail that is one line without a prefix (R3), a number (R8) or one word about held text (R9)."""
    plain = normalise(line).strip()
    number = _NUMBER.match(plain)
    if context == "list" and number:
        return Orders(commands=(Command("show", number[1]),), bare=True)
    words = plain.rstrip(".!").split()
    if not words or len(words) > _BARE_WORDS:
        return None
    first = words[0].lower()
    if context == "held" and len(words) == 1 and first in _HELD_WORDS:
        return Orders(commands=(Command(first),), internal=first == "note", bare=True)
    verb = BY_NAME.get(first)
    if not rules.bare_words or verb is None or first not in verb.bare:
        return None
    argument = _in_words(verb.name, plain.rstrip(".!")[len(words[0]) :].strip(), language)
    if _argument_fits(verb.name, argument, language):
        return Orders(commands=(Command(verb.name, argument),), bare=True)
    if not argument:  # "snooze": certainly not meant for the customer
        return Orders(text=line.strip(), held=True, bad_line=line.strip())
    return None


def _read_top(lines: Sequence[str], reading: _Reading, language: Language) -> int:
    """Read the block of commands at the top (R1); the index of the first line that is not part of it."""
    for index, line in enumerate(lines):
        if not normalise(line).strip():
            continue
        found = _read_top_line(line, language, guess=len(reading.bad) < _MISTAKES)
        if found is None:
            return index
        reading.take(found, line)
    return len(lines)


def _read_top_line(line: str, language: Language, guess: bool = True) -> _Line | None:
    """A command or a mistake at the top of a mail; None for text, which ends the block."""
    plain = normalise(line)
    start = len(plain) - len(plain.lstrip())
    prefix = plain[start]
    if prefix not in language.prefixes:
        # What mail programs make of a list or of bold type: "* #note she is rude" must not reach her.
        return _Line("", bad=True) if language.find_dressed(plain) else None
    start += 1
    if prefix == language.sign:  # "# close": keyboards add the blank
        start += len(plain[start:]) - len(plain[start:].lstrip(" "))
    word = _WORD.match(plain, start)
    if word is None:
        return None
    verb = find_verb(word[0], language.names) or find_verb(word[0].rstrip(_MARKS), language.names)
    if verb:
        return _read_argument(verb, line, plain, word.end(), language)
    hints = did_you_mean(_letters(word[0]), language.names) if guess else ()
    if prefix == "/" and ("/" in word[0] or len(word[0]) < 4 or not (hints or not guess)):
        return None  # a path, "/me waves"
    return _Line("", bad=True, hint=hints[0] if hints else "help")


def _letters(word: str) -> str:
    """What of a mistyped word may be a verb: "note,he" is a slip of "note"."""
    return re.split(r"[.,;!?/()'\"]", word, maxsplit=1)[0]


def _read_argument(verb: str, line: str, plain: str, end: int, language: Language) -> _Line:
    """The command with its argument, or a mistake when the argument does not fit the verb."""
    gap = _BEFORE_ARGUMENT.match(plain, end)
    start = gap.end() if gap else end
    argument = plain[start:].strip()
    if BY_NAME[verb].argument not in _FREE:
        argument = argument.rstrip(_MARKS + " ")
    argument = _in_words(verb, argument, language)
    if not _argument_fits(verb, argument, language):
        return _Line("", bad=True)
    said = original_tail(line, start).strip() if verb == "note" else ""
    return _Line(said, command=Command(verb, argument))


def _in_words(verb: str, argument: str, language: Language) -> str:
    """The argument as it was written, or in the words of the grammar where only those fit ("mo 9 uhr")."""
    kind = BY_NAME[verb].argument
    # Nearly everything has the form of an absence, so its words are always looked at.
    said = argument if kind != "away" and _argument_fits(verb, argument, language) else in_english(kind, argument)
    return said if said.lower() != argument.lower() and _argument_fits(verb, said, language) else argument


def _argument_fits(verb: str, argument: str, language: Language) -> bool:
    kind = BY_NAME[verb].argument
    if kind == "verb":  # "Help me" is text: the argument has to name a verb
        return not argument or bool(" " not in argument and find_verb(argument.lstrip("#"), language.names))
    return fits(kind, argument)


def _read_below(lines: Sequence[str], reading: _Reading, language: Language) -> None:
    """Read the text: a line that is exactly a command counts (R2), ``##`` is a literal ``#`` (R4)."""
    code = _fenced(lines)
    for index, line in enumerate(lines):
        found = None if index in code else _read_lower_line(line, language)
        if found is None and index not in code and language.find_dressed(normalise(line), least=0) == "note":
            found = _Line("", bad=True)  # meant to stay inside, or it would not say so: asked rather than sent
        reading.take(found or _Line(line), line)


def _read_lower_line(line: str, language: Language) -> _Line | None:
    plain = normalise(line)
    start = len(plain) - len(plain.lstrip(" "))
    if not language.sign or not plain.startswith(language.sign, start):
        return None
    if plain.startswith(language.sign * 2, start):
        literal = original_tail(line, start + 1)
        return _Line(line[: len(line) - len(original_tail(line, start))] + literal)
    word = _WORD.match(plain, start + 1)
    verb = _find_lower_verb(word[0], plain[word.end() :], language) if word and start <= _INDENT else ""
    if not word or not verb:
        return None
    found = _read_argument(verb, line, plain, word.end(), language)
    return None if found.bad else found


def _find_lower_verb(word: str, rest: str, language: Language) -> str:
    """A full verb or alias. A mark behind it is forgiven at the end of the line, and where text would be published."""
    verb = find_verb(word, language.names, beginnings=False)
    if not verb:
        verb = find_verb(word.rstrip(_MARKS), language.names, beginnings=False)
        verb = verb if verb == "note" or not rest.strip() else ""
    return verb


def _fenced(lines: Sequence[str]) -> frozenset[int]:
    """Indices of lines between ``` fences: instructions for a customer are not commands to us (security.md 5.2).

    A fence that is never closed is none, else one stray mark would publish a ``#note`` further down.
    """
    inside: set[int] = set()
    opened, mark = -1, ""
    for index, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if opened < 0:
            opened, mark = index, fence[1]
        elif fence[1].startswith(mark) and not line[fence.end() :].strip():
            inside.update(range(opened, index + 1))
            opened = -1
    return frozenset(inside)


def _judge(reading: _Reading, context: str) -> Orders:
    """All lines together: contradictions, mistakes, mails without a command where there is no customer."""
    text = "\n".join((*reading.notes, *_without_blank_ends(reading.text)))
    commands = tuple(reading.commands)
    verbs = {STATUS_VERBS.get(c.argument.lower(), c.verb) if c.verb == "status" else c.verb for c in commands}
    contradicts = any(pair <= verbs for pair in CONTRADICTIONS)
    internal = "note" in verbs or bool(text and verbs & {"spam", "block"})
    if reading.bad or contradicts:
        return Orders(
            text=text,
            held=True,
            hint=reading.bad[0].hint if reading.bad else None,
            bad_line="\n".join(line.text for line in reading.bad),
            internal=internal and "send" not in verbs,
            others=commands,
        )
    if not commands and text and context in ("list", "held"):
        return Orders(text=text, held=True)
    return Orders(commands=commands, text=text, internal=internal)


def _without_blank_ends(lines: Sequence[str]) -> Sequence[str]:
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    kept = list(lines[start:end])
    if kept:
        kept[-1] = kept[-1].rstrip()
    return kept


def explain_mistake(orders: Orders, rules: Commands, role: str) -> dict[str, str]:
    """Why orders are held, for their author: ``verb`` and ``value`` that do not go together, or ``usage``, how the verb
    is written whose argument nobody understood (examples, one a line; what ``role`` may use). Empty where the hint says
    it.
    """
    if not orders.bad_line:
        verbs = [STATUS_VERBS.get(c.argument.lower(), c.verb) if c.verb == "status" else c.verb for c in orders.others]
        pair = next((pair for pair in CONTRADICTIONS if pair <= set(verbs)), None)
        return dict(zip(("verb", "value"), sorted(pair, key=verbs.index), strict=True)) if pair else {}
    line = normalise(orders.bad_line.partition("\n")[0])
    language = Language.of(rules)
    dressed = "" if orders.hint else language.find_dressed(line)
    if not orders.hint and language.find_dressed(line, least=0) == "note":
        dressed = "note"  # any words fit it: only its place can be wrong
    if dressed:
        return {"dressed": dressed}
    word = None if orders.hint else _WORD.search(normalise(orders.bad_line))
    verb = find_verb(word[0], Language.of(rules).names) if word else ""
    return {"usage": "\n".join(examples_for(verb, role))} if verb else {}


def stands_at_top(wanted: str, text: str, rules: Commands) -> bool:
    """Whether a line of the block of commands at the top (R1) is this verb, its argument right or wrong."""
    language = Language.of(rules)
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        plain = normalise(line).strip()
        if not plain:
            continue
        if plain[0] not in language.prefixes or _read_top_line(line, language, guess=False) is None:
            return False
        word = _WORD.match(plain[1:].lstrip(" "))
        if word is not None and find_verb(word[0], language.names) == wanted:
            return True
    return False


# ------------------------------------------------------------------ subjects (R7)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectReading:
    """What the subject of a mail without ticket is; looked at for proven agents only."""

    kind: str = "plain"
    """"action" (a one-tap link; its token is not verified here), "command", "held" or "plain"."""
    command: Command | None = None
    ticket: int = 0
    event: int = 0
    token: str = ""
    hint: str | None = None


def read_subject(subject: str, rules: Commands) -> SubjectReading:
    """The subject as a one-tap action, a command, a mistake or an ordinary subject (R7). Never raises."""
    language = Language.of(rules)
    plain = " ".join(normalise(subject).split())
    if language.sign and plain.startswith(language.sign):
        return _read_command_subject(plain[1:], language)
    return _read_action_subject(plain, language) or SubjectReading()


def _read_command_subject(plain: str, language: Language) -> SubjectReading:
    word = _WORD.match(plain)
    if word is None:
        return SubjectReading()
    verb = find_verb(word[0], language.names)
    if not verb:
        hints = did_you_mean(_letters(word[0]), language.names)
        return SubjectReading(kind="held", hint=hints[0] if hints else "help")
    found = _read_argument(verb, plain, plain, word.end(), language)
    if found.bad or not BY_NAME[verb].subject:
        return SubjectReading(kind="held")
    return SubjectReading(kind="command", command=found.command)


def _read_action_subject(plain: str, language: Language) -> SubjectReading | None:
    words = plain.split(" ")
    if len(words) < 2 or not _ACTION_TOKEN.match(words[-1].lower()):
        return None
    ticket = _ACTION_TICKET.match(words[-2])
    order = words[: -2 if ticket else -1]
    verb = find_verb(order[0], language.names, beginnings=False) if order else ""
    argument = " ".join(order[1:])
    if not verb or not _argument_fits(verb, argument, language):
        return None
    return SubjectReading(
        kind="action",
        command=Command(verb, argument),
        ticket=int(ticket[1]) if ticket else 0,
        event=int(ticket[2] or 0) if ticket else 0,
        token=words[-1].lower(),
    )
