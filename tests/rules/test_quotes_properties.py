"""What must hold for every text: nothing is lost, nothing raises, nothing costs more than its length."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis.forwards import find_forward
from gateway.analysis.html import html_to_text
from gateway.analysis.quotes import split_body
from gateway.model import Body, Mailbox, Message, Said
from tests.support.quoting import ATTRIBUTIONS, HEADERS

pytestmark = pytest.mark.slow  # many examples: not part of make check

PIECES = [
    *ATTRIBUTIONS.values(),
    *("\n".join(lines).format(who="Al <al@bo.test>") for lines in HEADERS.values()),
    "-----Original Message-----",
    "---------- Forwarded message ---------",
    "Begin forwarded message:",
    "----- End forwarded message -----",
    "________________________________",
    "> quoted",
    "> > quoted twice",
    ">quoted",
    "| piped",
    "Bob> cited",
    ">",
    "",
    "",
    "-- ",
    "--",
    "Best regards,",
    "Mara Lind",
    "Sent from my iPhone",
    "The crane is stuck.",
    "#4827 new - nobody has it yet",
    "#close",
    "```",
    "    code()",
    "From: al@bo.test",
    "Subject: x",
    "Received: from a by b",
    "wrote:",
    "<",
    "mailto:Al <al@bo.test>",
    "> wrote:",
    ":",
    "\u202bמאת:\u202c",
    "\ufeff",
    "a\u2028b",
    "x\x0by",
    "z\x85z",
]

mails = st.lists(st.sampled_from(PIECES) | st.text(max_size=40), max_size=30).map("\n".join)


def words_of(*texts: str) -> Counter[str]:
    return Counter(line.strip() for text in texts for line in text.split("\n") if line.strip())


def assert_covers(text: str, body: Body) -> None:
    assert words_of(body.new, body.quoted, body.signature) == words_of(text)
    lines = text.split("\n")
    for part in (body.new, body.quoted, body.signature):
        rest = iter(lines)  # each part keeps the order of the text
        assert all(any(line == other for other in rest) for line in part.split("\n") if line.strip())


def _unmarked(text: str) -> str:
    """A passage that was quoted without a mark may get one."""
    return re.sub(r"(?m)^(?:> )+", "", text)


@settings(max_examples=200, deadline=None)
@given(
    mails,
    st.sampled_from(["", "Re: x", "Fwd: x"]),
    st.lists(st.builds(lambda text, ours: Said(text=text, ours=ours), mails, st.booleans()), max_size=2),
)
def test_the_three_parts_cover_the_text(text: str, subject: str, known: list[Said]) -> None:
    author = Mailbox("Mara Lind", "mara@lind.test")
    message = Message(text=text, text_source="plain", subject=subject, author=author)
    body = split_body(message, known)
    assert_covers(_unmarked(text), replace(body, new=_unmarked(body.new), quoted=_unmarked(body.quoted)))
    assert body.command_text == body.new
    find_forward(message, body)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<p>words</p>",
                "<div class=gmail_quote>",
                "</div>",
                "<blockquote type=cite>",
                "<blockquote>",
                "</blockquote>",
                '<div id="tg-12">',
                "<div id=divRplyFwdMsg>",
                "<hr id=zwchr>",
                "<br>",
                "<div class=gmail_signature>",
                "<pre>a\n  b</pre>",
                "<a href=https://x.test/y>z</a>",
                "On Tue, Mar 3, 2026 at 9:14 AM Al &lt;al@bo.test&gt; wrote:<br>",
                "<ul><li>one<li>two</ul>",
                "<table><tr><td>a<td>b</table>",
            ]
        )
        | st.text(max_size=20),
        max_size=25,
    ).map("".join)
)
def test_the_three_parts_cover_the_text_of_html(html: str) -> None:
    text = html_to_text(html)
    message = Message(text=text, html=html, text_source="html")
    assert_covers(text, split_body(message))


def test_a_mail_without_text_has_an_empty_body() -> None:
    assert split_body(Message()) == Body(source="none")


def test_text_beyond_the_limit_stays_new_and_is_not_lost() -> None:
    text = "first\n" + "word word word word\n" * 40_000 + "last"
    body = split_body(Message(text=text, text_source="plain"))
    assert body.new == text


def test_beyond_the_limit_history_that_began_goes_on() -> None:
    text = "first\n\n-----Original Message-----\n" + "word word word word\n" * 40_000 + "last"
    body = split_body(Message(text=text, text_source="plain"))
    assert body.new == "first"
    assert body.quoted.endswith("last")


HOSTILE = {
    "dashes": lambda n: "-" * n + " x\n",
    "comma runs": lambda n: "On " + "a, " * (n // 3) + "\n",
    "quote marks": lambda n: "> " * (n // 2),
    "deep marks": lambda n: (">" * 1500 + "\n") * (n // 1501),
    "marks and blanks": lambda n: ("> " + " " * 1900 + "\n") * (n // 1903),
    "empty lines": lambda n: "\n" * n,
    "dates": lambda n: "2024-01-01 " * (n // 11),
    "colons": lambda n: "a:\n" * (n // 3),
    "verbs": lambda n: "wrote:\n" * (n // 7),
    "attributions": lambda n: "On Mon, Jan 5 2026 at 10:00 Bob wrote:\n" * (n // 40),
    "addresses": lambda n: ("<" * 150 + ":\n") * (n // 152),
    "fields": lambda n: "From: a@b.c\nDate: 2020-01-01\n" * (n // 29),
    "flat fields": lambda n: ("From: " * 99 + "\n") * (n // 595),
    "separators": lambda n: "-----Original Message-----\n> x\n" * (n // 31),
    "closings": lambda n: "Thanks,\n" * (n // 8),
    "signature marks": lambda n: "-- \n" * (n // 4),
    "adverts": lambda n: ("Sent from my " + "a " * 60 + "\n") * (n // 134),
    "answers": lambda n: "> a\nb\n" * (n // 6),
    "fences": lambda n: "```\n" * (n // 4),
    "names": lambda n: "Abc Def Ghi\n" * (n // 12),
    "open brackets": lambda n: "On 1.1.2026 <\n" * (n // 14),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_in_proportion_to_its_length(make: Callable[[int], str]) -> None:
    """Four times the text makes at most about four times the calls. The time limit is for patterns that backtrack."""

    def calls(size: int) -> int:
        message = Message(text=make(size), text_source="plain")
        split_body(message)
        count = 0

        def profile(_frame: object, event: str, _arg: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            find_forward(message, split_body(message))
        finally:
            sys.setprofile(None)
        return count

    assert calls(160_000) < 5 * calls(40_000) + 20_000
