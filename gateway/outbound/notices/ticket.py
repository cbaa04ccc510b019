"""Mail to agents about a ticket: new mail, notes, reminders. The status line comes first, the reply does the work."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.model import EventFact, Person
from gateway.outbound import thread
from gateway.outbound.addressing import display_address
from gateway.outbound.letter import is_message_id
from gateway.outbound.notices.customer import own_words, without_salutation
from gateway.outbound.notices.rows import cell
from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.words import wrap_lines

_EARLIER_KINDS = ("mail", "answer")


# ---------------------------------------------------------------------------------------------- shared rows of 5.3


def root_thread(scene: Scene, recent: list[str], *, first: bool = True) -> dict[str, object]:
    """In-Reply-To and References of a notification: the root, the customer's first mail, then what is recent."""
    root = thread.root_id(scene.ticket, scene.recipient, scene.settings, scene.notice.event)
    heads = [root, thread.first_id(scene.ticket)] if first else [root]
    return {"in_reply_to": root, "references": thread.join(heads, recent)}


def direct_thread(scene: Scene, answered: str) -> dict[str, object]:
    """In-Reply-To and References of an answer to the agent's own mail; as a notification when it had no usable id."""
    notice = scene.notice
    if not is_message_id(answered):
        return root_thread(scene, thread.about(scene.ticket, scene.recipient, notice.about, notice.event))
    root = thread.root_id(scene.ticket, scene.recipient, scene.settings, notice.event)
    before = thread.answered_notice(scene.ticket, scene.recipient, notice.about, notice.event)
    return {"in_reply_to": answered, "references": thread.join([root], before, answered)}


def agent_row(scene: Scene, kind: str, event: int, *, name: str = "") -> dict[str, object]:
    """Subject, Reply-To and List-Id of ticket mail to agents."""
    words = scene.words
    if kind == "h":
        shown = words.say("held_answer", number=scene.number)
    elif kind == "n":
        shown = words.say("internal_note", number=scene.number)
    else:
        shown = f"{name or scene.in_header(scene.customer)} ({scene.number})"
    return {
        "subject": thread.agent_subject(scene.ticket, scene.inbox, words.say("no_subject")),
        "reply": (shown, kind, event),
        "list_id": (words.say("tickets", inbox=scene.inbox.name), scene.inbox.handle or "inbox"),
    }


def writing(*rows: dict[str, object], **values: object) -> Writing:
    """A Writing from the shared rows and what is particular."""
    merged: dict[str, object] = {}
    for row in rows:
        merged |= row
    return Writing(**(merged | values))  # type: ignore[arg-type]


def via(scene: Scene, person: Person | None) -> str:
    """``Jane Doe via Example Support``."""
    return scene.words.say("via", name=scene.in_header(person), inbox=scene.inbox.name)


# ---------------------------------------------------------------------------------------------- texts


def _summary(scene: Scene, event: EventFact, lines: int) -> str:
    """One earlier message in a line or two: who, when, the beginning of the text, the files."""
    author = scene.person(event.party)
    first = scene.first(author) if author else ""
    text = " ".join(without_salutation(own_words(event.text), first).split()) or scene.words.say("no_text")
    limit = 62 * lines
    if len(text) > limit:
        cut = text[:limit].rpartition(" ")[0] or text[:limit]
        sentence = max(cut.rfind(". "), cut.rfind("? "), cut.rfind("! "))
        text = (cut[: sentence + 1] if sentence > limit // 2 else cut) + " ..."
    files = "".join(f"  [{readable(name)}]" for name in event.attachments[:5])
    line = f"{scene.name(author)}, {scene.words.moment(event.at, scene.now)}: {text}"
    return wrap_lines(line, indent="  ") + files


def earlier(scene: Scene, before: int) -> str:
    """At most ``history`` earlier messages of the conversation, newest first; "" when there are none."""
    events = [e for e in scene.ticket.events if e.kind in _EARLIER_KINDS and e.public and e.number < before]
    newest = list(reversed(events))[: scene.settings.agent_mail.history]
    return "\n".join(_summary(scene, event, 2 if n == 0 else 1) for n, event in enumerate(newest))


def _answered_after(scene: Scene, mail: EventFact | None) -> str:
    """How long the customer took to answer us, "" if this answers nothing of ours."""
    if not mail:
        return ""
    ours = [e for e in scene.ticket.events if e.kind == "answer" and e.public and e.number < mail.number]
    took = mail.at - ours[-1].at if ours else timedelta(0)
    return scene.words.span(took) if took >= timedelta(minutes=1) else ""


def _copied(scene: Scene) -> str:
    """Addresses in Cc that are no participants: shown as a proposal, nothing more (security.md 7.2)."""
    return scene.some_of([display_address(a.strip()) for a in scene.notice.data.get("cc", "").split(",") if "@" in a])


def _news(scene: Scene, template: str, *, ticket_event: str, from_name: str, event_text: str = "") -> Writing:
    """An offer, an assignment or a customer's mail: all show one mail in full and what came before."""
    notice = scene.notice
    about = scene.find_event(notice.about)
    parts, left_out = scene.files(notice.attachments, scene.settings.agent_mail.max_size)
    first_mail = not any(e.kind == "mail" and e.public and e.number < notice.about for e in scene.ticket.events)
    links = scene.usual_links(notice.event, first_mail=first_mail and not scene.mine)
    text = scene.render(
        template,
        text=event_text or (readable(about.text) if about else readable(notice.text)) or scene.words.say("no_text"),
        author=scene.name(notice.author or scene.customer),
        author_first=scene.first(notice.author or scene.customer),
        from_agent=bool(notice.author and notice.author.agent),
        after=_answered_after(scene, about),
        earlier=earlier(scene, min([notice.about, *(event.number for event in _gathered(scene))])),
        files=[p.name for p in parts],
        left_out=left_out,
        copied=_copied(scene),
        links=links,
        absence=scene.absence(about),
        first_mail=first_mail,
        said_by=scene.name(scene.person(about.party)) if about and about.kind in ("answer", "note") else "",
        said_inside=bool(about and not about.public),
        note=readable(notice.text) if about else "",
    )
    recent = thread.conversation(scene.ticket, scene.recipient, notice.event)
    return writing(
        agent_row(scene, "a", notice.event),
        root_thread(scene, recent),
        from_name=from_name,
        text=text,
        parts=parts,
        ticket_event=ticket_event,
        links=links,
    )


def write_offer(scene: Scene) -> Writing:
    """A new ticket nobody has yet."""
    return _news(scene, "offer.txt", ticket_event="new", from_name=via(scene, scene.customer))


def write_assigned(scene: Scene) -> Writing:
    """Somebody gave the ticket to the recipient. The last mail may be a colleague's: then it is shown as that one's."""
    about = scene.find_event(scene.notice.about)
    author = scene.person(about.party) if about is not None and about.party else None
    return _news(scene, "assigned.txt", ticket_event="assigned", from_name=via(scene, author or scene.customer))


def write_escalation(scene: Scene) -> Writing:
    """A lead is told about a ticket that waits too long."""
    return _news(scene, "escalation.txt", ticket_event="escalation", from_name=via(scene, scene.customer))


def write_customer_reply(scene: Scene) -> Writing:
    """The customer wrote."""
    author = scene.notice.author or scene.customer
    row = {"ticket_event": "customer-reply", "from_name": via(scene, author)}
    return _news(scene, "customer-reply.txt", event_text=_together(scene), **row)


def _gathered(scene: Scene) -> list[EventFact]:
    """The mails that are told together, oldest first; none for a single one."""
    numbers = {int(number) for number in scene.fact("mails").split()}
    return [event for event in scene.ticket.events if event.number in numbers]


def _together(scene: Scene) -> str:
    """Mails that came close together, each with its author and time."""
    said = []
    for event in _gathered(scene):
        author = scene.name(scene.person(event.party) or scene.customer)
        text = readable(event.text) or scene.words.say("no_text")
        said.append(f"{author}, {scene.words.moment(event.at, scene.now)}:\n\n{text}")
    return "\n\n".join(said)


def write_answered(scene: Scene) -> Writing:
    """A colleague answered or took the ticket: for watchers and for the owner it was taken from."""
    if scene.notice.reason in ("claim", "claimed", "assign", "merge", "move"):
        return _taken(scene, "taken.txt")
    if scene.notice.reason in ("close", "spam", "reopen", "joined"):
        return _taken(scene, "closed.txt")
    return _news(scene, "answered.txt", ticket_event="answered", from_name=via(scene, scene.notice.author))


def _taken(scene: Scene, template: str) -> Writing:
    """Somebody else has the ticket now, or did something to it: one line, no mail to show."""
    return writing(
        agent_row(scene, "a", scene.notice.event),
        root_thread(scene, thread.about(scene.ticket, scene.recipient, scene.notice.about, scene.notice.event)),
        from_name=via(scene, scene.notice.author),
        text=scene.render(template, author_first=scene.first(scene.notice.author)),
        ticket_event="answered",
    )


def write_unproven(scene: Scene) -> Writing:
    """A mail held beside the ticket because nobody can say who wrote it (mail.md 9.3)."""
    if scene.notice.reason == "not-me":
        return _not_me(scene)
    held, about = scene.held, scene.find_event(scene.notice.about)
    claimed = display_address(scene.fact("address"))
    parts, left_out = scene.files(scene.notice.attachments, scene.settings.agent_mail.max_size)
    third = scene.third_of(about)
    report = scene.notice.reason in ("unverified-report", "complaint")
    links = scene.links(() if report else ("open", "discard", "spam"), scene.notice.event)
    text = scene.render(
        "unproven.txt",
        text=readable(held.text if held else about.text if about else scene.notice.text) or scene.words.say("no_text"),
        claimed=claimed,
        says=scene.name(scene.notice.author) if scene.notice.author else claimed,
        unknown=scene.notice.reason in ("unknown-sender", "machine"),
        report=report,
        nobody=scene.notice.reason == "header-ambiguous",
        failed=scene.flag("failed") or scene.notice.reason == "dmarc-fail",
        expiring=scene.when("expiring"),
        files=[p.name for p in parts],
        left_out=left_out,
        links=links,
        **_shown_as_customer(scene, third),
    )
    name = claimed.replace("@", " at ") or scene.inbox.name
    return writing(
        agent_row(scene, "s" if third else "a", scene.notice.event, name=scene.in_header(third) if third else ""),
        root_thread(scene, thread.about(scene.ticket, scene.recipient, scene.notice.about, scene.notice.event)),
        from_name=scene.words.say("via", name=name, inbox=scene.inbox.name),
        text=text,
        parts=parts,
        ticket_event="unproven",
        links=links,
    )


def _shown_as_customer(scene: Scene, third: Person | None) -> dict[str, str]:
    """Mail in a third party's place: an answer to the notice goes to that one, and the words say so."""
    if third is None:
        return {}
    first, address = scene.first(third), display_address(third.address)
    return {"customer_first": first, "customer": scene.name(third), "customer_address": address}


def _not_me(scene: Scene) -> Writing:
    """An agent says that a mail with the agent's own reply address was somebody else's: leads have to know."""
    text = scene.render(
        "not-me.txt",
        author_first=scene.first(scene.notice.author),
        text=scene.event_text(scene.notice.about) or scene.words.say("no_text"),
        claimed=display_address(scene.fact("address")),
    )
    return writing(
        agent_row(scene, "n", scene.notice.event),
        root_thread(scene, []),
        from_name=scene.inbox.name,
        text=text,
        ticket_event="unproven",
    )


def write_reminder(scene: Scene) -> Writing:
    """Somebody waits too long: the owner, the pool or both are told what happens next."""
    notice = scene.notice
    about = scene.find_event(notice.about) or scene.newest_mail(before=notice.event)
    step = scene.fact("step") or ("unanswered" if scene.owner else "unclaimed")
    orders = {"unclaimed": ("claim", "spam"), "waiting": ("close", "snooze 1d")}.get(
        step, ("ack", "snooze 1d", "release")
    )
    links = scene.links(orders, notice.event)
    waited = scene.fact("waited")
    text = scene.render(
        "reminder.txt",
        text=without_salutation(readable(about.text), scene.first(scene.person(about.party))) if about else "",
        step=step,
        absence=scene.absence_now() if step in ("waiting", "followup") else "",
        waited=scene.words.span(timedelta(seconds=float(waited)), long=True) if waited else "",
        business=not scene.flag("calendar"),
        next_when=_next_when(scene),
        next_who=scene.fact("next_who") or scene.lead_name(),
        links=links,
    )
    return writing(
        agent_row(scene, "a", notice.event),
        root_thread(scene, thread.about(scene.ticket, scene.recipient, about.number if about else 0, notice.event)),
        from_name=scene.inbox.name,
        text=text,
        ticket_event="reminder",
        links=links,
    )


def _next_when(scene: Scene) -> str:
    """When the next step is taken: ``tomorrow at 13:22``; "" when there is none."""
    value = scene.notice.data.get("next_at", "")
    if not value:
        return ""
    at, words = datetime.fromisoformat(value), scene.words
    days = (words.local(at).date() - words.local(scene.now).date()).days
    if days == 0:
        return words.say("today_at", clock=words.clock(at))
    if days == 1:
        return words.say("tomorrow_at", clock=words.clock(at))
    return words.when(at, scene.now)


def write_note(scene: Scene) -> Writing:
    """An internal note: the reply is a note too, never a mail to the customer (mail.md principle 2)."""
    notice = scene.notice
    author = notice.author
    parts, left_out = scene.files(notice.attachments, scene.settings.agent_mail.max_size)
    text = scene.render(
        "note.txt",
        text=scene.event_text(notice.about) or readable(notice.text),
        author_first=scene.first(author),
        ended=_ended_with(scene),
        files=[p.name for p in parts],
        left_out=left_out,
    )
    return writing(
        agent_row(scene, "n", notice.event),
        root_thread(scene, thread.about(scene.ticket, scene.recipient, notice.about, notice.event)),
        from_name=scene.words.say("note_from", name=scene.in_header(author)),
        text=text,
        parts=parts,
        ticket_event="note",
    )


def _ended_with(scene: Scene) -> str:
    """ "close" or "spam" when the mail with the note did that as well, so that its readers need no second notice."""
    note = scene.find_event(scene.notice.about)
    lines = (e for e in scene.ticket.events if note and e.number > note.number and e.kind in ("close", "spam"))
    return next((e.kind for e in lines if note and (e.at, e.party) == (note.at, note.party)), "")


def _is_known(scene: Scene) -> bool:
    """Whether somebody but the forwarder is taken for the customer."""
    return scene.customer is not None and scene.customer.party != scene.recipient.party


def write_forward(scene: Scene) -> Writing:
    """A forwarded mail became a ticket: whose it is thought to be, and nothing was sent to them yet."""
    notice = scene.notice
    answered = notice.in_reply_to or thread.received_id(scene.ticket, notice.about)
    uncertain = scene.flag("uncertain") or not scene.customer
    text = scene.render(
        "forward.txt",
        uncertain=uncertain,
        begun=scene.flag("begun"),
        written=scene.flag("written"),
        open=scene.fact("open"),
        open_subject=cell(scene.fact("open_subject"), 60),
        open_owner=readable(scene.fact("open_owner")),
        known=_is_known(scene),
        own=scene.flag("own"),
        ordered=readable(scene.fact("ordered")),
        links=(),
    )
    return writing(
        agent_row(scene, "a", notice.event),
        direct_thread(scene, answered),
        from_name=scene.inbox.name,
        text=text,
        auto_submitted="auto-replied",
        ticket_event="new",
    )
