"""A database that was put back: nothing the mailbox still has is lost, nothing is sent twice, nothing storms out."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from gateway.demo.mail_client import text_of
from gateway.store.database import Database
from gateway.store.schema import journal
from tests.support.databases import SQLITE_AND_POSTGRESQL, PostgresServer
from tests.support.dovecot import DovecotServer
from tests.support.gateway import wait_for
from tests.support.site import INBOX, Site

pytestmark = [pytest.mark.system, pytest.mark.postfix, pytest.mark.dovecot, pytest.mark.timeout(300)]

NEXT_MATTER = "The door of the lift does not close."


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def site(request: pytest.FixtureRequest, postfix_folder: Path, dovecot: DovecotServer) -> Iterator[Site]:
    """The whole site, the desk's mail fetched from a mailbox over IMAP."""
    storage = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        storage = server.create_database()
    with Site(postfix_folder, dovecot, storage=storage, polled=True) as running:
        yield running


def test_fault_75(site: Site, tmp_path: Path) -> None:
    gateway, jane, alice, bob = site.gateway, site.jane, site.alice, site.bob
    jane.writes("Invoice 2231 is wrong", "It charges 12 licences, we have 10.")
    jane.next_mail()
    offer = alice.next_mail()
    bob.next_mail()
    alice.replies(offer, "You are right, it should be 10.")
    answer = jane.next_mail()
    site.settled()

    backup = tmp_path / "backup"
    assert "whole and on the disk" in gateway.cli("backup", str(backup))

    # The hour that is lost: a reply, an answer to it, and a new matter.
    jane.replies(answer, "Thank you. And the one of March?")
    alice.replies(alice.next_mail(), "March was right.")
    last_answer = jane.next_mail()
    jane.writes("The lift", NEXT_MATTER)
    alice.next_mail()  # who knows her is asked first, alone
    site.settled()
    before = {person.address: len(person.raw_inbox()) for person in (jane, alice, bob)}

    assert gateway.stop() == 0
    if gateway.storage.startswith("sqlite:"):  # the disk died, and the database with it
        lose_database(site)
    else:
        assert "not empty" in gateway.cli("restore", str(backup), expect=1)
    told = gateway.cli("restore", str(backup), "--force")
    assert "Mailbox support is read again" in told
    assert "at least 3 mails received" in told

    gateway.start()
    wait_for(
        lambda: _decided(gateway.storage) >= len(site.dovecot.messages(INBOX)), "every mail of the mailbox is decided"
    )
    assert {person.address: len(person.raw_inbox()) for person in (jane, alice, bob)} == before
    first = gateway.ticket(1)
    said = {event["text"].strip() for event in first["events"] if event["kind"] in ("mail", "answer")}
    assert {"Thank you. And the one of March?", "March was right."} <= said
    (again,) = [row for row in gateway.rows("tickets", "--all") if row["ticket"] != 1]
    assert again["ticket"] > 2  # its old number may stand in mails that nobody remembers
    assert NEXT_MATTER in json.dumps(gateway.ticket(again["ticket"]))

    assert "the outbox is open again" in gateway.cli("queue", "release")
    site.settled()
    assert len(jane.raw_inbox()) == before[jane.address]
    assert len(bob.raw_inbox()) == before[bob.address]
    # The new matter has another number: that, and that only, has to be said again.
    (notice,) = alice.inbox()[before[alice.address] :]
    assert NEXT_MATTER in text_of(notice)
    assert notice["X-Ticket"].startswith(str(again["ticket"]))
    assert "all is as it was sealed" in gateway.cli("verify")

    jane.replies(last_answer, "Good.")  # a token of the lost time
    wait_for(lambda: "Good." in json.dumps(gateway.ticket(1)), "the reply is in its ticket")


def test_fault_75_what_left_a_moment_before_the_disaster_is_not_sent_again(site: Site, tmp_path: Path) -> None:
    gateway, jane, alice, bob = site.gateway, site.jane, site.alice, site.bob
    jane.writes("Invoice 2231 is wrong", "It charges 12 licences, we have 10.")
    jane.next_mail()
    offer = alice.next_mail()
    bob.next_mail()
    site.settled()
    backup = tmp_path / "backup"
    gateway.cli("backup", str(backup))
    alice.replies(offer, "You are right, it should be 10.")
    jane.next_mail()
    gateway.kill()  # long before the next seal
    lose_database(site)
    gateway.cli("restore", str(backup))
    gateway.start()
    wait_for(lambda: _decided(gateway.storage) >= len(site.dovecot.messages(INBOX)), "the answer is decided again")
    told = gateway.cli("queue", "release").splitlines()
    assert told[:2] == [
        "the outbox is open again; 0 mails to be sent",
        "1 mail had left before the restore and is not sent again",
    ]
    assert "0 mails" not in told
    site.settled()
    assert jane.has_read_all()
    assert gateway.cli("queue", "release") == "no mail is held\n"


def test_fault_75_a_start_on_an_empty_database_after_a_disaster_sends_nothing(site: Site, tmp_path: Path) -> None:
    """The service manager starts the gateway before anybody has put the backup back."""
    gateway, jane, alice, bob = site.gateway, site.jane, site.alice, site.bob
    jane.writes("Invoice 2231 is wrong", "It charges 12 licences, we have 10.")
    jane.next_mail()
    alice.replies(alice.next_mail(), "You are right, it should be 10.")
    answer = jane.next_mail()
    bob.next_mail()
    site.settled()
    backup = tmp_path / "backup"
    gateway.cli("backup", str(backup))
    wait_for(lambda: b'"journal":2' in (gateway.folder / "start.mark").read_bytes(), "it is noted how far it has come")
    gateway.kill()
    lose_database(site)
    gateway.start()
    wait_for(lambda: _decided(gateway.storage) >= len(site.dovecot.messages(INBOX)), "the mailbox is read again")
    assert "this is another database than at the last start, the outbox is held" in gateway.log()
    fresh = gateway.rows("tickets", "--all")
    assert fresh and min(row["ticket"] for row in fresh) > 100, (
        "a reply address of before leads to no ticket of somebody else"
    )
    assert {row["state"] for row in gateway.rows("queue")} == {"queued"}
    assert jane.has_read_all() and alice.has_read_all() and bob.has_read_all()

    assert gateway.stop() == 0
    gateway.cli("restore", str(backup), "--force")
    gateway.start()
    gateway.cli("queue", "release")
    site.settled()
    assert jane.has_read_all() and alice.has_read_all() and bob.has_read_all()
    jane.replies(answer, "Thank you.")
    wait_for(lambda: "Thank you." in json.dumps(gateway.ticket(1)), "the reply is in its ticket")
    assert "all is as it was sealed" in gateway.cli("verify")


def lose_database(site: Site) -> None:
    """An empty one is all that is left."""
    gateway = site.gateway
    if gateway.storage.startswith("sqlite:"):
        for ending in ("", "-wal", "-shm"):
            (gateway.folder / f"ticketgate.db{ending}").unlink(missing_ok=True)
    else:
        with psycopg.connect(gateway.storage) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")


def _decided(storage: str) -> int:
    store = Database(storage)
    try:
        with store.begin() as tx:
            states = Counter(tx.execute(sa.select(journal.c.state)).scalars())
    finally:
        store.close()
    return states["applied"] + states["held"]


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_fault_28(site: Site, tmp_path: Path) -> None:
    """A database that went back without anybody saying so is recognised by the mark beside it.

    Played by copying the file; tests/store has the rule on both databases.
    """
    gateway, jane = site.gateway, site.jane
    site.settled()
    jane.writes("Invoice 2231 is wrong", "It charges 12 licences, we have 10.")
    jane.next_mail()
    site.settled()
    assert gateway.stop() == 0
    older = tmp_path / "older.db"
    shutil.copy(gateway.folder / "ticketgate.db", older)
    gateway.start()
    jane.writes("The lift", NEXT_MATTER)
    site.alice.waits_for(2)
    site.settled()
    sent = len(site.alice.raw_inbox())
    assert gateway.stop() == 0

    shutil.copy(older, gateway.folder / "ticketgate.db")
    gateway.start()
    assert "the database went back in time" in gateway.log()
    wait_for(lambda: _decided(gateway.storage) >= 2, "the mailbox is read again")
    assert len(site.alice.raw_inbox()) == sent
    gateway.cli("queue", "release")
    site.settled()
    assert len(jane.raw_inbox()) == 1
    gateway.restart()
    assert gateway.log().count("the database went back in time") == 1
