"""What opening a cryptographic layer showed (RFC 8551, layer words of RFC 9787 section 4).

Four questions stay apart: are the octets intact, is the signature usable, is its
signer trusted, and is the signer the author.  No report is a boolean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NoReturn

from gatepost.certificate import Certificate
from gatepost.cms.enclosure import Enclosed
from gatepost.mail.address import Mailbox


class Verdict(Enum):
    """One word for a person; the report has the reasons."""

    VALID = "valid"
    VALID_UNTRUSTED = "valid-untrusted"  # right address, but no path to a trust anchor
    MISMATCH = "mismatch"  # a good signature, but not the author's
    INVALID = "invalid"
    UNSUPPORTED = "unsupported"  # an algorithm we cannot judge
    UNSIGNED = "unsigned"  # SignedData without any signer proves nothing


class _Report:
    """A report has too many sides to be true or false (RFC 8551 section 2.5 lists some)."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not a boolean: read its verdict or fields")


@dataclass(frozen=True, slots=True)
class SignerReport(_Report):
    """One SignerInfo, judged."""

    intact: bool  # digest and signature fit the octets
    valid: bool  # intact, algorithms strong, certificate usable when signed
    trusted: bool  # a certification path leads to an anchor
    matches: bool  # the certificate names the author's address
    supported: bool = True  # False: nothing could be checked, neither good nor broken
    certificate: Certificate | None = field(default=None, repr=False)
    digest: str = ""
    scheme: str = ""
    signing_time: datetime | None = None  # the signer's claim
    capabilities: frozenset[str] = frozenset()
    encryption_certificate: Certificate | None = field(default=None, repr=False)
    chain: tuple[Certificate, ...] = field(default=(), repr=False)
    bound: bool = False  # the signature names its certificate itself (RFC 5035)
    reasons: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The signer's name as the certificate has it."""
        return self.certificate.name if self.certificate else ""

    @property
    def emails(self) -> tuple[str, ...]:
        """The addresses the certificate vouches for."""
        return self.certificate.emails if self.certificate else ()

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "intact": self.intact,
            "valid": self.valid,
            "trusted": self.trusted,
            "matches_author": self.matches,
            "supported": self.supported,
            "signer": self.name,
            "emails": list(self.emails),
            "fingerprint": self.certificate.fingerprint if self.certificate else None,
            "bound": self.bound,
            "digest": self.digest,
            "scheme": self.scheme,
            "signing_time": self.signing_time.isoformat() if self.signing_time else None,
            "capabilities": sorted(self.capabilities),
            "chain": [issuer.name for issuer in self.chain],
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class HeaderReport(_Report):
    """Header fields found inside the layers, compared with those outside (RFC 9788).

    Names only: a report is kept where no Subject may stand.
    """

    scheme: str  # "hp=clear", "hp=cipher", "protected-headers=v1" or "message/rfc822"
    protected: tuple[str, ...] = ()  # fields that stand inside
    hidden: tuple[str, ...] = ()  # those their author removed from the outside or obscured there
    differing: tuple[str, ...] = ()  # those changed, added or lost on the way
    restored: tuple[str, ...] = ()  # those the delivered header has from inside
    reasons: tuple[str, ...] = ()
    readers: tuple[Mailbox, ...] = field(default=(), repr=False)  # To and Cc inside

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "scheme": self.scheme,
            "protected": list(self.protected),
            "hidden": list(self.hidden),
            "differing": list(self.differing),
            "restored": list(self.restored),
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class SignatureReport(_Report):
    """A signed layer: every signer, and the verdict on all of them together."""

    kind: str  # "multipart-signed" or "signed-data"
    verdict: Verdict
    signers: tuple[SignerReport, ...] = ()
    size: int = 0  # octets that were signed
    certificates: tuple[Certificate, ...] = field(default=(), repr=False)  # all that came along
    reasons: tuple[str, ...] = ()
    headers: HeaderReport | None = None  # None: the signed entity carries no header fields
    enclosed: tuple[Enclosed, ...] = field(default=(), repr=False)  # on revocation
    forensics: str = ""  # "valid before: ..." where undoing a change makes a broken one whole

    @property
    def leading(self) -> SignerReport | None:
        """The signer the verdict speaks of: the author's if there is one."""
        return max(self.signers, key=_merit, default=None)

    @property
    def intact(self) -> bool:
        """Whether every signer's octets are unchanged."""
        return bool(self.signers) and all(signer.intact for signer in self.signers)

    @property
    def valid(self) -> bool:
        """Whether the leading signer's signature is valid and no other one is broken."""
        return self.leading is not None and self.leading.valid and not _broken(self.signers)

    @property
    def trusted(self) -> bool:
        """Whether the leading signer's certificate is trusted."""
        return self.leading is not None and self.leading.trusted

    @property
    def matches(self) -> bool:
        """Whether the leading signer is the author."""
        return self.leading is not None and self.leading.matches

    @property
    def signer(self) -> str:
        """The leading signer's name."""
        return "" if self.leading is None else self.leading.name

    @property
    def emails(self) -> tuple[str, ...]:
        """The leading signer's addresses."""
        return () if self.leading is None else self.leading.emails

    @property
    def all_reasons(self) -> tuple[str, ...]:
        """Everything to be said against it, the layer's own reasons first, each once."""
        every = [*self.reasons, *(why for signer in self.signers for why in signer.reasons)]
        return tuple(dict.fromkeys(every))

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "layer": self.kind,
            "verdict": self.verdict.value,
            "intact": self.intact,
            "valid": self.valid,
            "trusted": self.trusted,
            "matches_author": self.matches,
            "signer": self.signer,
            "emails": list(self.emails),
            "size": self.size,
            "reasons": list(self.all_reasons),
            "headers": self.headers.as_data() if self.headers is not None else None,
            "forensics": self.forensics,
            "signers": [signer.as_data() for signer in self.signers],
        }


@dataclass(frozen=True, slots=True)
class EncryptionReport(_Report):
    """A decrypted layer."""

    kind: str  # "enveloped-data" or "authenveloped-data"
    cipher: str
    authenticated: bool  # the cipher proves the content unchanged (GCM); CBC does not
    management: str = ""  # how its key reached us: "rsa-oaep", "ecdh-std-sha256" …
    weak: bool = False  # a cipher that should not be used any more
    recipients: int = 0
    used: Certificate | None = field(default=None, repr=False)
    size: int = 0  # octets of the decrypted entity
    inner_fields: tuple[str, ...] = ()  # names of header fields found inside besides Content-*
    suspicions: tuple[str, ...] = ()  # traces of a tampered, unauthenticated ciphertext
    headers: HeaderReport | None = None  # None: the decrypted entity carries no header fields

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "layer": self.kind,
            "cipher": self.cipher,
            "key_management": self.management,
            "authenticated": self.authenticated,
            "weak": self.weak,
            "recipients": self.recipients,
            "key": self.used.fingerprint if self.used else None,
            "emails": list(self.used.emails) if self.used else [],
            "size": self.size,
            "inner_fields": list(self.inner_fields),
            "suspicions": list(self.suspicions),
            "headers": self.headers.as_data() if self.headers is not None else None,
        }


@dataclass(frozen=True, slots=True)
class CompressionReport(_Report):
    """A compressed layer that was opened; it protects nothing."""

    kind: str = "compressed-data"
    size: int = 0  # octets that came out

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"layer": self.kind, "size": self.size}


@dataclass(frozen=True, slots=True)
class ErrantReport(_Report):
    """A layer that does not cover the whole message and so was left as it is (RFC 9787)."""

    kind: str
    path: tuple[int, ...]  # part numbers from the outside in, counted from 1
    reasons: tuple[str, ...] = ("the layer covers only a part of the message",)

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "layer": self.kind,
            "whole": False,
            "part": ".".join(map(str, self.path)),
            "reasons": list(self.reasons),
        }


LayerReport = SignatureReport | EncryptionReport | CompressionReport | ErrantReport


def tree(reports: Sequence[object]) -> list[dict[str, object]]:
    """The layers among a message's findings, outermost first, as JSON values for a picture."""
    layers = [report for report in reports if isinstance(report, LayerReport)]
    return [{"depth": depth, **layer.as_data()} for depth, layer in enumerate(layers)]


def judge(signers: Sequence[SignerReport]) -> Verdict:
    """The verdict on all signers: the author's must be good, and none may be broken.

    RFC 5652 section 5 lets any valid signer suffice; an attacker who adds a signature
    of his own to a forged one must not profit from that.
    """
    if not signers:
        return Verdict.UNSIGNED
    if _broken(signers):
        return Verdict.INVALID
    leading = max(signers, key=_merit)
    if not leading.supported:
        return Verdict.UNSUPPORTED
    if not leading.valid:
        return Verdict.INVALID
    if not leading.matches:
        return Verdict.MISMATCH
    return Verdict.VALID if leading.trusted else Verdict.VALID_UNTRUSTED


def _broken(signers: Sequence[SignerReport]) -> bool:
    return any(signer.supported and not signer.intact for signer in signers)


def _merit(signer: SignerReport) -> tuple[bool, bool, bool, bool]:
    return (signer.matches and signer.valid, signer.matches, signer.valid, signer.trusted)
