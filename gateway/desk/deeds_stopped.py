"""Held and quarantined mail by its row in ``#list quarantine``: ``#notspam q17``, ``#spam q17``, ``#block q17``.

For leads, of their own inboxes (mail.md 16). A row is ``q17``, so that nobody takes it for a ticket; below the list the
number alone will do. What an agent's own mail is held for, that agent decides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from gateway.desk.case import Case
from gateway.desk.deed import Act, Check, Deed, Problem, add_apart, apart, trouble
from gateway.desk.holding import SHOWN_TO_DESK, released_as
from gateway.desk.lines import served_by
from gateway.model import Attachment, Command
from gateway.questions import Question, Stopped, StoppedMail

ROW_VERBS = ("notspam", "spam", "block")
_ROWS = re.compile(r"q?[0-9]{1,9}(?:[ ,]+q?[0-9]{1,9})*", re.IGNORECASE)
_MOST = 20
"""Rows of one command."""


def names_rows(command: Command) -> bool:
    """Whether the command is about rows of the list, not about a ticket."""
    argument = command.argument.strip()
    return bool(argument) and (command.verb in ROW_VERBS or (command.verb == "show" and argument[:1] in "qQ"))


def decidable(mail: StoppedMail) -> bool:
    """Whether a lead decides about it: it waits beside no ticket, or everybody who has the ticket was asked."""
    return mail.quarantine or not mail.event or mail.reason in SHOWN_TO_DESK


def read_rows(argument: str) -> tuple[int, ...]:
    """The rows in ``q17, q18``, each once."""
    found = _ROWS.fullmatch(argument.strip())
    return tuple(dict.fromkeys(int(n) for n in re.findall(r"[0-9]+", argument))) if found else ()


def ask_rows(case: Case, command: Command) -> tuple[Question, ...]:
    """The rows the command names, of inboxes this lead serves."""
    if not names_rows(command) or not _is_lead(case):
        return ()
    return (_question(case, command),)


def _question(case: Case, command: Command) -> Stopped:
    rows = read_rows(command.argument)[:_MOST]
    return Stopped(served_by(case.agent, case.settings), rows=rows, raw=command.verb == "show")


def _is_lead(case: Case) -> bool:
    return case.agent is not None and case.agent.role == "lead"


def _found(case: Case, command: Command) -> tuple[StoppedMail, ...]:
    mails = case.answers.get(_question(case, command), ())
    return tuple(mail for mail in mails if isinstance(mail, StoppedMail))  # type: ignore[union-attr]


def check_rows(case: Case, command: Command) -> Problem | None:
    """Every row is still held, and a lead's to decide."""
    if not _is_lead(case):
        return Problem("not-allowed", {"verb": f"{command.verb} {command.argument}".strip(), "value": "lead"})
    if case.ticket is not None and not command.argument.strip().lower().startswith("q"):
        return trouble("row-or-ticket", command)
    rows, mails = read_rows(command.argument), {mail.row: mail for mail in _found(case, command)}
    if len(rows) > _MOST:
        return trouble("too-many", command, value=str(_MOST))
    missing = next((row for row in rows if row not in mails), None)
    if missing is not None:
        return trouble("row", command, value=f"q{missing}")
    others = next((m for m in mails.values() if not decidable(m)), None) if command.verb != "show" else None
    if others is not None:
        return trouble("row-of-agent", command, value=f"q{others.row}", names=others.author)
    nobody = next((m for m in mails.values() if not m.author), None) if command.verb == "block" else None
    return trouble("block-whom", command) if nobody is not None else _check_sender(case, command, mails)


def _check_sender(case: Case, command: Command, mails: Mapping[int, StoppedMail]) -> Problem | None:
    """Nobody blocks a colleague or ourselves."""
    for mail in mails.values() if command.verb == "block" else ():
        agent = case.settings.find_agent(mail.author)
        if agent is not None:
            return trouble("agent-address", command, value=mail.author, names=agent.name)
        if case.settings.is_own_address(mail.author):
            return trouble("own-address", command, value=mail.author)
    return None


def _notspam(deed: Deed, mail: StoppedMail) -> None:
    deed.draft.release(mail.row, released_as(mail.reason, mail.ticket, mail.event, deed.person.party))
    if mail.reason == "blocked" and mail.author:
        deed.draft.block(mail.author, False)
        deed.draft.explain(f"mail from {mail.author} comes in again")


def _spam(deed: Deed, mail: StoppedMail) -> None:
    deed.draft.drop(mail.row)


def _block(deed: Deed, mail: StoppedMail) -> None:
    deed.draft.drop(mail.row)
    deed.draft.block(mail.author, True)


_ON_ROWS: Mapping[str, Callable[[Deed, StoppedMail], None]] = {"notspam": _notspam, "spam": _spam, "block": _block}


def on_rows(act: Act) -> Act:
    """The verb's act on a ticket, or on the rows it names."""

    def do(deed: Deed) -> str:
        if not names_rows(deed.command):
            return act(deed)
        mails = _found(deed.case, deed.command)
        for mail in mails:
            _ON_ROWS[deed.command.verb](deed, mail)
            deed.draft.explain(f"row {mail.row} ({mail.reason}): {deed.command.verb} by {deed.person.agent}")
        if deed.command.verb == "block":
            return f"rows-block {', '.join(dict.fromkeys(mail.author for mail in mails))}"
        return f"rows-{deed.command.verb} {', '.join(f'q{mail.row}' for mail in mails)}"

    return do


def or_rows(check: Check | None) -> Check:
    """The verb's check for a ticket, or for the rows it names."""

    def look(case: Case, command: Command) -> Problem | None:
        if names_rows(command):
            return check_rows(case, command)
        return check(case, command) if check else None

    return look


def show_row(deed: Deed) -> str:
    """The mail as it came, as a file: it is shown to a lead and opened by nobody else."""
    (mail,) = _found(deed.case, deed.command)[:1]
    raw = mail.raw or b""
    digest = hashlib.sha256(raw).hexdigest()
    # No type of its own: message/rfc822 may not be encoded, and a mail as it came may hold any octet.
    file = Attachment(
        name=f"q{mail.row}.eml", type="application/octet-stream", size=len(raw), sha256=digest, content=raw
    )
    draft = apart(deed)
    draft.notify(
        "list",
        [deed.person],
        in_reply_to=deed.case.findings.message.message_id,
        attachments=(file,),
        data={"verb": "show", "subject": deed.case.findings.message.subject, "done": f"row-shown q{mail.row}"},
    )
    draft.explain(f"row {mail.row} shown to {deed.person.agent}")
    add_apart(deed, draft)
    return ""
