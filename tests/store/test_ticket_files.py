"""``#show N files`` sends the files of a ticket's mails themselves: named, harmless, within the limits of a mail."""

from __future__ import annotations

import email
import email.policy
from base64 import b64encode
from dataclasses import replace

import pytest

from gateway.model import OutboundMail, Proof
from gateway.settings import Customer, Security, Size
from gateway.store.database import Database
from tests.store.test_confirmations import GERMAN
from tests.store.test_verbs import ALICE, BOB, DESK, JANE, TOM, Desk, both, to
from tests.support.spine import address_of, make_mail, text_of


def mail_with(
    who: str, *files: tuple[str, str, bytes], subject: str = "Invoice 2231 is wrong", **options: str
) -> bytes:
    """A mail with files: the whole header of each, a type and octets."""
    raw = make_mail(
        who, "See the files.", subject=subject, message_id=options.pop("id", "<f1@customer.test>"), **options
    )
    head, _, text = raw.partition(b"\r\n\r\n")
    head = head.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="b"')
    parts = [b"--b\r\nContent-Type: text/plain\r\n\r\n" + text]
    for disposition, kind, content in files:
        fields = f"Content-Type: {kind}\r\nContent-Disposition: {disposition}\r\nContent-Transfer-Encoding: base64"
        parts.append(b"--b\r\n" + fields.encode() + b"\r\n\r\n" + b64encode(content))
    return head + b"\r\n\r\n" + b"\r\n".join(parts) + b"\r\n--b--\r\n"


def named(name: str) -> str:
    return f'attachment; filename="{name}"'


def files_of(mail: OutboundMail) -> dict[str, bytes]:
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    return {part.get_filename() or "": part.get_payload(decode=True) for part in message.iter_attachments()}  # type: ignore[attr-defined]


def types_of(mail: OutboundMail) -> dict[str, str]:
    message = email.message_from_bytes(mail.content, policy=email.policy.default)
    return {part.get_filename() or "": part.get_content_type() for part in message.iter_attachments()}  # type: ignore[attr-defined]


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def desk(database: Database, language: str) -> Desk:
    return Desk(database, GERMAN if language == "de" else DESK)


def arrive(desk: Desk, raw: bytes, **options: object) -> list[OutboundMail]:
    desk.road.arrive(raw, **options)  # type: ignore[arg-type]
    return desk.road.outbox()


def ask(desk: Desk, who: str = ALICE, order: str = "#show 1 files") -> OutboundMail:
    return to(desk.write(who, "", subject=order, message_id=f"<{desk.road.now.timestamp()}@corp.test>"), who)


PDF, PICTURE = (
    (named("invoice.pdf"), "application/pdf", b"%PDF-1.7 twelve"),
    (named("a.jpg"), "image/jpeg", b"\xff\xd8j"),
)


def test_the_files_come_themselves_and_are_listed_under_their_mails(desk: Desk, language: str) -> None:
    arrive(desk, mail_with(JANE, PDF, PICTURE))
    said = ask(desk)
    assert files_of(said) == {"invoice.pdf": PDF[2], "a.jpg": PICTURE[2]}
    first, *_ = text_of(said).splitlines()
    assert first == ("#1 Dateien: Invoice 2231 is wrong" if language == "de" else "#1 files: Invoice 2231 is wrong")
    assert "jane@customer.test, " in text_of(said) and "  invoice.pdf (1 kB)" in text_of(said)


def test_a_reply_with_the_order_means_its_own_ticket_and_its_own_mails_files_come_first(desk: Desk) -> None:
    offer = to(arrive(desk, mail_with(JANE, PDF)), ALICE)
    answer = to(desk.reply(ALICE, offer, "Thank you."), JANE)
    raw = mail_with(JANE, PICTURE, id="<f2@customer.test>", to=address_of(answer), answers=answer.message_id)
    news = to(arrive(desk, raw, recipient=address_of(answer)), ALICE)
    assert list(files_of(to(desk.reply(ALICE, news, "#show files"), ALICE))) == ["a.jpg", "invoice.pdf"]
    assert list(files_of(to(desk.reply(ALICE, offer, "#show files"), ALICE))) == ["invoice.pdf", "a.jpg"]


def test_what_does_not_fit_is_named_and_comes_first_when_its_own_mail_is_answered(
    database: Database, language: str
) -> None:
    desk = Desk(database, replace(GERMAN if language == "de" else DESK, customer=Customer(attachments_max=Size(3000))))
    old = to(arrive(desk, mail_with(JANE, (named("old.bin"), "application/x-data", b"o" * 2000))), ALICE)
    answer = to(desk.reply(ALICE, old, "Thank you."), JANE)
    raw = mail_with(
        JANE,
        (named("new.bin"), "application/x-data", b"n" * 2500),
        id="<f2@customer.test>",
        to=address_of(answer),
        answers=answer.message_id,
    )
    arrive(desk, raw, recipient=address_of(answer))
    said = ask(desk)
    assert list(files_of(said)) == ["new.bin"]
    why = "nicht angehängt: zu viel für eine Mail" if language == "de" else "not attached: too much for one mail"
    assert f"  old.bin (2 kB) - {why}" in text_of(said)
    again = to(desk.reply(ALICE, old, "#show files"), ALICE)
    assert list(files_of(again)) == ["old.bin"] and f"new.bin (2 kB) - {why}" in text_of(again)


def test_what_no_mail_can_carry_is_named_without_a_promise(database: Database) -> None:
    desk = Desk(database, replace(DESK, customer=Customer(attachments_max=Size(3000))))
    arrive(desk, mail_with(JANE, (named("film.mp4"), "video/mp4", b"m" * 3001), PDF))
    said = ask(desk)
    assert list(files_of(said)) == ["invoice.pdf"]
    assert "  film.mp4 (3 kB) - not attached: larger than a mail may be" in text_of(said)
    assert "#show files" not in text_of(said)


def test_a_mail_that_is_itself_too_much_promises_nothing_either(database: Database) -> None:
    desk = Desk(database, replace(DESK, customer=Customer(attachments_max=Size(3000))))
    one, two = (named("1.bin"), "application/x-d", b"1" * 2000), (named("2.bin"), "application/x-d", b"2" * 2000)
    arrive(desk, mail_with(JANE, one, two))
    said = ask(desk)
    assert list(files_of(said)) == ["1.bin"] and "2.bin (2 kB) - not attached: too much for one mail" in text_of(said)
    assert "come first" not in text_of(said), "the same mail would bring the same again"


def test_a_refused_type_is_named_and_never_sent(database: Database, language: str) -> None:
    settings = replace(
        GERMAN if language == "de" else DESK, security=Security(strip_types=("application/x-msdownload",))
    )
    desk = Desk(database, settings)
    arrive(desk, mail_with(JANE, (named("setup.exe"), "application/X-MSDownload", b"MZ"), PDF))
    said = ask(desk)
    assert list(files_of(said)) == ["invoice.pdf"]
    why = "nicht angehängt: von nicht zugelassener Art" if language == "de" else "not attached: of a refused type"
    assert f"  setup.exe (1 kB) - {why}" in text_of(said)
    assert b"setup.exe" not in said.content.partition(b"Content-Disposition")[2]


@pytest.mark.parametrize(
    ("disposition", "kind", "name", "sent_as"),
    [
        (named("../../etc/passwd"), "text/plain", "passwd", "text/plain"),
        ("attachment; filename*=utf-8''%E2%80%AEfdp.exe", "application/pdf", "fdp.exe", "application/pdf"),
        (named("a\\\\..\\\\b.html"), "text/html", "b.html", "text/html"),
        (named("x.pdf\x00.exe"), "application/pdf", None, None),
        (named("con.txt"), 'text/plain; name="; rm -rf"', "_con.txt", "text/plain"),
        (named("deep.eml"), "message/rfc822", "deep.eml", "application/octet-stream"),
        (named("m.bin"), "multipart/mixed", None, None),
        (named("y.bin"), "application/x\x0bevil", None, None),
        ("attachment; filename*=utf-8''a%0D%0ABcc%3A%20eve%40evil.test.pdf", "application/pdf", None, None),
        (named("support+ak-4827-3-1-xky6wjaxqdry5guq@desk.test.pdf"), "application/pdf", None, None),
    ],
)
def test_hostile_names_and_types_stay_harmless(
    database: Database, disposition: str, kind: str, name: str | None, sent_as: str | None
) -> None:
    desk = Desk(database)
    arrive(desk, mail_with(JANE, (disposition, kind, b"octets"), PDF))
    said = ask(desk)
    assert "invoice.pdf" in files_of(said), "nothing hides what stands beside it"
    for found in files_of(said):
        assert not any(c in found for c in "/\\\x00\r\n\u202e") and found
    message = email.message_from_bytes(said.content, policy=email.policy.default)
    assert message.keys().count("To") == 1 and "Bcc" not in message and not message.defects
    if name is not None:
        assert types_of(said)[name] == sent_as


def test_two_files_of_one_name_can_be_told_apart_and_the_same_file_comes_once(desk: Desk) -> None:
    one, two = (named("image001.png"), "image/png", b"one"), (named("IMAGE001.png"), "image/png", b"two")
    arrive(desk, mail_with(JANE, one, two, one))
    assert files_of(ask(desk)) == {"image001.png": b"one", "IMAGE001 (2).png": b"two"}


def test_a_ticket_without_files_says_so(desk: Desk, language: str) -> None:
    desk.write(JANE, "We have 10 licences, not 12.")
    said = ask(desk)
    assert files_of(said) == {}
    none = "Keine Mail dieses Tickets hat Dateien." if language == "de" else "No mail of this ticket has files."
    assert none in text_of(said)


def test_a_merged_tickets_number_shows_the_files_where_they_are(desk: Desk) -> None:
    both(desk)
    arrive(desk, mail_with(JANE, PDF, subject="Third", id="<third@customer.test>"))
    three = to(desk.write(ALICE, "", subject="#show 3", message_id="<s@corp.test>"), ALICE)
    desk.reply(ALICE, three, "#merge 1")
    assert list(files_of(ask(desk, order="#show 3 files"))) == ["invoice.pdf"]


@pytest.mark.parametrize("who", [TOM, ALICE])
def test_nobody_but_a_proven_agent_has_anything_read(desk: Desk, who: str) -> None:
    arrive(desk, mail_with(JANE, PDF))
    raw = make_mail(who, "", subject="#show 1 files", message_id="<x@y.test>")
    asked: list[int] = []
    real = desk.road.unpack
    desk.road.unpack = lambda mail, findings: note(asked, real(mail, findings))  # type: ignore[method-assign]
    out = arrive(desk, raw, proof=Proof.NONE)
    assert asked == [0]
    assert not any("invoice.pdf" in files_of(mail) for mail in out)


def note(asked: list[int], findings):  # type: ignore[no-untyped-def]
    asked.append(len(findings.unpacked))
    return findings


def test_files_of_an_inbox_that_is_not_the_agents_stay_there(desk: Desk) -> None:
    raw = mail_with(JANE, PDF, to="billing@desk.test")
    arrive(desk, raw, recipient="billing@desk.test", inbox="billing")
    assert files_of(ask(desk)) == {}, "Alice does not serve billing"
    assert list(files_of(ask(desk, BOB))) == ["invoice.pdf"]


def test_a_mail_that_was_not_read_in_time_has_its_files_named(desk: Desk) -> None:
    arrive(desk, mail_with(JANE, PDF))
    desk.road.unpack = lambda mail, findings: findings  # type: ignore[method-assign]
    said = ask(desk)
    assert files_of(said) == {} and "  invoice.pdf - " in text_of(said)
