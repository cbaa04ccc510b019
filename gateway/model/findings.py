"""What a mail says: everything the cage finds in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from gateway.model.arrival import Mailbox
from gateway.model.authentication import AuthenticationResults


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
    ours_kept: bool = False  # of those, some are of our own mail: lines of it that no rule knows may be among them
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
    written: datetime | None = None  # the same, where it can be told; without a zone: the forwarder's
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
    unpacked: Mapping[str, tuple[Attachment, ...]] = field(default_factory=dict)  # SHA-256 of a mail asked for -> files
    needs: tuple[str, ...] = ()  # record keys still lacking; authentication is provisional while not empty
    elapsed_ms: float = 0.0
