"""What people do besides replying: old links, links of a colleague, mail of their own, forwards with the original."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

import pytest

from gateway.model import OutboundMail, Proof, State
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, Desk, header_of, text_of, to
from tests.support.spine import address_of, make_mail

TOM = "tom@customer.test"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, DESK)


def test_a_link_of_a_colleagues_mail_is_answered_and_opens_nothing(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    (answer,) = desk.tap(BOB, offer, "close")
    assert answer.recipient == BOB and "that link was made for somebody else" in text_of(answer).lower()
    assert desk.ticket().state is State.NEW and desk.plan.ticket == 0


def test_a_link_pressed_with_words_keeps_them_as_a_note_and_says_so(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    desk.tap(ALICE, offer, "claim")
    subject = next(p for p in text_of(offer).replace("%20", " ").split("subject=")[1:] if p.startswith("close"))
    raw = make_mail(ALICE, "Just press Send.\n\nShe rang and is happy.", subject=subject.partition("&")[0])
    desk.road.arrive(raw)
    (answer,) = desk.road.outbox()
    assert answer.recipient == ALICE
    assert "is closed" in text_of(answer) and "kept as an internal note" in text_of(answer)
    assert [e.text for e in desk.ticket().events if e.kind == "note"] == ["She rang and is happy."]


def test_an_agents_own_matter_is_not_called_a_forward(desk: Desk) -> None:
    mails = desk.write(ALICE, "Call the printer company.", subject="Printer")
    said = text_of(to(mails, ALICE))
    assert "forward" not in said and "#1 new - you are its contact" in said


def test_the_answer_to_an_attached_forward_threads_under_the_customers_own_mail(desk: Desk) -> None:
    original = EmailMessage()
    original["From"], original["To"], original["Subject"] = f"Tom <{TOM}>", ALICE, "Smoke"
    original["Message-ID"] = "<tom.1@customer.test>"
    original.set_content("The printer is on fire.")
    forward = EmailMessage()
    forward["From"], forward["To"], forward["Subject"] = ALICE, "support@desk.test", "Fwd: Smoke"
    forward["Message-ID"], forward["Date"] = "<private.9@corp.test>", "Mon, 23 Nov 2026 10:00:00 +0000"
    forward.set_content("For the desk.")
    forward.add_attachment(original)
    desk.road.arrive(forward.as_bytes(policy=SMTP))
    confirmed = to(desk.road.outbox(), ALICE)
    (answer,) = [m for m in desk.reply(ALICE, confirmed, "Dear Tom, please leave the room.") if m.recipient == TOM]
    assert header_of(answer, "In-Reply-To") == "<tom.1@customer.test>"
    assert b"private.9" not in answer.content


def test_an_inline_forward_tells_the_customer_nothing_about_the_agents_mailbox(desk: Desk) -> None:
    block = (
        f"---------- Forwarded message ---------\nFrom: Tom <{TOM}>\nDate: Mon, 23 Nov 2026\nSubject: Smoke\nTo: A\n"
    )
    mails = desk.write(ALICE, f"{block}\nFire!", subject="Fwd: Smoke", message_id="<private.9@corp.test>")
    (answer,) = [m for m in desk.reply(ALICE, to(mails, ALICE), "Dear Tom, leave the room.") if m.recipient == TOM]
    assert b"private.9" not in answer.content


def test_links_below_an_offer_stand_apart_by_one_dot(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    html = offer.content.decode().replace("=\r\n", "")
    assert "claim</a>" in html and "\u00b7</a>" not in html and "=C2=B7</a>" not in html


def test_somebody_added_by_address_is_called_by_name_from_the_first_own_mail_on(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    mails = desk.reply(ALICE, offer, f"#cc {TOM}\n\nTom will help.")
    answer = to(mails, TOM)
    raw = make_mail(
        f"Tom Tailor <{TOM}>", "I can.", to=address_of(answer), answers=answer.message_id, message_id="<t@x>"
    )
    desk.road.arrive(raw, recipient=address_of(answer))
    told = to(desk.road.outbox(), ALICE)
    assert header_of(told, "From").startswith("Tom Tailor via") and "yours - Tom " in text_of(told)
    assert "Reply = answer jane@customer.test, with a copy to Tom." in text_of(told)
    assert {p.name for p in desk.ticket().participants if p.address == TOM} == {"Tom Tailor"}


def test_a_reply_without_words_never_sends_the_quotation_of_our_notice(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    held = to(desk.reply(ALICE, offer, ""), ALICE)
    assert "no text of yours" in text_of(held) and "> >" not in text_of(held)
    assert JANE not in {mail.recipient for mail in desk.reply(ALICE, held, "#send")}


def test_an_unproven_reply_without_words_sends_no_quotation_either(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    held = to(desk.reply(ALICE, offer, "", Proof.NONE), ALICE)
    assert all(b"nobody has it yet" not in m.content for m in desk.reply(ALICE, held, "#send") if m.recipient == JANE)


# ------------------------------------------------------------------ what "send" sends of a held mail


def _held_typo(desk: Desk) -> OutboundMail:
    offer = to(desk.write(JANE, "Please help.", message_id="<first@customer.test>"), ALICE)
    desk.reply(ALICE, offer, "#note The customer is a known fraudster with a criminal record.")
    return to(desk.reply(ALICE, offer, "#clsoe\n\nDear Jane, all is well."), ALICE)


def test_words_added_to_a_pressed_send_stay_inside_and_the_held_text_goes(desk: Desk) -> None:
    held = _held_typo(desk)
    subject = next(p for p in text_of(held).replace("%20", " ").split("subject=")[1:] if p.startswith("send"))
    desk.road.arrive(make_mail(ALICE, "Just press Send.\n\nDo not trust her.", subject=subject.partition("&")[0]))
    desk.road.process()
    sent = text_of(to(desk.road.outbox(), JANE))
    assert "all is well" in sent and "trust" not in sent
    assert "Do not trust her." in [e.text for e in desk.ticket().events if e.kind == "note"]


def test_a_decision_whose_words_repeat_a_note_is_held_like_any_answer(desk: Desk) -> None:
    held = _held_typo(desk)
    asked = desk.reply(ALICE, held, "#send\n\nDear Jane,\n\nThe customer is a known fraudster with a criminal record.")
    assert desk.plan.reason == "cut-line" and not [m for m in asked if m.recipient == JANE]


def test_an_unproven_note_that_is_let_go_is_a_note_and_never_an_answer(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    held = to(desk.reply(ALICE, offer, "#note She is difficult.", proof=Proof.NONE), ALICE)
    assert "> #note She is difficult." in text_of(held)
    assert not [m for m in desk.reply(ALICE, held, "#send") if m.recipient == JANE]
    assert "She is difficult." in [e.text for e in desk.ticket().events if e.kind == "note"]


def test_an_unproven_answer_that_is_let_go_is_sent_without_commands_and_our_quoted_mail(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    held = to(desk.reply(ALICE, offer, "#close\n\nDear Jane, it is done.", proof=Proof.NONE), ALICE)
    sent = text_of(to([m for m in desk.reply(ALICE, held, "#send") if m.recipient == JANE], JANE))
    assert sent.startswith("Dear Jane, it is done.") and "#close" not in sent and "@corp.test" not in sent
    assert desk.ticket().state is State.CLOSED


def test_an_agents_signed_mail_to_somebody_else_is_no_answer_at_the_agents_token(
    desk: Desk,
) -> None:
    offer = to(desk.write(JANE, "Please help."), ALICE)
    raw = make_mail(ALICE, "Dear Eve, our price is one euro.", to="eve@evil.test", answers=offer.message_id)
    plan = desk.road.arrive(raw, recipient=address_of(offer))
    assert (plan.outcome, plan.reason) == ("hold", "not-addressed")
    (asked,) = desk.road.outbox()
    assert asked.recipient == ALICE and "written to somebody" in text_of(asked)
    assert to([m for m in desk.reply(ALICE, asked, "#send") if m.recipient == JANE], JANE)
