"""Alarms: each trouble is one mail to the admins, its end another, in the language of the desk."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from gateway.alarms import Alarms
from gateway.clock import Jump, clock
from gateway.demo.mail_client import read_mail
from gateway.outbound.transport import Attempt
from gateway.settings import Imap
from gateway.store import deliveries
from gateway.store.database import Database
from tests.edges.test_transport import make_mail
from tests.support.spine import SETTINGS

MAILBOX = Imap(user="desk@mail.test", handle="support")
BARRED, LEFT = Attempt("deferred", "454 4.7.0", barred=True), Attempt("sent", "250 2.0.0")
DENIED = Attempt("deferred", "554 5.7.1 Relay access denied", barred=True, step="rcpt")
MAIL, OTHER = make_mail(), make_mail(recipient="alice@corp.test")


async def play(folder: Path) -> list[str]:
    """Every trouble twice, then its end: the subjects of what was mailed."""
    general = replace(SETTINGS.ticketgate, admin=("ops@mail.test",), language="de")
    settings = replace(SETTINGS, ticketgate=general)
    database = Database(f"sqlite:{folder}/ticketgate.db")
    database.migrate()
    alarms = Alarms(database, lambda: settings, lambda: None)
    for _ in range(2):
        alarms.hear_mailbox(MAILBOX, "silent", "535 5.7.8")
        alarms.hear_mailbox(MAILBOX, "junk", "3 new")  # for the log alone
        alarms.hear_tokens(MAILBOX, "invalid_grant")
        alarms.hear_relay(MAIL, BARRED)
        alarms.hear_relay(MAIL, DENIED)
        alarms.hear_clock(Jump(by=timedelta(hours=1), believed=False))
        alarms.hear_keeper("retention", "disk")
    alarms.hear_mailbox(MAILBOX, "silent", "")
    alarms.hear_tokens(MAILBOX, "")
    await asyncio.gather(*alarms._writing)
    alarms.hear_relay(MAIL, LEFT)
    alarms.hear_relay(MAIL, LEFT)
    alarms.hear_clock(Jump(by=timedelta(), believed=True))
    alarms.hear_keeper("retention", "")
    while alarms._writing:
        await asyncio.gather(*alarms._writing)
    with database.begin() as tx:
        waiting = [deliveries.find(tx, entry.delivery.id) for entry in deliveries.list_outbox(tx)]
    database.close()
    return [str(read_mail(one.delivery.mail.content)["Subject"]).partition(": ")[2] for one in waiting if one]


async def test_each_trouble_is_mailed_once_and_so_is_its_end(tmp_path: Path) -> None:
    troubles = [
        "das Postfach desk@mail.test wird nicht gelesen",
        "kein Zugriffstoken für desk@mail.test",
        "über localhost kann nichts versandt werden",
        "localhost nimmt unsere Mails nicht an",
        "die Uhr ist gesprungen",
        "was zu alt ist, konnte nicht gelöscht werden",
    ]
    assert sorted(await play(tmp_path)) == sorted([*troubles, *(f"vorbei: {trouble}" for trouble in troubles)])


async def test_an_alarm_that_cannot_leave_has_no_second_one_behind_it(tmp_path: Path) -> None:
    general = replace(SETTINGS.ticketgate, admin=("ops@mail.test",), admin_quiet_period=timedelta())
    database = Database(f"sqlite:{tmp_path}/ticketgate.db")
    database.migrate()
    alarms = Alarms(database, lambda: replace(SETTINGS, ticketgate=general), lambda: None)
    now = clock()

    async def waiting_after_an_alarm() -> int:
        alarms.hear_relay(MAIL, DENIED)
        await asyncio.gather(*alarms._writing)
        with database.begin() as tx:
            return len(deliveries.list_outbox(tx))

    assert [await waiting_after_an_alarm() for _ in range(2)] == [1, 2]
    with database.begin() as tx:
        for one in deliveries.claim_due(tx, 5, "test", clock(), timedelta(minutes=5)):
            deliveries.record_attempt(tx, one, "deferred", DENIED.reply, now, now, barred=True)
    assert await waiting_after_an_alarm() == 2
    database.close()


async def test_a_relay_that_refuses_one_sender_and_takes_the_alarm_is_told_once_and_not_asked_without_end(
    tmp_path: Path,
) -> None:
    general = replace(SETTINGS.ticketgate, admin=("ops@mail.test",))
    database = Database(f"sqlite:{tmp_path}/ticketgate.db")
    database.migrate()
    alarms = Alarms(database, lambda: replace(SETTINGS, ticketgate=general), lambda: None)
    sender_denied = Attempt("deferred", "554 5.2.252 SendAsDenied", barred=True, step="mail")
    repaired, tries = False, 0

    async def rounds(count: int, kind: str = "") -> None:
        """The outbox, ``count`` times; with another sender's mail in it, if ``kind`` is said."""
        nonlocal tries
        for _ in range(count):
            with database.begin() as tx:
                if kind:
                    deliveries.enqueue(tx, [replace(OTHER, event=0, kind=kind)], clock())
                due = deliveries.claim_due(tx, 9, "test", clock(), timedelta(minutes=5))
            for one in due:
                refused = one.mail.recipient == MAIL.recipient and not repaired
                tries += refused
                result = sender_denied if refused else LEFT
                later = clock() + timedelta(hours=4)
                with database.begin() as tx:
                    deliveries.record_attempt(tx, one, result.outcome, result.reply, later, clock(), barred=refused)
                alarms.hear_relay(one.mail, result)
                while alarms._writing:
                    await asyncio.gather(*alarms._writing)

    def mailed() -> list[str]:
        with database.begin() as tx:
            entries = deliveries.list_outbox(tx, list(deliveries.DeliveryState))
            found = [deliveries.find(tx, entry.delivery.id) for entry in entries if entry.delivery.mail.kind == "alert"]
        return [str(read_mail(one.delivery.mail.content)["Subject"]).partition(": ")[2] for one in found if one]

    trouble = "localhost refuses our mail"
    with database.begin() as tx:
        deliveries.enqueue(tx, [MAIL], clock())
    await rounds(5)
    assert (mailed(), tries) == ([trouble], 1)
    await rounds(5, "offer")
    assert (mailed(), tries) == ([trouble], 2), "what other mails show is tried once in ten minutes"
    repaired, alarms._tried = True, float("-inf")
    await rounds(3, "offer")
    assert mailed() == [trouble, f"over: {trouble}"]
    repaired = False
    with database.begin() as tx:
        deliveries.enqueue(tx, [replace(MAIL, event=0)], clock())
    await rounds(3)
    assert mailed() == [trouble, f"over: {trouble}"], "within the quiet period nothing is mailed"
    database.close()
