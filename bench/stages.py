"""CPU of one mail by stage, in one thread, without pipes and processes in between except their encoding.

The stages are the product's own functions; each is timed on the thread's CPU clock and charged without what it calls
inside another stage. ``store`` is measured in the transaction, so commits are spread over a batch as in the daemon.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.utils import parseaddr
from typing import Any

from sqlalchemy import Connection

from bench.mix import Mail, answer
from gateway import pipeline
from gateway.address import fold_address
from gateway.analysis import examine as analysis
from gateway.analysis.examine import examine, examine_authentication
from gateway.analysis.reading_rules import Rules
from gateway.analysis.wire import LENGTH, Request, frame, read_findings, read_request
from gateway.model import DnsAnswer, Envelope, Findings, InboundMail, OutboundMail
from gateway.resolver import ZoneResolver
from gateway.settings import Settings
from gateway.store import journal, raw_mail
from gateway.store.database import BATCH, Database
from gateway.workers import LEASE

ORDER = {
    # stage                 its functions
    "receive (hash, zstd, append)": (),
    "claim (raw bytes back)": (),
    "parse": ((analysis, "parse"),),
    "origin": ((analysis, "find_origin"),),
    "quotes": ((analysis, "split_body"),),
    "forwards": ((analysis, "find_forward"),),
    "reports": ((analysis, "read_reports"),),
    "authenticate": ((analysis, "authenticate"),),
    "examine, rest": (),
    "wire (both ways)": (),
    "clues": ((pipeline, "find_clues"),),
    "recall": ((pipeline.tickets, "recall"),),
    "match, judge": ((pipeline, "choose_ticket"), (pipeline, "judge")),
    "open ticket": ((pipeline.tickets, "open_ticket"),),
    "relay text, commands": ((pipeline, "_own_text"), (pipeline, "_orders")),
    "plan": ((pipeline, "make_plan"), (pipeline, "_after")),
    "compose": ((pipeline, "compose_all"),),
    "record ticket": ((pipeline.tickets, "record"),),
    "record timers": ((pipeline.timers, "record"),),
    "search index": ((pipeline.search, "record"),),
    "enqueue mails": ((pipeline.deliveries, "enqueue"),),
    "finish journal row": ((pipeline.journal, "finish"),),
    "process, rest and commit": (),
}
IN_CHILD = ("parse", "origin", "quotes", "forwards", "reports", "authenticate", "examine, rest")


@dataclass
class Stages:
    """Seconds of CPU by stage, and how many mails they were spent on."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    mails: int = 0
    outgoing: int = 0
    _open: list[list[float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        inner = [0.0]
        self._open.append(inner)
        begin = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - begin
            self._open.pop()
            self.seconds[name] += spent - inner[0]
            if self._open:
                self._open[-1][0] += spent

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Time the product's functions while the block runs."""
        originals: list[tuple[Any, str, Any]] = []
        try:
            for name, places in ORDER.items():
                for owner, attribute in places:
                    function = getattr(owner, attribute)
                    originals.append((owner, attribute, function))
                    setattr(owner, attribute, self._timed(name, function))
            yield
        finally:
            for owner, attribute, function in originals:
                setattr(owner, attribute, function)

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **named)

        return timed


class Bench:
    """Mails through the pipeline, batch after batch, as the daemon does it but in one thread."""

    def __init__(self, database: Database, settings: Settings, rules: Rules, zone: ZoneResolver) -> None:
        self.database, self.settings, self.rules, self.zone = database, settings, rules, zone
        self.sent: list[OutboundMail] = []

    def run(self, mails: Sequence[Mail], stages: Stages, recipients: Sequence[str] = ()) -> None:
        with stages.watched():
            for begin in range(0, len(mails), BATCH):
                self._batch(mails[begin : begin + BATCH], stages, recipients[begin : begin + BATCH])
        stages.mails += len(mails)

    def _batch(self, mails: Sequence[Mail], stages: Stages, recipients: Sequence[str]) -> None:
        now = datetime.now(UTC)
        inbox = next(iter(self.settings.inbox.values()))
        with stages.stage("receive (hash, zstd, append)"), self.database.begin() as tx:
            for number, mail in enumerate(mails):
                envelope = Envelope(
                    reverse_path=mail.reverse_path,
                    recipient=recipients[number] if recipients else inbox.address,
                    inbox=inbox.handle,
                    source="lmtp",
                    received_at=now,
                    client_address="192.0.2.7",
                    helo="out.example.test",
                    trusted=True,
                )
                journal.append(tx, envelope, raw_mail.prepare(mail.raw))
        with stages.stage("claim (raw bytes back)"), self.database.begin() as tx:
            claimed = journal.claim(tx, BATCH, "bench", datetime.now(UTC), LEASE)
        read = [(mail, self._read(mail, stages)) for mail in claimed]
        with stages.stage("process, rest and commit"), self.database.begin() as tx:
            for mail, findings in read:
                self._process(tx, mail, findings, stages)

    def _read(self, mail: InboundMail, stages: Stages) -> Findings:
        with stages.stage("wire (both ways)"):
            request = read_request(frame(Request(raw=mail.raw, envelope=mail.envelope))[LENGTH.size :])
        with stages.stage("examine, rest"):
            findings = examine(request.raw, request.envelope, {}, self.rules)
        records: dict[str, DnsAnswer] = {}
        for _ in range(12):
            if not findings.needs:
                break
            records |= {key: self.zone.find(key) for key in findings.needs}
            with stages.stage("wire (both ways)"):
                again = Request(raw=mail.raw, envelope=mail.envelope, records=records, only_authentication=True)
                request = read_request(frame(again)[LENGTH.size :])
            with stages.stage("examine, rest"):
                more = examine_authentication(request.raw, request.envelope, request.records, self.rules)
            findings = replace(findings, authentication=more.authentication, needs=more.needs)
        with stages.stage("wire (both ways)"):
            return read_findings(frame(findings)[LENGTH.size :])

    def _process(self, tx: Connection, mail: InboundMail, findings: Findings, stages: Stages) -> None:
        original = pipeline.deliveries.enqueue

        def watched(tx: Connection, mails: Sequence[OutboundMail], *rest: Any, **named: Any) -> Any:
            self.sent += mails
            stages.outgoing += len(mails)
            return original(tx, mails, *rest, **named)

        pipeline.deliveries.enqueue = watched  # type: ignore[assignment]
        try:
            pipeline.process(tx, mail, findings, self.settings, datetime.now(UTC))
        finally:
            pipeline.deliveries.enqueue = original

    def answers(self, count: int) -> tuple[list[Mail], list[str]]:
        """Agents' answers to notifications that were sent, and the envelope recipient of each."""
        agents = {fold_address(a.address) for a in self.settings.agents.values()}
        offers = {mail.ticket: mail for mail in self.sent if fold_address(mail.recipient) in agents}
        mails, recipients = [], []
        for number, offer in enumerate(list(offers.values())[:count], 1):
            header = message_from_bytes(offer.content)
            mails.append(answer(offer.content, seed=number))
            recipients.append(parseaddr(str(header["Reply-To"] or header["From"]))[1])
        return mails, recipients
