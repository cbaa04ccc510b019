"""Copies of answers in the Sent folder of the mailbox they were sent from: where people look who open it by hand.

The mail has left before anything happens here, so nothing of it can delay or undo a delivery. What is due stands in the
store; a copy is looked for by its Message-ID before it is made, as a daemon may have died in between, and as some
providers keep what is sent through them by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from gateway import settings
from gateway.ingest.beat import Beat
from gateway.ingest.imap_client import ImapError, ImapSession, LoginRefused, Refused, open_mailbox
from gateway.ingest.imap_folder import MayRead, Password, Report, anybody
from gateway.ingest.imap_rounds import find_special, look_at_intervals
from gateway.model import SentCopy

INTERVAL = 5.0
"""Seconds between two looks at what is due; the server is asked only when something is."""
_BEFORE = timedelta(days=2)  # how much earlier than ours a server's clock may have called the day of a copy
_COMMON = ("Sent", "Sent Items", "Sent Messages", "[Gmail]/Sent Mail", "INBOX.Sent", "INBOX.Sent Items", "Gesendet")


class CopiesDue(Protocol):
    """What must survive a restart, kept by the store; every method returns after its commit."""

    async def due(self, account: str) -> Sequence[SentCopy]:
        """Copies that are to be made in this mailbox now, a portion of them."""

    async def content(self, copy: SentCopy) -> bytes:
        """The mail; b"" when there is nothing to copy any more."""

    async def settle(self, copy: SentCopy) -> None:
        """The copy is there, or never will be needed."""

    async def put_off(self, copies: Collection[SentCopy], why: str) -> int:
        """To be tried again later; how many of them were given up instead."""


class SentFolder:
    """Puts copies of what was sent into a mailbox; touches nothing else there."""

    def __init__(
        self,
        mailbox: settings.Imap,
        *,
        copies: CopiesDue,
        report: Report,
        password: Password,
        may_read: MayRead = anybody,
        patience: float = 60.0,
    ) -> None:
        """``mailbox.sent_copy``: a name, or "auto" for the folder the server marks as that of what was sent.

        ``may_read``: whether this gateway, and no other, has the mailbox; ``patience``: seconds of silence.
        """
        self._mailbox, self._copies, self._report = mailbox, copies, report
        self._password, self._may_read, self._patience = password, may_read, patience
        self._trouble = False
        self.beat = Beat()

    async def run(self, stop: asyncio.Event, interval: float = INTERVAL) -> None:
        """Work until stopped; whatever happens is noted with the copy, reported, and tried again."""
        await look_at_intervals(self.look, stop, interval, beat=self.beat, may_read=self._may_read, failed=self._failed)

    def _failed(self, error: Exception) -> None:
        self._report("sent-copy", f"{type(error).__name__}: {error}")

    async def look(self) -> int:
        """Make the copies that are due; how many were. Trouble with the server is noted with what it concerns."""
        due = await self._copies.due(self._mailbox.handle)
        if not due:
            return 0
        session, concerned, made = None, due, 0
        try:
            session = await self._open()
            folder = await self._enter(session)
            for copy in due:
                concerned = [copy]
                await self._make(session, folder, copy)
                made += 1
        except ImapError as error:  # the connection is gone as well: what comes behind is for the next look
            await self._put_off(concerned, str(error))
        else:
            self._well()
        finally:
            if session is not None:
                await session.close()
        return made

    async def _open(self) -> ImapSession:
        try:
            password = await self._password(False)
            return await open_mailbox(self._mailbox, password, patience=self._patience, beat=self.beat)
        except LoginRefused:
            if not self._mailbox.auth.startswith("oauth2"):
                raise
        return await open_mailbox(self._mailbox, await self._password(True), patience=self._patience, beat=self.beat)

    async def _enter(self, session: ImapSession) -> str:
        name = await self._find(session)
        try:
            await session.select(name)
        except Refused as error:
            raise Refused(f"folder {name!r} cannot be opened: {error}") from error
        return name

    async def _find(self, session: ImapSession) -> str:
        if self._mailbox.sent_copy != "auto":
            return self._mailbox.sent_copy
        found = await find_special(session, "\\sent", _COMMON)
        if not found:
            raise ImapError("no folder is marked as that of sent mail: name one in sent_copy")
        return found

    async def _make(self, session: ImapSession, folder: str, copy: SentCopy) -> None:
        content = await self._copies.content(copy)
        if content and not await session.holds(copy.message_id, copy.sent_at - _BEFORE):
            await session.append(folder, content, copy.sent_at)
        await self._copies.settle(copy)

    async def _put_off(self, copies: Sequence[SentCopy], why: str) -> None:
        given_up = await self._copies.put_off(copies, why)
        self._trouble = True
        self._report("sent-copy", f"{len(copies)} answers are not copied to the Sent folder yet: {why}")
        if given_up:
            self._report(
                "sent-copy-lost", f"{given_up} of them will not be copied any more; the last trouble was: {why}"
            )

    def _well(self) -> None:
        if self._trouble:
            self._trouble = False
            self._report("sent-copy", "")
