"""What happens when nothing happens: due timers and deliveries that ended badly (mail.md 12.2, 15)."""

from __future__ import annotations

from datetime import datetime

from gateway.desk import assignment
from gateway.desk.calendar import add_business, business_between
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.desk.expiring import plan_collision_expired, plan_held
from gateway.desk.reminders import set_reminders
from gateway.model import OutboundMail, Plan, State, TicketChange, TicketFacts, Timer


def plan_timer(case: Case, timer: Timer) -> Plan:
    """The plan for one due timer on the ticket in ``case``; an overtaken timer gives an empty plan."""
    kind, _, step = timer.kind.partition("-")
    if kind == "collision":
        return plan_collision_expired(case, timer)
    if kind == "held":
        return plan_held(case, timer)
    if kind in ("unclaimed", "unanswered"):
        return _remind(case, kind, int(step or "1"))
    if kind == "snooze":
        return _wake(case)
    if kind == "followup":
        return _follow_up(case, timer)
    draft = Draft(case)
    draft.explain(f"timer {timer.kind}: nothing to do")
    return draft.plan("clock")


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
    draft.explain(f"{asked[0].agent} is reminded: no answer yet")
    return draft.plan("clock")


def _last_mail(ticket: TicketFacts) -> int:
    return next((e.number for e in reversed(ticket.events) if e.kind == "mail" and e.public), 0)


def _remind(case: Case, kind: str, step: int) -> Plan:
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    owner = assignment.owner_of(case, ticket)
    waiting = ticket.state in (State.NEW, State.OPEN)
    if not waiting or (kind == "unclaimed") != (owner is None):
        draft.explain(f"reminder {kind}-{step} was overtaken")
        return draft.plan("clock")
    last = next((e for e in reversed(ticket.events) if e.kind == "mail" and e.public), None)
    told = list(assignment.owner_or_pool(case))
    data = {"step": kind}
    if last is not None:
        inbox, zone = case.ticket_inbox, case.settings.ticketgate.timezone
        data["waited"] = str(int(business_between(inbox.hours, zone, last.at, case.now).total_seconds()))
        data |= _next_step(case, kind, step, last.at)
    about = last.number if last else 0
    draft.notify("reminder", told, about=about, author=ticket.customer, reason=kind, data=data)
    if step > 1:
        higher = [p for p in assignment.leads(case) if p.party not in {t.party for t in told}]
        draft.notify("escalation", higher, about=about, author=ticket.customer, reason=kind, data=data)
    draft.explain(f"reminder {kind}-{step} to {', '.join(p.agent for p in told)}")
    return draft.plan("clock")


def _next_step(case: Case, kind: str, step: int, since: datetime) -> dict[str, str]:
    """When the lead is told if nothing happens, and who that is."""
    spans = case.ticket_inbox.remind.unclaimed if kind == "unclaimed" else case.ticket_inbox.remind.unanswered
    if step >= len(spans):
        return {}
    at = add_business(case.ticket_inbox.hours, case.settings.ticketgate.timezone, since, spans[step])
    lead = next(iter(assignment.leads(case)), None)
    return {"next_at": at.isoformat(), "next_who": lead.name if lead else ""}


def plan_undelivered(case: Case, mail: OutboundMail, reply: str, *, final: bool) -> Plan:
    """A person's answer did not get out: its author is told, and at the end the ticket is the author's again."""
    draft, ticket = Draft(case), case.ticket
    assert ticket is not None
    sent = next((e for e in ticket.events if e.number == mail.event), None)
    answer = next((e for e in ticket.events if sent and e.number == sent.answers), None)
    author = next((p for p in case.facts.agents.values() if answer and p.party == answer.party), None)
    number = draft.add_event("undelivered-session", reason=reply[:500], answers=mail.event)
    if final:
        draft.change(TicketChange(state=State.OPEN, owner=author.party if author else None))
    rest = reply.partition(" ")[2]
    data = {
        "party": str(mail.party),
        "recipient": mail.recipient,
        "status": rest.partition(" ")[0] if rest[:2] in ("4.", "5.") else "",
        "diagnostic": reply,
        "deferred": "" if final else "1",
    }
    told = [author] if author else list(assignment.owner_or_pool(case))
    draft.notify("undelivered", told, about=answer.number if answer else number, reason="session", data=data)
    draft.explain(f"answer to {mail.recipient} {'failed' if final else 'is delayed'}: {reply}")
    return draft.plan("clock")
