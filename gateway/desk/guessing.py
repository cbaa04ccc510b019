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
    """Whether a mail with a wrong token is one too many: not one whose author is proven and has to do with its ticket.

    Somebody's wrong address among the recipients is no reason to keep a customer's or an agent's own mail back.
    """
    if not _too_many(case):
        return False
    own = case.customer_proven and case.author_is_party
    return not (case.match.ticket and (own or (case.agent_proven and case.own_token)))


def _too_many(case: Case) -> bool:
    wrong = case.clues.bad_tokens
    return wrong > 0 and case.facts.guesses + wrong > MOST


def note_guesses(case: Case, plan: Plan) -> Plan:
    """The plan with the mail's wrong tokens counted, and with the alarm when there are too many."""
    client, wrong = client_network(case.mail.envelope.client_address), min(case.clues.bad_tokens, MOST + 1)
    if not wrong:
        return plan
    keys = tuple(guess_key(client, f"{case.mail.id}.{number}") for number in range(wrong))
    if not _too_many(case) or case.facts.guess_alarms:
        return replace(plan, replay_keys=(*plan.replay_keys, *keys))
    keys += (guess_key("alarm", str(case.mail.id)),)  # one an hour, from however many clients they come
    plan = replace(plan, replay_keys=(*plan.replay_keys, *keys))
    return replace(plan, beside=(*plan.beside, _alarm(case, client)))


def _alarm(case: Case, client: str) -> Plan:
    admins = tuple(Person(party=0, address=address) for address in case.settings.ticketgate.admin)
    notice = Notice(
        kind="alert",
        event=int(case.now.timestamp() // 3600) % 100_000,  # another one every hour: it makes the Message-ID
        recipients=admins,
        data={"alarm": "guessing-one" if client else "guessing", "most": str(MOST), "client": client},
    )
    return Plan(outcome="alert", inbox=case.mail.envelope.inbox, notices=(notice,) if admins else ())
