"""Mail that should have told an agent did not: the admins are told (mail.md 15).

An agent's own address refuses mail, said once a day: offers and reminders to that agent reach nobody, and
the agent is the last to notice. Nothing is suppressed: mail is tried as before. Or no offer of a new ticket arrived
anywhere, said once a ticket.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from gateway.model import OutboundMail
from gateway.outbound.alerts import compose_alert
from gateway.settings import Agent, Settings


def write_unreachable(agent: Agent, reply: str, settings: Settings, now: datetime) -> tuple[OutboundMail, ...]:
    """The mail to the admins, or where none is named to the leads; its Message-ID is the same all day."""
    others = [address for address in _admins(settings) if address != agent.address]
    number = _number(f"{agent.handle} {now.date()}")
    name = agent.name or agent.handle
    facts = {"handle": agent.handle, "name": name, "address": agent.address, "reason": reply}
    return compose_alert(settings, "unreachable", number, now, to=others, **facts)


def write_untold(ticket: int, reply: str, settings: Settings, now: datetime) -> tuple[OutboundMail, ...]:
    """No offer of this ticket arrived; the mail to the admins, or where none is named to the leads."""
    facts = {"ticket": str(ticket), "reason": reply}
    return compose_alert(settings, "untold", _number(f"untold {ticket}"), now, to=_admins(settings), **facts)


def _admins(settings: Settings) -> tuple[str, ...]:
    return settings.ticketgate.admin or tuple(
        other.address for other in settings.agents.values() if other.role == "lead" and other.enabled
    )


def _number(about: str) -> int:
    """Makes the Message-ID: the same for the same trouble, so that it is queued once."""
    return int.from_bytes(hashlib.sha256(about.encode()).digest()[:4], "big")
