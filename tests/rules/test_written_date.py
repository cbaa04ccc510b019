"""When a forwarded mail was written: every language a header block comes in, and nothing where there is any doubt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.analysis.written_date import read_written

TEN = datetime(2026, 11, 23, 10, 15)


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 23 Nov 2026 10:15",
        "Mon, Nov 23, 2026 at 10:15 AM",
        "Monday, November 23, 2026 10:15",
        "Montag, 23. November 2026 um 10:15",
        "23.11.2026 10:15",
        "23.11.2026, 10:15 Uhr",
        "lundi 23 novembre 2026 \u00e0 10:15",
        "lunes, 23 de noviembre de 2026 10:15",
        "23 \u043d\u043e\u044f\u0431\u0440\u044f 2026 \u0433. 10:15",
        "2026-11-23 10:15:07",
        "2026\u5e7411\u670823\u65e5 10:15",
        "11/23/2026 10:15 AM",
        "23/11/2026 10:15",
    ],
)
def test_the_day_and_the_clock_of_a_header_block(text: str) -> None:
    assert read_written(text) == TEN


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("Mon, 23 Nov 2026 10:15:00 +0100", 9),
        ("Mon, 23 Nov 2026 10:15:00 -0500 (EST)", 15),
        ("23. Nov. 2026, 10:15 GMT+0100", 9),
        ("Mon, 23 Nov 2026 10:15 GMT", 10),
    ],
)
def test_a_named_zone_counts(text: str, hour: int) -> None:
    assert read_written(text) == datetime(2026, 11, 23, hour, 15, tzinfo=UTC)


def test_the_halves_of_an_english_day() -> None:
    assert [read_written(f"Nov 23, 2026 {clock}").hour for clock in ("12:05 AM", "1:05 PM", "12:05 p.m.")] == [
        0,
        13,
        12,
    ]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "23.11.2026",  # no clock
        "23.11. 10:15",  # no year
        "03/04/2026 10:15",  # March or April
        "31.02.2026 10:15",
        "23.11.2026 25:15",
        "13:15 PM Nov 23, 2026",
        "2026. 11. 23. \uc624\ud6c4 1:15",  # afternoon
        "2026\u5e7411\u670823\u65e5 \u4e0b\u5348 1:15",
        "23/11/2026 1:15 \u03bc.\u03bc.",
        "23/11/2026 10:15 CH",
        "9" * 100_000,
        "Nov " * 50_000,
    ],
)
def test_in_doubt_there_is_no_time(text: str) -> None:
    assert read_written(text) is None
