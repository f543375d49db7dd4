"""With everything we make: what is signed verifies, what is encrypted comes back.

The lists come from the algorithm table, so one that is added there is tried here.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from itertools import product
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pki_builder import KeyKind, user

from gatepost.cms import algorithms, enveloped, signed
from gatepost.cms.capability import Digest, KeyTransport, SignatureFamily, SignatureScheme
from gatepost.mail.content import Content, Octets, Rope, join

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MADE = [one for one in algorithms.TABLE if one.create_from is not None]
DIGESTS = [cast("Digest", one.name) for one in MADE if one.kind == "digest"]
CIPHERS = [one.name for one in MADE if one.kind == "cipher"]
PURE: list[KeyKind] = ["ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
CURVES: list[KeyKind] = ["p256", "p384", "p521"]
SIGNING: list[tuple[KeyKind, SignatureScheme]] = [
    *(("rsa2048", SignatureScheme("rsa-pkcs1", digest)) for digest in DIGESTS),
    *(
        ("rsa2048", SignatureScheme("rsa-pss", digest, salt))
        for digest, salt in product(DIGESTS, (None, 0, 20, 64))
    ),
    *((curve, SignatureScheme("ecdsa", digest)) for curve, digest in product(CURVES, DIGESTS)),
    *((kind, SignatureScheme(cast("SignatureFamily", kind), "sha512")) for kind in PURE),
]
HASHES: list[Digest] = ["sha1", "sha256", "sha384", "sha512"]
TRANSPORTS = [
    KeyTransport("rsa-pkcs1"),
    *(KeyTransport("rsa-oaep", one, other) for one, other in product(HASHES, HASHES)),
    *(KeyTransport("rsa-oaep", "sha256", "sha256", label) for label in (b"\0", b"label" * 20)),
]
AGREEING: list[KeyKind] = ["p256", "p384", "p521", "bp256", "x25519", "x448", "ml-kem-768", "ml-kem-1024"]  # fmt: skip
READING: list[tuple[KeyKind, KeyTransport, str]] = [
    *(("rsa2048", transport, CIPHERS[0]) for transport in TRANSPORTS),
    *((kind, TRANSPORTS[0], cipher) for kind, cipher in product(("rsa2048", *AGREEING), CIPHERS)),
]

ropes = st.lists(st.binary(max_size=300), max_size=4).map(
    lambda parts: Rope(tuple(Octets(part) for part in parts))
)


def test_the_table_is_covered() -> None:
    """Something we make has never been read back."""
    families = {one.family for _, one in SIGNING}
    assert {one.family for one in MADE if one.kind == "signature"} <= families
    assert {"rsa-oaep"} == {one.name for one in MADE if one.kind == "transport"}
    assert len(DIGESTS) >= 3
    assert len(CIPHERS) >= 6


@pytest.mark.parametrize(("kind", "scheme"), SIGNING)
@settings(deadline=None, max_examples=6)
@given(text=ropes, detached=st.booleans())
def test_what_is_signed_verifies(
    kind: KeyKind, scheme: SignatureScheme, text: Content, detached: bool
) -> None:
    """Whatever the content, the key and the scheme, and as the scheme says."""
    alice = user("alice@example.com", kind)
    made = signed.sign(text, [alice.signer], scheme, detached=detached, when=NOW)
    found = signed.parse(join(made))
    (verdict,) = signed.verify(found, text if detached else None)
    assert verdict.intact, verdict.reason
    assert (verdict.certificate, verdict.signing_time) == (alice.certificate, NOW)
    assert (verdict.scheme, verdict.digest) == (scheme.family, scheme.digest)
    assert found.content == (None if detached else join(text))


@pytest.mark.parametrize(("kind", "transport", "cipher"), READING)
@settings(deadline=None, max_examples=4)
@given(text=ropes)
def test_what_is_encrypted_comes_back(
    kind: KeyKind, transport: KeyTransport, cipher: str, text: Content
) -> None:
    """Whatever the content, the key, how its own key came, and the cipher."""
    bob = user("bob@example.com", kind)
    made = enveloped.encrypt(
        text, [bob.certificate], cipher=cipher, key_transport=transport, entropy=os.urandom
    )
    found = enveloped.decrypt(join(made), [bob.decryptor], entropy=os.urandom)
    assert found.content == join(text)
    assert (found.cipher, found.authenticated) == (cipher, cipher.endswith("-gcm"))
