"""Side conversations: the mail to a third party, and what staff read of it (decision 0010)."""

from __future__ import annotations

from gateway.address import clean_text
from gateway.model import Person
from gateway.outbound import thread
from gateway.outbound.addressing import display_address
from gateway.outbound.notices.customer import safe, write_outside
from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.notices.ticket import agent_row, root_thread, via, writing


def _subject(scene: Scene, third: Person) -> str:
    """The subject the agent gave the side conversation, else a plain one: the ticket's own are the customer's words."""
    for event in scene.ticket.events:
        if event.kind == "asked" and event.data.get("side") == str(third.party) and event.data.get("subject"):
            return safe(scene, readable(clean_text(event.data["subject"], 200)))
    return scene.words.say("ask_subject", inbox=scene.inbox.name)


def write_ask(scene: Scene) -> Writing:
    """An agent's words to a third party: nothing of the ticket goes along, its subject neither."""
    ticket, third, notice = scene.ticket, scene.recipient, scene.notice
    last = scene.find_event(notice.quote) if notice.quote and scene.settings.customer.quote != "none" else None
    if last and (last.kind != "third" or last.data.get("side") != str(third.party) or not last.text.strip()):
        last = None
    seen = thread.side_conversation(ticket, third.party, notice.event)
    subject = _subject(scene, third)
    outside = write_outside(scene, last, subject)
    return Writing(
        from_name=outside.from_name,
        subject=f"Re: {subject.removeprefix('Re: ')}" if seen else subject,
        text=outside.text,
        html=outside.html,
        parts=outside.parts,
        reply=(scene.inbox.name, "t", 0),
        to=((third.name if third.known else "", third.address),),
        in_reply_to=seen[-1] if seen else "",
        references=thread.join(seen[:1], seen),
        auto_submitted="",
        html_wanted=False,
    )


def side_values(scene: Scene, third: Person | None) -> dict[str, str]:
    """How a template names the third party."""
    return {
        "third": scene.name(third) if third else "",
        "third_first": scene.first(third) if third else "",
        "third_address": display_address(third.address) if third else "",
    }


def _write(scene: Scene, template: str, ticket_event: str, author: Person | None) -> Writing:
    notice, about = scene.notice, scene.find_event(scene.notice.about)
    third = scene.third_of(about)
    parts, left_out = scene.files(notice.attachments, scene.settings.agent_mail.max_size)
    links = scene.usual_links(notice.event, first_mail=False)
    text = scene.render(
        template,
        text=readable(about.text) if about and about.text.strip() else scene.words.say("no_text"),
        author=scene.name(author),
        author_first=scene.first(author),
        other_author=bool(author and third and author.party != third.party),
        files=[p.name for p in parts],
        left_out=left_out,
        links=links,
        **side_values(scene, third),
    )
    seen = thread.about(scene.ticket, scene.recipient, notice.about, notice.event)
    row = agent_row(scene, "s", notice.event, name=scene.in_header(third))
    return writing(
        row,
        root_thread(scene, seen),
        from_name=via(scene, author),
        text=text,
        parts=parts,
        ticket_event=ticket_event,
        links=links,
    )


def write_third(scene: Scene) -> Writing:
    """A third party answered: for the owner or the pool, marked so that nobody takes it for the customer's."""
    about = scene.find_event(scene.notice.about)
    return _write(scene, "third.txt", "third-party", scene.notice.author or scene.third_of(about))


def write_asked(scene: Scene) -> Writing:
    """A colleague wrote to a third party: for the owner and the watchers."""
    return _write(scene, "asked.txt", "asked", scene.notice.author)
