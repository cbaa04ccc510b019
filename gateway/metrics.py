"""Counters and gauges (ops.md 13): tiny functions that do nothing until :func:`enable` was called.

``prometheus_client`` takes a quarter of a second to import, so a short operator command never loads it. Every function
here is safe to call from any thread, and none raises: a metric is never worth a mail.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_PREFIX = "ticketgate_"
_COUNTERS = {
    "mail_received_total": ("Mails we took responsibility for", ("inbox", "class")),
    "mail_refused_total": ("Refusals inside a session, by row of the table of replies", ("reply",)),
    "match_total": ("How the ticket of a mail was found", ("rule",)),
    "send_total": ("Attempts to deliver", ("result",)),
    "commands_total": ("Commands of agents", ("verb", "result")),
    "edge_errors_total": ("Unforeseen errors answered with 451", ("source",)),
    "log_lines_lost_total": ("Log lines dropped because the log could not keep up", ()),
}
_GAUGES = {
    "intake_last_success_timestamp_seconds": ("When a source last worked", ("source",)),
    "outbox_pending": ("Deliveries not yet ended", ()),
    "outbox_oldest_seconds": ("Age of the oldest delivery not yet ended", ()),
    "tickets": ("Tickets by state", ("state",)),
    "held": ("Held mails by reason", ("reason",)),
    "sessions": ("Open SMTP and LMTP connections", ("source",)),
    "oauth_expires_timestamp_seconds": ("When an access token ends", ("source",)),
    "db_bytes": ("Size of the database", ()),
    "build_info": ("Always 1; the version is the label", ("version",)),
}
_HISTOGRAMS = {
    "first_answer_seconds": (
        "From the customer's mail to the first answer",
        (),
        (300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800),
    ),
}

_registry: Any = None
_metrics: dict[str, Any] = {}


def enable(version: str = "") -> None:
    """Load prometheus_client and create every metric, in a registry of our own; a second call changes nothing."""
    global _registry
    if _registry is not None:
        return
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    registry = CollectorRegistry()
    for name, (text, labels) in _COUNTERS.items():
        _metrics[name] = Counter(_PREFIX + name, text, labels, registry=registry)
    for name, (text, labels) in _GAUGES.items():
        _metrics[name] = Gauge(_PREFIX + name, text, labels, registry=registry)
    for name, (text, labels, buckets) in _HISTOGRAMS.items():
        _metrics[name] = Histogram(_PREFIX + name, text, labels, buckets=buckets, registry=registry)
    _registry = registry
    _set("build_info", 1, version)


def enabled() -> bool:
    """Whether anybody measures: what costs more than a counter is left out otherwise."""
    return _registry is not None


def exposition() -> bytes:
    """All metrics in the Prometheus text format; empty while not enabled."""
    if _registry is None:
        return b""
    from prometheus_client import generate_latest

    return generate_latest(_registry)


def write_textfile(path: Path) -> None:
    """Write the metrics for node-exporter's textfile collector, by rename so that it never reads half a file.

    Raises OSError when the folder cannot be written.
    """
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(exposition())
    beside.rename(path)


def _child(name: str, labels: tuple[str, ...]) -> Any:
    metric = _metrics.get(name)
    return metric.labels(*labels) if metric is not None and labels else metric


def _count(name: str, *labels: str) -> None:
    child = _child(name, labels)
    if child is not None:
        child.inc()


def _set(name: str, value: float, *labels: str) -> None:
    child = _child(name, labels)
    if child is not None:
        child.set(value)


def received(inbox: str, kind: str) -> None:
    """One mail journalled. ``kind`` (label "class"): "new" or "duplicate" at an edge, later an Origin value."""
    _count("mail_received_total", inbox, kind)


def refused(reply: str) -> None:
    """One refusal with this row of the table of replies."""
    _count("mail_refused_total", reply)


def matched(rule: str) -> None:
    """One mail whose ticket was found on this ground ("none": a new ticket)."""
    _count("match_total", rule)


def attempted(result: str) -> None:
    """One attempt at a delivery: sent, deferred, failed or unknown."""
    _count("send_total", result)


def commanded(verb: str, result: str) -> None:
    """One command of an agent: done, held or refused."""
    _count("commands_total", verb, result)


def edge_error(source: str) -> None:
    """One unforeseen error that an edge answered with 451."""
    _count("edge_errors_total", source)


def log_line_lost() -> None:
    """One log line dropped."""
    _count("log_lines_lost_total")


def intake_worked(source: str, at: float) -> None:
    """A source worked at this Unix time: a session ended well, a mailbox was fetched."""
    _set("intake_last_success_timestamp_seconds", at, source)


def sessions(source: str, number: int) -> None:
    """Open connections of a listener."""
    _set("sessions", number, source)


def outbox(pending: int, oldest_seconds: float) -> None:
    """State of the outbox."""
    _set("outbox_pending", pending)
    _set("outbox_oldest_seconds", oldest_seconds)


def tickets(state: str, number: int) -> None:
    """Tickets in one state."""
    _set("tickets", number, state)


def held(reason: str, number: int) -> None:
    """Held mails of one reason."""
    _set("held", number, reason)


def first_answer(seconds: float) -> None:
    """A customer got the first answer after so many seconds."""
    child = _child("first_answer_seconds", ())
    if child is not None:
        child.observe(seconds)


def oauth_expires(source: str, at: float) -> None:
    """Unix time at which a source's access token ends."""
    _set("oauth_expires_timestamp_seconds", at, source)


def db_bytes(size: int) -> None:
    """Size of the database in bytes."""
    _set("db_bytes", size)
