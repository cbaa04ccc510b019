"""The matrix of agents' authority: what proof, which token, which deed. Only proof and the agent's own token act."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from gateway.reference import Keys
from tests.support.desk import AGENT_X, ANN, ANNS, BENS, Desk, Sent, plain_mail, signed

PROOFS = ("pass", "fail", "none", "temperror")
TOKENS = ("valid", "other-agents", "other-tickets", "revoked", "absent")
DEEDS = {"answer": "This is the answer.", "close": "#close", "assign": "#assign y"}


def proven(raw: bytes, proof: str, desk: Desk) -> bytes:
    """The mail as it arrives with this result of DKIM."""
    if proof == "none":
        return raw
    made = signed(raw, "corp.test")
    if proof == "fail":
        return made.replace(b"\r\n\r\n", b"\r\n\r\nchanged ", 1)
    if proof == "temperror":
        desk.dns.zone["s1._domainkey.corp.test"] = {"error": "SERVFAIL"}
    return made


def addressed(token: str, desk: Desk) -> str:
    """The envelope recipient."""
    keys, last = desk.settings.keys, desk.ticket(ANNS).last_event
    if token == "valid":
        return desk.token("AX")
    if token == "other-agents":
        return desk.token("AY")
    if token == "other-tickets":  # the number of this ticket, the MAC of another
        mac = keys.make_token("a", BENS, last, 1).rpartition("-")[2]
        return f"support+ak-{ANNS}-{last}-1-{mac}@desk.test"
    if token == "revoked":  # made with a key that was retired since
        return f"support+{Keys('j', {'j': bytes(32)}).make_token('a', ANNS, last, 1)}@desk.test"
    return "support@desk.test"


def acted(desk: Desk) -> list[str]:
    """Everything that came of the mail in the world or in a ticket of before."""
    deeds = [f"ticket {number} changed" for number in desk.changed()]
    return deeds + [f"{sent.mail.kind} to {sent.mail.recipient}" for sent in desk.to_outsiders()]


@pytest.mark.parametrize(("proof", "token", "deed"), list(product(PROOFS, TOKENS, DEEDS)))
async def test_only_a_proven_agent_with_the_own_token_acts(desk: Desk, proof: str, token: str, deed: str) -> None:
    subject = "Re: [#4827] hello" if token == "absent" else "Re: hello"
    raw = proven(plain_mail(AGENT_X, subject, DEEDS[deed], 60), proof, desk)
    reply = await desk.send(raw, recipient=addressed(token, desk))
    assert reply.code == 250
    (row,) = desk.rows()
    assert desk.raw(row) == raw
    ticket = desk.ticket(ANNS)
    if (proof, token) != ("pass", "valid"):
        assert acted(desk) == [], row.story["explanation"]
        assert ticket.owner is not None and ticket.owner.address == AGENT_X and ticket.state == "waiting"
        if proof == "temperror":
            assert row.state == "waiting"
        elif proof != "pass":
            assert row.state == "held"
        return
    assert f"ticket {ANNS} changed" in acted(desk)
    if deed == "answer":
        assert answers(desk) == [ANN]
    elif deed == "close":
        assert ticket.state == "closed"
    else:
        assert ticket.owner is not None and ticket.owner.party == 2


def answers(desk: Desk) -> list[str]:
    found: list[Sent] = [sent for sent in desk.to_outsiders() if sent.mail.kind == "answer"]
    return [sent.mail.recipient for sent in found]


async def test_the_same_mail_acts_once_dns_answers(desk: Desk) -> None:
    """Waiting is not refusing: the same command is carried out without a person when the key can be read again."""
    zone = dict(desk.dns.zone)
    raw = proven(plain_mail(AGENT_X, "Re: hello", "#close", 61), "temperror", desk)
    await desk.send(raw, recipient=desk.token("AX"))
    assert acted(desk) == []
    desk.dns.zone = zone
    due = desk.rows()[0].due_at
    assert due is not None
    desk.now = due
    await desk.work()
    assert desk.ticket(ANNS).state == "closed"


async def test_a_disabled_agent_is_no_agent_whatever_the_proof(desk: Desk) -> None:
    people = dict(desk.settings.agents)
    people["x"] = replace(people["x"], enabled=False)
    desk.settings = replace(desk.settings, agents=people)
    for number, text in enumerate(DEEDS.values()):
        raw = proven(plain_mail(AGENT_X, "Re: hello", text, 62 + number), "pass", desk)
        await desk.send(raw, recipient=desk.token("AX"))
    assert acted(desk) == []
    assert {row.reason for row in desk.rows()} == {"agent-token"}


@pytest.mark.parametrize("proof", ["fail", "none"])
async def test_an_unproven_agent_is_held_also_where_the_domain_has_no_policy(desk: Desk, proof: str) -> None:
    """corp.test wants forgeries refused, which alone would hold them; an agent's domain need not say so."""
    desk.dns.zone["_dmarc.corp.test"] = {"TXT": ["v=DMARC1; p=none"]}
    for number, text in enumerate(DEEDS.values()):
        raw = proven(plain_mail(AGENT_X, "Re: hello", text, 66 + number), proof, desk)
        await desk.send(raw, recipient=desk.token("AX"))
    assert acted(desk) == []
    assert {(row.state, row.reason) for row in desk.rows()} == {("held", "agent-unproven")}
