"""Mail, zones and envelopes for the authentication tests: all of our own making."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from gateway.analysis.authenticate import authenticate
from gateway.analysis.reading_rules import AuthenticationRules
from gateway.model import AuthenticationResults, DnsAnswer, Envelope
from tests.support.signing import key_record

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
FAILED = DnsAnswer("failed")
RULES = AuthenticationRules(
    trusted=("mx.desk.test",),
    agent_addresses=("agent@corp.test", "agent2@corp.test"),
)
REST = (
    b"To: support@desk.test\r\nSubject: hello\r\nDate: Mon, 23 Nov 2026 09:58:00 +0000\r\n"
    b"Message-ID: <adv@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n"
)
ANN = b"From: ann@customer.test\r\n" + REST
AGENT = b"From: agent@corp.test\r\n" + REST


def txt(*values: str) -> DnsAnswer:
    return DnsAnswer("found", values)


class Zone(dict[str, DnsAnswer]):
    """A zone in which everything that is not written down is absent."""

    def get(self, key: str, default: object = None) -> DnsAnswer:  # type: ignore[override]
        return dict.get(self, key) or DnsAnswer("absent")


def make_zone(extra: Mapping[str, DnsAnswer | None] | None = None) -> Zone:
    """Keys and policies of the cast, changed or extended (None removes)."""
    zone = Zone()
    policies = {"corp.test": "reject", "customer.test": "none", "other.test": "none", "evil.test": "reject"}
    for domain, policy in policies.items():
        zone[f"TXT s1._domainkey.{domain}"] = txt(key_record(f"rsa2048:{domain}"))
        zone[f"TXT _dmarc.{domain}"] = txt(f"v=DMARC1; p={policy}")
    for name in ("acme-corp.test", "good.test"):
        zone[f"TXT _dmarc.{name}"] = txt("v=DMARC1; p=reject")
    for key, answer in (extra or {}).items():
        if answer is None:
            zone.pop(key, None)
        else:
            zone[key] = answer
    return zone


def make_envelope(**changes: object) -> Envelope:
    values: dict[str, object] = {
        "reverse_path": "bounce@sender.test",
        "recipient": "support@desk.test",
        "inbox": "support",
        "source": "lmtp",
        "received_at": NOW,
        "trusted": True,
    }
    return Envelope(**(values | changes))  # type: ignore[arg-type]


def check(
    raw: bytes,
    zone: Mapping[str, DnsAnswer] | None = None,
    rules: AuthenticationRules = RULES,
    **envelope: object,
) -> AuthenticationResults:
    """The verdict when every question is answered."""
    results, needs = authenticate(raw, make_envelope(**envelope), make_zone() if zone is None else zone, rules)
    assert needs == ()
    return results


def ask_round_by_round(
    raw: bytes,
    answer: Callable[[str], DnsAnswer],
    rules: AuthenticationRules = RULES,
    **envelope: object,
) -> tuple[AuthenticationResults, list[tuple[str, ...]]]:
    """The verdict as the parent gets it, and the names asked in each round."""
    records: dict[str, DnsAnswer] = {}
    rounds: list[tuple[str, ...]] = []
    while True:
        results, needs = authenticate(raw, make_envelope(**envelope), records, rules)
        if not needs:
            return results, rounds
        assert not set(needs) & set(records)
        rounds.append(needs)
        records |= {key: answer(key) for key in needs}
