"""An answer that did not arrive is sent once more, once however often that is asked, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import deliver
from gateway.model import OutboundMail, Proof, State
from gateway.outbound.transport import Attempt
from gateway.store import deliveries
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, TOM, Desk, first, to
from tests.support.spine import address_of, header_of, make_mail, text_of


def attempt(desk: Desk, failing: str, outcome: str = "failed") -> list[OutboundMail]:
    """One attempt at everything queued: mail to ``failing`` meets this outcome, the rest is sent; what follows."""
    with desk.road.database.begin() as tx:
        due = deliveries.claim_due(tx, 100, "test", desk.road.now, timedelta(minutes=5))
        for delivery in due:
            ends = delivery.mail.recipient == failing
            said = {"failed": "550 5.1.1 no such user", "deferred": "451 4.2.1 not now"}.get(outcome, "")
            result = Attempt(outcome, said) if ends else Attempt("sent", "250 OK")
            deliver.record(tx, delivery, result, desk.road.settings, desk.road.now)
    return [delivery.mail for delivery in due]


def fail(
    desk: Desk, offer: OutboundMail, text: str = "It was our mistake.\n\nAlice"
) -> tuple[OutboundMail, OutboundMail]:
    """Alice answers, it does not arrive: the answer, and the notice of it."""
    desk.send_reply(ALICE, offer, text)
    answer = next(mail for mail in attempt(desk, JANE) if mail.kind == "answer")
    return answer, to(desk.road.outbox(), ALICE)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    return to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"), ALICE)


@pytest.mark.parametrize("way", ["link", "reply"])
def test_an_answer_that_did_not_arrive_is_sent_again_as_it_was(desk: Desk, offer: OutboundMail, way: str) -> None:
    answer, notice = fail(desk, offer)
    assert "try again now:  mailto:" in text_of(notice)
    out = desk.tap(ALICE, notice, "send") if way == "link" else desk.reply(ALICE, notice, "#send")
    again = to(out, JANE)
    assert (again.content, again.message_id) == (answer.content, answer.message_id)
    assert again.reverse_path != answer.reverse_path, "a bounce must tell which of the two it is about"
    assert text_of(to(out, ALICE)).startswith(f"#1 your answer was sent again to {JANE}.")
    assert (desk.ticket().state, desk.ticket().owner.address) == (State.WAITING, ALICE)


def test_it_is_sent_once_however_often_that_is_asked(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    assert len(desk.tap(ALICE, notice, "send")) == 2
    assert "sent again already" in first(desk.tap(ALICE, notice, "send"))
    assert "sent again already" in first(desk.reply(ALICE, notice, "#send"))


def test_when_it_fails_again_it_can_be_sent_again_from_either_notice(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    desk.send_reply(ALICE, notice, "#send")
    attempt(desk, JANE)
    second = to(desk.road.outbox(), ALICE)
    assert "NOT DELIVERED" in text_of(second)
    to(desk.tap(ALICE, second, "send"), JANE)
    assert "sent again already" in first(desk.tap(ALICE, notice, "send"))


def test_a_late_bounce_of_the_second_copy_names_that_one(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    again = to(desk.reply(ALICE, notice, "#send"), JANE)
    report = make_mail(
        "mailer-daemon@customer.test",
        "Undelivered: 550 5.2.2 mailbox full",
        subject="Undelivered Mail Returned to Sender",
        to=again.reverse_path,
        extra=f"X-Failed-Recipients: {JANE}\r\nAuto-Submitted: auto-replied",
    )
    desk.road.arrive(report, recipient=again.reverse_path, reverse_path="")
    notice = to(desk.road.outbox(), ALICE)
    to(desk.tap(ALICE, notice, "send"), JANE)


def report_of(answer: OutboundMail, number: int, recipient: str = "") -> bytes:
    return make_mail(
        f"mailer-daemon@mx{number}.customer.test",
        f"Undelivered: 550 5.1.1 no such user, {number}",
        subject="Undelivered Mail Returned to Sender",
        to=recipient or answer.reverse_path,
        extra=f"X-Failed-Recipients: {JANE}\r\nAuto-Submitted: auto-replied",
    )


def test_a_failure_is_told_once_however_many_reports_of_it_are_made_up(desk: Desk, offer: OutboundMail) -> None:
    answer = to(desk.reply(ALICE, offer, "It was our mistake."), JANE)
    for number in range(12):
        desk.road.arrive(report_of(answer, number), recipient=answer.reverse_path, reverse_path="", proof=Proof.NONE)
    assert [mail.kind for mail in desk.road.outbox()] == ["undelivered"]
    assert sum(event.kind == "bounce" for event in desk.ticket().events) == 5


def test_reports_at_a_customers_address_are_told_four_times_an_hour(desk: Desk, offer: OutboundMail) -> None:
    answer = to(desk.reply(ALICE, offer, "It was our mistake."), JANE)
    customers = address_of(answer)
    for number in range(12):
        raw = report_of(answer, number, customers)
        desk.road.arrive(raw, recipient=customers, reverse_path="", proof=Proof.NONE)
    assert [mail.kind for mail in desk.road.outbox()] == ["unproven"] * 4


@pytest.mark.parametrize("ticket", [0, 999])
def test_a_report_about_mail_of_no_ticket_is_kept_and_nobody_is_told(desk: Desk, ticket: int) -> None:
    tag = desk.road.settings.keys.make_token("b", ticket, 5, 1)
    digest = replace(to(desk.write(JANE, "One.", subject="One"), JANE), reverse_path=f"support+{tag}@desk.test")
    plan = desk.road.arrive(report_of(digest, 1), recipient=digest.reverse_path, reverse_path="", proof=Proof.NONE)
    assert plan.outcome == "discard"
    assert desk.road.outbox() == []


def test_what_is_still_tried_is_not_sent_twice(desk: Desk, offer: OutboundMail) -> None:
    desk.send_reply(ALICE, offer, "It was our mistake.")
    attempt(desk, JANE, "deferred")
    desk.road.now += timedelta(hours=5)
    attempt(desk, JANE, "deferred")
    notice = to(desk.road.outbox(), ALICE)
    assert "NOT DELIVERED YET" in text_of(notice)
    assert "still on its way" in first(desk.reply(ALICE, notice, "#send"))


def test_it_goes_to_another_address_with_its_files_and_a_reply_address_of_that_person(
    desk: Desk, offer: OutboundMail
) -> None:
    mixed = "multipart/mixed; boundary=b"
    body = (
        "--b\n\nSee the form.\n--b\nContent-Type: application/pdf; name=form.pdf\nContent-Transfer-Encoding: base64\n"
    )
    raw = make_mail(ALICE, body + "\nJVBERg==\n--b--", to=header_of(offer, "Reply-To"), answers=offer.message_id)
    raw = raw.replace(b"text/plain; charset=utf-8", mixed.encode())
    desk.road.arrive(raw, recipient=header_of(offer, "Reply-To").partition("<")[2].rstrip(">"))
    answer = next(mail for mail in attempt(desk, JANE) if mail.kind == "answer")
    notice = to(desk.road.outbox(), ALICE)
    out = desk.reply(ALICE, notice, f"#cc {TOM}\n#send")
    other = to(out, TOM)
    assert {mail.recipient for mail in out} == {TOM, ALICE}, "not once more to the dead address"
    assert text_of(other).startswith("See the form.")
    assert b"form.pdf" in other.content
    assert header_of(other, "Reply-To") != header_of(answer, "Reply-To")
    assert desk.ticket().state is State.WAITING


def test_own_words_replace_what_did_not_arrive(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    (new,) = desk.reply(ALICE, notice, "#send\n\nA better answer.")
    assert (new.kind, new.recipient) == ("answer", JANE)
    assert text_of(new).startswith("A better answer.")


def test_words_without_send_are_asked_about(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    (asked,) = desk.reply(ALICE, notice, "I will call her.")
    assert (asked.kind, asked.recipient) == ("held", ALICE)
    assert {m.recipient for m in desk.reply(ALICE, asked, "#note")} == {ALICE}
    assert [e.text for e in desk.ticket().events if e.kind == "note"] == ["I will call her."]


def test_an_older_answer_is_not_sent_after_a_colleagues(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    reply = desk.write(JANE, "Hello?", message_id="<second@customer.test>", answers="<first@customer.test>")
    bobs = next(m for m in desk.reply(ALICE, to(reply, ALICE), "#assign bob") if m.recipient == BOB)
    desk.reply(BOB, bobs, "All is well now.")
    out = desk.tap(ALICE, notice, "send")
    assert [m.kind for m in out] == ["command"]
    assert "Bob has answered since" in text_of(out[0])


def test_nothing_goes_to_somebody_who_takes_part_no_longer(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, f"#cc {TOM}")
    desk.send_reply(ALICE, offer, "It was our mistake.")
    attempt(desk, TOM)
    notice = to(desk.road.outbox(), ALICE)
    desk.reply(ALICE, offer, f"#uncc {TOM}")
    (said,) = desk.tap(ALICE, notice, "send")
    assert f"{TOM} is no part of the conversation any more" in text_of(said)


def test_only_whom_it_did_not_reach_gets_it_again(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, f"#cc {TOM}")
    desk.send_reply(ALICE, offer, "It was our mistake.")
    attempt(desk, TOM)
    notice = to(desk.road.outbox(), ALICE)
    out = desk.tap(ALICE, notice, "send")
    assert {mail.recipient for mail in out} == {TOM, ALICE}


def test_it_follows_its_ticket_into_another(desk: Desk, offer: OutboundMail) -> None:
    desk.write(JANE, "Once more: 10 licences.", subject="Licences", message_id="<other@customer.test>")
    answer, notice = fail(desk, offer)
    desk.reply(ALICE, notice, "#merge 2")
    out = desk.tap(ALICE, notice, "send")
    assert to(out, JANE).content == answer.content
    assert text_of(to(out, ALICE)).startswith("#2 your answer was sent again")
    assert "sent again already" in first(desk.tap(ALICE, notice, "send"))


def test_the_link_of_a_removed_agent_is_dead(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    desk.road.settings = replace(DESK, agents={h: a for h, a in DESK.agents.items() if h != "alice"})
    out = desk.tap(ALICE, notice, "send")
    assert [m for m in out if m.recipient == JANE and m.kind == "answer"] == []


def test_the_author_closes_with_it(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    to(desk.reply(ALICE, notice, "#send\n#close"), JANE)
    assert desk.ticket().state is State.CLOSED


def test_words_added_to_the_link_stay_inside(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail(desk, offer)
    parts = text_of(notice).replace("%20", " ").split("subject=")[1:]
    line = next(part for part in parts if part.startswith("send"))
    desk.road.arrive(make_mail(ALICE, "She moved, says Tom.", subject=line.partition("&")[0]))
    out = desk.road.outbox()
    assert b"She moved" not in to(out, JANE).content
    assert "kept as an internal note" in text_of(to(out, ALICE))
    assert [e.text for e in desk.ticket().events if e.kind == "note"] == ["She moved, says Tom."]


# ------------------------------------------------------------------ words to a third party

PAT = "pat@supplier.test"


def fail_asking(desk: Desk, offer: OutboundMail) -> tuple[OutboundMail, OutboundMail]:
    """Alice asks Pat, it does not arrive: the question, and the notice of it."""
    desk.send_reply(ALICE, offer, f"#ask {PAT} Pump P-12\n\nCan you deliver it by Friday?")
    question = next(mail for mail in attempt(desk, PAT) if mail.recipient == PAT)
    return question, to(desk.road.outbox(), ALICE)


@pytest.mark.parametrize("way", ["link", "reply"])
def test_a_question_that_did_not_reach_a_third_party_is_sent_again_to_that_one_alone(
    desk: Desk, offer: OutboundMail, way: str
) -> None:
    question, notice = fail_asking(desk, offer)
    assert "#ask other@address" in text_of(notice) and "#cc" not in text_of(notice)
    out = desk.tap(ALICE, notice, "send") if way == "link" else desk.reply(ALICE, notice, "#send")
    assert {m.recipient for m in out} == {PAT, ALICE}
    assert (to(out, PAT).content, to(out, PAT).message_id) == (question.content, question.message_id)
    assert desk.ticket().state is State.OPEN, "the customer still waits"
    assert "sent again already" in first(desk.tap(ALICE, notice, "send"))
    told = desk.reply(PAT, to(out, PAT), "Yes, on Thursday the tenth of December.")
    assert "THIRD PARTY" in text_of(to(told, ALICE))


def test_words_to_a_third_party_never_reach_the_customer_from_the_notice(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail_asking(desk, offer)
    (held,) = desk.reply(ALICE, notice, "#send\nAre you there?")
    assert held.recipient == ALICE and "NOT SENT" in text_of(held)
    (held,) = desk.reply(ALICE, notice, "Are you there, Pat?")
    assert held.recipient == ALICE
    out = desk.reply(ALICE, notice, f"#ask {PAT}\nAre you there, Pat?")
    assert [m.recipient for m in out] == [PAT]


def test_a_question_goes_to_no_address_that_takes_part(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail_asking(desk, offer)
    (held,) = desk.reply(ALICE, notice, f"#cc {TOM}\n#send")
    assert held.recipient == ALICE and f"it was for {PAT} alone" in " ".join(text_of(held).split())
    assert [p.address for p in desk.ticket().participants] == [JANE]


def test_a_question_is_not_sent_again_once_the_side_conversation_was_ended(desk: Desk, offer: OutboundMail) -> None:
    _, notice = fail_asking(desk, offer)
    desk.reply(ALICE, offer, f"#uncc {PAT}")
    assert PAT not in {m.recipient for m in desk.tap(ALICE, notice, "send")}
