"""``#show 4827 files``: the files of a ticket's mails themselves, each by its name, newest mail first (mail.md 14).

The mails are read once more for them (unpacking.py). Which files go along and which are only named, because they do not
fit or are of a refused type, the writer decides, who knows the limits of a mail.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.model import Attachment, TicketFacts
from gateway.questions import Original

_MOST_FILES = 200
"""Of one answer; the rest is named like what does not fit."""


def wanted_files(ticket: TicketFacts, answered: int) -> tuple[int, ...]:
    """The mails that carry files, newest first; before them the one that the answered mail of ours is about."""
    notice = next((e for e in ticket.events if e.number == answered), None)
    about = {answered, notice.answers if notice else 0}
    events = [e.number for e in reversed(ticket.events) if e.attachments and e.journal]
    return tuple(sorted(events, key=lambda number: number not in about))


def gather_files(
    ticket: TicketFacts, events: Iterable[int], mails: Sequence[Original]
) -> tuple[tuple[Attachment, ...], dict[str, str]]:
    """The files, each once and no two of one name; and, for the writer, whose each is and what was not read.

    ``sources``: JSON, the event of each file; ``unread``: JSON, [event, names] of mails whose files are not at hand.
    """
    read = {mail.event: mail.files for mail in mails}
    files: list[Attachment] = []
    sources: list[int] = []
    unread: list[tuple[int, list[str]]] = []
    seen: set[str] = set()
    names: set[str] = set()
    for event in events:
        found = read.get(event)
        if found is None:
            line = next(e for e in ticket.events if e.number == event)
            unread.append((event, list(line.attachments)))
            continue
        fresh = [file for file in {file.sha256: file for file in found}.values() if file.sha256 not in seen]
        seen.update(file.sha256 for file in fresh)
        room = max(0, _MOST_FILES - len(files))
        if fresh[room:]:
            unread.append((event, [file.name for file in fresh[room:]]))
        for file in fresh[:room]:
            files.append(replace(file, name=_own_name(file.name, names), inline=False, content_id=""))
            sources.append(event)
    return tuple(files), {"sources": json.dumps(sources), "unread": json.dumps(unread, ensure_ascii=False)}


def _own_name(name: str, taken: set[str]) -> str:
    """The name, or ``photo (2).jpg`` where another file has it: on a phone nobody could tell them apart."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    own, count = name, 1
    while own.casefold() in taken:
        count += 1
        own = f"{stem} ({count}){ending}"
    taken.add(own.casefold())
    return own
