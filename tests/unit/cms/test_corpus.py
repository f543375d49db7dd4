"""Real messages of other people's test suites: openssl, BouncyCastle, NSS, GnuPG, RFC 4134."""

from __future__ import annotations

import base64
import email
import json
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.pki_builder import PrivateKey, SoftDecryptor

from gatepost.certificate import Certificate
from gatepost.cms import enveloped, signed
from gatepost.cms.capability import SharedKey
from gatepost.errors import DecryptionFailed, GatepostError, Malformed
from gatepost.mail.content import Octets

pytestmark = [
    pytest.mark.corpus,
    # old keys (finite-field DH, odd curves) make the library talk about its future
    pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:PKCS#12 bundle"),
]


@dataclass
class Case:
    """One message with what belongs to it."""

    octets: bytes
    row: dict[str, Any]
    about: bytes | None = None
    certificates: list[Certificate] = field(default_factory=list)
    keys: list[PrivateKey] = field(default_factory=list)

    @property
    def decryptors(self) -> list[SoftDecryptor]:
        """Certificates and keys that belong together."""
        return [
            SoftDecryptor(certificate, key)
            for certificate in self.certificates
            for key in self.keys
            if certificate.public_key == key.public_key()
        ]


def case(corpus: Path, file: str) -> Case:
    """Read one message and its keys."""
    lines = (corpus / "expected.jsonl").read_text().splitlines()
    row = next(row for row in map(json.loads, lines) if row["file"] == file)
    octets, about = unpacked((corpus / file).read_bytes(), file)
    if row.get("aux_files"):
        about = (corpus / row["aux_files"][0]).read_bytes()
    found = Case(octets, row, about)
    password = row["key_password"].encode() if row.get("key_password") else None
    for name in row["key_files"]:
        if (corpus / name).is_file():
            load((corpus / name).read_bytes(), password, found)
    return found


def unpacked(octets: bytes, file: str) -> tuple[bytes, bytes | None]:
    """The CMS octets, and for multipart/signed what they are about."""
    if octets[:1] == b"\x30":
        return octets, None
    armour = re.search(rb"-----BEGIN[^\n]*-----\s(.*?)-----END", octets, re.DOTALL)
    if armour and not file.endswith(".eml"):
        return base64.b64decode(armour[1]), None
    message = email.message_from_bytes(octets)
    part = next(one for one in message.walk() if "pkcs7" in one.get_content_type())
    cms = part.get_payload(decode=True)
    assert isinstance(cms, bytes)
    if "signature" not in part.get_content_type():
        return cms, None
    boundary = b"--" + str(message.get_boundary()).encode()
    canonical = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return cms, canonical.split(boundary)[1][2:-2]


def load(octets: bytes, password: bytes | None, into: Case) -> None:
    """Whatever certificates and keys are in a file, of whatever form."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(octets, password)
        into.keys += (
            [key] if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else []
        )
        encoding = serialization.Encoding.DER
        for one in (certificate, *others):
            if one is not None:
                into.certificates.append(Certificate.from_der(one.public_bytes(encoding)))
    except (ValueError, TypeError):
        pass
    armour = re.search(rb"-----BEGIN PRIVATE KEY-----\s(.*?)-----END", octets, re.DOTALL)
    bare = base64.b64decode(armour[1]) if armour else octets  # digitorus' is PKCS #1 inside
    for read, of in (
        (serialization.load_pem_private_key, octets),
        (serialization.load_der_private_key, bare),
    ):
        try:
            key = read(of, None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError):
            continue
        if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            into.keys.append(key)
    try:
        into.certificates += Certificate.from_pem(octets)
    except Malformed:
        try:
            into.certificates.append(Certificate.from_der(octets))
        except Malformed:
            return


VALID = [
    "rfc4134/msg/4.1.der",
    "rfc4134/msg/4.2.der",
    "rfc4134/msg/4.5.der",
    "rfc4134/msg/4.8.eml",
    "rfc4134/msg/4.9.eml",
    "bouncycastle-cms/msg/PSSSignDataSHA1.sig",
    "bouncycastle-cms/msg/PSSSignDataSHA256Enc.sig",
    "bouncycastle-cms/msg/PSSSignDataSHA512.sig",
    "bouncycastle-cms/msg/counterSig.p7m",
    "bouncycastle-cms/msg/SignedMSPkcs7.sig",
    "bouncycastle-embedded/msg/xtraCounterSig.der",
    "digitorus-pkcs7/msg/AppStoreReceipt.pem",
    "digitorus-pkcs7/msg/FirefoxAddon.pem",
    "pkijs/msg/TestSMIME.eml",
    "smimesign/msg/SignatureOpenSSLAttached.der",
    "smimesign/msg/SignatureOpenSSLDetached.der",
    "smimesign/msg/SignatureOutlookDetached.der",
    "smimesign/msg/SmimesignAttachedWithTimestamp.der",
    "thunderbird-smime/msg/smime/alice.dsig.SHA512.multipart.eml",
    "thunderbird-smime/msg/smime/alice.html.sig.SHA256.opaque.eml",
]


@pytest.mark.parametrize("file", VALID)
def test_valid_signatures(corpus: Path, file: str) -> None:
    """Mail from these programs would arrive marked as tampered with."""
    one = case(corpus, file)
    found = signed.parse(one.octets)
    about = None if one.about is None or found.content is not None else Octets(one.about)
    verdicts = signed.verify(found, about, known=one.certificates)
    assert verdicts
    assert [verdict.reason for verdict in verdicts if not verdict.intact] == []
    if found.content is not None and "plaintext_sha256" in one.row:
        assert sha256(found.content).hexdigest() == one.row["plaintext_sha256"]


INVALID = [
    "openssl-cms/msg/bad_signtime_attr.cms",
    "openssl-cms/msg/no_ct_attr.cms",
    "openssl-cms/msg/pkcs7-empty-digest-set.eml",
    "bouncycastle-embedded/msg/wrongRSASHA1MessageWithAttributes.der",
    "gnupg-cms/msg/text-2.osig-bad.pem",
    "smimesign/msg/SignatureNoCertsGPGSM.der",
    "thunderbird-smime/msg/smime/alice.dsig.SHA512.multipart.bad.eml",
    "thunderbird-smime/msg/smime/alice.dsig.SHA256.multipart.mismatch-econtent.eml",
    "thunderbird-smime/msg/smime/alice.dsig.SHA384.multipart.mismatch-econtent.eml",
]


@pytest.mark.parametrize("file", INVALID)
def test_invalid_signatures(corpus: Path, file: str) -> None:
    """Each was once accepted by some program."""
    one = case(corpus, file)
    try:
        found = signed.parse(one.octets)
        about = None if one.about is None else Octets(one.about)
        verdicts = signed.verify(found, about, known=one.certificates)
    except GatepostError:
        return
    assert not any(verdict.intact for verdict in verdicts)


DECRYPTS = [
    "rfc4134/msg/5.1.der",
    *(f"bouncycastle-cms/msg/ecdh/encSess{name}.asc" for name in "2346ABCEGH"),
    *(
        f"nss-interop/msg/fran-{name}_ossl.env"
        for name in (
            "oaep",
            "oaep-label",
            "oaep-sha256hash-sha256mgf",
            "oaep-sha256mgf",
            "oaep-sha256mgf-label",
            "oaep-sha384mgf",
            "oaep-sha512hash",
        )
    ),
    "nss-interop/msg/fran-ec_ossl-aes128-sha224.env",
    "nss-interop/msg/fran-ec_ossl-aes192-sha384.env",
    "nss-interop/msg/fran-ec_ossl-aes256-sha512.env",
    "pyca-pkcs7/msg/enveloped.pem",
    "pyca-pkcs7/msg/enveloped-rsa-oaep.pem",
    "openssl-cms/msg/ciphertext_from_1_1_1.cms",
    "digitorus-pkcs7/msg/EncryptedTestFixture.pem",
]


@pytest.mark.parametrize("file", DECRYPTS)
def test_decrypts(corpus: Path, file: str) -> None:
    """Mail from these programs would be lost."""
    one = case(corpus, file)
    found = enveloped.decrypt(one.octets, one.decryptors, entropy=os.urandom)
    observed = one.row["observed"]
    lines = found.content.replace(b"\r\n", b"\n")
    hashes = {sha256(found.content).hexdigest(), sha256(lines).hexdigest()}
    assert observed["plaintext_sha256"] in hashes or observed["plaintext_sha256_lf"] in hashes


REJECTED = [
    "openssl-authenv/msg/bad_authenveloped_attrs.pem",
    "openssl-cms/msg/dh-malformed.der",
    "openssl-cms/msg/missing-kdf.der",
    "openssl-cms/msg/pkcs7-md4-encrypted.pem",
    "openssl-cms/msg/rsa-malformed.der",
]


@pytest.mark.parametrize("file", REJECTED)
def test_rejected(corpus: Path, file: str) -> None:
    """Each crashed or fooled some program once."""
    one = case(corpus, file)
    with pytest.raises(GatepostError):
        enveloped.decrypt(one.octets, one.decryptors, entropy=os.urandom)


def test_a_tampered_authenticated_attribute(corpus: Path) -> None:
    """RFC 5083 section 2.2: the tag covers the attributes; nothing leaves when it fails."""
    one = case(corpus, "openssl-authenv/msg/bad_authenveloped_attrs.pem")
    secrets = [SharedKey(bytes.fromhex(one.row["kek_hex"]))]
    with pytest.raises(DecryptionFailed):
        enveloped.decrypt(one.octets, [], entropy=os.urandom, secrets=secrets)


@pytest.mark.parametrize(("file", "count"), [("amazon-roots.der", 2), ("isrg.pem", 1)])
def test_certificates_only(corpus: Path, file: str, count: int) -> None:
    """A correspondent sends his certificates: nothing is signed, and nothing is wrong."""
    found = signed.parse(case(corpus, f"pyca-pkcs7/msg/{file}").octets)
    assert found.certificates_only
    assert len(found.certificates) == count


def test_old_gnupg_signatures(corpus: Path) -> None:
    """Signed attributes without a content type: RFC 5652 5.3 requires it, whoever wrote them.

    Without it, attributes signed over one type of content could be shown over another.
    """
    found = signed.parse(case(corpus, "gnupg-cms/msg/text-2.osig.pem").octets)
    (verdict,) = signed.verify(found, None)
    assert verdict.reason == "the signed attributes lack the content-type attribute"


def test_every_certificate_is_read_in_silence(corpus: Path) -> None:
    """Old DH, DSA and 512-bit RSA keys, and odd names: no warning, no exception but Malformed."""
    seen: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in corpus.rglob("*"):
            if path.suffix not in (".pem", ".crt", ".cer", ".der") or not path.is_file():
                continue
            for one in certificates(path.read_bytes()):
                seen.add(type(one.public_key).__name__)
                assert isinstance(one.name, str)
                assert isinstance(one.is_authority, bool)
    assert {"DHPublicKey", "DSAPublicKey", "NoneType", "RSAPublicKey"} <= seen


def certificates(octets: bytes) -> Iterator[Certificate]:
    """Every certificate in a file that can be read."""
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----\s(.*?)-----END", octets, re.DOTALL)
    for der in [base64.b64decode(one) for one in blocks] or [octets]:
        try:
            yield Certificate.from_der(der)
        except Malformed:
            continue
