"""The one sentence that says to a person how an author was proven, or why not."""

from __future__ import annotations

from gateway.model import AuthenticationResults, Proof


def explain(results: AuthenticationResults, domain: str, voucher: str, rescuer: str) -> str:
    """One plain sentence. ``voucher`` or ``rescuer`` is the server whose word counted, if any did."""
    if results.proof is Proof.DKIM:
        signature = next(one for one in results.dkim if one.result == "pass" and one.aligned)
        by = f" ({signature.reason})" if signature.reason else ""
        return f"A valid signature of {signature.domain} proves the author{by}."
    if results.proof is Proof.SUBMISSION:
        return "The author signed in to the mail server to send this."
    if results.proof is Proof.SPF and rescuer:
        return f"{rescuer}, a forwarder we trust, found the author proven before it passed the mail on."
    if results.proof is Proof.SPF and voucher:
        return f"{voucher}, a server we trust, found that {domain} sent this."
    if results.proof is Proof.SPF:
        return f"It came from a server that may send mail for {results.spf.domain} (SPF)."
    if results.temporary:
        return f"DNS did not answer, so whether {domain} sent this cannot be told yet."
    return f"{_why_failed(results, domain)}."


def _why_failed(results: AuthenticationResults, domain: str) -> str:
    trouble = _find_trouble(results, domain)
    if results.dmarc.result == "fail" and results.dmarc.policy in ("quarantine", "reject"):
        wish = "refuse" if results.dmarc.policy == "reject" else "distrust"
        return f"{domain} asks everybody to {wish} mail that it did not send, and {trouble}"
    if not results.domain_offers_proof:
        return f"{domain} offers nothing that could prove who sent this"
    return trouble[:1].upper() + trouble[1:] if trouble.startswith("the ") else trouble


def _find_trouble(results: AuthenticationResults, domain: str) -> str:
    own = [one for one in results.dkim if one.aligned and one.result != "pass"]
    for result in ("fail", "policy", "permerror", "none"):
        for one in own:
            if one.result == result:
                return f"the signature of {one.domain} does not count: {one.reason}"
    if results.spf.result in ("fail", "softfail") and results.spf.domain:
        return f"the server it came from may not send mail for {results.spf.domain} (SPF {results.spf.result})"
    return f"nothing in this mail proves that {domain} sent it"
