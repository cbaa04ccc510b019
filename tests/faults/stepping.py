"""Runs: a fresh database, the scenario, a fault at step N, rest, and the checker's word."""

from __future__ import annotations

import smtplib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.store.database import Database
from tests.faults import rows, scenario
from tests.faults.checker import Outcome, Seen, check, read_outcome
from tests.faults.desk import RESTS_WITHIN, Desk, Fault, Mta, Nursery, build_shim
from tests.support.databases import PostgresServer
from tests.support.dns_server import running_dns
from tests.support.dovecot import PASSWORD, DovecotServer
from tests.support.gateway import Gateway, in_background, published_zone
from tests.support.postfix import until
from tests.support.smtp_sink import smtp_sink

BULK_PATIENCE = 900.0
"""Seconds for hundreds of mails on a machine that has other things to do; I5 is measured with few."""
_SEND = 'host = "127.0.0.1"\nport = {send_port}\ntls = "none"\nretry = ["1s"]\nautomatic_per_hour = 0'
SENT = "Sent"
"""The folder of the mailbox where copies of answers go."""
_REMIND = 'unclaimed = ["30d", "60d"]\nunanswered = ["30d", "60d"]\nwaiting = "90d"'
"""A bench lives for hours and puts the same desk back each time: what it prepared must not come due by itself."""


@dataclass
class Run:
    """What one run came to."""

    fault: Fault | None
    again: Sequence[Fault]
    met: str = ""
    """The step at which it happened; "" when the run had no such step."""
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    ends: list[int | None] = field(default_factory=list)
    """Exit codes of the lives; None: still alive at the end."""
    postponed: int = 0
    replies: list[str] = field(default_factory=list)
    """The 4xx replies themselves."""
    restless: str = ""
    """Why it never came to rest."""
    unknown: int = 0
    repeated: int = 0
    """Copies of people's answers beyond the first: allowed, and to be few."""
    log: str = ""


class Bench:
    """Everything that runs have in common: neighbours, prepared databases, the outcome of an undisturbed run."""

    def __init__(
        self,
        folder: Path,
        nursery: Nursery,
        *,
        resolver: str,
        sink: object,
        dovecot: DovecotServer | None,
        postgres: PostgresServer | None,
        mailbox: str,
    ) -> None:
        self.folder, self.dovecot, self.postgres = folder, dovecot, postgres
        tables: dict[str, str | None] = {"send": _SEND, "ack": "per_hour = 100000", "inbox.support.remind": _REMIND}
        self._mailbox = mailbox
        self._template = folder / "template"
        self._pg_template = ""
        self._imap_secret = folder / "imap.secret"
        folder.mkdir(parents=True, exist_ok=True)
        self._imap_secret.touch(mode=0o600)
        self._imap_secret.write_text(PASSWORD)
        gateway = Gateway(
            folder / "desk",
            send_port=sink.port,  # type: ignore[attr-defined]
            resolver=resolver,
            tables=tables,
        )
        self.desk = Desk(
            gateway,
            nursery,
            sink,  # type: ignore[arg-type]
            ports={"imap": dovecot.imap_port} if dovecot else {},
            pg_folder=postgres.folder if postgres else None,
        )
        self.script = self._prepare()
        self._expected: dict[int, Outcome] = {}
        self._alone: dict[str, scenario.Script] = {}
        self._learn(self.script, times=2)

    def alone(self, name: str) -> scenario.Script:
        """The script of one mail, what it must come to known."""
        if name not in self._alone:
            self._alone[name] = scenario.pick(self.script, name)
            self._learn(self._alone[name])
        return self._alone[name]

    @property
    def database(self) -> str:
        """The name of the PostgreSQL database of the present run."""
        return str(sa.make_url(self.desk.gateway.storage).database)

    def script_of(self, *names: str, begin: Callable[[], bool] = lambda: True) -> scenario.Script:
        """Some of the mails, on a desk that is otherwise quiet; what they come to is not compared."""
        picked = [mail for mail in self.script.mails if mail.name in names]
        return scenario.Script(picked, self.script.public, quiet=True, begin=begin)

    def bulk(self, count: int) -> scenario.Script:
        """All the mails and so many more, every tenth from the mailbox; what they come to is known."""
        script = scenario.add_bulk(self.script, count, polled=self.dovecot is not None)
        self._learn(script, patience=BULK_PATIENCE)
        return script

    @property
    def letter(self) -> scenario.Script:
        """A customer's mail that arrives whenever it can; what it comes to is not compared."""
        return scenario.Script([self.script.mails[0]], self.script.public)

    # -------------------------------------------------------------- preparing

    def _prepare(self) -> scenario.Script:
        self._fresh_database(prepared=False)
        self.desk.start()
        known = scenario.prepare(self.desk)
        assert self.desk.end() == 0, self.desk.gateway.log()
        scenario.let_time_pass(self.desk)
        if self.postgres:
            self._pg_template = str(sa.make_url(self.desk.gateway.storage).database)
        self.desk.keep(self._template)
        self._known = known.taken
        self.refusals = 0
        self.before = len(known.taken)
        """Mails that had arrived before a run, and the number of the last delivery that caused one."""
        script = scenario.write_script(known)
        if self.dovecot is None:
            for mail in script.mails:
                mail.imap = False
        return script

    def _learn(self, script: scenario.Script, times: int = 1, patience: float = RESTS_WITHIN) -> None:
        """What undisturbed runs come to: the same each time, or the script is no yardstick."""
        for _ in range(times):
            run = self.run(None, script=script, patience=patience)
            assert not run.violations, (run.violations, run.log)
            outcome = read_outcome(rows.dump(self.desk.rows()))
            known = self._expected.setdefault(id(script), outcome)
            assert known == outcome, f"two undisturbed runs differ:\n{known}\n{outcome}"

    def _fresh_database(self, *, prepared: bool = True) -> None:
        gateway = self.desk.gateway
        self.desk.clear()
        if self.postgres:
            if gateway.storage.startswith("postgresql") and (name := sa.make_url(gateway.storage).database) not in (
                self._pg_template,
                None,
            ):
                self.postgres.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            gateway.move(self.postgres.create_database(self._pg_template or "template0"))
        if prepared:
            self.desk.put_back(self._template)
        if not prepared:
            store = Database(gateway.storage)
            store.migrate()
            store.close()

    def refresh(self) -> None:
        """The desk as it was prepared, and nothing of the run before."""
        self._fresh_database()
        self.desk.sink.taken += self._known

    def _fresh_mailbox(self, script: scenario.Script) -> str:
        if self.dovecot is None:
            return ""
        user = self._mailbox
        with self.dovecot.connection(user) as client:
            client.create(SENT)  # NO when it is there already
            for folder in ("INBOX", SENT):
                client.select(folder)
                if client.untagged_responses["EXISTS"] != [b"0"]:
                    client.store("1:*", "+FLAGS", r"(\Deleted)")
                    client.expunge()
            for mail in script.mails:
                if mail.imap:
                    client.append("INBOX", "", "", mail.raw)
        self.desk.gateway.configure(
            {
                "receive.imap.support": f'host = "127.0.0.1"\nport = {self.dovecot.imap_port}\ntls = "none"\n'
                f'user = "{user}"\nsecret = "file:{self._imap_secret}"\ncatch_up = "all"\njunk_folder = ""\n'
                'sent_copy = "auto"'
            }
        )
        return user

    # -------------------------------------------------------------- running

    def run(
        self,
        fault: Fault | None,
        again: Sequence[Fault] = (),
        *,
        mutant: str = "",
        patience: float = RESTS_WITHIN,
        script: scenario.Script | None = None,
        at_death: Callable[[], None] = lambda: None,
        meanwhile: Callable[[Mta], object] = lambda mta: None,
        kept: bool = False,
    ) -> Run:
        """One run. ``again`` strikes the lives after the first; ``at_death`` is called when a life has ended.

        ``meanwhile`` is called again and again while the first life goes on. ``kept``: on the database as it is
        (``refresh`` was called before).
        """
        began = time.monotonic()
        desk, script = self.desk, script or self.script
        if not kept:
            self.refresh()
        user = self._fresh_mailbox(script)
        desk.mutant = mutant
        mta = Mta(desk.gateway.socket)
        try:
            play = scenario.Play(desk, script, mta, lambda: len(self._flagged(user)))
            # The steps of a run without a fault are numbered, too.

            def rest() -> bool:
                if len(desk.lives) == 1:
                    meanwhile(mta)
                return play.at_rest()

            restless = desk.live(rest, fault or Fault(act="none"), again, patience, at_death)
            if fault is not None and desk.lives[-1].fault is not None and not restless:
                # Its orderly end has steps as well; a death there is followed by one more life.
                desk.end()
                if any(step.hit for step in desk.steps()) and desk.lives[-1].code != 0:
                    restless = desk.live(play.at_rest, None, (), patience)
            desk.kill()
        finally:
            mta.close()
            desk.kill()
        flagged = self._flagged(user)
        seen = Seen(
            mails=script.everything(),
            acknowledged=mta.acknowledged,
            refusals=mta.refusals,
            flagged=flagged,
            taken=list(desk.sink.taken),
            rows=rows.dump(desk.rows()),
            kills=len(desk.lives),
            restless=restless,
            before=self.before,
            sent_folder=self.dovecot.messages(user, SENT) if self.dovecot else None,
        )
        steps = desk.steps()
        run = Run(fault, again, steps=len(steps), seconds=time.monotonic() - began, log=desk.gateway.log())
        run.met = next((f"{step.name} {step.detail}".strip() for step in steps if step.hit), "")
        self._last = seen, self._expected.get(id(script)), script.public
        run.violations = check(*self._last)
        run.ends = [life.code for life in desk.lives]
        run.restless, run.replies, run.postponed = restless, mta.postponed, len(mta.postponed)
        run.unknown = sum(row["state"] == "unknown" for row in seen.rows["deliveries"])
        run.repeated = _repeated(seen)
        return run

    def check_again(self) -> list[str]:
        """What the checker says of the last run now that its rows were tampered with."""
        seen, expected, public = self._last
        seen.rows = rows.dump(self.desk.rows())
        return check(seen, expected, public)

    def cut_short(
        self, script: scenario.Script, half: Callable[[smtplib.LMTP], None]
    ) -> tuple[Run, list[dict[str, Any]]]:
        """A client that does something by hand, and death; what the journal holds then, and the run that follows."""
        desk = self.desk
        self.refresh()
        desk.mutant = ""
        desk.start()
        until(lambda: bool(desk.poll().ready), 60)
        before = desk.rows().ask("SELECT id FROM journal")
        with smtplib.LMTP(str(desk.gateway.socket), timeout=20) as client:
            client.ehlo("mta.test")
            half(client)
            desk.kill()
            client.close()
        found = desk.rows().ask("SELECT id FROM journal")
        return self.run(None, script=script, kept=True), [row for row in found if row not in before]

    def _flagged(self, user: str) -> list[bytes]:
        if self.dovecot is None:
            return []
        mails = self.dovecot.messages(user)
        return [raw for raw, flags in zip(mails, self.dovecot.flags(user), strict=True) if "$Ticketed" in flags]

    def step(self, fault_at: Callable[[int], Fault], numbers: Iterator[int], until_missed: int = 3) -> Iterator[Run]:
        """Runs with the fault at each number, until so many in a row have not met it."""
        missed = 0
        for number in numbers:
            run = self.run(fault_at(number))
            yield run
            missed = 0 if run.met else missed + 1
            if missed >= until_missed:
                return


def _repeated(seen: Seen) -> int:
    answers = {row["message_id"] for row in seen.rows["deliveries"] if not row["automatic"]}
    times: Counter[str] = Counter()
    for taken in seen.taken:
        found = [one for one in answers if one.encode() in taken.content.partition(b"\r\n\r\n")[0]]
        header = taken.content.partition(b"\r\n\r\n")[0]
        times.update(one for one in found if b"Message-ID: " + one.encode() in header)
    return sum(count - 1 for count in times.values() if count > 1)


@contextmanager
def open_bench(
    folder: Path,
    *,
    postgres: PostgresServer | None = None,
    dovecot: DovecotServer | None = None,
    mailbox: str = "support@desk.test",
) -> Iterator[Bench]:
    """A bench with neighbours of its own; ``dovecot`` may be shared, with a ``mailbox`` for each.

    Without Dovecot all mail comes over LMTP.
    """
    with ExitStack() as stack:
        dns = stack.enter_context(in_background(running_dns(published_zone())))
        sink = stack.enter_context(in_background(smtp_sink()))
        nursery = Nursery(build_shim(_cache()))
        stack.callback(nursery.close)
        yield Bench(
            folder, nursery, resolver=dns.address, sink=sink, dovecot=dovecot, postgres=postgres, mailbox=mailbox
        )


def _cache() -> Path:
    import hashlib
    import tempfile

    from tests.faults.desk import HERE

    text = hashlib.sha256((HERE / "shim.c").read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"ticketgate-shim-{text}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
