"""Whatever the internet sends: stored byte by byte, shown to people with a reason, and no obstacle to the next mail."""

from __future__ import annotations

import base64
import random
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.demo.mail_client import write_mail
from gateway.store import journal, raw_mail
from gateway.store.database import Database
from gateway.store.journal import JournalRow
from tests.support.gateway import Gateway, in_background
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

_HEAD = b"From: Odd <odd@customer.test>\r\nTo: support@desk.test\r\nSubject: odd mail\r\n"
_MIME = _HEAD + b"MIME-Version: 1.0\r\n"


def _multipart(parts: int) -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    return _MIME + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * parts + b"--b--\r\n"


def _nested(depth: int) -> bytes:
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    closing = b"".join(b"--b%d--\r\n" % n for n in reversed(range(depth)))
    return _MIME + opening + b"Content-Type: text/plain\r\n\r\nat the bottom\r\n" + closing


def _messages_in_messages(depth: int) -> bytes:
    return _MIME + b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: the innermost\r\n\r\nhello\r\n"


def _huge(megabytes: int) -> bytes:
    content = base64.encodebytes(random.Random(1).randbytes(megabytes * 1024 * 1024 * 3 // 4)).replace(b"\n", b"\r\n")
    return (
        _MIME
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee below\r\n"
        + b'--b\r\nContent-Type: application/zip; name="big.zip"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + content
        + b"--b--\r\n"
    )


def _octets(seed: int, size: int) -> bytes:
    """Any octets that SMTP can carry: no line of more than 998, no dot problem (the client stuffs)."""
    noise = bytearray(random.Random(seed).randbytes(size).replace(b"\r", b" ").replace(b"\n", b" "))
    return b"\r\n".join(bytes(noise[at : at + 900]) for at in range(0, size, 900)) + b"\r\n"


ODD: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one blank line": lambda: b"\r\n",
    "header only": lambda: _HEAD,
    "header and blank line only": lambda: _HEAD + b"\r\n",
    "body only": lambda: b"\r\nno header at all\r\n",
    "no header, just words": lambda: b"hello\r\nthis is not a mail\r\n",
    "no From": lambda: b"To: support@desk.test\r\nSubject: who am I\r\n\r\nhello\r\n",
    "two From": lambda: b"From: a@evil.test\r\n" + _HEAD + b"\r\nwhich one?\r\n",
    "From without an address": lambda: b"From: nobody in particular\r\nSubject: no address\r\n\r\nhello\r\n",
    "From with two authors": lambda: b"From: a@customer.test, b@customer.test\r\nSubject: two\r\n\r\nhello\r\n",
    "octets": lambda: _octets(2, 60_000),
    "NUL and 8 bit in the header": lambda: _HEAD + b"X-Odd: \x00\xff\xfe\x80\r\n\r\n\x00\x01\x02\xff\r\n",
    "binary body called text": lambda: _MIME + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + _octets(3, 20_000),
    "unknown charset and encoding": lambda: (
        _MIME + b"Content-Type: text/plain; charset=x-klingon\r\nContent-Transfer-Encoding: rot13\r\n\r\nnuqneH\r\n"
    ),
    "broken base64": lambda: (
        _MIME + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n=A=!!%%\r\n"
    ),
    "boundary that never comes": lambda: _MIME + b"Content-Type: multipart/mixed; boundary=never\r\n\r\nhello\r\n",
    "multipart without boundary": lambda: _MIME + b"Content-Type: multipart/alternative\r\n\r\n--\r\nhello\r\n",
    "subject of 100 kB": lambda: _HEAD.replace(b"odd mail", b"long\r\n " * 15_000) + b"\r\nhello\r\n",
    "100000 header fields": lambda: _HEAD + b"X-A: b\r\n" * 100_000 + b"\r\nhello\r\n",
    "a line of one megabyte": lambda: _HEAD + b"\r\n" + b"x" * 1_000_000 + b"\r\n",
    "date of another age": lambda: _HEAD + b"Date: Fri, 99 Foo 99999 99:99:99 +9999\r\n\r\nhello\r\n",
    "encoded words of all kinds": lambda: (
        _HEAD.replace(b"odd mail", b"=?x?q?=FF?= =?utf-8?b?////?= =?utf-8?q?=00?=") + b"\r\nhello\r\n"
    ),
    "html bomb": lambda: _MIME + b"Content-Type: text/html\r\n\r\n" + b"<div><table>" * 50_000 + b"\r\n",
    "500 multiparts deep": lambda: _nested(500),
    "500 messages deep": lambda: _messages_in_messages(500),
    "100000 parts": lambda: _multipart(100_000),
    "20 MB": lambda: _huge(20),
}


@dataclass
class Afterwards:
    """What operators see when all of them have come, each followed by a mail like any other."""

    desk: Gateway
    rows: dict[str, int]
    tickets: list[dict[str, Any]]
    held: list[dict[str, Any]]


@pytest.fixture(scope="module")
def afterwards(tmp_path_factory: pytest.TempPathFactory, resolver: str) -> Iterator[Afterwards]:
    """One gateway for all of them: what one mail breaks, the next ones notice."""
    with in_background(smtp_sink()) as sink:
        folder = tmp_path_factory.mktemp("odd") / "desk"
        with Gateway(folder, send_port=sink.port, resolver=resolver) as desk:
            rows = {}
            for name, make in ODD.items():
                rows[name] = deliver(desk, make())
                author = f"ann{rows[name]}@customer.test"
                normal = write_mail(author, "Ann", INBOX, f"After: {name}", "A mail like any other.\n")
                deliver(desk, signed(normal, "customer.test"))
            desk.settled(180)
            yield Afterwards(desk, rows, desk.rows("tickets", "--all"), desk.rows("held"))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_mail_is_stored_and_shown_and_stops_nobody(afterwards: Afterwards, name: str) -> None:
    assert [t["state"] for t in afterwards.tickets if t["subject"] == f"After: {name}"] == ["new"]
    row, kept = stored(afterwards.desk, afterwards.rows[name])
    # smtplib ends a mail that does not end in CRLF with one: there is no other way to write a final dot.
    assert kept in (ODD[name](), ODD[name]() + b"\r\n")
    held = [one for one in afterwards.held if one["row"] == row.id]
    if held:
        assert held[0]["reason"]
    else:
        assert row.ticket in {ticket["ticket"] for ticket in afterwards.tickets}, row


def test_an_operator_reads_any_of_them_as_it_arrived(afterwards: Afterwards) -> None:
    desk, rows = afterwards.desk, afterwards.rows
    held = rows["two From"]
    assert desk.cli_raw("held", "show", str(held)) == ODD["two From"]()
    assert "header-ambiguous" in desk.cli("explain", f"row:{held}")
    row, _ = stored(desk, rows["100000 parts"])
    assert row.ticket, "too many parts are no reason to hide a mail"
    assert desk.cli_raw("show", str(row.ticket), "--raw", "1") == ODD["100000 parts"]()


def stored(desk: Gateway, number: int) -> tuple[JournalRow, bytes]:
    """A journal row and the bytes behind it."""
    database = Database(desk.storage)
    try:
        with database.begin() as tx:
            (row,) = journal.find(tx, row_id=number)
            return row, raw_mail.load(tx, row.sha256) or b""
    finally:
        database.close()


def deliver(desk: Gateway, raw: bytes) -> int:
    """Hand a mail over as Postfix does; the journal row that holds it."""
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.ehlo("mta.test")
        assert client.mail("odd@customer.test")[0] == 250
        assert client.rcpt(INBOX)[0] == 250
        code, text = client.data(raw)
    assert code == 250, text
    return int(text.split()[-1])
