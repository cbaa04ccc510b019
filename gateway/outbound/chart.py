"""A bar chart as PNG with the standard library: mid-tone bars on nothing, readable on light and dark (mail.md 3.5)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

_WIDTH, _HEIGHT = 480, 120
_COLOURS = (b"\x00\x00\x00\x00", b"\x4a\x7f\xb5\xff", b"\x9a\x9a\x9a\xff")  # nothing, left bar, right bar (RGBA)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bar_chart(pairs: Sequence[tuple[int, int]]) -> bytes:
    """480 by 120 pixels, a pair of bars for each pair of numbers. RFC 2083: 8-bit RGBA, no filter."""
    highest = max((max(pair) for pair in pairs), default=0) or 1
    slot = _WIDTH // max(1, len(pairs))
    bar = max(1, slot // 3)
    columns = [(0, 0)] * _WIDTH  # (colour, height) of each column of pixels
    for n, pair in enumerate(pairs):
        for side, value in enumerate(pair):
            start = n * slot + bar // 2 + side * (bar + 2)
            for x in range(start, min(start + bar, _WIDTH)):
                columns[x] = (side + 1, round(max(0, value) / highest * (_HEIGHT - 4)))
    rows = []
    for y in range(_HEIGHT):
        pixels = b"".join(_COLOURS[colour if _HEIGHT - y <= height else 0] for colour, height in columns)
        rows.append(b"\0" + pixels)
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 6, 0, 0, 0)
    data = zlib.compress(b"".join(rows), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
