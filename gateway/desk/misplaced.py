"""A command about a ticket in a new mail: ``#close 12``. It is answered in that ticket's thread, and not done.

What changes a ticket needs a token of the agent's own for it (mail.md 9.2), which a new mail has not. The answer has
one: a tap, or a reply with the command, does what was meant. Nothing is opened by such a mail.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.desk.lines import may_read
from gateway.desk.spelling import find_verb, normalise, vocabulary
from gateway.desk.verbs import BY_NAME, fits
from gateway.model import Orders, Person, TicketFacts

_LINE = re.compile(r"\s*[#!/]\s*([^\W\d_]+)\s*[:=]?\s+(\S.*?)[\s.!]*")
_NUMBER_FIRST = re.compile(r"#?([0-9]{1,8})[,:]?(?:\s+(.*))?")
_NUMBER_LAST = re.compile(r"(.*\S)\s+#?([0-9]{1,8})")
_NOT_ABOUT_ONE = frozenset({"note", "send", "ask", "new", "discard", "undo", "merge"})
"""Verbs whose argument may begin with a number, or that mean another mail."""


def read_misplaced(line: str, aliases: dict[str, str]) -> tuple[int, str]:
    """The ticket and the order of ``#snooze 12 3d``: (12, "snooze 3d"); (0, "") when it is no such line."""
    found = _LINE.fullmatch(normalise(line))
    verb = find_verb(found[1], vocabulary(aliases)) if found else ""
    if not found or not verb or BY_NAME[verb].subject or verb in _NOT_ABOUT_ONE:
        return 0, ""
    first, last = _NUMBER_FIRST.fullmatch(found[2]), _NUMBER_LAST.fullmatch(found[2])
    for number, rest in ((first[1], first[2] or "") if first else ("", ""), (last[2], last[1]) if last else ("", "")):
        if number and fits(BY_NAME[verb].argument, rest):
            return int(number), f"{verb} {rest.strip()}".strip()
    return 0, ""


def find_misplaced(case: Case, orders: Orders) -> tuple[int, str]:
    """What a mail about no ticket orders of one it names; (0, "") unless that is all that was not understood in it."""
    line = orders.bad_line
    if not orders.held or not line or "\n" in line:
        return 0, ""
    number, order = read_misplaced(line, dict(case.settings.commands.aliases))
    role = case.agent.role if case.agent else ""
    return (number, order) if order and BY_NAME[order.partition(" ")[0]].allows(role) else (0, "")


def find_ticket(case: Case, orders: Orders) -> TicketFacts | None:
    """The ticket meant by it, if the agent may see that."""
    ticket = case.facts.tickets.get(find_misplaced(case, orders)[0])
    return ticket if ticket is not None and may_read(case, ticket.inbox) else None


def answer_misplaced(case: Case, draft: Draft, person: Person, ticket: TicketFacts, written: str) -> None:
    """Tell the agent in the ticket's thread what was not done, with the reply address and the link that do it."""
    order = find_misplaced(case, case.orders)[1]
    there = Draft(replace(case, ticket=ticket), reason="misplaced")
    there.notify(
        "command",
        [person],
        in_reply_to=case.findings.message.message_id,
        reason="misplaced",
        text=written,
        data={"verb": order.partition(" ")[0], "order": order, "words": "1" if case.orders.text.strip() else ""},
    )
    there.explain(f"{order} not done: a new mail has no token for ticket {ticket.number}")
    draft.beside(there.plan("command"))
    draft.explain(f"asked for in a new mail, answered in ticket {ticket.number}")
