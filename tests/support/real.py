"""Real servers or a visible skip; under CI=true a missing server is a failure, never a skip."""

import os
import shutil

import pytest


def need(*programs: str) -> dict[str, str]:
    """Paths of the programs, or skip (fail under CI) with what to install."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/lib/postgresql/15/bin"
    found = {name: shutil.which(name, path=search) for name in programs}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        refuse(f"not installed: {', '.join(missing)} (make test as root installs it)")
    return {name: str(path) for name, path in found.items()}


def refuse(why: str) -> None:
    """Skip the test visibly; under CI=true fail instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
