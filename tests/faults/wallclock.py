"""A wall clock that a test sets, for processes of their own: clock.c in front of libc."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from pathlib import Path

from tests.support.real import need

HERE = Path(__file__).parent


class WallClock:
    """Moves the wall clock of every process that was started with :attr:`environment`."""

    def __init__(self, folder: Path) -> None:
        """Skips (fails under CI) without a C compiler."""
        library = folder / "clock.so"
        words = [need("cc")["cc"], "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "clock.c"), "-ldl", "-lm"]
        subprocess.run(words, check=True)
        place = folder / "clock.added"
        place.write_bytes(struct.pack("d", 0.0))
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(place)}
        descriptor = os.open(place, os.O_RDWR)
        self._added = mmap.mmap(descriptor, 8)
        os.close(descriptor)

    def set(self, seconds: float) -> None:
        """Let it be so far ahead of the true time from now on."""
        self._added[:] = struct.pack("d", seconds)
