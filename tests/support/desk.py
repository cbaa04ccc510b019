"""A desk with a past, for tests that send hostile mail: real edges, receiver, store, cage, rules and writers.

Two customers wrote three days ago; agent_x answered the first. All of it came in over the road that real mail takes, so
tickets, tokens and Message-IDs are what an installation would have. Only three things are the test's own: the clock,
the zone that stands in for DNS, and that nothing is sent (deliveries are looked at where they wait).
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message as ParsedMail
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from gateway import pipeline, unpacking
from gateway.analysis.cage import Cage
from gateway.analysis.reading_rules import Rules as CageRules
from gateway.analysis.reading_rules import rules_of
from gateway.ingest.intake import Rules, own_domains
from gateway.ingest.listen import Listener, open_sockets
from gateway.model import (
    AuthenticationResults,
    DnsAnswer,
    Envelope,
    EventFact,
    Findings,
    InboundMail,
    OutboundMail,
    Plan,
    TicketFacts,
)
from gateway.receive import Receipt, Receiver
from gateway.reference import Keys
from gateway.resolver import ZoneResolver
from gateway.settings import Agent, AgentMail, General, Hours, Inbox, Settings, Tickets, TrustedResults
from gateway.settings import Cage as CageSettings
from gateway.store import deliveries, journal, raw_mail, tickets, timers
from gateway.store.database import Database
from gateway.store.journal import JournalRow, JournalState
from gateway.store.schema import deliveries as deliveries_table
from gateway.store.schema import persons, replay_keys
from gateway.store.schema import tickets as tickets_table
from gateway.store.schema import timers as timers_table
from gateway.threading.clues import is_bad_token
from tests.support.signing import key_record, sign
from tests.support.smtp_client import Client, Reply, connect

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
PAST = NOW - timedelta(days=3)
AGENT_X, AGENT_Y = "agent@corp.test", "agent2@corp.test"
ANN, BEN, EVIL = "ann@customer.test", "ben@other.test", "evil@evil.test"
CAST = {1: AGENT_X, 2: AGENT_Y, 31: ANN, 32: BEN}
ANNS, BENS = 4827, 4828
LEASE = timedelta(minutes=5)
_READING: ContextVar[int] = ContextVar("reading", default=0)

_BESIDE = frozenset({"held", "held-notice", "unproven"})
"""Kinds of lines that stand beside a ticket and are no entry of it (security.md 5.1)."""


def desk_settings(**changes: Any) -> Settings:
    """The installation of the cast."""
    always = Hours(weekdays="")
    inboxes = {
        "support": Inbox(
            name="Desk Support", address="support@desk.test", handle="support", agents=("x", "y"), hours=always
        ),
        "sales": Inbox(name="Desk Sales", address="sales@desk.test", handle="sales", agents=("x", "y"), hours=always),
    }
    people = {
        "x": Agent(name="Alex Agent", address=AGENT_X, handle="x"),
        "y": Agent(name="Yuri Agent", address=AGENT_Y, handle="y"),
    }
    values: dict[str, Any] = {
        "ticketgate": General(id_domain="tickets.desk.test"),
        "inbox": inboxes,
        "agents": people,
        "authentication_results": TrustedResults(trusted=("mx.desk.test",)),
        "tickets": Tickets(first_number=ANNS),
        "agent_mail": AgentMail(html=False, batch=timedelta(0)),
        "cage": CageSettings(children=1),
        "keys": Keys("k", {"k": bytes(range(32))}),
        "folder": Path(__file__).parents[2] / "config",
    }
    return Settings(**(values | changes))


def cage_rules(settings: Settings) -> CageRules:
    """What the cage may know, as the daemon makes it."""
    return CageRules(
        authentication=rules_of(settings),
        own_addresses=frozenset(a for inbox in settings.inbox.values() for a in inbox.addresses()),
        id_domain=settings.id_domain,
    )


def make_zone() -> dict[str, dict[str, object]]:
    """Keys and policies of the cast; signing keys are named "rsa2048:corp" and so on."""
    zone: dict[str, dict[str, object]] = {}
    for name, policy in (("corp", "reject"), ("customer", "none"), ("other", "none"), ("evil", "reject")):
        zone[f"s1._domainkey.{name}.test"] = {"TXT": [key_record(f"rsa2048:{name}")]}
        zone[f"_dmarc.{name}.test"] = {"TXT": [f"v=DMARC1; p={policy}"]}
    for name in ("acme-corp.test", "good.test"):
        zone[f"_dmarc.{name}"] = {"TXT": ["v=DMARC1; p=reject"]}
    return zone


class Dns(ZoneResolver):
    """The zone in place of DNS; notes what was asked. ``delay`` in seconds for each round about the mail under test;
    the domain of other people's mail (elsewhere.test) answers at once."""

    def __init__(self, zone: dict[str, dict[str, object]]) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self.delay = 0.0
        self.seconds: dict[int, float] = {}
        """Journal row -> time its mail spent waiting for us."""
        self.asked_for: dict[int, list[str]] = {}
        """Journal row -> names asked for its mail."""
        super().__init__(zone)

    async def resolve(self, keys: Iterable[str], within: float = 5.0) -> dict[str, DnsAnswer]:
        listed = list(keys)
        self.asked += listed
        row = _READING.get()
        delay = 0.0 if all(key.endswith((" _dmarc.test", "elsewhere.test")) for key in listed) else self.delay
        self.asked_for.setdefault(row, []).extend(listed)
        began = time.monotonic()
        try:
            await asyncio.sleep(min(delay, within))
            if delay > within:
                return {key: DnsAnswer("failed") for key in listed}
        finally:
            self.seconds[row] = self.seconds.get(row, 0.0) + time.monotonic() - began
        self._zone = {name.lower(): entry for name, entry in self.zone.items()}
        return await super().resolve(listed)


@dataclass(frozen=True)
class Sent:
    """A mail that waits in the outbox."""

    mail: OutboundMail
    state: str

    @property
    def parsed(self) -> ParsedMail:
        return message_from_bytes(self.mail.content)

    @property
    def text(self) -> str:
        """Every text part, decoded."""
        found = []
        for part in self.parsed.walk():
            if part.get_content_maintype() == "text":
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                found.append(payload.decode(part.get_content_charset() or "utf-8", "replace"))
        return "\n".join(found).replace("\r\n", "\n")


@dataclass(frozen=True)
class Snapshot:
    """What existed before the input: whatever differs afterwards is its doing."""

    journal: int
    outbox: int
    tickets: Mapping[int, object]


class Desk:
    """One installation in a folder of its own."""

    def __init__(self, database: Database, settings: Settings, cage: Cage, folder: Path) -> None:
        self.database = database
        self.settings = settings
        self.cage = cage
        self.folder = folder
        self.now = NOW
        self.dns = Dns(make_zone())
        self.receiver = Receiver(
            database, max_size=settings.receive.lmtp.max_size if settings.receive.lmtp else 1 << 25
        )
        self.findings: dict[int, Findings] = {}
        self.plans: list[Plan] = []
        self.before = Snapshot(0, 0, {})
        self._listening: dict[str, Listener] = {}
        self._places: dict[str, str] = {}

    # -------------------------------------------------------------- in

    async def receive(self, envelope: Envelope, raw: bytes) -> Receipt:
        """What every edge calls; the time of reception is the test's."""
        return await self.receiver.receive(replace(envelope, received_at=self.now), raw)

    async def listen(self, protocol: str = "lmtp", **rules: Any) -> str:
        """A listener of this desk: LMTP on a unix socket, SMTP on a port of 127.0.0.1. Where it listens."""
        if protocol not in self._listening:
            rules.setdefault("max_bad_tokens", 20 if protocol == "smtp" else 0)
            listener = Listener(
                Rules(protocol=protocol, hostname="mx.desk.test", **rules),
                receive=self.receive,
                find_inbox=lambda recipient: self.settings.find_inbox(recipient),
                is_our_domain=own_domains(self.settings).__contains__,
                is_bad_token=lambda recipient: is_bad_token(recipient, self.settings),
            )
            place = f"unix:{self.folder}/lmtp.sock" if protocol == "lmtp" else "inet:127.0.0.1:0"
            sockets = open_sockets([place])
            address = sockets[0].getsockname()
            await listener.start(sockets)
            self._listening[protocol] = listener
            self._places[protocol] = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        return self._places[protocol]

    @asynccontextmanager
    async def session(self, protocol: str = "lmtp", **rules: Any) -> AsyncIterator[Client]:
        """A greeted connection."""
        async with connect(await self.listen(protocol, **rules)) as client:
            assert (await client.reply()).code == 220
            await client.hello("LHLO" if protocol == "lmtp" else "EHLO")
            yield client

    async def deliver(
        self,
        raw: bytes,
        recipient: str = "support@desk.test",
        reverse_path: str = "bounce@sender.test",
        protocol: str = "lmtp",
    ) -> Reply:
        """One mail over a real connection; the reply after the dot. What no SMTP client can send is put in as IMAP does
        (bytes that do not end in CRLF).
        """
        if raw and not raw.endswith(b"\r\n"):
            receipt = await self.receive(self.imap_envelope(), raw)
            return Reply(250, (f"2.0.0 Taken as {receipt.journal_id}",))
        async with self.session(protocol) as client:
            return await client.deliver(raw, recipient, reverse_path)

    def imap_envelope(self) -> Envelope:
        """As the IMAP edge makes it: the mailbox's own address, no reverse_path."""
        return Envelope(
            reverse_path="",
            recipient="support@desk.test",
            inbox="support",
            source="imap:support",
            received_at=self.now,
            trusted=True,
        )

    # -------------------------------------------------------------- work

    async def work(self) -> list[Plan]:
        """Decide everything that is due, as the intake worker does; the plans in order."""
        plans = []
        while True:
            mails = await self.claim()
            if not mails:
                return plans
            for mail in mails:
                plans.append(await self.process(mail))

    async def claim(self, limit: int = 50) -> list[InboundMail]:
        now = self.now
        return await self.database.write(lambda tx: journal.claim(tx, limit, "test", now, LEASE))

    async def process(self, mail: InboundMail) -> Plan:
        _READING.set(mail.id)
        findings = await pipeline.read(mail, self.cage, self.dns)
        findings = await pipeline.compare(mail, findings, self.cage, self.database, self.settings)
        findings = await unpacking.unpack(mail, findings, self.cage, self.database, self.settings)
        return await self.record(mail, findings)

    async def record(self, mail: InboundMail, findings: Findings) -> Plan:
        settings, now = self.settings, self.now
        self.findings[mail.id] = findings
        plan = await self.database.write(lambda tx: pipeline.process(tx, mail, findings, settings, now))
        self.plans.append(plan)
        return plan

    async def send(self, raw: bytes, recipient: str = "support@desk.test", **how: Any) -> Reply:
        """Deliver and decide."""
        reply = await self.deliver(raw, recipient, **how)
        await self.work()
        return reply

    async def sent_all(self) -> None:
        """Everything in the outbox was sent."""
        now = self.now

        def end(tx: sa.Connection) -> None:
            while claimed := deliveries.claim_due(tx, 100, "test", now, LEASE):
                for delivery in claimed:
                    deliveries.record_attempt(tx, delivery, "sent", "250 2.0.0 OK", None, now)

        await self.database.write(end)

    # -------------------------------------------------------------- looking

    def look(self, fn: Any) -> Any:
        with self.database.begin() as tx:
            return fn(tx)

    def ticket(self, number: int) -> TicketFacts:
        found = self.look(lambda tx: tickets.load_ticket(tx, number))
        assert found is not None, f"no ticket {number}"
        return found  # type: ignore[no-any-return]

    def rows(self) -> list[JournalRow]:
        """Journal rows made since the snapshot, oldest first."""
        start = self.before.journal
        every = self.look(lambda tx: list(tx.execute(sa.text("SELECT id FROM journal")).scalars()))
        return [
            row
            for number in sorted(every)
            if number > start
            for row in self.look(lambda tx, n=number: journal.find(tx, row_id=n))
        ]

    def raw(self, row: JournalRow) -> bytes | None:
        return self.look(lambda tx: raw_mail.load(tx, row.sha256))  # type: ignore[no-any-return]

    def authentication(self, row: JournalRow) -> AuthenticationResults:
        """The verdict as it was stored."""
        return msgspec.convert(row.story["authentication"], AuthenticationResults)

    def outbox(self, everything: bool = False) -> list[Sent]:
        """Mails queued since the snapshot."""
        table = deliveries_table
        start = 0 if everything else self.before.outbox
        found = self.look(lambda tx: tx.execute(sa.select(table).where(table.c.id > start).order_by(table.c.id)).all())
        names = [name for name in OutboundMail.__slots__ if name in table.c]
        return [Sent(OutboundMail(**{n: row._mapping[n] for n in names}), row.state) for row in found]

    def to_outsiders(self) -> list[Sent]:
        """Those that go to anybody but the desk's own agents."""
        staff = {AGENT_X, AGENT_Y}
        return [sent for sent in self.outbox() if sent.mail.recipient not in staff]

    def to_agents(self) -> list[Sent]:
        return [sent for sent in self.outbox() if sent not in self.to_outsiders()]

    def delivery_states(self) -> dict[int, tuple[str, str]]:
        """Every delivery: number -> (state, reply)."""
        table = deliveries_table
        return {row.id: (row.state, row.reply) for row in self.look(lambda tx: tx.execute(sa.select(table)).all())}

    def entries(self, row: JournalRow) -> list[tuple[int, EventFact]]:
        """The lines of any ticket that came from a journal row."""
        found = []
        for number in self.look(lambda tx: list(tx.execute(sa.select(tickets_table.c.number)).scalars())):
            found += [(number, event) for event in self.ticket(number).events if event.journal == row.id]
        return found

    def numbers(self) -> list[int]:
        return self.look(lambda tx: sorted(tx.execute(sa.select(tickets_table.c.number)).scalars()))  # type: ignore[no-any-return]

    # -------------------------------------------------------------- what an input changed

    def mark(self) -> None:
        """From here on everything is the input's doing."""
        outbox = self.outbox(everything=True)
        top = self.look(lambda tx: tx.execute(sa.select(sa.func.max(deliveries_table.c.id))).scalar()) or 0
        row = self.look(lambda tx: tx.execute(sa.text("SELECT max(id) FROM journal")).scalar()) or 0
        assert len(outbox) <= top
        self.before = Snapshot(row, top, {number: self.state_of(number) for number in self.numbers()})
        self.dns.asked.clear()

    def state_of(self, number: int) -> object:
        """What counts as the state of a ticket: everything but lines that stand beside it."""
        ticket = self.ticket(number)
        shown_to_agents = {row.id for row in self.rows() if row.outcome in ("agents-only", "hold")}
        columns = self.look(
            lambda tx: tx.execute(sa.select(tickets_table).where(tickets_table.c.number == number)).one()
        )._asdict()
        columns.pop("last_event")
        entries = [e for e in ticket.events if e.kind not in _BESIDE and e.journal not in shown_to_agents]
        running = self.look(
            lambda tx: tx.execute(
                sa.select(timers_table.c.kind, timers_table.c.due_at).where(timers_table.c.ticket == number)
            ).all()
        )
        # The time until which a held mail waits belongs to that mail: nothing of the ticket becomes due by it.
        own = sorted(tuple(one) for one in running if not one.kind.startswith(("held-", "collision-")))
        public = [known for known in ticket.message_ids if known.public]
        return (columns, ticket.participants, entries, own, public)

    def changed(self) -> list[int]:
        """Tickets of before that are not what they were."""
        return [number for number, state in self.before.tickets.items() if self.state_of(number) != state]

    # -------------------------------------------------------------- tokens

    def token(self, name: str) -> str:
        """TA, TB, AX, AY: whole addresses; MA, MX: Message-IDs."""
        keys, last = self.settings.keys, self.ticket(ANNS).last_event
        if name == "MA":
            return [m.message_id for m in self.ticket(ANNS).message_ids if m.party == 31 and m.public][-1]
        if name == "MX":
            return next(m.message_id for m in self.ticket(ANNS).message_ids if m.party == 1)
        kind, ticket, event, party = {
            "TA": ("t", ANNS, 0, 31),
            "TB": ("t", BENS, 0, 32),
            "AX": ("a", ANNS, last, 1),
            "AY": ("a", ANNS, last, 2),
        }[name]
        return f"support+{keys.make_token(kind, ticket, event, party)}@desk.test"

    def agents_token(self, ticket: int, party: int, kind: str = "a") -> str:
        """The address an agent answers a ticket at."""
        event = self.ticket(ticket).last_event
        return f"support+{self.settings.keys.make_token(kind, ticket, event, party)}@desk.test"

    async def close(self) -> None:
        for listener in self._listening.values():
            await listener.stop(grace=0)
        self.database.close()


def signed(raw: bytes, domain: str, when: datetime = NOW, **how: Any) -> bytes:
    """The mail with the cast's signature."""
    return sign(raw, domain, t=int(when.timestamp()), key=f"rsa2048:{domain.partition('.')[0]}", **how)


def plain_mail(author: str, subject: str, text: str, number: int, when: datetime = NOW, extra: str = "") -> bytes:
    """A person's plain mail."""
    return (
        f"From: {author}\r\nTo: support@desk.test\r\nSubject: {subject}\r\n"
        f"Date: {when:%a, %d %b %Y %H:%M:%S +0000}\r\nMessage-ID: <past-{number}@{author.partition('@')[2]}>\r\n{extra}"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


async def make_past(desk: Desk) -> None:
    """The tickets of the cast, three days old: 4827 of ann, answered by agent_x, and 4828 of ben."""
    desk.now = PAST
    with desk.database.begin() as tx:
        rows = [
            {"party": party, "address": address, "name": "", "agent": "", "known": False}
            for party, address in CAST.items()
        ]
        tx.execute(sa.insert(persons), rows)
        tickets.ensure_agents(tx, desk.settings)
    for author, subject, number in ((ANN, "hello", 1), (BEN, "my order", 2)):
        domain = author.partition("@")[2]
        mail = plain_mail(author, subject, f"A question of {author.partition('@')[0]}.", number, PAST)
        await desk.send(signed(mail, domain, PAST))
    answer = plain_mail(AGENT_X, "Re: hello", "An answer to the question.", 3, PAST)
    await desk.send(signed(answer, "corp.test", PAST), recipient=desk.agents_token(ANNS, 1))
    assert [plan.outcome for plan in desk.plans] == ["new", "new", "answer"], desk.plans
    await desk.sent_all()


async def start_cage(settings: Settings) -> Cage:
    cage = Cage(settings.cage, cage_rules(settings))
    await cage.start()
    return cage


def copy_database(template: Path, folder: Path) -> Database:
    """A copy of a database file that nobody has open."""
    path = folder / "ticketgate.db"
    shutil.copy(template, path)
    return Database(f"sqlite:{path}")


def stored_keys(desk: Desk) -> int:
    return desk.look(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(replay_keys)).scalar())  # type: ignore[no-any-return]


__all__ = ["Desk", "Dns", "JournalState", "Sent", "copy_database", "desk_settings", "make_past", "start_cage", "timers"]
