"""One-tap actions: ``mailto:`` links that work offline, in every client and without a web server (mail.md 12.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from gateway.address import split_address
from gateway.model import Person
from gateway.reference import Keys
from gateway.settings import Inbox

LONGEST = 200
"""Characters of a link; Outlook Express cut at 456, some phones earlier."""
_HARMLESS = re.compile(r"[A-Za-z0-9. ]+\Z")


@dataclass(frozen=True, slots=True)
class Link:
    """What the reader sees and what pressing it opens."""

    label: str
    href: str


def _target(address: str) -> str:
    """The address as it stands in a ``mailto:`` (RFC 6068 2): "&" and "%" would end it or begin an escape."""
    local, domain = split_address(address)
    if not domain.isascii():
        domain = domain.encode("idna").decode("ascii")
    return f"{quote(local, safe='-._~')}@{domain}"


def make_link(keys: Keys, inbox: Inbox, person: Person, order: str, ticket: int, event: int, body: str = "") -> Link:
    """The link for one order; ``ticket`` 0 is for own settings, ``event`` 0 leaves the event out.

    The tag-less inbox address, because clients turn "+" into a blank; no "=" in values, because Gmail on Android cuts
    there. ``body`` is dropped when it would make the link too long. Raises ValueError for an order that cannot be said.
    """
    if not _HARMLESS.match(order):
        raise ValueError(f"not for a link: {order!r}")
    token = keys.make_action(ticket, event, person.party)
    place = f" {ticket}.{event}" if event else f" {ticket}"
    subject = f"{order}{place if ticket else ''} {token}".replace(" ", "%20")
    href = f"mailto:{_target(inbox.address)}?subject={subject}"
    full = f"{href}&body={body.replace(' ', '%20')}" if body and _HARMLESS.match(body) else href
    return Link(order, full if len(full) <= LONGEST else href)


def make_links(
    keys: Keys, inbox: Inbox, person: Person, orders: Iterable[str], ticket: int, event: int, body: str
) -> tuple[Link, ...]:
    """Links for those orders that can be said in one."""
    return tuple(make_link(keys, inbox, person, o, ticket, event, body) for o in orders if _HARMLESS.match(o))
