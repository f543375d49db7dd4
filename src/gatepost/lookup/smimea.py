"""Certificates of mailboxes in the DNS (RFC 8162), as far as DNSSEC proves them.

Only usage 3 with a whole certificate is taken: it says which one is the mailbox's own and
needs no path.  A digest names no certificate to encrypt with, and usages 0 to 2 prove no more
than the certificate's own path does.
"""

from __future__ import annotations

import hashlib
from typing import Final

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.lookup.offer import Offer
from gatepost.lookup.resolver import Resolver
from gatepost.mail.address import Mailbox

MAXIMUM: Final = 8  # certificates of one mailbox
_OWN, _WHOLE, _AS_IT_IS = 3, 0, 0
_OCTETS: Final = 28  # section 3: the digest is cut to fit a label


def names(mailbox: Mailbox) -> tuple[str, ...]:
    """Where a mailbox's records are (section 3); nobody tells local-parts apart by case."""
    spellings = dict.fromkeys((mailbox.local, mailbox.local.lower()))
    return tuple(f"{_label(one)}._smimecert.{mailbox.domain_key}" for one in spellings)


async def certificates(resolver: Resolver, mailbox: Mailbox) -> Offer:
    """The mailbox's own certificates; raises NameServiceFailed when nobody can know."""
    remarks: dict[str, None] = {}
    for name in names(mailbox):
        answer = await resolver.smimea(name)
        if answer.records and not answer.authentic:
            remarks["its record is not proven by DNSSEC"] = None
            continue
        found = [
            one.data
            for one in answer.records
            if (one.usage, one.selector, one.matching) == (_OWN, _WHOLE, _AS_IT_IS)
        ]
        if len(found) < len(answer.records):
            remarks["its record is no whole certificate of usage 3"] = None
        whole = tuple(one for data in found[:MAXIMUM] if (one := _read(data)) is not None)
        if len(whole) < len(found):
            remarks["a record holds something else than a certificate"] = None
        if whole:
            return Offer(whole, remarks=tuple(remarks))
    return Offer(remarks=tuple(remarks))


def _label(local: str) -> str:
    return hashlib.sha256(local.encode()).digest()[:_OCTETS].hex()


def _read(data: bytes) -> Certificate | None:
    try:
        return Certificate.from_der(data)
    except Malformed:
        return None
