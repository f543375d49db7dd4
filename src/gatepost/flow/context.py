"""What every stage is given besides the message: time, policy, settings, entropy, facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor
from gatepost.flow.challenge import Expected
from gatepost.flow.fact import (
    AnchorsFor,
    Answer,
    Answers,
    CertificateFor,
    ChallengeFor,
    CorrespondentFor,
    DecryptorsFor,
    Fact,
    IssuersOf,
    RevocationOf,
    SignerAnswer,
    SignerFor,
    SignersOf,
)
from gatepost.pki.choose import Choice
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors
from gatepost.policy.rules import Policy
from gatepost.smime.correspondent import Correspondent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """One snapshot per message.  `entropy(n)` gives n random octets, `names()` a fresh token."""

    now: datetime
    hostname: str  # our own name: Received, authserv-id
    domains: frozenset[str]  # our own domains, as `domain_key`s
    policy: Policy
    entropy: Callable[[int], bytes]
    names: Callable[[], str]
    mac: Callable[[bytes], bytes] | None = None  # under the vault's key; None: no trace fields
    asks_revocation: bool = False  # whether a signer's path is looked into
    generation: int | None = None  # of the directory: facts are to be as new; None: as can be
    facts: Answers = field(default_factory=lambda: MappingProxyType({}))

    def knowing(self, answers: Mapping[Fact, Answer]) -> Context:
        """The same context with more facts."""
        return replace(self, facts={**self.facts, **answers})

    def certificate_for(self, fact: CertificateFor) -> Choice:
        """The answer to a CertificateFor asked before."""
        return self._answer(fact, Choice)

    def correspondent_for(self, fact: CorrespondentFor) -> Correspondent:
        """The answer to a CorrespondentFor asked before."""
        return self._answer(fact, Correspondent)

    def signer_for(self, fact: SignerFor) -> SignerAnswer:
        """The answer to a SignerFor asked before."""
        return self._answer(fact, SignerAnswer)

    def decryptors_for(self, fact: DecryptorsFor) -> tuple[Decryptor, ...]:
        """The answer to a DecryptorsFor asked before."""
        return self._answer(fact, tuple)

    def signers_of(self, fact: SignersOf) -> tuple[Certificate, ...]:
        """The answer to a SignersOf; nothing while it was not asked."""
        return self._answer(fact, tuple) if fact in self.facts else ()

    def anchors_for(self, fact: AnchorsFor) -> Anchors:
        """The answer to an AnchorsFor asked before."""
        return self._answer(fact, Anchors)

    def issuers_of(self, fact: IssuersOf) -> tuple[Certificate, ...]:
        """The answer to an IssuersOf; nothing while it was not asked."""
        return self._answer(fact, tuple) if fact in self.facts else ()

    def revocation_of(self, fact: RevocationOf) -> Evidence | None:
        """The answer to a RevocationOf; nothing while it was not asked."""
        return self._answer(fact, Evidence) if fact in self.facts else None

    def challenge_for(self, fact: ChallengeFor) -> Expected:
        """The answer to a ChallengeFor asked before."""
        return self._answer(fact, Expected)

    def _answer(self, fact: Fact, kind: type[T]) -> T:
        answer = self.facts[fact]
        if not isinstance(answer, kind):
            raise TypeError(f"{fact} was answered with {type(answer).__name__}")
        return answer
