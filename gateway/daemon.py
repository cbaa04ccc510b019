"""Composition root: build everything once, start edges and workers, stop in order.

Start: settings, database, cage, workers, and the edges last, so that nothing is accepted before it can be stored.
Stop: the edges first, then the mail in hand, then the rest: whatever is left is in the database and goes on next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypedDict

from gateway import __version__, clockwork, maillog, metrics
from gateway.address import domain_of, fold_address
from gateway.alarms import Alarms
from gateway.analysis.cage import Cage
from gateway.analysis.cage import Resolver as DnsResolver
from gateway.analysis.reading_rules import Rules, rules_of
from gateway.clock import clock, steady
from gateway.configure import ConfigurationError, open_certificate, read_secret
from gateway.errors import TemporaryError
from gateway.health import Health
from gateway.ingest.imap import MailboxReader
from gateway.ingest.intake import Rules as ListenerRules
from gateway.ingest.intake import lmtp_rules, smtp_rules
from gateway.ingest.listen import Listener, open_sockets
from gateway.late import LatePass
from gateway.mailbox_tasks import Mailboxes, MailboxTask, find_tasks
from gateway.membership import Membership
from gateway.model import Plan
from gateway.outbound.sign import Signer
from gateway.outbound.transport import Transport
from gateway.receive import Receiver
from gateway.resolver import Resolver
from gateway.safekeeping.keeper import Keeper
from gateway.safekeeping.tokens import AccessTokens
from gateway.schedule import Job, start_schedule
from gateway.service_manager import Watchdog, notify
from gateway.settings import Imap, Settings
from gateway.status_page import StatusPage
from gateway.store.database import Database
from gateway.store.setback import bring_forward
from gateway.threading.clues import is_bad_token
from gateway.workers import Intake, Outbox, Reminders, Worker

STOP_SECONDS = 60.0
"""How long sessions inside DATA and mails in hand may take at the end (TimeoutStopSec is longer)."""
_LAST_WORDS = 2.0
_LAST_SECONDS = 10.0
"""For what is left after that; a database that hangs ends it."""


class _Credentials(TypedDict):
    """What [send] logs in and signs with, beside its settings."""

    password: str
    signer: Signer | None
    access_token: Callable[[bool], Awaitable[str]] | None


class Daemon:
    """One gateway. ``await start()``, then ``await run()`` until SIGTERM."""

    def __init__(
        self,
        settings: Settings,
        reload: Callable[[], Settings] | None = None,
        resolver: DnsResolver | None = None,
        configuration: Path | None = None,
    ) -> None:
        self.settings = settings
        self._reload = reload
        self._configuration = configuration
        self._stop = asyncio.Event()
        self.resolver: DnsResolver = resolver or Resolver(settings.authentication.resolver)
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[Listener] = []

    # -------------------------------------------------------------- start

    async def start(self) -> None:
        """Everything up. Raises ConfigurationError, AlreadyRunningError, TemporaryError, OSError."""
        settings = self.settings
        maillog.configure(settings.log)
        steady.settle = settings.ticketgate.clock_settle
        if settings.metrics.listen or settings.metrics.textfile:
            metrics.enable(__version__)
        self.database = Database(settings.storage.url)
        self.database.on_broken = partial(asyncio.get_running_loop().call_soon_threadsafe, self._stop.set)
        self.keeper = Keeper(self.database, lambda: self.settings)
        self.keeper.departed.changed = lambda: notify(self._status())
        self.membership = Membership(
            self.database,
            self.keeper,
            lambda: self.settings,
            self._configuration,
            stop=self._stop,
            wake=self._go_on,
            end=self._end_because,
        )
        self.membership.lock()
        self.keeper.open()
        entered = await self.membership.enter()
        self.cage = Cage(settings.cage, self._rules())
        await self.cage.start()
        self.alarms = Alarms(self.database, lambda: self.settings, lambda: self.outbox.worker.wake())
        self.database.on_trouble = self.alarms.hear_store
        self.keeper.told = self.alarms.hear_keeper
        self.tokens = AccessTokens(lambda: self.settings, self.alarms.hear_tokens)
        self.transport = Transport(settings.send, **self._credentials())
        name = self.membership.name
        self.receiver = Receiver(self.database, max_size=_largest(settings), wake=self._received)
        self.intake = Intake(self.database, self.cage, self.resolver, lambda: self.settings, name)
        self.outbox = Outbox(self.database, self.transport, lambda: self.settings, name)
        self.outbox.tried, self.outbox.left = self.alarms.hear_relay, self.keeper.note_left
        self.reminders = Reminders(self.database, lambda: self.settings, name)
        self.late = LatePass(self.database, self.cage, self.resolver, self._received)
        self.intake.after = self.reminders.after = self._planned
        self.health = Health(self.database, lambda: self.settings)
        self.textfile = Worker("metrics", self._write_metrics)
        self.record = Worker("record", lambda: self.keeper.round(clock()))
        self.watchdog = Watchdog()
        self.mailboxes = Mailboxes(self._mailbox_tasks, self._mailbox_began, self._mailbox_ended)
        for worker in (*self._loops(), self.record, self.late.worker, self.textfile):
            self._tasks.append(asyncio.create_task(worker.run(), name=worker.name))
        for worker in self._loops():
            self.watchdog.watch(worker.name, worker.overdue)
        if not entered:
            self._tasks.append(asyncio.create_task(self.membership.enter_later(), name="database"))
        self._tasks.append(asyncio.create_task(self.membership.look_around(), name="presence"))
        self._schedule = start_schedule(self._jobs())
        await self._open_edges()
        await self._open_status_page()
        notify("READY=1", self._status())
        maillog.started("ticketgate", settings.storage.url.partition("@")[2] or settings.storage.url)

    def _loops(self) -> tuple[Worker, ...]:
        return self.intake.worker, self.outbox.worker, self.reminders.worker

    def _wake_workers(self) -> None:
        for worker in self._loops():
            worker.wake()

    def _go_on(self) -> None:
        """The database is back, or what another gateway had claimed."""
        notify(self._status())
        self._wake_workers()

    def _status(self) -> str:
        """For `systemctl status`."""
        waits = self.database.withheld
        if not waits and self.keeper.departed.since is not None:
            waits = "the outbox is held since the store was put back: ticketgate queue, ticketgate queue release"
        return f"STATUS={waits or f'{len(self.settings.inbox)} inboxes, {len(self.settings.agents)} agents'}"

    def _end_because(self, cause: str) -> None:
        """End as after a failed fsync: nothing more is written. The next start says what a person has to do."""
        self.database.broken = cause
        self._stop.set()

    def _rules(self) -> Rules:
        return Rules(
            authentication=rules_of(self.settings),
            own_addresses=frozenset(a for inbox in self.settings.inbox.values() for a in inbox.addresses()),
            id_domain=self.settings.id_domain,
        )

    async def _open_edges(self) -> None:
        receive = self.settings.receive
        name = socket.gethostname()
        if receive.lmtp is not None and receive.lmtp.listen:
            lmtp = self._listener(lmtp_rules(receive.lmtp, name))
            await lmtp.start(open_sockets(receive.lmtp.listen, "lmtp"))
            self._listeners.append(lmtp)
        if receive.smtp is not None and receive.smtp.listen:
            tls = (
                open_certificate(receive.smtp.tls_certificate, receive.smtp.tls_key)
                if receive.smtp.tls_certificate
                else None
            )
            smtp = self._listener(smtp_rules(receive.smtp, name, tls))
            await smtp.start(open_sockets(receive.smtp.listen, "smtp"))
            self._listeners.append(smtp)
        self.mailboxes.follow(self.settings)

    async def _open_status_page(self) -> None:
        self.status_page = StatusPage(self.health.look)
        if self.settings.metrics.listen:
            (listening,) = open_sockets((f"inet:{self.settings.metrics.listen}",), "metrics")
            await self.status_page.start(listening)

    def _mailbox_tasks(self, mailbox: Imap) -> dict[str, MailboxTask]:
        async def may_read() -> bool:
            return await asyncio.to_thread(self.membership.presence.lead, f"mailbox:{mailbox.handle}")

        return find_tasks(
            mailbox,
            address=self.settings.inbox[mailbox.inbox].address,
            receive=self.receiver.receive,
            database=self.database,
            report=partial(self.alarms.hear_mailbox, mailbox),
            password=self.tokens.password_of(mailbox),
            may_read=may_read,
        )

    def _mailbox_began(self, name: str, task: MailboxTask, mailbox: Imap) -> None:
        self.watchdog.watch(name, task.beat.overdue)
        if isinstance(task, MailboxReader):
            self.health.silent[name] = (task.silent, mailbox.alert_after.total_seconds())

    def _mailbox_ended(self, name: str) -> None:
        self.watchdog.forget(name)
        self.health.silent.pop(name, None)

    def _credentials(self) -> _Credentials:
        return {
            "password": _password(self.settings),
            "signer": _signer(self.settings),
            "access_token": self.tokens.for_sending(),
        }

    def _listener(self, rules: ListenerRules) -> Listener:
        return Listener(
            rules,
            receive=self.receiver.receive,
            find_inbox=lambda recipient: self.settings.find_inbox(recipient),
            is_our_domain=self._is_our_domain,
            has_space=self._has_space,
            is_bad_token=lambda recipient: is_bad_token(recipient, self.settings),
        )

    def _is_our_domain(self, domain: str) -> bool:
        domains = {domain_of(a) for inbox in self.settings.inbox.values() for a in inbox.addresses()}
        domains |= {inbox.reply_domain.lower() for inbox in self.settings.inbox.values() if inbox.reply_domain}
        return fold_address(domain) in domains

    def _has_space(self) -> bool:
        path = self.database.sqlite_file
        return path is None or shutil.disk_usage(path.parent).free > self.settings.storage.free_space

    # -------------------------------------------------------------- run

    def _received(self) -> None:
        self.intake.worker.wake()

    def _planned(self, plan: Plan) -> None:
        if metrics.enabled():
            self.health.hear(plan)
        if plan.notices:
            self.outbox.worker.wake()
        if plan.releases:
            self.intake.worker.wake()

    def _jobs(self) -> list[Job]:
        jobs = [
            Job("intake", 5, self.intake.worker.wake),
            Job("outbox", 2, self.outbox.worker.wake),
            Job("reminders", 10, self.reminders.worker.wake),
            Job("record", 15, self.record.wake),
            Job("clock", 2, self._look_at_clock),
            Job("watchdog", 10, self._watch),
        ]
        if self.settings.metrics.textfile:
            jobs.append(Job("metrics", 30, self.textfile.wake))
        return jobs

    async def _write_metrics(self) -> bool:
        if self.settings.metrics.textfile:
            await self.health.look()
            try:
                await asyncio.to_thread(metrics.write_textfile, Path(self.settings.metrics.textfile))
            except OSError as error:
                maillog.alerted("the metrics cannot be written", str(error))
        return False

    def _watch(self) -> None:
        if not self.database.broken:
            self.watchdog.feed()

    def _look_at_clock(self) -> None:
        for jump in steady.take_jumps():
            self.alarms.hear_clock(jump)
            if jump.believed and jump.by:
                self._tasks.append(asyncio.create_task(self._follow_clock(-jump.by)))

    async def _follow_clock(self, back: timedelta) -> None:
        """Where the clock was set back, what waits for a retry need not wait for it again."""
        with contextlib.suppress(TemporaryError):
            if back > timedelta():
                await self.database.write(lambda tx: bring_forward(tx, back, self.membership.name, clock()))
        self._wake_workers()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; SIGHUP reloads; a second SIGTERM ends at once."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._terminate)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self._stop.wait()
        if self.database.broken:
            await self._give_up()
        await self.stop()

    def _terminate(self) -> None:
        if self._stop.is_set():
            os._exit(0)  # nothing is lost: what was answered is committed, the rest is in the journal
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration again; a bad one changes nothing."""
        if self._reload is None:
            return
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        before = self.settings
        try:
            self.settings = self._reload()
            self._follow(before)
        except (ConfigurationError, TemporaryError, OSError, ValueError) as error:
            self.settings = before
            maillog.alerted("reload refused, old settings stay", str(error).replace("\n", "; "))
        else:
            maillog.noted("reloaded")
        notify("READY=1")

    def _follow(self, before: Settings) -> None:
        """What was built from the settings of before works by the new ones from the next mail on."""
        settings = self.settings
        self.tokens.renew()
        self.transport.renew(settings.send, **self._credentials())  # what may fail comes first
        maillog.configure(settings.log)
        steady.settle = settings.ticketgate.clock_settle
        self.cage.renew_rules(self._rules())
        if isinstance(self.resolver, Resolver) and settings.authentication.resolver != before.authentication.resolver:
            self.resolver.renew(settings.authentication.resolver)
        self.mailboxes.follow(settings)
        self._tasks.append(asyncio.create_task(self._renew_agents()))
        fixed = {
            "storage": (settings.storage.url, before.storage.url),
            "receive.lmtp": (settings.receive.lmtp, before.receive.lmtp),
            "receive.smtp": (settings.receive.smtp, before.receive.smtp),
            "cage": (settings.cage, before.cage),
            "metrics": (settings.metrics, before.metrics),
        }
        for name, (now, then) in fixed.items():
            if now != then:
                maillog.noted(f"[{name}] has changed: systemctl restart ticketgate")

    async def _renew_agents(self) -> None:
        with contextlib.suppress(TemporaryError):
            await self.database.write(lambda tx: clockwork.start_rounds(tx, self.settings, clock()))

    async def _give_up(self) -> None:
        """The store cannot be trusted any more: whoever waits hears 451, and the process ends without closing it."""
        maillog.alerted("database", self.database.broken)
        notify("STOPPING=1")
        for listener in self._listeners:
            await listener.stop(grace=_LAST_WORDS)
        await self.cage.close()
        maillog.stopped("ticketgate", self.database.broken)
        maillog.stop()
        os._exit(74)  # EX_IOERR

    # -------------------------------------------------------------- stop

    async def stop(self) -> None:
        """Edges first, then the mail in hand, then the rest."""
        notify("STOPPING=1")
        self._stop.set()
        for listener in self._listeners:
            await listener.stop(STOP_SECONDS / 2)
        await self.status_page.stop()
        self._schedule.stop()
        for worker in (*self._loops(), self.record, self.late.worker, self.textfile):
            worker.stop()
        _, late = await asyncio.wait([*self._tasks, *self.mailboxes.stop()], timeout=STOP_SECONDS / 2)
        for task in late:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(self.intake.drain(), self.outbox.drain()), 10)
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self.keeper.round(clock())
                await self.cage.close()
                await self.transport.close()
                await self.membership.leave()
                await asyncio.to_thread(self.database.close)
        except TimeoutError:
            # Its threads wait for an answer that may never come, and the interpreter would wait for them. Nothing is
            # lost: what was answered is committed, and what was claimed is found by whoever comes next.
            maillog.stopped("ticketgate", "the database does not answer")
            maillog.stop()
            os._exit(75)  # EX_TEMPFAIL
        maillog.stopped("ticketgate")
        self.membership.unlock()


def _password(settings: Settings) -> str:
    return read_secret(settings.send.secret) if settings.send.auth in ("password", "app-password") else ""


def _signer(settings: Settings) -> Signer | None:
    dkim = settings.send.dkim
    return Signer(dkim.domain, dkim.selector, read_secret(dkim.key_secret)) if dkim.enabled else None


def _largest(settings: Settings) -> int:
    receive = settings.receive
    sizes = [edge.max_size for edge in (receive.lmtp, receive.smtp, *receive.imap.values()) if edge is not None]
    return max(sizes, default=25 * 1024 * 1024)
