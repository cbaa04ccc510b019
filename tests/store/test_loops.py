"""Loops, storms and relays: whatever answers us automatically, we stop (security.md 8, mail.md 7.2)."""

from __future__ import annotations

import email
import email.policy
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.analysis.examine import examine
from gateway.analysis.reading_rules import AuthenticationRules, Rules
from gateway.model import Findings, InboundMail, OutboundMail, Proof
from gateway.reference import Keys
from gateway.settings import AckBudget, Agent, General, Hours, Inbox, Settings
from gateway.store.database import Database
from gateway.store.schema import journal
from tests.support.spine import SETTINGS, Road, make_mail

_LOOP_HEADERS = re.compile(
    r"(?im)^(?:Auto-Submitted|X-Auto-Response-Suppress|X-Loop|List-[A-Za-z-]+|Precedence|X-Ticket[A-Za-z-]*|"
    r"Thread-[A-Za-z]+|In-Reply-To|References):[^\r]*\r\n(?:[ \t][^\r]*\r\n)*"
)


def desk(name: str, agents: dict[str, str], **inbox: str) -> Settings:
    """One installation for support@NAME.test."""
    return Settings(
        ticketgate=General(id_domain=f"tickets.{name}.test"),
        inbox={
            "support": Inbox(
                name=name.title(),
                address=f"support@{name}.test",
                handle="support",
                agents=tuple(agents),
                hours=Hours(weekdays=""),
                **inbox,  # type: ignore[arg-type]
            )
        },
        agents={handle: Agent(handle=handle, name=handle.title(), address=at) for handle, at in agents.items()},
        keys=Keys("k", {"k": name.encode().ljust(32, b"k")}),
    )


class Installation(Road):
    """A road that reads with its own rules: what is its own is not the other's."""

    def __init__(self, database: Database, settings: Settings) -> None:
        super().__init__(database, settings)
        self.told: list[str] = []  # who else was written to

    def read(self, mail: InboundMail, proof: Proof) -> Findings:
        own = frozenset(a for inbox in self.settings.inbox.values() for a in inbox.addresses())
        rules = Rules(authentication=AuthenticationRules(), own_addresses=own, id_domain=self.settings.id_domain)
        findings = examine(mail.raw, mail.envelope, {}, rules)
        authentication = replace(findings.authentication, proof=proof, temporary=False, why="given by the test")
        return replace(findings, authentication=authentication, needs=())

    @property
    def address(self) -> str:
        return self.settings.inbox["support"].address


def strip_all(mail: OutboundMail, serial: int) -> bytes:
    """The mail as the worst relay would pass it on: nothing left that says it is automatic or what it answers."""
    text = _LOOP_HEADERS.sub("", mail.content.decode("utf-8", "replace"))
    text = re.sub(r"(?im)^Message-ID:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", f"Message-ID: <{serial}@relay.test>\r\n", text)
    return text.encode()


@pytest.fixture
def two(tmp_path: Path, migrated_sqlite: Path) -> Iterator[tuple[Database, Database]]:
    stores = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.db"
        shutil.copy(migrated_sqlite, path)
        stores.append(Database(f"sqlite:{path}"))
    yield stores[0], stores[1]
    for store in stores:
        store.close()


def play(one: Installation, two: Installation, first: bytes, most: int = 100, *, exact: bool = False) -> int:
    """Mails that passed between the two after the first one, until nothing moves or ``most`` is reached.

    ``exact``: a reply address is kept; else the other side writes to the plain inbox address, as to a From.
    """
    one.arrive(first)
    passed = 0
    while passed < most:
        moved = False
        for here, there in ((one, two), (two, one)):
            for mail in here.outbox():
                if mail.recipient != there.address:
                    here.told.append(mail.recipient)
                    continue
                passed += 1
                moved = True
                there.arrive(strip_all(mail, passed), reverse_path=mail.reverse_path)
        if not moved:
            return passed
    return passed


def shown(here: Installation) -> list[str]:
    """How people on this side see each mail that came: the line of a ticket's history, or the reason it is held for.

    A mail that is shown nowhere fails.
    """
    with here.database.begin() as tx:
        rows = tx.execute(sa.select(journal).order_by(journal.c.id)).all()
    words = []
    for row in rows:
        lines = [e.kind for e in here.ticket(row.ticket).events if e.journal == row.id] if row.ticket else []
        assert lines or row.state == "held", f"mail {row.id} ({row.outcome}) is shown nowhere"
        words += lines[:1] or [f"held: {row.reason}"]
    return words


def reply_to(mail: OutboundMail) -> str:
    return parseaddr(str(email.message_from_bytes(mail.content, policy=email.policy.default)["Reply-To"] or ""))[1]


# ------------------------------------------------------------------ two installations


@pytest.mark.parametrize("tag", ["agents", "everyone", "nobody"])
def test_two_desks_that_write_to_each_other_stop_by_themselves(two: tuple[Database, Database], tag: str) -> None:
    one = Installation(two[0], desk("one", {"ann": "ann@corp.test"}, subject_tag=tag))
    other = Installation(two[1], desk("two", {"ben": "ben@corp.test"}, subject_tag=tag))
    first = make_mail(other.address, "The printer is on fire.", to=one.address)
    passed = play(one, other, first)
    assert passed <= 10
    assert len(shown(one)) + len(shown(other)) == 1 + passed, "each mail is to be seen on the side it came to"
    assert (set(one.told), set(other.told)) == ({"ann@corp.test"}, {"ben@corp.test"})


@pytest.mark.parametrize("tag", ["agents", "everyone", "nobody"])
def test_two_desks_that_are_each_others_agents_stop_by_themselves(two: tuple[Database, Database], tag: str) -> None:
    """Somebody wrote the address of another desk among the agents, and the other desk did the same."""
    one = Installation(two[0], desk("one", {"other": "support@two.test"}, subject_tag=tag))
    other = Installation(two[1], desk("two", {"other": "support@one.test"}, subject_tag=tag))
    first = make_mail("jane@customer.test", "The printer is on fire.", to=one.address)
    passed = play(one, other, first)
    assert passed <= 10
    assert len(shown(one)) + len(shown(other)) == 1 + passed, "each mail is to be seen on the side it came to"


@pytest.mark.parametrize("tag", ["agents", "nobody"])
def test_a_desk_that_is_an_agent_of_another_stops_by_itself(two: tuple[Database, Database], tag: str) -> None:
    one = Installation(two[0], desk("one", {"other": "support@two.test"}, subject_tag=tag))
    other = Installation(two[1], desk("two", {"ben": "ben@corp.test"}, subject_tag=tag))
    first = make_mail("jane@customer.test", "The printer is on fire.", to=one.address)
    assert play(one, other, first) <= 10


def test_a_loop_with_its_headers_is_known_at_the_first_mail(two: tuple[Database, Database]) -> None:
    one = Installation(two[0], desk("one", {"ann": "ann@corp.test"}))
    one.arrive(make_mail("jane@customer.test", "Hello", to=one.address))
    (ack,) = [m for m in one.outbox() if m.kind == "ack"]
    raw = ack.content.replace(b"From: ", b"From: jane@customer.test\r\nX-Was: ", 1)
    plan = one.arrive(raw)
    assert (plan.outcome, plan.reason) == ("hold", "loop")
    assert one.outbox() == []


# ------------------------------------------------------------------ acknowledgements


@pytest.fixture
def road(sqlite_database: Database) -> Road:
    return Road(sqlite_database)


def acks(mails: list[OutboundMail]) -> list[str]:
    return [mail.recipient for mail in mails if mail.kind == "ack"]


def test_a_thousand_forged_senders_get_no_acknowledgement(road: Road) -> None:
    for n in range(1000):
        road.arrive(make_mail(f"victim{n}@mail{n % 50}.test", f"Spam {n}", subject=f"Buy {n}"), proof=Proof.NONE)
    assert {m.recipient for m in road.outbox()} <= {"alice@corp.test", "bob@corp.test"}


def test_an_address_is_acknowledged_once_a_day(road: Road) -> None:
    for n in range(5):
        road.arrive(make_mail("jane@customer.test", f"Question {n}", subject=f"Question {n}"))
    assert acks(road.outbox()) == ["jane@customer.test"]


def test_the_budget_of_acknowledgements_holds_for_all_inboxes_together(sqlite_database: Database) -> None:
    road = Road(sqlite_database, replace(SETTINGS, ack=AckBudget(per_hour=3)))
    for n in range(10):
        road.arrive(make_mail(f"jane{n}@customer.test", f"Question {n}", subject=f"Question {n}"))
    assert len(acks(road.outbox())) == 3


def test_the_same_text_from_many_senders_is_answered_once(road: Road) -> None:
    for n in range(10):
        road.arrive(make_mail(f"jane{n}@customer.test", "Confirm your address here.", subject=f"Confirm {n}"))
    assert len(acks(road.outbox())) == 1


@pytest.mark.parametrize(
    "extra",
    [
        "Auto-Submitted: auto-replied",
        "Precedence: bulk",
        "List-Id: <news.customer.test>",
        "X-Auto-Response-Suppress: All",
        "X-Loop: tickets.desk.test",
    ],
)
def test_what_a_program_sent_is_not_acknowledged(road: Road, extra: str) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello", extra=extra))
    assert acks(road.outbox()) == []


@pytest.mark.parametrize("local", ["mailer-daemon", "postmaster", "no-reply", "noreply", "bounces"])
def test_an_address_nobody_reads_is_not_acknowledged(road: Road, local: str) -> None:
    road.arrive(make_mail(f"{local}@customer.test", "Hello"))
    assert acks(road.outbox()) == []


def test_an_acknowledgement_repeats_nothing_the_sender_wrote_but_the_subject(road: Road) -> None:
    road.arrive(make_mail('"Free money http://evil.test" <jane@customer.test>', "Visit http://evil.test now"))
    (ack,) = [m for m in road.outbox() if m.kind == "ack"]
    assert b"evil.test" not in ack.content


# ------------------------------------------------------------------ floods


def test_the_eleventh_mail_to_a_ticket_within_an_hour_is_quarantined_and_told_to_nobody(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello", message_id="<first@customer.test>"))
    plans = [
        road.arrive(make_mail("jane@customer.test", f"And {n}", answers="<first@customer.test>")) for n in range(14)
    ]
    assert [p.reason for p in plans].count("flood") >= 4
    last = len(road.outbox())
    road.arrive(make_mail("jane@customer.test", "And more", answers="<first@customer.test>"))
    assert last
    assert road.outbox() == []


def test_the_thirty_first_new_ticket_of_a_sender_within_an_hour_is_quarantined(road: Road) -> None:
    plans = [
        road.arrive(make_mail("jane@customer.test", f"Text {n}", subject=f"Subject {n}", message_id=f"<{n}@c.test>"))
        for n in range(40)
    ]
    assert [p.outcome for p in plans].count("new") == 30
    assert {p.reason for p in plans[30:]} == {"flood"}


def test_whoever_forges_an_address_does_not_use_up_what_its_owner_may_send(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello", message_id="<first@customer.test>"))
    for n in range(12):
        road.arrive(make_mail("jane@customer.test", f"No {n}", answers="<first@customer.test>"), proof=Proof.NONE)
    plan = road.arrive(make_mail("jane@customer.test", "It is really me", answers="<first@customer.test>"))
    assert (plan.outcome, plan.reason) == ("file", "party")


def test_new_tickets_under_a_forged_address_do_not_stop_its_owners_next_one(road: Road) -> None:
    for n in range(40):
        raw = make_mail("jane@customer.test", f"Text {n}", subject=f"Subject {n}", message_id=f"<{n}@evil.test>")
        plan = road.arrive(raw, proof=Proof.NONE)
        road.now -= timedelta(seconds=30)
    assert plan.reason == "flood"
    assert road.arrive(make_mail("jane@customer.test", "The real matter", subject="Real")).outcome == "new"


def test_a_header_that_says_automatic_takes_nobody_out_of_the_limits(road: Road) -> None:
    plans = []
    for n in range(40):
        raw = make_mail("bot@evil.test", f"Text {n}", subject=f"S {n}", extra="Auto-Submitted: auto-generated")
        plans.append(road.arrive(raw, proof=Proof.NONE))
        road.now -= timedelta(seconds=30)
    assert [p.outcome for p in plans].count("new") == 30
    assert {p.reason for p in plans[30:]} == {"flood"}


def test_unreadable_mail_is_limited_though_it_has_no_author(road: Road) -> None:
    plans = []
    for n in range(34):
        raw = make_mail("jane@customer.test", f"Text {n}", extra="\r\n".join(f"X-{n}-{i}: x" for i in range(1100)))
        plans.append(road.arrive(raw, proof=Proof.NONE))
    assert [p.reason for p in plans[:30]] == ["unreadable"] * 30
    assert {p.reason for p in plans[30:]} == {"flood"}


def test_an_agent_whose_address_is_forged_again_and_again_is_not_asked_for_ever(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello", message_id="<first@customer.test>"))
    road.outbox()
    for n in range(20):
        road.arrive(
            make_mail("alice@corp.test", f"Close it, {n}", answers="<first@customer.test>", message_id=f"<{n}@e.test>"),
            proof=Proof.NONE,
        )
    assert len(road.outbox()) <= 4
    assert len(road.ticket(1).held) == 20


def test_a_participant_whose_address_is_forged_again_and_again_costs_the_desk_four_mails(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello", message_id="<first@customer.test>"))
    road.outbox()
    for n in range(8):
        road.arrive(make_mail("jane@customer.test", f"No {n}", answers="<first@customer.test>"), proof=Proof.NONE)
    assert len([m for m in road.outbox() if m.recipient == "alice@corp.test"]) == 4


def test_an_agent_who_forwards_many_mails_is_told_of_each(road: Road) -> None:
    for n in range(8):
        text = (
            "---------- Forwarded message ---------\n"
            f"From: Jane <jane{n}@customer.test>\nDate: Mon, 23 Nov 2026 at 09:00\nSubject: Question {n}\n"
            f"To: Alice <alice@corp.test>\n\nHow do I do thing {n}?"
        )
        road.arrive(make_mail("alice@corp.test", text, subject=f"Fwd: Question {n}", message_id=f"<{n}@corp.test>"))
    assert len([m for m in road.outbox() if m.kind == "forward"]) == 8
