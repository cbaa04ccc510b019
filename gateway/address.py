"""Addresses, domains, tags and display names: one way to compare them and one way to show them (security.md 3, 7.4)."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

import idna

_MAX_ADDRESS = 320
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
_ZERO_WIDTH = {*range(0x200B, 0x200E), 0x2060, 0xFEFF, 0x00AD, 0x180E}
_INVISIBLE = _BIDI | _ZERO_WIDTH  # none of them is ASCII
# Controls, line separators, halves of characters; and what turns the order of letters round: "exe.fdp" reads "pdf.exe".
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u0080-\U0010ffff]+\Z")


def fold_domain(domain: str) -> str:
    """The domain as a lower-case A-label without final dot; a domain IDNA refuses is only lower-cased."""
    domain = domain.strip().rstrip(".").lower()
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain


def client_network(client: str) -> str:
    """The address; of IPv6 the /64, which one customer of a provider has to himself."""
    if ":" not in client:
        return client
    return str(ipaddress.ip_network(f"{client}/64", strict=False))


def split_address(address: str) -> tuple[str, str]:
    """Local part and domain, as written; the domain is "" when there is no "@"."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (address, "")


def fold_address(address: str) -> str:
    """The form in which addresses are compared and stored: domain folded, local part without ASCII case.

    Dots and tags in the local part are kept: nobody but the domain's owner knows what they mean.
    """
    local, domain = split_address(address.strip())
    if local.isascii():
        local = local.lower()
    return f"{local}@{fold_domain(domain)}" if domain else local


def domain_of(address: str) -> str:
    """The folded domain of an address, "" without one."""
    return fold_domain(split_address(address)[1])


_CONFUSABLE = str.maketrans(
    # Cyrillic, Greek, Latin: what cannot be told from an ASCII letter or digit in common fonts (UTS 39, confusables).
    "асԁеһіјӏорԛѕуѵԝхзɡαγικνορυϲϳıℓⅼ0",
    "acdehijlopqsyvwx3gayikvopucjillo",
)


def skeleton(address: str) -> str:
    """What an address looks like: two with one skeleton cannot be told apart by eye (UTS 39, section 4).

    Only for warnings, never for deciding whose address it is.
    """
    local, domain = split_address(address.strip())
    labels = []
    for label in fold_domain(domain).split("."):
        try:
            labels.append(label.encode("ascii").decode("idna") if label.startswith("xn--") else label)
        except UnicodeError:
            labels.append(label)
    seen = unicodedata.normalize("NFKD", f"{local}@{'.'.join(labels)}").casefold().translate(_CONFUSABLE)
    plain = "".join(c for c in seen if ord(c) not in _INVISIBLE and not unicodedata.combining(c))
    return plain.replace("1", "l").replace("rn", "m")


def unquote_local(address: str) -> str:
    """The address without the quotes around a local part that needs none: ``"support"@desk.test``."""
    local, domain = split_address(address)
    inner = local[1:-1]
    return f"{inner}@{domain}" if local[:1] == local[-1:] == '"' and _ATOM.match(inner) else address


def is_address(address: str) -> bool:
    """Whether this is an addr-spec we can put on an envelope: dot-atom local part, a domain of labels, no controls."""
    if len(address) > _MAX_ADDRESS:
        return False
    local, domain = split_address(address)
    if not local or not domain or not _ATOM.match(local) or local[0] == "." or local[-1] == "." or ".." in local:
        return False
    labels = fold_domain(domain).split(".")
    return all(re.fullmatch(r"(?!-)[a-z0-9_\-]{1,63}(?<!-)", label) for label in labels)


def split_tag(address: str, separator: str = "+") -> tuple[str, str]:
    """``base@domain`` and the tag after the first separator ("" without one), both as written."""
    local, domain = split_address(address)
    base, _, tag = local.partition(separator)
    return f"{base}@{domain}", tag


def clean_text(text: str, limit: int = 200) -> str:
    """One line safe for any outgoing header: CR, LF, NUL, other controls and line separators become a blank."""
    return " ".join(_NO_TEXT.sub(" ", text).split())[:limit].rstrip()


def clean_name(name: str, limit: int = 100) -> str:
    """A display name that cannot deceive: no controls, no bidirectional or zero-width characters, no "@"."""
    visible = name.replace("@", "")
    if not visible.isascii():
        visible = "".join(c for c in visible if ord(c) not in _INVISIBLE and unicodedata.category(c) != "Cf")
    return clean_text(visible, limit).strip(' "')


def first_name(name: str) -> str:
    """How one speaks of a person: the first word of the name, "" of an empty one."""
    words = clean_name(name).split()
    return words[0].rstrip(",") if words else ""
