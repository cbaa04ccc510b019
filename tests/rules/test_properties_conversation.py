"""Whatever agents and customers write, in whatever mail program: what never reaches a customer, and what never matters.

Conversations are generated (tests/support/conversation.py) and played through the real pipeline. That these properties
and those of test_properties_ownership.py can fail was seen with each of these changes made to a copy of the product:

==================  ============================================================================  ==================
property            what was changed                                                              found by
==================  ============================================================================  ==================
token               the answer's Reply-To is an agent's address (kind a)                          first example
token               strip_tokens does nothing in relay, the letter and the scene (any two of the  "paste", "confirm"
                    three left the last one to do it)
note                ``#note`` makes a mail not internal                                           first example
note                a reply to a note is an answer                                                "bob note", "answer"
note                relay keeps every quoted line                                                 "interleaved"
agent's address     hide_private does nothing in relay and in the letter                          "paste", "confirm"
agent's furniture   relay sends the quotation too and knows no status line                        "split"
two agents          no collision is found                                                         first example
unclaimed ticket    no clock is set after a plan                                                  first example
==================  ============================================================================  ==================
"""

from __future__ import annotations

import email
import email.policy
import random
import re
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway import pipeline
from gateway.errors import TicketgateError
from gateway.model import OutboundMail, Plan, Proof
from gateway.store import journal
from tests.support.conversation import AGENTS, CUSTOMERS, STEPS, SUPPLIER, Play, Step, fresh_road
from tests.support.spine import SETTINGS, Signed, make_mail

pytestmark = pytest.mark.slow  # many examples: not part of make check

EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_TOKEN = re.compile(r"[anhsdtb][a-z2-7]-[0-9]+-[0-9]+-[0-9]+-[a-z2-7]{16}", re.IGNORECASE)
_ID = re.compile(r"<[0-9]+\.[0-9]+\.[0-9]+\.[a-z2-7]{17}@tickets\.desk\.test>", re.IGNORECASE)
_ACTION = re.compile(r"\b[0-9]+(?:\.[0-9]+)?(?: |%20)[a-z2-7]{17}\b", re.IGNORECASE)
_FURNITURE = ("Just press Send", "mailto:", "X-Ticket", "above this line", "NOT PROVEN")


def everything_in(mail: OutboundMail) -> str:
    """All header values and all texts of a mail, decoded."""
    parsed = email.message_from_bytes(mail.content, policy=email.policy.default)
    pieces = [f"{name}: {value}" for name, value in parsed.items()]
    pieces += [str(part.get_content()) for part in parsed.walk() if part.get_content_maintype() == "text"]
    return "\n".join([mail.reverse_path, *pieces])


def check_mail_outside(mail: OutboundMail, play: Play) -> None:
    """What goes to a customer or a third party has nothing of ours in it, and nothing of the other side."""
    shown = everything_in(mail)
    others = play.of_customers if mail.recipient == SUPPLIER else play.for_supplier
    for words in others:
        assert words not in shown, f"the other side's mail: {words}\n{shown}"
    for address in CUSTOMERS if mail.recipient == SUPPLIER else (SUPPLIER,):
        assert address not in shown, f"the other side's address: {address}\n{shown}"
    for token in _TOKEN.findall(shown):
        read = SETTINGS.keys.read_tag(token)
        assert read is not None, token
        assert read.kind in "tb", f"an agent's token: {token}\n{shown}"
        assert read.party == mail.party, f"somebody else's token: {token}\n{shown}"
    for message_id in _ID.findall(shown):
        own = SETTINGS.keys.read_message_id(message_id, SETTINGS.id_domain)
        assert own is not None
        assert own.party in (0, mail.party), f"an id issued to somebody else: {message_id}\n{shown}"
    assert not _ACTION.search(shown), shown
    for secret in play.secrets:
        assert secret not in shown, f"a note: {secret}\n{shown}"
    for address in AGENTS:
        assert address not in shown, f"an agent's own address: {address}\n{shown}"
    for words in _FURNITURE:
        assert words not in shown, f"furniture: {words}\n{shown}"


def all_styles(deed: str) -> list[Step]:
    attribution = "On Mon, 23 Nov 2026 at 10:00, Desk wrote:"
    return [Step(deed, 0, n, style, attribution, "thanks") for n, style in enumerate(("gmail", "outlook", "html"))]


def in_turn(*deeds: str, style: str = "gmail") -> list[Step]:
    """One deed after the other, each about the newest mail its author has: Alice's, Jane's, or "bob note"."""
    attribution = "On Mon, 23 Nov 2026 at 10:00, Desk wrote:"
    return [
        Step(deed.removeprefix("bob "), int(deed.startswith("bob ")), 0, style, attribution, "thanks") for deed in deeds
    ]


@EXAMPLES
@example(steps=in_turn("new", "reply", "note", "answer", "reply", "ask", "third", "answer"))
@example(steps=in_turn("direct", "back", "answer", "direct", "note", "answer", style="bare"))
@example(
    steps=in_turn("answer", "reply", "ask", "split", "third", "answer", "undo", "reply", "answer", "note", "answer")
)
@example(steps=in_turn("paste", "confirm", "reply", "note", "send", "paste", "confirm"))
@example(
    steps=[
        *in_turn("write", "ask"),
        Step("write", 1, 0, "gmail", "", "Our pump"),
        *in_turn("merge", "confirm", "third", "answer", "reply", "answer"),
    ]
)
@example(steps=in_turn("answer", "bob note", "send", "bob note", "answer", style="interleaved"))
@example(steps=in_turn("answer", "bob note", "send", "bob note", "answer", "confirm", style="bare"))
@example(steps=in_turn("answer", "bob note", "tail", "bob note", "send", "confirm", style="below"))
@example(steps=[*in_turn("write", "merge", "confirm", "third", "answer", "reply", "undo", "confirm", "note", "answer")])
@example(steps=[*in_turn("forward", "answer", "note"), *all_styles("answer"), *in_turn("new", "merge", "answer")])
@example(steps=[Step("ask", 0, 0, "interleaved", "Am 03.03.26 um 09:14 schrieb Mara Lind:", "please the")])
@example(steps=all_styles("ask") + all_styles("third") + all_styles("answer") + all_styles("send"))
@example(
    steps=[*all_styles("third"), *all_styles("ask"), *all_styles("third"), *all_styles("reply"), *all_styles("ask")]
)
@example(steps=all_styles("note") + all_styles("answer"))
@example(steps=[*all_styles("answer"), *all_styles("reply"), *all_styles("tail"), *all_styles("assign")])
@given(steps=STEPS)
def test_no_token_note_agents_address_furniture_or_word_of_another_side_goes_outside(
    steps: list[Step], migrated_sqlite: Path
) -> None:
    with fresh_road(migrated_sqlite) as road:
        play = Play(road).run(steps)
        outside = [mail for mail in play.sent if mail.recipient not in AGENTS]
        assert all(mail.public != (mail.recipient == SUPPLIER) for mail in outside)
        for mail in outside:
            check_mail_outside(mail, play)


class Twice(Signed):
    """Decides every mail twice, as after a crash between the commit and the next claim."""

    def process(self, proof: Proof = Proof.DKIM) -> list[Plan]:
        plans = []
        while True:
            with self.database.begin() as tx:
                claimed = journal.claim(tx, 1, "test", self.now, timedelta(minutes=5))
            if not claimed:
                return plans
            findings = self.read(claimed[0], proof)
            with self.database.begin() as tx:
                plans.append(pipeline.process(tx, claimed[0], findings, self.settings, self.now))
            with pytest.raises(TicketgateError), self.database.begin() as tx:
                pipeline.process(tx, claimed[0], findings, self.settings, self.now)


@EXAMPLES
@given(steps=STEPS)
def test_deciding_every_mail_twice_equals_once(steps: list[Step], migrated_sqlite: Path) -> None:
    outcomes = []
    for kind in (Signed, Twice):
        with fresh_road(migrated_sqlite, kind) as road:
            play = Play(road).run(steps)
            numbers = sorted({mail.ticket for mail in play.sent if mail.ticket})
            outcomes.append((play.sent, [road.ticket(number) for number in numbers]))
    assert outcomes[0] == outcomes[1]


@EXAMPLES
@given(
    threads=st.lists(st.lists(st.integers(0, 8), min_size=0, max_size=5), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
)
def test_any_order_of_arrival_gives_the_same_tickets(
    threads: list[list[int]], seed: int, migrated_sqlite: Path
) -> None:
    """Each thread is a tree: the n-th mail answers one before it, with all of its References."""
    mails = [mail for number, thread in enumerate(threads) for mail in write_thread(number, thread)]
    random.Random(seed).shuffle(mails)
    with fresh_road(migrated_sqlite) as road:
        tickets: dict[int, set[str]] = defaultdict(set)
        for message_id, raw in mails:
            tickets[road.arrive(raw).ticket].add(message_id)
    meant: dict[str, set[str]] = defaultdict(set)
    for message_id, _ in mails:
        meant[message_id.partition(".")[0]].add(message_id)
    assert sorted(map(sorted, tickets.values())) == sorted(map(sorted, meant.values()))


def write_thread(number: int, parents: list[int]) -> list[tuple[str, bytes]]:
    chains: list[list[str]] = [[f"<{number}.0@customer.test>"]]
    for place, parent in enumerate(parents, start=1):
        chains.append([*chains[parent % place], f"<{number}.{place}@customer.test>"])
    return [
        (
            chain[-1],
            make_mail(
                f"jane{number}@customer.test",
                f"Mail {chain[-1]}",
                subject=("Re: " if len(chain) > 1 else "") + f"Matter {number}",
                message_id=chain[-1],
                answers=chain[-2] if len(chain) > 1 else "",
                references=" ".join(chain[:-1]),
            ),
        )
        for chain in chains
    ]
