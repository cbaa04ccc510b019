"""XFORWARD: what the MTA in front says about the client it saw (Postfix XFORWARD_README; xtext of RFC 3461, 4)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from gateway.address import clean_text

ATTRIBUTES = ("ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
"""Announced after LHLO or EHLO. NAME is not asked for: nothing of ours uses a reverse name."""

_LONGEST = 255
_UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """The first client as the MTA in front saw it; "" unknown."""

    address: str = ""
    port: str = ""
    protocol: str = ""
    helo: str = ""
    ident: str = ""
    source: str = ""


def read_xforward(argument: str, before: Forwarded = Forwarded()) -> Forwarded | None:
    """``ADDR=192.0.2.7 HELO=mail.example`` on top of what earlier commands said; None when it is not well formed."""
    words = argument.split()
    if not words:
        return None
    after = before
    for word in words:
        name, equals, value = word.partition("=")
        name = name.upper()
        if not equals or len(value) > _LONGEST or name not in ATTRIBUTES:
            return None
        if value.upper() in _UNKNOWN:
            value = ""
        elif not _XTEXT.match(value):
            return None
        changed = _with(after, name, _decode(value))
        if changed is None:
            return None
        after = changed
    return after


def _decode(xtext: str) -> str:
    octets = re.sub(rb"\+([0-9A-Fa-f]{2})", lambda m: bytes.fromhex(m[1].decode()), xtext.encode())
    return clean_text(octets.decode("utf-8", "replace"), _LONGEST)


def _with(forwarded: Forwarded, name: str, value: str) -> Forwarded | None:
    if name == "ADDR":
        address = _address(value) if value else ""
        return None if address is None else replace(forwarded, address=address)
    if name == "PORT":
        return replace(forwarded, port=value) if value == "" or (value.isdigit() and int(value) < 65536) else None
    if name == "PROTO":
        return replace(forwarded, protocol=value) if value.isalnum() or not value else None
    if name == "SOURCE":
        return replace(forwarded, source=value) if value in ("LOCAL", "REMOTE", "") else None
    if name == "HELO":
        return replace(forwarded, helo=value)
    return replace(forwarded, ident=value)


def _address(text: str) -> str | None:
    """An IP address in its usual form, also written ``IPV6:…`` (RFC 5321, 4.1.3); None when it is none."""
    bare = text[5:] if text[:5].upper() == "IPV6:" else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
