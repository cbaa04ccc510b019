"""SPF, DKIM, ARC and DMARC: the cases' zones go in with ``--zone``, their hosts with ``--client-ip`` and ``--helo``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.examining import Call, as_mail, examine_each
from bench.tally import Corpora, Measured, Row, Tally

OURS_ONLY = ("does not cover", "dated in the future", "a public suffix", "only a part of the body")
"""Reasons of our own policy for which RFC 6376 alone would not refuse a signature that fits."""
_FAILING = {"error": "TIMEOUT"}
_TYPES = ("TXT", "A", "AAAA", "MX", "PTR")
_SELECTOR = "bench"
_HOST = "192.0.2.17"


def measure(corpora: Corpora) -> Iterator[Measured]:
    """One set after the other."""
    for task, measure_set in (("spf", _spf), ("dkim", _dkim), ("arc", _arc), ("dmarc", _dmarc)):
        for name, rows in corpora.sets(task):
            yield Measured(name, {"ticketgate": measure_set(corpora, rows)})


def _spf(_corpora: Corpora, rows: list[Row]) -> Tally:
    calls = [
        Call(
            mails=[as_mail("Hello", author="somebody@nowhere.test")],
            zone=_zone_of_records(row["zone"]),
            client_ip=row["ip"],
            mail_from=row["mailfrom"],
            helo=row["helo"],
        )
        for row in rows
    ]
    tally = Tally()
    for row, (found,) in zip(rows, examine_each(calls), strict=True):
        got, wanted = found["authentication"]["spf"], row["expected"]["result"]
        tally.count("result", got in wanted, row["id"], got, wanted)
    return tally


def _zone_of_records(zone: Mapping[str, Any]) -> dict[str, Any]:
    """The case's zone as the command takes it: aliases are followed here, as a name server's answer would have them."""
    names = {name.lower().rstrip("."): entry for name, entry in zone.items()}
    return {name: {type_: _values(names, name, type_) for type_ in _TYPES} for name in names}


def _values(names: Mapping[str, Any], name: str, type_: str, aliases: int = 0) -> object:
    entry = names.get(name)
    if entry is None or aliases > 20:
        return []
    values: list[object] = []
    for kind, value in entry["records"]:
        if kind == "CNAME":
            return _values(names, value.lower().rstrip("."), type_, aliases + 1)
        if kind == type_:
            if value == "TIMEOUT":
                return _FAILING
            values.append(value)
    return _FAILING if not values and entry.get("other_types") == "TIMEOUT" else values


def _dkim(corpora: Corpora, rows: list[Row]) -> Tally:
    """Right: a signature is accepted, or only our policy refuses it, where the case expects a pass; none elsewhere."""
    calls = [
        Call(
            mails=[corpora.read(row)],
            zone=_zone_of_keys(row["dns"]),
            received=datetime.fromtimestamp(row["now"], UTC).isoformat() if row.get("now") else "",
        )
        for row in rows
    ]
    tally = Tally()
    for row, (found,) in zip(rows, examine_each(calls), strict=True):
        results = found["authentication"]["dkim"]
        good = any(one["result"] == "pass" or _refused_by_policy(one) for one in results)
        tally.count("pass or not", good == (row["expected"]["result"] == "pass"), row["id"], results, row["expected"])
    return tally


def _refused_by_policy(one: Mapping[str, str]) -> bool:
    return one["result"] == "policy" and any(reason in (one["reason"] or "") for reason in OURS_ONLY)


def _zone_of_keys(dns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"TXT": value if isinstance(value, Mapping) else [value]} for name, value in dns.items()}


def _arc(corpora: Corpora, rows: list[Row]) -> Tally:
    by_zone: dict[str, list[Row]] = {}
    for row in rows:
        by_zone.setdefault(json.dumps(row["dns"], sort_keys=True), []).append(row)
    calls = [
        Call(mails=[corpora.read(row) for row in group], zone=_zone_of_keys(json.loads(zone)))
        for zone, group in by_zone.items()
    ]
    tally = Tally()
    for group, answers in zip(by_zone.values(), examine_each(calls), strict=True):
        for row, found in zip(group, answers, strict=True):
            got, wanted = found["authentication"]["arc"], row["expected"]["cv"]
            tally.count("chain", got == wanted, row["id"], got, wanted)
    return tally


def _dmarc(_corpora: Corpora, rows: list[Row]) -> Tally:
    """The cases say which domains signed and sent: the mails are signed here, and SPF records are put beside."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = "v=DKIM1; k=rsa; p=" + "".join(public.decode().split("\n")[1:-2])
    tally = Tally()
    for row, (found,) in zip(rows, examine_each([_signed(row, private, record) for row in rows]), strict=True):
        result = found["authentication"]["dmarc"]
        got = {key: result[key] for key in row["expected"]}
        tally.count("result and policy", got == row["expected"], row["id"], result, row["expected"])
    return tally


def _signed(row: Row, private: bytes, record: str) -> Call:
    author = row["header_from"]
    author = author[0] if isinstance(author, list) else author
    author = author if "@" in author else f"user@{author}"
    raw = as_mail("Hello", author=author)
    zone = {name: dict(entry) for name, entry in row["zone"].items()}
    for domain in row["dkim_domains"]:
        raw = dkim.sign(raw, _SELECTOR.encode(), domain.encode(), private) + raw
        zone[f"{_SELECTOR}._domainkey.{domain}"] = {"TXT": [record]}
    for domain in row["spf_domains"]:
        zone.setdefault(domain, {})["TXT"] = [f"v=spf1 ip4:{_HOST} -all"]
    sender = row["spf_domains"][0] if row["spf_domains"] else ""
    return Call(mails=[raw], zone=zone, client_ip=_HOST, mail_from=f"user@{sender}" if sender else "")
