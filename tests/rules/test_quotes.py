"""New text, quoted history and signature of a reply (mail.md 12.1, security.md 12.1: evidence, not shape)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.analysis.html import html_to_text
from gateway.analysis.quotes import split_body
from gateway.model import Body, Mailbox, Message, Said
from tests.support.quoting import ATTRIBUTIONS, HEADERS


def split(text: str, *known: str, subject: str = "", author: Mailbox | None = None) -> Body:
    return split_body(Message(text=text, text_source="plain", subject=subject, author=author), _ours(known))


def split_html(html: str, *known: str) -> Body:
    return split_body(Message(text=html_to_text(html), html=html, text_source="html"), _ours(known))


def _ours(texts: Iterable[str]) -> list[Said]:
    return [Said(text=text, ours=True) for text in texts]


# ------------------------------------------------------------------ attributions


@pytest.mark.parametrize("attribution", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS.keys())
def test_an_attribution_with_quote_marks_below_goes_with_the_quote(attribution: str) -> None:
    body = split(f"Please try again.\n\n{attribution}\n> It is broken.\n> Really.\n")
    assert body.new == "Please try again."
    assert body.quoted == f"{attribution}\n> It is broken.\n> Really."


@pytest.mark.parametrize("attribution", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS.keys())
def test_an_attribution_without_quote_marks_below_begins_the_history(attribution: str) -> None:
    body = split(f"Please try again.\n\n{attribution}\n\nIt is broken.\n\nReally.\n")
    assert body.new == "Please try again."
    assert body.source == "attribution"


@pytest.mark.parametrize(
    "prose",
    [
        "On Friday I will be away.\nPlease wait.",
        "On 3 March 2026 I wrote to you about this:\nnobody answered.",
        "As Bob wrote on 3 March:\nthe port is wrong.",
        "We tested on 3 March 2026 at 10:00 and the server wrote:\nerror 500 in module x\n\nPlease look.",
        "At 10:30 the log said:\nout of memory\n\nWhat now?",
        "She wrote:\nthanks for nothing.",
        "Le 3 mars le client a écrit :\nrien ne marche",
        "Am 3. März um 10:00 Uhr hat der Server geschrieben:\nFehler 17",
        "2026-03-03 09:14 INFO server started, listening on:\n0.0.0.0:25",
        "Contact: Mara Lind <mara@lind.test>\nPlease call her.",
        "Please ask Mara Lind <mara@lind.test>, she has\nthe key.",
        "These are the steps:\n1. open\n2. close",
    ],
)
def test_prose_that_resembles_an_attribution_stays(prose: str) -> None:
    body = split(prose)
    assert body.new == prose
    assert body.quoted == ""


def test_an_answer_below_the_quote_is_the_new_text() -> None:
    body = split("On Tue, Jan 6, 2026 at 10:00 AM, Bob <b@x.test> wrote:\n> old words\n\nMy answer below.\n")
    assert body.new == "My answer below."
    assert body.quoted == "On Tue, Jan 6, 2026 at 10:00 AM, Bob <b@x.test> wrote:\n> old words"


def test_an_answer_below_a_quote_without_marks_is_not_hidden() -> None:
    text = "On Tue, Jan 6, 2026 at 10:00 AM, Bob <b@x.test> wrote:\n\nold words\n\nMy answer below.\n"
    assert "My answer below." in split(text).new


def test_text_above_and_below_one_quote_is_new() -> None:
    body = split("Above.\n\nOn 6/1/26 10:00, Bob Ott wrote:\n> old\n\nBelow.\n")
    assert body.new == "Above.\n\nBelow."
    assert not body.interleaved


def test_answers_between_quotes_keep_the_quotes_they_answer() -> None:
    text = "> first question\nfirst answer\n> second question\nsecond answer"
    body = split(text)
    assert body.new == text
    assert body.interleaved


def test_in_an_interleaved_mail_the_unanswered_rest_is_history() -> None:
    body = split(
        "On 6/1/26 10:00, Bob Ott wrote:\n> first question\n\nfirst answer\n\n> second question\n\nsecond answer\n\n"
        "> kind regards\n> Bob\n"
    )
    assert body.new == "> first question\n\nfirst answer\n\n> second question\n\nsecond answer"
    assert body.quoted == "On 6/1/26 10:00, Bob Ott wrote:\n\n> kind regards\n> Bob"
    assert body.interleaved


def test_a_mail_that_is_only_a_quote_stays_visible() -> None:
    assert split("> everything\n> is quoted\n").new == "> everything\n> is quoted"


def test_a_quote_mark_in_the_middle_of_prose_is_no_history() -> None:
    text = "See what I found:\n>>> import antigravity\nNice, is it not?"
    assert split(text).new == text


def test_other_quote_marks_count_below_an_attribution_only() -> None:
    table = "The result:\n| a | b |\n| 1 | 2 |\nIs that right?"
    assert split(table).new == table
    body = split("No.\n\nOn 6/1/26 10:00, Bob Ott wrote:\n| can you\n| come\n\nSorry.\n")
    assert body.new == "No.\n\nSorry."


def test_an_attribution_glued_to_the_answer_is_taken_apart() -> None:
    body = split("yes please On Tue, Jan 6, 2026 at 10:00 AM, Bob <b@x.test> wrote:\n> shall we?\n")
    assert body.new == "yes please"


# ------------------------------------------------------------------ header blocks, separators


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("separator", ["", "________________________________\n"])
def test_a_quoted_header_begins_the_history(header: tuple[str, ...], separator: str) -> None:
    block = "\n".join(header).format(who="Mara Lind <mara@lind.test>")
    body = split(f"Please try again.\n\n{separator}{block}\n\nIt is broken.\n\nMara\n")
    assert body.new == "Please try again."
    assert body.source == "header"


@pytest.mark.parametrize(
    "separator",
    [
        "-----Original Message-----",
        "----- Original Message -----",
        "-----Ursprüngliche Nachricht-----",
        "-----Message d'origine-----",
        "-----Mensaje original-----",
        "-----Messaggio originale-----",
        "-----Oorspronkelijk bericht-----",
        "-----Oprindelig meddelelse-----",
        "-----Ursprungligt meddelande-----",
        "-----Alkuperäinen viesti-----",
        "-----Wiadomość oryginalna-----",
        "-----Исходное сообщение-----",
        "-----Původní zpráva-----",
        "-----Eredeti üzenet-----",
        "-----Mesaj original-----",
        "-----Orijinal Mesaj-----",
        "------------------ 原始邮件 ------------------",
        "-----元のメッセージ-----",
        "-----원본 메시지-----",
        "*-------- Original Message --------*",
        "‐‐‐‐‐‐‐ Original Message ‐‐‐‐‐‐‐",
    ],
)
def test_a_separator_only_mail_clients_write_begins_the_history(separator: str) -> None:
    body = split(f"Thanks a lot.\n\n{separator}\nold words\n")
    assert body.new == "Thanks a lot."


@pytest.mark.parametrize(
    "evidence",
    [
        "Here is the log you asked for:\n\nFrom: alice\nSent: yesterday\nTo: bob\nSubject: failure\nthe "
        "server said 500",
        "Here is its header:\n\nFrom: Al Bo <al@bo.test>\nDate: Tue, 3 Mar 2026 09:14:00 +0100\nTo: "
        "x@y.test\nSubject: hi",
        "The raw source is\n\nReceived: from a by b; Tue, 3 Mar 2026 09:14:00 +0100\nFrom: al@bo.test\n"
        "Date: Tue, 3 Mar 2026 09:14:00 +0100\nTo: x@y.test\nSubject: hi\nMessage-ID: <1@a>\n\nWhat is wrong there?",
        "A patch for it\n\nFrom: Al Bo <al@bo.test>\nDate: Tue, 3 Mar 2026 09:14:00 +0100\nSubject: [PATCH] fix\n\n"
        "---\n a.c | 1 +\n\ndiff --git a/a.c b/a.c\n+int x;",
        "We meet again.\n\nDate: Tuesday 3 March 2026\nTime: 09:14\nPlace: Harbour 3\n\nPlease be there.",
        "```\nFrom: al@bo.test\nDate: 2026-03-03 09:14\nTo: x@y.test\nSubject: hi\n```\n\nwhy does this fail?",
        "    From: al@bo.test\n    Sent: 2026-03-03 09:14\n    To: x@y.test\n    Subject: hi\n\nis in the file.",
        "My parcel\n\nFrom: Bergen\nTo: Oslo\nSubject: weight 3 kg\n\nwhere is it?",
        "Heading\n-------\n\nText below the heading.\n\n==========\n\nMore.",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\nIs this right?",
    ],
)
def test_what_people_paste_is_not_cut(evidence: str) -> None:
    assert split(evidence).new == evidence


@pytest.mark.parametrize(
    "history",
    [
        "Mara Lind@LIND\n03/03/2026 09:14 AM\nTo: Bo Berg/Desk@DESK\ncc: \nSubject: Printer\n\nIt is broken.",
        "From:  Mara Lind                    03/03/2026 09:14 AM\n\t\n\nTo:\tBo Berg/Desk@DESK\ncc:\t "
        "\nSubject:\tPrinter\n\nhi",
        '"Mara Lind" <mara@lind.test> on 03/03/2026 09:14:02 AM\nTo: Bo\ncc:\nSubject: Printer\n\nIt is broken.',
        "---------------------- Forwarded by Bo Berg/Desk on 03/03/2026 10:00 AM -----------------\n\n\nhi",
        ">>> Mara Lind 03/03/26 09:14AM >>>\nIt is broken.\n\nMara",
        "----Original Message Follows----\nFrom: mara@lind.test\nTo: x@y.test\n\nIt is broken.",
        "____________________Reply Separator____________________\nSubject: Printer\nAuthor: Mara\nDate: "
        "3/3/2026 9:14 AM\n\nhi",
        "##- Please type your reply above this line -##\n\nYour request was updated.",
        "In a message dated 3/3/2026 9:14:02 AM Eastern Standard Time, mara@lind.test writes:\n\nIt is broken.",
    ],
)
def test_older_clients_mark_history_in_their_own_ways(history: str) -> None:
    assert split(f"Please try again.\n\n{history}\n").new == "Please try again."


def test_a_header_that_lost_its_line_breaks_is_still_one() -> None:
    body = split(
        "Done.\n\nFrom: Al Bo <al@bo.test> Sent: Tuesday, March 3, 2026 9:14 AM To: Help Subject: "
        "Printer\n\nIt is broken.\n"
    )
    assert body.new == "Done."


def test_a_forward_without_comment_has_no_text_of_its_own() -> None:
    body = split("---------- Forwarded message ---------\nFrom: Al <al@bo.test>\nDate: Tue, Mar 3, 2026\n\n#close\n")
    assert body.new == ""
    assert body.command_text == ""


def test_a_reply_that_begins_with_the_old_header_keeps_the_answer_below() -> None:
    text = (
        "-----Original Message-----\nFrom: Al <al@bo.test>\nSent: 3 March 2026 09:14\nTo: Help\n\n> old\n\nMy answer.\n"
    )
    assert split(text, subject="Re: Printer").new == "My answer."


def test_a_forwarded_part_that_says_where_it_ends_ends_there() -> None:
    body = split(
        "Look:\n\n----- Forwarded message from Al <al@bo.test> -----\n\nDate: Tue, 3 Mar 2026 09:14:00 +0100\n"
        "From: Al <al@bo.test>\nTo: x@y.test\n\nold\n\n----- End forwarded message -----\n\nWhat do you think?\n"
    )
    assert body.new == "Look:\n\nWhat do you think?"


# ------------------------------------------------------------------ our own mail, known text

NOTICE = """#4827 new - nobody has it yet

Hi,

invoice 2231 charges us for 12 licences, we only have 10.
Could you correct it? It is due on Friday.

Jane

--
#4827  Example Support  Jane Doe <jane@customer.test>  first mail in this inbox
Reply = answer Jane and take the ticket.  Commands go on the first line:
#note (internal)  #close  #assign bob  #snooze 3d  #spam  #help"""


def test_our_status_line_cuts_without_any_other_mark() -> None:
    body = split(f"It is corrected.\n\n{NOTICE}\n")
    assert body.new == "It is corrected."
    assert body.source == "status line"


def test_answers_between_the_lines_of_our_notice_keep_the_customer_and_not_our_furniture() -> None:
    body = split(
        "> #4827 new - nobody has it yet\n>\n> Can you come?\n\nYes.\n\n> And the rope?\n\nNo.\n\n"
        "> -- \n> #4827  Example Support  Jane Doe\n"
    )
    assert body.interleaved
    assert body.new == ">\n> Can you come?\n\nYes.\n\n> And the rope?\n\nNo."


@pytest.mark.parametrize(
    "status", ["#4827 Bob - Jane answered after 2 h", "#4827 done", "#4827 NOT SENT - I do not know #noet"]
)
def test_every_status_line_with_our_footer_below_cuts(status: str) -> None:
    notice = f"{status}\n\nThank you!\n\n-- \n#4827  Example Support  owner Alice\n#note  #close  #help"
    assert split(f"It is corrected.\n\n{notice}\n").new == "It is corrected."


def test_the_attribution_above_our_status_line_goes_with_it() -> None:
    body = split(f"It is corrected.\n\nJane Doe via Example Support, 23 Nov 2026 09:58:\n\n{NOTICE}\n")
    assert body.new == "It is corrected."


def test_a_ticket_number_in_prose_is_no_status_line() -> None:
    text = "Hello,\n\n#4827 is the same problem as this one.\n#4828 too.\n\nplease join them"
    assert split(text).new == text


def test_commands_above_our_notice_are_the_new_text() -> None:
    body = split(
        f"#close\n\nOn Mon, 23 Nov 2026 at 09:58, Jane Doe via Example Support <s@example.test> wrote:\n\n{NOTICE}"
    )
    assert body.command_text == "#close"


def test_text_already_in_the_conversation_is_history_without_marks() -> None:
    known = "Invoice 2231 charges us for 12 licences, we only have 10. Could you correct it? It is due on Friday."
    body = split(
        "Done, see the attachment.\n\nInvoice 2231 charges us for 12 licences,\nwe only have 10. Could "
        "you\ncorrect it? It is due on Friday.\n",
        known,
    )
    assert body.new == "Done, see the attachment."
    assert body.source == "known"


def test_repeating_a_few_known_words_is_not_history() -> None:
    known = "Invoice 2231 charges us for 12 licences, we only have 10. Could you correct it? It is due on Friday."
    text = "You say that invoice 2231 charges us for 12 licences.\nThat is right, because two are new."
    assert split(text, known).new == text


@pytest.mark.parametrize(
    "text", ["{known}\n\nNo, 11.", "Yes.\n\n{known}\n\nNo, 11.\n\n{known}\n\nThanks a lot, that is all."]
)
def test_the_authors_words_below_or_between_known_text_are_never_hidden(text: str) -> None:
    known = "Invoice 2231 charges us for 12 licences, we only have 10. Could you correct it? It is due on Friday."
    text = text.replace("{known}", "\n".join(known.split(". ")))
    assert "No, 11." in split(text, known).new


def test_the_clients_line_above_known_text_goes_with_it() -> None:
    known = "Invoice 2231 charges us for 12 licences, we only have 10. Could you correct it? It is due on Friday."
    assert split(f"Done.\n\nJane Doe, 23.11.2026 9:58:\n{known}\n", known).new == "Done."


def test_a_mail_that_only_repeats_known_text_is_shown() -> None:
    text = "Invoice 2231 charges us for 12 licences, we only have 10. Could you correct it? It is due on Friday."
    assert split(text, text).new == text


# ------------------------------------------------------------------ signatures


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nMara Lind\nHarbour 3",
        "--\nMara Lind\n+47 555 12 34 56",
        "Sent from my iPhone",
        "Sent from my Galaxy",
        "Sent from Outlook for Android",
        "Get Outlook for iOS <https://aka.test/x>",
        "Von meinem iPhone gesendet",
        "Gesendet von Mail für Windows",
        "Envoyé de mon iPhone",
        "Enviado desde mi iPhone",
        "Enviado do meu iPhone",
        "Inviato da iPhone",
        "Verstuurd vanaf mijn iPhone",
        "Sendt fra min iPhone",
        "Skickat från min iPhone",
        "Lähetetty iPhonesta",
        "iPhone'umdan gönderildi",
        "בברכה,\nדנה",
        "مع أطيب التحيات،\nدانة",
        "Wysłane z iPhone'a",
        "Отправлено с iPhone",
        "Odesláno z iPhonu",
        "iPhoneから送信",
        "从我的iPhone发送",
        "나의 iPhone에서 보냄",
        "Best regards,\nMara",
        "Kind regards\n\nMara Lind\nHead of Harbour\n+47 555 12 34 56",
        "Mit freundlichen Grüßen\nMara Lind",
        "Cordialement,\nMara Lind",
        "Un saludo,\nMara",
        "Med venlig hilsen\nMara Lind",
        "Pozdrawiam\nMara",
        "С уважением,\nМара Линд",
        "Thanks,\nMara",
        "Mara",
        "Mara Lind\nmara@lind.test\n+47 555 12 34 56",
        "This e-mail and any attachments are confidential and intended solely for the addressee.\nIf you "
        "received it in "
        "error please notify the sender and delete it.",
    ],
)
def test_a_sign_off_is_signature(signature: str) -> None:
    body = split(f"The crane is stuck again.\n\n{signature}\n")
    assert body.new == "The crane is stuck again."
    assert body.signature == signature


@pytest.mark.parametrize(
    "text",
    [
        "Thanks",
        "Thanks!\nMara",
        "Mara",
        "Which day?\n\nMonday",
        "Please do it.\n\nThanks",
        "Sent from my desk, it is much easier than by phone.",
        "The list:\n\n-- one\n-- two\n\nand that is all of it.",
        "Best practice is to wait.\nWe do that.",
        "Select it:\n\nSELECT 1;\n--\n" + "\n".join(f"SELECT {n} FROM crane WHERE harbour = {n};" for n in range(30)),
        "Take it:\n\n@@ -1,2 +1,2 @@\n-crane = 1\n+crane = 2\n harbour = 3\n-- \n2.39.0\n\nIt mends our crash.",
        "The meeting is confidential, please do not tell the sender.",
        "Shall we?\n\nYes.",
        "I sent it from my iPhone yesterday and it never arrived.",
    ],
)
def test_the_authors_words_are_no_sign_off(text: str) -> None:
    assert split(text).new == text


def test_the_authors_own_name_ends_the_text_even_in_lower_case() -> None:
    body = split("It is stuck.\nmara", author=Mailbox("Mara Lind", "ml@lind.test"))
    assert body.new == "It is stuck."
    assert body.signature == "mara"


def test_a_separator_with_neither_words_above_nor_a_header_below_hides_nothing() -> None:
    body = split("-----Original Message-----\nThe crane is stuck again.\nPlease send somebody.\n")
    assert body.new == "The crane is stuck again.\nPlease send somebody."


def test_above_what_a_list_and_a_free_mailer_add_the_authors_signature_is_found_too() -> None:
    signature = (
        "-- \nMara Lind, Lind Cranes\n\n__________________________\nGet your free e-mail at http://post.test\n\n"
        "-- \nHarbour mailing list\nhttp://lists.harbour.test/mailman/listinfo/harbour"
    )
    body = split(f"The crane is stuck again.\n\n{signature}\n")
    assert body.new == "The crane is stuck again."
    assert body.signature == signature


def test_below_the_authors_own_mark_nothing_further_up_is_signature() -> None:
    text = "The notes are:\n\n-- \none\ntwo\n\nPlease check."
    assert split(f"{text}\n\n-- \nMara Lind\nLind Cranes").new == text


def test_the_page_of_a_list_alone_is_its_footer_but_not_when_it_is_announced() -> None:
    page = "https://lists.harbour.test/mailman/listinfo/harbour"
    assert split(f"It works now.\n\n{page}\n").new == "It works now."
    assert split(f"You subscribe here:\n\n{page}\n").new == f"You subscribe here:\n\n{page}"


def test_names_after_a_colon_are_a_list_and_no_sign_off() -> None:
    text = "Please invite:\n\nOle Dahl\nBo Berg"
    assert split(text).new == text


def test_somebody_elses_name_and_number_are_no_sign_off_when_the_author_is_known() -> None:
    text = "Please call them today.\n\nOle Dahl\n+47 555 12 34 56"
    assert split(text, author=Mailbox("Mara Lind", "mara@lind.test")).new == text
    own = split("Please call me today.\n\nMara\n+47 555 12 34 56", author=Mailbox("Mara Lind", "mara@lind.test"))
    assert own.new == "Please call me today."


def test_a_signature_below_the_quote_does_not_make_an_interleaved_answer() -> None:
    body = split("Yes.\n\nOn 6/1/26 10:00, Bob Ott wrote:\n> old\n> older\n\n-- \nMara Lind\n")
    assert (body.new, body.signature, body.interleaved) == ("Yes.", "-- \nMara Lind", False)


def test_a_signature_mark_above_a_quote_is_no_word_of_the_authors() -> None:
    body = split(
        "Bob wrote on Mon, 3 Mar 2026, 10:00:\n> Is it open?\n\nYes.\n-- \n> When?\n\nAt nine.\n\n-- \n> Bob\n"
    )
    assert body.new == "> Is it open?\n\nYes.\n\n> When?\n\nAt nine."
    assert body.signature.split() == ["--", "--"]


@pytest.mark.parametrize("rule", ["_____", "____________"])
def test_short_lines_below_a_row_of_underscores_are_no_signature_without_contact_data(rule: str) -> None:
    text = f"Agreed.\n\n{rule}\nplease note\nthe tide tables\nare in the box"
    assert split(text).new == text
    assert split(f"Agreed.\n\n{rule}\nMara Lind\nHarbour 3\n+47 555 12 34 56").new == "Agreed."


# ------------------------------------------------------------------ HTML


@pytest.mark.parametrize(
    "quote",
    [
        '<div class="gmail_quote"><div class="gmail_attr">On Tue, Mar 3, 2026 Al wrote:<br></div><blockquote '
        'class="gmail_quote">old</blockquote></div>',
        '<div id="appendonsend"></div><hr><div id="divRplyFwdMsg"><b>From:</b> Al &lt;al@bo.test&gt;<br><b>Sent:</b> '
        "Tuesday, March 3, 2026<br><b>To:</b> Help<br><b>Subject:</b> x</div><div>old</div>",
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p class="MsoNormal"><b>Von:</b> Al '
        "&lt;al@bo.test&gt;<br>"
        "<b>Gesendet:</b> Dienstag, 3. März 2026<br><b>An:</b> Help<br><b>Betreff:</b> x</p></div><p>old</p>",
        '<div><br><blockquote type="cite"><div>On 3 Mar 2026, at 09:14, Al &lt;al@bo.test&gt; wrote:</div><br>'
        "<div>old</div></blockquote></div>",
        '<div class="moz-cite-prefix">On 3/3/26 09:14, Al wrote:<br></div><blockquote '
        'type="cite"><p>old</p></blockquote>',
        '<div class="yahoo_quoted"><div>On Tuesday, March 3, 2026, Al wrote:</div><div>old</div></div>',
        '<div class="protonmail_quote">On Tuesday, Al wrote:<br><blockquote '
        'class="protonmail_quote">old</blockquote></div>',
        '<div class="zmail_extra"><div>---- On Tue, 03 Mar 2026 Al wrote ----</div><blockquote>old</blockquote></div>',
        '<div name="quote"><div>Gesendet: Dienstag</div><div>old</div></div>',
        "<p>03.03.2026, 09:14, Al &lt;al@bo.test&gt;:</p><blockquote>old</blockquote>",
        '<div id="tg-4827"><p>#4827 new</p><p>old</p></div>',
        '<div id="x_tg-4827"><p>old</p></div>',
        '<hr id="zwchr"><div><b>From: </b>old</div>',
    ],
)
def test_what_a_client_marks_in_html_is_history(quote: str) -> None:
    body = split_html(f"<html><body><div>My answer.</div>{quote}</body></html>")
    assert body.new == "My answer."
    assert "old" in body.quoted
    assert body.command_text is None


@pytest.mark.parametrize(
    "html",
    [
        "<p>The contract says</p><blockquote>no pets</blockquote><p>but I have a cat.</p>",
        "<blockquote>old</blockquote><div>MY ANSWER BELOW</div>",
        '<p>Look:</p><blockquote class="gmail_quote" style="margin:0 0 0 40px">my own indented words</blockquote>',
        "<p>one</p><hr><p>two</p>",
    ],
)
def test_the_authors_own_blockquote_stays(html: str) -> None:
    body = split_html(html)
    assert body.quoted == ""


def test_an_answer_below_the_quote_in_html_is_new() -> None:
    body = split_html(
        '<div class="moz-cite-prefix">On 3/3/26 09:14, Al wrote:<br></div><blockquote '
        'type="cite">old</blockquote><p>New.</p>'
    )
    assert body.new == "New."
    assert "old" in body.quoted


def test_a_signature_the_client_marks_in_html_is_one() -> None:
    body = split_html('<div>New.</div><div class="gmail_signature"><div>mara l.</div><div>harbour three</div></div>')
    assert (body.new, body.signature) == ("New.", "mara l.\nharbour three")


def test_nested_quotes_in_html_end_where_the_outermost_ends() -> None:
    body = split_html(
        '<p>Top.</p><blockquote type="cite">a<blockquote type="cite">b</blockquote>c</blockquote><p>Bottom '
        "text here.</p>"
    )
    assert body.new == "Top.\n\nBottom text here."


def test_what_the_html_part_marks_is_history_in_the_text_part_too() -> None:
    old = "The crane has been stuck since Monday and nobody has come to look at it so far."
    html = f'<div>I come today.</div><div class="yahoo_quoted"><div>Mara Lind, yesterday</div><div>{old}</div></div>'
    text = f"I come today.\n\nMara Lind, yesterday\n{old}\n"
    body = split_body(Message(text=text, html=html, text_source="plain"))
    assert body.new == "I come today."
    assert body.command_text == "I come today."


def test_an_html_part_that_says_something_else_hides_nothing() -> None:
    html = '<div>I come.</div><div class="yahoo_quoted"><div>Quite other words that nobody ever wrote here.</div></div>'
    text = "I come today.\n\nThe rope is in the boat and the boat is in the harbour."
    assert split_body(Message(text=text, html=html, text_source="plain")).new == text


PASTED = """Hello,

From: Ole Dahl <ole@dahl.test>
Sent: Monday, 2 March 2026 17:40
To: mara@lind.test
Subject: The rope

"""


def read_pasted(below: str, *, answers: str = "", subject: str = "Strange mail") -> Body:
    mail = Message(
        text=PASTED + below,
        text_source="plain",
        author=Mailbox("Mara Lind", "mara@lind.test"),
        subject=subject,
        in_reply_to=(answers,) if answers else (),
    )
    return split_body(mail)


@pytest.mark.parametrize(
    "below", ["What does this mean?", "What does this mean?\n\nThanks\nMara", "What does this mean?\n\nThanks\nMara L."]
)
def test_a_question_below_a_pasted_header_is_the_authors(below: str) -> None:
    assert "What does this mean?" in read_pasted(below).new


def test_below_a_pasted_header_the_authors_name_tells_whose_words_they_are() -> None:
    assert "They never came." in read_pasted("They never came.\n\nMara", answers="<root@desk.test>").new


@pytest.mark.parametrize(
    ("below", "answers", "subject"),
    [
        ("When do you come?", "<root@desk.test>", "Strange mail"),
        ("When do you come?", "", "Re: The rope"),
        ("When do you come?", "", "The rope"),
        ("Dear Mara,\n\nwhen do you come?", "", "Visit"),
        ("When do you come?\n\nOle", "", "Visit"),
        ("We have sent it.", "", "Visit"),
        ("Hello! When do you come?\n\nThanks,\nSascha.", "", "Visit"),
        ("When do you come?\n" + "We have sent the rope.\n" * 9, "", "Visit"),
    ],
    ids=["answers", "subject answers", "same subject", "greets", "signed", "asks nothing", "signed by another", "long"],
)
def test_below_the_header_of_a_quoted_mail_all_is_history(below: str, answers: str, subject: str) -> None:
    assert read_pasted(below, answers=answers, subject=subject).new == "Hello,"


# ------------------------------------------------------------------ marks other than ">"


def test_a_quote_with_initials_goes_with_the_line_that_names_them() -> None:
    quote = '>>>>> "ML" == Mara Lind <mara@lind.test> writes:\n\n    ML> The crane is stuck.\n    ML> Who comes?'
    body = split(f"{quote}\n\nI come today.\n\nOle\n")
    assert body.new == "I come today."
    assert body.quoted == quote


def test_marks_proven_below_an_attribution_are_quotes_between_the_answers_too() -> None:
    text = "ML> The crane is stuck.\nML> Really.\n\nSince when?\n\nML> Who comes?\n\nI do.\n"
    body = split(f"On Tue, 3 Mar 2026, Mara Lind wrote:\n\n{text}")
    assert body.interleaved
    assert body.new.split() == text.split()


def test_a_mark_somebody_thought_up_is_a_quote_below_an_attribution() -> None:
    body = split("On Tue, 3 Mar 2026, Mara Lind wrote:\n--]The crane is stuck.\n--]\n--]Who comes?\n\nI do.\n")
    assert body.new == "I do."


def test_a_conversation_that_the_author_tells_is_no_quote() -> None:
    text = "It went like this:\n\nOle> Who comes?\nOle> Hello?\nMara> I do.\n\nWhat do you think?"
    assert split(text).new == text
