"""What a monitoring system sees: /metrics and /healthz of a daemon at work, and of one in trouble."""

from __future__ import annotations

import smtplib
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, reply_to, write_mail
from tests.support.gateway import Gateway, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JANE, ALICE = "jane@customer.test", "alice@corp.test"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str, port: int) -> Iterator[Gateway]:
    tables = {"metrics": f'listen = "127.0.0.1:{port}"\ntextfile = "{tmp_path}/ticketgate.prom"'}
    with Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver, tables=tables) as gateway:
        yield gateway


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def values(port: int) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in get(port, "/metrics")[1].splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def deliver(desk: Gateway, raw: bytes, author: str, recipient: str) -> None:
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail(author, [recipient], raw)


def test_a_conversation_is_counted_and_nobody_is_named(desk: Gateway, sink: Sink, port: int, tmp_path: Path) -> None:
    question = write_mail(JANE, "Jane Doe", INBOX, "Printer", "It does not print.\n")
    deliver(desk, signed(question, "customer.test"), JANE, INBOX)
    offer = wait_for(
        lambda: [read_mail(taken.content) for taken in sink.taken if ALICE in taken.rcpt_to[0]], "Alice is told"
    )[0]
    before = values(port)
    assert before['ticketgate_tickets{state="new"}'] == 1 and before["ticketgate_first_answer_seconds_count"] == 0
    answer = reply_to(offer, ALICE, "Alice Ahmed", "Switch it on.\n\n#close\n")
    deliver(desk, signed(answer, "corp.test"), ALICE, answer["To"].addresses[0].addr_spec)
    wait_for(lambda: values(port)["ticketgate_first_answer_seconds_count"] == 1, "the first answer is counted")
    desk.settled()
    after = values(port)
    assert after['ticketgate_tickets{state="closed"}'] == 1 and after['ticketgate_tickets{state="new"}'] == 0
    assert after['ticketgate_mail_received_total{class="new",inbox="support"}'] == 2
    assert after['ticketgate_commands_total{result="done",verb="close"}'] == 1
    assert after["ticketgate_outbox_pending"] == 0 and after["ticketgate_db_bytes"] > 4096
    assert after['ticketgate_build_info{version="0.1.0"}'] == 1
    assert after['ticketgate_intake_last_success_timestamp_seconds{source="lmtp"}'] > 1e9
    assert "@" not in get(port, "/metrics")[1]
    wait_for(lambda: "ticketgate_tickets" in _read(tmp_path / "ticketgate.prom"), "the textfile is written")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_healthz_says_what_is_well_and_what_is_not(desk: Gateway, sink: Sink, port: int) -> None:
    status, text = get(port, "/healthz")
    assert (status, [line.split()[:2] for line in text.splitlines()]) == (
        200,
        [["intake", "ok"], ["outbox", "ok"], ["relay", "ok"], ["database", "ok"]],
    )
    writer = sqlite3.connect(desk.folder / "ticketgate.db")
    writer.execute("BEGIN IMMEDIATE")  # as a disk that hangs, or an operator's tool
    status, text = get(port, "/healthz")
    assert status == 503 and text.split()[:2] == ["database", "FAILED"]
    writer.rollback()
    writer.close()
    assert wait_for(lambda: get(port, "/healthz")[0] == 200, "it is well again")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"DELETE /healthz HTTP/1.0", b"405"),
        (b"hello", b"400"),
        (b"GET " + b"a" * 20_000 + b" HTTP/1.1", b""),
    ],
)
def test_anything_else_is_refused_and_costs_nothing(
    desk: Gateway, port: int, request_line: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request_line + b"\r\nHost: localhost\r\n\r\n")
        answer = b""
        try:
            while part := client.recv(4096):
                answer += part
        except ConnectionResetError:
            pass
    assert answer[9:12] == status
    assert get(port, "/metrics", "HEAD") == (200, "")
