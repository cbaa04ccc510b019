"""What the readers must know of this installation, and what stands for a mail they cannot read.

Apart from the readers, because the parent needs these and must not load a parser: whatever reads untrusted bytes lives
in the children only, and the daemon stays small.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.address import fold_address, fold_domain
from gateway.model import Attachment
from gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationRules:
    """What of the settings authentication depends on; crosses the cage's pipe as data."""

    trusted: tuple[str, ...] = ()
    """authserv-ids that are believed, on trusted sources only."""
    verify_locally: bool = True
    strict_domains: tuple[str, ...] = ()
    agent_addresses: tuple[str, ...] = ()
    """Folded addresses of all agents."""
    agent_domains: tuple[str, ...] = ()
    agent_key_bits: int = 2048
    arc_sealers: tuple[str, ...] = ()
    customer_dkim_only: bool = False
    """customer_proof = "dkim": aligned SPF is not enough for anybody, so DNS for a signature is worth waiting for."""
    tell_chains: bool = False
    """Check every ARC chain, for people who ask what a mail says; one that no listed sealer closes proves nothing."""


def rules_of(settings: Settings) -> AuthenticationRules:
    """The rules an installation's settings make; domains and addresses folded."""
    authentication = settings.authentication
    agents = [agent for agent in settings.agents.values() if agent.enabled]
    return AuthenticationRules(
        trusted=tuple(server.lower() for server in settings.authentication_results.trusted),
        verify_locally=settings.authentication_results.verify_locally,
        strict_domains=tuple(map(fold_domain, authentication.strict_domains)),
        agent_addresses=tuple(sorted({fold_address(one) for a in agents for one in (a.address, *a.also)})),
        agent_domains=tuple(map(fold_domain, authentication.agent_domains)),
        agent_key_bits=authentication.agent_key_bits,
        arc_sealers=tuple(map(fold_domain, authentication.arc_sealers)),
        customer_dkim_only=authentication.customer_proof == "dkim",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the readers must know of this installation: no secret, so it may enter the cage."""

    authentication: AuthenticationRules
    own_addresses: frozenset[str] = frozenset()  # folded inbox addresses
    id_domain: str = ""


def original(raw: bytes) -> Attachment:
    """The mail itself, as a file to go with the ticket when it cannot be shown."""
    return Attachment(
        name="original.eml",
        type="message/rfc822",
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        content=raw,
    )
