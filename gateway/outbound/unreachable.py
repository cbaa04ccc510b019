"""An agent's own address refuses mail: the admins are told, once a day (mail.md 15).

Offers and reminders to that agent reach nobody, and the agent is the last to notice. Nothing is suppressed: mail is
tried as before.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from gateway.model import OutboundMail
from gateway.outbound.alerts import compose_alert
from gateway.settings import Agent, Settings


def write_unreachable(agent: Agent, reply: str, settings: Settings, now: datetime) -> tuple[OutboundMail, ...]:
    """The mail to the admins, or where none is named to the leads; its Message-ID is the same all day."""
    admins = settings.ticketgate.admin or tuple(
        other.address for other in settings.agents.values() if other.role == "lead" and other.enabled
    )
    others = [address for address in admins if address != agent.address]
    day = hashlib.sha256(f"{agent.handle} {now.date()}".encode()).digest()
    number = int.from_bytes(day[:4], "big")
    name = agent.name or agent.handle
    facts = {"handle": agent.handle, "name": name, "address": agent.address, "reason": reply}
    return compose_alert(settings, "unreachable", number, now, to=others, **facts)
