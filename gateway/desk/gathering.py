"""Customer mails that come close together are one notification (mail.md 15, ``[agent_mail].batch``).

The first is told at once. What the customer adds within the window, before any agent answered, is told when the window
ends, together; so is what comes while the notification still waits for the end of somebody's quiet hours. A waiting
notification is a queued delivery, so nothing has to be remembered across a restart: the next mail takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.model import PendingNotice, Person

_TOLD = ("offer", "customer-reply")


def tell_of_mail(
    draft: Draft, case: Case, told: Iterable[Person], mail: int, author: Person | None, data: Mapping[str, str]
) -> None:
    """Tell these people of the customer's mail ``mail``, each with what they have not been sent yet."""
    people = {person.party: person for person in told}
    waiting = {pending.party: pending for pending in case.facts.pending if _gathers(case)}
    until = _hold_until(case)
    for event in dict.fromkeys(pending.event for pending in waiting.values()):
        draft.withdraw(event)
    fresh = [person for party, person in people.items() if party not in waiting]
    _tell(draft, case, fresh, (mail,), author, data, until=until)
    for event in dict.fromkeys(pending.event for pending in waiting.values()):
        pending = [p for p in waiting.values() if p.event == event and p.party in people]
        if pending:
            _tell_together(draft, case, [people[p.party] for p in pending], pending, mail, author, data)


def _tell_together(
    draft: Draft,
    case: Case,
    people: list[Person],
    pending: list[PendingNotice],
    mail: int,
    author: Person | None,
    data: Mapping[str, str],
) -> None:
    assert case.ticket is not None
    before = next((e for e in case.ticket.events if e.number == pending[0].event), None)
    said = before.data if before else {}
    mails = (*(int(n) for n in said.get("mails", str(before.answers if before else "")).split()), mail)
    kept = {name: said[name] for name in ("reopened",) if name in said}
    draft.explain(f"told together with {len(mails) - 1} before it")
    due = min(p.due_at for p in pending)
    _tell(draft, case, people, mails, author, {**data, **kept}, until=due, before=pending[0])


def _tell(
    draft: Draft,
    case: Case,
    people: list[Person],
    mails: tuple[int, ...],
    author: Person | None,
    data: Mapping[str, str],
    *,
    until: datetime | None,
    before: PendingNotice | None = None,
) -> None:
    numbers = " ".join(str(number) for number in mails)
    number = draft.notify(
        "customer-reply",
        people,
        about=mails[-1],
        author=author,
        attachments=(*(before.files if before else ()), *case.files),
        data={**data, "mails": numbers} if len(mails) > 1 else data,
        not_before=until,
    )
    if number:
        draft.annotate(number, {"mails": numbers, **({"reopened": "1"} if data.get("reopened") else {})})


def _gathers(case: Case) -> bool:
    urgent = case.ticket is not None and case.ticket.priority == "urgent"
    return case.settings.agent_mail.batch > timedelta(0) and not urgent


def _hold_until(case: Case) -> datetime | None:
    """The end of the window that the last notification opened; None when this mail is told at once."""
    if case.ticket is None or not _gathers(case):
        return None
    lines = [e for e in case.ticket.events if e.kind in (*_TOLD, "answer")]
    if not lines or lines[-1].kind == "answer":
        return None  # the customer answers an agent, who waits for it
    ends = lines[-1].at + case.settings.agent_mail.batch
    return ends if ends > case.now else None
