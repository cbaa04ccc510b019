"""One TOML file: its tables become the frozen types of settings, and every mistake is collected with its line."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from gateway import settings
from gateway.configure.secret import check_form
from gateway.settings import Agent, Duration, Imap, Inbox, Secret, Settings, Size

T = TypeVar("T")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 10**6, "gb": 10**9}
_AUTH = ("password", "app-password", "oauth2-refresh", "oauth2-client")
_CHOICES: dict[type, dict[str, tuple[str, ...]]] = {
    Agent: {
        "role": ("agent", "lead", "observer"),
        "authentication": ("aligned", "token"),
        "notify": ("all", "mine", "escalations", "digest"),
    },
    Inbox: {
        "from_style": ("agent-via", "inbox"),
        "reply_token": ("auto", "plus", "domain", "none"),
        "subject_tag": ("agents", "everyone", "nobody"),
    },
    settings.Offer: {"mode": ("all", "rotate", "digest", "none")},
    Imap: {
        "preset": ("custom", "gmail", "microsoft365", "yahoo"),
        "tls": ("implicit", "starttls", "none"),
        "auth": _AUTH,
    },
    settings.Authentication: {"customer_proof": ("token", "spf", "dkim")},
    settings.Send: {
        "tls": ("auto", "implicit", "starttls", "none"),
        "auth": ("none", *_AUTH),
        "envelope": ("auto", "verp", "plain"),
    },
    settings.Tickets: {"auto_replies": ("ticket", "drop"), "unknown_participant": ("show", "new-ticket")},
    settings.Customer: {"quote": ("last", "none"), "html": ("auto", "never"), "reference": ("footer", "none")},
    settings.Log: {
        "level": ("debug", "info", "warning", "error"),
        "format": ("auto", "plain", "json"),
        "addresses": ("full", "hash", "domain"),
    },
}
_NOT_TOML: dict[type, frozenset[str]] = {
    Settings: frozenset({"agents", "keys", "folder"}),
    Agent: frozenset({"handle"}),
    Inbox: frozenset({"handle"}),
    Imap: frozenset({"handle"}),
}
"""Fields that configure itself fills in."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the configuration."""

    file: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.what}" if self.key else f"{place}: {self.what}"


def toml_fields(kind: type) -> list[dataclasses.Field[Any]]:
    """The fields of a settings type that may stand in TOML, in their order."""
    return [f for f in dataclasses.fields(kind) if f.name not in _NOT_TOML.get(kind, ())]


class TomlFile:
    """A file that was read; ``table`` is empty when it could not be, and ``mistakes`` says why."""

    def __init__(self, path: Path, *, optional: bool = False) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self.table: dict[str, Any] = {}
        self._lines: list[str] = []
        if optional and not path.exists():
            return
        try:
            text = path.read_text(encoding="utf-8")
            self._lines = text.splitlines()
            self.table = tomllib.loads(text)
        except OSError as error:
            self.mistake("", f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self.mistake("", f"is not UTF-8: octet {error.start}")
        except tomllib.TOMLDecodeError as error:
            found = re.search(r" \(at line (\d+), column \d+\)", str(error))
            what = str(error).replace(found[0], "") if found else str(error)
            self.mistakes.append(Mistake(str(path), int(found[1]) if found else 0, "", f"is not TOML: {what}"))

    def mistake(self, key: str, what: str) -> None:
        """Note that something is wrong with a dotted key."""
        self.mistakes.append(Mistake(str(self.path), self._line(key), key, what))

    def read(self, kind: type[T], table: Any, where: str) -> T | None:
        """A dataclass from a table; None when it could not be made (the mistakes say why)."""
        if not isinstance(table, dict):
            self.mistake(where, "must be a table")
            return None
        hints = get_type_hints(kind)
        known = {f.name: f for f in toml_fields(kind)}
        values: dict[str, Any] = {}
        for key, value in table.items():
            path = f"{where}.{key}" if where else key
            if key not in known:
                self.mistake(path, "unknown key" + _did_you_mean(key, known))
                continue
            converted = self._value(hints[key], value, path, _CHOICES.get(kind, {}).get(key, ()))
            if converted is not _BAD:
                values[key] = converted
        required = [name for name, f in known.items() if _is_required(f)]
        for name in required:
            if name not in table:
                self.mistake(f"{where}.{name}", "is required")
        return kind(**values) if all(name in values for name in required) else None

    def _value(self, hint: Any, value: Any, path: str, choices: tuple[str, ...] = ()) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (types.UnionType, Union):
            inner = next(a for a in arguments if a is not type(None))
            return None if value == "off" else self._value(inner, value, path, choices)
        if dataclasses.is_dataclass(hint):
            made = self.read(hint, value, path)  # type: ignore[arg-type]
            return _BAD if made is None else made
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(arguments[1], value, path)
        if origin is tuple:
            return self._tuple(arguments[0], value, path)
        try:
            return _scalar(hint, value, choices)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            self.mistake(path, str(error).replace("Expected", "expected"))
            return _BAD

    def _mapping(self, hint: Any, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            self.mistake(path, "must be a table")
            return _BAD
        made = {name: self._value(hint, item, f"{path}.{name}") for name, item in value.items()}
        return {name: item for name, item in made.items() if item is not _BAD}

    def _tuple(self, hint: Any, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            self.mistake(path, 'must be a list, e.g. ["…"]')
            return _BAD
        made = tuple(self._value(hint, item, path) for item in value)
        return _BAD if any(item is _BAD for item in made) else made

    def _line(self, key: str) -> int:
        """The line of a dotted key; of what stands nearest above it in the tree when it has none of its own."""
        inside, nearest, nearest_line = "", "", 0
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[([^\[\]]+)\]", line)
            assigned = re.match(r"\s*([A-Za-z0-9_\"'. -]+?)\s*=", line)
            if header:
                inside = found = _plain_key(header[1])
            elif assigned:
                name = _plain_key(assigned[1])
                found = f"{inside}.{name}" if inside else name
            else:
                continue
            if key and found == key:
                return number
            if key.startswith(found + ".") and len(found) > len(nearest):
                nearest, nearest_line = found, number
        return nearest_line


_BAD = object()


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain_key(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _did_you_mean(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _scalar(hint: Any, value: Any, choices: tuple[str, ...]) -> Any:
    if hint is Duration:
        return _duration(value)
    if hint is Size:
        return _size(value)
    made = msgspec.convert(value, type=str if hint is Secret else hint, strict=True)
    if hint is int and isinstance(made, int) and made < 0:
        raise ValueError(f"{made} is negative")
    if choices and made not in choices:
        listed = ", ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f'"{made}" is not one of {listed}' + _did_you_mean(str(made), choices))
    if hint is Secret:
        if made:
            check_form(made)
        return Secret(made)
    return made


def _duration(value: Any) -> Duration:
    """``90s``, ``15m``, ``4h``, ``3d``, ``2w``."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f'"{value}" is not a duration; write "90s", "15m", "4h", "3d" or "2w"')
    try:
        return Duration(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        raise ValueError(f'"{value}" is longer than time lasts') from None


def _size(value: Any) -> Size:
    """``25MiB``, or a number of octets."""
    found = re.fullmatch(r"(\d{1,15})\s*([a-z]*)", str(value).strip().lower())
    if not found or found[2] not in _SIZES or not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError(f'"{value}" is not a size; write "25MiB"')
    return Size(int(found[1]) * _SIZES[found[2]])
