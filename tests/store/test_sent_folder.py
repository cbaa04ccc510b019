"""What agents send from the shared mailbox itself is an answer, and is never sent a second time."""

from __future__ import annotations

import pytest

from gateway.model import Envelope, OutboundMail, Plan, Proof, State
from gateway.store import journal
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, BOB, JANE, TOM, Desk, to
from tests.support.spine import make_mail, text_of

SUPPORT = "support@desk.test"


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def offers(desk: Desk) -> list[OutboundMail]:
    return desk.write(JANE, "The pump is loud.", message_id="<1@customer.test>")


def sent(
    desk: Desk, text: str, *, author: str = SUPPORT, people: str = JANE, source: str = "sent:support", **more: str
) -> Plan:
    """A copy in the Sent folder, as the reader of the mailbox hands it over."""
    options = {"answers": "<1@customer.test>", "subject": "Re: Invoice 2231 is wrong", "message_id": "<h@desk.test>"}
    raw = make_mail(author, text, to=people, **(options | more))
    envelope = Envelope(
        reverse_path="", recipient=SUPPORT, inbox="support", source=source, received_at=desk.road.now, trusted=True
    )
    with desk.road.database.begin() as tx:
        journal.append(tx, envelope, raw)
    return desk.road.process(Proof.NONE)[-1]


def test_an_answer_from_the_shared_mailbox_is_recorded_and_nobody_is_mailed(
    desk: Desk, offers: list[OutboundMail]
) -> None:
    assert sent(desk, "Please turn it off.").outcome == "sent"
    assert desk.road.outbox() == []
    ticket = desk.ticket()
    assert ticket.state is State.WAITING and ticket.owner is None
    assert [(e.kind, e.public) for e in ticket.events if e.text == "Please turn it off."] == [("answer", True)]
    told = desk.write(JANE, "It is off.", answers="<h@desk.test>", message_id="<2@customer.test>")
    assert {m.recipient for m in told} == {ALICE, BOB} and {m.ticket for m in told} == {1}


def test_its_owner_is_told_and_a_late_reply_collides(desk: Desk, offers: list[OutboundMail]) -> None:
    desk.reply(ALICE, to(offers, ALICE), "#claim")
    sent(desk, "Please turn it off.")
    assert "Please turn it off." in text_of(to(desk.road.outbox(), ALICE))
    held = to(desk.reply(BOB, to(offers, BOB), "Leave it on!"), BOB)
    assert "NOT SENT" in text_of(held) and "Desk answered" in text_of(held)


def test_an_agents_own_address_in_from_makes_the_answer_and_a_free_ticket_that_agents(
    desk: Desk, offers: list[OutboundMail]
) -> None:
    sent(desk, "Please turn it off.", author=ALICE)
    owner = desk.ticket().owner
    assert owner is not None and owner.address == ALICE


@pytest.mark.parametrize(
    "options",
    [
        {"extra": "X-Loop: tickets.desk.test"},  # the provider's copy of what we sent
        {"message_id": "<1.5.31.k@tickets.desk.test>"},  # ours (sent_copy), by a server that drops strange fields
        {"people": TOM},
        {"author": "eve@evil.test"},  # a filter put it there
        {"answers": "<unknown@elsewhere.test>", "subject": "Lunch"},
        {"extra": "Auto-Submitted: auto-replied"},
    ],
)
def test_what_else_lies_in_the_folder_is_recorded_nowhere(
    desk: Desk, offers: list[OutboundMail], options: dict[str, str]
) -> None:
    before = desk.ticket()
    assert sent(desk, "hm", **options).outcome == "discard"
    assert desk.ticket() == before and desk.road.outbox() == []


def test_the_same_mail_from_anywhere_else_is_nobodys_answer(desk: Desk, offers: list[OutboundMail]) -> None:
    assert sent(desk, "Please turn it off.", source="imap:support").outcome == "hold"
    assert desk.ticket().state is State.NEW
