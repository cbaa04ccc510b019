"""Rows fault-31 to fault-33: a mail whose readers die, hang or lie, in a batch with others, on a real daemon."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, text_of, write_mail
from gateway.settings import Cage
from tests.support.descriptors import take_descriptor
from tests.support.gateway import Gateway, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NOBODY, ALICE = "joe@nowhere.test", "alice@corp.test"
OTHERS = ("Printer", "Scanner", "Plotter", "Router", "Mouse", "Keyboard")
_GROWN = 8 << 20
"""Octets by which a reader grows when it gets the large mail, and never with the others."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str) -> Iterator[Gateway]:
    """Started, with one reader and everything else as delivered."""
    gateway = Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver, tables={"cage": "children = 1"})
    gateway.start()
    yield gateway
    print(gateway.log())
    gateway.kill()


def deliver(desk: Gateway, author: str, subject: str, text: str = "It does not print.\n") -> bytes:
    mail = write_mail(author, "Somebody", INBOX, subject, text)
    raw = mail.as_bytes(policy=SMTP) if author == NOBODY else signed(mail, "customer.test")
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail(author, [INBOX], raw)
    return raw


def readers(desk: Gateway) -> list[int]:
    """The processes that read for the daemon and are ready: nothing can be opened any more."""
    assert desk.process is not None
    found = []
    for file in Path(f"/proc/{desk.process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for word in file.read_text().split():
                with contextlib.suppress(OSError):
                    if "Max open files            0" in Path(f"/proc/{word}/limits").read_text():
                        found.append(int(word))
    return found


@contextlib.contextmanager
def strikes(desk: Gateway, strike: Callable[[int], None]) -> Iterator[list[int]]:
    """Whatever reads the large mail meets this, as by a killer that looks for memory; who was met."""
    over, met, small = threading.Event(), list[int](), dict[int, int]()

    def look() -> None:
        while not over.wait(0.001):
            for pid in readers(desk):
                with contextlib.suppress(OSError):
                    size = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
                    small[pid] = min(size, small.get(pid, size))
                    if pid not in met and size > small[pid] + _GROWN:
                        strike(pid)
                        met.append(pid)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield met
    finally:
        over.set()
        thread.join()


def _lie(pid: int, answer: Callable[[], Iterator[bytes]]) -> None:
    """Stop a reader and write into its end of the pipe, until the other end is closed."""
    os.kill(pid, signal.SIGSTOP)
    handle = os.pidfd_open(pid)
    try:
        theirs = take_descriptor(handle, 0)
    finally:
        os.close(handle)
    with socket.socket(fileno=theirs) as pipe, contextlib.suppress(OSError):
        for piece in answer():
            pipe.sendall(piece)


def random_octets() -> Iterator[bytes]:
    yield (4096).to_bytes(4, "big") + os.urandom(4096)


def endless() -> Iterator[bytes]:
    yield b"\xff\xff\xff\xff"
    while True:
        yield b"x" * 65536


STRIKES: dict[str, tuple[Callable[[int], None], int]] = {
    "fault-31, killed for memory": (lambda pid: os.kill(pid, signal.SIGKILL), 2),
    "fault-32, hangs": (lambda pid: os.kill(pid, signal.SIGSTOP), 2),
    "fault-33, crashes": (lambda pid: os.kill(pid, signal.SIGSEGV), 2),
    "fault-33, random bytes": (lambda pid: _lie(pid, random_octets), 1),
    "fault-33, an answer without end": (lambda pid: _lie(pid, endless), 1),
}
"""What a reader of the mail meets, and how many of them the mail gets."""


@pytest.mark.parametrize("name", STRIKES)
def test_fault_31_fault_32_fault_33_a_mail_whose_readers_fail_costs_the_others_of_its_batch_nothing(
    desk: Gateway, sink: Sink, name: str
) -> None:
    strike, lives = STRIKES[name]
    assert Cage().wall_seconds == 15  # the row's, and that of this daemon
    (reader,) = wait_for(lambda: readers(desk), "the reader is ready")
    os.kill(reader, signal.SIGSTOP)  # the first mail waits in it, so that the others are one batch behind it
    deliver(desk, "first@customer.test", "First")
    with strikes(desk, strike) as met:
        doomed = deliver(desk, NOBODY, "Doomed", ("a long line of a long mail, " * 3 + "and so on\n") * 60_000)
        for number, subject in enumerate(OTHERS):
            deliver(desk, f"jane{number}@customer.test", subject)
        began = time.monotonic()
        os.kill(reader, signal.SIGCONT)
        wait_for(lambda: {"First", *OTHERS} <= subjects(desk), "the others are filed", patience=60)
        assert time.monotonic() - began < 60
        wait_for(lambda: "unreadable TG_JOURNAL=2" in desk.log(), "the mail is given up")
        assert len(met) == lives, "it is tried once more after a death, and not after a lie"
    desk.settled()
    (lost,) = subjects(desk) - {"First", *OTHERS}
    assert desk.log().count("unreadable TG_JOURNAL") == 1
    assert ("a reader process answered nonsense" in desk.log()) == (lives == 1)
    (row,) = [row for row in desk.rows("tickets", "--all") if row["subject"] == lost]
    assert "could not be read" in json.dumps(desk.ticket(row["ticket"]))
    (told,) = [mail for mail in mails_to(sink, ALICE) if "could not be read" in text_of(mail)]
    (original,) = [part for part in told.walk() if part.get_filename() == "original.eml"]
    assert original.as_bytes() and lines(original) == doomed.splitlines()
    assert desk.cli_raw("show", str(row["ticket"]), "--raw", "1") == doomed
    assert desk.process is not None and desk.process.poll() is None, "the service itself keeps running"
    deliver(desk, "last@customer.test", "Last")
    wait_for(lambda: "Last" in subjects(desk), "and reads on")


def subjects(desk: Gateway) -> set[str]:
    return {row["subject"] for row in desk.rows("tickets", "--all")}


def mails_to(sink: Sink, address: str) -> list[EmailMessage]:
    return [read_mail(one.content) for one in sink.taken if f"<{address}>" in one.rcpt_to[0]]


def lines(part: EmailMessage) -> list[bytes]:
    content = part.get_content()
    return (content if isinstance(content, bytes) else content.as_bytes(policy=SMTP)).splitlines()
