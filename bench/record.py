"""What the record costs: ``python -m bench.record [-n MAILS] [--postgresql URL]``. CPU of this process, one thread.

The same conversation with and without the key: taken in, decided, sent. Then sealing, and proving the whole store.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable

import sqlalchemy as sa

from gateway.seal import SealKey
from gateway.store.database import Database
from gateway.store.schema import leaves
from gateway.store.seals import seal_waiting
from gateway.store.verify import verify
from tests.support.spine import Road, make_mail

KEY = SealKey(bytes(range(32)))


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def converse(road: Road, first: int, mails: int) -> None:
    """New matters, each told to two agents and acknowledged, everything sent."""
    for number in range(first, first + mails):
        text = f"Invoice {number} charges 12 licences, we have 10.\n" * 40
        road.arrive(make_mail(f"jane{number}@customer.test", text, subject=f"Matter {number}"))
        road.outbox()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=300, metavar="MAILS")
    parser.add_argument("--postgresql", metavar="URL", help="an empty database; default: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(options.postgresql or f"sqlite:{folder}/ticketgate.db")
        database.migrate()
        road = Road(database)
        converse(road, 0, 20)
        with database.begin() as tx:
            seal_waiting(tx, KEY, road.now)
        bare, marked, at = [], [], 20
        for key in (b"", KEY.mark_key, KEY.mark_key, b"") * 2:  # in turns: the store grows, the machine has moods
            database.mark_with(key)
            (marked if key else bare).append(cpu(lambda start=at: converse(road, start, options.n // 4)))  # type: ignore[misc]
            at += options.n // 4
        database.mark_with(KEY.mark_key)

        def seal() -> None:
            more = True
            while more:
                with database.begin() as tx:
                    more = seal_waiting(tx, KEY, road.now).more

        sealing = cpu(seal)
        count = options.n // 4 * 4
        with database.begin() as tx:
            facts = tx.execute(sa.select(sa.func.count()).select_from(leaves)).scalar_one()
            proof: list[object] = []
            proving = cpu(lambda: proof.append(verify(tx, public=KEY.public, mark_key=KEY.mark_key)))
        print(f"{count} mails, {facts / (count + 20):.1f} facts each")
        print(f"without a key     {1000 * sum(bare) / count:.3f} ms a mail")
        more_cpu = 1000 * (sum(marked) - sum(bare)) / count
        print(f"marked            {1000 * sum(marked) / count:.3f} ms a mail: {more_cpu:+.3f}")
        print(f"sealing           {1000 * sealing / count:.3f} ms a mail")
        print(f"verifying         {1000 * proving / count:.3f} ms a mail")
        database.close()


if __name__ == "__main__":
    main()
