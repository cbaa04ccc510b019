"""A command about a ticket that came in a new mail: not done yet, and how it is (desk/misplaced.py)."""

from __future__ import annotations

from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.notices.ticket import agent_row, direct_thread, root_thread, writing


def write_misplaced(scene: Scene) -> Writing:
    """In the ticket's thread, with a link where one tap can say all of it: words of the agent's own need a reply."""
    notice, words = scene.notice, scene.flag("words")
    links = scene.links((scene.fact("order"),) if not words else (), notice.event)
    text = scene.render(
        "misplaced.txt",
        verb=scene.fact("verb"),
        order=readable(scene.fact("order")),
        text=readable(notice.text),
        words=words,
        links=links,
    )
    return writing(
        agent_row(scene, "a", notice.event),
        direct_thread(scene, notice.in_reply_to) if notice.in_reply_to else root_thread(scene, []),
        from_name=scene.inbox.name,
        text=text,
        auto_submitted="auto-replied",
        ticket_event="command",
        links=links,
    )
