"""What happens when nothing happens: due timers and deliveries that ended badly (mail.md 12.2, 15)."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.desk import assignment
from gateway.desk.calendar import add_business, business_between
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.desk.expiring import plan_collision_expired, plan_held
from gateway.desk.offering import plan_offer_over
from gateway.desk.reminders import set_reminders, waiting_of
from gateway.desk.watching import keep_watch
from gateway.model import OutboundMail, Person, Plan, State, TicketChange, TicketFacts, Timer


def plan_timer(case: Case, timer: Timer) -> Plan:
    """The plan for one due timer on the ticket in ``case``; an overtaken timer gives an empty plan."""
    return keep_watch(case, _plan(case, timer))


def _plan(case: Case, timer: Timer) -> Plan:
    kind, _, step = timer.kind.partition("-")
    if kind == "collision":
        return plan_collision_expired(case, timer)
    if kind == "held":
        return plan_held(case, timer)
    if kind in ("unclaimed", "unanswered"):
        return _remind(case, timer, kind, int(step or "1"))
    if kind == "snooze":
        return _wake(case)
    if kind == "followup":
        return _follow_up(case, timer)
    if kind == "waiting":
        return _ask_owner(case)
    if kind == "autoclose":
        return _close_silently(case)
    if kind == "offer":
        return plan_offer_over(case, timer)
    if kind == "orphan":
        return _announce(case)
    draft = Draft(case)
    draft.explain(f"timer {timer.kind}: nothing to do")
    return draft.plan("clock")


def _ask_owner(case: Case) -> Plan:
    """The customer has been silent for long: the owner is asked what should become of it, never the customer."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    if ticket.state is not State.WAITING:
        draft.explain("the customer is not waited for any more")
        return draft.plan("clock")
    said = next((e.at for e in reversed(ticket.events) if e.public and e.kind in ("answer", "mail")), case.now)
    data = {"step": "waiting", "waited": str(int((case.now - said).total_seconds())), "calendar": "1"}
    told = _responsible(case)
    draft.notify("reminder", told, about=_last_mail(ticket), author=ticket.customer, reason="waiting", data=data)
    draft.explain("asked what should become of it: " + (", ".join(p.agent for p in told) or "nobody"))
    return draft.plan("clock")


def _close_silently(case: Case) -> Plan:
    """``auto_close``: done without a word to anybody; any reply of the customer opens it again."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    if ticket.state is State.WAITING:
        draft.add_event("close", reason="silence")
        draft.change(TicketChange(state=State.CLOSED))
        draft.clear_timers("followup", "snooze")
        draft.explain("closed: the customer has been silent for auto_close")
    return draft.plan("clock")


def _announce(case: Case) -> Plan:
    """A ticket that no clock watches, or whose owner is no agent any more: it is free, and who may take it knows."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    owner = assignment.owner_of(case, ticket)
    if ticket.state not in (State.NEW, State.OPEN) or ticket.merged_into:
        draft.explain("nobody is waited for")
        return draft.plan("clock")
    if owner is None and ticket.owner is not None:
        _set_free(draft, ticket)
    if owner is None and (ticket.owner is not None or case.ticket_inbox.remind.unclaimed):
        about, data = _last_mail(ticket), {"step": "unclaimed"}
        told = assignment.pool(case)
        draft.notify("reminder", told, about=about, author=ticket.customer, reason="unclaimed", data=data)
        draft.explain("free for anyone: " + (", ".join(p.agent for p in told) or "nobody") + " told")
    draft.clear_timers("unclaimed", "unanswered")
    set_reminders(draft, case, owned=owner is not None)
    return draft.plan("clock")


def _set_free(draft: Draft, ticket: TicketFacts) -> None:
    """Its owner is no agent any more."""
    former = ticket.owner.agent or ticket.owner.address if ticket.owner else ""
    draft.add_event("release", reason=f"{former} is no agent any more")
    draft.change(TicketChange(owner=0, state=State.NEW))


def _responsible(case: Case) -> list[Person]:
    """The owner; the stand-in of one who is away; without either everybody who could take the ticket."""
    assert case.ticket is not None
    owner = assignment.stand_in(case, assignment.owner_of(case, case.ticket))
    asked = None if case.ticket.owner else assignment.asked_now(case)
    return [owner or asked] if owner or asked else list(assignment.pool(case))  # type: ignore[list-item]


def _wake(case: Case) -> Plan:
    """The end of ``#snooze``: the ticket is back in the lists, and its owner or the pool is told."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    if ticket.state is not State.SNOOZED:
        draft.explain("woken before its time")
        return draft.plan("clock")
    former = assignment.owner_of(case, ticket)
    owner = assignment.stand_in(case, former)
    state = State.OPEN if owner else State.NEW
    draft.change(TicketChange(state=state, owner=owner.party if owner else 0))
    told = [owner] if owner else list(assignment.pool(case))
    about = _last_mail(ticket)
    draft.notify("reminder", told, about=about, author=ticket.customer, reason="snoozed", data={"step": "snoozed"})
    set_reminders(draft, case, owned=owner is not None)
    draft.explain("awake again")
    return draft.plan("clock")


def _follow_up(case: Case, timer: Timer) -> Plan:
    """The customer stayed silent: whoever asked is reminded. Any mail of the customer has cleared the timer."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    agents = case.settings.agents
    asked = [p for h, p in case.facts.agents.items() if p.party == timer.party and h in agents and agents[h].enabled]
    if ticket.state is not State.WAITING or not asked:
        draft.explain("follow-up was overtaken")
        return draft.plan("clock")
    about = _last_mail(ticket)
    draft.notify("reminder", asked, about=about, author=ticket.customer, reason="followup", data={"step": "followup"})
    for following in waiting_of(case, case.ticket_inbox):  # the silence is watched as any from now on
        draft.set_timer(following.kind, following.due_at)
    draft.explain(f"{asked[0].agent} is reminded: no answer yet")
    return draft.plan("clock")


def _last_mail(ticket: TicketFacts) -> int:
    return next((e.number for e in reversed(ticket.events) if e.kind == "mail" and e.public), 0)


def _remind(case: Case, timer: Timer, kind: str, step: int) -> Plan:
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    owner = assignment.owner_of(case, ticket)
    waiting = ticket.state in (State.NEW, State.OPEN) and not ticket.merged_into
    if waiting and kind == "unanswered" and owner is None and ticket.owner is not None:
        return _announce(case)
    if not waiting or (kind == "unclaimed") != (owner is None):
        draft.explain(f"reminder {kind}-{step} was overtaken")
        return draft.plan("clock")
    last = next((e for e in reversed(ticket.events) if e.kind == "mail" and e.public), None)
    told = _responsible(case)
    data = {"step": kind}
    if last is not None:
        inbox, zone = case.ticket_inbox, case.settings.ticketgate.timezone
        data["waited"] = str(int(business_between(inbox.hours, zone, last.at, case.now).total_seconds()))
    data |= _next_step(case, timer)
    about = last.number if last else 0
    draft.notify("reminder", told, about=about, author=ticket.customer, reason=kind, data=data)
    if step > 1:
        higher = [p for p in assignment.leads(case) if p.party not in {t.party for t in told}]
        draft.notify("escalation", higher, about=about, author=ticket.customer, reason=kind, data=data)
    _remind_again(draft, case, kind, step)
    draft.explain(f"reminder {kind}-{step} to {', '.join(p.agent for p in told)}")
    return draft.plan("clock")


def _remind_again(draft: Draft, case: Case, kind: str, step: int) -> None:
    """After the last step it comes again every business day: whoever waits must not be forgotten by everybody."""
    inbox = case.ticket_inbox
    if step >= len(inbox.remind.unclaimed if kind == "unclaimed" else inbox.remind.unanswered):
        at = add_business(inbox.hours, case.settings.ticketgate.timezone, case.now, timedelta(days=1))
        draft.set_timer(f"{kind}-{step}", at)


def _next_step(case: Case, timer: Timer) -> dict[str, str]:
    """When the lead is told if nothing happens, and who that is: exactly the row that waits, or no word of it."""
    lead = next(iter(case.settings.leads_of(case.ticket_inbox)), None)
    due = timer.data.get("next", "")
    return {"next_at": due, "next_who": lead.name if lead else ""} if due and lead is not None else {}


def knows_of_delay(ticket: TicketFacts, mail: OutboundMail, since: datetime) -> bool:
    """Whether the author of this answer was told since then that it is late for this recipient."""
    return any(
        event.kind == "undelivered-session"
        and event.answers == mail.event
        and event.data.get("late") == str(mail.party)
        and event.at >= since
        for event in ticket.events
    )


def plan_undelivered(case: Case, mail: OutboundMail, reply: str, *, final: bool, **said: str) -> Plan:
    """A person's answer did not get out: its author is told, and at the end the ticket is the author's again.

    ``said``: more facts of the notice. ``untried``: the address has refused mail before, in the words of ``reply``;
    ``left``: how often it left without our relay's word; ``relay``: it is our relay that refuses us.
    """
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    sent = next((e for e in ticket.events if e.number == mail.event), None)
    answer = next((e for e in ticket.events if sent and e.number == sent.answers), None)
    author = next((p for p in case.facts.agents.values() if answer and p.party == answer.party), None)
    late = {} if final else {"late": str(mail.party)}
    number = draft.add_event("undelivered-session", reason=reply[:500], answers=mail.event, data=late)
    if final:
        draft.change(TicketChange(state=State.OPEN, owner=author.party if author else None))
    rest = reply.partition(" ")[2]
    data = {
        "party": str(mail.party),
        "recipient": mail.recipient,
        "status": rest.partition(" ")[0] if rest[:2] in ("4.", "5.") else "",
        "diagnostic": reply,
        "deferred": "" if final else "1",
        **said,
    }
    told = [author] if author else list(assignment.owner_or_pool(case))
    draft.notify("undelivered", told, about=answer.number if answer else number, reason="session", data=data)
    became = "has an unknown end" if said.get("left") else "failed" if final else "is delayed"
    draft.explain(f"answer to {mail.recipient} {became}: {reply}")
    return keep_watch(case, draft.plan("clock"))
