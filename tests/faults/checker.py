"""The invariants I1 to I7 (security.md 14.6), checked from outside: what senders recorded, receivers got, rows hold.

Nothing of the gateway is asked or imported. A violation is a sentence that begins with the invariant's name. What a
run must come to is compared with a run that nothing disturbed (``Outcome``): missing is lost, more is doubled.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.faults.desk import Sent
from tests.support.smtp_sink import Taken

CUSTOMERS = "@customer.test"
CONNECTIONS = 2
"""[send] max_connections: at most so many transmissions are cut short by one death."""
_MARK = re.compile(r"mark(\w+?)end")


@dataclass(kw_only=True)
class Seen:
    """Everything that can be known about a run without asking the gateway."""

    mails: list[Sent]
    acknowledged: Counter[str]
    refusals: list[str]
    flagged: list[bytes] = field(default_factory=list)
    """The mails in the IMAP mailbox that are marked as taken."""
    taken: list[Any] = field(default_factory=list)
    """What the relay behind took (smtp_sink.Taken)."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    before: int = 0
    """How many of them had arrived before the run began."""
    sent_folder: list[bytes] | None = None
    """What lies in the Sent folder of the mailbox; None: copies are not asked for."""
    kills: int = 0
    restless: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a run came to, without numbers, times and order."""

    tickets: Counter[tuple[object, ...]]
    events: Counter[tuple[object, ...]]
    deliveries: Counter[tuple[object, ...]]
    timers: Counter[tuple[object, ...]]


def read_outcome(rows: dict[str, list[dict[str, Any]]]) -> Outcome:
    """The rows by what they are about: tickets are named by their customer."""
    people = {row["party"]: row["address"] for row in rows["persons"]}
    customer = {row["number"]: people.get(row["customer"], "") for row in rows["tickets"]}
    tickets = Counter(
        (people.get(t["customer"], ""), t["state"], people.get(t["owner"], ""), t["merged_into"], str(t["tags"]))
        for t in rows["tickets"]
    )
    events = Counter(
        (customer[e["ticket"]], e["kind"], people.get(e["party"], ""), bool(e["public"]), *marks(e["text"]))
        for e in rows["events"]
    )
    deliveries = Counter(
        (customer.get(d["ticket"], ""), d["kind"], d["recipient"], bool(d["automatic"])) for d in rows["deliveries"]
    )
    timers = Counter((customer.get(t["ticket"], ""), t["kind"], people.get(t["party"], "")) for t in rows["timers"])
    return Outcome(tickets, events, deliveries, timers)


def marks(text: str) -> list[str]:
    """The marks in a text, each once."""
    return sorted(set(_MARK.findall(text)))


def check(seen: Seen, expected: Outcome | None, public: dict[str, set[str]]) -> list[str]:
    """Every violation. ``public``: mark -> the customers who may read it."""
    found = list(_taken_in(seen))
    found += _effects(seen, expected)
    found += _delivered(seen)
    found += _copied(seen)
    found += _authorised(seen, public)
    if seen.restless:
        found.append(f"I5/I6: {seen.restless}")
    found += [f"I7: {refusal}" for refusal in seen.refusals]
    return found


# ------------------------------------------------------------------ I1


def _taken_in(seen: Seen) -> Iterator[str]:
    rows = Counter((row["sha256"], row["recipient_key"]) for row in seen.rows["journal"])
    content = {row["sha256"]: row["content"] for row in seen.rows["raw"]}
    flagged = Counter(seen.flagged)
    for mail in seen.mails:
        key = (hashlib.sha256(mail.raw).hexdigest(), mail.recipient.lower())
        promised = flagged[mail.raw] if mail.imap else seen.acknowledged[mail.name]
        if not promised and not seen.restless:
            yield f"I1: {mail.name} was never taken"
        if promised and rows[key] != 1:
            yield f"I1: {mail.name} was acknowledged {promised} times and has {rows[key]} rows"
        if promised and content.get(key[0]) != mail.raw:
            yield f"I1: the bytes of {mail.name} are not those that were sent"
        rows.pop(key, None)
    known = {hashlib.sha256(mail.raw).hexdigest() for mail in seen.mails}
    for sha256, recipient in rows:
        if sha256 in known:
            yield f"I1: a mail that was sent elsewhere has a row for {recipient}"


# ------------------------------------------------------------------ I2


def _effects(seen: Seen, expected: Outcome | None) -> Iterator[str]:
    twice = Counter((e["ticket"], e["journal"], e["kind"]) for e in seen.rows["events"] if e["journal"])
    for (ticket, row, kind), times in twice.items():
        if times > 1:
            yield f"I2: mail {row} made {times} events {kind} in ticket {ticket}"
    opened = Counter(e["journal"] for e in seen.rows["events"] if e["number"] == 1 and e["journal"])
    for row, times in opened.items():
        if times > 1:
            yield f"I2: mail {row} opened {times} tickets"
    if expected is None or seen.restless:
        return
    found = read_outcome(seen.rows)
    for name in ("tickets", "events", "deliveries", "timers"):
        wanted, there = getattr(expected, name), getattr(found, name)
        for what, times in (there - wanted).items():
            yield f"I2: {times} more than it should be of {name}: {what}"
        for what, times in (wanted - there).items():
            yield f"I2/I3: {times} missing of {name}: {what}"


# ------------------------------------------------------------------ I3


def _delivered(seen: Seen) -> Iterator[str]:
    copies: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for taken in seen.taken:
        copies[_key(taken)].append(taken.content)
    unknown = 0
    for row in seen.rows["deliveries"]:
        got = copies.pop((row["message_id"], row["recipient"].lower()), [])
        what = (
            f"{'automatic mail' if row['automatic'] else 'an answer'} {row['kind']} {row['id']} to {row['recipient']}"
        )
        if len(set(got)) > 1:
            yield f"I3: {what} left with {len(set(got))} different contents"
        if got and _lines(got[0]) != _lines(row["content"]):
            yield f"I3: {what} is not the mail that was decided"
        if row["state"] == "unknown":
            unknown += 1
        if row["state"] not in ("sent", "unknown", "failed") and not seen.restless:
            yield f"I3: {what} is still {row['state']}"
        if row["state"] == "sent" and not got:
            yield f"I3: {what} is called sent and never arrived"
        if row["automatic"]:
            if len(got) > 1:
                yield f"I3: {what} was sent {len(got)} times"
        elif not got and not seen.restless:
            yield f"I3: {what} never arrived ({row['state']})"
        elif row["state"] == "unknown":
            yield f"I3: {what} ended as unknown"
    for (message_id, recipient), strangers in copies.items():
        yield f"I3: {len(strangers)} mails {message_id} to {recipient} that no delivery knows"
    if unknown > seen.kills * CONNECTIONS:
        yield f"I3: {unknown} transmissions are unknown after {seen.kills} deaths"


def _copied(seen: Seen) -> Iterator[str]:
    """Every person's answer that left in this run lies in the Sent folder once, as it left, and nothing else does."""
    if seen.sent_folder is None:
        return
    there: dict[str, list[bytes]] = defaultdict(list)
    for content in seen.sent_folder:
        there[_message_id(content)].append(content)
    left = {_message_id(taken.content): taken.content for taken in seen.taken[seen.before :]}
    for row in seen.rows["deliveries"]:
        if row["automatic"] or row["message_id"] not in left:
            continue
        copies = there.pop(row["message_id"], [])
        what = f"an answer {row['kind']} {row['id']} to {row['recipient']}"
        if len(copies) != 1 and not (seen.restless and not copies):
            yield f"I3: {what} left and lies {len(copies)} times in the Sent folder"
        if any(_lines(copy) != _lines(left[row["message_id"]]) for copy in copies):
            yield f"I3: the copy of {what} is not the mail that left"
    for message_id, strangers in there.items():
        yield f"I3: {len(strangers)} mails {message_id} in the Sent folder that nobody was sent as an answer"


def _message_id(content: bytes) -> str:
    return str(email.message_from_bytes(content, policy=email.policy.compat32)["Message-ID"]).strip()


def _key(taken: Taken) -> tuple[str, str]:
    return _message_id(taken.content), re.sub(r"[<>]| .*", "", taken.rcpt_to[0]).lower()


def _lines(content: bytes) -> list[bytes]:
    return content.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")


# ------------------------------------------------------------------ I4


def _authorised(seen: Seen, public: dict[str, set[str]]) -> Iterator[str]:
    for taken in seen.taken:
        recipient = re.sub(r"[<>]| .*", "", taken.rcpt_to[0]).lower()
        if not recipient.endswith(CUSTOMERS):
            continue
        mail = email.message_from_bytes(taken.content, policy=email.policy.default)
        whole = str(mail["Subject"]) + "".join(
            str(part.get_content()) for part in mail.walk() if part.get_content_maintype() == "text"
        )
        for name in marks(whole):
            if recipient not in public.get(f"mark{name}end", set()):
                yield f"I4: {recipient} was sent the words of {name}"
    forged = {hashlib.sha256(mail.raw).hexdigest(): mail.name for mail in seen.mails if mail.name.startswith("forged")}
    for row in seen.rows["journal"]:
        name = forged.get(row["sha256"])
        if name and row["state"] == "applied":
            yield f"I4: {name}, which nobody proves, was applied: {row['outcome']}"
    for event in seen.rows["events"]:
        if event["public"] and "forged" in marks(event["text"]):
            yield f"I4: forged words stand in ticket {event['ticket']} as {event['kind']}"
