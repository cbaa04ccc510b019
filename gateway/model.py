"""The values that pass between the stages: frozen, slotted, without behaviour that needs I/O, a clock or chance.

Names are the field's own: ``reverse_path`` is MAIL FROM, ``author`` is From:, a *delivery report* is what people call a
bounce. Times are aware datetimes in UTC. Everything here survives ``msgspec`` encoding, because findings cross the
cage's pipe as data (never as pickle). What a ticket plans and sends is in the second half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

# ------------------------------------------------------------------ what arrives


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (decoded, not yet cleaned for display) and an address; ``address`` may be "" when unreadable."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class ImapPosition:
    """Where an IMAP source keeps a mail. The UID is a cursor only (mail.md 7.1)."""

    account: str
    folder: str
    uidvalidity: int
    uid: int


@dataclass(frozen=True, slots=True)
class ImapMark:
    """How far a folder was taken over. ``uid``: highest UID seen in a FETCH, 0 nothing yet.

    Mails up to ``floor`` were there before the first run; only those with an INTERNALDATE after ``since`` are ours.
    After a rebuild ``floor`` is the highest UID found, and ``since`` alone tells the old from the new. With
    ``catch_up`` "new" both dates are the server's own, so a wrong clock does no harm.
    """

    uidvalidity: int
    uid: int = 0
    floor: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the transport said about one mail for one recipient."""

    reverse_path: str  # MAIL FROM; "" is the null reverse-path
    recipient: str  # RCPT TO exactly as the client gave it (case kept); IMAP: the mailbox's configured address
    inbox: str  # name of the inbox that owns the recipient ([inbox.NAME])
    source: str  # "lmtp", "smtp", "imap:NAME", "sent:NAME" (what the mailbox itself sent), "inject", "import"
    received_at: datetime  # time of reception; every comparison of times uses it
    client_address: str = ""  # IP address of the client that the first MTA saw; "" unknown
    helo: str = ""
    trusted: bool = False  # Authentication-Results fields written by this source may be believed (security.md 4.5)
    queue_id: str = ""  # XFORWARD IDENT
    submitter: str = ""  # account of an authenticated submission to our own listener
    position: ImapPosition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What a person decided about a held mail: its row is processed again with this in hand."""

    act: str  # send, note, admit
    by: int  # party who decided; 0: an operator
    ticket: int = 0  # the ticket the held mail belongs to; 0: decide again
    event: int = 0  # the held event
    text: str | None = None  # replaces the mail's own text
    close: bool = False  # close the ticket after sending
    to: str = ""  # address of the third party the text is for; "": whoever the held mail was for


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMail:
    """One journal row: a mail we took responsibility for."""

    id: int
    envelope: Envelope
    sha256: str
    raw: bytes
    attempts: int = 0  # how often processing was begun before
    instruction: Instruction | None = None  # set when a person released it from being held


# ------------------------------------------------------------------ what a mail says (made in the cage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A leaf part that is not the text a person reads. ``content`` is decoded from the transfer encoding only."""

    name: str  # cleaned (security.md 12.2), never empty
    type: str  # "application/pdf", lower case
    size: int
    sha256: str
    inline: bool = False
    content_id: str = ""  # without angle brackets
    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What parse.py made of the bytes. Nothing in here proves anything: identity is AuthenticationResults.author."""

    message_id: str = ""  # with angle brackets, as sent; "" absent or malformed
    date: datetime | None = None
    subject: str = ""  # decoded, unfolded
    author: Mailbox | None = None  # best reading of From:, for display only
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    in_reply_to: tuple[str, ...] = ()  # msg-ids with angle brackets
    references: tuple[str, ...] = ()  # at most 20, oldest first
    recipients: tuple[
        str, ...
    ] = ()  # addresses of X-Original-To, Delivered-To, To, Cc, Resent-To, Resent-Cc, in that order
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lower-case name -> decoded values, top first
    text: str = ""  # the text a person reads, LF line ends
    html: str = ""  # the HTML alternative as received, decoded to str; "" when there is none
    text_source: str = ""  # "plain", "html", "calendar", "" when there was no text
    body_sha256: str = ""  # of all bytes after the header
    attachments: tuple[Attachment, ...] = ()
    defects: tuple[str, ...] = ()
    unreadable: str = ""  # why the mail could not be shown completely; "" when it could


class Origin(StrEnum):
    """Who or what made a mail (RFC 3834, mail.md 7.3)."""

    PERSON = "person"
    AUTO_REPLY = "auto-reply"
    DELIVERY_REPORT = "delivery-report"
    DISPOSITION_REPORT = "disposition-report"
    FEEDBACK_REPORT = "feedback-report"
    LIST = "list"
    MACHINE = "machine"
    OURSELVES = "ourselves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The author's text taken apart; ``new + quoted + signature`` covers the text, nothing is lost."""

    new: str = ""
    quoted: str = ""
    signature: str = ""
    interleaved: bool = False  # answers stand between quoted lines: ``new`` then keeps those quotes
    source: str = ""  # the rule that found the boundary, e.g. "attribution:en", "none"
    command_text: str | None = None  # new text of the first text/plain part; None when the mail has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One text of a conversation, as evidence of quotation. ``ours``: the desk wrote it to the customer."""

    text: str
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What had been said in a ticket when a mail arrived, newest first: texts, and the events they belong to."""

    ticket: int
    events: tuple[int, ...]
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The mail's text taken apart once more beside a ticket's conversation; it counts if the mail is of that ticket."""

    ticket: int
    events: tuple[int, ...]  # those it was compared with
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """The original inside a forwarded mail. ``author`` is None when the reader is not certain."""

    author: Mailbox | None = None
    date: str = ""  # as written there
    subject: str = ""
    text: str = ""
    attached: bool = False  # from a message/rfc822 part: exact
    message_id: str = ""  # of an attached original; "" when nobody can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What became of one mail for one recipient: from our own SMTP session or from a report (same type, same rule)."""

    recipient: str
    action: str  # RFC 3464: failed, delayed, delivered, relayed, expanded
    status: str = ""  # RFC 3463, e.g. "5.2.2"; "" unknown
    diagnostic: str = ""
    kind: str = ""  # "hard", "soft", "delay", "delivered"
    original_message_id: str = ""
    returned_id: str = ""  # the same where it stood in the header of the returned mail itself; "" otherwise
    envelope_id: str = ""  # RFC 3461 ENVID


# ------------------------------------------------------------------ DNS as data, authentication


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """``values`` in presentation form: TXT strings joined, "10 mx.example.", addresses.

    ``status`` is found, absent, failed or oversize (more than anybody may use: security.md 4.1, 8 KiB):

    ``absent`` (NXDOMAIN, no data) and ``failed`` (timeout, SERVFAIL) are never confused (security.md 4.1)."""

    status: str
    values: tuple[str, ...] = ()


Records = Mapping[str, DnsAnswer]
"""What DNS said, as data: "TXT s1._domainkey.example.com" (type, blank, lower-case name, no final dot) -> answer."""


class Proof(StrEnum):
    """How the author was proven (security.md 4.4)."""

    NONE = "none"
    SPF = "spf"
    DKIM = "dkim"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfResult:
    result: str = "none"  # RFC 7208: none neutral pass fail softfail temperror permerror
    domain: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResult:
    domain: str = ""
    selector: str = ""
    result: str = "none"  # pass fail policy permerror temperror none
    reason: str = ""
    aligned: bool = False
    covers: tuple[str, ...] = ()  # lower-case names in h=
    signed_at: datetime | None = None  # t=, else the covered Date
    replay_key: str = ""  # SHA-256 of the canonical header data it signs, b= empty (security.md 4.8)
    key_bits: int = 0  # of the RSA key of a pass we checked; 0: another kind of key, or vouched for by a trusted server


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcResult:
    result: str = "none"  # none pass fail temperror permerror
    policy: str = ""  # none quarantine reject; "" without a record
    domain: str = ""  # where the record was found


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcResult:
    result: str = "none"  # none pass fail
    sealer: str = ""  # d= of the last seal
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationResults:
    """What *we* verified (RFC 8601 vocabulary). ``author`` is the strict tokeniser's, never a parser's."""

    author: Mailbox | None = None  # None: nobody (ambiguous header, no From)
    ambiguous: str = ""  # why the header block is ambiguous (security.md 3); "" when it is not
    spf: SpfResult = SpfResult()
    dkim: tuple[DkimResult, ...] = ()
    dmarc: DmarcResult = DmarcResult()
    arc: ArcResult = ArcResult()
    proof: Proof = Proof.NONE
    why: str = ""  # one sentence for a person
    temporary: bool = False  # a failed query could change the verdict: wait
    failed: bool = (
        False  # an explicit fail (DMARC fail with quarantine or reject, or an aligned signature that does not fit)
    )
    domain_offers_proof: bool = (
        False  # the author's domain publishes or sends something that could prove it (architecture 6.11)
    )
    reply_to_covered: bool = False  # an accepted aligned signature covers Reply-To
    records: Mapping[str, DnsAnswer] = field(default_factory=dict)  # all answers used: the verdict can be replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything the cage found out about one mail. Pure data."""

    message: Message = Message()
    origin: Origin = Origin.PERSON
    body: Body = Body()
    forwarded: Forwarded | None = None
    reports: tuple[DeliveryReport, ...] = ()
    authentication: AuthenticationResults = AuthenticationResults()
    away_until: date | None = None  # of an away notice: last day away or first day back, as it names it
    comparison: Comparison | None = None  # when the text repeats what the ticket it answers contains
    needs: tuple[str, ...] = ()  # record keys still lacking; authentication is provisional while not empty
    elapsed_ms: float = 0.0


# ------------------------------------------------------------------ which ticket is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, Message-ID or action token of ours whose MAC was valid."""

    kind: str  # letter of mail.md 4.2
    ticket: int
    event: int
    party: int
    where: str = ""  # "envelope", "to", "in-reply-to", "references", "subject" …
    text: str = ""  # as it stood there


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSubject:
    """The subject of a one-tap mail, taken apart, not yet verified: ``snooze 1d 4827.3 k3r276edvxisftbto``."""

    order: str  # verb and argument
    ticket: int
    event: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """What a mail offers for finding its ticket. Every clue proposes, none authorises."""

    tokens: tuple[Token, ...] = ()  # from recipient addresses, envelope first
    bad_tokens: int = 0  # looked like tokens, MAC wrong
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    own_ids: tuple[Token, ...] = ()  # our Message-IDs with a valid MAC, In-Reply-To first, then References newest first
    reported_ids: tuple[Token, ...] = ()  # our Message-IDs in what a delivery report returns
    returned_ids: tuple[Token, ...] = ()  # those that stood in the header of the returned mail
    action: ActionSubject | None = None  # a one-tap subject; its MAC is checked when the author's party is known
    reference_line: int = 0  # ticket of a valid reference line in the text; 0 none
    subject_reference: int = 0  # [#4827] in the subject; 0 none
    subject: str = ""  # canonical: prefixes and tags removed
    thread_index: str = ""  # hex of the 22-byte Thread-Index header; "" none
    is_reply: bool = False  # carries In-Reply-To or References


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A clue that was not followed, and why."""

    clue: str
    ticket: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The ticket that is meant (0: a new one), the ground, and what was declined."""

    ticket: int = 0
    # sibling, bounce, action, token, ambiguous, message-id, references, report, parent, reference-line, subject, none;
    # "parent": a reply that came earlier was waiting for this mail; "ambiguous": an agent's mail with two meanings
    ground: str = "none"
    event: int = 0  # event the clue names
    party: int = 0  # party the clue was issued to; 0 unknown
    kind: str = ""  # token kind, when a token of ours decided
    follows: int = 0  # new ticket that continues this one (closed long ago, recycled thread)
    perhaps: int = 0  # a ticket of this author with the same subject: agents are told, nothing follows from it
    declined: tuple[Declined, ...] = ()


# ------------------------------------------------------------------ what the store remembers


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


# ------------------------------------------------------------------ what is decided


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
    explanation: tuple[str, ...] = ()  # the story, one line a step, for `ticketgate explain`


# ------------------------------------------------------------------ what goes out


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMail:
    """One mail to one recipient, frozen (architecture promise 8)."""

    ticket: int
    event: int
    party: int
    kind: str
    message_id: str
    reverse_path: str
    recipient: str
    content: bytes
    automatic: bool  # at most once; a person's answer is sent at least once
    public: bool = False
    author: int = 0  # party to tell when it cannot be delivered; 0 nobody
    not_before: datetime | None = None  # quiet hours of its recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A claimed row of the outbox."""

    id: int
    mail: OutboundMail
    attempt: int
    queued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A claimed due row."""

    id: int
    kind: str
    due_at: datetime
    ticket: int = 0
    party: int = 0
    data: Mapping[str, str] = field(default_factory=dict)
