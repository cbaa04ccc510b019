"""The tables: one schema for SQLite and PostgreSQL (architecture promise 10).

Conventions. A time is a whole number of microseconds since 1970 in UTC: both databases then return exactly the aware
datetime that was written, and compare it alike. A row that waits for its time has ``due_at``; NULL means nothing is
due. A claim moves ``due_at`` to the end of its lease and names its gateway; it ends by that gateway, or with it
(:mod:`gateway.store.presence`). One index serves claims, retries and leases. Text is cleaned of NUL
and lone surrogates on its way in: PostgreSQL refuses the first, both drivers the second, and mail contains either.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from gateway.store.columns import Json, Key, Moment, Words

REVISION = "0001"
"""The migration these tables correspond to; ``Database.check`` wants the database to be there."""

# SQLite numbers rows by itself only when the column is spelled INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True, autoincrement=True)


def _words(name: str, **options: Any) -> Column[str]:
    return Column(name, Words, nullable=False, **options)


def _key(name: str, **options: Any) -> Column[str]:
    return Column(name, Key, nullable=False, **options)


def _number(name: str, *arguments: Any, **options: Any) -> Column[int]:
    return Column(name, BigInteger, *arguments, nullable=False, **options)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _moment(name: str, nullable: bool = False) -> Column[datetime]:
    return Column(name, Moment, nullable=nullable)


def _json(name: str) -> Column[Any]:
    return Column(name, Json, nullable=False)


# ------------------------------------------------------------------ what arrived

raw = Table(
    "raw",
    metadata,
    Column("sha256", Text, primary_key=True),  # of the bytes as received, lower-case hex
    _number("size"),  # octets as received
    Column("content", LargeBinary, nullable=False),  # zstd
)

journal = Table(
    "journal",
    metadata,
    _id(),
    Column("sha256", Text, ForeignKey("raw.sha256"), nullable=False),
    _key("recipient_key"),  # the folded recipient: with sha256 the identity of an arrival (security.md 14.2)
    _words("recipient"),
    _words("reverse_path"),
    _words("inbox"),
    _words("source"),
    _moment("received_at"),
    _words("client_address"),
    _words("helo"),
    _flag("trusted"),
    _words("queue_id"),
    _words("submitter"),
    Column("position", Json),  # where an IMAP source keeps it
    _words("state"),  # received, waiting, held, applied
    _words("outcome"),  # of the plan; "" before
    _words("reason"),
    Column("instruction", Json),  # what a person decided about it when it was held
    _number("attempts"),
    _moment("due_at", nullable=True),
    _words("lease_owner"),
    # What was found, kept for siblings, repeats, brakes and searches.
    _number("ticket"),  # filed in, or proposed while held; 0 none
    _number("event"),
    _flag("opened"),  # it opened that ticket
    _key("author"),  # folded address of the author; "" nobody
    _words("proof"),
    _words("subject"),  # as the reader in the cage found it, while the mail is held: what a list shows of it; else ""
    _key("message_id"),
    _moment("date", nullable=True),
    _key("body_sha256"),
    Column("story", Json),  # for `ticketgate explain`: verdict, DNS records used, what was decided and why
    UniqueConstraint("sha256", "recipient_key"),
    Index(None, "due_at", "id"),
    Index(None, "state"),
    Index(None, "author", "received_at"),
    Index(None, "message_id"),
    Index(None, "body_sha256", "received_at"),
    Index(None, "ticket", "event"),
)

imap_positions = Table(
    "imap_positions",
    metadata,
    _id(),
    _key("account"),
    _key("folder"),
    _number("uidvalidity"),
    _number("uid"),
    Column("journal", BigInteger, ForeignKey("journal.id"), nullable=False),
    UniqueConstraint("account", "folder", "uidvalidity", "uid"),
    Index(None, "journal"),
)

imap_marks = Table(
    "imap_marks",
    metadata,
    Column("account", Key, primary_key=True),
    Column("folder", Key, primary_key=True),
    _number("uidvalidity"),
    _number("uid"),  # highest UID seen in a FETCH
    _number("floor"),  # up to here mail was there before the first run
    _moment("since", nullable=True),  # and is ours only when it arrived later than this
)

imap_failures = Table(
    "imap_failures",
    metadata,
    Column("account", Key, primary_key=True),
    Column("folder", Key, primary_key=True),
    _number("uidvalidity", primary_key=True, autoincrement=False),
    _number("uid", primary_key=True, autoincrement=False),
    Column("why", Words, nullable=False),
    Column("final", Boolean, nullable=False),
)

replay_keys = Table(
    "replay_keys",
    metadata,
    Column("key", Key, primary_key=True),
    _number("journal"),  # row of the first use
    _moment("at"),
    Index(None, "at"),
)

# ------------------------------------------------------------------ people and tickets

persons = Table(
    "persons",
    metadata,
    Column("party", _Id, primary_key=True, autoincrement=True),  # for ever; printed in tokens
    _key("address", unique=True),  # folded
    _words("name"),
    _words("agent"),  # handle; "" for everybody else
    _flag("known"),  # proven mail of theirs was filed
    Index(None, "agent"),
)

agent_settings = Table(
    "agent_settings",
    metadata,
    Column("handle", Words, primary_key=True),
    Column("name", Words, primary_key=True),  # also, quiet, away, digest, timezone
    _words("value"),
    _moment("at"),
)

blocks = Table(
    "blocks",
    metadata,
    Column("address", Key, primary_key=True),  # folded
    _number("party"),  # who blocked it
    _moment("at"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("address", Key, primary_key=True),  # folded; of nobody who is an agent
    _number("refusals"),  # in a row, each counted by what it says of the address
    _moment("at"),  # of the last one
    _words("reason"),  # its words
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    _number("value"),  # the last number given out
)

tickets = Table(
    "tickets",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _words("uuid"),
    _words("inbox"),
    _words("subject"),
    _words("state"),
    Column("owner", BigInteger, ForeignKey("persons.party")),
    Column("customer", BigInteger, ForeignKey("persons.party")),
    _moment("created_at"),
    _moment("changed_at"),
    _moment("closed_at", nullable=True),
    _moment("snoozed_until", nullable=True),
    _words("root"),  # stored, so that a new key does not change it
    _number("last_event"),
    _number("merged_into"),  # 0: not merged
    _number("follows"),  # the older ticket this one continues; 0 none
    _words("priority"),
    _json("tags"),
    _json("watchers"),
    _json("muted"),
    _words("title"),  # in lists, in place of the subject
    Index(None, "state", "number"),
    Index(None, "owner"),
    Index(None, "customer"),
)

participants = Table(
    "participants",
    metadata,
    Column("ticket", BigInteger, ForeignKey("tickets.number"), primary_key=True),
    Column("party", BigInteger, ForeignKey("persons.party"), primary_key=True),
    _number("position"),  # order in which they joined
)

events = Table(
    "events",  # append-only
    metadata,
    Column("ticket", BigInteger, ForeignKey("tickets.number"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _words("kind"),
    _moment("at"),
    _number("party"),
    _flag("public"),
    _words("text"),
    _words("message_id"),
    _words("reason"),
    _number("answers"),
    _json("attachments"),
    _number("journal"),  # row of the mail it came from; 0 none
    _json("data"),
    Index(None, "journal"),
)

message_ids = Table(
    "message_ids",
    metadata,
    _id(),
    _key("message_id"),  # not unique: its sender chooses it
    _number("ticket"),
    _number("event"),
    _number("party"),  # 0: received; else issued to that party
    _flag("public"),
    _moment("at"),
    UniqueConstraint("message_id", "ticket", "event", "party"),
    Index(None, "ticket"),
)

held = Table(
    "held",
    metadata,
    Column("ticket", BigInteger, ForeignKey("tickets.number"), primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    _number("party"),
    _words("reason"),
    _words("text"),
    _json("commands"),
    _number("answered"),
    _number("journal"),
    _words("resolution"),
    _flag("internal"),
    _words("bad_line"),
    _json("attachments"),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    _id(),
    _key("address"),
    _moment("at"),
    Index(None, "address", "at"),
    Index(None, "at"),
)

# ------------------------------------------------------------------ what goes out, what falls due

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    _number("ticket"),
    _number("event"),
    _number("party"),
    _words("kind"),
    _key("message_id"),
    _words("reverse_path"),
    _words("recipient"),
    Column("content", LargeBinary, nullable=False),  # frozen (architecture promise 8)
    _flag("automatic"),  # at most once; a person's answer is sent at least once
    _flag("public"),
    _number("author"),  # party to tell when it cannot be delivered
    _words("state"),
    _number("attempt"),
    _moment("queued_at"),
    _moment("due_at", nullable=True),
    _moment("ended_at", nullable=True),
    _words("lease_owner"),
    _words("reply"),  # the last thing the other side said
    _number("transmitted"),  # times it left as a whole, and the relay never said that it has it
    _flag("barred"),  # the last attempt was refused to us, not to this mail
    _moment("again_at", nullable=True),  # when an operator queued it again
    _number("cause"),  # journal row of the mail it was decided with; 0: a timer or a command
    # The same mail of the same event to the same party exists once (invariant I2).
    Index(
        "uq_deliveries_effect",
        "ticket",
        "event",
        "party",
        "kind",
        unique=True,
        sqlite_where=(Column("event", BigInteger) > 0) & (Column("party", BigInteger) > 0),
        postgresql_where=(Column("event", BigInteger) > 0) & (Column("party", BigInteger) > 0),
    ),
    Index(None, "due_at", "id"),
    Index(None, "state"),
    Index(None, "message_id"),
)

sent_copies = Table(
    "sent_copies",  # answers that left, of which a mailbox gets a copy: one of an event, whoever it went to
    metadata,
    _number("ticket", primary_key=True, autoincrement=False),
    _number("event", primary_key=True, autoincrement=False),
    _number("delivery"),
    _key("account"),
    _moment("sent_at"),
    _number("attempts"),
    _moment("due_at", nullable=True),  # NULL: it is there, or given up with the reply saying why
    _words("reply"),
    Index(None, "account", "due_at"),
)

timers = Table(
    "timers",
    metadata,
    _id(),
    _words("kind"),
    _number("ticket"),
    _number("party"),
    _moment("due_at"),  # what the plan asked for
    _moment("claim_at"),  # when it may be claimed: due_at, or the end of a lease
    _words("lease_owner"),
    _json("data"),
    UniqueConstraint("kind", "ticket", "party"),
    Index(None, "claim_at"),
    Index(None, "ticket"),
)

# ------------------------------------------------------------------ the record: what was sealed (decision 0015)

unsealed = Table(
    "unsealed",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    _number("a"),
    _number("b"),
    Column("salt", LargeBinary, nullable=False),  # of the leaf to be
    Column("digest", LargeBinary, nullable=False),
    Column("mark", LargeBinary, nullable=False),  # made with the installation's key when the fact was written
    _flag("refused"),  # the mark is wrong, or was used before: somebody without the key put it here
    Index(None, "refused", "id"),
    sqlite_autoincrement=True,  # the number is the mark's serial: none is given twice
)

leaves = Table(
    "leaves",
    metadata,
    Column("kind", Text, primary_key=True),
    _number("a", primary_key=True, autoincrement=False),
    _number("b", primary_key=True, autoincrement=False),
    _number("seal", primary_key=True, autoincrement=False),
    _number("serial"),  # of its mark; 0: it was there before there was a key
    Column("salt", LargeBinary),  # NULL: the content was erased, and nobody can find out by trying what it was
    Column("digest", LargeBinary, nullable=False),
)

seals = Table(
    "seals",
    metadata,
    _number("number", primary_key=True, autoincrement=False),
    Column("previous", LargeBinary, nullable=False),
    _moment("at"),
    _number("leaves"),
    Column("root", LargeBinary, nullable=False),
    Column("key", LargeBinary, nullable=False),  # public
    Column("signature", LargeBinary, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    _id(),
    _moment("at"),
    _words("why"),  # never whom
    _json("facts"),  # [kind, a, b] of everything whose content went
    _json("counts"),
    _flag("rows_gone"),  # the rows went as well
)


# ------------------------------------------------------------------ the gateways that share the database

gateways = Table(
    "gateways",
    metadata,
    Column("name", Text, primary_key=True),  # of one process, as it stands in lease_owner
    _moment("started_at"),
    _moment("missed_at", nullable=True),  # first seen without its lock
)
