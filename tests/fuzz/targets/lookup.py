"""What is looked up elsewhere: LDAP, MTA-STS, TLSA, announcements, time stamps, URLs.

Invariant: a value, or an error the function names, within what was asked for; nobody is
believed but who proved it; what is kept reads back.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.fuzz import choice, papers
from tests.fuzz.papers import DAY, NOW

from gatepost.certificate import Certificate
from gatepost.cms import ber
from gatepost.cms.der import integer, octet_string, sequence, tlv
from gatepost.errors import ConfigError, Malformed, Refused, Unavailable
from gatepost.lookup import download, ldap, ldap_filter, ldap_group, policy_file, timestamp
from gatepost.lookup.ldap_channel import Channel
from gatepost.lookup.ldap_message import Search
from gatepost.mail.delivery import Tlsa
from gatepost.pki import announcement, pinning
from gatepost.pki.announcement import Announcement
from gatepost.route import sts, tlsa

SIZE = 8 * 1024  # octets of the answers to one question
MOST = 5  # entries of one question
ADDRESS = b"bob@example.net"
DIGEST = "ab" * 32
STAMP = Path(__file__).parents[1] / "stamp.tsr"
STAMPER = Path(__file__).parents[1] / "stamper.der"
T = TypeVar("T")

WORDS = (
    *(b"\x64", b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00", b"\x73", b"\x77", b"userCertificate;binary"),
    *(b"member;range=0-1", b"member;range=2-*", b"1.2.840.113556.1.4.319", b"\x31\x84\xff\xff\xff\xff"),
    *(b"(&(mail=%s)", b"(!(", b"(|(", b":=", b"\\2a", b"*)", b"version: STSv1\n", b"mode: enforce\n"),
    *(b"mx: *.a.example\n", b"max_age: 604800\n", b"v=STSv1; id=", b'"sequence":', b'"payload":"'),
    *(b'"encryption":"wished"', b'"2026-06-01T00:00:00Z"', b"\\ud800", b'"authorities":["'),
    *(b"http://", b"@", b":0", b"[::1", b"%25", b'"max_age": 1e999', b"[" * 50),
)  # fmt: skip


def target(octets: bytes) -> None:
    """One input."""
    choice.read(READERS, octets)


def search(octets: bytes) -> None:
    """A directory that says what it likes: no more than was asked for, and certificates or none."""
    asked = Search("dc=x", "sub", ldap_filter.present("mail"), ("mail",), MOST, 1, page=2)
    with suppress(Malformed, Unavailable):
        found = finished(line(octets).search(asked, MOST))
        assert len(found) <= MOST
        assert sum(len(v) for one in found for each in one.values.values() for v in each) <= SIZE
        offer = ldap._offer(v for one in found for each in one.values.values() for v in each)
        assert len(offer.certificates) <= ldap.MAXIMUM
    with suppress(Malformed, Unavailable):
        finished(line(octets).bind("cn=x", "secret"))


def group(octets: bytes) -> None:
    """Groups in groups come to an end."""
    with suppress(Malformed, Unavailable, ConfigError):
        finished(ldap_group.members(line(octets), "cn=group", "dc=x"))


def filters(octets: bytes) -> None:
    """Whatever stands in for %s, the filter asks the same of it."""
    with suppress(Malformed):
        made = ldap_filter.parsed(octets.decode("utf-8", "replace"))
        hostile = made.encoded(b")(uid=*" + bytes(3))
        assert shape(ber.parse(made.encoded(ADDRESS))) == shape(ber.parse(hostile))


def shape(one: ber.Element) -> tuple[object, ...]:
    """The tags of an element and what is in it."""
    return (one.tag, *(map(shape, one.children()) if one.is_constructed else ()))


def policy(octets: bytes) -> None:
    """A policy is kept and read again as it is."""
    text = octets.decode("utf-8", "replace")
    found = sts.identifier((text, *text.split("\n")))
    assert found is None or found.isalnum()
    with suppress(Malformed):
        one = sts.parse(text, "1", NOW)
        assert one.mode in sts.MODES
        assert len(one.patterns) <= sts.MAXIMUM_PATTERNS
        assert one.is_live(NOW) or not one.maximum_age
        one.allows("mx.a.example"), one.is_stale(NOW)
        assert policy_file.restored("a.example", policy_file.composed("a.example", one)) == one


def kept_policy(octets: bytes) -> None:
    """A file that somebody damaged is as none, and nothing worse comes after."""
    with suppress(Malformed):
        found = policy_file.restored("a.example", octets)
        found.is_live(NOW), found.is_stale(NOW), found.allows("mx.a.example")
        assert policy_file.restored("a.example", policy_file.composed("a.example", found)) == found


def chain(octets: bytes) -> None:
    """A server proves itself by the certificate that a record names, and by no other."""
    usage, octets = octets[:3].ljust(3, b"\0"), octets[3:]
    shown = (octets, *(one.der for one in papers.everybody()[:2]))
    bob = papers.everybody()[1]
    for data in (hashlib.sha256(bob.der).digest(), hashlib.sha256(bob.key_info).digest(), octets):
        record = Tlsa(usage[0] % 4, usage[1] % 2, usage[2] % 3, data)
        for one in tlsa.usable([record]):
            with suppress(tlsa.Unproven):
                assert tlsa.proven([one], shown, ("bob.example",), NOW)
                assert data == octets or bob.key_info in octets


def document(octets: bytes) -> None:
    """A document nobody of ours has signed says nothing; pinned or not."""
    text = octets.decode("utf-8", "replace")
    with suppress(Malformed):
        found = announcement.read.__wrapped__(text)
        assert found.digest in known()
    with suppress(Malformed, Refused):
        pinning.follow(None, text, "a.example", NOW, evidence="file")
    with suppress(Malformed):
        peer = pinning.Peer.restored(text)
        again = pinning.Peer.restored(peer.written())
        assert (again.text, again.first_seen) == (peer.text, peer.first_seen)


def said(octets: bytes) -> None:
    """What a company signs may still be wrong; what is understood is written as it was read."""
    with suppress(Malformed):
        found = announcement.read.__wrapped__(signed(octets))
        assert (
            announcement.read.__wrapped__(
                announcement.write(found.announcement, [keys()])
            ).announcement.content
            == found.announcement.content
        )


def stamp(octets: bytes) -> None:
    """A time stamp holds as it was made, or not at all."""
    root = Certificate.from_der(STAMPER.read_bytes())
    with suppress(Malformed, Refused):
        found = timestamp.verify(octets, DIGEST, (root,))
        assert found == timestamp.verify(STAMP.read_bytes(), DIGEST, (root,))


def place(octets: bytes) -> None:
    """A URL of a stranger's leads to a web server by its name, or nowhere."""
    with suppress(Refused):
        found = download._parts(octets.decode("utf-8", "replace"))
        assert found.scheme in {"http", "https"}
        assert found.hostname
        assert found.netloc.isascii()
        assert found.netloc.isprintable()
        assert " " not in found.geturl()


READERS: tuple[choice.Reader, ...] = (
    search,
    group,
    filters,
    policy,
    kept_policy,
    chain,
    document,
    said,
    stamp,
    place,
)


class Away(asyncio.Transport):
    """The other end has said all it had to say."""

    def write(self, data: object) -> None:
        """Nobody listens."""

    def resume_reading(self) -> None:
        """Nothing comes."""

    def pause_reading(self) -> None:
        """Nothing comes."""


def line(octets: bytes) -> Channel:
    """A connection on which this came."""
    made = Channel(SIZE)
    made.connection_made(Away())
    made.data_received(octets)
    made.connection_lost(None)
    return made


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What comes of something that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits")


Keys = tuple[ec.EllipticCurvePublicKey, Callable[[bytes], bytes]]


@cache
def keys() -> Keys:
    """Who signs for a.example."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    return key.public_key(), lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


def signed(payload: bytes) -> str:
    """A document that says this."""
    key, sign = keys()
    header = {"alg": "ES256", "jwk": announcement._jwk(key)}
    parts = [announcement._encoded(one) for one in (json.dumps(header).encode(), payload)]
    raw = b"".join(
        one.to_bytes(32, "big") for one in decode_dss_signature(sign(".".join(parts).encode()))
    )
    entry = {"protected": parts[0], "signature": announcement._encoded(raw)}
    return json.dumps({"payload": parts[1], "signatures": [entry]})


@cache
def announced() -> tuple[Announcement, ...]:
    """What a.example says: little, and everything."""
    little = Announcement("a.example", 1, NOW - DAY, NOW + DAY, announcement.thumbprint(keys()[0]))
    root, bob, *_ = papers.everybody()
    return little, replace(
        little,
        sequence=2,
        authorities=(root,),
        intermediates=(root,),
        certificates=(bob,),
        algorithms=("aes256-gcm",),
        encryption="required",
    )


@cache
def known() -> frozenset[str]:
    """What our key has signed, as the corpus holds it."""
    return frozenset(hashlib.sha256(payload(one)).hexdigest() for one in announced())


def payload(one: Announcement) -> bytes:
    """The words alone."""
    return json.dumps(announcement._data(one), separators=(",", ":")).encode()


def told(number: int, operation: bytes, *controls: bytes) -> bytes:
    """A message of LDAP."""
    return sequence(integer(number), operation, *(tlv(0xA0, one) for one in controls))


def entry(name: str, **values: list[bytes]) -> bytes:
    """An entry of a directory."""
    listed = (
        sequence(octet_string(key.replace("_", ";").encode()), tlv(0x31, *map(octet_string, each)))
        for key, each in values.items()
    )
    return tlv(0x64, octet_string(name.encode()), sequence(*listed))


def directory() -> Iterator[bytes]:
    """Answers of servers: pages, references, groups, and the end."""
    end = tlv(0x65, tlv(0x0A, b"\0"), octet_string(b""), octet_string(b"fine"))
    page = sequence(
        octet_string(b"1.2.840.113556.1.4.319"),
        octet_string(sequence(integer(0), octet_string(b"more"))),
    )
    bob = entry("cn=bob", userCertificate_binary=[papers.everybody()[1].der], mail=[ADDRESS])
    yield told(1, bob) + told(1, end)
    yield told(1, bob) + told(1, end, page) + told(2, tlv(0x73, b"")) + told(2, end)
    yield told(1, tlv(0x61, tlv(0x0A, b"\x31"), octet_string(b""), octet_string(b"no")))
    inner = entry("cn=inner", objectClass=[b"groupOfNames"], member=[b"cn=bob", b"cn=group"])
    outer = entry("cn=group", objectClass=[b"group"], **{"member_range=0-1": [b"cn=bob"]})
    more = entry("cn=group", **{"member_range=2-*": [b"cn=inner"]})
    said = (outer, None, inner, None, bob, None, more, None, inner, None)
    whole, number = b"", 1
    for one in said:
        whole += told(number, one or end)
        number += one is None
    yield whole


FILTERS = (
    "(&(objectClass=person)(|(mail=%s)(proxyAddresses=smtp:%s)))",
    "(!(cn=a*b*%s))",
    "(cn:caseExactMatch:=%s)",
    "(cn=*)",
    "(a>=\\2a%s)",
)
URLS = ("http://a.example/b.crl?c", "https://[2001:db8::1]:8443/", "ldap://a/", "http://a@b/")


def seeds() -> Iterator[bytes]:
    """What servers say that mean well."""
    text = "version: STSv1\nmode: enforce\nmx: *.a.example\nmx: mx.a.example\nmax_age: 604800\n"
    one = policy_file.composed("a.example", sts.parse(text, "1", NOW))
    documents = [announcement.write(each, [keys()]).encode() for each in announced()]
    peer = pinning.Peer("a.example", documents[0].decode(), "https", NOW, NOW).written()
    bob = papers.everybody()[1].der
    yield from choice.sown(
        READERS,
        {
            search: directory(),
            group: directory(),
            filters: [each.encode() for each in FILTERS],
            policy: [text.encode(), text.replace("\n", "\r\n").encode(), b"v=STSv1; id=20260601;"],
            kept_policy: [one],
            chain: [
                bytes((usage, selector, kind)) + bob
                for usage in (2, 3)
                for selector in (0, 1)
                for kind in (0, 1)
            ],
            document: [*documents, peer.encode()],
            said: [payload(each) for each in announced()],
            stamp: [STAMP.read_bytes()],
            place: [each.encode() for each in URLS],
        },
    )
