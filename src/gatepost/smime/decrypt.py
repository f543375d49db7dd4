"""Decrypt the outermost layer (RFC 8551 sections 3.3 and 3.4).

The decrypted entity replaces the body as a whole; clear text and decrypted text are
never put together (EFAIL, 2018), so a layer around a part only is not opened at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gatepost.cms import enveloped
from gatepost.cms.capability import Decryptor
from gatepost.errors import DecryptionFailed, Unsupported
from gatepost.mail.content import Content, join
from gatepost.mime import entity, headers
from gatepost.smime import layers, payload, restoration
from gatepost.smime.layers import Layer
from gatepost.smime.report import EncryptionReport, HeaderReport

ENCRYPTED = ("enveloped-data", "authenveloped-data")

# Control characters that no mail text has; ESC (ISO-2022) and form feed are common.
_CONTROLS = bytes(octet for octet in range(32) if octet not in b"\t\n\f\r\x1b") + b"\x7f"


@dataclass(frozen=True, slots=True)
class Opened:
    """The message after its outermost layer was decrypted."""

    header: bytes
    body: Content
    report: EncryptionReport
    inner_header: bytes = field(default=b"", repr=False)  # as it stood inside, protected fields too


def decrypt(
    header: bytes,
    body: Content,
    decryptors: Sequence[Decryptor],
    entropy: Callable[[int], bytes],
    *,
    layer: Layer | None = None,
) -> Opened:
    """Open the outermost layer, which must be a whole encrypted one.

    Raises DecryptionFailed, NoRecipient, Malformed or Unsupported, and then nothing at all
    was decrypted: there is no partial result.
    """
    layer = layer or layers.outermost(header, join(body))
    if layer is None or layer.kind not in ENCRYPTED or not layer.whole:
        raise Unsupported("no encryption covers the whole message")
    found = enveloped.decrypt(layer.octets, decryptors, entropy=entropy)
    if found.content_type != "data":  # RFC 8551 section 2.4.1
        raise Unsupported(f"what was encrypted is {found.content_type}, not a MIME entity")
    inner = entity.split_header(found.content)[0]
    if not found.authenticated and not _is_entity(found.content):
        raise DecryptionFailed
    opened, fields = _opened(header, found.content)
    report = EncryptionReport(
        kind=layer.kind,
        cipher=found.cipher,
        authenticated=found.authenticated,
        weak=found.weak,
        recipients=found.recipients,
        used=found.used,
        size=len(found.content),
        inner_fields=payload.foreign(inner),
        suspicions=() if found.authenticated else _suspicions(found.content),
        headers=fields,
    )
    return Opened(*opened, report, inner)


def _opened(header: bytes, octets: bytes) -> tuple[tuple[bytes, Content], HeaderReport | None]:
    """The message inside; if no layer is left, with its protected fields (RFC 9788)."""
    opened = payload.unwrapped(header, octets)
    layer = layers.outermost(opened[0], join(opened[1]))
    fields = None
    if (inside := restoration.payload_of(header, octets)) is not None:
        fields = restoration.compared(header, inside, encrypted=True, believed=True)
        opened = restoration.shown(header, inside, fields)
    return (opened if layer is not None else payload.transportable(*opened)), fields


def _is_entity(octets: bytes) -> bool:
    """Whether it begins as a MIME entity does (RFC 2045 section 3) or is text without a header.

    A wrong key or changed ciphertext yields octets that do not; saying so in other words
    than a failed padding would tell an attacker which of the two it was.
    """
    inner, _ = entity.split_header(octets)
    if not inner:
        is_text = octets[:1] in (b"\r", b"\n") or octets.translate(None, _CONTROLS) == octets
        return is_text and octets.isascii()
    after = octets[len(inner) : len(inner) + 2]
    return after in (b"", b"\r\n") or after[:1] == b"\n"


def _suspicions(octets: bytes) -> tuple[str, ...]:
    """Traces of CBC gadgets: each one leaves a block of random octets behind (EFAIL, section 4).

    No proof either way; only an authenticated cipher or a signature gives that.
    """
    inner, body = entity.split_header(octets)
    found = []
    if not headers.first(inner, "Content-Type"):
        found.append("the decrypted octets do not begin with a MIME header")
    if _wild(inner):
        found.append("the decrypted header holds control or 8-bit characters")
    if headers.encoding(inner) != "binary" and body.translate(None, _CONTROLS) != body:
        found.append("the decrypted body holds control characters")
    return tuple(found)


def _wild(inner: bytes) -> bool:
    try:
        inner.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return inner.translate(None, _CONTROLS) != inner
