"""The original inside a forwarded mail (mail.md 11)."""

from __future__ import annotations

from gateway.model import Body, Forwarded, Message


def find_forward(message: Message, body: Body) -> Forwarded | None:
    """The forwarded original, or None."""
    return None
