"""A real Postfix in front of the listener, set up as the documentation says."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager

import pytest

from gateway.receive import Receiver
from gateway.store.database import Database
from tests.support.postfix import PostfixServer, RefusedError
from tests.support.smtp_client import MAIL, edge, until

pytestmark = pytest.mark.postfix


@asynccontextmanager
async def listening(postfix: PostfixServer, **rules):
    """Our listener on a socket Postfix can reach, with support@desk.test routed to it."""
    async with edge(postfix.folder, trust_xforward=True, **rules) as running:
        (postfix.folder / "lmtp.sock").chmod(0o666)
        try:
            yield running
        except BaseException:
            print(f"taken so far: {len(running.mails)}, sessions: {len(running.listener.intake.sessions)}")
            print(postfix.log())
            raise


@pytest.fixture
def routed(postfix):
    postfix.route("support@desk.test", postfix.folder / "lmtp.sock")
    postfix.route("sales@desk.test", postfix.folder / "lmtp.sock")
    return postfix


async def send(postfix: PostfixServer, *recipients: str, content: bytes = MAIL, sender: str = "ann@customer.test"):
    return await asyncio.to_thread(postfix.send, sender, recipients, content)


async def test_a_mail_arrives_with_what_postfix_knows_of_its_client(routed):
    async with listening(routed) as running:
        queue_id = await send(routed, "support@desk.test")
        await running.committed()
        await asyncio.to_thread(routed.wait_empty)
    envelope, raw = running.mails[0]
    assert envelope.reverse_path == "ann@customer.test"
    assert envelope.recipient == "support@desk.test"
    assert (envelope.client_address, envelope.helo) == ("127.0.0.1", "client.test")
    assert envelope.queue_id == queue_id
    assert envelope.trusted
    assert raw.startswith(b"Return-Path: <ann@customer.test>\r\nX-Original-To: support@desk.test\r\nReceived: ")
    assert raw.endswith(b"\r\n\r\nIt does not print.\r\n")
    assert f"to=<support@desk.test>, relay=mx.desk.test[{running.place}]" in routed.log()
    assert "status=sent (250 2.0.0 Taken as 1)" in routed.log()


async def test_a_tag_reaches_us_in_the_case_it_was_typed(routed):
    async with listening(routed) as running:
        await send(routed, "Support+AK-4827-3-1-xky6wjaxqdry5guq@Desk.Test")
        await running.committed()
    assert running.mails[0][0].recipient.lower() == "support+ak-4827-3-1-xky6wjaxqdry5guq@desk.test"
    assert "+AK-4827-3-1-xky6" in running.mails[0][0].recipient


async def test_two_recipients_are_two_transactions(routed):
    async with listening(routed) as running:
        await send(routed, "support@desk.test", "sales@desk.test", "support+tag@desk.test")
        await running.committed(3)
        await asyncio.to_thread(routed.wait_empty)
    assert {envelope.recipient for envelope, _ in running.mails} == {
        "support@desk.test",
        "sales@desk.test",
        "support+tag@desk.test",
    }


async def test_while_the_service_is_down_postfix_keeps_the_mail(routed):
    await send(routed, "support@desk.test")
    await asyncio.to_thread(routed.wait_log, "status=deferred")
    assert "support@desk.test" in {entry["address"] for mail in routed.queue() for entry in mail["recipients"]}
    async with listening(routed) as running:
        await running.committed()
        await asyncio.to_thread(routed.wait_empty)
    assert len(running.mails) == 1


async def test_trouble_of_ours_defers_one_recipient_and_never_bounces(routed):
    async with listening(routed) as running:
        failures = []

        async def fail_twice() -> None:
            if len(failures) < 2:
                failures.append(1)
                raise RuntimeError("database on fire")

        running.commit = fail_twice
        await send(routed, "support@desk.test")
        await running.committed()
        await asyncio.to_thread(routed.wait_empty)
    log = routed.log()
    assert "451 4.3.0 Temporary trouble here" in log
    assert "status=bounced" not in log
    assert "on fire" not in log


async def test_without_space_the_mail_waits(routed):
    async with listening(routed) as running:
        running.space = False
        await send(routed, "support@desk.test")
        await asyncio.to_thread(routed.wait_log, "452 4.3.1")
        assert running.mails == []
        running.space = True
        await running.committed()
    assert "status=bounced" not in routed.log()


async def test_a_mailbox_we_do_not_have_is_returned_and_a_bad_token_is_not(routed):
    routed.route("desk.test", routed.folder / "lmtp.sock")
    async with listening(routed) as running:
        await send(routed, "nobody@desk.test")
        line = await asyncio.to_thread(routed.wait_log, "status=bounced")
        assert "550 5.1.1" in line
        await send(routed, "support+ak-1-1-1-aaaaaaaaaaaaaaaa@desk.test")
        await running.committed()
    await asyncio.to_thread(until_delivered, routed, "ann@customer.test")


def until_delivered(postfix: PostfixServer, address: str) -> None:
    from tests.support.postfix import until as poll

    poll(lambda: bool(postfix.delivered(address)), what=postfix.log)


async def test_a_big_mail_arrives_byte_for_byte(routed):
    lines = b"".join(b"%07d " % number + b"x" * 900 + b"\r\n" for number in range(20_000))
    mail = b"Subject: big\r\n\r\n.leading dot\r\n" + lines + b"y" * 5000 + b"\r\n"
    async with listening(routed) as running:
        await send(routed, "support@desk.test", content=mail)
        await running.committed()
    raw = running.mails[0][1]
    assert raw.partition(b"\r\n\r\n")[2] == mail.partition(b"\r\n\r\n")[2]


async def test_a_mail_over_our_limit_is_returned_by_postfix_itself(routed):
    async with listening(routed, max_size=50_000) as running:
        await send(routed, "support@desk.test", content=MAIL + b"x" * 60_000 + b"\r\n")
        line = await asyncio.to_thread(routed.wait_log, "status=bounced")
    assert "5.3.4" in line
    assert running.mails == []


async def test_addresses_outside_ascii_arrive(routed):
    async with listening(routed) as running:
        await send(routed, "support+jürgen@desk.test", sender="jürgen@büro.test")
        await running.committed()
    envelope, _ = running.mails[0]
    assert (envelope.reverse_path, envelope.recipient) == ("jürgen@büro.test", "support+jürgen@desk.test")


async def test_a_delivery_report_has_the_null_reverse_path(routed):
    async with listening(routed) as running:
        await send(routed, "support@desk.test", sender="")
        await running.committed()
    assert running.mails[0][0].reverse_path == ""


async def test_a_backlog_goes_over_one_connection(postfix_folder):
    with PostfixServer(postfix_folder, {"ticketgate_destination_concurrency_limit": "1"}) as postfix:
        postfix.route("support@desk.test", postfix.folder / "lmtp.sock")
        for number in range(40):
            await send(postfix, "support@desk.test", content=MAIL + b"%d\r\n" % number)
        async with listening(postfix) as running:
            await running.committed(40)
            await asyncio.to_thread(postfix.wait_empty)
        assert len({raw for _, raw in running.mails}) == 40
        # Far more than 20 commands on one connection, and none of them was answered with 421.
        assert "conn_use=10" in postfix.log()
        assert "421 4.7.0" not in postfix.log()


async def test_address_verification_works_again_and_again(postfix_folder):
    settings = {
        "smtpd_recipient_restrictions": "reject_unverified_recipient",
        "unverified_recipient_reject_code": "550",
        "address_verify_map": "",
    }
    with PostfixServer(postfix_folder, settings) as postfix:
        postfix.route("desk.test", postfix.folder / "lmtp.sock")
        async with listening(postfix) as running:
            await asyncio.gather(*(send(postfix, f"support+{number}@desk.test") for number in range(25)))
            with pytest.raises(RefusedError, match=r"550 .*5\.1\.1"):
                await send(postfix, "nobody@desk.test")
            await running.committed(25)
    assert "double-bounce" in postfix.log()


async def test_an_instance_of_ours_that_stops_hands_its_clients_to_the_next(routed):
    async with listening(routed) as running:
        gate = asyncio.Event()
        running.commit = gate.wait
        await send(routed, "support@desk.test")
        await until(lambda: bool(running.listener.intake.commits))
        stopping = asyncio.create_task(running.listener.stop(grace=20))
        await send(routed, "sales@desk.test")
        await asyncio.to_thread(routed.wait_log, "status=deferred")
        gate.set()
        await stopping
        assert [envelope.inbox for envelope, _ in running.mails] == ["support"]
    async with listening(routed) as running:
        await running.committed()
        await asyncio.to_thread(routed.wait_empty)
    assert [envelope.inbox for envelope, _ in running.mails] == ["sales"]
    assert "status=bounced" not in routed.log()


async def test_every_mail_postfix_got_rid_of_is_in_the_journal_once(routed, tmp_path):
    database = Database(f"sqlite:{tmp_path}/desk.db")
    database.migrate()
    async with listening(routed) as running:
        running.receive = Receiver(database).receive
        await asyncio.gather(*(send(routed, "support@desk.test", "sales@desk.test") for _ in range(10)))
        await asyncio.to_thread(routed.wait_empty)
    database.close()
    with sqlite3.connect(tmp_path / "desk.db") as connection:
        rows = connection.execute("SELECT recipient, count(*) FROM journal GROUP BY recipient ORDER BY 1").fetchall()
    assert rows == [("sales@desk.test", 10), ("support@desk.test", 10)]
