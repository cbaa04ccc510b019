"""Recall and record: what is written is what the next mail's decision sees."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.model import (
    ActionSubject,
    Clues,
    DkimResult,
    Facts,
    Findings,
    HeldFact,
    InboundMail,
    Instruction,
    Mailbox,
    MessageIdFact,
    NewEvent,
    Person,
    Plan,
    Proof,
    State,
    TicketChange,
    TicketFacts,
    Token,
)
from gateway.store import journal, people, tickets
from gateway.store.database import Database
from gateway.store.schema import persons
from tests.store.values import HOUR, LEASE, NOW, RAW, SETTINGS, envelope, findings, plan

NO_CLUES = Clues()
JANE = Mailbox("Jane Doe", "Jane@Customer.test")


def _arrive(database: Database, text: bytes = b"", **changes: object) -> InboundMail:
    with database.begin() as tx:
        row_id = journal.append(tx, envelope(**changes), RAW + text).id
        claimed = {mail.id: mail for mail in journal.claim(tx, 100, "w", NOW + HOUR, LEASE)}
    return claimed[row_id]


def _file(
    database: Database,
    mail: InboundMail,
    found: Findings,
    decided: Plan | None = None,
    ticket: int = 0,
    now: object = NOW,
    author: Mailbox | None = JANE,
) -> TicketFacts:
    decided = decided or plan()
    with database.begin() as tx:
        opened = tickets.open_ticket(tx, ticket, decided.inbox, author, SETTINGS, now)
        decided = replace(decided, ticket=opened.number)
        assert tickets.record(tx, mail.id, decided, opened, now)
        journal.finish(tx, mail, found, decided, now)
        facts = tickets.load_ticket(tx, opened.number)
    assert facts is not None
    return facts


def _recall(
    database: Database, mail: InboundMail, found: Findings, clues: Clues = NO_CLUES, now: object = NOW
) -> Facts:
    with database.begin() as tx:
        return tickets.recall(tx, clues, found, mail, SETTINGS, now)


def test_a_new_ticket_comes_back_as_it_was_recorded(database: Database) -> None:
    mail = _arrive(database)
    decided = plan(
        events=(
            NewEvent(
                number=1,
                kind="mail",
                party=1,
                text="Line\0 one\n\ud83d\ude00 \ud800",
                public=True,
                from_mail=True,
                message_id="<one@customer.test>",
                attachments=("invoice.pdf", "photo 1.jpg"),
                data={"unproven": "yes"},
            ),
            NewEvent(number=2, kind="offer", reason="all", answers=1),
        ),
        message_ids=(MessageIdFact(message_id="<one@customer.test>", ticket=0, event=1),),
    )
    ticket = _file(database, mail, findings(), decided)
    assert (ticket.number, ticket.state, ticket.inbox, ticket.last_event) == (1, State.NEW, "support", 2)
    assert ticket.subject == "Invoice 2231 is wrong"
    assert ticket.root == SETTINGS.keys.make_message_id(1, 0, 0, "tickets.example.com")
    assert ticket.created_at == NOW
    jane = Person(party=1, address="jane@customer.test", name="Jane Doe", known=True)
    assert ticket.customer == jane
    assert ticket.participants == (jane,)
    first, second = ticket.events
    assert (first.number, first.at, first.party, first.public, first.journal) == (1, NOW, 1, True, mail.id)
    assert first.text.startswith("Line\ufffd one\n")
    assert first.text.endswith("\ufffd")
    assert (first.attachments, first.data) == (("invoice.pdf", "photo 1.jpg"), {"unproven": "yes"})
    assert (second.kind, second.reason, second.answers, second.journal) == ("offer", "all", 1, 0)
    assert [(m.message_id, m.ticket, m.event, m.at) for m in ticket.message_ids] == [("<one@customer.test>", 1, 1, NOW)]


def test_the_uuid_is_that_of_number_and_id_domain(database: Database) -> None:
    import uuid

    ticket = _file(database, _arrive(database), findings())
    assert ticket.uuid == str(uuid.uuid5(uuid.NAMESPACE_DNS, "1.tickets.example.com"))


def test_numbers_start_where_the_operator_says_and_continue_above(database: Database) -> None:
    def with_first(number: int) -> object:
        return replace(SETTINGS, tickets=replace(SETTINGS.tickets, first_number=number))

    with database.begin() as tx:
        given = [
            tickets.open_ticket(tx, 0, "support", None, with_first(first), NOW).number
            for first in (4000, 4000, 1, 5000)
        ]
    assert given == [4000, 4001, 4002, 5000]


async def test_numbers_have_no_gaps_when_many_open_at_once_and_some_fail(database: Database) -> None:
    def open_one(fails: bool):
        def job(tx: sa.Connection) -> int:
            ticket = tickets.open_ticket(tx, 0, "support", None, SETTINGS, NOW)
            tickets.record(tx, None, plan(ticket=ticket.number), ticket, NOW)
            if fails:
                raise ValueError("a fault of ours")
            return ticket.number

        return job

    results = await asyncio.gather(*(database.write(open_one(n % 5 == 0)) for n in range(60)), return_exceptions=True)
    numbers = sorted(r for r in results if isinstance(r, int))
    assert numbers == list(range(1, 49))


def test_a_ticket_that_does_not_exist_cannot_be_opened(database: Database) -> None:
    with database.begin() as tx, pytest.raises(LookupError):
        tickets.open_ticket(tx, 7, "support", None, SETTINGS, NOW)


def test_changes_of_a_ticket_are_kept(database: Database) -> None:
    ticket = _file(database, _arrive(database), findings())
    with database.begin() as tx:
        agents = people.ensure_agents(tx, SETTINGS)
        rita = people.ensure_person(tx, "rita@customer.test", "Rita")
        change = TicketChange(
            state=State.SNOOZED,
            owner=agents["bob"].party,
            subject="Invoice",
            snoozed_until=NOW + HOUR,
            inbox="sales",
            priority="high",
            tags=("vip",),
            watchers=(agents["alice"].party,),
            add_participants=(rita.party,),
        )
        tickets.record(
            tx, None, plan("file", 1, events=(NewEvent(number=2, kind="state"),), change=change), ticket, NOW
        )
        changed = tickets.load_ticket(tx, 1)
    assert changed is not None
    assert changed.owner == agents["bob"]
    assert (changed.state, changed.snoozed_until) == (State.SNOOZED, NOW + HOUR)
    assert (changed.subject, changed.inbox, changed.priority, changed.tags) == ("Invoice", "sales", "high", ("vip",))
    assert changed.watchers == (agents["alice"].party,)
    assert [p.address for p in changed.participants] == ["jane@customer.test", "rita@customer.test"]
    assert changed.last_event == 2

    def change_to(now: datetime = NOW + HOUR, **values: object) -> TicketFacts:
        with database.begin() as tx:
            decided = plan("file", 1, events=(), change=TicketChange(**values))  # type: ignore[arg-type]
            tickets.record(tx, None, decided, tickets.load_ticket(tx, 1), now)
            found = tickets.load_ticket(tx, 1)
        assert found is not None
        return found

    closed = change_to(state=State.CLOSED, owner=0)
    assert (closed.owner, closed.closed_at, closed.snoozed_until) == (None, NOW + HOUR, None)
    assert change_to(NOW + 2 * HOUR, state=State.CLOSED).closed_at == NOW + HOUR
    assert change_to(state=State.OPEN).closed_at is None
    corrected = change_to(customer=rita.party)
    assert [p.address for p in corrected.participants] == ["rita@customer.test", "jane@customer.test"]
    assert [p.party for p in change_to(remove_participants=(1,)).participants] == [rita.party]


def test_recording_the_same_row_twice_changes_nothing(database: Database) -> None:
    mail = _arrive(database)
    ticket = _file(database, mail, findings())
    with database.begin() as tx:
        assert not tickets.record(tx, mail.id, plan(ticket=1), ticket, NOW)
        again = tickets.load_ticket(tx, 1)
    assert again == ticket


def test_a_plan_whose_row_was_taken_by_somebody_else_leaves_nothing(database: Database) -> None:
    mail = _arrive(database)
    with database.begin() as tx:
        journal.claim(tx, 10, "other", NOW + 3 * HOUR, LEASE)
    with pytest.raises(journal.ClaimLostError), database.begin() as tx:
        opened = tickets.open_ticket(tx, 0, "support", JANE, SETTINGS, NOW)
        tickets.record(tx, mail.id, plan(ticket=opened.number), opened, NOW)
        journal.finish(tx, mail, findings(), plan(ticket=opened.number), NOW)
    with database.begin() as tx:
        assert tickets.load_ticket(tx, 1) is None
        assert tickets.open_ticket(tx, 0, "support", None, SETTINGS, NOW).number == 1


def test_a_plan_without_a_ticket_is_recorded(database: Database) -> None:
    mail = _arrive(database)
    decided = plan("discard", events=(), opens_ticket=False, acknowledged="x@y.test", replay_keys=("k",))
    with database.begin() as tx:
        assert tickets.record(tx, mail.id, decided, None, NOW)


def test_a_held_text_is_decided_once_and_its_mail_released(database: Database) -> None:
    ticket = _file(database, _arrive(database), findings())
    mail = _arrive(database, b"held")
    fact = HeldFact(
        ticket=0, event=2, party=3, reason="command", text="Dear Jane", commands=(("clsoe", ""),), bad_line="#clsoe",
        attachments=("a.pdf",),
    )  # fmt: skip
    held = plan("hold", 1, events=(NewEvent(number=2, kind="held", from_mail=True),), held=(fact,), opens_ticket=False)
    ticket = _file(database, mail, findings(), held, ticket=1)
    assert ticket.held == (replace(fact, ticket=1, journal=mail.id),)
    instruction = Instruction(act="send", by=3, ticket=1, event=2)
    for resolution in ("sent", "discarded"):
        resolving = plan("agent", 1, events=(), resolved=((2, resolution),), releases=((mail.id, instruction),))
        with database.begin() as tx:
            tickets.record(tx, None, resolving, ticket, NOW)
            found = tickets.load_ticket(tx, 1)
    assert found is not None
    assert found.held[0].resolution == "sent"
    with database.begin() as tx:
        (again,) = journal.claim(tx, 10, "w", NOW + HOUR, LEASE)
    assert (again.id, again.instruction) == (mail.id, instruction)


# ------------------------------------------------------------------ recall


def test_an_author_is_looked_up_and_never_made(database: Database) -> None:
    assert _recall(database, _arrive(database), findings()).author is None
    with database.begin() as tx:
        assert tx.execute(sa.select(persons)).all() == []
        jane = people.ensure_person(tx, "JANE@customer.test", "Jane")
    assert _recall(database, _arrive(database, b"2"), findings()).author == jane


def test_an_agent_is_one_person_under_all_addresses(database: Database) -> None:
    with database.begin() as tx:
        agents = people.ensure_agents(tx, SETTINGS)
    mail = _arrive(database)
    for address in ("ALICE@example.com", "alice@home.test"):
        facts = _recall(database, mail, findings(author=address))
        assert (facts.author_agent, facts.author) == ("alice", agents["alice"])
        assert facts.agents == agents
    assert _recall(database, mail, findings(author="x@example.com")).author_agent == ""


def test_who_is_no_agent_any_more_loses_the_handle_and_a_new_address_keeps_the_party(database: Database) -> None:
    with database.begin() as tx:
        before = people.ensure_agents(tx, SETTINGS)
        alice = replace(SETTINGS.agents["alice"], address="alice.adams@example.com", also=())
        settings = replace(SETTINGS, agents={"alice": alice, "bob": replace(SETTINGS.agents["bob"], enabled=False)})
        after = people.ensure_agents(tx, settings)
        (bob,) = people.find_persons(tx, ["bob@example.com"])
    assert set(after) == {"alice"}
    assert after["alice"].party == before["alice"].party
    assert after["alice"].address == "alice.adams@example.com"
    assert (bob.party, bob.agent) == (before["bob"].party, "")


def test_every_clue_brings_its_ticket(database: Database) -> None:
    for n in range(9):
        message_id = f"<{n + 1}@customer.test>"
        decided = plan(message_ids=(MessageIdFact(message_id=message_id, ticket=0, event=1),))
        _file(database, _arrive(database, b"%d" % n), findings(message_id=message_id, body_sha256=str(n)), decided)
    own = SETTINGS.keys.make_message_id(2, 3, 1, "tickets.example.com")
    clues = Clues(
        tokens=(Token(kind="a", ticket=1, event=1, party=1),),
        own_ids=(Token(kind="m", ticket=2, event=3, party=1, text=own),),
        in_reply_to=(own, "<3@customer.test>"),
        references=("<4@customer.test>", "<unknown@x.test>"),
        reference_line=5,
        subject_reference=6,
        action=ActionSubject(order="claim", ticket=7, event=1, token="k"),
    )
    found = findings(message_id="<9@customer.test>", body_sha256="new")
    facts = _recall(database, _arrive(database, b"reply"), found, clues)
    assert sorted(facts.tickets) == [1, 2, 3, 4, 5, 6, 7, 9]
    assert {known: fact.ticket for known, fact in facts.known_ids.items()} == {
        "<3@customer.test>": 3,
        "<4@customer.test>": 4,
        "<9@customer.test>": 9,
    }
    assert set(facts.persons) == {1}
    assert facts.tickets[4].events[0].text == "The sum is off by ten."


def test_absurd_ticket_numbers_are_nobody_s(database: Database) -> None:
    clues = Clues(subject_reference=10**30, reference_line=2**62)
    assert _recall(database, _arrive(database), findings(), clues).tickets == {}


@pytest.mark.parametrize(("last", "ends"), [(0, {1: 3, 2: 3, 3: 3}), (1, {1: 3, 2: 1, 3: 2})])  # even a circle ends
def test_a_merged_tickets_number_means_the_one_it_went_into(
    database: Database, last: int, ends: dict[int, int]
) -> None:
    for n in range(3):
        _file(database, _arrive(database, b"%d" % n), findings(body_sha256=str(n)))
    with database.begin() as tx:
        for number, target in ((1, 2), (2, 3), (3, last)):
            ticket = tickets.load_ticket(tx, number)
            tickets.record(
                tx, None, plan("file", number, events=(), change=TicketChange(merged_into=target)), ticket, NOW
            )
    facts = _recall(database, _arrive(database, b"x"), findings(body_sha256="x"), Clues(subject_reference=1))
    assert {n: t.number for n, t in facts.tickets.items()} == ends


def test_a_reused_message_id_means_its_first_use(database: Database) -> None:
    for n in range(2):
        _file(database, _arrive(database, b"%d" % n), findings(body_sha256=str(n)),
              plan(message_ids=(MessageIdFact(message_id="<same@x.test>", ticket=0, event=1),)))  # fmt: skip
    facts = _recall(database, _arrive(database, b"r"), findings(message_id=""), Clues(in_reply_to=("<same@x.test>",)))
    assert facts.known_ids["<same@x.test>"].ticket == 1


SIGNED = (DkimResult(domain="customer.test", result="pass", aligned=True, replay_key="a" * 64),)


def test_a_copy_for_another_of_our_addresses_is_a_sibling_and_no_repeat(database: Database) -> None:
    found = findings(to="support@example.com sales@example.com", dkim=SIGNED)
    _file(database, _arrive(database), found, plan(replay_keys=("a" * 64, "jane@customer.test <one@customer.test>")))
    facts = _recall(database, _arrive(database, b"Received", recipient="sales@example.com"), found)
    assert facts.sibling is not None
    assert (facts.sibling.ticket, facts.sibling.event) == (1, 1)
    assert (facts.replayed, facts.same_id) == (0, 0)
    assert 1 in facts.tickets


def test_a_signed_mail_that_comes_again_is_a_repeat_of_the_first_row(database: Database) -> None:
    found = findings(dkim=SIGNED)
    first = _arrive(database)
    _file(database, first, found, plan(replay_keys=("a" * 64,)))
    again = _recall(database, _arrive(database, b"Received"), found)
    assert (again.replayed, again.same_id, again.sibling) == (first.id, first.id, None)
    own = _recall(database, first, found)
    assert (own.replayed, own.same_id) == (0, 0)


def test_a_signed_mail_put_on_an_envelope_it_does_not_name_is_a_repeat(database: Database) -> None:
    found = findings(dkim=SIGNED)
    first = _arrive(database)
    _file(database, first, found, plan(replay_keys=("a" * 64,)))
    token = SETTINGS.keys.make_token("a", 4828, 1, 1)
    facts = _recall(database, _arrive(database, recipient=f"support+{token}@example.com"), found)
    assert (facts.replayed, facts.sibling) == (first.id, None)


@pytest.mark.parametrize(
    "other",
    [
        {"body_sha256": "other"},
        {"date": NOW},
        {"date": None},
        {"author": "john@customer.test"},
        {"message_id": "<x@y>"},
    ],
    ids=["body", "date", "no date", "author", "message-id"],
)
def test_what_differs_is_no_sibling(database: Database, other: dict[str, object]) -> None:
    both = "support@example.com sales@example.com"
    _file(database, _arrive(database), findings(to=both))
    found = findings(to=both, **other)  # type: ignore[arg-type]
    assert _recall(database, _arrive(database, recipient="sales@example.com"), found).sibling is None


def test_a_proven_copy_never_joins_an_unproven_one_and_a_held_forgery_used_up_nothing(database: Database) -> None:
    both = "support@example.com sales@example.com"
    held = plan("hold", events=(), opens_ticket=False)
    forged = _arrive(database)
    with database.begin() as tx:
        journal.finish(tx, forged, findings(to=both, proof=Proof.NONE), held, NOW)
    facts = _recall(database, _arrive(database, recipient="sales@example.com"), findings(to=both))
    assert (facts.sibling, facts.same_id) == (None, 0)


def test_counters_count_the_author_s_last_hour_and_acknowledgements_the_last_day(database: Database) -> None:
    for n in range(3):
        _file(database, _arrive(database, b"n%d" % n), findings(message_id=f"<n{n}@x>", body_sha256=f"n{n}"),
              plan(acknowledged="Jane@customer.test"))  # fmt: skip
    again = plan("file", events=(NewEvent(number=2, kind="mail", from_mail=True),), opens_ticket=False)
    _file(database, _arrive(database, b"again"), findings(message_id="<a@x>", body_sha256="a"), again, ticket=2)
    old = _arrive(database, b"old", received_at=NOW - 2 * HOUR)
    _file(database, old, findings(message_id="<old@x>", body_sha256="old"), plan(acknowledged="jane@customer.test"),
          now=NOW - 2 * HOUR)  # fmt: skip
    facts = _recall(database, _arrive(database, b"now"), findings(message_id="<now@x>", body_sha256="now"))
    assert facts.mails_to_ticket == {1: 1, 2: 2, 3: 1}
    assert facts.new_tickets_by_author == 3
    assert (facts.acks_to_author, facts.acks_last_hour) == (4, 3)
    other = _recall(
        database, _arrive(database, b"o"), findings(author="x@y.test", body_sha256="o"), now=NOW + 30 * HOUR
    )
    assert (other.mails_to_ticket, other.new_tickets_by_author, other.acks_to_author) == ({}, 0, 0)


def test_the_same_body_within_a_day_names_its_first_ticket(database: Database) -> None:
    for n in range(2):
        _file(database, _arrive(database, b"%d" % n), findings(author=f"noreply-{n}@machine.test"))
    mail = _arrive(database, b"3")
    assert _recall(database, mail, findings(author="noreply-3@machine.test")).same_body_ticket == 1
    assert _recall(database, mail, findings(body_sha256="else")).same_body_ticket == 0
    assert _recall(database, mail, findings(), now=NOW + timedelta(hours=25)).same_body_ticket == 0


def test_everybody_s_empty_mails_are_not_the_same_mail(database: Database) -> None:
    import hashlib

    empty = hashlib.sha256(b"").hexdigest()
    _file(database, _arrive(database), findings(body_sha256=empty))
    facts = _recall(database, _arrive(database, b"2"), findings(author="x@y.test", body_sha256=empty))
    assert facts.same_body_ticket == 0


def test_a_mail_of_nobody_has_facts_too(database: Database) -> None:
    nobody = replace(findings(), authentication=replace(findings().authentication, author=None))
    facts = _recall(database, _arrive(database), nobody)
    assert (facts.author, facts.author_agent, facts.mails_to_ticket) == (None, "", {})


def test_recall_only_reads(sqlite_database: Database) -> None:
    mail = _arrive(sqlite_database)

    async def ask() -> Facts:
        return await sqlite_database.read(lambda tx: tickets.recall(tx, Clues(), findings(), mail, SETTINGS, NOW))

    assert asyncio.run(ask()).tickets == {}


@pytest.mark.postgresql
async def test_two_copies_decided_at_the_same_time_are_one_after_the_other(postgresql_database: Database) -> None:
    both = "support@example.com sales@example.com"
    mails = [_arrive(postgresql_database, recipient=r) for r in both.split()]

    def decide(mail: InboundMail):
        def job(tx: sa.Connection) -> int:
            facts = tickets.recall(tx, Clues(), findings(to=both), mail, SETTINGS, NOW)
            if facts.sibling:
                return facts.sibling.ticket
            opened = tickets.open_ticket(tx, 0, "support", JANE, SETTINGS, NOW)
            decided = plan(ticket=opened.number)
            tickets.record(tx, mail.id, decided, opened, NOW)
            journal.finish(tx, mail, findings(to=both), decided, NOW)
            return opened.number

        return job

    assert await asyncio.gather(*(postgresql_database.write(decide(mail)) for mail in mails)) == [1, 1]


def test_tickets_are_listed_by_state_owner_and_inbox(database: Database) -> None:
    for n in range(3):
        _file(database, _arrive(database, b"%d" % n), findings(body_sha256=str(n)))
    with database.begin() as tx:
        bob = people.ensure_agents(tx, SETTINGS)["bob"]
        change = TicketChange(state=State.OPEN, owner=bob.party, inbox="sales")
        tickets.record(tx, None, plan("file", 2, events=(), change=change), None, NOW)

        def numbers(**wanted: object) -> list[int]:
            return [t.number for t in tickets.list_tickets(tx, **wanted)]  # type: ignore[arg-type]

        assert numbers() == [3, 2, 1]
        assert numbers(state=State.OPEN) == numbers(owner=bob.party) == numbers(inbox="sales") == [2]
        assert numbers(owner=0) == numbers(state=State.NEW) == [3, 1]


def test_what_agents_set_by_mail_is_kept(database: Database) -> None:
    with database.begin() as tx:
        people.set_agent_choice(tx, "bob", "quiet", "18-8", NOW)
        people.set_agent_choice(tx, "bob", "quiet", "off", NOW)
        people.set_agent_choice(tx, "alice", "timezone", "Europe/Zurich", NOW)
        assert people.agent_choices(tx) == {"bob": {"quiet": "off"}, "alice": {"timezone": "Europe/Zurich"}}
