"""DNS as data, and what authentication says (RFC 7208, 6376, 7489, 8617; security.md 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.model.arrival import Mailbox


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """``values`` in presentation form: TXT strings joined, "10 mx.example.", addresses.

    ``status`` is found, absent, failed or oversize (more than anybody may use: security.md 4.1, 8 KiB):

    ``absent`` (NXDOMAIN, no data) and ``failed`` (timeout, SERVFAIL) are never confused (security.md 4.1)."""

    status: str
    values: tuple[str, ...] = ()


Records = Mapping[str, DnsAnswer]
"""What DNS said, as data: "TXT s1._domainkey.example.com" (type, blank, lower-case name, no final dot) -> answer."""


class Proof(StrEnum):
    """How the author was proven (security.md 4.4)."""

    NONE = "none"
    SPF = "spf"
    DKIM = "dkim"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfResult:
    result: str = "none"  # RFC 7208: none neutral pass fail softfail temperror permerror
    domain: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResult:
    domain: str = ""
    selector: str = ""
    result: str = "none"  # pass fail policy permerror temperror none
    reason: str = ""
    aligned: bool = False
    covers: tuple[str, ...] = ()  # lower-case names in h=
    signed_at: datetime | None = None  # t=, else the covered Date
    replay_key: str = ""  # SHA-256 of the canonical header data it signs, b= empty (security.md 4.8)
    key_bits: int = 0  # of the RSA key of a pass we checked; 0: another kind of key, or vouched for by a trusted server


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcResult:
    result: str = "none"  # none pass fail temperror permerror
    policy: str = ""  # none quarantine reject; "" without a record
    domain: str = ""  # where the record was found


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcResult:
    result: str = "none"  # none pass fail
    sealer: str = ""  # d= of the last seal
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationResults:
    """What *we* verified (RFC 8601 vocabulary). ``author`` is the strict tokeniser's, never a parser's."""

    author: Mailbox | None = None  # None: nobody (ambiguous header, no From)
    ambiguous: str = ""  # why the header block is ambiguous (security.md 3); "" when it is not
    spf: SpfResult = SpfResult()
    dkim: tuple[DkimResult, ...] = ()
    dmarc: DmarcResult = DmarcResult()
    arc: ArcResult = ArcResult()
    proof: Proof = Proof.NONE
    why: str = ""  # one sentence for a person
    temporary: bool = False  # a failed query could change the verdict: wait
    failed: bool = (
        False  # an explicit fail (DMARC fail with quarantine or reject, or an aligned signature that does not fit)
    )
    domain_offers_proof: bool = (
        False  # the author's domain publishes or sends something that could prove it (architecture 6.11)
    )
    reply_to_covered: bool = False  # an accepted aligned signature covers Reply-To
    records: Mapping[str, DnsAnswer] = field(default_factory=dict)  # all answers used: the verdict can be replayed
