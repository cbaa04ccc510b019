"""Subjects without what clients and gateways put in front of them: "Re:", "AW:", "[#4827]", "[EXTERNAL]" (mail.md 8).

Only for comparing: a subject never decides alone which ticket is meant.
"""

from __future__ import annotations

import re
import unicodedata

_LONGEST_PREFIX = 40
_LONGEST = 2000  # characters that are looked at; RFC 5322 lines are shorter, decoded monsters are cut

PREFIXES: dict[str, tuple[str, ...]] = {
    "any": ("Re", "Fw", "Fwd", "FYI"),
    "Arabic": ("رد", "إعادة توجيه"),
    "Bulgarian": ("Отг", "Отговор", "Препр"),
    "Catalan": ("Resp", "RV"),
    "Chinese": ("回复", "回覆", "答复", "答覆", "转发", "轉寄", "轉發"),
    "Croatian, Serbian, Slovenian": ("Odg", "Odgovor", "Proslijeđeno", "Posr", "Одг"),
    "Czech": ("Odp", "Odpověď", "Předáno", "Přep"),
    "Danish, Norwegian, Swedish": ("SV", "Svar", "VS", "VB", "Vidarebefordrat", "Videresendt"),
    "Dutch": ("Antw", "Antwoord", "Doorst", "Doorgestuurd", "Betr"),
    "Estonian": ("Vs", "Vast", "Edasi"),
    "Finnish": ("VS", "Vl", "Vast", "Välitetty"),
    "French": ("Ré", "Rép", "Réf", "TR", "Transf", "Transféré"),
    "German": ("AW", "Antwort", "WG", "Weitergeleitet"),
    "Greek": ("Απ", "Απάντηση", "Σχετ", "Πρθ", "Προώθηση"),
    "Hebrew": ("תגובה", "תשובה", "השב", "הועבר"),
    "Hungarian": ("Vá", "Válasz", "Továbbítás", "Továbbítva", "Tov"),
    "Icelandic": ("Svar", "Áframsent"),
    "Indonesian": ("Bls", "Balas", "Trs", "Terusan"),
    "Italian": ("R", "Rif", "Ris", "Risp", "I", "Inoltro"),
    "Japanese": ("返信", "返", "転送", "転"),
    "Korean": ("회신", "답장", "전달"),
    "Latvian": ("Atb", "Atbilde", "Pārsūtīts"),
    "Lithuanian": ("Ats", "Atsakymas", "Persiųsta"),
    "Persian": ("پاسخ", "ارسال"),
    "Polish": ("Odp", "Odpowiedź", "PD", "Podaj dalej", "Przesł"),
    "Portuguese": ("Res", "Resp", "Enc", "Encam"),
    "Romanian": ("Răsp", "Rasp", "Redir"),
    "Russian": ("Отв", "Ответ", "Пересл", "На", "HA"),  # the last one in Latin letters, as some programs write it
    "Slovak": ("Odp", "Odpoveď", "Prep"),
    "Spanish": ("Resp", "Respuesta", "RV", "Reenv"),
    "Thai": ("ตอบ", "ตอบกลับ", "ส่งต่อ"),
    "Turkish": ("Ynt", "Yan", "Yanıt", "İlt", "İlet"),
    "Ukrainian": ("Відп", "Відповідь", "Пересл"),
    "Vietnamese": ("Trả lời", "TL", "Chuyển tiếp"),
    "Welsh": ("Ateb", "ATB"),
    # Away notices keep the subject they answer (mail.md 7.3).
    "automatic": (
        "Automatic reply",
        "Auto reply",
        "Out of office",
        "Autosvar",
        "Automatische Antwort",
        "Abwesenheitsnotiz",
        "Abwesenheit",
        "Réponse automatique",
        "Absence du bureau",
        "Respuesta automática",
        "Resposta automática",
        "Risposta automatica",
        "Automatisch antwoord",
        "Automatiskt svar",
        "Automatisk svar",
        "Automaattinen vastaus",
        "Odpowiedź automatyczna",
        "Automatická odpověď",
        "Automatikus válasz",
        "Otomatik yanıt",
        "Автоматический ответ",
        "自动回复",
        "自動回覆",
        "自動応答",
    ),
}
"""Language -> what its clients put before a colon. A language without words of its own uses Re and Fwd."""


def _fold(text: str) -> str:
    # Turkish capitals: "YANIT" folds to "yanit", "İLT" to "i" with a dot above and "lt"; both are one letter i here.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.replace("i\u0307", "i").replace("\u0131", "i")


_WORDS = sorted({_fold(word) for words in PREFIXES.values() for word in words}, key=len, reverse=True)
_PREFIX = re.compile(
    r" ?(?:"
    + "|".join(re.escape(word) for word in _WORDS)
    + r")\.? ?(?:\[[0-9]{1,3}\]|\([0-9]{1,3}\)|[\^*]?[0-9]{1,3})? ?:"  # Re[2]:, Re(2):, Re^2:, Re2:, "RE :"
    r"| ?(?:\[#[0-9]{1,8}\]"
    # What gateways add: the mail is from outside, or looks like spam.
    r"|[\[({](?:external|ext|extern|externe|externo|esterno|外部|caution|(?:(?:suspected|possible) )?spam)[\])}]"
    r"|\*{3,5} ?spam ?\*{3,5})"
)
_LIST_TAG = re.compile(r"\[[^\[\]]{1,40}\]")
_MOST_TAGS = 5
_TAG = re.compile(r"\[#([1-9][0-9]{0,7})\]")
_ANY_TAG = re.compile(r"\[#[0-9]{1,8}\]")
_INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_NOT_SEEN = str.maketrans("", "", _INVISIBLE)


def canonical_subject(subject: str) -> str:
    """The subject without reply and forward prefixes, ticket tags and needless blanks; readable, for display too.

    Prefixes are removed one after the other in linear time; "Re: AW: [#4827] Re[2]: x" is "x".
    """
    plain = " ".join(_ANY_TAG.sub(" ", subject[:_LONGEST]).split())
    start = 0
    while True:
        while start < len(plain) and (plain[start] in _INVISIBLE or plain[start] == " "):  # "<RLM>Re: x"
            start += 1
        length = _prefix_length(plain[start : start + _LONGEST_PREFIX])
        if not length:
            return plain[start:]
        start += length


def _prefix_length(head: str) -> int:
    """How many characters of ``head`` the first prefix takes; 0 when there is none."""
    found = _PREFIX.match(_fold(head))
    if not found:
        return 0
    wanted = found.end()  # in the folded text, which may have more or fewer characters
    for length in range(1, len(head) + 1):
        if len(_fold(head[:length])) >= wanted:
            return length
    return len(head)


def same_subject(left: str, right: str) -> bool:
    """Whether two subjects are the same but for prefixes, ticket tags, case, blanks and invisible characters."""
    return _comparable(left) == _comparable(right)


def _comparable(subject: str) -> str:
    """Folded, with prefixes removed behind leading "[list]" tags too: mailing lists write "[list] Re: x"."""
    rest = canonical_subject(subject)
    tags: dict[str, None] = {}
    for _ in range(_MOST_TAGS):
        found = _LIST_TAG.match(rest)
        if not found:
            break
        tags[found[0]] = None
        rest = canonical_subject(rest[found.end() :])
    return _fold(" ".join((*tags, rest)).translate(_NOT_SEEN)).strip()


def find_ticket_tag(subject: str) -> int:
    """The ticket of the first "[#4827]" in a subject, 0 without one."""
    found = _TAG.search(subject[:_LONGEST])
    return int(found[1]) if found else 0
