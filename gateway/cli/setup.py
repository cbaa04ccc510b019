"""ticketgate init, check-config, db, version."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.address import is_address, split_address
from gateway.cli.as_root import hand_over
from gateway.cli.exits import CONFIG, OK, USAGE
from gateway.cli.opening import add_config, read_settings
from gateway.configure import find_path, load


def run(command: str, arguments: Sequence[str]) -> int:
    """One of the commands that come before the first mail."""
    return {"init": _init, "check-config": _check_config, "db": _db, "version": _version}[command](arguments)


def _version(arguments: Sequence[str]) -> int:
    print(f"ticketgate {__version__} (Python {platform.python_version()})")
    return OK


def _check_config(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ticketgate check-config", description="Say what is wrong, all of it.")
    add_config(parser)
    parser.add_argument("--quiet", action="store_true", help="say nothing when all is well")
    parser.add_argument("--show", action="store_true", help="print the effective values")
    options = parser.parse_args(arguments)
    settings = read_settings(options)
    if options.show:
        _show("", settings)
    elif not options.quiet:
        print(f"{find_path(options.config)}: ok, {len(settings.inbox)} inboxes, {len(settings.agents)} agents")
    return OK


def _show(name: str, value: Any) -> None:
    if name == "keys":
        return
    if dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            _show(f"{name}.{part.name}" if name else part.name, getattr(value, part.name))
    elif isinstance(value, dict) and value and all(dataclasses.is_dataclass(v) for v in value.values()):
        for key, item in value.items():
            _show(f"{name}.{key}" if name else key, item)
    else:
        print(f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {value}")


def _db(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate db",
        description="Check the database, or bring the tables of an earlier version to this one's. The gateway does the "
        "same at its start. No gateway may run meanwhile; a backup is made first.",
    )
    add_config(parser)
    parser.add_argument("deed", choices=["check", "migrate"])
    parser.add_argument("--no-backup", action="store_true", help="migrate: you have a backup already")
    options = parser.parse_args(arguments)
    from gateway.safekeeping.upgrade import upgrade
    from gateway.store.database import Database
    from gateway.store.revisions import SchemaError
    from gateway.store.schema import REVISION

    settings = read_settings(options, secrets=False)
    database = Database(settings.storage.url)
    try:
        if options.deed == "migrate":
            path, backup = find_path(options.config), not options.no_backup
            done = upgrade(settings, path, database, datetime.now(UTC), backup=backup)
            if done is not None and done.before:
                print(f"migrated      {done.before} to {REVISION}")
            if done is not None and done.backup is not None:
                print(f"backup        {done.backup}")
                print("To go back: install the version before, then  ticketgate restore --force", done.backup)
        database.check()
    except SchemaError as error:
        print(f"ticketgate: {error.cause}", file=sys.stderr)
        return CONFIG
    finally:
        database.close()
    print("database ok")
    return OK


# ------------------------------------------------------------------ init


def _init(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="ticketgate init",
        description="Ask four questions and write ticketgate.toml, agents.toml and the token key.",
    )
    add_config(parser)
    parser.add_argument("--state", metavar="DIR", help="where database and keys live; default: /var/lib/ticketgate")
    parser.add_argument("--address", help="answer: the shared address")
    parser.add_argument("--name", help="answer: the name customers see")
    parser.add_argument("--agents", help="answer: addresses of the agents, separated by blanks")
    parser.add_argument("--admin", help="answer: address told about trouble")
    options = parser.parse_args(arguments)
    path = find_path(options.config)
    if path.exists():
        print(f"ticketgate: {path} exists already; edit it, then: ticketgate check-config", file=sys.stderr)
        return CONFIG
    address = options.address or _ask("Inbox address?")
    name = options.name or _ask("Name customers see?")
    people = (options.agents or _ask("Agents (addresses)?")).replace(",", " ").split()
    admin = options.admin if options.admin is not None else _ask("Who is told of trouble?")
    wrong = [a for a in (address, *people, *admin.split()) if not is_address(a)]
    if wrong or not people:
        print(f"ticketgate: not an address: {', '.join(wrong) or '(no agent)'}", file=sys.stderr)
        return USAGE
    state = Path(options.state or "/var/lib/ticketgate").absolute()
    # What sd_booted(3) asks: systemctl is also installed where systemd does not run, in containers.
    by_systemd = Path("/run/systemd/system").is_dir()
    listen = "systemd" if by_systemd else f"unix:{state}/lmtp.sock"
    _write(path, state, listen, address, name, people, admin.split())
    load(path)
    hand_over(path, state)
    print(f"wrote {path}, {path.with_name('agents.toml')}, {state / 'token.key'} (0600)")
    print(_next_steps(address, path, "unix:/run/ticketgate/lmtp.sock" if by_systemd else listen))
    return OK


def _ask(question: str) -> str:
    print(f"{question:<26}", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def _write(path: Path, state: Path, listen: str, address: str, name: str, people: list[str], admin: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = state / "token.key"
    if not key.exists():
        descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("# HMAC keys of reply addresses and Message-IDs; belongs into every backup\n")
            file.write(f"k {secrets.token_hex(32)}\n")
    handles = _handles(people)
    path.with_name("agents.toml").write_text(
        "".join(
            f'[{handle}]\nname    = "{split_address(a)[0].replace(".", " ").title()}"\naddress = "{a}"\n'
            for handle, a in handles.items()
        )
    )
    listed = ", ".join(f'"{handle}"' for handle in handles)
    admins = ", ".join(f'"{a}"' for a in admin)
    path.write_text(
        f"""# Written by ticketgate init. Every setting: config/ticketgate.toml; check with: ticketgate check-config
schema = 1

[ticketgate]
admin = [{admins}]

[inbox.support]
address = "{address}"
name    = {json.dumps(name, ensure_ascii=False)}
agents  = [{listed}]

[receive.lmtp]
listen = ["{listen}"]

[send]

[security]
token_key = "file:{key}"

[storage]
url = "sqlite:{state}/ticketgate.db"
"""
    )
    path.chmod(0o640)


def _handles(people: list[str]) -> dict[str, str]:
    handles: dict[str, str] = {}
    for address in people:
        word = "".join(c for c in split_address(address)[0].lower() if c.isalnum() or c in "-_") or "agent"
        while word in handles:
            word += "2"
        handles[word] = address
    return handles


def _next_steps(address: str, path: Path, place: str) -> str:
    return f"""
Add to Postfix (/etc/postfix/main.cf), then  postmap /etc/postfix/ticketgate_transport && postfix reload :

    recipient_delimiter = +
    transport_maps = hash:/etc/postfix/ticketgate_transport
    ticketgate_destination_recipient_limit = 1
    lmtp_send_xforward_command = yes

  /etc/postfix/master.cf:
    ticketgate unix  -  -  n  -  -  lmtp flags=ORX

  /etc/postfix/ticketgate_transport:
    {address}   ticketgate:{place}

Then:  usermod -aG ticketgate-lmtp postfix;  systemctl enable --now ticketgate
Agents' actions need a proven sender: list your mail server's authserv-id in [authentication_results] trusted,
or set authentication = "token" for agents whose mail never leaves this server ({path.with_name("agents.toml")}).
"""
