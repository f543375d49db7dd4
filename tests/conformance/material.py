"""Keys and certificates that come with an entry, in whatever form they were found."""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.conformance.entry import Entry

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor
from gatepost.cms.designation import CertificateId
from gatepost.errors import GatepostError, Malformed
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence
from gatepost.pki.pem import read_certificates
from gatepost.vault.software import SoftwareDecryptor

_BORN = datetime(2026, 1, 1, tzinfo=UTC)
Found = tuple[tuple[Certificate, ...], tuple[PrivateKeyTypes, ...]]


def certificates(paths: Iterable[Path], password: str = "") -> tuple[Certificate, ...]:
    """Every certificate in these files."""
    return tuple(dict.fromkeys(one for path in paths for one in _read(path, password)[0]))


def decryptors(paths: Iterable[Path], password: str = "") -> tuple[Decryptor, ...]:
    """Every key in these files whose certificate is there too, perhaps in another file."""
    found = [_read(path, password) for path in paths]
    keys = [key for _, some in found for key in some]
    every = dict.fromkeys(one for some, _ in found for one in some)
    return tuple(
        SoftwareDecryptor(one, key)
        for one in every
        for key in keys
        if one.public_key is not None and one.public_key == key.public_key()
    )


def stand_ins(
    paths: Iterable[Path], password: str, named: Iterable[CertificateId]
) -> tuple[Decryptor, ...]:
    """Keys that came without certificates, under the names the message gives its recipients."""
    keys = [key for path in paths for key in _read(path, password)[1]]
    return tuple(
        SoftwareDecryptor(
            replace(_self_made(key), issuer=one.issuer or b"", serial=one.serial or 0), key
        )
        for key in keys
        if isinstance(key, ec.EllipticCurvePrivateKey)
        for one in named
        if one.issuer is not None
    )


def _self_made(key: ec.EllipticCurvePrivateKey) -> Certificate:
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, _BORN, _BORN)
    return Certificate.from_x509(builder.sign(key, hashes.SHA256()))


@cache
def crls(octets: bytes) -> tuple[Crl, ...]:
    """The revocation lists in a file, DER or PEM; what is none is passed over."""
    ders = [octets]
    if octets.lstrip().startswith(b"-----BEGIN "):
        blocks = re.findall(rb"-----BEGIN X509 CRL-----(.*?)-----END", octets, re.DOTALL)
        ders = [base64.b64decode(one) for one in blocks]
    found: list[Crl] = []
    for der in ders:
        with suppress(Malformed):
            found.append(Crl.from_der(der))
    return tuple(found)


def evidence(entry: Entry) -> Evidence | None:
    """What comes with an entry to know of revocation; where nothing does, nobody asks."""
    lists = tuple(one for path in entry.paths("crl_files") for one in crls(path.read_bytes()))
    beside = certificates((*entry.paths("aux_files"), *entry.paths("trust_anchor")))
    return Evidence(lists, certificates=beside) if lists else None


@cache
def _read(path: Path, password: str) -> Found:
    octets = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old keys and BER make the library talk of its future
        if path.suffix in (".p12", ".pfx"):
            return _bundle(octets, password)
        if path.suffix == ".kbx":
            return _keybox(octets), ()
        return _certificates(octets), _keys(octets, password) or _gnupg(octets)


def _bundle(octets: bytes, password: str) -> Found:
    """Read here and not by `pki.p12`: that refuses keys which are too old to be used."""
    try:
        loaded = pkcs12.load_pkcs12(octets, password.encode())
    except (ValueError, UnsupportedAlgorithm):
        return (), ()
    some = [one.certificate for one in (loaded.cert, *loaded.additional_certs) if one]
    return tuple(map(Certificate.from_x509, some)), (loaded.key,) if loaded.key else ()


def _certificates(octets: bytes) -> tuple[Certificate, ...]:
    try:
        return tuple(read_certificates(octets))
    except GatepostError:
        return ()


def _keys(octets: bytes, password: str) -> tuple[PrivateKeyTypes, ...]:
    for read in (serialization.load_pem_private_key, serialization.load_der_private_key):
        if octets.startswith(b"-----BEGIN PRIVATE KEY-----\nMIICX"):  # PKCS #1 wrongly labelled
            octets = octets.replace(b" PRIVATE KEY", b" RSA PRIVATE KEY")
        for secret in (password.encode() or None, None):
            try:
                return (read(octets, secret, unsafe_skip_rsa_key_validation=True),)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                continue
    return _p384(octets)


def _p384(octets: bytes) -> tuple[PrivateKeyTypes, ...]:
    """A key whose public half lacks the first octet of a BIT STRING: the private one will do."""
    found = re.search(rb"\x2b\x81\x04\x00\x22.*?\x02\x01\x01\x04\x30(.{48})", octets, re.DOTALL)
    if found is None or octets[:1] != b"\x30":
        return ()
    return (ec.derive_private_key(int.from_bytes(found[1], "big"), ec.SECP384R1()),)


def _keybox(octets: bytes) -> tuple[Certificate, ...]:
    """Certificates in a GnuPG keybox: whatever parses at something that looks like DER."""
    found: list[Certificate] = []
    for match in re.finditer(rb"\x30\x82(..)\x30\x82", octets, re.DOTALL):
        stop = match.start() + 4 + int.from_bytes(match[1], "big")
        found += _certificates(octets[match.start() : stop])
    return tuple(found)


def _gnupg(octets: bytes) -> tuple[PrivateKeyTypes, ...]:
    """An unprotected RSA key as GnuPG writes it: (private-key (rsa (n #00ab…#)…)) or (1:n3:…)."""
    if b"private-key" not in octets[:64]:
        return ()
    n, e, d, p, q = (_number(octets, name) for name in (b"n", b"e", b"d", b"p", b"q"))
    if not (n and e and d and p and q):
        return ()
    exponents = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    public = rsa.RSAPublicNumbers(e, n)
    numbers = rsa.RSAPrivateNumbers(p, q, d, *exponents, public)
    return (numbers.private_key(unsafe_skip_rsa_key_validation=True),)


def _number(octets: bytes, name: bytes) -> int:
    if found := re.search(rb"\(" + name + rb"\s+#([0-9A-Fa-f\s]+)#", octets):
        return int(re.sub(rb"\s", b"", found[1]), 16)
    if found := re.search(rb"\(1:" + name + rb"([0-9]+):", octets):
        return int.from_bytes(octets[found.end() : found.end() + int(found[1])], "big")
    return 0
