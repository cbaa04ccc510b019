"""adv-46, adv-47, adv-67 to adv-70: what leaves us again. Names, headers and HTML are rebuilt, never passed on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from dataclasses import dataclass, field
from email import message_from_bytes

import pytest
from selectolax.lexbor import LexborHTMLParser

from gateway.outbound.sanitise import clean_html
from tests.adversarial.judging import Played, Result, check_sentences, judge, sentence
from tests.adversarial.playing import play_and_judge, put_in
from tests.adversarial.rows import MACROS, Case, cases
from tests.adversarial.test_parsing import assert_nothing_written
from tests.adversarial.test_participants import agent_answers
from tests.support.desk import AGENT_X, ANN, EVIL, Desk, Sent

HEADER = (MACROS["ann"] + MACROS["hdr"]).encode()

# ------------------------------------------------------------------ adv-46, 47: header injection

_TO_CUSTOMER = [
    *("Date", "From", "To", "Reply-To", "Subject", "Message-ID", "In-Reply-To", "References"),
    *("X-Auto-Response-Suppress", "X-Loop", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
]
_TO_AGENT = [
    *("Date", "From", "To", "Reply-To", "Subject", "Message-ID", "In-Reply-To", "References"),
    *(
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "X-Loop",
        "List-Id",
        "X-Ticket",
        "X-Ticket-Event",
        "X-Ticket-State",
    ),
    *("X-Ticket-Owner", "Thread-Topic", "Thread-Index", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
]


@pytest.mark.parametrize("case", cases("adv-46", "adv-47"), ids=str)
async def test_adv_46_47(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


def header_names(content: bytes) -> list[str]:
    """As a strict reader sees them: by lines that end in CRLF, and by every other line end too."""
    head = content.partition(b"\r\n\r\n")[0]
    assert b"\r" not in head.replace(b"\r\n", b"") and b"\n" not in head.replace(b"\r\n", b"") and b"\0" not in head
    lines = head.decode("ascii").split("\r\n")
    names = [line.partition(":")[0] for line in lines if line[:1] not in (" ", "\t")]
    assert names == list(message_from_bytes(content).keys())
    return names


def assert_intended(sent: Sent) -> None:
    names = header_names(sent.mail.content)
    wanted = _TO_AGENT if sent.mail.recipient == AGENT_X else _TO_CUSTOMER
    assert sorted(names) == sorted(wanted)
    assert not re.search(rb"(?im)^bcc", sent.mail.content.partition(b"\r\n\r\n")[0])


@sentence("an agent's answer is sent", "notices and answers are sent")
async def _(result: Result) -> None:
    (notice,) = result.desk.to_agents()
    assert notice.mail.kind == "customer-reply"
    answer = await agent_answers(result.desk)
    assert answer.mail.recipient == ANN
    result.seen["mails"] = [notice, answer]


@sentence("parsed again, the header names are exactly the intended ones", "header names are exactly the intended ones")
def _(result: Result) -> None:
    for sent in result.seen["mails"]:
        assert_intended(sent)


@sentence("no Bcc, no line that begins with 'Bcc'")
def _(result: Result) -> None:
    for sent in result.seen["mails"]:
        assert sent.parsed["Bcc"] is None
        assert not re.search(rb"(?im)^[\t ]*bcc", sent.mail.content.partition(b"\r\n\r\n")[0])


@sentence("evil@evil.test is no recipient")
def _(result: Result) -> None:
    assert EVIL not in {sent.mail.recipient for sent in result.desk.outbox()}


# ------------------------------------------------------------------ adv-67: names of files


def with_file(disposition: str, content_type: str = "application/octet-stream") -> bytes:
    part = f"Content-Type: {content_type}\r\nContent-Disposition: attachment; {disposition}\r\n\r\ncontent\r\n"
    return (
        HEADER
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n"
        + part.encode("latin-1")
        + b"--b--\r\n"
    )


@pytest.mark.parametrize("case", cases("adv-67"), ids=str)
async def test_adv_67(desk: Desk, case: Case) -> None:
    name = "a" * 5000 if case.variant == "5000" else case.get("filename").replace("\\", "\\\\")
    if case.variant == "conflict":
        disposition, content_type = case.get("input").rsplit("; ", 1)
        raw = with_file(disposition, f"application/octet-stream; {content_type}")
    else:
        raw = with_file(f'filename="{name}"')
    played = Played()
    await put_in(desk, case, played, raw)
    judge(result := Result(desk, case, played))
    await check_sentences(result)


def names_everywhere(result: Result) -> set[str]:
    """In the entry, in the findings, and on the file that agents get."""
    names = {name for _, event in result.desk.entries(result.row) for name in event.attachments}
    names |= {attachment.name for attachment in result.findings.message.attachments}
    for sent in result.desk.to_agents():
        names |= {str(part.get_filename()) for part in sent.parsed.walk() if part.get_filename()}
    return names


@sentence("nothing is written outside the store")
def _(result: Result) -> None:
    assert_nothing_written(result)


@sentence("the content is fetched by hash")
def _(result: Result) -> None:
    (attachment,) = result.findings.message.attachments
    assert attachment.sha256 == hashlib.sha256(attachment.content).hexdigest()
    assert attachment.content.strip() == b"content"


@sentence("the name shown has no slash, backslash, colon, NUL, control, bidi character, leading dot; at most 150 bytes")
def _(result: Result) -> None:
    names = names_everywhere(result)
    assert names
    for name in names:
        assert name and len(name.encode()) <= 150, name
        assert not set(name) & set("/\\:\0") and not name.startswith(".") and name == name.rstrip(" .")
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in name)
        assert not any(0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069 for c in name)
        assert name.partition(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL"}


@sentence("one name, the same everywhere")
def _(result: Result) -> None:
    (name,) = names_everywhere(result)
    assert not set(name) & set("/\\")


# ------------------------------------------------------------------ adv-68: active HTML


@dataclass
class Traps:
    """A name server and a web server on loopback that count who asks them."""

    asked: int = 0
    servers: list[asyncio.AbstractServer] = field(default_factory=list)

    async def start(self) -> None:
        self.servers.append(await asyncio.start_server(self._caught, "127.0.0.1", 0))

    async def _caught(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        writer.close()

    @property
    def address(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"


@pytest.mark.parametrize("case", cases("adv-68"), ids=str)
async def test_adv_68(desk: Desk, case: Case) -> None:
    traps, played = Traps(), Played()
    await traps.start()
    html = case.get("html").replace("evil.test", traps.address)
    raw = HEADER + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + html.encode() + b"\r\n"
    if case.variant == "cid-loop":
        raw = (
            HEADER
            + b"Content-Type: multipart/related; boundary=b\r\n\r\n"
            + b"".join(
                b"--b\r\nContent-Type: text/html\r\n" + extra + b"\r\n" + html.encode() + b"\r\n"
                for extra in (b"", b"Content-ID: <a@b>\r\n")
            )
        )
    await put_in(desk, case, played, raw)
    judge(result := Result(desk, case, played, {"traps": traps, "html": html}))
    await check_sentences(result)
    for server in traps.servers:
        server.close()


def pages(result: Result) -> list[str]:
    """Every HTML the product shows of it: in mail to agents, and through its sanitiser."""
    made = [clean_html(result.findings.message.html)]
    for sent in result.desk.outbox():
        for part in sent.parsed.walk():
            if part.get_content_type() == "text/html":
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                made.append(payload.decode())
    return made


_ACTIVE = (
    "script, style, svg, math, meta[http-equiv], base, form, input, button, iframe, object, embed, link, video, audio"
)


@sentence("nothing active survives")
def _(result: Result) -> None:
    for page in pages(result):
        tree = LexborHTMLParser(page)
        own = [node for node in tree.css(_ACTIVE) if node.tag not in ("style", "meta")]
        assert not own, page
        for node in tree.css("*"):
            for name, value in node.attributes.items():
                assert not name.lower().startswith("on"), page
                words = re.sub(r"[\x00-\x20]", "", value or "").lower()
                assert not words.startswith(("javascript:", "data:", "vbscript:")), page
                assert name.lower() not in ("src", "background", "srcset", "action") or words.startswith("cid:"), page
        assert result.seen["traps"].address not in re.sub(r"<a [^>]*>|\[[^\]]*\]|\([^)]*\)", "", page), page


@sentence("no request leaves any process of ours")
async def _(result: Result) -> None:
    await asyncio.sleep(0)
    assert result.seen["traps"].asked == 0
    assert not any("evil" in key for key in result.desk.dns.asked)


@sentence("remote images are replaced by a visible notice")
def _(result: Result) -> None:
    if result.case.variant != "pixel":
        return  # the only one with a picture that could be loaded: the others have none, or one inside a comment
    offers = result.desk.to_agents()
    assert offers
    for sent in offers:
        assert "Not loaded: pictures from the web (1)." in sent.text


# ------------------------------------------------------------------ adv-69, 70: things that are not opened


@pytest.mark.parametrize("case", [c for c in cases("adv-69", "adv-70") if c.variant != "partial"], ids=str)
async def test_adv_69_70(desk: Desk, case: Case) -> None:
    await play_and_judge(desk, case)


@pytest.mark.parametrize("case", [c for c in cases("adv-70") if c.variant == "partial"], ids=str)
async def test_adv_70_partial(desk: Desk, case: Case) -> None:
    inner = b"From: agent@corp.test\r\nSubject: whole\r\n\r\n#close\r\n"
    played = Played()
    for number, piece in ((1, inner[:20]), (2, inner[20:])):
        raw = (
            HEADER.replace(b"<adv@", b"<adv-%d@" % number)
            + b'Content-Type: message/partial; id="p@evil.test"; number=%d; total=2\r\n\r\n' % number
            + piece
        )
        await put_in(desk, case, played, raw + (b"" if raw.endswith(b"\r\n") else b"\r\n"))
    judge(result := Result(desk, case, played))
    assert not any(sent.parsed["From"] and "agent@corp" in str(sent.parsed["From"]) for sent in desk.outbox())
    assert {row.author for row in result.rows} == {ANN}
    for row in result.rows:
        assert_inert(result, row.id, "message/partial")


def assert_inert(result: Result, row: int, kind: str) -> None:
    """A file to fetch, and nothing of it is text of the mail: not the fields inside, not what they introduce."""
    found = result.desk.findings[row]
    assert [part.type for part in found.message.attachments] == [kind]
    assert not found.message.text.strip() and not found.message.html


@sentence("parts are never joined")
def _(result: Result) -> None:
    """Neither what is shown nor what the readers found: the sanitiser must not be what separates the parts."""
    for page in [*pages(result), result.entry_text, result.findings.message.html, result.findings.message.text]:
        assert "BEGIN PGP" not in page and "AAAA" not in page
    assert result.findings.message.html.strip() == '<img src="http://evil.test/'


@sentence("no request", "no file or network access")
def _(result: Result) -> None:
    assert {key for key in result.desk.dns.asked if "evil" in key} == set()
    assert "root:" not in result.entry_text and "/bin/" not in result.entry_text


@sentence("the encrypted part is passed on opaque")
def _(result: Result) -> None:
    parts = result.findings.message.attachments
    (opaque,) = [part for part in parts if part.type == "application/pgp-encrypted"]
    assert b"-----BEGIN PGP MESSAGE-----" in opaque.content
    for sent in result.desk.to_agents():
        encoded = base64.b64encode(opaque.content)[:40]
        assert encoded in sent.mail.content.replace(b"\r\n", b"") or opaque.content[:20] in sent.mail.content


@sentence("shown as inert parts")
def _(result: Result) -> None:
    assert_inert(result, result.row.id, "message/external-body")


@sentence("never reassembled")
def _(result: Result) -> None:
    assert len(result.desk.numbers()) == len(result.desk.before.tickets) + 1
