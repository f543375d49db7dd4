"""What a message already is: plain, signed or encrypted (RFC 8551, RFC 3156).

Decided from header and first octets in bounded memory.  Called encrypted is only what
is: labels alone never exempt a message from encryption.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from gatepost.cms import der
from gatepost.mail.content import Content, Octets, Slice, join
from gatepost.mime import entity, headers, transfer

PREFIX = 64 * 1024
MAXIMUM_BESIDE = 512  # of a preamble such as "This is an OpenPGP/MIME encrypted message"
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
    if layer == "enveloped" and _is_all(headers.encoding(header), body):
        return Nature.ENCRYPTED
    return Nature.ENCRYPTED if _is_openpgp(header, body) else Nature.PLAIN


def _is_all(coding: str, body: Content) -> bool:
    """Whether nothing in clear stands beside the CMS object, such as a server's footer."""
    if coding == "base64":
        return _is_base64(body)
    if coding == "quoted-printable":
        return body.size <= PREFIX and _fills(Octets(transfer.decode(join(body), coding)))
    return _fills(body)  # 7bit, 8bit and binary say the same: as it is


def _fills(body: Content) -> bool:
    """Whether the first element ends where the body does, line ends apart (X.690 8.1.3)."""
    start = join(Slice(body, 0, min(body.size, 10)))
    tail = join(Slice(body, max(0, body.size - 8), body.size))
    if start[1:2] == b"\x80":
        return tail.rstrip(b"\r\n").endswith(b"\0\0")
    width = start[1] & 0x7F if start[1] & 0x80 else 0
    length = int.from_bytes(start[2 : 2 + width] if width else start[1:2], "big")
    rest = body.size - (2 + width + length)
    return 0 <= rest <= len(tail) and not tail[len(tail) - rest :].strip(b"\r\n")


def _is_base64(body: Content) -> bool:
    """Nothing stands before, between or after the encoded octets."""
    return not any(chunk.translate(None, _BASE64) for chunk in body.chunks())


def _is_openpgp(header: bytes, body: Content) -> bool:
    kind = headers.content_type(header)
    if kind.essence == "multipart/encrypted":
        protocol = kind.get("protocol").lower()
        return protocol == "application/pgp-encrypted" and _is_pgp_mime(header, body)
    if kind.essence == "text/plain" and body.size <= MAXIMUM_INLINE:
        return _is_armour(join(body))
    return False


def _is_pgp_mime(header: bytes, body: Content) -> bool:
    """RFC 3156 section 4: 'exactly two body parts', and nothing in clear beside them."""
    fields = (one.raw for one in headers.fields(header) if one.name.lower() == "content-type")
    root = entity.parse(b"".join((*fields, b"\r\n", _ends(body))), descend=False)
    if len(root.children) != 2 or root.close is None:
        return False
    control, content = root.children
    beside = root.octets[root.body_start : control.start], root.octets[root.close :], control.body
    return (
        control.content_type.essence == "application/pgp-encrypted"
        and all(len(one.strip()) <= MAXIMUM_BESIDE for one in beside)
        and not beside[1].strip()
        and _is_armour(entity.decoded(content))
    )


def _ends(body: Content) -> bytes:
    """A body without its middle, if that can only be armour; nothing of any other large body."""
    if body.size <= 2 * PREFIX:
        return join(body)
    if not _is_base64(Slice(body, PREFIX, body.size - PREFIX)):
        return b""
    return b"".join(
        (*Slice(body, 0, PREFIX).chunks(), *Slice(body, body.size - PREFIX, body.size).chunks())
    )


def _is_armour(octets: bytes) -> bool:
    """One OpenPGP message and nothing beside it."""
    text = octets.strip()
    armoured = text.startswith(_PGP_FIRST) and text.endswith(_PGP_LAST)
    return armoured and text.count(b"-----") == 4


def _content_type(octets: bytes) -> bytes:
    """The contentType of a ContentInfo as DER, from the first octets alone (RFC 5652 3)."""
    if octets[:1] != b"\x30" or len(octets) < 4:
        return b""
    after_length = 2 + (octets[1] & 0x7F if octets[1] & 0x80 else 0)
    oid = octets[after_length : after_length + 16]
    if oid[:1] != b"\x06" or len(oid) < 2:
        return b""
    return oid[: 2 + oid[1]]
