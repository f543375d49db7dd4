"""Signing and verifying: what is intact, and every way of not being it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from tests.pki_builder import KeyKind, User, company, user

from gatepost.certificate import Certificate
from gatepost.cms import (
    algorithms,
    attributes,
    ber,
    content,
    der,
    designation,
    identifier,
    signed,
    signer,
)
from gatepost.cms.capability import SignatureScheme, Signer
from gatepost.cms.digest import digest_of, digests_of
from gatepost.cms.signed import SignedData
from gatepost.cms.signer import SignerVerdict
from gatepost.errors import LimitExceeded, Malformed, Unsupported
from gatepost.mail.content import SMALL, Octets, Rope, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
KINDS: list[KeyKind] = ["rsa2048", "p256", "p384", "p521", "ed25519"]
PKCS1 = SignatureScheme("rsa-pkcs1")


def alice(kind: KeyKind = "p256") -> User:
    """The signer of most tests."""
    return user("alice@example.com", kind)


def one_verdict(octets: bytes, about: bytes | None = None) -> SignerVerdict:
    """The verdict over a message with one signer."""
    found = signed.parse(octets)
    (verdict,) = signed.verify(found, None if about is None else Octets(about))
    return verdict


@pytest.mark.parametrize("kind", KINDS)
def test_a_detached_signature(kind: KeyKind, now: datetime) -> None:
    """multipart/signed is what most partners get."""
    one = alice(kind)
    octets = join(signed.sign(Octets(TEXT), [one.signer], None, detached=True, when=now))
    found = signed.parse(octets)
    assert found.content is None
    assert content.kind(octets) == "signed-data"
    verdict = one_verdict(octets, TEXT)
    assert verdict.intact
    assert verdict.certificate == one.certificate
    assert verdict.signing_time == now
    assert "aes256-gcm" in verdict.capabilities
    assert not verdict.weak
    assert found.digests == (verdict.digest,)
    assert one.chain[0] in found.certificates
    changed = one_verdict(octets, TEXT + b" ")
    assert not changed.intact
    assert changed.reason == "the content was changed after signing: its digest differs"


@pytest.mark.parametrize(
    ("kind", "wraps"),
    [
        ("rsa2048", {"rsa-oaep"}),
        ("p384", {"ecdh-std-sha384"}),
        ("x25519", {"ecdh-hkdf-sha256"}),
        ("ml-kem-768", {"ml-kem-768"}),
    ],
)
def test_what_is_announced_fits_the_key(kind: KeyKind, wraps: set[str], now: datetime) -> None:
    """Told that we read OAEP, a partner would look for an RSA key that is not there."""
    one, reader = alice(), user("alice@example.com", kind).certificate
    octets = join(
        signed.sign(
            Octets(TEXT),
            [one.signer],
            None,
            detached=True,
            when=now,
            encryption_certificate=reader,
        )
    )
    found = one_verdict(octets, TEXT).capabilities
    kinds = {"transport", "agreement", "encapsulation"}
    assert {name for name in found if algorithms.BY_NAME[name].kind in kinds} == wraps
    assert {"aes256-gcm", "aes128-cbc", "rsa-pss"} <= found


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000, 300_000])
def test_an_opaque_signature(size: int, now: datetime) -> None:
    """Large content is never copied together, and must still be the same message."""
    text = b"x" * size
    made = signed.sign(Octets(text), [alice().signer], None, detached=False, when=now)
    assert isinstance(made, Rope) == (size > SMALL)
    octets = join(made)
    assert len(octets) == made.size
    assert signed.parse(octets).content == text
    assert one_verdict(octets).intact
    assert one_verdict(octets, text).intact


def test_the_scheme_follows_the_key(now: datetime) -> None:
    """A policy of RSASSA-PSS must not stop users with elliptic keys."""
    for one, family, digest in (
        (alice("rsa2048"), "rsa-pss", "sha512"),
        (alice("p384"), "ecdsa", "sha384"),
        (alice("ed25519"), "ed25519", "sha512"),
    ):
        wished = SignatureScheme("rsa-pss", "sha512")
        octets = join(signed.sign(Octets(TEXT), [one.signer], wished, detached=True, when=now))
        verdict = one_verdict(octets, TEXT)
        assert (verdict.intact, verdict.scheme, verdict.digest) == (True, family, digest)


def test_several_signers(now: datetime) -> None:
    """A domain signature beside the author's: each has a verdict of its own."""
    signers: list[Signer] = [alice("rsa2048").signer, alice("p384").signer]
    octets = join(signed.sign(Octets(TEXT), signers, PKCS1, detached=True, when=now))
    found = signed.parse(octets)
    verdicts = signed.verify(found, Octets(TEXT))
    assert [one.intact for one in verdicts] == [True, True]
    assert {one.digest for one in verdicts} == set(found.digests) == {"sha256", "sha384"}


def test_certificates_are_in_der_order_and_once(now: datetime) -> None:
    """Strict readers refuse a SET OF out of order (measured: `cryptography`)."""
    one, other = alice(), user("bob@example.com", "p256")
    extra = [other.certificate, one.certificate, other.certificate]
    octets = join(
        signed.sign(Octets(TEXT), [one.signer], None, detached=True, when=now, extra=extra)
    )
    found = [certificate.der for certificate in signed.parse(octets).certificates]
    assert found == sorted(found)
    assert len(found) == 3
    assert ber.canonical(ber.parse(octets)) == octets


def test_the_encryption_certificate_is_announced(now: datetime) -> None:
    """A correspondent with the wrong certificate writes mail its reader cannot open."""
    one, other = alice(), user("alice@example.com", "rsa2048", "encrypt")
    octets = join(
        signed.sign(
            Octets(TEXT),
            [one.signer],
            None,
            detached=True,
            when=now,
            encryption_certificate=other.certificate,
            capabilities=("aes128-cbc",),
        )
    )
    verdict = one_verdict(octets, TEXT)
    assert verdict.encryption_certificate == other.certificate
    assert verdict.capabilities == {"aes128-cbc"}


def test_a_verdict_is_no_truth_value(now: datetime) -> None:
    """`if verdict:` would take every broken signature for a good one."""
    octets = join(signed.sign(Octets(TEXT), [alice().signer], None, detached=True, when=now))
    with pytest.raises(TypeError):
        bool(one_verdict(octets, TEXT))


def test_a_detached_signature_needs_its_content(now: datetime) -> None:
    """Without it nothing was verified, and nothing may look as if."""
    octets = join(signed.sign(Octets(TEXT), [alice().signer], None, detached=True, when=now))
    with pytest.raises(Malformed, match="detached"):
        signed.verify(signed.parse(octets), None)


def test_content_that_comes_twice(now: datetime) -> None:
    """The reader is shown one content and the signature is about the other (Thunderbird's test)."""
    octets = join(signed.sign(Octets(TEXT), [alice().signer], None, detached=False, when=now))
    verdict = one_verdict(octets, b"something else")
    assert not verdict.intact
    assert "differs from the content it came with" in verdict.reason


# Messages nobody but a test writes


def built(
    one: User,
    attributes_set: bytes | None,
    *,
    about: bytes = TEXT,
    sign_over: bytes | None = None,
    name: bytes = b"",
    digest: bytes = b"",
    declared: bytes = b"",
    certificates: Sequence[bytes] = (),
    unsigned: bytes = b"",
    content_type: bytes = content.DATA,
    pieces: bytes = b"",
    scheme: SignatureScheme | None = None,
) -> bytes:
    """A SignedData with exactly these parts; `attributes_set` is a SET OF or None."""
    scheme = scheme or signer.fitting(one.signer, PKCS1)
    to_sign = sign_over if sign_over is not None else attributes_set
    signature = one.signer.sign(about if to_sign is None else to_sign, scheme)
    info = der.sequence(
        der.integer(1),
        name or designation.issuer_and_serial(one.certificate),
        digest or identifier.digest_identifier(scheme.digest),
        b"" if attributes_set is None else b"\xa0" + attributes_set[1:],
        identifier.signature_identifier(scheme),
        der.octet_string(signature),
        unsigned,
    )
    inside = der.explicit(0, pieces or der.octet_string(about))
    body = der.sequence(
        der.integer(1),
        declared or der.set_of(identifier.digest_identifier(scheme.digest)),
        der.sequence(der.tlv(0x06, content_type), inside),
        der.explicit(0, *(certificates or (one.certificate.der,))),
        der.set_of(info),
    )
    return der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body))


def hashed(one: User, octets: bytes = TEXT) -> bytes:
    """The digest the signer's key calls for."""
    scheme = signer.fitting(one.signer, PKCS1)
    return digests_of(Octets(octets), [scheme.digest])[scheme.digest]


def content_type_attribute(kind: bytes = content.DATA) -> bytes:
    """The content-type attribute."""
    return attributes.attribute(attributes.CONTENT_TYPE, der.tlv(0x06, kind))


def digest_attribute(one: User, octets: bytes = TEXT) -> bytes:
    """The message-digest attribute."""
    return attributes.attribute(attributes.MESSAGE_DIGEST, der.octet_string(hashed(one, octets)))


def test_without_signed_attributes() -> None:
    """Old senders and PDF tools sign the content itself."""
    for one in (alice("rsa2048"), alice("p256")):
        verdict = one_verdict(built(one, None))
        assert verdict.intact, verdict.reason
        assert verdict.signing_time is None
        assert not one_verdict(built(one, None), b"other").intact


def test_signed_attributes_are_not_taken_for_content() -> None:
    """An attacker drops the attributes from a signed mail and sends them as the content."""
    one = alice()
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    for pieces in (
        b"",
        der.tlv(0x24, *(der.octet_string(said[at : at + 1]) for at in range(len(said)))),
    ):
        forged = built(one, None, about=said, sign_over=said, pieces=pieces)
        verdict = one_verdict(forged)
        assert not verdict.intact
        assert verdict.reason == "the content is another message's signed attributes"


def test_attributes_are_verified_as_der_and_as_sent() -> None:
    """Some signers sort nothing and sign what they send; others sort only what they sign."""
    one = alice()
    parts = (digest_attribute(one), content_type_attribute())
    unsorted, canonical = der.tlv(der.SET, *parts), der.set_of(*parts)
    assert unsorted != canonical
    assert one_verdict(built(one, unsorted)).intact
    assert one_verdict(built(one, unsorted, sign_over=canonical)).intact
    ber_set = b"\x31\x80" + parts[0] + parts[1] + b"\x00\x00"
    assert one_verdict(built(one, ber_set, sign_over=canonical)).intact
    assert not one_verdict(built(one, unsorted, sign_over=canonical + b"x")).intact


def test_attributes_that_are_not_as_they_must_be() -> None:
    """Each is a way to have two readers see two things."""
    one = alice()
    kind, digest = content_type_attribute(), digest_attribute(one)
    two = attributes.attribute(
        attributes.MESSAGE_DIGEST, der.octet_string(hashed(one)), der.octet_string(b"x" * 32)
    )
    for name, said in {
        "no digest": der.set_of(kind),
        "no content type": der.set_of(digest),
        "two values": der.set_of(kind, two),
        "digest twice": der.set_of(kind, digest, digest),
        "another type": der.set_of(content_type_attribute(content.SIGNED_DATA), digest),
        "another digest": der.set_of(kind, digest_attribute(one, b"other")),
        "nothing": der.set_of(),
        "no attribute": der.set_of(kind, digest, der.sequence()),
    }.items():
        verdict = one_verdict(built(one, said))
        assert not verdict.intact, name
        assert verdict.reason, name


def test_signed_attributes_do_not_stand_among_the_unsigned() -> None:
    """OpenSSL's bad_signtime_attr: a time anybody could have added."""
    one = alice()
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    time = attributes.attribute(attributes.SIGNING_TIME, der.tlv(0x17, b"260601120000Z"))
    assert not one_verdict(built(one, said, unsigned=der.explicit(1, time))).intact
    assert not one_verdict(built(one, said, unsigned=der.explicit(1, der.sequence()))).intact
    other = attributes.attribute("1.2.3.4", der.NULL)
    assert one_verdict(built(one, said, unsigned=der.explicit(1, other, other))).intact


def test_content_of_another_type_needs_attributes() -> None:
    """RFC 5652 5.3: else id-data could be exchanged for something that is parsed."""
    one = alice()
    assert not one_verdict(built(one, None, content_type=content.SIGNED_DATA)).intact
    said = der.set_of(content_type_attribute(content.SIGNED_DATA), digest_attribute(one))
    octets = built(one, said, content_type=content.SIGNED_DATA)
    assert one_verdict(octets).intact
    assert signed.parse(octets).content_type == "signed-data"


def test_the_signing_certificate_attribute_binds() -> None:
    """A certificate of the same name and serial, but of another key, would be shown instead."""
    one, other = alice(), user("bob@example.com", "p256")
    of_other = attributes.fixed(other.certificate, (), None)
    said = der.set_of(digest_attribute(one), *of_other)
    verdict = one_verdict(built(one, said))
    assert not verdict.intact
    assert verdict.reason == "the signing-certificate attribute names another certificate"


def test_a_missing_certificate(now: datetime) -> None:
    """Many senders leave it out; a known one will do."""
    one, other = alice(), user("bob@example.com", "p256")
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    octets = built(one, said, certificates=[other.certificate.der, b"\xa1\x00", b"\x30\x00"])
    found = signed.parse(octets)
    assert found.certificates == (other.certificate,)
    (verdict,) = signed.verify(found, None)
    assert (verdict.intact, verdict.certificate) == (False, None)
    assert verdict.reason == "the signer's certificate is not in the message"
    (verdict,) = signed.verify(found, None, known=[one.certificate])
    assert verdict.intact


def test_named_by_key_identifier() -> None:
    """`openssl cms -sign -keyid` and Apple do it."""
    one = alice()
    assert one.certificate.key_id is not None
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    octets = built(one, said, name=der.tlv(0x80, one.certificate.key_id))
    assert one_verdict(octets).intact


def twin(email: str) -> Certificate:
    """Another certificate for Alice's key, issued to somebody."""
    return company().user(email, kind="p256", key_name="alice@example.com both").certificate


def test_certificates_of_several_people_that_fit() -> None:
    """Eve has Bob's key certified as hers, and sends his words as her own, or hers as his."""
    one = alice()
    eve = twin("eve@evil.example")
    assert one.certificate.key_id is not None
    name = der.tlv(0x80, one.certificate.key_id)
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    for order in ([one.certificate.der, eve.der], [eve.der, one.certificate.der]):
        verdict = one_verdict(built(one, said, name=name, certificates=order))
        assert not verdict.intact
        assert verdict.reason.startswith("certificates of several people fit")
    bound = der.set_of(digest_attribute(one), *attributes.fixed(one.certificate, (), None))
    verdict = one_verdict(built(one, bound, name=name, certificates=[eve.der, one.certificate.der]))
    assert (verdict.intact, verdict.bound, verdict.certificate) == (True, True, one.certificate)


def test_a_renewed_certificate_for_the_same_key() -> None:
    """Everybody whose CA renews certificates without a new key would be called a forger."""
    one = alice()
    renewed = twin("alice@example.com")
    assert one.certificate.key_id is not None
    name = der.tlv(0x80, one.certificate.key_id)
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    verdict = one_verdict(
        built(one, said, name=name, certificates=[renewed.der, one.certificate.der])
    )
    assert (verdict.intact, verdict.bound) == (True, False)


def test_another_key_does_not_fit() -> None:
    """A certificate swapped for another must not verify, whatever its key type."""
    one = alice("rsa2048")
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    for other in (user("bob@example.com", "rsa2048"), user("bob@example.com", "p256")):
        name = designation.issuer_and_serial(other.certificate)
        octets = built(one, said, name=name, certificates=[other.certificate.der])
        verdict = one_verdict(octets)
        assert not verdict.intact
        assert verdict.certificate == other.certificate


def test_a_digest_the_message_does_not_declare() -> None:
    """OpenSSL refuses it (RFC 5652 5.1 allows that): two readers, one answer."""
    one = alice()
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    verdict = one_verdict(built(one, said, declared=der.set_of()))
    assert not verdict.intact
    assert verdict.reason == "the signer's digest algorithm is not among those of the message"


def test_an_unknown_digest_is_a_verdict() -> None:
    """One odd signer must not hide the verdict of another, nor crash."""
    one = alice()
    said = der.set_of(content_type_attribute(), digest_attribute(one))
    verdict = one_verdict(built(one, said, digest=der.sequence(der.oid("1.2.3.4"))))
    assert not verdict.intact
    assert "1.2.3.4" in verdict.reason


def test_weak_digests_are_read_and_flagged(now: datetime) -> None:
    """SHA-1 is still sent; people must see it, and we never add to it."""
    one = alice("rsa2048")
    scheme = SignatureScheme("rsa-pkcs1", "sha1")
    said = der.set_of(
        content_type_attribute(),
        attributes.attribute(attributes.MESSAGE_DIGEST, der.octet_string(digest_of("sha1", TEXT))),
    )
    verdict = one_verdict(built(one, said, scheme=scheme))
    assert verdict.intact, verdict.reason
    assert verdict.weak
    with pytest.raises(Unsupported, match="sha1"):
        signed.sign(Octets(TEXT), [one.signer], scheme, detached=False, when=now)


def test_no_signers(now: datetime) -> None:
    """A certs-only message says nothing about content."""
    body = der.sequence(
        der.integer(1),
        der.set_of(),
        der.sequence(der.tlv(0x06, content.DATA)),
        der.explicit(0, alice().certificate.der),
        der.set_of(),
    )
    found = signed.parse(der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body)))
    assert found.certificates == (alice().certificate,)
    assert found.signers == ()
    assert signed.verify(found, Octets(TEXT)) == ()


def test_what_is_not_signed_data() -> None:
    """The reader is told what it is instead."""
    other = der.sequence(der.tlv(0x06, content.ENVELOPED_DATA), der.explicit(0, der.sequence()))
    with pytest.raises(Unsupported, match="enveloped-data"):
        signed.parse(other)
    for octets in (b"", b"\x30\x00", der.sequence(der.NULL, der.NULL), b"hello"):
        with pytest.raises(Malformed):
            signed.parse(octets)


def test_limits() -> None:
    """Hundreds of signatures by one mail would keep the gateway busy."""
    one = alice()
    info = ber.parse(built(one, None)).children()[1].children()[0].children()[-1].children()[0].raw
    fields = [
        der.integer(1),
        der.set_of(),
        der.sequence(der.tlv(0x06, content.DATA)),
        der.explicit(0, *[one.certificate.der] * 501),
        der.set_of(),
    ]
    for _ in range(2):
        body = der.explicit(0, der.sequence(*fields))
        with pytest.raises(LimitExceeded):
            signed.parse(der.sequence(der.tlv(0x06, content.SIGNED_DATA), body))
        fields[3:] = [der.set_of(*[info] * 51)]


def test_the_same_octets_every_time(now: datetime) -> None:
    """Verifying twice must not depend on what was read before."""
    octets = join(signed.sign(Octets(TEXT), [alice().signer], None, detached=False, when=now))
    found: SignedData = signed.parse(octets)
    first = signed.verify(found, None)
    for _ in range(300):
        assert signed.verify(found, None) == first


def test_a_signature_after_2049() -> None:
    """The year decides the form of the time."""
    when = datetime(2051, 1, 1, tzinfo=UTC)
    octets = join(signed.sign(Octets(TEXT), [alice().signer], None, detached=False, when=when))
    assert one_verdict(octets).signing_time == when
