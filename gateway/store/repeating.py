"""A mail that did not arrive, queued once more as it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from gateway.model import Repeat
from gateway.store import deliveries, suppression


def repeat(tx: Connection, again: Repeat, ticket: int, reverse_path: str, now: datetime) -> bool:
    """Queue the frozen mail as that of another event, at ``ticket`` now; False when it is not kept any more."""
    found = deliveries.find_of_event(tx, again.ticket, again.event, again.party)
    if not found or not found[-1].delivery.mail.content:  # erased, or older than retention keeps it
        return False
    mail = replace(found[-1].delivery.mail, ticket=ticket, event=again.as_event, reverse_path=reverse_path)
    suppression.lift(tx, mail.recipient)  # a person says that it takes mail again
    deliveries.enqueue(tx, (mail,), now)
    return True
