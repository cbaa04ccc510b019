"""Whom a refusal speaks of: the recipient, this mail, or us (RFC 3463, RFC 5321 4.2). Pure.

A server that does not know us refuses every mail, with the same 5xx with which it refuses a mailbox that does not
exist. Taken for final, a mistake in its configuration of five minutes loses whatever was due meanwhile.
"""

from __future__ import annotations

import re

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?![\d.])")
_LOGIN = (530, 535, 538)  # RFC 4954: authentication required, refused, only with TLS
_STANDING = re.compile(
    r"relay(?:ing)?\s+(?:access\s+)?(?:is\s+)?(?:denied|prohibited|refused|not\s+(?:permitted|allowed))"
    r"|(?:not\s+(?:permitted|allowed|authori[sz]ed)|unable|refus\w+|denied)\s+to\s+relay|we\s+do\s+not\s+relay"
    r"|(?:not|isn't)\s+in\s+my\s+list\s+of\s+allowed\s+rcpthosts"
    r"|(?:proper\s+)?authentication\s+(?:is\s+)?required|must\s+(?:be\s+)?authenticated?\b|not\s+authenticated"
    r"|(?:client\s+host|helo\s+command|sender\s+address)\s+rejected|client\s+host\s+\[[^\]]*\]\s+blocked"
    r"|sender\s+verify\s+failed|send\s*as\s*denied|permissions?\s+to\s+send\s+as"
    r"|(?:sending|message)\s+(?:limit|quota|rate)\s+exceeded",
    re.IGNORECASE,
)
"""What Postfix, Exim, Sendmail, qmail, Courier, Exchange and Gmail say of a client they do not work for."""
_OURS = re.compile(
    r"5\.(?:7\.(?:3|8|9|10|11|13|14|54|57|60|64|7\d\d)|1\.[78]|4\.5|2\.252)$",
)
"""Logins and encryption (RFC 4954, RFC 5248), Exchange Online's refusals of a sender; our sender address; our quota."""
_RECIPIENT = re.compile(r"[45]\.(?:1\.(?!7$|8$)|2\.(?!252$))\d+$")
_OF_MAIL = re.compile(r"5\.(?:6\.\d+|3\.4|2\.3)$")  # content, and size by MAIL's SIZE (RFC 1870)


def names_us(words: str) -> bool:
    """Whether the words of a delivery report are those to a client that is not worked for: no mailbox is meant."""
    return _STANDING.search(words) is not None


def speaks_of_us(reply: str, step: str = "") -> bool:
    """Whether a refusal (``"554 5.7.1 …"``) would meet any mail of ours; ``step``: see :class:`Attempt`.

    Before a recipient is named nothing else can be meant but a mail's size. Then it takes words or a status that say
    so: whatever is unclear is about this mail or its recipient. 4xx: the words alone, the rest passes by itself.
    """
    code, _, text = reply.partition(" ")
    if not code.isdecimal():
        return False
    found = _STATUS.match(text)
    status, final = found[0] if found else "", 500 <= int(code) < 600
    if int(code) in _LOGIN:
        return True
    if final and step in ("connect", "mail"):
        return not (step == "mail" and (int(code) == 552 or _OF_MAIL.match(status)))
    if _RECIPIENT.match(status):  # a relay that asked the recipient's server repeats what that one said
        return False
    return bool(_STANDING.search(text) or _OURS.match(status))
