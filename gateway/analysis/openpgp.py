"""OpenPGP written into the text itself (RFC 9580 sections 6.2 and 7): the words of a clear-signed text, and armour.

Nothing is verified and nothing decrypted: no trust follows from a signature here. The mark of the signature goes away
from the words, and stays as a file for whoever has the key.
"""

from __future__ import annotations

import re

_SIGNED = re.compile(r"-----BEGIN PGP SIGNED MESSAGE-----[ \t]*")
_SIGNATURE = re.compile(r"-----BEGIN PGP SIGNATURE-----[ \t]*")
_SIGNATURE_END = re.compile(r"-----END PGP SIGNATURE-----[ \t]*")
_ARMOUR_HEADER = re.compile(r"(?:Hash|Charset|NotDashEscaped|Version|Comment):[^\n]*")
_ENCRYPTED = re.compile(r"^-----BEGIN PGP MESSAGE-----[ \t]*$", re.MULTILINE)


def is_encrypted(text: str) -> bool:
    """Whether an encrypted block stands in the text as the author's own, not as a quotation."""
    return _ENCRYPTED.search(text) is not None


def open_clear_signed(text: str) -> tuple[str, str]:
    """The text with the first clear-signed part as its author wrote it, and the armoured signature ("" without one).

    Only a part that is whole is opened; words before and behind it stay where they are.
    """
    if "-----BEGIN PGP SIGNED MESSAGE-----" not in text:
        return text, ""
    lines = text.split("\n")
    begin = next((at for at, line in enumerate(lines) if _SIGNED.fullmatch(line)), -1)
    middle = next((at for at, line in enumerate(lines) if at > begin >= 0 and _SIGNATURE.fullmatch(line)), -1)
    end = next((at for at, line in enumerate(lines) if at > middle >= 0 and _SIGNATURE_END.fullmatch(line)), -1)
    if end < 0:
        return text, ""
    first = begin + 1
    while first < middle and _ARMOUR_HEADER.fullmatch(lines[first]):
        first += 1
    if first < middle and not lines[first].strip():  # the empty line that ends the armour's header
        first += 1
    # Dash-escaping (section 7.1): also of the signature mark "-- ", which is to be found as one.
    signed = [line[2:] if line.startswith("- ") else line for line in lines[first:middle]]
    return "\n".join((*lines[:begin], *signed, *lines[end + 1 :])), "\n".join(lines[middle : end + 1]) + "\n"
