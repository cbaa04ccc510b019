"""The vocabulary of mail commands: one row a verb, one pattern an argument (mail.md 14).

Nothing here acts; commands.py reads with it, the plan acts on it, ``#help`` prints it. A test holds this table to
``tests/rules/commands.cases``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.model import Command

LONGEST_ARGUMENT = 300
"""Characters; a longer argument fits nothing but free text. It also bounds every pattern below."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: its names, what must follow, where it may stand, who may use it."""

    name: str
    also: tuple[str, ...] = ()
    argument: str = "none"
    """A key of :data:`ARGUMENTS`."""
    bare: tuple[str, ...] = ()
    """Names that are the command when they are the whole mail. No natural answers: "Done" goes to the customer."""
    subject: bool = False
    """May be the subject of a new mail, because it needs no ticket."""
    who: str = "agent"
    """"agent" (agents and leads), "lead" or "all" (observers too)."""
    synopsis: str = ""
    """The argument as ``#help`` shows it."""
    effect: str = ""
    """One line for ``#help``."""

    def allows(self, role: str) -> bool:
        """Whether a person of this role ("agent", "lead", "observer") may use the verb (mail.md 16)."""
        return role == "lead" or self.who == "all" or (self.who == "agent" and role == "agent")


VERBS = (
    # owning
    Verb("claim", ("take", "mine", "own"), bare=("claim", "take", "mine"), effect="the ticket is yours"),
    Verb("release", ("drop", "unassign"), bare=("release", "drop"), effect="give the ticket back to the pool"),
    Verb(
        "assign",
        ("assignee", "give", "to"),
        "who",
        ("assign",),
        synopsis="WHO",
        effect="that agent owns the ticket; your text goes to the customer, with #note to the colleague",
    ),
    Verb("ack", ("seen",), effect="I am on it: restarts the reminder clock, nothing is sent"),
    # what happens to the text
    Verb(
        "note",
        ("internal", "private"),
        "opttext",
        who="all",
        synopsis="[TEXT]",
        effect="the whole mail is internal and never sent to the customer",
    ),
    Verb("send", effect="send the held text now; in answer to a note: send this text to the customer"),
    Verb("discard", ("cancel",), bare=("discard",), effect="throw the held text or mail away"),
    Verb("undo", bare=("undo",), effect="take back the last command, or an answer that still waits"),
    # state and time
    Verb(
        "close",
        ("done", "solved", "solve", "resolve", "resolved"),
        bare=("close",),
        effect="close the ticket; your text is sent first; any human reply reopens it",
    ),
    Verb("open", ("reopen",), effect="state open; accepts the mail of an unproven or unknown sender"),
    Verb("wait", ("pending",), bare=("wait",), effect="state waiting: the customer has to answer"),
    Verb("status", (), "state", synopsis="STATE", effect="open, waiting or closed, in the words of other desks"),
    Verb(
        "snooze",
        ("hide",),
        "when",
        ("snooze",),
        synopsis="WHEN",
        effect="out of everybody's lists until then or until the customer writes",
    ),
    Verb(
        "followup",
        ("remind", "nudge"),
        "when",
        synopsis="WHEN",
        effect="stays waiting; reminds you if the customer stays silent",
    ),
    # the ticket
    Verb("merge", (), "numbers", synopsis="NUMBERS", effect="this ticket into the one named, further ones too"),
    Verb("split", (), "opttext", synopsis="[SUBJECT]", effect="the mail you answer becomes a ticket of its own"),
    Verb("move", ("queue",), "inbox", synopsis="INBOX", effect="to another inbox; old addresses keep working"),
    Verb("subject", ("title",), "text", synopsis="TEXT", effect="title in lists; the subject of mails stays"),
    Verb("prio", ("priority",), "prio", synopsis="low|normal|high|urgent", effect="priority"),
    Verb("tag", ("tags",), "tags", synopsis="TAGS", effect="#tag vip -old adds and removes"),
    Verb("untag", (), "tags", synopsis="TAGS", effect="removes tags"),
    # people
    Verb("cc", (), "address", synopsis="ADDRESS", effect="add a participant; the customer sees it"),
    Verb("uncc", (), "address", synopsis="ADDRESS", effect="remove a participant"),
    Verb("from", ("customer", "requester"), "address", synopsis="ADDRESS", effect="correct who the customer is"),
    Verb(
        "ask",
        (),
        "asked",
        synopsis="ADDRESS [SUBJECT]",
        effect="your text goes to that address alone; the answers come to you, the customer sees none of it",
    ),
    Verb(
        "new",
        (),
        "asked",
        synopsis="ADDRESS [SUBJECT]",
        effect="first line of a new mail to the inbox: your text goes to that customer and opens a ticket of yours",
    ),
    Verb("watch", ("follow",), bare=("watch",), who="all", effect="copies without owning"),
    Verb("mute", ("unwatch", "unfollow"), bare=("mute",), who="all", effect="nothing more of this ticket"),
    # spam
    Verb("spam", (), "rows", ("spam",), synopsis="[ROWS]", effect="close as spam; your text becomes a note"),
    Verb(
        "notspam",
        ("ham", "unblock"),
        "rows",
        ("notspam",),
        synopsis="[ROWS]",
        effect="no spam after all; a lead lets mail of #list quarantine in: #notspam q17",
    ),
    Verb(
        "block",
        (),
        "rows",
        who="lead",
        synopsis="[ROWS]",
        effect="mail of this sender goes to quarantine from now on",
    ),
    # reading
    Verb("show", (), "showref", (), True, "all", "[NUMBER] [raw|files|all]", "the ticket by mail"),
    Verb("history", (), "ref", (), True, "all", "[NUMBER]", "its events, one line each"),
    Verb("list", (), "list", ("list",), True, "all", "[mine|free|late|snoozed|all|quarantine]", "tickets"),
    Verb("search", ("find",), "text", (), True, "all", "QUERY", "tickets with these words"),
    Verb("export", (), "ref", (), True, "agent", "[NUMBER]", "the mails, attachments and data of a ticket as .zip"),
    Verb("report", ("stats",), "report", (), True, "lead", "[PERIOD] [AGENT] | off", "numbers of a week or month"),
    Verb("help", (), "verb", ("help",), True, "all", "[VERB]", "all commands, or one"),
    # own settings
    Verb("digest", (), "digest", (), True, "all", "[off|daily|hourly|now]", "your digest"),
    Verb("quiet", (), "quiet", (), True, "all", "[18-8|off]", "no mail in these hours, except escalations"),
    Verb("away", ("ooo",), "away", (), True, "all", "[until WHEN] [to WHO]", "new mail goes to the pool or to WHO"),
    Verb("back", (), "none", (), True, "all", "", "end of away"),
    Verb("timezone", ("tz",), "zone", (), True, "all", "ZONE", "your time zone, such as Europe/Berlin"),
    Verb("also", (), "address", (), False, "all", "ADDRESS", "one more address you write from"),
)
"""Every command, in the order of ``#help``."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "ask": ("#ask parts@example.com", "#ask parts@example.com Order 4711"),
    "new": ("#new jane@example.com", "#new jane@example.com Your order 4711"),
    "assign": ("#assign bob", "#assign bob@example.com"),
    "note": ("#note she is a friend of Bob's", "#note"),
    "status": ("#status solved", "#status pending"),
    "snooze": ("#snooze 3d", "#snooze mon 9am", "#snooze 2026-12-12 14:00"),
    "followup": ("#followup 3d", "#followup next week"),
    "merge": ("#merge 4801", "#merge 4801, 4802"),
    "split": ("#split", "#split Printer on the second floor"),
    "move": ("#move billing",),
    "subject": ("#subject Licences of the Berlin office",),
    "prio": ("#prio high", "#prio 1"),
    "tag": ("#tag vip", "#tag vip -old"),
    "untag": ("#untag vip",),
    "cc": ("#cc tom@example.com",),
    "uncc": ("#uncc tom@example.com",),
    "from": ("#from jane@example.com",),
    "spam": ("#spam", "#spam q17"),
    "notspam": ("#notspam", "#notspam q17"),
    "block": ("#block", "#block q17"),
    "show": ("#show 4827", "#show 4827 raw", "#show files"),
    "history": ("#history", "#history 4827"),
    "list": ("#list", "#list mine", "#list free", "#list late", "#list snoozed", "#list all", "#list quarantine"),
    "search": ("#search invoice jane", '#search "exact words" is:open after:2026-10-01'),
    "export": ("#export 4827",),
    "report": ("#report", "#report week 46", "#report alice october", "#report off"),
    "help": ("#help", "#help snooze"),
    "digest": ("#digest now", "#digest hourly", "#digest off"),
    "quiet": ("#quiet 18-8", "#quiet off"),
    "away": ("#away", "#away until fri", "#away until 12 dec to bob"),
    "timezone": ("#timezone Europe/Berlin",),
    "also": ("#also alice@phone.example.com",),
}
"""Verb -> how it is written, for ``#help VERB``; a verb without any is written as its name."""

_LEADS_OWN = re.compile(r"\bquarantine\b|\bq\d+\b")
"""In an example: the list of stopped mail and its rows, which are for leads."""


def examples_for(verb: str, role: str) -> tuple[str, ...]:
    """How a verb is written, one example each, less what a person of this role may not do."""
    lines = EXAMPLES.get(verb, (f"#{verb}",))
    return lines if role == "lead" else tuple(line for line in lines if not _LEADS_OWN.search(line))


def synopsis_for(verb: Verb, role: str) -> str:
    """What may follow a verb when a person of this role writes it."""
    return verb.synopsis if role == "lead" else verb.synopsis.replace("|quarantine", "")


STATUS_VERBS = {
    **dict.fromkeys(("solved", "closed", "resolved", "done"), "close"),
    **dict.fromkeys(("pending", "waiting"), "wait"),
    **dict.fromkeys(("open", "reopen", "new"), "open"),
}
"""What ``#status STATE`` means."""


def plain(command: Command) -> str:
    """The verb that is meant: ``#status solved`` is ``#close``."""
    return STATUS_VERBS.get(command.argument.strip().lower(), "") if command.verb == "status" else command.verb


CONTRADICTIONS = (
    frozenset(("note", "send")),
    frozenset(("close", "open")),
    frozenset(("send", "discard")),
    frozenset(("claim", "release")),
    frozenset(("spam", "notspam")),
    frozenset(("watch", "mute")),
    frozenset(("ask", "note")),
    frozenset(("ask", "send")),
    frozenset(("ask", "discard")),
)
"""Pairs of verbs that hold a mail when both stand in it."""

_WHEN = r"""(?x)(?:(?:in|until|till|on|at)\s+)?(?:
   \d+\s*(?:m|min|minutes?|h|hours?|d|days?|w|weeks?|months?)
 | (?:today|tomorrow
     |(?:next\s+)?(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)
     |next\s+(?:week|month)
     |\d{1,2}\.?\s?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?:\s\d{4})?
     |\d{4}-\d\d-\d\d)
   (?:,?\s+(?:at\s+)?(?:\d{1,2}(?::\d\d)?\s?(?:am|pm)|\d{1,2}:\d\d))?
 )"""

ARGUMENTS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "none": r"",
        "who": r"[\w.@+-]+",
        "inbox": r"[\w.-]+",
        "when": _WHEN,
        "numbers": r"#?\d+(?:[ ,]+#?\d+)*",
        "rows": r"(?:q?\d+(?:[ ,]+q?\d+)*)?",
        "showref": r"(?:#?\d+(?:\s+(?:raw|files|all))?|raw|files|all|q\d+)?",
        "ref": r"(?:#?\d+(?:\s+(?:raw|files|all))?|raw|files|all)?",
        "text": r".+",
        "opttext": r".*",
        # The grammar reads a leading "-" in two ways, which makes 2**n ways for n tags. The same language, read in one.
        "tags": r"\+?[\w/-]+(?:[ ,]+\+?[\w/-]+)*",
        "address": r"[^@\s]+@[^@\s]+",
        "asked": r"[^@\s]+@[^@\s]+(?:\s.*)?",
        "prio": r"low|normal|high|urgent|[1-4]",
        "state": r"open|reopen|new|pending|waiting|solved|closed|resolved|done",
        "list": r"(?:mine|free|late|snoozed|all|quarantine)?",
        "report": r"off|[\w .-]*",
        "digest": r"(?:off|daily|hourly|now)?",
        "quiet": r"(?:off|\d{1,2}(?::\d\d)?\s?-\s?\d{1,2}(?::\d\d)?)?",
        "away": r"(?:(?:until\s+)?[\w: .-]+?)?(?:\s*\bto\s+[\w.@+-]+)?",
        "zone": r"[\w+-]+(?:/[\w+-]+)*",
        "verb": r"[a-z]*",
    }.items()
}
"""Name of an argument -> what the whole of it must match. Whether a name or date exists is for the plan to say."""

BY_NAME: dict[str, Verb] = {name: verb for verb in VERBS for name in (verb.name, *verb.also)}
"""Every name of every verb, canonical and other."""


def fits(kind: str, argument: str) -> bool:
    """Whether ``argument`` has the form of this kind. Time is linear in its length for text, bounded otherwise."""
    if len(argument) > LONGEST_ARGUMENT and kind not in ("text", "opttext"):
        return False
    return ARGUMENTS[kind].fullmatch(argument.strip()) is not None


def describe(verb: str) -> str:
    """The line of ``#help`` for a verb by any of its own names, "" for no verb of ours."""
    found = BY_NAME.get(verb.lower())
    if found is None:
        return ""
    head = f"#{found.name} {found.synopsis}".rstrip()
    names = f" (also {', '.join('#' + name for name in found.also)})" if found.also else ""
    only = " Leads only." if found.who == "lead" else ""
    return f"{head} - {found.effect}{names}.{only}"
