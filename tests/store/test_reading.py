"""Agents read by mail: what #show, #history, #list, #search and #export answer, and whom."""

from __future__ import annotations

import email
import email.policy
import io
import json
import zipfile
from dataclasses import replace
from urllib.parse import unquote

import pytest

from gateway.model import OutboundMail, Plan, Proof, State
from gateway.settings import Agent, Hours, Inbox
from gateway.store.database import Database
from tests.support.spine import SETTINGS, Road, address_of, header_of, make_mail, text_of

JANE, TOM = "jane@customer.test", "tom@other.test"
ALICE, BOB, CAROL, OTTO = "alice@corp.test", "bob@corp.test", "carol@corp.test", "otto@corp.test"

TWO_INBOXES = replace(
    SETTINGS,
    inbox={
        "support": replace(SETTINGS.inbox["support"], agents=("alice", "bob", "otto"), lead=("carol",)),
        "billing": Inbox(
            name="Billing",
            address="billing@desk.test",
            handle="billing",
            agents=("carol",),
            lead=("carol",),
            hours=Hours(weekdays=""),
        ),
    },
    agents={
        **SETTINGS.agents,
        "carol": Agent(handle="carol", name="Carol Lead", address=CAROL, role="lead"),
        "otto": Agent(handle="otto", name="Otto Observer", address=OTTO, role="observer"),
    },
)


@pytest.fixture
def road(database: Database) -> Road:
    return Road(database, TWO_INBOXES)


def write(road: Road, who: str, text: str, subject: str, inbox: str = "support") -> list[OutboundMail]:
    """A customer's new mail; what it caused."""
    road.arrive(make_mail(who, text, subject=subject, to=f"{inbox}@desk.test"), inbox=inbox)
    return road.outbox()


def command(road: Road, who: str, subject: str, **options: object) -> Plan:
    """A new mail whose subject is a command."""
    return road.arrive(make_mail(who, "", subject=subject), **options)  # type: ignore[arg-type]


def answer(road: Road, who: str, mail: OutboundMail, text: str) -> Plan:
    raw = make_mail(who, text, subject="Re: list", to=address_of(mail), answers=mail.message_id)
    return road.arrive(raw, recipient=address_of(mail))


def to(mails: list[OutboundMail], recipient: str) -> OutboundMail:
    (found,) = [mail for mail in mails if mail.recipient == recipient]
    return found


def files_of(mail: OutboundMail) -> dict[str, bytes]:
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    return {part.get_filename() or "": part.get_payload(decode=True) for part in message.iter_attachments()}  # type: ignore[attr-defined]


def test_a_list_in_a_subject_is_answered_to_the_registered_address_and_opens_nothing(road: Road) -> None:
    write(road, JANE, "We have 10 licences, not 12.", "Invoice 2231 is wrong")
    plan = command(road, ALICE, "#list")
    assert (plan.ticket, plan.outcome) == (0, "command")
    listed = to(road.outbox(), ALICE)
    assert "#1" in text_of(listed)
    assert "Invoice 2231 is wrong" in text_of(listed)
    assert header_of(listed, "Subject") == "Re: #list"


def test_two_lists_have_two_message_ids(road: Road) -> None:
    for _ in range(2):
        road.arrive(make_mail(ALICE, f"{road.now}", subject="#list"))
    first, second = road.outbox()
    assert first.message_id != second.message_id
    assert (first.event, second.event) == (1, 3)  # one command, one number to spare


def test_a_number_in_answer_to_a_list_shows_that_ticket_and_can_be_answered(road: Road) -> None:
    write(road, JANE, "We have 10 licences, not 12.", "Invoice 2231 is wrong")
    command(road, ALICE, "#list")
    answer(road, ALICE, to(road.outbox(), ALICE), "1")
    shown = to(road.outbox(), ALICE)
    assert (shown.ticket, shown.kind) == (1, "command")
    assert "10 licences, not 12" in text_of(shown)
    quoted = "\n".join("> " + line for line in text_of(shown).splitlines())
    text = f"You are right.\n\nOn Mon, 23 Nov 2026 at 10:00, Desk wrote:\n{quoted}"
    raw = make_mail(ALICE, text, subject="Re: x", to=address_of(shown), answers=shown.message_id)
    road.arrive(raw, recipient=address_of(shown))
    assert "You are right." in text_of(to(road.outbox(), JANE))


def test_text_in_answer_to_a_list_reaches_nobody_and_is_asked_about(road: Road) -> None:
    write(road, JANE, "Hello", "Invoice")
    command(road, ALICE, "#list")
    plan = answer(road, ALICE, to(road.outbox(), ALICE), "Thanks, I will look at it.")
    (asked,) = road.outbox()
    assert asked.recipient == ALICE
    assert "no customer behind a list" in text_of(asked)
    assert plan.ticket == 0


def test_a_mistyped_subject_is_asked_about_and_a_customers_is_a_subject(road: Road) -> None:
    command(road, ALICE, "#serch invoice")
    assert "#search" in text_of(to(road.outbox(), ALICE))
    assert road.arrive(make_mail(JANE, "please", subject="#list")).opens_ticket


def test_nobody_lists_anything_with_an_unproven_mail_in_an_agents_name(road: Road) -> None:
    write(road, JANE, "Secret words", "Invoice")
    assert command(road, ALICE, "#list", proof=Proof.NONE).outcome == "hold"
    assert [m for m in road.outbox() if "Secret" in text_of(m) or m.kind == "list"] == []


def test_tickets_of_inboxes_an_agent_does_not_serve_do_not_exist(road: Road) -> None:
    write(road, TOM, "The salary of the boss", "Pay slip", inbox="billing")
    for subject in ("#show 1", "#show 99", "#history 1", "#export 1"):
        command(road, ALICE, subject)
        (told,) = road.outbox()
        assert "There is no ticket" in text_of(told)
        assert "salary" not in text_of(told)
    command(road, ALICE, "#list all")
    command(road, ALICE, "#search salary")
    assert all("Pay slip" not in text_of(mail) for mail in road.outbox())
    command(road, CAROL, "#search salary")
    assert "Pay slip" in text_of(to(road.outbox(), CAROL))


def test_an_observer_reads_but_does_not_export_or_see_the_quarantine(road: Road) -> None:
    write(road, JANE, "Hello there", "Invoice")
    command(road, OTTO, "#show 1")
    assert "Hello there" in text_of(to(road.outbox(), OTTO))
    for subject in ("#export 1", "#list quarantine"):
        command(road, OTTO, subject)
        assert "not allowed for you" in text_of(to(road.outbox(), OTTO))


def test_the_lists_tell_yours_from_free_from_late(road: Road) -> None:
    offer = to(write(road, JANE, "One", "First matter"), ALICE)
    write(road, TOM, "Two", "Second matter")
    road.arrive(
        make_mail(ALICE, "#claim", subject="Re: x", to=address_of(offer), answers=offer.message_id),
        recipient=address_of(offer),
    )
    road.outbox()
    for word, numbers in {"mine": ["#1"], "free": ["#2"], "late": [], "": ["#1", "#2"], "snoozed": []}.items():
        command(road, ALICE, f"#list {word}".strip())
        text = text_of(to(road.outbox(), ALICE))
        assert [n for n in ("#1", "#2") if f"{n} " in text] == numbers, word


def test_the_quarantine_is_listed_for_a_lead(road: Road) -> None:
    write(road, JANE, "Hello", "Invoice")
    road.arrive(make_mail(JANE, "forged", subject="Invoice [#1]"), proof=Proof.NONE)
    road.outbox()
    command(road, CAROL, "#list quarantine")
    text = text_of(to(road.outbox(), CAROL))
    assert "1 mail held or in quarantine" in text
    assert JANE in text


def test_the_history_and_the_mails_as_they_came(road: Road) -> None:
    raw = make_mail(JANE, "Grüße aus Köln", subject="Invoice")
    road.arrive(raw)
    road.outbox()
    command(road, ALICE, "#history 1")
    assert "mail  jane@customer.test" in text_of(to(road.outbox(), ALICE))
    command(road, ALICE, "#show 1 raw")
    assert files_of(to(road.outbox(), ALICE)) == {"1-1.eml": raw}


def test_an_export_has_every_mail_and_what_the_desk_knows(road: Road) -> None:
    raw = make_mail(JANE, "Hello", subject="Invoice")
    road.arrive(raw)
    road.outbox()
    command(road, ALICE, "#export 1")
    (content,) = files_of(to(road.outbox(), ALICE)).values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("0001.eml") == raw
        facts = json.loads(archive.read("ticket.json"))
    assert (facts["number"], facts["subject"]) == (1, "Invoice")
    assert [e["kind"] for e in facts["events"]][:3] == ["mail", "ack", "offer"]


def test_showing_another_ticket_from_inside_one_goes_to_that_tickets_thread(road: Road) -> None:
    offer = to(write(road, JANE, "One", "First matter"), ALICE)
    write(road, TOM, "Two", "Second matter")
    road.arrive(
        make_mail(ALICE, "#show 2", subject="Re: x", to=address_of(offer), answers=offer.message_id),
        recipient=address_of(offer),
    )
    shown = to(road.outbox(), ALICE)
    assert shown.ticket == 2
    assert "Two" in text_of(shown)
    assert road.ticket(1).state is State.NEW


def test_own_settings_need_no_ticket(road: Road) -> None:
    plan = command(road, ALICE, "#timezone europe/berlin")
    assert plan.ticket == 0
    assert "Europe/Berlin" in text_of(to(road.outbox(), ALICE))


def test_one_tap_in_a_digest_shows_a_ticket_or_ends_the_digest(road: Road) -> None:
    write(road, JANE, "We have 10 licences", "Invoice")
    command(road, ALICE, "#digest now")
    digest = to([m for m in road.outbox() if m.kind == "digest"], ALICE)
    html = email.message_from_bytes(digest.content, policy=email.policy.default).get_body(("html",))
    assert html is not None
    link = html.get_content().partition("subject=")[2].partition("&")[0]
    road.arrive(make_mail(ALICE, "Just press Send.", subject=unquote(link)))
    assert "10 licences" in text_of(to(road.outbox(), ALICE))
    off = header_of(digest, "List-Unsubscribe").partition("subject=")[2].rstrip(">")
    plan = road.arrive(make_mail(ALICE, "", subject=unquote(off)))
    assert (plan.ticket, plan.choices) == (0, (("alice", "digest", "off"),))
    assert road.arrive(make_mail(BOB, "", subject=unquote(off))).choices == ()


def test_a_number_answers_a_list_where_addresses_carry_no_token(database: Database) -> None:
    plain = {handle: replace(inbox, reply_token="none") for handle, inbox in TWO_INBOXES.inbox.items()}
    road = Road(database, replace(TWO_INBOXES, inbox=plain))
    write(road, JANE, "We have 10 licences", "Invoice")
    command(road, ALICE, "#list")
    listed = to(road.outbox(), ALICE)
    assert address_of(listed) == "support@desk.test"
    answer(road, ALICE, listed, "1")
    assert "10 licences" in text_of(to(road.outbox(), ALICE))


def test_a_lists_address_gives_nobody_else_anything(road: Road) -> None:
    write(road, JANE, "We have 10 licences", "Invoice")
    command(road, ALICE, "#list")
    listed = to(road.outbox(), ALICE)
    for who, proof in ((TOM, Proof.DKIM), (ALICE, Proof.NONE), (JANE, Proof.DKIM)):
        raw = make_mail(who, f"1 {proof}", subject="Re: list", to=address_of(listed), answers=listed.message_id)
        road.arrive(raw, recipient=address_of(listed), proof=proof)
        assert [m for m in road.outbox() if "licences" in text_of(m) and m.recipient not in (BOB, CAROL, OTTO)] == []


def test_an_answer_to_a_list_asked_for_inside_a_ticket_never_reaches_its_customer(database: Database) -> None:
    plain = {handle: replace(inbox, reply_token="none") for handle, inbox in TWO_INBOXES.inbox.items()}
    road = Road(database, replace(TWO_INBOXES, inbox=plain))
    offer = to([m for m in write(road, JANE, "Hello", "Invoice") if m.kind == "offer"], ALICE)
    raw = make_mail(ALICE, "#list\n#list free\n#search hello\n#list", subject="Re: x", answers=offer.message_id)
    road.arrive(raw)
    lists = road.outbox()
    assert [(m.recipient, m.ticket) for m in lists] == [(ALICE, 0)] * 4
    assert len({m.message_id for m in lists}) == 4
    answer(road, ALICE, lists[0], "Thanks, looks bad.")
    assert [m.recipient for m in road.outbox()] == [ALICE]
