"""What had been said in the ticket that a mail answers, as evidence of quotation. Reads only, and little."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from gateway.model import Clues, Conversation, InboundMail, Said
from gateway.store.loading import MAX_NUMBER
from gateway.store.schema import events, message_ids, tickets

MOST_EVENTS = 8
"""Texts of the conversation that a mail is compared with: the latest."""
MOST_TEXT = 32_768
"""Characters of each."""
_MOST_MERGES = 10

_MERGED_INTO = sa.select(tickets.c.merged_into).where(tickets.c.number == bindparam("its_number"))
_TICKETS_OF_IDS = (
    sa.select(message_ids.c.message_id, message_ids.c.ticket)
    .where(message_ids.c.message_id.in_(bindparam("ids", expanding=True)), message_ids.c.event > 0)
    .order_by(message_ids.c.id)
)
_SAID = (
    sa.select(events.c.number, events.c.kind, sa.func.substr(events.c.text, 1, MOST_TEXT).label("text"))
    .where(
        events.c.ticket == bindparam("its_number"),
        events.c.kind.in_(("mail", "answer")),
        events.c.public,
        events.c.text != "",
        events.c.at <= bindparam("arrived"),
        events.c.journal != bindparam("own"),
    )
    .order_by(events.c.number.desc())
    .limit(MOST_EVENTS)
)


def recall_conversation(tx: Connection, clues: Clues, mail: InboundMail) -> Conversation | None:
    """The public texts of the one ticket the clues propose first, as they were when the mail arrived.

    A later event cannot be quoted in the mail, so a mail that is processed late, or again, meets the same texts. None
    when there is no such ticket or nothing was said in it. Whether the mail really is of that ticket is decided later:
    only then the comparison counts.
    """
    number = find_proposed(tx, clues)
    if not number:
        return None
    rows = tx.execute(_SAID, {"its_number": number, "arrived": mail.envelope.received_at, "own": mail.id}).all()
    if not rows:
        return None
    said = tuple(Said(text=row.text, ours=row.kind == "answer") for row in rows)
    return Conversation(ticket=number, events=tuple(row.number for row in rows), said=said)


def find_proposed(tx: Connection, clues: Clues) -> int:
    """The one ticket the clues propose first, or where that went by merges; 0 for none. Nobody may do anything yet."""
    number = next(_proposed(tx, clues), 0)
    for _ in range(_MOST_MERGES):
        merged_into = tx.execute(_MERGED_INTO, {"its_number": number}).scalar() if 0 < number <= MAX_NUMBER else None
        if not merged_into:
            break
        number = merged_into
    return number if 0 < number <= MAX_NUMBER else 0


def _proposed(tx: Connection, clues: Clues) -> Iterator[int]:
    """Numbers of tickets in the order of the ladder (threading/match.py); what is stored is asked for last."""
    yield from (token.ticket for token in (*clues.tokens, *clues.own_ids) if token.ticket)
    referred = (*clues.in_reply_to, *reversed(clues.references))
    if referred:
        known: dict[str, int] = {}
        for row in tx.execute(_TICKETS_OF_IDS, {"ids": [*referred, *map(str.lower, referred)]}):
            known.setdefault(row.message_id, row.ticket)
        yield from (
            known.get(one) or known.get(one.lower(), 0) for one in referred if {one, one.lower()} & known.keys()
        )
    yield from (number for number in (clues.reference_line, clues.subject_reference) if number)
