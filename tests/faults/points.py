"""Named steps between the calls that the shim sees: wrapped around the gateway's own functions, from outside.

The product has no hook for this. What is wrapped is named by attribute: a function that was renamed fails here loudly.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

_SHIM = ctypes.CDLL(None)


def point(name: str) -> None:
    """One step; the process may end here."""
    _SHIM.fault_point(name.encode())


def plan(text: str) -> None:
    """Number and act from here on as the plan says."""
    _SHIM.fault_plan(text.encode())


def _around(owner: Any, name: str, before: str = "", after: str = "", *, when: Callable[[Any], bool] = bool) -> None:
    """Steps before and after a function; the second only when ``when(result)``."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before:
            point(before)
        result = real(*arguments, **named)
        if after and when(result):
            point(after)
        return result

    setattr(owner, name, wrapped)


def _around_coroutine(
    owner: Any, name: str, before: str = "", after: str = "", *, when: Callable[[Any], bool] = lambda _: True
) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if before:
            point(before)
        result = await real(*arguments, **named)
        if after and when(result):
            point(after)
        return result

    setattr(owner, name, wrapped)


def _always(_result: Any) -> bool:
    return True


def install() -> None:
    """Wrap the steps of receive, process, record, deliver, copy and remind."""
    from gateway import clockwork, deliver, pipeline
    from gateway.ingest.imap_client import ImapSession
    from gateway.membership import Membership
    from gateway.outbound.transport import Transport
    from gateway.receive import Receiver
    from gateway.store import deliveries, journal, sent_copies, timers
    from gateway.workers import Intake, Outbox, Reminders

    _around(Membership, "prepare", "start:before-repair", "start:repaired", when=_always)
    _around_coroutine(Receiver, "receive", "receive:in-hand", "receive:committed")
    _around(journal, "append", "receive:in-transaction", "receive:appended")
    _around(journal, "claim", after="intake:claim-not-committed")
    _around_coroutine(Intake, "_one", "intake:claimed", "intake:done")
    _around_coroutine(pipeline, "read", after="intake:cage-answered")
    _around(pipeline, "process", "intake:in-transaction")
    _around(pipeline, "carry_out", "intake:decided", "intake:recorded", when=_always)
    _around(journal, "finish", after="intake:finished-not-committed", when=_always)
    _around(deliveries, "claim_due", after="outbox:transmitting-not-committed")
    _around_coroutine(Transport, "attempt", "outbox:transmitting", "outbox:answered")
    _around_coroutine(Transport, "_body", "outbox:in-data", "outbox:before-dot")
    _around(deliver, "record", "outbox:in-transaction", "outbox:recorded-not-committed", when=_always)
    _around_coroutine(Outbox, "_one", after="outbox:done")
    _around(sent_copies, "note", after="copies:noted-not-committed", when=_always)
    _around_coroutine(sent_copies.SentCopies, "due", after="copies:due", when=bool)
    _around_coroutine(ImapSession, "holds", "copies:in-folder", "copies:looked-for")
    _around_coroutine(ImapSession, "append", "copies:appending", "copies:appended")
    _around(sent_copies, "settle", after="copies:settled-not-committed", when=_always)
    _around_coroutine(sent_copies.SentCopies, "settle", after="copies:settled")
    _around(timers, "claim_due", after="timers:claim-not-committed")
    _around_coroutine(Reminders, "_one", "timers:claimed", "timers:done")
    _around(clockwork, "remind", "timers:in-transaction", "timers:recorded-not-committed")


def hasten() -> None:
    """Copies for the Sent folder are made at once and tried again within seconds: a run does not wait."""
    from datetime import timedelta

    from gateway.ingest.imap_sent import SentFolder
    from gateway.store import sent_copies

    SentFolder.run.__defaults__ = (0.3,)
    sent_copies.PAUSES = (timedelta(seconds=2),) * 7
