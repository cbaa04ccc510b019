"""DNS as data: the answers one evaluation may use, the names it still lacks, and its budget (security.md 4.1)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.model import DnsAnswer

MAX_NAMES = 20
"""Names asked for one mail, all protocols together; beyond: permerror."""

MAX_ANSWER = 8 * 1024
"""Characters of one answer; a larger one is a permerror."""

OVERSIZE = "oversize"
"""Status of an answer nobody may use: too large, or asked beyond the budget. Never confused with absent or failed."""

_UNUSABLE = DnsAnswer(OVERSIZE)


class MissingRecordError(Exception):
    """A record is needed that ``records`` does not hold; its key is already noted in ``needs``."""


class Answers:
    """Reads ``records``; remembers what was used and what is lacking. Spending order is the order of asking."""

    def __init__(self, records: Mapping[str, DnsAnswer], limit: int = MAX_NAMES) -> None:
        self._records = records
        self._limit = limit
        self._asked: dict[str, None] = {}
        self.used: dict[str, DnsAnswer] = {}
        self.needs: dict[str, None] = {}

    def ask(self, type_: str, name: str) -> DnsAnswer | None:
        """The answer to a query; None when it is not known yet (then its key is in ``needs``)."""
        name = name.lower().rstrip(".")
        if not is_name(name):
            return DnsAnswer("absent")  # such a name cannot exist: nothing to ask
        key = f"{type_} {name}"
        if key not in self._asked:
            if len(self._asked) >= self._limit:
                return _UNUSABLE
            self._asked[key] = None
        answer = self._records.get(key)
        if answer is None:
            self.needs[key] = None
            return None
        self.used[key] = answer
        if answer.status == "found" and sum(map(len, answer.values)) > MAX_ANSWER:
            return _UNUSABLE
        return answer

    def require(self, type_: str, name: str) -> DnsAnswer:
        """As :meth:`ask`, for code that cannot go on without: raises :class:`MissingRecordError`."""
        answer = self.ask(type_, name)
        if answer is None:
            raise MissingRecordError(f"{type_} {name}")
        return answer


def is_name(name: str) -> bool:
    """Whether a name can be asked at all: labels of 1 to 63 octets, 253 in all, printable ASCII (RFC 1035 2.3.4).

    A blank may stand in a label: SPF macros can make one (RFC 7208 7.3, "%_").
    """
    if not name or len(name) > 253 or not name.isascii() or not name.isprintable():
        return False
    return all(0 < len(label) <= 63 for label in name.split("."))
