"""AlgorithmIdentifiers, written and read, with their parameters (RFC 4055, 4056, 3560, 5084, 5753).

Parameters are never guessed: missing or malformed ones refuse the algorithm.  What is
read is cached by its octets, for correspondents use a handful of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gatepost.cms import algorithms, ber, der
from gatepost.cms.algorithms import Algorithm
from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import Malformed, Unsupported

MAXIMUM_SIZE = 1024  # of an AlgorithmIdentifier; a PSS one has about 70 octets

_RSA = algorithms.BY_NAME["rsa-pkcs1"]
_DERIVED = algorithms.BY_NAME["cek-hkdf-sha256"].contents
_PSPECIFIED = "1.2.840.113549.1.1.9"


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """How a signature was made, as its AlgorithmIdentifier says."""

    family: str
    digest: Digest | None  # None: as digestAlgorithm says
    mgf_digest: Digest = "sha1"
    salt: int = 0
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """Key agreement: the digest of its KDF and the wrap algorithm, also as sent."""

    digest: Digest
    wrap: Algorithm
    wrap_identifier: bytes
    family: str = "std"  # "hkdf", else X9.63


# Writing


@lru_cache(maxsize=64)
def digest_identifier(digest: Digest, *, null: bool = False) -> bytes:
    """A digest algorithm; RFC 5754 section 2 leaves the parameters out, RFC 4055 wants NULL."""
    return der.sequence(der.oid(algorithms.BY_NAME[digest].oid), der.NULL if null else b"")


@lru_cache(maxsize=64)
def signature_identifier(scheme: SignatureScheme) -> bytes:
    """The signatureAlgorithm for a scheme."""
    if scheme.family == "rsa-pkcs1":  # RFC 3370 section 3.2
        return der.sequence(der.oid(_RSA.oid), der.NULL)
    if scheme.family == "rsa-pss":
        salt = algorithms.BY_NAME[scheme.digest].size if scheme.salt is None else scheme.salt
        hashes = _hash_and_mask(scheme.digest, scheme.digest)
        parameters = der.sequence(hashes, der.explicit(2, der.integer(salt)))
        return der.sequence(der.oid(algorithms.BY_NAME["rsa-pss"].oid), parameters)
    name = f"ecdsa-{scheme.digest}" if scheme.family == "ecdsa" else scheme.family
    found = algorithms.named(name, "signature")
    if found is None or found.create_from is None:
        raise Unsupported(f"signing with {name} is not supported")
    return der.sequence(der.oid(found.oid))


@lru_cache(maxsize=64)
def transport_identifier(scheme: KeyTransport) -> bytes:
    """The keyEncryptionAlgorithm for RSA key transport."""
    if scheme.family == "rsa-pkcs1":
        return der.sequence(der.oid(_RSA.oid), der.NULL)
    label = b""
    if scheme.label:
        source = der.sequence(der.oid(_PSPECIFIED), der.octet_string(scheme.label))
        label = der.explicit(2, source)
    parameters = der.sequence(_hash_and_mask(scheme.digest, scheme.mgf_digest), label)
    return der.sequence(der.oid(algorithms.BY_NAME["rsa-oaep"].oid), parameters)


def _hash_and_mask(digest: Digest, mask_digest: Digest) -> bytes:
    """The fields [0] hashAlgorithm and [1] maskGenAlgorithm; SHA-1, the default, is left out."""
    mask = der.sequence(
        der.oid(algorithms.BY_NAME["mgf1"].oid), digest_identifier(mask_digest, null=True)
    )
    return (der.explicit(0, digest_identifier(digest, null=True)) if digest != "sha1" else b"") + (
        der.explicit(1, mask) if mask_digest != "sha1" else b""
    )


# Reading


def raw(element: ber.Element) -> bytes:
    """An AlgorithmIdentifier as sent, if of a reasonable size."""
    if element.stop - element.start > MAXIMUM_SIZE:
        element.fail("an AlgorithmIdentifier of unreasonable length")
    return element.expect(der.SEQUENCE).raw


@lru_cache(maxsize=256)
def digest_name(identifier: bytes) -> Digest:
    """Which digest this is; raises Unsupported."""
    contents, parameters = opened(ber.parse(identifier))
    found = algorithms.find(contents, "digest")
    if found is None:
        raise Unsupported(f"the digest algorithm {ber.dotted(contents)} is not supported")
    if found.name == "shake256-512" and (parameters is None or parameters.integer() != 512):
        raise Unsupported("SHAKE256 with an output other than 512 bits is not supported")
    return found.digest or found.name  # type: ignore[return-value]  # named as `Digest` names them


@lru_cache(maxsize=256)
def signature_algorithm(identifier: bytes) -> SignatureAlgorithm:
    """How a signature was made; raises Unsupported or Malformed."""
    contents, parameters = opened(ber.parse(identifier))
    found = algorithms.find(contents, "signature")
    if found is None:
        raise Unsupported(f"the signature algorithm {ber.dotted(contents)} is not supported")
    if found.family != "rsa-pss":
        return SignatureAlgorithm(found.family, found.digest, weak=found.weak)
    fields = _optional(parameters, "RSASSA-PSS", last=3)
    digest, mask_digest = _hashes(fields)
    salt = fields[2].integer() if 2 in fields else 20
    # RFC 4055 3.1: trailerField "MUST be 1"
    if (3 in fields and fields[3].integer() != 1) or not 0 <= salt <= 2048:
        raise Malformed("RSASSA-PSS parameters with an impossible salt length or trailer")
    if {digest, mask_digest} & {"shake256"}:
        raise Unsupported("RSASSA-PSS with SHAKE256 is not supported")
    return SignatureAlgorithm("rsa-pss", digest, mask_digest, salt)


@lru_cache(maxsize=256)
def transport_scheme(identifier: bytes) -> KeyTransport:
    """How a content-encryption key was encrypted to an RSA key; raises Unsupported or Malformed."""
    contents, parameters = opened(ber.parse(identifier))
    if contents == _RSA.contents:
        return KeyTransport("rsa-pkcs1")
    if algorithms.find(contents, "transport") is None:
        raise Unsupported(f"the key transport {ber.dotted(contents)} is not supported")
    fields = _optional(parameters, "RSAES-OAEP", last=2)
    digest, mask_digest = _hashes(fields)
    return KeyTransport("rsa-oaep", digest, mask_digest, _label(fields))


@lru_cache(maxsize=256)
def agreement(identifier: bytes) -> Agreement:
    """How a key-encryption key was agreed; raises Unsupported or Malformed."""
    contents, parameters = opened(ber.parse(identifier))
    found = algorithms.find(contents, "agreement")
    if found is None or found.digest is None:
        raise Unsupported(f"the key agreement {ber.dotted(contents)} is not supported")
    if parameters is None:
        raise Malformed("key agreement without a key wrap algorithm")
    wrapped = raw(parameters)  # RFC 5753 7.2: the KDF takes the DER of what was sent
    wrapped = ber.canonical(ber.parse(wrapped))
    return Agreement(found.digest, wrap(wrapped), wrapped, found.family)


@lru_cache(maxsize=256)
def wrap(identifier: bytes) -> Algorithm:
    """Which key wrap this is; raises Unsupported."""
    contents, _ = opened(ber.parse(identifier))
    found = algorithms.find(contents, "wrap")
    if found is None:
        raise Unsupported(f"the key wrap {ber.dotted(contents)} is not supported")
    return found


@lru_cache(maxsize=256)
def derivation(identifier: bytes) -> Algorithm:
    """Which key derivation this is, its parameters aside; raises Unsupported."""
    contents, _ = opened(ber.parse(identifier))
    found = algorithms.find(contents, "derivation")
    if found is None:
        raise Unsupported(f"the key derivation {ber.dotted(contents)} is not supported")
    return found


def derived_cipher(encoded: bytes) -> bytes | None:
    """The cipher inside id-alg-cek-hkdf-sha256 (RFC 9709 section 2); None: it is a cipher."""
    if _DERIVED not in encoded:  # so most messages are not parsed twice
        return None
    contents, parameters = opened(ber.parse(encoded))
    if contents != _DERIVED:
        return None
    if parameters is None:
        raise Malformed("a derived content-encryption key without a cipher")
    return raw(parameters)


def cipher(encoded: bytes) -> tuple[Algorithm, bytes, int]:
    """Content encryption: the algorithm, its IV or nonce, and the octets of the GCM tag."""
    if (place := _PLACES.get(len(encoded))) is not None:
        start, stop = place
        if (form := _form(encoded[:start], encoded[stop:], stop - start)) is not None:
            return form[0], encoded[start:stop], form[1]
    return _cipher(encoded)


# Where the IV of AES-CBC and the nonce of AES-GCM stand in what nearly everybody writes; all
# else is the same in every message.
_PLACES = {31: (15, 31), 32: (17, 29)}


@lru_cache(maxsize=64)
def _form(before: bytes, after: bytes, size: int) -> tuple[Algorithm, int] | None:
    """Algorithm and tag length, if exactly the octets between are the IV."""
    marked = b"\xa5" * size
    try:
        found, iv, tag = _cipher(before + marked + after)
    except (Malformed, Unsupported):
        return None
    return (found, tag) if iv == marked else None


def _cipher(encoded: bytes) -> tuple[Algorithm, bytes, int]:
    contents, parameters = opened(ber.parse(encoded))
    found = algorithms.find(contents, "cipher")
    if found is None:
        raise Unsupported(f"the content encryption {ber.dotted(contents)} is not supported")
    if parameters is None:
        raise Malformed(f"{found.name} without parameters")
    if found.name == "rc2-cbc":
        return found, _rc2(parameters), 0
    if found.family == "cbc":
        iv = parameters.octets()
        if len(iv) != (8 if found.name == "3des-cbc" else 16):
            raise Malformed(f"{found.name} with an initialisation vector of {len(iv)} octets")
        return found, iv, 0
    return found, *_nonce_and_tag(found, parameters)


def _nonce_and_tag(found: Algorithm, parameters: ber.Element) -> tuple[bytes, int]:
    """RFC 5084 section 3: SEQUENCE { aes-nonce, aes-ICVlen DEFAULT 12 }.

    CCM allows tags of 4, 6 and 8 octets too, which are guessed too easily.
    """
    fields, name = parameters.sequence(), found.family.upper()
    if not 1 <= len(fields) <= 2:
        raise Malformed(f"{name} parameters are a nonce and a tag length")
    nonce, tag = fields[0].octets(), fields[1].integer() if len(fields) == 2 else 12
    nonces, tags = (range(7, 14), (10, 12, 14, 16)) if name == "CCM" else _GCM_LENGTHS
    if len(nonce) not in nonces or tag not in tags:
        raise Malformed(f"{name} with a nonce of {len(nonce)} and a tag of {tag} octets")
    return nonce, tag


_GCM_LENGTHS = (range(8, 129), (12, 13, 14, 15, 16))


def _rc2(parameters: ber.Element) -> bytes:
    """RFC 3370 section 5.2: SEQUENCE { rc2ParameterVersion, iv }; 58 stands for 128 bits."""
    fields = parameters.sequence()
    if len(fields) != 2:
        raise Malformed("RC2 without the version of its parameters")
    iv = fields[1].octets()
    if len(iv) != 8:
        raise Malformed(f"rc2-cbc with an initialisation vector of {len(iv)} octets")
    if fields[0].integer() != 58:
        raise Unsupported("RC2 with a key of less than 128 bits is not supported")
    return iv


def opened(element: ber.Element) -> tuple[bytes, ber.Element | None]:
    """The OID and the parameters of an AlgorithmIdentifier."""
    fields = element.sequence()
    if not 1 <= len(fields) <= 2:
        element.fail("an AlgorithmIdentifier has one or two fields")
    return fields[0].oid(), fields[1] if len(fields) == 2 else None


def _optional(parameters: ber.Element | None, what: str, *, last: int) -> dict[int, ber.Element]:
    """The explicitly tagged fields by number; RFC 4055 requires the SEQUENCE, even if empty."""
    if parameters is None or parameters.tag != der.SEQUENCE:
        raise Malformed(f"{what} without parameters")
    found: dict[int, ber.Element] = {}
    for field in parameters.children():
        number, inside = field.tag - 0xA0, field.children()
        if not max(found, default=-1) < number <= last or len(inside) != 1:
            raise Malformed(f"{what} parameters out of order")
        found[number] = inside[0]
    return found


def _hashes(fields: dict[int, ber.Element]) -> tuple[Digest, Digest]:
    """Digest and MGF digest; RFC 4055 section 2.1: both default to SHA-1."""
    digest: Digest = digest_name(raw(fields[0])) if 0 in fields else "sha1"
    if 1 not in fields:
        return digest, "sha1"
    contents, inner = opened(fields[1])
    if algorithms.find(contents, "mask") is None:
        raise Unsupported(f"the mask generation {ber.dotted(contents)} is not supported")
    if inner is None:
        raise Malformed("MGF1 without its digest")
    return digest, digest_name(raw(inner))


def _label(fields: dict[int, ber.Element]) -> bytes:
    if 2 not in fields:
        return b""
    contents, parameters = opened(fields[2])
    if contents != der.oid_contents(_PSPECIFIED) or parameters is None:
        raise Malformed("RSAES-OAEP with an unknown label source")
    return parameters.octet_string()
