"""How well forwarded mails are read: ``python -m bench.accuracy_forward CORPORA``, beside quotequail if installed.

CORPORA is a folder with ``jsonl/forward-*.jsonl``. Prints a table; asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from bench.accuracy_reply import norm
from gateway.analysis.forwards import find_forward
from gateway.analysis.quotes import split_body
from gateway.model import Message


def expected_of(row: dict[str, Any]) -> dict[str, Any]:
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


def read_ours(text: str) -> dict[str, str]:
    message = Message(text=text, text_source="plain")
    body = split_body(message)
    found = find_forward(message, body)
    if found is None:
        return {}
    return {
        "forwarded": "yes",
        "from": found.author.address if found.author else "",
        "name": found.author.name if found.author else "",
        "subject": found.subject,
        "body": found.text,
        "message": body.new,
    }


def read_quotequail(text: str) -> dict[str, str]:
    import quotequail

    found = quotequail.unwrap(text) or {}
    if found.get("type") != "forward":
        return {}
    name, address = parseaddr(found.get("from") or "")
    return {
        "forwarded": "yes",
        "from": address,
        "name": name,
        "subject": found.get("subject") or "",
        "body": found.get("text") or "",
        "message": found.get("text_top") or "",
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("corpora", type=Path)
    arguments.add_argument("--show", action="store_true")
    options = arguments.parse_args()
    readers = {"ticketgate": read_ours}
    try:
        import quotequail  # noqa: F401

        readers["quotequail"] = read_quotequail
    except ImportError:
        pass
    for file in sorted(options.corpora.glob("jsonl/forward-*.jsonl")):
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        for reader, read in readers.items():
            right: dict[str, int] = {}
            total: dict[str, int] = {}
            began = time.perf_counter()
            for row in rows:
                text = (options.corpora / row["path"]).read_text("utf-8", "replace").replace("\r\n", "\n")
                expected, found = expected_of(row), read(text)
                checks = {"detected": bool(found) == expected["forwarded"]}
                if expected["forwarded"]:
                    if expected.get("from") and expected["from"][1]:
                        checks["author"] = found.get("from") == expected["from"][1]
                        checks["name"] = found.get("name", "") == (expected["from"][0] or "")
                    for key in ("subject", "body", "message"):
                        if expected.get(key):
                            checks[key] = norm(found.get(key, "")) == norm(expected[key])
                for key, good in checks.items():
                    total[key] = total.get(key, 0) + 1
                    right[key] = right.get(key, 0) + good
                if options.show and reader == "ticketgate" and not all(checks.values()):
                    wrong = [key for key, good in checks.items() if not good]
                    print("---", row["id"], wrong, {key: (found.get(key), expected.get(key)) for key in wrong})
            spent = (time.perf_counter() - began) * 1000 / len(rows)
            cells = "  ".join(f"{key} {right[key]}/{total[key]}" for key in total)
            print(f"{file.stem:24} {reader:12} {cells}  {spent:.2f} ms")


if __name__ == "__main__":
    main()
