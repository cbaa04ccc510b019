"""The log of mail: formats, what never appears in it, and that it costs no mail."""

from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway import maillog, metrics
from gateway.model import Envelope, NewEvent, OutboundMail, Plan
from gateway.settings import Log

TOKEN = "support+ak-4827-3-1-xky6wjaxqdry5guq@desk.test"
MESSAGE_ID = "<4827.3.1.kxky6wjaxqdry5guq@tickets.desk.test>"
MAC = "xky6wjaxqdry5guq"


@pytest.fixture(autouse=True)
def restored():
    root, ours = logging.getLogger(), logging.getLogger("ticketgate")
    before = root.handlers[:], ours.handlers[:], ours.propagate, ours.level
    yield
    maillog.stop()
    maillog._addresses = "full"
    root.handlers, ours.handlers, ours.propagate = before[0], before[1], before[2]
    ours.setLevel(before[3])


def envelope(recipient: str = TOKEN) -> Envelope:
    return Envelope(
        reverse_path="ann@customer.test",
        recipient=recipient,
        inbox="support",
        source="lmtp",
        received_at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
        queue_id="4F3ab12",
        client_address="192.0.2.7",
    )


def outbound() -> OutboundMail:
    return OutboundMail(
        ticket=4827,
        event=3,
        party=1,
        kind="answer",
        message_id=MESSAGE_ID,
        reverse_path=TOKEN,
        recipient=TOKEN,
        content=b"body",
        automatic=False,
    )


def written(log: Log, *facts) -> list[str]:
    stream = io.StringIO()
    maillog.configure(log, stream)
    for fact in facts:
        fact()
    maillog.stop()
    return stream.getvalue().splitlines()


def all_facts() -> None:
    maillog.received(envelope(), 7, 1000)
    maillog.refused("no-mailbox", "lmtp", recipient=TOKEN, reverse_path="ann@customer.test")
    plan = Plan(outcome="file", reason="party", ticket=4827, events=(NewEvent(number=3, kind="mail"),))
    maillog.decided(7, plan, rule="token", message_id=MESSAGE_ID)
    maillog.held(7, "collision", ticket=4827, event=3, agent="bob")
    maillog.sent(outbound(), 1, reply=f"250 2.1.5 <{TOKEN}> ok, id {MESSAGE_ID}")
    maillog.deferred(outbound(), 1, 2, f"450 <{TOKEN}>: greylisted")
    maillog.failed(outbound(), 1, 3, "550 5.1.1 no such user")
    maillog.unknown(outbound(), 1, 3, "connection lost")
    maillog.worker_error("pipeline", ValueError(f"subject was claim 4827.3 k{MAC}"), journal_id=7)
    maillog.commanded("bob", "claim", "done", ticket=4827)
    maillog.edge_error("lmtp", RuntimeError("x"), identity="abcd")


def test_a_line_for_people_has_keys_and_values():
    (line,) = written(Log(), lambda: maillog.received(envelope("support@desk.test"), 7, 1000))
    assert line.partition(" ")[2] == (
        "received TG_JOURNAL=7 TG_INBOX=support TG_QUEUE_ID=4F3ab12 sender=ann@customer.test to=support@desk.test"
        " source=lmtp client=192.0.2.7 size=1000"
    )


def test_a_line_for_machines_is_json():
    (line,) = written(Log(format="json"), lambda: maillog.held(7, "collision", ticket=4827, agent="bob"))
    fields = json.loads(line)
    assert fields["message"] == "held"
    assert fields["level"] == "warning"
    assert (fields["TG_TICKET"], fields["TG_RULE"], fields["TG_AGENT"]) == ("4827", "collision", "bob")


def test_a_plain_line_carries_the_priority_systemd_reads():
    lines = written(Log(format="plain"), lambda: maillog.held(7, "x"), lambda: maillog.failed(outbound(), 1, 1, "no"))
    assert [line[:3] for line in lines] == ["<4>", "<3>"]


@pytest.mark.parametrize("format", ["auto", "plain", "json"])
@pytest.mark.parametrize("addresses", ["full", "hash", "domain"])
def test_no_token_of_ours_is_ever_written(format, addresses):
    lines = written(Log(format=format, addresses=addresses, level="debug"), all_facts)
    assert len(lines) == 11
    assert MAC not in "\n".join(lines)


@pytest.mark.parametrize("addresses", ["hash", "domain"])
def test_with_another_policy_no_address_is_written(addresses):
    text = "\n".join(written(Log(addresses=addresses), all_facts))
    assert "ann@customer.test" not in text
    assert "support+" not in text
    shown = written(Log(addresses=addresses), lambda: maillog.received(envelope(), 1, 1))[0]
    assert ("sender=@customer.test" in shown) == (addresses == "domain")


def test_a_line_cannot_be_forged_by_what_a_stranger_wrote():
    wild = 'ann"\r\n<3>received TG_TICKET=1\x00\u2028@customer.test'
    lines = written(Log(), lambda: maillog.refused("syntax", "smtp", reverse_path=wild))
    assert len(lines) == 1
    assert " TG_TICKET=1" not in lines[0].replace('\\"', "").split('"')[0]


def test_values_nobody_expected_do_not_raise():
    written(Log(), lambda: maillog.noted("x", odd=object()), lambda: maillog.refused("x", "y", client="\ud800"))


def test_under_the_journal_facts_are_fields(tmp_path, monkeypatch):
    import os

    path = tmp_path / "journal.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal, (tmp_path / "stderr").open("w") as stream:
        journal.bind(str(path))
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        maillog.configure(Log(), stream, journal=path)
        maillog.held(7, "collision", ticket=4827)
        maillog.stop()
        lines = journal.recv(65536).decode().splitlines()
    assert "TG_TICKET=4827" in lines
    assert "TG_RULE=collision" in lines
    assert "PRIORITY=4" in lines
    assert lines[0].startswith("MESSAGE=held ")


def test_a_log_that_cannot_keep_up_loses_lines_not_time():
    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            import threading

            threading.Event().wait(0.05)
            return super().write(text)

    stream = Stuck()
    maillog.configure(Log(), stream)
    queue = logging.getLogger("ticketgate").handlers[0].queue  # type: ignore[attr-defined]
    queue.maxsize = 3
    for _ in range(2000):
        maillog.noted("busy")
    maillog.stop()
    assert stream.getvalue().count("busy") <= 6


def test_libraries_keep_their_secrets():
    stream = io.StringIO()
    maillog.configure(Log(level="debug"), stream)
    logging.getLogger("mail.log").info("AUTH PLAIN secret")
    logging.getLogger("aioimaplib.aioimaplib").debug("a whole message")
    logging.getLogger("mail.log").warning("a warning")
    maillog.stop()
    assert "secret" not in stream.getvalue()
    assert "whole message" not in stream.getvalue()
    assert "a warning" in stream.getvalue()


def test_metrics_cost_nothing_until_enabled_and_then_have_the_documented_names():
    # In a process of its own: the registry of this one is shared by all tests.
    program = """
import sys
from gateway import metrics
metrics.received("support", "new"); metrics.held("x", 1)
assert metrics.exposition() == b""
assert "prometheus_client" not in sys.modules
metrics.enable("1.0"); metrics.enable("1.0")
metrics.received("support", "new"); metrics.matched("token"); metrics.attempted("sent"); metrics.outbox(3, 7.5)
metrics.tickets("open", 4); metrics.held("collision", 2); metrics.commanded("claim", "done"); metrics.first_answer(100)
metrics.intake_worked("lmtp", 1000.0); metrics.oauth_expires("imap:x", 5.0); metrics.db_bytes(10)
print(metrics.exposition().decode())
"""
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for line in (
        'ticketgate_mail_received_total{class="new",inbox="support"} 1.0',
        'ticketgate_match_total{rule="token"} 1.0',
        'ticketgate_send_total{result="sent"} 1.0',
        "ticketgate_outbox_pending 3.0",
        "ticketgate_outbox_oldest_seconds 7.5",
        'ticketgate_tickets{state="open"} 4.0',
        'ticketgate_held{reason="collision"} 2.0',
        'ticketgate_commands_total{result="done",verb="claim"} 1.0',
        'ticketgate_intake_last_success_timestamp_seconds{source="lmtp"} 1000.0',
        'ticketgate_oauth_expires_timestamp_seconds{source="imap:x"} 5.0',
        "ticketgate_db_bytes 10.0",
        'ticketgate_build_info{version="1.0"} 1.0',
        "ticketgate_first_answer_seconds_count 1.0",
    ):
        assert line in text.splitlines()


def test_the_textfile_is_replaced_as_a_whole(tmp_path):
    metrics.write_textfile(tmp_path / "ticketgate.prom")
    assert [path.name for path in tmp_path.iterdir()] == ["ticketgate.prom"]
