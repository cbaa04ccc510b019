"""What the sessions of one listener share: its rules, whom to ask, who is connected, and what is in flight."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway import maillog, metrics, settings
from gateway.address import client_network, domain_of, fold_domain
from gateway.model import Envelope
from gateway.settings import Inbox

if TYPE_CHECKING:
    from gateway.ingest.smtp import SmtpSession

_MEMORY = 256 * 1024 * 1024
_MOST_GUESSERS = 10_000
_HOUR = 3600.0
_COMMITS_A_SESSION = 4
"""Each session waits for one commit; the others are of clients that went away meanwhile and may come again."""


class Taken(Protocol):
    """What ``receive`` returns: the row that now holds the mail."""

    @property
    def journal_id(self) -> int:
        """Its number."""


Receive = Callable[[Envelope, bytes], Awaitable[Taken]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one listener behaves. Sizes in octets, times in seconds."""

    protocol: str
    """"lmtp" or "smtp"; also the source of its envelopes."""
    hostname: str
    max_size: int = 25 * 1024 * 1024
    max_sessions: int = 50
    max_sessions_per_client: int = 0
    """0: no limit. Behind an MTA all mail has one address."""
    trust_xforward: bool = False
    """LMTP: believe XFORWARD; SMTP: believe it from loopback clients."""
    tls: ssl.SSLContext | None = None
    idle_timeout: float = 300
    """Between commands and between chunks of DATA."""
    data_timeout: float = 600
    """Of one DATA, from 354 to the dot."""
    slow_after: float = 30
    """A session that has sent next to nothing for so long makes room when all are taken."""
    max_commands: int = 20
    """Since the last mail that was offered whole, then 421."""
    memory: int = _MEMORY
    """For mails being received or committed, all sessions together; above: 452. At least four of max_size are used."""
    max_bad_tokens: int = 0
    """From one client within an hour; then 451 to all its mail, until the oldest is an hour old. 0: no limit."""


def lmtp_rules(lmtp: settings.Lmtp, hostname: str) -> Rules:
    """The listener of [receive.lmtp]."""
    return Rules(
        protocol="lmtp",
        hostname=hostname,
        max_size=lmtp.max_size,
        max_sessions=lmtp.max_sessions,
        trust_xforward=lmtp.trust_xforward,
    )


def smtp_rules(smtp: settings.Smtp, hostname: str, tls: ssl.SSLContext | None = None) -> Rules:
    """The listener of [receive.smtp]."""
    return Rules(
        protocol="smtp",
        hostname=hostname,
        max_size=smtp.max_size,
        max_sessions=smtp.max_sessions,
        max_sessions_per_client=smtp.max_sessions_per_client,
        trust_xforward=smtp.trust_xforward,
        tls=tls,
        max_bad_tokens=20,
    )


def own_domains(everything: settings.Settings) -> frozenset[str]:
    """The domains of all inboxes: an unknown mailbox there is 550, an address elsewhere 554."""
    inboxes = everything.inbox.values()
    addresses = {domain_of(address) for inbox in inboxes for address in inbox.addresses()}
    return frozenset(addresses | {fold_domain(inbox.reply_domain) for inbox in inboxes if inbox.reply_domain})


class Intake:
    """Shared by the sessions of one listener; lives in one event loop."""

    def __init__(
        self,
        rules: Rules,
        receive: Receive,
        find_inbox: Callable[[str], Inbox | None],
        is_our_domain: Callable[[str], bool],
        has_space: Callable[[], bool],
        is_bad_token: Callable[[str], bool],
    ) -> None:
        self.rules = rules
        self._is_bad_token = is_bad_token
        self._guesses: dict[str, deque[float]] = {}
        self.find_inbox = find_inbox
        self.is_our_domain = is_our_domain
        self.stopping = False
        self.sessions: dict[SmtpSession, str] = {}
        self.empty = asyncio.Event()
        """Set when the last session has ended."""
        self.commits: set[asyncio.Task[Taken]] = set()
        self._receive = receive
        self._has_space = has_space
        self._memory = max(rules.memory, 4 * rules.max_size)
        self._reserved = 0

    # -------------------------------------------------------------- who is connected

    def admit(self, session: SmtpSession, client: str) -> str:
        """ "" for a welcome session, else the row of the table of replies to send it away with."""
        rules = self.rules
        if self.stopping:
            return "stopping"
        clients = list(self.sessions.values())
        if rules.max_sessions_per_client and client and clients.count(client) >= rules.max_sessions_per_client:
            return "too-many"
        if len(clients) >= rules.max_sessions:
            slowest = max(self.sessions, key=lambda one: one.idled)
            if slowest.idled < rules.slow_after:
                return "too-many"
            slowest.end("too-slow")  # whoever drips a mail for ten minutes must not keep out everybody else's
        self.sessions[session] = client
        self.empty.clear()
        metrics.sessions(rules.protocol, len(self.sessions))
        return ""

    def forget(self, session: SmtpSession) -> None:
        """A connection ended; said once or more."""
        self.sessions.pop(session, None)
        if not self.sessions:
            self.empty.set()
        metrics.sessions(self.rules.protocol, len(self.sessions))

    def count_guess(self, client: str, recipient: str) -> None:
        """After a mail was taken, never before: neither the reply nor its time says whether the token was right."""
        if not self.rules.max_bad_tokens or not client or not self._is_bad_token(recipient):
            return
        now = time.monotonic()
        if len(self._guesses) >= _MOST_GUESSERS:
            self._guesses = {who: times for who, times in self._guesses.items() if now - times[-1] < _HOUR}
        network = client_network(client)
        times = self._guesses.setdefault(network, deque(maxlen=self.rules.max_bad_tokens))
        times.append(now)
        if len(times) == self.rules.max_bad_tokens:
            maillog.alerted("somebody guesses reply addresses", f"client {network}")

    def guesses_too_much(self, client: str) -> bool:
        """Whether a client's mail is put off because of its wrong tokens (security.md 6)."""
        times = self._guesses.get(client_network(client)) if self._guesses else None
        return times is not None and len(times) == times.maxlen and time.monotonic() - times[0] < _HOUR

    # -------------------------------------------------------------- what is in flight

    def find_trouble(self) -> str:
        """Why no DATA may begin, a row of the table of replies; "" when it may.

        "no-space": no space on disk, or memory full of mails that are not committed yet. "trouble": too many of those,
        because the database stands and clients do not wait for it: small mails would be a queue without end.
        """
        if len(self.commits) >= _COMMITS_A_SESSION * self.rules.max_sessions:
            return "trouble"
        return "" if self._reserved < self._memory and self._has_space() else "no-space"

    def reserve(self, octets: int) -> bool:
        """Count octets kept in memory; False when there are too many, then nothing is counted."""
        if self._reserved + octets > self._memory:
            return False
        self._reserved += octets
        return True

    def release(self, octets: int) -> None:
        """Give back what was reserved."""
        self._reserved -= octets

    def commit(self, envelope: Envelope, raw: bytes, reserved: int) -> asyncio.Task[Taken]:
        """Hand one mail over in a task of its own, which no session's end can cancel. Takes over the reservation."""

        async def commit() -> Taken:
            taken = await self._receive(envelope, raw)
            metrics.intake_worked(self.rules.protocol, time.time())
            return taken

        def done(task: asyncio.Task[Taken]) -> None:
            self.commits.discard(task)
            self.release(reserved)
            if not task.cancelled():
                task.exception()  # looked at here as well: when the session is gone nobody else does

        task = asyncio.create_task(commit())
        self.commits.add(task)
        task.add_done_callback(done)
        return task

    def log_unseen_failure(self, task: asyncio.Task[Taken]) -> None:
        """For a commit whose session ended first: its failure reaches no client, only the log."""
        if not task.cancelled() and (error := task.exception()) is not None:
            maillog.commit_failed(self.rules.protocol, error)
