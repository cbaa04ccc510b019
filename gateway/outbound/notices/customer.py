"""Mail to customers: the acknowledgement and a person's answer. No furniture, nothing of the desk (mail.md 6, 10)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import PurePath

from gateway.model import EventFact, Person
from gateway.outbound import thread
from gateway.outbound.addressing import agent_name, hide_private
from gateway.outbound.formatting import matching_html
from gateway.outbound.letter import Part, is_message_id
from gateway.outbound.markup import QUOTE_STYLE, page
from gateway.outbound.notices.scene import Scene, Writing, readable
from gateway.outbound.sanitise import clean_html
from gateway.outbound.words import TemplateTrouble, quote_lines
from gateway.reference import strip_tokens

_WIDE_STYLE = "overflow-wrap:break-word"  # words in cells stay whole: a table is narrowed in its texts first
_STYLED = (
    (r"<pre(?=>)", '<pre style="white-space:pre-wrap"'),
    (r"<table(?=>)", '<table style="border-collapse:collapse"'),
    (r"<(td|th)(?=[ >])", r'<\1 style="padding:2px 12px 2px 0;text-align:left;vertical-align:top"'),
)


def _template_name(path: str) -> str:
    parts = PurePath(path).parts
    return "/".join(parts[1:]) if parts and parts[0] == "templates" else path


def reference(scene: Scene) -> str:
    if scene.settings.customer.reference == "none":
        return ""
    return scene.words.say("reference", line=scene.settings.keys.make_reference_line(scene.number))


def _reply(scene: Scene) -> tuple[str, str, int]:
    return scene.inbox.name, "t", 0


def write_ack(scene: Scene) -> Writing:
    """ "We have your mail": no name, no text and no attachment name of the sender, only the subject (mail.md 10)."""
    ack = scene.inbox.ack
    path = ack.outside_hours_template if scene.flag("outside") and ack.outside_hours_template else ack.template
    zone = scene.settings.ticketgate.timezone
    values = {
        "inbox": scene.inbox.name,
        "hours": scene.words.weekdays_in(scene.inbox.hours.weekdays),
        "city": zone.rpartition("/")[2].replace("_", " "),
        "outside": scene.flag("outside"),
        "reference": reference(scene),
    }
    try:
        text = scene.words.render(_template_name(path), values)
    except TemplateTrouble:
        text = scene.words.render("ack.txt", values)
    answered = scene.notice.in_reply_to or thread.received_id(scene.ticket, scene.notice.about)
    answered = answered if is_message_id(answered) else ""
    return Writing(
        from_name=scene.inbox.name,
        subject=thread.customer_subject(scene.ticket, scene.inbox, scene.words.say("no_subject")),
        text=text,
        reply=_reply(scene),
        to=(("", scene.recipient.address),),
        in_reply_to=answered,
        references=thread.join([answered], []),
        auto_submitted="auto-replied",
    )


def _quoted(scene: Scene) -> EventFact | None:
    """The customer's mail that goes below the answer as one clean quote."""
    if scene.settings.customer.quote == "none" or not scene.notice.quote:
        return None
    event = scene.find_event(scene.notice.quote)
    # Only what a participant wrote and participants have seen: never an agent's words twice, never a held text.
    if not event or event.kind != "mail" or not event.public or not event.text.strip():
        return None
    return event if _may_read(scene, event) else None


def _mails(scene: Scene) -> list[EventFact]:
    before = scene.notice.event
    return [e for e in scene.ticket.events if e.kind == "mail" and e.public and e.number < before]


def _may_read(scene: Scene, event: EventFact) -> bool:
    """Whether the recipient has a right to what a participant wrote: not what is older than their own part in it.

    What a merge brought here was written to us by somebody else; each gets their own mail quoted, nobody another's. Who
    is no part of the conversation (any more) is not quoted to those who are.
    """
    present = {p.party for p in (scene.ticket.customer, *scene.ticket.participants) if p}
    if event.party not in present or (event.data.get("from") and event.party != scene.recipient.party):
        return False
    return event.number >= _joined(scene)


def _written_at(event: EventFact) -> datetime:
    """When its author wrote it: a mail that an agent forwarded is older than its line in the history."""
    written = event.data.get("written", "")
    return datetime.fromisoformat(written) if written else event.at


def _quotes_already(answer: str, said: str) -> bool:
    """Whether the agent answered between the customer's lines: then nobody needs the whole of them below once more."""
    flat = " ".join(said.split())
    quoted = (line.lstrip("> \t") for line in answer.split("\n") if line.startswith(">"))
    return any(len(line.split()) > 2 and " ".join(line.split()) in flat for line in quoted)


def _joined(scene: Scene) -> int:
    """The event with which the recipient joined the conversation, by #cc, #from or a merge; 0: from the beginning."""
    party = str(scene.recipient.party)
    for event in reversed(scene.ticket.events):
        if event.kind in ("cc", "from") and event.data.get("party") == party:
            return event.number
        if event.kind == "merge" and party in event.data.get("joined", "").split():
            return event.number
    return 0


def own_words(text: str) -> str:
    """A mail's text without the quotes in it and without what a mail program adds below "-- ".

    A quote of quotes helps nobody, and neither do the gaps they leave.
    """
    lines: list[str] = []
    for line in readable(text).split("\n"):
        if line.rstrip() == "--" and any(lines):
            break
        gap = not line.strip() and (not lines or not lines[-1].strip())
        if not line.lstrip().startswith(">") and not gap:
            lines.append(line)
    while lines and not lines[-1].strip():
        lines.pop()
    return "\n".join(lines)


def without_salutation(text: str, first_name: str) -> str:
    """The text without "Hi," at the start and the writer's first name at the end, if something remains."""
    lines = text.strip("\n").split("\n")
    if len(lines) > 2 and len(lines[0]) <= 30 and lines[0].rstrip().endswith((",", "!")) and not lines[1].strip():
        lines = lines[2:]
    if len(lines) > 1 and first_name and lines[-1].strip(" -").casefold() == first_name.casefold():
        lines = lines[:-1]
    return "\n".join(lines).strip("\n") or text


def _people(scene: Scene) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """To and Cc, the same in every copy of one answer: the customer, then the others."""

    def shown(person: Person) -> tuple[str, str]:
        return (person.name if person.known else "", person.address)

    people = list(scene.notice.recipients)
    if scene.customer and any(p.party == scene.customer.party for p in people):
        people.sort(key=lambda p: p.party != scene.customer.party if scene.customer else False)
    return (shown(people[0]),), tuple(shown(p) for p in people[1:])


def _signature(scene: Scene) -> str:
    path = scene.inbox.signature
    name = _template_name(path)
    if not path or not scene.words.has(name):
        return ""
    author = scene.notice.author
    values = {"inbox": scene.inbox.name, "name": agent_name(author, scene.settings) if author else scene.inbox.name}
    return scene.words.render(name, values).strip("\n")


def safe(scene: Scene, text: str) -> str:
    """The last line of defence: no token and no agent's own address, whatever happened before."""
    return hide_private(strip_tokens(text), scene.inbox, scene.settings)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a person's words become for somebody outside: text, the files, and how they are signed."""

    text: str
    html: str
    parts: tuple[Part, ...]
    from_name: str


def write_outside(scene: Scene, quoted: EventFact | None, subject: str) -> Outside:
    """The text, a signature, one clean quote of what the reader wrote last, one reference line; no furniture."""
    notice, words = scene.notice, scene.words
    text = safe(scene, readable(notice.text))
    signature = _signature(scene)
    if signature and text.rstrip().endswith(signature.strip()):
        signature = ""
    parts, left_out = scene.files(notice.attachments, scene.settings.customer.attachments_max)
    line = reference(scene)
    footer = f"{scene.inbox.name}  {line}" if line else ""
    attribution = quote = ""
    if quoted:
        author = scene.person(quoted.party) or scene.customer
        said = own_words(quoted.text)
        said = without_salutation(said, scene.first(author) if author and author.known else "")
        quote = safe(scene, said)
        attribution = words.say("wrote", name=scene.name(author), when=words.full(_written_at(quoted)))
    blocks = [text, signature, *(words.say("left_out", file=line) for line in left_out)]
    blocks += [f"{attribution}\n{quote_lines(quote)}"] if quote else []
    blocks += [footer] if footer else []
    plain = "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"
    html = ""
    wanted = notice.html and scene.settings.customer.html != "never"
    if wanted and (body := matching_html(clean_html(notice.html), text)):
        pieces = [safe(scene, _laid_out(body))]
        pieces += [f"<p>{_breaks(block)}</p>" for block in blocks[1 : 2 + len(left_out)] if block]
        if quote:
            pieces.append(f"<p>{escape(attribution)}</p>")
            pieces.append(f'<blockquote style="{QUOTE_STYLE}">{_breaks(quote)}</blockquote>')
        pieces += [f"<p>{escape(footer)}</p>"] if footer else []
        html = page(subject, f'<div style="{_WIDE_STYLE}">' + "\n".join(pieces) + "</div>", words.language)
    author_name = agent_name(notice.author, scene.settings) if notice.author else ""
    via = words.say("agent_from", name=author_name, inbox=scene.inbox.name)
    named = author_name and scene.inbox.from_style == "agent-via"
    return Outside(plain, html, parts, via if named else scene.inbox.name)


def write_answer(scene: Scene) -> Writing:
    """A person's answer to the customer and whoever takes part."""
    notice = scene.notice
    subject = thread.customer_subject(scene.ticket, scene.inbox, scene.words.say("no_subject"))
    if not any(event.public and event.number < notice.about for event in scene.ticket.events):
        subject = subject.removeprefix("Re: ")  # the first mail of all: the customer has asked nothing yet
    quoted = _quoted(scene)
    answered_inline = quoted is not None and _quotes_already(notice.text, quoted.text)
    outside = write_outside(scene, None if answered_inline else quoted, subject)
    to, cc = _people(scene)
    # Never notice.in_reply_to: that may be the agent's own mail, and its id belongs to a private mailbox.
    newest = quoted or next((e for e in reversed(_mails(scene)) if _may_read(scene, e)), None)
    answered = thread.received_id(scene.ticket, newest.number) if newest else ""
    seen = thread.conversation(scene.ticket, scene.recipient, notice.event)
    return Writing(
        from_name=outside.from_name,
        subject=subject,
        text=outside.text,
        html=outside.html,
        parts=outside.parts,
        reply=_reply(scene),
        to=to,
        cc=cc,
        in_reply_to=answered,
        # The answered mail is among those this party has seen, in its place: no need to move it to the end.
        references=thread.join([thread.first_id(scene.ticket) or answered], [*seen, answered]),
        auto_submitted="",
    )


def _laid_out(html: str) -> str:
    """Sanitised HTML has lost every style: cells get room, and code flows where the window is narrow."""
    for bare, styled in _STYLED:
        html = re.sub(bare, styled, html)
    return html


def _breaks(text: str) -> str:
    return escape(text).replace("\n", "<br>\n")
