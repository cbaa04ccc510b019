"""Forwards on a customer's behalf, and answers that are files alone."""

from __future__ import annotations

import base64
import email
import email.policy
from dataclasses import replace

import pytest

from gateway.model import OutboundMail
from gateway.store.database import Database
from tests.rules.test_properties_conversation import everything_in
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, TOM, Desk, to
from tests.support.spine import address_of, make_mail, text_of

ANN = "ann@new.test"
ORIGINAL = (
    "---------- Forwarded message ---------\nFrom: Ann <ann@new.test>\nDate: Mon, 23 Nov 2026 at 09:00\n"
    "Subject: Help\nTo: Alice <alice@corp.test>\n\nPlease help me."
)
NOBODY = "---------- Forwarded message ---------\n\nPlease help me."


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_who_is_offered_a_forward_reads_the_forwarders_note_and_the_customer_never_does(desk: Desk) -> None:
    offered = to(desk.write(ALICE, f"He is a bit difficult, be kind.\n\n{ORIGINAL}", subject="Fwd: Help"), BOB)
    shown = text_of(offered)
    assert "Forwarded by Alice Ahmed, with an internal note:\n> He is a bit difficult, be kind." in shown
    assert "Please help me." in shown
    answer = to(desk.reply(BOB, offered, "We shall."), ANN)
    assert "difficult" not in everything_in(answer) and ALICE not in everything_in(answer)


@pytest.mark.parametrize(
    ("date", "when"),
    [
        (
            "Fri, 20 Nov 2026 at 09:00",
            "Fri, 20 Nov 2026, 08:00",
        ),  # by the forwarder's clock, in Berlin; the desk's is UTC
        ("Fri, 20 Nov 2026 09:00:00 +0000", "Fri, 20 Nov 2026, 09:00"),
        ("the other day", "Mon, 23 Nov 2026, 10:01"),  # nobody can tell: when it was forwarded
        ("Sat, 20 Nov 2027 09:00:00 +0000", "Mon, 23 Nov 2026, 10:01"),
    ],
)
def test_the_quotation_of_a_forward_has_the_time_of_its_author(database: Database, date: str, when: str) -> None:
    alice = replace(DESK.agents["alice"], timezone="Europe/Berlin")
    desk = Desk(database, replace(DESK, agents={**DESK.agents, "alice": alice}))
    forward = ORIGINAL.replace("Mon, 23 Nov 2026 at 09:00", date)
    offered = to(desk.write(ALICE, forward, subject="Fwd: Help"), BOB)
    said = text_of(to(desk.reply(BOB, offered, "We shall."), ANN))
    assert f"wrote on {when}:\n> Please help me." in said


def test_the_quotation_of_an_attached_mail_has_that_mails_time(desk: Desk) -> None:
    raw = make_mail(ALICE, "", subject="Fwd: Help", message_id="<fwd@corp.test>")
    head, _, text = raw.partition(b"\r\n\r\n")
    inner = make_mail(ANN, "Please help me.", subject="Help", message_id="<in@new.test>")
    inner = inner.replace(b"Mon, 23 Nov 2026 09:58:00 +0000", b"Fri, 20 Nov 2026 09:00:00 +0100")
    head = head.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="b"')
    parts = b"--b\r\n\r\n" + text + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n"
    desk.road.arrive(head + b"\r\n\r\n" + parts)
    offered = to(desk.road.outbox(), BOB)
    assert "wrote on Fri, 20 Nov 2026, 08:00:" in text_of(to(desk.reply(BOB, offered, "We shall."), ANN))


def test_a_forward_nobody_can_place_asks_the_forwarder_and_guesses_nothing(desk: Desk) -> None:
    sent = desk.write(ALICE, NOBODY, subject="Fwd: Help")
    asked = to([m for m in sent if m.kind == "forward"], ALICE)
    assert "Who is the customer?" in text_of(asked) and "looks like" not in text_of(asked)
    held = to(desk.reply(ALICE, asked, "We shall help."), ALICE)
    assert "I do not know who the customer is" in text_of(held)
    placed = desk.reply(ALICE, asked, f"#from {ANN}\nWe shall help.")
    assert ANN in {m.recipient for m in placed}


def test_a_forward_of_somebody_else_is_theirs_and_names_the_author_as_a_proposal(desk: Desk) -> None:
    offered = to(desk.write(TOM, f"One of your customers wrote to me.\n\n{ORIGINAL}", subject="Fwd: Help"), ALICE)
    assert f"It forwards a mail of {ANN}" in text_of(offered)
    assert [p.address for p in desk.ticket().participants] == [TOM]
    assert {m.recipient for m in desk.reply(ALICE, offered, "Thank you.")} == {TOM}


@pytest.mark.parametrize("text", ["Please see.\n\n" + ORIGINAL, "Our printer is broken."])
def test_commands_in_a_mail_that_opens_a_ticket_are_said_not_to_be_done(desk: Desk, text: str) -> None:
    sent = desk.write(ALICE, f"#tag vip\n#assign bob\n{text}", subject="Fwd: Help" if "Fwd" in text else "Help")
    told = to([m for m in sent if m.kind == "forward"], ALICE)
    assert "Not done: #tag vip, #assign bob." in text_of(told)
    assert (desk.ticket().tags, desk.ticket().owner) == ((), None)
    desk.reply(ALICE, told, "#tag vip\n#assign bob")
    assert desk.ticket().tags == ("vip",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#list", "0 tickets of yours or free"),
        ("#away until fri", "You are away until"),
        ("#claim", "#claim is about a ticket, and this mail is about none"),
        ("#lsit mine", "Did you mean #list?"),
    ],
)
def test_a_new_mail_of_commands_only_is_answered_and_opens_nothing(desk: Desk, text: str, said: str) -> None:
    for subject in ("", "Question"):
        (answer,) = desk.write(ALICE, f"{text}\n\nSent from my iPhone", subject=subject)
        assert answer.recipient == ALICE and said in text_of(answer)


def test_a_customer_who_writes_only_a_command_opens_a_ticket(desk: Desk) -> None:
    assert BOB in {m.recipient for m in desk.write(JANE, "#list", subject="Question")}


# ------------------------------------------------------------------ files alone


def with_file(desk: Desk, mail: OutboundMail, text: str) -> list[OutboundMail]:
    raw = make_mail(ALICE, text, to=address_of(mail), answers=mail.message_id, subject="Re: Invoice 2231 is wrong")
    head, _, body = raw.partition(b"\r\n\r\n")
    head = head.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="=b"')
    file = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\r\n%PDF-1.4 x\r\n"
    raw = head + b"\r\n\r\n--=b\r\nContent-Type: text/plain\r\n\r\n" + body + b"--=b\r\n" + file + b"--=b--\r\n"
    desk.road.arrive(raw, recipient=address_of(mail))
    desk.road.process()
    return desk.road.outbox()


def files_of(mail: OutboundMail) -> list[str | None]:
    parsed = email.message_from_bytes(mail.content, policy=email.policy.default)
    return [part.get_filename() for part in parsed.iter_attachments()]


def test_files_without_a_word_are_held_and_sent_with_a_word(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Where is the plan?"), ALICE)
    held = to(with_file(desk, offer, ""), ALICE)
    assert text_of(held).splitlines()[0].startswith("#1 NOT SENT")
    assert "plan.pdf" in text_of(held) and "send the files" in text_of(held)
    sent = to([m for m in desk.reply(ALICE, held, "send") if m.kind == "answer"], JANE)
    assert files_of(sent) == ["plan.pdf"]


def test_files_with_send_on_the_first_line_need_no_question(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Where is the plan?"), ALICE)
    assert files_of(to(with_file(desk, offer, "#send"), JANE)) == ["plan.pdf"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Content-Type: message/rfc822", "utf-8"),
        ("Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=mail.eml", "utf-8"),
        ("Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=Mail.EML", "utf-8"),
        ("Content-Type: application/vnd.ms-outlook; name=mail.msg", "utf-16-le"),
    ],
)
def test_our_notice_attached_to_an_answer_stays_here_and_other_files_go(desk: Desk, header: str, code: str) -> None:
    offer = to(desk.write(JANE, "Where is the plan?"), ALICE)
    note = to(desk.reply(ALICE, offer, "#assign bob\n#note\nShe never pays."), BOB)
    notice = base64.encodebytes(note.content.decode().encode(code)).replace(b"\n", b"\r\n")
    if "rfc822" in header:
        notice = note.content
    else:
        header += "\r\nContent-Transfer-Encoding: base64"
    raw = make_mail(BOB, "See the plan.", to=address_of(note), answers=note.message_id)
    head, _, body = raw.partition(b"\r\n\r\n")
    head = head.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="=b"')
    plan = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\r\n%PDF-1.4 x\r\n"
    raw = head + b"\r\n\r\n--=b\r\nContent-Type: text/plain\r\n\r\n" + body + b"--=b\r\n"
    raw += header.encode() + b"\r\n\r\n" + notice + b"\r\n--=b\r\n" + plan + b"--=b--\r\n"
    desk.road.arrive(raw, recipient=address_of(note))
    sent = to([mail for mail in desk.road.outbox() if mail.kind == "answer"], JANE)
    assert files_of(sent) == ["plan.pdf"]


def test_thanks_on_a_closed_ticket_reopens_it_and_closing_is_one_tap(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Where is the plan?", message_id="<1@customer.test>"), ALICE)
    answer = to(desk.reply(ALICE, offer, "#close\n\nHere."), JANE)
    told = to(desk.reply(JANE, answer, "Thanks!"), ALICE)
    assert "(it was closed)" in text_of(told) and "subject=close" in text_of(told)
    desk.tap(ALICE, told, "close")
    assert desk.ticket().state.value == "closed"
