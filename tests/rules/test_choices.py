"""What agents set by mail, laid over agents.toml."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.desk.case import Case
from gateway.desk.choices import delayed_until, find_absences, with_choices, write_absence
from gateway.model import (
    Absence,
    AuthenticationResults,
    Clues,
    DkimResult,
    Envelope,
    Facts,
    Findings,
    InboundMail,
    Mailbox,
    Match,
    Proof,
)
from gateway.settings import Agent, General, Inbox, Settings

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
SETTINGS = Settings(
    ticketgate=General(timezone="Europe/Berlin"),
    inbox={"support": Inbox(name="Desk", address="support@desk.test", handle="support")},
    agents={
        "alice": Agent(handle="alice", name="Alice", address="alice@corp.test", also=("a@corp.test",), quiet="22-6"),
        "bob": Agent(handle="bob", name="Bob", address="bob@corp.test", enabled=False),
    },
)


def test_a_further_address_adds_to_those_of_the_file() -> None:
    agents = with_choices(SETTINGS, {"alice": {"also": "alice@phone.test"}}).agents
    assert agents["alice"].also == ("a@corp.test", "alice@phone.test")


def test_a_choice_of_somebody_who_is_no_agent_any_more_changes_nothing() -> None:
    assert with_choices(SETTINGS, {"zoe": {"also": "zoe@phone.test"}}) is SETTINGS


def test_quiet_hours_of_the_file_can_be_switched_off_by_mail() -> None:
    assert with_choices(SETTINGS, {"alice": {"quiet": ""}}).agents["alice"].quiet == ""
    assert with_choices(SETTINGS, {"alice": {"timezone": "UTC"}}).agents["alice"].quiet == "22-6"


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ("18-8", "2026-11-23T19:00+01:00", "2026-11-24T08:00+01:00"),
        ("18-8", "2026-11-23T02:00+01:00", "2026-11-23T08:00+01:00"),
        ("18-8", "2026-11-23T08:00+01:00", ""),
        ("18-8", "2026-11-23T18:00+01:00", "2026-11-24T08:00+01:00"),
        ("12:00-13:30", "2026-11-23T12:15+01:00", "2026-11-23T13:30+01:00"),
        ("12:00-13:30", "2026-11-23T14:00+01:00", ""),
        ("22-6", "2026-10-25T00:30+02:00", "2026-10-25T06:00+01:00"),  # summer time ends that night
        ("", "2026-11-23T02:00+01:00", ""),
    ],
)
def test_quiet_hours_end_in_the_agents_own_zone(quiet: str, now: str, until: str) -> None:
    agent = replace(SETTINGS.agents["alice"], quiet=quiet)
    found = delayed_until("offer", agent, SETTINGS, datetime.fromisoformat(now))
    assert found == (datetime.fromisoformat(until) if until else None)


@pytest.mark.parametrize("kind", ["escalation", "command", "held", "help", "list"])
def test_escalations_and_answers_to_commands_are_never_delayed(kind: str) -> None:
    night = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
    assert delayed_until(kind, SETTINGS.agents["alice"], SETTINGS, night) is None


@pytest.mark.parametrize(
    ("absence", "found"),
    [
        (Absence(), Absence()),
        (Absence(datetime(2026, 11, 24, tzinfo=UTC)), Absence(datetime(2026, 11, 24, tzinfo=UTC))),
        (Absence(datetime(2026, 11, 23, 9, tzinfo=UTC)), None),
        (Absence(None, "alice"), Absence(None, "alice")),
        (Absence(None, "bob"), Absence()),  # disabled since
    ],
)
def test_an_absence_survives_being_stored_and_ends_at_its_time(absence: Absence, found: Absence | None) -> None:
    stored = find_absences({"alice": {"away": write_absence(absence)}}, SETTINGS, NOW)
    assert stored.get("alice") == found


@pytest.mark.parametrize(("bits", "proven"), [(1024, False), (2048, True), (0, True)])
def test_an_agents_further_address_needs_a_key_as_long_as_the_registered_one(bits: int, proven: bool) -> None:
    settings = with_choices(SETTINGS, {"alice": {"also": "alice@phone.test"}})
    signature = DkimResult(domain="phone.test", result="pass", aligned=True, key_bits=bits)
    author = Mailbox("", "alice@phone.test")
    results = AuthenticationResults(author=author, proof=Proof.DKIM, dkim=(signature,))
    envelope = Envelope(reverse_path="", recipient="", inbox="support", source="lmtp", received_at=NOW)
    case = Case(
        mail=InboundMail(id=1, envelope=envelope, sha256="", raw=b""),
        findings=Findings(authentication=results),
        clues=Clues(),
        facts=Facts(author_agent="alice"),
        match=Match(),
        settings=settings,
        now=NOW,
    )
    assert case.agent_proven is proven
