"""What an operator may set: frozen types, defaults, a docstring under each field (ops.md 15).

``configure`` makes these from TOML; nothing else reads configuration. ``config/ticketgate.toml`` shows every field
with its default, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.address import fold_address, split_tag, unquote_local
from gateway.reference import Keys
from gateway.settings.desk import AgentMail, Commands, Customer, Security, Tickets
from gateway.settings.operating import Cage, General, Log, Metrics, Retention, Storage
from gateway.settings.people import AckBudget, Acknowledge, Agent, Hours, Inbox, Offer, Remind
from gateway.settings.receiving import Authentication, Imap, Lmtp, OAuth2, Receive, Smtp, TrustedResults
from gateway.settings.sending import Send, SendDkim
from gateway.settings.values import Duration, Secret, Size

__all__ = [
    "AckBudget",
    "Acknowledge",
    "Agent",
    "AgentMail",
    "Authentication",
    "Cage",
    "Commands",
    "Customer",
    "Duration",
    "General",
    "Hours",
    "Imap",
    "Inbox",
    "Lmtp",
    "Log",
    "Metrics",
    "OAuth2",
    "Offer",
    "Receive",
    "Remind",
    "Retention",
    "Secret",
    "Security",
    "Send",
    "SendDkim",
    "Settings",
    "Size",
    "Smtp",
    "Storage",
    "Tickets",
    "TrustedResults",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, checked. ``keys`` and ``agents`` come from their own files."""

    schema: int = 1
    ticketgate: General = General()
    inbox: Mapping[str, Inbox] = field(default_factory=dict)
    ack: AckBudget = AckBudget()
    receive: Receive = Receive()
    authentication: Authentication = Authentication()
    authentication_results: TrustedResults = TrustedResults()
    send: Send = Send()
    tickets: Tickets = Tickets()
    customer: Customer = Customer()
    agent_mail: AgentMail = AgentMail()
    commands: Commands = Commands()
    security: Security = Security()
    storage: Storage = Storage()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    log: Log = Log()
    cage: Cage = Cage()
    agents: Mapping[str, Agent] = field(default_factory=dict)
    keys: Keys = Keys("", {})
    folder: Path = Path("/etc/ticketgate")
    """Where the TOML file stands: relative template paths start here."""

    @property
    def id_domain(self) -> str:
        """Right side of our Message-IDs, List-Ids and X-Loop."""
        if self.ticketgate.id_domain:
            return self.ticketgate.id_domain
        first = next(iter(self.inbox.values()), None)
        return "tickets." + (first.address.rpartition("@")[2].lower() if first else "localhost")

    def find_inbox(self, recipient: str) -> Inbox | None:
        """The inbox that owns an envelope recipient, any tag, any case; None when it is not ours (550 at RCPT)."""
        folded = fold_address(unquote_local(recipient))
        for inbox in self.inbox.values():
            untagged = fold_address(split_tag(folded, inbox.plus_separator)[0])
            if folded in inbox.addresses() or untagged in inbox.addresses():
                return inbox
            if inbox.reply_domain and folded.endswith("@" + inbox.reply_domain.lower()):
                return inbox
        return None

    def oauth_mailbox(self, user: str) -> Imap | None:
        """The mailbox whose OAuth2 registration gives this user's tokens; it need not be read (``enabled``)."""
        kinds = (m for m in self.receive.imap.values() if m.auth.startswith("oauth2") and m.user == user)
        return next(kinds, None)

    def is_own_address(self, address: str) -> bool:
        """Whether an address, in any spelling and with any tag, is one of our inboxes."""
        return self.find_inbox(address) is not None

    def find_agent(self, address: str) -> Agent | None:
        """The enabled agent with this registered or further address."""
        folded = fold_address(address)
        for agent in self.agents.values():
            if agent.enabled and folded in (fold_address(agent.address), *map(fold_address, agent.also)):
                return agent
        return None

    def agents_of(self, inbox: Inbox) -> tuple[Agent, ...]:
        """The enabled agents of an inbox, in the order written."""
        found = []
        for word in inbox.agents:
            agent = self.agents.get(word) or self.find_agent(word)
            if agent and agent.enabled and agent not in found:
                found.append(agent)
        return tuple(found)

    def leads_of(self, inbox: Inbox) -> tuple[Agent, ...]:
        """The enabled leads of an inbox."""
        return tuple(a for a in (self.agents.get(h) for h in inbox.lead) if a and a.enabled)
