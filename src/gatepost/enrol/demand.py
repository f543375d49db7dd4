"""What an EST server wants to see in a request, and what a request lacks (RFC 7030 section 4.5.2).

Our keys are made before the server is asked, so what it wants is not composed but compared.
What is not known here is ignored, as the section says; so is the template of RFC 9908.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from gatepost.errors import Malformed
from gatepost.pki.der import dotted, first, inside, items

MAXIMUM: Final = 100  # things wanted
_EC, _RSA = "1.2.840.10045.2.1", "1.2.840.113549.1.1.1"
_ED25519, _ED448 = "1.3.101.112", "1.3.101.113"
_CHALLENGE = "1.2.840.113549.1.9.7"
_EXTENSIONS: Final = frozenset({"1.2.840.113549.1.9.14", "1.3.6.1.4.1.311.2.1.14"})
_CURVES: Final = {
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.3.132.0.34": "secp384r1",
    "1.3.132.0.35": "secp521r1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
}
_KNOWN: Final = {
    "2.5.29.15": "keyUsage",
    "2.5.29.17": "subjectAltName",
    "2.5.29.37": "extKeyUsage",
}


@dataclass(frozen=True, slots=True)
class Demand:
    """What is wanted, as far as it is known here."""

    keys: frozenset[str] = frozenset()  # any of these: "RSA", "RSA 3072", "EC secp384r1"
    extensions: frozenset[str] = frozenset()  # all of these, as OIDs
    binding: bool = False  # to the TLS connection (section 3.5)

    def lacking(self, request: bytes) -> str:
        """What a request in DER lacks, for people; empty when nothing."""
        parsed = x509.load_der_x509_csr(request)
        names = _names(parsed.public_key())
        if self.keys and not names & self.keys:
            return f"a key of type {_either(self.keys)}, and this one is {max(names, key=len)}"
        present = {one.oid.dotted_string for one in parsed.extensions}
        if missing := sorted(_KNOWN[one] for one in self.extensions - present):
            return f"the extension {missing[0]} in the request"
        if self.binding:
            return "requests bound to its TLS connection, which are not made where keys lie sealed"
        return ""


def read(der: bytes) -> Demand:
    """CsrAttrs ::= SEQUENCE OF CHOICE { OBJECT IDENTIFIER, Attribute }; raises Malformed."""
    keys: set[str] = set()
    extensions: set[str] = set()
    binding = False
    try:
        for count, wanted in enumerate(items(der) if der else ()):
            if count == MAXIMUM:
                raise Malformed(f"the server wants more than {MAXIMUM} attributes")
            oid, values = _attribute(wanted)
            if kind := _KEYS.get(oid):
                keys |= kind(values)
            if oid in _EXTENSIONS:
                extensions |= _named(values)
            binding = binding or oid == _CHALLENGE
    except (IndexError, ValueError) as error:
        raise Malformed("the server's wishes are no CsrAttrs of RFC 7030") from error
    return Demand(frozenset(keys), frozenset(extensions), binding)


def _attribute(element: bytes) -> tuple[str, tuple[bytes, ...]]:
    """The type, and the elements of the SET OF values, if there is one."""
    if element[0] == 0x06:
        return dotted(element), ()
    kind, values = items(element)
    return dotted(kind), tuple(items(values))


def _named(values: tuple[bytes, ...]) -> set[str]:
    """OIDs alone as in RFC 7030, or whole Extensions as in RFC 8951 section 3.2."""
    found: set[str] = set()
    for value in values:
        inner = (value,) if value[0] == 0x06 else tuple(items(value))
        found |= {dotted(one if one[0] == 0x06 else first(one)) for one in inner}
    return found & _KNOWN.keys()


def _curves(values: tuple[bytes, ...]) -> set[str]:
    found = {_CURVES.get(name := dotted(one), name) for one in values if one[0] == 0x06}
    return {f"EC {one}" for one in found} or {"EC"}


def _sizes(values: tuple[bytes, ...]) -> set[str]:
    found = {int.from_bytes(one[inside(one, 0) :][:4], "big") for one in values if one[0] == 0x02}
    return {f"RSA {one}" for one in found} or {"RSA"}


_KEYS: Final[Mapping[str, Callable[[tuple[bytes, ...]], set[str]]]] = {
    _EC: _curves,
    _RSA: _sizes,
    _ED25519: lambda _: {"Ed25519"},
    _ED448: lambda _: {"Ed448"},
}


def _names(key: CertificatePublicKeyTypes) -> set[str]:
    match key:
        case rsa.RSAPublicKey():
            return {"RSA", f"RSA {key.key_size}"}
        case ec.EllipticCurvePublicKey():
            return {"EC", f"EC {key.curve.name}"}
        case ed25519.Ed25519PublicKey():
            return {"Ed25519"}
        case ed448.Ed448PublicKey():
            return {"Ed448"}
    return {type(key).__name__.lstrip("_")}


def _either(names: frozenset[str]) -> str:
    return " or ".join(sorted(names))
