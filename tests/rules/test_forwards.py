"""The original inside a forwarded mail: who wrote it, and never a guess (mail.md 11)."""

from __future__ import annotations

import hashlib

import pytest

from gateway.analysis.forwards import find_forward, read_author
from gateway.analysis.parse import parse
from gateway.analysis.quotes import split_body
from gateway.model import Attachment, Forwarded, Mailbox, Message
from tests.support.quoting import ATTRIBUTIONS, HEADERS

MARA = Mailbox("Mara Lind", "mara@lind.test")


def forward_of(text: str, subject: str = "Fwd: Printer", attachments: tuple[Attachment, ...] = ()) -> Forwarded | None:
    message = Message(text=text, text_source="plain", subject=subject, attachments=attachments)
    return find_forward(message, split_body(message))


def attached(raw: bytes) -> Attachment:
    return Attachment(
        name="mail.eml", type="message/rfc822", size=len(raw), sha256=hashlib.sha256(raw).hexdigest(), content=raw
    )


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("separator", ["", "________________________________\n", "-----Original Message-----\n"])
def test_the_original_of_an_outlook_forward_is_read_in_every_language(header: tuple[str, ...], separator: str) -> None:
    block = "\n".join(header).format(who="Mara Lind <mara@lind.test>")
    found = forward_of(f"Can you take this?\n\n{separator}{block}\n\nIt is broken.\n\nMara\n")
    assert found is not None
    assert (found.author, found.subject, found.text) == (MARA, "Printer", "It is broken.\n\nMara")
    assert found.date != ""


@pytest.mark.parametrize(
    "opening",
    [
        "---------- Forwarded message ---------",
        "---------- Forwarded message ----------",
        "-------- Forwarded Message --------",
        "-------- Weitergeleitete Nachricht --------",
        "-------- Message transféré --------",
        "-------- Mensaje reenviado --------",
        "-------- Mensagem encaminhada --------",
        "-------- Messaggio Inoltrato --------",
        "-------- Doorgestuurd bericht --------",
        "-------- Vidarebefordrat meddelande --------",
        "-------- Videresendt meddelelse --------",
        "-------- Välitetty viesti --------",
        "-------- Przekazana wiadomość --------",
        "-------- Přeposlaná zpráva --------",
        "-------- Továbbított üzenet --------",
        "-------- Пересылаемое сообщение --------",
        "-------- Переслане повідомлення --------",
        "-------- İletilen İleti --------",
        "-------- 転送メッセージ --------",
        "---------- 转发的邮件 ---------",
        "Begin forwarded message:",
        "Anfang der weitergeleiteten Nachricht:",
        "Début du message réexpédié :",
        "Inicio del mensaje reenviado:",
        "Inizio messaggio inoltrato:",
        "Start på videresendt besked:",
        "Začátek přeposílané zprávy:",
        "Начало переадресованного сообщения:",
        "----- Forwarded by Bo Berg/Harbour on 03/03/2026 10:00 -----",
        "-------- A title of a language nobody knows --------",
    ],
)
@pytest.mark.parametrize("mark", ["", "> "])
def test_what_stands_below_a_forwarding_line_is_the_original(opening: str, mark: str) -> None:
    lines = [opening, "From: Mara Lind <mara@lind.test>", "Date: Tue, Mar 3, 2026 at 9:14 AM", "Subject: Printer", "",
             "It is broken."]  # fmt: skip
    found = forward_of("Can you take this?\n\n" + "\n".join(mark + line for line in lines) + "\n")
    assert found is not None
    assert (found.author, found.subject, found.text) == (MARA, "Printer", "It is broken.")


def test_the_forwarders_words_stay_in_the_body() -> None:
    text = "#assign bob\nPlease take it.\n\n---------- Forwarded message ---------\nFrom: Al <al@bo.test>\n\n#close\n"
    assert split_body(Message(text=text, text_source="plain")).new == "#assign bob\nPlease take it."


def test_words_below_an_apple_forward_are_not_part_of_it() -> None:
    found = forward_of(
        "Begin forwarded message:\n\n> From: Mara Lind <mara@lind.test>\n> Date: 3 March 2026 at 09:14\n> "
        "Subject: Printer\n>\n"
        "> It is broken.\n\nRegards from me\n"
    )
    assert found is not None
    assert found.text == "It is broken."


def test_a_forward_of_a_forward_means_the_outer_author() -> None:
    found = forward_of(
        "---------- Forwarded message ---------\nFrom: Mara Lind <mara@lind.test>\nDate: Tue, 3 Mar "
        "2026\nSubject: Fwd: a\n"
        "To: Help <help@desk.test>\n\nsee below\n\n---------- Forwarded message ---------\nFrom: Other "
        "<o@other.test>\n\nhi\n"
    )
    assert found is not None
    assert found.author == MARA


@pytest.mark.parametrize(
    "value",
    [
        "Mara Lind <mara@lind.test>",
        '"Mara Lind" <mara@lind.test>',
        "Mara Lind [mailto:mara@lind.test]",
        "Mara Lind<mailto:mara@lind.test> <mara@lind.test<mailto:mara@lind.test>>",
        "Mara Lind (mara@lind.test)",
        "Mara Lind < mara@lind.test >",
        "Mara Lind <mara@lind.test> on behalf of Harbour <harbour@lind.test>",
    ],
)
def test_an_author_is_read_however_the_client_writes_it(value: str) -> None:
    assert read_author(value) == MARA


@pytest.mark.parametrize(
    "value",
    ["", "Mara Lind", "Mara <mara@lind.test>, Bo <bo@berg.test>", "mara@lind.test <bo@berg.test>", "mara at lind"],
)
def test_an_uncertain_author_is_nobody(value: str) -> None:
    assert read_author(value) is None


def test_addresses_in_the_text_are_never_taken_for_the_author() -> None:
    found = forward_of("Begin forwarded message:\n\nPlease write to mara@lind.test, not to me. bo@berg.test\n")
    assert found is not None
    assert found.author is None


@pytest.mark.parametrize("attribution", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS.keys())
def test_an_answer_is_no_forward(attribution: str) -> None:
    older = "From: Mara Lind <mara@lind.test>\nDate: Tue, 3 Mar 2026 09:14\nTo: x@y.test\nSubject: Printer"
    assert forward_of(f"Please try again.\n\n{attribution}\n\nIt is broken.\n\n{older}\n\nold\n", "Re: Printer") is None


@pytest.mark.parametrize(
    "subject", ["Re: Printer", "AW: Printer", "SV: Printer", "Odp: Printer", "RE[2]: Printer", "回复：x"]
)
def test_an_outlook_answer_is_no_forward(subject: str) -> None:
    block = "\n".join(HEADERS["en"]).format(who="Mara Lind <mara@lind.test>")
    assert forward_of(f"Please try again.\n\n{block}\n\nIt is broken.\n", subject) is None


def test_an_answer_that_carries_a_forwarded_message_is_a_forward() -> None:
    text = "See:\n\n------ Forwarded message ------\nFrom: Mara Lind <mara@lind.test>\nDate: Tue, 3 Mar 2026\n\nhi\n"
    found = forward_of(text, "Re: Printer")
    assert found is not None
    assert found.author == MARA


def test_plain_words_are_no_forward() -> None:
    assert forward_of("The printer is broken.\nFrom Bergen to Oslo.\n") is None
    assert forward_of("Here is the log:\n\nFrom: alice\nSent: yesterday\nTo: bob\nSubject: x\n500\n") is None


def test_an_attached_mail_is_exact() -> None:
    head = b"From: Mara Lind <mara@lind.test>\r\nDate: Tue, 3 Mar 2026 09:14:00 +0100\r\nSubject: Printer\r\n"
    raw = head + b"\r\nIt is broken.\r\n"
    found = forward_of("Take this, please.", attachments=(attached(raw),))
    assert found is not None
    assert (found.author, found.subject, found.text, found.attached) == (MARA, "Printer", "It is broken.", True)
    assert found.date == "Tue, 3 Mar 2026 09:14:00 +0100"


def test_attached_mails_of_several_authors_name_nobody() -> None:
    mails = tuple(attached(f"From: {who}@lind.test\r\nSubject: x\r\n\r\nhi\r\n".encode()) for who in ("mara", "bo"))
    found = forward_of("Both, please.", attachments=mails)
    assert found is not None
    assert found.author is None


def test_an_attached_mail_without_an_author_names_nobody() -> None:
    found = forward_of("This one.", attachments=(attached(b"Subject: x\r\n\r\nhi\r\n"),))
    assert found is not None
    assert found.author is None


@pytest.mark.parametrize(
    ("body", "date", "subject"),
    [
        (
            'See\n\n-------- Пересылаемое сообщение --------\n20.11.2026, 10:15, "Cy Cole" <cy@customer.test>:\n\n'
            "My bill is wrong\n-------- Конец пересылаемого сообщения --------\n",
            "20.11.2026, 10:15",
            "",
        ),
        (
            "See\n\n  ----- Forwarded Message -----From: Cy Cole <cy@customer.test>To: a@b.test <a@b.test>"
            "Sent: Friday, November 20, 2026 at 10:15:00 AM GMT+1Subject: Bill\nMy bill is wrong\n",
            "Friday, November 20, 2026 at 10:15:00 AM GMT+1",
            "Bill",
        ),
    ],
)
def test_an_original_introduced_in_one_line_has_its_author(body: str, date: str, subject: str) -> None:
    raw = (
        b"From: alice@corp.test\r\nSubject: Fwd: Bill\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        + body.encode()
    )
    message = parse(raw)
    found = find_forward(message, split_body(message))
    assert found is not None
    assert (found.author, found.date) == (Mailbox("Cy Cole", "cy@customer.test"), date)
    assert (found.subject, found.text) == (subject, "My bill is wrong")


def test_a_line_with_two_people_introduces_nobody() -> None:
    body = (
        "-------- Forwarded message --------\n20.11.2026, 10:15, Cy <cy@a.test>, Di <di@b.test>:\n\nMy bill is wrong\n"
    )
    message = parse(b"From: alice@corp.test\r\nSubject: Fwd: Bill\r\n\r\n" + body.encode())
    found = find_forward(message, split_body(message))
    assert found is not None
    assert found.author is None
