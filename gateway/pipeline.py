"""One journalled mail -> one recorded plan. READ THIS FIRST.

The left column says what we do, in order. There is no branch: a mail to be discarded walks the same road to an empty
plan. Reading happens in the cage before the transaction; deciding is pure; recording is one transaction, so a mail
processed twice is processed once and a crash in the middle leaves it RECEIVED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from gateway.address import fold_address
from gateway.analysis.cage import Cage, Resolver
from gateway.analysis.known_text import repeats
from gateway.desk import beginning
from gateway.desk.asking import find_questions
from gateway.desk.case import AGENT_KINDS, Case, OwnText, spoken
from gateway.desk.choices import delay_mails, find_absences, with_choices
from gateway.desk.commands import read_commands, read_subject
from gateway.desk.lifecycle import apply_plan
from gateway.desk.naming import find_named, find_split, find_undone, with_people
from gateway.desk.personal import is_personal, read_personal
from gateway.desk.plan import customer_of, make_plan, wanted_ticket, without_answers
from gateway.desk.policy import judge
from gateway.desk.sides import find_reader
from gateway.model import (
    Conversation,
    Facts,
    Findings,
    InboundMail,
    Mailbox,
    Match,
    Orders,
    Origin,
    OutboundMail,
    Person,
    Plan,
    TicketFacts,
)
from gateway.outbound.addressing import reverse_path
from gateway.outbound.compose import compose_all
from gateway.outbound.refusals import names_us
from gateway.outbound.relay import relay_text
from gateway.outbound.unreachable import write_unreachable
from gateway.outbound.words import Words
from gateway.questions import with_files
from gateway.settings import Settings
from gateway.store import (
    answers,
    deliveries,
    journal,
    pending,
    repeating,
    search,
    suppression,
    tickets,
    timers,
    workload,
)
from gateway.store.conversation import recall_conversation
from gateway.store.database import Database
from gateway.threading.clues import find_clues
from gateway.threading.match import choose_ticket, find_moved
from gateway.threading.subjects import canonical_subject


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, the case it decides, and the mails it causes; nothing is recorded yet."""

    case: Case
    plan: Plan
    mails: tuple[OutboundMail, ...]


async def read(mail: InboundMail, cage: Cage, resolver: Resolver) -> Findings:
    """What the mail says: parse, origin, quotes, forwards, reports, authentication. No database, no lock held."""
    return await cage.examine(mail.raw, mail.envelope, resolver)


async def compare(
    mail: InboundMail, findings: Findings, cage: Cage, database: Database, settings: Settings
) -> Findings:
    """Who quotes without marks repeats what the ticket contains: such text is read once more beside it (decision 0012).

    Few mails are; ``decide`` uses the comparison only for the ticket it was made with.
    """
    if not _may_quote(mail, findings, settings):
        return findings
    conversation = await database.read(lambda tx: find_conversation(tx, mail, findings, settings))
    return await cage.compare(findings, mail.envelope, conversation) if conversation is not None else findings


def find_conversation(tx: Connection, mail: InboundMail, findings: Findings, settings: Settings) -> Conversation | None:
    """What had been said in the ticket that the mail seems to answer, if the mail's own words repeat some of it."""
    if not _may_quote(mail, findings, settings):
        return None
    clues = find_clues(findings.message, findings.body, mail.envelope, settings.keys, settings, findings.reports)
    conversation = recall_conversation(tx, clues, mail)
    text = f"{findings.body.new}\n\n{findings.body.signature}"
    return conversation if conversation is not None and repeats(text, conversation.said) else None


def _may_quote(mail: InboundMail, findings: Findings, settings: Settings) -> bool:
    """A person's mail, and not one that may leave the house: of an agent's words nothing is cut on this evidence."""
    author = findings.authentication.author
    agent = author is not None and settings.find_agent(fold_address(author.address)) is not None
    return findings.origin is Origin.PERSON and not agent and mail.instruction is None


def process(tx: Connection, mail: InboundMail, findings: Findings, settings: Settings, now: datetime) -> Plan:
    """Decide one mail and record the decision, in the caller's transaction."""
    decision = decide(tx, mail, findings, settings, now)
    carry_out(tx, decision, mail.id, now)
    journal.finish(tx, mail, decision.case.findings, decision.plan, now)
    return decision.plan


def decide(tx: Connection, mail: InboundMail, findings: Findings, settings: Settings, now: datetime) -> Decision:
    """What becomes of a mail, and the mails it causes. The rules are pure; the store gives facts and locks them."""
    choices = tickets.agent_choices(tx)
    settings = with_choices(settings, choices)
    clues = find_clues(findings.message, findings.body, mail.envelope, settings.keys, settings, findings.reports)
    facts = tickets.recall(tx, clues, findings, mail, settings, now)
    facts = replace(facts, choices=choices, away=find_absences(choices, settings, now))
    match = _instructed(mail, facts) or choose_ticket(clues, facts, findings, settings, now)
    findings = _as_compared(findings, match)
    case = Case(mail=mail, findings=findings, clues=clues, facts=facts, match=match, settings=settings, now=now)
    case = replace(case, verdict=judge(case))
    case = replace(case, ticket=_take_ticket(tx, case))
    case = _with_workload(tx, case)
    case = _with_pending(tx, case)
    case = replace(case, own=_own_text(case))
    case = _fit_reader(replace(case, orders=_orders(case)))
    return _conclude(tx, case)


def decide_command(
    tx: Connection, number: int, text: str, handle: str, settings: Settings, now: datetime, *, sure: bool = False
) -> Decision:
    """What an agent's commands would do if they came by mail now, for an operator at the shell; nothing is recorded.

    The same grammar, checks and deeds; only the answer to the agent is left out. ``sure`` answers yes to what would be
    asked. Raises LookupError for a ticket that does not exist or an agent who is none.
    """
    choices = tickets.agent_choices(tx)
    settings = with_choices(settings, choices)
    people = tickets.ensure_agents(tx, settings)
    if handle not in people:
        raise LookupError(f"{handle} is no agent")
    found = tickets.follow_merges(tickets.load_tickets(tx, [number], lock=True))
    if number not in found:
        raise LookupError(f"there is no ticket {number}")
    case = spoken(found[number], people, handle, settings, now)
    facts = replace(case.facts, choices=choices, away=find_absences(choices, settings, now))
    orders = read_commands(text, "ticket", settings.commands)
    decision = _conclude(tx, replace(case, facts=facts, own=OwnText(text=text), orders=orders, sure=sure))
    if decision.plan.outcome == "hold":
        return decision  # its notice says why; there is nothing to record
    plan = without_answers(decision.plan)
    return replace(decision, plan=plan, mails=_write_all(decision.case, plan))


def _conclude(tx: Connection, case: Case) -> Decision:
    """From the orders to the plan: look up what they name and ask for, decide, write."""
    case = _look_up_named(tx, case)
    case = _ask(tx, case)
    plan = make_plan(case)
    return Decision(case, plan, _write_all(case, plan))


def _write_all(case: Case, plan: Plan) -> tuple[OutboundMail, ...]:
    return tuple(mail for one in (plan, *plan.beside) for mail in write_mails(case, one))


def carry_out(tx: Connection, decision: Decision, mail_id: int | None, now: datetime) -> None:
    """Record a decision: the ticket, those beside it, what becomes due, what is sent and what is not after all."""
    case, plan = decision.case, decision.plan
    tickets.record(tx, mail_id, plan, case.ticket, now)
    timers.record(tx, plan)
    for side in plan.beside:
        tickets.record(tx, None, side, _ticket_of(case, side), now)
        timers.record(tx, side)
    for one in (plan, *plan.beside):
        search.record(tx, one.ticket, one, case.findings.message, _people(case))
    for event in plan.withdrawn:
        pending.withdraw(tx, plan.ticket, event, now)
    deliveries.enqueue(tx, decision.mails, now, hold_seconds=case.settings.send.hold_seconds, cause=mail_id or 0)
    for address, words in deliveries.record_reports(tx, plan, now):
        _remember_refusal(tx, address, words, case.settings, now)
    for again in plan.repeats:
        path = reverse_path(case.ticket_inbox, case.settings, plan.ticket, again.as_event, again.party)
        repeating.repeat(tx, again, plan.ticket, path, now)


def _remember_refusal(tx: Connection, address: str, words: str, settings: Settings, now: datetime) -> None:
    """A report at our bounce address counts against the address; an agent's is not counted, the admins are told."""
    agent = settings.find_agent(address)
    if names_us(words):
        return
    if agent is None:
        suppression.note_refusal(tx, address, words, now)
    elif suppression.weigh(words):
        mails = write_unreachable(agent, words, settings, now)
        deliveries.enqueue(tx, [mail for mail in mails if not deliveries.is_queued(tx, mail.message_id)], now)


def write_mails(case: Case, plan: Plan) -> tuple[OutboundMail, ...]:
    """The mails one plan causes; those to agents in quiet hours wait for the morning."""
    after = _after(case, plan)
    if after is None and plan.ticket:
        return ()
    mails = compose_all(plan, after, case.settings, case.now)
    return delay_mails(mails, case.facts.agents, case.settings, case.now)


# ------------------------------------------------------------------ the steps, where they need more than a call


def _instructed(mail: InboundMail, facts: Facts) -> Match | None:
    """A released mail belongs where the person who released it saw it, or where that went by a merge since."""
    instruction = mail.instruction
    if instruction is None:
        return None
    ticket = facts.tickets.get(instruction.ticket)
    if ticket is None:
        return Match(ticket=instruction.ticket, ground="released", event=instruction.event)
    event = find_moved(ticket, instruction.ticket, instruction.event)
    return Match(ticket=ticket.number, ground="released", event=event)


def _as_compared(findings: Findings, match: Match) -> Findings:
    """The text as it reads beside the conversation of this very ticket: what another ticket contains counts nothing."""
    comparison = findings.comparison
    if comparison is None or comparison.ticket != match.ticket or match.kind in AGENT_KINDS:
        return replace(findings, comparison=None)
    return replace(findings, body=comparison.body)


def _take_ticket(tx: Connection, case: Case) -> TicketFacts | None:
    """The ticket the plan is about, its row locked; a fresh one gets its number and its customer here."""
    number = wanted_ticket(case)
    if number is None:
        return None
    known = case.facts.tickets.get(number)
    if known is not None:
        return _with_proven_name(known, case)  # recall has locked and loaded it
    ticket = tickets.open_ticket(tx, number, case.mail.envelope.inbox, customer_of(case), case.settings, case.now)
    return _with_proven_name(ticket if number else replace(ticket, subject=_subject(case)), case)


def _with_workload(tx: Connection, case: Case) -> Case:
    """What a new ticket is offered by: who knows the customer, and who has how much."""
    if case.ticket is None or case.ticket.last_event:
        return case
    customer = case.ticket.customer
    since = case.now - case.ticket_inbox.offer.sticky
    answered_by = workload.find_last_answerer(tx, customer.party, since) if customer else 0
    return replace(case, facts=replace(case.facts, answered_by=answered_by, loads=workload.find_loads(tx)))


def _with_pending(tx: Connection, case: Case) -> Case:
    """Notifications of earlier mails that wait: what the customer adds is told with them (gathering.py)."""
    files = case.verdict.outcome == "file" or case.mail.instruction is not None
    if not files or case.ticket is None or not case.ticket.last_event or not case.settings.agent_mail.batch:
        return case
    return replace(case, facts=replace(case.facts, pending=pending.find_pending(tx, case.ticket.number)))


def _with_proven_name(ticket: TicketFacts, case: Case) -> TicketFacts:
    """The author's name may be shown from the first proven mail on (mail.md 5.1); the store remembers it afterwards."""
    if case.author is None or not case.verdict.proven or case.verdict.role == "agent":
        return ticket
    author, address = case.author, fold_address(case.author.address)

    def shown(person: Person) -> Person:
        if fold_address(person.address) != address:
            return person
        # Somebody added by address alone (#cc, a forward) gets the name with the first mail of their own.
        return replace(person, known=True, name=person.name or author.name)

    return replace(
        ticket,
        customer=shown(ticket.customer) if ticket.customer else None,
        participants=tuple(map(shown, ticket.participants)),
        thirds=tuple(map(shown, ticket.thirds)),
    )


def _subject(case: Case) -> str:
    forwarded = case.findings.forwarded
    if case.verdict.role == "agent" and forwarded is not None and forwarded.subject:
        return canonical_subject(forwarded.subject)
    return canonical_subject(case.findings.message.subject)


def _fit_reader(case: Case) -> Case:
    """What may be relayed depends on who reads it, which the commands may say: then it is cut and read once more."""
    reader = find_reader(case)
    if not reader:
        return case
    case = replace(case, own=_own_text(case, reader))
    return replace(case, orders=_orders(case))


def _own_text(case: Case, reader: int = 0) -> OwnText:
    """For an agent's mail: what may be relayed. Others' mail is shown, not relayed, and needs no cutting."""
    agents = case.agent is not None or case.token_agent  # held or not: #send may let it go
    if not agents and case.mail.instruction is None:
        return OwnText(text=case.findings.body.new)
    body = case.findings.body
    if is_personal(case) and not beginning.begins_ticket(case):
        return OwnText(text=body.new)
    relayed = relay_text(body, case.findings.message.html, case.ticket, case.settings, reader)
    return OwnText(
        text=relayed.text, html=relayed.html, unclear=relayed.held_reason, from_html=body.command_text is None
    )


def _may_be_an_agents(case: Case) -> bool:
    """Held mail that an agent is asked about: what "send it" would do is read now, as if it were that agent's mail."""
    return case.verdict.outcome == "hold" and bool(case.agent or case.token_agent)


def _orders(case: Case) -> Orders:
    if case.verdict.role != "agent":
        if _may_be_an_agents(case):
            return read_commands(case.own.text, "ticket", case.settings.commands)
        return Orders(text=case.own.text)
    if case.clues.action is not None and case.match.ground == "action":
        return _one_tap(case)
    if is_personal(case):
        return read_personal(case)
    context = "held" if case.match.kind == "h" else "ticket"
    return read_commands(case.own.text, context, case.settings.commands)


def _one_tap(case: Case) -> Orders:
    """A one-tap mail: the subject orders, added words become an internal note (mail.md 12.4)."""
    assert case.clues.action is not None
    reading = read_subject(case.findings.message.subject, case.settings.commands)
    orders = Orders(commands=(reading.command,) if reading.command else (), held=reading.command is None)
    general = case.settings.ticketgate
    press_send = Words(case.settings.folder, general.language, general.timezone).say("press_send")
    words = case.own.text.replace(press_send, "").strip()
    return replace(orders, text=words, internal=bool(words), bare=not words)


def _look_up_named(tx: Connection, case: Case) -> Case:
    """The people and tickets an agent's commands name, locked like the ticket itself."""
    named = find_named(case)
    if not (named.addresses or named.tickets or named.blocked or named.unsent or case.orders.commands):
        return case
    assert case.ticket is not None or not named.addresses
    case = with_people(case, {address: tickets.ensure_person(tx, address) for address in named.addresses})
    facts = case.facts
    if named.blocked:
        facts = replace(facts, blocks=tickets.find_blocked(tx, named.blocked))
    if named.unsent and case.ticket is not None:
        facts = replace(facts, unsent=pending.find_unsent(tx, case.ticket.number))
    case = _begin(tx, replace(case, facts=facts))
    case = _with_tickets(tx, case, named.tickets)
    case = _with_tickets(tx, case, find_undone(case), merged=True)
    customer = find_split(case)
    if customer is None or case.ticket is None:
        return case
    author = Mailbox(customer.name, customer.address)
    fresh = tickets.open_ticket(tx, 0, case.ticket.inbox, author, case.settings, case.now)
    return replace(case, facts=replace(case.facts, fresh=fresh))


def _begin(tx: Connection, case: Case) -> Case:
    """The ticket that an agent begins with ``#new``: opened once nothing is in the way, so no number is wasted."""
    customer = beginning.find_customer(case)
    if customer is None:
        return case
    inbox, subject = case.mail.envelope.inbox, canonical_subject(beginning.find_subject(case))
    ticket = tickets.open_ticket(tx, 0, inbox, customer, case.settings, case.now)
    case = with_people(case, {address: tickets.ensure_person(tx, address) for address in beginning.copied(case)})
    return replace(case, ticket=replace(ticket, subject=subject))


def _ask(tx: Connection, case: Case) -> Case:
    """What the orders want to read: tickets by number, lists, searches, mails as they came and their files."""
    asked = find_questions(case)
    case = _with_tickets(tx, case, asked.tickets)
    if asked.tickets:
        asked = find_questions(case)  # mails of a ticket are asked for once it is known that the agent may see it
    return replace(
        case,
        answers=with_files(answers.answer(tx, asked.questions), case.findings.unpacked),
        list_number=answers.take_list_numbers(tx, asked.lists) if asked.lists else 0,
    )


def _with_tickets(tx: Connection, case: Case, numbers: Sequence[int], *, merged: bool = False) -> Case:
    """Further tickets among the facts; ``merged`` ones as they are, else a merged number means where it ended."""
    if not numbers:
        return case
    found = tickets.load_tickets(tx, numbers, lock=True)
    loaded = found if merged else tickets.follow_merges(found)
    return replace(case, facts=replace(case.facts, tickets={**case.facts.tickets, **loaded}))


def _ticket_of(case: Case, plan: Plan) -> TicketFacts | None:
    """The ticket a plan is about, as it stands."""
    known = (case.ticket, case.facts.fresh, *case.facts.tickets.values())
    return next((ticket for ticket in known if ticket is not None and ticket.number == plan.ticket), None)


def _after(case: Case, plan: Plan) -> TicketFacts | None:
    """The ticket as it will stand, for the writers of mail."""
    ticket = _ticket_of(case, plan)
    if ticket is None:
        return None
    return apply_plan(ticket, plan, _people(case), case.now)


def _people(case: Case) -> dict[int, Person]:
    """Everybody the case knows."""
    known = [t for t in (case.ticket, case.facts.fresh, *case.facts.tickets.values()) if t is not None]
    people: dict[int, Person] = {p.party: p for t in known for p in (*t.participants, *t.thirds)}
    people |= {p.party: p for p in (*case.facts.agents.values(), *case.facts.named.values())}
    return people | dict(case.facts.persons)
