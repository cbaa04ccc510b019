"""What becomes of held mail that nobody decides: one reminder, then the history says "never sent" (mail.md 12.2).

Each held mail has one row with a due time, ``held-EVENT``, that is the reminder first and the end afterwards. Both due
times are counted from the hold, so a desk that was down for a month reminds and ends in the right order, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.model import HeldFact, Instruction, Person, Plan, Timer

_NOTE = "note"


def set_expiry(draft: Draft, held: HeldFact, facts: Mapping[str, str] | None = None) -> None:
    """Start the clock of a held mail; an answer that lost the race becomes a note instead, where that is configured.

    ``facts`` are those of the first notice: the reminder says the same, with ``reason`` and ``other`` as it had them.
    """
    rules, now = draft.case.settings.commands, draft.case.now
    data = {"held": str(held.event)}
    if held.reason == "collision" and rules.collision_default.startswith(_NOTE):
        hours = int(rules.collision_default.removeprefix(_NOTE).strip().rstrip("h") or "24")
        draft.set_timer(f"collision-{held.event}", now + timedelta(hours=hours), party=held.party, data=data)
        return
    end = now + rules.hold_for
    data = {**(facts or {}), **data, "end": end.isoformat()}
    draft.set_timer(f"held-{held.event}", end - rules.hold_for / 2, party=held.party, data=data)


def plan_collision_expired(case: Case, timer: Timer) -> Plan:
    """An answer that lost the race and that nobody decided becomes a note for the colleague."""
    draft = Draft(case)
    held = _undecided(case, timer)
    if held is not None:
        draft.resolve(held.event, "noted")
        instruction = Instruction(act=_NOTE, by=held.party, ticket=held.ticket, event=held.event, text=held.text)
        draft.release(held.journal, instruction)
        draft.explain(f"held answer {held.event} was not decided in time: kept as a note")
    return draft.plan("clock")


def plan_held(case: Case, timer: Timer) -> Plan:
    """The reminder of a held mail, or its end."""
    draft = Draft(case)
    held = _undecided(case, timer)
    if held is None:
        draft.explain("held mail was decided before")
        return draft.plan("clock")
    end = datetime.fromisoformat(timer.data.get("end") or case.now.isoformat())
    author = next((p for p in case.facts.agents.values() if p.party == held.party), None)
    once = bool(timer.data.get("once"))  # orders or a link that could do nothing, and no words: said once is enough
    if case.now < end:
        if not once:
            _remind(draft, case, held, author, timer.data)
        draft.set_timer(timer.kind, end, party=timer.party, data=timer.data)
    else:
        _end(draft, held, None if once else author)
    return draft.plan("clock")


def _remind(draft: Draft, case: Case, held: HeldFact, author: Person | None, facts: Mapping[str, str]) -> None:
    """The question again, once: to its author where that is an agent, else to whoever was shown the mail."""
    data = {**facts, "expiring": facts.get("end", "")}
    reason = facts.get("reason") or held.reason
    if author is not None and _is_present(case, author):
        other = int(facts.get("other") or 0)
        draft.notify("held-reminder", [author], about=held.event, other=other, reason=reason, data=data)
        draft.explain(f"{author.agent} is reminded of held mail {held.event}")
        return
    people = assignment.owner_or_pool(case)
    sender = next((p for p in case.ticket.participants if p.party == held.party), None) if case.ticket else None
    draft.notify("unproven", people, about=held.event, author=sender, reason=reason, data=data)
    draft.explain(f"held mail {held.event} is shown again to " + (", ".join(p.agent for p in people) or "nobody"))


def _end(draft: Draft, held: HeldFact, author: Person | None) -> None:
    """Kept in the history as never sent. Only an agent is told: whoever is not proven gets no mail of ours."""
    draft.resolve(held.event, "expired")
    if author is None:
        draft.add_event("expired", answers=held.event, reason=held.reason)
    else:
        draft.notify("expired", [author], about=held.event, reason=held.reason)
    draft.explain(f"held mail {held.event} was not decided in time: kept as never sent")


def _undecided(case: Case, timer: Timer) -> HeldFact | None:
    event = int(timer.data.get("held", "0"))
    held = case.ticket.held if case.ticket else ()
    return next((h for h in held if h.event == event and not h.resolution), None)


def _is_present(case: Case, person: Person) -> bool:
    agent = case.settings.agents.get(person.agent)
    return agent is not None and agent.enabled
