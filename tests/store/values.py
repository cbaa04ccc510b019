"""Values of our own making for store tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.model import (
    AuthenticationResults,
    Envelope,
    Findings,
    Mailbox,
    Message,
    NewEvent,
    Plan,
    Proof,
)
from gateway.reference import Keys
from gateway.settings import Agent, General, Inbox, Settings

NOW = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=5)

RAW = b"From: jane@customer.test\r\nSubject: Invoice 2231 is wrong\r\n\r\nThe sum is off by ten.\r\n"

SETTINGS = Settings(
    ticketgate=General(id_domain="tickets.example.com"),
    inbox={
        "support": Inbox(
            name="Example Support", address="support@example.com", handle="support", agents=("alice", "bob")
        ),
        "sales": Inbox(name="Example Sales", address="sales@example.com", handle="sales", agents=("bob",)),
    },
    agents={
        "alice": Agent(handle="alice", name="Alice Adams", address="Alice@example.com", also=("alice@home.test",)),
        "bob": Agent(handle="bob", name="Bob Brown", address="bob@example.com"),
    },
    keys=Keys("k", {"k": bytes(range(32))}),
)


def envelope(recipient: str = "support@example.com", **changes: object) -> Envelope:
    given = Envelope(
        reverse_path="jane@customer.test",
        recipient=recipient,
        inbox="support",
        source="lmtp",
        received_at=NOW,
        client_address="192.0.2.7",
        helo="mail.customer.test",
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def findings(
    author: str = "jane@customer.test",
    message_id: str = "<one@customer.test>",
    body_sha256: str = "b0d1",
    proof: Proof = Proof.DKIM,
    date: datetime | None = NOW - HOUR,
    to: str = "support@example.com",
    **authentication: object,
) -> Findings:
    return Findings(
        message=Message(
            message_id=message_id,
            date=date,
            subject="Invoice 2231 is wrong",
            body_sha256=body_sha256,
            to=tuple(Mailbox("", address) for address in to.split()),
        ),
        authentication=AuthenticationResults(author=Mailbox("Jane Doe", author), proof=proof, **authentication),  # type: ignore[arg-type]
    )


def plan(outcome: str = "new", ticket: int = 0, **changes: object) -> Plan:
    given = Plan(
        outcome=outcome,
        ticket=ticket,
        opens_ticket=outcome == "new",
        inbox="support",
        subject="Invoice 2231 is wrong",
        events=(NewEvent(number=1, kind="mail", text="The sum is off by ten.", public=True, from_mail=True),),
    )
    return replace(given, **changes)  # type: ignore[arg-type]
