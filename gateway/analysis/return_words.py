"""Words of away notices that stand beside a date, and the months, in the languages of the world's mail programs.

Everything is compared as ``fold`` makes it: lower case, without accents. Cues are regular expressions on such text.
"""

from __future__ import annotations

import unicodedata

_PLAIN = str.maketrans({"ı": "i", "’": "'", "‘": "'", "ʼ": "'", "đ": "d", "～": "-", "〜": "-"})


def fold(text: str) -> str:
    """Without case, accents and typographic apostrophes; full-width digits as plain ones."""
    parts = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    # Hangul falls apart as well, and is put together again.
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c))).casefold()


# A line a month, January first: the nominative, the case that stands beside a day, abbreviations. What is another
# word as well (Portuguese "out", "set") is left out, and so is "listopada", October in Croatian and November in Polish.
_MONTHS = """
january jan januar januari janvier janv enero ene janeiro gennaio jänner stycznia styczeń leden ledna január januára januarja ianuarie ocak oca ιανουαρίου ιανουάριος январь января янв січня січень януари јануар јануара sausio sausis janvāris janvārī jaanuar jaanuari jaanuarini tammikuuta tammikuu gener มกราคม ינואר בינואר يناير जनवरी siječnja siječanj
february feb februar februari février fevr févr febrero fevereiro febbraio lutego luty únor února február februára februarja februarie şubat φεβρουαρίου φεβρουάριος февраль февраля фев лютого лютий февруари фебруар фебруара vasario vasaris februāris februārī veebruar veebruari veebruarini helmikuuta helmikuu febrer กุมภาพันธ์ פברואר בפברואר فبراير फरवरी veljače veljača
march mar märz mars marzo março marco maart marts marca marzec březen března marec március martie mart μαρτίου μάρτιος март марта мар березня березень kovo kovas märts märtsi märtsini maaliskuuta maaliskuu maret มีนาคม מרץ במרץ مارس मार्च ožujka ožujak
april apr avril avr abril abr aprile kwietnia kwiecień duben dubna apríl apríla aprila április aprilie nisan απριλίου απρίλιος апрель апреля апр квітня квітень април априла balandžio balandis aprīlis aprīlī aprill aprilli aprillini huhtikuuta huhtikuu เมษายน אפריל באפריל أبريل अप्रैल travnja travanj
may mai mayo maio maggio mei maj maja květen května máj mája május mayıs μαΐου μάιος май мая травня травень мај маја gegužės gegužė maijs maijā toukokuuta toukokuu maig พฤษภาคม מאי במאי مايو मई svibnja svibanj
june jun juni juin junio junho giugno czerwca czerwiec červen června jún júna junija június iunie haziran ιουνίου ιούνιος июнь июня июн червня червень юни јун јуна birželio birželis jūnijs jūnijā juuni juunini kesäkuuta kesäkuu juny มิถุนายน יוני ביוני يونيو जून lipnja lipanj
july jul juli juillet juil julio julho luglio lipca lipiec červenec července júl júla julija július iulie temmuz ιουλίου ιούλιος июль июля июл липня липень юли јул јула liepos liepa jūlijs jūlijā juuli juulini heinäkuuta heinäkuu juliol กรกฎาคม יולי ביולי يوليو जुलाई srpnja srpanj
august aug août aout agosto ago augustus augusti sierpnia sierpień srpen srpna augusta avgusta augusztus ağustos αυγούστου αύγουστος август августа авг серпня серпень август августа rugpjūčio rugpjūtis augusts augustā augustini elokuuta elokuu agost agustus สิงหาคม אוגוסט באוגוסט أغسطس अगस्त kolovoza kolovoz
september sep sept septembre septiembre setembro settembre września wrzesień září septembra septembrie szeptember eylül σεπτεμβρίου σεπτέμβριος сентябрь сентября сен сент вересня вересень септември септембар септембра rugsėjo rugsėjis septembris septembrī septembri septembrini syyskuuta syyskuu setembre กันยายน ספטמבר בספטמבר سبتمبر सितंबर rujna rujan
october oct oktober okt octobre octubre outubro ottobre października październik říjen října október októbra oktobra octombrie ekim οκτωβρίου οκτώβριος октябрь октября окт жовтня жовтень октомври октобар октобра spalio spalis oktobris oktobrī oktoober oktoobri oktoobrini lokakuuta lokakuu ตุลาคม אוקטובר באוקטובר أكتوبر अक्टूबर
november nov novembre noviembre novembro listopad listopadu novembra noiembrie kasım νοεμβρίου νοέμβριος ноябрь ноября ноя листопада ноември новембар новембра lapkričio lapkritis novembris novembrī novembri novembrini marraskuuta marraskuu พฤศจิกายน נובמבר בנובמבר نوفمبر नवंबर studenoga studenog studeni
december dec dezember dez décembre diciembre dic dezembro dicembre desember grudnia grudzień prosinec prosince decembra decembrie aralık δεκεμβρίου δεκέμβριος декабрь декабря дек грудня грудень декември децембар децембра gruodžio gruodis decembris decembrī detsember detsembri detsembrini joulukuuta joulukuu desembre ธันวาคม דצמבר בדצמבר ديسمبر दिसंबर prosinca prosinac
"""  # noqa: E501  a table
_POLISH = fold("listopada")

MONTHS: dict[str, int] = {
    fold(word): number for number, line in enumerate(_MONTHS.strip().split("\n"), 1) for word in line.split()
}


def months_of(text: str) -> dict[str, int]:
    """The months as this text names them: "listopada" is November where the letters or words are Polish."""
    polish = any(letter in text for letter in "łęąśŁĘĄŚ")
    return MONTHS | ({_POLISH: 11} if polish else {})


def _alternatives(words: str) -> str:
    found = {fold(word.strip()) for line in words.strip().split("\n") for word in line.split("|") if word.strip()}
    return "|".join(word.replace(" ", r"\s+") for word in sorted(found, key=len, reverse=True))


ENGLISH_UNTIL = _alternatives("until|untill|till|through|thru|up to|up until")
# Before the date. What begins a word in languages that write without blanks stands in the second list.
UNTIL = _alternatives(
    """
    bis|bis zum|jusqu'au|jusqu au|jusqu'à|jusqu'en|hasta|até|fino al|fino all'|fino a|sino al|fins al|fins el
    tot|tot en met|t/m|till och med|t\\.o\\.m\\.|tom|til og med|t\\.o\\.m|til|fram til|frem til|indtil|þar til|tills
    do|do dnia|až do|po|до|до конца|по|включительно до|pana la|până la|până pe|până în|sve do|do vključno
    iki|līdz|kuni|έως|μέχρι|ως τις|hingga|sampai|sehingga|cho đến|đến ngày|đến hết|đến|deri më
    """
)
UNTIL_JOINED = _alternatives("直到|直至|到|至|จนถึง|ถึง|עד|حتى|إلى|الى")
# After the date: まで, 까지, Turkish "'a kadar", Finnish "asti", Hungarian "-ig".
UNTIL_AFTER = _alternatives("まで|까지|तक|kadar|asti|saakka|-ig")

ENGLISH_BACK = _alternatives("back(?!\\s+to\\s+you)|return|returning|available again|reachable again|resume|resuming")
BACK = _alternatives(
    """
    wieder|zurück|rückkehr|zurückkehren|zurückkehre|retour|reviens|reviendrai|rentre|rentrerai|à nouveau|de nouveau
    vuelvo|volveré|regreso|regresaré|vuelta|reincorporo|reincorporaré|retorno|volto|voltarei|regresso|regressarei
    retornarei|retorno|de volta|torno|tornerò|ritorno|rientro|rientrerò|di nuovo|tornaré|tornada|terug|weer|tillbaka
    åter|återkommer|tilbage|tilbake|igen|palaan|takaisin|jälleen|wracam|wrócę|powrót|powrocie|z powrotem|ponownie
    zpět|vrátím|návrat|návratu|opět|späť|opäť|vissza|visszatérek|újra|ismét|revin|mă întorc|înapoi|voi reveni|revenire
    döneceğim|dönüyorum|dönüş|tekrar|geri|επιστρέφω|επιστρέψω|επιστροφή|πίσω|ξανά|вернусь|возвращаюсь|возвращение
    выйду|выхожу|снова|повернуся|повернення|знову|връщам|върна|отново|vraćam|vratit|vraćam se|vrnem|nazaj|ponovno|natrag
    grįšiu|grįžtu|atgriezīšos|atgriežos|tagasi|aftur|kembali|trở lại|quay lại
    """
)
BACK_JOINED = _alternatives(
    """
    กลับ|אחזור|חוזר|חוזרת|אשוב|חזרתי|سأعود|أعود|العودة|عودتي|वापस|लौट|返回|回来|回來|回到|上班|恢复|恢復
    出社|戻り|復帰|出勤|복귀|돌아|출근
    """
)
# Before the first of two dates, and between the two.
FROM = _alternatives(
    """
    from|vom|von|ab|du|del|desde|de|dal|dall'|van|från|fra|frå|od|od dnia|ode dne|с|со|з|із|від|от|nuo|no|alates
    από|din|dari|từ|mula|между|between|zwischen|entre|tra|mellan|mellem|mellom
    """
)
TO = _alternatives(
    """
    to|and|until|till|through|thru|bis|bis zum|au|al|all'|à|ao|a|al|tot|t/m|tot en met|till|til|do|až do|do dnia|po|по
    до|und|et|y|e|en|och|og|i|und dem|la|până la|până pe|iki|līdz|kuni|έως|μέχρι|sampai|hingga|đến
    """
)
# An absence is spoken of. Stems.
AWAY = _alternatives(
    """
    away|absen|out of|be out|am out|'m out|not in the office|leave|holiday|vacation|travel|unavailable|not available
    limited access|closed|no access|off work|urlaub|abwesen|nicht im|nicht erreichbar|nicht da|nicht zu erreichen
    außer haus|unterwegs|geschlossen|elternzeit|congé|vacances|fermé|indisponible|hors du|déplacement|vacacion|ausen
    fuera|cerrad|permiso|baja|férias|fora d|ausênc|fechad|licença|assen|ferie|fuori|chius|vakantie|afwezig
    niet aanwezig|niet op kantoor|verlof|gesloten|vrij|semester|frånvar|ledig|inte på|borta|stängt|bortreist|fravær
    ikke på|permisjon|orlov|lukket|stengt|loma|poissa|tavoitettav|toimistol|urlop|nieobec|poza biur|niedostępn
    dovolen|nepřítom|mimo|zavřen|neprítom|szabads|távol|házon kívül|concediu|lipsesc|plecat|izin|tatil|ofis|αδεια
    εκτός|απουσ|διακοπ|отпуск|отсутств|не буду|меня не|нет на|недоступ|командиров|відпус|відсутн|мене не|поза офіс
    отсъств|извън|odmor|odsut|dopust|odsot|godišnj|atostog|nebūsiu|nėra|atvaļināj|prombūtn|puhkus|kontorist|ei ole
    cuti|luar kantor|nghỉ|vắng mặt|fríi|leyfi|休|不在|外出|出差|夏季|年末年始|부재|휴가|출장|ลา|ไม่อยู่|חופש|משרד
    إجاز|خارج|غائب
    छुट्टी|अवकाश
    """
)
