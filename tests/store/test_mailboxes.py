"""Cursors of IMAP folders."""

from datetime import UTC, datetime

from gateway.model import ImapMark, ImapPosition
from gateway.store import journal, mailboxes
from gateway.store.database import Database
from tests.store.values import envelope

FOLDER = ("shared", "INBOX")


async def test_a_mark_comes_back_as_it_was_set(database: Database) -> None:
    state = mailboxes.MailboxState(database)
    assert await state.mark(*FOLDER) is None
    mark = ImapMark(7, uid=90, floor=80, since=datetime(2026, 11, 23, 10, tzinfo=UTC))
    await state.set_mark(*FOLDER, mark)
    assert await state.mark(*FOLDER) == mark
    await state.set_mark(*FOLDER, ImapMark(8))
    assert await state.mark(*FOLDER) == ImapMark(8)


async def test_a_failure_is_forgotten_once_the_mail_was_stored_after_all(database: Database) -> None:
    state = mailboxes.MailboxState(database)
    position = ImapPosition("shared", "INBOX", 7, 3)
    await state.failed(position, "literal missing", False)
    await state.failed(ImapPosition("shared", "INBOX", 7, 4), "too large", True)
    assert await state.failures("shared", "INBOX", 7) == {3: False, 4: True}
    await database.write(lambda tx: journal.append(tx, envelope(position=position), b"Subject: x\r\n\r\n"))
    assert await state.failures("shared", "INBOX", 7) == {4: True}
    assert await state.seen("shared", "INBOX", 7, {3, 4}) == {3}
