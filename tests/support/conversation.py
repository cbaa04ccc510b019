"""Generated conversations: customers and agents who write, answer, note, command and forward, each in a mail program.

Strategies for hypothesis give lists of steps; ``Play`` carries them out on a road. What a step can do depends on what
has arrived so far, so numbers in steps are taken modulo what there is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from gateway.model import OutboundMail
from gateway.store.database import Database
from tests.support.quoting import ATTRIBUTIONS
from tests.support.spine import Road, Signed, address_of, header_of, make_mail, text_of

CUSTOMERS = ("jane@customer.test", "joe@other.test")
AGENTS = ("alice@corp.test", "bob@corp.test")
SUPPLIER = "pat@supplier.test"
STYLES = ("gmail", "outlook", "marks", "below", "html", "bare", "interleaved")


@dataclass(frozen=True)
class Step:
    """One thing one person does. ``which`` chooses the mail that is answered, ``style`` the mail program."""

    deed: str
    who: int
    which: int
    style: str
    attribution: str
    text: str


WORDS = st.lists(
    st.sampled_from(["thanks", "invoice", "the", "is", "fixed", "now", "please", "1.5", "see below", "Grüße", "#1"]),
    min_size=1,
    max_size=8,
).map(" ".join)

STEPS = st.lists(
    st.builds(
        Step,
        deed=st.sampled_from(
            [
                *(
                    "write",
                    "reply",
                    "reply",
                    "answer",
                    "answer",
                    "answer",
                    "note",
                    "close",
                    "assign",
                    "forward",
                    "tail",
                ),
                *("ask", "ask", "third", "third", "send"),
                *("new", "direct", "back", "merge", "confirm", "split", "undo", "paste"),
            ]
        ),
        who=st.integers(0, 1),
        which=st.integers(0, 20),
        style=st.sampled_from(STYLES),
        attribution=st.sampled_from(sorted(ATTRIBUTIONS.values())),
        text=WORDS,
    ),
    min_size=1,
    max_size=9,
)


@contextmanager
def fresh_road(migrated: Path, kind: type[Road] = Signed) -> Iterator[Road]:
    """A road on an empty store: hypothesis runs many examples in one test."""
    with tempfile.TemporaryDirectory(prefix="tg-road-") as folder:
        path = Path(folder) / "ticketgate.db"
        shutil.copy(migrated, path)
        store = Database(f"sqlite:{path}")
        try:
            yield kind(store)
        finally:
            store.close()


class Play:
    """A conversation on a road, and everything that was sent to anybody."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.sent: list[OutboundMail] = []
        self.secrets: list[str] = []
        self.for_supplier: list[str] = []
        self.of_customers: list[str] = []
        self._serial = 0
        self._written: dict[str, str] = {}
        """Who wrote a mail that went past us -> its Message-ID."""

    def run(self, steps: list[Step]) -> Play:
        self.step(Step("write", 0, 0, "gmail", "", "Our invoice is wrong"))
        for step in steps:
            self.step(step)
        return self

    def step(self, step: Step) -> None:
        self._serial += 1
        if step.deed == "write":
            words = self._mark(self.of_customers, "customer")
            self._arrive(CUSTOMERS[step.who], f"{words} {step.text} {self._serial}", subject=f"Question {self._serial}")
        elif step.deed in ("new", "direct", "back"):
            self._write_past(step)
        elif step.deed == "forward":
            text = (
                f"{step.text}\n\n---------- Forwarded message ---------\nFrom: Ann <ann{self._serial}@new.test>\n"
                f"Date: Mon, 23 Nov 2026 at 09:00\nSubject: Help\nTo: Alice <alice@corp.test>\n\nPlease help me."
            )
            self._arrive(AGENTS[step.who], text, subject="Fwd: Help")
        else:
            self._reply(step)
        self.sent += self.road.outbox()

    def _write_past(self, step: Step) -> None:
        """An agent begins a ticket, or writes to the customer with us in copy; the customer answers that."""
        agent, customer = AGENTS[step.who], CUSTOMERS[step.which % 2]
        words = f"{self._mark(self.of_customers, step.deed)} {step.text} {self._serial}"
        if step.deed == "new":
            self._arrive(agent, f"#new {customer} Matter {self._serial}\n\n{words}", subject="For a customer")
        elif step.deed == "direct":
            answers = self._written.get(customer, "")
            self._copied(agent, customer, words, answers)
            self._written[agent] = f"<{self._serial}@client.test>"
        elif agent in self._written:
            self._copied(customer, agent, f"{words}\n\n{step.attribution}\n> my words", self._written[agent])

    def _copied(self, who: str, to: str, text: str, answers: str) -> None:
        raw = make_mail(
            who,
            text,
            subject="Re: Question 1",
            to=to,
            extra="Cc: support@desk.test",
            message_id=f"<{self._serial}@client.test>",
            answers=answers,
        )
        self.road.arrive(raw)

    def _mark(self, words: list[str], of: str) -> str:
        """A word that stands in this mail and in nothing else, to be looked for wherever it must not be."""
        words.append(f"{of}{self._serial}{of}")
        return words[-1]

    def _reply(self, step: Step) -> None:
        who = {"reply": CUSTOMERS[step.who], "third": SUPPLIER}.get(step.deed, AGENTS[step.who])
        received = [m for m in self.sent if m.recipient == who and address_of(m)]
        if not received or not any(m.ticket for m in self.sent):
            return
        answered = received[-1 - step.which % len(received)]
        if step.deed == "confirm":
            answered = next((m for m in reversed(received) if m.kind == "held"), answered)
        secret = f"hush{self._serial}hush"
        numbers = sorted({m.ticket for m in self.sent if m.ticket})
        text = {
            "note": f"#note {secret} {step.text}",
            "close": f"#close\n\n{step.text} and done",
            "assign": f"#assign {('bob', 'alice')[step.who]}\n#note {secret} take it",
            "tail": f"{step.text} {self._serial}\n\n#note {secret}",
            "send": f"#send\n{step.text} {self._serial}",
            "merge": f"#merge {numbers[step.which // 2 % len(numbers)]}",
            "confirm": "#send",
            "paste": f"{step.text}: {address_of(answered)}\nor claim {answered.ticket} {'a' * 17}, or {who}",
            "split": f"#split Matter {self._serial}",
            "undo": "#undo",
        }.get(step.deed, f"{step.text} {self._serial}")
        if step.deed in ("answer", "tail", "paste") and answered.kind == "note":
            text = f"{secret} {text}"  # a reply to a note is a note
        if (secret in text and step.deed != "tail") or (answered.kind == "note" and step.deed == "tail"):
            self.secrets.append(secret)
        if step.deed in ("reply", "third"):
            mine = self.of_customers if step.deed == "reply" else self.for_supplier
            text = f"{self._mark(mine, step.deed)} {text}"
        if step.deed == "ask":
            text = f"#ask {SUPPLIER}\n\n{self._mark(self.for_supplier, 'asked')} {text}"
        if step.deed == "answer" and answered.kind in ("third", "asked"):
            text = f"{self._mark(self.for_supplier, 'back')} {text}"  # a reply goes where the mail came from
        subject = "Re: " + header_of(answered, "Subject")
        self._arrive(who, *compose(step, text, answered), subject=subject, answered=answered)

    def _arrive(
        self, who: str, text: str, html: str = "", *, subject: str, answered: OutboundMail | None = None
    ) -> None:
        to = address_of(answered) if answered else "support@desk.test"
        raw = make_mail(
            who,
            text,
            subject=subject,
            to=to,
            message_id=f"<{self._serial}@client.test>",
            answers=answered.message_id if answered else "",
            references=" ".join([*header_of(answered, "References").split(), answered.message_id] if answered else []),
        )
        if html:
            head, _, body = raw.partition(b"\r\n\r\n")
            head = head.replace(b"text/plain; charset=utf-8", b'multipart/alternative; boundary="=b"')
            parts = (("plain", body.decode()), ("html", html))
            raw = (
                head
                + b"\r\n\r\n"
                + b"".join(
                    f"--=b\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n{part}\r\n".encode()
                    for kind, part in parts
                )
            )
            raw += b"--=b--\r\n"
        if who in CUSTOMERS:
            self._written[who] = f"<{self._serial}@client.test>"
        self.road.arrive(raw, recipient=to)


def compose(step: Step, text: str, answered: OutboundMail) -> tuple[str, str]:
    """What a mail program makes of an answer: plain text, and HTML where it writes some."""
    original = text_of(answered)
    marked = "\n".join("> " + line for line in original.splitlines())
    if step.style == "outlook":
        head = f"From: Desk <support@desk.test>\nSent: Monday, November 23, 2026 10:00 AM\nTo: {answered.recipient}\n"
        return f"{text}\n\n{head}Subject: {header_of(answered, 'Subject')}\n\n{original}", ""
    if step.style == "marks":
        return f"{text}\n\n{marked}", ""
    if step.style == "below":
        return f"{step.attribution}\n{marked}\n\n{text}", ""
    if step.style == "bare":
        return f"{text}\n\n{original}", ""
    if step.style == "interleaved":
        lines = marked.splitlines()
        middle = len(lines) // 2
        return "\n".join([step.attribution, *lines[:middle], "", text, "", *lines[middle:]]), ""
    plain = f"{text}\n\n{step.attribution}\n{marked}"
    if step.style == "html":
        html = (
            f"<div dir=ltr>{text}</div><br><div class=gmail_quote><div dir=ltr class=gmail_attr>{step.attribution}"
            f"</div><blockquote class=gmail_quote>{original.replace(chr(10), '<br>')}</blockquote></div>"
        )
        return plain, html
    return plain, ""
