"""What DKIM and ARC share: tag lists, key records, canonical forms, and whether a hash and a signature fit.

RFC 6376 sections 3.2-3.7, RFC 8463 (Ed25519). Header canonicalisation and RSA come from dkimpy; its body
canonicalisation is quadratic in runs of blanks (libraries.md L3) and is replaced here by one in linear time.
No policy and no clock in this module: dkim.py and arc.py decide.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dkim.canonicalization import Relaxed, Simple
from dkim.crypto import RSASSA_PKCS1_v1_5_verify, parse_public_key
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from gateway.analysis.dns_records import Answers
from gateway.analysis.header import Field

MAX_MODULUS_BITS = 8192
MAX_EXPONENT = 2**33
"""Larger keys cost seconds of CPU and nobody uses them: they do not parse."""

ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
"""Signing algorithms that count (RFC 8301, RFC 8463) and the k= of their keys."""

_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_FWS = re.compile(r"[ \t\r\n]+")
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*")


class TagError(ValueError):
    """A tag list, key or signature that does not follow its grammar: permerror, with the reason."""


class KeyTemporaryError(Exception):
    """The key query failed and may go right later: temperror."""


def read_tags(text: str) -> dict[str, str]:
    """A tag list (RFC 6376 3.2): name -> value, white space around both removed. Raises :class:`TagError`."""
    tags: dict[str, str] = {}
    parts = text.split(";")
    if len(parts) > 1 and not parts[-1].strip(" \t\r\n"):
        parts.pop()  # one final semicolon is allowed
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip(" \t\r\n")
        if not equals or not _TAG_NAME.fullmatch(name):
            raise TagError("the tag list is malformed")
        if name in tags:
            raise TagError(f"the tag {name}= stands twice")
        tags[name] = value.strip(" \t\r\n")
    return tags


def cut_signature(value: bytes) -> bytes:
    """A field value with the value of its b= tag removed, white space around it included (RFC 6376 3.7)."""
    at = 0
    for part in value.split(b";"):
        name, equals, _ = part.partition(b"=")
        if equals and name.strip(b" \t\r\n") == b"b":
            return value[: at + len(name) + 1] + value[at + len(part) :]
        at += len(part) + 1
    return value


def read_base64(tags: Mapping[str, str], name: str) -> bytes:
    """The bytes of a base64 tag, white space in it ignored. Raises :class:`TagError`."""
    text = _FWS.sub("", tags.get(name, ""))
    if not text:
        raise TagError(f"no {name}= in the signature")
    if not _BASE64.fullmatch(text):
        raise TagError(f"{name}= is not base64")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise TagError(f"{name}= is not base64") from None


def read_domain(tags: Mapping[str, str], name: str) -> str:
    """A domain in a tag, lower case. Raises :class:`TagError`."""
    domain = tags.get(name, "").lower()
    if not domain or len(domain) > 253 or not _DOMAIN.fullmatch(domain):
        raise TagError(f"{name}= is no domain name")
    return domain


def read_selector(tags: Mapping[str, str]) -> str:
    """The selector, lower case. Raises :class:`TagError`."""
    selector = tags.get("s", "").lower()
    if not selector or len(selector) > 200 or not _DOMAIN.fullmatch(f"{selector}.x"):
        raise TagError("s= is no selector")
    return selector


def read_number(tags: Mapping[str, str], name: str, digits: int = 12) -> int | None:
    """An unsigned number, None when the tag is absent. Raises :class:`TagError` (RFC 6376: 12 digits; l= 76)."""
    if name not in tags:
        return None
    text = tags[name]
    if not text.isascii() or not text.isdigit() or len(text) > digits:
        raise TagError(f"{name}= is no number")
    return int(text)


def read_algorithms(tags: Mapping[str, str]) -> tuple[bool, bool]:
    """c=: whether header and body are canonicalised the relaxed way. Raises :class:`TagError`."""
    header, slash, body = tags.get("c", "simple/simple").partition("/")
    if not slash:
        body = "simple"
    if header not in ("simple", "relaxed") or body not in ("simple", "relaxed"):
        raise TagError("c= is unknown")
    return header == "relaxed", body == "relaxed"


# ------------------------------------------------------------------ canonical forms


def canonical_body(body: bytes, relaxed: bool) -> bytes:
    """The body as it is hashed (RFC 6376 3.4.3, 3.4.4). Linear: at most log2(run) passes at C speed.

    Only CRLF ends a line. dkimpy takes a bare LF for one as well and so verifies other bytes than are shown (D6).
    """
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    if relaxed:
        body = body.replace(b"\t", b" ")
        while b"  " in body:
            body = body.replace(b"  ", b" ")
        body = body.replace(b" \r\n", b"\r\n")
    body = body[: len(body) - _trailing_lines(body)]
    # RFC 6376 3.4.3: an empty simple body is CRLF; 3.4.4: an empty relaxed body is empty.
    return body + b"\r\n" if body or not relaxed else b""


def _trailing_lines(body: bytes) -> int:
    """How many bytes of CRLF pairs end the body; one look from the end, not a pass for every line (D2)."""
    tail = body[len(body.rstrip(b"\r\n")) :]
    tail = tail[max(tail.rfind(b"\r\r"), tail.rfind(b"\n\n")) + 1 :]
    tail = tail.removeprefix(b"\n")
    return len(tail) - len(tail) % 2 if tail.endswith(b"\n") else 0


def canonical_field(field: Field, relaxed: bool, value: bytes | None = None) -> bytes:
    """One header field as it is signed, CRLF included; ``value`` in place of the field's own."""
    value = field.value if value is None else value
    algorithm = Relaxed if relaxed else Simple
    name, text = algorithm.canonicalize_headers([(field.name, value + b"\r\n")])[0]
    return bytes(name + b":" + text)


def signed_fields(fields: Sequence[Field], names: Iterable[bytes], relaxed: bool) -> bytes:
    """The fields named in h=, each time the lowest one not yet taken (RFC 6376 5.4.2); missing ones add nothing."""
    stacks: dict[bytes, list[Field]] = {}
    for field in fields:
        stacks.setdefault(field.key, []).append(field)
    out: list[bytes] = []
    for name in names:
        if stack := stacks.get(name):
            out.append(canonical_field(stack.pop(), relaxed))
    return b"".join(out)


class BodyHashes:
    """SHA-256 of one body in each form, made once for all signatures of a mail."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._canonical: dict[bool, bytes] = {}
        self._hashes: dict[tuple[bool, int | None], bytes] = {}

    def digest(self, relaxed: bool, length: int | None = None) -> bytes:
        """The hash of the canonical body, or of its first ``length`` octets (l=)."""
        known = self._hashes.get((relaxed, length))
        if known is None:
            if relaxed not in self._canonical:
                self._canonical[relaxed] = canonical_body(self._body, relaxed)
            text = self._canonical[relaxed]
            known = hashlib.sha256(text if length is None else text[:length]).digest()
            self._hashes[(relaxed, length)] = known
        return known


# ------------------------------------------------------------------ keys


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key record that parsed (RFC 6376 3.6.1). ``modulus`` is 0 for Ed25519."""

    kind: str
    hashes: tuple[str, ...]  # h=; empty: any
    services: tuple[str, ...]
    flags: tuple[str, ...]
    public: bytes
    modulus: int = 0
    exponent: int = 0

    @property
    def bits(self) -> int:
        return self.modulus.bit_length()


def find_key(answers: Answers, selector: str, domain: str) -> KeyRecord | None:
    """The key of a signature; None when its record is not known yet.

    Raises :class:`KeyTemporaryError` when the query failed, :class:`TagError` for whatever a signer did wrong: no
    record, several records (which one a verifier takes is anybody's guess: D4), a malformed or revoked key.
    """
    answer = answers.ask("TXT", f"{selector}._domainkey.{domain}")
    if answer is None:
        return None
    if answer.status == "failed":
        raise KeyTemporaryError("the key could not be looked up")
    if answer.status == "absent":
        raise TagError("there is no key record")
    if answer.status != "found":
        raise TagError("the key record is too large or one query too many")
    if len(answer.values) != 1:
        raise TagError("there is more than one key record")
    return read_key(answer.values[0])


@functools.lru_cache(maxsize=256)
def read_key(text: str) -> KeyRecord:
    """A key record. Raises :class:`TagError` (an exception is not cached, and costs little)."""
    tags = read_tags(text)
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise TagError("the key record is of another version")
    if "p" not in tags:
        raise TagError("the key record has no key")
    if not _FWS.sub("", tags["p"]):
        raise TagError("the key was revoked")
    public = read_base64(tags, "p")
    kind = tags.get("k", "rsa")
    lists = {name: tuple(word.strip().lower() for word in tags[name].split(":")) for name in "hst" if name in tags}
    common = (kind, lists.get("h", ()), lists.get("s", ("*",)), lists.get("t", ()), public)
    if kind == "ed25519":
        if len(public) != 32:
            raise TagError("the key is malformed")
        return KeyRecord(*common)
    if kind != "rsa":
        raise TagError("the key is of an unknown kind")
    try:
        key = parse_public_key(public)
        modulus, exponent = int(key["modulus"]), int(key["publicExponent"])
    except Exception:  # noqa: BLE001 - dkimpy's ASN.1 reader raises whatever a hostile key makes it raise
        raise TagError("the key is malformed") from None
    if modulus.bit_length() > MAX_MODULUS_BITS or not 2 < exponent < MAX_EXPONENT or modulus < 3:
        raise TagError("the key is malformed")
    return KeyRecord(*common, modulus, exponent)


def is_within_modulus(key: KeyRecord, signature: bytes) -> bool:
    """RSA: a value below the modulus and exactly as long; else b= could be rewritten without harm (libraries.md D3)."""
    if key.kind != "rsa":
        return len(signature) == 64
    return len(signature) == (key.bits + 7) // 8 and int.from_bytes(signature, "big") < key.modulus


def fits(key: KeyRecord, signed: bytes, signature: bytes) -> bool:
    """Whether the signature over SHA-256 of ``signed`` was made with this key."""
    if not is_within_modulus(key, signature):
        return False
    if key.kind == "ed25519":  # RFC 8463 3: PureEdDSA over the hash
        try:
            VerifyKey(key.public).verify(hashlib.sha256(signed).digest(), signature)
        except (CryptoError, ValueError):
            return False
        return True
    public = {"modulus": key.modulus, "publicExponent": key.exponent}
    try:
        return bool(RSASSA_PKCS1_v1_5_verify(hashlib.sha256(signed), signature, public))
    except Exception:  # noqa: BLE001 - e.g. a digest that does not fit into a tiny key
        return False
