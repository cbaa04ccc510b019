"""One mail's bytes -> Findings: every reader of this room, in order. Pure; runs inside the cage.

A reader that fails unexpectedly costs its own part of the findings and leaves a defect, never the mail: whatever
could not be read is said, and nothing is invented in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

from gateway.analysis.authenticate import authenticate
from gateway.analysis.forwards import find_forward
from gateway.analysis.origin import find_origin
from gateway.analysis.parse import parse
from gateway.analysis.quotes import split_body
from gateway.analysis.reading_rules import Rules, original
from gateway.analysis.reports import read_reports
from gateway.analysis.return_date import find_return
from gateway.model import (
    AuthenticationResults,
    Body,
    DeliveryReport,
    Envelope,
    Findings,
    Forwarded,
    Message,
    Origin,
    Records,
    Said,
)

T = TypeVar("T")

_REPORTING = {Origin.DELIVERY_REPORT, Origin.FEEDBACK_REPORT}


def examine(raw: bytes, envelope: Envelope, records: Records, rules: Rules) -> Findings:
    """Everything one mail says. ``Findings.needs`` lists DNS records that authentication still lacks.

    Raises nothing but MemoryError: a mail that exhausts the child is to end it, not to be half read.
    """
    # CPU time of this reading, for the operator; no rule looks at it.
    began = time.perf_counter()
    defects: list[str] = []

    def attempt(what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a hostile mail must not decide what else is read
            defects.append(f"{what} could not be read: {type(error).__name__}")
            return otherwise

    message = attempt("message", lambda: parse(raw), Message(unreadable="the mail could not be read"))
    if message.unreadable and not message.text and not message.attachments:
        message = replace(message, attachments=(original(raw),))  # nothing is shown: then all of it is attached
    origin = attempt(
        "origin", lambda: find_origin(message, envelope, rules.own_addresses, rules.id_domain), Origin.PERSON
    )
    away = origin is Origin.AUTO_REPLY
    body = attempt("text", lambda: split_body(message), Body(new=message.text, source="none"))
    no_forward: Forwarded | None = None
    forwarded = attempt("forward", lambda: find_forward(message, body), no_forward)
    no_reports: tuple[DeliveryReport, ...] = ()
    reports = attempt("report", lambda: read_reports(raw, message), no_reports) if origin in _REPORTING else no_reports
    no_day: date | None = None
    away_until = attempt("return date", lambda: _find_return(message, body, envelope), no_day) if away else no_day
    nothing_needed: tuple[str, ...] = ()
    unproven = (AuthenticationResults(why="the signatures could not be checked"), nothing_needed)
    authentication, needs = attempt(
        "authentication",
        lambda: authenticate(_wire_form(raw, envelope), envelope, records, rules.authentication),
        unproven,
    )
    if defects:
        message = replace(message, defects=(*message.defects, *defects))
    return Findings(
        message=message,
        origin=origin,
        body=body,
        forwarded=forwarded,
        reports=reports,
        authentication=authentication,
        away_until=away_until,
        needs=tuple(needs),
        elapsed_ms=round((time.perf_counter() - began) * 1000, 3),
    )


def _find_return(message: Message, body: Body, envelope: Envelope) -> date | None:
    """Of the notice's own words, not of those it quotes."""
    text = body.new if body.new.strip() else message.text
    return find_return(message.subject, text, (message.date or envelope.received_at).date())


def examine_authentication(raw: bytes, envelope: Envelope, records: Records, rules: Rules) -> Findings:
    """Only the authentication, once more, with more records: the rest of the findings does not depend on DNS."""
    began = time.perf_counter()
    try:
        authentication, needs = authenticate(_wire_form(raw, envelope), envelope, records, rules.authentication)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001
        authentication, needs = (
            AuthenticationResults(why=f"the signatures could not be checked: {type(error).__name__}"),
            (),
        )
    elapsed = round((time.perf_counter() - began) * 1000, 3)
    return Findings(authentication=authentication, needs=tuple(needs), elapsed_ms=elapsed)


def compare(message: Message, known: Sequence[Said]) -> Findings:
    """Only the text, taken apart once more beside what had been said in its conversation (the rest is known)."""
    began = time.perf_counter()
    try:
        body = split_body(message, known)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  what was read before stands
        body = Body(source="unreadable")
    return Findings(body=body, elapsed_ms=round((time.perf_counter() - began) * 1000, 3))


def unpack(raw: bytes) -> Findings:
    """Only the files of a mail that was read before; the mail itself when they cannot be told."""
    began = time.perf_counter()
    try:
        files = parse(raw).attachments
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  whoever wants the files gets the mail they are in
        files = (original(raw),)
    return Findings(message=Message(attachments=files), elapsed_ms=round((time.perf_counter() - began) * 1000, 3))


def _wire_form(raw: bytes, envelope: Envelope) -> bytes:
    """A file an operator shows us may have Unix line ends throughout: as mail it had CRLF. Mail on the wire is not
    touched, there a bare LF is what it is (security.md 3)."""
    if envelope.source in ("examine", "explain") and b"\r" not in raw:
        return raw.replace(b"\n", b"\r\n")
    return raw
