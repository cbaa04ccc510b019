"""kill -9 at any moment: what was answered 250 is there, once, byte by byte, and nobody is written to twice."""

from __future__ import annotations

import random
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.demo.mail_client import write_mail
from gateway.store import raw_mail
from gateway.store.database import Database
from gateway.store.schema import deliveries
from gateway.store.schema import journal as journal_table
from tests.support.databases import SQLITE_AND_POSTGRESQL, PostgresServer
from tests.support.gateway import Gateway, in_background
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink, smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MAILS = 240
KILLS = 10
SENDERS = 3
CONNECTIONS = 2
"""[send] max_connections, as it is by default."""


@dataclass
class Mta:
    """A mail server that delivers a queue over LMTP as Postfix does: what was not answered 250 is sent again."""

    gateway: Gateway
    queue: list[bytes] = field(default_factory=list)
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    """Mail -> how often it was answered 250: more than once only when an answer was lost on its way."""
    attempts: int = 0
    closed: bool = False
    """Nothing more will be queued."""
    refusals: list[str] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Deliver whatever is queued, over connections that break at any time, until nothing more will come."""
        while self.queue or not self.closed:
            with suppress(OSError, smtplib.SMTPException), smtplib.LMTP(str(self.gateway.socket), timeout=30) as client:
                client.ehlo("mta.test")
                while self._one(client):
                    pass
            time.sleep(0.02)

    def _one(self, client: smtplib.LMTP) -> bool:
        with self._turn:
            if not self.queue:
                return False
            raw = self.queue.pop(0)
            self.attempts += 1
        done = False
        try:
            code, text = self._transact(client, raw)
            done = code == 250
            if code >= 500:
                self.refusals.append(f"{code} {text!r}")
        finally:
            with self._turn:
                if done:
                    self.acknowledged[raw] = self.acknowledged.get(raw, 0) + 1
                else:
                    self.queue.append(raw)
        return True

    @staticmethod
    def _transact(client: smtplib.LMTP, raw: bytes) -> tuple[int, bytes]:
        author = BytesHeaderParser().parsebytes(raw)["From"].partition("<")[2].rstrip(">")
        for answer in (client.mail(author), client.rcpt(INBOX)):
            if answer[0] != 250:
                client.rset()
                return answer
        return client.data(raw)


def make_mails(count: int) -> list[bytes]:
    """Mails of as many customers, signed; a few of them long."""
    mails = []
    for number in range(count):
        text = f"Order {number} did not arrive.\n" + f"{number} and so on and so on.\n" * (0 if number % 10 else 4000)
        mail = write_mail(f"c{number}@customer.test", f"Customer {number}", INBOX, f"Order {number}", text)
        mails.append(signed(mail, "customer.test"))
    return mails


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def crashing(request: pytest.FixtureRequest, tmp_path: Path, resolver: str) -> Iterator[tuple[Gateway, Sink]]:
    """A gateway whose outgoing mail goes to a sink that remembers all of it."""
    storage = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        storage = server.create_database()
    with in_background(smtp_sink()) as sink:
        send = f'host = "127.0.0.1"\nport = {sink.port}\ntls = "none"\nautomatic_per_hour = 100000'
        tables = {"ack": "per_hour = 100000", "send": send}
        gateway = Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver, storage=storage, tables=tables)
        with gateway:
            yield gateway, sink


def test_what_was_acknowledged_is_there_once_and_nobody_is_written_to_twice(crashing: tuple[Gateway, Sink]) -> None:
    gateway, sink = crashing
    mails = make_mails(MAILS)
    mta = Mta(gateway)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    kill_at_random(gateway, mta, sink, mails, random.Random(seed))
    assert not mta.refusals, "a failure of ours was answered as if it were permanent"
    assert set(mta.acknowledged) == set(mails)
    gateway.settled(180)

    stored = Counter(stored_mails(gateway.storage))
    assert stored == Counter(mails), "not exactly the mails that were acknowledged"
    tickets = gateway.rows("tickets", "--all")
    assert Counter(row["customer"] for row in tickets) == Counter(f"c{n}@customer.test" for n in range(MAILS))
    assert_nobody_is_written_to_twice(sink)
    ended = Counter(states(gateway.storage))
    # An automatic mail whose transmission was cut short is never sent again. Only those on a connection may be.
    assert ended["unknown"] <= KILLS * CONNECTIONS, ended
    assert ended["sent"] + ended["unknown"] == ended.total(), ended
    print(f"{MAILS} mails in {mta.attempts} attempts, {len(sink.taken)} mails sent: {dict(ended)}")


def kill_at_random(gateway: Gateway, mta: Mta, sink: Sink, mails: list[bytes], chance: random.Random) -> None:
    """Let mail flow in portions and kill the daemon in each: while it takes mail, decides, sends, or starts."""
    threads = [threading.Thread(target=mta.run, daemon=True) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    portion = MAILS // KILLS
    for kill in range(KILLS):
        answered, left = len(mta.acknowledged), len(sink.taken)
        mta.queue += mails[kill * portion : (kill + 1) * portion]
        if kill % 3 == 0:
            reach(lambda: len(mta.acknowledged), answered + chance.randrange(1, portion))
        elif kill % 3 == 1:
            reach(lambda: len(sink.taken), left + chance.randrange(1, 2 * portion))
        time.sleep(chance.uniform(0, 0.02 if kill % 3 else 0.2))
        gateway.kill()
        if kill % 3 == 1:  # the next kill comes before it is ready: what a start repairs may be repaired twice
            gateway.launch()
            time.sleep(chance.uniform(0.2, 1.5))
        else:
            gateway.start()
    mta.closed = True
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), f"{len(mta.queue)} mails could not be delivered"


def reach(count: Callable[[], int], wanted: int) -> None:
    """Wait until so much has happened, or for so long that nothing more will."""
    ends = time.monotonic() + 10
    while count() < wanted and time.monotonic() < ends:
        time.sleep(0.001)


def stored_mails(storage: str) -> Iterator[bytes]:
    """The bytes behind every journal row."""
    database = Database(storage)
    try:
        with database.begin() as tx:
            for sha256 in tx.execute(sa.select(journal_table.c.sha256)).scalars().all():
                raw = raw_mail.load(tx, sha256)
                assert raw is not None
                yield raw
    finally:
        database.close()


def states(storage: str) -> list[str]:
    """How every delivery ended."""
    database = Database(storage)
    try:
        with database.begin() as tx:
            return [str(state) for state in tx.execute(sa.select(deliveries.c.state)).scalars()]
    finally:
        database.close()


def assert_nobody_is_written_to_twice(sink: Sink) -> None:
    """No mail to a customer or an agent left twice, and no two mails to anybody are about the same."""
    headers = [(taken, BytesHeaderParser().parsebytes(taken.content)) for taken in sink.taken]
    ids = Counter(header["Message-ID"] for _, header in headers)
    assert max(ids.values()) == 1, [one for one, times in ids.items() if times > 1]
    to_customers = Counter(taken.rcpt_to[0] for taken in sink.taken if "customer.test" in taken.rcpt_to[0])
    assert max(to_customers.values()) == 1
    offers = Counter((taken.rcpt_to[0], header["X-Ticket"]) for taken, header in headers if header["X-Ticket"])
    assert max(offers.values()) == 1
