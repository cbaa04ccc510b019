"""Mail of a desk at work, for the pictures: real conversations on a real store, so what is shown is what people get."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from gateway.model import OutboundMail
from gateway.settings import Customer, Settings, Size
from gateway.store.database import Database
from tests.store.test_ticket_files import mail_with, named
from tests.store.test_verbs import ALICE, BOB, CAROL, DESK, JANE, TOM, Desk, to

_ZONES = {"en": "Europe/London", "de": "Europe/Berlin"}


def played(language: str) -> Iterator[tuple[str, bytes]]:
    """(name, mail as it left)."""
    zone = _ZONES.get(language, "UTC")
    general = replace(DESK.ticketgate, language=language, timezone=zone)
    settings = replace(DESK, ticketgate=general, customer=Customer(attachments_max=Size(600_000)))
    with tempfile.TemporaryDirectory(prefix="played-") as folder:
        database = Database(f"sqlite:{Path(folder) / 'played.db'}")
        try:
            database.migrate()
            for name, mail in _play(database, settings):
                yield f"played-{name}", mail.content
        finally:
            database.close()


def _play(database: Database, settings: Settings) -> Iterator[tuple[str, OutboundMail]]:
    desk = _Serial(database, settings)
    desk.road.arrive(_with_files())
    offers = desk.road.outbox()
    alices, bobs = to(offers, ALICE), to(offers, BOB)
    yield "show-files", desk.only(ALICE, desk.order(ALICE, "#show 1 files"))
    answer = to(desk.reply(ALICE, alices, "Hi Jane,\n\nthank you, we look into it."), JANE)
    desk.write(TOM, "Do you repair chairs?", subject="A chair with a very long subject that has to go somewhere")
    yield "away", desk.only(ALICE, desk.order(ALICE, "#away until 2026-11-27 to bob"))
    yield "away-open", desk.only(BOB, desk.order(BOB, "#away"))
    desk.order(BOB, "#back")
    news = desk.reply(JANE, answer, "Any news?")
    desk.reply(BOB, to(news, BOB), "#close\n\nHi Jane, it is 12 licences now.")
    yield "back", desk.only(ALICE, desk.order(ALICE, "#back"))
    yield "back-nothing", desk.only(ALICE, desk.order(ALICE, "#back"))
    yield "undo", to(desk.tap(ALICE, to(desk.reply(ALICE, alices, "#claim\n#prio high"), ALICE), "undo"), ALICE)
    out = desk.reply(ALICE, alices, "#close")
    out += desk.reply(ALICE, alices, "#open")
    yield "misplaced", desk.only(ALICE, desk.order(ALICE, "#snooze 1 3d"))
    yield "not-done", desk.only(ALICE, desk.reply(ALICE, alices, "#assign dora"))
    desk.reply(BOB, bobs, "#claim")
    yield "closed", to(desk.reply(ALICE, alices, "#close"), BOB)
    desk.road.now += timedelta(days=9)
    yield "report", desk.only(CAROL, desk.order(CAROL, "#report"))
    yield "report-agent", desk.only(CAROL, desk.order(CAROL, "#report bob november"))
    yield "report-empty", desk.only(CAROL, desk.order(CAROL, "#report january 2026"))
    yield "report-off", desk.only(CAROL, desk.order(CAROL, "#report off"))
    yield "report-unknown", desk.only(CAROL, desk.order(CAROL, "#report last fortnight"))


class _Serial(Desk):
    """A desk whose new mails have a Message-ID each."""

    def order(self, who: str, subject: str) -> list[OutboundMail]:
        """A new mail whose subject is a command."""
        return self.write(who, "", subject=subject, message_id=f"<{self.road.now.timestamp()}@corp.test>")

    def only(self, who: str, mails: list[OutboundMail]) -> OutboundMail:
        """The newest mail to somebody."""
        return [mail for mail in mails if mail.recipient == who][-1]


def _with_files() -> bytes:
    scan = b"\xff\xd8\xff" + bytes(550_000)
    return mail_with(
        JANE,
        (named("Invoice 2231.pdf"), "application/pdf", b"%PDF-1.7" + bytes(38_000)),
        (
            named("a-very-long-name-of-a-photograph-from-the-second-floor-2026-11-23-at-10-15-04.jpg"),
            "image/jpeg",
            scan,
        ),
        (named("plan.zip"), "application/zip", bytes(90_000)),
        (named("film.mp4"), "video/mp4", bytes(700_000)),
    )
