"""System tests: the daemon as a process, with real servers around it. They need root, and say so when skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dns_server import running_dns
from tests.support.dovecot import DovecotServer
from tests.support.gateway import in_background, published_zone
from tests.support.site import Site


@pytest.fixture
def site(postfix_folder: Path, dovecot: DovecotServer) -> Iterator[Site]:
    """The whole site, mail coming in over LMTP, tickets on SQLite."""
    with Site(postfix_folder, dovecot) as running:
        yield running


@pytest.fixture(scope="session")
def resolver() -> Iterator[str]:
    """The address of a name server that publishes the keys of customers and agents."""
    with in_background(running_dns(published_zone())) as dns:
        yield dns.address
