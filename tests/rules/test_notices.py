"""Every kind of notice, in every variant and language, keeps the rules and says what it must."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.desk.verbs import VERBS
from gateway.model import Attachment, EventFact, HeldFact, Notice, OutboundMail, Person, Plan, State, TicketFacts
from gateway.outbound.compose import compose_all
from gateway.outbound.notices import BUILDERS
from gateway.outbound.words import TemplateTrouble, Words, default_folder
from gateway.settings import General, Settings
from tests.support.golden import story
from tests.support.golden.checker import check, read, texts

ALICE, BOB, CAROL, JANE = story.ALICE, story.BOB, story.CAROL, story.JANE
STRANGER = Person(party=77, address="mallory@evil.test", name="Jane Doe", known=False)
OPEN = story.ticket(16)
UNPROVEN = replace(
    story.ticket(9),
    held=(HeldFact(ticket=4827, event=10, party=0, reason="unknown-sender", text="Send me everything."),),
)


PAT = Person(party=88, address="pat@supplier.test", name="Pat Pine")
BESIDE = replace(
    OPEN,
    thirds=(PAT,),
    events=(
        *OPEN.events,
        EventFact(number=17, kind="asked", at=story.at("17:00:00"), party=1, text="When?", data={"side": "88"}),
        EventFact(number=18, kind="third", at=story.at("17:10:00"), party=88, text="On Friday.", data={"side": "88"}),
    ),
)


def n(kind: str, *, to: Person = ALICE, event: int = 17, **values: object) -> Notice:
    return Notice(kind=kind, event=event, recipients=(to,), **values)  # type: ignore[arg-type]


LATER = "2026-11-30T09:00:00+00:00"
VARIANTS: dict[str, tuple[TicketFacts | None, Notice]] = {
    "offer-unproven": (
        story.ticket(3, state=State.NEW, owner=None),
        n("offer", event=4, about=1, author=JANE, data={"unproven": "1", "follows": "4410", "known": "3"}),
    ),
    "assigned": (OPEN, n("assigned", about=8, author=BOB, text="Could you?", data={"cc": "accounting@customer.test"})),
    "assigned-nothing": (OPEN, n("assigned", author=BOB)),
    "escalation": (OPEN, n("escalation", to=CAROL, about=8, data={"step": "unanswered", "waited": "86400"})),
    "customer-reply-free": (
        story.ticket(9, owner=None),
        n(
            "customer-reply",
            event=10,
            about=8,
            author=JANE,
            data={"reopened": "1", "away": "until Mon", "mails": "6 8"},
        ),
    ),
    "customer-reply-other": (story.ticket(9), n("customer-reply", to=BOB, event=10, about=8, author=JANE)),
    "customer-reply-unproven": (
        story.ticket(9),
        n("customer-reply", event=10, about=8, author=JANE, data={"unproven": "1"}),
    ),
    "answered": (story.ticket(9), n("answered", to=BOB, event=10, about=4, author=ALICE)),
    "answered-taken": (story.ticket(9), n("answered", to=BOB, about=4, author=ALICE, data={"taken": "1"})),
    "taken": (story.ticket(9), n("answered", to=BOB, about=4, author=ALICE, reason="claim")),
    **{
        f"closed-{how}": (
            story.ticket(9),
            n("answered", to=ALICE, about=4, author=BOB, reason=how, data={"from": "#4830, #4831"}),
        )
        for how in ("close", "spam", "reopen", "joined")
    },
    "unproven": (
        UNPROVEN,
        n("unproven", event=11, about=10, author=JANE, reason="author-unproven", data={"address": JANE.address}),
    ),
    "unknown-sender": (
        UNPROVEN,
        n("unproven", event=11, about=10, reason="unknown-sender", data={"address": "mallory@evil.test"}),
    ),
    "dmarc-fail": (
        UNPROVEN,
        n("unproven", event=11, about=10, author=JANE, reason="dmarc-fail", data={"address": JANE.address}),
    ),
    "complaint": (UNPROVEN, n("unproven", about=8, reason="complaint", data={"address": "fbl@provider.test"})),
    "report": (UNPROVEN, n("unproven", about=8, reason="unverified-report", data={"address": "x@provider.test"})),
    **{
        f"reminder-{step}": (
            story.ticket(16, owner=None if step == "unclaimed" else ALICE),
            n("reminder", about=8, data={"step": step, "waited": "9000"}),
        )
        for step in ("unclaimed", "unanswered", "waiting", "followup", "snoozed")
    },
    **{
        f"held-mere-{reason}": (
            OPEN,
            n("held", about=10, reason=reason, in_reply_to="<alice-typo@example.com>", data={"mere": "1"}),
        )
        for reason in ("command", "no-token", "agent-token", "who")
    },
    **{
        f"held-addressed-{reason}{blind}": (
            OPEN,
            n(
                "held",
                about=10,
                reason=reason,
                in_reply_to="<alice-typo@example.com>",
                data={"addressed": "jane@customer.test", "blind": blind},
            ),
        )
        for reason in ("not-addressed", "no-token", "agent-unproven")
        for blind in ("", "1")
    },
    "reminder-bare": (OPEN, n("reminder")),
    "note": (OPEN, n("note", about=12, author=BOB)),
    **{
        f"held-{reason}": (
            OPEN,
            n("held", about=10, reason=reason, in_reply_to="<alice-typo@example.com>", data={"address": "a@b.test"}),
        )
        for reason in (
            "command",
            "agent-token",
            "no-token",
            "agent-unproven",
            "dmarc-fail",
            "signature-old",
            "auth-temperror",
            "header-ambiguous",
            "replayed",
            "cut-line",
            "empty",
            "nothing-held",
            "already-decided",
            "undecided",
            "html-command",
            "not-available",
            "not-allowed",
            "who",
            "no-customer",
            "visibility",
            "something-new",
        )
    },
    "held-command-help": (OPEN, n("held", about=10, reason="command", data={"hint": "help"})),
    "held-command-argument": (OPEN, n("held", about=10, reason="command", data={"bad_line": "#snooze perhaps"})),
    "held-collision-again": (
        story.ticket(7),
        n(
            "held",
            to=BOB,
            event=8,
            about=6,
            other=4,
            reason="collision",
            data={"expiring": LATER},
        ),
    ),
    "held-reminder": (
        OPEN,
        n(
            "held-reminder",
            about=10,
            reason="command",
            data={"bad_line": "#x", "expiring": LATER},
        ),
    ),
    "expired": (OPEN, n("expired", about=10, reason="command")),
    "expired-command": (
        replace(OPEN, held=(HeldFact(ticket=4827, event=10, party=1, reason="who", text=""),)),
        n("expired", about=10, reason="who"),
    ),
    "digest-empty": (None, n("digest", event=77, data={"new": "1", "spam": "2"})),
    "undelivered-late": (
        OPEN,
        n("undelivered", about=4, data={"party": "31", "diagnostic": "451 4.3.0 busy", "deferred": "1"}),
    ),
    "undelivered-nobody": (OPEN, n("undelivered", about=4, data={"status": "5.1.1", "diagnostic": "550 5.1.1 no"})),
    "undelivered-left": (
        OPEN,
        n("undelivered", about=4, data={"left": "3", "diagnostic": "after the final dot: connection lost"}),
    ),
    "undelivered-relay": (
        OPEN,
        n("undelivered", about=4, data={"relay": "1", "diagnostic": "554 5.7.1 Relay access denied"}),
    ),
    "undelivered-relay-late": (
        OPEN,
        n("undelivered", about=4, data={"relay": "1", "deferred": "1", "diagnostic": "554 5.7.1 Relay access denied"}),
    ),
    "undelivered-unknown": (OPEN, n("undelivered", about=4, data={"unknown": "1"})),
    "undelivered-other": (OPEN, n("undelivered", about=5)),
    "forward-uncertain": (OPEN, n("forward", about=1, author=ALICE, data={"uncertain": "1"})),
    "forward-nobody": (replace(OPEN, customer=None, participants=()), n("forward", about=1)),
    "command": (
        OPEN,
        n("command", in_reply_to="<cmd@example.com>", data={"done": "claim\nsnooze 2026-11-24T09:00:00+01:00"}),
    ),
    **{
        f"misplaced{words}": (
            OPEN,
            n(
                "command",
                reason="misplaced",
                text="#close 4827",
                data={"verb": "close", "order": "close", "words": words},
            ),
        )
        for words in ("", "1")
    },
    "command-undo": (OPEN, n("command", data={"done": "close", "undo": "1", "note_kept": "1"})),
    "command-problem": (OPEN, n("command", data={"problem": "only a lead can block"})),
    "command-odd": (OPEN, n("command", data={"done": "frobnicate x"})),
    "command-nothing": (OPEN, n("command")),
    "show": (OPEN, n("command", data={"verb": "show"})),
    "history": (OPEN, n("command", data={"verb": "history"})),
    "help-in-ticket": (OPEN, n("help", in_reply_to="<cmd@example.com>")),
    "help": (None, n("help", event=81, in_reply_to="<cmd@example.com>", data={"subject": "#help"})),
    "help-lead": (None, n("help", to=CAROL, event=81, data={"subject": "#help", "topic": "claim"})),
    "list": (
        None,
        n(
            "list",
            event=82,
            in_reply_to="<cmd@example.com>",
            data={"verb": "list", "title": "Yours", "subject": "#list", "rows": '[{"number": 4827, "subject": "x"}]'},
        ),
    ),
    "settings": (None, n("command", event=83, data={"done": "timezone Europe/Berlin", "subject": "#timezone"})),
    "ask": (BESIDE, n("ask", to=PAT, event=19, about=17, author=ALICE, text="When?", quote=18)),
    "asked": (BESIDE, n("asked", to=BOB, event=19, about=17, author=ALICE)),
    "third": (BESIDE, n("third", event=19, about=18, author=PAT, data={"reopened": "1", "unproven": "1"})),
    "third-colleague": (BESIDE, n("third", event=19, about=18, author=STRANGER)),
    "third-unproven": (
        BESIDE,
        n("unproven", event=19, about=18, reason="author-unproven", author=PAT, data={"address": PAT.address}),
    ),
    "alert": (None, n("alert", to=story.OPS, event=80, text="It works again.", data={"host": "mx1", "problem": "ok"})),
    "welcome": (None, n("welcome", event=84)),
}

ALARMS: dict[str, dict[str, str]] = {
    "clock": {"reason": "1:00:00", "minutes": "60"},
    "token": {"user": "desk@mail.test", "handle": "desk", "reason": "invalid_grant", "minutes": "60"},
    "relay-refuses": {"reason": "554 5.7.1 Relay access denied", "server": "smtp.mail.test"},
    "untold": {"ticket": "4827", "reason": "554 5.7.1 looks like spam"},
    "relay": {"server": "smtp.mail.test", "reason": "535 5.7.8", "minutes": "60"},
    "silent": {"user": "desk@mail.test", "reason": "535 5.7.8", "minutes": "60"},
    "rebuilt": {"user": "desk@mail.test", "reason": "77", "minutes": "60"},
    "copies": {"user": "desk@mail.test", "reason": "535 5.7.8", "minutes": "60"},
    "loop": {"limit": "2000"},
    "unreachable": {"handle": "bob", "name": "Bob Smith", "address": "bob@mail.test", "reason": "550 5.1.1"},
    "guessing": {"most": "20", "client": ""},
    "guessing-one": {"most": "20", "client": "192.0.2.0/24"},
    "went-back": {"received": "3", "sent": "4"},
    "other-store": {"received": "3", "sent": "4"},
    "seal-key": {"reason": "x", "minutes": "60"},
    "seal-key-missing": {"reason": "x", "minutes": "60"},
    "seal-key-unmade": {"reason": "x", "minutes": "60"},
    "signature": {"reason": "x", "minutes": "60"},
    "unmarked": {"reason": "x", "minutes": "60"},
    "mark": {"reason": "x", "minutes": "60"},
    "retention": {"reason": "x", "minutes": "60"},
    "head": {"head": "123:0123456789abcdef0123456789abcdef", "at": "2026-11-24 10:00 UTC", "public": "00ff" * 16},
}
"""Every alarm with the facts its words name."""
VARIANTS |= {
    f"alarm-{name}": (None, n("alert", to=story.OPS, event=80, data={"host": "mx1", "alarm": name, **facts}))
    for name, facts in ALARMS.items()
}
VARIANTS["alarm-over"] = (
    None,
    n("alert", to=story.OPS, event=80, data={"host": "mx1", "alarm": "relay", "server": "smtp.mail.test", "over": "1"}),
)

LANGUAGES = ("en", "de")


def in_language(language: str, *, html: bool = True) -> Settings:
    settings = story.make_settings(html=html)
    general = General(timezone="Europe/Berlin", id_domain=story.ID_DOMAIN, language=language)
    return replace(settings, ticketgate=general)


def compose(
    name: str, settings: Settings, notices: Mapping[str, tuple[TicketFacts | None, Notice]] = VARIANTS
) -> OutboundMail:
    facts, notice = notices[name]
    plan = Plan(outcome="file", inbox="support", notices=(notice,))
    return compose_all(plan, facts, settings, story.at("17:22:05"))[0]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_variant_keeps_the_rules(name: str, language: str) -> None:
    settings = in_language(language)
    check(compose(name, settings), settings, VARIANTS[name][0])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(story.NOTICES))
def test_every_mail_of_the_story_keeps_the_rules(name: str, language: str) -> None:
    settings = in_language(language)
    for mail in story.compose(name, settings):
        check(mail, settings, story.NOTICES[name][1])


def test_every_kind_of_notice_is_tried() -> None:
    tried = {notice.kind for _, notice in VARIANTS.values()} | {notice.kind for _, _, notice in story.NOTICES.values()}
    assert tried == set(BUILDERS)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_no_text_has_gaps_or_unfilled_values(name: str) -> None:
    for language in LANGUAGES:
        plain, _ = texts(read(compose(name, in_language(language)).content))
        body = plain.replace("\r\n", "\n")
        assert "\n\n\n" not in body, body
        assert "None" not in body and "{{" not in body and "}}" not in body and "Undefined" not in body
        assert all(line == line.rstrip() or line == "-- " for line in body.split("\n")), body


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_our_own_lines_are_short_enough_to_read(name: str) -> None:
    plain, _ = texts(read(compose(name, in_language("en")).content))
    # The status line stays in one piece: it is the cut mark when our mail comes back quoted.
    lines = [line for line in plain.splitlines()[1:] if "mailto:" not in line and "@" not in line]
    assert not [line for line in lines if len(line) > 80]


def test_html_says_what_the_text_says() -> None:
    plain, html = texts(read(compose("customer-reply-other", in_language("en")).content))
    assert html
    for words in ("Alice has it", "Can you also send it to accounting@customer.test", "earlier", "Reply = answer Jane"):
        assert words in plain and words in html


def test_a_stranger_is_shown_by_address_and_never_by_the_name_he_gave() -> None:
    facts = replace(story.ticket(3, owner=None), customer=STRANGER, participants=(STRANGER,))
    notice = n("offer", event=4, about=1, author=STRANGER, data={"unproven": "1"})
    mail = compose("x", in_language("en"), {"x": (facts, notice)})
    parsed = read(mail.content)
    assert parsed["From"].startswith('"mallory at evil.test via Example Support"')
    assert "Jane Doe" not in str(parsed["From"]) + str(parsed["Reply-To"])
    assert "mallory@evil.test" in texts(parsed)[0]


def test_the_acknowledgement_repeats_nothing_but_the_subject() -> None:
    facts = story.ticket(3, owner=None)
    mail = compose("x", in_language("en"), {"x": (facts, n("ack", to=JANE, event=2, about=1))})
    everything = mail.content.decode()
    assert "Jane" not in everything and "Doe" not in everything and "licences" not in everything


def test_the_acknowledgement_outside_office_hours_may_be_another_text() -> None:
    facts = story.ticket(3, owner=None)
    mail = compose("x", in_language("en"), {"x": (facts, n("ack", to=JANE, event=2, about=1, data={"outside": "1"}))})
    assert "closed at the moment" in mail.content.decode()


def test_attachments_over_the_limit_are_listed_and_not_sent() -> None:
    small = Attachment(name="a.txt", type="text/plain", size=3, sha256="", content=b"abc")
    large = Attachment(name="film.mp4", type="video/mp4", size=11 * 1024 * 1024, sha256="", content=b"x")
    notice = n("customer-reply", event=10, about=8, author=JANE, attachments=(large, small))
    parsed = read(compose("x", in_language("en"), {"x": (story.ticket(9), notice)}).content)
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["a.txt"]
    assert "film.mp4 (11.5 MB)" in texts(parsed)[0] and "#show 4827 files" in texts(parsed)[0]


def test_a_command_nobody_decided_about_was_never_done_and_no_text_of_a_customers_is_spoken_of() -> None:
    plain = texts(read(compose("expired-command", in_language("en")).content))[0]
    assert plain.startswith("#4827 NEVER DONE") and "Jane" not in plain
    assert texts(read(compose("expired", in_language("en")).content))[0].startswith("#4827 NEVER SENT")


def test_a_digest_of_nothing_asks_for_no_number() -> None:
    for text in texts(read(compose("digest-empty", in_language("en")).content)):
        assert "Nothing is waiting for you." in text and "reply with its number" not in text


def test_forty_names_are_six_and_a_number() -> None:
    others = tuple(Person(party=100 + i, address=f"p{i}@customer.test", name=f"Name{i} Doe") for i in range(40))
    facts = replace(story.ticket(9), participants=(JANE, *others))
    cc = ", ".join(f"person{i}@department.customer.test" for i in range(40))
    notice = n("customer-reply", event=10, about=8, author=JANE, data={"cc": cc})
    plain = " ".join(texts(read(compose("x", in_language("en"), {"x": (facts, notice)}).content))[0].split())
    assert "with a copy to Name0, Name1, Name2, Name3, Name4, Name5 and 34 more." in plain
    assert "person5@department.customer.test and 34 more in Cc" in plain
    assert "to include them: #cc person0@department.customer.test)" in plain


def test_a_customer_cannot_plant_a_one_tap_link_or_a_footer() -> None:
    events = tuple(
        replace(e, text="Hi\n  claim      mailto:evil@evil.test?subject=x\n-- \n#4827 closed") if e.number == 8 else e
        for e in story.EVENTS[:9]
    )
    facts = replace(story.ticket(9), events=events)
    _, html = texts(read(compose("x", in_language("en"), {"x": (facts, n("customer-reply", about=8))}).content))
    assert 'href="mailto:evil' not in html
    assert html.index("#4827 closed") < html.index("<hr")


def _phrases(language: str) -> dict[str, str]:
    path = default_folder() / language / "words.toml"
    return tomllib.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("language", [path.name for path in default_folder().iterdir() if path.name != "en"])
def test_a_language_is_complete_and_takes_the_same_values(language: str) -> None:
    english, other = _phrases("en"), _phrases(language)
    own = {f"about_{verb.name}" for verb in VERBS}  # English has these in the table of verbs
    assert set(english) - own == set(other) - own
    assert own <= set(other)
    for key, phrase in english.items():
        assert key not in own
        assert (type(other[key]) is type(phrase) and len(str(other[key])) > 0) or phrase == ""
        assert set(re.findall(r"\{\w+\}", str(other[key]))) <= set(re.findall(r"\{\w+\}", str(phrase))), key
    files = {p.name for p in (default_folder() / "en").iterdir()}
    assert files == {p.name for p in (default_folder() / language).iterdir()}


def test_an_operators_template_wins_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "note.txt").write_text("#{{ number }} NOTE - ours\n\n{{ text }}\n")
    settings = replace(in_language("en"), folder=tmp_path)
    plain = texts(read(compose("note", settings).content))[0]
    assert plain.startswith("#4827 NOTE - ours")


PRYING = ["{{ missing }}", "{% if %}", "{{ ''.__class__.__mro__ }}", "{{ fact.__globals__ }}", "{{ 1 / 'x' }}"]


@pytest.mark.parametrize("template", PRYING)
def test_a_broken_or_prying_template_runs_nothing_and_stops_no_mail(tmp_path: Path, template: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "note.txt").write_text(template)
    (tmp_path / "templates" / "ack.txt").write_text(template)
    settings = replace(in_language("en"), folder=tmp_path)
    assert compose("note", settings).content == compose("note", in_language("en")).content
    ack = {"x": (story.ticket(3, owner=None), n("ack", to=JANE, event=2, about=1))}
    assert b"we have your message" in compose("x", settings, ack).content


def test_a_missing_template_is_an_operators_trouble() -> None:
    words = Words(Path("/nonexistent"), "en", "UTC")
    with pytest.raises(TemplateTrouble):
        words.render("no-such-text.txt", {})


def test_every_alarm_of_the_words_is_shown_here_and_says_its_facts() -> None:
    keys = tomllib.loads((default_folder() / "en" / "words.toml").read_text("utf-8"))
    named = {key.removeprefix("alarm_").removesuffix("_text") for key in keys if key.startswith("alarm_")}
    assert named - {"over", "ended", "reason", "again"} == set(ALARMS)
    for language in LANGUAGES:
        for name, facts in ALARMS.items():
            mail = read(compose(f"alarm-{name}", in_language(language)).content)
            said = f"{mail['Subject']} {texts(mail)[0]}"
            assert all(value in said for value in facts.values()), (language, name)
            assert max(map(len, texts(mail)[0].splitlines())) <= 90
