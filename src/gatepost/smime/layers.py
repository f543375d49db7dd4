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
from gatepost.cms.bulk import Bulk
from gatepost.errors import LimitExceeded, Malformed
from gatepost.mail.content import Content, Octets, Rope, Slice, is_large, join
from gatepost.mime import entity, headers, transfer
from gatepost.mime.content_type import ContentType
from gatepost.mime.entity import Entity
from gatepost.mime.outline import Part, outline

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
_ARMOUR = transfer.ALPHABET + b" \t\n\r\f\v"
_NEAR = 4096  # octets of large content in which armour shows itself
MAXIMUM_SIGNATURE = 8 * 1024 * 1024  # octets of the second part of a large multipart/signed


@dataclass(frozen=True, slots=True)
class Layer:
    """One cryptographic layer as found, not yet opened."""

    kind: Kind
    octets: bytes | Bulk = field(repr=False)  # the CMS object
    signed: Content | None = field(default=None, repr=False)  # part one of multipart/signed, raw
    declared: str = ""  # what the labels said: smime-type or media type
    path: tuple[int, ...] = ()  # empty: the layer is the whole message

    @property
    def whole(self) -> bool:
        """Whether the layer covers everything a reader sees ("partly signed" is not signed)."""
        return not self.path


def outermost(header: bytes, body: bytes | Content) -> Layer | None:
    """The outermost layer; `whole` says whether it covers the message; raises Malformed.

    Only the MIME tree of this message is searched, not messages attached to it; in a large
    message only a layer around everything is found.
    """
    kind = headers.content_type(header)
    content = Octets(body) if isinstance(body, bytes) else body
    if kind.type == "application":
        return _opaque(kind, header, content)
    if kind.type != "multipart":
        return None
    fields = _own_fields(header) + b"\r\n"
    if is_large(content):
        return _spread(fields, kind, content) if kind.essence == "multipart/signed" else None
    root = entity.parse(fields + join(content), descend=False)
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
        return _opaque(kind, one.header, Octets(one.body), path)
    return None


def _spread(fields: bytes, kind: ContentType, body: Content) -> Layer | None:
    """The layer of a large multipart/signed, whose first part stays where it is."""
    parts = outline(Rope((Octets(fields), body)), descend=False).children
    if len(parts) < 2:
        return None
    first, second = (_cut(body, one, len(fields)) for one in parts[:2])
    if second.size > MAXIMUM_SIGNATURE:
        raise LimitExceeded(f"a signature of {second.size} octets")
    return _clear_layer(kind, first, entity.parse(join(second), descend=False), len(parts), ())


def _cut(body: Content, part: Part, before: int) -> Content:
    return Slice(body, part.start - before, part.stop - before)


def _clear(one: Entity, kind: ContentType, path: tuple[int, ...]) -> Layer | None:
    if len(one.children) < 2:
        return None
    first, second = one.children[:2]
    return _clear_layer(kind, Octets(first.raw), second, len(one.children), path)


def _clear_layer(
    kind: ContentType, first: Content, second: Entity, count: int, path: tuple[int, ...]
) -> Layer | None:
    """RFC 1847 section 2.1: 'exactly two body parts', the second one the signature."""
    protocol = kind.get("protocol").lower()
    is_ours = second.content_type.essence in _SIGNATURES
    if protocol not in _SIGNATURES and (protocol or not is_ours):
        return None
    octets = _unarmoured(entity.decoded(second))
    if count > 2 or not is_ours:
        return Layer("unknown", octets, declared=kind.essence, path=path)
    return Layer("multipart-signed", octets, first, kind.essence, path)


def _opaque(
    kind: ContentType, header: bytes, body: Content, path: tuple[int, ...] = ()
) -> Layer | None:
    labelled = kind.essence in _SIGNATURES
    if not (labelled or (kind.essence in _NAMED and _is_named(header))):
        return None
    encoding = headers.encoding(header)
    octets: bytes | Bulk
    if is_large(body):
        octets = Bulk(_without_armour(transfer.decoded(body, encoding)))
    else:
        octets = _unarmoured(transfer.decode(join(body), encoding))
    found = _kind(octets)
    if found == "unknown" and not labelled:
        return None
    return Layer(found, octets, None, kind.get("smime-type", kind.essence).lower(), path)


def _is_named(header: bytes) -> bool:
    return headers.filename(header).lower().endswith(_SUFFIXES)


def _kind(octets: bytes | Bulk) -> Kind:
    try:
        kind = octets.kind if isinstance(octets, Bulk) else content.kind(octets)
        return _KINDS.get(kind, "unknown")
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


def _without_armour(octets: Content) -> Content:
    """As `_unarmoured`, of large content."""
    start = join(Slice(octets, 0, _NEAR))
    if start[:1] == b"\x30":
        return octets
    first, last = 0, octets.size
    if (text := start.lstrip()).startswith(b"-----BEGIN "):
        low = max(last - _NEAR, 0)
        end = join(Slice(octets, low, last)).rfind(b"-----END ")
        line = start.find(b"\n", len(start) - len(text))
        if end < 0 or line < 0:
            return octets
        first, last = line + 1, low + end
    inside = Slice(octets, first, last)
    if any(chunk.translate(None, _ARMOUR) for chunk in inside.chunks()):
        return octets
    return transfer.decoded(inside, "base64")
