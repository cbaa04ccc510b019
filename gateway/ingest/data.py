"""Where a DATA block ends and what it holds (RFC 5321, 4.1.1.4 and 4.5.2): a value fed with chunks, without I/O.

aiosmtpd reads DATA line by line: one object a line, no bound on a line that never ends, 500 for long lines
(dependencies.md, 1). Here chunks go into one bytearray, whatever the lines look like.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"
_STUFFED = b"\r\n."


class Block:
    """One DATA block on its way in. ``limit`` is in octets of content: without terminator and transparency dots.

    Only CRLF . CRLF ends a block, at any chunk border; a bare CR, bare LF or NUL is content
    (CVE-2023-51764, -51765, -51766). Over the limit octets are counted but no longer kept.
    """

    def __init__(self, limit: int) -> None:
        # The line end of the DATA command counts as the first CRLF: ".CRLF" alone is an empty message.
        self._kept = bytearray(b"\r\n")
        self._limit = limit
        self._forgotten = 0
        self._dots = 0
        self.size = 0
        """Octets of content so far."""
        self.dropped = ""
        """Why nothing is kept (a row of the table of replies); "" while everything is."""
        self.rest = b""
        """What the client sent after the end: its next commands."""

    def feed(self, chunk: bytes) -> bool:
        """Take the next octets; whether the block is complete. Not to be called again after that."""
        kept = self._kept
        seen = len(kept)
        kept += chunk
        end = kept.find(_END, max(0, seen - len(_END) + 1))
        stop = len(kept) if end < 0 else end + 2
        self._dots += kept.count(_STUFFED, max(0, seen - len(_STUFFED) + 1), stop)
        if end >= 0:
            if end + len(_STUFFED) <= seen:
                self._dots -= 1  # the dot that ends the block came in an earlier chunk and was taken for a stuffed one
            self.rest = bytes(kept[end + len(_END) :])
            del kept[stop:]
        self.size = self._forgotten + stop - 2 - self._dots
        # Before the end the CR of a terminator in two chunks counts as content: one octet of doubt.
        if self.size > self._limit + (end < 0) and not self.dropped:
            self.drop("too-large")
        elif self.dropped:
            self._forget()
        return end >= 0

    def drop(self, why: str) -> None:
        """Go on looking for the end, but keep nothing."""
        self.dropped = why
        self._forget()

    def _forget(self) -> None:
        surplus = max(0, len(self._kept) - len(_END) + 1)
        del self._kept[:surplus]
        self._forgotten += surplus

    def content(self) -> bytes:
        """The mail as its sender made it: dot-stuffing undone, nothing else touched. Only after the end, and once."""
        kept, self._kept = self._kept, bytearray()
        if self._dots:
            kept = kept.replace(_STUFFED, b"\r\n")
        return bytes(memoryview(kept)[2:])
