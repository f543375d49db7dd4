"""Answers the flow's questions from directory, vault and authority.

Answers are remembered until the directory changes or a minute has passed, so that an
ordinary message costs no look-up.  Read-only (`explain`) only rehearses what would be issued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, assert_never

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor, Signer
from gatepost.engine.federation import Federation
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.source import Sources
from gatepost.engine.standing import Standing
from gatepost.enrol.local import RENEWED
from gatepost.errors import GatepostError, Refused, Unsupported
from gatepost.events import Name
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
    RevocationOf,
    SignerAnswer,
    SignerFor,
    SignersOf,
)
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Candidate, Choice, choose, watched
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors
from gatepost.smime.correspondent import Correspondent
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault

Read = TypeVar("Read")

MEMORY = timedelta(minutes=1)
MAXIMUM_REMEMBERED = 10_000


def _asked_about(fact: Fact) -> str:
    """The domain whose announcement may change this answer."""
    match fact:
        case CertificateFor(mailbox) | CorrespondentFor(mailbox):
            return mailbox.domain_key
        case AnchorsFor(domain):
            return domain
        case _:
            return ""


class Authority(Protocol):
    """Issues certificates to our own people."""

    def ensure(self, mailbox: Mailbox, now: datetime) -> tuple[Signer, Certificate]:
        """The mailbox's signer and encryption certificate, issued now if need be."""
        ...

    def rehearse(self, mailbox: Mailbox, now: datetime) -> tuple[Signer, Certificate]:
        """What `ensure` would issue; nothing is kept."""
        ...


class Gatherer:
    """One per process.  Calling it with facts gives their answers."""

    def __init__(
        self,
        directory: Directory,
        vault: Vault,
        authority: Authority | None,
        *,
        domains: frozenset[str],
        clock: Callable[[], datetime],
        journal: Journal | None = None,
        read_only: bool = False,
        federation: Federation | None = None,
        sources: Sources | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._directory = directory
        self._vault = vault
        self._authority = authority
        self._domains = domains
        self._clock = clock
        self._journal = journal
        self._read_only = read_only
        self._federation, self._sources = federation, sources
        self._standing = standing
        self.rehearsed: set[Mailbox] = set()  # whose certificates the live path would issue
        self._remembered: dict[Fact, Answer] = {}
        self._generation = -1
        self._until = clock()
        self._enrolling: dict[str, asyncio.Lock] = {}

    async def __call__(self, facts: frozenset[Fact]) -> Answers:
        """Answer every fact; raises Unavailable or KeyUnavailable when one cannot be answered."""
        return {fact: await self._answer(fact) for fact in facts}

    def known(self, fact: Fact) -> Answer | None:
        """The remembered answer, if there is one that still counts."""
        now = self._clock()
        generation = self._directory.generation()
        if generation != self._generation or now >= self._until:
            self._remembered.clear()
            self._generation, self._until = generation, now + MEMORY
        return self._remembered.get(fact)

    async def _answer(self, fact: Fact) -> Answer:
        if isinstance(fact, RevocationOf) and self._standing is not None:
            return await self._standing.of_signer(fact.chain)  # it remembers for itself
        known = self.known(fact)
        if known is not None:
            return known
        if self._federation is not None and (domain := _asked_about(fact)):
            await self._federation.meet(domain)
        answer: Answer
        if isinstance(fact, CertificateFor) and self._standing is not None:
            answer = await self._unrevoked(fact.mailbox, self._standing)
        else:
            answer = await self._read(self._look_up, fact)
        if (
            isinstance(fact, SignerFor)
            and isinstance(answer, SignerAnswer)
            and self._is_due(answer)
        ):
            answer = await self._enrol(fact.mailbox, answer)
        if isinstance(fact, CertificateFor) and isinstance(answer, Choice):
            answer = await self._searched(fact.mailbox, answer)
            if answer.unasked:
                return answer  # which the source may know the next moment
        if len(self._remembered) < MAXIMUM_REMEMBERED:
            self._remembered[fact] = answer
        return answer

    async def _searched(self, mailbox: Mailbox, known: Choice) -> Choice:
        """What sources outside have, where nothing that we have can be used."""
        if self._sources is None or known.chosen is not None:
            return known
        found = await self._sources.find(mailbox)
        if not found.candidates:
            return replace(known, unasked=found.unasked)
        anchors = await asyncio.to_thread(self._anchors, mailbox.domain_key)
        if self._standing is not None:
            anchors = await self._standing.weighed(found.candidates, anchors, self._clock())
        other = choose(found.candidates, mailbox, anchors, self._clock())
        return replace(other, rejected=(*other.rejected, *known.rejected))

    def _look_up(self, fact: Fact) -> Answer:
        match fact:
            case CertificateFor(mailbox):
                return self._choice(mailbox, *self._offered(mailbox))
            case CorrespondentFor(mailbox):
                return self._correspondent(mailbox)
            case SignersOf(mailbox):
                return self._directory.signers_of(mailbox)
            case SignerFor(mailbox):
                return self._signer(mailbox)
            case DecryptorsFor(mailbox):
                return self._decryptors(mailbox)
            case AnchorsFor(domain):
                return self._anchors(domain)
            case RevocationOf():
                return Evidence(required=False)  # nobody asks here: unknown
            case ChallengeFor():
                return Expected()  # no order of ours is pending
            case _:
                assert_never(fact)

    async def _read(self, work: Callable[..., Read], *asked: object) -> Read:
        """What the directory says; the loop must not wait for a network."""
        if self._directory.is_distant:
            return await asyncio.to_thread(work, *asked)
        return work(*asked)

    async def _unrevoked(self, mailbox: Mailbox, standing: Standing) -> Choice:
        """The choice by what is known of revocation."""
        found, anchors = await self._read(self._offered, mailbox)
        weighed = await standing.weighed(found, anchors, self._clock())
        return await self._read(self._choice, mailbox, found, weighed)

    def _offered(self, mailbox: Mailbox) -> tuple[tuple[Candidate, ...], Anchors]:
        return self._candidates(mailbox), self._anchors(mailbox.domain_key)

    def _candidates(self, mailbox: Mailbox) -> tuple[Candidate, ...]:
        found = self._directory.candidates_for(mailbox)
        if self._federation is not None:
            found = (*found, *self._federation.candidates(mailbox.domain_key))
        return found

    def _choice(self, mailbox: Mailbox, found: tuple[Candidate, ...], anchors: Anchors) -> Choice:
        now = self._clock()
        chosen = choose(found, mailbox, anchors, now)
        known = self._directory.known_keys.of(mailbox)
        return watched(chosen, found, mailbox, anchors, now, known=known)

    def _anchors(self, domain: str) -> Anchors:
        """What is trusted for a domain, by an administrator's word or its own announcement."""
        known = self._directory.anchors_for(domain)
        return known if self._federation is None else self._federation.anchors(domain, known)

    def _correspondent(self, mailbox: Mailbox) -> Correspondent:
        """A person's own word on his software, else his domain's."""
        known = self._directory.correspondent(mailbox)
        if self._federation is None or known.announced:
            return known
        return replace(known, announced=self._federation.algorithms(mailbox.domain_key))

    def _signer(self, mailbox: Mailbox) -> SignerAnswer:
        now = self._clock()
        signer = self._vault.signer_for(mailbox, now)
        if signer is None:
            return SignerAnswer(None, f"no signing certificate for {mailbox}")
        encryption = self._vault.encryption_certificate_for(mailbox, now)
        return SignerAnswer(signer, certificates=(encryption,) if encryption else ())

    def _is_due(self, answer: SignerAnswer) -> bool:
        """Whether the authority should look: nothing to sign with, or not for much longer."""
        if answer.signer is None:
            return True
        return answer.signer.certificate.not_after - self._clock() < RENEWED

    def _decryptors(self, mailbox: Mailbox) -> tuple[Decryptor, ...]:
        if mailbox.domain_key not in self._domains:
            return ()
        return tuple(self._vault.decryptors_for(mailbox))

    async def _enrol(self, mailbox: Mailbox, without: SignerAnswer) -> SignerAnswer:
        """Issue certificates at a user's first mail; key generation is too slow for the loop."""
        if self._authority is None or mailbox.domain_key not in self._domains:
            return without
        if self._read_only:
            return without if without.signer else await self._rehearse(mailbox)
        lock = self._enrolling.setdefault(mailbox.key, asyncio.Lock())
        try:
            async with lock:
                return await self._ensured(mailbox)
        except GatepostError as error:
            if without.signer is not None:  # good for some days yet: renewing can wait, mail not
                self._trouble(mailbox, error)
                return without
            if isinstance(error, Refused | Unsupported):  # for good: policy says what then
                return SignerAnswer(None, str(error))
            raise
        finally:
            self._enrolling.pop(mailbox.key, None)

    async def _ensured(self, mailbox: Mailbox) -> SignerAnswer:
        assert self._authority is not None
        answer = self._signer(mailbox)  # somebody else may have been first
        if not self._is_due(answer):
            return answer
        known = {answer.signer.certificate if answer.signer else None, *answer.certificates}
        ensure, now = self._authority.ensure, self._clock()
        signer, encryption = await asyncio.to_thread(ensure, mailbox, now)
        self._note(mailbox, *({signer.certificate, encryption} - known))
        return SignerAnswer(signer, certificates=(encryption,))

    async def _rehearse(self, mailbox: Mailbox) -> SignerAnswer:
        """Decide as if the certificate were there, for the live path would issue it."""
        assert self._authority is not None
        signer, encryption = await asyncio.to_thread(
            self._authority.rehearse, mailbox, self._clock()
        )
        self.rehearsed.add(mailbox)
        return SignerAnswer(signer, certificates=(encryption,))

    def _trouble(self, mailbox: Mailbox, error: GatepostError) -> None:
        if self._journal is not None:
            why = reason_of(error)
            self._journal.note(
                Name.SERVICE_ERROR, service="authority", address=str(mailbox), reason=why
            )

    def _note(self, mailbox: Mailbox, *issued: Certificate) -> None:
        if self._journal is not None:
            for one in issued:
                self._journal.note(
                    Name.CERTIFICATE_ISSUED,
                    address=str(mailbox),
                    fingerprint=one.fingerprint,
                    until=one.not_after.date().isoformat(),
                )
