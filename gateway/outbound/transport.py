"""One SMTP attempt at one delivery -> what became of it (security.md 14.5, libraries.md 9) [aiosmtplib].

Every step has a timeout, one recipient goes per transaction, connections are used again. The difference between
"refused", "not now" and "nobody knows" is the whole point: the body is sent and flushed first, then the final dot by
itself, so that only a connection lost after the dot leaves the outcome unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from gateway.address import fold_domain, split_address
from gateway.errors import TemporaryError
from gateway.model import OutboundMail
from gateway.outbound.refusals import speaks_of_us
from gateway.outbound.sign import Signer
from gateway.settings import Send

_IDLE = 20.0  # seconds a connection is kept for the next mail; servers hang up after 300, Postfix' client after 2
_MAILS = 50  # mails over one connection
_PAUSE = 5.0  # seconds after a connection timed out in which no other is tried: whoever waits for a slot need not
_LONGEST_WAIT = 120.0  # seconds our own rate limit may hold an attempt back; the claim's lease is longer
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LONGEST_REPLY = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to: ``sent``, ``deferred``, ``failed`` or ``unknown``, and the other side's words."""

    outcome: str
    reply: str
    barred: bool = False
    """No mail of ours is taken until somebody repairs it: TLS or the login failed, or the server refuses us."""
    step: str = ""
    """Where it was refused: ``connect`` (until the login), ``mail``, ``rcpt``, ``data``, ``dot``."""


class _Refused(Exception):
    """The attempt is over; the connection may be used again."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.reply)
        self.attempt = attempt


class _Link:
    """A connection with what is remembered about it."""

    def __init__(self, client: SMTP, send: Send) -> None:
        self.client, self.send = client, send
        self.mails = 0
        self.idle_since = 0.0

    def usable(self, now: float) -> bool:
        return self.client.is_connected and self.mails < _MAILS and now - self.idle_since < _IDLE


class Transport:
    """Submits mail to the configured server. ``password`` is resolved already; ``access_token`` gives OAuth2 tokens,
    or TemporaryError; True asks for a fresh one because the last was refused.

    ``signer`` adds the DKIM signature where the relay does not. Safe to use from many tasks of one loop: at most
    ``max_connections`` attempts run at a time.
    """

    def __init__(
        self,
        send: Send,
        password: str = "",
        *,
        signer: Signer | None = None,
        access_token: Callable[[bool], Awaitable[str]] | None = None,
    ) -> None:
        self._idle: list[_Link] = []
        self._started: deque[float] = deque()
        self.renew(send, password, signer=signer, access_token=access_token)

    # -------------------------------------------------------------- public

    def renew(
        self,
        send: Send,
        password: str = "",
        *,
        signer: Signer | None = None,
        access_token: Callable[[bool], Awaitable[str]] | None = None,
    ) -> None:
        """From the next mail on by these settings; what is being sent ends as it began."""
        self._send, self._password, self._signer, self._access_token = send, password, signer, access_token
        self._slots = asyncio.Semaphore(max(1, send.max_connections))
        self._timeout = max(1.0, send.timeout.total_seconds())
        self._pause_until, self._pause_reply = 0.0, ""
        idle, self._idle = self._idle, []
        for link in idle:
            self._drop(link)

    async def attempt(self, mail: OutboundMail) -> Attempt:
        """Try to hand one mail over. Never raises for anything the network or the server does."""
        if not await self._pace():
            return Attempt("deferred", "our own limit of mails a minute")
        content = self._signer.sign(mail.content) if self._signer else mail.content
        async with self._slots:
            while True:
                link, fresh = self._take(), False
                try:
                    if link is None:
                        send = self._send
                        link, fresh = _Link(await self._connect(), send), True
                    return await self._transact(link, mail, content)
                except _Refused as refused:
                    return refused.attempt
                except (SMTPException, OSError, TimeoutError, ValueError) as error:
                    if link is not None:
                        self._drop(link)
                    if fresh or link is None or isinstance(error, ValueError):
                        step = "connect" if link is None and speaks_of_us(_words(error), "connect") else ""
                        return Attempt("deferred", _words(error), barred=bool(step) or _is_tls(error), step=step)
                    # A kept connection that the server had closed meanwhile: nothing was said yet, take a new one.
                except BaseException:  # cancelled: the conversation is in an unknown place
                    if link is not None:
                        self._drop(link)
                    raise

    async def try_login(self) -> str:
        """Connect and log in, without a mail: "" when that went well, else why not."""
        try:
            send = self._send
            self._keep(_Link(await self._connect(), send))
        except _Refused as refused:
            return refused.attempt.reply
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            return _words(error)
        return ""

    async def close(self) -> None:
        """Close every idle connection politely."""
        idle, self._idle = self._idle, []
        for link in idle:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await link.client.quit(timeout=min(self._timeout, 5.0))
            self._drop(link)

    # -------------------------------------------------------------- connections

    def _take(self) -> _Link | None:
        now = time.monotonic()
        while self._idle:
            link = self._idle.pop()
            if link.usable(now):
                return link
            self._drop(link)
        return None

    def _keep(self, link: _Link) -> None:
        link.idle_since = time.monotonic()
        if link.send is self._send and link.usable(link.idle_since):
            self._idle.append(link)
        else:
            self._drop(link)

    @staticmethod
    def _drop(link: _Link) -> None:
        with contextlib.suppress(Exception):  # the connection is finished either way
            link.client.close()

    async def _connect(self) -> SMTP:
        send, local = self._send, _is_loopback(self._send.host)
        if time.monotonic() < self._pause_until:
            raise _Refused(Attempt("deferred", self._pause_reply))
        client = SMTP(
            hostname=send.host,
            port=send.port,
            local_hostname=_own_name(),
            timeout=self._timeout,
            use_tls=send.tls == "implicit",
            start_tls=False,
            tls_context=_tls_context(send, verify=not (local and send.tls == "auto")) if send.tls != "none" else None,
        )
        try:
            await client.connect()
            await self._secure(client, local)
            if self._send is not send:  # the new password is not for the old host
                raise _Refused(Attempt("deferred", "the configuration was read again meanwhile"))
            await self._log_in(client, local)
        except BaseException as error:
            client.close()
            if isinstance(error, SMTPTimeoutError):
                self._pause_until, self._pause_reply = time.monotonic() + _PAUSE, _words(error)
            raise
        return client

    async def _secure(self, client: SMTP, local: bool) -> None:
        send = self._send
        await client.ehlo()
        if send.tls == "none" and not local:
            raise _Refused(Attempt("deferred", 'tls = "none" is for loopback hosts only', barred=True))
        if send.tls not in ("auto", "starttls"):
            return
        if client.supports_extension("starttls"):
            try:
                await client.starttls(timeout=self._timeout)
            except ssl.SSLError as error:
                raise _Refused(Attempt("deferred", f"TLS: {error}", barred=True)) from error
            await client.ehlo()
        elif send.tls == "starttls" or not local:
            raise _Refused(Attempt("deferred", "the server offers no STARTTLS", barred=True))

    async def _log_in(self, client: SMTP, local: bool) -> None:
        send = self._send
        if send.auth == "none" or not send.user:
            return
        if not local and client.get_transport_info("sslcontext") is None:
            raise _Refused(Attempt("deferred", "no login over a connection without TLS", barred=True))
        try:
            if send.auth.startswith("oauth2"):
                await self._log_in_by_token(client)
            else:
                await client.login(send.user, self._password)
        except SMTPAuthenticationError as error:
            # Our own credentials: whatever the code says, it may go right once somebody repairs them.
            raise _Refused(Attempt("deferred", f"login refused: {_words(error)}", barred=error.code >= 500)) from error

    async def _log_in_by_token(self, client: SMTP) -> None:
        if self._access_token is None:
            raise _Refused(Attempt("deferred", "no OAuth2 access token"))
        try:
            try:
                await client.auth_xoauth2(self._send.user, await self._access_token(False))
            except SMTPAuthenticationError:
                await client.auth_xoauth2(self._send.user, await self._access_token(True))
        except TemporaryError as error:
            raise _Refused(Attempt("deferred", f"no access token: {error}")) from error

    # -------------------------------------------------------------- the transaction

    async def _transact(self, link: _Link, mail: OutboundMail, content: bytes) -> Attempt:
        """MAIL, RCPT, DATA. Raises before RCPT was answered only, so that a stale connection can be replaced."""
        client = link.client
        await self._mail_from(link, mail, len(content))
        try:
            await self._rcpt_to(link, mail)
            reply = await client.execute_command(b"DATA")
            if reply.code != 354:
                raise _Refused(await self._refusal(link, "data", reply.code, reply.message))
            await self._body(client, content)
        except (SMTPException, OSError, TimeoutError) as error:
            # Before the final dot the server has taken no responsibility (RFC 5321 4.1.1.4): it was not accepted.
            self._drop(link)
            return Attempt("deferred", _words(error))
        try:
            reply = await client.execute_command(b".")
        except (SMTPException, OSError, TimeoutError) as error:
            self._drop(link)
            if isinstance(error, SMTPResponseException) and error.code >= 400:
                return Attempt("deferred", _words(error))
            return Attempt("unknown", f"after the final dot: {_words(error)}")
        text = f"{reply.code} {reply.message}"[:_LONGEST_REPLY]
        link.mails += 1
        if 200 <= reply.code < 300:
            self._keep(link)
            return Attempt("sent", text)
        return await self._refusal(link, "dot", reply.code, reply.message)

    async def _mail_from(self, link: _Link, mail: OutboundMail, size: int) -> None:
        client = link.client
        wide = not (mail.reverse_path.isascii() and mail.recipient.isascii())
        local_parts = split_address(mail.reverse_path)[0] + split_address(mail.recipient)[0]
        wide = wide and not local_parts.isascii()
        if wide and not client.supports_extension("smtputf8"):
            self._keep(link)
            raise _Refused(Attempt("failed", "553 5.6.7 the server does not take internationalised addresses"))
        options = ["SMTPUTF8"] if wide else []
        if client.supports_extension("size"):
            options.append(f"SIZE={size}")
        if client.supports_extension("dsn"):
            # The report that comes back names the mail even where no bounce token survives (mail.md 7.3).
            options += ["RET=HDRS", f"ENVID={mail.message_id.strip('<>').partition('@')[0]}"]
        try:
            path = _on_wire(mail.reverse_path)
            await client.mail(path, options=options, encoding="utf-8" if wide else "ascii")
        except SMTPResponseException as error:
            if error.code == 421 and link.mails:
                raise SMTPServerDisconnected(str(error.message)) from error  # it had been idle for too long
            raise _Refused(await self._refusal(link, "mail", error.code, str(error.message))) from error

    async def _rcpt_to(self, link: _Link, mail: OutboundMail) -> None:
        wide = not split_address(mail.recipient)[0].isascii()
        try:
            await link.client.rcpt(_on_wire(mail.recipient), encoding="utf-8" if wide else "ascii")
        except SMTPResponseException as error:
            raise _Refused(await self._refusal(link, "rcpt", error.code, str(error.message))) from error

    async def _body(self, client: SMTP, content: bytes) -> None:
        """Send everything but the final dot and wait until it has left."""
        protocol = client.protocol
        if protocol is None or protocol.transport is None:
            raise ConnectionResetError("connection lost")
        payload = _LINE_END.sub(b"\r\n", content)
        payload = re.sub(rb"(?m)^\.", b"..", payload)
        if not payload.endswith(b"\r\n"):
            payload += b"\r\n"
        if isinstance(protocol.transport, asyncio.WriteTransport):
            protocol.transport.set_write_buffer_limits(high=0)
        protocol.write(payload)
        # No public drain in aiosmtplib 5.1; without it a loss before the dot could not be told from one after it.
        patience = self._timeout * (1 + len(payload) / 1_000_000)
        await asyncio.wait_for(protocol._drain_helper(), patience)

    async def _refusal(self, link: _Link, step: str, code: int, message: str) -> Attempt:
        """The outcome for a reply that is no success; leaves the connection ready for another mail, or closed."""
        reply = f"{code} {message}"[:_LONGEST_REPLY]
        try:
            if link.client.is_connected and code != 421:
                await link.client.rset()
                self._keep(link)
            else:
                self._drop(link)
        except (SMTPException, OSError, TimeoutError):
            self._drop(link)
        if speaks_of_us(reply, step):  # ours to repair, and nothing about this mail
            return Attempt("deferred", reply, barred=True, step=step)
        return Attempt("failed" if 500 <= code < 600 else "deferred", reply, step=step)

    async def _pace(self) -> bool:
        """Wait for our turn under ``max_per_minute``; False when that would take too long."""
        limit = self._send.max_per_minute
        if limit <= 0:
            return True
        now = time.monotonic()
        while self._started and now - self._started[0] >= 60:
            self._started.popleft()
        # The turn is booked before waiting, so that those who wait keep their order and their distance.
        start = max(now, self._started[-limit] + 60) if len(self._started) >= limit else now
        if start - now > _LONGEST_WAIT:
            return False
        self._started.append(start)
        await asyncio.sleep(start - now)
        return True


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") in ("localhost", "localhost.localdomain"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _own_name() -> str:
    """What we say in EHLO: the host's name if it is a full one, else an address literal (RFC 5321 4.1.3)."""
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", name) else "[127.0.0.1]"


def _tls_context(send: Send, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=send.ca_file or None)
    if not verify:
        # Between processes of one host encryption proves nothing, and distributions install self-signed certificates.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _on_wire(address: str) -> str:
    """The address with its domain as A-labels."""
    local, domain = split_address(address)
    return f"{local}@{fold_domain(domain)}" if domain and not domain.isascii() else address


def _is_tls(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is one of TLS."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _words(error: BaseException) -> str:
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {error.message}"[:_LONGEST_REPLY]
    return (str(error) or type(error).__name__)[:_LONGEST_REPLY]
