"""Addresses that do not take mail: automatic mail is not tried there any more, and why that is (security.md 14.5).

A mail server that is written to again and again at addresses it has refused thinks less of everything we send. What the
refusal was about decides: one "no such mailbox" is enough, other refusals of the address count three in a row, and what
is said about a mail's size, content or our standing says nothing about the address. A "250" forgets nothing, because
the server next to us says it before anybody has asked the one that counts. A proven mail of that address does, and so
does a person: ``#send`` below the notice of an answer that came back, or ``ticketgate queue lift``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.address import fold_address
from gateway.store.schema import suppressions
from gateway.store.statements import upsert

ENOUGH = 3
"""Refusals of an address after which it is taken for dead."""
FORGOTTEN = timedelta(days=30)
"""An older refusal is no longer in a row with a new one."""
_STATUS = re.compile(r"(?<![\d.])5\.\d{1,3}\.\d{1,3}(?![\d.])")
_CODE = re.compile(r"(?<![\d.])5\d\d(?![\d.])")
_GONE = ("5.1.1", "5.1.6", "5.1.10")  # RFC 3463 3.2, RFC 7505: no such mailbox, moved, the domain takes no mail
_DOUBTFUL = ("5.0.0", "5.1.0", "5.1.2", "5.1.3", "5.1.4", "5.2.0", "5.2.1", "5.4.1")
_CODES = ("550", "551", "553")  # without an enhanced status; 552 and 554 are about the mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """One address that is not written to, since when, and the words of the last refusal."""

    address: str
    since: datetime
    reason: str


def weigh(reply: str) -> int:
    """How much a refusal says about the address: 0 nothing, ``ENOUGH`` that it is dead. Pure."""
    status = _STATUS.search(reply)
    if status is not None:
        return ENOUGH if status[0] in _GONE else int(status[0] in _DOUBTFUL)
    code = _CODE.search(reply)
    return int(code is not None and code[0] in _CODES)


def note_refusal(tx: Connection, address: str, reply: str, now: datetime) -> bool:
    """Count a permanent refusal; True when the address is not written to from now on."""
    weight, folded = weigh(reply), fold_address(address)
    if not weight:
        return False
    before = tx.execute(sa.select(suppressions).where(suppressions.c.address == folded)).first()
    counts = before.refusals if before is not None and now - before.at < FORGOTTEN else 0
    refusals, reason = min(ENOUGH, counts + weight), " ".join(reply.split())[:500]
    row = {"address": folded, "refusals": refusals, "at": now, "reason": reason}
    tx.execute(upsert(tx, suppressions, "refusals", "at", "reason"), row)
    return bool(refusals == ENOUGH)


def find_suppressed(tx: Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Folded address -> why, of those that are not written to."""
    folded = {fold_address(address) for address in addresses}
    if not folded:
        return {}
    dead = suppressions.c.address.in_(folded) & (suppressions.c.refusals >= ENOUGH)
    return {row.address: row.reason for row in tx.execute(sa.select(suppressions).where(dead))}


def list_suppressed(tx: Connection) -> tuple[Suppressed, ...]:
    """All of them, the newest first."""
    rows = sa.select(suppressions).where(suppressions.c.refusals >= ENOUGH).order_by(suppressions.c.at.desc())
    return tuple(Suppressed(address=row.address, since=row.at, reason=row.reason) for row in tx.execute(rows))


def lift(tx: Connection, address: str) -> bool:
    """Write to it again, and count from nothing; False when nothing was counted."""
    gone = sa.delete(suppressions).where(suppressions.c.address == fold_address(address))
    return tx.execute(gone).rowcount > 0
