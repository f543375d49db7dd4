"""Signatures by kind of key: which data is signed, and what a key may be used for."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

import pytest
from tests.pki_builder import KeyKind, User, user

from gatepost.certificate import Certificate
from gatepost.cms import attributes, ber, content, der, designation, identifier, signature, signed
from gatepost.cms import signer as signers
from gatepost.cms.capability import SignatureScheme
from gatepost.cms.digest import digest_of
from gatepost.cms.identifier import SignatureAlgorithm
from gatepost.cms.signer import SignerVerdict
from gatepost.errors import Unsupported
from gatepost.mail.content import Octets, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
PURE: list[KeyKind] = ["ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
SHAKE = der.sequence(der.oid("2.16.840.1.101.3.4.2.18"), der.integer(512))


def alice(kind: KeyKind) -> User:
    """The signer."""
    return user("alice@example.com", kind)


def verdict_of(octets: bytes, about: bytes | None = None) -> SignerVerdict:
    """The only verdict."""
    found = signed.parse(octets)
    (verdict,) = signed.verify(found, None if about is None else Octets(about))
    return verdict


def bare(
    one: User, algorithm: bytes, value: bytes, digest: bytes, said: bytes = b"", about: bytes = TEXT
) -> bytes:
    """A SignedData with this signature value; `said` are the signed attributes, if any."""
    info = der.sequence(
        der.integer(1),
        designation.issuer_and_serial(one.certificate),
        digest,
        b"\xa0" + said[1:] if said else b"",
        algorithm,
        der.octet_string(value),
    )
    body = der.sequence(
        der.integer(1),
        der.set_of(digest),
        der.sequence(der.tlv(0x06, content.DATA), der.explicit(0, der.octet_string(about))),
        der.explicit(0, one.certificate.der),
        der.set_of(info),
    )
    return der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body))


def algorithm_of(kind: KeyKind) -> bytes:
    """The signatureAlgorithm of a key that signs data itself."""
    oid = {"ed25519": "1.3.101.112", "ed448": "1.3.101.113"}.get(kind)
    arcs = {"ml-dsa-44": 17, "ml-dsa-65": 18, "ml-dsa-87": 19}
    return der.sequence(der.oid(oid or f"2.16.840.1.101.3.4.3.{arcs[kind]}"))


@pytest.mark.parametrize("kind", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "ed25519"])
def test_signed_with_attributes(kind: KeyKind, now: datetime) -> None:
    """RFC 8419 and RFC 9882: SHA-512 over the content, the key over the attributes."""
    one = alice(kind)
    octets = join(signed.sign(Octets(TEXT), [one.signer], None, detached=True, when=now))
    verdict = verdict_of(octets, TEXT)
    assert (verdict.intact, verdict.scheme, verdict.digest) == (True, kind, "sha512")
    assert not verdict.weak
    assert not verdict_of(octets, TEXT + b" ").intact
    assert octets.count(algorithm_of(kind)) > 0
    assert octets.count(der.sequence(der.oid("2.16.840.1.101.3.4.2.3")))  # SHA-512, no parameters


@pytest.mark.parametrize("kind", PURE)
def test_signed_without_attributes(kind: KeyKind) -> None:
    """RFC 8419 3.1, RFC 9882 3.2: then the content itself is signed, not its digest."""
    one = alice(kind)
    value = one.signer.sign(TEXT, SignatureScheme("ed25519"))
    for digest in (identifier.digest_identifier("sha512"), SHAKE, der.sequence(der.oid("1.2.3"))):
        octets = bare(one, algorithm_of(kind), value, digest)
        verdict = verdict_of(octets)
        known = digest != der.sequence(der.oid("1.2.3"))
        assert verdict.intact == known, verdict.reason
        assert not verdict_of(octets, b"other").intact
    over_digest = one.signer.sign(digest_of("sha512", TEXT), SignatureScheme("ed25519"))
    octets = bare(one, algorithm_of(kind), over_digest, identifier.digest_identifier("sha512"))
    assert not verdict_of(octets).intact


def test_ed448_with_shake() -> None:
    """RFC 8419 section 3: the digest of Ed448 is SHAKE256 with 512 bits."""
    one = alice("ed448")
    for digest in (SHAKE, der.sequence(der.oid("2.16.840.1.101.3.4.2.12"))):
        said = der.set_of(
            attributes.attribute(attributes.CONTENT_TYPE, der.tlv(0x06, content.DATA)),
            attributes.attribute(
                attributes.MESSAGE_DIGEST, der.octet_string(digest_of("shake256", TEXT))
            ),
        )
        value = one.signer.sign(said, SignatureScheme("ed25519"))
        octets = bare(one, algorithm_of("ed448"), value, digest, said)
        verdict = verdict_of(octets)
        assert (verdict.intact, verdict.scheme, verdict.digest) == (True, "ed448", "shake256")
    with pytest.raises(Unsupported, match="cannot sign"):
        signers.fitting(one.signer, None)
    short = der.sequence(der.oid("2.16.840.1.101.3.4.2.18"), der.integer(256))
    with pytest.raises(Unsupported, match="512 bits"):
        identifier.digest_name(short)


def test_a_signature_over_much_content_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs the content in one piece, which must not be anybody's to ask for."""
    one = alice("ed25519")
    value = one.signer.sign(TEXT, SignatureScheme("ed25519"))
    octets = bare(one, algorithm_of("ed25519"), value, identifier.digest_identifier("sha512"))
    monkeypatch.setattr(signers, "MAXIMUM_BARE", len(TEXT) - 1)
    assert "without signed attributes" in verdict_of(octets).reason


@pytest.mark.parametrize("kind", [*PURE, "x25519", "ml-kem-768", "p256", "rsa2048"])
@pytest.mark.parametrize(
    "family", ["rsa-pkcs1", "rsa-pss", "ecdsa", "dsa", "ed25519", "ed448", "ml-dsa-44", "ml-dsa-87"]
)
def test_keys_and_algorithms_that_do_not_fit(kind: KeyKind, family: str) -> None:
    """An exception here would let one odd signature stop a mail."""
    algorithm = SignatureAlgorithm(family, "sha256")
    certificate = alice(kind).certificate
    for hashed in (False, True):
        assert signature.check(certificate, algorithm, b"x", b"y" * 32, "sha256", hashed=hashed)


# Keys certified for one use only


def certified(algorithm: bytes, key_name: str = "pss") -> User:
    """A user whose certificate names this algorithm for an RSA key."""
    made = user(f"{key_name}@example.com", "rsa2048")
    tbs, *rest = ber.parse(made.certificate.der).sequence()
    fields = tbs.sequence()
    public_key = fields[6].sequence()
    replaced = der.sequence(algorithm, public_key[1].raw)
    parts = [one.raw for one in fields]
    parts[6] = replaced
    whole = der.sequence(der.sequence(*parts), *(one.raw for one in rest))
    return User(Certificate.from_der(whole), made.key, made.chain)


PSS = "1.2.840.113549.1.1.10"


def test_a_key_for_pss_alone(now: datetime) -> None:
    """RFC 4055 section 1.2: such a key "MUST NOT be used" for anything else."""
    one = certified(der.sequence(der.oid(PSS)))
    octets = join(signed.sign(Octets(TEXT), [one.signer], None, detached=True, when=now))
    assert verdict_of(octets, TEXT).scheme == "rsa-pss"
    assert verdict_of(octets, TEXT).intact
    value = one.signer.sign(TEXT, SignatureScheme("rsa-pkcs1"))
    rsa_identifier = identifier.signature_identifier(SignatureScheme("rsa-pkcs1"))
    octets = bare(one, rsa_identifier, value, identifier.digest_identifier("sha256"))
    assert verdict_of(octets).reason == "the certificate's key is for RSASSA-PSS only"


def test_a_key_for_one_form_of_pss(now: datetime) -> None:
    """RFC 4055 section 3.3: digest and mask are the key's to say, and the salt's least length."""
    one = certified(identifier.signature_identifier(SignatureScheme("rsa-pss", "sha384", 32)))
    wished = SignatureScheme("rsa-pss", "sha256")
    octets = join(signed.sign(Octets(TEXT), [one.signer], wished, detached=True, when=now))
    verdict = verdict_of(octets, TEXT)
    assert (verdict.intact, verdict.digest) == (True, "sha384")
    for scheme, fits in (
        (SignatureScheme("rsa-pss", "sha384", 48), True),
        (SignatureScheme("rsa-pss", "sha384", 20), False),
        (SignatureScheme("rsa-pss", "sha256", 32), False),
    ):
        value = one.signer.sign(TEXT, scheme)
        algorithm = identifier.signature_identifier(scheme)
        octets = bare(one, algorithm, value, identifier.digest_identifier(scheme.digest))
        verdict = verdict_of(octets)
        assert verdict.intact == fits, scheme
        assert fits or "not those the certificate's key is for" in verdict.reason


def test_a_key_whose_parameters_cannot_be_read() -> None:
    """It is a verdict, not an exception."""
    one = certified(
        der.sequence(
            der.oid(PSS),
            der.sequence(der.explicit(0, der.sequence(der.oid("2.16.840.1.101.3.4.2.7")))),
        )
    )
    scheme = SignatureScheme("rsa-pss", "sha256")
    value = one.signer.sign(TEXT, scheme)
    algorithm = identifier.signature_identifier(scheme)
    octets = bare(one, algorithm, value, identifier.digest_identifier("sha256"))
    assert "parameters cannot be read" in verdict_of(octets).reason


def test_a_key_for_oaep_alone() -> None:
    """It signs nothing and verifies nothing."""
    one = certified(der.sequence(der.oid("1.2.840.113549.1.1.7")))
    if one.certificate.public_key is not None:
        with pytest.raises(Unsupported, match="cannot sign"):
            signers.fitting(one.signer, None)
    value = user("pss@example.com", "rsa2048").signer.sign(TEXT, SignatureScheme("rsa-pkcs1"))
    algorithm = identifier.signature_identifier(SignatureScheme("rsa-pkcs1"))
    octets = bare(one, algorithm, value, identifier.digest_identifier("sha256"))
    assert not verdict_of(octets).intact


@pytest.mark.corpus
@pytest.mark.parametrize("number", [65, 87])
def test_the_examples_of_rfc_9882(corpus: Path, number: int) -> None:
    """What the RFC prints is what everybody else's ML-DSA mail looks like."""
    folder = corpus / "rfc9882-mldsa"
    text = (folder / f"msg/SignedData_ML-DSA-{number}.pem").read_bytes()
    keys = Certificate.from_pem((folder / f"keys/ML-DSA-{number}.pem").read_bytes())
    found = signed.parse(unarmoured(text))
    (verdict,) = signed.verify(found, None, known=keys)
    assert (verdict.intact, verdict.scheme) == (True, f"ml-dsa-{number}"), verdict.reason
    assert found.content == b"ML-DSA-%d signed-data example with signed attributes" % number


def unarmoured(text: bytes) -> bytes:
    """The octets of the last PEM block."""
    body = text.rpartition(b"-----BEGIN")[2].partition(b"-----\n")[2].partition(b"-----END")[0]
    return base64.b64decode(body)
