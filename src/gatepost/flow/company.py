"""A signature in the name of a whole domain counts as its author's (RFC 3183 section 3.1).

Only under an authority that is trusted as the domain's own: the name alone proves nothing, for
at a public mail service anybody may register the mailbox that is called so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gatepost.mail.address import Mailbox
from gatepost.mime import headers
from gatepost.pki import identity
from gatepost.pki.validate import Anchors
from gatepost.smime.report import SignatureReport, SignerReport, Verdict, judge


def counted(
    found: SignatureReport, author: Mailbox | None, shown: Iterable[bytes], anchors: Anchors
) -> SignatureReport:
    """The report with the domain's signer for the author; `shown` are headers a reader may see."""
    if author is None or found.verdict is not Verdict.MISMATCH or not _alone(author, shown):
        return found
    if found.headers is not None and "from" in map(str.lower, found.headers.differing):
        return found  # who was changed on the way is nobody the domain speaks for
    signers = tuple(_speaking(one, author, anchors) for one in found.signers)
    if signers == found.signers:
        return found
    told = f"signed in the name of {author.domain}, not by {author}"
    doubt = f"the signer's certificate is not for {author}"
    reasons = (told, *(one for one in found.reasons if one != doubt))
    return replace(found, signers=signers, verdict=judge(signers), reasons=reasons)


def _speaking(signer: SignerReport, author: Mailbox, anchors: Anchors) -> SignerReport:
    """A trusted signer whose certificate names the domain's authority, under its own CA."""
    if signer.certificate is None or not (signer.valid and signer.trusted and signer.chain):
        return signer
    speaks = identity.matches(signer.certificate, Mailbox(identity.DOMAIN_SIGNER, author.domain))
    return replace(signer, matches=True) if speaks and signer.chain[-1] in anchors.own else signer


def _alone(author: Mailbox, shown: Iterable[bytes]) -> bool:
    """Whether no reader could take somebody of another domain for the author."""
    named = [
        one
        for header in shown
        for field in headers.every(header, "From")
        for one in (*headers.mailboxes(field.value), *headers.seen(field.text))
    ]
    return bool(named) and all(one.domain_key == author.domain_key for one in named)
