"""adv-33 to adv-45, adv-77: who may write to a ticket, what a token is worth, machines, reports, acknowledgements."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from gateway import pipeline
from gateway.model import OutboundMail
from gateway.store import deliveries, tickets
from tests.adversarial.judging import Played, Result, check_sentences, judge, sentence
from tests.adversarial.playing import closed, make, play_and_judge, put_in, recipient_of
from tests.adversarial.rows import Case, cases, message
from tests.support.desk import AGENT_X, AGENT_Y, ANN, ANNS, EVIL, Desk, Sent, plain_mail, signed

_USUAL = ("adv-33..37", "adv-42", "adv-43")


@pytest.mark.parametrize("case", cases(*_USUAL), ids=str)
async def test_adv(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


async def agent_answers(desk: Desk, text: str = "This is the answer.", ticket: int = ANNS) -> Sent:
    """Agent X answers a ticket; the mail that goes to its customer."""
    known, plans = len(desk.outbox()), len(desk.plans)
    number = len(desk.rows()) + 100
    mail = plain_mail(AGENT_X, "Re: hello", text, number, desk.now)
    await desk.send(signed(mail, "corp.test", desk.now), recipient=desk.agents_token(ticket, 1))
    assert "answer" in [plan.outcome for plan in desk.plans[plans:]], desk.plans[plans:]
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
    """As written, and with an agent's name that #assign accepts: "evil" alone could be refused for its own sake."""
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


# ------------------------------------------------------------------ adv-44: delivery reports


def report_of(mail: OutboundMail) -> bytes:
    """A delivery report as an MTA makes it, with the right headers of a mail of ours."""
    returned = mail.content.partition(b"\r\n\r\n")[0]
    return (
        b"From: MAILER-DAEMON@mx.customer.test\r\nTo: support@desk.test\r\n"
        b"Subject: Undelivered Mail Returned to Sender\r\n"
        b"Date: Mon, 23 Nov 2026 09:58:00 +0000\r\nMessage-ID: <report@mx.customer.test>\r\nMIME-Version: 1.0\r\n"
        b"Auto-Submitted: auto-replied\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n"
        b"--r\r\nContent-Type: text/plain\r\n\r\nI could not deliver your message.\r\n"
        b"--r\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.customer.test\r\n\r\n"
        b"Final-Recipient: rfc822; ann@customer.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
        b"--r\r\nContent-Type: text/rfc822-headers\r\n\r\n" + returned + b"\r\n--r--\r\n"
    )


@pytest.mark.parametrize("case", cases("adv-44"), ids=str)
async def test_adv_44(desk: Desk, case: Case) -> None:
    await closed(desk)
    desk.mark()
    answer = next(sent.mail for sent in desk.outbox(everything=True) if sent.mail.kind == "answer")
    bounces = answer.reverse_path
    last = bounces.index("@") - 1
    wrong = bounces[:last] + ("a" if bounces[last] != "a" else "b") + bounces[last + 1 :]
    recipient = {"plain-address": "support@desk.test", "bounce-address-wrong-mac": wrong, "genuine": bounces}
    raw, played, states = report_of(answer), Played(), desk.delivery_states()
    played.raws.append(raw)
    played.replies.append(await desk.deliver(raw, recipient[case.variant], ""))
    played.plans += await desk.work()
    result = Result(desk, case, played, {"states": states, "answer": answer})
    judge(result)
    await check_sentences(result)


def deliveries_before(result: Result) -> dict[int, tuple[str, str]]:
    """The deliveries of before, as they are now."""
    before: dict[int, tuple[str, str]] = result.seen["states"]
    return {number: state for number, state in result.desk.delivery_states().items() if number in before}


@sentence("delivery state unchanged")
def _(result: Result) -> None:
    assert deliveries_before(result) == result.seen["states"]


@sentence("ann is not flagged or disabled")
async def _(result: Result) -> None:
    assert [person.address for person in result.desk.ticket(ANNS).participants] == [ANN]
    assert (await agent_answers(result.desk)).mail.recipient == ANN


@sentence("4827 not reopened")
def _(result: Result) -> None:
    ticket = result.desk.ticket(ANNS)
    assert not any(event.kind == "open" for event in ticket.events)
    assert ticket.state == "closed" or ticket.events[-1].kind == "relayed"  # by the agent's answer above


@sentence("shown as unverified report")
def _(result: Result) -> None:
    (number, event) = result.desk.entries(result.row)[0]
    assert (number, event.kind, event.public) == (ANNS, "unverified-report", False)
    shown = [sent for sent in result.desk.to_agents() if "UNVERIFIED REPORT" in sent.text]
    assert [sent.mail.recipient for sent in shown] == [AGENT_X], "the author of the answer must see it"


@sentence("that delivery is failed, its author is told")
def _(result: Result) -> None:
    answer: OutboundMail = result.seen["answer"]
    (entry,) = result.desk.look(lambda tx: deliveries.find_of_event(tx, ANNS, answer.event, 31))
    assert entry.state == "failed" and "5.1.1" in entry.reply
    (told,) = result.desk.to_agents()
    assert told.mail.recipient == AGENT_X and "no such user" in told.text


@sentence("no other delivery changes")
def _(result: Result) -> None:
    now = deliveries_before(result)
    differ = [number for number, state in result.seen["states"].items() if now[number] != state]
    assert len(differ) == 1


# ------------------------------------------------------------------ adv-45: a thousand victims


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", cases("adv-45"), ids=str)
async def test_adv_45(desk: Desk, case: Case) -> None:
    played, proven = Played(), case.variant == "one-proven-author"
    async with desk.session() as client:
        for number in range(1, 1001):
            author = ANN if proven else f"victim{number}@victim.test"
            raw = plain_mail(author, "BUY NOW http://evil.test", f"Offer {number}", number)
            raw = signed(raw, "customer.test") if proven else raw
            if number in (1, 1000):
                played.raws.append(raw)
            reply = await client.deliver(raw)
            assert reply.code == 250
    while mails := await desk.claim(100):
        read = await asyncio.gather(*(pipeline.read(mail, desk.cage, desk.dns) for mail in mails))
        # Asked for together they share commits, in this order.
        played.plans += await asyncio.gather(*(desk.record(*pair) for pair in zip(mails, read, strict=True)))
    rows = desk.rows()
    assert len(rows) == case.expect["rows"]
    assert {desk.raw(row) for row in rows} >= set(played.raws)
    outside = desk.to_outsiders()
    assert len(outside) == case.expect["mails_out"], [sent.mail.recipient for sent in outside[:5]]
    assert not desk.changed()
    result = Result(desk, case, played)
    if not proven:
        assert {(row.outcome, row.reason, row.opened) for row in rows} == {("new", "new-unproven", True)}
    await check_sentences(result)


@sentence("one acknowledgement")
def _(result: Result) -> None:
    (sent,) = result.desk.to_outsiders()
    assert (sent.mail.kind, sent.mail.recipient) == ("ack", ANN)


@sentence("its body is the same for any inbound mail except reference and reply address")
async def _(result: Result) -> None:
    desk = result.desk
    other = plain_mail("Ben Bold <ben@other.test>", "Quite another subject", "Quite another text.", 5000)
    await desk.send(signed(other, "other.test"))
    first, second = [sent for sent in desk.to_outsiders() if sent.mail.kind == "ack"]
    assert second.mail.recipient == "ben@other.test"
    assert "BUY" not in first.text and "evil" not in first.text

    def without_reference(sent: Sent) -> str:
        return re.sub(r"\b\d+-[a-z2-7]{4}\b", "REFERENCE", sent.text)

    assert without_reference(first) == without_reference(second)


@sentence("from the 31st in an hour on: quarantine")
def _(result: Result) -> None:
    rows = [row for row in result.rows if row.author == ANN]
    assert [row.outcome for row in rows[:30]] == ["new"] * 30
    assert {(row.state, row.outcome, row.reason) for row in rows[30:]} == {("held", "hold", "flood")}


# ------------------------------------------------------------------ adv-77: our own addresses


@pytest.mark.parametrize("case", cases("adv-77"), ids=str)
@pytest.mark.parametrize("first", [0, 1])
async def test_adv_77(desk: Desk, case: Case, first: int) -> None:
    raw, recipients = make(case, desk), ["support@desk.test", "sales@desk.test"]
    if case.variant == "plain-and-token":
        recipients[1] = desk.token("TA")
        plain = message(case, desk).replace(b"SUPPORT@desk.test", recipients[1].encode())
        raw = signed(plain, "customer.test", h=case.get("sign")[0]["h"])
    played = Played()
    for recipient in (recipients[first], recipients[1 - first]):
        await put_in(desk, case, played, raw, recipient=recipient)
    result = Result(desk, case, played)
    judge_siblings(result)
    await check_sentences(result)


def judge_siblings(result: Result) -> None:
    """Two rows, of which the first or the second is the entry: the rest of ``expect`` as ever."""
    desk, expect = result.desk, result.case.expect
    assert len(result.rows) == expect["rows"]
    assert all(desk.raw(row) == result.raw for row in result.rows)
    assert len(desk.changed()) == expect["effects"], [plan.explanation for plan in result.played.plans]
    assert len(desk.to_outsiders()) == expect["mails_out"], [s.mail.kind for s in desk.to_outsiders()]


@sentence("every envelope recipient has its row")
def _(result: Result) -> None:
    assert {row.envelope.recipient for row in result.rows} == {"support@desk.test", "sales@desk.test"}


@sentence("one ticket with two recipients, one entry")
def _(result: Result) -> None:
    numbers = {row.ticket for row in result.rows}
    assert len(numbers) == 1 and not numbers & set(result.desk.before.tickets)
    entries = [event for row in result.rows for _, event in result.desk.entries(row)]
    assert sorted(event.kind for event in entries) == ["mail", "sibling"]


@sentence("none of our addresses is a participant of any ticket")
def _(result: Result) -> None:
    for number in result.desk.numbers():
        ticket = result.desk.ticket(number)
        people = [person.address for person in ticket.participants]
        assert not any(result.desk.settings.is_own_address(address) for address in people)


@sentence("one entry in 4827, no new ticket")
def _(result: Result) -> None:
    desk = result.desk
    assert set(desk.numbers()) == set(desk.before.tickets), [p.explanation for p in result.played.plans]
    entries = [(number, event) for row in result.rows for number, event in desk.entries(row)]
    assert {number for number, _ in entries} == {ANNS}
    assert [event.kind for _, event in entries if event.kind != "sibling"] == ["mail"]
