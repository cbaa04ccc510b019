"""An agent's mail: who may, what is sent, what is held (mail.md 9.2, 12; security.md 5.2).

The agent's proof was judged by the policy table. Here the second half is demanded: a token for this agent, this ticket
and this purpose. Whatever cannot be understood sends nothing and loses nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from gateway.desk import assignment, filing, sides
from gateway.desk.case import Case
from gateway.desk.choices import zone_of
from gateway.desk.commands import read_commands
from gateway.desk.deciding import accept_held, has, plan_decision, taps_held
from gateway.desk.deeds import AFTER, carry_out, check_orders
from gateway.desk.deeds_people import FIRST
from gateway.desk.direct import find_begun, find_reached, is_direct, plan_begun, plan_direct
from gateway.desk.draft import Draft
from gateway.desk.holding import hold_answer
from gateway.desk.offering import offer
from gateway.desk.resending import find_undelivered, plan_resend
from gateway.model import Command, EventFact, Forwarded, Instruction, Orders, Person, Plan, State, TicketChange

_OLDEST = timedelta(days=5 * 365)
"""Of a forwarded mail whose time is believed."""


def plan_agent(case: Case) -> Plan:
    """The mail of a proven agent."""
    if case.match.ground == "none" or not case.match.ticket:
        return _without_ticket(case)
    if is_direct(case):
        person = case.agent_person
        return plan_direct(case, _collision(case, person) if person else None)
    if not case.own_token:
        reason = "agent-token" if case.token_agent else "no-token"
        return hold_answer(case, reason)
    undelivered = find_undelivered(case)
    if undelivered is not None:
        return _about_undelivered(case, undelivered)
    if case.match.kind == "h" or taps_held(case):
        return plan_decision(case)
    return _about_ticket(case)


def plan_released(case: Case) -> Plan:
    """A held mail that a person let go: what its instruction says; nobody is asked about it any more."""
    plan, ticket = _plan_released(case), case.ticket
    waiting = next((h for h in (ticket.held if ticket else ()) if h.event == case.match.event), None)
    if waiting is None or waiting.resolution or plan.outcome == "hold" or case.mail.instruction is None:
        return plan
    done = {"admit": "admitted", "send": "sent", "note": "noted"}[case.mail.instruction.act]
    timers = (f"held-{waiting.event}", f"collision-{waiting.event}")
    resolved = (*plan.resolved, (waiting.event, done))
    return replace(plan, resolved=resolved, clear_timers=(*plan.clear_timers, *timers))


def _plan_released(case: Case) -> Plan:
    instruction = case.mail.instruction
    assert instruction is not None
    if case.ticket is None or not instruction.ticket:
        return filing.plan_new(case)  # it was held beside no ticket: it opens its own
    if instruction.act == "admit":
        return filing.plan_filed(case)
    text = instruction.text if instruction.text is not None else _held_text(case, case.match.event)
    author = _author_of_held(case, instruction)
    if author is None:
        draft = Draft(case, reason="no-author")
        draft.explain("whoever wrote it is no agent any more, and no agent lets it go: it stays held")
        return draft.plan("hold")
    draft, ordered = Draft(case, reason="released"), _ordered(case, instruction)
    if has(ordered.orders, *FIRST):
        draft.explain("it says who is to get it: only an agent who answers the notice of it lets it go")
        return draft.plan("hold")
    if instruction.act == "note":
        carry_out(_note(draft, case, text, author), ordered, author, quiet=True)
        return draft.plan("note")
    third = sides.find_addressee(case)
    if third is None and (sides.find_reader(case) or sides.find_asked(case)):
        return hold_answer(case, "side-gone", text=text, data={"value": instruction.to or "ADDRESS"})
    if third is not None:
        sides.ask(draft, case, text, author, third)
        carry_out(draft, ordered, author, quiet=True)
        return draft.plan("answer")
    _answer(draft, case, text, author, close=instruction.close)
    if instruction.close:
        draft.add_event("close", party=author.party)
    carry_out(draft, ordered, author, quiet=True)
    return draft.plan("answer")


def _ordered(case: Case, instruction: Instruction) -> Case:
    """The case with what is done after the words that were let go; an operator lets the mail go as it was meant."""
    held = next((h for h in (case.ticket.held if case.ticket else ()) if h.event == case.match.event), None)
    whole = instruction.text is None and held is not None and held.internal == (instruction.act == "note")
    orders = held.commands if whole and held is not None else instruction.commands
    wanted = AFTER | FIRST if whole else AFTER
    each = (replace(case, orders=Orders(commands=(Command(v, what),))) for v, what in orders if v in wanted)
    sound = (one.orders.commands[0] for one in each if not whole or has(one.orders, *FIRST) or not check_orders(one))
    return replace(case, orders=Orders(commands=tuple(sound)))


# ------------------------------------------------------------------ replies to what we sent about a ticket


def _about_ticket(case: Case) -> Plan:
    trouble = find_trouble(case)
    if trouble is not None:
        return trouble
    orders, person = case.orders, case.agent_person
    assert person is not None
    internal = orders.internal or (case.answers_note and not has(orders, "send", "ask"))
    if (not orders.text.strip() or orders.bare) and not _sends_files(case):
        return _just_orders(case)
    third = sides.find_addressee(case)
    if not internal and not has(orders, "assign", "release", "spam"):
        rival = _collision(case, person, third)
        if rival is not None:
            return hold_answer(case, "collision", other=rival.number)
    draft = Draft(case)
    first = [verb for verb in FIRST if has(orders, verb)]
    if first:  # who takes part is settled before anybody is written to
        carry_out(draft, case, person, quiet=True, only=first)
    if internal or has(orders, "spam"):
        _note(draft, case, orders.text, person)
    elif third is not None:
        sides.ask(draft, case, orders.text, person, third)
        accept_held(draft, case, person)
    else:
        _answer(draft, case, orders.text, person, close=has(orders, "close"))
        accept_held(draft, case, person)
    # A press on a link is always confirmed (mail.md 12.4); beside an answer of the agent's own success is silent.
    carry_out(draft, case, person, quiet=case.match.ground != "action", but=FIRST)
    return draft.plan("note" if internal else "answer")


def _about_undelivered(case: Case, answer: EventFact) -> Plan:
    """An answer to "it did not arrive": ``#send`` tries again, own words with it replace those that did not arrive."""
    orders, words = case.orders, bool(case.orders.text.strip())
    if has(orders, "send") and not orders.held and (orders.internal or not words):
        return plan_resend(case, answer, find_trouble)
    if answer.kind == "asked":
        # "#send" means the customer where words stand below it, and here they may be meant for the third party.
        unsure = has(orders, "send") and not orders.held
        return (
            hold_answer(case, "resend-whom", data={"value": answer.data["address"]}) if unsure else _about_ticket(case)
        )
    if not orders.held and not orders.commands:
        return hold_answer(case, "undecided", data={"again": "1"})
    return _about_ticket(case)


def find_trouble(case: Case) -> Plan | None:
    """Why this mail must be held and its author asked; None when everything in it was understood."""
    if case.orders.held:
        return hold_answer(case, "command")
    observer = case.agent is not None and case.agent.role == "observer"
    if observer and case.orders.text.strip() and not case.orders.internal and not case.answers_note:
        return hold_answer(case, "observer-text")
    if case.own.from_html and (case.orders.commands or case.orders.internal):
        return hold_answer(case, "html-command")
    if _nobody_is_left(case):
        return hold_answer(case, "nobody-left")
    problem = check_orders(case)
    if problem is not None:
        return hold_answer(case, problem.reason, data=problem.data)
    inside = case.orders.internal or (case.answers_note and not has(case.orders, "send", "ask"))
    if not case.orders.text.strip() or inside:
        return None
    if _answers_oneself(case):
        return hold_answer(case, "whose")
    lost = sides.check_reader(case)
    if lost is not None:
        return hold_answer(case, lost.reason, data=lost.data)
    return hold_answer(case, case.own.unclear) if case.own.unclear else None


def _nobody_is_left(case: Case) -> bool:
    """Words to the customer of a ticket whose people were erased, and nobody else is named in the same mail."""
    written = bool(case.orders.text.strip()) and not case.orders.internal and case.match.kind != "n"
    empty = case.ticket is not None and case.ticket.last_event > 0 and not case.ticket.participants
    return written and not case.orders.bare and empty and not has(case.orders, *FIRST)


def _sends_files(case: Case) -> bool:
    """ "#send" and files without a word: an answer of files alone has to be said (mail.md 20)."""
    return bool(case.outgoing_files) and has(case.orders, "send") and not case.orders.bare and not case.orders.internal


def _answers_oneself(case: Case) -> bool:
    """Whether the text would go to its own author: a forward whose customer nobody could tell, and nobody has named."""
    ticket, person = case.ticket, case.agent_person
    if ticket is None or person is None or has(case.orders, "from", "cc", "assign") or sides.find_reader(case):
        return False
    return bool(ticket.participants) and all(p.party == person.party for p in ticket.participants)


def _collision(case: Case, person: Person, third: Person | None = None) -> EventFact | None:
    """A colleague's public answer to a later state than this one answers (mail.md 12.3)."""
    assert case.ticket is not None
    seen = _event_answered(case)
    if third is not None:
        return sides.find_rival(case, person, third, seen)
    rivals = (e for e in case.ticket.events if e.kind == "answer" and e.public and e.number > seen)
    return next((e for e in rivals if e.party != person.party), None)


def _event_answered(case: Case) -> int:
    return case.match.event


def _answer(draft: Draft, case: Case, text: str, person: Person, *, close: bool) -> None:
    """The agent's words to the customer: the ticket is the agent's, and waits for the customer."""
    ticket, reached = case.ticket, find_reached(case)
    people = [p for p in draft.participants() if p.party not in reached]  # whom the agent put in Cc has it
    assert ticket is not None and people
    last = next((e for e in reversed(ticket.events) if e.kind == "mail" and e.public), None)
    had = " ".join(map(str, sorted(reached)))
    number = draft.add_mail(
        "answer",
        party=person.party,
        public=True,
        text=text,
        answers=_event_answered(case),
        data={"direct": had} if had else {},
    )
    draft.notify(
        "answer",
        people,
        about=number,
        author=person,
        text=text,
        html=case.own.html if case.mail.instruction is None else "",
        attachments=case.outgoing_files,
        quote=last.number if last else 0,
        in_reply_to=last.message_id if last else "",
        public=True,
    )
    former = assignment.owner_of(case, ticket)
    draft.change(TicketChange(owner=person.party, state=State.CLOSED if close else State.WAITING))
    draft.explain(f"answer of {person.agent or person.address} relayed to {people[0].address}")
    if former is not None and former.party != person.party:
        draft.notify("answered", [former], about=number, author=person, data={"taken": "1"})
        draft.explain(f"former owner {former.agent} is told")
    draft.notify("answered", assignment.watchers(case, person, former), about=number, author=person)
    draft.notify("answered", assignment.rivals(case, person), about=number, author=person, reason="claimed")
    draft.clear_timers("unclaimed", "unanswered", "snooze")


def _note(draft: Draft, case: Case, text: str, person: Person) -> Draft:
    """Internal words: seen by staff only, told to the owner and to those who took part in the notes."""
    ticket = case.ticket
    assert ticket is not None
    number = draft.add_mail("note", party=person.party, public=False, text=text, answers=_event_answered(case))
    noted = {e.party for e in ticket.events if e.kind == "note"}
    people = [p for p in case.facts.agents.values() if p.party in noted]
    owner = assignment.owner_of(case, ticket)
    told = [p for p in ([owner] if owner else []) + people + _named(case, text) if p.party != person.party]
    told = [p for p in told if p.party not in ticket.muted]
    draft.notify("note", told, about=number, author=person, attachments=case.findings.message.attachments)
    draft.explain("internal note" + (f", told to {', '.join(p.agent for p in told)}" if told else ""))
    return draft


def _named(case: Case, text: str) -> list[Person]:
    """Agents named as @first-name in a note."""
    words = {w.strip("@,.:;!?()").lower() for w in text.split() if w.startswith("@")}
    agents = [a for w in words for a in assignment.find_agents(case, w)]
    return list(assignment.persons_of(case, agents))


def _just_orders(case: Case) -> Plan:
    """A mail that is only commands: done, and answered in one short mail."""
    trouble = find_trouble(case)
    if trouble is not None:
        return trouble
    person = case.agent_person
    assert person is not None
    if all(c.verb in ("note", "send") for c in case.orders.commands):
        return hold_answer(case, "empty")
    draft = Draft(case)
    draft.add_mail("command", party=person.party, public=False, text=case.own.text, answers=_event_answered(case))
    carry_out(draft, case, person, quiet=False)
    return draft.plan("command")


# ------------------------------------------------------------------ what was let go


def _held_text(case: Case, event: int) -> str:
    assert case.ticket is not None
    held = next((h for h in case.ticket.held if h.event == event), None)
    return held.text if held else case.own.text


def _author_of_held(case: Case, instruction: Instruction) -> Person | None:
    assert case.ticket is not None
    held = next((h for h in case.ticket.held if h.event == case.match.event), None)
    for person in case.facts.agents.values():
        if person.party == (held.party if held else instruction.by):
            return person
    return next((p for p in case.facts.agents.values() if p.party == instruction.by), None)


# ------------------------------------------------------------------ no ticket is meant


def _without_ticket(case: Case) -> Plan:
    forwarded = case.findings.forwarded
    if forwarded is not None:
        return _forwarded(case)
    return plan_begun(case) if find_begun(case) else _own_matter(case)


def _forwarded(case: Case) -> Plan:
    """A forwarded customer mail becomes that customer's ticket; nothing is sent to the customer (mail.md 11)."""
    forwarded, person = case.findings.forwarded, case.agent_person
    assert forwarded is not None and case.ticket is not None and person is not None
    draft = Draft(case, reason="forward")
    customer = case.ticket.customer
    number = draft.add_mail(
        "mail",
        party=customer.party if customer else 0,
        public=True,
        text=forwarded.text or case.findings.message.text,
        original=forwarded.message_id,
        data=_when_written(case, forwarded),
    )
    if case.own.text.strip():
        draft.add_event("note", party=person.party, text=case.own.text)
    certain = forwarded.author is not None
    draft.change(TicketChange(state=State.NEW))
    draft.notify(
        "forward",
        [person],
        about=number,
        author=customer if certain else None,
        in_reply_to=case.findings.message.message_id,
        attachments=case.findings.message.attachments,
        data={"uncertain": "" if certain else "1", "ordered": _not_done(case)},
    )
    offer(
        draft,
        case,
        number,
        customer if certain else None,
        attachments=case.findings.message.attachments,
        data={"forwarded_by": person.name or person.agent, "uncertain": "" if certain else "1"},
        but=person.party,
        text=case.own.text.strip(),
    )
    draft.explain(f"forward of {person.agent}: customer {customer.address if customer else 'unknown'}")
    return draft.plan("new", opens=True)


def _when_written(case: Case, forwarded: Forwarded) -> dict[str, str]:
    """``written``: when the original was written, for its quotation; a header block has the forwarder's clock."""
    at = forwarded.written
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(zone_of(case.agent, case.settings)))
    sound = at is not None and case.now - _OLDEST < at < case.now
    return {"written": at.isoformat()} if at is not None and sound else {}


def _not_done(case: Case) -> str:
    """The commands in a mail that opens a ticket: they need an answer to mail of ours, and their author is told so."""
    orders = read_commands(case.own.text, "ticket", case.settings.commands)
    # A forward's own words are a note anyway.
    said = [c for c in (*orders.commands, *orders.others) if c.verb != "note" or case.findings.forwarded is None]
    lines = ["#note" if c.verb == "note" else f"#{c.verb} {c.argument}".strip() for c in said]
    return ", ".join([*lines, *(line.strip() for line in orders.bad_line.splitlines())])[:200]


def _own_matter(case: Case) -> Plan:
    """An agent writes to the inbox about something new: a ticket with the agent as contact."""
    person = case.agent_person
    assert person is not None
    draft = Draft(case, reason="agent-new")
    text = case.own.text or case.findings.message.text
    number = draft.add_mail("mail", party=person.party, public=True, text=text)
    draft.change(TicketChange(state=State.NEW))
    draft.notify(
        "forward",
        [person],
        about=number,
        in_reply_to=case.findings.message.message_id,
        data={"uncertain": "1", "own": "1", "ordered": _not_done(case)},
    )
    offer(draft, case, number, person, but=person.party)
    draft.explain(f"new ticket with agent {person.agent} as contact")
    return draft.plan("new", opens=True)


def without(orders: Orders, *verbs: str) -> Orders:
    """The orders less some verbs."""
    kept: tuple[Command, ...] = tuple(c for c in orders.commands if c.verb not in verbs)
    return replace(orders, commands=kept)
