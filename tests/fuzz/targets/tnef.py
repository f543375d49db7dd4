"""The TNEF reader, alone and where a winmail.dat stands in for a whole message.

Invariant: any octets give a container or Malformed; no attachment outgrows the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from tests.fuzz.targets import smime
from tests.unit.smime.test_outlook import CLASS, TNEF, attachment
from tests.unit.tnef.test_container import attribute, embedded, listed, stream

from gatepost.errors import Malformed
from gatepost.mail.content import Octets, join
from gatepost.mime.transfer import encode_base64
from gatepost.smime import outlook
from gatepost.tnef import container, mapi

OUTSIDE = smime.HEADER.partition(b"Content-Type")[0]

WORDS = (
    *(b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x1f\x10", b"\x01\x10\0\0", b"\x02\x02\x90", b"\x80"),
    *(b"\x01\x01\x37\x0d\0", b"\x0d\x00\x01\x37", b"\x02\x05\x90", b"\x78\x9f\x3e\x22"),
    *(b"IPM.Note.SMIME\0", b"multipart/signed", b"smime.p7m\0"),
)


def target(octets: bytes) -> None:
    """One stream."""
    with suppress(Malformed):
        found = container.read(octets)
        assert sum(len(one.data) for one in found.attachments) <= len(octets)
        assert all("\0" not in one.name for one in found.everything())
    message = outlook.unwrapped(OUTSIDE + TNEF, Octets(encode_base64(octets)))
    if message is not None:
        assert smime.is_clean(message[0] + join(message[1]))


def seeds() -> Iterator[bytes]:
    """Streams with everything we read."""
    yield stream()
    yield stream(
        attribute(1, 0x8008, b"IPM.Note.SMIME\0"),
        attribute(1, 0x9003, listed((0x001E, mapi.BODY, b"text\0"), (0x0102, mapi.RTF, b"rtf"))),
        attribute(2, 0x9002, bytes(14)),
        attribute(2, 0x800F, b"data" * 20),
        attribute(2, 0x8010, b"name.txt\0"),
        attribute(2, 0x9005, listed((0x001F, mapi.ATTACH_LONG_NAME, b"a\0.\0b\0"))),
    )
    for data, kind in (
        (b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n", b"multipart/signed"),
        (b"\x30\x03\x02\x01\x01", b"application/pkcs7-mime"),
    ):
        yield stream(CLASS, attachment(data, kind))
    yield stream(embedded(stream(embedded(stream(CLASS, attachment(b"a", b"b"))))))
