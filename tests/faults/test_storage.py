"""Rows fault-18 to fault-30: the disk, the file system or PostgreSQL fails, and the daemon goes on or ends.

In each run the checker has looked at all seven invariants; what a test asserts beyond that is what its row says.
"""

from __future__ import annotations

import contextlib
import errno
import re
import smtplib
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from email.policy import SMTP
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.demo.mail_client import write_mail
from tests.faults.desk import Fault, Mta
from tests.faults.rows import is_at_rest
from tests.faults.stepping import Bench, Run
from tests.support.databases import PostgresServer
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.site import INBOX
from tests.support.smtp_sink import smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

IN_HAND = "point.receive:in-hand"


def temporary(run: Run) -> bool:
    """Every reply that was no 250 said so, and of what: a client that repeats a hundred times does not hear 421."""
    return all(re.match(r"\w+: (451 4\.3\.0|452 4\.3\.1|421 4\.3\.2) ", reply) for reply in run.replies)


def survived(run: Run, *, starts: int = 1, postponed: bool = False) -> Run:
    """The fault was met, nothing was violated, and the daemon was started so many times."""
    assert run.met, f"never came to {run.fault}"
    assert run.violations == [], run.log
    assert len(run.ends) == starts, (run.ends, run.log)
    assert run.postponed or not postponed
    return run


# ------------------------------------------------------------------ the disk


@pytest.mark.parametrize(("at", "times"), [(1, 1), (4, 1), (1, 40), (60, 40)])
def test_fault_18_disk_full(sqlite_bench: Bench, at: int, times: int) -> None:
    full = Fault(at=at, times=times, act="fail", errno=errno.ENOSPC, only="db.write", after=IN_HAND)
    survived(sqlite_bench.run(full), postponed=at == 1 and times > 1)


def test_fault_18_disk_full_says_452(sqlite_bench: Bench) -> None:
    full = Fault(at=1, times=3, act="fail", errno=errno.ENOSPC, only="db.write", after=IN_HAND)
    run = survived(sqlite_bench.run(full, script=sqlite_bench.alone("new1")), postponed=True)
    assert all(": 452 4.3.1" in reply for reply in run.replies), run.replies


@pytest.mark.parametrize("after", ["point.receive:appended", "point.intake:finished-not-committed"])
def test_fault_19_io_error_at_fsync(sqlite_bench: Bench, after: str) -> None:
    failing = Fault(at=1, act="fail", errno=errno.EIO, only="db.sync", after=after, drop=True)
    run = survived(sqlite_bench.run(failing, script=sqlite_bench.alone("new1")), starts=2)
    assert run.ends[0] == 74
    # The mail in hand hears 451, where it was its commit that failed; a mail that is taken already is decided later.
    assert temporary(run), set(run.replies)
    assert any(": 451 " in reply for reply in run.replies) or "receive" not in after
    assert run.steps == 1, "it was synced again"


def test_fault_20_file_system_becomes_read_only(sqlite_bench: Bench) -> None:
    bench = sqlite_bench
    frozen = Fault(at=1, times=0, act="fail", errno=errno.EROFS, only="db.*", after=IN_HAND)
    # The administrator sees the alarm, mounts it again, and restarts.
    run = bench.run(
        frozen, script=bench.alone("new1"), meanwhile=lambda mta: bench.desk.kill() if mta.postponed else None
    )
    survived(run, starts=2, postponed=True)
    assert all(": 451 " in reply for reply in run.replies), set(run.replies)
    assert 'alert problem="the database cannot be written"' in run.log, run.log


def test_fault_21_no_inodes_left(sqlite_bench: Bench) -> None:
    bench = sqlite_bench
    nothing = Fault(at=1, times=0, act="fail", errno=errno.ENOSPC, only="db.create,state.create,state.rename")
    run = bench.run(nothing, script=bench.letter, meanwhile=lambda mta: bench.desk.kill() if mta.postponed else None)
    survived(run, starts=2, postponed=True)
    assert temporary(run), set(run.replies)


def test_fault_22_quota_exceeded(sqlite_bench: Bench) -> None:
    over = Fault(at=1, times=30, act="fail", errno=errno.EDQUOT, only="db.write", after=IN_HAND)
    run = survived(sqlite_bench.run(over), postponed=True)
    assert temporary(run), set(run.replies)


def test_fault_29_sqlite_is_locked(sqlite_bench: Bench) -> None:
    bench = sqlite_bench
    file = bench.desk.gateway.folder / "ticketgate.db"
    with held(bench, lambda: sqlite3.connect(file, timeout=20, isolation_level=None), ["BEGIN IMMEDIATE"], 13) as begun:
        run = bench.run(None, script=bench.script_of("new1", begin=begun), kept=True)
    assert run.violations == []
    assert run.postponed and all(": 451 " in reply for reply in run.replies), run.replies


@contextlib.contextmanager
def held(
    bench: Bench, connect: Callable[[], Any], statements: list[str], seconds: float
) -> Iterator[Callable[[], bool]]:
    """Somebody else holds what the statements lock for so long, from the daemon's readiness on; whether it began."""
    bench.refresh()
    begun = threading.Event()

    def hold() -> None:
        wait_for(lambda: bench.desk.lives and bench.desk.poll().ready and is_at_rest(bench.desk.rows()), "it is ready")
        with contextlib.closing(connect()) as connection:
            for statement in statements:
                connection.execute(statement)
            begun.set()
            time.sleep(seconds)
            connection.rollback()

    holder = threading.Thread(target=hold)
    holder.start()
    yield begun.is_set
    holder.join()


@pytest.mark.parametrize(("at", "seed"), [(40, 0), (150, 0), (300, 7), (800, 8)])
def test_fault_30_power_cut(sqlite_bench: Bench, at: int, seed: int) -> None:
    survived(sqlite_bench.run(Fault(at=at, act="power", only="db.*", seed=seed)), starts=2)


def test_fault_30_power_cut_before_and_after_the_sync_of_a_commit(sqlite_bench: Bench) -> None:
    for only in ("db.sync", "point.receive:committed", "lmtp.send"):
        cut = Fault(at=1, act="power", only=only, after="point.receive:appended")
        survived(sqlite_bench.run(cut, script=sqlite_bench.alone("new1")), starts=2)


# ------------------------------------------------------------------ PostgreSQL


@pytest.mark.postgresql
def test_fault_23_database_down_at_start(postgresql_bench: Bench) -> None:
    bench = postgresql_bench
    down = Fault(at=1, times=4, act="fail", errno=errno.ECONNREFUSED, only="pg.connect")
    run = survived(bench.run(down, script=bench.letter), postponed=True)
    assert temporary(run) and run.replies[0].startswith("new1: 451 "), set(run.replies)
    assert "the database cannot be used yet" in run.log and "the database is back" in run.log


@pytest.mark.postgresql
@pytest.mark.parametrize("act", ["cut-before", "cut-after"])
@pytest.mark.parametrize(
    "after",
    [
        "point.receive:appended",
        "point.intake:claim-not-committed",
        "point.intake:finished-not-committed",
        "point.outbox:transmitting-not-committed",
        "point.outbox:recorded-not-committed",
    ],
)
def test_fault_24_database_lost_in_a_transaction(postgresql_bench: Bench, after: str, act: str) -> None:
    cut = Fault(at=1, act=act, only="pg.send,pg.commit", after=after)
    run = survived(postgresql_bench.run(cut, script=postgresql_bench.alone("answer")))
    assert run.repeated == 0 or act == "cut-before"


@pytest.mark.postgresql
@pytest.mark.parametrize(("state", "times"), [("40P01", 1), ("40P01", 8)])
def test_fault_25_deadlock(postgresql_bench: Bench, state: str, times: int) -> None:
    bench = postgresql_bench
    bench.refresh()
    refuse(bench, state, times, table="journal", when="BEFORE INSERT")
    run = bench.run(None, script=bench.letter, kept=True)
    assert run.violations == [] and len(run.ends) == 1
    assert bool(run.postponed) == (times > 3), "the transaction is tried three times, then the client comes again"
    assert refused(bench) == times


@pytest.mark.postgresql
def test_fault_26_serialisation_failure_ten_times(postgresql_bench: Bench) -> None:
    bench = postgresql_bench
    bench.refresh()
    # Only where the first mail is decided, at its commit.
    refuse(bench, "40001", 10, table="journal", when="AFTER UPDATE", only="NEW.state = 'applied' AND NEW.id = 12")

    def others_went_on_and_time_passes(mta: Mta) -> None:
        late = "state = 'received' AND id = 12 AND lease_owner = ''"
        if bench.desk.rows().ask(f"SELECT id FROM journal WHERE {late}"):
            rest = "SELECT count(*) AS n FROM journal WHERE state = 'received' AND id > 12"
            wait_for(lambda: bench.desk.rows().ask(rest)[0]["n"] == 0, "the other mails are decided")
            bench.desk.rows().execute(f"UPDATE journal SET due_at = 0 WHERE {late}")

    run = bench.run(None, script=bench.script_of("new1", "new2"), kept=True, meanwhile=others_went_on_and_time_passes)
    (row,) = bench.desk.rows().ask("SELECT state, reason FROM journal WHERE id = 12")
    assert (row["state"], run.restless) == ("held", ""), row
    assert "serializ" in row["reason"] or "40001" in row["reason"], row
    assert refused(bench) == 9, "three attempts of three"
    (shown,) = [line for line in bench.desk.gateway.rows("held") if line["row"] == 12]
    assert shown["reason"].startswith("our-failure"), shown
    assert "held TG_JOURNAL=12" in bench.desk.gateway.log()


@pytest.mark.postgresql
def test_fault_27_connections_exhausted(postgresql_bench: Bench) -> None:
    bench = postgresql_bench
    # Every connection waits for this lock; lock_timeout gives up after 30 s.
    lock = ["LOCK TABLE raw IN ACCESS EXCLUSIVE MODE"]
    with held(bench, lambda: psycopg.connect(bench.desk.gateway.storage), lock, 34) as begun:
        run = bench.run(None, script=bench.script_of("new1", "new2", "new3", "answer", begin=begun), kept=True)
    assert run.violations == []
    assert run.postponed and all(": 451 " in reply for reply in run.replies), run.replies


@pytest.mark.postgresql
def test_fault_27_while_all_connections_are_held_for_a_minute_what_waits_has_a_limit(
    postgres_server: PostgresServer, tmp_path: Path, resolver: str
) -> None:
    """Clients that do not wait for their answer, fifty at a time, as a mail server that was restarted does not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with in_background(smtp_sink()) as sink:
        gateway = Gateway(
            tmp_path / "desk",
            send_port=sink.port,
            resolver=resolver,
            storage=postgres_server.create_database(),
            tables={"receive.lmtp": f'listen = ["inet:127.0.0.1:{port}"]\nmax_sessions = 5'},
        )
        with gateway, psycopg.connect(gateway.storage) as holder:
            holder.execute("LOCK TABLE journal, raw IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            taken = next((number for number in range(100) if _hurried(port, number) != 354), None)
            assert taken is not None and taken >= 20, "four mails for each session may wait, and no more"
            with smtplib.LMTP("127.0.0.1", port, timeout=100) as client:  # the room is taken: it is told so at once
                client.ehlo("mta.test")
                with pytest.raises(smtplib.SMTPDataError, match=r"4\.3\.0"):
                    client.sendmail("patient@customer.test", [INBOX], _letter("patient"))
            wait_for(lambda: "not committed" in gateway.log(), "the first of them are given up")
            time.sleep(max(0.0, 60 - (time.monotonic() - began)))
            holder.rollback()
            wait_for(lambda: _letter_arrives(port, "patient"), "mail is taken again, by itself")
            gateway.settled()
            subjects = [row["subject"] for row in gateway.rows("tickets", "--all")]
            assert len(subjects) == len(set(subjects)) <= 21, "those that waited, and the patient one's"


def _letter(name: str) -> bytes:
    return write_mail(f"{name}@customer.test", name, INBOX, f"Printer of {name}", "It does not print.\n").as_bytes(
        policy=SMTP
    )


def _hurried(port: int, number: int) -> int:
    """Offer a mail and go away once the dot was read; what was answered to DATA."""
    with contextlib.closing(smtplib.LMTP("127.0.0.1", port, timeout=60)) as client:
        client.ehlo("mta.test")
        assert client.mail(f"c{number}@customer.test")[0] == client.rcpt(INBOX)[0] == 250
        code = client.docmd("DATA")[0]
        if code == 354:
            client.send(_letter(f"c{number}") + b"\r\n.\r\n")
            wait_for(lambda: not _unread(client, port), "it was read")
            time.sleep(0.05)  # and handed over: the loop takes both together
        assert client.sock is not None
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return code


def _unread(client: smtplib.LMTP, port: int) -> int:
    """Octets of ours that the daemon's system has and the daemon has not read."""
    assert client.sock is not None
    mine = f":{client.sock.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[2].endswith(mine):
            return int(words[4].partition(":")[2], 16)
    return 0


def _letter_arrives(port: int, name: str) -> bool:
    with smtplib.LMTP("127.0.0.1", port, timeout=100) as client:
        try:
            client.sendmail(f"{name}@customer.test", [INBOX], _letter(name))
        except smtplib.SMTPDataError as error:
            assert 400 <= error.smtp_code < 500
            return False
    return True


def refuse(bench: Bench, state: str, times: int, *, table: str, when: str, only: str = "true") -> None:
    """The database ends so many transactions that touch the table with this SQLSTATE; a counter outlives them."""
    deferred = when.startswith("AFTER")
    for statement in (
        "CREATE SEQUENCE refused",
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN"
        f" IF ({only}) AND nextval('refused') <= {times} THEN"
        f" RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '{state}'; END IF;"
        " RETURN NEW; END $$ LANGUAGE plpgsql",
        f"CREATE {'CONSTRAINT ' if deferred else ''}TRIGGER refuse {when} ON {table}"
        f" {'DEFERRABLE INITIALLY DEFERRED' if deferred else ''} FOR EACH ROW EXECUTE FUNCTION refuse()",
    ):
        bench.desk.rows().execute(statement)
    bench.refusals = times


def refused(bench: Bench) -> int:
    """How many transactions were ended so."""
    (row,) = bench.desk.rows().ask("SELECT last_value AS n, is_called FROM refused")
    return min(bench.refusals, row["n"]) if row["is_called"] else 0


@pytest.mark.postgresql
@pytest.mark.slow
def test_fault_28_failover_that_lost_the_last_commits(postgresql_bench: Bench) -> None:
    bench = postgresql_bench
    desk, mark = bench.desk, bench.desk.gateway.folder / "start.mark"
    bench.refresh()
    desk.start()
    mta = Mta(desk.gateway.socket)
    try:
        wait_for(lambda: desk.poll().ready and is_at_rest(desk.rows()), "it is ready and at rest")
        replica = behind(bench)
        noted = mark.read_bytes()
        mta.send(*bench.script_of("new1").mails)
        wait_for(lambda: mta.idle and is_at_rest(desk.rows()), "the mail is filed")
        wait_for(lambda: b'"journal":12' in mark.read_bytes() and mark.read_bytes() != noted, "the mark has noted it")
        fail_over(bench, replica)
        wait_for(lambda: "went back in time" in desk.gateway.log(), "the alarm")
        arrived = len(desk.sink.taken)
        mta.send(*bench.script_of("answer").mails)
        late = "SELECT state FROM deliveries WHERE kind = 'answer' AND id > 27"
        wait_for(lambda: mta.idle and desk.rows().ask(late), "mail is still taken in and decided")
        wait_for(lambda: not desk.rows().ask("SELECT id FROM journal WHERE state = 'received'"), "all is decided")
        assert [row["state"] for row in desk.rows().ask(late)] == ["queued"]
        assert len(desk.sink.taken) == arrived, "something left before an operator said so"
        desk.gateway.cli("queue", "release")
        wait_for(lambda: desk.rows().ask(late)[0]["state"] == "sent", "it leaves when an operator lets it")
        assert not mta.refusals
    finally:
        mta.close()
        desk.kill()


def behind(bench: Bench) -> str:
    """The name of a copy of the database as it is now: a replica that gets nothing any more."""
    name = bench.database
    with closed_to_all(bench, name):
        bench.postgres.run(f"CREATE DATABASE {name}_b TEMPLATE {name}")
    return f"{name}_b"


def fail_over(bench: Bench, replica: str) -> None:
    """The replica takes the place of the database, under the eyes of the daemon."""
    name = bench.database
    with closed_to_all(bench, name):
        bench.postgres.run(f"ALTER DATABASE {name} RENAME TO {name}_lost")
        bench.postgres.run(f"ALTER DATABASE {replica} RENAME TO {name}")


@contextlib.contextmanager
def closed_to_all(bench: Bench, name: str) -> Iterator[None]:
    """Every connection is ended and none is let in."""
    bench.postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    bench.postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    left = f"DO $$ BEGIN WHILE EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = '{name}') LOOP"
    bench.postgres.run(f"{left} PERFORM pg_sleep(0.05); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$")
    yield
    bench.postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
