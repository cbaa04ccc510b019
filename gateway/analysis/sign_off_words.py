"""The words people and programs end mails with, by language: closings, adverts of phones, disclaimers. Data only."""

from __future__ import annotations

import re

CLOSING = re.compile(
    r"""(?:(?:many|with)\s)?(?:thanks?(?:\s(?:you|again|a\slot|so\smuch|very\smuch|in\sadvance|and\sregards
    |for\syour\s\w+))*
    |thx|cheers|ta|(?:(?:with|kind|kindest|warm|warmest|best|my\sbest|all\sthe\sbest|yours)\s?)*(?:regards?|wishes
    |greetings)|rgds|br|kr
    |yours(?:\s(?:sincerely|truly|faithfully))?|sincerely(?:\syours)?|respectfully|cordially|faithfully|best
    |take\scare|love|xoxo
    |(?:your|ur)\s(?:pal|friend)|see\s(?:you|ya)|talk\ssoon
    |(?:mit\s)?(?:(?:freundlichen|freundliche|besten|beste|vielen|viele|herzlichen|herzliche|lieben|liebe|schönen
    |schöne|sonnigen?)\s)+(?:grü(?:ß|ss)en?|dank)
    |grü(?:ß|ss)e|gru(?:ß|ss)|lg|mfg|vg|bg|danke|vielen\sdank|hochachtungsvoll
    |cordialement|bien\s(?:cordialement|à\s(?:vous|toi))|(?:très\s)?amicalement|(?:meilleures|sincères)\ssalutations
    |salutations|merci(?:\s(?:beaucoup|d'avance))?|bonne\sjournée|cdlt
    |(?:un\s)?(?:(?:cordial|atento)\s)?saludos?(?:\scordial(?:es)?)?|atentamente|gracias|muchas\sgracias|un\sabrazo
    |(?:cordiali|distinti|cari)\ssaluti|saluti|grazie(?:\smille)?|un\ssaluto|cordialmente
    |atenciosamente|cumprimentos|(?:melhores|com\sos\smelhores)\scumprimentos|obrigad[oa]|abraços?|att
    |(?:met\s)?(?:vriendelijke|hartelijke|beste)\sgroet(?:en)?|groet(?:en|jes)?|mvg|bedankt|alvast\sbedankt
    |(?:med\s)?(?:(?:venlig|vänlig|vennlig|bedste|beste|bästa|mange|varme|varma|kærlig|hjertelig)(?:e
    |a)?\s)+(?:hilsen|hilsner|hälsning|hälsningar)|hilsen|hälsningar|mvh|vh|kh|dbh|tack|takk?|tak\spå\sforhånd|tak
    |(?:ystävällisin|parhain)\sterveisin|terveisin|kiitos|kiittäen|t
    |(?:z\s)?(?:poważaniem|powazaniem|wyrazami\sszacunku)|pozdrawiam(?:\sserdecznie)?|pozdrowienia|dziękuję|dzięki
    |(?:с\s)?(?:наилучшими\sпожеланиями|уважением)|спасибо|з\sповагою|дякую|поздрав(?:и)?
    |(?:s\s)?(?:pozdravem|přátelským\spozdravem|pozdravom)|děkuji|ďakujem|(?:lijep|srdačan)\spozdrav|pozdrav|hvala|lp
    |üdvözlettel|tisztelettel|köszönöm|üdv|cu\s(?:stimă|respect)|mulțumesc|saygılarımla|iyi\sçalışmalar|teşekkürler
    |parimate\ssoovidega|lugupidamisega|pagarbiai
    |με\s(?:εκτίμηση|φιλικούς\sχαιρετισμούς)|ευχαριστώ|trân\strọng|salam|hormat\s(?:saya|kami)
    |此致|敬具|よろしくお願いいたします|以上、?よろしくお願いいたします|감사합니다|谢谢|祝好
    |בברכה|בכבוד\sרב|תודה(?:\sרבה)?|مع\s(?:أطيب\s)?(?:التحية|التحيات|تحياتي)|تحياتي|شكر[اً]+)(?=[\s,،.!;:)~–—-]*$|[,.!–—-]+\s)""",
    re.IGNORECASE | re.VERBOSE,
)
_DEVICE = (
    r"(?:my|a|an|the|mobile|cell|phone|smart|tablet|ipad|iphone|ipod|blackberry|android|galaxy|samsung|windows|"
    r"outlook|yahoo|mail(?:box)?|airmail|proton\w*|spark|hey|huawei|xiaomi|nokia|htc|aol|gmail|thunderbird|device|"
    r"handheld|wireless)"
)
ADVERTS = re.compile(
    r"""[\s<(*_\[~-]*(?:
      (?:sent|send|written)\s(?:(?:securely\s)?(?:from|via|with|using|by)\s)+(?P<rest>.{2,90})
    | from\smy\s(?P<rest2>.{2,40})
    | \w{1,20}\sfrom\s(?:my\s)?mobile | via\smobile
    | get\s\[?outlook\s for .{0,60} | download\s.{0,20}\bapp\b.{0,20} | outlook\sfor\s(?:ios|android|mac).{0,40}
    | (?:von|aus)\s(?:meinem|meiner|unterwegs|mobil).{0,50}\bgesendet | (?:gesendet|geschickt|verschickt)\s(?:von|mit
    |aus|über)\s.{2,50}
    | diese\s(?:nachricht|e-?mail|mail)\swurde\svon\s.{2,70}\bgesendet
    | (?:envoyé|envoye)\s(?:depuis|de|à\spartir|avec|via)\s.{2,50} | (?:enviado|enviada)\s(?:desde|de|do|a\spartir
    |con|com|via)\s.{2,50}
    | obtener\soutlook\s.{0,40} | télécharger\soutlook\s.{0,40} | obter\so\soutlook\s.{0,40}
    | holen\ssie\ssich\soutlook\s.{0,40}
    | outlook\sfür\s(?:ios|android)\s.{0,60}
    | inviato\s(?:da|dal|con|tramite)\s.{2,50} | (?:verzonden|verstuurd)\s(?:met|vanaf|via|vanuit)\s.{2,50}
    | (?:sendt|skickat|skickades|sent|sänt)\s(?:fra|från|med|via)\s.{2,50} | lähetetty\s.{2,50}
    | wysłan[eoy]\sz\s.{2,50}
    | отправлено\s(?:с|из)\s.{2,50} | надіслано\s(?:з|із)\s.{2,50} | odesláno\sz\s.{2,50} | odoslané\sz\s.{2,50}
    | poslano\s(?:iz|z|s|sa)\s.{2,50}
    | ip(?:hone|ad)['’]?[ui]mdan\sgönderildi
    | elküldve\s.{2,50} | .{2,20}(?:készülékemről|telefonumdan|iphone'umdan)\s.{0,20} | trimis\s(?:de\spe
    |din)\s.{2,50} | saadetud\sminu\s.{2,40}
    | στάλθηκε\sαπό\s.{2,50} | gửi\stừ\s.{2,50} | dikirim\sdari\s.{2,50}
    | 从我的.{2,30} | 從我的.{2,30} | 发自我的.{2,30} | 發自我的.{2,30} | 傳送自.{2,30}
    | .{0,12}(?:iPhone|iPad|Android)から送信
    | 나의\s.{2,20}에서\s보냄 | 내\s.{2,20}에서\s보냄
    )[\s>)*_\]~.]*$""",
    re.IGNORECASE | re.VERBOSE,
)
PLACE = re.compile(
    rf"(?i:{_DEVICE})\b|[\[(]|(?:(?:[A-Z0-9]\S*|for|on|by|the|my|mobile|mail|app|client|with|an?|<\S+>)"
    r"(?:\s+|$)){1,7}$"
)
MY_PLACE = re.compile(
    r"(?:my|a|an|the)\s(?:\S{1,16}\s){0,3}?(?:[A-Z]|\S*\d|(?i:i(?:phone|pad|pod)|(?:smart|cell|mobile)?"
    r"(?:phone|device|handset)|cell|mobile|tablet|handheld|blackberry|android|computer|laptop|pc|mac)\b)",
)
DISCLAIMER = tuple(
    """confidential|privileged|intended only|intended solely|intended recipient|intended for|notify the sender
    inform the sender|disclaimer|unauthorized|unauthorised|delete it|delete this|destroy this|destroy the|virus
    vertraulich
    irrtümlich|unbefugt|bestimmungsgemäß|confidentiel|destinataire|confidencial|destinatario|riservat|destinatari
    vertrouwelijk|geadresseerde|fortrolig|konfidentiell|luottamuksell|poufn|конфиденциальн|důvěrn|before printing
    print this e-mail|print this email|in error|may contain""".replace("\n    ", "|").split("|")
)
"""Three different ones in the last paragraph make a disclaimer."""

FOREIGN = re.compile(
    r"/listinfo\b|unsubscri|mailing.?list|list (?:maintainer|archives?|info)"
    r"|(?:google|yahoo|freelists)\.?(?:com)?/?groups?"
    r"|groups\.google|posting guidelines|is sponsored by|do you yahoo|get your (?:own |free |private,? ){1,3}e-?mail"
    r"|(?:désabonner|désinscri|abbestell|abmelden von der|austragen|afmelden|odhlás|отписаться)",
    re.IGNORECASE,
)
"""Somebody else's lines at the end of a mail: a list, a sponsor, a free mailer. The author's stand above them."""

NO_NAMES = frozenset(
    """
    yes no ok okay done thanks thank please hello hi hey dear monday tuesday wednesday thursday friday saturday
    sunday january february march april may june july august september october november december today tomorrow
    yesterday none nothing never always maybe sure great perfect agreed confirmed approved regards best cheers
    sorry test fyi asap ja nein danke bitte hallo heute morgen oui non merci si sí gracias grazie open closed
    close urgent help stop unsubscribe subscribe attached update question problem error warning note enjoy bye
    ciao
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
"""Single words that end a text without being anybody's name."""
