"""A week at a desk of five, on an accelerated clock: no ticket is forgotten, whatever people do, and leave undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from gateway import clockwork
from gateway.model import OutboundMail, State
from gateway.settings import Agent, General, Hours, Offer, Settings
from gateway.store import tickets, timers, workload
from gateway.store.database import Database
from tests.store.test_verbs import Desk
from tests.support.spine import SETTINGS, make_mail

WEDNESDAY = datetime(2026, 10, 21, 6, 0, tzinfo=UTC)
"""The clocks go back on the Sunday of this week (Europe/Berlin)."""
DAYS, TICK = 7, timedelta(minutes=30)
NAMES = ("alice", "bob", "dora", "emil", "fay")
ORDERS = (
    "I will look into it.",
    "Please try again.",
    "#close\n\nDone.",
    "#claim",
    "#claim\n#release",
    "#note\n\nHm.",
    "#snooze 1d",
    "#clsoe\n\nOh.",
)
WAKING = ("offer", "reminder", "customer-reply", "assigned", "escalation", "forward")


def desk_of_five(mode: str) -> Settings:
    agents = {n: Agent(handle=n, name=f"{n.title()} Ahmed", address=f"{n}@corp.test", quiet="20-7") for n in NAMES}
    lead = Agent(handle="carol", name="Carol Chen", address="carol@corp.test", role="lead")
    support = replace(
        SETTINGS.inbox["support"],
        agents=NAMES,
        lead=("carol",),
        hours=Hours(weekdays="mon-fri 09:00-17:30", holidays=("2026-10-23",)),
        offer=Offer(mode=mode),
    )
    general = General(id_domain="tickets.desk.test", timezone="Europe/Berlin")
    return replace(SETTINGS, ticketgate=general, inbox={"support": support}, agents={**agents, "carol": lead})


class Week:
    """The desk, its people's mailboxes, and chance."""

    def __init__(self, path: Path, settings: Settings, seed: int) -> None:
        self.path, self.chance = path, Random(seed)
        self.desk = Desk(Database(f"sqlite:{path}"), settings)
        self.road = self.desk.road
        self.road.now = WEDNESDAY
        self.announced: set[int] = set()
        self.mailbox: list[OutboundMail] = []
        self.opened = 0

    def restart(self, settings: Settings) -> None:
        """The process ends and begins again, perhaps with other settings."""
        self.road.database.close()
        now = self.road.now
        self.desk = Desk(Database(f"sqlite:{self.path}"), settings)
        self.road = self.desk.road
        self.road.now = now
        with self.road.database.begin() as tx:
            clockwork.start_rounds(tx, settings, now)
        self.go_on(timedelta(0))

    def go_on(self, span: timedelta) -> None:
        self.take(self.desk.pass_time(span))

    def take(self, mails: list[OutboundMail]) -> None:
        agents = {agent.address for agent in self.road.settings.agents.values()}
        self.announced |= {m.ticket for m in mails if m.recipient in agents and m.kind in WAKING}
        self.mailbox += [m for m in mails if m.kind in (*WAKING, "answer", "held")]

    def write(self) -> None:
        """A customer with something new."""
        self.opened += 1
        who = f"c{self.chance.randrange(40)}@customer.test"
        text = f"Question {self.opened}: where is it?"
        self.take(self.desk.write(who, text, subject=f"Question {self.opened}"))

    def work(self) -> None:
        """Somebody finds a mail and does something about it, or nothing."""
        if not self.mailbox:
            return
        mail = self.mailbox.pop(self.chance.randrange(len(self.mailbox)))
        if mail.kind == "answer":
            text = f"Thanks, but {self.road.now:%d %H:%M}"
            self.road.arrive(
                make_mail(mail.recipient, text, subject="Re: it", answers=mail.message_id, message_id=self.new_id())
            )
            self.take(self.road.outbox())
            return
        agent = self.road.settings.find_agent(mail.recipient)
        if agent is not None and self.chance.random() < 0.7:
            self.take(self.desk.reply(mail.recipient, mail, self.chance.choice(ORDERS)))

    def new_id(self) -> str:
        return f"<{self.chance.getrandbits(60)}@customer.test>"

    def check(self) -> None:
        """Whoever looks at any moment: each waiting ticket has a row due, in the hands of an agent who is there."""
        with self.road.database.begin() as tx:
            people = tickets.ensure_agents(tx, self.road.settings)
            there = [p.party for h, p in people.items() if self.road.settings.agents[h].enabled]
            assert workload.find_unwatched(tx, there) == [], self.road.now
            unclaimed = [t for state in (State.NEW, State.OPEN) for t in tickets.list_tickets(tx, state, owner=0)]
            for ticket in unclaimed:
                kinds = {timer.kind.partition("-")[0] for timer in timers.list_timers(tx, ticket.number)}
                assert ticket.merged_into or "unclaimed" in kinds, (ticket.number, kinds)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["all", "rotate"])
def test_a_week_ends_with_no_ticket_unowned_and_unannounced(tmp_path: Path, migrated_sqlite: Path, mode: str) -> None:
    path = tmp_path / "ticketgate.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    settings = desk_of_five(mode)
    week = Week(path, settings, seed=20261021)
    for day in range(DAYS):
        if day == 1:
            week.desk.write("alice@corp.test", "", subject="#away 3d")
            with week.road.database.begin() as tx:
                assert tickets.agent_choices(tx)["alice"]["away"]
        if day == 5:  # she left, with everything she had
            left = replace(settings.agents["dora"], enabled=False)
            settings = replace(settings, agents={**settings.agents, "dora": left})
        week.restart(settings)
        end = WEDNESDAY + timedelta(days=day + 1)
        while week.road.now < end:
            if 7 <= week.road.now.hour < 16:
                week.write()
                if week.chance.random() < 0.3:
                    week.write()
                if week.road.now.weekday() < 5:
                    week.work()
                    week.work()
            week.go_on(TICK)
            week.check()
    assert week.opened >= 100
    assert not set(range(1, week.opened + 1)) - week.announced
    kinds = {event.kind for n in range(1, week.opened + 1) for event in week.desk.ticket(n).events}
    assert {"reminder", "escalation", "release", "answer", "held"} <= kinds
    week.road.database.close()
