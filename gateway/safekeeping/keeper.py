"""The rounds of the record: compare with the start mark, seal what was written, note how far the store has come."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway import maillog
from gateway.clock import clock
from gateway.errors import TemporaryError
from gateway.model import Delivery
from gateway.outbound.alerts import compose_alert, name_alarm
from gateway.safekeeping.departed import Departed
from gateway.safekeeping.outside import (
    load_seal_key,
    make_seal_key,
    note_sent,
    read_mark,
    state_folder,
    write_mark,
)
from gateway.seal import Seal, SealKey
from gateway.settings import Settings
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.facts import name_of
from gateway.store.forgetting import claim_run, find_last_run, run_retention
from gateway.store.recovery import Head, Standing, exact_key, find_cut, find_loss, make_safe, read_standing, sent_keys
from gateway.store.seals import Sealed, claim_showing, find_last, seal_waiting

STEADY = timedelta(hours=1)
"""How long the clock must have gone steadily in this process before anything is erased."""
STEADY_AFTER_LONG = timedelta(hours=24)
"""The same where the last run was long ago or never: nobody was here, or the clock says something strange."""
_LONG_AGO = timedelta(days=7)
_AT_ONCE = 4096  # mails that may leave between two seals without being noted twice
_JUMP = 300.0  # seconds by which wall and monotonic clock may part from round to round


@dataclass(frozen=True, slots=True)
class _Round:
    standing: Standing
    sealed: Sealed
    sent: tuple[str, ...]
    loss: str = ""
    cut: Head | None = None


class Keeper:
    """Seals what was written, and notices a store that went back."""

    def __init__(
        self, database: Database, settings: Callable[[], Settings], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._settings, self._monotonic = database, settings, monotonic
        self._folder: Path = state_folder(settings())
        self._key: SealKey | None = None
        self._unreadable = False  # there is a key: it must not be written over
        self._noted: Standing | None = None
        self._cut: Head | None = None  # found at the start, and to be noted with the first round
        self._beat: tuple[datetime, float] | None = None  # wall and monotonic clock of the round before
        self._steady_since = 0.0
        self._retained: datetime | None = None
        self._untold: deque[tuple[str, str]] = deque()
        self.departed = Departed(settings)
        self._left: deque[str] = deque(maxlen=_AT_ONCE)  # noted since the last seal: it need not note them again
        self.told: Callable[[str, str], None] = lambda alarm, reason: None
        """Hears on the event loop of what is in the log already: an alarm and the reason, "" when it is over."""

    def open(self) -> None:
        """Read the key, so that all that is written is marked; before the first write, and without the database."""
        settings = self._settings()
        try:
            self._key = load_seal_key(settings)
        except (OSError, ValueError) as error:
            self._alarm("seal-key", str(error))
            self._unreadable = True
            return
        if self._key is not None:
            self._database.mark_with(self._key.mark_key)

    def begin(self, tx: Connection, now: datetime) -> None:
        """At the start, before anything leaves: compare with the start mark, and make the first seal key."""
        mark = read_mark(self._folder)  # before the store is asked: another gateway may be going on
        standing = read_standing(tx)
        loss = find_loss(tx, standing, mark.standing) if mark else ""
        if mark and loss:
            self._make_safe(tx, mark.at, mark.standing, standing, loss, now)
        elif mark and mark.standing.store != standing.store and standing.journal < mark.standing.journal:
            # An empty one after a disaster, started by itself: its tickets would have the numbers of others, to which
            # reply addresses that people have still lead, and mailboxes that are read again be answered again.
            loss = "the mails of the other are not in it"
            self._make_safe(tx, mark.at, mark.standing, standing, loss, now, alarm="other-store")
        if mark and loss and not mark.cut:
            self._cut = find_cut(tx, mark.standing)
        self.departed.begin(tx, now)
        if self._unreadable:
            return
        if self._key is None and not standing.seal:
            self._make_key()
        elif self._key is None:
            self._alarm("seal-key-missing", "put seal.key back from the backup")
        else:
            last = find_last(tx)
            if last is not None and not last.is_signed_by(self._key.public):
                self._alarm("signature", f"seal {last.head}; ticketgate verify")

    def _make_key(self) -> None:
        try:
            self._key = make_seal_key(self._settings())
        except OSError as error:
            self._alarm("seal-key-unmade", str(error))
            return
        if self._key is not None:
            self._database.mark_with(self._key.mark_key)
            maillog.noted("a seal key was made; keep its public half elsewhere", public=self._key.public.hex())

    def _alarm(self, alarm: str, reason: str) -> None:
        """Said in the log at once, and to the admins with the next round: this may be a thread, before any loop."""
        maillog.alerted(name_alarm(self._settings(), alarm), reason)
        self._untold.append((alarm, reason))

    async def round(self, now: datetime) -> bool:
        """One pass; True when there is more to seal."""
        try:
            done = await self._database.write(lambda tx: self._pass(tx, now))
        except TemporaryError:
            return False  # the workers meet the same trouble and say so
        finally:
            self._tell()
        if done.sealed.refused:
            rows = ", ".join(name_of(fact) for fact in done.sealed.refused[:5])
            self._alarm("unmarked", f"{rows}; ticketgate verify")
        if done.sealed.seal is not None:
            maillog.noted("sealed", seal=done.sealed.seal.head, facts=done.sealed.seal.leaves)
        await asyncio.to_thread(self._note, done, now)
        await self._keep_to_retention(now)
        self._tell()
        return done.sealed.more

    def _tell(self) -> None:
        while self._untold:
            self.told(*self._untold.popleft())

    def _pass(self, tx: Connection, now: datetime) -> _Round:
        before = read_standing(tx)
        loss, cut = "", self._cut
        if self._noted is not None and (loss := find_loss(tx, before, self._noted)):
            self._make_safe(tx, now, self._noted, before, loss, now)
            cut = cut or find_cut(tx, self._noted)
        self.departed.compare(tx, now)
        sealed = seal_waiting(tx, self._key, now) if self._key is not None else Sealed()
        if sealed.seal is not None:
            self._show_head(tx, sealed.seal, now)
        sent = tuple(sent_keys(tx, sealed.sent).values()) if sealed.sent else ()
        return _Round(read_standing(tx) if sealed.seal or loss else before, sealed, sent, loss, cut)

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
            try:
                await self._run_retention(settings, due, now)
            except Exception as error:  # noqa: BLE001  what is not erased today is tomorrow; sealing goes on
                self._alarm("retention", maillog.describe(error))
            else:
                self._untold.append(("retention", ""))
        self._retained = due

    async def _run_retention(self, settings: Settings, due: datetime, now: datetime) -> None:
        counts: Counter[str] = Counter()
        if not await self._database.write(lambda tx: claim_run(tx, due, now)):
            return  # another gateway does it
        while portion := await self._database.write(lambda tx: run_retention(tx, settings.retention, now)):
            counts.update(portion)
        if counts:
            maillog.noted("retention", **{what.replace(" ", "_"): number for what, number in counts.items()})

    def note_left(self, key: str, delivery: Delivery) -> None:
        """A mail left this moment (:func:`gateway.store.recovery.sent_keys`): known from now on without the database.

        The rounds note what other gateways sent; but a database that is lost takes with it what the last seconds sent.
        """
        try:
            mail = delivery.mail
            note_sent(self._folder, [key], clock(), exact_key(mail.message_id, mail.recipient, delivery.queued_at))
        except OSError as error:
            self._alarm("mark", str(error))
        else:
            self._left.append(key)

    def _note(self, done: _Round, now: datetime) -> None:
        known = set(self._left)
        try:
            note_sent(self._folder, (key for key in done.sent if key not in known), now)
            self.departed.note_gateways()
            if done.standing != self._noted:
                mark = read_mark(self._folder)  # an operator may have accepted what is missing
                write_mark(self._folder, done.standing, now, done.cut or (mark.cut if mark else None))
                self._untold.append(("mark", ""))
        except OSError as error:
            self._alarm("mark", str(error))
            self._cut = done.cut
        else:
            self._cut = None
        self._noted = done.standing

    def _make_safe(
        self,
        tx: Connection,
        since: datetime,
        mark: Standing,
        is_now: Standing,
        loss: str,
        now: datetime,
        *,
        alarm: str = "went-back",
    ) -> None:
        what = name_alarm(self._settings(), alarm)
        maillog.alerted(f"{what}, the outbox is held", f"{loss}; ticketgate queue release")
        make_safe(tx, since, mark)
        lost = {"received": mark.journal - is_now.journal, "sent": mark.deliveries - is_now.deliveries}
        facts = {name: str(max(0, number)) for name, number in lost.items()}
        # In this transaction, and let through though the outbox is held.
        self._write(tx, alarm, now, facts)

    def _show_head(self, tx: Connection, seal: Seal, now: datetime) -> None:
        """Once a week where the chain stands, to people: a copy of it that nobody with our database can change."""
        if claim_showing(tx, now):
            at = seal.at.astimezone(ZoneInfo(self._settings().ticketgate.timezone))
            facts = {"head": seal.head, "at": f"{at:%Y-%m-%d %H:%M %Z}", "public": seal.key.hex()}
            self._write(tx, "head", now, facts)

    def _write(self, tx: Connection, alarm: str, now: datetime, facts: dict[str, str]) -> None:
        try:
            mails = compose_alert(self._settings(), alarm, int(now.timestamp()), now, **facts)
        except Exception as error:  # noqa: BLE001  an operator's own words that do not fit must not stop the sealing
            maillog.worker_error("record", error)
            return
        deliveries.enqueue(tx, mails, now)
