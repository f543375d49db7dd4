"""Find the outermost S/MIME layer of a message (RFC 8551 section 3.10), whatever it is called.

The octets decide, not the labels: a wrong or missing smime-type is common, and a layer
inside an unsigned multipart (an errant layer, RFC 9787) never speaks for the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gatepost.cms import content
from gatepost.errors import Malformed
from gatepost.mime import entity, headers, transfer
from gatepost.mime.content_type import ContentType
from gatepost.mime.entity import Entity

Kind = Literal[
    "multipart-signed",
    "signed-data",
    "enveloped-data",
    "authenveloped-data",
    "compressed-data",
    "unknown",
]

# RFC 8551 section 3.10: octet-stream counts when its name ends like this.
_NAMED = frozenset({"application/octet-stream", "application/x-binary", "application/binary"})
_SUFFIXES = (".p7m", ".p7s", ".p7c", ".p7z")
_SIGNATURES = frozenset(
    f"application/{prefix}pkcs7-{what}" for prefix in ("", "x-") for what in ("mime", "signature")
)
_KINDS: dict[str, Kind] = {
    "signed-data": "signed-data",
    "enveloped-data": "enveloped-data",
    "authenveloped-data": "authenveloped-data",
    "compressed-data": "compressed-data",
}
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]*\Z")


@dataclass(frozen=True, slots=True)
class Layer:
    """One cryptographic layer as found, not yet opened."""

    kind: Kind
    octets: bytes = field(repr=False)  # the CMS object
    signed: bytes | None = field(default=None, repr=False)  # part one of multipart/signed, raw
    declared: str = ""  # what the labels said: smime-type or media type
    path: tuple[int, ...] = ()  # empty: the layer is the whole message

    @property
    def whole(self) -> bool:
        """Whether the layer covers everything a reader sees ("partly signed" is not signed)."""
        return not self.path


def outermost(header: bytes, body: bytes) -> Layer | None:
    """The outermost layer; `whole` says whether it covers the message; raises Malformed.

    Only the MIME tree of this message is searched, not messages attached to it.
    """
    kind = headers.content_type(header)
    if kind.type == "application":
        return _opaque(kind, headers.filename(header), headers.encoding(header), body)
    if kind.type != "multipart":
        return None
    root = entity.parse(_own_fields(header) + b"\r\n" + body, descend=False)
    return next(_layers(root, ()), None)


def _own_fields(header: bytes) -> bytes:
    """The fields that describe the body; the rest cannot matter here and may be long."""
    fields = headers.fields(header)
    return b"".join(one.raw for one in fields if one.name.lower().startswith("content-"))


def _layers(one: Entity, path: tuple[int, ...]) -> Iterator[Layer]:
    layer = _layer(one, path)
    if layer is not None:
        yield layer
        return
    for number, child in enumerate(one.children, start=1):
        yield from _layers(child, (*path, number))


def _layer(one: Entity, path: tuple[int, ...]) -> Layer | None:
    kind = one.content_type
    if kind.essence == "multipart/signed":
        return _clear(one, kind, path)
    if kind.type == "application":
        return _opaque(kind, headers.filename(one.header), one.encoding, one.body, path)
    return None


def _clear(one: Entity, kind: ContentType, path: tuple[int, ...]) -> Layer | None:
    """RFC 1847 section 2.1: 'exactly two body parts', the second one the signature."""
    if len(one.children) < 2:
        return None
    first, second = one.children[:2]
    protocol = kind.get("protocol").lower()
    is_ours = second.content_type.essence in _SIGNATURES
    if protocol not in _SIGNATURES and (protocol or not is_ours):
        return None
    octets = _unarmoured(entity.decoded(second))
    if len(one.children) > 2 or not is_ours:
        return Layer("unknown", octets, declared=kind.essence, path=path)
    return Layer("multipart-signed", octets, first.raw, kind.essence, path)


def _opaque(
    kind: ContentType, filename: str, encoding: str, body: bytes, path: tuple[int, ...] = ()
) -> Layer | None:
    labelled = kind.essence in _SIGNATURES
    if not (labelled or (kind.essence in _NAMED and filename.lower().endswith(_SUFFIXES))):
        return None
    octets = _unarmoured(transfer.decode(body, encoding))
    found = _kind(octets)
    if found == "unknown" and not labelled:
        return None
    return Layer(found, octets, None, kind.get("smime-type", kind.essence).lower(), path)


def _kind(octets: bytes) -> Kind:
    try:
        return _KINDS.get(content.kind(octets), "unknown")
    except Malformed:
        return "unknown"


def _unarmoured(octets: bytes) -> bytes:
    """Undo base64 that nobody declared, in lines or as PEM; CMS itself starts with SEQUENCE."""
    if octets[:1] == b"\x30":
        return octets
    text = octets.strip()
    if text.startswith(b"-----BEGIN "):
        text = text.partition(b"\n")[2].rpartition(b"-----END ")[0]
    return transfer.decode_base64(text) if text and _BASE64.match(text) else octets
