"""The Sent folder of a shared mailbox: answers are copied there, and no copy of ours is read as an answer."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, text_of
from tests.support.dovecot import DovecotServer
from tests.support.gateway import wait_for
from tests.support.site import INBOX, Site

pytestmark = [pytest.mark.system, pytest.mark.postfix, pytest.mark.dovecot, pytest.mark.timeout(300)]

BOTH = 'sent_copy = "auto"\nsent_folder = "Sent"'


@pytest.fixture
def shared(postfix_folder: Path, dovecot: DovecotServer) -> Iterator[Site]:
    """A site whose mailbox is read, with its Sent folder, which gets copies too."""
    dovecot.mark_folder("Sent", "\\Sent")
    with Site(postfix_folder, dovecot, polled=True, mailbox=BOTH) as running:
        yield running


def test_an_answer_is_copied_once_through_a_kill_and_never_taken_for_another_answer(shared: Site) -> None:
    site, jane, alice, bob = shared, shared.jane, shared.alice, shared.bob
    jane.writes("Printer", "It does not print.\n")
    jane.next_mail()
    bob.next_mail()

    def kept() -> list[EmailMessage]:
        return [read_mail(raw) for raw in site.dovecot.messages(INBOX, "Sent")]

    alice.replies(alice.next_mail(), "Please switch it off and on again.\n")
    answer = jane.next_mail()
    site.gateway.kill()
    site.gateway.start()
    (copy,) = wait_for(kept, "the copy of the answer")
    assert copy["Message-ID"] == answer["Message-ID"] and "off and on" in text_of(copy)
    assert site.dovecot.flags(INBOX, "Sent") == [{"\\Seen"}]

    # What somebody writes by hand from the mailbox is an answer still, so the folder has been read by now.
    site.dovecot.append(INBOX, "Sent", _by_hand(answer["Message-ID"], answer["Subject"]))

    def answers() -> list[str]:
        found = [event["text"] for event in site.gateway.ticket(1)["events"] if event["kind"] == "answer"]
        return found if len(found) > 1 else []

    texts = wait_for(answers, "the answer by hand is in the ticket")
    assert [text.strip() for text in texts] == ["Please switch it off and on again.", "Or call us."]
    site.settled()
    assert len(kept()) == 2 and len(site.jane.raw_inbox()) == 2


def _by_hand(answers: str, subject: str) -> bytes:
    return (
        f"From: Desk <{INBOX}>\r\nTo: Jane <jane@customer.test>\r\nSubject: {subject}\r\n"
        f"Message-ID: <by-hand@desk.test>\r\nIn-Reply-To: {answers}\r\n"
        "Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nOr call us.\r\n"
    ).encode()
