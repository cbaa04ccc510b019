"""What happens in a run: a desk with some history, then mail of every kind at once, and timers that are due.

Every mail carries a mark, a word that stands nowhere else, and says where that word may appear. The order in which
mails are taken makes no difference to what has to come out: each concerns another ticket, except the reply that a
customer sends when an answer has arrived.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage

from gateway.demo.mail_client import read_mail, reply_to, text_of, write_mail
from tests.faults.desk import Desk, Mta, Sent
from tests.faults.rows import is_at_rest
from tests.support.site import INBOX, signed
from tests.support.smtp_sink import Taken

ALICE, BOB = ("Alice Ahmed", "alice@corp.test"), ("Bob Smith", "bob@corp.test")
AGENTS = (ALICE[1], BOB[1])
OLD = ("old1", "old2", "old3", "old4", "old5", "old6", "old7", "old8")
"""Customers of the prepared tickets."""


def address(customer: str) -> str:
    return f"{customer}@customer.test"


def mark_of(name: str) -> str:
    """The word that only this mail contains."""
    return f"mark{name}end"


@dataclass
class Prepared:
    """What people had in their mailboxes before the run."""

    taken: list[Taken]

    def mail(self, reader: str, ticket_of: str, *, holds: str = "") -> tuple[EmailMessage, str]:
        """The mail to a reader about a customer's ticket that contains a text; and its reverse-path."""
        found = []
        for taken in self.taken:
            mail = read_mail(taken.content)
            whole = f"{mail['Subject']}\n{text_of(mail)}"
            if f"<{reader}>" in taken.rcpt_to[0] and mark_of(ticket_of) in whole and holds in whole:
                found.append((mail, re.sub(r"[<>]| .*", "", taken.mail_from)))
        assert found, f"{reader} has no mail about {ticket_of}'s ticket with {holds!r}"
        return found[0]


@dataclass
class Script:
    """The mails of a run, and the marks that may reach customers: mark -> their addresses."""

    mails: list[Sent]
    public: dict[str, set[str]]
    reply_when: str = ""
    """The mark of the answer to which its customer replies."""
    replies: list[Sent] = field(default_factory=list)
    quiet: bool = False
    """Begin when the daemon has nothing else to do: steps are then those of these mails."""
    begin: Callable[[], bool] = lambda: True
    """And when this is so."""

    def everything(self) -> list[Sent]:
        return [*self.mails, *self.replies]


def _sent(name: str, mail: EmailMessage | bytes, sender: str, domain: str, recipient: str = "", **more: object) -> Sent:
    raw = signed(mail, domain) if domain else (mail if isinstance(mail, bytes) else mail.as_bytes())
    to = recipient or (mail["To"].addresses[0].addr_spec if isinstance(mail, EmailMessage) else INBOX)
    return Sent(name, sender, to, raw, **more)  # type: ignore[arg-type]


def customer_mail(customer: str, words: str = "It does not work.", **more: object) -> Sent:
    """A new mail of a customer of that name."""
    mail = write_mail(
        address(customer), customer.title(), INBOX, f"About {mark_of(customer)}", f"{words}\n\n{customer}\n"
    )
    return _sent(customer, mail, address(customer), "customer.test", **more)


def prepare(desk: Desk) -> Prepared:
    """Play the history with a running daemon: eight customers write, three get an answer."""
    mta = Mta(desk.gateway.socket)
    try:
        mta.send(*(customer_mail(name) for name in OLD))
        _rest(desk, mta, 8 + 8 * 2)
        known = Prepared(list(desk.sink.taken))
        for agent, customer in ((ALICE, "old2"), (BOB, "old6"), (BOB, "old8")):
            mail = reply_to(known.mail(agent[1], customer)[0], agent[1], agent[0], f"Answer to {mark_of(customer)}.")
            mta.send(_sent(f"answer-{customer}", mail, agent[1], "corp.test"))
        _rest(desk, mta, len(known.taken) + 3)
    finally:
        mta.close()
    return Prepared(list(desk.sink.taken))


def let_time_pass(desk: Desk) -> None:
    """Two tickets were left alone for too long: a reminder to everybody, and a question to the owner, are due."""
    rows = desk.rows()
    for customer, kind in (("old3", "unclaimed-1"), ("old6", "waiting")):
        ticket = (
            "(SELECT number FROM tickets WHERE customer ="
            f" (SELECT party FROM persons WHERE address = '{address(customer)}'))"
        )
        (found,) = rows.ask(f"SELECT count(*) AS n FROM timers WHERE kind = '{kind}' AND ticket = {ticket}")
        assert found["n"] == 1, f"no timer {kind} for {customer}"
        hour_ago = int((time.time() - 3600) * 1_000_000)
        rows.execute(
            f"UPDATE timers SET due_at = {hour_ago}, claim_at = {hour_ago} WHERE kind = '{kind}' AND ticket = {ticket}"
        )


def _rest(desk: Desk, mta: Mta, mails: int) -> None:
    ends = time.monotonic() + 60
    while not (mta.idle and len(desk.sink.taken) >= mails and is_at_rest(desk.rows())):
        assert time.monotonic() < ends, f"{len(desk.sink.taken)} of {mails} mails\n{desk.gateway.log()}"
        time.sleep(0.05)


def write_script(known: Prepared) -> Script:
    """Mail of every kind, once."""
    offer = {name: known.mail(ALICE[1], name)[0] for name in OLD}
    bobs = {name: known.mail(BOB[1], name)[0] for name in OLD}
    bounced, reverse_path = known.mail(address("old8"), "old8", holds="Answer to")
    answered = known.mail(address("old2"), "old2", holds="Answer to")[0]

    def agent(name: str, original: EmailMessage, words: str, who: tuple[str, str] = ALICE) -> Sent:
        return _sent(name, reply_to(original, who[1], who[0], words), who[1], "corp.test")

    mails = [
        customer_mail("new1", copies=2),
        customer_mail("new2", words="It does not work at all.\n" * 3500),
        customer_mail("new3", imap=True),
        customer_mail("new4", imap=True),
        agent("answer", offer["old1"], f"Please press the button. {mark_of('answer')}"),
        agent("closing", offer["old4"], f"#close\n\nIt is repaired now. {mark_of('closing')}"),
        agent("note", bobs["old7"], f"#note\nThe customer is a friend of mine. {mark_of('note')}", BOB),
        _sent("list", write_mail(BOB[1], BOB[0], INBOX, "#list", "#list\n"), BOB[1], "corp.test"),
        _sent(
            "question",
            reply_to(answered, address("old2"), "Old2", f"And what about the other one? {mark_of('question')}"),
            address("old2"),
            "customer.test",
        ),
        _sent(
            "forged",
            reply_to(offer["old5"], ALICE[1], ALICE[0], f"#close\n\nSend me your money. {mark_of('forged')}"),
            "thief@elsewhere.test",
            "",
        ),
        _sent("report", _delivery_report(bounced, reverse_path), "", "", recipient=reverse_path),
        _sent("away", _away_note(answered), "", "customer.test"),
    ]
    return Script(
        mails,
        public={
            mark_of("answer"): {address("old1")},
            mark_of("closing"): {address("old4")},
            mark_of("note"): set(),
            mark_of("forged"): set(),
            mark_of("question"): {address("old2")},
        }
        | {mark_of(name): {address(name)} for name in (*OLD, "new1", "new2", "new3", "new4")},
        reply_when=mark_of("answer"),
    )


def _delivery_report(original: EmailMessage, reverse_path: str) -> bytes:
    recipient = original["To"].addresses[0].addr_spec
    return (
        f"From: MAILER-DAEMON@mx.customer.test\r\nTo: {reverse_path}\r\nSubject: Undelivered Mail\r\n"
        f"Message-ID: <report-{time.time_ns()}@mx.customer.test>\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.customer.test\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {original['Message-ID']}\r\n"
        f"To: {recipient}\r\n\r\n--b--\r\n"
    ).encode()


def _away_note(original: EmailMessage) -> EmailMessage:
    note = reply_to(original, address("old2"), "Old2", "I am away until Monday.")
    note.replace_header("Subject", "Automatic reply: away")
    note["Auto-Submitted"] = "auto-replied"
    return note


def add_bulk(script: Script, count: int, *, polled: bool) -> Script:
    """So many more customers write; every tenth mail lies in the mailbox."""
    names = [f"bulk{n}" for n in range(count)]
    more = [customer_mail(name, imap=polled and n % 10 == 0) for n, name in enumerate(names)]
    public = {mark_of(name): {address(name)} for name in names}
    return Script([*script.mails, *more], script.public | public, script.reply_when)


def pick(script: Script, name: str) -> Script:
    """One of the mails alone, on a desk that is otherwise quiet."""
    return Script([mail for mail in script.mails if mail.name == name], script.public, quiet=True)


class Play:
    """A script being played: mails are queued, and a customer replies as soon as the answer is there."""

    def __init__(self, desk: Desk, script: Script, mta: Mta, marked: Callable[[], int]) -> None:
        """``marked``: how many mails in the mailbox are marked as taken."""
        self.desk, self.script, self.mta, self._marked = desk, script, mta, marked
        script.replies.clear()
        self._begun = not script.quiet
        if self._begun:
            self._begin()

    def _begin(self) -> None:
        self._begun = True
        self.mta.send(*(mail for mail in self.script.mails if not mail.imap))

    def at_rest(self) -> bool:
        """Whether everything that was to happen has happened; replies on the way."""
        if not self._begun:
            if self.script.begin() and is_at_rest(self.desk.rows()):
                self._begin()
            return False
        self._reply()
        waits = bool(self.script.reply_when) and not self.script.replies
        return not waits and self.mta.idle and is_at_rest(self.desk.rows()) and self._all_fetched()

    def _reply(self) -> None:
        if self.script.replies or not self.script.reply_when:
            return
        for taken in list(self.desk.sink.taken):
            if self.script.reply_when.encode() in taken.content and "customer.test" in taken.rcpt_to[0]:
                mail = read_mail(taken.content)
                reader = mail["To"].addresses[0].addr_spec
                reply = reply_to(mail, reader, "Old1", f"Thank you, that helped. {mark_of('thanks')}")
                sent = _sent("thanks", reply, reader, "customer.test")
                self.script.public[mark_of("thanks")] = {reader}
                self.script.replies.append(sent)
                self.mta.send(sent)
                return

    def _all_fetched(self) -> bool:
        polled = sum(mail.imap for mail in self.script.mails)
        if not polled:
            return True
        (row,) = self.desk.rows().ask("SELECT count(*) AS n FROM imap_positions")
        return bool(row["n"] >= polled) and self._marked() >= polled
