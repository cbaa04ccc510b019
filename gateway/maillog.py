"""One function per fact worth a log line; the only logger of mail (ops.md 12).

No bodies, no subjects, no tokens: addresses follow the operator's policy, and the MAC of every token, reply address and
Message-ID of ours is cut out of every value, also where a remote server's reply repeats it. Nothing here raises, and
nothing waits for the disk: lines go through a bounded queue to a thread, and are dropped and counted when it is full.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import logging.handlers
import os
import queue
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from gateway import metrics
from gateway.address import clean_text, fold_address, split_address
from gateway.model import Envelope, OutboundMail, Plan
from gateway.settings import Log

_JOURNAL = Path("/run/systemd/journal/socket")
_LIBRARIES = ("mail.log", "mail.debug", "aioimaplib", "aioimaplib.aioimaplib", "aiosmtplib", "apscheduler", "dkimpy")
# aiosmtpd logs commands at INFO and content at DEBUG, aioimaplib whole messages at DEBUG, whatever our own level is.
_QUEUED = 10_000
_PATIENCE = 5.0
_VALUE = 300
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_TOKEN_MAC = re.compile(r"([a-z][a-z2-7]-\d{1,8}-\d{1,5}-\d{1,7}-)[a-z0-9]+", re.IGNORECASE)
_MESSAGE_ID_MAC = re.compile(r"(\b\d{1,8}\.\d{1,5}\.\d{1,7}\.)[a-z2-7]{17}(?=@)", re.IGNORECASE)
_ACTION_MAC = re.compile(r"(\b\d{1,8}\.\d{1,5} )[a-z2-7]{17}\b", re.IGNORECASE)

_log = logging.getLogger("ticketgate")
_addresses = "full"
_listener: _Writer | None = None


# ------------------------------------------------------------------ setting up


def configure(log: Log, stream: TextIO | None = None, journal: Path = _JOURNAL) -> None:
    """Send our lines where the operator wants them; may be called again after a reload.

    ``format``: "auto" is native journal fields under systemd and key=value elsewhere; "json"; "plain" is a line with
    systemd's <priority> in front. ``stream`` defaults to standard error.
    """
    global _addresses, _listener
    stream = sys.stderr if stream is None else stream
    _addresses = log.addresses
    target: logging.Handler
    if log.format == "auto" and _under_systemd(stream) and journal.exists():
        target = _Journal(journal)
    else:
        target = logging.StreamHandler(stream)
        plain = log.format == "plain" or (log.format == "auto" and "JOURNAL_STREAM" in os.environ)
        target.setFormatter(_Json() if log.format == "json" else _KeyValue(priority=plain))
    stop()
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUED)
    _listener = _Writer(waiting, target)
    _log.handlers = [_Enqueue(waiting)]
    _log.propagate = False
    _log.setLevel(log.level.upper() if log.level.lower() in ("debug", "info", "warning", "error") else logging.INFO)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    # What libraries warn about goes the same way, without becoming a mail fact.
    logging.getLogger().handlers = [_Enqueue(waiting)]
    _listener.start()


def stop() -> bool:
    """Write what is queued and end the thread; also done when the process ends. False when the log is stuck."""
    global _listener
    if _listener is None:
        return True
    _listener.stop()
    ended = not _listener.is_running
    _listener = None
    return ended


atexit.register(stop)


def _under_systemd(stream: TextIO) -> bool:
    """Whether the stream is the journal's (systemd.exec(5), JOURNAL_STREAM: device and inode)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Writer(logging.handlers.QueueListener):
    """The thread that writes. Ending waits a little for a log that is full, and not for ever for one that is stuck."""

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        try:
            self.queue.put(None, timeout=_PATIENCE)  # type: ignore[attr-defined]  # None is the listener's own mark for the end
        except queue.Full:
            return
        if self._thread is not None:
            self._thread.join(_PATIENCE)


class _Enqueue(logging.handlers.QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            metrics.log_line_lost()

    def handleError(self, record: logging.LogRecord) -> None:
        metrics.log_line_lost()


def _fields(record: logging.LogRecord) -> dict[str, str]:
    fields: dict[str, str] = getattr(record, "fields", {})
    return fields


class _KeyValue(logging.Formatter):
    """``received TG_INBOX=support from=ann@customer.test``; values with blanks are quoted."""

    def __init__(self, priority: bool) -> None:
        super().__init__()
        self._priority = priority

    def format(self, record: logging.LogRecord) -> str:
        pairs = " ".join(f"{key}={_quote(value)}" for key, value in _fields(record).items())
        text = clean_text(record.getMessage(), 2000)
        if self._priority:
            front = f"<{_PRIORITY.get(record.levelno, 5)}>"
        else:
            front = time.strftime("%Y-%m-%dT%H:%M:%S%z ", time.localtime(record.created))
            front += "" if record.levelno == logging.INFO else record.levelname.lower() + ": "
        return f"{front}{text} {pairs}".rstrip()


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if not value or set(value) & set(' "=\\') else value


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        front = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": clean_text(record.getMessage(), 2000),
        }
        return json.dumps(front | _fields(record), ensure_ascii=False)


class _Journal(logging.Handler):
    """Native journal fields, so that ``journalctl TG_TICKET=4827`` finds them (systemd's native protocol)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        pairs = " ".join(f"{key}={_quote(value)}" for key, value in _fields(record).items())
        message = f"{clean_text(record.getMessage(), 2000)} {pairs}".rstrip()
        # No value holds a line feed (clean_text), so the simple form of the protocol is enough.
        lines = [f"MESSAGE={message}", f"PRIORITY={_PRIORITY.get(record.levelno, 5)}", "SYSLOG_IDENTIFIER=ticketgate"]
        lines += [f"{key}={value}" for key, value in _fields(record).items() if key.startswith("TG_")]
        try:
            self._socket.sendto(("\n".join(lines) + "\n").encode("utf-8", "replace"), self._path)
        except OSError:
            metrics.log_line_lost()

    def close(self) -> None:
        self._socket.close()
        super().close()


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
    if not _log.isEnabledFor(level):
        return
    try:
        shown = {key: show(str(value)) for key, value in fields.items() if value not in ("", 0)}
        _log.log(level, "%s", text, extra={"fields": shown})
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
