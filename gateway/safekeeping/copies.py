"""Backup folders: what is in them, made so that a half one is never taken for one, and put back only when whole.

    DIR/manifest.json     written last: when, how far the store had come, size and SHA-256 of every file
    DIR/store/            the database
    DIR/configuration/    ticketgate.toml, agents.toml, templates/
    DIR/secrets/          every file the configuration names: token key, seal key, passwords

The folder has another name until every byte of it is on the disk. Whoever has it can read all mail and write tokens.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway import __version__
from gateway.safekeeping.outside import (
    note_sent,
    read_gateways,
    read_mark,
    seal_key_place,
    state_folder,
    sync_folder,
    write_file,
    write_mark,
)
from gateway.settings import Settings
from gateway.store.copying import (
    CopyError,
    alone,
    copy_out,
    find_sent,
    is_empty,
    put_back_file,
    put_back_tables,
)
from gateway.store.database import Database
from gateway.store.recovery import Standing, introduce, make_safe, read_standing
from gateway.store.revisions import demand, is_known
from gateway.store.schema import REVISION

MANIFEST = "manifest.json"


class CopiedFile(msgspec.Struct, kw_only=True):
    """A file of the backup; ``origin`` is where it was, "" for the store."""

    name: str
    size: int
    sha256: str
    origin: str = ""
    mode: int = 0o600


class Manifest(msgspec.Struct, kw_only=True):
    """What a backup is, and what is not in it."""

    format: int = 1
    version: str
    revision: str
    storage: str  # sqlite or postgresql
    made_at: datetime  # nothing that was committed before is missing
    standing: Standing
    files: list[CopiedFile]
    not_included: list[str]


class PutBack(msgspec.Struct, kw_only=True):
    """What a restore did."""

    manifest: Manifest
    lost: Standing | None  # how far the store is known to have come since, from the start mark
    kept: str  # where the database that was there is now; "" it is gone
    put: list[str]  # files that were missing and are there again
    differ: list[str]  # files that are there and are not those of the backup
    sent: int  # mails known to have been sent since


# ------------------------------------------------------------------ making one


def back_up(settings: Settings, configuration: Path | None, target: Path, now: datetime) -> Manifest:
    """Make a backup folder beside a running daemon; also of a store that waits for its migration.

    Raises CopyError, SchemaError, TemporaryError, OSError; then there is none.
    """
    if target.name in ("", "..") or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise CopyError(f"{target} exists already: each backup has a folder of its own")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove_leftovers(target)
    part.mkdir(mode=0o700)
    try:
        manifest = _fill(part, settings, configuration, now)
        for folder, _, names in os.walk(part):
            for name in names:
                _sync_file(Path(folder) / name)
            sync_folder(Path(folder))
        write_file(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        part.rename(target)
        sync_folder(target.absolute().parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return manifest


def _remove_leftovers(target: Path) -> None:
    """What a backup under this name left when it was killed: all mail and the keys are in it."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _fill(part: Path, settings: Settings, configuration: Path | None, now: datetime) -> Manifest:
    seen: list[Standing] = []

    def look(tx: Connection) -> None:
        seen.append(read_standing(tx))

    (part / "store").mkdir()
    database = Database(settings.storage.url)
    try:
        revision = database.find_revision()
        if not revision or not is_known(revision):
            demand(revision)
        copy_out(database, part / "store", look)
    finally:
        database.close()
    files = [_entry(path, part) for path in sorted((part / "store").iterdir())]
    missing: list[str] = []
    named = _named_files(settings, configuration, missing) if configuration is not None else ()
    for kind, source, name in named:
        place = part / kind / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, place)
        except OSError as error:
            missing.append(f"{source} ({error.strerror})")
            continue
        mode = source.stat().st_mode & 0o777
        place.chmod(mode & 0o700 if kind == "secrets" else mode)
        files.append(_entry(place, part, str(source.absolute()), mode))
    return Manifest(
        version=__version__,
        revision=revision,
        storage="sqlite" if database.is_sqlite else "postgresql",
        made_at=now,
        standing=seen[0],
        files=files,
        not_included=missing,
    )


def _named_files(settings: Settings, configuration: Path, missing: list[str]) -> Iterator[tuple[str, Path, str]]:
    """Kind, place and name in the backup of every file that belongs to the installation."""
    folder = configuration.absolute().parent
    yield "configuration", configuration, "ticketgate.toml"
    if (folder / "agents.toml").exists():
        yield "configuration", folder / "agents.toml", "agents.toml"
    for path in sorted((folder / "templates").rglob("*")):
        if path.is_file():
            yield "configuration", path, f"templates/{path.relative_to(folder / 'templates')}"
    words = [str(settings.security.token_key), str(seal_key_place(settings))]
    words += _strings(tomllib.loads(configuration.read_text(encoding="utf-8")))
    words += [f"file:{path}" for path in sorted((state_folder(settings) / "oauth").glob("*")) if path.is_file()]
    taken: dict[str, int] = {}
    for word in dict.fromkeys(words):
        kind, _, place = word.partition(":")
        if kind in ("credential", "env") and place:
            missing.append(f"{word} (kept by the service manager)")
        elif kind == "file" and place:
            name = Path(place).name
            taken[name] = taken.get(name, 0) + 1
            yield "secrets", Path(place), name if taken[name] == 1 else f"{taken[name]}-{name}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _entry(path: Path, part: Path, origin: str = "", mode: int = 0o600) -> CopiedFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CopiedFile(
        name=str(path.relative_to(part)), size=path.stat().st_size, sha256=digest, origin=origin, mode=mode
    )


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


# ------------------------------------------------------------------ looking at one


def read_backup(folder: Path) -> Manifest:
    """The manifest of a backup whose every file is as it was written. Raises CopyError for anything else."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise CopyError(f"{folder} is no backup: it has no {MANIFEST}, or its making was interrupted") from None
    except msgspec.MsgspecError as error:
        raise CopyError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if manifest.format != 1:
        raise CopyError(f"{folder} was made by ticketgate {manifest.version}, in a form this version does not know")
    for entry in manifest.files:
        path = folder / entry.name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise CopyError(f"{path} is missing")
        if _entry(path, folder).sha256 != entry.sha256:
            raise CopyError(f"{path} is damaged: it is not the file that was backed up")
    return manifest


# ------------------------------------------------------------------ putting one back


def put_back_configuration(folder: Path, manifest: Manifest, configuration: Path) -> tuple[list[str], list[str]]:
    """Put back what is missing of configuration and secrets; what is there stays. Names put, and that differ."""
    put, differ = [], []
    for entry in manifest.files:
        if not entry.origin:
            continue
        origin = Path(entry.origin)
        if entry.name.startswith("configuration/"):
            origin = configuration.absolute().parent / entry.name.removeprefix("configuration/")
            if entry.name == "configuration/ticketgate.toml":
                origin = configuration
        if not origin.exists():
            origin.parent.mkdir(parents=True, exist_ok=True)
            write_file(origin, (folder / entry.name).read_bytes(), entry.mode)
            put.append(str(origin))
        elif hashlib.sha256(origin.read_bytes()).hexdigest() != entry.sha256:
            differ.append(str(origin))
    return put, differ


def restore(settings: Settings, folder: Path, manifest: Manifest, now: datetime, *, force: bool) -> PutBack:
    """Make the store of a whole backup the store. Raises CopyError and changes nothing when that would be wrong."""
    database = Database(settings.storage.url)
    storage = "sqlite" if database.is_sqlite else "postgresql"
    try:
        if manifest.storage != storage:
            raise CopyError(f"this backup is of a {manifest.storage} store, and the configuration names {storage}")
        if not is_known(manifest.revision):
            raise CopyError(
                f"this backup has schema {manifest.revision}, and this version knows {REVISION} at most: install "
                f"ticketgate {manifest.version} or newer"
            )
        with alone(database):
            if not is_empty(database) and not force:
                raise CopyError("the store is not empty: --force replaces it")
            return _restore(database, settings, folder, manifest, now)
    finally:
        database.close()


def _restore(database: Database, settings: Settings, folder: Path, manifest: Manifest, now: datetime) -> PutBack:
    outside = state_folder(settings)
    mark = read_mark(outside)
    ours = mark is not None and mark.standing.store == manifest.standing.store
    sent = find_sent(database, manifest.made_at)
    standing: list[Standing] = []

    def prepare(tx: Connection) -> None:
        make_safe(tx, manifest.made_at, mark.standing if mark else None)
        if not database.is_sqlite:
            introduce(tx, read_gateways(outside))
        standing.append(read_standing(tx))

    aside = f"before-restore-{now:%Y%m%dT%H%M%S}"
    if database.is_sqlite:
        kept = str(put_back_file(database, folder / "store", f".{aside}", prepare) or "")
    else:
        kept = put_back_tables(database, folder / "store", manifest.revision, aside, prepare)
        kept = kept and f"the schema {kept} of the database"
    note_sent(outside, sent, now)
    write_mark(outside, standing[0], now)
    return PutBack(
        manifest=manifest,
        lost=mark.standing if mark and ours else None,
        kept=kept,
        put=[],
        differ=[],
        sent=len(sent),
    )
