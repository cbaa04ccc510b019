"""A plan's notices made into mails, one a recipient: who it is from, what it answers, how it is marked (mail.md 5).

Pure but for the templates, which are read from files: the same plan, ticket, settings and time give the same bytes.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from gateway.errors import TemporaryError
from gateway.model import OutboundMail, Person, Plan, TicketFacts
from gateway.outbound import markup, thread
from gateway.outbound.addressing import agent_name, mail_address, reply_address, reverse_path
from gateway.outbound.letter import (
    Letter,
    LetterError,
    forget_files,
    is_message_id,
    mailbox_value,
    render,
    text_value,
)
from gateway.outbound.notices import BUILDERS, OUTSIDE, TO_CUSTOMERS, Scene, Writing
from gateway.outbound.onetap import make_link
from gateway.outbound.words import Words
from gateway.settings import Inbox, Settings

_SUPPRESS_MACHINE = "DR, RN, NRN, OOF, AutoReply"
_SUPPRESS_PERSON = "DR, RN, NRN, AutoReply"
"""X-Auto-Response-Suppress (MS-OXCMAIL 2.1.3.2.20). Never "All": Exchange would send no non-delivery reports. An away
notice is useful as an answer to a person, so OOF is missing there."""


def compose_all(plan: Plan, ticket: TicketFacts | None, settings: Settings, now: datetime) -> tuple[OutboundMail, ...]:
    """The mails a plan wants sent, frozen. ``ticket`` is as it stands after the plan was applied, None without one.

    Raises TemporaryError (LetterError, TemplateTrouble) when a mail cannot be built as meant; nothing is sent then.
    """
    inbox = _find_inbox(plan, ticket, settings)
    mails = []
    try:
        for notice in plan.notices:
            for recipient in notice.recipients:
                scene = Scene(
                    settings=settings,
                    words=_words_for(recipient, settings),
                    inbox=inbox,
                    ticket=ticket,
                    notice=notice,
                    recipient=recipient,
                    now=now,
                )
                mails.append(_compose(scene))
    finally:
        forget_files()
    return tuple(mails)


def _words_for(recipient: Person, settings: Settings) -> Words:
    """The site's words; times are said in the zone of the agent who reads them (mail.md 13)."""
    agent = settings.agents.get(recipient.agent)
    zone = (agent.timezone if agent else "") or settings.ticketgate.timezone
    return Words(settings.folder, settings.ticketgate.language, zone)


def _find_inbox(plan: Plan, ticket: TicketFacts | None, settings: Settings) -> Inbox:
    handle = ticket.inbox if ticket and ticket.inbox else plan.inbox
    inbox = settings.inbox.get(handle) or next(iter(settings.inbox.values()), None)
    if inbox is None:
        raise TemporaryError("no inbox is configured")
    return inbox


def _compose(scene: Scene) -> OutboundMail:
    notice, recipient, settings = scene.notice, scene.recipient, scene.settings
    builder = BUILDERS.get(notice.kind)
    if builder is None:
        raise LetterError(f"no words for a notice of kind {notice.kind!r}")
    writing = builder(scene)
    message_id = settings.keys.make_message_id(scene.number, notice.event, recipient.party, settings.id_domain)
    to_customer = notice.kind in TO_CUSTOMERS
    letter = Letter(
        fields=tuple(_fields(scene, writing, message_id)),
        text=writing.text,
        html=writing.html if notice.kind in OUTSIDE or writing.html else _agent_html(scene, writing),
        parts=writing.parts,
        related=writing.related,
        seed=message_id,
    )
    person_wrote = notice.kind in ("answer", "ask")
    return OutboundMail(
        ticket=scene.number,
        event=notice.event,
        party=recipient.party,
        kind=notice.kind,
        message_id=message_id,
        reverse_path=reverse_path(scene.inbox, settings, scene.number, notice.event, recipient.party),
        recipient=mail_address(recipient, settings),
        content=render(letter),
        automatic=not person_wrote,
        public=to_customer,
        author=notice.author.party if person_wrote and notice.author else 0,
        not_before=notice.not_before,
    )


def _agent_html(scene: Scene, writing: Writing) -> str:
    if not writing.html_wanted or not scene.settings.agent_mail.html:
        return ""
    return markup.agent_page(
        writing.text,
        ticket=scene.number,
        title=writing.subject,
        language=scene.words.language,
        hrefs=frozenset(link.href for link in writing.links),
    )


def _to_agent(scene: Scene) -> tuple[tuple[str, str], ...]:
    """To of an agent's mail: that agent and nobody else, so that reply-all is harmless."""
    person = scene.recipient
    name = agent_name(person, scene.settings) if person.agent else ""
    return ((name, mail_address(person, scene.settings)),)


def _fields(scene: Scene, writing: Writing, message_id: str) -> list[tuple[str, str]]:
    """The header, in the order of the examples. Every value is cleaned by the function that makes it."""
    settings, inbox = scene.settings, scene.inbox
    automatic = bool(writing.auto_submitted)
    fields = [
        ("Date", format_datetime(scene.words.local(scene.now))),
        ("From", mailbox_value(writing.from_name, inbox.address, always_quoted=True)),
        ("To", ", ".join(mailbox_value(name, address) for name, address in writing.to or _to_agent(scene))),
    ]
    if writing.cc:
        fields.append(("Cc", ", ".join(mailbox_value(name, address) for name, address in writing.cc)))
    if writing.reply:
        name, kind, event = writing.reply
        number = 0 if kind == "d" else scene.number
        address = reply_address(inbox, settings, kind, number, event, scene.recipient.party)
        fields.append(("Reply-To", mailbox_value(name, address, always_quoted=True)))
    fields.append(("Subject", text_value(writing.subject)))
    fields.append(("Message-ID", message_id))
    if writing.in_reply_to:
        fields.append(("In-Reply-To", writing.in_reply_to))
    if writing.references:
        fields.append(("References", " ".join(i for i in writing.references if is_message_id(i))))
    if automatic:
        fields.append(("Auto-Submitted", writing.auto_submitted))
    fields.append(("X-Auto-Response-Suppress", _SUPPRESS_MACHINE if automatic else _SUPPRESS_PERSON))
    fields.append(("X-Loop", settings.id_domain))
    return fields + _list_fields(scene, writing) + _ticket_fields(scene, writing)


def _list_fields(scene: Scene, writing: Writing) -> list[tuple[str, str]]:
    fields = []
    if writing.list_id:
        phrase, left = writing.list_id
        # RFC 2919: a phrase and <list-id>; it looks like a mailbox and is none.
        fields.append(("List-Id", f"{text_value(phrase)} <{left}.{scene.settings.id_domain}>"))
    if writing.unsubscribe:
        link = make_link(scene.settings.keys, scene.inbox, scene.recipient, writing.unsubscribe, 0, 0)
        fields.append(("List-Unsubscribe", f"<{link.href}>"))
    return fields


def _ticket_fields(scene: Scene, writing: Writing) -> list[tuple[str, str]]:
    """For filters in Outlook, Thunderbird and Sieve, and for Outlook's threads. Never to customers."""
    if not writing.ticket_event:
        return []
    ticket = scene.ticket
    fields = [
        ("X-Ticket", str(ticket.number)),
        ("X-Ticket-Event", writing.ticket_event),
        ("X-Ticket-State", ticket.state.value),
        ("X-Ticket-Owner", text_value(ticket.owner.agent or "none") if ticket.owner else "none"),
    ]
    if scene.settings.agent_mail.thread_index:
        fields.append(("Thread-Topic", text_value(writing.subject)))
        fields.append(("Thread-Index", thread.thread_index(ticket.created_at, ticket.uuid, scene.now)))
    return fields
