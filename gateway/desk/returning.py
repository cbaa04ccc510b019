"""The list on return: what became of an agent's tickets while the agent was away (mail.md 14).

Sent in answer to ``#back``, or when the time that ``#away`` named is over. The agent's tickets are those the agent has,
and those the agent had a hand in before: a customer's mail gave them to somebody else meanwhile.
"""

from __future__ import annotations

import json
from datetime import datetime

from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.desk.lines import is_late, served_by
from gateway.desk.reading import tell_row
from gateway.model import Person
from gateway.questions import Changed, Question, TicketLine

_MOST_ROWS = 50


def away_since(case: Case) -> datetime | None:
    """When the absence began that nobody was told the end of yet."""
    said = case.facts.choices.get(case.facts.author_agent, {}).get("away-since", "")
    return datetime.fromisoformat(said) if said else None


def ask_return(case: Case) -> tuple[Question, ...]:
    """The agent's tickets that changed since."""
    since, person = away_since(case), case.agent_person
    if since is None or person is None:
        return ()
    return (Changed(served_by(case.agent, case.settings), since, person.party),)


def send_return(draft: Draft, case: Case, to: Person) -> None:
    """One list; late ones first, then who waits longest, then what is done."""
    lines = [
        line
        for question in ask_return(case)
        for line in case.answers.get(question, ())  # type: ignore[union-attr]
        if isinstance(line, TicketLine)
    ]
    lines.sort(key=lambda line: (not is_late(line, case.settings, case.now), line.waits_since or case.now))
    draft.choose(to.agent, "away-since", "")
    draft.notify(
        "list",
        [to],
        in_reply_to=case.findings.message.message_id,
        data={
            "verb": "back",
            "subject": case.findings.message.subject,
            "done": "back",
            "list": "back",
            "count": str(len(lines)),
            "rows": json.dumps([tell_row(case, line) for line in lines[:_MOST_ROWS]], ensure_ascii=False),
        },
    )
    draft.explain(f"{to.agent} is told of {len(lines)} tickets that changed meanwhile")
