"""The door to mail-parser: a second reading of a header that ours found odd.

mail-parser stands on the standard library's parser: quadratic, recursive and raising (libraries.md section 3). So it
sees a small header made of the odd address fields only, each cut to 4 KiB, never a body; and what it says counts only
where our own reading found no address. Its defects are listed beside ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mailparser

from gateway.model import Mailbox

_MAX_FIELD = 4096
_MAX_FIELDS = 12
_MAX_DEFECTS = 10

logging.getLogger("mailparser").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class SecondReading:
    """Addresses by lower-case field name, and defects in words."""

    mailboxes: Mapping[str, tuple[Mailbox, ...]] = field(default_factory=dict)
    defects: tuple[str, ...] = ()


def read_again(fields: Sequence[tuple[str, bytes]]) -> SecondReading:
    """What mail-parser makes of these fields (lower-case name, raw value). Never raises."""
    lines = []
    for name, value in fields[:_MAX_FIELDS]:
        # Bare CR and NUL end lines for the standard library (L1): no field may grow out of another.
        one_line = b" ".join(value.replace(b"\0", b" ").split())[:_MAX_FIELD]
        if one_line.count(b"(") <= 50:  # its comment reader recurses
            lines.append(name.encode("ascii", "replace") + b": " + one_line)
    try:
        mail = mailparser.parse_from_bytes(b"\r\n".join(lines) + b"\r\n\r\n")
        found = {
            name: tuple(Mailbox(str(shown), str(address)) for shown, address in getattr(mail, attribute) or ())
            for name, attribute in _ATTRIBUTES
            if any(name == asked for asked, _ in fields)
        }
        said = [text for entry in mail.defects for kind in entry.values() for text in _words(kind)]
    except Exception as error:  # noqa: BLE001 - RecursionError, IndexError, ValueError: each has been seen
        return SecondReading(defects=(f"the header made mail-parser stop ({type(error).__name__})",))
    return SecondReading(found, tuple(dict.fromkeys(said))[:_MAX_DEFECTS])


_ATTRIBUTES = (("from", "from_"), ("to", "to"), ("cc", "cc"), ("reply-to", "reply_to"))


def _words(kind: object) -> list[str]:
    return [str(text)[:200] for text in kind] if isinstance(kind, (list, tuple)) else [str(kind)[:200]]
