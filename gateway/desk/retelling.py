"""What an ``#undo`` took back, told so that a person sees it: which deeds, and what is where now (mail.md 14).

The deeds are the lines the command left in the history; of what is put back only that is told, so nobody reads that
something is as before which somebody changed since. The writer has the words (outbound/notices/undone.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.desk.case import Case
from gateway.desk.deed import called
from gateway.model import EventFact, Person, State

CHANGES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("claim", "assign", "release"), ("owner",)),
    **dict.fromkeys(("close", "open", "wait", "followup", "spam", "notspam"), ("state",)),
    "snooze": ("state", "snoozed_until"),
    "move": ("inbox",),
    "subject": ("title",),
    "prio": ("priority",),
    "tag": ("tags",),
    **dict.fromkeys(("watch", "mute"), ("watchers", "muted")),
    "cc": ("joined",),
    "uncc": ("left",),
    "from": ("customer",),
    "block": ("blocks",),
}
"""Kind of line -> what of the ticket it changed."""
_COLUMNS = frozenset({"owner", "state", "inbox", "title", "priority", "tags", "watchers", "muted", "customer"})
_NAMED = ("cc", "uncc", "from")
"""Kinds of lines whose reason is an address."""
CHOICES = ("digest", "quiet", "away", "timezone", "also", "report")


def tell_undone(case: Case, event: EventFact, was: Mapping[str, Any], back: Mapping[str, Any]) -> str:
    """``undo`` and the facts for its words, as JSON: the deeds, and what holds again, each a code and a value.

    ``back``: the columns that are put back, with what they are now; ``was``: all that the command changed.
    """
    changed = {*back, *(name for name in ("joined", "left", "blocks") if name in was)}
    said = [("answer", "")] if event.kind in ("answer", "asked") else []
    deeds = [*said, *_deeds(case, event, changed), *((f"my-{name}", "") for name, *_ in _chosen(case, was))]
    stays = any(name in _COLUMNS and name not in back for name in was)
    facts = {"undone": deeds, "again": [*_again(case, was, back), *([("stays", "")] if stays else [])]}
    return f"undo {json.dumps(facts, ensure_ascii=False)}"


def _deeds(case: Case, event: EventFact, changed: set[str]) -> Iterator[tuple[str, str]]:
    """The deeds of the mail behind ``event`` of which something is put back, in the order done."""
    lines = case.ticket.events if case.ticket else ()
    own = {0, event.journal}
    same = (e for e in lines if e.number >= event.number and e.at == event.at and e.party == event.party)
    for line in same:
        if line.journal not in own:
            return  # another mail at the same moment
        if not changed & set(CHANGES.get(line.kind, ())):
            continue
        if line.kind == "assign":
            yield line.kind, _name(case, int(line.data.get("owner") or 0))
        else:
            yield line.kind, line.reason if line.kind in ("cc", "uncc", "block") else ""


def _again(case: Case, was: Mapping[str, Any], back: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What holds again, the owner first."""
    me = case.agent_person.party if case.agent_person else 0
    if "owner" in back:
        owner = back["owner"]
        yield ("mine", "") if owner == me else ("owner", _name(case, owner)) if owner else ("free", "")
    state = back.get("state", "")
    if state == State.SNOOZED or "snoozed_until" in back:
        yield "snoozed", str(back.get("snoozed_until") or was.get("snoozed_until") or "")
    elif state and not (state == State.NEW and back.get("owner") == 0):  # what is new and nobody's is free
        yield str(state), ""
    for name in ("title", "priority", "tags"):
        if name in back:
            value = back[name]
            said = " ".join(value) if name == "tags" else str(value)
            yield (name, said) if said else (f"no-{name}", "")
    if "inbox" in back:
        inbox = case.settings.inbox.get(back["inbox"])
        yield "inbox", inbox.name if inbox else str(back["inbox"])
    if "customer" in back:
        yield "customer", _address(case, back["customer"])
    if "muted" in back or "watchers" in back:
        muted, watches = me in back.get("muted", ()), me in back.get("watchers", ())
        yield ("muted" if muted else "watching" if watches else "neither"), ""
    people = "customer" not in back  # else who came and went is said with it
    yield from (("gone", _address(case, party)) for party in was.get("joined", ()) if people)
    yield from (("there", _address(case, party)) for party in was.get("left", ()) if people)
    yield from (("unblocked", address) for address in was.get("blocks", ()))
    for name, before, after in _chosen(case, was):
        if name == "also":
            yield "my-no-also", " ".join(a for a in after.split() if a not in before.split())
        else:
            said = before.partition(" ")[0] if name == "away" else before
            yield (f"my-{name}", said) if before else (f"my-no-{name}", "")


def _chosen(case: Case, was: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Own settings that are put back: name, what it is again, what it was meanwhile."""
    me = case.agent_person.agent if case.agent_person else ""
    chosen = case.facts.choices.get(me, {})
    for handle, name, before, after in was.get("choices", ()):
        if handle == me and name in CHOICES and chosen.get(name, "") == after:
            yield name, before or "", after


def _person(case: Case, party: int) -> Person | None:
    ticket, facts = case.ticket, case.facts
    known = (*facts.agents.values(), *facts.named.values(), *facts.persons.values())
    people = (*((*ticket.participants, *ticket.thirds, *ticket.authors) if ticket else ()), *known)
    return next((person for person in people if person.party == party), None)


def _name(case: Case, party: int) -> str:
    person = _person(case, party)
    return called(person) if person else ""


def _address(case: Case, party: int) -> str:
    person = _person(case, party)
    if person is not None:
        return person.address
    lines = case.ticket.events if case.ticket else ()  # whoever left is known by the line that says so
    return next((e.reason for e in reversed(lines) if e.kind in _NAMED and e.data.get("party") == str(party)), "")
