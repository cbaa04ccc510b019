"""Where the author's text ends and the sign-off begins: "-- ", closings with a name, phone adverts, disclaimers.

Works on the lines of one stretch of new text and answers with an index: lines from there on are signature. In doubt
the answer is "none": a name too much is harmless, a lost sentence is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.model import Mailbox

_MAX_TAIL = 14  # lines looked at from the end for closings, names, contact data
_MAX_MARKED = 40  # lines a signature below "-- " may have
_MAX_BARE_MARK = 20  # the same below "--", which also is a comment in SQL

_CLOSING = re.compile(
    r"""(?:(?:many|with)\s)?(?:thanks?(?:\s(?:you|again|a\slot|so\smuch|very\smuch|in\sadvance|and\sregards|for\syour\s\w+))*
    |thx|cheers|ta|(?:(?:with|kind|kindest|warm|warmest|best|my\sbest|all\sthe\sbest|yours)\s?)*(?:regards?|wishes|greetings)|rgds|br|kr
    |yours(?:\s(?:sincerely|truly|faithfully))?|sincerely(?:\syours)?|respectfully|cordially|faithfully|best|take\scare|love|xoxo
    |(?:your|ur)\s(?:pal|friend)|see\s(?:you|ya)|talk\ssoon
    |(?:mit\s)?(?:(?:freundlichen|freundliche|besten|beste|vielen|viele|herzlichen|herzliche|lieben|liebe|schönen|schöne|sonnigen?)\s)+(?:grü(?:ß|ss)en?|dank)
    |grü(?:ß|ss)e|gru(?:ß|ss)|lg|mfg|vg|bg|danke|vielen\sdank|hochachtungsvoll
    |cordialement|bien\s(?:cordialement|à\s(?:vous|toi))|(?:très\s)?amicalement|(?:meilleures|sincères)\ssalutations|salutations|merci(?:\s(?:beaucoup|d'avance))?|bonne\sjournée|cdlt
    |(?:un\s)?(?:cordial|atento)\ssaludos?|saludos(?:\s(?:cordiales))?|atentamente|gracias|muchas\sgracias|un\sabrazo
    |(?:cordiali|distinti|cari)\ssaluti|saluti|grazie(?:\smille)?|un\ssaluto|cordialmente
    |atenciosamente|cumprimentos|(?:melhores|com\sos\smelhores)\scumprimentos|obrigad[oa]|abraços?|att
    |(?:met\s)?(?:vriendelijke|hartelijke|beste)\sgroet(?:en)?|groet(?:en|jes)?|mvg|bedankt|alvast\sbedankt
    |(?:med\s)?(?:(?:venlig|vänlig|vennlig|bedste|beste|bästa|mange|varme|varma|kærlig|hjertelig)(?:e|a)?\s)+(?:hilsen|hilsner|hälsning|hälsningar)|hilsen|hälsningar|mvh|vh|kh|dbh|tack|takk?|tak\spå\sforhånd|tak
    |(?:ystävällisin|parhain)\sterveisin|terveisin|kiitos|kiittäen|t
    |(?:z\s)?(?:poważaniem|powazaniem|wyrazami\sszacunku)|pozdrawiam(?:\sserdecznie)?|pozdrowienia|dziękuję|dzięki
    |(?:с\s)?(?:наилучшими\sпожеланиями|уважением)|спасибо|з\sповагою|дякую|поздрав(?:и)?
    |(?:s\s)?(?:pozdravem|přátelským\spozdravem|pozdravom)|děkuji|ďakujem|(?:lijep|srdačan)\spozdrav|pozdrav|hvala|lp
    |üdvözlettel|tisztelettel|köszönöm|üdv|cu\s(?:stimă|respect)|mulțumesc|saygılarımla|iyi\sçalışmalar|teşekkürler|parimate\ssoovidega|lugupidamisega|pagarbiai
    |με\s(?:εκτίμηση|φιλικούς\sχαιρετισμούς)|ευχαριστώ|trân\strọng|salam|hormat\s(?:saya|kami)
    |此致|敬具|よろしくお願いいたします|以上、?よろしくお願いいたします|감사합니다|谢谢|祝好)(?=[\s,.!;:)~–—-]*$|[,.!–—-]+\s)""",
    re.IGNORECASE | re.VERBOSE,
)
_TAIL_OF_CLOSING = re.compile(r"[\s,.!;:)~–—-]*$")
_INLINE_NAME = re.compile(r"[,.!–—-]+\s+(?:[^\W\d_][\w'’.-]{0,20}\s?){1,3}\.?\s*$")
_NAME_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’.-])*$")
_SLASHED = re.compile(r"\s{0,4}(?:[-–—~/]|//|- |/ )\s?[^\W\d_][\w .'’-]{0,40}$")
_PHONE = re.compile(r"(?:^|[\s:(#*+.x-])[+(]?\d[\d\s()./-]{5,}\d\b|^[x*#]?-?\d[\d-]{3,}$|^(?:ext|x)[. -]{0,2}\d{3,}", re.IGNORECASE)
_CONTACT = re.compile(r"@[\w-]+\.\w|https?://|www\.|^(?:tel|fax|mobil|mobile|cell|phone|skype|t|f|m|e|w|p|o|d)\b\s?[.:]", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?:;,…]$|\.\s+[^\W\d_]")
_DEVICE = (
    r"(?:my|a|an|the|mobile|cell|phone|smart|tablet|ipad|iphone|ipod|blackberry|android|galaxy|samsung|windows|outlook|"
    r"yahoo|mail(?:box)?|airmail|proton\w*|spark|hey|huawei|xiaomi|nokia|htc|aol|gmail|thunderbird|device|handheld|wireless)"
)
_ADVERTS = re.compile(
    rf"""[\s<(*_\[~-]*(?:
      (?:sent|send|written)\s(?:(?:securely\s)?(?:from|via|with|using|by)\s)+(?P<rest>.{{2,90}})
    | from\smy\s(?P<rest2>.{{2,40}})
    | \w{{1,20}}\sfrom\s(?:my\s)?mobile | via\smobile
    | get\s\[?outlook\s for .{{0,60}} | download\s.{{0,20}}\bapp\b.{{0,20}} | outlook\sfor\s(?:ios|android|mac).{{0,40}}
    | (?:von|aus)\s(?:meinem|meiner|unterwegs|mobil).{{0,50}}\bgesendet | (?:gesendet|geschickt|verschickt)\s(?:von|mit|aus|über)\s.{{2,50}}
    | diese\s(?:nachricht|e-?mail|mail)\swurde\svon\s.{{2,70}}\bgesendet
    | (?:envoyé|envoye)\s(?:depuis|de|à\spartir|avec|via)\s.{{2,50}} | (?:enviado|enviada)\s(?:desde|de|do|a\spartir|con|com|via)\s.{{2,50}}
    | obtener\soutlook\s.{{0,40}} | télécharger\soutlook\s.{{0,40}} | obter\so\soutlook\s.{{0,40}} | holen\ssie\ssich\soutlook\s.{{0,40}}
    | outlook\sfür\s(?:ios|android)\s.{{0,60}}
    | inviato\s(?:da|dal|con|tramite)\s.{{2,50}} | (?:verzonden|verstuurd)\s(?:met|vanaf|via|vanuit)\s.{{2,50}}
    | (?:sendt|skickat|skickades|sent|sänt)\s(?:fra|från|med|via)\s.{{2,50}} | lähetetty\s.{{2,50}} | wysłan[eoy]\sz\s.{{2,50}}
    | отправлено\s(?:с|из)\s.{{2,50}} | надіслано\s(?:з|із)\s.{{2,50}} | odesláno\sz\s.{{2,50}} | odoslané\sz\s.{{2,50}} | poslano\s(?:iz|z|s|sa)\s.{{2,50}}
    | elküldve\s.{{2,50}} | .{{2,20}}(?:készülékemről|telefonumdan|iphone'umdan)\s.{{0,20}} | trimis\s(?:de\spe|din)\s.{{2,50}} | saadetud\sminu\s.{{2,40}}
    | στάλθηκε\sαπό\s.{{2,50}} | gửi\stừ\s.{{2,50}} | dikirim\sdari\s.{{2,50}}
    | 从我的.{{2,30}} | 從我的.{{2,30}} | 发自我的.{{2,30}} | 發自我的.{{2,30}} | 傳送自.{{2,30}} | .{{0,12}}(?:iPhone|iPad|Android)から送信 | 나의\s.{{2,20}}에서\s보냄 | 내\s.{{2,20}}에서\s보냄
    )[\s>)*_\]~.]*$""",
    re.IGNORECASE | re.VERBOSE,
)
_PLACE = re.compile(rf"(?i:{_DEVICE})\b|[A-Z0-9\[]")
_MY_PLACE = re.compile(
    r"(?:my|a|an|the)\s(?:\S{1,16}\s){0,3}?(?:[A-Z]|\S*\d|(?i:i(?:phone|pad|pod)|(?:smart|cell|mobile)?(?:phone|device|handset)"
    r"|cell|mobile|tablet|handheld|blackberry|android|computer|laptop|pc|mac)\b)",
)
_DISCLAIMER = tuple(
    """confidential|privileged|intended only|intended solely|intended recipient|intended for|notify the sender
    inform the sender|disclaimer|unauthorized|unauthorised|delete it|delete this|destroy this|destroy the|virus|vertraulich
    irrtümlich|unbefugt|bestimmungsgemäß|confidentiel|destinataire|confidencial|destinatario|riservat|destinatari
    vertrouwelijk|geadresseerde|fortrolig|konfidentiell|luottamuksell|poufn|конфиденциальн|důvěrn|before printing
    print this e-mail|print this email|in error|may contain""".replace("\n    ", "|").split("|")
)
_STOP = frozenset(
    """yes no ok okay done thanks thank please hello hi hey dear monday tuesday wednesday thursday friday saturday sunday
    january february march april may june july august september october november december today tomorrow yesterday
    none nothing never always maybe sure great perfect agreed confirmed approved regards best cheers sorry test fyi asap
    ja nein danke bitte hallo heute morgen oui non merci si sí gracias grazie open closed close urgent
    help stop unsubscribe subscribe attached update question problem error warning note enjoy bye ciao""".split()
)


def find_sign_off(lines: Sequence[str], author: Mailbox | None, whole: bool) -> int:
    """Index of the first line of the signature in a stretch of new text; ``len(lines)`` when there is none.

    ``whole``: the stretch is all the new text there is, so something of it must stay.
    """
    end = _trim(lines, len(lines))
    marked = _find_mark(lines, end)
    if marked < end and (marked == 0 or any(line.strip() for line in lines[:marked]) or not whole):
        end = marked
    end = _drop_footers(lines, _trim(lines, end))
    closing = _find_closing(lines, end, author)
    if closing < end and (any(line.strip() for line in lines[:closing]) or not whole):
        end = _drop_footers(lines, _trim(lines, closing))
    end = _drop_ornaments(lines, end)
    return end if any(line.strip() for line in lines[end:]) else len(lines)


def _trim(lines: Sequence[str], end: int) -> int:
    while end > 0 and not lines[end - 1].strip():
        end -= 1
    return end


def _find_mark(lines: Sequence[str], end: int) -> int:
    """The last "-- " that may begin a signature, or a row of dashes above contact data or a list's footer."""
    for at in range(end - 1, max(-1, end - _MAX_MARKED - 1), -1):
        line = lines[at]
        bare = line.strip(" \xa0")
        if bare in ("--", "—", "––") and line[:1] in "-—–":
            limit = _MAX_MARKED if line.startswith("-- ") else _MAX_BARE_MARK
            if end - at <= limit:
                return at
        elif len(bare) >= 5 and not bare.strip("_") or len(bare) >= 10 and not bare.strip("-"):
            rest = [text for text in lines[at + 1 : end] if text.strip()]
            glued = at > 0 and lines[at - 1].strip() != ""  # then it rather underlines a heading
            if not rest or len(rest) > 12 or (glued and not is_advert(rest[0]) and bare[0] != "_"):
                continue
            if _is_card(rest) or (bare[0] == "_" and len(rest) <= 6):
                return at
    return end


def _is_card(rest: Sequence[str]) -> bool:
    """Short lines with contact data in at least one of them: a visiting card, a list's footer."""
    if any(len(text) > 100 for text in rest):
        return False
    return any(_CONTACT.search(text.strip()) or _PHONE.search(text.strip()) or _ADVERTS.match(text) for text in rest)


def is_advert(line: str) -> bool:
    """"Sent from my iPhone" and its kin; never a sentence ("Sent from my desk, it is easier than a phone")."""
    if len(line) > 140:
        return False
    found = _ADVERTS.match(line)
    if not found:
        return False
    rest = found["rest"] or found["rest2"]
    if rest is None:
        return True
    if re.match(r"(?:my|a|an|the)\s", rest):
        return _MY_PLACE.match(rest) is not None
    return _PLACE.match(rest) is not None


def _drop_footers(lines: Sequence[str], end: int) -> int:
    """Adverts of phones and mail programs, and disclaimers, taken off the end."""
    for _ in range(40):
        end = _trim(lines, end)
        if end == 0:
            return 0
        if is_advert(lines[end - 1]):
            end -= 1
            continue
        start = end
        while start > 0 and lines[start - 1].strip() and end - start < 12:
            start -= 1
        text = " ".join(lines[start:end])
        if len(text) > 90 and start > 0 and _is_disclaimer(text[:3000].casefold()):
            end = start
            continue
        return end
    return end


def _is_disclaimer(text: str) -> bool:
    return sum(word in text for word in _DISCLAIMER) >= 3


def _drop_ornaments(lines: Sequence[str], end: int) -> int:
    """Rows of dashes and stars at the very end say nothing; a closing code fence does."""
    while end > 0:
        bare = lines[end - 1].strip(" \t\xa0ᐧ")
        if bare and (bare.strip("-_=*~+#—–") or len(bare) < 2):
            break
        end -= 1
    return end


def _find_closing(lines: Sequence[str], end: int, author: Mailbox | None) -> int:
    """First line of "Thanks,\\nBob\\n555-1234" at the end of the text; ``end`` when the text ends otherwise."""
    floor = max(0, end - _MAX_TAIL)
    words = _author_words(author)
    for at in range(end - 1, floor - 1, -1):
        line = lines[at].strip()
        if not line:
            continue
        closing = _CLOSING.match(line) if len(line) <= 80 else None
        if closing:
            rest = line[closing.end() :]
            below = [text.strip() for text in lines[at + 1 : end] if text.strip()]
            if _TAIL_OF_CLOSING.match(rest) and below and _is_names(below):
                return at
            if rest and line[closing.end() :] and _INLINE_NAME.match(rest) and _is_contact(below) and len(below) <= 4:
                return at
        if len(line) > 60 or (_SENTENCE.search(line) and not _is_contact([line])):
            break
    found = _find_name(lines, end, words)
    above = _trim(lines, found)
    if found < end and above > 0 and _PHONE.search(lines[above - 1].strip()) and _PHONE.search(lines[end - 1].strip()):
        return _find_name(lines, above, words) if _find_name(lines, above, words) < above else found
    return found


def _is_names(below: Sequence[str]) -> bool:
    """What stands below a closing: a name first, then titles, numbers, addresses; no sentences."""
    if len(below) > 10 or any(len(text) > 78 for text in below):
        return False
    if len(below[0].split()) > 5 or below[0][-1] in "?!:":
        return False
    return all(_is_label(text) or _CONTACT.search(text) or _PHONE.search(text) for text in below)


def _is_label(text: str) -> bool:
    """A name, a title, a company: few words, and most of many begin with a capital."""
    words = text.split()
    return len(words) <= 4 or (len(words) <= 9 and 2 * sum(word[:1].isupper() for word in words) >= len(words))


def _is_contact(below: Sequence[str]) -> bool:
    return all(_CONTACT.search(text) or _PHONE.search(text) for text in below)


def _author_words(author: Mailbox | None) -> frozenset[str]:
    if author is None:
        return frozenset()
    local = author.address.partition("@")[0]
    return frozenset(word for word in re.split(r"[\W_\d]+", f"{author.name} {local}".casefold()) if len(word) > 1)


def _find_name(lines: Sequence[str], end: int, author: frozenset[str]) -> int:
    """A name, alone or with titles and numbers below it, as the last paragraph."""
    start = end
    while start > 0 and lines[start - 1].strip() and end - start <= 7:
        start -= 1
    block = [line.strip() for line in lines[start:end]]
    if not block or start == 0:
        return _find_glued_name(lines, start, end, author)
    if len(block) == 1 and _SLASHED.match(block[0]) and _is_name(block[0].lstrip("-–—~/ "), author, strict=False):
        return start
    if len(block) <= 6 and all(len(text) <= 60 for text in block):
        first = _is_name(block[0], author, strict=True)
        rest = block[1:]
        if first and (not rest or _is_contact(rest[-1:]) or (len(rest) <= 3 and all(_is_title(text) for text in rest))):
            return start
        if len(block) <= 3 and _is_contact(block) and any("@" in text for text in block) and any(_PHONE.search(t) for t in block):
            return start
        if len(block) == 2 and _is_title(block[0]) and _PHONE.fullmatch(block[1]):
            return start
    return _find_glued_name(lines, start, end, author)


def _find_glued_name(lines: Sequence[str], start: int, end: int, author: frozenset[str]) -> int:
    """A name in the line right below the last sentence: "Give us a call sometime.\\nBryn"."""
    if end - 2 < start or end < 2:
        return end
    last, above = lines[end - 1].strip(), lines[end - 2].rstrip()
    if len(last.split()) == 1 and (above.endswith((".", "!", "?")) or author) and _is_name(last, author, strict=True):
        return end - 1
    return end


def _is_title(text: str) -> bool:
    """"Vice President, Enron North America", "Realtime", "via mobile": few words, no sentence."""
    return len(text.split()) <= 7 and text[-1:] not in ".!?:;" and (text[:1].isupper() or text.startswith("via "))


def _is_name(text: str, author: frozenset[str], strict: bool) -> bool:
    """One to three words that begin with a capital and are no ordinary word; the author's own name is always one."""
    words = text.strip(" ,*_").split()
    if not 1 <= len(words) <= 4 or not all(_NAME_WORD.match(word) for word in words):
        return False
    folded = [word.casefold().strip(".") for word in words]
    if author and any(word in author for word in folded):
        return True
    if text.endswith(".") and len(words[-1]) > 3 or _CLOSING.fullmatch(text.strip(" ,.!")):
        return False
    if any(word in _STOP for word in folded) or len(text) > 40:
        return False
    if strict and not words[0][:1].isupper():
        return False
    capital = sum(word[:1].isupper() for word in words)
    return capital == len(words) or (len(words) >= 3 and words[1] in ("and", "und", "&", "et", "y") and capital >= 2)
