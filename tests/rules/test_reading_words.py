"""What people write after #search, #report and #show: read, or refused with a sentence, never an accident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.desk.lines import say_span
from gateway.desk.periods import before, read_period, split_words
from gateway.desk.reading import read_reference
from gateway.desk.searching import SearchError, read_search
from gateway.outbound.words import Words
from gateway.questions import Term

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


@given(st.text(max_size=80))
def test_any_query_is_terms_or_a_sentence(query: str) -> None:
    try:
        terms = read_search(query, {"alice": 1}, "alice", NOW, "Europe/Berlin")
    except SearchError as error:
        assert str(error)
    else:
        assert terms
        assert all(term.value for term in terms)


def test_phones_write_other_quotation_marks_and_dashes() -> None:
    terms = read_search("\u201cexact words\u201d \u2013never", {}, "", NOW, "UTC")
    assert terms == (Term("", "exact words", exact=True), Term("", "never", negated=True))


def test_days_of_a_search_are_days_of_the_readers_zone() -> None:
    (term,) = read_search("after:2026-10-01", {}, "", NOW, "Europe/Berlin")
    assert term.value == "2026-09-30T22:00:00+00:00"


@given(st.text(alphabet="week 0123456789-octobrlasty", max_size=20))
def test_any_period_has_begun_and_has_one_before(words: str) -> None:
    period = read_period(words, NOW, "Europe/Berlin")
    if period is not None:
        assert period.since < period.until
        assert period.since <= NOW
        assert before(period).until == period.since
        assert period.slots()[0] == period.first


@pytest.mark.parametrize(
    ("words", "title", "first"),
    [
        ("", "Week 47 (16-22 Nov 2026)", "2026-11-16"),
        ("week 46", "Week 46 (9-15 Nov 2026)", "2026-11-09"),
        ("week 53", None, ""),  # of 2026: not yet; 2025 has 52
        ("october", "October 2026", "2026-10-01"),
        ("dec", "December 2025", "2025-12-01"),
        ("2026-02", "February 2026", "2026-02-01"),
        ("week 9 2026", "Week 9 (23 Feb-1 Mar 2026)", "2026-02-23"),
        ("fortnight", None, ""),
    ],
)
def test_the_periods_of_reports(words: str, title: str | None, first: str) -> None:
    period = read_period(words, NOW, "Europe/Berlin")
    assert (period.title if period else None) == title
    assert (period.first.isoformat() if period else "") == first


def test_the_day_when_clocks_change_has_25_hours() -> None:
    period = read_period("2026-10-25", NOW, "Europe/Berlin")
    assert period is not None
    assert period.until - period.since == timedelta(hours=25)


def test_an_agent_may_stand_anywhere_in_a_report() -> None:
    assert split_words("alice week 46", ["alice"]) == ("week 46", "alice")
    assert split_words("week 46 Alice", ["alice"]) == ("week 46", "Alice")


@pytest.mark.parametrize(
    ("argument", "meant"),
    [("", (0, "")), ("4827", (4827, "")), ("#4827 raw", (4827, "raw")), ("files", (0, "files"))],
)
def test_a_reference_is_a_ticket_and_a_part(argument: str, meant: tuple[int, str]) -> None:
    assert read_reference(argument) == meant


@pytest.mark.parametrize(
    ("minutes", "span", "age"),
    [(48, "48 min", "48 min"), (70, "1 h 10", "1 h"), (26 * 60, "1 d 2 h", "26 h"), (4320, "3 d", "3 d")],
)
def test_spans_as_reports_and_lists_say_them(minutes: int, span: str, age: str) -> None:
    words = Words(Path("/nonexistent"), "en", "UTC")
    assert say_span(timedelta(minutes=minutes)) == words.exact(timedelta(minutes=minutes)) == span
    assert words.age(timedelta(minutes=minutes)) == age


def test_business_time_is_said_in_hours_because_a_business_day_has_no_24() -> None:
    assert Words(Path("/nonexistent"), "en", "UTC").exact(timedelta(hours=26), business=True) == "26 h"
