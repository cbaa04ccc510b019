"""Which gateways live, whose claims count, and who reads which mailbox (architecture promise 10, security.md 14.5).

On PostgreSQL a gateway holds an advisory lock of its own on a connection of its own for as long as it lives: the server
frees it the moment the connection ends, however the process ended. What a dead gateway had claimed is taken back by
the others. A claim of a living gateway is never taken away because a clock says so: clocks of hosts differ and jump,
and a mail sent twice for that is sent twice. On SQLite there is one gateway, which holds the lock on the file.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.exc import DBAPIError

from gateway.errors import TemporaryError, TicketgateError
from gateway.store import deliveries, journal, revisions, timers
from gateway.store.database import Database
from gateway.store.schema import gateways
from gateway.store.statements import insert_once

GRACE = timedelta(seconds=15)
"""How long a gateway may be without its lock before its claims are taken back: after a failover of the database all
of them come back at about the same time, and those that come first must not take the others for dead."""

TABLES = "tables"
"""Name of the lock that every gateway shares while it lives, and that a migration or a restore has alone."""


class Presence:
    """This gateway among the others. Methods block (use a thread) and raise TemporaryError without the database.

    ``name`` is unlike that of any other process, ever. ``is_gone`` says of another's name that its process certainly
    ended, which spares its claims the GRACE.
    """

    def __init__(self, database: Database, name: str, is_gone: Callable[[str], bool] = lambda name: False) -> None:
        self.name = name
        self._database, self._is_gone = database, is_gone
        self._own: Connection | None = None
        self._leads: set[str] = set()
        self._turn = threading.Lock()  # one connection, several threads

    def enter(self) -> None:
        """Be seen; as long as one gateway is, nobody changes the tables. Raises SchemaError when somebody did."""
        with self._turn:
            if self._database.is_sqlite:
                self._database.check()  # and the lock on the file is ours
            else:
                self._connect()

    def announce(self, now: datetime) -> list[str]:
        """Be seen; then the names of gateways whose claims were taken back. Again after each loss of the database."""
        with self._turn:
            if self._database.is_sqlite:
                return self._announce_alone(now)
            if not self._is_seen():
                self._connect()
            return self._bury(now)

    def look_around(self, now: datetime) -> list[str]:
        """Renew what was lost and take back what the dead had claimed: their names. To be called every few seconds."""
        with self._turn:
            if self._database.is_sqlite:
                return []
            if not self._is_seen():
                self._connect()
            return self._bury(now)

    def lead(self, what: str) -> bool:
        """Whether this gateway, and no other, does ``what`` from now on; asked again before each piece of the work."""
        if self._database.is_sqlite:
            return True
        with self._turn:
            if self._own is None:
                return False
            try:
                if what in self._leads:
                    self._own.execute(sa.text("SELECT 1"))
                elif self._own.scalar(sa.select(sa.func.pg_try_advisory_lock(lock_of(f"lead:{what}")))):
                    self._leads.add(what)
            except DBAPIError as error:
                self._lose()
                raise TemporaryError(f"database: {error.orig}") from error
            return what in self._leads

    def leave(self) -> None:
        """Be gone in good order: what is still claimed is free for the others at once."""
        with self._turn:
            if self._database.is_sqlite or self._own is None:
                return
            with contextlib.suppress(DBAPIError):  # the lock goes with the connection, and the others find the row
                self._own.execute(sa.delete(gateways).where(gateways.c.name == self.name))
                self._own.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._lose()

    # ------------------------------------------------------------------ SQLite

    def _announce_alone(self, now: datetime) -> list[str]:
        # Nobody else can be working on this file: what a crash left claimed is ours again at once.
        with self._database.begin() as tx:
            before = list(tx.execute(sa.select(gateways.c.name).where(gateways.c.name != self.name)).scalars())
            tx.execute(sa.delete(gateways))
            tx.execute(sa.insert(gateways).values(name=self.name, started_at=now, missed_at=None))
            taken = _take_back(tx, now, None)
        return before if taken else []

    # ------------------------------------------------------------------ PostgreSQL

    def _connect(self) -> None:
        self._lose()
        own = self._database.connection_of_its_own()
        try:
            if not own.scalar(sa.select(sa.func.pg_try_advisory_lock_shared(lock_of(TABLES)))):
                raise TemporaryError("the tables are being migrated, or a backup is being put back")
            revisions.demand(revisions.find_revision(own))
            own.execute(sa.select(sa.func.pg_advisory_lock(lock_of(self.name))))
            own.execute(
                insert_once(own, gateways), {"name": self.name, "started_at": _database_clock(own), "missed_at": None}
            )
            own.execute(sa.update(gateways).where(gateways.c.name == self.name).values(missed_at=None))
        except DBAPIError as error:
            own.close()
            raise TemporaryError(f"database: {error.orig}") from error
        except TicketgateError:
            own.close()
            raise
        self._own = own

    def _is_seen(self) -> bool:
        """Connected and in the table; not when the others took us for dead."""
        if self._own is None:
            return False
        try:
            return (
                self._own.scalar(sa.select(gateways.c.missed_at.is_(None)).where(gateways.c.name == self.name)) is True
            )
        except DBAPIError:
            return False

    def _lose(self) -> None:
        self._leads.clear()
        if self._own is not None:
            self._own.close()
            self._own = None

    def _bury(self, now: datetime) -> list[str]:
        assert self._own is not None
        try:
            others = self._own.execute(sa.select(gateways).where(gateways.c.name != self.name)).all()
            moment = _database_clock(self._own)
            dead = [other for other in others if _is_without_lock(self._own, other.name)]
            ended = [
                other.name
                for other in dead
                if self._is_gone(other.name) or (other.missed_at is not None and moment - other.missed_at >= GRACE)
            ]
            waiting = [other.name for other in dead if other.missed_at is None and other.name not in ended]
            if waiting:
                self._own.execute(sa.update(gateways).where(gateways.c.name.in_(waiting)).values(missed_at=moment))
        except DBAPIError as error:
            self._lose()
            raise TemporaryError(f"database: {error.orig}") from error
        return [name for name in ended if self._take_back_from(name, now)]

    def _take_back_from(self, name: str, now: datetime) -> bool:
        with self._database.begin() as tx:
            buried = tx.execute(sa.delete(gateways).where(gateways.c.name == name)).rowcount == 1
            if buried:  # else another gateway did it
                _take_back(tx, now, name)
        return buried


def find_living(tx: Connection, is_gone: Callable[[str], bool]) -> list[tuple[str, datetime]]:
    """The gateways that live, as far as can be told from here, and since when."""
    rows = tx.execute(sa.select(gateways).order_by(gateways.c.started_at)).all()
    shared = tx.dialect.name == "postgresql"
    dead = {row.name for row in rows if is_gone(row.name) or (shared and _is_without_lock(tx, row.name))}
    return [(row.name, row.started_at) for row in rows if row.name not in dead]


def _is_without_lock(own: Connection, name: str) -> bool:
    """Nobody holds the lock of this name: it is tried and let go at once."""
    free = own.scalar(sa.select(sa.func.pg_try_advisory_lock(lock_of(name))))
    if free:
        own.execute(sa.select(sa.func.pg_advisory_unlock(lock_of(name))))
    return bool(free)


def _take_back(tx: Connection, now: datetime, owner: str | None) -> int:
    """Everything that ``owner`` (None: anybody) had claimed is due at once; how many rows."""
    return sum(room.expire_leases(tx, now, owner) for room in (journal, deliveries, timers))


def lock_of(name: str) -> ColumnElement[int]:
    """The number of an advisory lock on PostgreSQL: of a gateway, of a mailbox, or of TABLES."""
    return sa.func.hashtextextended(f"ticketgate:{name}", sa.cast(0, sa.BigInteger))


def _database_clock(tx: Connection) -> datetime:
    moment: datetime = tx.scalar(sa.select(sa.func.clock_timestamp())) or datetime.min
    return moment
