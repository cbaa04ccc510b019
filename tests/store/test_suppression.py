"""Addresses that take no mail: what counts against them, what is not sent, who hears of it, what lets mail go again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import deliver
from gateway.model import OutboundMail, Proof
from gateway.outbound.transport import Attempt
from gateway.settings import General
from gateway.store import deliveries, suppression
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryState
from gateway.store.forgetting import erase_person, find_known
from tests.store.test_verbs import ALICE, DESK, JANE, Desk, to
from tests.support.spine import make_mail, text_of

GONE = "550 5.1.1 no such user"
ADMIN = "admin@desk.test"
SETTINGS = replace(DESK, ticketgate=General(id_domain="tickets.desk.test", admin=(ADMIN,)))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, SETTINGS)


def attempt(desk: Desk, failing: str = "", reply: str = GONE) -> list[OutboundMail]:
    """What the outbox does with everything due: the mails that were really tried."""
    tried: list[OutboundMail] = []
    with desk.road.database.begin() as tx:
        due = deliveries.claim_due(tx, 100, "test", desk.road.now, timedelta(minutes=5))
        leaving, _ = deliver.refuse_dead(tx, due, desk.road.settings, desk.road.now)
        for delivery in leaving:
            said = (
                Attempt("failed", reply, step="rcpt")
                if delivery.mail.recipient == failing
                else Attempt("sent", "250 OK")
            )
            deliver.record(tx, delivery, said, desk.road.settings, desk.road.now)
            tried.append(delivery.mail)
    return tried


def write(desk: Desk, text: str, who: str = JANE, proof: Proof = Proof.DKIM) -> None:
    desk.road.now += timedelta(days=2)  # the acknowledgement is rationed
    desk.road.arrive(make_mail(who, text, subject=text), proof=proof)


def dead(desk: Desk) -> list[str]:
    with desk.road.database.begin() as tx:
        return [one.address for one in suppression.list_suppressed(tx)]


@pytest.mark.parametrize(
    ("reply", "weight"),
    [
        ("550 5.1.1 <j@x.test>: Recipient address rejected: User unknown", 3),
        ("reported: 5.1.10 550 5.1.10 RESOLVER.ADR.RecipientNotFound", 3),
        ("556 5.1.10 the domain takes no mail", 3),
        ("550 5.2.1 mailbox disabled", 1),
        ("550 no such user here", 1),
        ("552 5.2.2 mailbox full", 0),
        ("550 5.7.1 message rejected as spam", 0),
        ("554 5.6.0 content", 0),
        ("552 message too large", 0),
        ("550 5.1.8 sender address rejected: domain not found", 0),
        ("451 4.1.1 try later, seen from 192.0.2.550 5.1.1.1", 0),
        ("", 0),
    ],
)
def test_only_what_is_about_the_address_counts_against_it(reply: str, weight: int) -> None:
    assert suppression.weigh(reply) == weight


def test_a_mailbox_that_does_not_exist_gets_no_automatic_mail_any_more(desk: Desk) -> None:
    write(desk, "First")
    assert JANE in {mail.recipient for mail in attempt(desk, JANE)}
    assert dead(desk) == [JANE]
    write(desk, "Second", proof=Proof.NONE)  # anybody can write that name
    with desk.road.database.begin() as tx:
        known = find_known(tx, JANE)
    assert known is not None and known.refused == GONE


def test_an_answer_to_a_dead_address_comes_back_at_once_and_one_tap_sends_it_all_the_same(desk: Desk) -> None:
    write(desk, "First")
    offer = next(mail for mail in attempt(desk, JANE) if mail.recipient == ALICE)
    desk.send_reply(ALICE, offer, "It was our mistake.")
    assert JANE not in {mail.recipient for mail in attempt(desk)}, "not tried"
    notice = to(desk.road.outbox(), ALICE)
    text = " ".join(text_of(notice).split())
    assert "NOT DELIVERED" in text and "refused for good before, so this one was not tried" in text
    assert GONE in text
    again = to(desk.tap(ALICE, notice, "send"), JANE)
    assert text_of(again).startswith("It was our mistake.")
    assert dead(desk) == []


def test_an_acknowledgement_is_not_tried_and_its_row_says_why(desk: Desk) -> None:
    with desk.road.database.begin() as tx:
        suppression.note_refusal(tx, JANE, GONE, desk.road.now)
    desk.road.arrive(make_mail("tom@else.test", "Mine."))
    with desk.road.database.begin() as tx:
        suppression.note_refusal(tx, "tom@else.test", GONE, desk.road.now)
    assert "tom@else.test" not in {mail.recipient for mail in attempt(desk)}
    with desk.road.database.begin() as tx:
        (entry,) = deliveries.list_outbox(tx, [DeliveryState.FAILED])
    assert (entry.delivery.mail.recipient, entry.reply) == ("tom@else.test", f"not tried: {GONE}")


def test_doubtful_refusals_count_three_in_a_row_and_old_ones_not_at_all(desk: Desk) -> None:
    start = desk.road.now

    def refuse(after: timedelta) -> bool:
        with desk.road.database.begin() as tx:
            return suppression.note_refusal(tx, JANE, "550 5.2.1 disabled", start + after)

    days = timedelta(days=1)
    assert [refuse(n * days) for n in (0, 1)] == [False, False]
    assert [refuse(n * days) for n in (40, 41, 42)] == [False, False, True]


def test_a_proven_mail_from_the_address_lets_mail_go_there_again(desk: Desk) -> None:
    write(desk, "First")
    attempt(desk, JANE)
    write(desk, "I am back.", proof=Proof.NONE)
    assert dead(desk) == [JANE], "anybody can write that name"
    write(desk, "Really.")
    assert dead(desk) == []


def test_a_delivery_report_at_our_own_bounce_address_counts(desk: Desk) -> None:
    write(desk, "First")
    offer = next(mail for mail in attempt(desk) if mail.recipient == ALICE)
    desk.send_reply(ALICE, offer, "It was our mistake.")
    answer = next(mail for mail in attempt(desk) if mail.kind == "answer")
    report = make_mail(
        "mailer-daemon@customer.test",
        f"Undelivered: {GONE}",
        subject="Undelivered Mail Returned to Sender",
        to=answer.reverse_path,
        extra=f"X-Failed-Recipients: {JANE}\r\nAuto-Submitted: auto-replied",
    )
    desk.road.arrive(report, recipient=answer.reverse_path, reverse_path="")
    assert dead(desk) == [JANE]


REPORT = """\
From: Mail Delivery System <mailer-daemon@relay.test>
To: <{bounce}>
Subject: Undelivered Mail Returned to Sender
Date: Mon, 23 Nov 2026 12:00:00 +0000
Message-ID: <report-{number}@relay.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

I could not deliver your message.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.test

Final-Recipient: rfc822; {jane}
Action: failed
Status: 5.0.0
Diagnostic-Code: smtp; 550 relay not permitted

--b--
"""


def test_three_reports_that_speak_of_a_relay_count_against_nobody(desk: Desk) -> None:
    write(desk, "First")
    offer = next(mail for mail in attempt(desk) if mail.recipient == ALICE)
    for number in range(3):
        desk.send_reply(ALICE, offer, f"It was our mistake number {number}.")
        answer = next(mail for mail in attempt(desk) if mail.kind == "answer")
        report = REPORT.format(bounce=answer.reverse_path, number=number, jane=JANE).replace("\n", "\r\n").encode()
        desk.road.arrive(report, recipient=answer.reverse_path, reverse_path="")
    assert sum(event.kind == "bounce" for event in desk.ticket().events) == 3
    with desk.road.database.begin() as tx:
        words = {one.reply for one in deliveries.list_outbox(tx, [DeliveryState.FAILED])}
    assert words == {"reported: 5.0.0 550 relay not permitted"}
    assert dead(desk) == []


def test_an_agents_own_address_is_never_suppressed_and_the_admins_hear_of_it_once_a_day(desk: Desk) -> None:
    alarms = []
    for n in range(3):
        write(desk, f"Matter {n}", who=f"c{n}@customer.test")
        tried = attempt(desk, ALICE)
        assert ALICE in {mail.recipient for mail in tried}, "tried as before"
        alarms += [mail for mail in tried if mail.kind == "alert"]
        desk.road.now -= timedelta(days=2)
    assert [mail.recipient for mail in alarms] == [ADMIN]
    assert f"<{ALICE}> is refused for good" in text_of(alarms[0]) and GONE in text_of(alarms[0])
    assert dead(desk) == []


def test_what_is_known_of_an_address_goes_with_the_person(desk: Desk) -> None:
    write(desk, "First")
    attempt(desk, JANE)
    with desk.road.database.begin() as tx:
        erase_person(tx, JANE, desk.road.now)
    assert dead(desk) == []
