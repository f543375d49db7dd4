"""Asks an LDAP directory for a mailbox's certificates (RFC 4523, RFC 2798), and for a group.

`userCertificate` holds one certificate each, `userSMIMECertificate` a CMS bag with its issuers
and what its owner's program can do.  A directory says what it likes: whose that is, and by which
path, is looked at later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from gatepost.certificate import Certificate
from gatepost.cms import content, signed
from gatepost.config.ldap import Ldap
from gatepost.errors import ConfigError, GatepostError, LimitExceeded, Malformed, Unavailable
from gatepost.lookup import ldap_filter
from gatepost.lookup.ldap_channel import Channel, channel
from gatepost.lookup.ldap_group import members
from gatepost.lookup.ldap_message import Entry, Search, plain
from gatepost.lookup.offer import Offer
from gatepost.lookup.web import web_context
from gatepost.mail.address import Mailbox
from gatepost.pki.pem import read_certificates
from gatepost.smime.word import Word, words

MAXIMUM: Final = 16  # certificates of one mailbox
MAXIMUM_WORDS: Final = 4
MAXIMUM_VALUE: Final = 64 << 10  # octets of one value
GROUP_PATIENCE: Final = 60.0  # seconds to read a group with all that is in it


class LdapDirectory:
    """One directory, as the configuration says."""

    def __init__(self, where: Ldap, password: str = "") -> None:
        self.where = where
        self.name = where.host
        self._password = password
        # Servers disagree about which attributes have the option ;binary.
        both = (each for one in where.attributes for each in (one, one.partition(";")[0]))
        self._asked = tuple(dict.fromkeys(both))
        self._names = tuple(dict.fromkeys(map(plain, where.attributes)))
        self._tls = None if where.tls == "none" else web_context(str(where.anchors or ""))
        try:
            self._filter = ldap_filter.parsed(where.filter)
        except Malformed as error:
            raise ConfigError(f"ldap.filter: {error}") from error

    async def certificates(self, mailbox: Mailbox) -> Offer:
        """What it has for a mailbox; raises a GatepostError when nobody can know."""
        where = self.where
        asked = Search(
            where.base,
            where.scope,
            # RFC 4524 section 2.16: ASCII, so domains stand there as A-labels.
            self._filter.encoded(f"{mailbox.local}@{mailbox.domain_key}".encode()),
            self._asked,
            where.entries,
            max(1, int(where.timeout.total_seconds())),
        )
        async with self._open(where.timeout.total_seconds()) as made:
            found = await made.search(asked, where.entries)
        return _offer(value for one in found for value in self._values(one))

    def _values(self, entry: Entry) -> Iterator[bytes]:
        for name in self._names:
            yield from entry.values.get(name, ())

    async def members(self, group: str, *, patience: float = GROUP_PATIENCE) -> tuple[Mailbox, ...]:
        """The addresses of a group's members, of groups in it too; raises a GatepostError."""
        async with self._open(patience) as made:
            return await members(made, group, self.where.base)

    @asynccontextmanager
    async def _open(self, patience: float) -> AsyncIterator[Channel]:
        """A connection that is bound; whatever is done with it has so many seconds."""
        where = self.where
        inside = where.tls == "starttls"
        way = channel(where.host, where.port, where.size, tls=self._tls, inside=inside)
        try:
            async with asyncio.timeout(patience), way as made:
                if where.user:
                    await made.bind(where.user, self._password)
                yield made
        except TimeoutError as error:
            raise Unavailable(f"no answer in {patience:g} s") from error


def _offer(values: Iterator[bytes]) -> Offer:
    """What of these values can be read; what cannot is told, not hidden."""
    certificates: dict[Certificate, None] = {}
    issuers: dict[Certificate, None] = {}
    remarks: dict[str, None] = {}
    told: list[Word] = []
    for value in values:
        if len(certificates) >= MAXIMUM:
            remarks[f"it has more than {MAXIMUM} certificates for one address"] = None
            break
        try:
            found, said = _read(value)
        except GatepostError as error:
            remarks[f"a value is no certificate: {error}"] = None
            continue
        told += said
        issuers.update((one, None) for one in found if one.is_authority)
        certificates.update((one, None) for one in found if not one.is_authority)
    return Offer(
        tuple(certificates)[:MAXIMUM],
        tuple(issuers)[:MAXIMUM],
        tuple(remarks)[:4],
        tuple(told)[:MAXIMUM_WORDS],
    )


def _read(value: bytes) -> tuple[Sequence[Certificate], Iterable[Word]]:
    if len(value) > MAXIMUM_VALUE:
        raise LimitExceeded(f"it has {len(value)} octets")
    if not _is_signed(value):
        return read_certificates(value)[: 2 * MAXIMUM], ()
    bag = signed.parse(value)
    if not bag.certificates:
        raise Malformed("a bag without certificates")
    return bag.certificates[: 2 * MAXIMUM], islice(words(bag), MAXIMUM_WORDS)


def _is_signed(value: bytes) -> bool:
    try:
        return content.kind(value) == "signed-data"
    except GatepostError:
        return False
