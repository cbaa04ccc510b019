"""Mail that is hard to show: long, wide, from right to left, without anything, with too much of everything."""

from __future__ import annotations

import json
from dataclasses import replace

from gateway.model import Attachment, Notice, Person, State, TicketFacts
from tests.rules.test_notices import n
from tests.support.golden import story

JANE, ALICE, CAROL = story.JANE, story.ALICE, story.CAROL
_LOG = """Dear support,

this is what it says since the update:

2026-11-23T09:12:44.123Z ERROR [main] c.e.invoice.Service - could not load /var/lib/example/data/2026/invoices/2231.json
Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/example/invoice.py", line 118, in load
    return json.loads(path.read_text())
        raise JSONDecodeError("Expecting value", s, err.value) from None

Licence   Number   Price    Total
basic        10    14.00   140.00
plus          2    29.50    59.00

See https://portal.customer.example/very/long/path/that/never/ends/and/has/no/place/to/break?token=0123456789abcdef0123456789

    if licence.count > 10:
        charge(licence)

> > On 20 Nov Alice wrote:
> > the invoice is right
> No, it is not.

Jane"""
_HEBREW = "\u05d7\u05e9\u05d1\u05d5\u05e0\u05d9\u05ea 2231 \u05e9\u05d2\u05d5\u05d9\u05d4"
_LONG = "maximiliana.theodora.von.und.zu.guttenberg@customer-relations.very-long-company-name.example"
_WORD = "Rindfleischetikettierungs\u00fcberwachungsaufgaben\u00fcbertragungsgesetz"
_HTML = """<p>Hello Jane,</p><p>this is the <b>plan</b>:</p><table><tr><th scope="col">Part</th><th>Price</th>
<th>When it can be delivered at the earliest</th></tr><tr><td>P-12</td><td>14.00</td><td>Friday</td></tr></table>
<pre>return "a-very-long-line-of-code-that-does-not-break-anywhere-at-all-0123456789"</pre><p>Alice</p>"""
_TEXT = """Hello Jane,

this is the plan:

Part Price When it can be delivered at the earliest
P-12 14.00 Friday

return "a-very-long-line-of-code-that-does-not-break-anywhere-at-all-0123456789"

Alice"""


def _first(
    text: str, subject: str = "Invoice 2231 is wrong", name: str = "Jane Doe", address: str = JANE.address
) -> TicketFacts:
    who = Person(party=31, address=address, name=name)
    ticket = story.ticket(3, owner=None, state=State.NEW)
    events = tuple(replace(e, text=text) if e.number == 1 else e for e in ticket.events)
    return replace(ticket, subject=subject, customer=who, participants=(who,), events=events)


def _offer(ticket: TicketFacts, attachments: tuple[Attachment, ...] = (), **data: str) -> tuple[TicketFacts, Notice]:
    notice = n("offer", event=4, about=1, author=ticket.customer, attachments=attachments, data={"first": "1", **data})
    return ticket, notice


_MANY = tuple(Person(party=100 + i, address=f"p{i}@customer.test", name=f"Name{i} Doe") for i in range(40))
_COPIED = ", ".join(f"person{i}@department-{i}.customer.example" for i in range(40))
_FILES = tuple(
    Attachment(name=f"Scan page {i:02} of the signed agreement.pdf", type="application/pdf", size=size, sha256="")
    for i, size in enumerate([120_000] * 10 + [11_000_000] * 2)
)
_ROWS = [
    {"number": 4800, "subject": "Invoice 2231 is wrong", "who": "Jane Doe", "state": "yours", "wait": "waits"},
    {"number": 4801, "subject": "", "who": "+49 30 5551234", "state": "free", "wait": "new"},
    {"number": 4802, "subject": _HEBREW, "who": "Dana", "state": "taken", "owner": "bob", "wait": "waits"},
    {"number": 4803, "subject": _WORD, "who": _LONG, "state": "free", "wait": "new"},
]
_TIMED = [{**row, "span": str(3600 * i + 600)} for i, row in enumerate(_ROWS)]
_STOPPED = [
    {"row": 17, "ticket": 4827, "reason": "unknown-sender", "author": _LONG, "subject": _WORD, "decidable": True},
    {"row": 18, "reason": "blocked", "author": "spam@x.test", "subject": "Prize", "proven": True, "decidable": True},
    {"row": 19, "ticket": 4828, "reason": "collision", "author": "alice@example.com", "subject": "Re: x"},
]
_HELD = json.dumps([{**row, "at": "2026-11-22T10:00:00+00:00"} for row in _STOPPED])
_SECTIONS = json.dumps([{"title": "reopened", "rows": _TIMED[:2]}, {"title": "late", "rows": _TIMED[2:]}])

ROUGH: dict[str, tuple[TicketFacts | None, Notice]] = {
    "rough-log": _offer(_first(_LOG), known="1"),
    "rough-hebrew": _offer(_first(f"{_HEBREW}.", _HEBREW, "\u05d3\u05e0\u05d4 \u05dc\u05d5\u05d9")),
    "rough-emoji": _offer(
        _first("\U0001f389 Thanks \U0001f389", "\U0001f525\U0001f525 Help!!!", "Zo\u00eb \U0001f98a")
    ),
    "rough-empty": _offer(_first("", "")),
    "rough-long": _offer(_first("Hi", "Invoice " * 25, "Maximiliana von und zu Guttenberg", _LONG), cc=_COPIED),
    "rough-files": _offer(_first("Please find the pages attached."), _FILES),
    "rough-forty": (
        replace(story.ticket(9), participants=(JANE, *_MANY)),
        n("customer-reply", event=10, about=8, author=JANE),
    ),
    "rough-gathered": (story.ticket(9), n("customer-reply", event=10, about=8, author=JANE, data={"mails": "1 8"})),
    "rough-formatted": (
        story.ticket(16),
        n("answer", to=JANE, about=4, author=ALICE, text=_TEXT, html=_HTML, quote=8),
    ),
    "rough-list": (
        None,
        n("list", event=82, data={"list": "yours", "count": "120", "subject": "#list", "rows": json.dumps(_TIMED)}),
    ),
    "rough-quarantine": (
        None,
        n("list", to=CAROL, event=82, data={"list": "quarantine", "count": "3", "subject": "#list", "stopped": _HELD}),
    ),
    "rough-digest": (None, n("digest", event=77, data={"sections": _SECTIONS, "late": "2", "first_answer": "3120"})),
}
"""Name -> the ticket and the notice about it, for ``tests.rules.test_notices.compose``."""
