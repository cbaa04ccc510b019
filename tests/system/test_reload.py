"""SIGHUP: the new settings hold from the next mail on, whatever they are about; what cannot be used changes nothing."""

from __future__ import annotations

import signal
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.mail_client import read_mail, write_mail
from tests.support.dovecot import PASSWORD, DovecotServer
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink, smtp_sink

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

JANE = "jane@customer.test"
SEND = 'host = "127.0.0.1"\nport = {port}\ntls = "none"\nretry = ["1s", "2s"]'


@pytest.fixture
def other() -> Iterator[Sink]:
    """The relay that is configured by a reload."""
    with in_background(smtp_sink()) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, sink: Sink, resolver: str) -> Iterator[Gateway]:
    with Gateway(tmp_path / "desk", send_port=sink.port, resolver=resolver) as gateway:
        yield gateway


def make_mail(subject: str) -> bytes:
    return signed(write_mail(JANE, "Jane Doe", INBOX, subject, "It does not print.\n"), "customer.test")


def deliver(desk: Gateway, subject: str) -> None:
    with smtplib.LMTP(str(desk.socket), timeout=60) as client:
        client.sendmail(JANE, [INBOX], make_mail(subject))
    desk.settled()


def reload(desk: Gateway, tables: dict[str, str | None]) -> None:
    desk.configure(tables)
    before = desk.notified().count("READY=1")
    desk.signal(signal.SIGHUP)
    desk.wait_notified("READY=1", times=before + 1)


def subjects(sink: Sink) -> set[str]:
    return {str(read_mail(taken.content)["Subject"]).partition("] ")[2] for taken in sink.taken}


def test_the_next_mail_goes_to_the_relay_that_was_configured_meanwhile(desk: Gateway, sink: Sink, other: Sink) -> None:
    deliver(desk, "By the old one")  # its connection is kept for the next mail
    reload(desk, {"send": SEND.format(port=other.port)})
    told = len(sink.taken)
    deliver(desk, "By the new one")
    assert len(sink.taken) == told
    assert "By the new one" in subjects(other) and "By the old one" not in subjects(other)


def test_what_cannot_be_used_is_refused_by_name_and_the_old_settings_stay(desk: Gateway, sink: Sink) -> None:
    good = SEND.format(port=sink.port)
    bad: tuple[tuple[dict[str, str | None], str], ...] = (
        ({"send": good + '\nauth = "password"\nuser = "x"\nsecret = "file:/nonexistent"'}, "send.secret: /nonexistent"),
        ({"send": good, "send.dkim": _dkim(desk)}, "send.dkim.key_secret: the DKIM key cannot be read"),
        ({"send.dkim": None, "receive.smtp": _certificate(desk)}, "receive.smtp.tls_certificate: "),
    )
    for tables, said in bad:
        reload(desk, tables)
        desk.cli("check-config", expect=78)
        wait_for(lambda said=said: said in desk.log(), f"the alarm names {said}")
    deliver(desk, "All the same")
    assert "All the same" in subjects(sink)
    assert desk.stop() == 0
    desk.launch()
    assert desk.wait_ended() == 78, "systemd does not start it again and again"


def _dkim(desk: Gateway) -> str:
    key = desk.folder / "no.key"
    key.touch(mode=0o600)
    key.write_text("certainly no key")
    return f'enabled = true\ndomain = "desk.test"\nselector = "s"\nkey_secret = "file:{key}"'


def _certificate(desk: Gateway) -> str:
    files = f'tls_certificate = "{desk.folder}/none.pem"\ntls_key = "file:{desk.folder}/no.key"'
    return f'listen = ["inet:127.0.0.1:0"]\n{files}'


@pytest.mark.dovecot
def test_a_mailbox_is_read_from_the_reload_on_and_no_longer_after_the_next(
    desk: Gateway, dovecot: DovecotServer
) -> None:
    secret = desk.folder / "imap.secret"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    mailbox = (
        f'inbox = "support"\nhost = "127.0.0.1"\nport = {dovecot.imap_port}\ntls = "none"\nuser = "{INBOX}"\n'
        f'secret = "file:{secret}"\nauth = "password"\ncatch_up = "all"\npoll_interval = "1s"\n'
    )

    def tickets() -> list[str]:
        return sorted(row["subject"] for row in desk.rows("tickets", "--all"))

    dovecot.append(INBOX, "INBOX", make_mail("Waits"))
    reload(desk, {"receive.imap.support": mailbox})
    wait_for(lambda: tickets() == ["Waits"], "the mailbox is read")
    reload(desk, {"receive.imap.support": mailbox + 'after = "keep"\n'})
    dovecot.append(INBOX, "INBOX", make_mail("Later"))
    wait_for(lambda: tickets() == ["Later", "Waits"], "it is read by the changed settings, nothing twice")
    reload(desk, {"receive.imap.support": None})
    dovecot.append(INBOX, "INBOX", make_mail("Too late"))
    deliver(desk, "By LMTP")
    assert tickets() == ["By LMTP", "Later", "Waits"]
    assert desk.stop() == 0
