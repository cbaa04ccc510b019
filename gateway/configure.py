"""TOML + environment + credentials -> Settings, once; refuses to start on any mistake (ops.md 15).

Every mistake is told with file, line, key and what to write instead, all of them in one go. Secrets are never in the
file: it names a systemd credential, a file, or an environment variable.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import stat
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import msgspec

from gateway.address import fold_address, is_address, split_address
from gateway.desk.calendar import read_holiday_file, read_hours
from gateway.reference import Keys
from gateway.settings import Agent, Duration, Imap, Inbox, Secret, Send, Settings, Size

DEFAULT_PATH = Path("/etc/ticketgate/ticketgate.toml")
_MAX_BASE = 21  # octets of the inbox's local part, so that a token fits into 64 (mail.md 4.1)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 10**6, "gb": 10**9}
_CHOICES = {
    "role": ("agent", "lead", "observer"),
    "authentication": ("aligned", "token"),
    "notify": ("all", "mine", "escalations", "digest"),
    "mode": ("all", "rotate", "digest", "none"),
    "from_style": ("agent-via", "inbox"),
    "reply_token": ("auto", "plus", "domain", "none"),
    "subject_tag": ("agents", "everyone", "nobody"),
    "customer_proof": ("token", "spf", "dkim"),
    "unknown_participant": ("show", "new-ticket"),
    "auto_replies": ("ticket", "drop"),
    "quote": ("last", "none"),
    "reference": ("footer", "none"),
    "envelope": ("auto", "verp", "plain"),
    "addresses": ("full", "hash", "domain"),
}


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


class ConfigurationError(Exception):
    """Nothing may start; ``mistakes`` says why, all of it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


# ------------------------------------------------------------------ loading


def find_path(given: str | None = None) -> Path:
    """The configuration file: as given, else $TICKETGATE_CONFIG, else /etc/ticketgate/ticketgate.toml."""
    return Path(given or os.environ.get("TICKETGATE_CONFIG") or DEFAULT_PATH)


def load(path: Path, *, secrets: bool = True) -> Settings:
    """The settings of a file, its agents.toml beside it, and the token keys. Raises ConfigurationError."""
    reader = _Reader(path)
    settings: Settings = reader.read(Settings, reader.table, "") or Settings()
    agents_path = path.parent / "agents.toml"
    agents: dict[str, Agent] = {}
    if agents_path.exists():
        people = _Reader(agents_path)
        agents = _agents(people)
        reader.mistakes += people.mistakes
    settings = replace(settings, folder=path.parent.absolute(), inbox=_inboxes(settings, agents), agents=agents)
    settings = replace(settings, receive=_mailboxes(settings))
    _check(settings, reader)
    if secrets and not reader.mistakes:
        try:
            settings = replace(settings, keys=load_keys(settings.security.token_key))
        except (OSError, ValueError) as error:
            reader.mistake("security.token_key", f"{error}; `ticketgate init` makes one")
    if reader.mistakes:
        raise ConfigurationError(reader.mistakes)
    return settings


def read_secret(secret: Secret) -> str:
    """The text behind ``credential:NAME``, ``file:/path`` or ``env:NAME``. Raises ValueError with what to do."""
    kind, _, name = str(secret).partition(":")
    if kind == "env":
        if not name.startswith("TICKETGATE_"):
            raise ValueError(f"environment variables must be named TICKETGATE_…, not {name}")
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} is not set")
        return os.environ[name]
    if kind == "credential":
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError(f"credential {name}: not started by systemd with LoadCredential={name}:…")
        return (Path(folder) / name).read_text().rstrip("\n")
    if kind == "file":
        path = Path(name)
        if path.stat().st_mode & stat.S_IROTH:
            raise ValueError(f"{path} can be read by everybody: chmod 0600 {path}")
        return path.read_text().rstrip("\n")
    raise ValueError("a secret is written credential:NAME, file:/path or env:TICKETGATE_NAME, never as itself")


def load_keys(secret: Secret) -> Keys:
    """The HMAC keys: one ``ID HEX`` line each, the newest last; lines starting with "-" are only read with."""
    secrets: dict[str, bytes] = {}
    current = ""
    for line in read_secret(secret).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        retired, name = words[0].startswith("-"), words[0].lstrip("-")
        if len(words) < 2 or not re.fullmatch(r"[a-z2-7]", name):
            raise ValueError("a token key line is: one letter a-z or digit 2-7, a blank, 64 hexadecimal digits")
        secrets[name] = bytes.fromhex(words[1])
        if len(secrets[name]) < 16:
            raise ValueError(f"token key {name} is shorter than 128 bits")
        if not retired:
            current = name
    if not current:
        raise ValueError("no token key that may be used")
    return Keys(current, secrets)


# ------------------------------------------------------------------ reading TOML into frozen types


class _Reader:
    """One TOML file: converts tables into dataclasses and collects every mistake with its line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self._lines: list[str] = []
        self.table: dict[str, Any] = {}
        try:
            text = path.read_text(encoding="utf-8")
            self._lines = text.splitlines()
            self.table = tomllib.loads(text)
        except OSError as error:
            self.mistake("", f"cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            self.mistake("", f"is not TOML: {error}")

    def mistake(self, key: str, what: str) -> None:
        self.mistakes.append(Mistake(str(self.path), self._line(key), key, what))

    def read(self, kind: Any, table: Any, where: str) -> Any:
        """A dataclass from a table; None when it could not be made (the mistakes say why)."""
        if not isinstance(table, dict):
            self.mistake(where, "must be a table")
            return None
        hints = get_type_hints(kind)
        known = [f.name for f in dataclasses.fields(kind)]
        hidden = {"handle", "keys", "agents", "folder"} if kind is not Inbox else {"handle"}
        values: dict[str, Any] = {}
        for key, value in table.items():
            path = f"{where}.{key}" if where else key
            if key not in known or key in hidden:
                close = difflib.get_close_matches(key, [k for k in known if k not in hidden], 1)
                self.mistake(path, "unknown key" + (f'; did you mean "{close[0]}"?' if close else ""))
                continue
            converted = self._value(hints[key], value, path, key)
            if converted is not _BAD:
                values[key] = converted
        required = (
            f.name
            for f in dataclasses.fields(kind)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        )
        missing = [n for n in required if n not in table and n not in hidden]
        for name in missing:
            self.mistake(where, f'"{name}" is required')
        if missing or (set(values) != set(table) and any(n not in values for n in required)):
            return None
        try:
            return kind(**values)
        except TypeError:
            return None

    def _value(self, hint: Any, value: Any, path: str, key: str) -> Any:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (types.UnionType, Union):
            inner = next(a for a in arguments if a is not type(None))
            return None if value == "off" else self._value(inner, value, path, key)
        if dataclasses.is_dataclass(hint):
            made = self.read(hint, value, path)
            return _BAD if made is None else made
        if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
            return self._mapping(arguments[1], value, path, key)
        if origin is tuple:
            return self._tuple(arguments[0], value, path, key)
        try:
            if hint in (Duration, Size):
                return _READERS[hint](value)
            made = msgspec.convert(value, type=str if hint is Secret else hint, strict=True)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            self.mistake(path, str(error).replace("Expected", "expected"))
            return _BAD
        if key in _CHOICES and made not in _CHOICES[key]:
            close = difflib.get_close_matches(str(made), _CHOICES[key], 1)
            choices = ", ".join(f'"{c}"' for c in _CHOICES[key])
            self.mistake(path, f'"{made}" is not one of {choices}' + (f'; did you mean "{close[0]}"?' if close else ""))
            return _BAD
        return Secret(made) if hint is Secret else made

    def _mapping(self, hint: Any, value: Any, path: str, key: str) -> Any:
        if not isinstance(value, dict):
            self.mistake(path, "must be a table")
            return _BAD
        made = {name: self._value(hint, item, f"{path}.{name}", name) for name, item in value.items()}
        return {name: item for name, item in made.items() if item is not _BAD}

    def _tuple(self, hint: Any, value: Any, path: str, key: str) -> Any:
        if not isinstance(value, list):
            self.mistake(path, 'must be a list, e.g. ["…"]')
            return _BAD
        made = tuple(self._value(hint, item, path, "") for item in value)
        return _BAD if _BAD in made else made

    def _line(self, key: str) -> int:
        """The line of a dotted key: in its table, or the table's own line."""
        if not key:
            return 0
        parts, inside, table_line = key.split("."), "", 0
        for number, line in enumerate(self._lines, 1):
            header = re.match(r"\s*\[([^\[\]]+)\]", line)
            if header:
                inside = header[1].replace('"', "").replace(" ", "")
                if inside == key:
                    return number
                if key.startswith(inside + "."):
                    table_line = number
            elif re.match(rf'\s*"?{re.escape(parts[-1])}"?\s*=', line) and inside == ".".join(parts[:-1]):
                return number
        return table_line


_BAD = object()


def _duration(value: Any) -> Duration:
    """``90s``, ``15m``, ``4h``, ``3d``, ``2w``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", str(value).strip())
    if not found or not isinstance(value, str):
        raise ValueError(f'"{value}" is not a duration; write "90s", "15m", "4h", "3d" or "2w"')
    return Duration(seconds=float(found[1]) * _UNITS[found[2]])


def _size(value: Any) -> Size:
    """``25MiB``, or a number of bytes."""
    found = re.fullmatch(r"(\d+)\s*([a-z]*)", str(value).strip().lower())
    if not found or found[2] not in _SIZES or isinstance(value, bool):
        raise ValueError(f'"{value}" is not a size; write "25MiB"')
    return Size(int(found[1]) * _SIZES[found[2]])


_READERS: dict[Any, Any] = {Duration: _duration, Size: _size}


def _agents(people: _Reader) -> dict[str, Agent]:
    agents = {}
    for handle, table in people.table.items():
        agent = people.read(Agent, {**table} if isinstance(table, dict) else table, handle)
        if agent is not None:
            agents[handle] = replace(agent, handle=handle)
    return agents


def _inboxes(settings: Settings, agents: dict[str, Agent]) -> dict[str, Inbox]:
    """Inboxes with their names; a plain address among an inbox' agents becomes an agent of its own."""
    known = {fold_address(a.address) for a in agents.values()}
    for inbox in settings.inbox.values():
        for word in inbox.agents:
            if "@" in word and fold_address(word) not in known:
                local = split_address(word)[0]
                handle = re.sub(r"[^a-z0-9._-]", "", local.lower()) or "agent"
                while handle in agents:
                    handle += "2"
                agents[handle] = Agent(handle=handle, name=local.replace(".", " ").title(), address=word)
                known.add(fold_address(word))
    return {
        name: replace(inbox, handle=name, hours=replace(inbox.hours, holidays=_holidays(inbox.hours.holidays)))
        for name, inbox in settings.inbox.items()
    }


def _holidays(words: tuple[str, ...]) -> tuple[str, ...]:
    """Holidays with the files read; a file that cannot be read stays as it is and is told by the check."""
    read: list[str] = []
    for word in words:
        path = Path(word.removeprefix("file:"))
        if word.startswith("file:") and path.is_file():
            read += read_holiday_file(path.read_text(encoding="utf-8", errors="replace"))
        else:
            read.append(word)
    return tuple(read)


def _mailboxes(settings: Settings) -> Any:
    imap = {name: _preset(replace(m, handle=name, inbox=m.inbox or name)) for name, m in settings.receive.imap.items()}
    return replace(settings.receive, imap=imap)


_PRESETS = {
    "gmail": ("imap.gmail.com", 993),
    "microsoft365": ("outlook.office365.com", 993),
    "yahoo": ("imap.mail.yahoo.com", 993),
}


def _preset(mailbox: Imap) -> Imap:
    host, port = _PRESETS.get(mailbox.preset, (mailbox.host, mailbox.port))
    return replace(mailbox, host=mailbox.host or host, port=port if mailbox.preset in _PRESETS else mailbox.port)


# ------------------------------------------------------------------ what fits together


def _check(settings: Settings, reader: _Reader) -> None:
    if not reader.mistakes and not settings.inbox:
        reader.mistake("inbox", "at least one inbox is needed: [inbox.support] with address and name")
    for name, inbox in settings.inbox.items():
        _check_inbox(settings, reader, f"inbox.{name}", inbox)
    for handle, agent in settings.agents.items():
        if not is_address(agent.address):
            reader.mistake(handle, f'"{agent.address}" is not an address (agents.toml)')
        elif settings.is_own_address(agent.address):
            reader.mistake(handle, f"{agent.address} is one of our inboxes: mail would run in a circle (agents.toml)")
        if agent.timezone:
            _check_zone(reader, f"{handle}.timezone", agent.timezone)
    _check_zone(reader, "ticketgate.timezone", settings.ticketgate.timezone)
    for name, mailbox in settings.receive.imap.items():
        if mailbox.inbox not in settings.inbox:
            reader.mistake(f"receive.imap.{name}", f"feeds the inbox {mailbox.inbox}, which is not configured")
        if mailbox.tls == "none" and not _is_loopback(mailbox.host):
            reader.mistake(f"receive.imap.{name}.tls", "plain text is refused unless the host is loopback")
    _check_send(reader, settings.send)


def _check_inbox(settings: Settings, reader: _Reader, where: str, inbox: Inbox) -> None:
    for address in (inbox.address, *inbox.aliases):
        if not is_address(address):
            reader.mistake(f"{where}.address", f'"{address}" is not an address')
    if inbox.reply_token in ("auto", "plus") and len(split_address(inbox.address)[0]) > _MAX_BASE:
        reader.mistake(
            f"{where}.address", f'the part before "@" may have {_MAX_BASE} characters with reply_token "plus"'
        )
    if inbox.reply_token == "domain" and not inbox.reply_domain:
        reader.mistake(f"{where}.reply_domain", 'is required with reply_token = "domain"')
    try:
        read_hours(inbox.hours)
    except ValueError as error:
        reader.mistake(f"{where}.hours", str(error))
    for word in inbox.hours.holidays:
        if word.startswith("file:"):
            reader.mistake(f"{where}.hours.holidays", f"{word.removeprefix('file:')} cannot be read")
    for word in (*inbox.agents, *inbox.lead):
        if word not in settings.agents and settings.find_agent(word) is None:
            close = difflib.get_close_matches(word, list(settings.agents), 1)
            hint = f'; did you mean "{close[0]}"?' if close else " (agents.toml)"
            reader.mistake(f"{where}.agents", f'"{word}" is not a known agent{hint}')


def _check_zone(reader: _Reader, key: str, zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        reader.mistake(key, f'"{zone}" is not a time zone; write e.g. "Europe/Berlin"')


def _check_send(reader: _Reader, send: Send) -> None:
    if send.tls == "none" and not _is_loopback(send.host):
        reader.mistake("send.tls", "plain text is refused unless the host is loopback")
    if send.auth != "none" and not send.user:
        reader.mistake("send.user", f'is required with auth = "{send.auth}"')


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
