"""HTML becomes the text a person reads."""

from __future__ import annotations

import pytest

from gateway.analysis.html import html_to_text

CASES = {
    "blocks are lines, paragraphs have air": (
        "<div>one</div><div>two</div><p>three</p><p>four<br>five</p>six",
        "one\ntwo\n\nthree\n\nfour\nfive\n\nsix",
    ),
    "word sets one paragraph a line": ("<p class=MsoNormal>one</p><p class=MsoNormal>two</p>", "one\ntwo"),
    "white space is one blank": ("<p>a \n\t b<b> c</b> d&nbsp;e</p>", "a b c d e"),
    "preformatted text is left alone": ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc"),
    "style may preformat": ("<div style='white-space: pre-wrap'>a\n  b</div>", "a\n  b"),
    "lists have marks": ("<ul><li>a<li>b</ul><ol><li>c</li><li>d</li></ol>", "- a\n- b\n\n1. c\n2. d"),
    "cells stand side by side": ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
    "links show where they lead": (
        '<a href="https://shop.test/x">our shop</a> and <a href="https://shop.test/">shop.test</a>',
        "our shop <https://shop.test/x> and shop.test",
    ),
    "a link that lies shows its host": (
        '<a href="https://evil.test/login">https://bank.test/</a>',
        "https://bank.test/ <https://evil.test/login>",
    ),
    "long links show their host": (
        f'<a href="https://track.test/{"x" * 300}">go</a>',
        "go <https://track.test/…>",
    ),
    "mail addresses are not doubled": ('<a href="mailto:a@x.test?subject=y">a@x.test</a>', "a@x.test"),
    "script links are not shown": ('<a href="javascript:alert(1)">x</a>', "x"),
    "pictures speak through their text": ('<img src="cid:1" alt="Logo">', "[Logo]"),
    "cited text is quoted": (
        '<div>new</div><blockquote type="cite"><div>old</div><blockquote class="gmail_quote">older</blockquote>'
        "</blockquote>new too",
        "new\n\n> old\n>\n> > older\n\nnew too",
    ),
    "an indent is not a quote": ("<blockquote>mine</blockquote>", "mine"),
    "hidden text is text": ('<span style="display:none">hidden</span><font color=white>white</font>', "hiddenwhite"),
    "nothing active is text": (
        "<head><title>t</title><style>p{}</style></head><script>alert(1)</script><!-- c -->hi<object>o</object>",
        "hi",
    ),
    "broken html is read": ("<p>a<div>b</p></span>c &amp; d &unknown; <", "a\n\nb\n\nc & d &unknown; <"),
    "nothing is nothing": ("", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_html(name: str) -> None:
    html, text = CASES[name]
    assert html_to_text(html) == text


def test_an_indent_of_gmail_is_not_a_quote() -> None:
    html = '<blockquote class="gmail_quote" style="margin:0 0 0 40px; border: none; padding:0px">mine</blockquote>'
    assert html_to_text(html) == "mine"
