"""The rounds of the record: compare with the start mark, seal what was written, note how far the store has come."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway import maillog
from gateway.errors import TemporaryError
from gateway.model import Notice, OutboundMail, Person, Plan
from gateway.outbound.compose import compose_all
from gateway.safekeeping.outside import (
    load_seal_key,
    make_seal_key,
    note_sent,
    read_mark,
    state_folder,
    write_mark,
)
from gateway.seal import SealKey
from gateway.settings import Settings
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.facts import name_of
from gateway.store.forgetting import claim_run, find_last_run, run_retention
from gateway.store.recovery import Standing, find_loss, make_safe, read_standing, sent_keys
from gateway.store.seals import Sealed, find_last, seal_waiting

STEADY = timedelta(hours=1)
"""How long the clock must have gone steadily in this process before anything is erased."""
STEADY_AFTER_LONG = timedelta(hours=24)
"""The same where the last run was long ago or never: nobody was here, or the clock says something strange."""
_LONG_AGO = timedelta(days=7)
_JUMP = 300.0  # seconds by which wall and monotonic clock may part from round to round


@dataclass(frozen=True, slots=True)
class _Round:
    standing: Standing
    sealed: Sealed
    sent: tuple[str, ...]
    loss: str = ""


class Keeper:
    """Seals what was written, and notices a store that went back."""

    def __init__(
        self, database: Database, settings: Callable[[], Settings], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._settings, self._monotonic = database, settings, monotonic
        self._folder: Path = state_folder(settings())
        self._key: SealKey | None = None
        self._noted: Standing | None = None
        self._beat: tuple[datetime, float] | None = None  # wall and monotonic clock of the round before
        self._steady_since = 0.0
        self._retained: datetime | None = None

    def open(self) -> None:
        """Read the key, so that all that is written is marked; before the first write, and without the database."""
        settings = self._settings()
        try:
            self._key = load_seal_key(settings)
        except (OSError, ValueError) as error:
            maillog.alerted("the seal key cannot be read, nothing is sealed", str(error))
            return
        if self._key is not None:
            self._database.mark_with(self._key.mark_key)

    def begin(self, tx: Connection, now: datetime) -> None:
        """At the start, before anything leaves: compare with the start mark, and make the first seal key."""
        mark = read_mark(self._folder)  # before the store is asked: another gateway may be going on
        standing = read_standing(tx)
        loss = find_loss(tx, standing, mark.standing) if mark else ""
        if mark and loss:
            self._make_safe(tx, mark.at, mark.standing, loss, now)
        elif mark and mark.standing.store != standing.store and standing.journal < mark.standing.journal:
            maillog.alerted("this is another database than at the last start", "the mails of the other are not in it")
        if self._key is None and not standing.seal:
            self._make_key()
        elif self._key is None:
            maillog.alerted("the seal key is missing, nothing is sealed", "put seal.key back from the backup")
        else:
            last = find_last(tx)
            if last is not None and not last.is_signed_by(self._key.public):
                maillog.alerted("the last seal was not signed with our key", f"seal {last.head}; ticketgate verify")

    def _make_key(self) -> None:
        try:
            self._key = make_seal_key(self._settings())
        except OSError as error:
            maillog.alerted("no seal key can be made, nothing is sealed", str(error))
            return
        if self._key is not None:
            self._database.mark_with(self._key.mark_key)
            maillog.noted("a seal key was made; keep its public half elsewhere", public=self._key.public.hex())

    async def round(self, now: datetime) -> bool:
        """One pass; True when there is more to seal."""
        try:
            done = await self._database.write(lambda tx: self._pass(tx, now))
        except TemporaryError:
            return False  # the workers meet the same trouble and say so
        if done.sealed.refused:
            rows = ", ".join(name_of(fact) for fact in done.sealed.refused[:5])
            maillog.alerted("rows were written without the installation's key", f"{rows}; ticketgate verify")
        if done.sealed.seal is not None:
            maillog.noted("sealed", seal=done.sealed.seal.head, facts=done.sealed.seal.leaves)
        await asyncio.to_thread(self._note, done, now)
        await self._keep_to_retention(now)
        return done.sealed.more

    def _pass(self, tx: Connection, now: datetime) -> _Round:
        before = read_standing(tx)
        loss = ""
        if self._noted is not None and (loss := find_loss(tx, before, self._noted)):
            self._make_safe(tx, now, self._noted, loss, now)
        sealed = seal_waiting(tx, self._key, now) if self._key is not None else Sealed()
        sent = tuple(sent_keys(tx, sealed.sent).values()) if sealed.sent else ()
        return _Round(read_standing(tx) if sealed.seal or loss else before, sealed, sent, loss)

    async def _keep_to_retention(self, now: datetime) -> None:
        """Once a day. A clock that jumped erases nothing: it must have gone steadily for long enough (fault 63)."""
        beat = self._monotonic()
        if self._beat is None or abs((now - self._beat[0]).total_seconds() - (beat - self._beat[1])) > _JUMP:
            self._steady_since = beat
        self._beat = (now, beat)
        settings = self._settings()
        local = now.astimezone(ZoneInfo(settings.ticketgate.timezone))
        hour, _, minute = settings.retention.run_at.partition(":")
        due = local.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        if local < due or (self._retained is not None and self._retained >= due):
            return
        last = await self._database.read(find_last_run)
        long = STEADY if last is not None and abs(now - last) < _LONG_AGO else STEADY_AFTER_LONG
        if beat - self._steady_since < long.total_seconds():
            return
        if last is None or last < due or last > now:
            await self._run_retention(settings, due, now)
        self._retained = due

    async def _run_retention(self, settings: Settings, due: datetime, now: datetime) -> None:
        counts: Counter[str] = Counter()
        if not await self._database.write(lambda tx: claim_run(tx, due, now)):
            return  # another gateway does it
        while portion := await self._database.write(lambda tx: run_retention(tx, settings.retention, now)):
            counts.update(portion)
        if counts:
            maillog.noted("retention", **{what.replace(" ", "_"): number for what, number in counts.items()})

    def _note(self, done: _Round, now: datetime) -> None:
        try:
            note_sent(self._folder, done.sent, now)
            if done.standing != self._noted:
                write_mark(self._folder, done.standing, now)
        except OSError as error:
            maillog.alerted("the start mark cannot be written", str(error))
        self._noted = done.standing

    def _make_safe(self, tx: Connection, since: datetime, mark: Standing, loss: str, now: datetime) -> None:
        maillog.alerted("the database went back in time, the outbox is held", f"{loss}; ticketgate queue release")
        make_safe(tx, since, mark)
        deliveries.enqueue(tx, write_alarm(self._settings(), loss, now), now)


def write_alarm(settings: Settings, loss: str, now: datetime) -> tuple[OutboundMail, ...]:
    """The mail to the admins about a store that went back; it leaves though the outbox is held."""
    text = (
        f"The database is older than it was at the last start mark: {loss}.\n\n"
        "Mail that was accepted meanwhile may be missing. Nothing is sent and no reminder falls due until you say so."
        " Mailboxes on IMAP servers are read again from their first mail; what is known is recognised.\n\n"
        "Look at what would be sent, and what the log says about the time that is missing:\n"
        "    ticketgate queue\n"
        "Then:\n"
        "    ticketgate queue release\n"
    )
    notice = Notice(
        kind="alert",
        event=int(now.timestamp()) % 100_000,
        recipients=tuple(Person(party=0, address=address) for address in settings.ticketgate.admin),
        text=text,
        data={"host": socket.gethostname(), "problem": "the database went back in time"},
    )
    return compose_all(Plan(outcome="alert", notices=(notice,)), None, settings, now) if notice.recipients else ()
