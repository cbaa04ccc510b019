"""The story of ticket 4827 in plain values: Monday, 23 Nov 2026, as the golden mails beside this file tell it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from gateway.model import (
    Attachment,
    EventFact,
    HeldFact,
    MessageIdFact,
    Notice,
    OutboundMail,
    Person,
    Plan,
    State,
    TicketFacts,
)
from gateway.outbound.compose import compose_all
from gateway.reference import Keys
from gateway.settings import Agent, AgentMail, Customer, General, Inbox, Settings

FOLDER = Path(__file__).parent
KEYS = Keys("k", {"k": bytes(range(32))})
ID_DOMAIN = "tickets.example.com"

ALICE = Person(party=1, address="alice@example.com", name="Alice Ahmed", agent="alice")
BOB = Person(party=2, address="bob@example.com", name="Bob Smith", agent="bob")
CAROL = Person(party=3, address="carol@example.com", name="Carol Lead", agent="carol")
JANE = Person(party=31, address="jane@customer.test", name="Jane Doe")
TOM = Person(party=44, address="tom@shop.test", name="Tom Ray")
OPS = Person(party=0, address="ops@example.com")

JANES_FIRST = "<CAJ8x2=Qk1@mail.customer.test>"
JANES_SECOND = "<CAJ9b7=Tz4@mail.customer.test>"

TEXTS = {
    1: "Hi,\n\ninvoice 2231 charges us for 12 licences, we only have 10.\n"
    "Could you correct it? It is due on Friday.\n\nJane",
    4: "Hello Jane,\n\nyou are right, it should be 10. The corrected invoice is attached;\n"
    "please throw the old one away.\n\nAlice",
    6: "Hi Jane, I will look into it and come back to you tomorrow. Bob",
    8: "Thank you! Can you also send it to accounting@customer.test from now on?\n\nJane",
    10: "#noet she is a difficult customer\nplease handle with care",
    12: "They are on the old price list until January, so 10 is right.",
    14: "Hi Jane, all done. Alice",
}


def at(clock: str, day: int = 23) -> datetime:
    """A time of the story, written in Berlin time."""
    hour, minute, second = (int(x) for x in (clock + ":00")[:8].split(":"))
    return datetime(2026, 11, day, hour - 1, minute, second, tzinfo=UTC)


def make_settings(*, html: bool = False, **changes: object) -> Settings:
    """The installation of the story. HTML for agents is off where a golden mail shows the text alone."""
    agents = {
        p.agent: Agent(handle=p.agent, name=p.name, address=p.address, role="lead" if p is CAROL else "agent")
        for p in (ALICE, BOB, CAROL)
    }
    inbox = Inbox(
        handle="support",
        name="Example Support",
        address="support@example.com",
        agents=("alice", "bob"),
        lead=("carol",),
    )
    values: dict[str, object] = {
        "ticketgate": General(timezone="Europe/Berlin", id_domain=ID_DOMAIN, admin=("ops@example.com",)),
        "inbox": {"support": inbox},
        "agents": agents,
        "keys": KEYS,
        "agent_mail": AgentMail(html=html),
        "customer": Customer(),
        "folder": Path("/nonexistent"),
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


def _event(number: int, kind: str, clock: str, party: int = 0, **values: object) -> EventFact:
    return EventFact(number=number, kind=kind, at=at(clock), party=party, text=TEXTS.get(number, ""), **values)  # type: ignore[arg-type]


EVENTS = (
    _event(1, "mail", "09:58:20", 31, public=True, message_id=JANES_FIRST),
    _event(2, "ack", "09:58:21", public=True, answers=1),
    _event(3, "offer", "09:58:22", answers=1),
    _event(
        4,
        "answer",
        "11:20:30",
        1,
        public=True,
        message_id="<alice-answer@example.com>",
        answers=3,
        attachments=("invoice-2231-corrected.pdf",),
    ),
    _event(5, "relayed", "11:20:40", 1, public=True, answers=4),
    _event(6, "held", "11:24:30", 2, message_id="<AM0PR04-bobs-reply@example.com>", answers=3, reason="collision"),
    _event(7, "held-notice", "11:24:31", answers=6),
    _event(8, "mail", "13:22:04", 31, public=True, message_id=JANES_SECOND, answers=5),
    _event(9, "customer-reply", "13:22:05", 31, answers=8),
    _event(10, "held", "13:31:09", 1, message_id="<alice-typo@example.com>", answers=9, reason="command"),
    _event(11, "held-notice", "13:31:10", answers=10),
    _event(12, "note", "13:39:59", 2, message_id="<bob-note@example.com>", answers=3),
    _event(13, "note-notice", "13:40", 2, answers=12),
    _event(14, "held", "16:10:46", 0, message_id="<phone@phone.example.net>", answers=9, reason="unknown-address"),
    _event(15, "held-notice", "16:10:47", answers=14),
    _event(16, "reminder", "17:22:05", answers=8),
)

_SENT = ((2, 31), (3, 1), (3, 2), (5, 31), (7, 2), (9, 1), (11, 1), (13, 1), (15, 1), (16, 1))


def message_ids(events: Sequence[EventFact], ticket: int = 4827) -> tuple[MessageIdFact, ...]:
    """The rows the store would have: what came in, and what went out to whom."""
    numbers = {e.number for e in events}
    rows = [
        MessageIdFact(message_id=e.message_id, ticket=ticket, event=e.number, at=e.at, public=e.kind == "mail")
        for e in events
        if e.message_id
    ]
    for event, party in _SENT:
        if event in numbers:
            made = KEYS.make_message_id(ticket, event, party, ID_DOMAIN)
            rows.append(MessageIdFact(message_id=made, ticket=ticket, event=event, party=party))
    return tuple(rows)


HELD = (
    HeldFact(ticket=4827, event=6, party=2, reason="collision", text=TEXTS[6], answered=3),
    HeldFact(
        ticket=4827,
        event=10,
        party=1,
        reason="command",
        text=TEXTS[10],
        answered=9,
        bad_line="#noet she is a difficult customer",
    ),
    HeldFact(ticket=4827, event=14, party=1, reason="unknown-address", text=TEXTS[14], answered=9),
)


def ticket(upto: int, *, state: State = State.OPEN, owner: Person | None = ALICE, **changes: object) -> TicketFacts:
    """Ticket 4827 as it stood after event ``upto``."""
    events = tuple(e for e in EVENTS if e.number <= upto)
    return replace(
        TicketFacts(
            number=4827,
            uuid=str(uuid5(NAMESPACE_DNS, f"4827.{ID_DOMAIN}")),
            inbox="support",
            subject="Invoice 2231 is wrong",
            state=state,
            created_at=at("09:58:20"),
            owner=owner,
            customer=JANE,
            participants=(JANE,),
            last_event=upto,
            root=KEYS.make_message_id(4827, 0, 0, ID_DOMAIN),
            events=events,
            message_ids=message_ids(events),
            held=tuple(h for h in HELD if h.event <= upto),
        ),
        **changes,  # type: ignore[arg-type]
    )


PDF = Attachment(
    name="invoice-2231-corrected.pdf",
    type="application/pdf",
    size=16,
    sha256="",
    content=b"%PDF-1.4 example",
)

_BOUNCE_TEXT = (
    "Reporting-MTA: dns; mx.customer.test\n\nFinal-Recipient: rfc822; jane@customer.test\nAction: failed\nStatus: 5.2.2"
)


def _row(number: int, subject: str, who: str, wait: str, **facts: object) -> dict[str, object]:
    return {"number": number, "subject": subject, "who": who, "wait": wait, **facts}


NOTICES: dict[str, tuple[str, TicketFacts | None, Notice]] = {
    # golden file -> (clock, the ticket after the plan, the notice)
    "01-customer-ack": (
        "09:58:21",
        ticket(3, state=State.NEW, owner=None),
        Notice(kind="ack", event=2, recipients=(JANE,), about=1, in_reply_to=JANES_FIRST),
    ),
    "02-agent-offer": (
        "09:58:22",
        ticket(3, state=State.NEW, owner=None),
        Notice(kind="offer", event=3, recipients=(ALICE, BOB), about=1, author=JANE, data={"first": "1"}),
    ),
    "03-relayed-answer": (
        "11:20:40",
        ticket(5, state=State.WAITING),
        Notice(
            kind="answer",
            event=5,
            recipients=(JANE,),
            about=4,
            author=ALICE,
            text=TEXTS[4],
            attachments=(PDF,),
            quote=1,
        ),
    ),
    "04-customer-reply-notification": (
        "13:22:05",
        ticket(9),
        Notice(
            kind="customer-reply",
            event=9,
            recipients=(ALICE,),
            about=8,
            author=JANE,
            data={"cc": "accounting@customer.test"},
        ),
    ),
    "05-collision": (
        "11:24:31",
        ticket(7, state=State.WAITING),
        Notice(kind="held", event=7, recipients=(BOB,), about=6, other=4, author=BOB, reason="collision"),
    ),
    "06-reminder-escalation": (
        "17:22:05",
        ticket(16),
        Notice(
            kind="reminder",
            event=16,
            recipients=(ALICE,),
            about=8,
            data={"step": "unanswered", "waited": "14400", "next_at": "2026-11-24T13:22:00+01:00", "next_who": "Carol"},
        ),
    ),
    "07-command-error": (
        "13:31:10",
        ticket(11),
        Notice(
            kind="held", event=11, recipients=(ALICE,), about=10, author=ALICE, reason="command", data={"hint": "note"}
        ),
    ),
    "08-daily-digest": (
        "08:30:00",
        None,
        Notice(
            kind="digest",
            event=77,
            recipients=(ALICE,),
            data={
                "sections": json.dumps(
                    [
                        {
                            "title": "late",
                            "rows": [_row(4827, "Invoice 2231 is wrong", "Jane Doe", "waits", span=19 * 3600)],
                        },
                        {
                            "title": "yours",
                            "rows": [
                                _row(4809, "Cannot log in after update", "Sam Okoro", "waits", span=2400),
                                _row(
                                    4790, "Quote for 50 seats", "Li Wei", "snoozed", until="2026-11-24T09:00:00+01:00"
                                ),
                            ],
                        },
                        {
                            "title": "free",
                            "rows": [
                                _row(4831, "Delivery address", "Ana Petrova", "new", span=7200),
                                _row(4830, "", "+49 30 555..", "new", span=10800),
                            ],
                        },
                    ]
                ),
                "yours": "3",
                "free": "2",
                "late": "1",
                "new": "7",
                "closed": "9",
                "first_answer": "3120",
                "away": '[["Bob", "2026-11-26T08:00:00+01:00"]]',
                "spam": "2",
                "held": "1",
            },
        ),
    ),
    "09-weekly-report": (
        "07:00:00",
        None,
        Notice(
            kind="report",
            event=78,
            recipients=(CAROL,),
            data={
                "period": "2026-w47",
                "first": "2026-11-16",
                "new": "69",
                "closed": "71",
                "reopened": "6",
                "unsolved": "23",
                "waiting": "9",
                "first_answer": "2880",
                "first_answer_slow": "19200",
                "until_closed": "93600",
                "before": "2026-w46",
                "before_first": "2026-11-09",
                "before_first_answer": "4200",
                "oldest": '[4611, 12, "Bob"]',
                "name": "week47",
                "file": "support-2026-w47.csv",
                "step": "weekday",
                "days": json.dumps(
                    [
                        ["2026-11-16", 14, 11],
                        ["2026-11-17", 18, 16],
                        ["2026-11-18", 9, 13],
                        ["2026-11-19", 12, 12],
                        ["2026-11-20", 16, 19],
                    ]
                ),
                "agents": '[["Alice", 41, 33, 9, 38, 2], ["Bob", 28, 30, 11, 27, 5], ["", 0, 8, 3, 0, 0]]',
                "tags": '[["invoice", 21, 19, 4, "2400"], ["vip", 6, 6, 1, "900"], ["login", 3, 4, 0, ""]]',
            },
        ),
    ),
    "10-search-result": (
        "14:02:11",
        None,
        Notice(
            kind="list",
            event=79,
            recipients=(ALICE,),
            in_reply_to="<alice-search@example.com>",
            data={
                "verb": "search",
                "subject": "#search from:customer.test invoice",
                "query": "from:customer.test invoice",
                "rows": json.dumps(
                    [
                        _row(4827, "Invoice 2231 is wrong", "Jane Doe", "waits", state="yours")
                        | {
                            "changed": "2026-11-23T13:22:00+01:00",
                            "snippet": "invoice 2231 charges us for 12 licences, we only have 10",
                        },
                        _row(4410, "Second invoice for March?", "Jane Doe", "closed", state="closed")
                        | {
                            "changed": "2026-04-02T10:00:00+02:00",
                            "snippet": "we were sent two invoices for the same month",
                        },
                        _row(3987, "VAT number on the invoice", "Tom Ray", "closed", state="closed")
                        | {"changed": "2026-01-11T10:00:00+01:00"},
                    ]
                ),
            },
        ),
    ),
    "11-bounce-notice": (
        "11:21:02",
        ticket(5),
        Notice(
            kind="undelivered",
            event=7,
            recipients=(ALICE,),
            about=5,
            data={
                "party": "31",
                "recipient": "jane@customer.test",
                "status": "5.2.2",
                "diagnostic": "552 5.2.2 The email account that you tried to reach is over quota",
                "report": _BOUNCE_TEXT,
            },
        ),
    ),
    "12-note-notification": (
        "13:40:00",
        ticket(13),
        Notice(kind="note", event=13, recipients=(ALICE,), about=12, author=BOB),
    ),
    "13-forward-confirmed": (
        "15:00:12",
        TicketFacts(
            number=4833,
            uuid=str(uuid5(NAMESPACE_DNS, f"4833.{ID_DOMAIN}")),
            inbox="support",
            subject="Broken screen",
            state=State.NEW,
            created_at=at("15:00:10"),
            customer=TOM,
            participants=(TOM,),
            last_event=2,
            root=KEYS.make_message_id(4833, 0, 0, ID_DOMAIN),
            events=(
                EventFact(number=1, kind="mail", at=at("15:00:10"), party=44, public=True, text="My screen broke."),
                EventFact(number=2, kind="forward", at=at("15:00:12"), answers=1),
            ),
        ),
        Notice(kind="forward", event=2, recipients=(BOB,), about=1, author=BOB, in_reply_to="<bob-fwd@example.com>"),
    ),
    "14-not-an-agent-address": (
        "16:10:47",
        ticket(15),
        Notice(
            kind="held",
            event=15,
            recipients=(ALICE,),
            about=14,
            reason="unknown-address",
            data={"address": "alice@phone.example.net"},
        ),
    ),
    "15-admin-alert": (
        "10:56:00",
        None,
        Notice(
            kind="alert",
            event=80,
            recipients=(OPS,),
            text="Since 10:41 the mailbox support@example.com (imap: outlook.office365.com) could\n"
            "not be read. New customer mail is NOT becoming tickets. No mail is lost.\n\n"
            "  Reason    AADSTS7000222: the client secret expired on 2026-11-23\n"
            "  Fix       create a new secret in Entra, then:\n"
            "              systemd-creds encrypt --name=oauth-secret - \\\n"
            "                /etc/credstore.encrypted/ticketgate.oauth-secret\n"
            "              systemctl restart ticketgate\n"
            "  Check     ticketgate doctor imap\n\n"
            "This is repeated every hour; you get one mail when it works again.",
            data={"host": "mx1", "problem": "mailbox support@example.com not read for 15 min"},
        ),
    ),
}

WITH_HTML = ("02-agent-offer", "08-daily-digest", "09-weekly-report")


def compose(name: str, settings: Settings | None = None) -> tuple[OutboundMail, ...]:
    """Our own mails for one golden file, one a recipient."""
    clock, facts, notice = NOTICES[name]
    plan = Plan(outcome="file", ticket=facts.number if facts else 0, inbox="support", notices=(notice,))
    day = 24 if name == "08-daily-digest" else 23
    return compose_all(plan, facts, settings or make_settings(html=name in WITH_HTML), at(clock, day))
