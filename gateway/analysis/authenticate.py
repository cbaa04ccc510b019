"""Who wrote a mail, and how that is proven: SPF, DKIM, DMARC, ARC and trusted results together (security.md 4).

A pure function with DNS as data: what it lacks it names, and whoever has the network asks and calls again. So the cage
needs no network, and every verdict can be replayed offline with the answers stored beside it.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.address import domain_of, fold_address
from gateway.analysis.arc import ChainError, check_chain, read_chain
from gateway.analysis.dkim import MIN_KEY_BITS, Demands, check_signatures
from gateway.analysis.dmarc import Dmarc
from gateway.analysis.dns_records import Answers
from gateway.analysis.header import read_header
from gateway.analysis.reading_rules import AuthenticationRules
from gateway.analysis.results_header import MethodResult, find_trusted, proves_submission, read_results
from gateway.analysis.signatures import BodyHashes
from gateway.analysis.spf import check_spf
from gateway.analysis.suffixes import is_related
from gateway.analysis.verdict_words import explain
from gateway.model import (
    ArcResult,
    AuthenticationResults,
    DkimResult,
    DmarcResult,
    Envelope,
    Proof,
    Records,
    SpfResult,
)

MAX_RESCUE = 5
"""ARC instances beyond which a chain rescues nothing (security.md 4.6)."""


def authenticate(
    raw: bytes, envelope: Envelope, records: Records, rules: AuthenticationRules
) -> tuple[AuthenticationResults, tuple[str, ...]]:
    """What is proven about a mail's author, and the record keys still needed ("TXT _dmarc.x.test").

    While keys are needed the results are provisional. At most 20 names are ever asked for one mail; names answered
    "failed" make temperror, names beyond the limit permerror (security.md 4.1). Never raises, reads no clock.
    """
    answers = Answers(records)
    try:
        results = _Evaluation(raw, envelope, rules, answers).results()
    except Exception as why:  # noqa: BLE001 - whatever a hostile mail does to a library, it proves nothing
        kind = type(why).__name__
        return AuthenticationResults(
            why=f"The author could not be checked, something unforeseen happened ({kind}).", records=dict(answers.used)
        ), ()
    return replace(results, records=dict(answers.used)), tuple(answers.needs)


class _Evaluation:
    """One mail. DNS is spent in the order DMARC, DKIM, SPF, ARC; what cannot change the verdict is not asked."""

    def __init__(self, raw: bytes, envelope: Envelope, rules: AuthenticationRules, answers: Answers) -> None:
        self._envelope = envelope
        self._rules = rules
        self._answers = answers
        self._header = read_header(raw)
        self._bodies = BodyHashes(raw[self._header.body_start :])
        self._trusted = find_trusted(self._header, rules.trusted) if envelope.trusted else ()

    def results(self) -> AuthenticationResults:
        author = self._header.author
        if author is None:
            ambiguous = self._header.ambiguous
            why = f"Nobody can be named as the author: {ambiguous}."
            return AuthenticationResults(ambiguous=ambiguous, arc=self._tell_chain(ArcResult()), why=why)
        address = fold_address(author.address)
        domain = domain_of(author.address)
        agent = address in self._rules.agent_addresses or domain in self._rules.agent_domains

        dmarc = Dmarc(domain, self._answers)
        signatures, dkim_open = self._check_dkim(domain, agent, dmarc)
        signed = any(one.result == "pass" and one.aligned for one in signatures)
        spf, spf_aligned, spf_open = self._check_spf(dmarc, signed, dkim_open)

        voucher = _find_dmarc_pass(self._trusted, domain)
        result = dmarc.result(signed or spf_aligned or bool(voucher), dkim_open or spf_open)
        if voucher and result.result != "pass":
            result = replace(result, result="pass")
        arc, rescuer = ArcResult(), ""
        if result.result == "fail" and not agent:
            arc, rescuer = self._check_arc(domain)
            if rescuer:
                result = replace(result, result="pass")

        proof = Proof.NONE
        if signed:
            proof = Proof.DKIM
        elif self._is_submission(address):
            proof = Proof.SUBMISSION
        elif spf_aligned or voucher or rescuer:
            proof = Proof.SPF
        offers = self._offers_proof(dmarc, signatures) if proof is Proof.NONE else True
        lacking = dkim_open or spf_open or "temperror" in (result.result, arc.result) or offers is None
        satisfied = proof in (Proof.DKIM, Proof.SUBMISSION) or (
            proof is Proof.SPF and not agent and not self._rules.customer_dkim_only
        )
        results = AuthenticationResults(
            author=author,
            spf=spf,
            dkim=signatures,
            dmarc=result,
            arc=self._tell_chain(arc),
            proof=proof,
            temporary=lacking and not satisfied,
            failed=_is_failed(result, signatures, proof, dkim_open),
            domain_offers_proof=offers is not False,
            reply_to_covered=_covers_reply_to(signatures),
        )
        return replace(results, why=explain(results, domain, voucher, rescuer))

    # -------------------------------------------------------------- DKIM

    def _check_dkim(self, domain: str, agent: bool, dmarc: Dmarc) -> tuple[tuple[DkimResult, ...], bool]:
        """All signatures with their alignment, and whether DNS may still turn one into a proof."""
        vouched = {
            (one.domain("header.d"), one.properties.get("header.s", "").lower()): one.server
            for one in self._trusted
            if one.method == "dkim" and one.result == "pass" and one.domain("header.d")
        }
        demands = Demands(
            author_domain=domain,
            received_at=self._envelope.received_at,
            key_bits=self._rules.agent_key_bits if agent else MIN_KEY_BITS,
            strict=domain in self._rules.strict_domains,
            verify_locally=self._rules.verify_locally,
            vouched=vouched,
        )
        out: list[DkimResult] = []
        still_open = False
        for one in check_signatures(self._header, self._bodies, self._answers, demands):
            aligned: bool | None = dmarc.may_align(one.domain, "dkim")
            if one.result == "pass":
                aligned = dmarc.is_aligned(one.domain, "dkim")
                still_open = still_open or aligned is None
            elif one.result == "temperror":
                still_open = still_open or bool(aligned)
            out.append(replace(one, aligned=bool(aligned)))
        return tuple(out), still_open

    # -------------------------------------------------------------- SPF

    def _check_spf(self, dmarc: Dmarc, signed: bool, dkim_open: bool) -> tuple[SpfResult, bool, bool]:
        """SPF, whether it passed for an aligned domain, and whether DNS may still make it so.

        Our own where the client is known, else that of a trusted server; none where a signature has settled the matter.
        """
        if signed:
            return SpfResult(reason="not asked: a signature proves the author"), False, False
        if dkim_open and self._answers.needs:
            return SpfResult(reason="not asked yet"), False, True
        envelope = self._envelope
        if envelope.client_address:
            asked = check_spf(self._answers, envelope.client_address, envelope.reverse_path, envelope.helo)
            domain = domain_of(envelope.reverse_path)
            spf = asked or SpfResult(result="temperror", domain=domain, reason="not looked up yet")
        else:
            spf = self._find_trusted_spf()
        if spf.result == "temperror":
            return spf, False, dmarc.may_align(spf.domain, "spf")
        if spf.result != "pass" or not spf.domain:  # a null reverse_path proves nobody
            return spf, False, False
        aligned = dmarc.is_aligned(spf.domain, "spf")
        return spf, bool(aligned), aligned is None

    def _find_trusted_spf(self) -> SpfResult:
        for one in self._trusted:
            if one.method == "spf":
                domain = one.domain("smtp.mailfrom", "smtp.mfrom", "smtp.envelope-from")
                return SpfResult(result=one.result, domain=domain, reason="checked by a trusted server")
        return SpfResult(reason="the client is not known")

    # -------------------------------------------------------------- what trusted servers say

    def _is_submission(self, address: str) -> bool:
        """An authenticated submission, to us or to a trusted server, by the account that is the author."""
        submitter = self._envelope.submitter
        own = "@" in submitter and fold_address(submitter) == address
        return own or proves_submission(self._trusted, address)

    def _check_arc(self, domain: str) -> tuple[ArcResult, str]:
        """A chain, and the forwarder it proves the author by: at most 5 sets, the last sealer listed, DMARC passed."""
        if not self._rules.arc_sealers:
            return ArcResult(), ""
        try:
            sets = read_chain(self._header)
        except ChainError as why:
            return ArcResult(result="fail", reason=str(why)), ""
        sealer = sets[-1].seal_tags.get("d", "").lower() if sets else ""
        if not sets or sealer not in self._rules.arc_sealers or len(sets) > MAX_RESCUE:
            return ArcResult(sealer=sealer[:253], reason="the last sealer is not trusted" if sets else ""), ""
        arc = check_chain(self._header, self._bodies, self._answers)
        if arc.result != "pass":
            return arc, ""
        value = sets[-1].results.value.replace(b"\r\n", b"").decode("utf-8", "replace")
        passed = _find_dmarc_pass(read_results(value.partition(";")[2]).results, domain)
        return arc, sealer if passed else ""

    def _tell_chain(self, arc: ArcResult) -> ArcResult:
        if not self._rules.tell_chains or arc.result != "none":
            return arc
        return check_chain(self._header, self._bodies, self._answers)

    # -------------------------------------------------------------- what could have proven it

    def _offers_proof(self, dmarc: Dmarc, signatures: tuple[DkimResult, ...]) -> bool | None:
        """Whether the author's domain publishes or sends anything that could prove it (architecture 6.11).

        None: DNS does not say. SPF counts unless it says none or neutral about this client; the reverse_path does not
        matter, for a forger chooses it.
        """
        if dmarc.record is not None or any(is_related(one.domain, dmarc.domain) for one in signatures):
            return True
        if dmarc.undecided or self._answers.needs:
            return None
        envelope = self._envelope
        if envelope.client_address:
            spf = check_spf(self._answers, envelope.client_address, f"postmaster@{dmarc.domain}", envelope.helo)
            if spf is None or spf.result == "temperror":
                return None
            return spf.result not in ("none", "neutral")
        answer = self._answers.ask("TXT", dmarc.domain)
        if answer is None or answer.status == "failed":
            return None
        return any(text.lower().startswith("v=spf1") for text in answer.values)


def _find_dmarc_pass(results: tuple[MethodResult, ...], domain: str) -> str:
    """The server that says DMARC passed for this author domain, "" when none does. The first dmarc result counts."""
    first = next((one for one in results if one.method == "dmarc"), None)
    if first is None or first.result != "pass" or first.domain("header.from") != domain:
        return ""
    return first.server


def _covers_reply_to(signatures: tuple[DkimResult, ...]) -> bool:
    return any(one.result == "pass" and one.aligned and "reply-to" in one.covers for one in signatures)


def _is_failed(dmarc: DmarcResult, signatures: tuple[DkimResult, ...], proof: Proof, dkim_open: bool) -> bool:
    """An explicit fail: DMARC with a policy, or a signature of the author's own domain that does not fit."""
    if proof is not Proof.NONE:
        return False
    if dmarc.result == "fail" and dmarc.policy in ("quarantine", "reject"):
        return True
    return not dkim_open and any(one.result == "fail" and one.aligned for one in signatures)
