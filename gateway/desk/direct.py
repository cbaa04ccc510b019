"""An agent writes to a customer directly, with us in copy: recorded as an answer, never mailed again (mail.md 11).

The mail is out already, so nothing can be held; what the rules decide is whether it counts. The author is proven, and
the addresses that say who got it are the author's own word: signed, or submitted on our own server. Who only adds
fields to somebody else's signed mail moves no ticket.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.address import fold_address, is_address
from gateway.desk import assignment
from gateway.desk.case import Case
from gateway.desk.deed import called
from gateway.desk.deeds import carry_out, check_orders
from gateway.desk.draft import Draft
from gateway.desk.sides import find_reader
from gateway.model import EventFact, Mailbox, Origin, Person, Plan, Proof, State, TicketChange

_MOST_PEOPLE = 20
"""Addresses of one mail that become participants of a ticket begun by it."""


def find_addressed(case: Case) -> tuple[Mailbox, ...]:
    """Who outside the house got an agent's mail, To first; nobody when the mail does not prove it."""
    if case.verdict.role != "agent" or case.agent is None or not case.agent_proven or not is_authors_word(case):
        return ()
    return find_outside(case)


def find_begun(case: Case) -> tuple[Mailbox, ...]:
    """To whom an agent's mail that opens a ticket went: its customer first. Empty for any other mail."""
    if case.match.ticket or case.match.kind or case.clues.action is not None or case.findings.forwarded is not None:
        return ()
    return find_addressed(case)[:_MOST_PEOPLE]


def is_direct(case: Case) -> bool:
    """Whether the people of the ticket have this agent's mail already, and nobody is left to be written to.

    With a token of the agent's own the addresses need no signature: the mail counts anyway, and the worst that an added
    address can do is that it is recorded in place of being sent. Without one nothing can be sent to the others: then it
    is enough that the customer has it.
    """
    ticket, reached = case.ticket, find_reached(case)
    if ticket is None or not reached:
        return False
    if case.own_token:
        return all(p.party in reached for p in ticket.participants if not p.agent)
    return ticket.customer is None or ticket.customer.party in reached


def find_reached(case: Case) -> frozenset[int]:
    """The participants who got an agent's mail from the agent, by their party numbers."""
    ticket = case.ticket
    if ticket is None or case.verdict.role != "agent" or case.match.kind in ("n", "h", "d", "s", "x"):
        return frozenset()
    if case.orders.internal or find_reader(case):
        return frozenset()  # a note stays one, and what a third party is asked has its own way
    people = find_outside(case) if case.own_token else find_addressed(case)
    addressed = {fold_address(mailbox.address) for mailbox in people}
    return frozenset(p.party for p in ticket.participants if not p.agent and fold_address(p.address) in addressed)


def is_authors_word(case: Case, *fields: str) -> bool:
    """Whether the author says to whom the mail goes, and that it goes to us, too: submitted to us, or signed.

    ``fields``: further header fields that the signature has to cover.
    """
    if case.proof is Proof.SUBMISSION:
        return True
    message = case.findings.message
    if not any(case.settings.is_own_address(mailbox.address) for mailbox in (*message.to, *message.cc)):
        return False  # a blind copy: whoever got the mail could have sent it on to us
    wanted = {"to", *fields} | ({"cc"} if message.cc else set())
    passed = (d for d in case.findings.authentication.dkim if d.result == "pass" and d.aligned)
    return any(wanted <= set(result.covers) for result in passed)


def find_outside(case: Case) -> tuple[Mailbox, ...]:
    """Whom the mail's To and Cc name outside the house, proven or not."""
    message = case.findings.message
    found: dict[str, Mailbox] = {}
    for mailbox in (*message.to, *message.cc):
        ours = case.settings.is_own_address(mailbox.address) or case.settings.find_agent(mailbox.address) is not None
        if is_address(mailbox.address) and not ours:
            found.setdefault(fold_address(mailbox.address), mailbox)
    return tuple(found.values())


# ------------------------------------------------------------------ what becomes of it


def plan_direct(case: Case, rival: EventFact | None) -> Plan:
    """An answer that went out by another way: recorded; the ticket waits, and is taken where the rules allow it.

    Without a token a colleague's ticket is not taken but offered by one tap. ``rival``: a colleague's answer the agent
    had not seen; it is too late to hold anything, so both are told.
    """
    ticket, person = case.ticket, case.agent_person
    assert ticket is not None and person is not None
    draft = Draft(case, reason="direct")
    number = draft.add_mail(
        "answer",
        party=person.party,
        public=True,
        text=_text(case),
        answers=case.match.event,
        data={"direct": _reached(case)},
    )
    former = assignment.owner_of(case, ticket)
    takes = former is None or case.own_token
    draft.change(TicketChange(owner=person.party if takes else None, state=State.WAITING))
    draft.clear_timers("unclaimed", "unanswered", "snooze")
    if case.own_token and not case.orders.held and check_orders(case) is None:
        carry_out(draft, case, person, quiet=True)
    told = [former] if former is not None and former.party != person.party else []
    draft.notify("answered", told, about=number, author=person, data={"taken": "1"} if takes else {})
    colleague = next((p for p in case.facts.agents.values() if rival is not None and p.party == rival.party), None)
    if colleague is not None and colleague not in told:
        draft.notify("answered", [colleague], about=number, author=person)
    draft.notify("answered", assignment.watchers(case, person, former, colleague), about=number, author=person)
    draft.explain("a copy of what the customer has already: recorded as an answer, not sent again")
    if colleague is not None or not case.own_token:
        mine = takes or (former is not None and former.party == person.party)
        done = ["direct" if mine or former is None else f"direct-owned {called(former)}"]
        done += [f"direct-late {called(colleague)}"] if colleague is not None else []
        draft.notify(
            "command",
            [person],
            about=number,
            in_reply_to=case.findings.message.message_id,
            data={"verb": "direct", "done": "\n".join(done), "claim": "" if mine else "1"},
        )
    return draft.plan("answer")


def plan_begun(case: Case) -> Plan:
    """A new matter that an agent began with a customer: the customer has the mail, the agent has the ticket."""
    ticket, person = case.ticket, case.agent_person
    assert ticket is not None and ticket.customer is not None and person is not None
    draft, others = Draft(case, reason="agent-began"), _others(case)
    reached = " ".join(str(p.party) for p in (ticket.customer, *others))
    number = draft.add_mail("answer", party=person.party, public=True, text=_text(case), data={"direct": reached})
    draft.change(TicketChange(state=State.WAITING, owner=person.party, add_participants=tuple(p.party for p in others)))
    draft.notify(
        "forward",
        [person],
        about=number,
        author=ticket.customer,
        in_reply_to=case.findings.message.message_id,
        data={"begun": "1"},
    )
    draft.explain(f"begun by {person.agent} with {ticket.customer.address}; the customer has the mail")
    return draft.plan("new", opens=True)


def plan_sent(case: Case) -> Plan:
    """A mail from the Sent folder of the shared mailbox: an answer if it went to somebody who takes part.

    The folder is our own, so nothing has to be proven; who of the desk wrote it nobody knows, unless From says so. What
    we relayed ourselves comes by here too, where the provider keeps a copy, and so does what concerns no ticket.
    """
    ticket, author = case.ticket, case.author
    desks_own = author is not None and (case.settings.is_own_address(author.address) or case.agent is not None)
    fields, origin = case.findings.message.fields, case.findings.origin
    marked = any(value.strip().lower() != "no" for value in fields.get("auto-submitted", ()))
    by_hand = origin in (Origin.PERSON, Origin.OURSELVES) and not marked
    addressed = {fold_address(mailbox.address) for mailbox in find_outside(case)}
    reached = any(fold_address(p.address) in addressed for p in (ticket.participants if ticket else ()))
    if ticket is None or case.made_by_us or not desks_own or not reached or not by_hand:
        draft = Draft(replace(case, ticket=None), reason="sent-folder")
        draft.explain("from the Sent folder, and no answer by hand to anybody who takes part: nothing to record")
        return draft.plan("discard")
    draft, person = Draft(case, reason="sent-folder"), case.agent_person
    number = draft.add_mail(
        "answer",
        party=person.party if person else 0,
        public=True,
        text=_text(case),
        answers=case.match.event,
        data={"direct": _reached(case)},
    )
    former = assignment.owner_of(case, ticket)
    draft.change(TicketChange(owner=person.party if person and former is None else None, state=State.WAITING))
    draft.clear_timers("unclaimed", "unanswered", "snooze")
    told = [p for p in ((former,) if former else ()) if person is None or p.party != person.party]
    desk = Person(party=0, address=case.ticket_inbox.address, name=case.ticket_inbox.name)
    watching = assignment.watchers(case, person, former)
    draft.notify("answered", [*told, *watching], about=number, author=person or desk)
    draft.explain("answered from the shared mailbox itself: recorded, not sent again")
    return draft.plan("sent")


def _others(case: Case) -> tuple[Person, ...]:
    wanted = (fold_address(mailbox.address) for mailbox in find_begun(case)[1:])
    return tuple(case.facts.named[address] for address in wanted if address in case.facts.named)


def _reached(case: Case) -> str:
    """The participants who have the mail: only they may be reminded of its Message-ID."""
    addressed = {fold_address(mailbox.address) for mailbox in find_outside(case)}
    people = case.ticket.participants if case.ticket else ()
    return " ".join(str(p.party) for p in people if fold_address(p.address) in addressed)


def _text(case: Case) -> str:
    body = case.findings.body
    return case.own.text.strip("\n") or body.new or case.findings.message.text
