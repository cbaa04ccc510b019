"""A scripted IMAP server on loopback that speaks the true protocol, until a trick makes it misbehave."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable

Trick = Callable[["Peer", str, str], Awaitable[None]]
"""Answers one command instead of the server: the connection, the tag, the rest of the line."""

CAPABILITIES = "IMAP4rev1 UIDPLUS MOVE IDLE SASL-IR AUTH=XOAUTH2"


class Peer:
    """One connection as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.commands: list[str] = []
        self.gone = asyncio.Event()
        """Set when the other side has closed the connection, or we have."""

    async def send(self, *lines: bytes | str) -> None:
        self.writer.write(b"".join(line.encode() if isinstance(line, str) else line for line in lines))
        await self.writer.drain()

    async def ok(self, tag: str, text: str = "done") -> None:
        await self.send(f"{tag} OK {text}\r\n")

    async def hang(self) -> None:
        """Say nothing more until the other side gives up."""
        while await self.reader.read(4096):
            pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """RST instead of FIN."""
        self.writer.transport.abort()


class ScriptedServer:
    """``mails``: UID -> bytes. ``tricks``: (pattern of the command, how often, trick); the first that fits is used."""

    def __init__(self, mails: dict[int, bytes], greeting: str = "* OK ready\r\n") -> None:
        self.mails = mails
        self.greeting = greeting
        self.uidvalidity = 7
        self.capabilities = CAPABILITIES
        self.tricks: list[tuple[str, int, Trick]] = []
        self.peers: list[Peer] = []
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None

    def trick(self, pattern: str, trick: Trick, times: int = 1) -> None:
        self.tricks.append((pattern, times, trick))

    def commands(self) -> list[str]:
        """Everything that was asked on any connection."""
        return [command for peer in self.peers for command in peer.commands]

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            peer.reset()
            await asyncio.wait_for(peer.gone.wait(), 10)

    def deliver(self, uid: int, raw: bytes) -> None:
        self.mails[uid] = raw
        self._news.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await peer.send(self.greeting)
            while line := await reader.readline():
                tag, _, rest = line.decode().rstrip("\r\n").partition(" ")
                peer.commands.append(rest)
                trick = self._find_trick(rest)
                await (trick(peer, tag, rest) if trick else self._answer(peer, tag, rest))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            peer.gone.set()
            writer.close()

    def _find_trick(self, command: str) -> Trick | None:
        for index, (pattern, times, trick) in enumerate(self.tricks):
            if times and re.match(pattern, command):
                self.tricks[index] = (pattern, times - 1, trick)
                return trick
        return None

    async def _answer(self, peer: Peer, tag: str, command: str) -> None:
        words = command.split()
        name = " ".join(words[:2]) if words[0] == "UID" else words[0]
        if name == "CAPABILITY":
            await peer.send(f"* CAPABILITY {self.capabilities}\r\n")
        elif name == "SELECT":
            await peer.send(f"* {len(self.mails)} EXISTS\r\n* OK [UIDVALIDITY {self.uidvalidity}] valid\r\n")
            await peer.send("* OK [PERMANENTFLAGS (\\Seen \\Deleted \\*)] all\r\n")
        elif name == "NOOP":
            await peer.send(f"* {len(self.mails)} EXISTS\r\n")
        elif name == "UID FETCH":
            await self._fetch(peer, words[2], "BODY" in command)
        elif name == "UID SEARCH":
            await peer.send("* SEARCH " + " ".join(map(str, sorted(self.mails))) + "\r\n")
        elif name == "IDLE":
            await self._idle(peer)
        elif name == "LOGOUT":
            await peer.send("* BYE see you\r\n")
        await peer.ok(tag)

    async def _fetch(self, peer: Peer, uids: str, body: bool) -> None:
        first, _, last = uids.replace("*", str(max(self.mails, default=0))).partition(":")
        for index, (uid, raw) in enumerate(sorted(self.mails.items()), 1):
            if not int(first) <= uid <= int(last or first):
                continue
            if body:
                await peer.send(f"* {index} FETCH (UID {uid} BODY[] {{{len(raw)}}}\r\n", raw, ")\r\n")
            else:
                date = "24-Nov-2026 10:00:00 +0000"
                await peer.send(f'* {index} FETCH (UID {uid} INTERNALDATE "{date}" RFC822.SIZE {len(raw)})\r\n')

    async def _idle(self, peer: Peer) -> None:
        await peer.send("+ idling\r\n")
        done = asyncio.ensure_future(peer.reader.readline())
        while not done.done():
            news = asyncio.ensure_future(self._news.wait())
            await asyncio.wait({done, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            if self._news.is_set():
                self._news.clear()
                await peer.send(f"* {len(self.mails)} EXISTS\r\n")
        await done
