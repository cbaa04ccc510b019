"""A plan in the making: numbers events in order and collects what the rules decide. Local to one decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime

from gateway.desk.case import Case
from gateway.model import (
    Attachment,
    HeldFact,
    Instruction,
    MessageIdFact,
    NewEvent,
    Notice,
    Person,
    Plan,
    Repeat,
    TicketChange,
    TimerSet,
)

NOTICE_EVENTS = {
    "answer": "relayed",
    "ask": "relayed",
    "asked": "asked-notice",
    "third": "third-notice",
    "held": "held-notice",
    "held-reminder": "held-notice",
    "note": "note-notice",
}
"""Kind of notice -> kind of the event it becomes; every other notice's event has the notice's own kind."""

_STATE_VERBS = ("close", "spam", "notspam", "open", "wait", "snooze", "followup", "undo", "withdraw")

_MOST_STEPS = 8
"""Reminders of one kind an inbox may have that a plan clears."""


def step_kinds(kind: str) -> tuple[str, ...]:
    """The kinds of timer a reminder has: one a step."""
    return tuple(f"{kind}-{step}" for step in range(1, _MOST_STEPS + 1))


class Draft:
    """Collects one plan. Every outgoing mail gets an event number of its own (mail.md 1)."""

    def __init__(self, case: Case, *, reason: str = "") -> None:
        self.case = case
        self.reason = reason or case.verdict.reason
        self._next = case.ticket.last_event + 1 if case.ticket else max(1, case.list_number)
        self._events: list[NewEvent] = []
        self._notices: list[Notice] = []
        self._held: list[HeldFact] = []
        self._resolved: list[tuple[int, str]] = []
        self._releases: list[tuple[int, Instruction | None]] = []
        self._dropped: list[int] = []
        self._timers: list[TimerSet] = []
        self._cleared: list[str] = []
        self._message_ids: list[MessageIdFact] = []
        self._change = TicketChange()
        self._beside: list[Plan] = []
        self._choices: list[tuple[str, str, str]] = []
        self._blocks: list[tuple[str, bool]] = []
        self._withdrawn: list[int] = []
        self._repeats: list[Repeat] = []
        self._lines: list[str] = []
        self._undelivered: list[tuple[int, int, int, str]] = []
        self.acknowledged = ""

    # -------------------------------------------------------------- history

    def add_mail(
        self,
        kind: str,
        *,
        party: int,
        public: bool,
        text: str,
        answers: int = 0,
        reason: str = "",
        data: Mapping[str, str] | None = None,
        original: str | None = None,
    ) -> int:
        """An event made of the mail being decided; remembers its Message-ID. Returns the event's number.

        ``original``: the Message-ID of the mail inside a forward ("" when unknown). The conversation knows the event by
        that one; the forward's own belongs to an agent's mailbox and no participant has ever seen it.
        """
        message = self.case.findings.message
        number = self.add_event(
            kind,
            party=party,
            public=public,
            text=text,
            answers=answers,
            reason=reason or self.reason,
            message_id=message.message_id if original is None else original,
            attachments=tuple(a.name for a in self.case.files),
            from_mail=True,
            data=data,
        )
        if message.message_id and self.case.ticket:
            self._message_ids.append(
                MessageIdFact(
                    message_id=message.message_id,
                    ticket=self.case.ticket.number,
                    event=number,
                    at=self.case.now,
                    public=public and original is None,
                )
            )
        if original and self.case.ticket:
            self._message_ids.append(
                MessageIdFact(message_id=original, ticket=self.case.ticket.number, event=number, at=self.case.now)
            )
        if public:
            self._await_parents(number)
        return number

    def _await_parents(self, event: int) -> None:
        """Remember what this mail answers and nobody knows yet: a parent that arrives later joins the same ticket."""
        case = self.case
        if case.ticket is None:
            return
        unknown = dict.fromkeys((*case.clues.in_reply_to, *case.clues.references))
        known = {*case.facts.known_ids, *(m.message_id for m in case.ticket.message_ids)}
        own = {token.text for token in case.clues.own_ids}
        for message_id in unknown:
            if message_id not in known and message_id not in own:
                self._message_ids.append(
                    MessageIdFact(message_id=message_id, ticket=case.ticket.number, event=0, at=case.now, public=False)
                )

    def add_event(
        self,
        kind: str,
        *,
        party: int = 0,
        public: bool = False,
        text: str = "",
        reason: str = "",
        answers: int = 0,
        message_id: str = "",
        attachments: tuple[str, ...] = (),
        from_mail: bool = False,
        data: Mapping[str, str] | None = None,
        at: datetime | None = None,
        journal: int = 0,
    ) -> int:
        """One more line of the history; returns its number. ``at`` and ``journal`` are for copies of older lines."""
        number = self._next
        self._next += 1
        self._events.append(
            NewEvent(
                number=number,
                kind=kind,
                party=party,
                public=public,
                text=text,
                reason=reason,
                answers=answers,
                message_id=message_id,
                attachments=attachments,
                from_mail=from_mail,
                data=data or {},
                at=at,
                journal=journal,
            )
        )
        return number

    @property
    def events(self) -> tuple[NewEvent, ...]:
        """The lines added so far."""
        return tuple(self._events)

    def annotate(self, number: int, data: Mapping[str, str]) -> None:
        """Add facts to a line added before."""
        self._events = [replace(e, data={**e.data, **data}) if e.number == number else e for e in self._events]

    def remember_id(self, fact: MessageIdFact) -> None:
        """A Message-ID of an older mail that belongs to this ticket too."""
        self._message_ids.append(fact)

    # -------------------------------------------------------------- mail out

    def notify(
        self,
        kind: str,
        recipients: Iterable[Person],
        *,
        about: int = 0,
        other: int = 0,
        author: Person | None = None,
        reason: str = "",
        text: str = "",
        html: str = "",
        attachments: tuple[Attachment, ...] = (),
        quote: int = 0,
        in_reply_to: str = "",
        public: bool = False,
        data: Mapping[str, str] | None = None,
        not_before: datetime | None = None,
    ) -> int:
        """A mail to each recipient (nobody twice), as one event; 0 when there is nobody to tell."""
        people = tuple({person.party: person for person in recipients}.values())
        if not people:
            return 0
        number = self.add_event(
            NOTICE_EVENTS.get(kind, kind),
            public=public,
            answers=about,
            reason=reason,
            party=author.party if author else 0,
        )
        self._notices.append(
            Notice(
                kind=kind,
                event=number,
                recipients=people,
                about=about,
                other=other,
                author=author,
                reason=reason,
                text=text,
                html=html,
                attachments=attachments,
                quote=quote,
                in_reply_to=in_reply_to,
                data=data or {},
                not_before=not_before,
            )
        )
        return number

    # -------------------------------------------------------------- the rest of a plan

    def hold(self, held: HeldFact) -> None:
        self._held.append(held)

    def resolve(self, event: int, resolution: str) -> None:
        self._resolved.append((event, resolution))
        self.clear_timers(f"held-{event}", f"collision-{event}")

    def release(self, journal: int, instruction: Instruction | None) -> None:
        """Process a held mail again as instructed; None: judge it anew."""
        self._releases.append((journal, instruction))

    def drop(self, journal: int) -> None:
        """Close a held mail without effect."""
        self._dropped.append(journal)

    def choose(self, handle: str, name: str, value: str) -> None:
        """One of an agent's own settings."""
        self._choices.append((handle, name, value))

    def block(self, address: str, blocked: bool) -> None:
        self._blocks.append((address, blocked))

    def withdraw(self, event: int) -> None:
        """Never send the waiting mails of this event."""
        self._withdrawn.append(event)

    def repeat(self, repeat: Repeat) -> None:
        """Send a mail that did not arrive once more."""
        self._repeats.append(repeat)

    def beside(self, plan: Plan) -> None:
        """What happens to another ticket in the same transaction."""
        self._beside.append(plan)

    def change(self, change: TicketChange) -> None:
        """Add to the ticket's change: later values win, participants add up."""
        old = self._change
        given = {f.name: getattr(change, f.name) for f in fields(change) if getattr(change, f.name) is not None}
        given["add_participants"] = (*old.add_participants, *change.add_participants)
        given["remove_participants"] = (*old.remove_participants, *change.remove_participants)
        self._change = replace(old, **given)

    @property
    def changed(self) -> TicketChange:
        return self._change

    @property
    def resolved(self) -> frozenset[int]:
        """Held events this plan decides."""
        return frozenset(event for event, _ in self._resolved)

    @property
    def choices(self) -> tuple[tuple[str, str, str], ...]:
        return tuple(self._choices)

    @property
    def blocks(self) -> tuple[tuple[str, bool], ...]:
        return tuple(self._blocks)

    def participants(self) -> tuple[Person, ...]:
        """Who takes part once this plan is done: the customer first."""
        ticket, change = self.case.ticket, self._change
        present = (ticket.participants or ((ticket.customer,) if ticket.customer else ())) if ticket else ()
        people = {p.party: p for p in (*self.case.facts.named.values(), *present)}
        parties = [p.party for p in present if p.party not in change.remove_participants]
        parties += [n for n in change.add_participants if n in people]
        first = change.customer or (ticket.customer.party if ticket and ticket.customer else 0)
        return tuple(people[n] for n in sorted(dict.fromkeys(parties), key=lambda n: n != first))

    def report_undelivered(self, event: int, party: int, words: str) -> None:
        """A report at our bounce address: the mail of this event to this party did not arrive."""
        self._undelivered.append((*self.first_place(event), party, words))

    def first_place(self, event: int) -> tuple[int, int]:
        """Ticket and event under which the mail of this line was sent: a merge may have brought the line here."""
        ticket = self.case.ticket
        line = next((e for e in ticket.events if e.number == event), None) if ticket else None
        first = line.data.get("from", "").split()[-1:] if line else []
        number, _, sent = first[0].partition(".") if first else (str(ticket.number if ticket else 0), "", str(event))
        return int(number), int(sent)

    def set_timer(self, kind: str, due_at: datetime, party: int = 0, data: Mapping[str, str] | None = None) -> None:
        ticket = self.case.ticket.number if self.case.ticket else 0
        self._timers.append(TimerSet(kind=kind, due_at=due_at, ticket=ticket, party=party, data=data or {}))

    def set_round(self, timer: TimerSet) -> None:
        """A row about no ticket: an agent's next digest or report."""
        self._timers.append(timer)

    def clear_timers(self, *kinds: str) -> None:
        """Clear these on this ticket; the reminders, with all their steps."""
        for kind in kinds:
            self._cleared.extend((kind, *(step_kinds(kind) if kind in ("unclaimed", "unanswered") else ())))

    def explain(self, line: str) -> None:
        """One line of the story that `ticketgate explain` tells."""
        self._lines.append(line)

    def plan(self, outcome: str, *, retry_at: datetime | None = None, opens: bool = False) -> Plan:
        """The finished plan."""
        case = self.case
        return Plan(
            outcome=outcome,
            reason=self.reason,
            ticket=case.ticket.number if case.ticket else 0,
            opens_ticket=opens,
            inbox=(case.ticket.inbox if case.ticket else "") or case.mail.envelope.inbox,
            subject=case.ticket.subject if case.ticket else "",
            follows=case.match.follows,
            events=self._saying_the_state(),
            change=self._change,
            held=tuple(self._held),
            resolved=tuple(self._resolved),
            releases=tuple(self._releases),
            dropped=tuple(self._dropped),
            notices=tuple(self._notices),
            timers=tuple(self._timers),
            clear_timers=tuple(self._cleared),
            message_ids=tuple(self._message_ids),
            acknowledged=self.acknowledged,
            replay_keys=_replay_keys(case) if outcome not in ("wait", "repeat") else (),
            beside=tuple(self._beside),
            choices=tuple(self._choices),
            blocks=tuple(self._blocks),
            withdrawn=tuple(self._withdrawn),
            repeats=tuple(self._repeats),
            undelivered=tuple(self._undelivered),
            retry_at=retry_at,
            ground=case.match.ground,
            commanded=tuple(c.verb for c in case.orders.commands) if case.agent_proven else (),
            explanation=(*_matched(case), *self._lines),
        )

    def _saying_the_state(self) -> tuple[NewEvent, ...]:
        """The lines; one of them says what state the ticket is in now, if another than before."""
        state, ticket = self._change.state, self.case.ticket
        if state is None or ticket is None or state is ticket.state or not self._events:
            return tuple(self._events)
        line = next((e for e in self._events if e.kind in _STATE_VERBS), self._events[0])
        self.annotate(line.number, {"state": state.value})
        return tuple(self._events)


def _matched(case: Case) -> tuple[str, ...]:
    """How the ticket was found, and which clues were not followed and why."""
    match = case.match
    if match.ground == "clock":
        return ()
    found = f"ticket {match.ticket} by {match.ground}" if match.ticket else "no ticket"
    if match.party:
        found += f" issued to party {match.party}"
    if match.event:
        found += f", about event {match.event}"
    return (f"matched {found}", *(f"not ticket {d.ticket} by {d.clue}: {d.why}" for d in match.declined))


def _replay_keys(case: Case) -> tuple[str, ...]:
    """What identifies this signed mail when it comes again (security.md 4.8)."""
    authentication = case.findings.authentication
    keys = [d.replay_key for d in authentication.dkim if d.result == "pass" and d.aligned and d.replay_key]
    if case.author and case.findings.message.message_id:
        keys.append(f"{case.author.address.lower()} {case.findings.message.message_id}")
    return tuple(dict.fromkeys(keys))
