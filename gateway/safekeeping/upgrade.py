"""A store that an earlier version made becomes one of this version: alone, after a backup, forward only (ops.md 8).

The daemon does it at its start, and `ticketgate db migrate` at the shell. Who stops it at any moment finds a store that
is migrated or is not. Nobody works on it meanwhile: on SQLite by the lock on the file, on PostgreSQL by a lock that
every gateway shares while it lives; a gateway of the old version that runs on another host is waited for.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway import maillog
from gateway.errors import TemporaryError
from gateway.safekeeping.copies import back_up, read_backup
from gateway.safekeeping.outside import state_folder
from gateway.settings import Settings
from gateway.store.copying import CopyError, alone
from gateway.store.database import Database
from gateway.store.recovery import read_standing
from gateway.store.revisions import SchemaError, demand, is_known
from gateway.store.schema import REVISION

FOLDER = "backups"
"""Below the state folder: what is made by itself before a migration. Nothing removes them but a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What was done."""

    before: str  # "": there were no tables
    backup: Path | None


def upgrade(
    settings: Settings,
    configuration: Path | None,
    database: Database,
    now: datetime,
    *,
    backup: bool = True,
    locked: bool = False,
) -> Upgraded | None:
    """Bring the tables to this version's; None when they are. ``locked``: the lock on a SQLite file is ours already.

    Raises SchemaError when a person has to do something first, TemporaryError when somebody else works on the store.
    """
    found = database.find_revision()
    if found == REVISION:
        return None
    if not found:
        database.migrate()
        return Upgraded(before="", backup=None)
    if not is_known(found):
        demand(found)
    try:
        with nullcontext() if locked else alone(database):
            found = database.find_revision()  # another may have done it just now
            if found == REVISION:
                return None
            folder = _back_up(settings, configuration, database, now) if backup else None
            maillog.noted("the tables are migrated", before=found, after=REVISION, backup=folder or "none")
            database.migrate()
            return Upgraded(before=found, backup=folder)
    except CopyError as error:
        raise TemporaryError(f"database schema is {found}, this version needs {REVISION}: {error.cause}") from error
    finally:
        database.let_go()  # or whoever waits for us to be gone waits for idle connections


def _back_up(settings: Settings, configuration: Path | None, database: Database, now: datetime) -> Path:
    """A backup of the store as it is; that of an attempt before, when nothing has happened since."""
    folder = state_folder(settings) / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for torn in folder.glob(".before-*.part"):  # its maker was killed: we are alone here
            shutil.rmtree(torn, ignore_errors=True)
        with database.begin() as tx:
            standing = read_standing(tx)
        for earlier in sorted(folder.glob(f"before-{REVISION}-*"), reverse=True):
            try:
                if read_backup(earlier).standing == standing:
                    return earlier
            except CopyError:
                continue
        target = folder / f"before-{REVISION}-{now:%Y%m%dT%H%M%SZ}"
        back_up(settings, configuration, target, now)
    except (CopyError, OSError, TemporaryError) as error:
        if isinstance(error, TemporaryError) and error.name != "no-space":
            raise
        cause = getattr(error, "cause", "") or str(error)
        raise SchemaError(
            f"no backup can be made in {folder} before the migration: {cause}. Make room there, or have one elsewhere "
            "(`ticketgate backup DIR`) and run `ticketgate db migrate --no-backup`"
        ) from error
    return target
