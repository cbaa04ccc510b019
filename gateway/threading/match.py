"""Which ticket is meant: the ladder of mail.md 8. First hit wins, and every hit is only a proposal.

What the author may do with the ticket is decided from who the author provably is (security.md 5). So a stranger's clue
is followed here like anybody's, except where the clue is weak: a reference line and an awaited Message-ID count for
participants only, a number in the subject for people only. What was not followed is kept with a sentence: people and
``explain`` read it.

Three things that are easy to get wrong, and what holds here:

- *A mail that arrives before its parent.* Filing a mail also records the ids it refers to and nobody knows yet, as
  :class:`MessageIdFact` with event 0 and party 0 ("awaited"). When the parent comes, its own Message-ID is awaited by
  the ticket, and it joins, if its author is a participant there; else it is a ticket of its own that follows. Brothers
  of the early mail meet through the same id.
- *A reused Message-ID.* A mail is never matched by its own id when a received mail has it: other content is another
  mail (architecture 6.8), and it goes where its other clues say.
- *A mail that names itself* in In-Reply-To or References has no such clue; find_clues leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.model import (
    Clues,
    Declined,
    Facts,
    Findings,
    Match,
    MessageIdFact,
    Origin,
    State,
    TicketFacts,
    Token,
)
from gateway.settings import Settings
from gateway.threading.evidence import Evidence, is_awaited, is_third, look_up, place
from gateway.threading.subjects import same_subject

AGENT_KINDS = frozenset("anhsd")
"""Kinds of address tokens that are issued to agents."""

_SILENT = frozenset(
    (Origin.AUTO_REPLY, Origin.DELIVERY_REPORT, Origin.DISPOSITION_REPORT, Origin.FEEDBACK_REPORT, Origin.OURSELVES)
)


def choose_ticket(clues: Clues, facts: Facts, findings: Findings, settings: Settings, now: datetime) -> Match:
    """The ticket a mail means, the ground, and the clues that were declined with their reasons.

    ``Match.ticket`` 0 is a new ticket (or a list or personal command address when ``kind`` is "d"); then ``follows``
    names the ticket it continues, if any. ``event``, ``party`` and ``kind`` are those of the deciding clue; a new
    ticket has none, and a foreign Message-ID has no party. Grounds: sibling, bounce, action, token, ambiguous,
    message-id, references, report, parent, reference-line, subject, none. ``now`` is the time of reception.
    """
    ladder = _Ladder(clues, facts, findings, settings, now, Evidence(clues, facts, findings))
    match = None
    for step in (
        ladder.sibling,
        ladder.bounce,
        ladder.action,
        ladder.token,
        ladder.in_reply_to,
        ladder.references,
        ladder.report,
        ladder.parent,
        ladder.reference_line,
        ladder.subject_number,
    ):
        match = step()
        if match is not None:
            break
    match = match or ladder.dead_link() or Match()
    return replace(
        match, declined=(*ladder.evidence.declined, *ladder.contradicted(match)), perhaps=ladder.same_matter(match)
    )


@dataclass(slots=True)
class _Ladder:
    clues: Clues
    facts: Facts
    findings: Findings
    settings: Settings
    now: datetime
    evidence: Evidence

    # -------------------------------------------------------------- the steps, in order

    def sibling(self) -> Match | None:
        """A copy of a mail that another of our addresses already got (mail.md 7.1)."""
        known = self.facts.sibling
        if known is None or not known.ticket:
            return None
        token = next((t for t in self.clues.tokens if t.where == "envelope" and t.ticket == known.ticket), None)
        return Match(
            ticket=known.ticket,
            ground="sibling",
            event=known.event,
            party=token.party if token else 0,
            kind=token.kind if token else "",
        )

    def bounce(self) -> Match | None:
        """Mail to a bounce address is a delivery report or nothing, whatever else it says (security.md 5.1 row 2)."""
        tokens = [token for token in self.clues.tokens if token.kind == "b"]
        others = [token for token in self.clues.tokens if token.kind != "b"]
        if not tokens or (others and tokens[0].where != "envelope"):
            for token in tokens:
                self.evidence.decline(place(token), token.ticket, "a bounce address beside another of ours")
            return None if tokens or others else self._returned()
        token = tokens[0]
        ticket = self.evidence.find(token.ticket, place(token)) if token.ticket else None
        event = find_moved(ticket, token.ticket, token.event) if ticket else token.event
        return Match(ticket=ticket.number if ticket else 0, ground="bounce", event=event, party=token.party, kind="b")

    def _returned(self) -> Match | None:
        """Where the relay allows no bounce address: our Message-ID in the header of the mail a report returns.

        Only there and only then (security.md 9): whoever got the mail can send such a report. It names one delivery.
        """
        if self.settings.send.envelope != "plain" or self.findings.origin is not Origin.DELIVERY_REPORT:
            return None
        for token in self.clues.returned_ids:
            ticket = self.evidence.find(token.ticket, "returned Message-ID") if token.party else None
            if ticket is not None:
                return self._on_token(ticket, token, "bounce")
        return None

    def action(self) -> Match | None:
        """A one-tap subject of an agent, with a token bound to that agent, ticket and event (mail.md 12.4)."""
        action, author = self.clues.action, self.facts.author
        if action is None or not self.facts.author_agent or author is None:
            return None
        token = self.settings.keys.read_action(action.token, action.ticket, action.event, (author.party,))
        if token is None:
            self.evidence.decline("subject", action.ticket, "no one-tap token of this agent for this event")
            return None
        if not token.ticket:
            return Match(ground="action", event=token.event, party=token.party, kind="x")
        ticket = self.evidence.find(token.ticket, "subject")
        return self._on_token(ticket, token, "action") if ticket else None

    def token(self) -> Match | None:
        """A token in an address of ours: the envelope's ticket, or the only one that is named."""
        usable = [t for t in self.clues.tokens if t.kind != "b" and self.evidence.usable(t)]
        if not usable:
            return None
        first = next((t for t in usable if t.where == "envelope"), usable[0])
        number = self.evidence.number(first.ticket)
        others = [t for t in usable if self.evidence.number(t.ticket) != number]
        ambiguous = bool(others) and first.where != "envelope" and bool(self.facts.author_agent)
        for token in others:
            why = (
                "an agent's mail names several tickets and its envelope none"
                if ambiguous
                else "the envelope names another ticket"
                if first.where == "envelope"
                else "the mail names several tickets; the first one counts"
            )
            self.evidence.decline(place(token), token.ticket, why)
        same = [t for t in usable if self.evidence.number(t.ticket) == number]
        token = next((t for t in same if self.evidence.is_author(t.party)), first)
        if self.facts.author_agent and len({t.kind for t in same} & {"a", "n", "s"}) > 1:
            self.evidence.decline("addresses", number, "its addresses disagree about who is to read it")
            ambiguous = True
        if not number:
            ground = "ambiguous" if ambiguous else "token"
            return Match(ground=ground, event=token.event, party=token.party, kind=token.kind)
        ticket = self.facts.tickets[token.ticket]
        if ambiguous:
            return self._on_token(ticket, token, "ambiguous")
        if self._reused_from_address_book(token, ticket):
            why = "an address from the address book: no reply, another subject"
            return self._follow(ticket, place(token), why)
        return self._reopen_or_follow(ticket, self._on_token(ticket, token, "token"), place(token))

    def in_reply_to(self) -> Match | None:
        """The mail this one answers: one we sent, or one we know."""
        for token in self.evidence.own("in-reply-to"):
            ticket = self.evidence.find_issued(token, "In-Reply-To")
            if ticket:
                return self._reopen_or_follow(ticket, self._on_token(ticket, token, "message-id"), "In-Reply-To")
        for message_id in self.clues.in_reply_to:
            known, ticket = self.evidence.known(message_id, "In-Reply-To")
            if known and ticket:
                return self._reopen_or_follow(ticket, self._on_fact(ticket, known, "message-id"), "In-Reply-To")
        return None

    def references(self) -> Match | None:
        """An older mail of the thread: the same ticket with the same subject, else a new one that follows.

        People write new matters by answering any old mail. With another subject the search ends here: the quoted
        reference line below such a mail says no more than the References do.
        """
        for message_id in reversed(self.clues.references):
            if message_id in self.clues.in_reply_to:
                continue
            token = next((t for t in self.evidence.own("") if t.text == message_id.lower()), None)
            if token is not None:
                ticket = self.evidence.find_issued(token, "References")
                match = self._on_token(ticket, token, "references") if ticket else None
            else:
                known, ticket = self.evidence.known(message_id, "References")
                match = self._on_fact(ticket, known, "references") if known and ticket else None
            if ticket and match:
                return self._same_matter(ticket, match)
        read = {message_id.lower() for message_id in self.clues.references}
        for token in self.evidence.own("references"):
            if token.text in read:
                continue  # only those the parser could not read
            ticket = self.evidence.find_issued(token, "References")
            if ticket:
                return self._same_matter(ticket, self._on_token(ticket, token, "references"))
        return None

    def report(self) -> Match | None:
        """A report that came to another address than the bounce address: shown beside the mail it returns, no more.

        Anybody who got the mail can send it, so the match names nobody: it is no token of that person (security.md 9).
        """
        for token in self.clues.reported_ids:
            ticket = self.evidence.find(token.ticket, "returned Message-ID")
            if ticket is not None:
                return Match(ticket=ticket.number, ground="report", event=self._on_token(ticket, token, "").event)
        return None

    def parent(self) -> Match | None:
        """The mail that an earlier arrived reply was waiting for."""
        own = self.findings.message.message_id
        known = look_up(self.facts.known_ids, own) if own else None
        if known is None or not known.ticket:
            return None
        if not is_awaited(known):
            self.evidence.decline("Message-ID", known.ticket, "an earlier mail has the same Message-ID")
            return None
        ticket = self.evidence.find(known.ticket, "Message-ID")
        if ticket is None:
            return None
        if not self.evidence.takes_part(ticket):
            return self._follow(ticket, "Message-ID", "its reply came first, from somebody else")
        return self._reopen_or_follow(ticket, Match(ticket=ticket.number, ground="parent"), "Message-ID")

    def reference_line(self) -> Match | None:
        """Twenty bits at the foot of our answers: enough for a proven participant, for nobody else."""
        if not self.clues.reference_line:
            return None
        ticket = self.evidence.find(self.clues.reference_line, "reference line")
        if ticket is None:
            return None
        if not (self.evidence.proven() and self.evidence.takes_part(ticket)):
            why = "the author is not a proven participant"
            self.evidence.decline("reference line", ticket.number, why)
            return None
        match = Match(ticket=ticket.number, ground="reference-line", kind="r")
        return self._reopen_or_follow(ticket, match, "reference line")

    def subject_number(self) -> Match | None:
        """``[#4827]``, from whomever: from a stranger too it is held beside that ticket (architecture 6.4).

        A program's mail is different: other systems number their own matters in the same way.
        """
        if not self.clues.subject_reference:
            return None
        ticket = self.evidence.find(self.clues.subject_reference, "[#n]")
        if ticket is None:
            return None
        known = bool(self.facts.author_agent) or self.evidence.takes_part(ticket)
        if not known and self.findings.origin is not Origin.PERSON:
            self.evidence.decline("[#n]", ticket.number, "automatic mail of somebody who is no participant")
            return None
        return self._reopen_or_follow(ticket, Match(ticket=ticket.number, ground="subject"), "[#n]")

    def dead_link(self) -> Match | None:
        """A one-tap mail whose token is none of this agent's: a link of a forwarded notice, or an old one.

        It is answered, and no customer is looked for: a ticket called "close 4827.3" would be offered to everybody.
        """
        pressed = self.clues.action is not None and self.facts.author_agent and not self.clues.is_reply
        return Match(ground="action") if pressed else None

    # -------------------------------------------------------------- what the steps answer

    def _reused_from_address_book(self, token: Token, ticket: TicketFacts) -> bool:
        # An away notice has a new subject and often no In-Reply-To; it still belongs to what it answers.
        return (
            token.kind == "t"
            and not is_third(ticket, token.party)  # that mail has another subject than the ticket
            and not self.clues.is_reply
            and self.findings.origin is Origin.PERSON
            and not same_subject(self.clues.subject, ticket.subject)
        )

    def same_matter(self, match: Match) -> int:
        """For a new ticket: the latest one of this author with the same subject. Only to be told; subjects lie."""
        if match.ticket or match.follows or match.kind or not self.clues.subject:
            return 0
        recent = self.facts.recent_subjects
        same = (number for number, subject in recent.items() if same_subject(self.clues.subject, subject))
        return max(same, default=0)

    def _on_token(self, ticket: TicketFacts, token: Token, ground: str) -> Match:
        event = find_moved(ticket, token.ticket, token.event)
        return Match(ticket=ticket.number, ground=ground, event=event, party=token.party, kind=token.kind)

    def _on_fact(self, ticket: TicketFacts, known: MessageIdFact, ground: str) -> Match:
        """A stored id. It has a party only if we sent it and a provider renamed it (mail.md 3.2): then it is as good as
        ours. An id of our own domain without a valid MAC has none, whatever the store says.
        """
        event = find_moved(ticket, known.ticket, known.event)
        renamed = bool(known.party) and not known.message_id.lower().endswith(f"@{self.settings.id_domain.lower()}>")
        match = Match(ticket=ticket.number, ground=ground, event=event)
        return replace(match, party=known.party, kind="m") if renamed else self._with_own_id(match)

    def _with_own_id(self, match: Match) -> Match:
        """The match with the party of the author's own id from the same thread, if the deciding clue had none.

        A Message-ID issued to an agent counts as that agent's token, in References too (security.md 6).
        """
        for token in self.evidence.own(""):
            if (
                token.party
                and self.evidence.is_author(token.party)
                and self.evidence.number(token.ticket) == match.ticket
            ):
                event = find_moved(self.facts.tickets[token.ticket], token.ticket, token.event)
                return replace(match, event=event, party=token.party, kind="m")
        return match

    def _same_matter(self, ticket: TicketFacts, match: Match) -> Match:
        author = self.facts.author.party if self.facts.author else 0
        if not same_subject(self.clues.subject, ticket.subject) and not is_third(ticket, author):
            return self._follow(ticket, "References", "an old thread with another subject")
        return self._reopen_or_follow(ticket, match if match.party else self._with_own_id(match), "References")

    def _follow(self, ticket: TicketFacts, clue: str, why: str) -> Match:
        self.evidence.decline(clue, ticket.number, why)
        return Match(follows=ticket.number)

    def _reopen_or_follow(self, ticket: TicketFacts, match: Match, clue: str) -> Match:
        """The match, or a new ticket when this one was closed too long ago for a customer to reopen it (mail.md 16).

        An agent's mail stays with the ticket: it answers this customer or acts on it, and would lose both. So do
        automatic answers and reports, which never reopen anything.
        """
        person = self.facts.persons.get(match.party)
        agents = bool(self.facts.author_agent) or match.kind in AGENT_KINDS or bool(person and person.agent)
        if agents or self.findings.origin in _SILENT or ticket.state is not State.CLOSED or ticket.closed_at is None:
            return match
        if self.now - ticket.closed_at <= self.settings.tickets.reopen:
            return match
        return self._follow(ticket, clue, f"closed since {ticket.closed_at:%Y-%m-%d}")

    def contradicted(self, match: Match) -> Iterable[Declined]:
        """Clues lower on the ladder that name another ticket than the one chosen: nobody followed them."""
        if not match.ticket or match.ground in ("sibling", "bounce"):
            return
        named = [("In-Reply-To" if t.where == "in-reply-to" else "References", t.ticket) for t in self.clues.own_ids]
        for clue, ids in (("In-Reply-To", self.clues.in_reply_to), ("References", self.clues.references)):
            known = (look_up(self.facts.known_ids, message_id) for message_id in ids)
            named += [(clue, fact.ticket) for fact in known if fact is not None]
        named += [("reference line", self.clues.reference_line), ("[#n]", self.clues.subject_reference)]
        waits = look_up(self.facts.known_ids, self.findings.message.message_id)
        if waits is not None and is_awaited(waits) and match.ground != "parent":
            named.append(("Message-ID", waits.ticket))  # two tickets grew out of one matter: a merge to suggest
        said = {(declined.clue, self.evidence.number(declined.ticket)) for declined in self.evidence.declined}
        for clue, number in named:
            key = (clue, self.evidence.number(number))
            if number and key[1] != match.ticket and key not in said:
                said.add(key)
                yield Declined(clue=clue, ticket=number, why=f"names another ticket than the {match.ground}")


def find_moved(ticket: TicketFacts, number: int, event: int) -> int:
    """The event of ``ticket`` that event ``event`` of ticket ``number`` became by a merge; itself without one.

    Event numbers are a ticket's own. A merge copies the history and notes where each line came from; what was not
    copied (a notice that came later) counts as seen up to the merge. 0 when nothing says.
    """
    if ticket.number == number:
        return event
    name = f"{number}.{event}"
    for line in reversed(ticket.events):
        if name in line.data.get("from", "").split():
            return line.number
    merges = (line.number for line in reversed(ticket.events) if line.kind == "merge" and line.data.get("from"))
    return next(merges, 0)
