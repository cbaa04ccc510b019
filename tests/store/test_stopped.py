"""Stopped mail is let in, thrown away or blocked by a lead, from the list and at the shell, on both databases."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.model import OutboundMail, Proof, State
from gateway.store import journal, tickets
from gateway.store.database import Database
from tests.edges.test_operators import site  # noqa: F401 - a fixture
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, Desk, to
from tests.support.spine import Road, address_of, header_of, make_mail, text_of

SPAMMER = "win@prize.test"
LED = replace(
    DESK, inbox={**DESK.inbox, "support": replace(DESK.inbox["support"], agents=("alice", "bob", "carol", "olga"))}
)


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database, LED)
    with desk.road.database.begin() as tx:
        tickets.set_blocked(tx, SPAMMER, True, desk.road.now)
    assert desk.write(SPAMMER, "You won again!", subject="Prize again") == []
    return desk


def listed(desk: Desk, who: str = CAROL, text: str = "#list quarantine") -> OutboundMail:
    return to(desk.write(who, "", subject=text), who)


def answer(desk: Desk, who: str, mail: OutboundMail, text: str) -> list[OutboundMail]:
    raw = make_mail(who, text, subject="Re: list", to=address_of(mail), answers=mail.message_id)
    desk.road.arrive(raw, recipient=address_of(mail))
    desk.road.process()
    return desk.road.outbox()


def held(desk: Desk) -> list[str]:
    with desk.road.database.begin() as tx:
        return [row.reason for row in journal.list_held(tx)]


def test_the_list_says_what_can_be_done_with_each_mail(desk: Desk) -> None:
    mail = listed(desk)
    assert "1 mail held or in quarantine" in text_of(mail)
    assert f'  q1     "Prize again"\n         {SPAMMER}, blocked sender, today ' in text_of(mail)
    assert "q1 let in:  mailto:support@desk.test?subject=notspam%20q1%20" in text_of(mail)
    assert "Reply with #notspam q17" in text_of(mail)


def test_the_list_shows_the_subject_as_data_and_that_nothing_proves_it(desk: Desk) -> None:
    token = desk.road.settings.keys.make_token("t", 1, 0, 31)
    text = f"You \u202ewon\u202c a prize support+{token}@desk.test " + "x" * 300
    desk.road.arrive(make_mail("win@prize.test", "Click.", subject=text, message_id="<p@x.test>"), proof=Proof.NONE)
    lines = text_of(listed(desk)).splitlines()
    first, second = (next(n for n, line in enumerate(lines) if line.startswith(f"  {row} ")) for row in ("q2", "q1"))
    assert lines[first].startswith('  q2     "You won a prize ') and lines[first].endswith('" (not proven)')
    assert token not in "".join(lines) and "\u202e" not in "".join(lines) and len(lines[first]) < 100
    assert lines[second] == '  q1     "Prize again"', "signed by its domain"


def test_the_subject_is_kept_only_while_the_mail_is_held(desk: Desk) -> None:
    answer(desk, CAROL, listed(desk), "#notspam q1")
    with desk.road.database.begin() as tx:
        assert [row.subject for row in journal.find(tx, row_id=1)] == [""]


@pytest.mark.parametrize("way", ["tap", "#notspam q1", "#ham 1", "notspam q1"])
def test_a_lead_lets_a_mail_in_and_it_is_a_ticket_like_any(desk: Desk, way: str) -> None:
    mail = listed(desk)
    out = desk.tap(CAROL, mail, "notspam") if way == "tap" else answer(desk, CAROL, mail, way)
    assert "Let in: q1." in text_of(next(m for m in out if m.kind == "list"))
    assert {m.recipient for m in out if m.kind == "offer"} == {ALICE, BOB, CAROL}
    assert desk.ticket(1).subject == "Prize again"
    assert held(desk) == []
    assert desk.write(SPAMMER, "Thank you.", subject="Third") != [], "the sender is not blocked any more"


def test_a_second_press_does_nothing(desk: Desk) -> None:
    mail = listed(desk)
    desk.tap(CAROL, mail, "notspam")
    (said,) = desk.tap(CAROL, mail, "notspam")
    assert "q1 is not held, or not any more" in text_of(said)


def test_a_lead_throws_a_mail_away(desk: Desk) -> None:
    (said,) = answer(desk, CAROL, listed(desk), "#spam q1")
    assert "Thrown away as spam: q1." in text_of(said)
    assert held(desk) == []


def test_a_lead_blocks_the_sender_of_a_mail_beside_a_ticket(desk: Desk) -> None:
    desk.write(JANE, "Hello", message_id="<1@customer.test>")
    stranger = make_mail(
        "eve@evil.test", "Send me all.", answers="<1@customer.test>", subject="Re: Invoice 2231 is wrong"
    )
    desk.road.arrive(stranger)
    desk.road.outbox()
    mail = listed(desk)
    assert "unknown sender, #1, " in text_of(mail)
    (said,) = answer(desk, CAROL, mail, "#block q3")
    assert "Thrown away; mail from eve@evil.test goes to quarantine from now on." in text_of(said)
    assert [h.resolution for h in desk.ticket(1).held] == ["discarded"]
    desk.write("eve@evil.test", "Again", subject="New")
    assert held(desk) == ["blocked", "blocked"]


def test_what_waits_beside_a_ticket_is_let_in_there_and_asked_about_no_more(desk: Desk) -> None:
    desk.write(JANE, "Hello", message_id="<1@customer.test>")
    desk.road.arrive(make_mail(JANE, "More", answers="<1@customer.test>"), proof=Proof.NONE)
    desk.road.outbox()
    out = answer(desk, CAROL, listed(desk), "#notspam q3")
    assert [m.kind for m in out if m.recipient == ALICE] == ["customer-reply"]
    assert [h.resolution for h in desk.ticket(1).held] == ["admitted"]
    assert not any(kind.startswith("held-") for kind in desk.timers(1))


def test_a_lead_reads_a_mail_before_deciding(desk: Desk) -> None:
    (said,) = answer(desk, CAROL, listed(desk), "#show q1")
    message = email.message_from_bytes(said.content, policy=email.policy.default)
    (file,) = message.iter_attachments()
    assert file.get_filename() == "q1.eml"
    assert b"You won again!" in file.get_payload(decode=True)


def test_nobody_but_a_lead_of_that_inbox_decides(desk: Desk) -> None:
    mine = listed(desk, ALICE, "#list")
    for order in ("#notspam q1", "#spam q1", "#show q1"):
        (said,) = answer(desk, ALICE, mine, order)
        assert "only a lead can do that" in text_of(said), order
    desk.road.settings = replace(
        LED, inbox={**LED.inbox, "support": replace(LED.inbox["support"], lead=(), agents=("alice",))}
    )
    (said,) = answer(desk, CAROL, listed(desk, CAROL, "#help"), "#notspam q1")
    assert "q1 is not held" in text_of(said)
    assert held(desk) == ["blocked"]


def test_an_agents_own_held_answer_is_that_agents(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Hello"), ALICE)
    desk.reply(ALICE, offer, "#noet hm")
    mail = listed(desk)
    assert "command unclear" in text_of(mail)
    assert "q3 let in" not in text_of(mail)
    (said,) = answer(desk, CAROL, mail, "#notspam q3")
    assert "who was asked what should become of it" in text_of(said)


def test_in_a_tickets_thread_a_row_needs_its_letter(desk: Desk) -> None:
    offer = to(desk.write(JANE, "Hello"), CAROL)
    (said,) = desk.reply(CAROL, offer, "#spam 1")
    assert "write rows of the list as q1" in text_of(said)
    assert desk.ticket(1).state is State.NEW
    (said,) = desk.reply(CAROL, offer, "#spam q1")
    assert "thrown away as spam: q1" in text_of(said)
    assert desk.ticket(1).state is State.NEW
    assert "blocked" not in held(desk)


def test_nothing_can_be_blocked_that_is_ours(desk: Desk) -> None:
    desk.road.arrive(make_mail("support@desk.test", "We are you."))
    desk.road.outbox()
    (said,) = answer(desk, CAROL, listed(desk), "#block q2")
    assert "support@desk.test is an address of this desk" in text_of(said)


def test_the_shell_lets_in_and_blocks_as_a_lead_does(site: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    store = Database(f"sqlite:{site.parent}/desk.db")
    store.migrate()
    road = Road(store)
    road.arrive(make_mail(JANE, "Hello", message_id="<1@customer.test>"))
    road.arrive(make_mail(JANE, "More", answers="<1@customer.test>"), proof=Proof.NONE)
    road.arrive(make_mail("eve@evil.test", "Give", answers="<1@customer.test>", subject="Re: Invoice 2231 is wrong"))
    assert main(["held", "release", "2", "--config", str(site)]) == 0
    road.now = datetime.now(UTC)
    road.process()
    assert [h.resolution for h in road.ticket(1).held] == ["admitted", ""]
    assert main(["held", "block", "3", "--config", str(site)]) == 0
    assert [h.resolution for h in road.ticket(1).held] == ["admitted", "discarded"]
    assert "mail from eve@evil.test goes to quarantine" in capsys.readouterr().out
    assert road.arrive(make_mail("eve@evil.test", "Again", subject="New")).reason == "blocked"
    store.close()


def test_an_operator_sends_an_agents_held_answer_as_it_was_meant(site: Path) -> None:  # noqa: F811
    store = Database(f"sqlite:{site.parent}/desk.db")
    store.migrate()
    road = Road(store)
    road.arrive(make_mail(JANE, "Hello"))
    offer = next(m for m in road.outbox() if m.recipient == ALICE)
    raw = make_mail(
        ALICE, "It is fixed.", to=address_of(offer), answers=offer.message_id, subject=header_of(offer, "Subject")
    )
    road.arrive(raw, recipient=address_of(offer), proof=Proof.NONE)
    road.outbox()
    assert main(["held", "release", "2", "--config", str(site)]) == 0
    road.now = datetime.now(UTC)
    road.process()
    (sent,) = road.outbox()
    assert (sent.kind, sent.recipient) == ("answer", JANE)
    assert [h.resolution for h in road.ticket(1).held] == ["sent"]
    store.close()
