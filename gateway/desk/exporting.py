"""A ticket as a file somebody can keep: the mails as they came and what the desk knows about them (mail.md 14)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import msgspec

from gateway.model import TicketFacts
from gateway.questions import Original

_DATE = (1980, 1, 1, 0, 0, 0)  # the times that matter are inside; the same ticket gives the same bytes


def zip_ticket(ticket: TicketFacts, mails: Sequence[Original]) -> bytes:
    """A .zip: ``ticket.json`` with every event, and ``NNNN.eml`` for each mail, named by its event."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        facts = msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(ticket)), indent=1)
        _add(archive, "ticket.json", facts)
        for mail in mails:
            _add(archive, f"{mail.event:04}.eml", mail.raw)
    return held.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    archive.writestr(entry, content)
