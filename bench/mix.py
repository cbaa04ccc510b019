"""A mix of support mail, the same for the same seed: customers' first mails, their replies, machines, agents' answers.

Sizes are 2 to 30 kB plus a few big ones; most mails are signed with RSA keys of 2048 bits, as most mail is. The zone
that proves them comes along, so nothing is asked of any DNS server.
"""

from __future__ import annotations

import base64
import functools
import random
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from email.utils import format_datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.outbound.sign import Signer

DESK = "support@desk.test"
AGENTS = ("alice@desk.test", "bob@desk.test")
_BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
_SIGNING_DOMAINS = ("corp.test", "shop.test", "mail.test", "desk.test")
_BARE_DOMAINS = ("small.test", "club.test")  # publish nothing
_WORDS = re.findall(
    r"\w+",
    """
invoice order number delivery address account password reset printer contract customer payment refund shipment
error screen version update server answer question please could would since yesterday morning again still
cannot open attached file number twice wrong missing broken different expected thanks regards team office
    """,
)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it arrives: who sent it, how it was made."""

    kind: str
    reverse_path: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class _First:
    """A customer's first mail, which later ones answer."""

    author: str
    subject: str
    message_id: str
    text: str
    date: datetime


# ------------------------------------------------------------------ keys and zone


def _prime(chance: random.Random, bits: int) -> int:
    while True:
        candidate = chance.getrandbits(bits) | (3 << (bits - 2)) | 1
        if any(candidate % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)):
            continue
        if candidate % 65537 != 1 and all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3)):
            return candidate


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    """The key of all domains, always the same one: worth nothing, as everybody can make it."""
    chance = random.Random("mix")
    p, q = _prime(chance, 1024), _prime(chance, 1024)
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
    )
    return numbers.private_key()


@functools.cache
def _signer(domain: str) -> Signer:
    pem = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Signer(domain, "mix", pem.decode())


def zone() -> dict[str, dict[str, object]]:
    """Keys and policies of the domains that sign, in the form of ``ticketgate explain --zone``."""
    found: dict[str, dict[str, object]] = {}
    for domain in _SIGNING_DOMAINS:
        public = _key().public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        found[f"mix._domainkey.{domain}"] = {"TXT": [f"v=DKIM1; k=rsa; p={base64.b64encode(spki).decode()}"]}
        found[f"_dmarc.{domain}"] = {"TXT": ["v=DMARC1; p=reject"]}
        found[domain] = {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}
    return found


# ------------------------------------------------------------------ texts


def _text(chance: random.Random, octets: int) -> str:
    paragraphs, size = [], 0
    while size < octets:
        words = [chance.choice(_WORDS) for _ in range(chance.randint(20, 90))]
        paragraph = textwrap.fill(" ".join(words).capitalize() + ".", 72)
        paragraphs.append(paragraph)
        size += len(paragraph)
    return "\n\n".join(paragraphs)


def _sign_off(author: str) -> str:
    name = author.partition("@")[0].title()
    return f"\n\nKind regards\n{name}\n\n-- \n{name}, Example Ltd\n1 Long Street, Anytown\n+1 555 0100\n"


def _html(text: str, quoted: str = "") -> str:
    paragraphs = "".join(
        f'<p class="MsoNormal"><span style="font-family:Calibri,sans-serif;color:#1f497d">{part}</span></p>\n'
        for part in text.split("\n\n")
    )
    style = "<style>p.MsoNormal{margin:0;font-size:11pt} a:link{color:#0563C1}</style>" * 3
    quote = f'<blockquote type="cite">{_html_lines(quoted)}</blockquote>' if quoted else ""
    return f"<html><head><meta charset=utf-8>{style}</head><body lang=EN-GB>{paragraphs}{quote}</body></html>\n"


def _html_lines(text: str) -> str:
    return "<br>\n".join(text.split("\n"))


def _quote(text: str, author: str, date: datetime) -> str:
    lines = "\n".join(f"> {line}".rstrip() for line in text.strip().split("\n"))
    return f"\n\nOn {date:%a, %d %b %Y at %H:%M}, {author} wrote:\n\n{lines}\n"


# ------------------------------------------------------------------ kinds of mail


class _Mixer:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.firsts: list[_First] = []
        self.number = 0

    def new(self, author: str, subject: str) -> EmailMessage:
        self.number += 1
        message = EmailMessage(policy=SMTP)
        date = _BEGIN + timedelta(seconds=7 * self.number)
        domain = author.partition("@")[2]
        message["Received"] = (
            f"from out.{domain} (out.{domain} [192.0.2.7]) by mx.desk.test with ESMTPS id {self.number:06x};"
            f" {format_datetime(date)}"
        )
        message["From"] = f"{author.partition('@')[0].title()} <{author}>"
        message["To"] = f"Example Support <{DESK}>"
        message["Subject"] = subject
        message["Date"] = format_datetime(date)
        message["Message-ID"] = f"<{self.number:06d}.{self.chance.getrandbits(64):016x}@{domain}>"
        return message

    def author(self) -> str:
        domains = _SIGNING_DOMAINS[:3] if self.chance.random() < 0.8 else _BARE_DOMAINS
        return f"person{self.chance.randint(1, 400)}@{self.chance.choice(domains)}"

    def first(self, *, html: bool = False, attached: int = 0) -> EmailMessage:
        author = self.author()
        subject = " ".join(self.chance.sample(_WORDS, 5)).capitalize()
        text = _text(self.chance, self.chance.choice((300, 800, 2000, 6000)))
        message = self.new(author, subject)
        message.set_content("Hello,\n\n" + text + _sign_off(author))
        if html:
            message.add_alternative(_html(text), subtype="html")
        if attached:
            content = self.chance.randbytes(attached)
            message.add_attachment(content, maintype="application", subtype="pdf", filename="scan.pdf")
        date = _BEGIN + timedelta(seconds=7 * self.number)
        self.firsts.append(_First(author, subject, str(message["Message-ID"]), text, date))
        return message

    def reply(self, *, html: bool) -> EmailMessage:
        """A customer writes again, above a quote of the first mail."""
        if not self.firsts:
            return self.first()
        first = self.chance.choice(self.firsts[-200:])
        message = self.new(first.author, f"Re: {first.subject}")
        message["In-Reply-To"] = message["References"] = first.message_id
        text = _text(self.chance, self.chance.choice((100, 300, 900)))
        message.set_content(text + _sign_off(first.author) + _quote(first.text, DESK, first.date))
        if html:
            message.add_alternative(_html(text, first.text), subtype="html")
        return message

    def machine(self) -> EmailMessage:
        message = self.new(self.author(), "Automatic reply: " + " ".join(self.chance.sample(_WORDS, 3)))
        message["Auto-Submitted"] = "auto-replied"
        message.set_content("I am out of the office until Monday and will answer then.\n")
        return message


_KINDS: tuple[tuple[int, str, Callable[[_Mixer], EmailMessage]], ...] = (
    (28, "plain", lambda mixer: mixer.first()),
    (22, "html", lambda mixer: mixer.first(html=True)),
    (12, "attachment", lambda mixer: mixer.first(html=True, attached=mixer.chance.randint(5_000, 18_000))),
    (18, "reply", lambda mixer: mixer.reply(html=False)),
    (15, "html reply", lambda mixer: mixer.reply(html=True)),
    (3, "machine", lambda mixer: mixer.machine()),
    (2, "big", lambda mixer: mixer.first(attached=mixer.chance.randint(200_000, 900_000))),
)


def make_mix(count: int, seed: int = 1) -> Iterator[Mail]:
    """``count`` mails of customers and machines, in the order of arrival."""
    mixer = _Mixer(seed)
    weights = [weight for weight, _, _ in _KINDS]
    for _ in range(count):
        _, kind, make = mixer.chance.choices(_KINDS, weights)[0]
        yield _finished(kind, make(mixer))


def _finished(kind: str, message: EmailMessage) -> Mail:
    author = re.search(r"<([^>]+)>", str(message["From"]))
    assert author is not None
    domain = author[1].partition("@")[2]
    for part in message.walk():
        if part.is_multipart():  # else the library takes a boundary by chance
            part.set_boundary(f"=_{author[1].replace('@', '_')}_{part.get_content_subtype()}")
    raw = message.as_bytes()
    return Mail(kind, author[1], _signer(domain).sign(raw) if domain in _SIGNING_DOMAINS else raw)


def answer(notification: bytes, seed: int = 1) -> Mail:
    """An agent's answer to a notification of ours: some lines above the quoted notification."""
    asked = BytesParser(policy=SMTP).parsebytes(notification)
    body = asked.get_body(("plain",))  # type: ignore[attr-defined]
    text = body.get_content() if body else ""
    agent = str(asked["To"]).rpartition("<")[2].rstrip(">").strip()
    mixer = _Mixer(seed)
    mixer.number = seed
    message = mixer.new(agent, f"Re: {asked['Subject']}")
    del message["To"]
    message["To"] = str(asked["Reply-To"] or asked["From"])
    message["In-Reply-To"] = message["References"] = str(asked["Message-ID"])
    words = _text(mixer.chance, 400)
    message.set_content(f"Hello,\n\n{words}\n\nBest wishes\n{_quote(text, DESK, _BEGIN)}")
    return _finished("agent", message)
