"""Verbs that read: ``#show``, ``#history``, ``#list``, ``#search``, ``#export`` (mail.md 14, 17).

Each has a check, the question it asks the store, and an act that makes the answer a mail. They show tickets of inboxes
the agent serves, and a ticket elsewhere is not told from one that does not exist. #show answers in the thread of the
ticket shown, so that an answer to it goes to that customer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace

from gateway.desk.case import Case
from gateway.desk.choices import zone_of
from gateway.desk.deed import Deed, Problem, add_apart, apart, trouble
from gateway.desk.deeds_stopped import decidable, names_rows, show_row
from gateway.desk.draft import Draft
from gateway.desk.exporting import zip_ticket
from gateway.desk.lines import is_late, may_read, say_who, served_by, tell_owner, tell_wait
from gateway.desk.searching import SearchError, read_search
from gateway.desk.shown_files import gather_files, wanted_files
from gateway.model import Attachment, Command, State, TicketFacts
from gateway.questions import Listing, Original, Originals, Question, Search, Stopped, StoppedMail, TicketLine

_REFERENCE = re.compile(r"#?([0-9]{1,8})?\s*(raw|files|all)?", re.IGNORECASE)
_MOST_ROWS = 50
"""Rows of one list; more say how many there are."""
_NUMBERED = ("show", "history", "export")
_LISTS: Mapping[str, tuple[State, ...]] = {
    "free": (State.NEW, State.OPEN, State.WAITING),
    "late": (State.NEW, State.OPEN),
    "snoozed": (State.SNOOZED,),
}


# ------------------------------------------------------------------ which ticket


def read_reference(argument: str) -> tuple[int, str]:
    """Number (0: the ticket at hand) and part ("", raw, files, all) of ``4827 raw``."""
    found = _REFERENCE.fullmatch(argument.strip())
    return (int(found[1] or 0), (found[2] or "").lower()) if found else (0, "")


def named_ticket(command: Command) -> int:
    """The number a reading command names, 0 for none."""
    return read_reference(command.argument)[0] if command.verb in _NUMBERED else 0


def _target(case: Case, command: Command) -> TicketFacts | None:
    number = named_ticket(command)
    ticket = case.facts.tickets.get(number) if number else case.ticket
    return ticket if ticket is not None and may_read(case, ticket.inbox) else None


def check_reference(case: Case, command: Command) -> Problem | None:
    """A ticket that exists and may be seen."""
    if _target(case, command) is not None:
        return None
    number = named_ticket(command)
    return trouble("unknown-ticket", command, value=str(number)) if number else trouble("no-ticket", command)


# ------------------------------------------------------------------ one ticket


def ask_mails(case: Case, command: Command) -> tuple[Question, ...]:
    """The mails as they came, where they are wanted."""
    ticket, part = _target(case, command), read_reference(command.argument)[1]
    if ticket is None or not (part or command.verb == "export"):
        return ()
    if part != "files":
        return (Originals(ticket.number),)
    return (Originals(ticket.number, _mails_with_files(case, ticket) or (-1,), bare=True),)


def _mails_with_files(case: Case, ticket: TicketFacts) -> tuple[int, ...]:
    return wanted_files(ticket, case.match.event if ticket.number == case.match.ticket else 0)


def show(deed: Deed) -> str:
    """The ticket, newest message first; raw, all: the mails themselves too; files: theirs. For a lead, a listed row."""
    if names_rows(deed.command):
        return show_row(deed)
    return _tell(deed)


def history(deed: Deed) -> str:
    """Its events, one line each."""
    return _tell(deed)


def export(deed: Deed) -> str:
    """A .zip with the mails as they came and everything known about the ticket as JSON."""
    ticket = _target(deed.case, deed.command)
    assert ticket is not None
    content = zip_ticket(ticket, _originals(deed, ticket))
    return _tell(deed, (_attach(f"ticket-{ticket.number}.zip", "application/zip", content),))


def _tell(deed: Deed, files: tuple[Attachment, ...] = ()) -> str:
    case, verb = deed.case, deed.command.verb
    ticket, part = _target(case, deed.command), read_reference(deed.command.argument)[1]
    assert ticket is not None
    facts = {"verb": verb, "part": part}
    if verb == "show" and part == "files":
        files, told = gather_files(ticket, _mails_with_files(case, ticket), _originals(deed, ticket))
        facts |= told
    elif verb == "show" and part:
        # No type of its own: message/rfc822 may not be encoded, and a mail as it came may hold any octet.
        files = tuple(
            _attach(f"{ticket.number}-{mail.event}.eml", "application/octet-stream", mail.raw)
            for mail in _originals(deed, ticket)
        )
    elsewhere = case.ticket is None or ticket.number != case.ticket.number
    draft = Draft(replace(case, ticket=ticket), reason=verb) if elsewhere else deed.draft
    draft.notify(
        "command",
        [deed.person],
        in_reply_to=case.findings.message.message_id,
        attachments=files,
        data=facts,
    )
    draft.explain(f"{verb} {ticket.number} for {deed.person.agent}")
    if elsewhere:
        deed.draft.beside(draft.plan("command"))
    return ""


def _originals(deed: Deed, ticket: TicketFacts) -> tuple[Original, ...]:
    found = (m for q in ask_mails(deed.case, deed.command) for m in deed.case.answers.get(q, ()))  # type: ignore[union-attr]
    return tuple(mail for mail in found if isinstance(mail, Original))


def _attach(name: str, kind: str, content: bytes) -> Attachment:
    return Attachment(
        name=name, type=kind, size=len(content), sha256=hashlib.sha256(content).hexdigest(), content=content
    )


# ------------------------------------------------------------------ lists


def check_list(case: Case, command: Command) -> Problem | None:
    """The quarantine is for leads (mail.md 16)."""
    lead = case.agent is not None and case.agent.role == "lead"
    if command.argument.strip().lower() == "quarantine" and not lead:
        return Problem("not-allowed", {"verb": "list quarantine", "value": "lead"})
    return None


def ask_list(case: Case, command: Command) -> tuple[Question, ...]:
    """One listing, or the held mail."""
    inboxes, what = served_by(case.agent, case.settings), command.argument.strip().lower()
    if what == "quarantine":
        return (Stopped(inboxes),)
    owner = {"mine": case.agent_person.party if case.agent_person else 0, "free": 0}.get(what)
    return (Listing(inboxes, _LISTS[what], owner),) if what in _LISTS else (Listing(inboxes, owner=owner),)


def list_tickets(deed: Deed) -> str:
    """``#list``: yours and the free ones; late ones first."""
    case, what = deed.case, deed.argument.lower()
    (question,) = ask_list(case, deed.command)
    found = case.answers.get(question, ())
    if isinstance(question, Stopped):
        stopped = [mail for mail in found if isinstance(mail, StoppedMail)]  # type: ignore[union-attr]
        rows = [_stopped_row(mail) for mail in stopped[:_MOST_ROWS]]
        _send(deed, stopped=json.dumps(rows), list=what, count=str(len(stopped)))
        return ""
    lines = [line for line in found if isinstance(line, TicketLine)]  # type: ignore[union-attr]
    if what == "late":
        lines = [line for line in lines if is_late(line, case.settings, case.now)]
    elif not what:
        own = (deed.person.party,)
        lines = [line for line in lines if line.owner is None or line.owner.party in own]
    lines.sort(key=lambda line: (not is_late(line, case.settings, case.now), line.waits_since or case.now))
    _send(deed, rows=[tell_row(case, line) for line in lines[:_MOST_ROWS]], list=what or "yours", count=str(len(lines)))
    return ""


def tell_row(case: Case, line: TicketLine) -> dict[str, object]:
    """A ticket as a row of a list, for the writer of it."""
    me = case.agent_person.party if case.agent_person else 0
    return {
        "number": line.number,
        "subject": line.subject,
        "who": say_who(line.customer),
        "late": is_late(line, case.settings, case.now),
        **tell_owner(line, me),
        **tell_wait(line, case.now),
    }


def _stopped_row(mail: StoppedMail) -> dict[str, object]:
    return {
        "row": mail.row,
        "ticket": mail.ticket,
        "reason": mail.reason,
        "author": mail.author,
        "subject": mail.subject,
        "proven": mail.proven,
        "at": mail.at.isoformat(),
        "decidable": decidable(mail),
    }


# ------------------------------------------------------------------ search


def check_search(case: Case, command: Command) -> Problem | None:
    """A query that can be read."""
    try:
        _read_query(case, command)
    except SearchError as error:
        return trouble("search", command, value=str(error))
    return None


def ask_search(case: Case, command: Command) -> tuple[Question, ...]:
    """The search, in the inboxes the agent serves."""
    try:
        return (_read_query(case, command),)
    except SearchError:
        return ()


def _read_query(case: Case, command: Command) -> Search:
    agents = {handle: person.party for handle, person in case.facts.agents.items()}
    me = case.agent.handle if case.agent else ""
    zone = zone_of(case.agent, case.settings)
    terms = read_search(command.argument, agents, me, case.now, zone)
    return Search(served_by(case.agent, case.settings), terms)


def search(deed: Deed) -> str:
    """What was found, newest first, with a few words around each place."""
    case = deed.case
    question = _read_query(case, deed.command)
    lines = [line for line in case.answers.get(question, ()) if isinstance(line, TicketLine)]  # type: ignore[union-attr]
    more = len(lines) > question.limit
    rows = [
        {**tell_row(case, line), "changed": line.changed_at.isoformat(), "snippet": line.snippet}
        for line in lines[: question.limit]
    ]
    _send(deed, rows=rows, query=deed.argument, count=str(len(rows)), more="1" if more else "")
    return ""


def _send(deed: Deed, *, rows: list[dict[str, object]] | None = None, text: str = "", **facts: str) -> None:
    draft = apart(deed)
    draft.notify(
        "list",
        [deed.person],
        in_reply_to=deed.case.findings.message.message_id,
        text=text,
        data={
            "verb": deed.command.verb,
            "subject": deed.case.findings.message.subject,
            "rows": json.dumps(rows or [], ensure_ascii=False),
            **facts,
        },
    )
    draft.explain(f"{deed.command.verb} {deed.argument}: {len(rows or [])} rows")
    add_apart(deed, draft)
