"""SPF by RFC 7208, with DNS as data.

pyspf evaluates the record; its door to DNS is replaced by :class:`Answers`, and the explanation (exp=), which needs
further names and is shown to nobody, is never fetched. Limits are its own: 10 terms, 2 void answers, 10 MX and PTR
names (RFC 7208 4.6.4); those of security.md 4.1 are Answers'.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import spf

from gateway.address import fold_domain, split_address
from gateway.analysis.dns_records import OVERSIZE, Answers, MissingRecordError, is_name
from gateway.model import SpfResult

MAX_VOID = 2
MAX_RECORD = 4096
"""Characters of one record: pyspf takes quadratic time for some, and no honest one comes near (RFC 7208 3.4: 450)."""
MAX_PATH = 512


class _Query(spf.query):  # type: ignore[misc]
    """pyspf's evaluation over our answers."""

    def __init__(self, answers: Answers, client: str, sender: str, helo: str) -> None:
        super().__init__(i=client, s=sender, h=helo, strict=True)
        self._answers = answers
        self.t = "0"  # %{t} exists in explanations only; no clock in here

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """In place of pyspf's resolver and cache. CNAMEs were followed by whoever filled the answers."""
        name = str(name).rstrip(".").lower()
        if not is_name(name):
            return []
        answer = self._answers.require(qtype, name)
        if answer.status == "failed":
            raise spf.TempError(f"{qtype} {name} could not be looked up")
        if answer.status == OVERSIZE:
            raise spf.PermError("too many names or too large an answer")
        if qtype == "TXT" and any(len(value) > MAX_RECORD and value[:6].lower() == "v=spf1" for value in answer.values):
            raise spf.PermError("the record is too long")
        if answer.status == "found" and answer.values:
            return [_as_pyspf(qtype, value) for value in answer.values]
        if not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > MAX_VOID:
                raise spf.PermError(f"more than {MAX_VOID} names that do not exist")
        return []

    def dns_mx(self, domainname: str) -> list[object]:
        """The addresses of all exchanges, which are asked for together: one round instead of ten."""
        hosts = [str(host) for _, host in sorted(self.dns(domainname, "MX"))]
        if len(hosts) > spf.MAX_MX:  # RFC 7208 4.6.4
            raise spf.PermError(f"more than {spf.MAX_MX} mail exchangers")
        for host in hosts:
            self._answers.ask(self.A, host)
        return [address for host in hosts for address in self.dns_a(host, self.A)]

    def dns_ptr(self, i: str) -> list[object]:
        """The client's names; their addresses are asked for together."""
        names = super().dns_ptr(i)
        for name in names[: spf.MAX_PTR]:
            self._answers.ask(self.A, name)
        return list(names)

    def get_explanation(self, spec: str) -> None:
        return None


def _as_pyspf(qtype: str, value: str) -> object:
    if qtype == "TXT":
        return (value.encode("utf-8", "surrogateescape"),)
    if qtype == "MX":
        preference, _, host = value.partition(" ")
        return int(preference), host.strip().rstrip(".")
    return value.rstrip(".")


def check_spf(answers: Answers, client: str, reverse_path: str, helo: str) -> SpfResult | None:
    """The result for one client address (text form) and reverse_path; "" takes the HELO name (RFC 7208 2.3, 2.4).

    None while a record is lacking. ``domain`` is the reverse_path's, and "" for the HELO identity, which proves nobody.
    """
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return SpfResult(reason="the client is not known")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    local, domain = split_address(reverse_path)
    shown = SpfResult(domain=fold_domain(domain))
    sender = f"{local or 'postmaster'}@{shown.domain}" if reverse_path else ""
    if len(reverse_path) > MAX_PATH or not is_name(shown.domain if reverse_path else helo.rstrip(".")):
        return SpfResult(reason="there is no domain to ask")
    try:
        query = _Query(answers, str(mapped or address), sender, helo)
        result, _, explanation = query.check()
    except MissingRecordError:
        return None
    except Exception as why:  # noqa: BLE001 - pyspf meets a record it did not foresee
        return SpfResult(result="permerror", domain=shown.domain, reason=f"the record cannot be read: {why}"[:200])
    return SpfResult(result=result, domain=shown.domain, reason=str(explanation)[:200])
