"""adv-33 to adv-45, adv-77: who may write to a ticket, what a token is worth, machines, reports, acknowledgements."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.store import tickets
from tests.adversarial.judging import Played, Result, check_sentences, judge, sentence
from tests.adversarial.playing import give, make, play_and_judge, put_in, recipient_of
from tests.adversarial.rows import Case, cases, fill, message
from tests.support.desk import AGENT_X, AGENT_Y, ANN, ANNS, CAST, EVIL, NOW, Desk, Sent, plain_mail, signed

_USUAL = ("adv-33..37", "adv-42", "adv-43")


@pytest.mark.parametrize("case", cases(*_USUAL), ids=str)
async def test_adv(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


async def agent_answers(desk: Desk, text: str = "This is the answer.", ticket: int = ANNS) -> Sent:
    """Agent X answers a ticket; the mail that goes to its customer."""
    known = len(desk.outbox())
    number = len(desk.rows()) + 100
    mail = plain_mail(AGENT_X, "Re: hello", text, number, desk.now)
    await desk.send(signed(mail, "corp.test", desk.now), recipient=desk.agents_token(ticket, 1))
    assert desk.plans[-1].outcome == "answer", desk.plans[-1]
    answers = [sent for sent in desk.outbox()[known:] if sent.mail.kind == "answer"]
    assert answers
    return answers[-1]


@sentence("participants of 4827 unchanged")
def _(result: Result) -> None:
    assert [person.address for person in result.desk.ticket(ANNS).participants] == [ANN]


@sentence("no mail to evil@evil.test, now or later")
async def _(result: Result) -> None:
    desk = result.desk
    answer = await agent_answers(desk)
    assert answer.mail.recipient == ANN
    for sent in desk.outbox():
        assert sent.mail.recipient != EVIL
        assert EVIL not in f"{sent.parsed['To']} {sent.parsed['Cc']} {sent.parsed['Reply-To']}"


@sentence("marked 'possible follow-up of #4827'")
def _(result: Result) -> None:
    offers = result.desk.to_agents()
    assert offers
    for sent in offers:
        assert "possible follow-up of #4827" in sent.text


@sentence("4827 unchanged")
def _(result: Result) -> None:
    assert ANNS not in result.desk.changed()
    assert result.desk.ticket(ANNS).last_event == 5


@sentence("ann never sees it")
async def _(result: Result) -> None:
    desk = result.desk
    assert not desk.to_outsiders()
    (number, event) = desk.entries(result.row)[0]
    assert number == ANNS and not event.public
    answer = await agent_answers(desk)
    assert "hello\n" not in answer.text and "no-reply@evil.test" not in answer.text


@sentence("never attributed to ann")
def _(result: Result) -> None:
    assert all(event.party != 31 for _, event in result.desk.entries(result.row))
    for sent in result.desk.to_agents():
        assert ANN not in str(sent.parsed["From"]) and "says it is from ann" not in sent.text


@sentence("a bad token counts as no token")
def _(result: Result) -> None:
    assert result.desk.ticket(result.row.ticket).customer.address == ANN  # type: ignore[union-attr]
    assert "follows" not in " ".join(sent.text for sent in result.desk.to_agents())


@sentence("agent_y gets one notice with agent_y's own tokens")
def _(result: Result) -> None:
    (sent,) = result.desk.outbox()
    assert (sent.mail.recipient, sent.mail.party) == (AGENT_Y, 2)
    keys = result.desk.settings.keys
    tags = re.findall(r"support\+([a-z0-9-]+)@desk\.test", sent.mail.content.decode().lower())
    assert tags
    for tag in tags:
        token = keys.read_tag(tag)
        assert token is not None and token.party == 2


@sentence("nothing says agent_x wrote it")
def _(result: Result) -> None:
    desk = result.desk
    assert all(event.party == 2 for _, event in desk.entries(result.row))
    assert not any("Alex" in f"{sent.parsed['From']}{sent.text}" for sent in desk.outbox())


# ------------------------------------------------------------------ adv-38: forms of a token address


@pytest.mark.parametrize("case", [c for c in cases("adv-38") if c.variant != "flipped"], ids=str)
async def test_adv_38(desk: Desk, case: Case) -> None:
    address, played = desk.token("TA"), Played()
    local, _, domain = address.partition("@")
    raw = make(case, desk)
    if case.variant in ("cc-only", "resent-to-only"):
        field = "Cc" if case.variant == "cc-only" else "Resent-To"
        raw = signed(f"{field}: {address}\r\n".encode() + message(case, desk), "customer.test")
        receipt = await desk.receive(desk.imap_envelope(), raw)
        assert not receipt.duplicate
        played.raws.append(raw)
        played.plans += await desk.work()
    else:
        recipient = {
            "upper-case": address.upper(),
            "bcc": address,
            "quoted": f'"{local}"@{domain}',
            "kind-changed": address.replace("+tk-", "+ak-"),
        }[case.variant]
        assert address not in raw.decode()
        await put_in(desk, case, played, raw, recipient=recipient)
    judge(result := Result(desk, case, played))
    await check_sentences(result)


@pytest.mark.parametrize("case", [c for c in cases("adv-38") if c.variant == "flipped"], ids=str)
async def test_adv_38_flipped(desk: Desk, case: Case) -> None:
    """One mail for each character of the MAC; each with a Message-ID of its own, else the second were a repeat."""
    address, played, alphabet = desk.token("TA"), Played(), "abcdefghijklmnopqrstuvwxyz234567"
    start = address.index("@") - 16
    for position in range(start, start + 16):
        following = alphabet[(alphabet.index(address[position]) + 1) % 32]
        flipped = address[:position] + following + address[position + 1 :]
        raw = signed(message(case, desk).replace(b"<adv@", f"<adv-{position}@".encode()), "customer.test")
        await put_in(desk, case, played, raw, recipient=flipped)
    right = signed(message(case, desk).replace(b"<adv@", b"<right@"), "customer.test")
    result = Result(desk, replace_expect(case, rows=16), played)
    judge(result)
    assert all(plan.outcome == "new" for plan in played.plans)
    result.seen["right"] = await desk.send(right, recipient=address)
    await check_sentences(result)


def replace_expect(case: Case, **values: object) -> Case:
    return replace(case, expect=dict(case.expect) | values)


@sentence("reply is the same 250 text form as for the right token")
def _(result: Result) -> None:
    forms = {re.sub(r"\d+$", "N", reply.text) for reply in (*result.played.replies, result.seen["right"])}
    assert len(forms) == 1, forms


@sentence("a quoted local part is no token")
def _(result: Result) -> None:
    assert ANNS not in result.desk.changed()
    assert result.row.envelope.recipient.startswith('"')


# ------------------------------------------------------------------ adv-40, 41: commands


@pytest.mark.parametrize("case", cases("adv-40"), ids=str)
@pytest.mark.parametrize("who", ["evil", "y"])
async def test_adv_40(desk: Desk, case: Case, who: str) -> None:
    """As written, and with an agent's name that #assign would accept: "evil" alone could be refused for its own sake."""
    fields = dict(case.fields) | {"raw": case.get("raw").replace("evil", who)}
    case = replace_expect(replace(case, fields=fields), effects=1, mails_out=1)
    played = Played()
    await put_in(desk, case, played, make(case, desk))
    result = Result(desk, case, played)
    if played.plans[-1].outcome == "hold":  # in doubt it is held, which executes nothing either
        result.case = replace_expect(case, effects=0, mails_out=0)
        assert played.plans[-1].reason in ("cut-line", "html-command"), played.plans[-1]
    judge(result)
    await check_sentences(result)


@sentence("#assign is not executed")
def _(result: Result) -> None:
    desk = result.desk
    assert not any(event.kind == "assign" for event in desk.ticket(ANNS).events)
    assert not any(sent.mail.kind == "assigned" for sent in desk.outbox())
    assert not any(plan.reason in ("who", "command") for plan in result.played.plans)


@sentence("owner of 4827 unchanged")
def _(result: Result) -> None:
    owner = result.desk.ticket(ANNS).owner
    assert owner is not None and owner.address == AGENT_X


@pytest.mark.parametrize("case", cases("adv-41"), ids=str)
async def test_adv_41(desk: Desk, case: Case) -> None:
    from gateway import pipeline

    raw, played = make(case, desk), Played()
    played.raws.append(raw)
    played.replies.append(await desk.deliver(raw, recipient_of(case, desk)))
    (mail,) = await desk.claim()
    findings = await pipeline.read(mail, desk.cage, desk.dns)
    people = dict(desk.settings.agents)
    people["x"] = replace(people["x"], enabled=False)
    desk.settings = replace(desk.settings, agents=people)
    await desk.database.write(lambda tx: tickets.ensure_agents(tx, desk.settings))
    played.plans.append(await desk.record(mail, findings))
    judge(result := Result(desk, case, played))
    await check_sentences(result)
    assert [sent.mail.recipient for sent in desk.outbox()] == [AGENT_Y], "somebody who still works here must see it"


@sentence("4827 stays open")
def _(result: Result) -> None:
    assert result.desk.ticket(ANNS).state == "waiting"


# ------------------------------------------------------------------ adv-42: machines


@sentence("stored and visible")
def _(result: Result) -> None:
    assert result.desk.raw(result.row) == result.raw
    assert result.entry_text.strip()


@sentence("no automatic answer")
def _(result: Result) -> None:
    assert not result.desk.to_outsiders()


@sentence("4827 stays closed")
def _(result: Result) -> None:
    assert result.desk.ticket(ANNS).state == "closed"


@sentence("no acknowledgement")
def _(result: Result) -> None:
    assert not any(sent.mail.kind == "ack" for sent in result.desk.outbox())


__all__ = ["CAST", "NOW", "fill", "give", "timedelta"]
