"""What each peer cannot do, why, and the words it refuses with.

Every entry is tried and must be refused in these words, by the peer or, where it has no
option to ask with, by our wrapper around it: a peer that can do more makes its test fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.interop.case import Case, Direction

PEERS = (
    *("openssl", "openssl-new", "gpgsm", "gpgsm-new"),
    *("nss", "nss-new", "bouncycastle", "bouncycastle-new"),
)


@dataclass(frozen=True, slots=True)
class Lack:
    """What a peer cannot do; names are patterns, alternatives stand between bars."""

    peers: str
    direction: Direction | None  # None: both
    cases: str
    why: str
    said: str  # a regular expression
    untested: bool = False  # nobody could try: this is no word on the peer

    def about(self, peer: str, direction: Direction, case: Case) -> bool:
        """Whether this is about that cell."""
        return (
            self.direction in (None, direction)
            and any(fnmatchcase(peer, one) for one in self.peers.split("|"))
            and any(fnmatchcase(case.name, one) for one in self.cases.split("|"))
        )

    def fits(self, met: str) -> bool:
        """Whether it was refused for this reason."""
        return re.search(self.said, met, re.DOTALL) is not None


_NO_OPTION = "no option for|has no option|does not encrypt with|makes no|compresses nothing"
_MODERN = "RSA, X25519 and ML-KEM recipients"
_BESIDE = "RSA reader beside X25519 and ML-KEM"
_CURVES = "x25519*|x448*|aes256-gcm to X25519"
_KEM = "ml-kem-*|aes256-gcm to ML-KEM-768"
_SECRETS = "password*|shared key*|aes256-gcm with a password"
_ECDH = "ecdh-*|RSA and P-256 recipients|RSA reader beside P-256"

_OPENSSL = (
    Lack("openssl", None, "ed25519|ed448", "CMS with EdDSA came after 3.0", "invalid digest"),
    Lack(
        "openssl",
        None,
        f"ml-dsa-*|{_KEM}",
        "ML-DSA and ML-KEM came with 3.5, ML-KEM in CMS with 3.6",
        "X509_PUBKEY_get0:decode error|Could not read signing key.*unsupported",
    ),
    Lack(
        "openssl",
        None,
        f"{_CURVES}|{_MODERN}",
        "no X25519 or X448 in CMS",
        "no matching recipient|not supported for this keytype|Error decrypting CMS using private",
    ),
    Lack("openssl*", "theirs", _BESIDE, "no X25519 in CMS", "not supported|too small|zero content"),
    Lack(
        "openssl-new",
        None,
        f"{_CURVES}|{_MODERN}",
        "3.6 begins with X25519 and X448 in CMS and then fails in its own key exchange",
        "ossl_ecx_compute_key|illegal zero content",
    ),
    Lack("openssl*", "theirs", "*-ccm", "no CCM in CMS", "unsupported cipher"),
    Lack(
        "openssl*",
        "theirs",
        "aes256-gcm with a password",
        "it takes the content's cipher for the password's key too, which GCM cannot be",
        "cipher parameter error|unsupported kek algorithm",
    ),
    Lack(
        "openssl*", "theirs", "*with attributes|*in EnvelopedData", "no option for it", _NO_OPTION
    ),
    Lack(
        "openssl",
        "theirs",
        "compressed-data*",
        "Debian builds 3.0 without zlib",
        "unsupported compression",
    ),
)

_GPGSM = (
    Lack(
        "gpgsm*",
        "ours",
        "*salt of 20",
        "it takes PSS only with a salt as long as the digest",
        "rejected due to salt length 20",
    ),
    Lack("gpgsm", "ours", "ecdsa-p521*", "2.2 fails with P-521", "hash length to be a multiple"),
    Lack("gpgsm*", "ours", "ed25519", "it fails with Ed25519", "hash length to be a multiple"),
    Lack("gpgsm*", "theirs", "ed25519", "it fails with Ed25519", "Invalid OID string"),
    Lack("gpgsm*", "ours", "ml-dsa-*", "no ML-DSA", "no signature value available"),
    Lack(
        "gpgsm*",
        "ours",
        "OCSP answer*",
        "it reads no SignedData of version 5, which RFC 5652 wants for it",
        "Unsupported CMS version",
    ),
    Lack("gpgsm*", "theirs", "rsa-pss-*", "it verifies RSASSA-PSS and makes none", _NO_OPTION),
    Lack("gpgsm*", "theirs", "named by*|no signed*", "no option for it", _NO_OPTION),
    Lack(
        "gpgsm*",
        None,
        f"ed448|ml-dsa-*|x448*|ml-kem-*|{_MODERN}",
        "no way to give it such a private key",
        "no way is known|Wrong key usage|encryption failed for recipient",
        untested=True,
    ),
    Lack(
        "gpgsm*",
        "ours",
        "*to ML-KEM-768",
        "no way to give it such a private key",
        "no way is known",
        untested=True,
    ),
    Lack("gpgsm*", "ours", "rsa-oaep-*", "no RSAES-OAEP", "error getting encrypted session key"),
    Lack("gpgsm*", "theirs", "rsa-oaep-*", "no RSAES-OAEP", _NO_OPTION),
    Lack(
        "gpgsm",
        "ours",
        "ecdh-*",
        "2.2 derives another key than everybody else",
        "decrypting session key failed: Invalid session key",
    ),
    Lack(
        "gpgsm",
        "theirs",
        f"{_ECDH}|x25519*|{_BESIDE}",
        "2.2 wants keyEncipherment in a certificate for key agreement",
        "Wrong key usage",
    ),
    Lack(
        "gpgsm*",
        "ours",
        "x25519*",
        "no HKDF (RFC 8418), only the KDF of X9.63",
        "error getting encrypted session key",
    ),
    Lack(
        "gpgsm-new",
        "theirs",
        "x25519, hkdf*",
        "no HKDF (RFC 8418), only the KDF of X9.63",
        "the peer took .'sha256', 'std'.",
    ),
    Lack("gpgsm-new", "theirs", _BESIDE, "no ML-KEM", "encryption failed for recipient no. 2"),
    Lack("gpgsm*", "ours", "aes*-gcm*", "it reads no AuthEnvelopedData", "error getting IV"),
    Lack("gpgsm*", "theirs", "aes*-gcm*|aes*-ccm", "it makes no AuthEnvelopedData", _NO_OPTION),
    Lack("gpgsm*", "theirs", _SECRETS, "no passwords, no shared keys", "neither passwords nor"),
    Lack("gpgsm*", "theirs", "compressed-data*", "no compression", _NO_OPTION),
)

_NSS = (
    Lack(
        "nss*",
        None,
        "*bp256*",
        "no Brainpool curves",
        "BadSignature|INVALID_KEY|ALGORITHM_DISABLED|BAD_DER|INVALID_ALGORITHM"
        "|BAD_EXPORT_ALGORITHM|cannot create encoder context",
    ),
    Lack(
        "nss*",
        "ours",
        "OCSP answer*",
        "it takes whatever stands there for a list, and gives up",
        "SEC_ERROR_BAD_DER",
    ),
    Lack("nss*", "ours", "ed25519|ml-dsa-*", "not in its CMS", "ProcessingError|BadSignature"),
    Lack(
        "nss*",
        "theirs",
        "ed25519",
        "not in its CMS",
        "UNABLE_TO_IMPORT_KEY|INADEQUATE_KEY_USAGE",
    ),
    Lack("nss*", "theirs", "rsa-pss-*", "cmsutil has no option for it", _NO_OPTION),
    Lack(
        "nss*", "theirs", "two *|named by*|no signed*", "cmsutil has no option for it", _NO_OPTION
    ),
    Lack("nss", "ours", "rsa-oaep-*", "3.87 has no RSAES-OAEP in CMS", "UNSUPPORTED_KEYALG"),
    Lack("nss*", "theirs", "rsa-oaep-*", "cmsutil has no option for it", _NO_OPTION),
    Lack(
        "nss",
        "ours",
        f"{_ECDH}|{_MODERN}|{_BESIDE}",
        "3.87 opens no mail that has a recipient with key agreement, not even for another",
        "SEC_ERROR_BAD_DER",
    ),
    Lack("nss", "theirs", _ECDH, "3.87 has no ECDH in CMS", "INVALID_ALGORITHM"),
    Lack(
        "nss-new",
        "ours",
        f"{_MODERN}|{_BESIDE}",
        "it opens no mail with a kind of recipient it does not know, not even for another",
        "UNRECOGNIZED_OID",
    ),
    Lack(
        "nss*",
        "ours",
        f"{_CURVES}|{_KEM}",
        "no PKCS #12 file to give it such a private key",
        "no PKCS #12 file",
        untested=True,
    ),
    Lack(
        "nss*",
        "theirs",
        "ed448|ml-dsa-*",
        "no PKCS #12 file to give it such a private key",
        "no PKCS #12 file",
        untested=True,
    ),
    Lack("nss*", "theirs", "aes256-gcm to*", "cmsutil always takes CBC", _NO_OPTION),
    Lack(
        "nss*",
        "theirs",
        f"{_CURVES}|{_KEM}|{_MODERN}|{_BESIDE}",
        "no X25519 or ML-KEM in its CMS",
        "ERROR_ADDING_CERT|INVALID_ALGORITHM|UNSUPPORTED_KEYALG",
    ),
    Lack("nss", "ours", "aes*-gcm*", "3.87 knows no AuthEnvelopedData", "UNRECOGNIZED_OID"),
    Lack("nss*", "theirs", "aes256-gcm with a*", "cmsutil always takes CBC", _NO_OPTION),
    Lack("nss*", "theirs", _SECRETS, "no passwords, no shared keys", "neither passwords nor"),
    Lack(
        "nss*",
        "theirs",
        "aes192-cbc|aes256-cbc|3des-cbc|aes*-gcm*|aes*-ccm",
        "cmsutil chooses AES-CBC by the recipient's key",
        _NO_OPTION,
    ),
    Lack("nss*", "theirs", "compressed-data*", "no compression", _NO_OPTION),
)

_CHOOSES = (
    Lack(
        "gpgsm-new|nss-new",
        "theirs",
        "ecdh-p256, kdf sha1|ecdh-p256, kdf sha384|ecdh-p256, kdf sha512|*with cofactor",
        "it chooses SHA-256 without the cofactor for itself",
        "the peer took .'sha256', 'std'.",
    ),
    Lack(
        "nss-new",
        "theirs",
        "ecdh-p521*",
        "it chooses SHA-384 for itself",
        "the peer took .'sha384', 'std'.",
    ),
)

_BOUNCYCASTLE = (
    Lack(
        "bouncycastle",
        None,
        "ml-dsa-*",
        "ML-DSA came after 1.72",
        "Unknown signature type|no keys with 2.16.840.1.101.3.4.3",
    ),
    Lack(
        "bouncycastle",
        None,
        f"ml-kem-*|*ML-KEM-768|{_MODERN}",
        "KEMRecipientInfo came after 1.72",
        "not a recipient|originator key invalid|JceKEMRecipientInfoGenerator|hkdf_sha256_scheme",
    ),
    Lack(
        "bouncycastle",
        "ours",
        "aes128-gcm to P-256|*to X25519",
        "1.72 opens AuthEnvelopedData by key transport only",
        "ClassNotFoundException.*JceKeyAgreeAuthEnvelopedRecipient",
    ),
    Lack(
        "bouncycastle",
        None,
        "x25519, hkdf*|x448*|*to X25519",
        "RFC 8418 came after 1.72",
        "originator key invalid|NoSuchFieldException: dhSinglePass_stdDH_hkdf",
    ),
    Lack("bouncycastle", "theirs", _BESIDE, "RFC 8418 came after 1.72", "stdDH_hkdf_sha256"),
    Lack(
        "bouncycastle*",
        "theirs",
        "x25519, x9.63*",
        "RFC 8418 wants HKDF, and it keeps to that",
        "can't identify EC private key",
    ),
)

LACKS: tuple[Lack, ...] = (*_OPENSSL, *_GPGSM, *_NSS, *_CHOOSES, *_BOUNCYCASTLE)


def lack(peer: str, direction: Direction, case: Case) -> Lack | None:
    """Why the peer cannot do this, if it cannot."""
    return next((one for one in LACKS if one.about(peer, direction, case)), None)
