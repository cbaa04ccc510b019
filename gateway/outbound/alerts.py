"""Mail to the admins about the installation: who notices trouble names it and its facts, the words are templates'.

An alarm is a key of words.toml: ``alarm_KEY`` is the problem in a few words, for the subject and the log, and
``alarm_KEY_text`` what it means and what to do.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import datetime

from gateway.model import Notice, OutboundMail, Person, Plan
from gateway.outbound.compose import compose_all
from gateway.outbound.words import Words
from gateway.settings import Settings


def compose_alert(
    settings: Settings,
    alarm: str,
    number: int,
    now: datetime,
    *,
    to: Sequence[str] | None = None,
    **facts: str,
) -> tuple[OutboundMail, ...]:
    """The mail to the admins, or to these; none when nobody is named.

    ``number`` makes the Message-ID. Of the facts ``reason`` (what a server or the system said), ``minutes`` (how often
    it is repeated) and ``over`` (it has ended) are said with every alarm; the others are named in its words.
    """
    notice = Notice(
        kind="alert",
        event=number % 100_000,
        recipients=tuple(Person(party=0, address=a) for a in (settings.ticketgate.admin if to is None else to)),
        data={"host": socket.gethostname(), "alarm": alarm, **facts},
    )
    return compose_all(Plan(outcome="alert", notices=(notice,)), None, settings, now) if notice.recipients else ()


def name_alarm(settings: Settings, alarm: str, **facts: str) -> str:
    """The problem in a few words, in English: the language of the log."""
    return Words(settings.folder, "en", "UTC").say(f"alarm_{alarm}", **facts)
