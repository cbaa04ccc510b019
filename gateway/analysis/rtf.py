"""The words of a rich text body (RTF 1.9), as winmail.dat carries it: one pass, formatting dropped.

HTML wrapped in RTF (MS-OXRTFEX) comes out right as well: its tags stand in ignorable groups, its words do not.
"""

from __future__ import annotations

import re

from gateway.analysis import charset

MAX_RTF = 2 * 1024 * 1024

# What every compressed body may refer back to (MS-OXRTFCP section 2.1.3.1.1).
_PRELOADED = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    b"SymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u"
    b"\\tab\\tx"
)
_TOKEN = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
_BREAKS = {"par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": "\t", "cell": "\t"}
_SIGNS = {"emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”"}
_SILENT = frozenset(
    (
        "fonttbl",
        "colortbl",
        "stylesheet",
        "info",
        "pict",
        "object",
        "header",
        "footer",
        "listtable",
        "themedata",
        "mmathPr",
    )
)


def decompress_rtf(data: bytes) -> bytes:
    """The RTF inside a PidTagRtfCompressed value (MS-OXRTFCP), at most 2 MiB of it; b"" for anything else."""
    if data[8:12] == b"MELA":
        return data[16 : 16 + MAX_RTF]
    if data[8:12] != b"LZFu":
        return b""
    limit = min(int.from_bytes(data[4:8], "little"), MAX_RTF)
    window = bytearray(_PRELOADED.ljust(4096, b"\0"))
    write = len(_PRELOADED)
    out = bytearray()
    position = 16
    while position < len(data) and len(out) < limit:
        control = data[position]
        position += 1
        for bit in range(8):
            if control >> bit & 1:
                if position + 2 > len(data):
                    return bytes(out)
                reference = data[position] << 8 | data[position + 1]
                position += 2
                start = reference >> 4
                if start == write:  # a reference to the place of writing is the end
                    return bytes(out[:limit])
                run = [(start + step) % 4096 for step in range((reference & 15) + 2)]
            else:
                if position >= len(data):
                    return bytes(out)
                run = [-1]
            for place in run:
                byte = data[position] if place < 0 else window[place]
                out.append(byte)
                window[write] = byte
                write = (write + 1) % 4096
            position += run == [-1]
    return bytes(out[:limit])


def rtf_to_text(data: bytes) -> str:
    """The text of an RTF document, LF line ends; "" for bytes that are none. Never raises."""
    if not data.startswith(b"{\\rtf"):
        return ""
    source = data[:MAX_RTF].decode("latin-1")
    page = re.search(r"\\ansicpg(\d{3,5})", source[:400])
    label = f"cp{page[1]}" if page else "windows-1252"
    out: list[str] = []
    foreign = bytearray()  # \'xx bytes in the document's code page, decoded together: a character may take two
    groups: list[tuple[bool, int]] = []
    silent, width, skip, wrapped = False, 1, 0, False

    def say(text: str) -> None:
        if foreign:
            out.append(charset.decode(bytes(foreign), label)[0])
            foreign.clear()
        out.append(text)

    for found in _TOKEN.finditer(source):
        word, number, code, symbol, brace, text = found.groups()
        if brace == "{":
            groups.append((silent, width))
        elif brace == "}":
            if groups:
                silent, width = groups.pop()
        elif word == "htmlrtf":  # what stands between is for RTF readers, the same words stand outside
            wrapped = number != "0"
        elif word in _SILENT or symbol == "*":
            silent = True
        elif silent or wrapped:
            continue
        elif word == "uc":
            width = int(number or 1)
        elif word == "u" and number:
            value = int(number) % 65536
            say(chr(value) if not 0xD800 <= value < 0xE000 else "\ufffd")
            skip = width
        elif word in _BREAKS or word in _SIGNS:
            say(_BREAKS.get(word, "") or _SIGNS.get(word, ""))
        elif code:
            if skip:
                skip -= 1
            else:
                foreign.append(int(code, 16))
        elif symbol:
            say({"~": " ", "_": "-", "\n": "\n", "\r": "\n"}.get(symbol, symbol if symbol in "\\{}" else ""))
        elif text:
            say(text[skip:] if skip else text)
            skip = 0
    say("")
    return re.sub(r"\n{3,}", "\n\n", "".join(out)).replace("\0", "").strip()
