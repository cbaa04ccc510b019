"""German mails are German: every label, date, span and sentence of ours; what others wrote stays as it is."""

from __future__ import annotations

import re

import pytest

from tests.rules.test_notices import VARIANTS, compose, in_language
from tests.support.golden import story
from tests.support.golden.checker import read, texts

ENGLISH = {
    *(
        "the",
        "and",
        "is",
        "you",
        "your",
        "yours",
        "not",
        "to",
        "nobody",
        "held",
        "with",
        "from",
        "for",
        "of",
        "it",
        "this",
    ),
    *(
        "that",
        "has",
        "have",
        "be",
        "by",
        "they",
        "them",
        "there",
        "closed",
        "waiting",
        "reply",
        "nothing",
        "one",
        "opens",
    ),
    *(
        "press",
        "send",
        "before",
        "after",
        "hours",
        "hour",
        "minutes",
        "answered",
        "answer",
        "customer",
        "on",
        "no",
        "if",
    ),
    *(
        "who",
        "all",
        "first",
        "today",
        "tomorrow",
        "late",
        "free",
        "away",
        "until",
        "as",
        "now",
        "kept",
        "internal",
        "still",
    ),
    *(
        "oldest",
        "taken",
        "passed",
        "yesterday",
        "file",
        "show",
        "history",
        "lead",
        "mon",
        "tue",
        "wed",
        "oct",
        "dec",
        "may",
    ),
}
"""Words no German text has."""
TYPED = re.compile(
    r"[a-z]+( 1d)? +mailto:\S+|\S+@\S+|#\w+( (until fri|to|late|free|all)\b)*|\"[^\"]*\""
    r"|\b(from|to|is|has|after|before|owner):\S*|^Zeiten: .*|^  (Sieve:|#list|#digest|#away) .*"
    r"|^    ticketgate .*|\[\w+\]",
    re.MULTILINE,
)
"""What has to be typed as it is: commands, times, queries, one-tap links, addresses, tables of the configuration."""


def said_by_us(name: str, language: str = "de") -> list[str]:
    """The words of a mail that are ours."""
    settings = in_language(language)
    mail = compose(name, settings) if name in VARIANTS else story.compose(name, settings)[0]
    text = texts(read(mail.content))[0].replace("\r\n", "\n")
    facts, notice = VARIANTS[name] if name in VARIANTS else story.NOTICES[name][1:]
    theirs = [
        notice.text,
        *(notice.data.get(key, "") for key in ("diagnostic", "away", "title", "bad_line", "problem")),
    ]
    theirs += re.findall(r'"(?:subject|snippet|who)": "([^"]*)"', "".join(notice.data.values()))
    if facts is not None:
        theirs += [facts.subject, *(event.text for event in facts.events), *(held.text for held in facts.held)]
    spoken = {word.lower() for said in theirs for word in re.findall(r"\w+", said)}
    lines = [line for line in text.split("\n") if not line.startswith(">")]
    return [w for w in re.findall(r"\w+", TYPED.sub("", "\n".join(lines))) if w.lower() not in spoken]


@pytest.mark.parametrize("name", sorted({*VARIANTS, *story.NOTICES}))
def test_a_german_mail_says_nothing_in_english(name: str) -> None:
    assert not [word for word in said_by_us(name) if word.lower() in ENGLISH]


def test_the_words_looked_for_are_found_in_english_mails() -> None:
    for name in ("02-agent-offer", "05-collision", "08-daily-digest", "09-weekly-report", "history", "help", "welcome"):
        assert {word.lower() for word in said_by_us(name, "en")} & ENGLISH


def test_a_german_report_is_german_down_to_its_days() -> None:
    mail = read(story.compose("09-weekly-report", in_language("de"))[0].content)
    plain, html = texts(mail)
    assert mail["Subject"] == "Support Woche 47: 69 neu, 71 geschlossen, erste Antwort 48 Min."
    for words in ("Woche 47 (16.-22. Nov. 2026)", "Mo.", "Median 48 Min. (Woche 46: 1 Std. 10)", "das älteste: #4611"):
        assert words in plain and words in html
    assert "Säulen, neue und geschlossene Tickets: Mo. 14 und 11" in html
