"""Whether the server that relays for us takes our mail, as far as attempts have told. Pure; one in each process.

A relay may know our own domain and refuse the rest of the world. So a refusal at RCPT is over only with a mail to that
domain, or the alarm about it, which does arrive, would end it.
"""

from __future__ import annotations

from gateway.address import domain_of
from gateway.outbound.transport import Attempt


class Standing:
    """What was refused to us and has not been seen to work since. At a start nothing is known."""

    def __init__(self) -> None:
        self._everything = False
        self._domains: set[str] = set()
        self._known = False

    @property
    def well(self) -> bool:
        """Nothing is known to be refused to us."""
        return not self._everything and not self._domains

    def hear(self, attempt: Attempt, recipient: str) -> bool:
        """Take in what came of an attempt; True when mail that waits for the relay may go now."""
        domain = domain_of(recipient)
        if attempt.barred:
            self._known = True
            if attempt.step == "rcpt":
                self._domains.add(domain)
            else:
                self._everything = True
            return False
        if attempt.outcome != "sent":
            return False
        better = self._everything or domain in self._domains or not self._known
        self._known, self._everything = True, False
        self._domains.discard(domain)
        return better
