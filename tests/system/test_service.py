"""The daemon as a service: what systemd, mail servers and operators rely on."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.mail_client import write_mail
from tests.support.databases import start_postgresql
from tests.support.gateway import Gateway, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ACTIVATE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)
"""What systemd does for a socket unit: the socket as descriptor 3, and the number of the process that may use it."""


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str) -> Iterator[Gateway]:
    """A gateway, not started."""
    gateway = Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver)
    yield gateway
    print(gateway.log())
    gateway.kill()


def make_mail(subject: str, author: str = "jane@customer.test", text: str = "It does not print.\n") -> bytes:
    return signed(write_mail(author, "Jane Doe", INBOX, subject, text), "customer.test")


def deliver(desk: Gateway, raw: bytes) -> None:
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail("jane@customer.test", [INBOX], raw)


def subjects(desk: Gateway) -> list[str]:
    return [row["subject"] for row in desk.rows("tickets", "--all")]


# ------------------------------------------------------------------ systemd


def test_mail_waits_in_an_activated_socket_while_the_service_restarts(desk: Gateway) -> None:
    desk.configure({"receive.lmtp": 'listen = ["systemd"]'})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(desk.socket))
        listening.listen(16)
        activation = {
            "command": [sys.executable, "-c", ACTIVATE, str(listening.fileno())],
            "pass_fds": [listening.fileno()],
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "lmtp",
        }
        desk.start(**activation)  # type: ignore[arg-type]
        deliver(desk, make_mail("Before the restart"))
        assert desk.stop() == 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
            early.settimeout(60)
            early.connect(str(desk.socket))  # accepted by the kernel: nobody is refused
            desk.start(**activation)  # type: ignore[arg-type]
            assert early.recv(3) == b"220"
        deliver(desk, make_mail("After the restart"))
        desk.settled()
    assert subjects(desk) == ["Before the restart", "After the restart"]


def test_the_service_manager_is_told_what_happens(desk: Gateway) -> None:
    desk.start()
    assert "STATUS=1 inboxes, 2 agents" in desk.notified()
    desk.signal(signal.SIGHUP)
    desk.wait_notified("RELOADING=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in desk.notified())
    desk.wait_notified("READY=1", times=2)
    desk.wait_notified("WATCHDOG=1")
    desk.signal(signal.SIGTERM)
    desk.wait_notified("STOPPING=1")
    assert desk.wait_ended() == 0


def test_without_a_socket_from_systemd_it_does_not_start(desk: Gateway) -> None:
    desk.configure({"receive.lmtp": 'listen = ["systemd"]'})
    desk.launch()
    assert desk.wait_ended() not in (0, 1)
    assert "ticketgate: no socket named lmtp was handed over by systemd (LISTEN_FDS)" in desk.log()
    assert "Traceback" not in desk.log()


# ------------------------------------------------------------------ reload, stop, a second start


def test_a_bad_configuration_is_refused_at_reload_and_mail_goes_on(desk: Gateway) -> None:
    desk.start()
    good = desk.configuration.read_text()
    desk.configuration.write_text(good + "\n[tickets]\nfirst_numbr = 7\n")
    desk.signal(signal.SIGHUP)
    desk.wait_notified("READY=1", times=2)
    wait_for(lambda: "reload refused" in desk.log(), "the refusal is in the log")
    assert "first_numbr" in desk.log()
    deliver(desk, make_mail("Still here"))
    desk.settled()
    desk.configuration.write_text(good)
    assert subjects(desk) == ["Still here"]


def test_a_new_agent_is_known_after_a_reload(desk: Gateway, sink: Sink) -> None:
    desk.start()
    desk.write_agents({"alice": ("Alice Ahmed", "alice@corp.test"), "carol": ("Carol Ray", "carol@corp.test")})
    desk.configure({"inbox.support": f'name = "Desk"\naddress = "{INBOX}"\nagents = ["alice", "carol"]'})
    desk.signal(signal.SIGHUP)
    desk.wait_notified("READY=1", times=2)
    deliver(desk, make_mail("Who is there?"))
    desk.settled()
    assert recipients(sink) == ["alice@corp.test", "carol@corp.test", "jane@customer.test"]


def recipients(sink: Sink) -> list[str]:
    return sorted(taken.rcpt_to[0].partition("<")[2].partition(">")[0] for taken in sink.taken)


def test_sigterm_lets_the_mail_in_hand_arrive(desk: Gateway) -> None:
    desk.start()
    raw = make_mail("In the middle")
    client = smtplib.LMTP(str(desk.socket), timeout=60)
    client.ehlo("mta.test")
    client.mail("jane@customer.test")
    client.rcpt(INBOX)
    assert client.docmd("DATA")[0] == 354
    client.send(raw[:300])
    desk.signal(signal.SIGTERM)
    desk.wait_notified("STOPPING=1")
    client.send(raw[300:] + b".\r\n")
    assert client.getreply()[0] == 250
    client.close()  # no QUIT: the listener says 421 right after, and which comes first is chance
    assert desk.wait_ended() == 0
    desk.start()
    desk.settled()
    assert subjects(desk) == ["In the middle"]


def test_sigterm_sends_idle_clients_away_and_does_not_wait_for_them(desk: Gateway) -> None:
    desk.start()
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.ehlo("mta.test")
        before = time.monotonic()
        assert desk.stop() == 0
        assert client.getreply()[0] == 421
        assert time.monotonic() - before < 30


def test_a_second_daemon_on_the_same_database_ends_with_69(desk: Gateway) -> None:
    desk.start()
    assert "another ticketgate is running" in desk.cli("serve", expect=69)
    deliver(desk, make_mail("The first one works on"))
    desk.settled()
    assert subjects(desk) == ["The first one works on"]


def test_a_wrong_configuration_ends_with_78_and_says_the_line(desk: Gateway) -> None:
    desk.configure({"tickets": "first_numbr = 7"})
    said = desk.cli("serve", expect=78)
    lines = desk.configuration.read_text().splitlines()
    assert f"ticketgate.toml:{lines.index('first_numbr = 7') + 1}: tickets.first_numbr" in said
    assert 'did you mean "first_number"' in said


# ------------------------------------------------------------------ operators' commands beside the daemon


def test_inject_hands_a_mail_to_the_daemon_or_asks_for_patience(desk: Gateway) -> None:
    raw = make_mail("By pipe")
    assert "4.3.0" in desk.cli("inject", data=raw, expect=75)  # nobody listens: the mail server keeps it
    desk.start()
    assert desk.cli("inject", data=b"From jane@customer.test Mon Nov 23 10:00:00 2026\n" + raw) == ""
    desk.cli("inject", "--inbox", "sales", data=raw, expect=67)
    desk.settled()
    assert subjects(desk) == ["By pipe"]
    assert desk.cli_raw("show", "1", "--raw", "1").endswith(raw)


def test_operators_see_what_happened_and_why(desk: Gateway, tmp_path: Path) -> None:
    desk.start()
    raw = make_mail("Invoice 2231 is wrong", text="We only have 10 licences.\n")
    deliver(desk, raw)
    desk.settled()

    shown = desk.cli("show", "1")
    assert "Invoice 2231 is wrong" in shown and "We only have 10 licences." in shown
    assert desk.cli_raw("show", "1", "--raw", "1") == raw
    story = desk.cli("explain", "1.1")
    assert "jane@customer.test" in story and "dkim=pass (customer.test/s1)" in story
    assert "new: new, ticket 1" in story
    assert desk.cli("explain", "<nobody@knows.test>", expect=67).startswith("ticketgate: no stored mail")
    assert "no ticket 7" in desk.cli("show", "7", expect=67)

    another = tmp_path / "another.eml"
    another.write_bytes(make_mail("Something else", author="joe@customer.test"))
    dry = desk.cli("explain", str(another))
    assert "would send" in dry and "nothing was changed" in dry
    assert len(subjects(desk)) == 1

    (found,) = desk.rows("examine", str(another))
    assert (found["subject"], found["from"]["address"]) == ("Something else", "joe@customer.test")
    assert [row["ticket"] for row in desk.rows("tickets", "--owner", "none")] == [1]
    assert desk.rows("tickets", "--owner", "alice") == desk.rows("tickets", "--owner", "nobody-has-it") == []
    assert desk.cli("check-config", "--quiet") == ""
    assert desk.cli("db", "check") == "database ok\n"


def test_held_mail_is_listed_released_and_discarded(desk: Gateway) -> None:
    desk.configure({"security": 'token_key = "file:{folder}/token.key"\nsender_block = ["*@customer.test"]'})
    desk.start()
    deliver(desk, make_mail("First"))
    deliver(desk, make_mail("Second"))
    desk.settled()
    rows = desk.rows("held")
    assert [row["reason"] for row in rows] == ["blocked", "blocked"]
    assert subjects(desk) == []
    desk.cli("held", "discard", str(rows[0]["row"]))
    desk.cli("held", "release", str(rows[1]["row"]))
    desk.settled()
    assert desk.rows("held") == []
    assert subjects(desk) == ["Second"]
    desk.cli("held", "release", str(rows[1]["row"]), expect=67)


def test_the_demo_proves_itself(tmp_path: Path, desk: Gateway) -> None:
    done = subprocess.run(
        desk.command("demo", "--selftest", "--dir", str(tmp_path / "demo")),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout and "FAIL" not in done.stdout


@pytest.mark.postgresql
def test_a_database_that_hangs_does_not_keep_the_daemon_from_ending(tmp_path: Path, sink: Sink, resolver: str) -> None:
    with (
        start_postgresql() as server,
        Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver, storage=server.create_database()) as desk,
    ):
        head = int((server.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{head}/task/{head}/children").read_text().split()
        processes = [head, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            desk.signal(signal.SIGTERM)
            assert desk.process is not None
            assert desk.process.wait(90) == 75, "systemd's own patience is 90 seconds"
            assert "the database does not answer" in desk.log()
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)
