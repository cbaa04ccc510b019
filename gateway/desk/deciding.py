"""Replies to "this was held": an agent decides what becomes of a mail that was stopped (mail.md 12.2).

Nothing is sent without the word ``send``. A question (merge, from) is answered with it too; a command that was refused
is corrected by writing the right one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gateway.desk import assignment, sides
from gateway.desk.case import Case
from gateway.desk.deed import Problem, held_behind
from gateway.desk.deeds import AFTER, carry_out, check_orders
from gateway.desk.deeds_people import FIRST
from gateway.desk.draft import Draft
from gateway.desk.expiring import set_expiry
from gateway.desk.holding import SHOWN_TO_DESK, hold_answer, tell_author
from gateway.desk.spelling import did_you_mean, vocabulary
from gateway.desk.verbs import plain
from gateway.model import Command, HeldFact, Instruction, Orders, Person, Plan


def has(orders: Orders, *verbs: str) -> bool:
    """Whether one of the verbs is among the orders."""
    return any(c.verb in verbs for c in orders.commands)


def plan_decision(case: Case) -> Plan:
    assert case.ticket is not None
    held = next((h for h in case.ticket.held if h.event == case.match.event), None)
    if held is None:
        return hold_answer(case, "nothing-held")
    if held.resolution == "asked":  # the later question is about the same mail
        held = next((h for h in case.ticket.held if h.journal == held.journal and not h.resolution), held)
    if held.resolution:
        return _decided_before(case, held)
    if case.orders.held or not case.orders.commands:
        return hold_answer(case, "command" if case.orders.held else "undecided", data={"again": "1"})
    decision = _decide(case, held)
    if held.reason in _QUESTIONS and decision != "discard" and (decision or _repeats(case.orders, held)):
        return _confirmed(case, held)
    problem = check_orders(case)
    if problem is not None:
        return hold_answer(case, problem.reason, data=problem.data)
    kept, doubt = _find_kept(case, held)
    if doubt is not None:
        return _ask_about(case, held, doubt)
    if kept and not (held.text.strip() or _words_to_send(case)):
        return _obeyed(case, held, kept)
    if decision == "send" and _is_unclear(case):
        return hold_answer(case, case.own.unclear)
    empty = not (case.orders.text.strip() or held.text.strip())
    if decision == "send" and empty and not held.attachments:
        return hold_answer(case, "empty", data={"again": "1"})
    lost = sides.check_reader(case) if decision == "send" else None
    if lost is None and decision == "send" and _meant_to_ask(held) and sides.find_asked(case) is None:
        lost = Problem("ask-whom", {"verb": "ask"})
    asked = sides.find_asked(case)
    if lost is None and decision == "send" and asked is not None:
        lost = sides.check_ask(case, asked)
    if lost is not None:
        return hold_answer(case, lost.reason, data={**lost.data, "again": "1"})
    if not decision:
        return _corrected(case, held) if empty or has(case.orders, *_IN_ANSWER) else _ask_again(case)
    draft, person = Draft(case), case.agent_person
    assert person is not None
    number = draft.add_mail("command", party=person.party, public=False, text=case.own.text, answers=held.event)
    orders = (*kept, *case.orders.commands)
    goes = decision != "discard"
    done = replace(case, orders=replace(case.orders, commands=orders))
    carry_out(draft, done, person, quiet=True, but=(*(AFTER if goes else ("close",)), *_RESOLUTIONS))
    _settle_held(draft, case, held, person, decision, after=orders if goes else ())
    data = {"verb": decision, "done": decision}
    draft.notify("command", [person], about=number, in_reply_to=case.findings.message.message_id, data=data)
    return draft.plan("command")


def _decided_before(case: Case, held: HeldFact) -> Plan:
    """Nothing is left to decide: said plainly, with who did it and when; own new words stay held."""
    assert case.ticket is not None
    asked = {e.number for e in case.ticket.events if e.kind in _ASKED and e.answers == held.event} | {held.event}
    later = (e for e in case.ticket.events if e.number > held.event and e.answers in asked and e.kind not in _ASKED)
    line = next(later, None)
    by = next((p.agent for p in case.facts.agents.values() if line and p.party == line.party), "")
    data = {"resolution": held.resolution, "at": line.at.isoformat() if line else "", "by": by}
    if case.orders.held or (case.orders.text.strip() and not case.orders.bare):
        return hold_answer(case, "already-decided", data=data)
    return tell_author(case, "", data={**data, "verb": "send", "done": "before"})


_ASKED = ("held-notice", "unproven")
"""Lines of mail that asked what should become of held text."""
_QUESTIONS = ("merge-asks", "from-asks", "undo-asks")
"""Reasons of holds that only ask whether the agent means it."""
_IN_ANSWER = ("also", "open", "spam", "block")
"""Verbs that say by themselves what becomes of the held mail, or leave it alone."""


_BESIDE_TEXT = FIRST | AFTER | {"tag", "untag", "prio", "subject", "move", "watch", "mute"}
"""Verbs of a held mail that are done with its text; the others say something about the text or stand alone."""


def _find_kept(case: Case, held: HeldFact) -> tuple[tuple[Command, ...], Problem | None]:
    """What the held mail ordered beside its words, done when it is let go as it was meant, and what is in doubt.

    Left out is what its author was told of in the notice, and what the decision itself orders otherwise.
    """
    if not has(case.orders, "send", "ask"):
        return (), None
    orders = [Command(verb, argument) for verb, argument in held.commands]
    worded = bool(held.text.strip() or _words_to_send(case) or has(case.orders, "ask"))
    orders = [c for c in orders if c.verb in _BESIDE_TEXT or (not worded and c.verb not in _SAYS)]
    if not worded and any(verb == "send" for verb, _ in held.commands):
        return (), None  # files without a word
    problems = [check_orders(_ordering(case, (command,))) for command in orders]
    doubt = next((p for p in problems if p is not None and p.reason != held.reason), None)
    sound = [command for command, problem in zip(orders, problems, strict=True) if problem is None]
    said = [c for c in case.orders.commands if c.verb not in _SAYS]
    kept = [c for c in sound if not any(_clash(case, c, other) for other in (*sound, *said) if other is not c)]
    return tuple(c for c in kept if plain(c) not in map(plain, said)), doubt


_SAYS = ("note", "send", "discard", "ask", "new")


def _clash(case: Case, one: Command, other: Command) -> bool:
    return check_orders(_ordering(case, (one, other))) is not None


def _ordering(case: Case, commands: tuple[Command, ...]) -> Case:
    return replace(case, orders=replace(case.orders, commands=commands, text=""))


def _ask_about(case: Case, held: HeldFact, doubt: Problem) -> Plan:
    """Something in the held mail has to be asked before it goes: the question is about that mail, not about "send"."""
    person, draft = case.agent_person, Draft(case, reason=doubt.reason)
    assert person is not None
    number = draft.add_mail(
        "held", party=held.party, public=False, text=held.text, answers=held.answered, reason=doubt.reason
    )
    fact = replace(held, event=number, reason=doubt.reason, resolution="")
    draft.resolve(held.event, "asked")
    draft.hold(fact)
    set_expiry(draft, fact, doubt.data)
    answered = case.findings.message.message_id
    draft.notify("held", [person], about=number, reason=doubt.reason, in_reply_to=answered, data=doubt.data)
    draft.explain(f"held event {held.event} is asked about again: {doubt.reason}")
    return draft.plan("command")


def _obeyed(case: Case, held: HeldFact, kept: tuple[Command, ...]) -> Plan:
    """The held mail was nothing but commands: they are done now and confirmed like any."""
    person = case.agent_person
    assert person is not None
    obeying = _ordering(case, (*kept, *(c for c in case.orders.commands if c.verb not in _SAYS)))
    draft = Draft(obeying)
    draft.add_mail("command", party=person.party, public=False, text=case.own.text, answers=held.event)
    draft.resolve(held.event, "sent")
    carry_out(draft, obeying, person, quiet=False)
    return draft.plan("command")


def _ask_again(case: Case) -> Plan:
    return hold_answer(case, "undecided", data={"again": "1"})


def _repeats(orders: Orders, held: HeldFact) -> bool:
    verbs = {verb for verb, _ in held.commands}
    return any(c.verb in verbs and c.verb in ("merge", "from") for c in orders.commands)


def _confirmed(case: Case, held: HeldFact) -> Plan:
    """The agent was asked and means it: the held commands are done, then the held text goes its way."""
    person = case.agent_person
    assert person is not None
    repeated = tuple(c for c in case.orders.commands if c.verb in ("merge", "from"))
    commands = repeated or tuple(Command(verb, argument) for verb, argument in held.commands)
    commands = tuple(c for c in commands if c.verb not in ("send", "note"))
    sure = replace(case, sure=True, orders=replace(case.orders, commands=commands, text="", internal=False))
    problem = check_orders(sure)
    if problem is not None:
        return hold_answer(case, problem.reason, data=problem.data)
    if not held.internal and _is_unclear(case):
        return hold_answer(case, case.own.unclear)
    draft = Draft(sure)
    draft.add_mail("command", party=person.party, public=False, text=case.own.text, answers=held.event)
    text = _words_to_send(case) or held.text
    draft.resolve(held.event, ("noted" if held.internal else "sent") if text.strip() else "discarded")
    carry_out(draft, sure, person, quiet=False, but=AFTER if text.strip() else ())
    if text.strip():
        act = "note" if held.internal else "send"
        draft.release(held.journal, _instruct(held, person, act, text, commands))
    return draft.plan("command")


def _instruct(
    held: HeldFact, person: Person, act: str, text: str, after: Sequence[Command], to: str = ""
) -> Instruction:
    return Instruction(
        act=act,
        by=person.party,
        ticket=held.ticket,
        event=held.event,
        text=text,
        close=act == "send" and any(plain(c) == "close" for c in after),
        to=to,
        commands=tuple(
            (c.verb, c.argument) for c in after if c.verb in AFTER and (act != "send" or plain(c) != "close")
        ),
    )


def _corrected(case: Case, held: HeldFact) -> Plan:
    """A command in place of one that was refused; nothing else was in the held mail, so nothing else is decided."""
    person = case.agent_person
    assert person is not None
    draft = Draft(case)
    draft.add_mail("command", party=person.party, public=False, text=case.own.text, answers=held.event)
    if not held.text.strip():
        draft.resolve(held.event, "discarded")
    carry_out(draft, case, person, quiet=False)
    return draft.plan("command")


_RESOLUTIONS = {"send": "sent", "note": "noted", "discard": "discarded"}


def _decide(case: Case, held: HeldFact) -> str:
    verbs = [c.verb for c in case.orders.commands]
    decision = next((v for v in ("discard", "note", "send") if v in verbs), "send" if "ask" in verbs else "")
    if decision == "send" and held.internal and not held.bad_line and not _words_to_send(case):
        return "note"  # "send it" means: as if it had not been held, and it was written to stay inside
    return decision


def _is_unclear(case: Case) -> bool:
    """Whether words that would be sent cannot be told from our own mail quoted below them (relay.py)."""
    return bool(case.own.unclear and _words_to_send(case))


def _words_to_send(case: Case) -> str:
    """What the decision itself says to the customer; words added to a one-tap mail stay inside (mail.md 12.4)."""
    return "" if case.orders.internal else case.orders.text.strip()


def _settle_held(
    draft: Draft, case: Case, held: HeldFact, person: Person, decision: str, after: Sequence[Command]
) -> None:
    draft.resolve(held.event, _RESOLUTIONS[decision])
    draft.explain(f"held event {held.event}: {_RESOLUTIONS[decision]} by {person.agent}")
    if decision == "discard":
        _tell_leads(draft, case, held, person)
        return
    if decision == "note":
        own = case.orders.text.strip()
        text = "\n".join(part for part in (own or held.text, _words_of(held.bad_line)) if part)
    else:
        text = _words_to_send(case) or held.text
    if decision == "send" and case.orders.internal and case.orders.text.strip():
        draft.add_event("note", party=person.party, text=case.orders.text)
    to = _third_address(case) if decision == "send" else ""
    draft.release(held.journal, _instruct(held, person, decision, text, after, to))


def _tell_leads(draft: Draft, case: Case, held: HeldFact, person: Person) -> None:
    """ "It was not me": somebody else has this agent's reply address (example 14)."""
    assert case.ticket is not None
    line = next((e for e in case.ticket.events if e.number == held.event), None)
    address = line.data.get("address", "") if line else ""
    if held.reason != "agent-token" or not address or case.settings.find_agent(address) is not None:
        return
    told = [p for p in assignment.leads(case) if p.party != person.party]
    draft.notify("unproven", told, about=held.event, author=person, reason="not-me", data={"address": address})
    draft.explain(f"leads are told that {address} is not {person.agent}")


def accept_held(draft: Draft, case: Case, person: Person) -> None:
    """Answering the notice of a mail that nobody can prove accepts that mail (mail.md 9.3)."""
    held = held_behind(case)
    if held is not None and held.reason in SHOWN_TO_DESK:
        draft.resolve(held.event, "admitted")
        instruction = Instruction(act="admit", by=person.party, ticket=held.ticket, event=held.event)
        draft.release(held.journal, instruction)
        draft.explain(f"held event {held.event} accepted by answering it")


def _meant_to_ask(held: HeldFact) -> bool:
    """Whether the line nobody understood was for somebody outside: its text must not go to the customer instead."""
    words = [line.lstrip("#!/ ").split(" ")[0].rstrip(":").lower() for line in held.bad_line.split("\n")]
    return any("ask" in did_you_mean(word, vocabulary({})) or word == "ask" for word in words if word)


def _third_address(case: Case) -> str:
    """Where ``#ask`` sends the text, subject included: as corrected here, else as in the held mail."""
    asked = sides.find_asked(case)
    return asked.argument.strip() if asked is not None else ""


def _words_of(bad_line: str) -> str:
    """The bad line's own words: `#noet she is difficult` keeps "she is difficult"."""
    return re.sub(r"^[^#!/]*[#!/]\s*\S*\s*", "", bad_line, count=1).strip()


def taps_held(case: Case) -> bool:
    """Whether a one-tap link below a held notice was pressed: its event is the held one (mail.md 12.4)."""
    held = case.match.event in {h.event for h in (case.ticket.held if case.ticket else ())}
    return case.match.kind == "x" and held and has(case.orders, *_RESOLUTIONS)
