"""Mail without a plain text, as Outlook, Gmail and iOS write it above the notice (mail.md 13, security.md 6)."""
# ruff: noqa: E501  pages as their clients write them

from __future__ import annotations

import pytest

from gateway.model import OutboundMail, State
from gateway.store.database import Database
from tests.store.test_verbs import ALICE, JANE, Desk, to
from tests.support.spine import address_of, make_mail, text_of

NOTICE = "Jane wrote: We have 10 licences. #close is a command."
OUTLOOK = """<html xmlns:o="urn:schemas-microsoft-com:office:office" xmlns:w="urn:schemas-microsoft-com:office:word">
<head><meta name=Generator content="Microsoft Word 15"><style><!-- p.MsoNormal {{margin:0cm;font-size:11.0pt}} --></style>
<!--[if gte mso 9]><xml><o:shapedefaults v:ext="edit" spidmax="1026" /></xml><![endif]--></head>
<body lang=EN-GB link="#0563C1" style='word-wrap:break-word'><div class=WordSection1>
{lines}<p class=MsoNormal><o:p>&nbsp;</o:p></p>
<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b><span
lang=EN-US>From:</span></b><span lang=EN-US> Desk &lt;support@desk.test&gt; <br><b>Sent:</b> Monday, 23 November 2026
10:00<br><b>To:</b> Alice Ahmed &lt;alice@corp.test&gt;<br><b>Subject:</b> Invoice 2231 is wrong<o:p></o:p></span></p></div>
<p class=MsoNormal>{notice}<o:p></o:p></p></div></body></html>"""
GMAIL = """<div dir="auto">{lines}</div><br><div class="gmail_quote gmail_quote_container"><div dir="ltr"
class="gmail_attr">On Mon, Nov 23, 2026, 10:00 Desk &lt;<a href="mailto:support@desk.test">support@desk.test</a>&gt;
wrote:<br></div><blockquote class="gmail_quote" style="margin:0 0 0 .8ex;border-left:1px #ccc solid;padding-left:1ex"
>{notice}</blockquote></div>"""
IOS = """<html><head><meta http-equiv="content-type" content="text/html; charset=utf-8"></head><body dir="auto">{lines}<br
id="lineBreakAtBeginningOfSignature"><div dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquote
type="cite">On 23 Nov 2026, at 10:00, Desk &lt;support@desk.test&gt; wrote:<br><br></blockquote></div><blockquote
type="cite"><div dir="ltr">\ufeff<p>{notice}</p></div></blockquote></body></html>"""

WRITTEN = {
    "outlook": (
        OUTLOOK,
        "<p class=MsoNormal><span lang=EN-US style='mso-fareast-language:EN-US'>{}<o:p></o:p></span></p>\n",
    ),
    "outlook, nbsp": (OUTLOOK, "<p class=MsoNormal>{}&nbsp;<o:p></o:p></p>\n"),
    "gmail": (GMAIL, '<div dir="auto">{}</div>'),
    "gmail, spans": (GMAIL, '<div dir="ltr"><div><span style="font-family:arial">{}</span><br></div></div>'),
    "ios": (IOS, '<div dir="ltr">{}</div>'),
    "ios, breaks": (IOS, "{}<br>"),
}


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def send_html(desk: Desk, offer: OutboundMail, client: str, *lines: str) -> list[OutboundMail]:
    page, line = WRITTEN[client]
    empty = "<o:p>&nbsp;</o:p>" if page is OUTLOOK else "<br>"
    html = page.format(lines="".join(line.format(text or empty) for text in lines), notice=NOTICE)
    raw = make_mail(ALICE, html, subject="Re: Invoice 2231 is wrong", to=address_of(offer), answers=offer.message_id)
    desk.road.arrive(raw.replace(b"text/plain", b"text/html"), recipient=address_of(offer))
    return desk.road.outbox()


@pytest.mark.parametrize("client", WRITTEN)
@pytest.mark.parametrize(
    "lines",
    [("#tag vip",), ("#close", "", "It was our mistake."), ("#noet she is difficult",), ("#note", "", "Secret.")],
)
def test_a_command_in_the_formatted_part_alone_is_seen_and_held(
    desk: Desk, client: str, lines: tuple[str, ...]
) -> None:
    """Formatted text may hide what its author never saw, and a note must not go out because it was not seen."""
    offer = to(desk.write(JANE, "We have 10 licences."), ALICE)
    (held,) = send_html(desk, offer, client, *lines)
    assert (held.kind, held.recipient) == ("held", ALICE)
    why = "I do not know #noet" if "#noet" in lines[0] else "it looks like a command, but only in the formatted part"
    assert why in text_of(held)
    assert (desk.ticket().state, desk.ticket().tags) == (State.NEW, ())


@pytest.mark.parametrize("client", WRITTEN)
def test_an_answer_in_the_formatted_part_alone_is_sent_without_what_it_answers(desk: Desk, client: str) -> None:
    offer = to(desk.write(JANE, "We have 10 licences."), ALICE)
    answer = to(send_html(desk, offer, client, "It was our mistake.", "", "Alice"), JANE)
    assert text_of(answer).startswith("It was our mistake.")
    assert b"is a command" not in answer.content
