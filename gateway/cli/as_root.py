"""What root leaves behind belongs to the service: a database, key or lock of root's would stop the daemon.

Operators type commands as root, the daemon runs as a user of its own (systemd/ticketgate.sysusers).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
from pathlib import Path

from gateway.safekeeping.outside import state_folder
from gateway.settings import Settings

SERVICE = "ticketgate"
"""User and group the service runs as."""

_used: list[Path] = []


def remember(settings: Settings) -> None:
    """A command works on this installation: what it makes there is to be given back at its end."""
    if os.geteuid() == 0:
        _used.append(state_folder(settings))
        if settings.storage.url.startswith("sqlite:"):
            _used.append(Path("/" + settings.storage.url.removeprefix("sqlite:").lstrip("/")).parent)


def give_back() -> None:
    """Give root's files in the state folder to whom the folder belongs. Never raises: the command is done."""
    while _used:
        with contextlib.suppress(OSError):
            _give_back(_used.pop())


def _give_back(folder: Path) -> None:
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    for _, folders, files, place in os.fwalk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                # The folder's owner may put links there: only what nobody else has a name for is given away.
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
                try:
                    found = os.fstat(file)
                    ours = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
                    if found.st_uid == 0 and ours:
                        os.fchown(file, owner.st_uid, owner.st_gid)
                finally:
                    os.close(file)


def hand_over(path: Path, state: Path) -> None:
    """What `init` wrote as root: the state and the key are the service's own, of the configuration it is a reader."""
    if os.geteuid() != 0 or not _has_user(SERVICE):
        return
    for file in (path, path.with_name("agents.toml")):
        shutil.chown(file, "root", SERVICE)
    for file in (state, state / "token.key"):
        shutil.chown(file, SERVICE, SERVICE)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
