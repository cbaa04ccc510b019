"""Every golden mail is made again from its story: same headers in the same order, same structure, same files."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses

import pytest

from tests.support.golden import story

NAMES = sorted(story.NOTICES)
_ADDRESSES = ("from", "to", "cc", "reply-to")
_SAME_TEXT = ("01", "02", "03", "05", "06", "12", "14", "15")
"""Golden mails whose words we kept to the letter; the others were improved on."""


def read(raw: bytes) -> EmailMessage:
    parsed = message_from_bytes(raw, policy=policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def golden(name: str) -> EmailMessage:
    return read((story.FOLDER / f"{name}.eml").read_bytes())


def ours(name: str) -> EmailMessage:
    return read(story.compose(name)[0].content)


def _value(name: str, value: str) -> object:
    if name in _ADDRESSES:
        return getaddresses([value])
    if name == "content-type":
        return value.partition("; boundary=")[0]
    return " ".join(value.split())


def _headers(mail: EmailMessage) -> list[tuple[str, object]]:
    return [(k.lower(), _value(k.lower(), str(v))) for k, v in mail.items() if k.lower() != "return-path"]


def _structure(mail: EmailMessage) -> list[tuple[str, str | None, str | None]]:
    return [(part.get_content_type(), part.get_filename(), part.get_content_charset()) for part in mail.walk()]


@pytest.mark.parametrize("name", NAMES)
def test_the_headers_are_those_of_the_golden_mail_in_its_order(name: str) -> None:
    assert _headers(ours(name)) == _headers(golden(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_envelope_sender_is_the_return_path_of_the_golden_mail(name: str) -> None:
    mail = story.compose(name)[0]
    assert f"<{mail.reverse_path}>" == golden(name)["Return-Path"]
    assert mail.recipient == getaddresses([golden(name)["To"]])[0][1]


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_are_those_of_the_golden_mail(name: str) -> None:
    mine, theirs = ours(name), golden(name)
    assert _structure(mine) == _structure(theirs)
    for part, wanted in zip(mine.walk(), theirs.walk(), strict=True):
        if part.get_content_disposition() == "attachment":
            assert part.get_content() == wanted.get_content()
        if part.get_content_type() == "image/png":  # the picture is drawn anew; its size and place are the same
            assert part["Content-ID"] == wanted["Content-ID"]
            assert part.get_content()[:26] == wanted.get_content()[:26]


@pytest.mark.parametrize("name", [n for n in NAMES if n[:2] in _SAME_TEXT])
def test_the_text_is_that_of_the_golden_mail(name: str) -> None:
    mine, theirs = ours(name).get_body(("plain",)), golden(name).get_body(("plain",))
    assert mine is not None and theirs is not None
    assert mine.get_content().rstrip() == theirs.get_content().rstrip()


def test_every_golden_mail_has_its_story() -> None:
    assert sorted(path.stem for path in story.FOLDER.glob("*.eml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_composing_twice_gives_the_same_bytes(name: str) -> None:
    assert story.compose(name) == story.compose(name)


def test_each_recipient_of_one_notice_gets_a_mail_of_their_own() -> None:
    alice, bob = story.compose("02-agent-offer")
    assert (alice.party, bob.party) == (1, 2)
    assert alice.message_id != bob.message_id
    assert alice.reverse_path != bob.reverse_path
    assert read(alice.content)["Reply-To"] != read(bob.content)["Reply-To"]
    assert "bob@example.com" not in alice.content.decode()
