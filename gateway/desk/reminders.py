"""When somebody is reminded of a customer who waits (mail.md 15): rows with a due time, in business hours."""

from __future__ import annotations

from gateway.desk.calendar import add_business
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.settings import Inbox


def set_reminders(draft: Draft, case: Case, *, owned: bool, inbox: Inbox | None = None) -> None:
    """Start the reminder clock now: for the owner, or for the pool when nobody has the ticket."""
    inbox = inbox or case.ticket_inbox
    kind = "unanswered" if owned else "unclaimed"
    zone = case.settings.ticketgate.timezone
    for step, span in enumerate(inbox.remind.unanswered if owned else inbox.remind.unclaimed):
        draft.set_timer(f"{kind}-{step + 1}", add_business(inbox.hours, zone, case.now, span))
