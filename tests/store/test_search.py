"""The language of searches finds the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.desk.searching import SearchError, read_search
from gateway.questions import Search, TicketLine
from gateway.store import answers
from gateway.store.database import Database
from gateway.store.search import split_words
from gateway.store.tickets import ensure_agents
from tests.support.spine import NOW, Road, address_of, make_mail

JANE, TOM, LI = "Jane Doe <jane@customer.test>", "tom@other.test", "Li Wei <li@firma.example>"
ALICE = "alice@corp.test"


@pytest.fixture
def road(database: Database) -> Road:
    """Three tickets: 1 answered and closed by alice, 2 free, 3 with a file, in Chinese."""
    road = Road(database)
    road.arrive(make_mail(JANE, "The invoice 2231 charges us for 12 licences.", subject="Invoice 2231 is wrong"))
    offer = next(m for m in road.outbox() if m.recipient == ALICE)
    text = "#close\n\nSorry, the refund is on its way."
    raw = make_mail(ALICE, text, subject="Re: x", to=address_of(offer), answers=offer.message_id)
    road.arrive(raw, recipient=address_of(offer))
    road.now += timedelta(days=3)
    road.arrive(make_mail(TOM, "Ich möchte meine Straße ändern.", subject="Address", extra="Cc: boss@other.test"))
    road.now += timedelta(days=3)
    body = (
        "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n請寄發票 charges again\r\n"
        '--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="bill.pdf"\r\n\r\n%PDF\r\n'
        "--b--\r\n"
    )
    plain = make_mail(LI, "", subject="Quote for 50 seats")
    head, _, _ = plain.partition(b"\r\n\r\n")
    head = head.replace(b"text/plain; charset=utf-8", b'multipart/mixed; boundary="b"')
    road.arrive(head + b"\r\n\r\n" + body.encode())
    return road


def search(road: Road, query: str) -> list[TicketLine]:
    with road.database.begin() as tx:
        people = {handle: person.party for handle, person in ensure_agents(tx, road.settings).items()}
        question = Search(("support",), read_search(query, people, "alice", road.now, "UTC"))
        found = answers.answer(tx, [question])[question]
    return [line for line in found if isinstance(line, TicketLine)]  # type: ignore[union-attr]


CASES: list[tuple[str, list[int] | None]] = [
    ("invoice", [1]),
    ("INVOICE licences", [1]),
    ("licen", [1]),  # the beginning of a word
    ("icences", []),
    ("charges", [3, 1]),  # newest first
    ("charges refund", [1]),  # words of two mails of one ticket
    ('"charges us for"', [1]),
    ('"us charges"', []),
    ('"charge"', []),  # exact words are whole
    ("charges -refund", [3]),
    ("-charges", [2]),
    ("strasse", [2]),
    ("MOCHTE", [2]),
    ("発票", []),
    ("發票", [3]),
    ("jane", [1]),
    ("from:customer.test", [1]),
    ('from:"jane doe"', [1]),
    ("from:invoice", []),
    ("to:boss@other.test", [2]),
    ("to:jane", [1]),
    ("subject:wrong", [1]),
    ("subject:licences", []),
    ("owner:me", [1]),
    ("owner:none", [3, 2]),
    ("owner:bob", []),
    ("is:closed", [1]),
    ("is:open", [3, 2]),
    ("is:new address", [2]),
    ("has:attachment", [3]),
    ("bill.pdf", [3]),
    ("after:2026-11-28", [3]),
    ("before:2026-11-25", [1]),
    ("before:2d", [2, 1]),
    ("re:invoice", []),
    ("invoice is:open", []),
    ("'; DROP TABLE tickets; --", []),
    ('"', None),
    ("is:nice", None),
    ("owner:zoe", None),
    ("after:soon", None),
    ("after:9999999999", None),
    ("NEAR(a b) OR *", []),
    ("!&|():*'\\", []),
]
"""Query -> numbers found; None: it cannot be read."""


def test_the_language_of_searches(road: Road) -> None:
    found: list[tuple[str, list[int] | None]] = []
    for query, _ in CASES:  # one desk for all: making it takes longest
        try:
            found.append((query, [line.number for line in search(road, query)]))
        except SearchError:
            found.append((query, None))
    assert found == CASES


def test_what_was_found_is_shown_in_its_surroundings(road: Road) -> None:
    (line,) = search(road, "licences")
    assert "charges us for 12 licences" in line.snippet
    assert search(road, "from:customer.test")[0].snippet == ""


def test_another_inbox_is_never_searched(road: Road) -> None:
    terms = read_search("invoice", {}, "", NOW, "UTC")
    with road.database.begin() as tx:
        question = Search(("billing",), terms)
        assert answers.answer(tx, [question])[question] == ()


def test_words_are_folded_the_same_everywhere() -> None:
    assert split_words("Ärger mit Straße_2, ＦＵＬＬ İstanbul 한국") == [
        *("arger", "mit", "strasse", "2", "full", "istanbul", "한", "국"),
    ]
