"""An agent's mail that is about no ticket: a command in the subject of a new mail, an answer to a list, own settings.

It opens nothing and nothing of it can reach a customer. What it asks is answered to the registered address only, so a
stranger who gets a mail through in an agent's name learns nothing (mail.md 13 R7, R8).
"""

from __future__ import annotations

from dataclasses import replace

from gateway.desk import beginning, misplaced
from gateway.desk.case import Case
from gateway.desk.commands import SubjectReading, explain_mistake, read_commands, read_subject
from gateway.desk.deeds import carry_out, check_orders
from gateway.desk.direct import find_outside
from gateway.desk.draft import Draft
from gateway.desk.verbs import BY_NAME
from gateway.model import Orders, Plan


def is_personal(case: Case) -> bool:
    """Whether a proven agent's mail is about no ticket at all, and no new one either."""
    if case.verdict.outcome != "agent" or case.match.ticket:
        return False
    if beginning.begins_ticket(case):
        return True
    if answers_list(case) or case.match.ground == "action" or _subject(case).kind in ("command", "held"):
        return True
    return _has_only_orders(case)


def _has_only_orders(case: Case) -> bool:
    """A new mail with nothing but commands in its text: written there on a phone, not into the subject.

    As a ticket of its author it would be told to every colleague, and what it asks would be ignored. So would a mail
    that begins with a command nobody understands: the whole of it goes back (mail.md principle 5).
    """
    message = case.findings.message
    if case.match.ground != "none" or case.findings.forwarded is not None or case.clues.is_reply or find_outside(case):
        return False
    orders = read_commands(case.findings.body.new, "list", case.settings.commands)
    alone = bool(orders.commands) and not orders.text.strip()
    return (alone or bool(orders.bad_line)) and not message.attachments


def answers_list(case: Case) -> bool:
    """Whether it goes to an address of kind d: below a digest, list or report, or the personal command address.

    Where addresses carry no tokens, the Message-ID of the list tells the same.
    """
    if case.match.kind == "d":
        return True
    return case.match.ground == "none" and any(not t.ticket and t.where == "in-reply-to" for t in case.clues.own_ids)


def read_personal(case: Case) -> Orders:
    """What such a mail asks for. The subject of a new mail counts; below a list the text does."""
    if beginning.begins_ticket(case):
        return read_commands(case.own.text, "ticket", case.settings.commands)
    subject = _subject(case)
    if subject.kind == "command" and subject.command is not None and not case.clues.is_reply:
        return Orders(commands=(subject.command,), bare=True)
    if _has_only_orders(case):
        return read_commands(case.findings.body.new, "list", case.settings.commands)
    if not answers_list(case):
        line = case.findings.message.subject.strip()
        return Orders(held=True, hint=subject.hint, bad_line=line)
    body = case.findings.body
    # Nothing can be sent to a customer by mistake here, so the words of an HTML part are as good.
    text = body.new if body.command_text is None else body.command_text
    orders = read_commands(text, "list", case.settings.commands)
    return replace(orders, held=True) if not orders.commands else orders


def plan_personal(case: Case) -> Plan:
    """Do what is asked and answer in one mail each; what was not understood is asked about, and nothing is done."""
    person = case.agent_person
    assert person is not None
    begins = beginning.begins_ticket(case)
    if begins and case.ticket is not None:
        return beginning.plan_new(case)
    draft = Draft(case, reason="personal")
    named = misplaced.find_ticket(case, case.orders)
    if named is not None:
        written = case.findings.body.new.strip() or case.findings.message.subject
        misplaced.answer_misplaced(case, draft, person, named, written)
        return draft.plan("command")
    reason, data = _why_not_begun(case) if begins else _trouble(case)
    if reason:
        draft.notify(
            "list",
            [person],
            in_reply_to=case.findings.message.message_id,
            reason=reason,
            data={"verb": "help", "subject": case.findings.message.subject, **_unsent(case), **data},
        )
        draft.explain(f"nothing done, asked what was meant: {reason}")
    else:
        draft.explain(f"asked by {person.agent}: {', '.join(c.verb for c in case.orders.commands)}")
        carry_out(draft, case, person, quiet=False)
    return draft.plan("command")


def _unsent(case: Case) -> dict[str, str]:
    """The words of a mail that goes back; below a list there are none to keep."""
    back = _has_only_orders(case) and case.orders.text.strip()
    return {"unsent": case.findings.body.new.strip("\n")} if back else {}


def _why_not_begun(case: Case) -> tuple[str, dict[str, str]]:
    """The reason, and the mail as it was: its author may have thrown the only copy away."""
    problem = beginning.find_problem(case)
    assert problem is not None
    return problem.reason, {**problem.data, "unsent": case.findings.body.new.strip("\n")}


def _trouble(case: Case) -> tuple[str, dict[str, str]]:
    orders = case.orders
    if case.match.ground == "action" and not case.own_token:
        return "dead-link", {}
    if orders.held:
        said = orders.bad_line or orders.text.strip().partition("\n")[0]
        usage = explain_mistake(orders, case.settings.commands, case.role).get("usage", "")
        verb = usage.partition("\n")[0].partition(" ")[0].removeprefix("#")
        number = misplaced.find_misplaced(case, orders)[0]
        if number:
            return "unknown-ticket", {"verb": verb, "value": str(number)}
        if verb and not BY_NAME[verb].subject:
            return "no-ticket", {"verb": verb}
        if verb:  # a verb of ours, and something behind it that is none of its arguments
            argument = said.lstrip("#!/ ").partition(" ")[2].strip()
            return f"usage-{verb}" if verb == "list" else "usage", {
                "verb": verb,
                "value": argument[:80],
                "names": usage.replace("\n", "   "),
            }
        unknown = bool(orders.bad_line)
        return "unknown-command" if unknown else "no-customer", {"value": said[:80], "hint": orders.hint or "help"}
    problem = check_orders(case)
    return (problem.reason, problem.data) if problem is not None else ("", {})


def _subject(case: Case) -> SubjectReading:
    return read_subject(case.findings.message.subject, case.settings.commands)
