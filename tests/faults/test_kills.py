"""Rows fault-01 to fault-13: kill -9 at a named point, and what must be there afterwards.

In each run the checker has looked at all seven invariants; what a test asserts beyond that is what its row says.
"""

from __future__ import annotations

import smtplib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.desk import Fault
from tests.faults.stepping import Bench, Run, open_bench
from tests.support.dovecot import DovecotServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LETTER, ANSWER = "new1", "answer"
"""A customer's new mail, which causes automatic mail only; and an agent's answer to a customer."""


def killed(bench: Bench, name: str, point: str, **more: Any) -> tuple[Run, list[dict[str, Any]]]:
    """One mail alone, and death at a step; the run, and the mail's row (if any) as death left it."""
    script = bench.alone(name)
    found: list[dict[str, Any]] = []

    def look() -> None:
        recipient = script.mails[0].recipient
        found.extend(
            bench.desk.rows().ask(
                f"SELECT state, ticket FROM journal WHERE recipient = '{recipient}' AND sha256 NOT IN"
                " (SELECT sha256 FROM journal WHERE id <= 11)"
            )
        )

    fault = Fault(
        **(
            {"at": 1, "only": f"point.{point}", "after": "" if point.startswith("receive") else "point.receive:in-hand"}
            | more
        )
    )
    run = bench.run(fault, script=script, at_death=look)
    assert run.met, f"never came to {fault}"
    assert run.violations == []
    assert run.ends[0] == -9
    return run, found


def copies(bench: Bench, kind: str) -> list[int]:
    """How often each mail of this kind that the run decided has arrived."""
    taken = Counter(
        one.content.partition(b"\r\n\r\n")[0].count(b"Message-ID") and _id(one.content) for one in fresh(bench)
    )
    return [taken[row["message_id"]] for row in decided(bench, kind)]


def fresh(bench: Bench) -> list[Any]:
    return bench.desk.sink.taken[bench.before :]


def decided(bench: Bench, kind: str) -> list[dict[str, Any]]:
    return bench.desk.rows().ask(
        f"SELECT message_id, state, attempt FROM deliveries WHERE kind = '{kind}' AND id > {bench.before} ORDER BY id"
    )


def states(bench: Bench, *kinds: str) -> Counter[str]:
    return Counter(row["state"] for kind in kinds for row in decided(bench, kind))


def _id(content: bytes) -> str:
    for line in content.split(b"\r\n"):
        if line.startswith(b"Message-ID: "):
            return line.removeprefix(b"Message-ID: ").decode()
    return ""


# ------------------------------------------------------------------ intake


def test_fault_01_killed_before_the_final_dot(bench: Bench) -> None:
    bench.alone(LETTER)
    mail = bench.script.mails[0]

    def half(client: smtplib.LMTP) -> None:
        client.mail(mail.sender)
        client.rcpt(mail.recipient)
        assert client.docmd("DATA")[0] == 354
        client.send(mail.raw[:400])

    run, rows = bench.cut_short(bench.alone(LETTER), half)
    assert rows == []
    assert run.violations == []


def test_fault_02_killed_after_the_dot_before_the_write(bench: Bench) -> None:
    _, rows = killed(bench, LETTER, "receive:in-hand")
    assert rows == []


@pytest.mark.parametrize("step", [1, 2, 5])
def test_fault_03_killed_after_the_write_before_the_commit(bench: Bench, step: int) -> None:
    # A commit on SQLite is some writes and one sync, on PostgreSQL one COMMIT, sent.
    calls = "pg.send,pg.commit" if bench.postgres else "db.write,db.sync"
    act = {"act": "kill-after" if bench.postgres and step > 1 else "kill-before"}
    _, rows = killed(
        bench, LETTER, "", only=calls, after="point.receive:appended", at=1 if bench.postgres else step, **act
    )
    assert len(rows) <= (act["act"] == "kill-after")


def test_fault_03_killed_at_the_sync_of_the_commit(sqlite_bench: Bench) -> None:
    # What was written is in the kernel's hands: the row may be there without a 250, and the repeated mail joins it.
    _, rows = killed(sqlite_bench, LETTER, "", only="db.sync", after="point.receive:appended")
    assert len(rows) <= 1


def test_fault_04_killed_after_the_commit_before_250(bench: Bench) -> None:
    _, rows = killed(bench, LETTER, "receive:committed")
    assert len(rows) == 1


def test_fault_05_killed_after_250(bench: Bench) -> None:
    _, rows = killed(bench, LETTER, "", only="lmtp.send", after="point.receive:committed", act="kill-after")
    assert len(rows) == 1


# ------------------------------------------------------------------ pipeline


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("intake:claim-not-committed", id="before_the_claim_is_committed"),
        pytest.param("intake:claimed", id="claimed"),
    ],
)
def test_fault_06_killed_before_the_cage_answers(bench: Bench, point: str) -> None:
    _, rows = killed(bench, LETTER, point)
    assert [row["state"] for row in rows] == ["received"]


def test_fault_07_killed_after_the_cage_answered(bench: Bench) -> None:
    _, rows = killed(bench, LETTER, "intake:cage-answered")
    assert [row["state"] for row in rows] == ["received"]


@pytest.mark.parametrize("point", ["intake:in-transaction", "intake:recorded", "intake:finished-not-committed"])
def test_fault_08_killed_inside_the_transaction(bench: Bench, point: str) -> None:
    _, rows = killed(bench, ANSWER, point)
    assert [row["state"] for row in rows] == ["received"]


def test_fault_08_killed_directly_after_the_commit(bench: Bench) -> None:
    _, rows = killed(bench, ANSWER, "intake:done")
    assert [row["state"] for row in rows] == ["applied"]
    assert copies(bench, "answer") == [1] or decided(bench, "answer")[0]["attempt"] == 2


# ------------------------------------------------------------------ delivery: a person's answer, and automatic mail


def test_fault_09_killed_before_transmitting_is_committed(bench: Bench) -> None:
    # Claiming is what records TRANSMITTING: one transaction.
    for name, kind in ((ANSWER, "answer"), (LETTER, "ack")):
        killed(bench, name, "outbox:transmitting-not-committed")
        assert (copies(bench, kind), states(bench, kind)) == ([1], {"sent": 1})


def test_fault_10_killed_after_transmitting_before_the_connection(bench: Bench) -> None:
    killed(bench, ANSWER, "outbox:transmitting")
    assert (copies(bench, "answer"), decided(bench, "answer")[0]["attempt"]) == ([1], 2)
    killed(bench, LETTER, "outbox:transmitting")
    ended = states(bench, "ack", "offer")
    assert 1 <= ended["unknown"] <= 2 and ended["sent"] == 3 - ended["unknown"]
    assert sum(copies(bench, "ack") + copies(bench, "offer")) == ended["sent"]


def test_fault_11_killed_in_the_middle_of_sending(bench: Bench) -> None:
    killed(bench, ANSWER, "outbox:before-dot")
    assert copies(bench, "answer") == [1], "the relay kept a mail without its end"
    killed(bench, LETTER, "outbox:before-dot")
    ended = states(bench, "ack", "offer")
    assert 1 <= ended["unknown"] <= 2
    assert sum(copies(bench, "ack") + copies(bench, "offer")) in (ended["sent"], ended["sent"] + ended["unknown"] - 1)


def test_fault_12_killed_after_the_remote_250_before_the_commit(bench: Bench) -> None:
    killed(bench, ANSWER, "outbox:answered")
    assert copies(bench, "answer") == [2]  # the same bytes: the checker compares them
    killed(bench, LETTER, "outbox:answered")
    assert states(bench, "ack", "offer")["unknown"] >= 1
    assert max(copies(bench, "ack") + copies(bench, "offer")) == 1


def test_fault_12_once_the_remote_250_stands_in_the_log_of_what_left_nothing_is_unknown(bench: Bench) -> None:
    killed(bench, ANSWER, "outbox:recorded-not-committed")
    assert (copies(bench, "answer"), decided(bench, "answer")[0]["state"]) == ([1], "sent")
    killed(bench, LETTER, "outbox:recorded-not-committed")
    assert states(bench, "ack", "offer")["sent"] >= 1  # the others may have been on their way
    assert max(copies(bench, "ack") + copies(bench, "offer")) == 1


def test_fault_13_killed_after_sent(bench: Bench) -> None:
    killed(bench, ANSWER, "outbox:done")
    assert (copies(bench, "answer"), decided(bench, "answer")[0]["state"]) == ([1], "sent")


@pytest.mark.dovecot
def test_a_mail_is_marked_in_its_mailbox_although_the_daemon_died_before_it_did(
    tmp_path: Path, dovecot: DovecotServer
) -> None:
    with open_bench(tmp_path / "i", dovecot=dovecot) as bench:
        script = bench.script_of("new3", "new4")
        for step in (1, 2, 3):  # after the first mail is committed: fetch, flag, idle
            run = bench.run(
                Fault(at=step, only="imap.send", after="point.receive:committed"), script=script, patience=30
            )
            assert run.met and run.violations == [], (step, run.violations)
