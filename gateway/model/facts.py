"""What the store remembers that bears on one mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.model.findings import Attachment


class State(StrEnum):
    """Ticket states (mail.md 16)."""

    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    SNOOZED = "snoozed"
    CLOSED = "closed"
    SPAM = "spam"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A party: the number of a person inside this installation, for ever."""

    party: int
    address: str
    name: str = ""
    agent: str = ""  # handle; "" for everybody else
    known: bool = True  # had proven mail filed before: the name may be shown (security.md 7.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFact:
    """One numbered line of a ticket's history, as recalled."""

    number: int
    kind: str
    at: datetime
    party: int = 0
    public: bool = False
    text: str = ""
    message_id: str = ""  # of the mail received or sent (sent: one per recipient, see MessageIdFact)
    reason: str = ""
    answers: int = 0  # event this one answers; 0 none
    attachments: tuple[str, ...] = ()
    journal: int = 0  # row of the mail it came from; 0 none
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageIdFact:
    """A Message-ID this installation knows. ``party`` 0: received; else issued to that party."""

    message_id: str
    ticket: int
    event: int
    party: int = 0
    at: datetime | None = None
    public: bool = True  # participants have seen it (never offer an internal id to a customer)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFact:
    """A held mail that belongs to a ticket: its event, whose it is, what it says, whether it was decided."""

    ticket: int
    event: int
    party: int  # author, as known at the time; 0 nobody
    reason: str
    text: str
    commands: tuple[tuple[str, str], ...] = ()
    answered: int = 0  # event number the held mail answered
    journal: int = 0
    resolution: str = ""  # "", sent, noted, discarded, admitted, expired
    internal: bool = False
    bad_line: str = ""  # the command line that held it
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFacts:
    """One ticket as it stands when the row is locked."""

    number: int
    uuid: str
    inbox: str
    subject: str
    state: State
    created_at: datetime
    owner: Person | None = None
    customer: Person | None = None
    participants: tuple[Person, ...] = ()  # customer first, then those added with #cc
    thirds: tuple[Person, ...] = ()  # who was written to beside the customer (#ask); never participants
    authors: tuple[Person, ...] = ()  # whoever wrote or did something, a former owner too; for names, never for sending
    last_event: int = 0
    root: str = ""  # stored root Message-ID (mail.md 5.2)
    closed_at: datetime | None = None
    snoozed_until: datetime | None = None
    events: tuple[EventFact, ...] = ()  # all, oldest first
    message_ids: tuple[MessageIdFact, ...] = ()
    held: tuple[HeldFact, ...] = ()
    merged_into: int = 0
    priority: str = "normal"
    tags: tuple[str, ...] = ()
    watchers: tuple[int, ...] = ()  # parties that get copies
    muted: tuple[int, ...] = ()  # parties that want no mail of it
    title: str = ""  # shown in lists in place of the subject, which mails keep for ever; "" none


@dataclass(frozen=True, slots=True)
class Absence:
    """An agent who said ``#away``: until when (None: until ``#back``) and who gets the mail meanwhile (handle, "")."""

    until: datetime | None = None
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingNotice:
    """A notification of a customer's mail that waits to be sent: the batch, or its recipient's quiet hours, go on."""

    event: int
    party: int
    due_at: datetime
    files: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store knows that bears on one mail, read in the transaction that records the plan."""

    author: Person | None = None  # person with the author's address
    author_agent: str = ""  # handle of an enabled agent with this address (registered or "also"); "" none
    persons: Mapping[int, Person] = field(default_factory=dict)  # parties named by tokens
    known_ids: Mapping[str, MessageIdFact] = field(default_factory=dict)
    tickets: Mapping[int, TicketFacts] = field(default_factory=dict)  # candidates
    replayed: int = 0  # another journal row with the same signed data; 0 none
    same_id: int = 0  # another journal row with the same (author, Message-ID); 0 none
    sibling: MessageIdFact | None = None  # event of a sibling copy (mail.md 7.1)
    acks_to_author: int = 0  # acknowledgements to this address within 24 h
    acks_last_hour: int = 0
    mails_to_ticket: Mapping[int, int] = field(default_factory=dict)  # ticket -> mails of this author within the hour
    new_tickets_by_author: int = 0  # within the hour
    begun_by_agent: int = 0  # tickets the author, an agent, began with #new within the hour, from any own address
    same_body_ticket: int = 0  # ticket of a mail with the same body within 24 h; 0 none
    recent_subjects: Mapping[int, str] = field(default_factory=dict)  # ticket -> subject, the author wrote to it lately
    agents: Mapping[str, Person] = field(default_factory=dict)  # handle -> party of every agent
    away: Mapping[str, Absence] = field(default_factory=dict)  # handle -> absence, of those away now
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # what agents set by mail (mail.md 14)
    blocked: bool = False  # the author's mail goes to quarantine (#block)
    guesses: int = 0  # wrong tokens in other mails of this client within the hour
    guess_alarms: int = 0  # alarms about wrong tokens of anybody within the hour
    # What the commands of an agent's mail name, looked up once they are read:
    named: Mapping[str, Person] = field(default_factory=dict)  # folded address -> person
    fresh: TicketFacts | None = None  # the ticket that #split opens
    unsent: frozenset[int] = frozenset()  # events of this ticket whose mails all still wait to be sent
    blocks: frozenset[str] = frozenset()  # named addresses that are blocked now
    pending: tuple[PendingNotice, ...] = ()  # notifications of this ticket that were not sent yet
    # What a new ticket is offered by (mail.md 15):
    answered_by: int = 0  # party of the agent who last answered this customer, within offer.sticky; 0 nobody
    loads: Mapping[int, int] = field(default_factory=dict)  # party of an agent -> own tickets in which a customer waits
