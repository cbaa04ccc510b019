"""Several gateways on one database, Postfix in front, one killed after the other: nothing is lost, nothing doubled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.soak import Soak
from tests.support.databases import PostgresServer

pytestmark = [pytest.mark.system, pytest.mark.postfix, pytest.mark.postgresql, pytest.mark.timeout(400)]


def test_three_gateways_that_are_killed_at_random_lose_and_double_nothing(
    postfix_folder: Path, postgres_server: PostgresServer
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    soak = Soak(postfix_folder, postgres_server.create_database(), 3, seed)
    played = soak.play(20.0)
    print(played)
    assert played.kills and len(played.mails) > 5
    assert not played.violations, "\n".join([*played.violations, *(gateway.log(40) for gateway in soak.gateways)])
