"""What runs for a mailbox on an IMAP server: its readers, the watch over its junk, the copies in its Sent folder."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Protocol

from gateway.clock import clock
from gateway.ingest.beat import Beat
from gateway.ingest.imap import MailboxReader
from gateway.ingest.imap_folder import MayRead, Password, Receive, Report
from gateway.ingest.imap_junk import JunkWatch
from gateway.ingest.imap_sent import SentFolder
from gateway.settings import Imap
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
