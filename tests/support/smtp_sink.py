"""An SMTP server on loopback that does what a test tells it to: refuse, stall or hang up at any step.

``faults`` maps a step to what happens there, one entry a visit, then the server behaves: a reply such as
``"451 4.3.0 busy"``, ``"drop"`` (hang up without a word), ``"stall"`` (say nothing until the client leaves),
``"accept+drop"`` (take the mail, hang up instead of answering). Steps: connect, ehlo, starttls, auth, mail, rcpt, data,
body (in the middle of the message), dot, rset, quit.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.gateway import in_background


@dataclass
class Taken:
    """One mail the server took responsibility for, dots unstuffed."""

    mail_from: str
    rcpt_to: list[str]
    content: bytes
    tls: bool


@dataclass
class Sink:
    """The server's state: what it was told to do and what it saw."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    extensions: Sequence[str] = ("SIZE 1000000", "8BITMIME", "DSN")
    tls: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    tokens: Collection[str] | None = None  # access tokens of AUTH XOAUTH2 that are accepted
    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    refused: list[Taken] = field(default_factory=list)  # whole, and refused after the final dot
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    gate: asyncio.Event | None = None  # when set, the final dot is answered only after it

    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def _note(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, reached: Callable[[Sink], bool], seconds: float = 10) -> None:
        """Wait until the server has seen something; TimeoutError after ``seconds``."""
        async with asyncio.timeout(seconds):
            while not reached(self):
                await self._changed.wait()

    def _next(self, step: str) -> str:
        queue = self.faults.get(step)
        return queue.pop(0) if queue else ""


class _Drop(Exception):
    """Hang up now."""


class _Session:
    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink, self.reader, self.writer = sink, reader, writer
        self.secure = writer.get_extra_info("sslcontext") is not None
        self.sender, self.recipients = "", list[str]()

    async def say(self, line: str) -> None:
        self.writer.write(line.encode() + b"\r\n")
        await self.writer.drain()

    async def step(self, name: str, good: str) -> bool:
        """Answer a step as told, or well; whether it went well."""
        fault = self.sink._next(name)
        if fault == "drop":
            raise _Drop
        if fault == "stall":
            await self.reader.read()
            raise _Drop
        await self.say(fault or good)
        if fault.startswith("421"):
            raise _Drop
        return not fault

    async def run(self) -> None:
        if not await self.step("connect", "220 sink.test ESMTP"):
            return
        while line := await self.reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self.sink.commands.append(command)
            self.sink._note()
            verb = command.split(" ")[0].upper()
            if verb == "QUIT":
                await self.step("quit", "221 bye")
                return
            await self.command(verb, command)

    async def command(self, verb: str, command: str) -> None:
        if verb == "EHLO":
            lines = ["sink.test", *self.sink.extensions]
            lines += ["STARTTLS"] if self.sink.tls and not self.secure else []
            lines += ["AUTH PLAIN LOGIN"] if self.sink.users else []
            lines += ["AUTH XOAUTH2"] if self.sink.tokens is not None else []
            text = "\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{word}" for n, word in enumerate(lines))
            await self.step("ehlo", text)
        elif verb == "STARTTLS" and self.sink.tls:
            if await self.step("starttls", "220 go ahead"):
                await self.writer.start_tls(self.sink.tls)
                self.secure = True
        elif verb == "AUTH":
            await self.auth(command)
        elif verb == "MAIL":
            self.sender, self.recipients = command.partition(":")[2], []
            await self.step("mail", "250 2.1.0 ok")
        elif verb == "RCPT":
            if await self.step("rcpt", "250 2.1.5 ok"):
                self.recipients.append(command.partition(":")[2])
        elif verb == "DATA":
            await self.data()
        elif verb == "RSET":
            await self.step("rset", "250 2.0.0 ok")
        else:
            await self.say("502 5.5.1 not here")

    async def auth_token(self, encoded: str) -> None:
        token = base64.b64decode(encoded).decode().partition("auth=Bearer ")[2].rstrip("\1")
        if token in (self.sink.tokens or ()):
            await self.step("auth", "235 2.7.0 welcome")
            return
        await self.say("334 eyJzdGF0dXMiOiI0MDEifQ==")  # as Gmail does: the reason first, then an empty line of ours
        await self.reader.readline()
        await self.say("535 5.7.8 Username and Password not accepted")

    async def auth(self, command: str) -> None:
        if command.startswith("AUTH XOAUTH2 "):
            await self.auth_token(command.split()[2])
            return
        _, _, encoded = command.partition("PLAIN ")
        _, user, password = base64.b64decode(encoded).decode().split("\0") if encoded else ("", "", "")
        good = self.sink.users.get(user) == password
        await self.step("auth", "235 2.7.0 welcome" if good else "535 5.7.8 wrong password")

    async def data(self) -> None:
        if not await self.step("data", "354 go on"):
            return
        fault = self.sink._next("body")
        if fault:
            await self.reader.read(10)
            if fault == "stall":
                await asyncio.sleep(30)
            raise _Drop
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise _Drop
            lines.append(line[1:] if line.startswith(b".") else line)
        self.sink.commands.append(".")
        self.sink._note()
        taken = Taken(self.sender, self.recipients, b"".join(lines), self.secure)
        if self.sink.gate is not None:
            await self.sink.gate.wait()
        if self.sink.faults.get("dot", [""])[0:1] == ["accept+drop"]:
            self.sink.faults["dot"].pop(0)
            self.sink.taken.append(taken)
            raise _Drop
        if not self.sink.faults.get("dot"):
            # Before it is answered: a mail is taken also when the client has died and hears nothing of it.
            self.sink.taken.append(taken)
            await self.say(f"250 2.0.0 queued as {len(self.sink.taken)}")
        elif await self.step("dot", f"250 2.0.0 queued as {len(self.sink.taken) + 1}"):
            self.sink.taken.append(taken)
        else:
            self.sink.refused.append(taken)


@asynccontextmanager
async def smtp_sink(sink: Sink | None = None, *, implicit_tls: bool = False) -> AsyncIterator[Sink]:
    """A running sink on a free loopback port."""
    sink = sink or Sink()
    tasks: set[asyncio.Task[None]] = set()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        sink.connections += 1
        sink.open_now += 1
        sink.most_open = max(sink.most_open, sink.open_now)
        sink._note()
        try:
            await _Session(sink, reader, writer).run()
        except (_Drop, ConnectionError, ssl.SSLError):
            pass
        finally:
            sink.open_now -= 1
            sink._note()
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(session, "127.0.0.1", 0, ssl=sink.tls if implicit_tls else None)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Where the mail of a gateway in a process of its own goes."""
    with in_background(smtp_sink()) as running:
        yield running
