"""Say in words why no path was found: what an administrator can act upon."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from cryptography.x509.oid import SignatureAlgorithmOID

from gatepost.certificate import Certificate
from gatepost.pki.strength import key_weakness, signature_weakness
from gatepost.pki.usable import date_objection

MAXIMUM_STEPS = 8
_EDWARDS = {SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448}


def explain(
    leaf: Certificate,
    pool: Collection[Certificate],
    roots: Collection[Certificate],
    moment: datetime,
    verdict: str,
) -> str:
    """Climb from the leaf by names and name the first thing wrong, else the verifier's words."""
    current = leaf
    for _ in range(MAXIMUM_STEPS):
        if current.x509.signature_algorithm_oid in _EDWARDS and current not in roots:
            return f"{current.name!r} is signed with EdDSA, which path validation does not support"
        if current in roots:
            return _plain(verdict)
        issuer = _issuer(current, roots, moment) or _issuer(current, pool, moment)
        if issuer is None or issuer == current:
            return _dead_end(current, issuer)
        wrong = date_objection(issuer, moment) or key_weakness(issuer)
        if not wrong and issuer not in roots:
            wrong = signature_weakness(issuer)
        if wrong:
            return f"its issuer {issuer.name!r} does not count: {wrong}"
        current = issuer
    return _plain(verdict)


def _issuer(
    child: Certificate, among: Collection[Certificate], moment: datetime
) -> Certificate | None:
    named = [one for one in among if one.subject == child.issuer]
    named.sort(key=lambda one: (not date_objection(one, moment), one.not_after, one.fingerprint))
    return named[-1] if named else None


def _dead_end(current: Certificate, issuer: Certificate | None) -> str:
    if issuer is not None or current.issuer == current.subject:
        return f"the path ends at {current.name!r}, which is not trusted here"
    try:
        issuer_name = current.x509.issuer.rfc4514_string()[:200]
    except ValueError:  # read lazily: a certificate can be whole and its names not
        return "its issuer has a name that cannot be read"
    return f"the certificate of its issuer {issuer_name!r} is not known"


def _plain(verdict: str) -> str:
    """The verifier's last clause, without the certificate it prints at the end."""
    text = verdict.partition(" (encountered processing")[0]
    return "the path does not hold: " + text.rpartition(": ")[2][:200]
