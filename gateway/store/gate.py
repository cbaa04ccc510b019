"""Whether the outbox is held as a whole, because the store was put back (:mod:`gateway.store.recovery`)."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.store.columns import EPOCH
from gateway.store.schema import counters

HELD = "held-since"
"""The counter that says so: since when something may be missing, in microseconds since 1970; 0 or none: not held."""

_HELD_SINCE = sa.select(counters.c.value).where(counters.c.name == HELD)


def held_since(tx: Connection) -> datetime | None:
    """Since when the store may have lost something, while its outbox is held for that; None: it is not."""
    value = tx.execute(_HELD_SINCE).scalar()
    return EPOCH + timedelta(microseconds=value) if value else None


def is_held(tx: Connection) -> bool:
    """Nothing leaves and no timer falls due until ``ticketgate queue release``."""
    return held_since(tx) is not None
