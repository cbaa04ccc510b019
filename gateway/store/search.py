"""Full-text search of tickets (mail.md 17): FTS5 on SQLite, tsvector on PostgreSQL, the same words on both.

One document an event, with four fields: text, author, recipients, subject. The words are made here (folded, without
accents, each CJK character a word of its own), so that both databases find the same and nobody's parser has opinions on
addresses or invoice numbers. Every word of a query is looked for in the whole ticket, not in one mail. The texts
themselves are not stored twice: the index names events.

The index is no table of the schema, because SQLite keeps it as a virtual one; migration 0001 makes it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import Message, Person, Plan, State
from gateway.questions import UNSOLVED, Search, Term
from gateway.store.columns import scrub
from gateway.store.schema import events, tickets

NAMES = frozenset({"search", "search_data", "search_idx", "search_docsize", "search_config"})
"""The tables of the index, shadow tables of FTS5 included."""

_EVENTS = 100_000  # event numbers have five digits: ticket * _EVENTS + event is the row of FTS5
_KINDS = frozenset({"mail", "answer", "note", "asked", "third", "auto-reply", "automatic", "subject"})
"""Events whose text is searched. Held mail is none of the conversation until somebody lets it in."""
_COLUMN = {"": "words", "from": "author", "to": "recipient", "subject": "subject"}
_WEIGHT = {"words": "D", "author": "A", "recipient": "B", "subject": "C"}
_LONGEST_TEXT = 200_000  # characters of one event
_MOST_WORDS = 16_000  # PostgreSQL counts positions up to 16383
_LONGEST_WORD = 64
_SNIPPET = 70  # characters
_LOOKED_THROUGH = 30  # newest texts of a ticket
_LONGEST_LOOK = 20_000  # characters of each
_WORD = re.compile(r"[^\W_]+")
_SINGLE = re.compile("([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff])")


def split_words(text: str) -> list[str]:
    """The words of a text as they are indexed: lower case, without accents; at most 16000 of 64 characters."""
    folded = unicodedata.normalize("NFKD", text[:_LONGEST_TEXT]).casefold()
    plain = folded if folded.isascii() else "".join(c for c in folded if not unicodedata.combining(c))
    # NFKD takes Hangul apart, which is one character a syllable for whoever types it.
    plain = _SINGLE.sub(r" \1 ", plain if plain.isascii() else unicodedata.normalize("NFC", plain))
    return [word[:_LONGEST_WORD] for word in _WORD.findall(plain)[:_MOST_WORDS]]


# ------------------------------------------------------------------ writing


def record(tx: Connection, number: int, plan: Plan, message: Message, people: Mapping[int, Person]) -> None:
    """Index the events a plan adds to a ticket, in the transaction that records it.

    ``message`` is the mail being decided, whose To and Cc ``to:`` finds; ``people`` are the parties the plan knows.
    """
    documents = []
    for event in plan.events:
        if event.kind not in _KINDS:
            continue
        person = people.get(event.party)
        author = f"{person.name} {person.address}" if person else ""
        if event.from_mail and event.kind in ("mail", "third") and message.author:
            author += f" {message.author.name} {message.author.address}"
        fields = {
            "words": " ".join((event.text, *event.attachments)),
            "author": author,
            "recipient": " ".join(_recipients(plan, event.number, event.kind, message if event.from_mail else None)),
            "subject": plan.subject if plan.opens_ticket else (event.reason if event.kind == "subject" else ""),
        }
        documents.append((event.number, {name: split_words(text) for name, text in fields.items()}))
    if number and documents:
        _insert(tx, number, documents)


def _recipients(plan: Plan, event: int, kind: str, message: Message | None) -> Iterator[str]:
    for notice in plan.notices:
        if notice.kind in ("answer", "ask") and notice.about == event:
            yield from (f"{person.name} {person.address}" for person in notice.recipients)
    if kind == "mail" and message is not None:  # an agent's own mail goes to an address with a token: nobody's word
        yield from (f"{mailbox.name} {mailbox.address}" for mailbox in (*message.to, *message.cc))


def _insert(tx: Connection, number: int, documents: Sequence[tuple[int, Mapping[str, Sequence[str]]]]) -> None:
    if tx.dialect.name == "postgresql":
        statement = sa.text("INSERT INTO search (ticket, event, vector) VALUES (:ticket, :event, CAST(:v AS tsvector))")
        tx.execute(statement, [{"ticket": number, "event": e, "v": _vector(fields)} for e, fields in documents])
        return
    columns = ", ".join(_WEIGHT)
    values = ", ".join(f":{name}" for name in _WEIGHT)
    statement = sa.text(f"INSERT INTO search (rowid, {columns}) VALUES (:row, {values})")
    rows = [
        {"row": number * _EVENTS + event, **{name: " ".join(words) for name, words in fields.items()}}
        for event, fields in documents
    ]
    tx.execute(statement, rows)


def _vector(fields: Mapping[str, Sequence[str]]) -> str:
    """A tsvector as text. Each field starts far behind the one before, so that no phrase reaches across."""
    positions: dict[str, list[str]] = {}
    at = 0
    for name in ("subject", "author", "recipient", "words"):  # the long one last: positions end at 16383
        for word in fields[name]:
            at += 1
            known = positions.setdefault(word, [])
            if at <= 16_383 and len(known) < 255:
                known.append(f"{at}{_WEIGHT[name]}")
        at += 10
    return " ".join(f"'{word}':{','.join(places)}" if places else f"'{word}'" for word, places in positions.items())


def forget(
    tx: Connection,
    numbers: Sequence[int],
    but: Collection[tuple[int, int]] = (),
    without: Sequence[str] = (),
) -> None:
    """Take tickets out of the index; events in ``but`` stay in it, though not with the words in ``without``."""
    if tx.dialect.name == "postgresql":
        for number in numbers:
            kept = [event for ticket, event in but if ticket == number]
            asked = {"number": number, "kept": kept, "words": list(without)}
            tx.execute(sa.text("DELETE FROM search WHERE ticket = :number AND NOT event = ANY(:kept)"), asked)
            if kept and without:
                clean = "UPDATE search SET vector = ts_delete(vector, CAST(:words AS text[])) WHERE ticket = :number"
                tx.execute(sa.text(clean), asked)
        return
    columns = ", ".join(_WEIGHT)
    values = ", ".join(f":{name}" for name in _WEIGHT)
    take_out = sa.text(f"INSERT INTO search (search, rowid, {columns}) VALUES ('delete', :row, {values})")
    put_in = sa.text(f"INSERT INTO search (rowid, {columns}) VALUES (:row, {values})")
    unwanted = set(without)
    for row, fields in _indexed_words(tx, numbers).items():
        tx.execute(take_out, {"row": row, **{name: " ".join(words) for name, words in fields.items()}})
        if divmod(row, _EVENTS) in but:
            left = {name: " ".join(w for w in words if w not in unwanted) for name, words in fields.items()}
            tx.execute(put_in, {"row": row, **left})
    tx.exec_driver_sql("INSERT INTO search (search) VALUES ('optimize')")  # or the words stay until a merge


def _indexed_words(tx: Connection, numbers: Sequence[int]) -> dict[int, dict[str, list[str]]]:
    """An index without content has to be told what to take out: its own lists of words say what was put in."""
    tx.exec_driver_sql("CREATE VIRTUAL TABLE IF NOT EXISTS temp.search_words USING fts5vocab(main, search, instance)")
    wanted = ", ".join(str(int(number)) for number in numbers)
    found = tx.exec_driver_sql(
        f"SELECT doc, col, term FROM temp.search_words WHERE doc / {_EVENTS} IN ({wanted}) ORDER BY doc, col, offset"
    )
    documents: dict[int, dict[str, list[str]]] = {}
    for row, column, word in found:
        documents.setdefault(row, {name: [] for name in _WEIGHT})[column].append(word)
    return documents


# ------------------------------------------------------------------ reading


def find(tx: Connection, question: Search) -> list[tuple[int, str]]:
    """(number, snippet) of the tickets that have all terms, newest first; one more than the limit if there are more."""
    conditions = [tickets.c.inbox.in_(question.inboxes), tickets.c.merged_into == 0]
    for n, term in enumerate(question.terms):
        condition = _condition(tx.dialect.name, term, f"q{n}")
        conditions.append(sa.not_(condition) if term.negated else condition)
    statement = (
        sa.select(tickets.c.number)
        .where(*conditions)
        .order_by(tickets.c.changed_at.desc(), tickets.c.number.desc())
        .limit(question.limit + 1)
    )
    numbers = list(tx.execute(statement).scalars())
    words = [t for t in question.terms if t.field == "" and not t.negated]
    return [(number, _snippet(tx, number, words) if words else "") for number in numbers]


def _condition(dialect: str, term: Term, name: str) -> sa.ColumnElement[bool]:
    value = term.value
    match term.field:
        case "tag":
            quoted = msgspec.json.encode(scrub(value.lower())).decode()
            return sa.func.lower(sa.cast(sa.type_coerce(tickets.c.tags, sa.Text), sa.Text)).contains(
                quoted, autoescape=True
            )
        case "owner":
            return tickets.c.owner == int(value) if int(value) else tickets.c.owner.is_(None)
        case "is":
            states = UNSOLVED if value == "open" else (State(value),)
            return tickets.c.state.in_(states)
        case "has":
            with_files = sa.type_coerce(events.c.attachments, sa.Text) != "[]"
            return sa.exists().where(events.c.ticket == tickets.c.number, with_files)
        case "after":
            return tickets.c.changed_at >= datetime.fromisoformat(value)
        case "before":
            return tickets.c.changed_at < datetime.fromisoformat(value)
        case _:
            return _indexed(dialect, term, name)


def _indexed(dialect: str, term: Term, name: str) -> sa.ColumnElement[bool]:
    words = split_words(term.value)
    if not words:  # "***": nothing that could be found
        return sa.false()
    if dialect == "postgresql":
        found = "SELECT ticket FROM search WHERE vector @@ CAST(:{} AS tsquery)"
        value = _tsquery(words, term)
    else:
        found = f"SELECT rowid / {_EVENTS} FROM search WHERE search MATCH :{{}}"
        value = _fts5(words, term)
    subquery = sa.text(found.format(name)).bindparams(sa.bindparam(name, value)).columns(sa.column("n", sa.BigInteger))
    return tickets.c.number.in_(subquery)


def _fts5(words: Sequence[str], term: Term) -> str:
    # Bare words are looked for in the subject and among the people too: "invoice jane" names both.
    column = "" if not term.field else f"{{{_COLUMN[term.field]}}} : "
    return f'{column}"{" ".join(words)}"' + ("" if term.exact else " *")


def _tsquery(words: Sequence[str], term: Term) -> str:
    weight = _WEIGHT[_COLUMN[term.field]] if term.field else ""
    *others, last = words
    marks = [f"'{word}'" + (f":{weight}" if weight else "") for word in others]
    ending = weight + ("" if term.exact else "*")
    return " <-> ".join([*marks, f"'{last}'" + (f":{ending}" if ending else "")])


# ------------------------------------------------------------------ what was found, in its surroundings


def _snippet(tx: Connection, number: int, terms: Sequence[Term]) -> str:
    """A few words around the newest place; "" when only a name or subject has them.

    The texts of the ticket are looked through, not the index: for a word that is everywhere that is much cheaper.
    """
    statement = (
        sa.select(events.c.text)
        .where(events.c.ticket == number, events.c.kind.in_(_KINDS), events.c.text != "")
        .order_by(events.c.number.desc())
        .limit(_LOOKED_THROUGH)
    )
    lines = [" ".join(text[:_LONGEST_LOOK].split()) for text in tx.execute(statement).scalars()]
    for term in terms:
        words = split_words(term.value)
        found = next(filter(None, (_around(line, words) for line in lines)), "") if words else ""
        if found:
            return found
    return ""


def _around(line: str, words: Sequence[str]) -> str:
    """The place where the words begin, about 70 characters."""
    for place in _starts(line, words[0]):
        start = line.rfind(" ", 0, max(0, place - _SNIPPET // 3)) + 1 if place > _SNIPPET // 3 else 0
        end = line.find(" ", start + _SNIPPET - 8)
        return line[start : end if 0 < end <= start + _SNIPPET + 20 else start + _SNIPPET]
    return ""


def _starts(line: str, word: str) -> Iterable[int]:
    for found in _WORD.finditer(line):
        if " ".join(split_words(found[0])).startswith(word):
            yield found.start()
