"""A store that went back: recognised, held, released; retention beside a clock that jumps; copies under load."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.demo.mail_client import read_mail, text_of
from gateway.model import Envelope, Proof, TimerSet
from gateway.safekeeping.keeper import Keeper
from gateway.safekeeping.outside import read_mark
from gateway.seal import SealKey
from gateway.settings import Retention, Secret, Security, Storage
from gateway.store import deliveries, journal, tickets, timers
from gateway.store.copying import CopyError, copy_out, is_empty, put_back_file, put_back_tables
from gateway.store.database import Database
from gateway.store.gate import is_held
from gateway.store.recovery import (
    EVENTS_SKIPPED,
    TICKETS_SKIPPED,
    find_loss,
    make_safe,
    read_standing,
    release_outbox,
    sent_keys,
)
from gateway.store.schema import REVISION, counters, events, imap_marks, leaves, raw, seals, unsealed
from gateway.store.schema import deliveries as outgoing
from gateway.store.seals import seal_waiting
from gateway.store.verify import verify
from tests.support.databases import PostgresServer
from tests.support.spine import NOW, SETTINGS, Road, address_of, header_of, make_mail

KEY = SealKey(bytes(range(32)))
HOUR = timedelta(hours=1)
ADMIN = "ops@desk.test"


@pytest.fixture
def road(database: Database) -> Road:
    database.mark_with(KEY.mark_key)
    return Road(database)


def _seal(road: Road) -> None:
    with road.database.begin() as tx:
        seal_waiting(tx, KEY, road.now)


def test_a_store_is_behind_its_mark_when_rows_or_seals_are_gone(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello"))
    _seal(road)
    with road.database.begin() as tx:
        mark = read_standing(tx)
        assert find_loss(tx, mark, mark) == ""
        assert find_loss(tx, replace(mark, journal=mark.journal + 5), mark) == ""  # it went on
        assert find_loss(tx, replace(mark, journal=0, deliveries=1), mark) == "it lacks 1 mails received, 2 mails sent"
        assert find_loss(tx, replace(mark, store=1, journal=0), mark) == ""  # another store altogether
        assert find_loss(tx, replace(mark, restored=1, journal=0), mark) == ""  # put back on purpose since
        tx.execute(sa.update(seals).values(signature=b"x", at=NOW - HOUR))
        assert find_loss(tx, mark, mark) == "seal 1 is not the one that was made"


def test_while_it_is_held_nothing_leaves_and_nothing_falls_due(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello"))
    with road.database.begin() as tx:
        tx.execute(
            sa.insert(imap_marks),
            {"account": "a", "folder": "INBOX", "uidvalidity": 1, "uid": 90, "floor": 7, "since": None},
        )
        timers.set_timers(tx, [TimerSet(kind="unclaimed-1", ticket=1, due_at=road.now)])
        make_safe(tx, road.now)
    road.now += HOUR
    assert road.outbox() == []
    with road.database.begin() as tx:
        assert timers.claim_due(tx, 10, "w", road.now, HOUR) == []
        assert tx.execute(sa.select(imap_marks.c.uid)).scalar_one() == 7
        assert is_held(tx)
        assert release_outbox(tx, (), road.now) is not None
        assert release_outbox(tx, (), road.now) is None
    assert len(road.outbox()) == 3


def test_numbers_of_lost_tickets_are_not_given_out_again(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello"))
    with road.database.begin() as tx:
        mark = replace(read_standing(tx), ticket=40)
        make_safe(tx, road.now, mark)
    assert road.arrive(make_mail("tom@customer.test", "Hello", subject="x")).ticket == 141
    with road.database.begin() as tx:
        make_safe(tx, road.now)  # on a new machine nobody knows
    assert road.arrive(make_mail("eve@customer.test", "Hello", subject="y")).ticket == 142 + TICKETS_SKIPPED


def test_what_left_before_does_not_leave_again_and_clocks_stood_still(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello"))
    since = road.now
    with road.database.begin() as tx:
        waiting = [entry.delivery.id for entry in deliveries.list_outbox(tx)]
        keys = sent_keys(tx, waiting)
        make_safe(tx, since)
        wanted = [
            TimerSet(kind="unclaimed-1", ticket=1, due_at=since + timedelta(minutes=10)),
            TimerSet(kind="snooze", ticket=1, due_at=since + timedelta(minutes=10)),
            TimerSet(kind="digest", party=1, due_at=since + timedelta(minutes=10)),
        ]
        timers.set_timers(tx, wanted)
        later = since + HOUR
        released = release_outbox(tx, {keys[waiting[0]]}, later)
        assert released is not None
        assert (released.sent_before, released.moved, released.rounds) == (1, 1, 1)
        due = {timer.kind: timer.due_at for timer in timers.list_timers(tx, 1)}
        assert due["unclaimed-1"] == later + timedelta(minutes=10)
        assert due["snooze"] == since + timedelta(minutes=10)  # a moment somebody chose
        assert timers.list_timers(tx, 0) == []
    road.now = later
    assert len(road.outbox()) == len(waiting) - 1


def _keeper(road: Road, folder: Path, beat: list[float]) -> Keeper:
    key = folder / "token.key"
    key.touch(mode=0o600)
    url = f"sqlite:{folder}/ticketgate.db"
    rules = Retention(raw=timedelta(days=400), run_at="00:00")
    settings = replace(
        SETTINGS,
        storage=Storage(url=url),
        security=Security(token_key=Secret(f"file:{key}")),
        retention=rules,
        ticketgate=replace(SETTINGS.ticketgate, admin=(ADMIN,)),
    )
    keeper = Keeper(road.database, lambda: settings, lambda: beat[0])
    keeper.open()
    with road.database.begin() as tx:
        keeper.begin(tx, road.now)
    return keeper


def _bytes_kept(road: Road) -> int:
    with road.database.begin() as tx:
        return int(tx.execute(sa.select(sa.func.count()).where(sa.func.length(raw.c.content) > 0)).scalar_one())


async def test_fault_63_a_clock_ten_years_ahead_erases_nothing(road: Road, tmp_path: Path) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello"))
    beat = [0.0]
    keeper = _keeper(road, tmp_path, beat)
    for _ in range(3 * 24):
        await keeper.round(road.now + timedelta(seconds=beat[0]))
        beat[0] += 3600
    ahead = road.now + timedelta(days=3650)
    for _ in range(5):
        await keeper.round(ahead + timedelta(seconds=beat[0]))
        beat[0] += 12
    await keeper.round(road.now + timedelta(seconds=beat[0]))
    assert _bytes_kept(road) == 1

    for _ in range(25):  # and it does run when time has really passed
        await keeper.round(ahead + timedelta(seconds=beat[0]))
        beat[0] += 3600
    assert _bytes_kept(road) == 0


async def test_the_keeper_seals_and_notes_how_far_the_store_has_come(road: Road, tmp_path: Path) -> None:
    keeper = _keeper(road, tmp_path, [0.0])
    road.arrive(make_mail("jane@customer.test", "Hello"))
    assert not await keeper.round(road.now)
    mark = read_mark(tmp_path)
    assert mark is not None
    assert (mark.standing.journal, mark.standing.ticket, mark.standing.seal) == (1, 1, 1)
    head = (mark.standing.seal, mark.standing.seal_digest)
    with road.database.begin() as tx:  # a failover that lost the last seal, while the daemon runs
        tx.execute(sa.delete(seals))
    await keeper.round(road.now)
    with road.database.begin() as tx:
        assert is_held(tx)
    road.arrive(make_mail("tom@customer.test", "Hello"))
    for later_on in (keeper, _keeper(road, tmp_path, [0.0])):  # what is missing is not forgotten, nor by a restart
        with road.database.begin() as tx:
            later_on.begin(tx, road.now)
        await later_on.round(road.now)
        later = read_mark(tmp_path)
        assert later is not None and later.cut == head


def _to_admins(road: Road) -> list[str]:
    """The texts of the mails to the admins, oldest first."""
    with road.database.begin() as tx:
        rows = tx.execute(sa.select(outgoing.c.content).where(outgoing.c.recipient == ADMIN).order_by(outgoing.c.id))
        return [text_of(read_mail(content)) for content in rows.scalars()]


async def test_the_head_of_the_chain_is_mailed_every_week_and_proves_it_later(road: Road, tmp_path: Path) -> None:
    keeper = _keeper(road, tmp_path, [0.0])
    for day in range(10):
        road.arrive(make_mail(f"jane{day}@customer.test", "Hello", subject=f"Matter {day}"))
        for _ in range(2):
            await keeper.round(NOW + timedelta(days=day, minutes=1))
    first, second = _to_admins(road)  # of the second day, and of a week later
    found = re.search(r"--head (\d+):([0-9a-f]{32})", first)
    key = re.search(r"[0-9a-f]{64}", first)
    assert found and key and f"{found[1]}:" not in second
    head, public = (int(found[1]), found[2]), bytes.fromhex(key[0])
    with road.database.begin() as tx:
        assert verify(tx, public=public, head=head).findings == []
        tx.execute(sa.delete(leaves))  # whoever has key and database makes another history
        tx.execute(sa.delete(seals))
        tx.execute(sa.delete(unsealed))
        tx.execute(sa.delete(counters).where(counters.c.name == "seal"))
    for day in range(3):
        await keeper.round(NOW + timedelta(days=11 + day))
        road.arrive(make_mail(f"tom{day}@customer.test", "Hello", subject=f"Other {day}"))
    with road.database.begin() as tx:
        assert verify(tx, public=public).findings == []
        assert [finding.what for finding in verify(tx, public=public, head=head).findings] == ["chain"]


async def test_the_admins_hear_of_a_store_that_went_back_and_how_much_it_lacks(road: Road, tmp_path: Path) -> None:
    keeper = _keeper(road, tmp_path, [0.0])
    road.arrive(make_mail("jane@customer.test", "Hello"))
    await keeper.round(road.now)
    with road.database.begin() as tx:
        tx.execute(sa.delete(seals))
        tx.execute(sa.delete(outgoing))
    await keeper.round(road.now)
    (text,) = _to_admins(road)
    assert "lacks 0 mails that were received and 3 that were queued" in text
    assert "ticketgate queue release" in text


async def test_the_keepers_trouble_is_told_once_the_loop_runs_and_so_is_its_end(road: Road, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    (tmp_path / "seal.key").write_text("no key at all")
    beat = [0.0]
    keeper = _keeper(road, tmp_path, beat)
    keeper.told = lambda alarm, reason: told.append((alarm, reason))
    await keeper.round(road.now)
    assert [alarm for alarm, reason in told if reason] == ["seal-key"]
    assert (tmp_path / "seal.key").read_text() == "no key at all", "whatever it is, it is not written over"

    road.arrive(make_mail("jane@customer.test", "Hello"))
    told.clear()
    with road.database.begin() as tx:
        tx.exec_driver_sql("ALTER TABLE erasures RENAME TO gone")
    await _pass_days(keeper, road, beat, 402)
    assert {alarm for alarm, reason in told if reason} == {"retention"}
    with road.database.begin() as tx:
        tx.exec_driver_sql("ALTER TABLE gone RENAME TO erasures")
    told.clear()
    await _pass_days(keeper, road, beat, 403)
    assert ("retention", "") in told and _bytes_kept(road) == 0


async def _pass_days(keeper: Keeper, road: Road, beat: list[float], day: int) -> None:
    """A day and an hour that begin so many days after now, at a steady clock."""
    beat[0] = day * 86400.0
    for _ in range(26):
        await keeper.round(road.now + timedelta(seconds=beat[0]))
        beat[0] += 3600


def test_a_copy_made_under_load_is_whole_and_can_be_put_back(
    road: Road, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Mails come in the whole time; what was committed before the copy began is in it, and nothing is half in it."""
    database = road.database
    for number in range(3):
        road.arrive(make_mail("jane@customer.test", f"Hello {number}", subject=f"Matter {number}"))
    _seal(road)
    stop, taken = threading.Event(), []

    def receive() -> None:
        while not stop.is_set():
            envelope = Envelope(
                reverse_path="x@y.test",
                recipient="support@desk.test",
                inbox="support",
                source="lmtp",
                received_at=datetime.now(UTC),
            )
            with database.begin() as tx:
                row = journal.append(tx, envelope, make_mail("tom@y.test", f"Load {len(taken)}")).id
            taken.append(row)  # only now it is committed

    loading = threading.Thread(target=receive)
    loading.start()
    try:
        while len(taken) < 20:
            stop.wait(0.01)
        before = list(taken)
        folder = tmp_path / "copy"
        folder.mkdir()
        standing = []
        copy_out(database, folder, lambda tx: standing.append(read_standing(tx)))
    finally:
        stop.set()
        loading.join()

    if database.is_sqlite:
        target = Database(f"sqlite:{tmp_path}/other/ticketgate.db")
        (tmp_path / "other").mkdir()
        assert is_empty(target)
        put_back_file(target, folder, ".aside", lambda tx: None)
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        target = Database(server.create_database())
        assert is_empty(target)
        put_back_tables(target, folder, REVISION, "aside", lambda tx: None)
    target = Database(f"sqlite:{tmp_path}/other/ticketgate.db") if database.is_sqlite else target
    try:
        assert not is_empty(target)
        with target.begin() as tx:
            there = set(tx.execute(sa.select(journal.journal.c.id)).scalars())
            assert set(before) <= there
            assert max(there) == standing[0].journal
            assert verify(tx, public=KEY.public, mark_key=KEY.mark_key).findings == []
            assert tx.execute(sa.select(sa.func.count()).select_from(events)).scalar_one() > 3
        target.mark_with(KEY.mark_key)
        again = Road(target)  # numbers go on behind those that were copied
        again.now = road.now
        assert again.arrive(make_mail("eve@y.test", "After", subject="After")).ticket > 0
    finally:
        target.close()


def test_a_damaged_database_is_not_copied(sqlite_database: Database, tmp_path: Path) -> None:
    road = Road(sqlite_database)
    for number in range(30):
        road.arrive(make_mail("jane@customer.test", "x" * 3000, subject=f"Matter {number}"))
    path = sqlite_database.sqlite_file
    assert path is not None
    sqlite_database.close()
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096 * 10)
    folder = tmp_path / "copy"
    folder.mkdir()
    with pytest.raises(CopyError, match="damaged"):
        copy_out(Database(f"sqlite:{path}"), folder, lambda tx: None)


def test_the_loop_is_free_while_the_keeper_notes(road: Road, tmp_path: Path) -> None:
    keeper = _keeper(road, tmp_path, [0.0])
    road.arrive(make_mail("jane@customer.test", "Hello"))
    assert asyncio.run(keeper.round(road.now)) is False
    assert (tmp_path / "seal.key").stat().st_mode & 0o777 == 0o600


def test_replies_to_what_was_written_in_the_lost_time_never_land_in_another_ticket(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """The mails of the lost hour came by SMTP, so they are gone; people still have them and answer them."""
    road = Road(sqlite_database)
    road.arrive(make_mail("jane@customer.test", "Hello", message_id="<1@customer.test>"))
    offer = next(mail for mail in road.outbox() if mail.recipient == "alice@corp.test")
    older = tmp_path / "copy"
    older.mkdir()
    copy_out(sqlite_database, older, lambda tx: None)

    answer_to = {"recipient": address_of(offer), "proof": Proof.DKIM}
    answering = make_mail("alice@corp.test", "Off and on.", answers=header_of(offer, "Message-ID"))
    road.arrive(answering, **answer_to)  # type: ignore[arg-type]
    answer = next(mail for mail in road.outbox() if mail.kind == "answer")
    road.arrive(make_mail("tom@shop.test", "A chair", subject="Chair", message_id="<2@shop.test>"))
    ack = next(mail for mail in road.outbox() if mail.recipient == "tom@shop.test")
    assert header_of(ack, "Message-ID").startswith("<2.")
    with sqlite_database.begin() as tx:
        mark = read_standing(tx)

    store = Database(f"sqlite:{older}/ticketgate.db")
    try:
        with store.begin() as tx:
            make_safe(tx, NOW, mark)
        restored = Road(store)
        restored.now = road.now
        fresh = restored.arrive(make_mail("eve@other.test", "Mine", subject="Desk", message_id="<3@other.test>"))
        thanks = make_mail("jane@customer.test", "It works.", answers=header_of(answer, "Message-ID"))
        assert restored.arrive(thanks, recipient=address_of(answer)).ticket == 1, "its ticket is older than the copy"
        more = make_mail("tom@shop.test", "Is it red?", subject="Re: Chair", answers=header_of(ack, "Message-ID"))
        lost = restored.arrive(more, recipient=address_of(ack)).ticket
        assert lost not in (1, 2, fresh.ticket), "the ticket is gone: a new one, and nobody else's"
        assert restored.ticket(lost).subject == "Chair"
    finally:
        store.close()


def test_no_message_id_of_the_lost_time_is_given_out_again(sqlite_database: Database, tmp_path: Path) -> None:
    """A customer has the answer that was lost; another one with its Message-ID many mail programs would not show."""
    road = Road(sqlite_database)
    road.arrive(make_mail("jane@customer.test", "Hello", message_id="<1@customer.test>"))
    offer = next(mail for mail in road.outbox() if mail.recipient == "alice@corp.test")
    with sqlite_database.begin() as tx:
        read_standing(tx)  # as a start does: from now on it is this store and no other
    older = tmp_path / "copy"
    older.mkdir()
    copy_out(sqlite_database, older, lambda tx: None)

    def answer(desk: Road, text: str) -> tuple[str, str]:
        answering = make_mail("alice@corp.test", text, answers=header_of(offer, "Message-ID"))
        desk.arrive(answering, recipient=address_of(offer), proof=Proof.DKIM)
        mail = next(mail for mail in desk.outbox() if mail.kind == "answer")
        return header_of(mail, "Message-ID"), mail.reverse_path

    ids = [answer(road, "Off and on.")]
    with sqlite_database.begin() as tx:
        mark = read_standing(tx)
    for again in ("once.db", "twice.db"):  # the same copy
        shutil.copy(older / "ticketgate.db", tmp_path / again)
        store = Database(f"sqlite:{tmp_path / again}")
        try:
            with store.begin() as tx:
                make_safe(tx, NOW, mark)
                release_outbox(tx, (), NOW)
            restored = Road(store)
            restored.now = road.now
            ids.append(answer(restored, f"Somebody comes, {again}."))
            thanks = make_mail(
                "jane@customer.test", "Thanks", subject="x", answers=ids[-1][0], message_id=f"<{again}@c>"
            )
            assert restored.arrive(thanks).ticket == 1
            with store.begin() as tx:
                mark = read_standing(tx)
        finally:
            store.close()
    assert len({message_id for message_id, _ in ids}) == 3, ids
    assert len({path for _, path in ids}) == 3, ids


def test_lists_go_on_behind_those_of_the_lost_time_and_a_ticket_keeps_to_five_digits(database: Database) -> None:
    road = Road(database)
    road.arrive(make_mail("jane@customer.test", "Hello"))
    with database.begin() as tx:
        tx.execute(sa.insert(counters), {"name": "list", "value": 99_500})
        before = tickets.load_ticket(tx, 1)
        make_safe(tx, road.now)
        assert before is not None
        assert _counted(tx, "list") == 99_999
    assert road.ticket(1).last_event == before.last_event + EVENTS_SKIPPED
    with database.begin() as tx:
        for _ in range(200):
            make_safe(tx, road.now)
    assert 90_000 < road.ticket(1).last_event < 99_000


def _counted(tx: sa.Connection, name: str) -> int:
    return int(tx.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar_one())
