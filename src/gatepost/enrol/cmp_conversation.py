"""One conversation in CMP (RFC 9810), from a request to the receipt for what came of it.

Every message of it is protected in the same way (section 5.1.3); an answer counts when it is
fresh and proves that it comes from the authority.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gatepost.certificate import Certificate
from gatepost.enrol import cmp_message as wire
from gatepost.enrol import receipt
from gatepost.enrol.carrier import shown
from gatepost.enrol.cmp_message import Message, Thread
from gatepost.enrol.cmp_protection import Protection
from gatepost.enrol.cmp_status import free_text, integer, read_status
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import Malformed, Refused, Unavailable
from gatepost.pki.der import first, inside, items

if TYPE_CHECKING:
    from gatepost.enrol.cmp import Cmp

SOONEST: Final = timedelta(seconds=30)
LATEST: Final = timedelta(days=7)
_KIND: Final = "application/pkixcmp"
_RESPONSES: Final = frozenset({wire.CP, wire.KUP})
_ACCEPTED: Final = frozenset({0, 1})
_WAITING: Final = 3
_PASSING: Final = frozenset({"systemUnavail", "systemFailure"})


class Declined(Refused):
    """The authority said no to the request itself."""


class Unproved(Unavailable):
    """Somebody said no who does not prove that he is the authority."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """With one server, about one certificate."""

    server: Cmp
    wanted: Wanted
    protection: Protection = field(repr=False)
    now: datetime

    async def ask(self, kind: int, body: bytes, transaction: bytes) -> Issued | Pending:
        """Begin it."""
        return await self._went_on(kind, body, Thread(transaction, self.server.entropy(16)))

    async def poll(self, number: int, transaction: bytes, answered: bytes) -> Issued | Pending:
        """Go on with it."""
        thread = Thread(transaction, self.server.entropy(16), answered)
        return await self._went_on(wire.POLL_REQ, wire.question(number), thread)

    @property
    def _host(self) -> str:
        return self.server.carrier.host

    async def _went_on(self, kind: int, body: bytes, thread: Thread) -> Issued | Pending:
        answer = await self._exchange(kind, body, thread)
        try:
            if answer.kind == wire.POLL_REP:
                return self._polled(answer)
            if answer.kind in _RESPONSES:
                return await self._responded(answer)
        except (IndexError, ValueError, Malformed) as error:
            raise Unavailable(f"{self._host} answers what is no CMP: {error}") from error
        raise Unavailable(f"{self._host} answers with a message of kind {answer.kind}")

    def _polled(self, answer: Message) -> Pending:
        """PollRepContent ::= SEQUENCE OF SEQUENCE { certReqId, checkAfter, reason OPTIONAL }."""
        number, after, *reason = items(first(answer.body))
        seconds = timedelta(seconds=min(integer(after), int(LATEST.total_seconds())))
        said = free_text(reason[0] if reason else b"")
        return self._pending(answer, integer(number), seconds, said)

    async def _responded(self, answer: Message) -> Issued | Pending:
        """CertRepMessage ::= SEQUENCE { caPubs [1] OPTIONAL, SEQUENCE OF CertResponse }."""
        *authorities, responses = items(answer.body)
        number, status, *pairs = items(first(responses))
        found, failures, text = read_status(status)
        if found == _WAITING:
            return self._pending(answer, integer(number), SOONEST, text)
        if found not in _ACCEPTED or not pairs or pairs[0][0] != 0x30:
            raise self._refusal(failures, text)
        sent = first(pairs[0])
        if sent[0] != 0xA0:
            raise Refused(f"{self._host} sends the certificate encrypted, unasked")
        leaf = Certificate.from_der(sent[inside(sent, 0) :])
        others = [one for bag in authorities for one in items(bag[inside(bag, 0) :])]
        issuers = _authorities([*answer.certificates, *others][: wire.MOST_CERTIFICATES])
        return await self._confirmed(answer, integer(number), (leaf, *issuers))

    async def _confirmed(
        self, answer: Message, number: int, sent: tuple[Certificate, ...]
    ) -> Issued:
        """Tell the authority whether its certificate is taken: what is not, it takes back."""
        last = answer.thread
        thread = Thread(last.transaction, self.server.entropy(16), last.nonce)
        try:
            issued = receipt.issued(self.wanted, sent, self.now)
        except Refused as error:
            version, body = wire.confirmation(sent[0], number, str(error))
            with suppress(Refused, Unavailable):
                await self._exchange(wire.CERT_CONF, body, thread, version)
            raise Refused(f"{self._host}: {error}") from error
        version, body = wire.confirmation(sent[0], number)
        heard = await self._exchange(wire.CERT_CONF, body, thread, version)
        if heard.kind != wire.PKI_CONF:
            raise Unavailable(f"{self._host} does not hear that its certificate was taken")
        return issued

    async def _exchange(self, kind: int, body: bytes, thread: Thread, version: int = 2) -> Message:
        """A message and its answer, which is fresh and proved; raises what an error means."""
        octets = await asyncio.to_thread(self._written, kind, body, thread, version)
        found = await self.server.carrier.post("", octets, _KIND)
        if found.kind != _KIND:
            said = f": {text}" if (text := shown(found.octets)) else ""
            if found.status == 404:
                raise Unavailable(f"{self._host} has no CMP service here (404): see url")
            raise Unavailable(f"{self._host} does not answer with CMP ({found.status}){said}")
        try:
            answer = wire.read(found.octets)
            if answer.kind == wire.ERROR and not answer.is_protected:
                raise self._unproved(answer)
        except (Malformed, IndexError, ValueError) as error:
            raise Unavailable(f"{self._host} answers what is no CMP: {error}") from error
        signers = [one for one in self.server.signers if one.not_after > self.now]
        if not answer.is_from(self.server.secret, signers):
            raise Unavailable(
                f"{self._host} does not prove that it knows our secret: see reference and"
                " password, or signers"
            )
        if (answer.thread.transaction, answer.thread.answered) != (
            thread.transaction,
            thread.nonce,
        ):
            raise Unavailable(f"{self._host} answers another question")
        if answer.kind == wire.ERROR:
            raise self._error(answer)
        return answer

    def _written(self, kind: int, body: bytes, thread: Thread, version: int) -> bytes:
        return wire.write(
            kind,
            body,
            thread,
            self.protection,
            self._recipient,
            entropy=self.server.entropy,
            now=self.now,
            version=version,
        )

    @property
    def _recipient(self) -> bytes:
        """RFC 9483 section 3.1: whom the settings name, else the issuer of who asks."""
        shown_first = self.protection.certificates
        if shown_first and not self.server.recipient:
            return shown_first[0].issuer
        return self.server.recipient.public_bytes()

    def _error(self, answer: Message) -> Refused | Unavailable:
        """ErrorMsgContent ::= SEQUENCE { pKIStatusInfo, errorCode, errorDetails OPTIONAL }."""
        try:
            _, failures, text = read_status(first(answer.body))
        except (IndexError, ValueError):
            return Unavailable(f"{self._host} reports an error of its own making")
        return self._refusal(failures, text)

    def _unproved(self, answer: Message) -> Unavailable:
        """Anybody on the way can say this: it ends nothing."""
        return Unproved(f"{self._error(answer)} (said without proof)")

    def _refusal(self, failures: frozenset[str], text: str) -> Refused | Unavailable:
        said = "".join(f": {one}" for one in (", ".join(sorted(failures)), text) if one)
        if failures & _PASSING:
            return Unavailable(f"{self._host} cannot answer now{said}")
        return Declined(f"{self._host} refuses the request{said}")

    def _pending(self, answer: Message, number: int, after: timedelta, said: str) -> Pending:
        kept = {
            "transaction": answer.thread.transaction.hex(),
            "nonce": answer.thread.nonce.hex(),
            "number": number,
            "signer": next((one.fingerprint for one in self.protection.certificates), ""),
        }
        why = f": {said}" if said else ""
        return Pending(
            json.dumps(kept),
            min(max(after, SOONEST), LATEST),
            f"the decision of {self._host}{why}",
        )


def _authorities(sent: list[bytes]) -> Iterator[Certificate]:
    """Those that can be read, of authorities: they are an aid, and nobody vouches for them."""
    for one in sent:
        with suppress(Malformed):
            found = Certificate.from_der(one)
            if found.is_authority:
                yield found
