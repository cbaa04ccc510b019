"""Scores authentication against a folder of third-party cases: SPF, DKIM, ARC, DMARC. Prints a table, asserts nothing.

    python bench/accuracy_auth.py FOLDER [-v]

FOLDER has ``jsonl/{spf,dkim,arc,dmarc}-*.jsonl``; each line is one case with its zone and the expected result.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.address import domain_of, fold_domain
from gateway.analysis.arc import check_chain
from gateway.analysis.dkim import Demands, check_signatures
from gateway.analysis.dmarc import Dmarc
from gateway.analysis.dns_records import Answers
from gateway.analysis.header import read_header
from gateway.analysis.signatures import BodyHashes
from gateway.analysis.spf import check_spf
from gateway.model import DnsAnswer

Case = dict[str, Any]


class ZoneRecords(Mapping[str, DnsAnswer]):
    """The zone of one case as records: every key has an answer."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._aliases = 0

    def __getitem__(self, key: str) -> DnsAnswer:
        type_, _, name = key.partition(" ")
        if "dns" in self._case:
            return _of_dns(self._case["dns"], name)
        zone = {k.lower().rstrip("."): v for k, v in self._case["zone"].items()}.get(name)
        if zone is None:
            return DnsAnswer("failed" if name.startswith("error.") else "absent")
        return self._of_records(zone, type_) if "records" in zone else _of_types(zone, type_)

    def _of_records(self, zone: Case, type_: str) -> DnsAnswer:
        values = []
        for kind, value in zone["records"]:
            if value == "TIMEOUT" and kind == type_:
                return DnsAnswer("failed")
            if kind == "CNAME" and type_ != "CNAME":
                self._aliases += 1
                if self._aliases > 50:
                    return DnsAnswer("absent")
                return self[f"{type_} {value.lower().rstrip('.')}"]
            if kind == type_:
                values.append(_present(kind, value))
        if not values and zone.get("other_types") == "TIMEOUT":
            return DnsAnswer("failed")
        return DnsAnswer("found" if values else "absent", tuple(values))

    def get(self, key: str, default: object = None) -> Any:
        return self[key]

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _present(kind: str, value: Any) -> str:
    if kind in ("TXT", "SPF"):
        return "".join(value) if isinstance(value, list) else str(value)
    return f"{value[0]} {value[1]}" if kind == "MX" else str(value)


def _of_dns(dns: Case, name: str) -> DnsAnswer:
    value = {k.lower(): v for k, v in dns.items()}.get(name)
    if isinstance(value, dict):
        return DnsAnswer("absent" if value["error"] == "NXDOMAIN" else "failed")
    return DnsAnswer("found", (value,)) if value is not None else DnsAnswer("absent")


def _of_types(zone: Case, type_: str) -> DnsAnswer:
    value = zone.get(type_)
    if isinstance(value, dict):
        return DnsAnswer("absent" if value["error"] in ("NXDOMAIN", "ENOTFOUND", "ENODATA") else "failed")
    return DnsAnswer("found", tuple(_present(type_, v) for v in value)) if value else DnsAnswer("absent")


def score_spf(case: Case, folder: Path) -> tuple[object, bool]:
    result = check_spf(Answers(ZoneRecords(case), limit=100), case["ip"], case["mailfrom"], case["helo"])
    got = result.result if result else "pending"
    return got, got in case["expected"]["result"]


OURS_ONLY = ("does not cover", "dated in the future", "a public suffix", "only a part of the body")
"""Reasons of our own policy (security.md 4.2) for which RFC 6376 alone would not refuse a signature that fits."""


def score_dkim(case: Case, folder: Path) -> tuple[object, bool]:
    """Right: a signature is accepted, or only our policy refuses it, where the case expects a pass; none elsewhere."""
    raw = (folder / case["path"]).read_bytes()
    header = read_header(raw)
    now = datetime.fromtimestamp(case["now"], UTC) if case.get("now") else datetime.now(UTC)
    results = check_signatures(
        header, BodyHashes(raw[header.body_start :]), Answers(ZoneRecords(case)), Demands(received_at=now)
    )
    got = [f"{one.result}: {one.reason}".rstrip(": ") for one in results]
    valid = any(
        one.result == "pass" or (one.result == "policy" and any(reason in one.reason for reason in OURS_ONLY))
        for one in results
    )
    return got, valid == (case["expected"]["result"] == "pass")


def score_arc(case: Case, folder: Path) -> tuple[object, bool]:
    raw = (folder / case["path"]).read_bytes()
    header = read_header(raw)
    result = check_chain(header, BodyHashes(raw[header.body_start :]), Answers(ZoneRecords(case), limit=200))
    return f"{result.result}:{result.reason}", result.result == case["expected"]["cv"]


def score_dmarc(case: Case, folder: Path) -> tuple[object, bool]:
    author = case["header_from"]
    author = author[0] if isinstance(author, list) else author
    domain = domain_of(author.strip("<>")) or fold_domain(author)
    dmarc = Dmarc(domain, Answers(ZoneRecords(case), limit=100))
    identities = [(d, "dkim") for d in case["dkim_domains"]] + [(d, "spf") for d in case["spf_domains"]]
    decided = [dmarc.is_aligned(fold_domain(d), kind) for d, kind in identities if d]
    result = dmarc.result(any(decided), None in decided)
    got = {"result": result.result, "policy": result.policy or None, "domain": result.domain}
    return got, all(got.get(key) == value for key, value in case["expected"].items())


def main() -> None:
    folder = Path(sys.argv[1])
    verbose = "-v" in sys.argv
    for path in sorted((folder / "jsonl").glob("*.jsonl")):
        score = {"spf": score_spf, "dkim": score_dkim, "arc": score_arc, "dmarc": score_dmarc}.get(
            path.name.partition("-")[0]
        )
        if score is None:
            continue
        right = count = 0
        slowest = 0.0
        for line in path.read_text("utf-8").splitlines():
            case = json.loads(line)
            began = time.process_time()
            got, good = score(case, folder)
            slowest = max(slowest, time.process_time() - began)
            count += 1
            right += good
            if verbose or not good:
                print(f"  {'' if good else 'MISS '}{case['id']}: expected {case['expected']}, got {got}")
        print(f"{path.stem:28} {right:4}/{count:<4} slowest {slowest * 1000:.1f} ms")


if __name__ == "__main__":
    main()
