"""Why something was not done, as a sentence of the reader's language (``held_REASON`` of words.toml)."""

from __future__ import annotations

from gateway.outbound.notices.scene import Scene, readable

_FACTS = ("verb", "value", "names", "hint")


def say_problem(scene: Scene) -> str:
    """The sentence for the notice's reason, without a full stop; "" when there is none."""
    reason, words = scene.notice.reason, scene.words
    if not reason or not words.knows(f"held_{reason}"):
        return ""
    facts = {name: readable(scene.fact(name)) for name in _FACTS}
    if reason == "not-allowed" and words.knows(f"role_{facts['value']}"):
        facts["value"] = words.say(f"role_{facts['value']}")
    if scene.fact("doubt"):
        facts["names"] = _doubt(scene)
    return words.say(f"held_{reason}", **facts)


def _doubt(scene: Scene) -> str:
    """What makes a merge doubtful."""
    nobody = scene.words.say("nobody")
    ours, theirs = (readable(scene.fact(name)) or nobody for name in ("ours", "theirs"))
    key = f"doubt_{scene.fact('doubt')}"
    return scene.words.say(key, one=scene.fact("one"), other=scene.fact("other"), ours=ours, theirs=theirs)
