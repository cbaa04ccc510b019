"""Whatever agents and customers do, in whatever mail program: one answer an event, and nobody's ticket is forgotten."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import clockwork
from gateway.model import OutboundMail, State, TicketFacts
from gateway.store import tickets, timers, workload
from tests.rules.test_properties_conversation import EXAMPLES
from tests.support.conversation import AGENTS, CUSTOMERS, STYLES, Play, Step, fresh_road
from tests.support.quoting import ATTRIBUTIONS
from tests.support.spine import Road

pytestmark = pytest.mark.slow  # many examples: not part of make check

_ANSWERS = st.lists(
    st.builds(
        Step,
        deed=st.sampled_from(["answer", "close", "answer", "tail", "direct"]),
        who=st.integers(0, 1),
        which=st.just(0),
        style=st.sampled_from(STYLES),
        attribution=st.sampled_from(sorted(ATTRIBUTIONS.values())),
        text=st.sampled_from(["It is fixed", "Please wait", "Here you are"]),
    ),
    min_size=2,
    max_size=6,
)
_ORDERS = (
    *("claim", "release", "undo", "close", "open", "wait", "snooze 1d", "spam", "notspam", "tag vip", "ack"),
    *("merge 1", "merge 2", "split", "send"),
)
_DEEDS = ("write", "reply", "answer", "assign", "new", "direct", "back", "ask", "third", "forward")


class Orders(Play):
    """Agents who send commands alone, besides everything else."""

    def order(self, who: int, which: int, order: str) -> None:
        self._serial += 1
        received = [m for m in self.sent if m.recipient == AGENTS[who] and m.ticket]
        if received:
            subject, mail = f"Re: {self._serial}", received[-1 - which % len(received)]
            self._arrive(AGENTS[who], f"#{order}", subject=subject, answered=mail)
            self.road.process()
            self.sent += self.road.outbox()


def answers_to(sent: list[OutboundMail], customer: str) -> list[OutboundMail]:
    return [mail for mail in sent if mail.recipient == customer and mail.kind == "answer"]


@EXAMPLES
@example(
    steps=[
        Step(deed, who, 0, "gmail", "On Monday, Desk wrote:", "It is fixed")
        for who, deed in ((0, "direct"), (1, "answer"), (0, "answer"), (1, "direct"))
    ]
)
@example(steps=[Step("answer", who, 0, "gmail", "On Monday, Desk wrote:", "It is fixed") for who in (0, 1, 0, 1)])
@given(steps=_ANSWERS)
def test_two_agents_who_answer_the_same_event_give_the_customer_one_mail(
    steps: list[Step], migrated_sqlite: Path
) -> None:
    with fresh_road(migrated_sqlite) as road:
        play = Play(road)
        play.step(Step("write", 0, 0, "gmail", "", "Our invoice is wrong"))
        offers = list(play.sent)
        for step in steps:
            play.sent = [m for m in offers if m.recipient == AGENTS[step.who]]  # everybody answers the offer
            play.step(step)
            offers += play.sent[1:]
        told = [step for step in steps if step.deed != "tail"]
        first = told[0].who if told else None
        answers = answers_to(offers, CUSTOMERS[0])
        mine = sum(step.who == first and step.deed != "direct" for step in told)
        # Whoever was first may go on writing; nobody else's words go out on what that one has answered. Who was first
        # with us in copy has written past us: then nothing of the other goes out, and of the first what is still said.
        assert {mail.author for mail in answers} <= {0 if first is None else first + 1}
        assert len(answers) <= mine
        assert bool(answers) or not told or told[0].deed == "direct"
        for earlier, later in pairwise(answers):
            assert earlier.message_id != later.message_id


@EXAMPLES
@example(deeds=[(0, 0, "write"), (0, 0, "merge 1"), (0, 0, "undo"), (0, 0, "claim"), (0, 0, "release")])
@example(deeds=[(0, 0, "answer"), (0, 0, "reply"), (0, 0, "release"), (0, 0, "split"), (0, 0, "ask"), (0, 0, "third")])
@example(deeds=[(0, 0, "new"), (0, 0, "reply"), (0, 0, "release"), (1, 0, "write"), (0, 0, "merge 1"), (0, 0, "send")])
@given(
    deeds=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 9), st.sampled_from((*_ORDERS, *_DEEDS))),
        min_size=1,
        max_size=10,
    )
)
def test_an_unclaimed_ticket_always_has_somebody_due_to_be_told(
    deeds: list[tuple[int, int, str]], migrated_sqlite: Path
) -> None:
    with fresh_road(migrated_sqlite) as road:
        play = Orders(road)
        play.step(Step("write", 0, 0, "gmail", "", "Our invoice is wrong"))
        for who, which, deed in deeds:
            if deed in _ORDERS:
                play.order(who, which, deed)
            else:
                play.step(Step(deed, who, which, "bare", "On Monday, Desk wrote:", "it"))
            check_watched(road)
        free = {t.number for t in unclaimed(road)}
        told = pass_days(road, 4)
        assert free <= {mail.ticket for mail in told if mail.recipient in AGENTS}, "nobody was told"
        check_watched(road)


def unclaimed(road: Road) -> list[TicketFacts]:
    with road.database.begin() as tx:
        return [t for state in (State.NEW, State.OPEN) for t in tickets.list_tickets(tx, state, owner=0)]


def check_watched(road: Road) -> None:
    """Every ticket in which a customer waits has a row due, and nobody's has the one that tells everybody."""
    with road.database.begin() as tx:
        parties = [person.party for person in tickets.ensure_agents(tx, road.settings).values()]
        assert workload.find_unwatched(tx, parties) == []
        for ticket in [t for state in (State.NEW, State.OPEN) for t in tickets.list_tickets(tx, state, owner=0)]:
            kinds = {timer.kind.partition("-")[0] for timer in timers.list_timers(tx, ticket.number)}
            assert ticket.merged_into or "unclaimed" in kinds, (ticket.number, kinds)


def pass_days(road: Road, days: int) -> list[OutboundMail]:
    """Let time go by and do what falls due."""
    road.now += timedelta(days=days)
    with road.database.begin() as tx:
        due = timers.claim_due(tx, 100, "test", road.now, timedelta(minutes=5))
    for timer in due:
        with road.database.begin() as tx:
            clockwork.remind(tx, timer, road.settings, road.now)
    return road.outbox()
