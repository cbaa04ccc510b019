"""ARC chains by RFC 8617 section 5.2. A chain proves nothing by itself; authenticate.py says whom it may rescue."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.analysis.dns_records import Answers
from gateway.analysis.header import Field, Header
from gateway.analysis.signatures import (
    BodyHashes,
    KeyTemporaryError,
    TagError,
    canonical_field,
    cut_signature,
    find_key,
    fits,
    read_algorithms,
    read_base64,
    read_domain,
    read_number,
    read_selector,
    read_tags,
    signed_fields,
)
from gateway.model import ArcResult

MAX_INSTANCES = 50
MIN_KEY_BITS = 1024

_KINDS = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")


class ChainError(Exception):
    """The chain fails, with the reason. ``temporary``: a key could not be looked up."""

    def __init__(self, reason: str, temporary: bool = False) -> None:
        super().__init__(reason)
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One instance: the three fields that one forwarder added, and the tags of the two signed ones."""

    instance: int
    results: Field
    message_signature: Field
    seal: Field
    message_tags: dict[str, str]
    seal_tags: dict[str, str]


def read_chain(header: Header) -> tuple[ArcSet, ...]:
    """The ARC sets, i=1 first; () when there are none. Raises :class:`ChainError` when the structure is broken."""
    fields = [field for field in header.fields if field.key in _KINDS]
    if len(fields) > 3 * MAX_INSTANCES:
        raise ChainError("too many ARC fields")
    found: dict[tuple[int, bytes], tuple[Field, dict[str, str]]] = {}
    for field in fields:
        instance, tags = _read_field(field)
        if (instance, field.key) in found:
            raise ChainError(f"the ARC instance {instance} stands twice")
        found[(instance, field.key)] = (field, tags)
    sets = []
    for instance in range(1, len(fields) // 3 + 1):
        parts = [found.get((instance, kind)) for kind in _KINDS]
        if None in parts:
            raise ChainError(f"the ARC instance {instance} is not complete")
        (results, _), (message, message_tags), (seal, seal_tags) = (part for part in parts if part)
        sets.append(ArcSet(instance, results, message, seal, message_tags, seal_tags))
    if len(sets) * 3 != len(fields):
        raise ChainError("the ARC instances do not follow each other")
    return tuple(sets)


def _read_field(field: Field) -> tuple[int, dict[str, str]]:
    text = field.value.decode("latin-1")
    if field.key == b"arc-authentication-results":
        # Not a tag list: "i=1; authserv-id; …" (RFC 8617 4.1.1).
        text, semicolon, _ = text.partition(";")
        if not semicolon:
            raise ChainError("ARC-Authentication-Results is malformed")
    try:
        tags = read_tags(text)
        instance = read_number(tags, "i", digits=2)
    except TagError as why:
        raise ChainError(f"{field.name.decode()}: {why}") from None
    if instance is None or not 1 <= instance <= MAX_INSTANCES:
        raise ChainError(f"{field.name.decode()}: i= is out of range")
    return instance, tags


def check_chain(header: Header, bodies: BodyHashes, answers: Answers) -> ArcResult:
    """The chain's validation status: none, pass, fail; temperror while a key is lacking or its query failed."""
    try:
        sets = read_chain(header)
    except ChainError as why:
        return ArcResult(result="fail", reason=str(why))
    if not sets:
        return ArcResult()
    sealer = sets[-1].seal_tags.get("d", "").lower()[:253]
    try:
        for one in sets:
            _check_validation_status(one)
        _check_message_signature(sets[-1], header, bodies, answers)
        for one in reversed(sets):
            _check_seal(one, sets, answers)
    except ChainError as why:
        return ArcResult(result="temperror" if why.temporary else "fail", sealer=sealer, reason=str(why))
    return ArcResult(result="pass", sealer=sealer)


def _check_validation_status(one: ArcSet) -> None:
    """cv= is none on the first seal and pass on all others (RFC 8617 5.2, step 3)."""
    expected = "none" if one.instance == 1 else "pass"
    if one.seal_tags.get("cv") != expected:
        raise ChainError(f"the seal {one.instance} says cv={one.seal_tags.get('cv', '')[:10]}")
    if "h" in one.seal_tags:
        raise ChainError(f"the seal {one.instance} has an h=")


def _check_message_signature(one: ArcSet, header: Header, bodies: BodyHashes, answers: Answers) -> None:
    try:
        tags = one.message_tags
        # DKIM's default is simple/simple, but every sealer that leaves c= out means relaxed (ValiMail's suite, dkimpy).
        relaxed = read_algorithms({"c": "relaxed/relaxed", **tags})
        if "h" not in tags:
            raise TagError("no h= in the signature")
        names = [name.strip(" \t\r\n").lower().encode("latin-1") for name in tags["h"].split(":")]
        if b"arc-seal" in names:
            raise TagError("h= names ARC-Seal")  # RFC 8617 4.1.2
        body_hash = read_base64(tags, "bh")
        read_number(tags, "t")
        signed = signed_fields([f for f in header.fields if f is not one.message_signature], names, relaxed[0])
        signed += canonical_field(
            one.message_signature, relaxed[0], cut_signature(one.message_signature.value)
        ).removesuffix(b"\r\n")
        if bodies.digest(relaxed[1]) != body_hash:
            raise TagError("the body was changed after signing")
        _check_crypto(tags, signed, answers)
    except TagError as why:
        raise ChainError(f"the message signature {one.instance}: {why}") from None


def _check_seal(one: ArcSet, sets: tuple[ArcSet, ...], answers: Answers) -> None:
    """The seal signs all sets up to its own, always relaxed (RFC 8617 5.1.1)."""
    try:
        read_number(one.seal_tags, "t")
        signed = b""
        for earlier in sets[: one.instance]:
            signed += canonical_field(earlier.results, True) + canonical_field(earlier.message_signature, True)
            if earlier is not one:
                signed += canonical_field(earlier.seal, True)
        signed += canonical_field(one.seal, True, cut_signature(one.seal.value)).removesuffix(b"\r\n")
        _check_crypto(one.seal_tags, signed, answers)
    except TagError as why:
        raise ChainError(f"the seal {one.instance}: {why}") from None


def _check_crypto(tags: dict[str, str], signed: bytes, answers: Answers) -> None:
    if tags.get("a") != "rsa-sha256":  # RFC 8617 4.1.2; nothing else is registered for ARC
        raise TagError("the algorithm is not accepted")
    signature = read_base64(tags, "b")
    try:
        key = find_key(answers, read_selector(tags), read_domain(tags, "d"))
    except KeyTemporaryError as why:
        raise ChainError(str(why), temporary=True) from None
    if key is None:
        raise ChainError("a key was not looked up yet", temporary=True)
    if key.kind != "rsa" or key.bits < MIN_KEY_BITS:
        raise TagError("the key is too short or of another kind")
    if not fits(key, signed, signature):
        raise TagError("the signature does not fit")
