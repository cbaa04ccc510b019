"""Mail that is stored and shown but has no effect until a person decides (security.md 5, mail.md 12.2)."""

from __future__ import annotations

from datetime import timedelta

from gateway.address import fold_address, skeleton
from gateway.desk import assignment, sides
from gateway.desk.case import Case
from gateway.desk.commands import explain_mistake
from gateway.desk.draft import Draft
from gateway.desk.expiring import set_expiry
from gateway.desk.verbs import CONTRADICTIONS, plain
from gateway.model import HeldFact, Instruction, Person, Plan

SHOWN_TO_DESK = frozenset({"author-unproven", "unknown-sender", "dmarc-fail", "auth-temperror", "header-ambiguous"})
"""Reasons of mail that the desk is told of, and that answering the notice accepts."""
_ASKED_AT_REGISTERED = frozenset(
    {"agent-unproven", "agent-token", "dmarc-fail", "replayed", "signature-old", "not-addressed"} | {"ambiguous-tokens"}
)
_RETRY = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))


def released_as(reason: str, ticket: int, event: int, by: int) -> Instruction:
    """What letting a held mail go means when nobody says more: somebody else's is let in, an agent's own is sent.

    ``by``: the party who decides, 0 an operator.
    """
    agents_own = bool(ticket and event) and reason not in SHOWN_TO_DESK
    return Instruction(act="send" if agents_own else "admit", by=by, ticket=ticket, event=event)


def plan_wait(case: Case) -> Plan:
    """DNS failed where it could change the verdict: decide later, as if now (security.md 4.7)."""
    draft = Draft(case)
    waited = case.now - case.mail.envelope.received_at
    delay = next((d for d in _RETRY if waited < d), timedelta(minutes=30))
    draft.explain(f"author not yet verifiable: {case.findings.authentication.why}; tried again")
    return draft.plan("wait", retry_at=case.now + delay)


def plan_held(case: Case) -> Plan:
    """Hold by policy: beside the ticket it names when there is one; told to whoever can decide."""
    draft = Draft(case)
    draft.explain(f"held: {case.verdict.reason}; {case.findings.authentication.why or 'see the reason'}")
    if case.ticket is None or case.verdict.quarantine:
        return draft.plan("hold")
    agent = _agent_to_ask(case)
    facts = _facts_of_hold(case) | {"reason": _notice_reason(case)}
    held = _hold_event(draft, case, agent, facts, reason=case.verdict.reason)
    if agent is not None and case.verdict.reason in _ASKED_AT_REGISTERED:
        draft.notify(
            "held",
            [agent],
            about=held,
            reason=_notice_reason(case),
            in_reply_to=case.findings.message.message_id,
            data=_facts_of_hold(case),
        )
        draft.explain(f"asked at the registered address of {agent.agent}")
    else:
        draft.notify(
            "unproven",
            assignment.owner_or_pool(case),
            about=held,
            author=case.facts.author,
            reason=case.verdict.reason,
            attachments=case.files,
            data=_facts_of_hold(case),
        )
        draft.explain("shown to the owner (or pool), flagged")
    return draft.plan("hold")


def hold_answer(
    case: Case, reason: str, *, other: int = 0, text: str | None = None, data: dict[str, str] | None = None
) -> Plan:
    """Hold an agent's own mail and ask its author: nothing was done, nothing was sent, the text is safe."""
    if _pressed(case) and reason != "command":
        return tell_author(case, reason, data=data)
    draft = Draft(case, reason=reason)
    person = case.agent_person
    why = explain_mistake(case.orders, case.settings.commands, case.role) if reason == "command" else {}
    facts = {"hint": case.orders.hint or "", "bad_line": case.orders.bad_line, **why, **(data or {})}
    facts |= tell_addressed(case) if reason in ("no-token", "agent-token") else {}
    facts |= {"mere": "1"} if text is None and _is_mere(case, reason) else {}
    held = _hold_event(draft, case, person, {**facts, "other": str(other or "")}, reason=reason, text=text)
    if person is not None:
        draft.notify(
            "held",
            [person],
            about=held,
            other=other,
            reason=reason,
            in_reply_to=case.findings.message.message_id,
            data=facts,
        )
    draft.explain(f"held and shown to its author: {reason}")
    return draft.plan("hold")


def _is_mere(case: Case, reason: str) -> bool:
    """Whether nothing is lost with the mail: orders alone that were not done, and no question of ours.

    Its author is answered and knows; a reminder days later would only ask about something long done by other means.
    """
    orders = case.orders
    if reason in _QUESTIONS or case.findings.message.attachments or not (orders.held or orders.commands):
        return False
    spoken = any(len(line.split()) > _ORDER_WORDS for line in orders.bad_line.splitlines())  # "#noet she is rude"
    return not orders.text.strip() and not spoken


_QUESTIONS = ("merge-asks", "from-asks", "undo-asks", "undecided", "already-decided")
_ORDER_WORDS = 2


def _pressed(case: Case) -> bool:
    """Whether it is a pressed link of the agent's own, without words: there is nothing to keep."""
    return case.match.ground == "action" and case.own_token and not case.orders.text.strip()


def tell_author(case: Case, reason: str, *, data: dict[str, str] | None = None) -> Plan:
    """Answer an order of which nothing comes and of which nothing is kept: why, in one line."""
    draft, person = Draft(case, reason=reason), case.agent_person
    assert person is not None
    order = next((f"#{c.verb} {c.argument}".strip() for c in case.orders.commands), case.own.text)
    number = draft.add_mail("command", party=person.party, public=False, text=order, answers=case.match.event)
    draft.notify(
        "command",
        [person],
        about=number,
        reason=reason,
        in_reply_to=case.findings.message.message_id,
        data=data or {},
    )
    draft.explain(f"nothing done, its author is told why: {reason or 'done before'}")
    return draft.plan("command")


def _hold_event(
    draft: Draft,
    case: Case,
    person: Person | None,
    facts: dict[str, str],
    *,
    reason: str,
    text: str | None = None,
) -> int:
    assert case.ticket is not None
    # What an agent may send later with #send is cut like any answer: never the quotation of our own notice below it.
    agents = case.agent is not None or bool(case.token_agent)
    shown = case.own.text if agents else case.own.text or case.findings.body.new or case.findings.message.text
    own = shown if text is None else text
    author = case.facts.author
    party = person.party if person else (author.party if author else 0)
    address = case.author.address if case.author else ""
    number = draft.add_mail(
        "held",
        party=party,
        public=False,
        text=own,
        answers=case.match.event,
        reason=reason,
        data={
            **({"address": address} if address else {}),
            **({"proven": "1"} if case.customer_proven else {}),
            **_side(case),
        },
    )
    fact = HeldFact(
        ticket=case.ticket.number,
        event=number,
        party=party,
        reason=reason,
        text=case.orders.text if case.orders.held or case.orders.commands else own,
        commands=_kept_commands(case),
        answered=case.match.event,
        journal=case.mail.id,
        internal=case.orders.internal or case.answers_note,
        bad_line=case.orders.bad_line,
        attachments=tuple(a.name for a in case.findings.message.attachments),
    )
    draft.hold(fact)
    once = facts.get("mere") or (case.match.ground == "action" and not fact.text.strip())
    set_expiry(draft, fact, {**facts, "once": "1"} if once else facts)
    return number


def _kept_commands(case: Case) -> tuple[tuple[str, str], ...]:
    """What the held mail ordered, beside a mistake too; of two orders that contradict each other neither."""
    clash = frozenset().union(*(pair for pair in CONTRADICTIONS if pair <= {plain(c) for c in case.orders.others}))
    asked = sides.find_ask(case)
    others = [c for c in case.orders.others if plain(c) not in clash or c is asked]
    # Whom its text is for is kept whatever stands beside it: it must not go elsewhere.
    kept = case.orders.commands or others or ((asked,) if asked is not None else ())
    return tuple((c.verb, c.argument) for c in kept)


def _side(case: Case) -> dict[str, str]:
    """In which side conversation the mail stands: an agent's by whom it is for, another's by whose token it has."""
    agents = case.agent is not None or bool(case.token_agent)
    if agents:
        party = 0 if sides.find_asked(case) is not None else sides.find_reader(case)
        return {"side": str(party)} if party > 0 else {}
    third = case.author_as_third or sides.find_third(case.ticket, case.match.party)
    party = third.party if third else sides.side_of(case.ticket, case.match.event)
    return {"side": str(party)} if party else {}


def _agent_to_ask(case: Case) -> Person | None:
    """The agent whose mail this claims to be: by address, or by the token it carries."""
    if case.agent_person is not None:
        return case.agent_person
    return case.facts.agents.get(case.token_agent)


def _notice_reason(case: Case) -> str:
    if case.verdict.reason == "agent-token" and case.agent is None:
        return "unknown-address"
    return case.verdict.reason


def _facts_of_hold(case: Case) -> dict[str, str]:
    author = case.author
    return {
        "address": author.address if author else "",
        "name": author.name if author else "",
        "why": case.findings.authentication.why,
        "failed": "1" if case.findings.authentication.failed else "",
        "resembles": _resembled(case),
        **tell_addressed(case),
    }


def tell_addressed(case: Case) -> dict[str, str]:
    """Whom of the ticket an agent's held mail names in To and Cc: they may have it already, whatever is done here.

    A blind copy proves to nobody that its author meant us, so it does not count as a copy of an answer (direct.py).
    """
    ticket, message = case.ticket, case.findings.message
    if ticket is None or not (case.agent or case.token_agent):
        return {}
    named = {fold_address(mailbox.address) for mailbox in (*message.to, *message.cc)}
    people = [p.address for p in ticket.participants if not p.agent and fold_address(p.address) in named]
    ours = any(case.settings.is_own_address(mailbox.address) for mailbox in (*message.to, *message.cc))
    blind = not ours and case.agent_proven
    return {"addressed": ", ".join(people[:3]), "blind": "1" if blind else ""} if people else {}


def _resembled(case: Case) -> str:
    """The participant of the ticket whose address the author's can be mistaken for (security.md 7.4); "" when none."""
    if case.author is None or case.ticket is None:
        return ""
    own, seen = fold_address(case.author.address), skeleton(case.author.address)
    others = (p.address for p in case.ticket.participants if fold_address(p.address) != own)
    return next((address for address in others if skeleton(address) == seen), "")
