"""A signer for tests: signs exactly the h= it is given with any tags, also where RFC 6376 forbids it.

It sees header lines as separated by CRLF only and canonicalises after the letter of RFC 6376, independently of the
code under test. Keys are made once per process and named: "rsa2048:corp.test", "rsa512", "ed25519:corp.test".
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nacl.signing import SigningKey

T = 1795428000  # 2026-11-23T10:00:00Z, the time of reception in tests
H = "from:to:subject:date:message-id:mime-version:content-type"

_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
_SHA1 = bytes.fromhex("3021300906052b0e03021a05000414")


@dataclass(frozen=True)
class RsaKey:
    """Numbers only: a signature is one pow(), or two short ones with the primes."""

    n: int
    e: int
    d: int
    p: int = 0
    q: int = 0

    @property
    def size(self) -> int:
        return (self.n.bit_length() + 7) // 8

    def sign(self, digest_info: bytes) -> bytes:
        padded = b"\x00\x01" + b"\xff" * (self.size - len(digest_info) - 3) + b"\x00" + digest_info
        number = int.from_bytes(padded, "big")
        if not self.p:
            return pow(number, self.d, self.n).to_bytes(self.size, "big")
        rest = pow(number, self.d % (self.q - 1), self.q)
        first = pow(number, self.d % (self.p - 1), self.p)
        return (rest + self.q * ((first - rest) * pow(self.q, -1, self.p) % self.p)).to_bytes(self.size, "big")

    def public(self) -> str:
        spki = _tlv(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + _tlv(3, b"\0" + self.pkcs1()))
        return base64.b64encode(spki).decode()

    def pkcs1(self) -> bytes:
        return _tlv(0x30, _integer(self.n) + _integer(self.e))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = (
        bytes((size,))
        if size < 128
        else (b"\x81" + bytes((size,)) if size < 256 else b"\x82" + size.to_bytes(2, "big"))
    )
    return bytes((tag,)) + length + content


def _integer(value: int) -> bytes:
    return _tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _make_prime(bits: int, chance: random.Random) -> int:
    while True:
        candidate = chance.getrandbits(bits) | (3 << (bits - 2)) | 1
        if all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7)) and candidate % 65537 != 1:
            return candidate


@cache
def rsa_key(name: str) -> RsaKey:
    """The key of a name like "rsa2048:corp.test"; libraries refuse to make the short ones, so those are made here."""
    bits = int(re.match(r"rsa(\d+)", name)[1])  # type: ignore[index]
    if bits >= 1024:
        private = rsa.generate_private_key(public_exponent=65537, key_size=bits).private_numbers()
        return RsaKey(private.public_numbers.n, 65537, private.d, private.p, private.q)
    chance = random.Random(name)
    p, q = _make_prime(bits // 2, chance), _make_prime(bits // 2, chance)
    return RsaKey(p * q, 65537, pow(65537, -1, (p - 1) * (q - 1)))


@cache
def ed25519_key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


def public(name: str) -> str:
    """The p= of a key's record."""
    if name.startswith("ed25519"):
        return base64.b64encode(bytes(ed25519_key(name).verify_key)).decode()
    return rsa_key(name).public()


def key_record(name: str, tags: str = "v=DKIM1; k=rsa") -> str:
    """The TXT value that publishes a key: ``tags`` and p=."""
    return f"{tags}; p={public(name)}"


def private_pem(name: str) -> bytes:
    """The private key in PEM, for programs that sign themselves."""
    key = rsa_key(name)
    p, q = rsa.rsa_recover_prime_factors(key.n, key.e, key.d)
    numbers = rsa.RSAPrivateNumbers(
        p, q, key.d, key.d % (p - 1), key.d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(key.e, key.n)
    )
    return numbers.private_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


# ------------------------------------------------------------------ canonical forms, by the letter of RFC 6376


def split(raw: bytes) -> tuple[list[bytes], bytes]:
    """Header fields (each with its CRLF) and body. Only CRLF ends a line, whatever else stands in it."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields: list[bytes] = []
    for line in head.removesuffix(b"\r\n").split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += line + b"\r\n"
        else:
            fields.append(line + b"\r\n")
    return fields, body


def relax_field(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    return name.strip().lower() + b":" + re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip(b" ") + b"\r\n"


def canonical_body(body: bytes, relaxed: bool) -> bytes:
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    lines = body.split(b"\r\n")[:-1]
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines) or (b"" if relaxed else b"\r\n")


def _signed(fields: list[bytes], names: list[str], relaxed: bool) -> bytes:
    rest = list(fields)
    out = b""
    for name in names:
        for at in range(len(rest) - 1, -1, -1):
            if rest[at].partition(b":")[0].strip().lower().decode("latin-1") == name.strip().lower():
                field = rest.pop(at)
                out += relax_field(field) if relaxed else field
                break
    return out


def _make(algorithm: str, key: str, data: bytes) -> bytes:
    if algorithm == "ed25519-sha256":
        return ed25519_key(key).sign(hashlib.sha256(data).digest()).signature
    if algorithm == "rsa-sha1":
        return rsa_key(key).sign(_SHA1 + hashlib.sha1(data).digest())
    return rsa_key(key).sign(_SHA256 + hashlib.sha256(data).digest())


def _read_extra(tags: str) -> dict[str, str]:
    pairs = (tag.partition("=") for tag in tags.split(";") if tag.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def sign(
    raw: bytes,
    d: str,
    *,
    s: str = "s1",
    h: str = H,
    c: str = "relaxed/relaxed",
    a: str = "rsa-sha256",
    t: int | None = T,
    tags: str = "",
    key: str = "",
    field: str = "DKIM-Signature",
    first: str = "v=1",
) -> bytes:
    """The mail with one signature on top. ``tags`` ("l=0; x=1") replace or add."""
    kind = "ed25519" if a.startswith("ed25519") else "rsa2048"
    key = key or f"{kind}:{d}"
    fields, body = split(raw)
    header_relaxed, body_relaxed = (part == "relaxed" for part in (c if "/" in c else f"{c}/simple").split("/"))
    made = {"a": a, "c": c, "d": d, "s": s, "h": h} | ({} if t is None else {"t": str(t)}) | _read_extra(tags)
    text = canonical_body(body, body_relaxed)
    if made.get("l", "").isdigit():
        text = text[: int(made["l"])]
    digest = hashlib.sha1(text) if a == "rsa-sha1" else hashlib.sha256(text)
    made.setdefault("bh", base64.b64encode(digest.digest()).decode())
    head = "; ".join([first, *(f"{name}={value}" for name, value in made.items())])
    unsigned = f"{field}: {head}; b=".encode()
    own = relax_field(unsigned + b"\r\n") if header_relaxed else unsigned + b"\r\n"
    data = _signed(fields, made["h"].split(":"), header_relaxed) + own.removesuffix(b"\r\n")
    value = base64.b64encode(_make(a, key, data)).decode()
    folded = "".join(f"\r\n {value[at : at + 72]}" for at in range(0, len(value), 72))
    return unsigned + folded.encode() + b"\r\n" + raw


def signature_value(raw: bytes) -> bytes:
    """The signature of the topmost DKIM-Signature."""
    found = re.search(rb"; b=([A-Za-z0-9+/=\s]+?)\r\n(?![ \t])", raw)
    assert found
    return base64.b64decode(re.sub(rb"\s", b"", found[1]))


def replace_signature(raw: bytes, value: bytes) -> bytes:
    """The mail with another b= in its topmost signature."""
    text = base64.b64encode(value)
    return re.sub(rb"; b=[A-Za-z0-9+/=\s]+?\r\n(?![ \t])", lambda _: b"; b=" + text + b"\r\n", raw, count=1)


def seal(
    raw: bytes,
    d: str,
    results: str,
    *,
    i: int = 1,
    cv: str = "none",
    s: str = "s1",
    h: str = "from:to:subject",
    key: str = "",
) -> bytes:
    """The mail with one ARC set on top (RFC 8617 5.1); earlier sets must be those already there."""
    key = key or f"rsa2048:{d}"
    top = f"ARC-Authentication-Results: i={i}; {results}\r\n".encode()
    message = sign(raw, d, s=s, h=h, key=key, field="ARC-Message-Signature", first=f"i={i}")
    signature = message[: len(message) - len(raw)]
    fields, _ = split(raw)
    chain = [field for field in reversed(fields) if field.lower().startswith(b"arc-")]
    ordered = sorted(chain, key=lambda field: _arc_order(field))
    unsigned = f"ARC-Seal: i={i}; a=rsa-sha256; t={T}; cv={cv}; d={d}; s={s}; b=".encode()
    data = b"".join(map(relax_field, [*ordered, top, signature, unsigned + b"\r\n"])).removesuffix(b"\r\n")
    value = base64.b64encode(_make("rsa-sha256", key, data))
    return unsigned + value + b"\r\n" + signature + top + raw


def _arc_order(field: bytes) -> tuple[int, int]:
    kinds = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")
    found = re.search(rb"\bi=(\d+)", field)
    assert found
    return int(found[1]), kinds.index(field.partition(b":")[0].lower())
