"""Say in words why no path was found: what an administrator can act upon."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from gatepost.certificate import Certificate
from gatepost.pki.path import role_objection
from gatepost.pki.strength import key_weakness, signature_weakness
from gatepost.pki.usable import date_objection

MAXIMUM_STEPS = 8


def explain(
    leaf: Certificate,
    pool: Collection[Certificate],
    roots: Collection[Certificate],
    moment: datetime,
    verdict: str,
) -> str:
    """Why the path that reached an anchor does not hold, else where the climb by names ends."""
    if verdict:
        return f"the path does not hold: {verdict}"
    current = leaf
    for _ in range(MAXIMUM_STEPS):
        if current in roots:
            break
        issuer = _issuer(current, roots, moment) or _issuer(current, pool, moment)
        if issuer is None or issuer == current:
            return _dead_end(current, issuer)
        wrong = role_objection(issuer) or date_objection(issuer, moment) or key_weakness(issuer)
        if not wrong and issuer not in roots:
            wrong = signature_weakness(issuer)
        if wrong:
            return f"its issuer {issuer.name!r} does not count: {wrong}"
        current = issuer
    return "no path to a trusted certification authority was found"


def _issuer(
    child: Certificate, among: Collection[Certificate], moment: datetime
) -> Certificate | None:
    named = [one for one in among if one.folded_subject == child.folded_issuer]
    named.sort(key=lambda one: (not date_objection(one, moment), one.not_after, one.fingerprint))
    return named[-1] if named else None


def _dead_end(current: Certificate, issuer: Certificate | None) -> str:
    if issuer is not None or current.self_issued:
        return f"the path ends at {current.name!r}, which is not trusted here"
    try:
        issuer_name = current.x509.issuer.rfc4514_string()[:200]
    except ValueError:  # read lazily: a certificate can be whole and its names not
        return "its issuer has a name that cannot be read"
    return f"the certificate of its issuer {issuer_name!r} is not known"
