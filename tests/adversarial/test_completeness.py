"""No row, no variant and no sentence of the table without its test."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from tests.adversarial.judging import CHECKS
from tests.adversarial.rows import CASES, Case

HERE = Path(__file__).parent
MODULES = [importlib.import_module(f"tests.adversarial.{path.stem}") for path in sorted(HERE.glob("test_*.py"))]


def given_cases() -> set[str]:
    """Every case that some test function here is given."""
    found: set[str] = set()
    for module in MODULES:
        for function in vars(module).values():
            for mark in getattr(function, "pytestmark", ()):
                if mark.name == "parametrize" and mark.args[0] == "case":
                    found |= {str(case) for case in mark.args[1] if isinstance(case, Case)}
    return found


def test_every_variant_of_every_row_has_a_test() -> None:
    assert {case.id for case in CASES} == {f"adv-{number:02}" for number in range(1, 81)}
    assert given_cases() == {str(case) for case in CASES}


def test_every_sentence_of_the_table_is_asserted_somewhere() -> None:
    source = "\n".join(path.read_text() for path in HERE.glob("test_*.py"))
    sentences = {text for case in CASES for text in case.checks}
    lost = {text for text in sentences if text not in CHECKS and text not in source}
    assert not lost
    written = {text for text in CHECKS if text not in sentences}
    assert not written, "a sentence nobody says any more"


def test_no_row_is_skipped_or_expected_to_fail() -> None:
    source = "\n".join(path.read_text() for path in HERE.glob("*.py") if path.name != Path(__file__).name)
    assert not re.search(r"pytest\.(?:skip|xfail|mark\.(?:skip|xfail))", source)
