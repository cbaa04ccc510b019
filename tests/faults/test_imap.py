"""Rows fault-43, fault-47, fault-49, fault-51, fault-72, fault-73: logins, dates, tokens, and tasks that freeze.

Others of the mailbox are in covered.py.
"""

from __future__ import annotations

import base64
import itertools
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.demo.mail_client import read_mail
from tests.edges.test_imap_hostile import mailbox_of
from tests.faults.rows import SqliteRows
from tests.support.dovecot import PASSWORD, DovecotServer
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.imap_desk import Desk, make_mail
from tests.support.imap_script import Peer, ScriptedServer
from tests.support.oauth_provider import CLIENT, SECRET, Provider, oauth_provider
from tests.support.site import INBOX
from tests.support.smtp_sink import Sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

OPS = "ops@corp.test"


class TokenServer(ScriptedServer):
    """Accepts the access tokens that are alive."""

    def __init__(self, provider: Provider) -> None:
        super().__init__({1: make_mail(1)})
        self.provider = provider

    async def _answer(self, peer: Peer, tag: str, command: str) -> None:
        if command.startswith("AUTHENTICATE XOAUTH2 "):
            token = base64.b64decode(command.split()[2]).decode().partition("auth=Bearer ")[2].rstrip("\1")
            if token not in self.provider.live:
                await peer.send("+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
                await peer.reader.readline()
                await peer.send(f"{tag} NO [AUTHENTICATIONFAILED] Invalid credentials\r\n")
                return
        await super()._answer(peer, tag, command)

    def cut(self) -> None:
        """Every connection ends."""
        for peer in self.peers:
            if not peer.gone.is_set():
                peer.writer.transport.get_extra_info("socket").shutdown(2)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oauth_provider() as running:
        yield running


def make_gateway(folder: Path, sink: Sink, resolver: str, mailbox: dict[str, str], **tables: str) -> Gateway:
    lines = "\n".join(f"{key} = {value}" for key, value in mailbox.items())
    given: dict[str, str | None] = {
        "ticketgate": f'admin = ["{OPS}"]',
        "receive.lmtp": None,
        "receive.imap.support": f'user = "{INBOX}"\nhost = "127.0.0.1"\ntls = "none"\ncatch_up = "all"\n{lines}',
    }
    return Gateway(folder, send_port=sink.port, resolver=resolver, tables=given | tables)


def told(sink: Sink) -> list[str]:
    return [str(read_mail(one.content)["Subject"]) for one in sink.taken if f"<{OPS}>" in one.rcpt_to[0]]


def decided(gateway: Gateway) -> int:
    return len(gateway.rows("held")) + len(gateway.rows("tickets", "--all"))


def with_oauth(folder: Path, sink: Sink, resolver: str, provider: Provider, port: int) -> Gateway:
    folder.mkdir()
    for name, content in (("client.secret", SECRET), ("oauth/support.token", "refresh-0\n")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)
    sink.tokens = provider.live
    return make_gateway(
        folder,
        sink,
        resolver,
        {"port": str(port), "auth": '"oauth2-refresh"', "poll_interval": '"1s"', "junk_folder": '""'},
        **{
            "receive.imap.support.oauth2": f'client_id = "{CLIENT}"\nclient_secret = "file:{folder}/client.secret"\n'
            f'token_url = "{provider.url}/token"\nauthorize_url = "{provider.url}/authorize"',
            "send": f'host = "127.0.0.1"\nport = {sink.port}\ntls = "none"\nuser = "{INBOX}"\nauth = "oauth2-refresh"',
        },
    )


def test_fault_51_a_token_is_refreshed_once_and_a_refresh_that_fails_is_an_alarm(
    tmp_path: Path, sink: Sink, resolver: str, provider: Provider
) -> None:
    server = TokenServer(provider)
    with in_background(server):
        gateway = with_oauth(tmp_path / "desk", sink, resolver, provider, server.port)
        with gateway:
            wait_for(lambda: decided(gateway) == 1, "the first mail is read")
            assert [form["grant_type"] for form in provider.requests] == ["refresh_token"]  # IMAP and SMTP share it
            provider.live.clear()
            server.deliver(2, make_mail(2))
            server.cut()
            wait_for(lambda: decided(gateway) == 2, "a fresh token is fetched and the next mail read")
            assert len(provider.requests) == 2
            assert told(sink) == []

            provider.live.clear()
            provider.refusal = (400, b'{"error": "invalid_grant", "error_description": "revoked by an admin"}')
            server.deliver(3, make_mail(3))
            server.cut()
            wait_for(lambda: "revoked by an admin" in gateway.log(), "the alarm")
            logins = len([c for c in server.commands() if c.startswith("AUTHENTICATE")])
            wait_for(lambda: gateway.log().count("mailbox in trouble") >= 3, "it goes on trying")
            assert len(provider.requests) == 3, "but the provider is left alone"
            assert len([c for c in server.commands() if c.startswith("AUTHENTICATE")]) == logins
            assert "revoked by an admin" in gateway.cli("oauth", "status", "support", expect=1)

            provider.refusal = None
            wait_for(lambda: decided(gateway) == 3, "it logs in when it may again, by itself", patience=120)
            subjects = wait_for(lambda: len(told(sink)) == 2 and told(sink), "the admins hear of it and of its end")
            assert subjects[0].endswith(f"no access token for {INBOX}")
            assert ": over: " in subjects[1]
        assert (gateway.folder / "oauth" / "support.token").read_text().strip() == provider.refresh_token


def test_a_person_consents_once_and_is_told_whether_it_works(
    tmp_path: Path, sink: Sink, resolver: str, provider: Provider
) -> None:
    server = TokenServer(provider)
    with in_background(server):
        gateway = with_oauth(tmp_path / "desk", sink, resolver, provider, server.port)
        (gateway.folder / "oauth" / "support.token").unlink()
        assert "ticketgate oauth login support" in gateway.cli("oauth", "status", expect=1)
        words = [*gateway.command("oauth", "login", "support"), "-c", str(gateway.configuration)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as login:
            assert login.stdin is not None and login.stdout is not None
            said = ""
            while "Copy its whole address" not in said:
                said += login.stdout.readline()
            address = re.search(r"^http\S+$", said, re.M)
            assert address is not None
            login.stdin.write(provider.consent(address[0]) + "\n")
            login.stdin.close()
            rest = login.stdout.read()
        assert login.returncode == 0
        assert "IMAP      ok" in rest and "SMTP      ok" in rest
        assert (gateway.folder / "oauth" / "support.token").stat().st_mode & 0o777 == 0o600
        assert "access    ok" in gateway.cli("oauth", "status")


PACE = 0.01
"""How long a second is in the row below: its ten minutes take six seconds. It was also run with 1.0."""


class Throttled(ScriptedServer):
    """Refuses every login until it is told otherwise, and notes when each came."""

    def __init__(self) -> None:
        super().__init__({1: make_mail(1)})
        self.logins: list[float] = []
        self.refuses = True

    async def _answer(self, peer: Peer, tag: str, command: str) -> None:
        if command.startswith("LOGIN "):
            self.logins.append(time.monotonic())
            if self.refuses:
                await peer.send(f"{tag} NO [LIMIT] Too many logins, try later\r\n")
                return
        await super()._answer(peer, tag, command)


async def test_fault_43_ten_minutes_of_refused_logins_are_an_alarm_and_no_hammering() -> None:
    async with Throttled() as server:
        desk = Desk()
        mailbox = mailbox_of(server, poll_interval=settings.Duration(seconds=60), alert_after=settings.Duration(0))
        async with desk.reading(mailbox, pace=PACE):
            began = time.monotonic()
            await desk.until(lambda: time.monotonic() - began >= 600 * PACE, 700)
            refused = list(server.logins)
            assert "Too many logins" in next(text for problem, text in desk.alarms if problem == "login")
            assert "silent" in desk.problems()
            server.refuses = False
            await desk.until(lambda: desk.mails and ("login", "") in desk.alarms, 200)
    pauses = [(after - before) / PACE for before, after in itertools.pairwise(refused)]
    assert len(refused) <= 16, "doubling to two minutes: some at once, then not even one a minute"
    assert min(pauses[7:], default=60) >= 60, "at most one a minute in the end"
    assert len({round(pause, 1) for pause in pauses}) > 1


@pytest.mark.dovecot
def test_fault_47_a_folder_that_vanishes_and_appears_again_empty_is_an_alarm_and_forgets_nothing(
    tmp_path: Path, sink: Sink, resolver: str, dovecot: DovecotServer
) -> None:
    mails = [make_mail(number) for number in range(1, 4)]
    dovecot.append(INBOX, "Desk", *mails[:2])
    mailbox = {
        "port": str(dovecot.imap_port),
        "folder": '"Desk"',
        "poll_interval": '"1s"',
        "alert_after": '"3s"',
        "secret": '"env:TICKETGATE_IMAP"',
    }
    gateway = make_gateway(tmp_path / "desk", sink, resolver, mailbox)
    rows = SqliteRows(str(gateway.folder / "ticketgate.db"))

    def taken() -> list[tuple[int, int, int]]:
        found = rows.ask("SELECT uidvalidity, uid, journal FROM imap_positions ORDER BY journal, uidvalidity")
        return [(row["uidvalidity"], row["uid"], row["journal"]) for row in found]

    def mark() -> list[dict[str, Any]]:
        return rows.ask("SELECT uidvalidity, uid FROM imap_marks")

    gateway.start(TICKETGATE_IMAP=PASSWORD)
    try:
        wait_for(lambda: decided(gateway) == 2, "both mails are decided")
        first, mark_before = taken(), mark()
        dovecot.doveadm("mailbox", "delete", "-u", INBOX, "Desk")
        subjects = wait_for(lambda: told(sink), "the admins hear of it")
        assert "folder 'Desk' cannot be opened" in gateway.log()
        assert subjects[-1].endswith(f"the mailbox {INBOX} is not read"), subjects
        assert (taken(), mark(), decided(gateway)) == (first, mark_before, 2), "an empty folder was not what we saw"

        dovecot.doveadm("mailbox", "create", "-u", INBOX, "Desk")
        wait_for(lambda: len(told(sink)) == 3, "that it is there again, and another one")
        assert any(": over: " in subject for subject in told(sink)), told(sink)
        assert (taken(), decided(gateway)) == (first, 2), "old rows stay"
        assert mark() != mark_before

        dovecot.append(INBOX, "Desk", mails[2], mails[0])  # UIDs 1 and 2 again: a new mail, and one that was taken
        wait_for(lambda: len(taken()) == 4, "both are looked at")
        wait_for(lambda: decided(gateway) == 3, "the new one is decided")
        assert set(first) <= set(taken()) and len({journal for _, _, journal in taken()}) == 3
    finally:
        print(gateway.log())
        gateway.kill()


class WrongClock(ScriptedServer):
    """Its dates are a year off, to one side and to the other."""

    async def _fetch(self, peer: Peer, uids: str, body: bool) -> None:
        send = peer.send

        async def lie(*lines: bytes | str) -> None:
            for line in lines:
                if isinstance(line, str) and (uid := re.search(r"UID (\d+) INTERNALDATE", line)):
                    line = line.replace("-2026 ", "-2025 " if int(uid[1]) % 2 else "-2027 ")
                await send(line)

        peer.send = lie  # type: ignore[method-assign]
        try:
            await super()._fetch(peer, uids, body)
        finally:
            peer.send = send  # type: ignore[method-assign]


@pytest.mark.parametrize("catch_up", ["new", "all"])
async def test_fault_49_dates_of_a_server_whose_clock_is_wrong_change_nothing(catch_up: str) -> None:
    async with WrongClock({1: make_mail(1), 2: make_mail(2)}) as server:
        desk = Desk()
        mailbox = mailbox_of(server, catch_up=catch_up)
        async with desk.reading(mailbox):
            await desk.until(lambda: ("support", "INBOX") in desk.marks and desk.marks["support", "INBOX"].uid == 2)
            before = len(desk.mails)
            assert before == (2 if catch_up == "all" else 0)
            server.deliver(3, make_mail(3))
            await desk.until(lambda: len(desk.mails) == before + 1)
        async with desk.reading(mailbox):  # a restart
            server.deliver(4, make_mail(4))
            await desk.until(lambda: len(desk.mails) == before + 2)
        assert desk.duplicates == 0


# ------------------------------------------------------------------ the watchdog

FROZEN = """
import asyncio, sys
import gateway.service_manager as manager
manager.STALE_SECONDS, manager.STALE_MAILBOX_SECONDS = 35.0, 12.0
{patch}
from gateway.cli import main
sys.exit(main(sys.argv[sys.argv.index("gateway") + 1:]))
"""
"""A daemon in which one thing never comes round, and whose watchdog is less patient than an hour of tests is long."""
NEVER = "async def never(*_): await asyncio.Event().wait()\n"
FREEZE = {
    "mailbox": NEVER + "import gateway.ingest.imap as imap; imap.MailboxReader._visit = never",
    "intake": NEVER + "import gateway.workers as workers; workers.Intake._round = never",
    "outbox": NEVER + "import gateway.workers as workers; workers.Outbox._round = never",
    "reminders": NEVER + "import gateway.workers as workers; workers.Reminders._round = never",
    "database": "import threading, gateway.store.database as store\n"
    "store.Database._work_in_batches = lambda _: threading.Event().wait()",
    "nothing": "",
}


def launch(gateway: Gateway, frozen: str, **environment: Any) -> None:
    gateway.start(command=[sys.executable, "-P", "-c", FROZEN.format(patch=FREEZE[frozen])], **environment)


WHO = {
    "mailbox": "imap support does",
    "outbox": "outbox does",
    "intake": "intake does",
    "reminders": "reminders does",
    "database": "(imap support|intake|outbox|reminders) does",  # nobody who waits for it comes round
}


@pytest.mark.parametrize("frozen", list(WHO))
def test_fault_72_fault_73_a_task_that_never_comes_round_is_not_fed_to_the_watchdog(
    tmp_path: Path, sink: Sink, resolver: str, frozen: str
) -> None:
    with in_background(ScriptedServer({})) as server:
        gateway = make_gateway(
            tmp_path / "desk", sink, resolver, {"port": str(server.port), "secret": '"env:TICKETGATE_IMAP"'}
        )
        try:
            launch(gateway, frozen, TICKETGATE_IMAP="secret")
            wait_for(lambda: "does not come round" in gateway.log(), "it is noticed")
            assert re.search(f"{WHO[frozen]} not come round", gateway.log())
            fed = gateway.notified().count("WATCHDOG=1")
            time.sleep(21)  # two rounds of the watchdog: systemd would have ended it
            assert gateway.notified().count("WATCHDOG=1") == fed
        finally:
            print(gateway.log())
            gateway.kill()


def test_fault_72_a_mailbox_that_only_fails_is_fed_to_the_watchdog(tmp_path: Path, sink: Sink, resolver: str) -> None:
    gateway = make_gateway(tmp_path / "desk", sink, resolver, {"port": "1", "secret": '"env:TICKETGATE_IMAP"'})
    try:
        launch(gateway, "nothing", TICKETGATE_IMAP="secret")
        gateway.wait_notified("WATCHDOG=1", times=4, patience=120)
        assert "does not come round" not in gateway.log()
    finally:
        print(gateway.log())
        gateway.kill()
