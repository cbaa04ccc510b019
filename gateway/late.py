"""Mail held because DNS could not be asked: looked at again every hour, and let go without a person (security.md 4.7).

Only what is held beside no ticket. Where agents were asked about a mail, they decide.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from gateway import maillog, pipeline
from gateway.analysis.cage import Cage, Resolver
from gateway.clock import clock
from gateway.model import InboundMail
from gateway.store import journal, raw_mail
from gateway.store.database import Database
from gateway.workers import Worker

AGAIN = timedelta(hours=1)
PATIENCE = timedelta(days=5)
_REASON = "auth-temperror"
_FEW = 200  # rows in one round


class LatePass:
    """``released`` is called when rows are due again."""

    def __init__(self, database: Database, cage: Cage, resolver: Resolver, released: Callable[[], None]) -> None:
        self._database, self._cage, self._resolver, self._released = database, cage, resolver, released
        self._looked: dict[int, datetime] = {}  # row -> when; lost with the process, which costs nothing
        self.worker = Worker("late", self._round)

    async def _round(self) -> bool:
        now = clock()
        rows = await self._database.read(lambda tx: journal.list_held(tx, _FEW, reason=_REASON))
        rows = [row for row in rows if not row.event and now - row.envelope.received_at < PATIENCE]
        self._looked = {row.id: self._looked.get(row.id, now - AGAIN) for row in rows}  # a new one at once
        for row in rows:
            if now - self._looked[row.id] >= AGAIN:
                self._looked[row.id] = now
                await self._look(row, now)
        return False

    async def _look(self, row: journal.JournalRow, now: datetime) -> None:
        raw = await self._database.read(lambda tx: raw_mail.load(tx, row.sha256))
        if raw is None:
            return
        mail = InboundMail(id=row.id, envelope=row.envelope, sha256=row.sha256, raw=raw)
        findings = await pipeline.read(mail, self._cage, self._resolver)
        if findings.authentication.temporary:
            return
        if await self._database.write(lambda tx: journal.release(tx, row.id, now)):
            maillog.released(row.id, "DNS")
            self._released()
