"""The daemon of a measurement, in a process of its own: ``python -m bench.served CONFIG ZONE [intake outbox …]``.

Named workers do not run, so that one part can be measured alone; DNS answers come from a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from gateway.configure import load
from gateway.daemon import Daemon
from gateway.resolver import ZoneResolver
from gateway.settings import Settings


async def serve(settings: Settings, resolver: ZoneResolver, idle: list[str]) -> None:
    daemon = Daemon(settings, resolver=resolver)
    await daemon.start()
    for name in idle:
        getattr(daemon, name).worker.stop()
    print("ready", flush=True)
    await daemon.run()


def main() -> None:
    configuration, zone, *idle = sys.argv[1:]
    coroutine = serve(load(Path(configuration)), ZoneResolver(json.loads(Path(zone).read_text())), idle)
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(coroutine)
    return asyncio.run(coroutine)


if __name__ == "__main__":
    main()
