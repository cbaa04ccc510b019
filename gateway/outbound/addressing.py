"""From, To, Reply-To and the reverse-path of what we send (mail.md 4.1, 5.1, 5.3; security.md 7.4)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from gateway.address import clean_name, domain_of, first_name, fold_address, split_address
from gateway.model import Person
from gateway.settings import Inbox, Settings

_PLAIN_HOSTS = (
    "gmail.com",
    "googlemail.com",
    "google.com",
    "office365.com",
    "outlook.com",
    "yahoo.com",
    "yahoodns.net",
)
"""Submission servers that rewrite or refuse a reverse-path that is not the login: no VERP there (ops.md 15)."""


def agent_name(person: Person, settings: Settings) -> str:
    """An agent's full name as written in agents.toml, else as known."""
    agent = settings.agents.get(person.agent)
    return clean_name(agent.name if agent else person.name)


def display_name(person: Person, settings: Settings) -> str:
    """How a person is called in text: the name of somebody known, else the address (never a stranger's own words)."""
    if person.agent:
        return agent_name(person, settings) or person.agent
    return clean_name(person.name) if person.known and clean_name(person.name) else display_address(person.address)


def header_name(person: Person, settings: Settings) -> str:
    """The same for a display part, where no "@" may stand: ``mallory at evil.test``."""
    shown = display_name(person, settings)
    return shown.replace("@", " at ") if not (person.agent or (person.known and clean_name(person.name))) else shown


def short_name(person: Person, settings: Settings) -> str:
    """The first name of somebody known, else the address."""
    shown = display_name(person, settings)
    return shown if "@" in shown else first_name(shown) or shown


def display_address(address: str) -> str:
    """An address for reading: an IDN as U-label only if it is in one script, else as punycode (security.md 7.4)."""
    local, domain = split_address(address)
    if not domain:
        return clean_name(address)
    labels = []
    for label in domain_of(address).split("."):
        shown = label
        if label.startswith("xn--"):
            try:
                shown = label.encode("ascii").decode("idna")
            except UnicodeError:
                shown = label
            if len(_scripts(shown)) > 1 or _looks_latin(shown):
                shown = label
        labels.append(shown)
    return f"{clean_name(local)}@{'.'.join(labels)}"


def _scripts(label: str) -> set[str]:
    return {unicodedata.name(c, "?").split()[0] for c in label if c.isalpha()}


_LATIN_LOOKALIKES = set("асеорхуіјѕԁԛԝһӏɡαορν")


def _looks_latin(label: str) -> bool:
    """Whether every letter could be taken for a Latin one although none is (whole-script confusable)."""
    letters = [c for c in label if c.isalpha() and not c.isascii()]
    return bool(letters) and all(c in _LATIN_LOOKALIKES for c in letters)


def mail_address(person: Person, settings: Settings) -> str:
    """Where a person's mail goes. An agent's goes to the registered address, whatever the last mail said."""
    agent = settings.agents.get(person.agent)
    return agent.address if agent else person.address


def reply_address(inbox: Inbox, settings: Settings, kind: str, ticket: int, event: int, party: int) -> str:
    """The address of a Reply-To: tagged, on the reply domain, or plain, as the inbox says (mail.md 4.1)."""
    local, domain = split_address(inbox.address)
    if inbox.reply_token == "none":
        return inbox.address
    token = settings.keys.make_token(kind, ticket, event, party)
    if inbox.reply_token == "domain" and inbox.reply_domain:
        return f"{token}@{inbox.reply_domain}"
    return f"{local}{inbox.plus_separator}{token}@{domain}".lower()


def uses_verp(inbox: Inbox, settings: Settings) -> bool:
    """Whether the reverse-path carries a bounce token."""
    send = settings.send
    if inbox.reply_token == "none" or send.envelope == "plain":
        return False
    if send.envelope == "verp":
        return True
    host = send.host.lower().rstrip(".")
    return not any(host == known or host.endswith("." + known) for known in _PLAIN_HOSTS)


def reverse_path(inbox: Inbox, settings: Settings, ticket: int, event: int, party: int) -> str:
    """MAIL FROM: a VERP address of kind b where the path allows it, else the inbox address. Never null."""
    if not uses_verp(inbox, settings):
        return inbox.address
    return reply_address(inbox, settings, "b", ticket, event, party)


def private_addresses(settings: Settings) -> frozenset[str]:
    """Every address of every agent, folded, except those that are an inbox: none of them may reach a customer."""
    own = {a for inbox in settings.inbox.values() for a in inbox.addresses()}
    staff = {fold_address(a) for agent in settings.agents.values() for a in (agent.address, *agent.also)}
    return frozenset(staff - own)


@lru_cache(maxsize=64)
def _private_pattern(addresses: frozenset[str]) -> re.Pattern[str]:
    one_of = []
    for address in sorted(addresses):
        local, domain = split_address(address)
        one_of.append(rf"{re.escape(local)}(?:\+[\w.-]{{1,64}})?@{re.escape(domain)}")
    return re.compile(rf"(?<![\w.+-])(?:{'|'.join(one_of)})(?![\w-]|\.\w)", re.IGNORECASE)


def hide_private(text: str, inbox: Inbox, settings: Settings) -> str:
    """Text with every agent's own address, tagged or not, replaced by the inbox's: what customers should write to."""
    private = private_addresses(settings)
    return _private_pattern(private).sub(inbox.address, text) if private else text
