"""The store's answers to what a mail's commands ask (questions.py). Reads only, in the transaction of the decision."""

from __future__ import annotations

import email
import email.policy
import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import Attachment, Person, Proof, State
from gateway.questions import (
    UNSOLVED,
    Answer,
    Changed,
    Copies,
    Copy,
    EventLog,
    Listing,
    Log,
    LogLine,
    Original,
    Originals,
    Question,
    Search,
    Stopped,
    StoppedMail,
    TicketLine,
)
from gateway.store import deliveries as mails_out
from gateway.store import journal as journal_rows
from gateway.store import raw_mail, search
from gateway.store.erasure import forget_outgoing
from gateway.store.people import find_persons
from gateway.store.schema import counters, deliveries, events, journal, tickets
from gateway.store.statements import upsert

_MOST_LISTS = 99_999
"""Tokens give an event number five digits; lists beyond that begin again at 1."""
_CHUNK = 500  # numbers in one IN (…)
_TOUCHED = ("answer", "claim", "assign", "ack-reminder", "open", "close", "wait", "snooze", "followup", "merge")
"""An agent has looked at the ticket and decided something: it is no longer merely open again."""
_NOT_QUARANTINE = ("author-unproven", "unknown-sender", "dmarc-fail", "auth-temperror")


def answer(tx: Connection, questions: Iterable[Question]) -> dict[Question, Answer]:
    """The answer to each question."""
    return {question: _answer(tx, question) for question in questions}


def _answer(tx: Connection, question: Question) -> Answer:
    match question:
        case Listing():
            return _listing(tx, question)
        case Changed():
            return _changed(tx, question)
        case Search():
            found = search.find(tx, question)
            return _lines(tx, [number for number, _ in found], dict(found))
        case Originals():
            return _originals(tx, question)
        case Copies():
            return tuple(copy for place in question.places for copy in _copies(tx, place, question.files))
        case Stopped():
            return _stopped(tx, question)
        case Log():
            return _log(tx, question)


def take_list_numbers(tx: Connection, count: int) -> int:
    """The first of ``count`` fresh numbers for mails about no ticket (lists, digests, reports): their event numbers.

    When they begin again, what was sent long ago under the same numbers is forgotten.
    """
    row = tx.execute(sa.select(counters.c.value).where(counters.c.name == "list").with_for_update()).scalar() or 0
    first = row + 1 if row + count <= _MOST_LISTS else 1
    tx.execute(upsert(tx, counters, "value"), {"name": "list", "value": first + count - 1})
    if first <= row:
        old = deliveries.c.event.between(first, first + count - 1)
        done = sa.delete(deliveries).where(deliveries.c.ticket == 0, old, deliveries.c.ended_at.is_not(None))
        forget_outgoing(tx, tx.execute(done.returning(deliveries.c.id)).scalars().all())
    return first


# ------------------------------------------------------------------ tickets


def _listing(tx: Connection, asked: Listing) -> tuple[TicketLine, ...]:
    statement = (
        sa.select(tickets.c.number)
        .where(tickets.c.inbox.in_(asked.inboxes), tickets.c.state.in_(asked.states), tickets.c.merged_into == 0)
        .order_by(tickets.c.number.desc())
        .limit(asked.limit)
    )
    if asked.owner is not None:
        statement = statement.where(tickets.c.owner == asked.owner if asked.owner else tickets.c.owner.is_(None))
    if asked.customer:
        statement = statement.where(tickets.c.customer == asked.customer)
    return _lines(tx, list(tx.execute(statement).scalars()))


def _changed(tx: Connection, asked: Changed) -> tuple[TicketLine, ...]:
    mine = sa.exists().where(
        events.c.ticket == tickets.c.number, events.c.party == asked.party, events.c.at < asked.since
    )
    given = sa.and_(tickets.c.owner.is_not(None), tickets.c.owner == asked.party)
    statement = (
        sa.select(tickets.c.number)
        .where(
            tickets.c.inbox.in_(asked.inboxes),
            tickets.c.changed_at >= asked.since,
            tickets.c.merged_into == 0,
            sa.or_(given, mine),
        )
        .order_by(tickets.c.number.desc())
        .limit(asked.limit)
    )
    return _lines(tx, list(tx.execute(statement).scalars()))


def _lines(tx: Connection, numbers: list[int], snippets: Mapping[int, str] | None = None) -> tuple[TicketLine, ...]:
    """The tickets of these numbers as lists show them, in that order."""
    rows: dict[int, Any] = {}
    for some in _chunks(numbers):
        rows |= {row.number: row for row in tx.execute(sa.select(tickets).where(tickets.c.number.in_(some)))}
    people = _people(tx, {party for row in rows.values() for party in (row.owner, row.customer) if party})
    waiting, reopened = _waiting(tx, numbers), _reopened(tx, numbers)
    return tuple(
        TicketLine(
            number=row.number,
            inbox=row.inbox,
            subject=row.title or row.subject,
            state=State(row.state),
            created_at=row.created_at,
            changed_at=row.changed_at,
            owner=people.get(row.owner),
            customer=people.get(row.customer),
            snoozed_until=row.snoozed_until,
            waits_since=waiting.get(row.number),
            snippet=(snippets or {}).get(row.number, ""),
            tags=tuple(row.tags),
            reopened=row.number in reopened,
        )
        for row in (rows[number] for number in numbers)
    )


def _people(tx: Connection, parties: Collection[int]) -> dict[int, Person]:
    found: dict[int, Person] = {}
    for some in _chunks(sorted(parties)):
        found |= {person.party: person for person in find_persons(tx, parties=some)}
    return found


def _waiting(tx: Connection, numbers: list[int]) -> dict[int, datetime]:
    """Ticket -> when the oldest mail came that no answer followed."""
    since: dict[int, datetime] = {}
    for some in _chunks(numbers):
        statement = (
            sa.select(events.c.ticket, events.c.kind, events.c.at)
            .where(events.c.ticket.in_(some), events.c.kind.in_(("mail", "answer")), events.c.public)
            .order_by(events.c.ticket, events.c.number)
        )
        for ticket, kind, at in tx.execute(statement):
            if kind == "answer":
                since.pop(ticket, None)
            else:
                since.setdefault(ticket, at)
    return since


def _reopened(tx: Connection, numbers: list[int]) -> set[int]:
    """The tickets that a mail opened again and no agent has touched since."""
    found: set[int] = set()
    for some in _chunks(numbers):
        statement = (
            sa.select(events.c.ticket, events.c.kind, events.c.data)
            .where(events.c.ticket.in_(some), events.c.kind.in_(("mail", *_TOUCHED)))
            .order_by(events.c.ticket, events.c.number)
        )
        for ticket, kind, data in tx.execute(statement):
            if kind in _TOUCHED:
                found.discard(ticket)
            elif data.get("reopened"):
                found.add(ticket)
    return found


def _chunks(numbers: list[int]) -> Iterable[list[int]]:
    return (numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK))


# ------------------------------------------------------------------ mails


def _originals(tx: Connection, asked: Originals) -> tuple[Original, ...]:
    statement = (
        sa.select(events.c.number, journal.c.sha256)
        .join(journal, journal.c.id == events.c.journal)
        .where(events.c.ticket == asked.ticket)
        .order_by(events.c.number)
    )
    if asked.events:
        statement = statement.where(events.c.number.in_(asked.events))
    found = []
    for number, sha256 in tx.execute(statement).all():
        raw = b"" if asked.bare else raw_mail.load(tx, sha256)
        if raw is not None:
            found.append(Original(event=number, raw=raw, sha256=sha256))
    return tuple(found)


def _copies(tx: Connection, place: tuple[int, int], with_files: bool) -> tuple[Copy, ...]:
    found = mails_out.find_of_event(tx, *place)
    files = files_of(found[0].delivery.mail.content) if found and with_files else ()
    return tuple(
        Copy(
            ticket=entry.delivery.mail.ticket,
            event=entry.delivery.mail.event,
            party=entry.delivery.mail.party,
            recipient=entry.delivery.mail.recipient,
            state=entry.state,
            files=files,
        )
        for entry in found
    )


def files_of(content: bytes) -> tuple[Attachment, ...]:
    """What was attached to a mail we wrote ourselves."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    files = []
    for part in mail.iter_attachments():
        decoded = part.get_payload(decode=True)
        data = decoded if isinstance(decoded, bytes) else b""
        digest = hashlib.sha256(data).hexdigest()
        name = part.get_filename() or "attachment"
        files.append(Attachment(name=name, type=part.get_content_type(), size=len(data), sha256=digest, content=data))
    return tuple(files)


def _stopped(tx: Connection, asked: Stopped) -> tuple[StoppedMail, ...]:
    """Held mail with a ticket only counts when somebody has to decide; quarantined mail has none."""
    statement = (
        sa.select(
            journal.c.id,
            journal.c.author,
            journal.c.subject,
            journal.c.proof,
            journal.c.reason,
            journal.c.received_at,
            journal.c.ticket,
            journal.c.event,
            journal.c.sha256,
        )
        .where(journal.c.inbox.in_(asked.inboxes), journal.c.state == journal_rows.JournalState.HELD)
        .order_by(journal.c.id.desc())
        .limit(asked.limit)
    )
    if asked.rows:
        statement = statement.where(journal.c.id.in_(asked.rows))
    if asked.since is not None:
        statement = statement.where(journal.c.received_at >= asked.since)
    return tuple(
        StoppedMail(
            row=row.id,
            author=row.author,
            subject=row.subject,
            proven=row.proof not in ("", Proof.NONE),
            reason=row.reason,
            at=row.received_at,
            ticket=row.ticket,
            event=row.event,
            raw=raw_mail.load(tx, row.sha256) if asked.raw else None,
            quarantine=not row.ticket and row.reason not in _NOT_QUARANTINE,
        )
        for row in tx.execute(statement)
    )


# ------------------------------------------------------------------ the log


def _log(tx: Connection, asked: Log) -> EventLog:
    """Whole histories, because a first answer or a closing means nothing without what was before."""
    something = sa.exists().where(
        events.c.ticket == tickets.c.number, events.c.at >= asked.since, events.c.at < asked.until
    )
    # changed_at says the same without looking at an event, for most tickets. When a ticket was opened says nothing: an
    # older one that was merged into it brought its lines.
    opened = sa.select(tickets.c.number, tickets.c.created_at, tickets.c.inbox, tickets.c.tags).where(
        tickets.c.inbox.in_(asked.inboxes),
        tickets.c.merged_into == 0,
        tickets.c.changed_at >= asked.since,
        something,
    )
    found = {row.number: row for row in tx.execute(opened)}
    lines: list[LogLine] = []
    columns = (
        events.c.ticket,
        events.c.number,
        events.c.kind,
        events.c.at,
        events.c.party,
        events.c.public,
        events.c.answers,
        events.c.data,
    )
    for some in _chunks(sorted(found)):
        statement = sa.select(*columns).where(events.c.ticket.in_(some)).order_by(events.c.ticket, events.c.number)
        lines += [
            LogLine(
                ticket=r.ticket,
                number=r.number,
                kind=r.kind,
                at=r.at,
                party=r.party,
                public=r.public,
                answers=r.answers,
                state=r.data.get("state", ""),
                source=0 if r.kind == "merge" else int(r.data.get("from", "").partition(".")[0] or 0),
            )
            for r in tx.execute(statement)
        ]
    unsolved = _listing(tx, Listing(asked.inboxes, UNSOLVED, limit=10_000))
    return EventLog(
        lines=tuple(lines),
        tickets={number: row.created_at for number, row in found.items()},
        inboxes={number: row.inbox for number, row in found.items()},
        tags={number: tuple(row.tags) for number, row in found.items()},
        unsolved=unsolved,
    )
