"""An installation that goes from one version of the program to the next, and the mail that comes meanwhile."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gateway.demo.mail_client import read_mail, write_mail
from gateway.store.database import Database
from tests.support.gateway import PATIENCE, Gateway
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

JANE, ALICE = "jane@customer.test", "alice@corp.test"
ACTIVATE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)
"""What systemd does for a socket unit (tests/system/test_service.py)."""


class Desk(Gateway):
    """An installation whose program is this version or the next one."""

    def __init__(self, folder: Path, sink: Sink, resolver: str, storage: str) -> None:
        security = 'token_key = "file:{folder}/token.key"\nnew_ticket_limit = "10000/1h"'
        tables = {"security": security}
        super().__init__(folder, send_port=sink.port, resolver=resolver, storage=storage, tables=tables)
        self.version: dict[str, str] = {}
        self.listening: socket.socket | None = None

    def launch(self, *, command=(), pass_fds=(), **environment: str) -> None:  # type: ignore[no-untyped-def]
        if self.listening is not None:
            number = self.listening.fileno()
            command, pass_fds = [sys.executable, "-c", ACTIVATE, str(number)], [number]
            environment |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "lmtp"}
        super().launch(command=command, pass_fds=pass_fds, **environment, **self.version)

    def cli_raw(self, *words: str, data: bytes = b"", expect: int = 0, **environment: str) -> bytes:
        return super().cli_raw(*words, data=data, expect=expect, **environment, **self.version)

    @contextlib.contextmanager
    def activated(self) -> Iterator[None]:
        """From here on the socket is the service manager's, and outlives the daemon."""
        self.configure({"receive.lmtp": 'listen = ["systemd"]'})
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as self.listening:
            self.listening.bind(str(self.socket))
            self.listening.listen(128)
            yield

    def deliver(self, subject: str) -> None:
        with smtplib.LMTP(str(self.socket), timeout=60) as client:
            client.sendmail(JANE, [INBOX], make_mail(subject))

    def work(self, *subjects: str) -> None:
        """A daemon's life: it begins, these mails come, all is done, it ends."""
        self.start()
        for subject in subjects:
            self.deliver(subject)
        self.settled()
        assert self.stop() == 0

    def subjects(self) -> list[str]:
        return sorted(row["subject"] for row in self.rows("tickets", "--all"))

    def migrating(self, *words: str) -> subprocess.Popen[str]:
        """`db migrate` of the program as it is, in the background."""
        return subprocess.Popen(
            [*self.command("db", "migrate", *words), "-c", str(self.configuration)],
            env={"PATH": "/usr/bin:/bin", **self.version},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def backups(self) -> list[Path]:
        return sorted((self.folder / "backups").glob("before-*"))

    def revision(self) -> str:
        store = Database(self.storage)
        try:
            return store.find_revision()
        finally:
            store.close()


def make_mail(subject: str) -> bytes:
    return signed(write_mail(JANE, "Jane Doe", INBOX, subject, "It does not print.\n"), "customer.test")


def offers(sink: Sink) -> Counter[str]:
    """What Alice was told of: subject -> how often."""
    told = (read_mail(one.content) for one in sink.taken if f"<{ALICE}>" in one.rcpt_to[0])
    return Counter(str(mail["Subject"]).partition("] ")[2] or str(mail["Subject"]) for mail in told)


class Sender:
    """A mail server in front: one mail after another, each repeated until it is answered 250."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk, self._name = desk, name
        self.accepted: list[str] = []
        self.refused: list[str] = []
        """What a mail server would have to wait minutes after: no connection, or a 5xx."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            subject = f"Mail {len(self.accepted)} of {self._name}"
            raw = make_mail(subject)
            while not self._deliver(raw):
                self._over.wait(0.2)
            self.accepted.append(subject)
            self._over.wait(0.05)

    def _deliver(self, raw: bytes) -> bool:
        try:
            with smtplib.LMTP(str(self._desk.socket), timeout=60) as client:
                client.sendmail(JANE, [INBOX], raw)
        except (ConnectionRefusedError, FileNotFoundError, TimeoutError) as error:
            self.refused.append(repr(error))
        except smtplib.SMTPRecipientsRefused as error:
            self._judge(next(iter(error.recipients.values()))[0])
        except smtplib.SMTPResponseException as error:
            self._judge(error.smtp_code)
        except (smtplib.SMTPServerDisconnected, ConnectionError, BrokenPipeError):
            pass  # the daemon ended meanwhile: a mail server repeats at once
        else:
            return True
        return False

    def _judge(self, code: int) -> None:
        if code >= 500:
            self.refused.append(str(code))

    def sent(self, count: int) -> bool:
        return len(self.accepted) >= count

    def end(self) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
