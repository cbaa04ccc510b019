"""The operator's commands when something is wrong: the exit code scripts know, and a sentence that says what to do."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.store.database import Database
from gateway.store.suppression import note_refusal
from tests.support.spine import Road, make_mail

SITE = """
[inbox.support]
address = "support@desk.test"
name    = "Desk"
agents  = ["alice"]

[receive.lmtp]
listen = ["unix:{folder}/lmtp.sock"]

[security]
token_key = "file:{folder}/token.key"

[storage]
url = "sqlite:{folder}/desk.db"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "agents.toml").write_text('[alice]\nname = "Alice"\naddress = "alice@desk.test"\n')
    key = tmp_path / "token.key"
    key.write_text("k " + "0f" * 32 + "\n")
    key.chmod(0o600)
    path = tmp_path / "ticketgate.toml"
    path.write_text("schema = 1\n" + SITE.format(folder=tmp_path))
    return path


@pytest.mark.parametrize("words", [["show"], ["nonsense"], ["show", "abc"], ["held", "release"]])
def test_a_wrong_command_line_ends_with_64(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 64


def test_a_file_that_is_no_database_is_said_in_one_line(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site.parent / "desk.db").write_text("certainly no database " * 100)
    assert main(["tickets", "-c", str(site)]) == 75
    said = capsys.readouterr().err
    assert "not a database" in said and "Traceback" not in said


def test_a_missing_token_key_is_named_with_what_to_do(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site.parent / "token.key").unlink()
    assert main(["check-config", "-c", str(site)]) == 78
    said = capsys.readouterr().err
    assert "token.key does not exist; restore it" in said and "Errno" not in said


def test_what_init_writes_can_be_served_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, state = tmp_path / "ticketgate.toml", tmp_path / "state"
    answers = ["--address", "support@desk.test", "--name", 'The "\\ Desk', "--agents", "a@desk.test", "--admin", ""]
    assert main(["init", "-c", str(path), "--state", str(state), *answers]) == 0
    by_systemd = Path("/run/systemd/system").is_dir()
    place = "systemd" if by_systemd else f"unix:{state}/lmtp.sock"
    assert f'listen = ["{place}"]' in path.read_text()
    assert by_systemd or f"ticketgate:{place}" in capsys.readouterr().out
    assert main(["check-config", "-c", str(path), "--quiet"]) == 0


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e"
"""Sets the title of a terminal, clears it (in both forms of the sequence), and writes backwards."""


@pytest.mark.parametrize(
    "words", [["tickets"], ["tickets", "--json"], ["show", "1"], ["show", "1", "--json"], ["explain", "1"], ["examine"]]
)
def test_a_mail_cannot_give_orders_to_the_operators_terminal(
    site: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    subject = f"=?utf-8?b?{base64.b64encode(('Help ' + HOSTILE).encode()).decode()}?="
    raw = make_mail("jane@customer.test", f"Help {HOSTILE}", subject=subject, message_id="<\x1b[2J@customer.test>")
    mail = site.parent / "mail.eml"
    mail.write_bytes(raw)
    database = Database(f"sqlite:{site.parent / 'desk.db'}")
    database.migrate()
    Road(database).arrive(raw)
    database.close()
    zone = site.parent / "zone.json"
    zone.write_text("{}")
    assert main([*words, *(["--zone", str(zone), str(mail)] if words == ["examine"] else ["-c", str(site)])]) == 0
    said = capsys.readouterr().out
    assert "Help" in said or words == ["explain", "1"]
    assert {c for c in said if not c.isprintable()} <= ({"\n", "\u202e"} if "--json" in words else {"\n"})


def test_the_story_of_a_mail_with_dozens_of_defects_fits_on_a_screen(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = "".join(f"--b\nContent-Type: text/plain; charset=none-{n}\n\nHelp {n}\n" for n in range(40))
    raw = make_mail("jane@customer.test", f"{parts}--b--\n", message_id="<1@customer.test>")
    raw = raw.replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=b", 1)
    database = Database(f"sqlite:{site.parent / 'desk.db'}")
    database.migrate()
    Road(database).arrive(raw)
    database.close()
    mail = site.parent / "mail.eml"
    mail.write_bytes(raw)
    for asked in ("1", str(mail)):
        assert main(["explain", asked, "-c", str(site)]) == 0
        said = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("defect") for line in said) == 5
        assert any(line.split()[:1] == ["and"] and line.endswith("more defects") for line in said)
        assert len(said) <= 24


def test_the_story_says_with_what_of_its_ticket_a_text_was_compared(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(f"sqlite:{site.parent / 'desk.db'}")
    database.migrate()
    road = Road(database)
    first = "The lamp on the north pier is dark again, and nobody can read the box."
    road.arrive(make_mail("jane@customer.test", first, message_id="<first@customer.test>"))
    again = make_mail("jane@customer.test", f"Any news?\n\n{first}", answers="<first@customer.test>")
    number = road.arrive(again).events[0].number
    database.close()
    assert main(["explain", f"1.{number}", "-c", str(site)]) == 0
    assert "new text found by known, beside what 1.1 said" in capsys.readouterr().out
    fresh = site.parent / "fresh.eml"
    fresh.write_bytes(again.replace(b"Any news?", b"Still nothing?").replace(b"Message-ID: <", b"Message-ID: <x"))
    assert main(["explain", str(fresh), "-c", str(site)]) == 0
    said = capsys.readouterr().out
    assert "known: 1 lines new, 1 quoted, beside what 1.1, 1.4 said" in said, said.splitlines()[2]


def test_the_queue_names_addresses_that_take_no_mail_and_lifts_that(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Database(f"sqlite:{site.parent}/desk.db")
    store.migrate()
    with store.begin() as tx:
        note_refusal(tx, "jane@customer.test", "550 5.1.1 no such user", datetime(2026, 11, 23, tzinfo=UTC))
    store.close()
    assert main(["queue", "-c", str(site)]) == 0
    said = capsys.readouterr().out
    assert "not sent to these any more" in said and "jane@customer.test" in said and "5.1.1" in said
    assert main(["person", "show", "jane@customer.test", "-c", str(site)]) == 0
    assert "550 5.1.1 no such user" in capsys.readouterr().out
    assert main(["queue", "lift", "Jane@Customer.test", "-c", str(site)]) == 0
    assert main(["queue", "lift", "jane@customer.test", "-c", str(site)]) == 67
    capsys.readouterr()
    assert main(["queue", "dead", "-c", str(site)]) == 0
    assert "jane" not in capsys.readouterr().out
