"""The mail command grammar: every case of ``commands.cases``, and what no case can list."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.desk.commands import SubjectReading, read_commands, read_subject
from gateway.desk.spelling import distance
from gateway.desk.verbs import ARGUMENTS, BY_NAME, STATUS_VERBS, VERBS, describe, fits
from gateway.model import Command, Orders
from gateway.settings import Commands

GRAMMAR: dict[str, Any] = tomllib.loads((Path(__file__).parent / "commands.cases").read_text(encoding="utf-8"))
RULES = Commands()


def read(text: str, context: str = "ticket", **rules: Any) -> Orders:
    return read_commands(text, context, Commands(**rules) if rules else RULES)


def said(orders: Orders) -> list[list[str]]:
    return [[c.verb, c.argument] for c in orders.commands]


# ------------------------------------------------------------------ the cases


@pytest.mark.parametrize("case", GRAMMAR["core"] + GRAMMAR["added"], ids=lambda case: repr(case["input"]))
def test_a_case_of_the_grammar_reads_as_written(case: dict[str, Any]) -> None:
    orders = read(case["input"], case.get("context", "ticket"))
    assert said(orders) == case.get("commands", [])
    assert orders.text == case.get("text", "")
    assert orders.held is case.get("held", False)
    assert orders.internal is case.get("internal", False)
    assert orders.bare is case.get("bare", False)
    assert orders.hint == case.get("hint")


@pytest.mark.parametrize("case", GRAMMAR["subject"], ids=lambda case: repr(case["input"]))
def test_a_subject_reads_as_written(case: dict[str, Any]) -> None:
    reading = read_subject(case["input"], RULES)
    assert reading == SubjectReading(
        kind=case["kind"],
        command=Command(*case["command"]) if "command" in case else None,
        ticket=case.get("ticket", 0),
        event=case.get("event", 0),
        token=case.get("token", ""),
        hint=case.get("hint"),
    )


@pytest.mark.parametrize("row", GRAMMAR["verb"], ids=lambda row: row["name"])
def test_the_table_of_verbs_is_that_of_the_grammar(row: dict[str, Any]) -> None:
    verb = BY_NAME[row["name"]]
    assert (verb.name, list(verb.also), verb.argument) == (row["name"], row["also"], row["argument"])
    assert (list(verb.bare), verb.subject, verb.who) == (row["bare"], row["subject"], row["who"])


def test_no_verb_stands_outside_the_grammar_and_no_name_means_two_verbs() -> None:
    assert [verb.name for verb in VERBS] == [row["name"] for row in GRAMMAR["verb"]]
    names = [name for verb in VERBS for name in (verb.name, *verb.also)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", GRAMMAR["argument"])
def test_an_argument_is_accepted_and_rejected_as_listed(kind: str) -> None:
    row = GRAMMAR["argument"][kind]
    assert [text for text in row.get("accept", []) if not fits(kind, text)] == []
    assert [text for text in row.get("reject", []) if fits(kind, text)] == []


@given(st.sampled_from(sorted(ARGUMENTS)), st.text(alphabet="abmondy 0123:,+-_/.@#in", max_size=14))
def test_our_patterns_accept_what_those_of_the_grammar_accept(kind: str, text: str) -> None:
    pattern = re.compile(GRAMMAR["argument"][kind]["pattern"], re.IGNORECASE)
    assert fits(kind, text) == (pattern.fullmatch(text.strip()) is not None)


def test_every_verb_has_a_line_of_help() -> None:
    for verb in VERBS:
        assert verb.effect
        assert describe(verb.name).startswith(f"#{verb.name}")
    assert describe("remind") == describe("followup")
    assert describe("BLOCK").endswith("Leads only.")
    assert describe("nonsense") == ""


def test_every_state_of_the_status_verb_means_a_verb() -> None:
    assert all(fits("state", state) and verb in BY_NAME for state, verb in STATUS_VERBS.items())


def test_roles_may_use_what_the_table_says() -> None:
    assert BY_NAME["note"].allows("observer") and not BY_NAME["close"].allows("observer")
    assert BY_NAME["close"].allows("agent") and not BY_NAME["block"].allows("agent")
    assert all(verb.allows("lead") for verb in VERBS)


# ------------------------------------------------------------------ what is held


def test_a_held_mail_keeps_the_commands_that_were_understood_but_orders_nothing() -> None:
    orders = read("#close\n#noet she is difficult\nHi")
    assert orders.commands == ()
    assert orders.others == (Command("close"),)
    assert orders.bad_line == "#noet she is difficult"


def test_two_mistakes_are_both_kept_for_the_notice() -> None:
    orders = read("#noet one\n#clsoe\nHi")
    assert orders.bad_line == "#noet one\n#clsoe"
    assert orders.hint == "note"


@pytest.mark.parametrize(
    "text",
    [
        "#note\n#send",
        "#close\n#open",
        "#status solved\n#open",
        "#send\n#discard",
        "#claim\n#drop",
        "#spam\n#ham",
        "#watch\n#mute",
        "#close\n\nHi\n#open",
    ],
)
def test_commands_that_contradict_each_other_hold_the_mail(text: str) -> None:
    orders = read(text)
    assert orders.held and orders.commands == () and orders.hint is None
    assert len(orders.others) == 2


def test_a_note_with_a_mistake_beside_it_stays_internal_while_it_is_held() -> None:
    assert read("#note he is rude\n#noet again\nmore").internal


def test_a_private_command_with_a_slip_of_punctuation_is_held() -> None:
    for line in ("#note,he is rude", "!noet, he is rude", "/noet, he is rude"):
        orders = read(line)
        assert orders.held and orders.hint == "note" and orders.text == ""
    for line in ("#note. he is rude", "Hello.\n#note! he is rude"):
        assert read(line).internal and not read(line).held


def test_help_for_something_that_is_no_verb_is_held_at_the_top_and_text_as_a_sentence() -> None:
    assert read("#help me").held
    assert read("Help me").text == "Help me" and not read("Help me").held
    assert said(read("#help remind")) == [["help", "remind"]]


# ------------------------------------------------------------------ text


def test_a_note_keeps_the_characters_of_its_author() -> None:
    orders = read("#note \u201crude\u201d \u2013 really\u200d \U0001f468\u200d\U0001f469\u200d\U0001f467")
    assert orders.text == "\u201crude\u201d \u2013 really\u200d \U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert orders.commands[0].argument.startswith('"rude" - really')


def test_a_smile_after_note_is_not_taken_for_a_colon() -> None:
    assert read("#note :-) thanks").text == ":-) thanks"
    assert read("#note =) thanks").text == "=) thanks"
    assert read("#note: thanks").text == "thanks"
    assert read("#prio = high").commands == (Command("prio", "high"),)


def test_a_note_further_down_is_seen_with_a_colon_too() -> None:
    orders = read("Hi Jane,\n#note: he is rude")
    assert orders.internal and orders.text == "he is rude\nHi Jane,"


def test_a_command_inside_a_code_block_is_text() -> None:
    text = "Type this:\n```\n#assign evil\n```\nand this:\n\n    #close\nBye"
    assert read(text) == Orders(text=text)


def test_a_fence_that_is_never_closed_hides_no_note() -> None:
    assert read("Hi\n```\nfoo\n#note secret").internal


def test_a_code_block_at_the_top_ends_the_block_of_commands() -> None:
    assert read("#close\n```\n#assign evil\n```").commands == (Command("close"),)


def test_the_subject_of_a_held_or_list_answer_without_text_holds_nothing() -> None:
    assert read("\n \n", "list") == Orders()
    assert read("", "held") == Orders()


def test_windows_line_ends_make_no_difference() -> None:
    assert read("#close\r\n\r\nHi\r\nBob\r\n") == read("#close\n\nHi\nBob\n")


# ------------------------------------------------------------------ settings


def test_own_words_in_any_language_are_commands() -> None:
    aliases = {"erledigt": "close", "Zurückstellen": "snooze", "закрыть": "close", "बंद": "close", "完成": "done"}
    for line in ("#Erledigt", "#закрыть", "#बंद", "#完成", "\uff03完成", "/ЗАКРЫТЬ"):
        assert said(read(line, aliases=aliases)) == [["close", ""]]
    assert said(read("#zurückstellen 3d", aliases=aliases)) == [["snooze", "3d"]]
    assert said(read("Hallo\n#erledigt", aliases=aliases)) == [["close", ""]]
    assert said(read("#erl", aliases=aliases)) == [["close", ""]]
    assert read("#erldeigt", aliases=aliases).hint == "close"
    assert read("erledigt", aliases=aliases).text == "erledigt"


def test_an_own_word_cannot_take_away_one_of_ours() -> None:
    assert said(read("#note", aliases={"note": "send"})) == [["note", ""]]
    assert read("#foo", aliases={"foo": "bar"}).held


def test_only_the_prefixes_of_the_site_count() -> None:
    assert read("!close", prefixes="#").text == "!close"
    assert said(read("!close\nHi\n!tag vip", prefixes="!")) == [["close", ""], ["tag", "vip"]]
    assert read("#close", prefixes="!").text == "#close"
    assert read("!!close", prefixes="!").text == "!close"
    assert read("#close", prefixes="").text == "#close"


def test_bare_words_can_be_turned_off_but_answers_to_lists_and_held_mail_stay() -> None:
    assert read("claim", bare_words=False).text == "claim"
    assert said(read("4831", "list", bare_words=False)) == [["show", "4831"]]
    assert said(read("send", "held", bare_words=False)) == [["send", ""]]


def test_a_natural_answer_in_a_list_is_asked_about_and_a_number_with_words_too() -> None:
    assert read("4831 please", "list").held
    assert said(read("4831.", "list")) == [["show", "4831"]]


# ------------------------------------------------------------------ subjects


def test_a_subject_whose_last_word_only_looks_like_a_token_is_plain() -> None:
    assert read_subject("Fix misinterpretation", RULES).kind == "plain"
    assert read_subject("misinterpretation", RULES).kind == "plain"
    assert read_subject("snooze sometime 4827.3 k3r276edvxisftbto", RULES).kind == "plain"


def test_a_subject_command_with_a_wrong_argument_is_held() -> None:
    assert read_subject("#digest please", RULES) == SubjectReading(kind="held")
    assert read_subject("# list", RULES).kind == "plain"


# ------------------------------------------------------------------ properties

LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "#close",
                "# close",
                "#note he is rude",
                "##x",
                "/usr/bin",
                "!tag a, b",
                "#noet",
                "```",
                "",
                " ",
                "#1",
                "Hi",
            ]
        ),
    ),
    max_size=8,
)


@given(LINES.map("\n".join), st.sampled_from(["ticket", "list", "held"]))
@hypothesis_settings(max_examples=300)
def test_reading_never_raises_and_orders_nothing_while_it_holds(text: str, context: str) -> None:
    orders = read(text, context)
    if orders.held:
        assert orders.commands == ()
    assert all(c.verb in {verb.name for verb in VERBS} for c in (*orders.commands, *orders.others))


@given(LINES.map("\n".join))
@hypothesis_settings(max_examples=300)
def test_every_line_is_a_command_a_mistake_or_text(text: str) -> None:
    orders = read(text)
    kept = orders.text.split("\n") + orders.bad_line.split("\n")
    commands = len(orders.commands) + len(orders.others)
    lost = 0
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        literal = line.replace("##", "#", 1).replace("\uff03#", "#", 1)
        if line.strip() and not {line.rstrip(), line.strip(), line, literal, literal.rstrip()} & set(kept):
            lost += 1
    assert lost <= commands


@given(LINES.filter(lambda lines: not any(re.match(" {0,3}(```|~~~)", line) for line in lines)).map("\n".join))
@hypothesis_settings(max_examples=300)
def test_no_exact_command_line_stays_in_the_text(text: str) -> None:
    assert "#close" not in read(text).text.split("\n")


@given(st.text(max_size=80))
def test_reading_a_subject_never_raises(subject: str) -> None:
    assert read_subject(subject, RULES).kind in ("action", "command", "held", "plain")


@pytest.mark.parametrize(
    "text",
    [
        "#tag " + "-a " * 90 + "!",
        "#away " + "to " * 90 + "<",
        "#merge " + "1 " * 100_000 + "x",
        "#noet\n" * 20_000,
        "/noet\n" * 20_000,
        "#" * 200_000,
        "\u200b" * 200_000 + "#note " + "\u200b" * 1000,
        "x\n" * 100_000 + "#close",
        "```\n~~~\n" * 20_000,
        "#close" + " " * 200_000 + "x",
        "#note\n" * 20_000,
    ],
    ids=range(11),
)
@pytest.mark.timeout(20)
def test_a_hostile_mail_is_read_in_linear_time(text: str) -> None:
    read(text)
    read_subject(text, RULES)


@given(st.text(alphabet="abc", max_size=6), st.text(alphabet="abc", max_size=6))
def test_the_distance_of_words_is_symmetric_and_zero_only_for_equal_words(left: str, right: str) -> None:
    assert distance(left, right) == distance(right, left)
    assert (distance(left, right) == 0) == (left == right)
