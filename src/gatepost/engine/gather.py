"""Answers the flow's questions from directory, vault and authority.

Answers are remembered until the directory changes or a minute has passed, so that an
ordinary message costs no look-up.  Read-only (`explain`) only rehearses what would be issued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, assert_never

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor, Signer
from gatepost.engine.chase import Chase
from gatepost.engine.federation import Federation
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.respond import Challenges
from gatepost.engine.source import Sources
from gatepost.engine.standing import Standing
from gatepost.engine.staple import Stapler
from gatepost.enrol.local import RENEWED
from gatepost.errors import GatepostError, NotYet, Refused, Unsupported
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
    IssuersOf,
    RevocationOf,
    SignerAnswer,
    SignerFor,
    SignersOf,
)
from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known
from gatepost.pki.choose import Candidate, Choice, choose, watched
from gatepost.pki.evidence import Evidence
from gatepost.pki.validate import Anchors
from gatepost.smime.correspondent import Correspondent
from gatepost.smime.word import Word, lesson
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault

Read = TypeVar("Read")
Candidates = tuple[Candidate, ...]

MEMORY = timedelta(minutes=1)
MAXIMUM_REMEMBERED = 10_000
MAXIMUM_AT_ONCE = 16  # facts that are looked for at a time


def _asked_about(fact: Fact) -> str:
    """The domain whose announcement may change this answer."""
    match fact:
        case CertificateFor(mailbox) | CorrespondentFor(mailbox):
            return mailbox.domain_key
        case AnchorsFor(domain):
            return domain
        case _:
            return ""


@dataclass(frozen=True, slots=True)
class Offer:
    """All that the directory and announcements say of a mailbox's certificates."""

    mailbox: Mailbox
    candidates: Candidates
    anchors: Anchors
    known: Known | None  # what it was last written to with

    def choice(
        self, found: Candidates, anchors: Anchors, now: datetime, beside: Candidates = ()
    ) -> Choice:
        """The best of what was found, beside what else may be known of the mailbox."""
        chosen = choose(found, self.mailbox, anchors, now)
        return watched(chosen, (*found, *beside), self.mailbox, anchors, now, known=self.known)


class Authority(Protocol):
    """Issues certificates to our own people."""

    def ensure(self, mailbox: Mailbox, now: datetime) -> tuple[Signer, Certificate | None]:
        """The mailbox's signer and encryption certificate, issued now if need be.

        Raises NotYet while they are on their way.
        """
        ...

    def rehearse(self, mailbox: Mailbox, now: datetime) -> tuple[Signer, Certificate | None]:
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
        challenges: Challenges | None = None,
        chase: Chase | None = None,
        stapler: Stapler | None = None,
    ) -> None:
        self._directory = directory
        self._vault = vault
        self._authority = authority
        self._domains = domains
        self._clock = clock
        self._journal = journal
        self._read_only = read_only
        self._federation, self._sources = federation, sources
        self._standing, self._challenges = standing, challenges
        self._chase = chase or Chase(directory, clock)
        self._stapler = stapler
        self.rehearsed: set[Mailbox] = set()  # whose certificates the live path would issue
        self._remembered: dict[Fact, Answer] = {}
        self._generation, self._age = -1, 0
        self._until = clock()
        self._enrolling: dict[str, asyncio.Lock] = {}

    async def __call__(self, facts: frozenset[Fact], generation: int | None = None) -> Answers:
        """Answer every fact; raises Unavailable or KeyUnavailable when one cannot be answered.

        What is remembered counts while the directory is of this generation; None: ask it.
        """
        self._refresh(self._directory.generation() if generation is None else generation)
        unknown = sum(fact not in self._remembered for fact in facts)
        if self._sources is None or unknown < 2:
            return {fact: await self._answer(fact) for fact in facts}
        room = asyncio.Semaphore(MAXIMUM_AT_ONCE)  # many recipients wait for outside together

        async def answered(fact: Fact) -> tuple[Fact, Answer]:
            async with room:
                return fact, await self._answer(fact)

        return dict(await asyncio.gather(*map(answered, facts)))

    def at_hand(self, facts: frozenset[Fact], generation: int | None = None) -> Answers | None:
        """The same without waiting, where every answer is remembered; else None."""
        self._refresh(self._directory.generation() if generation is None else generation)
        known: dict[Fact, Answer] = {
            fact: self._remembered[fact]
            for fact in facts
            if fact in self._remembered and not isinstance(fact, SignerFor)
        }
        return known if len(known) == len(facts) else None

    def _refresh(self, generation: int) -> None:
        """Forget the answers that another state of the directory gave, or an old one."""
        now = self._clock()
        if generation != self._generation or now >= self._until:
            self._remembered.clear()
            self._generation, self._until = generation, now + MEMORY
            self._age += 1

    async def _answer(self, fact: Fact) -> Answer:
        found = await self._found(fact)
        if self._stapler is not None and isinstance(fact, SignerFor):
            assert isinstance(found, SignerAnswer)
            return self._stapler.stapled(fact.mailbox, found)
        return found

    async def _found(self, fact: Fact) -> Answer:
        if isinstance(fact, RevocationOf) and self._standing is not None:
            return await self._standing.of_signer(fact.chain)  # it remembers for itself
        if isinstance(fact, ChallengeFor) and self._challenges is not None:
            return await self._challenges.expected(fact.mailbox)  # of this very moment
        if isinstance(fact, IssuersOf):
            anchors = await self._read(self._anchors, fact.domain)
            return await self._chase.above(fact.certificate, fact.beside, anchors)
        known = self._remembered.get(fact)
        if known is not None:
            return known
        age = self._age
        if self._federation is not None and (domain := _asked_about(fact)):
            await self._federation.meet(domain, wrote=isinstance(fact, AnchorsFor))
        if isinstance(fact, CertificateFor):
            choice = await self._chosen(fact.mailbox)
            if choice.unasked:
                return choice  # which the source may know the next moment
            return self._remember(fact, choice, age)
        answer = await self._read(self._look_up, fact)
        if (
            isinstance(fact, SignerFor)
            and isinstance(answer, SignerAnswer)
            and self._is_due(answer)
        ):
            answer = await self._enrol(fact.mailbox, answer)
        return self._remember(fact, answer, age)

    def _remember(self, fact: Fact, answer: Answer, age: int) -> Answer:
        """Keep it, unless what it was made of may have changed while it was waited for."""
        if age == self._age and len(self._remembered) < MAXIMUM_REMEMBERED:
            self._remembered[fact] = answer
        return answer

    async def _chosen(self, mailbox: Mailbox) -> Choice:
        """The best of what we have, else of what sources outside have."""
        offer = await self._read(self._offered, mailbox)
        known = best = await self._weighed(offer, offer.candidates)
        if self._sources is None or known.chosen is not None:
            return known

        async def enough(candidates: Candidates) -> bool:
            nonlocal best
            best = await self._weighed(offer, candidates, offer.candidates)
            return best.chosen is not None

        found = await self._sources.find(mailbox, enough)
        for word in () if self._read_only else found.words:
            await self._learn(mailbox, word, offer.anchors)
        rejected = known.rejected if best is known else (*best.rejected, *known.rejected)
        if best.chosen is None:
            remarks = (*best.remarks, *found.remarks)
            return replace(best, rejected=rejected, remarks=remarks, unasked=found.unasked)
        unasked = (found.unasked,) if found.unasked else ()
        remarks = (*best.remarks, *found.remarks, *unasked)
        return replace(best, rejected=rejected, remarks=remarks)

    async def _learn(self, mailbox: Mailbox, word: Word, anchors: Anchors) -> None:
        """Remember what somebody announced outside of mail, if it is proven to be his."""
        now = self._clock()
        try:
            brought = Candidate(word.signer, "ldap", word.beside)
            (said,) = await self._chase.completed((brought,), anchors)
            if self._standing is not None:
                anchors = await self._standing.weighed((said,), anchors, now)
            found = lesson(word, mailbox, said.issuers, anchors, now)
            if found is not None:
                await asyncio.to_thread(self._directory.note, found, now=now)
        except GatepostError as error:  # the certificate is good without
            self._trouble(mailbox, error, "harvest")

    async def _weighed(self, offer: Offer, found: Candidates, beside: Candidates = ()) -> Choice:
        """The choice among what was found, its paths made whole and asked about."""
        anchors = offer.anchors
        found = await self._chase.completed(found, anchors)
        if self._standing is not None:
            anchors = await self._standing.weighed(found, anchors, self._clock())
        return offer.choice(found, anchors, self._clock(), beside)

    def _look_up(self, fact: Fact) -> Answer:
        match fact:
            case CertificateFor(mailbox):
                offer = self._offered(mailbox)
                return offer.choice(offer.candidates, offer.anchors, self._clock())
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
            case IssuersOf(certificate):
                return self._directory.issuers_of(certificate)
            case ChallengeFor():
                return Expected()  # no order of ours is pending
            case _:
                assert_never(fact)

    async def _read(self, work: Callable[..., Read], *asked: object) -> Read:
        """What the directory says; the loop must not wait for a network."""
        if self._directory.is_distant:
            return await asyncio.to_thread(work, *asked)
        return work(*asked)

    def _offered(self, mailbox: Mailbox) -> Offer:
        found = self._directory.candidates_for(mailbox)
        if self._federation is not None:
            found = (*found, *self._federation.candidates(mailbox.domain_key))
        anchors, known = self._anchors(mailbox.domain_key), self._directory.known_keys.of(mailbox)
        return Offer(mailbox, found, anchors, known)

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
        if self._read_only and without.signer is not None:
            return without
        lock = self._enrolling.setdefault(mailbox.key, asyncio.Lock())
        try:
            async with lock:
                return await (self._rehearse if self._read_only else self._ensured)(mailbox)
        except GatepostError as error:
            if without.signer is not None:  # good for some days yet: renewing can wait, mail not
                self._trouble(mailbox, error)
                return without
            # for good, or for as long as others take: policy says what then
            if isinstance(error, Refused | Unsupported | NotYet):
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
        certificates = (encryption,) if encryption else ()
        self._note(mailbox, *({signer.certificate, *certificates} - known))
        return SignerAnswer(signer, certificates=certificates)

    async def _rehearse(self, mailbox: Mailbox) -> SignerAnswer:
        """Decide as if the certificate were there, for the live path would issue it."""
        assert self._authority is not None
        signer, encryption = await asyncio.to_thread(
            self._authority.rehearse, mailbox, self._clock()
        )
        self.rehearsed.add(mailbox)
        return SignerAnswer(signer, certificates=(encryption,) if encryption else ())

    def _trouble(self, mailbox: Mailbox, error: GatepostError, service: str = "authority") -> None:
        if self._journal is not None:
            why = reason_of(error)
            self._journal.note(
                Name.SERVICE_ERROR, service=service, address=str(mailbox), reason=why
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
