"""IMAP servers that lie, break off, hang or flood: the connection is replaced, nothing is lost, nothing hangs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway import settings
from gateway.ingest.imap_client import ImapError, LoginRefused, Refused, open_mailbox
from tests.support.imap_desk import ADDRESS, Desk, make_mail
from tests.support.imap_script import Peer, ScriptedServer, Trick

BODY = "UID FETCH .*BODY"
LIST = "UID FETCH .*SIZE"


def three_mails() -> dict[int, bytes]:
    return {uid: make_mail(uid) for uid in (1, 2, 3)}


def mailbox_of(server: ScriptedServer, **changes: object) -> settings.Imap:
    plain = settings.Imap(
        host="127.0.0.1",
        port=server.port,
        tls="none",
        user=ADDRESS,
        handle="support",
        catch_up="all",
        after="keep",
        max_size=settings.Size(2_000_000),
        poll_interval=settings.Duration(seconds=0.1),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


# ------------------------------------------------------------------ what a server may do in answer to a command


async def short_literal(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {10}\r\n", make_mail(1), f")\r\n{tag} OK done\r\n")


async def long_literal(peer: Peer, tag: str, command: str) -> None:
    await peer.send(
        f"* 1 FETCH (UID 1 BODY[] {{{len(make_mail(1)) + 10}}}\r\n", make_mail(1), f")\r\n{tag} OK done\r\n"
    )


async def half_a_literal_then_reset(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {5000}\r\n", b"A" * 2500)
    await asyncio.sleep(0.05)
    peer.reset()


async def half_a_literal_then_silence(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {5000}\r\n", b"A" * 2500)
    await peer.hang()


async def bye_in_a_literal(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {5000}\r\n", b"A" * 2500, b"\r\n* BYE going down\r\n")
    peer.close()


async def bye(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* BYE timeout\r\n")
    peer.close()


async def bye_while_idling(peer: Peer, tag: str, command: str) -> None:
    await peer.send("+ idling\r\n* BYE timeout\r\n")
    peer.close()


async def idling_for_ever(peer: Peer, tag: str, command: str) -> None:
    await peer.send("+ idling\r\n")
    await peer.hang()


async def silence(peer: Peer, tag: str, command: str) -> None:
    await peer.hang()


async def closed(peer: Peer, tag: str, command: str) -> None:
    peer.close()


async def wrong_tag(peer: Peer, tag: str, command: str) -> None:
    await peer.send("ZZZZ1 OK done\r\n")


async def garbage(peer: Peer, tag: str, command: str) -> None:
    await peer.send(b"\xff\xfe what\r\n" * 3)


async def unavailable(peer: Peer, tag: str, command: str) -> None:
    await peer.send(f"{tag} NO [UNAVAILABLE] try later\r\n")


async def bad(peer: Peer, tag: str, command: str) -> None:
    await peer.send(f"{tag} BAD what\r\n")


async def lines_without_end(peer: Peer, tag: str, command: str) -> None:
    while True:
        await peer.send(b"* OK still here\r\n" * 5000)


async def a_line_without_end(peer: Peer, tag: str, command: str) -> None:
    while True:
        await peer.send(b"*" * 100_000)


async def body_missing(peer: Peer, tag: str, command: str) -> None:
    await peer.send(f"* 1 FETCH (UID 1)\r\n{tag} OK done\r\n")


async def body_empty(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {0}\r\n", f")\r\n{tag} OK done\r\n")


async def body_nil(peer: Peer, tag: str, command: str) -> None:
    await peer.send(f"* 1 FETCH (UID 1 BODY[] NIL)\r\n{tag} OK done\r\n")


async def announce_four_gigabytes(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* 1 FETCH (UID 1 BODY[] {4294967296}\r\n")
    while True:
        await peer.send(b"A" * 65536)


@pytest.mark.parametrize(
    ("pattern", "trick"),
    [
        (BODY, short_literal),
        (BODY, long_literal),
        (BODY, half_a_literal_then_reset),
        (BODY, half_a_literal_then_silence),
        (BODY, bye_in_a_literal),
        (BODY, bye),
        (BODY, silence),
        (BODY, wrong_tag),
        (BODY, garbage),
        (BODY, unavailable),
        (BODY, bad),
        (BODY, lines_without_end),
        (BODY, a_line_without_end),
        (BODY, body_missing),
        (BODY, body_empty),
        (BODY, body_nil),
        (BODY, announce_four_gigabytes),
        (LIST, bye),
        (LIST, silence),
        (LIST, unavailable),
        (LIST, lines_without_end),
        ("IDLE", bye),
        ("IDLE", bye_while_idling),
        ("IDLE", idling_for_ever),
        ("IDLE", silence),
        ("IDLE", closed),
        ("IDLE", bad),
        ("SELECT", bye),
        ("SELECT", silence),
        ("LOGIN", silence),
        ("LOGIN", unavailable),
        ("LOGIN", wrong_tag),
        ("CAPABILITY", closed),
        ("NOOP", wrong_tag),
        ("UID STORE", unavailable),
        ("UID STORE", silence),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.replace(".*", "-"),
)
async def test_the_connection_is_replaced_and_every_mail_stored_once(pattern: str, trick: Trick) -> None:
    """adv-79, fault-39 to fault-42: twice each, then the server behaves."""
    async with ScriptedServer(three_mails()) as server:
        server.trick(pattern, trick, times=2)
        desk = Desk()
        async with desk.reading(mailbox_of(server, after="flag"), patience=0.5):
            await desk.until(lambda: len(desk.mails) == 3 and not server.tricks[0][1])
            server.deliver(4, make_mail(4))
            await desk.until(lambda: len(desk.mails) == 4)
        assert sorted(desk.mails) == sorted(make_mail(uid) for uid in (1, 2, 3, 4))
        assert desk.duplicates == 0
        assert len(server.peers) >= 2


async def bye_without_closing(peer: Peer, tag: str, command: str) -> None:
    await peer.send("* BYE timeout\r\n")
    await peer.hang()


async def closed_while_idling(peer: Peer, tag: str, command: str) -> None:
    await peer.send("+ idling\r\n")
    peer.close()


@pytest.mark.parametrize("pattern", ["LOGIN", "SELECT", LIST, BODY, "IDLE"])
@pytest.mark.parametrize(
    "trick",
    [closed, closed_while_idling, half_a_literal_then_reset, bye_without_closing, wrong_tag],
    ids=lambda trick: trick.__name__,
)
async def test_an_end_is_noticed_when_it_comes_and_not_by_a_timeout(pattern: str, trick: Trick) -> None:
    """aioimaplib leaves the command waiting (L12); with this much patience that would last an hour."""
    async with ScriptedServer(three_mails()) as server:
        server.trick(pattern, trick)
        desk = Desk()
        mailbox = mailbox_of(server, poll_interval=settings.Duration(minutes=4))
        async with desk.reading(mailbox, patience=3600.0):
            await desk.until(lambda: len(desk.mails) == 3 and not server.tricks[0][1])
            server.deliver(4, make_mail(4))
            await desk.until(lambda: len(desk.mails) == 4)


# ------------------------------------------------------------------ strange, but allowed


async def five_thousand_lines(peer: Peer, tag: str, command: str) -> None:
    noise = b"".join(b"* %d FETCH (UID %d FLAGS ($a* $b))\r\n" % (n, n) for n in range(1, 5001))
    await peer.send(
        noise
        + b"* 1 FETCH (UID 1 BODY[] {%d}\r\n%b)\r\n" % (len(make_mail(1)), make_mail(1))
        + tag.encode()
        + b" OK\r\n"
    )


async def stars_in_flags(peer: Peer, tag: str, command: str) -> None:
    raw = make_mail(1)
    await peer.send(f"* 1 FETCH (UID 1 FLAGS ($a* $b) BODY[] {{{len(raw)}}}\r\n", raw, f")\r\n{tag} OK done\r\n")


async def foreign_fetch(peer: Peer, tag: str, command: str) -> None:
    raw = make_mail(1)
    await peer.send("* 5 FETCH (FLAGS (\\Seen))\r\n", "* 3 FETCH (UID 3 BODY[] {7}\r\nforeign)\r\n")
    await peer.send(f"* 1 FETCH (UID 1 BODY[] {{{len(raw)}}}\r\n", raw, ")\r\n* 2 FETCH (UID 2 FLAGS ())\r\n")
    await peer.ok(tag)


@pytest.mark.parametrize(
    "trick", [five_thousand_lines, stars_in_flags, foreign_fetch], ids=lambda trick: trick.__name__
)
async def test_noise_around_the_answer_changes_nothing(trick: Trick) -> None:
    async with ScriptedServer(three_mails()) as server:
        server.trick("UID FETCH 1 .*BODY", trick)
        desk = Desk()
        async with desk.reading(mailbox_of(server)):
            await desk.until(lambda: len(desk.mails) == 3)
        assert desk.mails == [make_mail(uid) for uid in (1, 2, 3)]
        assert [envelope.position.uid for envelope in desk.envelopes if envelope.position] == [1, 2, 3]
        assert len(server.peers) == 1


async def test_a_mail_expunged_between_listing_and_fetching_counts_as_not_listed() -> None:
    """fault-46."""

    async def nothing(peer: Peer, tag: str, command: str) -> None:
        del server.mails[2]
        await peer.ok(tag)

    async with ScriptedServer(three_mails()) as server:
        server.trick("UID FETCH 2 .*BODY", nothing)
        desk = Desk()
        async with desk.reading(mailbox_of(server)):
            await desk.until(lambda: len(desk.mails) == 2 and desk.marks["support", "INBOX"].uid == 3)
        assert desk.mails == [make_mail(1), make_mail(3)]
        assert not desk.failures_noted
        assert not desk.alarms


async def test_a_server_that_lies_about_the_size_every_time_keeps_its_mail() -> None:
    async with ScriptedServer(three_mails()) as server:
        server.trick("UID FETCH 1 .*BODY", announce_four_gigabytes, times=1000)
        desk = Desk()
        async with desk.reading(mailbox_of(server), pace=0.001):
            await desk.until(lambda: any("left on server" in text for _, text in desk.alarms))
            server.deliver(4, make_mail(4))
            await desk.until(lambda: len(desk.mails) == 3)
            asked = sum(command.startswith("UID FETCH 1 (UID BODY") for command in server.commands())
        assert asked == 3
        assert make_mail(1) not in desk.mails


async def test_a_body_that_never_comes_is_an_alarm_and_stops_no_other_mail() -> None:
    async with ScriptedServer(three_mails()) as server:
        server.trick("UID FETCH 1 .*BODY", body_missing, times=1000)
        desk = Desk()
        async with desk.reading(mailbox_of(server), pace=0.001):
            await desk.until(lambda: len(desk.mails) == 2 and "mail" in desk.problems())
        assert desk.marks["support", "INBOX"].uid == 3
        assert b"" not in desk.mails


# ------------------------------------------------------------------ greeting, login, TLS


async def test_preauth_is_refused_without_a_command_and_with_an_alarm() -> None:
    async with ScriptedServer(three_mails(), greeting="* PREAUTH hello\r\n") as server:
        desk = Desk()
        async with desk.reading(mailbox_of(server)):
            await desk.until(lambda: "login" in desk.problems())
        assert server.commands() == []


async def test_the_word_preauth_in_an_ordinary_greeting_means_nothing() -> None:
    async with ScriptedServer(three_mails(), greeting="* OK server of PREAUTH inc.\r\n") as server:
        desk = Desk()
        async with desk.reading(mailbox_of(server)):
            await desk.until(lambda: len(desk.mails) == 3)
        assert any(command.startswith("LOGIN") for command in server.commands())


@pytest.mark.parametrize("greeting", ["", "* BYE full\r\n", "220 smtp.test ESMTP\r\n", "A1 OK hi\r\n", "* OKAY\r\n"])
async def test_any_other_greeting_ends_the_attempt(greeting: str) -> None:
    async with ScriptedServer({}, greeting=greeting) as server:
        with pytest.raises(ImapError):
            await open_mailbox(mailbox_of(server), "secret", patience=0.3)
        assert server.commands() == []


async def test_bytes_behind_the_answer_to_starttls_are_refused_before_login() -> None:
    async def injected(peer: Peer, tag: str, command: str) -> None:
        await peer.send(f"{tag} OK begin\r\n* CAPABILITY IMAP4rev1 EVIL\r\n")

    async with ScriptedServer({}) as server:
        server.trick("STARTTLS", injected)
        with pytest.raises(LoginRefused, match="STARTTLS"):
            await open_mailbox(mailbox_of(server, tls="starttls"), "secret", patience=2)
        assert server.commands() == ["STARTTLS"]


@pytest.mark.parametrize("answer", [bad, unavailable, closed, silence], ids=lambda trick: trick.__name__)
async def test_without_starttls_nobody_logs_in(answer: Trick) -> None:
    async with ScriptedServer({}) as server:
        server.trick("STARTTLS", answer)
        with pytest.raises(ImapError):
            await open_mailbox(mailbox_of(server, tls="starttls"), "secret", patience=0.3)
        assert server.commands() == ["STARTTLS"]


async def test_user_and_password_are_quoted_and_not_sent_when_login_is_disabled() -> None:
    async with ScriptedServer({}) as server:
        session = await open_mailbox(mailbox_of(server, user='ann "a" smith'), 'p"\\w', patience=5)
        await session.close()
        assert 'LOGIN "ann \\"a\\" smith" "p\\"\\\\w"' in server.commands()
        server.capabilities = "IMAP4rev1 LOGINDISABLED"
        with pytest.raises(LoginRefused, match="LOGINDISABLED"):
            await open_mailbox(mailbox_of(server), "secret", patience=5)
        assert sum(command.startswith("LOGIN ") for command in server.commands()) == 1


async def test_no_error_text_contains_the_password() -> None:
    for trick in (wrong_tag, unavailable, bad, garbage, closed, silence):
        async with ScriptedServer({}) as server:
            server.trick("LOGIN", trick)
            with pytest.raises(ImapError) as caught:
                await open_mailbox(mailbox_of(server), "hunter2", patience=0.3)
            assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)


async def test_capabilities_are_those_announced_after_login() -> None:
    async def grown(peer: Peer, tag: str, command: str) -> None:
        server.capabilities = "IMAP4rev1 IDLE MOVE UIDPLUS"
        await peer.send(f"{tag} OK [CAPABILITY IMAP4rev1 IDLE WRONG] Logged in\r\n")

    async with ScriptedServer({}) as server:
        server.capabilities = "IMAP4rev1 STARTTLS"
        server.trick("LOGIN", grown)
        session = await open_mailbox(mailbox_of(server), "secret", patience=5)
        assert session.capabilities == {"IMAP4REV1", "IDLE", "MOVE", "UIDPLUS"}
        await session.close()


async def refuse_token(peer: Peer, tag: str, command: str) -> None:
    """As Gmail and Exchange do: the reason comes as a continuation, NO only after an empty answer."""
    await peer.send("+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
    assert await peer.reader.readline() == b"\r\n"
    await peer.send(f"{tag} NO AUTHENTICATE failed.\r\n")


async def test_an_expired_token_is_refreshed_once_and_used() -> None:
    """fault-51."""
    async with ScriptedServer(three_mails()) as server:
        server.trick("AUTHENTICATE XOAUTH2", refuse_token)
        desk = Desk()
        async with desk.reading(mailbox_of(server, auth="oauth2-refresh")):
            await desk.until(lambda: len(desk.mails) == 3)
        assert desk.fresh_passwords == [False, True]
        assert not desk.alarms
        said = next(command for command in server.commands() if command.startswith("AUTHENTICATE")).split()[2]
        assert base64.b64decode(said) == b"user=support@desk.test\x01auth=Bearer secret\x01\x01"


async def test_a_token_that_stays_refused_is_an_alarm() -> None:
    async with ScriptedServer(three_mails()) as server:
        server.trick("AUTHENTICATE XOAUTH2", refuse_token, times=4)
        desk = Desk()
        async with desk.reading(mailbox_of(server, auth="oauth2-refresh"), patience=2.0):
            await desk.until(lambda: "login" in desk.problems())
            await desk.until(lambda: len(desk.mails) == 3)


async def test_pauses_grow_to_a_minute_at_least_and_never_agree() -> None:
    """fault-43: a server that throttles logins is not hammered."""
    async with ScriptedServer({}) as server:
        reader = Desk().reader(mailbox_of(server), pace=1.0)
        pauses = []
        for failures in range(12):
            reader._failures = failures
            pauses.append(reader._delay())
        assert pauses == sorted(pauses)
        assert 60 <= pauses[-1] <= 120
        reader._jitter = lambda: 0.0
        assert reader._delay() >= 60


@pytest.mark.parametrize("greeting", ["* BYE full\r\n", ""], ids=["refused", "a black hole"])
async def test_a_mailbox_that_stays_silent_is_an_alarm(greeting: str) -> None:
    async with ScriptedServer({}, greeting=greeting) as server:
        desk = Desk()
        async with desk.reading(mailbox_of(server, alert_after=settings.Duration(seconds=0.1)), patience=0.3):
            await desk.until(lambda: "silent" in desk.problems())
            server.greeting = "* OK fine\r\n"
            await desk.until(lambda: ("silent", "") in desk.alarms)


# ------------------------------------------------------------------ moving, and other mailboxes


Break = Callable[[Peer, str, str], Awaitable[None]]


@pytest.mark.parametrize("broken", ["UID COPY", "UID STORE", "UID EXPUNGE"])
async def test_a_move_cut_in_two_loses_nothing_and_imports_nothing_twice(broken: str) -> None:
    """fault-50: the connection is lost after the server did the step named."""
    copies: list[int] = []

    def remove(command: str) -> None:
        uid = int(command.split()[2])
        if command.startswith("UID COPY"):
            copies.append(uid)
        elif command.startswith("UID EXPUNGE"):
            server.mails.pop(uid, None)

    async def answer(peer: Peer, tag: str, command: str) -> None:
        remove(command)
        uid = command.split()[2]
        await peer.ok(tag, f"[COPYUID 9 {uid} {len(copies)}] done" if "COPY" in command else "done")

    async def cut(peer: Peer, tag: str, command: str) -> None:
        remove(command)
        peer.reset()

    async with ScriptedServer(three_mails()) as server:
        server.capabilities = "IMAP4rev1 UIDPLUS"
        server.trick(broken, cut)
        server.trick("UID (COPY|STORE|EXPUNGE)", answer, times=1000)
        desk = Desk()
        async with desk.reading(mailbox_of(server, after="move:Done"), pace=0.001):
            await desk.until(lambda: not server.mails)
        assert sorted(desk.mails) == sorted(three_mails().values())
        assert desk.duplicates == 0
        assert set(copies) == {1, 2, 3}
        assert not any(command.startswith(("EXPUNGE", "CLOSE")) for command in server.commands())


async def test_a_copy_the_server_does_not_confirm_removes_nothing() -> None:
    async with ScriptedServer(three_mails()) as server:
        server.capabilities = "IMAP4rev1 UIDPLUS"
        session = await open_mailbox(mailbox_of(server), "secret", patience=5)
        await session.select("INBOX")
        with pytest.raises(ImapError, match="not confirmed"):
            await session.move(1, "Done")
        with pytest.raises(ImapError):
            await session.delete(1)
        assert not any("STORE" in command or "EXPUNGE" in command for command in server.commands())


async def test_a_session_that_failed_once_is_never_used_again() -> None:
    async with ScriptedServer(three_mails()) as server:
        session = await open_mailbox(mailbox_of(server), "secret", patience=5)
        await session.select("INBOX")
        server.trick("UID STORE", unavailable)
        with pytest.raises(Refused):
            await session.flag((1,), "$Ticketed")
        sent = len(server.commands())
        for attempt in (session.fetch(1), session.idle(1), session.select("INBOX"), session.highest_uid()):
            with pytest.raises(ImapError):
                await attempt
        await session.close()
        assert len(server.commands()) == sent


@pytest.mark.parametrize("where", ["greeting", "literal"])
async def test_a_hanging_mailbox_delays_no_other(where: str) -> None:
    greeting = {"greeting": ""} if where == "greeting" else {}
    async with ScriptedServer(three_mails(), **greeting) as hanging, ScriptedServer(three_mails()) as healthy:
        if where == "literal":
            hanging.trick(BODY, half_a_literal_then_silence, times=1000)
        desk, other = Desk(), Desk()
        async with desk.reading(mailbox_of(hanging), patience=20.0), other.reading(mailbox_of(healthy)):
            await desk.until(lambda: hanging.peers and (where == "greeting" or hanging.tricks[0][1] < 1000))
            await other.until(lambda: len(other.mails) == 3)
            assert desk.mails == []
            for peer in hanging.peers:
                peer.reset()


async def test_mailboxes_are_cancelled_in_the_middle_of_anything() -> None:
    """A task cancelled from outside leaves no connection behind."""
    for pattern in ("LOGIN", "SELECT", LIST, BODY, "IDLE"):
        async with ScriptedServer(three_mails()) as server:
            server.trick(pattern, idling_for_ever if pattern == "IDLE" else silence)
            desk = Desk()
            running = asyncio.create_task(desk.reader(mailbox_of(server)).run(asyncio.Event()))
            await desk.until(lambda server=server: server.tricks[0][1] == 0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await asyncio.wait_for(server.peers[0].gone.wait(), 10)
