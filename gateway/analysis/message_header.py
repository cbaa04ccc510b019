"""The header of a mail as a person sees it: subject, people, ids, dates, every field decoded.

For display and for clues only. Who the author is, the strict tokeniser decides (security.md 3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz

from gateway.analysis.fields import Header, decode_bytes, decode_value, unfold
from gateway.analysis.mailboxes import MAX_ADDRESSES, read_mailboxes
from gateway.analysis.second_reading import read_again
from gateway.model import Mailbox, Message

MAX_REFERENCES = 20
MAX_MESSAGE_ID = 998
_MAX_RECIPIENTS = 200

# No brackets inside: <[a@b> breaks the standard library, and whatever echoes it.
_ID = re.compile(r"<[!-;=?-Z\\^-~]+(?:@\[[!-;=?-Z\\^-~]*\])?>")

_LISTS = ("from", "to", "cc", "reply-to")
_RECIPIENTS = ("x-original-to", "delivered-to", "to", "cc", "resent-to", "resent-cc")


_CHARSET = re.compile(rb"charset\s*=\s*\"?([A-Za-z0-9_.:\-]{3,40})", re.IGNORECASE)


def find_hint(data: bytes, header: Header) -> str:
    """What charset raw 8-bit header fields are probably in: the one the body declares (RFC 6532 says UTF-8)."""
    if all(value.isascii() for _, value in header.fields):
        return ""
    found = _CHARSET.search(data, 0, min(len(data), header.body_start + 8192))
    label = found[1].decode("ascii").lower() if found else ""
    return "" if label in ("us-ascii", "utf-8", "utf-7", "ascii") else label


def read_header(header: Header, defects: list[str], hint: str = "") -> Message:
    """A Message with everything its header says and no body yet; what was odd is added to ``defects``.

    ``hint``: the charset of raw 8-bit values that are not UTF-8.
    """
    fields: dict[str, list[str]] = {}
    lists: dict[str, list[Mailbox]] = {name: [] for name in (*_LISTS, *_RECIPIENTS, "sender")}
    odd: list[tuple[str, bytes]] = []
    for name, value in header.fields:
        fields.setdefault(name, []).append(decode_value(value, hint))
        if name in lists and len(lists[name]) < MAX_ADDRESSES:
            found, strange = read_mailboxes(decode_bytes(unfold(value), hint))
            lists[name].extend(found)
            if strange and name in _LISTS:
                odd.append((name, value))
                defects.append(f"{name.title()} is no list of addresses")
    if odd:
        again = read_again(odd)
        defects.extend(again.defects)
        for name, found in again.mailboxes.items():
            if not any(mailbox.address for mailbox in lists[name]):
                lists[name].extend(mailbox for mailbox in found if "@" in mailbox.address)
    message_id = _read_message_id(fields.get("message-id", []), defects)
    recipients = [box.address for name in _RECIPIENTS for box in lists[name] if "@" in box.address]
    date = read_date(_first(fields, "date"))
    if date is None and "date" in fields:
        defects.append("Date could not be read")
    authors = [box for box in lists["from"] if box.address] or lists["from"]
    return Message(
        message_id=message_id,
        date=date,
        subject=" ".join(_first(fields, "subject").split("\n")).strip(),
        author=authors[0] if authors else None,
        to=tuple(lists["to"][:MAX_ADDRESSES]),
        cc=tuple(lists["cc"][:MAX_ADDRESSES]),
        reply_to=tuple(lists["reply-to"][:MAX_ADDRESSES]),
        in_reply_to=_read_ids(fields.get("in-reply-to", [])),
        references=_read_ids(fields.get("references", [])),
        recipients=tuple(dict.fromkeys(recipients))[:_MAX_RECIPIENTS],
        fields={name: tuple(values) for name, values in fields.items()},
    )


def _first(fields: Mapping[str, list[str]], name: str) -> str:
    values = fields.get(name)
    return values[0] if values else ""


def _read_message_id(values: list[str], defects: list[str]) -> str:
    if not values:
        return ""
    value = values[0].strip()
    found = _ID.search(value[: MAX_MESSAGE_ID + 2])
    if found:
        if found[0] != value:
            defects.append("Message-ID has something beside it")
        return found[0]
    bare = re.fullmatch(r"[!-;=?-Z^-~]+@[!-;=?-Z^-~]+", value[:MAX_MESSAGE_ID])
    if bare:
        defects.append("Message-ID lacks its brackets")
        return f"<{value}>"
    defects.append("Message-ID is malformed")
    return ""


def _read_ids(values: list[str]) -> tuple[str, ...]:
    """At most 20 ids, oldest first: the root says which thread, the newest say which mail, the middle goes."""
    text = " ".join(values)[: MAX_MESSAGE_ID * 100]
    found = list(dict.fromkeys(id_ for id_ in _ID.findall(text) if len(id_) <= MAX_MESSAGE_ID))
    if len(found) > MAX_REFERENCES:
        found = found[:1] + found[-(MAX_REFERENCES - 1) :]
    return tuple(found)


def read_date(value: str) -> datetime | None:
    """A Date field as aware UTC; None for one nobody can read or that lies outside 1970 to 2199.

    A missing zone is read as UTC. Time of reception decides everything; this is what the sender's clock said.
    """
    value = re.sub(r"\s*\([^()]{0,100}\)", "", value[:200])  # comments may stand between any two tokens
    try:
        parsed = parsedate_tz(value)
        if parsed is None:
            iso = re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:?\d\d)?", value)
            moment = datetime.fromisoformat(iso[0]) if iso else None
            if moment is None:
                return None
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            offset = parsed[9] or 0
            if abs(offset) > 15 * 3600:
                offset = 0
            moment = datetime(*parsed[:5], min(parsed[5], 59), tzinfo=timezone(timedelta(seconds=offset)))
        moment = moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if 1970 <= moment.year < 2200 else None
