"""One function for each reader of strangers' bytes: it must not raise, and what it says must be consistent.

Each takes bytes and asserts. ``python -m tests.fuzz`` runs them under atheris; ``test_targets.py`` without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.address import clean_name, clean_text, fold_address, is_address, split_address
from gateway.analysis.authenticate import authenticate
from gateway.analysis.forwards import find_forward
from gateway.analysis.header import read_header
from gateway.analysis.mailboxes import read_mailboxes
from gateway.analysis.origin import find_origin
from gateway.analysis.parse import parse
from gateway.analysis.quotes import split_body
from gateway.analysis.reading_rules import AuthenticationRules
from gateway.analysis.reports import read_reports
from gateway.desk.commands import read_commands, read_subject
from gateway.desk.moments import read_when
from gateway.model import DnsAnswer, Envelope, Proof
from gateway.outbound.letter import is_message_id, text_value
from gateway.reference import strip_tokens
from gateway.settings import Commands
from gateway.threading.clues import find_clues
from tests.support.quoting import ATTRIBUTIONS
from tests.support.signing import T, key_record, sign
from tests.support.spine import SETTINGS, make_mail

_NOW = datetime.fromtimestamp(T, UTC)
_ENVELOPE = Envelope(
    reverse_path="jane@customer.test",
    recipient="support@desk.test",
    inbox="support",
    source="lmtp",
    received_at=_NOW,
)
_RULES = AuthenticationRules()
_OWN = frozenset({"support@desk.test"})
_KEY = {"TXT s1._domainkey.customer.test": DnsAnswer("found", (key_record("rsa2048:customer.test"),))}
_SUBJECT = "Invoice 2231 is wrong"


@dataclass(frozen=True)
class Target:
    """A reader, and inputs to begin with."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def fuzz_parse(data: bytes) -> None:
    message = parse(data)
    find_origin(message, _ENVELOPE, _OWN, SETTINGS.id_domain)
    read_reports(data, message)
    for attachment in message.attachments:
        assert "/" not in attachment.name
        assert "\0" not in attachment.name
        assert len(attachment.name.encode("utf-8", "replace")) <= 150


def fuzz_header(data: bytes) -> None:
    header = read_header(data)
    assert 0 <= header.body_start <= len(data)
    if header.ambiguous:
        assert header.author is None
    else:
        assert header.author is not None
        assert is_address(header.author.address)
        assert sum(field.name.lower() == b"from" for field in header.fields) == 1


def fuzz_addresses(data: bytes) -> None:
    text = _text(data)
    unfolded = text.replace("\r", "").replace("\n", "")  # as every value of a header comes; words may still hide some
    for mailbox in read_mailboxes(unfolded)[0]:
        assert "\n" not in mailbox.address
        assert "\r" not in mailbox.address
    folded = fold_address(text)
    if is_address(text):
        assert fold_address(folded) == folded
    split_address(text)
    for shown in (clean_name(text), clean_text(text)):
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    value = text_value(text)
    assert value.isascii()
    assert "\r" not in value
    assert "\n" not in value


def fuzz_tokens(data: bytes) -> None:
    text, keys = _text(data), SETTINGS.keys
    token = keys.read_tag(text)
    if token is not None:
        assert keys.make_token(token.kind, token.ticket, token.event, token.party) == text.lower()
    own = keys.read_message_id(text, SETTINGS.id_domain)
    if own is not None:
        assert is_message_id(text.strip())
    keys.find_reference_line(text)
    bare = strip_tokens(text)
    assert all(keys.read_tag(word) is None for word in bare.split())


def fuzz_commands(data: bytes) -> None:
    text = _text(data)
    for context in ("ticket", "held", "list"):
        orders = read_commands(text, context, Commands())
        if orders.held:
            assert orders.bad_line or orders.hint is not None or orders.commands or orders.others is not None
        if any(c.verb == "note" for c in orders.commands) and not orders.held:
            assert orders.internal or context != "ticket"
    read_subject(text[:1000], Commands())
    read_when(text[:200], _NOW, "Europe/Berlin")


def fuzz_quotes(data: bytes) -> None:
    head = (
        b"From: jane@customer.test\r\nTo: support@desk.test\r\nMIME-Version: 1.0\r\nContent-Type: text/"
        + (b"html" if data[:1] == b"<" else b"plain")
        + b"; charset=utf-8\r\n\r\n"
    )
    message = parse(head + data)
    body = split_body(message)
    find_forward(message, body)
    words = set(message.text.split())
    assert not words or body.new.strip() or body.quoted.strip() or body.signature.strip() or body.source
    assert set(body.new.split()) <= words | {""} or message.html


def fuzz_clues(data: bytes) -> None:
    head, _, rest = data.partition(b"\n\n")
    references = _text(head).replace("\r", " ").replace("\n", " ")[:5000]
    raw = make_mail(
        "jane@customer.test", _text(rest), answers=references, subject=references[:200], to=references[:300]
    )
    message = parse(raw)
    clues = find_clues(message, split_body(message), _ENVELOPE, SETTINGS.keys, SETTINGS)
    assert len(clues.references) <= 20
    assert all(len(i) <= 998 for i in (*clues.references, *clues.in_reply_to))
    for token in (*clues.tokens, *clues.own_ids):
        assert token.kind in "anhdtbm"


def fuzz_authenticate(data: bytes) -> None:
    """Whoever changes a signed mail: it is proven only as what its signer signed."""
    results, _ = authenticate(data, _ENVELOPE, _KEY, _RULES)
    if results.proof is not Proof.NONE:
        assert results.author is not None
        assert results.author.address == "jane@customer.test"
        assert read_header(data).ambiguous == ""
        assert parse(data).subject == _SUBJECT


_PLAIN = make_mail("Jane Doe <jane@customer.test>", "We have 10 licences, not 12.", message_id="<1@customer.test>")
_SIGNED = sign(_PLAIN, "customer.test")
_MIXED = _PLAIN.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="x"').replace(
    b"We have",
    b'--x\r\nContent-Type: text/html\r\n\r\n<p>Hi</p>\r\n--x\r\nContent-Disposition: attachment; filename="../a.pdf"'
    b"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\n\r\ninner\r\n--x--\r\nWe have",
)
_REPORT = _PLAIN.replace(
    b"text/plain; charset=utf-8", b'multipart/report; report-type=delivery-status; boundary="x"'
).replace(
    b"We have",
    b"--x\r\n\r\nfailed\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a.test\r\n\r\n"
    b"Final-Recipient: rfc822; b@c.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--x--\r\nWe have",
)
_TOKEN = SETTINGS.keys.make_token("a", 1, 2, 3)
_ID = SETTINGS.keys.make_message_id(1, 2, 3, SETTINGS.id_domain)

TARGETS = {
    "parse": Target(fuzz_parse, (_PLAIN, _SIGNED, _MIXED, _REPORT)),
    "header": Target(fuzz_header, (_PLAIN, _SIGNED, b'From: "a@b.test" <c@d.test>\r\nTo: x@y.test\r\n\r\n')),
    "addresses": Target(
        fuzz_addresses,
        (
            b"Jane Doe <jane@customer.test>, a@b.test",
            b"g: a@b.test, c@d.test;",
            "=?utf-8?q?J=C3=A4n?= <j@ü.test>".encode(),
        ),
    ),
    "tokens": Target(
        fuzz_tokens,
        (
            _TOKEN.encode(),
            _ID.encode(),
            SETTINGS.keys.make_reference_line(1).encode(),
            b"claim 1.2 kabcdefghijklmnop2",
            (_TOKEN[:-5] + _TOKEN + _TOKEN[-5:]).encode(),  # taking one away must not make another
        ),
    ),
    "commands": Target(
        fuzz_commands,
        (b"#close\n\nFixed.", b"#note he is rude", b"#snooze fri 9:00\n#assign bob", b"claim", b"#noet x"),
    ),
    "quotes": Target(
        fuzz_quotes,
        (
            *(f"Thanks!\n\n{line}\n> old\n> text\n".encode() for line in list(ATTRIBUTIONS.values())[::6]),
            b"<p>new</p><div class=gmail_quote>On Monday A wrote:<blockquote>old</blockquote></div>",
            b"Hi\n\n-- \nJane\n",
            b"See below\n\n---------- Forwarded message ---------\nFrom: A <a@b.test>\nSubject: x\n\nhello\n",
        ),
    ),
    "clues": Target(fuzz_clues, (_ID.encode() + b" <a@b.test>\n\ntext", f"support+{_TOKEN}@desk.test\n\nx".encode())),
    "authenticate": Target(fuzz_authenticate, (_SIGNED, _PLAIN, sign(_SIGNED, "evil.test"))),
}
"""Name -> target, as ``make fuzz`` runs them."""
