"""Side conversations: an agent asks somebody else about a ticket, and neither side ever reads the other's mail."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.model import OutboundMail, Proof, State
from gateway.settings import Customer, Send
from gateway.store.database import Database
from tests.rules.test_properties_conversation import everything_in
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, TOM, Desk, to
from tests.support.spine import address_of, header_of, make_mail, text_of

PAT, EVE = "pat@supplier.test", "eve@supplier.test"
QUESTION = "Can you deliver pump P-12 by Friday?"
SECRET = "My account number is 4711 and I live in Elm Street"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    return to(desk.write(JANE, SECRET, message_id="<1@customer.test>"), ALICE)


@pytest.fixture
def asked(desk: Desk, offer: OutboundMail) -> OutboundMail:
    """The mail Pat got."""
    return to(desk.reply(ALICE, offer, f"#ask {PAT} Pump P-12\n\n{QUESTION}"), PAT)


def test_an_agent_asks_a_supplier_who_reads_nothing_but_the_question(desk: Desk, asked: OutboundMail) -> None:
    shown = everything_in(asked)
    assert QUESTION in text_of(asked)
    assert header_of(asked, "Subject") == "Pump P-12"
    assert header_of(asked, "From") == '"Alice Ahmed (Desk)" <support@desk.test>'
    for hidden in (JANE, "4711", "Invoice", ALICE, "<1@customer.test>", "#ask"):
        assert hidden not in shown
    assert not header_of(asked, "Auto-Submitted") and not header_of(asked, "X-Ticket")
    ticket = desk.ticket()
    assert (ticket.state, ticket.owner.address if ticket.owner else "") == (State.OPEN, ALICE)
    assert [p.address for p in ticket.participants] == [JANE]
    assert [p.address for p in ticket.thirds] == [PAT]


FORMATTED = """<html><body><div>#ask {who} Pump P-12</div><div><br></div>
<div>Can you deliver <b>pump P-12</b> by Friday?</div>
<ul><li>two of them</li></ul><br><blockquote type="cite"><div id="tg-1">{secret}</div></blockquote></body></html>"""


@pytest.mark.parametrize(("setting", "kept"), [("auto", True), ("never", False)])
def test_a_supplier_gets_the_formatting_a_customer_would(
    desk: Desk, offer: OutboundMail, setting: str, kept: bool
) -> None:
    desk.road.settings = replace(desk.road.settings, customer=Customer(html=setting))
    text = f"#ask {PAT} Pump P-12\n\n{QUESTION}\n\n* two of them\n\n> {SECRET}"
    raw = make_mail(ALICE, "", subject="Re: x", to=address_of(offer), answers=offer.message_id)
    raw = raw.replace(b"text/plain; charset=utf-8", b'multipart/alternative; boundary="=b"')
    for kind, said in (("plain", text), ("html", FORMATTED.format(who=PAT, secret=SECRET))):
        raw += (
            f"--=b\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n".encode() + said.replace("\n", "\r\n").encode()
        )
        raw += b"\r\n"
    desk.road.arrive(raw + b"--=b--\r\n", recipient=address_of(offer))
    mail = email.message_from_bytes(to(desk.road.outbox(), PAT).content, policy=email.policy.default)
    html = mail.get_body(("html",))
    assert (html is not None) == kept
    if html is not None:
        assert "<b>pump P-12</b>" in html.get_content() and "<li>two of them</li>" in html.get_content()
        assert "#ask" not in html.get_content() and "4711" not in html.get_content()


def test_without_a_subject_of_its_own_the_question_does_not_take_the_customers(desk: Desk, offer: OutboundMail) -> None:
    mail = to(desk.reply(ALICE, offer, f"#ask {PAT}\n{QUESTION}"), PAT)
    assert header_of(mail, "Subject") == "A question from Desk"


def test_the_suppliers_answer_is_shown_to_the_owner_and_a_reply_goes_back_to_the_supplier(
    desk: Desk, asked: OutboundMail
) -> None:
    told = desk.reply(PAT, asked, "Yes, on Thursday the tenth of December.")
    notice = to(told, ALICE)
    assert [m.recipient for m in told] == [ALICE]
    first = text_of(notice).splitlines()[0]
    assert first == f"#1 yours - THIRD PARTY {PAT} answered; {JANE} does not see this"
    assert "Thursday the tenth" in text_of(notice)
    sent = desk.reply(ALICE, notice, "Please do. Thank you!")
    assert [m.recipient for m in sent] == [PAT]
    shown = everything_in(sent[0])
    assert "Please do." in shown and "Thursday the tenth" in shown and "4711" not in shown
    assert header_of(sent[0], "Subject") == "Re: Pump P-12"
    assert asked.message_id in header_of(sent[0], "References")


def test_the_customer_is_answered_as_ever_and_reads_nothing_of_the_supplier(
    desk: Desk, offer: OutboundMail, asked: OutboundMail
) -> None:
    desk.reply(PAT, asked, "Yes, on Thursday the tenth of December.")
    answer = to(desk.reply(ALICE, offer, "You get a pump soon."), JANE)
    shown = everything_in(answer)
    for hidden in (PAT, "Thursday", "P-12", "supplier"):
        assert hidden not in shown
    assert "4711" in shown  # the customer's own words, quoted


def test_from_the_suppliers_answer_the_customer_is_written_to_with_send_only(desk: Desk, asked: OutboundMail) -> None:
    notice = to(desk.reply(PAT, asked, "Yes, on Thursday the tenth of December."), ALICE)
    sent = desk.reply(ALICE, notice, "#send\nYou get it next month.")
    assert [m.recipient for m in sent] == [JANE]
    assert "Thursday" not in everything_in(sent[0])


def test_the_suppliers_words_pasted_into_an_answer_are_asked_about_first(
    desk: Desk, offer: OutboundMail, asked: OutboundMail
) -> None:
    desk.reply(PAT, asked, "We can only ship it on Thursday the tenth of December.")
    held = to(desk.reply(ALICE, offer, "We can only ship it on Thursday the tenth of December."), ALICE)
    assert "NOT SENT" in text_of(held)
    assert [m.recipient for m in desk.reply(ALICE, held, "#send")] != []


def test_the_customers_words_pasted_into_a_question_are_asked_about_and_then_go_to_the_supplier(
    desk: Desk, offer: OutboundMail
) -> None:
    held = to(desk.reply(ALICE, offer, f"#ask {PAT}\nThe customer says: {SECRET}."), ALICE)
    assert text_of(held).splitlines()[0].startswith("#1 NOT SENT")
    assert f"what {PAT} would get" in " ".join(text_of(held).split())
    sent = desk.reply(ALICE, held, "send")
    assert {m.recipient for m in sent} == {ALICE, PAT}


def test_a_customers_mail_quoted_below_a_question_stays_here(desk: Desk, offer: OutboundMail) -> None:
    quoted = text_of(offer)
    raw = make_mail(
        ALICE,
        f"#ask {PAT}\n{QUESTION}\n\n> {SECRET}\n\nRegards\n\n-----Original Message-----\n"
        f"From: Desk <support@desk.test>\nSent: Monday\nTo: Alice\nSubject: Invoice\n\n{quoted}",
        to=address_of(offer),
        answers=offer.message_id,
    )
    desk.road.arrive(raw, recipient=address_of(offer))
    for mail in desk.road.outbox():
        assert mail.recipient == ALICE or "4711" not in everything_in(mail)


@pytest.mark.parametrize("line", [f"#aks {PAT}", "#ask supplier", f"#ask {PAT}\n#noet hm"])
def test_a_mistake_about_a_question_never_sends_it_to_the_customer(desk: Desk, offer: OutboundMail, line: str) -> None:
    held = to(desk.reply(ALICE, offer, f"{line}\n{QUESTION}"), ALICE)
    for mail in desk.reply(ALICE, held, "#send"):
        assert mail.recipient != JANE
    corrected = desk.reply(ALICE, held, f"#ask {PAT}")
    assert JANE not in {m.recipient for m in corrected}


def test_the_notice_of_a_mistyped_question_offers_the_customer_to_nobody(desk: Desk, offer: OutboundMail) -> None:
    for line in (f"#aks {PAT}", "#ask supplier"):
        shown = text_of(to(desk.reply(ALICE, offer, f"{line}\n{QUESTION}"), ALICE))
        assert "#ask ADDRESS" in shown and "#send" not in shown and "subject=send" not in shown


def test_a_mistyped_question_is_corrected_by_reply(desk: Desk, offer: OutboundMail) -> None:
    held = to(desk.reply(ALICE, offer, f"#ask supplier\n{QUESTION}"), ALICE)
    sent = to(desk.reply(ALICE, held, f"#ask {PAT}"), PAT)
    assert QUESTION in text_of(sent)


@pytest.mark.parametrize(
    "argument, why",
    [(BOB, "a colleague"), ("support@desk.test", "an address of this desk"), (JANE, "takes part in the conversation")],
)
def test_only_somebody_outside_without_a_part_can_be_asked(
    desk: Desk, offer: OutboundMail, argument: str, why: str
) -> None:
    held = to(desk.reply(ALICE, offer, f"#ask {argument}\n{QUESTION}"), ALICE)
    assert why in text_of(held)
    assert [m.recipient for m in desk.reply(ALICE, held, "#send")] == [ALICE]


def test_a_question_without_words_is_not_sent(desk: Desk, offer: OutboundMail) -> None:
    assert [m.recipient for m in desk.reply(ALICE, offer, f"#ask {PAT}")] == [ALICE]
    assert desk.ticket().thirds == ()


def test_who_was_asked_beside_the_customer_cannot_be_added_to_the_conversation(
    desk: Desk, offer: OutboundMail, asked: OutboundMail
) -> None:
    held = to(desk.reply(ALICE, offer, f"#cc {PAT}\nSee the supplier's words"), ALICE)
    assert "must not see the customer's mail" in text_of(held)


def test_the_other_colleague_and_the_owner_read_what_a_colleague_asked(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#claim")
    shown = to(desk.reply(BOB, to(desk.reply(BOB, _list_of(desk), "1"), BOB), f"#ask {PAT}\n{QUESTION}"), ALICE)
    assert text_of(shown).splitlines()[0] == f"#1 asked - Bob wrote to the third party {PAT}; {JANE} does not see this"
    assert QUESTION in text_of(shown)
    assert [m.recipient for m in desk.reply(ALICE, shown, "And one more thing")] == [PAT]


def _list_of(desk: Desk) -> OutboundMail:
    return to(desk.write(BOB, "", subject="#list all", message_id="<list@corp.test>"), BOB)


def test_whoever_asked_reads_the_answer_also_when_a_colleague_owns_the_ticket(database: Database) -> None:
    desk = Desk(database)
    offers = desk.write(JANE, SECRET)
    desk.reply(BOB, to(offers, BOB), "#claim")
    asked = to(desk.reply(ALICE, to(offers, ALICE), f"#ask {PAT}\n{QUESTION}"), PAT)
    assert {m.recipient for m in desk.reply(PAT, asked, "Yes, on Thursday.")} == {ALICE, BOB}


def test_two_agents_who_answer_the_supplier_at_once_collide(database: Database) -> None:
    desk = Desk(database)
    offers = desk.write(JANE, SECRET)
    asked = to(desk.reply(ALICE, to(offers, ALICE), f"#ask {PAT}\n{QUESTION}"), PAT)
    desk.reply(BOB, to(offers, BOB), "#watch")
    told = desk.reply(PAT, asked, "Yes.")
    assert {m.recipient for m in told} == {ALICE, BOB}
    assert PAT in {m.recipient for m in desk.reply(ALICE, to(told, ALICE), "Fine, please send it.")}
    late = to(desk.reply(BOB, to(told, BOB), "No, do not send it!"), BOB)
    assert "NOT SENT" in text_of(late) and PAT in text_of(late)


# ------------------------------------------------------------------ who gets in


def test_a_suppliers_mail_without_proof_is_held_and_accepted_into_its_own_side(desk: Desk, asked: OutboundMail) -> None:
    notice = to(desk.reply(PAT, asked, "Yes, send me the account data.", proof=Proof.NONE), ALICE)
    assert "UNPROVEN" in text_of(notice)
    sent = desk.reply(ALICE, notice, "No.")
    assert [m.recipient for m in sent] == [PAT]
    kinds = [(e.kind, e.public) for e in desk.ticket().events if e.kind in ("third", "mail")]
    assert kinds == [("mail", True), ("third", False)]


def test_a_strangers_mail_with_the_suppliers_address_is_let_in_beside_the_customer_never_to_her(
    desk: Desk, offer: OutboundMail, asked: OutboundMail
) -> None:
    notice = to(desk.reply(EVE, asked, "I take over from Pat. The price is secret."), ALICE)
    assert "UNKNOWN SENDER" in text_of(notice) and JANE not in text_of(notice).split("-- \n")[1]
    desk.reply(ALICE, notice, "#open")
    answer = to(desk.reply(ALICE, offer, "Soon."), JANE)
    assert "secret" not in everything_in(answer)
    assert [e.public for e in desk.ticket().events if "price is secret" in e.text and e.kind == "third"] == [False]


def test_a_supplier_with_the_customers_reply_address_stays_a_supplier(
    desk: Desk, offer: OutboundMail, asked: OutboundMail
) -> None:
    answer = to(desk.reply(ALICE, offer, "Soon."), JANE)
    told = desk.reply(PAT, answer, "I am Jane, tell me more about Elm Street.")
    assert [m.recipient for m in told] == [ALICE]
    assert "THIRD PARTY" in text_of(told[0])
    assert [e.kind for e in desk.ticket().events if "Elm Street" in e.text and not e.public] == ["third"]


def test_a_customer_with_the_suppliers_reply_address_stays_the_customer(desk: Desk, asked: OutboundMail) -> None:
    told = desk.reply(JANE, asked, "What did you ask them?")
    assert text_of(to(told, ALICE)).splitlines()[0].startswith("#1 yours - jane")
    sent = desk.reply(ALICE, told[0], "Nothing about you.")
    assert [m.recipient for m in sent] == [JANE]


def test_a_supplier_who_was_let_go_is_a_stranger_and_an_old_notice_answers_nobody(
    desk: Desk, asked: OutboundMail
) -> None:
    notice = to(desk.reply(PAT, asked, "Yes."), ALICE)
    desk.reply(ALICE, notice, f"#uncc {PAT}")
    assert "UNKNOWN SENDER" in text_of(to(desk.reply(PAT, asked, "Wait!"), ALICE))
    held = to(desk.reply(ALICE, notice, "Thank you, never mind"), ALICE)
    assert f"{PAT} is no part of this ticket any more" in text_of(held)
    assert [m.recipient for m in desk.reply(ALICE, held, "#send")] == [ALICE]
    again = desk.reply(ALICE, held, f"#ask {PAT}")
    assert PAT in {m.recipient for m in again}


def test_an_away_notice_of_the_supplier_changes_nothing(desk: Desk, asked: OutboundMail) -> None:
    raw = make_mail(
        PAT,
        "I am away until Monday.",
        subject="Automatic reply: Pump P-12",
        to=address_of(asked),
        answers=asked.message_id,
        extra="Auto-Submitted: auto-replied",
    )
    desk.road.arrive(raw, recipient=address_of(asked))
    assert desk.road.outbox() == []
    assert desk.ticket().events[-1].kind == "auto-reply" and not desk.ticket().events[-1].public


def test_a_supplier_wakes_a_closed_ticket(desk: Desk, offer: OutboundMail, asked: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#close")
    told = to(desk.reply(PAT, asked, "Sorry, only in January."), ALICE)
    assert desk.ticket().state is State.OPEN and "(it was closed)" in text_of(told)


# ------------------------------------------------------------------ whatever happens to the ticket


def test_a_side_conversation_follows_a_merge_and_its_undo(desk: Desk, asked: OutboundMail) -> None:
    offers = desk.write(JANE, "The same again", subject="Second", message_id="<9@customer.test>")
    desk.reply(ALICE, to(offers, ALICE), "#claim")
    notice = to(desk.reply(PAT, asked, "Yes."), ALICE)
    merged = to(desk.reply(ALICE, notice, "#merge 2"), ALICE)
    assert [p.address for p in desk.ticket(2).thirds] == [PAT]
    told = to(desk.reply(PAT, asked, "Are you there?"), ALICE)
    assert "#2 yours - THIRD PARTY" in text_of(told)
    desk.tap(ALICE, merged, "undo")
    assert desk.ticket(2).thirds == () and [p.address for p in desk.ticket(1).thirds] == [PAT]
    held = desk.reply(ALICE, told, "We are still.")
    assert [m.recipient for m in held] == [ALICE] and "is no part of this ticket any more" in text_of(held[0])


def test_a_notice_from_before_a_merge_is_still_answered_to_the_third_party(desk: Desk, asked: OutboundMail) -> None:
    offers = desk.write(JANE, "The same again", subject="Second", message_id="<9@customer.test>")
    notice = to(desk.reply(PAT, asked, "Yes."), ALICE)
    desk.reply(ALICE, to(offers, ALICE), "#merge 1")
    assert [m.recipient for m in desk.reply(ALICE, notice, "Good.")] == [PAT]
    desk.write(JANE, "And again", subject="Third", message_id="<10@customer.test>")
    desk.reply(ALICE, notice, "#merge 3")
    assert [m.recipient for m in desk.reply(ALICE, notice, "Thank you.")] == [PAT]


def test_who_is_customer_of_one_and_third_party_of_the_other_keeps_them_apart(desk: Desk, asked: OutboundMail) -> None:
    offers = desk.write(PAT, "Our own question", subject="Order", message_id="<9@supplier.test>")
    held = to(desk.reply(ALICE, to(offers, ALICE), "#merge 1"), ALICE)
    assert "cannot be one ticket" in text_of(held)
    desk.reply(ALICE, held, "#send")
    assert desk.ticket(2).merged_into == 0


def test_a_question_that_still_waits_is_called_back(database: Database) -> None:
    desk = Desk(database, replace(DESK, send=Send(hold_seconds=600)))
    offer = to(desk.write(JANE, SECRET), ALICE)
    sent = desk.reply(ALICE, offer, f"#ask {PAT}\n{QUESTION}")
    assert PAT not in {m.recipient for m in sent}
    desk.reply(ALICE, offer, "#undo")
    assert desk.ticket().thirds == ()
    assert PAT not in {m.recipient for m in desk.pass_time(timedelta(hours=1))}


def test_show_says_which_words_the_customer_never_saw(desk: Desk, offer: OutboundMail, asked: OutboundMail) -> None:
    desk.reply(PAT, asked, "Yes.")
    shown = text_of(to(desk.reply(ALICE, offer, "#show"), ALICE))
    assert shown.count("the customer does not see this") == 2 and QUESTION in shown


def test_a_german_desk_reads_it_in_german(database: Database) -> None:
    german = replace(DESK.ticketgate, language="de")
    desk = Desk(database, replace(DESK, ticketgate=german))
    offer = to(desk.write(JANE, SECRET), ALICE)
    asked = to(desk.reply(ALICE, offer, f"#ask {PAT}\nKönnt ihr liefern?"), PAT)
    assert header_of(asked, "Subject") == "Eine Frage von Desk"
    notice = to(desk.reply(PAT, asked, "Ja."), ALICE)
    assert "DRITTE SEITE" in text_of(notice)


def test_a_former_agent_and_another_agents_token_ask_nobody(database: Database) -> None:
    desk = Desk(database)
    offers = desk.write(JANE, SECRET)
    held = desk.reply(BOB, to(offers, ALICE), f"#ask {PAT}\n{QUESTION}")
    assert [m.recipient for m in held] == [BOB] and desk.ticket().thirds == ()
    assert PAT in {m.recipient for m in desk.reply(BOB, held[0], "#send")}  # with Bob's own token it does
    gone = replace(DESK.agents["alice"], enabled=False)
    desk.road.settings = replace(DESK, agents={**DESK.agents, "alice": gone})
    assert PAT not in {m.recipient for m in desk.reply(ALICE, to(offers, ALICE), f"#ask {TOM}\n{QUESTION}")}
    assert [p.address for p in desk.ticket().thirds] == [PAT]


@pytest.mark.parametrize("order", ["", f"#ask {PAT}\n\n"])
def test_an_answer_between_the_lines_of_our_notice_takes_none_of_them_along(
    desk: Desk, offer: OutboundMail, order: str
) -> None:
    """The mail program's attribution names nobody of ours, and the answer stands above the last line but three."""
    lines = ["> " + line for line in text_of(offer).splitlines()]
    at = next(n for n, line in enumerate(lines) if line.startswith("> #note")) - 1
    quoted = "\n".join(lines[: at + 1]), "\n".join(lines[at + 1 :])
    text = f"Am 03.03.26 um 09:14 schrieb Mara Lind:\n{quoted[0]}\n\n{order}{QUESTION}\n\n{quoted[1]}"
    raw = make_mail(ALICE, text, subject="Re: it", to=address_of(offer), answers=offer.message_id)
    desk.road.arrive(raw, recipient=address_of(offer))
    sent = next(m for m in desk.road.outbox() if m.recipient in (PAT, JANE))
    assert QUESTION in text_of(sent)
    for ours in ("Reply =", "first line", JANE, "nobody has it", "One tap"):
        assert ours not in text_of(sent), text_of(sent)
    assert (SECRET in text_of(sent)) is (sent.recipient == JANE), "the customer's own words may stay"
