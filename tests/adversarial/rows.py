"""The rows of adversarial.toml as values: one case for each row or variant, macros and tokens filled in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.desk import Desk
from tests.support.signing import T, private_pem, sign

_TABLE = tomllib.loads((Path(__file__).parent / "adversarial.toml").read_text())
MACROS: Mapping[str, str] = _TABLE["macro"]


@dataclass(frozen=True)
class Case:
    """One row, or one variant of it; ``expect`` has its defaults filled in."""

    id: str
    variant: str
    title: str
    area: str
    fields: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id.replace("-", "_") + (f"/{self.variant}" if self.variant else "")

    def get(self, name: str, otherwise: Any = "") -> Any:
        return self.fields.get(name, otherwise)

    @property
    def checks(self) -> list[str]:
        return list(self.expect.get("check", []))


def _cases(row: Mapping[str, Any]) -> list[Case]:
    shared = {name: value for name, value in row.items() if name != "variants"}
    made = []
    for variant in row.get("variants", [{}]):
        fields = shared | {name: value for name, value in variant.items() if name != "name"}
        expect = _TABLE["default_expect"] | fields.pop("expect")
        made.append(Case(row["id"], variant.get("name", ""), row["title"], row["area"], fields, expect))
    return made


CASES = [case for row in _TABLE["input"] for case in _cases(row)]


def cases(*ids: str) -> list[Case]:
    """All variants of some rows; "adv-01..13" means a range."""
    wanted: set[str] = set()
    for one in ids:
        first, _, last = one.removeprefix("adv-").partition("..")
        wanted |= {f"adv-{number:02}" for number in range(int(first), int(last or first) + 1)}
    found = [case for case in CASES if case.id in wanted]
    assert found
    return found


# ------------------------------------------------------------------ bytes


def fill(text: str, desk: Desk) -> str:
    """The text with every {{name}} replaced."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return MACROS[name] if name in MACROS else desk.token(name)

    return re.sub(r"\{\{(\w+)\}\}", value, text)


def message(case: Case, desk: Desk) -> bytes:
    """The mail of a row, not yet signed."""
    if "python" in case.fields:
        known: dict[str, Any] = {name: text.encode("latin-1") for name, text in MACROS.items()}
        made = eval(case.get("python"), known)
        assert isinstance(made, bytes)
        return made
    return fill(case.get("raw"), desk).encode("latin-1")


def key_of(domain: str, named: str = "") -> str:
    """The name of a test key: "rsa2048:customer" for customer.test."""
    return named or f"rsa2048:{domain.partition('.')[0]}"


def add_signatures(raw: bytes, case: Case) -> bytes:
    """The signatures of a row, the last one on top."""
    for one in case.get("sign", []):
        how = {name: one[name] for name in ("s", "h", "c", "a", "tags") if name in one}
        has_time = re.search(r"(?:^|;)\s*t=", how.get("tags", ""))
        raw = sign(raw, one["d"], t=None if has_time else T, key=key_of(one["d"], one.get("key", "")), **how)
    return raw


Change = Callable[[bytes], bytes]

__all__ = ["CASES", "Case", "Change", "add_signatures", "cases", "fill", "key_of", "message", "private_pem"]
