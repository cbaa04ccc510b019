"""Bytes of a mail to text: labels as browsers read them, the old mail charsets they dropped, detection in doubt.

Only text encodings on the list below are ever used: ``charset=`` may name ``zlib_codec`` or ``punycode``, which
decompress or cost quadratic time (libraries.md E2). All of them are loaded at import, because the cage has no file
descriptor left to load one later (E1).
"""

from __future__ import annotations

import codecs
import re

import cchardet
import webencodings

_SAMPLE = 64 * 1024
_SURE = 0.5

_MAIL = {
    # What mail still carries and the WHATWG list lacks or maps to "replacement".
    "utf-7": "utf-7",
    "utf7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "x-unicode-2-0-utf-7": "utf-7",
    "hz": "hz",
    "hz-gb-2312": "hz",
    "iso-2022-kr": "iso2022_kr",
    "csiso2022kr": "iso2022_kr",
    "iso-2022-cn": "gb18030",
    "iso-2022-jp": "iso2022_jp_ext",
    "csiso2022jp": "iso2022_jp_ext",
    "iso-2022-jp-1": "iso2022_jp_ext",
    "iso-2022-jp-2": "iso2022_jp_2",
    "iso-2022-jp-3": "iso2022_jp_2004",
    "iso-2022-jp-2004": "iso2022_jp_2004",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "euc-jisx0213": "euc_jisx0213",
    "johab": "johab",
    "utf-32": "utf-32",
    "utf-32le": "utf-32-le",
    "utf-32be": "utf-32-be",
    "viscii": "cp1258",
    "tis-620": "cp874",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb-2312": "gb18030",
    "big5-hkscs": "big5hkscs",
    "big5": "big5hkscs",
    "cp1257-ee": "cp1257",
    "ebcdic-cp-us": "cp037",
    "hp-roman8": "hp_roman8",
    "roman8": "hp_roman8",
    "koi8-t": "koi8_t",
    "kz-1048": "kz1048",
    "ptcp154": "ptcp154",
    "mac-centraleurope": "mac_latin2",
    "x-mac-ce": "mac_latin2",
    "x-mac-greek": "mac_greek",
    "x-mac-turkish": "mac_turkish",
    "x-mac-icelandic": "mac_iceland",
}
_PAGES = (
    *(37, 273, 424, 437, 500, 720, 737, 775, 850, 852, 855, 856, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869),
    *(874, 875, 932, 949, 950, 1006, 1026, 1125, 1140, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258),
)
_ASCII = frozenset(("us-ascii", "ascii", "ansi_x3.4-1968", "ansi_x3.4-1986", "iso646-us", "us", "", "7bit", "8bit"))
_LATIN = frozenset(("cp1252", "windows-1252", "iso8859-1", "latin-1"))
_ESCAPES = re.compile(rb"\x1b[$(][@BIJ()DOQ]")

_CODECS: dict[str, codecs.CodecInfo] = {}


def _load() -> None:
    names = {**_MAIL, **{f"cp{page:03}": f"cp{page:03}" for page in _PAGES}}
    for label, codec in names.items():
        try:
            _CODECS[label] = codecs.lookup(codec)
        except LookupError:  # a Python built without this codec
            continue
    for label in set(webencodings.LABELS):
        webencodings.lookup(label)  # loads the codec it stands for
    for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "ascii"):
        codecs.lookup(name)
    cchardet.detect("Grüße".encode())


_load()


def find_codec(label: str) -> codecs.CodecInfo | None:
    """The codec a charset label means, None for one that is unknown or no text encoding."""
    # RFC 2231 section 5 allows a language after the charset.
    written = label.strip().strip("\"'").lower().partition("*")[0][:40]
    label = written.replace("_", "-")
    found = _CODECS.get(label)
    if found is not None:
        return found
    page = re.fullmatch(r"(?:x-)?(?:cp|ibm|windows|win|ms|dos)-?0*([0-9]{3,4})", label)
    if page and (found := _CODECS.get(f"cp{page[1].zfill(3)}")):
        return found
    if not label.isascii():
        return None
    encoding = webencodings.lookup(written) or webencodings.lookup(label)  # ks_c_5601-1987 is listed so and not so
    if encoding is None and (iso := re.fullmatch(r"(?:x-)?iso-?8859-?([0-9]{1,2})(?:-[a-z]+)?", label)):
        encoding = webencodings.lookup(f"iso-8859-{int(iso[1])}")
    if encoding is None or encoding.name == "replacement":
        return None
    info: codecs.CodecInfo = encoding.codec_info
    return info


def detect(data: bytes, html: bool = False) -> str:
    """The most likely charset of undeclared text: a label :func:`find_codec` knows.

    ``html``: believe a ``<meta charset>`` among the first 4 KiB when it fits the bytes.
    """
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8"
    # Two bytes alone are no proof: Western text in UTF-16 has a NUL in every second place.
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and data[:400].count(0) * 4 >= len(data[:400]):
        return "utf-16le" if data.startswith(codecs.BOM_UTF16_LE) else "utf-16be"
    if _ESCAPES.search(data[:_SAMPLE]):
        return "iso-2022-jp"
    if _fits(data, "utf-8"):
        return "utf-8"
    if html:
        meta = re.search(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([A-Za-z0-9_:.\-]{2,40})", data[:4096], re.IGNORECASE)
        if meta and _fits(data, meta[1].decode("ascii")):
            return meta[1].decode("ascii")
    if not data.isascii():
        sample = data[:_SAMPLE]
        guess = cchardet.detect(sample)
        name, sure = guess.get("encoding"), guess.get("confidence") or 0.0
        if name == "KOI8-R":  # the same letters, and the Ukrainian ones where the other has parts of frames
            name = "koi8-u"
        if name and name.startswith("UTF-"):  # a byte order mark in front of something else
            name = None
        if name and sure >= _SURE and find_codec(name) and _fits(sample, name) and not _looks_latin(sample, name):
            return str(name)
    return "windows-1252"


_WIDE = ("GB", "BIG5", "EUC", "SHIFT", "UHC", "JOHAB", "CP949", "HZ", "ISO-2022")
_LONE = re.compile(rb"(?<=[A-Za-z ])[\xc0-\xff](?=[A-Za-z .,;!?])")


def _looks_latin(sample: bytes, name: str) -> bool:
    """Whether a guess of a double-byte charset overlooks that the bytes are accents, alone among letters."""
    if not name.upper().startswith(_WIDE):
        return False
    high = sum(1 for byte in sample if byte > 127)
    return high * 8 < len(sample) and len(_LONE.findall(sample)) * 4 > high * 3


def _fits(data: bytes, label: str) -> bool:
    codec = find_codec(label)
    if codec is None:
        return False
    try:
        codec.decode(data, "strict")
    except (UnicodeError, OSError, OverflowError):
        # A sample may end inside a character: that alone speaks against no charset.
        if len(data) != _SAMPLE:
            return False
        try:
            codec.decode(data[:-4], "strict")
        except (UnicodeError, OSError, OverflowError):
            return False
    return True


def decode(data: bytes, label: str = "", html: bool = False) -> tuple[str, str]:
    """Text of ``data`` and a defect in words ("" when the declared charset fitted).

    The declaration is believed unless it is unknown or does not fit: then the bytes themselves are asked. Never raises;
    what cannot be read becomes U+FFFD. No NUL and no lone surrogate comes out: neither can be stored.
    """
    declared = label.strip().strip("\"'").lower()
    plain = declared in _ASCII
    if data.isascii() and (plain or declared in ("utf-8", "iso-8859-1", "windows-1252", "iso-8859-15")):
        if plain and b"\x1b" in data and _ESCAPES.search(data[:_SAMPLE]):
            return _clean(data, "iso-2022-jp"), "no charset was declared for Japanese text"
        text = data.decode("ascii")
        return (text.replace("\0", "\ufffd") if "\0" in text else text), ""
    codec = find_codec(declared) if not plain else None
    if codec is None:
        found = detect(data, html)
        return _clean(data, found), "" if plain else f"unknown charset {declared[:40]!r}, read as {found}"
    if codec.name in _LATIN:
        # Every byte fits these: UTF-8 under a Latin label is common, Latin text that is valid UTF-8 does not occur.
        if _fits(data, "utf-8"):
            return _clean(data, "utf-8"), f"declared {declared[:40]}, is utf-8"
        other = _not_latin(data, html)
        if other:
            return _clean(data, other), f"declared {declared[:40]}, is {other}"
        return _clean(data, declared), ""
    if data.startswith(codecs.BOM_UTF8) and _fits(data, "utf-8"):
        return _clean(data, "utf-8"), ""
    try:
        text = codec.decode(data, "strict")[0]
    except (UnicodeError, OSError, OverflowError):
        if codec.name == "utf-8" and (_mostly_fits(data, declared) or _fits_by_lines(data)):
            # No other text looks like it: a character was cut, or list software put its own footer below.
            return _storable(_read_mixed(data)), f"bytes that are not {declared[:40]}"
        if codec.name.startswith("iso2022_jp") and data.isascii():
            return _storable(_read_cp50221(data)), ""
        found = detect(data, html)
        if found not in ("windows-1252", declared) or not _mostly_fits(data, declared):
            return _clean(data, found), f"not {declared[:40]}, read as {found}"
        return _clean(data, declared), f"bytes that are not {declared[:40]}"
    return _storable(text), ""


_HIGH_RUN = re.compile(rb"[\x80-\xff]{4,}")


def _not_latin(data: bytes, html: bool) -> str:
    """The charset of words that were called Latin and cannot be: Russian, Greek, Japanese under a default label.

    In Latin text accents stand between plain letters. Where most letters have the high bit and stand in whole words of
    them, the bytes are asked. "" when they give no sure answer.
    """
    sample = data[:_SAMPLE]
    if sample.isascii():
        return ""
    high = sum(map(len, _HIGH_RUN.findall(sample)))
    low = sum(map(len, re.findall(rb"[A-Za-z]+", re.sub(rb"<[^<>]{0,2000}>", b"", sample) if html else sample)))
    if high < 12 or high <= low or len({byte for byte in sample if byte > 127}) < 6:  # … or it is a drawn line
        return ""
    found = detect(data, html)
    codec = find_codec(found)
    return "" if codec is None or codec.name in (*_LATIN, "iso8859-2", "cp1250", "cp1254", "cp1257") else found


_JIS_STRETCH = re.compile(rb"\x1b(\$[@B]|\([BJI])([^\x1b]*)|([^\x1b]+)|\x1b")


def _read_cp50221(data: bytes) -> str:
    """ISO-2022-JP as Windows and phones in Japan write it: with the circled numbers and company signs of NEC's rows,
    which no codec here has. Two-byte stretches are turned into Shift_JIS, whose Windows form has them."""
    out: list[bytes] = []
    for escape, text, plain in _JIS_STRETCH.findall(data):
        if escape.startswith(b"$"):
            out.append(_jis_to_shift_jis(text))
        elif escape == b"(I":
            out.append(bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in text))
        else:
            out.append(text or plain)
    return b"".join(out).decode("cp932", "replace")


def _jis_to_shift_jis(text: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(text):
        lead, trail = text[at], text[at + 1] if at + 1 < len(text) else 0
        if not (0x21 <= lead <= 0x7E and 0x21 <= trail <= 0x7E):  # a line end inside the stretch
            out.append(lead)
            at += 1
            continue
        first = (lead - 0x21 >> 1) + 0x81
        second = trail + 0x7E if lead % 2 == 0 else trail + 0x1F + (trail >= 0x60)
        out += bytes((first + 0x40 if first > 0x9F else first, second))
        at += 2
    return bytes(out)


def _fits_by_lines(data: bytes) -> bool:
    """Whether at least as many lines with foreign letters are UTF-8 as are not."""
    foreign = [line for line in data[:_SAMPLE].split(b"\n") if not line.isascii()]
    return sum(1 for line in foreign if _fits(line, "utf-8")) * 2 >= len(foreign)


def _read_mixed(data: bytes) -> str:
    """UTF-8 with some lines in it that are not: those without one good character are Western (windows-1252)."""
    lines = []
    for line in data.split(b"\n"):
        text = line.decode("utf-8", "replace")
        if "\ufffd" in text and not any(char > "\x7f" and char != "\ufffd" for char in text):
            text = _clean(line, "windows-1252")
        lines.append(text)
    return "\n".join(lines)


def _mostly_fits(data: bytes, label: str) -> bool:
    codec = find_codec(label)
    if codec is None:
        return False
    try:
        text = codec.decode(data, "replace")[0]
    except (UnicodeError, OSError, OverflowError):
        return False
    foreign = sum(1 for byte in data[:_SAMPLE] if byte > 127)
    return text[:_SAMPLE].count("\ufffd") * 4 <= max(foreign, 4)


def _clean(data: bytes, label: str) -> str:
    codec = find_codec(label)
    try:
        text = codec.decode(data, "replace")[0] if codec else data.decode("utf-8", "replace")
    except (UnicodeError, OSError, OverflowError):
        text = data.decode("utf-8", "replace")
    return _storable(text)


def _storable(text: str) -> str:
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # UTF-7 can spell half a character
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text
