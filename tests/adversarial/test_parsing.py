"""adv-54 to adv-66, adv-75, adv-78: bombs, lies and leftovers. What cannot be read is said, and nothing is lost."""

from __future__ import annotations

import pytest

from gateway.analysis.parse import parse
from gateway.model import Message
from tests.adversarial.judging import Result, sentence
from tests.adversarial.playing import play_and_judge
from tests.adversarial.rows import Case, cases
from tests.adversarial.test_participants import agent_answers
from tests.support.desk import NOW, Desk


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", cases("adv-54..66", "adv-75", "adv-78"), ids=str)
async def test_adv(desk: Desk, case: Case) -> None:
    result = await play_and_judge(desk, case)
    assert_nothing_written(result)


def assert_nothing_written(result: Result) -> None:
    """The store, its socket, and nothing else: the readers could not write if they wanted to."""
    names = {path.name for path in result.desk.folder.rglob("*")}
    assert names <= {"ticketgate.db", "ticketgate.db-wal", "ticketgate.db-shm", "lmtp.sock"}, names


def shown(result: Result) -> str:
    """The text agents see: of the entry and of the mail that tells them."""
    told = [sent.text for sent in result.desk.to_agents() if sent.mail.ticket == result.row.ticket]
    assert told, "nobody was told"
    return "\n".join([result.entry_text, *told])


def read(result: Result) -> Message:
    return result.findings.message


def readable_anywhere(result: Result, word: str) -> bool:
    """In the text, or in an attachment that is listed."""
    files = [attachment for attachment in read(result).attachments if word.encode() in attachment.content]
    listed = {name for _, event in result.desk.entries(result.row) for name in event.attachments}
    return word in result.entry_text or any(attachment.name in listed for attachment in files)


@sentence("shown as truncated or unreadable, with the original")
def _(result: Result) -> None:
    assert read(result).unreadable
    assert result.desk.raw(result.row) == result.raw
    assert "original" in shown(result).lower()
    assert any("original" in name for _, event in result.desk.entries(result.row) for name in event.attachments)


@sentence("at most 1000 parts listed")
def _(result: Result) -> None:
    assert len(read(result).attachments) <= 1000


@sentence("found by the preflight, before any parser runs")
def _(result: Result) -> None:
    """By counting: of such a header only the first fields are looked at, and its reader did not die of it."""
    assert sum(map(len, read(result).fields.values())) <= 50
    assert result.desk.cage.deaths == 0 or result.findings.body.source != "unreadable"
    assert parse(result.raw).unreadable == read(result).unreadable != ""


@sentence("'could not be read', original attached")
def _(result: Result) -> None:
    assert "could not be read" in shown(result)
    assert any("original" in name for _, event in result.desk.entries(result.row) for name in event.attachments)
    assert result.desk.raw(result.row) == result.raw


@sentence("100 addresses used, the rest is in the original")
def _(result: Result) -> None:
    assert len((*read(result).to, *read(result).cc)) == 100
    assert b"a3999@x.test" in (result.desk.raw(result.row) or b"")


@sentence("the part is listed under a safe name")
def _(result: Result) -> None:
    (attachment,) = read(result).attachments
    assert attachment.content.strip() == b"x"
    assert 0 < len(attachment.name.encode()) <= 150 and not set(attachment.name) & set("/\\:\0")


@sentence("the text 'hello' is shown")
def _(result: Result) -> None:
    assert "hello" in result.entry_text and "hello" in shown(result)


@sentence("a defect is listed")
def _(result: Result) -> None:
    assert read(result).defects
    assert result.row.story["defects"] == list(read(result).defects)


@sentence("an answer carries no broken In-Reply-To")
async def _(result: Result) -> None:
    answer = await agent_answers(result.desk, ticket=result.row.ticket)
    assert "[a@b" not in f"{answer.parsed['In-Reply-To']} {answer.parsed['References']}"


@sentence("the text is shown, with replacement characters where needed")
def _(result: Result) -> None:
    wanted = {"undefined": "hi", "zlib": "hi", "rare": "", "idna": "aaaa", "punycode": "aaaa"}[result.case.variant]
    assert result.entry_text.strip() and wanted in result.entry_text
    assert not read(result).unreadable


@sentence("no file outside the store")
def _(result: Result) -> None:
    assert_nothing_written(result)
    names = [name for _, event in result.desk.entries(result.row) for name in event.attachments]
    assert not any(".." in name or "/" in name for name in names), names


@sentence("every leaf is listed: 'one' and 'two' can be read")
def _(result: Result) -> None:
    for word in ("one", "two"):
        assert readable_anywhere(result, word), (word, result.entry_text, read(result).attachments)
    if result.case.variant != "empty":  # where no line can be a border the whole body is one text
        assert result.entry_text.split() == ["one", "two"], "something else than the two leaves was taken for one"


@sentence("the word IMPORTANT can be read or fetched from the entry")
def _(result: Result) -> None:
    assert readable_anywhere(result, "IMPORTANT")


@sentence("an entry exists, the original can be fetched")
def _(result: Result) -> None:
    assert result.desk.raw(result.row) == result.raw
    assert result.row.story["explanation"]


@sentence("shown with an empty body")
def _(result: Result) -> None:
    assert not result.entry_text.strip()
    assert "(no text)" in shown(result)


@sentence("sorted and shown by time of reception")
def _(result: Result) -> None:
    assert "hello" in result.entry_text and not read(result).unreadable
    ticket = result.desk.ticket(result.row.ticket)
    assert ticket.created_at == NOW and {event.at for event in ticket.events} == {NOW}
    assert result.row.envelope.received_at == NOW


@sentence("no timer is computed from Date")
def _(result: Result) -> None:
    timers = [timer for plan in result.played.plans for timer in plan.timers]
    assert timers and all(NOW < timer.due_at < NOW.replace(day=30) for timer in timers)
