"""A real Postfix as a private instance: own folders, loopback only, one master process that dies with the tests.

Mail for :data:`MAILDIR_DOMAINS` is delivered to a maildir, mail for what :meth:`PostfixServer.route` names goes to an
LMTP socket through the ``ticketgate`` service of our documentation; everything else is refused, nothing leaves the
machine. Started without postfix(1), whose checks of the installation take two seconds each time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.real import need, refuse

MAILDIR_DOMAINS = ("customer.test", "corp.test", "agents.test", "example.com", "example.net", "example.org")
PATIENCE = 30

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
pickup    unix  n - n 1 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
ticketgate unix - - n - - lmtp flags=ORX
"""

_FOLDERS = {
    "etc": ("root", "root", 0o755),
    "data": ("postfix", "postfix", 0o700),
    "mail": ("nobody", "nogroup", 0o755),
    "queue": ("root", "root", 0o755),
    "queue/trace": ("postfix", "root", 0o700),
    "queue/pid": ("root", "root", 0o755),
    "queue/maildrop": ("postfix", "postdrop", 0o730),
    "queue/public": ("postfix", "postdrop", 0o2710),
} | {
    f"queue/{name}": ("postfix", "root", 0o700)
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved")
}
"""As in Postfix's own postfix-files: owner, group, mode."""

_MAIN = {
    "compatibility_level": "3.6",
    "myhostname": "mx.desk.test",
    "mydestination": "",
    "alias_maps": "",
    "local_recipient_maps": "",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "smtpd_peername_lookup": "no",
    "disable_dns_lookups": "yes",
    "smtp_host_lookup": "native",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "default_transport": "error:5.1.2 no such domain in this test",
    "relay_transport": "error:5.1.1 no route in this test",
    "relay_domains": "desk.test, reply.desk.test",
    "virtual_minimum_uid": "1",
    "virtual_uid_maps": f"static:{pwd.getpwnam('nobody').pw_uid}",
    "virtual_gid_maps": f"static:{pwd.getpwnam('nobody').pw_gid}",
    "virtual_mailbox_maps": "static:all/",
    "virtual_mailbox_domains": ", ".join(MAILDIR_DOMAINS),
    "recipient_delimiter": "+",
    "smtputf8_enable": "yes",
    "message_size_limit": str(25 * 1024 * 1024),
    "virtual_mailbox_limit": "0",
    "ticketgate_destination_recipient_limit": "1",
    "lmtp_send_xforward_command": "yes",
    "lmtp_line_length_limit": "0",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "queue_run_delay": "1s",
    "transport_retry_time": "1s",
    "service_throttle_time": "1s",
    "address_verify_poll_delay": "1s",
}


class PostfixServer:
    """One instance in a folder of its own, which user ``postfix`` must be able to enter.

    ``settings`` are main.cf parameters on top of the defaults here.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.config = folder / "etc"
        self.port = 0
        self._settings = dict(settings or {})
        self._routes: dict[str, str] = {}
        self._programs = need("postconf", "postqueue")
        self._process: subprocess.Popen[bytes] | None = None

    # -------------------------------------------------------------- life

    def start(self) -> PostfixServer:
        """Write the configuration on a free port and start; returns when the port answers."""
        self.port = free_port()
        for name, (owner, group, mode) in _FOLDERS.items():
            (self.folder / name).mkdir(exist_ok=True)
            shutil.chown(self.folder / name, owner, group)
            (self.folder / name).chmod(mode)
        self.folder.chmod(0o755)
        self._write("master.cf", _MASTER.format(port=self.port))
        own = {
            "queue_directory": f"{self.folder}/queue",
            "data_directory": f"{self.folder}/data",
            "maillog_file": f"{self.folder}/mail.log",
            "maillog_file_prefixes": str(self.folder),
            "virtual_mailbox_base": f"{self.folder}/mail",
            "transport_maps": f"texthash:{self.config}/transport",
        }
        lines = [f"{name} = {value}\n" for name, value in (_MAIN | own | self._settings).items()]
        self._write("main.cf", "".join(lines))
        self._write_routes()
        sbin = subprocess.run(
            [self._programs["postconf"], "-dh", "daemon_directory"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        self._process = subprocess.Popen(
            [f"{sbin}/master", "-c", str(self.config), "-d"],  # -d: stay our child
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        until(self._answers, what=lambda: f"Postfix did not start:\n{self.log()}")
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as one:
                return one.recv(3) == b"220"
        except OSError:
            return False

    def stop(self) -> None:
        """End master and all its children; what is queued stays in the folder."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        # master's children are in its process group, which is ours: what is left of it goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def __enter__(self) -> PostfixServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -------------------------------------------------------------- routes

    def route(self, recipient: str, to: Path | str) -> None:
        """Send an address or a domain to an LMTP socket: a path, or "inet:127.0.0.1:port"."""
        place = to if isinstance(to, str) and to.startswith("inet:") else f"unix:{to}"
        self._routes[recipient] = f"ticketgate:{place}"
        self._write_routes()
        if self._process is not None:
            before = self.log().count("reload -- version")
            self._process.send_signal(signal.SIGHUP)
            until(lambda: self.log().count("reload -- version") > before, what=self.log)

    def _write_routes(self) -> None:
        lines = [f"{recipient} {place}\n" for recipient, place in self._routes.items()]
        self._write("transport", "".join(lines))

    def _write(self, name: str, text: str) -> None:
        # Postfix does not trust a file that changed within the last two seconds, and waits.
        (self.config / name).write_text(text)
        os.utime(self.config / name, (time.time() - 10, time.time() - 10))

    # -------------------------------------------------------------- mail

    def send(self, mail_from: str, rcpts: Sequence[str], content: bytes) -> str:
        """Hand in a mail, bytes as they are; the queue id. Raises RefusedError when Postfix says no."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as one:
            stream = one.makefile("rb")

            def say(line: str, expected: str) -> str:
                if line:
                    one.sendall(line.encode() + b"\r\n")
                while (answer := stream.readline())[3:4] == b"-":
                    pass
                if not answer.startswith(expected.encode()):
                    raise RefusedError(f"{line}: {answer.decode().strip()}")
                return answer.decode().strip()

            say("", "220")
            say("EHLO client.test", "250")
            utf8 = "" if (mail_from + "".join(rcpts)).isascii() else " SMTPUTF8"
            say(f"MAIL FROM:<{mail_from}> BODY=8BITMIME{utf8} SIZE={len(content)}", "250")
            for recipient in rcpts:
                say(f"RCPT TO:<{recipient}>", "250")
            say("DATA", "354")
            stuffed = content.replace(b"\r\n.", b"\r\n..")
            one.sendall((b"." if content.startswith(b".") else b"") + stuffed)
            queued = say(".", "250")
            say("QUIT", "221")
            return queued.rpartition(" ")[2]

    def delivered(self, address: str) -> list[bytes]:
        """What arrived for an envelope recipient, in order of arrival, with the three fields virtual(8) puts on top."""
        folder = self.folder / "mail" / "all" / "new"
        files = sorted(folder.iterdir(), key=lambda f: f.stat().st_mtime_ns) if folder.exists() else []
        mails = [file.read_bytes() for file in files]
        mark = b"X-Original-To: " + address.encode() + b"\n"
        return [mail for mail in mails if mark in mail.partition(b"\n\n")[0] + b"\n"]

    def queue(self) -> list[dict[str, Any]]:
        """What is queued, as ``postqueue -j`` says it: queue_name, queue_id, recipients with delay_reason …"""
        return [json.loads(line) for line in self._run("postqueue", "-j").splitlines()]

    def flush(self) -> None:
        """Try everything in the queue now."""
        self._run("postqueue", "-f")

    def wait_empty(self, patience: float = PATIENCE) -> None:
        """Wait until nothing is queued."""
        until(lambda: not self.queue(), patience, what=lambda: f"still queued: {self.queue()}\n{self.log()}")

    def wait_log(self, text: str, patience: float = PATIENCE) -> str:
        """Wait until a line of the log holds the text; the first such line."""
        until(lambda: text in self.log(), patience, what=lambda: f"{text!r} is not in the log:\n{self.log()}")
        return next(line for line in self.log().splitlines() if text in line)

    def log(self) -> str:
        """The whole mail log."""
        file = self.folder / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._programs[program], "-c", str(self.config), *arguments], capture_output=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")


class RefusedError(Exception):
    """Postfix refused a mail; the text is its reply."""


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: a test run that is killed leaves no master behind.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], patience: float = PATIENCE, what: Callable[[], str] = lambda: "") -> None:
    """Poll with a deadline; fails with what ``what`` says."""
    ends = time.monotonic() + patience
    while not holds():
        if time.monotonic() > ends:
            raise AssertionError(what())
        time.sleep(0.05)


@pytest.fixture
def postfix_folder() -> Iterator[Path]:
    """A folder user postfix can enter (pytest's are 0700), short enough for socket paths."""
    if os.geteuid() != 0:
        refuse("a private Postfix needs root")
    folder = Path(tempfile.mkdtemp(prefix="tg-postfix-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postfix(postfix_folder: Path) -> Iterator[PostfixServer]:
    """A running Postfix with maildirs; :meth:`PostfixServer.route` leads to an LMTP socket."""
    with PostfixServer(postfix_folder) as server:
        yield server
