"""Delivery reports: who, what, why, and about which mail."""

from __future__ import annotations

import pytest

from gateway.analysis.parse import parse
from gateway.analysis.reports import read_reports
from gateway.model import DeliveryReport


def reports(raw: str) -> tuple[DeliveryReport, ...]:
    data = raw.encode().replace(b"\n", b"\r\n")
    return read_reports(data, parse(data))


def short(raw: str) -> list[tuple[str, str, str, str]]:
    return [(r.recipient, r.action, r.status, r.kind) for r in reports(raw)]


def dsn(status: str, returned: str = "Message-ID: <one@desk.test>\nSubject: x\n") -> str:
    return (
        "From: MAILER-DAEMON@mx.test\nTo: support+b@desk.test\nSubject: Undelivered Mail\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        f"--b\n\nIt failed.\n--b\nContent-Type: message/delivery-status\n\n{status}\n"
        f"--b\nContent-Type: text/rfc822-headers\n\n{returned}\n--b--\n"
    )


class TestStandard:
    def test_every_recipient_group_is_one_report(self) -> None:
        raw = dsn(
            "Reporting-MTA: dns; mx.test\nOriginal-Envelope-Id: ak+2D4827\n\n"
            "Final-Recipient: rfc822; ann@customer.test\nAction: failed\nStatus: 5.1.1\n"
            "Diagnostic-Code: smtp; 550 5.1.1 <ann@customer.test>:\n  User unknown\n\n"
            "Final-Recipient: RFC822;<ben@other.test>\nAction: Delayed (warning)\nStatus: 4.4.1 (timed out)\n"
            "Will-Retry-Until: Fri, 27 Nov 2026 10:00:00 +0000\n\n"
            "Final-Recipient: rfc822; eve@third.test\nAction: relayed\nStatus: 2.0.0\n"
        )
        first, second, third = reports(raw)
        assert first == DeliveryReport(
            recipient="ann@customer.test",
            action="failed",
            status="5.1.1",
            diagnostic="550 5.1.1 <ann@customer.test>: User unknown",
            kind="hard",
            original_message_id="<one@desk.test>",
            returned_id="<one@desk.test>",
            envelope_id="ak-4827",
        )
        assert (second.recipient, second.action, second.kind) == ("ben@other.test", "delayed", "delay")
        assert (third.recipient, third.action, third.kind) == ("eve@third.test", "relayed", "delivered")

    def test_a_failure_that_might_have_worked_is_soft(self) -> None:
        raw = dsn("Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x.test\nAction: failed\nStatus: 4.4.7\n")
        assert short(raw) == [("a@x.test", "failed", "4.4.7", "soft")]

    def test_a_status_that_says_nothing_gives_way_to_the_diagnostic(self) -> None:
        raw = dsn(
            "Final-Recipient: rfc822; a@x.test\nAction: failed\nStatus: 5.0.0\n"
            "Diagnostic-Code: smtp; 552 5.2.2 mailbox full\n"
        )
        assert short(raw) == [("a@x.test", "failed", "5.2.2", "hard")]

    def test_groups_without_an_empty_line_are_taken_apart(self) -> None:
        raw = dsn(
            "Reporting-MTA: dns; x\nFinal-Recipient: rfc822; a@x.test\nAction: failed\nStatus: 5.1.1\n"
            "Final-Recipient: rfc822; b@x.test\nAction: failed\nStatus: 5.1.2\n"
        )
        assert [r.recipient for r in reports(raw)] == ["a@x.test", "b@x.test"]

    def test_a_name_inside_their_system_gives_way_to_the_address_we_wrote(self) -> None:
        raw = dsn(
            "Original-Recipient: rfc822;a@x.test\nFinal-Recipient: X-LOCAL;store/7\nAction: failed\nStatus: 5.1.1\n"
        )
        assert [r.recipient for r in reports(raw)] == ["a@x.test"]

    def test_international_addresses_are_unescaped(self) -> None:
        raw = dsn("Final-Recipient: utf-8; j\\x{F6}rg@x.test\nAction: failed\nStatus: 5.1.1\n")
        assert [r.recipient for r in reports(raw)] == ["jörg@x.test"]

    def test_a_status_without_action_is_read(self) -> None:
        assert short(dsn("Final-Recipient: rfc822; a@x.test\nStatus: 5.7.1\n")) == [
            ("a@x.test", "failed", "5.7.1", "hard")
        ]

    def test_the_fields_are_found_where_a_gateway_made_them_text(self) -> None:
        raw = (
            "From: MAILER-DAEMON@x.test\n\nSorry\n\nFinal-Recipient: rfc822; a@x.test\nAction: failed\nStatus: 5.1.1\n"
        )
        assert short(raw) == [("a@x.test", "failed", "5.1.1", "hard")]


RETURNED = (
    "Received: from desk.test by mx.test\nMessage-ID: <one@desk.test>\nTo: wrong@x.test\nSubject: x\n\nbody c@x.test\n"
)

PROSE = {
    "exim": (
        "This message was created automatically by mail delivery software.\n\n"
        "A message that you sent could not be delivered to one or more of its\nrecipients. This is a permanent "
        "error. The following address(es) failed:\n\n  a@x.test\n    SMTP error from remote mail server after RCPT "
        "TO:<a@x.test>:\n    host mx.x.test [192.0.2.1]: 550 5.1.1 no such user\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n" + RETURNED,
        [("a@x.test", "failed", "5.1.1", "hard")],
    ),
    "qmail": (
        "Hi. This is the qmail-send program at mx.x.test.\nI'm afraid I wasn't able to deliver your message to the "
        "following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        "<a@x.test>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n<b@x.test>:\nRemote host said: 450 busy\n"
        "I'm not going to try again; this message has been in the queue too long.\n\n"
        "--- Below this line is a copy of the message.\n\n" + RETURNED,
        [("a@x.test", "failed", "5.1.1", "hard"), ("b@x.test", "failed", "4.0.0", "soft")],
    ),
    "postfix": (
        "This is the Postfix program at host mx.test.\n\nI'm sorry to have to inform you that the message returned\n"
        "below could not be delivered to one or more destinations.\n\nFor further assistance, please send mail to "
        "<postmaster@mx.test>\n\n<a@x.test>: host mx.x.test[192.0.2.1] said: 552\n    5.2.2 over quota (in reply)\n",
        [("a@x.test", "failed", "5.2.2", "hard")],
    ),
    "sendmail": (
        "   ----- The following addresses had permanent fatal errors -----\n<a@x.test>\n\n"
        "   ----- Transcript of session follows -----\n... while talking to mx.x.test.:\n>>> RCPT To:<a@x.test>\n"
        "<<< 550 5.7.1 denied\n554 5.0.0 Service unavailable\n",
        [("a@x.test", "failed", "5.7.1", "hard")],
    ),
    "exchange": (
        "Your message\n\n  To:      team@desk.test\n  Subject: hello\n  Sent:    Mon, 23 Nov 2026\n\n"
        "did not reach the following recipient(s):\n\na@x.test on Mon, 23 Nov 2026\n    The recipient name is not "
        "recognized\n",
        [("a@x.test", "failed", "5.1.1", "hard")],
    ),
    "warning": (
        "This is a warning message only. You do not need to resend your message.\n\nThe following message to "
        "<a@x.test> has not yet been delivered.\nDelivery attempts will continue.\n",
        [("a@x.test", "delayed", "4.0.0", "delay")],
    ),
    "one sentence": ("Delivery failed 20 attempts: a@x.test\n", [("a@x.test", "failed", "5.0.0", "hard")]),
    "queue timeout": (
        "The following address(es) failed:\n\n  a@x.test\n    retry timeout exceeded\n",
        [("a@x.test", "failed", "4.4.7", "soft")],
    ),
    "other language": (
        "以下のメールアドレスへの送信に失敗しました。\na@x.test\n\n"
        "-------server message\n550 unknown user <a@x.test>\n",
        [("a@x.test", "failed", "5.1.1", "hard")],
    ),
    "bare names": (
        "Your mail to the following recipients could not be delivered:\n\tann\n",
        [("ann@mx.test", "failed", "5.0.0", "hard")],
    ),
}


class TestProse:
    @pytest.mark.parametrize("name", PROSE)
    def test_a_report_is_read_whoever_wrote_it(self, name: str) -> None:
        text, expected = PROSE[name]
        head = "From: MAILER-DAEMON@mx.test\nTo: support+b@desk.test\nSubject: failure notice\n\n"
        assert short(head + text) == expected

    def test_the_field_of_failed_recipients_wins(self) -> None:
        raw = "From: x@y.test\nX-Failed-Recipients: a@x.test,\n b@x.test\nSubject: x\n\na@x.test: 550 5.1.1 unknown\n"
        assert [r.recipient for r in reports(raw)] == ["a@x.test", "b@x.test"]

    def test_the_original_is_found_in_the_returned_text_or_in_reply_to(self) -> None:
        text = PROSE["exim"][0]
        assert reports("From: MAILER-DAEMON@mx.test\n\n" + text)[0].original_message_id == "<one@desk.test>"
        raw = "From: postmaster@mx.test\nIn-Reply-To: <two@desk.test>\nSubject: Undeliverable\n\na@x.test: 550 no\n"
        assert reports(raw)[0].original_message_id == "<two@desk.test>"

    def test_whom_the_returned_mail_was_received_for_comes_before_the_list_it_was_written_to(self) -> None:
        returned = (
            "Received: from mx.list.test by mx.test for <ann.1@mx.test>; Mon, 23 Nov 2026 10:00:00 +0000\n"
            "Received: from desk by mx.list.test for <all@list.test>; Mon, 23 Nov 2026 09:59:00 +0000\n"
            "To: all@list.test\nSubject: x\n\nhello\n"
        )
        raw = (
            "From: ndr@mx.test\nTo: support@desk.test\nSubject: Mail delivery failed\n"
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nOne of the recipients is not a valid user.\n"
            f"--b\nContent-Type: message/rfc822\n\n{returned}--b--\n"
        )
        assert [report[0] for report in short(raw)] == ["ann.1@mx.test"]

    def test_the_one_addressee_of_the_returned_mail_is_who_failed_when_nobody_is_named(self) -> None:
        raw = (
            "From: MAILER-DAEMON@mx.test\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nIt failed, sorry.\n"
            "--b\nContent-Type: message/rfc822\n\nTo: Ann <a@x.test>\nMessage-ID: <one@desk.test>\n\nx\n--b--\n"
        )
        assert [(r.recipient, r.original_message_id) for r in reports(raw)] == [("a@x.test", "<one@desk.test>")]

    def test_a_mail_that_names_nobody_reports_nothing(self) -> None:
        assert reports("From: MAILER-DAEMON@mx.test\nSubject: x\n\nhello\n") == ()
        assert reports("") == ()


class TestJson:
    def test_a_provider_notice_is_read_through_its_wrapping(self) -> None:
        inner = (
            '{\\"notificationType\\":\\"Bounce\\",\\"bounce\\":{\\"bounceType\\":\\"Permanent\\",\\"bouncedRecipients\\":'
            '[{\\"emailAddress\\":\\"a@x.test\\",\\"status\\":\\"5.1.1\\",\\"diagnosticCode\\":\\"smtp; 550 no\\"}]},'
            '\\"mail\\":{\\"commonHeaders\\":{\\"messageId\\":\\"<one@desk.test>\\"}}}'
        )
        raw = f'From: no-reply@x.test\nSubject: x\n\n{{"Type":"Notification","Message":"{inner}"}}\n--\nfooter\n'
        (report,) = reports(raw)
        assert (report.recipient, report.status, report.diagnostic, report.kind, report.original_message_id) == (
            "a@x.test",
            "5.1.1",
            "550 no",
            "hard",
            "<one@desk.test>",
        )

    def test_a_transient_bounce_is_soft(self) -> None:
        raw = (
            'From: no-reply@x.test\n\n{"notificationType":"Bounce","bounce":{"bounceType":"Transient",'
            '"bouncedRecipients":[{"emailAddress":"a@x.test"}]}}'
        )
        assert short(raw) == [("a@x.test", "failed", "4.0.0", "soft")]

    def test_mailgun_and_sendgrid_are_read(self) -> None:
        mailgun = (
            'From: no-reply@x.test\n\n{"signature":{"token":"x"},"event-data":{"event":"failed","severity":"temporary",'
            '"recipient":"a@x.test","delivery-status":{"code":452,"message":"4.2.2 mailbox full"}}}'
        )
        assert short(mailgun) == [("a@x.test", "failed", "4.2.2", "soft")]
        sendgrid = (
            'From: no-reply@x.test\n\n[{"email":"a@x.test","event":"bounce","status":"5.1.1","reason":"550 no"},'
            '{"email":"b@x.test","event":"deferred","reason":"busy"}]'
        )
        assert [report[0] for report in short(sendgrid)] == ["a@x.test", "b@x.test"]

    def test_other_json_is_no_report(self) -> None:
        for text in ('{"a": 1}', "{", "[1]", '{"event": "order", "email": "a@x.test"}', '{"a":' * 50_000):
            reports(f"From: a@x.test\n\n{text}")


class TestHostile:
    BODIES = (
        "x\nReceived: a\n" + (" " * 200 + "\n") * 300,
        "x\noriginal message " + "-" * 60_000 + "x",
        ("from " * 20 + "a@b.test\n") * 600,
        (" " * 70 + "a@b.test\n") * 700,
        "the recipient " * 5_000,
        "".join(f"<a{n}@b.test>: no\n" for n in range(4_000)),
        "a@b" + ".c" * 30_000,
        "5.1.1." * 10_000,
        "Final-Recipient:\n" * 20_000 + "Action: failed\n",
    )

    @pytest.mark.parametrize("number", range(len(BODIES)))
    def test_prose_made_to_stall_a_reader_is_read_in_one_go(self, number: int) -> None:
        assert len(reports(f"From: MAILER-DAEMON@mx.test\nSubject: x\n\n{self.BODIES[number]}")) <= 500
