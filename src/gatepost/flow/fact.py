"""Questions a stage may ask the world, and the shape of their answers.

Facts are frozen and hashable; "unknown" is an answer, never an absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor, Signer
from gatepost.cms.enclosure import Enclosed
from gatepost.flow.challenge import Expected
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Choice
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors
from gatepost.smime.correspondent import Correspondent


@dataclass(frozen=True, slots=True)
class CertificateFor:
    """Which certificate encrypts to this correspondent?  Answer: `Choice`."""

    mailbox: Mailbox


@dataclass(frozen=True, slots=True)
class SignerFor:
    """Who signs for this author?  Answer: `SignerAnswer`; the first question may enrol one."""

    mailbox: Mailbox


@dataclass(frozen=True, slots=True)
class SignerAnswer:
    """A signer, or why there is none."""

    signer: Signer | None
    reason: str = ""
    certificates: tuple[Certificate, ...] = ()  # also put into the signature: the encryption one
    enclosed: tuple[Enclosed, ...] = ()  # what tells of its revocation


@dataclass(frozen=True, slots=True)
class DecryptorsFor:
    """Which keys may open mail for this recipient: its own and its domain's, old ones too."""

    mailbox: Mailbox


@dataclass(frozen=True, slots=True)
class AnchorsFor:
    """Which trust anchors count for a signer at this domain?  Answer: `Anchors`."""

    domain: str


@dataclass(frozen=True, slots=True)
class CorrespondentFor:
    """What is known of this correspondent's software?  Answer: `Correspondent`."""

    mailbox: Mailbox


@dataclass(frozen=True, slots=True)
class SignersOf:
    """Certificates an author may have signed with, for mail that does not bring them.

    Answer: a tuple of `Certificate`, issuers among them.
    """

    mailbox: Mailbox


@dataclass(frozen=True, slots=True)
class RevocationOf:
    """Was any certificate of this path, leaf first, revoked?  Answer: `Evidence`.

    What nobody could tell in time is "unknown" in it.
    """

    chain: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class IssuersOf:
    """Who is above this certificate, which came with these?  Answer: a tuple of `Certificate`."""

    certificate: Certificate
    beside: tuple[Certificate, ...]
    domain: str  # whose anchors count


@dataclass(frozen=True, slots=True)
class ChallengeFor:
    """Does an order for this person's certificate wait for a mail?  Answer: `Expected`."""

    mailbox: Mailbox


Fact = (
    SignersOf
    | CertificateFor
    | CorrespondentFor
    | SignerFor
    | DecryptorsFor
    | AnchorsFor
    | RevocationOf
    | IssuersOf
    | ChallengeFor
)
Answer = (
    Choice
    | Correspondent
    | SignerAnswer
    | tuple[Decryptor, ...]
    | tuple[Certificate, ...]
    | Anchors
    | Evidence
    | Expected
)
Answers = Mapping[Fact, Answer]
