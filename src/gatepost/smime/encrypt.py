"""Encrypt a message to its recipients: application/pkcs7-mime (RFC 8551 sections 3.3 and 3.4).

Nothing here can yield clear text: the result is lazily computed ciphertext, or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gatepost.certificate import Certificate
from gatepost.cms import enveloped
from gatepost.cms.capability import KeyTransport
from gatepost.errors import Refused
from gatepost.mail.content import Content
from gatepost.mime.transfer import Base64
from gatepost.smime import payload, protection
from gatepost.smime.protection import Protection

PKCS1 = KeyTransport("rsa-pkcs1")


def encrypt(
    header: bytes,
    body: Content,
    recipients: Sequence[Certificate],
    *,
    cipher: str,
    entropy: Callable[[int], bytes],
    key_transport: KeyTransport = PKCS1,
    protect: Protection | None = None,
) -> tuple[bytes, Content]:
    """The message with its MIME entity encrypted: (header, body).

    Every recipient can see who the others are: blind ones need a call of their own.
    `protect` encloses header fields as well (RFC 9788), for what nobody has signed.
    """
    if not recipients:
        raise Refused("a message cannot be encrypted to nobody")
    outside, whole = protection.enclosed(header, body, protect)
    made = enveloped.encrypt(
        whole, recipients, cipher=cipher, key_transport=key_transport, entropy=entropy
    )
    return payload.wrapped(outside, _fields(cipher)), Base64(made)


def _fields(cipher: str) -> bytes:
    # RFC 8551 section 3.2.2: the smime-type tells the two envelopes apart.
    kind = b"authEnveloped-data" if cipher.endswith("-gcm") else b"enveloped-data"
    return (
        b"Content-Type: application/pkcs7-mime; smime-type=" + kind + b';\r\n name="smime.p7m"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n'
    )
