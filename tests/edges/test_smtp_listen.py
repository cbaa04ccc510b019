"""Sockets: a path, an address, or what systemd hands over; on asyncio's loop and on uvloop."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from gateway.ingest.intake import lmtp_rules, smtp_rules
from gateway.ingest.listen import open_sockets
from gateway.settings import Lmtp, Size, Smtp
from tests.support.smtp_client import MAIL, edge, session

ROOT = Path(__file__).parents[2]


def test_a_path_is_open_to_its_group_only(tmp_path):
    (one,) = open_sockets([f"unix:{tmp_path}/lmtp.sock"])
    with one:
        assert stat.S_IMODE((tmp_path / "lmtp.sock").stat().st_mode) == 0o660


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(tmp_path):
    place = f"unix:{tmp_path}/lmtp.sock"
    open_sockets([place])[0].close()
    (one,) = open_sockets([place])
    with one:
        one.listen()
        with pytest.raises(OSError, match="somebody else listens"):
            open_sockets([place])


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "lmtp.sock").write_text("precious")
    with pytest.raises(OSError, match=r"cannot listen on unix:/.*lmtp\.sock"):
        open_sockets([f"unix:{tmp_path}/lmtp.sock"])
    assert (tmp_path / "lmtp.sock").read_text() == "precious"


@pytest.mark.parametrize(
    "place", ["unix:relative", "inet:", "inet:localhost", "tcp:25", "systemd:", "inet:127.0.0.1:x"]
)
def test_a_place_nobody_understands_is_an_error_for_the_operator(place):
    with pytest.raises(OSError, match="cannot listen on"):
        open_sockets([place])


def test_when_one_place_fails_none_stays_open(tmp_path):
    with pytest.raises(OSError, match="cannot listen"):
        open_sockets([f"unix:{tmp_path}/one.sock", "nonsense"])
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="refused"):
        probe.connect(str(tmp_path / "one.sock"))


def test_addresses_of_both_families_are_bound():
    for place, family in (("inet:127.0.0.1:0", socket.AF_INET), ("inet:[::1]:0", socket.AF_INET6)):
        (one,) = open_sockets([place])
        with one:
            assert one.family == family


def test_without_systemd_its_sockets_are_missed(monkeypatch):
    monkeypatch.delenv("LISTEN_PID", raising=False)
    with pytest.raises(OSError, match="systemd"):
        open_sockets(["systemd"])


def test_the_sockets_systemd_hands_over_are_found_by_name(tmp_path):
    # systemd-socket-activate would do; the protocol is three variables and descriptors from 3 on.
    program = """
import os, sys
sys.path.insert(0, sys.argv[1])
os.environ["LISTEN_PID"] = str(os.getpid())
from gateway.ingest.listen import open_sockets
for _ in range(2):  # a reload reads them again
    found = open_sockets(["systemd"], "lmtp")
    print([one.getsockname() for one in found])
    for one in found:
        one.close()
"""
    paths = [str(tmp_path / name) for name in ("other.sock", "lmtp.sock")]
    listeners = []
    for path in paths:
        one = socket.socket(socket.AF_UNIX)
        one.bind(path)
        one.listen()
        listeners.append(one)

    def place_descriptors() -> None:
        copies = [os.dup(one.fileno()) for one in listeners]
        copies = [os.dup2(copy, 40 + n) for n, copy in enumerate(copies)]
        for n, copy in enumerate(copies):
            os.dup2(copy, 3 + n, inheritable=True)

    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)],
        env=os.environ | {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "smtp:lmtp"},
        preexec_fn=place_descriptors,
        close_fds=False,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for one in listeners:
        one.close()
    assert done.stdout.splitlines() == [str([paths[1]])] * 2


def test_rules_come_from_the_settings():
    lmtp = lmtp_rules(Lmtp(max_size=Size(1000), max_sessions=3), "mx.desk.test")
    assert (lmtp.protocol, lmtp.max_size, lmtp.max_sessions, lmtp.trust_xforward) == ("lmtp", 1000, 3, True)
    assert lmtp.max_sessions_per_client == 0
    smtp = smtp_rules(Smtp(), "mx.desk.test")
    assert (smtp.protocol, smtp.max_sessions_per_client, smtp.trust_xforward) == ("smtp", 5, False)


@pytest.mark.parametrize("unix", [True, False])
def test_the_listener_works_on_uvloop(tmp_path, unix):
    async def play() -> None:
        async with edge(tmp_path, unix=unix, max_sessions=2) as running:
            mail = MAIL + b"x" * 500_000 + b"\r\n"
            for _ in range(3):
                async with session(running) as client:
                    assert (await client.deliver(mail)).code == 250
                    assert (await client.say("NOOP\n")).code == 500
                    await client.gone()
            async with session(running) as client:
                await client.open_data()
                await client.send(MAIL + b".\r\n")
                client.writer.write_eof()
                assert (await client.reply()).code == 250
                await client.gone()
            async with session(running) as client:
                await running.listener.stop(grace=1)
                assert (await client.reply()).code == 421
            assert [raw for _, raw in running.mails] == [mail] * 3 + [MAIL]

    uvloop.run(play())
