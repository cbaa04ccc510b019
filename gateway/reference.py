"""Our tokens and Message-IDs: made and read here and nowhere else (mail.md 4, security.md 6).

A token names ticket, event, party and purpose and is bound to all of them by an 80-bit MAC. It has no authority: a
match proposes, a proven author authorises (architecture promise 5). Reading never says why a token was refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.model import Token

KINDS = "anhsdtbxmr"
"""Letters of mail.md 4.2, and s (decision 0010); x, m and r never stand in an address."""

_ADDRESS_KINDS = "anhsdtb"
_TOKEN = re.compile(
    r"([anhsdtb])([a-z2-7])-(0|[1-9][0-9]{0,7})-(0|[1-9][0-9]{0,4})-(0|[1-9][0-9]{0,6})-([a-z2-7]{16})\Z"
)
_LIKE_TOKEN = re.compile(r"[a-z][a-z2-7]-[0-9]+-[0-9]+-[0-9]+-[a-z0-9]+\Z")
_MESSAGE_ID = re.compile(
    r"<(0|[1-9][0-9]{0,7})\.(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,6})\.([a-z2-7])([a-z2-7]{16})@([^<>@\s]+)>\Z"
)
_ACTION = re.compile(r"([a-z2-7])([a-z2-7]{16})\Z")
_LINE = re.compile(r"\b([1-9][0-9]{0,7})-([a-z2-7]{4})\b")


@dataclass(frozen=True, slots=True)
class Keys:
    """The installation's HMAC keys. ``current`` makes; every key in ``secrets`` that is not retired may read."""

    current: str
    secrets: Mapping[str, bytes] = field(repr=False)

    def mac(self, key: str, kind: str, ticket: int, event: int, party: int) -> str:
        """The 16 characters that bind kind, key id, ticket, event and party together."""
        text = "\n".join(("ticketgate-token-1", kind, key, str(ticket), str(event), str(party)))
        digest = hmac.digest(self.secrets[key], text.encode(), hashlib.sha256)
        return base64.b32encode(digest[:10]).decode().lower()

    def _fits(self, key: str, kind: str, ticket: int, event: int, party: int, mac: str) -> bool:
        # An unknown key costs the same as a known one and says nothing else: no oracle.
        known = key in self.secrets
        good = self.mac(key if known else self.current, kind, ticket, event, party)
        return hmac.compare_digest(good, mac) and known

    # -------------------------------------------------------------- making

    def make_token(self, kind: str, ticket: int, event: int, party: int) -> str:
        """The local-part tag of an address, e.g. ``ak-4827-3-1-xky6wjaxqdry5guq``."""
        key = self.current
        return f"{kind}{key}-{ticket}-{event}-{party}-{self.mac(key, kind, ticket, event, party)}"

    def make_message_id(self, ticket: int, event: int, party: int, domain: str) -> str:
        """A Message-ID of kind m; event and party 0 make the root of the ticket's thread."""
        key = self.current
        return f"<{ticket}.{event}.{party}.{key}{self.mac(key, 'm', ticket, event, party)}@{domain}>"

    def make_action(self, ticket: int, event: int, party: int) -> str:
        """The action token: last word of a one-tap subject."""
        return f"{self.current}{self.mac(self.current, 'x', ticket, event, party)}"

    def make_reference_line(self, ticket: int) -> str:
        """``4827-eaer``: 20 bits, a clue for a proven participant and nothing more."""
        return f"{ticket}-{self.mac(self.current, 'r', ticket, 0, 0)[:4]}"

    # -------------------------------------------------------------- reading

    def read_tag(self, tag: str, where: str = "") -> Token | None:
        """The token in an address tag (or in the whole local part of a reply domain); None for anything else."""
        found = _TOKEN.match(tag.lower())
        if not found:
            return None
        kind, key, ticket, event, party, mac = found.groups()
        values = (int(ticket), int(event), int(party))
        if not self._fits(key, kind, *values, mac):
            return None
        return Token(kind=kind, ticket=values[0], event=values[1], party=values[2], where=where, text=tag)

    def read_message_id(self, message_id: str, domain: str, where: str = "") -> Token | None:
        """The token in a Message-ID of ours; None when it is not ours or the MAC is wrong."""
        found = _MESSAGE_ID.match(message_id.strip().lower())
        if not found or found[6] != domain.lower():
            return None
        ticket, event, party = (int(found[n]) for n in (1, 2, 3))
        if not self._fits(found[4], "m", ticket, event, party, found[5]):
            return None
        return Token(kind="m", ticket=ticket, event=event, party=party, where=where, text=message_id)

    def read_action(self, token: str, ticket: int, event: int, parties: Iterable[int]) -> Token | None:
        """The action token of one of ``parties`` (an agent's own numbers): the subject does not name the party."""
        found = _ACTION.match(token.lower())
        if not found:
            return None
        for party in parties:
            if self._fits(found[1], "x", ticket, event, party, found[2]):
                return Token(kind="x", ticket=ticket, event=event, party=party, where="subject", text=token)
        return None

    def find_reference_line(self, text: str, limit: int = 20) -> int:
        """The ticket of the first reference line whose check fits, 0 for none; ``limit`` candidates are tried."""
        for count, found in enumerate(_LINE.finditer(text.lower())):
            if count >= limit:
                break
            ticket = int(found[1])
            for key in self.secrets:
                if hmac.compare_digest(self.mac(key, "r", ticket, 0, 0)[:4], found[2]):
                    return ticket
        return 0


def looks_like_token(tag: str) -> bool:
    """Whether a tag has the shape of a token: counted as a bad token when it does not verify (security.md 6)."""
    return bool(_LIKE_TOKEN.match(tag.lower()))


def guess_key(client: str, number: str = "") -> str:
    """How a wrong token is remembered, among what was seen before; without a number the beginning they share."""
    return f"wrong token {client or 'unknown'} {number}"


_ANY_TOKEN = re.compile(
    r"[anhsdtb][a-z2-7]-[0-9]{1,8}-[0-9]{1,5}-[0-9]{1,7}-[a-z2-7]{16}"  # address tokens
    r"|<?[0-9]{1,8}\.[0-9]{1,5}\.[0-9]{1,7}\.[a-z2-7]{17}@[a-z0-9.-]+>?"  # Message-IDs
    r"|\b[0-9]{1,8}(?:\.[0-9]{1,5})?(?: |%20)[a-z2-7]{17}\b",  # one-tap subjects
    re.IGNORECASE,
)


def strip_tokens(text: str, replacement: str = "") -> str:
    """Text without anything shaped like a token of any installation: what is relayed or shown must not carry one."""
    for _ in range(4):
        text, found = _ANY_TOKEN.subn(replacement, text)
        if not found:
            return text
    # Tokens wrapped around tokens, so that each removal makes another one: what is left is torn apart.
    return _ANY_TOKEN.sub("\N{HORIZONTAL ELLIPSIS}", text)
