"""Notice that a good signature lacks only an issuer on the way to an anchor (RFC 5280 4.2.2.1).

Senders should bring the whole path (RFC 8550 section 2.3), and some do not.  What is found
comes into the path like any other certificate: it proves nothing by itself.
"""

from __future__ import annotations

from gatepost.certificate import Certificate
from gatepost.flow.context import Context
from gatepost.flow.fact import IssuersOf
from gatepost.mail.address import Mailbox
from gatepost.pki.issuer import gaps
from gatepost.pki.validate import Anchors
from gatepost.smime.report import SignatureReport


def lacks(
    found: SignatureReport, author: Mailbox | None, anchors: Anchors, context: Context
) -> IssuersOf | None:
    """The question still to be asked about a signature, if any."""
    signer = found.leading
    if author is None or signer is None or signer.certificate is None:
        return None
    if signer.trusted or not (signer.valid and signer.matches):
        return None
    if not gaps(signer.certificate, found.certificates, anchors):
        return None
    fact = IssuersOf(signer.certificate, found.certificates, author.domain_key)
    return None if fact in context.facts else fact


def known(facts: tuple[object, ...], context: Context) -> frozenset[Certificate]:
    """What was found for the questions asked before."""
    asked = (one for one in facts if isinstance(one, IssuersOf))
    return frozenset(one for fact in asked for one in context.issuers_of(fact))
