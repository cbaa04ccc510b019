"""Fixtures shared by all tests. Real servers are started by ``tests/support`` as private instances on loopback."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults.covered import rows_of

pytest_plugins = [
    "tests.support.databases",
    "tests.support.postfix",
    "tests.support.dovecot",
    "tests.support.smtp_sink",
]


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """``-k fault_39`` finds the test of that row wherever it stands."""
    for item in items:
        item.extra_keyword_matches.update(rows_of(item.nodeid))
