"""The content of an opaque S/MIME signature (RFC 8551 section 3.5.2, RFC 5652): taken out, not verified.

A walk over the DER or BER (indefinite lengths, as streaming signers write it) along the one path that leads to the
content. Nothing is decrypted, no certificate is looked at. Limits: depth by construction, every step moves forward.
"""

from __future__ import annotations

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_MAX_CHUNKS = 200_000


class _Broken(Exception):
    """Not the structure we look for."""


def unwrap_signed(data: bytes) -> bytes | None:
    """The MIME entity inside signed-data; None when this is something else (encrypted, certificates only, broken)."""
    try:
        body, _ = _enter(data, 0, 0x30)
        if not data.startswith(_SIGNED_DATA, body):
            return None
        position, _ = _enter(data, body + len(_SIGNED_DATA), 0xA0)
        position, _ = _enter(data, position, 0x30)  # SignedData
        position = _skip(data, position)  # version
        position = _skip(data, position)  # digestAlgorithms
        position, _ = _enter(data, position, 0x30)  # EncapsulatedContentInfo
        position = _skip(data, position)  # eContentType
        position, _ = _enter(data, position, 0xA0)
        return _octets(data, position)
    except (_Broken, IndexError):
        return None


def _header(data: bytes, position: int) -> tuple[int, int, int]:
    """Tag, start of the value, its length (-1: indefinite)."""
    tag, length = data[position], data[position + 1]
    if tag & 0x1F == 0x1F:
        raise _Broken
    position += 2
    if length == 0x80:
        return tag, position, -1
    if length & 0x80:
        count = length & 0x7F
        if count > 5:
            raise _Broken
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    if position + length > len(data):
        raise _Broken
    return tag, position, length


def _enter(data: bytes, position: int, tag: int) -> tuple[int, int]:
    found, start, length = _header(data, position)
    if found != tag:
        raise _Broken
    return start, length


def _skip(data: bytes, position: int) -> int:
    """The position after this value; indefinite ones are followed to their end without recursion."""
    open_ends = 0
    for _ in range(_MAX_CHUNKS):
        if open_ends and data[position : position + 2] == b"\0\0":
            position += 2
            open_ends -= 1
        else:
            _, start, length = _header(data, position)
            if length < 0:
                open_ends += 1
                position = start
            else:
                position = start + length
        if not open_ends:
            return position
    raise _Broken


def _octets(data: bytes, position: int) -> bytes:
    """An OCTET STRING, primitive or in pieces of pieces."""
    tag, start, length = _header(data, position)
    if tag == 0x04 and length >= 0:
        return data[start : start + length]
    if tag != 0x24:
        raise _Broken
    pieces: list[bytes] = []
    ends: list[int] = [start + length if length >= 0 else -1]
    position = start
    for _ in range(_MAX_CHUNKS):
        while ends and (position == ends[-1] or (ends[-1] < 0 and data[position : position + 2] == b"\0\0")):
            position += 2 if ends[-1] < 0 else 0
            ends.pop()
        if not ends:
            return b"".join(pieces)
        tag, start, length = _header(data, position)
        if tag == 0x04 and length >= 0:
            pieces.append(data[start : start + length])
            position = start + length
        elif tag == 0x24 and len(ends) < 10:
            ends.append(start + length if length >= 0 else -1)
            position = start
        else:
            raise _Broken
    raise _Broken
