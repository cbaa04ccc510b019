"""Facts and findings -> Plan: what changes, who is told, what becomes due. One function for each outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.desk import answering, direct, filing, holding
from gateway.desk.brakes import spare
from gateway.desk.case import Case
from gateway.desk.direct import find_begun
from gateway.desk.guessing import note_guesses
from gateway.desk.personal import is_personal, plan_personal
from gateway.desk.watching import keep_watch
from gateway.model import Mailbox, Plan


def _plan_agent(case: Case) -> Plan:
    return plan_personal(case) if is_personal(case) else answering.plan_agent(case)


_OUTCOMES: dict[str, Callable[[Case], Plan]] = {
    "released": answering.plan_released,
    "agent": _plan_agent,
    "file": filing.plan_filed,
    "new": filing.plan_new,
    "new-unproven": filing.plan_new,
    "machine-filed": filing.plan_agents_only,
    "machine-new": filing.plan_machine_new,
    "agents-only": filing.plan_agents_only,
    "report": filing.plan_report,
    "repeat": filing.plan_repeat,
    "sibling": filing.plan_sibling,
    "discard": filing.plan_discarded,
    "sent": direct.plan_sent,
    "hold": holding.plan_held,
    "wait": holding.plan_wait,
}


def make_plan(case: Case) -> Plan:
    """The plan for one mail. Pure: the same case gives the same plan."""
    return keep_watch(case, note_guesses(case, spare(case, _OUTCOMES[case.verdict.outcome](case))))


def without_answers(plan: Plan) -> Plan:
    """A plan less the mails that would only tell its author what was done or refused: somebody else reads that."""
    told = {notice.event for notice in plan.notices if notice.kind in ("command", "held", "help", "list")}
    return replace(
        plan,
        notices=tuple(notice for notice in plan.notices if notice.event not in told),
        events=tuple(event for event in plan.events if event.number not in told),
    )


def wanted_ticket(case: Case) -> int | None:
    """The ticket the plan is about: a number, 0 for a new one, None for none."""
    outcome = case.verdict.outcome
    if outcome in ("new", "new-unproven", "machine-new"):
        dropped = outcome == "machine-new" and case.settings.tickets.auto_replies == "drop"
        return None if dropped else 0
    if is_personal(case):
        return None
    if outcome == "agent" and not case.match.ticket:
        return 0
    instruction = case.mail.instruction
    if instruction is not None:
        return instruction.ticket
    if outcome in ("wait", "repeat", "discard"):
        return None
    return case.match.ticket or None


def customer_of(case: Case) -> Mailbox | None:
    """Whose ticket a new one is: the author, or the original author of an agent's forward."""
    forwarded = case.findings.forwarded
    if case.verdict.role == "agent" and forwarded is not None and forwarded.author is not None:
        return forwarded.author
    begun = find_begun(case)
    return begun[0] if begun else case.author
