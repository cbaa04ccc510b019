"""Mail that stops something: an agent's answer that was held, or one that could not be delivered (mail.md 12.2)."""

from __future__ import annotations

import re
from datetime import timedelta

from gateway.model import EventFact, HeldFact, Person
from gateway.outbound import thread
from gateway.outbound.addressing import display_address
from gateway.outbound.letter import Part
from gateway.outbound.notices.customer import without_salutation
from gateway.outbound.notices.problems import say_problem
from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.notices.ticket import agent_row, direct_thread, root_thread, writing

_TEMPLATES = {
    "collision": "held-collision.txt",
    "command": "held-command.txt",
    "agent-token": "held-token.txt",
    "no-token": "held-token.txt",
    "agent-unproven": "held-unproven.txt",
    "dmarc-fail": "held-unproven.txt",
    "signature-old": "held-unproven.txt",
    "not-addressed": "held-unproven.txt",
    "auth-temperror": "held-unproven.txt",
    "header-ambiguous": "held-unproven.txt",
    "replayed": "held-replayed.txt",
    "unknown-address": "held-unknown-address.txt",
    "cut-line": "held-cut-line.txt",
}
_WITHOUT_SEND = ("held-unproven.txt", "held-unknown-address.txt")
"""Notices that show no one-tap ``send``: the doubt is about who wrote, so a deliberate answer is asked for."""


_QUESTIONS = ("merge-asks", "from-asks", "undo-asks")
"""Reasons that only ask whether the agent means it: ``send`` then says yes."""


_UNASKABLE = ("address", "agent-address", "own-address", "ask-participant")
"""Reasons why an address cannot be asked (#ask); another must be named."""


def _markers(bad_line: str) -> str:
    """``^^^^`` below the word nobody understood."""
    start = len(bad_line) - len(bad_line.lstrip("#!/ "))
    word = bad_line[start:].split(" ")[0].rstrip(":")
    return " " * start + "^" * max(1, len(word))


def _told(scene: Scene, event: EventFact | None, author: Person | None) -> str:
    """What a colleague wrote, without the greeting: the one who collided wants the substance."""
    if not event:
        return ""
    return without_salutation(readable(event.text), scene.first(author) if author else "")


def _earlier_by(scene: Scene, theirs: EventFact | None, mine: EventFact | None) -> str:
    """How long before; "" for less than a minute."""
    if not theirs or not mine or mine.at - theirs.at < timedelta(minutes=1):
        return ""
    return scene.words.span(mine.at - theirs.at, long=True)


def write_held(scene: Scene) -> Writing:
    """An agent's mail was not sent: why, what it said, and what to do. The reply address names the held text."""
    notice, words = scene.notice, scene.words
    held = scene.held
    mine = scene.find_event(notice.about)
    # The event has the mail's text as it came, the bad line included; the HeldFact what would be sent. Orders that are
    # done with the text are shown with it.
    template = _TEMPLATES.get(notice.reason, "held-other.txt")
    ordered = held is not None and any(verb not in ("send", "note") for verb, _ in held.commands)
    whole = mine.text if mine and (notice.reason == "command" or template in _WITHOUT_SEND or ordered) else ""
    own = readable(notice.text or whole or (held.text if held else ""))
    own = own or (readable(mine.text) if mine else "")
    theirs = scene.find_event(notice.other) if notice.other else None
    colleague = scene.person(theirs.party) if theirs else None
    asks = notice.reason in _QUESTIONS
    empty = template == "held-other.txt" and held is not None and not held.text.strip()
    files = [readable(name) for name in held.attachments] if held is not None and empty else []
    files = files if notice.reason == "empty" else []
    sends = template not in _WITHOUT_SEND and (asks or not empty or bool(files))
    for_third = _third_party(scene, mine, held)
    meant_ask = notice.reason == "command" and not for_third and (scene.fact("hint") == "ask" or _is_ask(held))
    sends = sends and not meant_ask
    # A link that can do nothing is not shown: no words to send, or words for an address that cannot be asked.
    wordless = notice.reason == "command" and held is not None and not (held.text.strip() or held.attachments)
    unaskable = notice.reason in _UNASKABLE and bool(for_third)
    reader = scene.settings.agents.get(scene.recipient.agent)
    reads_only = reader is not None and reader.role == "observer"
    sends = sends and not wordless and not unaskable and not reads_only
    orders = ("send", "discard") if sends else ("discard",) if empty or wordless or unaskable or reads_only else ()
    mere = scene.flag("mere")
    links = scene.links(() if mere and template != "held-token.txt" else orders, notice.about)
    bad_line = readable(held.bad_line if held and held.bad_line else scene.fact("bad_line"))
    clash = words.say("held_contradiction", verb=scene.fact("verb"), value=scene.fact("value"))
    clash = clash if notice.reason == "command" and scene.fact("verb") else ""
    dressed = scene.fact("dressed")
    clash = words.say("held_dressed", verb=dressed) if dressed else clash
    text = scene.render(
        template,
        text=own or words.say("no_text"),
        has_text=bool(own.strip()),
        asks=asks,
        empty=empty,
        mere=mere,
        only_files=files,
        their_text=_told(scene, theirs, colleague),
        colleague_first=scene.inbox.name if theirs and not theirs.party else scene.first(colleague or scene.owner),
        their_when=words.when(theirs.at, scene.now) if theirs else "",
        my_when=words.when(mine.at if mine else scene.now, scene.now),
        earlier_by=_earlier_by(scene, theirs, mine),
        bad_line=bad_line,
        markers=_markers(bad_line),
        verb=bad_line.lstrip("#!/ ").split(" ")[0].rstrip(":") if bad_line else "",
        hint=scene.fact("hint"),
        problem=scene.fact("problem") or say_problem(scene) or clash,
        address=display_address(scene.fact("address")),
        registered=scene.recipient.address,
        addressed=", ".join(display_address(one.strip()) for one in scene.fact("addressed").split(",") if one.strip()),
        lead=scene.lead_name(),
        becomes_note=scene.settings.commands.collision_default.startswith("note"),
        note_after=scene.settings.commands.collision_default.partition(" ")[2] or "24h",
        kept_for=words.span(scene.settings.commands.hold_for, long=True),
        internal=bool(held and held.internal),
        again=scene.flag("again"),
        meant_ask=meant_ask or unaskable,
        wordless=wordless,
        reads_only=reads_only,
        usage="   ".join(readable(line) for line in notice.data.get("usage", "").splitlines()),
        **for_third,
        expiring=scene.when("expiring"),
        links=links,
    )
    answered = notice.in_reply_to or thread.received_id(scene.ticket, notice.about)
    return writing(
        agent_row(scene, "h", notice.about),
        direct_thread(scene, answered) if notice.kind == "held" else _clock_thread(scene),
        from_name=scene.inbox.name,
        text=text,
        auto_submitted="auto-replied" if notice.kind == "held" else "auto-generated",
        ticket_event="held",
        links=links,
    )


def _is_ask(held: HeldFact | None) -> bool:
    """Whether the line nobody understood was an #ask: its text is not for the customer."""
    return bool(held and re.match(r"[#!/ ]*ask\b", held.bad_line, re.IGNORECASE))


def _third_party(scene: Scene, event: EventFact | None, held: HeldFact | None) -> dict[str, str]:
    """Who would get the text when that is not the customer: the same words then name that one."""
    asked = next((argument.split(" ")[0] for verb, argument in (held.commands if held else ()) if verb == "ask"), "")
    third = scene.third_of(event)
    if not asked and third is None:
        return {}
    name = display_address(asked) if asked or third is None else scene.first(third)
    return {"customer_first": name, "customer": name}


def write_expired(scene: Scene) -> Writing:
    """Nobody said what should become of a held mail: its author is told that it was never sent, with the text."""
    notice, held = scene.notice, scene.held
    about = scene.find_event(notice.about)
    own = readable(held.text if held else "") or (readable(about.text) if about else "")
    text = scene.render(
        "expired.txt",
        text=own or scene.words.say("no_text"),
        kept_for=scene.words.span(scene.settings.commands.hold_for, long=True),
        empty=held is not None and not (held.text.strip() or held.attachments),
        my_when=scene.words.when(about.at, scene.now) if about else "",
    )
    return writing(
        agent_row(scene, "a", notice.event),
        _clock_thread(scene),
        from_name=scene.inbox.name,
        text=text,
        ticket_event="expired",
    )


def _clock_thread(scene: Scene) -> dict[str, object]:
    """Nobody just wrote to us: it goes where the ticket's other notifications are."""
    notice = scene.notice
    return root_thread(scene, thread.about(scene.ticket, scene.recipient, notice.about, notice.event))


def write_undelivered(scene: Scene) -> Writing:
    """A person's answer did not arrive, or is late: said to its author, with the words of the other side."""
    notice, words = scene.notice, scene.words
    sent = scene.find_event(notice.about)
    relayed = next((e for e in scene.ticket.events if e.kind == "relayed" and e.answers == notice.about), None)
    # The token names the mail that went out, whichever of the two events the plan named.
    target = notice.about if not sent or sent.kind == "relayed" else (relayed.number if relayed else notice.about)
    links = scene.links(("send",), target) if not scene.flag("deferred") else ()
    recipient = scene.person(int(scene.fact("party") or 0)) or scene.customer
    text = scene.render(
        "undelivered.txt",
        sent_at=words.when(sent.at, scene.now, "of") if sent else "",
        name=scene.name(recipient),
        address=display_address(scene.fact("recipient") or (recipient.address if recipient else "")),
        status=scene.fact("status"),
        diagnostic=scene.fact("diagnostic"),
        full_mailbox=scene.fact("status") in ("5.2.2", "4.2.2"),
        no_mailbox=scene.fact("status") in ("5.1.1", "5.1.10", "5.1.6"),
        deferred=scene.flag("deferred"),
        untried=scene.flag("untried"),
        unknown=scene.flag("unknown") or bool(scene.fact("left")),
        left=int(scene.fact("left") or 0),
        relay=scene.flag("relay"),
        report=bool(notice.data.get("report")),
        third=scene.third_of(sent) is not None if sent else False,
        links=links,
    )
    report = readable(notice.data.get("report", ""))
    parts = (Part("delivery-report.txt", "text/plain", report.encode("utf-8", "replace") + b"\n", plain=True),)
    answer = sent.answers if sent and sent.kind == "relayed" else notice.about
    return writing(
        agent_row(scene, "h", target),
        root_thread(scene, thread.about(scene.ticket, scene.recipient, answer, notice.event)),
        from_name=scene.inbox.name,
        text=text,
        parts=parts if report else (),
        ticket_event="undelivered",
        links=links,
    )
