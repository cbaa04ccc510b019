"""One function per fact worth a log line; the only logger of mail (ops.md 12).

No bodies, no subjects, no tokens: addresses follow the operator's policy, and the MAC of every token, reply address and
Message-ID of ours is cut out of every value, also where a remote server's reply repeats it. Nothing here raises;
:mod:`gateway.log_lines` takes the lines away.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import Any, TextIO

from gateway import log_lines, metrics
from gateway.address import clean_text, fold_address, split_address
from gateway.log_lines import JOURNAL, LOG
from gateway.model import Envelope, OutboundMail, Plan
from gateway.settings import Log

_VALUE = 300
_TOKEN_MAC = re.compile(r"([a-z][a-z2-7]-\d{1,8}-\d{1,5}-\d{1,7}-)[a-z0-9]+", re.IGNORECASE)
_MESSAGE_ID_MAC = re.compile(r"(\b\d{1,8}\.\d{1,5}\.\d{1,7}\.)[a-z2-7]{17}(?=@)", re.IGNORECASE)
_ACTION_MAC = re.compile(r"(\b\d{1,8}\.\d{1,5} )[a-z2-7]{17}\b", re.IGNORECASE)

_addresses = "full"


def configure(log: Log, stream: TextIO | None = None, journal: Path = JOURNAL) -> None:
    """Show what the operator's policy lets be shown, where the operator wants it; may be called again."""
    global _addresses
    _addresses = log.addresses
    log_lines.direct(log, stream, journal)


def stop() -> bool:
    """Write what is queued; False when the log is stuck."""
    return log_lines.stop()


# ------------------------------------------------------------------ what may be shown


def show_address(address: str) -> str:
    """An address as the policy wants it: in full (never the MAC of a token), as a short hash, or its domain."""
    address = clean_text(address, _VALUE)
    if not address:
        return "<>"
    if _addresses == "hash":
        return "h:" + hashlib.sha256(fold_address(address).encode("utf-8", "replace")).hexdigest()[:12]
    if _addresses == "domain":
        return "@" + split_address(address)[1]
    return show(address)


def show(text: str) -> str:
    """A value without line breaks, controls and the MACs of our tokens, action subjects and Message-IDs."""
    text = clean_text(text, _VALUE)
    for pattern in (_TOKEN_MAC, _MESSAGE_ID_MAC, _ACTION_MAC):
        text = pattern.sub(r"\1~", text)
    return text


def _show_reply(text: str) -> str:
    # A remote server's reply often repeats addresses; with another policy than "full" they go.
    text = show(text)
    return text if _addresses == "full" else re.sub(r"<?[^\s<>]+@[^\s<>]+>?", "<address>", text)


def _say(level: int, text: str, **fields: str | int) -> None:
    """Queue one line. Empty values and zeros are left out."""
    if not LOG.isEnabledFor(level):
        return
    try:
        shown = {key: show(str(value)) for key, value in fields.items() if value not in ("", 0)}
        LOG.log(level, "%s", text, extra={"fields": shown})
    except Exception:  # noqa: BLE001 - a line is never worth a mail
        metrics.log_line_lost()


# ------------------------------------------------------------------ the edges


def started(what: str, where: str = "") -> None:
    """A listener, mailbox or worker begins its work."""
    _say(logging.INFO, "started", what=what, where=where)


def stopped(what: str, why: str = "") -> None:
    """A listener, mailbox or worker ended its work."""
    _say(logging.INFO, "stopped", what=what, why=why)


def received(envelope: Envelope, journal_id: int, size: int, duplicate: bool = False) -> None:
    """A mail is committed and about to be acknowledged."""
    metrics.received(envelope.inbox, "duplicate" if duplicate else "new")
    _say(
        logging.INFO,
        "received again" if duplicate else "received",
        TG_JOURNAL=journal_id,
        TG_INBOX=envelope.inbox,
        TG_QUEUE_ID=envelope.queue_id,
        sender=show_address(envelope.reverse_path),
        to=show_address(envelope.recipient),
        source=envelope.source,
        client=envelope.client_address,
        size=size,
    )


def refused(
    reply: str, source: str, *, client: str = "", reverse_path: str = "", recipient: str = "", queue_id: str = ""
) -> None:
    """A session was told no. ``reply`` is a row of the table of replies."""
    metrics.refused(reply)
    _say(
        logging.INFO,
        "refused",
        reply=reply,
        source=source,
        client=client,
        sender=show_address(reverse_path) if reverse_path else "",
        to=show_address(recipient) if recipient else "",
        TG_QUEUE_ID=queue_id,
    )


def edge_error(source: str, error: BaseException, *, identity: str = "", queue_id: str = "") -> None:
    """Something unforeseen at an edge, answered with 451 and ``identity``, by which the operator finds this line."""
    metrics.edge_error(source)
    _say(
        logging.ERROR,
        "trouble at an edge",
        id=identity,
        source=source,
        error=describe(error),
        at=place(error),
        TG_QUEUE_ID=queue_id,
    )


def commit_failed(source: str, error: BaseException) -> None:
    """A mail could not be committed after its client had gone; the client will come again."""
    _say(logging.WARNING, "not committed", source=source, error=describe(error), at=place(error))


def mailbox_trouble(account: str, cause: str, *, failures: int = 0) -> None:
    """A polled mailbox could not be read; it is tried again."""
    _say(logging.WARNING, "mailbox in trouble", account=account, cause=_show_reply(cause), failures=failures)


def mailbox_well(account: str, fetched: int = 0) -> None:
    """A polled mailbox answered; worth a line when something was fetched or trouble ended."""
    _say(logging.INFO, "mailbox read", account=account, fetched=fetched)


def describe(error: BaseException) -> str:
    """Type and first line of an error, for the log only."""
    return f"{type(error).__name__}: {clean_text(str(error), 200)}"


def place(error: BaseException) -> str:
    """File and line where the error was raised: "journal.py:88"."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""


# ------------------------------------------------------------------ deciding


def decided(
    journal_id: int, plan: Plan, *, rule: str = "", message_id: str = "", inbox: str = "", queue_id: str = ""
) -> None:
    """A mail or timer was decided and recorded. ``rule`` is the ground of the match."""
    metrics.matched(rule or "none")
    _say(
        logging.INFO,
        f"decided {plan.outcome}",
        TG_JOURNAL=journal_id,
        TG_TICKET=plan.ticket,
        TG_EVENT=plan.events[0].number if plan.events else 0,
        TG_RULE=plan.reason or rule,
        TG_MSGID=message_id,
        TG_INBOX=plan.inbox or inbox,
        TG_QUEUE_ID=queue_id,
        ground=rule,
        mails=len(plan.notices),
    )


def held(journal_id: int, reason: str, *, ticket: int = 0, event: int = 0, agent: str = "") -> None:
    """A mail waits for a person."""
    _say(
        logging.WARNING,
        "held",
        TG_JOURNAL=journal_id,
        TG_TICKET=ticket,
        TG_EVENT=event,
        TG_RULE=reason,
        TG_AGENT=agent,
    )


def released(journal_id: int, by: str, *, ticket: int = 0) -> None:
    """A held mail was decided on by a person."""
    _say(logging.INFO, "released", TG_JOURNAL=journal_id, TG_TICKET=ticket, by=by)


def postponed(journal_id: int, cause: str, *, attempt: int = 0) -> None:
    """A mail could not be processed now and is tried again."""
    _say(logging.WARNING, "postponed", TG_JOURNAL=journal_id, cause=cause, attempt=attempt)


def unreadable(journal_id: int, cause: str) -> None:
    """The cage gave up on a mail: it becomes a ticket with the original attached."""
    _say(logging.WARNING, "unreadable", TG_JOURNAL=journal_id, cause=cause)


def commanded(agent: str, verb: str, result: str, *, ticket: int = 0) -> None:
    """An agent's command took effect, was held or was refused."""
    metrics.commanded(verb, result)
    _say(logging.INFO, f"command {verb}", TG_AGENT=agent, TG_TICKET=ticket, result=result)


# ------------------------------------------------------------------ sending


def _attempted(level: int, result: str, mail: OutboundMail, delivery: int, attempt: int, reply: str) -> None:
    metrics.attempted(result)
    _say(
        level,
        result,
        delivery=delivery,
        TG_TICKET=mail.ticket,
        TG_EVENT=mail.event,
        TG_MSGID=mail.message_id,
        kind=mail.kind,
        to=show_address(mail.recipient),
        attempt=attempt,
        reply=_show_reply(reply),
    )


def sent(mail: OutboundMail, delivery: int, attempt: int = 1, reply: str = "") -> None:
    """The mail server took a mail of ours."""
    _attempted(logging.INFO, "sent", mail, delivery, attempt, reply)


def deferred(mail: OutboundMail, delivery: int, attempt: int, reply: str) -> None:
    """A mail of ours is tried again later."""
    _attempted(logging.WARNING, "deferred", mail, delivery, attempt, reply)


def failed(mail: OutboundMail, delivery: int, attempt: int, reply: str) -> None:
    """A mail of ours was refused for good, or given up."""
    _attempted(logging.ERROR, "failed", mail, delivery, attempt, reply)


def unknown(mail: OutboundMail, delivery: int, attempt: int, reply: str) -> None:
    """The connection was lost after the final dot: nobody knows whether the mail was taken."""
    _attempted(logging.WARNING, "unknown", mail, delivery, attempt, reply)


# ------------------------------------------------------------------ everything else


def worker_error(worker: str, error: BaseException, *, journal_id: int = 0, ticket: int = 0) -> None:
    """Something unforeseen in a worker; the row is tried again, later held."""
    _say(
        logging.ERROR,
        "trouble in a worker",
        worker=worker,
        error=describe(error),
        at=place(error),
        TG_JOURNAL=journal_id,
        TG_TICKET=ticket,
    )


def reminded(kind: str, *, ticket: int = 0, agent: str = "") -> None:
    """A timer fell due and had an effect."""
    _say(logging.INFO, f"due {kind}", TG_TICKET=ticket, TG_AGENT=agent)


def alerted(problem: str, detail: str = "") -> None:
    """The administrator is told about trouble."""
    _say(logging.ERROR, "alert", problem=problem, detail=detail)


def noted(text: str, **facts: Any) -> None:
    """An operational fact of no mail: a reload, a migration, a cleared lease."""
    _say(logging.INFO, text, **{key: str(value) for key, value in facts.items()})
