"""Forwarded mails: seen as such, whose mail it was, what it said, and what the forwarder wrote above."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from bench.examining import Found, as_mail, examine
from bench.libraries import forward_reader
from bench.tally import Corpora, Measured, Row, Tally, norm


def measure(corpora: Corpora) -> Iterator[Measured]:
    """One set after the other."""
    read = forward_reader()
    for name, rows in corpora.sets("forward"):
        texts = [corpora.read(row).decode("utf-8", "replace").replace("\r\n", "\n") for row in rows]
        measured = Measured(name, {"ticketgate": Tally()})
        for row, found in zip(rows, examine([as_mail(text) for text in texts]), strict=True):
            _score(measured.readers["ticketgate"], row, _ours(found), row["id"])
        if read is not None:
            measured.readers["quotequail"] = Tally()
            for row, text in zip(rows, texts, strict=True):
                _score(measured.readers["quotequail"], row, read(text), "")
        yield measured


def _ours(found: Found) -> dict[str, str]:
    forwarded = found["forwarded"]
    if not forwarded:
        return {}
    author = forwarded["from"] or {"address": "", "name": ""}
    return {
        "author": author["address"],
        "name": author["name"],
        "subject": forwarded["subject"] or "",
        "body": forwarded["text"],
        "message": found["text"]["new"],
    }


def _wanted(row: Row) -> dict[str, Any]:
    expected: dict[str, Any] = row["expected"]
    if "forwarded" in expected:
        return expected
    return {
        "forwarded": expected.get("type") == "forward",
        "subject": expected.get("subject"),
        "from": list(parseaddr(expected.get("from") or "")),
        "body": expected.get("text"),
        "message": expected.get("text_top"),
    }


def _score(tally: Tally, row: Row, found: dict[str, str], case: str) -> None:
    wanted = _wanted(row)
    tally.count("detected", bool(found) == wanted["forwarded"], case, bool(found), wanted["forwarded"])
    if not wanted["forwarded"]:
        return  # an answer: nothing in it is an original
    if wanted.get("from") and wanted["from"][1]:
        name, address = wanted["from"][0] or "", wanted["from"][1]
        tally.count("author", found.get("author") == address, case, found.get("author"), address)
        tally.count("name", found.get("name", "") == name, case, found.get("name"), name)
    for key in ("subject", "body", "message"):
        if wanted.get(key):
            got = found.get(key, "")
            tally.count(key, norm(got) == norm(wanted[key]), case, got, wanted[key])
