"""What is decided: verdict, orders and the plan of one mail or timer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.model.arrival import Instruction
from gateway.model.facts import EventFact, HeldFact, MessageIdFact, Person, State
from gateway.model.findings import Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The policy table's answer: outcome, the row that fitted, what the author is and may."""

    outcome: str  # file, new, new-unproven, hold, wait, agents-only, report, repeat, agent
    reason: str = ""  # name of the row, as in security.md 5.1
    proven: bool = False
    role: str = "stranger"  # agent, party, stranger, machine
    unproven_filed: bool = False  # filed on a token alone (architecture 6.11): marked UNPROVEN in the notice
    quarantine: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command of an agent: canonical verb and its argument as written."""

    verb: str
    argument: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What an agent's own text asks for (commands.cases)."""

    commands: tuple[Command, ...] = ()
    text: str = ""
    held: bool = False
    hint: str | None = None  # with held: nearest verb, "help", or None when the verb is right but its argument is not
    bad_line: str = ""  # with held: the line nobody understood (several: joined by LF)
    internal: bool = False
    bare: bool = False  # recognised as a whole mail or list answer: nothing is sent to the customer
    others: tuple[Command, ...] = ()  # with held: the commands that were understood; nothing of them is done yet


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A line to be added to a ticket's history."""

    number: int
    kind: str  # mail, answer, relayed, ack, offer, note, held, claim, state, … (docs/architecture.md lists them)
    party: int = 0
    public: bool = False
    text: str = ""
    reason: str = ""
    answers: int = 0
    message_id: str = ""
    attachments: tuple[str, ...] = ()
    from_mail: bool = False  # came from the mail being processed (its journal row is recorded)
    data: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None  # None: now; a copy of an older event keeps its time
    journal: int = 0  # with a copy: the row of the mail it came from


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketChange:
    """New values of a ticket's columns; None leaves a column as it is. ``owner`` 0 means nobody."""

    state: State | None = None
    owner: int | None = None
    subject: str | None = None
    customer: int | None = None
    snoozed_until: datetime | None = None
    inbox: str | None = None
    priority: str | None = None
    tags: tuple[str, ...] | None = None
    watchers: tuple[int, ...] | None = None
    muted: tuple[int, ...] | None = None
    title: str | None = None
    merged_into: int | None = None
    add_participants: tuple[int, ...] = ()
    remove_participants: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A mail the plan wants sent: what it is about, in facts. outbound/notices finds the words and the headers.

    ``kind``: ack, answer, offer, assigned, customer-reply, answered, reminder, note, held, unproven, undelivered,
    forward, command, alert. One Notice becomes one mail per recipient, all with the notice's own event number.
    """

    kind: str
    event: int  # the notice's own event number
    recipients: tuple[Person, ...]
    about: int = 0  # event it reports; the answer itself for kind "answer"; the held event for kind "held"
    other: int = 0  # a second event: the colleague's answer of a collision
    author: Person | None = None  # whose words or deed it reports
    reason: str = (
        ""  # of a hold: collision, command, agent-token, agent-unproven, cut-line, author-unproven, unknown-sender …
    )
    text: str = ""  # text to carry where no event holds it (answer: what the customer reads, already clean)
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    quote: int = 0  # answer: event whose text is quoted below; 0 none
    in_reply_to: str = ""  # the mail it directly answers; "" means the root of the thread
    not_before: datetime | None = None  # waits so long for what may come
    data: Mapping[str, str] = field(default_factory=dict)  # further facts, documented in outbound/notices per kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSet:
    """A row with a due time. ``kind`` and ``ticket`` and ``party`` identify it: setting it again moves it."""

    kind: str
    due_at: datetime
    ticket: int = 0
    party: int = 0
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A frozen mail to be sent once more: where it was recorded first, and the event that the new delivery is."""

    ticket: int
    event: int
    party: int
    as_event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One mail or timer, decided: recorded in one transaction together with the mails it causes."""

    outcome: str
    reason: str = ""
    ticket: int = 0
    opens_ticket: bool = False
    inbox: str = ""
    subject: str = ""
    follows: int = 0
    events: tuple[NewEvent, ...] = ()
    change: TicketChange = TicketChange()
    held: tuple[HeldFact, ...] = ()
    resolved: tuple[tuple[int, str], ...] = ()  # (held event of this ticket, resolution)
    # (journal row, instruction): process these held mails again; None: judge them anew, by what is known now
    releases: tuple[tuple[int, Instruction | None], ...] = ()
    dropped: tuple[int, ...] = ()  # journal rows of held mail that are closed without effect
    notices: tuple[Notice, ...] = ()
    timers: tuple[TimerSet, ...] = ()
    clear_timers: tuple[str, ...] = ()  # kinds to clear on this ticket
    message_ids: tuple[MessageIdFact, ...] = ()  # ids of received mail to remember
    acknowledged: str = ""  # address that counts against the acknowledgement budget
    replay_keys: tuple[str, ...] = ()
    # (ticket and event it was sent for, party, what the report says): that delivery failed
    undelivered: tuple[tuple[int, int, int, str], ...] = ()
    beside: tuple[Plan, ...] = ()  # what happens to other tickets (merge, split), in the same transaction
    choices: tuple[tuple[str, str, str], ...] = ()  # (handle, name, value): own settings of agents
    blocks: tuple[tuple[str, bool], ...] = ()  # (address, blocked or not any more)
    withdrawn: tuple[int, ...] = ()  # events of this ticket whose waiting mails are not sent (#undo)
    repeats: tuple[Repeat, ...] = ()  # mails that are sent once more, as they were
    retry_at: datetime | None = None  # outcome "wait": when to evaluate again
    ground: str = ""  # on which the ticket was found; "" none was
    commanded: tuple[str, ...] = ()  # verbs an agent's mail ordered, done or (outcome "hold") not
    explanation: tuple[str, ...] = ()  # the story, one line a step, for `ticketgate explain`


def find_thirds(events: Iterable[EventFact | NewEvent], known: Iterable[int] = ()) -> tuple[int, ...]:
    """The third parties of a ticket, by what happened: who was written to with #ask and not let go with #uncc.

    They follow from the history, so a merge, a withdrawn mail and an undo need no bookkeeping of their own.
    """
    parties = dict.fromkeys(known)
    for event in events:
        if event.kind == "asked" and event.data.get("side"):
            parties[int(event.data["side"])] = None
        elif event.kind == "uncc" and event.data.get("party"):
            parties.pop(int(event.data["party"]), None)
    return tuple(parties)
