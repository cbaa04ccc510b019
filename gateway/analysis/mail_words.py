"""The words mail clients write around quoted and forwarded mail, by language. Data only, all casefolded.

Field labels of quoted headers, the phrases between dashes, and the verb of an attribution line ("On … Bob wrote:").
A word that is missing costs recall only: every reader of these tables also wants the shape around the word.
"""

from __future__ import annotations

import re


def fold(phrase: str) -> str:
    """How phrases are compared: without case, Turkish dots, typographic apostrophes."""
    return phrase.strip().casefold().replace("\u0307", "").replace("\u2019", "'")


def _phrases(table: str) -> list[str]:
    """The entries of a table: divided by "|" or by line ends."""
    return [fold(phrase) for phrase in table.replace("\n", "|").split("|") if phrase.strip()]


_LABELS = {
    "from": """
        from|author|von|de|da|van|od|ot|от|від|від кого|от кого|отправитель|відправник|fra|från|frá|lähettäjä
        feladó|gönderen
        kimden|saatja|expéditeur|expediteur|mittente|remitente|remetente|de la|expeditor|expeditorul|šalje|pošiljatelj
        pošiljalac|odesílatel|odosielateľ|nadawca|από|αποστολέας|发件人|發件人|寄件者|寄件人|差出人|送信者|보낸 사람
        보낸사람|발신
        מאת|من|จาก|từ|người gửi|dari|daripada|pengirim|nuo|siuntėjas|no|sūtītājs|sender|afsender|avsender|avsändare
        afzender|absender|از""",
    "date": """
        sent|date|gesendet|gesendet am|datum|envoyé|envoyé le|enviado|enviado el|enviado em|enviada|enviada em|data
        fecha|enviat|enviat el
        inviato|data invio|verzonden|wysłano|data wysłania|отправлено|дата|дата отправки|надіслано|sendt|dato
        sendt den
        skickat|skickad|lähetetty|päivämäärä|päiväys|pvm|elküldve|dátum|küldve|küldés dátuma|gönderildi|tarih
        gönderme tarihi|gönderim tarihi|saadetud|kuupäev|trimis|dată|data trimiterii|poslano|poslato|odesláno|odoslané
        dne|发送时间|發送時間|发送日期|日期|寄件日期|傳送時間|时间|送信日時|日付|日時|보낸 날짜|보낸날짜|날짜|작성일
        ημερομηνία|στάλθηκε|εστάλη|изпратено|послато|датум|נשלח|נשלח ב|תאריך|تاريخ|التاريخ|تم الإرسال|الإرسال
        ارسال شده
        วันที่|ส่ง|đã gửi|ngày|tanggal|dikirim|dihantar|tarikh|išsiųsta|nosūtīts|datums|data i ora|bidaltze-data
        dags|dagsetning|sent at|sendt dato|posted at""",
    "to": """
        to|an|à|a|para|pour|aan|do|кому|до|til|till|vastaanottaja|címzett|kime|alıcı|alıcılar|saaja|adresat
        адресат|destinataire|destinataires|destinatario|destinatari|destinatário|destinatarul|către|catre|pro|komu
        prima
        za|pre|収信者|收件人|收件者|宛先|받는 사람|받는사람|수신|προς|אל|إلى|ถึง|tới|đến|người nhận|kepada|kam|kas
        gavėjas|ontvanger|empfänger|mottagare|modtager|mottaker|per|до кого|получатель|to whom|per a""",
    "cc": """
        cc|kopie|kopie (cc)|copie|copie à|cópia|cópia oculta|kopi|kopia|kópia|kopio|copia|con copia|másolat|bilgi|dw
        udw
        копия|копія|抄送|副本|참조|κοιν|κοινοποίηση|bcc|cci|cco|ccn|blindkopie|skrytá kopie|másolatot kap|عين|نسخة
        עותק
        สำเนา|tembusan|tembusan (cc)|đồng kính gửi|kópia (cc)|c.c.|salin|cópia para""",
    "subject": """
        subject|betreff|betr|objet|sujet|oggetto|asunto|assunto|onderwerp|temat|тема|emne|ämne|aihe|tárgy|konu|teema
        subiect|subiectul|predmet|předmět|vec|naslov|zadeva|tēma|主题|主題|主旨|標題|标题|件名|제목|θέμα|относно
        предмет|נושא|הנדון
        الموضوع|เรื่อง|chủ đề|tiêu đề|perihal|subjek|subyek|tema|efni|assumpte|gaia|موضوع|tematas|temats""",
    "reply-to": """
        reply-to|reply to|antwort an|antworten an|répondre à|responder a|responder para|responder|rispondi a|risposta
        antwoord aan|beantwoorden|odpowiedź do|odpowiedz do|vastausosoite|vastaa|svar til|svar till|svara till|yanıtla
        yanıt adresi|válaszcím|odpovědět|odpověď komu|odgovori na|răspuns la|обратный адрес|ответить|回复|回覆
        返信先""",
    "other": """
        importance|wichtigkeit|priorität|priority|prioridad|importancia|importância|importanza|importance haute
        prioritet
        attachments|attachment|anlagen|anhänge|pièces jointes|allegati|adjuntos|anexos|bijlagen|vedlegg|bilagor
        organization|organisation|newsgroups|sensitivity|vertraulichkeit|follow up flag|flag status|categories
        重要度|附件|添付ファイル|vedhæftede filer|vedhæftet fil|przesłane przez|on behalf of|resent-from|resent-to
        mailing list|list|account|folder|signed by|mailed by|mailed-by|signed-by|security""",
}

LABELS: dict[str, str] = {label: kind for kind, words in _LABELS.items() for label in _phrases(words)}
"""Label of a quoted header field -> from, date, to, cc, subject, reply-to, other."""

MAX_LABEL = max(map(len, LABELS))

RAW_FIELDS = frozenset(
    (
        "received",
        "return-path",
        "delivered-to",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "in-reply-to",
        "references",
        "dkim-signature",
        "authentication-results",
        "received-spf",
        "user-agent",
        "x-mailer",
        "x-originating-ip",
        "x-spam-status",
        "x-spam-level",
        "x-spam-score",
        "envelope-to",
        "arc-seal",
        "list-id",
        "list-unsubscribe",
        "errors-to",
    )
)
"""Fields no client copies into a quoted header: where they stand, somebody pasted a raw header."""

ORIGINAL = frozenset(
    _phrases(
        """
    original message|original mail|original email|original message follows|reply separator|reply message
    original|ursprüngliche nachricht
    urspruengliche nachricht
    originalnachricht|original-nachricht|originale nachricht|antwort nachricht|ursprüngliche mail|ursprüngliche e-mail
    message d'origine|message original|message initial|message originel|mensaje original|mensagem original
    messaggio originale|messaggio originario|messaggio di origine|oorspronkelijk bericht|oorspronkelijke bericht
    origineel bericht|oprindelig meddelelse|original meddelelse|oprindelig besked|opprinnelig melding
    original melding|opprinnelig e-post|ursprungligt meddelande|originalmeddelande|ursprungsmeddelande
    alkuperäinen viesti|oryginalna wiadomość|wiadomość oryginalna|wiadomość pierwotna|исходное сообщение
    оригинальное сообщение|первоначальное сообщение|вихідне повідомлення|оригінальне повідомлення|původní zpráva
    původní e-mail|původní mail|pôvodná správa|originalna poruka|izvorna poruka|originalno sporočilo|izvirno sporočilo
    eredeti üzenet|eredeti levél|mesaj original|mesajul original|özgün ileti|orijinal mesaj|orijinal ileti|algne sõnum
    algne kiri|originalus laiškas|sākotnējais ziņojums|αρχικό μήνυμα|оригинално съобщение|оригинална порука
    thông báo ban đầu|thư gốc|tin nhắn gốc|pesan asli|mesej asal|原始邮件|原邮件|原始郵件|原始訊息|元のメッセージ
    オリジナル メッセージ|オリジナルメッセージ|원본 메시지|원본 메일|ข้อความต้นฉบับ|الرسالة الأصلية|رسالة أصلية
    הודעה מקורית
    missatge original|jatorrizko mezua|mensaxe orixinal|پیام اصلی|upphafleg skilaboð"""
    )
)
"""What stands between dashes above the mail that is answered."""

FORWARDED = frozenset(
    _phrases(
        """
    forwarded message|forwarded mail|forwarded email|forwarded by|begin forwarded message|forward message
    start of forwarded message|begin forwarded text|begin included message|forwarded text|weitergeleitete nachricht
    weitergeleitete mail|anfang der weitergeleiteten nachricht
    anfang der weitergeleiteten e-mail|message transféré|message réexpédié|message transmis
    début du message réexpédié|début du message transféré|début du message transmis|mensaje reenviado
    inicio del mensaje reenviado|mensagem encaminhada|mensagem reencaminhada|início da mensagem encaminhada
    início da mensagem reencaminhada|messaggio inoltrato|inizio messaggio inoltrato|inizio del messaggio inoltrato
    doorgestuurd bericht|doorgestuurde bericht|begin doorgestuurd bericht|videresendt meddelelse|videresendt besked
    videresendt melding|videresendt e-post|start på videresendt besked|start på videresendt melding
    vidarebefordrat meddelande|vidarebefordrat mejl|vidarebefordrat brev|välitetty viesti|välitetty viesti alkaa
    välitetty viesti / fwd.msg|przekazana wiadomość|wiadomość przekazana|treść przekazanej wiadomości
    początek przekazywanej wiadomości|przesłana dalej wiadomość|пересылаемое сообщение|переадресованное сообщение
    пересланное сообщение|пересланное письмо|перенаправленное сообщение|начало переадресованного сообщения
    начало переадресованного письма|переслане повідомлення|перенаправлене повідомлення|початок листа, що пересилається
    переадресоване повідомлення|přeposlaná zpráva|přeposlaný e-mail|začátek přeposílané zprávy|preposlaná správa
    začiatok preposlanej správy|proslijeđena poruka|prosleđena poruka|započni proslijeđenu poruku
    posredovano sporočilo|začetek posredovanega sporočila|továbbított üzenet|továbbított levél
    továbbított levél kezdete|mesaj redirecționat|mesaj redirectionat|mesaj transmis mai departe
    începe mesajul redirecționat|iletilen ileti|iletilen mesaj|iletilmiş mesaj|yönlendirilen mesaj
    yönlendirilmiş ileti
    ileti başlangıcı|iletilen ileti başlangıcı|edastatud kiri|edastatud sõnum|persiųstas laiškas
    pārsūtītais ziņojums|προωθημένο μήνυμα|έναρξη προωθημένου μηνύματος|препратено съобщение|прослеђена порука
    thư được chuyển tiếp|thư đã chuyển tiếp|pesan terusan|pesan diteruskan|mesej dimajukan|转发的邮件|轉寄的郵件
    转发邮件
    下面是被转发的邮件|以下是轉寄的郵件|转发邮件信息|轉寄郵件|転送されたメッセージ|転送メッセージ|전달된 메시지
    전달된 메일
    ข้อความที่ส่งต่อ|رسالة تمت إعادة توجيهها|رسالة معاد توجيهها|הודעה שהועברה|missatge reenviat|birbidalitako mezua
    mensaxe reenviada|forwarded message follows|پیام هدایت‌شده|áframsend skilaboð|forwarded"""
    )
)
"""What stands between dashes, or alone before a colon, above a forwarded mail."""

_VERBS = r"""
    wrote|writes|said|says|sent|schrieb|schreibt|geschrieben|a[ ]?écrit|a[ ]ecrit|écrivait|écrit|escribió|escribio|
    ha[ ]escrito|escreveu|ha[ ]scritto|scrive|scriveva|scrisse|schreef|skrev|skreiv|kirjoitti|napisał(?:\(a\)|a)?|
    pisze|написал(?:\(а\)|а)?|пишет|писал(?:а)?|написав(?:\(-ла\)|\(ла\))?|написала|пише|napsal(?:\(a\)|/a|a)?|
    napísal(?:\(a\)|a)?|píše|napisao(?:/la|[ ]je)?|je[ ]napisa[lo](?:/la|\(a\)|a)?|је[ ]написа[ол]|írta|ezt[ ]írta|irta|
    a[ ]scris|şunları?[ ]yazdı|şunu[ ]yazdı|şöyle[ ]yazdı|yazdı|kirjutas|rašė|parašė|rakstīja|έγραψε|написа|
    va[ ]escriure|ha[ ]escrit|escribiu|idatzi[ ]du|đã[ ]viết|menulis|skrifaði|написао|ने[ ]लिखा"""
_VERBS_CJK = (
    r"写道|寫道|写信|寫信|のメッセージ|書きました|のメール|さんは書|からの引用"
    r"|님이[ ]작성|님이[ ]쓴[ ]글|작성했습니다|작성:|썼습니다"
    r"|เขียน|كتب|כתבה?|نوشت"
)

WROTE = re.compile(rf"(?<!\w)(?:{_VERBS})(?!\w)|{_VERBS_CJK}", re.IGNORECASE | re.VERBOSE)
"""The verb of an attribution line."""

REPLY_PREFIX = re.compile(
    r"\s*(?:\[[^\]]{1,40}\]\s*)?(?:re|aw|sv|antw|antwort|odp|ynt|yan|res|r|vá|ref|atb|bls|σχετ|απ|回复|回覆|答复|답장|返信|"
    r"ответ|відп)\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[:：]",
    re.IGNORECASE,
)
"""The subject of a mail that answers."""
