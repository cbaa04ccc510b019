"""Threading: mail after mail down the road to a ticket, and which of them meet there.

Groups are scored by pairs of mails (precision, recall, F1), and by replies: the share that came to a ticket with an
earlier mail of its thread. The second run takes In-Reply-To and References from three replies in ten: what is lost
then may at most be a hint to agents, which is scored beside. Every author counts as proven and as a person; a mail that
waits in its ticket for an agent to let it in counts as filed there.

The comparison is what a mail reader does: all ids of a mailbox united, without and with a subject as the last resort.
"""

from __future__ import annotations

import collections
import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bench.tally import Corpora, Measured, Row, Tally
from gateway.analysis.examine import examine
from gateway.model import Findings, InboundMail, Origin, Plan, Proof
from gateway.store.database import Database
from gateway.threading.subjects import canonical_subject
from tests.support.spine import NOW, RULES, Road

_MBOX_LINE = re.compile(rb"\AFrom [^\n]*\n")
_LINKS = re.compile(rb"^(?:In-Reply-To|References)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_WINDOW = 14 * 86400


def measure(corpora: Corpora) -> Iterator[Measured]:
    """One set after the other."""
    for name, rows in corpora.sets("thread"):
        answers = [row["message_id"] for row in rows if row["references"] or row["in_reply_to"]]
        lost = frozenset(random.Random(7).sample(answers, int(len(answers) * 0.3)))
        yield _measure_mailbox(corpora, name, rows, frozenset())
        yield _measure_mailbox(corpora, f"{name}, links lost", rows, lost)
    for name, rows in corpora.sets("imapthread"):
        tally = Tally()
        for row in rows:
            _score_script(tally, corpora, row)
        yield Measured(
            name, {"ticketgate": tally}, "by subject: unlinked mails that a mail reader merges, never a desk"
        )


class _Mailbox(Road):
    """A desk where people write; their dates are the clock."""

    def read(self, mail: InboundMail, proof: Proof) -> Findings:
        findings = examine(mail.raw, mail.envelope, {}, RULES)
        authentication = replace(findings.authentication, proof=proof, temporary=False)
        return replace(findings, origin=Origin.PERSON, authentication=authentication, needs=())

    def come(self, raw: bytes, date: float | None) -> Plan:
        if date:
            self.now = max(self.now, datetime.fromtimestamp(date, UTC))
        return self.arrive(raw)


def _measure_mailbox(corpora: Corpora, name: str, rows: Sequence[Row], lost: frozenset[str]) -> Measured:
    measured = Measured(name)
    with tempfile.TemporaryDirectory(prefix="tg-accuracy-") as folder:
        database = Database(f"sqlite:///{folder}/desk.db")
        database.migrate()
        try:
            mailbox = _Mailbox(database)
            mailbox.now = datetime.fromtimestamp(min(row["date"] or NOW.timestamp() for row in rows), UTC)
            plans = {}
            for row in rows:
                raw = _MBOX_LINE.sub(b"", corpora.read(row)).replace(b"\r\n", b"\n")
                if row["message_id"] in lost:
                    head, blank, body = raw.partition(b"\n\n")
                    raw = _LINKS.sub(b"", head + b"\n").rstrip(b"\n") + blank + body
                plans[row["message_id"]] = mailbox.come(raw.replace(b"\n", b"\r\n"), row["date"])
        finally:
            database.close()
    groups = {key: str(plan.ticket or f"none {key}") for key, plan in plans.items()}
    measured.readers["ticketgate"] = _score(rows, groups)
    _score_hints(measured.readers["ticketgate"], rows, plans)
    measured.readers["all ids united"] = _score(rows, _unite(rows, lost, by_subject=False))
    measured.readers["and Re: subjects"] = _score(rows, _unite(rows, lost, by_subject=True))
    return measured


def _score(rows: Sequence[Row], groups: Mapping[str, str]) -> Tally:
    tally = Tally()
    threads = {row["message_id"]: row["expected"]["thread"] for row in rows}
    both = collections.Counter((threads[key], groups[key]) for key in threads)
    right, ours, theirs = (
        sum(n * (n - 1) // 2 for n in counted.values())
        for counted in (both, collections.Counter(groups.values()), collections.Counter(threads.values()))
    )
    precision, recall = right / max(1, ours), right / max(1, theirs)
    tally.add("precision", precision)
    tally.add("recall", recall)
    tally.add("F1", 2 * precision * recall / (precision + recall) if right else 0.0)
    there: collections.defaultdict[str, set[str]] = collections.defaultdict(set)
    for row in rows:
        key = row["message_id"]
        if there[threads[key]]:
            tally.count("reply placed", groups[key] in there[threads[key]], key, groups[key], there[threads[key]])
        there[threads[key]].add(groups[key])
    return tally


def _score_hints(tally: Tally, rows: Sequence[Row], plans: Mapping[str, Plan]) -> None:
    threads: collections.defaultdict[int, set[str]] = collections.defaultdict(set)
    for row in rows:
        plan = plans[row["message_id"]]
        hint = next((int(n.data["perhaps"]) for n in plan.notices if n.data.get("perhaps")), 0)
        if hint:
            tally.count("hint right by links", row["expected"]["thread"] in threads[hint])
        threads[plan.ticket].add(row["expected"]["thread"])


def _unite(rows: Sequence[Row], lost: frozenset[str], by_subject: bool) -> dict[str, str]:
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    last: dict[tuple[str, str], tuple[str, float]] = {}
    for row in rows:
        key, subject = row["message_id"], row["subject"] or ""
        links = [] if key in lost else [*row["references"], *([row["in_reply_to"]] if row["in_reply_to"] else ())]
        for link in links:
            parent[root(key)] = root(link)
        topic = (row.get("list") or "", canonical_subject(subject).casefold())
        earlier = last.get(topic)
        answers = not links and topic[1] and topic[1] != subject.strip().casefold()
        if by_subject and answers and earlier and abs((row["date"] or 0) - earlier[1]) <= _WINDOW:
            parent[root(key)] = root(earlier[0])
        last[topic] = (key, row["date"] or 0)
    return {row["message_id"]: root(row["message_id"]) for row in rows}


def _score_script(tally: Tally, corpora: Corpora, row: Row) -> None:
    """Messages of one script that RFC 5256 puts under one root, against those that meet in one ticket."""
    wanted = _roots(row["expected"]["imap_thread"])
    mails = re.split(rb"^From [^\n]*\n", corpora.read(row).replace(b"\r\n", b"\n"), flags=re.MULTILINE)[1:]
    with tempfile.TemporaryDirectory(prefix="tg-accuracy-") as folder:
        database = Database(f"sqlite:///{folder}/desk.db")
        database.migrate()
        try:
            mailbox = _Mailbox(database)
            plans = [
                mailbox.come((b"From: user@domain.test\n" + mail).replace(b"\n", b"\r\n"), None)
                for mail in mails[: max(wanted)]
            ]
        finally:
            database.close()
    got = {number: plan.ticket for number, plan in enumerate(plans, 1)}
    same = [(a, b) for a in wanted for b in wanted if a < b and wanted[a] == wanted[b]]
    apart = [(a, b) for a in wanted for b in wanted if a < b and wanted[a] != wanted[b]]
    name = "linked" if row["algorithm"] == "references" else "by subject"
    for a, b in same:
        tally.count(f"{name}: together", got[a] == got[b], f"{row['id']} {a} {b}", got, row["expected"])
    for a, b in apart:
        tally.count(f"{name}: apart", got[a] != got[b], f"{row['id']} {a} {b}", got, row["expected"])


def _roots(tree: str) -> dict[int, int]:
    """Message number -> number of its tree in an answer of IMAP THREAD."""
    roots: dict[int, int] = {}
    depth = number = 0
    for token in re.findall(r"[()]|\d+", tree):
        if token == "(":
            number += depth == 0
            depth += 1
        elif token == ")":
            depth -= 1
        else:
            roots[int(token)] = number
    return roots
