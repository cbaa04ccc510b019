"""The DNS budget of one mail is time spent on DNS: a queue before the children costs no mail its proof."""

from __future__ import annotations

import asyncio

import pytest

from gateway.analysis.cage import Cage
from gateway.analysis.reading_rules import AuthenticationRules, Rules
from gateway.model import DnsAnswer, Findings
from gateway.settings import Cage as CageSettings
from tests.support.auth_mail import ANN, make_envelope, make_zone, txt


class SlowQueue(Cage):
    """A cage whose children are busy: every reading waits."""

    async def _ask(self, request):  # type: ignore[no-untyped-def]
        findings: Findings = await super()._ask(request)
        await asyncio.sleep(0.6)
        return findings


async def test_waiting_for_a_busy_child_is_not_waiting_for_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.analysis.cage._DNS_SECONDS", 0.5)
    spf = {"TXT customer.test": txt("v=spf1 include:a.test -all"), "TXT a.test": txt("v=spf1 ip4:192.0.2.1")}
    zone = make_zone(spf)  # two rounds at least: the second name stands in the answer to the first
    envelope = make_envelope(reverse_path="ann@customer.test", client_address="192.0.2.1", helo="mx.customer.test")

    class Prompt:
        async def resolve(self, keys: object, within: float = 5.0) -> dict[str, DnsAnswer]:
            return {key: zone.get(key) for key in keys}  # type: ignore[attr-defined]

    cage = SlowQueue(CageSettings(children=1), Rules(authentication=AuthenticationRules()))
    await cage.start()
    try:
        findings = await cage.examine(ANN, envelope, Prompt())
    finally:
        await cage.close()
    assert (findings.authentication.spf.result, findings.authentication.proof) == ("pass", "spf")
