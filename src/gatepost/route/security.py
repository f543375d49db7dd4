"""Which TLS a host must offer before it gets the mail, and why.

DANE where the domain has it (RFC 7672), else MTA-STS (RFC 8461, whose section 2 gives DANE
precedence), else what the configuration asks for; never less than either of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.mail.delivery import Tlsa, TlsPolicy
from gatepost.mail.reply import Reply
from gatepost.route import tlsa
from gatepost.route.sts import StsPolicy


@dataclass(frozen=True, slots=True)
class Demand:
    """What our side asks for."""

    level: TlsPolicy = "opportunistic"
    secure: bool = False  # this mail in particular: a verified server or none
    name: str = ""  # that the certificate is to carry


@dataclass(frozen=True, slots=True)
class Host:
    """What the DNS and the domain's policy say about one of its hosts."""

    domain: str
    name: str
    base: str = ""  # where its TLSA records stand: its name, or the one behind an alias
    authentic_mx: bool = False  # DNSSEC proves that this host is the domain's
    tlsa: tuple[Tlsa, ...] = ()  # proven by DNSSEC, like the host's address
    sts: StsPolicy | None = None


@dataclass(frozen=True, slots=True)
class Security:
    """What the connection must be."""

    tls: TlsPolicy
    why: str
    names: tuple[str, ...] = ()
    tlsa: tuple[Tlsa, ...] = ()


def secured(demand: Demand, host: Host) -> Security | Reply:
    """The policy for one host, or why it must not get the mail."""
    if demand.level == "none":
        return _refused(host, "TLS is switched off") if demand.secure else _CLEAR
    found = _dane(demand, host) or _sts(demand, host) or _configured(demand, host)
    if isinstance(found, Reply) or found.tls in {"dane", "verified"}:
        return found
    if demand.secure or demand.level == "verified":
        return _refused(host, found.why)
    return found


def _dane(demand: Demand, host: Host) -> Security | Reply | None:
    if host.authentic_mx and host.tlsa:
        records = tlsa.usable(host.tlsa)
        if not records:
            if demand.level == "dane":
                return _refused(host, "none of its TLSA records is usable")
            # RFC 7672 section 2.2: encryption is promised, but not whose.
            return Security("required", "DANE: none of the TLSA records is usable")
        names = dict.fromkeys(one for one in (host.base, host.name, host.domain) if one)
        # Without issuers among them only the name for SNI counts, and no domain's connection
        # differs from another's.
        some = tuple(names) if any(one.usage == tlsa.TA for one in records) else tuple(names)[:1]
        return Security("dane", "DANE: the domain publishes TLSA records", some, records)
    if demand.level == "dane":
        return _refused(host, "it publishes no TLSA records that DNSSEC proves")
    return None


def _sts(demand: Demand, host: Host) -> Security | Reply | None:
    policy = host.sts
    if policy is not None and policy.mode == "enforce":
        if not policy.allows(host.name):
            return _refused(host, f"the domain's MTA-STS policy {policy.id} does not name it")
        return Security("verified", f"MTA-STS: policy {policy.id} is enforced", (host.name,))
    if demand.level == "mta-sts":
        return _refused(host, "the domain enforces no MTA-STS policy")
    return None


def _configured(demand: Demand, host: Host) -> Security:
    if demand.secure or demand.level == "verified":
        asked = "this mail needs it" if demand.secure else "configured"
        if demand.name:
            return Security("verified", f"{asked}: the name {demand.name}", (demand.name,))
        if host.authentic_mx:
            return Security("verified", f"{asked}: DNSSEC proves the host", (host.name,))
        # Whoever forges the MX record has no certificate with the domain's own name.
        below = (host.domain, f".{host.domain}")
        return Security("verified", f"{asked}: the name {host.domain}, or one below it", below)
    testing = host.sts is not None and host.sts.mode == "testing"
    why = "; the domain tests MTA-STS" if testing else ""
    if demand.level == "required":
        return Security("required", f"configured: any certificate{why}")
    return Security("opportunistic", f"nothing is published{why}" if not why else why[2:])


def _refused(host: Host, why: str) -> Reply:
    return Reply(451, "4.7.10", f"{host.name} is not safe enough for this mail: {why}")


_CLEAR = Security("none", "configured: no TLS")
