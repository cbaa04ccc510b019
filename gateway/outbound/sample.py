"""A conversation that never happened, to show what templates make of it: ``ticketgate templates test`` and the check.

Plain values and a key nobody else has, so that no token in a sample opens anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from gateway.model import EventFact, HeldFact, MessageIdFact, Notice, Person, State, TicketFacts
from gateway.reference import Keys
from gateway.settings import Agent, Inbox, Settings

NOW = datetime(2026, 11, 23, 16, 22, tzinfo=UTC)
_NUMBER = 4827
_KEYS = Keys("z", {"z": b"sample keys prove nothing to no one"})
_LATER = "2026-11-24T13:22:00+00:00"
_JANE = Person(party=31, address="jane@customer.example", name="Jane Doe")
_SUPPLIER = Person(party=52, address="sales@supplier.example", name="Ina Berg")
_HELD_REASONS = {
    "held-command": "command",
    "held-collision": "collision",
    "held-token": "agent-token",
    "held-unproven": "agent-unproven",
    "held-unknown-address": "unknown-address",
    "held-cut-line": "cut-line",
    "held-replayed": "replayed",
    "held-other": "visibility",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One notice as the desk might have planned it."""

    notice: Notice
    ticket: TicketFacts | None


def sample_settings(settings: Settings) -> Settings:
    """The installation's own settings with keys that open nothing; at least an inbox, two agents and a lead."""
    inbox = next(iter(settings.inbox.values()), Inbox(name="Example Support", address="support@desk.example"))
    agents = dict(settings.agents)
    for handle, name, role in (("alice", "Alice Ahmed", "agent"), ("bob", "Bob Smith", "agent"), ("carol", "", "lead")):
        agents.setdefault(handle, Agent(handle=handle, name=name or "Carol Chen", address=f"{handle}@desk.example"))
        agents[handle] = replace(agents[handle], role=role) if handle == "carol" else agents[handle]
    return replace(settings, keys=_KEYS, inbox={inbox.handle or "support": inbox}, agents=agents)


def samples(settings: Settings, to: str = "alice") -> Mapping[str, Sample]:
    """Template (without .txt) -> what it is shown with; ``to``: handle of the agent who reads it."""
    agents = settings.agents
    alice = Person(party=1, address=agents[to].address, name=agents[to].name, agent=to)
    bob = _agent(settings, "bob" if to != "bob" else "alice", 2)
    ticket = _ticket(settings, alice, bob)
    free = replace(ticket, state=State.NEW, owner=None, last_event=3, events=ticket.events[:3], held=())

    def about(event: int, kind: str, **values: object) -> Sample:
        known: dict[str, object] = {"event": 17, "recipients": (alice,), "about": event, "author": bob}
        return Sample(Notice(kind=kind, **(known | values)), ticket)  # type: ignore[arg-type]

    found = {
        "ack": Sample(Notice(kind="ack", event=2, recipients=(_JANE,), about=1), free),
        "signature": about(4, "answer", recipients=(_JANE,), author=alice, text=ticket.events[3].text, quote=1),
        "offer": Sample(
            Notice(kind="offer", event=3, recipients=(alice,), about=1, author=_JANE, data={"first": "1"}), free
        ),
        "assigned": about(8, "assigned", text="You know this one."),
        "escalation": about(8, "escalation", data={"step": "unanswered", "waited": "86400"}),
        "customer-reply": about(8, "customer-reply", author=_JANE, data={"cc": "accounting@customer.example"}),
        "answered": about(4, "answered"),
        "taken": about(4, "answered", reason="claim"),
        "closed": about(4, "answered", reason="close"),
        "reminder": about(
            8, "reminder", data={"step": "unanswered", "waited": "14400", "next_at": _LATER, "next_who": "Carol"}
        ),
        "note": about(12, "note"),
        "asked": about(13, "asked"),
        "third": about(14, "third", author=_SUPPLIER),
        "expired": about(10, "expired", reason="command"),
        "unproven": about(8, "unproven", reason="unknown-sender", data={"address": "tom@shop.example"}),
        "not-me": about(8, "unproven", reason="not-me", data={"address": "tom@shop.example"}),
        "undelivered": about(
            5,
            "undelivered",
            data={"party": "31", "recipient": _JANE.address, "status": "5.2.2", "diagnostic": "552 5.2.2 over quota"},
        ),
        "forward": about(1, "forward"),
        "command": about(8, "command", data={"done": f"claim\nsnooze {_LATER}", "undo": "1"}),
        "help-status": about(8, "help"),
        "misplaced": about(
            8, "command", reason="misplaced", text="#close 4827", data={"verb": "close", "order": "close"}
        ),
    }
    for name, reason in _HELD_REASONS.items():
        data = {"address": "alice@phone.example", "hint": "note", "expiring": _LATER}
        found[name] = about(10, "held-reminder", reason=reason, other=4, data=data)
    for name, notice in _apart(alice).items():
        found[name] = Sample(notice, None)
    return found


def _agent(settings: Settings, handle: str, party: int) -> Person:
    agent = settings.agents[handle]
    return Person(party=party, address=agent.address, name=agent.name, agent=handle)


def _apart(alice: Person) -> dict[str, Notice]:
    """Mail about no ticket."""
    waits = {"number": _NUMBER, "subject": "Invoice 2231 is wrong", "who": "Jane Doe", "wait": "waits", "span": "7200"}

    def notice(kind: str, text: str = "", **data: str) -> Notice:
        return Notice(kind=kind, event=80, recipients=(alice,), text=text, data=data)

    digest = notice(
        "digest",
        sections=json.dumps([{"title": title, "rows": [waits]} for title in ("reopened", "late", "yours", "free")]),
        yours="1",
        free="1",
        late="1",
        new="7",
        closed="9",
        first_answer="3120",
        away='[["Bob", "2026-11-26T08:00:00+00:00"]]',
        spam="2",
        held="1",
    )
    report = notice(
        "report",
        period="2026-w47",
        first="2026-11-16",
        name="2026w47",
        step="weekday",
        new="69",
        closed="71",
        reopened="6",
        unsolved="23",
        waiting="9",
        first_answer="2880",
        first_answer_slow="19200",
        until_closed="93600",
        before="2026-w46",
        before_first="2026-11-09",
        before_first_answer="4200",
        oldest='[4611, 12, "Bob"]',
        days=json.dumps([[f"2026-11-{16 + n}", 9 + 3 * n, 12 + n] for n in range(5)]),
        agents='[["Alice", 41, 33, 9, 38, 2], ["Bob", 28, 30, 11, 27, 5], ["", 0, 8, 3, 0, 0]]',
        tags='[["invoice", 21, 19, 4, "2400"]]',
    )
    rows = json.dumps([waits | {"state": "yours", "snippet": "charges us for 12 licences"}])
    return {
        "digest": digest,
        "digest-since": digest,
        "report": report,
        "list": notice("list", verb="search", subject="#search invoice", query="invoice", count="1", rows=rows),
        "help": notice("help", subject="#help"),
        "help-verb": notice(
            "help", subject="#help close", topic="close", effect="close the ticket", examples="#close", also="done"
        ),
        "alert": notice("alert", "It could not be read.", host="mx1", problem="mailbox not read for 15 min"),
        "welcome": notice("welcome"),
    }


def _ticket(settings: Settings, alice: Person, bob: Person) -> TicketFacts:
    said = {
        1: "Hi,\n\ninvoice 2231 charges us for 12 licences, we only have 10.\n\nJane",
        4: "Hello Jane,\n\nyou are right, it should be 10.\n\nAlice",
        8: "Thank you! Can you also send it to accounting@customer.example?\n\nJane",
        10: "#noet she is a difficult customer\nplease handle with care",
        12: "They are on the old price list until January, so 10 is right.",
        13: "Is the old price list still valid for them?",
        14: "Yes, until January.",
    }
    kinds = {1: "mail", 2: "ack", 3: "offer", 4: "answer", 5: "relayed", 8: "mail", 10: "held", 12: "note"}
    kinds |= {13: "asked", 14: "third"}
    who = {1: _JANE.party, 4: alice.party, 5: alice.party, 8: _JANE.party, 10: alice.party, 12: bob.party}
    who |= {13: bob.party, 14: _SUPPLIER.party}
    events = tuple(
        EventFact(
            number=number,
            kind=kind,
            at=NOW - timedelta(minutes=20 * (20 - number)),
            party=who.get(number, 0),
            public=kind in ("mail", "answer", "relayed", "ack"),
            text=said.get(number, ""),
            message_id=f"<{number}@customer.example>" if number in said else "",
            answers=4 if number == 5 else 0,
            data={"side": str(_SUPPLIER.party)} if kind in ("asked", "third") else {},
        )
        for number, kind in kinds.items()
    )
    held = HeldFact(
        ticket=_NUMBER, event=10, party=1, reason="command", text=said[10].partition("\n")[2], bad_line=said[10][:33]
    )
    ids = tuple(MessageIdFact(message_id=e.message_id, ticket=_NUMBER, event=e.number) for e in events if e.message_id)
    return TicketFacts(
        number=_NUMBER,
        uuid="6f1d5d8e-94a7-5d1c-9a34-2f5c7d1a0b11",
        inbox=next(iter(settings.inbox)),
        subject="Invoice 2231 is wrong",
        state=State.OPEN,
        created_at=events[0].at,
        owner=alice,
        customer=_JANE,
        participants=(_JANE,),
        thirds=(_SUPPLIER,),
        last_event=16,
        root=settings.keys.make_message_id(_NUMBER, 0, 0, settings.id_domain),
        events=events,
        message_ids=ids,
        held=(held,),
    )
