"""A mailbox on a real Dovecot: every mail once, whatever happens to the connection, the folder or the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import trustme

from gateway import settings
from gateway.ingest.imap_client import ImapError, ImapSession, LoginRefused, Unsupported, open_mailbox
from gateway.ingest.imap_junk import JunkWatch
from tests.support.dovecot import DovecotServer
from tests.support.imap_desk import ADDRESS, Desk, make_mail

pytestmark = pytest.mark.dovecot


def mailbox_of(server: DovecotServer, **changes: object) -> settings.Imap:
    plain = settings.Imap(
        host="127.0.0.1",
        port=server.imap_port,
        tls="none",
        user=ADDRESS,
        handle="support",
        catch_up="all",
        after="keep",
        poll_interval=settings.Duration(seconds=0.2),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@contextlib.contextmanager
def server_announcing(capability: str) -> Iterator[DovecotServer]:
    server = DovecotServer(capability=capability)
    try:
        server.start()
        yield server
    finally:
        server.remove()


# ------------------------------------------------------------------ taking over


async def test_every_mail_of_a_folder_is_handed_over_once_with_its_envelope(dovecot: DovecotServer) -> None:
    mails = [make_mail(number) for number in range(3)]
    dovecot.append(ADDRESS, "INBOX", *mails)
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 3)
    assert desk.mails == mails
    envelope = desk.envelopes[0]
    assert (envelope.recipient, envelope.inbox, envelope.source) == (ADDRESS, "support", "imap:support")
    assert envelope.trusted
    assert envelope.position is not None
    assert (envelope.position.account, envelope.position.folder, envelope.position.uid) == ("support", "INBOX", 1)
    assert envelope.reverse_path == ""


async def test_the_reverse_path_is_the_return_path_the_server_put_on_top(dovecot: DovecotServer) -> None:
    forged = b"Return-Path: <forged@evil.test>\r\n"
    dovecot.append(
        ADDRESS,
        "INBOX",
        b"Return-Path: <jane@customer.test>\r\nDelivered-To: x@desk.test\r\n" + make_mail(1),
        b"Received: from x by y; Tue, 24 Nov 2026 10:00:00 +0000\r\n" + forged + make_mail(2),
        b"Return-Path: <>\r\n" + make_mail(3),
    )
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 3)
    assert [envelope.reverse_path for envelope in desk.envelopes] == ["jane@customer.test", "", ""]


async def test_fifteen_hundred_mails_are_taken_over_completely(dovecot: DovecotServer) -> None:
    mails = [make_mail(number) for number in range(1500)]
    dovecot.append(ADDRESS, "INBOX", *mails)
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, after="flag")):
        await desk.until(lambda: desk.marks and desk.marks["support", "INBOX"].uid == 1500, 100)
    assert desk.mails == mails
    assert desk.duplicates == 0
    assert dovecot.flags(ADDRESS).count({"$Ticketed"}) >= 1400


async def test_a_mail_of_twenty_megabytes_arrives_byte_by_byte(dovecot: DovecotServer) -> None:
    big = make_mail(1, size=20_000_000)
    dovecot.append(ADDRESS, "INBOX", big)
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: desk.mails)
    assert desk.mails == [big]


async def test_a_mail_above_the_limit_stays_on_the_server_and_is_reported(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1, size=200_000), make_mail(2))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, max_size=settings.Size(100_000), after="delete")):
        await desk.until(lambda: desk.mails and len(dovecot.messages(ADDRESS)) == 1)
    assert desk.mails == [make_mail(2)]
    assert "too large" in desk.alarms[0][1]
    assert dovecot.messages(ADDRESS) == [make_mail(1, size=200_000)]


async def test_seen_mail_is_fetched_and_unseen_mail_stays_unseen(dovecot: DovecotServer) -> None:
    """fault-48: humans read mail too, and their flags decide nothing."""
    dovecot.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
    with dovecot.connection(ADDRESS) as client:
        client.select("INBOX")
        client.store("1", "+FLAGS", "\\Seen")
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 2)
    assert ["\\Seen" in flags for flags in dovecot.flags(ADDRESS)] == [True, False]


async def test_a_gap_of_many_uids_is_skipped(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1))
    dovecot.doveadm("mailbox", "update", "-u", ADDRESS, "--min-next-uid", "3000000", "INBOX")
    dovecot.append(ADDRESS, "INBOX", make_mail(2))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 2)
    assert desk.marks["support", "INBOX"].uid == 3_000_000


# ------------------------------------------------------------------ the first run


async def test_the_first_run_leaves_old_mail_alone_and_takes_what_comes_after(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", *(make_mail(number) for number in range(5)))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, catch_up="new")):
        await desk.until(lambda: desk.marks)
        dovecot.append(ADDRESS, "INBOX", make_mail(100))
        await desk.until(lambda: desk.mails)
    assert desk.mails == [make_mail(100)]


async def test_the_first_run_can_go_back_some_days(dovecot: DovecotServer) -> None:
    with dovecot.connection(ADDRESS) as client:
        client.append("INBOX", "", '"01-Jan-2020 10:00:00 +0000"', make_mail(1))
    dovecot.append(ADDRESS, "INBOX", make_mail(2))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, catch_up="7d")):
        await desk.until(lambda: desk.mails)
    assert desk.mails == [make_mail(2)]


async def test_mail_older_than_the_first_run_stays_old_after_a_rebuild(dovecot: DovecotServer) -> None:
    with dovecot.connection(ADDRESS) as client:
        for number in range(3):
            client.append("INBOX", "", '"01-Jan-2020 10:00:00 +0000"', make_mail(number))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, catch_up="new")):
        await desk.until(lambda: desk.marks)
        dovecot.append(ADDRESS, "INBOX", make_mail(100))
        await desk.until(lambda: desk.mails)
        rebuild(dovecot)
        await desk.until(lambda: "uidvalidity" in desk.problems() and desk.duplicates == 1)
    assert desk.mails == [make_mail(100)]


# ------------------------------------------------------------------ trouble with the connection or the folder


def rebuild(server: DovecotServer) -> None:
    """What a repaired or migrated server does: the same mails under a new UIDVALIDITY."""
    validity = int(server.doveadm("mailbox", "status", "-u", ADDRESS, "uidvalidity", "INBOX").split(b"=")[-1])
    server.doveadm("mailbox", "update", "-u", ADDRESS, "--uid-validity", str(validity + 17), "INBOX")


async def test_mail_that_arrives_while_idling_wakes_the_reader(dovecot: DovecotServer) -> None:
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, poll_interval=settings.Duration(minutes=4))):
        await desk.until(lambda: desk.marks)
        dovecot.append(ADDRESS, "INBOX", make_mail(1))
        await desk.until(lambda: desk.mails)


async def test_polling_finds_mail_without_idle(dovecot: DovecotServer) -> None:
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, idle=False)):
        await desk.until(lambda: desk.marks)
        dovecot.append(ADDRESS, "INBOX", make_mail(1))
        await desk.until(lambda: desk.mails)


async def test_a_server_killed_while_we_idle_is_noticed_and_found_again(dovecot: DovecotServer) -> None:
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, poll_interval=settings.Duration(minutes=4))) as reader:
        await desk.until(lambda: desk.marks)
        before = reader.last_success
        dovecot.kill()
        dovecot.start()
        dovecot.append(ADDRESS, "INBOX", make_mail(1))
        await desk.until(lambda: desk.mails)
        assert reader.last_success >= before


async def test_a_new_uidvalidity_reads_everything_again_and_gives_no_duplicates(dovecot: DovecotServer) -> None:
    """fault-44, fault-45."""
    dovecot.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 2)
        rebuild(dovecot)
        dovecot.append(ADDRESS, "INBOX", make_mail(3))
        await desk.until(lambda: len(desk.mails) == 3 and desk.duplicates == 2)
    assert "uidvalidity" in desk.problems()
    assert desk.mails == [make_mail(1), make_mail(2), make_mail(3)]


async def test_a_folder_deleted_and_made_again_reuses_uids_without_losing_mail(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "Desk", make_mail(1))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, folder="Desk")):
        await desk.until(lambda: len(desk.mails) == 1)
        dovecot.doveadm("mailbox", "delete", "-u", ADDRESS, "Desk")
        await desk.until(lambda: "folder" in desk.problems())
        dovecot.append(ADDRESS, "Desk", make_mail(2))
        await desk.until(lambda: len(desk.mails) == 2)
        await desk.until(lambda: ("folder", "") in desk.alarms)


async def test_a_missing_folder_is_an_alarm_and_not_an_empty_success(dovecot: DovecotServer) -> None:
    """fault-47."""
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, folder="Nowhere")) as reader:
        await desk.until(lambda: desk.alarms)
        started = reader.last_success
        await desk.until(lambda: len(desk.alarms) > 2)
        assert reader.last_success == started
    assert desk.problems() == {"folder"}
    assert not desk.marks


async def test_other_clients_expunging_everything_while_we_idle_does_no_harm(dovecot: DovecotServer) -> None:
    """A thousand EXPUNGE lines in one segment end aioimaplib's recursion (L11)."""
    dovecot.append(ADDRESS, "INBOX", *(make_mail(number) for number in range(1200)))
    desk = Desk()
    mailbox = mailbox_of(dovecot, catch_up="new", poll_interval=settings.Duration(minutes=4))
    async with desk.reading(mailbox):
        await desk.until(lambda: desk.marks)
        dovecot.doveadm("expunge", "-u", ADDRESS, "mailbox", "INBOX", "all")
        dovecot.append(ADDRESS, "INBOX", make_mail(5000))
        await desk.until(lambda: desk.mails)
    assert desk.mails == [make_mail(5000)]


async def test_a_wrong_password_is_an_alarm_and_ends_when_it_is_right(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1))
    desk = Desk()
    desk.password = "wrong"
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: desk.alarms)
        desk.password = "secret"
        await desk.until(lambda: desk.mails and desk.alarms[-1] == ("login", ""), 60)
    assert set(desk.fresh_passwords) == {False}


# ------------------------------------------------------------------ mails that fail


async def test_one_failing_mail_stops_no_other_and_is_tried_again(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", *(make_mail(number) for number in range(4)))
    desk = Desk()
    desk.refuse = lambda raw: raw == make_mail(1)
    async with desk.reading(mailbox_of(dovecot, after="flag")):
        await desk.until(lambda: len(desk.mails) == 3 and desk.refused >= 2)
        assert desk.marks["support", "INBOX"].uid == 4
        desk.refuse = lambda raw: False
        await desk.until(lambda: len(desk.mails) == 4)
        await desk.until(lambda: dovecot.flags(ADDRESS).count({"$Ticketed"}) + 1 >= 4)
    assert sorted(desk.mails) == sorted(make_mail(number) for number in range(4))
    assert desk.duplicates == 0


async def test_a_failing_mail_is_remembered_across_a_restart(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
    desk = Desk()
    desk.refuse = lambda raw: raw == make_mail(1)
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 1 and desk.refused)
    desk.refuse = lambda raw: False
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: len(desk.mails) == 2)
    assert desk.duplicates == 0


async def test_when_nothing_can_be_stored_the_mailbox_waits_and_loses_nothing(dovecot: DovecotServer) -> None:
    mails = [make_mail(number) for number in range(30)]
    dovecot.append(ADDRESS, "INBOX", *mails)
    desk = Desk()
    desk.refuse = lambda raw: True
    async with desk.reading(mailbox_of(dovecot)):
        await desk.until(lambda: "storing" in desk.problems())
        desk.refuse = lambda raw: False
        await desk.until(lambda: len(desk.mails) == 30)
    assert sorted(desk.mails) == sorted(mails)


# ------------------------------------------------------------------ what happens to the mail afterwards


@pytest.mark.parametrize(("after", "flag"), [("flag", "$Ticketed"), ("seen", "\\Seen")])
async def test_a_mail_is_flagged_after_it_was_taken_over(dovecot: DovecotServer, after: str, flag: str) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, after=after)):
        await desk.until(lambda: all(flag in flags for flags in dovecot.flags(ADDRESS)))
    assert len(desk.mails) == 2


async def test_mails_are_moved_to_a_folder_with_blanks_and_umlauts(dovecot: DovecotServer) -> None:
    dovecot.doveadm("mailbox", "create", "-u", ADDRESS, "Erledigt & fertig/Büro €")
    dovecot.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, after="move:Erledigt & fertig/Büro €")):
        await desk.until(lambda: len(dovecot.messages(ADDRESS, "Erledigt &- fertig/B&APw-ro &IKw-")) == 2)
    assert dovecot.messages(ADDRESS) == []
    assert len(desk.mails) == 2


async def test_a_move_that_fails_is_tried_again_and_never_the_import(dovecot: DovecotServer) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
    desk = Desk()
    mailbox = mailbox_of(dovecot, after="move:Done")
    async with desk.reading(mailbox):
        await desk.until(lambda: len(desk.mails) == 2 and "after" in desk.problems())
    dovecot.doveadm("mailbox", "create", "-u", ADDRESS, "Done")
    async with desk.reading(mailbox):
        await desk.until(lambda: len(dovecot.messages(ADDRESS, "Done")) == 2)
    assert (len(desk.mails), desk.duplicates) == (2, 0)


async def test_deleting_takes_our_mail_and_leaves_what_others_marked() -> None:
    """Only UID EXPUNGE: a bare one would take the mail another client marked."""
    with server_announcing("IMAP4rev1 UIDPLUS IDLE") as server:
        server.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
        with server.connection(ADDRESS) as client:
            client.select("INBOX")
            client.store("1", "+FLAGS", "\\Deleted")
        desk = Desk()
        # the first mail was there before us and is somebody's, marked but not gone
        async with desk.reading(mailbox_of(server, after="delete", catch_up="new")):
            await desk.until(lambda: desk.marks)
            server.append(ADDRESS, "INBOX", make_mail(3))
            await desk.until(lambda: desk.mails)
            await desk.until(lambda: server.messages(ADDRESS) == [make_mail(1), make_mail(2)])


async def test_without_the_move_extension_a_mail_is_copied_confirmed_and_removed() -> None:
    with server_announcing("IMAP4rev1 UIDPLUS IDLE") as server:
        server.doveadm("mailbox", "create", "-u", ADDRESS, "Done")
        server.append(ADDRESS, "INBOX", make_mail(1), make_mail(2))
        desk = Desk()
        async with desk.reading(mailbox_of(server, after="move:Done")):
            await desk.until(lambda: len(server.messages(ADDRESS, "Done")) == 2)
            await desk.until(lambda: server.messages(ADDRESS) == [])


async def test_without_uidplus_nothing_is_moved_or_deleted() -> None:
    with server_announcing("IMAP4rev1 IDLE") as server:
        server.append(ADDRESS, "INBOX", make_mail(1))
        session = await opened(server)
        with pytest.raises(Unsupported):
            await session.move(1, "Done")
        with pytest.raises(Unsupported):
            await session.delete(1)
        assert await session.fetch(1) == make_mail(1)
        await session.close()
        assert server.messages(ADDRESS) == [make_mail(1)]


# ------------------------------------------------------------------ names, TLS


async def opened(server: DovecotServer, **changes: object) -> ImapSession:
    session = await open_mailbox(mailbox_of(server, **changes), "secret", patience=10)
    await session.select("INBOX")
    return session


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("My Support", "My Support"),
        ('My "Support"', 'My "Support"'),
        ("My\\Support", "My\\Support"),
        ("Büro", "B&APw-ro"),
        ("日本語 & more", "&ZeVnLIqe- &- more"),
        ("😀", "&2D3eAA-"),
    ],
)
async def test_the_right_folder_is_opened_whatever_its_name(dovecot: DovecotServer, name: str, wire: str) -> None:
    """adv-80."""
    dovecot.append(ADDRESS, wire, make_mail(1))
    assert name in dovecot.doveadm("mailbox", "list", "-u", ADDRESS).decode().splitlines()
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, folder=name)):
        await desk.until(lambda: desk.mails)


async def test_a_user_with_a_blank_can_log_in(dovecot: DovecotServer) -> None:
    dovecot.add_user("ann smith")
    session = await opened(dovecot, user="ann smith")
    await session.close()


async def test_credentials_outside_ascii_can_log_in(dovecot: DovecotServer) -> None:
    dovecot.add_user("jürgen@desk.test", password="geheimnïs")
    session = await open_mailbox(mailbox_of(dovecot, user="jürgen@desk.test"), "geheimnïs", patience=10)
    await session.close()


@pytest.mark.parametrize("name", ["INBOX\r\nA1 DELETE INBOX", "a\0b", ""])
async def test_a_name_with_controls_is_refused_before_anything_is_sent(name: str) -> None:
    mailbox = settings.Imap(host="127.0.0.1", user=ADDRESS, port=1, tls="none", folder=name)
    with pytest.raises(ValueError, match="not a usable IMAP name"):
        Desk().reader(mailbox)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_mail_is_read_over_verified_tls(dovecot: DovecotServer, tls: str) -> None:
    dovecot.append(ADDRESS, "INBOX", make_mail(1, size=300_000))
    port = dovecot.imaps_port if tls == "implicit" else dovecot.imap_port
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, tls=tls, port=port, ca_file=str(dovecot.ca_file))):
        await desk.until(lambda: desk.mails)
        dovecot.append(ADDRESS, "INBOX", make_mail(2))
        await desk.until(lambda: len(desk.mails) == 2)
    assert desk.mails[0] == make_mail(1, size=300_000)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_certificate_of_another_authority_is_refused(dovecot: DovecotServer, tls: str) -> None:
    other = dovecot.folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    port = dovecot.imaps_port if tls == "implicit" else dovecot.imap_port
    for ca_file in (str(other), ""):
        with pytest.raises(ImapError, match="certificate verify failed"):
            await open_mailbox(mailbox_of(dovecot, tls=tls, port=port, ca_file=ca_file), "secret", patience=10)
    assert "Login: user" not in dovecot.log()


async def test_plain_text_to_another_host_is_refused_without_connecting() -> None:
    mailbox = settings.Imap(host="imap.example.test", user=ADDRESS, tls="none")
    with pytest.raises(LoginRefused, match="plain text"):
        await open_mailbox(mailbox, "secret")


async def test_stopping_ends_a_reader_in_any_wait(dovecot: DovecotServer) -> None:
    for changes in ({"idle": True}, {"idle": False}, {"folder": "Nowhere"}, {"port": 1}):
        desk = Desk()
        async with desk.reading(mailbox_of(dovecot, poll_interval=settings.Duration(minutes=4), **changes), pace=60.0):
            await asyncio.sleep(0.2)


# ------------------------------------------------------------------ junk


async def test_new_mail_in_the_junk_folder_is_reported_and_never_taken_over(dovecot: DovecotServer) -> None:
    desk = Desk()
    watch = JunkWatch(mailbox_of(dovecot), state=desk, report=desk.report, password=desk.secret, patience=10)
    assert await watch.look() == 0
    dovecot.append(ADDRESS, "Junk", make_mail(1))
    assert await watch.look() == 0  # what lay there before is no news
    dovecot.append(ADDRESS, "Junk", make_mail(2), make_mail(3))
    assert await watch.look() == 2
    assert await watch.look() == 0
    assert [problem for problem, _ in desk.alarms] == ["junk"]
    assert not desk.mails
    assert not any("\\Seen" in flags for flags in dovecot.flags(ADDRESS, "Junk"))


async def test_the_junk_folder_is_the_one_the_server_marks(dovecot: DovecotServer) -> None:
    dovecot.mark_folder("Müll", "\\Junk")
    desk = Desk()
    watch = JunkWatch(mailbox_of(dovecot), state=desk, report=desk.report, password=desk.secret, patience=10)
    await watch.look()
    dovecot.append(ADDRESS, "M&APw-ll", make_mail(1))
    assert await watch.look() == 1
    assert "Müll" in desk.alarms[0][1]


async def test_the_sent_folder_is_read_by_its_own_name_and_nothing_there_is_touched(dovecot: DovecotServer) -> None:
    mail = make_mail(1)
    dovecot.append(ADDRESS, "Sent", mail)
    desk = Desk()
    async with desk.reading(mailbox_of(dovecot, folder="Sent", after="keep"), source="sent"):
        await desk.until(lambda: len(desk.mails) == 1)
    assert desk.envelopes[0].source == "sent:support"
