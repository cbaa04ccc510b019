"""The layering contract really fails: on an import upwards or sideways, and on a module nobody placed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package with its contract."""
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


def check(house: Path) -> subprocess.CompletedProcess[str]:
    """What lint-imports says about the copy."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_house_keeps_its_contract(house: Path) -> None:
    assert check(house).returncode == 0


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("analysis/parse.py", "from gateway.store import journal"),  # sideways: room to room
        ("desk/policy.py", "from gateway.outbound import compose"),  # upwards: rule to room
        ("receive.py", "from gateway import pipeline"),  # use case to use case
        ("model/facts.py", "from gateway import settings"),  # foundation to one above it
    ],
)
def test_an_import_that_goes_up_or_sideways_breaks_it(house: Path, module: str, line: str) -> None:
    file = house / "gateway" / module
    file.write_text(file.read_text() + f"\n{line}  # noqa\n")
    result = check(house)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout


def test_a_module_that_nobody_placed_breaks_it(house: Path) -> None:
    (house / "gateway" / "helpers.py").write_text("x = 1\n")
    result = check(house)
    assert result.returncode != 0
    assert "gateway.helpers" in result.stdout
