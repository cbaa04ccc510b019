"""Verbs about the ticket itself: title, priority, tags, inbox; spam and blocked senders (mail.md 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gateway.address import clean_text, fold_address
from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.deed import Deed, Problem, held_behind, trouble
from gateway.desk.offering import offer
from gateway.desk.reminders import set_reminders
from gateway.desk.telling import tell_owner
from gateway.model import Command, State, TicketChange
from gateway.settings import Inbox

_PRIORITIES = {"1": "urgent", "2": "high", "3": "normal", "4": "low"}
"""Numbers as in incident desks: 1 is the most urgent. The answer repeats the word."""
_LONGEST_TITLE = 200
_MOST_TAGS = 50


def prio(deed: Deed) -> str:
    """Priority, as a word or as a number."""
    word = deed.argument.lower()
    value = _PRIORITIES.get(word, word)
    if value != deed.ticket.priority:
        deed.draft.add_event("prio", party=deed.person.party, reason=value)
        deed.draft.change(TicketChange(priority=value))
    deed.draft.explain(f"priority {value}")
    return f"prio {value}"


def tag(deed: Deed) -> str:
    """``vip -old`` adds and removes; ``#untag`` removes whatever the sign."""
    before = deed.draft.changed.tags if deed.draft.changed.tags is not None else deed.ticket.tags
    tags = list(before)
    for name, gone in _read_tags(deed.command):
        if gone and name in tags:
            tags.remove(name)
        elif not gone and name not in tags and len(tags) < _MOST_TAGS:
            tags.append(name)
    if tuple(tags) != before:
        deed.draft.add_event("tag", party=deed.person.party, reason=" ".join(tags))
        deed.draft.change(TicketChange(tags=tuple(tags)))
    deed.draft.explain("tags: " + (" ".join(tags) or "none"))
    return f"tag {' '.join(tags) or '-'}"


def _read_tags(command: Command) -> list[tuple[str, bool]]:
    """Each tag that is named, and whether it goes."""
    words = re.split(r"[ ,]+", command.argument.strip().lower())
    named = ((word.lstrip("+-"), command.verb == "untag" or word.startswith("-")) for word in words)
    return [(name, gone) for name, gone in named if name]


def find_torn_tag(command: Command, commands: Sequence[Command]) -> tuple[str, str] | None:
    """What is said of a tag that comes and goes in one mail, in the order written; None when all is clear."""
    if command.verb not in ("tag", "untag"):
        return None
    before: dict[tuple[str, bool], str] = {}  # a tag and whether it goes -> as it was written
    for one in commands:
        for name, gone in _read_tags(one) if one.verb in ("tag", "untag") else ():
            written = f"{one.verb} {'-' if gone and one.verb == 'tag' else ''}{name}"
            if (name, not gone) in before:
                return before[name, not gone], written
            before.setdefault((name, gone), written)
    return None


def subject(deed: Deed) -> str:
    """A title for lists; the subject of mails never changes, because threads hang on it (mail.md 3.1)."""
    title = clean_text(deed.argument, _LONGEST_TITLE)
    deed.draft.add_event("subject", party=deed.person.party, reason=title)
    deed.draft.change(TicketChange(title=title))
    deed.draft.explain(f'called "{title}" in lists')
    return f"subject {title}"


# ------------------------------------------------------------------ another inbox


def find_inboxes(case: Case, word: str) -> tuple[Inbox, ...]:
    """Inboxes meant by a handle, an address or a unique beginning."""
    wanted = word.strip().lower()
    inboxes = case.settings.inbox.values()
    exact = tuple(i for i in inboxes if wanted == i.handle.lower() or fold_address(wanted) in i.addresses())
    return exact or tuple(i for i in inboxes if i.handle.lower().startswith(wanted))


def check_move(case: Case, command: Command) -> Problem | None:
    if len(find_inboxes(case, command.argument)) == 1:
        return None
    return trouble("inbox", command, names=", ".join(case.settings.inbox))


def move(deed: Deed) -> str:
    """To another inbox. Its agents are offered the ticket unless the owner is one of them; tokens keep working."""
    (inbox,) = find_inboxes(deed.case, deed.argument)
    if inbox.handle == deed.ticket.inbox:
        return f"move {inbox.handle}"
    owner = assignment.owner_of(deed.case, deed.ticket)
    stays = owner is not None and any(a.handle == owner.agent for a in deed.case.settings.agents_of(inbox))
    number = deed.draft.add_event("move", party=deed.person.party, reason=f"{deed.ticket.inbox} -> {inbox.handle}")
    if owner is not None and not stays and owner.party != deed.person.party:
        deed.draft.notify("answered", [owner], about=number, author=deed.person, reason="move")
    deed.draft.change(TicketChange(inbox=inbox.handle, owner=None if stays else 0))
    deed.draft.explain(f"moved to {inbox.handle}")
    if not stays and deed.ticket.state in (State.NEW, State.OPEN):
        deed.draft.change(TicketChange(state=State.NEW))
        last = next((e for e in reversed(deed.ticket.events) if e.kind == "mail" and e.public), None)
        deed.draft.clear_timers("unclaimed", "unanswered", "offer")
        if last is not None:
            there = replace(deed.case, ticket=replace(deed.ticket, inbox=inbox.handle, owner=None))
            offer(deed.draft, there, last.number, deed.ticket.customer, but=deed.person.party)
        set_reminders(deed.draft, deed.case, owned=False, inbox=inbox)
    return f"move {inbox.handle}"


# ------------------------------------------------------------------ spam


def spam(deed: Deed) -> str:
    """Close as spam; in answer to the mail of an unproven or unknown sender: that mail is rejected, nothing else."""
    held = held_behind(deed.case)
    if held is not None:
        deed.draft.resolve(held.event, "discarded")
        deed.draft.explain(f"held event {held.event} rejected as spam by {deed.person.agent}")
        return "discard"
    if deed.ticket.state is not State.SPAM:
        number = deed.draft.add_event("spam", party=deed.person.party)
        tell_owner(deed, "spam", number)
        deed.draft.change(TicketChange(state=State.SPAM))
        deed.draft.clear_timers("unclaimed", "unanswered", "waiting", "snooze", "followup")
        deed.draft.explain("closed as spam")
    return "spam"


def check_notspam(case: Case, command: Command) -> Problem | None:
    """A ticket that is spam; for a lead, also one whose sender is blocked."""
    ticket = case.ticket
    if ticket is not None and (ticket.state is State.SPAM or _lifts_block(case)):
        return None
    return trouble("not-spam", command)


def _lifts_block(case: Case) -> bool:
    return case.agent is not None and case.agent.role == "lead" and sender_to_block(case) in case.facts.blocks


def notspam(deed: Deed) -> str:
    """No spam after all: open again, with its reminders. A lead's word lets the sender's mail in again, too."""
    if _lifts_block(deed.case):
        address = sender_to_block(deed.case)
        deed.draft.add_event("unblock", party=deed.person.party, reason=address)
        deed.draft.block(address, False)
        deed.draft.explain(f"mail from {address} comes in again")
        if deed.ticket.state is not State.SPAM:
            return f"unblock {address}"
    owned = assignment.owner_of(deed.case, deed.ticket) is not None
    number = deed.draft.add_event("notspam", party=deed.person.party)
    tell_owner(deed, "reopen", number)
    deed.draft.change(TicketChange(state=State.OPEN if owned else State.NEW))
    set_reminders(deed.draft, deed.case, owned=owned)
    deed.draft.explain("no spam, open again")
    return "notspam"


def sender_to_block(case: Case) -> str:
    """The address ``#block`` means: the author of the held mail the notice was about, else the customer."""
    held, ticket = held_behind(case), case.ticket
    if ticket is None:
        return ""
    if held is not None:
        event = next((e for e in ticket.events if e.number == held.event), None)
        return fold_address(event.data.get("address", "")) if event else ""
    return fold_address(ticket.customer.address) if ticket.customer else ""


def check_block(case: Case, command: Command) -> Problem | None:
    address = sender_to_block(case)
    if not address:
        return trouble("block-whom", command)
    agent = case.settings.find_agent(address)
    if agent is not None:
        return trouble("agent-address", command, value=address, names=agent.name)
    return trouble("own-address", command, value=address) if case.settings.is_own_address(address) else None


def block(deed: Deed) -> str:
    """The sender's mail goes to quarantine from now on."""
    address = sender_to_block(deed.case)
    deed.draft.add_event("block", party=deed.person.party, reason=address)
    deed.draft.block(address, True)
    held = held_behind(deed.case)
    if held is not None:
        deed.draft.resolve(held.event, "discarded")
    deed.draft.explain(f"mail from {address} goes to quarantine from now on")
    return f"block {address}"
