"""What an operator may set: frozen types, defaults, a docstring under each field (ops.md 15).

``configure.py`` makes these from TOML; nothing else reads configuration. ``config/ticketgate.toml`` shows every field
with its default, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from gateway.address import fold_address, split_tag, unquote_local
from gateway.reference import Keys


class Duration(timedelta):
    """A time span; written ``90s``, ``15m``, ``4h``, ``3d``, ``2w`` in TOML."""


class Size(int):
    """A number of bytes; written ``25MiB`` in TOML."""


class Secret(str):
    """Where a secret is kept: ``credential:NAME``, ``file:/path`` or ``env:TICKETGATE_NAME``; resolved by configure."""


def _minutes(n: float) -> Duration:
    return Duration(minutes=n)


def _days(n: float) -> Duration:
    return Duration(days=n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One person of the staff, from agents.toml; what the agent changed by mail overlays it (store)."""

    name: str
    """Full name, as customers see it."""
    address: str
    """Registered address: notifications go here, held mail is asked about here."""
    handle: str = ""
    """The table's name in agents.toml."""
    also: tuple[str, ...] = ()
    """Further addresses the agent may write from."""
    role: str = "agent"
    """"agent", "lead" or "observer"."""
    timezone: str = ""
    """IANA zone; empty: that of [ticketgate]."""
    quiet: str = ""
    """Quiet hours, e.g. "18:00-08:00": no mail then, except escalations."""
    notify: str = "all"
    """"all", "mine", "escalations" or "digest"."""
    authentication: str = "aligned"
    """"aligned": DKIM or DMARC pass (or a trusted result, or authenticated submission) and the token;
    "token": the token alone."""
    enabled: bool = True
    """A disabled agent is no agent: tokens stop working at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """[inbox.NAME.offer]: who is told of a new ticket."""

    mode: str = "all"
    """"all", "rotate" (one agent at a time), "digest" or "none"."""
    rotate_after: Duration = _minutes(15)
    """rotate: offer to the next agent after this long without a claim."""
    sticky: Duration = _days(90)
    """Offer first to the agent who last answered this customer within this time, if not away."""
    announce_claims: bool = False
    """Tell the others "Bob took it"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """[inbox.NAME.hours]: business hours for reminders and promises."""

    weekdays: str = "mon-fri 09:00-17:30"
    """Days and hours; empty: always open."""
    holidays: tuple[str, ...] = ()
    """Dates, ranges "2026-12-24..2026-12-26", or "file:/path.ics"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind:
    """[inbox.NAME.remind]: counted in business hours."""

    unclaimed: tuple[Duration, ...] = (_minutes(30), _minutes(120))
    """Remind the pool, then also the lead."""
    unanswered: tuple[Duration, ...] = (_minutes(240), _days(1))
    """The owner has an unanswered customer mail; then also the lead."""
    waiting: Duration | None = _days(7)
    """The customer is silent: ask the owner what to do; "off" disables."""
    auto_close: Duration | None = None
    """Close silently after this long waiting; reopens on reply; "off" disables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """[inbox.NAME.ack]: the automatic "we have your mail"; only ever to proven senders."""

    enabled: bool = True
    """Whether new tickets are acknowledged."""
    template: str = "templates/ack.txt"
    """May not use anything the sender wrote."""
    outside_hours_template: str = ""
    """Another text outside business hours; empty: the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """[inbox.NAME]: one shared address."""

    name: str
    """Display name customers see."""
    address: str
    """The shared address."""
    handle: str = ""
    """The table's name; used in #move and in List-Id."""
    aliases: tuple[str, ...] = ()
    """Other addresses that mean the same inbox."""
    agents: tuple[str, ...] = ()
    """Handles from agents.toml or plain addresses."""
    lead: tuple[str, ...] = ()
    """Handles told about escalations; role "lead"."""
    from_style: str = "agent-via"
    """"agent-via": 'Bob Smith (Example Support)'; "inbox": 'Example Support'."""
    reply_token: str = "auto"
    """"plus", "domain", "none"; "auto" is what doctor proved, "plus" until then."""
    reply_domain: str = ""
    """For "domain": a domain routed to ticketgate and used for nothing else."""
    plus_separator: str = "+"
    """Must equal the mail server's recipient_delimiter."""
    subject_tag: str = "agents"
    """Who sees [#4827] in subjects: "agents", "everyone", "nobody"."""
    signature: str = ""
    """Path of a text appended to relayed answers unless the agent's text already ends with it."""
    offer: Offer = Offer()
    hours: Hours = Hours()
    remind: Remind = Remind()
    ack: Acknowledge = Acknowledge()

    def addresses(self) -> tuple[str, ...]:
        """The address and its aliases, folded."""
        return tuple(fold_address(a) for a in (self.address, *self.aliases))


@dataclass(frozen=True, slots=True, kw_only=True)
class AckBudget:
    """[ack]: budget for all inboxes together."""

    per_hour: int = 200
    """Above this acknowledgements stop and the admin is told."""


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
    poll_interval: Duration = _minutes(1)
    sent_folder: str = ""
    """Answers agents send from the shared mailbox itself are recorded too."""
    sent_copy: str = ""
    """A copy of each answer goes into this folder: a name, or "auto" for the one the server marks as \\Sent."""
    after: str = "flag"
    """"flag" ($Ticketed where allowed), "keep", "move:FOLDER", "seen", "delete"."""
    catch_up: str = "new"
    """First run: "new", a duration like "7d", or "all"."""
    alert_after: Duration = _minutes(15)
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
    retry: tuple[Duration, ...] = (_minutes(1), _minutes(5), _minutes(15), _minutes(60), _minutes(240))
    """Delays between attempts; the last repeats."""
    warn_after: Duration = _minutes(240)
    """The author of an answer is told after this long in deferral."""
    give_up: Duration = _days(2)
    hold_seconds: int = 0
    """How long an answer waits so that #undo can stop it."""
    timeout: Duration = Duration(seconds=60)
    """Of each step of one SMTP conversation."""
    dkim: SendDkim = SendDkim()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """[tickets]."""

    first_number: int = 1
    reopen: Duration = _days(30)
    """A reply to a ticket closed longer ago starts a linked new one."""
    same_subject_window: Duration = _days(7)
    """Only used to suggest merges, never to merge."""
    auto_replies: str = "ticket"
    """A machine mail that matches nothing: "ticket" (no acknowledgement) or "drop" (counted, kept raw)."""
    unknown_participant: str = "show"
    """"show" to agents, flagged, never relayed; or "new-ticket"."""
    max_messages: int = 90
    """A continuation thread starts here: Gmail splits a conversation after 100 mails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """[customer]: what customers receive."""

    quote: str = "last"
    """What of the history goes below an answer: "last" or "none"."""
    html: str = "auto"
    """Keep the agent's formatting if it used any: "auto" or "never"."""
    reference: str = "footer"
    """One small line 'Reference 4827-eaer': "footer" or "none"."""
    attachments_max: Size = Size(20 * 1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMail:
    """[agent_mail]: what agents receive."""

    batch: Duration = _minutes(2)
    """Customer mails closer together than this are one notification."""
    history: int = 3
    """Earlier messages shown below the new one."""
    html: bool = True
    actions: tuple[str, ...] = ("claim", "close", "snooze 1d", "spam", "help")
    """One-tap links in the footer."""
    thread_index: bool = True
    """Add Thread-Topic and Thread-Index for Outlook."""
    max_size: Size = Size(10 * 1024 * 1024)
    """Larger attachments are listed and sent on #show N files."""
    digest: str = "08:30"
    """Daily, business days; "off" disables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """[commands]."""

    prefixes: str = "#!/"
    hold_for: Duration = _days(7)
    """Held mail waits this long, with one reminder."""
    collision_default: str = "note 24h"
    """An answer that lost the race becomes an internal note after this long, or "hold"."""
    bare_words: bool = True
    """A reply that says only 'claim' is a command."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Own words, any language: { erledigt = "close" }."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """[security]."""

    loop_limit: str = "10/1h"
    """Mails per ticket from one sender; above: quarantine."""
    new_ticket_limit: str = "30/1h"
    """New tickets per sender; above: quarantine."""
    sender_block: tuple[str, ...] = ()
    """Addresses or "*@domain" whose mail goes to quarantine."""
    strip_types: tuple[str, ...] = ()
    """Attachment types never relayed."""
    clamd: str = ""
    token_key: Secret = Secret("file:/var/lib/ticketgate/token.key")
    """HMAC keys of tokens and Message-IDs; made by init; in backups."""
    seal_key: Secret = Secret("")
    """The key that signs the record; empty: seal.key beside the token key, made at the first start; in backups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """[storage]."""

    url: str = "sqlite:/var/lib/ticketgate/ticketgate.db"
    """Or "postgresql:///ticketgate"."""
    free_space: Size = Size(100 * 1024 * 1024)
    """Below this much free space mail is refused with 452 before DATA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """[retention]."""

    raw: Duration | None = _days(400)
    closed: Duration | None = None
    spam: Duration = _days(30)
    quarantine: Duration = _days(90)
    run_at: str = "03:30"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """[metrics]."""

    listen: str = ""
    """"127.0.0.1:9797" for /metrics and /healthz; empty: off."""
    textfile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """[log]."""

    level: str = "info"
    format: str = "auto"
    """"auto": journald fields under systemd, key=value on a terminal; "json"."""
    addresses: str = "full"
    """How mail addresses appear: "full", "hash", "domain"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """[cage]: the child processes that read mail (security.md 11)."""

    children: int = 0
    """0: one a processor, at most 8."""
    memory: Size = Size(512 * 1024 * 1024)
    cpu_seconds: int = 10
    wall_seconds: int = 15
    batch: int = 16
    """Mails handed to a child at a time."""
    recycle_after: int = 2000
    """Mails after which a child is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """[ticketgate]."""

    timezone: str = "UTC"
    id_domain: str = ""
    """Right side of our Message-IDs and List-Ids; empty: "tickets." + domain of the first inbox."""
    language: str = "en"
    admin: tuple[str, ...] = ()
    """Addresses told about trouble."""
    admin_quiet_period: Duration = _minutes(60)
    """The same problem is mailed at most once per period."""
    clock_settle: Duration = _minutes(5)
    """A clock that jumps by more than a minute is believed after this; till then time goes on from where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything, checked. ``keys`` and ``agents`` come from their own files."""

    schema: int = 1
    ticketgate: General = General()
    inbox: Mapping[str, Inbox] = field(default_factory=dict)
    ack: AckBudget = AckBudget()
    receive: Receive = Receive()
    authentication: Authentication = Authentication()
    authentication_results: TrustedResults = TrustedResults()
    send: Send = Send()
    tickets: Tickets = Tickets()
    customer: Customer = Customer()
    agent_mail: AgentMail = AgentMail()
    commands: Commands = Commands()
    security: Security = Security()
    storage: Storage = Storage()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    log: Log = Log()
    cage: Cage = Cage()
    agents: Mapping[str, Agent] = field(default_factory=dict)
    keys: Keys = Keys("", {})
    folder: Path = Path("/etc/ticketgate")
    """Where the TOML file stands: relative template paths start here."""

    @property
    def id_domain(self) -> str:
        """Right side of our Message-IDs, List-Ids and X-Loop."""
        if self.ticketgate.id_domain:
            return self.ticketgate.id_domain
        first = next(iter(self.inbox.values()), None)
        return "tickets." + (first.address.rpartition("@")[2].lower() if first else "localhost")

    def find_inbox(self, recipient: str) -> Inbox | None:
        """The inbox that owns an envelope recipient, any tag, any case; None when it is not ours (550 at RCPT)."""
        folded = fold_address(unquote_local(recipient))
        for inbox in self.inbox.values():
            untagged = fold_address(split_tag(folded, inbox.plus_separator)[0])
            if folded in inbox.addresses() or untagged in inbox.addresses():
                return inbox
            if inbox.reply_domain and folded.endswith("@" + inbox.reply_domain.lower()):
                return inbox
        return None

    def oauth_mailbox(self, user: str) -> Imap | None:
        """The mailbox whose OAuth2 registration gives this user's tokens; it need not be read (``enabled``)."""
        kinds = (m for m in self.receive.imap.values() if m.auth.startswith("oauth2") and m.user == user)
        return next(kinds, None)

    def is_own_address(self, address: str) -> bool:
        """Whether an address, in any spelling and with any tag, is one of our inboxes."""
        return self.find_inbox(address) is not None

    def find_agent(self, address: str) -> Agent | None:
        """The enabled agent with this registered or further address."""
        folded = fold_address(address)
        for agent in self.agents.values():
            if agent.enabled and folded in (fold_address(agent.address), *map(fold_address, agent.also)):
                return agent
        return None

    def agents_of(self, inbox: Inbox) -> tuple[Agent, ...]:
        """The enabled agents of an inbox, in the order written."""
        found = []
        for word in inbox.agents:
            agent = self.agents.get(word) or self.find_agent(word)
            if agent and agent.enabled and agent not in found:
                found.append(agent)
        return tuple(found)

    def leads_of(self, inbox: Inbox) -> tuple[Agent, ...]:
        """The enabled leads of an inbox."""
        return tuple(a for a in (self.agents.get(h) for h in inbox.lead) if a and a.enabled)
