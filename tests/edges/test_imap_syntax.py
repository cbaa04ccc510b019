"""The words of IMAP: cutting a stream into responses at any boundary, reading FETCH, names in modified UTF-7."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.imap_folder import read_return_path
from gateway.ingest.imap_syntax import (
    LiteralTooLarge,
    Response,
    ResponseReader,
    SyntaxViolation,
    decode_name,
    encode_name,
    quote,
    read_code,
    read_date,
    read_fetch,
    read_list,
    uid_set,
)

ROOM = 1 << 20


def cut(*chunks: bytes) -> list[Response]:
    reader = ResponseReader()
    return [response for chunk in chunks for response in reader.feed(chunk, ROOM)]


STREAM = (
    b'* OK ready {5}\r\n* LIST () "/" {3}\r\nabc\r\n* 1 FETCH (UID 1 BODY[] {4}\r\n\r\n\r\n)\r\n'
    b"* 2 FETCH (UID 2 BODY[] {0}\r\n)\r\nA1 OK done {7}\r\n"
)


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_responses_are_the_same_at_any_segment_boundary(places: list[int]) -> None:
    bounds = [0, *sorted(places), len(STREAM)]
    chunks = [STREAM[first:last] for first, last in pairwise(bounds)]
    assert cut(*chunks) == [
        Response(b"* OK ready {5}"),
        Response(b'* LIST () "/" {3}', (b"abc",)),
        Response(b"* 1 FETCH (UID 1 BODY[] {4})", (b"\r\n\r\n",)),
        Response(b"* 2 FETCH (UID 2 BODY[] {0})", (b"",)),
        Response(b"A1 OK done {7}"),
    ]


def test_ten_thousand_lines_in_one_segment_are_read() -> None:
    assert len(cut(b"* 1 EXPUNGE\r\n" * 10_000)) == 10_000


def test_a_literal_larger_than_the_room_is_refused_when_it_is_announced() -> None:
    with pytest.raises(LiteralTooLarge):
        cut(b"* 1 FETCH (UID 1 BODY[] {4294967296}\r\n")


def test_items_of_a_fetch_keep_their_stars_quotes_and_nil() -> None:
    text = b'* 9 FETCH (UID 7 FLAGS ($a* \\* $b) INTERNALDATE "24-Nov-2026 (x) \\"10" BODY[] {3} X NIL)'
    assert read_fetch(Response(text, (b"abc",))) == {
        "UID": b"7",
        "FLAGS": b"($a* \\* $b)",
        "INTERNALDATE": b'24-Nov-2026 (x) "10',
        "BODY[]": b"abc",
        "X": None,
    }


@pytest.mark.parametrize(
    ("text", "literals"),
    [
        (b"* 1 FETCH (UID 1 BODY[] {3}G OK done", (b"abc",)),
        (b"* 1 FETCH (UID 1 BODY[] {3}", (b"abc",)),
        (b"* 1 FETCH (UID 1 BODY[] {3}))", (b"abc",)),
        (b"* 1 FETCH (UID 1 FLAGS (", ()),
        (b"* 1 FETCH (UID 1 BODY[] {3})", ()),
        (b"* 1 FETCH (UID 1)", (b"abc",)),
        (b"* 1 FETCH (UID", ()),
        (b'* 1 FETCH (X "', ()),
        (b"* 1 EXPUNGE", ()),
    ],
)
def test_a_fetch_that_does_not_add_up_is_a_violation(text: bytes, literals: tuple[bytes, ...]) -> None:
    with pytest.raises(SyntaxViolation):
        read_fetch(Response(text, literals))


@given(st.binary(max_size=60))
def test_no_fetch_response_raises_anything_else(tail: bytes) -> None:
    try:
        read_fetch(Response(b"* 1 FETCH (" + tail, ()))
    except SyntaxViolation:
        return


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", "INBOX"),
        ("a&b", "a&-b"),
        ("Büro", "B&APw-ro"),
        ("Entwürfe/ß", "Entw&APw-rfe/&AN8-"),
        ("日本語", "&ZeVnLIqe-"),
        ("😀", "&2D3eAA-"),
        ("~peter/mail/日本語/台北", "~peter/mail/&ZeVnLIqe-/&U,BTFw-"),
    ],
)
def test_names_are_sent_in_modified_utf_7(name: str, wire: str) -> None:
    assert encode_name(name) == wire


@given(st.text(max_size=30))
def test_no_name_puts_a_control_or_a_foreign_character_on_the_wire(name: str) -> None:
    try:
        wire = quote(encode_name(name))
    except ValueError:
        return
    assert all(" " <= character <= "~" for character in wire)


def test_response_codes_dates_and_sets() -> None:
    assert read_code(b"* OK [UIDVALIDITY 42] fine", "UIDVALIDITY") == "42"
    assert read_code(b"* OK [READ-ONLY] fine", "READ-ONLY") == ""
    assert read_code(b"* OK fine", "UIDVALIDITY") is None
    date = read_date(b" 4-Nov-2026 10:00:00 +0100")
    assert date is not None
    assert date.isoformat() == "2026-11-04T10:00:00+01:00"
    assert read_date(b"yesterday") is None
    assert uid_set((7, 1, 3, 2, 3)) == "1:3,7"


@given(st.binary(max_size=200))
def test_reading_a_return_path_never_raises(raw: bytes) -> None:
    assert isinstance(read_return_path(raw), str)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20))
def test_every_name_survives_the_way_to_the_wire_and_back(name: str) -> None:
    assert decode_name(encode_name(name)) == name


@pytest.mark.parametrize(
    ("text", "literals", "expected"),
    [
        (b'* LIST (\\HasNoChildren \\Junk) "/" Spam', (), ("Spam", {"\\hasnochildren", "\\junk"})),
        (b'* LIST () NIL "My \\"x\\""', (), ('My "x"', set())),
        (b'* LIST () "/" {3}', (b"a b",), ("a b", set())),
        (b'* LIST () "/" &x-', (), ("&x-", set())),
        (b"* LIST broken", (), None),
        (b"* 1 EXISTS", (), None),
    ],
)
def test_folders_are_read_from_list(text: bytes, literals: tuple[bytes, ...], expected: object) -> None:
    assert read_list(Response(text, literals)) == expected
