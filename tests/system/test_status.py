"""What an operator sees who types `ticketgate status`: all well, a gateway that is gone, an outbox that is held."""

from __future__ import annotations

import json
import signal
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.mail_client import write_mail
from tests.support.databases import SQLITE_AND_POSTGRESQL, PostgresServer
from tests.support.gateway import Gateway, in_background
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
