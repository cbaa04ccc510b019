"""SMTP and LMTP listeners: protocol <-> (Envelope, bytes); errors <-> replies (RFC 5321, RFC 2033; security.md 10).

One class of ours on top of aiosmtpd's, because as documented the library answers our own failures with 5xx, tears a
commit from its reply when the client goes away, and keeps every line of DATA as an object of its own (libraries.md 1).
What is overridden and why stands at each method. A session does nothing but read, hand over and answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import secrets
from collections import defaultdict
from typing import Any, cast

from aiosmtpd import __version__
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP

from gateway import maillog
from gateway.address import clean_text, domain_of
from gateway.clock import clock
from gateway.errors import REPLIES, TemporaryError, TicketgateError
from gateway.ingest.data import Block
from gateway.ingest.intake import Intake
from gateway.ingest.lines import LONGEST, LineReader, LineRefused, TooManyCommands
from gateway.ingest.xforward import ATTRIBUTES, Forwarded, read_xforward
from gateway.model import Envelope
from gateway.settings import Inbox

if [int(number) for number in re.findall(r"\d+", __version__)[:3]] < [1, 4, 6]:
    raise ImportError("aiosmtpd before 1.4.6 executes plaintext pipelined behind STARTTLS (CVE-2024-34083)")

_CHUNK = 64 * 1024
_SLOW = 500.0  # octets a second; a client that sends less keeps a connection from others
_OURS = float("inf")
_PLAIN_ADDRESS = re.compile(r"\s*<([^\s<>()\[\]\\,;:@\"\x00-\x1f\x7f]+@[A-Za-z0-9.\-_\u0080-\U0010ffff]+)>(.*)\Z", re.S)
_QUOTED_ADDRESS = re.compile(
    r"\s*<(\"(?:[^\"\\\x00-\x1f\x7f]|\\[ -~])+\"@[A-Za-z0-9.\-_\u0080-\U0010ffff]+)>(.*)\Z", re.S
)
_NULL_PATH = re.compile(r"\s*<\s*>(.*)\Z", re.S)
_ROWS = {"501": "bad-argument", "503": "bad-sequence", "552": "too-large", "553": "bad-argument", "555": "bad-argument"}
"""The library's own refusals -> rows of our table; every other 5xx is a syntax error, every 4xx our trouble."""
_ENHANCED = {
    "250 OK": "250 2.0.0 OK",
    "221 Bye": "221 2.0.0 Bye",
    "220 Ready to start TLS": "220 2.0.0 Ready to start TLS",
}
"""RFC 2034: whoever announces ENHANCEDSTATUSCODES has them in every reply but the greetings."""


class _Hooks:
    """What aiosmtpd asks its handler; every session of a listener shares one."""

    async def handle_EHLO(
        self, session: SmtpSession, _session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        assert session.session is not None
        session.session.host_name = hostname
        kept = [line for line in responses[:-1] if not line[4:].startswith("AUTH")]
        if session.xforward_allowed:
            kept.append("250-XFORWARD " + " ".join(ATTRIBUTES))
        return [*kept, "250-PIPELINING", "250 ENHANCEDSTATUSCODES"]

    async def handle_RCPT(
        self, session: SmtpSession, _session: Any, _envelope: Any, address: str, _options: list[str]
    ) -> str:
        return session.accept_recipient(address)


_HOOKS = _Hooks()


class SmtpSession(SMTP):
    """One connection; see :class:`gateway.ingest.listen.Listener`."""

    def __init__(self, intake: Intake) -> None:
        rules = intake.rules
        loop = asyncio.get_running_loop()
        self.intake = intake
        # aiosmtpd keeps these on the class and clears them with every new connection: a valid long MAIL of one client
        # was then refused because another one connected.
        self.command_size_limits: dict[str, int] = defaultdict(lambda: LONGEST)
        self.command_size_limit = LONGEST
        super().__init__(
            _HOOKS,
            data_size_limit=rules.max_size,
            enable_SMTPUTF8=True,
            decode_data=False,
            hostname=rules.hostname,
            ident="ticketgate" if rules.protocol == "lmtp" else "ESMTP ticketgate",
            tls_context=rules.tls,
            timeout=rules.idle_timeout,
            loop=loop,
        )
        # The library's reader lets a line end in a bare LF; ours is put in its place before anything is connected.
        self.reader = LineReader(loop, rules.max_commands)
        asyncio.StreamReaderProtocol.__init__(self, self.reader, self._cb_client_connected, loop)
        self.in_data = False
        self.inbox: Inbox | None = None
        self.forwarded = Forwarded()
        self._ended = False
        self._since, self._octets = loop.time(), 0

    # -------------------------------------------------------------- the connection

    @property
    def client(self) -> str:
        """The peer's IP address; "" on a unix socket."""
        peer: Any = self.session.peer if self.session else None
        if not isinstance(peer, tuple):
            return ""
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
        return str(getattr(address, "ipv4_mapped", None) or address)

    @property
    def idled(self) -> float:
        """Seconds without use to anybody: since it was connected or its last mail was taken, less what it has sent.

        Nothing while a mail of its own is being committed, nor once it was told to go.
        """
        if self._ended or self._since == _OURS:
            return 0.0
        return self.loop.time() - self._since - self._octets / _SLOW

    @property
    def xforward_allowed(self) -> bool:
        """Whether this peer's XFORWARD is believed."""
        rules = self.intake.rules
        if not rules.trust_xforward or rules.protocol == "lmtp":
            return rules.trust_xforward
        return self.client == "" or ipaddress.ip_address(self.client).is_loopback

    @property
    def guesser(self) -> str:
        """Whom wrong tokens count against: the first client; "" behind an MTA that does not name it, never the MTA.

        Else a stranger's twenty guesses would put off everybody's mail. What is not counted here is counted when the
        mail is decided (desk/guessing.py).
        """
        return self.forwarded.address if self.xforward_allowed else self.client

    async def _handle_client(self) -> None:
        with contextlib.suppress(ConnectionError):
            refusal = self.intake.admit(self, self.client)
            if refusal:
                self.end(refusal)
            else:
                await super()._handle_client()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.intake.forget(self)

    def eof_received(self) -> bool | None:
        # The library cancels the session here: a client that half-closes after the dot would get no answer.
        if self.session is not None and self.session.ssl is None:
            return asyncio.StreamReaderProtocol.eof_received(self)
        return super().eof_received()

    def _timeout_cb(self) -> None:
        # abort, not close: close waits for a client that reads nothing.
        self.abort()

    def abort(self) -> None:
        """Cut the connection now. A commit that runs goes on."""
        self._ended = True
        if self.transport is not None:
            cast(asyncio.WriteTransport, self.transport).abort()

    def end(self, name: str) -> None:
        """Say why (a row of the table of replies), then close; nothing is said or read after that."""
        if self._ended or self.transport is None:
            return
        if self._tls_protocol is not None and self.session is not None and self.session.ssl is None:
            self.abort()  # inside a handshake nothing can be said
            return
        self._log_refusal(name)
        self._ended = True
        self._writer.write(f"{REPLIES[name]}\r\n".encode())
        self.transport.close()

    # -------------------------------------------------------------- replies

    async def push(self, status: Any) -> None:
        """Every reply passes here: the library's own refusals are replaced by rows of our table."""
        if self._ended:
            raise ConnectionResetError
        text = status.decode() if isinstance(status, bytes) else str(status)
        if text[0] in "45" and not any(text.startswith(str(reply)) for reply in REPLIES.values()):
            name = _ROWS.get(text[:3], "syntax") if text[0] == "5" else "trouble"
            self._log_refusal(name)
            text = str(REPLIES[name])
        await super().push(_ENHANCED.get(text, text))

    async def _refuse(self, name: str) -> None:
        if name in ("trouble", "no-space"):
            self.reader.commands = 0
        self._log_refusal(name)
        await self.push(str(REPLIES[name]))

    def _log_refusal(self, name: str, recipient: str = "") -> None:
        maillog.refused(
            name,
            self.intake.rules.protocol,
            client=self.forwarded.address or self.client,
            reverse_path=(self.envelope.mail_from or "") if self.envelope else "",
            recipient=recipient,
            queue_id=self.forwarded.ident,
        )

    async def handle_exception(self, error: Exception) -> str:
        """The library says 500 and the error's text, for good. Ours is temporary and tells an id, nothing else."""
        if isinstance(error, LineRefused):
            self.end("syntax")
        elif isinstance(error, TooManyCommands):
            self.end("too-many")
        elif isinstance(error, TicketgateError) and error.name in REPLIES and error.name != "trouble":
            self._log_refusal(error.name)
            return str(error.reply)
        else:
            identity = secrets.token_hex(4)
            cause = error.__cause__ if isinstance(error, TemporaryError) and error.__cause__ else error
            maillog.edge_error(self.intake.rules.protocol, cause, identity=identity, queue_id=self.forwarded.ident)
            return f"{REPLIES['trouble']} [{identity}]"
        return ""

    # -------------------------------------------------------------- commands

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self.inbox = None
        self.forwarded = Forwarded()

    async def smtp_STARTTLS(self, arg: str) -> None:
        """RFC 3207. What was pipelined behind the command is thrown away by the library (CVE-2024-34083)."""
        if self.tls_context is None:
            await self._refuse("syntax")
        elif self._tls_protocol is not None:
            await self._refuse("bad-sequence")
        else:
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        """Nobody submits through us."""
        await self._refuse("syntax")

    async def smtp_XFORWARD(self, arg: str | None) -> None:
        """Who the first client was, from the MTA in front; until the end of the next transaction."""
        if not self.xforward_allowed:
            await self._refuse("syntax")
        elif self.envelope is not None and self.envelope.mail_from:
            await self._refuse("bad-sequence")
        elif (forwarded := read_xforward(arg or "", self.forwarded)) is None:
            await self._refuse("bad-argument")
        else:
            self.forwarded = forwarded
            await self.push("250 2.0.0 OK")

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Address and parameters. The usual form is read a hundred times faster than by the library's parser."""
        if match := _NULL_PATH.match(arg):
            return "<>", match[1]
        # A quoted local part stays as it was written (security.md 6: it is no token); the library takes the quotes off.
        if match := _PLAIN_ADDRESS.match(arg) or _QUOTED_ADDRESS.match(arg):
            address, rest = match[1], match[2]
        else:
            try:
                found, parameters = super()._getaddr(arg)
            except Exception:  # noqa: BLE001 - IndexError, RecursionError and more from email's private parser
                return None, None
            if not found:
                return found, parameters
            address, rest = found, parameters or ""
        # Octets that are not UTF-8 arrive as surrogates: no database and no envelope can hold them, nor controls.
        return (address, rest) if address == clean_text(address, LONGEST) else (None, None)

    def accept_recipient(self, address: str) -> str:
        """RCPT: no database, no side effect; address verification probes it. A bad token is just an address of ours."""
        assert self.envelope is not None
        inbox = self.intake.find_inbox(address)
        if self.envelope.rcpt_tos:
            # LMTP owes one reply per recipient after the dot; aiosmtpd has one (aiosmtpd#517).
            name = "one-recipient"
        elif self.intake.guesses_too_much(self.guesser):
            name = "bad-tokens"
        elif inbox is not None:
            self.inbox = inbox
            self.envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"
        else:
            name = "no-mailbox" if self.intake.is_our_domain(domain_of(address)) else "not-ours"
        self._log_refusal(name, recipient=address)
        return str(REPLIES[name])

    async def smtp_DATA(self, arg: str | None) -> None:
        """Our own reader and our own commit instead of the library's line loop (libraries.md 1, L6, L8, L10)."""
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self._refuse("bad-sequence")
        elif arg:
            await self._refuse("bad-argument")
        elif trouble := self.intake.find_trouble():
            await self._refuse(trouble)
        else:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            self.in_data = True
            try:
                await self._take_data()
            finally:
                self.in_data = False
                self._set_post_data_state()
            if self.intake.stopping:
                self.end("stopping")
                raise ConnectionResetError

    async def _take_data(self) -> None:
        block = Block(self.intake.rules.max_size)
        reserved = 0
        try:
            async with asyncio.timeout(self.intake.rules.data_timeout):
                while True:
                    chunk = await self._next_chunk()
                    if not block.dropped and self.intake.reserve(len(chunk)):
                        reserved += len(chunk)
                    elif not block.dropped:
                        block.drop("no-space")
                    if block.feed(chunk):
                        break
                    if block.size > 2 * self.intake.rules.max_size:
                        self.end("too-large")
                        raise ConnectionResetError
            self.reader.unread(block.rest)
            if block.dropped:
                await self._refuse(block.dropped)
                return
            raw = block.content()
            del block
            self.reader.commands = 0
            envelope = self._make_envelope()
            commit = self.intake.commit(envelope, raw, reserved)
            reserved = 0
        except TimeoutError:
            self.end("trouble")
            raise ConnectionResetError from None
        finally:
            self.intake.release(reserved)
        # The client may leave, half-close or run into a timer: the commit goes on, and the retry is recognised.
        self._since = _OURS
        try:
            taken = await asyncio.shield(commit)
        except asyncio.CancelledError:
            commit.add_done_callback(self.intake.log_unseen_failure)
            raise
        finally:
            self._since, self._octets = self.loop.time(), 0
        self.intake.count_guess(self.guesser, envelope.recipient)
        await self.push(f"250 2.0.0 Taken as {taken.journal_id}")

    async def _next_chunk(self) -> bytes:
        chunk = await self.reader.read(_CHUNK)
        if not chunk:
            raise ConnectionResetError  # no dot, no mail: the client still has it
        # The library's timer starts at the command and is not renewed during DATA: slow large mails never arrived.
        self._reset_timeout()
        self._octets += len(chunk)
        return chunk

    def _make_envelope(self) -> Envelope:
        assert self.envelope is not None and self.session is not None and self.inbox is not None
        direct = self.intake.rules.protocol == "smtp"
        reverse_path = self.envelope.mail_from or ""
        forwarded = self.forwarded
        return Envelope(
            reverse_path="" if reverse_path == "<>" else reverse_path,
            recipient=self.envelope.rcpt_tos[0],
            inbox=self.inbox.handle,
            source=self.intake.rules.protocol,
            received_at=clock(),
            client_address=forwarded.address or (self.client if direct else ""),
            helo=forwarded.helo or (clean_text(self.session.host_name or "", 255) if direct else ""),
            trusted=not direct,
            queue_id=forwarded.ident,
        )


class LmtpSession(SmtpSession, LMTP):
    """The same with LHLO instead of EHLO (RFC 2033)."""
