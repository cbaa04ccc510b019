"""Descriptors of other processes."""

from __future__ import annotations

import ctypes
import os


def take_descriptor(pidfd: int, number: int) -> int:
    """pidfd_getfd(2): a copy of another process's descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(438, pidfd, number, 0))
    assert found >= 0, os.strerror(ctypes.get_errno())
    return found
