"""Take responsibility for one mail, or refuse it (architecture promise 1). Returns only after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway import maillog
from gateway.errors import PermanentError, TemporaryError, TicketgateError
from gateway.model import Envelope
from gateway.store import journal, raw_mail
from gateway.store.database import Database

_BIG = 64 * 1024
"""Octets from which hashing and compressing would hold up the other sessions of the event loop."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The journal row that holds the mail; ``duplicate`` when it held it before."""

    journal_id: int
    duplicate: bool = False


class Receiver:
    """What every edge calls: SMTP, LMTP, IMAP, ``inject`` and ``import``.

    ``max_size`` is in octets. ``wake`` is called after each commit of a new mail, in the event loop: it only tells a
    worker to look, and may be missed without loss, because the row is due.
    """

    def __init__(
        self, database: Database, *, max_size: int = 25 * 1024 * 1024, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._max_size = max_size
        self._wake = wake

    async def receive(self, envelope: Envelope, raw: bytes) -> Receipt:
        """Commit bytes, envelope and row in one transaction; the same arrival again returns the same row.

        Raises PermanentError("too-large"), and TemporaryError for every failure of ours. A caller that is cancelled
        does not stop the commit: it may happen without anybody being told, and the retry joins it.
        """
        if len(raw) > self._max_size:
            raise PermanentError("too-large", f"{len(raw)} octets")
        try:
            mail = await asyncio.to_thread(raw_mail.prepare, raw) if len(raw) > _BIG else raw_mail.prepare(raw)
            row = await self._database.write(lambda tx: journal.append(tx, envelope, mail))
        except TemporaryError:
            raise
        except TicketgateError as error:
            # Whatever the store means by it: for the client a failure of ours is never permanent (I7).
            raise TemporaryError(str(error)) from error
        except Exception as error:
            raise TemporaryError(maillog.describe(error)) from error
        maillog.received(envelope, row.id, len(raw), row.duplicate)
        if not row.duplicate:
            try:
                self._wake()
            except Exception as error:  # noqa: BLE001 - it is committed: nothing may turn 250 into 451 now
                maillog.worker_error("wake", error, journal_id=row.id)
        return Receipt(row.id, row.duplicate)
