"""Whether the server that relays for us takes our mail, as far as attempts have told. Pure; one in each process.

A relay may know our own domain and refuse the rest of the world, or refuse one sender of ours. So a refusal at RCPT is
over only with a mail to that domain, the alarm about it, which does arrive, ends nothing, and all is well when the
store has no mail any more that waits for the relay.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.address import domain_of
from gateway.model import OutboundMail
from gateway.outbound.transport import Attempt


class Standing:
    """What was refused to us and has not been seen to work since. At a start nothing is known."""

    def __init__(self) -> None:
        self._everything = False
        self._domains: set[str] = set()
        self._known = False
        self._trouble = False

    @property
    def well(self) -> bool:
        """Nothing is known to be refused to us."""
        return not self._trouble

    def hear(self, attempt: Attempt, mail: OutboundMail) -> bool:
        """Take in what came of an attempt; True when mail that waits for the relay may go now."""
        domain = domain_of(mail.recipient)
        if attempt.barred:
            self._known = self._trouble = True
            if attempt.step == "rcpt":
                self._domains.add(domain)
            else:
                self._everything = True
            return False
        if attempt.outcome != "sent" or mail.kind == "alert":
            return False
        better = self._everything or domain in self._domains or not self._known
        self._known, self._everything = True, False
        self._domains.discard(domain)
        return better

    def settle(self, waiting: Iterable[str]) -> bool:
        """Take in to whom the mails that wait for the relay go; True when there was trouble and none waits any more."""
        domains = {domain_of(recipient) for recipient in waiting}
        self._domains &= domains
        if domains:
            return False
        over, self._trouble, self._everything = self._trouble, False, False
        return over
