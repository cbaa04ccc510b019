"""Who and what is forgotten: one person on request, and what retention says is old enough."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.address import fold_address
from gateway.errors import TemporaryError
from gateway.settings import Retention
from gateway.store import suppression
from gateway.store.columns import EPOCH
from gateway.store.database import Database
from gateway.store.erasure import (
    ERASED,
    Erasing,
    clear_of,
    empty_outgoing,
    empty_tickets,
    forget_mails,
    forget_recipient,
    leave,
    remove_raw,
)
from gateway.store.schema import counters, deliveries, events, journal, participants, persons, raw, tickets
from gateway.store.statements import insert_once

QUARANTINE = ("loop", "flood", "blocked")
"""Reasons of held mail that nobody is asked about."""
_AT_ONCE = 200
_RUN = "retention-run"


class NotErasableError(ValueError):
    """Somebody who may not be forgotten; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known about an address."""

    address: str
    party: int = 0  # 0: nobody ever took part under it
    name: str = ""
    agent: str = ""
    customer_of: tuple[int, ...] = ()
    took_part_in: tuple[int, ...] = ()
    mails: tuple[int, ...] = ()  # rows of the journal that they wrote
    sent: tuple[int, ...] = ()  # mails of ours to them
    refused: str = ""  # why automatic mail is not sent there any more


def find_known(tx: Connection, address: str) -> Known | None:
    """Everything that names an address; None when nothing does."""
    folded = fold_address(address)
    person = tx.execute(sa.select(persons).where(persons.c.address == folded)).first()
    wrote = sa.or_(journal.c.author == folded, sa.func.lower(journal.c.reverse_path) == folded)
    mails = tx.execute(sa.select(journal.c.id).where(wrote).order_by(journal.c.id)).scalars().all()
    refused = suppression.find_suppressed(tx, [folded]).get(folded, "")
    to = sa.func.lower(deliveries.c.recipient) == folded
    sent = tx.execute(sa.select(deliveries.c.id).where(to).order_by(deliveries.c.id)).scalars().all()
    if person is None:
        known = Known(address=folded, mails=tuple(mails), sent=tuple(sent), refused=refused)
        return known if mails or sent or refused else None
    party = person.party
    own = tx.execute(sa.select(tickets.c.number).where(tickets.c.customer == party)).scalars().all()
    joined = tx.execute(sa.select(participants.c.ticket).where(participants.c.party == party)).scalars()
    wrote_in = tx.execute(sa.select(events.c.ticket).where(events.c.party == party).distinct()).scalars()
    others = {*joined, *wrote_in} - {*own}
    return Known(
        address=folded,
        party=party,
        name=person.name,
        agent=person.agent,
        customer_of=tuple(sorted(own)),
        took_part_in=tuple(sorted(others)),
        mails=tuple(mails),
        sent=tuple(sent),
        refused=refused,
    )


def erase_person(tx: Connection, address: str, now: datetime) -> dict[str, int]:
    """Erase a person; how much of what. Raises LookupError for nobody, NotErasableError for an agent."""
    known = find_known(tx, address)
    if known is None:
        raise LookupError(f"nothing here names {address}")
    if known.agent:
        raise NotErasableError(f"{address} is agent {known.agent}: take them out of agents.toml first")
    erasing = Erasing(tx, "a person was erased", now)
    elsewhere = tx.execute(sa.select(journal.c.ticket).where(journal.c.id.in_(known.mails or (0,)))).scalars()
    beside = {number for number in elsewhere if number} - {*known.customer_of, *known.took_part_in}
    empty_tickets(erasing, known.customer_of)
    clear_of(erasing, {*known.took_part_in, *beside}, known.party or -1, (known.address, known.name))
    remove_raw(erasing, known.mails)
    forget_mails(erasing, known.mails, author=True)
    lists = (deliveries.c.ticket == 0) & (deliveries.c.kind != "alert")  # digests and lists show subjects and people
    empty_outgoing(erasing, lists)
    forget_recipient(erasing, known.sent)
    suppression.lift(tx, known.address)
    if known.party:
        leave(erasing, known.party, known.address)
        values = {"address": f"erased-{known.party}", "name": "", "known": False}
        tx.execute(sa.update(persons).where(persons.c.party == known.party).values(**values))
    return erasing.finish()


# ------------------------------------------------------------------ retention


def run_retention(tx: Connection, rules: Retention, now: datetime) -> dict[str, int]:
    """One portion of what is older than the rules allow; empty when nothing is left. Call it until then."""
    erasing = Erasing(tx, "retention", now)
    old = _Old(rules, now)
    gone = tx.execute(sa.select(tickets.c.number).where(old.tickets()).limit(_AT_ONCE)).scalars().all()
    if gone:
        empty_tickets(erasing, gone)
    rows = tx.execute(_with_bytes(old.quarantine()).limit(_AT_ONCE)).scalars().all()
    remove_raw(erasing, rows)
    forget_mails(erasing, rows, author=True)
    mails = old.mails()
    if mails is not None:
        remove_raw(erasing, tx.execute(_with_bytes(mails).limit(_AT_ONCE)).scalars().all())
    if rules.raw is not None:
        done = sa.and_(deliveries.c.ended_at < now - rules.raw, sa.func.length(deliveries.c.content) > 0)
        some = sa.select(deliveries.c.id).where(done).limit(_AT_ONCE).scalar_subquery()
        empty_outgoing(erasing, deliveries.c.id.in_(some))
    counts = {what: number for what, number in erasing.counts.items() if number}
    return erasing.finish() if counts else {}


def count_retention(tx: Connection, rules: Retention, now: datetime) -> dict[str, int]:
    """What a run would erase; nothing is changed."""
    old = _Old(rules, now)
    counts = {"tickets": tx.execute(sa.select(sa.func.count()).select_from(tickets).where(old.tickets())).scalar_one()}
    conditions = {"quarantined mails": old.quarantine(), "mails as received": old.mails()}
    for what, condition in conditions.items():
        if condition is not None:
            rows = _with_bytes(condition).subquery()
            counts[what] = tx.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()
    if rules.raw is not None:
        done = sa.and_(deliveries.c.ended_at < now - rules.raw, sa.func.length(deliveries.c.content) > 0)
        counts["mails of ours"] = tx.execute(
            sa.select(sa.func.count()).select_from(deliveries).where(done)
        ).scalar_one()
    return counts


def find_last_run(tx: Connection) -> datetime | None:
    """When retention ran last by itself; None: never."""
    value = tx.execute(sa.select(counters.c.value).where(counters.c.name == _RUN)).scalar()
    return EPOCH + timedelta(microseconds=value) if value else None


def claim_run(tx: Connection, due: datetime, now: datetime) -> bool:
    """Whether the run that was due then is ours; several gateways may ask, one gets it."""
    tx.execute(insert_once(tx, counters), {"name": _RUN, "value": 0})
    before, at = ((moment - EPOCH) // timedelta(microseconds=1) for moment in (due, now))
    open_run = sa.or_(counters.c.value < before, counters.c.value > at)  # or of a clock that was wrong
    return tx.execute(sa.update(counters).where(counters.c.name == _RUN, open_run).values(value=at)).rowcount == 1


class _Old:
    """What the rules call old enough, as conditions."""

    def __init__(self, rules: Retention, now: datetime) -> None:
        self._rules, self._now = rules, now

    def tickets(self) -> sa.ColumnElement[bool]:
        spam = (tickets.c.state == "spam") & (tickets.c.changed_at < self._now - self._rules.spam)
        old = spam
        if self._rules.closed is not None:
            old = old | ((tickets.c.state == "closed") & (tickets.c.closed_at < self._now - self._rules.closed))
        return old & (tickets.c.subject != ERASED)

    def mails(self) -> sa.ColumnElement[bool] | None:
        if self._rules.raw is None:
            return None
        return (journal.c.state == "applied") & (journal.c.received_at < self._now - self._rules.raw)

    def quarantine(self) -> sa.ColumnElement[bool]:
        held = (journal.c.state == "held") & journal.c.reason.in_(QUARANTINE)
        return held & (journal.c.received_at < self._now - self._rules.quarantine)


def _with_bytes(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    there = sa.func.length(raw.c.content) > 0
    joined = sa.select(journal.c.id).join(raw, raw.c.sha256 == journal.c.sha256)
    return joined.where(condition, there).order_by(journal.c.id)


# ------------------------------------------------------------------ and from the disk


def compact(database: Database) -> None:
    """Write the database anew, so that nothing of what was erased is left in free space of its file.

    Writers wait meanwhile. On PostgreSQL the rows are vacuumed; its own log and its backups are somebody else's.
    """
    if database.sqlite_file is None:
        connection = database.connection_of_its_own()
        try:
            connection.exec_driver_sql("VACUUM")
        finally:
            connection.close()
        return
    try:
        with sqlite3.connect(database.sqlite_file, timeout=60, isolation_level=None) as file:
            file.execute("PRAGMA secure_delete=ON")
            file.execute("VACUUM")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.close()
    except sqlite3.Error as error:
        raise TemporaryError(f"erased, but the file could not be written anew: {error}") from error
