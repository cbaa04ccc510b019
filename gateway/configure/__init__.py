"""TOML + environment + credentials -> Settings, once; refuses to start on any mistake (ops.md 15).

Every mistake is told with file, line, key and what to write instead, all of them in one go. Secrets are never in the
file: it names a systemd credential, a file, or an environment variable.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from gateway.address import fold_address, split_address
from gateway.configure.fit import check
from gateway.configure.providers import with_mailboxes, with_provider_habits
from gateway.configure.secret import load_keys, read_secret
from gateway.configure.tables import Mistake, TomlFile
from gateway.configure.usable import check_usable, open_certificate
from gateway.desk.calendar import read_holiday_file
from gateway.outbound.templates import check_templates
from gateway.settings import Agent, Inbox, Settings

__all__ = [
    "DEFAULT_PATH",
    "ConfigurationError",
    "Mistake",
    "find_path",
    "load",
    "load_keys",
    "open_certificate",
    "read_secret",
]

DEFAULT_PATH = Path("/etc/ticketgate/ticketgate.toml")


class ConfigurationError(Exception):
    """Nothing may start; ``mistakes`` says why, all of it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def find_path(given: str | None = None) -> Path:
    """The configuration file: as given, else $TICKETGATE_CONFIG, else /etc/ticketgate/ticketgate.toml."""
    return Path(given or os.environ.get("TICKETGATE_CONFIG") or DEFAULT_PATH)


def load(path: Path, *, secrets: bool = True) -> Settings:
    """The settings of a file, its agents.toml beside it, and the token keys. Raises ConfigurationError.

    Without ``secrets`` the token keys stay empty: enough to look at things, not to run.
    """
    site = TomlFile(path)
    people = TomlFile(path.parent / "agents.toml", optional=True)
    settings = site.read(Settings, site.table, "") or Settings()
    agents = _agents(people)
    settings = replace(settings, folder=path.parent.absolute(), inbox=_inboxes(settings, agents), agents=agents)
    settings = with_provider_habits(with_mailboxes(settings), site.table)
    check(settings, site, people)
    if secrets and not site.mistakes and not people.mistakes:
        try:
            settings = replace(settings, keys=load_keys(settings.security.token_key))
        except FileNotFoundError as error:
            # `ticketgate init` makes one beside a new configuration only; a new key makes all addresses sent void.
            make = f"(umask 077; printf 'k '; openssl rand -hex 32) > {error.filename}"
            missing = f"{error.filename} does not exist; restore it from the backup, or make a new one: {make}"
            site.mistake("security.token_key", missing)
        except OSError as error:
            site.mistake("security.token_key", f"{error.filename}: {error.strerror}")
        except ValueError as error:
            site.mistake("security.token_key", str(error))
        check_usable(settings, site)
    mistakes = site.mistakes + people.mistakes
    mistakes += [Mistake(str(fault.path), fault.line, "", fault.what) for fault in check_templates(settings)]
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings


def _agents(people: TomlFile) -> dict[str, Agent]:
    read = {handle: people.read(Agent, table, handle) for handle, table in people.table.items()}
    return {handle: replace(agent, handle=handle) for handle, agent in read.items() if agent is not None}


def _inboxes(settings: Settings, agents: dict[str, Agent]) -> dict[str, Inbox]:
    """Inboxes with their names; a plain address among an inbox' agents becomes an agent of its own."""
    known = {fold_address(a) for agent in agents.values() for a in (agent.address, *agent.also)}
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
        if word.startswith("file:") and path.is_file() and os.access(path, os.R_OK):
            read += read_holiday_file(path.read_text(encoding="utf-8", errors="replace"))
        else:
            read.append(word)
    return tuple(read)
