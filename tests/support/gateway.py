"""The gateway as operators run it: ``ticketgate serve`` as a process, on a configuration in a folder of its own.

Nothing of ours is imported into the running process and nothing is replaced in it: tests see its sockets, its mails,
its exit codes, what it tells systemd, and what the commands of operators print.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway.configure import load_keys
from gateway.reference import Keys
from gateway.settings import Secret
from gateway.store import deliveries, journal
from gateway.store.database import Database
from tests.support.dns_server import DnsServer
from tests.support.postfix import until
from tests.support.signing import key_record

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds for one thing to happen, on a machine that has other things to do."""
ID_DOMAIN = "tickets.desk.test"
CUSTOMERS = "customer.test"
AGENTS = "corp.test"

_TABLES = {
    "": "schema = 1",
    "inbox.support": 'name = "Desk Support"\naddress = "support@desk.test"\nagents = ["alice", "bob"]',
    "inbox.support.hours": 'weekdays = ""',
    "receive.lmtp": 'listen = ["unix:{folder}/lmtp.sock"]',
    "authentication": 'resolver = ["{resolver}"]',
    "send": 'host = "127.0.0.1"\nport = {send_port}\ntls = "none"\nretry = ["1s", "2s"]',
    "agent_mail": 'batch = "0s"',
    "security": 'token_key = "file:{folder}/token.key"',
    "storage": 'url = "{storage}"',
    "cage": "children = 1",
}
_PEOPLE = {"alice": ("Alice Ahmed", "alice@corp.test"), "bob": ("Bob Smith", "bob@corp.test")}
_ON_THE_WAY = {"queued", "transmitting"}


@contextmanager
def in_background(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """An asynchronous server of ours beside a test that waits for processes: in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(step: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(step, loop).result(PATIENCE)

    running = wait(server.__aenter__())
    try:
        yield running
    finally:
        wait(server.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def published_zone() -> DnsServer:
    """What the mail servers of customers and agents publish: a DKIM key each, and a DMARC policy."""
    texts = {f"s1._domainkey.{domain}": key_record(f"rsa2048:{domain}") for domain in (CUSTOMERS, AGENTS)}
    texts |= {f"_dmarc.{CUSTOMERS}": "v=DMARC1; p=none", f"_dmarc.{AGENTS}": "v=DMARC1; p=reject"}
    return DnsServer({(name, "TXT"): [_txt_record(name, text)] for name, text in texts.items()})


def _txt_record(name: str, text: str) -> str:
    pieces = " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
    return f"{name}. 60 IN TXT {pieces}"


class Gateway:
    """One installation in ``folder``, started and ended as often as a test wants; the folder outlives the process.

    ``tables`` replace tables of the configuration ("send": 'host = …') or add some; "" is what stands above them.
    ``storage`` is a database url; empty: SQLite in the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        send_port: int,
        resolver: str,
        storage: str = "",
        tables: Mapping[str, str | None] | None = None,
    ) -> None:
        self.folder = folder
        self.configuration = folder / "ticketgate.toml"
        self.socket = folder / "lmtp.sock"
        self.storage = storage or f"sqlite:{folder}/ticketgate.db"
        self.notifications: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._values = {
            "folder": str(folder),
            "send_port": str(send_port),
            "resolver": resolver,
            "storage": self.storage,
        }
        self._tables: dict[str, str | None] = {**_TABLES, **(tables or {})}
        self._channel: socket.socket | None = None
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / "token.key"
        key.touch(mode=0o600)
        key.write_text(f"k {secrets.token_hex(32)}\n")
        self.write_agents(_PEOPLE)
        self.configure()

    # -------------------------------------------------------------- configuration

    def configure(self, tables: Mapping[str, str | None] | None = None) -> None:
        """Write the configuration, with further tables replaced (None: left out)."""
        self._tables |= tables or {}
        written = []
        for name, text in self._tables.items():
            if text is not None:
                for key, value in self._values.items():
                    text = text.replace("{" + key + "}", value)
                written.append(f"[{name}]\n{text}\n" if name else f"{text}\n")
        self.configuration.write_text("\n".join(written))

    def move(self, storage: str) -> None:
        """Another database from now on: its url."""
        self.storage = self._values["storage"] = storage
        self.configure()

    def write_agents(self, people: Mapping[str, tuple[str, str]]) -> None:
        """agents.toml: handle -> full name and address."""
        lines = [f'[{handle}]\nname = "{name}"\naddress = "{address}"\n' for handle, (name, address) in people.items()]
        (self.folder / "agents.toml").write_text("\n".join(lines))

    @property
    def keys(self) -> Keys:
        """The installation's token keys: tests read tokens with them, never make any."""
        return load_keys(Secret(f"file:{self.folder}/token.key"))

    # -------------------------------------------------------------- the process

    def start(
        self,
        *,
        command: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        patience: float = PATIENCE,
        **environment: str,
    ) -> Gateway:
        """Start and wait until it tells systemd that it is ready. ``command`` is put in front of the daemon's own."""
        self.launch(command=command, pass_fds=pass_fds, **environment)
        self.wait_notified("READY=1", patience=patience)
        if self.socket.exists():
            # Postfix' delivery agent runs as user postfix; an operator puts that user into the socket's group.
            self.socket.chmod(0o666)
        return self

    def launch(self, *, command: Sequence[str] = (), pass_fds: Sequence[int] = (), **environment: str) -> None:
        """Start without waiting. It dies with the thread that calls this: from one that outlives it."""
        assert self.process is None, "it runs already"
        self.notifications = []
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "notify.sock").unlink()
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(self.folder / "notify.sock"))
        # Read at once, as systemd does: a socket whose queue is full blocks whoever writes to it.
        threading.Thread(target=_collect, args=(self._channel, self.notifications), daemon=True).start()
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.command("serve", "-c", str(self.configuration))],
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": f"{self.folder}/notify.sock", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @staticmethod
    def command(*words: str) -> list[str]:
        """The program with its words."""
        return [sys.executable, "-P", "-m", "gateway", *words]

    def notified(self) -> list[str]:
        """Every line it has sent to the service manager since it was started."""
        return list(self.notifications)

    def wait_notified(self, line: str, times: int = 1, patience: float = PATIENCE) -> None:
        """Wait for a line to the service manager; fails at once when the process ends instead."""

        def came() -> bool:
            if self.notified().count(line) >= times:
                return True
            assert self.process is not None
            code = self.process.poll()
            assert code is None, f"it ended with {code} before it said {line}\n{self.log()}"
            return False

        until(came, patience, what=lambda: f"it never said {line}, only {self.notifications}\n{self.log()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait_ended(self) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        code = self.process.wait(PATIENCE)
        self._forget()
        return code

    def stop(self) -> int:
        """SIGTERM, as systemd does; the exit code."""
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return self.wait_ended()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end on SIGTERM\n{self.log()}") from None

    def kill(self) -> None:
        """SIGKILL to the daemon; what it started has to notice by itself."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(PATIENCE)
        self._forget()

    def _forget(self) -> None:
        self.process = None
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_RDWR)
            self._channel = None

    def restart(self) -> None:
        """An orderly end and a new start."""
        assert self.stop() == 0, self.log()
        self.start()

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(self, *_: object) -> None:
        # pytest shows what is printed here when the test fails, and only then.
        print(self.log())
        self.kill()

    def log(self, lines: int = 200) -> str:
        """The end of what it wrote to standard error."""
        file = self.folder / "gateway.log"
        text = file.read_text(errors="replace") if file.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # -------------------------------------------------------------- operators

    def cli(self, *words: str, data: bytes = b"", expect: int = 0) -> str:
        """Run a command beside the daemon; what it printed. Fails on another exit code than expected."""
        return self.cli_raw(*words, data=data, expect=expect).decode()

    def cli_raw(self, *words: str, data: bytes = b"", expect: int = 0, **environment: str) -> bytes:
        """The same for commands that print bytes."""
        done = subprocess.run(
            [*self.command(*words), "-c", str(self.configuration)],
            input=data,
            capture_output=True,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", **environment},
            timeout=PATIENCE,
            check=False,
        )
        said = done.stderr.decode(errors="replace")
        assert done.returncode == expect, f"{' '.join(words)}: exit {done.returncode}\n{said}"
        return done.stdout or (said.encode() if expect else b"")

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """What a command prints with --json."""
        return [json.loads(line) for line in self.cli(*words, "--json").splitlines()]

    def ticket(self, number: int) -> dict[str, Any]:
        """Everything about one ticket, as ``show --json`` says it."""
        return self.rows("show", str(number))[0]

    def settled(self, patience: float = PATIENCE) -> None:
        """Wait until every mail is decided or held and every outgoing mail has left or is deferred."""
        store = Database(self.storage)
        try:

            def rest() -> dict[str, int]:
                with store.begin() as tx:
                    waiting = journal.count_states(tx)
                    waiting.pop("held", None)
                    for entry in deliveries.list_outbox(tx):
                        if str(entry.state) in _ON_THE_WAY:
                            waiting[str(entry.state)] = waiting.get(str(entry.state), 0) + 1
                return waiting

            until(lambda: not rest(), patience, what=lambda: f"still waiting: {rest()}\n{self.log()}")
        finally:
            store.close()


def _collect(channel: socket.socket, lines: list[str]) -> None:
    """Everything that is sent to a datagram socket, until it is shut down."""
    with channel:
        while packet := channel.recv(4096):
            lines += packet.decode().split("\n")


def wait_for(condition: Any, what: str, patience: float = PATIENCE) -> Any:
    """Poll until ``condition()`` is true or gives something; that."""
    ends = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < ends, f"never happened: {what}"
        time.sleep(0.1)
    return found


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: a test run that is killed leaves no daemon behind. Linux means the thread that forked, not its
    # process (prctl(2)).
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
