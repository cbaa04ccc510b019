"""Delivery reports (is it one, for whom, for good or for now) and automatic mail, beside flufl.bounce.

"exact" is: the set of recipients named. A report about nothing but successes is no bounce.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.examining import Found, examine
from bench.libraries import bounce_reader
from bench.tally import Corpora, Measured, Row, Tally


def measure(corpora: Corpora) -> Iterator[Measured]:
    """One set after the other."""
    read = bounce_reader()
    for name, rows in corpora.sets("bounce"):
        mails = [corpora.read(row) for row in rows]
        measured = Measured(name, {"ticketgate": Tally()})
        for row, found in zip(rows, examine(mails), strict=True):
            _ours(measured.readers["ticketgate"], row, found)
        if read is not None:
            measured.readers["flufl.bounce"] = Tally()
            for row, raw in zip(rows, mails, strict=True):
                for_now, for_good = read(raw)
                hard = bool(for_good) if for_now or for_good else None
                _score(measured.readers["flufl.bounce"], row, for_now | for_good, hard, "")
        yield measured
    for name, rows in corpora.sets("auto"):
        mails = [corpora.read(row) for row in rows]
        measured = Measured(name, {"ticketgate": Tally()})
        for row, found in zip(rows, examine(mails), strict=True):
            wanted = row["expected"]
            # List mail is written by people: no acknowledgement goes there, but no machine wrote it.
            automatic = found["origin"] not in ("person", "list")
            got = f"{found['origin']}: {found['subject']}"
            measured.readers["ticketgate"].count(wanted["type"], automatic == wanted["auto"], row["id"], got, wanted)
        if read is not None:
            measured.readers["flufl.bounce"] = tally = Tally()
            for row, raw in zip(rows, mails, strict=True):
                tally.count(row["expected"]["type"], any(read(raw)) == row["expected"]["auto"])
        yield measured


def _ours(tally: Tally, row: Row, found: Found) -> None:
    reports: list[dict[str, Any]] = found["reports"]
    failed = [report for report in reports if report["kind"] != "delivered"]
    names = {report["recipient"].lower() for report in reports}
    hard = any(report["kind"] == "hard" for report in failed) if failed else None
    _score(tally, row, names, hard, row["id"], detected=bool(failed))
    wanted = row["expected"]
    for report in failed if "temporary" in wanted else ():
        name = report["recipient"].lower()
        if name in {n.lower() for n in wanted["temporary"]}:
            tally.count("said for now", report["kind"] in ("delay", "soft"), row["id"], report, "temporary")
        elif name in {n.lower() for n in wanted["permanent"]}:
            tally.count("said for good", report["action"] == "failed", row["id"], report, "permanent")


def _score(
    tally: Tally, row: Row, names: set[str], hard: bool | None, case: str, *, detected: bool | None = None
) -> None:
    wanted = row["expected"]
    detected = bool(names) if detected is None else detected
    if wanted["bounce"] is True:
        tally.count("detected", detected, case, names, wanted.get("recipients"))
    elif wanted["bounce"] is False:
        tally.count("no false alarm", not detected, case, names, "no bounce")
    if wanted.get("recipients") is not None and wanted["bounce"] is not False:
        asked = {name.lower() for name in wanted["recipients"]}
        tally.count("exact", names == asked, case, names, asked)
    status = wanted.get("status") or []
    if wanted["bounce"] and hard is not None and len(status) == 1 and status[0][:1] in ("4", "5"):
        tally.count("hard or soft", hard == (status[0][0] == "5"), case, hard, status)
