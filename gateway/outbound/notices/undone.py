"""What an ``#undo`` took back, in words (``undone_`` and ``again_`` of words.toml): taking it; it is Bob's again."""

from __future__ import annotations

import json
from datetime import datetime

from gateway.address import clean_text
from gateway.outbound.addressing import display_address
from gateway.outbound.notices.scene import Scene


def say_undone(scene: Scene, facts: str) -> str:
    """The deeds of which something was put back, and what holds again; ``facts`` is the JSON of desk/retelling.py."""
    found = json.loads(facts or "{}")
    words = scene.words
    deeds = [_phrase(scene, "undone", code, value) for code, value in found.get("undone", ())]
    again = [_phrase(scene, "again", code, value) for code, value in found.get("again", ())]
    what, now = ", ".join(filter(None, deeds)), "; ".join(filter(None, again))
    said = words.say("done_undo", value=what) if what else words.say("done_undone")
    if "@" not in now.partition(" ")[0]:  # an address keeps its small letter
        now = f"{now[:1].upper()}{now[1:]}"
    return f"{said} {now}." if now else said


def _phrase(scene: Scene, table: str, code: str, value: str) -> str:
    key = f"{table}_{code}"
    if not scene.words.knows(key):
        return ""
    return scene.words.say(key, value=_value(scene, code, value))


def _value(scene: Scene, code: str, value: str) -> str:
    """A name or a title as it is; a time, a priority and an address as they are said elsewhere."""
    table = "prio" if code == "priority" else "set" if code.startswith("my-") else ""
    if table and scene.words.knows(f"{table}_{value}"):
        return scene.words.say(f"{table}_{value}")
    if code == "snoozed":
        return scene.words.full(datetime.fromisoformat(value)) if value else ""
    cleaned = clean_text(value, 200)
    return display_address(cleaned) if "@" in cleaned and " " not in cleaned else cleaned
