"""``#undo``: the last command of this agent on this ticket, or an answer that still waits (mail.md 14).

A mail that changed something leaves in its event what the columns were and became. Undoing puts back only what still is
as the command left it: what a colleague or the customer did since is nobody's to undo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.desk.case import Case
from gateway.desk.deed import Deed, Problem, trouble
from gateway.desk.deeds_merge import part, rejoin
from gateway.desk.draft import Draft
from gateway.desk.reminders import set_reminders
from gateway.desk.retelling import tell_undone
from gateway.desk.telling import tell_owner
from gateway.model import Command, EventFact, State, TicketChange, TicketFacts

UNDO_FOR = timedelta(days=30)
_SAID = ("mail", "answer", "note", "asked", "third")
"""Lines that are somebody's words."""
_COLUMNS = ("title", "inbox", "priority", "tags", "watchers", "muted", "state", "owner", "customer")


@dataclass(frozen=True, slots=True)
class Undoing:
    """What ``#undo`` would take back."""

    event: EventFact
    was: Mapping[str, Any]
    """Column -> [before, after]; besides "joined", "left", "choices", "blocks", "merge", "split"."""
    relayed: tuple[int, ...] = ()
    """The mails of an answer that are still waiting."""


# ------------------------------------------------------------------ remembering


def remember(draft: Draft) -> bool:
    """Write into the first line of this plan what it changes, for ``#undo``; False when nothing."""
    ticket, events = draft.case.ticket, draft.events
    if ticket is None or not events:
        return False
    was: dict[str, Any] = {}
    change = draft.changed
    for name in _COLUMNS:
        before, after = _value(ticket, name), getattr(change, name)
        after = list(after) if isinstance(after, tuple) else after
        if after is not None and after != before:
            was[name] = [before, after]
    slept = ticket.state is State.SNOOZED
    if change.snoozed_until is not None or (slept and "state" in was):
        was["snoozed_until"] = ticket.snoozed_until.isoformat() if ticket.snoozed_until else ""
    if change.snoozed_until is not None and slept:
        was["snoozed_to"] = change.snoozed_until.isoformat()
    present = {p.party for p in ticket.participants}
    joined = [n for n in change.add_participants if n not in present]
    left = [n for n in change.remove_participants if n in present]
    was |= {"joined": joined} if joined else {}
    was |= {"left": left} if left else {}
    chosen = draft.case.facts.choices
    choices = [[handle, name, chosen.get(handle, {}).get(name), value] for handle, name, value in draft.choices]
    was |= {"choices": choices} if choices else {}
    blocks = [a for a, blocked in draft.blocks if blocked and a not in draft.case.facts.blocks]
    was |= {"blocks": blocks} if blocks else {}
    split = next((e.data["into"] for e in events if e.kind == "split"), "")
    was |= {"split": int(split)} if split else {}
    line = next((e for e in events if e.from_mail), events[0])
    if change.merged_into is None and (was or line.kind in ("answer", "asked")):
        draft.annotate(line.number, {"undo": json.dumps(was)})
    # A merge is remembered on the other side, where its people go on.
    return bool(was)


def _value(ticket: TicketFacts, name: str) -> Any:
    if name in ("owner", "customer"):
        person = ticket.owner if name == "owner" else ticket.customer
        return person.party if person else 0
    value = getattr(ticket, name)
    return list(value) if isinstance(value, tuple) else value


# ------------------------------------------------------------------ finding


def find_undo(case: Case) -> Undoing | Problem:
    """What would be taken back, or the reason why nothing can be.

    An answer that was sent stands in the way of what was done before it. Of that only a merge and a split are offered
    instead, as a question: everything else a person puts right by hand.
    """
    ticket, person = case.ticket, case.agent_person
    if ticket is None or person is None:
        return _nothing("nothing-to-undo")
    mine = [e for e in ticket.events if e.party == person.party and "undo" in e.data]
    undone = {e.answers: e for e in ticket.events if e.kind in ("undo", "withdraw")}
    if case.match.ground == "action" and not case.sure:
        # The link below a confirmation means that command, however often it is pressed.
        mine = [e for e in mine if e.number <= case.match.event][-1:]
        again = undone.get(mine[0].number) if mine else _parted(ticket, case.match.event)
        if again is not None:
            by = next((p.agent for p in case.facts.agents.values() if p.party == again.party), "")
            return _nothing("undo-again", at=again.at.isoformat(), by=by)
    left = [e for e in reversed(mine) if e.number not in undone and case.now - e.at <= UNDO_FOR]
    if not left:
        return _nothing("nothing-to-undo")
    found = _undoing(case, left[0])
    if isinstance(found, Undoing) or found.reason != "undo-late" or (case.match.ground == "action" and not case.sure):
        return found
    before = next((e for e in left[1:] if {"merge", "split"} & set(json.loads(e.data["undo"]))), None)
    if before is None:
        return found
    if case.sure:
        return _undoing(case, before)
    was = json.loads(before.data["undo"])
    numbers = [each["number"] for each in was["merge"]] if "merge" in was else [was["split"]]
    doubt = "undo-merge" if "merge" in was else "undo-split"
    return _nothing("undo-asks", doubt=doubt, one=", ".join(f"#{number}" for number in numbers))


def _parted(ticket: TicketFacts, pressed: int) -> EventFact | None:
    """The end of a merge whose undo link stands in this ticket: what was undone is remembered in the other one."""
    return next((e for e in ticket.events if e.kind == "unmerged" and e.number > pressed), None)


def _undoing(case: Case, event: EventFact) -> Undoing | Problem:
    """Whether this one command or answer can be taken back."""
    ticket = case.ticket
    assert ticket is not None
    was: dict[str, Any] = json.loads(event.data["undo"])
    relayed = tuple(e.number for e in ticket.events if e.kind == "relayed" and e.answers == event.number)
    if event.kind in ("answer", "asked") and not (relayed and set(relayed) <= case.facts.unsent):
        return _nothing("undo-late")
    undoing = Undoing(event, was, relayed)
    columns = _columns_back(ticket, was) or _slept_until(ticket, was)
    effective = relayed or columns or set(was) - {*_COLUMNS, "snoozed_until", "snoozed_to"}
    return undoing if effective else _nothing("undo-changed")


def _nothing(reason: str, **facts: str) -> Problem:
    return Problem(reason, {"verb": "undo", "value": "", "names": "", **facts})


def tickets_to_undo(case: Case) -> tuple[int, ...]:
    """The other tickets that ``#undo`` would touch, also once it is confirmed."""
    found = find_undo(replace(case, sure=True))
    if isinstance(found, Problem):
        return ()
    numbers = [int(was["number"]) for was in found.was.get("merge", ())]
    return (*numbers, *([int(found.was["split"])] if "split" in found.was else []))


def _columns_back(ticket: TicketFacts, was: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that still are as the command left them, with what they were."""
    return {
        name: was[name][0]
        for name in _COLUMNS
        if name in was and was[name][1] == _value(ticket, name) and not (name == "customer" and not was[name][0])
    }


def _slept_until(ticket: TicketFacts, was: Mapping[str, Any]) -> datetime | None:
    """Until when the ticket was hidden before a ``#snooze`` of a hidden ticket that is still as it left it."""
    if not was.get("snoozed_to") or not was.get("snoozed_until") or ticket.state is not State.SNOOZED:
        return None
    same = ticket.snoozed_until == datetime.fromisoformat(was["snoozed_to"])
    return datetime.fromisoformat(was["snoozed_until"]) if same else None


def _followup_before(ticket: TicketFacts, event: EventFact, now: datetime) -> EventFact | None:
    """The ``#followup`` that was running when the undone command came."""
    ends = ("followup", "answer", "mail", "snooze", "open", "close", "spam", "undo", "withdraw")
    before = [e for e in ticket.events if e.number < event.number and e.kind in ends]
    last = before[-1] if before else None
    ahead = last is not None and last.kind == "followup" and datetime.fromisoformat(last.reason) > now
    return last if ahead else None


def check_undo(case: Case, command: Command) -> Problem | None:
    found = find_undo(case)
    if isinstance(found, Problem):
        return found
    missing = [n for n in tickets_to_undo(case) if n not in case.facts.tickets]
    return trouble("ticket", command, value=str(missing[0])) if missing else None


# ------------------------------------------------------------------ doing


def undo(deed: Deed) -> str:
    """Put back what is still as the command left it; stop the answer if it waits."""
    found = find_undo(deed.case)
    assert isinstance(found, Undoing)
    draft, was = deed.draft, found.was
    kind = "withdraw" if found.relayed else "undo"
    line = draft.add_event(kind, party=deed.person.party, answers=found.event.number)
    for number in found.relayed:
        draft.withdraw(number)
    back = _columns_back(deed.ticket, was)
    if back.get("owner") and not _is_there(deed.case, back["owner"]):
        back["owner"] = 0  # who had it before has left since: it is everybody's, and its clock says so
    _put_back(draft, back, was)
    if deed.ticket.state in (State.CLOSED, State.SPAM) and back.get("state"):
        tell_owner(deed, "reopen", line)
    until = _slept_until(deed.ticket, was)
    if until is not None:
        draft.change(TicketChange(snoozed_until=until))
        draft.set_timer("snooze", until)
    promised = _followup_before(deed.ticket, found.event, deed.case.now)
    if back.get("state") == State.WAITING and promised is not None:
        draft.set_timer("followup", datetime.fromisoformat(promised.reason), party=promised.party)
    draft.change(TicketChange(add_participants=_parties(was, "left"), remove_participants=_parties(was, "joined")))
    chosen = deed.case.facts.choices
    for handle, name, before, after in was.get("choices", ()):
        if handle == deed.person.agent and chosen.get(handle, {}).get(name, "") == after:
            draft.choose(handle, name, before or "")
    for address in was.get("blocks", ()):
        draft.block(address, False)
    if was.get("merge"):
        part(deed, was["merge"])
    if was.get("split"):
        rejoin(deed, int(was["split"]))
    draft.explain(f"event {found.event.number} of {deed.person.agent} undone")
    return _say_undone(deed.case, found, back | ({"snoozed_until": until.isoformat()} if until else {}))


def _say_undone(case: Case, found: Undoing, back: Mapping[str, Any]) -> str:
    """What is where now, for the confirmation: tickets that part or join again are named."""
    ticket = case.ticket
    assert ticket is not None
    if found.was.get("merge"):
        parted = ", ".join(f"#{was['number']}" for was in found.was["merge"])
        later = (e for e in ticket.events if e.number > found.event.number and "from" not in e.data)
        stays = any(e.kind in _SAID for e in later)
        return f"undo-merge {parted}" + ("\nundo-stays" if stays else "")
    if found.was.get("split"):
        return f"undo-split #{found.was['split']}"
    return tell_undone(case, found.event, found.was, back)


def _is_there(case: Case, party: int) -> bool:
    agents = case.settings.agents
    return any(p.party == party and h in agents and agents[h].enabled for h, p in case.facts.agents.items())


def _parties(was: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(int(party) for party in was.get(name, ()))


def _put_back(draft: Draft, back: Mapping[str, Any], was: Mapping[str, Any]) -> None:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in back.items()}
    state = State(values["state"]) if "state" in values else None
    if state is not None:
        values["state"] = state
        draft.clear_timers("unclaimed", "unanswered", "snooze", "followup")
    if state is State.SNOOZED:
        until = datetime.fromisoformat(was["snoozed_until"]) if was.get("snoozed_until") else draft.case.now
        values["snoozed_until"] = until
        draft.set_timer("snooze", until)
    draft.change(TicketChange(**values))
    ticket = draft.case.ticket
    if state in (State.NEW, State.OPEN) and ticket is not None:
        owner = values.get("owner", ticket.owner.party if ticket.owner else 0)
        set_reminders(draft, draft.case, owned=bool(owner))
