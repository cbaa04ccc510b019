"""Rows fault-69 to fault-71, fault-74 and fault-76: signals, a second daemon, another key, a log that is full."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import smtplib
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import pytest

from gateway.demo.mail_client import read_mail, reply_to, text_of, write_mail
from tests.support.databases import PostgresServer
from tests.support.gateway import Gateway, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JANE, ALICE, CAROL = "jane@customer.test", "alice@corp.test", "carol@corp.test"


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str) -> Iterator[Gateway]:
    """A gateway, not started."""
    gateway = Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver)
    yield gateway
    print(gateway.log())
    gateway.kill()


def make_mail(subject: str, text: str = "It does not print.\n") -> bytes:
    return signed(write_mail(JANE, "Jane Doe", INBOX, subject, text), "customer.test")


def deliver(desk: Gateway, raw: bytes, sender: str = JANE, recipient: str = INBOX) -> None:
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail(sender, [recipient], raw)


def mails_to(sink: Sink, address: str) -> list[EmailMessage]:
    return [read_mail(one.content) for one in sink.taken if f"<{address}>" in one.rcpt_to[0]]


def subjects(desk: Gateway) -> list[str]:
    return sorted(row["subject"] for row in desk.rows("tickets", "--all"))


class Gate(asyncio.Event):
    """Holds the relay's answer to the final dot; opened by another thread than the relay's."""

    is_open = False

    async def wait(self) -> Literal[True]:
        while not self.is_open:  # noqa: ASYNC110  another thread opens it
            await asyncio.sleep(0.02)
        return True


def readers_of(desk: Gateway) -> list[int]:
    """The processes that read mail for the daemon."""
    assert desk.process is not None
    found = Path(f"/proc/{desk.process.pid}/task").glob("*/children")
    return [int(word) for file in found for word in file.read_text().split()]


@contextlib.contextmanager
def in_the_middle(desk: Gateway, sink: Sink) -> Iterator[smtplib.LMTP]:
    """One mail is inside DATA (its client is given), one is being read, one is in transmission."""
    deliver(desk, make_mail("Being sent"))
    wait_for(lambda: sink.commands.count(".") > 0, "a mail is in transmission")
    for pid in readers_of(desk):
        os.kill(pid, signal.SIGSTOP)
    deliver(desk, make_mail("Being read"))
    client = smtplib.LMTP(str(desk.socket), timeout=60)
    client.ehlo("mta.test")
    client.mail(JANE)
    client.rcpt(INBOX)
    assert client.docmd("DATA")[0] == 354
    raw = make_mail("Inside DATA")
    client.send(raw[:300])
    client.rest = raw[300:] + b".\r\n"  # type: ignore[attr-defined]
    try:
        yield client
    finally:
        client.close()


def finish(client: smtplib.LMTP) -> int:
    client.send(client.rest)  # type: ignore[attr-defined]
    return int(client.getreply()[0])


def test_fault_69_sigterm_in_the_middle_of_everything(desk: Gateway, sink: Sink) -> None:
    sink.gate = gate = Gate()
    desk.start()
    with in_the_middle(desk, sink) as client, smtplib.LMTP(str(desk.socket), timeout=60) as idle:
        idle.ehlo("mta.test")
        desk.signal(signal.SIGTERM)
        desk.wait_notified("STOPPING=1")
        assert idle.getreply()[0] == 421
        assert finish(client) == 250
        wait_for(lambda: "stopped what=lmtp" in desk.log(), "nobody is served any more")
        time.sleep(3)  # it has nothing else to do now, and ten seconds of patience
        assert " sent delivery=" not in desk.log()
        gate.is_open = True
        sink.gate = None
        code = desk.wait_ended()
    assert code == 0
    assert " sent delivery=1 " in desk.log(), "what was in transmission is waited for, and recorded"
    sent = len(sink.taken)
    desk.start()
    desk.settled()
    assert subjects(desk) == ["Being read", "Being sent", "Inside DATA"]
    assert len(mails_to(sink, ALICE)) == 3, "nothing is sent twice"
    assert sent < len(sink.taken)


def test_fault_70_sighup_in_the_middle_of_everything(desk: Gateway, sink: Sink) -> None:
    sink.gate = gate = Gate()
    desk.start()
    with in_the_middle(desk, sink) as client:
        desk.write_agents({"alice": ("Alice Ahmed", ALICE), "carol": ("Carol Ray", CAROL)})
        desk.configure({"inbox.support": f'name = "Desk"\naddress = "{INBOX}"\nagents = ["alice", "carol"]'})
        desk.signal(signal.SIGHUP)
        desk.wait_notified("READY=1", times=2)
        assert finish(client) == 250
    for pid in readers_of(desk):
        os.kill(pid, signal.SIGCONT)
    gate.is_open = True
    sink.gate = None
    desk.settled()
    assert subjects(desk) == ["Being read", "Being sent", "Inside DATA"]
    assert len(mails_to(sink, ALICE)) == 3
    assert len(mails_to(sink, CAROL)) == 2, "she is told of what was decided after she came"
    good = desk.configuration.read_text()
    desk.configuration.write_text(good + "\n[tickets]\nfirst_numbr = 7\n")
    desk.signal(signal.SIGHUP)
    wait_for(lambda: 'problem="reload refused, old settings stay"' in desk.log(), "the alarm")
    deliver(desk, make_mail("After it"))
    desk.configuration.write_text(good)
    desk.settled()
    assert len(mails_to(sink, CAROL)) == 3


@pytest.mark.postgresql
def test_fault_71_a_second_daemon_on_the_same_socket_ends_and_disturbs_nobody(
    tmp_path: Path, sink: Sink, resolver: str, postgres_server: PostgresServer
) -> None:
    """On PostgreSQL two daemons may share the store, but not the socket. On SQLite: tests/system/test_service.py."""
    storage = postgres_server.create_database()
    with Gateway(tmp_path / "one", send_port=sink.port, resolver=resolver, storage=storage) as first:
        second = Gateway(
            tmp_path / "two",
            send_port=sink.port,
            resolver=resolver,
            storage=storage,
            tables={"receive.lmtp": f'listen = ["unix:{first.socket}"]'},
        )
        for key in ("token.key", "seal.key"):
            (second.folder / key).touch(mode=0o600)
            (second.folder / key).write_bytes((first.folder / key).read_bytes())
        second.launch()
        assert second.wait_ended() not in (0, 1)
        assert "Traceback" not in second.log()
        assert str(first.socket) in second.log().splitlines()[-1]
        deliver(first, make_mail("The first one works on"))
        first.settled()
        assert subjects(first) == ["The first one works on"]


def test_fault_74_a_token_key_is_rotated_in_the_middle_of_a_conversation(desk: Gateway, sink: Sink) -> None:
    desk.start()
    deliver(desk, make_mail("Printer"))
    wait_for(lambda: mails_to(sink, ALICE), "the offer")
    desk.settled()
    offer, ack = mails_to(sink, ALICE)[0], mails_to(sink, JANE)[0]
    key = desk.folder / "token.key"
    old = key.read_text()

    def rotate(text: str) -> None:
        readies = desk.notified().count("READY=1")
        key.write_text(text)
        desk.signal(signal.SIGHUP)
        desk.wait_notified("READY=1", times=readies + 1)

    def says(original: EmailMessage, author: str, text: str, *, alone: bool = False) -> None:
        mail = reply_to(original, author, "Somebody", text)
        if alone:  # nothing but the address says which ticket is meant
            del mail["In-Reply-To"]
            del mail["References"]
        deliver(desk, signed(mail, author.partition("@")[2]), author, mail["To"].addresses[0].addr_spec)
        desk.settled()

    rotate(f"{old}m {secrets.token_hex(32)}\n")
    says(offer, ALICE, "Off and on again.")
    wait_for(lambda: len(mails_to(sink, JANE)) == 2, "a token of the old key is read")
    answer = mails_to(sink, JANE)[1]
    says(ack, JANE, "I did.", alone=True)
    assert len(subjects(desk)) == 1, "also by its address alone"
    assert _key_of(answer) == "m" and _key_of(ack) == "k", "new mail carries the new key"
    rotate(key.read_text().split("\n", 1)[1])  # the old key is gone
    says(answer, JANE, "It works.", alone=True)
    assert len(subjects(desk)) == 1
    says(ack, JANE, "One more thing.", alone=True)
    assert len(subjects(desk)) == 2, "a token of a key that is gone is no token"


def _key_of(mail: EmailMessage) -> str:
    """The key's letter: the second of the tag in the reply address (mail.md 4)."""
    return str(mail["Reply-To"].addresses[0].addr_spec).partition("+")[2][1]


# ------------------------------------------------------------------ the log

TO_DESCRIPTOR = "import os, sys; os.dup2(int(sys.argv[1]), 2); os.execv(sys.argv[2], sys.argv[2:])"


@contextlib.contextmanager
def bad_log(kind: str) -> Iterator[int]:
    """A descriptor whose writes fail, or block for ever."""
    if kind == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
        yield descriptor
        os.close(descriptor)
        return
    reading, writing = os.pipe()
    if kind == "nobody reads":
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 512)
        os.set_blocking(writing, True)
    else:
        os.close(reading)
    yield writing
    os.close(writing)
    if kind == "nobody reads":
        os.close(reading)


@pytest.mark.parametrize("kind", ["full disk", "nobody reads", "closed"])
def test_fault_76_a_log_that_cannot_be_written_stops_nothing(desk: Gateway, sink: Sink, kind: str) -> None:
    with bad_log(kind) as descriptor:
        desk.start(command=[sys.executable, "-c", TO_DESCRIPTOR, str(descriptor)], pass_fds=[descriptor])
        for number in range(20):
            deliver(desk, make_mail(f"Printer {number}"))
        wait_for(lambda: len(mails_to(sink, ALICE)) == 20, "all of them are filed and told")
        offer = mails_to(sink, ALICE)[0]
        mail = reply_to(offer, ALICE, "Alice Ahmed", "Off and on again.")
        deliver(desk, signed(mail, "corp.test"), ALICE, mail["To"].addresses[0].addr_spec)
        wait_for(lambda: any("Off and on" in text_of(mail) for mail in mails_to(sink, JANE)), "the answer arrives")
        desk.settled()
        desk.wait_notified("WATCHDOG=1")
        assert desk.stop() == 0
