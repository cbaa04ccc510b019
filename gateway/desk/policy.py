"""The policy table: what becomes of a mail. First row that fits; its name is the reason (security.md 5.1).

Read it aloud from top to bottom: that is the policy. A row never looks at words, only at who the author provably is,
what the mail is and which ticket it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from gateway.address import fold_address
from gateway.desk.case import AGENT_KINDS, Case
from gateway.desk.guessing import guesses_too_much
from gateway.model import Origin, Proof, Verdict

MAX_RECEIVED = 25
AUTH_PATIENCE = timedelta(hours=4)
"""How long a mail waits for DNS before it is held (security.md 4.7)."""
SIGNATURE_AGE = timedelta(days=7)

_MACHINES = frozenset(
    {Origin.AUTO_REPLY, Origin.DELIVERY_REPORT, Origin.DISPOSITION_REPORT, Origin.FEEDBACK_REPORT, Origin.MACHINE}
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    reason: str
    outcome: str
    fits: Callable[[Case], bool]
    role: str = "stranger"
    quarantine: bool = False


def judge(case: Case) -> Verdict:
    """The verdict on one mail: the first row that fits."""
    row = next(row for row in TABLE if row.fits(case))
    return Verdict(
        outcome=row.outcome,
        reason=row.reason,
        role=row.role,
        proven=case.agent_proven if row.role == "agent" else case.customer_proven,
        unproven_filed=row.reason == "token-only",
        quarantine=row.quarantine,
    )


# ------------------------------------------------------------------ the conditions


def _released(case: Case) -> bool:
    return case.mail.instruction is not None


def _unreadable(case: Case) -> bool:
    return bool(case.findings.message.unreadable) and case.author is None


def _ambiguous(case: Case) -> bool:
    return bool(case.findings.authentication.ambiguous) or case.author is None


def _bounce(case: Case) -> bool:
    return case.match.ground == "bounce"


def _loop(case: Case) -> bool:
    return case.made_by_us or len(case.findings.message.fields.get("received", ())) > MAX_RECEIVED


def _sent_by_hand(case: Case) -> bool:
    return case.sent_by_hand


def _own_address(case: Case) -> bool:
    return case.author is not None and case.settings.is_own_address(case.author.address)


def _blocked(case: Case) -> bool:
    address = fold_address(case.author.address) if case.author else ""
    return case.facts.blocked or any(
        fnmatchcase(address, fold_address(rule)) for rule in case.settings.security.sender_block
    )


def _lacks_dns(case: Case) -> bool:
    return case.findings.authentication.temporary and case.now - case.mail.envelope.received_at < AUTH_PATIENCE


def _lacked_dns_too_long(case: Case) -> bool:
    return case.findings.authentication.temporary


def _dmarc_fails(case: Case) -> bool:
    dmarc = case.findings.authentication.dmarc
    return dmarc.result == "fail" and dmarc.policy in ("quarantine", "reject")


def _token_suffices(case: Case) -> bool:
    """The one exception: this agent's mail can carry no result, and the token is in the address or the subject."""
    agent = case.agent
    return bool(
        agent
        and agent.authentication == "token"
        and not case.findings.authentication.failed
        and case.own_token
        and case.match.kind in AGENT_KINDS
    )


def _agent_unproven(case: Case) -> bool:
    return case.agent is not None and not case.agent_proven and not _token_suffices(case)


def _agent_token(case: Case) -> bool:
    """An agent's token in the hands of somebody who is no agent: a match proposes, it never authorises."""
    # By its kind too: the token of an agent who was disabled meanwhile has no enabled agent behind it (adv-41).
    return case.agent is None and (bool(case.token_agent) or case.match.kind in AGENT_KINDS)


def _sibling(case: Case) -> bool:
    return case.match.ground == "sibling"


def _replayed(case: Case) -> bool:
    return bool(case.facts.replayed)


def _agent_repeats_id(case: Case) -> bool:
    return case.agent is not None and bool(case.facts.same_id) and case.match.ground != "sibling"


def _agent_wrote_to_others(case: Case) -> bool:
    """A signed mail of an agent to somebody else, sent on to us with the agent's reply address on the envelope.

    The signature is good and the token too, but no author meant us. A mail of which we got a copy is known (replayed).
    """
    if case.agent is None or case.proof is not Proof.DKIM or not case.match.ticket or not case.own_token:
        return False
    message = case.findings.message
    return not any(case.settings.is_own_address(mailbox.address) for mailbox in (*message.to, *message.cc))


def _agent_signature_old(case: Case) -> bool:
    if case.agent is None or _token_suffices(case):
        return False
    signed = [
        d.signed_at for d in case.findings.authentication.dkim if d.result == "pass" and d.aligned and d.signed_at
    ]
    return bool(signed) and case.mail.envelope.received_at - max(signed) > SIGNATURE_AGE


def _machine(case: Case) -> bool:
    return case.findings.origin in _MACHINES


def _machine_of_a_party(case: Case) -> bool:
    reply = case.findings.origin in (Origin.AUTO_REPLY, Origin.MACHINE)
    return _machine(case) and reply and bool(case.match.ticket) and case.author_is_party and case.customer_proven


def _machine_with_ticket(case: Case) -> bool:
    return _machine(case) and bool(case.match.ticket)


def _list_not_to_us(case: Case) -> bool:
    if case.findings.origin is not Origin.LIST or case.match.ticket:
        return False
    return not any(case.settings.is_own_address(mailbox.address) for mailbox in case.findings.message.to)


def _agent(case: Case) -> bool:
    return case.agent is not None


def _ambiguous_tokens(case: Case) -> bool:
    return case.agent is not None and case.match.ground == "ambiguous"


def _flood_on_ticket(case: Case) -> bool:
    limit = _count(case.settings.security.loop_limit)
    return bool(case.match.ticket) and case.facts.mails_to_ticket.get(case.match.ticket, 0) >= limit


def _flood_of_tickets(case: Case) -> bool:
    return not case.match.ticket and case.facts.new_tickets_by_author >= _count(case.settings.security.new_ticket_limit)


def _flood_of_a_machine(case: Case) -> bool:
    """The limits hold for machines as for people: Auto-Submitted is a header, and anybody can write it."""
    return _machine(case) and (_flood_on_ticket(case) or _flood_of_tickets(case))


def _flood_of_the_unreadable(case: Case) -> bool:
    """What cannot be read has no author, and each agent's notice of it carries the original."""
    return _unreadable(case) and _flood_of_tickets(case)


def _count(limit: str) -> int:
    return int(limit.partition("/")[0])


def _proven_party(case: Case) -> bool:
    return bool(case.match.ticket) and case.customer_proven and case.author_is_party


def _proven_third(case: Case) -> bool:
    """Somebody an agent wrote to beside the customer answers: filed for agents, never part of the conversation."""
    return bool(case.match.ticket) and case.customer_proven and case.author_as_third is not None


def _token_only(case: Case) -> bool:
    """Architecture 6.11: no proof to give, and the reply address or Message-ID we gave to this very party."""
    party = case.token_party
    return bool(
        case.match.ticket
        and case.settings.authentication.customer_proof == "token"
        and (case.author_is_party or case.author_as_third is not None)
        and not case.findings.authentication.domain_offers_proof
        and not case.findings.authentication.failed
        and case.match.kind in ("t", "m")
        and party
        and case.author
        and fold_address(party.address) == fold_address(case.author.address)
    )


def _unproven_party(case: Case) -> bool:
    return bool(case.match.ticket) and (case.author_is_party or case.author_as_third is not None)


def _stranger_opens_new(case: Case) -> bool:
    new = case.settings.tickets.unknown_participant == "new-ticket"
    return bool(case.match.ticket) and new and case.customer_proven


def _names_a_ticket(case: Case) -> bool:
    return bool(case.match.ticket)


def _proven(case: Case) -> bool:
    return case.customer_proven


def _always(case: Case) -> bool:
    return True


TABLE: tuple[Row, ...] = (
    #    reason                outcome         condition               role
    Row("released", "released", _released),
    Row("flood", "hold", _flood_of_the_unreadable, quarantine=True),
    Row("unreadable", "new-unproven", _unreadable),
    Row("header-ambiguous", "hold", _ambiguous),
    Row("delivery-report", "report", _bounce, "machine"),
    Row("sent-folder", "sent", _sent_by_hand, "machine"),
    Row("loop", "hold", _loop, "machine", quarantine=True),
    Row("own-address", "hold", _own_address),
    Row("blocked", "hold", _blocked, quarantine=True),
    Row("bad-tokens", "hold", guesses_too_much, quarantine=True),
    Row("auth-temperror", "wait", _lacks_dns),
    Row("auth-temperror", "hold", _lacked_dns_too_long),
    Row("dmarc-fail", "hold", _dmarc_fails),
    Row("agent-unproven", "hold", _agent_unproven),
    Row("agent-token", "hold", _agent_token),
    Row("sibling", "sibling", _sibling),
    Row("replayed", "repeat", _replayed),
    Row("replayed", "hold", _agent_repeats_id),
    Row("signature-old", "hold", _agent_signature_old),
    Row("not-addressed", "hold", _agent_wrote_to_others),
    Row("flood", "hold", _flood_of_a_machine, quarantine=True),
    Row("machine", "machine-filed", _machine_of_a_party, "machine"),
    Row("machine", "agents-only", _machine_with_ticket, "machine"),
    Row("machine", "machine-new", _machine, "machine"),
    Row("list", "discard", _list_not_to_us, "machine"),
    Row("ambiguous-tokens", "hold", _ambiguous_tokens),
    Row("agent", "agent", _agent, "agent"),
    Row("flood", "hold", _flood_on_ticket, quarantine=True),
    Row("flood", "hold", _flood_of_tickets, quarantine=True),
    Row("party", "file", _proven_party, "party"),
    Row("third-party", "file", _proven_third, "third"),
    Row("token-only", "file", _token_only, "party"),
    Row("author-unproven", "hold", _unproven_party),
    Row("unknown-sender", "new", _stranger_opens_new),
    Row("unknown-sender", "hold", _names_a_ticket),
    Row("new", "new", _proven, "party"),
    Row("new-unproven", "new-unproven", _always),
)
"""The whole policy."""
