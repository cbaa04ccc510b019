"""What systemd is told: that we are ready, what we are about, and that every task comes round (security.md 15.3)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable

from gateway import maillog

STALE_SECONDS = 50.0
"""How long a worker may stay away before systemd is no longer told that all is well."""
STALE_MAILBOX_SECONDS = 180.0
"""The same for the task of a mailbox, beyond what it meant to wait: longer than any one command may take."""


def notify(*lines: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens outside systemd."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    address = "\0" + place[1:] if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, contextlib.suppress(OSError):
        channel.settimeout(1.0)  # a manager that does not read must not stop the mail
        channel.sendto("\n".join(lines).encode(), address)


class Watchdog:
    """Fed while every task comes round: a hang restarts us, an outage elsewhere does not."""

    def __init__(self) -> None:
        self._tasks: dict[str, Callable[[float], float]] = {}
        self._frozen: list[str] = []

    def watch(self, name: str, overdue: Callable[[float], float]) -> None:
        """One more task. ``overdue``: at this monotonic time, seconds since it should have come round."""
        self._tasks[name] = overdue

    def forget(self, name: str) -> None:
        """A task that has ended in order."""
        self._tasks.pop(name, None)

    def feed(self) -> None:
        """Tell systemd that all is well, if it is; to be called every ten seconds."""
        now = time.monotonic()
        frozen = [name for name, overdue in self._tasks.items() if overdue(now) > _patience_for(name)]
        for name in frozen:
            if name not in self._frozen:
                maillog.alerted(f"{name} does not come round", "the watchdog is not fed, so that we are restarted")
        self._frozen = frozen
        if not frozen:
            notify("WATCHDOG=1")


def _patience_for(name: str) -> float:
    return STALE_MAILBOX_SECONDS if name.startswith(("imap ", "sent ", "junk ", "copies ")) else STALE_SECONDS
