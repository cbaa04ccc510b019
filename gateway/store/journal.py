"""Mails received: taken in once, claimed by one worker, decided, or held for a person.

``append`` is the promise behind 250: raw bytes, envelope and row in one transaction. The identity of an arrival is the
SHA-256 of its bytes and the envelope recipient (security.md 14.2), a unique constraint; Message-IDs never decide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, bindparam
from sqlalchemy.dialects import postgresql, sqlite

from gateway.address import fold_address
from gateway.errors import TemporaryError
from gateway.model import Envelope, Findings, ImapPosition, InboundMail, Instruction, Plan, Proof
from gateway.seal import DECIDED, RECEIVED
from gateway.store import people, suppression
from gateway.store.columns import EPOCH
from gateway.store.marks import mark_ids
from gateway.store.raw_mail import Prepared, keep, load_many, prepare
from gateway.store.schema import imap_positions, journal
from gateway.store.statements import claimable, insert_once


class JournalState(StrEnum):
    """States of a row (security.md 14.4)."""

    RECEIVED = "received"
    WAITING = "waiting"
    HELD = "held"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of an arrival; a duplicate names the row that was there and has no effect."""

    id: int
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """A row as operators see it."""

    id: int
    sha256: str
    envelope: Envelope
    state: JournalState
    outcome: str
    reason: str
    attempts: int
    due_at: datetime | None
    ticket: int  # filed in, or proposed while held; 0 none
    event: int
    opened: bool
    author: str
    subject: str  # of a held mail, as it was written; "" otherwise
    message_id: str
    story: Mapping[str, Any]  # see finish


class ClaimLostError(TemporaryError):
    """The row was decided, or claimed again, by somebody else: roll back, do nothing."""


def append(tx: Connection, envelope: Envelope, mail: Prepared | bytes) -> Appended:
    """Take a mail in. The same bytes for the same recipient again, or again under a new UID, are a duplicate.

    An IMAP position is recorded in the same transaction, so a UID that is known was stored.
    """
    mail = prepare(mail) if isinstance(mail, bytes) else mail
    keep(tx, mail)
    key = fold_address(envelope.recipient)
    row_id = tx.execute(_returning_id(insert_once(tx, journal)), _new_row(envelope, mail.sha256, key)).scalar()
    duplicate = row_id is None
    if row_id is None:
        row_id = tx.execute(_SAME_ARRIVAL, {"sha256": mail.sha256, "recipient_key": key}).scalar_one()
    else:
        mark_ids(tx, RECEIVED, [row_id])
    if envelope.position is not None:
        position = envelope.position
        tx.execute(
            insert_once(tx, imap_positions),
            {
                "account": position.account,
                "folder": position.folder,
                "uidvalidity": position.uidvalidity,
                "uid": position.uid,
                "journal": row_id,
            },
        )
    return Appended(row_id, duplicate)


def _new_row(envelope: Envelope, sha256: str, key: str) -> dict[str, Any]:
    return {
        "sha256": sha256,
        "recipient_key": key,
        "recipient": envelope.recipient,
        "reverse_path": envelope.reverse_path,
        "inbox": envelope.inbox,
        "source": envelope.source,
        "received_at": envelope.received_at,
        "client_address": envelope.client_address,
        "helo": envelope.helo,
        "trusted": envelope.trusted,
        "queue_id": envelope.queue_id,
        "submitter": envelope.submitter,
        "position": envelope.position,
        "state": JournalState.RECEIVED,
        "outcome": "",
        "reason": "",
        "attempts": 0,
        # Due at once, by any clock: received_at may come from a clock that was wrong.
        "due_at": EPOCH,
        "lease_owner": "",
        "ticket": 0,
        "event": 0,
        "opened": False,
        "author": "",
        "proof": "",
        "subject": "",
        "message_id": "",
        "body_sha256": "",
    }


@cache
def _returning_id(statement: sqlite.Insert | postgresql.Insert) -> sa.Executable:
    return statement.returning(journal.c.id)


_LONGEST_SUBJECT = 200  # characters: a line of a list
_FINISH = sa.update(journal).where(
    journal.c.id == bindparam("row"),
    journal.c.attempts == bindparam("claimed"),
    journal.c.state.in_((JournalState.RECEIVED, JournalState.WAITING)),
)
_SAME_ARRIVAL = sa.select(journal.c.id).where(
    journal.c.sha256 == bindparam("sha256"), journal.c.recipient_key == bindparam("recipient_key")
)


# ------------------------------------------------------------------ work


def claim(
    tx: Connection, limit: int, worker: str, now: datetime, lease: timedelta, but_not: Collection[int] = ()
) -> list[InboundMail]:
    """At most ``limit`` rows that are due, oldest first, for this worker until ``now + lease``.

    New rows, waiting rows whose time has come, and rows whose worker was lost. Every claim counts as an attempt.
    ``but_not``: rows the worker has in hand, though the clock may say that their lease is over.
    """
    due = (
        sa.select(journal.c.id)
        .where(journal.c.due_at <= now, claimable(journal.c.lease_owner, worker), journal.c.id.not_in(but_not))
        .order_by(journal.c.due_at, journal.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)  # PostgreSQL; SQLite has one writer and drops it
    )
    rows = tx.execute(
        sa.update(journal)
        .where(journal.c.id.in_(due))
        .values(attempts=journal.c.attempts + 1, due_at=now + lease, lease_owner=worker)
        .returning(*_MAIL_COLUMNS)
    ).all()
    contents = load_many(tx, {row.sha256 for row in rows})
    return [
        InboundMail(
            id=row.id,
            envelope=_envelope(row),
            sha256=row.sha256,
            raw=contents[row.sha256],
            attempts=row.attempts - 1,
            instruction=msgspec.convert(row.instruction, Instruction) if row.instruction else None,
        )
        for row in sorted(rows, key=lambda row: row.id)
    ]


def finish(tx: Connection, mail: InboundMail, findings: Findings, plan: Plan, now: datetime) -> None:
    """Record what became of a claimed mail, in the transaction that records its plan.

    ``hold`` -> HELD with reason and proposed ticket, ``wait`` -> WAITING until ``plan.retry_at``, anything else ->
    APPLIED. Raises ClaimLostError when the claim is not ours any more; the transaction must then be rolled back, which
    is what makes processing twice equal processing once.
    """
    authentication, compared = findings.authentication, findings.comparison
    author = fold_address(authentication.author.address) if authentication.author else ""
    state = {"hold": JournalState.HELD, "wait": JournalState.WAITING}.get(plan.outcome, JournalState.APPLIED)
    own_events = [event.number for event in plan.events if event.from_mail]
    result = tx.execute(
        _FINISH,
        {
            "row": mail.id,
            "claimed": mail.attempts + 1,
            "state": state,
            "outcome": plan.outcome,
            "reason": plan.reason,
            "due_at": (plan.retry_at or now) if state is JournalState.WAITING else None,
            "lease_owner": "",
            "ticket": plan.ticket,
            "event": own_events[0] if own_events else 0,
            "opened": plan.opens_ticket,
            "author": author,
            "proof": authentication.proof,
            "subject": findings.message.subject[:_LONGEST_SUBJECT] if state is JournalState.HELD else "",
            "message_id": findings.message.message_id,
            "date": comparable_date(findings.message.date),
            "body_sha256": findings.message.body_sha256,
            "story": {
                "origin": findings.origin,
                "quotes": findings.body.source,
                "compared": {"ticket": compared.ticket, "events": compared.events} if compared else None,
                "authentication": authentication,
                "defects": findings.message.defects,
                "unreadable": findings.message.unreadable,
                "instruction": mail.instruction,
                "explanation": plan.explanation,
                "decided_at": now,
                "elapsed_ms": findings.elapsed_ms,
                "earlier": _earlier_decisions(tx, mail),
            },
        },
    )
    if result.rowcount != 1:
        raise ClaimLostError(f"journal row {mail.id} is not ours any more")
    mark_ids(tx, DECIDED, [mail.id])
    if author and authentication.proof is not Proof.NONE and plan.outcome in ("file", "new", "agent"):
        suppression.lift(tx, author)
        people.mark_known(tx, author, authentication.author.name if authentication.author else "")


def _earlier_decisions(tx: Connection, mail: InboundMail) -> list[dict[str, Any]]:
    """What was decided about a mail before a person let it go: that is part of its story."""
    if mail.instruction is None:
        return []
    row = tx.execute(sa.select(journal.c.reason, journal.c.story).where(journal.c.id == mail.id)).one()
    before = row.story or {}
    told = {name: before.get(name) for name in ("explanation", "decided_at")}
    return [*before.get("earlier", []), {"decision": f"held: {row.reason}", **told}]


def retry(tx: Connection, row_id: int, cause: str, next_try: datetime) -> None:
    """Processing failed: again at ``next_try``. The attempt stays counted."""
    _set_open(tx, row_id, reason=cause, due_at=next_try, lease_owner="")


def hold(tx: Connection, row_id: int, reason: str) -> None:
    """Give up on processing: a person looks at it."""
    _set_open(tx, row_id, state=JournalState.HELD, outcome="hold", reason=reason, due_at=None, lease_owner="")
    mark_ids(tx, DECIDED, [row_id])


def release(tx: Connection, row_id: int, now: datetime, instruction: Instruction | None = None) -> bool:
    """Process a held row again, with what the person decided; False when it is not held."""
    result = tx.execute(
        sa.update(journal)
        .where(journal.c.id == row_id, journal.c.state == JournalState.HELD)
        .values(state=JournalState.RECEIVED, due_at=now, attempts=0, lease_owner="", instruction=instruction)
    )
    return _decided(tx, row_id, result.rowcount)


def discard(tx: Connection, row_id: int, reason: str) -> bool:
    """Close a held row without effect; False when it is not held. The raw bytes stay."""
    result = tx.execute(
        sa.update(journal)
        .where(journal.c.id == row_id, journal.c.state == JournalState.HELD)
        .values(state=JournalState.APPLIED, outcome="discard", reason=reason, due_at=None)
    )
    return _decided(tx, row_id, result.rowcount)


def _decided(tx: Connection, row_id: int, rows: int) -> bool:
    if rows == 1:
        mark_ids(tx, DECIDED, [row_id])
    return rows == 1


def expire_leases(tx: Connection, now: datetime, owner: str | None, but_not: Collection[int] = ()) -> int:
    """Take back at once what ``owner`` had claimed, who is dead or lost sight of it; None: whoever had it."""
    theirs = journal.c.lease_owner != "" if owner is None else journal.c.lease_owner == owner
    claimed = journal.c.state.in_((JournalState.RECEIVED, JournalState.WAITING)) & theirs
    claimed = claimed & journal.c.id.not_in(but_not)
    return tx.execute(sa.update(journal).where(claimed).values(due_at=now, lease_owner="")).rowcount


def _set_open(tx: Connection, row_id: int, **values: Any) -> None:
    open_states = (JournalState.RECEIVED, JournalState.WAITING)
    tx.execute(sa.update(journal).where(journal.c.id == row_id, journal.c.state.in_(open_states)).values(**values))


# ------------------------------------------------------------------ looking


def find(
    tx: Connection, *, row_id: int = 0, message_id: str = "", ticket: int = 0, event: int = 0, limit: int = 100
) -> list[JournalRow]:
    """Rows by number, by Message-ID, or by ticket (and event); oldest first."""
    wanted = []
    if row_id:
        wanted.append(journal.c.id == row_id)
    if message_id:
        wanted.append(journal.c.message_id == message_id)
    if ticket:
        wanted.append(journal.c.ticket == ticket)
    if event:
        wanted.append(journal.c.event == event)
    if not wanted:
        return []
    return _rows(tx, sa.and_(*wanted), limit)


def list_held(tx: Connection, limit: int = 1000, *, reason: str = "") -> list[JournalRow]:
    """All rows that wait for a person (for this reason), oldest first."""
    held = journal.c.state == JournalState.HELD
    return _rows(tx, held & (journal.c.reason == reason) if reason else held, limit)


def count_states(tx: Connection) -> dict[str, int]:
    """Number of rows that are not final, by state."""
    states = [JournalState.RECEIVED, JournalState.WAITING, JournalState.HELD]
    counted = sa.select(journal.c.state, sa.func.count()).where(journal.c.state.in_(states)).group_by(journal.c.state)
    return {row[0]: row[1] for row in tx.execute(counted)}


def _rows(tx: Connection, condition: sa.ColumnElement[bool], limit: int) -> list[JournalRow]:
    found = tx.execute(sa.select(journal).where(condition).order_by(journal.c.id).limit(limit))
    return [
        JournalRow(
            id=row.id,
            sha256=row.sha256,
            envelope=_envelope(row),
            state=JournalState(row.state),
            outcome=row.outcome,
            reason=row.reason,
            attempts=row.attempts,
            due_at=row.due_at,
            ticket=row.ticket,
            event=row.event,
            opened=row.opened,
            author=row.author,
            subject=row.subject,
            message_id=row.message_id,
            story=row.story or {},
        )
        for row in found
    ]


_ENVELOPE_COLUMNS = (
    journal.c.reverse_path,
    journal.c.recipient,
    journal.c.inbox,
    journal.c.source,
    journal.c.received_at,
    journal.c.client_address,
    journal.c.helo,
    journal.c.trusted,
    journal.c.queue_id,
    journal.c.submitter,
    journal.c.position,
)
_MAIL_COLUMNS = (
    journal.c.id,
    journal.c.sha256,
    journal.c.attempts,
    journal.c.instruction,
    *_ENVELOPE_COLUMNS,
)


def _envelope(row: Any) -> Envelope:
    return Envelope(
        reverse_path=row.reverse_path,
        recipient=row.recipient,
        inbox=row.inbox,
        source=row.source,
        received_at=row.received_at,
        client_address=row.client_address,
        helo=row.helo,
        trusted=row.trusted,
        queue_id=row.queue_id,
        submitter=row.submitter,
        position=ImapPosition(**row.position) if row.position else None,
    )


def comparable_date(date: datetime | None) -> datetime | None:
    """A Date that can be compared; None without a zone ("-0000" is parsed as naive) and at the ends of time."""
    if date is None or date.tzinfo is None:
        return None
    try:
        return date.astimezone(UTC)
    except OverflowError:
        return None
