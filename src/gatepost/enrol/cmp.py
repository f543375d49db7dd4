"""The Certificate Management Protocol: a client of RFC 9810 in the profile of RFC 9483.

A request in PKCS #10 (section 4.1.4 there) over HTTP (RFC 9811), protected by a password; the
authority may take its time, and is told whether its certificate was taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.enrol import cmp_message as wire
from gatepost.enrol import receipt
from gatepost.enrol.carrier import Carrier, shown
from gatepost.enrol.cmp_message import Entropy, Message, Secret, Thread
from gatepost.enrol.cmp_status import free_text, integer, read_status
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import Malformed, Refused, Unavailable
from gatepost.pki.der import first, inside, items

SOONEST: Final = timedelta(seconds=30)
LATEST: Final = timedelta(days=7)
_KIND: Final = "application/pkixcmp"
_ACCEPTED: Final = frozenset({0, 1})
_WAITING: Final = 3
_PASSING: Final = frozenset({"systemUnavail", "systemFailure"})


@dataclass(frozen=True, slots=True)
class Cmp:
    """One CMP server; its address leads to the authority."""

    name: str
    carrier: Carrier
    secret: Secret
    recipient: x509.Name = field(default_factory=lambda: x509.Name([]))
    signers: tuple[Certificate, ...] = ()  # who may sign answers instead
    entropy: Entropy = os.urandom

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        """Ask for a certificate."""
        thread = Thread(self.entropy(16), self.entropy(16))
        return await self._went_on(wanted, thread, wire.P10CR, wanted.request, now)

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        """Ask whether the request is decided."""
        kept = json.loads(state)
        thread = Thread(
            bytes.fromhex(kept["transaction"]), self.entropy(16), bytes.fromhex(kept["nonce"])
        )
        return await self._went_on(
            wanted, thread, wire.POLL_REQ, wire.question(int(kept["number"])), now
        )

    async def answers(self, now: datetime) -> str:
        """CMP has no question that commits to nothing: any word of the web server will do."""
        del now
        found = await self.carrier.get("")
        return f"{self.carrier.host} is there (HTTP {found.status}); nothing was asked of it"

    async def _went_on(
        self, wanted: Wanted, thread: Thread, kind: int, body: bytes, now: datetime
    ) -> Issued | Pending:
        answer = await self._exchange(kind, body, thread, now)
        try:
            if answer.kind == wire.POLL_REP:
                return self._polled(answer)
            if answer.kind == wire.CP:
                return await self._responded(wanted, answer, now)
        except (IndexError, ValueError, Malformed) as error:
            raise Unavailable(f"{self.carrier.host} answers what is no CMP: {error}") from error
        raise Unavailable(f"{self.carrier.host} answers with a message of kind {answer.kind}")

    def _polled(self, answer: Message) -> Pending:
        """PollRepContent ::= SEQUENCE OF SEQUENCE { certReqId, checkAfter, reason OPTIONAL }."""
        number, after, *reason = items(first(answer.body))
        seconds = timedelta(seconds=min(integer(after), int(LATEST.total_seconds())))
        return self._pending(
            answer, integer(number), seconds, free_text(reason[0] if reason else b"")
        )

    async def _responded(self, wanted: Wanted, answer: Message, now: datetime) -> Issued | Pending:
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
            raise Refused(f"{self.carrier.host} sends the certificate encrypted, unasked")
        leaf = Certificate.from_der(sent[inside(sent, 0) :])
        others = [one for bag in authorities for one in items(bag[inside(bag, 0) :])]
        issuers = _authorities([*answer.certificates, *others][: wire.MOST_CERTIFICATES])
        return await self._confirmed(wanted, answer, integer(number), (leaf, *issuers), now)

    async def _confirmed(
        self,
        wanted: Wanted,
        answer: Message,
        number: int,
        sent: tuple[Certificate, ...],
        now: datetime,
    ) -> Issued:
        """Tell the authority whether its certificate is taken: what is not, it takes back."""
        last = answer.thread
        thread = Thread(last.transaction, self.entropy(16), last.nonce)
        try:
            issued = receipt.issued(wanted, sent, now)
        except Refused as error:
            version, body = wire.confirmation(sent[0], number, str(error))
            with suppress(Refused, Unavailable):
                await self._exchange(wire.CERT_CONF, body, thread, now, version)
            raise Refused(f"{self.carrier.host}: {error}") from error
        version, body = wire.confirmation(sent[0], number)
        heard = await self._exchange(wire.CERT_CONF, body, thread, now, version)
        if heard.kind != wire.PKI_CONF:
            raise Unavailable(f"{self.carrier.host} does not hear that its certificate was taken")
        return issued

    async def _exchange(
        self, kind: int, body: bytes, thread: Thread, now: datetime, version: int = 2
    ) -> Message:
        """A message and its answer, which is fresh and proved; raises what an error means."""
        octets = wire.write(
            kind,
            body,
            thread,
            self.secret,
            self.recipient,
            entropy=self.entropy,
            now=now,
            version=version,
        )
        found = await self.carrier.post("", octets, _KIND)
        host = self.carrier.host
        if found.kind != _KIND:
            said = f": {text}" if (text := shown(found.octets)) else ""
            if found.status == 404:
                raise Unavailable(f"{host} has no CMP service here (404): see url")
            raise Unavailable(f"{host} does not answer with CMP ({found.status}){said}")
        try:
            answer = wire.read(found.octets)
            if answer.kind == wire.ERROR and not answer.is_protected:
                raise self._unproved(answer)
        except (Malformed, IndexError, ValueError) as error:
            raise Unavailable(f"{host} answers what is no CMP: {error}") from error
        if not answer.is_from(self.secret, [one for one in self.signers if one.not_after > now]):
            raise Unavailable(
                f"{host} does not prove that it knows our secret: see reference and password,"
                " or signers"
            )
        if (answer.thread.transaction, answer.thread.answered) != (
            thread.transaction,
            thread.nonce,
        ):
            raise Unavailable(f"{host} answers another question")
        if answer.kind == wire.ERROR:
            raise self._error(answer)
        return answer

    def _error(self, answer: Message) -> Refused | Unavailable:
        """ErrorMsgContent ::= SEQUENCE { pKIStatusInfo, errorCode, errorDetails OPTIONAL }."""
        try:
            _, failures, text = read_status(first(answer.body))
        except (IndexError, ValueError):
            return Unavailable(f"{self.carrier.host} reports an error of its own making")
        return self._refusal(failures, text)

    def _unproved(self, answer: Message) -> Unavailable:
        """Anybody on the way can say this: it ends nothing."""
        return Unavailable(f"{self._error(answer)} (said without proof)")

    def _refusal(self, failures: frozenset[str], text: str) -> Refused | Unavailable:
        said = "".join(f": {one}" for one in (", ".join(sorted(failures)), text) if one)
        if failures & _PASSING:
            return Unavailable(f"{self.carrier.host} cannot answer now{said}")
        return Refused(f"{self.carrier.host} refuses the request{said}")

    def _pending(self, answer: Message, number: int, after: timedelta, said: str) -> Pending:
        thread = answer.thread
        kept = {
            "transaction": thread.transaction.hex(),
            "nonce": thread.nonce.hex(),
            "number": number,
        }
        why = f": {said}" if said else ""
        return Pending(
            json.dumps(kept),
            min(max(after, SOONEST), LATEST),
            f"the decision of {self.carrier.host}{why}",
        )


def _authorities(sent: list[bytes]) -> Iterator[Certificate]:
    """Those that can be read, of authorities: they are an aid, and nobody vouches for them."""
    for one in sent:
        with suppress(Malformed):
            found = Certificate.from_der(one)
            if found.is_authority:
                yield found
