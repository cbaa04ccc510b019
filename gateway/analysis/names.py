"""Attachment names that cannot do harm (security.md 12.2)."""

from __future__ import annotations

import re
import unicodedata

_LIMIT = 150
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\.|$)", re.IGNORECASE)
_SEPARATOR = re.compile(r"[/\\]")


def clean_filename(name: str) -> str:
    """The last path component, NFKC, without ``/ \\ :``, controls and bidirectional marks; at most 150 bytes of UTF-8.

    Never empty: ``attachment`` stands for a name of which nothing is left. Windows device names get a ``_`` in front.
    """
    # NFKC first: a fullwidth solidus becomes a slash only here, and must be seen as one.
    name = unicodedata.normalize("NFKC", name[-4096:])
    parts = [part for part in _SEPARATOR.split(name) if part.strip(" .\0")]
    name = parts[-1] if parts else ""
    name = "".join(c for c in name if c != ":" and unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    name = " ".join(name.split()).lstrip(". ").rstrip(". ")
    if _DEVICE.match(name):
        name = "_" + name
    return _shorten(name) or "attachment"


def _shorten(name: str) -> str:
    """At most 150 bytes, the extension kept, no character cut in half."""
    if len(name.encode("utf-8", "replace")) <= _LIMIT:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > 12 or not stem:
        stem, extension = name, ""
    tail = f".{extension}" if extension else ""
    room = _LIMIT - len(tail.encode("utf-8", "replace"))
    return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore").rstrip(". ") + tail


_EXTENSIONS = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/directory": ".vcf",
    "text/rfc822-headers": ".txt",
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "message/feedback-report": ".txt",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/pjpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/json": ".json",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/msword": ".doc",
    "application/pgp-signature": ".asc",
    "application/pgp-keys": ".asc",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "application/x-pkcs7-mime": ".p7m",
    "application/ms-tnef": ".dat",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "video/mp4": ".mp4",
}


def make_filename(type_: str, subject: str = "") -> str:
    """A name for a part that has none: the kind of thing with an extension, or the subject of an attached mail."""
    extension = _EXTENSIONS.get(type_, "")
    if extension == ".eml" and subject.strip():
        return clean_filename(subject.replace("/", "-").replace("\\", "-")[:80] + ".eml")
    main = type_.partition("/")[0]
    stem = {"image": "image", "message": "message", "text": "text", "audio": "audio", "video": "video"}.get(main)
    return f"{stem or 'attachment'}{extension}"
