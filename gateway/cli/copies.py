"""ticketgate backup, ticketgate restore."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.exits import DATAERR, FAILURES, OK
from gateway.cli.opening import add_config, read_settings
from gateway.cli.table import to_json, when
from gateway.configure import find_path
from gateway.safekeeping.copies import (
    Manifest,
    PutBack,
    back_up,
    put_back_configuration,
    read_backup,
    restore,
)
from gateway.settings import Settings
from gateway.store.copying import CopyError


def run(command: str, arguments: Sequence[str]) -> int:
    """Exit 65 for a backup that is damaged or none, 1 when nothing was done for another reason."""
    return _back_up(arguments) if command == "backup" else _restore(arguments)


def _back_up(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate backup",
        description="Copy database, configuration and secrets into a new folder, while the gateway runs.",
        epilog="Whoever has the folder can read all mail and write valid reply addresses: keep it like a password.",
    )
    add_config(parser)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that does not exist yet")
    parser.add_argument("--check", action="store_true", help="only look whether the backup DIR is whole")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.check:
        return _check(options.folder)
    settings = read_settings(options, secrets=False)
    try:
        manifest = back_up(settings, find_path(options.config), options.folder, datetime.now(UTC))
    except CopyError as error:
        print(f"ticketgate: {error.cause}", file=sys.stderr)
        return FAILURES
    size = sum(entry.size for entry in manifest.files)
    if options.json:
        numbers = {"folder": str(options.folder), "made_at": manifest.made_at, "octets": size}
        print(to_json({**numbers, "not_included": manifest.not_included, "mails": manifest.standing.journal}))
        return OK
    print(f"{options.folder}: {size / 1e6:.1f} MB, whole and on the disk; as of {when(manifest.made_at)}")
    _describe(manifest)
    return OK


def _describe(manifest: Manifest) -> None:
    standing = manifest.standing
    store = sum(entry.name.startswith("store/") for entry in manifest.files)
    print(f"  database      {manifest.storage}, {standing.journal} mails received, {standing.deliveries} sent", end="")
    print(f" ({store} file{'s' if store > 1 else ''})")
    for kind in ("configuration", "secrets"):
        names = [entry.name.partition("/")[2] for entry in manifest.files if entry.name.startswith(kind)]
        print(f"  {kind:<13} {', '.join(names) or 'none'}")
    for name in manifest.not_included:
        print(f"  NOT in it     {name}")


def _check(folder: Path) -> int:
    try:
        manifest = read_backup(folder)
    except CopyError as error:
        print(f"ticketgate: {error.cause}", file=sys.stderr)
        return DATAERR
    print(f"{folder}: whole; as of {when(manifest.made_at)}, made by ticketgate {manifest.version}")
    _describe(manifest)
    return OK


def _restore(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate restore",
        description="Put a backup back. The gateway must not run. Nothing is sent until `ticketgate queue release`.",
    )
    add_config(parser)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--force", "--yes", action="store_true", help="replace a store that is not empty")
    options = parser.parse_args(arguments)
    now = datetime.now(UTC)
    try:
        manifest = read_backup(options.folder)
    except CopyError as error:
        print(f"ticketgate: {error.cause}", file=sys.stderr)
        return DATAERR
    put, differ = put_back_configuration(options.folder, manifest, find_path(options.config))
    settings = read_settings(options, secrets=False)
    try:
        done = restore(settings, options.folder, manifest, now, force=options.force)
    except CopyError as error:
        print(f"ticketgate: {error.cause}", file=sys.stderr)
        return FAILURES
    for name in put:
        print(f"put back      {name}")
    for name in differ:
        print(f"kept, differs {name}")
    if any(name.endswith(".key") for name in differ):
        print("  Reply addresses that were made with the key of the backup will not be known.")
    _tell(done, settings)
    return OK


def _tell(done: PutBack, settings: Settings) -> None:
    manifest = done.manifest
    print(f"restored      the store as of {when(manifest.made_at)}")
    if done.kept:
        print(f"kept          what was there: {done.kept}")
    print()
    print(f"Mail that was accepted over SMTP or LMTP since {when(manifest.made_at)} is not in it, nor what was decided")
    if done.lost is not None:
        received = max(0, done.lost.journal - manifest.standing.journal)
        sent = max(0, done.lost.deliveries - manifest.standing.deliveries)
        print(f"since: at least {_mails(received)} received and {_mails(sent)} of ours. The log names them.")
    else:
        print("since. How much that is, nobody here knows: there is no start mark of this store. The log may name it.")
    mailboxes = [mailbox for mailbox in settings.receive.imap.values() if mailbox.enabled]
    for mailbox in mailboxes:
        print(f"Mailbox {mailbox.handle} is read again from its first mail; what is known is recognised.", end="")
        if mailbox.after.startswith("move:") or mailbox.after == "delete":
            where = mailbox.after.removeprefix("move:") if mailbox.after != "delete" else "the trash"
            print(f"\n  It takes mail away: move what came since back from {where}.", end="")
        print()
    print("Ticket numbers go on behind those that may have been given out.")
    print("Nothing is sent and no reminder falls due until you have looked and said so:")
    print("  ticketgate queue            what would be sent")
    print("  ticketgate queue release    send it", end="")
    print(f", but not the {_mails(done.sent)} known to have left since" if done.sent else "")


def _mails(count: int) -> str:
    return "1 mail" if count == 1 else f"{count} mails"
