"""What a person reads of a mail: text, HTML, attachments, subject."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode

import msgspec
import pytest

from gateway.analysis.parse import parse
from gateway.model import Mailbox, Message

HEAD = (
    b"From: Ann Customer <ann@customer.test>\r\nTo: support@desk.test\r\nSubject: hello\r\n"
    b"Date: Mon, 23 Nov 2026 09:58:00 +0100\r\nMessage-ID: <one@customer.test>\r\nMIME-Version: 1.0\r\n"
)


def mail(content_type: str, body: bytes, more: str = "") -> bytes:
    return HEAD + f"Content-Type: {content_type}\r\n{more}\r\n".encode() + body


def multipart(kind: str, *parts: bytes, boundary: str = "b") -> bytes:
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return mail(f'multipart/{kind}; boundary="{boundary}"', body + b"--" + boundary.encode() + b"--\r\n")


def leaf(content_type: str, body: bytes, more: str = "") -> bytes:
    return f"Content-Type: {content_type}\r\n{more}\r\n".encode() + body


PLAIN = leaf("text/plain; charset=utf-8", "Grüße".encode())
HTML = leaf("text/html; charset=utf-8", "<p>Grüße in <b>HTML</b></p>".encode())
PNG = leaf("image/png", b"iVBORw0KGgo=", "Content-Transfer-Encoding: base64\r\nContent-ID: <pic@x>\r\n")


def names(message: Message) -> list[str]:
    return [attachment.name for attachment in message.attachments]


class TestHeader:
    def test_a_plain_mail_has_everything_a_person_sees(self) -> None:
        message = parse(HEAD + b"\r\nhello\r\n")
        assert message.subject == "hello"
        assert message.author == Mailbox("Ann Customer", "ann@customer.test")
        assert message.to == (Mailbox("", "support@desk.test"),)
        assert message.message_id == "<one@customer.test>"
        assert message.date is not None
        assert message.date.isoformat() == "2026-11-23T08:58:00+00:00"
        assert (message.text, message.text_source) == ("hello\n", "plain")
        assert message.body_sha256 == hashlib.sha256(b"hello\r\n").hexdigest()
        assert message.defects == ()
        assert message.unreadable == ""

    def test_encoded_words_are_decoded_where_senders_put_them(self) -> None:
        raw = (
            b'From: "=?iso-8859-1?Q?J=F6rg?=" <j@x.test>\r\nCc: =?utf-8?B?w4Q=?= =?utf-8?Q?=C3=96?= <k@x.test>\r\n'
            b"Subject: Re: =?utf-8?B?8J+Y?=\r\n =?utf-8?B?gA==?= und =?utf-8?q?so?=weiter\r\n\r\n"
        )
        message = parse(raw)
        assert message.author == Mailbox("Jörg", "j@x.test")
        assert message.cc == (Mailbox("ÄÖ", "k@x.test"),)
        assert message.subject == "Re: 😀 und soweiter"

    def test_raw_eight_bit_fields_are_read_as_utf8_or_as_the_body_says(self) -> None:
        assert parse("Subject: Grüße\r\n\r\nx".encode()).subject == "Grüße"
        assert parse("Subject: Grüße\r\n\r\nx".encode("latin-1")).subject == "Grüße"
        raw = "Subject: 邮件\r\nContent-Type: text/plain; charset=gb2312\r\n\r\n你好".encode("gb2312")
        assert (parse(raw).subject, parse(raw).text) == ("邮件", "你好")

    def test_encoded_line_breaks_stay_inside_the_subject(self) -> None:
        message = parse(b"Subject: =?utf-8?q?a=0D=0ABcc:_evil@evil.test?=\r\n\r\nx")
        assert message.subject == "a Bcc: evil@evil.test"

    def test_ids_are_taken_whole_or_not_at_all(self) -> None:
        raw = (
            b"Message-ID: <[a@b>\r\nIn-Reply-To: Your mail of Monday <p@x.test>\r\n"
            b"References: <a@x.test>\r\n <b@x.test> junk <c@x.test>\r\n\r\n"
        )
        message = parse(raw)
        assert message.message_id == ""
        assert "Message-ID is malformed" in message.defects
        assert message.in_reply_to == ("<p@x.test>",)
        assert message.references == ("<a@x.test>", "<b@x.test>", "<c@x.test>")

    def test_of_many_references_the_root_and_the_newest_are_kept(self) -> None:
        ids = [f"<{n}@x.test>" for n in range(200)]
        message = parse(f"References: {' '.join(ids)}\r\n\r\n".encode())
        assert message.references == (ids[0], *ids[-19:])

    def test_recipients_come_in_the_order_in_which_they_count(self) -> None:
        raw = b"Cc: c@x.test\r\nTo: t@x.test\r\nDelivered-To: d@x.test\r\nX-Original-To: o@x.test\r\n\r\n"
        assert parse(raw).recipients == ("o@x.test", "d@x.test", "t@x.test", "c@x.test")

    def test_fields_keep_every_occurrence_top_first(self) -> None:
        message = parse(b"X-Loop: one\r\nx-loop: two\r\n\r\n")
        assert message.fields["x-loop"] == ("one", "two")

    def test_dates_nobody_can_read_are_none_and_a_defect(self) -> None:
        for value in (b"yesterday", b"Mon, 1 Jan 99999 00:00:00 +9999", b"Tue, 31 Feb 2026 09:00:00 +0000"):
            message = parse(b"Date: " + value + b"\r\n\r\nx")
            assert message.date is None
            assert "Date could not be read" in message.defects

    def test_dates_of_sloppy_programs_are_read(self) -> None:
        for value in (
            "2026-11-23T09:58:00+01:00",
            "Mo, 23 Nov 2026 09:58:00 +0100",
            "23 Nov 26 09(nine):58 +0100",
            "Mon, 23 Nov 2026 09:58:00 +0100 (CET)",
        ):
            message = parse(f"Date: {value}\r\n\r\nx".encode())
            assert message.date is not None, value
            assert message.date.isoformat() == "2026-11-23T08:58:00+00:00"


class TestAddresses:
    def test_whatever_an_address_list_looks_like_the_addresses_are_found(self) -> None:
        cases = {
            '"Doe, John" <j@x.test>, k@y.test (Kay)': [("Doe, John", "j@x.test"), ("Kay", "k@y.test")],
            "Team: a@x.test, B <b@x.test>;, c@x.test": [("", "a@x.test"), ("B", "b@x.test"), ("", "c@x.test")],
            "undisclosed-recipients:;": [],
            "<@relay.test:j@x.test>": [("", "j@x.test")],
            '"j smith"@x.test': [("", '"j smith"@x.test')],
            "Müller, Jörg <j@x.test>": [("Müller, Jörg", "j@x.test")],
            "Pete <pete(his account)@silly.test (host)>": [("Pete", "pete@silly.test")],
            "'j@x.test' <j@x.test>": [("j@x.test", "j@x.test")],
            "<mailto:j@x.test>": [("", "j@x.test")],
        }
        for value, expected in cases.items():
            message = parse(f"To: {value}\r\n\r\n".encode())
            assert [(box.name, box.address) for box in message.to] == expected, value

    def test_a_name_that_looks_like_an_address_is_only_a_name(self) -> None:
        message = parse(b"From: agent@corp.test <evil@evil.test>\r\n\r\n")
        assert message.author == Mailbox("agent@corp.test", "evil@evil.test")
        assert "From is no list of addresses" in message.defects

    def test_an_odd_field_is_read_a_second_time_and_its_defects_are_listed(self) -> None:
        message = parse(b"To: <<a@x.test>\r\n\r\nhello")
        assert any("Defect" in defect for defect in message.defects)
        assert message.text == "hello"


class TestCharsets:
    def test_old_and_mislabelled_charsets_are_readable(self) -> None:
        cases = [
            ("iso-2022-jp", "こんにちは".encode("iso-2022-jp"), "こんにちは"),
            ("utf-7", b"Gr+APwA3w-e", "Grüße"),
            ("hz-gb-2312", "你好".encode("hz"), "你好"),
            ("cp-850", "Grüße".encode("cp850"), "Grüße"),
            ("windows-874", "สวัสดี".encode("cp874"), "สวัสดี"),
            ("iso-8859-8-i", "שלום".encode("iso-8859-8"), "שלום"),
            ("iso-8859-1", "5 €".encode("cp1252"), "5 €"),
            ("iso-8859-1", "Grüße".encode(), "Grüße"),
            ("us-ascii", "Grüße".encode(), "Grüße"),
            ("x-foo", "Grüße".encode(), "Grüße"),
            ("utf-8", "Die Größe schöner Häuser gefällt".encode("latin-1"), "Die Größe schöner Häuser gefällt"),
            ("gb2312", "镕基".encode("gb18030"), "镕基"),
        ]
        for label, body, expected in cases:
            assert parse(mail(f"text/plain; charset={label}", body)).text == expected, label

    def test_names_that_are_no_text_encoding_are_never_used(self) -> None:
        for label in ("zlib_codec", "idna", "punycode", "undefined", "rot13", "unicode_escape", "raw_unicode_escape"):
            message = parse(mail(f"text/plain; charset={label}", b"h\\u0041i"))
            assert message.text == "h\\u0041i", label
            assert any("unknown charset" in defect for defect in message.defects)

    def test_undeclared_text_is_detected(self) -> None:
        for text, charset in (
            ("Привет, где мой заказ?", "cp1251"),
            ("お問い合わせありがとうございます。", "shift_jis"),
            ("こんにちは、お元気ですか", "iso-2022-jp"),
        ):
            assert parse(mail("text/plain", text.encode(charset))).text == text

    def test_what_comes_out_can_be_stored(self) -> None:
        body = b"a\0b \xed\xa0\x80 +2AA-"
        for label in ("utf-8", "utf-7", "utf-16", "us-ascii", ""):
            text = parse(mail(f"text/plain; charset={label}", body)).text
            assert "\0" not in text
            text.encode("utf-8")


class TestWhichTextIsRead:
    def test_plain_wins_over_html_and_the_html_is_kept(self) -> None:
        message = parse(multipart("alternative", PLAIN, HTML))
        assert (message.text, message.text_source) == ("Grüße", "plain")
        assert message.html == "<p>Grüße in <b>HTML</b></p>"
        assert message.attachments == ()

    def test_html_is_read_when_the_plain_part_is_empty(self) -> None:
        message = parse(multipart("alternative", leaf("text/plain", b" \r\n"), HTML))
        assert (message.text, message.text_source) == ("Grüße in HTML", "html")

    @pytest.mark.parametrize(
        "stand_in",
        [
            b"Your mail client does not support HTML.",
            b"To view this message, please use an HTML compatible email viewer!",
            b"Ihr Programm kann kein HTML anzeigen.",
        ],
    )
    def test_html_is_read_when_the_plain_part_only_refers_to_it(self, stand_in: bytes) -> None:
        message = parse(multipart("alternative", leaf("text/plain; charset=utf-8", stand_in), HTML))
        assert (message.text, message.text_source) == ("Grüße in HTML", "html")

    def test_apple_mail_puts_text_around_attachments(self) -> None:
        pdf = leaf("application/pdf; name=a.pdf", b"%PDF", "Content-Disposition: inline; filename=a.pdf\r\n")
        message = parse(multipart("mixed", leaf("text/plain", b"before"), pdf, leaf("text/plain", b"after")))
        assert message.text == "before\n\nafter"
        assert names(message) == ["a.pdf"]

    def test_pictures_of_the_html_are_inline_and_tied_by_their_content_id(self) -> None:
        inner = leaf('multipart/related; boundary="r"', b"--r\r\n" + HTML + b"\r\n--r\r\n" + PNG + b"\r\n--r--")
        message = parse(multipart("alternative", PLAIN, inner))
        picture = message.attachments[0]
        assert (picture.inline, picture.content_id, picture.content) == (True, "pic@x", b"\x89PNG\r\n\x1a\n")

    def test_a_picture_in_the_middle_of_the_text_is_inline_whatever_the_sender_calls_it(self) -> None:
        html = leaf("text/html", b'<p>see <img src="cid:pic@x"></p>')
        message = parse(
            multipart("mixed", html, PNG.replace(b"Content-ID", b"Content-Disposition: attachment\r\nContent-ID"))
        )
        assert message.attachments[0].inline

    def test_an_attached_mail_never_joins_the_text(self) -> None:
        inner = leaf("message/rfc822", b"Subject: inner story\r\n\r\nnot mine")
        message = parse(multipart("mixed", PLAIN, inner))
        assert message.text == "Grüße"
        assert names(message) == ["inner story.eml"]
        assert message.attachments[0].content.endswith(b"not mine")

    def test_a_text_file_is_an_attachment(self) -> None:
        file = leaf("text/plain; name=log.txt", b"IMPORTANT", "Content-Disposition: attachment; filename=log.txt\r\n")
        message = parse(multipart("mixed", PLAIN, file))
        assert (message.text, names(message)) == ("Grüße", ["log.txt"])
        alone = parse(HEAD + file)
        assert (alone.text, alone.attachments[0].content) == ("", b"IMPORTANT")

    def test_an_unknown_text_type_can_be_read_and_fetched(self) -> None:
        message = parse(multipart("mixed", leaf("text/x-unknown", b"IMPORTANT")))
        assert message.text == "IMPORTANT"
        assert message.attachments[0].content == b"IMPORTANT"

    def test_text_behind_the_last_part_is_not_lost(self) -> None:
        message = parse(multipart("mixed", PLAIN) + b"IMPORTANT\r\n")
        assert message.attachments[0].content == b"IMPORTANT"

    def test_a_signed_mail_shows_its_text_and_lists_its_signature(self) -> None:
        signature = leaf("application/pgp-signature; name=signature.asc", b"-----BEGIN PGP SIGNATURE-----")
        message = parse(multipart("signed", PLAIN, signature))
        assert (message.text, names(message)) == ("Grüße", ["signature.asc"])

    def test_an_encrypted_mail_says_so(self) -> None:
        parts = (leaf("application/pgp-encrypted", b"Version: 1"), leaf("application/octet-stream", b"-----BEGIN PGP"))
        message = parse(multipart("encrypted", *parts))
        assert "encrypted" in message.unreadable
        assert len(message.attachments) == 2

    def test_parts_are_never_joined_into_one_document(self) -> None:
        raw = multipart(
            "mixed",
            leaf("text/html", b'<img src="http://evil.test/'),
            leaf("application/pgp-encrypted", b"SECRET"),
            leaf("text/html", b'">'),
        )
        message = parse(raw)
        assert "SECRET" not in message.html
        assert message.html == '<img src="http://evil.test/'

    def test_external_and_partial_bodies_are_inert_attachments(self) -> None:
        body = b'Content-Type: message/external-body; access-type=local-file; name="/etc/passwd"\r\n\r\nx'
        message = parse(HEAD + body)
        assert message.text == ""
        assert message.attachments[0].type == "message/external-body"
        assert message.attachments[0].name == "passwd"


class TestPlainText:
    def test_flowed_lines_are_joined_at_equal_depth(self) -> None:
        body = b"This is \r\none line.\r\n>> deep \r\n>> quote\r\n> shallow \r\nmine \r\n-- \r\nAnn \r\n  stuffed\r\n"
        text = parse(mail("text/plain; format=flowed", body)).text
        assert text == "This is one line.\n>> deep quote\n> shallow\nmine\n-- \nAnn  stuffed\n"

    def test_delsp_takes_the_blank_away(self) -> None:
        body = "これは \r\nです\r\n".encode()
        assert parse(mail("text/plain; charset=utf-8; format=flowed; delsp=yes", body)).text == "これはです\n"

    def test_enriched_text_loses_its_commands(self) -> None:
        body = b"<bold>Now</bold> is\r\nthe <color><param>red</param>time</color>\r\n\r\nfor << all\r\n"
        assert parse(mail("text/enriched", body)).text == "Now is the time\nfor < all "

    def test_a_uuencoded_block_in_the_text_is_a_file(self) -> None:
        message = parse(mail("text/plain", b"see\r\nbegin 644 x.txt\r\n#86)C\r\n`\r\nend\r\n"))
        assert message.text.strip() == "see"
        assert [(a.name, a.content) for a in message.attachments] == [("x.txt", b"abc")]

    def test_transfer_encodings_with_faults_are_decoded_as_far_as_possible(self) -> None:
        cases = [
            ("base64", b64encode(b"hello world") + b"\r\n-- \r\nlist footer, no base64", "hello world"),
            ("base64", b"aGVs*bG8", "hello"),
            ("BASE64 (really)", b"aGVsbG8", "hello"),
            ("base64", b"Good day, nobody encoded this.\r\nRegards", "Good day, nobody encoded this.\nRegards"),
            ("base64", b"aGVs bG8g d29y bGQ=", "hello world"),
            ("base64", b"aGVsbG8=\r\naGVsbG8=", "hellohello"),
            ("quoted-printable", b"a=3D=\r\nb =zz", "a=b =zz"),
            ("8bit; strange", b"plain", "plain"),
            ("x-unknown", b"plain", "plain"),
        ]
        for encoding, body, expected in cases:
            text = parse(mail("text/plain", body, f"Content-Transfer-Encoding: {encoding}\r\n")).text
            assert text == expected, encoding


class TestCalendar:
    ICS = (
        b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:STANDARD\r\n"
        b"DTSTART:19701025T030000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n"
        b"SUMMARY:Review\\, part 2\r\nDTSTART;TZID=Europe/Berlin:20261124T093000\r\n"
        b"DTEND;TZID=Europe/Berlin:20261124T100000\r\nLOCATION:Room 4\r\n"
        b"ORGANIZER;CN=Ann:mailto:ann@customer.test\r\nDESCRIPTION:Bring the \r\n plan.\\nThanks\r\n"
        b"END:VEVENT\r\nEND:VCALENDAR\r\n"
    )

    def test_an_invitation_alone_is_summed_up_and_attached(self) -> None:
        message = parse(mail("text/calendar; method=REQUEST; charset=utf-8", self.ICS))
        assert message.text.splitlines() == [
            "Invitation: Review, part 2",
            "When: 2026-11-24 09:30 (Europe/Berlin) to 2026-11-24 10:00 (Europe/Berlin)",
            "Where: Room 4",
            "Organiser: Ann <ann@customer.test>",
            "",
            "Bring the plan.",
            "Thanks",
        ]
        assert message.text_source == "calendar"
        assert names(message) == ["text.ics"]

    def test_beside_a_text_that_does_not_tell_the_time_it_says_when_and_where(self) -> None:
        calendar = leaf("text/calendar; name=invite.ics", self.ICS)
        message = parse(multipart("alternative", PLAIN, HTML, calendar))
        assert message.text.startswith("Invitation: Review, part 2\nWhen: 2026-11-24 09:30 (Europe/Berlin)")
        assert message.text.endswith("Organiser: Ann <ann@customer.test>\n\nGrüße")
        assert names(message) == ["invite.ics"]

    @pytest.mark.parametrize("words", ["Review on Tuesday at 9:30am in room 4", "Dienstag um 9.30 Uhr", "#close"])
    def test_where_the_words_tell_it_or_command_something_it_is_only_attached(self, words: str) -> None:
        calendar = leaf("text/calendar; name=invite.ics", self.ICS)
        message = parse(multipart("alternative", leaf("text/plain; charset=utf-8", words.encode()), calendar))
        assert (message.text, names(message)) == (words, ["invite.ics"])

    def test_a_file_of_dates_that_invites_nobody_is_only_attached(self) -> None:
        calendar = leaf("text/calendar; name=dates.ics", self.ICS.replace(b"METHOD:REQUEST", b"METHOD:PUBLISH"))
        message = parse(multipart("mixed", PLAIN, calendar))
        assert (message.text, names(message)) == ("Grüße", ["dates.ics"])

    def test_an_answer_whose_texts_are_empty_is_summed_up(self) -> None:
        reply = self.ICS.replace(b"METHOD:REQUEST", b"METHOD:REPLY").replace(
            b"DESCRIPTION", b"ATTENDEE;PARTSTAT=DECLINED;CN=Bo:mailto:bo@b.test\r\nCOMMENT:Ill\\, sorry\r\nDESCRIPTION"
        )
        blank = leaf("text/html", b"<html><body><p>&nbsp;</p></body></html>")
        message = parse(multipart("alternative", leaf("text/plain", b"\r\n"), blank, leaf("text/calendar", reply)))
        assert message.text.splitlines()[0] == "Answer to an invitation: Review, part 2"
        assert message.text.endswith("Bo <bo@b.test> declined\n\nIll, sorry")

    def test_durations_repetitions_and_whole_days_are_told(self) -> None:
        lasting = re.sub(rb"DTEND[^\r]*", b"DURATION:PT1H30M\r\nRRULE:FREQ=WEEKLY;COUNT=4", self.ICS)
        text = parse(mail("text/calendar", lasting)).text
        assert "When: 2026-11-24 09:30 (Europe/Berlin), 1 h 30 min\nRepeats: weekly\n" in text
        days = re.sub(rb"DTSTART;TZID[^\r]*", b"DTSTART;VALUE=DATE:20261124", self.ICS)
        days = re.sub(rb"DTEND[^\r]*", b"DTEND;VALUE=DATE:20261125", days)
        assert "When: 2026-11-24\n" in parse(mail("text/calendar", days)).text


class TestOpenPgp:
    SIGNED = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nThe invoice is wrong.\n\n- -- \nBo\n"
        "-----BEGIN PGP SIGNATURE-----\nVersion: x\n\niQEcBAEBCAAG\n=AbCd\n-----END PGP SIGNATURE-----\n"
    )
    BLOCK = "-----BEGIN PGP MESSAGE-----\n\nhQEMA0\n=abcd\n-----END PGP MESSAGE-----\n"

    def test_a_clear_signed_text_is_its_words_and_the_signature_a_file(self) -> None:
        message = parse(mail("text/plain", f"Hello,\n{self.SIGNED}list footer\n".encode()))
        assert message.text == "Hello,\nThe invoice is wrong.\n\n-- \nBo\nlist footer\n"
        assert names(message) == ["signature.asc"]
        assert message.attachments[0].content.startswith(b"-----BEGIN PGP SIGNATURE-----\nVersion: x\n")

    def test_half_a_signed_text_stays_as_it_is(self) -> None:
        half = self.SIGNED.partition("-----END")[0]
        message = parse(mail("text/plain", half.encode()))
        assert (message.text, names(message)) == (half, [])

    def test_an_encrypted_block_among_words_is_said(self) -> None:
        message = parse(mail("text/plain", f"Hello,\n\n{self.BLOCK}".encode()))
        assert message.text.startswith("Hello,")
        assert message.unreadable == "A part of the text is encrypted: only the recipient's own program can open it."
        quoted = "".join(f"> {line}\n" for line in self.BLOCK.splitlines())
        assert not parse(mail("text/plain", f"I cannot read this:\n{quoted}".encode())).unreadable

    def test_an_encrypted_mail_is_known_after_a_gateway_changed_its_type(self) -> None:
        parts = (leaf("text/plain", b""), leaf("application/pgp-encrypted", b"Version: 1"))
        asc = leaf("application/octet-stream; name=encrypted.asc", self.BLOCK.encode())
        assert parse(multipart("mixed", *parts, asc)).unreadable.startswith("The mail is encrypted")


class TestMislabelledParts:
    def test_a_page_called_plain_text_is_read_as_a_page(self) -> None:
        page = b"<html><body><p>Hello <b>there</b></p></body></html>\r\n"
        message = parse(mail("text/plain", page))
        assert (message.text, message.text_source) == ("Hello there", "html")

    def test_a_page_that_somebody_writes_about_is_shown_as_it_is(self) -> None:
        words = "Why does this not work?\n<html><body><p>Hello</p></body></html>\n"
        assert parse(mail("text/plain", words.encode())).text == words

    def test_plain_text_called_a_page_keeps_its_lines(self) -> None:
        message = parse(mail("text/html", b"Hello\r\n\r\nfirst < second\r\nBo\r\n"))
        assert (message.text, message.text_source) == ("Hello\n\nfirst < second\nBo\n", "plain")

    def test_a_mail_attached_as_a_file_is_a_mail(self) -> None:
        inner = b"From: cy@customer.test\r\nSubject: bill\r\nDate: Mon, 23 Nov 2026 08:00:00 +0100\r\n\r\nwrong\r\n"
        found = parse(multipart("mixed", PLAIN, leaf("application/octet-stream; name=mail.eml", inner)))
        assert [(one.name, one.type) for one in found.attachments] == [("mail.eml", "message/rfc822")]
        other = parse(multipart("mixed", PLAIN, leaf("application/octet-stream; name=mail.eml", b"PK\x03\x04")))
        assert other.attachments[0].type == "application/octet-stream"


class TestMislabelledText:
    RUSSIAN = "Здравствуйте! В счёте 2231 ошибка, прошу исправить. С уважением, Иван"

    @pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "us-ascii", "utf-8"])
    @pytest.mark.parametrize(
        ("text", "really"),
        [
            (RUSSIAN, "windows-1251"),
            (RUSSIAN, "koi8-r"),
            ("Добрий день, рахунок невірний, прошу виправити його.", "koi8-u"),
            ("Καλημέρα σας, το τιμολόγιο είναι λάθος. Παρακαλώ διορθώστε το.", "iso8859-7"),
            ("お世話になっております。請求書の金額が間違っています。", "cp932"),
            ("שלום, החשבונית שגויה. אנא תקנו.", "cp1255"),
        ],
    )
    def test_words_that_cannot_be_latin_are_read_as_what_they_are(self, label: str, text: str, really: str) -> None:
        assert parse(mail(f"text/plain; charset={label}", text.encode(really))).text == text

    @pytest.mark.parametrize(
        "text", ["ÄÖÜ! Größe überprüft, Straße", "\xa0" * 40 + " ok", "·" * 40, "ÁÉÍÓÚÁÉÍ ÓÚÁÉÍÓÚ ÁÉÍÓÚÁÉ"]
    )
    def test_latin_text_and_drawn_lines_stay_what_they_were_called(self, text: str) -> None:
        assert parse(mail("text/plain; charset=iso-8859-1", text.encode("latin-1"))).text == text

    def test_the_signs_that_windows_and_phones_in_japan_write_are_read(self) -> None:
        body = b"\x1b$B-!-j@A5a=q\x1b(B abc\r\n\x1b(I6E6E\x1b(B\r\n"
        assert parse(mail("text/plain; charset=iso-2022-jp", body)).text == "①㈱請求書 abc\nｶﾅｶﾅ\n"
        other = "請求書の金額が違います"  # and what was only called so is read as what it is
        assert parse(mail("text/plain; charset=iso-2022-jp", other.encode())).text == other

    def test_a_character_cut_in_half_costs_that_character(self) -> None:
        cut = "Здравствуйте, у нас не работает вход".encode()[:-1]
        assert parse(mail("text/plain; charset=utf-8", cut)).text == "Здравствуйте, у нас не работает вхо\ufffd"

    def test_a_footer_in_another_charset_below_utf_8_is_read(self) -> None:
        body = "Größe überprüft\n".encode() + "Grüße aus München\n".encode("latin-1")
        assert parse(mail("text/plain; charset=utf-8", body)).text == "Größe überprüft\nGrüße aus München\n"

    def test_a_charset_is_known_by_names_with_underscores_too(self) -> None:
        body = "안녕하세요 똠방각하".encode("cp949")
        assert parse(mail("text/plain; charset=ks_c_5601-1987", body)).text == "안녕하세요 똠방각하"


def test_a_message_passes_through_the_cage_as_data() -> None:
    message = parse(multipart("mixed", PLAIN, PNG))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message) == message
