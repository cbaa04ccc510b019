"""How a span of time, a size and a secret are written."""

from __future__ import annotations

from datetime import timedelta


class Duration(timedelta):
    """A time span; written ``90s``, ``15m``, ``4h``, ``3d``, ``2w`` in TOML."""


class Size(int):
    """A number of bytes; written ``25MiB`` in TOML."""


class Secret(str):
    """Where a secret is kept: ``credential:NAME``, ``file:/path`` or ``env:TICKETGATE_NAME``; resolved by configure."""


def minutes(n: float) -> Duration:
    return Duration(minutes=n)


def days(n: float) -> Duration:
    return Duration(days=n)
