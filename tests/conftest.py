"""Fixtures shared by all tests. Real servers are started by ``tests/support`` as private instances on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import in_background
from tests.support.smtp_sink import Sink, smtp_sink

pytest_plugins = [
    "tests.support.databases",
    "tests.support.postfix",
    "tests.support.dovecot",
]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Where outgoing mail goes."""
    with in_background(smtp_sink()) as running:
        yield running
