"""One gateway among those on a database: whether it may begin, that it is seen to live, and whose claims it takes back.

A database that is away is waited for, with the edges open: they answer 451, and a mail server in front keeps everything
meanwhile. One whose tables somebody else has changed is not written to any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from gateway import clockwork, maillog
from gateway.clock import clock
from gateway.errors import TemporaryError
from gateway.safekeeping.keeper import Keeper
from gateway.safekeeping.upgrade import upgrade
from gateway.service_manager import notify
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.presence import Presence
from gateway.store.revisions import SchemaError

_DATABASE_PAUSE = 2.0
_PRESENCE_PAUSE = 5.0


class AlreadyRunningError(Exception):
    """Another daemon has this database."""


class Membership:
    """This gateway's place at its database.

    ``stop`` ends its waiting, ``wake`` is called when there may be work that was another's, ``end`` with the cause when
    this gateway must not write any more. ``configuration`` is the file that a backup before a migration includes.
    """

    def __init__(
        self,
        database: Database,
        keeper: Keeper,
        settings: Callable[[], Settings],
        configuration: Path | None,
        *,
        stop: asyncio.Event,
        wake: Callable[[], None],
        end: Callable[[str], None],
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.presence = Presence(database, self.name, is_gone)
        self._database, self._keeper = database, keeper
        self._settings, self._configuration = settings, configuration
        self._stop, self._wake, self._end = stop, wake, end
        self._lock: int | None = None

    def lock(self) -> None:
        """One daemon on a SQLite file; PostgreSQL hosts share by leases. Raises AlreadyRunningError."""
        path = self._database.sqlite_file
        if path is None:
            return
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(f"another ticketgate is running on {path}") from error

    async def enter(self) -> bool:
        """Begin at the database, with a backup and a migration where they are due; False: it is away.

        Raises SchemaError and what an upgrade raises.
        """
        self._database.withheld = "the database is not prepared yet"
        asking = asyncio.create_task(_ask_for_time())
        try:
            await asyncio.to_thread(self.prepare)
        except TemporaryError as error:
            maillog.alerted("the database cannot be used yet", str(error))
            self._database.withheld = str(error)
            return False
        finally:
            asking.cancel()
        return True

    async def enter_later(self) -> None:
        """Wait until the database can be used, and begin."""
        while await self._pause(_DATABASE_PAUSE):
            try:
                await asyncio.to_thread(self.prepare)
            except TemporaryError:
                continue
            except SchemaError as error:
                self._end(error.cause)
                return
            maillog.noted("the database is back")
            self._wake()
            return

    def prepare(self) -> None:
        """The tables as they must be, ourselves among the gateways, and claims of the dead taken back. Blocks."""
        locked = self._lock is not None
        upgrade(self._settings(), self._configuration, self._database, clock(), locked=locked)
        self.presence.enter()  # from now on nobody changes the tables
        self._database.pin()
        with self._database.begin() as tx:
            self._keeper.begin(tx, clock())
            clockwork.start_rounds(tx, self._settings(), clock())
        self._database.withheld = ""
        _say_gone(self.presence.announce(clock()))

    async def look_around(self) -> None:
        """That we live, as the database sees it, and who does not any more; until the end."""
        while await self._pause(_PRESENCE_PAUSE):
            if self._database.withheld:
                continue
            try:
                gone = await asyncio.to_thread(self.presence.look_around, clock())
            except TemporaryError:
                continue  # the workers meet the same trouble and say so; the next look puts it right
            except SchemaError as error:
                self._end(error.cause)
                return
            _say_gone(gone)
            if gone:
                self._wake()

    async def leave(self) -> None:
        """Not among the gateways any more."""
        await asyncio.to_thread(self.presence.leave)

    def unlock(self) -> None:
        """The last thing of all: another daemon may have the file."""
        if self._lock is not None:
            os.close(self._lock)

    async def _pause(self, seconds: float) -> bool:
        """Whether to go on after it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return not self._stop.is_set()


def _say_gone(names: list[str]) -> None:
    for name in names:
        maillog.noted(f"gateway {name} is gone, what it had claimed is taken back")


async def _ask_for_time() -> None:
    """systemd gives a start five minutes; a backup and a migration may take longer, and say that they go on."""
    while True:
        notify("EXTEND_TIMEOUT_USEC=120000000")
        await asyncio.sleep(30)


def is_gone(name: str) -> bool:
    """Of a gateway on this host: no process has its number. Of any other nothing is known."""
    host, _, rest = name.partition(":")
    number = rest.partition(":")[0]
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it runs, as somebody else
        return False
    return False
