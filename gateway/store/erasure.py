"""Removing contents for good, and leaving the record provable (decision 0015).

Rows stay, so that numbers, counts and the order of things stay; what somebody wrote, and who that was, goes. Of what
was sealed the salt is destroyed: its leaf still holds its place in the chain, and nobody can find out by trying what it
was made from. Each erasure is itself a sealed fact that names the rows, never the person.

The SHA-256 of a mail as it was received stays. It is what recognises the same mail when a mailbox is read again from
its start; a mail has a Message-ID and dates of its own, so that nothing can be found from it by trying.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway import seal
from gateway.seal import RAW, FactKey
from gateway.store import search
from gateway.store.columns import EPOCH
from gateway.store.marks import hold_sealing, mark, mark_ids, unmark
from gateway.store.schema import (
    acknowledgements,
    blocks,
    deliveries,
    erasures,
    events,
    held,
    journal,
    leaves,
    message_ids,
    participants,
    raw,
    replay_keys,
    tickets,
    timers,
)

ERASED = "(erased)"
"""Subject of a ticket whose texts are gone."""
_AT_ONCE = 400
_FACTS_AT_ONCE = 5000
_OPEN = ("queued", "transmitting", "deferred", "held")


@dataclass(slots=True)
class Erasing:
    """One erasure in the making: what it touched, until :meth:`finish` records it."""

    tx: Connection
    why: str
    now: datetime
    facts: dict[FactKey, None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        if self.tx.dialect.name == "sqlite":
            # What is deleted is overwritten with zeros; copies that older writes left in free space go with VACUUM.
            self.tx.exec_driver_sql("PRAGMA secure_delete=ON")

    def touched(self, kind: str, keys: Collection[tuple[int, int]]) -> None:
        """These rows are about to be other than sealed."""
        self.facts.update(dict.fromkeys((kind, *key) for key in keys))

    def finish(self, *, rows_stay: bool = True) -> dict[str, int]:
        """Destroy the salts, record the erasure, mark what is left of the rows for the next seal; the counts.

        The erasure is marked before them: a leaf that is younger than the erasure that names it still has its salt.
        """
        by_kind: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for kind, a, b in self.facts:
            by_kind[kind].append((a, b))
        by_kind.pop(RAW, None)
        hold_sealing(self.tx)  # or a seal that is being made takes in, with its salt, what we do not see yet
        for kind, keys in by_kind.items():
            unmark(self.tx, kind, keys)
            for some in _portions(keys):
                named = sa.or_(*(((leaves.c.a == a) & (leaves.c.b == b)) for a, b in some))
                self.tx.execute(sa.update(leaves).where(leaves.c.kind == kind, named).values(salt=None))
        listed = [list(fact) for fact in self.facts]
        for start in range(0, len(listed), _FACTS_AT_ONCE):
            row = {"at": self.now, "why": self.why, "counts": dict(self.counts), "rows_gone": not rows_stay}
            number = self.tx.execute(
                sa.insert(erasures).returning(erasures.c.id),
                {**row, "facts": listed[start : start + _FACTS_AT_ONCE]},
            ).scalar_one()
            mark_ids(self.tx, seal.ERASURE, [number])
        for kind, keys in by_kind.items() if rows_stay else ():
            mark(self.tx, kind, keys)
        return dict(self.counts)


def _portions(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


# ------------------------------------------------------------------ mails


def remove_raw(erasing: Erasing, rows: Collection[int]) -> None:
    """The bytes of these mails as they came."""
    tx = erasing.tx
    for some in _portions(sorted(rows)):
        found = tx.execute(
            sa.select(journal.c.id, journal.c.sha256)
            .join(raw, raw.c.sha256 == journal.c.sha256)
            .where(journal.c.id.in_(some), sa.func.length(raw.c.content) > 0)
        ).all()
        if not found:
            continue
        hashes = {row.sha256 for row in found}
        sharing = tx.execute(sa.select(journal.c.id).where(journal.c.sha256.in_(hashes))).scalars().all()
        tx.execute(sa.update(raw).where(raw.c.sha256.in_(hashes)).values(content=b""))
        erasing.touched(RAW, [(number, 0) for number in sharing])
        erasing.counts["mails as received"] += len(hashes)


def forget_mails(erasing: Erasing, rows: Collection[int], *, author: bool) -> None:
    """What the rows say about mails: their story; with ``author`` also who wrote them, from where."""
    about: dict[str, Any] = {"story": None, "instruction": None, "body_sha256": "", "reason": "", "subject": ""}
    if author:
        names = ("reverse_path", "client_address", "helo", "queue_id", "submitter", "author", "message_id")
        about |= dict.fromkeys(names, "")
    for some in _portions(sorted(rows)):
        erasing.tx.execute(sa.update(journal).where(journal.c.id.in_(some)).values(**about))
        erasing.tx.execute(sa.delete(replay_keys).where(replay_keys.c.journal.in_(some)))
        undecided = journal.c.id.in_(some) & (journal.c.state != "applied")
        erasing.tx.execute(
            sa.update(journal)
            .where(undecided)
            .values(state="applied", outcome="discard", reason="erased", due_at=None, lease_owner="")
        )
    erasing.touched(seal.RECEIVED, [(number, 0) for number in rows])
    erasing.touched(seal.DECIDED, [(number, 0) for number in rows])


def empty_outgoing(erasing: Erasing, condition: sa.ColumnElement[bool]) -> None:
    """The frozen bytes of mails of ours that are done with."""
    tx = erasing.tx
    done = sa.and_(deliveries.c.state.not_in(_OPEN), condition)
    rows = tx.execute(sa.select(deliveries.c.id).where(done, sa.func.length(deliveries.c.content) > 0)).scalars().all()
    for some in _portions(rows):
        tx.execute(sa.update(deliveries).where(deliveries.c.id.in_(some)).values(content=b"", reply=""))
    erasing.touched(seal.QUEUED, [(number, 0) for number in rows])
    erasing.touched(seal.ENDED, [(number, 0) for number in rows])
    erasing.counts["mails of ours"] += len(rows)


def forget_recipient(erasing: Erasing, numbers: Collection[int]) -> None:
    """Mails to somebody who is forgotten: without bytes and without address. What still waits never leaves."""
    tx = erasing.tx
    for some in _portions(sorted(numbers)):
        mine = deliveries.c.id.in_(some)
        stopped = {"state": "failed", "due_at": None, "ended_at": erasing.now, "lease_owner": ""}
        tx.execute(sa.update(deliveries).where(mine, deliveries.c.state.in_(_OPEN)).values(**stopped))
        tx.execute(sa.update(deliveries).where(mine).values(recipient=ERASED, reply=""))
        empty_outgoing(erasing, mine)
    erasing.touched(seal.QUEUED, [(number, 0) for number in numbers])
    erasing.touched(seal.ENDED, [(number, 0) for number in numbers])


def forget_outgoing(tx: Connection, numbers: Collection[int]) -> None:
    """Rows of mails of ours that are gone as a whole, because their numbers begin again."""
    erasing = Erasing(tx, "numbers of lists began again", EPOCH)
    erasing.touched(seal.QUEUED, [(number, 0) for number in numbers])
    erasing.touched(seal.ENDED, [(number, 0) for number in numbers])
    erasing.finish(rows_stay=False)


# ------------------------------------------------------------------ tickets


def empty_tickets(erasing: Erasing, numbers: Collection[int]) -> None:
    """Everything that was written in these tickets, by anybody; they are closed, and their lines still count."""
    tx = erasing.tx
    for some in _portions(sorted(numbers)):
        keys = tx.execute(sa.select(events.c.ticket, events.c.number).where(events.c.ticket.in_(some))).all()
        _empty_events(erasing, [(row.ticket, row.number) for row in keys])
        rows = tx.execute(sa.select(journal.c.id).where(journal.c.ticket.in_(some))).scalars().all()
        remove_raw(erasing, rows)
        forget_mails(erasing, rows, author=False)
        empty_outgoing(erasing, deliveries.c.ticket.in_(some))
        blank = {"text": "", "commands": [], "bad_line": "", "attachments": []}
        tx.execute(sa.update(held).where(held.c.ticket.in_(some)).values(**blank))
        open_ones = held.c.ticket.in_(some) & (held.c.resolution == "")
        tx.execute(sa.update(held).where(open_ones).values(resolution="erased"))
        tx.execute(sa.delete(message_ids).where(message_ids.c.ticket.in_(some), message_ids.c.party == 0))
        tx.execute(sa.delete(timers).where(timers.c.ticket.in_(some)))
        tx.execute(
            sa.update(tickets)
            .where(tickets.c.number.in_(some))
            .values(
                subject=ERASED,
                title="",
                tags=[],
                state=sa.case((tickets.c.state == "spam", "spam"), else_="closed"),
                closed_at=sa.func.coalesce(sa.type_coerce(tickets.c.closed_at, sa.BigInteger), _micros(erasing.now)),
                snoozed_until=None,
            )
        )
        search.forget(tx, some)
    erasing.counts["tickets"] += len(numbers)


def _micros(moment: datetime) -> int:
    value = tickets.c.closed_at.type.process_bind_param(moment, None)  # type: ignore[attr-defined]
    return int(value)


def _empty_events(erasing: Erasing, keys: Collection[tuple[int, int]]) -> None:
    by_ticket: dict[int, list[int]] = defaultdict(list)
    for ticket, number in keys:
        by_ticket[ticket].append(number)
    for ticket, numbers in by_ticket.items():
        mine = (events.c.ticket == ticket) & events.c.number.in_(numbers)
        blank = {"text": "", "message_id": "", "attachments": [], "data": {}}
        erasing.tx.execute(sa.update(events).where(mine).values(**blank))
        erasing.tx.execute(sa.update(events).where(mine, events.c.kind == "subject").values(reason=""))
    erasing.touched(seal.EVENT, keys)
    erasing.counts["lines of history"] += len(keys)


def clear_of(erasing: Erasing, numbers: Collection[int], party: int, words: Sequence[str]) -> None:
    """Tickets of others, in which somebody took part: their words go, and their name and address in those of others.

    The raw bytes and frozen mails of the whole conversation go as well: they quote.
    """
    tx = erasing.tx
    replace = _replacer(words)
    for some in _portions(sorted(numbers)):
        rows = tx.execute(sa.select(events).where(events.c.ticket.in_(some))).all()
        own = [(row.ticket, row.number) for row in rows if row.party == party]
        _empty_events(erasing, own)
        ids = [row.message_id for row in rows if row.party == party and row.message_id]
        for part in _portions(ids):
            tx.execute(sa.delete(message_ids).where(message_ids.c.message_id.in_(part), message_ids.c.party == 0))
        for row in rows:
            if row.party == party:
                continue
            before = (row.text, row.reason, row.attachments, row.data)
            after = (replace(row.text), replace(row.reason), _deep(row.attachments, replace), _deep(row.data, replace))
            if before != after:
                values = dict(zip(("text", "reason", "attachments", "data"), after, strict=True))
                mine = (events.c.ticket == row.ticket) & (events.c.number == row.number)
                tx.execute(sa.update(events).where(mine).values(**values))
                erasing.touched(seal.EVENT, [(row.ticket, row.number)])
        mails = tx.execute(sa.select(journal.c.id).where(journal.c.ticket.in_(some))).scalars().all()
        remove_raw(erasing, mails)
        forget_mails(erasing, mails, author=False)
        empty_outgoing(erasing, deliveries.c.ticket.in_(some))
        kept = {(row.ticket, row.number) for row in rows if row.party != party}
        search.forget(tx, some, but=kept, without=[w for word in words for w in search.split_words(word)])
    erasing.counts["tickets of others"] += len(numbers)


def _replacer(words: Sequence[str]) -> Callable[[str], str]:
    named = [rf"(?<!\w){re.escape(word)}(?!\w)" for word in words if word]
    pattern = re.compile("|".join(named), re.IGNORECASE)
    return lambda text: pattern.sub(ERASED, text) if named else text


def _deep(value: Any, replace: Callable[[str], str]) -> Any:
    """A JSON value with every text in it replaced."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {key: _deep(item, replace) for key, item in value.items()}
    return [_deep(item, replace) for item in value] if isinstance(value, list) else value


def leave(erasing: Erasing, party: int, address: str) -> None:
    """Out of every list of participants, budgets and blocks."""
    tx = erasing.tx
    tx.execute(sa.delete(participants).where(participants.c.party == party))
    tx.execute(sa.update(tickets).where(tickets.c.customer == party).values(customer=None))
    tx.execute(sa.delete(acknowledgements).where(acknowledgements.c.address == address))
    tx.execute(sa.delete(blocks).where(blocks.c.address == address))
