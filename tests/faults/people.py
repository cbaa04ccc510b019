"""Customers and agents of a soak: they read what the relay behind the desk took and write through Postfix."""

from __future__ import annotations

import random
import re
from email.message import EmailMessage

from gateway.demo.mail_client import read_mail, reply_to, text_of, write_mail
from tests.faults.desk import Sent
from tests.support.postfix import PostfixServer
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Sink

AGENTS = {"alice@corp.test": "Alice Ahmed", "bob@corp.test": "Bob Smith"}
ALONE, BOTH, AGAIN = 0.5, 0.1, 0.4
"""How likely an agent's mail is answered by one agent, by both, and an answer by its customer."""


class People:
    """Everybody. What Alice leaves alone is offered again by reminders, and she throws the dice again."""

    def __init__(self, postfix: PostfixServer, sink: Sink, chance: random.Random) -> None:
        self.sent: list[Sent] = []
        self.public: dict[str, set[str]] = {}
        """Mark -> who may read it."""
        self.pairs: list[tuple[str, str]] = []
        """Marks of two answers to the same mail: one of them may leave."""
        self._postfix, self._sink, self._chance = postfix, sink, chance
        self._read = 0
        self._met: set[tuple[str, str]] = set()
        self._both: dict[str, str] = {}
        self._answered: set[str] = set()  # customers whose last word Alice has answered

    def write(self) -> None:
        """A customer with a new matter."""
        number = len(self.sent)
        customer = f"c{number}@customer.test"
        words = "It does not work.\n" * (4000 if number % 12 == 0 else 1)
        mail = write_mail(customer, f"Customer {number}", INBOX, f"Matter {number}", f"{words}{self._mark(customer)}\n")
        self._send(mail, customer)

    def read(self) -> None:
        """Look at the mails that came since, and answer some."""
        fresh, self._read = self._sink.taken[self._read :], len(self._sink.taken)
        for taken in fresh:
            reader = re.sub(r"[<>]| .*", "", taken.rcpt_to[0]).lower()
            mail = read_mail(taken.content)
            event = str(mail["Message-ID"])
            if (reader, event) in self._met:
                continue  # an answer that was sent again
            self._met.add((reader, event))
            if reader in AGENTS:
                self._answer(mail, reader)
            elif "The answer is" in text_of(mail) and "@customer.test" in reader and self._chance.random() < AGAIN:
                self._answered.discard(reader)
                self._both.pop(reader, None)  # what Bob may say from now on answers this mail, not the one before
                self._send(reply_to(mail, reader, "Customer", f"And then? {self._mark(reader)}"), reader)

    def _answer(self, mail: EmailMessage, agent: str) -> None:
        """Alice decides by chance who answers; Bob answers when it was to be both, not knowing of her."""
        found = re.search(r"\w+@customer\.test", text_of(mail))
        if found is None:
            return
        customer = found[0]
        if agent.startswith("alice"):
            dice = self._chance.random()
            # A reminder may cross her answer: who answers twice would be two rivals of Bob's.
            if dice > ALONE + BOTH or customer in self._answered:
                return
            self._answered.add(customer)
            words = self._mark(customer)
            if dice > ALONE:
                self._both[customer] = words
        elif customer in self._both:
            words = self._mark(customer)
            self.pairs.append((self._both.pop(customer), words))
        else:
            return
        self._send(reply_to(mail, agent, AGENTS[agent], f"The answer is {words}"), agent)

    def _mark(self, reader: str) -> str:
        mark = f"mark{len(self.public)}end"
        self.public[mark] = {reader}
        return mark

    def _send(self, mail: EmailMessage, sender: str) -> None:
        raw = signed(mail, sender.partition("@")[2])
        recipient = mail["To"].addresses[0].addr_spec
        self.sent.append(Sent(f"mail {len(self.sent)}", sender, recipient, raw))
        self._postfix.send(sender, [recipient], raw)
