"""OAuth 2 access tokens for IMAP and SMTP (ops.md 10.3, RFC 6749, RFC 7636): cached, refreshed, rotated.

The one door to HTTP. A token is kept until five minutes before its end: a provider revokes what is refreshed at every
poll. A refresh that fails is not repeated at once, however often somebody asks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from gateway import metrics
from gateway.address import clean_text
from gateway.errors import TemporaryError
from gateway.settings import Imap

EARLY = 300.0
"""Seconds before its end from which a token is not used any more, if another can be had."""
REDIRECT = "http://localhost"
"""Where the browser ends up after the consent: nobody listens there, its address line has the code."""
_PAUSES = (30.0, 60.0, 120.0, 300.0, 900.0)  # seconds between two refreshes that fail
_TIMEOUT = 30.0
_LONGEST = 65536  # octets of an answer
_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/"
_PROVIDERS = {
    # preset          token_url, authorize_url, scope
    "gmail": (
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://mail.google.com/",
    ),
    "microsoft365": (
        _MICROSOFT + "token",
        _MICROSOFT + "authorize",
        "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access",
    ),
    "yahoo": (
        "https://api.login.yahoo.com/oauth2/get_token",
        "https://api.login.yahoo.com/oauth2/request_auth",
        "mail-w",
    ),
}
_MICROSOFT_CLIENT_SCOPE = "https://outlook.office365.com/.default"


@dataclass(frozen=True, slots=True)
class Provider:
    """Where tokens come from, and for what."""

    token_url: str
    authorize_url: str
    scope: str


def provider_of(mailbox: Imap) -> Provider:
    """What the preset knows; what the operator wrote counts more. Parts nobody knows are empty."""
    own = mailbox.oauth2
    token_url, authorize_url, scope = _PROVIDERS.get(mailbox.preset, ("", "", ""))
    if mailbox.preset == "microsoft365" and mailbox.auth == "oauth2-client":
        scope = _MICROSOFT_CLIENT_SCOPE
    tenant = own.tenant or "common"
    return Provider(
        token_url=own.token_url or token_url.replace("{tenant}", tenant),
        authorize_url=own.authorize_url or authorize_url.replace("{tenant}", tenant),
        scope=own.scope or scope,
    )


class TokenError(TemporaryError):
    """No access token; ``code`` is the provider's ("invalid_grant"), empty when it could not be asked."""

    def __init__(self, cause: str, code: str = "") -> None:
        super().__init__(cause)
        self.code = code


@dataclass(frozen=True, slots=True)
class Grant:
    """What a provider gave."""

    access_token: str
    seconds: float
    refresh_token: str
    scope: str


class TokenSource:
    """The access tokens of one mailbox, for all who log in with it; lives in one event loop.

    ``client_secret`` and ``refresh_tokens`` read what is stored now (of the latter the first that is not refused
    counts); ``keep`` stores a refresh token that replaces the one used. ``told`` hears of every refresh: "" when it
    went well, else why not.
    """

    def __init__(
        self,
        mailbox: Imap,
        *,
        client_secret: Callable[[], str],
        refresh_tokens: Callable[[], list[str]],
        keep: Callable[[str], None],
        told: Callable[[str], None] = lambda why: None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mailbox, self._provider = mailbox, provider_of(mailbox)
        self._client_secret, self._refresh_tokens, self._keep = client_secret, refresh_tokens, keep
        self._told, self._ticks = told, ticks
        self._grant: Grant | None = None
        self._ends = 0.0
        self._failures, self._not_before, self._why = 0, 0.0, TokenError("")
        self._turn = asyncio.Lock()

    async def token(self, refused: bool = False) -> str:
        """An access token; ``refused``: the last one was, so another is fetched. Raises TokenError."""
        async with self._turn:
            now = self._ticks()
            if refused:
                self._grant = None
            if self._grant is not None and now < self._ends - EARLY:
                return self._grant.access_token
            if now < self._not_before:
                return self._rest(now)
            try:
                self._take(await asyncio.to_thread(self.fetch))
            except TokenError as error:
                self._not_before = self._ticks() + _PAUSES[min(self._failures, len(_PAUSES) - 1)]
                self._failures += 1
                self._why = error
                self._told(str(error.cause or error))
                return self._rest(now)
            self._told("")
            assert self._grant is not None
            return self._grant.access_token

    def _rest(self, now: float) -> str:
        if self._grant is not None and now < self._ends:
            return self._grant.access_token
        raise TokenError(self._why.cause, self._why.code)

    def _take(self, grant: Grant) -> None:
        self._grant, self._ends = grant, self._ticks() + grant.seconds
        self._failures, self._not_before = 0, 0.0
        metrics.oauth_expires(f"imap:{self._mailbox.handle}", time.time() + grant.seconds)

    def fetch(self) -> Grant:
        """Ask the provider, now; blocks. Raises TokenError."""
        try:
            if self._mailbox.auth == "oauth2-client":
                return self._ask({"grant_type": "client_credentials", "scope": self._provider.scope})
            return self._refresh()
        except (OSError, ValueError) as error:  # a secret that cannot be read
            raise TokenError(str(error)) from error

    def _refresh(self) -> Grant:
        refusal = TokenError(f"no refresh token yet: ticketgate oauth login {self._mailbox.handle}")
        for used in self._refresh_tokens():
            try:
                grant = self._ask({"grant_type": "refresh_token", "refresh_token": used})
            except TokenError as error:
                if error.code != "invalid_grant":
                    raise
                refusal = error
                continue
            if grant.refresh_token and grant.refresh_token != used:
                self._keep(grant.refresh_token)
            return grant
        raise refusal

    # -------------------------------------------------------------- the consent of a person

    def begin_login(self) -> tuple[str, str, str]:
        """The address to open in a browser, its ``state``, and the verifier for :meth:`finish_login`."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": self._mailbox.oauth2.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": self._provider.scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": self._mailbox.user,
            "access_type": "offline",  # Google gives a refresh token only when asked for it so
            "prompt": "consent",
        }
        return f"{self._provider.authorize_url}?{urlencode(asked)}", state, verifier

    def finish_login(self, said: str, state: str, verifier: str) -> Grant:
        """``said``: the code, or the whole address the browser ended up at; keeps the refresh token. TokenError."""
        grant = self._ask(
            {
                "grant_type": "authorization_code",
                "code": _read_code(said.strip(), state),
                "redirect_uri": REDIRECT,
                "code_verifier": verifier,
            }
        )
        if not grant.refresh_token:
            raise TokenError("the provider gave no refresh token")
        self._keep(grant.refresh_token)
        return grant

    def _ask(self, form: Mapping[str, str]) -> Grant:
        fields = {**form, "client_id": self._mailbox.oauth2.client_id}
        secret = self._client_secret()
        if secret:
            fields["client_secret"] = secret
        answer = _post(self._provider.token_url, fields)
        token, seconds = answer.get("access_token"), answer.get("expires_in", 3600)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise TokenError("the provider's answer has no access token")
        return Grant(
            token,
            float(seconds) if isinstance(seconds, (int, float, str)) and str(seconds).isdigit() else 3600.0,
            str(answer.get("refresh_token") or ""),
            str(answer.get("scope") or ""),
        )


def _read_code(said: str, state: str) -> str:
    if "://" not in said:
        return said
    query = parse_qs(urlsplit(said).query)
    if "error" in query:
        raise TokenError(f"refused: {clean_text(query['error'][0], 200)}")
    if query.get("state") != [state] or "code" not in query:
        raise TokenError("this is not the address that belongs to the one printed above")
    return query["code"][0]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None  # secrets go to the address that was configured


def _post(url: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """POST a form, read JSON. TokenError with the provider's words; never with ours."""
    place = urlsplit(url)
    if place.scheme != "https" and place.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise TokenError(f"{url or 'token_url'} is no https address")
    request = urllib.request.Request(url, urlencode(fields).encode(), {"Accept": "application/json"})
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT) as reply:
            content = reply.read(_LONGEST)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error.code, error.read(_LONGEST)) from None
    except OSError as error:
        raise TokenError(f"{place.hostname}: {getattr(error, 'reason', error)}") from error
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise TokenError(f"{place.hostname} answers without JSON") from error
    if not isinstance(answer, dict):
        raise TokenError(f"{place.hostname} answers something else than an object")
    return answer


def _refusal(status: int, content: bytes) -> TokenError:
    try:
        answer = json.loads(content)
        code = str(answer["error"])
        words = str(answer.get("error_description") or code).splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return TokenError(f"HTTP {status}")
    return TokenError(clean_text(words, 300), clean_text(code, 80))
