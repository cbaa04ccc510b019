"""``#undo`` of every verb that changes something: the ticket, its clock, settings and blocks are as before."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.desk.verbs import VERBS
from gateway.model import OutboundMail
from gateway.store.database import Database
from gateway.store.schema import blocks
from gateway.store.tickets import agent_choices
from tests.store.test_verbs import ALICE, CAROL, JANE, TOM, Desk, to
from tests.support.spine import text_of

TABLE = [
    # verb, what was done before, the command
    ("claim", (), "#claim"),
    ("claim", ("#snooze 3d",), "#claim"),
    ("release", ("#claim",), "#release"),
    ("assign", (), "#assign bob"),
    ("assign", ("#claim",), "#assign bob"),
    ("close", (), "#close"),
    ("close", ("#claim",), "#close"),
    ("close", ("#claim", "#wait"), "#close"),
    ("close", ("#snooze 3d",), "#close"),
    ("close", ("#followup 3d",), "#close"),
    ("open", ("#close",), "#open"),
    ("open", ("#claim", "#close"), "#open"),
    ("open", ("#claim", "#wait"), "#open"),
    ("open", ("#snooze 3d",), "#open"),
    ("wait", (), "#wait"),
    ("wait", ("#claim",), "#wait"),
    ("status", ("#claim",), "#status solved"),
    ("snooze", (), "#snooze 3d"),
    ("snooze", ("#claim",), "#snooze 3d"),
    ("snooze", ("#snooze 1d",), "#snooze 3d"),
    ("followup", ("#claim",), "#followup 3d"),
    ("followup", (), "#followup 3d"),
    ("move", ("#claim",), "#move billing"),
    ("move", (), "#move billing"),
    ("subject", (), "#subject Berlin"),
    ("subject", ("#subject Berlin",), "#subject Bonn"),
    ("prio", (), "#prio urgent"),
    ("tag", ("#tag old",), "#tag vip -old"),
    ("untag", ("#tag vip",), "#untag vip"),
    ("cc", (), f"#cc {TOM}"),
    ("uncc", (f"#cc {TOM}",), f"#uncc {TOM}"),
    ("from", (), f"#from {TOM}"),
    ("from", (f"#cc {TOM}",), f"#from {TOM}"),
    ("watch", (), "#watch"),
    ("watch", ("#mute",), "#watch"),
    ("mute", (), "#mute"),
    ("mute", ("#watch",), "#mute"),
    ("spam", (), "#spam"),
    ("spam", ("#claim",), "#spam"),
    ("notspam", ("#spam",), "#notspam"),
    ("notspam", ("#claim", "#spam"), "#notspam"),
    ("block", (), "#block"),
    ("digest", (), "#digest hourly"),
    ("digest", ("#digest hourly",), "#digest off"),
    ("quiet", (), "#quiet 18-8"),
    ("quiet", ("#quiet 18-8",), "#quiet off"),
    ("away", (), "#away until 2026-12-12"),
    ("away", (), "#away until 2026-12-12 to bob"),
    ("timezone", (), "#timezone Europe/Berlin"),
    ("also", (), "#also alice@phone.test"),
    ("ack", ("#claim",), "#prio high\n#ack"),
]
ELSEWHERE = {
    "merge": "test_verbs: with one tap, after 30 days; test_apart, test_sides",
    "split": "test_verbs: split off and back",
    "note": "what colleagues were sent cannot be called back",
    "send": "mail; while it waits, test_verbs: inside hold_seconds",
    "ask": "mail, likewise",
    "back": "its answer is the list of what changed; #away says it again",
    "new": "a mail to somebody and a ticket of its own",
    "discard": "the text is with its author, who may write it again",
    **dict.fromkeys(("undo", "show", "history", "list", "search", "export", "report", "help"), "changes nothing"),
}


def state_of(desk: Desk) -> dict[str, Any]:
    """All that a command may change, but the history."""
    ticket = desk.ticket()
    names = ("inbox", "state", "owner", "customer", "snoozed_until", "priority", "tags", "watchers", "muted", "title")
    with desk.road.database.begin() as tx:
        chosen = {h: {k: v for k, v in own.items() if v} for h, own in agent_choices(tx).items()}
        blocked = set(tx.execute(sa.select(blocks.c.address)).scalars())
    return {
        **{name: getattr(ticket, name) for name in names},
        "participants": ticket.participants,
        "closed": ticket.closed_at is not None,
        "settings": {handle: own for handle, own in chosen.items() if own},
        "blocked": blocked,
        "timers": desk.timers(),
    }


def test_every_verb_stands_in_the_table_or_there_is_a_reason() -> None:
    assert {verb.name for verb in VERBS} == {name for name, _, _ in TABLE} | set(ELSEWHERE)


@pytest.mark.parametrize(("verb", "before", "order"), TABLE, ids=[f"{b} {o}".strip() for _, b, o in TABLE])
def test_undo_puts_back_everything(desk: Desk, verb: str, before: tuple[str, ...], order: str) -> None:
    mails = desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>")
    who = CAROL if verb == "block" else ALICE
    mail: OutboundMail = to(mails, ALICE)
    if verb == "block":
        desk.reply(ALICE, mail, "#assign carol")
        mail = to(desk.reply(ALICE, mail, "#note look @carol"), CAROL)
    for earlier in before:
        desk.reply(who, mail, earlier)
    was = state_of(desk)
    said = to(desk.reply(who, mail, order), who)
    if "NOT DONE" in text_of(said):  # it asks first
        said = to(desk.tap(who, said, "send"), who)
    assert state_of(desk) != was
    assert "undo" in text_of(said).lower(), "it says that it can be undone"
    undone = to(desk.tap(who, said, "undo"), who)
    words = re.fullmatch(r"#1 undone: .{5,}\. .{8,}\.", text_of(undone).partition("\n")[0])
    assert words and "since" not in words[0], "it says what was undone and what holds again"
    assert state_of(desk) == was


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)
