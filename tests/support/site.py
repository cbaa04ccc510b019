"""A whole site on loopback: Postfix in front, Dovecot with everybody's mailbox, a name server, and the gateway.

People act as people do, with a mail program: they write, press Reply, and read over IMAP. Their mail is signed by
their own domain's key, as their mail server would, and comes to the desk through Postfix only.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType

from gateway.demo.mail_client import read_mail, reply_to, write_mail
from tests.support.dns_server import running_dns
from tests.support.dovecot import PASSWORD, DovecotServer
from tests.support.gateway import PATIENCE, Gateway, in_background, published_zone, wait_for
from tests.support.postfix import PostfixServer
from tests.support.signing import H, sign

INBOX = "support@desk.test"
_SIGNED = f"{H}:in-reply-to:references:reply-to:cc"


def signed(mail: EmailMessage | bytes, domain: str) -> bytes:
    """The mail as it leaves its author's own mail server."""
    raw = mail if isinstance(mail, bytes) else mail.as_bytes()
    return sign(raw, domain, h=_SIGNED, t=int(time.time()))


class Person:
    """Somebody with a mailbox and a mail program."""

    def __init__(self, site: Site, name: str, address: str) -> None:
        self.site, self.name, self.address = site, name, address
        self.read = 0
        self.sent: list[bytes] = []

    @property
    def domain(self) -> str:
        return self.address.partition("@")[2]

    def writes(self, subject: str, text: str, to: str = INBOX) -> EmailMessage:
        """A new mail to the desk; as it was sent."""
        return self._send(write_mail(self.address, self.name, to, subject, text), to)

    def replies(self, original: EmailMessage, text: str) -> EmailMessage:
        """Press Reply, type, press Send."""
        mail = reply_to(original, self.address, self.name, text)
        return self._send(mail, mail["To"].addresses[0].addr_spec)

    def _send(self, mail: EmailMessage, recipient: str) -> EmailMessage:
        raw = signed(mail, self.domain)
        self.sent.append(raw)
        self.site.postfix.send(self.address, [recipient], raw)
        return mail

    def raw_inbox(self) -> list[bytes]:
        """Everything in the mailbox, oldest first, as IMAP shows it."""
        return self.site.dovecot.messages(self.address)

    def inbox(self) -> list[EmailMessage]:
        """The same as a mail program reads it."""
        return [read_mail(raw) for raw in self.raw_inbox()]

    def waits_for(self, count: int) -> list[EmailMessage]:
        """Wait until so many mails have come in all."""

        def mails() -> list[EmailMessage]:
            found = self.inbox()
            return found if len(found) >= count else []

        found: list[EmailMessage] = wait_for(mails, f"{self.address} has {count} mails", PATIENCE)
        return found

    def next_mail(self) -> EmailMessage:
        """Wait for the next mail that was not read yet, and read it."""
        self.read += 1
        return self.waits_for(self.read)[self.read - 1]

    def has_read_all(self) -> bool:
        """Whether nothing came beside what was read."""
        return len(self.raw_inbox()) == self.read


class Site:
    """Everything together, in a folder that user postfix may enter.

    ``polled``: Postfix delivers the desk's mail to a mailbox in Dovecot and the gateway fetches it there over IMAP;
    otherwise Postfix delivers to the gateway's own LMTP socket. ``mailbox``: further settings of that mailbox.
    """

    def __init__(
        self, folder: Path, dovecot: DovecotServer, *, storage: str = "", polled: bool = False, mailbox: str = ""
    ) -> None:
        self.folder, self.dovecot = folder, dovecot
        self.postfix = PostfixServer(folder)
        self.jane = Person(self, "Jane Doe", "jane@customer.test")
        self.alice = Person(self, "Alice Ahmed", "alice@corp.test")
        self.bob = Person(self, "Bob Smith", "bob@corp.test")
        self.gateway: Gateway
        self._storage, self._polled, self._options = storage, polled, mailbox
        self._stack = ExitStack()

    def __enter__(self) -> Site:
        with ExitStack() as stack:
            dns = stack.enter_context(in_background(running_dns(published_zone())))
            stack.enter_context(self.postfix)
            stack.callback(lambda: print(self.postfix.log()))
            desk = self.folder / "desk"
            self.gateway = Gateway(
                desk,
                send_port=self.postfix.port,
                resolver=dns.address,
                storage=self._storage,
                tables=self._mailbox(desk) if self._polled else None,
            )
            place = f"inet:127.0.0.1:{self.dovecot.lmtp_port}"
            for domain in ("customer.test", "corp.test"):
                self.postfix.route(domain, place)
            self.postfix.route("desk.test", place if self._polled else self.gateway.socket)
            stack.enter_context(self.gateway)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def _mailbox(self, desk: Path) -> dict[str, str | None]:
        desk.mkdir()
        secret = desk / "imap.secret"
        secret.touch(mode=0o600)
        secret.write_text(PASSWORD)
        return {
            "receive.lmtp": None,
            "receive.imap.support": f'host = "127.0.0.1"\nport = {self.dovecot.imaps_port}\nuser = "{INBOX}"\n'
            f'ca_file = "{self.dovecot.ca_file}"\nsecret = "file:{secret}"\ncatch_up = "all"\npoll_interval = "2s"\n'
            f"{self._options}",
        }

    def settled(self) -> None:
        """Wait until no mail is on its way anywhere."""
        self.postfix.wait_empty()
        self.gateway.settled()
        self.postfix.wait_empty()
        self.gateway.settled()
