"""Verbs about time: ``#snooze``, ``#followup``, ``#ack``, ``#wait`` (mail.md 14, 15)."""

from __future__ import annotations

from datetime import datetime

from gateway.desk.case import Case
from gateway.desk.choices import zone_of
from gateway.desk.deed import Deed, Problem, trouble
from gateway.desk.moments import read_when
from gateway.desk.reminders import set_reminders
from gateway.model import Command, State, TicketChange


def check_when(case: Case, command: Command) -> Problem | None:
    """A time that exists and lies ahead."""
    return None if _when(case, command) else trouble("when", command)


def check_snooze(case: Case, command: Command) -> Problem | None:
    if case.ticket is not None and case.ticket.state is State.SPAM:
        return trouble("is-spam", command)
    return check_when(case, command)


def snooze(deed: Deed) -> str:
    """Out of everybody's lists until then, or until the customer writes."""
    until = _when(deed.case, deed.command)
    assert until is not None
    deed.draft.add_event("snooze", party=deed.person.party, reason=until.isoformat())
    deed.draft.change(TicketChange(state=State.SNOOZED, snoozed_until=until))
    deed.draft.clear_timers("unclaimed", "unanswered", "waiting", "followup")
    deed.draft.set_timer("snooze", until, data={"by": str(deed.person.party)})
    deed.draft.explain(f"hidden until {until.isoformat()}")
    return f"snooze {until.isoformat()}"


def followup(deed: Deed) -> str:
    """Stays waiting; only the agent who asked is reminded, and only if the customer stays silent."""
    at = _when(deed.case, deed.command)
    assert at is not None
    deed.draft.add_event("followup", party=deed.person.party, reason=at.isoformat())
    deed.draft.change(TicketChange(state=State.WAITING))
    # Whoever names a time is not asked before it what should become of the ticket, and nobody closes it meanwhile.
    deed.draft.clear_timers("unclaimed", "unanswered", "snooze", "waiting", "autoclose")
    deed.draft.set_timer("followup", at, party=deed.person.party)
    deed.draft.explain(f"{deed.person.agent} is reminded at {at.isoformat()} if the customer stays silent")
    return f"followup {at.isoformat()}"


def ack(deed: Deed) -> str:
    """ "I am on it": the reminder clock starts again."""
    deed.draft.add_event("ack-reminder", party=deed.person.party)
    deed.draft.clear_timers("unanswered", "unclaimed")
    if deed.ticket.state in (State.NEW, State.OPEN):
        set_reminders(deed.draft, deed.case, owned=deed.ticket.owner is not None)
    deed.draft.explain("the reminder clock starts again")
    return "ack"


def wait(deed: Deed) -> str:
    """The customer has to answer."""
    deed.draft.add_event("wait", party=deed.person.party)
    deed.draft.change(TicketChange(state=State.WAITING))
    deed.draft.clear_timers("unclaimed", "unanswered", "snooze")
    deed.draft.explain("waiting for the customer")
    return "wait"


def _when(case: Case, command: Command) -> datetime | None:
    return read_when(command.argument, case.now, zone_of(case.agent, case.settings))
