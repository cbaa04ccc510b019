"""adv-73, adv-74: what is the same mail, and what only looks like it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import ImapPosition
from tests.adversarial.judging import Played, Result, check_sentences, judge, sentence
from tests.adversarial.playing import make, put_in
from tests.adversarial.rows import MACROS, Case, cases
from tests.support.desk import ANN, EVIL, Desk, signed


def mail(author: str, message_id: str, text: str) -> bytes:
    """A mail with this author, Message-ID ("" none) and text."""
    head = MACROS["hdr"].replace(
        "Message-ID: <adv@sender.test>\r\n", f"Message-ID: {message_id}\r\n" if message_id else ""
    )
    return f"From: {author}\r\n{head}{MACROS['text']}{text}\r\n".encode()


@pytest.mark.parametrize("case", cases("adv-73"), ids=str)
async def test_adv_73(desk: Desk, case: Case) -> None:
    same = "<same@customer.test>"
    raws = {
        "same-id-other-body": [(ANN, same, "one"), (ANN, same, "two")],
        "attacker-first": [(EVIL, same, "one"), (ANN, same, "two")],
        "no-id": [(ANN, "", "one"), (ANN, "", "two")],
    }[case.variant]
    played = Played()
    for author, message_id, text in raws:
        raw = mail(author, message_id, text)
        raw = raw if case.get("sign") == [] else signed(raw, author.partition("@")[2], h="from:subject:date:message-id")
        await put_in(desk, case, played, raw)
    judge(result := Result(desk, case, played))
    assert {plan.outcome for plan in played.plans} == {"new"}
    await check_sentences(result)
    if not case.checks:  # the row's own sentence holds for mail without an id, too
        both_visible(result)


def both_visible(result: Result) -> None:
    texts = [event.text for row in result.rows for _, event in result.desk.entries(row)]
    assert texts == ["one", "two"]
    told = [sent.text for sent in result.desk.to_agents()]
    assert any("one" in text for text in told) and any("two" in text for text in told)


@sentence("two entries, both visible, marked")
def _(result: Result) -> None:
    both_visible(result)
    marked = [sent for sent in result.desk.to_agents() if "same Message-ID" in " ".join(sent.text.split())]
    assert {sent.mail.ticket for sent in marked} == {result.row.ticket}


@sentence("ann's mail is not lost")
def _(result: Result) -> None:
    both_visible(result)
    customer = result.desk.ticket(result.row.ticket).customer
    assert customer is not None and customer.address == ANN
    assert {sent.mail.recipient for sent in result.desk.to_outsiders()} == {ANN, EVIL}


@pytest.mark.parametrize("case", cases("adv-74"), ids=str)
async def test_adv_74(desk: Desk, case: Case) -> None:
    raw, played = make(case, desk), Played()
    for uid in (1, 2):
        if case.variant == "lmtp":
            await put_in(desk, case, played, raw)
        else:
            position = ImapPosition(account="support", folder="INBOX", uidvalidity=7, uid=uid)
            await desk.receive(replace(desk.imap_envelope(), position=position), raw)
            played.raws.append(raw)
            played.plans += await desk.work()
    result = Result(desk, case, played)
    if case.variant == "imap-new-uid":
        # Two positions of one arrival: this store keeps them beside the row, not as a second one (14.2: "marked
        # duplicate, no effect"; see docs/decisions).
        positions = desk.look(lambda tx: tx.exec_driver_sql("SELECT uid, journal FROM imap_positions").all())
        assert [uid for uid, _ in positions] == [1, 2] and len({row for _, row in positions}) == 1
        assert len(positions) == case.expect["rows"]
        result.case = replace(case, expect=dict(case.expect) | {"rows": 1})
    judge(result)
    await check_sentences(result)


@sentence("both deliveries get 250")
def _(result: Result) -> None:
    assert [reply.code for reply in result.played.replies] == [250, 250]


@sentence("one entry", "one entry; the second row is a duplicate without effect")
def _(result: Result) -> None:
    assert len(result.played.plans) == 1
    assert len(result.desk.entries(result.row)) == 1
