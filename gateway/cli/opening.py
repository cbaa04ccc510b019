"""Opening what a command works on: the configuration and the database it names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from gateway.cli import as_root
from gateway.configure import find_path, load
from gateway.safekeeping.outside import load_seal_key
from gateway.seal import SealKey
from gateway.settings import Settings
from gateway.store.database import Database


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option every command has."""
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="default: $TICKETGATE_CONFIG or /etc/ticketgate/ticketgate.toml"
    )


def read_settings(options: argparse.Namespace, *, secrets: bool = True) -> Settings:
    """The settings a command works with. Raises ConfigurationError."""
    settings = load(find_path(options.config), secrets=secrets)
    as_root.remember(settings)
    return settings


@contextmanager
def opened(settings: Settings) -> Iterator[Connection]:
    """A transaction on the database of a configuration; the daemon may be running beside it."""
    database = Database(settings.storage.url)
    try:
        database.check()
        key = find_seal_key(settings)
        if key is not None:
            database.mark_with(key.mark_key)
        with database.begin() as tx:
            yield tx
    finally:
        database.close()


def find_seal_key(settings: Settings) -> SealKey | None:
    """The key that marks what is written; without it `ticketgate verify` finds what a command writes as strange."""
    try:
        return load_seal_key(settings)
    except (OSError, ValueError) as error:
        print(f"ticketgate: the seal key cannot be read: {error}", file=sys.stderr)
        return None
