"""Proving the record: every seal, every leaf, every row, in one pass; what is wrong, each in a sentence.

Leaves and rows are read in the same order and compared like two sorted lists; each seal's root grows on the way. What
this cannot see is said by its caller: a chain cut off at its end proves itself, unless somebody outside knows its head.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa
import zstandard
from sqlalchemy import Connection

from gateway import seal as sealing
from gateway.seal import ERASURE, NOTHING, RAW, FactKey, Root, Seal, leaf_of
from gateway.store.facts import is_open, name_of, read_all
from gateway.store.raw_mail import unpack
from gateway.store.schema import erasures, journal, leaves, raw, seals
from gateway.store.seals import MARKS, is_good, is_stale, to_seal


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed."""

    what: str  # one word: changed, missing, inserted, refused, stale, chain, signature, raw, truncated, erased
    fact: str  # the row: "event 5 of ticket 4827"
    sentence: str


@dataclass(slots=True)
class Proof:
    """What was looked at and what was found."""

    findings: list[Finding] = field(default_factory=list)
    seals: int = 0
    facts: int = 0
    mails: int = 0  # whose raw bytes were hashed
    erased: int = 0  # leaves whose salt is gone, by a sealed erasure
    waiting: int = 0  # facts the next seal will take
    last: Seal | None = None

    def found(self, what: str, fact: str, sentence: str) -> None:
        self.findings.append(Finding(what, fact, sentence))


def see_one_moment(tx: Connection) -> None:
    """The first statement of a transaction that reads for long: each of its others would see another store."""
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def verify(
    tx: Connection, *, public: bytes, mark_key: bytes = b"", first: int = 1, head: tuple[int, str] | None = None
) -> Proof:
    """Compare the whole store with its seals.

    ``public``: the key that must have signed, from outside the database. ``mark_key``: of who has the private key, to
    judge the facts that wait. ``first``: rows whose last seal is older are not compared. ``head``: number and digest
    (its beginning) of a seal that is known from elsewhere, which must be there. While gateways write, ``tx`` must see
    one moment (:func:`see_one_moment`).
    """
    proof = Proof()
    chain = _check_chain(tx, public, proof)
    waiting = _check_waiting(tx, mark_key, proof)
    if head is not None:
        _check_head(chain, head, proof)
    roots: dict[int, Root] = defaultdict(Root)
    erased, named = _read_erasures(tx, waiting[ERASURE])
    collation = ' COLLATE "C"' if tx.dialect.name == "postgresql" else ""
    order = sa.text(f"kind{collation}, a, b, seal")
    rows = tx.execute(sa.select(leaves).order_by(order).execution_options(yield_per=500))
    by_kind = groupby(rows, key=lambda row: row.kind)
    kind, group = next(by_kind, (None, None))
    for wanted in sealing.KINDS:
        while kind is not None and kind < wanted:  # a kind we do not know
            _count(group or (), roots)
            kind, group = next(by_kind, (None, None))
        mine: Iterable[Any] = group or () if kind == wanted else ()
        _compare(tx, wanted, mine, _Known(roots, erased, waiting[wanted], first), proof)
        if kind == wanted:
            kind, group = next(by_kind, (None, None))
    _check_roots(chain, roots, proof)
    _check_raw(tx, named, proof)
    return proof


# ------------------------------------------------------------------ the chain


def _check_chain(tx: Connection, public: bytes, proof: Proof) -> list[Seal]:
    chain = [to_seal(row) for row in tx.execute(sa.select(seals).order_by(seals.c.number))]
    previous, expected = NOTHING, 1
    for seal in chain:
        name = f"seal {seal.number}"
        if seal.number != expected:
            gone = f"seal {expected}" if seal.number == expected + 1 else f"seals {expected} to {seal.number - 1}"
            proof.found("chain", gone, f"{gone}: missing from the chain")
        elif seal.previous != previous:
            proof.found("chain", name, f"{name} does not follow seal {seal.number - 1}: one of the two was replaced")
        if not seal.is_signed_by(public):
            whose = "another key" if seal.key != public else "nobody with the key: it was changed after it was signed"
            proof.found("signature", name, f"{name} is signed by {whose}")
        previous, expected = seal.digest, seal.number + 1
    proof.seals, proof.last = len(chain), chain[-1] if chain else None
    return chain


def _check_head(chain: list[Seal], head: tuple[int, str], proof: Proof) -> None:
    number, digest = head
    there = next((seal for seal in chain if seal.number == number), None)
    if there is None:
        last = chain[-1].number if chain else 0
        proof.found(
            "truncated",
            f"seal {number}",
            f"the chain ends at seal {last}, but seal {number} was made: everything sealed since then was removed, "
            "or this is an older copy of the database",
        )
    elif not there.digest.hex().startswith(digest.lower()):
        proof.found("chain", f"seal {number}", f"seal {number} is not the one that was noted outside the database")


def _check_roots(chain: list[Seal], roots: dict[int, Root], proof: Proof) -> None:
    for seal in chain:
        root = roots.pop(seal.number, Root())
        if root.count != seal.leaves or root.digest() != seal.root:
            proof.found(
                "chain",
                f"seal {seal.number}",
                f"seal {seal.number} was made over {seal.leaves} facts that are not the {root.count} listed for it now",
            )
    for number in sorted(roots):
        proof.found("chain", f"seal {number}", f"facts are listed for seal {number}, which does not exist")


# ------------------------------------------------------------------ facts that wait


def _check_waiting(tx: Connection, mark_key: bytes, proof: Proof) -> dict[str, dict[tuple[int, int], Any]]:
    """The newest good mark of each fact that waits. Without the key all that were not used yet count as good."""
    waiting: dict[str, dict[tuple[int, int], Any]] = defaultdict(dict)
    for row in tx.execute(MARKS):
        name = name_of((row.kind, row.a, row.b))
        if is_stale(row):
            proof.found("stale", name, f"{name} waits with a mark that was used already: somebody put it back")
        elif row.refused or (mark_key and not is_good(mark_key, row)):
            proof.found("refused", name, f"{name} was written by somebody who has not the installation's key")
        else:
            waiting[row.kind][row.a, row.b] = row
            proof.waiting += 1
    return waiting


# ------------------------------------------------------------------ rows against leaves


@dataclass(frozen=True, slots=True)
class _Erased:
    """The newest erasure of a fact: its serial, and whether the row went as well."""

    serial: int
    row_gone: bool


@dataclass(frozen=True, slots=True)
class _Known:
    roots: dict[int, Root]
    erased: dict[FactKey, _Erased]
    waiting: dict[tuple[int, int], Any]
    first: int

    def is_erased(self, fact: FactKey, leaf: Any) -> bool:
        """Whether an erasure explains that this leaf has no salt: one that is younger."""
        erased = self.erased.get(fact)
        return leaf.salt is None and erased is not None and leaf.serial < erased.serial

    def is_gone(self, fact: FactKey, leaf: Any) -> bool:
        """Whether an erasure explains that the row of this last leaf is not there."""
        return self.is_erased(fact, leaf) and self.erased[fact].row_gone


def _count(rows: Iterable[Any], roots: dict[int, Root]) -> None:
    for row in rows:
        roots[row.seal].add((row.kind, row.a, row.b), row.serial, row.digest)


def _compare(tx: Connection, kind: str, rows: Iterable[Any], known: _Known, proof: Proof) -> None:
    """Two lists in the same order: the leaves of a kind, and its rows as they are now."""
    sealed = _by_fact(kind, rows, known, proof)
    there = read_all(tx, kind)
    unseen = set(known.waiting)
    leaf, row = next(sealed, None), next(there, None)
    while leaf is not None or row is not None:
        if row is None or (leaf is not None and leaf[0] < row[0]):
            assert leaf is not None
            if not known.is_gone((kind, *leaf[0]), leaf[1]):
                name = name_of((kind, *leaf[0]))
                proof.found("missing", name, f"{name} is gone; it was sealed in seal {leaf[1].seal}")
            unseen.discard(leaf[0])
            leaf = next(sealed, None)
        elif leaf is None or row[0] < leaf[0]:
            _judge_unsealed(kind, row, known, proof)
            unseen.discard(row[0])
            row = next(there, None)
        else:
            _judge(kind, row, leaf[1], known, proof)
            unseen.discard(row[0])
            leaf, row = next(sealed, None), next(there, None)
    for key in sorted(unseen):
        name = name_of((kind, *key))
        proof.found("missing", name, f"{name} is gone; it waited for its seal")


def _by_fact(kind: str, rows: Iterable[Any], known: _Known, proof: Proof) -> Iterator[tuple[tuple[int, int], Any]]:
    """The last leaf of each row. Every leaf grows its seal's root; earlier ones must have been replaced rightly."""
    for key, versions in groupby(rows, key=lambda row: (row.a, row.b)):
        fact = (kind, *key)
        last = None
        for row in versions:
            known.roots[row.seal].add(fact, row.serial, row.digest)
            if row.salt is None:
                proof.erased += 1
                if not known.is_erased(fact, row):
                    name = name_of(fact)
                    proof.found("erased", name, f"the salt of {name} was removed, and no erasure says so")
            if last is not None and kind not in sealing.CHANGING and last.salt is not None:
                name = name_of(fact)
                proof.found(
                    "changed",
                    name,
                    f"{name} was sealed in seal {last.seal} and again in {row.seal}, but may not change",
                )
            last = row
        yield key, last


def _judge(kind: str, row: tuple[tuple[int, int], list[Any]], leaf: Any, known: _Known, proof: Proof) -> None:
    key, values = row
    if leaf.seal < known.first:
        return
    proof.facts += 1
    if key in known.waiting:
        _judge_waiting(kind, row, known, proof)  # changed by us since: the next seal has it
        return
    name = name_of((kind, *key))
    if leaf.salt is None:
        if known.is_erased((kind, *key), leaf):
            proof.found("changed", name, f"{name} was erased, and what stands there now was never sealed")
    elif leaf_of(kind, leaf.salt, values) != leaf.digest:
        proof.found("changed", name, f"{name} is not what was sealed in seal {leaf.seal}: it was changed since")


def _judge_waiting(kind: str, row: tuple[tuple[int, int], list[Any]], known: _Known, proof: Proof) -> None:
    key, values = row
    mark = known.waiting[key]
    if leaf_of(kind, mark.salt, values) != mark.digest:
        name = name_of((kind, *key))
        proof.found("changed", name, f"{name} is not what was written, and waits for its seal: it was changed since")


def _judge_unsealed(kind: str, row: tuple[tuple[int, int], list[Any]], known: _Known, proof: Proof) -> None:
    key, values = row
    if key in known.waiting:
        _judge_waiting(kind, row, known, proof)
        return
    if kind in sealing.CHANGING and is_open(kind, values):
        return
    if not proof.seals:
        return
    name = name_of((kind, *key))
    proof.found(
        "inserted", name, f"{name} is in no seal and does not wait for one: it was inserted, or changed, by hand"
    )


# ------------------------------------------------------------------ erasures and raw bytes


def _read_erasures(tx: Connection, waiting: dict[tuple[int, int], Any]) -> tuple[dict[FactKey, _Erased], set[FactKey]]:
    """What erasures name: with the newest of those that have a serial, and all of it.

    Each erasure is a fact itself, so one that nobody sealed is found as inserted.
    """
    serial = sa.select(sa.func.max(leaves.c.serial)).where(leaves.c.kind == ERASURE, leaves.c.a == erasures.c.id)
    rows = tx.execute(sa.select(erasures.c.id, erasures.c.facts, erasures.c.rows_gone, serial.scalar_subquery()))
    erased: dict[FactKey, _Erased] = {}
    named: set[FactKey] = set()
    for number, facts, gone, sealed in rows:
        mark = waiting.get((number, 0))
        newest = mark.id if mark is not None else sealed
        for kind, a, b in facts:
            fact = (str(kind), int(a), int(b))
            named.add(fact)
            if newest is not None and (fact not in erased or erased[fact].serial < newest):
                erased[fact] = _Erased(newest, gone)
    return erased, named


def _check_raw(tx: Connection, named: set[FactKey], proof: Proof) -> None:
    decompressor = zstandard.ZstdDecompressor()
    statement = sa.select(journal.c.id, raw).outerjoin(raw, raw.c.sha256 == journal.c.sha256).order_by(journal.c.id)
    for row in tx.execute(statement.execution_options(yield_per=50)):
        name = f"mail received {row.id}"
        if not row.content:
            if (RAW, row.id, 0) not in named:
                proof.found("raw", name, f"the bytes of {name} are gone, and no erasure says so")
            continue
        proof.mails += 1
        try:
            good = hashlib.sha256(unpack(decompressor, row)).hexdigest() == row.sha256
        except zstandard.ZstdError:
            good = False
        if not good:
            proof.found("raw", name, f"the bytes of {name} are not those that were received")
