"""DNS for the parent: bounded, cached, and with two kinds of failure that are never confused (security.md 4.1).

The cage asks for records by key ("TXT _dmarc.example.com"); this module answers with data. ``absent`` is what DNS said,
``failed`` is that DNS did not say anything, ``oversize`` that nobody may use what it said.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.TXT import TXT

from gateway.model import DnsAnswer

TYPES = frozenset({"TXT", "MX", "A", "AAAA", "PTR"})
"""Record types that are ever asked for."""

TOTAL_SECONDS = 5.0
QUERY_SECONDS = 2.0
MAX_ANSWER = 8 * 1024
MAX_ALIASES = 8
KEEP_FOUND = 3600.0
KEEP_ABSENT = 300.0
MAX_CACHED = 20_000
MAX_CONCURRENT = 100

_FAILED = DnsAnswer("failed")
_ABSENT = DnsAnswer("absent")
_OVERSIZE = DnsAnswer("oversize")


class Resolves(Protocol):
    """Whoever answers record keys: the network, or a zone from a file."""

    async def resolve(self, keys: Iterable[str], within: float = TOTAL_SECONDS) -> dict[str, DnsAnswer]: ...


class Resolver:
    """Asks name servers ("192.0.2.53", "127.0.0.1:5353", "[::1]:5353"; none: the system's) over UDP, then TCP.

    Answers are kept as long as their TTL allows, at most an hour; absence at most 5 min; failures not at all. One name
    is asked once at a time, however many mails wait for it. Belongs to one event loop.
    """

    def __init__(self, servers: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = _make_resolver(servers)
        self._clock = clock
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._kept: OrderedDict[str, tuple[float, DnsAnswer]] = OrderedDict()
        self._running: dict[str, asyncio.Task[DnsAnswer]] = {}

    def renew(self, servers: Sequence[str]) -> None:
        """Ask these from now on; what others said is forgotten."""
        self._resolver = _make_resolver(servers)
        self._kept.clear()

    async def resolve(self, keys: Iterable[str], within: float = TOTAL_SECONDS) -> dict[str, DnsAnswer]:
        """An answer for every key; what is not answered within so many seconds has failed. Never raises.

        A mail may take 5 s in all: callers that ask in rounds pass what is left. A late answer is kept for the retry.
        """
        answers: dict[str, DnsAnswer] = {}
        waiting: dict[str, asyncio.Task[DnsAnswer]] = {}
        for key in keys:
            if (known := self._find_kept(key)) is not None:
                answers[key] = known
            else:
                waiting[key] = self._start(key)
        if waiting:
            await asyncio.wait(set(waiting.values()), timeout=max(0.0, within))
        for key, task in waiting.items():
            clean = task.done() and not task.cancelled() and task.exception() is None
            answers[key] = task.result() if clean else _FAILED
        return answers

    async def close(self) -> None:
        """Ends every query that still runs."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _find_kept(self, key: str) -> DnsAnswer | None:
        until, answer = self._kept.get(key, (0.0, _FAILED))
        if until <= self._clock():
            return None
        self._kept.move_to_end(key)
        return answer

    def _start(self, key: str) -> asyncio.Task[DnsAnswer]:
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    async def _ask(self, key: str) -> DnsAnswer:
        async with self._slots:
            answer, seconds = await self._query(key)
        if seconds > 0:
            self._kept[key] = (self._clock() + seconds, answer)
            while len(self._kept) > MAX_CACHED:
                self._kept.popitem(last=False)
        return answer

    async def _query(self, key: str) -> tuple[DnsAnswer, float]:
        """The answer, and for how many seconds it may be kept."""
        type_, _, text = key.partition(" ")
        name = _make_name(text)
        if type_ not in TYPES or name is None:
            return _ABSENT, 0.0
        try:
            found = await self._resolver.resolve(name, type_, search=False, raise_on_no_answer=False)
            chain = found.chaining_result
            if len(chain.cnames) > MAX_ALIASES:
                return _OVERSIZE, KEEP_ABSENT
            if found.rrset is None:
                return _ABSENT, min(float(chain.minimum_ttl), KEEP_ABSENT)
            values = tuple(_present(rdata) for rdata in found.rrset)
            answer = _OVERSIZE if sum(map(len, values)) > MAX_ANSWER else DnsAnswer("found", values)
            return answer, min(float(chain.minimum_ttl), KEEP_FOUND)
        except dns.resolver.NXDOMAIN as absent:
            return _ABSENT, min(_absence_ttl(absent, name), KEEP_ABSENT)
        except dns.message.ChainTooLong:
            return _OVERSIZE, KEEP_ABSENT
        # Timeout, SERVFAIL, REFUSED, a broken packet, no route: all of them may be different in a minute.
        except (dns.exception.DNSException, OSError, EOFError, ValueError):
            return _FAILED, 0.0


def _make_resolver(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*split_server(server)) for server in servers]
    resolver.timeout = QUERY_SECONDS
    resolver.lifetime = TOTAL_SECONDS
    resolver.use_edns(0, 0, 1232)
    return resolver


def split_server(server: str) -> tuple[str, int]:
    """ "192.0.2.53", "192.0.2.53:5353", "2001:db8::53" or "[2001:db8::53]:5353" as address and port."""
    if server.startswith("["):
        address, _, port = server[1:].partition("]")
        return address, int(port.removeprefix(":") or 53)
    if server.count(":") == 1:
        address, _, port = server.partition(":")
        return address, int(port)
    return server, 53


def _make_name(text: str) -> dns.name.Name | None:
    """A name by its labels, whatever characters stand in them; None for one that cannot be asked."""
    try:
        return dns.name.Name([*(label.encode("ascii") for label in text.split(".")), b""])
    except (dns.exception.DNSException, UnicodeError):
        return None


def _present(rdata: object) -> str:
    if isinstance(rdata, TXT):
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return str(rdata)


def _absence_ttl(absent: dns.resolver.NXDOMAIN, name: dns.name.Name) -> float:
    try:
        response: dns.message.QueryMessage = absent.response(name)  # type: ignore[no-untyped-call]
        return float(response.resolve_chaining().minimum_ttl)
    except (dns.exception.DNSException, KeyError):
        return 60.0


class ZoneResolver:
    """A zone from a file in place of DNS: what is not in it is absent, and nothing is asked (``--zone FILE``).

    ``{"name": {"TXT": [...], "MX": [[10, "host"]], "A": [...], "AAAA": [...], "PTR": [...],
    "error": "NXDOMAIN" | "SERVFAIL" | "TIMEOUT"}}``; names in any case, a final dot allowed. A type whose questions
    alone fail has ``{"error": ...}`` in place of its list.
    """

    def __init__(self, zone: Mapping[str, Mapping[str, object]]) -> None:
        self._zone = {name.lower().rstrip("."): entry for name, entry in zone.items()}

    async def resolve(self, keys: Iterable[str], within: float = TOTAL_SECONDS) -> dict[str, DnsAnswer]:
        """An answer for every key."""
        return {key: self.find(key) for key in keys}

    def find(self, key: str) -> DnsAnswer:
        """The answer to one key."""
        type_, _, name = key.partition(" ")
        entry = self._zone.get(name.lower().rstrip("."))
        if entry is None:
            return _ABSENT
        listed = entry.get(type_) or ()
        error = listed.get("error") if isinstance(listed, Mapping) else entry.get("error")
        if error:
            return _ABSENT if error == "NXDOMAIN" else _FAILED
        values = [listed] if isinstance(listed, str) else list(listed) if isinstance(listed, Sequence) else []
        found = tuple(_present_zone(type_, value) for value in values)
        if sum(map(len, found)) > MAX_ANSWER:
            return _OVERSIZE
        return DnsAnswer("found", found) if found else _ABSENT


def _present_zone(type_: str, value: object) -> str:
    """One value of a zone file; a TXT may be given as its strings, an MX as preference and host."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ("" if type_ == "TXT" else " ").join(str(part) for part in value)
    return str(value)
