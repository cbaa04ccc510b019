"""Rows fault-54 to fault-60: the server that relays for us refuses, hangs and lies at every step."""

from __future__ import annotations

import datetime
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import pytest
import sqlalchemy as sa
import trustme

from gateway.demo.mail_client import read_mail, reply_to, text_of, write_mail
from gateway.store.database import Database
from gateway.store.schema import deliveries
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink, smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JANE, ALICE, BOB, JOE, OPS = (
    "jane@customer.test",
    "alice@corp.test",
    "bob@corp.test",
    "joe@customer.test",
    "ops@corp.test",
)
STEPS = ("mail", "rcpt", "data", "dot")


class Desk:
    """A gateway, its relay, and the people who write to it."""

    def __init__(self, gateway: Gateway, relay: Sink) -> None:
        self.gateway, self.relay = gateway, relay

    def arrives(self, subject: str, cc: str = "") -> EmailMessage:
        """A customer's new matter; Alice's offer of it, once everything about it has left."""
        before = len(self.to(ALICE))
        mail = write_mail(JANE, "Jane Doe", INBOX, subject, "It does not print.\n")
        if cc:
            mail["Cc"] = cc
        self.deliver(mail, INBOX)
        wait_for(lambda: len(self.to(ALICE)) > before, "the offer")
        self.gateway.settled()
        return self.to(ALICE)[-1]

    def answers(self, offer: EmailMessage, text: str) -> None:
        mail = reply_to(offer, ALICE, "Alice Ahmed", text)
        self.deliver(mail, mail["To"].addresses[0].addr_spec)

    def deliver(self, mail: EmailMessage, recipient: str) -> None:
        author = mail["From"].addresses[0].addr_spec
        with smtplib.LMTP(str(self.gateway.socket), timeout=60) as client:
            client.sendmail(author, [recipient], signed(mail, author.partition("@")[2]))

    def contents(self, address: str, words: str) -> list[bytes]:
        """What the relay was given for somebody that contains these words."""
        mails = [one.content for one in self.relay.taken if f"<{address}>" in one.rcpt_to[0]]
        return [content for content in mails if words in text_of(read_mail(content))]

    def to(self, address: str) -> list[EmailMessage]:
        return [read_mail(one.content) for one in self.relay.taken if f"<{address}>" in one.rcpt_to[0]]

    def nothing_twice(self) -> None:
        ids = [str(read_mail(one.content)["Message-ID"]) + one.rcpt_to[0] for one in self.relay.taken]
        assert len(ids) == len(set(ids))

    def queue(self) -> list[tuple[str, str]]:
        return [(row["to"], row["state"]) for row in self.gateway.rows("queue")]


@pytest.fixture
def desk(tmp_path: Path, resolver: str, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Started; the parameter adds to [send]."""
    with in_background(smtp_sink()) as relay:
        send = f'host = "127.0.0.1"\nport = {relay.port}\ntls = "none"\nretry = ["1s"]\nmax_connections = 1'
        tables = {"send": f"{send}\n{getattr(request, 'param', '')}"}
        with Gateway(tmp_path / "desk", send_port=relay.port, resolver=resolver, tables=tables) as gateway:
            yield Desk(gateway, relay)


def test_fault_52_fault_53_a_relay_that_is_away_or_busy_defers_everything(
    tmp_path: Path, resolver: str, desk: Desk
) -> None:
    desk.relay.faults["connect"] = ["421 4.3.2 not now"] * 3
    desk.arrives("Printer")
    assert desk.relay.faults["connect"] == [] and len(desk.relay.taken) == 3
    nobody = Gateway(tmp_path / "lonely", send_port=1, resolver=resolver)  # nothing listens at port 1
    with nobody:
        Desk(nobody, desk.relay).deliver(write_mail(JANE, "Jane Doe", INBOX, "Scanner", "It does not scan.\n"), INBOX)
        wait_for(lambda: nobody.log().count(" deferred ") >= 6, "each is tried again, and again")
        assert {row["state"] for row in nobody.rows("queue")} <= {"deferred", "transmitting"}
        assert len(nobody.rows("queue")) == 3
    for gateway in (desk.gateway, nobody):
        assert " unknown " not in gateway.log() and " failed " not in gateway.log()
    desk.nothing_twice()


def test_fault_54_a_temporary_refusal_at_any_step_is_tried_again_with_the_same_bytes(desk: Desk) -> None:
    for step in STEPS:
        offer = desk.arrives(f"Printer {step}")
        desk.relay.faults[step] = ["451 4.3.0 busy"] * 2
        desk.answers(offer, f"Off and on again, {step}.")
        wait_for(lambda step=step: desk.contents(JANE, f"again, {step}."), f"it arrives though {step} was refused")
        assert desk.relay.faults[step] == []
        desk.gateway.settled()
        assert len(desk.contents(JANE, f"again, {step}.")) == 1
    assert desk.gateway.rows("queue") == []
    assert len(desk.to(ALICE)) == len(STEPS), "nobody is bothered with what solved itself"
    (arrived,) = desk.contents(JANE, "again, dot.")
    assert [one.content for one in desk.relay.refused] == [arrived, arrived], "the same bytes at each attempt"


def test_fault_55_a_final_refusal_at_any_step_is_told_to_the_author_with_its_words(desk: Desk) -> None:
    for step in STEPS[1:]:  # at MAIL it speaks of us: nobody was named yet
        offer = desk.arrives(f"Printer {step}")
        desk.relay.faults[step] = [f"550 5.7.1 not this one at {step}"]
        desk.answers(offer, f"Off and on again, {step}.")
        wait_for(lambda step=step: desk.contents(ALICE, f"not this one at {step}"), f"Alice hears of {step}")
        desk.gateway.settled()
        assert desk.contents(JANE, f"again, {step}.") == []
        assert desk.gateway.rows("queue") == [], "never tried again by itself"


def test_fault_56_a_connection_lost_after_the_dot_repeats_answers_and_no_automatic_mail(desk: Desk) -> None:
    kept = {"accept+drop": 2, "drop": 1}  # what arrives of an answer whose first copy the relay kept, or did not
    for fault, copies in kept.items():
        offer = desk.arrives(f"Printer {fault}")
        desk.relay.faults["dot"] = [fault]
        desk.answers(offer, f"Off and on again, {fault}.")
        wait_for(lambda f=fault, n=copies: len(desk.contents(JANE, f"again, {f}.")) == n, "the answer, again")
        desk.gateway.settled()
        answers = desk.contents(JANE, f"again, {fault}.")
        assert len(answers) == copies and len(set(answers)) == 1, "the same Message-ID, the same bytes"
    for fault, copies in {"accept+drop": 1, "drop": 0}.items():
        before = len(desk.relay.taken)
        desk.relay.faults["dot"] = [fault]  # one offer, to Alice who answered her; she was acknowledged today
        desk.deliver(write_mail(JANE, "Jane Doe", INBOX, f"Scanner {fault}", "It does not scan.\n"), INBOX)
        wait_for(lambda: not desk.relay.faults["dot"], "it is transmitted")
        desk.gateway.settled()
        assert len(desk.relay.taken) == before + copies
        assert desk.gateway.rows("queue") == [], "and is not sent again"
        assert state_of(desk, ALICE, "offer")[-1] == "unknown", "it is not known to have arrived, and not said to have"


def test_fault_56_a_relay_that_keeps_every_copy_and_never_says_so_gets_three(desk: Desk) -> None:
    offer = desk.arrives("Printer")
    desk.relay.faults["dot"] = ["accept+drop"] * 3
    desk.answers(offer, "Off and on again.")
    wait_for(lambda: desk.contents(ALICE, "PERHAPS NOT DELIVERED"), "Alice is told")
    desk.gateway.settled()
    copies = desk.contents(JANE, "Off and on again.")
    assert len(copies) == 3 and len(set(copies)) == 1
    assert state_of(desk, JANE, "answer") == ["unknown"]
    assert "left 3 times" in text_of(desk.to(ALICE)[-1])


@pytest.mark.parametrize("desk", ['timeout = "1s"'], indirect=True)
def test_fault_57_a_relay_that_hangs_is_given_up_at_any_step_and_the_others_go_on(desk: Desk) -> None:
    for number, step in enumerate(("connect", "ehlo"), 1):
        desk.gateway.restart()  # a kept connection would spare it these steps
        desk.relay.faults[step] = ["stall"]
        desk.arrives(f"Scanner {step}")
        wait_for(lambda n=number: len(desk.to(BOB)) == n and not desk.gateway.rows("queue"), "the others, and this one")
        assert desk.relay.faults[step] == []
        assert len(desk.to(ALICE)) == number
    for step in STEPS:
        offer = desk.arrives(f"Printer {step}")
        desk.relay.faults[step] = ["stall"]
        desk.answers(offer, f"Off and on again, {step}.")
        wait_for(lambda step=step: desk.contents(JANE, f"again, {step}."), "it arrives with another attempt")
        desk.gateway.settled()
        assert len(desk.contents(JANE, f"again, {step}.")) == 1
    assert desk.gateway.log(2000).count("after the final dot") == 1, (
        "before the dot it is certain that it was not taken"
    )
    desk.relay.faults["quit"] = ["stall"]
    desk.gateway.restart()
    assert desk.gateway.rows("queue") == [], "what was taken stays sent, whatever becomes of the goodbye"


def certificates(authority: trustme.CA) -> dict[str, trustme.LeafCert]:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return {
        "expired": authority.issue_cert("localhost", not_after=past),
        "wrong name": authority.issue_cert("mail.elsewhere.test"),
        "self-signed": trustme.CA().issue_cert("localhost"),
    }


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_fault_58_no_mail_leaves_where_the_certificate_is_wrong(tmp_path: Path, resolver: str, tls: str) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for number, (name, certificate) in enumerate(certificates(authority).items()):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        with in_background(smtp_sink(Sink(tls=context), implicit_tls=tls == "implicit")) as relay:
            send = (
                f'host = "localhost"\nport = {relay.port}\ntls = "{tls}"\nca_file = "{tmp_path}/ca.pem"\nretry = ["1s"]'
            )
            tables = {"send": send, "ticketgate": f'admin = ["{OPS}"]'}
            folder = tmp_path / f"desk{number}"
            with Gateway(folder, send_port=relay.port, resolver=resolver, tables=tables) as gateway:
                desk = Desk(gateway, relay)
                desk.deliver(write_mail(JANE, "Jane Doe", INBOX, "Printer", "It does not print.\n"), INBOX)
                wait_for(lambda g=gateway: g.log().count(" deferred ") >= 4, f"{name}: tried, and tried again")
                assert {state for _, state in desk.queue()} <= {"deferred", "transmitting"}
                assert 'problem="nothing can be sent by localhost"' in gateway.log()
                assert relay.taken == []
                assert not [command for command in relay.commands if command.startswith(("MAIL", "RCPT", "DATA"))]


def test_fault_59_of_two_recipients_one_is_refused_and_the_author_told_which(desk: Desk) -> None:
    offer = desk.arrives("Printer", cc=JOE)
    desk.relay.faults["rcpt"] = []
    before = len(desk.to(ALICE))
    wait_for(lambda: desk.gateway.ticket(1), "the ticket")
    refused = {"count": 0}
    original = desk.relay._next

    def refuse_joe(step: str) -> str:
        if step == "rcpt" and f"<{JOE}>" in desk.relay.commands[-1]:
            refused["count"] += 1
            return "550 5.1.1 no such Joe"
        return original(step)

    desk.relay._next = refuse_joe  # type: ignore[method-assign]  # the sink's script, by recipient
    desk.answers(offer, f"#cc {JOE}\n\nOff and on again.")
    wait_for(lambda: len(desk.to(ALICE)) > before and desk.contents(ALICE, "no such Joe"), "Alice is told which")
    desk.gateway.settled()
    assert len(desk.contents(JANE, "Off and on again.")) == 1
    assert desk.contents(JOE, "Off and on again.") == []
    (notice,) = desk.contents(ALICE, "no such Joe")
    assert JOE in text_of(read_mail(notice))
    assert desk.gateway.rows("queue") == []
    assert refused["count"] == 1


def state_of(desk: Desk, address: str, kind: str) -> list[str]:
    """What became of each mail of a kind to somebody, as the database has it."""
    store = Database(desk.gateway.storage)
    try:
        with store.begin() as tx:
            wanted = (deliveries.c.recipient == address) & (deliveries.c.kind == kind)
            return list(tx.execute(sa.select(deliveries.c.state).where(wanted)).scalars())
    finally:
        store.close()


REPORT = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@relay.test>
To: <{bounce}>
Subject: Undelivered Mail Returned to Sender
Date: {date}
Message-ID: <report-{number}@relay.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

I could not deliver your message.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.test

Final-Recipient: rfc822; {jane}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 she has moved

--b--
"""


def test_fault_60_a_mail_that_bounces_later_is_told_once(desk: Desk) -> None:
    offer = desk.arrives("Printer")
    desk.answers(offer, "Off and on again.")
    wait_for(lambda: desk.contents(JANE, "Off and on again."), "the answer leaves")
    desk.gateway.settled()
    (answer,) = [one for one in desk.relay.taken if b"Off and on again." in one.content and JANE in one.rcpt_to[0]]
    bounce = answer.mail_from.partition("<")[2].partition(">")[0]
    before = len(desk.to(ALICE))
    for number in (1, 2):
        report = REPORT.format(bounce=bounce, number=number, jane=JANE, date=formatdate())
        with smtplib.LMTP(str(desk.gateway.socket), timeout=60) as client:
            client.sendmail("", [bounce], report.replace("\n", "\r\n").encode())
        desk.gateway.settled()
    wait_for(lambda: desk.contents(ALICE, "she has moved"), "Alice is told")
    assert len(desk.to(ALICE)) == before + 1, "the second copy changes nothing"
    assert state_of(desk, JANE, "answer") == ["failed"]
    assert len(desk.contents(JANE, "Off and on again.")) == 1
