"""Several gateways on one database: whose claims count, what becomes of the dead, who reads a mailbox."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.errors import TemporaryError
from gateway.model import TimerSet
from gateway.store import deliveries, journal, raw_mail, timers
from gateway.store.copying import CopyError, alone
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryState
from gateway.store.presence import GRACE, Presence
from gateway.store.schema import gateways
from tests.store.test_deliveries import ANSWER, NOTICE
from tests.store.values import HOUR, LEASE, NOW, envelope

postgresql = pytest.mark.postgresql


@pytest.fixture
def shared(postgres_server: object, migrated_postgresql: str) -> Iterator[tuple[Database, Database]]:
    """Two stores on one PostgreSQL database, as two hosts have them."""
    url = postgres_server.create_database(migrated_postgresql)  # type: ignore[attr-defined]
    here, there = Database(url), Database(url)
    yield here, there
    here.close()
    there.close()


def _fill(database: Database, owner: str) -> int:
    """A mail, two deliveries and a timer, all claimed by ``owner``."""
    with database.begin() as tx:
        row = journal.append(tx, envelope(), raw_mail.prepare(b"Subject: x\r\n\r\nx\r\n"))
        deliveries.enqueue(tx, [ANSWER, NOTICE], NOW)
        timers.set_timers(tx, [TimerSet(kind="unclaimed-0", due_at=NOW, ticket=4827)])
        assert len(journal.claim(tx, 10, owner, NOW, LEASE)) == 1
        assert len(deliveries.claim_due(tx, 10, owner, NOW, LEASE)) == 2
        assert len(timers.claim_due(tx, 10, owner, NOW, LEASE)) == 1
    return row.id


def _cut(database: Database) -> None:
    """End every connection of the server but ours: what a crash of the other hosts does to their sessions."""
    with database.begin() as tx:
        tx.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        )


def test_what_a_dead_gateway_had_claimed_is_due_at_its_next_start(sqlite_database: Database) -> None:
    Presence(sqlite_database, "host:1:aa").announce(NOW)
    _fill(sqlite_database, "host:1:aa")
    assert Presence(sqlite_database, "host:2:bb").announce(NOW) == ["host:1:aa"]
    with sqlite_database.begin() as tx:
        assert len(journal.claim(tx, 10, "host:2:bb", NOW, LEASE)) == 1
        assert [d.mail.kind for d in deliveries.claim_due(tx, 10, "host:2:bb", NOW, LEASE)] == ["answer"]
        assert len(timers.claim_due(tx, 10, "host:2:bb", NOW, LEASE)) == 1


@postgresql
def test_the_claims_of_a_living_gateway_stay_its_own_whatever_the_clock_says(shared: tuple[Database, Database]) -> None:
    here, there = shared
    first, second = Presence(here, "a:1:aa"), Presence(there, "b:1:bb", lambda name: True)
    first.announce(NOW)
    _fill(here, first.name)
    assert second.announce(NOW) == []
    with there.begin() as tx:
        later = NOW + 10 * HOUR
        assert journal.claim(tx, 10, second.name, later, LEASE) == []
        assert deliveries.claim_due(tx, 10, second.name, later, LEASE) == []
        assert timers.claim_due(tx, 10, second.name, later, LEASE) == []
    first.leave()
    second.leave()


def test_a_gateway_claims_again_what_it_lost_sight_of_but_not_what_it_has_in_hand(database: Database) -> None:
    row = _fill(database, "a:1:aa")
    with database.begin() as tx:
        ids = [entry.delivery.id for entry in deliveries.list_outbox(tx)]
        later = NOW + 2 * LEASE
        assert journal.claim(tx, 10, "a:1:aa", later, LEASE, {row}) == []
        assert deliveries.claim_due(tx, 10, "a:1:aa", later, LEASE, set(ids)) == []
        assert [mail.id for mail in journal.claim(tx, 10, "a:1:aa", later, LEASE)] == [row]
        assert [d.mail.kind for d in deliveries.claim_due(tx, 10, "a:1:aa", later, LEASE)] == ["answer"]


@postgresql
def test_the_dead_are_known_at_once_when_their_process_is_gone(shared: tuple[Database, Database]) -> None:
    here, there = shared
    first, second = Presence(here, "a:1:aa"), Presence(there, "a:2:bb", lambda name: name == "a:1:aa")
    first.announce(NOW)
    _fill(here, first.name)
    _cut(there)
    assert second.announce(NOW) == ["a:1:aa"]
    with there.begin() as tx:
        assert len(journal.claim(tx, 10, second.name, NOW, LEASE)) == 1
        assert [d.mail.kind for d in deliveries.claim_due(tx, 10, second.name, NOW, LEASE)] == ["answer"]
        states = {entry.delivery.mail.kind: entry.state for entry in deliveries.list_outbox(tx, list(DeliveryState))}
        assert states["offer"] is DeliveryState.UNKNOWN
        assert len(timers.claim_due(tx, 10, second.name, NOW, LEASE)) == 1
    second.leave()


@postgresql
def test_a_silent_gateway_of_another_host_has_fifteen_seconds(shared: tuple[Database, Database]) -> None:
    here, there = shared
    first, second = Presence(here, "a:1:aa"), Presence(there, "b:1:bb")
    first.announce(NOW)
    _fill(here, first.name)
    _cut(there)
    assert second.announce(NOW) == []
    assert second.look_around(NOW) == []
    with there.begin() as tx:
        assert journal.claim(tx, 10, second.name, NOW + HOUR, LEASE) == []
        missed = gateways.c.missed_at
        tx.execute(
            sa.text("UPDATE gateways SET missed_at = missed_at - :grace"), {"grace": GRACE // timedelta(microseconds=1)}
        )
        assert tx.scalar(sa.select(missed).where(gateways.c.name == "a:1:aa")) is not None
    assert second.look_around(NOW) == ["a:1:aa"]
    second.leave()


@postgresql
def test_a_gateway_that_comes_back_in_time_keeps_its_claims(shared: tuple[Database, Database]) -> None:
    here, there = shared
    first, second = Presence(here, "a:1:aa"), Presence(there, "b:1:bb")
    first.announce(NOW)
    _fill(here, first.name)
    _cut(there)
    second.announce(NOW)
    assert first.look_around(NOW) == []
    with there.begin() as tx:
        tx.execute(sa.text("UPDATE gateways SET missed_at = 0 WHERE missed_at IS NOT NULL"))
    assert second.look_around(NOW) == []
    first.leave()
    second.leave()


@postgresql
def test_one_gateway_reads_a_mailbox_and_another_takes_over_when_it_dies(shared: tuple[Database, Database]) -> None:
    here, there = shared
    first, second = Presence(here, "a:1:aa"), Presence(there, "b:1:bb")
    first.announce(NOW)
    second.announce(NOW)
    assert first.lead("mailbox:support")
    assert first.lead("mailbox:support")
    assert not second.lead("mailbox:support")
    assert second.lead("mailbox:sales")
    with here.begin() as tx:
        tx.execute(sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
    with pytest.raises(TemporaryError):
        first.lead("mailbox:support")
    assert not first.lead("mailbox:support"), "it does not know before it has looked around"
    second.look_around(NOW)
    assert second.lead("mailbox:support")
    first.look_around(NOW)
    assert not first.lead("mailbox:support")
    second.leave()
    assert first.lead("mailbox:support")
    first.leave()


@postgresql
def test_who_wants_the_store_alone_waits_for_a_gateway_that_is_just_ending(shared: tuple[Database, Database]) -> None:
    """A server notices the end of a gateway a moment after the service manager."""
    here, there = shared
    gateway = Presence(here, "a:1:aa")
    gateway.announce(NOW)

    def end() -> None:
        gateway.leave()
        here.close()

    ending = threading.Timer(0.3, end)
    ending.start()
    with alone(there):
        ending.join()
        with pytest.raises(TemporaryError):
            Presence(here, "a:2:bb").announce(NOW)


@postgresql
def test_who_wants_the_store_alone_hears_where_the_others_are(shared: tuple[Database, Database]) -> None:
    here, there = shared
    with here.begin() as tx:
        tx.execute(sa.select(1))
        with (
            pytest.raises(CopyError, match=r"1 connections .* \(from this host\): stop every gateway first"),
            alone(there),
        ):
            pass
