"""Away notices by their words, in the languages of the world's mail programs.

Two lists. What only a program writes ("Automatic reply: …") decides alone. What a person might write as well ("Out of
office") is a hint: the caller wants another sign beside it.
"""

from __future__ import annotations

import re

_CERTAIN = (
    # The prefix a mail system puts before the subject it answers.
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "automatic response",
    "automated reply",
    "automated response",
    "automatische antwort",
    "automatische antwortmail",
    "automatische rückantwort",
    "autom. antwort",
    "réponse automatique",
    "reponse automatique",
    "réponse auto",
    "respuesta automática",
    "respuesta automatica",
    "resposta automática",
    "resposta automatica",
    "resposta automàtica",
    "risposta automatica",
    "automatisch antwoord",
    "automatische beantwoording",
    "automatisch bericht",
    "autosvar",
    "automatisk svar",
    "automatiskt svar",
    "automaattinen vastaus",
    "automaatvastus",
    "sjálfvirkt svar",
    "odpowiedź automatyczna",
    "automatyczna odpowiedź",
    "automatická odpověď",
    "automatická odpoveď",
    "automatikus válasz",
    "automatski odgovor",
    "samodejni odgovor",
    "răspuns automat",
    "raspuns automat",
    "otomatik yanıt",
    "otomatik cevap",
    "αυτόματη απάντηση",
    "автоматический ответ",
    "автоответ",
    "автоматична відповідь",
    "автовідповідь",
    "автоматичен отговор",
    "автоматски одговор",
    "automatinis atsakymas",
    "automātiska atbilde",
    "automātiskā atbilde",
    "balasan otomatis",
    "balas otomatis",
    "trả lời tự động",
    "ตอบกลับอัตโนมัติ",
    "การตอบกลับอัตโนมัติ",
    "תשובה אוטומטית",
    "מענה אוטומטי",
    "رد تلقائي",
    "الرد التلقائي",
    "پاسخ خودکار",
    "स्वचालित उत्तर",
    "自動応答",
    "自動返信",
    "自动回复",
    "自动答复",
    "自動回覆",
    "자동 회신",
    "자동 응답",
    "자동회신",
    "자동응답",
)
_NOTICES = (
    # Nouns for the notice itself: certain only directly before the answered subject ("Abwesenheitsnotiz: …").
    "abwesenheitsnotiz",
    "abwesenheitsnachricht",
    "abwesenheitsmeldung",
    "abwesenheitsbenachrichtigung",
    "out of office autoreply",
    "out of office reply",
    "out-of-office reply",
    "out of office message",
    "out of office notification",
    "out of office response",
    "vacation reply",
    "vacation notice",
    "away notice",
    "notification d'absence",
    "message d'absence",
    "avis d'absence",
    "mensaje de ausencia",
    "aviso de ausencia",
    "mensagem de ausência",
    "messaggio di assenza",
    "avviso di assenza",
    "afwezigheidsmelding",
    "afwezigheidsbericht",
    "frånvaromeddelande",
    "fraværsbesked",
    "fraværsmelding",
    "poissaoloilmoitus",
    "poissaoloviesti",
    "informacja o nieobecności",
    "oznámení o nepřítomnosti",
    "távolléti értesítés",
    "уведомление об отсутствии",
    "不在通知",
    "不在届",
    "外出通知",
    "부재중 알림",
)
_AWAY = (
    "out of office",
    "out of the office",
    "out-of-office",
    "ooo",
    "oof",
    "away from the office",
    "away from my mail",
    "on vacation",
    "on holiday",
    "on annual leave",
    "on leave",
    "vacation notice",
    "vacation reply",
    "away notice",
    "abwesend",
    "abwesenheit",
    "abwesenheitsnotiz",
    "abwesenheitsnachricht",
    "abwesenheitsmeldung",
    "nicht im büro",
    "nicht im hause",
    "urlaubsnotiz",
    "absence du bureau",
    "absence",
    "absent du bureau",
    "absent",
    "notification d'absence",
    "message d'absence",
    "en congé",
    "fuera de la oficina",
    "fuera de oficina",
    "ausencia",
    "mensaje de ausencia",
    "ausente",
    "nieobecność w biurze",
    "ausência temporária",
    "нет на рабочем месте",
    "fora do escritório",
    "fora do escritorio",
    "ausência",
    "mensagem de ausência",
    "fuori sede",
    "fuori ufficio",
    "assenza",
    "assente",
    "afwezig",
    "afwezigheid",
    "niet aanwezig",
    "frånvaro",
    "frånvarande",
    "fravær",
    "ikke på kontoret",
    "fraværende",
    "poissa",
    "poissaolo",
    "nieobecność",
    "nieobecny",
    "poza biurem",
    "mimo kancelář",
    "nepřítomnost",
    "nepřítomen",
    "mimo kancelárie",
    "neprítomnosť",
    "házon kívül",
    "távollét",
    "odsotnost",
    "odsutan",
    "odsutnost",
    "absență",
    "lipsesc din birou",
    "ofis dışında",
    "ofis dışındayım",
    "izindeyim",
    "εκτός γραφείου",
    "απουσία",
    "нет на месте",
    "вне офиса",
    "отсутствие",
    "в отпуске",
    "поза офісом",
    "у відпустці",
    "извън офиса",
    "nėra biure",
    "nav birojā",
    "kontorist väljas",
    "di luar kantor",
    "vắng mặt",
    "ไม่อยู่ที่สำนักงาน",
    "לא במשרד",
    "מחוץ למשרד",
    "خارج المكتب",
    "不在",
    "不在通知",
    "休暇",
    "不在办公室",
    "外出",
    "休假",
    "부재중",
    "부재",
    "휴가",
)


def _alternatives(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words, key=len, reverse=True))


# A dash is no edge: "Automatic reply - how do I switch it off?" is a customer's question.
_CERTAIN_SUBJECT = re.compile(
    rf"\s*[\[(【]?\s*(?:(?:{_alternatives(_CERTAIN)})\s*[\])】]?\s*(?:[:：]|\Z|(?:re|aw|sv|antw|rv)\s*:)"
    rf"|(?:{_alternatives(_NOTICES)})\s*[:：])",
    re.IGNORECASE,
)
_AWAY_SUBJECT = re.compile(rf"\s*[\[(【*]*\s*(?:{_alternatives(_AWAY)})(?!\w)", re.IGNORECASE)
_AWAY_ANSWER = re.compile(
    rf"\s*[\[(【*]*\s*(?:{_alternatives(_AWAY)})\s*[\])】*]*\s*(?:\Z|[:：]|(?:re|aw|sv|antw|rv|odp|ynt)\s*:)",
    re.IGNORECASE,
)
_AWAY_SENTENCE = re.compile(
    # English
    r"\bi(?:'m| am| will be|'ll be)\s+(?:currently\s+|now\s+)?(?:out of (?:the )?office|away|on (?:annual |maternity |"
    r"parental |sick |business )?(?:leave|vacation|holiday|travel))|\bout of (?:the )?office\b.{0,80}\b(?:until|till|"
    r"through|return|back)|limited access to (?:my )?e-?mail|this is an auto(?:matic|mated)?[- ]?(?:reply|response)|"
    # German
    r"bin (?:ich )?.{0,40}(?:nicht im (?:büro|haus)|außer haus|abwesend|im urlaub)|"
    r"ich bin .{0,40}wieder (?:im büro|erreichbar|für sie da)|ihre (?:e-?mail|nachricht) wird nicht weitergeleitet|"
    # French, Spanish, Italian, Portuguese
    r"je suis (?:actuellement )?(?:absent|en congé|hors)|je serai (?:absent|de retour)|"
    r"estoy (?:fuera|ausente|de vacaciones)|estaré (?:fuera|ausente|de vacaciones)|"
    r"sono (?:assente|fuori|in ferie)|sarò (?:assente|fuori|in ferie)|"
    r"estou (?:ausente|fora|de férias)|estarei (?:ausente|fora)|"
    # Dutch, Swedish, Polish, Russian
    r"ik ben (?:afwezig|niet aanwezig|met vakantie|op vakantie)|jag är (?:inte på|borta|på semester|ledig)|"
    r"jestem (?:nieobecn|na urlopie|poza)|меня (?:не будет|нет)|нахожусь в отпуске|"
    # Danish and Norwegian, Finnish, Czech and Slovak, Hungarian, Turkish, Ukrainian, Greek, Romanian
    r"jeg er (?:ikke på|på ferie|ude af|bortreist|fraværende)|olen (?:lomalla|poissa|vapaalla)|"
    r"jsem (?:mimo|na dovolené|nepřítom)|som (?:mimo|na dovolenke|neprítom)|szabadságon vagyok|házon kívül vagyok|"
    r"ofis dışındayım|izindeyim|tatildeyim|мене (?:не буде|немає)|я у відпустці|"
    r"(?:είμαι|βρίσκομαι|θα είμαι) (?:εκτός|σε άδεια)|sunt (?:plecat|în concediu|in concediu)|"
    # Japanese, Chinese, Korean
    r"(?:ただいま|現在).{0,40}(?:不在|休暇)|我(?:正在|目前|现在)?.{0,10}(?:休假|不在)|현재.{0,20}(?:부재|휴가)",
    re.IGNORECASE,
)


def is_away_subject(subject: str) -> bool:
    """Whether a subject begins with words only a program puts there."""
    return bool(_CERTAIN_SUBJECT.match(subject[:200]))


def is_away_topic(subject: str) -> bool:
    """Whether a subject begins with being away. A hint: people write this too."""
    return bool(_AWAY_SUBJECT.match(subject[:200]))


def is_away_answer(subject: str) -> bool:
    """Whether words of being away stand before the subject that is answered: "Absence: Re: invoice"."""
    return bool(_AWAY_ANSWER.match(subject[:200]))


def is_away_text(text: str) -> bool:
    """Whether the beginning of a text speaks of being away. A hint: people write this too."""
    return bool(_AWAY_SENTENCE.search(text[:600]))
