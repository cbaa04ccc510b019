"""Why something was not done, as a sentence of the reader's language (``held_REASON`` of words.toml)."""

from __future__ import annotations

from datetime import datetime

from gateway.address import clean_text
from gateway.outbound.notices.scene import Scene, readable

_FACTS = ("verb", "value", "names", "hint")


def say_problem(scene: Scene) -> str:
    """The sentence for the notice's reason, without a full stop; "" when there is none."""
    reason, words = scene.notice.reason, scene.words
    if not reason or not words.knows(f"held_{reason}"):
        return ""
    facts = {name: readable(scene.fact(name)) for name in _FACTS}
    facts["when"] = _when(scene)
    if reason == "already-decided":
        facts["value"] = say_decided(scene)
    if reason == "not-allowed" and words.knows(f"role_{facts['value']}"):
        facts["value"] = words.say(f"role_{facts['value']}")
    if scene.fact("doubt"):
        facts["names"] = _doubt(scene)
    return words.say(f"held_{reason}", **facts)


def say_decided(scene: Scene) -> str:
    """What became of held text before, when and by whom: ``the text was sent, Mon, 23 Nov 2026, 10:04, by you``."""
    key = f"decided_{scene.fact('resolution')}"
    said = scene.words.say(key) if scene.words.knows(key) else scene.words.say("decided_other")
    return ", ".join(part for part in (said, _when(scene)) if part)


def _when(scene: Scene) -> str:
    """When the thing was done that the notice is about, and by whom; "" when nobody knows."""
    at, by = scene.notice.data.get("at", ""), scene.fact("by")
    when = scene.words.full(datetime.fromisoformat(at)) if at else ""
    own = by == scene.recipient.agent
    who = scene.words.say("by_you") if own else scene.words.say("by_name", name=_name(scene, by)) if by else ""
    return ", ".join(part for part in (when, who) if part)


def _name(scene: Scene, handle: str) -> str:
    agent = scene.settings.agents.get(handle)
    return readable(clean_text(agent.name if agent and agent.name else handle, 60))


def _doubt(scene: Scene) -> str:
    """What makes a merge doubtful."""
    nobody = scene.words.say("nobody")
    ours, theirs = (readable(scene.fact(name)) or nobody for name in ("ours", "theirs"))
    key = f"doubt_{scene.fact('doubt')}"
    return scene.words.say(key, one=scene.fact("one"), other=scene.fact("other"), ours=ours, theirs=theirs)
