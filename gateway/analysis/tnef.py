"""winmail.dat taken apart (the door to tnefparse): its files and its text, never more than it weighs."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from tnefparse import TNEF
from tnefparse.tnef import TNEFAttachment

from gateway.analysis import charset
from gateway.analysis.rtf import decompress_rtf, rtf_to_text

MAX_FILES = 200
_MAX_TEXT = 2 * 1024 * 1024

logging.getLogger("tnefparse").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Files as (name as written, content), plain text and HTML of the message ("" without)."""

    files: tuple[tuple[str, bytes], ...] = ()
    text: str = ""
    html: str = ""
    defect: str = ""


def is_tnef(type_: str, filename: str, content: bytes) -> bool:
    """Whether a part is a TNEF container: by its type or name, and by its signature in any case."""
    named = type_ in ("application/ms-tnef", "application/vnd.ms-tnef") or filename.lower().endswith(
        ("winmail.dat", "win.dat", ".tnef")
    )
    return named and content[:4] == b"\x78\x9f\x3e\x22"


def unpack_tnef(content: bytes) -> Unpacked:
    """What is inside. Never raises: a container that cannot be read gives a defect and stays an attachment."""
    try:
        found = TNEF(content, do_checksum=False)
        files = []
        for attachment in found.attachments[:MAX_FILES]:
            files.append((_name(attachment), _bytes(attachment.data)))
        codepage = getattr(found, "codepage", None) or ""
        text = _text(found.body, codepage)
        html = _text(found.htmlbody, codepage)
        if not text and not html and (rtf := decompress_rtf(_bytes(found.rtfbody))):
            files.append(("body.rtf", rtf))
            text = rtf_to_text(rtf)
    except Exception as error:  # noqa: BLE001 - a stranger's container, a stranger's parser
        return Unpacked(defect=f"winmail.dat could not be read ({type(error).__name__})")
    return Unpacked(tuple(files), text, html)


def _name(attachment: TNEFAttachment) -> str:
    try:
        name = attachment.long_filename() or attachment.name
    except UnicodeDecodeError:  # a short name in the sender's code page
        name = attachment._name
    if isinstance(name, bytes):
        name = charset.decode(name, "")[0]
    return str(name or "").rstrip("\0")


def _bytes(value: object) -> bytes:
    if isinstance(value, list):
        return b"".join(piece for piece in value if isinstance(piece, bytes))
    return bytes(value) if isinstance(value, (bytes, bytearray)) else b""


def _text(value: object, codepage: object) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, bytes):
        value = charset.decode(value[:_MAX_TEXT].rstrip(b"\0"), str(codepage))[0]
    return value[:_MAX_TEXT].rstrip("\0") if isinstance(value, str) else ""
