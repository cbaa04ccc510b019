"""Public suffixes and organisational domains by the bundled list (publicsuffix.org).

The list is read at import: inside the cage no file can be opened any more (security.md 11.2).
"""

from __future__ import annotations

from importlib.metadata import version

from publicsuffixlist import PublicSuffixList

PUBLIC_SUFFIX_VERSION = version("publicsuffixlist")
"""Version of the bundled list; its last part is the date. Alignment of a replayed verdict depends on it."""

_LIST = PublicSuffixList(accept_unknown=True)


def is_public_suffix(domain: str) -> bool:
    """Whether anybody can register names directly below this one; ``domain`` is a lower-case A-label."""
    return not domain or bool(_LIST.is_public(domain))


def organisational_domain(domain: str) -> str:
    """The public suffix and one label more (RFC 7489 3.2); the domain itself when it is a public suffix."""
    return str(_LIST.privatesuffix(domain) or domain)


def is_related(one: str, other: str) -> bool:
    """Whether two domains have one owner as far as the list knows: the widest alignment there can ever be."""
    return one == other or (
        not is_public_suffix(one)
        and not is_public_suffix(other)
        and organisational_domain(one) == organisational_domain(other)
    )
