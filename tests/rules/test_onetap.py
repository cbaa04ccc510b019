"""One-tap links survive every mail program: what stands in them, how long they are, and what they say when pressed."""

from __future__ import annotations

import re
import tomllib
from email.headerregistry import Address
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.desk.verbs import VERBS
from gateway.outbound.onetap import LONGEST, make_link, make_links
from gateway.outbound.words import default_folder
from gateway.settings import Inbox
from tests.rules.test_notices import LANGUAGES, VARIANTS, compose, in_language
from tests.support.golden import story
from tests.support.golden.checker import read, texts

INBOX = story.make_settings().inbox["support"]
OUTLOOK_EXPRESS = 456
"""Characters of a link after which the oldest client cut; browsers hand on about 2,000."""
AWKWARD = (
    "50% off",
    "r&d",
    "a+b",
    "one\ntwo",
    "gr\u00fc\u00dfe",
    "a=b",
    "a?b",
    "a#b",
    "<b>",
    '"',
    "\u202e",
    "",
    "\r\nBcc: x",
)


def link(order: str, inbox: Inbox = INBOX, body: str = "Just press Send.") -> str:
    return make_link(story.KEYS, inbox, story.ALICE, order, 4827, 3, body).href


@pytest.mark.parametrize("order", AWKWARD)
def test_an_order_that_some_client_would_change_is_no_link(order: str) -> None:
    with pytest.raises(ValueError, match="not for a link"):
        link(order)
    assert make_links(story.KEYS, INBOX, story.ALICE, [order, "claim"], 4827, 3, "")[0].label == "claim"


@given(st.text(max_size=40))
def test_whatever_is_asked_for_a_link_says_exactly_that_or_is_none(order: str) -> None:
    try:
        href = link(order)
    except ValueError:
        return
    parts = urlsplit(href)
    said = dict(parse_qsl(parts.query, strict_parsing=True))
    assert (parts.scheme, parts.path) == ("mailto", INBOX.address)
    assert said["subject"].rsplit(" ", 2)[0] == order
    assert re.fullmatch(r"mailto:[^?]+\?subject=(?:[A-Za-z0-9.]|%20)+(?:&body=(?:[A-Za-z0-9.]|%20)+)?", href)


@pytest.mark.parametrize("body", AWKWARD)
def test_a_sentence_that_some_client_would_change_is_left_out(body: str) -> None:
    assert "body=" not in link("claim", body=body)


@pytest.mark.parametrize("address", ["r&d@example.com", "50%@example.com", "a#b@example.com", "who?@example.com"])
def test_an_inbox_with_a_sign_that_means_something_in_links_is_still_written_to(address: str) -> None:
    parts = urlsplit(link("claim", Inbox(handle="x", name="X", address=address)))
    assert unquote(parts.path) == address
    assert parts.query.startswith("subject=claim%204827.3%20") and not parts.fragment


def test_an_inbox_of_a_domain_with_umlauts_is_written_to_by_its_name_in_the_dns() -> None:
    href = link("claim", Inbox(handle="x", name="X", address="hilfe@b\u00fccher.example"))
    assert href.startswith("mailto:hilfe@xn--bcher-kva.example?") and href.isascii()


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_no_link_is_too_long_for_any_client(verb: str) -> None:
    assert len(link(verb)) <= LONGEST
    longest = Inbox(handle="x", name="X", address="s" * 21 + "@" + ".".join(["d" * 57] * 4))
    assert Address(addr_spec=longest.address).domain
    assert len(link(f"{verb} 10d", longest)) <= OUTLOOK_EXPRESS


@pytest.mark.parametrize("language", [path.name for path in default_folder().iterdir()])
def test_the_harmless_sentence_of_every_language_can_stand_in_a_link(language: str) -> None:
    words = tomllib.loads((default_folder() / language / "words.toml").read_text("utf-8"))
    assert re.fullmatch(r"[A-Za-z0-9. ]+", words["press_send"])
    assert "body=" in link("snooze 1d", body=words["press_send"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_text_and_html_have_the_same_links(name: str, language: str) -> None:
    plain, html = texts(read(compose(name, in_language(language)).content))
    shown = {href.replace("&amp;", "&") for href in re.findall(r'href="(mailto:[^"]+)"', html)}
    written = set(re.findall(r"mailto:\S+\?subject=\S+", plain))
    # A list has one link more a row in HTML: its number.
    assert written <= shown if html else not shown
    assert all("subject=show%20" in href for href in shown - written)
