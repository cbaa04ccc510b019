"""Command lines of SMTP and LMTP, read strictly and counted."""

from __future__ import annotations

import asyncio
from typing import Any

LONGEST = 4096
"""Octets of a command line with its CRLF; the reader buffers at most twice as much before it stops the client."""


class LineRefused(Exception):
    """A command line that ends in a bare LF, holds CR or NUL, or is too long."""


class TooManyCommands(Exception):
    """Commands without a mail."""


class LineReader(asyncio.StreamReader):
    """The reader under aiosmtpd's command loop; that of the library lets a line end in a bare LF."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_commands: int) -> None:
        super().__init__(limit=LONGEST, loop=loop)
        self._max_commands = max_commands
        self.commands = 0
        """Since the last mail that was offered whole, or trouble of ours; aiosmtpd's own limit counts over the whole
        connection. A client that hears 451 mail after mail has done nothing wrong and is to read that, not 421."""

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """The next command line. Raises ConnectionResetError at the end, LineRefused, TooManyCommands."""
        try:
            line = await super().readuntil(b"\n")
        except asyncio.IncompleteReadError:
            # Half-closed or gone: for us the same once the last reply is out.
            raise ConnectionResetError from None
        except asyncio.LimitOverrunError:
            raise LineRefused from None
        # "MAIL FROM:<a>\nRCPT TO:<b>\r\n" is one line to an MTA in front and must not be two commands to us.
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line or len(line) > LONGEST:
            raise LineRefused
        self.commands += 1
        if self.commands > self._max_commands:
            raise TooManyCommands
        return line

    def unread(self, rest: bytes) -> None:
        """Put back what was read too much: the client's next commands."""
        self._buffer[:0] = rest  # type: ignore[attr-defined]
