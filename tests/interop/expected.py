"""What each peer cannot do, and why.

Every entry is tried and must be refused, by the peer or, where it has no option to ask
with, by our wrapper around it: a newer peer that can do more makes its test fail.

Keys are (peer, direction, algorithm); "theirs" means the peer makes it and we read it,
"ours" that we make it and the peer reads it.
"""

from __future__ import annotations

from typing import Literal

Direction = Literal["ours", "theirs"]

PEERS = ("openssl", "gpgsm", "nss", "bouncycastle")
PROGRAMS = {
    "openssl": ("openssl",),
    "gpgsm": ("gpgsm", "gpgconf"),
    "nss": ("cmsutil", "certutil", "pk12util"),
    "bouncycastle": ("java", "javac"),
}

SIGNATURES = (
    "rsa-pkcs1-sha256",
    "rsa-pkcs1-sha512",
    "rsa-pss-sha256",
    "ecdsa-p256-sha256",
    "ecdsa-p384-sha384",
)
CIPHERS = ("aes128-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm")
TRANSPORTS = ("rsa-pkcs1", "rsa-oaep-sha256", "ecdh-sha256")

_GPGSM_NO_GCM = "gpgsm 2.2 knows no AuthEnvelopedData"
_NSS_NO_GCM = "NSS 3.87 knows no AuthEnvelopedData"

LACKS: dict[tuple[str, Direction, str], str] = {
    ("gpgsm", "theirs", "rsa-pss-sha256"): "gpgsm verifies RSASSA-PSS but makes none",
    ("gpgsm", "ours", "rsa-oaep-sha256"): "gpgsm has no RSAES-OAEP",
    ("gpgsm", "theirs", "rsa-oaep-sha256"): "gpgsm has no RSAES-OAEP",
    ("gpgsm", "ours", "ecdh-sha256"): "gpgsm 2.2 opens no ECDH: not OpenSSL's either",
    ("gpgsm", "theirs", "ecdh-sha256"): "gpgsm 2.2 takes no certificate with keyAgreement alone",
    ("gpgsm", "ours", "aes128-gcm"): _GPGSM_NO_GCM,
    ("gpgsm", "ours", "aes256-gcm"): _GPGSM_NO_GCM,
    ("gpgsm", "theirs", "aes128-gcm"): _GPGSM_NO_GCM,
    ("gpgsm", "theirs", "aes256-gcm"): _GPGSM_NO_GCM,
    ("nss", "theirs", "rsa-pss-sha256"): "cmsutil has no option for RSASSA-PSS",
    ("nss", "ours", "rsa-oaep-sha256"): "NSS 3.87 has no RSAES-OAEP in CMS",
    ("nss", "theirs", "rsa-oaep-sha256"): "cmsutil has no option for RSAES-OAEP",
    ("nss", "ours", "ecdh-sha256"): "NSS 3.87 has no ECDH in CMS",
    ("nss", "theirs", "ecdh-sha256"): "NSS 3.87 has no ECDH in CMS",
    ("nss", "ours", "aes128-gcm"): _NSS_NO_GCM,
    ("nss", "ours", "aes256-gcm"): _NSS_NO_GCM,
    ("nss", "theirs", "aes128-gcm"): _NSS_NO_GCM,
    ("nss", "theirs", "aes256-gcm"): _NSS_NO_GCM,
    ("nss", "theirs", "aes256-cbc"): "cmsutil always takes AES-128-CBC",
    ("bouncycastle", "ours", "aes128-gcm ecdh-sha256"): "1.72 opens no AuthEnvelopedData by ECDH",
    ("bouncycastle", "ours", "aes256-gcm ecdh-sha256"): "1.72 opens no AuthEnvelopedData by ECDH",
}


def lack(peer: str, direction: Direction, *algorithms: str) -> str | None:
    """Why the peer cannot do this, if it cannot."""
    every = (*algorithms, " ".join(algorithms))
    return next((why for one in every if (why := LACKS.get((peer, direction, one)))), None)
