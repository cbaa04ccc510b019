"""What the desk does: [tickets], [customer], [agent_mail], [commands], [security]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.settings.values import Duration, Secret, Size, days, minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """[tickets]."""

    first_number: int = 1
    reopen: Duration = days(30)
    """A reply to a ticket closed longer ago starts a linked new one."""
    same_subject_window: Duration = days(7)
    """Only used to suggest merges, never to merge."""
    auto_replies: str = "ticket"
    """A machine mail that matches nothing: "ticket" (no acknowledgement) or "drop" (counted, kept raw)."""
    unknown_participant: str = "show"
    """"show" to agents, flagged, never relayed; or "new-ticket"."""
    max_messages: int = 90
    """A continuation thread starts here: Gmail splits a conversation after 100 mails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """[customer]: what customers receive."""

    quote: str = "last"
    """What of the history goes below an answer: "last" or "none"."""
    html: str = "auto"
    """Keep the agent's formatting if it used any: "auto" or "never"."""
    reference: str = "footer"
    """One small line 'Reference 4827-eaer': "footer" or "none"."""
    attachments_max: Size = Size(20 * 1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMail:
    """[agent_mail]: what agents receive."""

    batch: Duration = minutes(2)
    """Customer mails closer together than this are one notification."""
    history: int = 3
    """Earlier messages shown below the new one."""
    html: bool = True
    actions: tuple[str, ...] = ("claim", "close", "snooze 1d", "spam", "help")
    """One-tap links in the footer."""
    thread_index: bool = True
    """Add Thread-Topic and Thread-Index for Outlook."""
    max_size: Size = Size(10 * 1024 * 1024)
    """Larger attachments are listed and sent on #show N files."""
    digest: str = "08:30"
    """Daily, business days; "off" disables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """[commands]."""

    prefixes: str = "#!/"
    hold_for: Duration = days(7)
    """Held mail waits this long, with one reminder."""
    collision_default: str = "note 24h"
    """An answer that lost the race becomes an internal note after this long, or "hold"."""
    bare_words: bool = True
    """A reply that says only 'claim' is a command."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Own words, any language: { erledigt = "close" }."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """[security]."""

    loop_limit: str = "10/1h"
    """Mails per ticket from one sender; above: quarantine."""
    new_ticket_limit: str = "30/1h"
    """New tickets per sender; above: quarantine."""
    begin_limit: str = "20/1h"
    """Tickets an agent begins with #new; above: refused."""
    sender_block: tuple[str, ...] = ()
    """Addresses or "*@domain" whose mail goes to quarantine."""
    strip_types: tuple[str, ...] = ()
    """Attachment types never relayed."""
    clamd: str = ""
    token_key: Secret = Secret("file:/var/lib/ticketgate/token.key")
    """HMAC keys of tokens and Message-IDs; made by init; in backups."""
    seal_key: Secret = Secret("")
    """The key that signs the record; empty: seal.key beside the token key, made at the first start; in backups."""
