"""What holds a conversation together in mail clients: subjects, References, Thread-Index (mail.md 3.1, 5.2)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from gateway.address import clean_text
from gateway.model import EventFact, Person, TicketFacts
from gateway.outbound.letter import is_message_id
from gateway.reference import strip_tokens
from gateway.settings import Inbox, Settings

RECENT = 8
"""At most this many msg-ids besides the root and the customer's first."""

_RECEIVED = ("mail", "answer")
"""Kinds of events that are a mail of the conversation, as opposed to something about it."""
_NEWS = ("offer", "assigned", "customer-reply", "answered", "unproven", "forward", "third-notice", "asked-notice")
"""Kinds of events that brought an agent a mail of the conversation."""
_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_PREFIX = re.compile(r"^\s*(?:re|aw|antw|sv|vs|odp|r|fwd?|wg)\s*(?:\[\d+\])?\s*:\s*", re.IGNORECASE)
_TAG = re.compile(r"\[#[0-9]{1,8}\]\s*")


# ---------------------------------------------------------------------------------------------- subjects


def plain_subject(ticket: TicketFacts, no_subject: str) -> str:
    """The subject without reply prefixes, tags and tokens, never empty."""
    subject = strip_tokens(clean_text(ticket.subject))
    while True:
        shorter = _PREFIX.sub("", _TAG.sub("", subject), count=1)
        if shorter == subject:
            break
        subject = shorter
    return subject.strip() or no_subject


def agent_subject(ticket: TicketFacts, inbox: Inbox, no_subject: str) -> str:
    """``[#4827] Invoice 2231 is wrong``: the same for the ticket's whole life, never with Re:."""
    tag = "" if inbox.subject_tag == "nobody" else f"[#{ticket.number}] "
    return tag + plain_subject(ticket, no_subject)


def customer_subject(ticket: TicketFacts, inbox: Inbox, no_subject: str) -> str:
    """``Re: Invoice 2231 is wrong``, as any person would answer."""
    tag = f"[#{ticket.number}] " if inbox.subject_tag == "everyone" else ""
    return f"Re: {tag}{plain_subject(ticket, no_subject)}"


# ---------------------------------------------------------------------------------------------- References


def received_id(ticket: TicketFacts, number: int) -> str:
    """The msg-id of a received mail of the conversation, "" if there is none that may be copied."""
    for event in ticket.events:
        if event.number == number and event.message_id and is_message_id(event.message_id):
            return event.message_id
    for fact in ticket.message_ids:
        if fact.event == number and fact.party == 0 and fact.public and is_message_id(fact.message_id):
            return fact.message_id
    return ""


def first_id(ticket: TicketFacts) -> str:
    """The customer's first msg-id."""
    for event in ticket.events:
        if event.kind == "mail" and event.public:
            return received_id(ticket, event.number)
    return ""


def issued_id(ticket: TicketFacts, number: int, party: int) -> str:
    """The msg-id of the mail that this event was for this party, "" if it got none."""
    for fact in ticket.message_ids:
        if fact.event == number and fact.party == party and party:
            return fact.message_id
    return ""


def _seen(ticket: TicketFacts, person: Person, event: EventFact) -> str:
    """The msg-id under which this party saw an event, "" if it never did. Never an id issued to somebody else."""
    issued = issued_id(ticket, event.number, person.party)
    if issued:
        return issued
    if event.kind not in _RECEIVED or not event.public:
        return ""
    if person.agent:
        return received_id(ticket, event.number)
    if event.kind == "answer" and str(person.party) in event.data.get("direct", "").split():
        return received_id(ticket, event.number)  # the agent wrote it to the customer, not only to us
    # A customer saw what customers wrote. An agent's own mail went to us only: its id would tell of a private mailbox.
    if event.data.get("from") and event.party != person.party:
        return ""  # a merge brought it here: it was never in this party's mailbox
    written_by_customer = event.kind == "mail" and event.party in {p.party for p in ticket.participants if not p.agent}
    return received_id(ticket, event.number) if written_by_customer else ""


def conversation(ticket: TicketFacts, person: Person, before: int) -> list[str]:
    """Every msg-id of the conversation this party has seen before an event, oldest first."""
    wanted = (*_RECEIVED, *_NEWS, "ack", "relayed")
    events = [e for e in ticket.events if e.number < before and e.kind in wanted]
    return [seen for seen in (_seen(ticket, person, event) for event in events) if seen]


def side_conversation(ticket: TicketFacts, party: int, before: int) -> list[str]:
    """The msg-ids a third party has seen: what it wrote and what we sent to it, nothing of the ticket besides."""
    found = []
    for event in ticket.events:
        if event.number >= before:
            continue
        own = event.kind == "third" and event.data.get("side") == str(party)
        found.append(
            event.message_id if own else issued_id(ticket, event.number, party) if event.kind == "relayed" else ""
        )
    return [message_id for message_id in found if message_id and is_message_id(message_id)]


def about(ticket: TicketFacts, person: Person, number: int, before: int) -> list[str]:
    """The msg-ids of one mail of the conversation and of what brought it to this agent.

    A reminder or a note hangs below the mail it is about; naming everything else would only make the header long.
    """
    found = []
    for event in ticket.events:
        if event.number == number and event.kind == "relayed":
            number = event.answers
    reported = next((e for e in ticket.events if e.number == number), None)
    if reported:
        seen = _seen(ticket, person, reported)
        found += [seen] if seen else []
    news = [
        e for e in ticket.events if e.kind in _NEWS and e.number < before and issued_id(ticket, e.number, person.party)
    ]
    if news and (not found or news[-1].number > number):
        found.append(issued_id(ticket, news[-1].number, person.party))
    return found


def answered_notice(ticket: TicketFacts, person: Person, number: int, before: int) -> list[str]:
    """The msg-id of the notice that an agent's own mail (event ``number``) answered, as that agent got it."""
    mail = next((e for e in ticket.events if e.number == number), None)
    held = next((h.answered for h in ticket.held if h.event == number), 0)
    issued = issued_id(ticket, (mail.answers if mail else 0) or held, person.party)
    if issued:
        return [issued]
    news = [issued_id(ticket, e.number, person.party) for e in ticket.events if e.kind in _NEWS and e.number < before]
    return [found for found in news if found][-1:]


def root_id(ticket: TicketFacts, person: Person, settings: Settings, before: int) -> str:
    """The id that anchors an agent's thread; a new one after every ``max_messages`` mails (Gmail splits at 100)."""
    limit = settings.tickets.max_messages
    mails = len(conversation(ticket, person, before))
    part = mails // limit * limit if limit > 0 else 0
    if part == 0:
        return ticket.root or settings.keys.make_message_id(ticket.number, 0, 0, settings.id_domain)
    return settings.keys.make_message_id(ticket.number, part, 0, settings.id_domain)


def join(heads: Sequence[str], recent: Sequence[str], last: str = "") -> tuple[str, ...]:
    """A References value: the heads, at most eight recent ids, the mail that is answered; nothing twice."""
    fixed = [i for i in heads if i and is_message_id(i)]
    middle = [i for i in recent if i not in fixed and i != last and is_message_id(i)]
    ends = [last] if last and last not in fixed and is_message_id(last) else []
    return tuple(dict.fromkeys([*fixed, *list(dict.fromkeys(middle))[-RECENT:], *ends]))


# ---------------------------------------------------------------------------------------------- Thread-Index


def _filetime(at: datetime) -> int:
    """100 ns units since 1601 (MS-DTYP 2.3.3), exactly."""
    delta = at - _FILETIME_EPOCH
    return (delta.days * 86400 + delta.seconds) * 10_000_000 + delta.microseconds * 10


def thread_index(created_at: datetime, uuid: str, at: datetime) -> str:
    """22 bytes header and one 5-byte child (MS-OXOMSG 2.2.1.3), base64: what Outlook groups by."""
    header = _filetime(created_at).to_bytes(8, "big")[:6] + UUID(uuid).bytes
    elapsed = max(0, _filetime(at) - _filetime(created_at)) >> 18 & 0x7FFFFFFF
    return base64.b64encode(header + elapsed.to_bytes(4, "big") + b"\x10").decode()
