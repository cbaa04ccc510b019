"""A headless Chromium at the other end of its debugging pipe: one process for many pictures, no port, no library."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")
_FITTED = """(() => {
  const wide = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const inside = frame.contentDocument.documentElement;
    frame.style.height = inside.scrollHeight + "px";
    if (inside.scrollWidth > frame.clientWidth) wide.push(frame.title + " " + inside.scrollWidth);
  }
  return JSON.stringify([document.documentElement.scrollHeight, wide]);
})()"""


class Browser:
    """Draws pages. ``program``: path of Chromium. Raises EOFError when it ends early."""

    def __init__(self, program: str) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # The pipe has to be file descriptors 3 and 4 over there; far away here, so that neither is overwritten.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (theirs_in, theirs_out)]
        self._folder = tempfile.TemporaryDirectory(prefix="pictures-", ignore_cleanup_errors=True)
        arguments = [program, *_OPTIONS, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = os.posix_spawn(
            program,
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
            ],
        )
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._to, self._from = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        self._calls, self._left, self._session = 0, b"", ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.kill(self._process, signal.SIGTERM)
        os.waitpid(self._process, 0)
        self._to.close()
        self._from.close()
        self._folder.cleanup()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            read = self._from.read1(1 << 20)
            if not read:
                raise EOFError("the browser has ended")
            self._left += read
        message, _, self._left = self._left.partition(b"\0")
        found = json.loads(message)
        assert isinstance(found, dict)
        return found

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._calls += 1
        message: dict[str, Any] = {"id": self._calls, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._calls:
            pass
        if "error" in answer:
            raise RuntimeError(answer["error"])
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    def _size(self, width: int, height: int) -> None:
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def draw(self, page: Path, width: int) -> tuple[int, list[str]]:
        """A picture beside the page. Returns its height in pixels and which frames are wider than their window."""
        self._size(width, 600)
        self._call("Page.navigate", url=page.resolve().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass
        said = self._call("Runtime.evaluate", expression=_FITTED, returnByValue=True)["result"]["value"]
        height, wide = json.loads(said)
        self._size(width, height)
        drawn = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        page.with_suffix(".png").write_bytes(base64.b64decode(drawn))
        return int(height), list(wide)
