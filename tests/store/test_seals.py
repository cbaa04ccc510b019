"""The record: whatever is changed, removed, inserted or moved behind ticketgate's back is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import zstandard
from sqlalchemy import Connection

from gateway.seal import RECEIVED, SealKey
from gateway.store import deliveries, marks
from gateway.store.database import Database
from gateway.store.schema import counters, events, journal, leaves, raw, seals, unsealed
from gateway.store.schema import deliveries as outgoing
from gateway.store.seals import Sealed, find_last, seal_waiting
from gateway.store.verify import Proof, verify
from tests.support.spine import NOW, Road, address_of, make_mail

KEY = SealKey(bytes(range(32)))
FORGED = SealKey(bytes(range(1, 33)))

Tamper = Callable[[Connection], object]


class Desk:
    """A road whose mails are sealed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.mark_with(KEY.mark_key)
        self.road = Road(database)

    def seal(self, key: SealKey = KEY) -> Sealed:
        with self.database.begin() as tx:
            return seal_waiting(tx, key, self.road.now)

    def verify(self, key: SealKey = KEY, head: tuple[int, str] | None = None, first: int = 1) -> Proof:
        with self.database.begin() as tx:
            return verify(tx, public=key.public, mark_key=key.mark_key, head=head, first=first)

    def sentences(self, **options: object) -> list[str]:
        return [finding.sentence for finding in self.verify(**options).findings]  # type: ignore[arg-type]

    def tamper(self, change: Tamper) -> None:
        """Somebody with the password of the database, and without the key."""
        with self.database.begin() as tx:
            change(tx)

    def converse(self) -> None:
        """Jane writes, Alice answers, everything is delivered; two seals."""
        self.road.arrive(make_mail("jane@customer.test", "The amount is wrong."))
        offers = self.road.outbox()
        self.seal()
        offer = next(mail for mail in offers if mail.recipient == "alice@corp.test")
        answer = make_mail("alice@corp.test", "It is 90 euros.", to=address_of(offer), answers=offer.message_id)
        self.road.arrive(answer, recipient=address_of(offer))
        self.road.outbox()
        self.seal()


@pytest.fixture
def desk(database: Database) -> Desk:
    made = Desk(database)
    made.converse()
    return made


def test_an_untouched_store_is_proven_whole(desk: Desk) -> None:
    proof = desk.verify()
    assert proof.findings == []
    assert (proof.seals, proof.mails, proof.waiting) == (2, 2, 0)
    with desk.database.begin() as tx:
        assert proof.facts == 2 + 2 + len(tx.execute(sa.select(events)).all()) + 2 * len(
            tx.execute(sa.select(outgoing)).all()
        )


def test_what_is_not_sealed_yet_is_no_finding(desk: Desk) -> None:
    desk.road.arrive(make_mail("tom@customer.test", "Hello", subject="Another matter"))
    proof = desk.verify()
    assert proof.findings == []
    assert proof.waiting > 0
    assert desk.seal().seal is not None
    assert desk.verify().waiting == 0


@pytest.mark.postgresql
def test_mail_that_arrives_while_the_first_seal_is_made_is_sealed_once(postgresql_database: Database) -> None:
    desk, beside = Desk(postgresql_database), []
    desk.road.arrive(make_mail("jane@customer.test", "The amount is wrong."))

    def arrive(connection: Connection, cursor: object, statement: str, *more: object) -> None:
        if statement.startswith("DELETE FROM unsealed") and not beside:
            beside.append(desk.road.arrive(make_mail("tom@customer.test", "Hello", subject="Another matter")))

    with desk.database.begin() as tx:
        sa.event.listen(tx, "after_cursor_execute", arrive)
        seal_waiting(tx, KEY, desk.road.now)
    assert desk.verify().waiting > 0
    desk.seal()
    proof = desk.verify()
    assert beside and (proof.findings, proof.mails, proof.waiting) == ([], 2, 0)


def _change_raw(tx: Connection) -> None:
    row = tx.execute(sa.select(raw).order_by(raw.c.sha256).limit(1)).one()
    content = zstandard.ZstdDecompressor().decompress(row.content, max_output_size=row.size)
    changed = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
    tx.execute(sa.update(raw).where(raw.c.sha256 == row.sha256).values(content=zstandard.compress(changed)))


def _set(table: sa.Table, condition: sa.ColumnElement[bool], **values: object) -> Tamper:
    return lambda tx: tx.execute(sa.update(table).where(condition).values(**values))


def _insert_event(tx: Connection) -> None:
    row = tx.execute(sa.select(events).where(events.c.ticket == 1).order_by(events.c.number.desc()).limit(1)).one()
    tx.execute(sa.insert(events), {**row._mapping, "number": row.number + 1, "text": "I never said this"})


def _swap_order(tx: Connection) -> None:
    rows = tx.execute(sa.select(events).where(events.c.ticket == 1, events.c.number.in_((1, 2)))).all()
    first, second = sorted(rows, key=lambda row: row.number)
    for number, row in ((1, second), (2, first)):
        values = {name: value for name, value in row._mapping.items() if name not in ("ticket", "number")}
        tx.execute(sa.update(events).where(events.c.ticket == 1, events.c.number == number).values(**values))


TAMPERING: dict[str, tuple[Tamper, str]] = {
    "one byte of a mail": (_change_raw, "the bytes of mail received"),
    "who wrote a mail": (
        _set(journal, journal.c.id == 1, reverse_path="tom@x.test"),
        "mail received 1 is not what was",
    ),
    "what was decided": (_set(journal, journal.c.id == 1, reason="spam"), "the decision about mail 1 is not what was"),
    "an event's text": (
        _set(events, (events.c.ticket == 1) & (events.c.kind == "answer"), text="It is 900 euros."),
        "of ticket 1 is not what was sealed in seal 2: it was changed since",
    ),
    "an event deleted": (
        lambda tx: tx.execute(sa.delete(events).where(events.c.ticket == 1, events.c.number == 2)),
        "event 2 of ticket 1 is gone; it was sealed in seal 1",
    ),
    "an event inserted": (_insert_event, "of ticket 1 is in no seal and does not wait for one"),
    "events swapped": (_swap_order, "event 1 of ticket 1 is not what was sealed"),
    "a delivery's state": (
        _set(outgoing, outgoing.c.id == 1, state="failed"),
        "the end of outgoing mail 1 is not what",
    ),
    "a delivery reopened": (
        _set(outgoing, outgoing.c.id == 1, state="queued"),
        "the end of outgoing mail 1 is not what",
    ),
    "an outgoing mail": (
        _set(outgoing, outgoing.c.id == 2, content=b"Subject: x\r\n\r\nx"),
        "outgoing mail 2 is not what",
    ),
    "a mail deleted": (
        lambda tx: tx.execute(sa.delete(journal).where(journal.c.id == 2)),
        "mail received 2 is gone; it was sealed in seal 2",
    ),
    "a leaf": (_set(leaves, leaves.c.kind == RECEIVED, digest=b"x" * 32), "seal 1 was made over"),
    "a leaf removed with its row": (
        lambda tx: [
            tx.execute(sa.delete(leaves).where(leaves.c.kind == "event", leaves.c.b == 1)),
            tx.execute(sa.delete(events).where(events.c.number == 1)),
        ],
        "seal 1 was made over",
    ),
    "a salt": (_set(leaves, leaves.c.kind == RECEIVED, salt=None), "the salt of mail received 1 was removed"),
    "a seal's time": (_set(seals, seals.c.number == 1, at=NOW - timedelta(days=1)), "seal 1 is signed by nobody"),
    "a seal removed": (lambda tx: tx.execute(sa.delete(seals).where(seals.c.number == 1)), "seal 1: missing from"),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_found_and_named(desk: Desk, what: str) -> None:
    change, sentence = TAMPERING[what]
    desk.tamper(change)
    found = desk.sentences()
    assert any(sentence in line for line in found), found


@pytest.mark.parametrize("what", ["an event inserted", "an event's text", "a delivery's state"])
def test_the_next_seal_does_not_launder_it(desk: Desk, what: str) -> None:
    change, sentence = TAMPERING[what]
    desk.tamper(change)
    desk.road.arrive(make_mail("tom@customer.test", "Hello", subject="Another matter"))
    desk.road.outbox()
    assert desk.seal().seal is not None
    assert any(sentence in line for line in desk.sentences())


def test_a_fact_marked_without_the_key_is_refused_and_named(desk: Desk) -> None:
    def insert(tx: Connection) -> None:
        _insert_event(tx)
        number = tx.execute(sa.select(sa.func.max(events.c.number)).where(events.c.ticket == 1)).scalar_one()
        row = {"kind": "event", "a": 1, "b": number, "refused": False, "salt": b"\0" * 16, "digest": b"\0" * 32}
        tx.execute(sa.insert(unsealed), {**row, "mark": b"\0" * 16})

    desk.tamper(insert)
    assert any("has not the installation's key" in line for line in desk.sentences())
    sealed = desk.seal()
    assert sealed.seal is None
    assert [kind for kind, _, _ in sealed.refused] == ["event"]
    assert any("has not the installation's key" in line for line in desk.sentences())
    assert desk.seal().refused == ()  # told once


def test_history_sealed_again_with_another_key_is_found(desk: Desk) -> None:
    """Whoever has the database can make a whole new chain, but not one that the installation's key has signed."""

    def forge(tx: Connection) -> None:
        tx.execute(sa.update(events).where(events.c.kind == "answer").values(text="It is 900 euros."))
        tx.execute(sa.delete(seals))
        tx.execute(sa.delete(leaves))
        tx.execute(sa.delete(counters).where(counters.c.name == "seal"))  # or the gap would tell
        seal_waiting(tx, FORGED, NOW)

    desk.tamper(forge)
    assert desk.verify(FORGED).findings == []
    assert desk.sentences() == ["seal 1 is signed by another key"]

    def claim_to_be_ours(tx: Connection) -> None:
        tx.execute(sa.update(seals).values(key=KEY.public))

    desk.tamper(claim_to_be_ours)
    assert any(line.startswith("seal 1 is signed by nobody with the key") for line in desk.sentences())


def test_a_chain_cut_off_at_its_end_is_found_by_whoever_knows_its_head(desk: Desk) -> None:
    with desk.database.begin() as tx:
        last = find_last(tx)
    assert last is not None

    def cut(tx: Connection) -> None:
        for key, number in tx.execute(
            sa.select(leaves.c.a, leaves.c.b).where(leaves.c.seal == 2, leaves.c.kind == "event")
        ):
            tx.execute(sa.delete(events).where(events.c.ticket == key, events.c.number == number))
        tx.execute(sa.delete(journal).where(journal.c.id == 2))
        gone = sa.select(leaves.c.a).where(leaves.c.seal == 2, leaves.c.kind == "queued")
        tx.execute(sa.delete(outgoing).where(outgoing.c.id.in_(gone)))
        tx.execute(sa.delete(leaves).where(leaves.c.seal == 2))
        tx.execute(sa.delete(seals).where(seals.c.number == 2))

    desk.tamper(cut)
    assert desk.sentences() == []  # a shorter history is a true one: nothing inside can say that there was more
    (line,) = desk.sentences(head=(2, last.digest.hex()[:32]))
    assert line.startswith("the chain ends at seal 1, but seal 2 was made")


def test_another_history_of_the_same_length_is_found_by_whoever_knows_its_head(desk: Desk) -> None:
    (line,) = desk.sentences(head=(2, "ab" * 16))
    assert line == "seal 2 is not the one that was noted outside the database"


def test_rows_sealed_long_ago_may_be_left_out(desk: Desk) -> None:
    desk.tamper(_set(journal, journal.c.id == 1, reverse_path="tom@x.test"))
    assert desk.sentences(first=2) == []


def test_an_answer_that_was_sent_and_bounced_later_is_sealed_twice(desk: Desk) -> None:
    with desk.database.begin() as tx:
        assert deliveries.report_failed(tx, 1, "550 no such user", desk.road.now)
    assert desk.sentences() == []
    desk.seal()
    assert desk.sentences() == []
    assert replace(desk.verify(), last=None).findings == []


def test_work_in_progress_needs_no_seal(database: Database) -> None:
    desk = Desk(database)
    desk.road.arrive(make_mail("jane@customer.test", "The amount is wrong."))
    desk.seal()
    with desk.database.begin() as tx:
        deliveries.claim_due(tx, 1, "w", desk.road.now, timedelta(minutes=5))
    assert desk.sentences() == []


def test_a_store_without_a_key_marks_nothing(database: Database) -> None:
    road = Road(database)
    road.arrive(make_mail("jane@customer.test", "The amount is wrong."))
    with database.begin() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(unsealed)).scalar_one() == 0
        assert marks.OPTION not in tx.get_execution_options()


def test_the_first_seal_takes_in_what_was_there_before(database: Database) -> None:
    Road(database).arrive(make_mail("jane@customer.test", "The amount is wrong."))
    desk = Desk(database)
    sealed = desk.seal()
    assert sealed.seal is not None
    assert sealed.seal.number == 1
    assert desk.sentences() == []
    desk.tamper(_set(events, events.c.number == 1, text="x"))
    assert desk.sentences() == ["event 1 of ticket 1 is not what was sealed in seal 1: it was changed since"]


Looted = list[dict[str, Any]]


def _loot(desk: Desk) -> Looted:
    """What waits, as somebody with the database can read it."""
    with desk.database.begin() as tx:
        return [dict(row._mapping) for row in tx.execute(sa.select(unsealed))]


def _put_back(desk: Desk, loot: Looted, kind: str, a: int, *, number: int | None = None) -> None:
    """A mark of this fact once more, under its own number or another."""
    row = next(row for row in loot if (row["kind"], row["a"]) == (kind, a))
    with desk.database.begin() as tx:
        tx.execute(sa.insert(unsealed), {**row, "id": number or row["id"]})


@pytest.fixture
def looted(database: Database) -> tuple[Desk, Looted]:
    """All is sealed, and somebody kept a copy of every mark that waited meanwhile."""
    desk = Desk(database)
    desk.seal()
    desk.road.arrive(make_mail("jane@customer.test", "The amount is wrong."))
    desk.road.outbox()
    with database.begin() as tx:
        assert deliveries.report_failed(tx, 1, "550 no such user", desk.road.now)
    loot = _loot(desk)
    desk.seal()
    desk.road.arrive(make_mail("tom@customer.test", "Hello", subject="Another matter"))
    desk.seal()
    assert desk.sentences() == []
    return desk, loot


@pytest.mark.parametrize("number", [None, 9_000_000])
@pytest.mark.parametrize(
    ("kind", "table", "changed"),
    [
        ("ended", outgoing, {"state": "sent", "reply": "250 queued"}),
        ("decided", journal, {"author": "mallory@evil.test", "reason": "forged"}),
    ],
)
def test_a_mark_that_was_used_seals_nothing_again(
    looted: tuple[Desk, Looted], kind: str, table: sa.Table, changed: dict[str, str], number: int | None
) -> None:
    """Whoever reads the marks that wait can neither use one again nor give it another number."""
    desk, loot = looted
    desk.tamper(_set(table, table.c.id == 1, **changed))
    _put_back(desk, loot, kind, 1, number=number)
    for _ in range(2):  # before the gateway looks, and after
        found = desk.verify().findings
        assert {"changed", "refused" if number else "stale"} == {finding.what for finding in found}, found
        sealed = desk.seal()
        assert sealed.seal is None
    with desk.database.begin() as tx:
        assert tx.execute(sa.select(unsealed.c.refused)).scalars().all() == [True]


def test_a_mark_that_was_used_hides_neither_a_change_nor_a_loss(looted: tuple[Desk, Looted]) -> None:
    desk, loot = looted
    _put_back(desk, loot, "event", 1)
    desk.tamper(lambda tx: tx.execute(sa.delete(events).where(events.c.ticket == 1, events.c.number == 1)))
    assert {"missing", "stale"} == {finding.what for finding in desk.verify().findings}


def test_what_is_changed_or_removed_while_it_waits_is_found(desk: Desk) -> None:
    """The mark is of what was written: until the seal nobody without the key can write anything else under it."""
    desk.road.arrive(make_mail("tom@customer.test", "Hello", subject="Another matter"))
    desk.tamper(_set(journal, journal.c.id == 3, reverse_path="eve@evil.test"))
    desk.tamper(lambda tx: tx.execute(sa.delete(events).where(events.c.ticket == 2, events.c.number == 1)))
    for _ in range(2):
        assert {("changed", "mail received 3"), ("missing", "event 1 of ticket 2")} == {
            (finding.what, finding.fact) for finding in desk.verify().findings
        }
        desk.seal()


def test_serials_go_on_although_everything_that_waited_is_sealed(looted: tuple[Desk, Looted]) -> None:
    """The end of a delivery has versions; a number that came again would make the later one an old one."""
    desk, loot = looted
    with desk.database.begin() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(unsealed)).scalar_one() == 0
        assert deliveries.report_failed(tx, 2, "550 no such user", desk.road.now)
        fresh = tx.execute(sa.select(unsealed.c.id)).scalar_one()
    assert fresh > max(row["id"] for row in loot)
    assert desk.seal().refused == ()
    assert desk.sentences() == []


def test_serials_go_on_behind_the_leaves_of_a_store_that_was_put_back(looted: tuple[Desk, Looted]) -> None:
    """A sequence may be put back without what it counted; then later versions would be refused as old ones."""
    desk, _ = looted
    with desk.database.begin() as tx:
        highest = tx.execute(sa.select(sa.func.max(leaves.c.serial))).scalar_one()
        if tx.dialect.name == "postgresql":
            tx.execute(sa.text("SELECT setval(pg_get_serial_sequence('unsealed', 'id'), 1, false)"))
        else:
            tx.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'unsealed'"))
        marks.go_on_behind(tx)
        assert deliveries.report_failed(tx, 2, "550 no such user", desk.road.now)
        assert tx.execute(sa.select(unsealed.c.id)).scalar_one() > highest
