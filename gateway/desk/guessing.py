"""Guessed reply addresses behind a mail server (security.md 6): counted by the hour, too many are for leads and admins.

The direct listener puts such a client off. Behind a mail server nobody can be put off, and often the client is not
known: then all wrong tokens together count. Right tokens are never touched; whoever guessed one proves nothing by it.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.address import client_network
from gateway.desk.case import Case
from gateway.model import Notice, Person, Plan
from gateway.reference import guess_key

MOST = 20
"""Wrong tokens within an hour, of one client where it is known."""


def guesses_too_much(case: Case) -> bool:
    """Whether a mail with a wrong token is one too many."""
    wrong = case.clues.bad_tokens
    return wrong > 0 and case.facts.guesses + wrong > MOST


def note_guesses(case: Case, plan: Plan) -> Plan:
    """The plan with the mail's wrong tokens counted, and with the alarm when it is the one that is too many."""
    client, wrong = client_network(case.mail.envelope.client_address), min(case.clues.bad_tokens, MOST + 1)
    if not wrong:
        return plan
    keys = tuple(guess_key(client, f"{case.mail.id}.{number}") for number in range(wrong))
    plan = replace(plan, replay_keys=(*plan.replay_keys, *keys))
    if case.verdict.reason != "bad-tokens" or case.facts.guesses > MOST:
        return plan
    return replace(plan, beside=(*plan.beside, _alarm(case, client)))


def _alarm(case: Case, client: str) -> Plan:
    text = (
        f"More than {MOST} mails within an hour had a wrong reply address"
        f"{f', all from {client}' if client else ''}: somebody may be guessing.\n"
        "Mail with a wrong reply address is held meanwhile, all other mail goes on as always. Nobody gets in with a\n"
        "right one either. Look at what is held:\n"
        "    ticketgate held\n"
        "If it is mail of customers, a key was removed too early, or the mail server changes addresses.\n"
    )
    admins = tuple(Person(party=0, address=address) for address in case.settings.ticketgate.admin)
    notice = Notice(
        kind="alert",
        event=int(case.now.timestamp() // 3600) % 100_000,  # another one every hour: it makes the Message-ID
        recipients=admins,
        text=text,
        data={"problem": "somebody guesses reply addresses"},
    )
    return Plan(outcome="alert", inbox=case.mail.envelope.inbox, notices=(notice,) if admins else ())
