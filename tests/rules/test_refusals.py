"""Whom a refusal speaks of: us, this mail, or its recipient; and when a relay that refused us takes mail again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.model import OutboundMail
from gateway.outbound.refusals import speaks_of_us
from gateway.outbound.standing import Standing
from gateway.outbound.transport import Attempt
from tests.edges.test_transport import make_mail

JANE, TOM, ALICE = "jane@customer.test", "tom@shop.test", "alice@corp.test"


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("connect", "554 5.3.2 go away"),
        ("connect", "550 no"),
        ("mail", "550 5.7.1 your domain is not welcome"),
        ("mail", "550 relay not permitted"),
        ("mail", "553 sorry"),
        ("mail", "530 5.7.0 Authentication required"),
        ("rcpt", "554 5.7.1 <jane@customer.test>: Relay access denied"),
        ("rcpt", "454 4.7.1 <jane@customer.test>: Relay access denied"),
        ("rcpt", "550 relay not permitted"),
        ("rcpt", "550 5.7.1 <jane@customer.test>... Relaying denied. Proper authentication required."),
        ("rcpt", "513 Relaying denied."),
        ("rcpt", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
        ("rcpt", "550 5.7.1 Unable to relay"),
        ("rcpt", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
        ("rcpt", "550 5.7.64 TenantAttribution; Relay Access Denied"),
        ("rcpt", "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied"),
        ("rcpt", "553 5.7.1 <support@desk.test>: Sender address rejected: not owned by user desk"),
        ("rcpt", "550 5.1.8 <support@desk.test>: Sender address rejected: Domain not found"),
        ("dot", "550 5.4.5 Daily user sending limit exceeded"),
        ("dot", "554 5.2.252 SendAsDenied; desk@corp.test not allowed to send as support@desk.test"),
        ("data", "554 5.7.1 relaying denied"),
    ],
)
def test_a_refusal_that_would_meet_any_mail_of_ours_speaks_of_us(step: str, reply: str) -> None:
    assert speaks_of_us(reply, step)


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("mail", "552 5.3.4 Message size exceeds fixed limit"),
        ("mail", "552 too large"),
        ("mail", "451 4.3.0 busy"),
        ("connect", "421 4.3.2 not now"),
        ("rcpt", "550 5.1.1 <jane@customer.test>: Recipient address rejected: User unknown"),
        ("rcpt", "550 5.2.1 mailbox disabled, not accepting messages"),
        ("rcpt", "552 5.2.2 mailbox full"),
        ("rcpt", "550 no such user here"),
        ("rcpt", "554 5.7.1 <jane@customer.test>: Recipient address rejected: Access denied"),
        ("rcpt", "550 5.1.1 undeliverable address: host mx.test said: 554 5.7.1 Relay access denied"),
        ("rcpt", "450 4.7.1 Greylisted, try again later"),
        ("data", "554 5.5.1 no valid recipients"),
        ("dot", "550 5.7.1 looks like spam"),
        ("dot", "554 5.6.0 content rejected"),
        ("dot", "552 5.3.4 too large"),
        ("dot", "connection lost"),
        ("", ""),
    ],
)
def test_what_is_said_of_a_mail_its_recipient_or_the_moment_does_not(step: str, reply: str) -> None:
    assert not speaks_of_us(reply, step)


def refused(step: str) -> Attempt:
    return Attempt("deferred", "554 5.7.1 Relay access denied", barred=True, step=step)


SENT = Attempt("sent", "250 2.0.0")


def mail(recipient: str, kind: str = "answer") -> OutboundMail:
    return replace(make_mail(), recipient=recipient, kind=kind)


def test_a_relay_that_takes_only_mail_to_our_own_is_not_well_for_the_others() -> None:
    standing = Standing()
    standing.hear(refused("rcpt"), mail(JANE))
    assert not standing.hear(SENT, mail(ALICE)) and not standing.well, "the offers arrive"
    assert standing.hear(SENT, mail(JANE)) and not standing.well, "others may go, and are not yet seen to"
    assert not standing.settle([JANE]) and not standing.well
    assert standing.settle([]) and standing.well and not standing.settle([])


def test_one_mail_that_is_taken_shows_that_a_refusal_before_any_recipient_is_over() -> None:
    standing = Standing()
    standing.hear(refused("mail"), mail(JANE))
    standing.hear(refused("rcpt"), mail(TOM))
    assert standing.hear(SENT, mail(ALICE)) and not standing.hear(SENT, mail(ALICE))
    assert standing.hear(SENT, mail(TOM))


def test_an_alarm_that_is_taken_shows_nothing_of_the_senders_that_are_refused() -> None:
    standing = Standing()
    standing.hear(refused("mail"), mail(JANE))
    assert not standing.hear(SENT, mail(ALICE, "alert")) and not standing.well


def test_a_domain_to_which_nothing_waits_any_more_is_forgotten() -> None:
    standing = Standing()
    standing.hear(refused("rcpt"), mail(JANE))
    standing.hear(refused("rcpt"), mail(ALICE))
    standing.settle([ALICE])
    assert not standing.hear(SENT, mail(JANE)) and standing.hear(SENT, mail(ALICE))


def test_after_a_start_the_first_mail_that_is_taken_says_that_others_may_go_and_no_later_one() -> None:
    standing = Standing()
    assert not standing.hear(Attempt("deferred", "451 4.3.0 busy"), mail(JANE))
    assert standing.hear(SENT, mail(JANE))
    assert not standing.hear(SENT, mail(TOM))
