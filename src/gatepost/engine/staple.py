"""What our own signatures carry along of revocation (RFC 5652 section 10.2.1, RFC 5940).

Made beside the mail and kept in memory: a message takes what is here and fresh, and waits for
nothing.  Of our own CA lists and answers are made here, of others' they are asked as anybody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from gatepost.certificate import Certificate
from gatepost.cms.enclosure import Enclosed
from gatepost.config.revocation import Staple
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.public import responder
from gatepost.engine.standing import Standing
from gatepost.enrol.local import LocalAuthority
from gatepost.events import Name
from gatepost.flow.fact import SignerAnswer
from gatepost.lookup.freshness import Statement, due, ends
from gatepost.lookup.revocation import question
from gatepost.mail.address import Mailbox
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence, Finding
from gatepost.pki.ocsp import Answer
from gatepost.pki.validate import Anchors, validate
from gatepost.store.directory import Directory

MAXIMUM = 8192  # octets that a signature grows by
MAXIMUM_KEPT = 10_000  # signers
MAXIMUM_WAITING = 100
FAILED = timedelta(minutes=10)  # before it is tried again
LEFT = timedelta(hours=1)  # it must count at least so long: mail takes its time

Chain = tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What goes along with one signer's signatures."""

    enclosed: tuple[Enclosed, ...]
    again: datetime  # then it is made anew
    until: datetime  # it counts


class Stapler:
    """One per process."""

    def __init__(
        self,
        directory: Directory,
        authority: LocalAuthority | None,
        standing: Standing | None,
        clock: Callable[[], datetime],
        journal: Journal,
        *,
        answers: bool,
    ) -> None:
        self._directory, self._authority, self._standing = directory, authority, standing
        self._clock, self._journal, self._answers = clock, journal, answers
        self._responder = responder(authority) if authority is not None and answers else None
        self._kept: dict[Certificate, _Kept] = {}
        self._making: dict[Certificate, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(1)  # there is no hurry

    def stapled(self, mailbox: Mailbox, answer: SignerAnswer) -> SignerAnswer:
        """The answer with what is here; what is not is made for the next mail."""
        signer, now = answer.signer, self._clock()
        if signer is None:
            return answer
        kept = self._kept.get(signer.certificate)
        if kept is None or now >= kept.again:
            self._begin(mailbox, signer.certificate, signer.chain)
        if kept is None or not kept.enclosed or now + LEFT > kept.until:
            return answer
        return replace(answer, enclosed=kept.enclosed)

    async def settle(self) -> None:
        """Wait for what is being made."""
        await asyncio.gather(*self._making.values(), return_exceptions=True)

    async def close(self) -> None:
        """Make no more."""
        for one in self._making.values():
            one.cancel()
        await self.settle()

    def _begin(
        self, mailbox: Mailbox, certificate: Certificate, above: Sequence[Certificate]
    ) -> None:
        if certificate in self._making or len(self._making) >= MAXIMUM_WAITING:
            return
        work = self._made(mailbox, (certificate, *above))
        self._making[certificate] = task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._making.pop(certificate, None))

    async def _made(self, mailbox: Mailbox, chain: Chain) -> None:
        now = self._clock()
        kept = _Kept((), now + FAILED, now)
        try:
            async with self._room:
                kept = await self._found(mailbox, chain, now) or kept
        except Exception as error:  # noqa: BLE001  a signature is good without
            self._journal.note(
                Name.SERVICE_ERROR, service="staple", address=str(mailbox), reason=reason_of(error)
            )
        if len(self._kept) >= MAXIMUM_KEPT:
            self._kept.clear()
        self._kept[chain[0]] = kept

    async def _found(self, mailbox: Mailbox, chain: Chain, now: datetime) -> _Kept | None:
        path = await asyncio.to_thread(self._path, mailbox, chain, now)
        said = await asyncio.to_thread(self._ours, path, now)
        asked = None
        if self._standing is not None and len(said) < len(path) - 1:
            asked = await self._standing.of_own(path)
        return await asyncio.to_thread(self._chosen, path, said, asked, now)

    def _path(self, mailbox: Mailbox, chain: Chain, now: datetime) -> Chain:
        """Up to the anchor, where that is known here."""
        anchors = self._directory.anchors_for(mailbox.domain_key)
        return validate(chain[0], chain[1:], anchors, moment=now).chain or chain

    def _ours(self, path: Chain, now: datetime) -> tuple[Statement, ...]:
        """What our own CA says of its certificates."""
        authority = self._authority
        if authority is None:
            return ()
        own = authority.authorities
        return tuple(
            said
            for one, above in pairwise(path)
            if above in own and (said := self._said(authority, one, above, now)) is not None
        )

    def _said(
        self, authority: LocalAuthority, one: Certificate, above: Certificate, now: datetime
    ) -> Statement | None:
        if self._responder is not None and above != authority.root:  # which has a list only
            asked = question(one, above)
            return Answer.from_der(self._responder.answer(asked, [above], authority.lend, now))
        found = authority.revocations(above, now)
        return Crl.from_der(found.der) if found and len(found.der) <= MAXIMUM else None

    def _chosen(
        self, path: Chain, said: Sequence[Statement], asked: Evidence | None, now: datetime
    ) -> _Kept | None:
        """What proves each certificate good, the signer's own first, as far as there is room."""
        lists = [one for one in said if isinstance(one, Crl)]
        answers = [one for one in said if isinstance(one, Answer)]
        if asked is not None:
            lists += asked.lists
            answers += asked.answers if self._answers else ()
        evidence = Evidence(tuple(lists), tuple(answers), required=False)
        anchors = Anchors(frozenset(path[-1:]), frozenset(path[1:-1]), evidence)
        report = validate(path[0], (), anchors, moment=now)
        proofs = _fitting(report.revocation) if report.trusted else ()
        if not proofs:
            return None
        return _Kept(
            tuple(Enclosed("crl" if isinstance(one, Crl) else "ocsp", one.der) for one in proofs),
            min(due(one, now, 0.0) for one in proofs),
            min(map(ends, proofs)),
        )


def _fitting(findings: Iterable[Finding]) -> tuple[Statement, ...]:
    found: dict[str, Statement] = {}
    size = 0
    for one in findings:
        new = {each.digest: each for each in one.proofs if each.digest not in found}
        more = sum(len(each.der) for each in new.values())
        if one.status == "good" and size + more <= MAXIMUM:
            found |= new
            size += more
    return tuple(found.values())


def stapler(
    staple: Staple,
    directory: Directory,
    authority: LocalAuthority | None,
    *,
    standing: Standing | None,
    clock: Callable[[], datetime],
    journal: Journal,
) -> Stapler | None:
    """Who does it, as the configuration says."""
    if staple == "off":
        return None
    return Stapler(directory, authority, standing, clock, journal, answers=staple == "answers")
