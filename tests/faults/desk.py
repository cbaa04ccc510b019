"""One installation that is killed and started again: its daemon, its neighbours, and everything they saw.

Neighbours are the real thing or of our own making, and outlive the daemon: a mail server in front that repeats what
got no 250, a relay behind that keeps every mail, a name server, Dovecot, PostgreSQL.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.rows import Rows, connect, find_waiting
from tests.support.gateway import Gateway
from tests.support.real import need
from tests.support.smtp_sink import Sink

HERE = Path(__file__).parent
_FILES = {"ticketgate.db": "db", "start.mark": "state", "seal.key": "state", "sent.log": "state"}
"""The daemon's files whose calls are steps, and of which class."""
_CONFIGURED = ("ticketgate.toml", "agents.toml", "token.key")
_OURS = ("steps", "gateway.log")
RESTS_WITHIN = 60.0
"""Seconds from the last start until everything is done (I5, I6)."""


def build_shim(folder: Path) -> Path:
    """The shim, compiled for this machine; skips (fails under CI) without a C compiler."""
    target = folder / "shim.so"
    if not target.exists():
        compiler = need("cc")["cc"]
        fresh = folder / f"shim-{os.getpid()}.so"
        words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(fresh), str(HERE / "shim.c"), "-ldl", "-pthread"]
        subprocess.run(words, check=True)
        fresh.rename(target)
    return target


@dataclass(frozen=True)
class Fault:
    """What happens at which step. ``only``: classes that count ("db.write,db.sync", "pg.*", "point.*"; "" all).

    ``act``: kill-before, kill-after, fail (with ``errno``), cut-before, cut-after (a socket), power (everything not
    synced is lost, then death), stop, wait (``ms``). ``times``: at so many steps in a row; 0: for ever. ``after``:
    counting begins when this step was met. ``drop``: a failed sync loses what it should have made safe. ``seed``: a
    power cut keeps each unsynced write by this chance; 0: none.
    """

    at: int = 0
    act: str = "kill-before"
    only: str = ""
    errno: int = 0
    times: int = 1
    after: str = ""
    ms: int = 0
    seed: int = 0
    drop: bool = False

    def __str__(self) -> str:
        extra = f" errno={self.errno}" if self.errno else ""
        after = f" after {self.after}" if self.after else ""
        times = "" if self.times == 1 else f" ({self.times or 'ever'} times)"
        return f"{self.act}{extra} at {self.at}{times} of {self.only or 'all steps'}{after}"


@dataclass
class Step:
    """One line of the shim's log."""

    number: int
    name: str
    detail: str
    hit: bool


class Nursery:
    """The process that forks daemons (nursery.py), with the shim in it."""

    def __init__(self, shim: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=HERE.parents[1],
            env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(shim), "PYTHONPATH": str(HERE.parents[1])},
        )
        self.ended: dict[int, int] = {}
        """Exit codes of daemons that have ended; -9: killed."""
        self._born: list[int] = []
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            with self._news:
                if isinstance(message, int):
                    self.ended.pop(message, None)  # the system gives numbers out again
                    self._born.append(message)
                else:
                    self.ended[message[0]] = message[1]
                self._news.notify_all()

    def start(self, **order: Any) -> int:
        """Fork a daemon; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        with self._news:
            assert self._news.wait_for(lambda: self._born, 30), "the nursery is silent"
            return self._born.pop()

    def wait(self, pid: int, patience: float = 60.0) -> int:
        """Wait for a daemon's end; its exit code."""
        with self._news:
            assert self._news.wait_for(lambda: pid in self.ended, patience), f"{pid} does not end"
        return self.ended[pid]

    def close(self) -> None:
        """End, with every daemon that still runs."""
        self._process.kill()
        self._process.wait()


@dataclass(eq=False)
class Sent:
    """A mail on its way to the desk."""

    name: str
    sender: str
    recipient: str
    raw: bytes
    copies: int = 1  # how often it is sent although it was acknowledged
    imap: bool = False  # or put into the mailbox that the desk reads


class Mta:
    """A mail server in front that delivers a queue over LMTP: what got no 250 is sent again, for ever."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.acknowledged: Counter[str] = Counter()
        self.refusals: list[str] = []
        """Every 5xx to a mail of ours."""
        self.postponed: list[str] = []
        """Every 4xx."""
        self._queue: list[Sent] = []
        self._turn = threading.Condition()
        self._hands = 0
        self._closed = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(2)]
        for thread in self._threads:
            thread.start()

    def send(self, *mails: Sent) -> None:
        """Queue mails."""
        with self._turn:
            for mail in mails:
                self._queue += [mail] * mail.copies
            self._turn.notify_all()

    @property
    def idle(self) -> bool:
        """Whether everything was acknowledged."""
        with self._turn:
            return not self._queue and not self._hands

    def close(self) -> None:
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(60)

    def _work(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
            with suppress(OSError, smtplib.SMTPException), smtplib.LMTP(str(self.place), timeout=45) as client:
                client.ehlo("mta.test")
                while self._one(client):
                    pass
                continue
            time.sleep(0.02)

    def _one(self, client: smtplib.LMTP) -> bool:
        with self._turn:
            if not self._queue or self._closed:
                return False
            mail = self._queue.pop(0)
            self._hands += 1
        code, text = 0, b""
        try:
            code, text = _transact(client, mail)
        finally:
            with self._turn:
                self._hands -= 1
                if code == 250:
                    self.acknowledged[mail.name] += 1
                else:
                    self._queue.append(mail)
                if code >= 400:
                    (self.refusals if code >= 500 else self.postponed).append(f"{mail.name}: {code} {text.decode()}")
                self._turn.notify_all()
        if code != 250:
            time.sleep(0.1)
        return True


def _transact(client: smtplib.LMTP, mail: Sent) -> tuple[int, bytes]:
    for code, text in (client.mail(mail.sender), client.rcpt(mail.recipient)):
        if code != 250:
            with suppress(smtplib.SMTPException, OSError):
                client.rset()
            return code, text
    return client.data(mail.raw)


@dataclass
class Life:
    """One process from start to end."""

    pid: int
    fault: Fault | None
    began: float
    ready: float = 0.0
    ended: float = 0.0
    code: int | None = None


class Desk:
    """The installation. ``fresh`` gives it a new database; ``live`` keeps a daemon alive until all is at rest."""

    def __init__(
        self,
        gateway: Gateway,
        nursery: Nursery,
        sink: Sink,
        *,
        ports: Mapping[str, int] | None = None,
        pg_folder: Path | None = None,
    ) -> None:
        self.gateway, self.nursery, self.sink = gateway, nursery, sink
        self.lives: list[Life] = []
        self.mutant = ""
        """A deliberate fault of the product (mutants.py)."""
        self._ports = {"smtp": sink.port, **(ports or {})}
        self._sockets = {"lmtp": str(gateway.socket)} | ({"pg": f"{pg_folder}/.s.PGSQL"} if pg_folder else {})
        self._notify: socket.socket | None = None
        self._ready = threading.Event()

    @property
    def steps_log(self) -> Path:
        return self.gateway.folder / "steps"

    def steps(self) -> list[Step]:
        """The steps of the first life that had a plan."""
        if not self.steps_log.exists():
            return []
        found = []
        for line in self.steps_log.read_text().splitlines():
            words = line.split(" ")
            found.append(Step(int(words[0]), words[1], words[2], words[-1] == "!"))
        return found

    def rows(self) -> Rows:
        """A look at the database that goes through nothing of the gateway's."""
        return connect(self.gateway.storage)

    # -------------------------------------------------------------- the process

    def start(self, fault: Fault | None = None) -> Life:
        """Start a daemon, without waiting. The first life with a fault also writes its steps."""
        self._listen()
        pid = self.nursery.start(
            plan=self._plan(fault) if fault else "",
            mutant=self.mutant,
            log=str(self.gateway.folder / "gateway.log"),
            notify=str(self.gateway.folder / "notify.sock"),
            folder=str(self.gateway.folder),
            words=["serve", "-c", str(self.gateway.configuration)],
        )
        life = Life(pid, fault, time.monotonic())
        self.lives.append(life)
        return life

    def _plan(self, fault: Fault) -> str:
        words = {
            "log": self.steps_log,
            "files": ",".join(f"{kind}:{self.gateway.folder}/{name}" for name, kind in _FILES.items()),
            "ports": ",".join(f"{name}:{port}" for name, port in self._ports.items()),
            "sockets": ",".join(f"{name}:{path}" for name, path in self._sockets.items()),
            "only": fault.only,
            "at": fault.at,
            "act": fault.act,
            "errno": fault.errno,
            "times": fault.times,
            "after": fault.after,
            "ms": fault.ms,
            "seed": fault.seed,
            "drop": int(fault.drop),
        }
        return ";".join(f"{word}={value}" for word, value in words.items())

    def _listen(self) -> None:
        if self._notify is not None:
            with suppress(OSError):
                self._notify.shutdown(socket.SHUT_RDWR)
        place = self.gateway.folder / "notify.sock"
        place.unlink(missing_ok=True)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        channel.bind(str(place))
        ready = self._ready = threading.Event()

        def collect() -> None:
            with channel:
                while packet := channel.recv(4096):
                    if b"READY=1" in packet:
                        ready.set()

        threading.Thread(target=collect, daemon=True).start()
        self._notify = channel

    def poll(self) -> Life:
        """The present life, its end noticed."""
        life = self.lives[-1]
        if not life.ready and self._ready.is_set():
            life.ready = time.monotonic()
        if life.code is None and life.pid in self.nursery.ended:
            life.code, life.ended = self.nursery.ended[life.pid], time.monotonic()
        return life

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the present life; its exit code."""
        life = self.poll()
        if life.code is None:
            with suppress(ProcessLookupError):
                os.kill(life.pid, number)
            self.nursery.wait(life.pid)
            self.poll()
        assert life.code is not None
        return life.code

    # -------------------------------------------------------------- a whole run

    def clear(self) -> None:
        """Forget the run before."""
        self.lives.clear()
        self.sink.taken.clear()
        for path in self.gateway.folder.iterdir():
            if path.name not in _CONFIGURED:
                path.unlink()

    def keep(self, template: Path) -> None:
        """Remember everything that a daemon that ended in good order left behind."""
        assert not (self.gateway.folder / "ticketgate.db-wal").exists(), "it did not close its database"
        template.mkdir()
        for path in self.gateway.folder.iterdir():
            if path.is_file() and path.name not in _CONFIGURED and path.name not in _OURS:
                shutil.copy(path, template)

    def put_back(self, template: Path) -> None:
        """As it was then."""
        for path in template.iterdir():
            shutil.copy(path, self.gateway.folder)

    def live(
        self,
        at_rest: Callable[[], bool],
        fault: Fault | None,
        again: Sequence[Fault] = (),
        patience: float = RESTS_WITHIN,
        at_death: Callable[[], None] = lambda: None,
    ) -> str:
        """Run until ``at_rest``, starting the daemon again whenever it ends; "" or why it never came to rest.

        ``again`` are the faults of the lives after the first. The patience begins anew with each start.
        """
        faults = [fault, *again]
        self.start(faults[0])
        while True:
            life = self.poll()
            if life.code is not None:
                if len(self.lives) > len(faults) + 30:
                    return "it ends again and again"
                at_death()
                self.start(faults[len(self.lives)] if len(self.lives) < len(faults) else None)
            elif life.ready and at_rest():
                return ""
            elif time.monotonic() - life.began > patience:
                why = find_waiting(self.rows()) or ["nothing waits in the database"]
                return "\n  ".join([f"not at rest {patience:.0f} s after the start:", *why])
            time.sleep(0.01 if not life.ready else 0.03)
