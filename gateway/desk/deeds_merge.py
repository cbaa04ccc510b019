"""``#merge`` and ``#split``: tickets that are one, and one that is two (mail.md 14).

A merge copies the history of the merged ticket into the other, line by line, each with a note where it came from
(``data["from"]``: "4827.3"). So the conversation is whole in one place, and an old token's event number can be followed
(threading/match.py). Nothing is removed: an undo within 30 days finds the merged ticket as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.deed import Deed, Problem, trouble
from gateway.desk.draft import Draft
from gateway.desk.expiring import set_expiry
from gateway.desk.reminders import set_reminders
from gateway.desk.telling import tell_joined, tell_merged
from gateway.model import (
    Command,
    EventFact,
    MessageIdFact,
    NewEvent,
    Person,
    State,
    TicketChange,
    TicketFacts,
)

MOST_MERGED = 10
"""Tickets in one ``#merge``."""
_ENDED = (State.CLOSED, State.SPAM)
_TIMERS = ("unclaimed", "unanswered", "waiting", "snooze", "followup")


def read_numbers(argument: str) -> tuple[int, ...]:
    """The ticket numbers of ``4801, #4822``, each once."""
    return tuple(dict.fromkeys(int(word[:9]) for word in re.findall(r"\d+", argument)))


def check_merge(case: Case, command: Command) -> Problem | None:
    """Tickets that exist, that the agent may touch and that differ; another customer or a closed one is asked about."""
    numbers, here = read_numbers(command.argument), case.ticket
    assert here is not None
    if len(numbers) > MOST_MERGED:
        return trouble("too-many", command, value=str(MOST_MERGED))
    found = {number: case.facts.tickets.get(number) for number in numbers}
    for number, ticket in found.items():
        if ticket is None:
            return trouble("ticket", command, value=str(number))
        if not _may_touch(case, ticket):
            return trouble("ticket-foreign", command, value=str(number))
    target = found[numbers[0]]
    assert target is not None
    if target.number == here.number:
        return trouble("ticket-itself", command, value=str(numbers[0]))
    torn = _torn([here, *(t for t in found.values() if t is not None)])
    if torn:
        return trouble("merge-sides", command, value=torn)
    if case.sure:
        return None
    merged = [here, *(t for t in found.values() if t is not None and t.number not in (here.number, target.number))]
    why = _doubts(merged, target)
    return Problem("merge-asks", {"verb": command.verb, **why}) if why else None


def _torn(tickets: Sequence[TicketFacts]) -> str:
    """Whoever takes part in one and was asked beside the customer of another: in one ticket both cannot be kept."""
    taking_part = {p.party for ticket in tickets for p in ticket.participants}
    return next((p.address for ticket in tickets for p in ticket.thirds if p.party in taking_part), "")


def _may_touch(case: Case, ticket: TicketFacts) -> bool:
    inbox, agent = case.settings.inbox.get(ticket.inbox), case.agent
    if agent is None or inbox is None or ticket.inbox == (case.ticket.inbox if case.ticket else ""):
        return agent is not None
    return agent.role == "lead" or agent in case.settings.agents_of(inbox)


def _doubts(merged: Sequence[TicketFacts], target: TicketFacts) -> dict[str, str]:
    """What makes a merge doubtful, as facts for the words (``doubt_…``); empty when nothing does."""
    if target.state in _ENDED:
        return {"doubt": target.state.value, "one": str(target.number)}
    theirs = target.customer.address if target.customer else ""
    for ticket in merged:
        ours = ticket.customer.address if ticket.customer else ""
        if ours != theirs:
            numbers = {"one": str(ticket.number), "other": str(target.number)}
            return {"doubt": "people", **numbers, "ours": ours, "theirs": theirs}
    return {}


def merge(deed: Deed) -> str:
    """This ticket into the first one named, the further ones too; who took part here takes part there."""
    numbers = read_numbers(deed.argument)
    target = deed.case.facts.tickets[numbers[0]]
    others = {t.number: t for t in (deed.case.facts.tickets[n] for n in numbers[1:])}
    for number in (deed.ticket.number, target.number):
        others.pop(number, None)
    there = Draft(replace(deed.case, ticket=target), reason="merge")
    decided = deed.draft.resolved
    waiting = [h for h in deed.ticket.held if not h.resolution and h.event not in decided]
    here = replace(deed.ticket, held=tuple(waiting))
    _copy_history(there, here, deed.person, deed.draft.events, deed.case.mail.id)
    merged = [deed.ticket, *others.values()]
    owner = _owner_of_both(deed.case, target, merged)
    owned_by = owner.party if owner else 0
    _leave(deed.draft, here, target, deed.person)
    told = {tell_merged(deed.draft, deed.ticket, target, deed.person, owned_by)}
    for ticket in others.values():
        side = Draft(replace(deed.case, ticket=ticket), reason="merge")
        _copy_history(there, ticket, deed.person)
        _leave(side, ticket, target, deed.person)
        told.add(tell_merged(side, ticket, target, deed.person, owned_by))
        deed.draft.beside(side.plan("merge"))
    _take_in(there, deed, target, merged, told)
    first = there.events[0].number
    present = {p.party for p in target.participants}
    joined = dict.fromkeys(p.party for ticket in merged for p in ticket.participants if p.party not in present)
    if joined:  # who comes with a merge has read nothing of what was said here before
        there.annotate(first, {"joined": " ".join(map(str, joined))})
    there.annotate(first, {"undo": json.dumps({"merge": [_as_it_was(t, target) for t in merged]})})
    deed.draft.beside(there.plan("merge"))
    deed.draft.explain(f"{', '.join(str(t.number) for t in merged)} merged into {target.number}")
    return f"merge {target.number}"


def _as_it_was(ticket: TicketFacts, target: TicketFacts) -> dict[str, object]:
    """What an undo needs to part the two again."""
    present = {p.party for p in target.participants}
    return {
        "number": ticket.number,
        "state": ticket.state.value,
        "joined": [p.party for p in ticket.participants if p.party not in present],
    }


def _leave(draft: Draft, ticket: TicketFacts, target: TicketFacts, person: Person) -> None:
    """The merged ticket's side: it ends, and its number means the other one."""
    draft.add_event("merged", party=person.party, data={"into": str(target.number)}, reason=f"into {target.number}")
    draft.change(TicketChange(state=State.CLOSED, merged_into=target.number))
    draft.clear_timers(*_TIMERS)
    for held in ticket.held:
        if not held.resolution:
            draft.resolve(held.event, "merged")


def _owner_of_both(case: Case, target: TicketFacts, merged: Sequence[TicketFacts]) -> Person | None:
    """Whose the ticket is that all of them become."""
    return next((owner for owner in (assignment.owner_of(case, t) for t in (target, *merged)) if owner), None)


def _take_in(
    draft: Draft, deed: Deed, target: TicketFacts, merged: Sequence[TicketFacts], told: Collection[int]
) -> None:
    """The other side: people, and what still waits for an answer. ``told``: owners who know of the merge already."""
    case = deed.case
    people = tuple(dict.fromkeys(p.party for ticket in merged for p in ticket.participants))
    watching = tuple(dict.fromkeys((*target.watchers, *(w for ticket in merged for w in ticket.watchers))))
    draft.change(TicketChange(add_participants=people, watchers=watching))
    owner, owned_by = assignment.owner_of(case, target), _owner_of_both(case, target, merged)
    if owner is None and owned_by is not None:
        draft.change(TicketChange(owner=owned_by.party))
    waits = any(ticket.state in (State.NEW, State.OPEN) for ticket in merged)
    if waits and target.state not in (State.NEW, State.OPEN):
        owned = owned_by is not None
        draft.change(TicketChange(state=State.OPEN if owned else State.NEW))
        draft.clear_timers(*_TIMERS)
        set_reminders(draft, replace(case, ticket=target), owned=owned)
    mails = [e for e in draft.events if e.kind == "mail" and e.public]
    if owner is None or owner.party in (deed.person.party, *told):
        return
    if not (waits and mails):
        tell_joined(draft, owner, deed.person, ", ".join(f"#{ticket.number}" for ticket in merged))
    else:
        author = next((p for ticket in merged for p in ticket.participants if p.party == mails[-1].party), None)
        draft.notify("customer-reply", [owner], about=mails[-1].number, author=author)


def _copy_history(
    draft: Draft, ticket: TicketFacts, person: Person, latest: Sequence[NewEvent] = (), journal: int = 0
) -> None:
    """Every line of ``ticket`` once more in the other one, below a line that says so."""
    number = str(ticket.number)
    draft.add_event("merge", party=person.party, data={"from": number}, reason=f"from {number}")
    renumbered: dict[int, int] = {}
    lines: list[EventFact | NewEvent] = [*ticket.events, *latest]
    for line in lines:
        if _came_from(line, draft):
            continue
        source = f"{ticket.number}.{line.number} {line.data.get('from', '')}".strip()
        kept = {key: value for key, value in line.data.items() if key not in ("undo", "state")}
        moved = draft.add_event(
            line.kind,
            party=line.party,
            public=line.public,
            text=line.text,
            reason=line.reason,
            answers=renumbered.get(line.answers, 0),
            message_id=line.message_id,
            attachments=line.attachments,
            data={**kept, "from": source},
            at=line.at,
            journal=line.journal or (journal if isinstance(line, NewEvent) and line.from_mail else 0),
        )
        renumbered[line.number] = moved
    _copy_ids(draft, ticket, renumbered)
    for held in ticket.held:
        if not held.resolution and held.event in renumbered:
            answered = renumbered.get(held.answered, 0)
            assert draft.case.ticket is not None
            copied = replace(held, ticket=draft.case.ticket.number, event=renumbered[held.event], answered=answered)
            draft.hold(copied)
            set_expiry(draft, copied)  # asked about again from now on, in the ticket where it can be decided


def _came_from(line: EventFact | NewEvent, draft: Draft) -> bool:
    """Whether a line is a copy out of the ticket it would be copied to (a split that is undone)."""
    number = draft.case.ticket.number if draft.case.ticket else 0
    names = line.data.get("from", "").split()
    return any(name.startswith(f"{number}.") for name in names)


def _copy_ids(draft: Draft, ticket: TicketFacts, renumbered: dict[int, int]) -> None:
    assert draft.case.ticket is not None
    for fact in ticket.message_ids:
        if fact.event in renumbered:
            draft.remember_id(replace(fact, ticket=draft.case.ticket.number, event=renumbered[fact.event]))


# ------------------------------------------------------------------ two out of one


def mail_to_split(case: Case) -> EventFact | None:
    """The participant's mail that the agent's mail answers, directly or through the notice of it."""
    ticket = case.ticket
    notice = next((e for e in ticket.events if e.number == case.match.event), None) if ticket else None
    wanted = {notice.number, notice.answers} if notice else set()
    mails = [e for e in (ticket.events if ticket else ()) if e.kind == "mail" and e.public and e.number in wanted]
    return mails[-1] if mails else None


def check_split(case: Case, command: Command) -> Problem | None:
    mail = mail_to_split(case)
    if mail is None or case.ticket is None:
        return trouble("split-what", command)
    first = next(e for e in case.ticket.events if e.kind == "mail" and e.public)
    if first.number == mail.number:
        return trouble("split-first", command)
    if any(e.kind == "split" and e.answers == mail.number for e in case.ticket.events):
        return trouble("split-again", command)
    return None


def split(deed: Deed) -> str:
    """The mail becomes a ticket of its own, with its author as customer and the same owner."""
    mail, fresh = mail_to_split(deed.case), deed.case.facts.fresh
    assert mail is not None and fresh is not None
    deed.draft.add_event(
        "split",
        party=deed.person.party,
        answers=mail.number,
        reason=f"into {fresh.number}",
        data={"into": str(fresh.number)},
    )
    here = deed.ticket.number
    subject = deed.argument or deed.ticket.subject
    fresh = replace(fresh, subject=subject, inbox=deed.ticket.inbox)
    there = Draft(replace(deed.case, ticket=fresh), reason="split")
    number = there.add_event(
        "mail",
        party=mail.party,
        public=True,
        text=mail.text,
        message_id=mail.message_id,
        attachments=mail.attachments,
        data={"from": f"{here}.{mail.number}"},
        at=mail.at,
        journal=mail.journal,
    )
    if mail.message_id:
        there.remember_id(MessageIdFact(message_id=mail.message_id, ticket=fresh.number, event=number, at=mail.at))
    owner = assignment.owner_of(deed.case, deed.ticket)
    there.change(
        TicketChange(
            subject=subject,  # also for the mails of this very step: their thread keeps the subject it begins with
            state=State.OPEN if owner else State.NEW,
            owner=owner.party if owner else 0,
            tags=deed.ticket.tags,
        )
    )
    set_reminders(there, replace(deed.case, ticket=fresh), owned=owner is not None)
    told = owner or deed.person
    facts = {"split": str(here), "own": "1" if told.party == deed.person.party else ""}
    there.notify("assigned" if owner else "offer", [told], about=number, author=deed.person, data=facts)
    deed.draft.beside(there.plan("split", opens=True))
    deed.draft.explain(f"event {mail.number} became ticket {fresh.number}")
    return f"split {fresh.number}"


# ------------------------------------------------------------------ taken back


def part(deed: Deed, merged: Sequence[dict[str, object]]) -> None:
    """Undo a merge: each ticket is as it was; what came after the merge stays where it came."""
    leaving: list[int] = []
    for was in merged:
        ticket = deed.case.facts.tickets[int(str(was["number"]))]
        joined = was["joined"]
        leaving += [int(str(party)) for party in joined] if isinstance(joined, list) else []
        deed.draft.add_event("unmerge", party=deed.person.party, data={"from": str(ticket.number)})
        side = Draft(replace(deed.case, ticket=ticket), reason="undo")
        side.add_event("unmerged", party=deed.person.party, reason=f"from {deed.ticket.number}")
        state = State(str(was["state"]))
        side.change(TicketChange(state=State.OPEN if state is State.SNOOZED else state, merged_into=0))
        if state in (State.NEW, State.OPEN):
            set_reminders(side, replace(deed.case, ticket=ticket), owned=ticket.owner is not None)
        _hold_again(deed, side, ticket)
        deed.draft.beside(side.plan("undo"))
        deed.draft.explain(f"{ticket.number} is a ticket of its own again")
    deed.draft.change(TicketChange(remove_participants=tuple(leaving)))


def _hold_again(deed: Deed, side: Draft, ticket: TicketFacts) -> None:
    """Held mail that nobody decided meanwhile waits in its own ticket again."""
    for held in deed.ticket.held:
        line = next((e for e in deed.ticket.events if e.number == held.event), None)
        if held.resolution or line is None or not line.data.get("from", "").startswith(f"{ticket.number}."):
            continue
        deed.draft.resolve(held.event, "unmerged")
        number = side.add_event(
            "held", party=line.party, text=line.text, reason=line.reason, data={}, at=line.at, journal=line.journal
        )
        back = replace(held, ticket=ticket.number, event=number, answered=0)
        side.hold(back)
        set_expiry(side, back)


def rejoin(deed: Deed, number: int) -> None:
    """Undo a split: the new ticket ends, and what happened there meanwhile is copied back."""
    ticket = deed.case.facts.tickets[number]
    side = Draft(replace(deed.case, ticket=ticket), reason="undo")
    _copy_history(deed.draft, ticket, deed.person)
    _leave(side, ticket, deed.ticket, deed.person)
    deed.draft.change(TicketChange(add_participants=tuple(p.party for p in ticket.participants)))
    deed.draft.beside(side.plan("undo"))
    deed.draft.explain(f"{number} is part of {deed.ticket.number} again")
