"""Compressed mail (RFC 8551 section 3.6)."""

from __future__ import annotations

import zlib

import pytest
from tests.unit.smime.letters import BODY, HEADER, octets

from gatepost.cms import der
from gatepost.errors import GatepostError, Unsupported
from gatepost.mail.content import Octets, join
from gatepost.mime.entity import split_header
from gatepost.mime.transfer import encode_base64
from gatepost.smime import layers
from gatepost.smime.expand import expand

OUTSIDE = HEADER.partition(b"Content-Type")[0]
FIELDS = b"Content-Type: application/pkcs7-mime; smime-type=compressed-data\r\n"
FIELDS += b"Content-Transfer-Encoding: base64\r\n"


def compressed(entity: bytes) -> tuple[bytes, bytes]:
    """A compressed message, as RFC 3274 makes it."""
    inside = der.octet_string(zlib.compress(entity))
    data = der.sequence(
        der.integer(0),
        der.sequence(der.oid("1.2.840.113549.1.9.16.3.8")),
        der.sequence(der.oid("1.2.840.113549.1.7.1"), der.explicit(0, inside)),
    )
    whole = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), der.explicit(0, data))
    return OUTSIDE + FIELDS, encode_base64(whole)


def test_it_is_opened() -> None:
    """A partner's compressed mail is an attachment nobody can read."""
    header, body = compressed(b"Content-Type: text/plain\r\n\r\n" + BODY)
    layer = layers.outermost(header, body)
    assert layer is not None
    found = expand(header, layer)

    assert join(found.body) == BODY
    assert found.header == OUTSIDE + b"Content-Type: text/plain\r\n"
    assert found.report.as_data() == {"layer": "compressed-data", "size": 28 + len(BODY)}


def test_a_bomb_is_refused() -> None:
    """A kilobyte becomes a gigabyte."""
    header, body = compressed(bytes(64 * 1024 * 1024))
    layer = layers.outermost(header, body)
    assert layer is not None
    with pytest.raises(GatepostError):
        expand(header, layer)


def test_only_a_whole_compressed_layer_is_opened() -> None:
    """Something else is inflated, or a part put beside clear text."""
    header, body = split_header(octets((HEADER, Octets(BODY))))
    assert layers.outermost(header, body) is None
    layer = layers.Layer("signed-data", b"")
    with pytest.raises(Unsupported):
        expand(header, layer)
