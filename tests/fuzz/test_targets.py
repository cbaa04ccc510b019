"""The fuzz targets without the fuzzer: on their seeds, and on seeds with a few bytes changed, the same every time."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import TARGETS

_PIECES = (b"\r\n", b"\n", b"\0", b" ", b"\t", b":", b";", b'"', b"<", b">", b"@", b"#", b"=?", b"\xff", b"--x", b"> ")


def damaged(seed: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four small accidents."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        accident = chance.randrange(3)
        if accident == 0:
            data[at:at] = chance.choice(_PIECES)
        elif accident == 1:
            del data[at : at + chance.randint(1, 20)]
        else:
            data[at:at] = data[at : at + chance.randint(1, 40)] * chance.randint(1, 3)
    return bytes(data)


def test_every_target_is_run_by_make_fuzz() -> None:
    assert set(NAMES) == set(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_survives_its_seeds_and_their_accidents(name: str) -> None:
    target, chance = TARGETS[name], random.Random(name)
    for seed in target.seeds:
        target.run(seed)
    for _ in range(60):
        target.run(damaged(chance.choice(target.seeds), chance))
