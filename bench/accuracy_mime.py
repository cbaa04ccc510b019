"""Mail as such: subject, author, text, attachments; winmail.dat; and everything there is, for robustness.

A miss is not always ours: expectations with U+FFFD are another reader's failure and are counted apart ("blurred").
Names of attachments are compared as we give them, made safe for a file system.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.examining import Found, as_attachment, examine
from bench.tally import Corpora, Measured, Row, Tally, norm, token_f1
from gateway.analysis.names import clean_filename


def measure(corpora: Corpora) -> Iterator[Measured]:
    """One set after the other."""
    for name, rows in corpora.sets("mime"):
        tally = Tally()
        for row, found in zip(rows, examine([corpora.read(row) for row in rows]), strict=True):
            _score(_Counting(tally, row["id"]), found, row)
        yield Measured(name, {"ticketgate": tally}, _all_fields(tally))
    for name, rows in corpora.sets("tnef"):
        tally = Tally()
        mails = [as_attachment(corpora.read(row), "application/ms-tnef", "winmail.dat") for row in rows]
        for row, found in zip(rows, examine(mails), strict=True):
            got = {attachment["name"] for attachment in found["attachments"]}
            asked = {name for name in row["expected"]["files"] if not name.startswith(("message.", "body."))}
            tally.count("files", asked <= got, row["id"], got, asked)
        yield Measured(name, {"ticketgate": tally})
    for name, rows in corpora.sets("robust"):
        tally = Tally()
        for row, found in zip(rows, examine([corpora.read(row) for row in rows]), strict=True):
            # What a reader that stopped leaves behind is "... could not be read: ValueError" (analysis/examine.py).
            failed = not found or found["unreadable"] or any("could not be read: " in one for one in found["defects"])
            tally.count("read", not failed, row["id"], found.get("unreadable"), found.get("defects"))
            tally.count("within 1 s", bool(found) and found["elapsed_ms"] < 1000, row["id"])
        yield Measured(name, {"ticketgate": tally})


class _Counting:
    """A tally for one row, which keeps blurred expectations apart."""

    def __init__(self, tally: Tally, case: str) -> None:
        self._tally, self._case = tally, case

    def __call__(self, name: str, good: bool, got: object, wanted: object) -> None:
        blurred = "\ufffd" in str(wanted)
        self._tally.count(f"{name} (blurred)" if blurred else name, good, self._case, got, wanted)


def _all_fields(tally: Tally) -> str:
    names = [name for name in tally.total if "blurred" not in name]
    right, total = (sum(counter[name] for name in names) for counter in (tally.right, tally.total))
    return f"{right} of {total} fields, {100 * right / total:.1f} %"


def _score(count: _Counting, found: Found, row: Row) -> None:
    wanted = row["expected"]
    author = found["from"] or {"name": "", "address": ""}
    if wanted.get("subject") is not None:
        asked = str(wanted["subject"])
        count("subject", norm(found["subject"]) == norm(asked), found["subject"], asked)
    if wanted.get("from") and wanted["from"][1]:
        name, address = wanted["from"]
        count("address", author["address"].lower() == address.lower(), author["address"], address)
        count("name", norm(author["name"]) == norm(name), author["name"], name)
    if wanted.get("message_id"):
        got = (found["message_id"] or "").strip("<>")
        count("message-id", got == wanted["message_id"], got, wanted["message_id"])
    if wanted.get("text") is not None:
        said = found["text"]
        got = f"{said['new']}\n{said['signature']}\n{said['quoted']}"
        count("text", token_f1(got, wanted["text"]) > 0.95, got, wanted["text"])
    _score_attachments(count, found["attachments"], row)


def _score_attachments(count: _Counting, attachments: list[dict[str, str]], row: Row) -> None:
    wanted = row["expected"]
    listed = wanted.get("attachments")
    names = [attachment["name"] for attachment in attachments]
    asked = {clean_filename(a["filename"]) for a in listed or () if a["filename"]}
    if listed and listed[0].get("sha256"):
        hashes = {attachment["sha256"] for attachment in attachments}
        missing = {a["sha256"]: a["filename"] for a in listed if a["sha256"] not in hashes}
        count("files", not missing, names, missing)
    if asked:
        count("file names", asked <= set(names), names, asked)
    elif listed is None and "n_attachments" in wanted:
        count("file count", len(attachments) == wanted["n_attachments"], names, wanted["n_attachments"])
