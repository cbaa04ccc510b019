"""What a mail offers for finding its ticket, from plain values."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import ActionSubject, Body, Clues, Envelope, Mailbox, Message
from gateway.reference import Keys
from gateway.settings import Inbox, Settings
from gateway.threading.clues import find_action, find_clues, read_thread_index
from gateway.threading.subjects import PREFIXES, canonical_subject, find_ticket_tag, same_subject

KEYS = Keys("k", {"k": bytes(range(32))})
OTHER = Keys("k", {"k": bytes(32)})
SETTINGS = Settings(
    inbox={
        "support": Inbox(name="Example Support", address="support@example.com", handle="support"),
        "sales": Inbox(
            name="Sales", address="sales@example.com", aliases=("shop@example.com",), reply_domain="t.example.com"
        ),
    },
    keys=KEYS,
)
T = "support+tk-4827-0-31-5humcvqnymbhlp5a@example.com"
A = "support+ak-4827-3-1-xky6wjaxqdry5guq@example.com"
M = "<4827.3.1.k4gvcsjt567vk7774@tickets.example.com>"
ROOT = "<4827.0.0.kpwvjemozeubptdzj@tickets.example.com>"


def clues(recipient: str = "support@example.com", text: Body | None = None, **message: Any) -> Clues:
    envelope = Envelope(
        reverse_path="jane@customer.test",
        recipient=recipient,
        inbox="support",
        source="lmtp",
        received_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
    )
    return find_clues(Message(**message), text or Body(), envelope, KEYS, SETTINGS)


def tokens(found: Clues) -> list[tuple[str, int, int, int, str]]:
    return [(t.kind, t.ticket, t.event, t.party, t.where) for t in found.tokens]


# ------------------------------------------------------------------ tokens in addresses


@pytest.mark.parametrize(
    "message",
    [
        {"recipients": ("bo@berg.test",)},
        {"author": Mailbox("Bo Berg", "Bo@berg.test")},
        {"fields": {"in-reply-to": ("Message from Bo Berg <bo@berg.test> of Monday <7@berg.test>",)}},
    ],
)
def test_a_persons_address_in_in_reply_to_is_no_id(message: dict[str, Any]) -> None:
    found = clues(in_reply_to=("<bo@berg.test>", "<7@berg.test>"), **message)
    assert found.in_reply_to == ("<7@berg.test>",)
    assert found.is_reply


def test_an_id_among_words_is_an_id() -> None:
    value = 'Your message of "Mon, 23 Nov 2026" <7@berg.test>'
    assert clues(in_reply_to=("<7@berg.test>",), fields={"in-reply-to": (value,)}).in_reply_to == ("<7@berg.test>",)


def test_the_envelope_is_the_first_place_for_a_token() -> None:
    found = clues(T, recipients=(A,), to=(Mailbox("", A),))
    assert tokens(found) == [("t", 4827, 0, 31, "envelope"), ("a", 4827, 3, 1, "to")]


def test_a_token_is_found_in_every_field_that_names_recipients() -> None:
    found = clues(recipients=("x@y.test", T, A), cc=(Mailbox("Support", A),))
    assert tokens(found) == [("t", 4827, 0, 31, "header"), ("a", 4827, 3, 1, "cc")]


def test_a_token_counts_once_however_often_it_stands_there() -> None:
    assert len(clues(T, recipients=(T, T.upper())).tokens) == 1


def test_the_case_of_an_address_does_not_matter() -> None:
    assert tokens(clues(T.upper())) == tokens(clues(T))


@pytest.mark.parametrize(
    "address",
    [
        '"support+tk-4827-0-31-5humcvqnymbhlp5a"@example.com',
        "support+\\tk-4827-0-31-5humcvqnymbhlp5a@example.com",
        "support+tk-4827-0-31-5humcvqnymbhlp5a@elsewhere.test",
        "other+tk-4827-0-31-5humcvqnymbhlp5a@example.com",
        "tk-4827-0-31-5humcvqnymbhlp5a@example.com",
        "support+x+tk-4827-0-31-5humcvqnymbhlp5a@example.com",
        "support+tk-4827-0-31-5humcvqnymbhlp5a",
        "support+mk-4827-3-1-4gvcsjt567vk7774@example.com",
        "",
    ],
)
def test_what_is_no_address_of_ours_with_one_tag_has_no_token(address: str) -> None:
    assert clues(address).tokens == ()


def test_an_alias_of_an_inbox_carries_tokens_too() -> None:
    assert len(clues("shop+tk-4827-0-31-5humcvqnymbhlp5a@example.com").tokens) == 1


def test_in_a_reply_domain_the_whole_local_part_is_the_token() -> None:
    assert len(clues("tk-4827-0-31-5humcvqnymbhlp5a@T.example.com").tokens) == 1
    assert clues("sales+tk-4827-0-31-5humcvqnymbhlp5a@t.example.com").tokens == ()


@pytest.mark.parametrize("position", range(16))
def test_a_token_with_one_other_character_is_a_bad_one(position: int) -> None:
    local, mac = T[: -len("5humcvqnymbhlp5a@example.com")], "5humcvqnymbhlp5a"
    letter = "a" if mac[position] != "a" else "b"
    found = clues(f"{local}{mac[:position]}{letter}{mac[position + 1 :]}@example.com")
    assert found.tokens == () and found.bad_tokens == 1


def test_a_token_of_another_kind_or_key_is_a_bad_one() -> None:
    assert clues(T.replace("+tk", "+ak")).bad_tokens == 1
    assert clues(T.replace("+tk", "+tj")).bad_tokens == 1
    assert clues("support+newsletter@example.com").bad_tokens == 0


# ------------------------------------------------------------------ Message-IDs


def test_our_own_ids_are_recognised_newest_first() -> None:
    found = clues(in_reply_to=(M,), references=(ROOT, "<x@y.test>", M))
    assert [(t.ticket, t.event, t.party, t.where) for t in found.own_ids] == [
        (4827, 3, 1, "in-reply-to"),
        (4827, 0, 0, "references"),
    ]
    assert found.in_reply_to == (M,)
    assert found.references == (ROOT, "<x@y.test>", M)
    assert found.is_reply


def test_a_client_may_change_the_case_of_an_id_or_fold_a_blank_into_it() -> None:
    assert len(clues(in_reply_to=(M.upper(),)).own_ids) == 1
    assert len(clues(in_reply_to=(f"{M[:20]} {M[20:]}",)).own_ids) == 1


def test_an_id_without_brackets_or_among_words_is_found_in_the_header_itself() -> None:
    field = f"Your message of Monday, {M[1:-1]}."
    assert len(clues(fields={"in-reply-to": (field,)}).own_ids) == 1
    assert len(clues(fields={"references": (f"{ROOT};{M}",)}).own_ids) == 2


def test_an_id_with_a_wrong_mac_or_another_domain_is_not_ours() -> None:
    assert clues(in_reply_to=(M.replace("4827.3", "4828.3"),)).own_ids == ()
    assert clues(in_reply_to=(M.replace("tickets.example.com", "tickets.elsewhere.test"),)).own_ids == ()
    assert clues(in_reply_to=(OTHER.make_message_id(4827, 3, 1, "tickets.example.com"),)).own_ids == ()


def test_only_the_newest_twenty_references_are_read_and_none_that_is_too_long() -> None:
    ids = tuple(f"<{n}@y.test>" for n in range(100))
    assert clues(references=ids).references == ids[-20:]
    assert clues(references=("<" + "x" * 998 + "@y.test>",)).references == ()
    assert clues(references=("<" + "ü" * 500 + "@y.test>",)).references == ()


def test_a_mail_that_names_itself_offers_nothing_by_that() -> None:
    found = clues(
        message_id="<self@y.test>", in_reply_to=("<self@y.test>",), references=("<self@y.test>", "<o@y.test>")
    )
    assert found.in_reply_to == ()
    assert found.references == ("<o@y.test>",)
    assert not clues(message_id=M, in_reply_to=(M,)).own_ids


def test_empty_and_broken_ids_are_no_reply() -> None:
    assert not clues(in_reply_to=("<>", "", "< >")).is_reply


# ------------------------------------------------------------------ subject


def test_a_one_tap_subject_is_taken_apart() -> None:
    assert find_action("snooze 1d 4827.3 k3r276edvxisftbto") == ActionSubject(
        order="snooze 1d", ticket=4827, event=3, token="k3r276edvxisftbto"
    )
    assert find_action("Show 4827 K3R276EDVXISFTBTO") == ActionSubject(
        order="Show", ticket=4827, event=0, token="k3r276edvxisftbto"
    )
    assert find_action("digest off k5rvcfsjzdx5hez23") == ActionSubject(
        order="digest off", ticket=0, event=0, token="k5rvcfsjzdx5hez23"
    )


@pytest.mark.parametrize("subject", ["", "k3r276edvxisftbto", "4827.3 k3r276edvxisftbto", "x " * 200, "Invoice 2231"])
def test_other_subjects_are_no_one_tap_action(subject: str) -> None:
    assert find_action(subject) is None


def test_the_number_of_a_ticket_is_found_in_the_subject() -> None:
    assert find_ticket_tag("Re: [#4827] Invoice [#1]") == 4827
    assert find_ticket_tag("Invoice #4827") == 0
    assert find_ticket_tag("[#0] x") == 0
    assert clues(subject="AW: [#4827] Invoice").subject_reference == 4827


@pytest.mark.parametrize(
    ("subject", "canonical"),
    [
        ("Invoice 2231 is wrong", "Invoice 2231 is wrong"),
        ("Re: AW: SV: Antw: Re[2]: [#4827] Invoice", "Invoice"),
        ("RE : Invoice", "Invoice"),
        ("re:re:Re(3):RE^4:Invoice", "Invoice"),
        ("回复：Invoice", "Invoice"),
        ("\u200fRe: Invoice", "Invoice"),
        ("İLT: Invoice", "Invoice"),
        ("ΑΠ: Invoice", "Invoice"),
        ("Trả lời: Fwd: Invoice", "Invoice"),
        ("[EXTERNAL] Re: Invoice", "Invoice"),
        ("答复: [外部] Invoice", "Invoice"),
        ("***SPAM*** Re: {External} [Suspected SPAM] Invoice", "Invoice"),
        ("HA: תשובה: Invoice", "Invoice"),
        ("Spam: what to do?", "Spam: what to do?"),
        ("[Spammers] Invoice", "[Spammers] Invoice"),
        ("Réponse automatique : Invoice", "Invoice"),
        ("  Invoice\u00a0 2231\t", "Invoice 2231"),
        ("Invoice [#4827]", "Invoice"),
        ("Regarding: Invoice", "Regarding: Invoice"),
        ("Resolution: x", "Resolution: x"),
        ("Re", "Re"),
        ("Re:", ""),
        ("", ""),
    ],
)
def test_the_canonical_subject_has_no_prefixes(subject: str, canonical: str) -> None:
    assert canonical_subject(subject) == canonical


@pytest.mark.parametrize("word", sorted({word for words in PREFIXES.values() for word in words}))
def test_every_prefix_of_every_language_is_removed_in_any_case(word: str) -> None:
    for spelling in (word, word.upper(), word.lower()):
        assert canonical_subject(f"{spelling}: {spelling}[2]: Invoice") == "Invoice"


def test_prefixes_of_thirty_languages_are_known() -> None:
    assert len(PREFIXES) - 2 >= 30


def test_subjects_are_compared_without_case_prefixes_and_blanks() -> None:
    assert same_subject("Re: INVOICE  2231", "[#4827] Invoice 2231")
    assert same_subject("Straße", "AW: STRASSE")
    assert not same_subject("Invoice 2231", "Invoice 2232")


def test_a_mailing_lists_tag_before_the_prefix_makes_no_other_subject() -> None:
    assert same_subject("[users] Re: Invoice", "Re: [users] Re: [users] Invoice")
    assert not same_subject("[users] Invoice", "[devel] Invoice")
    assert same_subject("[a][b]" * 100, "Re: " + "[a][b]" * 100)


@given(st.text(max_size=60))
def test_the_canonical_subject_is_canonical(subject: str) -> None:
    assert canonical_subject(canonical_subject(subject)) == canonical_subject(subject)
    assert same_subject(subject, canonical_subject(subject))


# ------------------------------------------------------------------ text and Thread-Index


def test_the_reference_line_is_found_in_quoted_text_first() -> None:
    other = KEYS.make_reference_line(1)
    body = Body(new=f"see {other}", quoted="> Example Support  Reference 4827-eaer\n")
    assert clues(text=body).reference_line == 4827
    assert clues(text=Body(new="it says 4827-eaer at the foot")).reference_line == 4827


def test_a_wrong_reference_line_is_none() -> None:
    assert clues(text=Body(quoted="> Reference 4827-eaes")).reference_line == 0
    assert clues(text=Body(quoted="> call 555-2345 or 2026-2027")).reference_line == 0


def test_the_header_of_a_thread_index_is_read() -> None:
    value = "Ad17KMl4jv078EX6UqGbXYeb8aIexQAHHaoQ"
    assert clues(fields={"thread-index": (value,)}).thread_index == base64.b64decode(value)[:22].hex()
    assert read_thread_index((f"{value[:20]}\r\n {value[20:]}",)) == base64.b64decode(value)[:22].hex()
    assert read_thread_index((base64.b64encode(bytes(22)).decode().rstrip("="),)) == bytes(22).hex()


@pytest.mark.parametrize("value", ["", "AA==", "????", "ü" * 40, base64.b64encode(bytes(21)).decode()])
def test_a_broken_thread_index_is_none(value: str) -> None:
    assert read_thread_index((value,)) == ""


# ------------------------------------------------------------------ everything together


def test_a_plain_new_mail_offers_its_subject_and_nothing_else() -> None:
    assert clues(subject="Invoice", message_id="<1@y.test>") == Clues(subject="Invoice")


@given(
    st.text(max_size=40),
    st.lists(st.text(max_size=40), max_size=4),
    st.lists(st.one_of(st.text(max_size=40), st.sampled_from([T, A, M, ROOT])), max_size=5),
    st.text(max_size=60),
)
def test_finding_clues_never_raises(subject: str, ids: list[str], addresses: list[str], value: str) -> None:
    found = clues(
        addresses[0] if addresses else "",
        Body(new=value, quoted=subject),
        subject=subject,
        message_id=value,
        in_reply_to=tuple(ids),
        references=tuple(addresses),
        recipients=tuple(addresses),
        fields={"thread-index": (value,), "references": (value,), "in-reply-to": tuple(ids)},
    )
    assert all(token.ticket == 4827 for token in (*found.tokens, *found.own_ids))


@given(st.permutations([T, A, "jane@customer.test", "support@example.com"]))
def test_the_order_of_recipients_in_the_header_does_not_change_which_tokens_are_found(order: list[str]) -> None:
    assert sorted(tokens(clues(recipients=tuple(order)))) == sorted(tokens(clues(recipients=(T, A))))


@pytest.mark.timeout(20)
def test_a_hostile_mail_is_searched_in_linear_time() -> None:
    clues(
        recipients=tuple(f"support+tk-{n}-0-31-5humcvqnymbhlp5a@example.com" for n in range(20_000)),
        subject="Re: " * 100_000 + "[#1] " * 100_000,
        in_reply_to=("<" + "1." * 500 + "@x>",) * 1000,
        references=(M.replace("4827", "1"),) * 100_000,
        fields={
            "references": ("4827.3.1.k" * 200_000,),
            "in-reply-to": ("1" * 1_000_000,),
            "thread-index": ("A" * 10**6,),
        },
        text=Body(quoted="4827-eaes " * 200_000, new="1" * 1_000_000),
    )
