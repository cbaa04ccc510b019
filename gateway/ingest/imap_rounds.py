"""What the tasks beside a mailbox's reader share: a look at intervals, and a folder found by what it is for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from gateway.ingest.beat import Beat
from gateway.ingest.imap_client import ImapSession
from gateway.ingest.imap_folder import MayRead


async def look_at_intervals(
    look: Callable[[], Awaitable[object]],
    stop: asyncio.Event,
    interval: float,
    *,
    beat: Beat,
    may_read: MayRead,
    failed: Callable[[Exception], None],
) -> None:
    """Look every ``interval`` seconds, where this gateway has the mailbox, until stopped; what goes wrong is told."""
    while not stop.is_set():
        beat.come_round()
        try:
            if await may_read():
                await look()
        except Exception as error:  # noqa: BLE001 - the edge: server, database or secret may be back next time
            failed(error)
        beat.come_round(interval)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval):
                await stop.wait()


async def find_special(session: ImapSession, attribute: str, common: Sequence[str]) -> str:
    """The folder the server marks with this attribute (RFC 6154, lower case), else the first with a usual name; ""."""
    folders = await session.folders()
    marked = [name for name, attributes in folders.items() if attribute in attributes]
    return next(iter(marked or [name for name in common if name in folders]), "")
