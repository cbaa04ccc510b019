"""The story everything is for: two people, one desk, one conversation, no mail to the wrong person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, text_of
from tests.support.databases import PostgresServer
from tests.support.dovecot import DovecotServer
from tests.support.gateway import ID_DOMAIN, wait_for
from tests.support.site import INBOX, Person, Site

pytestmark = [pytest.mark.system, pytest.mark.postfix, pytest.mark.dovecot, pytest.mark.timeout(300)]

QUESTION = "Hi,\n\ninvoice 2231 charges us for 12 licences, we only have 10.\nCould you correct it?\n\nJane\n"
NOTE = "She had the same trouble in March."
ANSWER = "Hello Jane,\n\nyou are right, it should be 10. Sorry!\n\nAlice"
LATE = "Hi Jane,\n\nI will look into it and come back tomorrow.\n\nBob"

_TOKEN = re.compile(r"\b[a-z][a-z2-7]-\d+-\d+-\d+-[a-z2-7]{16}\b")
_OUR_ID = re.compile(rf"<[^<>@\s]+@{re.escape(ID_DOMAIN)}>")
_ONE_TAP = re.compile(r"\b\d+\.\d+(?: |%20|\+)[a-z2-7]{17}\b")


@pytest.fixture(
    params=[
        "lmtp on sqlite",
        pytest.param("lmtp on postgresql", marks=pytest.mark.postgresql),
        "imap on sqlite",
    ]
)
def played(request: pytest.FixtureRequest, postfix_folder: Path, dovecot: DovecotServer) -> Iterator[Site]:
    """The site in each of its three forms."""
    storage = ""
    if "postgresql" in request.param:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        storage = server.create_database()
    with Site(postfix_folder, dovecot, storage=storage, polled=request.param.startswith("imap")) as running:
        yield running


def test_one_ticket_from_the_first_mail_to_the_reopening(played: Site) -> None:
    site, jane, alice, bob = played, played.jane, played.alice, played.bob

    # A customer writes: a ticket, an acknowledgement, both agents are told.
    first = jane.writes("Invoice 2231 is wrong", QUESTION)
    acknowledgement = jane.next_mail()
    assert acknowledgement["In-Reply-To"] == first["Message-ID"]
    assert "12 licences" not in text_of(acknowledgement)
    for_alice, for_bob = alice.next_mail(), bob.next_mail()
    for offer in (for_alice, for_bob):
        assert "we only have 10" in text_of(offer)
        assert offer["X-Ticket"] == for_alice["X-Ticket"]
    assert tickets(site) == [("new", "", "jane@customer.test", "Invoice 2231 is wrong")]

    # Bob leaves a note: nobody outside may ever see it.
    bob.replies(for_bob, f"#note\n\n{NOTE}")
    wait_for(lambda: NOTE in site.gateway.cli("show", "1"), "the note is in the ticket")

    # Alice presses Reply: Jane reads her words below her own mail, and nothing of ours.
    alice.replies(for_alice, ANSWER)
    told = jane.next_mail()
    assert "it should be 10" in text_of(told)
    assert threads_under(jane, told, first)
    assert_fit_for_the_customer(site, told)
    assert tickets(site) == [("waiting", "alice", "jane@customer.test", "Invoice 2231 is wrong")]

    # Jane answers: the same ticket, and only its owner is told.
    thanks = jane.replies(told, "Thank you! Can you send it to accounting, too?\n\nJane")
    news = alice.next_mail()
    assert "send it to accounting" in text_of(news)
    assert (news["X-Ticket"], news["X-Ticket-Owner"]) == (for_alice["X-Ticket"], "alice")
    assert len(tickets(site)) == 1

    # Bob answers what he was offered, too late: held, and he sees both texts.
    bob.replies(for_bob, LATE)
    held = bob.next_mail()
    assert "it should be 10" in text_of(held)
    assert "come back tomorrow" in text_of(held)
    assert [(row["reason"], row["author"]) for row in site.gateway.rows("held")] == [("collision", "bob@corp.test")]

    # Alice closes by mail.
    alice.replies(news, "#close\n\nDone, accounting has it too.\n\nAlice")
    farewell = jane.next_mail()
    assert "accounting has it too" in text_of(farewell)
    assert "#close" not in text_of(farewell)
    assert threads_under(jane, farewell, thanks)
    assert_fit_for_the_customer(site, farewell)
    assert tickets(site) == [("closed", "alice", "jane@customer.test", "Invoice 2231 is wrong")]

    # Jane replies once more: it is open again, still Alice's.
    jane.replies(farewell, "One more thing: the address on it is old.\n\nJane")
    news = alice.next_mail()
    assert "the address on it is old" in text_of(news)
    assert (news["X-Ticket-State"], news["X-Ticket-Owner"]) == ("open", "alice")
    assert tickets(site) == [("open", "alice", "jane@customer.test", "Invoice 2231 is wrong")]

    # Nobody got anything else, and every mail is kept as it was sent.
    site.settled()
    for person in (jane, alice, bob):
        assert person.has_read_all(), [mail["Subject"] for mail in person.inbox()]
    assert all(LATE.split("\n")[2] not in text_of(mail) for mail in jane.inbox())
    assert kept_as_sent(site, jane.sent + alice.sent + bob.sent)


def tickets(site: Site) -> list[tuple[str, str, str, str]]:
    """State, owner, customer and subject of every ticket."""
    names = ("state", "owner", "customer", "subject")
    return [tuple(row[name] for name in names) for row in site.gateway.rows("tickets", "--all")]


def threads_under(person: Person, mail: EmailMessage, parent: EmailMessage) -> bool:
    """Whether mail programs show it below the parent: it answers it, and names only mails the person has."""
    references = str(mail["References"]).split()
    sent = [str(read_mail(raw)["Message-ID"]) for raw in person.sent]
    known = {*sent, *(str(one["Message-ID"]) for one in person.inbox())}
    return mail["In-Reply-To"] == parent["Message-ID"] and references[0] == sent[0] and known.issuperset(references)


def assert_fit_for_the_customer(site: Site, mail: EmailMessage) -> None:
    """No agent's address, no token but the customer's own, no marker, no note, no command: header and bodies."""
    facts = site.gateway.ticket(1)
    party = facts["customer"]["party"]
    shown = mail.as_string() + "".join(
        str(part.get_content()) for part in mail.walk() if part.get_content_maintype() == "text"
    )
    folded = shown.lower()
    assert "corp.test" not in folded
    tokens = [site.gateway.keys.read_tag(tag) for tag in _TOKEN.findall(folded)]
    assert tokens, "no reply address at all"
    assert {(token.party, token.kind in "tb") for token in tokens if token} == {(party, True)}
    assert all(tokens)
    ids = [site.gateway.keys.read_message_id(found, ID_DOMAIN) for found in _OUR_ID.findall(folded)]
    assert all(known and known.party in (party, 0) for known in ids), _OUR_ID.findall(folded)
    assert not _ONE_TAP.search(folded)
    assert mail["Subject"] == "Re: Invoice 2231 is wrong"
    assert not [name for name in mail if name.lower().startswith(("x-ticket", "x-tg", "thread-"))]
    for word in (NOTE, LATE.split("\n")[2], "#note", "#close", "mailto:", "nobody has it", "reply above", "[#1]"):
        assert word.lower() not in folded, word


def kept_as_sent(site: Site, sent: list[bytes]) -> bool:
    """Whether ``show --raw`` gives every mail back, byte by byte, below what the mail servers wrote on top."""
    events = [event for event in site.gateway.ticket(1)["events"] if event["journal"]]
    kept = [site.gateway.cli_raw("show", "1", "--raw", str(event["number"])) for event in events]
    return all(any(raw.endswith(mail) for raw in kept) for mail in sent)


def test_mail_while_the_gateway_is_down_waits_in_front_and_is_filed_once(site: Site) -> None:
    site.gateway.kill()
    site.jane.writes("Written while nobody listened", "Are you there?\n")
    site.postfix.wait_log("status=deferred")
    site.gateway.start()
    site.jane.next_mail()
    site.settled()
    assert [row["subject"] for row in site.gateway.rows("tickets")] == ["Written while nobody listened"]
    assert len(site.jane.raw_inbox()) == 1
    assert INBOX not in site.postfix.log().partition("status=bounced")[2]
