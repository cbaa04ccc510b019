"""What may never leave: a header somebody else wrote, a token of another party, a note, an agent's own address."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from email import message_from_bytes, policy
from email.parser import BytesParser

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.model import Attachment, Body, EventFact, Notice, OutboundMail, Person, Plan, TicketFacts
from gateway.outbound.compose import compose_all
from gateway.outbound.letter import Letter, LetterError, Part, mailbox_value, render, text_value
from gateway.outbound.relay import relay_text
from tests.support.golden import story
from tests.support.golden.checker import check, read, texts

pytestmark = pytest.mark.slow  # many examples: not part of make check

SETTINGS = story.make_settings(html=True)
NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "x\r\nBcc: evil@evil.test",
            "x\nX-Ticket: 1",
            "x\r\n\r\nbody",
            "\u2028Bcc: evil@evil.test",
            "=?utf-8?q?x=0D=0ABcc:_evil@evil.test?=",
            "=?utf-8?b?DQpCY2M6IGV2aWxAZXZpbC50ZXN0?=",
            '"; evil@evil.test, "',
            "a" * 3000,
            "\u202eevil\u202c \u200b@\u200b",
            "\x00\x0b\x0c\x1c\x85",
            "Jane <jane@customer.test>, evil@evil.test",
            "\ud800",
        ]
    ),
    st.builds(lambda a, b: f"{a}\r\n{b}: x", st.text(max_size=10), st.sampled_from(["Bcc", "Subject", "From"])),
)


def compose(notice: Notice, facts: TicketFacts) -> OutboundMail:
    plan = Plan(outcome="file", inbox="support", notices=(notice,))
    return compose_all(plan, facts, SETTINGS, story.at("17:22:05"))[0]


def header_names(raw: bytes) -> Counter[str]:
    return Counter(name.lower() for name, _ in BytesParser(policy=policy.compat32).parsebytes(raw).items())


@given(name=NASTY, subject=NASTY, text=NASTY, fact=NASTY, file=NASTY)
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@pytest.mark.parametrize("kind", ["offer", "customer-reply", "answer", "unproven", "note", "held", "ack"])
def test_nothing_anybody_wrote_becomes_a_header_field(
    kind: str, name: str, subject: str, text: str, fact: str, file: str
) -> None:
    jane = Person(party=31, address="jane@customer.test", name=name)
    events = tuple(replace(e, text=text) if e.number in (8, 12) else e for e in story.EVENTS)
    facts = replace(story.ticket(16), subject=subject, customer=jane, participants=(jane,), events=events)
    notice = Notice(
        kind=kind,
        event=17,
        recipients=(jane if kind in ("answer", "ack") else story.ALICE,),
        about=12 if kind == "note" else 8,
        author=jane if kind in ("offer", "customer-reply") else story.BOB,
        text=text,
        quote=8,
        reason=fact,
        in_reply_to=fact,
        attachments=(Attachment(name=file or "x", type=fact, size=1, sha256="", content=b"x"),),
        data={"address": fact, "hint": fact, "problem": fact, "cc": fact, "away": fact, "bad_line": fact},
    )
    mail = compose(notice, facts)
    harmless = compose(
        replace(
            notice,
            in_reply_to="" if "In-Reply-To" not in str(read(mail.content).keys()) else "<a@b.test>",
            text="x",
            data={},
            reason="x",
        ),
        replace(facts, subject="x", customer=story.JANE, participants=(story.JANE,), events=story.EVENTS),
    )
    ignored = ("content-type", "content-transfer-encoding", "mime-version", "references", "in-reply-to")
    names = {k: v for k, v in header_names(mail.content).items() if k not in ignored}
    assert names == {k: v for k, v in header_names(harmless.content).items() if k not in ignored}
    assert all(count == 1 for count in header_names(mail.content).values())
    parsed = message_from_bytes(mail.content, policy=policy.SMTP)
    assert "evil@evil.test" not in [a.addr_spec for n in ("From", "To", "Reply-To") for a in parsed[n].addresses]
    assert len(parsed["From"].addresses) == len(parsed["Reply-To"].addresses) == 1
    check(mail, SETTINGS, facts)


@given(value=NASTY)
@settings(max_examples=60, deadline=None)
def test_a_cleaned_value_is_one_line_of_ascii_that_reads_back(value: str) -> None:
    made = text_value(value)
    assert made.isascii() and not re.search(r"[\x00-\x1f\x7f]", made)
    raw = render(Letter(fields=(("Subject", made),), text="x"))
    shown = str(message_from_bytes(raw, policy=policy.SMTP)["Subject"])
    assert "\n" not in shown and len(shown) <= 201


@pytest.mark.parametrize(
    "address", ["a b@c.test", "a@b@c.test", "x", "", "a@b.test>", "a@b.test\r\nBcc: c@d.test", "<a@b>"]
)
def test_what_is_no_address_stops_the_mail(address: str) -> None:
    with pytest.raises(LetterError):
        mailbox_value("Jane", address)


@pytest.mark.parametrize("value", ["a\r\nBcc: x@y.test", "a\nb", "a\0b", "ä"])
def test_a_field_that_was_not_cleaned_stops_the_mail(value: str) -> None:
    with pytest.raises(LetterError):
        render(Letter(fields=(("Subject", value),), text="x"))


def test_a_long_message_id_is_neither_folded_nor_encoded() -> None:
    long_id = f"<{'x' * 200}@mail.customer.test>"
    raw = render(Letter(fields=(("In-Reply-To", long_id), ("References", f"{long_id} <a@b.test>")), text="x"))
    parsed = message_from_bytes(raw, policy=policy.compat32)
    assert parsed["In-Reply-To"].split() == [long_id]
    assert parsed["References"].split() == [long_id, "<a@b.test>"]


def test_files_keep_their_bytes_and_names() -> None:
    parts = (
        Part("Rechnung für März – 100 % «final».pdf", "application/pdf", bytes(range(256)) * 9),
        Part("mail.eml", "message/rfc822", b"Subject: x\n\ny\n"),
        Part("../../etc/passwd", "text/plain", b"line\nline\r\n"),
    )
    raw = render(Letter(fields=(("Subject", "x"),), text="x", parts=parts))
    found = list(read(raw).iter_attachments())
    assert [p.get_payload(decode=True) for p in found] == [p.content for p in parts]
    assert found[0].get_filename() == parts[0].name
    assert found[1].get_content_type() == "application/octet-stream"
    assert "/" not in (found[2].get_filename() or "/")


@given(text=st.text(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_text_reads_back_as_it_was(text: str) -> None:
    plain, _ = texts(read(render(Letter(fields=(("Subject", "x"),), text=text))))
    wanted = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    assert plain.replace("\r\n", "\n").rstrip("\n") == wanted.rstrip("\n")


# ---------------------------------------------------------------------------------------------- leaks

NOTE = story.TEXTS[12]
FOREIGN = [
    story.KEYS.make_token("a", 4827, 9, 1),
    story.KEYS.make_token("n", 4827, 13, 1),
    story.KEYS.make_token("t", 4827, 0, 44),
    story.KEYS.make_message_id(4827, 9, 1, story.ID_DOMAIN),
    "claim%204827.3%20" + story.KEYS.make_action(4827, 3, 1),
]


def notification(name: str) -> str:
    return texts(read(story.compose(name)[0].content))[0].replace("\r\n", "\n")


def quoted(text: str, mark: str = "> ") -> str:
    return "\n".join(mark + line for line in text.split("\n"))


CLIENTS = {
    "gmail": lambda own, mail: (
        f"{own}\n\nOn Mon, 23 Nov 2026 at 13:22, Jane Doe via Example Support\n"
        f"<support+ak-4827-9-1-cvkuwpsxamdkdxwk@example.com> wrote:\n\n{quoted(mail)}"
    ),
    "thunderbird": lambda own, mail: (
        f"{own}\n\nAm 23.11.26 um 13:22 schrieb Jane Doe via Example Support:\n{quoted(mail)}"
    ),
    "outlook": lambda own, mail: (
        f"{own}\n\n-----Original Message-----\nFrom: Jane Doe via Example Support <support@example.com>\n"
        f"Sent: Monday, November 23, 2026 1:22 PM\nTo: Alice Ahmed\nSubject: [#4827] Invoice\n\n{mail}"
    ),
    "outlook-plain": lambda own, mail: (
        f"{own}\n\n________________________________\nVon: Jane Doe via Example Support <support@example.com>\n"
        f"Gesendet: Montag\nAn: Alice\nBetreff: [#4827] x\n\n{mail}"
    ),
    "bottom": lambda own, mail: f"{quoted(mail)}\n\n{own}",
    "nothing": lambda own, mail: f"{own}\n\n{mail}",
}


@pytest.mark.parametrize("client", sorted(CLIENTS))
@pytest.mark.parametrize(
    "name", [n for n in story.NOTICES if n not in ("01-customer-ack", "03-relayed-answer", "15-admin-alert")]
)
def test_a_quoted_notification_never_reaches_the_customer(client: str, name: str) -> None:
    own = "Hello Jane,\n\nthat is done now."
    facts = story.ticket(16)
    mail_text = notification(name).replace("#4833", "#4827")
    relayed = relay_text(Body(new=CLIENTS[client](own, mail_text)), "", facts, SETTINGS)
    assert relayed.held_reason or "that is done now." in relayed.text
    if relayed.held_reason:
        return
    notice = Notice(
        kind="answer", event=17, recipients=(story.JANE,), about=4, author=story.ALICE, text=relayed.text, quote=8
    )
    mail = compose(notice, facts)
    check(mail, SETTINGS, facts)
    plain = texts(read(mail.content))[0]
    for secret in (
        "Reply =",
        "One tap",
        "old price list",
        "#note",
        "#close",
        "difficult customer",
        "via Example",
        "Sent:",
    ):
        assert secret not in plain, plain


@pytest.mark.parametrize("client", ["gmail", "thunderbird", "outlook", "outlook-plain"])
def test_a_status_line_without_a_dash_cuts_below_an_attribution_and_nowhere_else(client: str) -> None:
    facts = story.ticket(16)
    below = CLIENTS[client]("Hello Jane,\n\ndone.", "#4827 is yours.\n\nThey are on the old list.")
    assert relay_text(Body(new=below), "", facts, SETTINGS).text == "Hello Jane,\n\ndone."
    own = "Hello Jane,\n\n#4827 is the number of your case.\n\nAlice"
    assert relay_text(Body(new=own), "", facts, SETTINGS).text == own


@given(
    pieces=st.lists(
        st.sampled_from([*FOREIGN, NOTE, "alice@example.com", "Bob@Example.com", "Hello", "\n", "> ", "all done", " "]),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_token_and_no_agents_address_is_in_any_answer(pieces: list[str]) -> None:
    facts = story.ticket(16)
    text = " ".join(pieces)
    html = f"<p><b>{text}</b></p>"
    relayed = relay_text(Body(new=text), html, facts, SETTINGS)
    if NOTE in " ".join(text.split()) and not re.search(r"^\s*>", text, re.M):
        assert relayed.held_reason == "cut-line"
    for sent, formatted in ((relayed.text, relayed.html), (text, html)):  # also when the plan did not use relay_text
        notice = Notice(
            kind="answer",
            event=17,
            recipients=(story.JANE,),
            about=4,
            author=story.ALICE,
            text=sent,
            html=formatted,
            quote=8,
        )
        mail = compose(notice, facts)
        check(mail, SETTINGS, facts)
        shown = "\n".join(texts(read(mail.content))).lower()
        for secret in (*FOREIGN, "alice@example.com", "bob@example.com"):
            assert secret.lower() not in shown


def test_answers_between_the_quoted_lines_keep_the_customers_words_and_lose_ours() -> None:
    new = (
        "On Mon, 23 Nov 2026 at 09:58, Jane Doe via Example Support wrote:\n> #4827 new - nobody has it yet\n>\n"
        "> Hi,\n>\n> invoice 2231 charges us for 12 licences, we only\n> have 10.\nThat is corrected.\n"
        "> Could you correct it? It is due on Friday.\nYes.\n> -- \n> #4827  Example Support  Jane Doe\n"
        "> They are on the old price list\n> claim\n> Alice\n"
    )
    relayed = relay_text(Body(new=new, interleaved=True), "", story.ticket(16), SETTINGS)
    assert relayed.held_reason == ""
    assert relayed.text == (
        "> Hi,\n>\n> invoice 2231 charges us for 12 licences, we only\n> have 10.\nThat is corrected.\n"
        "> Could you correct it? It is due on Friday.\nYes."
    )


def test_references_of_a_customer_name_only_what_that_customer_has_seen() -> None:
    accounting = Person(party=50, address="accounting@customer.test", name="Accounts")
    facts = replace(story.ticket(16), participants=(story.JANE, accounting))
    notice = Notice(
        kind="answer", event=17, recipients=(story.JANE, accounting), about=4, author=story.ALICE, text="x", quote=8
    )
    plan = Plan(outcome="file", inbox="support", notices=(notice,))
    jane, other = compose_all(plan, facts, SETTINGS, story.at("17:22:05"))
    for mail in (jane, other):
        check(mail, SETTINGS, facts)
        assert b"alice-answer" not in mail.content and b"bob-note" not in mail.content
        assert read(mail.content)["In-Reply-To"] == story.JANES_SECOND
    assert read(jane.content)["To"] == read(other.content)["To"]
    assert read(jane.content)["Cc"] == read(other.content)["Cc"] == "Accounts <accounting@customer.test>"
    assert "4827.2.31" in read(jane.content)["References"] and "4827.2.31" not in read(other.content)["References"]
    assert read(jane.content)["Reply-To"] != read(other.content)["Reply-To"]


def test_a_long_conversation_keeps_eight_recent_ids_and_starts_a_new_root_after_ninety() -> None:
    def events(count: int) -> tuple[EventFact, ...]:
        return tuple(
            EventFact(
                number=i, kind="mail", at=story.at("09:58:20"), party=31, public=True, message_id=f"<m{i}@c.test>"
            )
            for i in range(1, count + 1)
        )

    for count, root in ((50, (4827, 0)), (95, (4827, 90))):
        facts = replace(story.ticket(1), events=events(count), message_ids=(), last_event=count)
        mail = compose(
            Notice(kind="customer-reply", event=count + 1, recipients=(story.ALICE,), about=count, author=story.JANE),
            facts,
        )
        check(mail, SETTINGS, facts)
        references = read(mail.content)["References"].split()
        token = story.KEYS.read_message_id(references[0], story.ID_DOMAIN)
        assert token is not None and (token.ticket, token.event, token.party) == (*root, 0)
        assert references[1] == "<m1@c.test>" and references[2:] == [
            f"<m{i}@c.test>" for i in range(count - 7, count + 1)
        ]


def test_formatting_goes_along_only_where_it_says_what_the_text_says() -> None:
    text = "Hello Jane,\nplease use the new form.\n1. fill it in\n2. send it"
    html = "<p>Hello Jane,<br>please use the <b>new</b> form.</p><ol><li>fill it in</li><li>send it</li></ol>"
    answer = Notice(
        kind="answer", event=17, recipients=(story.JANE,), about=4, author=story.ALICE, text=text, html=html, quote=8
    )
    formatted = texts(read(compose(answer, story.ticket(16)).content))[1]
    assert (
        "<b>new</b>" in formatted
        and ">Thank you! Can" in formatted
        and "<blockquote" in formatted
        and "Reference 4827-eaer" in formatted
    )
    more = replace(answer, html=html + f"<div hidden>{NOTE}</div>")
    assert texts(read(compose(more, story.ticket(16)).content))[1] == ""
    ordered = replace(answer, html=f"<p>#close</p>{html}<script>alert(1)</script><img src='http://t.test/x'>")
    kept = texts(read(compose(ordered, story.ticket(16)).content))[1]
    assert "#close" not in kept and "<script" not in kept and "<img" not in kept and "<b>new</b>" in kept


def test_an_away_notice_is_wanted_after_a_persons_answer_and_not_after_a_machines() -> None:
    answer = read(story.compose("03-relayed-answer")[0].content)
    assert answer["Auto-Submitted"] is None and "OOF" not in answer["X-Auto-Response-Suppress"]
    assert story.compose("03-relayed-answer")[0].automatic is False
    assert story.compose("03-relayed-answer")[0].author == 1
    assert all(mail.automatic for name in ("01-customer-ack", "02-agent-offer") for mail in story.compose(name))


@pytest.mark.parametrize(
    ("host", "token", "path", "reply"),
    [
        ("localhost", "plus", "support+bk-4827-5-31-kew7qlvfgjgkgwdi@example.com", "support+tk-4827-0-31-"),
        ("smtp.gmail.com", "plus", "support@example.com", "support+tk-4827-0-31-"),
        ("localhost", "none", "support@example.com", "support@example.com"),
        ("localhost", "domain", "bk-4827-5-31-kew7qlvfgjgkgwdi@reply.example.com", "tk-4827-0-31-"),
    ],
)
def test_tokens_stand_where_the_path_allows_them(host: str, token: str, path: str, reply: str) -> None:
    base = story.make_settings()
    inbox = replace(base.inbox["support"], reply_token=token, reply_domain="reply.example.com")
    changed = replace(base, inbox={"support": inbox}, send=replace(base.send, host=host))
    mail = story.compose("03-relayed-answer", changed)[0]
    assert mail.reverse_path == path
    assert reply in read(mail.content)["Reply-To"]
