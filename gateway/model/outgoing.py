"""What goes out, and what is due: rows claimed by the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


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
    queued_at: datetime  # or when a person queued it again
    transmitted: int = 0  # times the whole mail left and the other side never said that it has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A claimed due row."""

    id: int
    kind: str
    due_at: datetime
    ticket: int = 0
    party: int = 0
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SentCopy:
    """An answer that left, and whose copy is due in the Sent folder of the mailbox it was sent from."""

    delivery: int
    message_id: str
    sent_at: datetime
