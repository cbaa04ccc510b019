"""Rows fault-61 to fault-67: the wall clock of a running daemon is set; its loop is blocked."""

from __future__ import annotations

import asyncio
import signal
import smtplib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import pytest

from gateway.demo.mail_client import read_mail, reply_to, write_mail
from gateway.schedule import Job, start_schedule
from tests.faults.wallclock import WallClock
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink, smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

HOUR, TEN_YEARS = 3600.0, 3652 * 86400.0
JANE, ALICE, BOB, OPS = "jane@customer.test", "alice@corp.test", "bob@corp.test", "ops@corp.test"


class Gate(asyncio.Event):
    """Opened by another thread than the relay's."""

    is_open = False

    async def wait(self) -> Literal[True]:
        while not self.is_open:  # noqa: ASYNC110  another thread opens it
            await asyncio.sleep(0.02)
        return True


class Desk:
    """A daemon on a clock that is set, and the relay behind it."""

    def __init__(self, folder: Path, relay: Sink, resolver: str) -> None:
        folder.mkdir()
        self.relay, self.clock = relay, WallClock(folder)
        self.gateway = Gateway(folder / "desk", send_port=relay.port, resolver=resolver)

    def start(self, *, settle: str, retry: str, command: Sequence[str] = (), **tables: str) -> None:
        self.gateway.configure(
            {
                "ticketgate": f'admin = ["{OPS}"]\nclock_settle = "{settle}"',
                "send": f'host = "127.0.0.1"\nport = {self.relay.port}\ntls = "none"\nretry = ["{retry}"]',
                **tables,
            }
        )
        self.gateway.start(command=command, **self.clock.environment)

    def arrives(self, subject: str) -> None:
        raw = signed(write_mail(JANE, "Jane Doe", INBOX, subject, "It does not print.\n"), "customer.test")
        with smtplib.LMTP(str(self.gateway.socket), timeout=60) as client:
            client.sendmail(JANE, [INBOX], raw)

    def answers(self, offer: EmailMessage, text: str) -> None:
        mail = reply_to(offer, ALICE, "Alice Ahmed", text)
        with smtplib.LMTP(str(self.gateway.socket), timeout=60) as client:
            client.sendmail(ALICE, [mail["To"].addresses[0].addr_spec], signed(mail, "corp.test"))

    def to(self, address: str) -> list[EmailMessage]:
        return [read_mail(one.content) for one in self.relay.taken if f"<{address}>" in one.rcpt_to[0]]

    def subjects_to(self, address: str) -> list[str]:
        return [str(mail["Subject"]) for mail in self.to(address)]

    def comes_round(self) -> None:
        """Wait until every periodic job has run: the watchdog's, the slowest, twice."""
        seen = self.gateway.notified().count("WATCHDOG=1")
        self.gateway.wait_notified("WATCHDOG=1", times=seen + 2)

    def nothing_left_twice(self) -> None:
        copies = Counter((str(read_mail(one.content)["Message-ID"]), one.rcpt_to[0]) for one in self.relay.taken)
        assert set(copies.values()) == {1}


@pytest.fixture
def desk(tmp_path: Path, resolver: str) -> Iterator[Desk]:
    """Not started."""
    with in_background(smtp_sink()) as relay:
        found = Desk(tmp_path / "faults", relay, resolver)
        yield found
        print(found.gateway.log())
        found.gateway.kill()


def test_fault_61_an_hour_ahead_fires_once_what_is_due_by_the_new_time(desk: Desk) -> None:
    desk.start(settle="2s", retry="30m")
    desk.relay.faults["rcpt"] = ["451 4.3.0 busy"] * 3
    desk.arrives("Printer")
    wait_for(lambda: len(desk.gateway.rows("queue")) == 3 and not desk.relay.faults["rcpt"], "all three mails wait")
    desk.relay.gate = gate = Gate()
    desk.arrives("Scanner")
    wait_for(lambda: desk.relay.commands.count(".") > len(desk.relay.taken), "one more is in transmission")
    desk.clock.set(HOUR)
    desk.gateway.wait_notified("WATCHDOG=1", times=desk.gateway.notified().count("WATCHDOG=1") + 1)
    desk.relay.gate = None
    gate.is_open = True
    wait_for(lambda: len(desk.to(ALICE)) >= 4, "the retry, the new offer, and their reminders of half an hour")
    desk.gateway.settled()
    desk.comes_round()
    assert len(desk.to(ALICE)) == 4
    assert len(desk.to(JANE)) == 1
    assert desk.subjects_to(OPS)[0].endswith("the clock jumped")
    desk.nothing_left_twice()


def test_fault_62_an_hour_back_delays_nothing_for_an_hour(desk: Desk) -> None:
    desk.start(settle="2s", retry="4s")
    desk.relay.faults["rcpt"] = ["451 4.3.0 busy"] * 3
    desk.arrives("Printer")
    wait_for(lambda: not desk.relay.faults["rcpt"], "all three mails were refused")
    desk.clock.set(-HOUR)
    wait_for(lambda: len(desk.to(ALICE)) == 1 and len(desk.to(JANE)) == 1, "they are tried again, within the minute")
    desk.comes_round()  # or systemd would restart it
    desk.arrives("Scanner")
    wait_for(lambda: len(desk.to(ALICE)) == 2, "mail goes on")
    desk.gateway.settled()
    desk.nothing_left_twice()


def test_fault_63_ten_years_ahead_for_a_minute_do_nothing(desk: Desk) -> None:
    desk.start(settle="5m", retry="30m")
    desk.relay.faults["rcpt"] = ["451 4.3.0 busy"]
    desk.arrives("Printer")
    wait_for(lambda: desk.relay.faults["rcpt"] == [] and len(desk.relay.taken) == 2, "two arrive, one waits")
    desk.gateway.settled()
    desk.clock.set(TEN_YEARS)
    wait_for(lambda: desk.to(OPS), "the admins hear of it")
    desk.arrives("Scanner")
    wait_for(lambda: len(desk.relay.taken) == 5, "mail goes on: two offers")
    desk.comes_round()
    desk.clock.set(0.0)
    wait_for(lambda: len(desk.to(OPS)) == 2, "and that it is over")
    desk.comes_round()
    desk.gateway.settled()
    assert len(desk.relay.taken) == 6, "no reminder, no digest, no retry"
    (waiting,) = desk.gateway.rows("queue")
    assert waiting["state"] == "deferred" and "give" not in str(waiting["reply"])
    assert [event["kind"] for number in (1, 2) for event in desk.gateway.ticket(number)["events"]].count("mail") == 2
    assert b"It does not print." in desk.gateway.cli_raw("show", "1", "--raw", "1")
    assert {str(mail["Date"].datetime.year) for mail in desk.to(ALICE)} == {time.strftime("%Y")}
    desk.nothing_left_twice()


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((1.0, 0.5, 0.0, -1.0), id="fault-65, a leap second, also smeared"),
        pytest.param((30.0, 0.0, -30.0), id="fault-66, NTP"),
    ],
)
def test_fault_65_fault_66_a_small_step_inside_a_claim_changes_nothing(desk: Desk, steps: tuple[float, ...]) -> None:
    desk.start(settle="5m", retry="1s")
    for number, seconds in enumerate(steps, 1):
        desk.relay.gate = gate = Gate()
        desk.arrives(f"Printer {number}")
        wait_for(lambda: desk.relay.commands.count(".") > len(desk.relay.taken), "a mail is in transmission")
        desk.clock.set(seconds)
        desk.relay.gate = None
        gate.is_open = True
        wait_for(lambda number=number: len(desk.to(ALICE)) == number, "it arrives")
        before = len(desk.to(JANE))
        desk.answers(desk.to(ALICE)[-1], "Switch it off and on again.")
        wait_for(lambda before=before: len(desk.to(JANE)) > before, "tokens hold no time")
        desk.gateway.settled()
    assert desk.to(OPS) == []
    assert desk.gateway.rows("queue") == []
    desk.nothing_left_twice()


BLOCKED = """
import asyncio, signal, sys, time
from gateway.daemon import Daemon
from gateway.schedule import Job

def say(*words):
    print("test:", *words, time.monotonic(), flush=True)

def told(job):
    def run():
        say("run", job.name, job.seconds)
        return job.function()
    return Job(job.name, job.seconds, run)

def block():
    say("blocked")
    time.sleep(5)
    say("free")
    asyncio.get_running_loop().call_later(1.5, say, "later")

async def run(self, real=Daemon.run):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, block)
    await real(self)

Daemon._jobs = lambda self, real=Daemon._jobs: [told(job) for job in real(self)]
Daemon.run = run
from gateway.cli import main
sys.exit(main(sys.argv[sys.argv.index("gateway") + 1:]))
"""
"""A daemon that says when its jobs run, and in whose loop a call takes five seconds when it is told to."""


def test_fault_67_each_job_of_a_daemon_whose_loop_was_blocked_runs_once_after_it(desk: Desk) -> None:
    clocks = {"inbox.support.remind": 'unclaimed = ["6s", "30d"]'}
    command = [sys.executable, "-P", "-c", BLOCKED]
    desk.start(settle="5m", retry="3s", command=command, **clocks)
    desk.relay.faults["rcpt"] = ["451 4.3.0 busy"]
    desk.arrives("Printer")
    wait_for(lambda: not desk.relay.faults["rcpt"] and len(desk.relay.taken) == 2, "one waits for its retry")
    assert desk.gateway.process is not None
    desk.gateway.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: "test: blocked" in desk.gateway.log(), "the loop is blocked, past the retry and the reminder")
    desk.arrives("Scanner")  # its answer comes when the loop is free
    wait_for(lambda: len(desk.to(ALICE)) == len(desk.to(BOB)) == 4, "two offers and two reminders for each")
    desk.comes_round()
    desk.gateway.settled()
    assert [len(desk.to(who)) for who in (ALICE, BOB, JANE)] == [4, 4, 1]
    desk.nothing_left_twice()
    after = _runs_after_the_block(desk.gateway.log())
    due = {name for name, seconds, _ in after if seconds <= 5}  # their time came meanwhile
    assert due == {"intake", "outbox", "clock"}
    at_once = [name for name, _, _ in _runs_after_the_block(desk.gateway.log(), before="later")]
    assert due <= set(at_once) and len(at_once) == len(set(at_once)), "each ran once, and before any was due again"
    last: dict[str, float] = {}
    for name, seconds, at in after:
        assert at - last.get(name, 0.0) > seconds / 2, f"{name} ran once more for a time that had passed"
        last[name] = at


def _runs_after_the_block(log: str, before: str = "") -> list[tuple[str, float, float]]:
    """Name, interval and monotonic time of each."""
    lines = [line.split() for line in log.splitlines() if line.startswith("test: ")]
    free = next(n for n, words in enumerate(lines) if words[1] == "free")
    end = next((n for n, words in enumerate(lines) if words[1] == before), len(lines))
    return [(words[2], float(words[3]), float(words[4])) for words in lines[free:end] if words[1] == "run"]


async def comes(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  it looks at what the loop did
            await asyncio.sleep(0.01)


async def test_fault_67_after_a_blocked_loop_each_job_runs_once() -> None:
    runs: Counter[str] = Counter()
    schedule = start_schedule(Job(name, 0.5, lambda name=name: runs.update([name])) for name in ("one", "two", "three"))
    try:
        await comes(lambda: len(runs) == 3)
        before = Counter(runs)
        time.sleep(5)  # noqa: ASYNC251  what the row is about
        await comes(lambda: all(runs[name] > before[name] for name in runs))
        assert all(runs[name] == before[name] + 1 for name in runs)
    finally:
        schedule.stop()
