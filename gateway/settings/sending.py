"""How mail goes out: [send]."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.values import Duration, Secret, days, minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDkim:
    """[send.dkim]: only if the relay does not sign."""

    enabled: bool = False
    domain: str = ""
    selector: str = ""
    key_secret: Secret = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """[send]: where outgoing mail is submitted."""

    host: str = "localhost"
    port: int = 25
    tls: str = "auto"
    """"auto" (STARTTLS when offered; required off loopback), "implicit", "starttls", "none" (loopback only)."""
    ca_file: str = ""
    """CA certificates for this server; empty: the system's."""
    user: str = ""
    auth: str = "none"
    """"none", "password", "app-password", "oauth2-refresh", "oauth2-client"."""
    secret: Secret = Secret("")
    envelope: str = "auto"
    """"verp" (bounce token in the reverse-path), "plain", "auto"."""
    max_per_minute: int = 0
    """0: unlimited."""
    max_connections: int = 2
    automatic_per_hour: int = 2000
    """Automatic mails of all inboxes together; above, they are held and the admin is told. 0: unlimited."""
    retry: tuple[Duration, ...] = (minutes(1), minutes(5), minutes(15), minutes(60), minutes(240))
    """Delays between attempts; the last repeats."""
    warn_after: Duration = minutes(240)
    """The author of an answer is told after this long in deferral."""
    give_up: Duration = days(2)
    hold_seconds: int = 0
    """How long an answer waits so that #undo can stop it."""
    timeout: Duration = Duration(seconds=60)
    """Of each step of one SMTP conversation."""
    dkim: SendDkim = SendDkim()
