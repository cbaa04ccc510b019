"""The intake worker with a real database and real readers; only the world's DNS is ours to slow down."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr

import sqlalchemy as sa

from gateway.analysis.cage import Cage
from gateway.analysis.reading_rules import Rules, rules_of
from gateway.model import DnsAnswer, Envelope
from gateway.receive import Receiver
from gateway.reference import Keys
from gateway.settings import Agent, Inbox, Settings
from gateway.settings import Cage as CageSettings
from gateway.store import tickets
from gateway.store.database import Database
from gateway.store.schema import deliveries
from gateway.store.schema import journal as rows
from gateway.workers import CLAIM, IN_FLIGHT, Intake

SETTINGS = Settings(
    inbox={"support": Inbox(handle="support", name="Desk", address="support@desk.test", agents=("alice",))},
    agents={"alice": Agent(handle="alice", name="Alice", address="alice@desk.test", authentication="token")},
    keys=Keys("k", {"k": b"k" * 32}),
)


class SlowDns:
    """Answers that everything is absent; what concerns slow.test only when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()

    async def resolve(self, keys: Iterable[str], within: float = 5.0) -> dict[str, DnsAnswer]:
        asked = list(keys)
        if any("slow.test" in key for key in asked):
            self.asked.set()
            await self.gate.wait()
        return {key: DnsAnswer("absent") for key in asked}


class Desk:
    """A running intake and what it asked the database."""

    def __init__(self, database: Database, dns: SlowDns, cage: Cage) -> None:
        self.database, self.dns = database, dns
        self.intake = Intake(database, cage, dns, lambda: SETTINGS, "here")
        self.receiver = Receiver(database, wake=self.intake.worker.wake)
        self.claims = 0
        sa.event.listen(database._engine, "before_cursor_execute", self._see)

    def _see(self, _c: object, _cursor: object, statement: str, *_rest: object) -> None:
        self.claims += (
            statement.startswith("UPDATE journal") and "lease_owner" in statement and "RETURNING" in statement
        )

    async def write(self, domain: str, number: int = 0) -> int:
        header = f"From: Jane <jane{number}@{domain}>\r\nTo: support@desk.test\r\nSubject: {number}\r\n"
        return await self.arrive(f"{header}\r\nHello {number}\r\n", f"jane@{domain}")

    async def arrive(self, raw: str, reverse_path: str, recipient: str = "support@desk.test") -> int:
        envelope = Envelope(
            reverse_path=reverse_path,
            recipient=recipient,
            inbox="support",
            source="lmtp",
            received_at=datetime.now(UTC),
            client_address="192.0.2.1",
        )
        return (await self.receiver.receive(envelope, raw.encode())).journal_id

    async def mails_to(self, recipient: str) -> list[EmailMessage]:
        """What was written to somebody, oldest first."""
        wanted = sa.select(deliveries.c.content).where(deliveries.c.recipient == recipient).order_by(deliveries.c.id)
        found = await self.database.read(lambda tx: tx.execute(wanted).scalars().all())
        return [email.message_from_bytes(one, policy=email.policy.default) for one in found]  # type: ignore[misc]

    async def states(self) -> dict[int, str]:
        wanted = sa.select(rows.c.id, rows.c.state)
        return {row.id: row.state for row in await self.database.read(lambda tx: tx.execute(wanted).all())}

    async def until_applied(self, *ids: int) -> None:
        async with asyncio.timeout(60):
            while not await self._are_applied(ids):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def until_claimed(self, number: int) -> None:
        claimed = sa.select(sa.func.count()).where(rows.c.attempts > 0)
        async with asyncio.timeout(60):
            while await self.database.read(lambda tx: tx.execute(claimed).scalar()) != number:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _are_applied(self, ids: tuple[int, ...]) -> bool:
        states = await self.states()
        return all(states.get(one) == "applied" for one in ids)


@asynccontextmanager
async def desk(database: Database) -> AsyncIterator[Desk]:
    with database.begin() as tx:
        tickets.ensure_agents(tx, SETTINGS)
    rules = Rules(authentication=rules_of(SETTINGS), own_addresses=frozenset({"support@desk.test"}))
    cage = Cage(CageSettings(children=1), rules)
    await cage.start()
    here = Desk(database, SlowDns(), cage)
    running = asyncio.create_task(here.intake.worker.run())
    try:
        yield here
    finally:
        here.dns.gate.set()
        here.intake.worker.stop()
        await running
        await here.intake.drain()
        await cage.close()


async def test_a_new_mail_does_not_wait_for_one_whose_dns_is_slow(sqlite_database: Database) -> None:
    async with desk(sqlite_database) as here:
        slow = await here.write("slow.test")
        await here.dns.asked.wait()
        quick = await here.write("quick.test")
        await here.until_applied(quick)
        assert (await here.states())[slow] == "received"
        here.dns.gate.set()
        await here.until_applied(slow)


async def test_mail_that_lands_asks_for_no_claim_when_nothing_new_is_there(sqlite_database: Database) -> None:
    async with desk(sqlite_database) as here:
        ids = [await here.write("slow.test", number) for number in range(CLAIM - 1)]
        await here.until_claimed(len(ids))
        before = here.claims
        here.dns.gate.set()
        await here.until_applied(*ids)
        assert here.claims - before <= 2  # of fifteen that landed: the last rings may still have been on their way


async def test_mail_beyond_what_is_in_flight_is_taken_when_there_is_room_again(sqlite_database: Database) -> None:
    async with desk(sqlite_database) as here:
        ids = [await here.write("slow.test", number) for number in range(IN_FLIGHT + 2 * CLAIM)]
        await here.dns.asked.wait()
        here.dns.gate.set()
        await here.until_applied(*ids)


def files_of(mail: EmailMessage) -> dict[str | None, bytes | None]:
    return {part.get_filename(): part.get_payload(decode=True) for part in mail.iter_attachments()}  # type: ignore[misc]


async def test_files_that_an_agent_asks_for_are_taken_out_of_the_mail_again(sqlite_database: Database) -> None:
    async with desk(sqlite_database) as here:
        parts = (
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nSee the list.\r\n--x\r\nContent-Disposition: "
        )
        first = f'{parts}attachment; filename="list.csv"\r\nContent-Type: text/csv\r\n\r\na;b\r\n--x--\r\n'
        head = "From: Jane <jane@quick.test>\r\nTo: support@desk.test\r\nSubject: List\r\nMIME-Version: 1.0\r\n"
        await here.until_applied(await here.arrive(head + first, "jane@quick.test"))
        offer = (await here.mails_to("alice@desk.test"))[0]
        to = parseaddr(offer["Reply-To"])[1]
        head = f"From: alice@desk.test\r\nTo: {to}\r\nSubject: Re: List\r\n\r\n"
        await here.until_applied(await here.arrive(f"{head}#show files\r\n", "alice@desk.test", to))
        assert files_of((await here.mails_to("alice@desk.test"))[-1]) == {"list.csv": b"a;b"}
