"""Bytes to Message: never raises, never recurses, lists what was wrong (security.md 11.1).

First a preflight over the bytes: header size before anything else, then fields; over a limit nothing is parsed and the
mail says so. Then the parts (structure), the text a person reads (views, plain, html), the attachments (names, tnef).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace

from gateway.analysis import charset, openpgp, smime
from gateway.analysis.calendar_part import is_meant_to_be_read, summarise_calendar, tells_the_time
from gateway.analysis.fields import Header, decode_value, split_fields
from gateway.analysis.html import html_to_text
from gateway.analysis.message_header import find_hint, read_header
from gateway.analysis.mislabelled import correct_types, is_mail_file
from gateway.analysis.names import clean_filename, make_filename
from gateway.analysis.plain import enriched_to_text, tidy_lines, unflow
from gateway.analysis.structure import MAX_DEPTH, Part, Structure, split_parts
from gateway.analysis.tnef import is_tnef, unpack_tnef
from gateway.analysis.uuencode import find_yenc, unpack_uuencoded
from gateway.analysis.views import choose_views
from gateway.model import Attachment, Message

MAX_HEADER = 256 * 1024
MAX_FIELDS = 1000
MAX_FIELD = 100 * 1024
MAX_TEXT = 4 * 1024 * 1024
"""Characters of text kept; the rest is in the original."""
_MAX_DEFECTS = 50
_ORIGINAL = "could not be shown completely, download the original"


def parse(raw: bytes) -> Message:
    """Everything a mail says. Whatever cannot be read is named in ``defects`` and, when something is missing from what
    is shown, in ``unreadable``. Raises nothing but MemoryError, on which a child of the cage is to end."""
    try:
        return _parse(raw)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the last net: a mail must never stop the mailbox
        return Message(
            unreadable=f"The mail could not be read: {_ORIGINAL}.",
            defects=(f"the reader failed: {type(error).__name__}",),
            body_sha256=hashlib.sha256(raw).hexdigest(),
        )


def _parse(raw: bytes) -> Message:
    data, begin, early = _prepare(raw)
    too_much, header_end = _preflight(data, begin)
    if too_much:
        return _unreadable(data, begin, header_end, too_much)
    header = split_fields(data, begin, len(data), MAX_FIELDS + 1)
    if len(header.fields) > MAX_FIELDS:
        return _unreadable(data, begin, header.body_start, f"its header has more than {MAX_FIELDS} fields")
    defects = early
    message = read_header(header, defects, find_hint(data, header))
    if data.find(b"\0", begin, header.body_start) >= 0:
        defects.append("a NUL stands in the header")
    structure = Structure()
    split_parts(data, header, structure)
    _unwrap(structure)
    correct_types(structure.parts)
    content = _read_parts(structure)
    defects += structure.defects + content.defects
    unreadable = content.unreadable
    if structure.truncated:
        unreadable = f"The mail has {structure.truncated}: it {_ORIGINAL}."
    return replace(
        message,
        text=content.text,
        html=content.html,
        text_source=content.source,
        attachments=tuple(content.attachments),
        body_sha256=hashlib.sha256(memoryview(data)[header.body_start :]).hexdigest(),
        defects=tuple(dict.fromkeys(defects))[:_MAX_DEFECTS],
        unreadable=unreadable,
    )


# ------------------------------------------------------------------ before any parser


def _prepare(raw: bytes) -> tuple[bytes, int, list[str]]:
    """Bytes with line ends we can count on, where the header begins, and what was strange before it."""
    data, begin, defects = raw, 0, []
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
        defects.append("lines end in a bare CR")
    if data.startswith(b"\xef\xbb\xbf"):
        begin = 3
        defects.append("a byte order mark stands before the header")
    if data.startswith((b"From ", b">From "), begin):
        newline = data.find(b"\n", begin, begin + 2000)
        begin = newline + 1 if newline >= 0 else begin
        defects.append("an mbox line stands before the header")
    return data, begin, defects


def _preflight(data: bytes, begin: int) -> tuple[str, int]:
    """Which header limit is broken, in words ("" none), and where the header ends. Counts bytes, parses nothing."""
    window = data[begin : begin + MAX_HEADER + 4]
    ends = [at for at in (window.find(b"\n\r\n"), window.find(b"\n\n")) if at >= 0]
    end = min(ends) + 1 if ends else len(window)
    if end > MAX_HEADER and not _stops_early(window):
        return f"its header is larger than {MAX_HEADER // 1024} KiB", begin + end
    block = window[:end]
    if block.count(b"\n") > MAX_FIELDS or len(block) > MAX_FIELD:
        size = fields = 0
        for line in block.split(b"\n"):
            if line[:1] in (b" ", b"\t"):
                size += len(line)
            else:
                size = len(line)
                fields += 1
            if size > MAX_FIELD:
                if fields == 1 or b":" not in line:
                    break  # no header at all: the first line is the body
                return f"a field of its header is larger than {MAX_FIELD // 1024} KiB", begin + end
            if fields > MAX_FIELDS + 1 and b":" in line:
                return f"its header has more than {MAX_FIELDS} fields", begin + end
    return "", begin + end


def _stops_early(window: bytes) -> bool:
    """Whether the "header" ends at a line that is none (a mail without an empty line, or no mail at all)."""
    return split_fields(window, 0, min(len(window), 8192)).body_start < 8192 - 1024


def _unreadable(data: bytes, begin: int, header_end: int, why: str) -> Message:
    """What can be said of a mail whose header is over a limit: the first fields, for a person to recognise it by."""
    header = split_fields(data, begin, min(begin + 16 * 1024, len(data)), 50)
    known = tuple((name, value) for name, value in header.fields if len(value) < 2000)
    message = read_header(Header(known, header.body_start), [])
    return replace(
        message,
        unreadable=f"The mail could not be read: {why}. It {_ORIGINAL}.",
        defects=(why,),
        body_sha256=hashlib.sha256(memoryview(data)[header_end:]).hexdigest(),
    )


# ------------------------------------------------------------------ parts


@dataclass(slots=True)
class _Content:
    text: str = ""
    html: str = ""
    source: str = ""
    unreadable: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)


_OPAQUE = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime"))


def _is_opaque(part: Part) -> bool:
    """The mail inside an S/MIME envelope, and not a signed document, as invoices are in Italy (invoice.xml.p7m)."""
    name = part.filename().lower()
    mislabelled = part.type == "application/octet-stream" and name == "smime.p7m"
    return mislabelled or (part.type in _OPAQUE and (part.parent < 0 or name in ("", "smime.p7m")))


def _unwrap(structure: Structure) -> None:
    """Hang the entity inside an opaque S/MIME signature below the part that carries it."""
    index = 0
    while index < len(structure.parts):
        part = structure.parts[index]
        kind = part.parameters.get("smime-type", "").lower()
        if _is_opaque(part) and not kind.startswith(("enveloped", "authenveloped", "certs", "compressed")):
            inner = smime.unwrap_signed(part.content()) if part.depth < MAX_DEPTH else None
            if inner:
                part.is_container = True
                part.type = "multipart/signed"
                split_parts(inner, split_fields(inner, 0, len(inner), 200), structure, index, part.depth + 1)
                structure.defects.append("an opaque signature was unwrapped, not verified")
        index += 1


def _read_parts(structure: Structure) -> _Content:
    parts = structure.parts
    content = _Content()
    texts: dict[int, str] = {}
    blank = set()
    for index, part in enumerate(parts):
        alternative = part.parent >= 0 and parts[part.parent].type == "multipart/alternative"
        if part.type == "text/plain" and alternative and part.disposition != "attachment":
            texts[index] = _read_text(part, content.defects)
            if not texts[index].strip() or _only_refers_to_html(texts[index]):
                blank.add(index)
    view = choose_views(parts, blank)
    pieces: list[str] = []
    sources: list[str] = []
    for index in view.plain:
        text = texts[index] if index in texts else _read_text(parts[index], content.defects)
        if parts[index].type == "text/html":
            text = html_to_text(text)
        if text.strip():
            pieces.append(text)
            sources.append(_SOURCES.get(parts[index].type, "plain"))
    content.text = pieces[0] if len(pieces) == 1 else "\n\n".join(piece.rstrip("\n") for piece in pieces)
    content.source = sources[0] if sources else ""
    pages = [index for index in view.html if parts[index].type == "text/html"]
    if pages:
        content.html = _read_text(parts[pages[0]], content.defects)
    _read_attachments(parts, view.rest, set(view.plain), content)
    _add_invitation(parts, view.rest, content)
    if content.source == "plain":
        content.text, signature = openpgp.open_clear_signed(content.text)
        if signature:
            data = signature.encode("utf-8")
            content.attachments.append(make_attachment("signature.asc", "application/pgp-signature", data))
        content.text, files = unpack_uuencoded(content.text)
        content.attachments += [make_attachment(clean_filename(n), "application/octet-stream", d) for n, d in files]
        if encoded := find_yenc(content.text):
            content.defects.append(f"{clean_filename(encoded)} stands in the text in yEnc and was not unpacked")
    _note_encryption(parts, content)
    if len(content.text) > MAX_TEXT:
        content.text = content.text[:MAX_TEXT]
        content.unreadable = f"The text is very long: it {_ORIGINAL}."
    return content


_REFERS_TO_HTML = re.compile(
    r"(?:does|do|can) ?n[o'’]t (?:support|display|show|read|view) (?:an? )?html|html[- ](?:capable|compatible|enabled)"
    r"|(?:switch|change) to (?:the )?html|(?:kein|keine) html|html[- ]?(?:fähig|kompatib|compatib)"
    r"|ne (?:supporte|prend|lit|peut)[^.\n]{0,40} html|no (?:soporta|admite|puede)[^.\n]{0,40} html"
    r"|non (?:supporta|visualizza)[^.\n]{0,40} html|ondersteunt geen html",
    re.IGNORECASE,
)


def _only_refers_to_html(text: str) -> bool:
    """ "Your mail program does not show HTML": what stands for the plain text where there is none.

    A person who writes such a sentence loses nothing: the other variant says the same.
    """
    return len(text) <= 400 and _REFERS_TO_HTML.search(text) is not None


def _add_invitation(parts: list[Part], rest: list[int], content: _Content) -> None:
    """When and where, above the words that came with it: clients show it there, and few write it into the text.

    Not where the words tell it, nor above what may be an agent's command; and never among the marks of HTML.
    """
    for index in rest:
        if parts[index].type != "text/calendar" or content.text.lstrip().startswith("#") or content.source == "html":
            continue
        ics = charset.decode(parts[index].content(), parts[index].parameters.get("charset", ""))[0]
        blank = not content.text.strip()
        if not (blank or (is_meant_to_be_read(ics) and not tells_the_time(content.text, ics))):
            continue
        summary = summarise_calendar(tidy_lines(ics))
        if summary:
            content.source = "calendar" if blank else content.source
            content.text = summary if blank else summary.partition("\n\n")[0] + "\n\n" + content.text.lstrip("\n")
            return


_SOURCES = {"text/html": "html", "text/calendar": "calendar"}


def _read_text(part: Part, defects: list[str]) -> str:
    """Text of a leaf: charset undone, lines joined where the sender only wrapped them. HTML comes back as HTML."""
    text, defect = charset.decode(part.content(), part.parameters.get("charset", ""), part.type == "text/html")
    if defect:
        defects.append(defect)
    text = tidy_lines(text)
    if part.type == "text/calendar":
        return summarise_calendar(text)
    if part.type in ("text/enriched", "text/richtext"):
        return enriched_to_text(text)
    if part.type == "text/plain" and part.parameters.get("format", "").lower() == "flowed":
        return unflow(text, part.parameters.get("delsp", "").lower() == "yes")
    return text


def _read_attachments(parts: list[Part], rest: list[int], shown: set[int], content: _Content) -> None:
    listed = sorted({*rest, *(i for i in shown if _also_listed(parts[i]))})
    for index in listed:
        part = parts[index]
        data = part.content()
        name = part.filename()
        kind = "message/rfc822" if is_mail_file(part, name, data) else part.type
        if part.main == "message" and _depth_of_mail(data) > MAX_DEPTH:
            content.unreadable = f"The mail holds mails nested more than {MAX_DEPTH} deep: it {_ORIGINAL}."
        content.attachments.append(_attachment(part, name, kind, data, parts, content.html))
        if is_tnef(kind, name, data):
            _read_tnef(data, content)
    for part in parts:
        start, end = part.epilogue
        if end - start < 10_000_000 and re.search(rb"\w", part.data[start:end]):
            # Some list software and some senders put text where no reader looks.
            data = part.data[start:end].strip(b"\r\n")
            content.attachments.append(make_attachment("after-the-last-part.txt", "text/plain", data))
            content.defects.append("text stands after the last part")


def _also_listed(part: Part) -> bool:
    """Shown and still worth fetching: an invitation, a text type we only guess how to read."""
    return part.type not in ("text/plain", "text/html", "text/enriched", "text/richtext")


def _attachment(part: Part, name: str, kind: str, data: bytes, parts: list[Part], html: str) -> Attachment:
    content_id = part.content_id()
    subject = ""
    if not name.strip() and kind == "message/rfc822":
        subject = decode_value(split_fields(data, 0, min(len(data), 65536), 100).first("subject"))
    related = part.parent >= 0 and parts[part.parent].type == "multipart/related"
    # Outlook and others call a picture an attachment that stands in the middle of their text.
    placed = bool(content_id) and f"cid:{content_id}" in html
    inline = placed or part.disposition == "inline" or (part.disposition == "" and related and bool(content_id))
    clean = clean_filename(name) if name.strip() else make_filename(kind, subject)
    return make_attachment(clean, kind, data, inline, content_id)


def make_attachment(name: str, type_: str, data: bytes, inline: bool = False, content_id: str = "") -> Attachment:
    """An attachment of these bytes under a name that is already clean."""
    return Attachment(
        name=name,
        type=type_,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        inline=inline,
        content_id=content_id,
        content=data,
    )


def _read_tnef(data: bytes, content: _Content) -> None:
    found = unpack_tnef(data)
    if found.defect:
        content.defects.append(found.defect)
    for name, inner in found.files:
        clean = clean_filename(name) if name.strip() else "attachment"
        content.attachments.append(make_attachment(clean, "application/octet-stream", inner))
    if not content.text.strip():
        text = tidy_lines(found.text) if found.text.strip() else html_to_text(found.html)
        if text.strip():
            content.text = text
            content.source = "plain" if found.text.strip() else "html"
    if not content.html and found.html:
        content.html = found.html


def _depth_of_mail(data: bytes) -> int:
    """How deep mails are attached to mails: follows the first header of each, without opening anything."""
    depth, position = 0, 0
    while depth <= MAX_DEPTH:
        header = split_fields(data, position, min(len(data), position + 4096), 100)
        if not header.first("content-type").lower().startswith(b"message/rfc822"):
            break
        depth += 1
        position = header.body_start
    return depth


_ENCRYPTED = "The mail is encrypted: only the recipient's own program can open it."
_PARTLY_ENCRYPTED = "A part of the text is encrypted: only the recipient's own program can open it."


def _note_encryption(parts: list[Part], content: _Content) -> None:
    for part in parts:
        opaque = _is_opaque(part) and not part.is_container
        kind = part.parameters.get("smime-type", "").lower()
        if part.type == "multipart/encrypted" or (opaque and kind in ("", "enveloped-data", "authenveloped-data")):
            content.unreadable = _ENCRYPTED
        elif opaque and kind == "signed-data":
            content.unreadable = f"The signed content could not be taken out of its envelope: it {_ORIGINAL}."
        elif part.type == "application/pgp-encrypted":  # taken out of its multipart/encrypted by a gateway
            content.unreadable = _ENCRYPTED
    if content.text.lstrip().startswith("-----BEGIN PGP MESSAGE-----"):
        content.unreadable = _ENCRYPTED
    elif openpgp.is_encrypted(content.text):
        content.unreadable = _PARTLY_ENCRYPTED
