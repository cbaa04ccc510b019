"""DMARC: which policy an author's domain publishes, and which identities align with it (RFC 9989, before: RFC 7489).

The organisational domain comes from the tree walk of RFC 9989 4.10, bounded by the public suffix list: names above the
list's organisational domain are asked only when nothing was found below, and where no record says anything the list
decides as in RFC 7489. Alignment therefore never crosses a public suffix, whatever is published above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.analysis.dns_records import OVERSIZE, Answers
from gateway.analysis.suffixes import is_related, organisational_domain
from gateway.model import DmarcResult

POLICIES = ("none", "quarantine", "reject")
MAX_WALK = 8
"""Names of one tree walk (RFC 9989 4.10, step 3)."""

_VERSION = re.compile(r"\s*v\s*=\s*DMARC1\s*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcRecord:
    """One published policy. ``psd`` is y, n or u; ``subdomains`` and ``nonexistent`` fall back as the RFC says."""

    domain: str
    policy: str
    subdomains: str
    nonexistent: str
    dkim_strict: bool = False
    spf_strict: bool = False
    psd: str = "u"
    testing: bool = False


def read_record(text: str, domain: str) -> DmarcRecord | None:
    """A DMARC record, None when the text is none or says nothing that counts (RFC 9989 4.7)."""
    first, *rest = text.split(";")
    if not _VERSION.match(first):  # v= must come first, and DMARC1 is case-sensitive
        return None
    tags: dict[str, str] = {}
    for part in rest:
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip().lower())
    policy = tags.get("p", "")
    broken = policy not in POLICIES or any(tags.get(name, "none") not in POLICIES for name in ("sp", "np"))
    if broken:
        # "Act as if p=none" if reports are wanted, else there is no record.
        if "mailto:" not in tags.get("rua", ""):
            return None
        policy = "none"
    subdomains = policy if broken else tags.get("sp", policy)
    return DmarcRecord(
        domain=domain,
        policy=policy,
        subdomains=subdomains,
        nonexistent=subdomains if broken else tags.get("np", subdomains),
        dkim_strict=tags.get("adkim") == "s",
        spf_strict=tags.get("aspf") == "s",
        psd=tags.get("psd", "u"),
        testing=tags.get("t") == "y",
    )


def walk_names(domain: str) -> list[str]:
    """The names of the tree walk, the domain itself first (RFC 9989 4.10)."""
    labels = domain.split(".")
    names = [domain]
    rest = labels[-(MAX_WALK - 1) :] if len(labels) >= MAX_WALK else labels[1:]
    while rest and len(names) < MAX_WALK:
        names.append(".".join(rest))
        rest = rest[1:]
    return names


@dataclass(slots=True)
class _Walk:
    """What was found on the way up. ``failed``: a query failed; ``pending``: an answer is still lacking."""

    found: list[DmarcRecord]
    failed: bool = False
    pending: bool = False
    unusable: bool = False

    @property
    def undecided(self) -> bool:
        return self.failed or self.pending


class Dmarc:
    """The policy for one author domain (lower-case A-label). Asks for its records when made."""

    def __init__(self, domain: str, answers: Answers) -> None:
        self.domain = domain
        self._answers = answers
        boundary = organisational_domain(domain)
        walk = self._walk(domain)
        if not walk.found and not walk.undecided:
            above = [name for name in walk_names(domain) if not f".{name}".endswith(f".{boundary}")]
            self._ask(above, walk)
        self._own = walk
        self.organisation = _choose_organisation(domain, walk.found)
        self.record = self._choose_record()

    def _walk(self, domain: str) -> _Walk:
        """Up to the organisational domain of the public suffix list, all names asked at once."""
        boundary = organisational_domain(domain)
        walk = _Walk([])
        self._ask([name for name in walk_names(domain) if f".{name}".endswith(f".{boundary}")], walk)
        return walk

    def _ask(self, names: Iterable[str], walk: _Walk) -> None:
        answered = [(name, self._answers.ask("TXT", f"_dmarc.{name}")) for name in names]
        for name, answer in answered:
            if answer is None:
                walk.pending = True
            elif answer.status == "failed":
                walk.failed = True
            elif answer.status == OVERSIZE:
                walk.unusable = True
            else:
                candidates = [text for text in answer.values if _VERSION.match(text.partition(";")[0])]
                # Several records are none (RFC 9989 4.10, step 2).
                record = read_record(candidates[0], name) if len(candidates) == 1 else None
                if record is not None:
                    walk.found.append(record)
                    if record.psd in ("y", "n"):
                        return

    def _choose_record(self) -> DmarcRecord | None:
        """The author domain's own record, else the organisational domain's, else the public suffix domain's."""
        found = {record.domain: record for record in self._own.found}
        above = self._own.found[-1] if self._own.found else None
        return found.get(self.domain) or found.get(self.organisation) or above

    @property
    def undecided(self) -> bool:
        """Whether the record that applies is not known: a query failed or was not answered yet."""
        return self._own.undecided and (self.record is None or self.record.domain != self.domain)

    # -------------------------------------------------------------- alignment

    def may_align(self, domain: str, kind: str) -> bool:
        """Whether an identity could align, as far as is known without asking for anything more."""
        return domain == self.domain or (is_related(domain, self.domain) and not self._is_strict(kind))

    def _is_strict(self, kind: str) -> bool:
        if self.record is None or self.undecided:
            return False
        return self.record.dkim_strict if kind == "dkim" else self.record.spf_strict

    def is_aligned(self, domain: str, kind: str) -> bool | None:
        """Whether an identity (kind "dkim" or "spf") aligns with the author; None when DNS does not say yet.

        The author's own domain aligns in every mode: no record is needed for it.
        """
        if domain == self.domain:
            return True
        if not self.may_align(domain, kind):
            return False
        if self._own.undecided:
            return None  # nothing more is asked until it is known whether it matters
        walk = self._walk(domain)
        if walk.undecided:
            return None
        if not self._own.found and not walk.found:
            return True  # no record anywhere: relaxed, by the public suffix list (RFC 7489)
        return self.organisation == _choose_organisation(domain, walk.found)

    # -------------------------------------------------------------- result

    def result(self, aligned: bool, possible: bool) -> DmarcResult:
        """The DMARC result: ``aligned`` identities passed, or it is still ``possible`` that one will."""
        if self.record is None:
            if self._own.undecided:
                return DmarcResult(result="pass" if aligned else "temperror")
            return DmarcResult(result="permerror" if self._own.unusable else "none")
        policy: str | None = self._policy(self.record)
        if aligned:
            return DmarcResult(result="pass", policy=policy or "", domain=self.record.domain)
        # Whether the name exists is asked last, when nothing else is open: names asked and not used in the end would
        # count against the budget, and the verdict could not be replayed with the records that were used.
        if not possible and not self.undecided:
            policy = self._effective_policy(self.record)
            if policy is not None:
                return DmarcResult(result="fail", policy=policy, domain=self.record.domain)
        return DmarcResult(result="temperror", policy=policy or "", domain=self.record.domain)

    def _policy(self, record: DmarcRecord) -> str:
        return record.policy if record.domain == self.domain else record.subdomains

    def _effective_policy(self, record: DmarcRecord) -> str | None:
        """The policy a failing mail meets; None when DNS does not say whether the sub-domain exists."""
        policy = self._policy(record)
        if record.domain != self.domain and record.nonexistent != policy:
            exists = self._exists()
            if exists is None:
                return None
            policy = policy if exists else record.nonexistent
        if record.testing:  # t=y: one level less (RFC 9989 4.7)
            policy = POLICIES[max(0, POLICIES.index(policy) - 1)]
        return policy

    def _exists(self) -> bool | None:
        """Whether the author domain has any A, AAAA or MX record (RFC 9989 3.2.9, non-existent domains)."""
        answered = [self._answers.ask(type_, self.domain) for type_ in ("A", "AAAA", "MX")]
        if any(answer is not None and answer.status in ("found", OVERSIZE) for answer in answered):
            return True
        if any(answer is None or answer.status == "failed" for answer in answered):
            return None
        return False


def _choose_organisation(domain: str, found: list[DmarcRecord]) -> str:
    """RFC 9989 4.10.2: psd=n is it; one label below psd=y; else the record with the fewest labels; else the list."""
    boundary = organisational_domain(domain)
    if not found:
        return boundary
    top = found[-1]
    if top.psd == "n":
        return top.domain
    if (top.psd == "y" and top.domain != domain) or not f".{top.domain}".endswith(f".{boundary}"):
        below = domain.removesuffix(f".{top.domain}").rpartition(".")[2]
        return boundary if top.psd != "y" else f"{below}.{top.domain}"
    return top.domain
