"""One IMAP connection: the only door to aioimaplib, which serves as a disposable transport (libraries.md 2).

The library connects, numbers commands and checks states. What it does wrong is replaced here: responses are read by
:class:`ResponseReader`, a lost connection fails the pending command, PREAUTH is no login, every wait has an end. A
connection on which anything went wrong, NO included, is dropped and never used again; the caller opens another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aioimaplib
from aioimaplib import aioimaplib as library

from gateway.ingest.beat import Beat
from gateway.ingest.imap_syntax import LiteralTooLarge, Response, ResponseReader, SyntaxViolation

SPARE = 1024 * 1024
"""Bytes a server may send beyond the largest mail in answer to one command."""
MAX_IDLE = 9 * 60.0
"""Seconds; servers and NAT boxes forget a connection that is silent for longer."""
_SLOWEST = 32 * 1024  # bytes a second; a mail that comes slower is given up
_MAX_KEPT = 20_000  # responses kept for one command

library.log.setLevel(logging.WARNING)  # at DEBUG it logs passwords and whole messages


class ImapError(Exception):
    """The connection failed and is closed; what was asked for may or may not have happened."""


class Refused(ImapError):
    """The server answered NO or BAD; the text is the server's."""


class LoginRefused(Refused):
    """Login failed, or cannot even be tried safely (PREAUTH, no TLS, LOGINDISABLED)."""


class TooLarge(ImapError):
    """The server sends more than it announced, and more than the mailbox's max_size."""


class Unsupported(Exception):
    """The server lacks an extension we need; nothing was sent, the connection is intact."""


class _Protocol(library.IMAP4ClientProtocol):  # type: ignore[misc]
    """aioimaplib's protocol with its own reading replaced; see the list of faults in libraries.md 2."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.reader = ResponseReader()
        self.failure: ImapError | None = None
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.greeted.add_done_callback(lambda done: done.cancelled() or done.exception())  # never "not retrieved"
        self.exists = 0
        self.announced = asyncio.Event()  # EXISTS came since the event was last cleared
        self.allowance = SPARE  # bytes the server may send in answer to the current command
        self.received = 0
        self.progress: Callable[[], None] | None = None
        self.answers: list[bytes] = []  # for the continuation requests of AUTHENTICATE; then empty lines
        self.literal: bytes | None = None  # of APPEND, sent when the server asks for it

    # -- events of the transport

    def data_received(self, d: bytes) -> None:
        if self.failure:
            return
        self.received += len(d)
        if self.received > self.allowance:
            self.fail(TooLarge(f"more than {self.allowance} bytes in answer to one command"))
            return
        if self.progress:
            self.progress()
        try:
            for response in self.reader.feed(d, self.allowance - self.received):
                self._take(response)
                if self.failure:
                    return
        except LiteralTooLarge as error:
            self.fail(TooLarge(str(error)))
        except SyntaxViolation as error:
            self.fail(ImapError(f"protocol broken: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(ImapError(f"connection lost: {exc}" if exc else "connection closed by the server"))

    def send(self, line: str, scrub: str | None = None) -> None:
        self.transport.write(f"{line}\r\n".encode())

    def fail(self, error: ImapError) -> None:
        """End everything: whoever waits gets the error now, not after a timeout (aioimaplib never tells them)."""
        if self.failure is None:
            self.failure = error
        if self.transport is not None:
            self.transport.abort()
        if not self.greeted.done():
            self.greeted.set_exception(self.failure)
        pending = [self.pending_sync_command, *self.pending_async_commands.values()]
        for command in filter(None, pending):
            command._exception = command._exception or self.failure
            command._timer.cancel()
            command._event.set()
        self._idle_event.set()
        self.announced.set()

    # -- responses

    def _take(self, response: Response) -> None:
        text = response.text
        if not self.greeted.done():
            self._greet(text)
        elif text.startswith(b"* "):
            self._note(response)
        elif text.startswith(b"+"):
            self._continuation(text)
        else:
            self._finish(text)

    def _greet(self, line: bytes) -> None:
        # PREAUTH would make us skip the login and trust whoever answered; later in the line the word means nothing.
        if line.upper().startswith(b"* OK "):
            self.state = library.NONAUTH
            self.greeted.set_result(None)
        elif line.upper().startswith(b"* PREAUTH"):
            self.fail(LoginRefused("PREAUTH greeting refused"))
        else:
            self.fail(ImapError(f"unusable greeting: {shown(line)}"))

    def _note(self, response: Response) -> None:
        """An untagged response: facts about the folder, or data for the command that waits."""
        words = response.text[2:].split(b" ", 2)
        kind = words[0].upper()
        command = self._pending()
        if kind == b"BYE":
            if command is None or command.name != "LOGOUT":
                self.fail(ImapError(f"server said {shown(response.text)}"))
            return
        if kind == b"CAPABILITY":
            self.capabilities = {word.upper() for word in response.text.decode("ascii", "replace").split()[2:]}
            return
        if kind.isdigit() and len(words) > 1 and len(kind) <= 10:
            what = words[1].upper()
            if what == b"EXISTS":
                self.exists = int(kind)
                self.announced.set()
            elif what == b"EXPUNGE":
                self.exists = max(0, self.exists - 1)
            if what != b"FETCH":
                return
        if command is not None and command.name != "IDLE":
            if len(command._resp_lines) >= _MAX_KEPT:
                self.fail(ImapError("too many responses to one command"))
                return
            command._resp_lines.append(response)

    def _continuation(self, line: bytes) -> None:
        command = self.pending_sync_command
        if command is not None and command.name == "IDLE":
            self._idle_event.set()
        elif command is not None and command.name == "AUTHENTICATE":
            # A refused XOAUTH2 is a continuation with the reason; without an empty answer the server never says NO.
            self.transport.write((self.answers.pop(0) if self.answers else b"") + b"\r\n")
        elif command is not None and command.name == "APPEND" and self.literal is not None:
            literal, self.literal = self.literal, None
            self.transport.write(literal + b"\r\n")
        else:
            self.fail(ImapError("unexpected continuation request"))

    def _finish(self, line: bytes) -> None:
        command = self._pending()
        tag = line.partition(b" ")[0]
        if not library.tagged_status_response_re.match(line):
            raise SyntaxViolation(f"neither tagged nor untagged: {shown(line)}")
        # Compared here because the library's exception would quote the command, and that may be LOGIN.
        if command is None or tag != command.tag.encode("ascii"):
            raise SyntaxViolation(f"unexpected tag: {shown(line)}")
        self._response_done(line)
        if command.name == "STARTTLS":
            # Whatever follows was sent before TLS, perhaps by somebody else (CVE-2011-0411).
            self.transport.pause_reading()
            if not self.reader.idle:
                self.fail(LoginRefused("bytes after the answer to STARTTLS"))

    def _pending(self) -> Any:
        return self.pending_sync_command or next(iter(self.pending_async_commands.values()), None)

    async def welcome(self, command: bytes) -> None:
        """Replaced by ``_greet``: the library's runs as a task of its own, and its errors reach nobody."""
        raise NotImplementedError


class _Client(aioimaplib.IMAP4):  # type: ignore[misc]
    """aioimaplib's client around our protocol; with a context it speaks TLS from the first byte (IMAP4_SSL)."""

    def create_client(
        self,
        host: str,
        port: int,
        loop: asyncio.AbstractEventLoop | None,
        conn_lost_cb: object = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        running = asyncio.get_running_loop()
        self.protocol = _Protocol(running)
        opening = running.create_connection(lambda: self.protocol, host, port, ssl=ssl_context)
        self._client_task = running.create_task(opening)


class Connection:
    """Commands and answers on one connection. After any exception but Unsupported it is closed for good."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, patience: float, beat: Beat | None = None
    ) -> None:
        """Begin to connect, with TLS from the first byte if a context is given; ``patience``: seconds of silence."""
        self._host = host
        self.patience = patience
        self._beat = beat or Beat()
        self._client = _Client(host, port, ssl_context=tls)
        self._protocol: _Protocol = self._client.protocol

    @property
    def capabilities(self) -> frozenset[str]:
        """In upper case, as last announced."""
        return frozenset(self._protocol.capabilities)

    @property
    def exists(self) -> int:
        """Mails in the selected folder, as far as the server has told."""
        return self._protocol.exists

    @property
    def broken(self) -> bool:
        return self._protocol.failure is not None

    async def greet(self) -> None:
        """Wait for the connection and a greeting we accept; OSError, TimeoutError or ImapError."""
        async with asyncio.timeout(self.patience):
            await self._client._client_task
            await self._protocol.greeted
        connected = self._protocol.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """STARTTLS (RFC 3501 section 6.2.1): nothing learnt before it counts afterwards."""
        await self.command("STARTTLS")
        protocol = self._protocol
        if protocol.failure:
            raise protocol.failure
        async with asyncio.timeout(self.patience):
            protocol.transport = await protocol.loop.start_tls(
                protocol.transport, protocol, context, server_hostname=self._host
            )
        protocol.capabilities = set()
        protocol.reader = ResponseReader()

    async def ask_capabilities(self) -> None:
        """Forget what was announced and ask: what a server says unasked is incomplete, before login or TLS wrong."""
        self._protocol.capabilities = set()
        await self.command("CAPABILITY")

    async def authenticate(self, command: str, *arguments: str, answers: tuple[bytes, ...] = ()) -> None:
        """LOGIN or AUTHENTICATE; ``answers`` go to the server's continuation requests, after them empty lines."""
        self._protocol.answers = list(answers)
        try:
            await self.command(command, *arguments)
        except Refused as error:
            raise LoginRefused(str(error)) from error
        self._protocol.state = library.AUTH

    async def select(self, quoted_name: str) -> list[Response]:
        untagged, _ = await self.command("SELECT", quoted_name)
        self._protocol.state = library.SELECTED
        return untagged

    async def append(self, quoted_name: str, flags: str, date: str, content: bytes) -> None:
        """APPEND (RFC 3501 section 6.3.11); the content is sent when the server is ready for it."""
        self._protocol.literal = content
        arguments = (quoted_name, f"({flags})", f'"{date}"', f"{{{len(content)}}}")
        await self.command("APPEND", *arguments, extra=len(content) / _SLOWEST)

    async def command(
        self, name: str, *arguments: str, prefix: str = "", room: int = SPARE, extra: float = 0.0
    ) -> tuple[list[Response], bytes]:
        """Untagged responses and the text after OK; anything else than OK is Refused.

        ``room``: bytes the server may send. Given up after ``patience`` + ``extra`` seconds without a byte.
        """
        protocol = self._protocol
        if protocol.failure:
            raise ImapError(f"connection is gone: {protocol.failure}") from protocol.failure
        protocol.allowance, protocol.received = room, 0
        command = library.Command(name, protocol.new_tag(), *arguments, prefix=prefix, loop=protocol.loop)
        silence = self.patience + extra
        self._beat.come_round(extra)
        async with self._deadline(silence, silence + room / _SLOWEST, name):
            result = await protocol.execute(command)
        text = result.lines[-1] if result.lines and isinstance(result.lines[-1], bytes) else b""
        if result.result != "OK":
            raise self.drop(Refused(f"{name}: {result.result} {shown(text)}"))
        return [line for line in result.lines if isinstance(line, Response)], text

    @contextlib.asynccontextmanager
    async def _deadline(self, silence: float, total: float, name: str) -> AsyncIterator[None]:
        """Our own limit around the library's waits: silence, renewed by every segment that arrives, and a total."""
        loop = asyncio.get_running_loop()
        end = loop.time() + total
        try:
            async with asyncio.timeout(silence) as limit:

                def renew() -> None:
                    self._beat.come_round()
                    if not limit.expired():
                        limit.reschedule(min(end, loop.time() + silence))

                self._protocol.progress = renew
                try:
                    yield
                finally:
                    self._protocol.progress = None
        except TimeoutError as error:
            raise self.drop(ImapError(f"no answer to {name}")) from error
        except library.AioImapException as error:
            raise self.drop(ImapError(f"{name}: {type(error).__name__}")) from error
        except BaseException:
            self.discard()
            raise

    def heed(self) -> None:
        """Forget news announced so far: the caller is about to look."""
        self._protocol.announced.clear()

    async def idle(self, seconds: float) -> bool:
        """IDLE until mail is announced, at most ``seconds`` (nine minutes); whether it was, since the last ``heed``."""
        protocol = self._protocol
        seconds = min(seconds, MAX_IDLE)
        idling = asyncio.ensure_future(self.command("IDLE", extra=seconds))
        try:
            await self._first(idling, protocol._idle_event.wait(), self.patience)
            if protocol._idle_event.is_set() and not idling.done():
                await self._first(idling, protocol.announced.wait(), seconds)
                if not protocol.failure:
                    protocol.idle_done()
            async with asyncio.timeout(self.patience):
                await idling
        except TimeoutError as error:
            raise self.drop(ImapError("no answer to DONE")) from error
        finally:
            if not idling.done():
                self.discard()
                with contextlib.suppress(asyncio.CancelledError, ImapError):
                    await idling
        return protocol.announced.is_set()

    @staticmethod
    async def _first(idling: asyncio.Future[Any], event: Awaitable[Any], seconds: float) -> None:
        """Until the event, or IDLE itself ends (NO, BYE, a lost connection: aioimaplib#110), or time is up."""
        waiting = asyncio.ensure_future(event)
        try:
            await asyncio.wait({idling, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def drop(self, error: ImapError) -> ImapError:
        """Close at once; returns the error for raising it."""
        self.discard()
        return error

    def discard(self) -> None:
        """Close at once, whatever is going on."""
        self._client._client_task.cancel()
        self._protocol.fail(ImapError("connection dropped"))


def shown(line: bytes) -> str:
    """A server's words for a log: bounded, printable."""
    return line[:200].decode("ascii", "backslashreplace").encode("unicode_escape").decode("ascii")
