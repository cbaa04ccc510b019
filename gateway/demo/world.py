"""The demo's site: one folder with a configuration a person can read, the post office, and the gateway itself."""

from __future__ import annotations

import logging
import secrets
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from gateway.configure import load
from gateway.daemon import Daemon
from gateway.demo.post_office import NAME, PostOffice
from gateway.model import DnsAnswer
from gateway.settings import Settings

INBOX = "support@demo.test"
JANE, ALICE, BOB = "jane@demo.test", "alice@demo.test", "bob@demo.test"

_CONFIGURATION = """# Written by ticketgate demo; look around, change things, run it again.
schema = 1

[ticketgate]
timezone = "{zone}"

[inbox.support]
address = "{inbox}"
name    = "Demo Support"
agents  = ["alice", "bob"]

[inbox.support.hours]
weekdays = ""                       # always open

[receive.lmtp]
listen = ["unix:{folder}/lmtp.sock"]

[authentication_results]
trusted = ["{server}"]              # the demo's mail server says who logged in

[send]
host = "127.0.0.1"
port = {smtp_port}
tls  = "none"

[agent_mail]
html = true

[security]
token_key = "file:{folder}/token.key"

[storage]
url = "sqlite:{folder}/ticketgate.db"

[cage]
children = 1

[log]
level = "warning"
"""

_AGENTS = """[alice]
name    = "Alice Ahmed"
address = "alice@demo.test"

[bob]
name    = "Bob Smith"
address = "bob@demo.test"
"""


class NobodyAsked:
    """A resolver for an island: every name is absent, nothing is asked."""

    async def resolve(self, keys: Iterable[str], within: float = 0) -> dict[str, DnsAnswer]:
        return {key: DnsAnswer("absent") for key in keys}


class World:
    """The running demo."""

    def __init__(self, folder: Path, smtp_port: int = 0, imap_port: int = 0) -> None:
        self.folder = folder
        self.smtp_port = smtp_port or _free_port(10025)
        self.imap_port = imap_port or _free_port(10143)
        self.post_office: PostOffice
        self.daemon: Daemon

    @property
    def configuration(self) -> Path:
        return self.folder / "ticketgate.toml"

    async def start(self) -> None:
        """Everything up, in a folder made anew."""
        settings = self._write()
        people = [JANE, ALICE, BOB]
        self.post_office = PostOffice(people, INBOX, self.folder / "lmtp.sock", self.smtp_port, self.imap_port)
        await self.post_office.start()
        self.daemon = Daemon(settings, resolver=NobodyAsked())
        await self.daemon.start()
        # The post office is no edge of ours: what aiosmtpd says about its login is no news for whoever plays.
        logging.getLogger("mail.log").setLevel(logging.ERROR)

    async def close(self) -> None:
        await self.daemon.stop()
        await self.post_office.close()

    def _write(self) -> Settings:
        if self.folder.exists():
            if any(self.folder.iterdir()) and not self.configuration.exists():
                raise FileExistsError(17, "is not a folder of the demo; name another with --dir", str(self.folder))
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, mode=0o700)
        text = _CONFIGURATION.format(inbox=INBOX, folder=self.folder, server=NAME, smtp_port=self.smtp_port, zone="UTC")
        self.configuration.write_text(text)
        (self.folder / "agents.toml").write_text(_AGENTS)
        key = self.folder / "token.key"
        key.touch(mode=0o600)
        key.write_text(f"k {secrets.token_hex(32)}\n")
        return load(self.configuration)


def _free_port(wanted: int) -> int:
    """The wanted port when nobody has it, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on loopback")
