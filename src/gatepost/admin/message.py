"""Sign, encrypt, decrypt and verify one whole message, as the gateway would."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor, Digest, KeyTransport, SignatureScheme, Signer
from gatepost.cms.enveloped import NoRecipient
from gatepost.errors import ConfigError, DecryptionFailed, Malformed, Unsupported
from gatepost.flow.nature import Nature, nature
from gatepost.mail.content import Content, Octets, Rope, join
from gatepost.mime import canonical, headers, split_header
from gatepost.pki.usable import usable_for
from gatepost.pki.validate import Anchors
from gatepost.smime.decrypt import decrypt as smime_decrypt
from gatepost.smime.encrypt import encrypt as smime_encrypt
from gatepost.smime.protection import Protection
from gatepost.smime.report import EncryptionReport, SignatureReport, Verdict
from gatepost.smime.sign import sign as smime_sign
from gatepost.smime.verify import verify as smime_verify

MAXIMUM_SIZE = 1 << 30
HeaderProtectionName = Literal["off", "clear", "baseline"]
SignatureName = Literal["auto", "rsa-pkcs1", "rsa-pss"]
CipherName = Literal[
    "aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm"
]
_DIGESTS: dict[str, Digest] = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}


@dataclass(frozen=True, slots=True)
class Made:
    """A message that came out, and what was done to it."""

    header: bytes = field(repr=False)
    body: Content = field(repr=False)
    facts: dict[str, Any]

    @property
    def content(self) -> Content:
        """The whole message."""
        return Rope((Octets(self.header + b"\r\n"), self.body))

    def chunks(self) -> Iterator[bytes]:
        """The whole message, piece by piece."""
        return self.content.chunks()

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"size": self.content.size, **self.facts}


@dataclass(frozen=True, slots=True)
class Verified:
    """A message that was verified; `made` is what a recipient would read."""

    report: SignatureReport
    made: Made

    @property
    def good(self) -> bool:
        """Whether the author's trusted signature holds."""
        return self.report.verdict is Verdict.VALID

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return dict(self.report.as_data())


def sign(
    message: bytes,
    signer: Signer,
    *,
    opaque: bool = False,
    signature: SignatureName = "auto",
    digest: str = "",
    header_protection: HeaderProtectionName = "clear",
    now: datetime,
) -> Made:
    """Sign a message; raises ConfigError if the certificate may not.

    `baseline` is for what is encrypted next: the Subject does not stay outside.
    """
    header, body = _parsed(message)
    if objections := usable_for(signer.certificate, "sign", now):
        raise ConfigError(f"{signer.certificate.name} cannot sign: {'; '.join(objections)}")
    header, content = smime_sign(
        header,
        body,
        signer,
        now=now,
        names=secrets.token_urlsafe,
        scheme=_scheme(signer.certificate, signature, digest),
        form="opaque" if opaque else "clear",
        protect=_protection(header, body, header_protection, encrypted=False),
    )
    facts = {"signer": signer.certificate.name, "fingerprint": signer.certificate.fingerprint}
    return Made(header, content, facts)


def encrypt(
    message: bytes,
    recipients: Sequence[Certificate],
    *,
    cipher: CipherName = "aes256-cbc",
    oaep: bool = False,
    header_protection: HeaderProtectionName = "clear",
    now: datetime,
) -> Made:
    """Encrypt a message to these certificates; raises ConfigError if one cannot be used."""
    header, body = _parsed(message)
    for one in recipients:
        if objections := usable_for(one, "encrypt", now):
            raise ConfigError(f"{one.name} cannot be encrypted to: {'; '.join(objections)}")
    header, content = smime_encrypt(
        header,
        body,
        recipients,
        cipher=cipher,
        entropy=secrets.token_bytes,
        key_transport=KeyTransport("rsa-oaep" if oaep else "rsa-pkcs1"),
        protect=_protection(header, body, header_protection, encrypted=True),
    )
    names = [{"name": one.name, "fingerprint": one.fingerprint} for one in recipients]
    return Made(header, content, {"cipher": cipher, "recipients": names})


def decrypt(message: bytes, decryptors: Sequence[Decryptor]) -> tuple[Made, EncryptionReport]:
    """Take the outermost encryption off; raises ConfigError when these keys cannot."""
    header, body = _parsed(message)
    try:
        opened = smime_decrypt(header, body, decryptors, secrets.token_bytes)
    except NoRecipient as error:
        raise ConfigError(
            "the message is not encrypted to any of these keys",
            hint="gatepost inspect tells whom it is encrypted to",
        ) from error
    except DecryptionFailed as error:
        raise ConfigError("the message cannot be decrypted: it was damaged or altered") from error
    except (Malformed, Unsupported) as error:
        raise ConfigError(f"nothing to decrypt: {error}", hint="gatepost inspect FILE") from error
    return Made(opened.header, opened.body, dict(opened.report.as_data())), opened.report


def verify(
    message: bytes, anchors: Anchors, *, known: Sequence[Certificate] = (), now: datetime
) -> Verified:
    """Judge the outermost signature; raises ConfigError when there is none."""
    header, body = split_header(message)
    author = headers.author(header)
    try:
        found = smime_verify(
            header, Octets(body), anchors, now, author, known=known, keep_signature=False
        )
    except (Malformed, Unsupported) as error:
        raise ConfigError(f"nothing to verify: {error}", hint="gatepost inspect FILE") from error
    return Verified(found.report, Made(found.header, found.body, {}))


def whole(made: Made) -> bytes:
    """The whole message as octets."""
    return join(made.content)


def _parsed(message: bytes) -> tuple[bytes, Content]:
    """Header and body with CRLF line ends, as they would arrive by SMTP."""
    if len(message) > MAXIMUM_SIZE:
        raise ConfigError(f"the message is larger than {MAXIMUM_SIZE >> 20} MiB")
    header, body = split_header(canonical.crlf(message))
    if not header:
        raise ConfigError(
            "this is no message: it does not begin with header fields",
            hint="a message begins with lines such as From: and Subject:, then an empty line",
        )
    return header, Octets(body)


def _protection(
    header: bytes, body: Content, wished: HeaderProtectionName, *, encrypted: bool
) -> Protection | None:
    """RFC 9788, for what nobody has signed or encrypted yet: the inside of a layer is holy."""
    if wished == "off" or nature(header, body) is not Nature.PLAIN:
        return None
    hides = wished == "baseline"
    return Protection(encrypted or hides, hides=hides)


def _scheme(
    certificate: Certificate, signature: SignatureName, digest: str
) -> SignatureScheme | None:
    """The scheme wished for; None where the key's own is."""
    if digest and digest not in _DIGESTS:
        raise ConfigError(f"digest {digest} is not one of {', '.join(_DIGESTS)}")
    rsa = isinstance(certificate.public_key, RSAPublicKey)
    if signature != "auto":
        if not rsa:
            raise ConfigError(f"the key of {certificate.name} is no RSA key: it has one way only")
        return SignatureScheme(signature, _DIGESTS[digest or "sha256"])
    if not digest:
        return None
    return SignatureScheme("rsa-pkcs1" if rsa else "ecdsa", _DIGESTS[digest])
