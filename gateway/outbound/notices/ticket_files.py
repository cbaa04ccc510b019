"""The answer to ``#show 4827 files``: the files themselves, and below each mail's author and time what came of each."""

from __future__ import annotations

import json

from gateway.address import clean_text
from gateway.model import Attachment
from gateway.outbound.letter import Part
from gateway.outbound.notices.scene import Scene, size_words
from gateway.outbound.words import wrap_lines


def say_files(scene: Scene, limit: int) -> tuple[str, tuple[Part, ...]]:
    """The text and the files of at most ``limit`` octets; whatever does not go along is named with the reason."""
    sources = json.loads(scene.notice.data.get("sources") or "[]")
    sorted_out = scene.sort_files(scene.notice.attachments, limit)
    lines: dict[int, list[str]] = {}
    for event, (file, why) in zip(sources, sorted_out, strict=True):
        lines.setdefault(event, []).append(_line(scene, file, "huge" if why == "size" and file.size > limit else why))
    unread = json.loads(scene.notice.data.get("unread") or "[]")
    for event, names in unread:
        lines.setdefault(event, []).extend(f"  {clean_text(name, 150)}{_why(scene, 'size')}" for name in names)
    if not lines:
        return scene.words.say("files_none"), ()
    said = [_head(scene, event) + "\n" + "\n".join(found) for event, found in lines.items()]
    missing = {event for event, (_, why) in zip(sources, sorted_out, strict=True) if why == "size"}
    sizes = {
        event: sum(f.size for e, (f, _) in zip(sources, sorted_out, strict=True) if e == event) for event in missing
    }
    if unread or any(size <= limit for size in sizes.values()):
        said.append(wrap_lines(scene.words.say("files_more")))
    parts = tuple(Part(clean_text(f.name, 150), f.type, f.content) for f, why in sorted_out if not why)
    return "\n\n".join(said), parts


def _head(scene: Scene, number: int) -> str:
    event = scene.find_event(number)
    author = scene.name(scene.person(event.party)) if event else scene.words.say("someone")
    return f"{author}, {scene.words.moment(event.at, scene.now)}:" if event else f"{author}:"


def _line(scene: Scene, file: Attachment, why: str) -> str:
    return f"  {clean_text(file.name, 150)} ({size_words(file.size)}){_why(scene, why)}"


def _why(scene: Scene, why: str) -> str:
    return f" - {scene.words.say(f'files_{why}')}" if why else ""
