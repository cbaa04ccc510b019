"""The last brake before a plan is recorded: who need not be written to again (security.md 8.4).

Headers say that a mail is automatic, and a loop may have lost them all. Two desks that are each other's agents then
answer every question with a question; a stranger who forges an agent's address makes us ask the agent each time. What
is decided stays decided, and the ticket shows it; only the mail about it is left out from the fifth time on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from gateway.address import fold_address
from gateway.desk.case import Case
from gateway.model import Plan

WITHIN = timedelta(hours=1)
TIMES = 4
"""Mails about one author within the hour; two desks then pass nine between them."""
ALTOGETHER = 12
"""About all authors of whom nothing is proven, or about all others: a forger writes under as many names as he likes."""

_WITHOUT_TOKEN = frozenset({"no-token", "agent-token"})


def spare(case: Case, plan: Plan) -> Plan:
    """The plan without the mails that would be one too many."""
    if plan.outcome == "hold" and _asked_enough(case, plan):
        left: tuple[int, ...] = ()  # the same question has been asked of the same people
    elif plan.opens_ticket and _talks_to_itself(case, plan):
        agent = case.agent_person
        left = tuple(p.party for notice in plan.notices for p in notice.recipients if p != agent)
    else:
        return plan
    notices = tuple(
        replace(notice, recipients=told)
        for notice in plan.notices
        if (told := tuple(p for p in notice.recipients if p.party in left))
    )
    if notices == plan.notices:
        return plan
    why = f"the {TIMES + 1}th time within an hour: nobody is written to about it again"
    return replace(plan, notices=notices, explanation=(*plan.explanation, why))


def _asked_enough(case: Case, plan: Plan) -> bool:
    """Mail that nobody's token let in was held here for the same reason again and again."""
    if case.ticket is None or not (case.verdict.outcome == "hold" or plan.reason in _WITHOUT_TOKEN):
        return False
    since = case.now - WITHIN
    recent = {event.number: event for event in case.ticket.events if event.kind == "held" and event.at > since}
    own, proven = fold_address(case.author.address) if case.author else "", case.customer_proven
    held = [recent[h.event].data for h in case.ticket.held if h.event in recent and h.reason == plan.reason]
    # By author, and apart from mail that only claims to be the author's: nobody uses up what is told of another.
    alike = [fold_address(data.get("address", "")) for data in held if ("proven" in data) is proven]
    return alike.count(own) >= TIMES or len(alike) >= ALTOGETHER


def _talks_to_itself(case: Case, plan: Plan) -> bool:
    """An agent's address opened ticket after ticket that forwards nobody's mail."""
    if any(notice.kind == "answer" for notice in plan.notices):
        return False  # the agent wrote to a customer: who is told that it was sent would else be told a lie
    return case.agent is not None and case.findings.forwarded is None and case.facts.new_tickets_by_author >= TIMES
