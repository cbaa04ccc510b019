"""Hostile and broken mail: bounded, never raised, nothing lost without a word (security.md 11.1)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis import second_reading
from gateway.analysis.parse import parse
from gateway.analysis.reports import read_reports

HEAD = b"From: ann@customer.test\r\nTo: support@desk.test\r\nSubject: hello\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


class TestOverALimit:
    def test_a_header_over_256_kib_is_unreadable_and_says_why(self) -> None:
        message = parse(HEAD + b"X-A: b\r\n" + b" y\r\n" * 500_000 + TEXT + b"hello\r\n")
        assert "header is larger than 256 KiB" in message.unreadable
        assert "download the original" in message.unreadable
        assert (message.subject, message.text) == ("hello", "")

    def test_a_thousand_fields_are_the_limit(self) -> None:
        assert parse(HEAD + b"X: y\r\n" * 996 + b"\r\nhello").unreadable == ""
        assert "1000 fields" in parse(HEAD + b"X: y\r\n" * 1000 + b"\r\nhello").unreadable

    def test_a_field_over_100_kib_is_unreadable(self) -> None:
        message = parse(HEAD + b"X-A: " + b"y" * 103_000 + b"\r\n\r\nhello")
        assert "a field of its header is larger than 100 KiB" in message.unreadable

    def test_of_4000_addresses_100_are_used_and_the_text_is_shown(self) -> None:
        to = b"Cc: x@x.test" + b"".join(b",\r\n a%d@x.test" % n for n in range(4000))
        message = parse(HEAD + to + b"\r\n" + TEXT + b"hello")
        assert (len(message.cc), message.text, message.unreadable) == (100, "hello", "")

    def test_a_thousand_parts_are_listed_and_the_rest_is_admitted(self) -> None:
        part = b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n"
        message = parse(HEAD + MIXED + part * 5000 + b"--b--\r\n")
        assert len(message.attachments) == 999
        assert "more than 1000 parts" in message.unreadable

    def test_thirty_levels_are_the_limit(self) -> None:
        deep = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(3000))
        message = parse(HEAD + deep + b"Content-Type: text/plain\r\n\r\nhi\r\n")
        assert "nested more than 30 deep" in message.unreadable
        assert message.attachments[-1].content.endswith(b"hi\r\n")

    def test_mails_inside_mails_are_counted_without_opening_them(self) -> None:
        message = parse(HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"Subject: x\r\n\r\nhi\r\n")
        assert "nested more than 30 deep" in message.unreadable
        assert len(message.attachments) == 1

    def test_an_overlong_content_type_makes_an_octet_stream(self) -> None:
        message = parse(HEAD + b'Content-Type: text/plain; a="' + b";" * 64_000 + b'"\r\n\r\nhello')
        assert message.attachments[0].type == "application/octet-stream"
        assert message.attachments[0].content == b"hello"

    def test_a_flood_of_name_sections_still_gets_a_safe_name(self) -> None:
        for count in (90, 20_000):
            sections = b"".join(b";\r\n filename*%d=a" % n for n in range(count))
            raw = HEAD + MIXED + b"--b\r\nContent-Disposition: attachment" + sections + b"\r\n\r\nx\r\n--b--\r\n"
            (attachment,) = parse(raw).attachments
            assert 0 < len(attachment.name) <= 150

    def test_millions_of_false_borders_end_in_a_word_and_not_in_waiting(self) -> None:
        message = parse(HEAD + MIXED + b"--b\r\n\r\nhello\r\n" + b"--bx\r\n" * 1_000_000)
        assert "border between two parts" in message.unreadable
        assert message.text.startswith("hello")

    def test_a_very_long_text_is_cut_and_says_so(self) -> None:
        message = parse(HEAD + TEXT + b"x" * 5_000_000)
        assert len(message.text) == 4 * 1024 * 1024
        assert "very long" in message.unreadable


BOUNDARIES = {
    "in the preamble": MIXED + b"the text --b is none\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
    "no end": MIXED + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n",
    "the same twice": MIXED + b"--b\r\n" + MIXED + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
    "empty": b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\none\r\n--\r\n\r\ntwo\r\n----\r\n',
    "missing": b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
    "too long": b"Content-Type: multipart/mixed; boundary=" + b"b" * 300 + b"\r\n\r\none\r\ntwo\r\n",
    "a prefix of the other": b"Content-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\nContent-Type: "
    b"multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\none\r\n--a--\r\n--ab\r\n\r\ntwo\r\n--ab--\r\n",
    "an inner one left open": MIXED
    + b"--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--b\r\n"
    b"\r\ntwo\r\n--b--\r\n",
    "blanks behind": MIXED + b"--b  \r\n\r\none\r\n--b\t\r\n\r\ntwo\r\n--b--  \r\n",
    "bare line feeds": (MIXED + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n").replace(b"\r\n", b"\n"),
    "bare carriage returns": (MIXED + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n").replace(b"\r\n", b"\r"),
    "never used": MIXED + b"one\r\ntwo\r\n",
}


class TestBrokenBoundaries:
    @pytest.mark.parametrize("name", BOUNDARIES)
    def test_every_leaf_can_be_read(self, name: str) -> None:
        body = BOUNDARIES[name]
        head = HEAD.replace(b"\r\n", b"\n") if name == "bare line feeds" else HEAD
        head = HEAD.replace(b"\r\n", b"\r") if name == "bare carriage returns" else head
        text = parse(head + body).text
        assert "one" in text
        assert "two" in text


class TestHardlyAMessage:
    def test_nothing_is_a_message_without_anything(self) -> None:
        for raw in (b"", b"\r\n", b"\n\n", b"\r"):
            message = parse(raw)
            assert (message.text.strip(), message.author, message.attachments) == ("", None, ())

    def test_a_header_alone_has_an_empty_body(self) -> None:
        message = parse(b"From: ann@customer.test\r\nSubject: hello\r\n")
        assert (message.subject, message.text) == ("hello", "")

    def test_garbage_is_shown_as_text(self) -> None:
        assert "garbage" in parse(b"\xff\xfe\x00garbage").text
        assert parse(random.Random(1).randbytes(100_000)).text

    def test_an_mbox_line_or_a_byte_order_mark_does_not_hide_the_header(self) -> None:
        for prefix in (b"From ann@customer.test Mon Nov 23 09:58:00 2026\r\n", b"\xef\xbb\xbf", b">From x\r\n"):
            message = parse(prefix + HEAD + TEXT + b"hello")
            assert (message.subject, message.text) == ("hello", "hello")
            assert message.defects

    def test_a_missing_empty_line_does_not_swallow_the_body(self) -> None:
        message = parse(b"Subject: hello\r\nFrom: a@x.test\r\nDear desk,\r\nplease help\r\n")
        assert (message.subject, message.text) == ("hello", "Dear desk,\nplease help\n")

    def test_a_stray_line_between_fields_does_not_end_the_header(self) -> None:
        message = parse(b"From: a@x.test\r\nstray words\r\nSubject: hello\r\n\r\nbody")
        assert (message.subject, message.text) == ("hello", "body")
        assert "a line in the header is no field" in message.defects

    def test_a_bare_carriage_return_does_not_grow_a_second_author(self) -> None:
        message = parse(b"X-Note: y\rFrom: agent@corp.test\r\nFrom: evil@evil.test\r\n\r\nhi")
        assert message.author is not None
        assert message.author.address == "evil@evil.test"
        assert len(message.fields["from"]) == 1


class TestHostileFields:
    VALUES = (
        b"(" * 90_000,
        b'"' * 90_001,
        b"<" * 90_000,
        b"a" * 90_000,
        b"@" * 90_000,
        b"\\" * 90_000,
        b" " * 90_000 + b"x",
        b"=?utf-8?q?" * 9_000,
        b"=?utf-8?q?a?= " * 6_000,
        b"=?utf-8?b?" + b"A" * 90_000,
        b"<a" * 40_000,
        b"a:" * 40_000,
        b"\0" * 90_000,
        b"\xff\xfe" * 40_000,
    )

    @pytest.mark.parametrize("number", range(len(VALUES)))
    def test_the_text_is_shown_whatever_a_field_holds(self, number: int) -> None:
        value = self.VALUES[number]
        for field in (b"To", b"From", b"Subject", b"Message-ID", b"References", b"Date", b"Content-Disposition"):
            message = parse(b"X-First: 1\r\n" + field + b": " + value + b"\r\n\r\nhello")
            assert message.text == "hello" or message.attachments[0].content == b"hello"

    def test_the_second_reader_survives_what_breaks_its_library(self) -> None:
        for value in self.VALUES:
            second_reading.read_again([("from", value), ("to", value)])


class TestHostileBodies:
    def test_transfer_encodings_of_rubbish_are_linear(self) -> None:
        for encoding, body in (
            (b"base64", b"!*" * 1_000_000),
            (b"base64", b"YQ==\r\n" * 100_000),
            (b"quoted-printable", b"=\r\n" * 500_000),
            (b"x-uuencode", b"begin 644 ../../x\r\n" + b"!\r\n" * 100_000),
        ):
            parse(HEAD + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body)

    def test_html_that_blows_up_tree_builders_is_read_by_its_text(self) -> None:
        for html in (
            b"<div>" * 100_000 + b"hello",
            b"".join(b"<b id=%d>" % n for n in range(5_000)) + b"<p>hello" * 2_000,
            b"<p " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">hello",
            b"<" * 500_000 + b"p>hello",
            b"<!--" * 100_000 + b"--> hello",
            b"<a href=x>" * 50_000 + b"hello",
            b"<table><tr><td>" * 20_000 + b"hello",
            b'<p x=">" ' + b" ".join(b"a%d=1" % n for n in range(60_000)) + b">hello",
            b"<p " + b" ".join(b'x="<" a%d b%d' % (n, n) for n in range(20_000)) + b">hello",
            b"<p " * 300_000 + b">hello",
            b"<div>" * 3_000 + b"<script>" * 100_000 + b"</script>hello",
        ):
            assert "hello" in parse(HEAD + b"Content-Type: text/html\r\n\r\n" + html).text

    def test_broken_containers_stay_attachments(self) -> None:
        noise = random.Random(2).randbytes(200_000)
        for kind, body in (
            (b"application/ms-tnef", b"\x78\x9f\x3e\x22" + noise),
            (b"application/pkcs7-mime; smime-type=signed-data", b"\x30\x80" * 100_000),
            (b"application/pkcs7-mime; smime-type=signed-data", noise),
        ):
            message = parse(HEAD + b"Content-Type: " + kind + b"\r\n\r\n" + body)
            assert message.attachments[0].content == body


_PIECES = st.sampled_from(
    [
        b"From: a@x.test",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: multipart/alternative; boundary=",
        b'Content-Type: text/html; charset="utf-7"',
        b"Content-Type: message/rfc822",
        b"Content-Type: message/delivery-status",
        b"Content-Type: application/ms-tnef; name=winmail.dat",
        b"Content-Type: application/pkcs7-mime; smime-type=signed-data",
        b"Content-Type: text/calendar",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Disposition: attachment; filename*0*=utf-8''%",
        b"Subject: =?utf-8?b?",
        b"Final-Recipient: rfc822;a@x.test",
        b"<b@x.test>: 550 5.1.1 no",
        b"BEGIN:VEVENT",
        b"--b",
        b"--b--",
        b"--",
        b"",
        b"\x78\x9f\x3e\x22",
        b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80",
        b"<div><pre>",
        b"+2AA-",
    ]
)
_ENDS = st.sampled_from([b"\r\n", b"\n", b"\r", b"", b"\r\n ", b"\0"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_PIECES | st.binary(max_size=20), _ENDS), max_size=30))
def test_parse_never_raises_and_its_text_can_be_stored(pieces: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(piece + end for piece, end in pieces)
    message = parse(raw)
    assert not any("the reader failed" in defect for defect in message.defects)
    for text in (message.text, message.html, message.subject, *message.defects):
        text.encode("utf-8")
        assert "\0" not in text
    read_reports(raw, message)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_at_all_are_read(raw: bytes) -> None:
    assert not any("the reader failed" in defect for defect in parse(raw).defects)
