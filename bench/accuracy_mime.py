"""How well mail is read: ``python bench/accuracy_mime.py CORPORA``. Prints a table and the misses (``-v``).

CORPORA holds ``jsonl/mime-*.jsonl``, ``jsonl/tnef-*.jsonl`` and ``jsonl/robust-all.jsonl``: one case a line with the
path of a mail and what an independent reader or a project's own tests say about it. A miss is not always ours:
expectations with U+FFFD are another reader's failure and are counted on their own line ("blurred").
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.analysis.html import html_to_text
from gateway.analysis.names import clean_filename
from gateway.analysis.parse import parse
from gateway.analysis.tnef import unpack_tnef
from gateway.model import Message


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def normal(text: str) -> str:
    text = unicodedata.normalize("NFC", text.replace("\ufeff", "").replace("\xa0", " "))
    return " ".join(re.sub(r"[\u200b-\u200f\u2060\u202a-\u202e]", "", text).split())


def words(text: str) -> collections.Counter[str]:
    return collections.Counter(re.findall(r"[^\W_]+|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", normal(text).lower()))


def overlap(one: str, other: str) -> float:
    """F1 of words."""
    a, b = words(one), words(other)
    if not a and not b:
        return 1.0
    common = (a & b).total()
    return 2 * common / (a.total() + b.total()) if common else 0.0


class Score:
    def __init__(self) -> None:
        self.right: collections.Counter[str] = collections.Counter()
        self.all: collections.Counter[str] = collections.Counter()
        self.misses: list[str] = []

    def count(self, name: str, right: bool, case: str, got: object, wanted: object) -> None:
        if "\ufffd" in str(wanted):
            name = f"{name} (blurred)"
        self.all[name] += 1
        self.right[name] += right
        if not right:
            self.misses.append(f"    {case}  {name}: got {got!r:.150}, wanted {wanted!r:.150}")

    def show(self, title: str, verbose: bool) -> None:
        print(title)
        for name, total in self.all.items():
            print(f"  {name:24} {self.right[name]:5} of {total:5}   {100 * self.right[name] / total:6.1f} %")
        for miss in self.misses if verbose else ():
            print(miss)


def score_mail(score: Score, case: str, message: Message, wanted: dict[str, Any]) -> None:
    author = message.author
    if wanted.get("subject") is not None:
        right = normal(message.subject) == normal(str(wanted["subject"]))
        score.count("subject", right, case, message.subject, wanted["subject"])
    if wanted.get("from") and wanted["from"][1]:
        name, address = wanted["from"]
        got = (author.name, author.address) if author else ("", "")
        score.count("author address", got[1].lower() == address.lower(), case, got, address)
        score.count("author name", normal(got[0]) == normal(name), case, got, name)
    if wanted.get("message_id"):
        right = message.message_id.strip("<>") == wanted["message_id"]
        score.count("message-id", right, case, message.message_id, wanted["message_id"])
    if wanted.get("text") is not None:
        best = max(overlap(message.text, wanted["text"]), overlap(html_to_text(message.html), wanted["text"]))
        score.count("text (F1 > 0.95)", best > 0.95, case, message.text, wanted["text"])
    names = {a.name for a in message.attachments}
    listed = wanted.get("attachments") or []
    asked = {a["filename"] for a in listed if a["filename"]}
    if listed and listed[0].get("sha256"):
        hashes = {a.sha256 for a in message.attachments}
        score.count("attachment content", {a["sha256"] for a in listed} <= hashes, case, "", "")
    if asked:
        score.count("attachment names", {clean_filename(name) for name in asked} <= names, case, names, asked)
    elif "n_attachments" in wanted and "attachments" not in wanted:
        score.count("attachment count", len(names) == wanted["n_attachments"], case, names, wanted["n_attachments"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true", help="show every miss")
    options = parser.parse_args()
    root: Path = options.corpora
    for path in sorted((root / "jsonl").glob("mime-*.jsonl")):
        score = Score()
        for row in rows(path):
            score_mail(score, row["id"], parse((root / row["path"]).read_bytes()), row["expected"])
        score.show(path.stem, options.verbose)
    for path in sorted((root / "jsonl").glob("tnef-*.jsonl")):
        score = Score()
        for row in rows(path):
            found = [name for name, _ in unpack_tnef((root / row["path"]).read_bytes()).files]
            asked = {name for name in row["expected"]["files"] if not name.startswith(("message.", "body."))}
            score.count("files", asked <= set(found), row["id"], found, asked)
        score.show(path.stem, options.verbose)
    slow: list[str] = []
    failed = total = 0
    begin = time.perf_counter()
    for row in rows(root / "jsonl" / "robust-all.jsonl"):
        raw = (root / row["path"]).read_bytes()
        start = time.perf_counter()
        message = parse(raw)
        total += 1
        failed += any("the reader failed" in defect for defect in message.defects)
        if time.perf_counter() - start > 1:
            slow.append(row["id"])
    seconds = time.perf_counter() - begin
    print(f"robust: {total} mails, {failed} failed, {len(slow)} over 1 s {slow}, {seconds:.2f} s")


if __name__ == "__main__":
    main()
