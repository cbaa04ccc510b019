"""How mail comes in and what is believed of it: [receive.*], [authentication]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.settings.values import Duration, Secret, Size, minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Lmtp:
    """[receive.lmtp]: beside a mail server."""

    listen: tuple[str, ...] = ("systemd",)
    """"systemd" (socket activation), "unix:/path", "inet:127.0.0.1:8024"."""
    max_size: Size = Size(25 * 1024 * 1024)
    """Largest message; keep at least the mail server's message_size_limit."""
    trust_xforward: bool = True
    """Believe client address and HELO from XFORWARD."""
    max_sessions: int = 50
    """Connections at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """[receive.smtp]: a direct listener; for small sites and the demo."""

    listen: tuple[str, ...] = ()
    """"inet:0.0.0.0:25" …; empty: no listener."""
    max_size: Size = Size(25 * 1024 * 1024)
    """Largest message."""
    max_sessions: int = 50
    """Connections at a time."""
    max_sessions_per_client: int = 5
    """Connections at a time from one address."""
    tls_certificate: str = ""
    """PEM file with certificate and chain; empty: no STARTTLS."""
    tls_key: Secret = Secret("")
    """PEM file with its key."""
    trust_xforward: bool = False
    """Believe XFORWARD from loopback clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """[receive.imap.NAME.oauth2]: used for the mailbox, and for sending as the same user."""

    tenant: str = ""
    """Microsoft 365: the directory."""
    client_id: str = ""
    """Of the app registration."""
    client_secret: Secret = Secret("")
    refresh_token: Secret = Secret("")
    """Empty: oauth/NAME.token beside the token key, written by `ticketgate oauth login NAME`."""
    token_url: str = ""
    """Where tokens come from; a preset has its own."""
    authorize_url: str = ""
    """Where a person consents; a preset has its own."""
    scope: str = ""
    """What is asked for; a preset has its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imap:
    """[receive.imap.NAME]: a polled mailbox; NAME is the inbox it feeds unless ``inbox`` says otherwise."""

    user: str
    """Login name."""
    host: str = ""
    """Server name; a preset has its own."""
    handle: str = ""
    """The table's name."""
    inbox: str = ""
    """Name of the inbox; empty: the table's name."""
    enabled: bool = True
    preset: str = "custom"
    """"gmail", "microsoft365", "yahoo" or "custom"."""
    port: int = 993
    tls: str = "implicit"
    """"implicit", "starttls"; "none" only for loopback hosts."""
    ca_file: str = ""
    """CA certificates for this server; empty: the system's."""
    auth: str = "password"
    """"password", "app-password", "oauth2-refresh", "oauth2-client"."""
    secret: Secret = Secret("")
    """The password; the oauth2 kinds have none."""
    folder: str = "INBOX"
    junk_folder: str = "auto"
    """Watched and reported, never ticketed."""
    idle: bool = True
    """IDLE, with a poll every poll_interval as safety net."""
    poll_interval: Duration = minutes(1)
    sent_folder: str = ""
    """Answers agents send from the shared mailbox itself are recorded too."""
    sent_copy: str = ""
    """A copy of each answer goes into this folder: a name, or "auto" for the one the server marks as \\Sent."""
    after: str = "flag"
    """"flag" ($Ticketed where allowed), "keep", "move:FOLDER", "seen", "delete"."""
    catch_up: str = "new"
    """First run: "new", a duration like "7d", or "all"."""
    alert_after: Duration = minutes(15)
    """No successful fetch for this long: log, metric, mail to admin."""
    max_size: Size = Size(25 * 1024 * 1024)
    """Larger mail is left on the server and reported."""
    trusted: bool = True
    """Authentication-Results fields of a trusted authserv-id are believed here."""
    oauth2: OAuth2 = OAuth2()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receive:
    """[receive]."""

    lmtp: Lmtp | None = None
    smtp: Smtp | None = None
    imap: Mapping[str, Imap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """[authentication]: what proves a sender."""

    customer_proof: str = "token"
    """"token": as "spf", and a valid party token where the domain offers no proof at all (architecture 6.11);
    "spf": DMARC, DKIM or aligned SPF; "dkim": without SPF alone."""
    agent_domains: tuple[str, ...] = ()
    """Agents only from domains whose server enforces the sender's address; empty: any."""
    strict_domains: tuple[str, ...] = ()
    """Domains whose signatures must cover all headers."""
    arc_sealers: tuple[str, ...] = ()
    """d= of forwarders whose ARC seals may rescue a DMARC failure (customers only)."""
    agent_key_bits: int = 2048
    """Smallest RSA key of an agent's domain."""
    resolver: tuple[str, ...] = ()
    """DNS servers, "192.0.2.53" or "127.0.0.1:5353"; empty: the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedResults:
    """[authentication_results]: who may tell us that SPF, DKIM or DMARC passed, or who submitted."""

    trusted: tuple[str, ...] = ()
    """authserv-id values; only the topmost block is believed."""
    verify_locally: bool = True
    """Check DKIM ourselves on every mail."""
