"""How far each IMAP folder was taken over. The UID is a cursor; that a mail is stored is known by its position row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import ImapMark, ImapPosition
from gateway.store.database import Database
from gateway.store.schema import imap_failures, imap_marks, imap_positions
from gateway.store.statements import insert

_AT_ONCE = 500


class MailboxState:
    """What the IMAP edge must find again after a restart; every method returns after its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark(self, account: str, folder: str) -> ImapMark | None:
        return await self._database.read(lambda tx: find_mark(tx, account, folder))

    async def set_mark(self, account: str, folder: str, mark: ImapMark) -> None:
        await self._database.write(lambda tx: set_mark(tx, account, folder, mark))

    async def seen(self, account: str, folder: str, uidvalidity: int, uids: Collection[int]) -> Set[int]:
        return await self._database.read(lambda tx: find_seen(tx, account, folder, uidvalidity, uids))

    async def failed(self, position: ImapPosition, why: str, final: bool) -> None:
        await self._database.write(lambda tx: note_failure(tx, position, why, final))

    async def failures(self, account: str, folder: str, uidvalidity: int) -> Mapping[int, bool]:
        return await self._database.read(lambda tx: find_failures(tx, account, folder, uidvalidity))


def find_mark(tx: Connection, account: str, folder: str) -> ImapMark | None:
    """The cursor of a folder; None before the first run."""
    row = tx.execute(
        sa.select(imap_marks).where(imap_marks.c.account == account, imap_marks.c.folder == folder)
    ).first()
    return ImapMark(row.uidvalidity, row.uid, row.floor, row.since) if row else None


def set_mark(tx: Connection, account: str, folder: str, mark: ImapMark) -> None:
    """Move the cursor, forwards or (after a new UIDVALIDITY) back."""
    statement = insert(tx, imap_marks)
    values = {"uidvalidity": mark.uidvalidity, "uid": mark.uid, "floor": mark.floor, "since": mark.since}
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["account", "folder"], set_={name: statement.excluded[name] for name in values}
        ),
        {"account": account, "folder": folder, **values},
    )


def find_seen(tx: Connection, account: str, folder: str, uidvalidity: int, uids: Collection[int]) -> set[int]:
    """Which of these UIDs were stored already."""
    known: set[int] = set()
    ordered = sorted(uids)
    for start in range(0, len(ordered), _AT_ONCE):
        known.update(
            tx.execute(
                sa.select(imap_positions.c.uid).where(
                    imap_positions.c.account == account,
                    imap_positions.c.folder == folder,
                    imap_positions.c.uidvalidity == uidvalidity,
                    imap_positions.c.uid.in_(ordered[start : start + _AT_ONCE]),
                )
            ).scalars()
        )
    return known


def note_failure(tx: Connection, position: ImapPosition, why: str, final: bool) -> None:
    """A mail could not be taken over; ``final``: it will not be tried again."""
    statement = insert(tx, imap_failures)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["account", "folder", "uidvalidity", "uid"],
            set_={"why": statement.excluded.why, "final": statement.excluded.final},
        ),
        {
            "account": position.account,
            "folder": position.folder,
            "uidvalidity": position.uidvalidity,
            "uid": position.uid,
            "why": why,
            "final": final,
        },
    )


def find_failures(tx: Connection, account: str, folder: str, uidvalidity: int) -> dict[int, bool]:
    """UIDs that failed and have no journal row since -> whether for good."""
    f, p = imap_failures.c, imap_positions.c
    stored = sa.exists().where(
        p.account == f.account, p.folder == f.folder, p.uidvalidity == f.uidvalidity, p.uid == f.uid
    )
    rows = tx.execute(
        sa.select(f.uid, f.final).where(f.account == account, f.folder == folder, f.uidvalidity == uidvalidity, ~stored)
    )
    return {row.uid: row.final for row in rows}
