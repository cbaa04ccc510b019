"""A desk that is busy for as long as one likes while its gateways are killed at random.

Postfix stands in front and spreads the mail over the gateways (one on SQLite, any number on one PostgreSQL), a relay
behind keeps every mail. Customers write and write again, agents answer, sometimes two of them the same mail. In the
end everything is compared with what was sent and received (checker.py).
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from gateway.demo.mail_client import read_mail, reply_to, text_of, write_mail
from tests.faults.checker import check, marks
from tests.faults.desk import Seen, Sent
from tests.faults.rows import connect, dump, is_at_rest
from tests.support.databases import start_postgresql
from tests.support.dns_server import running_dns
from tests.support.gateway import Gateway, in_background, published_zone
from tests.support.postfix import PostfixServer
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink, smtp_sink

AGENTS = {"alice@corp.test": "Alice Ahmed", "bob@corp.test": "Bob Smith"}
ALONE, BOTH, AGAIN = 0.5, 0.1, 0.4
"""How likely an offer is answered by one agent, by both, and an answer by its customer."""
BACKLOG = 60
"""No new matter while so many mails wait at Postfix."""


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
    taken: int = 0

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.seconds:.0f} s, {len(self.mails)} mails in, {self.taken} out, {self.kills} kills,"
            f" {self.restarts} restarts, {self.pauses} pauses; deliveries {dict(self.states)};"
            f" {len(self.violations)} violations"
        )


class People:
    """Customers and agents, who read what the relay behind the desk took and write through Postfix."""

    def __init__(self, postfix: PostfixServer, sink: Sink, chance: random.Random) -> None:
        self.sent: list[Sent] = []
        self.public: dict[str, set[str]] = {}
        self.pairs: list[tuple[str, str]] = []
        """Marks of two answers to the same mail: one of them may leave."""
        self._postfix, self._sink, self._chance = postfix, sink, chance
        self._read = 0
        self._met: set[tuple[str, str]] = set()
        self._both: dict[str, str] = {}

    def write(self) -> None:
        """A customer with a new matter."""
        number = len(self.sent)
        customer = f"c{number}@customer.test"
        words = "It does not work.\n" * (4000 if number % 12 == 0 else 1)
        mail = write_mail(customer, f"Customer {number}", INBOX, f"Matter {number}", f"{words}{self._mark(customer)}\n")
        self._send(mail, customer)

    def read(self) -> None:
        """Look at the mails that came since, and answer some."""
        fresh, self._read = self._sink.taken[self._read :], len(self._sink.taken)
        for taken in fresh:
            reader = re.sub(r"[<>]| .*", "", taken.rcpt_to[0]).lower()
            mail = read_mail(taken.content)
            event = str(mail["Message-ID"])
            if (reader, event) in self._met:
                continue  # an answer that was sent again
            self._met.add((reader, event))
            if reader in AGENTS:
                self._answer(mail, reader)
            elif "The answer is" in text_of(mail) and "@customer.test" in reader and self._chance.random() < AGAIN:
                self._send(reply_to(mail, reader, "Customer", f"And then? {self._mark(reader)}"), reader)

    def _answer(self, mail: EmailMessage, agent: str) -> None:
        """Alice decides by chance who answers; Bob answers when it was to be both, not knowing of her."""
        customer = re.search(r"\w+@customer\.test", text_of(mail))
        if customer is None:
            return
        if agent.startswith("alice"):
            dice = self._chance.random()
            if dice > ALONE + BOTH:
                return
            words = self._mark(customer[0])
            if dice > ALONE:
                self._both[customer[0]] = words
        elif customer[0] in self._both:
            words = self._mark(customer[0])
            self.pairs.append((self._both.pop(customer[0]), words))
        else:
            return
        self._send(reply_to(mail, agent, AGENTS[agent], f"The answer is {words}"), agent)

    def _mark(self, reader: str) -> str:
        mark = f"mark{len(self.public)}end"
        self.public[mark] = {reader}
        return mark

    def _send(self, mail: EmailMessage, sender: str) -> None:
        raw = signed(mail, sender.partition("@")[2])
        recipient = mail["To"].addresses[0].addr_spec
        self.sent.append(Sent(f"mail {len(self.sent)}", sender, recipient, raw))
        self._postfix.send(sender, [recipient], raw)


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
        chance = random.Random(self._seed)
        with ExitStack() as stack:
            dns = stack.enter_context(in_background(running_dns(published_zone())))
            sink = stack.enter_context(in_background(smtp_sink()))
            self._make_gateways(sink.port, dns.address)
            places = ", ".join(f"ticketgate:unix:{gateway.socket}" for gateway in self.gateways)
            postfix = PostfixServer(self._folder, {"transport_maps": f"randmap:{{{places}}}"})
            stack.enter_context(postfix)
            for gateway in self.gateways:
                stack.callback(gateway.kill)
                gateway.start()  # the first one makes the keys that all have
            people = People(postfix, sink, chance)
            ends = time.monotonic() + seconds
            killer = threading.Thread(
                target=self._harm, args=(ends, random.Random(self._seed + 1), played), daemon=True
            )
            killer.start()
            self._live(people, postfix, ends, rate, say)
            killer.join()
            for gateway in self.gateways:
                if gateway.process is None:
                    gateway.start()
            restless = self._rest(people, postfix)
            self._compare(played, people, sink, postfix, restless)
        return played

    def _make_gateways(self, port: int, resolver: str) -> None:
        send = f'host = "127.0.0.1"\nport = {port}\ntls = "none"\nretry = ["1s", "2s"]\nautomatic_per_hour = 1000000'
        for number in range(self._count):
            self.gateways.append(
                Gateway(
                    self._folder / f"g{number}",
                    send_port=port,
                    resolver=resolver,
                    storage=self._storage,
                    tables={"ack": "per_hour = 1000000", "send": send},
                )
            )
        for gateway in self.gateways[1:]:  # one installation: the same keys
            for key in ("token.key", "seal.key"):
                (gateway.folder / key).unlink(missing_ok=True)
                (gateway.folder / key).symlink_to(self.gateways[0].folder / key)

    def _live(
        self, people: People, postfix: PostfixServer, ends: float, rate: float, say: Callable[[str], None]
    ) -> None:
        minute = time.monotonic() + 60
        while time.monotonic() < ends:
            if len(postfix.queue()) < BACKLOG:
                people.write()
            people.read()
            time.sleep(1 / rate)
            if time.monotonic() > minute:
                minute += 60
                say(f"{len(people.sent)} mails sent, {len(postfix.queue())} wait")

    def _harm(self, ends: float, chance: random.Random, played: Played) -> None:
        """Kill, end in order, or stop for a while; the next one may come while the last is starting."""
        while time.monotonic() < ends:
            time.sleep(chance.uniform(0.3, self._calm))
            gateway = chance.choice(self.gateways)
            dice = chance.random()
            if gateway.process is None:
                gateway.start()
            elif dice < 0.7:
                gateway.kill()
                played.kills += 1
                time.sleep(chance.choice((0.0, 0.5, 3.0)))
                if chance.random() < 0.3:  # killed again before it is ready
                    gateway.launch()
                    time.sleep(chance.uniform(0.2, 1.5))
                    gateway.kill()
                    played.kills += 1
                gateway.start()
            elif dice < 0.85:
                gateway.restart()
                played.restarts += 1
            else:
                gateway.signal(signal.SIGSTOP)
                time.sleep(chance.uniform(0.5, 4.0))
                gateway.signal(signal.SIGCONT)
                played.pauses += 1

    def _rest(self, people: People, postfix: PostfixServer) -> str:
        rows, ends, quiet, flushed = connect(self._storage), time.monotonic() + 180, 0, 0.0
        while quiet < 3:
            if time.monotonic() > ends:
                return f"not at rest after 180 s: {postfix.queue()} at Postfix"
            if quiet == 0 and time.monotonic() > flushed + 3:
                postfix.flush()
                flushed = time.monotonic()
            quiet = quiet + 1 if not postfix.queue() and is_at_rest(rows) else 0
            time.sleep(0.3)
        return ""

    def _compare(self, played: Played, people: People, sink: Sink, postfix: PostfixServer, restless: str) -> None:
        rows = dump(connect(self._storage))
        # Postfix writes its own fields on top: the mail is known again by what stands below them.
        arrived = {bytes(row["content"]): row["sha256"] for row in rows["raw"]}
        seen = Seen([], Counter(), [], [], list(sink.taken), rows, played.kills + played.restarts, restless)
        played.violations += _every_mail_once(people.sent, list(arrived), rows["journal"], arrived)
        played.violations += check(seen, None, people.public)
        played.violations += _one_answer_each(people, rows["events"])
        played.violations += [f"I7: {line}" for line in postfix.log().splitlines() if "status=bounced" in line]
        played.mails, played.taken = people.sent, len(sink.taken)
        played.states = Counter(row["state"] for row in rows["deliveries"])


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--rate", type=float, default=6.0, help="new matters a second")
    parser.add_argument("--calm", type=float, default=5.0, help="at most so many seconds between two deaths")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-soak-")))
        folder.chmod(0o755)
        storage, count = "", 1
        if chosen.database == "postgresql":
            storage, count = stack.enter_context(start_postgresql()).create_database(), chosen.gateways
        soak = Soak(folder, storage, count, chosen.seed, chosen.calm)
        played = soak.play(chosen.minutes * 60, chosen.rate, lambda line: print(line, flush=True))
        for violation in played.violations:
            print(violation)
        if played.violations:
            for gateway in soak.gateways:
                print(gateway.log(60))
    print(f"{chosen.database}, {count} gateways, {played}")
    return bool(played.violations)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
