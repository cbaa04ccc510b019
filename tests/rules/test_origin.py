"""Person or machine (RFC 3834): a person is never taken for a machine."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.analysis.origin import find_origin
from gateway.analysis.parse import parse
from gateway.model import Envelope, Origin

OWN = frozenset({"support@desk.test", "sales@desk.test"})
DOMAIN = "tickets.desk.test"


def origin(raw: str, reverse_path: str = "ann@customer.test", source: str = "lmtp") -> Origin:
    envelope = Envelope(
        reverse_path=reverse_path,
        recipient="support@desk.test",
        inbox="support",
        source=source,
        received_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
    )
    return find_origin(parse(raw.encode().replace(b"\n", b"\r\n")), envelope, OWN, DOMAIN)


ANN = "From: Ann <ann@customer.test>\nTo: support@desk.test\n"


PEOPLE = {
    "pastes a provider's notice": (
        f"{ANN}Subject: what is this\n\n"
        '{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"b@y.test"}]}}\n\nDaily. Why?'
    ),
    "another program's event": f'{ANN}Subject: backup\n\n{{"event":"failed","job":"backup"}}',
    "writes about bounces": (
        f"{ANN}Subject: Delivery failure of my order\n\nYour message could not be delivered to b@y.test, it says. Why?"
    ),
    "a question": f"{ANN}Subject: Where is my order?\n\nhello",
    "auto-submitted says no": f"{ANN}Auto-Submitted: no\nSubject: x\n\nhello",
    "suppressing answers proves nothing": f"{ANN}X-Auto-Response-Suppress: All\nSubject: x\n\nhello",
    "asks about out of office": f"{ANN}Subject: Out of office replies do not work\n\nhello",
    "asks about automatic replies": f"{ANN}Subject: Automatic reply - how do I switch it off?\n\nhello",
    "asks about automatic replies behind a colon": (
        f"{ANN}Subject: Automatic reply: how do I switch it off?\n\nIt answers everybody twice. Can you help?"
    ),
    "asks about an Abwesenheitsnotiz": f"{ANN}Subject: Abwesenheitsnotiz einrichten\n\nWie geht das?",
    "writes that she will be away": f"{ANN}Subject: Order 7\n\nI am on vacation until Monday, please wait.",
    "answers from a holiday": f"{ANN}In-Reply-To: <a@desk.test>\nSubject: Re: Order 7\n\nI am away until Monday.",
    "announces an absence": f"{ANN}Subject: Out of office: Ann, 3-7 August\n\nI am away then.",
    "absent from a meeting": f"{ANN}Subject: Absence of my invoice\n\nhello",
    "answers an old mail with another matter": (
        f"{ANN}In-Reply-To: <a@desk.test>\nSubject: Absent from the list\n\nMy name is absent from it."
    ),
    "an administrator who cannot reach us": (
        "From: Admin <admin@customer.test>\nSubject: Mail delivery problem\n\n"
        "We are unable to deliver mail to your server since Monday, it says 550. Can you look?"
    ),
    "a postmaster who cannot reach us": (
        "From: Bo <postmaster@customer.test>\nSubject: Mail delivery problem with your server\n\n"
        "Since Monday your server rejects our mail with 550. Could you check?"
    ),
    "complains about a delivery": f"{ANN}Subject: Delivery failed\n\nThe parcel was not delivered to my address.",
    "complains about a mail": (
        f"{ANN}Subject: Undeliverable mail\n\nMy mail to bob@shop.test could not be delivered. Why?"
    ),
    "forwards a report": (
        f"{ANN}Subject: Fwd: Undelivered Mail Returned to Sender\n\nWhat does this mean?\n\n"
        "This message was created automatically by mail delivery software.\nbob@shop.test\n"
    ),
    "a person who is postmaster": "From: Postmaster Bob <postmaster@customer.test>\nSubject: our invoice\n\nhello",
    "a person called bounce": "From: bouncer@customer.test\nSubject: our invoice\n\nhello",
    "the word daemon in a name": "From: Matt Damon <matt@customer.test>\nSubject: returned mail\n\nI returned it.",
    "sends json": f'{ANN}Subject: our api\n\n{{"event": "order", "email": "a@x.test"}}',
}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_is_a_person(name: str) -> None:
    assert origin(PEOPLE[name]) is Origin.PERSON


def test_a_mailbox_without_return_path_is_no_null_reverse_path() -> None:
    assert origin(PEOPLE["a question"], reverse_path="", source="imap:support") is Origin.PERSON
    assert origin("Return-Path: <>\n" + PEOPLE["a question"], "", "imap:support") is Origin.MACHINE


AWAY_SUBJECTS = [
    "Automatic reply: hello",
    "Automatische Antwort: hello",
    "Abwesenheitsnotiz: hello",
    "Réponse automatique : hello",
    "Respuesta automática: hello",
    "Risposta automatica: hello",
    "Automatisch antwoord: hello",
    "Resposta automática: hello",
    "Automatiskt svar: hello",
    "Autosvar: hello",
    "Automatisk svar: hello",
    "Automaattinen vastaus: hello",
    "Odpowiedź automatyczna: hello",
    "Automatická odpověď: hello",
    "Automatikus válasz: hello",
    "Răspuns automat: hello",
    "Otomatik yanıt: hello",
    "Αυτόματη απάντηση: hello",
    "Автоматический ответ: hello",
    "Автоматична відповідь: hello",
    "Автоматичен отговор: hello",
    "תשובה אוטומטית: hello",
    "رد تلقائي: hello",
    "自動応答: hello",
    "自动答复: hello",
    "자동 회신: hello",
    "Trả lời tự động: hello",
    "ตอบกลับอัตโนมัติ: hello",
    "Out of Office AutoReply: hello",
    "Auto-Reply Re: hello",
]


@pytest.mark.parametrize("subject", AWAY_SUBJECTS)
def test_an_away_notice_is_known_by_its_subject_alone(subject: str) -> None:
    assert origin(f"{ANN}Subject: {subject}\n\nback on Monday") is Origin.AUTO_REPLY


@pytest.mark.parametrize(
    "mail",
    [
        "Subject: Automatic reply: Where is it?\n\nI am out of the office. Urgent? Call Bo.",
        "In-Reply-To: <a@desk.test>\nSubject: Automatic reply: Where is it?\n\nIn a hurry? Call Bo.",
        "Subject: Automatic reply: Where is it?\n\nback on Monday",
    ],
)
def test_an_away_notice_that_answers_a_question_is_one(mail: str) -> None:
    assert origin(f"{ANN}{mail}") is Origin.AUTO_REPLY


AUTOMATIC = {
    "auto-replied": ("Auto-Submitted: auto-replied (vacation)\n", Origin.AUTO_REPLY),
    "auto-generated": ("Auto-Submitted: auto-generated; x=y\n", Origin.MACHINE),
    "auto-notified": ("Auto-Submitted: auto-notified\n", Origin.MACHINE),
    "x-autoreply": ("X-Autoreply: yes\n", Origin.AUTO_REPLY),
    "x-autorespond": ("X-Autorespond: holiday\n", Origin.AUTO_REPLY),
    "x-autogenerated": ("X-Autogenerated: Reply\n", Origin.MACHINE),
    "exchange rules": ("X-MS-Exchange-Inbox-Rules-Loop: ann@customer.test\n", Origin.AUTO_REPLY),
    "apple": ("X-Apple-Action: VACATION\n", Origin.AUTO_REPLY),
    "precedence": ("Precedence: auto_reply\n", Origin.AUTO_REPLY),
    "away answer": ("In-Reply-To: <a@desk.test>\nSubject: Away from the office\n", Origin.AUTO_REPLY),
    "out of office answer": ("References: <a@desk.test>\nSubject: Out of Office: hello\n", Origin.AUTO_REPLY),
    "list id": ("List-Id: <l.customer.test>\n", Origin.LIST),
    "unsubscribe": ("List-Unsubscribe: <mailto:u@customer.test>\n", Origin.LIST),
    "bulk": ("Precedence: bulk\n", Origin.LIST),
    "loop": (f"X-Loop: {DOMAIN}\n", Origin.OURSELVES),
    "our id": (f"Message-ID: <1.1.1.abc@{DOMAIN}>\n", Origin.OURSELVES),
}


@pytest.mark.parametrize("name", AUTOMATIC)
def test_a_field_tells_the_machine(name: str) -> None:
    field, expected = AUTOMATIC[name]
    assert origin(f"{ANN}{field}\nhello") is expected


def test_a_null_reverse_path_is_a_machine() -> None:
    assert origin(f"{ANN}Subject: hello\n\nhello", reverse_path="") is Origin.MACHINE
    assert origin(f"{ANN}Subject: x\n\nI am out of the office until Monday.", reverse_path="") is Origin.AUTO_REPLY


def test_our_own_addresses_are_ourselves_with_or_without_a_token() -> None:
    for author in ("support@desk.test", "SALES@desk.test", "support+ak-1-2-3-abc@desk.test"):
        assert origin(f"From: {author}\nSubject: x\n\nhello") is Origin.OURSELVES


def report(kind: str, part: str) -> str:
    return (
        f"From: a@x.test\nContent-Type: multipart/report; report-type={kind}; boundary=b\n\n--b\n\nwords\n"
        f"--b\nContent-Type: {part}\n\nx: y\n--b--\n"
    )


def test_reports_are_told_apart() -> None:
    assert origin(report("delivery-status", "message/delivery-status")) is Origin.DELIVERY_REPORT
    assert origin(report('"feedback-report"', "message/feedback-report")) is Origin.FEEDBACK_REPORT
    assert origin(report("disposition-notification", "x/y")) is Origin.DISPOSITION_REPORT
    assert origin(report("unknown", "message/delivery-status")) is Origin.DELIVERY_REPORT


def test_a_report_about_connections_is_no_delivery_report() -> None:
    assert origin(report("tlsrpt", "application/tlsrpt+gzip")) is Origin.MACHINE  # RFC 8460


NOTICES = {
    "dmarc": (
        "From: dmarc@x.test\nSubject: Report Domain: desk.test Submitter: x.test Report-ID: <1>\n\n",
        Origin.MACHINE,
    ),
    "list manager": (
        "From: dev-request@l.test\nX-List-Administrivia: yes\nSubject: confirm 3f4a\n\nhi",
        Origin.MACHINE,
    ),
    "exchange away": (
        "From: ann@x.test\nAuto-Submitted: auto-generated\nX-MS-Exchange-Inbox-Rules-Loop: ann@x.test\n\nhi",
        Origin.AUTO_REPLY,
    ),
    "away in the subject": (
        "From: ann@x.test\nAuto-Submitted: auto-generated\nSubject: Automatische Antwort: Rechnung\n\nhi",
        Origin.AUTO_REPLY,
    ),
    "away and answered subject": (
        "From: ann@x.test\nReferences: <a@b.test>\nSubject: Absence: Re: x\n\nhi",
        Origin.AUTO_REPLY,
    ),
    "away topic and text": (
        "From: ann@x.test\nReferences: <a@b.test>\nSubject: Mimo kancelář\n\nJsem na dovolené do pátku.",
        Origin.AUTO_REPLY,
    ),
}


@pytest.mark.parametrize("name", NOTICES)
def test_notices_of_systems_are_told_apart(name: str) -> None:
    raw, expected = NOTICES[name]
    assert origin(raw) is expected


DAEMONS = {
    "mailer-daemon": "From: MAILER-DAEMON@x.test\nSubject: \n\nhello",
    "by name": "From: Mail Delivery Subsystem <nobody@x.test>\nSubject: Returned mail: see transcript\n\nhello",
    "postmaster": "From: postmaster@x.test\nSubject: Undeliverable: hello\n\nhello",
    "header only": "From: a@x.test\nX-Failed-Recipients: b@y.test\nSubject: x\n\nhello",
    "exchange": "From: a@x.test\nX-MS-Exchange-Message-Is-Ndr:\nX-Failed-Recipients: b@y.test\n\nhello",
    "gateway": (
        "From: mail-gateway@x.test\nSubject: Delivery failure\n\n"
        "Your message could not be delivered to the following recipients:\n\n<b@y.test>\n"
    ),
    "gateway to a return path": (
        "From: mail-team@x.test\nTo: list-bounces+ann=y.test@desk.test\nSubject: RE: non remis (delivery failed)\n\n"
        "Votre message n'a pas pu être délivré à\nb@y.test\n"
    ),
    "mailgun": ('From: no-reply@x.test\nSubject: notice\n\n{"event-data":{"event":"failed","recipient":"b@y.test"}}'),
    "sendgrid": 'From: no-reply@x.test\nSubject: notice\n\n[{"event":"bounce","email":"b@y.test"}]',
    "ses bounce": 'From: no-reply@x.test\nSubject: notice\n\n{"notificationType":"Bounce","bounce":{}}',
}


@pytest.mark.parametrize("name", DAEMONS)
def test_a_delivery_report_is_known_by_who_writes_it(name: str) -> None:
    assert origin(DAEMONS[name]) is Origin.DELIVERY_REPORT


def test_a_complaint_as_json_is_feedback() -> None:
    raw = 'From: no-reply@x.test\nSubject: notice\n\n{"notificationType":"Complaint","complaint":{}}'
    assert origin(raw) is Origin.FEEDBACK_REPORT


def test_a_rejection_by_a_sieve_script_is_a_delivery_report() -> None:
    raw = report("disposition-notification", "message/disposition-notification").replace(
        "words", "Your message to <b@y.test> was automatically rejected: quota exceeded"
    )
    assert origin(raw) is Origin.DELIVERY_REPORT
