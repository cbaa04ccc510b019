"""One SMTP attempt against a server that fails at every step: refused, not now, or nobody knows."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from gateway.model import OutboundMail
from gateway.outbound.transport import Transport
from gateway.settings import Duration, Send
from tests.support.smtp_sink import Sink, smtp_sink

CONTENT = b"Subject: hello\r\n\r\nfirst line\r\n.a line with a dot\r\n..two\r\n"


def make_mail(content: bytes = CONTENT, **changes: object) -> OutboundMail:
    values: dict[str, object] = {
        "ticket": 4827,
        "event": 5,
        "party": 31,
        "kind": "answer",
        "message_id": "<4827.5.31.ko4ghljkhtd6xwbcy@tickets.example.com>",
        "reverse_path": "support+bk-4827-5-31-kew7qlvfgjgkgwdi@example.com",
        "recipient": "jane@customer.test",
        "content": content,
        "automatic": False,
    }
    return OutboundMail(**(values | changes))  # type: ignore[arg-type]


def make_send(sink: Sink, **changes: object) -> Send:
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "port": sink.port,
        "tls": "none",
        "timeout": Duration(seconds=1),
    }
    return Send(**(values | changes))  # type: ignore[arg-type]


async def attempt(sink: Sink, mail: OutboundMail | None = None, password: str = "", **changes: object) -> str:
    transport = Transport(make_send(sink, **changes), password)
    try:
        return (await transport.attempt(mail or make_mail())).outcome
    finally:
        await transport.close()


async def test_a_mail_arrives_byte_for_byte_with_its_envelope() -> None:
    async with smtp_sink() as sink:
        assert await attempt(sink) == "sent"
    (taken,) = sink.taken
    assert taken.content == CONTENT
    assert taken.mail_from.startswith("<support+bk-4827-5-31-kew7qlvfgjgkgwdi@example.com>")
    assert [r.split(">")[0] for r in taken.rcpt_to] == ["<jane@customer.test"]
    assert "ENVID=4827.5.31.ko4ghljkhtd6xwbcy" in taken.mail_from


@pytest.mark.parametrize("step", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
async def test_a_connection_lost_before_the_dot_is_tried_again_and_after_it_unknown(step: str) -> None:
    # ehlo twice: the client falls back to HELO, which this server does not speak
    async with smtp_sink(Sink({step: ["drop", "drop"]})) as sink:
        expected = "unknown" if step == "dot" else "deferred"
        assert await attempt(sink) == expected
        assert not sink.taken


@pytest.mark.parametrize("step", ["connect", "mail", "rcpt", "data", "dot"])
async def test_a_server_that_says_nothing_is_given_up_after_the_timeout(step: str) -> None:
    async with smtp_sink(Sink({step: ["stall"]})) as sink:
        assert await attempt(sink) == ("unknown" if step == "dot" else "deferred")


async def test_a_mail_taken_by_a_server_that_then_hangs_up_is_unknown() -> None:
    async with smtp_sink(Sink({"dot": ["accept+drop"]})) as sink:
        assert await attempt(sink) == "unknown"
        assert len(sink.taken) == 1


async def test_a_large_body_cut_off_in_the_middle_is_not_unknown() -> None:
    content = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 500_000
    async with smtp_sink(Sink({"body": ["drop"]}, extensions=())) as sink:
        assert await attempt(sink, make_mail(content)) == "deferred"


@pytest.mark.parametrize("step", ["connect", "mail", "rcpt", "data", "dot"])
async def test_a_temporary_refusal_is_tried_again(step: str) -> None:
    async with smtp_sink(Sink({step: ["451 4.3.0 busy"]})) as sink:
        transport = Transport(make_send(sink))
        result = await transport.attempt(make_mail())
        await transport.close()
        assert result.outcome == "deferred"
        assert "4.3.0 busy" in result.reply


@pytest.mark.parametrize(
    ("step", "reply", "outcome"),
    [
        ("connect", "554 5.3.2 go away", "deferred"),  # the whole server: nothing about this mail is proven
        ("mail", "550 5.7.1 your domain is not welcome", "deferred"),  # and so is our own standing
        ("rcpt", "554 5.7.1 Relay access denied", "deferred"),
        ("mail", "530 5.7.0 authentication required", "deferred"),
        ("mail", "552 5.3.4 too large", "failed"),
        ("rcpt", "550 5.1.1 no such user", "failed"),
        ("rcpt", "530 5.7.0 authentication required", "deferred"),
        ("data", "554 5.6.0 no", "failed"),
        ("dot", "554 5.7.1 looks like spam", "failed"),
        ("dot", "421 4.3.2 shutting down", "deferred"),
    ],
)
async def test_a_final_refusal_fails_only_where_it_is_about_this_mail(step: str, reply: str, outcome: str) -> None:
    async with smtp_sink(Sink({step: [reply]})) as sink:
        transport = Transport(make_send(sink))
        result = await transport.attempt(make_mail())
        await transport.close()
        assert (result.outcome, result.step) == (outcome, step)
        ours = not reply.startswith(("421", "552", "550 5.1.1", "554 5.6.0", "554 5.7.1 looks"))
        assert result.barred == ours
        assert not sink.taken


async def test_no_server_at_all_is_tried_again() -> None:
    async with smtp_sink() as sink:
        port = sink.port
    transport = Transport(Send(host="127.0.0.1", port=port, tls="none", timeout=Duration(seconds=1)))
    assert (await transport.attempt(make_mail())).outcome == "deferred"


async def test_one_connection_serves_many_mails() -> None:
    async with smtp_sink() as sink:
        transport = Transport(make_send(sink))
        for _ in range(5):
            assert (await transport.attempt(make_mail())).outcome == "sent"
        await transport.close()
    assert (sink.connections, len(sink.taken)) == (1, 5)


async def test_a_refused_recipient_leaves_the_connection_good_for_the_next_mail() -> None:
    async with smtp_sink(Sink({"rcpt": ["550 5.1.1 no such user"]})) as sink:
        transport = Transport(make_send(sink))
        assert (await transport.attempt(make_mail())).outcome == "failed"
        assert (await transport.attempt(make_mail(recipient="tom@shop.test"))).outcome == "sent"
        await transport.close()
    assert sink.connections == 1
    assert sink.taken[0].rcpt_to == ["<tom@shop.test>"]


@pytest.mark.parametrize("fault", ["drop", "421 4.4.2 idle too long"])
async def test_a_kept_connection_the_server_had_closed_is_replaced_without_a_failed_attempt(fault: str) -> None:
    async with smtp_sink() as sink:
        transport = Transport(make_send(sink))
        assert (await transport.attempt(make_mail())).outcome == "sent"
        sink.faults["mail"] = [fault]
        assert (await transport.attempt(make_mail())).outcome == "sent"
        await transport.close()
    assert sink.connections == 2


async def test_no_more_connections_than_allowed_are_open_at_a_time() -> None:
    gate = asyncio.Event()
    async with smtp_sink(Sink(gate=gate)) as sink:
        transport = Transport(make_send(sink, max_connections=2, timeout=Duration(seconds=20)))
        attempts = [asyncio.create_task(transport.attempt(make_mail())) for _ in range(6)]
        await sink.until(lambda s: s.open_now == 2)
        gate.set()
        assert {a.outcome for a in await asyncio.gather(*attempts)} == {"sent"}
        await transport.close()
    assert sink.most_open == 2


async def test_the_limit_of_mails_a_minute_holds_back_what_would_wait_too_long() -> None:
    async with smtp_sink() as sink:
        transport = Transport(make_send(sink, max_per_minute=2))
        assert (await transport.attempt(make_mail())).outcome == "sent"
        assert (await transport.attempt(make_mail())).outcome == "sent"
        waiting = [asyncio.create_task(transport.attempt(make_mail())) for _ in range(12)]
        done, pending = await asyncio.wait(waiting, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert {t.result().outcome for t in done} == {"deferred"}
        assert len(sink.taken) == 2
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await transport.close()


async def test_smtputf8_is_asked_for_only_when_a_local_part_needs_it() -> None:
    async with smtp_sink(Sink(extensions=("SMTPUTF8",))) as sink:
        assert await attempt(sink, make_mail(recipient="jane@bücher.test")) == "sent"
        assert await attempt(sink, make_mail(recipient="jäne@bücher.test")) == "sent"
    assert "SMTPUTF8" not in sink.taken[0].mail_from
    assert sink.taken[0].rcpt_to == ["<jane@xn--bcher-kva.test>"]
    assert "SMTPUTF8" in sink.taken[1].mail_from
    assert sink.taken[1].rcpt_to == ["<jäne@xn--bcher-kva.test>"]


async def test_an_internationalised_address_fails_where_the_server_cannot_take_it() -> None:
    async with smtp_sink() as sink:
        assert await attempt(sink, make_mail(recipient="jäne@customer.test")) == "failed"
        assert not sink.taken


@pytest.mark.parametrize("address", ["jane@customer.test>\r\nRCPT TO:<evil@evil.test", "jane@customer.test\r\nQUIT"])
async def test_an_address_with_a_line_break_never_becomes_a_command(address: str) -> None:
    async with smtp_sink() as sink:
        await attempt(sink, make_mail(recipient=address))
    assert not any("evil" in c and c.startswith("RCPT") for c in sink.commands)
    assert not sink.taken or sink.taken[0].rcpt_to == ["<jane@customer.test>"]


# ---------------------------------------------------------------------------------------------- TLS and login


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_starttls_is_used_with_a_verified_certificate(authority: trustme.CA, ca_file: str) -> None:
    async with smtp_sink(Sink(tls=server_tls(authority))) as sink:
        assert await attempt(sink, tls="starttls", ca_file=ca_file) == "sent"
    assert sink.taken[0].tls


async def test_implicit_tls_is_used_from_the_first_byte(authority: trustme.CA, ca_file: str) -> None:
    async with smtp_sink(Sink(tls=server_tls(authority)), implicit_tls=True) as sink:
        assert await attempt(sink, tls="implicit", ca_file=ca_file) == "sent"
    assert sink.taken[0].tls


@pytest.mark.parametrize("name", ["127.0.0.1", "other.test"])
async def test_an_unknown_or_wrong_certificate_is_never_accepted_where_tls_is_required(
    authority: trustme.CA, ca_file: str, name: str
) -> None:
    trusted = ca_file if name == "other.test" else ""
    async with smtp_sink(Sink(tls=server_tls(authority, name))) as sink:
        assert await attempt(sink, tls="starttls", ca_file=trusted) == "deferred"
        assert not sink.taken


async def test_a_server_without_starttls_gets_nothing_where_it_is_required() -> None:
    async with smtp_sink() as sink:
        assert await attempt(sink, tls="starttls") == "deferred"
        assert not any(c.startswith("MAIL") for c in sink.commands)


async def test_auto_on_loopback_takes_tls_when_it_is_offered_and_does_without(authority: trustme.CA) -> None:
    async with smtp_sink(Sink(tls=server_tls(authority))) as sink:
        assert await attempt(sink, tls="auto") == "sent"
        assert sink.taken[0].tls
    async with smtp_sink() as sink:
        assert await attempt(sink, tls="auto") == "sent"
        assert not sink.taken[0].tls


async def test_a_login_with_the_right_password_is_made_once_a_connection() -> None:
    async with smtp_sink(Sink(users={"support": "right"})) as sink:
        assert await attempt(sink, password="right", user="support", auth="password") == "sent"
    assert sum(c.startswith("AUTH") for c in sink.commands) == 1


@pytest.mark.parametrize("fault", ["", "454 4.7.0 later"])
async def test_a_refused_login_is_our_own_fault_and_never_fails_a_mail(fault: str) -> None:
    faults = {"auth": [fault] * 5} if fault else {}
    async with smtp_sink(Sink(faults, users={"support": "right"})) as sink:
        transport = Transport(make_send(sink, user="support", auth="password"), "wrong")
        result = await transport.attempt(make_mail())
        await transport.close()
        assert result.outcome == "deferred"
        assert "login refused" in result.reply
        assert "wrong" not in result.reply.replace("wrong password", "")


async def test_an_attempt_that_is_cancelled_leaves_no_connection_behind() -> None:
    async with smtp_sink(Sink({"dot": ["stall"]})) as sink:
        transport = Transport(make_send(sink, timeout=Duration(seconds=30)))
        task = asyncio.create_task(transport.attempt(make_mail()))
        await sink.until(lambda s: "." in s.commands)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await transport.close()
        await sink.until(lambda s: s.open_now == 0)
