"""ticketgate serve: the gateway in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway import maillog
from gateway.cli.exits import CONFIG, NOPERM, OK, UNAVAILABLE
from gateway.cli.opening import add_config
from gateway.configure import find_path, load
from gateway.daemon import Daemon
from gateway.membership import AlreadyRunningError
from gateway.store.revisions import SchemaError


def run(command: str, arguments: Sequence[str]) -> int:
    """Serve until SIGTERM. SIGHUP reloads.

    Exit 78 on a bad configuration or tables that need a person, 69 when another daemon has the database.
    """
    parser = argparse.ArgumentParser(prog="ticketgate serve", description=__doc__)
    add_config(parser)
    path = find_path(parser.parse_args(arguments).config)
    with contextlib.suppress(ImportError):
        import uvloop

        return _end(uvloop.run(_serve(path)))
    return _end(asyncio.run(_serve(path)))


def _end(code: int) -> int:
    """The exit code, also where the log is stuck or its disk full: the interpreter would wait for it, or fail."""
    well = maillog.stop()
    try:
        if well:  # else the thread that is stuck holds the stream
            sys.stderr.flush()
    except OSError:
        well = False
    if not well:
        os._exit(code)
    return code


async def _serve(path: Path) -> int:
    daemon = Daemon(load(path), lambda: load(path), configuration=path)
    try:
        await daemon.start()
    except AlreadyRunningError as error:
        print(f"ticketgate: {error}", file=sys.stderr)
        return UNAVAILABLE
    except SchemaError as error:
        print(f"ticketgate: {error.cause}", file=sys.stderr)
        return CONFIG
    except PermissionError as error:
        print(f"ticketgate: {error.filename or path}: {error.strerror or error}", file=sys.stderr)
        return NOPERM
    await daemon.run()
    return OK
