"""Everything known about one mail when it is decided, gathered in one value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.address import domain_of, fold_address
from gateway.model import (
    Absence,
    Attachment,
    AuthenticationResults,
    Clues,
    Envelope,
    Facts,
    Findings,
    InboundMail,
    Mailbox,
    Match,
    Orders,
    Person,
    Proof,
    TicketFacts,
    Verdict,
)
from gateway.questions import Answers
from gateway.settings import Agent, Inbox, Settings

_REMOTE_PICTURE = re.compile(r"<img\b[^<>]{0,2000}?\bsrc\s{0,9}=\s{0,9}[\"']?\s{0,9}(?:https?:|//)", re.IGNORECASE)

AGENT_KINDS = frozenset("anhsdx")
"""Token kinds that are only ever issued to agents."""


_HEAD = 256 * 1024


def _is_our_mail(file: Attachment, id_domain: str) -> bool:
    """Whether a file is a mail, as sent or as Outlook keeps one (.msg, UTF-16), with the mark that all of ours have."""
    if file.type != "message/rfc822" and not file.name.lower().endswith((".eml", ".msg", ".mht")):
        return False
    mark = f"x-loop: {id_domain}".lower()
    return any(
        mark.encode(code) in file.content[:size].lower() for code, size in (("ascii", _HEAD), ("utf-16-le", None))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnText:
    """What of a mail its author wrote: our notice, its quotes and furniture cut away (mail.md 12.1)."""

    text: str = ""
    html: str = ""
    unclear: str = ""  # why nothing may be relayed, e.g. "cut-line"
    from_html: bool = False  # no text/plain part: commands are not read from it


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One mail, its findings, and the facts that bear on it."""

    mail: InboundMail
    findings: Findings
    clues: Clues
    facts: Facts
    match: Match
    settings: Settings
    now: datetime
    verdict: Verdict = field(default_factory=lambda: Verdict(outcome=""))
    ticket: TicketFacts | None = None
    own: OwnText = OwnText()
    orders: Orders = Orders()
    sure: bool = False  # the agent was asked before and means it (merge, from)
    answers: Answers = field(default_factory=dict)  # of the store, to what the orders ask (asking.py)
    list_number: int = 0  # event number of the first mail about no ticket; 0: none will be sent

    @property
    def author(self) -> Mailbox | None:
        """The mailbox the mail is attributed to by the strict tokeniser; None: nobody."""
        return self.findings.authentication.author

    @property
    def sent_by_hand(self) -> bool:
        """Whether it is a copy from the Sent folder of an inbox's own mailbox: out already, by somebody who may."""
        return self.mail.envelope.source.startswith("sent:")

    @property
    def made_by_us(self) -> bool:
        """Whether it is a mail that ticketgate itself composed, by its marks: come back, or a copy of what was sent."""
        ours, message = self.settings.id_domain.lower(), self.findings.message
        marked = any(ours in value.lower() for value in message.fields.get("x-loop", ()))
        return marked or message.message_id.lower().endswith(f"@{ours}>")

    @property
    def proof(self) -> Proof:
        return self.findings.authentication.proof

    @property
    def inbox(self) -> Inbox:
        return self.settings.inbox[self.mail.envelope.inbox]

    @property
    def ticket_inbox(self) -> Inbox:
        """The inbox the ticket lives in; the one that received the mail while there is no ticket."""
        return self.settings.inbox.get(self.ticket.inbox, self.inbox) if self.ticket else self.inbox

    @property
    def files(self) -> tuple[Attachment, ...]:
        """The files of the mail; with them the mail itself when it could not be shown completely (security.md 11.1)."""
        message, raw = self.findings.message, self.mail.raw
        if not message.unreadable or any(file.sha256 == self.mail.sha256 for file in message.attachments):
            return message.attachments
        original = Attachment(
            name="original.eml", type="message/rfc822", size=len(raw), sha256=self.mail.sha256, content=raw
        )
        return (*message.attachments, original)

    @property
    def outgoing_files(self) -> tuple[Attachment, ...]:
        """The files of an agent's mail that may leave the house: none that is mail of ours.

        Outlook can be told to attach the mail that is answered in place of quoting it. That is our notice, with notes,
        colleagues and reply addresses of agents in it; like its quotation it is cut.
        """
        files = self.findings.message.attachments
        return tuple(file for file in files if not _is_our_mail(file, self.settings.id_domain))

    @property
    def remote_pictures(self) -> int:
        """Pictures the mail wanted loaded from elsewhere. They are never loaded, and whoever reads is told so."""
        return len(_REMOTE_PICTURE.findall(self.findings.message.html))

    @property
    def agent(self) -> Agent | None:
        """The enabled agent whose address the author has, proven or not."""
        return self.settings.agents.get(self.facts.author_agent)

    @property
    def role(self) -> str:
        """The agent's role; "" of anybody else."""
        return self.agent.role if self.agent else ""

    @property
    def agent_person(self) -> Person | None:
        return self.facts.agents.get(self.facts.author_agent)

    @property
    def agent_proven(self) -> bool:
        """Proof good enough for an agent: DKIM or authenticated submission, from a domain agents may use."""
        if self.author is None or self.proof not in (Proof.DKIM, Proof.SUBMISSION):
            return False
        if self.proof is Proof.DKIM and not self._key_suffices:
            return False
        allowed = self.settings.authentication.agent_domains
        return not allowed or domain_of(self.author.address) in allowed

    @property
    def _key_suffices(self) -> bool:
        """Whether a signature's key is long enough for an agent.

        The reader knows the addresses of agents.toml only; one that was added by mail (#also) is held to the same here.
        """
        proofs = [d for d in self.findings.authentication.dkim if d.result == "pass" and d.aligned]
        wanted = self.settings.authentication.agent_key_bits
        return not proofs or any(d.key_bits == 0 or d.key_bits >= wanted for d in proofs)

    @property
    def customer_proven(self) -> bool:
        """Proof good enough for a customer under ``customer_proof``."""
        if self.proof in (Proof.DKIM, Proof.SUBMISSION):
            return True
        return self.proof is Proof.SPF and self.settings.authentication.customer_proof != "dkim"

    @property
    def author_is_party(self) -> bool:
        """Whether the author is the customer or a participant of the ticket that is meant."""
        candidate = self.facts.tickets.get(self.match.ticket)
        if candidate is None or self.author is None:
            return False
        address = fold_address(self.author.address)
        return any(fold_address(person.address) == address for person in candidate.participants)

    @property
    def author_as_third(self) -> Person | None:
        """The author, if that is a third party of the ticket that is meant: somebody written to with ``#ask``.

        Who takes part in the conversation itself is no third party, whatever happened before.
        """
        candidate = self.facts.tickets.get(self.match.ticket)
        if candidate is None or self.author is None or self.author_is_party:
            return None
        address = fold_address(self.author.address)
        return next((person for person in candidate.thirds if fold_address(person.address) == address), None)

    @property
    def token_party(self) -> Person | None:
        """The person the deciding clue was issued to."""
        return self.facts.persons.get(self.match.party)

    @property
    def token_agent(self) -> str:
        """Handle of the agent the deciding clue was issued to; "" when it was not issued to one."""
        for handle, person in self.facts.agents.items():
            if self.match.party and person.party == self.match.party:
                return handle
        return ""

    @property
    def answers_note(self) -> bool:
        """Whether the mail answers an internal note: by its reply address, or, where that has no tag, by the line."""
        if self.match.kind in ("n", "h"):
            return self.match.kind == "n"
        line = next((e for e in self.ticket.events if e.number == self.match.event), None) if self.ticket else None
        return line is not None and line.kind in ("note", "note-notice")

    @property
    def own_token(self) -> bool:
        """Whether the deciding clue is a token, action or Message-ID issued to the author."""
        person = self.agent_person
        return bool(person and self.match.party == person.party and self.match.kind in "anhsdxm" and self.match.kind)


def spoken(ticket: TicketFacts, agents: Mapping[str, Person], handle: str, settings: Settings, now: datetime) -> Case:
    """A case without a mail: an operator at the shell commands in an agent's name, having seen the ticket as it is."""
    case = occasion(ticket, agents, settings, now, "operator")
    person = agents[handle]
    author = Mailbox(person.name, settings.agents[handle].address)
    proven = AuthenticationResults(author=author, proof=Proof.SUBMISSION, why="at the shell")
    return replace(
        case,
        findings=Findings(authentication=proven),
        facts=replace(case.facts, author=person, author_agent=handle, persons={person.party: person}),
        match=Match(ticket=ticket.number, ground="operator", event=ticket.last_event, party=person.party, kind="a"),
        verdict=Verdict(outcome="agent", reason="operator", role="agent", proven=True),
    )


def occasion(
    ticket: TicketFacts,
    agents: Mapping[str, Person],
    settings: Settings,
    now: datetime,
    reason: str,
    away: Mapping[str, Absence] | None = None,
) -> Case:
    """A case without a mail: a timer came due, or a delivery ended. Only ticket, agents and time are real."""
    nothing = Envelope(reverse_path="", recipient="", inbox=ticket.inbox, source="clock", received_at=now)
    return Case(
        mail=InboundMail(id=0, envelope=nothing, sha256="", raw=b""),
        findings=Findings(),
        clues=Clues(),
        facts=Facts(agents=agents, tickets={ticket.number: ticket}, away=away or {}),
        match=Match(ticket=ticket.number, ground="clock"),
        settings=settings,
        now=now,
        verdict=Verdict(outcome="clock", reason=reason, role="agent"),
        ticket=ticket,
    )
