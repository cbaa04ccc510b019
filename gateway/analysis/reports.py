"""Delivery reports (bounces) in every shape the world sends them."""

from __future__ import annotations

from gateway.model import DeliveryReport, Message


def read_reports(raw: bytes, message: Message) -> tuple[DeliveryReport, ...]:
    """One report per recipient named in the mail; empty when it reports nothing."""
    return ()
