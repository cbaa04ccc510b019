"""ticketgate demo: the whole thing on this computer; no root, no configuration, no mail server."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.exits import FAILURES, OK, UNAVAILABLE

_FOLDER = Path("~/ticketgate-demo")


def run(command: str, arguments: Sequence[str]) -> int:
    """Play the story step by step, all at once (--tour), or as a test (--selftest, exit 1 when a check fails)."""
    parser = argparse.ArgumentParser(prog="ticketgate demo", description=__doc__)
    parser.add_argument("--dir", type=Path, default=_FOLDER, help=f"folder of the demo; default {_FOLDER}")
    parser.add_argument("--tour", action="store_true", help="play everything and print each mail as the person sees it")
    parser.add_argument("--selftest", action="store_true", help="play everything and check it")
    parser.add_argument("--smtp-port", type=int, default=0, help="default 10025, or any free one")
    parser.add_argument("--imap-port", type=int, default=0, help="default 10143, or any free one")
    options = parser.parse_args(arguments)
    try:
        import pymap  # noqa: F401
    except ImportError:
        print("ticketgate demo needs its mail server: pip install 'ticketgate[demo]'", file=sys.stderr)
        return UNAVAILABLE
    return asyncio.run(_play(options))


async def _play(options: argparse.Namespace) -> int:
    from gateway.demo.mail_client import show
    from gateway.demo.story import NAMES, Story
    from gateway.demo.world import World

    folder = options.dir.expanduser().absolute()
    world = World(folder, options.smtp_port, options.imap_port)
    await world.start()
    failures = 0
    try:
        _introduce(world)
        by_itself = options.tour or options.selftest
        number = 0
        async for step in Story(world).steps():
            number += 1
            print(f"\n{number}  {step.title}")
            for person, mail in step.received if not options.selftest else ():
                print(show(mail, NAMES[person], min(96, shutil.get_terminal_size((96, 24)).columns)))
            for what, holds in step.checks:
                failures += not holds
                print(f"   {'ok  ' if holds else 'FAIL'}  {what}")
            if not by_itself and await _ask("Enter: go on.  q: quit. ") == "q":
                return OK
        print()
        await asyncio.to_thread(_show_desk, world.configuration)
        if not by_itself:
            await _ask("The mailboxes stay open for your mail program. Enter ends the demo. ")
    finally:
        await world.close()
    print(f"{number} steps, {failures} failures. The folder {folder} stays; look around with")
    print(f"  ticketgate tickets -c {world.configuration}")
    return FAILURES if failures else OK


def _introduce(world: object) -> None:
    folder, smtp, imap = (getattr(world, name) for name in ("folder", "smtp_port", "imap_port"))
    print(f"Demo in {folder} (nothing outside is touched, no mail leaves this computer)")
    for role, person in (("customer", "jane"), ("agent", "alice"), ("agent", "bob")):
        print(f"  {role:<8} {person + '@demo.test':<16} password demo   IMAP 127.0.0.1:{imap}   SMTP 127.0.0.1:{smtp}")


async def _ask(question: str) -> str:
    print(f"\n{question}", end="", flush=True)
    answer: str = await asyncio.to_thread(sys.stdin.readline)
    return answer.strip().lower()


def _show_desk(configuration: Path) -> None:
    from gateway.cli import tickets

    tickets.run("tickets", ["-c", str(configuration), "--all"])
