"""The inside of the cage: a process that reads mails one by one and has nothing else (security.md 11.2).

Started fresh with an empty environment and one descriptor, the socket to the parent. It loads every parser first, then
gives up the right to open anything: no file, no socket, no core, no large memory. What it can still do is compute.
"""

from __future__ import annotations

import encodings
import importlib
import os
import pkgutil
import resource
import socket
import sys
from datetime import UTC, datetime

from gateway.analysis.examine import compare, examine, examine_authentication, unpack
from gateway.analysis.wire import LENGTH, Hello, Request, frame, read_hello, read_request
from gateway.model import Envelope, Findings

_WARM_UP = b"\r\n".join(
    (
        "From: Warm Up <warm@aufwärm.test>".encode(),
        b"To: a@b.test",
        b"Subject: =?utf-8?q?warm?=",
        b"Date: Mon, 23 Nov 2026 10:00:00 +0000",
        b"Message-ID: <warm@up.test>",
        b"MIME-Version: 1.0",
        b"Content-Type: multipart/alternative; boundary=x",
        b"",
        b"--x",
        b"Content-Type: text/plain; charset=utf-8",
        b"",
        b"new",
        b"",
        b"On Mon, 23 Nov 2026 at 10:00, A wrote:",
        b"> old",
        b"",
        b"--x",
        b"Content-Type: text/html; charset=utf-8",
        b"",
        b"<p>new</p><blockquote type=cite>old</blockquote>",
        b"--x--",
        b"",
    )
)
"""Read once before the door closes, so that whatever the readers import late is loaded."""

_WARM_UP_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def _preload() -> None:
    # A codec that is imported late needs a descriptor, and we shall have none (libraries.md E1).
    for module in pkgutil.iter_modules(encodings.__path__):
        if module.name not in {"mbcs", "oem", "cp65001"}:
            importlib.import_module(f"encodings.{module.name}")


def lock_in(memory: int) -> None:
    """Give up everything but descriptor 0 and so many octets of address space; there is no way back."""
    os.closerange(1, 1 << 20)  # standard output and error, and whatever a library may have left open
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # no fork would survive the kill (root is not bound by it)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _allow_cpu(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + seconds + 1, hard))


def _receive(pipe: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view, done = memoryview(buffer), 0
    while done < size:
        count = pipe.recv_into(view[done:])
        if count == 0:
            sys.exit(0)
        done += count
    return bytes(buffer)


def _read_frame(pipe: socket.socket) -> bytes:
    return _receive(pipe, LENGTH.unpack(_receive(pipe, LENGTH.size))[0])


def main() -> None:
    """Serve the parent until it closes the pipe; a limit that is hit ends the process, which is the point."""
    pipe = socket.socket(fileno=0)
    hello = read_hello(_read_frame(pipe))
    _preload()
    here = Envelope(reverse_path="", recipient="a@b.test", inbox="", source="lmtp", received_at=_WARM_UP_TIME)
    examine(_WARM_UP, here, {}, hello.rules)
    lock_in(hello.memory)
    pipe.sendall(frame(Findings()))
    while True:
        request = read_request(_read_frame(pipe))
        _allow_cpu(hello.cpu_seconds)
        pipe.sendall(frame(_answer(request, hello)))


def _answer(request: Request, hello: Hello) -> Findings:
    if request.message is not None:
        return compare(request.message, request.known)
    if request.only_files:
        return unpack(request.raw)
    read = examine_authentication if request.only_authentication else examine
    return read(request.raw, request.envelope, request.records, hello.rules)


if __name__ == "__main__":
    main()
