"""What an operator sees who types `ticketgate status`: all well, a gateway that is gone, an outbox that is held."""

from __future__ import annotations

import json
import signal
import smtplib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.mail_client import write_mail
from tests.support.databases import SQLITE_AND_POSTGRESQL, PostgresServer
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JANE = "jane@customer.test"


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def desk(request: pytest.FixtureRequest, tmp_path: Path, resolver: str) -> Iterator[Gateway]:
    server: PostgresServer | None = None
    if request.param != "sqlite":
        server = request.getfixturevalue("postgres_server")
    storage = server.create_database() if server else ""
    with (
        in_background(smtp_sink()) as sink,
        Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver, storage=storage) as gateway,
    ):
        yield gateway


def standing(desk: Gateway, expect: int = 0) -> dict[str, tuple[bool, str]]:
    lines = [json.loads(line) for line in desk.cli("status", "--json", expect=expect).splitlines()]
    return {line["name"]: (line["well"], line["words"]) for line in lines}


def test_the_standing_of_a_desk_at_work_one_that_died_and_one_that_is_held(desk: Gateway) -> None:
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        question = write_mail(JANE, "Jane Doe", INBOX, "Printer", "It does not print.\n")
        client.sendmail(JANE, [INBOX], signed(question, "customer.test"))
    desk.settled()
    found = standing(desk)
    assert found["support"][1].startswith("1 open, 1 of them nobody's; last mail in ")
    assert " ago, out " in found["support"][1] and "lately" not in found["support"][1]
    assert found["gateway"][0] and "running: " in found["gateway"][1]
    assert {name for name, (well, _) in found.items() if not well} == set()
    assert "FAILED" not in desk.cli("status")

    desk.signal(signal.SIGKILL)
    desk.wait_ended()
    assert standing(desk, expect=1)["gateway"] == (
        False,
        "none is running: mail is neither taken in nor sent; systemctl start ticketgate",
    )
    backup = desk.folder / "copy"
    desk.cli("backup", str(backup))
    desk.cli("restore", "--force", str(backup))
    desk.start()
    found = standing(desk, expect=1)
    assert not found["outbox"][0] and found["outbox"][1].endswith("ticketgate queue release")
    desk.cli("queue", "release")
    assert standing(desk)["outbox"][0]


def test_a_tail_cut_off_the_record_is_missed_until_an_operator_accepts_it(tmp_path: Path, resolver: str) -> None:
    with (
        in_background(smtp_sink()) as sink,
        Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver) as desk,
    ):
        with smtplib.LMTP(str(desk.socket), timeout=60) as client:
            question = write_mail(JANE, "Jane Doe", INBOX, "Printer", "It does not print.\n")
            client.sendmail(JANE, [INBOX], signed(question, "customer.test"))
        mark = desk.folder / "start.mark"
        wait_for(lambda: json.loads(mark.read_text())["standing"]["seal"], "it is sealed and noted")
        head = json.loads(mark.read_text())["standing"]["seal"]
        with sqlite3.connect(desk.folder / "ticketgate.db", timeout=60) as database:
            database.execute("DELETE FROM leaves WHERE seal = ?", (head,))
            database.execute("DELETE FROM seals WHERE number = ?", (head,))
            database.execute("UPDATE counters SET value = ? WHERE name = 'seal'", (head - 1,))
        wait_for(lambda: json.loads(mark.read_text())["cut"], "the gateway has noticed")
        assert "the outbox is held" in desk.log()
        missed = f"seal {head} is not the one that was noted outside the database"
        wait_for(lambda: missed in told_by_verify(desk), "another chain stands there")
        desk.restart()
        assert missed in told_by_verify(desk), "a new start forgets nothing"
        assert f"accepted: the record ends before seal {head}:" in desk.cli("queue", "release")
        assert "all is as it was sealed" in desk.cli("verify")


def told_by_verify(desk: Gateway) -> str:
    return desk.cli("verify", expect=1)
