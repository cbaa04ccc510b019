"""Whole mails as clients send them, from their bytes: tests/corpus/replies/<case>/{mail.eml, expected.json, why}."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.analysis.parse import parse
from gateway.analysis.quotes import split_body

CASES = sorted((Path(__file__).parent.parent / "corpus" / "replies").iterdir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mail_of_the_corpus_is_taken_apart_as_expected(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text("utf-8"))
    message = parse((case / "mail.eml").read_bytes())
    body = split_body(message)
    why = (case / "why").read_text("utf-8")
    assert body.new == expected["new"], why
    assert body.signature == expected["signature"], why
    assert body.interleaved is expected["interleaved"], why
    for part in expected["quoted_contains"]:
        assert part in body.quoted, why
    assert (body.command_text is None) == (message.text_source != "plain")
