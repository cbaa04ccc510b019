"""GET /metrics and /healthz on loopback, for a monitoring system on this host (ops.md 13). Nothing else, and read-only.

No HTTP library: one short request, one answer, the connection closed. What a request may cost is bounded, as anything
on the host may knock here: so much header, so many seconds, so many at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from gateway import metrics
from gateway.health import Check

_LIMIT = 8192  # octets of a request
_PATIENCE = 5.0  # seconds until it must have come
_AT_ONCE = 16
_TEXT = "text/plain; charset=utf-8"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_ALLOWED = "GET, HEAD"


class StatusPage:
    """The two pages. ``look`` measures: called once a request."""

    def __init__(self, look: Callable[[], Awaitable[Sequence[Check]]]) -> None:
        self._look = look
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, listening: socket.socket) -> None:
        """Answer on a bound socket until ``stop``."""
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=_LIMIT)

    async def stop(self) -> None:
        """No further request; those in hand end by themselves."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if self._open <= _AT_ONCE:
                    async with asyncio.timeout(_PATIENCE):
                        head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head.split(b"\r\n", 1)[0].decode("ascii", "replace")))
                    async with asyncio.timeout(_PATIENCE):
                        await writer.drain()
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, request: str) -> bytes:
        words = request.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _reply("400 Bad Request", "this is HTTP/1.1\n")
        method, path = words[0], words[1].partition("?")[0]
        if path not in ("/metrics", "/healthz"):
            return _reply("404 Not Found", "/metrics or /healthz\n")
        if method not in ("GET", "HEAD"):
            return _reply("405 Method Not Allowed", f"{_ALLOWED}\n", more=f"Allow: {_ALLOWED}\r\n")
        checks = await self._look()
        if path == "/metrics":
            return _reply("200 OK", metrics.exposition().decode(), _PROMETHEUS, body=method == "GET")
        lines = [f"{check.name:10}{'ok' if check.well else 'FAILED':8}{check.words}\n" for check in checks]
        status = "200 OK" if all(check.well for check in checks) else "503 Service Unavailable"
        return _reply(status, "".join(lines), body=method == "GET")


def _reply(status: str, text: str, kind: str = _TEXT, *, more: str = "", body: bool = True) -> bytes:
    content = text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        f"{more}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (content if body else b"")
