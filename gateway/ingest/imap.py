"""Mailboxes on IMAP servers as a source of mail: connect, work, wait, and begin again after any trouble (ops.md 10.1).

Each mailbox is one task, so that none waits for another. Where a mail stands in a folder is kept by the store
(:class:`ImapState`); the connection is disposable.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime

from gateway import metrics, settings
from gateway.ingest.beat import Beat
from gateway.ingest.imap_client import ImapError, ImapSession, LoginRefused, Refused, open_mailbox
from gateway.ingest.imap_folder import (
    Folder,
    ImapState,
    MayRead,
    NothingStored,
    Password,
    Receive,
    Report,
    Work,
    anybody,
    read_duration,
)
from gateway.ingest.imap_syntax import check_name, encode_name
from gateway.model import Envelope, ImapMark

__all__ = ["ImapMark", "ImapState", "MailboxReader", "Password", "Receive", "Report", "check_mailbox"]

MAX_POLL = 300.0
"""Seconds: a folder is looked at this often whatever the server announces."""
_OTHERS = 5.0  # seconds between two looks whether the gateway that reads the mailbox is still there
_MAX_PAUSE = 120.0  # seconds between two connections in the end; half of it at least


def check_mailbox(mailbox: settings.Imap) -> None:
    """ValueError when a setting can never work; nothing is sent to a server. Called at start."""
    check_name(mailbox.user)
    encode_name(mailbox.folder)
    if mailbox.sent_copy:
        encode_name(mailbox.sent_copy)
    if mailbox.after.startswith("move:"):
        encode_name(mailbox.after.removeprefix("move:"))
    elif mailbox.after not in ("flag", "keep", "seen", "delete"):
        raise ValueError(f"unknown after: {mailbox.after!r}")
    if mailbox.catch_up not in ("new", "all"):
        read_duration(mailbox.catch_up)


class MailboxReader:
    """Reads one folder of one mailbox until stopped."""

    def __init__(
        self,
        mailbox: settings.Imap,
        *,
        inbox: str,
        address: str,
        receive: Receive,
        state: ImapState,
        report: Report,
        password: Password,
        clock: Callable[[], datetime],
        jitter: Callable[[], float],
        may_read: MayRead = anybody,
        source: str = "imap",
        patience: float = 60.0,
        pace: float = 1.0,
    ) -> None:
        """``address``: the envelope recipient of every mail; ``jitter``: 0 to 1; ``may_read``: asked before each pass,
        as one gateway reads a mailbox at a time; ``source``: "imap", or "sent" for the folder of what was sent.

        ``patience``: seconds of silence until a server is given up; ``pace``: seconds of the first pause after trouble.
        ValueError when the settings can never work.
        """
        check_mailbox(mailbox)
        self._mailbox = mailbox
        self._envelope = Envelope(
            reverse_path="",
            recipient=address,
            inbox=inbox,
            source=f"{source}:{mailbox.handle}",
            received_at=clock(),
            trusted=mailbox.trusted,
        )
        self._receive, self._state, self._announce, self._password = receive, state, report, password
        self._clock, self._jitter, self._patience, self._pace = clock, jitter, patience, pace
        self._may_read = may_read
        self._work = Work()
        self._failures = 0
        self._problems: set[str] = set()
        self._last_error = ""
        self.beat = Beat()
        self.last_success = 0.0
        """Event loop's monotonic time of the last complete pass; of the start before the first."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; whatever happens is reported and tried again."""
        loop = asyncio.get_running_loop()
        self.last_success = loop.time()
        while not stop.is_set():
            self.beat.come_round()
            self._work.progress = False
            try:
                if not await self._may_read():
                    self.last_success = loop.time()  # another gateway reads it, and has the alarms
                    await self._rest(stop, _OTHERS * self._pace)
                    continue
                await self._visit(stop)
            except LoginRefused as error:
                self._report("login", str(error))
            except NothingStored as error:
                self._report("storing", str(error))
            except ImapError as error:
                self._last_error = str(error)
            except Exception as error:  # noqa: BLE001 - the edge: this mailbox waits, the others go on
                self._report("trouble", f"{type(error).__name__}: {error}")
            if stop.is_set():
                return
            silent = loop.time() - self.last_success
            if silent >= self._mailbox.alert_after.total_seconds():
                self._report("silent", f"nothing fetched for {silent / 60:.0f} minutes: {self._last_error}")
            self._failures = 0 if self._work.progress else self._failures + 1
            await self._rest(stop, self._delay())

    def _delay(self) -> float:
        """Doubled with every failure, up to two minutes, half of it by chance: many gateways never knock together."""
        longest = min(_MAX_PAUSE, 2.0 ** min(self._failures, 10))
        return self._pace * longest * (0.5 + self._jitter() / 2)

    async def _visit(self, stop: asyncio.Event) -> None:
        """One connection, from login to the first failure."""
        session = await self._open()
        try:
            try:
                selected = await session.select(self._mailbox.folder)
            except Refused as error:
                self._report("folder", f"folder {self._mailbox.folder!r} cannot be opened: {error}")
                raise
            folder = Folder(
                session,
                self._mailbox,
                self._envelope,
                self._receive,
                self._state,
                self._report,
                self._clock,
                self._pace,
                self._work,
            )
            await folder.begin(selected)
            while not stop.is_set() and await self._may_read():
                await folder.take_over(stop)
                self._succeeded()
                await self._wait(session, min(folder.next_retry(), MAX_POLL), stop)
        finally:
            await session.close()

    async def _open(self) -> ImapSession:
        try:
            return await self._log_in(fresh=False)
        except LoginRefused:
            if not self._mailbox.auth.startswith("oauth2"):
                raise
        return await self._log_in(fresh=True)

    async def _log_in(self, *, fresh: bool) -> ImapSession:
        password = await self._password(fresh)
        return await open_mailbox(self._mailbox, password, patience=self._patience, beat=self.beat)

    async def _wait(self, session: ImapSession, longest: float, stop: asyncio.Event) -> None:
        """Until the next pass is due. IDLE only shortens this: the poll comes whatever the server says."""
        seconds = max(self._pace, min(longest, self._mailbox.poll_interval.total_seconds()))
        if not self._mailbox.idle or "IDLE" not in session.capabilities:
            await self._rest(stop, seconds)
            return
        idling = asyncio.ensure_future(session.idle(seconds))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({idling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if idling.done() and idling.result():
                # Mail often comes in bursts; and a server that always announces must not keep us spinning.
                await _pause(stop, 0.2)
        finally:
            stopping.cancel()
            if not idling.done():
                idling.cancel()
                with contextlib.suppress(asyncio.CancelledError, ImapError):
                    await idling

    async def _rest(self, stop: asyncio.Event, seconds: float) -> None:
        self.beat.come_round(seconds)
        await _pause(stop, seconds)

    def _succeeded(self) -> None:
        self.beat.come_round()
        self.last_success = asyncio.get_running_loop().time()
        metrics.intake_worked(self._envelope.source, time.time())
        self._failures = 0
        for problem in sorted(self._problems & {"login", "folder", "silent", "storing", "trouble"}):
            self._problems.discard(problem)
            self._announce(problem, "")

    def silent(self) -> float:
        """Seconds since the last complete pass; where another gateway reads the mailbox, since that was seen."""
        return asyncio.get_running_loop().time() - self.last_success if self.last_success else 0.0

    def _report(self, problem: str, text: str) -> None:
        """The same problem may be reported again and again; how often people hear of it is the alarm's business."""
        self._last_error = text
        self._problems.add(problem)
        self._announce(problem, text)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
