"""Whatever stands in a stranger's header, no field of ours is made of it: every mail we send, by the real pipeline.

The words are those that have broken writers of mail: line ends in every spelling, encoded words that hide them, quotes
and angle brackets, direction marks, long and empty things.
"""

from __future__ import annotations

import base64
from email import message_from_bytes, policy
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model import OutboundMail
from tests.support.conversation import fresh_road
from tests.support.spine import address_of, make_mail

_ALLOWED = {
    *("date", "from", "to", "cc", "reply-to", "subject", "message-id", "in-reply-to", "references", "auto-submitted"),
    *("x-auto-response-suppress", "x-loop", "list-id", "list-unsubscribe", "thread-topic", "thread-index"),
    *("x-ticket", "x-ticket-event", "x-ticket-state", "x-ticket-owner", "importance", "x-priority"),
    *("mime-version", "content-type", "content-transfer-encoding"),
}
_PIECES = st.sampled_from(
    [
        *(
            "\r\nBcc: evil@evil.test",
            "\n",
            "\r",
            "\0",
            "\x0b",
            "\x0c",
            "\x85",
            "\u2028",
            "\u2029",
            "\u202e",
            "=?",
            "?=",
        ),
        *(
            '"',
            "<evil@evil.test>",
            ",",
            ";",
            ":",
            "\\",
            "a",
            "Ä",
            "🎫",
            "x" * 300,
            " ",
            "\t",
            "[#1]",
            "Bcc: a@evil.test",
        ),
    ]
)
_NASTY = st.lists(_PIECES, max_size=6).map("".join)


def encoded(text: str) -> str:
    """As an encoded word: the only way a line end can stand in a value of a mail that has arrived."""
    return f"=?utf-8?b?{base64.b64encode(text.encode()).decode()}?="


def unfolded(text: str) -> str:
    """As it stands, less what would make another field or none of it on the way in."""
    return text.replace("\r", "").replace("\n", "").replace("\0", "")


def check(mail: OutboundMail) -> None:
    parsed = message_from_bytes(mail.content, policy=policy.compat32)
    names = [name.lower() for name in parsed.keys()]  # noqa: SIM118 - keys() repeats repeated names
    assert set(names) <= _ALLOWED
    assert len(names) == len(set(names))
    head = mail.content.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"\r" not in head.replace(b"\r\n", b"")
    read = message_from_bytes(mail.content, policy=policy.default)
    assert [a.addr_spec for a in read["To"].addresses] == [mail.recipient]
    assert [a.addr_spec for a in read["From"].addresses] == ["support@desk.test"]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=_NASTY, subject=_NASTY, reference=_NASTY, answer=_NASTY, hidden=st.booleans())
def test_no_header_of_ours_is_made_of_a_strangers(
    name: str, subject: str, reference: str, answer: str, hidden: bool, migrated_sqlite: Path
) -> None:
    write = encoded if hidden else unfolded
    with fresh_road(migrated_sqlite) as road:
        shown = encoded(name) if hidden else '"' + unfolded(name).replace("\\", "").replace('"', "") + '"'
        raw = make_mail(
            f"{shown} <jane@customer.test>",
            answer or "hello",
            subject=write(subject),
            message_id="<1@customer.test>",
            references=unfolded(f"<{reference}@customer.test>"),
            extra=f"Thread-Topic: {write(subject)}\r\nReply-To: {write(name)} <evil@evil.test>",
        )
        road.arrive(raw)
        sent = road.outbox()
        offer = next((m for m in sent if m.recipient == "alice@corp.test" and address_of(m)), None)
        if offer is not None:
            reply = make_mail(
                "alice@corp.test",
                f"Thanks.\n\n> {answer}",
                subject=write(subject),
                to=address_of(offer),
                answers=offer.message_id,
                message_id="<2@corp.test>",
            )
            road.arrive(reply, recipient=address_of(offer))
            sent += road.outbox()
        assert sent or not raw.isascii()
        for mail in sent:
            check(mail)
