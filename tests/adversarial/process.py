"""The daemon as a process, for inputs that are about its memory: what a library holds back shows only there."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from gateway.store import journal, raw_mail
from gateway.store.database import Database
from gateway.store.journal import JournalRow
from tests.support.gateway import Gateway
from tests.support.smtp_client import Client, connect

SOCKET_BUFFERS = 16 << 20
"""What two kernels' buffers on loopback may swallow that nobody reads (tcp_wmem and tcp_rmem, at most 6 MiB each)."""


class Process:
    """``ticketgate serve`` with a direct SMTP listener and, where a test says so, mailboxes."""

    def __init__(self, folder: Path, tables: dict[str, str | None] | None = None) -> None:
        self.port = _free_port()
        self.place = f"127.0.0.1:{self.port}"
        self.gateway = Gateway(
            folder,
            send_port=_free_port(),
            resolver=f"127.0.0.1:{_free_port()}",
            tables={"receive.smtp": f'listen = ["inet:{self.place}"]'} | (tables or {}),
        )

    def __enter__(self) -> Process:
        self.gateway.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.gateway.__exit__(*error)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Client]:
        """A greeted connection."""
        async with connect(self.place) as client:
            assert (await client.reply()).code == 220
            await client.hello("EHLO")
            yield client

    def peak_mb(self) -> int:
        """The most memory the daemon itself ever had, its children not counted, in MiB."""
        assert self.gateway.process is not None
        status = Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) // 1024

    def mails(self) -> list[tuple[JournalRow, bytes]]:
        """Every row with its bytes, oldest first."""
        store = Database(self.gateway.storage)
        try:
            with store.begin() as tx:
                numbers = sorted(tx.execute(sa.text("SELECT id FROM journal")).scalars())
                rows = [row for number in numbers for row in journal.find(tx, row_id=number)]
                return [(row, raw_mail.load(tx, row.sha256) or b"") for row in rows]
        finally:
            store.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running(folder: Path) -> Iterator[Process]:
    """Started and ended, for a fixture."""
    with Process(folder) as one:
        yield one
