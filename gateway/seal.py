"""Facts, leaves, seals: how the record is hashed, chained and signed (decision 0015). Pure, but for the salts.

A *fact* is one row that may not change unseen: a mail received, what was decided about it, a line of a ticket's
history, a mail of ours, how its delivery ended, an erasure. A *leaf* is the salted digest of a fact. A *seal* is the
signed digest of a batch of leaves and of the seal before it, so that nothing sealed can change, vanish or move without
breaking the chain for everybody who holds the public key. A *mark* is made at the moment a fact is written, by whoever
has the installation's key, of the leaf and of a serial number that is never given twice: only marked leaves are sealed,
and each fact's only in the order of their serials, so that no mark can be used a second time or for other contents.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

RECEIVED, DECIDED, EVENT, QUEUED, ENDED, ERASURE = "received", "decided", "event", "queued", "ended", "erasure"
KINDS = (DECIDED, ENDED, ERASURE, EVENT, QUEUED, RECEIVED)
"""Every kind of fact, in the order in which leaves are hashed."""
CHANGING = frozenset({DECIDED, ENDED})
"""Facts that may have a later version by the ordinary course of things: the last leaf counts."""
RAW = "raw"
"""No fact of its own, the digest of the bytes is in RECEIVED; an erasure names it when it removed them."""

NOTHING = b"\0" * 32
"""What the first seal follows."""
SALT_OCTETS = 16
_DOMAIN = b"ticketgate-seal-1\n"

FactKey = tuple[str, int, int]
"""Kind, and the two numbers that name the row: ticket and event, or its id and 0."""


@dataclass(frozen=True)
class SealKey:
    """The installation's signing key: whoever has it can write history, whoever has not cannot."""

    seed: bytes = field(repr=False)

    @cached_property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> bytes:
        """32 octets; may be shown to anybody."""
        return self._private.public_key().public_bytes_raw()

    @cached_property
    def mark_key(self) -> bytes:
        """The secret of the marks, from which the signing key cannot be found."""
        return hashlib.blake2b(b"row marks", key=self.seed, digest_size=32).digest()

    def sign(self, digest: bytes) -> bytes:
        return self._private.sign(digest)


def read_seal_key(text: str) -> SealKey:
    """The key of a key file: comments, and one line ``ed25519 HEX``. Raises ValueError."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "ed25519" and len(words[1]) == 64:
            return SealKey(bytes.fromhex(words[1]))
    raise ValueError("a seal key is a line: ed25519, a blank, 64 hexadecimal digits")


def mark_of(mark_key: bytes, fact: FactKey, serial: int, salt: bytes, leaf: bytes) -> bytes:
    """The 16 octets that prove that a fact was written with these contents, and when, by somebody with the key."""
    kind, a, b = fact
    text = f"{kind}\n{a}\n{b}\n{serial}\n".encode() + salt + leaf
    return hashlib.blake2b(text, key=mark_key, digest_size=16).digest()


def is_marked(mark_key: bytes, fact: FactKey, serial: int, salt: bytes, leaf: bytes, mark: bytes) -> bool:
    return hmac.compare_digest(mark_of(mark_key, fact, serial, salt, leaf), mark)


def leaf_of(kind: str, salt: bytes, values: Iterable[Any]) -> bytes:
    """The salted digest of a fact. Without its salt nobody can find out by trying what was in the row."""
    return hashlib.sha256(salt + kind.encode() + b"\n" + msgspec.json.encode(list(values))).digest()


class Root:
    """The digest of a batch, its leaves added in the order of their keys."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def add(self, fact: FactKey, serial: int, leaf: bytes) -> None:
        kind, a, b = fact
        self._hash.update(f"{kind}\n{a}\n{b}\n{serial}\n".encode() + leaf)
        self.count += 1

    def digest(self) -> bytes:
        return self._hash.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One link of the chain."""

    number: int  # 1, 2, 3 …
    previous: bytes  # digest of the seal before
    at: datetime
    leaves: int
    root: bytes
    key: bytes  # public key of who signed
    signature: bytes = b""

    @property
    def digest(self) -> bytes:
        """What is signed, and what the next seal names."""
        moment = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        text = f"{self.number}\n{moment}\n{self.leaves}\n".encode()
        return hashlib.sha256(_DOMAIN + text + self.previous + self.root + self.key).digest()

    @property
    def head(self) -> str:
        """The seal as people write it down: number and the beginning of its digest, 128 bits."""
        return f"{self.number}:{self.digest.hex()[:32]}"

    def is_signed_by(self, public: bytes) -> bool:
        if self.key != public:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, self.digest)
        except (InvalidSignature, ValueError):
            return False
        return True


def sign_seal(seal: Seal, key: SealKey) -> Seal:
    """The same seal with key and signature."""
    named = replace(seal, key=key.public, signature=b"")
    return replace(named, signature=key.sign(named.digest))
