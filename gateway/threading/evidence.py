"""What a clue is worth: whether its ticket is there, and whether this author may follow it; or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.model import Clues, Declined, Facts, Findings, MessageIdFact, Proof, TicketFacts, Token


@dataclass(slots=True)
class Evidence:
    """The clues of one mail beside the facts; what was not followed is kept with a sentence."""

    clues: Clues
    facts: Facts
    findings: Findings
    declined: list[Declined] = field(default_factory=list)

    def decline(self, clue: str, ticket: int, why: str) -> None:
        """A clue that is not followed, once."""
        declined = Declined(clue=clue, ticket=ticket, why=why)
        if declined not in self.declined:
            self.declined.append(declined)

    def find(self, number: int, clue: str) -> TicketFacts | None:
        """The ticket as it stands, or None with the reason among the declined. Merged ones were followed on recall."""
        ticket = self.facts.tickets.get(number)
        if ticket is None:
            self.decline(clue, number, "there is no such ticket here (any more)")
            return None
        if ticket.merged_into:
            why = f"merged into {ticket.merged_into}, which could not be followed"
            self.decline(clue, number, why)
            return None
        return ticket

    def number(self, number: int) -> int:
        """The number after merging: two tokens of merged tickets name the same one."""
        ticket = self.facts.tickets.get(number)
        return ticket.number if ticket else number

    def usable(self, token: Token) -> bool:
        """Whether an address token has a ticket, and a person that still has to do with it."""
        if token.kind == "d" and not token.ticket:
            return True
        ticket = self.find(token.ticket, place(token))
        if ticket is None:
            return False
        if token.kind == "t" and not participates(ticket, token.party):
            self.decline(place(token), token.ticket, "its party was removed from the ticket")
            return False
        return True

    def find_issued(self, token: Token, clue: str) -> TicketFacts | None:
        """The ticket of one of our Message-IDs, if whom it was issued to still has to do with it (security.md 6)."""
        return self.find(token.ticket, clue) if self._has_party(token, clue) else None

    def _has_party(self, token: Token, clue: str) -> bool:
        ticket, person = self.facts.tickets.get(token.ticket), self.facts.persons.get(token.party)
        if ticket is None or person is None or person.agent or participates(ticket, token.party):
            return True
        self.decline(clue, token.ticket, "its party was removed from the ticket")
        return False

    def own(self, where: str) -> list[Token]:
        """Our own Message-IDs with a valid MAC, of one header field or ("") of all."""
        return [token for token in self.clues.own_ids if where in ("", token.where)]

    def known(self, message_id: str, clue: str) -> tuple[MessageIdFact | None, TicketFacts | None]:
        """A Message-ID we stored and its ticket. An awaited one counts for participants only: anybody can await it."""
        known = look_up(self.facts.known_ids, message_id)
        if known is None or not known.ticket:
            return None, None
        ticket = self.find(known.ticket, clue)
        if ticket is not None and is_awaited(known) and not self.takes_part(ticket):
            why = "only another person's mail refers to the same unknown mail"
            self.decline(clue, known.ticket, why)
            return None, None
        return known, ticket

    def proven(self) -> bool:
        """Whether it is proven who wrote the mail."""
        return self.findings.authentication.proof is not Proof.NONE

    def is_author(self, party: int) -> bool:
        """Whether the mail is from this person, going by its From."""
        return self.facts.author is not None and party == self.facts.author.party

    def takes_part(self, ticket: TicketFacts) -> bool:
        """Whether its author is among the people of the ticket."""
        return self.facts.author is not None and participates(ticket, self.facts.author.party)


def place(token: Token) -> str:
    """Where an address token stands, for people."""
    return f"token ({token.where})"


def participates(ticket: TicketFacts, party: int) -> bool:
    """Customer, participant or third party of the ticket."""
    people = ticket.participants if ticket.customer is None else (ticket.customer, *ticket.participants)
    return any(person.party == party for person in (*people, *ticket.thirds))


def is_third(ticket: TicketFacts, party: int) -> bool:
    """A third party beside the customer (#ask)."""
    return any(person.party == party for person in ticket.thirds)


def look_up(known: Mapping[str, MessageIdFact], message_id: str) -> MessageIdFact | None:
    """A stored Message-ID; ours are lower case, and some clients change the case."""
    return known.get(message_id) or known.get(message_id.lower())


def is_awaited(known: MessageIdFact) -> bool:
    """Recorded because a filed mail refers to it, not because it came or was sent."""
    return known.event == 0 and known.party == 0
