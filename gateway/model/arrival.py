"""What arrives: an envelope, bytes, where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
    commands: tuple[tuple[str, str], ...] = ()  # (verb, argument): done after the text went its way


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundMail:
    """One journal row: a mail we took responsibility for."""

    id: int
    envelope: Envelope
    sha256: str
    raw: bytes
    attempts: int = 0  # how often processing was begun before
    instruction: Instruction | None = None  # set when a person released it from being held
