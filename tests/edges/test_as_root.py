"""Operators type commands as root, the daemon runs as a user of its own: nothing of root's may stop it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.cli import main

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")

SOMEBODY = 64_321


@pytest.fixture
def site(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    words = [
        "--address",
        "support@desk.test",
        "--name",
        "Desk",
        "--agents",
        "alice@desk.test",
        "--admin",
        "root@desk.test",
    ]
    assert main(["init", "-c", str(tmp_path / "ticketgate.toml"), "--state", str(state), *words]) == 0
    for path in (state, state / "token.key"):
        os.chown(path, SOMEBODY, SOMEBODY)
    return tmp_path


def owners(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_uid for path in folder.rglob("*")}


def test_what_a_command_of_root_makes_belongs_to_the_service(site: Path) -> None:
    assert main(["db", "migrate", "-c", str(site / "ticketgate.toml")]) == 0
    assert main(["tickets", "-c", str(site / "ticketgate.toml")]) == 0
    found = owners(site / "state")
    assert "ticketgate.db" in found
    assert set(found.values()) == {SOMEBODY}


def test_also_when_the_command_ends_with_an_error(site: Path) -> None:
    assert main(["tickets", "-c", str(site / "ticketgate.toml")]) != 0
    assert owners(site / "state")["ticketgate.db"] == SOMEBODY


def test_a_file_with_another_name_elsewhere_is_not_given_away(site: Path) -> None:
    secret = site / "shadow"
    secret.write_text("root's own")
    os.link(secret, site / "state" / "hard")
    (site / "state" / "soft").symlink_to(secret)
    assert main(["db", "migrate", "-c", str(site / "ticketgate.toml")]) == 0
    assert secret.stat().st_uid == 0
    assert stat.S_ISLNK((site / "state" / "soft").lstat().st_mode)


def test_a_state_folder_of_roots_own_stays_as_it_is(site: Path) -> None:
    os.chown(site / "state", 0, 0)
    assert main(["db", "migrate", "-c", str(site / "ticketgate.toml")]) == 0
    assert owners(site / "state")["token.key"] == SOMEBODY
    assert owners(site / "state")["ticketgate.db"] == 0
