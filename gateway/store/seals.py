"""Sealing: facts that wait become leaves of a signed seal, a batch at a time (decision 0015)."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway import seal as sealing
from gateway.seal import NOTHING, SALT_OCTETS, FactKey, Root, Seal, SealKey, is_marked, leaf_of, sign_seal
from gateway.store.columns import EPOCH
from gateway.store.facts import is_open, read_all
from gateway.store.marks import hold_sealing
from gateway.store.schema import counters, deliveries, leaves, seals, unsealed
from gateway.store.statements import insert_once, upsert

BATCH = 2000
"""Most facts in one seal: about 40 ms in the writer."""

_AT_ONCE = 400
WEEK, DAY = timedelta(days=7), timedelta(days=1)
_LEAF = ("kind", "a", "b", "seal", "serial", "salt", "digest")
_NEW_LEAF = f"INSERT INTO leaves ({', '.join(_LEAF)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_LAST = sa.select(seals).order_by(seals.c.number.desc()).limit(1)
_SEALED = (
    sa.select(sa.func.max(leaves.c.serial))
    .where(leaves.c.kind == unsealed.c.kind, leaves.c.a == unsealed.c.a, leaves.c.b == unsealed.c.b)
    .scalar_subquery()
)
MARKS = sa.select(unsealed, _SEALED.label("sealed")).order_by(unsealed.c.id)
"""What waits, each row with the serial of its fact's last leaf (``sealed``): a mark must be later than that."""
_WAITING = MARKS.where(unsealed.c.refused.is_(False)).limit(BATCH)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a pass did.

    ``refused``: facts written by somebody without the key, or put back with a mark that was used; they stay, unsealed.
    ``sent``: deliveries that were sealed as sent.
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


@dataclass(frozen=True, slots=True)
class _Leaf:
    serial: int
    salt: bytes
    digest: bytes


def is_good(key: bytes, row: Any) -> bool:
    """Whether a row of :data:`MARKS` was made by somebody with the key, for these contents, and is not used yet."""
    return not is_stale(row) and is_marked(key, (row.kind, row.a, row.b), row.id, row.salt, row.digest, row.mark)


def is_stale(row: Any) -> bool:
    """Whether something as young was sealed of this fact already: the mark was put back."""
    return row.sealed is not None and row.id <= row.sealed


def seal_waiting(tx: Connection, key: SealKey, now: datetime) -> Sealed:
    """Seal what waits, at most BATCH marks; several hosts may call it. The first seal of a store takes in all of it."""
    hold_sealing(tx)
    last = find_last(tx)
    if last is None:
        return _seal_all(tx, key, now)
    waiting = tx.execute(_WAITING).all()
    if not waiting:
        return Sealed()
    good: list[int] = []
    bad: dict[int, FactKey] = {}
    facts: dict[FactKey, _Leaf] = {}
    for row in waiting:
        if is_good(key.mark_key, row):
            good.append(row.id)
            facts[row.kind, row.a, row.b] = _Leaf(row.id, row.salt, row.digest)  # the last version counts
        else:
            bad[row.id] = (row.kind, row.a, row.b)
    if bad:
        tx.execute(sa.update(unsealed).where(unsealed.c.id.in_(list(bad))).values(refused=True))
    if good:
        tx.exec_driver_sql(f"DELETE FROM unsealed WHERE id IN ({', '.join(map(str, good))})")
    more = len(waiting) == BATCH
    seal = _write(tx, key, last, facts, now) if facts else None
    return Sealed(seal, tuple(bad.values()), more, _find_sent(tx, facts))


def _seal_all(tx: Connection, key: SealKey, now: datetime) -> Sealed:
    """The first seal: every row as it is, under the serial of the mark that waited for it."""
    # Deleted before rows are read: on PostgreSQL others commit while we read. What they wrote is read, and left to
    # its mark and the next seal.
    gone = sa.delete(unsealed).returning(unsealed.c.kind, unsealed.c.a, unsealed.c.b, unsealed.c.id)
    serials: dict[FactKey, int] = {}
    for kind, a, b, serial in tx.execute(gone):
        serials[kind, a, b] = max(serial, serials.get((kind, a, b), 0))
    there = _everything(tx)
    for row in tx.execute(sa.select(unsealed.c.kind, unsealed.c.a, unsealed.c.b)):
        there.pop((row.kind, row.a, row.b), None)
    facts = {}
    for fact, values in there.items():
        salt = os.urandom(SALT_OCTETS)
        facts[fact] = _Leaf(serials.get(fact, 0), salt, leaf_of(fact[0], salt, values))
    return Sealed(_write(tx, key, None, facts, now) if facts else None, sent=_find_sent(tx, facts))


def claim_showing(tx: Connection, now: datetime) -> bool:
    """Whether people are to be shown the head: a day after the first call, then every week; one gateway gets it."""
    moment = _count_of(now)
    tx.execute(insert_once(tx, counters), {"name": "head", "value": moment - _count_of(EPOCH + WEEK - DAY)})
    long_ago = counters.c.value <= moment - _count_of(EPOCH + WEEK)
    due = long_ago | (counters.c.value > moment)  # by a clock that was wrong
    return tx.execute(sa.update(counters).where(counters.c.name == "head", due).values(value=moment)).rowcount == 1


def _count_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _find_sent(tx: Connection, facts: Collection[FactKey]) -> tuple[int, ...]:
    ended = [a for kind, a, _ in facts if kind == sealing.ENDED]
    found: list[int] = []
    for start in range(0, len(ended), _AT_ONCE):
        some = deliveries.c.id.in_(ended[start : start + _AT_ONCE])
        found += tx.execute(sa.select(deliveries.c.id).where(some, deliveries.c.state == "sent")).scalars()
    return tuple(found)


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
        driver.executemany(_NEW_LEAF, rows)
        return
    tx.execute(sa.insert(leaves), [dict(zip(_LEAF, row, strict=True)) for row in rows])


def _write(tx: Connection, key: SealKey, last: Seal | None, facts: Mapping[FactKey, _Leaf], now: datetime) -> Seal:
    number = _take_number(tx, last)
    root, rows = Root(), []
    for fact in sorted(facts):
        leaf = facts[fact]
        root.add(fact, leaf.serial, leaf.digest)
        rows.append((*fact, number, leaf.serial, leaf.salt, leaf.digest))
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
