"""What an invitation says, in a few lines (RFC 5545, 5546): enough to read, never enough to answer it."""

from __future__ import annotations

import re
from datetime import datetime

_LIMIT = 200_000
_METHODS = {
    "REQUEST": "Invitation",
    "REPLY": "Answer to an invitation",
    "CANCEL": "Cancelled",
    "PUBLISH": "Event",
    "COUNTER": "Counter-proposal",
    "DECLINECOUNTER": "Counter-proposal declined",
    "ADD": "Further dates",
    "REFRESH": "Request for the current version of an event",
}
_ANSWERS = {"ACCEPTED": "accepted", "DECLINED": "declined", "TENTATIVE": "tentatively accepted"}


def summarise_calendar(ics: str) -> str:
    """Method, summary, time, place, organiser and description of the first event; "" when there is none."""
    text = re.sub(r"\r?\n[ \t]", "", ics[:_LIMIT])
    method = ""
    inside: list[str] = []
    seen: dict[str, tuple[str, str]] = {}
    answers: list[str] = []
    for line in text.splitlines():
        name, parameters, value = _split_line(line)
        if name == "BEGIN":
            inside.append(value.upper())
        elif name == "END":
            if inside and inside.pop() in ("VEVENT", "VTODO", "VJOURNAL"):
                break
        elif name == "METHOD" and not method:
            method = value.strip().upper()
        elif inside and inside[-1] in ("VEVENT", "VTODO", "VJOURNAL"):
            if name == "ATTENDEE" and len(answers) < 20:
                answer = re.search(r"PARTSTAT=([A-Z\-]+)", parameters.upper())
                if answer and answer[1] in _ANSWERS:
                    answers.append(f"{_person(parameters, value)} {_ANSWERS[answer[1]]}")
            else:
                seen.setdefault(name, (parameters, value))
    if not seen:
        return ""
    lines = [f"{_METHODS.get(method, 'Event')}: {_unescape(seen.get('SUMMARY', ('', ''))[1]) or '(no title)'}"]
    if "DTSTART" in seen:
        when = _moment(*seen["DTSTART"])
        until = _moment(*seen["DTEND"]) if "DTEND" in seen else ""
        lines.append(f"When: {when} to {until}" if until else f"When: {when}")
    if "LOCATION" in seen and seen["LOCATION"][1].strip():
        lines.append(f"Where: {_unescape(seen['LOCATION'][1])}")
    if "ORGANIZER" in seen:
        lines.append(f"Organiser: {_person(*seen['ORGANIZER'])}")
    if method in ("REPLY", "COUNTER"):
        lines.extend(answers)
    description = _unescape(seen.get("DESCRIPTION", seen.get("COMMENT", ("", "")))[1]).strip()
    return "\n".join(lines) + (f"\n\n{description}" if description else "")


def _split_line(line: str) -> tuple[str, str, str]:
    quoted = False
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            name, _, parameters = line[:position].partition(";")
            return name.strip().upper(), parameters, line[position + 1 :]
        elif position > 2000:
            break
    return "", "", ""


def _unescape(value: str) -> str:
    return re.sub(r"\\([nN;,\\])", lambda found: "\n" if found[1] in "nN" else found[1], value)


def _person(parameters: str, value: str) -> str:
    name = re.search(r'CN=(?:"([^"]*)"|([^;:]*))', parameters, re.IGNORECASE)
    address = re.sub(r"^mailto:", "", value.strip(), flags=re.IGNORECASE)
    shown = (name[1] or name[2] or "").strip() if name else ""
    return f"{shown} <{address}>" if shown and shown != address else address


def _moment(parameters: str, value: str) -> str:
    """2026-11-24 09:30 with its zone as written; a time we cannot read is shown as it stands."""
    value = value.strip()
    zone = re.search(r'TZID="?([^;:"]+)', parameters, re.IGNORECASE)
    for pattern, shape in (("%Y%m%dT%H%M%SZ", "%Y-%m-%d %H:%M UTC"), ("%Y%m%dT%H%M%S", "%Y-%m-%d %H:%M")):
        try:
            shown = datetime.strptime(value, pattern).strftime(shape)
        except ValueError:
            continue
        return f"{shown} ({zone[1]})" if zone and not value.endswith("Z") else shown
    day = re.fullmatch(r"([0-9]{4})([0-9]{2})([0-9]{2})", value)
    return "-".join(day.groups()) if day else value[:60]
