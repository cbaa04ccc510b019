"""Copies of answers in the Sent folder of a real Dovecot, from the real store: each once, none lost."""

from __future__ import annotations

import imaplib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway import deliver, settings
from gateway.ingest.imap_sent import SentFolder
from gateway.model import Delivery, OutboundMail, SentCopy
from gateway.outbound.sent_copy import choose_mailbox
from gateway.outbound.transport import Attempt
from gateway.store import deliveries, sent_copies
from gateway.store.database import Database
from gateway.store.sent_copies import PAUSES, SentCopies
from tests.store.values import LEASE, NOW
from tests.support.dovecot import DovecotServer
from tests.support.imap_desk import ADDRESS, Desk
from tests.support.imap_script import Peer, ScriptedServer

pytestmark = pytest.mark.dovecot

ANSWER = OutboundMail(
    ticket=7,
    event=5,
    party=31,
    kind="answer",
    message_id="<7.5.31.k@tickets.desk.test>",
    reverse_path="support+b@desk.test",
    recipient="jane@customer.test",
    content=b'From: "Bob (Desk)" <support@desk.test>\r\nMessage-ID: <7.5.31.k@tickets.desk.test>\r\n\r\nHello.\r\n',
    automatic=False,
    public=True,
    author=3,
)
SITE = settings.Settings(
    inbox={
        "support": settings.Inbox(name="Desk", address=ADDRESS, handle="support"),
        "sales": settings.Inbox(name="Sales", address="sales@desk.test", handle="sales"),
    },
    receive=settings.Receive(
        imap={
            "support": settings.Imap(
                user=ADDRESS, host="127.0.0.1", tls="none", handle="support", inbox="support", sent_copy="auto"
            )
        }
    ),
)


class Outbox:
    """Answers that leave, and what becomes of their copies."""

    def __init__(self, database: Database, server: DovecotServer | ScriptedServer, sent_copy: str = "auto") -> None:
        self.database, self.desk = database, Desk()
        port = server.port if isinstance(server, ScriptedServer) else server.imap_port
        self.mailbox = replace(SITE.receive.imap["support"], port=port, sent_copy=sent_copy)

    def send(self, *mails: OutboundMail) -> None:
        with self.database.begin() as tx:
            deliveries.enqueue(tx, mails, NOW)
            for delivery in deliveries.claim_due(tx, 10, "w", NOW, LEASE):
                deliver.record(tx, delivery, Attempt("sent", "250 ok"), SITE, NOW)

    def folder(self, copies: Any = None) -> SentFolder:
        copies = copies or SentCopies(self.database)
        return SentFolder(
            self.mailbox, copies=copies, report=self.desk.report, password=self.desk.secret, patience=10.0
        )

    def open(self) -> list[sent_copies.OpenCopy]:
        with self.database.begin() as tx:
            return sent_copies.list_open(tx)

    def make_due(self) -> None:
        """As if the pause were over."""
        with self.database.begin() as tx:
            tx.exec_driver_sql("UPDATE sent_copies SET due_at = sent_at WHERE due_at IS NOT NULL")


async def test_an_answer_that_left_is_in_the_folder_marked_as_sent_and_read(
    database: Database, dovecot: DovecotServer
) -> None:
    dovecot.mark_folder("Gesendete Mails", "\\Sent")
    outbox = Outbox(database, dovecot)
    outbox.send(ANSWER)
    assert [(copy.ticket, copy.account) for copy in outbox.open()] == [(7, "support")]
    assert await outbox.folder().look() == 1
    assert dovecot.messages(ADDRESS, "Gesendete Mails") == [ANSWER.content]
    assert "\\Seen" in dovecot.flags(ADDRESS, "Gesendete Mails")[0]
    with dovecot.connection(ADDRESS) as client:
        client.select('"Gesendete Mails"', readonly=True)
        date = imaplib.Internaldate2tuple(client.fetch("1", "(INTERNALDATE)")[1][0])
    assert date is not None and date[:3] == NOW.astimezone().timetuple()[:3]
    assert outbox.open() == [] and outbox.desk.alarms == []
    assert await outbox.folder().look() == 0


async def test_a_daemon_that_died_after_the_copy_makes_no_second_one(
    database: Database, dovecot: DovecotServer
) -> None:
    dovecot.mark_folder("Sent", "\\Sent")
    outbox = Outbox(database, dovecot)

    class Dying(SentCopies):
        async def settle(self, copy: SentCopy) -> None:
            raise KeyboardInterrupt

    outbox.send(ANSWER)
    with pytest.raises(KeyboardInterrupt):
        await outbox.folder(Dying(database)).look()
    assert len(outbox.open()) == 1
    assert await outbox.folder().look() == 1
    assert len(dovecot.messages(ADDRESS, "Sent")) == 1 and outbox.open() == []


async def test_an_answer_to_two_people_is_copied_once_and_a_large_one_whole(
    database: Database, dovecot: DovecotServer
) -> None:
    dovecot.append(ADDRESS, "Sent Items")
    outbox = Outbox(database, dovecot, "Sent Items")
    large = ANSWER.content + b"0123456789abcdef\r\n" * 300_000
    other = replace(ANSWER, party=32, message_id="<7.5.32.k@tickets.desk.test>", recipient="tom@customer.test")
    outbox.send(replace(ANSWER, content=large), other)
    assert await outbox.folder().look() == 1
    assert dovecot.messages(ADDRESS, "Sent Items") == [large]


async def test_a_folder_that_is_not_there_is_tried_for_two_days_then_said_and_given_up(
    database: Database, dovecot: DovecotServer
) -> None:
    outbox = Outbox(database, dovecot, "Verschickt")
    outbox.send(ANSWER)
    folder = outbox.folder()
    for _ in PAUSES:
        await folder.look()
        (copy,) = outbox.open()
        assert copy.due_at is not None and "Verschickt" in copy.reply
        assert await folder.look() == 0 and outbox.desk.problems() == {"sent-copy"}
        outbox.make_due()
    await folder.look()
    assert [copy.due_at for copy in outbox.open()] == [None]
    assert outbox.desk.problems() == {"sent-copy", "sent-copy-lost"}
    with database.begin() as tx:
        assert deliveries.pending(tx) == 0  # the mail itself has nothing to do with it


async def test_a_copy_the_server_refuses_keeps_no_other_back(database: Database) -> None:
    taken: list[bytes] = []

    async def refuse(peer: Peer, tag: str, command: str) -> None:
        await peer.send(f"{tag} NO [OVERQUOTA] too large for you\r\n")

    async def take(peer: Peer, tag: str, command: str) -> None:
        await peer.send("+ go on\r\n")
        size = int(command.rpartition("{")[2].rstrip("}"))
        taken.append((await peer.reader.readexactly(size + 2))[:-2])
        await peer.ok(tag, "[APPENDUID 1 9] done")

    async with ScriptedServer({}) as server:
        server.trick("APPEND", refuse)
        server.trick("APPEND", take)
        outbox = Outbox(database, server, "Sent")
        outbox.send(ANSWER, replace(ANSWER, event=6, message_id="<7.6.31.k@tickets.desk.test>"))
        folder = outbox.folder()
        assert [await folder.look() for _ in range(3)] == [0, 1, 0]
    assert [(copy.event, "OVERQUOTA" in copy.reply) for copy in outbox.open()] == [(5, True)]
    assert taken == [ANSWER.content]


async def test_a_server_that_is_away_is_waited_for(database: Database, dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "Sent")
    outbox = Outbox(database, dovecot, "Sent")
    outbox.send(ANSWER)
    dovecot.stop()
    folder = outbox.folder()
    assert await folder.look() == 0 and "sent-copy" in outbox.desk.problems()
    dovecot.start()
    outbox.make_due()
    assert await folder.look() == 1
    assert outbox.desk.alarms[-1] == ("sent-copy", "")


async def test_what_was_erased_meanwhile_is_not_copied(database: Database, dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "Sent")
    outbox = Outbox(database, dovecot, "Sent")
    outbox.send(ANSWER)

    class Erased(SentCopies):
        async def content(self, copy: SentCopy) -> bytes:
            return b""

    assert await outbox.folder(Erased(database)).look() == 1
    assert dovecot.messages(ADDRESS, "Sent") == [] and outbox.open() == []


def _pause_of(database: Database, number: int) -> timedelta | None:
    with database.begin() as tx:
        sent_copies.put_off(tx, [number], "no", NOW)
        (copy,) = sent_copies.list_open(tx)
    return copy.due_at - NOW if copy.due_at else None


def test_the_pauses_grow_and_end(database: Database) -> None:
    with database.begin() as tx:
        (number,) = deliveries.enqueue(tx, [ANSWER], NOW)
        sent_copies.note(tx, Delivery(id=number, mail=ANSWER, attempt=1, queued_at=NOW), "support", NOW)
    assert [_pause_of(database, number) for _ in range(len(PAUSES) + 1)] == [*PAUSES, None]


# ------------------------------------------------------------------ which mails


def _account(mail: OutboundMail, site: settings.Settings = SITE) -> str:
    mailbox = choose_mailbox(mail, site)
    return mailbox.handle if mailbox else ""


def test_what_people_write_is_copied_and_what_machines_write_is_not() -> None:
    assert _account(ANSWER) == "support"
    assert _account(replace(ANSWER, kind="ask")) == "support"
    assert _account(replace(ANSWER, kind="ack", automatic=True)) == ""


def test_the_mailbox_is_that_of_the_address_in_from_and_only_where_it_is_wanted() -> None:
    assert _account(replace(ANSWER, content=ANSWER.content.replace(b"support@", b"sales@"))) == ""
    unwanted = replace(SITE.receive.imap["support"], sent_copy="")
    assert _account(ANSWER, replace(SITE, receive=settings.Receive(imap={"support": unwanted}))) == ""
