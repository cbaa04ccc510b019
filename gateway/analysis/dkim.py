"""DKIM as ticketgate believes it: the table of security.md 4.2 above the cryptography of signatures.py.

``dkim.verify()`` of dkimpy is never asked: it is True for signatures without From, with l=, of 2017, by revoked
algorithms (libraries.md L2). Every signature is judged by itself; the first broken one never hides a good one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from gateway.analysis.dns_records import Answers
from gateway.analysis.header import Field, Header
from gateway.analysis.signatures import (
    ALGORITHMS,
    BodyHashes,
    KeyRecord,
    KeyTemporaryError,
    TagError,
    canonical_field,
    cut_signature,
    find_key,
    fits,
    is_within_modulus,
    read_algorithms,
    read_base64,
    read_domain,
    read_number,
    read_selector,
    read_tags,
    signed_fields,
)
from gateway.analysis.suffixes import is_public_suffix, is_related
from gateway.model import DkimResult

MAX_SIGNATURES = 8
MIN_KEY_BITS = 1024
CLOCK_SLACK = timedelta(minutes=5)
"""How far t= may lie after the time of reception."""

DEMANDED = ("from", "subject", "date", "message-id")
"""The large providers sign these; present and not covered: policy."""

STRICT = (
    "to",
    "cc",
    "reply-to",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
)
"""Demanded as well of strict_domains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What this mail's author may be asked for, and who vouched for hashes."""

    author_domain: str = ""
    received_at: datetime
    key_bits: int = MIN_KEY_BITS
    strict: bool = False
    verify_locally: bool = True
    vouched: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(d=, s=) of signatures whose hash a trusted server checked before bodies were altered -> its id; s= may be ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signature:
    """One DKIM-Signature field, taken apart. Only what the grammar of RFC 6376 3.5 allows gets here."""

    field: Field
    domain: str
    selector: str
    algorithm: str
    identity: str  # domain of i=
    covers: tuple[str, ...]
    header_relaxed: bool
    body_relaxed: bool
    body_hash: bytes
    signature: bytes
    length: int | None
    signed: int | None
    expires: int | None


def check_signatures(header: Header, bodies: BodyHashes, answers: Answers, demands: Demands) -> tuple[DkimResult, ...]:
    """The result of every signature that is evaluated: at most 8, related to the author's domain first, then top down.

    A signature whose key is not in ``answers`` yet is a provisional temperror, its record is in ``answers.needs``.
    ``aligned`` is left False: that is DMARC's question.
    """
    read: list[tuple[_Signature | None, DkimResult]] = []
    for found in header.find_all(b"dkim-signature"):
        try:
            tags = read_tags(found.value.decode("latin-1"))
        except TagError as why:
            read.append((None, DkimResult(result="permerror", reason=str(why))))
            continue
        shown = DkimResult(domain=tags.get("d", "").lower()[:253], selector=tags.get("s", "").lower()[:253])
        try:
            read.append((_read_signature(found, tags), shown))
        except TagError as why:
            read.append((None, replace(shown, result="permerror", reason=str(why))))
    read.sort(key=lambda pair: not is_related(pair[1].domain, demands.author_domain))
    demands = replace(demands, vouched=_find_certain([shown for _, shown in read], demands.vouched))
    return tuple(
        shown if signature is None else _judge(signature, shown, header, bodies, answers, demands)
        for signature, shown in read[:MAX_SIGNATURES]
    )


def _find_certain(shown: Sequence[DkimResult], vouched: Mapping[tuple[str, str], str]) -> Mapping[tuple[str, str], str]:
    """What trusted servers said about exactly one signature of the mail.

    With several of one domain (and selector), the one the server checked may be another than the one we read: a
    stranger puts a worthless signature of the same name beside an old or holed one that fits, and chooses its ``t=``
    and ``h=``. One whose tags we cannot read might be of any name.
    """
    if any(not one.domain for one in shown):
        return {}
    named = [(one.domain, selector) for one in shown for selector in {one.selector, ""}]
    return {key: server for key, server in vouched.items() if named.count(key) == 1}


def _read_signature(field: Field, tags: dict[str, str]) -> _Signature:
    """Rows of the table that are about form. Raises :class:`TagError`: permerror."""
    if tags.get("v") != "1":
        raise TagError("v= is not 1")
    domain = read_domain(tags, "d")
    covers = tuple(name.strip(" \t\r\n").lower() for name in tags.get("h", "").split(":"))
    if "" in covers:
        raise TagError("h= is malformed")
    if "from" not in covers:
        raise TagError("the signature does not cover From")  # RFC 6376 6.1.1
    if tags.get("a") not in ALGORITHMS:
        raise TagError(f"the algorithm {tags.get('a', '')[:30]} is not accepted")  # rsa-sha1: RFC 8301
    queries = [query.strip(" \t\r\n").lower() for query in tags.get("q", "dns/txt").split(":")]
    if "dns/txt" not in queries:
        raise TagError("q= names no known way to the key")
    identity = tags.get("i", f"@{domain}").rpartition("@")
    if not identity[1] or not f".{identity[2].lower()}".endswith(f".{domain}"):
        raise TagError("i= is not below d=")
    relaxed = read_algorithms(tags)
    return _Signature(
        field=field,
        domain=domain,
        selector=read_selector(tags),
        algorithm=tags["a"],
        identity=identity[2].lower(),
        covers=covers,
        header_relaxed=relaxed[0],
        body_relaxed=relaxed[1],
        body_hash=read_base64(tags, "bh"),
        signature=read_base64(tags, "b"),
        length=read_number(tags, "l", digits=76),
        signed=read_number(tags, "t"),
        expires=read_number(tags, "x"),
    )


def _judge(
    signature: _Signature, shown: DkimResult, header: Header, bodies: BodyHashes, answers: Answers, demands: Demands
) -> DkimResult:
    """The rest of the table, for one signature."""
    own = canonical_field(signature.field, signature.header_relaxed, cut_signature(signature.field.value))
    names = [name.encode("latin-1") for name in signature.covers]
    # A signature that names dkim-signature in h= means the others, not itself.
    others = [field for field in header.fields if field is not signature.field]
    signed = signed_fields(others, names, signature.header_relaxed) + own.removesuffix(b"\r\n")
    shown = replace(
        shown,
        covers=signature.covers,
        signed_at=_find_signing_time(signature, header),
        replay_key=hashlib.sha256(signed).hexdigest(),
    )
    objection = _find_objection(signature, header, demands)
    try:
        key = find_key(answers, signature.selector, signature.domain)
        if key is None:
            return replace(shown, result="temperror", reason="the key was not looked up yet")
        _check_key(key, signature)
    except KeyTemporaryError as why:
        # What is refused anyway must not make a mail wait for DNS.
        return replace(shown, result="policy" if objection else "temperror", reason=objection or str(why))
    except TagError as why:
        return replace(shown, result="permerror", reason=str(why))
    if "y" in key.flags:
        return replace(shown, result="none", reason="the key is marked as a test")
    misfit, reason = _find_misfit(signature, key, signed, bodies, demands)
    if misfit:
        return replace(shown, result="fail", reason=misfit)
    if objection:
        return replace(shown, result="policy", reason=objection)
    if key.kind == "rsa" and key.bits < max(MIN_KEY_BITS, demands.key_bits):
        return replace(shown, result="policy", reason=f"the key of {key.bits} bits is too short")
    return replace(shown, result="pass", reason=reason, key_bits=key.bits if key.kind == "rsa" else 0)


def _find_signing_time(signature: _Signature, header: Header) -> datetime | None:
    """t=, else the Date if it is covered; None when neither can be read."""
    try:
        if signature.signed is not None:
            return datetime.fromtimestamp(signature.signed, UTC)
        date = header.find(b"date")
        if date is None or "date" not in signature.covers or len(date.value) > 200:
            return None
        when = parsedate_to_datetime(date.value.decode("ascii").strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _find_objection(signature: _Signature, header: Header, demands: Demands) -> str:
    """Why a signature that fits is not believed: the rows "policy" that need no key. "" when there is no reason."""
    if is_public_suffix(signature.domain):
        return f"{signature.domain} is a public suffix"
    if signature.length is not None:
        return "the signature covers only a part of the body (l=)"
    now = demands.received_at.timestamp()
    if signature.expires is not None:
        if signature.signed is not None and signature.expires < signature.signed:
            return "the signature ends before it begins"
        if signature.expires < now:
            return "the signature had expired"
    if signature.signed is not None and signature.signed > now + CLOCK_SLACK.total_seconds():
        return "the signature is dated in the future"
    present = {field.key.decode("ascii"): field.name.decode("ascii") for field in header.fields}
    for name in DEMANDED + (STRICT if demands.strict else ()):
        if name in present and name not in signature.covers:
            return f"the signature does not cover {present[name]}"
    return ""


def _check_key(key: KeyRecord, signature: _Signature) -> None:
    """The key record against the signature (RFC 6376 3.6.1). Raises :class:`TagError`: permerror."""
    if key.kind != ALGORITHMS[signature.algorithm]:
        raise TagError("the key is of another kind than the signature")
    if key.hashes and "sha256" not in key.hashes:
        raise TagError("the key forbids SHA-256")
    if "*" not in key.services and "email" not in key.services:
        raise TagError("the key is not for mail")
    if "s" in key.flags and signature.identity != signature.domain:
        raise TagError("the key forbids sub-domains in i=")


def _find_misfit(
    signature: _Signature, key: KeyRecord, signed: bytes, bodies: BodyHashes, demands: Demands
) -> tuple[str, str]:
    """Why hash or signature do not fit ("" when they do), and a remark on how that is known."""
    if not is_within_modulus(key, signature.signature):
        return "the signature value is not smaller than the key's modulus or has another length", ""
    voucher = demands.vouched.get((signature.domain, signature.selector)) or demands.vouched.get((signature.domain, ""))
    remark = f"hash checked by {voucher}"
    if voucher and not demands.verify_locally:
        return "", remark
    if bodies.digest(signature.body_relaxed, signature.length) != signature.body_hash:
        misfit = "the body was changed after signing"
    elif not fits(key, signed, signature.signature):
        misfit = "the signature does not fit"
    else:
        return "", ""
    return ("", remark) if voucher else (misfit, "")
