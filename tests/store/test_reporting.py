"""Reports and digests: the numbers equal what is counted from the events by hand, and the rows come again."""

from __future__ import annotations

import email
import email.policy
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from gateway import clockwork
from gateway.desk.figures import Figures, compute, worked_in
from gateway.desk.periods import read_period
from gateway.model import OutboundMail, Plan, State
from gateway.questions import EventLog, Log
from gateway.settings import AgentMail, Hours
from gateway.store import answers, timers
from gateway.store.database import Database
from gateway.store.schema import events, tickets
from tests.store.test_ownership import offering
from tests.store.test_reading import ALICE, BOB, CAROL, TWO_INBOXES, command, to
from tests.store.test_road import reply
from tests.support.spine import Road, address_of, header_of, make_mail, text_of

WEEK = timedelta(days=7)
WORDS = ("An answer.", "#close\n\nDone.", "#close\n\nYes.", "#close", "#spam", "#open", "#note hm")


@pytest.fixture
def road(database: Database) -> Road:
    return Road(database, TWO_INBOXES)


def busy_weeks(road: Road) -> None:
    """Two weeks of mail: tickets, answers of both agents, closings, second thoughts."""
    chance = random.Random(7)
    road.now = datetime(2026, 11, 9, 7, tzinfo=UTC)
    offers: list[OutboundMail] = []
    for n in range(24):
        road.now += timedelta(hours=chance.randint(1, 20))
        road.arrive(make_mail(f"c{n}@customer.test", f"Matter {n}", subject=f"Matter {n}"))
        mails = [m for m in road.outbox() if m.kind == "offer"]
        offers.append(to(mails, chance.choice((ALICE, BOB))))
        offer = chance.choice(offers)
        words = chance.choice(
            ("An answer.", "#close\n\nDone.", "#close\n\nYes.", "#close", "#spam", "#open", "#note hm")
        )
        road.now += timedelta(minutes=chance.randint(1, 300))
        raw = make_mail(offer.recipient, words, subject=f"Re: {n}", to=address_of(offer), answers=offer.message_id)
        road.arrive(raw, recipient=address_of(offer))
        for sent in road.outbox():
            if sent.kind == "answer" and chance.random() < 0.6:
                road.now += timedelta(minutes=20)
                raw = make_mail(
                    sent.recipient, f"And {n}?", subject="Re: x", to=address_of(sent), answers=sent.message_id
                )
                road.arrive(raw, recipient=address_of(sent))
    road.outbox()


def count_by_hand(road: Road, since: datetime, until: datetime) -> dict[str, object]:
    """The same numbers another way: one ticket after the other, straight from the tables."""
    new = closed = reopened = 0
    waits: list[timedelta] = []
    answered: dict[int, int] = {}
    with road.database.begin() as tx:
        for ticket in tx.execute(sa.select(tickets).where(tickets.c.inbox == "support")).all():
            new += since <= ticket.created_at < until
            rows = tx.execute(sa.select(events).where(events.c.ticket == ticket.number).order_by(events.c.number)).all()
            rows = [row for row in rows if row.at < until]
            replies = [row for row in rows if row.kind == "answer"]
            for row in replies:
                answered[row.party] = answered.get(row.party, 0) + (row.at >= since)
            if since <= ticket.created_at < until and replies:
                waits.append(replies[0].at - ticket.created_at)
            endings, shut = [], False
            for row in rows:
                if row.kind in ("close", "spam"):
                    endings += [] if shut else [row]  # who answers a closed ticket and closes it again ends nothing
                    shut = True
                elif row.kind in ("mail", "open", "notspam") or row.data.get("state"):
                    shut = False
            if endings and endings[-1].at >= since:
                closed += 1
                later = [row for row in rows if row.number > endings[0].number]
                reopened += any(row.kind in ("mail", "open", "notspam") for row in later)
    return {
        "new": new,
        "closed": closed,
        "reopened": reopened,
        "first": timedelta(seconds=median(w.total_seconds() for w in waits)) if waits else None,
        "answered": {party: count for party, count in answered.items() if count},
    }


def figures_of(road: Road, words: str) -> Figures:
    period = read_period(words, road.now, "UTC")
    assert period is not None
    with road.database.begin() as tx:
        question = Log(("support",), period.since, period.until)
        log = answers.answer(tx, [question])[question]
    assert isinstance(log, EventLog)
    return compute(log, period, worked_in(road.settings))


def test_the_numbers_of_a_report_are_those_of_the_events(road: Road) -> None:
    busy_weeks(road)
    for words in ("2026-w46", "2026-w47", "2026-11"):
        figures = figures_of(road, words)
        period = figures.period
        assert {
            "new": figures.new,
            "closed": figures.closed,
            "reopened": figures.reopened,
            "first": figures.first_answer,
            "answered": {a.party: a.answered for a in figures.agents if a.answered},
        } == count_by_hand(road, period.since, period.until)
        assert sum(new for _, new, _ in figures.days) == figures.new
        assert sum(closed for _, _, closed in figures.days) == figures.closed
        assert sum(agent.closed for agent in figures.agents) == figures.closed
    month = figures_of(road, "2026-11")
    assert (month.new, month.closed > 5, month.reopened > 1) == (24, True, True)


def test_what_was_taken_and_passed_stays_in_the_report_of_its_week_when_a_ticket_is_merged(database: Database) -> None:
    desk = offering(database, mode="rotate")
    first = desk.write("jane@customer.test", "Hello.", message_id="<1@customer.test>")
    offer = to([m for m in desk.pass_time(timedelta(minutes=16)) if m.kind == "offer"], BOB)
    assert [m.recipient for m in first if m.kind == "offer"] == [ALICE]
    desk.reply(BOB, offer, "#claim")
    before = {a.party: (a.taken, a.passed) for a in figures_of(desk.road, "2026-w48").agents}
    assert sorted(before.values()) == [(0, 1), (1, 0)]
    desk.road.now += timedelta(days=7)
    desk.write("jane@customer.test", "Hello again.", message_id="<2@customer.test>")
    desk.reply(BOB, offer, "#merge 2")
    assert desk.ticket(1).merged_into == 2
    assert {a.party: (a.taken, a.passed) for a in figures_of(desk.road, "2026-w48").agents} == before


def test_a_report_by_mail_is_a_table_a_chart_and_a_file(road: Road) -> None:
    busy_weeks(road)
    command(road, CAROL, "#report week 46")
    mail = to(road.outbox(), CAROL)
    figures = figures_of(road, "2026-w46")
    assert header_of(mail, "Subject").startswith(
        f"Support week 46: {figures.new} new, {figures.closed} closed, first answer "
    )
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    parts = {part.get_content_type(): part for part in message.walk()}
    assert parts["image/png"].get_payload(decode=True)[:8] == b"\x89PNG\r\n\x1a\n"  # type: ignore[index]
    rows = parts["text/csv"].get_content().strip().splitlines()
    assert rows[0] == "day,new,closed"
    assert [row.split(",") for row in rows[1:]] == [
        [figures.period.label(d), str(n), str(c)] for d, n, c in figures.days
    ]
    assert f"{figures.reopened} of {figures.closed}" in text_of(mail)


def test_a_report_of_nothing_says_so_and_draws_no_empty_chart(road: Road) -> None:
    command(road, CAROL, "#report january 2026")
    mail = to(road.outbox(), CAROL)
    assert "Nothing came in and nothing was closed." in text_of(mail) and "31 Jan" not in text_of(mail)
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    parts = {part.get_content_type(): part for part in message.walk()}
    assert "image/png" not in parts and "cid:" not in parts["text/html"].get_content()
    assert "Nothing came in" in parts["text/html"].get_content() and "31 Jan" not in parts["text/html"].get_content()
    assert len(parts["text/csv"].get_content().strip().splitlines()) == 32, "whoever adds months up has all days"


def test_a_report_is_for_leads_and_needs_a_period(road: Road) -> None:
    command(road, ALICE, "#report")
    assert "only a lead" in text_of(to(road.outbox(), ALICE))
    command(road, CAROL, "#report fortnight")
    assert "period" in text_of(to(road.outbox(), CAROL))
    command(road, CAROL, "#report alice october")
    assert "October 2026, Alice Ahmed" in text_of(to(road.outbox(), CAROL))


def test_an_answer_that_was_held_and_let_go_closes_in_the_log_too(road: Road) -> None:
    road.arrive(make_mail("jane@customer.test", "Hello", subject="Invoice"))
    mails = road.outbox()
    reply(road, ALICE, to(mails, ALICE), "Here is the answer.")
    reply(road, BOB, to(mails, BOB), "#close\n\nAnd mine.")
    reply(road, BOB, to([m for m in road.outbox() if m.kind == "held"], BOB), "#send")
    road.process()
    assert road.ticket(1).state is State.CLOSED
    figures = figures_of(road, "week")
    assert (figures.closed, {a.party: a.closed for a in figures.agents}) == (1, {1: 0, 2: 1})


# ------------------------------------------------------------------ rows that come again


def start(road: Road) -> None:
    with road.database.begin() as tx:
        clockwork.start_rounds(tx, road.settings, road.now)


def pass_time(road: Road, until: datetime) -> list[tuple[datetime, Plan]]:
    """Let the clock run, as the worker does: each row at its time; what was planned when."""
    done = []
    while True:
        with road.database.begin() as tx:
            due = tx.execute(sa.text("SELECT min(claim_at) FROM timers")).scalar()
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=due) if due is not None else until
            if at >= until:
                break
            road.now = max(road.now, at)
            (timer, *_) = timers.claim_due(tx, 1, "test", road.now, timedelta(minutes=5))
            plan = clockwork.remind(tx, timer, road.settings, road.now)
            assert plan is not None
            done.append((road.now, plan))
    road.now = until
    return done


BERLIN = ZoneInfo("Europe/Berlin")


def in_berlin(road: Road) -> None:
    inboxes = {h: replace(i, hours=Hours(weekdays="mon-fri 09:00-17:00")) for h, i in road.settings.inbox.items()}
    general = replace(road.settings.ticketgate, timezone="Europe/Berlin")
    road.settings = replace(road.settings, ticketgate=general, inbox=inboxes)


def test_a_digest_comes_at_the_same_hour_of_every_business_day_over_summer_time(road: Road) -> None:
    in_berlin(road)
    road.now = datetime(2026, 3, 26, 12, tzinfo=BERLIN)  # Thursday; clocks change on Sunday
    start(road)
    start(road)  # a restart changes nothing
    pass_time(road, datetime(2026, 4, 1, tzinfo=BERLIN))
    mails = [m for m in road.outbox() if m.recipient == ALICE]
    assert [header_of(m, "Date")[:31] for m in mails] == [
        "Fri, 27 Mar 2026 08:30:00 +0100",
        "Mon, 30 Mar 2026 08:30:00 +0200",
        "Tue, 31 Mar 2026 08:30:00 +0200",
    ]
    assert {m.kind for m in mails} == {"digest"}
    assert len({m.message_id for m in mails}) == 3


def test_a_desk_that_was_down_sends_one_digest_when_it_is_back(road: Road) -> None:
    start(road)
    road.now += timedelta(days=30)
    pass_time(road, road.now + timedelta(seconds=1))
    assert len([m for m in road.outbox() if m.recipient == ALICE]) == 1


def test_a_lead_gets_the_last_week_on_monday_and_can_end_it(road: Road) -> None:
    start(road)
    pass_time(road, road.now + WEEK)
    (report,) = [m for m in road.outbox() if m.kind == "report"]
    assert (report.recipient, "week 48" in header_of(report, "Subject")) == (CAROL, True)
    command(road, CAROL, "#report off")
    road.outbox()
    pass_time(road, road.now + WEEK)
    assert [m for m in road.outbox() if m.kind == "report"] == []
    command(road, CAROL, "#report on")
    road.outbox()
    pass_time(road, road.now + WEEK)
    assert len([m for m in road.outbox() if m.kind == "report"]) == 1


def test_a_digest_is_off_hourly_or_now_as_its_reader_says(road: Road) -> None:
    start(road)
    command(road, ALICE, "#digest off")
    pass_time(road, road.now + timedelta(days=2))
    assert [m for m in road.outbox() if m.recipient == ALICE and m.kind == "digest"] == []
    command(road, ALICE, "#digest now")
    assert to([m for m in road.outbox() if m.kind == "digest"], ALICE)
    command(road, ALICE, "#digest hourly")
    road.arrive(make_mail("jane@customer.test", "Hello", subject="Invoice"))
    road.outbox()
    with road.database.begin() as tx:
        tx.execute(sa.text("DELETE FROM timers WHERE ticket > 0"))
    pass_time(road, road.now + timedelta(hours=3))
    assert len([m for m in road.outbox() if m.recipient == ALICE and m.kind == "digest"]) == 3


def test_a_digest_tells_late_from_yours_from_free_and_a_number_opens_one(road: Road) -> None:
    for n, subject in enumerate(("First matter", "Second matter", "Third matter")):
        road.arrive(make_mail(f"c{n}@customer.test", subject, subject=subject))
        if n == 1:
            offer = to([m for m in road.outbox() if m.ticket == 2], ALICE)
            road.arrive(
                make_mail(ALICE, "#claim", subject="Re: x", to=address_of(offer), answers=offer.message_id),
                recipient=address_of(offer),
            )
        if n == 0:
            road.now += timedelta(hours=3)
    road.outbox()
    command(road, ALICE, "#digest now")
    digest = to([m for m in road.outbox() if m.kind == "digest"], ALICE)
    text = text_of(digest)
    assert "1 yours, 2 free, 1 late" in header_of(digest, "Subject")
    assert text.index("LATE") < text.index("#1") < text.index("YOURS") < text.index("#2") < text.index("FREE")
    assert "3 new, 0 closed" in text
    raw = make_mail(ALICE, "3", subject="Re: digest", to=address_of(digest), answers=digest.message_id)
    road.arrive(raw, recipient=address_of(digest))
    assert "Third matter" in text_of(to(road.outbox(), ALICE))


def test_thanks_to_a_closed_ticket_stands_first_in_the_digest_and_one_tap_closes_it(road: Road) -> None:
    """mail.md 16: it opens again whatever it means; nobody has to read it among the work to be done."""
    offers = []
    for n in range(3):
        road.arrive(make_mail(f"c{n}@customer.test", f"Matter {n}", subject=f"Matter {n}"))
        offers.append(to([m for m in road.outbox() if m.kind == "offer"], ALICE))
    for offer in offers[1:]:
        raw = make_mail(ALICE, "#close\n\nDone.", subject="Re: x", to=address_of(offer), answers=offer.message_id)
        road.arrive(raw, recipient=address_of(offer))
        answer = next(m for m in road.outbox() if m.kind == "answer")
        raw = make_mail(answer.recipient, "Thanks!", subject="Re: x", to=address_of(answer), answers=answer.message_id)
        road.arrive(raw, recipient=address_of(answer))
    again = make_mail(ALICE, "#ack", subject="Re: x", to=address_of(offers[2]), answers=offers[2].message_id)
    road.arrive(again, recipient=address_of(offers[2]))
    road.outbox()
    command(road, ALICE, "#digest now")
    digest = to(road.outbox(), ALICE)
    text = text_of(digest)
    assert text.index("OPEN AGAIN") < text.index("#2") < text.index("close 2") < text.index("YOURS") < text.index("#3")
    assert text.index("#3") < text.index("FREE") < text.index("#1")
    assert "2 yours, 1 free, 0 late" in header_of(digest, "Subject")
    html = email.message_from_bytes(digest.content, policy=email.policy.default).get_body(("html",))
    assert html is not None and "close%202%20" in html.get_content()
    tap = next(line for line in text.splitlines() if line.strip().startswith("close 2 "))
    subject = tap.partition("subject=")[2].partition("&")[0].replace("%20", " ")
    road.arrive(make_mail(ALICE, "Just press Send.", subject=subject))
    assert road.ticket(2).state is State.CLOSED


def test_no_digest_goes_out_when_the_desk_wants_none(road: Road) -> None:
    road.settings = replace(road.settings, agent_mail=AgentMail(digest="off"))
    start(road)
    pass_time(road, road.now + timedelta(days=2))
    assert [m for m in road.outbox() if m.kind == "digest"] == []
