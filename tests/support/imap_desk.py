"""What stands behind a MailboxReader in a test: stores mails once by content, remembers marks, collects alarms.

It outlives readers and servers, as the store does, so a test can restart either.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway import settings
from gateway.errors import TemporaryError
from gateway.ingest.imap import MailboxReader
from gateway.model import Envelope, ImapMark, ImapPosition

ADDRESS = "support@desk.test"


class Desk:
    """Receiver and state in memory; ``refuse``: raise TemporaryError for mails this returns True for."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.alarms: list[tuple[str, str]] = []
        self.duplicates = 0
        self.refused = 0
        self.fresh_passwords: list[bool] = []
        self.password = "secret"
        self.refuse: Callable[[bytes], bool] = lambda raw: False
        self.marks: dict[tuple[str, str], ImapMark] = {}
        self.rows: dict[tuple[str, str, int, int], bool] = {}
        self.failures_noted: dict[tuple[str, str, int, int], tuple[str, bool]] = {}
        self._keys: set[str] = set()

    # -- Receive

    async def receive(self, envelope: Envelope, raw: bytes) -> int:
        await asyncio.sleep(0)
        if self.refuse(raw):
            self.refused += 1
            raise TemporaryError("asked to refuse this one")
        where = envelope.position
        assert where is not None
        self.rows[where.account, where.folder, where.uidvalidity, where.uid] = True
        key = hashlib.sha256(raw).hexdigest() + envelope.recipient
        if key in self._keys:
            self.duplicates += 1
            return 0
        self._keys.add(key)
        self.mails.append(raw)
        self.envelopes.append(envelope)
        return len(self.mails)

    # -- ImapState

    async def mark(self, account: str, folder: str) -> ImapMark | None:
        return self.marks.get((account, folder))

    async def set_mark(self, account: str, folder: str, mark: ImapMark) -> None:
        self.marks[account, folder] = mark

    async def seen(self, account: str, folder: str, uidvalidity: int, uids: Collection[int]) -> set[int]:
        return {uid for uid in uids if (account, folder, uidvalidity, uid) in self.rows}

    async def failed(self, position: ImapPosition, why: str, final: bool) -> None:
        key = (position.account, position.folder, position.uidvalidity, position.uid)
        self.failures_noted[key] = (why, final)

    async def failures(self, account: str, folder: str, uidvalidity: int) -> Mapping[int, bool]:
        return {
            key[3]: final
            for key, (_, final) in self.failures_noted.items()
            if key[:3] == (account, folder, uidvalidity) and key not in self.rows
        }

    # -- the reader

    async def secret(self, fresh: bool) -> str:
        self.fresh_passwords.append(fresh)
        return self.password

    def report(self, problem: str, text: str) -> None:
        self.alarms.append((problem, text))

    def problems(self) -> set[str]:
        return {problem for problem, text in self.alarms if text}

    def reader(self, mailbox: settings.Imap, **options: Any) -> MailboxReader:
        """``options`` replace what the desk itself would give, e.g. ``state`` by the store's."""
        given: dict[str, Any] = {"patience": 10.0, "pace": 0.02, "receive": self.receive, "state": self}
        return MailboxReader(
            mailbox,
            inbox="support",
            address=ADDRESS,
            report=self.report,
            password=self.secret,
            clock=lambda: datetime.now(UTC),
            jitter=lambda: 0.5,
            **(given | options),
        )

    @contextlib.asynccontextmanager
    async def reading(self, mailbox: settings.Imap, **options: Any) -> AsyncIterator[MailboxReader]:
        """A reader at work; stopped and awaited at the end, as the daemon does."""
        stop = asyncio.Event()
        reader = self.reader(mailbox, **options)
        running = asyncio.create_task(reader.run(stop))
        try:
            yield reader
        finally:
            stop.set()
            async with asyncio.timeout(30):
                await running

    async def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait for a condition; AssertionError with what happened when it never comes."""
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"{len(self.mails)} mails, alarms {self.alarms}, notes {self.failures_noted}")
            await asyncio.sleep(0.01)


def make_mail(number: int, size: int = 0, subject: str = "order") -> bytes:
    """A distinct mail with CRLF line ends, padded to about ``size`` bytes."""
    head = (
        f"From: Jane <jane@customer.test>\r\nTo: {ADDRESS}\r\nSubject: {subject} {number}\r\n"
        f"Message-ID: <{subject}-{number}@customer.test>\r\n\r\nWhere is my parcel number {number}?\r\n"
    ).encode()
    line = b"0123456789" * 7 + b"\r\n"
    return head + line * (max(0, size - len(head)) // len(line))
