"""Sealing: facts that wait become leaves of a signed seal, a batch at a time (decision 0015)."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway import seal as sealing
from gateway.seal import NOTHING, SALT_OCTETS, FactKey, Root, Seal, SealKey, is_marked, leaf_of, sign_seal
from gateway.store.columns import EPOCH
from gateway.store.facts import is_open, read_all, read_facts
from gateway.store.schema import counters, leaves, seals, unsealed
from gateway.store.statements import insert_once, upsert

BATCH = 2000
"""Most facts in one seal: about 40 ms in the writer."""

WEEK, DAY = timedelta(days=7), timedelta(days=1)
_LOCK = 0x7468  # PostgreSQL: one host seals at a time
_LAST = sa.select(seals).order_by(seals.c.number.desc()).limit(1)
_MARKS = sa.select(unsealed.c.id, unsealed.c.kind, unsealed.c.a, unsealed.c.b, unsealed.c.mark)
_WAITING = _MARKS.where(unsealed.c.refused.is_(False)).order_by(unsealed.c.id).limit(BATCH)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a pass did.

    ``refused``: facts written by somebody without the key; they stay, unsealed. ``sent``: deliveries that were sealed
    as sent.
    """

    seal: Seal | None = None
    refused: tuple[FactKey, ...] = ()
    more: bool = False
    sent: tuple[int, ...] = ()


def find_last(tx: Connection) -> Seal | None:
    """The newest seal."""
    row = tx.execute(_LAST).first()
    return to_seal(row) if row else None


def find_seal(tx: Connection, number: int) -> Seal | None:
    row = tx.execute(sa.select(seals).where(seals.c.number == number)).first()
    return to_seal(row) if row else None


def to_seal(row: Any) -> Seal:
    return Seal(
        number=row.number,
        previous=row.previous,
        at=row.at,
        leaves=row.leaves,
        root=row.root,
        key=row.key,
        signature=row.signature,
    )


def seal_waiting(tx: Connection, key: SealKey, now: datetime) -> Sealed:
    """Seal what waits, at most BATCH facts; several hosts may call it. The first seal of a store takes in all of it."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    last = find_last(tx)
    if last is None:
        tx.execute(sa.delete(unsealed))
        there = _everything(tx)
        # On PostgreSQL others commit while we read: what they wrote is read, and waits with its mark for the next seal.
        for row in tx.execute(sa.select(unsealed.c.kind, unsealed.c.a, unsealed.c.b)):
            there.pop((row.kind, row.a, row.b), None)
        return Sealed(_write(tx, key, None, there, now) if there else None, sent=_sent(there))
    waiting = tx.execute(_WAITING).all()
    if not waiting:
        return Sealed()
    good: list[int] = []
    bad: dict[int, FactKey] = {}
    wanted: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for number, kind, a, b, mark in waiting:
        if is_marked(key.mark_key, (kind, a, b), mark):
            good.append(number)
            wanted[kind].add((a, b))
        else:
            bad[number] = (kind, a, b)
    refused = tuple(bad.values())
    if bad:
        tx.execute(sa.update(unsealed).where(unsealed.c.id.in_(list(bad))).values(refused=True))
    # Deleted before they are read: on PostgreSQL a fact that changes while we read is marked again, and sealed again.
    if good:
        tx.exec_driver_sql(f"DELETE FROM unsealed WHERE id IN ({', '.join(map(str, good))})")
    facts: dict[FactKey, list[Any]] = {}
    for kind, keys in wanted.items():
        found = read_facts(tx, kind, keys)
        facts.update(((kind, *k), found.get(k, [])) for k in keys)  # one that is gone is sealed as nothing
    more = len(waiting) == BATCH
    return Sealed(_write(tx, key, last, facts, now) if facts else None, refused, more, _sent(facts))


def claim_showing(tx: Connection, now: datetime) -> bool:
    """Whether people are to be shown the head: a day after the first call, then every week; one gateway gets it."""
    moment = _count_of(now)
    tx.execute(insert_once(tx, counters), {"name": "head", "value": moment - _count_of(EPOCH + WEEK - DAY)})
    long_ago = counters.c.value <= moment - _count_of(EPOCH + WEEK)
    due = long_ago | (counters.c.value > moment)  # by a clock that was wrong
    return tx.execute(sa.update(counters).where(counters.c.name == "head", due).values(value=moment)).rowcount == 1


def _count_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _sent(facts: dict[FactKey, list[Any]]) -> tuple[int, ...]:
    return tuple(a for (kind, a, _), values in facts.items() if kind == sealing.ENDED and values[:1] == ["sent"])


def _everything(tx: Connection) -> dict[FactKey, list[Any]]:
    return {
        (kind, *key): values
        for kind in sealing.KINDS
        for key, values in read_all(tx, kind)
        if not (kind in sealing.CHANGING and is_open(kind, values))
    }


def _take_number(tx: Connection, last: Seal | None) -> int:
    """Counted apart from the seals: when seals are removed, the next one does not take the place of one of them."""
    given = tx.execute(sa.select(counters.c.value).where(counters.c.name == "seal")).scalar() or 0
    number = max(given, last.number if last else 0) + 1
    tx.execute(upsert(tx, counters, "value"), {"name": "seal", "value": number})
    return int(number)


def _insert_leaves(tx: Connection, rows: list[tuple[Any, ...]]) -> None:
    if tx.dialect.name == "sqlite":
        driver = tx.connection.driver_connection
        assert driver is not None
        driver.executemany("INSERT INTO leaves (kind, a, b, seal, salt, digest) VALUES (?, ?, ?, ?, ?, ?)", rows)
        return
    names = ("kind", "a", "b", "seal", "salt", "digest")
    tx.execute(sa.insert(leaves), [dict(zip(names, row, strict=True)) for row in rows])


def _write(tx: Connection, key: SealKey, last: Seal | None, facts: dict[FactKey, list[Any]], now: datetime) -> Seal:
    number = _take_number(tx, last)
    root, rows = Root(), []
    for fact in sorted(facts):
        salt = os.urandom(SALT_OCTETS)
        leaf = leaf_of(fact[0], salt, facts[fact])
        root.add(fact, leaf)
        rows.append((*fact, number, salt, leaf))
    _insert_leaves(tx, rows)
    previous = last.digest if last else NOTHING
    unsigned = Seal(number=number, previous=previous, at=now, leaves=root.count, root=root.digest(), key=key.public)
    seal = sign_seal(unsigned, key)
    tx.execute(
        sa.insert(seals),
        {
            "number": seal.number,
            "previous": seal.previous,
            "at": seal.at,
            "leaves": seal.leaves,
            "root": seal.root,
            "key": seal.key,
            "signature": seal.signature,
        },
    )
    return seal
