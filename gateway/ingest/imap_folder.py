"""One visit to a folder: take over what has not been taken over yet, then decorate it (security.md 13, ops.md 10.1).

The order is always: list, fetch, hand over (returns after the commit), advance the mark, and only then flag or move.
A crash between any two steps costs a second look, never a mail. One bad mail is noted, tried again at its own pace and
does not stop the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from gateway import settings
from gateway.errors import PermanentError
from gateway.ingest.imap_client import (
    MAX_RANGE,
    ImapError,
    ImapSession,
    Listed,
    Selected,
    TooLarge,
    Unsupported,
)
from gateway.model import Envelope, ImapMark, ImapPosition

RESCAN = 200
"""UIDs below the mark that are looked at again: servers may show UIDs out of order (security.md 13)."""
_WIDE = 10 * MAX_RANGE  # above this many UIDs gaps are skipped by SEARCH first
_MAX_TROUBLE = 5  # mails in a row that could not be stored: it is not the mails
_ALARM_AFTER = 3  # failures of one mail


class ImapState(Protocol):
    """What must survive a restart, kept by the store; every method returns after its commit."""

    async def mark(self, account: str, folder: str) -> ImapMark | None:
        """None before the first run."""

    async def set_mark(self, account: str, folder: str, mark: ImapMark) -> None:
        """Replace the mark; a new UIDVALIDITY replaces the old mark, rows of the old one stay."""

    async def seen(self, account: str, folder: str, uidvalidity: int, uids: Collection[int]) -> Set[int]:
        """Which of these UIDs have a journal row."""

    async def failed(self, position: ImapPosition, why: str, final: bool) -> None:
        """Note that a mail could not be taken over; ``final``: it will not be tried again. Replaces an earlier note."""

    async def failures(self, account: str, folder: str, uidvalidity: int) -> Mapping[int, bool]:
        """UIDs noted by ``failed`` that have no journal row since -> ``final``."""


MayRead = Callable[[], Awaitable[bool]]
"""Whether this gateway reads the mailbox now, and no other. TemporaryError when nobody can say."""
Receive = Callable[[Envelope, bytes], Awaitable[object]]
"""Takes responsibility for one mail: returns after the commit, raises TemporaryError or PermanentError."""
Password = Callable[[bool], Awaitable[str]]
"""The password, or for the oauth2 kinds an access token; True asks for a fresh one because the last was refused."""
Report = Callable[[str, str], None]
"""Tells operators: which problem (a stable name) and what happened; "" says that it is over."""


async def anybody() -> bool:
    """Where there is one gateway, it may read."""
    return True


class NothingStored(Exception):
    """Several mails in a row could not be stored: the trouble is ours, so the mailbox waits."""


@dataclass(slots=True)
class _Retry:
    attempts: int = 1
    due: float = 0.0  # monotonic seconds


@dataclass(slots=True)
class Work:
    """What is known about the folder between two connections; all of it can be lost."""

    uidvalidity: int = 0
    failing: dict[int, _Retry] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    undecorated: set[int] = field(default_factory=set)  # taken over, not yet flagged or moved
    decorate_after: float = 0.0  # monotonic seconds: not before, the last attempt failed
    progress: bool = False  # a mail was stored


class Folder:
    """A selected folder and everything needed to work through it."""

    def __init__(
        self,
        session: ImapSession,
        mailbox: settings.Imap,
        envelope: Envelope,
        receive: Receive,
        state: ImapState,
        report: Report,
        clock: Callable[[], datetime],
        pace: float,
        work: Work,
    ) -> None:
        """``envelope``: what every mail of the folder has in common; ``pace``: seconds of the shortest pause."""
        self._session, self._mailbox, self._envelope = session, mailbox, envelope
        self._receive, self._state, self._report, self._clock = receive, state, report, clock
        self._pace, self._work = pace, work
        self._key = (mailbox.handle, mailbox.folder)
        self._flags: frozenset[str] = frozenset()
        self._mark = ImapMark(0)
        self._trouble = 0

    # -- where to begin

    async def begin(self, selected: Selected) -> None:
        """Find the mark: the stored one, or a new one on the first run and after a change of UIDVALIDITY."""
        self._flags = selected.permanent_flags
        validity = selected.uidvalidity
        stored = await self._state.mark(*self._key)
        if stored is None:
            stored = await self._first_mark(validity)
            await self._state.set_mark(*self._key, stored)
        elif stored.uidvalidity != validity:
            # The folder was rebuilt: UIDs mean nothing any more, so everything is offered again; the journal
            # recognises by content what it has.
            highest = await self._session.highest_uid()
            stored = ImapMark(validity, 0, highest if stored.since else 0, stored.since)
            await self._state.set_mark(*self._key, stored)
            self._report("uidvalidity", f"folder {self._mailbox.folder} was rebuilt: all of it is read again")
        self._mark = stored
        if self._work.uidvalidity != validity:
            failures = await self._state.failures(*self._key, validity)
            self._work.uidvalidity = validity
            self._work.failing = {uid: _Retry() for uid, final in failures.items() if not final}
            self._work.given_up = {uid for uid, final in failures.items() if final}
            self._work.undecorated = await self._left_behind()

    async def _left_behind(self) -> set[int]:
        """Mails taken over earlier that should have been moved or deleted, but are still here."""
        if not self._removes or not self._session.exists:
            return set()
        present = await self._session.present(1, max(1, self._mark.uid))
        return set(await self._state.seen(*self._key, self._mark.uidvalidity, present))

    async def _first_mark(self, validity: int) -> ImapMark:
        """First run: "all", "new", or a duration (settings.Imap.catch_up)."""
        if self._mailbox.catch_up == "all":
            return ImapMark(validity)
        highest = await self._session.highest_uid()
        if self._mailbox.catch_up != "new":
            return ImapMark(validity, 0, highest, self._clock() - read_duration(self._mailbox.catch_up))
        dates = [
            mail.internaldate
            for first, last in await self._blocks(1, highest)
            for mail in await self._session.list_uids(first, last)
            if mail.internaldate
        ]
        return ImapMark(validity, highest, highest, max(dates, default=None))

    def _is_ours(self, mail: Listed) -> bool:
        if mail.uid > self._mark.floor:
            return True
        since = self._mark.since
        return since is not None and (mail.internaldate is None or mail.internaldate > since)

    # -- one pass

    async def take_over(self, stop: asyncio.Event) -> None:
        """Everything new, then what failed before and is due again; returns early between two mails when stopped."""
        highest = await self._session.highest_uid()
        for first, last in await self._blocks(max(1, self._mark.uid - RESCAN + 1), highest):
            await self._take_block(first, last, stop)
            if stop.is_set():
                return
        now = asyncio.get_running_loop().time()
        for uid in sorted(uid for uid, retry in self._work.failing.items() if retry.due <= now):
            listed = await self._session.list_uids(uid, uid)
            await (self._take(listed[0]) if listed else self._vanished(uid))
            if stop.is_set():
                return
        await self._decorate()

    async def _blocks(self, first: int, last: int) -> list[tuple[int, int]]:
        """Ranges of at most 200 UIDs; of a wide range only those in which something exists."""
        starts = range(first, last + 1, MAX_RANGE)
        if last - first > _WIDE:
            present = await self._session.present(first, last)
            starts_of = {first + (uid - first) // MAX_RANGE * MAX_RANGE for uid in present}
            return [(start, min(start + MAX_RANGE - 1, last)) for start in sorted(starts_of)]
        return [(start, min(start + MAX_RANGE - 1, last)) for start in starts]

    async def _take_block(self, first: int, last: int, stop: asyncio.Event) -> None:
        listed = await self._session.list_uids(first, last)
        ours = [mail for mail in listed if self._is_ours(mail)]
        seen = await self._state.seen(*self._key, self._mark.uidvalidity, [mail.uid for mail in ours])
        # Still here although it should have gone, or beyond the mark: a daemon that died in between has not marked it.
        self._work.undecorated |= {uid for uid in seen if self._removes or uid > self._mark.uid}
        for mail in ours:
            if mail.uid in seen or mail.uid in self._work.failing or mail.uid in self._work.given_up:
                continue
            if stop.is_set():
                return  # the mark stays: it may pass only what has a row
            await self._take(mail)
        await self._decorate()  # before the mark passes them: what it has passed is not looked at again
        top = max((mail.uid for mail in listed), default=0)
        if top > self._mark.uid:
            mark = replace(self._mark, uid=top)
            await self._state.set_mark(*self._key, mark)
            self._mark = mark

    async def _take(self, mail: Listed) -> None:
        """Fetch one mail and hand it over; a failure is noted, and raised only when the connection went with it."""
        uid = mail.uid
        limit = self._mailbox.max_size
        if mail.size > limit:
            await self._give_up(uid, f"too large ({mail.size} bytes), left on server")
            return
        try:
            raw = await self._session.fetch(uid)
        except ImapError as error:
            await self._note_failure(uid, str(error))
            if isinstance(error, TooLarge) and self._work.failing[uid].attempts >= _ALARM_AFTER:
                await self._give_up(uid, f"too large ({error}), left on server")  # it lies about the size every time
            raise
        if raw is None:
            await self._vanished(uid)
        elif len(raw) > limit:  # RFC822.SIZE is an estimate
            await self._give_up(uid, f"too large ({len(raw)} bytes), left on server")
        else:
            await self._hand_over(uid, raw)

    async def _hand_over(self, uid: int, raw: bytes) -> None:
        envelope = replace(
            self._envelope,
            reverse_path=read_return_path(raw),
            received_at=self._clock(),
            position=self._position(uid),
        )
        try:
            await self._receive(envelope, raw)
        except PermanentError as error:
            await self._give_up(uid, f"refused: {error}")
        except Exception as error:  # whatever it is, it is this mail's trouble first
            await self._note_failure(uid, f"{type(error).__name__}: {error}")
            self._trouble += 1
            if self._trouble >= _MAX_TROUBLE:
                raise NothingStored(f"{self._trouble} mails in a row, last: {error}") from error
        else:
            self._trouble = 0
            self._work.progress = True
            self._work.failing.pop(uid, None)
            self._work.undecorated.add(uid)

    # -- mails that cannot be taken over

    def _position(self, uid: int) -> ImapPosition:
        return ImapPosition(*self._key, self._mark.uidvalidity, uid)

    async def _note_failure(self, uid: int, why: str) -> None:
        await self._state.failed(self._position(uid), why, False)
        retry = self._work.failing.setdefault(uid, _Retry(attempts=0))
        retry.attempts += 1
        # At once on the next pass (a lost connection is nobody's fault), then more and more rarely.
        pause = 0 if retry.attempts == 1 else min(3600, 60 * 2 ** min(retry.attempts - 2, 10))
        retry.due = asyncio.get_running_loop().time() + self._pace * pause
        if retry.attempts == _ALARM_AFTER:
            self._report("mail", f"UID {uid} of {self._mailbox.folder} cannot be taken over: {why}")

    async def _give_up(self, uid: int, why: str) -> None:
        await self._state.failed(self._position(uid), why, True)
        self._work.failing.pop(uid, None)
        self._work.given_up.add(uid)
        self._report("mail", f"UID {uid} of {self._mailbox.folder}: {why}")

    async def _vanished(self, uid: int) -> None:
        """Another client removed it: the UID counts as not listed."""
        if self._work.failing.pop(uid, None):
            await self._state.failed(self._position(uid), "no longer on the server", True)

    # -- decoration: after the commit, tried again, never a reason to import again

    @property
    def _removes(self) -> bool:
        return self._mailbox.after == "delete" or self._mailbox.after.startswith("move:")

    async def _decorate(self) -> None:
        work, after = self._work, self._mailbox.after
        if not work.undecorated or work.decorate_after > asyncio.get_running_loop().time():
            return
        try:
            if after == "flag":
                await self._flag("$Ticketed")
            elif after == "seen":
                await self._flag("\\Seen")
            for uid in sorted(work.undecorated) if self._removes else ():
                work.undecorated.discard(uid)  # when this fails the next pass finds it again, if it is still there
                if after == "delete":
                    await self._session.delete(uid)
                else:
                    await self._session.move(uid, after.removeprefix("move:"))
            work.undecorated.clear()
        except Unsupported as error:
            work.decorate_after = float("inf")
            self._report("after", f"the server cannot do {after!r}: it lacks {error}")
        except ImapError as error:
            work.decorate_after = asyncio.get_running_loop().time() + self._pace * 300
            self._report("after", f"{after!r} failed: {error}")
            raise

    async def _flag(self, flag: str) -> None:
        if not flag.startswith("\\") and not {flag.lower(), "\\*"} & self._flags:
            return  # the server keeps no keywords of ours; the position in the database is what counts
        uids = sorted(self._work.undecorated)
        for start in range(0, len(uids), MAX_RANGE):
            await self._session.flag(uids[start : start + MAX_RANGE], flag)

    def next_retry(self) -> float:
        """Seconds until a mail that failed is due; infinity when there is none."""
        now = asyncio.get_running_loop().time()
        return min((retry.due - now for retry in self._work.failing.values()), default=float("inf"))


def read_duration(text: str) -> settings.Duration:
    """ "7d" as a span of time, in the units of settings.Duration; ValueError for anything else."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    number, unit = text[:-1].strip(), text[-1:]
    if not number.isdigit() or unit not in units:
        raise ValueError(f"not a duration: {text!r}")
    return settings.Duration(seconds=int(number) * units[unit])


def read_return_path(raw: bytes) -> str:
    """The reverse-path as the delivering server noted it; "" when it did not, or for the null reverse-path.

    Only in the block of fields a delivery agent puts on top: further down a Return-Path is the sender's own claim.
    """
    for line in raw[:4096].split(b"\n")[:4]:
        name, colon, value = line.partition(b":")
        name = name.strip().lower()
        if not colon or name not in (b"return-path", b"delivered-to", b"x-original-to", b"envelope-to"):
            break
        if name == b"return-path":
            return value.strip().removeprefix(b"<").removesuffix(b">").decode("utf-8", "replace")
    return ""
