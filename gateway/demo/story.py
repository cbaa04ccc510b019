"""The story the demo plays, and what must be true after each step (``--selftest`` asserts it)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage

from gateway.demo.mail_client import read_mail, reply_to, submit, text_of, write_mail
from gateway.demo.world import ALICE, BOB, INBOX, JANE, World

NAMES = {JANE: "Jane Doe", ALICE: "Alice Ahmed", BOB: "Bob Smith"}
_PATIENCE = 30.0  # seconds for one mail to make its way


@dataclass(slots=True)
class Step:
    """One thing that happened: what was done, which mails came of it, what was checked."""

    title: str
    sent: EmailMessage | None = None
    received: list[tuple[str, EmailMessage]] = field(default_factory=list)
    checks: list[tuple[str, bool]] = field(default_factory=list)

    def check(self, what: str, holds: object) -> None:
        self.checks.append((what, bool(holds)))


class Story:
    """Plays the steps one by one on a running world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._read = dict.fromkeys(NAMES, 0)

    async def steps(self) -> AsyncIterator[Step]:
        """Every step, after it happened."""
        office_inbox = INBOX
        # ---------------------------------------------------------- a customer writes
        question = "Hi,\n\ninvoice 2231 charges us for 12 licences, we only have 10.\nCould you correct it?\n\nJane\n"
        first = write_mail(JANE, NAMES[JANE], office_inbox, "Invoice 2231 is wrong", question)
        step = Step("Jane writes to support@demo.test", first)
        await self._send(first)
        ack, offer_alice, offer_bob = [await self._next(who) for who in (JANE, ALICE, BOB)]
        step.received = [(JANE, ack), (ALICE, offer_alice)]
        step.check("Jane's acknowledgement threads under her own mail", ack["In-Reply-To"] == first["Message-ID"])
        step.check("it repeats nothing she wrote but the subject", "12 licences" not in text_of(ack))
        step.check("both agents are offered the ticket", "12 licences" in text_of(offer_alice) + text_of(offer_bob))
        step.check("Jane's address is not in the header of agents' mail", JANE not in _header(offer_alice))
        yield step

        # ---------------------------------------------------------- a plain reply answers and takes the ticket
        answer = reply_to(
            offer_alice, ALICE, NAMES[ALICE], "Hello Jane,\n\nyou are right, it should be 10. Sorry!\n\nAlice"
        )
        step = Step("Alice presses Reply, types her answer, presses Send", answer)
        await self._send(answer)
        told = await self._next(JANE)
        step.received = [(JANE, told)]
        step.check("Jane reads Alice's words", "it should be 10" in text_of(told))
        step.check("it threads under Jane's mail", first["Message-ID"] in str(told["References"]))
        step.check("no agent address, note, command or marker reaches Jane", not _leaks(told))
        yield step

        # ---------------------------------------------------------- the customer replies: same ticket, its owner
        thanks = reply_to(told, JANE, NAMES[JANE], "Thank you! Can you send it to accounting, too?\n\nJane")
        step = Step("Jane replies", thanks)
        await self._send(thanks)
        news = await self._next(ALICE)
        step.received = [(ALICE, news)]
        step.check("same ticket", news["X-Ticket"] == offer_alice["X-Ticket"])
        step.check("Alice owns it and is told, Bob is left in peace", news["X-Ticket-Owner"] == "alice")
        yield step

        # ---------------------------------------------------------- Bob answers too late
        late = reply_to(offer_bob, BOB, NAMES[BOB], "Hi Jane,\n\nI will look into it and come back tomorrow.\n\nBob")
        step = Step("Bob answers the first mail, not knowing that Alice already has", late)
        await self._send(late)
        held = await self._next(BOB)
        step.received = [(BOB, held)]
        step.check("nothing was sent to Jane; Bob sees both texts", "should be 10" in text_of(held))
        step.check("his own text is safe", "come back tomorrow" in text_of(held))
        yield step

        # ---------------------------------------------------------- he keeps it as a note
        decision = reply_to(held, BOB, NAMES[BOB], "#note")
        step = Step("Bob replies #note: keep my text for Alice, do not send it", decision)
        await self._send(decision)
        note, confirmed = await self._next(ALICE), await self._next(BOB)
        step.received = [(ALICE, note), (BOB, confirmed)]
        step.check("Alice gets the note", "come back tomorrow" in text_of(note))
        yield step

        # ---------------------------------------------------------- closed by mail
        closing = reply_to(news, ALICE, NAMES[ALICE], "#close\n\nDone, accounting has it too.\n\nAlice")
        step = Step("Alice answers and closes, in one mail", closing)
        await self._send(closing)
        told = await self._next(JANE)
        step.received = [(JANE, told)]
        step.check("the command does not reach Jane", "#close" not in text_of(told))
        step.check("no agent address, note, command or marker reaches Jane", not _leaks(told))
        yield step

        # ---------------------------------------------------------- reopened
        again = reply_to(told, JANE, NAMES[JANE], "One more thing: the address on it is old.\n\nJane")
        step = Step("Jane replies to the closed ticket", again)
        await self._send(again)
        news = await self._next(ALICE)
        step.received = [(ALICE, news)]
        step.check(
            "it is open again, still Alice's", (news["X-Ticket-State"], news["X-Ticket-Owner"]) == ("open", "alice")
        )
        step.check("Jane got exactly three mails", len(await self.world.post_office.mails(JANE)) == 3)
        yield step

    async def _send(self, mail: EmailMessage) -> None:
        await asyncio.to_thread(submit, self.world.smtp_port, mail)

    async def _next(self, person: str) -> EmailMessage:
        """The next unread mail of a person; TimeoutError when none comes."""
        office = self.world.post_office
        async with asyncio.timeout(_PATIENCE):
            while True:
                office.arrived.clear()
                mails = await office.mails(person)
                if len(mails) > self._read[person]:
                    self._read[person] += 1
                    return read_mail(mails[self._read[person] - 1])
                await office.arrived.wait()


def _header(mail: EmailMessage) -> str:
    return "\n".join(f"{name}: {value}" for name, value in mail.items())


def _leaks(mail: EmailMessage) -> bool:
    everything = _header(mail) + text_of(mail)
    secrets = (ALICE, BOB, "X-Ticket", "#note", "mailto:", "nobody has it", "come back tomorrow")
    return any(word in everything for word in secrets)
