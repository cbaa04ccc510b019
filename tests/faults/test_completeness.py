"""Every row of the fault list has its test."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.faults.covered import COVERED, rows_of

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((ROOT / "tests/adversarial/adversarial.toml").read_text())
IDS = [row["id"] for row in TABLE["fault"]]


def functions(path: Path) -> set[str]:
    """The test functions of a file that are not skipped as a whole."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            if not marks & {"pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"}:
                found.add(node.name)
    return found


HERE = {name for path in Path(__file__).parent.glob("test_*.py") for name in functions(path)}


def test_the_list_has_77_rows() -> None:
    assert [f"fault-{number:02}" for number in range(1, 78)] == IDS


@pytest.mark.parametrize("row", IDS)
def test_the_row_has_a_test(row: str) -> None:
    number = row.partition("-")[2]
    named = {name for name in HERE if number in re.findall(r"fault_(\d\d)", name)}
    assert named or row in COVERED


@pytest.mark.parametrize("node", sorted({node for nodes in COVERED.values() for node in nodes}))
def test_what_covers_a_row_exists(node: str) -> None:
    file, _, name = node.partition("::")
    assert name in functions(ROOT / file)


def test_only_rows_of_the_list_are_covered() -> None:
    assert set(COVERED) <= set(IDS)


@pytest.mark.parametrize("row", sorted(COVERED))
def test_a_row_that_stands_elsewhere_is_found_by_its_id(row: str) -> None:
    """As ``pytest -k fault_39`` looks for it (tests/conftest.py)."""
    assert all(row.replace("-", "_") in rows_of(f"{node}[any]") for node in COVERED[row])
