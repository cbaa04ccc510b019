"""Secrets: where they are kept, never what they are (security.md 15.3)."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from gateway.reference import Keys
from gateway.settings import Secret

FORM = "a secret is written credential:NAME, file:/path or env:TICKETGATE_NAME, never as itself"
_LEAST_KEY = 16  # octets, 128 bits


def check_form(text: str) -> None:
    """ValueError when this names no place of a secret. The text itself is never repeated: it may be the secret."""
    kind, colon, name = text.partition(":")
    if kind not in ("credential", "file", "env") or not colon or not name:
        raise ValueError(FORM)
    if kind == "credential" and not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError("the name of a credential is made of letters, digits, '-', '_' and '.'")
    if kind == "file" and not name.startswith("/"):
        raise ValueError("the path of a secret is absolute: file:/path")
    if kind == "env" and not name.startswith("TICKETGATE_"):
        raise ValueError(f"environment variables must be named TICKETGATE_…, not {name}")


def read_secret(secret: Secret) -> str:
    """The text behind ``credential:NAME``, ``file:/path`` or ``env:NAME``.

    Raises ValueError with what to do, OSError when a file cannot be read.
    """
    check_form(secret)
    kind, _, name = str(secret).partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} is not set")
        return os.environ[name]
    if kind == "credential":
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError(f"credential {name}: not started by systemd with LoadCredential={name}:…")
        path = Path(folder) / name
        if not path.is_file():
            raise ValueError(f"credential {name}: the unit has no LoadCredential={name}:…")
        return path.read_text().rstrip("\n")
    path = Path(name)
    with path.open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise ValueError(f"{path} is open to everybody: chmod 0600 {path}")
        return file.read().rstrip("\n")


def load_keys(secret: Secret) -> Keys:
    """The HMAC keys: one ``ID HEX`` line each, the newest last; lines starting with "-" are only read with."""
    secrets: dict[str, bytes] = {}
    current = ""
    for line in read_secret(secret).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        retired, name = words[0].startswith("-"), words[0].lstrip("-")
        if len(words) != 2 or not re.fullmatch(r"[a-z2-7]", name) or not re.fullmatch(r"([0-9a-fA-F]{2})+", words[1]):
            # Not repeated: the line may be most of a key.
            raise ValueError("a token key line is: one letter a-z or digit 2-7, a blank, 64 hexadecimal digits")
        secrets[name] = bytes.fromhex(words[1])
        if len(secrets[name]) < _LEAST_KEY:
            raise ValueError(f"token key {name} is shorter than 128 bits")
        if not retired:
            current = name
    if not current:
        raise ValueError("no token key that may be used")
    return Keys(current, secrets)
