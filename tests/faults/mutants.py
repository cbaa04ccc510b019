"""Deliberate faults of the gateway, one or more an invariant: the checker has to see each of them (test_checker.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

_MUTANTS: dict[str, Callable[[], None]] = {}


def apply(name: str) -> None:
    """Make the gateway of this process wrong."""
    _MUTANTS[name]()


def names() -> list[str]:
    """All of them."""
    return list(_MUTANTS)


def _mutant(function: Callable[[], None]) -> Callable[[], None]:
    _MUTANTS[function.__name__] = function
    return function


@_mutant
def acknowledges_what_it_did_not_store() -> None:
    """I1."""
    from gateway.receive import Receipt, Receiver

    real = Receiver.receive

    async def receive(self: Receiver, envelope: Any, raw: bytes) -> Receipt:
        return Receipt(1) if b"marknew2end" in raw else await real(self, envelope, raw)

    Receiver.receive = receive  # type: ignore[method-assign]


@_mutant
def changes_a_byte() -> None:
    """I1."""
    from gateway import receive

    real = receive.raw_mail.prepare
    receive.raw_mail.prepare = lambda raw: real(raw.replace(b"Old2", b"Old3"))  # type: ignore[assignment]


@_mutant
def applies_a_mail_twice() -> None:
    """I2: a recorded mail stays due, so that it is processed again."""
    from gateway.store import journal

    real, spared = journal.finish, set[int]()

    def finish(tx: Any, mail: Any, *more: Any) -> None:
        if mail.id in spared:
            real(tx, mail, *more)
        spared.add(mail.id)
        journal.retry(tx, mail.id, "mutant", more[-1])

    journal.finish = finish


@_mutant
def forgets_an_effect() -> None:
    """I2: half of a plan is recorded."""
    from gateway import pipeline

    pipeline.timers.record = lambda tx, plan: None


@_mutant
def takes_answers_for_automatic() -> None:
    """I3: an answer whose transmission was cut short is never sent again."""
    _lost_becomes("answer", {"state": "unknown", "due_at": None, "lease_owner": ""})


@_mutant
def takes_automatic_mail_for_answers() -> None:
    """I3: automatic mail whose transmission was cut short is sent again."""
    _lost_becomes("ack", {"state": "queued", "lease_owner": ""})


def _lost_becomes(kind: str, values: dict[str, Any]) -> None:
    from gateway.store import deliveries

    real = deliveries.claim_due

    def claim_due(tx: Any, *arguments: Any) -> Any:
        import sqlalchemy as sa

        table = deliveries.deliveries
        lost = (table.c.state == "transmitting") & (table.c.lease_owner != arguments[1]) & (table.c.kind == kind)
        tx.execute(sa.update(table).where(lost).values(**values))
        return real(tx, *arguments)

    deliveries.claim_due = claim_due


@_mutant
def forgets_copies() -> None:
    """I3: an answer leaves and no copy is due."""
    from gateway import deliver

    deliver.sent_copies.note = lambda *arguments: None


@_mutant
def copies_without_looking() -> None:
    """I3: whether the Sent folder has a copy already is not asked."""
    from gateway.ingest.imap_client import ImapSession

    async def holds(self: ImapSession, *arguments: Any) -> bool:
        return False

    ImapSession.holds = holds  # type: ignore[method-assign]


@_mutant
def believes_anybody() -> None:
    """I4: whoever writes in an agent's name is that agent."""
    from gateway import pipeline

    real = pipeline.judge

    def judge(case: Any) -> Any:
        verdict = real(case)
        if verdict.outcome != "hold":
            return verdict
        return replace(verdict, outcome="agent", reason="agent", role="agent", proven=True)

    pipeline.judge = judge


@_mutant
def shows_notes_to_customers() -> None:
    """I4: an internal note is sent to the customer."""
    from gateway import pipeline

    real = pipeline.read_commands

    def read_commands(text: str, *more: Any) -> Any:
        return real(text.replace("#note\n", ""), *more)

    pipeline.read_commands = read_commands


@_mutant
def leaves_claims_of_the_dead() -> None:
    """I5, I6: what a dead process had claimed is not taken back."""
    from gateway.store.presence import Presence

    Presence.announce = lambda self, now: []  # type: ignore[method-assign, assignment, misc]


@_mutant
def refuses_for_ever() -> None:
    """I7: our own trouble is answered as if it were permanent."""
    from gateway import errors

    for name in ("trouble", "no-space"):
        errors.REPLIES[name] = errors.Reply(554, "5.3.0", "Trouble")
