"""An answer that did not arrive is sent once more: the link or ``#send`` below the notice of it (mail.md 12.2).

The same mail again to whom it did not reach, with the Message-ID it had; beside ``#cc`` or ``#from``, to the address
named there instead. Whoever has a copy that arrived, or one still on its way, gets no second one, however often the
link is pressed. Words to a third party (``#ask``) are sent again in the same way; to another address they go by a new
``#ask``.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.address import fold_address
from gateway.desk.case import Case
from gateway.desk.deed import called
from gateway.desk.deeds import carry_out
from gateway.desk.draft import Draft
from gateway.desk.holding import hold_answer
from gateway.model import Attachment, Command, EventFact, Person, Plan, Repeat, State, TicketChange
from gateway.questions import Copies, Copy, Question

_ENDED = ("failed", "unknown")


def find_undelivered(case: Case) -> EventFact | None:
    """The answer about which the notice that is answered here says that it did not arrive; None: another mail."""
    ticket, match = case.ticket, case.match
    if ticket is None:
        return None
    lines = {event.number: event for event in ticket.events}
    line = lines.get(match.event)
    # Reply address and link name the mail that went out; where addresses carry no tokens, the notice's own id tells.
    if line is None or line.kind not in (("relayed",) if match.kind in ("h", "x") else ("undelivered",)):
        return None
    answer = lines.get(line.answers)
    return answer if answer is not None and answer.kind in ("answer", "asked") else None


def ask_copies(case: Case, command: Command) -> tuple[Question, ...]:
    """What became of each copy of the answer, and its files."""
    answer = find_undelivered(case)
    return (_question(case, answer),) if answer is not None else ()


def _question(case: Case, answer: EventFact) -> Copies:
    assert case.ticket is not None
    numbers = (e.number for e in case.ticket.events if e.kind == "relayed" and e.answers == answer.number)
    return Copies(tuple(Draft(case).first_place(number) for number in numbers), files=bool(_named(case)))


def plan_resend(case: Case, answer: EventFact, check: Callable[[Case], Plan | None]) -> Plan:
    """``#send`` without words of its own. ``check``: what else stands in the mail has to be possible, too."""
    ticket, person = case.ticket, case.agent_person
    assert ticket is not None and person is not None
    trouble = check(case) or _refused(case, answer, person)
    if trouble is not None:
        return trouble
    draft = Draft(case, reason="resend")
    command = draft.add_mail("command", party=person.party, public=False, text=case.own.text, answers=answer.number)
    carry_out(draft, case, person, quiet=True, but=("send",))
    words = case.orders.text.strip() if case.orders.internal else ""
    if words:
        draft.add_event("note", party=person.party, text=words)
    others = tuple(p for p in draft.participants() if p.party in {n.party for n in _named(case)})
    sent = _write_to(draft, case, answer, others) if others else _repeat(draft, case, answer, person)
    if sent and answer.kind == "answer" and ticket.state in (State.NEW, State.OPEN) and draft.changed.state is None:
        draft.change(TicketChange(state=State.WAITING, owner=None if ticket.owner else person.party))
    word, who = ("resend", ", ".join(p.address for p in sent)) if sent else _why_not(case, answer)
    # Beside the customer it is no answer, and the third party is named as one.
    done = f"{word}-asked {who}" if answer.kind == "asked" and who else f"{word} {who}".strip()
    draft.explain(f"answer {answer.number}: {done}")
    draft.notify(
        "command",
        [person],
        about=command,
        in_reply_to=case.findings.message.message_id,
        data={"verb": "send", "done": done, "note_kept": "1" if words else ""},
    )
    return draft.plan("command")


def _refused(case: Case, answer: EventFact, person: Person) -> Plan | None:
    """Why the old words must not go out now: somebody said something else since, or they are to nobody."""
    assert case.ticket is not None
    side = answer.data.get("side", "")
    if side and _named(case):
        return hold_answer(case, "resend-side", data={"value": answer.data.get("address", "")})
    alike = [e for e in case.ticket.events if e.kind == answer.kind and e.data.get("side", "") == side]
    later = [e for e in alike if (e.public or side) and e.number > answer.number]
    rival = next((e for e in later if e.party != person.party), None)
    if rival is not None:
        colleague = next((p for p in case.facts.agents.values() if p.party == rival.party), None)
        return hold_answer(case, "resend-answered", data={"names": called(colleague) if colleague else "a colleague"})
    if _named(case):
        return None
    failed = [copy for copy in _newest(case, answer) if copy.state in _ENDED]
    present = {p.party for p in (case.ticket.thirds if side else case.ticket.participants)}
    left = [copy for copy in failed if copy.party not in present]
    if left and len(left) == len(failed):
        return hold_answer(case, "resend-left", data={"value": left[0].recipient})
    return None


def _named(case: Case) -> tuple[Person, ...]:
    """Whom the same mail names as another address."""
    wanted = (fold_address(c.argument.strip()) for c in case.orders.commands if c.verb in ("cc", "from"))
    return tuple(case.facts.named[address] for address in wanted if address in case.facts.named)


def _copies(case: Case, answer: EventFact) -> tuple[Copy, ...]:
    found = case.answers.get(_question(case, answer), ())
    return tuple(copy for copy in found if isinstance(copy, Copy))  # type: ignore[union-attr]


def _newest(case: Case, answer: EventFact) -> tuple[Copy, ...]:
    """The last copy each recipient was sent."""
    return tuple({copy.party: copy for copy in _copies(case, answer)}.values())


def _repeat(draft: Draft, case: Case, answer: EventFact, person: Person) -> tuple[Person, ...]:
    """The frozen mail once more, to everybody whose last copy did not arrive and who still takes part."""
    side, ticket = answer.data.get("side", ""), case.ticket
    present = {p.party: p for p in (ticket.thirds if side and ticket else draft.participants())}
    copies = [c for c in _newest(case, answer) if c.state in _ENDED and c.party in present]
    if not copies:
        return ()
    number = draft.add_event("relayed", party=answer.party, public=not side, answers=answer.number, reason="resend")
    for copy in copies:
        draft.repeat(Repeat(ticket=copy.ticket, event=copy.event, party=copy.party, as_event=number))
    return tuple(present[copy.party] for copy in copies)


def _write_to(draft: Draft, case: Case, answer: EventFact, people: tuple[Person, ...]) -> tuple[Person, ...]:
    """The same words in a mail of its own: reply addresses belong to one person and are not handed on."""
    assert case.ticket is not None
    had = {copy.party for copy in _newest(case, answer) if copy.state not in _ENDED}
    people = tuple(p for p in people if p.party not in had)
    before = [e for e in case.ticket.events if e.kind == "mail" and e.public and e.number < answer.number]
    author = next((p for p in case.facts.agents.values() if p.party == answer.party), case.agent_person)
    files: tuple[Attachment, ...] = next((copy.files for copy in _copies(case, answer)), ())
    draft.notify(
        "answer",
        people,
        about=answer.number,
        author=author,
        text=answer.text,
        attachments=files,
        quote=before[-1].number if before else 0,
        in_reply_to=before[-1].message_id if before else "",
        public=True,
    )
    return people


def _why_not(case: Case, answer: EventFact) -> tuple[str, str]:
    """Nothing was sent: the word that says why, and whom it would have reached."""
    copies = _newest(case, answer)
    if not copies:
        return "resend-gone", ""
    waiting = [copy for copy in copies if copy.state not in (*_ENDED, "sent")]
    again = len({copy.event for copy in _copies(case, answer)}) > 1
    who = ", ".join(copy.recipient for copy in waiting or copies)
    return "resend-again" if again else "resend-waits" if waiting else "resend-arrived", who
