"""From a real Dovecot into the real store: one row a mail through restarts and rebuilds (I1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway import settings
from gateway.errors import TemporaryError
from gateway.model import Envelope
from gateway.receive import Receiver
from gateway.store.database import Database
from gateway.store.mailboxes import MailboxState
from gateway.store.schema import imap_positions, journal
from tests.support.dovecot import DovecotServer
from tests.support.imap_desk import ADDRESS, Desk, make_mail

pytestmark = pytest.mark.dovecot


@dataclass
class Desktop:
    """A desk whose rows and marks are the store's."""

    database: Database
    desk: Desk

    def count(self, table: Any = journal) -> int:
        with self.database.begin() as tx:
            return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    def reading(self, server: DovecotServer, **changes: Any) -> Any:
        mailbox = settings.Imap(
            host="127.0.0.1",
            port=server.imap_port,
            tls="none",
            user=ADDRESS,
            handle="support",
            catch_up="all",
            poll_interval=settings.Duration(seconds=0.2),
        )
        receiver = Receiver(self.database)

        async def receive(envelope: Envelope, raw: bytes) -> object:
            if self.desk.refuse(raw):
                self.desk.refused += 1
                raise TemporaryError("asked to refuse this one")
            return await receiver.receive(envelope, raw)

        options = {"receive": receive, "state": MailboxState(self.database)}
        return self.desk.reading(replace(mailbox, **changes), **options)


@pytest.fixture
def desktop(database: Database) -> Desktop:
    return Desktop(database, Desk())


async def test_every_mail_has_one_row_after_restarts_and_a_rebuild(desktop: Desktop, dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", *(make_mail(number) for number in range(40)))
    until = desktop.desk.until
    async with desktop.reading(dovecot):
        await until(lambda: desktop.count() >= 20)
    async with desktop.reading(dovecot):
        await until(lambda: desktop.count() == 40)
        dovecot.doveadm("mailbox", "update", "-u", ADDRESS, "--uid-validity", "77", "INBOX")
        dovecot.append(ADDRESS, "INBOX", make_mail(100))
        await until(lambda: desktop.count() == 41 and desktop.count(imap_positions) == 81)
    async with desktop.reading(dovecot):
        dovecot.append(ADDRESS, "INBOX", make_mail(101))
        await until(lambda: desktop.count() == 42)
    assert desktop.count(imap_positions) == 82


async def test_a_failure_noted_in_the_store_is_tried_again_after_a_restart(
    desktop: Desktop, dovecot: DovecotServer
) -> None:
    dovecot.append(ADDRESS, "INBOX", *(make_mail(number) for number in range(3)))
    desktop.desk.refuse = lambda raw: raw == make_mail(1)
    async with desktop.reading(dovecot):
        await desktop.desk.until(lambda: desktop.count() == 2 and desktop.desk.refused)
    desktop.desk.refuse = lambda raw: False
    async with desktop.reading(dovecot):
        await desktop.desk.until(lambda: desktop.count() == 3)
    state = MailboxState(desktop.database)
    mark = await state.mark("support", "INBOX")
    assert mark is not None
    assert (mark.uid, await state.failures("support", "INBOX", mark.uidvalidity)) == (3, {})


async def test_old_mail_stays_old_after_a_restart_and_a_rebuild(desktop: Desktop, dovecot: DovecotServer) -> None:
    with dovecot.connection(ADDRESS) as client:
        for number in range(3):
            client.append("INBOX", "", '"01-Jan-2020 10:00:00 +0000"', make_mail(number))
    state = MailboxState(desktop.database)
    async with desktop.reading(dovecot, catch_up="new") as reader:
        started = reader.last_success
        await desktop.desk.until(lambda: reader.last_success > started)
    first = await state.mark("support", "INBOX")
    assert first is not None
    assert (first.uid, first.floor, first.since is not None) == (3, 3, True)
    dovecot.append(ADDRESS, "INBOX", make_mail(100))
    dovecot.doveadm("mailbox", "update", "-u", ADDRESS, "--uid-validity", "77", "INBOX")
    async with desktop.reading(dovecot, catch_up="new"):
        await desktop.desk.until(lambda: desktop.count() == 1)
    assert desktop.count() == 1
