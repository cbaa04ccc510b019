"""What a mail offers for finding its ticket (mail.md 8, security.md 6 and 7.1).

Everything here proposes and nothing authorises. Our own tokens and Message-IDs are checked against their MAC at once,
so that a wrong one is no clue; whose token it is and whether that person wrote the mail is decided later.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence

from gateway.address import fold_address, fold_domain, split_address, split_tag
from gateway.model import ActionSubject, Body, Clues, DeliveryReport, Envelope, Message, Token
from gateway.reference import Keys, looks_like_token
from gateway.settings import Inbox, Settings
from gateway.threading.subjects import canonical_subject, find_ticket_tag

MOST_REFERENCES = 20
"""Newest References read (security.md 11.1)."""
LONGEST_ID = 998
"""Bytes of one msg-id; a longer one is no clue."""
MOST_RECIPIENTS = 500
"""Addresses looked at for a token."""
MOST_TEXT = 200_000
"""Characters of quoted and of new text searched for a reference line."""

_OWN_ID = re.compile(r"[0-9]{1,8}\.[0-9]{1,5}\.[0-9]{1,7}\.[a-z2-7]{17}@[a-z0-9.-]{1,255}")
_NAMED = re.compile(r"(?:^|\s)(?:message )?from\s[^<>]{0,100}<([^<>@\s]{1,100}@[^<>\s]{1,253})>", re.IGNORECASE)
_ACTION_TOKEN = re.compile(r"[a-z2-7]{17}\Z")
_ACTION_TICKET = re.compile(r"([1-9][0-9]{0,7})(?:\.(0|[1-9][0-9]{0,4}))?\Z")
_LONGEST_ACTION = 200  # mail.md 12.4
_THREAD_INDEX_BYTES = 22
_MOST_OWN_IDS = 100  # shapes whose MAC is computed


def find_clues(
    message: Message,
    body: Body,
    envelope: Envelope,
    keys: Keys,
    settings: Settings,
    reports: Sequence[DeliveryReport] = (),
) -> Clues:
    """The clues of one mail. Never raises; time is linear in the mail, with the limits above.

    ``tokens`` has the envelope's first. ``in_reply_to`` and ``references`` hold each id once, in the order of the
    header (References: oldest first), with angle brackets; a mail that names itself does not.
    """
    tokens, bad_tokens = _find_tokens(message, envelope, keys, settings)
    own = "<" + message.message_id.strip("<> ") + ">"
    answered = _clean_ids(message.in_reply_to[-MOST_REFERENCES:], own)
    people = _addresses_as_ids(message) if answered else set()
    in_reply_to = tuple(one for one in answered if one.lower() not in people)
    references = _clean_ids(message.references[-MOST_REFERENCES:], own)
    return Clues(
        tokens=tokens,
        bad_tokens=bad_tokens,
        in_reply_to=in_reply_to,
        references=references,
        own_ids=_find_own_ids(message, in_reply_to, references, keys, settings.id_domain),
        reported_ids=_read_ids((r.original_message_id for r in reports), keys, settings.id_domain),
        returned_ids=_read_ids((r.returned_id for r in reports), keys, settings.id_domain),
        action=find_action(message.subject),
        reference_line=_find_reference_line(body, keys),
        subject_reference=find_ticket_tag(message.subject),
        subject=canonical_subject(message.subject),
        thread_index=read_thread_index(message.fields.get("thread-index", ())),
        is_reply=bool(answered or references),
    )


# ------------------------------------------------------------------ addresses


def _find_tokens(message: Message, envelope: Envelope, keys: Keys, settings: Settings) -> tuple[tuple[Token, ...], int]:
    tokens: list[Token] = []
    bad = 0
    for address, where in _addresses(message, envelope):
        tag = _tag_of(address, settings)
        token = keys.read_tag(tag, where) if tag else None
        if token is not None:
            tokens.append(token)
        elif looks_like_token(tag):
            bad += 1
    return tuple(tokens), bad


def _addresses(message: Message, envelope: Envelope) -> Iterator[tuple[str, str]]:
    """Every address once, with the place it counts for; the envelope's first."""
    to = {fold_address(mailbox.address) for mailbox in message.to}
    cc = {fold_address(mailbox.address) for mailbox in message.cc}
    seen: set[str] = set()
    for number, address in enumerate((envelope.recipient, *message.recipients[:MOST_RECIPIENTS])):
        folded = fold_address(address)
        if not folded or folded in seen:
            continue
        seen.add(folded)
        where = "envelope" if number == 0 else "to" if folded in to else "cc" if folded in cc else "header"
        yield address, where


def _tag_of(address: str, settings: Settings) -> str:
    """What may be a token in an address of ours, "" for anything else. A quoted local part is no token (adv-38)."""
    local, domain = split_address(address.strip())
    if not domain or '"' in local or "\\" in local:
        return ""
    inbox = settings.find_inbox(address)
    if inbox is None:
        return ""
    return local if _is_reply_domain(inbox, domain) else split_tag(address.strip(), inbox.plus_separator)[1]


def is_bad_token(address: str, settings: Settings) -> bool:
    """Whether an address of ours has the shape of a token and none of our keys made it: somebody guesses."""
    tag = _tag_of(address, settings)
    return looks_like_token(tag) and settings.keys.read_tag(tag) is None


def _is_reply_domain(inbox: Inbox, domain: str) -> bool:
    return bool(inbox.reply_domain) and fold_domain(domain) == fold_domain(inbox.reply_domain)


# ------------------------------------------------------------------ Message-IDs


def _clean_ids(ids: Iterable[str], own: str) -> tuple[str, ...]:
    """Each id once, without blanks a client folded into it, in angle brackets; none that is too long or the mail's."""
    cleaned: dict[str, None] = {}
    for text in ids:
        inner = "".join(text.split()).strip("<>\"';,")
        message_id = f"<{inner}>"
        if inner and message_id != own and len(message_id.encode("utf-8", "replace")) <= LONGEST_ID:
            cleaned[message_id] = None
    return tuple(cleaned)


def _addresses_as_ids(message: Message) -> set[str]:
    """What looks like an id in "Message from Bo Berg <bo@berg.test> of Monday" and is a person's address.

    Old Unix clients write that. As an id it would bring together whatever the same author answers to the same person.
    """
    mailboxes = (*message.recipients, message.author.address if message.author else "")
    named = (found[1] for text in _raw(message, "in-reply-to") for found in _NAMED.finditer(text))
    return {f"<{address.lower()}>" for address in (*mailboxes, *named) if address}


def _find_own_ids(
    message: Message, in_reply_to: tuple[str, ...], references: tuple[str, ...], keys: Keys, domain: str
) -> tuple[Token, ...]:
    """Our Message-IDs with a valid MAC: In-Reply-To first, then References newest first.

    The header as it stands is searched too: some clients and gateways change the case of an id, drop its brackets or
    put words around it ("Message from ... of ..."), and a parser rightly calls that no msg-id.
    """
    found: dict[str, Token | None] = {}
    own = message.message_id.lower().strip("<> ")
    places = (
        ("in-reply-to", (*in_reply_to, *_raw(message, "in-reply-to"))),
        ("references", (*reversed(references), *_raw(message, "references"))),
    )
    for where, texts in places:
        for text in texts:
            for shape in _own_shapes(text):
                if shape not in found and shape != own and len(found) < _MOST_OWN_IDS:
                    found[shape] = keys.read_message_id(f"<{shape}>", domain, where)
    return tuple(token for token in found.values() if token is not None)


def _read_ids(ids: Iterable[str], keys: Keys, domain: str) -> tuple[Token, ...]:
    """Our Message-IDs among those that delivery reports name: they say which mail is meant, and prove nothing."""
    named = list(dict.fromkeys(one for one in ids if one))[:MOST_REFERENCES]
    found = (keys.read_message_id(message_id, domain, "report") for message_id in named)
    return tuple(token for token in found if token is not None)


def _own_shapes(text: str) -> list[str]:
    """What in a header value is shaped like an id of ours, last (newest) first, at most 20."""
    shapes = [found[0].rstrip(".-") for found in _OWN_ID.finditer(text.lower())]
    return shapes[: -MOST_REFERENCES - 1 : -1]


def _raw(message: Message, name: str) -> tuple[str, ...]:
    return tuple(value[-MOST_REFERENCES * LONGEST_ID :] for value in message.fields.get(name, ())[:3])


# ------------------------------------------------------------------ subject, text, Thread-Index


def find_action(subject: str) -> ActionSubject | None:
    """A one-tap subject taken apart (mail.md 12.4); None for any other. Not verified: its party is not known here."""
    words = subject[: _LONGEST_ACTION + 1].split()
    if len(subject) > _LONGEST_ACTION or len(words) < 2 or not _ACTION_TOKEN.match(words[-1].lower()):
        return None
    ticket = _ACTION_TICKET.match(words[-2])
    order = " ".join(words[: -2 if ticket else -1])
    if not order:
        return None
    return ActionSubject(
        order=order,
        ticket=int(ticket[1]) if ticket else 0,
        event=int(ticket[2] or 0) if ticket else 0,
        token=words[-1].lower(),
    )


def _find_reference_line(body: Body, keys: Keys) -> int:
    # Quoted text first: that is where our line stands when the customer's client quotes below the answer.
    return keys.find_reference_line(body.quoted[-MOST_TEXT:]) or keys.find_reference_line(body.new[:MOST_TEXT])


def read_thread_index(values: Iterable[str]) -> str:
    """The 22-byte header of a Thread-Index field (MS-OXOMSG 2.2.1.3) in hexadecimal, "" without a usable one.

    6 bytes of time and 16 of UUID. It is a hint for mail of our own tickets only: anybody can copy one.
    """
    for value in values:
        text = "".join(value.split())[:4096]
        try:
            data = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(data) >= _THREAD_INDEX_BYTES:
            return data[:_THREAD_INDEX_BYTES].hex()
    return ""
