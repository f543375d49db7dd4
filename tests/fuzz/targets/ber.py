"""The CMS reader: BER and every structure and AlgorithmIdentifier written in it.

Invariant: a value, or an error the function names; what is called intact or authenticated is
what was written; an object read while it passes holds what it holds at hand.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from unittest import mock

from tests.fuzz import people
from tests.pki_builder import KeyKind
from tests.unit.cms import test_recipient as forms
from tests.unit.mime.test_outline import pieces

from gatepost.cms import (
    attributes,
    ber,
    compressed,
    content,
    der,
    enveloped,
    identifier,
    keywrap,
    moment,
    secret,
    signed,
)
from gatepost.cms.bulk import Bulk
from gatepost.cms.capability import KeyTransport, Password, Secret, SharedKey
from gatepost.cms.enveloped import NoRecipient
from gatepost.errors import DecryptionFailed, LimitExceeded, Malformed, Unsupported
from gatepost.mail import content as mail
from gatepost.mail.content import Octets, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n" * 3
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SIGNING: tuple[KeyKind, ...] = ("rsa2048", "p256", "ed25519", "ml-dsa-44")
READING: tuple[KeyKind, ...] = ("rsa2048", "p256", "p384", "x25519", "ml-kem-768")
SECRETS: tuple[Secret, ...] = (Password(b"secret"), SharedKey(bytes(32)))
ITERATIONS = 5_000  # what a second of PBKDF2 does is known; it finds nothing

WORDS = (
    *(bytes([tag, 0x80]) for tag in (0x24, 0x30, 0x31, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4)),
    *(b"\0\0", b"\x84\xff\xff\xff\xff", b"\x88" + b"\xff" * 8, b"\x02\x01", b"\x04\x82"),
    *(der.oid(one) for one in ("1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4")),
)
IDENTIFIERS: tuple[Callable[[bytes], object], ...] = (
    identifier.digest_name,
    identifier.signature_algorithm,
    identifier.transport_scheme,
    identifier.agreement,
    identifier.wrap,
    identifier.derivation,
    identifier.derived_cipher,
    identifier.cipher,
)


def target(octets: bytes) -> None:
    """One input through every reader."""
    with suppress(Malformed):
        element(ber.parse(octets))
    for read in IDENTIFIERS:
        with suppress(Malformed, Unsupported):
            read(octets)
    for parse in (attributes.parse, attributes.misplaced):
        with suppress(Malformed):
            parse(octets)
    with suppress(Malformed):
        kind = content.kind(octets)
        small = outcome(kind, octets)
        with mock.patch.object(mail, "LARGE", -1):
            large = outcome(kind, Bulk(pieces(octets, len(octets) // 200 + len(octets) % 97 + 1)))
        limited = LimitExceeded in (small, large)  # within what either way can do
        assert (
            limited or small == large or not (isinstance(small, bytes) or isinstance(large, bytes))
        )


def element(root: ber.Element) -> None:
    """What any element gives, and what the DER of it gives."""
    with suppress(Malformed):
        moment.parse(root)
    with suppress(Malformed):
        ber.dotted(root.oid())
    with suppress(Malformed):
        made = ber.canonical(root)
        assert ber.canonical(ber.parse(made)) == made
    with suppress(Malformed):
        assert b"".join(root.pieces()) == root.octets()


def outcome(kind: str, octets: bytes | Bulk) -> bytes | type[Exception]:
    """What a ContentInfo of this kind holds for us, or how it is refused."""
    try:
        if kind == "compressed-data":
            found = join(compressed.decompress(octets).plain)
            assert len(found) <= compressed.HARMLESS
            return found
        return signature(octets) if kind == "signed-data" else envelope(octets)
    except (Malformed, Unsupported, DecryptionFailed, NoRecipient) as error:
        return type(error)


def signature(octets: bytes | Bulk) -> bytes:
    """Nothing but what we signed is intact."""
    found = signed.parse(octets)
    inside = None if found.inside is None else join(found.inside)
    said = b"" if inside is None else inside
    for about in (Octets(TEXT), None):
        with suppress(Malformed):  # a detached signature without content
            for verdict in signed.verify(found, about):
                assert not verdict.intact or inside in (None, TEXT)
                said += bytes([verdict.intact])
    return said


def envelope(octets: bytes | Bulk) -> bytes:
    """Nothing but what we sealed is authentic."""
    keys = [people.person("bob@example.net", kind).decryptor for kind in READING]
    with mock.patch.object(secret, "MAXIMUM_ITERATIONS", ITERATIONS):
        opened = enveloped.decrypt(octets, keys, entropy=bytes, secrets=SECRETS)
        plain = join(opened.plain)
    assert not opened.authenticated or plain in (TEXT, forms.TEXT)
    return plain


def seeds() -> Iterator[bytes]:
    """Messages of every form we write, some loosened to BER; AlgorithmIdentifiers, attributes."""
    for made in (*messages(), *shared(), squeezed()):
        yield made
        yield b"\x30\x80" + made[4:] + b"\x00\x00"
        yield loosened(ber.parse(made))
    yield from algorithms()


def messages() -> Iterator[bytes]:
    """Signed and encrypted with every kind of key."""
    for kind in SIGNING:
        one = people.person("alice@example.com", kind)
        for detached in (True, False):
            yield join(signed.sign(Octets(TEXT), [one.signer], None, detached=detached, when=NOW))
    for kind in READING:
        for cipher in ("aes256-gcm", "aes128-cbc"):
            yield join(
                enveloped.encrypt(
                    Octets(TEXT),
                    [people.person("bob@example.net", kind).certificate],
                    cipher=cipher,
                    key_transport=KeyTransport("rsa-oaep", "sha1", "sha256", b"label"),
                    entropy=random.Random(1).randbytes,
                )
            )


def shared() -> Iterator[bytes]:
    """RecipientInfos for a password and for a key both have."""
    yield forms.sealed(forms.by_password())
    yield forms.sealed(forms.under_key(b"key", keywrap.wrap(bytes(32), forms.KEY)))


def squeezed(text: bytes = TEXT) -> bytes:
    """CompressedData, which we only read."""
    inside = der.explicit(0, der.octet_string(zlib.compress(text)))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))
    about = der.sequence(der.tlv(0x06, content.DATA), inside)
    body = der.sequence(der.integer(0), algorithm, about)
    return der.sequence(der.tlv(0x06, content.COMPRESSED_DATA), der.explicit(0, body))


def algorithms() -> Iterator[bytes]:
    """Every AlgorithmIdentifier and attribute set in the messages, by itself."""
    for made in messages():
        pending = [ber.parse(made)]
        while pending:
            one = pending.pop()
            if one.tag in (der.SEQUENCE, der.SET, 0xA0) and one.stop - one.start < 400:
                yield der.tlv(
                    der.SET if one.tag == 0xA0 else one.tag, one.raw[one.inner - one.start :]
                )
            if one.is_constructed:
                pending += one.children()


def loosened(one: ber.Element) -> bytes:
    """The same in BER: indefinite lengths, strings in pieces."""
    if one.is_constructed:
        return bytes([one.tag, 0x80]) + b"".join(map(loosened, one.children())) + b"\x00\x00"
    if one.tag == der.OCTET_STRING:
        octets = one.octets()
        pieces = (der.octet_string(octets[at : at + 90]) for at in range(0, len(octets), 90))
        return b"\x24\x80" + b"".join(pieces) + b"\x00\x00"
    return one.raw
