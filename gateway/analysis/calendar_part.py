"""What an invitation says, in a few lines (RFC 5545, 5546): enough to read, never enough to answer it."""

from __future__ import annotations

import re

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
_ASKING = frozenset(("REQUEST", "CANCEL", "REPLY", "COUNTER", "DECLINECOUNTER", "ADD"))

_MOMENT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})[0-9]{2}(Z?)")
_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_DURATION = re.compile(r"P(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,4})M)?(?:\d{1,4}S)?)?")


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
        lines.append(f"When: {_span(seen)}")
    if "RRULE" in seen:
        often = re.search(r"FREQ=([A-Z]+)", seen["RRULE"][1].upper())
        lines.append(f"Repeats: {often[1].lower() if often else seen['RRULE'][1][:60]}")
    if "LOCATION" in seen and seen["LOCATION"][1].strip():
        lines.append(f"Where: {_unescape(seen['LOCATION'][1])}")
    if "ORGANIZER" in seen:
        lines.append(f"Organiser: {_person(*seen['ORGANIZER'])}")
    if method in ("REPLY", "COUNTER"):
        lines.extend(answers)
    # An answer repeats the description of the event; what its author says stands in the comment.
    names = ("COMMENT", "DESCRIPTION") if method in ("REPLY", "COUNTER", "CANCEL") else ("DESCRIPTION", "COMMENT")
    words = (_unescape(seen[name][1]).strip() for name in names if name in seen)
    description = next((text for text in words if text), "")
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


def is_meant_to_be_read(ics: str) -> bool:
    """Whether somebody is invited, told off or answered (RFC 5546), and not only handed a file of dates."""
    found = re.search(r"^METHOD[^:\n]{0,100}:[ \t]*([A-Za-z]+)", ics[:_LIMIT], re.IGNORECASE | re.MULTILINE)
    return found is not None and found[1].upper() in _ASKING


def tells_the_time(text: str, ics: str) -> bool:
    """Whether the words around an event say when it begins: the hour and minute, in anybody's way of writing them."""
    event = ics[ics.find("BEGIN:VEVENT") : _LIMIT] if "BEGIN:VEVENT" in ics else ics[:_LIMIT]
    found = re.search(r"^DTSTART[^\n]{0,200}?T([0-9]{2})([0-9]{2})", event, re.MULTILINE)
    return found is None or re.search(rf"\b[0-9]{{1,2}} ?[:.h] ?{found[2]}(?![0-9])", text) is not None


def _span(seen: dict[str, tuple[str, str]]) -> str:
    """Begin and end, both with their zone; the end of whole days is not part of them (RFC 5545 section 3.6.1)."""
    begin = _moment(*seen["DTSTART"])
    if "DTEND" not in seen:
        return ", ".join((begin, *_duration(seen.get("DURATION", ("", ""))[1])))
    first, last = (_DAY.fullmatch(seen[name][1].strip()) for name in ("DTSTART", "DTEND"))
    if first and last and int(last[0]) - int(first[0]) <= 1:  # a day; two of them where a month ends are told as such
        return begin
    return f"{begin} to {_moment(*seen['DTEND'])}"


def _duration(value: str) -> tuple[str, ...]:
    found = _DURATION.fullmatch(value.strip())
    told = zip(found.groups(), ("weeks", "days", "h", "min"), strict=True) if found else ()
    units = " ".join(f"{int(count)} {unit}" for count, unit in told if count)
    return (units,) if units else ()


def _moment(parameters: str, value: str) -> str:
    """2026-11-24 09:30 with its zone as written; a time we cannot read is shown as it stands.

    Without strptime: it loads a module when it is first called, and in the cage nothing can be opened any more.
    """
    value = value.strip()
    found = _MOMENT.fullmatch(value)
    if found is None:
        day = _DAY.fullmatch(value)
        return "-".join(day.groups()) if day else value[:60]
    shown = f"{found[1]}-{found[2]}-{found[3]} {found[4]}:{found[5]}"
    if found[6]:
        return f"{shown} UTC"
    zone = re.search(r'TZID="?([^;:"]+)', parameters, re.IGNORECASE)
    return f"{shown} ({zone[1]})" if zone else shown
