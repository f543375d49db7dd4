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
from gatepost.mail.content import Content, Slice, join
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
    layer = layer or layers.outermost(header, body)
    if layer is None or layer.kind not in ENCRYPTED or not layer.whole:
        raise Unsupported("no encryption covers the whole message")
    found = enveloped.decrypt(layer.octets, decryptors, entropy=entropy)
    if found.content_type != "data":  # RFC 8551 section 2.4.1
        raise Unsupported(f"what was encrypted is {found.content_type}, not a MIME entity")
    inner, rest = entity.split(found.plain)
    if not found.authenticated and not _is_entity(found.plain, inner, rest):
        raise DecryptionFailed
    opened, fields = _opened(header, found.plain)
    report = EncryptionReport(
        kind=layer.kind,
        cipher=found.cipher,
        authenticated=found.authenticated,
        management=found.management,
        weak=found.weak,
        recipients=found.recipients,
        used=found.used,
        size=found.plain.size,
        inner_fields=payload.foreign(inner),
        suspicions=() if found.authenticated else _suspicions(inner, rest),
        headers=fields,
    )
    return Opened(*opened, report, inner)


def _opened(header: bytes, whole: Content) -> tuple[tuple[bytes, Content], HeaderReport | None]:
    """The message inside; if no layer is left, with its protected fields (RFC 9788)."""
    opened = payload.unwrapped(header, whole)
    layer = layers.outermost(*opened)
    fields = None
    if (inside := restoration.payload_of(header, whole)) is not None:
        fields = restoration.compared(header, inside, encrypted=True, believed=True)
        opened = restoration.shown(header, inside, fields)
    return (opened if layer is not None else payload.transportable(*opened)), fields


def _is_entity(whole: Content, inner: bytes, rest: Content) -> bool:
    """Whether it begins as a MIME entity does (RFC 2045 section 3) or is text without a header.

    A wrong key or changed ciphertext yields octets that do not; saying so in other words
    than a failed padding would tell an attacker which of the two it was.
    """
    if not inner:
        is_text = _start(whole)[:1] in (b"\r", b"\n") or not _has_controls(whole)
        return is_text and all(chunk.isascii() for chunk in whole.chunks())
    # nothing comes after the header, or an empty line
    return rest.size == 0 or whole.size - rest.size > len(inner)


def _start(content: Content) -> bytes:
    return join(Slice(content, 0, min(content.size, 2)))


def _has_controls(content: Content) -> bool:
    return any(chunk.translate(None, _CONTROLS) != chunk for chunk in content.chunks())


def _suspicions(inner: bytes, body: Content) -> tuple[str, ...]:
    """Traces of CBC gadgets: each one leaves a block of random octets behind (EFAIL, section 4).

    No proof either way; only an authenticated cipher or a signature gives that.
    """
    found = []
    if not headers.first(inner, "Content-Type"):
        found.append("the decrypted octets do not begin with a MIME header")
    if _wild(inner):
        found.append("the decrypted header holds control or 8-bit characters")
    if headers.encoding(inner) != "binary" and _has_controls(body):
        found.append("the decrypted body holds control characters")
    return tuple(found)


def _wild(inner: bytes) -> bool:
    try:
        inner.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return inner.translate(None, _CONTROLS) != inner
