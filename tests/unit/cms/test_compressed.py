"""Compressed data: mail from those who compress, and bombs from those who do not."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from pathlib import Path

import pytest

from gatepost.cms import compressed, content, der
from gatepost.errors import LimitExceeded, Malformed, Unsupported

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
ZLIB = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))


def wrapped(data: bytes, *, algorithm: bytes = ZLIB, inside: bytes | None = None) -> bytes:
    """A ContentInfo with CompressedData."""
    value = der.explicit(0, der.octet_string(data)) if inside is None else inside
    body = der.sequence(der.integer(0), algorithm, der.sequence(der.tlv(0x06, content.DATA), value))
    return der.sequence(der.tlv(0x06, content.COMPRESSED_DATA), der.explicit(0, body))


def test_whole_and_in_pieces() -> None:
    """BER writers stream: the pieces are one zlib stream."""
    data = zlib.compress(TEXT * 1000)
    found = compressed.decompress(wrapped(data))
    assert (found.content, found.content_type) == (TEXT * 1000, "data")
    pieces = b"".join(der.octet_string(data[at : at + 7]) for at in range(0, len(data), 7))
    streamed = der.explicit(0, b"\x24\x80" + pieces + b"\x00\x00")
    assert compressed.decompress(wrapped(b"", inside=streamed)).content == TEXT * 1000
    assert compressed.decompress(wrapped(zlib.compress(b""))).content == b""


def test_a_bomb() -> None:
    """64 MiB of nothing in 64 KiB: refused while it grows, not after."""
    bomb = wrapped(zlib.compress(bytes(64 * 1024 * 1024), 1))
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="grows beyond"):
        compressed.decompress(bomb, ratio=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2 * len(bomb) + 3 * compressed.HARMLESS


def test_the_limits() -> None:
    """Exactly the limit passes; one octet more does not, however well it compresses."""
    noise = random.Random(1).randbytes(10_000)
    data = zlib.compress(noise)
    assert compressed.decompress(wrapped(data), limit=10_000).content == noise
    with pytest.raises(LimitExceeded):
        compressed.decompress(wrapped(data), limit=9_999)
    harmless = zlib.compress(bytes(compressed.HARMLESS))
    assert len(compressed.decompress(wrapped(harmless)).content) == compressed.HARMLESS
    with pytest.raises(LimitExceeded):
        compressed.decompress(wrapped(zlib.compress(bytes(compressed.HARMLESS + 1))))


def test_what_is_not_compressed_data() -> None:
    """Each refusal says what it is."""
    data = zlib.compress(TEXT)
    for octets, error in {
        wrapped(data[:-5]): Malformed,
        wrapped(b"x" + data): Malformed,
        wrapped(b""): Malformed,
        wrapped(data, inside=b""): Malformed,
        wrapped(data, algorithm=der.sequence(der.oid("1.2.3.4"))): Unsupported,
        der.sequence(der.tlv(0x06, content.DATA), der.explicit(0, der.octet_string(b""))): (
            Unsupported
        ),
        der.sequence(der.tlv(0x06, content.COMPRESSED_DATA), der.explicit(0, der.sequence())): (
            Malformed
        ),
    }.items():
        with pytest.raises(error):
            compressed.decompress(octets)
    assert compressed.decompress(wrapped(data + b"after the end")).content == TEXT


@pytest.mark.corpus
def test_bouncycastles(corpus: Path) -> None:
    """The one message of the kind in anybody's test suite."""
    folder = corpus / "bouncycastle-embedded"
    found = compressed.decompress((folder / "msg/compressed.der").read_bytes())
    assert found.content == (folder / "keys/compressed.plain").read_bytes()
