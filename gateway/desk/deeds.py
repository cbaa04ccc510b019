"""Carrying out an agent's commands: each verb one function, one table (mail.md 14).

The grammar (commands.py) says what was written; here stands what it does. The verbs live in deeds_*.py by what they are
about; those of owning and state are below. Everything is checked before anything is done: a mail with one command that
cannot be carried out is held as a whole. A verb that is not available yet is refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.desk import (
    assignment,
    deeds_merge,
    deeds_people,
    deeds_self,
    deeds_stopped,
    deeds_ticket,
    deeds_time,
    reading,
    reporting,
    sides,
    undoing,
)
from gateway.desk.case import Case
from gateway.desk.deed import Act, Check, Deed, Problem, called, held_behind, trouble
from gateway.desk.draft import Draft
from gateway.desk.spelling import find_verb, vocabulary
from gateway.desk.telling import tell_owner
from gateway.desk.verbs import BY_NAME, STATUS_VERBS, examples_for, plain, synopsis_for
from gateway.model import Command, Instruction, Person, State, TicketChange

_TEXT_VERBS = frozenset({"note", "send", "ask", "new"})
"""What these do happens to the text (answering.py)."""

_AGAINST = (
    ("close", ("snooze", "followup", "wait")),
    ("snooze", ("followup", "wait")),
    ("spam", ("snooze", "followup", "wait", "open", "merge", "split")),
    ("claim", ("assign",)),
    ("release", ("assign",)),
    ("away", ("back",)),
    ("ask", ("close", "spam", "merge", "split")),
)
"""Pairs that make no sense together, besides those the grammar knows (verbs.CONTRADICTIONS)."""

AFTER = frozenset({"claim", "assign", "release", "open", "wait", "status", "snooze", "followup", "close"})
"""Verbs about owner, state and time. An answer sets these too, so beside one they are done after it."""

_ONE_VALUE = frozenset(
    {"assign", "snooze", "followup", "move", "subject", "prio", "from", "digest", "quiet", "away", "timezone"}
)
"""Verbs that set one thing: twice with two values, nobody can tell which is meant."""

_ALONE = frozenset({"merge", "split", "undo"})
"""Verbs that change which ticket is meant: text for the customer beside them would go who knows where."""


def check_orders(case: Case) -> Problem | None:
    """The first command that cannot be carried out, before anything is done; None when all can."""
    commands = case.orders.commands
    for command in commands:
        problem = _check_known(case, command) or _check_company(case, command)
        if problem is not None:
            return problem
    for command in commands:
        check = CHECKS.get(command.verb)
        problem = check(case, command) if check else None
        if problem is not None:
            return problem
    return None


def _check_known(case: Case, command: Command) -> Problem | None:
    verb, agent = BY_NAME[command.verb], case.agent
    if command.verb not in DEEDS and command.verb not in _TEXT_VERBS:
        return trouble("not-available", command)
    own = command.verb == "discard" and case.match.kind in ("h", "x")  # whoever was asked may say "leave it"
    if agent is not None and not (verb.allows(agent.role) or own):
        return Problem("not-allowed", {"verb": command.verb, "value": verb.who})
    without = verb.subject or command.verb == "also" or deeds_stopped.names_rows(command)
    if case.ticket is None and not without:
        return trouble("no-ticket", command)
    return None


def _check_company(case: Case, command: Command) -> Problem | None:
    """Commands and text that do not go together."""
    if command.verb in _ONE_VALUE:
        other = next((c for c in case.orders.commands if c.verb == command.verb and not _alike(c, command)), None)
        if other is not None:
            said = [f"{c.verb} {c.argument}".strip() for c in (command, other)]
            return Problem("contradiction", {"verb": said[0], "value": said[1], "names": ""})
    torn = deeds_ticket.find_torn_tag(command, case.orders.commands)
    if torn is not None:
        return Problem("contradiction", {"verb": torn[0], "value": torn[1], "names": ""})
    others = [plain(c) for c in case.orders.commands if c is not command]
    for one, against in _AGAINST:
        if plain(command) == one:
            rival = next((verb for verb in others if verb in against), "")
            if rival:
                return trouble("contradiction", command, value=rival)
    if command.verb in _ALONE:
        public = case.orders.text.strip() and not case.orders.internal and not case.answers_note
        if public or any(verb != "note" for verb in others):
            return trouble("alone", command)
    return None


def _alike(one: Command, other: Command) -> bool:
    return one.argument.strip().lower() == other.argument.strip().lower()


def carry_out(
    draft: Draft, case: Case, person: Person, *, quiet: bool, only: Iterable[str] = (), but: Iterable[str] = ()
) -> None:
    """Do the commands in order (only some verbs, or all but some); unless ``quiet``, confirm them in one short mail."""
    wanted, unwanted = frozenset(only), frozenset(but)
    results = []
    for command in case.orders.commands:
        deed = DEEDS.get(command.verb)
        if deed is not None and command.verb not in unwanted and (not wanted or command.verb in wanted):
            results.append(deed(Deed(draft, case, person, command)))
    done = [words for words in results if words]
    undoable = not any(c.verb == "undo" for c in case.orders.commands) and undoing.remember(draft)
    if quiet or not done:
        return
    draft.notify(
        "command" if case.ticket else "list",
        [person],
        in_reply_to=case.findings.message.message_id,
        about=case.match.event,
        data={
            "verb": case.orders.commands[0].verb,
            "done": "\n".join(done),
            "undo": "1" if undoable and case.ticket else "",
            "note_kept": "1" if case.match.ground == "action" and case.orders.text.strip() else "",
            "subject": case.findings.message.subject,
        },
    )


# ------------------------------------------------------------------ owning


def _claim(deed: Deed) -> str:
    _own(deed, deed.person, "claim")
    return f"claim {called(deed.person)}"


def _check_release(case: Case, command: Command) -> Problem | None:
    """A colleague's ticket is not given back: an order that comes late would take it from whoever took it since.

    Who answers the customer in the same mail has it.
    """
    answers = case.orders.text.strip() and not case.orders.internal and not case.answers_note
    return None if answers else _check_owner(case, command)


def _check_owner(case: Case, command: Command) -> Problem | None:
    owner = assignment.owner_of(case, case.ticket) if case.ticket else None
    if owner is None or case.agent is None or case.agent.role == "lead" or owner.agent == case.agent.handle:
        return None
    return trouble("others-work", command, value=called(owner))


def _release(deed: Deed) -> str:
    deed.draft.add_event("release", party=deed.person.party)
    deed.draft.change(TicketChange(owner=0))
    deed.draft.explain("released")
    return "release"


def _check_assign(case: Case, command: Command) -> Problem | None:
    """One agent who may own tickets; a colleague's ticket is given away by a lead only (mail.md 16)."""
    found = assignment.find_agents(case, command.argument)
    if len(found) != 1:
        names = ", ".join(a.handle for a in found or case.settings.agents.values() if a.enabled)
        return trouble("who", command, names=names)
    if found[0].role == "observer":
        return trouble("observer", command, value=found[0].handle)
    return _check_owner(case, command)


def _assign(deed: Deed) -> str:
    (agent,) = assignment.find_agents(deed.case, deed.command.argument)
    person = deed.case.facts.agents[agent.handle]
    _own(deed, person, "assign")
    ticket = deed.case.ticket
    assert ticket is not None
    said = [e for e in reversed(ticket.events) if e.kind in ("mail", "note", "answer")]
    # The last words the customer has or wrote: a note shown in their place would be answered as if it were theirs.
    last = next((e for e in said if e.public), said[0] if said else None)
    if person.party != deed.person.party:
        words = deed.case.orders.text.strip() if deed.case.orders.internal else ""
        deed.draft.notify(
            "assigned", [person], about=last.number if last else 0, author=deed.person, text=words if last else ""
        )
    return f"assign {called(person)}"


def _own(deed: Deed, person: Person, kind: str) -> None:
    ticket = deed.case.ticket
    assert ticket is not None
    former = assignment.owner_of(deed.case, ticket)
    number = deed.draft.add_event(kind, party=deed.person.party, data={"owner": str(person.party)})
    deed.draft.change(TicketChange(owner=person.party))
    if deed.draft.changed.state is None and ticket.state is State.NEW:
        deed.draft.change(TicketChange(state=State.OPEN))
    if former is not None and former.party not in (person.party, deed.person.party):
        deed.draft.notify("answered", [former], about=number, author=deed.person, reason=kind)
    others = (p for p in assignment.rivals(deed.case, person) if p.party != deed.person.party)
    deed.draft.notify("answered", others, about=number, author=person, reason="claimed")
    deed.draft.clear_timers("unclaimed")
    deed.draft.explain(f"{kind}: {person.agent} owns the ticket")


# ------------------------------------------------------------------ state


def _close(deed: Deed) -> str:
    ticket = deed.case.ticket
    assert ticket is not None
    # An answer opens a closed ticket: whoever answers and closes it again has closed it, and the history says so.
    if ticket.state is not State.CLOSED or any(event.kind == "answer" for event in deed.draft.events):
        number = deed.draft.add_event("close", party=deed.person.party)
        tell_owner(deed, "close", number)
        owner = deed.person.party if ticket.owner is None and deed.draft.changed.owner is None else None
        deed.draft.change(TicketChange(state=State.CLOSED, owner=owner))
        deed.draft.clear_timers("unclaimed", "unanswered", "waiting", "snooze", "followup")
        deed.draft.explain("closed")
    return "close"


def _open(deed: Deed) -> str:
    held = held_behind(deed.case)
    if held is not None:
        deed.draft.resolve(held.event, "admitted")
        deed.draft.release(
            held.journal, Instruction(act="admit", by=deed.person.party, ticket=held.ticket, event=held.event)
        )
        deed.draft.explain(f"held event {held.event} admitted by {deed.person.agent}")
        return "admit"
    number = deed.draft.add_event("open", party=deed.person.party)
    if deed.ticket.state in (State.CLOSED, State.SPAM):
        tell_owner(deed, "reopen", number)
    deed.draft.change(TicketChange(state=State.OPEN))
    deed.draft.clear_timers("snooze", "followup", "waiting")
    deed.draft.explain("open")
    return "open"


def _discard(deed: Deed) -> str:
    held = held_behind(deed.case)
    if held is None:
        return "nothing"
    deed.draft.resolve(held.event, "discarded")
    deed.draft.explain(f"held event {held.event} discarded by {deed.person.agent}")
    return "discard"


def _status(deed: Deed) -> str:
    verb = STATUS_VERBS[deed.argument.lower()]
    return DEEDS[verb](deed)


def _help(deed: Deed) -> str:
    names = vocabulary(deed.case.settings.commands.aliases)
    topic = find_verb(deed.argument.lstrip("#"), names) if deed.argument else ""
    verb = BY_NAME.get(topic)
    about = (
        {
            "synopsis": synopsis_for(verb, deed.case.role),
            "effect": verb.effect,
            "examples": "\n".join(examples_for(verb.name, deed.case.role)),
            # An own word of the site is another name like ours.
            "also": " ".join(f"#{name}" for name, meant in names.items() if meant == verb.name != name),
            "who": verb.who,
            "in_subject": "1" if verb.subject else "",
        }
        if verb
        else {}
    )
    deed.draft.notify(
        "help",
        [deed.person],
        about=deed.case.match.event,
        in_reply_to=deed.case.findings.message.message_id,
        data={"topic": topic, "subject": deed.case.findings.message.subject, **about},
    )
    return ""


DEEDS: Mapping[str, Act] = {
    "claim": _claim,
    "release": _release,
    "assign": _assign,
    "ack": deeds_time.ack,
    "discard": _discard,
    "undo": undoing.undo,
    "close": _close,
    "open": _open,
    "wait": deeds_time.wait,
    "status": _status,
    "snooze": deeds_time.snooze,
    "followup": deeds_time.followup,
    "merge": deeds_merge.merge,
    "split": deeds_merge.split,
    "move": deeds_ticket.move,
    "subject": deeds_ticket.subject,
    "prio": deeds_ticket.prio,
    "tag": deeds_ticket.tag,
    "untag": deeds_ticket.tag,
    "cc": deeds_people.cc,
    "uncc": deeds_people.uncc,
    "from": deeds_people.set_customer,
    "watch": deeds_people.watch,
    "mute": deeds_people.mute,
    "spam": deeds_stopped.on_rows(deeds_ticket.spam),
    "notspam": deeds_stopped.on_rows(deeds_ticket.notspam),
    "block": deeds_stopped.on_rows(deeds_ticket.block),
    "show": reading.show,
    "history": reading.history,
    "list": reading.list_tickets,
    "search": reading.search,
    "export": reading.export,
    "report": reporting.report,
    "help": _help,
    "digest": deeds_self.digest,
    "quiet": deeds_self.quiet,
    "away": deeds_self.away,
    "back": deeds_self.back,
    "timezone": deeds_self.timezone,
    "also": deeds_self.also,
}
"""Verb -> what it does."""

CHECKS: Mapping[str, Check] = {
    "assign": _check_assign,
    "release": _check_release,
    "undo": undoing.check_undo,
    "snooze": deeds_time.check_snooze,
    "followup": deeds_time.check_when,
    "merge": deeds_merge.check_merge,
    "split": deeds_merge.check_split,
    "move": deeds_ticket.check_move,
    "cc": deeds_people.check_cc,
    "uncc": deeds_people.check_uncc,
    "from": deeds_people.check_from,
    "ask": sides.check_ask,
    "new": lambda case, command: Problem("new-here", {"verb": "new", "value": case.ticket_inbox.address}),
    "mute": deeds_people.check_mute,
    "spam": deeds_stopped.or_rows(None),
    "notspam": deeds_stopped.or_rows(deeds_ticket.check_notspam),
    "block": deeds_stopped.or_rows(deeds_ticket.check_block),
    "show": deeds_stopped.or_rows(reading.check_reference),
    "history": reading.check_reference,
    "list": reading.check_list,
    "search": reading.check_search,
    "export": reading.check_reference,
    "report": reporting.check_report,
    "quiet": deeds_self.check_quiet,
    "away": deeds_self.check_away,
    "timezone": deeds_self.check_timezone,
    "also": deeds_self.check_also,
}
"""Verb -> what must hold before anything is done."""
