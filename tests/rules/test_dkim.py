"""Every row of the DKIM table (security.md 4.2), with keys of our own."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analysis.signatures import canonical_body, cut_signature, read_tags
from gateway.model import DkimResult, DnsAnswer, Proof
from tests.support.auth_mail import AGENT, ANN, FAILED, NOW, RULES, Zone, check, make_zone, txt
from tests.support.signing import (
    T,
    key_record,
    relax_field,
    replace_signature,
    rsa_key,
    sign,
    signature_value,
)
from tests.support.signing import canonical_body as canonical_body_by_the_letter


def result_of(raw: bytes, zone: Zone | None = None, **envelope: object) -> DkimResult:
    results = check(raw, zone, **envelope)
    assert len(results.dkim) == 1
    assert (results.proof is Proof.DKIM) == (results.dkim[0].result == "pass")
    return results.dkim[0]


def key_zone(tags: str, selector: str = "k", key: str = "rsa2048:customer.test") -> Zone:
    return make_zone({f"TXT {selector}._domainkey.customer.test": txt(key_record(key, tags))})


@pytest.mark.parametrize(
    "c", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed", "simple", "relaxed"]
)
def test_a_signature_that_fits_passes_in_every_canonical_form(c: str) -> None:
    result = result_of(sign(ANN, "customer.test", c=c))
    assert (result.result, result.domain, result.selector, result.aligned) == ("pass", "customer.test", "s1", True)
    assert result.covers[:2] == ("from", "to")
    assert result.signed_at == NOW


def test_an_ed25519_signature_passes() -> None:
    zone = key_zone("v=DKIM1; k=ed25519", "e", "ed25519:customer.test")
    assert result_of(sign(ANN, "customer.test", a="ed25519-sha256", s="e"), zone).result == "pass"


def test_a_key_in_pkcs1_form_without_version_passes() -> None:
    der = base64.b64encode(rsa_key("rsa2048:customer.test").pkcs1()).decode()
    zone = make_zone({"TXT s1._domainkey.customer.test": txt(f"p={der[:60]} {der[60:]}")})
    assert result_of(sign(ANN, "customer.test"), zone).result == "pass"


ROWS = [
    # result, part of the reason, how it is signed, key tags of selector k (None: the key of s1)
    ("permerror", "does not cover From", {"h": "to:subject:date:message-id"}, None),
    ("policy", "does not cover Subject", {"h": "from:date:message-id"}, None),
    ("policy", "does not cover Date", {"h": "from:subject:message-id"}, None),
    ("policy", "does not cover Message-ID", {"h": "from:subject:date"}, None),
    ("policy", "l=", {"tags": "l=0"}, None),
    ("policy", "l=", {"tags": "l=7"}, None),
    ("policy", "l=", {"tags": "l=99999"}, None),
    ("permerror", "rsa-sha1", {"a": "rsa-sha1"}, None),
    ("permerror", "algorithm", {"tags": "a=rsa-sha512"}, None),
    ("permerror", "SHA-256", {}, "v=DKIM1; k=rsa; h=sha1"),
    ("pass", "", {}, "v=DKIM1; k=rsa; h=sha1:sha256"),
    ("permerror", "not for mail", {}, "v=DKIM1; s=tlsrpt"),
    ("pass", "", {}, "v=DKIM1; s=tlsrpt:email"),
    ("permerror", "unknown kind", {}, "v=DKIM1; k=dsa"),
    ("permerror", "another version", {}, "v=DKIM2; k=rsa"),
    ("permerror", "another version", {}, "k=rsa; v=DKIM1"),
    ("none", "test", {}, "v=DKIM1; k=rsa; t=y"),
    ("none", "test", {}, "v=DKIM1; k=rsa; t=s:y"),
    ("permerror", "sub-domains", {"tags": "i=@sub.customer.test"}, "v=DKIM1; k=rsa; t=s"),
    ("pass", "", {"tags": "i=ann@customer.test"}, "v=DKIM1; k=rsa; t=s"),
    ("pass", "", {"tags": "i=@sub.customer.test"}, None),
    ("permerror", "i=", {"tags": "i=@other.test"}, None),
    ("permerror", "i=", {"tags": "i=@notcustomer.test"}, None),
    ("permerror", "i=", {"tags": "i=ann"}, None),
    ("policy", "expired", {"tags": f"t=1500000000; x={T - 1}"}, None),
    ("pass", "", {"tags": f"t=1500000000; x={T}"}, None),
    ("policy", "future", {"t": T + 301}, None),
    ("pass", "", {"t": T + 300}, None),
    ("policy", "future", {"t": 4070908800}, None),
    ("policy", "ends before it begins", {"tags": f"x={T - 10}"}, None),
    ("permerror", "t=", {"tags": "t=yesterday"}, None),
    ("permerror", "t=", {"tags": "t="}, None),
    ("permerror", "t=", {"tags": "t=" + "9" * 5000}, None),
    ("permerror", "x=", {"tags": "x=-1"}, None),
    ("permerror", "v=", {"first": "v=2"}, None),
    ("permerror", "c=", {"tags": "c=nofws"}, None),
    ("permerror", "c=", {"tags": "c="}, None),
    ("permerror", "q=", {"tags": "q=http"}, None),
    ("permerror", "h=", {"tags": "h=from:"}, None),
    ("permerror", "bh=", {"tags": "bh=%%"}, None),
    ("permerror", "bh=", {"tags": "bh="}, None),
    ("permerror", "d=", {"tags": "d="}, None),
    ("permerror", "d=", {"tags": "d=cust omer.test"}, None),
    ("permerror", "s=", {"tags": "s="}, None),
    ("permerror", "malformed", {"tags": "1x=y"}, None),
    ("fail", "body", {"tags": "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, None),
]


@pytest.mark.parametrize(("result", "reason", "signing", "key"), ROWS)
def test_the_table_of_signatures_and_keys(result: str, reason: str, signing: dict[str, str], key: str | None) -> None:
    zone = make_zone() if key is None else key_zone(key)
    got = result_of(sign(ANN, "customer.test", **({} if key is None else {"s": "k"}), **signing), zone)  # type: ignore[arg-type]
    assert got.result == result
    assert reason in got.reason


def test_a_tag_that_stands_twice_is_an_error() -> None:
    raw = sign(ANN, "customer.test").replace(b"d=customer.test;", b"d=customer.test; d=customer.test;", 1)
    assert result_of(raw).result == "permerror"


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (DnsAnswer("absent"), "permerror"),
        (txt("v=DKIM1; k=rsa; p="), "permerror"),
        (txt("v=DKIM1; k=rsa; p= "), "permerror"),
        (txt("v=DKIM1; k=rsa"), "permerror"),
        (txt("v=DKIM1; p=AAAA"), "permerror"),
        (txt("v=DKIM1; p=%%%%"), "permerror"),
        (txt("v=DKIM1; k=ed25519; p=AAAA"), "permerror"),
        (txt("\x00\ufffd;;=;"), "permerror"),
        (txt("x" * 9000), "permerror"),
        (DnsAnswer("oversize"), "permerror"),
        (FAILED, "temperror"),
    ],
)
def test_what_a_key_query_may_bring(answer: DnsAnswer, result: str) -> None:
    zone = make_zone({"TXT s1._domainkey.customer.test": answer})
    assert result_of(sign(ANN, "customer.test"), zone).result == result


def test_two_key_records_are_an_error_even_if_one_fits() -> None:
    record = key_record("rsa2048:customer.test")
    zone = make_zone({"TXT s1._domainkey.customer.test": txt(record, "v=spf1 -all")})
    assert result_of(sign(ANN, "customer.test"), zone).result == "permerror"


def test_a_key_of_another_kind_than_the_signature_is_an_error() -> None:
    zone = key_zone("v=DKIM1; k=ed25519", key="ed25519:customer.test")
    assert result_of(sign(ANN, "customer.test", s="k"), zone).result == "permerror"


@pytest.mark.parametrize(("bits", "result"), [(512, "policy"), (768, "policy"), (1024, "pass")])
def test_short_keys_are_not_accepted(bits: int, result: str) -> None:
    zone = key_zone("v=DKIM1; k=rsa", key=f"rsa{bits}")
    assert result_of(sign(ANN, "customer.test", s="k", key=f"rsa{bits}"), zone).result == result


def test_an_agent_needs_a_longer_key_than_a_customer() -> None:
    zone = make_zone({"TXT k._domainkey.corp.test": txt(key_record("rsa1024"))})
    results = check(sign(AGENT, "corp.test", s="k", key="rsa1024"), zone)
    assert (results.dkim[0].result, results.proof, results.failed) == ("policy", Proof.NONE, True)
    relaxed = replace(RULES, agent_key_bits=1024)
    assert check(sign(AGENT, "corp.test", s="k", key="rsa1024"), zone, relaxed).proof is Proof.DKIM


@pytest.mark.parametrize("domain", ["test", "co.uk", "github.io"])
def test_a_public_suffix_signs_for_nobody(domain: str) -> None:
    raw = ANN.replace(b"ann@customer.test", f"ann@a.{domain}".encode())
    zone = make_zone({f"TXT s1._domainkey.{domain}": txt(key_record("rsa2048:suffix"))})
    assert result_of(sign(raw, domain, key="rsa2048:suffix"), zone).result == "policy"


def test_times_are_compared_with_the_time_of_reception() -> None:
    raw = sign(ANN, "customer.test", tags=f"x={T + 3600}")
    assert result_of(raw).result == "pass"
    assert result_of(raw, received_at=NOW + timedelta(hours=2)).result == "policy"
    assert result_of(raw, received_at=NOW - timedelta(hours=2)).result == "policy"


# ------------------------------------------------------------------ hash and signature


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (b"\r\n\r\nhello", b"\r\n\r\nhallo", "fail"),
        (b"Subject: hello", b"Subject: bye", "fail"),
        (b"To: support@desk.test", b"X-Spam: no\r\nTo: support@desk.test", "pass"),
    ],
)
def test_what_is_changed_after_signing_fails_if_it_was_covered(old: bytes, new: bytes, result: str) -> None:
    assert result_of(sign(ANN, "customer.test").replace(old, new)).result == result


def test_a_rewritten_b_is_no_second_signature() -> None:
    raw = sign(ANN, "customer.test")
    value = signature_value(raw)
    key = rsa_key("rsa2048:customer.test")
    plus_modulus = (int.from_bytes(value, "big") + key.n).to_bytes(key.size + 1, "big")
    assert result_of(raw).result == "pass"
    for forged in (plus_modulus, b"\0" + value, value[:-1], value[::-1]):
        assert result_of(replace_signature(raw, forged)).result == "fail"


def test_folding_of_b_and_blanks_at_line_ends_change_neither_validity_nor_replay_key() -> None:
    raw = sign(ANN.replace(b"hello\r\n", b"hello  \r\n"), "customer.test")
    refolded = replace_signature(raw, signature_value(raw))
    stripped = raw.replace(b"hello  \r\n", b"hello\r\n")
    keys = {result_of(one).replay_key for one in (raw, refolded, stripped, b"Received: x\r\n" + raw)}
    assert len(keys) == 1
    assert len({*keys, result_of(sign(ANN, "customer.test", t=T - 1)).replay_key}) == 2


def test_signed_at_is_t_or_else_the_covered_date() -> None:
    early = datetime(2026, 11, 23, 9, 58, tzinfo=UTC)
    assert result_of(sign(ANN, "customer.test", t=T - 60)).signed_at == NOW - timedelta(minutes=1)
    assert result_of(sign(ANN, "customer.test", t=None)).signed_at == early
    uncovered = result_of(sign(ANN, "customer.test", t=None, h="from:subject:message-id"))
    assert (uncovered.result, uncovered.signed_at) == ("policy", None)
    odd = ANN.replace(b"Mon, 23 Nov 2026 09:58:00 +0000", b"Monday morning")
    assert result_of(sign(odd, "customer.test", t=None)).signed_at is None


def test_a_field_that_is_not_in_the_mail_need_not_be_covered() -> None:
    raw = ANN.replace(b"Message-ID: <adv@sender.test>\r\n", b"")
    assert result_of(sign(raw, "customer.test", h="from:subject:date")).result == "pass"
    added = b"Message-ID: <x@evil.test>\r\n" + sign(raw, "customer.test", h="from:subject:date")
    assert result_of(added).result == "policy"


def test_strict_domains_must_cover_everything_that_is_there() -> None:
    raw = sign(ANN, "customer.test", h="from:subject:date:message-id:to")
    strict = replace(RULES, strict_domains=("customer.test",))
    assert check(raw, rules=RULES).dkim[0].result == "pass"
    assert check(raw, rules=strict).dkim[0].result == "policy"
    assert check(sign(ANN, "customer.test"), rules=strict).dkim[0].result == "pass"


# ------------------------------------------------------------------ several signatures


def test_a_broken_signature_on_top_does_not_hide_a_good_one() -> None:
    good = sign(ANN, "customer.test")
    broken = replace_signature(sign(good, "customer.test"), b"B" * 256)
    results = check(broken)
    assert [one.result for one in results.dkim] == ["fail", "pass"]
    assert (results.proof, results.failed) == (Proof.DKIM, False)


def test_a_provider_without_key_does_not_hide_the_author_s_signature() -> None:
    results = check(sign(sign(ANN, "customer.test"), "esp.test"))
    assert [(one.domain, one.result) for one in results.dkim] == [("customer.test", "pass"), ("esp.test", "permerror")]
    assert results.proof is Proof.DKIM


def test_a_signature_may_cover_other_signatures_but_never_itself() -> None:
    covering = "from:subject:date:message-id:dkim-signature"
    inner = sign(ANN, "customer.test", h=covering)
    assert result_of(inner).result == "pass"
    assert [one.result for one in check(sign(inner, "customer.test", h=covering)).dkim] == ["pass", "fail"]


def test_eight_signatures_are_evaluated_the_author_s_first() -> None:
    raw = sign(ANN, "customer.test")
    for n in range(20):
        raw = sign(raw, f"esp{n}.test", key="rsa1024")
    results = check(raw)
    assert len(results.dkim) == 8
    assert results.dkim[0].domain == "customer.test"
    assert results.proof is Proof.DKIM


# ------------------------------------------------------------------ canonical forms

LINES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"b ", b" \r\n", b"\r\n\r\n"]), max_size=40)


@given(LINES.map(b"".join), st.booleans())
def test_bodies_are_canonicalised_as_the_rfc_says(body: bytes, relaxed: bool) -> None:
    assert canonical_body(body, relaxed) == canonical_body_by_the_letter(body, relaxed)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "body",
    [
        b" " * 160_000 + b"x\r\n",
        b" " * 25_000_000 + b"x\r\n",
        b"\r\n" * 12_500_000,
        b" \r\n" * 8_000_000,
        b"\n" * 25_000_000,
    ],
    ids=["160 kB of blanks", "25 MB of blanks", "25 MB of empty lines", "25 MB of blank lines", "25 MB of bare LF"],
)
def test_bodies_made_to_cost_time_cost_no_more_than_their_size(body: bytes) -> None:
    assert canonical_body(body, True) is not None  # 0.3 s; hours, and so the timeout, with a quadratic step


def test_a_bare_lf_ends_no_line() -> None:
    assert canonical_body(b"a \nb\r\n", True) == b"a \nb\r\n"


@given(st.text(st.sampled_from("abcv=;: \t\r\n1+/"), max_size=60).map(lambda text: text.encode()))
def test_cutting_b_out_keeps_everything_else(value: bytes) -> None:
    cut = cut_signature(value)
    assert len(cut) <= len(value)
    assert cut.count(b";") == value.count(b";")


def test_b_is_cut_out_exactly() -> None:
    assert cut_signature(b" v=1; bh=abc; b=x y\r\n z; d=a.test") == b" v=1; bh=abc; b=; d=a.test"
    assert cut_signature(b" b = xyz") == b" b ="


def test_tag_lists_allow_white_space_and_one_final_semicolon() -> None:
    assert read_tags(" a = 1 ;\r\n\tb=2;") == {"a": "1", "b": "2"}
    for wrong in ("a=1;;b=2", "a", "=1", "a=1; a=2", "a=1;b"):
        with pytest.raises(ValueError):
            read_tags(wrong)


def test_relaxed_fields_agree_with_an_independent_reading() -> None:
    field = b"SubJect :  a\t b\r\n  c \r\n"
    assert re.sub(rb" +", b" ", relax_field(field)) == b"subject:a b c\r\n"
