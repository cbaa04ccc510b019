"""Rows fault-34 to fault-38: name servers that are silent, wrong or dead."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.policy import SMTP
from pathlib import Path

import pytest

from gateway.demo.mail_client import write_mail
from gateway.model import DnsAnswer
from gateway.resolver import Resolver
from gateway.store import journal
from gateway.store.database import Database
from tests.faults.wallclock import WallClock
from tests.support.dns_server import DnsServer, running_dns
from tests.support.gateway import Gateway, in_background, published_zone, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

JANE, NOBODY = "jane@customer.test", "joe@nowhere.test"
MINUTE = 60.0
system = pytest.mark.system
pytestmark = pytest.mark.timeout(300)


@dataclass
class DeadServer(DnsServer):
    """Answers nothing while ``dead``, nothing over TCP where ``tcp`` is off."""

    dead: bool = False
    tcp: bool = True

    def answer(self, packet: bytes, tcp: bool) -> bytes | None:
        return None if self.dead or (tcp and not self.tcp) else super().answer(packet, tcp)


@pytest.fixture
def dns() -> Iterator[DeadServer]:
    with in_background(running_dns(DeadServer(published_zone().zone))) as running:
        assert isinstance(running, DeadServer)
        yield running


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    folder = tmp_path / "clock"
    folder.mkdir()
    return WallClock(folder)


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, dns: DeadServer, clock: WallClock) -> Iterator[Gateway]:
    """Started, on a clock that is believed at once."""
    tables = {"ticketgate": 'clock_settle = "1s"', "cage": "children = 1"}
    gateway = Gateway(tmp_path / "desk", send_port=sink.port, resolver=dns.address, tables=tables)
    gateway.start(**clock.environment)
    yield gateway
    print(gateway.log())
    gateway.kill()


def deliver(desk: Gateway, author: str, subject: str, text: str = "It does not print.\n") -> bytes:
    mail = write_mail(author, "Jane Doe", INBOX, subject, text)
    raw = signed(mail, "customer.test") if author == JANE else mail.as_bytes(policy=SMTP)
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail(author, [INBOX], raw)
    return raw


def subjects(desk: Gateway) -> list[str]:
    return sorted(row["subject"] for row in desk.rows("tickets", "--all"))


def states(desk: Gateway) -> dict[str, int]:
    store = Database(desk.storage)
    try:
        with store.begin() as tx:
            return dict(journal.count_states(tx))
    finally:
        store.close()


# ------------------------------------------------------------------ DNS


@system
@pytest.mark.parametrize("fault", [pytest.param("silent", id="fault-34"), pytest.param("SERVFAIL", id="fault-35")])
def test_fault_34_fault_35_without_an_answer_a_mail_waits_and_is_filed_when_there_is_one(
    desk: Gateway, dns: DeadServer, clock: WallClock, fault: str
) -> None:
    dns.faults |= {"s1._domainkey.customer.test": fault, "_dmarc.customer.test": fault}
    deliver(desk, JANE, "Printer")
    wait_for(lambda: states(desk).get("waiting") == 1, "it waits, and is not refused")
    deliver(desk, NOBODY, "Scanner")
    wait_for(lambda: subjects(desk) == ["Scanner"], "other domains are unaffected")
    assert desk.rows("held") == []
    dns.faults.clear()
    clock.set(2 * MINUTE)
    wait_for(lambda: subjects(desk) == ["Printer", "Scanner"], "it is filed by itself")
    assert "dkim=pass" in desk.cli("explain", "2.1")


async def test_fault_36_a_truncated_answer_is_fetched_over_tcp_or_counts_as_failed() -> None:
    text = " ".join(f'"{n}{"x" * 200}"' for n in range(8))
    server = DeadServer({("big.a.test", "TXT"): [f"big.a.test. 0 IN TXT {text}"]})
    async with running_dns(server):
        resolver = Resolver([server.address])
        answers = await resolver.resolve(["TXT big.a.test"])
        assert answers["TXT big.a.test"].status == "found"
        assert server.over_tcp["TXT big.a.test"] == 1
        await resolver.close()
        server.tcp = False
        resolver = Resolver([server.address])
        answers = await resolver.resolve(["TXT big.a.test"], within=3)
        assert answers["TXT big.a.test"] == DnsAnswer("failed"), "and so its mail waits"
        await resolver.close()


async def test_fault_37_absence_is_believed_as_long_as_its_zone_says_and_five_minutes_at_most() -> None:
    ticks = [1000.0]
    known = {("there.a.test", "TXT"): ['there.a.test. 60 IN TXT "x"']}
    server = DeadServer({})
    async with running_dns(server):
        resolver = Resolver([server.address], lambda: ticks[0])
        found = []
        for zone in ({}, known, {}, known):
            server.zone = zone
            found.append((await resolver.resolve(["TXT there.a.test"]))["TXT there.a.test"].status)
            ticks[0] += 301
        await resolver.close()
    assert found == ["absent", "found", "absent", "found"], "each answer is what was said then"


@system
def test_fault_38_mail_is_taken_while_no_resolver_answers_and_held_after_four_hours(
    desk: Gateway, dns: DeadServer, clock: WallClock
) -> None:
    dns.dead = True
    began = time.monotonic()
    for number in range(10):
        deliver(desk, JANE, f"Printer {number}")
    assert time.monotonic() - began < 60
    wait_for(lambda: states(desk).get("waiting") == 10, "all of them wait", patience=120)
    clock.set(245 * MINUTE)
    wait_for(lambda: len(desk.rows("held")) == 10, "after four hours they are held", patience=120)
    assert {row["reason"] for row in desk.rows("held")} == {"auth-temperror"}
    dns.dead = False
    clock.set(310 * MINUTE)
    wait_for(lambda: len(subjects(desk)) == 10, "and filed by themselves when DNS is back", patience=120)
