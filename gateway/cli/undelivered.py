"""What ticketgate queue says of mail that did not arrive, or that the relay does not take."""

from __future__ import annotations

import sys
from datetime import datetime

from sqlalchemy import Connection

from gateway.cli.table import harmless, print_table, when
from gateway.settings import Settings
from gateway.store import deliveries
from gateway.store.undelivered import (
    WEEK,
    count_barred,
    count_undelivered,
    describe_barred,
    list_undelivered,
    send_again,
)


def list_failed(tx: Connection, now: datetime, *, as_json: bool) -> None:
    """What did not arrive in the last days, and why."""
    rows = [
        {
            "mail": one.id,
            "state": str(one.state),
            "to": one.recipient,
            "kind": one.kind,
            "ticket": one.ticket,
            "ended": when(one.ended_at),
            "reply": one.reply,
        }
        for one in list_undelivered(tx, now - WEEK)
    ]
    columns = ["mail", "state", "to", "kind", "ticket", "ended", "reply"]
    print_table(rows, columns, stretch="reply", as_json=as_json)
    if rows and not as_json:
        print("\nunknown: it left, and may have arrived. To send one again, as it was: ticketgate queue retry NUMBER")


def point_out(tx: Connection, settings: Settings, now: datetime) -> None:
    """What the list of waiting mails does not say of itself."""
    barred, reply = count_barred(tx)
    if barred:
        print(f"\n{harmless(describe_barred(barred, reply, settings.send.host))}", file=sys.stderr)
    lost = count_undelivered(tx, now - WEEK)
    if lost:
        mails = "1 mail" if lost == 1 else f"{lost} mails"
        print(f"\n{mails} of the last 7 days did not arrive; which, and why: ticketgate queue failed", file=sys.stderr)


def retry(tx: Connection, now: datetime, number: int | None) -> int:
    """What waits is tried now; one that did not arrive is sent again. How many."""
    count = deliveries.flush(tx, now, number)
    return count if count or number is None else int(send_again(tx, number, now))
