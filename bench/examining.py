"""The command that is measured: ``ticketgate examine --json`` over many files, as an operator runs it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Found = dict[str, Any]

_TICKETGATE = str(Path(sys.executable).with_name("ticketgate"))
_A_CALL = 250
"""Files a call."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Mails that arrive the same way."""

    mails: Sequence[bytes]
    zone: Mapping[str, Any] = field(default_factory=dict)  # the only DNS there is
    client_ip: str = ""
    mail_from: str = ""
    helo: str = ""
    received: str = ""  # ISO 8601


def examine(mails: Sequence[bytes]) -> list[Found]:
    """What the command says about each mail, in order; {} where it says nothing. Nothing is asked of DNS."""
    calls = [Call(mails=mails[begin : begin + _A_CALL]) for begin in range(0, len(mails), _A_CALL)]
    return [found for answers in map(run, calls) for found in answers]


def examine_each(calls: Sequence[Call]) -> list[list[Found]]:
    """Several calls, as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(run, calls))


def run(call: Call) -> list[Found]:
    """One call of the command."""
    with tempfile.TemporaryDirectory(prefix="tg-accuracy-") as name:
        folder = Path(name)
        (folder / "zone.json").write_text(json.dumps(call.zone), encoding="utf-8")
        names = [f"{number}.eml" for number in range(len(call.mails))]
        for file, raw in zip(names, call.mails, strict=True):
            (folder / file).write_bytes(raw)
        asked = {
            "client-ip": call.client_ip,
            "mail-from": call.mail_from,
            "helo": call.helo,
            "received": call.received,
        }
        options = [f"--{option}={value}" for option, value in asked.items() if value]
        command = [_TICKETGATE, "examine", "--json", "--zone=zone.json", *options, "--", *names]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    said = {found["file"]: found for found in map(json.loads, done.stdout.splitlines())}
    if not said:
        raise RuntimeError(f"ticketgate examine said nothing: {done.stderr.decode('utf-8', 'replace')[-500:]}")
    return [said.get(file, {}) for file in names]


def as_mail(text: str, subtype: str = "plain", author: str = "") -> bytes:
    """The smallest mail that has this text and nothing else."""
    return _mail(f'text/{subtype}; charset="utf-8"', "", text.encode("utf-8", "replace"), author)


def as_attachment(data: bytes, type_: str, name: str) -> bytes:
    """The smallest mail that carries this file."""
    return _mail(f'{type_}; name="{name}"', f'Content-Disposition: attachment; filename="{name}"\r\n', data, "")


def _mail(type_: str, more: str, data: bytes, author: str) -> bytes:
    header = (
        # An address that lends no word to anybody's name: whose text it is, the rows do not say.
        f"From: {author or 'x@elsewhere.test'}\r\nTo: desk@desk.test\r\n"
        f"Date: Mon, 23 Nov 2026 09:58:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: {type_}\r\n{more}"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return header.encode("utf-8") + base64.encodebytes(data).replace(b"\n", b"\r\n")
