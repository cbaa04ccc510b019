"""The outbox: frozen mails, attempts under a lease, what becomes of lost workers."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from gateway.model import Delivery, OutboundMail
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryState
from gateway.store.schema import message_ids
from tests.store.values import HOUR, LEASE, NOW

ANSWER = OutboundMail(
    ticket=4827,
    event=5,
    party=31,
    kind="answer",
    message_id="<4827.5.31.k@tickets.example.com>",
    reverse_path="support+b@example.com",
    recipient="jane@customer.test",
    content=b"Subject: Re: Invoice\r\n\r\n\x00\xff\r\n",
    automatic=False,
    public=True,
    author=3,
)
NOTICE = replace(ANSWER, event=6, party=3, kind="offer", message_id="<4827.6.3.k@tickets.example.com>", automatic=True)


def _enqueue(database: Database, *mails: OutboundMail, hold_seconds: int = 0) -> list[int]:
    with database.begin() as tx:
        return deliveries.enqueue(tx, mails, NOW, hold_seconds)


def _claim(database: Database, now: object = NOW, limit: int = 10) -> list[Delivery]:
    with database.begin() as tx:
        return deliveries.claim_due(tx, limit, "w", now, LEASE)  # type: ignore[arg-type]


def _state(database: Database, number: int) -> DeliveryState:
    with database.begin() as tx:
        entry = deliveries.find(tx, number)
    assert entry is not None
    return entry.state


def _record(database: Database, delivery: Delivery, outcome: str, next_due: object = None) -> DeliveryState | None:
    with database.begin() as tx:
        return deliveries.record_attempt(tx, delivery, outcome, "250 2.0.0 ok", next_due, NOW)  # type: ignore[arg-type]


def test_a_mail_leaves_byte_for_byte_as_it_was_queued(database: Database) -> None:
    (number,) = _enqueue(database, ANSWER)
    assert _claim(database) == [Delivery(id=number, mail=ANSWER, attempt=1, queued_at=NOW)]
    assert _state(database, number) is DeliveryState.TRANSMITTING
    assert _claim(database) == []


def test_the_message_id_is_known_as_issued_to_its_party(database: Database) -> None:
    _enqueue(database, ANSWER, NOTICE)
    with database.begin() as tx:
        rows = tx.execute(sa.select(message_ids).order_by(message_ids.c.id)).all()
    assert [(r.message_id, r.ticket, r.event, r.party, r.public) for r in rows] == [
        (ANSWER.message_id, 4827, 5, 31, True),
        (NOTICE.message_id, 4827, 6, 3, True),
    ]


def test_the_same_mail_of_an_event_cannot_be_queued_twice(database: Database) -> None:
    _enqueue(database, ANSWER)
    with pytest.raises(sa.exc.IntegrityError):
        _enqueue(database, ANSWER)
    alert = replace(NOTICE, ticket=0, event=0, party=0, kind="alert")
    assert len(_enqueue(database, alert, alert)) == 2


def test_an_answer_can_wait_for_second_thoughts_and_a_notice_does_not(database: Database) -> None:
    answer, notice = _enqueue(database, ANSWER, NOTICE, hold_seconds=60)
    assert [d.id for d in _claim(database)] == [notice]
    with database.begin() as tx:
        assert deliveries.drop(tx, answer, "undone", NOW)
        assert not deliveries.drop(tx, notice, "too late", NOW)
    assert _claim(database, NOW + HOUR) == []
    assert _state(database, answer) is DeliveryState.FAILED


def test_an_attempt_that_was_lost_is_repeated_for_an_answer_and_never_for_automatic_mail(database: Database) -> None:
    answer, notice = _enqueue(database, ANSWER, NOTICE)
    assert len(_claim(database)) == 2
    assert _claim(database, NOW + LEASE - timedelta(seconds=1)) == []
    (again,) = _claim(database, NOW + LEASE)
    assert (again.id, again.attempt, again.mail) == (answer, 2, ANSWER)
    assert _state(database, notice) is DeliveryState.UNKNOWN
    assert [d.id for d in _claim(database, NOW + 10 * HOUR)] == [answer]
    with database.begin() as tx:
        (entry,) = deliveries.list_outbox(tx, [DeliveryState.UNKNOWN])
    assert entry.reply == "the worker was lost during the attempt"


@pytest.mark.parametrize(
    ("mail", "outcome", "again", "state"),
    [
        (ANSWER, "sent", False, "sent"),
        (ANSWER, "failed", False, "failed"),
        (ANSWER, "deferred", True, "deferred"),
        (ANSWER, "deferred", False, "failed"),
        (ANSWER, "unknown", True, "deferred"),
        (ANSWER, "unknown", False, "unknown"),
        (NOTICE, "deferred", True, "deferred"),
        (NOTICE, "unknown", True, "unknown"),
    ],
)
def test_an_attempt_ends_in_a_state(
    database: Database, mail: OutboundMail, outcome: str, again: bool, state: str
) -> None:
    _enqueue(database, mail)
    (delivery,) = _claim(database)
    assert _record(database, delivery, outcome, NOW + HOUR if again else None) == state
    assert _claim(database, NOW + HOUR - timedelta(seconds=1)) == []
    due = _claim(database, NOW + HOUR)
    assert [(d.id, d.attempt) for d in due] == ([(delivery.id, 2)] if state == "deferred" else [])


def test_only_the_current_attempt_counts(database: Database) -> None:
    _enqueue(database, ANSWER)
    (lost,) = _claim(database)
    (again,) = _claim(database, NOW + LEASE)
    assert _record(database, lost, "failed") is None
    assert _record(database, again, "sent") is DeliveryState.SENT
    assert _record(database, again, "failed") is None


def test_an_unheard_of_outcome_is_a_fault_of_ours(database: Database) -> None:
    _enqueue(database, ANSWER)
    (delivery,) = _claim(database)
    with pytest.raises(ValueError, match="perhaps"):
        _record(database, delivery, "perhaps")


async def test_claims_of_deliveries_are_disjoint(database: Database) -> None:
    numbers = _enqueue(database, *(replace(ANSWER, event=n, message_id=f"<{n}@x>") for n in range(1, 41)))
    claimed = await asyncio.gather(
        *(database.write(lambda tx: deliveries.claim_due(tx, 6, "w", NOW, LEASE)) for _ in range(10))
    )
    assert sorted(d.id for several in claimed for d in several) == numbers


def test_an_operator_holds_releases_and_flushes(database: Database) -> None:
    answer, notice = _enqueue(database, ANSWER, NOTICE)
    with database.begin() as tx:
        assert deliveries.hold(tx, answer) == 1
        assert deliveries.hold(tx) == 1
        assert deliveries.pending(tx) == 2
    assert _claim(database, NOW + HOUR) == []
    with database.begin() as tx:
        assert deliveries.release(tx, NOW, notice) == 1
        assert deliveries.release(tx, NOW) == 1
    (first, second) = _claim(database)
    _record(database, first, "deferred", NOW + 5 * HOUR)
    with database.begin() as tx:
        assert deliveries.flush(tx, NOW) == 1
        assert [e.delivery.id for e in deliveries.list_outbox(tx)] == [answer, notice]
    assert [d.id for d in _claim(database)] == [first.id]
    assert second.attempt == 1


def test_a_delivery_report_fails_what_was_sent(database: Database) -> None:
    (number,) = _enqueue(database, ANSWER)
    (delivery,) = _claim(database)
    with database.begin() as tx:
        assert not deliveries.report_failed(tx, number, "5.1.1", NOW)
    _record(database, delivery, "sent")
    with database.begin() as tx:
        assert deliveries.report_failed(tx, number, "5.1.1 unknown user", NOW)
        (entry,) = deliveries.find_of_event(tx, 4827, 5, 31)
        assert deliveries.find_of_event(tx, 4827, 5, 3) == []
    assert (entry.state, entry.reply) == (DeliveryState.FAILED, "5.1.1 unknown user")


def test_what_was_claimed_without_being_tried_is_queued_again_and_not_taken_for_lost(database: Database) -> None:
    tried, untried = _enqueue(database, ANSWER, NOTICE)
    _claim(database)
    with database.begin() as tx:
        assert deliveries.put_back_untried(tx, NOW, "somebody else", {tried}) == 0
        assert deliveries.put_back_untried(tx, NOW, "w", {tried}) == 1
    assert (_state(database, tried), _state(database, untried)) == (DeliveryState.TRANSMITTING, DeliveryState.QUEUED)
    assert [(one.id, one.attempt) for one in _claim(database)] == [(untried, 2)]
