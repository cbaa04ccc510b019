"""SPF with DNS as data (RFC 7208), on zones of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analysis.dns_records import Answers
from gateway.analysis.spf import check_spf
from gateway.model import DnsAnswer, SpfResult
from tests.support.auth_mail import FAILED, Zone, txt


def spf(
    zone: dict[str, DnsAnswer], client: str = "192.0.2.1", path: str = "ann@a.test", helo: str = "mx.a.test"
) -> SpfResult:
    result = check_spf(Answers(Zone(zone)), client, path, helo)
    assert result is not None
    return result


def found(*values: str) -> DnsAnswer:
    return DnsAnswer("found", values)


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass"),
        ("v=spf1 ip4:198.51.100.0/24 -all", "fail"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1", "neutral"),
        ("v=spf1 a -all", "pass"),
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 include:b.test -all", "pass"),
        ("v=spf1 redirect=b.test", "pass"),
        ("v=spf1 exists:%{i}.list.test -all", "pass"),
        ("v=spf1 ptr -all", "pass"),
        ("v=spf1 include:none.test -all", "permerror"),
        ("v=spf1 redirect=none.test", "permerror"),
        ("v=spf1 ip4:192.0.2.0/33 -all", "permerror"),
        ("v=spf1 nonsense -all", "permerror"),
        ("v=spf1 a:bücher.test -all", "permerror"),
        ("v=spf10 -all", "none"),
        ("hello", "none"),
    ],
)
def test_mechanisms(record: str, result: str) -> None:
    zone = {
        "TXT a.test": txt(record),
        "TXT b.test": txt("v=spf1 ip4:192.0.2.1 -all"),
        "A a.test": found("192.0.2.1"),
        "MX a.test": found("10 mx.a.test."),
        "A mx.a.test": found("192.0.2.1"),
        "A 192.0.2.1.list.test": found("127.0.0.2"),
        "PTR 1.2.0.192.in-addr.arpa": found("mx.a.test."),
    }
    assert spf(zone).result == result


def test_a_client_with_an_ipv6_address() -> None:
    zone = {"TXT a.test": txt("v=spf1 a -all"), "AAAA a.test": found("2001:db8::1")}
    assert spf(zone, "2001:db8::1").result == "pass"
    assert spf({"TXT a.test": txt("v=spf1 ip4:192.0.2.1 -all")}, "::ffff:192.0.2.1").result == "pass"


def test_two_records_are_a_permerror_and_no_record_is_none() -> None:
    assert spf({"TXT a.test": txt("v=spf1 -all", "v=spf1 +all")}).result == "permerror"
    assert spf({"TXT a.test": txt("v=spf1 -all", "something else")}).result == "fail"
    assert spf({}).result == "none"


@pytest.mark.parametrize(
    "zone",
    [
        {"TXT a.test": FAILED},
        {"TXT a.test": txt("v=spf1 include:b.test -all"), "TXT b.test": FAILED},
        {"TXT a.test": txt("v=spf1 mx -all"), "MX a.test": FAILED},
    ],
)
def test_a_failed_query_is_a_temperror(zone: dict[str, DnsAnswer]) -> None:
    assert spf(zone).result == "temperror"


def test_more_than_ten_terms_that_ask_dns_are_a_permerror() -> None:
    for count, result in ((10, "pass"), (11, "permerror")):
        zone = {f"TXT i{n}.test": txt("v=spf1 ip4:198.51.100.1") for n in range(count)}
        zone["TXT a.test"] = txt("v=spf1 " + " ".join(f"include:i{n}.test" for n in range(count)) + " ip4:192.0.2.1")
        assert spf(zone).result == result


def test_more_than_two_names_that_do_not_exist_are_a_permerror() -> None:
    for count, result in ((2, "pass"), (3, "permerror")):
        record = "v=spf1 " + " ".join(f"a:void{n}.test" for n in range(count)) + " ip4:192.0.2.1 -all"
        assert spf({"TXT a.test": txt(record)}).result == result


def test_a_record_nobody_could_want_is_not_evaluated() -> None:
    assert spf({"TXT a.test": txt("v=spf1 ip4:192.0.2.1 " + "redirect=a.b%{l1r-}" * 300)}).result == "permerror"
    assert spf({"TXT a.test": txt("v=spf1 ip4:192.0.2.1 -all", "x" * 5000)}).result == "pass"
    assert spf({}, path="a" * 600 + "@a.test").result == "none"


def test_a_record_that_includes_itself_ends() -> None:
    assert spf({"TXT a.test": txt("v=spf1 include:a.test -all")}).result == "permerror"
    assert spf({"TXT a.test": txt("v=spf1 redirect=a.test")}).result == "permerror"


def test_a_null_reverse_path_asks_for_the_helo_name_and_names_no_domain() -> None:
    result = spf({"TXT mx.a.test": txt("v=spf1 ip4:192.0.2.1 -all")}, path="")
    assert (result.result, result.domain) == ("pass", "")


@pytest.mark.parametrize(
    ("client", "path", "helo"), [("", "a@a.test", "x"), ("nonsense", "a@a.test", "x"), ("192.0.2.1", "", "")]
)
def test_without_client_or_domain_there_is_nothing_to_say(client: str, path: str, helo: str) -> None:
    assert spf({}, client, path, helo).result == "none"


def test_lacking_records_are_named_one_after_the_other() -> None:
    records: dict[str, DnsAnswer] = {}
    asked = []
    zone = Zone(
        {"TXT a.test": txt("v=spf1 mx -all"), "MX a.test": found("10 mx.a.test."), "A mx.a.test": found("192.0.2.1")}
    )
    while check_spf(answers := Answers(records), "192.0.2.1", "ann@a.test", "mx.a.test") is None:
        asked += list(answers.needs)
        records |= {key: zone.get(key) for key in answers.needs}
    assert asked == ["TXT a.test", "MX a.test", "A mx.a.test"]


def test_addresses_of_many_exchanges_are_asked_for_together() -> None:
    hosts = [f"mx{n}.a.test" for n in range(5)]
    known = {"TXT a.test": txt("v=spf1 mx -all"), "MX a.test": found(*(f"10 {host}." for host in hosts))}
    answers = Answers(known)
    assert check_spf(answers, "192.0.2.1", "ann@a.test", "x") is None
    assert list(answers.needs) == [f"A {host}" for host in hosts]
    assert spf(known | {f"A {host}": found("192.0.2.1") for host in hosts}).result == "pass"


def test_a_void_exchange_list_is_counted_once() -> None:
    assert spf({"TXT a.test": txt("v=spf1 mx mx:b.test ip4:192.0.2.1 -all")}).result == "pass"


def test_the_explanation_is_never_fetched() -> None:
    answers = Answers(Zone({"TXT a.test": txt("v=spf1 -all exp=why.a.test")}))
    result = check_spf(answers, "192.0.2.1", "ann@a.test", "x")
    assert result and result.result == "fail"
    assert list(answers.used) == ["TXT a.test"]


RECORDS = st.lists(
    st.sampled_from(
        [
            "a",
            "mx",
            "ptr",
            "ip4:",
            "ip6:::1/",
            "include:",
            "exists:%{",
            "redirect=",
            "%{d}",
            "/",
            "99",
            ":b",
            "=",
            "-all",
        ]
    )
).map(lambda words: "v=spf1 " + " ".join(words))


@given(RECORDS | st.text(max_size=50).map(lambda text: "v=spf1 " + text), st.text(max_size=20))
def test_no_record_and_no_address_raises(record: str, path: str) -> None:
    assert spf({"TXT a.test": txt(record)}).result
    assert check_spf(Answers(Zone({})), "192.0.2.1", path, path)
