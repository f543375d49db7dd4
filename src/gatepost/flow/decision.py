"""The record of one recipient's decision: what was wished, what was possible, what was done.

Plain data, kept with the message's trace; `flow.explain` is the only thing that turns
it into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from gatepost.certificate import Certificate
from gatepost.policy.treatment import Treatment


class Done(StrEnum):
    """What became of the message for this recipient."""

    SIGNED_ENCRYPTED = "sign+encrypt"
    ENCRYPTED = "encrypt"
    SIGNED = "sign"
    CLEAR = "clear"
    UNCHANGED = "unchanged"  # its author had already protected it
    DELIVERED = "deliver"  # inbound
    HELD = "hold"
    WAITING = "wait"
    DEFERRED = "defer"
    REFUSED = "refuse"
    ANSWERED = "answer"  # inbound: meant for the gateway itself


@dataclass(frozen=True, slots=True)
class CertificateNote:
    """A certificate as a record keeps it: enough to find it again and to name it."""

    fingerprint: str
    name: str
    emails: tuple[str, ...]
    not_after: str  # ISO date
    reason: str = ""  # why it was not taken
    source: str = ""  # how it came to us

    @classmethod
    def of(cls, certificate: Certificate, reason: str = "", source: str = "") -> CertificateNote:
        """The note for a certificate."""
        return _noted(certificate, reason, source)

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "fingerprint": self.fingerprint,
            "name": self.name,
            "emails": list(self.emails),
            "not_after": self.not_after,
            "reason": self.reason,
            **({"source": self.source} if self.source else {}),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> CertificateNote:
        """The inverse of `as_data`."""
        return cls(**{**data, "emails": tuple(data["emails"])})


@lru_cache(maxsize=1024)  # every mail tells of the same few
def _noted(certificate: Certificate, reason: str, source: str) -> CertificateNote:
    return CertificateNote(
        certificate.fingerprint,
        certificate.name,
        certificate.emails,
        certificate.not_after.date().isoformat(),
        reason,
        source,
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything decided about one recipient of one message."""

    recipient: str
    author: str  # RFC5322.From; empty: none or more than one
    done: Done
    reason: str = ""  # one sentence, where what was done is not simply what was wished
    treatment: Treatment | None = None  # outbound only
    certificate: CertificateNote | None = None  # encrypted to
    rejected: tuple[CertificateNote, ...] = ()
    signer: CertificateNote | None = None
    form: str = ""  # of the signature: clear, opaque
    signature: str = ""  # algorithm of the signature
    cipher: str = ""
    key_transport: str = ""
    because: tuple[str, ...] = ()  # what was chosen for this correspondent, and why
    apart: bool = False  # Bcc: in a message and CMS of its own
    layers: tuple[Mapping[str, object], ...] = ()  # inbound: reports, outermost first
    observed: bool = False  # monitor mode: this was decided, and the mail passed untouched

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "recipient": self.recipient,
            "author": self.author,
            "done": str(self.done),
            "reason": self.reason,
            "treatment": self.treatment.as_data() if self.treatment else None,
            "certificate": self.certificate.as_data() if self.certificate else None,
            "rejected": [one.as_data() for one in self.rejected],
            "signer": self.signer.as_data() if self.signer else None,
            "form": self.form,
            "signature": self.signature,
            "cipher": self.cipher,
            "key_transport": self.key_transport,
            "because": list(self.because),
            "apart": self.apart,
            "layers": [dict(one) for one in self.layers],
            "observed": self.observed,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Decision:
        """The inverse of `as_data`."""
        treatment, certificate, signer = data["treatment"], data["certificate"], data["signer"]
        changed: dict[str, Any] = {
            "done": Done(data["done"]),
            "treatment": Treatment.from_data(treatment) if treatment else None,
            "certificate": CertificateNote.from_data(certificate) if certificate else None,
            "rejected": tuple(CertificateNote.from_data(one) for one in data["rejected"]),
            "signer": CertificateNote.from_data(signer) if signer else None,
            "because": tuple(data.get("because", ())),  # older records have none
            "layers": tuple(data["layers"]),
        }
        return cls(**{**data, **changed})


def decisions(findings: tuple[object, ...]) -> tuple[Decision, ...]:
    """The decisions among a message's findings."""
    return tuple(one for one in findings if isinstance(one, Decision))
