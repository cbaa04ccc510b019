"""adv-01 to adv-13, adv-76: whose mail is it. A header that two programs could read differently names nobody."""

from __future__ import annotations

import pytest

from tests.adversarial.judging import Result, sentence
from tests.adversarial.playing import play_and_judge
from tests.adversarial.rows import Case, cases
from tests.support.desk import AGENT_X, EVIL, Desk


@pytest.mark.parametrize("case", cases("adv-01..13", "adv-76"), ids=str)
async def test_adv(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


@sentence("the name is shown without '@'")
def _(result: Result) -> None:
    for sent in result.desk.outbox():
        shown = f"{sent.parsed['From']} {sent.text}"
        assert "agent@" not in shown.lower() and "@corp" not in shown.lower()


@sentence("no mail, notice or page shows agent@corp.test as author")
def _(result: Result) -> None:
    ticket = result.desk.ticket(result.row.ticket)
    assert ticket.customer is not None and ticket.customer.address == EVIL
    assert {event.party for event in ticket.events if event.journal} == {ticket.customer.party}
    for sent in result.desk.outbox():
        header = [str(sent.parsed[name] or "") for name in ("From", "Reply-To", "Subject", "X-Ticket-Owner")]
        assert not any(AGENT_X in value for value in header), header
        assert AGENT_X not in sent.text


@sentence("proven neither for evil.test nor for good.test")
def _(result: Result) -> None:
    verdict = result.desk.authentication(result.row)
    assert verdict.author is None
    assert verdict.dmarc.result != "pass" and not any(one.result == "pass" for one in verdict.dkim)


@sentence("DMARC result is fail, policy reject, record name _dmarc.acme-corp.test")
def _(result: Result) -> None:
    verdict = result.desk.authentication(result.row)
    assert (verdict.dmarc.result, verdict.dmarc.policy, verdict.dmarc.domain) == ("fail", "reject", "acme-corp.test")
    assert verdict.records["TXT _dmarc.acme-corp.test"].status == "found"


@sentence("address kept exactly")
def _(result: Result) -> None:
    customer = result.desk.ticket(result.row.ticket).customer
    assert customer is not None and customer.address == "анна@customer.test"


@sentence("queries ask xn--bcher-kva.test")
def _(result: Result) -> None:
    assert "TXT _dmarc.xn--bcher-kva.test" in result.desk.dns.asked
    assert all(key.isascii() for key in result.desk.dns.asked)


@sentence("shown as U-label")
def _(result: Result) -> None:
    for sent in result.desk.to_agents():
        assert "ann@bücher.test" in sent.text and "xn--" not in sent.text


@sentence("not agent@corp.test")
def _(result: Result) -> None:
    customer = result.desk.ticket(result.row.ticket).customer
    assert customer is not None and customer.address == "agent@xn--orp-3ed.test"
    assert not customer.agent and customer.party not in (1, 2)


@sentence("shown as punycode and marked: looks like a known address")
def _(result: Result) -> None:
    offers = result.desk.to_agents()
    assert offers
    for sent in offers:
        assert "agent@xn--orp-3ed.test" in sent.text
        assert "only looks like agent@corp.test" in " ".join(sent.text.split())
