"""Mail held beside a ticket: who hears of it, how often, what an agent can do with it (no row of the table)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.settings import Send
from gateway.store import deliveries
from tests.adversarial.rows import MACROS
from tests.adversarial.test_participants import report_of
from tests.support.desk import AGENT_X, ANN, ANNS, EVIL, Desk, Sent, plain_mail, signed

TWO_AUTHORS = (MACROS["ann"] + MACROS["evil"] + MACROS["rest"]).encode()


def told(desk: Desk) -> list[Sent]:
    return [sent for sent in desk.to_agents() if sent.mail.kind == "unproven"]


# ------------------------------------------------------------------ a header that two programs read in two ways


@pytest.mark.parametrize("token", ["TA", "AX"])
async def test_mail_that_is_nobodys_is_shown_beside_the_ticket_its_address_names(desk: Desk, token: str) -> None:
    await desk.send(TWO_AUTHORS, recipient=desk.token(token))
    (row,) = desk.rows()
    assert (row.state, row.reason, row.ticket) == ("held", "header-ambiguous", ANNS)
    (notice,) = told(desk)
    assert notice.mail.recipient == AGENT_X
    assert "NO CLEAR AUTHOR" in notice.text and "> hello" in notice.text
    assert "ann@customer.test at" not in notice.text.split("-- ")[0] and EVIL not in notice.text
    assert not desk.to_outsiders() and not desk.changed()


async def test_an_agent_who_answers_the_notice_of_nobodys_mail_accepts_it(desk: Desk) -> None:
    await desk.send(TWO_AUTHORS, recipient=desk.token("TA"))
    await desk.sent_all()
    (notice,) = told(desk)
    token = str(notice.parsed["Reply-To"]).rpartition("<")[2].rstrip(">")
    await desk.send(signed(plain_mail(AGENT_X, "Re: hello", "Thank you.", 90), "corp.test"), recipient=token)
    (answer,) = [sent for sent in desk.to_outsiders() if sent.mail.kind == "answer"]
    assert answer.mail.recipient == ANN and "Thank you." in answer.text
    assert [(row.state, row.outcome) for row in desk.rows()[:1]] == [("applied", "file")]
    assert [person.address for person in desk.ticket(ANNS).participants] == [ANN], "nobody joins by it"


async def test_a_stranger_who_only_looks_like_the_customer_is_marked(desk: Desk) -> None:
    await desk.send(plain_mail("ann@custorner.test", "Re: hello", "New account number.", 5), recipient=desk.token("TA"))
    (notice,) = told(desk)
    assert "it only looks like ann@customer.test" in " ".join(notice.text.split())
    desk.mark()
    await desk.send(plain_mail(EVIL, "Re: hello", "Hi.", 6), recipient=desk.token("TA"))
    assert all("looks like" not in notice.text for notice in told(desk))


# ------------------------------------------------------------------ how often


async def test_one_stranger_does_not_use_up_what_is_told_of_another(desk: Desk) -> None:
    for number in range(6):
        raw = signed(plain_mail(EVIL, "Re: hello", f"Number {number}.", number), "evil.test")
        await desk.send(raw, recipient=desk.token("TA"))
    assert len(told(desk)) == 4
    await desk.send(
        signed(plain_mail("ben@other.test", "Re: hello", "I am Ann's colleague.", 50), "other.test"),
        recipient=desk.token("TA"),
    )
    assert "I am Ann's colleague." in told(desk)[-1].text


async def test_a_forger_of_many_names_does_not_hide_whom_the_signature_proves(desk: Desk) -> None:
    for number in range(20):
        author = "ben@other.test" if number < 4 else f"victim{number}@victim.test"
        raw = plain_mail(author, "Re: hello", f"Number {number}.", number)
        await desk.send(raw, recipient=desk.token("TA"))
    assert len(told(desk)) == 12
    await desk.send(
        signed(plain_mail("ben@other.test", "Re: hello", "I am Ann's colleague.", 50), "other.test"),
        recipient=desk.token("TA"),
    )
    assert "I am Ann's colleague." in told(desk)[-1].text
    assert len(told(desk)) == 13


# ------------------------------------------------------------------ delivery reports without a bounce address


async def answered(desk: Desk, envelope: str) -> Sent:
    """Agent X answers under this setting, and the answer leaves."""
    desk.settings = replace(desk.settings, send=Send(envelope=envelope))
    mail = plain_mail(AGENT_X, "Re: hello", "This is the answer.", 60, desk.now)
    await desk.send(signed(mail, "corp.test", desk.now), recipient=desk.agents_token(ANNS, 1))
    await desk.sent_all()
    answer = [sent for sent in desk.outbox() if sent.mail.kind == "answer"][-1]
    desk.mark()
    return answer


def state_of(desk: Desk, answer: Sent) -> str:
    (entry,) = desk.look(lambda tx: deliveries.find_of_event(tx, ANNS, answer.mail.event, 31))
    return str(entry.state)


async def test_a_report_acts_by_our_returned_id_where_the_relay_allows_no_bounce_address(desk: Desk) -> None:
    answer = await answered(desk, "plain")
    assert answer.mail.reverse_path == "support@desk.test"
    states = desk.delivery_states()
    await desk.send(report_of(answer.mail), reverse_path="")
    assert state_of(desk, answer) == "failed"
    now = desk.delivery_states()
    assert sum(now[number] != state for number, state in states.items()) == 1, "that delivery and no other"
    (notice,) = desk.to_agents()
    assert notice.mail.recipient == AGENT_X and "no such user" in notice.text


async def _verp(desk: Desk) -> tuple[Sent, bytes, str]:
    answer = await answered(desk, "verp")
    return answer, report_of(answer.mail), "support@desk.test"


async def _wrong_mac(desk: Desk) -> tuple[Sent, bytes, str]:
    answer = await answered(desk, "plain")
    wrong = answer.mail.message_id.replace("@", "a@").replace(".k", ".ka", 1)[:-1] + ">"
    raw = report_of(answer.mail)
    assert answer.mail.message_id.encode() in raw
    return answer, raw.replace(answer.mail.message_id.encode(), wrong.encode()), "support@desk.test"


async def _only_in_the_text(desk: Desk) -> tuple[Sent, bytes, str]:
    answer = await answered(desk, "plain")
    raw = report_of(answer.mail)
    head, _, _ = raw.partition(b"--r\r\nContent-Type: text/rfc822-headers")
    told = b"I could not deliver your message.\r\nMessage-ID: " + answer.mail.message_id.encode() + b"\r\n"
    return answer, head.replace(b"I could not deliver your message.\r\n", told) + b"--r--\r\n", "support@desk.test"


async def _to_a_customers_address(desk: Desk) -> tuple[Sent, bytes, str]:
    answer = await answered(desk, "plain")
    return answer, report_of(answer.mail), desk.token("TB")


async def _no_report(desk: Desk) -> tuple[Sent, bytes, str]:
    answer = await answered(desk, "plain")
    raw = report_of(answer.mail)
    raw = raw.replace(b"MAILER-DAEMON@mx", b"joe@mx").replace(b"Auto-Submitted: auto-replied\r\n", b"")
    raw = raw.replace(b"report; report-type=delivery-status", b"mixed").replace(
        b"message/delivery-status", b"text/plain"
    )
    return answer, raw.replace(b"Undelivered Mail Returned to Sender", b"look"), "support@desk.test"


@pytest.mark.parametrize("how", [_verp, _wrong_mac, _only_in_the_text, _to_a_customers_address, _no_report])
async def test_else_a_report_changes_no_delivery(desk: Desk, how) -> None:  # type: ignore[no-untyped-def]
    answer, raw, recipient = await how(desk)
    states = desk.delivery_states()
    await desk.send(raw, recipient=recipient, reverse_path="" if how is not _no_report else "joe@mx.customer.test")
    now = desk.delivery_states()
    assert {number: now[number] for number in states} == states
    assert state_of(desk, answer) == "sent"


# ------------------------------------------------------------------ guessing behind a mail server


async def test_after_twenty_wrong_tokens_in_an_hour_mail_with_one_is_quarantined_and_the_admins_are_told(
    desk: Desk,
) -> None:
    general = replace(desk.settings.ticketgate, admin=("root@admin.test",))
    desk.settings = replace(desk.settings, ticketgate=general)
    right = desk.token("TA")
    for number in range(24):
        wrong = right.replace("@", f"{'abcdefghijklmnopqrstuvwxyz'[number]}@")
        raw = plain_mail(f"joe{number}@else{number}.test", f"About {number}", f"Number {number}.", number)
        assert (await desk.send(raw, recipient=wrong)).code == 250
    outcomes = [(row.outcome, row.reason) for row in desk.rows()]
    assert outcomes == [("new", "new-unproven")] * 20 + [("hold", "bad-tokens")] * 4
    alarms = [sent for sent in desk.outbox() if sent.mail.kind == "alert"]
    assert [sent.mail.recipient for sent in alarms] == ["root@admin.test"], "once, not with every mail"
    assert "guess" in alarms[0].text
    desk.mark()
    await desk.send(signed(plain_mail(ANN, "Re: hello", "Still here.", 70), "customer.test"), recipient=right)
    await desk.send(plain_mail("joe@elsewhere.test", "Order", "An order.", 71))
    assert [row.outcome for row in desk.rows()] == ["file", "new"], "right tokens and plain addresses go on"


async def test_a_participants_mail_with_a_wrong_token_beside_the_right_one_is_filed_all_the_same(desk: Desk) -> None:
    right = desk.token("TA")
    wrong = [right.replace("@", f"{letter}@") for letter in "abcdefghijklmnopqrstuvwxyz"]
    for number in range(24):
        await desk.send(
            plain_mail(f"joe{number}@else{number}.test", f"About {number}", f"{number}.", number),
            recipient=wrong[number],
        )
    desk.mark()
    raw = plain_mail(ANN, "Re: hello", "Still here.", 70)
    raw = raw.replace(b"To: support@desk.test", f"To: {right}\r\nCc: {wrong[0]}".encode())
    await desk.send(signed(raw, "customer.test"), recipient=right)
    assert [row.outcome for row in desk.rows()] == ["file"]


async def test_guesses_from_many_clients_are_one_alarm_an_hour(desk: Desk) -> None:
    general = replace(desk.settings.ticketgate, admin=("root@admin.test",))
    desk.settings = replace(desk.settings, ticketgate=general)
    right = desk.token("TA")
    wrong = ", ".join(right.replace("@", f"{letter}@") for letter in "abcdefghijklmnopqrstuvwxyz")
    for number in range(3):
        raw = plain_mail(f"joe@else{number}.test", "Order", f"An order, {number}.", 70 + number)
        raw = raw.replace(b"To: support@desk.test", b"To: " + wrong.encode())
        await desk.receive(replace(desk.imap_envelope(), client_address=f"192.0.2.{number}"), raw)
        await desk.work()
    assert [row.reason for row in desk.rows()] == ["bad-tokens"] * 3
    assert len([sent for sent in desk.outbox() if sent.mail.kind == "alert"]) == 1


async def test_many_wrong_tokens_in_one_mail_count_each(desk: Desk) -> None:
    right = desk.token("TA")
    wrong = ", ".join(right.replace("@", f"{letter}@") for letter in "abcdefghijklmnopqrstuvwxyz")
    raw = plain_mail("joe@elsewhere.test", "Order", "An order.", 70).replace(
        b"To: support@desk.test", b"To: " + wrong.encode()
    )
    assert wrong.encode() in raw
    await desk.send(raw)
    assert [(row.outcome, row.reason) for row in desk.rows()] == [("hold", "bad-tokens")]
