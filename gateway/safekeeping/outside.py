"""What is kept outside the database, in the state folder: the seal key, the start mark, and what was sent.

A database that was put back, by an operator or by a failover, cannot know it by itself. Files are written whole: a new
one, fsync, rename, fsync of the folder. A file that is missing or torn is no start mark, never an error.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway import maillog
from gateway.configure import read_secret
from gateway.seal import SealKey, read_seal_key
from gateway.settings import Secret, Settings
from gateway.store.recovery import Head, Standing

MARK = "start.mark"
SENT = "sent.log"
GATEWAYS = "gateways.seen"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_noting = threading.Lock()
_LONGEST_LOG = 8 * 1024 * 1024  # octets; then a second one begins, and the one before goes


class Mark(msgspec.Struct, kw_only=True):
    """How far the store had come, and when that was noted."""

    at: datetime
    standing: Standing
    cut: Head | None = None
    """The head of a chain of seals that the store had and has no more, until an operator accepts it."""


def state_folder(settings: Settings) -> Path:
    """Where the token key is, else where the database is."""
    kind, _, place = str(settings.security.token_key).partition(":")
    if kind == "file":
        return Path(place).parent
    return Path("/" + settings.storage.url.removeprefix("sqlite:").lstrip("/")).parent


def write_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file by one that is on the disk before the old one is gone."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------ the seal key


def seal_key_place(settings: Settings) -> Secret:
    """Where the key that seals the record is: as set, else seal.key beside the token key."""
    return settings.security.seal_key or Secret(f"file:{state_folder(settings) / 'seal.key'}")


def load_seal_key(settings: Settings) -> SealKey | None:
    """The installation's signing key; None when there is none. Raises OSError, ValueError for one that is no key."""
    try:
        return read_seal_key(read_secret(seal_key_place(settings)))
    except FileNotFoundError:
        return None


def make_seal_key(settings: Settings) -> SealKey | None:
    """A new key in its file; None where it is no file that we could write: a credential, the environment."""
    kind, _, place = str(seal_key_place(settings)).partition(":")
    if kind != "file":
        return None
    seed = secrets.token_bytes(32)
    comment = "# signs the record of everything received, decided and sent; belongs into every backup"
    write_file(Path(place), f"{comment}\ned25519 {seed.hex()}\n".encode())
    return SealKey(seed)


# ------------------------------------------------------------------ the start mark


def read_mark(folder: Path) -> Mark | None:
    """What was noted last; None when nothing was."""
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=Mark)
    except (OSError, msgspec.MsgspecError):
        return None


def write_mark(folder: Path, standing: Standing, now: datetime, cut: Head | None = None) -> None:
    """Note how far the store has come; ``cut``: the head of a chain that it has no more (:class:`Mark`)."""
    write_file(folder / MARK, msgspec.json.encode(Mark(at=now, standing=standing, cut=cut)) + b"\n")


# ------------------------------------------------------------------ what was sent


def note_sent(folder: Path, keys: Iterable[str], now: datetime, exactly: str = "") -> None:
    """Append keys of mails that left. Not synced: it is for a lost database, not for a lost machine.

    ``exactly``: the row too (:func:`gateway.store.recovery.exact_key`), where this gateway sent it itself.
    """
    lines = "".join(f"{now.astimezone(UTC):{_TIME}} {key} {exactly}".rstrip() + "\n" for key in keys)
    if not lines:
        return
    path = folder / SENT
    with _noting:  # several threads note: two of them must not both begin a second file
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > _LONGEST_LOG:
                path.rename(folder / f"{SENT}.1")
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "rb+", buffering=0) as file:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"  # by a full disk, or a power cut
            file.write((b"\n" if torn else b"") + lines.encode("ascii"))


def read_sent(folder: Path) -> frozenset[str]:
    """The keys of all mails that are known to have left; another host's file may lie beside as sent.log.NAME."""
    return frozenset(words[1] for path in folder.glob(f"{SENT}*") for words in _read_lines(path))


def read_certain(folder: Path) -> frozenset[str]:
    """The rows of the outbox of which this gateway was told by the relay that it has the mail."""
    files = (folder / f"{SENT}.1", folder / SENT)
    return frozenset(words[2] for path in files for words in _read_lines(path) if len(words) > 2)


def _read_lines(path: Path) -> Iterator[list[str]]:
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:  # one that was copied here for us, and is somebody else's
        maillog.alerted(f"{path} cannot be read: what it says may be sent again", error.strerror or "")
        return
    # A line that a crash tore names nothing.
    yield from (words for line in lines if len(words := line.split()) > 1)


# ------------------------------------------------------------------ who works on the database


def gateway_name(settings: Settings) -> str:
    """Whose sent.log it is: the host, and the folder in which it lies."""
    return f"{socket.gethostname()}:{state_folder(settings)}"


def read_gateways(folder: Path) -> frozenset[str]:
    """The gateways that were seen on this database: a backup does not know those that came later."""
    try:
        return frozenset((folder / GATEWAYS).read_text("utf-8").splitlines())
    except FileNotFoundError:
        return frozenset()


def write_gateways(folder: Path, names: Collection[str]) -> None:
    write_file(folder / GATEWAYS, "".join(f"{name}\n" for name in sorted(names)).encode())
