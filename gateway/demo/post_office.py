"""The demo's mail server: SMTP with login, IMAP mailboxes, and delivery to the gateway. Not part of the gateway.

It plays the site's mail server, so it does what such a server does: it lets only people it knows submit, and says in
an Authentication-Results field whom it knew (RFC 8601). Mail is kept in memory and nothing leaves this computer.
"""

from __future__ import annotations

import asyncio
import smtplib
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pymap.backend.dict import DictBackend, Identity
from pymap.imap import IMAPService
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials import FetchRequirement
from pymap.user import Passwords, UserMetadata

NAME = "mail.demo.test"
PASSWORD = "demo"


class PostOffice:
    """``await start()``; then real mail clients may log in with an address and the password "demo"."""

    def __init__(self, people: Sequence[str], inbox: str, lmtp_socket: Path, smtp_port: int, imap_port: int) -> None:
        self.people, self.inbox, self.lmtp_socket = list(people), inbox, lmtp_socket
        self.smtp_port, self.imap_port = smtp_port, imap_port
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self.arrived = asyncio.Event()
        """Set with every mail that reaches a mailbox; whoever waits clears it."""

    async def start(self) -> None:
        """Listen on loopback. Raises OSError when a port is taken."""
        await self._start_imap()
        server = await asyncio.get_running_loop().create_server(self._session, "127.0.0.1", self.smtp_port)
        self._stack.callback(server.close)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    # -------------------------------------------------------------- IMAP

    async def _start_imap(self) -> None:
        options = Namespace(
            backend="dict",
            debug=False,
            demo_data=False,
            demo_user=self.people[0],
            demo_password=PASSWORD,
            host=["127.0.0.1"],
            port=str(self.imap_port),
            tls=False,
            cert=None,
            key=None,
            proxy_protocol=None,
            inherited_sockets=None,
            skip_services=[],
            passlib_cfg=None,
        )
        self._backend, config = await DictBackend.init(options)
        config.apply_context()
        hashed = await Passwords(config).hash_password(PASSWORD)
        for person in self.people:
            self._backend.login.users_dict[person] = UserMetadata(config, person, password=hashed)
        await self._backend.start(self._stack)
        await IMAPService(self._backend, config).start(self._stack)

    async def _mailbox(self, person: str) -> Any:
        async with Identity(person, self._backend.login, None, frozenset()).new_session() as session:
            return await session.mailbox_set.get_mailbox("INBOX")

    async def mails(self, person: str) -> list[bytes]:
        """Everything in a person's INBOX, oldest first."""
        mailbox = await self._mailbox(person)
        found = []
        async for message in mailbox.messages():
            content = await message.load_content(FetchRequirement.CONTENT)
            found.append(bytes(content.content))
        return found

    async def _put(self, person: str, raw: bytes) -> None:
        mailbox = await self._mailbox(person)
        await mailbox.append(AppendMessage(raw, datetime.now(UTC), frozenset()), recent=True)
        self.arrived.set()

    # -------------------------------------------------------------- SMTP

    def _session(self) -> SMTP:
        return SMTP(
            self,
            hostname=NAME,
            ident="demo",
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=self._authenticate,
            data_size_limit=30 * 1024 * 1024,
        )

    def _authenticate(self, _server: Any, session: Session, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        if isinstance(data, LoginPassword) and data.password == PASSWORD.encode():
            session.login_name = data.login.decode().lower()  # type: ignore[attr-defined]
            return AuthResult(success=session.login_name in self.people)  # type: ignore[attr-defined]
        return AuthResult(success=False, handled=False)

    async def handle_RCPT(self, _server: Any, session: Session, envelope: Envelope, address: str, _o: Any) -> str:
        """Know the people of the demo, and two addresses that misbehave on purpose."""
        folded = address.lower()
        if folded.startswith("fail5xx@"):
            return "550 5.1.1 No such mailbox (this address of the demo always says so)"
        if folded.startswith("slow@"):
            await asyncio.sleep(5)
        elif not self._is_ours(folded) and folded not in self.people and not folded.startswith("away@"):
            return "550 5.1.1 The demo delivers to its own people only"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:
        """Stamp the mail as a mail server does, then deliver it."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        login = getattr(session, "login_name", "")
        result = f"auth=pass smtp.auth={login}" if login else "none"
        for recipient in envelope.rcpt_tos:
            stamp = f"Return-Path: <{envelope.mail_from}>\r\nAuthentication-Results: {NAME}; {result}\r\n"
            stamp += f"Received: from client by {NAME} with ESMTP; {format_datetime(datetime.now(UTC))}\r\n"
            task = asyncio.create_task(self._deliver(envelope.mail_from or "", recipient, stamp.encode() + content))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return "250 2.0.0 OK, accepted"

    def _is_ours(self, address: str) -> bool:
        local, _, domain = address.partition("@")
        base, _, inbox_domain = self.inbox.partition("@")
        return domain == inbox_domain and local.partition("+")[0] == base

    async def _deliver(self, reverse_path: str, recipient: str, raw: bytes) -> None:
        if self._is_ours(recipient.lower()):
            await self._hand_over(reverse_path, recipient, raw)
        elif recipient.lower().startswith("away@"):
            await self._away(reverse_path, raw)
        elif recipient.lower() in self.people:
            await self._put(recipient.lower(), raw)

    async def _hand_over(self, reverse_path: str, recipient: str, raw: bytes) -> None:
        """To the gateway, over LMTP; again and again until it has answered 250, as a mail server does."""
        while True:
            try:
                await asyncio.to_thread(self._lmtp, reverse_path, recipient, raw)
                return
            except (OSError, smtplib.SMTPException):
                await asyncio.sleep(0.5)

    def _lmtp(self, reverse_path: str, recipient: str, raw: bytes) -> None:
        with smtplib.LMTP(str(self.lmtp_socket)) as client:
            client.ehlo_or_helo_if_needed()
            client.sendmail(reverse_path, [recipient], raw)

    async def _away(self, reverse_path: str, raw: bytes) -> None:
        """away@ answers everything with an absence notice (RFC 3834)."""
        original = BytesHeaderParser().parsebytes(raw)
        notice = EmailMessage()
        notice["From"], notice["To"] = "Away <away@demo.test>", reverse_path
        notice["Subject"] = f"Automatic reply: {original.get('Subject', '')}"
        notice["Date"], notice["Message-ID"] = format_datetime(datetime.now(UTC)), make_msgid(domain="demo.test")
        notice["Auto-Submitted"] = "auto-replied"
        notice["In-Reply-To"] = original.get("Message-ID", "")
        notice.set_content("I am away until Monday.\n")
        await self._deliver("", reverse_path, notice.as_bytes().replace(b"\n", b"\r\n"))
