"""The road of one mail without edges: a real store, the real readers, the real rules; values in, facts out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway import pipeline, unpacking
from gateway.analysis.examine import examine, unpack
from gateway.analysis.quotes import split_body
from gateway.analysis.reading_rules import AuthenticationRules, Rules
from gateway.model import (
    Comparison,
    DkimResult,
    Envelope,
    Findings,
    InboundMail,
    Mailbox,
    OutboundMail,
    Plan,
    Proof,
    TicketFacts,
)
from gateway.reference import Keys
from gateway.settings import Agent, AgentMail, General, Hours, Inbox, Settings
from gateway.store import deliveries, journal, tickets
from gateway.store.database import Database

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

SETTINGS = Settings(
    ticketgate=General(id_domain="tickets.desk.test"),
    inbox={
        "support": Inbox(
            name="Desk",
            address="support@desk.test",
            handle="support",
            agents=("alice", "bob"),
            hours=Hours(weekdays=""),
        )
    },
    agents={
        "alice": Agent(handle="alice", name="Alice Ahmed", address="alice@corp.test"),
        "bob": Agent(handle="bob", name="Bob Smith", address="bob@corp.test"),
    },
    # Each mail is told at once; tests of the batch say so.
    agent_mail=AgentMail(batch=timedelta(0)),
    keys=Keys("k", {"k": bytes(range(32))}),
)

RULES = Rules(
    authentication=AuthenticationRules(),
    own_addresses=frozenset({"support@desk.test"}),
    id_domain="tickets.desk.test",
)


class Road:
    """Sends mails down the road one by one, on a clock of its own."""

    def __init__(self, database: Database, settings: Settings = SETTINGS) -> None:
        self.database, self.settings, self.now = database, settings, NOW
        self._serial = 0
        with database.begin() as tx:
            tickets.ensure_agents(tx, settings)

    def arrive(
        self,
        raw: bytes,
        *,
        recipient: str = "support@desk.test",
        proof: Proof = Proof.DKIM,
        reverse_path: str = "x@y.test",
        inbox: str = "support",
    ) -> Plan:
        """Journal, read and decide one mail; its author's proof is given, everything else is real."""
        self.now += timedelta(minutes=1)
        envelope = Envelope(
            reverse_path=reverse_path, recipient=recipient, inbox=inbox, source="lmtp", received_at=self.now
        )
        with self.database.begin() as tx:
            journal.append(tx, envelope, raw)
        return self.process(proof)[-1]

    def process(self, proof: Proof = Proof.DKIM) -> list[Plan]:
        """Decide everything that is due."""
        plans = []
        while True:
            with self.database.begin() as tx:
                claimed = journal.claim(tx, 1, "test", self.now, timedelta(minutes=5))
            if not claimed:
                return plans
            findings = self.unpack(claimed[0], self.compare(claimed[0], self.read(claimed[0], proof)))
            with self.database.begin() as tx:
                plans.append(pipeline.process(tx, claimed[0], findings, self.settings, self.now))

    def read(self, mail: InboundMail, proof: Proof) -> Findings:
        findings = examine(mail.raw, mail.envelope, {}, RULES)
        authentication = replace(findings.authentication, proof=proof, temporary=False, why="given by the test")
        return replace(findings, authentication=authentication, needs=())

    def compare(self, mail: InboundMail, findings: Findings) -> Findings:
        """What pipeline.compare does, without a cage."""
        with self.database.begin() as tx:
            said = pipeline.find_conversation(tx, mail, findings, self.settings)
        if said is None:
            return findings
        body = split_body(findings.message, said.said)
        return replace(findings, comparison=Comparison(ticket=said.ticket, events=said.events, body=body))

    def unpack(self, mail: InboundMail, findings: Findings) -> Findings:
        """What unpacking.unpack does, without a cage."""
        with self.database.begin() as tx:
            wanted = unpacking.find_wanted(tx, mail, findings, self.settings)
        return replace(findings, unpacked={one.sha256: unpack(one.raw).message.attachments for one in wanted})

    def outbox(self) -> list[OutboundMail]:
        """Every mail that was queued, oldest first; they are taken out, as if sent."""
        with self.database.begin() as tx:
            claimed = deliveries.claim_due(tx, 1000, "test", self.now, timedelta(minutes=5))
            for delivery in claimed:
                deliveries.record_attempt(tx, delivery, "sent", "250 OK", None, self.now)
        return [delivery.mail for delivery in claimed]

    def ticket(self, number: int) -> TicketFacts:
        with self.database.begin() as tx:
            found = tickets.load_ticket(tx, number)
        assert found is not None
        return found


class Signed(Road):
    """A road on which the signature of a mail covers what the test says."""

    covers: tuple[str, ...] = ("from", "to", "cc", "subject", "date", "message-id")

    def read(self, mail: InboundMail, proof: Proof) -> Findings:
        findings = super().read(mail, proof)
        if proof is not Proof.DKIM:
            return findings
        domain = findings.authentication.author.address.partition("@")[2] if findings.authentication.author else ""
        signature = _signature(domain, self.covers, findings.message.message_id)
        return replace(findings, authentication=replace(findings.authentication, dkim=(signature,)))


def _signature(domain: str, covers: tuple[str, ...], key: str) -> DkimResult:
    return DkimResult(domain=domain, result="pass", aligned=True, covers=covers, replay_key=key)


def make_mail(
    author: Mailbox | str,
    text: str,
    *,
    subject: str = "Invoice 2231 is wrong",
    to: str = "support@desk.test",
    message_id: str = "",
    answers: str = "",
    references: str = "",
    extra: str = "",
) -> bytes:
    """A plain mail as a client writes it."""
    address = author if isinstance(author, str) else author.address
    head = [
        f"From: {address}",
        f"To: {to}",
        f"Subject: {subject}",
        "Date: Mon, 23 Nov 2026 09:58:00 +0000",
        f"Message-ID: {message_id or '<' + str(abs(hash((address, text, subject, answers)))) + '@client.test>'}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
    ]
    head += [f"In-Reply-To: {answers}"] if answers else []
    head += [f"References: {references or answers}"] if answers or references else []
    head += [extra] if extra else []
    return ("\r\n".join(head) + "\r\n\r\n" + text.replace("\n", "\r\n") + "\r\n").encode()


def header_of(mail: OutboundMail, name: str) -> str:
    """One header field of an outgoing mail, unfolded."""
    import email
    import email.policy

    return str(email.message_from_bytes(mail.content, policy=email.policy.default)[name] or "")


def text_of(mail: OutboundMail) -> str:
    """The plain text of an outgoing mail."""
    import email
    import email.policy

    body = email.message_from_bytes(mail.content, policy=email.policy.default).get_body(("plain",))
    return str(body.get_content()).replace("\r\n", "\n") if body else ""


def address_of(mail: OutboundMail) -> str:
    """Where a reply to this mail goes."""
    from email.utils import parseaddr

    return parseaddr(header_of(mail, "Reply-To"))[1]
