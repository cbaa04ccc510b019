"""Who wrote a mail, and how that is proven: the pieces together (security.md 4, adversarial cases of identity)."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis import authenticate as authenticate_module
from gateway.analysis.authenticate import authenticate
from gateway.analysis.reading_rules import AuthenticationRules, rules_of
from gateway.model import AuthenticationResults, DnsAnswer, Proof
from gateway.settings import Agent, Authentication, Settings, TrustedResults
from tests.support.auth_mail import (
    AGENT,
    ANN,
    FAILED,
    NOW,
    REST,
    RULES,
    ask_round_by_round,
    check,
    make_envelope,
    make_zone,
    txt,
)
from tests.support.signing import key_record, seal, sign

PASS_SPF = {"TXT customer.test": txt("v=spf1 ip4:192.0.2.1 -all")}
CLIENT = {"client_address": "192.0.2.1", "helo": "mx.customer.test", "reverse_path": "ann@customer.test"}
RESULTS = b"Authentication-Results: mx.desk.test; "


# ------------------------------------------------------------------ proof


def test_an_aligned_signature_proves_the_author() -> None:
    results = check(sign(ANN, "customer.test"))
    assert (results.proof, results.dmarc.result, results.failed, results.temporary) == (
        Proof.DKIM,
        "pass",
        False,
        False,
    )
    assert results.author and results.author.address == "ann@customer.test"
    assert results.why == "A valid signature of customer.test proves the author."
    assert set(results.records) == {"TXT _dmarc.customer.test", "TXT s1._domainkey.customer.test"}


def test_a_signature_of_another_domain_proves_nothing() -> None:
    results = check(sign(ANN, "evil.test"))
    assert (results.proof, results.dmarc.result, results.dmarc.policy) == (Proof.NONE, "fail", "none")
    assert (results.dkim[0].result, results.dkim[0].aligned, results.failed) == ("pass", False, False)


def test_an_ambiguous_header_names_nobody_and_asks_nothing() -> None:
    raw = b"X-Note: y\rFrom: agent@corp.test\r\nFrom: evil@evil.test\r\n" + REST
    for signed in (sign(raw, "evil.test"), sign(raw, "evil.test", h="from:from:subject:date:message-id")):
        results = check(signed)
        assert (results.author, results.proof, results.records) == (None, Proof.NONE, {})
        assert results.why == "Nobody can be named as the author: a bare CR in the header."


def test_a_quoted_address_as_name_changes_nothing() -> None:
    results = check(sign(b'From: "agent@corp.test" <evil@evil.test>\r\n' + REST, "evil.test"))
    assert results.author and results.author.address == "evil@evil.test"
    assert results.proof is Proof.DKIM


def test_unsigned_mail_of_a_domain_with_a_hyphen_and_a_policy_fails() -> None:
    results = check(b"From: boss@acme-corp.test\r\n" + REST)
    assert (results.proof, results.failed) == (Proof.NONE, True)
    assert (results.dmarc.result, results.dmarc.policy, results.dmarc.domain) == ("fail", "reject", "acme-corp.test")
    assert "TXT _dmarc.acme-corp.test" in results.records


@pytest.mark.parametrize(("policy", "failed"), [("none", False), ("quarantine", True), ("reject", True)])
def test_a_failed_policy_is_an_explicit_fail(policy: str, failed: bool) -> None:
    results = check(ANN, make_zone({"TXT _dmarc.customer.test": txt(f"v=DMARC1; p={policy}")}))
    assert (results.failed, results.domain_offers_proof) == (failed, True)


def test_an_aligned_signature_that_does_not_fit_is_an_explicit_fail() -> None:
    changed = sign(ANN, "customer.test").replace(b"\r\n\r\nhello", b"\r\n\r\nEVIL")
    results = check(changed)
    assert (results.proof, results.failed) == (Proof.NONE, True)
    assert results.why == "The signature of customer.test does not count: the body was changed after signing."
    assert not check(sign(ANN, "evil.test").replace(b"\r\n\r\nhello", b"\r\n\r\nEVIL")).failed


def test_strict_alignment_wants_the_very_domain() -> None:
    zone = make_zone({"TXT _dmarc.eu.customer.test": txt("v=DMARC1; p=reject; adkim=s")})
    raw = ANN.replace(b"ann@customer.test", b"ann@eu.customer.test")
    assert check(sign(raw, "customer.test"), zone).failed
    assert check(sign(raw, "customer.test")).proof is Proof.DKIM


# ------------------------------------------------------------------ SPF


def test_aligned_spf_proves_a_customer() -> None:
    results = check(ANN, make_zone(PASS_SPF), **CLIENT)
    assert (results.proof, results.spf.result, results.spf.domain) == (Proof.SPF, "pass", "customer.test")
    assert results.why == "It came from a server that may send mail for customer.test (SPF)."


@pytest.mark.parametrize(
    "changes",
    [
        {"reverse_path": "x@evil.test"},
        {"reverse_path": ""},
        {"client_address": "198.51.100.1"},
        {"client_address": ""},
    ],
)
def test_spf_of_anybody_else_proves_nothing(changes: dict[str, str]) -> None:
    zone = make_zone({**PASS_SPF, "TXT evil.test": txt("v=spf1 +all"), "TXT mx.customer.test": txt("v=spf1 +all")})
    assert check(ANN, zone, **(CLIENT | changes)).proof is Proof.NONE


def test_a_signature_saves_asking_for_spf() -> None:
    results = check(sign(ANN, "customer.test"), make_zone(PASS_SPF), **CLIENT)
    assert (results.proof, results.spf.result) == (Proof.DKIM, "none")
    assert "TXT customer.test" not in results.records


# ------------------------------------------------------------------ Authentication-Results, submission


FORGED = b"dkim=pass header.d=corp.test; dmarc=pass header.from=corp.test\r\n"
RELAY = b"Received: from relay by mx.desk.test; Mon, 23 Nov 2026 09:59:00 +0000\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        RESULTS + b"dkim=none; dmarc=fail header.from=corp.test\r\n" + RELAY + RESULTS + FORGED + AGENT,
        RELAY + b"Authentication-Results: MX.DESK.TEST; dmarc=pass header.from=corp.test\r\n" + AGENT,
        RELAY + b"Authentication-Results:\r\n mx.desk.test;\r\n dmarc=pass header.from=corp.test\r\n" + AGENT,
        RELAY + b"Authentication-Results: (x) mx.desk.test (y) 1; dmarc=pass header.from=corp.test\r\n" + AGENT,
        RESULTS + b"dkim=pass header.d=corp.test\r\n" + RELAY + AGENT,
        RESULTS + b"dmarc=pass header.from=evil.test\r\n" + AGENT,
        RESULTS + b"dmarc=fail header.from=corp.test\r\n" + RESULTS + b"dmarc=pass header.from=corp.test\r\n" + AGENT,
        b"Authentication-Results: mx.evil.test; dmarc=pass header.from=corp.test\r\n" + AGENT,
    ],
)
def test_results_that_nobody_trusted_wrote_there_prove_nothing(raw: bytes) -> None:
    results = check(raw)
    assert (results.proof, results.failed, results.dmarc.policy) == (Proof.NONE, True, "reject")


def test_on_other_sources_all_results_are_ignored() -> None:
    results = check(RESULTS + FORGED + AGENT, trusted=False)
    assert (results.proof, results.failed) == (Proof.NONE, True)


def test_a_trusted_dmarc_pass_counts_as_much_as_spf() -> None:
    results = check(RESULTS + b"dmarc=pass header.from=Customer.TEST\r\n" + RELAY + ANN)
    assert (results.proof, results.dmarc.result) == (Proof.SPF, "pass")
    assert results.why == "mx.desk.test, a server we trust, found that customer.test sent this."


def test_a_trusted_spf_pass_counts_if_it_aligns_and_the_client_is_unknown() -> None:
    said = RESULTS + b"spf=pass smtp.mailfrom=ann@customer.test\r\n"
    assert check(said + ANN).proof is Proof.SPF
    assert check(said.replace(b"ann@customer", b"ann@evil") + ANN).proof is Proof.NONE
    assert check(said + ANN, client_address="198.51.100.1", helo="x").proof is Proof.NONE


ALTERED = RESULTS + b"dkim=pass header.d=customer.test header.s=s1\r\n"


def test_a_trusted_dkim_pass_replaces_only_the_hash_check() -> None:
    altered = sign(ANN, "customer.test").replace(b"\r\n\r\nhello", b"\r\n\r\n[external] hello")
    results = check(ALTERED + altered)
    assert (results.proof, results.dkim[0].result) == (Proof.DKIM, "pass")
    assert results.why == "A valid signature of customer.test proves the author (hash checked by mx.desk.test)."
    for signed in (
        sign(ANN, "customer.test", h="from:date:message-id"),
        sign(ANN, "customer.test", tags="l=0"),
        sign(ANN, "customer.test", s="s2"),
        sign(ANN, "customer.test", t=4070908800),
    ):
        assert check(ALTERED + signed.replace(b"\r\n\r\nhello", b"\r\n\r\n[external] hello")).proof is Proof.NONE


@pytest.mark.parametrize("said", [b"header.d=customer.test header.s=s1", b"header.d=customer.test"])
@pytest.mark.parametrize("local", [True, False])
def test_a_trusted_dkim_pass_of_one_signature_vouches_for_no_other_of_the_same_name(said: bytes, local: bool) -> None:
    holed = sign(ANN, "customer.test", tags="l=5").replace(b"hello", b"hello, pay Eve")
    forged = sign(ANN, "customer.test", tags="x=4070908800").partition(b"From:")[0]
    raw = RESULTS + b"dkim=pass " + said + b"\r\n" + forged + holed
    assert check(raw, rules=replace(RULES, verify_locally=local)).proof is Proof.NONE


def test_without_local_verification_the_trusted_server_s_hash_counts() -> None:
    rules = replace(RULES, verify_locally=False)
    altered = sign(ANN, "customer.test").replace(b"\r\n\r\nhello", b"\r\n\r\n[external] hello")
    assert check(ALTERED + altered, rules=rules).proof is Proof.DKIM
    assert check(altered, rules=rules).proof is Proof.NONE


def test_an_authenticated_submission_by_the_author_is_proof() -> None:
    assert check(AGENT, submitter="agent@corp.test").proof is Proof.SUBMISSION
    assert check(AGENT, submitter="agent2@corp.test").proof is Proof.NONE
    assert check(AGENT, submitter="agent").proof is Proof.NONE
    results = check(RESULTS + b"auth=pass smtp.auth=agent@corp.test\r\n" + AGENT)
    assert (results.proof, results.failed) == (Proof.SUBMISSION, False)
    assert check(RESULTS + b"auth=pass smtp.auth=bob@corp.test\r\n" + AGENT).proof is Proof.NONE


# ------------------------------------------------------------------ ARC

SAYS = "lists.test; dmarc=pass header.from=good.test"
GOOD = b"From: gil@good.test\r\n" + REST
SEALED = {"TXT s1._domainkey.lists.test": txt(key_record("rsa2048:lists.test"))}
LISTED = replace(RULES, arc_sealers=("lists.test",))


def test_a_listed_sealer_rescues_a_customer_from_a_dmarc_failure() -> None:
    results = check(seal(GOOD, "lists.test", SAYS), make_zone(SEALED), LISTED)
    assert (results.proof, results.failed, results.arc.result) == (Proof.SPF, False, "pass")
    assert results.why == "lists.test, a forwarder we trust, found the author proven before it passed the mail on."


@pytest.mark.parametrize(
    ("raw", "rules"),
    [
        (seal(GOOD, "lists.test", SAYS), RULES),
        (seal(GOOD, "evil.test", SAYS), LISTED),
        (seal(GOOD, "lists.test", "lists.test; dmarc=fail header.from=good.test"), LISTED),
        (seal(GOOD, "lists.test", "lists.test; dmarc=pass header.from=evil.test"), LISTED),
        (seal(GOOD, "lists.test", "lists.test; spf=pass"), LISTED),
        (seal(GOOD, "lists.test", SAYS, cv="pass"), LISTED),
        (seal(GOOD, "lists.test", SAYS).replace(b"\r\n\r\nhello", b"\r\n\r\nEVIL"), LISTED),
    ],
    ids=["no list", "unlisted", "dmarc failed there", "another author", "no dmarc", "broken", "altered"],
)
def test_nothing_else_rescues(raw: bytes, rules: AuthenticationRules) -> None:
    results = check(raw, make_zone(SEALED), rules)
    assert (results.proof, results.failed) == (Proof.NONE, True)


def test_a_chain_longer_than_five_rescues_nothing() -> None:
    raw = GOOD
    for i in range(1, 7):
        raw = seal(raw, "lists.test", SAYS, i=i, cv="none" if i == 1 else "pass")
    assert check(raw, make_zone(SEALED), LISTED).failed


def test_arc_never_proves_an_agent() -> None:
    raw = seal(AGENT, "lists.test", "lists.test; dmarc=pass header.from=corp.test")
    results = check(raw, make_zone(SEALED), LISTED)
    assert (results.proof, results.failed, results.arc.result) == (Proof.NONE, True, "none")


# ------------------------------------------------------------------ DNS that does not answer


KEY = "TXT s1._domainkey.customer.test"
POLICY = "TXT _dmarc.customer.test"


@pytest.mark.parametrize("author", [ANN, AGENT])
def test_a_key_that_cannot_be_looked_up_makes_the_mail_wait(author: bytes) -> None:
    domain = "customer.test" if author is ANN else "corp.test"
    results = check(sign(author, domain), make_zone({f"TXT s1._domainkey.{domain}": FAILED}))
    assert (results.proof, results.temporary, results.failed) == (Proof.NONE, True, False)
    assert (results.dkim[0].result, results.dmarc.result) == ("temperror", "temperror")
    assert results.why == f"DNS did not answer, so whether {domain} sent this cannot be told yet."


def test_a_passing_signature_of_the_very_domain_decides_whatever_else_fails() -> None:
    results = check(sign(sign(ANN, "customer.test"), "esp.test"), make_zone({POLICY: FAILED}))
    assert (results.proof, results.temporary) == (Proof.DKIM, False)


def test_a_failed_policy_query_makes_relaxed_alignment_wait() -> None:
    raw = sign(ANN.replace(b"ann@customer.test", b"ann@eu.customer.test"), "customer.test")
    results = check(raw, make_zone({"TXT _dmarc.eu.customer.test": FAILED}))
    assert (results.proof, results.temporary, results.dkim[0].result) == (Proof.NONE, True, "pass")


def test_a_failed_query_that_cannot_change_anything_makes_nobody_wait() -> None:
    zone = make_zone({"TXT s1._domainkey.esp.test": FAILED})
    results = check(sign(ANN, "esp.test"), zone)
    assert (results.temporary, results.dkim[0].result) == (False, "temperror")
    refused = check(sign(ANN, "customer.test", tags="l=0"), make_zone({KEY: FAILED}))
    assert (refused.temporary, refused.dkim[0].result) == (False, "policy")


def test_spf_settles_it_for_a_customer_but_an_agent_waits_for_the_signature() -> None:
    zone = make_zone({**PASS_SPF, KEY: FAILED})
    results = check(sign(ANN, "customer.test"), zone, **CLIENT)
    assert (results.proof, results.temporary) == (Proof.SPF, False)
    for rules in (
        replace(RULES, agent_addresses=("ann@customer.test",)),
        replace(RULES, agent_domains=("customer.test",)),
        replace(RULES, customer_dkim_only=True),
    ):
        assert check(sign(ANN, "customer.test"), zone, rules, **CLIENT).temporary


def test_failed_spf_queries_make_an_aligned_reverse_path_wait() -> None:
    zone = make_zone({"TXT customer.test": FAILED, "TXT evil.test": FAILED})
    assert check(ANN, zone, **CLIENT).temporary
    assert not check(ANN, zone, **(CLIENT | {"reverse_path": "x@evil.test"})).temporary


def test_a_late_evaluation_gives_the_verdict_an_early_one_would_have_given() -> None:
    raw = sign(ANN, "customer.test", tags="x=1795428060")
    early = check(raw)
    replayed, needs = authenticate(raw, make_envelope(), dict(early.records), RULES)
    assert (replayed, needs) == (early, ())


# ------------------------------------------------------------------ asking


def test_names_are_asked_in_as_few_rounds_as_possible() -> None:
    zone = make_zone(PASS_SPF)
    _, rounds = ask_round_by_round(sign(ANN, "customer.test"), zone.get, **CLIENT)
    assert rounds == [(POLICY, KEY)]
    _, rounds = ask_round_by_round(ANN, zone.get, **CLIENT)
    assert rounds == [(POLICY, "TXT customer.test")]


def test_two_hundred_signatures_cost_at_most_ten_names() -> None:
    raw = ANN
    for n in range(200):
        field = (
            f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=d{n}.test; s=s; h=from:subject:date:message-id; "
        )
        raw = field.encode() + b"bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n" + raw
    results, rounds = ask_round_by_round(raw, make_zone().get)
    assert results.proof is Proof.NONE
    assert sum(map(len, rounds)) <= 10
    assert len(rounds) == 1


def test_one_mail_asks_for_twenty_names_at_most_whatever_the_answers_say() -> None:
    def answer(key: str) -> DnsAnswer:
        name = key.partition(" ")[2]
        if key.startswith("TXT _dmarc"):
            return txt("v=DMARC1; p=none; np=reject") if name == "_dmarc.customer.test" else DnsAnswer("absent")
        if key.startswith("TXT"):
            return txt(f"v=spf1 mx:m.{name} mx:n.{name} include:i.{name}")
        return DnsAnswer("found", tuple(f"10 {n}.{name}" for n in range(10))) if key[0] == "M" else FAILED

    raw = ANN.replace(b"ann@customer.test", b"ann@a.b.c.d.e.customer.test")
    for n in range(8):
        raw = sign(raw, f"esp{n}.test", key="rsa1024")
    reverse_path = "ann@a.b.c.d.e.customer.test"
    results, rounds = ask_round_by_round(raw, answer, **(CLIENT | {"reverse_path": reverse_path}))
    assert results.proof is Proof.NONE
    assert sum(map(len, rounds)) <= 20


def invent_answer(key: str, seed: int) -> DnsAnswer:
    """What a capricious DNS says: anything that exists at all, but always the same for one name."""
    chance = random.Random(f"{seed} {key}")
    type_, _, name = key.partition(" ")
    dice = chance.random()
    if dice < 0.15:
        return FAILED
    if dice < 0.35:
        return DnsAnswer("absent")
    if "_domainkey" in name:
        return txt(key_record(chance.choice(["rsa1024", "rsa1024", "rsa768"])))
    if name.startswith("_dmarc."):
        tags = [f"p={chance.choice(['none', 'reject'])}", "np=reject", "adkim=s", "psd=n", "psd=y", "t=y"]
        return txt("; ".join(["v=DMARC1", tags[0], *chance.sample(tags[1:], 2)]))
    if type_ == "TXT":
        terms = ["a", "mx", f"include:i.{name}", f"a:x.{name}", f"mx:y.{name}", "ptr", f"exists:%{{i}}.{name}", "-all"]
        return txt("v=spf1 " + " ".join(chance.sample(terms, 5)))
    if type_ in ("MX", "PTR"):
        hosts = [f"h{n}.{name}" for n in range(chance.randrange(1, 6))]
        return DnsAnswer("found", tuple(f"10 {host}" if type_ == "MX" else host for host in hosts))
    return DnsAnswer("found", (chance.choice(["192.0.2.1", "198.51.100.9"]),)) if type_ == "A" else DnsAnswer("absent")


DOMAINS = ["customer.test", "eu.customer.test", "a.b.c.customer.test", "lists.test", "evil.test"]


@settings(deadline=None, max_examples=100)
@given(
    st.integers(0, 10**6),
    st.sampled_from(DOMAINS),
    st.lists(st.sampled_from(DOMAINS), max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", *DOMAINS]),
)
def test_a_verdict_is_replayed_with_the_records_it_used_and_they_are_all_that_was_asked(
    seed: int, author: str, signers: list[str], known: bool, sealed: bool, path: str
) -> None:
    raw = ANN.replace(b"ann@customer.test", f"ann@{author}".encode())
    raw = seal(raw, "lists.test", f"x; dmarc=pass header.from={author}", key="rsa1024") if sealed else raw
    for signer in signers:
        raw = sign(raw, signer, key="rsa1024")
    envelope = {"client_address": "192.0.2.1" if known else "", "helo": "x.test", "reverse_path": path and f"b@{path}"}
    results, rounds = ask_round_by_round(raw, lambda key: invent_answer(key, seed), LISTED, **envelope)
    asked = [key for round_ in rounds for key in round_]
    assert len(asked) <= 20
    assert set(asked) == set(results.records)
    assert authenticate(raw, make_envelope(**envelope), results.records, LISTED) == (results, ())


# ------------------------------------------------------------------ domains without any proof to give


def offers(zone: dict[str, DnsAnswer], raw: bytes = b"From: joe@small.test\r\n" + REST, **envelope: object) -> bool:
    results = check(raw, make_zone(zone), **envelope)
    assert results.proof is Proof.NONE
    return results.domain_offers_proof


SPF_KNOWN = {"client_address": "192.0.2.1", "helo": "x", "reverse_path": "x@evil.test"}


def test_a_domain_that_publishes_nothing_offers_no_proof() -> None:
    assert not offers({})
    assert not offers({}, **SPF_KNOWN)
    assert check(b"From: joe@small.test\r\n" + REST).why == (
        "small.test offers nothing that could prove who sent this."
    )


def test_a_policy_a_signature_or_an_spf_record_is_an_offer() -> None:
    assert offers({"TXT _dmarc.small.test": txt("v=DMARC1; p=none")})
    assert offers({"TXT small.test": txt("v=spf1 mx -all")})
    assert offers({"TXT small.test": txt("v=spf1 ip4:198.51.100.1 -all")}, **SPF_KNOWN)
    assert offers({}, sign(b"From: joe@small.test\r\n" + REST, "small.test"))


def test_spf_that_says_nothing_and_signatures_of_others_are_none() -> None:
    assert not offers({"TXT small.test": txt("v=spf1 ?all")}, **SPF_KNOWN)
    assert not offers({"TXT evil.test": txt("v=spf1 -all")}, **SPF_KNOWN)
    assert not offers({}, sign(b"From: joe@small.test\r\n" + REST, "evil.test"))


def test_while_dns_does_not_say_so_the_mail_waits() -> None:
    results = check(b"From: joe@small.test\r\n" + REST, make_zone({"TXT small.test": FAILED}))
    assert (results.temporary, results.domain_offers_proof) == (True, True)


# ------------------------------------------------------------------ Reply-To


def test_reply_to_is_covered_only_by_an_accepted_aligned_signature() -> None:
    raw = b"Reply-To: ann@mail.customer.test\r\n" + ANN
    covering = "from:subject:date:message-id:reply-to"
    assert check(sign(raw, "customer.test", h=covering)).reply_to_covered
    assert not check(sign(raw, "customer.test")).reply_to_covered
    assert not check(sign(raw, "evil.test", h=covering)).reply_to_covered
    assert not check(sign(raw, "customer.test", h=covering, tags="l=0")).reply_to_covered


# ------------------------------------------------------------------ whatever happens


def test_something_unforeseen_proves_nothing_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(authenticate_module, "check_signatures", explode)
    results, needs = authenticate(sign(ANN, "customer.test"), make_envelope(), make_zone(), RULES)
    assert (results.proof, results.author, needs) == (Proof.NONE, None, ())
    assert "RuntimeError" in results.why
    assert "secret" not in results.why


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*ANN.split(b" "), b"\r\n", b"DKIM-Signature: v=1; d=a.test;", b"ARC-Seal: i=1", b"\xff"]))
)
def test_no_mail_raises_and_nothing_is_proven_by_scraps(pieces: list[bytes]) -> None:
    results, _ = authenticate(b" ".join(pieces), make_envelope(), make_zone(), RULES)
    assert results.proof is Proof.NONE
    assert "unforeseen" not in results.why


@pytest.mark.parametrize("path", ["ann@customer.test", "ann\udcff@b\udcff.test", "", "\udcff", "ann@b\u00fccher.test"])
@pytest.mark.parametrize("author", [b"ann@customer.test", b"J\xff <j@b.test>", b"\xff@b.test"])
def test_results_cross_a_pipe_as_data(author: bytes, path: str) -> None:
    raw = sign(ANN.replace(b"ann@customer.test", author), "customer.test", tags="i=\xff@customer.test")
    results = check(raw, **(CLIENT | {"reverse_path": path}))
    assert msgspec.json.decode(msgspec.json.encode(results), type=AuthenticationResults) == results


def test_the_rules_cross_a_pipe_as_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(RULES), type=AuthenticationRules) == RULES


def test_the_rules_come_from_the_settings() -> None:
    made = rules_of(
        Settings(
            agents={
                "bob": Agent(handle="bob", name="Bob", address="Bob@Corp.test", also=("bob@Bücher.test",)),
                "old": Agent(handle="old", name="Old", address="old@corp.test", enabled=False),
            },
            authentication=Authentication(
                customer_proof="dkim", strict_domains=("Corp.TEST",), arc_sealers=("Lists.test",), agent_key_bits=3072
            ),
            authentication_results=TrustedResults(trusted=("MX.desk.test",), verify_locally=False),
        )
    )
    assert made == AuthenticationRules(
        trusted=("mx.desk.test",),
        verify_locally=False,
        strict_domains=("corp.test",),
        agent_addresses=("bob@corp.test", "bob@xn--bcher-kva.test"),
        arc_sealers=("lists.test",),
        agent_key_bits=3072,
        customer_dkim_only=True,
    )


def test_a_signature_is_judged_at_the_time_of_reception_not_now() -> None:
    raw = sign(ANN, "customer.test", tags="x=1795428060")
    assert check(raw).proof is Proof.DKIM
    assert check(raw, received_at=NOW + timedelta(minutes=2)).proof is Proof.NONE


def test_a_chain_is_told_to_people_who_ask_and_proves_nothing_for_it() -> None:
    raw = seal(GOOD, "lists.test", SAYS)
    results = check(raw, make_zone(SEALED), replace(RULES, tell_chains=True))
    assert (results.arc.result, results.proof, results.failed) == ("pass", Proof.NONE, True)
