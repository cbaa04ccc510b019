"""A colleague's deed on somebody's ticket is told to its owner, once (mail.md 15).

Who takes a ticket, gives it away, moves it or answers in it tells its owner elsewhere; here is what leaves it the
owner's. What the same mail tells the owner anyway is not told again: a note's notice says that the ticket was closed.
"""

from __future__ import annotations

from gateway.desk import assignment
from gateway.desk.deed import Deed
from gateway.desk.draft import Draft
from gateway.model import Person, TicketFacts

_TAKES = ("claim", "assign")
"""Verbs that tell the former owner themselves."""


def tell_owner(deed: Deed, how: str, about: int = 0) -> None:
    """Tell the owner that a colleague did ``how`` ("close", "spam", "reopen") to the ticket."""
    owner, draft = assignment.owner_of(deed.case, deed.ticket), deed.draft
    if owner is None or owner.party == deed.person.party:
        return
    taken = draft.changed.owner is not None and draft.changed.owner != owner.party
    noted = any(e.kind == "note" for e in draft.events) and owner.party not in deed.ticket.muted
    if taken or noted or any(c.verb in _TAKES for c in deed.case.orders.commands):
        return
    draft.notify("answered", [owner], about=about, author=deed.person, reason=how)
    draft.explain(f"its owner {owner.agent} is told")


def tell_merged(draft: Draft, ticket: TicketFacts, target: TicketFacts, person: Person, owner_there: int) -> int:
    """A colleague whose ticket was merged away learns where it went, and whether it still is theirs; who was told."""
    owner = assignment.owner_of(draft.case, ticket)
    if owner is None or owner.party == person.party:
        return 0
    keeps = "1" if owner.party == owner_there else ""
    draft.notify("answered", [owner], author=person, reason="merge", data={"into": str(target.number), "keeps": keeps})
    return owner.party


def tell_joined(draft: Draft, owner: Person, person: Person, numbers: str) -> None:
    """The owner of the ticket that others were merged into learns of it."""
    draft.notify("answered", [owner], author=person, reason="joined", data={"from": numbers})
