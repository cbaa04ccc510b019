"""What a real Postfix says when it refuses us, and when it refuses one recipient or one mail, is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.outbound.transport import Attempt, Transport
from gateway.settings import Duration, Send
from tests.edges.test_transport import CONTENT, make_mail
from tests.support.postfix import PostfixServer

pytestmark = pytest.mark.postfix

ELSEWHERE, HERE = "jane@elsewhere.test", "jane@customer.test"


async def submit(folder: Path, settings: dict[str, str], recipient: str, content: bytes = CONTENT) -> Attempt:
    with PostfixServer(folder, settings) as postfix:
        send = Send(host="127.0.0.1", port=postfix.port, tls="none", timeout=Duration(seconds=20))
        transport = Transport(send)
        try:
            return await transport.attempt(make_mail(content, recipient=recipient))
        finally:
            await transport.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"},
            "554 5.7.1 <jane@elsewhere.test>: Relay access denied",
        ),
        (
            {"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "permit_mynetworks, defer_unauth_destination"},
            "454 4.7.1 <jane@elsewhere.test>: Relay access denied",
        ),
        ({"smtpd_client_restrictions": "reject"}, "Client host rejected: Access denied"),
        ({"smtpd_helo_restrictions": "reject"}, "Helo command rejected: Access denied"),
        ({"smtpd_sender_restrictions": "reject"}, "Sender address rejected: Access denied"),
        ({"smtpd_sender_restrictions": "reject", "smtpd_delay_reject": "no"}, "Sender address rejected: Access denied"),
    ],
)
async def test_what_postfix_says_of_us_is_deferred(postfix_folder: Path, settings: dict[str, str], words: str) -> None:
    said = await submit(postfix_folder, settings, ELSEWHERE)
    assert (said.outcome, said.barred) == ("deferred", True), said
    assert words in said.reply


@pytest.mark.parametrize(
    ("settings", "step", "words"),
    [
        ({"smtpd_recipient_restrictions": "reject"}, "rcpt", "Recipient address rejected: Access denied"),
        ({"virtual_mailbox_maps": "inline:{tom@customer.test=tom/}"}, "rcpt", "5.1.1"),
        ({"message_size_limit": "2000"}, "mail", "552 5.3.4"),
    ],
)
async def test_what_postfix_says_of_a_recipient_or_of_a_mail_is_final(
    postfix_folder: Path, settings: dict[str, str], step: str, words: str
) -> None:
    said = await submit(postfix_folder, settings, HERE, CONTENT + b"x\r\n" * 2000)
    assert (said.outcome, said.barred, said.step) == ("failed", False, step), said
    assert words in said.reply
