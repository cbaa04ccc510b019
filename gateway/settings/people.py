"""Agents and inboxes: agents.toml, [inbox.NAME] and what stands under it, [ack]."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.address import fold_address
from gateway.settings.values import Duration, days, minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One person of the staff, from agents.toml; what the agent changed by mail overlays it (store)."""

    name: str
    """Full name, as customers see it."""
    address: str
    """Registered address: notifications go here, held mail is asked about here."""
    handle: str = ""
    """The table's name in agents.toml."""
    also: tuple[str, ...] = ()
    """Further addresses the agent may write from."""
    role: str = "agent"
    """"agent", "lead" or "observer"."""
    timezone: str = ""
    """IANA zone; empty: that of [ticketgate]."""
    quiet: str = ""
    """Quiet hours, e.g. "18:00-08:00": no mail then, except escalations."""
    notify: str = "all"
    """"all", "mine", "escalations" or "digest"."""
    authentication: str = "aligned"
    """"aligned": DKIM or DMARC pass (or a trusted result, or authenticated submission) and the token;
    "token": the token alone."""
    enabled: bool = True
    """A disabled agent is no agent: tokens stop working at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """[inbox.NAME.offer]: who is told of a new ticket."""

    mode: str = "all"
    """"all", "rotate" (one agent at a time), "digest" or "none"."""
    rotate_after: Duration = minutes(15)
    """rotate: offer to the next agent after this long without a claim."""
    sticky: Duration = days(90)
    """Offer first to the agent who last answered this customer within this time, if not away."""
    cap: int = 0
    """Who has so many own tickets in which a customer waits is not asked alone, only with everybody; 0: no limit."""
    announce_claims: bool = False
    """Tell the others "Bob took it"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """[inbox.NAME.hours]: business hours for reminders and promises."""

    weekdays: str = "mon-fri 09:00-17:30"
    """Days and hours; empty: always open."""
    holidays: tuple[str, ...] = ()
    """Dates, ranges "2026-12-24..2026-12-26", or "file:/path.ics"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind:
    """[inbox.NAME.remind]: counted in business hours."""

    unclaimed: tuple[Duration, ...] = (minutes(30), minutes(120))
    """Remind the pool, then also the lead."""
    unanswered: tuple[Duration, ...] = (minutes(240), days(1))
    """The owner has an unanswered customer mail; then also the lead."""
    waiting: Duration | None = days(7)
    """The customer is silent: ask the owner what to do; "off" disables."""
    auto_close: Duration | None = None
    """Close silently after this long waiting; reopens on reply; "off" disables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """[inbox.NAME.ack]: the automatic "we have your mail"; only ever to proven senders."""

    enabled: bool = True
    """Whether new tickets are acknowledged."""
    template: str = "templates/ack.txt"
    """May not use anything the sender wrote."""
    outside_hours_template: str = ""
    """Another text outside business hours; empty: the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """[inbox.NAME]: one shared address."""

    name: str
    """Display name customers see."""
    address: str
    """The shared address."""
    handle: str = ""
    """The table's name; used in #move and in List-Id."""
    aliases: tuple[str, ...] = ()
    """Other addresses that mean the same inbox."""
    agents: tuple[str, ...] = ()
    """Handles from agents.toml or plain addresses."""
    lead: tuple[str, ...] = ()
    """Handles told about escalations; role "lead"."""
    from_style: str = "agent-via"
    """"agent-via": 'Bob Smith (Example Support)'; "inbox": 'Example Support'."""
    reply_token: str = "auto"
    """"plus", "domain", "none"; "auto" is what doctor proved, "plus" until then."""
    reply_domain: str = ""
    """For "domain": a domain routed to ticketgate and used for nothing else."""
    plus_separator: str = "+"
    """Must equal the mail server's recipient_delimiter."""
    subject_tag: str = "agents"
    """Who sees [#4827] in subjects: "agents", "everyone", "nobody"."""
    signature: str = ""
    """Path of a text appended to relayed answers unless the agent's text already ends with it."""
    offer: Offer = Offer()
    hours: Hours = Hours()
    remind: Remind = Remind()
    ack: Acknowledge = Acknowledge()

    def addresses(self) -> tuple[str, ...]:
        """The address and its aliases, folded."""
        return tuple(fold_address(a) for a in (self.address, *self.aliases))


@dataclass(frozen=True, slots=True, kw_only=True)
class AckBudget:
    """[ack]: budget for all inboxes together."""

    per_hour: int = 200
    """Above this acknowledgements stop and the admin is told."""
