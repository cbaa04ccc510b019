"""How well reports and machines are known: ``python bench/accuracy_reports.py CORPORA``. ``-v`` prints the misses.

CORPORA holds ``jsonl/bounce-*.jsonl`` (is it a delivery report, whom did it fail for, permanent or not) and
``jsonl/auto-*.jsonl`` (person or machine).
"""

from __future__ import annotations

import argparse
import collections
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.analysis.origin import find_origin
from gateway.analysis.parse import parse
from gateway.analysis.reports import read_reports
from gateway.model import DeliveryReport, Envelope, Message, Origin

# As from a mailbox: the reverse-path is what the mail's own Return-Path says.
ENVELOPE = Envelope(
    reverse_path="", recipient="x@desk.test", inbox="x", source="import", received_at=datetime(2026, 1, 1, tzinfo=UTC)
)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def read(raw: bytes) -> tuple[Message, Origin, tuple[DeliveryReport, ...]]:
    message = parse(raw)
    origin = find_origin(message, ENVELOPE, frozenset(), "tickets.desk.test")
    return message, origin, read_reports(raw, message) if origin is Origin.DELIVERY_REPORT else ()


def score_bounces(root: Path, path: Path, verbose: bool) -> None:
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    misses: list[str] = []

    def count(name: str, good: bool, case: str, got: object, wanted: object) -> None:
        total[name] += 1
        right[name] += good
        if not good:
            misses.append(f"    {case}  {name}: got {got!r:.200}, wanted {wanted!r:.100}")

    begin = time.perf_counter()
    for row in rows(path):
        wanted = row["expected"]
        _, origin, found = read((root / row["path"]).read_bytes())
        failed = [report for report in found if report.kind != "delivered"]
        if wanted["bounce"] is True:
            count("found", bool(failed), row["id"], str(origin), True)
        elif wanted["bounce"] is False:
            count("not taken for one", not failed, row["id"], str(origin), False)
        if wanted.get("recipients") and wanted["bounce"] is not False:
            names = {report.recipient.lower() for report in found}
            count("recipients exact", names == {n.lower() for n in wanted["recipients"]}, row["id"], names, wanted)
        status = wanted.get("status") or []
        if wanted["bounce"] and failed and len(status) == 1 and status[0][:1] in ("4", "5"):
            hard = any(report.kind == "hard" for report in failed)
            count("hard or soft", hard == (status[0][0] == "5"), row["id"], failed[0], status)
        for report in failed if "temporary" in wanted else ():
            if report.recipient.lower() in {n.lower() for n in wanted["temporary"]}:
                count("temporary", report.kind in ("delay", "soft"), row["id"], report, "temporary")
            elif report.recipient.lower() in {n.lower() for n in wanted["permanent"]}:
                count("failed for good", report.action == "failed", row["id"], report, "permanent")
        if failed:
            count("original id known", bool(failed[0].original_message_id), "", "", "")
    print(f"{path.stem}   {1000 * (time.perf_counter() - begin) / max(1, total['found']):.2f} ms a mail")
    for name, number in total.items():
        print(f"  {name:20} {right[name]:5} of {number:5}   {100 * right[name] / number:6.1f} %")
    for miss in misses if verbose else ():
        if "original id" not in miss:
            print(miss)


def score_origins(root: Path, path: Path, verbose: bool) -> None:
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    for row in rows(path):
        message, origin, _ = read((root / row["path"]).read_bytes())
        seen[row["expected"]["type"], str(origin)] += 1
        # List mail is written by people: no acknowledgement, but no machine either.
        automatic = origin not in (Origin.PERSON, Origin.LIST)
        if verbose and automatic != row["expected"]["auto"]:
            print(f"    {row['id']}  {origin}: {message.subject!r:.80}")
    print(path.stem)
    for (kind, origin_), number in sorted(seen.items()):
        print(f"  {kind:12} -> {origin_:20} {number:5}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true", help="show every miss")
    options = parser.parse_args()
    for path in sorted((options.corpora / "jsonl").glob("bounce-*.jsonl")):
        score_bounces(options.corpora, path, options.verbose)
    for path in sorted((options.corpora / "jsonl").glob("auto-*.jsonl")):
        score_origins(options.corpora, path, options.verbose)


if __name__ == "__main__":
    main()
