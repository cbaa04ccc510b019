"""Mail of customers, participants and machines: new tickets, entries, acknowledgements, reports."""

from __future__ import annotations

from gateway.address import fold_address, is_address, skeleton
from gateway.desk import assignment, lifecycle
from gateway.desk.brakes import WITHIN
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.desk.gathering import tell_of_mail
from gateway.desk.offering import offer
from gateway.desk.reminders import set_reminders
from gateway.model import DeliveryReport, Origin, Person, Plan, State, TicketChange

_NO_ACK_LOCAL_PARTS = frozenset(
    {"mailer-daemon", "postmaster", "no-reply", "noreply", "donotreply", "do-not-reply"}
    | {"bounce", "bounces", "daemon", "nobody", "abuse"}
)
_REPORTS = frozenset({"bounce", "report"})
_MOST_REPORTS = 5
"""Lines about one delivery: delayed, delayed again, failed, and some more."""


def plan_new(case: Case) -> Plan:
    """A new ticket: entry, acknowledgement if it is earned, offer to the agents."""
    draft = Draft(case)
    customer = _customer(case)
    away = _absence(case)
    party = customer.party if customer else 0
    mail = draft.add_mail("mail", party=party, public=True, text=_shown_text(case), data=away)
    draft.change(TicketChange(state=State.NEW))
    if customer and may_acknowledge(case):
        draft.notify("ack", [customer], about=mail, in_reply_to=case.findings.message.message_id, public=True)
        draft.acknowledged = fold_address(customer.address)
        draft.explain(f"acknowledged to {customer.address}")
    _offer(draft, case, mail, customer)
    draft.explain(f"opened ticket {case.ticket.number if case.ticket else 0}" + _follows(case))
    return draft.plan("new", opens=True)


def plan_machine_new(case: Case) -> Plan:
    """Automatic mail that matches nothing: a ticket without acknowledgement, or nothing at all by setting."""
    if case.settings.tickets.auto_replies == "drop":
        draft = Draft(case)
        draft.explain('automatic mail that matches nothing; tickets.auto_replies is "drop": kept raw, no ticket')
        return draft.plan("discard")
    return plan_new(case)


def plan_filed(case: Case) -> Plan:
    """A participant writes: an entry, the ticket wakes up, its owner (or everybody) is told."""
    assert case.ticket is not None
    draft = Draft(case)
    author = _participant(case)
    side = _side(case)
    mail = draft.add_mail(
        "third" if side else "mail",
        party=author.party if author else 0,
        public=not side,
        text=_shown_text(case),
        data={"side": side} if side else {},
    )
    if _was_answered(case):
        draft.explain("accepted by answering it: filed, and nobody waits")
        return draft.plan("file")
    state = lifecycle.after_customer(case.ticket)
    if case.ticket.state is State.CLOSED and case.findings.origin is Origin.LIST:
        state = State.CLOSED  # what a list sends to everybody reopens nothing (security.md 8.2)
    former = assignment.owner_of(case, case.ticket)
    owner = assignment.stand_in(case, former)
    if owner is None and state is State.OPEN:
        state = State.NEW
    draft.change(TicketChange(state=state, owner=0 if owner is None else owner.party))
    if former is not None and owner != former:
        draft.explain(f"{former.agent} is away: " + (f"{owner.agent} has it now" if owner else "free for anyone"))
    if state is not case.ticket.state:
        draft.explain(f"state {case.ticket.state} -> {state}")
    data = {"cc": "" if side else _copied(case), "pictures": str(case.remote_pictures), "same_id": _same_id(case)}
    if case.ticket.state is State.CLOSED and state is not State.CLOSED:
        data["reopened"] = "1"
        draft.annotate(mail, {"reopened": "1"})
    if case.verdict.unproven_filed:
        data["unproven"] = "1"
        draft.explain("author not proven, but the domain offers no proof and the token was this party's own")
    asked = None if owner or former else assignment.asked_now(case)
    told = (owner or asked,) if owner or asked else assignment.pool(case)
    people = () if state is State.SPAM else (*told, *assignment.watchers(case, *told))
    if side:
        people = (*people, *(p for p in _askers(case, side) if p.party not in {one.party for one in people}))
        draft.notify("third", people, about=mail, author=author, attachments=case.files, data=data)
    else:
        tell_of_mail(draft, case, people, mail, author, data)
    if state not in (State.CLOSED, State.SPAM):
        draft.clear_timers("snooze", *(() if side else ("waiting", "followup")))
        _watch_answer(draft, case, owner)
    return draft.plan("file")


def _side(case: Case) -> str:
    """The third party whose mail this is, or in whose place it came; "" for mail of the conversation itself."""
    third = case.author_as_third
    if case.mail.instruction is None or case.ticket is None:
        return str(third.party) if third else ""
    held = next((e for e in case.ticket.events if e.number == case.match.event), None)
    return held.data.get("side", "") if held else ""


def _askers(case: Case, side: str) -> list[Person]:
    """The agents who wrote to this third party: the answer is for them, whoever owns the ticket."""
    lines = case.ticket.events if case.ticket else ()
    asked = {line.party for line in lines if line.kind == "asked" and line.data.get("side") == side}
    return [person for person in case.facts.agents.values() if person.party in asked]


def _was_answered(case: Case) -> bool:
    """Whether an agent let this mail in by answering the notice of it."""
    held, instruction = case.match.event, case.mail.instruction
    if instruction is None or instruction.act != "admit" or case.ticket is None or not held:
        return False
    notices = {e.number for e in case.ticket.events if e.answers == held} | {held}
    return any(e.kind in ("answer", "asked") and e.answers in notices for e in case.ticket.events)


def _absence(case: Case) -> dict[str, str]:
    """``away``: the day until which the author of an away notice is away; nothing when it names none."""
    day = case.findings.away_until
    return {"away": day.isoformat()} if day else {}


def plan_agents_only(case: Case) -> Plan:
    """Automatic mail about a ticket: a line for agents; no state changes, nobody is mailed."""
    draft = Draft(case)
    kind = {
        Origin.AUTO_REPLY: "auto-reply",
        Origin.DISPOSITION_REPORT: "receipt",
        Origin.DELIVERY_REPORT: "unverified-report",
        Origin.FEEDBACK_REPORT: "complaint",
    }.get(case.findings.origin, "automatic")
    author = _participant(case)
    away = _absence(case)
    number = draft.add_mail(kind, party=author.party if author else 0, public=False, text=_shown_text(case), data=away)
    if away:
        draft.explain(f"its author is away until {away['away']}")
    if kind in ("unverified-report", "complaint") and _told_enough(case, kind):
        draft.explain(f"{kind}: {_MOST_REPORTS - 1} came within the hour, nobody is written to about more")
    elif kind in ("unverified-report", "complaint"):
        people = assignment.owner_or_pool(case) if kind == "unverified-report" else assignment.leads(case)
        draft.notify("unproven", people, about=number, author=author, reason=kind, data={"address": _address(case)})
    draft.explain(f"automatic mail ({case.findings.origin}): shown to agents, changes nothing")
    return draft.plan("file" if case.verdict.outcome == "machine-filed" else "agents-only")


def _told_enough(case: Case, kind: str) -> bool:
    """Whether such reports about this ticket came again and again: anybody can send them, under any name."""
    events = case.ticket.events if case.ticket else ()
    return sum(e.kind == kind and e.at > case.now - WITHIN for e in events) >= _MOST_REPORTS - 1


def plan_report(case: Case) -> Plan:
    """A delivery report at one of our own bounce addresses: acts on exactly that delivery (security.md 9).

    Whoever got the mail knows the address, so one failure of a delivery is told once, and few reports of it are lines.
    """
    draft = Draft(case)
    if case.ticket is None:
        draft.explain("a report about mail of no ticket (a list, a digest) or of one that is gone: kept raw")
        return draft.plan("discard")
    report = next((r for r in case.findings.reports if r.kind), None)
    sent = next((e for e in case.ticket.events if e.number == case.match.event), None)
    failed = report is not None and report.kind in ("hard", "soft") and report.action in ("failed", "")
    kind, party, about = "bounce" if failed else "report", case.match.party, case.match.event
    before = [e.kind for e in case.ticket.events if e.kind in _REPORTS and (e.party, e.answers) == (party, about)]
    if len(before) >= _MOST_REPORTS:
        draft.explain(f"the {len(before) + 1}th report about the same delivery: kept raw")
        return draft.plan("discard")
    number = draft.add_mail(kind, party=party, public=False, text=_report_text(report, case), answers=about)
    if "bounce" in before:
        draft.explain(
            f"event {about} was reported undelivered before: recorded as event {number}, nobody is told again"
        )
        return draft.plan("report")
    if failed and report is not None:
        words = " ".join(part for part in ("reported:", report.status, report.diagnostic) if part)
        draft.report_undelivered(case.match.event, case.match.party, words)
    answer = next(
        (e for e in case.ticket.events if sent and e.number == sent.answers and e.kind in ("answer", "asked")), None
    )
    if failed and answer is not None and report is not None:
        agent = next((p for p in case.facts.agents.values() if p.party == answer.party), None)
        told = [agent] if agent else list(assignment.owner_or_pool(case))
        draft.change(TicketChange(state=State.OPEN, owner=agent.party if agent else None))
        draft.notify(
            "undelivered",
            told,
            about=answer.number,
            reason="bounce",
            data={
                "party": str(case.match.party),
                "recipient": report.recipient,
                "status": report.status,
                "diagnostic": report.diagnostic,
                "report": case.findings.message.text,
            },
        )
        draft.explain(f"answer {answer.number} did not reach {report.recipient}: its author is told")
    else:
        draft.explain(f"delivery report for event {case.match.event}: recorded as event {number}")
    return draft.plan("report")


def plan_repeat(case: Case) -> Plan:
    """Signed mail that was acted on before: stored, shown as a repeat, no effect."""
    draft = Draft(case)
    draft.explain(f"the same signed mail as journal row {case.facts.replayed}: no effect")
    return draft.plan("repeat")


def plan_sibling(case: Case) -> Plan:
    """The same mail over another of our addresses: one more recipient of the same event, nothing twice."""
    draft = Draft(case, reason="sibling")
    if case.ticket:
        draft.add_event("sibling", answers=case.match.event, reason=case.mail.envelope.recipient, from_mail=True)
    draft.explain(f"the same mail as event {case.match.event} of ticket {case.match.ticket}, for another address")
    return draft.plan("sibling")


def plan_discarded(case: Case) -> Plan:
    """Stored raw and counted; no ticket."""
    draft = Draft(case)
    draft.explain("list mail that is not addressed to us: kept raw, no ticket")
    return draft.plan("discard")


# ------------------------------------------------------------------ parts


def may_acknowledge(case: Case) -> bool:
    """Whether all conditions of security.md 8.1 hold."""
    message, author = case.findings.message, case.author
    if author is None or not case.verdict.proven or case.findings.origin is not Origin.PERSON:
        return False
    local = author.address.partition("@")[0].lower()
    return (
        case.ticket_inbox.ack.enabled
        and not case.match.follows
        and case.agent is None
        and not case.settings.is_own_address(author.address)
        and any(case.settings.is_own_address(m.address) for m in (*message.to, *message.cc))
        and not message.fields.get("x-auto-response-suppress")
        and case.facts.acks_to_author == 0
        and case.facts.acks_last_hour < case.settings.ack.per_hour
        and case.facts.same_body_ticket == 0
        and local not in _NO_ACK_LOCAL_PARTS
        and is_address(author.address)
    )


def _customer(case: Case) -> Person | None:
    return case.ticket.customer if case.ticket else None


def _participant(case: Case) -> Person | None:
    if case.author is None or case.ticket is None:
        return None
    address = fold_address(case.author.address)
    return next((p for p in case.ticket.participants if fold_address(p.address) == address), case.facts.author)


def _shown_text(case: Case) -> str:
    """The author's new text with the signature, and what a forward forwards: its note alone says nothing.

    The whole text when nothing new was found: an agent never sees an empty mail. Below it, what could not be shown.
    """
    body, forwarded, message = case.findings.body, case.findings.forwarded, case.findings.message
    warning = f"[{message.unreadable}]" if message.unreadable else ""
    if not body.new.strip():
        return "\n\n".join(part for part in (message.text, warning) if part)
    passed_on = body.quoted if forwarded is not None and not forwarded.attached else ""
    parts = (body.new, body.signature, passed_on, warning)
    return "\n\n".join(part.strip("\n") for part in parts if part.strip())


def _address(case: Case) -> str:
    return case.author.address if case.author else ""


def _copied(case: Case) -> str:
    """Addresses in Cc that are no part of the conversation: shown to the agent as a proposal (security.md 7.2)."""
    known = {fold_address(p.address) for p in (case.ticket.participants if case.ticket else ())}
    others = (m.address for m in case.findings.message.cc if is_address(m.address))
    return ", ".join(a for a in others if fold_address(a) not in known and not case.settings.is_own_address(a))


def _same_id(case: Case) -> str:
    """Marks a mail whose Message-ID its author used before for another one: both are kept (architecture 6.8)."""
    return "1" if case.facts.same_id else ""


def _resembled(case: Case) -> str:
    """The address of ours or of an agent that the author's can be mistaken for (security.md 7.4); "" when none."""
    if case.author is None:
        return ""
    own, seen = fold_address(case.author.address), skeleton(case.author.address)
    agents = (address for agent in case.settings.agents.values() for address in (agent.address, *agent.also))
    inboxes = (address for inbox in case.settings.inbox.values() for address in inbox.addresses())
    known = (address for address in (*agents, *inboxes) if fold_address(address) != own)
    return next((address for address in known if skeleton(address) == seen), "")


def _report_text(report: DeliveryReport | None, case: Case) -> str:
    if report is None:
        return _shown_text(case)
    return "\n".join(line for line in (report.recipient, report.status, report.diagnostic) if line)


def _offer(draft: Draft, case: Case, mail: int, customer: Person | None) -> None:
    data = {
        "cc": _copied(case),
        "resembles": _resembled(case),
        "pictures": str(case.remote_pictures),
        "same_id": _same_id(case),
    }
    if not case.verdict.proven:
        data["unproven"] = "1"
    if case.facts.author is None:
        data["first"] = "1"
    forwarded = case.findings.forwarded
    if forwarded is not None and forwarded.author is not None and is_address(forwarded.author.address):
        data["original"] = forwarded.author.address  # a proposal: a forward by anybody else changes no customer
    if case.match.follows:
        data["follows"] = str(case.match.follows)
    if case.match.perhaps:
        data["perhaps"] = str(case.match.perhaps)
        draft.explain(f"same author and subject as ticket {case.match.perhaps}: said to the agents, nothing more")
    if case.verdict.reason == "unknown-sender":
        data["names"] = str(case.match.ticket)
    offer(draft, case, mail, customer, attachments=case.files, data=data)
    set_reminders(draft, case, owned=False)


def _watch_answer(draft: Draft, case: Case, owner: Person | None) -> None:
    set_reminders(draft, case, owned=owner is not None)


def _follows(case: Case) -> str:
    return f", continuing ticket {case.match.follows}" if case.match.follows else ""
