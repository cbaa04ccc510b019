"""Putting a row's input in: what ``given``, ``sign``, ``after`` and ``input`` say in words, as code."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from gateway.analysis.examine import examine, examine_authentication
from gateway.model import DnsAnswer
from gateway.settings import Tickets
from gateway.store.schema import participants, persons
from gateway.store.schema import tickets as tickets_table
from gateway.threading.subjects import canonical_subject
from tests.adversarial.judging import Played, Result, check_sentences, judge
from tests.adversarial.rows import Case, add_signatures, fill, key_of, message
from tests.support.desk import ANN, ANNS, NOW, Desk, cage_rules, plain_mail, signed
from tests.support.signing import key_record, replace_signature, rsa_key, seal, signature_value

INJECTED = canonical_subject("a Bcc: evil@evil.test")
Given = Callable[[Desk], Awaitable[None]]
After = Callable[[bytes], bytes]


async def play(desk: Desk, case: Case) -> Result:
    """The usual road: prepare, make the bytes, deliver them over LMTP (or what ``via`` says), decide."""
    played = Played()
    await give(desk, case)
    desk.mark()
    raw = make(case, desk)
    await put_in(desk, case, played, raw)
    return Result(desk, case, played)


async def put_in(desk: Desk, case: Case, played: Played, raw: bytes, **changes: str) -> None:
    """Deliver one mail of a row and decide it."""
    recipient = changes.get("recipient") or recipient_of(case, desk)
    null = case.get("input") == "MAIL FROM:<>"
    reverse_path = "" if null else "bounce@sender.test"
    protocol = "smtp" if case.get("via") == "smtp" else "lmtp"
    played.raws.append(raw)
    played.replies.append(await desk.deliver(raw, recipient, reverse_path, protocol))
    if "others_reply_s" in case.expect:
        await _work_beside_others(desk, case, played)
    else:
        played.plans += await desk.work()
    if "max_cpu_s" in case.expect:
        played.cpu_s = await _cpu_seconds(desk, raw)


async def _work_beside_others(desk: Desk, case: Case, played: Played) -> None:
    """Decide the row's mail; meanwhile other people's mail must get its reply and be filed within the row's ceilings.

    The best of three replies counts: a busy machine may delay one, an intake that waits for a reader delays them all.
    """
    expect, clock = case.expect, asyncio.get_running_loop().time
    hostile = [asyncio.create_task(desk.process(mail)) for mail in await desk.claim()]
    replies = []
    for number in range(3):
        began = clock()
        other = plain_mail("joe@elsewhere.test", f"order {number}", f"Order {number}, please.", 70 + number)
        assert (await desk.deliver(other)).code == 250
        replies.append(clock() - began)
    assert min(replies) < expect["others_reply_s"], replies
    mails = await desk.claim()
    async with asyncio.timeout(expect.get("others_filed_s", 60)):
        others = await asyncio.gather(*(desk.process(mail) for mail in mails))
    assert [plan.outcome for plan in others] == ["new"] * 3
    played.others |= {mail.id for mail in mails}
    played.plans += await asyncio.gather(*hostile)


async def _cpu_seconds(desk: Desk, raw: bytes) -> float:
    """CPU time of reading one mail, measured where it can be: in this process."""
    envelope, rules = desk.imap_envelope(), cage_rules(desk.settings)
    records: dict[str, DnsAnswer] = {}
    began = time.process_time()
    findings = examine(raw, envelope, records, rules)
    while findings.needs:
        records |= await desk.dns.resolve(findings.needs)
        findings = examine_authentication(raw, envelope, records, rules)
    return time.process_time() - began


async def play_and_judge(desk: Desk, case: Case) -> Result:
    """The usual road and everything the row expects."""
    result = await play(desk, case)
    judge(result)
    await check_sentences(result)
    return result


def recipient_of(case: Case, desk: Desk) -> str:
    return fill(case.get("recipient", "support@desk.test"), desk)


def make(case: Case, desk: Desk) -> bytes:
    """The bytes of a row: message, signatures, and what is changed afterwards."""
    raw = message(case, desk)
    raw = add_signatures(raw, case)
    after = AFTER.get(str(case)) or AFTER.get(case.id.replace("-", "_"))
    return after(raw) if after else raw


async def give(desk: Desk, case: Case) -> None:
    """What ``given`` says."""
    for name in dict.fromkeys((case.id.replace("-", "_"), str(case))):
        if name in _GIVEN:
            await _GIVEN[name](desk)


# ------------------------------------------------------------------ given


def _key(selector: str, record: str, domain: str = "customer.test") -> Given:
    async def publish(desk: Desk) -> None:
        desk.dns.zone[f"{selector}._domainkey.{domain}"] = {"TXT": [record]}

    return publish


def _error(name: str, error: str) -> Given:
    async def fail(desk: Desk) -> None:
        desk.dns.zone[name] = {"error": error}

    return fail


async def _ann_moves_to_eu(desk: Desk) -> None:
    await _error("_dmarc.eu.customer.test", "SERVFAIL")(desk)
    with desk.database.begin() as tx:
        tx.execute(sa.update(persons).where(persons.c.party == 31).values(address="ann@eu.customer.test"))


async def _ann_removed(desk: Desk) -> None:
    """Another person is the customer of 4827 now."""
    with desk.database.begin() as tx:
        tx.execute(sa.insert(persons), {"address": "carl@else.test", "name": "", "agent": "", "known": False})
        carl = tx.execute(sa.select(persons.c.party).where(persons.c.address == "carl@else.test")).scalar_one()
        tx.execute(sa.update(participants).where(participants.c.ticket == ANNS).values(party=carl))
        tx.execute(sa.update(tickets_table).where(tickets_table.c.number == ANNS).values(customer=carl))


async def _new_ticket_for_strangers(desk: Desk) -> None:
    desk.settings = replace(desk.settings, tickets=Tickets(first_number=ANNS, unknown_participant="new-ticket"))


async def closed(desk: Desk) -> None:
    """Agent X closed 4827, by mail."""
    mail = plain_mail("agent@corp.test", "Re: hello", "#close", 90, NOW - timedelta(days=1))
    now, desk.now = desk.now, NOW - timedelta(days=1)
    await desk.send(signed(mail, "corp.test", desk.now), recipient=desk.agents_token(ANNS, 1))
    await desk.sent_all()
    desk.now = now
    assert desk.ticket(ANNS).state == "closed"


async def _same_subject(desk: Desk) -> None:
    """The cast does not say what 4827 is about: it is about what this mail says, else its token were taken for an
    address out of an address book (mail.md 8). So the subject of our answer is the attacker's, too.
    """
    with desk.database.begin() as tx:
        tx.execute(sa.update(tickets_table).where(tickets_table.c.number == ANNS).values(subject=INJECTED))


async def _slow_dns(desk: Desk) -> None:
    desk.dns.delay = 2.0


_GIVEN: dict[str, Given] = {
    "adv_18/key-lists-sha1-only": _key("h1", key_record("rsa2048:customer", "v=DKIM1; k=rsa; h=sha1")),
    "adv_19/512": _key("k512", key_record("rsa512")),
    "adv_19/768": _key("k768", key_record("rsa768")),
    "adv_19/1024-agent": _key("k1024", key_record("rsa1024"), "corp.test"),
    "adv_22": _key("ty", key_record("rsa2048:customer", "v=DKIM1; k=rsa; t=y")),
    "adv_23": _key("st", key_record("rsa2048:customer", "v=DKIM1; k=rsa; t=s")),
    "adv_24": _key("rv", "v=DKIM1; k=rsa; p="),
    "adv_26": _key("s2", key_record("rsa2048:customer")),
    "adv_27": _slow_dns,
    "adv_29/key-servfail": _error("s1._domainkey.customer.test", "SERVFAIL"),
    "adv_29/key-timeout": _error("s1._domainkey.customer.test", "TIMEOUT"),
    "adv_29/dmarc-servfail-relaxed": _ann_moves_to_eu,
    "adv_29/dmarc-servfail-exact": _error("_dmarc.customer.test", "SERVFAIL"),
    "adv_29/recovers": _error("s1._domainkey.customer.test", "SERVFAIL"),
    "adv_29/agent": _error("s1._domainkey.corp.test", "TIMEOUT"),
    "adv_34/new-ticket": _new_ticket_for_strangers,
    "adv_36": _ann_removed,
    "adv_42": closed,
    "adv_46": _same_subject,
}


# ------------------------------------------------------------------ before and after signing


def _replace(old: bytes, new: bytes) -> After:
    def change(raw: bytes) -> bytes:
        assert old in raw
        return raw.replace(old, new, 1)

    return change


def _on_top(line: bytes) -> After:
    return lambda raw: line + b"\r\n" + raw


def _append_part(raw: bytes) -> bytes:
    raw = _replace(b"Content-Type: text/plain; charset=utf-8", b"Content-Type: multipart/mixed; boundary=x")(raw)
    return raw + b"--x\r\n\r\nEVIL\r\n--x--\r\n"


def _break_signature(raw: bytes) -> bytes:
    """Eight characters of the topmost b= overwritten."""
    found = re.search(rb"; b=\s*([A-Za-z0-9+/]{40})", raw)
    assert found
    at = found.start(1) + 16
    return raw[:at] + b"BBBBBBBB" + raw[at + 8 :]


def _refold(raw: bytes) -> bytes:
    value = base64.b64encode(signature_value(raw))
    folded = b"".join(b"\r\n\t" + value[at : at + 60] for at in range(0, len(value), 60))
    return re.sub(rb"; b=[A-Za-z0-9+/=\s]+?\r\n(?![ \t])", lambda _: b"; b=" + folded + b"\r\n", raw, count=1)


def _add_modulus(raw: bytes) -> bytes:
    key = rsa_key(key_of("corp.test"))
    number = int.from_bytes(signature_value(raw), "big") + key.n
    return replace_signature(raw, number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _seal(raw: bytes) -> bytes:
    return seal(raw, "evil.test", "evil.test; dmarc=pass header.from=corp.test", key=key_of("evil.test"))


AFTER: dict[str, After] = {
    "adv_14/from-rewritten": _replace(b"From: boss@customer.test", b"From: ann@customer.test"),
    "adv_15": _replace(b"\r\n\r\nhello\r\n", b"\r\n\r\nEVIL\r\n"),
    "adv_16": _append_part,
    "adv_25/subject": _on_top(b"Subject: close 4828"),
    "adv_25/reply-to": _on_top(b"Reply-To: evil@evil.test"),
    "adv_25/content-type": _on_top(b"Content-Type: text/html"),
    "adv_25/message-id": _on_top(b"Message-ID: <other@evil.test>"),
    "adv_25/to": _on_top(b"To: sales@desk.test"),
    "adv_26/same-domain": _break_signature,
    "adv_30/received-added": _on_top(b"Received: from x by y; Mon, 23 Nov 2026 10:05:00 +0000"),
    "adv_30/b-refolded": _refold,
    "adv_30/trailing-space": _replace(b"#close  \r\n", b"#close \r\n"),
    "adv_30/b-plus-modulus": _add_modulus,
    "adv_32": _seal,
}

__all__ = ["ANN", "closed", "give", "make", "play", "play_and_judge", "put_in", "recipient_of"]
