"""What a mail's commands ask the store beyond the facts, and what it answers: values only.

The desk asks (desk/asking.py says which questions the orders raise), the store answers (store/answers.py), the pipeline
carries both, so that rules stay pure and the store knows no verbs. A question is its own key: equal questions have one
answer. All of them are about the inboxes named in them and nothing else; who may see which is the desk's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.model import Attachment, Person, State

UNSOLVED = (State.NEW, State.OPEN, State.WAITING, State.SNOOZED)
"""States of tickets somebody still has to do with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketLine:
    """One ticket as lists show it."""

    number: int
    inbox: str
    subject: str  # the title where one was given
    state: State
    created_at: datetime
    changed_at: datetime
    owner: Person | None = None
    customer: Person | None = None
    snoozed_until: datetime | None = None
    waits_since: datetime | None = None  # oldest mail of a customer that nobody answered; None: nothing waits
    snippet: str = ""  # what was found, in its surroundings
    tags: tuple[str, ...] = ()
    reopened: bool = False  # a mail opened it after it was closed, and no agent has touched it since


@dataclass(frozen=True, slots=True)
class Listing:
    """Tickets in these states, newest first. -> tuple[TicketLine]

    ``owner``: a party, 0 nobody's, None anybody's; ``customer``: a party, 0 anybody's.
    """

    inboxes: tuple[str, ...]
    states: tuple[State, ...] = UNSOLVED
    owner: int | None = None
    limit: int = 500
    customer: int = 0


@dataclass(frozen=True, slots=True)
class Changed:
    """Tickets that something happened to since, which ``party`` has or had a hand in before. -> tuple[TicketLine]"""

    inboxes: tuple[str, ...]
    since: datetime
    party: int
    limit: int = 200


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a search. ``field``: "", from, to, subject (words), tag, owner (party, 0 nobody), is, has, after,
    before (ISO time)."""

    field: str
    value: str
    exact: bool = False  # whole words in this order; else the last one may go on
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Tickets with all of these, newest first. -> tuple[TicketLine], at most ``limit`` + 1: then there are more"""

    inboxes: tuple[str, ...]
    terms: tuple[Term, ...]
    limit: int = 25


@dataclass(frozen=True, slots=True)
class Originals:
    """The mails of a ticket as they came, oldest first; those of ``events`` when some are named. -> tuple[Original]

    ``bare``: without their octets, for whoever wants no more than to know them by their SHA-256.
    """

    ticket: int
    events: tuple[int, ...] = ()
    bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """One mail as it came. ``files``: its parts, if it was read once more for them (unpacking.py); None: it was not."""

    event: int
    raw: bytes
    sha256: str = ""
    files: tuple[Attachment, ...] | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """The mails sent for some events, (ticket, event) each, oldest first; with what was attached. -> tuple[Copy]"""

    places: tuple[tuple[int, int], ...]
    files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One mail to one person, and what became of it. ``state``: queued, transmitting, deferred, held, sent, failed,
    unknown."""

    ticket: int
    event: int
    party: int
    recipient: str
    state: str
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Stopped:
    """Mail of these inboxes that waits for a lead, newest first. -> tuple[StoppedMail]"""

    inboxes: tuple[str, ...]
    since: datetime | None = None
    limit: int = 200
    rows: tuple[int, ...] = ()  # only these
    raw: bool = False  # with the mail as it came


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedMail:
    """One held or quarantined mail."""

    row: int  # its number in the journal
    author: str
    reason: str
    at: datetime
    subject: str = ""  # as it was written
    proven: bool = False  # that the author wrote it
    ticket: int = 0
    event: int = 0  # the held event of the ticket it waits beside; 0 none
    quarantine: bool = False  # loops, floods, blocked senders; else it waits beside a ticket
    raw: bytes | None = None  # None: not asked for, or not kept any more


@dataclass(frozen=True, slots=True)
class Log:
    """What happened in these inboxes in [since, until), for figures. -> EventLog"""

    inboxes: tuple[str, ...]
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One event without its text."""

    ticket: int
    number: int
    kind: str
    at: datetime
    party: int = 0
    public: bool = False
    answers: int = 0  # the event it answers, takes back or is about
    state: str = ""  # what the ticket became with it; "": it stayed as it was
    source: int = 0  # the ticket a merge or split copied it from; of an undone merge, the ticket that left


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """``lines``: all events, of all time, of every ticket that something happened to in the period, oldest first.

    ``tickets``: when each of those was opened; ``inboxes`` and ``tags``: where each is and what it is tagged with now.
    ``unsolved``: what is open at the time of asking.
    """

    lines: tuple[LogLine, ...] = ()
    tickets: Mapping[int, datetime] = field(default_factory=dict)
    inboxes: Mapping[int, str] = field(default_factory=dict)
    tags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    unsolved: tuple[TicketLine, ...] = ()


Question = Listing | Changed | Search | Originals | Copies | Stopped | Log
Answer = tuple[TicketLine, ...] | tuple[Original, ...] | tuple[Copy, ...] | tuple[StoppedMail, ...] | EventLog
Answers = Mapping[Question, Answer]


def with_files(answers: Answers, unpacked: Mapping[str, tuple[Attachment, ...]]) -> Answers:
    """The answers, each mail among them with the files that were read of it."""

    def filled(answer: Answer) -> Answer:
        if not isinstance(answer, tuple):
            return answer
        return tuple(  # type: ignore[return-value]
            replace(one, files=unpacked.get(one.sha256)) if isinstance(one, Original) else one for one in answer
        )

    return {question: filled(answer) for question, answer in answers.items()} if unpacked else answers
