from __future__ import annotations
from collections.abc import Iterator
from bench.tally import Corpora, Measured


def measure(corpora: Corpora) -> Iterator[Measured]:
    return iter(())
