"""adv-71, adv-72: the quote stripper. It is linear, it loses nothing, and in doubt it shows everything."""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest

from gateway.analysis.quotes import split_body
from gateway.model import Body, Message
from tests.adversarial.judging import Played, Result
from tests.adversarial.playing import put_in
from tests.adversarial.rows import MACROS, Case, cases
from tests.support.desk import Desk

OWN_WORDS = {
    "pasted-log": ["Here is the log you asked for:", "From: alice", "Subject: failure", "the server said 500"],
    "on-friday": ["On Friday I will be away.", "Please wait."],
    "bottom-posted": ["My answer below."],
    "interleaved": ["first answer", "second answer"],
    "all-quoted": ["everything", "is quoted"],
    "html-quote-first": ["MY ANSWER BELOW"],
}
"""What the author wrote, by variant of adv-72. Of a mail that is all quotation nothing may be hidden either."""


@pytest.mark.parametrize("case", cases("adv-71"), ids=str)
def test_adv_71(case: Case) -> None:
    text = eval(case.get("python"), {}).decode()
    split_body(Message(text="warm\n\nOn Mon, A wrote:\n> up\n", text_source="plain"))
    best, body = min((measure(text) for _ in range(3)), key=lambda one: one[0])
    assert best < case.expect["max_cpu_s"]
    assert case.checks == ["new + quoted + signature covers the text"]
    found, given = letters(body.new + body.quoted + body.signature), letters(text)
    assert not given - found, (given - found).most_common(5)


def letters(text: str) -> Counter[str]:
    """Every character but white space, as often as it stands there."""
    return Counter("".join(text.split()))


def measure(text: str) -> tuple[float, Body]:
    """CPU seconds and the result. The best of three: a cold cache is not what the ceiling is about."""
    began = time.process_time()
    body = split_body(Message(text=text, text_source="plain"))
    return time.process_time() - began, body


@pytest.mark.parametrize("case", cases("adv-72"), ids=str)
async def test_adv_72(desk: Desk, case: Case) -> None:
    """As agents see it: the entry of the ticket, and the mail that tells them."""
    kind = "html" if case.variant == "html-quote-first" else "plain"
    text = case.get("raw").replace("\n", "\r\n").encode()
    raw = (MACROS["ann"] + MACROS["hdr"]).encode() + b"Content-Type: text/%s\r\n\r\n" % kind.encode() + text
    played = Played()
    await put_in(desk, case, played, raw)
    result = Result(desk, case, played)
    assert case.checks == ["no sentence of the author's own text is hidden; in doubt the full text is shown"]
    told = [sent.text for sent in desk.to_agents()]
    assert told
    for shown in (result.entry_text, *told):
        for sentence in OWN_WORDS[case.variant]:
            assert sentence in re.sub(r"(?m)^(?:> ?)+", "", shown), (result.findings.body.source, shown)
