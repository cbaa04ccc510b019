"""The byte tokeniser: one possible author or nobody (security.md 3)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.analysis.encoded_words import decode_words
from gateway.analysis.header import MAX_FIELDS, MAX_HEADER, ONCE, read_header
from gateway.model import Mailbox

REST = b"To: support@desk.test\r\nSubject: hello\r\n\r\nhello\r\n"


def author_of(value: str | bytes) -> Mailbox | None:
    value = value if isinstance(value, bytes) else value.encode()
    return read_header(b"From: " + value + b"\r\n" + REST).author


def why_not(raw: str | bytes) -> str:
    header = read_header(raw if isinstance(raw, bytes) else raw.encode("latin-1"))
    assert header.author is None
    return header.ambiguous


@pytest.mark.parametrize(
    ("label", "name", "codec"),
    [("gb2312", "王镕", "gbk"), ("windows-31j", "髙橋", "cp932"), ("ks_c_5601-1987", "김똠방", "cp949")],
)
def test_a_name_is_read_in_the_charset_that_programs_mean_by_a_label(label: str, name: str, codec: str) -> None:
    word = base64.b64encode(name.encode(codec)).decode()
    assert author_of(f"=?{label}?B?{word}?= <a@b.test>") == Mailbox(name, "a@b.test")


def test_fields_keep_their_bytes_and_the_body_is_found() -> None:
    raw = b"From: a@b.test\r\nX-Long:  one\r\n\ttwo\r\nSubject:\r\n\r\nbody\r\n\r\nmore"
    header = read_header(raw)
    assert [(f.name, f.value) for f in header.fields] == [
        (b"From", b" a@b.test"),
        (b"X-Long", b"  one\r\n\ttwo"),
        (b"Subject", b""),
    ]
    assert b"".join(f.raw for f in header.fields) == raw[: header.body_start - 2]
    assert raw[header.body_start :] == b"body\r\n\r\nmore"


def test_without_an_empty_line_everything_is_header() -> None:
    header = read_header(b"From: a@b.test\r\nSubject: x")
    assert header.body_start == 26
    assert header.author == Mailbox("", "a@b.test")


def test_a_mail_without_header_names_nobody() -> None:
    assert read_header(b"\r\nbody").body_start == 2
    assert why_not("\r\nFrom: a@b.test\r\n\r\n") == "the mail has no header"
    assert why_not("") == "no From field"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("X: y\rFrom: agent@corp.test\r\nFrom: e@evil.test\r\n\r\n", "a bare CR in the header"),
        ("X: y\nFrom: agent@corp.test\r\nFrom: e@evil.test\r\n\r\n", "a bare LF in the header"),
        ("From: agent@corp.test\0 <e@evil.test>\r\n\r\n", "NUL in the header"),
        ("From: e@evil.test\r\nno field\r\n\r\n", "a line that is no header field"),
        (" X: y\r\nFrom: e@evil.test\r\n\r\n", "the header starts with a continuation line"),
        (
            "From e@evil.test Mon Nov 23 10:00:00 2026\r\nFrom: e@evil.test\r\n\r\n",
            'an mbox "From " line in the header',
        ),
        ("From : agent@corp.test\r\n\r\n", "a space before the colon of a header field"),
        ("Subject\t: x\r\nFrom: e@evil.test\r\n\r\n", "a space before the colon of a header field"),
        ("\xef\xbb\xbfFrom: agent@corp.test\r\nFrom: e@evil.test\r\n\r\n", "an 8-bit byte in a field name"),
        ("S\xfcbject: x\r\nFrom: e@evil.test\r\n\r\n", "an 8-bit byte in a field name"),
        (": x\r\nFrom: e@evil.test\r\n\r\n", "a line that is no header field"),
        ("Subject: x\r\n\r\n", "no From field"),
    ],
)
def test_bytes_that_two_programs_read_differently_are_ambiguous(raw: str, why: str) -> None:
    assert why_not(raw) == why


@pytest.mark.parametrize("name", sorted(ONCE))
def test_a_field_that_may_stand_once_is_ambiguous_twice_even_with_the_same_value(name: bytes) -> None:
    twice = name + b": a@b.test\r\n" + name.upper() + b": a@b.test\r\n"
    assert why_not(twice + b"From: a@b.test\r\n\r\n").startswith("more than one")


def test_trace_fields_may_stand_many_times() -> None:
    assert read_header(b"Received: x\r\n" * 20 + b"From: a@b.test\r\n\r\n").author


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ("ann@customer.test", "", "ann@customer.test"),
        ("<ann@customer.test>", "", "ann@customer.test"),
        ("Ann Lee <ann@customer.test>", "Ann Lee", "ann@customer.test"),
        ("Ann\r\n Lee\r\n <ann@customer.test>", "Ann Lee", "ann@customer.test"),
        ('"Lee, Ann"<ann@customer.test>', "Lee, Ann", "ann@customer.test"),
        ("Ann O. Lee <ann@customer.test>", "Ann O. Lee", "ann@customer.test"),
        ("ann@customer.test (Ann Lee)", "Ann Lee", "ann@customer.test"),
        ("(office) Ann <ann@customer.test> (away)", "Ann", "ann@customer.test"),
        ('"agent@corp.test" <evil@evil.test>', "agent@corp.test", "evil@evil.test"),
        ("=?utf-8?q?agent=40corp.test?= <evil@evil.test>", "agent@corp.test", "evil@evil.test"),
        ("=?iso-8859-1?q?J=F6rg?= =?utf-8?b?w6Q=?= <j@b.test>", "Jörgä", "j@b.test"),
        ("J\u00f6rg <j@b\u00fccher.test>", "Jörg", "j@xn--bcher-kva.test"),
        ("j\u00f6rg@b.test", "", "jörg@b.test"),
        ("Ann <ann+tag@sub-1.my-bank.test>", "Ann", "ann+tag@sub-1.my-bank.test"),
        ("ANN@Customer.TEST", "", "ANN@customer.test"),
    ],
)
def test_one_mailbox_is_the_author(value: str, name: str, address: str) -> None:
    assert author_of(value) == Mailbox(name, address)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "agent@corp.test, evil@evil.test",
        "agent@corp.test <evil@evil.test>",
        "agent@corp.test\r\n <evil@evil.test>",
        "<agent@corp.test> <evil@evil.test>",
        "<evil@evil.test>agent@corp.test",
        "agent@corp.test(<evil@evil.test>)",
        "Agent (agent@corp.test) <evil@evil.test>",
        "agent@corp.test@evil.test",
        '<"agent@corp.test"@evil.test>',
        'a"gent@corp.test" <evil@evil.test>',
        '"agent"@corp.test <evil@evil.test>',
        "=?utf-8?q?agent=40corp.test=3e?=@evil.test",
        "<=?utf-8?q?agent?=@evil.test>",
        '"a@evil.test"@good.test',
        "group: agent@corp.test, evil@evil.test;",
        "agent@corp.test:;",
        "<@evil.test:agent@corp.test>",
        "agent@corp.test.",
        "agent@corp.test\u3002",
        "agent@[192.0.2.1]",
        "agent@-corp.test",
        "agent@corp..test",
        ".agent@corp.test",
        "ag..ent@corp.test",
        "agent@",
        "@corp.test",
        "<>",
        "agent",
        "agent corp@corp.test",
        "agent @corp.test",
        "< agent@corp.test>",
        "agent@corp.test >",
        "Agent <agent@corp.test",
        '"Agent <agent@corp.test>',
        "(Agent <agent@corp.test>",
        "Agent\x1b$B <agent@corp.test>",
        "[Agent] <agent@corp.test>",
        "Agent <agent\u200b@corp.test>",
        "Agent <agent\u202e@corp.test>",
        b"Agent <ag\xffent@corp.test>",
        "(((((((((((((x))))))))))))) agent@corp.test",
        "x" * 40_000 + " <agent@corp.test>",
        "x" * 400 + "@corp.test",
    ],
)
def test_anything_else_names_nobody(value: str | bytes) -> None:
    assert author_of(value) is None


def test_eight_bit_bytes_in_a_name_do_not_hide_the_author() -> None:
    assert author_of(b"J\xf6rg <j@b.test>") == Mailbox("J\u00f6rg", "j@b.test")


def test_a_decoded_name_holds_no_line_break() -> None:
    author = author_of("=?utf-8?q?a=0D=0ABcc=3A_x?= <e@evil.test>")
    assert author and author.name == "a Bcc: x"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"X: " + b"a" * MAX_HEADER + b"\r\nFrom: a@b.test\r\n\r\n", "the header is larger than 256 KiB"),
        (b"X: 1\r\n" * (MAX_FIELDS + 1) + b"From: a@b.test\r\n\r\n", "more than 1000 header fields"),
        (b"X: a\r\n" + b" a\r\n" * 30_000 + b"From: a@b.test\r\n\r\n", "a header field is larger than 100 KiB"),
    ],
)
def test_over_a_limit_nobody_can_be_proven(raw: bytes, why: str) -> None:
    assert why_not(raw) == why
    assert read_header(raw).fields == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"X: " + b"a" * 10_000_000 + b"\r\n\r\n",
        b"X: a\r\n" + b" \r\n" * 3_000_000 + b"\r\n",
        b"From: a@b.test\r\n" * 600_000,
        b"\r\n" * 5_000_000,
        b"From: " + b"(" * 8000 + b"\r\n\r\n",
        b"From: " + b'"\\' * 4000 + b"\r\n\r\n",
        b"From: " + b"=?u?q?" * 1300 + b" <a@b.test>\r\n\r\n",
        b"From: " + b"=?utf-8?q?" + b"=" * 7000 + b"?= <a@b.test>\r\n\r\n",
    ],
)
@pytest.mark.timeout(30)
def test_a_hostile_header_costs_no_more_than_its_size(raw: bytes) -> None:
    read_header(raw)  # milliseconds; minutes, and so the timeout, if anything is quadratic


# ------------------------------------------------------------------ properties

WORDS = b'From: a@b.test|From|:| |\t|\r\n|\r|\n|\0|<|>|@|"|(|)|\\|,|=?utf-8?q?=40?=|x|\xff|Subject: y\r\n|\r\n\r\n|[|;'
PIECES = st.lists(st.sampled_from(WORDS.split(b"|")), max_size=30).map(b"".join)


@settings(deadline=None)
@given(st.binary(max_size=400) | PIECES)
@example(b"From: a@b.test")
def test_the_tokeniser_never_raises(raw: bytes) -> None:
    header = read_header(raw)
    assert 0 <= header.body_start <= len(raw)
    assert (header.author is None) == (header.ambiguous != "")


@settings(deadline=None)
@given(PIECES, st.sampled_from([b"\r", b"\n", b"\0"]), PIECES)
def test_no_author_is_named_beside_a_bare_cr_lf_or_nul(before: bytes, stray: bytes, after: bytes) -> None:
    # Letters on both sides keep the stray byte bare.
    raw = b"From: a@b.test\r\nX: " + before.replace(b"\r\n\r\n", b"") + b"x" + stray + b"x" + after
    header = read_header(raw)
    if raw.find(b"x" + stray + b"x") < header.body_start:
        assert header.author is None


@settings(deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["=?", "?=", "utf-8", "?q?", "?b?", "=41", "QQ==", " "])).map("".join)
)
def test_decoding_words_never_raises_and_leaves_nothing_that_cannot_be_encoded(text: str) -> None:
    decode_words(text).encode()


@pytest.mark.parametrize(
    "charset", ["zlib_codec", "idna", "punycode", "undefined", "utf-7", "rot13", "nonsense", "cp875"]
)
def test_charsets_that_are_no_text_do_no_harm(charset: str) -> None:
    assert decode_words(f"=?{charset}?q?abc?=")


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("=?utf-8?q?caf=C3=A9?= =?utf-8?q?_bar?=", "café bar"),
        ("a =?utf-8?q?b?= c", "a b c"),
        ("=?utf-8*en?q?b?=", "b"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
    ],
)
def test_encoded_words(text: str, decoded: str) -> None:
    assert decode_words(text) == decoded


def test_an_encoded_word_before_the_angle_bracket_is_a_name_whatever_it_holds() -> None:
    for name in ("=?utf-8?q?a=0D=0ABcc:_evil@evil.test?=", "=?utf-8?q?a@b?= =?utf-8?B?eA==?=", "=?utf-8?q?a:b?="):
        author = author_of(f"{name} <ann@customer.test>")
        assert author is not None and author.address == "ann@customer.test"
    for value in (
        "=?utf-8?q?a@b?=",  # an address is wanted and this is none
        "=?utf-8?q?a@b?=c <ann@customer.test>",  # not alone: no encoded word
        "=?utf-8?q?a,b@c.test?= <ann@customer.test>",
        "=?utf-8?q?<boss@corp.test>?= <ann@customer.test>",
        '=?utf-8?q?a?="b" <ann@customer.test>',
    ):
        assert author_of(value) is None, value
