"""What keeps it running: [storage], [retention], [metrics], [log], [cage], [ticketgate]."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.values import Duration, Size, days, minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """[storage]."""

    url: str = "sqlite:/var/lib/ticketgate/ticketgate.db"
    """Or "postgresql:///ticketgate"."""
    free_space: Size = Size(100 * 1024 * 1024)
    """Below this much free space mail is refused with 452 before DATA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """[retention]."""

    raw: Duration | None = days(400)
    closed: Duration | None = None
    spam: Duration = days(30)
    quarantine: Duration = days(90)
    run_at: str = "03:30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """[metrics]."""

    listen: str = ""
    """"127.0.0.1:9797" for /metrics and /healthz; empty: off."""
    textfile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """[log]."""

    level: str = "info"
    format: str = "auto"
    """"auto": journald fields under systemd, key=value on a terminal; "json"."""
    addresses: str = "full"
    """How mail addresses appear: "full", "hash", "domain"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """[cage]: the child processes that read mail (security.md 11)."""

    children: int = 0
    """0: one a processor, at most 8."""
    memory: Size = Size(512 * 1024 * 1024)
    cpu_seconds: int = 10
    wall_seconds: int = 15
    batch: int = 16
    """Mails handed to a child at a time."""
    recycle_after: int = 2000
    """Mails after which a child is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """[ticketgate]."""

    timezone: str = "UTC"
    id_domain: str = ""
    """Right side of our Message-IDs and List-Ids; empty: "tickets." + domain of the first inbox."""
    language: str = "en"
    admin: tuple[str, ...] = ()
    """Addresses told about trouble."""
    admin_quiet_period: Duration = minutes(60)
    """The same problem is mailed at most once per period."""
    clock_settle: Duration = minutes(5)
    """A clock that jumps by more than a minute is believed after this; till then time goes on from where it was."""
