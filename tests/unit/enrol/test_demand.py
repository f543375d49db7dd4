"""What an EST server wants in requests, as it may write it (RFC 7030 section 4.5.2)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.enrol.asking import wanted

from gatepost.cms import der
from gatepost.enrol import demand
from gatepost.errors import Malformed

RSA, EC, REQUESTED = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.2.840.113549.1.9.14"


def attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.set_of(*values))


@pytest.mark.parametrize(
    ("wishes", "keys"),
    [
        ((), set()),
        ((der.oid(RSA),), {"RSA"}),
        ((attribute(RSA, der.integer(2048), der.integer(4096)),), {"RSA 2048", "RSA 4096"}),
        ((attribute(EC), der.oid("1.3.101.112")), {"EC", "Ed25519"}),
        ((attribute(EC, der.oid("1.3.36.3.3.2.8.1.1.7")),), {"EC brainpoolP256r1"}),
        ((attribute(EC, der.oid("1.2.3.4")),), {"EC 1.2.3.4"}),
    ],
)
def test_keys(wishes: tuple[bytes, ...], keys: set[str]) -> None:
    """A key the server takes is refused, or one that it does not take is sent."""
    assert demand.read(der.sequence(*wishes)).keys == keys


def test_nothing() -> None:
    """An empty answer is taken for a broken one (RFC 7030 section 4.5.2)."""
    assert demand.read(b"") == demand.Demand()


def test_rsa_of_another_length() -> None:
    """Only the server says that the key is too short, and not to us."""
    found = demand.read(der.sequence(attribute(RSA, der.integer(4096))))
    request = wanted(key=rsa.generate_private_key(65537, 2048)).request
    assert found.lacking(request) == "a key of type RSA 4096, and this one is RSA 2048"


@pytest.mark.parametrize(
    "octets",
    [
        b"\x30",
        b"\x30\x80\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        der.sequence(der.sequence()),
        der.sequence(der.sequence(der.oid(RSA))),
        der.sequence(der.oid(RSA))[:-1],
        der.sequence(attribute(REQUESTED, der.sequence(der.sequence()))),
        der.sequence(*(der.oid(f"1.2.{one}") for one in range(101))),
    ],
)
def test_malformed(octets: bytes) -> None:
    """A server at fault stops whoever asks it."""
    with pytest.raises(Malformed):
        demand.read(octets)
