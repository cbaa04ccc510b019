"""Whether what became of an input is what its row expects: every field of ``expect`` but the sentences of ``check``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from gateway.model import Findings, Plan
from gateway.store import journal
from gateway.store.journal import JournalRow, JournalState
from tests.adversarial.rows import Case
from tests.support.desk import ANN, ANNS, Desk, Sent
from tests.support.smtp_client import Reply


@dataclass
class Played:
    """What was put in and what was answered."""

    raws: list[bytes] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    cpu_s: float = 0.0
    others: set[int] = field(default_factory=set)
    """Rows of other people's mail that came meanwhile."""


@dataclass
class Result:
    """One case after it was played; what checks look at."""

    desk: Desk
    case: Case
    played: Played
    seen: dict[str, Any] = field(default_factory=dict)
    """What a test observed on the way, for its own sentences."""

    last: int = 0
    """Row of the last mail of the input: what a check sends later is not judged."""

    def __post_init__(self) -> None:
        self.last = max((row.id for row in self.desk.rows()), default=0)

    @property
    def rows(self) -> list[JournalRow]:
        return [row for row in self.desk.rows() if row.id not in self.played.others and row.id <= self.last]

    @property
    def row(self) -> JournalRow:
        """The row under test: the last one."""
        return self.rows[-1]

    @property
    def findings(self) -> Findings:
        return self.desk.findings[self.row.id]

    @property
    def raw(self) -> bytes:
        return self.played.raws[-1]

    @property
    def entry_text(self) -> str:
        """Everything the ticket says that came from the mail under test."""
        return "\n".join(event.text for _, event in self.desk.entries(self.row))


def judge(result: Result) -> None:
    """Assert everything a row expects, its sentences excepted."""
    desk, expect, rows = result.desk, result.case.expect, result.rows
    for reply in result.played.replies:
        assert str(reply.code) == expect["reply"], reply
    assert len(rows) == expect["rows"], [(row.outcome, row.reason) for row in rows]
    if expect["stored"]:
        kept = [desk.raw(row) for row in rows]
        for raw in result.played.raws:
            assert raw in kept, "the bytes as received cannot be fetched"
    if expect["outcome"] != "output":
        for row in _judged(result):
            _judge_row(result, row)
    assert len(desk.changed()) == expect["effects"], (desk.changed(), [p.explanation for p in result.played.plans])
    outside = [(sent.mail.kind, sent.mail.recipient) for sent in desk.to_outsiders()]
    assert len(outside) == expect["mails_out"], outside
    if "max_cpu_s" in expect:
        assert result.played.cpu_s <= expect["max_cpu_s"]
    if "max_dns" in expect:
        asked = desk.dns.asked_for[rows[-1].id]
        assert len(asked) <= expect["max_dns"], asked
    if "max_dns_s" in expect:
        # The last round is cut off at the limit: what the clock shows above it is the scheduler's.
        assert desk.dns.seconds[rows[-1].id] < expect["max_dns_s"] + 1


def _judged(result: Result) -> list[JournalRow]:
    """The rows the outcome is said of: all for those that expect the same of each, else the last one."""
    rows = result.rows
    return rows if result.case.expect["outcome"] in ("new-unproven", "refused") and len(rows) <= 2 else rows[-1:]


def _judge_row(result: Result, row: JournalRow) -> None:
    desk, expect = result.desk, result.case.expect
    OUTCOMES[expect["outcome"]](result, row)
    if "reason" in expect:
        assert row.reason == expect["reason"], (row.outcome, row.reason, row.story.get("explanation"))
    verdict = desk.authentication(row)
    if "proof" in expect:
        assert verdict.proof == expect["proof"], verdict
    if "author" in expect:
        assert (verdict.author.address if verdict.author else "") == expect["author"]
        assert row.author == expect["author"]
    if "dkim" in expect:
        results = [one.result for one in verdict.dkim]
        # The signature under test is the topmost; of several, one that passes is enough and is the point of the row.
        assert expect["dkim"] in (results if expect["dkim"] == "pass" else results[:1]), verdict.dkim


def _told(row: JournalRow) -> str:
    return f"{row.state} {row.outcome} {row.reason}: {row.story.get('explanation')}"


def _is_held(result: Result, row: JournalRow) -> None:
    assert row.state is JournalState.HELD, _told(row)
    assert row in result.desk.look(_list_held), "operators do not see it"


def _list_held(tx: Connection) -> list[JournalRow]:
    return journal.list_held(tx)


def _is_waiting(result: Result, row: JournalRow) -> None:
    assert row.state is JournalState.WAITING, _told(row)
    assert row.due_at is not None and row.due_at > result.desk.now


def _is_filed(result: Result, row: JournalRow) -> None:
    assert row.state is JournalState.APPLIED, _told(row)
    entries = result.desk.entries(row)
    assert [number for number, _ in entries] == [ANNS], (_told(row), entries)
    assert entries[0][1].kind != "held", _told(row)
    party = entries[0][1].party
    if result.case.expect.get("author", ANN) == ANN and result.case.area != "reports":
        assert party == 31, entries


def _is_new(result: Result, row: JournalRow) -> None:
    _opened(result, row)
    assert row.reason in ("new", "unknown-sender"), _told(row)
    assert result.desk.authentication(row).proof != "none"
    assert not any("NOT PROVEN" in sent.text for sent in _offers(result, row))


def _is_new_unproven(result: Result, row: JournalRow) -> None:
    _opened(result, row)
    offers = _offers(result, row)
    assert offers, "nobody was told"
    assert all("NOT PROVEN" in sent.text for sent in offers), offers[0].text
    assert not [sent for sent in result.desk.outbox() if sent.mail.kind == "ack" and sent.mail.ticket == row.ticket]


def _opened(result: Result, row: JournalRow) -> None:
    assert row.state is JournalState.APPLIED and row.opened, _told(row)
    assert row.ticket not in result.desk.before.tickets
    entries = result.desk.entries(row)
    assert [number for number, _ in entries] == [row.ticket], entries


def _offers(result: Result, row: JournalRow) -> list[Sent]:
    return [sent for sent in result.desk.outbox() if sent.mail.kind == "offer" and sent.mail.ticket == row.ticket]


def _is_agents_only(result: Result, row: JournalRow) -> None:
    assert row.state is JournalState.APPLIED, _told(row)
    entries = result.desk.entries(row)
    assert entries, _told(row)
    assert not any(event.public for _, event in entries if row.outcome != "new")


def _is_repeat(result: Result, row: JournalRow) -> None:
    assert (row.state, row.outcome) == (JournalState.APPLIED, "repeat"), _told(row)
    assert not result.desk.entries(row)


def _is_same_row(result: Result, row: JournalRow) -> None:
    assert len(result.rows) == 1


def _is_done(result: Result, row: JournalRow) -> None:
    assert row.outcome in ("answer", "command", "note"), _told(row)


OUTCOMES = {
    "filed": _is_filed,
    "new": _is_new,
    "new-unproven": _is_new_unproven,
    "agents-only": _is_agents_only,
    "held": _is_held,
    "waiting": _is_waiting,
    "done": _is_done,
    "repeat": _is_repeat,
    "same-row": _is_same_row,
}


# ------------------------------------------------------------------ the sentences of `check`

Check = Callable[[Result], "Awaitable[None] | None"]
CHECKS: dict[str, Check] = {}
"""Sentence of the table -> the assertion it stands for. Test modules fill it for their rows."""


def sentence(*texts: str) -> Callable[[Check], Check]:
    """Say which sentences a function asserts."""

    def register(function: Check) -> Check:
        for text in texts:
            assert text not in CHECKS, text
            CHECKS[text] = function
        return function

    return register


async def check_sentences(result: Result) -> None:
    """Assert every sentence of the row; one that nobody wrote down fails."""
    for text in result.case.checks:
        outcome = CHECKS[text](result)
        if outcome is not None:
            await outcome
