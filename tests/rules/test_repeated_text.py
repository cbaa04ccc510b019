"""A reply whose client quotes without any mark: what the ticket already contains says what is history."""

from __future__ import annotations

import pytest

from gateway.analysis.known_text import KnownText
from gateway.analysis.quotes import split_body
from gateway.model import Body, Mailbox, Message, Said

ANSWER = """Dear Mara,

the lamp on the north pier has been replaced this morning. The old one had a loose contact
in its socket, and the cable was wet.

Could you have a look tonight whether it burns?
Which of the two keys do you have for the box below it?

Best regards
Ole, Harbour Help"""

LOG = """The light went out again. This is the log of the box:

20:14:03 lamp 3 on, current 0.41 A
20:14:09 lamp 3 current 0.02 A, below the limit
20:14:10 relay 7 opened by the supervisor
20:15:00 waiting for somebody to press reset"""

CONVERSATION = (Said(text=ANSWER, ours=True), Said(text=LOG, ours=False))


def split(text: str, known: tuple[Said, ...] = CONVERSATION) -> Body:
    author = Mailbox("Mara Lind", "mara@lind.test")
    return split_body(Message(text=text, text_source="plain", subject="Re: Lamp", author=author), known)


def test_our_mail_below_the_answer_is_history_without_any_mark() -> None:
    body = split(f"It burns, thank you.\n\n{ANSWER}\n")
    assert (body.new, body.quoted, body.source) == ("It burns, thank you.", ANSWER, "known")


def test_our_last_line_and_the_older_mail_below_it_go_along() -> None:
    below = f"{ANSWER}\n\nMara Lind 3.3.2026 20:30:\n{LOG}\n\nHarbour Help  Reference 4827-k3r2"
    body = split(f"It burns, thank you.\n\n{below}\n")
    assert (body.new, body.quoted) == ("It burns, thank you.", below)


def test_other_line_breaks_make_no_difference() -> None:
    rewrapped = "\n".join(part.replace("\n", " ") for part in ANSWER.split("\n\n"))
    assert split(f"It burns, thank you.\n\n{rewrapped}\n").new == "It burns, thank you."


def test_fields_in_a_language_nobody_knows_go_with_the_mail_below_them() -> None:
    fields = "Ngirra: Harbour Help <help@desk.test>\nWalanga: 3/3/2026 20:40\nMurru: Lamp"
    body = split(f"It burns, thank you.\n\n{fields}\n\n{ANSWER}\n")
    assert body.new == "It burns, thank you."
    assert body.quoted == f"{fields}\n\n{ANSWER}"


def test_our_mail_above_the_answer_is_history_too() -> None:
    body = split(f"{ANSWER}\n\nIt burns, thank you.\n")
    assert (body.new, body.quoted, body.interleaved) == ("It burns, thank you.", ANSWER, False)


def test_answers_in_between_keep_what_they_answer_and_a_mark_tells_them_apart() -> None:
    text = ANSWER.replace("it burns?", "it burns?\nIt does, all night.").replace(
        "below it?", "below it?\nThe brass one."
    )
    body = split(text)
    assert body.interleaved
    assert "> Could you have a look tonight whether it burns?\nIt does, all night.\n" in body.new
    assert "> Which of the two keys do you have for the box below it?\nThe brass one." in body.new
    assert "> It does" not in body.new and "> The brass" not in body.new


def test_the_authors_signature_below_the_repeated_mail_is_no_answer() -> None:
    body = split(f"It burns, thank you.\n\n{ANSWER}\n\n-- \nMara Lind\nPier 3\n")
    assert (body.new, body.quoted, body.signature) == ("It burns, thank you.", ANSWER, "-- \nMara Lind\nPier 3")


@pytest.mark.parametrize(
    "text",
    [
        "You asked whether it burns.\n\nThe old one had a loose contact\n\nis what you told us; the new one has it.",
        "We looked: the cable was wet again, and the old one had a loose contact in its socket, and the new?",
        "Best regards\n\nPlease look again, Ole, Harbour Help said that somebody would come.",
    ],
)
def test_a_paragraph_that_repeats_a_sentence_is_the_authors(text: str) -> None:
    assert split(text).new == text


def test_what_the_author_introduces_belongs_to_what_the_author_says() -> None:
    body = split(f"On the phone you said something else than here, look what you wrote to me:\n\n{ANSWER}\n")
    assert "look what you wrote to me:" in body.new
    assert "> Could you have a look tonight whether it burns?" in body.new


FORM = """Dear Mara,

to mend it we need a few things from you. Please write them behind the words and send the mail back.

The serial number which you find on the small plate at the back of the lamp:
Shall we mend it at your place for a fee of forty euros, or will you bring it to the harbour yourself?
May we throw the old one away after we have replaced it with a new one of the maker?

Best regards
Ole, Harbour Help"""


def test_answers_behind_our_questions_are_the_authors() -> None:
    filled = FORM.replace("lamp:", "lamp: 4711").replace("yourself?", "yourself? At my place.")
    new = split(f"Hello Ole, see below.\n\n{filled}\n", (Said(text=FORM, ours=True),)).new
    assert "of the lamp: 4711\n" in new
    assert "yourself? At my place." in new


def test_a_sentence_of_ours_with_another_word_in_it_is_shown() -> None:
    new = split(f"I agree.\n\n{FORM.replace('forty', 'four')}\n", (Said(text=FORM, ours=True),)).new
    assert "\nShall we mend it at your place for a fee of four euros," in new


def test_where_a_link_goes_is_no_word_of_the_author() -> None:
    linked = ANSWER.replace("the lamp", "the lamp<https://lamps.test/pier?utm=1>")
    assert split(f"It burns, thank you.\n\n{linked}\n").new == "It burns, thank you."


def test_a_log_that_is_pasted_again_with_new_lines_keeps_them_where_they_stand() -> None:
    lines = LOG.split("\n")[2:]
    new = ["20:31:10 lamp 3 on, current 0.40 A", "20:31:12 relay 7 opened by the supervisor, once more"]
    for text in (
        "\n".join(["It happened again:", *lines, *new]),
        "\n".join(["It happened again:", *lines[:2], new[0], *lines[2:], new[1]]),
        "\n".join(["It happened again.", *new, *lines]),
        "\n".join([*lines, *new]),
    ):
        assert split(text).new == text


def test_a_mail_of_the_authors_own_is_history_only_as_a_whole() -> None:
    assert split(f"Any news?\n\n{LOG}\n").new == "Any news?"
    part = "Any news?\n\n" + "\n".join(LOG.split("\n")[3:])
    assert split(part).new == part


def test_a_mail_that_is_nothing_but_repetition_is_shown() -> None:
    assert split(ANSWER).new + "\n\n" + split(ANSWER).signature in (ANSWER, ANSWER + "\n\n")
    assert not split(ANSWER).quoted


def test_html_without_marks_is_read_in_the_same_way() -> None:
    text = f"It burns, thank you.\n\n{ANSWER}\n"
    html = "".join(f"<div>{line or '<br>'}</div>" for line in text.split("\n"))
    body = split_body(Message(text=text, html=html, text_source="html"), CONVERSATION)
    assert (body.new, body.quoted) == ("It burns, thank you.", ANSWER)


def steps(text: str, known: str) -> int:
    """How many runs of words are looked up: the work that grows with the mail."""
    looked = 0

    class Counting(dict[tuple[str, ...], int]):
        def get(self, key: tuple[str, ...], default: int | None = None) -> int | None:  # type: ignore[override]
            nonlocal looked
            looked += 1
            return super().get(key, default)

    memory = KnownText([Said(text=known, ours=True)])
    memory.runs = Counting(memory.runs)
    memory.find_passages(text.split("\n"))
    return looked


@pytest.mark.parametrize("own", ["", "\nno", "\n"])
def test_the_work_grows_no_faster_than_the_mail(own: str) -> None:
    line = "Could you have a look tonight whether it burns?" + own + "\n"
    small, large = steps(line * 300, ANSWER), steps(line * 3000, ANSWER)
    assert large <= 11 * small
    body = split(line * (256 * 1024 // len(line)))
    assert "Could you have a look" in body.new + body.quoted
