"""The Certificate Management Protocol: a client of RFC 9810 in the profile of RFC 9483.

A request in PKCS #10 (section 4.1.4 there) over HTTP (RFC 9811), protected by a password; or a
renewal (section 4.1.3) signed with the key of the certificate that ends.  The authority may take
its time, and is told whether its certificate was taken.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.enrol import cmp_message as wire
from gatepost.enrol.carrier import Carrier
from gatepost.enrol.cmp_conversation import Conversation, Declined, Unproved
from gatepost.enrol.cmp_message import Entropy
from gatepost.enrol.cmp_protection import Protection, Secret, Signature
from gatepost.enrol.source import Issued, Pending, Proof, Wanted
from gatepost.errors import Refused, Unavailable


@dataclass(frozen=True, slots=True)
class Cmp:
    """One CMP server; its address leads to the authority."""

    name: str
    carrier: Carrier
    secret: Secret | None
    recipient: x509.Name = field(default_factory=lambda: x509.Name([]))
    signers: tuple[Certificate, ...] = ()  # who may sign answers
    renews: bool = False  # by signed requests, where it can
    entropy: Entropy = os.urandom

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        """Ask for a certificate: as the owner of the one that ends, else by the password."""
        proof = await asyncio.to_thread(wanted.proof) if self.renews else None
        declined: Refused | Unavailable | None = None
        if proof is not None:
            try:
                return await self._renewed(wanted, proof, now)
            except (Declined, Unproved) as error:  # it issued another authority's, perhaps
                declined = error
        if self.secret is None:
            raise declined or Refused(
                f"{self.carrier.host} is asked for renewals only, and there is nothing to renew:"
                " import a certificate of it, or set reference and a password"
            )
        begun = Conversation(self, wanted, self.secret, now)
        return await begun.ask(wire.P10CR, wanted.request, self.entropy(16))

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        """Ask whether the request is decided."""
        kept = json.loads(state)
        protection = await self._as_before(wanted, kept.get("signer", ""))
        begun = Conversation(self, wanted, protection, now)
        transaction, nonce = bytes.fromhex(kept["transaction"]), bytes.fromhex(kept["nonce"])
        return await begun.poll(int(kept["number"]), transaction, nonce)

    async def answers(self, now: datetime) -> str:
        """CMP has no question that commits to nothing: any word of the web server will do."""
        del now
        found = await self.carrier.get("")
        return f"{self.carrier.host} is there (HTTP {found.status}); nothing was asked of it"

    async def _renewed(self, wanted: Wanted, proof: Proof, now: datetime) -> Issued | Pending:
        """A kur; for what only decrypts, its owner's other certificate signs a p10cr."""
        old = proof.signer.certificate
        kind, body = wire.P10CR, wanted.request
        if old == wanted.replacing:
            kind = wire.KUR
            body = await asyncio.to_thread(wire.renewal, wanted.request, old, proof.sign)
        begun = Conversation(self, wanted, Signature(proof.signer), now)
        return await begun.ask(kind, body, self.entropy(16))

    async def _as_before(self, wanted: Wanted, fingerprint: str) -> Protection:
        """What the conversation began with."""
        if not fingerprint:
            if self.secret is None:
                raise Refused(f"{self.carrier.host} was asked by a password that is set no more")
            return self.secret
        proof = await asyncio.to_thread(wanted.proof)
        if proof is None or proof.signer.certificate.fingerprint != fingerprint:
            raise Refused(
                f"the certificate that signed the request to {self.carrier.host} counts no more"
            )
        return Signature(proof.signer)
