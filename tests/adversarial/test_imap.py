"""adv-79, adv-80: an IMAP server that lies, and names that need quoting; from the wire into the real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.store.mailboxes import MailboxState
from tests.adversarial.judging import CHECKS, Played, Result, check_sentences, sentence
from tests.adversarial.process import Process
from tests.adversarial.rows import Case, cases
from tests.support import imap_desk
from tests.support.desk import Desk
from tests.support.imap_desk import make_mail
from tests.support.imap_script import Peer, ScriptedServer, Trick
from tests.support.smtp_client import until

BODY = "UID FETCH 1 .*BODY"


def three_mails(subject: str) -> dict[int, bytes]:
    return {uid: make_mail(uid, subject=subject) for uid in (1, 2, 3)}


def mailbox_of(server: ScriptedServer, handle: str, **changes: object) -> settings.Imap:
    plain = settings.Imap(
        host="127.0.0.1",
        port=server.port,
        tls="none",
        user="support@desk.test",
        handle=handle,
        catch_up="all",
        after="keep",
        poll_interval=settings.Duration(seconds=0.1),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass
class Reading:
    """Two mailboxes being read into one store: the one under test, and another on an honest server."""

    desk: Desk
    server: ScriptedServer
    other: ScriptedServer
    watch: imap_desk.Desk = field(default_factory=imap_desk.Desk)

    def stored(self) -> list[bytes]:
        return sorted(self.desk.raw(row) or b"" for row in self.desk.rows())

    @property
    def everything(self) -> list[bytes]:
        return sorted((*self.server.mails.values(), *self.other.mails.values()))

    async def complete(self) -> None:
        await self.watch.until(lambda: len(self.desk.rows()) >= len(self.everything))


@asynccontextmanager
async def reading(desk: Desk, server: ScriptedServer, patience: float = 0.5, **changes: Any) -> AsyncIterator[Reading]:
    async with server, ScriptedServer(three_mails("other")) as other:
        one = Reading(desk, server, other)
        options: dict[str, Any] = {"receive": desk.receive, "state": MailboxState(desk.database), "patience": patience}
        async with (
            one.watch.reading(mailbox_of(server, "support", **changes), **options),
            one.watch.reading(mailbox_of(other, "sales"), **options),
        ):
            yield one


# ------------------------------------------------------------------ what the server does, by variant


async def many_lines(peer: Peer, tag: str, command: str) -> None:
    lines = b"".join(b"* %d FETCH (UID %d FLAGS ())\r\n" % (i, i) for i in range(1, 1101))
    await peer.send(lines + tag.encode() + b" OK\r\n")


async def four_gigabytes(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {4294967296}\r\n")
    while True:
        await peer.send(b"A" * 65536)


async def size_lie(peer: Peer, tag: str, command: str) -> None:
    """RFC822.SIZE said something small; the literal has 600 MiB."""
    await peer.send(f"* 1 FETCH (UID 1 BODY[] {{{600 << 20}}}\r\n")
    for _ in range(600 * 16):
        await peer.send(b"A" * 65536)


async def bye_in_idle(peer: Peer, tag: str, command: str) -> None:
    await peer.send("+ idling\r\n* BYE timeout\r\n")
    peer.close()


async def bye_instead(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* BYE timeout\r\n")
    peer.close()


async def wrong_tag(peer: Peer, tag: str, command: str) -> None:
    await peer.send("ZZZZ1 OK done\r\n")


async def unavailable(peer: Peer, tag: str, command: str) -> None:
    await peer.send(f"{tag} NO [UNAVAILABLE] try later\r\n")


async def stars_in_flags(peer: Peer, tag: str, command: str) -> None:
    raw = make_mail(1, subject="order")
    await peer.send(f"* 1 FETCH (UID 1 FLAGS ($a* $b) BODY[] {{{len(raw)}}}\r\n", raw, f")\r\n{tag} OK done\r\n")


async def foreign_fetch(peer: Peer, tag: str, command: str) -> None:
    raw = make_mail(1, subject="order")
    await peer.send("* 5 FETCH (FLAGS (\\Seen))\r\n", f"* 1 FETCH (UID 1 BODY[] {{{len(raw)}}}\r\n", raw, ")\r\n")
    await peer.ok(tag)


async def no_literal(peer: Peer, tag: str, command: str) -> None:
    await peer.send(f"* 1 FETCH (UID 1)\r\n{tag} OK done\r\n")


TRICKS: dict[str, tuple[str, Trick]] = {
    "1100-lines": (BODY, many_lines),
    "4-gb-literal": (BODY, four_gigabytes),
    "size-lie": (BODY, size_lie),
    "bye-in-idle": ("IDLE", bye_in_idle),
    "bye-instead-of-idle": ("IDLE", bye_instead),
    "wrong-tag": (BODY, wrong_tag),
    "no-unavailable": (BODY, unavailable),
    "stars-in-flags": (BODY, stars_in_flags),
    "foreign-fetch": (BODY, foreign_fetch),
    "empty-literal": (BODY, no_literal),
}
GREETINGS = {"preauth": "* PREAUTH hello\r\n", "ok-preauth-substring": "* OK server of PREAUTH inc.\r\n"}


@pytest.mark.parametrize("case", cases("adv-79"), ids=str)
async def test_adv_79(desk: Desk, case: Case) -> None:
    server = ScriptedServer(three_mails("order"), **_greeting(case))
    if case.variant in TRICKS:
        harmless = case.variant in ("stars-in-flags", "foreign-fetch")  # answered in full: nothing is asked again
        server.trick(*TRICKS[case.variant], times=1 if harmless else 2)
    async with reading(desk, server) as one:
        result = Result(desk, case, Played(), {"reading": one})
        if case.variant == "preauth":
            await one.watch.until(lambda: "login" in one.watch.problems() and len(desk.rows()) == 3)
        else:
            await one.complete()
            if case.variant in TRICKS:
                await one.watch.until(lambda: not server.tricks[0][1])
            server.deliver(4, make_mail(4, subject="order"))
            await one.complete()
    result.__post_init__()
    await check_sentences(result)
    if case.variant != "preauth":
        assert one.stored() == one.everything


def _greeting(case: Case) -> dict[str, str]:
    return {"greeting": GREETINGS[case.variant]} if case.variant in GREETINGS else {}


def reading_of(result: Result) -> Reading:
    found: Reading = result.seen["reading"]
    return found


@sentence("the connection is replaced")
def _(result: Result) -> None:
    one = reading_of(result)
    # An answer without a body that is complete by its grammar is no reason to hang up: the mail is asked for again.
    if result.case.variant in ("1100-lines", "no-unavailable"):
        assert sum(c.startswith("UID FETCH 1 (UID BODY") for c in one.server.commands()) >= 3
    else:
        assert len(one.server.peers) >= 2


@sentence("every message on the server is stored once in the end")
def _(result: Result) -> None:
    assert reading_of(result).stored() == reading_of(result).everything


@sentence("other mailboxes go on")
def _(result: Result) -> None:
    one = reading_of(result)
    assert set(one.other.mails.values()) <= set(one.stored()) and len(one.other.peers) == 1


@sentence("refused, no command sent, alarm")
def _(result: Result) -> None:
    one = reading_of(result)
    assert one.server.commands() == [] and "login" in one.watch.problems()


@sentence("LOGIN is sent: this is a normal greeting")
def _(result: Result) -> None:
    assert any(command.startswith("LOGIN") for command in reading_of(result).server.commands())


def assert_asked_once(one: Reading) -> None:
    """A second, honest answer would repair whatever the first one broke."""
    assert sum(c.startswith("UID FETCH 1 (UID BODY") for c in one.server.commands()) == 1
    assert len(one.server.peers) == 1


@sentence("stored byte-identical; flags decide nothing")
def _(result: Result) -> None:
    assert make_mail(1, subject="order") in reading_of(result).stored()
    assert_asked_once(reading_of(result))


@sentence("the body is stored under UID 1 only")
def _(result: Result) -> None:
    raw = make_mail(1, subject="order")
    places = [row.envelope.position for row in result.rows if result.desk.raw(row) == raw]
    assert [(place.account, place.uid) for place in places if place] == [("support", 1)]
    assert_asked_once(reading_of(result))


@sentence("UID 1 is marked failed and tried again; no empty mail is made")
def _(result: Result) -> None:
    one = reading_of(result)
    assert sum(c.startswith("UID FETCH 1 (UID BODY") for c in one.server.commands()) == 3
    assert b"" not in one.stored()


@sentence("UID 2 is fetched")
def _(result: Result) -> None:
    order = [c for c in reading_of(result).server.commands() if "BODY" in c]
    second = next(n for n, c in enumerate(order) if c.startswith("UID FETCH 2 "))
    again = max(n for n, c in enumerate(order) if c.startswith("UID FETCH 1 "))
    assert second < again, "the failing mail held up the others"


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", [c for c in cases("adv-79") if c.variant in ("4-gb-literal", "size-lie")], ids=str)
async def test_adv_79_memory_of_the_daemon(tmp_path: Path, case: Case) -> None:
    """The ceiling, where it can be measured: a daemon that reads such a mailbox."""
    server = ScriptedServer(three_mails("order"))
    server.trick(*TRICKS[case.variant], times=2)
    async with server:
        secret = tmp_path / "imap.secret"
        secret.touch(mode=0o600)
        secret.write_text("secret")
        table = (
            f'host = "127.0.0.1"\nport = {server.port}\ntls = "none"\nuser = "support@desk.test"\n'
            f'secret = "file:{secret}"\ncatch_up = "all"\npoll_interval = "1s"\nafter = "keep"'
        )
        process = Process(tmp_path, {"receive.imap.support": table})
        await asyncio.to_thread(process.__enter__)
        try:
            await until(lambda: len(process.mails()) == 3, 90)
            assert process.peak_mb() < case.expect["max_rss_mb"]
        finally:
            await asyncio.to_thread(process.__exit__, None, None, None)


# ------------------------------------------------------------------ adv-80: names


@pytest.mark.parametrize("case", [c for c in cases("adv-80") if c.variant != "crlf"], ids=str)
async def test_adv_80(desk: Desk, case: Case) -> None:
    changes: dict[str, object] = {"folder": case.get("mailbox")} if case.get("mailbox") else {"user": "ann smith"}
    async with reading(desk, ScriptedServer(three_mails("order")), **changes) as one:
        await one.complete()
    result = Result(desk, case, Played(), {"reading": one})
    await check_sentences(result)


@sentence("the right mailbox is selected")
def _(result: Result) -> None:
    wire = {
        "space": '"My Support"',
        "quote": '"My \\"Support\\""',
        "backslash": '"My\\\\Support"',
        "utf-7": '"B&APw-ro"',
    }[result.case.variant]
    assert f"SELECT {wire}" in reading_of(result).server.commands()


@sentence("LOGIN sends a quoted user name")
def _(result: Result) -> None:
    logins = [command for command in reading_of(result).server.commands() if command.startswith("LOGIN")]
    assert logins and all(command.startswith('LOGIN "ann smith" ') for command in logins)


@pytest.mark.parametrize("case", [c for c in cases("adv-80") if c.variant == "crlf"], ids=str)
async def test_adv_80_crlf(tmp_path: Path, case: Case) -> None:
    async with ScriptedServer(three_mails("order")) as server:
        folder = case.get("mailbox").replace("\r", "\\r").replace("\n", "\\n")
        secret = tmp_path / "imap.secret"
        secret.touch(mode=0o600)
        secret.write_text("secret")
        table = (
            f'host = "127.0.0.1"\nport = {server.port}\ntls = "none"\nuser = "support@desk.test"\n'
            f'secret = "file:{secret}"\nfolder = "{folder}"'
        )
        process = Process(tmp_path, {"receive.imap.support": table})
        process.gateway.launch()
        code = await asyncio.to_thread(process.gateway.wait_ended)
        assert case.checks == ["configuration error at start", "nothing is sent to the server"]
        assert code == 78 and "folder" in process.gateway.log(), process.gateway.log()
        assert server.peers == []


__all__ = ["CHECKS"]
