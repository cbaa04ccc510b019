"""``make faults``: step through every failpoint on both databases; ``python -m tests.faults --help`` for parts."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.faults.desk import Fault
from tests.faults.stepping import BULK_PATIENCE, Bench, Run, open_bench
from tests.support.databases import start_postgresql
from tests.support.dovecot import DovecotServer

DATABASES = ("sqlite", "postgresql")
_ENOUGH = 4
"""Runs in a row that had no such step any more; their lengths differ."""


class Numbers:
    """Step numbers for several benches at once: each gets the next; ends when enough in a row were not met."""

    def __init__(self, first: int, every: int, last: int) -> None:
        self._next, self._every, self._last = first, every, last
        self._missed, self._turn = 0, threading.Lock()

    def __iter__(self) -> Iterator[int]:
        while True:
            with self._turn:
                if self._missed >= _ENOUGH or (self._last and self._next > self._last):
                    return
                number, self._next = self._next, self._next + self._every
            yield number

    def end(self) -> None:
        """No more numbers."""
        with self._turn:
            self._missed = _ENOUGH

    def report(self, run: Run) -> None:
        with self._turn:
            if self._missed < _ENOUGH:
                self._missed = 0 if run.met else self._missed + 1


class Totals:
    """What is said in the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = self.met = self.lost = self.doubled = self.other = self.unknown = self.repeated = 0
        self.kinds: Counter[str] = Counter()
        self._began = time.monotonic()

    def add(self, number: int, run: Run) -> None:
        self.runs += 1
        self.met += bool(run.met)
        self.unknown += run.unknown
        self.repeated += run.repeated
        if run.met:
            self.kinds[run.met.split(" ")[0]] += 1
        for violation in run.violations:
            if "never" in violation or "missing" in violation or "has 0 rows" in violation:
                self.lost += 1
            elif violation.startswith(("I1", "I2", "I3")):
                self.doubled += 1
            else:
                self.other += 1
        if run.violations:
            print(f"\n{self.name} step {number} ({run.fault}; met {run.met or 'nothing'}; ends {run.ends})", flush=True)
            for violation in run.violations:
                print(f"    {violation}", flush=True)
            print("\n".join(f"      | {line[:180]}" for line in run.log.splitlines()[-25:]), flush=True)
        elif self.runs % 20 == 0:
            print(f"{self.name}: {self.runs} runs, now at step {number} {run.met}", flush=True)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.name}: {self.runs} runs, {self.met} failpoints met, lost {self.lost}, doubled {self.doubled},"
            f" other violations {self.other}; automatic mails left unknown {self.unknown}, answers sent again"
            f" {self.repeated}; {time.monotonic() - self._began:.0f} s\n    {kinds}"
        )


def main() -> int:
    """Exit 1 when an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument(
        "--act", default="kill-before", help="kill-before, kill-after, power, fail, cut-before, cut-after"
    )
    parser.add_argument("--only", default="", help='classes of steps that count, e.g. "db.sync,point.*"; all')
    parser.add_argument(
        "--errno", type=int, default=0, help="for --act fail: 28 no space, 5 I/O, 30 read-only, 122 quota"
    )
    parser.add_argument("--times", type=int, default=1, help="at so many steps in a row; 0: from the step on for ever")
    parser.add_argument("--after", default="", help="count from this step on")
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--to", type=int, default=0, dest="last")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th step")
    parser.add_argument("--twice", action="store_true", help="kill the second life as well, at a random step")
    parser.add_argument("--seed", type=int, default=0, help="of --twice and of what a power cut keeps")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--bulk", type=int, default=0, help="instead: so many mails at once, with --kills at random")
    parser.add_argument("--kills", type=int, default=20, help="of --bulk")
    parser.add_argument("--list", action="store_true", help="name the steps of an undisturbed run and end")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bad = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-f-", dir="/tmp")))
        folder.chmod(0o755)
        mailboxes = [f"desk{n}@imap.test" for n in range(options.jobs)]
        dovecot = DovecotServer(mailboxes)
        stack.callback(dovecot.remove)
        dovecot.start()
        for database in options.databases.split(","):
            with ExitStack() as servers:
                postgres = servers.enter_context(start_postgresql()) if database == "postgresql" else None
                benches = [
                    servers.enter_context(
                        open_bench(folder / f"{database[0]}{n}", postgres=postgres, dovecot=dovecot, mailbox=mailbox)
                    )
                    for n, mailbox in enumerate(mailboxes)
                ]
                if options.list:
                    _list(benches[0])
                elif options.bulk:
                    totals = Totals(f"{database} {options.bulk} mails, {options.kills} kills, seed {options.seed}")
                    _bulk(benches[0], options, totals)
                    print(totals, flush=True)
                    bad += totals.lost + totals.doubled + totals.other
                else:
                    totals = Totals(f"{database} {options.act}")
                    _step(benches, options, totals)
                    print(totals, flush=True)
                    bad += totals.lost + totals.doubled + totals.other
    return int(bad > 0)


def _list(bench: Bench) -> None:
    bench.run(Fault(act="none"))
    for step in bench.desk.steps():
        print(step.number, step.name, step.detail)


def _step(benches: list[Bench], options: argparse.Namespace, totals: Totals) -> None:
    numbers, turn = Numbers(options.first, options.every, options.last), threading.Lock()
    failures: list[BaseException] = []

    def work(bench: Bench) -> None:
        try:
            for number in numbers:
                run = bench.run(_fault(options)(number), _again(options, number))
                numbers.report(run)
                with turn:
                    totals.add(number, run)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(bench,)) for bench in benches]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:  # once: the runs in hand are finished and everything is counted
        numbers.end()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _fault(options: argparse.Namespace) -> Callable[[int], Fault]:
    return lambda number: Fault(
        at=number,
        act=options.act,
        only=options.only,
        errno=options.errno,
        times=options.times,
        after=options.after,
        seed=options.seed * 1_000_003 + number if options.seed else 0,
    )


def _again(options: argparse.Namespace, number: int) -> list[Fault]:
    if not options.twice:
        return []
    return [Fault(at=random.Random(f"{options.seed} {number}").randrange(1, 1500))]


def _bulk(bench: Bench, options: argparse.Namespace, totals: Totals) -> None:
    """Many mails, and death after death at random steps."""
    script = bench.bulk(options.bulk)
    chance = random.Random(options.seed)
    deaths = [Fault(at=round(10 ** chance.uniform(1, 3.6))) for _ in range(options.kills)]
    totals.add(options.seed, bench.run(deaths[0], deaths[1:], script=script, patience=BULK_PATIENCE))


if __name__ == "__main__":
    sys.exit(main())
