"""Replies: what its author wrote anew, beside public libraries.

Expected answers are texts (``accept``), parts (``contains``, ``absent``) or lines by class (``lines``). Where a set's
answers keep the signature, new text and signature are compared together. Quote marks of the author's own blockquotes
are left out in rows that were HTML, because the expected texts have none.
"""

from __future__ import annotations

import collections
import re
import time
from collections.abc import Iterator

from bench.examining import Found, as_mail, examine
from bench.libraries import reply_readers
from bench.tally import Corpora, Measured, Row, Tally, norm, token_f1, tokens


def measure(corpora: Corpora) -> Iterator[Measured]:
    """One set after the other."""
    others = reply_readers()
    for name, rows in corpora.sets("reply"):
        inputs = [corpora.read(row) for row in rows]
        mails = [mail_of(row, raw) for row, raw in zip(rows, inputs, strict=True)]
        measured = Measured(name)
        ours = Tally()
        for row, found in zip(rows, examine(mails), strict=True):
            score(ours, row, text_of(row, found), row["id"])
            ours.add("ms", found["elapsed_ms"])
        measured.readers["ticketgate"] = ours
        for reader, read in others.items():
            tally = Tally()
            for row, raw in zip(rows, inputs, strict=True):
                began = time.perf_counter()
                try:
                    text = read(row, raw)
                except Exception:  # noqa: BLE001  a library that fails has found nothing
                    text = ""
                spent = (time.perf_counter() - began) * 1000
                score(tally, row, text)
                tally.add("ms", spent)
            measured.readers[reader] = tally
        yield measured


def mail_of(row: Row, raw: bytes) -> bytes:
    """The row's input as a mail."""
    if row["kind"] == "eml":
        return raw
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    return as_mail(text, "html" if row["kind"] == "html" else "plain", row.get("sender") or "")


def text_of(row: Row, found: Found) -> str:
    """The part of our answer that the row asks for."""
    said = found["text"]
    text = said["new"] if row.get("sig") == "stripped" else f"{said['new']}\n{said['signature']}"
    return re.sub(r"(?m)^(?:> ?)+", "", text) if said["source"] == "html" else text


def score(tally: Tally, row: Row, text: str, case: str = "") -> None:
    """One answer; ``kept`` is the share of the author's lines in it."""
    expected = row["expected"]
    exact, f1, kept = _by_lines(expected["lines"], text) if "lines" in expected else _by_text(row, text)
    tally.count("exact", exact, case, text, {key: value for key, value in expected.items() if key != "elided"})
    tally.add("f1", f1)
    tally.add("kept", kept)


def _by_text(row: Row, text: str) -> tuple[bool, float, float]:
    expected, mode = row["expected"], row.get("norm") or "ws"
    ours = norm(text, mode)
    if "accept" in expected:
        best = max(token_f1(text, answer) for answer in expected["accept"])
        kept = max(_part_kept(text, answer) for answer in expected["accept"])
        return any(ours == norm(answer, mode) for answer in expected["accept"]), best, kept
    there = [norm(part, mode) in ours for part in expected.get("contains", [])]
    gone = [norm(part, mode) not in ours for part in expected.get("absent", [])]
    total = len(there) + len(gone)
    return all(there + gone), (sum(there) + sum(gone)) / total if total else 1.0, float(all(there))


def _part_kept(ours: str, theirs: str) -> float:
    wanted = [norm(line, "nows") for line in theirs.split("\n") if line.strip()]
    have = norm(ours, "nows")
    return sum(line in have for line in wanted) / len(wanted) if wanted else 1.0


def _by_lines(lines: list[list[str]], text: str) -> tuple[bool, float, float]:
    """Author's lines claim their copies first, then lines that may stay; what quoted lines still find has leaked."""
    have = collections.Counter(norm(line) for line in text.split("\n") if line.strip())
    whole = norm(text)
    keep = kept = leaked = 0
    for kind, line in lines:
        if kind in ("keep", "closing") and norm(line):
            there = have[norm(line)] > 0
            have[norm(line)] -= there
            keep += kind == "keep"
            kept += kind == "keep" and (there or norm(line) in whole)
    for kind, line in lines:
        if kind in ("inter", "neutral") and have[norm(line)] > 0:
            have[norm(line)] -= 1
    for kind, line in lines:
        if kind == "quote" and len(norm(line)) > 3 and have[norm(line)] > 0:
            have[norm(line)] -= 1
            leaked += 1
    ignored = sum((tokens(line) for kind, line in lines if kind in ("inter", "neutral", "sig", "closing")), tokens(""))
    gold = sum((tokens(line) for kind, line in lines if kind == "keep"), tokens(""))
    ours = tokens(text)
    right = (ours & gold).total()
    wrong = (ours - gold - ignored).total() + gold.total() - right
    f1 = 2 * right / (2 * right + wrong) if right + wrong else 1.0
    return kept == keep and not leaked, f1, kept / keep if keep else 1.0
