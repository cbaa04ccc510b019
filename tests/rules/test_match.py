"""Which ticket a mail means: the ladder of mail.md 8, over plain values."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.model import (
    ActionSubject,
    AuthenticationResults,
    Clues,
    Facts,
    Findings,
    Match,
    Message,
    MessageIdFact,
    Origin,
    Person,
    Proof,
    State,
    TicketFacts,
    Token,
)
from gateway.reference import Keys
from gateway.settings import Duration, Settings, Tickets
from gateway.threading.match import choose_ticket

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
KEYS = Keys("k", {"k": bytes(range(32))})
SETTINGS = Settings(keys=KEYS)

ALICE = Person(party=1, address="alice@example.com", agent="alice")
BOB = Person(party=2, address="bob@example.com", agent="bob")
JANE = Person(party=31, address="jane@customer.test")
TOM = Person(party=44, address="tom@shop.test")
EVIL = Person(party=66, address="evil@evil.test")
PEOPLE = {person.party: person for person in (ALICE, BOB, JANE, TOM, EVIL)}


def ticket(number: int, customer: Person = JANE, **other: Any) -> TicketFacts:
    values: dict[str, Any] = {
        "uuid": f"uuid-{number}",
        "inbox": "support",
        "subject": f"Matter {number}",
        "state": State.OPEN,
        "created_at": NOW - timedelta(days=3),
        "customer": customer,
        "participants": (customer,),
    }
    return TicketFacts(number=number, **{**values, **other})


def tickets(*facts: TicketFacts) -> dict[int, TicketFacts]:
    return {fact.number: fact for fact in facts}


def token(kind: str, number: int, event: int = 0, party: int = 31, where: str = "envelope") -> Token:
    return Token(kind=kind, ticket=number, event=event, party=party, where=where)


def own_id(number: int, event: int, party: int, where: str = "in-reply-to") -> Token:
    text = KEYS.make_message_id(number, event, party, SETTINGS.id_domain)
    return Token(kind="m", ticket=number, event=event, party=party, where=where, text=text)


def known(message_id: str, number: int, event: int = 4, party: int = 0) -> MessageIdFact:
    return MessageIdFact(message_id=message_id, ticket=number, event=event, party=party)


def choose(
    clues: Clues,
    author: Person | None = JANE,
    proof: Proof = Proof.DKIM,
    origin: Origin = Origin.PERSON,
    message_id: str = "<new@y.test>",
    settings: Settings = SETTINGS,
    **facts: Any,
) -> Match:
    facts.setdefault("tickets", tickets(ticket(4827), ticket(4828, TOM)))
    ids = facts.pop("ids", ())
    return choose_ticket(
        clues,
        Facts(
            author=author,
            author_agent=author.agent if author else "",
            persons=PEOPLE,
            known_ids={fact.message_id: fact for fact in ids},
            **facts,
        ),
        Findings(
            message=Message(message_id=message_id),
            origin=origin,
            authentication=AuthenticationResults(proof=proof),
        ),
        settings,
        NOW,
    )


def said(match: Match) -> str:
    return "; ".join(f"{declined.clue} {declined.ticket}: {declined.why}" for declined in match.declined)


# ------------------------------------------------------------------ nothing, tokens


def test_a_mail_without_clues_is_a_new_ticket() -> None:
    assert choose(Clues(subject="Hello")) == Match()


def test_a_token_names_ticket_event_party_and_kind() -> None:
    match = choose(Clues(tokens=(token("a", 4827, 3, 1),)), ALICE)
    assert match == Match(ticket=4827, ground="token", event=3, party=1, kind="a")


def test_a_match_only_proposes_whoever_the_author_is() -> None:
    clues = Clues(tokens=(token("t", 4827),), subject="Matter 4827")
    for author, proof in ((EVIL, Proof.DKIM), (EVIL, Proof.NONE), (None, Proof.NONE), (JANE, Proof.NONE)):
        assert choose(clues, author, proof).ticket == 4827


def test_another_agents_token_stays_another_agents() -> None:
    assert choose(Clues(tokens=(token("a", 4827, 3, 1),)), BOB).party == 1


def test_the_token_of_a_removed_participant_counts_as_none() -> None:
    match = choose(Clues(tokens=(token("t", 4827, party=66),), is_reply=True))
    assert match.ticket == 0 and match.follows == 0
    assert "removed" in said(match)


def test_a_token_of_a_ticket_that_is_gone_is_declined_with_a_reason() -> None:
    match = choose(Clues(tokens=(token("t", 9999),), is_reply=True))
    assert match.ticket == 0
    assert "no such ticket" in said(match)


def test_a_merged_ticket_is_the_one_it_went_into_and_its_event_numbers_name_nothing_there() -> None:
    into = replace(ticket(4827), participants=(JANE,))
    match = choose(Clues(tokens=(token("a", 4801, 7, 1),)), ALICE, tickets={4801: into, 4827: into})
    assert (match.ticket, match.event, match.party) == (4827, 0, 1)


def test_a_merged_ticket_that_could_not_be_followed_is_declined() -> None:
    match = choose(Clues(tokens=(token("t", 4827),)), tickets=tickets(ticket(4827, merged_into=4000)))
    assert match.ticket == 0 and "merged into 4000" in said(match)


def test_the_personal_command_address_and_lists_name_no_ticket_but_their_list() -> None:
    match = choose(Clues(tokens=(token("d", 0, 77, 1),)), ALICE)
    assert match == Match(ground="token", event=77, party=1, kind="d")


def test_a_reply_address_taken_from_the_address_book_starts_a_new_linked_ticket() -> None:
    match = choose(Clues(tokens=(token("t", 4827),), subject="Something else"))
    assert (match.ticket, match.ground, match.follows, match.party, match.kind) == (0, "none", 4827, 0, "")
    assert "address book" in said(match)


def test_a_reply_to_that_address_or_the_same_subject_is_no_re_use() -> None:
    assert choose(Clues(tokens=(token("t", 4827),), subject="Something else", is_reply=True)).ticket == 4827
    assert choose(Clues(tokens=(token("t", 4827),), subject="matter 4827")).ticket == 4827


def test_an_away_notice_with_its_own_subject_still_belongs_to_what_it_answers() -> None:
    clues = Clues(tokens=(token("t", 4827),), subject="I am away")
    assert choose(clues, origin=Origin.AUTO_REPLY).ticket == 4827


def test_an_agents_token_is_never_an_address_book_re_use() -> None:
    assert choose(Clues(tokens=(token("a", 4827, 3, 1),), subject="Other"), ALICE).ticket == 4827


# ------------------------------------------------------------------ tokens of several tickets


def test_the_envelope_decides_between_two_tickets() -> None:
    clues = Clues(tokens=(token("t", 4828, party=44), token("t", 4827, where="to")), is_reply=True)
    for author in (TOM, ALICE):
        match = choose(clues, author)
        assert match.ticket == 4828 and match.ground == "token"
        assert "4827: the envelope names another ticket" in said(match)


def test_without_an_envelope_token_an_agents_mail_about_two_tickets_is_ambiguous() -> None:
    clues = Clues(tokens=(token("a", 4827, 3, 1, "to"), token("a", 4828, 2, 1, "cc")))
    match = choose(clues, ALICE)
    assert match.ground == "ambiguous" and match.ticket == 4827
    assert "4828" in said(match)


def test_without_an_envelope_token_a_customers_mail_goes_to_the_first_and_is_flagged() -> None:
    clues = Clues(tokens=(token("t", 4827, where="to"), token("t", 4828, party=44, where="cc")), is_reply=True)
    match = choose(clues)
    assert match.ticket == 4827 and match.ground == "token"
    assert "4828: the mail names several tickets" in said(match)


def test_two_tokens_of_tickets_that_were_merged_are_not_ambiguous() -> None:
    into = ticket(4827)
    clues = Clues(tokens=(token("a", 4801, 3, 1, "to"), token("a", 4827, 5, 1, "cc")))
    assert choose(clues, ALICE, tickets={4801: into, 4827: into}).ground == "token"


def test_an_agents_mail_that_is_an_answer_by_one_address_and_a_note_by_another_is_ambiguous() -> None:
    for order in itertools.permutations((token("a", 4827, 3, 1), token("n", 4827, 13, 1, "to"))):
        assert choose(Clues(tokens=order), ALICE).ground == "ambiguous"


def test_of_two_tokens_of_one_ticket_the_authors_own_counts() -> None:
    tokens = (token("a", 4827, 3, 1), token("a", 4827, 3, 2, "cc"))
    assert choose(Clues(tokens=tokens), BOB).party == 2
    assert choose(Clues(tokens=tokens), EVIL).party == 1


@given(st.permutations([token("t", 4827, where="to"), token("a", 4827, 3, 1, "cc"), token("t", 9, where="header")]))
def test_the_order_of_addresses_about_one_ticket_makes_no_difference(order: list[Token]) -> None:
    match = choose(Clues(tokens=tuple(order), is_reply=True))
    assert (match.ticket, match.party, match.kind) == (4827, 31, "t")


# ------------------------------------------------------------------ bounce addresses, siblings, one-tap


def test_mail_to_a_bounce_address_is_a_bounce_whatever_else_it_says() -> None:
    clues = Clues(tokens=(token("b", 4827, 5, 31), token("t", 4828, where="to")), in_reply_to=("<x@y.test>",))
    assert choose(clues, None) == Match(ticket=4827, ground="bounce", event=5, party=31, kind="b")
    assert choose(Clues(tokens=(token("b", 4827, 5, 31, "to"),)), None).ground == "bounce"


def test_a_bounce_about_no_ticket_or_a_lost_one_is_still_a_bounce() -> None:
    assert choose(Clues(tokens=(token("b", 0, 80, 1),)), None) == Match(ground="bounce", event=80, party=1, kind="b")
    match = choose(Clues(tokens=(token("b", 9999, 5, 31),)), None)
    assert match.ground == "bounce" and match.ticket == 0 and "no such ticket" in said(match)


def test_a_bounce_address_in_the_copy_line_does_not_decide() -> None:
    clues = Clues(tokens=(token("t", 4827), token("b", 4828, 5, 44, "cc")), is_reply=True)
    assert choose(clues).ticket == 4827


def test_a_sibling_copy_joins_the_first_one() -> None:
    clues = Clues(tokens=(token("a", 4827, 3, 1),))
    match = choose(clues, ALICE, sibling=known("<new@y.test>", 4827, 6))
    assert match == Match(ticket=4827, ground="sibling", event=6, party=1, kind="a")
    assert choose(Clues(), sibling=known("<new@y.test>", 4827, 6)).ground == "sibling"


def test_a_one_tap_subject_of_its_agent_comes_before_every_token() -> None:
    action = ActionSubject(order="claim", ticket=4827, event=3, token=KEYS.make_action(4827, 3, 1))
    match = choose(Clues(action=action, tokens=(token("a", 4828, 2, 1),)), ALICE)
    assert match == Match(ticket=4827, ground="action", event=3, party=1, kind="x")


def test_a_one_tap_subject_about_own_settings_names_no_ticket() -> None:
    action = ActionSubject(order="digest off", ticket=0, event=0, token=KEYS.make_action(0, 0, 1))
    assert choose(Clues(action=action), ALICE) == Match(ground="action", party=1, kind="x")


def test_a_one_tap_token_of_somebody_else_or_of_another_event_is_none() -> None:
    for event, party in ((3, 2), (4, 1)):
        action = ActionSubject(order="claim", ticket=4827, event=3, token=KEYS.make_action(4827, event, party))
        match = choose(Clues(action=action), ALICE)
        assert match.ticket == 0 and "one-tap" in said(match)


def test_a_customers_subject_is_never_an_action() -> None:
    action = ActionSubject(order="claim", ticket=4827, event=3, token=KEYS.make_action(4827, 3, 31))
    assert choose(Clues(action=action)) == Match()


# ------------------------------------------------------------------ In-Reply-To


def test_an_answer_to_a_mail_we_sent_names_whom_we_sent_it_to() -> None:
    match = choose(Clues(own_ids=(own_id(4827, 3, 1),), is_reply=True), ALICE)
    assert match == Match(ticket=4827, ground="message-id", event=3, party=1, kind="m")


def test_an_answer_to_a_stored_foreign_mail_has_no_party() -> None:
    match = choose(Clues(in_reply_to=("<x@y.test>",), is_reply=True), ids=[known("<x@y.test>", 4827)])
    assert match == Match(ticket=4827, ground="message-id", event=4)


def test_a_stored_id_that_a_provider_gave_our_mail_is_as_good_as_ours() -> None:
    match = choose(Clues(in_reply_to=("<0100@ses.test>",)), ALICE, ids=[known("<0100@ses.test>", 4827, 3, 1)])
    assert match == Match(ticket=4827, ground="message-id", event=3, party=1, kind="m")


def test_an_id_of_our_domain_without_a_valid_mac_gives_no_party_even_if_it_is_stored() -> None:
    forged = f"<4827.3.1.kaaaaaaaaaaaaaaaa@{SETTINGS.id_domain}>"
    match = choose(Clues(in_reply_to=(forged,)), ALICE, ids=[known(forged, 4827, 3, 1)])
    assert match.ticket == 4827 and match.party == 0 and match.kind == ""


def test_the_case_of_a_stored_id_may_have_changed() -> None:
    assert choose(Clues(in_reply_to=("<X@Y.TEST>",)), ids=[known("<x@y.test>", 4827)]).ticket == 4827


def test_a_stranger_with_a_known_message_id_gets_a_proposal_and_nothing_more() -> None:
    match = choose(Clues(own_ids=(own_id(4827, 5, 31),), is_reply=True), EVIL)
    assert match.ticket == 4827 and match.party == 31


def test_our_message_id_issued_to_a_removed_participant_counts_as_none() -> None:
    match = choose(Clues(own_ids=(own_id(4827, 5, 66),), is_reply=True))
    assert match.ticket == 0 and "removed" in said(match)


def test_a_token_comes_before_in_reply_to_and_the_contradiction_is_told() -> None:
    clues = Clues(tokens=(token("t", 4827),), own_ids=(own_id(4828, 2, 44),), is_reply=True)
    match = choose(clues)
    assert match.ticket == 4827
    assert "In-Reply-To 4828: names another ticket than the token" in said(match)


def test_the_first_usable_in_reply_to_counts() -> None:
    clues = Clues(in_reply_to=("<unknown@y.test>", "<gone@y.test>", "<x@y.test>"))
    match = choose(clues, ids=[known("<gone@y.test>", 9), known("<x@y.test>", 4827)])
    assert match.ticket == 4827 and "9: there is no such ticket" in said(match)


# ------------------------------------------------------------------ References


def test_an_older_reference_counts_with_the_same_subject() -> None:
    clues = Clues(references=("<x@y.test>",), subject="MATTER 4827", is_reply=True)
    match = choose(clues, ids=[known("<x@y.test>", 4827)])
    assert match == Match(ticket=4827, ground="references", event=4)


def test_an_old_thread_with_a_new_subject_is_a_new_ticket_that_follows() -> None:
    clues = Clues(
        references=("<x@y.test>",), subject="Another matter", is_reply=True, reference_line=4827, subject_reference=0
    )
    match = choose(clues, ids=[known("<x@y.test>", 4827)])
    assert match.ticket == 0 and match.follows == 4827 and match.ground == "none"
    assert "another subject" in said(match)


def test_the_newest_known_reference_counts() -> None:
    clues = Clues(references=("<a@y.test>", "<b@y.test>", "<unknown@y.test>"), subject="Matter 4828")
    match = choose(clues, ids=[known("<a@y.test>", 4827), known("<b@y.test>", 4828)])
    assert match.ticket == 4828
    assert "References 4827: names another ticket than the references" in said(match)


def test_an_agent_whose_client_lost_our_parent_id_is_known_by_an_older_one_in_references() -> None:
    root, first = own_id(4827, 0, 0, "references"), own_id(4827, 3, 1, "references")
    clues = Clues(
        in_reply_to=("<renamed@ses.test>",),
        references=(root.text, first.text, "<jane@y.test>"),
        own_ids=(first, root),
        subject="Matter 4827",
        is_reply=True,
    )
    match = choose(clues, ALICE, ids=[known("<jane@y.test>", 4827, 8)])
    assert match == Match(ticket=4827, ground="references", event=3, party=1, kind="m")


def test_an_own_id_that_only_the_raw_header_shows_counts_like_a_reference() -> None:
    clues = Clues(own_ids=(own_id(4827, 3, 31, "references"),), subject="Matter 4827")
    assert choose(clues).ground == "references"
    assert choose(replace(clues, subject="Other")).follows == 4827


# ------------------------------------------------------------------ order of arrival, reused and own ids


def test_a_parent_that_arrives_after_its_reply_joins_the_ticket_of_the_reply() -> None:
    awaited = known("<parent@y.test>", 4827, event=0)
    match = choose(Clues(subject="Matter 4827"), message_id="<parent@y.test>", ids=[awaited])
    assert match == Match(ticket=4827, ground="parent")


def test_a_parent_from_somebody_else_is_a_ticket_of_its_own_that_follows() -> None:
    awaited = known("<parent@y.test>", 4827, event=0)
    match = choose(Clues(subject="Matter 4827"), TOM, message_id="<parent@y.test>", ids=[awaited])
    assert match.ticket == 0 and match.follows == 4827


def test_a_brother_of_an_early_reply_meets_it_by_the_parent_that_is_awaited() -> None:
    awaited = known("<parent@y.test>", 4827, event=0)
    clues = Clues(in_reply_to=("<parent@y.test>",), is_reply=True)
    assert choose(clues, ids=[awaited]).ticket == 4827


def test_a_mail_that_joins_two_tickets_says_that_another_one_waited_for_it() -> None:
    """Reply, parent, then the mail between them: without full References two tickets grew out of one matter."""
    clues = Clues(in_reply_to=("<parent@y.test>",), is_reply=True)
    ids = [known("<parent@y.test>", 4827), known("<middle@y.test>", 4828, event=0)]
    match = choose(clues, message_id="<middle@y.test>", ids=ids)
    assert match.ticket == 4827 and "Message-ID 4828: names another ticket" in said(match)


def test_nobody_can_catch_another_persons_mail_by_awaiting_its_parent() -> None:
    """EVIL opened 4828 with a reply to a mail between TOM and a friend; TOM's own answer is not drawn into it."""
    trap = tickets(ticket(4828, EVIL))
    match = choose(
        Clues(in_reply_to=("<private@y.test>",), is_reply=True),
        TOM,
        tickets=trap,
        ids=[known("<private@y.test>", 4828, event=0)],
    )
    assert match.ticket == 0 and match.follows == 0
    assert "another person" in said(match)


def test_a_reused_message_id_is_another_mail() -> None:
    match = choose(Clues(subject="Matter 4827"), message_id="<same@y.test>", ids=[known("<same@y.test>", 4827, 1)])
    assert match.ticket == 0 and match.follows == 0
    assert "the same Message-ID" in said(match)


def test_a_reused_message_id_does_not_hide_the_other_clues() -> None:
    match = choose(
        Clues(in_reply_to=("<x@y.test>",)),
        message_id="<same@y.test>",
        ids=[known("<same@y.test>", 4828, 1), known("<x@y.test>", 4827)],
    )
    assert match.ticket == 4827


class _Desk:
    """As much of a store as matching needs: what a mail is remembered by (see gateway/threading/match.py)."""

    def __init__(self) -> None:
        self.ids: dict[str, MessageIdFact] = {}
        self.tickets: dict[int, TicketFacts] = {}
        self.filed: dict[str, int] = {}

    def receive(self, message_id: str, references: tuple[str, ...]) -> None:
        clues = Clues(in_reply_to=references[-1:], references=references, subject="Matter", is_reply=bool(references))
        match = choose(clues, message_id=message_id, ids=tuple(self.ids.values()), tickets=self.tickets)
        number = match.ticket or len(self.tickets) + 1
        if not match.ticket:
            self.tickets[number] = ticket(number, subject="Matter")
        self.filed[message_id] = number
        self.ids[message_id] = known(message_id, number, event=len(self.filed))
        for awaited in references:
            self.ids.setdefault(awaited, known(awaited, number, event=0))


@st.composite
def _conversations(draw: st.DrawFn) -> list[tuple[str, tuple[str, ...]]]:
    """Trees of replies, each with the References of RFC 5322 3.6.4, in any order of arrival."""
    mails: list[tuple[str, tuple[str, ...]]] = []
    for number in range(draw(st.integers(1, 7))):
        parent = draw(st.integers(-1, number - 1))
        references = (*mails[parent][1], mails[parent][0]) if parent >= 0 else ()
        mails.append((f"<{number}@y.test>", references))
    return draw(st.permutations(mails))


@given(_conversations())
@hypothesis_settings(max_examples=200, deadline=None)
def test_in_any_order_of_arrival_the_same_mails_meet_in_the_same_tickets(
    mails: list[tuple[str, tuple[str, ...]]],
) -> None:
    desk = _Desk()
    for message_id, references in mails:
        desk.receive(message_id, references)
    roots = {message_id: (*references, message_id)[0] for message_id, references in mails}
    for left, right in itertools.combinations(roots, 2):
        assert (desk.filed[left] == desk.filed[right]) == (roots[left] == roots[right])


# ------------------------------------------------------------------ reference line, [#n]


def test_a_reference_line_counts_for_a_proven_participant_only() -> None:
    clues = Clues(reference_line=4827)
    assert choose(clues) == Match(ticket=4827, ground="reference-line", kind="r")
    others: list[tuple[Person | None, Proof]] = [(JANE, Proof.NONE), (EVIL, Proof.DKIM), (ALICE, Proof.DKIM)]
    for author, proof in (*others, (None, Proof.NONE)):
        match = choose(clues, author, proof)
        assert match.ticket == 0 and match.follows == 0 and "proven participant" in said(match)


def test_a_number_in_the_subject_proposes_its_ticket_whoever_writes() -> None:
    clues = Clues(subject_reference=4827)
    people: list[Person | None] = [JANE, ALICE, EVIL, None]
    for author in people:
        for proof in (Proof.DKIM, Proof.NONE):
            assert choose(clues, author, proof) == Match(ticket=4827, ground="subject")


def test_a_number_in_the_subject_of_a_program_counts_for_participants_only() -> None:
    clues = Clues(subject_reference=4827)
    assert choose(clues, JANE, origin=Origin.AUTO_REPLY).ticket == 4827
    for origin in (Origin.MACHINE, Origin.AUTO_REPLY, Origin.LIST):
        match = choose(clues, EVIL, origin=origin)
        assert match.ticket == 0 and "automatic" in said(match)


def test_a_participant_who_was_added_counts_like_the_customer() -> None:
    shared = tickets(ticket(4827, participants=(JANE, TOM)))
    assert choose(Clues(subject_reference=4827), TOM, tickets=shared).ticket == 4827


def test_a_number_of_no_ticket_is_declined() -> None:
    assert "no such ticket" in said(choose(Clues(subject_reference=5)))
    assert "no such ticket" in said(choose(Clues(reference_line=5)))


# ------------------------------------------------------------------ closed tickets


def closed(days: float, **other: Any) -> dict[int, TicketFacts]:
    return tickets(ticket(4827, state=State.CLOSED, closed_at=NOW - timedelta(days=days), **other))


CUSTOMER_CLUES = [
    Clues(tokens=(token("t", 4827),), subject="Matter 4827", is_reply=True),
    Clues(own_ids=(own_id(4827, 5, 31),), is_reply=True),
    Clues(in_reply_to=("<x@y.test>",), is_reply=True),
    Clues(references=("<x@y.test>",), subject="Matter 4827", is_reply=True),
    Clues(reference_line=4827),
    Clues(subject_reference=4827),
]


@pytest.mark.parametrize("clues", CUSTOMER_CLUES)
def test_a_customers_reply_to_a_ticket_closed_long_ago_is_a_new_one_that_follows(clues: Clues) -> None:
    ids = [known("<x@y.test>", 4827)]
    assert choose(clues, tickets=closed(30), ids=ids).ticket == 4827
    late = choose(clues, tickets=closed(30.1), ids=ids)
    assert (late.ticket, late.ground, late.follows) == (0, "none", 4827)
    assert "closed since 2026-10-24" in said(late)


def test_the_time_in_which_a_ticket_reopens_is_a_setting() -> None:
    short = replace(SETTINGS, tickets=Tickets(reopen=Duration(days=1)))
    assert choose(CUSTOMER_CLUES[0], tickets=closed(2), settings=short).follows == 4827


def test_an_agents_mail_stays_with_a_ticket_closed_long_ago() -> None:
    assert choose(Clues(tokens=(token("a", 4827, 3, 1),)), ALICE, tickets=closed(90)).ticket == 4827
    assert choose(Clues(own_ids=(own_id(4827, 3, 1),)), ALICE, tickets=closed(90)).ticket == 4827
    assert choose(Clues(tokens=(token("a", 4827, 3, 1),)), EVIL, tickets=closed(90)).party == 1


def test_an_away_notice_and_a_receipt_reopen_nothing_and_start_nothing() -> None:
    for origin in (Origin.AUTO_REPLY, Origin.DISPOSITION_REPORT):
        assert choose(CUSTOMER_CLUES[0], origin=origin, tickets=closed(90)).ticket == 4827


def test_spam_is_no_closed_ticket() -> None:
    spam = tickets(ticket(4827, state=State.SPAM, closed_at=NOW - timedelta(days=90)))
    assert choose(CUSTOMER_CLUES[0], tickets=spam).ticket == 4827


# ------------------------------------------------------------------ always


def test_what_was_declined_never_shows_a_token_or_a_message_id() -> None:
    clues = Clues(
        tokens=(replace(token("t", 9), text="tk-9-0-31-5humcvqnymbhlp5a"),),
        own_ids=(own_id(10, 3, 31),),
        references=("<x@y.test>",),
        subject_reference=11,
        is_reply=True,
    )
    told = said(choose(clues, ids=[known("<x@y.test>", 12)]))
    assert all(f" {number}:" in told for number in (9, 10, 11, 12))
    assert "@" not in told and "5humcvqnymbhlp5a" not in told


NUMBERS = st.sampled_from([0, 4827, 4828, 4801, 9999])
TOKENS = st.builds(
    token, st.sampled_from("anhdtb"), NUMBERS, st.integers(0, 9), st.sampled_from([0, 1, 2, 31, 44, 66]),
    st.sampled_from(["envelope", "to", "cc", "header"]),
)  # fmt: skip
IDS = st.lists(st.sampled_from(["<a@y.test>", "<b@y.test>", "<c@y.test>", "<new@y.test>"]), max_size=3, unique=True)
CLUES = st.builds(
    Clues,
    tokens=st.lists(TOKENS, max_size=3).map(tuple),
    in_reply_to=IDS.map(tuple),
    references=IDS.map(tuple),
    own_ids=st.lists(st.builds(own_id, NUMBERS, st.integers(0, 9), st.sampled_from([0, 1, 31])), max_size=2).map(tuple),
    reference_line=NUMBERS,
    subject_reference=NUMBERS,
    subject=st.sampled_from(["Matter 4827", "Matter 4828", "Other"]),
    is_reply=st.booleans(),
)
FACTS = st.lists(
    st.builds(known, st.sampled_from(["<a@y.test>", "<b@y.test>", "<new@y.test>"]), NUMBERS, st.integers(0, 3))
)


@given(CLUES, st.sampled_from([None, ALICE, BOB, JANE, TOM, EVIL]), st.sampled_from(list(Proof)), FACTS)
@hypothesis_settings(max_examples=300, deadline=None)
def test_every_match_is_an_existing_ticket_with_a_ground_and_new_tickets_have_no_party(
    clues: Clues, author: Person | None, proof: Proof, ids: list[MessageIdFact]
) -> None:
    existing = tickets(ticket(4827), ticket(4828, TOM, merged_into=4000))
    match = choose(clues, author, proof, ids=ids, tickets=existing)
    assert match.ticket in (0, 4827) and match.follows in (0, 4827)
    assert (match.ground == "none") <= (match == Match(follows=match.follows, declined=match.declined))
    assert not (match.ticket and match.follows)
    assert len(match.declined) == len(set(match.declined))
    if match.ground == "reference-line":
        assert proof is not Proof.NONE and author in (JANE, ALICE, BOB)
