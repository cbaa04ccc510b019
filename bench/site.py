"""A site for measuring: its configuration in a folder, the daemon as a process, a mail server before and behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.mix import AGENTS, DESK, Mail, zone
from gateway.configure import load
from gateway.settings import Settings

_CONFIGURATION = """schema = 1

[inbox.support]
address = "{desk}"
name    = "Example Support"
agents  = ["alice", "bob"]

[receive.lmtp]
listen = ["unix:{folder}/lmtp.sock"]
max_sessions = 200

[send]
host = "127.0.0.1"
port = {port}
tls  = "none"
max_connections = 4

[security]
token_key = "file:{folder}/token.key"
new_ticket_limit = "100000/1h"
loop_limit = "100000/1h"

[storage]
url = "{url}"

[log]
level = "warning"
"""
_TICKS = os.sysconf("SC_CLK_TCK")


def write_site(folder: Path, url: str = "", port: int = 25) -> Settings:
    """Configuration, agents, key and zone in a folder; ``url`` defaults to a SQLite file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agents.toml").write_text(
        "".join(f'[{a.partition("@")[0]}]\nname = "{a.partition("@")[0].title()}"\naddress = "{a}"\n' for a in AGENTS)
    )
    key = folder / "token.key"
    key.touch(mode=0o600)
    key.write_text(f"k {'5a' * 32}\n")
    (folder / "zone.json").write_text(json.dumps(zone()))
    url = url or f"sqlite:{folder}/ticketgate.db"
    (folder / "ticketgate.toml").write_text(_CONFIGURATION.format(desk=DESK, folder=folder, port=port, url=url))
    return load(folder / "ticketgate.toml")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU that the daemon's processes have used."""

    parent: float
    children: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.parent - other.parent, self.children - other.children)


class Served:
    """The daemon, running."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder, self._process = folder, process

    def cpu(self) -> Cpu:
        """So far; the readers that were replaced included."""
        own, gone = _times(self._process.pid)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return Cpu(own, gone + sum(_times(int(pid))[0] for pid in children))

    async def stop(self) -> None:
        self._process.terminate()
        await self._process.wait()


def _times(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, gone_user, gone_system = (int(field) / _TICKS for field in fields[11:15])
    return user + system, gone_user + gone_system


@asynccontextmanager
async def served(folder: Path, idle: Sequence[str] = ()) -> AsyncIterator[Served]:
    """Run the daemon on a site; the workers named in ``idle`` do nothing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.served",
        str(folder / "ticketgate.toml"),
        str(folder / "zone.json"),
        *idle,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        if (await process.stdout.readline()).strip() != b"ready":
            raise SystemExit("the daemon did not start")
        yield Served(folder, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


# ------------------------------------------------------------------ before it: LMTP


async def deliver(path: Path, mails: Iterable[Mail], connections: int) -> float:
    """Hand over all mails, each until 250; the seconds it took."""
    waiting = iter(mails)
    begin = time.perf_counter()
    await asyncio.gather(*(_deliver(path, waiting) for _ in range(connections)))
    return time.perf_counter() - begin


async def _deliver(path: Path, waiting: Iterable[Mail]) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 20)

    async def expect(code: bytes) -> None:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if not line.startswith(code):
            raise SystemExit(f"the gateway said {line!r}")

    await expect(b"220")
    writer.write(b"LHLO bench.test\r\n")
    await expect(b"250")
    for mail in waiting:
        writer.write(f"MAIL FROM:<{mail.reverse_path}>\r\nRCPT TO:<{DESK}>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            await expect(code)
        writer.write(mail.raw.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        await expect(b"250")
    writer.write(b"QUIT\r\n")
    await expect(b"221")
    writer.close()


# ------------------------------------------------------------------ behind it: SMTP


class Sink:
    """A mail server that takes everything at once and counts it."""

    def __init__(self) -> None:
        self.taken = 0
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Sink]:
        server = await asyncio.start_server(self._session, "127.0.0.1", 0, limit=1 << 25)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    self.taken += 1
                writer.write(b"250-sink\r\n250 8BITMIME\r\n" if verb == b"EHLO" else b"250 ok\r\n")
                if verb == b"QUIT":
                    break
        writer.close()
