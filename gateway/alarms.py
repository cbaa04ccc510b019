"""Trouble that a person must hear of: a line in the log each time, a mail to the admins at intervals (ops.md 10.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial

from sqlalchemy import Connection

from gateway import maillog
from gateway.clock import Jump, clock
from gateway.errors import TemporaryError
from gateway.model import OutboundMail
from gateway.outbound.alerts import compose_alert, name_alarm
from gateway.outbound.standing import Standing
from gateway.outbound.transport import Attempt
from gateway.settings import Imap, Settings
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.undelivered import find_barred, try_barred, waits_barred

_STORE_PAUSE = 60.0  # seconds
_TRY_PAUSE = 600.0  # seconds between two times that what waits for the relay is tried out of turn
_OF_MAILBOXES = {"silent": "silent", "uidvalidity": "rebuilt", "sent-copy-lost": "copies"}
"""What a mailbox reports -> alarm; the rest is for the log alone."""


class Alarms:
    """The alarms of one gateway; to be used on its event loop. ``sent`` is called when a mail was queued."""

    def __init__(self, database: Database, settings: Callable[[], Settings], sent: Callable[[], None]) -> None:
        self._database, self._settings, self._sent = database, settings, sent
        self._told: dict[str, float] = {}  # problem -> monotonic time of the last mail about it
        self._store_told = float("-inf")
        self._lasting: set[str] = set()  # problems that were mailed, and their end was not
        self._later: dict[str, asyncio.TimerHandle] = {}  # problems that came again too soon to be mailed
        self._standing = Standing()
        self._tried, self._owed = float("-inf"), False  # when what waits for the relay was; it is to be, when it may
        self._refusals = 0
        self._writing: set[asyncio.Task[None]] = set()
        self._number = int(time.time()) % 100_000  # makes the Message-ID: another one for each alarm

    def sound(self, alarm: str, reason: str, **facts: str) -> None:
        """Something is wrong: a line in the log, and a mail. ``alarm``: a key of words.toml (outbound/alerts.py)."""
        maillog.alerted(name_alarm(self._settings(), alarm, **facts), reason)
        self.tell(alarm, reason, **facts)

    def tell(self, alarm: str, reason: str, **facts: str) -> None:
        """The mail about what the log has already; once in ``admin_quiet_period`` for the same problem.

        What comes again after its end was mailed is told when the period is over, if it lasts until then.
        """
        problem = name_alarm(self._settings(), alarm, **facts)
        quiet = self._settings().ticketgate.admin_quiet_period
        left = self._told.get(problem, float("-inf")) + quiet.total_seconds() - time.monotonic()
        if left > 0:
            if problem not in self._lasting and problem not in self._later:
                again = partial(self.tell, alarm, reason, **facts)
                self._later[problem] = asyncio.get_running_loop().call_later(left, again)
            return
        self._forget_later(problem)
        self._told[problem] = time.monotonic()
        self._lasting.add(problem)
        minutes = f"{quiet.total_seconds() / 60:.0f}"
        self._mail(problem, alarm, reason=reason, minutes=minutes, **facts)

    def over(self, alarm: str, **facts: str) -> None:
        """It is well again: one mail, if there was one about the trouble."""
        problem = name_alarm(self._settings(), alarm, **facts)
        self._forget_later(problem)
        if problem in self._lasting:
            self._lasting.discard(problem)
            maillog.noted(f"over: {problem}")
            self._mail(problem, alarm, over="1", **facts)

    def _forget_later(self, problem: str) -> None:
        waiting = self._later.pop(problem, None)
        if waiting is not None:
            waiting.cancel()

    def hear_mailbox(self, mailbox: Imap, problem: str, what: str) -> None:
        """What a mailbox has to say (:data:`gateway.ingest.imap.Report`): trouble, or with no words the end of it."""
        if not what:
            maillog.mailbox_well(mailbox.handle)
            if problem == "silent":
                self.over("silent", user=mailbox.user)
            return
        maillog.mailbox_trouble(mailbox.handle, f"{problem}: {what}")
        if problem in _OF_MAILBOXES:
            self.sound(_OF_MAILBOXES[problem], what, user=mailbox.user)

    def hear_tokens(self, mailbox: Imap, why: str) -> None:
        """A refresh of an OAuth2 token failed, or (no words) went well."""
        if why:
            self.sound("token", why, user=mailbox.user, handle=mailbox.handle)
        else:
            self.over("token", user=mailbox.user, handle=mailbox.handle)

    def hear_relay(self, mail: OutboundMail, attempt: Attempt) -> None:
        """What came of an attempt to send, as recorded: a relay that refuses us is everybody's trouble."""
        server = self._settings().send.host
        if attempt.barred:
            self._refusals += 1
            # In the session it is its word about us; before that nothing can be said to it at all.
            alarm = "relay-refuses" if attempt.step else "relay"
            # Once in the log: each mail that waits has its own line there.
            (self.sound if self._standing.well else self.tell)(alarm, attempt.reply, server=server)
        self._owed = self._standing.hear(attempt, mail) or self._owed
        if attempt.outcome == "sent" and (self._owed or not self._standing.well):
            self._start(self._look_at_barred())

    def hear_store(self, cause: str) -> None:
        """Nothing can be written, or (no words) it can again. In any thread; the log only, as no mail can be kept.

        Said once a minute at most: whoever stands before 451 tries again and again.
        """
        now = time.monotonic()
        if cause and now - self._store_told >= _STORE_PAUSE:
            self._store_told = now
            maillog.alerted("the database cannot be written", cause)
        elif not cause:
            maillog.noted("the database can be written again")

    def hear_clock(self, jump: Jump) -> None:
        """The wall clock was set, or set right again, or its new time is believed now."""
        if not jump.believed:
            self.sound("clock", str(jump.by))
        elif jump.by:
            maillog.alerted("the new time has stood and is believed now", f"by {jump.by}")
        else:
            self.over("clock")

    def hear_keeper(self, alarm: str, reason: str) -> None:
        """What the keeper of the record has in its log: trouble, or with no words the end of it."""
        if reason:
            self.tell(alarm, reason)
        else:
            self.over(alarm)

    async def _look_at_barred(self) -> None:
        """What waited for the relay goes now, not when its pause of hours ends; if nothing waits, the trouble is over.

        A relay that takes one sender's mail and not another's is asked again every ten minutes at most.
        """
        now, refusals = time.monotonic(), self._refusals
        may_try = self._owed and now - self._tried >= _TRY_PAUSE
        try:
            waiting = await self._database.read(find_barred)
            due = await self._database.write(try_barred) if waiting and may_try else 0
        except TemporaryError as error:
            maillog.worker_error("alarms", error)
            return
        if may_try or not waiting:
            self._owed = False
        if due:
            self._tried = now
            self._sent()
        elif waiting and self._owed and "try" not in self._later:
            pause = self._tried + _TRY_PAUSE - now
            self._later["try"] = asyncio.get_running_loop().call_later(pause, self._try_later)
        if refusals == self._refusals and self._standing.settle(waiting):  # else what was read is of before
            server = self._settings().send.host
            self.over("relay", server=server)
            self.over("relay-refuses", server=server)

    def _try_later(self) -> None:
        del self._later["try"]
        self._start(self._look_at_barred())

    def _mail(self, problem: str, alarm: str, **facts: str) -> None:
        self._start(self._queue(problem, alarm, facts))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _queue(self, problem: str, alarm: str, facts: dict[str, str]) -> None:
        now, settings = clock(), self._settings()
        self._number = (self._number + 1) % 100_000
        try:
            mails = compose_alert(settings, alarm, self._number, now, **facts)
            # One that cannot leave says it all: when the relay is repaired it is read with the end of it.
            repeated = alarm.startswith("relay") and "over" not in facts

            def queue(tx: Connection) -> None:
                if not (repeated and waits_barred(tx, "alert")):
                    deliveries.enqueue(tx, mails, now)

            await self._database.write(queue)
        except TemporaryError as error:
            maillog.worker_error("alarms", error)  # the log has the alarm
            if "over" not in facts:
                self._told.pop(problem, None)
                self._lasting.discard(problem)
            return
        self._sent()
