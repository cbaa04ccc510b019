"""The HTML of agents' mail on a narrow screen: sentences flow, and nothing else moves."""

from __future__ import annotations

from gateway.outbound.markup import agent_page

SENTENCE = "If you do nothing, your text is kept as a note for Alice after 24 hours and\nnothing is sent to Jane."


def html_of(body: str) -> str:
    return agent_page(f"#7 open\n\n{body}\n", ticket=7, title="x", language="en", hrefs=())


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
    assert "it is yours<br>" in made
    assert "<b>#release</b>&emsp;back to the pool" in made


def test_the_earlier_messages_have_a_heading_without_dashes() -> None:
    assert ">earlier</h2>" in html_of("Hello\n\n--- earlier ---\nJane, 09:58: hello")


def test_the_footer_has_no_dot_after_a_full_stop() -> None:
    made = html_of("Hello\n\n-- \n#7  Support  Jane\nReply = answer Jane.  #close  #help")
    assert "#7 \u00b7 Support \u00b7 Jane" in made
    assert "answer Jane. #close \u00b7 #help" in made


def test_a_line_of_blanks_is_shown_in_linear_time() -> None:
    """Quadratic, this would take minutes: the test's own limit is what fails."""
    assert "x" in agent_page(f"#1 new - x\n\nx{' ' * 400_000}y", ticket=1, title="x", language="en", hrefs=())
