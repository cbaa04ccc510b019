"""The junk folder of a mailbox: watched and reported, never ticketed (ops.md 10.1).

A filter that swallows customers is noticed by nobody unless somebody looks. This looks, counts, and tells.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway import settings
from gateway.ingest.beat import Beat
from gateway.ingest.imap_client import MAX_RANGE, ImapError, ImapSession, Refused, open_mailbox
from gateway.ingest.imap_folder import ImapState, MayRead, Password, Report, anybody
from gateway.ingest.imap_rounds import find_special, look_at_intervals
from gateway.model import ImapMark

INTERVAL = 600.0
"""Seconds between two looks, each on a connection of its own."""
_COMMON = ("Junk", "Spam", "Junk E-mail", "Junk Email", "[Gmail]/Spam", "Bulk", "Bulk Mail", "INBOX.Junk", "INBOX.Spam")


class JunkWatch:
    """Tells operators how many mails are new in a mailbox's junk folder; touches nothing there."""

    def __init__(
        self,
        mailbox: settings.Imap,
        *,
        state: ImapState,
        report: Report,
        password: Password,
        may_read: MayRead = anybody,
        patience: float = 60.0,
    ) -> None:
        """``mailbox.junk_folder``: a name, or "auto" for the folder the server marks as junk; "" or "off" for none."""
        self._mailbox, self._state, self._report = mailbox, state, report
        self._password, self._may_read, self._patience = password, may_read, patience
        self.beat = Beat()

    async def run(self, stop: asyncio.Event, interval: float = INTERVAL) -> None:
        """Look every ``interval`` seconds until stopped; a look that fails is left to the next."""
        if self._mailbox.junk_folder in ("", "off"):
            return
        await look_at_intervals(self.look, stop, interval, beat=self.beat, may_read=self._may_read, failed=self._failed)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, ImapError):  # MailboxReader has the same server and raises the alarm
            self._report("junk", f"{type(error).__name__}: {error}")

    async def look(self) -> int:
        """How many mails are new since the last look, 0 on the first; reported when there are any. ImapError."""
        password = await self._password(False)
        session = await open_mailbox(self._mailbox, password, patience=self._patience, beat=self.beat)
        try:
            name = await self._find(session)
            return await self._count(session, name) if name else 0
        finally:
            await session.close()

    async def _find(self, session: ImapSession) -> str:
        if self._mailbox.junk_folder != "auto":
            return self._mailbox.junk_folder
        return await find_special(session, "\\junk", _COMMON)

    async def _count(self, session: ImapSession, name: str) -> int:
        try:
            selected = await session.select(name)
        except Refused as error:
            self._report("junk", f"folder {name!r} cannot be opened: {error}")
            raise
        highest = await session.highest_uid()
        key = (self._mailbox.handle, name)
        mark = await self._state.mark(*key)
        if mark is None or mark.uidvalidity != selected.uidvalidity:
            await self._state.set_mark(*key, ImapMark(selected.uidvalidity, highest))
            return 0
        if highest <= mark.uid:
            return 0
        first = max(mark.uid + 1, highest - MAX_RANGE + 1)  # "200" is as good an alarm as any larger number
        new = len(await session.list_uids(first, highest))
        await self._state.set_mark(*key, replace(mark, uid=highest))
        if new:
            self._report("junk", f"{new} new in {name!r}: look whether customers are among them")
        return new
