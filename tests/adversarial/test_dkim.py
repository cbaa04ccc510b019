"""adv-14 to adv-32: what proves an author, what DNS may do to it, and mail that comes again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.analysis.authenticate import authenticate
from gateway.analysis.reading_rules import rules_of
from gateway.model import AuthenticationResults, DnsAnswer
from gateway.settings import Authentication
from tests.adversarial.judging import Played, Result, check_sentences, judge, sentence
from tests.adversarial.playing import AFTER, give, make, play, play_and_judge, put_in, recipient_of
from tests.adversarial.rows import Case, add_signatures, cases, message
from tests.support.desk import ANN, ANNS, BENS, NOW, Desk, make_zone, plain_mail, signed, start_cage
from tests.support.signing import sign

_OWN_WAY = ("adv_29/recovers", "adv_32/listed-sealer-agent")


@pytest.mark.parametrize(
    "case", [c for c in cases("adv-14..29", "adv-31", "adv-32") if str(c) not in _OWN_WAY], ids=str
)
async def test_adv(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


async def evaluate(desk: Desk, raw: bytes) -> AuthenticationResults:
    """The verdict, asked for in this process."""
    records: dict[str, DnsAnswer] = {}
    while True:
        results, needs = authenticate(raw, desk.imap_envelope(), records, rules_of(desk.settings))
        if not needs:
            return results
        records |= await desk.dns.resolve(needs)


@sentence("x= one second before reception fails too: no slack")
async def _(result: Result) -> None:
    desk = result.desk
    raw = message(result.case, desk)
    end = int(NOW.timestamp())
    for expires, expected in ((end - 1, "policy"), (end, "pass")):
        late = sign(raw, "customer.test", t=end - 3600, key="rsa2048:customer", tags=f"x={expires}")
        assert [one.result for one in (await evaluate(desk, late)).dkim] == [expected]


@sentence("2 MB of spaces stay below 1 s of CPU for the canonicalisation")
async def _(result: Result) -> None:
    head, _, _ = message(result.case, result.desk).partition(b"\r\n\r\n")
    raw = signed(head + b"\r\n\r\n" + b" " * 2_000_000 + b"x\r\n", "customer.test")
    began = time.process_time()
    verdict = await evaluate(result.desk, raw)
    assert time.process_time() - began < 1
    assert verdict.proof == "dkim"


@sentence("the forged field appears in no verdict")
def _(result: Result) -> None:
    verdict = result.desk.authentication(result.row)
    assert (verdict.proof, verdict.dmarc.result, verdict.spf.result) == ("none", "fail", "none")
    assert "mx.desk.test" not in repr(verdict).lower()


@sentence("a trusted dkim=pass without a matching DKIM-Signature in the mail proves nothing")
def _(result: Result) -> None:
    verdict = result.desk.authentication(result.row)
    assert result.row.envelope.trusted
    assert verdict.dkim == () and verdict.proof == "none"


# ------------------------------------------------------------------ adv-29: DNS comes back


@pytest.mark.parametrize("case", [c for c in cases("adv-29") if c.variant == "recovers"], ids=str)
async def test_adv_29_recovers(desk: Desk, case: Case) -> None:
    played = Played()
    await give(desk, case)
    await put_in(desk, case, played, make(case, desk))
    tries = []
    while (row := desk.rows()[-1]).state == "waiting":
        assert row.due_at is not None
        desk.now = row.due_at
        tries.append(desk.now - NOW)
        if desk.now - NOW >= timedelta(minutes=20):
            desk.dns.zone |= make_zone()
        await desk.work()
        assert len(tries) < 10
    assert tries[:3] == [timedelta(minutes=1), timedelta(minutes=6), timedelta(minutes=21)]
    judge(result := Result(desk, case, played))
    await check_sentences(result)


@sentence("filed without a person")
def _(result: Result) -> None:
    assert result.row.outcome == "file"
    assert result.row.story["instruction"] is None


@sentence("the verdict is the one an immediate answer would have given")
async def _(result: Result) -> None:
    result.desk.dns.zone = make_zone()
    at_once = await evaluate(result.desk, result.raw)
    late = result.desk.authentication(result.row)
    assert replace(late, records={}) == replace(at_once, records={})


# ------------------------------------------------------------------ adv-30: the same mail again


@pytest.mark.parametrize("case", cases("adv-30"), ids=str)
async def test_adv_30(desk: Desk, case: Case) -> None:
    first, played = add_signatures(message(case, desk), case), Played()
    recipient = recipient_of(case, desk)
    if case.variant == "eight-days-old":
        desk.now = NOW + timedelta(days=8)
        desk.mark()
        await put_in(desk, case, played, first)
    else:
        await put_in(desk, case, played, first)
        assert played.plans[-1].outcome == "command" and desk.ticket(ANNS).state == "closed"
        await reopen(desk)
        opened = desk.rows()[1:]
        played.others |= {row.id for row in opened}
        desk.before = replace(desk.before, tickets={n: desk.state_of(n) for n in desk.numbers()})
        again = (AFTER.get(str(case)) or same)(first)
        other = desk.agents_token(BENS, 1) if case.variant == "other-ticket" else recipient
        await put_in(desk, case, played, again, recipient=other)
    judge(result := Result(desk, case, played))
    await check_sentences(result)
    assert desk.ticket(ANNS).state != "closed"


async def reopen(desk: Desk) -> None:
    """The customer writes again."""
    again = plain_mail(ANN, "Re: hello", "Not solved yet.", 80)
    await desk.send(signed(again, "customer.test"), recipient=desk.token("TA"))
    await desk.sent_all()
    assert desk.ticket(ANNS).state == "open"


def same(raw: bytes) -> bytes:
    return raw


@sentence("ticket 4828 unchanged")
def _(result: Result) -> None:
    assert BENS not in result.desk.changed()
    assert len(result.desk.ticket(BENS).events) == 3


# ------------------------------------------------------------------ adv-32: a trusted sealer


@pytest.mark.parametrize("case", [c for c in cases("adv-32") if c.variant == "listed-sealer-agent"], ids=str)
async def test_adv_32_listed_sealer(desk: Desk, case: Case) -> None:
    desk.settings = replace(desk.settings, authentication=Authentication(arc_sealers=("evil.test",)))
    shared, desk.cage = desk.cage, await start_cage(desk.settings)
    try:
        await play_and_judge(desk, case)
        await customers_are_rescued(desk, lambda raw: (AFTER["adv_32"])(raw))
    finally:
        await desk.cage.close()
        desk.cage = shared


async def customers_are_rescued(desk: Desk, sealed: Callable[[bytes], bytes]) -> None:
    """The same chain for a customer does count: so the sealer was indeed listed and its chain is good."""
    raw = plain_mail("joe@good.test", "forwarded", "By way of a list.", 81)
    await desk.send(sealed(raw).replace(b"", b"", 0))
    verdict = desk.authentication(desk.rows()[-1])
    assert (verdict.arc.result, verdict.arc.sealer) == ("pass", "evil.test")


@sentence("ARC never proves an agent")
def _(result: Result) -> None:
    assert result.row.envelope.trusted
    assert result.desk.authentication(result.row).proof == "none"


__all__ = ["play"]
