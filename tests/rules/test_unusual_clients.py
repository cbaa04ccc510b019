"""Mail programs that do things their own way: raw 8-bit names, Outlook's nameless quotation."""

from __future__ import annotations

import pytest

from gateway.analysis.header import read_header
from gateway.outbound.formatting import cut_html, matching_html
from gateway.outbound.notices.customer import own_words


@pytest.mark.parametrize(
    "field",
    [b"From: Tom M\xfcller <tom@a.test>", b'From: "Tom M\xfcller" <tom@a.test>', b"From: tom@a.test (Tom M\xfcller)"],
)
def test_a_name_in_latin_bytes_is_read_as_people_meant_it(field: bytes) -> None:
    author = read_header(field + b"\r\n\r\n").author
    assert author is not None and author.name == "Tom M\u00fcller"


def test_an_answer_written_in_outlook_keeps_its_formatting_and_loses_the_quotation() -> None:
    html = (
        '<div class="WordSection1"><p class="MsoNormal">It is <b>10</b>, not 12.</p><div>'
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in">'
        "<p><b>From:</b> Jane via Desk<br><b>Subject:</b> [#1] Invoice</p></div></div>"
        '<div id="x_tg-1"><p>#1 new - nobody has it yet</p></div></div>'
    )
    kept = matching_html(cut_html(html, "auto"), "It is 10, not 12.")
    assert "<b>10</b>" in kept and "From" not in kept


def test_the_quote_below_an_answer_has_no_quotes_no_gaps_and_no_signature() -> None:
    said = "> It is 10.\n\nNo, 12.\n\n> Sorry.\n\nNever mind.\n\n-- \nJane Doe\nAcme Ltd, +49 30 1234"
    assert own_words(said) == "No, 12.\n\nNever mind."


def test_an_address_of_ours_does_not_leave_in_a_link_in_disguise() -> None:
    html = '<p>Ask <a href="mailto:support%2Bak%2D1-2-3-kbcdefghijklmnopqrst@desk.test?subject=close">here</a></p>'
    assert "%2B" not in cut_html(html, "auto")
    assert 'href="mailto:support+ak-1-2-3-kbcdefghijklmnopqrst@desk.test"' in cut_html(html, "auto")
