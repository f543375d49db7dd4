"""What a message already is: plain, signed or encrypted (RFC 8551, RFC 3156).

Decided from header and first octets in bounded memory.  Called encrypted is only what
is: labels alone never exempt a message from encryption.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Literal

from gatepost.cms import der
from gatepost.mail.content import Content, Slice, join
from gatepost.mime import headers, transfer

PREFIX = 64 * 1024
MAXIMUM_INLINE = 1024 * 1024  # of a text looked through for inline OpenPGP

_PKCS7 = frozenset(
    f"application/{prefix}pkcs7-{what}" for prefix in ("", "x-") for what in ("mime", "signature")
)
_NAMED = (".p7m", ".p7s", ".p7c", ".p7z")  # RFC 8551 section 3.10
_SIGNED = der.oid("1.2.840.113549.1.7.2")
_ENVELOPED = frozenset(
    {
        der.oid("1.2.840.113549.1.7.3"),  # RFC 5652 enveloped-data
        der.oid("1.2.840.113549.1.9.16.1.23"),  # RFC 5083 authEnveloped-data
    }
)
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n \t"
_PGP_START = re.compile(rb"(?m)^-----BEGIN PGP MESSAGE-----\r?$")
_PGP_FIRST, _PGP_LAST = b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----"


class Nature(Enum):
    """How the author left the message."""

    PLAIN = "plain"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"


Outer = Literal["none", "clear-signed", "signed", "enveloped", "unknown"]


def outer(header: bytes, body: Content) -> Outer:
    """What S/MIME layer seems to lie around everything; `unknown`: only a full look tells."""
    kind = headers.content_type(header)
    if kind.essence == "multipart/signed":
        return "clear-signed"
    if kind.type != "application":
        return "none"
    if kind.essence not in _PKCS7 and not headers.filename(header).lower().endswith(_NAMED):
        return "none"
    start = join(Slice(body, 0, min(body.size, PREFIX)))
    found = _content_type(transfer.decode(start, headers.encoding(header)))
    if found == _SIGNED:
        return "signed"
    return "enveloped" if found in _ENVELOPED else "unknown"


def nature(header: bytes, body: Content) -> Nature:
    """What the message is as a whole."""
    layer = outer(header, body)
    if layer in ("clear-signed", "signed"):
        return Nature.SIGNED
    if layer == "enveloped" and (headers.encoding(header) != "base64" or _is_base64(body)):
        return Nature.ENCRYPTED
    return Nature.ENCRYPTED if _is_openpgp(header, body) else Nature.PLAIN


def _is_base64(body: Content) -> bool:
    """Nothing stands before, between or after the encoded octets."""
    return not any(chunk.translate(None, _BASE64) for chunk in body.chunks())


def _is_openpgp(header: bytes, body: Content) -> bool:
    kind = headers.content_type(header)
    if kind.essence == "multipart/encrypted":  # RFC 3156 section 4
        start = join(Slice(body, 0, min(body.size, PREFIX)))
        protocol = kind.get("protocol").lower()
        return protocol == "application/pgp-encrypted" and bool(_PGP_START.search(start))
    if kind.essence == "text/plain" and body.size <= MAXIMUM_INLINE:
        text = join(body).strip()
        armoured = text.startswith(_PGP_FIRST) and text.endswith(_PGP_LAST)
        return armoured and text.count(b"-----") == 4  # one block and nothing beside it
    return False


def _content_type(octets: bytes) -> bytes:
    """The contentType of a ContentInfo as DER, from the first octets alone (RFC 5652 3)."""
    if octets[:1] != b"\x30" or len(octets) < 4:
        return b""
    after_length = 2 + (octets[1] & 0x7F if octets[1] & 0x80 else 0)
    oid = octets[after_length : after_length + 16]
    if oid[:1] != b"\x06" or len(oid) < 2:
        return b""
    return oid[: 2 + oid[1]]
