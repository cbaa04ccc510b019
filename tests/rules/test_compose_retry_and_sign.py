"""When a delivery is tried again, and the signature that goes with it."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime, timedelta

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from gateway.errors import TemporaryError
from gateway.outbound.retry import next_due, warning_due
from gateway.outbound.sign import Signer
from gateway.settings import Send
from tests.support.golden import story

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def story_of_failures(send: Send) -> list[tuple[timedelta, bool]]:
    """(age at each attempt, whether its author must know by then) until it is given up."""
    told, now, attempt = [], START, 1
    while True:
        told.append((now - START, warning_due(START, now, send)))
        due = next_due(attempt, START, now, send)
        if due is None:
            return told
        now, attempt = due, attempt + 1


def test_attempts_come_later_and_later_and_end_after_two_days() -> None:
    ages = [age for age, _ in story_of_failures(Send())]
    assert [int(age.total_seconds() / 60) for age in ages[:7]] == [0, 1, 6, 21, 81, 321, 561]
    assert ages[-1] == timedelta(days=2)
    assert all(later - earlier <= timedelta(hours=4) for earlier, later in itertools.pairwise(ages))


def test_the_author_must_know_from_the_first_attempt_after_four_hours_on() -> None:
    known = [age for age, late in story_of_failures(Send()) if late]
    assert known[0] == timedelta(minutes=321)
    assert all(late for age, late in story_of_failures(Send()) if age > known[0])


def rsa_key() -> tuple[str, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def ed25519_key() -> tuple[str, bytes]:
    key = ed25519.Ed25519PrivateKey.generate()
    seed = base64.b64encode(key.private_bytes_raw()).decode()
    return seed, b"v=DKIM1; k=ed25519; p=" + base64.b64encode(key.public_key().public_bytes_raw())


@pytest.mark.parametrize("make", [rsa_key, ed25519_key])
@pytest.mark.parametrize("name", ["02-agent-offer", "03-relayed-answer", "15-admin-alert"])
def test_another_implementation_accepts_the_signature_and_no_change(make: object, name: str) -> None:
    key, record = make()  # type: ignore[operator]
    content = story.compose(name)[0].content
    signed = Signer("example.com", "tg1", key).sign(content)
    assert signed.endswith(content)

    def dns(name: bytes, **_: object) -> bytes:
        assert name == b"tg1._domainkey.example.com."
        return record

    assert dkim.verify(signed, dnsfunc=dns)
    assert not dkim.verify(signed.replace(b"example.com", b"example.org", 3), dnsfunc=lambda *_, **__: record)
    assert not dkim.verify(signed.replace(b"\r\nSubject:", b"\r\nSubject: x\r\nSubject:", 1), dnsfunc=dns)


def test_signing_twice_gives_the_same_bytes() -> None:
    key, _ = rsa_key()
    signer = Signer("example.com", "tg1", key)
    content = story.compose("03-relayed-answer")[0].content
    assert signer.sign(content) == signer.sign(content)


def test_a_key_that_cannot_be_read_is_an_operators_trouble() -> None:
    with pytest.raises(TemporaryError):
        Signer("example.com", "tg1", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----")
