"""A week at a desk of five with 500 tickets, on an accelerated clock: nothing is forgotten, and its report is true.

Each day is a process of its own that ends without goodbye: what it knew is in the database or is lost.
"""

from __future__ import annotations

import multiprocessing
import re
import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

import pytest

from gateway import clockwork
from gateway.model import OutboundMail, State
from gateway.settings import Agent, General, Hours, Offer, Settings
from gateway.store import tickets, timers, workload
from gateway.store.database import Database
from tests.store.test_verbs import Desk
from tests.support.counting import Count, OfficeHours, count, follow, read_report, without_what_left
from tests.support.databases import PostgresServer
from tests.support.spine import SETTINGS, header_of, make_mail, text_of

WEDNESDAY = datetime(2026, 10, 21, 6, 0, tzinfo=UTC)
"""The clocks go back on the Sunday of this week (Europe/Berlin); its Friday is a holiday."""
MONDAY = datetime(2026, 10, 18, 22, tzinfo=UTC)
HOLIDAY = date(2026, 10, 23)
OFFICE = OfficeHours(time(9), time(17, 30), "Europe/Berlin", (HOLIDAY,))
DAYS, TICK, TICKETS = 7, timedelta(minutes=30), 500
NAMES = ("alice", "bob", "dora", "emil", "fay")
ORDERS = (
    "I will look into it.",
    "I will look into it.",
    "Please try again.",
    "#close\n\nDone.",
    "#close\n\nDone.",
    "#claim",
    "#claim\n#release",
    "#assign bob",
    "#note\n\nHm.",
    "#snooze 1d",
    "#clsoe\n\nOh.",
    "#close",
    "#spam",
    "#open",
    "#wait",
    "#undo",
    "#tag invoice",
    "#tag vip login",
    "#merge {number}",
    "#send",
)
WAKING = ("offer", "reminder", "customer-reply", "assigned", "escalation", "forward")


def desk_of_five(mode: str) -> Settings:
    agents = {n: Agent(handle=n, name=f"{n.title()} Ahmed", address=f"{n}@corp.test", quiet="20-7") for n in NAMES}
    lead = Agent(handle="carol", name="Carol Chen", address="carol@corp.test", role="lead")
    support = replace(
        SETTINGS.inbox["support"],
        agents=NAMES,
        lead=("carol",),
        hours=Hours(weekdays="mon-fri 09:00-17:30", holidays=(HOLIDAY.isoformat(),)),
        offer=Offer(mode=mode),
    )
    general = General(id_domain="tickets.desk.test", timezone="Europe/Berlin")
    return replace(SETTINGS, ticketgate=general, inbox={"support": support}, agents={**agents, "carol": lead})


@dataclass
class People:
    """What is in people's heads and mailboxes, not in ours: it outlives every process."""

    chance: Random
    per_tick: float
    mailbox: list[OutboundMail] = field(default_factory=list)
    announced: set[int] = field(default_factory=set)
    opened: int = 0
    mails: Counter[str] = field(default_factory=Counter)
    reports: list[tuple[str, Count, bool]] = field(default_factory=list)
    """As mailed, as counted at that moment, and whether Dora was still there."""


class Day:
    """One process: a desk just started on what the last one left."""

    def __init__(self, url: str, settings: Settings, people: People, now: datetime) -> None:
        self.desk, self.people, self.chance = Desk(Database(url), settings), people, people.chance
        self.road = self.desk.road
        self.road.now = now
        with self.road.database.begin() as tx:
            clockwork.start_rounds(tx, settings, now)
        self.go_on(timedelta(0))

    def go_on(self, span: timedelta) -> None:
        self.take(self.desk.pass_time(span))

    def take(self, mails: list[OutboundMail]) -> None:
        agents = {agent.address for agent in self.road.settings.agents.values()}
        self.people.mails.update(m.kind for m in mails)
        self.people.announced |= {m.ticket for m in mails if m.recipient in agents and m.kind in WAKING}
        self.people.mailbox += [m for m in mails if m.kind in (*WAKING, "answer", "held")]
        for mail in mails:
            if mail.kind == "report":
                week = re.search(r"week ([0-9]+)", header_of(mail, "Subject"))
                assert week is not None
                since = MONDAY if week[1] == "43" else MONDAY + timedelta(days=7, hours=1)
                with self.road.database.begin() as tx:
                    until = MONDAY + timedelta(days=7, hours=1) if week[1] == "43" else self.road.now
                    there = self.road.settings.agents["dora"].enabled
                    self.people.reports.append((whole(mail), count(tx, "support", since, until, OFFICE), there))

    def write(self) -> None:
        """A customer with something new."""
        self.people.opened += 1
        number = self.people.opened
        who = f"c{self.chance.randrange(150)}@customer.test"
        subject, text = f"Question {number}", f"Question {number}: where is it?"
        self.take(self.desk.write(who, text, subject=subject, message_id=self.new_id()))

    def work(self) -> None:
        """Somebody finds a mail and does something about it, or nothing."""
        if not self.people.mailbox:
            return
        recent = min(len(self.people.mailbox), 150)  # whoever has a hundred mails reads the newest
        mail = self.people.mailbox.pop(-1 - self.chance.randrange(recent))
        if mail.kind == "answer":
            if self.chance.random() < 0.4:
                text = f"Thanks, but {self.road.now:%d %H:%M}"
                self.road.arrive(
                    make_mail(mail.recipient, text, subject="Re: it", answers=mail.message_id, message_id=self.new_id())
                )
                self.take(self.road.outbox())
            return
        agent = self.road.settings.find_agent(mail.recipient)
        ill = mail.recipient == "emil@corp.test" and self.road.now.day in (21, 22)
        if agent is not None and not ill and self.chance.random() < 0.8:
            order = self.chance.choice(ORDERS).format(number=self.chance.randint(1, max(1, self.people.opened)))
            self.take(self.desk.reply(mail.recipient, mail, order))

    def new_id(self) -> str:
        return f"<{self.chance.getrandbits(60)}@customer.test>"

    def check(self) -> None:
        """Whoever looks at any moment: each waiting ticket has a row due, in the hands of an agent who is there."""
        with self.road.database.begin() as tx:
            people = tickets.ensure_agents(tx, self.road.settings)
            there = [p.party for h, p in people.items() if self.road.settings.agents[h].enabled]
            assert workload.find_unwatched(tx, there) == [], self.road.now

    def check_unclaimed(self) -> None:
        """Nobody's tickets have somebody due to be told."""
        with self.road.database.begin() as tx:
            unclaimed = [t for state in (State.NEW, State.OPEN) for t in tickets.list_tickets(tx, state, owner=0)]
            for ticket in unclaimed:
                kinds = {timer.kind.partition("-")[0] for timer in timers.list_timers(tx, ticket.number)}
                assert ticket.merged_into or "unclaimed" in kinds, (ticket.number, kinds)

    def pass_by(self, end: datetime) -> None:
        step = 0
        while self.road.now < end:
            if 7 <= self.road.now.hour < 16:
                for _ in range(int(self.people.per_tick + self.chance.random())):
                    if self.people.opened < TICKETS:
                        self.write()
                if self.road.now.weekday() < 5 and self.road.now.date() != HOLIDAY:
                    for _ in range(int(2.5 * self.people.per_tick)):
                        self.work()
            self.go_on(TICK)
            self.check()
            step += 1
            if step % 6 == 0:
                self.check_unclaimed()


def whole(mail: OutboundMail) -> str:
    return f"{header_of(mail, 'Subject')}\n\n{text_of(mail)}"


def live_a_day(url: str, mode: str, number: int, people: People) -> People:
    """One simulated day; runs in a process of its own, which then ends without closing anything."""
    settings = desk_of_five(mode)
    if number >= 5:  # she left, with everything she had
        left = replace(settings.agents["dora"], enabled=False)
        settings = replace(settings, agents={**settings.agents, "dora": left})
    start = WEDNESDAY + timedelta(days=number)
    day = Day(url, settings, people, start)
    if number == 1:
        day.desk.write("alice@corp.test", "", subject="#away 3d", message_id="<away@corp.test>")
        with day.road.database.begin() as tx:
            assert tickets.agent_choices(tx)["alice"]["away"]
    day.pass_by(start + timedelta(days=1))
    if number == DAYS - 1:
        for words in ("this week", "week 43"):
            day.take(
                day.desk.write("carol@corp.test", "", subject=f"#report {words}", message_id=f"<{words[-2:]}@c.test>")
            )
    return people


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("engine", "mode", "seed"),
    [
        ("sqlite", "all", 1),
        ("sqlite", "rotate", 2),
        pytest.param("postgresql", "all", 3, marks=pytest.mark.postgresql),
        pytest.param("postgresql", "rotate", 4, marks=pytest.mark.postgresql),
    ],
)
def test_a_week_ends_with_no_ticket_unowned_and_unannounced(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str, mode: str, seed: int
) -> None:
    url = fresh_database(request, tmp_path, engine)
    people = People(Random(seed), per_tick=TICKETS / (DAYS * 9))
    for number in range(DAYS):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            people = process.submit(live_a_day, url, mode, number, people).result()
    print(f"{engine}, {mode}, seed {seed}: {people.opened} tickets, {people.mails.total()} mails, {dict(people.mails)}")
    assert people.opened == TICKETS
    assert not set(range(1, TICKETS + 1)) - people.announced
    check_histories(url, mode)
    subjects = [text.split("\n", 1)[0] for text, *_ in people.reports]
    assert [subject.split(":")[0] for subject in subjects] == [
        "Support week 42",
        "Support week 43",
        "Support week 44",
        "Support week 43",
    ][4 - len(subjects) :]
    for text, counted, there in people.reports:
        compare(text, counted, dora="Dora" if there else "former")


def fresh_database(request: pytest.FixtureRequest, folder: Path, engine: str) -> str:
    if engine == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), folder / "ticketgate.db")
        return f"sqlite:{folder}/ticketgate.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database(template=request.getfixturevalue("migrated_postgresql"))


def check_histories(url: str, mode: str) -> None:
    """Every ticket ended where its lines say; all that can happen in such a week has happened."""
    from gateway.store.schema import events
    from gateway.store.schema import tickets as table

    database = Database(url)
    kinds: set[str] = set()
    with database.begin() as tx:
        for ticket in tx.execute(table.select().where(table.c.merged_into == 0)).all():
            lines = tx.execute(events.select().where(events.c.ticket == ticket.number).order_by(events.c.number)).all()
            kinds |= {line.kind for line in lines}
            shut = follow(without_what_left(lines)).shut
            assert shut == (ticket.state in ("closed", "spam")), (ticket.number, ticket.state)
    database.close()
    assert {"reminder", "escalation", "answer", "held", "close"} <= kinds
    assert mode == "all" or {"offered", "passed"} <= kinds


def compare(text: str, counted: Count, dora: str) -> None:
    """Number for number: what the mail says, what was counted from the log; ``dora``: what she is called by then."""
    subject, _, body = text.partition("\n\n")
    said = read_report(body)
    new, closed = (int(n) for n in re.findall(r"([0-9]+) (?:new|closed)", subject))
    assert (new, closed) == (counted.new, counted.closed)
    assert (said["closed"], said["reopened"]) == (counted.closed, counted.reopened)
    assert (said["unsolved"], said["waiting"], said["oldest"]) == (counted.unsolved, counted.waiting, counted.oldest)
    if counted.first_answer is None:
        assert said["first answer"] is None
    else:
        assert said["first answer"] == round(counted.first_answer / 60)
    days = {f"{day:%a}": numbers for day, numbers in counted.days.items()}
    assert {day: numbers for day, numbers in said["days"].items() if any(numbers)} == days
    names = {1: "Alice", 2: "Bob", 3: dora, 4: "Emil", 5: "Fay", 6: "Carol"}
    parties = {*counted.answered, *counted.closed_by, *counted.owned, *counted.taken, *counted.passed}
    agents = {
        names.get(p, "nobody"): (
            counted.answered[p],
            counted.closed_by[p],
            counted.owned[p],
            counted.taken[p],
            counted.passed[p],
        )
        for p in parties
    }
    assert said["agents"] == {who: numbers for who, numbers in agents.items() if any(numbers) or who in said["agents"]}
    assert said["tags"] == counted.tags
