"""Enrolment over Secure Transport: a client of RFC 7030, read with RFC 8951.

The gateway is a registration authority here (section 1.1): it proves itself to the server by
its own TLS client certificate or a password, never by the certificate that is being replaced.
That one's key lies sealed in the vault, and it is for e-mail: TLS would not take it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.enrol import demand, receipt
from gatepost.enrol.carrier import Answer, Carrier, shown, wait
from gatepost.enrol.demand import Demand
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import Malformed, Refused, Unavailable, Unsupported
from gatepost.pki.pem import read_certificates

SOONEST: Final = timedelta(seconds=30)
LATEST: Final = timedelta(days=7)
SPARED: Final = timedelta(minutes=10)  # before a server that did not know us is asked again
LATER: Final = timedelta(hours=1)  # when the server does not say
_PLACE: Final = "/.well-known/est"
_ENROL, _ENROL_AGAIN = "simpleenroll", "simplereenroll"
_BAGS: Final = frozenset({"application/pkcs7-mime"})
_WISHES: Final = frozenset({"application/csrattrs"})
_ENCODED: Final = {"Content-Transfer-Encoding": "base64"}  # RFC 7030 wants it, RFC 8951 does not
_ABSENT: Final = frozenset({204, 404})
_TRANSIENT: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Est:
    """One EST server, or one of the authorities behind it."""

    name: str
    carrier: Carrier
    label: str = ""  # which authority (section 3.2.2)
    heeds: bool = True  # asks what the server wants in a request (section 4.5)
    _unknown: list[datetime] = field(default_factory=list, repr=False, compare=False)

    async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
        """Ask for a certificate, after looking what the server wants in a request."""
        if self.heeds and (lacking := (await self._demand(now)).lacking(wanted.request)):
            raise Refused(f"{self.carrier.host} wants {lacking}")
        return await self._enrolled(wanted, _operation(wanted), now)

    async def collect(self, wanted: Wanted, state: str, now: datetime) -> Issued | Pending:
        """Section 4.2.3: the same request once more."""
        return await self._enrolled(wanted, _ENROL_AGAIN if state == _ENROL_AGAIN else _ENROL, now)

    async def authorities(self, now: datetime) -> tuple[Certificate, ...]:
        """The server's own certificates (section 4.1); raises as `request` does."""
        found = await self._asked("cacerts", now)
        self._check(found, _BAGS)
        return self._certificates(found.octets)

    async def answers(self, now: datetime) -> str:
        """Who its authorities are."""
        found = [one for one in await self.authorities(now) if one.not_after > now]
        if not found:
            raise Refused(f"the authorities of {self.carrier.host} have all expired")
        names = ", ".join(sorted({repr(one.name) for one in found}))
        return f"{self.carrier.host} answers for {names}"

    async def _demand(self, now: datetime) -> Demand:
        found = await self._asked("csrattrs", now)
        if found.status in _ABSENT:
            return Demand()
        self._check(found, _WISHES)
        try:
            return demand.read(_decoded(found.octets))
        except Malformed as error:
            raise Unavailable(f"{self.carrier.host}: {error}") from error

    async def _enrolled(self, wanted: Wanted, operation: str, now: datetime) -> Issued | Pending:
        # asked first: whatever fails now does not cost a certificate that was just issued
        above = await self.authorities(now)
        found = await self._asked(operation, now, base64.encodebytes(wanted.request))
        if found.status == 202:
            return self._pending(operation, found, now)
        self._check(found, _BAGS)
        try:
            return receipt.issued(wanted, (*self._certificates(found.octets), *above), now)
        except Refused as error:
            raise Refused(f"{self.carrier.host}: {error}") from error

    async def _asked(self, operation: str, now: datetime, body: bytes = b"") -> Answer:
        """A password that was wrong is not tried for each of a thousand people: accounts lock."""
        if any(timedelta(0) <= now - one < SPARED for one in self._unknown):
            raise Unavailable(f"{self.carrier.host} did not know us (401) some minutes ago")
        path = self._path(operation)
        if body:
            found = await self.carrier.post(path, body, "application/pkcs10", **_ENCODED)
        else:
            found = await self.carrier.get(path)
        self._unknown[:] = [now] if found.status == 401 else []
        return found

    def _path(self, operation: str) -> str:
        label = f"/{quote(self.label, safe='')}" if self.label else ""
        return f"{_PLACE}{label}/{operation}"

    def _pending(self, operation: str, found: Answer, now: datetime) -> Pending:
        """The text of a 202 is for people (section 4.2.3)."""
        said = f": {text}" if (text := shown(found.octets)) else ""
        later = wait(found.retry_after, now)
        again = LATER if later is None else min(max(later, SOONEST), LATEST)
        return Pending(operation, again, f"the decision of {self.carrier.host}{said}")

    def _check(self, found: Answer, kinds: frozenset[str]) -> None:
        """Raise what a status or a media type other than the right ones means.

        What our own settings are to blame for ends no request: mail waits until they are right.
        """
        host = self.carrier.host
        said = f": {text}" if (text := shown(found.octets)) else ""
        match found.status:
            case 200 if found.kind in kinds:
                return
            case 200:
                right = " or ".join(sorted(kinds))
                raise Unavailable(f"{host} sends {found.kind or 'something'} instead of {right}")
            case 401:
                raise Unavailable(
                    f"{host} does not know us (401): see user and password, or the client"
                    f" certificate, of the source {self.name!r}"
                )
            case 403:
                raise Refused(f"{host} does not let us ask for this (403){said}")
            case 400:
                raise Refused(f"{host} refuses the request (400){said}")
            case 404:
                raise Unavailable(f"{host} has no EST service here (404): see url and label")
            case status if status >= 500 or status in _TRANSIENT:
                raise Unavailable(f"{host} cannot answer now ({status}){said}")
        raise Refused(f"{host} says {found.status}{said}")

    def _certificates(self, octets: bytes) -> tuple[Certificate, ...]:
        try:
            return read_certificates(_decoded(octets))
        except (Malformed, Unsupported) as error:
            raise Unavailable(f"{self.carrier.host} sends no certificates: {error}") from error


def _operation(wanted: Wanted) -> str:
    """Section 4.2.2: again only for the same subject and the same alternative names."""
    if wanted.replacing is None:
        return _ENROL
    asked, last = x509.load_der_x509_csr(wanted.request), wanted.replacing.x509
    same = asked.subject == last.subject and _alternatives(asked) == _alternatives(last)
    return _ENROL_AGAIN if same else _ENROL


def _alternatives(
    one: x509.Certificate | x509.CertificateSigningRequest,
) -> frozenset[x509.GeneralName]:
    try:
        found = one.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(found.value)


def _decoded(octets: bytes) -> bytes:
    """RFC 8951 section 3.1: base64 whatever is said of it; some servers send DER all the same."""
    if octets[:1] == b"\x30":  # a SEQUENCE; in base64 it begins with M
        return octets
    try:
        return base64.b64decode(b"".join(octets.split()), validate=True)
    except binascii.Error as error:
        raise Malformed("what should be base64 is not") from error
