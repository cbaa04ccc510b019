"""An agent's own address refuses mail: the admins are told, once a day (mail.md 15).

Offers and reminders to that agent reach nobody, and the agent is the last to notice. Nothing is suppressed: mail is
tried as before.
"""

from __future__ import annotations

import hashlib
import socket
from datetime import datetime

from gateway.model import Notice, OutboundMail, Person, Plan
from gateway.outbound.compose import compose_all
from gateway.settings import Agent, Settings


def write_unreachable(agent: Agent, reply: str, settings: Settings, now: datetime) -> tuple[OutboundMail, ...]:
    """The mail to the admins, or where none is named to the leads; its Message-ID is the same all day."""
    admins = settings.ticketgate.admin or tuple(
        other.address for other in settings.agents.values() if other.role == "lead" and other.enabled
    )
    others = [address for address in admins if address != agent.address]
    day = hashlib.sha256(f"{agent.handle} {now.date()}".encode()).digest()
    text = (
        f"Mail to {agent.name or agent.handle} <{agent.address}> is refused for good. Offers, customers' answers and\n"
        "reminders do not arrive there. They are still tried; what is theirs is shown by\n"
        f"    ticketgate tickets --owner {agent.handle}\n"
        "Correct the address in agents.toml, or take the agent out.\n\n"
        f"  Reason    {reply}\n"
    )
    notice = Notice(
        kind="alert",
        event=int.from_bytes(day[:4], "big") % 100_000,
        recipients=tuple(Person(party=0, address=address) for address in others),
        text=text,
        data={"host": socket.gethostname(), "problem": f"mail to agent {agent.handle} is refused"},
    )
    return compose_all(Plan(outcome="alert", notices=(notice,)), None, settings, now) if notice.recipients else ()
