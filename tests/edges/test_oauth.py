"""OAuth2 access tokens, from a provider that speaks the true protocol."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import TemporaryError
from gateway.oauth import TokenSource, provider_of
from gateway.outbound.transport import Transport
from gateway.safekeeping.tokens import make_source
from gateway.settings import Imap, OAuth2, Secret, Security, Send, Settings
from tests.support.oauth_provider import CLIENT, SECRET, Provider, oauth_provider
from tests.support.smtp_sink import Sink, smtp_sink

USER = "support@desk.test"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oauth_provider() as running:
        yield running


def mailbox_of(provider: Provider, auth: str = "oauth2-refresh", **more: str) -> Imap:
    registered = OAuth2(
        client_id=CLIENT, token_url=f"{provider.url}/token", authorize_url=f"{provider.url}/auth", **more
    )
    return Imap(user=USER, handle="support", host="127.0.0.1", auth=auth, oauth2=registered)


class Site:
    """What stands around a source: time, stored tokens, what was told."""

    def __init__(self, provider: Provider, auth: str = "oauth2-refresh") -> None:
        self.ticks, self.stored, self.told = 1000.0, ["refresh-0"], list[str]()
        self.source = TokenSource(
            mailbox_of(provider, auth),
            client_secret=lambda: SECRET,
            refresh_tokens=lambda: list(self.stored),
            keep=lambda token: self.stored.insert(0, token),
            told=self.told.append,
            ticks=lambda: self.ticks,
        )


async def test_a_token_is_kept_until_five_minutes_before_its_end(provider: Provider) -> None:
    site = Site(provider)
    assert await asyncio.gather(*(site.source.token() for _ in range(10))) == ["access-1"] * 10
    site.ticks += 3299
    assert await site.source.token() == "access-1"
    site.ticks += 2
    assert await site.source.token() == "access-2"
    assert [form["refresh_token"] for form in provider.requests] == ["refresh-0", "refresh-1"]
    assert site.told == ["", ""]


async def test_a_refused_token_is_replaced(provider: Provider) -> None:
    site = Site(provider)
    assert await site.source.token() == "access-1"
    assert await site.source.token(True) == "access-2"
    assert await site.source.token() == "access-2"
    provider.refusal = (503, b"busy")
    for refused in (True, False):
        with pytest.raises(TemporaryError, match="HTTP 503"):
            await site.source.token(refused)


async def test_a_provider_that_fails_is_asked_less_and_less(provider: Provider) -> None:
    site = Site(provider)
    provider.refusal = (400, b'{"error": "invalid_grant", "error_description": "revoked\\nmore"}')
    for pause in (30, 60, 120, 300, 900, 900):
        asked = len(provider.requests)
        for _ in range(5):
            with pytest.raises(TemporaryError, match=r"revoked$"):
                await site.source.token()
        assert len(provider.requests) == asked + 1
        site.ticks += pause + 0.1
    provider.refusal = None
    assert await site.source.token() == "access-1"
    assert site.told == ["revoked"] * 6 + [""]


async def test_while_the_provider_fails_the_old_token_serves_to_its_end(provider: Provider) -> None:
    site = Site(provider)
    await site.source.token()
    provider.refusal = (503, b"busy")
    site.ticks += 3400
    assert await site.source.token() == "access-1"
    site.ticks += 250
    with pytest.raises(TemporaryError, match="HTTP 503"):
        await site.source.token()


async def test_a_token_of_before_the_last_is_not_the_end_when_another_is_configured(provider: Provider) -> None:
    site = Site(provider)
    site.stored = ["stale", "refresh-0"]
    assert await site.source.token() == "access-1"
    assert site.stored[0] == "refresh-1"


async def test_a_client_gets_a_token_by_its_secret(provider: Provider) -> None:
    site = Site(provider, "oauth2-client")
    assert await site.source.token() == "access-1"
    assert provider.requests[0]["grant_type"] == "client_credentials"


@pytest.mark.parametrize(
    "refusal",
    [
        (500, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (302, b"https://evil.test/"),
        (307, b"https://evil.test/"),
    ],
)
async def test_strange_answers_are_no_token_and_tell_no_secret(provider: Provider, refusal: tuple[int, bytes]) -> None:
    site = Site(provider)
    provider.refusal = refusal
    with pytest.raises(TemporaryError) as caught:
        await site.source.token()
    assert SECRET not in str(caught.value) and "refresh-0" not in str(caught.value)


async def test_secrets_go_over_https_only(provider: Provider) -> None:
    mailbox = Imap(user=USER, auth="oauth2-client", oauth2=OAuth2(client_id="x", token_url="http://login.test/token"))
    source = TokenSource(mailbox, client_secret=lambda: "s", refresh_tokens=list, keep=lambda token: None)
    with pytest.raises(TemporaryError, match="no https"):
        await source.token()


def test_presets_know_their_provider() -> None:
    tenant = OAuth2(tenant="contoso")
    exchange = provider_of(Imap(user=USER, preset="microsoft365", auth="oauth2-client", oauth2=tenant))
    assert exchange.token_url == "https://login.microsoftonline.com/contoso/oauth2/v2.0/token"
    assert exchange.scope == "https://outlook.office365.com/.default"
    assert "offline_access" in provider_of(Imap(user=USER, preset="microsoft365", auth="oauth2-refresh")).scope
    assert provider_of(Imap(user=USER, preset="gmail")).scope == "https://mail.google.com/"


async def test_a_new_refresh_token_is_on_the_disk_before_it_is_used(provider: Provider, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    settings = Settings(security=Security(token_key=Secret(f"file:{tmp_path}/token.key")))
    place = tmp_path / "oauth" / "support.token"
    place.parent.mkdir()
    place.touch(mode=0o600)
    place.write_text("refresh-0\n")
    mailbox = mailbox_of(provider, client_secret=Secret(f"file:{secret}"))
    assert await make_source(settings, mailbox).token() == "access-1"
    assert place.read_text() == "refresh-1\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert await make_source(settings, mailbox).token() == "access-2"  # another start


# ------------------------------------------------------------------ sending


def sending(sink: Sink, source: TokenSource) -> Transport:
    send = Send(host="127.0.0.1", port=sink.port, tls="none", user=USER, auth="oauth2-refresh")
    return Transport(send, access_token=source.token)


async def test_sending_logs_in_with_a_token_and_replaces_one_that_is_refused(provider: Provider) -> None:
    site = Site(provider)
    async with smtp_sink(Sink(tokens=provider.live)) as sink:
        transport = sending(sink, site.source)
        assert await transport.try_login() == ""
        await transport.close()
        provider.live.clear()
        assert await transport.try_login() == ""
        await transport.close()
        assert len(provider.requests) == 2
        provider.live.clear()
        provider.refusal = (400, b'{"error": "invalid_grant"}')
        assert await transport.try_login() == "no access token: invalid_grant"
