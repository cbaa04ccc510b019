"""The answer to ``#history``: each line of a ticket's history in the reader's words and zone (mail.md 14).

The log has codes, because programs read it; what a person is shown of a line's reason depends on its kind. A kind whose
reason is no words for people shows none.
"""

from __future__ import annotations

import re
from datetime import datetime

from gateway.model import EventFact
from gateway.outbound.notices.rows import cell
from gateway.outbound.notices.scene import Scene

_WRITTEN = frozenset({"tag", "subject", "move", "cc", "uncc", "from", "block", "unblock", "undelivered-session"})
"""Kinds whose reason is what somebody wrote: shown as it is."""
_TIMES = frozenset({"snooze", "followup"})
_TICKETS = frozenset({"merged", "merge", "unmerged", "unmerge", "split"})
_STOPS = frozenset({"held", "expired", "unproven"})
_CLOCKS = frozenset({"reminder", "escalation"})
_UNPROVEN = frozenset({"new-unproven", "author-unproven", "unknown-sender", "token-only", "unreadable"})
_LONGEST = 80


def say_kind(scene: Scene, kind: str) -> str:
    """What happened, in words; a kind that has none is shown as it is written."""
    key = f"kind_{kind}"
    return scene.words.say(key) if scene.words.knows(key) else cell(kind)


def history_line(scene: Scene, event: EventFact) -> str:
    """``  12  Mon 23 Nov, 10:04  snoozed  Alice Ahmed  (Thu, 26 Nov 2026, 09:00)``."""
    author = scene.person(event.party)
    who = f"  {scene.name(author)}" if author else ""
    said = scene.absence(event) or say_kind(scene, event.kind)
    detail = say_detail(scene, event)
    why = f"  ({detail})" if detail else ""
    return f"{event.number:>4}  {scene.words.moment(event.at, scene.now)}  {said}{who}{why}"


def say_detail(scene: Scene, event: EventFact) -> str:
    """What of a line's reason and facts means something to a person; "" for nothing."""
    words, kind, reason = scene.words, event.kind, event.reason
    if kind == "assign":
        return scene.name(scene.person(int(event.data.get("owner") or 0)))
    if kind in _TICKETS:
        number = re.search(r"[0-9]+", reason or event.data.get("into", "") or event.data.get("from", ""))
        return f"#{number[0]}" if number else ""
    if not reason:
        return ""
    if kind in _TIMES:
        return _time(scene, reason)
    if kind in _WRITTEN:
        return cell(reason, _LONGEST)
    if kind == "prio":
        return _worded(scene, f"prio_{reason}") or cell(reason)
    if kind in _STOPS:
        return _worded(scene, f"stopped_{reason}") or words.say("stopped_other")
    if kind in _CLOCKS:
        return _worded(scene, f"step_{re.sub(r'-[0-9]+$', '', reason)}")
    if kind == "release":  # by the clock, when its owner left
        return words.say("why_left", name=cell(reason.partition(" ")[0]))
    if kind == "mail" and reason in _UNPROVEN:
        return words.say("stopped_author-unproven")
    return _worded(scene, f"why_{kind}_{reason}")


def _time(scene: Scene, written: str) -> str:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return ""
    return scene.words.full(at) if at.tzinfo else ""


def _worded(scene: Scene, key: str) -> str:
    return scene.words.say(key) if scene.words.knows(key) else ""
