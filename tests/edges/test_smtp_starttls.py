"""STARTTLS of the direct listener (RFC 3207)."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import trustme

from tests.support.smtp_client import MAIL, Client, connect, edge

AUTHORITY = trustme.CA()


def server_side() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("mx.desk.test").configure_cert(context)
    return context


def client_side() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def upgrade(client: Client) -> None:
    await client.writer.start_tls(client_side(), server_hostname="mx.desk.test")


@pytest.fixture
async def running(tmp_path):
    async with edge(tmp_path, "smtp", unix=False, tls=server_side()) as one:
        yield one


async def test_a_mail_arrives_through_tls(running):
    async with connect(running.place) as client:
        await client.reply()
        assert "STARTTLS" in (await client.hello("EHLO")).lines
        assert (await client.say("STARTTLS")).code == 220
        await upgrade(client)
        assert (await client.say("MAIL FROM:<ann@customer.test>")).code == 503  # RFC 3207, 4.2: EHLO again
        hello = await client.hello("EHLO")
        assert "STARTTLS" not in hello.lines
        assert not any(line.startswith("AUTH") for line in hello.lines)
        assert (await client.say("STARTTLS")).code == 503
        mail = MAIL + b"x" * 300_000 + b"\r\n"
        assert (await client.deliver(mail)).code == 250
        assert running.mails[0][1] == mail
        assert running.mails[0][0].helo == "client.test"
        assert running.mails[0][0].client_address == "127.0.0.1"


async def test_what_is_pipelined_in_plaintext_behind_starttls_is_never_executed(running):
    host, _, port = running.place.rpartition(":")

    def converse() -> list[bytes]:
        # A blocking socket, because the plaintext and the handshake have to be in the same segment.
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            stream = plain.makefile("rb")
            stream.readline()
            plain.sendall(b"EHLO x\r\n")
            while stream.readline()[3:4] == b"-":
                pass
            plain.sendall(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<injected@evil.test>\r\n")
            assert stream.readline().startswith(b"220 ")
            with client_side().wrap_socket(plain, server_hostname="mx.desk.test") as secure:
                secure.sendall(b"RCPT TO:<support@desk.test>\r\nQUIT\r\n")
                answers = b""
                while chunk := secure.recv(65536):
                    answers += chunk
                return answers.splitlines()

    answers = await asyncio.to_thread(converse)
    assert [answer[:3] for answer in answers] == [b"503", b"221"]


async def test_a_failed_handshake_ends_one_session_only(running):
    async with connect(running.place) as client:
        await client.reply()
        await client.hello("EHLO")
        assert (await client.say("STARTTLS")).code == 220
        await client.send(b"this is not a handshake\r\n" * 10)
        await client.gone()
    async with connect(running.place) as client:
        await client.reply()
        await client.hello("EHLO")
        assert (await client.deliver()).code == 250
    assert len(running.listener.intake.sessions) <= 1


async def test_a_client_that_goes_after_the_dot_does_not_stop_the_commit_under_tls(running):
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def commit() -> None:
        reached.set()
        await go_on.wait()

    running.commit = commit
    async with connect(running.place) as client:
        await client.reply()
        await client.hello("EHLO")
        assert (await client.say("STARTTLS")).code == 220
        await upgrade(client)
        await client.hello("EHLO")
        await client.open_data()
        await client.send(MAIL + b".\r\n")
        await reached.wait()
        client.writer.transport.abort()
    go_on.set()
    await running.committed()
