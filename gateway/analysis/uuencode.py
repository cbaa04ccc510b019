"""Files that old mail programs and scanners write into the text itself, between "begin 644 NAME" and "end" (POSIX)."""

from __future__ import annotations

import binascii
import re

MAX_FILES = 50

_YENC = re.compile(r"^=ybegin (?=[^\n]{0,80}\bsize=\d)[^\n]{0,80}\bname=([^\n]{1,200})$", re.MULTILINE)
_BEGIN = re.compile(r"begin [0-7]{3,4} (\S.{0,200})")


def unpack_uuencoded(text: str) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The text without encoded files, and the files as (name as written, content).

    Only a block that is whole and decodes is taken out; whatever else looks like one is text. Linear: no line of a
    block can begin another.
    """
    if "begin " not in text:
        return text, ()
    lines = text.split("\n")
    kept: list[str] = []
    files: list[tuple[str, bytes]] = []
    at = 0
    while at < len(lines):
        found = _BEGIN.fullmatch(lines[at].rstrip()) if len(files) < MAX_FILES else None
        end, data = _read_block(lines, at + 1) if found else (0, b"")
        if found and data:
            files.append((found[1], data))
            at = end
        else:
            kept.append(lines[at])
            at += 1
    return ("\n".join(kept), tuple(files)) if files else (text, ())


def _read_block(lines: list[str], at: int) -> tuple[int, bytes]:
    """The line behind "end" and the bytes; (0, b"") when this is no such block."""
    data = bytearray()
    while at < len(lines):
        line = lines[at].rstrip("\r")
        if line.rstrip() == "end":
            return at + 1, bytes(data)
        if line.strip(" `"):
            decoded = _read_line(line)
            if decoded is None:
                break
            data += decoded
        at += 1
    return 0, b""


def _read_line(line: str) -> bytes | None:
    count = (ord(line[0]) - 32) & 63
    needed = 1 + (count + 2) // 3 * 4
    # Blanks at the end of a line may have been lost on the way, and some write a check character more.
    if not count or len(line) > needed + 2 or not all(" " <= character <= "`" for character in line):
        return None
    try:
        return binascii.a2b_uu(line[:needed].ljust(needed).encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        return None


def find_yenc(text: str) -> str:
    """The name of the first file that news programs wrote into the text in yEnc, which is not unpacked; "" if none."""
    found = _YENC.search(text) if "=ybegin " in text and "\n=yend " in text else None
    return found[1].strip() if found else ""
