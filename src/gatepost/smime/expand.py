"""Open compressed-data (RFC 8551 section 3.6, RFC 3274); how much may come out is bounded.

Compression says nothing about who wrote the message; its report is only for the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.cms import compressed
from gatepost.errors import Unsupported
from gatepost.mail.content import Content
from gatepost.smime import layers, payload, restoration
from gatepost.smime.layers import Layer
from gatepost.smime.report import CompressionReport


@dataclass(frozen=True, slots=True)
class Expanded:
    """The message after its compression was undone."""

    header: bytes
    body: Content
    report: CompressionReport


def expand(header: bytes, layer: Layer, *, protected: bool = False) -> Expanded:
    """Open a whole compressed layer; raises Malformed, LimitExceeded or Unsupported.

    `protected`: it was signed or encrypted, and its protected fields have come out already.
    """
    if layer.kind != "compressed-data" or not layer.whole:
        raise Unsupported("no compression covers the whole message")
    found = compressed.decompress(layer.octets)
    if found.content_type != "data":  # RFC 8551 section 2.4.1
        raise Unsupported(f"what was compressed is {found.content_type}, not a MIME entity")
    report = CompressionReport(size=found.plain.size)
    inner = payload.unwrapped(header, found.plain)
    if layers.outermost(*inner) is None:
        fields = restoration.found(header, found.plain) if protected else None
        inner = inner if fields is None else restoration.cleaned(header, fields)
        inner = payload.transportable(*inner)
    return Expanded(*inner, report)
