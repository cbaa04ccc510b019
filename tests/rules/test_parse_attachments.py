"""Attachments: names that cannot do harm, containers that are opened, pictures and parts that are listed."""

from __future__ import annotations

import binascii
import struct
from datetime import UTC, datetime, timedelta
from email.base64mime import body_encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from gateway.analysis.names import clean_filename, make_filename
from gateway.analysis.parse import parse
from gateway.analysis.rtf import decompress_rtf, rtf_to_text
from gateway.analysis.smime import unwrap_signed

HEAD = b"From: ann@customer.test\r\nTo: support@desk.test\r\nSubject: hello\r\nMIME-Version: 1.0\r\n"


def with_name(disposition: str, content_type: str = "application/octet-stream") -> bytes:
    return (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        + f"Content-Type: {content_type}\r\nContent-Disposition: attachment{disposition}\r\n\r\nx\r\n--b--\r\n".encode()
    )


def name_of(disposition: str, content_type: str = "application/octet-stream") -> str:
    (attachment,) = parse(with_name(disposition, content_type)).attachments
    return attachment.name


NAMES = {
    "../../etc/cron.d/x": "x",
    "/etc/passwd": "passwd",
    "..\\..\\x.bat": "x.bat",
    "C:\\TEMP\\report.doc": "report.doc",
    "a\0.txt": "a.txt",
    "CON": "_CON",
    "lpt1.txt": "_lpt1.txt",
    ".bashrc": "bashrc",
    "..": "attachment",
    "": "attachment",
    " . / ": "attachment",
    "x.exe. ": "x.exe",
    "a:b.txt": "ab.txt",
    "\u202egpj.exe": "gpj.exe",
    "a\u2028b\u0085c\x1b.txt": "abc.txt",
    "ﬁle．txt": "file.txt",
    "a／b.txt": "b.txt",
    "two  blanks .txt": "two blanks .txt",
    "Übersicht.pdf": "Übersicht.pdf",
}


class TestNames:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_keeps_what_is_harmless(self, name: str) -> None:
        assert clean_filename(name) == NAMES[name]

    def test_a_name_has_at_most_150_bytes_and_keeps_its_extension(self) -> None:
        for name in ("a" * 5000 + ".pdf", "ü" * 5000 + ".pdf"):
            clean = clean_filename(name)
            assert clean.endswith(".pdf")
            assert 100 < len(clean.encode()) <= 150

    def test_cleaning_twice_changes_nothing(self) -> None:
        for name in NAMES:
            assert clean_filename(clean_filename(name)) == clean_filename(name)

    def test_names_come_in_every_encoding(self) -> None:
        cases = {
            '; filename="plain.pdf"': "plain.pdf",
            "; filename=plain name.pdf": "plain name.pdf",
            "; filename*=utf-8''%C3%9Cber%20uns.pdf": "Über uns.pdf",
            "; filename*=iso-8859-1'de'%DCber.pdf": "Über.pdf",
            "; filename*0*=utf-8''%C3;\r\n filename*1*=%9Cb;\r\n filename*2=\"er.pdf\"": "Über.pdf",
            '; filename="=?utf-8?Q?=C3=9Cber.pdf?="': "Über.pdf",
            '; filename="=?utf-8?B?w5w=?=\r\n =?utf-8?B?YmVyLnBkZg==?="': "Über.pdf",
            '; filename="Über.pdf"': "Über.pdf",
            '; filename="a \\"quoted\\" name.pdf"': 'a "quoted" name.pdf',
            '; filename="=?utf-8?q?=2e=2e=2fx?="': "x",
            "; filename=\"a.txt\"; filename*=utf-8''..%2Fb.exe": "b.exe",
            "": "attachment",
        }
        for disposition, expected in cases.items():
            assert name_of(disposition) == expected, disposition
        assert name_of("", 'image/png; name="c.png"') == "c.png"

    def test_parts_without_a_name_get_one_that_says_what_they_are(self) -> None:
        assert make_filename("image/jpeg") == "image.jpg"
        assert make_filename("message/rfc822", "Re: a/b") == "Re a-b.eml"
        assert make_filename("application/x-strange") == "attachment"


class TestSigned:
    INNER = b"Content-Type: text/plain; charset=utf-8\r\n\r\nsigned words\r\n"

    @staticmethod
    def sign(data: bytes) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ann@customer.test")])
        now = datetime(2026, 11, 23, tzinfo=UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        certificate = builder.sign(key, hashes.SHA256())
        signer = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(certificate, key, hashes.SHA256())
        return signer.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])

    def test_an_opaque_signature_is_unwrapped_and_kept(self) -> None:
        signed = self.sign(self.INNER)
        body = body_encode(signed).encode()
        raw = HEAD + (
            b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + body
        )
        message = parse(raw)
        assert message.text == "signed words\n"
        assert message.unreadable == ""
        assert any("unwrapped, not verified" in defect for defect in message.defects)

    def test_a_signed_mail_is_opened_when_a_gateway_no_longer_knew_its_type(self) -> None:
        body = body_encode(self.sign(self.INNER)).encode()
        raw = HEAD + (
            b"Content-Type: application/octet-stream; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + body
        )
        assert parse(raw).text == "signed words\n"

    def test_a_signed_document_stays_the_file_it_is(self) -> None:
        """Invoices in Italy: what is inside is no mail, and the signature must not be lost."""
        body = body_encode(self.sign(b'<?xml version="1.0"?><Fattura/>')).encode()
        raw = HEAD + (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nEcco la fattura\r\n--b\r\n"
            b"Content-Type: application/pkcs7-mime; name=IT01.xml.p7m\r\n"
            b"Content-Disposition: attachment; filename=IT01.xml.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + body
            + b"\r\n--b--\r\n"
        )
        message = parse(raw)
        assert (message.text, message.unreadable) == ("Ecco la fattura", "")
        assert [attachment.name for attachment in message.attachments] == ["IT01.xml.p7m"]

    def test_indefinite_lengths_and_chunked_content_are_followed(self) -> None:
        oid = bytes.fromhex("06092a864886f70d010701")
        chunks = b"\x24\x80" + b"".join(b"\x04" + bytes([len(c)]) + c for c in (b"Content-", b"Type: x")) + b"\0\0"
        content = b"\x30\x80" + oid + b"\xa0\x80" + chunks + b"\0\0" + b"\0\0"
        signed = b"\x30\x80" + b"\x02\x01\x01" + b"\x31\x80\x30\x80\0\0\0\0" + content + b"\x31\x00" + b"\0\0"
        info = b"\x30\x80" + bytes.fromhex("06092a864886f70d010702") + b"\xa0\x80" + signed + b"\0\0" + b"\0\0"
        assert unwrap_signed(info) == b"Content-Type: x"

    def test_anything_else_is_none(self) -> None:
        signed = self.sign(self.INNER)
        for data in (b"", b"\x30", b"\x30\x80", signed[:40], b"\x04" + signed[1:], bytes(1000)):
            assert unwrap_signed(data) is None

    def test_enveloped_data_is_passed_through_and_called_encrypted(self) -> None:
        raw = HEAD + b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\r\nxx"
        message = parse(raw)
        assert "encrypted" in message.unreadable
        assert message.attachments[0].name == "smime.p7m"


def tnef(*objects: tuple[int, int, bytes]) -> bytes:
    """A container of (level, attribute, data)."""
    out = struct.pack("<IH", 0x223E9F78, 1)
    for level, attribute, data in objects:
        out += struct.pack("<BII", level, attribute, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)
    return out


class TestWinmail:
    CONTAINER = tnef(
        (1, 0x00089006, struct.pack("<I", 0x10000)),
        (1, 0x0002800C, b"words in the container\0"),
        (2, 0x00069002, bytes(14)),
        (2, 0x00018010, b"..\\plan.txt\0"),
        (2, 0x0006800F, b"the plan"),
    )

    def raw(self, container: bytes, text: bytes = b"") -> bytes:
        return HEAD + (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + text + b"\r\n"
            b"--b\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + body_encode(container).encode()
            + b"\r\n--b--\r\n"
        )

    def test_its_files_are_listed_beside_the_original(self) -> None:
        message = parse(self.raw(self.CONTAINER, b"hello"))
        assert [(a.name, a.content) for a in message.attachments] == [
            ("winmail.dat", self.CONTAINER),
            ("plan.txt", b"the plan"),
        ]
        assert message.text == "hello"

    def test_its_text_is_read_when_the_mail_has_none(self) -> None:
        assert parse(self.raw(self.CONTAINER)).text == "words in the container"

    def test_a_broken_container_is_a_defect_and_stays_an_attachment(self) -> None:
        for cut in range(5, len(self.CONTAINER), 7):
            message = parse(self.raw(self.CONTAINER[:cut], b"hello"))
            assert message.attachments[0].content == self.CONTAINER[:cut]
            assert message.text == "hello"


class TestRichText:
    def test_the_words_remain(self) -> None:
        rtf = (
            rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator x;}\uc1 Gr\'fc\'dfe\u8364 ? from {\b Ann}\par"
            b"\r\nsecond\\tab line\\par\\par\\par\\{end\\}}"
        )
        assert rtf_to_text(rtf) == "Grüße€ from Ann\nsecond\tline\n\n{end}"

    def test_wrapped_html_loses_its_tags_and_its_doubles(self) -> None:
        rtf = (
            rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Hello\htmlrtf }\htmlrtf0 "
            rb"{\*\htmltag72 </p>}\htmlrtf\par\htmlrtf0 }"
        )
        assert rtf_to_text(rtf) == "Hello"

    def test_anything_else_is_nothing_and_nothing_stalls(self) -> None:
        for data in (b"", b"hello", b"{\\rtf" + b"{" * 200_000, b"{\\rtf" + b"\\" * 200_001, b"{\\rtf" + b"}" * 9):
            assert "rtf" not in rtf_to_text(data)

    def test_a_compressed_body_is_unpacked_and_never_beyond_what_it_claims(self) -> None:
        # Literals "hi", a reference to the preloaded "{\\rtf1" (0, 6 long), the end: a reference to its own place.
        packed = bytes([0b1100]) + b"hi" + bytes([0x00, 0x04]) + (207 + 8 << 4).to_bytes(2, "big")
        header = struct.pack("<III", 12 + len(packed), 8, 0x75465A4C) + bytes(4)
        assert decompress_rtf(header + packed) == b"hi{\\rtf1"
        claim = struct.pack("<III", 12 + len(packed), 3, 0x75465A4C) + bytes(4)
        assert decompress_rtf(claim + packed) == b"hi{"
        for cut in range(len(header) + len(packed)):
            decompress_rtf((header + packed)[:cut])
        endless = struct.pack("<III", 0, 0xFFFFFFFF, 0x75465A4C) + bytes(4) + b"\xff" + b"\x00\x0f" * 200_000
        assert len(decompress_rtf(endless)) <= 2 * 1024 * 1024


def _uuencoded(name: str, data: bytes, end: str = "`\nend") -> str:
    lines = [binascii.b2a_uu(data[at : at + 45]).decode().rstrip("\n ") for at in range(0, len(data), 45)]
    return "\n".join([f"begin 644 {name}", *lines, end])


def test_files_written_into_the_text_are_attachments() -> None:
    first, second = bytes(range(256)) * 3, b"short"
    text = f"Two scans:\n\n{_uuencoded('scan 1.tif', first)}\n\n{_uuencoded('../b.txt', second)}\n\nMara\n"
    message = parse(b"From: mara@lind.test\r\n\r\n" + text.replace("\n", "\r\n").encode())
    assert [(a.name, a.content) for a in message.attachments] == [("scan 1.tif", first), ("b.txt", second)]
    assert message.text.split() == ["Two", "scans:", "Mara"]


@pytest.mark.parametrize(
    "text",
    [
        "begin 644 notes\nand then the work\nend\n",
        "begin 644 cut.bin\nM" + "A" * 60 + "\n",
        "begin 644 empty\n`\nend\n",
        "We begin 644 meters above the sea.\n",
    ],
)
def test_what_only_looks_like_an_encoded_file_stays_text(text: str) -> None:
    message = parse(b"From: mara@lind.test\r\n\r\n" + text.replace("\n", "\r\n").encode())
    assert message.text.strip() == text.strip()
    assert not message.attachments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A scan:\n=ybegin line=128 size=9 name=scan 1.tif\nabcdefghi\n=yend size=9\n", 1),
        ("What does =ybegin line=128 size=9 name=x mean?\n=yend is missing\n", 0),
    ],
    ids=["file", "prose"],
)
def test_a_file_in_yenc_is_said_to_stand_in_the_text(text: str, said: int) -> None:
    mail = parse(f"From: mara@lind.test\r\nSubject: Scan\r\n\r\n{text}".encode())
    assert [d for d in mail.defects if "yEnc" in d] == [
        "scan 1.tif stands in the text in yEnc and was not unpacked"
    ] * said
    assert mail.text.strip() == text.strip()
