"""A private Dovecot: IMAP, IMAPS and LMTP on loopback, its own configuration, mail and log in a directory of its own.

It must be started by root, as Dovecot's master is; mail belongs to ``nobody``. Any number may run beside each other.
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.real import need, refuse

PASSWORD = "secret"
USERS = ("support@desk.test", "jane@customer.test", "alice@corp.test", "bob@corp.test")

_CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = {internal}
default_login_user = {login}
ssl = yes
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 200
maildir_very_dirty_syncs = no
first_valid_uid = 1
mail_plugins =
login_trusted_networks =
postmaster_address = postmaster@desk.test
hostname = dovecot.test
lmtp_save_to_detail_mailbox = no
recipient_delimiter = +
auth_username_chars =
imap_capability = {capability}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class DovecotServer:
    """One private server. ``start`` returns when it answers; mail survives ``stop`` and ``kill``."""

    def __init__(self, users: Iterable[str] = USERS, capability: str = "") -> None:
        """``capability``: what to announce instead of everything, e.g. to hide MOVE."""
        self._programs = need("dovecot", "doveadm")
        if os.geteuid() != 0:
            refuse("a private Dovecot needs root")
        self.folder = Path(tempfile.mkdtemp(prefix="ticketgate-dovecot-"))
        self.folder.chmod(0o755)
        self.imap_port, self.imaps_port, self.lmtp_port = _free_ports(3)
        self.lmtp_address = ("127.0.0.1", self.lmtp_port)
        self.ca_file = self.folder / "ca.pem"
        self._capability = capability
        self._process: subprocess.Popen[bytes] | None = None
        self._configure()
        for user in users:
            self.add_user(user)

    def _configure(self) -> None:
        ca = trustme.CA()
        certificate = ca.issue_cert("localhost", "127.0.0.1")
        ca.cert_pem.write_to_path(str(self.ca_file))
        certificate.private_key_pem.write_to_path(str(self.folder / "server.key"))
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        (self.folder / "server.pem").write_bytes(chain)
        owner = pwd.getpwnam("nobody")
        for name in ("mail", "home"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, owner.pw_uid, owner.pw_gid)
        (self.folder / "users").touch(mode=0o644)
        text = _CONFIGURATION.format(
            folder=self.folder,
            internal=_first_user("dovecot", "nobody"),
            login=_first_user("dovenull", "nobody"),
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            imap_port=self.imap_port,
            imaps_port=self.imaps_port,
            lmtp_port=self.lmtp_port,
            capability=self._capability,
        )
        (self.folder / "dovecot.conf").write_text(text)

    # -- the process

    def start(self) -> None:
        command = [self._programs["dovecot"], "-F", "-c", str(self.folder / "dovecot.conf")]
        with (self.folder / "start.log").open("ab") as log:
            self._process = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Dovecot did not start:\n{self.log()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.imap_port), timeout=2) as probe:
                return probe.recv(4) == b"* OK"
        except OSError:
            return False

    def stop(self) -> None:
        """An orderly end; connections are closed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 for the master and everything it started."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        group = self._process.pid  # start_new_session made it the leader of a group of its own
        for sign in (how, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self._process = None

    def remove(self) -> None:
        """Stop and delete everything."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What Dovecot had to say, for a failing test."""
        logs = (self.folder / "start.log", self.folder / "dovecot.log")
        return "".join(path.read_text(errors="replace") for path in logs if path.exists())

    def mark_folder(self, name: str, use: str) -> None:
        """Announce a folder of every account with a special use such as ``\\Sent``, made when missing."""
        with (self.folder / "dovecot.conf").open("a") as configuration:
            configuration.write(
                f'namespace inbox {{\n  mailbox "{name}" {{\n    special_use = {use}\n    auto = create\n  }}\n}}\n'
            )
        self.stop()
        self.start()

    # -- users and mail

    def add_user(self, address: str, password: str = PASSWORD) -> None:
        with (self.folder / "users").open("a") as users:
            users.write(f"{address}:{password}::::::\n")

    def doveadm(self, *arguments: str, data: bytes = b"") -> bytes:
        """Run doveadm against this server; its output. CalledProcessError when it fails."""
        command = [self._programs["doveadm"], "-c", str(self.folder / "dovecot.conf"), *arguments]
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout

    @contextlib.contextmanager
    def connection(self, user: str, password: str = PASSWORD) -> Iterator[imaplib.IMAP4]:
        """A logged-in IMAP connection of the standard library, for setting up and looking at mailboxes."""
        client = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=60)
        try:
            client.login(_quoted(user), password)
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def append(self, user: str, folder: str, *mails: bytes) -> None:
        """Put mails (CRLF line ends) into a folder, given as on the wire (modified UTF-7); made when missing."""
        with self.connection(user) as client:
            if folder != "INBOX":
                client.create(_quoted(folder))  # NO when it is there already
            for mail in mails:
                _expect_ok(client.append(_quoted(folder), "", "", mail))

    def messages(self, user: str, folder: str = "INBOX") -> list[bytes]:
        """All mails of a folder as IMAP shows them, oldest first; [] when there is no such folder."""
        with self.connection(user) as client:
            if client.select(_quoted(folder), readonly=True)[0] != "OK":
                return []
            found = (
                client.uid("FETCH", "1:*", "(BODY.PEEK[])")[1] if client.untagged_responses["EXISTS"] != [b"0"] else []
            )
            return [part[1] for part in found if isinstance(part, tuple)]

    def flags(self, user: str, folder: str = "INBOX") -> list[set[str]]:
        """The flags of all mails of a folder, oldest first."""
        with self.connection(user) as client:
            client.select(_quoted(folder), readonly=True)
            lines = client.uid("FETCH", "1:*", "(FLAGS)")[1]
            return [{flag.decode() for flag in imaplib.ParseFlags(line)} for line in lines if isinstance(line, bytes)]


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _expect_ok(answer: tuple[str, object]) -> None:
    if answer[0] != "OK":
        raise RuntimeError(f"IMAP says {answer}")


def _first_user(*names: str) -> str:
    """The first of these accounts that exists on this machine."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in names if name in known), "root")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def dovecot() -> Iterator[DovecotServer]:
    """A running private Dovecot with the users of USERS and empty mailboxes."""
    server = DovecotServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
