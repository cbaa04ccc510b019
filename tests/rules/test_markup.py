"""The HTML of agents' mail on a narrow screen: sentences flow, and nothing else moves."""

from __future__ import annotations

import re

from gateway.outbound.markup import agent_page

SENTENCE = "If you do nothing, your text is kept as a note for Alice after 24 hours and\nnothing is sent to Jane."


def html_of(body: str, *hrefs: str) -> str:
    return agent_page(f"#7 open\n\n{body}\n", ticket=7, title="x", language="en", hrefs=hrefs)


def test_a_sentence_broken_for_its_width_flows_in_the_window() -> None:
    assert "24 hours and nothing is sent" in html_of(SENTENCE)


def test_a_quoted_sentence_flows_too() -> None:
    assert "24 hours and nothing is sent" in html_of("\n".join(f"> {line}" for line in SENTENCE.split("\n")))


def test_short_lines_lists_and_columns_stay_lines() -> None:
    long = "this line is as wide as it can be so that the next could have followed it"
    for body in (
        "Jane Doe\nExample Street 4\nBerlin",
        f"{long}\n- a point",
        f"{long}\n#close",
        f"{long}:\nand below",
        f"{long}  and a column\nof a table",
        f"- {long}\nand",
        f"{long} {long}\nand",  # never broken for its width: it is wider than any of ours
    ):
        assert html_of(body).count("<br>") == body.count("\n"), body


def test_two_columns_of_commands_stand_one_below_the_other() -> None:
    made = html_of("  #claim             it is yours              #release          back to the pool")
    assert "it is yours</div>" in made
    assert "><b>#release</b>&emsp;back to the pool</div>" in made


def test_the_earlier_messages_have_a_heading_without_dashes() -> None:
    assert ">earlier</h2>" in html_of("Hello\n\n--- earlier ---\nJane, 09:58: hello")


def test_the_footer_has_no_dot_after_a_full_stop() -> None:
    made = html_of("Hello\n\n-- \n#7  Support  Jane\nReply = answer Jane.  #close  #help")
    assert "#7 \u00b7 Support \u00b7 Jane" in made
    assert "answer Jane. #close \u00b7 #help" in made


def test_a_line_of_blanks_is_shown_in_linear_time() -> None:
    """Quadratic, this would take minutes: the test's own limit is what fails."""
    assert "x" in agent_page(f"#1 new - x\n\nx{' ' * 400_000}y", ticket=1, title="x", language="en", hrefs=())


def test_a_link_is_as_high_as_a_thumb_and_apart_from_the_next() -> None:
    one, two = "mailto:a@b.test?subject=claim", "mailto:a@b.test?subject=spam"
    made = html_of(f"Hello\n\n-- \n#7  Support\n  claim      {one}\n  spam       {two}", one, two)
    styles = re.findall(r'<a href="[^"]*" style="([^"]*)">(?:claim|spam)</a>', made)
    assert len(styles) == 2
    for style in styles:
        padding, line = re.search(r"padding:(\d+)px", style), re.search(r"line-height:(\d+)px", style)
        margin = re.search(r"margin:0 (\d+)px (\d+)px 0", style)
        assert padding and line and 2 * int(padding[1]) + int(line[1]) >= 44
        assert margin and min(int(margin[1]), int(margin[2])) >= 8
        assert "inline-block" in style
    # Grey text is for reading, not for links.
    assert not re.search(r'opacity[^"]*"><div[^>]*><a ', made)


def test_what_the_mail_is_about_stands_out() -> None:
    made = agent_page("#7 NOT SENT - Bob answered\n\nHello\n", ticket=7, title="x", language="en", hrefs=())
    assert "<b>#7 NOT SENT</b> - Bob answered</p>" in made
    assert "<b>#7</b> is yours.</p>" in agent_page("#7 is yours.\n", ticket=7, title="x", language="en", hrefs=())


def test_lines_that_are_set_in_stay_set_in_where_the_window_breaks_them() -> None:
    assert html_of("You can\n  - call them, or\n    write again").count('<div style="margin-left:') == 2
    assert 'margin-left:60px">x' in html_of("code:\n" + " " * 40 + "x")  # no wider than a phone


def test_columns_made_of_blanks_and_marks_below_a_word_stay_below_each_other() -> None:
    table = "Part    Price\nP-12    14.00\nP-1300  2.50"
    assert f">{table}</pre>" in html_of(table)
    assert "^^^^ Did you mean #note?</pre>" in html_of("  #noet she is\n   ^^^^ Did you mean #note?")
    assert "<pre" not in html_of("  #note      inside\n  #send      out\n  #discard   away")
    assert "<pre" not in html_of("Yours  sincerely,\nJane   Doe\nExample Inc.")


def test_whoever_writes_from_right_to_left_is_shown_from_right_to_left() -> None:
    assert '<div dir="auto" style="margin:0 0 12px">\u05e9\u05dc\u05d5\u05dd' in html_of("\u05e9\u05dc\u05d5\u05dd")
    assert '<p style="margin:0 0 12px"><b>#7</b>' in html_of("\u05e9\u05dc\u05d5\u05dd")


def test_a_word_wider_than_the_window_is_broken() -> None:
    made = html_of("https://example.test/" + "a" * 300)
    assert "overflow-wrap:anywhere" in made and "word-break:break-word" in made


def test_the_paragraphs_of_a_quotation_stay_apart() -> None:
    assert html_of("> one\n>\n> two").count('<div dir="auto"') == 2
    assert html_of("> one\n>\n> two").count("<blockquote") == 1


def test_a_title_above_commands_is_bold_and_a_sentence_is_not() -> None:
    assert "<b>Whose it is</b>" in html_of("Whose it is\n  #claim  it is yours")
    assert "<b>Or</b>" not in html_of("Or:\n  #claim  it is yours").replace("<b>#7</b>", "")
