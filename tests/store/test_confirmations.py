"""What an agent reads after a command: who, what and where, in words a person understands, English and German."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.desk import retelling
from gateway.desk.draft import NOTICE_EVENTS
from gateway.model import OutboundMail, State
from gateway.outbound.words import Words, default_folder
from gateway.store.database import Database
from tests.store.test_resending import PAT, fail_asking
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, TOM, Desk, both, first, to
from tests.support.spine import text_of

GERMAN = replace(DESK, ticketgate=replace(DESK.ticketgate, language="de", timezone="Europe/Berlin"))
GATEWAY = Path(__file__).parents[2] / "gateway"


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def desk(database: Database, language: str) -> Desk:
    return Desk(database, GERMAN if language == "de" else DESK)


@pytest.fixture
def offer(desk: Desk) -> OutboundMail:
    return to(desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>"), ALICE)


def say(language: str, english: str, german: str) -> str:
    return german if language == "de" else english


# ------------------------------------------------------------------ split, away, tags, lists


def test_whoever_splits_a_ticket_is_not_told_that_somebody_gave_it(
    desk: Desk, offer: OutboundMail, language: str
) -> None:
    (answer,) = desk.reply(ALICE, offer, "Fixed.")
    news = to(desk.reply(JANE, answer, "Another thing: our address changed."), ALICE)
    out = desk.reply(ALICE, news, "#split Address change")
    own = next(m for m in out if m.kind == "assigned")
    assert first([own]) == say(language, "#2 yours - you split it off #1", "#2 deins - du hast es von #1 abgetrennt")


def test_the_owner_learns_which_colleague_split_a_mail_off(desk: Desk, language: str) -> None:
    offers = desk.write(JANE, "We have 10 licences, not 12.", message_id="<first@customer.test>")
    desk.reply(BOB, to(offers, BOB), "#watch")
    answer = to(desk.reply(ALICE, to(offers, ALICE), "Fixed."), JANE)
    news = to(desk.reply(JANE, answer, "Another thing: our address changed."), BOB)
    given = to(desk.reply(BOB, news, "#split Address change"), ALICE)
    assert first([given]) == say(language, "#2 yours - Bob split it off #1", "#2 deins - Bob hat es von #1 abgetrennt")


@pytest.mark.parametrize(
    ("order", "english", "german"),
    [
        ("#digest off", "Your digest: off.", "Deine Übersicht: aus."),
        ("#digest hourly", "Your digest: hourly.", "Deine Übersicht: stündlich."),
        ("#quiet off", "Quiet hours: off.", "Ruhezeit: aus."),
        ("#quiet 18-8", "Quiet hours: 18:00-08:00.", "Ruhezeit: 18:00-08:00."),
        ("#report off", "The weekly report: off.", "Der Wochenbericht: aus."),
        ("#report on", "The weekly report: on.", "Der Wochenbericht: an."),
    ],
)
def test_an_own_setting_is_said_in_words(desk: Desk, language: str, order: str, english: str, german: str) -> None:
    assert first(desk.write(CAROL, "", subject=order, message_id="<set@corp.test>")) == say(language, english, german)


def test_away_with_a_stand_in_names_the_stand_in(desk: Desk, language: str) -> None:
    (said,) = desk.write(ALICE, "", subject="#away until 2026-12-04 to bob", message_id="<away@corp.test>")
    until = say(
        language, "You are away until Fri, 4 Dec 2026, 09:00.", "Du bist abwesend bis Fr., 4. Dez. 2026, 09:00."
    )
    bob = say(language, "Bob gets the mail of your tickets meanwhile.", "Bob bekommt so lange die Mail deiner Tickets.")
    assert text_of(said).splitlines()[:2] == [until, bob]
    (said,) = desk.write(ALICE, "", subject="#away to bob", message_id="<away2@corp.test>")
    assert text_of(said).splitlines()[1] == bob


@pytest.mark.parametrize(
    "orders", ["#tag vip\n#untag vip", "#untag vip\n#tag VIP", "#tag vip -vip", "#tag a, vip\n#tag -vip"]
)
def test_a_tag_that_comes_and_goes_in_one_mail_is_a_contradiction(
    desk: Desk, offer: OutboundMail, language: str, orders: str
) -> None:
    said = text_of(to(desk.reply(ALICE, offer, orders), ALICE))
    assert say(language, "do not go together", "passen nicht zusammen") in said.partition("\n")[0]
    assert "vip" in said.partition("\n")[0]
    assert desk.ticket().tags == ()


def test_tags_that_differ_come_and_go_together(desk: Desk, offer: OutboundMail) -> None:
    desk.reply(ALICE, offer, "#tag vip old")
    desk.reply(ALICE, offer, "#tag new\n#untag old")
    assert desk.ticket().tags == ("vip", "new")


def test_a_list_that_does_not_exist_is_answered_with_those_that_do(desk: Desk, language: str) -> None:
    (said,) = desk.write(ALICE, "", subject="#list foo", message_id="<list@corp.test>")
    line = text_of(said).partition("\n")[0]
    assert say(language, 'There is no list "foo"', 'Eine Liste "foo" gibt es nicht') in line
    assert all(f"#list {what}" in line for what in ("mine", "free", "late", "snoozed", "all"))
    assert "#help?" not in text_of(said)


def test_another_verb_of_a_subject_is_answered_with_how_it_is_written(desk: Desk, language: str) -> None:
    (said,) = desk.write(ALICE, "", subject="#digest weekly", message_id="<digest@corp.test>")
    assert say(language, 'I do not understand "weekly" after #digest', "hinter #digest verstehe ich nicht") in text_of(
        said
    )
    assert "#digest hourly" in text_of(said)


@pytest.mark.parametrize("asked", ["#list foo", "#help list"])
def test_the_list_of_stopped_mail_is_offered_to_leads_only(desk: Desk, asked: str) -> None:
    (plain,) = desk.write(ALICE, "", subject=asked, message_id="<list@corp.test>")
    assert "#list snoozed" in text_of(plain) and "quarantine" not in text_of(plain)
    (leads,) = desk.write(CAROL, "", subject=asked, message_id="<list2@corp.test>")
    assert "#list quarantine" in text_of(leads)


def test_a_held_mistake_offers_only_what_its_author_may_use(desk: Desk, offer: OutboundMail) -> None:
    said = text_of(to(desk.reply(ALICE, offer, "#list foo\nHello Jane"), ALICE))
    assert "#list snoozed" in said and "quarantine" not in said
    assert "\n  #notspam q17" not in text_of(to(desk.reply(ALICE, offer, "#help notspam"), ALICE))


# ------------------------------------------------------------------ undo

UNDONE = [
    # done before, the command, what its undo says
    (
        ("#assign bob",),
        "#claim",
        "#1 undone: taking it. It is Bob's again.",
        "#1 rückgängig gemacht: das Übernehmen. Es hat wieder Bob.",
    ),
    (
        ("#claim",),
        "#assign bob",
        "#1 undone: giving it to Bob. It is yours again.",
        "#1 rückgängig gemacht: die Übergabe an Bob. Es ist wieder deins.",
    ),
    (
        (),
        "#close\n#prio high",
        "#1 undone: closing it, its priority. It is free for anyone again; its priority is normal again.",
        "#1 rückgängig gemacht: das Schließen, die Dringlichkeit. Es ist wieder frei; die Dringlichkeit ist wieder "
        "normal.",
    ),
    (
        ("#snooze 2026-12-01",),
        "#open",
        "#1 undone: opening it. It is hidden until Tue, 1 Dec 2026, 09:00 again.",
        "#1 rückgängig gemacht: das Öffnen. Es ist wieder verborgen bis Di., 1. Dez. 2026, 09:00.",
    ),
    (
        (f"#cc {TOM}",),
        f"#uncc {TOM}",
        "#1 undone: tom@shop.test out of the conversation. tom@shop.test takes part in it again.",
        "#1 rückgängig gemacht: tom@shop.test nicht mehr im Gespräch. tom@shop.test gehört wieder zum Gespräch.",
    ),
    (
        (),
        "#away to bob",
        "#1 undone: your absence. You are here.",
        "#1 rückgängig gemacht: deine Abwesenheit. Du bist da.",
    ),
    (
        ("#digest hourly",),
        "#digest off",
        "#1 undone: your digest. It is hourly again.",
        '#1 rückgängig gemacht: deine Übersicht. Sie steht wieder auf "stündlich".',
    ),
]


@pytest.mark.parametrize(("before", "order", "english", "german"), UNDONE, ids=[order for _, order, *_ in UNDONE])
def test_an_undo_says_what_was_undone_and_what_holds_again(
    desk: Desk, language: str, before: tuple[str, ...], order: str, english: str, german: str
) -> None:
    offer = to(desk.write(JANE, "We have 10 licences, not 12."), ALICE)
    for earlier in before:
        desk.reply(ALICE, offer, earlier)
    said = to(desk.reply(ALICE, offer, order), ALICE)
    assert first([to(desk.tap(ALICE, said, "undo"), ALICE)]) == say(language, english, german)


def test_an_undo_says_nothing_of_what_a_colleague_changed_since(desk: Desk, offer: OutboundMail, language: str) -> None:
    news = to(desk.reply(ALICE, offer, "#claim\n#prio high\n#note @bob look"), BOB)
    desk.reply(BOB, news, "#prio low")
    said = first([to(desk.reply(ALICE, offer, "#undo"), ALICE)])
    assert said == say(
        language,
        "#1 undone: taking it. It is free for anyone again; what was changed since stays as it is.",
        "#1 rückgängig gemacht: das Übernehmen. Es ist wieder frei; was seither geändert wurde, bleibt.",
    )


def test_every_deed_that_is_undone_has_words(desk: Desk) -> None:
    words = Words(default_folder(), "en", "UTC"), Words(default_folder(), "de", "UTC")
    codes = re.findall(r'yield \(?"([a-z-]+)"', (GATEWAY / "desk" / "retelling.py").read_text())
    again = {*codes, "mine", "owner", "watching", "muted", "neither", "stays", *map(str, set(State) - {State.SNOOZED})}
    for said in words:
        assert not [kind for kind in retelling.CHANGES if not said.knows(f"undone_{kind}")]
        assert not [name for name in retelling.CHOICES if not said.knows(f"undone_my-{name}")]
        assert not [code for code in again if not said.knows(f"again_{code}")]


# ------------------------------------------------------------------ undo of a merge


def merged(desk: Desk) -> tuple[OutboundMail, OutboundMail, OutboundMail]:
    """Tom's ticket 2 went into Jane's ticket 1; offers of both, and the confirmation."""
    one, two = both(desk, second=TOM)
    (asked,) = desk.reply(ALICE, two, "#merge 1")
    (said,) = desk.reply(ALICE, asked, "#send")
    return one, two, said


def test_the_undo_of_a_merge_says_what_is_where(desk: Desk, language: str) -> None:
    *_, said = merged(desk)
    assert first(desk.tap(ALICE, said, "undo")) == say(
        language,
        "#1 undone: #2 is on its own again, as it was before the merge.",
        "#1 rückgängig gemacht: #2 steht wieder für sich, wie vor dem Zusammenlegen.",
    )


def test_an_answer_after_a_merge_stays_and_the_merge_is_undone_when_that_is_meant(desk: Desk, language: str) -> None:
    one, _, _ = merged(desk)
    desk.reply(ALICE, one, "You are both right.")
    (asked,) = desk.reply(ALICE, one, "#undo")
    question = say(language, "Undo the merge with #2 instead?", "das Zusammenlegen mit #2 rückgängig machen?")
    assert question in first([asked])
    assert desk.ticket(2).merged_into == 1
    (said,) = desk.tap(ALICE, asked, "send")
    lines = [line for line in text_of(said).splitlines() if line]
    assert lines[0] == say(
        language,
        "#1 undone: #2 is on its own again, as it was before the merge.",
        "#1 rückgängig gemacht: #2 steht wieder für sich, wie vor dem Zusammenlegen.",
    )
    assert lines[1] == say(
        language,
        "#1 keeps what was written here since the merge.",
        "#1 behält, was seit dem Zusammenlegen hier geschrieben wurde.",
    )
    assert desk.ticket(2).merged_into == 0
    assert "You are both right." in [e.text.strip() for e in desk.ticket(1).events if e.kind == "answer"]


def test_an_answer_that_was_sent_hides_no_other_command(desk: Desk, offer: OutboundMail, language: str) -> None:
    desk.reply(ALICE, offer, "#tag vip")
    desk.reply(ALICE, offer, "It was our mistake.")
    said = first(desk.reply(ALICE, offer, "#undo"))
    assert say(language, "your answer has been sent", "deine Antwort ist hinaus") in said
    assert "?" not in said
    assert desk.ticket().tags == ("vip",)


def test_the_undo_of_a_split_says_what_is_where(desk: Desk, offer: OutboundMail, language: str) -> None:
    (answer,) = desk.reply(ALICE, offer, "Fixed.")
    news = to(desk.reply(JANE, answer, "Another thing."), ALICE)
    desk.reply(ALICE, news, "#split")
    said = to(desk.reply(ALICE, news, "#undo"), ALICE)
    assert first([said]) == say(
        language,
        "#1 undone: #2 is part of this ticket again, with all that was written there.",
        "#1 rückgängig gemacht: #2 gehört wieder zu diesem Ticket, mit allem, was dort geschrieben wurde.",
    )


# ------------------------------------------------------------------ pressed twice


def test_a_link_that_works_once_says_what_became_of_the_text_when_it_is_pressed_again(
    desk: Desk, offer: OutboundMail, language: str
) -> None:
    (held,) = desk.reply(ALICE, offer, "#clsoe\n\nYou are right, Jane.")
    desk.tap(ALICE, held, "send")
    (said,) = desk.tap(ALICE, held, "send")
    lines = text_of(said).splitlines()
    assert lines[0] == say(
        language,
        "#1 was done before: the text was sent, Mon, 23 Nov 2026, 10:03, by you.",
        "#1 war schon erledigt: der Text wurde verschickt, Mo., 23. Nov. 2026, 11:03, von dir.",
    )
    assert "Press Send" not in text_of(said).title() and "Absenden" not in text_of(said).title()
    assert [m.kind for m in desk.road.outbox()] == []
    assert len(desk.ticket().held) == 1, "the second press holds nothing"
    (said,) = desk.tap(ALICE, held, "discard")
    assert lines[0] in text_of(said)


def test_new_words_to_a_notice_that_was_decided_stay_and_are_told_what_happened(
    desk: Desk, offer: OutboundMail, language: str
) -> None:
    (held,) = desk.reply(ALICE, offer, "#clsoe\n\nYou are right, Jane.")
    desk.tap(ALICE, held, "discard")
    said = text_of(to(desk.reply(ALICE, held, "#send\n\nA better answer."), ALICE))
    assert (
        say(language, "thrown away, Mon, 23 Nov 2026, 10:03, by you", "verworfen, Mo., 23. Nov. 2026, 11:03, von dir")
        in (said.partition("\n")[0])
    )
    assert "A better answer." in said


def test_undo_pressed_twice_says_when_it_was_undone(desk: Desk, offer: OutboundMail, language: str) -> None:
    (done,) = desk.reply(ALICE, offer, "#claim")
    desk.tap(ALICE, done, "undo")
    (said,) = desk.tap(ALICE, done, "undo")
    assert text_of(said).splitlines()[0] == say(
        language,
        "#1 That was undone before: Mon, 23 Nov 2026, 10:03, by you.",
        "#1 Das ist schon rückgängig gemacht: Mo., 23. Nov. 2026, 11:03, von dir.",
    )
    assert ">" not in text_of(said)
    assert desk.ticket().held == ()


# ------------------------------------------------------------------ resending


def test_words_to_a_third_party_that_are_sent_again_name_the_third_party(
    desk: Desk, offer: OutboundMail, language: str
) -> None:
    _, notice = fail_asking(desk, offer)
    said = text_of(next(m for m in desk.reply(ALICE, notice, "#send") if m.kind == "command"))
    assert say(language, f"to the third party {PAT}", f"an die dritte Seite {PAT}") in said.partition("\n")[0]
    assert say(language, "your answer", "deine Antwort") not in said


# ------------------------------------------------------------------ history


def kinds_of_events() -> set[str]:
    """Every kind of line the product writes: read from its source, and from the list in docs/architecture.md."""
    found = set(NOTICE_EVENTS.values())
    for path in GATEWAY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if node.func.attr in ("add_event", "add_mail", "notify"):
                written = {c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant)}
                found |= {NOTICE_EVENTS.get(str(kind), str(kind)) for kind in written}
    listed = (GATEWAY.parent / "docs" / "architecture.md").read_text("utf-8").partition("- **Event kinds**")[2]
    listed = listed.partition("\n- **")[0]
    found |= set(re.findall(r"`([a-z-]+)`", listed)) - {"reason"}
    return found - {"list", "digest", "report-mail", "alert", "welcome"}


def test_every_kind_of_event_has_words_in_every_language() -> None:
    kinds = kinds_of_events()
    assert {"asked-notice", "third-notice", "passed", "withdraw"} <= kinds
    for folder in ("en", "de"):
        words = (default_folder() / folder / "words.toml").read_text("utf-8")
        lacking = {kind for kind in kinds if f"\nkind_{kind} " not in words}
        assert lacking == set(), folder


def test_the_history_is_said_in_the_readers_words_and_zone(desk: Desk, offer: OutboundMail, language: str) -> None:
    for order in ("#snooze 2026-12-04 10:00", "#open", "#prio high", "#tag vip", f"#cc {TOM}", "#assign bob", "#clsoe"):
        desk.reply(ALICE, offer, order)
    asked = to(desk.reply(ALICE, offer, f"#ask {PAT} Pump\n\nWhen?"), PAT)
    desk.reply(PAT, asked, "Tomorrow.")
    desk.pass_time(timedelta(hours=3))
    (said,) = [m for m in desk.reply(ALICE, offer, "#history") if m.kind == "command"]
    lines = text_of(said).splitlines()
    shown = {line[4:] for line in lines}

    def line(*parts: str) -> bool:
        return any(all(part in one for part in parts) for one in shown)

    assert line(*say(language, "snoozed|(Fri, 4 Dec 2026, 10:00)", "verborgen|(Fr., 4. Dez. 2026, 10:00)").split("|"))
    assert line(*say(language, "priority|(high)", "Dringlichkeit|(hoch)").split("|"))
    assert line(*say(language, "assigned|(Bob Smith)", "zugeteilt|(Bob Smith)").split("|"))
    assert line(*say(language, "joined|tom@shop.test", "dazugekommen|tom@shop.test").split("|"))
    assert line(*say(language, "told: third party wrote", "gemeldet: dritte Seite schrieb").split("|"))
    assert line(*say(language, "held|command unclear", "angehalten|Befehl unklar").split("|"))
    for one in lines:
        assert not re.search(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T|-notice|\+00:00", one), one
        assert not re.search(r"\((?:party|new|agent|claimed|command|released|token)\)", one), one
