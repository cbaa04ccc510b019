"""Customer mails that come close together are one notification, whole, and nobody waits in vain; both databases."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.model import OutboundMail
from gateway.settings import AgentMail
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryState
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, Desk, to
from tests.support.spine import make_mail, text_of

TWO_MINUTES = replace(DESK, agent_mail=AgentMail(batch=timedelta(minutes=2, seconds=30)))
"""The road's clock goes on by a minute with each mail."""


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, TWO_MINUTES)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    return to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<1@customer.test>"), ALICE)


def more(desk: Desk, text: str, file: str = "") -> list[OutboundMail]:
    raw = make_mail(JANE, text, message_id=f"<{text[:4]}@customer.test>", answers="<1@customer.test>")
    if file:
        part = f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b\r\nContent-Type: text/csv; name={file}\r\n"
        raw = raw.partition(b"\r\n\r\n")[0].replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=b")
        raw += f"\r\n\r\n{part}\r\na,b\r\n--b--\r\n".encode()
    desk.road.arrive(raw)
    return desk.road.outbox()


def files_of(mail: OutboundMail) -> list[str]:
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    return [part.get_filename() or "" for part in message.iter_attachments()]


def test_what_a_customer_adds_at_once_is_one_notification_with_all_its_files(desk: Desk, offer: OutboundMail) -> None:
    assert more(desk, "One: see the list.", "one.csv") == []
    assert more(desk, "Two: and this one.", "two.csv") == []
    out = desk.pass_time(timedelta(minutes=1))
    assert {(m.kind, m.recipient) for m in out} == {("customer-reply", ALICE), ("customer-reply", BOB)}
    mail = to(out, ALICE)
    text = text_of(mail)
    assert text.index("One: see the list.") < text.index("Two: and this one.")
    assert text.count("One: see") == text.count("Two: and") == 1
    assert files_of(mail) == ["one.csv", "two.csv"]
    assert "We have 10 licences" in text.partition("--- earlier ---")[2]


def test_an_answer_to_the_gathered_notification_answers_all_of_them(desk: Desk, offer: OutboundMail) -> None:
    more(desk, "One: see the list.")
    more(desk, "Two: and this one.")
    mail = to(desk.pass_time(timedelta(minutes=1)), ALICE)
    (answer,) = desk.reply(ALICE, mail, "Thank you, both done.")
    assert (answer.kind, answer.recipient) == ("answer", JANE)


def test_the_window_does_not_grow_with_each_mail(desk: Desk, offer: OutboundMail) -> None:
    more(desk, "One: see the list.")
    more(desk, "Two: and this one.")
    mail = to(more(desk, "Three: the last."), ALICE)
    assert all(text in text_of(mail) for text in ("One: see", "Two: and", "Three: the")), (
        "the time of the first is over"
    )
    assert desk.pass_time(timedelta(minutes=5)) == []


def test_who_answers_an_agent_is_told_at_once(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "Which ones?")
    assert to(more(desk, "The new ones."), ALICE).kind == "customer-reply"


def test_an_urgent_ticket_waits_for_nothing(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#prio urgent")
    assert to(more(desk, "It burns."), ALICE).kind == "customer-reply"


def test_whoever_took_the_ticket_meanwhile_gets_it_all_and_the_others_nothing(desk: Desk, offer: OutboundMail) -> None:
    more(desk, "One: see the list.")
    desk.send_reply(ALICE, offer, "#claim")
    raw = make_mail(JANE, "Two: and this one.", message_id="<two@customer.test>", answers="<1@customer.test>")
    desk.road.now -= timedelta(minutes=1)
    desk.road.arrive(raw)
    out = [m for m in desk.pass_time(timedelta(minutes=2)) if m.kind == "customer-reply"]
    assert [m.recipient for m in out] == [ALICE]
    assert "One: see" in text_of(out[0]) and "Two: and" in text_of(out[0])


def test_nothing_is_lost_when_the_process_ends_in_between(desk: Desk, offer: OutboundMail) -> None:
    more(desk, "One: see the list.")
    again = Desk(desk.road.database, TWO_MINUTES)
    again.road.now = desk.road.now
    assert "One: see the list." in text_of(to(again.pass_time(timedelta(minutes=2)), ALICE))


def test_mails_of_a_night_are_one_notification_in_the_morning(database: Database) -> None:
    quiet = replace(TWO_MINUTES.agents["alice"], quiet="9-14")
    desk = Desk(database, replace(TWO_MINUTES, agents={**TWO_MINUTES.agents, "alice": quiet}))
    desk.write(JANE, "We have 10 licences, not 12.", message_id="<1@customer.test>")
    for text in ("One: see the list.", "Two: and this one.", "Three: the last."):
        desk.road.now += timedelta(minutes=20)
        out = more(desk, text)
        assert text in text_of(to(out, BOB)), "Bob is awake"
        assert ALICE not in {m.recipient for m in out}
    found = [m for m in desk.pass_time(timedelta(hours=6)) if m.recipient == ALICE and m.kind == "customer-reply"]
    assert len(found) == 1
    assert all(text in text_of(found[0]) for text in ("One: see", "Two: and", "Three: the"))


def test_a_notification_that_was_gathered_is_never_sent(desk: Desk, offer: OutboundMail) -> None:
    more(desk, "One: see the list.")
    more(desk, "Two: and this one.")
    with desk.road.database.begin() as tx:
        waiting = deliveries.list_outbox(tx)
        gone = deliveries.list_outbox(tx, [DeliveryState.FAILED])
    assert sorted(e.delivery.mail.recipient for e in waiting) == [ALICE, BOB]
    assert {e.reply for e in gone} == {"told together with the next mail"}, "nobody took it back"
