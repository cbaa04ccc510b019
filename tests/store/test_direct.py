"""Agents who write to customers themselves, with us in copy: recorded as answers, and never mailed a second time."""

from __future__ import annotations

import pytest

from gateway.model import OutboundMail, Plan, Proof, State
from gateway.store.database import Database
from tests.rules.test_properties_conversation import everything_in
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, TOM, Desk, to
from tests.support.spine import Signed, address_of, header_of, make_mail, text_of

SUPPORT = "support@desk.test"


class Direct(Desk):
    def __init__(self, database: Database) -> None:
        self.road = Signed(database, DESK)

    def send(
        self,
        who: str,
        text: str,
        *,
        people: str = JANE,
        cc: str = SUPPORT,
        proof: Proof = Proof.DKIM,
        recipient: str = SUPPORT,
        **options: str,
    ) -> list[OutboundMail]:
        """A mail from an agent's own mail program to somebody outside, with us in copy."""
        extra = f"Cc: {cc}" if cc else ""
        raw = make_mail(who, text, to=people, extra=extra, **options)
        self.plan: Plan = self.road.arrive(raw, recipient=recipient, proof=proof)
        return self.road.outbox()


@pytest.fixture
def desk(database: Database) -> Direct:
    return Direct(database)


@pytest.fixture
def offers(desk: Direct) -> list[OutboundMail]:
    return desk.write(JANE, "The pump is loud.", message_id="<1@customer.test>")


ANSWER = {"answers": "<1@customer.test>", "subject": "Re: Invoice 2231 is wrong", "message_id": "<a1@corp.test>"}


# ------------------------------------------------------------------ answers beside us


def test_an_answer_with_us_in_copy_is_recorded_taken_and_not_sent_again(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    sent = desk.send(ALICE, "Please turn it off.", **ANSWER)
    assert [m.recipient for m in sent] == [ALICE]
    assert "recorded as your answer; it was not sent again" in text_of(sent[0])
    ticket = desk.ticket()
    assert (ticket.state, ticket.owner.address if ticket.owner else "") == (State.WAITING, ALICE)
    assert [(e.kind, e.public) for e in ticket.events if e.text == "Please turn it off."] == [("answer", True)]


def test_the_customers_next_reply_to_the_agent_with_us_in_copy_is_filed_too(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    desk.send(ALICE, "Please turn it off.", **ANSWER)
    told = desk.send(JANE, "It is off.", people=ALICE, answers="<a1@corp.test>", message_id="<2@customer.test>")
    assert [m.recipient for m in told] == [ALICE] and desk.plan.ticket == 1
    answer = to(desk.reply(ALICE, told[0], "Good."), JANE)
    assert "<a1@corp.test>" in header_of(answer, "References") and "It is off." in text_of(answer)


def test_a_colleague_who_answers_the_old_notice_collides_with_it(desk: Direct, offers: list[OutboundMail]) -> None:
    desk.send(ALICE, "Please turn it off.", **ANSWER)
    held = to(desk.reply(BOB, to(offers, BOB), "Leave it on!"), BOB)
    assert "NOT SENT" in text_of(held) and "Please turn it off." in text_of(held)


def test_who_answers_directly_after_a_colleague_is_told_and_so_is_the_colleague(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    desk.reply(BOB, to(offers, BOB), "Leave it on!")
    sent = desk.send(ALICE, "Please turn it off.", **ANSWER)
    assert {m.recipient for m in sent} == {ALICE, BOB}
    mine = text_of(to(sent, ALICE))
    assert "Bob has the ticket" in mine and "Bob had answered before you" in mine and "subject=claim" in mine
    assert desk.ticket().owner.address == BOB  # type: ignore[union-attr]
    desk.tap(ALICE, to(sent, ALICE), "claim")
    assert desk.ticket().owner.address == ALICE  # type: ignore[union-attr]


def test_a_reply_to_our_notice_with_the_customer_in_copy_is_not_sent_twice(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    mine = to(offers, ALICE)
    sent = desk.send(
        ALICE,
        "#close\n\nPlease turn it off.",
        people=address_of(mine),
        cc=JANE,
        recipient=address_of(mine),
        answers=mine.message_id,
        message_id="<a2@corp.test>",
    )
    assert JANE not in {m.recipient for m in sent}
    ticket = desk.ticket()
    assert ticket.state is State.CLOSED and ticket.owner and ticket.owner.address == ALICE


def test_a_reply_to_our_notice_with_only_one_of_two_in_copy_is_sent_to_the_other(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    mine = to(offers, ALICE)
    desk.reply(ALICE, mine, f"#cc {TOM}\n\nWelcome, Tom.")
    more = to(desk.write(JANE, "Still loud.", answers="<1@customer.test>", message_id="<2@customer.test>"), ALICE)
    ours = address_of(more)
    sent = desk.send(ALICE, "Turn it off.", people=ours, cc=TOM, recipient=ours, answers=more.message_id)
    assert [m.recipient for m in sent] == [JANE]
    assert "Turn it off." in text_of(sent[0])
    assert desk.ticket().state is State.WAITING


def test_an_agents_mail_to_one_who_only_takes_part_is_not_taken_for_the_customers_answer(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    desk.reply(ALICE, to(offers, ALICE), f"#cc {TOM}\n\nWelcome, Tom.")
    desk.write(JANE, "Still loud.", answers="<1@customer.test>", message_id="<2@customer.test>")
    sent = desk.send(ALICE, "Between us.", people=TOM, answers="<2@customer.test>", message_id="<a9@corp.test>")
    assert [m.recipient for m in sent] == [ALICE]
    assert "NOT SENT" in text_of(sent[0])


def test_a_note_with_the_customer_in_copy_by_mistake_is_a_note_all_the_same(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    mine = to(offers, ALICE)
    desk.send(ALICE, "#note\nhm", people=address_of(mine), cc=JANE, recipient=address_of(mine), answers=mine.message_id)
    assert [e.kind for e in desk.ticket().events if e.text == "hm"] == ["note"]


# ------------------------------------------------------------------ who may


@pytest.mark.parametrize("proof", [Proof.NONE, Proof.SPF])
def test_without_an_agents_proof_nothing_is_recorded(desk: Direct, offers: list[OutboundMail], proof: Proof) -> None:
    desk.send(ALICE, "Please pay elsewhere.", proof=proof, **ANSWER)
    ticket = desk.ticket()
    assert ticket.state is State.NEW and ticket.owner is None
    assert not any(e.kind == "answer" for e in ticket.events)


def test_addresses_that_the_signature_does_not_cover_prove_nothing(desk: Direct, offers: list[OutboundMail]) -> None:
    desk.road.covers = ("from", "subject", "date", "message-id")
    held = desk.send(ALICE, "Please turn it off.", **ANSWER)
    assert [m.recipient for m in held] == [ALICE] and "NOT SENT" in text_of(held[0])
    assert desk.ticket().state is State.NEW


def test_a_blind_copy_proves_nothing_unless_our_own_server_took_it_from_the_agent(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    desk.send(ALICE, "Please turn it off.", cc="", **ANSWER)
    assert desk.ticket().state is State.NEW
    again = {**ANSWER, "message_id": "<a3@corp.test>"}
    desk.send(ALICE, "Really, turn it off.", cc="", proof=Proof.SUBMISSION, **again)
    assert desk.ticket().state is State.WAITING


def test_the_same_signed_mail_once_more_does_nothing(desk: Direct, offers: list[OutboundMail]) -> None:
    desk.send(ALICE, "Please turn it off.", **ANSWER)
    before = desk.ticket().last_event
    assert desk.send(ALICE, "Please turn it off. ", **ANSWER) == []
    assert desk.plan.outcome == "repeat"
    assert desk.ticket().last_event == before


def test_an_agents_mail_to_somebody_else_is_no_answer_to_this_customer(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    desk.send(ALICE, "Between us.", people=TOM, **ANSWER)
    assert not any(e.kind == "answer" for e in desk.ticket().events)


def test_a_stranger_with_the_customer_in_copy_records_nothing(desk: Direct, offers: list[OutboundMail]) -> None:
    desk.send("eve@evil.test", "I am support.", **{**ANSWER, "message_id": "<e@evil.test>"})
    assert not any(e.kind == "answer" for e in desk.ticket().events)


# ------------------------------------------------------------------ tickets begun by an agent


def test_an_agent_begins_a_ticket_by_writing_to_a_customer_with_us_in_copy(desk: Direct) -> None:
    sent = desk.send(
        ALICE, "We come on Friday.", people=f"{JANE}, {TOM}", subject="Your pump", message_id="<b@corp.test>"
    )
    assert [m.recipient for m in sent] == [ALICE]
    assert text_of(sent[0]).splitlines()[0] == f"#1 yours - made from your mail to {JANE}"
    ticket = desk.ticket()
    assert (ticket.state, ticket.owner.address if ticket.owner else "") == (State.WAITING, ALICE)
    assert [p.address for p in ticket.participants] == [JANE, TOM]
    told = desk.send(
        JANE, "Fine.", people=ALICE, answers="<b@corp.test>", message_id="<r@customer.test>", subject="Re: Your pump"
    )
    assert [m.recipient for m in told] == [ALICE] and desk.plan.ticket == 1


def test_an_agent_goes_on_with_it_before_the_customer_has_said_anything(desk: Direct) -> None:
    mine = desk.send(ALICE, "We come on Friday.", subject="Your pump", message_id="<b@corp.test>")[0]
    answer = to(desk.reply(ALICE, mine, "At ten."), JANE)
    assert header_of(answer, "Subject") == "Re: Your pump"
    assert header_of(answer, "References") == "<b@corp.test>"
    assert ALICE not in everything_in(answer)


def test_who_the_customer_is_is_asked_where_the_addresses_are_not_signed(desk: Direct) -> None:
    desk.road.covers = ("from", "subject", "date", "message-id")
    sent = desk.send(ALICE, "We come on Friday.", subject="Your pump")
    assert "Who is the customer?" in text_of(to(sent, ALICE))
    assert JANE not in {p.address for p in desk.ticket().participants}


@pytest.mark.parametrize("proof", [Proof.NONE, Proof.SPF])
def test_nobody_begins_a_ticket_in_an_agents_name(desk: Direct, proof: Proof) -> None:
    desk.send(ALICE, "Pay here.", proof=proof, subject="Your bill")
    assert desk.plan.outcome == "hold" and desk.plan.ticket == 0


def test_a_customer_who_writes_to_others_with_us_in_copy_begins_an_ordinary_ticket(desk: Direct) -> None:
    desk.send(JANE, "Who can help?", people=TOM, subject="Help")
    assert [p.address for p in desk.ticket().participants] == [JANE]


# ------------------------------------------------------------------ blind copies


def flat(mail: OutboundMail) -> str:
    return " ".join(text_of(mail).split())


@pytest.mark.parametrize("to_token", [True, False])
def test_a_blind_copy_is_held_and_its_notice_says_that_the_customer_may_have_it(
    desk: Direct, offers: list[OutboundMail], to_token: bool
) -> None:
    recipient = address_of(to(offers, ALICE)) if to_token else SUPPORT
    (asked,) = desk.send(ALICE, "Please turn it off.", cc="", recipient=recipient, **ANSWER)
    assert desk.plan.reason == ("not-addressed" if to_token else "no-token")
    assert f"{JANE} may have it already, because the mail is addressed there: #send sends it there once more" in flat(
        asked
    )
    assert f"With {SUPPORT} in Cc, not Bcc, such a mail is recorded as your answer." in flat(asked)
    assert "could not be proven" not in flat(asked)
    out = desk.reply(ALICE, asked, "#note\n#wait")
    assert JANE not in {m.recipient for m in out}
    assert desk.ticket().state is State.WAITING
    assert "Please turn it off." in [e.text for e in desk.ticket().events if e.kind == "note"]


def test_the_notice_of_a_blind_copy_to_somebody_else_promises_nothing(desk: Direct, offers: list[OutboundMail]) -> None:
    recipient = address_of(to(offers, ALICE))
    (asked,) = desk.send(ALICE, "Dear Eve.", cc="", people="eve@evil.test", recipient=recipient, **ANSWER)
    assert "may have it already" not in flat(asked) and "written to somebody else" in flat(asked)


def test_a_mail_in_an_agents_name_without_proof_is_not_told_how_to_be_recorded(
    desk: Direct, offers: list[OutboundMail]
) -> None:
    recipient = address_of(to(offers, ALICE))
    (asked,) = desk.send(ALICE, "Please turn it off.", cc="", recipient=recipient, proof=Proof.NONE, **ANSWER)
    assert f"{JANE} may have it already" in flat(asked) and "not Bcc" not in flat(asked)
    assert "could not be proven" in flat(asked)
