"""config/ticketgate.toml and config/agents.toml against gateway/settings, in both directions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from gateway.configure import load
from gateway.configure.tables import TomlFile, toml_fields
from gateway.settings import Agent, Imap, Inbox, Lmtp, Settings, Smtp

CONFIG = Path(__file__).resolve().parents[2] / "config"
SITE = TomlFile(CONFIG / "ticketgate.toml")
PEOPLE = TomlFile(CONFIG / "agents.toml")
MARKED = ("EXAMPLE", "REQUIRED")


def lines(path: Path) -> dict[str, tuple[str, str]]:
    """Dotted key -> (its comment, the comment line above it); tables too."""
    found, inside, above = {}, "", ""
    for line in path.read_text().splitlines():
        header = re.match(r"\[([^\]]+)\]", line)
        key = re.match(r"(\w+)\s*=", line)
        comment = line.rpartition(" # ")[2] if " # " in line else ""
        if header:
            inside = header[1]
            found[inside] = (comment, above)
        elif key:
            found[f"{inside}.{key[1]}" if inside else key[1]] = (comment, above)
        above = line if line.startswith("#") else ""
    return found


def expected(kind: type, where: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], bool]]:
    """Every setting an operator may write, with the reference's names for inboxes and mailboxes; tables have True."""
    hints = get_type_hints(kind)
    for field in toml_fields(kind):
        path = f"{where}.{field.name}" if where else field.name
        hint = hints[field.name]
        inner = next((a for a in get_args(hint) if dataclasses.is_dataclass(a)), hint)
        named = {Inbox: "support", Imap: "support"}.get(inner)
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            yield path, field, True
            yield from expected(inner, f"{path}.{named}" if named else path)
        else:
            yield path, field, False


def value_at(table: dict[str, Any], path: str) -> Any:
    for part in path.split("."):
        table = table[part]
    return table


def default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


SETTINGS = [(path, field) for path, field, is_table in expected(Settings) if not is_table]
COMMENTS = lines(SITE.path)


@pytest.mark.parametrize(("path", "field"), SETTINGS, ids=[path for path, _ in SETTINGS])
def test_the_reference_shows_every_setting_with_its_default_or_says_that_it_does_not(
    path: str, field: dataclasses.Field[Any]
) -> None:
    assert path in COMMENTS, f"{path} is missing in config/ticketgate.toml"
    comment, above = COMMENTS[path]
    assert comment or above, f"{path} has no reason"
    written = value_at(SITE.table, path)
    if comment.strip().startswith(MARKED):
        required = default_of(field) is dataclasses.MISSING
        # Agents may be missing from the type, but not from a site: fit.py says so.
        required |= path.endswith(".agents")
        assert required == comment.strip().startswith("REQUIRED"), f"{path} is marked wrongly"
        return
    hint = next(get_type_hints(kind)[field.name] for kind in kinds() if field in dataclasses.fields(kind))
    made = SITE._value(hint, written, path)
    assert made == default_of(field), f"{path} is not the default and not marked EXAMPLE"


def kinds(kind: type = Settings) -> Iterator[type]:
    yield kind
    for hint in get_type_hints(kind).values():
        for inner in (hint, *get_args(hint)):
            if isinstance(inner, type) and dataclasses.is_dataclass(inner) and get_origin(inner) is None:
                yield from kinds(inner)


def test_the_reference_names_nothing_that_does_not_exist() -> None:
    known = {path for path, _, _ in expected(Settings)} | {"inbox.support", "receive.imap.support"}
    assert set(COMMENTS) <= known


def test_the_reference_is_a_configuration_that_loads() -> None:
    settings = load(SITE.path, secrets=False)
    assert list(settings.inbox) == ["support"]
    assert [agent.handle for agent in settings.agents_of(settings.inbox["support"])] == ["alice", "bob"]
    assert [agent.handle for agent in settings.leads_of(settings.inbox["support"])] == ["carol"]
    assert settings.receive.lmtp == Lmtp()
    assert settings.receive.smtp == Smtp()
    assert not settings.receive.imap["support"].enabled


def test_agents_toml_shows_every_setting_of_an_agent() -> None:
    shown = {key for table in PEOPLE.table.values() for key in table}
    assert shown == {field.name for field in toml_fields(Agent)}


def test_agents_toml_shows_defaults_where_it_does_not_say_otherwise() -> None:
    comments = lines(PEOPLE.path)
    by_name = {field.name: field for field in toml_fields(Agent)}
    for handle, table in PEOPLE.table.items():
        for key, value in table.items():
            comment = comments[f"{handle}.{key}"][0].strip()
            default = default_of(by_name[key])
            if default is not dataclasses.MISSING and not comment.startswith("EXAMPLE"):
                assert value == default, f"{handle}.{key}"
