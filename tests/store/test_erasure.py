"""Erasure: contents are gone from the database and its file, the record is proven whole, and counts stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.model import Instruction, OutboundMail
from gateway.seal import SealKey
from gateway.settings import Retention
from gateway.store import answers, deliveries, journal, search
from gateway.store.database import Database
from gateway.store.erasure import ERASED
from gateway.store.forgetting import (
    NotErasableError,
    compact,
    count_retention,
    erase_person,
    find_known,
    run_retention,
)
from gateway.store.schema import counters, erasures, events, leaves, metadata, persons, tickets, unsealed
from gateway.store.schema import journal as rows_of_mail
from gateway.store.seals import seal_waiting
from gateway.store.verify import Proof, verify
from tests.support.spine import Road, address_of, header_of, make_mail, text_of

KEY = SealKey(bytes(range(32)))
SECRETS = ("jane@customer.test", "doe", "licences", "zeppelin", "ballast", "janes-laptop")
"""What must be nowhere once Jane is erased: her address, name, words, the answers to her, her Message-IDs."""


class Desk:
    def __init__(self, database: Database) -> None:
        self.database = database
        database.mark_with(KEY.mark_key)
        self.road = Road(database)

    def seal(self) -> None:
        with self.database.begin() as tx:
            seal_waiting(tx, KEY, self.road.now)

    def proof(self) -> Proof:
        with self.database.begin() as tx:
            return verify(tx, public=KEY.public, mark_key=KEY.mark_key)

    def erase(self, address: str) -> dict[str, int]:
        with self.database.begin() as tx:
            return erase_person(tx, address, self.road.now)

    def everything(self) -> str:
        """Every value of every table, and on SQLite every byte of the file."""
        found = []
        with self.database.begin() as tx:
            for table in metadata.sorted_tables:
                for row in tx.execute(sa.select(table)):
                    found += [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row]
            if tx.dialect.name == "postgresql":
                found += [str(row) for row in tx.execute(sa.text("SELECT * FROM search"))]
        if self.database.sqlite_file is not None:
            found.append(self.database.sqlite_file.read_bytes().decode("latin-1"))
            log = self.database.sqlite_file.with_name(self.database.sqlite_file.name + "-wal")
            found.append(log.read_bytes().decode("latin-1") if log.exists() else "")
        return "\n".join(found).lower()


@pytest.fixture
def desk(database: Database) -> Desk:
    """Jane's ticket 1, answered; Tom's ticket 2; both sealed."""
    made = Desk(database)
    first = make_mail("Jane Doe <jane@customer.test>", "12 licences for the zeppelin.", message_id="<1@janes-laptop>")
    made.road.arrive(first)
    offer = next(mail for mail in made.road.outbox() if mail.recipient == "alice@corp.test")
    made.seal()
    answer = make_mail("alice@corp.test", "Dear Jane Doe, without ballast.", to=address_of(offer))
    made.road.arrive(answer, recipient=address_of(offer))
    made.road.outbox()
    with database.begin() as tx:  # as after #send of a held text
        told = Instruction(act="note", by=1, ticket=1, event=1, text="Dear Jane Doe, about the zeppelin.")
        tx.execute(sa.update(rows_of_mail).where(rows_of_mail.c.id == 2).values(instruction=told))
    made.road.arrive(make_mail("tom@other.test", "My own matter, a bicycle.", subject="Bicycle"))
    made.road.outbox()
    made.seal()
    return made


def test_nothing_of_an_erased_person_is_left_and_the_record_is_whole(desk: Desk) -> None:
    there = desk.everything()
    assert [word for word in SECRETS if word not in there] == []
    facts = desk.proof().facts

    counts = desk.erase("Jane@Customer.test")
    assert counts["tickets"] == 1
    assert counts["mails as received"] == 2
    assert desk.proof().findings == []  # the rest of the rows waits for the next seal
    desk.seal()
    compact(desk.database)

    proof = desk.proof()
    assert proof.findings == []
    assert proof.erased > 5
    assert proof.facts == facts + 1  # nothing vanished, and the erasure is a fact of its own
    left = desk.everything()
    assert [word for word in SECRETS if word in left] == []
    assert "bicycle" in left
    with desk.database.begin() as tx:
        assert tx.execute(sa.select(tickets.c.subject, tickets.c.state).where(tickets.c.number == 1)).one() == (
            ERASED,
            "closed",
        )
        assert find_known(tx, "jane@customer.test") is None
        (why,) = tx.execute(sa.select(erasures.c.why)).scalars()
        assert why == "a person was erased"


def test_changing_what_is_left_after_an_erasure_is_found(desk: Desk) -> None:
    desk.erase("jane@customer.test")
    desk.seal()
    with desk.database.begin() as tx:
        tx.execute(sa.update(events).where(events.c.ticket == 1, events.c.number == 1).values(text="I agree."))
    assert [f.sentence.partition(" is not")[0] for f in desk.proof().findings] == ["event 1 of ticket 1"]


@pytest.mark.parametrize("sealed", [True, False])
def test_rows_of_an_erased_person_that_are_missing_are_found(desk: Desk, sealed: bool) -> None:
    """Rows and counts stay after an erasure: it explains no row that is gone, though its salts go as well."""
    desk.erase("jane@customer.test")
    if sealed:
        desk.seal()
    with desk.database.begin() as tx:
        tx.execute(sa.delete(events).where(events.c.ticket == 1, events.c.number == 1))
        tx.execute(sa.update(leaves).where(leaves.c.kind == "event", leaves.c.a == 1).values(salt=None))
    assert ("missing", "event 1 of ticket 1") in [(f.what, f.fact) for f in desk.proof().findings]
    desk.seal()
    assert ("missing", "event 1 of ticket 1") in [(f.what, f.fact) for f in desk.proof().findings]


def test_what_waits_for_its_seal_while_it_is_erased_is_never_sealed_as_it_was(desk: Desk) -> None:
    desk.road.arrive(make_mail("pat@other.test", "A kettle."))
    with desk.database.begin() as tx:
        old = set(tx.execute(sa.select(unsealed.c.digest).where(unsealed.c.kind == "event")).scalars())
    desk.erase("pat@other.test")
    desk.seal()
    assert desk.proof().findings == []
    with desk.database.begin() as tx:
        assert old and not old & set(tx.execute(sa.select(leaves.c.digest)).scalars())


def test_an_erasure_that_nobody_with_the_key_made_is_found(desk: Desk) -> None:
    """Somebody with the database hides a change by calling it an erasure."""
    with desk.database.begin() as tx:
        tx.execute(sa.update(events).where(events.c.ticket == 1, events.c.number == 1).values(text=""))
        tx.execute(
            sa.update(leaves).where(leaves.c.kind == "event", leaves.c.a == 1, leaves.c.b == 1).values(salt=None)
        )
        row = {"at": desk.road.now, "why": "retention", "facts": [["event", 1, 1]], "counts": {}, "rows_gone": True}
        tx.execute(sa.insert(erasures), row)
    told = [finding.sentence for finding in desk.proof().findings]
    assert any(line.startswith("erasure 1 is in no seal") for line in told), told


def test_a_person_in_the_ticket_of_another_loses_words_name_and_place(desk: Desk) -> None:
    road = desk.road
    (offer,) = [m for m in _arrive(desk, "tom@other.test", "A zebra.") if m.recipient == "alice@corp.test"]
    command = make_mail("alice@corp.test", "#cc eve@third.test\nPlease look, Eve.", to=address_of(offer))
    road.arrive(command, recipient=address_of(offer))
    (copy,) = [mail for mail in road.outbox() if mail.recipient == "eve@third.test"]
    eve = "Eve Third <eve@third.test>"
    words = make_mail(eve, "My penguin says yes.", to=address_of(copy), answers=copy.message_id)
    road.arrive(words, recipient=address_of(copy))
    road.outbox()
    desk.seal()
    assert "penguin" in desk.everything()

    desk.erase("eve@third.test")
    desk.seal()
    compact(desk.database)
    assert desk.proof().findings == []
    left = desk.everything()
    assert [word for word in ("penguin", "eve@third.test", "eve third") if word in left] == []
    assert "a zebra." in left  # Tom's own words
    with desk.database.begin() as tx:
        assert search.find(tx, _look_for("zebra"))
        assert not search.find(tx, _look_for("penguin"))


def _look_for(word: str) -> search.Search:
    return search.Search(terms=(search.Term(field="", value=word),), inboxes=("support",), limit=5)


def _arrive(desk: Desk, author: str, text: str) -> list:  # type: ignore[type-arg]
    desk.road.arrive(make_mail(author, text, subject=text))
    return desk.road.outbox()


def test_an_agent_cannot_be_erased(desk: Desk) -> None:
    with pytest.raises(NotErasableError, match="agent alice"):
        desk.erase("alice@corp.test")
    with pytest.raises(LookupError):
        desk.erase("nobody@nowhere.test")


def test_an_answer_in_an_erased_ticket_is_held_and_its_author_told(desk: Desk) -> None:
    (offer,) = [m for m in _arrive(desk, "pat@other.test", "A kettle.") if m.recipient == "alice@corp.test"]
    desk.erase("pat@other.test")
    late = make_mail("alice@corp.test", "It is repaired.", to=address_of(offer), answers=offer.message_id)
    plan = desk.road.arrive(late, recipient=address_of(offer))
    assert (plan.outcome, plan.reason) == ("hold", "nobody-left")
    (notice,) = desk.road.outbox()
    assert notice.recipient == "alice@corp.test"
    assert "erased" in text_of(notice)
    assert header_of(notice, "Subject")


def test_the_same_mail_again_is_known_after_it_was_erased(desk: Desk) -> None:
    """A mailbox that is read again from its start must not bring back who was erased."""
    mail = make_mail("pat@other.test", "A kettle.")
    desk.road.arrive(mail)
    desk.erase("pat@other.test")
    with desk.database.begin() as tx:
        (row,) = journal.find(tx, row_id=4)
        assert journal.append(tx, replace(row.envelope, reverse_path="pat@other.test"), mail).duplicate
        assert tx.execute(sa.select(persons.c.address).where(persons.c.address == "pat@other.test")).first() is None


def test_retention_removes_old_bytes_and_texts_and_nothing_younger(desk: Desk) -> None:
    road = desk.road
    rules = Retention(raw=timedelta(days=400), closed=timedelta(days=1000), spam=timedelta(days=30))
    with desk.database.begin() as tx:
        assert not any(count_retention(tx, rules, road.now).values())
        assert run_retention(tx, rules, road.now) == {}
    road.now += timedelta(days=401)
    road.arrive(make_mail("new@other.test", "A young mail about a walrus."))
    road.outbox()
    desk.seal()
    with desk.database.begin() as tx:
        assert count_retention(tx, rules, road.now)["mails as received"] == 3
        counts = run_retention(tx, rules, road.now)
        assert counts["mails as received"] == 3
        assert run_retention(tx, rules, road.now) == {}
    desk.seal()
    assert desk.proof().findings == []
    assert desk.proof().mails == 1
    assert "zeppelin" in road.ticket(1).events[0].text  # the text stays until `closed` says so

    with desk.database.begin() as tx:
        tx.execute(sa.update(tickets).where(tickets.c.number == 1).values(state="closed", closed_at=road.now))
    road.now += timedelta(days=1001)
    with desk.database.begin() as tx:
        run_retention(tx, rules, road.now)
    desk.seal()
    compact(desk.database)
    assert desk.proof().findings == []
    assert "zeppelin" not in desk.everything()
    assert road.ticket(2).subject == "Bicycle"


def test_lists_whose_numbers_begin_again_are_no_loss(desk: Desk) -> None:
    """Mails about no ticket share 99,999 numbers; the old one goes when its number comes again."""
    with desk.database.begin() as tx:
        mail = OutboundMail(
            ticket=0,
            event=answers.take_list_numbers(tx, 1),
            party=1,
            kind="list",
            message_id="<0.1.1@x>",
            reverse_path="support@desk.test",
            recipient="alice@corp.test",
            content=b"Subject: list\r\n\r\nx\r\n",
            automatic=True,
        )
        deliveries.enqueue(tx, [mail], desk.road.now)
    desk.road.outbox()
    desk.seal()
    with desk.database.begin() as tx:
        tx.execute(sa.update(counters).where(counters.c.name == "list").values(value=99_999))
        assert answers.take_list_numbers(tx, 1) == 1
    assert desk.proof().findings == []
    desk.seal()
    assert desk.proof().findings == []
