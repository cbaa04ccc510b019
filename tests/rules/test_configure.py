"""Configuration: what is read, and what every kind of mistake says: file, line, key, and what to write instead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.configure import ConfigurationError, Mistake, find_path, load, load_keys, read_secret
from gateway.settings import Secret, Settings

SMALLEST = """\
[inbox.support]
address = "support@example.com"
name    = "Example Support"
agents  = ["alice@example.com", "bob@example.com"]

[receive.lmtp]

[send]
"""
KEY = "k " + "5a" * 32
IMAP = SMALLEST + '[receive.imap.support]\nuser = "support@example.com"\nsecret = "credential:imap"\n'


def read(folder: Path, text: str, agents: str = "", *, secrets: bool = False) -> Settings:
    (folder / "ticketgate.toml").write_text(text)
    if agents:
        (folder / "agents.toml").write_text(agents)
    return load(folder / "ticketgate.toml", secrets=secrets)


def mistakes(folder: Path, text: str, agents: str = "") -> list[Mistake]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, agents)
    return caught.value.mistakes


def only(folder: Path, text: str, agents: str = "") -> str:
    """The one mistake, without its folder."""
    (found,) = mistakes(folder, text, agents)
    return str(found).removeprefix(f"{folder}/")


def key_file(folder: Path, text: str = KEY, mode: int = 0o600) -> Secret:
    path = folder / "token.key"
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return Secret(f"file:{path}")


# ------------------------------------------------------------------ what is read


def test_the_smallest_form_is_enough(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALLEST)
    inbox = settings.inbox["support"]
    assert (inbox.handle, inbox.address, inbox.name) == ("support", "support@example.com", "Example Support")
    assert settings.receive.lmtp is not None
    assert settings.receive.lmtp.listen == ("systemd",)
    assert (settings.send.host, settings.send.port) == ("localhost", 25)
    assert settings.folder == tmp_path


def test_plain_addresses_become_agents_with_handles_and_names(tmp_path: Path) -> None:
    text = SMALLEST.replace('"bob@example.com"', '"bob.smith@example.com", "Alice@other.example"')
    settings = read(tmp_path, text)
    assert {a.handle: (a.name, a.address) for a in settings.agents.values()} == {
        "alice": ("Alice", "alice@example.com"),
        "bob.smith": ("Bob Smith", "bob.smith@example.com"),
        "alice2": ("Alice", "Alice@other.example"),
    }
    assert [a.handle for a in settings.agents_of(settings.inbox["support"])] == ["alice", "bob.smith", "alice2"]


def test_a_plain_address_of_somebody_in_agents_toml_is_that_agent(tmp_path: Path) -> None:
    agents = '[ally]\nname = "Alice Ahmed"\naddress = "alice@work.example"\nalso = ["ALICE@example.com"]\n'
    settings = read(tmp_path, SMALLEST, agents)
    assert [a.handle for a in settings.agents_of(settings.inbox["support"])] == ["ally", "bob"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("4h", timedelta(hours=4)),
        ("3d", timedelta(days=3)),
        ("2w", timedelta(weeks=2)),
        ("1.5h", timedelta(minutes=90)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(tmp_path: Path, written: str, meant: timedelta) -> None:
    assert read(tmp_path, f'{SMALLEST}give_up = "{written}"\n').send.give_up == meant


@pytest.mark.parametrize("written", ['"2"', '"2 fortnights"', "2", '"-2d"', '"2d 3h"', "true", '""', '"999999999w"'])
def test_what_is_no_duration_is_told_with_an_example(tmp_path: Path, written: str) -> None:
    said = only(tmp_path, f"{SMALLEST}give_up = {written}\n")
    assert said.startswith("ticketgate.toml:9: send.give_up: ")
    assert "is not a duration" in said or "longer than time" in said


@pytest.mark.parametrize(
    ("written", "meant"), [('"25MiB"', 25 << 20), ('"1 GiB"', 1 << 30), ('"10kb"', 10_000), ("4096", 4096)]
)
def test_a_size_is_octets_or_a_number_with_a_unit(tmp_path: Path, written: str, meant: int) -> None:
    assert read(tmp_path, f"{SMALLEST}[storage]\nfree_space = {written}\n").storage.free_space == meant


@pytest.mark.parametrize("written", ['"25 apples"', "-1", "true", "2.5", '"MiB"'])
def test_what_is_no_size_is_told_with_an_example(tmp_path: Path, written: str) -> None:
    said = only(tmp_path, f"{SMALLEST}[storage]\nfree_space = {written}\n")
    assert said.startswith("ticketgate.toml:10: storage.free_space: ")
    assert 'write "25MiB"' in said


def test_off_disables_a_reminder(tmp_path: Path) -> None:
    text = SMALLEST.replace("[receive.lmtp]", '[inbox.support.remind]\nwaiting = "off"\nauto_close = "3w"\n')
    remind = read(tmp_path, text).inbox["support"].remind
    assert remind.waiting is None
    assert remind.auto_close == timedelta(weeks=3)


def test_a_holiday_file_is_read_in(tmp_path: Path) -> None:
    calendar = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261225\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    (tmp_path / "holidays.ics").write_text(calendar)
    text = f'{SMALLEST}[inbox.support.hours]\nholidays = ["2027-01-01", "file:{tmp_path}/holidays.ics"]\n'
    holidays = read(tmp_path, text).inbox["support"].hours.holidays
    assert holidays[0] == "2027-01-01"
    assert any(word.startswith("2026-12-25") for word in holidays[1:])


# ------------------------------------------------------------------ mistakes: file, line, key, what to write


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    text = SMALLEST + '[inbox.support.remind]\nunclaimed = ["30m"]\nunaswered = ["4h"]\n'
    assert only(tmp_path, text) == (
        'ticketgate.toml:11: inbox.support.remind.unaswered: unknown key; did you mean "unanswered"?'
    )


def test_an_unknown_table_is_told_with_its_line(tmp_path: Path) -> None:
    assert only(tmp_path, SMALLEST + "[tickts]\nreopen = '1d'\n") == (
        'ticketgate.toml:9: tickts: unknown key; did you mean "tickets"?'
    )


def test_a_key_that_resembles_nothing_gets_no_guess(tmp_path: Path) -> None:
    assert only(tmp_path, SMALLEST + "xyzzy = 1\n") == "ticketgate.toml:9: send.xyzzy: unknown key"


@pytest.mark.parametrize("key", ["agents", "keys", "folder"])
def test_what_configure_fills_in_itself_cannot_be_written(tmp_path: Path, key: str) -> None:
    assert only(tmp_path, f'{key} = "x"\n{SMALLEST}').startswith(f"ticketgate.toml:1: {key}: unknown key")


def test_a_key_inside_an_inline_table_is_told_with_the_line_of_the_table(tmp_path: Path) -> None:
    text = SMALLEST.replace("[receive.lmtp]", 'offer = { mod = "all" }\n[receive.lmtp]')
    assert only(tmp_path, text) == 'ticketgate.toml:6: inbox.support.offer.mod: unknown key; did you mean "mode"?'


def test_a_dotted_key_is_told_with_its_own_line(tmp_path: Path) -> None:
    text = SMALLEST.replace("[receive.lmtp]", 'offer.mode = "sum"\n[receive.lmtp]')
    assert only(tmp_path, text).startswith("ticketgate.toml:6: inbox.support.offer.mode: ")


def test_all_mistakes_are_told_in_one_go(tmp_path: Path) -> None:
    text = SMALLEST.replace("name    =", "nam     =") + 'port = "x"\ntls = "maybe"\n'
    assert [m.key for m in mistakes(tmp_path, text)][:4] == [
        "inbox.support.nam",
        "inbox.support.name",
        "send.port",
        "send.tls",
    ]


def test_what_is_required_is_told_with_the_line_of_its_table(tmp_path: Path) -> None:
    assert only(tmp_path, SMALLEST.replace('address = "support@example.com"\n', "")) == (
        "ticketgate.toml:1: inbox.support.address: is required"
    )


def test_a_wrong_type_is_told(tmp_path: Path) -> None:
    said = only(tmp_path, SMALLEST + 'max_connections = "many"\n')
    assert said == "ticketgate.toml:9: send.max_connections: expected `int`, got `str`"


def test_a_list_is_asked_for_where_a_word_stands(tmp_path: Path) -> None:
    text = SMALLEST.replace("[receive.lmtp]", 'aliases = "help@example.com"\n[receive.lmtp]')
    assert only(tmp_path, text).startswith("ticketgate.toml:6: inbox.support.aliases: must be a list")


def test_a_negative_number_is_told(tmp_path: Path) -> None:
    assert only(tmp_path, SMALLEST + "max_per_minute = -1\n").endswith("send.max_per_minute: -1 is negative")


def test_a_wrong_choice_is_told_with_the_choices_and_the_nearest(tmp_path: Path) -> None:
    assert only(tmp_path, SMALLEST + 'tls = "startls"\n') == (
        'ticketgate.toml:9: send.tls: "startls" is not one of "auto", "implicit", "starttls", "none"; '
        'did you mean "starttls"?'
    )


def test_a_choice_belongs_to_its_table(tmp_path: Path) -> None:
    settings = read(tmp_path, SMALLEST + '[customer]\nhtml = "never"\n[agent_mail]\nhtml = false\n')
    assert settings.customer.html == "never"
    assert settings.agent_mail.html is False


def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    said = only(tmp_path, SMALLEST + "port 25\n")
    assert said.startswith("ticketgate.toml:9: is not TOML: ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(tmp_path / "ticketgate.toml")


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "ticketgate.toml").write_bytes(b'[inbox.support]\nname = "B\xfcro"\n')
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        load(tmp_path / "ticketgate.toml")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    assert only(tmp_path, "schema = 2\n" + SMALLEST).startswith("ticketgate.toml:1: schema: 2 is not known")


def test_no_inbox_is_a_mistake(tmp_path: Path) -> None:
    assert "at least one inbox is needed" in only(tmp_path, "[send]\n")


def test_a_mistake_in_agents_toml_names_that_file_and_its_line(tmp_path: Path) -> None:
    agents = '[alice]\nname = "Alice"\naddress = "alice@example.com"\nrole = "boss"\n'
    said = only(tmp_path, SMALLEST, agents)
    assert said == 'agents.toml:4: alice.role: "boss" is not one of "agent", "lead", "observer"'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('timezone = "Mars/Olympus"', 'agents.toml:4: alice.timezone: "Mars/Olympus" is not a time zone'),
        ('quiet = "at night"', 'agents.toml:4: alice.quiet: "at night" are no hours; write "18:00-08:00"'),
        ('also = ["support+x@example.com"]', "agents.toml:4: alice.also: support+x@example.com is one of our inboxes"),
        ('also = ["nobody"]', 'agents.toml:4: alice.also: "nobody" is not an address'),
        ('handle = "al"', "agents.toml:4: alice.handle: unknown key"),
    ],
)
def test_what_is_wrong_with_an_agent_is_told(tmp_path: Path, line: str, said: str) -> None:
    agents = f'[alice]\nname = "Alice"\naddress = "alice@example.com"\n{line}\n'
    assert only(tmp_path, SMALLEST, agents).startswith(said)


def test_an_agent_with_the_address_of_an_inbox_is_refused(tmp_path: Path) -> None:
    agents = '[desk]\nname = "Desk"\naddress = "Support@EXAMPLE.com"\n'
    assert "mail would run in a circle" in only(tmp_path, SMALLEST, agents)


def test_two_agents_with_one_address_are_refused(tmp_path: Path) -> None:
    agents = "".join(f'[{h}]\nname = "A"\naddress = "alice@example.com"\n' for h in ("alice", "ally"))
    assert only(tmp_path, SMALLEST, agents) == "agents.toml:6: ally.address: alice@example.com belongs to alice already"


def test_two_inboxes_with_one_address_are_refused(tmp_path: Path) -> None:
    other = '[inbox.sales]\naddress = "sales@example.com"\nname = "S"\nagents = ["alice@example.com"]\n'
    text = SMALLEST + other + 'aliases = ["Support@example.com"]\n'
    assert only(tmp_path, text).startswith("ticketgate.toml:9: inbox.sales: support@example.com belongs to the inbox")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"support@example.com"', '"support"', 'toml:2: inbox.support.address: "support" is not an address'),
        ('"support@', '"a-very-long-name-of-a-desk@', 'toml:2: inbox.support.address: the part before "@"'),
        ('"alice@example.com", "bob@example.com"', "", "toml:4: inbox.support.agents: at least one agent is needed"),
        ('"alice@example.com"', '"alcie"', 'toml:4: inbox.support.agents: "alcie" is not a known agent; did you mean'),
        ("agents ", 'lead = ["alice"]\nagents ', 'toml:4: inbox.support.lead: alice has the role "agent", not "lead"'),
        ("agents ", 'lead = ["eve"]\nagents ', 'toml:4: inbox.support.lead: "eve" is not a known agent'),
        ("agents ", 'reply_token = "domain"\nagents ', "toml:1: inbox.support.reply_domain: is required with"),
        ("agents ", 'plus_separator = ""\nagents ', "toml:4: inbox.support.plus_separator: must be one character"),
        ("agents ", 'hours.weekdays = "mo-fr"\nagents ', "toml:4: inbox.support.hours.weekdays: business hours"),
        ("agents ", 'hours.holidays = ["25.12."]\nagents ', "toml:4: inbox.support.hours.holidays: holidays: '25.12.'"),
        ("agents ", 'hours.holidays = ["file:/none"]\nagents ', "toml:4: inbox.support.hours.holidays: /none cannot"),
        ("[inbox.support]", '[inbox."a b"]', "toml:1: inbox.a b: the name of an inbox is made of"),
    ],
)
def test_what_is_wrong_with_an_inbox_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    agents = '[alice]\nname = "Alice"\naddress = "alice@example.com"\n'
    assert said in only(tmp_path, SMALLEST.replace(old, new), agents)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[ticketgate]\ntimezone = "CET/Berlin"', 'toml:10: ticketgate.timezone: "CET/Berlin" is not a time zone'),
        ('[ticketgate]\nadmin = ["root"]', 'toml:10: ticketgate.admin: "root" is not an address'),
        ('host = "mx.example.com"\ntls = "none"', "toml:10: send.tls: plain text is refused"),
        ('auth = "password"\nsecret = "env:TICKETGATE_X"', "toml:8: send.user: is required with auth"),
        ('auth = "password"\nuser = "me"', "toml:8: send.secret: is required with auth"),
        ("port = 0", "toml:9: send.port: 0 is not a port"),
        ("retry = []", "toml:9: send.retry: must name at least one delay"),
        ('dkim = {enabled = true, domain = "a.example", selector = "s"}', "toml:9: send.dkim.key_secret: is required"),
        ('[receive.smtp]\nlisten = ["0.0.0.0:25"]', 'toml:10: receive.smtp.listen: "0.0.0.0:25" is no place to listen'),
        ('[receive.smtp]\ntls_certificate = "/c.pem"', "toml:9: receive.smtp.tls_key: tls_certificate and tls_key"),
        ('[security]\nloop_limit = "ten"', 'toml:10: security.loop_limit: "ten" is no limit'),
        ('[security]\nnew_ticket_limit = "30/1d"', 'write "10/1h"'),
        ('[commands]\ncollision_default = "note 2 days"', 'toml:10: commands.collision_default: "note 2 days" is unkn'),
        ('[commands]\nprefixes = ""', "toml:10: commands.prefixes: must have"),
        ('[agent_mail]\ndigest = "25:00"', 'toml:10: agent_mail.digest: "25:00" is no time of day; write "08:30" or'),
        ('[retention]\nrun_at = "off"', 'toml:10: retention.run_at: "off" is no time of day'),
        ('[storage]\nurl = "mysql://x"', 'toml:10: storage.url: write "sqlite:/path/to/file"'),
        ('[metrics]\nlisten = "9797"', 'toml:10: metrics.listen: "9797" is no address'),
        ('[metrics]\nlisten = "0.0.0.0:9797"', "toml:10: metrics.listen: only on loopback"),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, lines: str, said: str) -> None:
    assert said in only(tmp_path, f"{SMALLEST}{lines}\n")


# ------------------------------------------------------------------ mailboxes and providers


@pytest.mark.parametrize(
    ("preset", "host"),
    [
        ("gmail", "imap.gmail.com"),
        ("microsoft365", "outlook.office365.com"),
        ("yahoo", "imap.mail.yahoo.com"),
    ],
)
def test_a_preset_needs_no_host(tmp_path: Path, preset: str, host: str) -> None:
    mailbox = read(tmp_path, IMAP + f'preset = "{preset}"\n').receive.imap["support"]
    assert (mailbox.host, mailbox.port, mailbox.inbox, mailbox.handle) == (host, 993, "support", "support")


def test_a_host_that_is_written_counts_more_than_the_preset(tmp_path: Path) -> None:
    mailbox = read(tmp_path, IMAP + 'preset = "gmail"\nhost = "127.0.0.1"\nport = 10143\ntls = "none"\n')
    assert (mailbox.receive.imap["support"].host, mailbox.receive.imap["support"].port) == ("127.0.0.1", 10143)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "toml:9: receive.imap.support.host: is required without preset"),
        ('host = "h"\ntls = "none"', "toml:13: receive.imap.support.tls: plain text is refused"),
        ('preset = "gmial"\nhost = "h"', 'toml:12: receive.imap.support.preset: "gmial" is not one of'),
        ('host = "h"\ninbox = "sales"', "toml:9: receive.imap.support: feeds the inbox sales, which is not configured"),
        ('host = "h"\nafter = "burn"', "toml:13: receive.imap.support.after: unknown after: 'burn'"),
        ('host = "h"\nafter = "move:"', "toml:13: receive.imap.support.after: not a usable IMAP name"),
        ('host = "h"\ncatch_up = "lately"', "toml:13: receive.imap.support.catch_up: not a duration: 'lately'"),
        ('host = "h"\nfolder = "a\\nb"', "toml:13: receive.imap.support.folder: not a usable IMAP name"),
        ('host = "h"\nsent_copy = "a\\nb"', "toml:13: receive.imap.support.sent_copy: not a usable IMAP name"),
        ('host = "h"\nsent_copy = "INBOX"', 'toml:13: receive.imap.support.sent_copy: "INBOX" is read as incoming'),
        ('host = "h"\nport = 70000', "toml:13: receive.imap.support.port: 70000 is not a port"),
    ],
)
def test_what_is_wrong_with_a_mailbox_is_told(tmp_path: Path, lines: str, said: str) -> None:
    assert said in only(tmp_path, f"{IMAP}{lines}\n")


def test_every_setting_of_a_mailbox_can_be_written(tmp_path: Path) -> None:
    settings = read(tmp_path, IMAP + 'host = "imap.example.com"\nfolder = "Support"\nafter = "move:Done"\n')
    assert settings.receive.imap["support"].folder == "Support"


def test_a_provider_brings_its_rate_and_a_plain_reverse_path(tmp_path: Path) -> None:
    send = read(tmp_path, SMALLEST + 'host = "smtp.office365.com"\n').send
    assert (send.max_per_minute, send.envelope) == (25, "plain")
    send = read(tmp_path, SMALLEST + 'host = "smtp.gmail.com"\nmax_per_minute = 0\nenvelope = "verp"\n').send
    assert (send.max_per_minute, send.envelope) == (0, "verp")


def test_signatures_are_not_checked_behind_a_server_that_changes_bodies(tmp_path: Path) -> None:
    assert not read(tmp_path, IMAP + 'preset = "microsoft365"\n').authentication_results.verify_locally
    assert read(tmp_path, IMAP + 'preset = "gmail"\n').authentication_results.verify_locally
    text = IMAP + 'preset = "microsoft365"\n[authentication_results]\nverify_locally = true\n'
    assert read(tmp_path, text).authentication_results.verify_locally


# ------------------------------------------------------------------ secrets


@pytest.mark.parametrize("kind", ["credential", "file", "env"])
def test_the_three_places_of_a_secret_are_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smtp").write_text("open sesame\n")
    (tmp_path / "smtp").chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("TICKETGATE_SMTP", "open sesame")
    place = {"credential": "smtp", "file": f"{tmp_path}/smtp", "env": "TICKETGATE_SMTP"}[kind]
    assert read_secret(Secret(f"{kind}:{place}")) == "open sesame"


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("env:HOME", "must be named TICKETGATE_"),
        ("env:TICKETGATE_NOT_SET", "is not set"),
        ("credential:smtp", "not started by systemd with LoadCredential=smtp"),
        ("credential:../shadow", "the name of a credential"),
        ("file:token.key", "absolute"),
        ("hunter2", "never as itself"),
        ("vault:smtp", "never as itself"),
    ],
)
def test_a_secret_that_cannot_be_read_says_what_to_do(secret: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ValueError, match=why):
        read_secret(Secret(secret))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_secret_file_that_is_open_to_everybody_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ValueError, match="chmod 0600"):
        read_secret(key_file(tmp_path, mode=mode))


def test_a_secret_in_the_file_itself_is_refused_and_not_repeated(tmp_path: Path) -> None:
    said = only(tmp_path, SMALLEST + 'user = "me"\nsecret = "hunter2"\nauth = "none"\n')
    assert said.startswith("ticketgate.toml:10: send.secret: a secret is written credential:NAME")
    assert "hunter2" not in said


def test_the_newest_key_makes_tokens_and_a_retired_one_is_only_read_with(tmp_path: Path) -> None:
    keys = load_keys(key_file(tmp_path, f"# keys\na {'01' * 32}\nb {'02' * 32}\n-c {'03' * 32}\n"))
    assert keys.current == "b"
    assert set(keys.secrets) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no token key"),
        (f"-a {'01' * 32}", "no token key"),
        ("a 0102", "shorter than 128 bits"),
        ("a zz" + "01" * 31, "a token key line is"),
        ("a 010", "a token key line is"),
        (f"AB {'01' * 32}", "a token key line is"),
    ],
)
def test_a_bad_key_file_says_why_and_never_what(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        load_keys(key_file(tmp_path, text))
    assert "01" * 8 not in str(caught.value)


def test_loading_reads_the_token_key(tmp_path: Path) -> None:
    text = f'{SMALLEST}[security]\ntoken_key = "{key_file(tmp_path)}"\n'
    assert read(tmp_path, text, secrets=True).keys.current == "k"


def test_a_missing_token_key_says_how_to_make_one(tmp_path: Path) -> None:
    text = f'{SMALLEST}[security]\ntoken_key = "file:{tmp_path}/none.key"\n'
    with pytest.raises(ConfigurationError, match=r"toml:10: security.token_key: .*none.key does not exist; .* new one"):
        read(tmp_path, text, secrets=True)


# ------------------------------------------------------------------ where the file is


def test_the_path_is_as_given_else_of_the_environment_else_in_etc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETGATE_CONFIG", "/srv/tg.toml")
    assert find_path("/tmp/x.toml") == Path("/tmp/x.toml")
    assert find_path() == Path("/srv/tg.toml")
    monkeypatch.delenv("TICKETGATE_CONFIG")
    assert find_path() == Path("/etc/ticketgate/ticketgate.toml")
