"""People: a number each, for ever. The number (the *party*) stands in tokens; the folded address is unique."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from gateway.address import fold_address
from gateway.model import Person
from gateway.settings import Settings
from gateway.store.schema import agent_settings, blocks, persons
from gateway.store.statements import insert_once, upsert

_asked_for = sa.or_(
    persons.c.address.in_(bindparam("addresses", expanding=True)),
    persons.c.party.in_(bindparam("parties", expanding=True)),
)
_FIND = sa.select(persons).where(_asked_for)
_FIND_AND_AGENTS = sa.select(persons).where(sa.or_(_asked_for, persons.c.agent > ""))  # ">" can use the index, "!=" not
_BY_ADDRESS = sa.select(persons).where(persons.c.address == bindparam("folded"))
_CHOICES = sa.select(agent_settings)
_BLOCKED = sa.select(blocks.c.address).where(blocks.c.address.in_(bindparam("addresses", expanding=True)))
_MARK_KNOWN = (
    sa.update(persons)
    .where(persons.c.address == bindparam("folded"), sa.or_(persons.c.known.is_(False), persons.c.name == ""))
    .values(known=True, name=sa.case((persons.c.name == "", bindparam("said", type_=sa.String)), else_=persons.c.name))
)


def find_persons(
    tx: Connection, addresses: Iterable[str] = (), parties: Collection[int] = (), agents: bool = False
) -> list[Person]:
    """Those with one of the addresses or numbers, and with ``agents`` everybody who is one; nobody is created."""
    folded = {fold_address(address) for address in addresses if address}
    if not folded and not parties and not agents:
        return []
    # Never an empty IN: it becomes a subquery, and PostgreSQL then reads the whole table.
    asked = {"addresses": list(folded) or [""], "parties": list(parties) or [0]}
    return [to_person(row) for row in tx.execute(_FIND_AND_AGENTS if agents else _FIND, asked)]


def ensure_person(tx: Connection, address: str, name: str = "", known: bool = False) -> Person:
    """The person with this address, made when new. A name is filled in once; known is never taken back."""
    folded = fold_address(address)
    row = _by_address(tx, folded)
    if row is None:
        # Looked up first because a conflicting INSERT uses up a number on PostgreSQL, and tokens have seven digits.
        tx.execute(
            insert_once(tx, persons),
            {"address": folded, "name": name, "agent": "", "known": known},
        )
        row = _by_address(tx, folded)
    assert row is not None
    changes: dict[str, Any] = {}
    if name and not row.name:
        changes["name"] = name
    if known and not row.known:
        changes["known"] = True
    if changes:
        tx.execute(sa.update(persons).where(persons.c.party == row.party).values(changes))
        row = _by_address(tx, folded)
    return to_person(row)


def ensure_agents(tx: Connection, settings: Settings) -> dict[str, Person]:
    """The party of every enabled agent, by handle; whoever is no agent any more loses the handle.

    An agent whose address changed stays the same party, unless the new address already is another one: then the
    handle moves there.
    """
    found = find_persons(tx, [agent.address for agent in settings.agents.values()], agents=True)
    by_address = {person.address: person for person in found}
    by_handle = {person.agent: person for person in found if person.agent}
    result: dict[str, Person] = {}
    for agent in settings.agents.values():
        if not agent.enabled:
            continue
        folded = fold_address(agent.address)
        person = by_address.get(folded) or by_handle.get(agent.handle) or ensure_person(tx, folded)
        wanted = Person(party=person.party, address=folded, name=agent.name, agent=agent.handle, known=True)
        if person != wanted:
            tx.execute(
                sa.update(persons)
                .where(persons.c.party == person.party)
                .values(address=folded, name=agent.name, agent=agent.handle, known=True)
            )
        result[agent.handle] = wanted
    kept = {person.party for person in result.values()}
    for person in found:
        if person.agent and person.party not in kept:
            tx.execute(sa.update(persons).where(persons.c.party == person.party).values(agent=""))
    return result


def mark_known(tx: Connection, address: str, name: str = "") -> None:
    """Proven mail of this person was filed: the name may be shown from now on (security.md 7.4).

    ``name`` is taken for somebody known by address alone so far.
    """
    tx.execute(_MARK_KNOWN, {"folded": fold_address(address), "said": name})


def agent_choices(tx: Connection) -> dict[str, dict[str, str]]:
    """What agents set by mail, handle -> name -> value; overlays agents.toml (mail.md 14)."""
    choices: dict[str, dict[str, str]] = {}
    for row in tx.execute(_CHOICES):
        choices.setdefault(row.handle, {})[row.name] = row.value
    return choices


def set_agent_choice(tx: Connection, handle: str, name: str, value: str, now: datetime) -> None:
    """Set one of an agent's own settings; "" is a value too."""
    tx.execute(
        upsert(tx, agent_settings, "value", "at"),
        {"handle": handle, "name": name, "value": value, "at": now},
    )


def is_blocked(tx: Connection, address: str) -> bool:
    """Whether mail of this address goes to quarantine (#block)."""
    return bool(address) and tx.execute(_BLOCKED, {"addresses": [fold_address(address)]}).first() is not None


def find_blocked(tx: Connection, addresses: Iterable[str]) -> frozenset[str]:
    """Those of the addresses that are blocked, folded."""
    folded = [fold_address(address) for address in addresses if address]
    return frozenset(tx.execute(_BLOCKED, {"addresses": folded}).scalars()) if folded else frozenset()


def set_blocked(tx: Connection, address: str, blocked: bool, now: datetime, party: int = 0) -> None:
    """Block an address, or let it write again."""
    folded = fold_address(address)
    if blocked:
        tx.execute(insert_once(tx, blocks), {"address": folded, "party": party, "at": now})
    else:
        tx.execute(sa.delete(blocks).where(blocks.c.address == folded))


def _by_address(tx: Connection, folded: str) -> Any:
    return tx.execute(_BY_ADDRESS, {"folded": folded}).first()


def to_person(row: Any) -> Person:
    """A row with the columns of persons as a value."""
    return Person(party=row.party, address=row.address, name=row.name, agent=row.agent, known=row.known)
