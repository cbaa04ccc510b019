"""Where log lines go: a bounded queue, a thread, and systemd's journal, key=value or JSON behind it (ops.md 12).

Nothing waits for the disk, and nothing here raises: what the queue cannot take is dropped and counted.
"""

from __future__ import annotations

import atexit
import json
import logging
import logging.handlers
import os
import queue
import socket
import sys
import time
from pathlib import Path
from typing import TextIO

from gateway import metrics
from gateway.address import clean_text
from gateway.settings import Log

LOG = logging.getLogger("ticketgate")

JOURNAL = Path("/run/systemd/journal/socket")
_LIBRARIES = ("mail.log", "mail.debug", "aioimaplib", "aioimaplib.aioimaplib", "aiosmtplib", "apscheduler", "dkimpy")
# aiosmtpd logs commands at INFO and content at DEBUG, aioimaplib whole messages at DEBUG, whatever our own level is.
_QUEUED = 10_000
_PATIENCE = 5.0
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_listener: _Writer | None = None


def direct(log: Log, stream: TextIO | None = None, journal: Path = JOURNAL) -> None:
    """Send lines where the operator wants them; may be called again after a reload.

    ``format``: "auto" is native journal fields under systemd and key=value elsewhere; "json"; "plain" is a line with
    systemd's <priority> in front. ``stream`` defaults to standard error.
    """
    global _listener
    stream = sys.stderr if stream is None else stream
    target: logging.Handler
    if log.format == "auto" and _under_systemd(stream) and journal.exists():
        target = _Journal(journal)
    else:
        target = logging.StreamHandler(stream)
        plain = log.format == "plain" or (log.format == "auto" and "JOURNAL_STREAM" in os.environ)
        target.setFormatter(_Json() if log.format == "json" else _KeyValue(priority=plain))
    stop()
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUED)
    _listener = _Writer(waiting, target)
    LOG.handlers = [_Enqueue(waiting)]
    LOG.propagate = False
    LOG.setLevel(log.level.upper() if log.level.lower() in ("debug", "info", "warning", "error") else logging.INFO)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    # What libraries warn about goes the same way, without becoming a mail fact.
    logging.getLogger().handlers = [_Enqueue(waiting)]
    _listener.start()


def stop() -> bool:
    """Write what is queued and end the thread; also done when the process ends. False when the log is stuck."""
    global _listener
    if _listener is None:
        return True
    _listener.stop()
    ended = not _listener.is_running
    _listener = None
    return ended


atexit.register(stop)


def _under_systemd(stream: TextIO) -> bool:
    """Whether the stream is the journal's (systemd.exec(5), JOURNAL_STREAM: device and inode)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Writer(logging.handlers.QueueListener):
    """The thread that writes. Ending waits a little for a log that is full, and not for ever for one that is stuck."""

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        try:
            self.queue.put(None, timeout=_PATIENCE)  # type: ignore[attr-defined]  # None is the listener's own mark for the end
        except queue.Full:
            return
        if self._thread is not None:
            self._thread.join(_PATIENCE)


class _Enqueue(logging.handlers.QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            metrics.log_line_lost()

    def handleError(self, record: logging.LogRecord) -> None:
        metrics.log_line_lost()


def _fields(record: logging.LogRecord) -> dict[str, str]:
    fields: dict[str, str] = getattr(record, "fields", {})
    return fields


class _KeyValue(logging.Formatter):
    """``received TG_INBOX=support from=ann@customer.test``; values with blanks are quoted."""

    def __init__(self, priority: bool) -> None:
        super().__init__()
        self._priority = priority

    def format(self, record: logging.LogRecord) -> str:
        pairs = " ".join(f"{key}={_quote(value)}" for key, value in _fields(record).items())
        text = clean_text(record.getMessage(), 2000)
        if self._priority:
            front = f"<{_PRIORITY.get(record.levelno, 5)}>"
        else:
            front = time.strftime("%Y-%m-%dT%H:%M:%S%z ", time.localtime(record.created))
            front += "" if record.levelno == logging.INFO else record.levelname.lower() + ": "
        return f"{front}{text} {pairs}".rstrip()


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if not value or set(value) & set(' "=\\') else value


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        front = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": clean_text(record.getMessage(), 2000),
        }
        return json.dumps(front | _fields(record), ensure_ascii=False)


class _Journal(logging.Handler):
    """Native journal fields, so that ``journalctl TG_TICKET=4827`` finds them (systemd's native protocol)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        pairs = " ".join(f"{key}={_quote(value)}" for key, value in _fields(record).items())
        message = f"{clean_text(record.getMessage(), 2000)} {pairs}".rstrip()
        # No value holds a line feed (clean_text), so the simple form of the protocol is enough.
        lines = [f"MESSAGE={message}", f"PRIORITY={_PRIORITY.get(record.levelno, 5)}", "SYSLOG_IDENTIFIER=ticketgate"]
        lines += [f"{key}={value}" for key, value in _fields(record).items() if key.startswith("TG_")]
        try:
            self._socket.sendto(("\n".join(lines) + "\n").encode("utf-8", "replace"), self._path)
        except OSError:
            metrics.log_line_lost()

    def close(self) -> None:
        self._socket.close()
        super().close()
