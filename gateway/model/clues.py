"""Which ticket is meant: what a mail offers for finding it, and what was found."""

from __future__ import annotations

from dataclasses import dataclass


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
