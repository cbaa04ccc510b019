"""A relay that refuses us, or our mail: what operators and admins see, and what leaves when it is repaired."""

from __future__ import annotations

import smtplib
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, text_of, write_mail
from tests.support.gateway import Gateway, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JANE, TOM, ALICE, BOB, OPS = (
    "jane@customer.test",
    "tom@customer.test",
    "alice@corp.test",
    "bob@corp.test",
    "ops@corp.test",
)
DENIED = "554 5.7.1 <x>: Relay access denied"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str, port: int) -> Iterator[Gateway]:
    send = f'host = "127.0.0.1"\nport = {sink.port}\ntls = "none"\nretry = ["1s", "4h"]'
    tables = {
        "send": send,
        "metrics": f'listen = "127.0.0.1:{port}"',
        "ticketgate": f'admin = ["{OPS}"]',
    }
    with Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver, tables=tables) as gateway:
        yield gateway


def arrives(desk: Gateway, author: str, subject: str) -> None:
    mail = write_mail(author, author.partition("@")[0].title(), INBOX, subject, "It does not print.\n")
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail(author, [INBOX], signed(mail, "customer.test"))


def health(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def mails_to(sink: Sink, address: str, words: str = "") -> list[EmailMessage]:
    mails = [read_mail(one.content) for one in sink.taken if f"<{address}>" in one.rcpt_to[0]]
    return [mail for mail in mails if words in f"{mail['Subject']}\n{text_of(mail)}"]


def test_a_relay_that_denies_us_loses_nothing_is_seen_everywhere_and_once_repaired_gets_everything(
    desk: Gateway, sink: Sink, port: int
) -> None:
    sink.faults["rcpt"] = [DENIED] * 1000
    arrives(desk, JANE, "Printer")
    wait_for(lambda: len(desk.rows("queue")) == 4, "receipt, two offers, and the alarm")
    wait_for(lambda: desk.log().count(" deferred ") == 8, "each is tried twice; from now on every four hours")
    assert {row["state"] for row in desk.rows("queue")} == {"deferred"}
    assert desk.rows("queue", "failed") == []
    code, said = health(port)
    assert code == 503 and f"127.0.0.1 refuses our mail, 4 mails wait: {DENIED}" in said
    assert f"FAILED  127.0.0.1 refuses our mail, 4 mails wait: {DENIED}; let it relay" in desk.cli("status", expect=1)
    shown = desk.cli("show", "1")
    assert f"! not sent yet, deferred: mail 2 to {ALICE}" in shown or f"to {ALICE}  {DENIED}" in shown

    sink.faults["rcpt"] = []
    arrives(desk, TOM, "Scanner")
    for address in (ALICE, BOB):
        wait_for(lambda a=address: len(mails_to(sink, a)) == 2, f"both offers to {address}")
    wait_for(lambda: mails_to(sink, OPS, "over: 127.0.0.1 refuses our mail"), "the end of it")
    wait_for(lambda: not desk.rows("queue"), "everything")
    assert len(mails_to(sink, JANE)) == 1
    assert len(mails_to(sink, OPS)) == 2
    assert "FAILED" not in health(port)[1] and "!" not in desk.cli("show", "1")


def test_offers_that_are_refused_for_good_are_listed_told_and_sent_again_when_asked(desk: Gateway, sink: Sink) -> None:
    arrives(desk, JANE, "Printer")
    desk.settled()
    spam = "550 5.7.1 looks like spam"
    sink.faults["dot"] = [spam] * 2
    arrives(desk, JANE, "Scanner")  # acknowledged already today: two offers
    wait_for(lambda: mails_to(sink, OPS, "nobody was told of ticket 2"), "the admins hear of it")
    desk.settled()
    failed = desk.rows("queue", "failed")
    assert [(row["state"], row["kind"], row["ticket"], row["reply"]) for row in failed] == [
        ("failed", "offer", 2, spam)
    ] * 2
    assert desk.cli("show", "2").count("! NOT DELIVERED: mail ") == 2
    assert "2 of the last 7 days did not arrive" in desk.cli("status")
    assert [one["reply"] for one in desk.ticket(2)["undelivered"]] == [spam] * 2
    before = len(mails_to(sink, ALICE))
    number = next(row["mail"] for row in failed if row["to"] == ALICE)
    assert desk.cli("queue", "retry", str(number)) == "1 mail tried now\n"
    wait_for(lambda: len(mails_to(sink, ALICE)) == before + 1, "Alice has it")
    desk.settled()
    assert [row["to"] for row in desk.rows("queue", "failed")] == [BOB]
    desk.cli("queue", "retry", str(number), expect=67)
    assert desk.cli("show", "2").count("! NOT DELIVERED: mail ") == 1
