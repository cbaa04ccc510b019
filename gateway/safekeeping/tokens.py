"""The tokens of OAuth2 mailboxes: where refresh tokens are kept, and who logs in with what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from gateway import maillog
from gateway.configure import read_secret
from gateway.errors import TemporaryError
from gateway.ingest.imap import Password
from gateway.ingest.imap_client import LoginRefused
from gateway.oauth import TokenSource
from gateway.safekeeping.outside import state_folder, write_file
from gateway.settings import Imap, Secret, Settings

Told = Callable[[Imap, str], None]
"""Hears of every refresh of a mailbox's token: "" when it went well, else why not."""


def token_file(settings: Settings, mailbox: Imap) -> Path:
    """Where the refresh token is written: the file that is configured, else oauth/NAME.token beside the token key."""
    kind, _, place = str(mailbox.oauth2.refresh_token).partition(":")
    return Path(place) if kind == "file" else state_folder(settings) / "oauth" / f"{mailbox.handle}.token"


def make_source(settings: Settings, mailbox: Imap, told: Told = lambda mailbox, why: None) -> TokenSource:
    """The token source of one mailbox, its secrets read when they are needed."""
    own, place = mailbox.oauth2, token_file(settings, mailbox)
    return TokenSource(
        mailbox,
        client_secret=lambda: read_secret(own.client_secret) if own.client_secret else "",
        refresh_tokens=partial(_read_refresh_tokens, own.refresh_token, place),
        keep=partial(_keep, place),
        told=partial(told, mailbox),
    )


def _read_refresh_tokens(configured: Secret, place: Path) -> list[str]:
    # What replaced the configured one comes first; the configured one may be newer all the same, so it is tried too.
    words = [read_secret(Secret(f"file:{place.absolute()}"))] if place.exists() else []
    if configured and not configured.startswith("file:"):
        words.append(read_secret(configured))
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))


def _keep(place: Path, token: str) -> None:
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(place, f"{token}\n".encode())
    except OSError as error:
        # The old one may be void already: without a new login the next start cannot go on.
        maillog.alerted("a new refresh token cannot be stored", f"{place}: {error.strerror}")
        raise


class AccessTokens:
    """What each login needs, for one run of the daemon: one source a mailbox, whoever asks."""

    def __init__(self, settings: Callable[[], Settings], told: Told) -> None:
        self._settings, self._told = settings, told
        self._sources: dict[str, TokenSource] = {}

    def renew(self) -> None:
        """The configuration was read again: so are client secrets and refresh tokens when they are needed."""
        self._sources.clear()

    def _source(self, mailbox: Imap) -> TokenSource:
        if mailbox.handle not in self._sources:
            self._sources[mailbox.handle] = make_source(self._settings(), mailbox, self._told)
        return self._sources[mailbox.handle]

    def password_of(self, mailbox: Imap) -> Password:
        """What a reader of the mailbox logs in with; LoginRefused where there is no token."""

        async def password(_fresh: bool) -> str:
            return await asyncio.to_thread(read_secret, mailbox.secret)

        async def token(fresh: bool) -> str:
            try:
                return await self._source(mailbox).token(fresh)
            except TemporaryError as error:
                raise LoginRefused(str(error)) from error

        return token if mailbox.auth.startswith("oauth2") else password

    def for_sending(self) -> Callable[[bool], Awaitable[str]] | None:
        """The tokens of [send]; None where it logs in otherwise."""
        send = self._settings().send
        mailbox = self._settings().oauth_mailbox(send.user) if send.auth.startswith("oauth2") else None
        return self._source(mailbox).token if mailbox is not None else None
