"""What each gateway sent is held against an outbox that is held, before anything leaves again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway import maillog
from gateway.model import Delivery
from gateway.safekeeping.departed import Departed
from gateway.safekeeping.keeper import Keeper
from gateway.safekeeping.outside import (
    gateway_name,
    note_sent,
    read_certain,
    read_gateways,
    read_sent,
)
from gateway.settings import Secret, Security, Settings
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.recovery import (
    exact_key,
    find_unheard,
    forget_gateways,
    introduce,
    make_safe,
    release_outbox,
    sent_keys,
)
from gateway.store.schema import deliveries as outgoing
from gateway.store.undelivered import send_again
from tests.support.spine import SETTINGS, Road, make_mail

CUSTOMER = "jane@customer.test"


def _gateway(folder: Path) -> Settings:
    folder.mkdir()
    return replace(SETTINGS, security=Security(token_key=Secret(f"file:{folder}/token.key")))


def _open(road: Road) -> dict[str, int]:
    with road.database.begin() as tx:
        return {entry.delivery.mail.recipient: entry.delivery.id for entry in deliveries.list_outbox(tx)}


def test_the_outbox_opens_when_every_gateway_has_said_what_it_sent(
    postgresql_database: Database, tmp_path: Path
) -> None:
    """The second came after the backup was made: only what lies beside the first one's token key knows it."""
    road = Road(postgresql_database)
    one, two = _gateway(tmp_path / "one"), _gateway(tmp_path / "two")
    first, second = Departed(lambda: one), Departed(lambda: two)
    with road.database.begin() as tx:
        second.begin(tx, road.now)
        first.begin(tx, road.now)
    first.note_gateways()
    road.arrive(make_mail(CUSTOMER, "Hello"))
    ack = _open(road)[CUSTOMER]
    with road.database.begin() as tx:
        note_sent(tmp_path / "two", sent_keys(tx, [ack]).values(), road.now)  # it sent it, and the database was lost
        forget_gateways(tx, [gateway_name(one), gateway_name(two)])  # not known when the backup was made
        introduce(tx, read_gateways(tmp_path / "one"))
        make_safe(tx, road.now)
        assert find_unheard(tx, gateway_name(one)) == [gateway_name(two)]
        first.compare(tx, road.now)
        assert find_unheard(tx, gateway_name(one)) == [gateway_name(two)]
        second.begin(tx, road.now)
        assert find_unheard(tx, gateway_name(one)) == []
    assert CUSTOMER not in _open(road)

    road.arrive(make_mail("tom@shop.test", "Hello", subject="A chair"))  # a mailbox is read again
    with road.database.begin() as tx:
        assert find_unheard(tx, gateway_name(one)) == [gateway_name(two)]
        second.compare(tx, road.now)
        assert find_unheard(tx, gateway_name(one)) == []
        released = release_outbox(tx, (), road.now)
        assert released is not None and released.sent_before == 1
    assert CUSTOMER not in [mail.recipient for mail in road.outbox()]


def test_what_the_relay_had_when_a_crash_came_is_recorded_and_not_sent_again(
    database: Database, tmp_path: Path
) -> None:
    road = Road(database)
    settings = _gateway(tmp_path / "one")
    road.arrive(make_mail(CUSTOMER, "Hello"))
    with database.begin() as tx:
        claimed = {d.mail.recipient: d for d in deliveries.claim_due(tx, 10, "w", road.now, timedelta(minutes=5))}
    ours, other = claimed[CUSTOMER], claimed["bob@corp.test"]
    note_sent(tmp_path / "one", ["k"], road.now, _exactly(ours, ours.queued_at))
    # An alarm, or a list, whose number has come round; a mail that left, came back and was queued again.
    note_sent(tmp_path / "one", ["k"], road.now, _exactly(other, other.queued_at - timedelta(minutes=1)))
    with database.begin() as tx:
        Departed(lambda: settings).begin(tx, road.now)
        states = dict(tx.execute(sa.select(outgoing.c.recipient, outgoing.c.state)).all())
    assert states == {CUSTOMER: "sent", "alice@corp.test": "transmitting", "bob@corp.test": "transmitting"}


def _exactly(delivery: Delivery, queued_at: datetime) -> str:
    return exact_key(delivery.mail.message_id, delivery.mail.recipient, queued_at)


def test_a_mail_that_left_once_and_is_queued_again_leaves_again(database: Database, tmp_path: Path) -> None:
    road, settings = Road(database), _gateway(tmp_path / "one")
    keeper = Keeper(database, lambda: settings)
    road.arrive(make_mail(CUSTOMER, "Hello"))
    with database.begin() as tx:
        for delivery in deliveries.claim_due(tx, 10, "w", road.now, timedelta(minutes=5)):
            keeper.note_left(f"k{delivery.id}", delivery)
            deliveries.record_attempt(tx, delivery, "failed", "it came back", None, road.now)
    later = road.now + timedelta(minutes=3)
    with database.begin() as tx:
        numbers = list(tx.execute(sa.select(outgoing.c.id)).scalars())
        assert all(send_again(tx, number, later) for number in numbers)
        Departed(lambda: settings).begin(tx, later)
        assert set(tx.execute(sa.select(outgoing.c.state)).scalars()) == {"queued"}
        again = deliveries.claim_due(tx, 10, "w", later, timedelta(minutes=5))
        keeper.note_left("k", again[0])
        Departed(lambda: settings).begin(tx, later)
        states = dict(tx.execute(sa.select(outgoing.c.id, outgoing.c.state)).all())
    assert states.pop(again[0].id) == "sent"
    assert set(states.values()) == {"transmitting"}


def test_the_log_of_another_host_beside_ours_counts_and_a_torn_line_does_not(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
    note_sent(tmp_path, ["ours"], moment, "row")
    note_sent(tmp_path, ["sealed"], moment)
    (tmp_path / "sent.log.other").write_text("2026-11-25T03:00:00Z theirs exactly\n2026-11-2")
    assert read_sent(tmp_path) == {"ours", "sealed", "theirs"}
    assert read_certain(tmp_path) == {"row"}
    with (tmp_path / "sent.log").open("a") as log:
        log.write("2026-11-2")  # a full disk, and what comes next begins a line of its own
    note_sent(tmp_path, ["next"], moment, "following")
    assert read_certain(tmp_path) == {"row", "following"}
    assert "next" in read_sent(tmp_path)


def test_an_outbox_that_is_held_is_in_the_log_every_hour(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(maillog, "alerted", lambda problem, detail="": said.append(f"{problem}: {detail}"))
    settings = _gateway(tmp_path / "one")
    road, departed, changes = Road(database), Departed(lambda: settings), []
    departed.changed = lambda: changes.append(departed.since)
    with database.begin() as tx:
        make_safe(tx, road.now)
        departed.begin(tx, road.now)
        for minutes in range(1, 150):
            departed.compare(tx, road.now + timedelta(minutes=minutes))
        assert len(said) == 3 and "ticketgate queue release" in said[0]
        release_outbox(tx, (), road.now)
        departed.compare(tx, road.now)
    assert changes == [road.now, None]
