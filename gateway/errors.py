"""What we say when we cannot do what was asked: two exceptions and the one table of replies.

Strangers read the public text, so it is bland; the cause goes to the log. Anything unforeseen is temporary
(architecture promise 4): there is no row with a 5xx code for a failure of our own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP or LMTP reply: code, enhanced code (RFC 3463), public text."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


REPLIES = {
    # name                         what the other side reads (security.md 10, ops.md 9.1)
    "trouble": Reply(451, "4.3.0", "Temporary trouble here, try again later"),
    "no-space": Reply(452, "4.3.1", "Not enough storage here, try again later"),
    "one-recipient": Reply(452, "4.5.3", "One recipient per transaction"),
    "too-many": Reply(421, "4.7.0", "Too many connections or commands"),
    "too-slow": Reply(421, "4.4.2", "Others wait for this connection, try again later"),
    "bad-tokens": Reply(451, "4.7.1", "Try again later"),
    "stopping": Reply(421, "4.3.2", "Service restarting"),
    "no-mailbox": Reply(550, "5.1.1", "No such mailbox here"),
    "not-ours": Reply(554, "5.7.1", "Not a domain of ours"),
    "too-large": Reply(552, "5.3.4", "Message larger than the limit"),
    "syntax": Reply(500, "5.5.2", "Syntax error"),
    "bad-argument": Reply(501, "5.5.4", "Syntax error in parameters"),
    "bad-sequence": Reply(503, "5.5.1", "Bad sequence of commands"),
}
"""Name -> reply. The only place where reply texts stand."""


class TicketgateError(Exception):
    """Base of the two expected kinds. ``name`` is a row of :data:`REPLIES`, ``cause`` is for the log only."""

    def __init__(self, name: str, cause: str = "") -> None:
        super().__init__(cause or name)
        self.name = name
        self.cause = cause

    @property
    def reply(self) -> Reply:
        return REPLIES[self.name]


class TemporaryError(TicketgateError):
    """May go right later: 4xx at an edge, a retry in a worker."""

    def __init__(self, cause: str = "", name: str = "trouble") -> None:
        super().__init__(name, cause)


class PermanentError(TicketgateError):
    """Will never go right: refused inside the session, with a row of the table."""
