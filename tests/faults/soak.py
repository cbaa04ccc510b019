"""A desk that is busy for as long as one likes while its gateways are killed at random.

Postfix stands in front and spreads the mail over the gateways (one on SQLite, any number on one PostgreSQL), a relay
behind keeps every mail. Customers write and write again, agents answer, sometimes two of them the same mail, and are
reminded of what they leave alone. In the end everything is compared with what was sent and received (checker.py).
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.checker import Seen, check, marks
from tests.faults.desk import Sent
from tests.faults.people import People
from tests.faults.rows import connect, dump, find_waiting
from tests.support.databases import start_postgresql
from tests.support.dns_server import running_dns
from tests.support.gateway import Gateway, in_background, published_zone
from tests.support.postfix import PostfixServer
from tests.support.real import need
from tests.support.smtp_sink import Sink, smtp_sink

BACKLOG = 60
"""No new matter while so many mails wait at Postfix."""
PATIENCE = 180.0
"""Seconds for a gateway to start, and in the end for one thing less to wait than ever before: no measure of speed."""
STEPS = ("5s", "10s")
"""When agents are reminded of a customer who waits."""
SOON = 15.0
"""At rest nothing is due within so many seconds: every reminder of STEPS was sent."""

Table = dict[str, list[dict[str, Any]]]


@dataclass
class Played:
    """What a soak came to."""

    seed: int
    seconds: float
    kills: int = 0
    restarts: int = 0
    pauses: int = 0
    mails: list[Sent] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    put_off: Counter[str] = field(default_factory=Counter)
    """Why Postfix kept a mail for a while: each attempt that came to nothing."""
    taken: int = 0
    reminders: int = 0

    def __str__(self) -> str:
        verdict = f"{len(self.violations)} violations" if self.violations else "nothing lost, nothing doubled"
        return (
            f"seed {self.seed}: {self.seconds:.0f} s, {len(self.mails)} mails in, {self.taken} out, {self.kills} kills,"
            f" {self.restarts} restarts, {self.pauses} pauses, {self.reminders} reminders; deliveries"
            f" {dict(self.states)}; put off by Postfix {dict(self.put_off)}; {verdict}"
        )


class Soak:
    """Gateways on one database with everything around them; ``play`` it once."""

    def __init__(self, folder: Path, storage: str, gateways: int, seed: int, calm: float = 5.0) -> None:
        """``calm``: at most so many seconds pass between two deaths."""
        self._folder, self._seed, self._count, self._calm = folder, seed, gateways, calm
        self._storage = storage or f"sqlite:{folder}/shared.db"
        self.gateways: list[Gateway] = []

    def play(self, seconds: float, rate: float = 6.0, say: Callable[[str], None] = lambda line: None) -> Played:
        """Kill and write for so long, then come to rest and compare. ``rate``: new matters a second, at most."""
        played = Played(self._seed, seconds)
        with ExitStack() as stack:
            dns = stack.enter_context(in_background(running_dns(published_zone())))
            sink = stack.enter_context(in_background(smtp_sink()))
            self._make_gateways(sink.port, dns.address)
            places = ", ".join(f"ticketgate:unix:{gateway.socket}" for gateway in self.gateways)
            postfix = PostfixServer(self._folder, {"transport_maps": f"randmap:{{{places}}}"})
            stack.enter_context(postfix)
            for gateway in self.gateways:
                stack.callback(gateway.kill)
                self._start(gateway)  # the first one makes the keys that all have
            people = People(postfix, sink, random.Random(self._seed))
            self._disturb(people, postfix, seconds, rate, say, played)
            restless, rows = self._rest(postfix, sink, played)
            self._compare(played, people, sink, postfix, restless, rows)
            for gateway in self.gateways:
                self._end(gateway, played)
            played.violations += self._verify()
        return played

    def _make_gateways(self, port: int, resolver: str) -> None:
        send = f'host = "127.0.0.1"\nport = {port}\ntls = "none"\nretry = ["1s", "2s"]\nautomatic_per_hour = 1000000'
        steps = ", ".join(f'"{step}"' for step in STEPS)
        remind = f"unclaimed = [{steps}]\nunanswered = [{steps}]"
        for number in range(self._count):
            self.gateways.append(
                Gateway(
                    self._folder / f"g{number}",
                    send_port=port,
                    resolver=resolver,
                    storage=self._storage,
                    tables={"ack": "per_hour = 1000000", "send": send, "inbox.support.remind": remind},
                )
            )
        for gateway in self.gateways[1:]:  # one installation: the same keys
            for key in ("token.key", "seal.key"):
                (gateway.folder / key).unlink(missing_ok=True)
                (gateway.folder / key).symlink_to(self.gateways[0].folder / key)

    # -------------------------------------------------------------- life and death

    def _disturb(
        self,
        people: People,
        postfix: PostfixServer,
        seconds: float,
        rate: float,
        say: Callable[[str], None],
        played: Played,
    ) -> None:
        over, ends = threading.Event(), time.monotonic() + seconds
        with ThreadPoolExecutor(1) as pool:
            living = pool.submit(_live, people, postfix, ends, rate, over, say)
            try:
                # Here and not in a thread of its own: a daemon dies with the thread that started it
                # (tests/support/gateway.py), and after the last death all have to live until everything is done.
                self._harm(living, ends, random.Random(self._seed + 1), played)
            finally:
                over.set()
            living.result()

    def _harm(self, living: Future[None], ends: float, chance: random.Random, played: Played) -> None:
        """Kill, end in order, or stop for a while. The first deed is a death: the shortest soak has one."""
        while time.monotonic() < ends and not living.done():
            time.sleep(chance.uniform(0.3, self._calm))
            self._look_for_dead(played)
            gateway = chance.choice(self.gateways)
            dice = chance.random() if played.kills else 0.0
            if dice < 0.7:
                self._kill(gateway, chance, played)
            elif dice < 0.85:
                self._note(gateway, "restart")
                played.restarts += 1
                self._end(gateway, played)
                self._start(gateway)
            else:
                self._note(gateway, "pause")
                played.pauses += 1
                gateway.signal(signal.SIGSTOP)
                time.sleep(chance.uniform(0.5, 4.0))
                gateway.signal(signal.SIGCONT)

    def _kill(self, gateway: Gateway, chance: random.Random, played: Played) -> None:
        self._note(gateway, "kill")
        played.kills += 1
        gateway.kill()
        time.sleep(chance.choice((0.0, 0.5, 3.0)))
        if chance.random() < 0.3:  # killed again before it is ready
            gateway.launch()
            time.sleep(chance.uniform(0.2, 1.5))
            self._note(gateway, "kill again")
            played.kills += 1
            gateway.kill()
        self._start(gateway)

    def _start(self, gateway: Gateway) -> None:
        try:
            gateway.start(patience=PATIENCE, PYTHONFAULTHANDLER="1")
        except AssertionError as error:
            if gateway.process is not None:  # where all its threads are, into its log
                gateway.signal(signal.SIGABRT)
                with suppress(subprocess.TimeoutExpired):
                    gateway.process.wait(10)
            raise AssertionError(f"{error}\n{gateway.log()}") from None

    def _end(self, gateway: Gateway, played: Played) -> None:
        try:
            code = gateway.stop()
        except AssertionError:  # it was killed then
            code = -signal.SIGKILL
        if code:
            played.violations.append(f"I5: {gateway.folder.name} ended with {code} when it was told to end")

    def _look_for_dead(self, played: Played) -> None:
        """A daemon ends when it is killed or told to, never by itself."""
        for gateway in self.gateways:
            code = gateway.process.poll() if gateway.process is not None else None
            if code is not None:
                played.violations.append(f"I5: {gateway.folder.name} ended by itself with {code}")
                self._note(gateway, "found dead")
                gateway.kill()
                self._start(gateway)

    def _note(self, gateway: Gateway, deed: str) -> None:
        with (self._folder / "deeds.log").open("a") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {deed} {gateway.folder.name}\n")

    # -------------------------------------------------------------- rest, and what it came to

    def _rest(self, postfix: PostfixServer, sink: Sink, played: Played) -> tuple[str, Table]:
        """Wait until nothing waits and nothing is due soon; what is not at rest then, and the rows."""
        database, least, ends, flushed = connect(self._storage), sys.maxsize, 0.0, 0.0
        while True:
            self._look_for_dead(played)
            before, left = len(sink.taken), [_describe(mail) for mail in postfix.queue()]
            if left and time.monotonic() > flushed + 3:
                postfix.flush()
                flushed = time.monotonic()
            left += find_waiting(database, within=SOON)
            if len(left) < least:
                least, ends = len(left), time.monotonic() + PATIENCE
            over = time.monotonic() > ends
            if over or not left:
                rows = dump(database)
                # Else something came while they were read: a mail that is taken and not yet called sent.
                if not left and len(sink.taken) == before and not find_waiting(database):
                    return "", rows
                if over:
                    why = [f"not at rest, and for {PATIENCE:.0f} s nothing was done:", *left, *self._alive(database)]
                    return "\n  ".join(why), rows
            time.sleep(0.3)

    def _alive(self, database: Any) -> list[str]:
        names = ", ".join(row["name"] for row in database.ask("SELECT name FROM gateways ORDER BY 1"))
        (unsealed,) = database.ask("SELECT count(*) AS n FROM unsealed")
        processes = [
            f"{one.folder.name}: process {one.process and one.process.pid}, exit {one.process and one.process.poll()}"
            for one in self.gateways
        ]
        return [*processes, f"gateways in the table: {names}", f"{unsealed['n']} rows wait for their seal"]

    def _compare(
        self, played: Played, people: People, sink: Sink, postfix: PostfixServer, restless: str, rows: Table
    ) -> None:
        # Postfix writes its own fields on top: the mail is known again by what stands below them.
        arrived = {bytes(row["content"]): row["sha256"] for row in rows["raw"]}
        seen = Seen(
            mails=[],
            acknowledged=Counter(),
            refusals=[],
            taken=list(sink.taken),
            rows=rows,
            kills=played.kills + played.restarts,
            restless=restless,
        )
        played.violations += _every_mail_once(people.sent, list(arrived), rows["journal"], arrived)
        played.violations += check(seen, None, people.public)
        played.violations += _one_answer_each(people, rows["events"])
        played.violations += every_reminder_once(rows, bool(restless))
        played.violations += [f"I7: {line}" for line in postfix.log().splitlines() if "status=bounced" in line]
        played.mails, played.taken = people.sent, len(sink.taken)
        played.states = Counter(row["state"] for row in rows["deliveries"])
        played.reminders = sum(event["kind"] == "reminder" for event in rows["events"])
        played.put_off = Counter(map(_why, re.findall(r"status=deferred \((.*)\)", postfix.log())))

    def _verify(self) -> list[str]:
        """What the operator's own proof says of the record."""
        command = [*Gateway.command("verify"), "-c", str(self.gateways[0].configuration)]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=600, check=False)
        return [] if done.returncode == 0 else [f"the record: {done.stdout[-2000:]}{done.stderr[-2000:]}"]


def _live(
    people: People,
    postfix: PostfixServer,
    ends: float,
    rate: float,
    over: threading.Event,
    say: Callable[[str], None],
) -> None:
    minute = time.monotonic() + 60
    while time.monotonic() < ends and not over.is_set():
        if len(postfix.queue()) < BACKLOG:
            people.write()
        people.read()
        time.sleep(1 / rate)
        if time.monotonic() > minute:
            minute += 60
            say(f"{len(people.sent)} mails sent, {len(postfix.queue())} wait")


def _describe(mail: dict[str, Any]) -> str:
    why = "; ".join(one.get("delay_reason", "never tried") for one in mail["recipients"])
    return f"Postfix: {mail['queue_id']} {mail['queue_name']} since {time.time() - mail['arrival_time']:.0f} s: {why}"


def _why(reason: str) -> str:
    """A reason to put off by its kind: what the gateway said, or what became of the connection."""
    said = re.search(r"said: (\d{3} \d\.\d+\.\d+)", reason)
    return said[1] if said else re.sub(r" with \S+\]|\s*\(.*", "", reason).rpartition(": ")[2]


def _every_mail_once(
    sent: list[Sent], raws: list[bytes], journal: list[dict[str, object]], keys: dict[bytes, str]
) -> list[str]:
    """Each mail that Postfix took has one row. Postfix may deliver twice when the answer to the first was lost."""
    of_mail: dict[bytes, list[str]] = {}
    for raw in raws:
        start = raw.find(b"DKIM-Signature:")
        of_mail.setdefault(raw[max(start, 0) :], []).append(keys[raw])
    rows = Counter(row["sha256"] for row in journal)
    found = []
    for mail in sent:
        arrivals = of_mail.get(mail.raw, [])
        if len(arrivals) != 1 or rows[arrivals[0]] != 1:
            found.append(f"I1: {mail.name} has {len(arrivals)} contents and {[rows[one] for one in arrivals]} rows")
    return found


def _one_answer_each(people: People, events: list[dict[str, object]]) -> list[str]:
    """What was written once stands once in the history, as mail or as answer."""
    counted: Counter[str] = Counter()
    for event in events:
        if event["kind"] in ("mail", "answer"):
            counted.update(marks(str(event["text"])))
    paired = {mark for pair in people.pairs for mark in pair}
    found = [
        f"I2: the words {mark} stand {counted[mark[4:-3]]} times in the history"
        for mark in people.public
        if mark not in paired and counted[mark[4:-3]] != 1
    ]
    for pair in people.pairs:
        times = [counted[mark[4:-3]] for mark in pair]
        if sorted(times) != [0, 1]:
            found.append(f"I2: two agents answered the same mail, {pair} stand {times} times in the history")
    return found


def every_reminder_once(rows: Table, restless: bool) -> list[str]:
    """Between two words of anybody each step of the clock comes once at most; all have come where somebody waits."""
    found = []
    reminded: Counter[int] = Counter()
    for event in sorted(rows["events"], key=lambda event: (event["ticket"], event["number"])):
        ticket = event["ticket"]
        if event["kind"] in ("mail", "answer"):
            reminded[ticket] = 0
        elif event["kind"] == "reminder":
            reminded[ticket] += 1
            if reminded[ticket] == len(STEPS) + 1:
                found.append(f"I2: a timer of ticket {ticket} was carried out twice: event {event['number']}")
    for row in rows["tickets"]:
        times = reminded[row["number"]]
        if row["state"] in ("new", "open") and times < len(STEPS) and not restless:
            found.append(f"I6: ticket {row['number']} waits and had {times} reminders of {len(STEPS)}")
    return found


# ------------------------------------------------------------------ make soak


def _keep(folder: Path, storage: str) -> None:
    """What is needed to find out: logs, mail queue and database stay."""
    if storage:
        file = ["-Fc", "-f", str(folder / "postgresql.dump")]
        subprocess.run([need("pg_dump")["pg_dump"], *file, storage], check=False)
    print(f"everything is kept in {folder}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--rate", type=float, default=6.0, help="new matters a second")
    parser.add_argument("--calm", type=float, default=5.0, help="at most so many seconds between two deaths")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # or Postfix and PostgreSQL would stay
    folder = Path(tempfile.mkdtemp(prefix="tg-soak-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        storage, count = "", 1
        if chosen.database == "postgresql":
            storage, count = stack.enter_context(start_postgresql()).create_database(), chosen.gateways
        soak = Soak(folder, storage, count, chosen.seed, chosen.calm)
        kept = stack.enter_context(ExitStack())
        kept.callback(_keep, folder, storage)  # also when it does not come to its end
        played = soak.play(chosen.minutes * 60, chosen.rate, lambda line: print(line, flush=True))
        for violation in played.violations:
            print(violation)
        if not played.violations:
            kept.pop_all()
            shutil.rmtree(folder)
    print(f"{chosen.database}, {count} gateways, {played}")
    return bool(played.violations)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
