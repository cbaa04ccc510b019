"""What a mail costs: ``python -m bench.throughput`` prints tables. Asserts nothing; compare runs on a quiet machine.

Mails a second depend on the machine and its disk; CPU a mail is what can be compared. The mix is generated (mix.py).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from bench.mix import Mail, make_mix, zone
from bench.site import Cpu, Served, Sink, deliver, served, write_site
from bench.stages import IN_CHILD, ORDER, Bench, Stages
from gateway.analysis.reading_rules import Rules, rules_of
from gateway.resolver import ZoneResolver
from gateway.settings import Settings
from gateway.store import tickets
from gateway.store.database import Database
from gateway.store.schema import deliveries, journal

_PATIENCE = 600.0


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers to the right."""
    cells = [list(heads), *([f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(heads))]
    print(f"\n{title}")
    for first, *rest in cells:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  " + "  ".join((first.ljust(widths[0]), *numbers)))


def yardstick() -> float:
    """CPU milliseconds of a fixed piece of work, now: on a shared machine all times below stretch with it."""
    begin = time.thread_time()
    words: dict[int, str] = {}
    for number in range(20_000):
        words[number % 997] = f"{number}-{hashlib.sha256(str(number).encode()).hexdigest()}"
    return 1000 * (time.thread_time() - begin)


def show_mix(mails: Sequence[Mail]) -> None:
    """What the numbers below are about."""
    sizes = sorted(len(mail.raw) for mail in mails)
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(mail.kind for mail in mails).most_common())
    signed = sum(mail.raw.startswith(b"DKIM-Signature") for mail in mails)
    print(f"{len(mails)} mails: {kinds}; {100 * signed // len(mails)} % signed")
    median, mean, largest = sizes[len(sizes) // 2] / 1000, sum(sizes) / len(sizes) / 1000, sizes[-1] / 1000
    print(f"sizes: median {median:.1f} kB, mean {mean:.1f} kB, largest {largest:.0f} kB")


# ------------------------------------------------------------------ (a) accept


async def measure_accept(folder: Path, mails: Sequence[Mail], connections: Sequence[int]) -> None:
    """Until 250, with nobody reading what was taken in."""
    rows = []
    for number in connections:
        site = folder / f"accept-{number}"
        write_site(site)
        async with served(site, ["intake", "outbox"]) as daemon:
            before = daemon.cpu()
            seconds = await deliver(site / "lmtp.sock", mails, number)
            used = daemon.cpu() - before
        rows.append((number, len(mails) / seconds, 1000 * used.parent / len(mails)))
    table("(a) accept over LMTP into SQLite, until 250", ("connections", "mails/s", "CPU ms/mail"), rows)


# ------------------------------------------------------------------ (b) accept -> committed ticket


async def measure_end_to_end(folder: Path, mails: Sequence[Mail], urls: Sequence[tuple[str, str]]) -> None:
    """Until every mail is decided; then until every mail of ours is sent."""
    rows: list[tuple[object, ...]] = []
    for name, url in urls:
        async with Sink().listening() as sink:
            site = folder / f"whole-{name}"
            settings = write_site(site, url, sink.port)
            database = Database(settings.storage.url)
            try:
                async with served(site, ["outbox"]) as daemon:
                    rows.append((f"{name}: decided", *await _run(daemon, site, mails, database, _undecided)))
                async with served(site) as daemon:
                    # What the first run left to send, and nothing else.
                    seconds, used, share = await _wait(daemon, database, _unsent)
                    rate = sink.taken / max(seconds, 0.001)
                    per_mail = (1000 * used.parent / max(1, sink.taken), 0.0, share)
                    rows.append((f"{name}: {sink.taken} of ours sent", rate, *per_mail))
            finally:
                database.close()
    heads = ("", "mails/s", "parent CPU ms/mail", "children CPU ms/mail", "our CPU %")
    table(f"(b) accept -> committed ticket, {os.cpu_count()} processors", heads, rows)


async def _run(
    daemon: Served, site: Path, mails: Sequence[Mail], database: Database, left: Callable[[Database], int]
) -> tuple[float, float, float, float]:
    loop = asyncio.get_running_loop()
    before, begin = daemon.cpu(), loop.time()
    await deliver(site / "lmtp.sock", mails, 8)
    await _wait(daemon, database, left)
    seconds, used = loop.time() - begin, daemon.cpu() - before
    return (
        len(mails) / seconds,
        1000 * used.parent / len(mails),
        1000 * used.children / len(mails),
        _share(used, seconds),
    )


async def _wait(daemon: Served, database: Database, left: Callable[[Database], int]) -> tuple[float, Cpu, float]:
    loop = asyncio.get_running_loop()
    before, begin = daemon.cpu(), loop.time()
    async with asyncio.timeout(_PATIENCE):
        while await asyncio.to_thread(left, database):  # noqa: ASYNC110  another process' work rings no bell here
            await asyncio.sleep(0.1)
    seconds, used = loop.time() - begin, daemon.cpu() - before
    return seconds, used, _share(used, seconds)


def _share(used: Cpu, seconds: float) -> float:
    """How much of the machine was ours, in percent: the rest was idle, or somebody else's."""
    return 100 * (used.parent + used.children) / max(seconds, 0.001) / (os.cpu_count() or 1)


def _count(database: Database, statement: sa.Select[tuple[int]]) -> int:
    with database._reading.begin() as tx:
        return tx.execute(statement).scalar_one()


def _undecided(database: Database) -> int:
    return _count(database, sa.select(sa.func.count()).where(journal.c.state == "received"))


def _unsent(database: Database) -> int:
    waiting = deliveries.c.state.in_(("queued", "transmitting", "deferred"))
    return _count(database, sa.select(sa.func.count()).where(waiting))


# ------------------------------------------------------------------ (c) CPU by stage, (d) with tickets already there


def measure_stages(folder: Path, mails: Sequence[Mail], url: str, already: int, name: str) -> None:
    """One thread, every stage on the CPU clock."""
    settings = write_site(folder / f"stages-{name}-{already}", url)
    database = Database(settings.storage.url)
    try:
        database.migrate()
        with database.begin() as tx:
            tickets.ensure_agents(tx, settings)
        bench = Bench(database, settings, _rules(settings), ZoneResolver(zone()))
        if already:
            bench.run(_openers(already), Stages())
        bench.sent.clear()
        bench.run(mails[:64], Stages())  # caches of statements and templates
        customers, agents = Stages(), Stages()
        bench.run(mails[64:], customers)
        answers, recipients = bench.answers(len(mails) // 4)
        bench.run(answers, agents, recipients)
    finally:
        database.close()
    title = f"({'d' if already else 'c'}) CPU ms/mail by stage, {name}" + (
        f", {already} mails there already" if already else ""
    )
    show_stages(title, customers, agents)


def _openers(number: int) -> list[Mail]:
    wanted: list[Mail] = []
    for mail in make_mix(number * 3, seed=99):
        if len(mail.raw) < 40_000:
            wanted.append(mail)
        if len(wanted) == number:
            break
    return wanted


def show_stages(title: str, customers: Stages, agents: Stages) -> None:
    """Both columns, and what is spent where."""
    columns = (customers, agents)

    def row(name: str, stages: Sequence[str]) -> tuple[object, ...]:
        return (name, *(1000 * sum(c.seconds[s] for s in stages) / max(1, c.mails) for c in columns))

    rows = [row(name, [name]) for name in ORDER]
    parent = [name for name in ORDER if name not in IN_CHILD]
    rows += [row("= in a child", IN_CHILD), row("= in the parent", parent), row("= all", list(ORDER))]
    rows.append(("yardstick", yardstick(), ""))
    rows.append(("mails of ours, each", *(c.outgoing / max(1, c.mails) for c in columns)))
    table(title, ("", f"{customers.mails} of customers", f"{agents.mails} of agents"), rows)


def _rules(settings: Settings) -> Rules:
    return Rules(
        authentication=rules_of(settings),
        own_addresses=frozenset(a for inbox in settings.inbox.values() for a in inbox.addresses()),
        id_domain=settings.id_domain,
    )


# ------------------------------------------------------------------


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], help="accept, whole, stages, scale; default: the first three")
    parser.add_argument("-n", "--mails", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument(
        "--already", type=int, nargs="+", default=[1000, 5000], help="mails processed before, for scale"
    )
    parser.add_argument("--postgresql", metavar="URL", help='an empty database; "private" starts a server of its own')
    parser.add_argument("--folder", type=Path, help="where databases are made; default: a temporary one")
    options = parser.parse_args()
    parts = options.parts or ["accept", "whole", "stages"]
    mails = list(make_mix(options.mails, options.seed))
    show_mix(mails)
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tg-bench-")))
        urls = [("SQLite", "")]
        if options.postgresql:
            urls.append(("PostgreSQL", _postgresql(stack, options.postgresql)))
        if "accept" in parts:
            asyncio.run(measure_accept(folder, mails, options.connections))
        if "whole" in parts:
            asyncio.run(measure_end_to_end(folder, mails, urls))
        if "stages" in parts:
            measure_stages(folder, mails, "", 0, "SQLite")
        for already in options.already if "scale" in parts else ():
            measure_stages(folder, mails, "", already, "SQLite")


def _postgresql(stack: contextlib.ExitStack, wanted: str) -> str:
    if wanted != "private":
        return wanted
    from tests.support.databases import start_postgresql

    return stack.enter_context(start_postgresql()).create_database()


if __name__ == "__main__":
    main()
