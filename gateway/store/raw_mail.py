"""The bytes of mails exactly as received, once each, under their SHA-256."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import zstandard
from sqlalchemy import Connection, bindparam

from gateway.store.schema import raw
from gateway.store.statements import insert_once

_LOAD = sa.select(raw).where(raw.c.sha256.in_(bindparam("hashes", expanding=True)))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A mail ready to be stored: hashed and compressed, which is slow and must not happen in the writer's thread."""

    sha256: str
    size: int
    content: bytes  # zstd


_codec = threading.local()


def prepare(raw_bytes: bytes) -> Prepared:
    """Hash and compress a mail; callable from any thread."""
    compressor = getattr(_codec, "compressor", None)
    if compressor is None:
        compressor = _codec.compressor = zstandard.ZstdCompressor(level=3)
    return Prepared(hashlib.sha256(raw_bytes).hexdigest(), len(raw_bytes), compressor.compress(raw_bytes))


def keep(tx: Connection, mail: Prepared) -> None:
    """Store the bytes, unless they are there."""
    tx.execute(insert_once(tx, raw), {"sha256": mail.sha256, "size": mail.size, "content": mail.content})


def load(tx: Connection, sha256: str) -> bytes | None:
    """The bytes exactly as received; None when retention removed them or they never came."""
    return load_many(tx, {sha256}).get(sha256)


def load_many(tx: Connection, hashes: Collection[str]) -> dict[str, bytes]:
    """The bytes by hash; those that retention removed or that never came are missing."""
    if not hashes:
        return {}
    found = tx.execute(_LOAD, {"hashes": list(hashes)})
    decompressor = zstandard.ZstdDecompressor()
    # Without content: an erasure removed it, and the digest stays, so that the mail is known when it comes again.
    return {row.sha256: unpack(decompressor, row) for row in found if row.content}


def unpack(decompressor: zstandard.ZstdDecompressor, row: Any) -> bytes:
    """The bytes of a row of ``raw``, as received."""
    return decompressor.decompress(row.content, max_output_size=row.size)
