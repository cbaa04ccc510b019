"""DMARC: the policy that applies and the identities that align (RFC 9989, RFC 7489)."""

from __future__ import annotations

import pytest

from gateway.analysis.dmarc import Dmarc, read_record, walk_names
from gateway.analysis.dns_records import Answers
from gateway.model import DmarcResult, DnsAnswer
from tests.support.auth_mail import FAILED, Zone, txt


def zone_of(policies: dict[str, str | DnsAnswer]) -> Zone:
    return Zone({f"TXT _dmarc.{d}": txt(f"v=DMARC1; {p}") if isinstance(p, str) else p for d, p in policies.items()})


def dmarc(domain: str, policies: dict[str, str | DnsAnswer], extra: dict[str, DnsAnswer] | None = None) -> Dmarc:
    return Dmarc(domain, Answers(Zone(zone_of(policies) | (extra or {}))))


def fail(domain: str, policies: dict[str, str | DnsAnswer], extra: dict[str, DnsAnswer] | None = None) -> DmarcResult:
    """The result for a mail in which nothing aligns."""
    return dmarc(domain, policies, extra).result(aligned=False, possible=False)


def test_a_domain_with_a_hyphen_has_its_own_policy() -> None:
    assert fail("acme-corp.test", {"acme-corp.test": "p=reject", "acme": "p=none"}) == DmarcResult(
        result="fail", policy="reject", domain="acme-corp.test"
    )


def test_an_internationalised_domain_is_asked_by_its_a_label() -> None:
    assert fail("xn--bcher-kva.test", {"xn--bcher-kva.test": "p=quarantine"}).policy == "quarantine"


@pytest.mark.parametrize(
    ("policies", "policy", "where"),
    [
        ({"eu.a.test": "p=none", "a.test": "p=reject"}, "none", "eu.a.test"),
        ({"a.test": "p=reject"}, "reject", "a.test"),
        ({"a.test": "p=reject; sp=quarantine"}, "quarantine", "a.test"),
        ({"a.test": "p=none; sp=reject"}, "reject", "a.test"),
        ({"test": "p=reject; psd=y"}, "reject", "test"),
        ({"test": "p=none; sp=reject; psd=y", "a.test": "p=quarantine"}, "quarantine", "a.test"),
    ],
)
def test_a_sub_domain_s_policy(policies: dict[str, str | DnsAnswer], policy: str, where: str) -> None:
    result = fail("eu.a.test", policies)
    assert (result.result, result.policy, result.domain) == ("fail", policy, where)


def test_np_applies_to_names_that_do_not_exist() -> None:
    policies: dict[str, str | DnsAnswer] = {"a.test": "p=none; np=reject"}
    assert fail("ghost.a.test", policies).policy == "reject"
    assert fail("eu.a.test", policies, {"MX eu.a.test": DnsAnswer("found", ("10 mx.a.test",))}).policy == "none"
    assert fail("eu.a.test", policies, {"A eu.a.test": FAILED}).result == "temperror"
    assert fail("a.test", policies).policy == "none"


def test_np_costs_no_query_unless_it_differs() -> None:
    answers = Answers(zone_of({"a.test": "p=reject; np=reject"}))
    Dmarc("eu.a.test", answers).result(aligned=False, possible=False)
    assert list(answers.used) == ["TXT _dmarc.eu.a.test", "TXT _dmarc.a.test"]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("v=DMARC1; p=reject", "reject"),
        ("v=DMARC1;p=Reject;", "reject"),
        ("v = DMARC1 ; p = none ; unknown=x; rubbish", "none"),
        ("v=DMARC1; p=reject; t=y", "reject"),
        ("v=DMARC1; p=sometimes; rua=mailto:x@a.test", "none"),
        ("v=DMARC1; rua=mailto:x@a.test", "none"),
        ("v=DMARC1; p=reject; sp=sometimes; rua=mailto:x@a.test", "none"),
        ("v=DMARC1; p=sometimes", None),
        ("v=DMARC1", None),
        ("v=dmarc1; p=reject", None),
        ("p=reject; v=DMARC1", None),
        ("v=DMARC12; p=reject", None),
        ("v=spf1 -all", None),
        ("", None),
    ],
)
def test_records(text: str, policy: str | None) -> None:
    record = read_record(text, "a.test")
    assert (record.policy if record else None) == policy


def test_a_policy_under_test_is_one_level_milder() -> None:
    assert fail("a.test", {"a.test": "p=reject; t=y"}).policy == "quarantine"
    assert fail("a.test", {"a.test": "p=quarantine; t=y"}).policy == "none"


def test_several_records_are_none() -> None:
    assert fail("a.test", {"a.test": txt("v=DMARC1; p=reject", "v=DMARC1; p=none")}).result == "none"
    assert fail("a.test", {"a.test": txt("v=DMARC1; p=reject", "v=spf1 -all")}).policy == "reject"


def test_absent_is_none_and_failed_is_temperror() -> None:
    assert fail("a.test", {}).result == "none"
    assert fail("a.test", {"a.test": FAILED}).result == "temperror"
    assert fail("eu.a.test", {"a.test": FAILED}).result == "temperror"
    assert fail("eu.a.test", {"eu.a.test": FAILED, "a.test": "p=none"}).result == "temperror"
    assert fail("eu.a.test", {"eu.a.test": "p=none", "a.test": FAILED}).result == "fail"
    assert fail("a.test", {"a.test": DnsAnswer("oversize")}).result == "permerror"


@pytest.mark.parametrize(
    ("author", "identity", "policies", "aligned"),
    [
        ("a.test", "a.test", {}, True),
        ("a.test", "eu.a.test", {}, True),
        ("eu.a.test", "a.test", {}, True),
        ("eu.a.test", "us.a.test", {"a.test": "p=none"}, True),
        ("a.test", "b.test", {}, False),
        ("my-bank.test", "bank.test", {}, False),
        ("a.co.uk", "b.co.uk", {"co.uk": "p=none"}, False),
        ("a.github.io", "b.github.io", {"github.io": "p=none"}, False),
        ("a.test", "test", {}, False),
        ("a.test", "nota.test", {}, False),
        ("eu.a.test", "a.test", {"eu.a.test": "p=none; adkim=s", "a.test": "p=none"}, False),
        ("eu.a.test", "eu.a.test", {"eu.a.test": "p=none; adkim=s"}, True),
        ("eu.a.test", "a.test", {"eu.a.test": "p=none; psd=n", "a.test": "p=none"}, False),
        ("eu.a.test", "x.eu.a.test", {"eu.a.test": "p=none; psd=n", "a.test": "p=none"}, True),
        ("a.test", "eu.a.test", {"eu.a.test": "p=none; psd=n", "a.test": "p=none"}, False),
        ("x.reg.a.test", "y.reg.a.test", {"reg.a.test": "p=none; psd=y"}, False),
        ("eu.x.reg.a.test", "x.reg.a.test", {"reg.a.test": "p=none; psd=y"}, True),
        ("eu.a.test", "a.test", {"eu.a.test": "p=none"}, False),
        ("eu.a.test", "a.test", {"eu.a.test": FAILED}, None),
        ("a.test", "a.test", {"a.test": FAILED}, True),
        ("a.test", "b.test", {"a.test": FAILED}, False),
        ("a.test", "eu.a.test", {"a.test": "p=none", "eu.a.test": FAILED}, None),
    ],
)
def test_alignment(author: str, identity: str, policies: dict[str, str | DnsAnswer], aligned: bool | None) -> None:
    assert dmarc(author, policies).is_aligned(identity, "dkim") is aligned


def test_spf_has_its_own_alignment_mode() -> None:
    one = dmarc("eu.a.test", {"eu.a.test": "p=none; aspf=s", "a.test": "p=none"})
    assert one.is_aligned("a.test", "spf") is False
    assert one.is_aligned("a.test", "dkim") is True


def test_the_walk_takes_eight_names_at_most_and_asks_above_the_organisation_only_when_needed() -> None:
    long = "a.b.c.d.e.f.g.h.i.j.test"
    assert walk_names(long) == [long, *(".".join(["e", "f", "g", "h", "i", "j", "test"][n:]) for n in range(7))]
    answers = Answers(zone_of({"a.test": "p=none"}))
    Dmarc("a.test", answers)
    assert list(answers.used) == ["TXT _dmarc.a.test"]


def test_aligned_identities_pass_whatever_the_policy_and_open_questions_do_not_fail() -> None:
    one = dmarc("a.test", {"a.test": "p=reject"})
    assert one.result(aligned=True, possible=False) == DmarcResult(result="pass", policy="reject", domain="a.test")
    assert one.result(aligned=False, possible=True).result == "temperror"
