"""What the store knows that bears on one mail: the facts a decision is made from. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from gateway.address import client_network, fold_address, split_tag
from gateway.model import Clues, Facts, Findings, InboundMail, MessageIdFact, Proof, TicketFacts
from gateway.reference import guess_key, looks_like_token
from gateway.settings import Agent, Inbox, Settings
from gateway.store.journal import JournalState, comparable_date
from gateway.store.loading import MAX_NUMBER, load_tickets, to_message_id
from gateway.store.people import find_persons, is_blocked
from gateway.store.schema import acknowledgements, journal, message_ids, replay_keys, tickets

_HOUR = timedelta(hours=1)
_DAY = timedelta(hours=24)
_SIBLING_WINDOW = timedelta(days=7)
_EMPTY_BODY = hashlib.sha256(b"").hexdigest()


_KNOWN_IDS = (
    sa.select(message_ids)
    .where(message_ids.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(message_ids.c.id.desc())
)
_TWINS = (
    sa.select(
        journal.c.id,
        journal.c.state,
        journal.c.recipient_key,
        journal.c.received_at,
        journal.c.ticket,
        journal.c.event,
        journal.c.proof,
        journal.c.date,
        journal.c.body_sha256,
    )
    .where(
        journal.c.message_id == bindparam("its_id"),
        journal.c.author == bindparam("its_author"),
        journal.c.id != bindparam("own"),
        journal.c.state.in_((JournalState.APPLIED, JournalState.HELD)),
    )
    .order_by(journal.c.id)
    .limit(50)
)
_FIRST_USE = sa.select(sa.func.min(replay_keys.c.journal)).where(
    replay_keys.c.key.in_(bindparam("keys", expanding=True)),
    replay_keys.c.journal.not_in(bindparam("own", expanding=True)),
)
_GUESSES = (
    sa.select(sa.func.count())
    .select_from(replay_keys)
    .where(
        replay_keys.c.at > bindparam("since"),
        replay_keys.c.key.startswith(bindparam("beginning")),
        replay_keys.c.journal != bindparam("own"),
    )
)
_SAME_BODY = (
    sa.select(journal.c.ticket)
    .where(
        journal.c.body_sha256 == bindparam("its_body"),
        journal.c.received_at > bindparam("since"),
        journal.c.ticket.between(1, MAX_NUMBER),
        journal.c.state == JournalState.APPLIED,
        journal.c.id != bindparam("own"),
    )
    .order_by(journal.c.received_at)
    .limit(1)
)
_RECENT_MAILS = (
    sa.select(
        journal.c.ticket,
        sa.func.count().label("mails"),
        sa.func.sum(sa.case((journal.c.opened, 1), else_=0)).label("opened"),
    )
    .where(
        journal.c.author == bindparam("its_author"),
        journal.c.received_at > bindparam("since"),
        journal.c.ticket > 0,
        journal.c.id != bindparam("own"),
        journal.c.proof.in_(bindparam("proofs", expanding=True)),
    )
    .group_by(journal.c.ticket)
)
_BEGUN = (
    sa.select(sa.func.count())
    .select_from(journal)
    .where(
        journal.c.author.in_(bindparam("addresses", expanding=True)),
        journal.c.received_at > bindparam("since"),
        journal.c.opened.is_(True),
        journal.c.reason == "agent-wrote",
        journal.c.id != bindparam("own"),
    )
)
_RECENT_SUBJECTS = (
    sa.select(tickets.c.number, tickets.c.subject)
    .where(
        tickets.c.number.in_(
            sa.select(journal.c.ticket).where(
                journal.c.author == bindparam("its_author"),
                journal.c.received_at > bindparam("since"),
                journal.c.ticket.between(1, MAX_NUMBER),
                journal.c.state == JournalState.APPLIED,
                journal.c.id != bindparam("own"),
            )
        ),
        tickets.c.merged_into == 0,
    )
    .order_by(tickets.c.number.desc())
    .limit(50)
)
_RECENT_ACKNOWLEDGEMENTS = sa.select(
    sa.select(sa.func.count())
    .where(acknowledgements.c.address == bindparam("its_author"), acknowledgements.c.at > bindparam("a_day"))
    .scalar_subquery(),
    sa.select(sa.func.count()).where(acknowledgements.c.at > bindparam("an_hour")).scalar_subquery(),
)


@dataclass(frozen=True, slots=True)
class _Twins:
    """Other rows with this mail's author and Message-ID."""

    sibling: MessageIdFact | None = None
    same_id: int = 0
    siblings: frozenset[int] = field(default_factory=frozenset)  # rows that are copies of this very mail


def recall(
    tx: Connection, clues: Clues, findings: Findings, mail: InboundMail, settings: Settings, now: datetime
) -> Facts:
    """The facts for one mail. Candidate tickets are locked until the transaction ends (PostgreSQL).

    ``Database.write`` on PostgreSQL runs transactions side by side; copies of one mail wait here for each other, so
    that the second sees what the first one did. Nobody is created: ``ensure_agents`` must have run before.
    """
    author = findings.authentication.author
    address = fold_address(author.address) if author and author.address else ""
    agent = settings.find_agent(address) if address else None
    signed = _signatures(findings)
    _wait_for_copies(tx, [findings.message.message_id, *signed])

    known = _known_ids(tx, clues, findings)
    parties = {token.party for token in (*clues.tokens, *clues.own_ids)} | {fact.party for fact in known.values()}
    people = find_persons(tx, [address], parties - {0}, agents=True)
    agents = {p.agent: p for p in people if p.agent and _is_enabled(p.agent, settings)}
    person = next((p for p in people if p.address == address), None)

    twins = _twins(tx, address, findings, mail, settings, now)
    same_body = _same_body_ticket(tx, findings.message.body_sha256, mail.id, now)
    per_ticket, opened = _recent_mails(tx, address, findings.authentication.proof, mail.id, now)
    acks, acks_last_hour = _recent_acknowledgements(tx, address, now)
    candidates = {
        *(token.ticket for token in (*clues.tokens, *clues.own_ids, *clues.reported_ids, *clues.returned_ids)),
        *(fact.ticket for fact in known.values()),
        clues.reference_line,
        clues.subject_reference,
        clues.action.ticket if clues.action else 0,
        twins.sibling.ticket if twins.sibling else 0,
        same_body,
        mail.instruction.ticket if mail.instruction else 0,
    }
    return Facts(
        author=agents.get(agent.handle, person) if agent else person,
        author_agent=agent.handle if agent else "",
        persons={p.party: p for p in people if p.party in parties},
        known_ids=known,
        tickets=follow_merges(load_tickets(tx, candidates, lock=True)),
        replayed=_first_use(tx, signed, {mail.id, *twins.siblings}),
        same_id=twins.same_id,
        sibling=twins.sibling,
        acks_to_author=acks,
        acks_last_hour=acks_last_hour,
        mails_to_ticket=per_ticket,
        new_tickets_by_author=opened,
        begun_by_agent=_begun(tx, agent, mail.id, now) if agent else 0,
        same_body_ticket=same_body,
        recent_subjects={} if agent else _recent_subjects(tx, address, mail.id, now, settings),
        agents=agents,
        blocked=is_blocked(tx, address),
        guesses=_recent_guesses(tx, client_network(mail.envelope.client_address), mail, now) if clues.bad_tokens else 0,
        guess_alarms=_recent_guesses(tx, "alarm", mail, now) if clues.bad_tokens else 0,
    )


def follow_merges(found: dict[int, TicketFacts]) -> dict[int, TicketFacts]:
    """The same numbers, but a merged ticket's number names the ticket it ended in."""
    followed = {}
    for number, first in found.items():
        ticket, seen = first, {number}
        while ticket.merged_into in found and ticket.merged_into not in seen:
            seen.add(ticket.merged_into)
            ticket = found[ticket.merged_into]
        followed[number] = ticket
    return followed


def _is_enabled(handle: str, settings: Settings) -> bool:
    agent = settings.agents.get(handle)
    return agent is not None and agent.enabled


def _signatures(findings: Findings) -> list[str]:
    return [
        signature.replay_key
        for signature in findings.authentication.dkim
        if signature.result == "pass" and signature.aligned and signature.replay_key
    ]


def _wait_for_copies(tx: Connection, keys: Iterable[str]) -> None:
    if tx.dialect.name != "postgresql":
        return
    digests = {hashlib.sha256(key.encode(errors="replace")).digest()[:8] for key in keys if key}
    if digests:
        # In one order for all, or two copies with two keys each would block one another.
        ordered = sorted(int.from_bytes(digest, "big", signed=True) for digest in digests)
        tx.execute(sa.select(*(sa.func.pg_advisory_xact_lock(number) for number in ordered)))


def _known_ids(tx: Connection, clues: Clues, findings: Findings) -> dict[str, MessageIdFact]:
    """What is known of the ids the mail refers to, and of its own; where an id was reused, its first use."""
    asked = {*clues.in_reply_to, *clues.references, *(token.text for token in clues.own_ids)}
    asked.add(findings.message.message_id)
    asked.discard("")
    if not asked:
        return {}
    known: dict[str, MessageIdFact] = {}
    for row in tx.execute(_KNOWN_IDS, {"ids": list(asked)}):
        fact = to_message_id(row)
        # Newest first, so the first use stays; but a mail that came counts more than the wait for it (event 0).
        if fact.event or fact.message_id not in known or not known[fact.message_id].event:
            known[fact.message_id] = fact
    return known


def _twins(
    tx: Connection, address: str, findings: Findings, mail: InboundMail, settings: Settings, now: datetime
) -> _Twins:
    message = findings.message
    if not address or not message.message_id:
        return _Twins()
    rows = tx.execute(_TWINS, {"its_id": message.message_id, "its_author": address, "own": mail.id}).all()
    copies = [row for row in rows if _is_copy(row, findings, now)]
    filed = next((row for row in copies if row.ticket and row.event), None)
    if not copies or not _is_sibling_address(mail, findings, settings, {row.recipient_key for row in rows}):
        copies, filed = [], None
    siblings = frozenset(row.id for row in copies)
    # An unproven mail that was held used up nothing: else a forgery sent first would stop the real mail.
    used = (row.id for row in rows if not (row.state == JournalState.HELD and row.proof == Proof.NONE))
    return _Twins(
        sibling=MessageIdFact(
            message_id=message.message_id, ticket=filed.ticket, event=filed.event, at=filed.received_at
        )
        if filed
        else None,
        same_id=next((row_id for row_id in used if row_id not in siblings), 0),
        siblings=siblings,
    )


def _is_copy(row: Any, findings: Findings, now: datetime) -> bool:
    """Same Message-ID and author are given; date and body must be equal too (mail.md 7.1).

    A proven copy never joins an unproven one (security.md 14.2).
    """
    return (
        row.date == comparable_date(findings.message.date)
        and row.body_sha256 == findings.message.body_sha256
        and row.received_at > now - _SIBLING_WINDOW
        and (row.proof != Proof.NONE or findings.authentication.proof is Proof.NONE)
    )


def _is_sibling_address(mail: InboundMail, findings: Findings, settings: Settings, taken: set[str]) -> bool:
    """Whether the author sent the mail to this recipient himself, or it came to a plain address of an inbox.

    A token address that To and Cc do not name was put on the envelope by somebody else: that is a replay (adv-30). What
    reaches one address twice came there by two ways (info@ is forwarded to support@) and is a copy as well (decision
    0016), unless it is signed, then it is a repeat, or an agent's, who is asked.
    """
    recipient = fold_address(mail.envelope.recipient)
    inbox = settings.find_inbox(recipient)
    plain = inbox is not None and _is_plain(recipient, inbox)
    if recipient in taken:
        author = findings.authentication.author
        agent = settings.find_agent(author.address) if author else None
        return plain and agent is None and not _signatures(findings)
    return plain or recipient in {fold_address(box.address) for box in (*findings.message.to, *findings.message.cc)}


def _is_plain(recipient: str, inbox: Inbox) -> bool:
    """An address of the inbox, as configured or with a tag that is no token of ours ("support+shop@")."""
    base, tag = split_tag(recipient, inbox.plus_separator)
    return recipient in inbox.addresses() or (fold_address(base) in inbox.addresses() and not looks_like_token(tag))


def _first_use(tx: Connection, signed: list[str], own: set[int]) -> int:
    if not signed:
        return 0
    return tx.execute(_FIRST_USE, {"keys": signed, "own": list(own)}).scalar() or 0


def _recent_guesses(tx: Connection, client: str, mail: InboundMail, now: datetime) -> int:
    """Wrong tokens in other mails of a client within the hour; "": of all that are not known; "alarm": alarms."""
    asked = {"since": now - _HOUR, "beginning": guess_key(client), "own": mail.id}
    return tx.execute(_GUESSES, asked).scalar_one()


def _same_body_ticket(tx: Connection, body_sha256: str, own: int, now: datetime) -> int:
    if not body_sha256 or body_sha256 == _EMPTY_BODY:  # everybody's empty mail is the same
        return 0
    return tx.execute(_SAME_BODY, {"its_body": body_sha256, "since": now - _DAY, "own": own}).scalar() or 0


def _recent_mails(tx: Connection, address: str, proof: Proof, own: int, now: datetime) -> tuple[dict[int, int], int]:
    """The author's mails of the last hour by ticket, and how many of them opened one.

    A proven author answers for proven mail only: whoever forges an address must not use up what its owner may send.
    Mail without an author counts as one author's: nothing else of it can be told apart.
    """
    proofs = [one for one in Proof if proof is Proof.NONE or one is not Proof.NONE]
    asked = {"its_author": address, "since": now - _HOUR, "own": own, "proofs": proofs}
    rows = tx.execute(_RECENT_MAILS, asked).all()
    return {row.ticket: row.mails for row in rows}, sum(int(row.opened) for row in rows)


def _begun(tx: Connection, agent: Agent, own: int, now: datetime) -> int:
    """How many tickets this agent began within the hour."""
    addresses = [fold_address(address) for address in (agent.address, *agent.also)]
    return tx.execute(_BEGUN, {"addresses": addresses, "since": now - _HOUR, "own": own}).scalar_one()


def _recent_subjects(tx: Connection, address: str, own: int, now: datetime, settings: Settings) -> dict[int, str]:
    """Tickets that this address wrote to lately, with their subjects."""
    if not address:
        return {}
    asked = {"its_author": address, "since": now - settings.tickets.same_subject_window, "own": own}
    return {row.number: row.subject for row in tx.execute(_RECENT_SUBJECTS, asked)}


def _recent_acknowledgements(tx: Connection, address: str, now: datetime) -> tuple[int, int]:
    """Sent to this address within 24 hours; sent to anybody within the hour."""
    asked = {"its_author": address, "a_day": now - _DAY, "an_hour": now - _HOUR}
    row = tx.execute(_RECENT_ACKNOWLEDGEMENTS, asked).one()
    return row[0], row[1]
