"""Where certificates come from that the embedded CA does not issue: the seam of every source.

ACME, EST, a request in a file and plug-ins are each a `CertificateSource`.  None holds a key:
it is handed a request (PKCS #10) that the vault signed, and gives the chain issued upon it, or
says what it waits for.  What it must remember meanwhile it gives as text, kept for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

from gatepost.certificate import Certificate
from gatepost.cms.capability import SignatureScheme, Signer
from gatepost.errors import GatepostError

Purpose = Literal["sign", "encrypt", "both"]
Sign = Callable[[bytes, SignatureScheme], bytes]


@dataclass(frozen=True, slots=True)
class Proof:
    """Whereby the owner of a certificate shows that he asks himself; the vault lends both."""

    signer: Signer  # of the certificate that is replaced or, if that cannot sign, of his other one
    sign: Sign = field(repr=False)  # with the key that is to be certified


def unproved() -> Proof | None:
    """Nothing but the request speaks for him."""
    return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that is asked for."""

    address: str  # "alice@example.com", or "@example.com" for a whole domain (RFC 3183)
    purpose: Purpose
    request: bytes  # CertificationRequest in DER (RFC 2986), its proof of possession made
    replacing: Certificate | None = None
    # asked for only by a source that can use it; raises KeyUnavailable
    proof: Callable[[], Proof | None] = field(default=unproved, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Issued:
    """The certificate, then its issuers as far as the source gives them."""

    chain: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """Not yet."""

    state: str  # what the source needs to go on, in a form of its own; no secrets in it
    again: timedelta  # when to look again
    waits_for: str  # one sentence for the administrator


class CertificateSource(Protocol):
    """One account at one authority.

    Both methods raise Refused when the authority will not issue (asking again is of no use)
    and Unavailable when it cannot be asked now.
    """

    @property
    def name(self) -> str:
        """What it is called in the settings."""
        ...

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        """Ask for a certificate."""
        ...

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        """Go on with what is pending; `state` is that of the last Pending."""
        ...


@dataclass(frozen=True, slots=True)
class Advice:
    """When the authority would have a certificate renewed."""

    start: datetime
    end: datetime
    again: timedelta  # when to ask again
    explanation: str = ""  # a URL for people


@runtime_checkable
class Advising(Protocol):
    """What a source may do besides for certificates that are in use."""

    async def advice(
        self, certificates: Sequence[Certificate], now: datetime
    ) -> Mapping[Certificate, Advice | GatepostError]:
        """For each that it got to, or why there is none; none at all where it advises nobody.

        Raises Unavailable when it cannot be asked now.
        """
        ...


@runtime_checkable
class Identified(Protocol):
    """What a source may know besides, for `gatepost check`."""

    async def identities(self, now: datetime) -> tuple[str, ...]:
        """The domain names by which the authority goes in CAA records; raises as above."""
        ...


@runtime_checkable
class Answering(Protocol):
    """What a source may do besides, for `gatepost check`."""

    async def answers(self, now: datetime) -> str:
        """Ask for nothing, and say in one sentence who answered; raises as above."""
        ...
