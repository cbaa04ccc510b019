"""Until when somebody is away, as the away notice says it: the right day, or none."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.analysis.examine import examine
from gateway.analysis.reading_rules import AuthenticationRules, Rules
from gateway.analysis.return_date import find_return
from gateway.analysis.return_words import MONTHS
from gateway.model import Envelope, Findings

SENT = date(2026, 11, 24)

NAMED = [
    ("I am out of the office until Monday, 7 December. In urgent cases call Bob.", date(2026, 12, 7)),
    ("I'm away from 30 November to 4 December and will be back on 7 December 2026.", date(2026, 12, 7)),
    ("I will be out of office from Dec 1-5.", date(2026, 12, 5)),
    ("I am on annual leave, returning on December 7th, 2026.", date(2026, 12, 7)),
    ("I am out of office until 12/07/2026 with limited access to email", date(2026, 12, 7)),
    ("I am out of office until 12/24.", date(2026, 12, 24)),
    ("I am on vacation 1-5 December 2026", date(2026, 12, 5)),
    ("I am away from 1 December, back on 8 December.", date(2026, 12, 8)),
    ("I am out of the office and will return Monday, Jan 4.", date(2027, 1, 4)),
    ("On leave through 2026-12-07.", date(2026, 12, 7)),
    ("I am out until 5:00 pm on December 7.", date(2026, 12, 7)),
    ("Ich bin bis einschließlich Freitag, den 5. Dezember 2026 nicht im Büro.", date(2026, 12, 5)),
    ("Ich bin vom 30.11. bis 4.12. nicht im Haus. Ab dem 7.12. bin ich wieder erreichbar.", date(2026, 12, 7)),
    ("Am 08.12.2026 bin ich wieder für Sie da.", date(2026, 12, 8)),
    ("Urlaub 1.12.–5.12.: Ihre Mail wird nicht weitergeleitet", date(2026, 12, 5)),
    ("Ich bin derzeit abwesend und am 7.12.26 zurück.", date(2026, 12, 7)),
    ("Je suis absent du bureau jusqu'au lundi 7 décembre inclus.", date(2026, 12, 7)),
    ("Je suis en congé du 1er au 5 décembre. De retour le 7 décembre 2026.", date(2026, 12, 7)),
    ("Absent du 01/12 au 05/12/2026", date(2026, 12, 5)),
    ("Estaré fuera de la oficina hasta el 7 de diciembre de 2026.", date(2026, 12, 7)),
    ("Estoy de vacaciones del 1 al 5 de diciembre", date(2026, 12, 5)),
    ("Estoy ausente. Regreso el lunes 07/12.", date(2026, 12, 7)),
    ("Estou ausente até 7 de dezembro.", date(2026, 12, 7)),
    ("Estou de férias. Volto no dia 07/12/2026", date(2026, 12, 7)),
    ("Sono fuori ufficio fino al 7 dicembre compreso.", date(2026, 12, 7)),
    ("Sarò assente dal 1 al 5 dicembre 2026, rientro il 7 dicembre", date(2026, 12, 7)),
    ("Ik ben afwezig tot en met maandag 7 december.", date(2026, 12, 7)),
    ("Ik ben met vakantie t/m 5 december. Vanaf 7 december ben ik weer bereikbaar", date(2026, 12, 7)),
    ("Jag är på semester till och med 5 december och är åter den 7 december", date(2026, 12, 7)),
    ("Jeg er på ferie til og med den 5. december. Jeg er tilbage den 7. december.", date(2026, 12, 7)),
    ("Jeg er ikke på kontoret frem til 7. desember.", date(2026, 12, 7)),
    ("Olen lomalla 7.12.2026 asti.", date(2026, 12, 7)),
    ("Olen poissa. Palaan 7. joulukuuta.", date(2026, 12, 7)),
    ("Jestem na urlopie do 7 grudnia włącznie.", date(2026, 12, 7)),
    ("Jestem nieobecny do dnia 07.12.2026 r.", date(2026, 12, 7)),
    ("Jsem mimo kancelář do 7. prosince 2026.", date(2026, 12, 7)),
    ("Som na dovolenke do 7. decembra.", date(2026, 12, 7)),
    ("Szabadságon vagyok december 7-ig.", date(2026, 12, 7)),
    ("Házon kívül vagyok, 2026. december 7-én térek vissza.", date(2026, 12, 7)),
    ("Sunt în concediu până la 7 decembrie 2026.", date(2026, 12, 7)),
    ("7 Aralık 2026 tarihine kadar izindeyim.", date(2026, 12, 7)),
    ("Ofis dışındayım. 7 Aralık'ta döneceğim.", date(2026, 12, 7)),
    ("Βρίσκομαι σε άδεια έως τις 7 Δεκεμβρίου 2026.", date(2026, 12, 7)),
    ("Я в отпуске до 7 декабря 2026 г.", date(2026, 12, 7)),
    ("Меня не будет с 1 по 5 декабря. Вернусь 7 декабря.", date(2026, 12, 7)),
    ("Я у відпустці до 7 грудня.", date(2026, 12, 7)),
    ("Извън офиса съм до 7 декември 2026 г.", date(2026, 12, 7)),
    ("Na dopustu sem do 7. decembra 2026.", date(2026, 12, 7)),
    ("Na godišnjem odmoru sam do 7. prosinca.", date(2026, 12, 7)),
    ("Atostogauju iki gruodžio 7 d.", date(2026, 12, 7)),
    ("Olen puhkusel kuni 7. detsembrini.", date(2026, 12, 7)),
    ("Saya sedang cuti sampai 7 Desember 2026", date(2026, 12, 7)),
    ("Tôi nghỉ phép đến hết ngày 7 tháng 12 năm 2026.", date(2026, 12, 7)),
    ("ฉันลาพักร้อนจนถึงวันที่ 7 ธันวาคม 2569", date(2026, 12, 7)),
    ("אני בחופשה עד 7 בדצמבר 2026", date(2026, 12, 7)),
    ("أنا في إجازة حتى 7 ديسمبر 2026", date(2026, 12, 7)),
    ("12月7日まで休暇をいただいております。", date(2026, 12, 7)),
    ("現在不在にしております。12月7日より出社いたします。", date(2026, 12, 7)),
    ("我正在休假,至2026年12月7日。", date(2026, 12, 7)),
    ("我不在办公室,12月7日回来。", date(2026, 12, 7)),
    ("12월 7일까지 휴가입니다.", date(2026, 12, 7)),
    ("Soc fora de l'oficina fins al 7 de desembre.", date(2026, 12, 7)),
    ("Ich bin bis 7.12.2026 im Urlaub.\n\nI am on vacation until 7 December 2026.", date(2026, 12, 7)),
]

DOUBTFUL = [
    "I am out of office until 2/3/2027",
    "Thank you for your application. The registration is open until 15 December.",
    "I am out of office until further notice. 7 December is our open day.",
    "I'm out of the office. I will get back to you on 7 December.",
    "I'm away until 5 December, and in the office again; then away until 20 December.",
    "I was away until 1 November",
    "I am away from the office on 1 December.",
    "Ab 8.12. bin ich nicht im Büro",
    "I am out of the office today.\n\n-- \nMeet us at the fair, 3-7 December, hall 4",
    "We received your mail (ticket 5512). Our offices are open until 20 December.",
]


@pytest.mark.parametrize(("text", "day"), NAMED)
def test_the_day_that_a_notice_names_is_found(text: str, day: date) -> None:
    assert find_return("Automatic reply: Crane 4", text, SENT) == day


@pytest.mark.parametrize("text", DOUBTFUL)
def test_a_day_that_is_not_clearly_the_end_of_an_absence_is_none(text: str) -> None:
    assert find_return("Automatic reply: Crane 4", text, SENT) is None


def test_a_day_without_a_year_lies_ahead_of_the_mail() -> None:
    assert find_return("", "I am on leave until 4 January.", date(2026, 12, 20)) == date(2027, 1, 4)
    assert find_return("", "I am on leave until 20 December.", date(2026, 12, 1)) == date(2026, 12, 20)
    assert find_return("", "I am on leave until 20 November.", date(2026, 12, 1)) is None


def test_the_subject_may_name_the_day() -> None:
    assert find_return("Out of office: Ann, 3-7 August", "Ask Bob.", date(2026, 8, 3)) == date(2026, 8, 7)


def test_every_month_is_one_month_in_all_languages() -> None:
    assert set(MONTHS.values()) == set(range(1, 13)) and "listopada" not in MONTHS


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="until back 0123456789./-\n()december", max_size=300))
def test_no_text_is_a_hazard(text: str) -> None:
    found = find_return(text, text, SENT)
    assert found is None or abs((found - SENT).days) <= 366


def read(text: str) -> Findings:
    raw = (
        "From: Ann <ann@customer.test>\nTo: support@desk.test\nSubject: Automatic reply: Crane 4\n"
        f"Auto-Submitted: auto-replied\nDate: Tue, 24 Nov 2026 10:00:00 +0000\n\n{text}"
    )
    at = datetime(2028, 1, 1, tzinfo=UTC)
    envelope = Envelope(reverse_path="", recipient="support@desk.test", inbox="support", source="lmtp", received_at=at)
    rules = Rules(
        authentication=AuthenticationRules(), own_addresses=frozenset({"support@desk.test"}), id_domain="desk.test"
    )
    return examine(raw.encode().replace(b"\n", b"\r\n"), envelope, {}, rules)


def test_what_a_notice_quotes_says_nothing_about_its_author() -> None:
    quote = "\n\nOn Mon, 23 Nov 2026 at 10:00, Desk <support@desk.test> wrote:\n> I am away until 20 December 2026.\n"
    assert read(f"I am away until 7 December.{quote}").away_until == date(2026, 12, 7)
    assert read(f"I am away at the moment.{quote}").away_until is None
