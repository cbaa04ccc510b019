"""Mail that does not get out: tried again and delivered once, or its author is told. Nothing ends in silence."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, reply_to, text_of, write_mail
from tests.support.gateway import PATIENCE, Gateway, in_background, wait_for
from tests.support.site import INBOX, Site, signed
from tests.support.smtp_sink import Sink, smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ANSWER = "Hello Jane,\n\nplease switch it off and on again.\n\nAlice"
JANE, ALICE, BOB = "jane@customer.test", "alice@corp.test", "bob@corp.test"


class Desk:
    """A gateway whose relay does what a test says, and the people who write to it."""

    def __init__(self, gateway: Gateway, relay: Sink) -> None:
        self.gateway, self.relay = gateway, relay

    def customer_writes(self) -> EmailMessage:
        """Jane's question; Alice's offer."""
        self.deliver(write_mail(JANE, "Jane Doe", INBOX, "Printer", "It does not print.\n"), INBOX)
        self.mails_to(JANE, 1)
        return self.mails_to(ALICE, 1)[0]

    def alice_replies(self, original: EmailMessage, text: str) -> None:
        mail = reply_to(original, ALICE, "Alice Ahmed", text)
        self.deliver(mail, mail["To"].addresses[0].addr_spec)

    def deliver(self, mail: EmailMessage, recipient: str) -> None:
        author = mail["From"].addresses[0].addr_spec
        with smtplib.LMTP(str(self.gateway.socket), timeout=60) as client:
            client.sendmail(author, [recipient], signed(mail, author.partition("@")[2]))

    def mails_to(self, address: str, count: int, patience: float = PATIENCE) -> list[EmailMessage]:
        """Wait until so many mails for somebody have left."""

        def found() -> list[EmailMessage]:
            mails = [read_mail(taken.content) for taken in self.relay.taken if f"<{address}>" in taken.rcpt_to[0]]
            return mails if len(mails) >= count else []

        mails: list[EmailMessage] = wait_for(found, f"{count} mails to {address}", patience)
        return mails

    def waits_in_queue(self) -> dict[str, object]:
        """The one mail in the outbox, once it was tried."""

        def tried() -> list[dict[str, object]]:
            return [row for row in self.gateway.rows("queue") if row["state"] == "deferred"]

        (row,) = wait_for(tried, "a deferred mail in the queue")
        return dict(row)


@pytest.fixture
def desk(tmp_path: Path, resolver: str, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Started; retries as the parameter says."""
    retry = getattr(request, "param", "1s")
    with in_background(smtp_sink()) as relay:
        send = f'host = "127.0.0.1"\nport = {relay.port}\ntls = "none"\nretry = ["{retry}"]'
        with Gateway(tmp_path / "desk", send_port=relay.port, resolver=resolver, tables={"send": send}) as gateway:
            yield Desk(gateway, relay)


def test_an_answer_the_relay_cannot_take_now_is_tried_again_and_arrives_once(desk: Desk) -> None:
    offer = desk.customer_writes()
    desk.gateway.settled()
    desk.relay.faults["rcpt"] = ["451 4.3.0 the mail server of customer.test does not answer"] * 2
    desk.alice_replies(offer, ANSWER)
    _, answer = desk.mails_to(JANE, 2)
    assert "off and on again" in text_of(answer)
    desk.gateway.settled()
    assert desk.gateway.rows("queue") == []
    assert len(desk.mails_to(JANE, 2)) == 2
    assert len(desk.mails_to(ALICE, 1)) == 1  # she is not bothered with what solved itself


@pytest.mark.parametrize("desk", ["1h"], indirect=True)
def test_an_operator_sees_deferred_mail_and_can_have_it_tried_stopped_or_dropped(desk: Desk) -> None:
    offer = desk.customer_writes()
    desk.gateway.settled()
    desk.relay.faults["rcpt"] = ["451 4.3.0 busy"]
    desk.alice_replies(offer, ANSWER)
    row = desk.waits_in_queue()
    assert (row["to"], row["kind"], row["ticket"]) == (JANE, "answer", 1)
    assert "busy" in str(row["reply"])
    number = str(row["mail"])
    assert "off and on again" in desk.gateway.cli("queue", "show", number)
    desk.gateway.restart()  # what waits, waits in the database
    assert [waiting["mail"] for waiting in desk.gateway.rows("queue")] == [row["mail"]]

    assert desk.gateway.cli("queue", "hold", number) == "1 mail held\n"
    assert desk.gateway.cli("queue", "retry", number, expect=67).endswith(f"mail {number} is not waiting\n")  # but held
    assert desk.gateway.cli("queue", "release", number) == "1 mail released\n"
    desk.mails_to(JANE, 2)
    desk.gateway.settled()
    assert desk.gateway.rows("queue") == []
    desk.gateway.cli("queue", "drop", number, "--reason", "too late", expect=67)


def test_the_author_of_an_answer_that_was_refused_is_told(desk: Desk) -> None:
    offer = desk.customer_writes()
    desk.gateway.settled()
    desk.relay.faults["rcpt"] = ["550 5.1.1 <jane@customer.test>: no such person"]
    desk.alice_replies(offer, ANSWER)
    _, notice = desk.mails_to(ALICE, 2)
    assert "no such person" in text_of(notice)
    assert JANE in text_of(notice)
    desk.gateway.settled()
    assert len(desk.mails_to(JANE, 1)) == 1
    assert len(desk.mails_to(BOB, 1)) == 1
    (ticket,) = desk.gateway.rows("tickets")
    assert (ticket["state"], ticket["owner"]) == ("open", "alice")


def test_a_relay_that_stalls_over_one_mail_does_not_keep_back_the_others(desk: Desk) -> None:
    offer = desk.customer_writes()
    desk.gateway.settled()
    desk.relay.faults["rcpt"] = ["stall"]
    desk.alice_replies(offer, ANSWER)
    wait_for(lambda: not desk.relay.faults["rcpt"], "the relay stalls")
    other = write_mail("joe@customer.test", "Joe", INBOX, "Scanner", "It does not scan.\n")
    desk.deliver(other, INBOX)
    # The stalled attempt is given up after a minute (send.timeout).
    desk.mails_to("joe@customer.test", 1, patience=40)
    desk.mails_to(ALICE, 2, patience=40)


@pytest.mark.postfix
@pytest.mark.dovecot
def test_while_the_customers_mail_server_is_down_the_answer_waits_and_arrives_once(site: Site) -> None:
    site.jane.writes("Printer", "It does not print.\n")
    site.jane.next_mail()
    offer = site.alice.next_mail()
    site.settled()
    site.dovecot.stop()
    site.alice.replies(offer, ANSWER)
    site.postfix.wait_log("status=deferred")
    site.dovecot.start()
    assert "off and on again" in text_of(site.jane.next_mail())
    site.settled()
    assert site.jane.has_read_all() and site.alice.has_read_all()


@pytest.mark.postfix
@pytest.mark.dovecot
def test_a_delivery_report_that_comes_back_later_is_told_to_the_author_of_the_answer(site: Site) -> None:
    site.jane.writes("Printer", "It does not print.\n")
    site.jane.next_mail()
    offer = site.alice.next_mail()
    site.bob.next_mail()
    site.settled()
    # Postfix accepts the answer, and then the server it hands it to knows no such address.
    site.postfix.route("jane@customer.test", site.gateway.socket)
    site.alice.replies(offer, ANSWER)
    notice = site.alice.next_mail()
    site.postfix.wait_log("status=bounced")
    assert JANE in text_of(notice)
    assert "5.7.1" in text_of(notice)
    site.settled()
    (ticket,) = site.gateway.rows("tickets")
    assert (ticket["state"], ticket["owner"]) == ("open", "alice")
    assert site.jane.has_read_all() and site.alice.has_read_all() and site.bob.has_read_all()
