"""Reading Authentication-Results (RFC 8601) and choosing those that count (security.md 4.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analysis.header import read_header
from gateway.analysis.results_header import find_trusted, proves_submission, read_results
from tests.support.auth_mail import ANN

OURS = b"Authentication-Results: mx.desk.test; dmarc=pass header.from=customer.test\r\n"


@pytest.mark.parametrize(
    ("value", "server", "results"),
    [
        (" mx.a.test; none", "mx.a.test", []),
        (" mx.a.test 1; dkim=pass header.d=a.test header.s=s1", "mx.a.test", ["dkim pass header.d=a.test header.s=s1"]),
        (" MX.A.test;\r\n spf=Pass\r\n smtp.mailfrom=Ann@A.test", "mx.a.test", ["spf pass smtp.mailfrom=Ann@A.test"]),
        (
            " (x) mx.a.test (y (z)) 1; dmarc (c) = (d) pass (p=none) header.from = a.test",
            "mx.a.test",
            ["dmarc pass header.from=a.test"],
        ),
        (
            ' mx.a.test; spf=fail reason="a; b=c" smtp.mailfrom="a b"@a.test',
            "mx.a.test",
            ["spf fail reason=a; b=c smtp.mailfrom=a b@a.test"],
        ),
        (
            " mx.a.test; dkim/1=fail (bad \\) key); auth=pass smtp.auth=ann@a.test",
            "mx.a.test",
            ["dkim fail", "auth pass smtp.auth=ann@a.test"],
        ),
        (
            " spf=pass smtp.mailfrom=a.test; dmarc=pass header.from=a.test",
            "",
            ["spf pass smtp.mailfrom=a.test", "dmarc pass header.from=a.test"],
        ),
        (
            " mx.a.test; spf=pass smtp.mailfrom=SRS0=h=tt=a.test=ann@fwd.test",
            "mx.a.test",
            ["spf pass smtp.mailfrom=SRS0=h=tt=a.test=ann@fwd.test"],
        ),
        ("", "", []),
        (";;;=;==", "", []),
    ],
)
def test_values(value: str, server: str, results: list[str]) -> None:
    read = read_results(value)
    assert read.server == server
    assert [
        " ".join([r.method, r.result, *(f"{k}={v}" for k, v in r.properties.items())]) for r in read.results
    ] == results


def test_domains_of_properties_are_folded() -> None:
    result = read_results("mx.a.test; spf=pass smtp.mailfrom=<Ann@BÜCHER.test>").results[0]
    assert result.domain("smtp.mailfrom") == "xn--bcher-kva.test"
    assert result.domain("smtp.helo") == ""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("value", ["(" * 10**6, "mx;" * 10**6, "a=" * 10**6, '"' * 10**6, "mx; a= = = " + "=" * 10**6])
def test_hostile_values_cost_no_more_than_their_size(value: str) -> None:
    read_results(value)


@given(
    st.text(max_size=100) | st.lists(st.sampled_from(["(", ")", '"', "\\", ";", "=", " ", "a", "mx.test"])).map("".join)
)
def test_reading_never_raises(value: str) -> None:
    read_results(value)


# ------------------------------------------------------------------ which fields count


def trusted_methods(raw: bytes) -> list[str]:
    return [result.method for result in find_trusted(read_header(raw), ("MX.desk.test",))]


def test_fields_above_the_first_received_count() -> None:
    assert trusted_methods(OURS + ANN) == ["dmarc"]
    assert trusted_methods(b"Return-Path: <a@b.test>\r\n" + OURS + OURS.replace(b"dmarc", b"spf") + ANN) == [
        "dmarc",
        "spf",
    ]


@pytest.mark.parametrize(
    "received",
    [
        b"Received: from relay by mx.desk.test; Mon, 23 Nov 2026 09:59:00 +0000\r\n",
        b"Received: from relay (relay [192.0.2.1]) by mx.desk.test with ESMTPS id x; Mon, 23 Nov 2026 09:59:00 +0\r\n",
        b"Received: from x with LMTP by y by mx.desk.test with ESMTP; Mon, 23 Nov 2026 09:59:00 +0000\r\n",
        b"Received: from LMTP by mx.desk.test (with LMTP) with ESMTP id with; Mon, 23 Nov 2026 09:59:00 +0000\r\n",
        b"Received: nonsense\r\n",
        b"Received:\r\n",
    ],
)
def test_fields_below_a_received_do_not_count(received: bytes) -> None:
    assert trusted_methods(received + OURS + ANN) == []


def test_the_received_of_our_own_mailbox_store_is_passed_over() -> None:
    store = (
        b"Received: from mx.desk.test ([127.0.0.1])\r\n\tby store.desk.test with LMTP\r\n\tid a\r\n"
        b"\t(envelope-from <b@c.test>)\r\n\tfor <x@desk.test>; Mon, 23 Nov 2026 09:59:00 +0000\r\n"
    )
    border = b"Received: from relay by mx.desk.test with ESMTP; Mon, 23 Nov 2026 09:59:00 +0000\r\n"
    assert trusted_methods(store + OURS + border + ANN) == ["dmarc"]
    assert trusted_methods(store + border + OURS + ANN) == []


@pytest.mark.parametrize(
    "server",
    [b"mx.evil.test", b"mx.desk.test.evil.test", b"x.mx.desk.test", b"(mx.desk.test) mx.evil.test", b"", b"spf=pass"],
)
def test_other_servers_do_not_count(server: bytes) -> None:
    assert trusted_methods(OURS.replace(b"mx.desk.test", server) + ANN) == []


@pytest.mark.parametrize("server", [b"MX.Desk.Test", b"\r\n mx.desk.test", b"(x) mx.desk.test (y) 1", b"mx.desk.test."])
def test_ids_are_compared_without_case_folding_and_comments(server: bytes) -> None:
    assert trusted_methods(OURS.replace(b" mx.desk.test", b" " + server) + ANN) == ["dmarc"]


def test_only_ten_fields_are_read() -> None:
    assert len(trusted_methods(OURS * 50 + ANN)) == 10


@pytest.mark.parametrize(
    ("value", "proven"),
    [
        ("auth=pass smtp.auth=Ann@Customer.test", True),
        ("auth=pass smtp.auth=ann", False),
        ("auth=pass smtp.auth=bob@customer.test", False),
        ("auth=fail smtp.auth=ann@customer.test", False),
        ("auth=pass", False),
        ("spf=pass smtp.auth=ann@customer.test", False),
    ],
)
def test_submission_counts_for_the_account_s_own_address(value: str, proven: bool) -> None:
    assert proves_submission(read_results(f"mx; {value}").results, "ann@customer.test") is proven
