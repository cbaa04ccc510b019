"""What runs for a mailbox on an IMAP server: its readers, the watch over its junk, the copies in its Sent folder."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.clock import clock
from gateway.ingest.beat import Beat
from gateway.ingest.imap import MailboxReader
from gateway.ingest.imap_folder import MayRead, Password, Receive, Report
from gateway.ingest.imap_junk import JunkWatch
from gateway.ingest.imap_sent import SentFolder
from gateway.settings import Imap, Settings
from gateway.store.database import Database
from gateway.store.mailboxes import MailboxState
from gateway.store.sent_copies import SentCopies


class MailboxTask(Protocol):
    """Works until stopped; its beat is its sign of life."""

    beat: Beat

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""


def find_tasks(
    mailbox: Imap,
    *,
    address: str,
    receive: Receive,
    database: Database,
    report: Report,
    password: Password,
    may_read: MayRead,
) -> dict[str, MailboxTask]:
    """The tasks of a mailbox by their names; ``address`` is that of its inbox. One that is not enabled is not read."""
    found: dict[str, MailboxTask] = {}
    state = MailboxState(database)
    folders = {"imap": mailbox} if mailbox.enabled else {}
    if mailbox.enabled and mailbox.sent_folder:  # looked at, never touched
        folders["sent"] = replace(mailbox, folder=mailbox.sent_folder, after="keep")
    for source, folder in folders.items():
        found[f"{source} {mailbox.handle}"] = MailboxReader(
            folder,
            inbox=mailbox.inbox,
            address=address,
            receive=receive,
            state=state,
            report=report,
            password=password,
            clock=clock,
            jitter=random.random,
            may_read=may_read,
            source=source,
        )
    if mailbox.enabled and mailbox.junk_folder not in ("", "off"):
        found[f"junk {mailbox.handle}"] = JunkWatch(
            mailbox, state=state, report=report, password=password, may_read=may_read
        )
    if mailbox.sent_copy:
        found[f"copies {mailbox.handle}"] = SentFolder(
            mailbox, copies=SentCopies(database), report=report, password=password, may_read=may_read
        )
    return found


@dataclass(slots=True)
class _Running:
    """The tasks of one mailbox; ``by`` is what they were begun with."""

    by: object
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)


class Mailboxes:
    """The tasks of all mailboxes, through changes of the configuration.

    ``find`` gives the tasks of one; ``began`` and ``ended`` are told of each by its name.
    """

    def __init__(
        self,
        find: Callable[[Imap], dict[str, MailboxTask]],
        began: Callable[[str, MailboxTask, Imap], None],
        ended: Callable[[str], None],
    ) -> None:
        self._find, self._began, self._ended = find, began, ended
        self._running: dict[str, _Running] = {}
        self._ending: set[tuple[str, asyncio.Task[None]]] = set()

    def follow(self, settings: Settings) -> None:
        """Begin what is new, end what is gone, and begin again what is configured otherwise, after its end."""
        mailboxes = settings.receive.imap
        wanted: dict[str, object] = {h: (m, settings.inbox[m.inbox].address) for h, m in mailboxes.items()}
        self._ending = {(handle, task) for handle, task in self._ending if not task.done()}
        for handle, running in list(self._running.items()):
            if wanted.get(handle) != running.by:
                running.stop.set()
                for name in running.tasks:
                    self._ended(name)
                self._ending |= {(handle, task) for task in running.tasks.values()}
                del self._running[handle]
        for handle, by in wanted.items():
            if handle not in self._running:
                before = [task for name, task in self._ending if name == handle]
                self._running[handle] = self._begin(mailboxes[handle], by, before)

    def _begin(self, mailbox: Imap, by: object, before: Iterable[asyncio.Task[None]]) -> _Running:
        running = _Running(by)
        for name, task in self._find(mailbox).items():
            running.tasks[name] = asyncio.create_task(_run_after(before, task, running.stop), name=name)
            self._began(name, task, mailbox)
        return running

    def stop(self) -> list[asyncio.Task[None]]:
        """End all of them; the tasks to be waited for."""
        for running in self._running.values():
            running.stop.set()
        return [
            *(task for _, task in self._ending),
            *(task for running in self._running.values() for task in running.tasks.values()),
        ]


async def _run_after(before: Iterable[asyncio.Task[None]], task: MailboxTask, stop: asyncio.Event) -> None:
    await asyncio.gather(*before, return_exceptions=True)  # two readers of one mailbox would meet in it
    await task.run(stop)
