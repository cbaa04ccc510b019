"""XFORWARD: believed from the MTA in front, from nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.xforward import Forwarded, read_xforward
from tests.support.smtp_client import edge, session


async def test_the_first_client_and_the_queue_id_reach_the_envelope(tmp_path):
    async with edge(tmp_path, trust_xforward=True) as running, session(running) as client:
        hello = await client.hello()
        assert "XFORWARD ADDR PORT PROTO HELO IDENT SOURCE" in hello.lines
        assert (await client.say("XFORWARD ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=mail.customer.test")).code == 250
        assert (await client.say("XFORWARD IDENT=4F3ab12 SOURCE=REMOTE")).code == 250
        assert (await client.deliver()).code == 250
        assert (await client.deliver()).code == 250
    first, second = (envelope for envelope, _ in running.mails)
    assert (first.client_address, first.helo, first.queue_id) == ("192.0.2.7", "mail.customer.test", "4F3ab12")
    assert (first.source, first.trusted) == ("lmtp", True)
    assert (second.client_address, second.helo, second.queue_id) == ("", "", "")


async def test_a_direct_client_speaks_for_itself_only(tmp_path):
    async with edge(tmp_path, "smtp", unix=False) as running, session(running, "EHLO") as client:
        assert not any(line.startswith("XFORWARD") for line in (await client.hello("EHLO")).lines)
        assert (await client.say("XFORWARD ADDR=192.0.2.7")).code == 500
        assert (await client.deliver()).code == 250
    envelope = running.mails[0][0]
    assert (envelope.client_address, envelope.helo) == ("127.0.0.1", "client.test")
    assert (envelope.source, envelope.trusted) == ("smtp", False)


async def test_a_direct_listener_may_trust_loopback(tmp_path):
    async with edge(tmp_path, "smtp", unix=False, trust_xforward=True) as running, session(running, "EHLO") as client:
        assert (await client.say("XFORWARD ADDR=IPV6:2001:db8::7 HELO=mail.customer.test")).code == 250
        assert (await client.deliver()).code == 250
    envelope = running.mails[0][0]
    assert (envelope.client_address, envelope.helo) == ("2001:db8::7", "mail.customer.test")
    assert not envelope.trusted


async def test_wrong_tokens_put_off_who_sent_them_and_not_everybody_behind_the_mta(tmp_path):
    rules = {"trust_xforward": True, "max_bad_tokens": 3, "max_commands": 1000}
    async with (
        edge(tmp_path, "smtp", unix=False, is_bad_token=lambda recipient: True, **rules) as running,
        session(running, "EHLO") as client,
    ):
        for address in ["192.0.2.7"] * 3 + ["[UNAVAILABLE]"] * 5:
            assert (await client.say(f"XFORWARD ADDR={address}")).code == 250
            assert (await client.deliver()).code == 250
        assert (await client.say("XFORWARD ADDR=192.0.2.7")).code == 250
        assert (await client.say("MAIL FROM:<evil@evil.test>")).code == 250
        assert (await client.say("RCPT TO:<support@desk.test>")).code == 451
        assert (await client.say("RSET")).code == 250
        assert (await client.say("XFORWARD ADDR=192.0.2.8")).code == 250
        assert (await client.deliver()).code == 250


async def test_an_lmtp_listener_told_not_to_trust_does_not(tmp_path):
    async with edge(tmp_path) as running, session(running) as client:
        assert (await client.say("XFORWARD ADDR=192.0.2.7")).code == 500


@pytest.mark.parametrize(
    "argument",
    (
        "|ADDR|ADDR=999.1.2.3|ADDR=mail.customer.test|PORT=99999|PORT=x|NAME=a|HELO=a+b|SOURCE=ELSEWHERE|FROB=1"
        "|PROTO=ES-MTP|HELO=h\xe9|HELO=" + "h" * 256
    ).split("|"),
)
async def test_a_value_that_is_not_well_formed_is_refused_and_changes_nothing(tmp_path, argument):
    async with edge(tmp_path, trust_xforward=True) as running, session(running) as client:
        assert (await client.say("XFORWARD ADDR=192.0.2.7 HELO=one.test")).code == 250
        reply = await client.say(f"XFORWARD {argument}")
        assert (reply.code, reply.enhanced) == (501, "5.5.4")
        assert (await client.deliver()).code == 250
    assert running.mails[0][0].client_address == "192.0.2.7"


async def test_within_a_transaction_it_is_a_bad_sequence(tmp_path):
    async with edge(tmp_path, trust_xforward=True) as running, session(running) as client:
        await client.say("MAIL FROM:<ann@customer.test>")
        assert (await client.say("XFORWARD ADDR=192.0.2.7")).code == 503


def test_values_are_xtext_and_what_is_unknown_is_empty():
    read = read_xforward("addr=[UNAVAILABLE] HELO=a+2Bb+3Dc IDENT=[TEMPUNAVAIL] PORT=[UNAVAILABLE]")
    assert read == Forwarded(helo="a+b=c")
    assert read_xforward("HELO=a+0D+0ARCPT+20TO:+3Cx+3E") == Forwarded(helo="a RCPT TO:<x>")


@given(st.text(max_size=80))
def test_reading_never_raises(argument):
    read_xforward(argument)
