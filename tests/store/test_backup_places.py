"""Backups in unkind places: refused by name, and nothing of a killed one stays behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.safekeeping.copies import back_up
from gateway.settings import Storage
from gateway.store.copying import DATABASE, CopyError, copy_out, put_back_file
from gateway.store.database import Database
from tests.support.spine import NOW, SETTINGS


def test_the_folder_one_stands_in_is_refused_as_one_that_exists(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, storage=Storage(url=f"sqlite:{sqlite_database.sqlite_file}"))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for name in (".", ".."):
        with pytest.raises(CopyError, match="exists already"):
            back_up(settings, None, Path(name), NOW)


def test_the_next_backup_removes_what_a_killed_one_left_and_not_what_one_is_writing(
    sqlite_database: Database, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, storage=Storage(url=f"sqlite:{sqlite_database.sqlite_file}"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = tmp_path / f".b.{ended.pid}.part", tmp_path / f".b.{os.getppid()}.part"
    for folder in (dead, alive):
        (folder / "secrets").mkdir(parents=True)
    back_up(settings, None, tmp_path / "b", NOW)
    assert not dead.exists() and alive.exists()


def test_a_restore_without_room_names_the_place_and_leaves_nothing(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy").mkdir()
    copy_out(sqlite_database, tmp_path / "copy", lambda tx: None)
    (tmp_path / "new").mkdir()
    full = OSError(28, "No space left on device")

    def write(*arguments: object) -> None:
        raise full

    monkeypatch.setattr(shutil, "copyfileobj", write)
    target = Database(f"sqlite:{tmp_path}/new/{DATABASE}")
    with pytest.raises(CopyError, match=r"new/ticketgate.db.restoring cannot be written: No space left"):
        put_back_file(target, tmp_path / "copy", ".aside", lambda tx: None)
    assert list((tmp_path / "new").iterdir()) == []
