"""What somebody says of his software outside of mail (RFC 2798 section 2.8, RFC 8551 2.5.2).

A directory's userSMIMECertificate is a SignedData about nothing: what counts of it are the
certificates and his SMIMECapabilities, which he signed.  They teach as his mail does: only where
the signature is his, on a path that is trusted, and only what is newer than what is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from gatepost.certificate import Certificate
from gatepost.cms import attributes, identifier, signer
from gatepost.cms.signed import SignedData
from gatepost.cms.signer import Subject
from gatepost.errors import GatepostError
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.pki import identity, usable
from gatepost.pki.validate import Anchors, validate
from gatepost.smime.correspondent import Lesson
from gatepost.smime.judgement import CLOCK_SKEW

MAXIMUM_SIGNERS = 4


@dataclass(frozen=True, slots=True)
class Word:
    """Capabilities under a good signature; whose it is, is still to be asked."""

    signer: Certificate
    announced: frozenset[str]
    signed_at: datetime | None
    beside: tuple[Certificate, ...] = ()  # what may lead to an anchor


def words(found: SignedData) -> Iterator[Word]:
    """What the signers of this announced; a broken signature announces nothing."""
    for info in islice(found.signers, MAXIMUM_SIGNERS):
        if info.signed_attributes is None:
            continue
        try:
            said = attributes.parse(info.signed_attributes)
            digest = identifier.digest_name(info.digest_identifier)
        except GatepostError:
            continue
        # RFC 2798: the content "is ignored by consumers", so its digest is taken as it stands
        about = Subject(found.content_oid, {digest: said.message_digest}, b"", Octets(b""))
        verdict = signer.verify(info, about, found.certificates)
        if verdict.certificate is None or not verdict.intact or verdict.weak:
            continue
        if said.capabilities:
            beside = tuple(one for one in found.certificates if one.is_authority)
            yield Word(verdict.certificate, said.capabilities, said.signing_time, beside)


def lesson(
    word: Word, mailbox: Mailbox, issuers: Sequence[Certificate], anchors: Anchors, now: datetime
) -> Lesson | None:
    """What it teaches of this mailbox; nothing where it is not proven to be its owner's."""
    if not identity.matches(word.signer, mailbox) or usable.usable_for(word.signer, "sign", now):
        return None
    if word.signed_at is not None and word.signed_at > now + CLOCK_SKEW:
        return None
    if not validate(word.signer, issuers, anchors, moment=now).trusted:
        return None
    return Lesson(mailbox, word.signed_at, word.announced)
