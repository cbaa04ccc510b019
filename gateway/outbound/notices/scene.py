"""What a builder of a notice may look at: one notice, one recipient, the ticket as it now stands. Values only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property, lru_cache

from gateway.address import clean_text
from gateway.model import Attachment, EventFact, HeldFact, Notice, Person, TicketFacts
from gateway.outbound.addressing import agent_name, display_address, display_name, header_name, short_name
from gateway.outbound.letter import Part
from gateway.outbound.onetap import Link, make_links
from gateway.outbound.words import Words
from gateway.reference import strip_tokens
from gateway.settings import Inbox, Settings

_LONGEST_TEXT = 200_000  # characters of one text in a mail; the rest is one #show away
_MOST_NAMES = 6
_UNSEEN = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c"  # bidirectional
    "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"  # categories Cc without tab and line feed, and Cs
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What a builder decides: the words and the row of mail.md 5.3. compose.py makes headers of it."""

    from_name: str
    subject: str
    text: str
    html: str = ""
    parts: tuple[Part, ...] = ()
    related: tuple[Part, ...] = ()
    reply: tuple[str, str, int] | None = None  # display name, token kind, event of the token
    to: tuple[tuple[str, str], ...] = ()  # (name, address)
    cc: tuple[tuple[str, str], ...] = ()
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    auto_submitted: str = "auto-generated"
    list_id: tuple[str, str] | None = None  # phrase, left part of the id
    ticket_event: str = ""  # X-Ticket-Event; "" for mail that carries no ticket headers
    unsubscribe: str = ""  # order of the List-Unsubscribe link
    html_wanted: bool = True  # agents: make the HTML part from the text
    links: tuple[Link, ...] = ()  # the one-tap links that stand in the text


@lru_cache(maxsize=32)  # the same text goes to every agent of an inbox
def readable(text: str) -> str:
    """Somebody else's text as we show it: no tokens of anybody, no controls, no bidirectional overrides."""
    cleaned = _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return strip_tokens(cleaned[:_LONGEST_TEXT]).strip("\n")


def size_words(size: int) -> str:
    """``3 kB``, ``1.4 MB``."""
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{max(1, round(size / 1000))} kB"


class Scene:
    """One notice for one recipient. Nothing here reads a clock or a file but the templates."""

    def __init__(
        self,
        *,
        settings: Settings,
        words: Words,
        inbox: Inbox,
        ticket: TicketFacts | None,
        notice: Notice,
        recipient: Person,
        now: datetime,
    ) -> None:
        self.settings = settings
        self.words = words
        self.inbox = inbox
        self.notice = notice
        self.recipient = recipient
        self.now = now
        self._ticket = ticket

    @property
    def ticket(self) -> TicketFacts:
        if self._ticket is None:
            raise ValueError(f"a notice of kind {self.notice.kind} needs a ticket")
        return self._ticket

    @property
    def has_ticket(self) -> bool:
        return self._ticket is not None and self._ticket.number > 0

    @property
    def number(self) -> int:
        return self._ticket.number if self._ticket else 0

    # -------------------------------------------------------------- history

    def find_event(self, number: int) -> EventFact | None:
        return next((e for e in self.ticket.events if e.number == number), None)

    @cached_property
    def held(self) -> HeldFact | None:
        """The held mail this notice is about."""
        return next((h for h in self.ticket.held if h.event == self.notice.about), None)

    def event_text(self, number: int) -> str:
        event = self.find_event(number)
        return readable(event.text) if event else ""

    def newest_mail(self, before: int = 0) -> EventFact | None:
        """The newest public mail of a participant."""
        found = [
            e
            for e in self.ticket.events
            if e.kind == "mail" and e.public and (not before or e.number < before) and e.number != self.notice.event
        ]
        return found[-1] if found else None

    def absence(self, event: EventFact | None) -> str:
        """``away until 7 Dec (automatic reply)``, of an away notice that names a day; "" of any other event."""
        named = event.data.get("away", "") if event else ""
        if not named:
            return ""
        day = date.fromisoformat(named)
        said = self.words.day_of(day, year=day.year != self.words.local(self.now).year)
        return self.words.say("away_notice", day=said)

    def absence_now(self) -> str:
        """The same of the customer's newest away notice, while that day is not over."""
        today = self.words.local(self.now).date().isoformat()
        events = (e for e in reversed(self.ticket.events) if self.customer and e.party == self.customer.party)
        newest = next((e for e in events if e.kind in ("mail", "auto-reply") and e.number != self.notice.event), None)
        return self.absence(newest) if newest and newest.data.get("away", "") >= today else ""

    # -------------------------------------------------------------- people

    def person(self, party: int) -> Person | None:
        """A party as far as the ticket and the notice know it."""
        ticket = self._ticket
        people: list[Person | None] = [self.notice.author, self.recipient, *self.notice.recipients]
        if ticket:
            people += [ticket.customer, ticket.owner, *ticket.participants, *ticket.thirds, *ticket.authors]
        return next((p for p in people if p and p.party == party), None)

    def name(self, person: Person | None) -> str:
        return display_name(person, self.settings) if person else self.words.say("somebody")

    def first(self, person: Person | None) -> str:
        return short_name(person, self.settings) if person else self.words.say("somebody")

    def in_header(self, person: Person | None) -> str:
        return header_name(person, self.settings) if person else self.words.say("somebody")

    @property
    def customer(self) -> Person | None:
        return self.ticket.customer

    @property
    def owner(self) -> Person | None:
        return self.ticket.owner

    @property
    def mine(self) -> bool:
        return bool(self.owner and self.owner.party == self.recipient.party)

    def third_of(self, event: EventFact | None) -> Person | None:
        """The third party in whose side conversation an event stands."""
        party = int(event.data.get("side") or 0) if event else 0
        return self.person(party) if party else None

    def colleague(self) -> str:
        """The handle of another agent of this inbox, for the example of ``#assign``; not who has the ticket already."""
        owner = self._ticket.owner.agent if self._ticket and self._ticket.owner else ""
        known = (self.recipient.agent, owner)
        handles = [a.handle for a in self.settings.agents_of(self.inbox) if a.handle not in known]
        return handles[0] if handles else "bob"

    def lead_name(self) -> str:
        leads = self.settings.leads_of(self.inbox)
        return leads[0].name.split()[0] if leads and leads[0].name.split() else ""

    # -------------------------------------------------------------- facts

    def fact(self, key: str) -> str:
        """A fact of the notice, cleaned for one line."""
        return clean_text(self.notice.data.get(key, ""), 500)

    def flag(self, key: str) -> bool:
        return self.notice.data.get(key, "") not in ("", "0")

    def when(self, key: str) -> str:
        """A fact that is an ISO date-time, as people say it (``on Mon 30 Nov, 10:00``); "" if there is none."""
        found = self.notice.data.get(key, "")
        return self.words.when(datetime.fromisoformat(found), self.now) if found else ""

    def links(self, orders: Iterable[str], event: int) -> tuple[Link, ...]:
        body = self.words.say("press_send")
        keys = self.settings.keys
        made = make_links(keys, self.inbox, self.recipient, orders, self.number, event, body)
        return tuple(replace(link, label=self._label(link.label)) for link in made)

    def _label(self, order: str) -> str:
        """An order in the reader's language: ``snooze 1d``, ``1 Tag verbergen``; as it is where there are no words."""
        verb, _, value = order.partition(" ")
        for key in (f"onetap_{verb}-{value}", f"onetap_{verb}"):
            if self.words.knows(key):
                return self.words.say(key, value=value)
        return order

    def usual_links(self, event: int, *, first_mail: bool) -> tuple[Link, ...]:
        """The configured one-tap actions less those that make no sense now (mail.md 12.4)."""
        senseless = {"claim"} if self.mine else set()
        if not first_mail:
            senseless.add("spam")
        orders = [o for o in self.settings.agent_mail.actions if o.split()[0] not in senseless]
        return self.links(orders, event)

    # -------------------------------------------------------------- files

    def files(self, attachments: tuple[Attachment, ...], limit: int) -> tuple[tuple[Part, ...], tuple[str, ...]]:
        """The files that may go along, and a line for each that may not (too large together, or a refused type)."""
        parts, left_out = [], []
        for attachment, why in self.sort_files(attachments, limit):
            name = clean_text(attachment.name, 150)
            if why:
                left_out.append(f"{name} ({size_words(attachment.size)})")
            else:
                parts.append(Part(name, attachment.type, attachment.content))
        return tuple(parts), tuple(left_out)

    def sort_files(self, attachments: tuple[Attachment, ...], limit: int) -> tuple[tuple[Attachment, str], ...]:
        """Each file, and why it may not go along: "type" (refused), "size" (too large together), "" when it may."""
        found, used = [], 0
        for attachment in attachments:
            refused = attachment.type.lower() in self.settings.security.strip_types
            too_large = used + attachment.size > limit or bool(attachment.size and not attachment.content)
            why = "type" if refused else "size" if too_large else ""
            used += 0 if why else attachment.size
            found.append((attachment, why))
        return tuple(found)

    def some_of(self, names: Sequence[str]) -> str:
        """Names in a row, the first few where there are many."""
        shown = ", ".join(names[:_MOST_NAMES])
        more = len(names) - _MOST_NAMES
        return shown + (self.words.say("and_more", number=more) if more > 0 else "")

    def _others(self) -> list[Person]:
        """Who else gets a public answer: participants besides the customer."""
        customer = self.customer.party if self.customer else 0
        return [p for p in self.ticket.participants if not p.agent and p.party != customer]

    # -------------------------------------------------------------- text

    def render(self, template: str, **values: object) -> str:
        """A template with the values every template may use, and some of its own."""
        common: dict[str, object] = {
            "number": self.number,
            "inbox": self.inbox.name,
            "inbox_address": self.inbox.address,
            "mark": "-- ",
            "recipient": agent_name(self.recipient, self.settings) or self.recipient.address,
            "recipient_first": self.first(self.recipient),
            "colleague": self.colleague(),
            "kind": self.notice.kind,
            "reason": self.notice.reason,
            "fact": self.fact,
            "flag": self.flag,
            "when": self.when,
        }
        if self.has_ticket:
            customer = self.customer
            common |= {
                "customer": self.name(customer),
                "customer_first": self.first(customer),
                "others": self.some_of([self.first(p) for p in self._others()]),
                "customer_address": display_address(customer.address) if customer else "",
                "customer_named": bool(customer and customer.known and customer.name),
                "owner": self.name(self.owner) if self.owner else "",
                "owner_first": self.first(self.owner) if self.owner else "",
                "mine": self.mine,
                "state": self.ticket.state.value,
            }
        return self.words.render(template, common | values)
