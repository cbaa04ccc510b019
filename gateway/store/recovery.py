"""A store that went back in time: recognised by what is known outside it, and made safe (security.md 14.3).

Until an operator releases the outbox nothing leaves and no timer falls due, so that nothing is sent twice and nothing
that was due meanwhile is sent all at once. IMAP folders are read again from their first mail, where what is known is
recognised. Numbers of tickets go on behind those the lost time may have used: a token of a ticket that was lost must
never name another customer's. So do the numbers of events in every ticket: a Message-ID that a customer has must not
come a second time above other words, which many mail programs would not even show.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from gateway.seal import ENDED
from gateway.store.columns import EPOCH
from gateway.store.gate import HELD, held_since
from gateway.store.marks import go_on_behind, mark_ids
from gateway.store.schema import counters, deliveries, imap_marks, journal, persons, tickets, timers
from gateway.store.seals import find_last, find_seal
from gateway.store.statements import insert_once, upsert

TICKETS_SKIPPED = 1000
"""Numbers left out where nobody knows how many the lost time gave out."""
EVENTS_SKIPPED = 1000
"""Numbers of events left out in each ticket, each time the store is put back: more than anybody writes to one ticket
between two backups. Tokens have five digits for them, so that a ticket can be put back some ninety times."""
_MOST_EVENTS = 99_999
_MARGIN = 100
_MICROSECOND = timedelta(microseconds=1)
_RESTORED, _IDENTITY, _LISTS = "restored", "store", "list"
_GATEWAY = "gateway "
_LEFT = "had been sent before the restore"
_COUNTERS = sa.select(counters.c.name, counters.c.value)
_OPEN = ("queued", "transmitting", "deferred", "held")
_CLOCKS = ("unclaimed-%", "unanswered-%", "waiting", "autoclose", "held-%", "collision-%", "offer")
"""Timers that measure how long nothing happened; others are moments somebody chose, or rounds."""


Head = tuple[int, str]
"""Number and digest of a seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a store has come: what the start mark keeps outside it."""

    store: int  # which store this is; another number, another store
    restored: int  # how often it was put back
    journal: int
    deliveries: int
    ticket: int
    seal: int
    seal_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What ``queue release`` did after a restore."""

    sent_before: int  # mails that had left already
    moved: int  # clocks of tickets that stood still meanwhile
    rounds: int  # digests and reports that are left out


def read_standing(tx: Connection) -> Standing:
    """How far the store has come; gives it its identity when it has none."""
    found = {row.name: row.value for row in tx.execute(_COUNTERS)}
    if _IDENTITY not in found:
        tx.execute(insert_once(tx, counters), {"name": _IDENTITY, "value": secrets.randbits(62)})
        found[_IDENTITY] = tx.execute(sa.select(counters.c.value).where(counters.c.name == _IDENTITY)).scalar_one()
    last = find_last(tx)
    return Standing(
        store=found[_IDENTITY],
        restored=found.get(_RESTORED, 0),
        journal=tx.execute(sa.select(sa.func.coalesce(sa.func.max(journal.c.id), 0))).scalar_one(),
        deliveries=tx.execute(sa.select(sa.func.coalesce(sa.func.max(deliveries.c.id), 0))).scalar_one(),
        ticket=found.get("ticket", 0),
        seal=last.number if last else 0,
        seal_digest=last.digest.hex() if last else "",
    )


def find_loss(tx: Connection, now_standing: Standing, mark: Standing) -> str:
    """In what way the store is behind its mark, as a sentence; "" when it is not, or was put back on purpose since."""
    if now_standing.store != mark.store or now_standing.restored > mark.restored:
        return ""
    behind = [
        f"{was - is_now} {what}"
        for what, was, is_now in (
            ("mails received", mark.journal, now_standing.journal),
            ("mails sent", mark.deliveries, now_standing.deliveries),
            ("seals", mark.seal, now_standing.seal),
        )
        if was > is_now
    ]
    if behind:
        return "it lacks " + ", ".join(behind)
    seal = find_seal(tx, mark.seal) if mark.seal else None
    if mark.seal and (seal is None or seal.digest.hex() != mark.seal_digest):
        return f"seal {mark.seal} is not the one that was made"
    return ""


def find_cut(tx: Connection, mark: Standing) -> Head | None:
    """The head of the chain as it was marked, when the chain does not lead to it any more."""
    seal = find_seal(tx, mark.seal) if mark.seal else None
    there = not mark.seal or (seal is not None and seal.digest.hex() == mark.seal_digest)
    return None if there else (mark.seal, mark.seal_digest)


def make_safe(tx: Connection, since: datetime, mark: Standing | None = None) -> None:
    """Treat the store as put back to ``since``: hold what leaves, read mailboxes again, leave numbers out."""
    found = {row.name: row.value for row in tx.execute(_COUNTERS)}
    known = mark is not None and mark.store == found.get(_IDENTITY)
    given = max(found.get("ticket", 0), mark.ticket + _MARGIN if mark else 0)
    if not known:
        given += TICKETS_SKIPPED
    values = {
        HELD: (since - EPOCH) // _MICROSECOND,
        _RESTORED: max(found.get(_RESTORED, 0), mark.restored if known and mark else 0) + 1,
        "ticket": given,
    }
    # The same copy may be put back a second time, behind what was written after the first.
    skipped = EVENTS_SKIPPED * (values[_RESTORED] - found.get(_RESTORED, 0))
    if _LISTS in found:  # beyond the last one they begin again, as they do anyway
        values[_LISTS] = min(found[_LISTS] + skipped, _MOST_EVENTS)
    tx.execute(upsert(tx, counters, "value"), [{"name": name, "value": value} for name, value in values.items()])
    # A Message-ID, a bounce address and a reply address name ticket, event and party: those of the lost time are out.
    room = tickets.c.last_event + skipped <= _MOST_EVENTS - EVENTS_SKIPPED
    tx.execute(sa.update(tickets).where(room).values(last_event=tickets.c.last_event + skipped))
    tx.execute(sa.update(imap_marks).values(uid=imap_marks.c.floor))
    tx.execute(sa.update(counters).where(counters.c.name.startswith(_GATEWAY)).values(value=0))
    go_on_behind(tx)


def release_outbox(tx: Connection, sent: Collection[str], now: datetime) -> Released | None:
    """Let mail leave again; None when it was not held.

    ``sent``: keys (:func:`sent_keys`) of what is known to have left since; those mails are not sent again. The clocks
    of tickets that ran out meanwhile stood still; digests and reports that were due are left out.
    """
    since = held_since(tx)
    if since is None:
        return None
    tx.execute(upsert(tx, counters, "value"), {"name": HELD, "value": 0})
    record_left(tx, sent, now)
    left = (deliveries.c.reply == _LEFT) & (deliveries.c.ended_at >= since)
    before = tx.execute(sa.select(sa.func.count()).select_from(deliveries).where(left)).scalar_one()
    stood = (now - since) // _MICROSECOND
    clocks = sa.or_(*(timers.c.kind.like(pattern) for pattern in _CLOCKS))
    due = sa.type_coerce(timers.c.due_at, sa.BigInteger) + stood
    overdue = (timers.c.due_at <= now) & (timers.c.due_at >= since) & (timers.c.ticket != 0)
    moved = tx.execute(sa.update(timers).where(overdue, clocks).values(due_at=due, claim_at=due, lease_owner=""))
    rounds = tx.execute(sa.delete(timers).where(timers.c.ticket == 0, timers.c.due_at <= now))
    return Released(sent_before=before, moved=moved.rowcount, rounds=rounds.rowcount)


def record_left(tx: Connection, sent: Collection[str], now: datetime) -> list[int]:
    """While the outbox is held: what waits and is known to have left (keys) is recorded as sent; its numbers."""
    waiting = list(tx.execute(sa.select(deliveries.c.id).where(deliveries.c.state.in_(_OPEN))).scalars())
    before = [number for number, key in sent_keys(tx, waiting).items() if key in sent]
    _end(tx, before, now)
    return before


def record_certain(tx: Connection, left: Collection[str], now: datetime) -> list[int]:
    """Of exactly these rows (:func:`exact_key`) the relay had the mail, and a crash kept that from being recorded."""
    names = (deliveries.c.message_id, deliveries.c.recipient, deliveries.c.queued_at, deliveries.c.again_at)
    before = [
        row.id
        for row in tx.execute(sa.select(deliveries.c.id, *names).where(deliveries.c.state.in_(_OPEN)))
        if exact_key(row.message_id, row.recipient, row.again_at or row.queued_at) in left
    ]
    _end(tx, before, now)
    return before


def exact_key(message_id: str, recipient: str, queued_at: datetime) -> str:
    """Names one row of the outbox since it was queued, or queued again: that it left once before then says nothing."""
    return hashlib.sha256(f"{message_id}\n{recipient}\n{(queued_at - EPOCH) // _MICROSECOND}".encode()).hexdigest()[:32]


def _end(tx: Connection, numbers: Sequence[int], now: datetime) -> None:
    if numbers:
        values = {"state": "sent", "due_at": None, "ended_at": now, "lease_owner": "", "reply": _LEFT}
        tx.execute(sa.update(deliveries).where(deliveries.c.id.in_(numbers)).values(**values))
        mark_ids(tx, ENDED, list(numbers))


# ------------------------------------------------------------------ several gateways, each with what it sent


def introduce(tx: Connection, names: Collection[str]) -> None:
    """These gateways work on the store, or did: what they sent is in files of theirs."""
    if names:
        tx.execute(insert_once(tx, counters), [{"name": f"{_GATEWAY}{name}", "value": 0} for name in sorted(names)])


def find_gateways(tx: Connection) -> dict[str, int]:
    """The gateways that are known, and up to which number of the held outbox each has said what it had sent."""
    rows = tx.execute(_COUNTERS.where(counters.c.name.startswith(_GATEWAY))).all()
    return {row.name.removeprefix(_GATEWAY): row.value for row in rows}


def find_newest_waiting(tx: Connection) -> int:
    """The highest number in the outbox, less our alarms; 0: nothing waits."""
    wanted = deliveries.c.state.in_(_OPEN) & (deliveries.c.kind != "alert")
    return int(tx.execute(sa.select(sa.func.coalesce(sa.func.max(deliveries.c.id), 0)).where(wanted)).scalar_one())


def note_compared(tx: Connection, name: str, newest: int) -> None:
    """This gateway has said of everything up to ``newest`` whether it had sent it."""
    tx.execute(upsert(tx, counters, "value"), {"name": f"{_GATEWAY}{name}", "value": max(newest, 1)})


def find_unheard(tx: Connection, but: str) -> list[str]:
    """Those but one that have not yet looked through the held outbox to its end."""
    newest = max(find_newest_waiting(tx), 1)
    return sorted(name for name, seen in find_gateways(tx).items() if name != but and seen < newest)


def forget_gateways(tx: Connection, names: Collection[str]) -> None:
    """They are gone for good; whoever comes back introduces itself."""
    tx.execute(sa.delete(counters).where(counters.c.name.in_([f"{_GATEWAY}{name}" for name in names])))


_KEYS = (
    sa.select(
        *(deliveries.c[name] for name in ("id", "kind", "recipient", "ticket", "event")),
        journal.c.sha256,
        persons.c.agent,
    )
    .outerjoin(journal, (journal.c.id == deliveries.c.cause) & (deliveries.c.cause > 0))
    .outerjoin(persons, persons.c.party == deliveries.c.party)
    .where(deliveries.c.id.in_(bindparam("ids", expanding=True)))
)


def sent_keys(tx: Connection, ids: Sequence[int]) -> dict[int, str]:
    """What is the same about a mail of ours when it is decided again, under other numbers, after a restore.

    Kind, recipient, and the mail that caused it. Staff get a notice again when its ticket has another number now: they
    answer to numbers. Mail of timers and commands is known by its ticket and event.
    """
    found: dict[int, str] = {}
    for start in range(0, len(ids), 400):
        for row in tx.execute(_KEYS, {"ids": list(ids[start : start + 400])}):
            parts = [row.kind, row.recipient, row.sha256 or f"{row.ticket}.{row.event}"]
            if row.agent:
                parts.append(str(row.ticket))
            found[row.id] = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    return found


def count_open(tx: Connection) -> tuple[int, int]:
    """Tickets that are not closed, and mails that wait to be sent: what an operator compares after a restore."""
    still = sa.select(sa.func.count()).select_from(tickets).where(tickets.c.state.not_in(("closed", "spam")))
    waiting = sa.select(sa.func.count()).select_from(deliveries).where(deliveries.c.state.in_(_OPEN))
    return tx.execute(still).scalar_one(), tx.execute(waiting).scalar_one()
