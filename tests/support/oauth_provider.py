"""An OAuth 2 provider on loopback: the token endpoint of RFC 6749 with PKCE (RFC 7636) and rotating refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT, SECRET = "client-1", "client-secret-1"


class Provider:
    """``live``: access tokens that servers accept. ``refusal``: status and JSON instead of a token."""

    def __init__(self) -> None:
        self.live: set[str] = set()
        self.refresh_token = "refresh-0"
        self.rotates = True
        self.seconds = 3600
        self.refusal: tuple[int, bytes] | None = None
        self.requests: list[dict[str, str]] = []
        self.url = ""
        self._issued = 0
        self._consents: dict[str, str] = {}  # code -> challenge
        self._turn = threading.Lock()

    def consent(self, address: str) -> str:
        """A person opens the address and agrees; the address the browser ends up at."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        code = f"code-{len(self._consents)}"
        self._consents[code] = asked["code_challenge"]
        return f"{asked['redirect_uri']}/?{urlencode({'code': code, 'state': asked['state']})}"

    def answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        with self._turn:
            self.requests.append(form)
            if self.refusal is not None:
                return self.refusal
            if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
                return _error("invalid_client", "AADSTS7000222: the client secret expired")
            kind = form.get("grant_type")
            if kind == "refresh_token" and form.get("refresh_token") != self.refresh_token:
                return _error("invalid_grant", "Token has been expired or revoked.")
            if kind == "authorization_code" and not self._is_consented(form):
                return _error("invalid_grant", "Bad code or verifier.")
            return self._grant(with_refresh=kind != "client_credentials")

    def _is_consented(self, form: dict[str, str]) -> bool:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self._consents.pop(form.get("code", ""), "") == challenge

    def _grant(self, *, with_refresh: bool) -> tuple[int, bytes]:
        self._issued += 1
        token = f"access-{self._issued}"
        self.live.add(token)
        answer: dict[str, object] = {"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"}
        if with_refresh:
            if self.rotates:
                self.refresh_token = f"refresh-{self._issued}"
            answer |= {"refresh_token": self.refresh_token, "scope": "mail"}
        return 200, json.dumps(answer).encode()


def _error(code: str, words: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": code, "error_description": f"{words}\r\nTrace ID: 1"}).encode()


@contextmanager
def oauth_provider() -> Iterator[Provider]:
    """A running provider on a free loopback port."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, content = provider.answer({key: values[0] for key, values in form.items()})
            self.send_response(status)
            if status in (302, 307):
                self.send_header("Location", content.decode())
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
