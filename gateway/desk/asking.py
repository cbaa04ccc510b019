"""Which questions an agent's orders raise: tickets by number, lists, searches, mails as they came, the event log.

The pipeline lets the store answer them before the plan is made. Nobody but a proven agent can raise any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.desk import beginning, deeds_self, reading, reporting, resending
from gateway.desk.case import Case
from gateway.desk.deeds_stopped import ROW_VERBS, ask_rows
from gateway.desk.misplaced import find_misplaced
from gateway.desk.personal import is_personal
from gateway.model import Command
from gateway.questions import Question

ASKS: Mapping[str, Callable[[Case, Command], tuple[Question, ...]]] = {
    "new": beginning.ask_open,
    "send": resending.ask_copies,
    "show": lambda case, command: ask_rows(case, command) or reading.ask_mails(case, command),
    **dict.fromkeys(ROW_VERBS, ask_rows),
    "export": reading.ask_mails,
    "list": reading.ask_list,
    "search": reading.ask_search,
    "report": reporting.ask_report,
    "digest": deeds_self.ask_digest,
    "back": deeds_self.ask_back,
}
"""Verb -> the questions it asks the store."""
_APART = ("list", "search", "report", "digest", "back")
"""Verbs that are answered by a mail about no ticket, wherever they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What has to be looked up before the plan can be made."""

    tickets: tuple[int, ...] = ()
    questions: tuple[Question, ...] = ()
    lists: int = 0
    """How many mails about no ticket may be sent: each needs a number of its own."""


def find_questions(case: Case) -> Asked:
    """What the orders want to read; nothing for a mail that may not command."""
    personal = is_personal(case)
    if case.agent_person is None or not (personal or (case.verdict.outcome == "agent" and case.own_token)):
        return Asked()
    commands = case.orders.commands
    misplaced = find_misplaced(case, case.orders)[0] if personal else 0
    return Asked(
        tickets=tuple(filter(None, (*map(reading.named_ticket, commands), misplaced))),
        questions=tuple(q for c in commands if c.verb in ASKS for q in ASKS[c.verb](case, c)),
        lists=len(commands) + 1 if personal or any(c.verb in _APART for c in commands) else 0,
    )
