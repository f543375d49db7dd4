"""What must hold for every message: it comes back, and no changed octet goes unnoticed."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.pki_builder import KeyKind, User, user

from gatepost.cms import ber, der, enveloped, signed
from gatepost.cms.capability import KeyTransport, SignatureScheme
from gatepost.errors import GatepostError
from gatepost.mail.content import Content, Octets, Rope, join

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BOB, CAROL = user("bob@example.com", "p256"), user("carol@example.com", "rsa2048")
SIGNING: list[KeyKind] = ["p256", "rsa2048", "ed25519", "ml-dsa-65"]
READING: list[KeyKind] = ["p256", "x25519", "ml-kem-768"]
TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n" * 4
SIGNERS = [user("alice@example.com", kind) for kind in SIGNING]
READERS = [user("bob@example.com", kind) for kind in READING]
SIGNED = [
    join(signed.sign(Octets(TEXT), [one.signer], None, detached=False, when=NOW)) for one in SIGNERS
]
SEALED = [
    join(
        enveloped.encrypt(
            Octets(TEXT),
            [one.certificate],
            cipher="aes256-gcm",
            key_transport=KeyTransport("rsa-oaep"),
            entropy=os.urandom,
        )
    )
    for one in READERS
]

ropes = st.lists(st.binary(max_size=300), max_size=5).map(
    lambda parts: Rope(tuple(Octets(part) for part in parts))
)
users = st.sampled_from([BOB, CAROL])
pairs = st.tuples(
    st.sampled_from(SIGNERS),
    st.sampled_from([user("dave@example.com", kind) for kind in READING]),
)
ciphers = st.sampled_from(["aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"])
transports = st.sampled_from([KeyTransport("rsa-pkcs1"), KeyTransport("rsa-oaep")])


@given(ropes, users, ciphers, transports)
@settings(deadline=None, max_examples=60)
def test_sign_and_encrypt_come_back(
    text: Content, one: User, cipher: str, transport: KeyTransport
) -> None:
    """Any content at all must arrive as it left."""
    opaque = signed.sign(text, [one.signer], SignatureScheme("rsa-pss"), detached=False, when=NOW)
    sealed = enveloped.encrypt(
        opaque, [one.certificate], cipher=cipher, key_transport=transport, entropy=os.urandom
    )
    found = enveloped.decrypt(join(sealed), [one.decryptor], entropy=os.urandom)
    inner = signed.parse(found.content)
    assert inner.content == join(text)
    assert [verdict.intact for verdict in signed.verify(inner, None)] == [True]


@given(ropes, pairs, ciphers)
@settings(deadline=None, max_examples=60)
def test_whatever_the_keys(text: Content, pair: tuple[User, User], cipher: str) -> None:
    """A signer's and a reader's keys have nothing to do with each other."""
    signs, reads = pair
    opaque = signed.sign(text, [signs.signer], None, detached=False, when=NOW)
    sealed = enveloped.encrypt(
        opaque,
        [CAROL.certificate, reads.certificate],
        cipher=cipher,
        key_transport=KeyTransport("rsa-oaep"),
        entropy=os.urandom,
    )
    found = enveloped.decrypt(join(sealed), [reads.decryptor], entropy=os.urandom)
    inner = signed.parse(found.content)
    assert inner.content == join(text)
    assert [verdict.intact for verdict in signed.verify(inner, None)] == [True]


def _changed(octets: bytes, at: int, bit: int) -> bytes:
    at %= len(octets)
    return octets[:at] + bytes((octets[at] ^ (1 << bit),)) + octets[at + 1 :]


places = st.integers(0, 1 << 16)
bits = st.integers(0, 7)


@given(st.integers(0, len(SIGNING) - 1), places, bits)
@settings(deadline=None, max_examples=600)
def test_no_changed_signed_message_is_accepted(which: int, at: int, bit: int) -> None:
    """What is intact is what Alice signed, with Alice's certificate, wherever a bit flipped."""
    try:
        found = signed.parse(_changed(SIGNED[which], at, bit))
        verdicts = signed.verify(found, None)
    except GatepostError:
        return
    for verdict in verdicts:
        if verdict.intact:
            assert found.content == TEXT
            assert verdict.certificate == SIGNERS[which].certificate
            assert verdict.signing_time == NOW


@given(st.integers(0, len(READING) - 1), places, bits)
@settings(deadline=None, max_examples=600)
def test_no_changed_gcm_message_is_accepted(which: int, at: int, bit: int) -> None:
    """Either the text Alice wrote or nothing."""
    changed, reader = _changed(SEALED[which], at, bit), READERS[which].decryptor
    try:
        found = enveloped.decrypt(changed, [reader], entropy=os.urandom)
    except GatepostError:
        return
    assert found.content == TEXT
    assert found.authenticated


elements = st.recursive(
    st.binary(max_size=40).map(der.octet_string) | st.integers().map(der.integer),
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: der.sequence(*parts)),
    max_leaves=20,
)


@given(elements)
@settings(deadline=None)
def test_ber_says_what_der_says(octets: bytes) -> None:
    """However a sender writes it, lengths and pieces mean the same."""
    element = ber.parse(octets)
    assume(_small(element))
    assert ber.canonical(ber.parse(_loosened(element))) == octets


def _small(element: ber.Element) -> bool:
    if element.tag == 0x02:
        return element.outer - element.inner < 64
    return not element.is_constructed or all(map(_small, element.children()))


def _loosened(element: ber.Element) -> bytes:
    """The same in BER: indefinite lengths, strings in pieces."""
    if element.is_constructed:
        return b"\x30\x80" + b"".join(map(_loosened, element.children())) + b"\x00\x00"
    if element.tag == der.OCTET_STRING:
        octets = element.octets()
        pieces = (der.octet_string(octets[at : at + 3]) for at in range(0, len(octets), 3))
        return b"\x24\x80" + b"".join(pieces) + b"\x00\x00"
    return element.raw


@given(st.binary(max_size=400))
@settings(deadline=None, max_examples=300)
def test_garbage_is_refused(octets: bytes) -> None:
    """No octets at all may raise anything but our own errors."""
    for read in (signed.parse, enveloped.parse):
        try:
            read(octets)
        except GatepostError:
            continue
