"""An agent begins a ticket: ``#new jane@customer.test Subject`` on the first line of a new mail (decision 0016).

The one mail to a customer that no token allows, because there is no ticket yet. So all else is asked for: the agent's
own proof, a signature over everything that is sent or decides, our address as addressee, and a first use (policy.py).
What is wrong sends nothing and opens nothing; the agent gets the mail back with the reason.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

from gateway.address import fold_address
from gateway.desk.case import Case
from gateway.desk.commands import read_commands, read_subject, stands_at_top
from gateway.desk.deed import Problem, called, trouble
from gateway.desk.deeds import CHECKS, carry_out
from gateway.desk.deeds_people import check_address
from gateway.desk.direct import find_outside, is_authors_word
from gateway.desk.draft import Draft
from gateway.desk.lines import may_read
from gateway.desk.sides import asked_address, asked_subject
from gateway.desk.verbs import BY_NAME
from gateway.model import Command, Mailbox, Orders, Plan, State, TicketChange
from gateway.questions import Listing, Question, TicketLine

_BESIDE = ("new", "cc", "tag", "prio", "followup", "close")
"""What may be ordered in the same mail."""
_MOST_CC = 20


def begins_ticket(case: Case) -> bool:
    """Whether a proven agent's mail about no ticket says ``#new``, rightly or wrongly.

    Not one that the customer named has from the agent already: that is recorded and not sent again (direct.py).
    """
    if case.verdict.outcome != "agent" or case.match.ticket or case.match.kind not in ("", "d"):
        return False
    if case.match.ground == "action" or case.clues.action is not None:
        return False
    rules, subject = case.settings.commands, case.findings.message.subject
    if not stands_at_top("new", case.findings.body.new, rules):
        return stands_at_top("new", subject, rules)
    if read_subject(subject, rules).kind == "command":
        return False
    orders = read_commands(case.findings.body.new, "ticket", rules)
    return not any(fold_address(_address(orders)) == fold_address(m.address) for m in find_outside(case))


def find_order(orders: Orders) -> Command | None:
    """The ``#new`` of a mail, understood or beside a mistake."""
    return next((c for c in (*orders.commands, *orders.others) if c.verb == "new"), None)


def _address(orders: Orders) -> str:
    order = find_order(orders)
    return asked_address(order) if order else ""


# ------------------------------------------------------------------ what has to be right first


def find_problem(case: Case) -> Problem | None:
    """Why no ticket is begun; None when all is right. Whether the customer is blocked is in ``facts.blocks``."""
    return _misread(case) or _not_allowed(case) or _unfit(case) or _misaddressed(case)


def _misread(case: Case) -> Problem | None:
    orders, order = case.orders, find_order(case.orders)
    body, rules = case.findings.body, case.settings.commands
    if not stands_at_top("new", body.new, rules):
        return Problem("new-subject-line", {"verb": "new"})
    if body.command_text is None:
        return Problem("html-command", {"verb": "new"})
    if orders.held:
        bad = orders.bad_line.partition("\n")[0]
        if stands_at_top("new", bad, rules):
            said = bad.strip().partition(" ")[2].strip()
            return Problem("address", {"verb": "new", "value": said[:80]}) if said else Problem("new-whom")
        if not bad:
            return Problem("contradiction", _both(orders))
        return Problem("unknown-command", {"value": bad[:80], "hint": orders.hint or "help"})
    if order is None:
        return Problem("new-whom")
    if sum(c.verb == "new" for c in orders.commands) > 1:
        return Problem("new-one", {"verb": "new"})
    other = next((c for c in orders.commands if c.verb not in _BESIDE), None)
    return trouble("contradiction", order, value=other.verb) if other is not None else None


def _both(orders: Orders) -> dict[str, str]:
    other = next((c.verb for c in orders.others if c.verb != "new"), "")
    return {"verb": "new", "value": other}


def _not_allowed(case: Case) -> Problem | None:
    """Proof, rights, and that the agent meant us: nothing here is anybody's but the author's word."""
    agent = case.agent
    if agent is None or not BY_NAME["new"].allows(agent.role):
        return Problem("not-allowed", {"verb": "new", "value": "agent"})
    if not case.agent_proven or not is_authors_word(case, "subject"):
        return Problem("new-proof", {"verb": "new"})
    if case.findings.forwarded is not None:
        return Problem("new-forward", {"verb": "new"})
    outside = find_outside(case)
    if outside:
        return Problem("new-outside", {"verb": "new", "value": ", ".join(m.address for m in outside[:3])})
    message = case.findings.message
    found = (case.settings.find_inbox(m.address) for m in (*message.to, *message.cc))
    handles = {inbox.handle for inbox in found if inbox is not None} | {case.mail.envelope.inbox}
    if len(handles) > 1:
        return Problem("new-inboxes", {"verb": "new", "value": ", ".join(sorted(handles))})
    limit = case.settings.security.begin_limit
    if case.facts.begun_by_agent >= int(limit.partition("/")[0]):
        return Problem("new-limit", {"verb": "new", "value": limit.partition("/")[0]})
    if not may_read(case, case.mail.envelope.inbox):
        return Problem("new-foreign", {"verb": "new", "value": case.inbox.name})
    return None


def _unfit(case: Case) -> Problem | None:
    """Words, a subject, and nothing of anybody else's in them."""
    order = find_order(case.orders)
    assert order is not None
    if case.own.unclear:
        return Problem("new-unclear", {"verb": "new"})
    if not case.orders.text.strip():
        return trouble("new-text", order, value=asked_address(order))
    return None if find_subject(case) else Problem("new-subject", {"verb": "new", "value": asked_address(order)})


def _misaddressed(case: Case) -> Problem | None:
    order = find_order(case.orders)
    assert order is not None
    address = asked_address(order)
    problem = check_address(case, Command("new", address))
    if problem is not None:
        return problem
    if len(case.orders.commands) > _MOST_CC:
        return trouble("too-many", order, value=str(_MOST_CC))
    for command in case.orders.commands:
        check = CHECKS.get(command.verb) if command.verb != "new" else None
        problem = check(case, command) if check else None
        if problem is not None:
            return problem
    for one in (address, *copied(case)):
        if _is_blocked(case, one):
            return Problem("new-blocked", {"verb": "new", "value": one})
    return None


def _is_blocked(case: Case, address: str) -> bool:
    folded = fold_address(address)
    rules = case.settings.security.sender_block
    return folded in case.facts.blocks or any(fnmatchcase(folded, fold_address(rule)) for rule in rules)


def copied(case: Case) -> tuple[str, ...]:
    """Whom ``#cc`` names beside the customer."""
    return tuple(c.argument.strip() for c in case.orders.commands if c.verb == "cc")


def find_customer(case: Case) -> Mailbox | None:
    """Whose ticket is to be opened; None when the mail does not begin one, or not rightly."""
    order = find_order(case.orders)
    if not begins_ticket(case) or order is None or find_problem(case) is not None:
        return None
    return Mailbox("", asked_address(order))


def find_subject(case: Case) -> str:
    """The words after the address, else the mail's subject; that of a mail answered here is not the customer's."""
    order = find_order(case.orders)
    named = asked_subject(order) if order else ""
    return named or ("" if case.clues.is_reply or case.match.kind == "d" else case.findings.message.subject.strip())


def ask_open(case: Case, command: Command) -> tuple[Question, ...]:
    """What else is open with this customer, for the agent to see."""
    customer = case.ticket.customer if case.ticket else None
    if customer is None or not begins_ticket(case):
        return ()
    return (Listing((case.mail.envelope.inbox,), customer=customer.party, limit=4),)


# ------------------------------------------------------------------ what is done


def plan_new(case: Case) -> Plan:
    """The mail to the customer and the ticket that waits for the answer, the agent's own."""
    ticket, person, order = case.ticket, case.agent_person, find_order(case.orders)
    assert ticket is not None and ticket.customer is not None and person is not None and order is not None
    draft = Draft(case, reason="agent-wrote")
    text = case.orders.text
    number = draft.add_mail("answer", party=person.party, public=True, text=text)
    draft.change(TicketChange(state=State.WAITING, owner=person.party))
    carry_out(draft, case, person, quiet=True)
    # Called back while it waits, nothing was said and nobody waits: the ticket is over, not everybody's.
    draft.annotate(number, {"undo": json.dumps({"state": [State.CLOSED.value, State.WAITING.value]})})
    draft.notify(
        "answer",
        draft.participants(),
        about=number,
        author=person,
        text=text,
        html=case.own.html,
        attachments=case.outgoing_files,
        public=True,
    )
    draft.notify(
        "forward",
        [person],
        about=number,
        author=ticket.customer,
        in_reply_to=case.findings.message.message_id,
        data={"begun": "1", "written": "1", **_tell_open(case, order)},
    )
    draft.explain(f"begun by {person.agent}: written to {ticket.customer.address}")
    return draft.plan("new", opens=True)


def _tell_open(case: Case, order: Command) -> dict[str, str]:
    """The newest other ticket that is open with the customer."""
    questions = ask_open(case, order)
    found = case.answers.get(questions[0], ()) if questions else ()
    lines = [line for line in found if isinstance(line, TicketLine)]  # type: ignore[union-attr]
    ticket = case.ticket.number if case.ticket else 0
    other = next((line for line in lines if line.number != ticket), None)
    if other is None:
        return {}
    owner = called(other.owner) if other.owner else ""
    return {"open": str(other.number), "open_subject": other.subject, "open_owner": owner}
