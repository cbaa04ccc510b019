"""A process that has loaded the gateway once and forks a daemon whenever it is told to: a start costs no imports.

Words in, one JSON object a line on standard input: ``{"plan": …, "log": …, "notify": …, "folder": …, "words": […]}``;
out: the new daemon's process id, and ``[pid, status]`` when one has ended. A daemon is what ``ticketgate WORDS`` runs,
in a session of its own. Also a program by itself: ``python -m tests.faults.nursery once WORDS`` runs one daemon, the
plan in FAULT_PLAN.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
from typing import Any

from tests.faults import points


def main() -> int:
    """Serve until standard input ends; daemons that still run end with this process."""
    import gateway.cli.serving
    import gateway.daemon
    import gateway.store.migrations  # noqa: F401

    points.install()
    points.hasten()
    if sys.argv[1:2] == ["once"]:
        return _run(sys.argv[2:])
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd == woken:
                os.read(woken, 100)
                _tell_ended()
            else:
                line = sys.stdin.buffer.readline()
                if not line:
                    return 0
                _tell(_fork(json.loads(line)))


def _tell(message: object) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _tell_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell([pid, os.waitstatus_to_exitcode(status)])


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 64)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(PATH="/usr/bin:/bin", NOTIFY_SOCKET=order["notify"])
        if order["plan"]:
            points.plan(order["plan"])
        if order["mutant"]:
            from tests.faults import mutants

            mutants.apply(order["mutant"])
        code = _run(order["words"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(words: list[str]) -> int:
    from gateway.cli import main as run

    try:
        return run(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


if __name__ == "__main__":
    sys.exit(main())
