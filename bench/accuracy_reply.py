"""How well replies are taken apart, beside public libraries: ``python -m bench.accuracy_reply CORPORA [--show SET]``.

CORPORA is a folder with ``jsonl/reply-*.jsonl`` (task rows: path, kind text|html|eml, expected accept | contains and
absent | lines). Where a set's expected answers keep the signature, new text and signature are compared together.
Blockquotes of the author's own are compared without their quote marks in HTML rows, as the expected texts have none.
Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from gateway.analysis.html import html_to_text
from gateway.analysis.quotes import split_body
from gateway.analysis.talon_voice import extract_from_plain
from gateway.model import Body, Message

Row = dict[str, Any]


def norm(text: str, mode: str = "ws") -> str:
    text = unicodedata.normalize("NFC", text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n"))
    text = re.sub(r"[\u200b-\u200f\u2060\u202a-\u202e]", "", text).replace("\xa0", " ").replace("\u202f", " ")
    if mode == "md":
        text = re.sub(r"[*_\\#`]", "", text)
    return re.sub(r"\s+", "" if mode == "nows" else " ", text).strip()


def tokens(text: str) -> collections.Counter[str]:
    found = re.findall(r"[^\W_]+|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", norm(text).lower())
    return collections.Counter(found)


def token_f1(ours: str, theirs: str) -> float:
    a, b = tokens(ours), tokens(theirs)
    if not a and not b:
        return 1.0
    same = sum((a & b).values())
    return 2 * same / (sum(a.values()) + sum(b.values())) if same else 0.0


@dataclass
class Score:
    exact: bool
    f1: float
    kept: float = 1.0  # part of the author's lines that stayed


def score(row: Row, text: str) -> Score:
    expected, mode = row["expected"], row.get("norm") or "ws"
    if "lines" in expected:
        return score_lines(expected["lines"], text)
    ours = norm(text, mode)
    if "accept" in expected:
        best = max(token_f1(text, answer) for answer in expected["accept"])
        kept = max(part_kept(text, answer) for answer in expected["accept"])
        return Score(any(ours == norm(answer, mode) for answer in expected["accept"]), best, kept)
    there = [norm(part, mode) in ours for part in expected.get("contains", [])]
    gone = [norm(part, mode) not in ours for part in expected.get("absent", [])]
    total = len(there) + len(gone)
    return Score(all(there + gone), (sum(there) + sum(gone)) / total if total else 1.0, float(all(there)))


def part_kept(ours: str, theirs: str) -> float:
    wanted = [norm(line, "nows") for line in theirs.split("\n") if line.strip()]
    have = norm(ours, "nows")
    return sum(line in have for line in wanted) / len(wanted) if wanted else 1.0


def score_lines(lines: list[list[str]], text: str) -> Score:
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
    right = sum((ours & gold).values())
    wrong = sum((ours - gold - ignored).values()) + sum(gold.values()) - right
    part = kept / keep if keep else 1.0
    return Score(kept == keep and not leaked, 2 * right / (2 * right + wrong) if right + wrong else 1.0, part)


def read_message(row: Row, raw: bytes) -> Message:
    kind, text = row["kind"], ""
    if kind == "eml":
        mail = message_from_bytes(raw, policy=policy.default)
        part = mail.get_body(preferencelist=("plain", "html"))
        if part is not None:
            kind = "html" if part.get_content_subtype() == "html" else "text"
            text = part.get_content()
    else:
        text = raw.decode("utf-8", "replace")
    text = text.replace("\r\n", "\n")
    if kind == "html":
        return Message(text=html_to_text(text), html=text, text_source="html")
    return Message(text=text, text_source="plain")


def joined(body: Body) -> str:
    return f"{body.new}\n{body.signature}"


def ours(row: Row, message: Message) -> str:
    body = split_body(message)
    text = body.new if row.get("sig") == "stripped" else joined(body)
    return re.sub(r"(?m)^(?:> ?)+", "", text) if message.text_source == "html" else text


def others() -> dict[str, Callable[[Row, Message], str]]:
    readers: dict[str, Callable[[Row, Message], str]] = {"nothing": lambda _row, message: message.text}
    if extract_from_plain is not None:
        talon = extract_from_plain
        readers["talon"] = lambda _row, message: talon(message.text)
    for name, load in (("erp", _load_email_reply_parser), ("mpr", _load_mail_parser_reply)):
        reader = load()
        if reader is not None:
            readers[name] = lambda _row, message, reader=reader: reader(message.text)
    return readers


def _load_email_reply_parser() -> Callable[[str], str] | None:
    try:
        from email_reply_parser import EmailReplyParser
    except ImportError:
        return None
    return lambda text: str(EmailReplyParser.parse_reply(text))


def _load_mail_parser_reply() -> Callable[[str], str] | None:
    try:
        from mailparser_reply import EmailReplyParser
    except ImportError:
        return None
    return lambda text: str(EmailReplyParser(languages=["en", "de", "fr", "es", "it"]).parse_reply(text) or "")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpora", type=Path)
    arguments.add_argument("--show", default="", help="print what went wrong in this set")
    arguments.add_argument("--others", action="store_true", help="measure talon beside ours")
    options = arguments.parse_args()
    readers: dict[str, Callable[[Row, Message], str]] = {"ticketgate": ours}
    if options.others:
        readers |= others()
    print(f"{'set':20} {'reader':12} {'n':>4} {'exact':>7} {'f1':>7} {'kept':>7} {'ms':>7}")
    for file in sorted(options.corpora.glob("jsonl/reply-*.jsonl")):
        name = file.stem.removeprefix("reply-")
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        messages = [read_message(row, (options.corpora / row["path"]).read_bytes()) for row in rows]
        for reader, read in readers.items():
            began = time.perf_counter()
            answers = [read(row, message) for row, message in zip(rows, messages, strict=True)]
            spent = (time.perf_counter() - began) * 1000 / len(rows)
            scores = [score(row, answer) for row, answer in zip(rows, answers, strict=True)]
            n = len(rows)
            exact = sum(s.exact for s in scores) / n
            f1, kept = sum(s.f1 for s in scores) / n, sum(s.kept for s in scores) / n
            print(f"{name:20} {reader:12} {n:4} {exact:7.1%} {f1:7.3f} {kept:7.2%} {spent:7.2f}")
            if reader == "ticketgate" and options.show in (name, "all"):
                for row, message, answer, s in zip(rows, messages, answers, scores, strict=True):
                    if not s.exact:
                        expected = json.dumps(row["expected"])[:600]
                        print(f"--- {row['id']} {split_body(message).source}\n{answer}\n+++ {expected}")


if __name__ == "__main__":
    main()
