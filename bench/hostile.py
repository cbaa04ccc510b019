"""What a hostile mail costs everybody else: a real daemon over LMTP, one bomb at a time among a stream of normal mail.

    python -m bench.hostile [--only NAME] [--rate 5] [--seconds 30]

For each kind of bomb a fresh ``ticketgate serve`` on SQLite takes normal mails at a steady rate; after two seconds the
bomb is sent. Printed are the longest wait for a reply and for filing of the *normal* mails, what was said to the bomb,
what became of it, and the largest memory of the daemon and of one child above what they need without a bomb.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.store.database import Database
from tests.support.dns_server import running_dns
from tests.support.gateway import Gateway, in_background, published_zone
from tests.support.smtp_client import Gone, connect, stuff

_HEAD = (
    b"From: evil@evil.test\r\nTo: support@desk.test\r\nSubject: bomb\r\nDate: Mon, 23 Nov 2026 09:58:00 +0000\r\n"
    b"Message-ID: <bomb@evil.test>\r\nMIME-Version: 1.0\r\n"
)
_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
_MIXED = b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'


def _html(body: bytes) -> bytes:
    return _HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body + b"\r\n"


def _nested_parts() -> bytes:
    pieces = [_HEAD]
    for level in range(3000):
        pieces.append(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level))
    return b"".join([*pieces, b"Content-Type: text/plain\r\n\r\nhello\r\n"])


def _nested_messages() -> bytes:
    inner = _HEAD + _TEXT + b"0123456789abcdef\r\n" * 60_000
    for _ in range(25):
        inner = _HEAD + b"Content-Type: message/rfc822\r\n\r\n" + inner
    return inner


BOMBS: dict[str, Callable[[], bytes]] = {
    "160 kB of spaces": lambda: _HEAD + _TEXT + b" " * 160_000 + b"x\r\n",
    "160 kB of spaces in a header": lambda: _HEAD[:-2] + b"\r\nX-A: " + b" " * 90_000 + b"x\r\n" + _TEXT + b"x\r\n",
    "100,000 parts": lambda: _HEAD + _MIXED + b"--x\r\n\r\na\r\n" * 100_000 + b"--x--\r\n",
    "10 MB folded header": lambda: _HEAD + b"X-A: a\r\n" + b" b\r\n" * 2_500_000 + _TEXT + b"x\r\n",
    "3,000 nested parts": _nested_parts,
    "25 forwards of 1 MB, nested": _nested_messages,
    "400 MB without CRLF": lambda: b"",  # sent in pieces
    "25 MB of empty lines": lambda: _HEAD + _TEXT + b"\r\n" * (12 << 20),
    "20 MB of quote marks": lambda: _HEAD + _TEXT + b"> > > > > > > > > > > > \r\n" * 800_000,
    "20 MB of open tags": lambda: _html(b"<div><b><i>" * 1_900_000),
    "20 MB of nested tables": lambda: _html(b"<table><tr><td>" * 1_300_000),
    "10 MB of < ": lambda: _html(b"<" * 10_000_000),
    "20,000 addresses": lambda: (
        _HEAD + b"Cc: " + b",\r\n ".join(b"a%d@evil.test" % n for n in range(4000)) + b"\r\n" + _TEXT + b"x\r\n"
    ),
    "32 kB of parameters": lambda: _HEAD + b"Content-Type: text/plain" + b";" * 32_000 + b"\r\n\r\nx\r\n",
    "20 MB of base64": lambda: (
        _HEAD + b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"PGI+PGI+\r\n" * 2_000_000
    ),
}


def _normal(number: int) -> bytes:
    return (
        f"From: Jane <jane{number}@customer.test>\r\nTo: support@desk.test\r\nSubject: Question {number}\r\n"
        f"Date: Mon, 23 Nov 2026 09:58:00 +0000\r\nMessage-ID: <{number}@customer.test>\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\nHello, this is question {number}.\r\n"
    ).encode()


@dataclass
class Result:
    """What one bomb cost. Seconds and octets."""

    name: str
    replies: list[float] = field(default_factory=list)
    filings: list[float] = field(default_factory=list)
    said: str = ""
    bomb_seconds: float = 0.0
    became: str = ""
    daemon: int = 0
    child: int = 0
    unfiled: int = 0


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    return 0


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


async def _watch_memory(pid: int, result: Result) -> None:
    while True:
        result.daemon = max(result.daemon, _rss(pid))
        result.child = max([result.child, *(_rss(child) for child in _children(pid))])
        await asyncio.sleep(0.02)


async def _send_bomb(place: str, name: str, content: bytes, result: Result) -> None:
    started = time.monotonic()
    with contextlib.suppress(Gone, OSError, TimeoutError):
        async with connect(place) as client:
            await client.reply()
            await client.hello()
            await client.open_data(reverse_path="evil@evil.test")
            if name.startswith("400 MB"):
                with contextlib.suppress(ConnectionError):
                    for _ in range(400):
                        await client.send(b"a" * (1 << 20))
                    await client.send(b"\r\n.\r\n")
            else:
                for at in range(0, len(content), 1 << 18):
                    await client.send(content[at : at + (1 << 18)])
            async with asyncio.timeout(60):
                result.said = str((await client.reply()).text)[:60]
    result.said = result.said or "connection closed"
    result.bomb_seconds = time.monotonic() - started


async def _send_normal(place: str, number: int, result: Result, sent: dict[str, float]) -> None:
    raw = _normal(number)
    async with connect(place) as client:
        await client.reply()
        await client.hello()
        started = time.monotonic()
        await client.deliver(raw)
        answered = time.monotonic()
    result.replies.append(answered - started)
    sent[f"<{number}@customer.test>"] = answered


async def _watch_filing(path: Path, result: Result, sent: dict[str, float], filed: set[str]) -> None:
    """Look what has been decided; precision is that of the polling, a tenth of a second."""
    while True:
        now = time.monotonic()
        for message_id in await asyncio.to_thread(_decided, path):
            if message_id in sent and message_id not in filed:
                filed.add(message_id)
                result.filings.append(now - sent[message_id])
        await asyncio.sleep(0.1)


def _decided(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as store:
        return [row[0] for row in store.execute("SELECT message_id FROM journal WHERE outcome <> ''")]


def _fate_of_bomb(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as store:
        rows = store.execute(
            "SELECT state, outcome, reason FROM journal WHERE reverse_path = 'evil@evil.test'"
        ).fetchall()
    return ", ".join(" ".join(str(word) for word in row if word) for row in rows) or "not in the journal"


@contextlib.contextmanager
def _daemon(resolver: str) -> Iterator[Gateway]:
    folder = Path(tempfile.mkdtemp(prefix="tg-hostile-", dir="/tmp"))
    gateway = Gateway(
        folder,
        send_port=9,
        resolver=resolver,
        tables={"cage": "children = 2"},
    )
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(name: str, rate: float, seconds: float, resolver: str) -> Result:
    result = Result(name)
    with _daemon(resolver) as gateway:
        assert gateway.process is not None
        place = str(gateway.socket)
        bytes_of_bomb = stuff(BOMBS[name]()) + b".\r\n" if name else b""
        path = Database(gateway.storage).sqlite_file
        assert path is not None
        sent: dict[str, float] = {}
        filed: set[str] = set()
        watching = [
            asyncio.create_task(_watch_memory(gateway.process.pid, result)),
            asyncio.create_task(_watch_filing(path, result, sent, filed)),
        ]
        began, number, bomb, normal = time.monotonic(), 0, None, []
        while time.monotonic() - began < seconds or (bomb is not None and not bomb.done()):
            number += 1
            normal.append(asyncio.create_task(_send_normal(place, number, result, sent)))
            if bomb is None and name and time.monotonic() - began > 2:
                bomb = asyncio.create_task(_send_bomb(place, name, bytes_of_bomb, result))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*normal)
        until = time.monotonic() + 60
        while len(filed) < len(sent) and time.monotonic() < until:  # noqa: ASYNC110 - the store rings no bell
            await asyncio.sleep(0.2)
        result.unfiled = len(sent) - len(filed)
        while name and "received" in _fate_of_bomb(path) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        result.became = await asyncio.to_thread(_fate_of_bomb, path) if name else ""
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    return result


def main() -> None:
    """Measure all bombs, or those whose name contains ``--only``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--rate", type=float, default=5.0, help="normal mails a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"{'bomb':30} max reply  filing  daemon +MB  child +MB  bomb's reply, and what became of it")
    with in_background(running_dns(published_zone())) as dns:
        _compare(options.only, options.rate, options.seconds, dns.address)


def _compare(only: str, rate: float, seconds: float, resolver: str) -> None:
    base = asyncio.run(_measure("", rate, seconds, resolver))
    for name in ("", *(n for n in BOMBS if only in n)):
        r = asyncio.run(_measure(name, rate, seconds, resolver)) if name else base
        daemon, child = (r.daemon - base.daemon, r.child - base.child) if name else (r.daemon, r.child)
        print(
            f"{name or 'none':30} {max(r.replies):8.2f}s {max(r.filings, default=0):6.2f}s {daemon / 1e6:11.0f}"
            f" {child / 1e6:10.0f}  {r.bomb_seconds:.1f}s {r.said}; {r.became}"
            + (f"; {r.unfiled} NOT FILED" if r.unfiled else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
