"""Algorithm parameters: written as the RFCs say, read without guessing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatepost.cms import algorithms, ber, der, digest, identifier
from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import Malformed, Unsupported

PSS = der.oid("1.2.840.113549.1.1.10")
OAEP = der.oid("1.2.840.113549.1.1.7")
MGF1 = der.oid("1.2.840.113549.1.1.8")
SHA256 = identifier.digest_identifier("sha256", null=True)


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("salt", [None, 0, 20, 64])
def test_pss_comes_back(digest: Digest, salt: int | None) -> None:
    """OpenSSL's default salt is not the digest's length: any must be read."""
    written = identifier.signature_identifier(SignatureScheme("rsa-pss", digest, salt))
    read = identifier.signature_algorithm(written)
    expected = algorithms.BY_NAME[digest].size if salt is None else salt
    assert (read.family, read.digest, read.mgf_digest, read.salt) == (
        "rsa-pss",
        digest,
        digest,
        expected,
    )


@pytest.mark.parametrize("label", [b"", b"label"])
@pytest.mark.parametrize("mgf_digest", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384"])
def test_oaep_comes_back(digest: Digest, mgf_digest: Digest, label: bytes) -> None:
    """The digest of the mask is often another than that of the label."""
    scheme = KeyTransport("rsa-oaep", digest, mgf_digest, label)
    assert identifier.transport_scheme(identifier.transport_identifier(scheme)) == scheme


def test_empty_parameters_mean_sha1() -> None:
    """RFC 4055: every field has a default; old senders leave them all out."""
    read = identifier.signature_algorithm(der.sequence(PSS, der.sequence()))
    assert (read.digest, read.mgf_digest, read.salt) == ("sha1", "sha1", 20)
    scheme = identifier.transport_scheme(der.sequence(OAEP, der.sequence()))
    assert scheme == KeyTransport("rsa-oaep", "sha1", "sha1")


BROKEN = {
    "no parameters": b"",
    "NULL": der.NULL,
    "an octet string": der.octet_string(b"x"),
    "an unknown field": der.sequence(der.explicit(4, der.integer(1))),
    "a field twice": der.sequence(der.explicit(0, SHA256), der.explicit(0, SHA256)),
    "fields out of order": der.sequence(
        der.explicit(1, der.sequence(MGF1, SHA256)), der.explicit(0, SHA256)
    ),
    "an empty field": der.sequence(der.explicit(0)),
    "a mask without digest": der.sequence(der.explicit(1, der.sequence(MGF1))),
}


@pytest.mark.parametrize(
    ("algorithm", "read"),
    [(PSS, identifier.signature_algorithm), (OAEP, identifier.transport_scheme)],
    ids=["PSS", "OAEP"],
)
@pytest.mark.parametrize("name", BROKEN)
def test_broken_parameters_are_never_defaults(
    algorithm: bytes, read: Callable[[bytes], object], name: str
) -> None:
    """Falling back to SHA-1 would accept what the sender never made (CVE-2026-28390's place)."""
    encoded = der.sequence(algorithm, BROKEN[name])
    with pytest.raises(Malformed):
        read(encoded)


@pytest.mark.parametrize("salt", [-1, 100_000])
def test_impossible_salts(salt: int) -> None:
    """A hostile length must not reach the arithmetic."""
    parameters = der.sequence(der.explicit(2, der.integer(salt)))
    with pytest.raises(Malformed):
        identifier.signature_algorithm(der.sequence(PSS, parameters))


def test_unknown_algorithms_are_named() -> None:
    """The administrator must learn which algorithm the partner uses."""
    unknown = der.sequence(der.oid("1.2.3.4"))
    for read in (
        identifier.digest_name,
        identifier.signature_algorithm,
        identifier.transport_scheme,
        identifier.agreement,
    ):
        with pytest.raises(Unsupported, match=r"1\.2\.3\.4"):
            read(unknown)
    with pytest.raises(Unsupported, match=r"1\.2\.3\.4"):
        identifier.cipher(unknown)


def test_every_name_and_oid_is_unique() -> None:
    """A doubled row would read one algorithm as another."""
    assert len(algorithms.BY_NAME) == len(algorithms.BY_OID) == len(algorithms.TABLE)


def test_nothing_weak_or_ended_is_created() -> None:
    """SHA-1 and 3DES are read, never written."""
    made = {one.name for one in algorithms.TABLE if one.create_from is not None}
    assert not made & {one.name for one in algorithms.TABLE if one.weak}
    assert {"aes256-gcm", "ml-kem-768", "ecdh-hkdf-sha256"} <= made
    assert algorithms.BY_NAME["sha1"].weak
    assert algorithms.BY_NAME["3des-cbc"].weak


def test_the_refused_are_known_by_name_only() -> None:
    """Single DES would be read as if it hid something."""
    refused = [one for one in algorithms.TABLE if one.status == "refused"]
    assert {"des-cbc", "md2", "rc4"} <= {one.name for one in refused}
    assert all(algorithms.find(one.contents, one.kind) is None for one in refused)
    assert all(algorithms.named(one.name, one.kind) is None for one in refused)


def test_what_is_weak_for_digests_is_weak_in_the_table() -> None:
    """A report would call a signature good by SHA-1 that the page calls weak."""
    weak = {one.name for one in algorithms.TABLE if one.kind == "digest" and one.weak}
    assert weak == digest.WEAK


def test_everything_announced_is_read() -> None:
    """Correspondents would write what we cannot open."""
    for name in algorithms.CAPABILITIES:
        assert algorithms.BY_NAME[name].status in ("make", "read")


@pytest.mark.parametrize(
    ("name", "parameters", "ok"),
    [
        ("aes256-gcm", der.sequence(der.octet_string(b"n" * 12), der.integer(16)), True),
        ("aes256-gcm", der.sequence(der.octet_string(b"n" * 12)), True),
        ("aes256-gcm", der.sequence(der.octet_string(b"n" * 12), der.integer(4)), False),
        ("aes256-gcm", der.sequence(der.octet_string(b""), der.integer(16)), False),
        ("aes256-gcm", der.sequence(), False),
        ("aes256-gcm", b"", False),
        ("aes256-cbc", der.octet_string(b"i" * 16), True),
        ("aes256-cbc", der.octet_string(b"i" * 8), False),
        ("3des-cbc", der.octet_string(b"i" * 8), True),
        ("aes128-cbc", b"", False),
    ],
)
def test_cipher_parameters(name: str, parameters: bytes, ok: bool) -> None:
    """A GCM tag of four octets is forged by trying (RFC 5084: 12 is the least)."""
    encoded = der.sequence(der.oid(algorithms.BY_NAME[name].oid), parameters)
    if not ok:
        with pytest.raises(Malformed):
            identifier.cipher(encoded)
        return
    algorithm, iv, tag = identifier.cipher(encoded)
    assert algorithm.name == name
    assert iv
    assert tag in ((0,) if "cbc" in name else (12, 16))


def test_a_huge_identifier_is_refused() -> None:
    """What is cached by its octets must be small."""
    with pytest.raises(Malformed):
        identifier.raw(ber.parse(der.sequence(PSS, der.octet_string(b"x" * 5000))))
