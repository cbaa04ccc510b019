"""The operator's commands. One module a group, loaded only when it is asked for, so that ``--help`` is quick."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

from gateway import __version__
from gateway.cli.exits import CONFIG, INTERRUPTED, IOERR, OK, SOFTWARE, TEMPFAIL, USAGE

COMMANDS = {
    # command       module       what the overview says
    "demo": ("demo", "play the whole thing here: no root, no mail server, nothing outside one folder"),
    "init": ("setup", "ask four questions and write a configuration"),
    "check-config": ("setup", "say what is wrong with the configuration: file, line, key"),
    "serve": ("serving", "run the gateway in the foreground"),
    "status": ("status", "whether all is well, what is not, and what to type"),
    "tickets": ("tickets", "list tickets"),
    "show": ("tickets", "show one ticket, or one mail of it as it arrived"),
    "do": ("do", "carry out an agent's command on a ticket, as if it came by mail"),
    "search": ("reading", "find tickets: words, from: to: subject: tag: owner: is: has: after: before:"),
    "report": ("reading", "numbers of a week or another period, from the event log"),
    "templates": ("templates", "the texts of the mails: list, show, test with sample data"),
    "held": ("held", "mail that waits for a person: list, show, release, discard"),
    "queue": ("queue", "outgoing mail: list, failed, show, retry, drop; addresses that take none"),
    "explain": ("explain", "why a mail went where it went: a stored one, or a file as if it arrived now"),
    "examine": ("examine", "what mails say, without database or daemon"),
    "oauth": ("oauth", "access tokens of mailboxes: login (once), status"),
    "inject": ("inject", "hand one mail to the running gateway (pipe delivery)"),
    "person": ("person", "what is known about an address: show, export, erase"),
    "retention": ("person", "erase what is old enough, as the gateway does daily"),
    "backup": ("copies", "copy database, configuration and secrets into a folder, while the gateway runs"),
    "restore": ("copies", "put a backup back; nothing is sent until `queue release`"),
    "verify": ("verify", "prove that nothing was lost, changed or inserted since it was sealed"),
    "db": ("setup", "check or migrate the database"),
    "version": ("setup", "print the version"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ticketgate",
        description="Email-to-ticket gateway: turns a plain shared inbox into owned, threaded tickets.",
        epilog="Start here:  ticketgate demo",
    )
    parser.add_argument("--version", action="version", version=f"ticketgate {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns a sysexits code (ops.md 14)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in COMMANDS:
        parser = _parser()
        if not words:
            parser.print_help()
            return USAGE
        with _usage_errors():
            parser.parse_args(words[:1])  # --help, --version, or an error that names the commands
        return USAGE
    module = importlib.import_module(f"gateway.cli.{COMMANDS[words[0]][0]}")
    return _run(module, words)


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """argparse ends with 2 on a usage error; scripts and mail servers know 64 (ops.md 14)."""
    try:
        yield
    except SystemExit as end:
        raise SystemExit(USAGE if end.code == 2 else end.code) from None


def _run(module: object, words: list[str]) -> int:
    from gateway.cli import as_root
    from gateway.configure import ConfigurationError
    from gateway.errors import TemporaryError, TicketgateError

    try:
        with _usage_errors():
            code: int = module.run(words[0], words[1:])  # type: ignore[attr-defined]
    except ConfigurationError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        count = len(error.mistakes)
        print(f"{count} error{'s' if count > 1 else ''}", file=sys.stderr)
        return CONFIG
    except TemporaryError as error:
        print(f"ticketgate: {error.cause or error}", file=sys.stderr)
        return TEMPFAIL
    except TicketgateError as error:
        print(f"ticketgate: {error.cause or error}", file=sys.stderr)
        return SOFTWARE
    except BrokenPipeError:
        # `ticketgate tickets | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        # Our own sentences for operators come as OSError without a file or a number (gateway.ingest.listen).
        place = f"{error.filename}: " if error.filename else ""
        print(f"ticketgate: {place}{error.strerror or error}", file=sys.stderr)
        return IOERR
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the last line of defence of a command
        traceback.print_exc()
        print("ticketgate: internal error; please report the lines above", file=sys.stderr)
        return SOFTWARE
    finally:
        as_root.give_back()
    return code
