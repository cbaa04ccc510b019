"""ARC chains (RFC 8617), sealed by our own test sealer."""

from __future__ import annotations

import re

import pytest

from gateway.analysis.arc import check_chain
from gateway.analysis.dns_records import Answers
from gateway.analysis.header import read_header
from gateway.analysis.signatures import BodyHashes
from gateway.model import ArcResult, DnsAnswer
from tests.support.auth_mail import ANN, FAILED, Zone, make_zone, txt
from tests.support.signing import key_record, seal

SAYS = "lists.test; dmarc=pass header.from=customer.test"


def chain(raw: bytes, extra: dict[str, DnsAnswer] | None = None) -> ArcResult:
    zone = make_zone({"TXT s1._domainkey.lists.test": txt(key_record("rsa2048:lists.test")), **(extra or {})})
    header = read_header(raw)
    return check_chain(header, BodyHashes(raw[header.body_start :]), Answers(zone))


def seal_times(count: int) -> bytes:
    raw = ANN
    for i in range(1, count + 1):
        raw = seal(raw, "lists.test", SAYS, i=i, cv="none" if i == 1 else "pass")
    return raw


def test_no_chain_is_none() -> None:
    assert chain(ANN).result == "none"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_whole_chain_passes_and_names_its_last_sealer(count: int) -> None:
    assert chain(seal_times(count)) == ArcResult(result="pass", sealer="lists.test")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (rb"\r\nhello\r\n", b"\r\nhallo\r\n"),  # the body
        (rb"Subject: hello", b"Subject: bye"),
        (rb"dmarc=pass", b"dmarc=fail"),
        (rb"cv=none", b"cv=pass"),
        (rb"cv=pass", b"cv=fail"),
        (rb"ARC-Seal: i=2", b"ARC-Seal: i=3"),
        (rb"ARC-Seal: i=2", b"ARC-Seal: i=0"),
        (rb"ARC-Seal: i=2", b"ARC-Seal: i=1"),
        (rb"ARC-Authentication-Results: i=1;", b"ARC-Authentication-Results: x; i=1;"),
        (rb"ARC-Seal: i=2; a=rsa-sha256", b"ARC-Seal: i=2; a=rsa-sha1"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=2; h=from;"),
        (rb"ARC-Seal: i=1.*\r\n", b""),
        (rb"ARC-Message-Signature: i=2[^:]*:[^:]*:[^:]*?\r\n(?=ARC)", b""),
    ],
)
def test_a_chain_that_was_touched_fails(pattern: bytes, text: bytes) -> None:
    raw = seal_times(2)
    changed = re.sub(pattern, text, raw, count=1)
    assert changed != raw
    assert chain(changed).result == "fail"


def test_a_seal_may_not_be_counted_twice() -> None:
    raw = seal_times(1)
    first_line = raw[: raw.find(b"\r\nARC-Message") + 2]
    assert chain(first_line + raw).result == "fail"


def test_keys_of_sealers() -> None:
    raw = seal_times(1)
    assert chain(raw, {"TXT s1._domainkey.lists.test": DnsAnswer("absent")}).result == "fail"
    assert chain(raw, {"TXT s1._domainkey.lists.test": FAILED}).result == "temperror"
    weak = seal(ANN, "lists.test", SAYS, s="w", key="rsa768")
    assert chain(weak, {"TXT w._domainkey.lists.test": txt(key_record("rsa768"))}).result == "fail"


def test_a_chain_of_hundreds_is_not_evaluated() -> None:
    raw = b"ARC-Seal: i=1; b=x\r\n" * 200 + ANN
    answers = Answers(Zone())
    header = read_header(raw)
    assert check_chain(header, BodyHashes(b""), answers).result == "fail"
    assert not answers.used
