"""Times as agents write them, business hours, quiet hours, spans in words."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.desk.calendar import (
    add_business,
    business_between,
    is_open,
    next_allowed,
    next_open,
    read_holiday_file,
    read_hours,
    say_span,
)
from gateway.desk.moments import read_away, read_quiet, read_when
from gateway.desk.verbs import fits
from gateway.settings import Hours

GRAMMAR: dict[str, Any] = tomllib.loads((Path(__file__).parent / "commands.cases").read_text(encoding="utf-8"))
BERLIN = "Europe/Berlin"
OFFICE = Hours(weekdays="mon-fri 09:00-17:30")
MONDAY = datetime(2026, 11, 23, 10, 0, tzinfo=ZoneInfo(BERLIN))


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)


def when(text: str, now: datetime = MONDAY) -> str:
    found = read_when(text, now, BERLIN)
    return f"{found.astimezone(ZoneInfo(BERLIN)):%a %Y-%m-%d %H:%M}" if found else ""


# ------------------------------------------------------------------ when


@pytest.mark.parametrize(
    ("now", "zone", "text", "expected"),
    [(row["now"], row["zone"], *case) for row in GRAMMAR["when"] for case in row["cases"]],
)
def test_a_time_of_the_grammar_means_what_is_written_there(now: datetime, zone: str, text: str, expected: str) -> None:
    assert read_when(text, now, zone) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("text", GRAMMAR["argument"]["when"]["accept"])
def test_every_accepted_time_is_a_real_one(text: str) -> None:
    assert read_when(text, MONDAY, BERLIN) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon", "Mon 2026-11-30 09:00"),  # said on a Monday: not today
        ("Monday 2 PM", "Mon 2026-11-30 14:00"),
        ("next fri", "Fri 2026-12-04 09:00"),
        ("next month", "Tue 2026-12-01 09:00"),
        ("today 5pm", "Mon 2026-11-23 17:00"),
        ("on fri at 12am", "Fri 2026-11-27 00:00"),
        ("fri, 12pm", "Fri 2026-11-27 12:00"),
        ("1 jan", "Fri 2027-01-01 09:00"),
        ("20 nov", "Sat 2027-11-20 09:00"),  # past this year
        ("3. September 2027 8:15", "Fri 2027-09-03 08:15"),
        ("3 sept 2027", "Fri 2027-09-03 09:00"),
        ("90 min", "Mon 2026-11-23 11:30"),
        ("1 month", "Wed 2026-12-23 10:00"),
        ("3 months", "Tue 2027-02-23 10:00"),
        ("  Until   TOMORROW ", "Tue 2026-11-24 09:00"),
    ],
)
def test_a_time_is_read(text: str, expected: str) -> None:
    assert when(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("today", "2026-11-22", "today 9am", "31 feb", "2026-02-30", "12 marbles", "29 feb", "13pm", "tomorrow 13pm"),
        *("tomorrow 25:00", "0d", "0001-01-01", "999999d", "999999 months", "9999-12-31", "9am", "", "until", "next"),
        "x" * 999,
    ],
)
def test_what_is_no_moment_in_the_future_is_none(text: str) -> None:
    assert read_when(text, MONDAY, BERLIN) is None


def test_a_month_keeps_to_the_end_of_a_shorter_one() -> None:
    assert when("1 month", datetime(2027, 1, 31, 10, tzinfo=ZoneInfo(BERLIN))) == "Sun 2027-02-28 10:00"


def test_a_leap_day_of_next_year_is_found() -> None:
    assert when("29 feb", datetime(2027, 6, 1, tzinfo=ZoneInfo(BERLIN))) == "Tue 2028-02-29 09:00"


def test_the_hour_that_summer_time_skips_is_the_next_one() -> None:
    assert when("2027-03-28 02:30") == "Sun 2027-03-28 03:30"


def test_an_unknown_zone_gives_no_moment() -> None:
    assert read_when("3d", MONDAY, "Mars/Olympus") is None
    assert read_when("3d", MONDAY, "../../etc/passwd") is None
    assert read_when("3d", MONDAY, "europe/berlin") == berlin("2026-11-26T10:00")


@given(st.text(max_size=30))
def test_reading_a_time_never_raises(text: str) -> None:
    read_when(text, MONDAY, BERLIN)


@given(st.from_regex(r"(in |until )?[0-9]{1,3} ?(m|min|h|hours|d|w|months)", fullmatch=True))
def test_a_relative_time_that_fits_the_grammar_is_in_the_future_and_in_utc(text: str) -> None:
    assert fits("when", text)
    found = read_when(text, MONDAY, BERLIN)
    assert found is None or (found > MONDAY and found.tzinfo is UTC)


def test_the_parts_of_away_are_told_apart() -> None:
    assert read_away("") == ("", "")
    assert read_away("until fri") == ("until fri", "")
    assert read_away("until fri to bob") == ("until fri", "bob")
    assert read_away("to bob@example.com") == ("", "bob@example.com")
    assert read_away("2026-12-24") == ("2026-12-24", "")
    assert read_away("tomorrow") == ("tomorrow", "")


def test_quiet_hours_are_read_in_both_forms() -> None:
    assert read_quiet("18-8") == read_quiet("18:00-08:00") == (time(18), time(8))
    assert read_quiet("22:30 - 24") == (time(22, 30), time(0))
    for text in ("", "off", "8-8", "25-8", "18:70-8", "please"):
        assert read_quiet(text) is None


# ------------------------------------------------------------------ business hours


@pytest.mark.parametrize(
    ("weekdays", "at", "expected"),
    [
        ("mon-fri 09:00-17:30", "2026-11-23T09:00", True),
        ("mon-fri 09:00-17:30", "2026-11-23T17:30", False),
        ("mon-fri 09:00-17:30", "2026-11-28T12:00", False),
        ("", "2026-11-29T03:00", True),
        ("mon-thu 9-12 13-17, fri 9-12", "2026-11-23T12:30", False),
        ("mon-thu 9-12 13-17, fri 9-12", "2026-11-24T13:30", True),
        ("mon-thu 9-12 13-17, fri 9-12", "2026-11-27T13:30", False),
        ("mon, wed 10:00-14:00; sat", "2026-11-25T10:00", True),
        ("mon, wed 10:00-14:00; sat", "2026-11-24T10:00", False),
        ("mon, wed 10:00-14:00; sat", "2026-11-28T23:59", True),
        ("fri-mon 9-17", "2026-11-29T09:00", True),
        ("Monday - Friday 9:00 - 17:00", "2026-11-27T16:59", True),
        ("fri 22:00-06:00", "2026-11-28T05:59", True),
        ("fri 22:00-06:00", "2026-11-28T06:00", False),
        ("mon-sun 00:00-24:00", "2026-11-29T00:00", True),
    ],
)
def test_the_desk_is_open_in_its_hours(weekdays: str, at: str, expected: bool) -> None:
    assert is_open(Hours(weekdays=weekdays), BERLIN, berlin(at)) is expected


@pytest.mark.parametrize("weekdays", ["9-17", "mon-fri 9-25", "mon 9:70-10", "mon 9-9", "weekdays 9-17", "mon 9"])
def test_hours_that_make_no_sense_are_refused_with_a_sentence(weekdays: str) -> None:
    with pytest.raises(ValueError, match="business hours"):
        read_hours(Hours(weekdays=weekdays))


@pytest.mark.parametrize(
    "word", ["christmas", "2026-12-26..2026-12-24", "2026-02-30", "2020-01-01..2026-01-01", "13-01"]
)
def test_holidays_that_make_no_sense_are_refused_with_a_sentence(word: str) -> None:
    with pytest.raises(ValueError, match="holidays"):
        read_hours(Hours(holidays=(word,)))


def test_four_business_hours_pass_over_the_night_and_the_weekend() -> None:
    assert add_business(OFFICE, BERLIN, berlin("2026-11-27T16:00"), timedelta(hours=4)) == berlin("2026-11-30T11:30")
    assert add_business(OFFICE, BERLIN, berlin("2026-11-28T12:00"), timedelta(minutes=30)) == berlin("2026-11-30T09:30")
    assert add_business(OFFICE, BERLIN, berlin("2026-11-23T09:00"), timedelta(hours=8.5)) == berlin("2026-11-23T17:30")


def test_one_business_day_is_the_same_clock_time_on_the_next_open_day() -> None:
    assert add_business(OFFICE, BERLIN, berlin("2026-11-27T16:00"), timedelta(days=1)) == berlin("2026-11-30T16:00")
    assert add_business(OFFICE, BERLIN, berlin("2026-11-27T20:00"), timedelta(days=1)) == berlin("2026-12-01T09:00")
    assert add_business(OFFICE, BERLIN, berlin("2026-11-23T10:00"), timedelta(days=7)) == berlin("2026-12-02T10:00")
    half = Hours(weekdays="mon-fri 9-17, sat 9-12")
    assert add_business(half, BERLIN, berlin("2026-11-27T16:00"), timedelta(days=1)) == berlin("2026-11-30T09:00")
    assert add_business(OFFICE, BERLIN, berlin("2026-11-26T17:00"), timedelta(days=1, hours=1)) == berlin(
        "2026-11-30T09:30"
    )


def test_holidays_are_closed() -> None:
    hours = Hours(weekdays=OFFICE.weekdays, holidays=("2026-12-24..2026-12-26", "2026-11-30", "01-01", "file:/x.ics"))
    assert add_business(hours, BERLIN, berlin("2026-11-27T17:00"), timedelta(hours=1)) == berlin("2026-12-01T09:30")
    assert add_business(hours, BERLIN, berlin("2026-12-23T17:00"), timedelta(hours=1)) == berlin("2026-12-28T09:30")
    assert not is_open(hours, BERLIN, berlin("2027-01-01T10:00"))
    assert next_open(hours, BERLIN, berlin("2026-12-31T18:00")) == berlin("2027-01-04T09:00")


def test_without_hours_business_time_is_time() -> None:
    always = Hours(weekdays="")
    assert add_business(always, BERLIN, berlin("2026-11-28T12:00"), timedelta(days=1)) == berlin("2026-11-29T12:00")
    assert business_between(always, BERLIN, berlin("2026-11-28T12:00"), berlin("2026-11-29T13:00")) == timedelta(
        hours=25
    )


def test_a_day_with_a_change_of_clocks_is_as_long_as_it_is() -> None:
    night = Hours(weekdays="mon-sun 00:00-24:00", holidays=("2020-01-01",))
    start, end = berlin("2026-10-25T00:00"), berlin("2026-10-26T00:00")
    assert business_between(night, BERLIN, start, end) == timedelta(hours=25)
    assert add_business(night, BERLIN, start, timedelta(hours=23, minutes=59)) == end - timedelta(minutes=61)
    spring = berlin("2027-03-28T00:00"), berlin("2027-03-29T00:00")
    assert business_between(night, BERLIN, *spring) == timedelta(hours=23)


def test_a_desk_that_never_opens_again_does_not_wait_for_ever() -> None:
    never = Hours(weekdays="mon 9-17", holidays=tuple(_every_day_of_the_year()))
    start = berlin("2026-11-23T10:00")
    assert add_business(never, BERLIN, start, timedelta(days=3)) == start + timedelta(days=3)
    assert business_between(never, BERLIN, start, start + timedelta(days=3)) == timedelta(0)
    assert next_open(never, BERLIN, start) == start


def _every_day_of_the_year() -> list[str]:
    return [f"{datetime(2024, 1, 1) + timedelta(days=n):%m-%d}" for n in range(366)]


def test_the_time_between_two_moments_counts_open_hours_only() -> None:
    assert business_between(OFFICE, BERLIN, berlin("2026-11-27T16:00"), berlin("2026-11-30T10:00")) == timedelta(
        hours=2.5
    )
    assert business_between(OFFICE, BERLIN, berlin("2026-11-28T16:00"), berlin("2026-11-29T10:00")) == timedelta(0)
    assert business_between(OFFICE, BERLIN, berlin("2026-11-24T16:00"), berlin("2026-11-23T10:00")) == timedelta(0)


def test_a_moment_of_any_zone_may_be_given() -> None:
    local = datetime(2026, 10, 24, 10, 0, tzinfo=ZoneInfo(BERLIN))
    always = Hours(weekdays="")
    assert add_business(always, BERLIN, local, timedelta(hours=24)) == berlin("2026-10-25T09:00")
    assert business_between(always, BERLIN, local, local + timedelta(days=1)) == timedelta(hours=25)


MOMENTS = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2028, 1, 1), timezones=st.just(UTC))
HOURS = st.sampled_from(
    [
        OFFICE,
        Hours(weekdays="mon-sat 22:00-06:00"),
        Hours(weekdays="tue 9-12 13-17", holidays=("2026-12-01",)),
        Hours(weekdays=""),
    ]
)


@given(HOURS, MOMENTS, st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=23, minutes=59)))
@hypothesis_settings(deadline=None)
def test_business_time_added_is_business_time_between(hours: Hours, start: datetime, span: timedelta) -> None:
    end = add_business(hours, BERLIN, start, span)
    assert end >= start
    assert business_between(hours, BERLIN, start, end) == span


@given(HOURS, MOMENTS, st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=5)))
@hypothesis_settings(deadline=None)
def test_a_longer_span_is_never_over_earlier(hours: Hours, start: datetime, span: timedelta) -> None:
    assert add_business(hours, BERLIN, start, span) <= add_business(hours, BERLIN, start + timedelta(hours=1), span)


# ------------------------------------------------------------------ holidays from a file

HOLIDAYS = """BEGIN:VCALENDAR\r
BEGIN:VEVENT\r
SUMMARY:Company
  outing\r
DTSTART;VALUE=DATE:20270611\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20261224\r
DTEND;VALUE=DATE:20261227\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20200101\r
DTEND;VALUE=DATE:20200102\r
RRULE:FREQ=YEARLY\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART:20270101T100000Z\r
SUMMARY:a meeting is no holiday\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20270301\r
STATUS:CANCELLED\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20271399\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_the_whole_day_events_of_a_calendar_file_are_holidays() -> None:
    words = read_holiday_file(HOLIDAYS)
    assert words == ("2027-06-11", "2026-12-24..2026-12-26", "01-01")
    assert not is_open(Hours(weekdays="", holidays=words), BERLIN, berlin("2030-01-01T12:00"))


@given(st.text(alphabet="BEGIN:VEVENT\nDTSTART=20261224", max_size=80))
def test_a_broken_calendar_file_gives_words_that_can_be_read(ics: str) -> None:
    read_hours(Hours(holidays=read_holiday_file(ics)))


# ------------------------------------------------------------------ quiet hours


@pytest.mark.parametrize(
    ("quiet", "at", "expected"),
    [
        ("18:00-08:00", "2026-11-23T17:59", "2026-11-23T17:59"),
        ("18:00-08:00", "2026-11-23T18:00", "2026-11-24T08:00"),
        ("18:00-08:00", "2026-11-24T07:59", "2026-11-24T08:00"),
        ("18:00-08:00", "2026-11-24T08:00", "2026-11-24T08:00"),
        ("12-14", "2026-11-24T13:00", "2026-11-24T14:00"),
        ("22-24", "2026-11-24T23:00", "2026-11-25T00:00"),
        ("18-8", "2026-10-25T02:30", "2026-10-25T08:00"),
        ("off", "2026-11-24T03:00", "2026-11-24T03:00"),
        ("nonsense", "2026-11-24T03:00", "2026-11-24T03:00"),
    ],
)
def test_mail_waits_for_the_end_of_quiet_hours(quiet: str, at: str, expected: str) -> None:
    assert next_allowed(quiet, BERLIN, berlin(at)) == berlin(expected)


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("span", "plain", "business"),
    [
        (timedelta(0), "0 s", "0 business seconds"),
        (timedelta(seconds=59), "59 s", "59 business seconds"),
        (timedelta(minutes=1), "1 min", "1 business minute"),
        (timedelta(minutes=150), "2 h 30 min", "2 business hours 30 minutes"),
        (timedelta(hours=4), "4 h", "4 business hours"),
        (timedelta(hours=1), "1 h", "1 business hour"),
        (timedelta(days=1), "1 d", "1 business day"),
        (timedelta(days=1, hours=2, minutes=3), "1 d 2 h", "1 business day 2 hours"),
        (timedelta(days=7), "7 d", "7 business days"),
        (-timedelta(hours=2), "2 h", "2 business hours"),
    ],
)
def test_a_span_is_said_in_at_most_two_units(span: timedelta, plain: str, business: str) -> None:
    assert say_span(span) == plain
    assert say_span(span, business=True) == business
