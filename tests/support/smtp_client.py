"""A raw SMTP and LMTP client, and a listener of ours that records what it is given.

The standard library's smtplib is not used: it pipelines nothing, re-writes line ends, and has LMTP faults of its own
(cpython#76984).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.ingest.intake import Rules, own_domains
from gateway.ingest.listen import Listener, open_sockets
from gateway.model import Envelope
from gateway.settings import Inbox, Settings

PATIENCE = 20
"""Seconds after which a reply that does not come fails the test."""

MAIL = b"From: Ann <ann@customer.test>\r\nTo: support@desk.test\r\nSubject: Printer\r\n\r\nIt does not print.\r\n"


@dataclass(frozen=True)
class Reply:
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def enhanced(self) -> str:
        return self.lines[-1].split(" ")[0]


class Gone(Exception):
    """The server closed the connection."""


class Client:
    """One connection, bytes in and replies out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        """The next reply; Gone when the server closed instead."""
        lines = []
        while True:
            try:
                line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
            except ConnectionError as error:
                raise Gone from error
            if not line:
                raise Gone
            assert line.endswith(b"\r\n"), line
            lines.append(line[4:-2].decode())
            if line[3:4] == b" ":
                return Reply(int(line[:3]), tuple(lines))
            assert line[3:4] == b"-", line

    async def say(self, command: str | bytes) -> Reply:
        await self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return await self.reply()

    async def hello(self, word: str = "LHLO") -> Reply:
        reply = await self.say(f"{word} client.test")
        assert reply.code == 250, reply
        return reply

    async def open_data(self, recipient: str = "support@desk.test", reverse_path: str = "ann@customer.test") -> None:
        """MAIL, RCPT and DATA up to 354."""
        assert (await self.say(f"MAIL FROM:<{reverse_path}>")).code == 250
        assert (await self.say(f"RCPT TO:<{recipient}>")).code == 250
        assert (await self.say("DATA")).code == 354

    async def deliver(
        self, content: bytes = MAIL, recipient: str = "support@desk.test", reverse_path: str = "ann@customer.test"
    ) -> Reply:
        """A whole transaction; ``content`` is dot-stuffed here and must end in CRLF."""
        await self.open_data(recipient, reverse_path)
        await self.send(stuff(content) + b".\r\n")
        return await self.reply()

    async def gone(self) -> None:
        """Wait until the server closes, whatever it still says."""
        while True:
            try:
                if not await asyncio.wait_for(self.reader.read(65536), PATIENCE):
                    return
            except ConnectionError:
                return

    def reset(self) -> None:
        """Cut the connection with RST where there is one (TCP), without waiting."""
        raw = self.writer.get_extra_info("socket")
        if raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def until(holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Poll with a deadline."""
    async with asyncio.timeout(patience):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def stuff(content: bytes) -> bytes:
    """Transparency of RFC 5321, 4.5.2: only a dot after CRLF is doubled."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


@asynccontextmanager
async def connect(place: str) -> AsyncIterator[Client]:
    """A connection to ``/path`` or ``host:port``, greeting not read."""
    if place.startswith("/"):
        reader, writer = await asyncio.open_unix_connection(place)
    else:
        host, _, port = place.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    client = Client(reader, writer)
    try:
        yield client
    finally:
        await client.close()


def desk() -> Settings:
    """Two inboxes of desk.test, one of them with an alias and a reply domain."""
    return Settings(
        inbox={
            "support": Inbox(
                name="Support",
                address="support@desk.test",
                handle="support",
                aliases=("help@desk.test", "hilfe@büro.test"),
                reply_domain="reply.desk.test",
            ),
            "sales": Inbox(name="Sales", address="sales@desk.test", handle="sales"),
        }
    )


@dataclass
class Taken:
    journal_id: int


@dataclass
class Edge:
    """A running listener, where it listens, and everything it handed over."""

    listener: Listener
    place: str
    mails: list[tuple[Envelope, bytes]] = field(default_factory=list)
    commit: Callable[[], Awaitable[None]] | None = None
    """Awaited before a mail counts as taken: fails or waits as a test wants."""
    space: bool = True

    async def receive(self, envelope: Envelope, raw: bytes) -> Taken:
        if self.commit is not None:
            await self.commit()
        self.mails.append((envelope, raw))
        return Taken(len(self.mails))

    async def committed(self, number: int = 1) -> None:
        """Wait until so many mails were taken; long, because a mail server in front tries again when it likes."""
        await until(lambda: len(self.mails) >= number, patience=60)


@asynccontextmanager
async def edge(
    folder: Path,
    protocol: str = "lmtp",
    *,
    unix: bool = True,
    is_bad_token: Callable[[str], bool] = lambda recipient: False,
    **rules: Any,
) -> AsyncIterator[Edge]:
    """A listener on a unix socket in the folder, or on a free port of 127.0.0.1."""
    settings = desk()
    running = Edge.__new__(Edge)
    listener = Listener(
        Rules(protocol=protocol, hostname="mx.desk.test", **rules),
        receive=lambda envelope, raw: running.receive(envelope, raw),
        find_inbox=settings.find_inbox,
        is_our_domain=own_domains(settings).__contains__,
        has_space=lambda: running.space,
        is_bad_token=is_bad_token,
    )
    sockets = open_sockets([f"unix:{folder}/lmtp.sock" if unix else "inet:127.0.0.1:0"])
    address = sockets[0].getsockname()
    running.__init__(listener, address if unix else f"{address[0]}:{address[1]}")  # type: ignore[misc]
    await listener.start(sockets)
    try:
        yield running
    finally:
        await listener.stop(grace=0)


@asynccontextmanager
async def session(running: Edge, word: str = "LHLO") -> AsyncIterator[Client]:
    """A greeted connection to a running edge."""
    async with connect(running.place) as client:
        assert (await client.reply()).code == 220
        await client.hello(word)
        yield client
