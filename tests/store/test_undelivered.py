"""Mail that did not arrive: an end nobody knows, a relay that refuses us, offers that told nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import deliver
from gateway.health import check_relay
from gateway.model import OutboundMail, State
from gateway.outbound.transport import Attempt
from gateway.seal import SealKey
from gateway.settings import General
from gateway.store import deliveries, suppression, undelivered
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryState
from gateway.store.gauges import measure
from gateway.store.seals import seal_waiting
from gateway.store.verify import verify
from tests.store.test_verbs import ALICE, DESK, JANE, Desk, to
from tests.support.spine import make_mail, text_of

ADMIN = "admin@desk.test"
LOST = Attempt("unknown", "after the final dot: connection lost")
BUSY = Attempt("deferred", "451 4.3.0 busy")
DENIED = Attempt("deferred", "554 5.7.1 Relay access denied", barred=True, step="rcpt")
GONE = Attempt("failed", "550 5.1.1 no such user", step="rcpt")
SPAM = Attempt("failed", "554 5.7.1 looks like spam", step="dot")
SENT = Attempt("sent", "250 2.0.0")
SETTINGS = replace(DESK, ticketgate=General(id_domain="tickets.desk.test", admin=(ADMIN,)))
KEY = SealKey(bytes(range(32)))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, SETTINGS)


def attempt(desk: Desk, recipient: str, result: Attempt) -> list[OutboundMail]:
    """One attempt at everything due: mail to ``recipient`` ("": to anybody) meets this result, the rest is sent."""
    with desk.road.database.begin() as tx:
        due = deliveries.claim_due(tx, 100, "test", desk.road.now, timedelta(minutes=5))
        for delivery in due:
            mine = not recipient or delivery.mail.recipient == recipient
            deliver.record(tx, delivery, result if mine else SENT, desk.road.settings, desk.road.now)
    return [delivery.mail for delivery in due]


def answered(desk: Desk, text: str = "It was our mistake.") -> None:
    """Jane wrote, everybody knows, and Alice's answer waits."""
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    desk.send_reply(ALICE, offer, text)


def copies(desk: Desk, result: Attempt, hours: int = 4, most: int = 20) -> int:
    """How often the answer is transmitted until nothing is due any more."""
    count = 0
    for _ in range(most):
        count += sum(mail.kind == "answer" for mail in attempt(desk, JANE, result))
        desk.road.now += timedelta(hours=hours)
    return count


def entry(desk: Desk, kind: str = "answer") -> deliveries.OutboxEntry:
    with desk.road.database.begin() as tx:
        found = deliveries.list_outbox(tx, list(DeliveryState))
    return next(one for one in found if one.delivery.mail.kind == kind)


def notices(desk: Desk, words: str) -> list[OutboundMail]:
    with desk.road.database.begin() as tx:
        numbers = [one.delivery.id for one in deliveries.list_outbox(tx, list(DeliveryState))]
        mails = [found.delivery.mail for n in numbers if (found := deliveries.find(tx, n)) is not None]
    return [
        mail for mail in mails if mail.kind in ("undelivered", "alert") and words in " ".join(text_of(mail).split())
    ]


# ------------------------------------------------------------------ an end nobody knows


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            (
                "PERHAPS NOT DELIVERED",
                "It left 3 times",
                "It probably arrived, perhaps more than once",
                "send it again",
            ),
        ),
        (
            "de",
            ("VIELLEICHT NICHT ZUGESTELLT", "Sie ging 3-mal hinaus", "Wahrscheinlich kam sie an", "noch einmal senden"),
        ),
    ],
)
def test_an_answer_that_leaves_and_is_never_confirmed_leaves_three_times_and_its_author_reads_so(
    database: Database, language: str, words: tuple[str, ...]
) -> None:
    general = replace(SETTINGS.ticketgate, language=language)
    desk = Desk(database, replace(SETTINGS, ticketgate=general))
    answered(desk)
    assert copies(desk, LOST) == 3
    ended = entry(desk)
    assert (ended.state, ended.delivery.transmitted) == (DeliveryState.UNKNOWN, 3)
    (notice,) = notices(desk, words[0])
    text = " ".join(text_of(notice).split())
    assert all(one in text for one in words), text
    assert "refused" not in text and "abgelehnt" not in text
    with desk.road.database.begin() as tx:
        frozen = deliveries.find(tx, ended.delivery.id)
    assert frozen is not None
    assert to(desk.tap(ALICE, notice, "send"), JANE).content == frozen.delivery.mail.content


def test_the_pauses_between_them_grow(desk: Desk) -> None:
    answered(desk)
    pauses = []
    for _ in range(2):
        attempt(desk, JANE, LOST)
        due = entry(desk).due_at
        assert due is not None
        pauses.append(due - desk.road.now)
        desk.road.now = due
    assert pauses[0] < pauses[1]


def test_an_answer_that_left_once_and_was_put_off_until_given_up_is_not_said_to_have_failed(desk: Desk) -> None:
    answered(desk)
    attempt(desk, JANE, LOST)
    desk.road.now += timedelta(days=3)
    attempt(desk, JANE, BUSY)
    assert entry(desk).state is DeliveryState.UNKNOWN
    assert len(notices(desk, "It left once, and")) == 1


def test_refusals_for_now_do_not_count_as_copies(desk: Desk) -> None:
    answered(desk)
    for _ in range(4):
        attempt(desk, JANE, BUSY)
        desk.road.now += timedelta(hours=4)
    assert copies(desk, LOST) == 3


# ------------------------------------------------------------------ a relay that refuses us


def test_what_a_relay_denies_us_waits_and_everything_of_it_leaves_when_it_is_repaired(desk: Desk) -> None:
    desk.road.arrive(make_mail(JANE, "We have 10 licences, not 12."))
    everything = attempt(desk, "", DENIED)
    with desk.road.database.begin() as tx:
        assert undelivered.count_barred(tx) == (len(everything), DENIED.reply)
        assert undelivered.waits_barred(tx, "offer") and not undelivered.waits_barred(tx, "alert")
        assert undelivered.list_undelivered(tx, desk.road.now - timedelta(days=1)) == ()
        assert undelivered.try_barred(tx) == len(everything)
    assert attempt(desk, "", SENT) == everything
    with desk.road.database.begin() as tx:
        assert undelivered.count_barred(tx) == (0, "")
        assert suppression.list_suppressed(tx) == ()


def test_the_author_of_a_late_answer_is_told_that_it_is_our_own_server_and_at_the_end_too(desk: Desk) -> None:
    answered(desk)
    attempt(desk, JANE, DENIED)
    desk.road.now += timedelta(hours=5)
    attempt(desk, JANE, DENIED)
    assert len(notices(desk, "Our own mail server refuses to pass on mail at the moment")) == 1
    desk.road.now += timedelta(days=3)
    attempt(desk, JANE, DENIED)
    assert entry(desk).state is DeliveryState.FAILED
    assert len(notices(desk, "has refused to pass it on for so long that it was given up")) == 1


def relay_check(desk: Desk) -> tuple[bool, str]:
    with desk.road.database.begin() as tx:
        check = check_relay(measure(tx, desk.road.now), desk.road.settings)
    return check.well, check.words


def test_one_recipient_whose_server_speaks_of_us_is_said_and_two_or_a_refused_login_are_trouble(desk: Desk) -> None:
    answered(desk)
    assert relay_check(desk) == (True, "no mail waits because it refuses us")
    attempt(desk, JANE, DENIED)
    well, words = relay_check(desk)
    assert well and "1 mail waits: 554 5.7.1 Relay access denied" in words
    desk.road.now += timedelta(hours=1)
    attempt(desk, JANE, Attempt("deferred", "login refused: 535 5.7.8 bad password", barred=True))
    assert not relay_check(desk)[0]
    desk.road.now += timedelta(hours=1)
    attempt(desk, JANE, DENIED)
    assert relay_check(desk)[0]
    desk.road.arrive(make_mail("tom@shop.test", "It does not print."))
    attempt(desk, "", DENIED)
    assert not relay_check(desk)[0]


def test_attempts_out_of_turn_do_not_use_up_the_warning_and_it_is_given_once(desk: Desk) -> None:
    answered(desk)
    for _ in range(12):  # a relay that takes some of our mail: this one is tried whenever another has left
        attempt(desk, JANE, DENIED)
        with desk.road.database.begin() as tx:
            undelivered.try_barred(tx)
    late = "Our own mail server refuses to pass on mail at the moment"
    assert notices(desk, late) == []
    for _ in range(3):
        desk.road.now += timedelta(hours=5)
        attempt(desk, JANE, DENIED)
        assert len(notices(desk, late)) == 1
    number = entry(desk).delivery.id
    with desk.road.database.begin() as tx:
        assert deliveries.drop(tx, number, "test", desk.road.now)
        assert undelivered.send_again(tx, number, desk.road.now)
    desk.road.now += timedelta(hours=5)
    attempt(desk, JANE, DENIED)
    assert len(notices(desk, late)) == 2, "sent once more, late once more"


@pytest.mark.parametrize("step", ["mail", "data", "dot"])
def test_only_a_refusal_at_rcpt_counts_against_an_address(desk: Desk, step: str) -> None:
    answered(desk)
    attempt(desk, JANE, replace(GONE, step=step))
    with desk.road.database.begin() as tx:
        assert suppression.list_suppressed(tx) == ()


# ------------------------------------------------------------------ automatic mail that failed for good


def test_a_ticket_whose_offers_all_failed_is_told_to_the_admins_once(desk: Desk) -> None:
    desk.road.arrive(make_mail(JANE, "We have 10 licences, not 12."))
    with desk.road.database.begin() as tx:
        due = deliveries.claim_due(tx, 100, "test", desk.road.now, timedelta(minutes=5))
        offers = [one for one in due if one.mail.kind == "offer"]
        assert len(offers) > 1
        told = [deliver.record(tx, one, SPAM, desk.road.settings, desk.road.now).untold for one in offers]
    assert told == [False] * (len(offers) - 1) + [True]
    (alarm,) = notices(desk, "No mail that offers it to somebody is known to have arrived")
    assert alarm.recipient == ADMIN and "looks like spam" in text_of(alarm) and "show 1" in text_of(alarm)


def test_one_offer_that_arrived_is_enough(desk: Desk) -> None:
    desk.road.arrive(make_mail(JANE, "We have 10 licences, not 12."))
    attempt(desk, ALICE, SPAM)
    assert notices(desk, "No mail that offers it") == []
    with desk.road.database.begin() as tx:
        (lost,) = undelivered.list_of_ticket(tx, 1)
    assert (lost.kind, lost.recipient, lost.state, lost.reply) == ("offer", ALICE, "failed", SPAM.reply)


def test_an_operator_sends_what_failed_once_more_as_it_was_and_the_record_stays_true(desk: Desk) -> None:
    desk.road.database.mark_with(KEY.mark_key)

    def judge() -> list[str]:
        with desk.road.database.begin() as tx:
            seal_waiting(tx, KEY, desk.road.now)
        with desk.road.database.begin() as tx:
            return [one.sentence for one in verify(tx, public=KEY.public, mark_key=KEY.mark_key).findings]

    desk.road.arrive(make_mail(JANE, "We have 10 licences, not 12."))
    failed = next(mail for mail in attempt(desk, ALICE, SPAM) if mail.recipient == ALICE)
    assert judge() == []
    desk.road.now += timedelta(days=3)
    with desk.road.database.begin() as tx:
        (lost,) = undelivered.list_undelivered(tx, desk.road.now - undelivered.WEEK)
        assert undelivered.count_undelivered(tx, desk.road.now - undelivered.WEEK) == 1
        assert undelivered.send_again(tx, lost.id, desk.road.now)
        assert not undelivered.send_again(tx, lost.id, desk.road.now), "it waits already"
    assert judge() == []
    assert attempt(desk, "", BUSY) == [failed]
    assert entry(desk, "offer").delivery.queued_at == desk.road.now, "tried for two days from now on"
    desk.road.now += timedelta(hours=5)
    assert attempt(desk, "", SENT) == [failed]
    assert judge() == []
    with desk.road.database.begin() as tx:
        assert undelivered.list_undelivered(tx, desk.road.now - undelivered.WEEK) == ()
        assert not undelivered.send_again(tx, lost.id, desk.road.now), "it arrived"


def test_an_answer_taken_back_by_its_author_did_not_fail(desk: Desk) -> None:
    answered(desk)
    number = entry(desk).delivery.id
    with desk.road.database.begin() as tx:
        assert deliveries.drop(tx, number, "a mistake", desk.road.now)
        assert undelivered.list_undelivered(tx, desk.road.now - undelivered.WEEK) == ()
        assert not undelivered.send_again(tx, number, desk.road.now)
    assert desk.ticket().state is State.WAITING
