"""A new version on the store of the one before: nothing refused, lost or doubled, and a way back (ops.md 8)."""

from __future__ import annotations

import signal
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.store.schema import REVISION
from tests.faults.desk import build_shim
from tests.support.databases import SQLITE_AND_POSTGRESQL, PostgresServer
from tests.support.gateway import PATIENCE, wait_for
from tests.support.next_version import NEXT, NextVersion
from tests.support.site import INBOX
from tests.support.smtp_sink import Sink
from tests.system.upgrading import JANE, Desk, Sender, make_mail, offers

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def storage(request: pytest.FixtureRequest) -> str:
    """The url of an empty database; "" SQLite in the desk's folder."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str, storage: str) -> Iterator[Desk]:
    """Not started."""
    made = Desk(tmp_path / "desk", sink, resolver, storage)
    yield made
    print(made.log())
    made.kill()


@pytest.fixture
def following(tmp_path: Path) -> NextVersion:
    """The version after this one."""
    return NextVersion(tmp_path / "next")


@pytest.mark.parametrize("way", ["db migrate", "the start"])
def test_an_upgrade_under_load_refuses_no_connection_and_loses_and_doubles_no_mail(
    desk: Desk, sink: Sink, following: NextVersion, way: str
) -> None:
    with desk.activated():
        desk.start()
        senders = [Sender(desk, "one"), Sender(desk, "two")]
        wait_for(lambda: all(sender.sent(8) for sender in senders), "mail flows")
        assert desk.stop() == 0
        desk.version = following.environment
        if way == "db migrate":
            told = desk.cli("db", "migrate")
            assert f"migrated      {REVISION} to {NEXT}" in told and "database ok" in told
            assert f"restore --force {desk.backups()[0]}" in told
        sofar = [len(sender.accepted) for sender in senders]
        desk.start()
        wait_for(lambda: all(sender.sent(n + 8) for sender, n in zip(senders, sofar, strict=True)), "mail flows again")
        for sender in senders:
            sender.end()
        desk.settled()
        assert [sender.refused for sender in senders] == [[], []]
        accepted = sorted(subject for sender in senders for subject in sender.accepted)
        assert desk.subjects() == accepted
        assert sorted(offers(sink).values()) == [1] * len(accepted)
        assert desk.revision() == NEXT
        assert "all is as it was sealed" in desk.cli("verify")
        assert "whole" in desk.cli("backup", "--check", str(desk.backups()[0]))
        assert "EXTEND_TIMEOUT_USEC=120000000" in desk.notified()
        assert desk.stop() == 0


def test_an_old_version_does_not_touch_a_newer_database_and_the_backup_is_the_way_back(
    desk: Desk, sink: Sink, following: NextVersion
) -> None:
    with desk.activated():
        desk.work("Before the upgrade")
        desk.version = following.environment
        desk.work("After the upgrade")
        told = len(offers(sink))

        desk.version = {}
        desk.launch()
        assert desk.wait_ended() == 78
        said = desk.log().splitlines()[-1]
        assert f"database schema is {NEXT}, made by a newer ticketgate; this version knows {REVISION}" in said
        assert "ticketgate restore DIR --force" in said
        for words, code in ((("db", "migrate"), 78), (("db", "check"), 78), (("tickets",), 70)):
            assert said in desk.cli(*words, expect=code)
        assert desk.revision() == NEXT

        with smtplib.LMTP(timeout=60) as client:
            client.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.sock.settimeout(60)
            client.sock.connect(str(desk.socket))  # waits in the socket, also while the daemon refuses to start
            restored = desk.cli("restore", str(desk.backups()[0]), "--force")
            assert "restored      the store as of" in restored
            assert "before-restore-" in restored and "kept          what was there" in restored
            desk.start()
            client.file = None
            assert client.getreply()[0] == 220
            client.sendmail(JANE, [INBOX], make_mail("After going back"))
        assert desk.revision() == REVISION
        desk.cli("queue", "release")
        desk.settled()
        assert desk.subjects() == ["After going back", "Before the upgrade"]
        assert sorted(offers(sink).values()) == [1] * (told + 1), "nothing was sent twice"
        assert desk.stop() == 0

        # And forward again: the same backup is put back by the new version, which brings it to its own tables.
        desk.version = following.environment
        assert "restored" in desk.cli("restore", str(desk.backups()[0]), "--force")
        assert desk.revision() == NEXT
        desk.start()
        assert desk.subjects() == ["Before the upgrade"]


def test_a_migration_killed_in_its_middle_has_not_been_and_is_done_again(
    desk: Desk, sink: Sink, following: NextVersion
) -> None:
    desk.work("Before")
    desk.version = following.environment
    for _ in range(2):
        following.wait_in_the_middle()
        command = desk.migrating()
        wait_for(following.is_in_the_middle, "half of it is done")
        command.kill()
        command.wait(PATIENCE)
    following.go_on()
    wait_for(lambda: desk.revision() == REVISION, "the server has noticed")
    assert len(desk.backups()) == 1, "the backup of the first attempt is good for the second"
    torn = desk.folder / "backups/.before-9999-20261124T000000Z.1.part"
    torn.mkdir()

    desk.version = {}
    desk.work("Between")  # whoever does not want to try again goes on with the old version
    desk.version = following.environment
    assert "migrated" in desk.cli("db", "migrate")
    assert len(desk.backups()) == 2, "the store has gone on since"
    assert not torn.exists()
    desk.start()
    assert desk.subjects() == ["Before", "Between"]
    assert sorted(offers(sink).values()) == [1, 1]


def test_of_two_migrations_at_once_one_is_done(desk: Desk, following: NextVersion) -> None:
    desk.work("Before")
    desk.version = following.environment
    following.wait_in_the_middle()
    first = desk.migrating()
    wait_for(following.is_in_the_middle, "half of it is done")
    assert "stop" in desk.cli("db", "migrate", expect=75)
    desk.version = {}
    desk.launch()  # nor does a daemon of the old version work on a store in between
    if desk.storage.startswith("sqlite:"):
        assert desk.wait_ended() == 69
    else:
        desk.wait_notified("READY=1")
        with pytest.raises(smtplib.SMTPDataError, match=r"4\.3\.0"):
            desk.deliver("Meanwhile")
    following.go_on()
    assert first.wait(PATIENCE) == 0
    if desk.process is not None:
        assert desk.wait_ended() == 74  # systemd starts it again, and it says what a person has to do
        desk.launch()
        assert desk.wait_ended() == 78
    desk.version = following.environment
    assert desk.cli("db", "migrate") == "database ok\n"
    assert desk.revision() == NEXT and len(desk.backups()) == 1


def test_without_a_backup_nothing_is_migrated_unless_somebody_says_so(desk: Desk, following: NextVersion) -> None:
    desk.work()
    desk.version = following.environment
    (desk.folder / "backups").touch()  # no folder can be made there
    for words in (("db", "migrate"), ("serve",)):
        said = desk.cli(*words, expect=78)
        assert f"no backup can be made in {desk.folder}/backups before the migration" in said
        assert "ticketgate db migrate --no-backup" in said
    assert desk.revision() == REVISION
    assert "migrated" in desk.cli("db", "migrate", "--no-backup")
    assert desk.revision() == NEXT


@pytest.mark.parametrize("storage", ["sqlite"], indirect=True)
def test_a_disk_that_is_full_in_a_migration_leaves_the_store_as_it_was(
    desk: Desk, following: NextVersion, tmp_path_factory: pytest.TempPathFactory
) -> None:
    desk.work("Before")
    desk.version = following.environment
    plan = f"files=db:{desk.folder}/ticketgate.db;only=db.write;act=fail;errno=28;times=0;at="
    met = 0
    for at in (1, 2, 5, 20):
        log = desk.folder / f"steps-{at}"
        shim = {"LD_PRELOAD": str(build_shim(tmp_path_factory.getbasetemp())), "FAULT_PLAN": f"{plan}{at};log={log}"}
        said = desk.cli_raw("db", "migrate", expect=75, **shim).decode()
        assert "disk is full" in said
        met += sum(line.endswith("!") for line in log.read_text().splitlines())
        assert desk.revision() == REVISION
    assert met >= 4
    desk.version = {}
    desk.work("With the old version")
    desk.version = following.environment
    desk.start()
    assert desk.subjects() == ["Before", "With the old version"]
    assert "all is as it was sealed" in desk.cli("verify")


# ------------------------------------------------------------------ several hosts


@pytest.fixture
def hosts(tmp_path: Path, sink: Sink, resolver: str, postgres_server: PostgresServer) -> Iterator[tuple[Desk, Desk]]:
    """Two installations on one PostgreSQL, not started."""
    storage = postgres_server.create_database()
    first, second = (Desk(tmp_path / name, sink, resolver, storage) for name in ("first", "second"))
    (second.folder / "token.key").write_bytes((first.folder / "token.key").read_bytes())
    yield first, second
    for desk in (first, second):
        print(desk.log())
        desk.kill()


def share_seal_key(first: Desk, second: Desk) -> None:
    key = second.folder / "seal.key"
    key.touch(mode=0o600)
    key.write_bytes((first.folder / "seal.key").read_bytes())


@pytest.mark.postgresql
def test_a_new_version_waits_until_the_last_gateway_of_the_old_one_has_ended(
    hosts: tuple[Desk, Desk], sink: Sink, following: NextVersion
) -> None:
    old, new = hosts
    old.start()
    share_seal_key(old, new)
    new.version = following.environment
    said = new.cli("db", "migrate", expect=75)
    assert f"database schema is {REVISION}, this version needs {NEXT}" in said
    assert "from this host" in said and "stop every gateway first" in said
    new.start()
    status = [line for line in new.notified() if line.startswith("STATUS=")]
    assert "stop every gateway first" in status[-1]
    with pytest.raises(smtplib.SMTPDataError, match=r"4\.3\.0"):
        new.deliver("Refused for now")
    old.deliver("The old one works on")
    old.settled()
    assert old.revision() == REVISION
    assert old.stop() == 0
    wait_for(lambda: "the database is back" in new.log(), "the new one takes over by itself")
    new.deliver("The new one")
    new.settled()
    assert new.revision() == NEXT and len(new.backups()) == 1
    assert new.subjects() == ["The new one", "The old one works on"]
    assert sorted(offers(sink).values()) == [1, 1]


@pytest.mark.postgresql
def test_a_gateway_that_was_cut_off_while_the_tables_were_migrated_ends(
    hosts: tuple[Desk, Desk], sink: Sink, following: NextVersion, postgres_server: PostgresServer
) -> None:
    old, new = hosts
    old.start()
    share_seal_key(old, new)
    old.deliver("Before")
    old.settled()
    old.signal(signal.SIGSTOP)  # its host is asleep, and the server gives its connections up
    name = sa.make_url(old.storage).database
    postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    new.version = following.environment
    wait_for(lambda: migrated(new), "nobody is connected")
    old.signal(signal.SIGCONT)
    assert old.wait_ended() == 74
    assert "made by a newer ticketgate" in old.log()
    new.start()
    new.deliver("After")
    new.settled()
    assert new.subjects() == ["After", "Before"]
    assert sorted(offers(sink).values()) == [1, 1]


def migrated(desk: Desk) -> bool:
    command = desk.migrating()
    output, _ = command.communicate(timeout=PATIENCE)
    assert command.returncode in (0, 75), output
    return command.returncode == 0
