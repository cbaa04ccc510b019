"""Trouble that a person must hear of: a line in the log each time, a mail to the admins at intervals (ops.md 10.1)."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import datetime

from gateway import maillog
from gateway.clock import Jump, clock
from gateway.errors import TemporaryError
from gateway.model import Notice, OutboundMail, Person, Plan
from gateway.outbound.compose import compose_all
from gateway.outbound.transport import Attempt
from gateway.settings import Imap, Settings
from gateway.store import deliveries
from gateway.store.database import Database

_STORE_PAUSE = 60.0  # seconds
_CLOCK = "the clock jumped"
_CLOCK_TEXT = (
    "The time of this machine was set by more than a minute. Until the new time has stood for a while, everything goes"
    " on by the old one: no reminder, retry or erasure is done because of it. Look at NTP:\n    timedatectl"
)
_TOKEN_TEXT = (
    "The provider gives us no access token. When the last one ends, the mailbox cannot be read and nothing can be sent"
    " with it. No mail is lost: it waits. Look at:"
)
_RELAY_TEXT = (
    "Nothing leaves in clear where TLS is configured, nor without the login. All mail waits in the outbox:\n"
    "    ticketgate queue"
)
_SILENT_TEXT = "New customer mail in it is NOT becoming tickets. No mail is lost: it waits on the mail server."
_COPY_TEXT = (
    "They were sent and are in their tickets; only the copies that sent_copy asks for are not made. Look at:\n"
    "    ticketgate queue"
)
_REBUILT_TEXT = (
    "Its server numbers the mails anew. All of them are read again; what is known is recognised, and nobody is told"
    " of it again."
)


class Alarms:
    """The alarms of one gateway; to be used on its event loop. ``sent`` is called when a mail was queued."""

    def __init__(self, database: Database, settings: Callable[[], Settings], sent: Callable[[], None]) -> None:
        self._database, self._settings, self._sent = database, settings, sent
        self._told: dict[str, float] = {}  # problem -> monotonic time of the last mail about it
        self._store_told = float("-inf")
        self._writing: set[asyncio.Task[None]] = set()
        self._number = int(time.time()) % 100_000  # makes the Message-ID: another one for each alarm

    def sound(self, problem: str, reason: str, text: str = "") -> None:
        """Something is wrong. ``problem`` names it (the subject); mailed once in ``admin_quiet_period``."""
        maillog.alerted(problem, reason)
        quiet = self._settings().ticketgate.admin_quiet_period
        last = self._told.get(problem)
        if last is not None and time.monotonic() - last < quiet.total_seconds():
            return
        self._told[problem] = time.monotonic()
        often = f"This is repeated every {quiet.total_seconds() / 60:.0f} minutes while it lasts.\n"
        self._mail(problem, f"{text}\n\n  Reason    {reason}\n\n{often}".lstrip())

    def over(self, problem: str) -> None:
        """It is well again: one mail, if there was one about the trouble."""
        if self._told.pop(problem, None) is not None:
            maillog.noted(f"over: {problem}")
            self._mail(f"over: {problem}", "This trouble has ended.\n")

    def hear_mailbox(self, mailbox: Imap, problem: str, what: str) -> None:
        """What a mailbox has to say (:data:`gateway.ingest.imap.Report`): trouble, or with no words the end of it."""
        silent = f"the mailbox {mailbox.user} is not read"
        if not what:
            maillog.mailbox_well(mailbox.handle)
            if problem == "silent":
                self.over(silent)
            return
        maillog.mailbox_trouble(mailbox.handle, f"{problem}: {what}")
        if problem == "silent":
            self.sound(silent, what, _SILENT_TEXT)
        elif problem == "sent-copy-lost":
            self.sound(f"answers are missing in the Sent folder of {mailbox.user}", what, _COPY_TEXT)
        elif problem == "uidvalidity":
            self.sound(f"the mailbox {mailbox.user} was rebuilt", what, _REBUILT_TEXT)

    def hear_tokens(self, mailbox: Imap, why: str) -> None:
        """A refresh of an OAuth2 token failed, or (no words) went well."""
        problem = f"no access token for {mailbox.user}"
        if why:
            self.sound(problem, why, f"{_TOKEN_TEXT}\n    ticketgate oauth status {mailbox.handle}")
        else:
            self.over(problem)

    def hear_relay(self, attempt: Attempt) -> None:
        """What came of an attempt to send: that nothing can be sent is everybody's trouble, not that mail's."""
        problem = f"nothing can be sent by {self._settings().send.host}"
        if attempt.barred:
            self.sound(problem, attempt.reply, _RELAY_TEXT)
        elif attempt.outcome == "sent":
            self.over(problem)

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
            self.sound(_CLOCK, f"by {jump.by}", _CLOCK_TEXT)
        elif jump.by:
            maillog.alerted("the new time has stood and is believed now", f"by {jump.by}")
        else:
            self.over(_CLOCK)

    def _mail(self, problem: str, text: str) -> None:
        task = asyncio.create_task(self._queue(problem, text))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _queue(self, problem: str, text: str) -> None:
        now, settings = clock(), self._settings()
        self._number = (self._number + 1) % 100_000
        mails = write_alarm(settings, problem, text, self._number, now)
        try:
            await self._database.write(lambda tx: deliveries.enqueue(tx, mails, now))
        except TemporaryError as error:
            maillog.worker_error("alarms", error)  # the log has the alarm
            self._told.pop(problem, None)
            return
        self._sent()


def write_alarm(settings: Settings, problem: str, text: str, number: int, now: datetime) -> tuple[OutboundMail, ...]:
    """The mail to the admins; none when nobody is named."""
    notice = Notice(
        kind="alert",
        event=number,
        recipients=tuple(Person(party=0, address=address) for address in settings.ticketgate.admin),
        text=text,
        data={"host": socket.gethostname(), "problem": problem},
    )
    return compose_all(Plan(outcome="alert", notices=(notice,)), None, settings, now) if notice.recipients else ()
