"""The DNS budget of one mail is time spent on DNS: a queue before the children costs no mail its proof."""

from __future__ import annotations

import asyncio

from gateway.analysis.authenticate import AuthenticationRules
from gateway.analysis.cage import Cage
from gateway.analysis.examine import Rules
from gateway.model import DnsAnswer, Findings
from gateway.settings import Cage as CageSettings
from tests.support.auth_mail import ANN, make_envelope, make_zone


class SlowQueue(Cage):
    """A cage whose children are busy: every reading waits."""

    async def _ask(self, request):  # type: ignore[no-untyped-def]
        findings: Findings = await super()._ask(request)
        await asyncio.sleep(2.0)
        return findings


async def test_waiting_for_a_busy_child_is_not_waiting_for_dns() -> None:
    zone = make_zone()

    class Prompt:
        async def resolve(self, keys: object, within: float = 5.0) -> dict[str, DnsAnswer]:
            return {key: zone.get(key) for key in keys}  # type: ignore[attr-defined]

    cage = SlowQueue(CageSettings(children=1), Rules(authentication=AuthenticationRules()))
    await cage.start()
    try:
        findings = await cage.examine(ANN, make_envelope(), Prompt())
    finally:
        await cage.close()
    assert not findings.needs and not findings.authentication.temporary, findings.authentication.why
